"""A build until so many rows are kept: what is asked follows from counts alone, none too many."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from builders import Draft, build
from builders.drafting.contributions import CONTRIBUTED, contribution
from builders.drafting.files import write_parquet
from builders.errors import RecipeError
from builders.recipe import row_id
from builders.schema import assistant, user
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, file_bytes
from tests.endpoint import Behaviour, Endpoint

DATA = ("default.parquet", "dropped.parquet", "calls.parquet")
REFUSED = "I'm sorry, but I can't help with that."
SCRIPT = f"""
def answer(call):
    number = int(call.text.split()[2])
    return "{REFUSED}" if number % 3 == 0 else f"It is {{2 * number}}."
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with 60 prompts, each seventh of them twice; each third is refused."""
    monkeypatch.chdir(tmp_path)
    lines = [f"What is {n} plus {n}?" for n in range(60) for _ in range(2 if n % 7 == 0 else 1)]
    Path("prompts.txt").write_text("\n".join(lines), encoding="utf-8")
    Path("script.py").write_text(SCRIPT, encoding="utf-8")


def built(**given: Any) -> Draft:
    values = {"prompts": "prompts.txt", "teacher": "scripted:script.py", "progress": False}
    return build("completions", **{**values, **given})


def data(draft: Draft) -> dict[str, bytes]:
    return {name: content for name, content in file_bytes(draft.folder).items() if name in DATA}


@each(("keep", "rows"), [(1, 2), (2, 3), (20, 30), (38, 57), (40, 60)])
def test_a_build_until_rows_are_kept_is_the_one_of_the_fewest_prompts_that_give_them(
    tmp_path: Path, keep: int, rows: int
) -> None:
    draft = built(keep=keep, work=tmp_path / f"keep-{keep}")
    whole = built(rows=rows, work=tmp_path / f"rows-{rows}")
    assert draft.counts["kept"] == keep and draft.missing is None
    assert data(draft) == data(whole) and draft.counts == whole.counts
    settings = draft.facts["lineage"]["settings"]
    assert (settings["rows"], settings["keep"]) == (rows, keep)
    assert draft.facts["lineage"]["seeds"] == whole.facts["lineage"]["seeds"]
    assert draft.run["calls"] == rows


@each(
    ("given", "why"),
    [
        (
            {"keep": 50},
            "10 of 50 rows to keep are missing after 60 prompts: 20 refusal, 9 left out: repeated; "
            "give a larger source",
        ),
        (
            {"keep": 30, "rows": 9},
            "24 of 30 rows to keep are missing after 9 prompts: 3 refusal, 2 left out: repeated; "
            "raise --rows",
        ),
    ],
)
def test_what_is_missing_is_explained_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, int], why: str
) -> None:
    work = str(tmp_path / str(given["keep"]))
    assert built(**given, work=work).missing == why
    words = [f"--{name}={value}" for name, value in given.items()]
    words += ["--prompts", "prompts.txt", "--teacher", "scripted:script.py", "--work", work]
    assert main(["build", "completions", *words]) == 0
    out, err = capsys.readouterr()
    assert f"note: {why}" in " ".join(out.split()) and f"until {given['keep']} rows" in err
    assert main(["build", "completions", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == why


def answering(body: dict[str, Any]) -> str:
    number = int(body["messages"][-1]["content"].split()[2])
    return REFUSED if number % 3 == 0 else f"It is {2 * number}."


def test_neither_the_order_of_answers_nor_a_stop_changes_what_is_asked(tmp_path: Path) -> None:
    drafts = []
    with Endpoint(Behaviour(answer=answering, latency="lognormal:0.005:1.5")) as endpoint:
        for work, concurrency in (("one", 16), ("two", 3), ("stopped", 4)):
            place = {"teacher": endpoint.url, "work": tmp_path / work, "keep": 20}
            before = len(endpoint.requests)
            for calls in (7, 23) if work == "stopped" else ():
                words = ["--teacher", endpoint.url, "--keep", "20", "--work", str(tmp_path / work)]
                words += ["--prompts", "prompts.txt", "--budget-calls", str(calls)]
                assert main(["build", "completions", *words]) == 3
            drafts.append(built(**place, concurrency=concurrency))
            asked = [one for one in endpoint.requests[before:] if one.method == "POST"]
            assert len(asked) == 30
            assert built(**place, from_ledger=True).folder == drafts[-1].folder
    assert data(drafts[0]) == data(drafts[1]) == data(drafts[2])
    assert Counter(drafts[2].counts["dropped"]) == {"refusal": 10}


def test_rows_count_after_the_gates_that_need_all_rows(tmp_path: Path) -> None:
    script = SCRIPT.replace("% 3 == 0", "% 4 == 0").replace(REFUSED, "Sure.")
    Path("script.py").write_text(script, encoding="utf-8")
    draft = built(keep=20, work=tmp_path)
    assert draft.counts["kept"] == len(draft.rows()) == 20
    assert draft.counts["dropped"] == {"same text": 7}


def test_rows_that_people_gave_count_among_those_kept(tmp_path: Path) -> None:
    prompts = [user("What is 1 plus 1?"), user("Who gave this?")]
    given = [
        contribution(
            action,
            {"id": row_id(prompt), "prompt": prompt, "completion": assistant("Two.")},
            contributor="ann",
            pull_request=1,
            commit="c0ffee",
        )
        for action, prompt in zip(("changed", "added"), prompts, strict=True)
    ]
    write_parquet(tmp_path / "contributed.parquet", CONTRIBUTED, given)
    draft = built(keep=10, contributed=tmp_path / "contributed.parquet", work=tmp_path)
    assert draft.counts["kept"] == 10
    assert {row_id(prompt) for prompt in prompts} <= {row["id"] for row in draft.rows()}


def test_instructions_are_grown_until_rows_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path)
    del words[words.index("--rows") : words.index("--work")]
    facts = []
    for more in ((), ("--from-ledger",)):
        assert main([*words, "--keep", "7", "--json", *more]) == 0
        facts.append(json.loads(capsys.readouterr().out))
    assert facts[0]["counts"]["kept"] == 7 and facts[0]["draft"] == facts[1]["draft"]
    assert facts[1]["run"]["calls"] == 0
    assert facts[0]["run"]["calls"] == facts[0]["spent"]["roles"]["writer"]["calls"]
    assert main([*words, "--keep", "7000", "--rows", "12", "--json"]) == 0
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert "after 12 instruction candidates: " in missing and missing.endswith("; raise --rows")


def test_a_source_whose_rows_make_several_gives_no_more_than_are_to_be_kept(
    tmp_path: Path,
) -> None:
    recipe = tmp_path / "twice.py"
    recipe.write_text(RECIPE.replace("STEPS", "ask"), encoding="utf-8")
    Path("prompts.txt").write_text("".join(f"What is {n} ?\n" for n in range(9)))
    draft = build(recipe, prompts="prompts.txt", teacher="scripted:script.py", keep=5, work="w")
    assert draft.counts == {"made": 10, "kept": 5, "dropped": {"surplus": 1, "refusal": 4}}


RECIPE = """
from distilabel.pipeline import Pipeline
from distilabel.steps import GlobalStep

