"""Answers rated by a judge: the questions about each prompt's answers, and the ratings given.

A raw row holds the replies of three steps: `completions`, `ratings` by aspect and `critiques`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from builders.engine.calls import Answer, Question, Reply
from builders.engine.outer_space import trimmed
from builders.judging.aspects import (
    ASPECTS,
    critique_request,
    critique_schema,
    rating_request,
    rating_schema,
)
from builders.judging.rating import (
    labels,
    mean_rating,
    parse_critique,
    parse_ratings,
    put_back,
    shown_order,
)
from builders.preferences.pairing import RatedAnswer, RatedPrompt
from builders.recipe import Json, Raw, row_id, short_hash
from builders.schema import RATED, Column, Row, assistant

TRIES = 4  # the question, and three times again
AGAIN = {"temperature": 0.7}
LONGEST = 400  # characters of a rationale, where a schema can limit them; a critique has twice that

RATED_ANSWERS = replace(
    RATED,
    columns=(
        *RATED.columns,
        Column(name="temperature", type="float", meaning="at which it was written"),
        Column(name="ended", type="string", meaning="complete, or length where it was cut off"),
        Column(
            name="shown_at", type="json", meaning="by aspect, its place before the judge from 0"
        ),
    ),
)


def answers(raw: Raw) -> list[Reply]:
    """The completions that have a text, each with it; in the order in which they were asked."""
    found = []
    for reply in raw["completions"]:
        text = trimmed((reply["text"] or "").encode("utf-8", "replace").decode("utf-8"))
        if text:
            found.append({**reply, "text": text})
    return found


def judge_steps(
    teach: Callable[..., Any], *, writers: int, judge_tokens: int, form: str, by: str = "mean"
) -> tuple[Any, Any]:
    """The steps after `completions`: ratings of all answers by aspect, then a critique of each.

    `writers` answers are usually there; `by` is what pairs are made by (`Policy.by`).
    """
    from builders.engine.tasks import AskAll

    most = teach("judge").max_tokens(judge_tokens, 1024, 400)
    longest = teach("judge").max_tokens(0, LONGEST, 60)

    def step(
        name: str,
        build: Callable[..., list[Question]],
        column: str,
        usual: int,
        needed: bool,
        **more: Any,
    ) -> Any:
        return AskAll(
            name=name,
            llm=teach("judge", temperature=0.0, max_tokens=most),
            build=partial(build, form=form, longest=longest, **more),
            answer=column,
            parse=parse,
            tries=TRIES,
            needed=needed,
            questions=usual,
        )

    seed = teach("judge").seed
    scored = by == "overall"
    rate = step("rate", rating_questions, "ratings", len(ASPECTS), not scored, seed=seed)
    return rate, step("criticise", critique_questions, "critiques", writers, scored)


def rating_questions(raw: Raw, *, form: str, seed: int, longest: int = LONGEST) -> list[Question]:
    """For each aspect all texts in one shuffled order, under labels that no text can guess."""
    texts = [one["text"] for one in answers(raw)]
    order = shown_order(f"{seed} {raw['id']}", len(texts))
    questions = []
    for name, aspect in ASPECTS.items() if texts else ():
        named = labels(json.dumps([seed, raw["id"], name, texts]), len(texts))
        questions.append(
            Question(
                prompt=rating_request(
                    aspect,
                    raw["prompt"],
                    texts,
                    order=order,
                    labels=named,
                    knowledge=raw.get("reference") or "",
                    form="json" if form == "json" else "text",
                ),
                about={"aspect": name, "order": list(order), "labels": list(named)},
                retry_sampling=AGAIN,
                schema=(
                    _limited(rating_schema(aspect, len(texts)), named, longest)
                    if form == "json"
                    else None
                ),
            )
        )
    return questions


def _limited(schema: dict[str, Any], named: Sequence[str], longest: int) -> dict[str, Any]:
    """The schema of ratings with the label fixed at each place, and with a limit to each text.

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


def critique_questions(raw: Raw, *, form: str, longest: int = LONGEST) -> list[Question]:
    """A critique of each text by itself; the judge sees the principle that the writer was given."""
    questions = []
    for one in answers(raw):
        schema = critique_schema()
        schema["properties"]["critique"] = _short_text(2 * longest)
        asked = critique_request(
            raw["prompt"],
            one["text"],
            principle=one["about"].get("system", ""),
            form="json" if form == "json" else "text",
        )
        questions.append(
            Question(
                prompt=asked,
                about={"aspect": "overall"},
                retry_sampling=AGAIN,
                schema=schema if form == "json" else None,
            )
        )
    return questions


def parse(question: Question, answer: Answer) -> Json:
    """Of a critique its text and score; else `ratings` and `rationales`, in the order of `answers`.

    Raises:
        Unreadable: The answer leaves a doubt.
    """
    about = question.about
    if about["aspect"] == "overall":
        critique = parse_critique(answer.text)
        return {"critique": critique.text, "score": critique.score}
    shown = parse_ratings(answer.text, about["labels"], ASPECTS[about["aspect"]])
    found = put_back(shown, about["order"])
    return {
        "ratings": [one.value for one in found],
        "rationales": [one.rationale for one in found],
    }


def rated_answers(raw: Raw) -> Iterator[tuple[Reply, RatedAnswer, dict[str, str], str | None]]:
    """Each answer: its reply, its ratings, the rationales by aspect, and the critique."""
    by_aspect = {
        reply["about"]["aspect"]: reply["parsed"] for reply in raw["ratings"] if reply["parsed"]
    }
    for place, (one, reply) in enumerate(zip(answers(raw), raw["critiques"], strict=True)):
        critique = reply["parsed"] or {"critique": None, "score": None}
        answer = RatedAnswer(
            text=one["text"],
            writer=one["model"],
            principle=one["about"].get("principle"),
            ratings={name: each["ratings"][place] for name, each in by_aspect.items()},
            score=None if critique["score"] is None else float(critique["score"]),
        )
        rationales = {name: each["rationales"][place] for name, each in by_aspect.items()}
        yield one, answer, rationales, critique["critique"]


def rated(raw: Raw) -> RatedPrompt:
    """A prompt with its answers and their ratings, as strategies take it."""
    return RatedPrompt(prompt=raw["prompt"], answers=[each[1] for each in rated_answers(raw)])


def rated_rows(raws: Iterable[Raw]) -> Iterator[Row]:
    """Every answer with its ratings, also of prompts that make no pair."""
    for raw in raws:
        prompt = row_id(raw["prompt"])
        places = {
            reply["about"]["aspect"]: reply["about"]["order"]
            for reply in raw["ratings"]
            if not reply["fault"]
        }
        for place, (one, answer, rationales, critique) in enumerate(rated_answers(raw)):
            yield {
                "id": short_hash(prompt, str(place)),
                "row_id": prompt,
                "prompt": raw["prompt"],
                "completion": assistant(answer.text),
                "model": answer.writer,
                "principle": answer.principle,
                **{name: answer.ratings.get(name) for name in ASPECTS},
                "mean": mean_rating(answer.ratings.values()),
                "overall": None if answer.score is None else int(answer.score),
                "critique": critique,
                "rationales": json.dumps(rationales, ensure_ascii=False),
                "temperature": one["about"]["temperature"],
                "ended": one["ended"],
                "shown_at": json.dumps({name: at.index(place) for name, at in places.items()}),
            }
