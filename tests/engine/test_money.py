"""Money is never guessed: what an endpoint does not count is counted at the most it can be."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.build import build
from builders.drafting.draft import Draft
from builders.drafting.summary import table
from builders.engine.budget import most_tokens, plausible
from builders.engine.calls import Answer, Call, Used
from builders.engine.in_flight_file import InFlightFile
from builders.engine.ledger import Ledger
from builders.engine.prices import Price, price_of
from builders.engine.progress import Progress
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_kinds import teacher
from builders.errors import FolderError, InputError, PotstillError, Stopped
from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Rule


def answering(usage: Any) -> Behaviour:
    """Every answer has this usage."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": f"Thus: {body['messages'][-1]['content']}."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"model": "m", "choices": [choice], "usage": usage}

    return Behaviour(answer=answer)


def built(folder: Path, url: str, **more: Any) -> Draft:
    texts = [f"What is number {n} good for?" for n in range(8)]
    (folder / "p.txt").write_text("\n".join(texts) + "\n")
    options = {"samples": 1, "max_tokens": 100, "concurrency": 2, "model": "m", "price": "1/10"}
    given = {"prompts": folder / "p.txt", "teacher": url, "work": folder / "work", **options}
    return build("completions", progress=False, **(given | more))


CALL = Call(
    role="writer",
    endpoint="e",
    model="m",
    revision=None,
    prompt="x" * 250,
    sampling={"max_tokens": 100},
)


@each(
    ("given", "counted", "most"),
    {
        "all": ((9, 30), (9, 30), (9, 30)),
        "none": ((None, None), (None, None), (116, 100)),
        "the prompt only": ((9, None), (9, None), (9, 100)),
        "the answer only": ((None, 30), (None, 30), (116, 30)),
        "negative": ((-5, -1), (None, None), (116, 100)),
        "nothing": ((0, 0), (0, 0), (0, 0)),
        "beyond all contexts": ((10**20, 2**31 - 1), (None, None), (116, 100)),
        "thinking beyond max_tokens": ((9, 60_000), (9, 60_000), (9, 60_000)),
        "a long prompt of the server's": ((150_000, 30), (150_000, 30), (150_000, 30)),
        "one of both is absurd": ((9, 200_102), (9, None), (9, 100)),
    },
)
def test_tokens_that_are_not_counted_are_the_most_that_they_can_be(
    given: tuple[int, int], counted: tuple[int, int], most: tuple[float, float]
) -> None:
    answer = plausible(CALL, Answer(text="x", input_tokens=given[0], output_tokens=given[1]))
    assert (answer.input_tokens, answer.output_tokens) == counted
    assert most_tokens(CALL, answer) == most


@each(
    ("counts", "cached"),
    [
        ({"input_tokens": 100, "cached_tokens": 100}, 100),
        ({"input_tokens": 100, "cached_tokens": 900}, None),
        ({"cached_tokens": 90}, None),
        ({"input_tokens": 2**40, "cached_tokens": 90}, None),
        ({"total_tokens": 100, "cached_tokens": 90}, None),
    ],
)
def test_more_cached_tokens_than_input_are_no_count_and_make_nothing_cheaper(
    counts: dict[str, int], cached: int | None
) -> None:
    answer = plausible(CALL, Answer(text="x", output_tokens=10, **counts))
    assert answer.cached_tokens == cached
    thought = {"reasoning_tokens": cached and 10 * cached}
    assert plausible(CALL, replace(answer, **thought)).reasoning_tokens is None


def test_a_total_that_is_not_divided_is_used(tmp_path: Path) -> None:
    with Endpoint(answering({"total_tokens": 50})) as endpoint:
        draft = built(tmp_path, endpoint.url)
    # All of it may be output, at 10 USD a million.
    assert draft.facts["spent"]["usd"] is None
    assert draft.facts["spent"]["at_most_usd"] == pytest.approx(8 * 50 * 10 / 1e6)
    assert plausible(CALL, Answer(total_tokens=2**31)).total_tokens is None


