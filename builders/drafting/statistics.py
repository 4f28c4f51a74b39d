"""What the calls of a draft cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from builders.engine.calls import Answer, Call


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
