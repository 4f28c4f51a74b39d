"""When the failures of its calls show that an endpoint answers none, and when only their own."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from builders.engine.calls import Call, Failure
from builders.engine.ledger import STOPPED, Ledger
from builders.engine.refusals import (
    MAYBE_OF_THE_REQUEST,
    NO_SUCH_MODEL,
    OF_THE_REQUEST,
    REASONS,
    of_the_account,
)
from builders.errors import TeacherError, number_of

MOST_ALIKE = 20  # calls in a row that fail alike; then the next one would as well


class _Open(NamedTuple):
    """A call without an outcome: its number, and how many answers there were when it began."""

    number: int
    answers: int


class Standing:
    """What the calls to one endpoint show about it, in the order in which they began.

    Only an answer to a later call shows that a refusal was due to its own request: refusals come
    back sooner than answers, and credit may have run out in between. So a row of failures is
    interrupted by calls that are still open. A failure that was worth another attempt takes long:
    any answer meanwhile shows that it was the call's own. A reason that is about one request by its
    words shows something about the endpoint only while it has answered none, those included that
    are in flight when many have failed.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._numbers = itertools.count()
        self._open: dict[bytes, _Open] = {}
        self._failed: dict[int, str] = {}  # causes by number
        self._refused: dict[bytes, tuple[int, Call, Failure]] = {}  # not known yet to be their own
        self._doubt: int | None = None  # since then the calls in flight decide

    def begin(self, call: Call) -> None:
        """Note that a call begins."""
        self._open[call.key] = _Open(next(self._numbers), self.answers)

    def answer(self, call: Call) -> list[tuple[Call, Failure]]:
        """Note an answer; return the refusals that it shows to be due to their own requests."""
        self.answers += 1
        number = self._open.pop(call.key).number
        self._doubt = None
        if self._failed:
            self._failed = {
                one: cause
                for one, cause in self._failed.items()
                if one > number and cause not in OF_THE_REQUEST
            }
        return self._own(number)

    def fail(self, call: Call, failure: Failure, *, known: Failure | None, own: bool) -> bool:
        """Note a failure; return whether `MOST_ALIKE` calls in a row have now failed alike.

        `known` is its failure in an earlier build; `own` means that the failure shows nothing about
        other calls.
        """
        opened = self._open.pop(call.key)
        if own:
            return False
        if failure.cause in REASONS:
            self._refused[call.key] = (opened.number, call, failure)
        elif (known and known.cause == failure.cause) or opened.answers < self.answers:
            return False
        self._failed[opened.number] = failure.cause
        if self._most_alike() < MOST_ALIKE:
            return False
        if failure.cause in OF_THE_REQUEST:
            self._doubt = next(self._numbers) if self._doubt is None else self._doubt
            return all(one.number > self._doubt for one in self._open.values())
        return True

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
        own = [
            key
            for key, (number, _, failure) in self._refused.items()
            if number < before or failure.cause in OF_THE_REQUEST
        ]
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
        self._gave_up = False

    def counts(self, call: Call, failure: Failure) -> bool:
        """Whether failures alike, in a row, show that the endpoint will not answer at all.

        The failures of a scripted teacher do not, once it has answered: the calls decide them.
        """
        return failure.retryable or failure.cause in REASONS or not self._answered(call)

    def own(self, call: Call, failure: Failure) -> bool:
        """Whether a failure is due to the call's own request, whatever becomes of the others."""
        return failure.cause in OF_THE_REQUEST and self._answered(call)

    def given_up(self, failure: Failure) -> TeacherError:
        """The error of a build that ends because its calls fail alike, the last with `failure`."""
        self._gave_up = True
        message = f"the last {MOST_ALIKE} calls failed alike, so the build stops: {failure}"
        if any(one is failure for _, one in self.passed()):
            message += "; the next build passes these, or sends them again with --retry"
        return TeacherError(message)

    def passed(self) -> list[tuple[Call, Failure]]:
        """The refusals that the next build passes, after one that was given up; else none.

        They may be due to their own requests: the endpoint has answered others.
        """
        reasons = OF_THE_REQUEST | MAYBE_OF_THE_REQUEST
        return [
            (call, failure)
            for call, failure in self.rest()
            if self._gave_up and failure.cause in reasons and self._answered(call)
        ]

    def rest(self) -> list[tuple[Call, Failure]]:
        """The refusals that are not known to be due to their own requests."""
        return [one for standing in self.values() for one in standing.rest()]

    def settled(self) -> list[tuple[Call, Failure]]:
        """What to record of these when a pipeline has ended; each is taken for its own from now on.

        That of the account has no status there, so that the next build sends its call again.
        """
        settled = [one for standing in self.values() for one in standing.settle()]
        return [
            (call, _recorded(one, one.cause, None if of_the_account(one) else one.status))
            for call, one in settled
        ]

    def left(self) -> list[tuple[Call, Failure]]:
        """What to record of these when a build stops: that of a call to be sent again as stopped.

        So its requests are counted, and nothing else.
        """
        passed = self.passed()
        keys = {call.key for call, _ in passed}
        again = [(call, stopped(one)) for call, one in self.rest() if call.key not in keys]
        return [*passed, *again]

    def unanswered(self) -> Failure | None:
        """The refusal of a call to an endpoint that never answered one; None if each has.

        Where the refusal is about the model, only the answers of that model count.
        """
        for call, failure in self.rest():
            if not self._answered(call, call.model if failure.cause == NO_SUCH_MODEL else None):
                return failure
        return None

    def _answered(self, call: Call, model: str | None = None) -> bool:
        if model is None:
            return bool(self[call.endpoint].answers) or call.endpoint in self._before
        return any(
            (one["endpoint"], one["model"]) == (call.endpoint, model)
            for one in self._ledger.summary()["teachers"]
        )

    @cached_property
    def _before(self) -> set[str]:
        """The endpoints with answers in the ledger when this was first asked."""
        return {one["endpoint"] for one in self._ledger.summary()["teachers"]}


def is_passed(known: Failure) -> bool:
    """Whether a build sends no request for a call that failed so before: it was refused itself."""
    return known.cause in REASONS and not is_sent_again(known)


def is_sent_again(known: Failure) -> bool:
    """Whether a failure in the ledger is a refusal that is about the account."""
    return known.status is None and of_the_account(known)


def sent_again(settled: Sequence[tuple[Call, Failure]]) -> str:
    """For the user: which of the refusals that are recorded now the next build sends again."""
    again = [failure for _, failure in settled if is_sent_again(failure)]
    if not again:
        return ""
    calls = number_of(len(again), "calls")
    return (
        f"{calls} got no answer for a reason that is about the account, not about what was asked; "
        f"the next build sends them again: {again[-1]}"
    )


def stopped(last: Failure | None) -> Failure:
    """What to record of a call for which the build stops, after the last failure of a request."""
    if last is None:
        return Failure(STOPPED, "the build stopped before an answer came")
    return _recorded(last, f"{STOPPED} after {last.cause}", None)


def _recorded(refusal: Failure, cause: str, status: int | None) -> Failure:
    recorded = Failure(cause, str(refusal), status=status)
    recorded.attempts, recorded.most = refusal.attempts, refusal.most
    return recorded