@each(
    ("text", "reasoning", "most"),
    [
        ("x" * 800, None, 100),
        ("x" * 801, None, 321),
        ("x" * 400, "é" * 201, 321),
        ("x" * 845_000, None, 338_000),
    ],
)
def test_an_answer_that_did_not_keep_to_its_bound_is_as_long_as_it_is(
    text: str, reasoning: str | None, most: int
) -> None:
    answer = Answer(text=text, reasoning=reasoning, input_tokens=9)
    assert most_tokens(CALL, answer) == (9, most)
    counted = len(text) // 4
    assert plausible(CALL, replace(answer, output_tokens=counted)).output_tokens == counted


def test_an_answer_without_a_bound_is_as_long_as_its_text_and_thinking_at_least() -> None:
    call = replace(CALL, sampling={})
    assert most_tokens(call, Answer(text="short", input_tokens=1)) == (1, 4096)
    long = Answer(text="x" * 20_000, reasoning="y" * 5_000, input_tokens=1)
    assert most_tokens(call, long) == (1, 10_000)


def test_an_answer_without_usage_costs_at_most_what_was_reserved_and_never_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Endpoint(answering(None)) as endpoint:
        draft = built(tmp_path, endpoint.url)
    spent = draft.facts["spent"]
    assert spent["usd"] is None and spent["roles"]["writer"]["uncounted"] == 8
    # 100 tokens at 10 USD a million, and a prompt of some 35 tokens at 1 USD.
    assert 0.008 < spent["at_most_usd"] < 0.0085
    assert f"at most {spent['at_most_usd']:.6g}" in table(draft)
    assert "(8 of them not counted)" in table(draft)
    assert (draft.run["cost_usd"], draft.run["calls_of_unknown_cost"]) == (None, 8)
    assert draft.run["at_most_usd"] == pytest.approx(spent["at_most_usd"], abs=1e-6)
    assert main(["ledger", "completions", "--work", str(tmp_path / "work")]) == 0
    assert f"at most {spent['at_most_usd']:.6g} USD" in capsys.readouterr().out
    readme = (draft.release(tmp_path / "out") / "README.md").read_text()
    assert f"at most {spent['at_most_usd']:.6g}" in readme


@pytest.mark.parametrize(
    "limit", [{"budget_usd": 0.005}, {"budget_tokens": 600}, {"budget_calls": 4}]
)
def test_a_budget_holds_over_restarts_and_without_usage(
    tmp_path: Path, limit: dict[str, Any]
) -> None:
    with Endpoint(answering(None)) as endpoint:
        with pytest.raises(Stopped, match=r"used in all, .* with a larger budget to go on"):
            built(tmp_path, endpoint.url, **limit)
        asked = sum(request.method == "POST" for request in endpoint.requests)
        assert asked == 4
        with pytest.raises(Stopped, match="before this run"):
            built(tmp_path, endpoint.url, **limit)
        assert sum(request.method == "POST" for request in endpoint.requests) == asked
        larger = {name: 3 * amount for name, amount in limit.items()}
        assert built(tmp_path, endpoint.url, **larger).counts["made"] == 8


