"""What a build will take, from a small sample that is made in full and kept in the ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from builders.drafting.answered import Answered
from builders.drafting.build_spec import BuildSpec
from builders.drafting.outcomes import CandidateRow, decide
from builders.drafting.run import answer_calls, open_build
from builders.engine.budget import most_tokens
from builders.engine.calls import Answer, Call
from builders.engine.progress import Progress

_SAMPLE_ROWS = 8
_STAYS_UNREADABLE = (
    "the figures hold while the answers stay as unreadable as in the sample; they change once the "
    "answers can be parsed"
)
_IS_STOPPED = (
    "; they are the least of a build with --accept-unreadable, since one without it stops as early "
    "as this sample"
)


class Kind(NamedTuple):
    """What questions of one step have in common, whose answers have similar lengths.

    `factor` scales the sample to the whole, and `most` is the limit of an answer's tokens.
    """

    factor: float
    role: str
    most: Any


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure of the whole build, with bounds of two standard errors."""

    expected: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Mapping[Kind, Sequence[float]]) -> Span:
        """From one value per question, by kind and the factor that scales it; 1 leaves no error.

        One question of a kind shows nothing of its spread: as much as the value is assumed.
        """
        total = variance = 0.0
        for (factor, *_), sample in samples.items():
            total += math.fsum(sample) * factor
            spread = stdev(sample) if len(sample) > 1 else fmean(sample or [0.0])
            variance += spread**2 * len(sample) * factor * (factor - 1)
        error = 2 * math.sqrt(variance)
        return cls(expected=total, low=max(0.0, total - error), high=total + error)

    def facts(self) -> dict[str, float]:
        """The three numbers."""
        return {name: round(getattr(self, name), 6) for name in ("expected", "low", "high")}


def estimate(spec: BuildSpec, progress: Progress) -> dict[str, Any]:
    """Calls, tokens and USD (None: a price is unknown) of the whole build.

    Of `uncounted` calls of the sample the tokens are the most that they can be; no figure has its
    `failures`, such as refusals: calls without an answer. Where most answers of a step are
    `unreadable`, `caution` says so: all figures are those of a build that goes on while they stay
    so. Where a build stops for them, `stopped` says why; the sample may have ended early, so the
    `calls` are the least of a build that goes on, and `low` alone is known.

    The answers of the sample are in the ledger, so the build does not pay for them again.
    """
    sample = min(_SAMPLE_ROWS, spec.settings.keep or _SAMPLE_ROWS)
    with open_build(spec) as ledger:
        answered = answer_calls(spec, ledger, progress, sample=sample)
        answers = list(answered.calls(ledger))
    decide(spec.recipe, answered.spec.settings, answered.candidates)
    return estimated(answered, answers, progress.failures)


def estimated(
    answered: Answered, answers: Sequence[tuple[Call, Answer, float | None]], failures: int
) -> dict[str, Any]:
    """The same, of a sample that was asked for, with its answers and the outcomes of its rows."""
    rows = answered.spec.settings.rows
    sampled, keep = min(rows, answered.asked), answered.spec.settings.keep
    if keep:
        kept = sum(one.row is not None for one in answered.candidates)
        rows = min(rows, max(sampled, math.ceil(keep * sampled / kept))) if kept else rows
    spare, shared = _spare(answered)
    stopped = answered.stopped_for
    caution = _STAYS_UNREADABLE + (_IS_STOPPED if stopped else "")
    # By question: several answers to one have similar lengths, so they are one sample.
    tokens: dict[Kind, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    costs: dict[Kind, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    uncounted, calls, known = 0, 0.0, True
    for call, answer, cost_usd in answers:
        factor = max(1.0, rows / (sampled + spare)) if call.id in shared else rows / sampled
        calls += factor
        uncounted += not answer.counted
        known = known and cost_usd is not None
        kind = Kind(factor, call.role, call.sampling.get("max_tokens"))
        tokens[kind][str(call.prompt)] += sum(most_tokens(call, answer))
        costs[kind][str(call.prompt)] += cost_usd or 0.0
    return {
        "rows": rows,
        "rows_of": answered.spec.recipe.rows_of,
        "sampled_rows": sampled,
        "sampled_calls": len(answers),
        "uncounted": uncounted,
        "failures": failures,
        "calls": round(calls),
        "tokens": _span(tokens, whole=not stopped),
        "usd": _span(costs, whole=not stopped) if known else None,
        **({"unreadable": answered.unreadable, "caution": caution} if answered.unreadable else {}),
        **({"stopped": stopped} if stopped else {}),
    }


def _span(by_kind: Mapping[Kind, Mapping[str, float]], *, whole: bool) -> dict[str, float | None]:
    """The three numbers; of a sample that is not whole the lowest alone."""
    span = Span.of({kind: [*of.values()] for kind, of in by_kind.items()})
    if whole:
        return {**span.facts()}
    return {"expected": None, "low": round(span.expected, 6), "high": None}


def is_spare(candidate: CandidateRow) -> bool:
    """Whether a pool did not go on with a candidate, since it was beyond those asked for."""
    drop = candidate.drop
    return drop is not None and drop.reason == "surplus" and "keep" not in drop.evidence


def _spare(answered: Answered) -> tuple[int, set[str]]:
    """How many candidates the requests of a pool gave beyond the sample, and these requests."""
    spare = [one.raw for one in answered.candidates if is_spare(one)]
    steps = {name for raw in spare for name in raw if name.startswith("llm_")}
    shared = {
        call
        for one in answered.candidates
        for call in one._replace(raw={name: one.raw.get(name) for name in steps}).calls()
    }
    return len(spare), shared
