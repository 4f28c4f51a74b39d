"""Published pairs that are not a row with two texts and a label, in that form.

Source: the files of WebGPT comparisons, Summarize from Feedback, Chatbot Arena and HelpSteer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from builders.judging.tables import Row
from builders.sources.conversations import Reason, unreadable
from builders.sources.rows import Records, Unreadable

_TRUE = {"1", "1.0", "True", "true"}
_ALONE = Reason("without a second answer", "no row beside it has the same prompt")


def plain_row(row: Row) -> dict[str, Any]:
    """A row as it is, with the columns of the plain form where it has another."""
    made = dict(row)
    if isinstance(question := row.get("question"), Mapping):  # WebGPT
        made["question"] = question.get("full_text")
        made["label"] = _higher(row.get("score_0"), row.get("score_1"))
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


def _listed(value: Any) -> list[Any] | None:
    """A list of texts that is given as JSON text."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _higher(first: Any, second: Any) -> str | None:
    """The label of two scores that people gave."""
    if not all(isinstance(one, int | float) and one == one for one in (first, second)):
        return None
    return "tie" if first == second else "a" if first > second else "b"


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
                    "label": _higher(first["helpfulness"], row["helpfulness"]),
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
