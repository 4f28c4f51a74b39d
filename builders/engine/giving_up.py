"""When the failures of its calls show that an endpoint answers none, and when only their own."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from dataclasses import dataclass

from builders.engine.calls import Call, Failure
from builders.engine.ledger import Ledger
from builders.engine.refusals import NO_SUCH_MODEL, REASONS

MOST_ALIKE = 20  # calls in a row that fail alike; then the next one would as well


@dataclass(frozen=True)
class _Open:
    """A call without an outcome: its number, and how many answers there were when it began."""

    number: int
    answers: int


class Standing:
    """What the calls to one endpoint show about it, in the order in which they began.

    Only an answer to a later call shows that a refusal was due to its own request: refusals come
    back sooner than answers, and credit may have run out in between. So a row of failures is
    interrupted by calls that are still open. A failure that was worth another attempt takes long:
    any answer meanwhile shows that it was the call's own.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._numbers = itertools.count()
        self._open: dict[bytes, _Open] = {}
        self._failed: dict[int, str] = {}  # causes by number
        self._refused: dict[bytes, tuple[int, Call, Failure]] = {}  # not known yet to be their own

    def begin(self, call: Call) -> None:
        """Note that a call begins."""
        self._open[call.key] = _Open(next(self._numbers), self.answers)

    def answer(self, call: Call) -> list[tuple[Call, Failure]]:
        """Note an answer; return the refusals that it shows to be due to their own requests."""
        self.answers += 1
        number = self._open.pop(call.key).number
        if self._failed:
            self._failed = {one: cause for one, cause in self._failed.items() if one > number}
        return self._own(number)

    def fail(self, call: Call, failure: Failure, *, known: bool) -> bool:
        """Note a failure; return whether `MOST_ALIKE` calls in a row have now failed alike.

        `known` means that the call failed for the same cause in an earlier build.
        """
        opened = self._open.pop(call.key)
        if failure.cause in REASONS:
            self._refused[call.key] = (opened.number, call, failure)
        elif known or opened.answers < self.answers:
            return False
        self._failed[opened.number] = failure.cause
        return self._most_alike() >= MOST_ALIKE

    def refusal(self, call: Call) -> Failure | None:
        """The refusal of a call in this build, if it is not known to be its own yet."""
        return self._refused[call.key][2] if call.key in self._refused else None

    def rest(self) -> list[tuple[Call, Failure]]:
        """The refusals that no later answer has shown to be due to their own requests."""
        return [(call, failure) for _, call, failure in self._refused.values()]

    def settle(self) -> list[tuple[Call, Failure]]:
        """The same; each is taken for its own from now on."""
        return self._own(next(self._numbers))

    def _own(self, before: int) -> list[tuple[Call, Failure]]:
        if not self._refused:
            return []
        own = [key for key, (number, *_) in self._refused.items() if number < before]
        return [self._refused.pop(key)[1:] for key in own]

    def _most_alike(self) -> int:
        still_open = [one.number for one in self._open.values()]
        longest = length = 0
        last = None
        for number in sorted(self._failed):
            cause, gap = self._failed[number], bisect.bisect(still_open, number)
            length = length + 1 if (cause, gap) == last else 1
            last = cause, gap
            longest = max(longest, length)
        return longest


class Standings(defaultdict[str, Standing]):
    """The standing of each endpoint of a build; what its ledger holds counts as answered."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(Standing)
        self._ledger = ledger

    def counts(self, call: Call, failure: Failure) -> bool:
        """Whether failures alike, in a row, show that the endpoint will not answer at all.

        The failures of a scripted teacher do not, once it has answered: the calls decide them.
        """
        return failure.retryable or failure.cause in REASONS or not self._answered(call)

    def unanswered(self) -> Failure | None:
        """The refusal of a call to an endpoint that never answered one; None if each has.

        Where the refusal is about the model, only the answers of that model count.
        """
        refused = (one for standing in self.values() for one in standing.rest())
        for call, failure in refused:
            if not self._answered(call, call.model if failure.cause == NO_SUCH_MODEL else None):
                return failure
        return None

    def _answered(self, call: Call, model: str | None = None) -> bool:
        if self[call.endpoint].answers and model is None:
            return True
        return any(
            one["endpoint"] == call.endpoint and model in (None, one["model"])
            for one in self._ledger.summary()["teachers"]
        )
