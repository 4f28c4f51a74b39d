"""Figures for the card, computed from the rows being released and from nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from builders.engine.calls import Answer, Call
from builders.schema import Row

_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows over all configs and splits."""
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def figures(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Rows by config, words of prompts and answers, calls and tokens by role."""
    roles: dict[str, dict[str, int]] = {}
    for call in rows["raw"]:
        role = roles.setdefault(call["role"], {"calls": 0, "input_tokens": 0, "output_tokens": 0})
        role["calls"] += 1
        role["input_tokens"] += call["input_tokens"] or 0
        role["output_tokens"] += call["output_tokens"] or 0
    given = {
        "rows": {config: len(found) for config, found in rows.items()},
        "roles": dict(sorted(roles.items())),
        "dropped": _by_reason(rows["dropped"]),
    }
    for column in ("prompt", "completion"):
        if words := [_words(row[column]) for row in rows["default"] if column in row]:
            given[f"{column}_words"] = {
                "least": min(words),
                "median": median(words),
                "most": max(words),
            }
    return given


def spending(answers: Iterable[tuple[Call, Answer, float | None]], kept: int) -> dict[str, Any]:
    """Calls, tokens and USD by role and in all, and USD a kept row.

    A cost is None where the price of any of its calls is unknown: never 0 for want of a price.
    """
    roles: dict[str, dict[str, Any]] = {}
    for call, answer, cost_usd in answers:
        empty = {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}
        role = roles.setdefault(call.role, empty)
        role["calls"] += 1
        role["input_tokens"] += answer.input_tokens or 0
        role["output_tokens"] += answer.output_tokens or 0
        priced = role["usd"] is not None and cost_usd is not None
        role["usd"] = role["usd"] + cost_usd if priced else None
    costs = [role["usd"] for role in roles.values()]
    usd = None if None in costs else math.fsum(costs)
    for role in roles.values():
        role["usd"] = None if role["usd"] is None else round(role["usd"], 9)
    return {
        "roles": dict(sorted(roles.items())),
        "usd": None if usd is None else round(usd, 9),
        "usd_a_kept_row": None if usd is None or not kept else round(usd / kept, 9),
    }


def samplings(calls: Sequence[Row]) -> list[dict[str, Any]]:
    """For each role the distinct models and samplings (the seed of each call left out)."""
    found = set()
    for call in calls:
        sampling = {k: v for k, v in json.loads(call["sampling"]).items() if k != "seed"}
        found.add((call["role"], call["model"], call["revision"] or "", json.dumps(sampling)))
    return [
        {"role": role, "model": model, "revision": revision, "sampling": sampling}
        for role, model, revision, sampling in sorted(found)
    ]


def _by_reason(dropped: Sequence[Row]) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for row in dropped:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))


def _words(turns: Sequence[Mapping[str, str]]) -> int:
    return sum(len(turn["content"].split()) for turn in turns)
