"""Answers rated by a judge: what it is asked of each prompt's answers, and what it said of each.

A raw row holds the replies of three steps: `completions`, `ratings` by aspect and `critiques`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from builders.engine.calls import Answer, Question, Reply
from builders.judging.aspects import (
    ASPECTS,
    critique_request,
    critique_schema,
    rating_request,
    rating_schema,
)
from builders.judging.rating import (
    Rating,
    labels,
    mean_rating,
    put_back,
    read_critique,
    read_ratings,
    shown_order,
)
from builders.preferences.pairing import RatedAnswer, RatedPrompt
from builders.recipe import Drop, Raw, row_id, short_hash
from builders.schema import RATED, Column, Row, assistant

TRIES = 4  # the question, and three times again
AGAIN = {"temperature": 0.7}
LONGEST = 400  # letters of a rationale, where a judge can be held to them; of a critique twice

RATED_ANSWERS = replace(
    RATED,
    columns=(
        *RATED.columns,
        Column(name="temperature", type="float", meaning="at which it was written"),
        Column(name="finish_reason", type="string", meaning="stop, or length where it was cut off"),
        Column(
            name="shown_at", type="json", meaning="by aspect, its place before the judge from 0"
        ),
    ),
)


def answers(raw: Raw) -> list[Reply]:
    """The completions that have a text, each with it; in the order in which they were asked."""
    found = []
    for reply in raw["completions"]:
        cut_off = reply.get("finish_reason") == "length" and raw.get("cut_off") == "drop"
        text = (reply["text"] or "").encode("utf-8", "replace").decode("utf-8").strip()
        if text and not cut_off:
            found.append({**reply, "text": text})
    return found


def rating(raw: Raw, *, form: str, seed: int, longest: int = LONGEST) -> list[Question]:
    """For each aspect all texts in one shuffled order, under labels that no text can guess."""
    texts = [one["text"] for one in answers(raw)]
    order = shown_order(f"{seed} {raw['id']}", len(texts))
    questions = []
    for name, aspect in ASPECTS.items() if texts else ():
        named = labels(json.dumps([seed, raw["id"], name, texts]), len(texts))
        questions.append(
            Question(
                asked=rating_request(
                    aspect,
                    raw["prompt"],
                    texts,
                    order=order,
                    labels=named,
                    knowledge=raw.get("reference") or "",
                    form="json" if form == "json" else "text",
                ),
                about={"aspect": name, "order": list(order), "labels": list(named)},
                again=AGAIN,
                schema=(
                    held(rating_schema(aspect, len(texts)), named, longest)
                    if form == "json"
                    else None
                ),
            )
        )
    return questions


def held(schema: dict[str, Any], named: Sequence[str], longest: int) -> dict[str, Any]:
    """The schema of a rating that names each text in its place, and does not go on for ever.

    A small judge that may name any text at any place names one twice in every third answer.
    """
    entry = schema["properties"]["ratings"].pop("items")
    parts = entry["properties"] | {"rationale": _short_text(longest)}
    if "types" in parts:
        parts["types"] |= {"maxItems": len(parts["types"]["items"]["enum"])}
    schema["properties"]["ratings"]["prefixItems"] = [
        {**entry, "properties": {**parts, "label": {"const": label}}} for label in named
    ]
    return schema


def _short_text(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


def criticising(raw: Raw, *, form: str, longest: int = LONGEST) -> list[Question]:
    """A critique of each text by itself, told what its writer was to hold to."""
    questions = []
    for one in answers(raw):
        schema = critique_schema()
        schema["properties"]["critique"] = _short_text(2 * longest)
        asked = critique_request(
            raw["prompt"],
            one["text"],
            principle=one["about"]["system"],
            form="json" if form == "json" else "text",
        )
        questions.append(
            Question(
                asked=asked,
                about={"aspect": "overall"},
                again=AGAIN,
                schema=schema if form == "json" else None,
            )
        )
    return questions


def unreadable(question: Question, answer: Answer) -> str | None:
    """Why a judge's answer gives no rating or score; None where it gives them."""
    if answer.finish_reason == "length":
        return "cut off"
    about = question.about
    if about["aspect"] == "overall":
        read: Any = read_critique(answer.text)
    else:
        read = read_ratings(answer.text, about["labels"], ASPECTS[about["aspect"]])
    return read.reason if isinstance(read, Drop) else None


def ratings(raw: Raw) -> dict[str, list[Rating]]:
    """By aspect the rating of each text, in the order of `answers`; what was not read is absent."""
    found = {}
    for reply in raw["ratings"]:
        about = reply["about"]
        if reply["fault"] is None:
            read = read_ratings(reply["text"], about["labels"], ASPECTS[about["aspect"]])
            if not isinstance(read, Drop):
                found[about["aspect"]] = put_back(read, about["order"])
    return found


def rated_answers(raw: Raw) -> Iterator[tuple[Reply, RatedAnswer, dict[str, str], str | None]]:
    """Each text with what was said of it: as a candidate, the rationales, and the critique."""
    by_aspect = ratings(raw)
    for place, (one, reply) in enumerate(zip(answers(raw), raw["critiques"], strict=True)):
        critique = read_critique(reply["text"]) if reply["fault"] is None else None
        critique = None if isinstance(critique, Drop) else critique
        said = {aspect: given[place] for aspect, given in by_aspect.items()}
        candidate = RatedAnswer(
            text=one["text"],
            writer=one["model"],
            principle=one["about"]["principle"],
            ratings={aspect: each.value for aspect, each in said.items()},
            score=float(critique.score) if critique else None,
        )
        why = {aspect: each.rationale for aspect, each in said.items()}
        yield one, candidate, why, critique.text if critique else None


def rated(raw: Raw) -> RatedPrompt:
    """A prompt with its answers and their ratings, as strategies take it."""
    return RatedPrompt(prompt=raw["prompt"], candidates=[each[1] for each in rated_answers(raw)])


def rated_rows(raws: Iterable[Raw]) -> Iterator[Row]:
    """Every answer with its ratings, also of prompts that make no pair."""
    for raw in raws:
        prompt = row_id(raw["prompt"])
        places = {
            reply["about"]["aspect"]: reply["about"]["order"]
            for reply in raw["ratings"]
            if not reply["fault"]
        }
        for place, (one, candidate, why, critique) in enumerate(rated_answers(raw)):
            yield {
                "id": short_hash(prompt, str(place)),
                "row_id": prompt,
                "prompt": raw["prompt"],
                "completion": assistant(candidate.text),
                "model": candidate.writer,
                "principle": candidate.principle,
                **{name: candidate.ratings.get(name) for name in ASPECTS},
                "mean": mean_rating(candidate.ratings.values()),
                "overall": None if candidate.score is None else int(candidate.score),
                "critique": critique,
                "rationales": json.dumps(why, ensure_ascii=False),
                "temperature": one["about"]["temperature"],
                "finish_reason": one["finish_reason"],
                "shown_at": json.dumps({name: at.index(place) for name, at in places.items()}),
            }
