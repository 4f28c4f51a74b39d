"""What a build will take, from a small sample that is made in full and kept in the ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from builders.drafting.build_spec import BuildSpec
from builders.drafting.outcomes import decide
from builders.drafting.run import Answered, answer_calls, open_build
from builders.engine.budget import most_tokens
from builders.engine.calls import Answer, Call
from builders.engine.progress import Progress

_SAMPLE_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure of the whole build, with bounds of two standard errors."""

    expected: float
    low: float
    high: float

    @classmethod
    def of(cls, sample: Sequence[float], factor: float) -> Span:
        """From one value per question, scaled by `factor`; a sample of all has no error."""
        total = math.fsum(sample) * factor
        spread = stdev(sample) if len(sample) > 1 else fmean(sample or [0.0])
        error = 2 * spread * math.sqrt(len(sample) * factor * (factor - 1))
        return cls(expected=total, low=max(0.0, total - error), high=total + error)

    def facts(self) -> dict[str, float]:
        """The three numbers."""
        return {name: round(getattr(self, name), 6) for name in ("expected", "low", "high")}


def estimate(spec: BuildSpec, progress: Progress) -> dict[str, Any]:
    """Calls, tokens and USD (None: a price is unknown) of the whole build.

    Of `uncounted` calls of the sample the tokens are the most that they can be.

    The answers of the sample are in the ledger, so the build does not pay for them again.
    """
    sample = min(_SAMPLE_ROWS, spec.settings.keep or _SAMPLE_ROWS)
    with open_build(spec) as ledger:
        answered = answer_calls(spec, ledger, progress, sample=sample)
        answers = list(answered.calls(ledger))
    decide(spec.recipe, answered.spec.settings, answered.candidates)
    return estimated(answered, answers)


def estimated(
    answered: Answered, answers: Sequence[tuple[Call, Answer, float | None]]
) -> dict[str, Any]:
    """The same, of a sample that was asked for, with its answers and the outcomes of its rows."""
    # By question: several answers to one have similar lengths, so they are one sample.
    tokens: dict[str, float] = defaultdict(float)
    costs: dict[str, float] = defaultdict(float)
    uncounted = 0
    for call, answer, cost_usd in answers:
        tokens[str(call.prompt)] += sum(most_tokens(call, answer))
        uncounted += not answer.counted
        costs[str(call.prompt)] += math.nan if cost_usd is None else cost_usd
    known = not any(map(math.isnan, costs.values()))
    rows = answered.spec.settings.rows
    sampled, keep = min(rows, answered.asked), answered.spec.settings.keep
    if keep:
        kept = sum(one.row is not None for one in answered.candidates)
        rows = min(rows, max(sampled, math.ceil(keep * sampled / kept))) if kept else rows
    factor = rows / sampled
    return {
        "rows": rows,
        "rows_of": answered.spec.recipe.rows_of,
        "sampled_rows": sampled,
        "sampled_calls": len(answers),
        "uncounted": uncounted,
        "calls": round(len(answers) * factor),
        "tokens": Span.of([*tokens.values()], factor).facts(),
        "usd": Span.of([*costs.values()], factor).facts() if known else None,
        **({"unreadable": answered.unreadable} if answered.unreadable else {}),
    }
