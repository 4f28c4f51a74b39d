"""What the calls of a build gave: candidates with their outcomes, and the calls' costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from builders.drafting.build_spec import BuildSpec
from builders.drafting.outcomes import CandidateRow
from builders.engine.budget import most_tokens
from builders.engine.calls import Answer, Call
from builders.engine.ledger import Ledger
from builders.engine.prices import price_of
from builders.engine.run_limits import RunLimits
from builders.sources.source import LeftOut, Origin
from builders.spool import Spool


@dataclass(frozen=True)
class Answered:
    """The candidates of a build once every call has been made, each with its own outcome.

    `prices` names those that the costs follow, None where all teachers run on this machine.
    `spec` is that of the build with the number of rows that its source gave; `left_out` are the
    rows of the source that could not be used; `asked` is the number of rows that were asked for.
    `unreadable` are the steps most of whose answers cannot be parsed (`Judgements.unreadable`);
    `stopped_for` is why a build stops for them, after a sample that may have ended early.
    `used` are the keys of the calls that they are based on, and the role of each in this build; the
    ledger knows the role in which a call was made first.
    """

    spec: BuildSpec
    candidates: Spool[CandidateRow]
    used: Mapping[bytes, str]
    origin: Origin
    left_out: Sequence[LeftOut]
    identities: Mapping[str, Mapping[str, Any]]
    prices: str | None
    asked: int
    unreadable: Sequence[dict[str, Any]]
    stopped_for: str | None

    def calls(self, ledger: Ledger) -> Iterator[tuple[Call, Answer, float | None]]:
        """The calls in their roles in this build, with the answer and the cost in USD of each.

        They come in the order of their keys. What was recorded without a price has that of this
        build.
        """
        limits = RunLimits() if self.spec.from_ledger else self.spec.run_limits
        price_now = cache(partial(price_of, usual=limits.price, table=limits.prices))
        for call, answer, cost_usd in ledger.answers(sorted(self.used)):
            if cost_usd is None and (price := price_now(call.model)):
                cost_usd = price.cost(*most_tokens(call, answer), answer.cached_tokens or 0)
            role = self.used[call.key]
            yield (call if call.role == role else replace(call, role=role)), answer, cost_usd