def test_requests_without_an_answer_count_and_the_draft_does_not_change(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    late = [
        Rule("hang", contains="number 3", first_n=1),
        Rule("half", contains="number 5", first_n=2),
    ]
    with Endpoint(answering(usage)) as endpoint:
        calm = built(tmp_path, endpoint.url, work=tmp_path / "calm")
        endpoint.set(replace(answering(usage), rules=late))
        draft = built(tmp_path, endpoint.url, timeout_s=1)
    assert draft.facts == calm.facts
    assert draft.run["cost_usd"] == calm.run["cost_usd"] == pytest.approx(8 * 0.00011)
    # Three requests were lost, each at most 100 tokens of output.
    assert 0.003 < draft.run["at_most_usd"] - calm.run["at_most_usd"] < 0.0032
    path = tmp_path / "work" / "completions" / "ledger.sqlite"
    with closing(Ledger.open(path, read_only=True)) as ledger:
        [(who, used, _)] = ledger.used()
    assert who["requests"] == 11
    assert used.usd == pytest.approx(draft.run["at_most_usd"], abs=1e-6)
    with (
        Endpoint(answering(usage)) as endpoint,
        pytest.raises(Stopped, match="most: 11 requests"),
    ):
        built(tmp_path, endpoint.url, budget_calls=11, samples=2)


BAD = {
    "no answer that counts tokens": [Rule("half", first_n=1)],
    "failures": [Rule("500", contains="number 1"), Rule("half", contains="number 2")],
    "refusals of the endpoint": [Rule("429", seconds=0.1, first_n=2)],
    "refusals of the request": [Rule("400", contains="number 1"), Rule("403", contains="number 5")],
    "late answers": [Rule("hang", contains="number 1")],
}


@pytest.mark.parametrize("rules", BAD.values(), ids=[*BAD])
@pytest.mark.parametrize("limit", [{"budget_usd": 0.0055}, {"budget_calls": 7}])
def test_the_ledger_shows_the_figures_for_which_a_budget_stopped_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: list[Rule], limit: dict[str, Any]
) -> None:
    with (
        Endpoint(replace(answering(None), rules=rules)) as endpoint,
        pytest.raises(Stopped) as stopped,
    ):
        built(tmp_path, endpoint.url, timeout_s=0.5, **limit)
    [used] = re.findall(r"(used in all, at most: .*), and the next call", str(stopped.value))
    requests = sum(request.method == "POST" for request in endpoint.requests)
    assert f" {requests} requests, " in used
    assert main(["ledger", "completions", "--work", str(tmp_path / "work")]) == 0
    out = capsys.readouterr().out
    assert used in out.splitlines()
    words = ["ledger", "completions", "--work", str(tmp_path / "work"), "--json"]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["used"]["usd"] == pytest.approx(facts["at_most_usd"]) and facts["calls"] < requests
    assert facts["failed_requests"].keys() == facts["failures"].keys()


LOST = ("not JSON", "broken off", "http 504")  # nobody knows what these used


def given(status: int, body: Any) -> Rule:
    return Rule("given", status=status, body=body)


@each(
    ("rule", "cause", "words"),
    {
        "an error": (given(500, {"error": {"message": "boom"}}), "http 500", "answered 500: boom"),
        "a page": (Rule("502"), "http 502", "an HTML page (Bad Gateway)"),
        "too busy": (Rule("503"), "http 503", "answered 503: overloaded"),
        "a limit": (Rule("429", seconds=0.1), "http 429", "answered 429: rate limit exceeded"),
        "an error in a 200": (
            given(200, {"error": {"message": "worker died", "code": 500}}),
            "http 500",
            "answered 500: worker died",
        ),
        "a proxy's time-out": (given(504, "upstream"), "http 504", "answered 504: upstream"),
        "a broken answer": (Rule("broken-json"), "not JSON", "not JSON"),
        "no whole answer": (Rule("half"), "broken off", "broke off the connection"),
    }.values(),
)
def test_a_budget_that_failures_used_up_names_them_and_their_calls_are_asked_again(
    tmp_path: Path, rule: Rule, cause: str, words: str
) -> None:
    work = {"work": tmp_path / f"{hash(rule.kind + words)}"}
    path = work["work"] / "completions/ledger.sqlite"
    with Endpoint(replace(answering({}), rules=[rule])) as endpoint:
        with pytest.raises(Stopped, match="no request of this run succeeded, the last: ") as stop:
            built(tmp_path, endpoint.url, budget_calls=10, concurrency=8, **work)
        assert words in str(stop.value) and stop.value.status == 3
        free = "most: 10 requests, 0 tokens, and the next" in str(stop.value)
        assert free == (cause not in LOST)
        with closing(Ledger.open(path, read_only=True)) as ledger:
            failed = ledger.summary()["failed_requests"]
        assert failed.keys() <= {f"stopped after {cause}", cause} and sum(failed.values()) == 10
        assert f"stopped after {cause}" in failed
        with pytest.raises(PotstillError, match="the ledger has no answer to call"):
            built(tmp_path, endpoint.url, from_ledger=True, **work)
        endpoint.set(answering({}))
        assert built(tmp_path, endpoint.url, budget_calls=99, **work).counts["kept"] == 8


