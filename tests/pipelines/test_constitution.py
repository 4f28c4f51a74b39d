"""Constitutional AI: chains of revisions, pairs decided by principles, a build's figures."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import pipelines.constitution
from builders.drafting.draft import last_draft
from builders.preferences.principles import read_constitution
from builders.recipe import row_id
from builders.sources.seed_forms import read_prompts
from builders.sources.source import Source
from pipelines.constitution import RECIPE, SHIPPED, constitution_file
from scripts.main import main
from tests.drafting.test_run import rows_of
from tests.preferences.test_principles import GOOD

SCRIPT = '''
import re

SURE = 0.8


def answer(call):
    """The writer is kinder at each turn; the judge prefers the first answer, by SURE."""
    if call.role == "writer":
        turns = len(call.prompt) // 2
        text = f"{'kind ' * turns}answer {call.sample} to {call.prompt[0]['content']}"
        return f"{text} ({call.id})" if turns else text
    first = re.search(r"answer A, mark \\w+>>>\\n(.*)\\n", call.text)[1]
    second = re.search(r"answer B, mark \\w+>>>\\n(.*)\\n", call.text)[1]
    better = "A" if "answer 0" in first else "B"
    better = PICK(better, first, second)
    if not call.sampling.get("logprobs"):
        return f"I have thought of it.\\n[[{better}]]"
    if not SURE:
        return better
    odds = {"A": SURE, "B": 1 - SURE} if better == "A" else {"A": 1 - SURE, "B": SURE}
    top = [{"token": token, "logprob": LOG(share)} for token, share in odds.items()]
    return {"text": better, "logprobs": [{"token": better, "logprob": 0.0, "top_logprobs": top}]}
'''


def built(
    folder: Path,
    *words: str,
    rows: int = 10,
    pick: str = "lambda better, first, second: better",
    more: str = "",
) -> dict[str, Any]:
    script = folder / "script.py"
    begin = f"from math import log as LOG\nPICK = {pick}\n"
    script.write_text(begin + SCRIPT + more, encoding="utf-8")
    command = ["build", "constitution", "--work", str(folder / "work"), "--json"]
    assert main([*command, f"--teacher=scripted:{script}", "--rows", str(rows), *words]) == 0
    draft = last_draft(folder / "work" / "constitution")
    return {**draft.facts, "draft": draft.folder}


@pytest.fixture
def quiet(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return capsys


# --- the constitution


def test_the_shipped_constitution_holds_sixteen_of_each_with_the_harms_they_cover() -> None:
    shipped = read_constitution(constitution_file(SHIPPED))
    assert len(shipped.revisions) >= 16 and len(shipped.comparisons) >= 16
    texts = [one.critique for one in shipped.revisions] + [
        one.revision for one in shipped.revisions
    ]
    texts += [one.question for one in shipped.comparisons]
    assert len(set(texts)) == len(texts)
    assert all(one.harms for one in (*shipped.revisions, *shipped.comparisons))
    rows, *_ = read_prompts(Source(place=RECIPE.seeds.source), RECIPE.seeds.keeps)
    covered = {harm for one in shipped.revisions for harm in one.harms}
    assert len(rows) == 40 and {row["source"] for row in rows} <= covered
    compared = {harm for one in shipped.comparisons for harm in one.harms}
    assert {row["source"] for row in rows} <= compared


def test_a_constitution_of_one_s_own_is_named_without_its_path(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    facts = built(tmp_path, "--constitution", str(file), rows=3)
    file_fact = facts["lineage"]["settings"]["constitution"]
    assert file_fact.startswith("mine.toml, sha256:") and str(tmp_path) not in json.dumps(
        facts["lineage"]
    )
    assert facts["measures"]["principles of revision"] == {"kind": 6}
    assert {pair["principle"] for pair in rows_of(facts["draft"], "default")} == {"kinder"}


# --- a whole build


def test_the_example_row_of_the_module_fits_its_prompt() -> None:
    docstring = pipelines.constitution.__doc__ or ""
    example = ast.literal_eval(docstring[docstring.index("{") : docstring.rindex("}") + 1])
    assert RECIPE.schema.problem(example) is None


def test_the_whole_chain_of_critiques_and_revisions_is_kept_and_the_last_one_is_the_row(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, "--rounds", "3")
    chains = rows_of(facts["draft"], "chains")
    revisions = {row["id"]: row for row in rows_of(facts["draft"], "revisions")}
    assert len(chains) == len(revisions) == 10
    calls = {row["answer"]: row for row in rows_of(facts["draft"], "calls")}
    for chain in chains:
        asked = chain["prompt"][0]["content"]
        assert [len(chain[part]) for part in ("answers", "critiques", "revisions")] == [2, 3, 3]
        assert chain["answers"] == [f"answer {n} to {asked}" for n in (0, 1)]
        assert len(set(chain["principles"])) == 3
        kept = revisions[chain["id"]]
        assert kept["completion"][0]["content"] == chain["revisions"][-1]
        assert kept["prompt"] == chain["prompt"]
        for text in (*chain["answers"], *chain["critiques"], *chain["revisions"]):
            assert chain["id"] in calls[text]["row_ids"]
    shipped = read_constitution(constitution_file(SHIPPED))
    by_id = {one.id: one for one in shipped.revisions}
    (one, *_) = chains
    asked_for = calls[one["revisions"][1]]["asked"]
    assert json.dumps(by_id[one["principles"][1]].revision)[1:-1] in asked_for
    assert one["revisions"][0] in asked_for and one["critiques"][1] in asked_for
    assert facts["measures"]["share revised"] == 1.0


def test_the_pairs_follow_the_judge_in_both_orders_with_its_soft_label(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    pairs = rows_of(facts["draft"], "default")
    assert len(pairs) == 10
    for pair in pairs:
        assert pair["chosen"][0]["content"].startswith("answer 0")
        assert pair["rejected"][0]["content"].startswith("answer 1")
        assert pair["soft_label"] == pytest.approx(0.8)
        assert pair["decided_by"] == "probabilities"
    assert facts["measures"]["share of verdicts that hold in both orders"] == 1.0
    judged = [row for row in rows_of(facts["draft"], "calls") if row["role"] == "judge"]
    assert len(judged) == 20


def test_a_judge_that_always_names_the_first_makes_no_pair(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, pick="lambda better, first, second: 'A'")
    assert facts["counts"] == {"made": 10, "kept": 0, "dropped": {"tie": 10}}
    assert facts["measures"]["share of verdicts that hold in both orders"] == 0.0
    for row in rows_of(facts["draft"], "dropped"):
        orders = json.loads(row["evidence"])["first_is_better"]
        assert orders["shown_first"] > 0.5 > orders["shown_second"]
    judged = [row for row in rows_of(facts["draft"], "calls") if row["role"] == "judge"]
    assert all([*json.loads(row["parsed"])] == ["first_is_better"] for row in judged)


def test_without_probabilities_the_judge_gives_reasons_first(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, more="SURE = 0\n")
    pairs = rows_of(facts["draft"], "default")
    assert {pair["decided_by"] for pair in pairs} == {"reasons"}
    assert {pair["soft_label"] for pair in pairs} == {0.6}
    only = built(tmp_path, "--verdict", "probabilities", more="SURE = 0\n")
    assert only["counts"]["dropped"] == {"no verdict": 10}


def test_a_revision_that_failed_ends_the_chain_and_the_pair_is_kept(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    broken = """
good = answer


