"""Answers revised by principles and pairs decided by one: what is asked, drawn, kept and told."""

from __future__ import annotations

import ast
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.constitution
from builders.drafting.draft import last_draft
from builders.engine.calls import Answer
from builders.errors import InputError
from builders.judging.constitution import Comparison, read_constitution
from builders.judging.logprobs import letter_probability
from builders.preferences.comparisons import comparison, decided, no_odds, soft_label, unreadable
from builders.recipe import Drop, Raw, row_id, short_hash
from builders.schema import user
from builders.sources.seed_forms import read_prompts
from builders.sources.source import Source
from pipelines.constitution import (
    RECIPE,
    SHIPPED,
    constitution_file,
    evades,
    measures,
    principles,
    refuses,
    row,
)
from scripts.main import main
from tests.drafting.test_run import rows_of

SCRIPT = '''
import re

SURE = 0.8


def answer(call):
    """The writer is kinder at each turn; the judge likes the first answer, as surely as told."""
    if call.role == "writer":
        turns = len(call.asked) // 2
        said = f"{'kind ' * turns}answer {call.sample} to {call.asked[0]['content']}"
        return f"{said} ({call.id})" if turns else said
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


def test_the_shipped_constitution_holds_sixteen_of_each_and_says_what_they_cover() -> None:
    shipped = read_constitution(constitution_file(SHIPPED))
    assert len(shipped.revisions) >= 16 and len(shipped.comparisons) >= 16
    texts = [one.critique for one in shipped.revisions] + [
        one.revision for one in shipped.revisions
    ]
    texts += [one.question for one in shipped.comparisons]
    assert len(set(texts)) == len(texts)
    assert all(one.harms for one in (*shipped.revisions, *shipped.comparisons))
    rows, _, _ = read_prompts(Source(place=RECIPE.seeds.source), RECIPE.seeds.keeps)
    covered = {harm for one in shipped.revisions for harm in one.harms}
    assert len(rows) == 40 and {row["source"] for row in rows} <= covered
    compared = {harm for one in shipped.comparisons for harm in one.harms}
    assert {row["source"] for row in rows} <= compared


GOOD = """
[[revisions]]
id = "kind"
harms = ["any"]
critique = "Is it kind?"
revision = "Make it kind."

[[comparisons]]
id = "kinder"
harms = ["any"]
question = "Which is kinder?"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"no \[\[revisions\]\]"),
        ("no toml [", "not TOML"),
        (GOOD.replace('critique = "Is it kind?"\n', ""), r"\[\[revisions\]\] 1: expected harms"),
        (GOOD.replace('"Is it kind?"', '" "'), r"\[\[revisions\]\] 1: expected harms"),
        (GOOD.replace('["any"]', '"any"'), "'harms' is 'any', expected a list"),
        (GOOD + GOOD.split("[[comparisons]]")[0], "the id 'kind' was given before"),
        (GOOD.split("[[comparisons]]")[0], r"no \[\[comparisons\]\]"),
        (GOOD + "\n[[comparisons]]\nid = 3\n", r"\[\[comparisons\]\] 2"),
    ],
)
def test_a_constitution_that_does_not_hold_together_is_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_constitution(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_constitution(tmp_path / "absent.toml")


def test_a_constitution_of_one_s_own_is_named_without_its_path(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    facts = built(tmp_path, "--constitution", str(file), rows=3)
    said = facts["lineage"]["settings"]["constitution"]
    assert said.startswith("mine.toml, sha256:") and str(tmp_path) not in json.dumps(
        facts["lineage"]
    )
    assert facts["measures"]["principles of revision"] == {"kind": 6}
    assert {pair["principle"] for pair in rows_of(facts["draft"], "default")} == {"kinder"}


# --- what is drawn


def test_principles_are_drawn_by_the_prompt_evenly_and_none_twice_before_all() -> None:
    shipped = read_constitution(constitution_file(SHIPPED))
    raws = [{"id": short_hash(str(number)), "rounds": 4} for number in range(4000)]
    drawn = [principles(shipped, raw, seed=42) for raw in raws]
    assert drawn == [principles(shipped, raw, seed=42) for raw in raws]
    assert drawn != [principles(shipped, raw, seed=43) for raw in raws]
    assert all(len({one.id for one in rounds}) == 4 for rounds, _ in drawn)
    rounds_used = Counter(one.id for rounds, _ in drawn for one in rounds)
    compared = Counter(one.id for _, one in drawn)
    assert len(rounds_used) == len(compared) == 16
    assert all(abs(count - 1000) < 120 for count in rounds_used.values())
    assert all(abs(count - 250) < 80 for count in compared.values())
    (long, _) = principles(shipped, {"id": "0", "rounds": 40}, seed=1)
    assert len(long) == 40


# --- the judge


PRINCIPLE = Comparison(id="kinder", harms=("any",), question="Which is kinder?")


def raw_of(first: str = "one", second: str = "two", **more: Any) -> Raw:
    prompt = user("Why?")
    replies = [
        {"text": text, "fault": None, "finish_reason": "stop", "about": {}}
        for text in (first, second)
    ]
    return {"id": "0", "prompt": prompt, "answers": replies, "rounds": 1, "cut_off": "keep", **more}


def tokens(**shares: float) -> list[dict[str, Any]]:
    top = [{"token": name, "logprob": math.log(share)} for name, share in shares.items()]
    return [{"token": max(shares, key=lambda name: shares[name]), "top_logprobs": top}]


def sure(*first_shares: float) -> list[dict[str, Any]]:
    """The judge's two replies by their probability of `A`: the first answer, then the second."""
    questions = comparison(PRINCIPLE, raw_of(), reasons=False)
    return [
        {
            "about": dict(question.about),
            "text": "A",
            "fault": None,
            "finish_reason": "stop",
            "logprobs": tokens(A=share, B=1 - share),
        }
        for question, share in zip(questions, first_shares, strict=True)
    ]


def reasoned(*verdicts: str) -> list[dict[str, Any]]:
    questions = comparison(PRINCIPLE, raw_of(), reasons=True)
    replies = []
    for question, verdict in zip(questions, verdicts, strict=True):
        text = f"Because.\n[[{verdict}]]"
        fault = unreadable(question, Answer(text=text))
        replies.append({"about": dict(question.about), "text": text, "fault": fault})
    return replies


def test_both_orders_are_asked_with_the_principle_and_the_texts_in_each_place_once() -> None:
    for reasons in (False, True):
        asked = comparison(PRINCIPLE, raw_of("first text", "second text"), reasons=reasons)
        shown = [str(one.asked) for one in asked]
        assert [one.about["swapped"] for one in asked] == [False, True]
        assert all("Which is kinder?" in text for text in shown)
        assert shown[0].index("first text") < shown[0].index("second text")
        assert shown[1].index("second text") < shown[1].index("first text")


@pytest.mark.parametrize(
    ("shares", "label"),
    [
        ((0.9, 0.1), 0.9),
        ((0.9, 0.3), 0.8),
        ((0.2, 0.9), 0.15),
        ((0.7, 0.7), 0.5),  # it named the place, not the text
        ((0.99, 0.99), 0.5),
    ],
)
def test_the_soft_label_is_the_mean_of_both_orders(shares: Sequence[float], label: float) -> None:
    assert soft_label(sure(*shares), reasons=False) == pytest.approx(label)
    verdict = row(raw_of(sure=sure(*shares)))
    if label == 0.5:
        assert isinstance(verdict, Drop) and verdict.reason == "tie"
    else:
        assert isinstance(verdict, dict)
        assert verdict["soft_label"] == pytest.approx(max(label, 1 - label))
        better = "one" if label > 0.5 else "two"
        assert verdict["chosen"][0]["content"] == better != verdict["rejected"][0]["content"]


@pytest.mark.parametrize(
    ("verdicts", "label"),
    [("AB", 0.6), ("BA", 0.4), ("AA", 0.5), ("BB", 0.5), ("CC", 0.5), ("AC", 0.5), ("CA", 0.5)],
)
def test_after_reasons_a_win_is_one_in_both_orders_and_its_label_is_clamped(
    verdicts: str, label: float
) -> None:
    assert soft_label(reasoned(*verdicts), reasons=True) == label


def test_an_order_without_a_verdict_makes_none_and_reasons_step_in_for_probabilities() -> None:
    half = sure(0.9, 0.1)
    half[1] |= {"fault": "no probability", "logprobs": None}
    assert soft_label(half, reasons=False) is None
    verdict = row(raw_of(sure=half))
    assert isinstance(verdict, Drop) and verdict.reason == "no verdict"
    assert verdict.evidence["faults"] == ["no probability"]
    assert comparison(PRINCIPLE, raw_of(sure=half), reasons=True)
    assert decided(raw_of(sure=half, reasoned=reasoned("A", "B")))[0] == "reasons"
    assert comparison(PRINCIPLE, raw_of(sure=sure(0.9, 0.1)), reasons=True) == []


@pytest.mark.parametrize(
    ("given_tokens", "share"),
    [
        (tokens(A=0.75, B=0.25), 0.75),
        (tokens(**{" A": 0.5, "(A": 0.25, "B": 0.25}), 0.75),
        (tokens(The=0.5, A=0.1, B=0.3), 0.25),
        ([*tokens(**{"(": 0.99, "x": 0.01}), *tokens(A=0.6, B=0.4)], 0.6),
        (tokens(A=1.0), 1.0),
        (tokens(The=0.999, A=0.0005, B=0.0005), None),
        ([], None),
        (None, None),
        ("A", None),
        ([{"token": "A"}], None),
        ([{"token": "A", "top_logprobs": None}], None),
        ([{"token": "A", "top_logprobs": [None, {"token": 3}, {"token": "A"}]}], None),
        ([{"token": "A", "top_logprobs": [{"token": "A", "logprob": "x"}]}], None),
        ([3, *tokens(A=0.5, B=0.5)], 0.5),
    ],
)
def test_a_letter_s_probability_is_read_from_whatever_an_endpoint_gives(
    given_tokens: Any, share: float | None
) -> None:
    found = letter_probability(given_tokens, "A", "B")
    assert found == (None if share is None else pytest.approx(share))


def test_tokens_without_a_letter_are_no_probability() -> None:
    (question, _) = comparison(PRINCIPLE, raw_of(), reasons=False)
    assert no_odds(question, Answer(text="A")) == "no probability"
    assert no_odds(question, Answer(text="A", logprobs=tokens(A=0.5, B=0.5))) is None
    assert unreadable(question, Answer(text="[[A]]", finish_reason="length")) == "cut off"
    assert unreadable(question, Answer(text="Both are fine.")) == "no verdict"


def test_two_answers_that_are_no_pair_cost_no_judge() -> None:
    def reason(raw: Raw) -> str:
        assert comparison(PRINCIPLE, raw, reasons=False) == []
        verdict = row(raw)
        assert isinstance(verdict, Drop)
        return verdict.reason

    assert reason(raw_of("One  text", "one text")) == "same text"
    assert reason(raw_of("one", " \n")) == "empty"
    failed, cut = raw_of(), raw_of(cut_off="drop")
    failed["answers"][1] |= {"text": None, "fault": "time-out"}
    cut["answers"][0] |= {"finish_reason": "length"}
    assert (reason(failed), reason(cut)) == ("time-out", "cut off")


@given(st.none() | st.text(), st.text(), st.sampled_from(["stop", "length"]))
@settings(deadline=None)
def test_whatever_a_teacher_says_gives_a_row_that_fits_or_a_reason(
    first: str | None, second: str, finish_reason: str
) -> None:
    raw = raw_of(sure=sure(0.9, 0.2))
    raw["answers"][0] |= {"text": first, "fault": None if first else "http 500"}
    raw["answers"][1] |= {"text": second, "finish_reason": finish_reason}
    verdict = row(raw)
    if not isinstance(verdict, Drop):
        assert RECIPE.schema.problem({"id": "0" * 16, **verdict}) is None


# --- the whole way


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


def test_without_probabilities_the_judge_gives_reasons_first(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, more="SURE = 0\n")
    pairs = rows_of(facts["draft"], "default")
    assert {pair["decided_by"] for pair in pairs} == {"reasons"}
    assert {pair["soft_label"] for pair in pairs} == {0.6}
    only = built(tmp_path, "--verdict", "probabilities", more="SURE = 0\n")
    assert only["counts"]["dropped"] == {"no verdict": 10}


def test_a_revision_that_failed_ends_the_chain_and_the_pair_stands(
    tmp_path: Path, quiet: pytest.CaptureFixture[str]
) -> None:
    broken = """
good = answer


def answer(call):
    if call.role == "writer" and len(call.asked) == 5:
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
    assert measures(lambda config: rows_of(facts["draft"], config)) == facts["measures"]
    used = facts["measures"]["principles of revision"]
    assert (
        sum(used.values()) == 20
        and sum(facts["measures"]["principles of comparison"].values()) == 10
    )
    capsys.readouterr()
    assert main(["show", "constitution", "--work", str(tmp_path / "work")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "share revised: 1.0" in shown and "never measured against people" in shown


@pytest.mark.parametrize(
    ("text", "refused", "evaded"),
    [
        ("I'm sorry, but I can't help with that.", True, True),
        ("I can't help with that request. " + "Here is what would help. " * 12, True, False),
        ("Sure, here is how.", False, False),
    ],
)
def test_a_refusal_that_offers_nothing_instead_is_evasive(
    text: str, refused: bool, evaded: bool
) -> None:
    assert (refuses(text), evades(text)) == (refused, evaded)


def test_ids_are_those_of_the_prompts(tmp_path: Path, quiet: pytest.CaptureFixture[str]) -> None:
    facts = built(tmp_path, rows=4)
    for config in ("default", "revisions", "chains"):
        kept = rows_of(facts["draft"], config)
        assert [one["id"] for one in kept] == [row_id(one["prompt"]) for one in kept]
