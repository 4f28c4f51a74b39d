"""Published pairs that are not a row with two texts and a label, in that form.

Source: the files of WebGPT comparisons, Summarize from Feedback, Chatbot Arena, HelpSteer,
UltraFeedback, Nectar and AlpacaEval.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from builders.judging.tables import Row, is_number
from builders.recipe import short_hash
from builders.sources.conversations import Reason, unreadable
from builders.sources.rows import Records, Unreadable

LISTS = ("answers", "responses", "completions", "candidates", "outputs", "generations", "replies")
_TEXTS = ("answer", "response", "completion", "output", "generation", "text", "content")
_RANKS = ("rank", "ranks", "ranking")  # the lowest is the best
_SCORES = ("score", "scores", "rating", "ratings", "overall_score", "pm_score")
_OF_ALPACA_EVAL = {"generator_1", "generator_2", "price_per_example", "raw_completion"}
_TRUE = {"1", "1.0", "True", "true"}
_ALONE = Reason("without a second answer", "no row beside it has the same prompt")


def plain_row(row: Row) -> dict[str, Any]:
    """A row as it is, with the columns of the plain form where it has another."""
    made = dict(row)
    if isinstance(question := row.get("question"), Mapping):  # WebGPT
        made["question"] = question.get("full_text")
        made["label"] = higher(row.get("score_0"), row.get("score_1"))
    if isinstance(summaries := row.get("summaries"), list) and len(summaries) == 2:
        if isinstance(info := row.get("info"), Mapping):
            made["post"] = info.get("post") or info.get("article")
        for place, one in enumerate(summaries):
            made[f"summary_{place}"] = one.get("text") if isinstance(one, Mapping) else one
    if "winner_model_a" in row:  # Chatbot Arena's, one column per outcome
        outcomes = ("model_a", "model_b", "tie")
        won = [one for one in outcomes if str(row.get(f"winner_{one}", row.get(one))) in _TRUE]
        made["winner"] = won[0] if len(won) == 1 else None
        asked, *texts = (_listed(row.get(one)) for one in ("prompt", "response_a", "response_b"))
        if asked is not None and None not in texts:
            for name, answers in zip(("response_a", "response_b"), texts, strict=True):
                made[name] = [
                    {"role": role, "content": text}
                    for turn in zip_longest(asked, answers or ())
                    for role, text in zip(("user", "assistant"), turn, strict=True)
                ]
    return made


def judge_of_preference(row: Row) -> str | None:
    """Which model gave a row its `preference`, in AlpacaEval's form; None where a person may have.

    Its preferences are fractions where they are weighted.
    """
    judge, preference = row.get("annotator"), row.get("preference")
    weighted = isinstance(preference, float) and preference % 0.5 != 0
    named = isinstance(judge, str) and not judge.isdigit() and judge not in ("human", "humans")
    form = "output_1" in row and (weighted or not _OF_ALPACA_EVAL.isdisjoint(row))
    return judge if named and form else None


def ranked_pair(row: Row) -> dict[str, Any]:
    """The list of a row's answers with ranks or scores, two of them and their label; else {}.

    They are the best one and another, drawn, as in the pairs that Zephyr made of UltraFeedback;
    which of both comes first is drawn too. More pairs of one row would not be independent.
    """
    for name in LISTS:
        answers = _as_list(row.get(name))
        rated = [one for one in map(_ranked, _with_ranks(answers, row)) if one]
        if len(rated) > 1:
            break
    else:
        return {}
    rated.sort(key=lambda one: -one[0])
    draw = int(short_hash(*(one["text"] for _, one in rated)), 16)
    best, other = rated[0], rated[1 + draw // 2 % (len(rated) - 1)]
    a, b = (other, best) if draw % 2 else (best, other)
    return {
        name: row[name],
        "text_a": a[1]["text"],
        "text_b": b[1]["text"],
        "label": higher(a[0], b[0]),
        "writer_a": a[1]["writer"],
        "writer_b": b[1]["writer"],
    }


def _as_list(value: Any) -> list[Any]:
    """A list, also one that is given as JSON text or as a table of columns; [] for others."""
    if isinstance(value, Mapping) and all(isinstance(one, list) for one in value.values()):
        return [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=False)]
    found = value if isinstance(value, list) else _listed(value)
    return found or []


def _with_ranks(answers: list[Any], row: Row) -> list[Any]:
    """Answers with their ranks or scores; these may be a list of their own in the row."""
    if not all(isinstance(one, str) for one in answers):
        return answers
    for name in (*_RANKS, *_SCORES):
        values = _as_list(row.get(name))
        if len(values) == len(answers):
            return [{"text": one, name: at} for one, at in zip(answers, values, strict=True)]
    return answers


def _ranked(answer: Any) -> tuple[float, dict[str, Any]] | None:
    """A number that is higher for a better answer, and its text and writer."""
    if not isinstance(answer, Mapping):
        return None
    text = next((answer[name] for name in _TEXTS if isinstance(answer.get(name), str)), None)
    signed = [(1, name) for name in _SCORES] + [(-1, name) for name in _RANKS]
    numbers = [sign * x for sign, name in signed if (x := _number(answer.get(name))) is not None]
    return (
        None
        if text is None or not numbers
        else (numbers[-1], {"text": text, "writer": answer.get("model")})
    )


def _number(value: Any) -> float | None:
    """A number, also one that is written as text."""
    if isinstance(value, str) and is_number(value):
        return float(value)
    known = isinstance(value, int | float) and value == value and not isinstance(value, bool)
    return value if known else None


def _listed(value: Any) -> list[Any] | None:
    """A list that is given as JSON text."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def higher(first: Any, second: Any) -> str | None:
    """The label of two scores that people gave."""
    one, other = _number(first), _number(second)
    if one is None or other is None:
        return None
    return "tie" if one == other else "a" if one > other else "b"


def one_row_each(records: Records) -> Iterator[tuple[str, Row | Reason, int]]:
    """The rows, and how many of the source each is: in HelpSteer two with one prompt are a pair."""
    held: tuple[str, Row] | None = None
    for place, row in records:
        if isinstance(row, Unreadable):
            yield place, unreadable(row.why), 1
        elif not {"prompt", "response", "helpfulness"} <= {*row}:
            yield place, row, 1
        elif held and held[1]["prompt"] == row["prompt"]:
            first = held[1]
            yield (
                place,
                {
                    "prompt": row["prompt"],
                    "response_1": first["response"],
                    "response_2": row["response"],
                    "label": higher(first["helpfulness"], row["helpfulness"]),
                },
                2,
            )
            held = None
        else:
            if held:
                yield held[0], _ALONE, 1
            held = place, row
    if held:
        yield held[0], _ALONE, 1
