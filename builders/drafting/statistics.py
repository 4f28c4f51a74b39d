"""Figures for the card, computed from the rows being released and from nothing else."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from builders.drafting.draft import by_frequency
from builders.drafting.files import read_parquet
from builders.engine.calls import Answer, Call
from builders.schema import Row

_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows over all configs and splits."""
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def figures(files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """From the files of a release, by config: rows, drops by reason, words, samplings by role."""
    rows: Counter[str] = Counter(dict.fromkeys(files, 0))
    reasons: Counter[str] = Counter()
    words: dict[str, list[int]] = defaultdict(list)
    samplings: set[tuple[str, str, str, str]] = set()
    for config, paths in files.items():
        for row in chain.from_iterable(map(read_parquet, paths)):
            rows[config] += 1
            if config == "dropped":
                reasons[row["reason"]] += 1
            elif config == "calls":
                samplings.add(_sampling(row))
            elif config == "default":
                for column in ("prompt", "completion", "chosen", "rejected"):
                    if column in row:
                        words[column].append(_words(row[column]))
    spans = {
        f"{column}_words": {"least": min(found), "median": median(found), "most": max(found)}
        for column, found in words.items()
    }
    names = ("role", "model", "revision", "sampling")
    return {
        "rows": dict(rows),
        "dropped": by_frequency(reasons),
        "samplings": [dict(zip(names, one, strict=True)) for one in sorted(samplings)],
        **spans,
    }


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


def _sampling(call: Row) -> tuple[str, str, str, str]:
    """Role, model, revision and sampling of a call, without the seed, which each call has anew."""
    given = {name: value for name, value in json.loads(call["sampling"]).items() if name != "seed"}
    return call["role"], call["model"], call["revision"] or "", json.dumps(given)


def _words(turns: Sequence[Mapping[str, str]]) -> int:
    return sum(len(turn["content"].split()) for turn in turns)
