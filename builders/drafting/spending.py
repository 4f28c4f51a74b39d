"""What the calls of a draft cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from builders.engine.calls import Answer, Call


class Spending:
    """Counts calls, tokens and USD by role while the calls pass through it.

    `usd` is None where the cost of any call is unknown, and never 0 for lack of a price or a count.
    `at_most_usd` is what all calls may have cost; None where a price is unknown. `uncounted` calls
    are those without a count of tokens.
    """

    def __init__(self) -> None:
        self._roles: dict[str, dict[str, Any]] = {}

    def of(
        self, calls: Iterable[tuple[Call, Answer, float | None]]
    ) -> Iterator[tuple[Call, Answer, float | None]]:
        """The same calls, each counted as it passes."""
        for call, answer, cost_usd in calls:
            empty = {"calls": 0, "uncounted": 0, "input_tokens": 0, "output_tokens": 0}
            role = self._roles.setdefault(call.role, empty | {"usd": 0.0, "at_most_usd": 0.0})
            role["calls"] += 1
            role["uncounted"] += not answer.counted
            role["input_tokens"] += answer.input_tokens or 0
            role["output_tokens"] += answer.output_tokens or 0
            role["usd"] = _plus(role["usd"], cost_usd if answer.counted else None)
            role["at_most_usd"] = _plus(role["at_most_usd"], cost_usd)
            yield call, answer, cost_usd

    def facts(self, kept: int) -> dict[str, Any]:
        """The counts by role, USD in all, and USD per kept row; JSON values."""
        names = ("usd", "at_most_usd")
        facts: dict[str, Any] = {
            "roles": {
                role: counts | {name: _rounded(counts[name]) for name in names}
                for role, counts in sorted(self._roles.items())
            }
        }
        for name in names:
            costs = [role[name] for role in self._roles.values()]
            usd = None if None in costs else math.fsum(costs)
            facts[name] = _rounded(usd)
            facts[f"{name}_a_kept_row"] = None if usd is None or not kept else _rounded(usd / kept)
        return facts


def cost(spent: Mapping[str, Any], name: str = "") -> str:
    """A cost in USD among what was spent, as text: 0.0123, at most 0.0123, unknown."""
    usd, at_most_usd = spent[f"usd{name}"], spent.get(f"at_most_usd{name}")
    if usd is not None:
        return f"{usd:.6g}"
    return "unknown" if at_most_usd is None else f"at most {at_most_usd:.6g}"


def _plus(total: float | None, more: float | None) -> float | None:
    return None if total is None or more is None else total + more


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 9)