def answer(call):
    if call.role == "writer" and len(call.prompt) == 5:
        raise __import__("builders.engine.calls").engine.calls.Failure("http 500", "down")
    return good(call)
"""
    facts = built(tmp_path, more=broken)
    assert facts["counts"]["kept"] == 10
    assert rows_of(facts["draft"], "revisions") == []
    chains = rows_of(facts["draft"], "chains")
    assert {chain["ended"] for chain in chains} == {"unfinished"}
    assert all(chain["critiques"] and chain["revisions"] == [""] for chain in chains)
    assert facts["measures"]["share revised"] == 0.0


def test_what_is_reported_follows_from_the_rows_alone_and_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    assert RECIPE.measures(lambda config: rows_of(facts["draft"], config)) == facts["measures"]
    used = facts["measures"]["principles of revision"]
    assert (
        sum(used.values()) == 20
        and sum(facts["measures"]["principles of comparison"].values()) == 10
    )
    capsys.readouterr()
    assert main(["show", "constitution", "--work", str(tmp_path / "work")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "share revised: 1.0" in shown and "never measured against people" in shown


def test_ids_are_those_of_the_prompts(tmp_path: Path, quiet: pytest.CaptureFixture[str]) -> None:
    facts = built(tmp_path, rows=4)
    for config in ("default", "revisions", "chains"):
        kept = rows_of(facts["draft"], config)
        assert [one["id"] for one in kept] == [row_id(one["prompt"]) for one in kept]