def test_a_budget_that_answers_used_up_names_no_failure(tmp_path: Path) -> None:
    behaviour = replace(answering({}), rules=[Rule("500", contains="number 1")])
    with Endpoint(behaviour) as endpoint, pytest.raises(Stopped) as stop:
        built(tmp_path, endpoint.url, budget_calls=8)
    assert "of 8 calls is reached" in str(stop.value) and "succeeded" not in str(stop.value)


def test_requests_in_flight_when_a_build_is_killed_count_until_the_budget_is_larger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("".join(f"Number {n}?\n" for n in range(8)))
    file = tmp_path / "work/completions/ledger.sqlite-in-flight.json"
    words = ["completions", "--prompts", str(tmp_path / "p.txt"), "--samples", "1", "--model", "m"]
    words += ["--concurrency", "2", "--work", str(tmp_path / "work"), "--budget-calls", "6"]
    with Endpoint(Behaviour(rules=[Rule("hang")])) as endpoint:
        command = [sys.executable, "-m", "scripts.main", "build", *words]
        run = subprocess.Popen([*command, "--teacher", endpoint.url])
        while sum(request.method == "POST" for request in endpoint.requests) < 2:
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
        run.wait()
    assert 2 <= json.loads(file.read_text())["calls"] < 3
    with Endpoint() as endpoint:
        for sent in (4, 4):
            assert main(["build", *words, "--teacher", endpoint.url]) == 3
            assert sum(request.method == "POST" for request in endpoint.requests) == sent
        assert "up to 2 requests not recorded" in capsys.readouterr().err
        words[-1] = "11"
        assert main(["build", *words, "--teacher", endpoint.url]) == 0
    assert file.exists()


def test_requests_that_failed_count_after_a_kill_while_their_calls_are_sent_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "p.txt").write_text("".join(f"Number {n}?\n" for n in range(8)))
    words = ["completions", "--prompts", str(tmp_path / "p.txt"), "--samples", "1", "--model", "m"]
    words += ["--concurrency", "2", "--work", str(tmp_path / "work"), "--budget-calls", "6"]
    with Endpoint(Behaviour(rules=[Rule("500")])) as endpoint:
        command = [sys.executable, "-m", "scripts.main", "build", *words]
        run = subprocess.Popen([*command, "--teacher", endpoint.url])
        while (failed := sum(one.method == "POST" for one in endpoint.requests)) < 4:
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
        run.wait()
    with Endpoint() as endpoint:
        assert main(["build", *words, "--teacher", endpoint.url]) == 3
        assert 1 <= sum(one.method == "POST" for one in endpoint.requests) <= 6 - failed


@pytest.mark.parametrize("concurrency", [1, 4, 8])
def test_a_budget_counts_the_requests_that_were_sent_again_without_a_parameter(
    tmp_path: Path, concurrency: int
) -> None:
    def refuses(body: dict[str, Any]) -> bool:
        return "seed" in body or "max_tokens" in body

    refusal = {"error": {"message": "Unsupported parameter: 'seed', 'max_tokens'"}}
    rule = Rule("given", when=refuses, status=400, body=refusal)
    with Endpoint(replace(answering(None), rules=[rule])) as endpoint:
        for _ in range(2):
            with pytest.raises(Stopped, match="used in all, at most: 5 requests"):
                built(tmp_path, endpoint.url, budget_calls=5, concurrency=concurrency)
            assert sum(one.method == "POST" for one in endpoint.requests) == 5
    with closing(Ledger.open(tmp_path / "work/completions/ledger.sqlite")) as ledger:
        assert sum(who["requests"] for who, *_ in ledger.used()) == 5
        assert concurrency > 1 or len(ledger) == 3  # two were refused


