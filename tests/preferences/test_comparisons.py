"""Two answers compared in both orders: what the judge is asked, and the soft label it gives."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.engine.calls import Answer, Question, Unreadable
from builders.judging.logprobs import letter_probability
from builders.preferences.comparisons import (
    COMPARED,
    comparison_questions,
    decided,
    parse_probability,
    parse_reasons,
    row,
    soft_label,
)
from builders.preferences.principles import Comparison
from builders.recipe import Drop, Raw
from builders.schema import user
from tests.cases import each

PRINCIPLE = Comparison(id="kinder", harms=("any",), question="Which is kinder?")


def raw_of(first: str = "one", second: str = "two", **more: Any) -> Raw:
    prompt = user("Why?")
    replies = [
        {"text": text, "fault": None, "ended": "complete", "about": {}} for text in (first, second)
    ]
    return {"id": "0", "prompt": prompt, "answers": replies, "rounds": 1, **more}


def tokens(**shares: float) -> list[dict[str, Any]]:
    top = [{"token": name, "logprob": math.log(share)} for name, share in shares.items()]
    return [{"token": max(shares, key=lambda name: shares[name]), "top_logprobs": top}]


def sure(*first_shares: float) -> list[dict[str, Any]]:
    """The judge's two replies by their probability of `A`: the first answer, then the second."""
    questions = comparison_questions(PRINCIPLE, raw_of(), reasons=False)
    return [
        {
            "about": dict(question.about),
            "parsed": parse_probability(
                question, Answer(text="A", logprobs=tokens(A=share, B=1 - share))
            ),
            "fault": None,
        }
        for question, share in zip(questions, first_shares, strict=True)
    ]


def reasoned(*verdicts: str) -> list[dict[str, Any]]:
    questions = comparison_questions(PRINCIPLE, raw_of(), reasons=True)
    return [
        {
            "about": dict(question.about),
            "parsed": parse_reasons(question, Answer(text=f"Because.\n[[{verdict}]]")),
            "fault": None,
        }
        for question, verdict in zip(questions, verdicts, strict=True)
    ]


def test_both_orders_are_asked_with_the_principle_and_the_texts_in_each_place_once() -> None:
    for reasons in (False, True):
        asked = comparison_questions(
            PRINCIPLE, raw_of("first text", "second text"), reasons=reasons
        )
        shown = [str(one.prompt) for one in asked]
        assert [one.about["swapped"] for one in asked] == [False, True]
        assert all("Which is kinder?" in text for text in shown)
        assert shown[0].index("first text") < shown[0].index("second text")
        assert shown[1].index("second text") < shown[1].index("first text")


@each(
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


@each(
    ("verdicts", "label"),
    [("AB", 0.6), ("BA", 0.4), ("AA", 0.5), ("BB", 0.5), ("CC", 0.5), ("AC", 0.5), ("CA", 0.5)],
)
def test_after_reasons_a_win_is_one_in_both_orders_and_its_label_is_clamped(
    verdicts: str, label: float
) -> None:
    assert soft_label(reasoned(*verdicts), reasons=True) == label


def test_an_order_without_a_verdict_makes_none_and_reasons_step_in_for_probabilities() -> None:
    half = sure(0.9, 0.1)
    half[1] |= {"fault": "no probability", "parsed": None}
    assert soft_label(half, reasons=False) is None
    verdict = row(raw_of(sure=half))
    assert isinstance(verdict, Drop) and verdict.reason == "no verdict"
    assert verdict.evidence["faults"] == ["no probability"]
    assert comparison_questions(PRINCIPLE, raw_of(sure=half), reasons=True)
    assert decided(raw_of(sure=half, reasoned=reasoned("A", "B")))[0] == "reasons"
    assert comparison_questions(PRINCIPLE, raw_of(sure=sure(0.9, 0.1)), reasons=True) == []


@each(
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
def test_a_letter_s_probability_is_read_from_anything_that_an_endpoint_gives(
    given_tokens: Any, share: float | None
) -> None:
    found = letter_probability(given_tokens, "A", "B")
    assert found == (None if share is None else pytest.approx(share))


def test_an_answer_without_a_verdict_has_a_reason() -> None:
    def reason(parse: Callable[[Question, Answer], Any], answer: Answer) -> str | None:
        (question, _) = comparison_questions(PRINCIPLE, raw_of(), reasons=False)
        try:
            return str(parse(question, answer))
        except Unreadable as doubt:
            return doubt.reason

    assert reason(parse_probability, Answer(text="A")) == "no probability"
    sure_one = Answer(text="A", logprobs=tokens(A=0.5, B=0.5))
    assert reason(parse_probability, sure_one) == "{'first_is_better': 0.5}"
    assert reason(parse_reasons, Answer(text="Both are fine.")) == "no verdict"


def test_two_answers_that_are_no_pair_cost_no_judge() -> None:
    def reason(raw: Raw) -> str:
        assert comparison_questions(PRINCIPLE, raw, reasons=False) == []
        verdict = row(raw)
        assert isinstance(verdict, Drop)
        return verdict.reason

    assert reason(raw_of("One  text", "one text")) == "same text"
    failed, cut = raw_of(), raw_of()
    failed["answers"][1] |= {"text": None, "fault": "time-out"}
    word = {"text": None, "fault": "cut off", "partial": "on", "finish_reason": "length"}
    cut["answers"][0] |= word
    assert (reason(failed), reason(cut)) == ("time-out", "cut off")
    verdict = row(cut)
    assert isinstance(verdict, Drop)
    assert verdict.evidence["answers"] == [
        {"text": "on", "finish_reason": "length"},
        {"text": "two", "finish_reason": None},
    ]


SOME_TEXT = st.text().filter(lambda text: bool(text.strip()))  # as every answer to use has


@given(st.none() | SOME_TEXT, SOME_TEXT)
def test_any_two_answers_give_a_row_that_fits_or_a_reason(first: str | None, second: str) -> None:
    raw = raw_of(sure=sure(0.9, 0.2))
    raw["answers"][0] |= {"text": first, "fault": None if first else "http 500"}
    raw["answers"][1] |= {"text": second}
    verdict = row(raw)
    if not isinstance(verdict, Drop):
        assert COMPARED.problem({"id": "0" * 16, **verdict}) is None


@each("thought", ["<think>A, or B?</think>", "A better one is B.\n</think>\n\n"])
def test_letters_in_what_a_judge_thinks_have_no_probability(thought: str) -> None:
    before = [{"token": token, "top_logprobs": []} for token in re.split(r"(?<=[ >])", thought)]
    assert letter_probability([*before, *tokens(A=0.9, B=0.1)], "A", "B") == pytest.approx(0.9)
    assert letter_probability([{"token": "<think>"}, *tokens(A=0.9, B=0.1)], "A", "B") is None
