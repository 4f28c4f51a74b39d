"""Ratings by aspect: what the judge is asked, and that no rating goes to another answer."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.engine.calls import Answer, Question, Unreadable
from builders.judging.aspects import ASPECTS
from builders.preferences.aspect_ratings import (
    answers,
    critique_questions,
    parse,
    rated,
    rated_rows,
    rating_questions,
)
from builders.preferences.rated_sets import row
from builders.recipe import Drop, Raw, row_id
from builders.schema import user


def raw_of(texts: Sequence[str], **more: Any) -> Raw:
    """A raw row after its answers were written."""
    replies = [
        {
            "text": text,
            "fault": None,
            "ended": "complete",
            "model": f"m{place}",
            "about": {"principle": "honesty", "system": "Be honest.", "temperature": 1.0},
        }
        for place, text in enumerate(texts)
    ]
    prompt = user("Which?")
    choices = {"pair": "zephyr", "by": "overall", "least_margin": 1.0, "one_model": "allow"}
    return {
        "id": row_id(prompt),
        "prompt": prompt,
        "completions": replies,
        **choices,
        **more,
    }


def judged(raw: Raw, worth: Mapping[str, int], *, form: str = "json", seed: int = 1) -> Raw:
    """The row after a judge that rates each text by its worth, in an order of its own."""
    dice = random.Random(seed)
    rated_so = []
    for question in rating_questions(raw, form=form, seed=seed):
        aspect = ASPECTS[question.about["aspect"]]
        texts = [one["text"] for one in answers(raw)]
        values = [
            (label, worth[texts[text]])
            for label, text in zip(question.about["labels"], question.about["order"], strict=True)
        ]
        dice.shuffle(values)
        if form == "json":
            types = {"types": [1]} if aspect.types else {}
            listed = [{"label": a, **types, "rationale": "r", "rating": b} for a, b in values]
            text = json.dumps({"ratings": listed})
        else:
            text = "\n\n".join(f"{label}\nRationale: r\nRating: {value}" for label, value in values)
        rated_so.append(reply_to(question, text))
    critiques = []
    for one, question in zip(answers(raw), critique_questions(raw, form=form), strict=True):
        critiques.append(reply_to(question, f"So so.\nOverall Score: {worth[one['text']]}"))
    return {**raw, "ratings": rated_so, "critiques": critiques}


def reply_to(question: Question, text: str | None) -> dict[str, Any]:
    """The reply as a step keeps it; without a text, of a call that failed."""
    reply = {
        "about": dict(question.about),
        "text": text,
        "parsed": None,
        "fault": "time-out",
    }
    if text is None:
        return reply
    try:
        return reply | {"parsed": parse(question, Answer(text=text)), "fault": None}
    except Unreadable as doubt:
        return reply | {"fault": doubt.reason}


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.integers(0, 10**6),
    st.sampled_from(["json", "text"]),
)
def test_each_text_gets_its_own_rating_in_whatever_order_it_is_shown_and_answered(
    worth: list[int], seed: int, form: str
) -> None:
    by_text = {f"text {place} {seed}": value for place, value in enumerate(worth)}
    raw = judged(raw_of(list(by_text)), by_text, form=form, seed=seed)
    found = rated(raw).answers
    assert [dict(one.ratings) for one in found] == [dict.fromkeys(ASPECTS, one) for one in worth]
    assert {one.text: one.score for one in found} == by_text


def test_all_texts_of_a_prompt_stand_in_one_order_before_the_judge_and_it_is_recorded() -> None:
    raw = raw_of([f"text {letter}" for letter in "abcd"])
    asked = rating_questions(raw, form="json", seed=3)
    assert [one.about["aspect"] for one in asked] == list(ASPECTS)
    (order,) = {tuple(one.about["order"]) for one in asked}
    for one in asked:
        content = str(one.prompt[0]["content"])  # type: ignore[index]
        places = [content.index(f"| text {'abcd'[text]}") for text in order]
        assert places == sorted(places)
    assert len({label for one in asked for label in one.about["labels"]}) == 16
    by_seed = [rating_questions(raw, form="json", seed=seed) for seed in range(300)]
    found = {tuple(one[0].about["order"]) for one in by_seed}
    assert len(found) == 24  # every order comes


def test_the_judge_is_held_to_one_rating_for_each_label_in_its_place() -> None:
    asked = rating_questions(raw_of(["a", "b", "c"]), form="json", seed=1)
    for one in asked:
        assert one.schema is not None
        entries = one.schema["properties"]["ratings"]["prefixItems"]
        labels = [entry["properties"]["label"]["const"] for entry in entries]
        assert labels == one.about["labels"]
    assert all(one.schema is None for one in rating_questions(raw_of(["a"]), form="text", seed=1))


def test_the_judge_is_shown_what_is_known_of_the_matter() -> None:
    raw = raw_of(["a", "b"], reference="It is the Nile.")
    assert all(
        "It is the Nile." in str(one.prompt) for one in rating_questions(raw, form="json", seed=1)
    )


def test_the_judge_of_a_critique_is_shown_the_writer_s_principle() -> None:
    (one,) = critique_questions(raw_of(["a"]), form="text")
    assert "Be honest." in str(one.prompt)


def test_absent_is_not_zero_and_an_unread_aspect_is_left_out_of_the_mean() -> None:
    raw = judged(raw_of(["a", "b"]), {"a": 2, "b": 3})
    honesty = raw["ratings"][1]
    honesty["parsed"]["ratings"][0] = None
    raw["ratings"][3] |= {"fault": "no rating", "text": "?", "parsed": None}
    rows = list(rated_rows([raw]))
    assert sorted(row["mean"] for row in rows) == [2.0, 3.0]
    assert all(row["helpfulness"] is None for row in rows)
    assert [row["honesty"] for row in rows].count(None) == 1


def test_an_answer_that_failed_or_cannot_be_used_costs_its_siblings_nothing() -> None:
    raw = raw_of(["a", "b", "c"])
    raw["completions"][1] |= {"text": None, "fault": "time-out"}
    raw["completions"][0] |= {"text": None, "partial": "a", "fault": "cut off"}
    assert [one["text"] for one in answers(raw)] == ["c"]


def test_a_prompt_without_an_answer_to_use_is_dropped_with_what_was_answered() -> None:
    raw = {**raw_of(["a", "b"]), "ratings": [], "critiques": []}
    word = {"text": None, "fault": "cut off", "partial": "a ha", "finish_reason": "max_tokens"}
    raw["completions"][0] |= word
    raw["completions"][1] |= {"text": None, "fault": "time-out"}
    verdict = row(raw)
    assert isinstance(verdict, Drop) and verdict.reason == "cut off"
    assert verdict.evidence["answers"] == [
        {"text": "a ha", "finish_reason": "max_tokens"},
        {"text": None, "finish_reason": None},
    ]


def test_nothing_is_asked_about_answers_without_a_text() -> None:
    raw = raw_of(["", "  "])
    assert rating_questions(raw, form="json", seed=1) == [] == critique_questions(raw, form="json")
