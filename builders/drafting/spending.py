"""What the calls of a draft cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from builders.engine.calls import Answer, Call


class Spending:
    """Counts calls, tokens and USD by role while the calls pass through it.

    A cost is None where the price of any of its calls is unknown, and never 0 for lack of a price.
    """

    def __init__(self) -> None:
        self._roles: dict[str, dict[str, Any]] = {}

    def of(
        self, calls: Iterable[tuple[Call, Answer, float | None]]
    ) -> Iterator[tuple[Call, Answer, float | None]]:
        """The same calls, each counted as it passes."""
        for call, answer, cost_usd in calls:
            empty = {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}
            role = self._roles.setdefault(call.role, empty)
            role["calls"] += 1
            role["input_tokens"] += answer.input_tokens or 0
            role["output_tokens"] += answer.output_tokens or 0
            priced = role["usd"] is not None and cost_usd is not None
            role["usd"] = role["usd"] + cost_usd if priced else None
            yield call, answer, cost_usd

    def facts(self, kept: int) -> dict[str, Any]:
        """The counts by role, USD in all, and USD per kept row; JSON values."""
        costs = [role["usd"] for role in self._roles.values()]
        usd = None if None in costs else math.fsum(costs)
        roles = {
            name: {**role, "usd": None if role["usd"] is None else round(role["usd"], 9)}
            for name, role in sorted(self._roles.items())
        }
        return {
            "roles": roles,
            "usd": None if usd is None else round(usd, 9),
            "usd_a_kept_row": None if usd is None or not kept else round(usd / kept, 9),
        }