from builders.engine.tasks import Ask
from builders.gates.text import refusal
from builders.recipe import Recipe, Seeds
from builders.schema import PROMPT_COMPLETION, assistant, user


class Whole(GlobalStep):
    def process(self, inputs):
        yield inputs


def pipeline(teach):
    with Pipeline(name="twice") as line:
        ask = Ask(name="ask", llm=teach("writer"), build=lambda raw: raw["prompt"],
                  answer="answer", num_generations=2)
        STEPS
    return line


def row(raw):
    text = raw["prompt"][0]["content"] + raw["llm_ask_call"]
    return {"prompt": user(text), "completion": assistant(raw["answer"])}


RECIPE = Recipe(
    name="twice", makes="two rows for each prompt", schema=PROMPT_COMPLETION, rows=4,
    seeds=Seeds(form="prompts", source="prompts.txt"), roles={"writer": "answers"},
    rows_of="prompts", pipeline=pipeline, row=row, gates=(refusal,),
)
"""


def test_a_step_that_works_on_all_rows_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    recipe = tmp_path / "twice.py"
    recipe.write_text(RECIPE.replace("STEPS", "ask >> Whole(name='whole')"), encoding="utf-8")
    values: dict[str, Any] = {"prompts": "prompts.txt", "teacher": "scripted:script.py"}
    with pytest.raises(RecipeError, match=r"step 'whole' works on all rows at once, .*alone"):
        build(recipe, **values, keep=5, work="w")


@each(
    ("words", "line"),
    [
        (("--shard", "1/2"), "--keep with --shard: no shard knows what others keep"),
        (("--estimate", "--shard", "1/2"), "--keep with --shard: no shard knows what others keep"),
    ],
)
def test_no_shard_is_built_until_rows_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    given = ["--prompts", "prompts.txt", "--teacher", "scripted:script.py", "--keep", "5"]
    assert main(["build", "completions", *given, *words, "--work", str(tmp_path / "w")]) == 1
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1 and not (tmp_path / "w").exists()


@each(("keep", "rows"), [(3, 5), (20, 32), (500, 60)])
def test_an_estimate_is_of_the_rows_that_it_takes_to_keep_so_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: int, rows: int
) -> None:
    given = ["--prompts", "prompts.txt", "--teacher", "scripted:script.py", "--estimate", "--json"]
    work = ["--work", str(tmp_path / str(keep))]
    assert main(["build", "completions", *given, "--keep", str(keep), *work]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