def test_a_build_that_ends_leaves_no_file_of_requests_in_flight(tmp_path: Path) -> None:
    with Endpoint(answering(None)) as endpoint:
        built(tmp_path, endpoint.url, budget_calls=100)
    assert not [*(tmp_path / "work/completions").glob("*in-flight*")]


@each("content", ["", "{", "[]", "{}", '{"calls": "x", "tokens": 0, "usd": 0}'])
def test_a_damaged_file_of_requests_in_flight_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "a-in-flight.json").write_text(content)
    with pytest.raises(FolderError, match=r"a-in-flight\.json .*delete it"):
        InFlightFile(tmp_path / "a")


def test_a_request_that_is_cut_off_by_the_stop_of_a_build_is_counted_by_the_next(
    tmp_path: Path,
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    behaviour = answering(usage)
    with (
        Endpoint(
            Behaviour(rules=[Rule("hang", contains="number 0")], answer=behaviour.answer)
        ) as e,
        pytest.raises(Stopped, match="budget of 4 calls"),
    ):
        built(tmp_path, e.url, budget_calls=4, timeout_s=1)
    with closing(
        Ledger.open(tmp_path / "work/completions/ledger.sqlite", read_only=True)
    ) as ledger:
        assert ledger.summary()["failures"] == {"stopped after time-out": 1}
        [(who, used, _)] = ledger.used()
        assert who["requests"] == 4 and 160 < used.tokens < 220


def test_what_was_recorded_without_a_price_counts_by_todays_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    with Endpoint(answering(usage)) as endpoint:
        draft = built(tmp_path, endpoint.url, price=None)
        assert draft.facts["spent"]["at_most_usd"] is None
        with pytest.raises(InputError, match=r"price of 'm' is unknown.* give --price IN/OUT"):
            built(tmp_path, endpoint.url, price=None, budget_usd=1)
        with pytest.raises(Stopped, match=r"0\.0016 USD before this run"):
            built(tmp_path, endpoint.url, budget_usd=0.002, samples=2)
        priced = built(tmp_path, endpoint.url).facts["spent"]
        assert (priced["usd"], priced["roles"]["writer"]["calls"]) == (
            pytest.approx(8 * 0.00011),
            8,
        )
        words = ["build", "completions", "--prompts", str(tmp_path / "p.txt"), "--samples", "1"]
        words += ["--max-tokens", "100", "--model", "m", "--price", "1/10", "--estimate", "--json"]
        assert main([*words, "--work", str(tmp_path / "work"), "--teacher", endpoint.url]) == 0
        assert json.loads(capsys.readouterr().out)["usd"]["expected"] == pytest.approx(8 * 0.00011)


def test_an_estimate_from_uncounted_answers_is_an_upper_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("".join(f"What is number {n} good for?\n" for n in range(80)))
    words = ["build", "completions", "--prompts", str(tmp_path / "p.txt"), "--samples", "1"]
    words += ["--max-tokens", "100", "--model", "m", "--price", "1/10", "--estimate"]
    with Endpoint(answering(None)) as endpoint:
        assert main([*words, "--work", str(tmp_path), "--teacher", endpoint.url]) == 0
    assert re.search(r"tokens  at most 11,200 .*\nUSD     at most 0\.08", capsys.readouterr().out)


def test_what_a_failed_call_may_have_cost_is_shown() -> None:
    progress = Progress()
    progress.spend(None, Used(0, 0.0), Used(50, 0.5))
    assert progress.facts()["at_most_usd"] == 0.5 and "at most 0.5000 USD" in progress.line()


@each(
    ("usage", "counted"),
    {
        "thinking is part": ((10, 300, 310, 280), (10, 300)),
        "thinking is beside, as the total shows": ((10, 20, 310, 280), (10, 300)),
        "thinking is beside, as it is longer": ((10, 20, None, 280), (10, 300)),
        "thinking is in the total only": ((10, 20, 310, None), (10, 300)),
        "prompt and total": ((10, None, 60, None), (10, 50)),
        "answer and total": ((None, 50, 60, None), (10, 50)),
        "a total alone": ((None, None, 60, None), (None, None)),
        "a text of no tokens": ((10, 0, 60, None), (10, 50)),
        "a total below its part": ((90, None, 60, None), (90, None)),
    },
)
def test_thinking_is_priced_once_and_a_missing_part_follows_from_the_total(
    usage: tuple[int | None, ...], counted: tuple[int | None, ...]
) -> None:
    prompt, completion, total, thinking = usage
    with Endpoint(
        answering(
            {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": total,
                "completion_tokens_details": {"reasoning_tokens": thinking},
            }
        )
    ) as endpoint:
        answer = asyncio.run(_answer(endpoint.url))
    assert (answer.input_tokens, answer.output_tokens) == counted


def test_what_a_cache_holds_beside_the_input_is_input() -> None:
    usage = {"input_tokens": 12, "output_tokens": 10, "cache_read_input_tokens": 5000}
    with Endpoint(answering({**usage, "cache_creation_input_tokens": 3000})) as endpoint:
        answer = asyncio.run(_answer(endpoint.url))
    assert (answer.input_tokens, answer.output_tokens) == (8012, 10)
    assert answer.cached_tokens == 5000


def test_the_cost_of_requests_without_an_answer_is_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("What is number 1 good for?\n")
    words = ["build", "completions", "--prompts", str(tmp_path / "p.txt"), "--samples", "1"]
    words += ["--max-tokens", "100", "--model", "m", "--price", "1/10", "--timeout", "0.5"]
    hangs = Behaviour(rules=[Rule("hang", first_n=1)])
    with Endpoint(hangs) as endpoint:
        assert main([*words, "--work", str(tmp_path), "--teacher", endpoint.url]) == 0
    assert re.search(
        r"cost of this run in USD +at most 0\.00\d+, with requests without an answer",
        capsys.readouterr().out,
    )


async def _answer(url: str) -> Answer:
    who = teacher(TeacherSpec(place=url, model="m"))
    await who.start()
    try:
        prompt = [{"role": "user", "content": "Say so."}]
        return await who.ask(
            Call(role="writer", endpoint=who.name, model="m", revision=None, prompt=prompt)
        )
    finally:
        await who.stop()


def test_cached_input_has_its_own_price_where_the_table_has_one() -> None:
    assert Price(input=2, output=8, cached=0.5).cost(100, 10, 60) == (40 * 2 + 60 * 0.5 + 80) / 1e6
    assert Price(input=2, output=8).cost(100, 10, 60) == 280 / 1e6
    assert Price(input=2, output=8, cached=0).cost(100, 10, 500) == 80 / 1e6


@each(
    ("model", "input_usd"),
    {
        name: (name, usd)
        for name, usd in {
            "gpt-4o-mini": 0.15,
            "openai/gpt-4o-mini": 0.15,
            "openrouter/openai/gpt-4o-mini": 0.15,
            "models/gemini-2.5-flash": 0.30,
            "someone/gpt-4o-mini": None,
            "gpt-4o-mini:free": None,
            "openai/": None,
        }.items()
    },
)
def test_a_model_is_found_under_the_names_that_gateways_give_it(
    model: str, input_usd: float | None
) -> None:
    price = price_of(model)
    assert (price and price.input) == input_usd
