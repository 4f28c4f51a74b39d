"""What a build will take, from a small sample that is asked for real and kept in the ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from builders.drafting.run import BuildSpec, asked, at_work
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
        """From one value a question, scaled up by `factor`; a sample of all has no error."""
        total = math.fsum(sample) * factor
        spread = stdev(sample) if len(sample) > 1 else fmean(sample or [0.0])
        error = 2 * spread * math.sqrt(len(sample) * factor * (factor - 1))
        return cls(expected=total, low=max(0.0, total - error), high=total + error)

    def facts(self) -> dict[str, float]:
        """The three numbers."""
        return {name: round(getattr(self, name), 6) for name in ("expected", "low", "high")}


def estimate(order: BuildSpec, progress: Progress) -> dict[str, Any]:
    """Calls, tokens and USD (None: a price is unknown) of the whole build.

    The sample's answers stay in the ledger, so the build does not pay for them again.
    """
    wanted = order.settings.rows
    sample = replace(order, settings=replace(order.settings, rows=min(wanted, _SAMPLE_ROWS)))
    with at_work(order) as ledger:
        made = asked(sample, ledger, progress)
        answers = list(ledger.answers([*made.used]))
    # By question: several answers to one are alike in length, so they are not several samples.
    tokens: dict[str, float] = defaultdict(float)
    costs: dict[str, float] = defaultdict(float)
    for call, answer, cost_usd in answers:
        tokens[str(call.prompt)] += (answer.input_tokens or 0) + (answer.output_tokens or 0)
        costs[str(call.prompt)] += math.nan if cost_usd is None else cost_usd
    known = not any(map(math.isnan, costs.values()))
    if order.recipe.candidates is None:  # a row a seed
        wanted = min(wanted, made.origin.rows)
    rows = min(wanted, _SAMPLE_ROWS)
    factor = wanted / rows
    return {
        "rows": wanted,
        "rows_of": order.recipe.rows_of,
        "sampled_rows": rows,
        "sampled_calls": len(answers),
        "calls": round(len(answers) * factor),
        "tokens": Span.of([*tokens.values()], factor).facts(),
        "usd": Span.of([*costs.values()], factor).facts() if known else None,
    }
