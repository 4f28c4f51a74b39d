"""Several teachers in one build: which one is called, with which key and price, in one budget."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.engine.budget import BudgetLimits
from builders.engine.calls import Answer, Call, Question, Unreadable
from builders.engine.endpoint import EndpointTeacher
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.pool import (
    TeacherPoolSpec,
    pool,
    pool_spec,
    read_teacher_license,
    recorded_pool,
    split_role,
)
from builders.engine.prices import price_of, read_price, read_prices
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.tasks import AskAll
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, Stopped, TeacherError
from builders.recipe import Raw, Recipe
from builders.recipe_loading import load_recipe, recipe_names
from pipelines.completions import RECIPE as COMPLETIONS
from pipelines.ultrafeedback import RECIPE
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import rows_of
from tests.endpoint import CODES, Behaviour, Endpoint, Rule

A, B = "http://127.0.0.1:8001/v1", "http://127.0.0.1:8002/v1"
ECHO = "def answer(call):\n    return f'{call.role} says {call.id}'\n"


def specs(*words: str) -> TeacherPoolSpec:
    return pool_spec(words, TeacherSpec())


def one_question(teach: Any) -> Any:
    """Sends every teacher of the role `writer` the same question, and the judge another."""
    from distilabel.pipeline import Pipeline

    with Pipeline(name="each") as line:
        llm = teach("writer", max_tokens=8)
        write = AskAll(
            name="write",
            llm=llm,
            build=lambda raw: [
                Question(prompt=raw["prompt"], teacher=name, about={"name": name})
                for name in llm.members
            ],
            answer="written",
        )
        write >> AskAll(
            name="judge",
            llm=teach("judge", max_tokens=8),
            build=lambda raw: [Question(prompt=f"judge {raw['prompt']}")],
            answer="judged",
        )
    return line


def ran(
    folder: Path,
    spec: TeacherPoolSpec,
    rows: int = 4,
    run_limits: RunLimits | None = None,
    wiring: Any = one_question,
) -> tuple[list[Raw], Engine]:
    """The rows that a pool made, and the engine that ran it."""
    prompts = [{"prompt": f"say {number}"} for number in range(rows)]
    with closing(Ledger.open(folder / "ledger.sqlite")) as ledger:
        who = pool(spec, RECIPE)
        with Engine(RECIPE, who, ledger, Progress(), seed=1, run_limits=run_limits) as engine:
            return engine(wiring, prompts), engine


# --- which teachers are named


def test_teachers_are_named_for_every_role_or_for_one_each_with_its_model() -> None:
    given = pool_spec(["embedded", f"{A}#big", f"judge={B}#wise"], TeacherSpec(model="usual"))
    assert [(one.place, one.model) for one in given.every] == [("embedded", "usual"), (A, "big")]
    assert [(one.place, one.model) for one in given.roles["judge"]] == [(B, "wise")]
    assert specs() == TeacherPoolSpec()


def test_a_model_of_blanks_is_refused_without_what_is_secret() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1/v1\S*# names no model; write") as error:
        split_role("judge=http://ann:pass@127.0.0.1:1/v1#  ")
    assert "pass" not in str(error.value)


def test_an_address_with_a_query_names_no_role() -> None:
    (one,) = specs(f"{A}?key=x").every
    assert one.place == f"{A}?key=x"


@each(
    ("query", "names"),
    [
        ("", ""),
        ("provider=alpha", "provider"),
        ("provider=beta&api-version=2024-06-01", "api-version provider"),
        ("order=b&order=a&author=me&empty=", "author empty order order"),
        ("api-key=k1&code_key=k2&provider=alpha&access_token=t", "provider"),
        ("X-Amz-Signature=s&sig=s&subscription-key=k&password=p&auth=a&client_secret=c", ""),
    ],
)
def test_the_query_of_an_address_belongs_to_its_name_without_its_values(
    query: str, names: str
) -> None:
    """What it selects answers otherwise, so that a call has another key."""

    def name(query: str) -> str:
        one = EndpointTeacher(TeacherSpec(place=f"{A}?{query}", model="m"))
        assert one.name == one.identity()["endpoint"]
        return one.name

    found = name(query)
    assert [pair.partition("=")[0] for pair in found.partition("?")[2].split("&") if pair] == (
        names.split()
    )
    assert not {"alpha", "beta", "2024-06-01", "k1", "me"} & {*re.split(r"[=&]", found)}
    assert found == name(query + "&key=x") and (found != name("provider=gamma"))
    if "order=b&order=a" in query:
        assert found != name(query.replace("order=b&order=a", "order=a&order=b"))


def test_the_first_endpoint_s_key_is_sent_to_no_other_host() -> None:
    given = specs(f"{A}#m", f"{A}#n", f"judge={B}", "writer=https://api.example.org/v1#x")
    assert [one.key_env for one in given.every] == ["POTSTILL_API_KEY"] * 2
    assert given.roles["judge"][0].key_env == "POTSTILL_API_KEY_127_0_0_1_8002"
    assert given.roles["writer"][0].key_env == "POTSTILL_API_KEY_API_EXAMPLE_ORG"
    other = specs(f"{A}#m", "judge=https://api-example.org/v1#y").roles["judge"][0]
    assert other.key_env == "POTSTILL_API_KEY_API__EXAMPLE_ORG"  # no other host has this name


def test_only_the_variable_that_is_named_itself_must_be_set() -> None:
    usual = TeacherSpec(key_env="MY_KEY", key_named=True)
    given = pool_spec([f"{A}#m", f"judge={B}", f"writer={A}#n"], usual)
    assert [one.key_named for one in given.every] == [True]
    named = {role: [one.key_named for one in many] for role, many in given.roles.items()}
    assert named == {"judge": [False], "writer": [True]}


def test_each_key_reaches_its_own_endpoint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Endpoint() as one, Endpoint() as other:
        port = other.url.split(":")[2].split("/")[0]
        monkeypatch.setenv("POTSTILL_API_KEY", "for-one")
        monkeypatch.setenv(f"POTSTILL_API_KEY_127_0_0_1_{port}", "for-other")
        ran(tmp_path, specs(one.url, f"judge={other.url}"))
        sent = [
            {request.headers.get("authorization") for request in endpoint.requests}
            for endpoint in (one, other)
        ]
    assert sent == [{"Bearer for-one"}, {"Bearer for-other"}]


@each(
    ("words", "error"),
    [
        (["criticiser=embedded"], "has no role 'criticiser'; there are judge, writer"),
        (["judge=embedded", f"judge={A}"], "2 teachers are named for role 'judge'"),
        ([f"{A}#m", f"{A}#m"], "named twice for every role"),
        (["nobody"], "there is no teacher 'nobody'"),
    ],
)
def test_teachers_that_do_not_fit_the_recipe_are_refused_before_any_starts(
    words: list[str], error: str
) -> None:
    with pytest.raises(InputError, match=error):
        pool(specs(*words), RECIPE)


def test_a_recipe_that_shares_no_role_takes_one_teacher() -> None:
    with pytest.raises(InputError, match="2 teachers are named for completions, which uses one"):
        pool(specs(f"{A}#m", f"{A}#n"), COMPLETIONS)
    both = pool(specs(f"writer={A}#m", f"judge={A}#n"), COMPLETIONS)
    assert both.every == [] and len(list(both)) == 2


def test_a_teacher_in_two_roles_is_started_once() -> None:
    one = pool(specs(f"writer={A}#m", f"judge={A}#m"), RECIPE)
    assert len(list(one)) == 1


def test_a_model_given_twice_in_other_words_is_refused_when_its_name_is_known(
    tmp_path: Path,
) -> None:
    with (
        Endpoint() as one,
        pytest.raises(InputError, match=r"'scripted-model' of .* is named twice for 'writer'"),
    ):
        ran(tmp_path, specs(one.url, f"{one.url}#scripted-model"))


# --- which teachers are called


def test_every_member_is_asked_under_its_own_name_and_a_single_one_under_the_role_s(
    tmp_path: Path,
) -> None:
    with Endpoint() as one, Endpoint() as other:
        spec = specs(f"{one.url}#m", f"{other.url}#n", f"{other.url}#o", f"judge={other.url}#p")
        rows, engine = ran(tmp_path, spec)
        asked = [Counter(r.body.get("model") for r in end.requests) for end in (one, other)]
    names = ["writer_1", "writer_2", "writer_3"]
    assert [[reply["teacher"] for reply in row["written"]] for row in rows] == [names] * 4
    assert [[reply["model"] for reply in row["written"]] for row in rows] == [["m", "n", "o"]] * 4
    assert {row["judged"][0]["teacher"] for row in rows} == {"judge"}
    assert asked[0]["m"] == 4 and [asked[1][name] for name in "nop"] == [4, 4, 4]
    found = {name: (who["endpoint"], who["model"]) for name, who in engine.identities().items()}
    assert found == {
        "writer_1": (one.url, "m"),
        "writer_2": (other.url, "n"),
        "writer_3": (other.url, "o"),
        "judge": (other.url, "p"),
    }
    assert Counter(engine.used.values()) == dict.fromkeys([*names, "judge"], 4)


def test_teachers_at_one_address_share_its_limit_and_others_have_their_own(tmp_path: Path) -> None:
    slow = Behaviour(latency="fixed:0.05")
    with Endpoint(slow) as one, Endpoint(slow) as other:
        usual = TeacherSpec(concurrency=3)
        words = [f"{one.url}#m", f"{one.url}#n", f"{other.url}#o"]
        ran(tmp_path, pool_spec([*words, f"judge={one.url}#m"], usual), rows=8)
        assert one.most_at_once == 3 and other.most_at_once <= 3


def test_one_budget_holds_for_all_endpoints_together(tmp_path: Path) -> None:
    with Endpoint() as one, Endpoint() as other:
        spec = specs(f"{one.url}#m", f"{other.url}#n", f"judge={one.url}#m")
        with pytest.raises(Stopped, match="the budget of 7 calls is reached"):
            ran(tmp_path, spec, rows=20, run_limits=RunLimits(budget=BudgetLimits(calls=7)))
        sent = sum(request.method == "POST" for end in (one, other) for request in end.requests)
    assert sent == 7


def test_each_model_costs_its_own_price_and_an_unknown_one_makes_no_budget(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[models]\nm = { input = 0, output = 1e6 }\n")
    table, usual = read_prices(prices), read_price("0/2e6")
    assert price_of("m", usual=usual, table=table) != price_of("n", usual=usual, table=table)
    with Endpoint(Behaviour(tokens=4)) as one, Endpoint(Behaviour(tokens=4)) as other:
        spec = specs(f"writer={one.url}#m", f"judge={other.url}#n")
        run_limits = RunLimits(price=usual, prices=table)
        prompts = [{"prompt": "say 1"}]
        with closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger:
            with Engine(
                RECIPE, pool(spec, RECIPE), ledger, Progress(), seed=1, run_limits=run_limits
            ) as run:
                run(one_question, prompts)
            costs = {call.model: cost for call, _, cost in ledger.answers([*run.used])}
        assert costs == {"m": 4.0, "n": 8.0}
        with pytest.raises(InputError, match="the price of 'n' is unknown"):
            ran(tmp_path, spec, run_limits=RunLimits(prices=table, budget=BudgetLimits(usd=1.0)))


def test_one_endpoint_that_refuses_its_key_stops_the_build_by_its_name(tmp_path: Path) -> None:
    with (
        Endpoint() as one,
        Endpoint(Behaviour(rules=[Rule("401")])) as other,
        pytest.raises(TeacherError, match=other.url),
    ):
        ran(tmp_path, specs(f"{one.url}#m", f"{other.url}#n"))


def test_an_endpoint_that_always_fails_stops_the_build_though_others_answer(tmp_path: Path) -> None:
    with (
        Endpoint() as one,
        Endpoint(Behaviour(rules=[Rule("400")])) as other,
        pytest.raises(TeacherError, match=f"no call was answered: {other.url}"),
    ):
        ran(tmp_path, specs(f"{one.url}#m", f"judge={other.url}#n"), rows=3)


# --- several questions of one row


def test_an_answer_that_cannot_be_parsed_is_requested_again_warmer_and_each_try_is_kept(
    tmp_path: Path,
) -> None:
    def asking(teach: Any) -> Any:
        from distilabel.pipeline import Pipeline

        def parse(_: Question, answer: Answer) -> str:
            if not answer.text.startswith("b"):
                raise Unreadable("no b")
            return answer.text.upper()

        with Pipeline(name="again") as line:
            AskAll(
                name="judge",
                llm=teach("judge", temperature=0.0),
                build=lambda raw: [
                    Question(
                        prompt=raw["prompt"], retry_sampling={"temperature": 0.7}, about={"n": n}
                    )
                    for n in range(2)
                ],
                answer="judged",
                parse=parse,
                tries=4,
                also={"added": "so"},
            )
        return line

    seen: Counter[str] = Counter()

    def text(body: Any) -> str:
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        seen[prompt] += 1
        return "b" if prompt == "say 0" and seen[prompt] > 2 else "a"

    with Endpoint(Behaviour(answer=text)) as one:
        (good, bad), _ = ran(tmp_path, specs(one.url), rows=2, wiring=asking)
        warmth = [r.body["temperature"] for r in one.requests if r.body and "say 1" in r.prompt]
    # Two equal questions of a row are one call, as everywhere.
    assert good["judged"][0]["text"] == "b" and len(good["judged"][0]["calls"]) == 3
    assert good["judged"][0]["fault"] is None and good["added"] == "so"
    assert good["judged"][0]["parsed"] == "B" and bad["judged"][0]["parsed"] is None
    assert bad["judged"][1]["fault"] == "no b" and len(set(bad["judged"][1]["calls"])) == 4
    assert warmth == [0.0, 0.7, 0.7, 0.7]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("a json schema is not supported", {"response_format"}),
        ("logprobs are not supported with this model", {"logprobs", "top_logprobs"}),
    ],
)
def test_a_parameter_that_an_endpoint_does_not_know_is_omitted_from_then_on(
    message: str, lost: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    helps = {"response_format", "logprobs", "top_logprobs"}
    monkeypatch.setitem(CODES, "400", message)
    call = Call(
        role="judge",
        endpoint="",
        model="m",
        revision=None,
        prompt=[{"role": "user", "content": "rate"}],
        sampling={"logprobs": True, "top_logprobs": 5},
        schema=SCHEMA,
    )
    rule = Rule("400", when=lambda body: bool(lost & set(body)))
    with Endpoint(Behaviour(rules=[rule], answer=lambda _: "fine")) as one:
        teacher = EndpointTeacher(TeacherSpec(place=one.url))

        async def twice() -> list[str]:
            await teacher.start()
            try:
                return [(await teacher.ask(each)).text for each in (call, replace(call, sample=1))]
            finally:
                await teacher.stop()

        assert asyncio.run(twice()) == ["fine", "fine"]
        bodies = [set(request.body) & helps for request in one.requests if request.body]
    assert bodies == [helps, helps - lost, helps - lost]


# --- the whole way


def written(folder: Path, *words: str) -> None:
    script = folder / "echo.py"
    script.write_text(ECHO)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"say {n}"}) + "\n" for n in range(6)))
    teachers = [f"--teacher={role}scripted:{script}#{model}" for role, model in TEACHERS]
    given = ["build", "ultrafeedback", "--prompts", str(prompts), "--work", str(folder / "work")]
    given += [*teachers, "--accept-unreadable"]  # the judge only echoes
    assert main([*given, "--rows", "6", "--json", *words]) == 0


TEACHERS = (("", "small"), ("", "large"), ("", "third"), ("judge=", "wise"))


def test_a_build_by_several_teachers_reports_each_and_is_built_again_from_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "--writers", "3")
    first = json.loads(capsys.readouterr().out)
    names = ["writer_1", "writer_2", "writer_3", "judge"]
    assert [*first["lineage"]["teachers"]] == names
    assert first["spent"]["roles"].keys() == set(names)
    models = {row["role"]: row["model"] for row in rows_of(Path(first["draft"]), "calls")}
    assert models == dict(zip(names, ["small", "large", "third", "wise"], strict=True))
    before = {path.name: path.read_bytes() for path in Path(first["draft"]).glob("*.parquet")}

    written(tmp_path, "--writers", "3", "--from-ledger")
    again = json.loads(capsys.readouterr().out)
    assert again["draft"] == first["draft"] and again["run"]["calls"] == 0
    assert before == {
        path.name: path.read_bytes() for path in Path(again["draft"]).glob("*.parquet")
    }


def test_the_shards_of_a_pool_s_build_merge_to_the_bytes_of_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    measured = {"judge": "wise", "verdict": "reliable", "reliable": True, "reasons": []}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"judges": [{**measured, "figures": {}}]}))
    for folder in (whole, parts):
        folder.mkdir()
    written(whole, "--judge-report", str(report))
    single = Path(json.loads(capsys.readouterr().out)["draft"])
    for shard in ("1/2", "2/2"):
        written(parts, "--shard", shard, "--judge-report", str(report))
    capsys.readouterr()
    assert main(["merge", "ultrafeedback", "--work", str(parts / "work")]) == 0
    merged = parts / "work" / "ultrafeedback" / "drafts" / "0001"
    for path in single.glob("*.parquet"):
        assert path.read_bytes() == (merged / path.name).read_bytes(), path.name
    facts = [json.loads((draft / "draft.json").read_text()) for draft in (single, merged)]
    assert facts[0]["measures"] == facts[1]["measures"]
    assert (
        facts[0]["lineage"]["judges"]
        == facts[1]["lineage"]["judges"]
        == [{**measured, "figures": {}}]
    )


def test_a_recipe_shares_only_roles_that_it_has() -> None:
    recipes: list[Recipe] = [load_recipe(name) for name in recipe_names()]
    assert all(set(recipe.pools) <= set(recipe.roles) for recipe in recipes)


# --- licences


LICENCES: dict[str, tuple[list[str], list[str], dict[str, str | None]]] = {
    "of all": ([f"{A}#a"], ["mit"], {"writer": "mit", "judge": "mit"}),
    "in capitals": ([f"{A}#a"], ["Apache-2.0"], {"writer": "apache-2.0", "judge": "apache-2.0"}),
    "by role": (
        [f"writer={A}#a", f"judge={B}#b"],
        ["writer=mit", "judge=llama3.1"],
        {"writer": "mit", "judge": "llama3.1"},
    ),
    "by address": (
        [f"writer={A}#a", f"judge={B}#b"],
        [f"{B}=gemma", "mit"],
        {"writer": "mit", "judge": "gemma"},
    ),
    "by model": (
        [f"writer={A}#a", f"writer={A}#b", f"judge={A}#a"],
        [f"{A}#b=gemma"],
        {"writer_1": "unknown", "writer_2": "gemma", "judge": "unknown"},
    ),
    "one model in two roles": (
        [f"writer={A}#a", f"judge={A}#a"],
        ["judge=mit"],
        {"writer": "mit", "judge": "mit"},
    ),
    "by a role of the recipe": (
        [f"{A}#a"],
        ["judge=gemma"],
        {"writer": "gemma", "judge": "gemma"},
    ),
    "by a number": (
        [f"{A}#a", f"{A}#b", f"judge={B}#c"],
        ["writer_2=gemma", "judge=mit"],
        {"writer_1": "unknown", "writer_2": "gemma", "judge": "mit"},
    ),
    "the last one": ([f"{A}#a"], ["gemma", "mit"], {"writer": "mit", "judge": "mit"}),
    "an address with a query": (
        [f"judge={A}?api-version=2#a"],
        [f"{A}?api-version=2=mit", f"{A}?api-version=2#a=gemma"],
        {"judge": "gemma", "writer": "apache-2.0"},
    ),
    "none": ([f"{A}#a"], [], {"writer": "unknown", "judge": "unknown"}),
}


@each("name", [*LICENCES])
def test_a_licence_is_that_of_the_teacher_which_it_names(name: str) -> None:
    words, licences, expected = LICENCES[name]
    spec = pool_spec(words, TeacherSpec(), (), (), [*map(read_teacher_license, licences)])
    before = pool(pool_spec(words, TeacherSpec()), RECIPE).recorded()
    for who in (pool(spec, RECIPE), recorded_pool(before, spec, RECIPE)):
        found = {one: named for role in RECIPE.roles for one, named in who.of(role, RECIPE).items()}
        assert {one: named.identity()["licence"] for one, named in found.items()} == expected


def test_a_given_licence_is_recorded_as_given_beside_that_of_the_model_s_file() -> None:
    spec = pool_spec([], TeacherSpec(), (), (), [("", "mit")])
    (embedded,) = pool(spec, RECIPE)
    facts = {"licence": "mit", "licence_from": "given; its file states apache-2.0"}
    assert embedded.identity().items() >= facts.items()


@each("word", ["apache2", "judge=", "=", "writer=gpl4", "judge=mit=", ""])
def test_a_licence_that_the_hub_does_not_know_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="is not known to the Hub"):
        read_teacher_license(word)


def test_the_licence_of_a_teacher_that_is_none_of_the_build_is_refused() -> None:
    spec = pool_spec([f"judge={A}#a"], TeacherSpec(), (), (), [("juge", "mit")])
    with pytest.raises(InputError, match=r"--teacher-license 'juge' .* did you mean 'judge'"):
        pool(spec, RECIPE)
