"""What a build will take, from a small sample that is asked for real and kept in the ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from builders.build import Order, asked, at_work
from builders.engine.progress import Progress

_SAMPLE_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure for the whole build with the bounds of two standard errors."""

    expected: float
    low: float
    high: float

    @classmethod
    def of(cls, sample: Sequence[float], factor: float) -> Span:
        """From one value a call, scaled up by `factor`."""
        total = math.fsum(sample) * factor
        spread = stdev(sample) if len(sample) > 1 else fmean(sample or [0.0])
        error = 2 * spread * math.sqrt(len(sample)) * factor
        return cls(expected=total, low=max(0.0, total - error), high=total + error)

    def facts(self) -> dict[str, float]:
        """The three numbers."""
        return {name: round(getattr(self, name), 6) for name in ("expected", "low", "high")}


def estimate(order: Order, progress: Progress) -> dict[str, Any]:
    """Calls, tokens and USD (None: a price is unknown) of the whole build.

    The sample's answers stay in the ledger, so the build does not pay for them again.
    """
    wanted = order.settings.rows
    rows = min(wanted, _SAMPLE_ROWS)
    sample = replace(order, settings=replace(order.settings, rows=rows))
    with at_work(order) as ledger:
        made = asked(sample, ledger, progress)
        answers = list(ledger.answers(made.used))
    tokens = [
        float((answer.input_tokens or 0) + (answer.output_tokens or 0)) for _, answer, _ in answers
    ]
    costs = [cost_usd for _, _, cost_usd in answers if cost_usd is not None]
    known = len(costs) == len(answers)
    factor = wanted / rows
    return {
        "rows": wanted,
        "rows_of": order.recipe.rows_of,
        "sampled_rows": rows,
        "sampled_calls": len(answers),
        "calls": round(len(answers) * factor),
        "tokens": Span.of(tokens, factor).facts(),
        "usd": Span.of(costs, factor).facts() if known else None,
    }
