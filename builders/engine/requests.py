"""Sends a call until it has an answer: rate limits, retries, hedged requests, budget."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from builders.engine.budget import Budget, OverBudget, plausible
from builders.engine.calls import Answer, Call, Failure, Used, sending
from builders.engine.giving_up import stopped
from builders.engine.progress import Progress
from builders.engine.rate_limiter import RateLimiter
from builders.engine.refusals import UNKNOWN
from builders.engine.teacher import Teacher
from builders.errors import FolderError, number_of

_FIRST_WAIT_S = 0.5
_HELD_S = 0.05  # between two looks at whether requests may be sent again
_LONGEST_WAIT_S = 20.0
_MOST_FAULTS = 10  # failures of one call; with the waits between them at least 45 s
# Of them by cause: a response without an answer, and a deadline, may be paid for; a conflict that
# repeats is with the request itself.
_MOST_OF = dict.fromkeys(("empty", "no content", "not JSON", UNKNOWN, "http 409"), 3) | {
    "time-out": 4
}
_PATIENCE_S = 120.0  # with an endpoint that is unreachable or answers no call
_FEW = 3  # calls that alone are refused: the endpoint may have something against each of them
_SILENT_DEADLINES = 3  # requests of that length without any response: then the endpoint is given up
_LEAST_SILENCE_S = 30.0  # but not before
_REFUSALS = ("http 429", "http 503", "http 529", "no connection")  # not caused by the call
_OVERLOADED = ("http 429", "http 503", "http 529", "time-out")
_LONG_PAUSE_S = 60.0  # whose reason is shown
_GAVE_UP_WAITING = (408, 499, 504, 524)  # a proxy did, for an answer that may be paid for
_UNREACHABLE_PAUSE_S = 1.0  # often enough to notice that an endpoint is back
_NOTHING = Used(0.0, 0.0)
_BY_TIME = re.compile(  # words of a limit for a span of time, which is no limit of concurrency
    r"\bper[ _-]?(second|sec\b|minute|min\b|hour|day)|\b[rt]p[smhd]\b|"
    r"limit type: (requests|tokens)\b",
    re.IGNORECASE,
)
_jitter = random.SystemRandom()  # the global generator belongs to the steps


@dataclass(eq=False, slots=True)
class SentRequest:
    """One request in flight, for the watchdog to report what the build waits for."""

    call: Call
    sent_at: float  # by time.monotonic()


@dataclass(kw_only=True)
class CallResult:
    """A call's answer, what it used, the requests sent for it, and the last that failed.

    `used` belongs to the answer; `most` to all requests, those whose answer was lost included.
    `hedged` of the requests were sent while an earlier one was still in flight.
    """

    answer: Answer | None = None
    used: Used = _NOTHING
    most: Used = _NOTHING
    requests: int = 0
    hedged: int = 0
    failure: Failure | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the ledger records beside an answer: `most` only if its tokens do not show it."""
        counted = self.answer is None or self.answer.counted
        same = counted and self.most.tokens == self.used.tokens
        return {
            "cost_usd": self.used.usd,
            "attempts": self.requests,
            "hedged": self.hedged,
            "most": None if same else self.most,
        }

    def stopped(self, call: Call) -> list[tuple[Call, Failure]]:
        """What to record of the call if the build stops now: nothing if no request was sent."""
        if not self.requests:
            return []
        failure = stopped(self.failure)
        failure.attempts, failure.most = self.requests, self.most if self.most.tokens else None
        return [(call, failure)]


class TeacherClient:
    """Sends calls to one teacher.

    Args:
        teacher: A started teacher.
        limiter: Shared by all clients of one endpoint.
        budget: Shared by all clients of the build.
        progress: Counts what happens.
        hedge_s: After how many seconds without an answer a call is sent a second time; the first
            answer is used and the other request cancelled. None: never.
        stopping: Returns whether the build is stopping, so that no request may be sent.
        holding: Returns whether no request may be sent now.
        answered_before: Returns whether the ledger has an answer of this endpoint.
    """

    def __init__(
        self,
        teacher: Teacher,
        limiter: RateLimiter,
        budget: Budget,
        progress: Progress,
        *,
        hedge_s: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
        holding: Callable[[], bool] = lambda: False,
        answered_before: Callable[[], bool] = lambda: False,
    ) -> None:
        self.teacher = teacher
        self._limiter = limiter
        self._budget = budget
        self._progress = progress
        self._hedge_s = hedge_s
        self._stopping = stopping
        self._holding = holding
        self._answered_before = answered_before
        self._has_answered = False
        self._failure: Failure | None = None  # the last one
        self._silent_since: float | None = None  # since then only refusals, no answer
        self._refused: set[bytes] = set()  # the keys of the calls refused since then
        self._calls_refused = 0  # in all, each once
        self._heard_at: float | None = None  # the last response of any kind, or the first request
        self._time_outs = 0  # since then
        self._timed_out: set[bytes] = set()  # the keys of the calls concerned
        self._asked_until = 0.0  # the end of the last pause that the endpoint asked for
        self._limited_by_time = False  # the last refusal was about requests or tokens in a time
        self.in_flight: set[SentRequest] = set()
        self.unsent: set[bytes] = set()  # keys of calls without a request in flight
        self.asking = 0  # calls that `ask` works on
        self.resting = 0  # calls that wait before their next attempt

    async def ask(self, call: Call, result: CallResult) -> None:
        """Send a call until it has an answer; whatever happens, `result` shows what that took.

        A refusal is not the call's own fault: the call fails only when the endpoint has answered no
        call for `_PATIENCE_S`, and the build ends with it where more than `_FEW` calls are refused
        or nothing listens. Other failures may be its own: it fails after `_MOST_FAULTS`. The
        first time that its connection is broken off it is sent again at once, and this counts as
        none: a server may have closed an idle connection at that moment.

        Raises:
            Failure: After the last attempt that could help; its `attempts` are the requests sent.
            OverBudget: The next request could exceed the budget.
        """
        faults, refusals = dict[str, int](), 0
        broken_off = False
        if not self.asking:
            self._heard_at = None
        self.asking += 1
        try:
            while result.answer is None:
                self.unsent.add(call.key)
                try:
                    result.answer, result.used = await self._attempt(call, result)
                except OverBudget as over:
                    if self._has_answered or not self._failure:
                        raise
                    none = f"no request of this run succeeded, the last: {self._failure}"
                    raise OverBudget(f"{over}; {none}") from None
                except Failure as failure:
                    result.failure = self._failure = failure
                    failure.attempts = result.requests
                    failure.most = result.most if result.most.tokens else None
                    refused = failure.cause in _REFUSALS
                    at_once = failure.cause == "broken off" and not broken_off
                    broken_off = broken_off or at_once
                    refusals += refused
                    own = not refused and not at_once
                    faults[failure.cause] = faults.get(failure.cause, 0) + own
                    self._calls_refused += refused and refusals == 1
                    down = refused and self._is_down(call, refusals)
                    all_are = len(self._refused) > _FEW or failure.cause == "no connection"
                    failure.fatal = failure.fatal or (down and all_are)
                    most = _MOST_OF.get(failure.cause, _MOST_FAULTS)
                    left = min(_MOST_FAULTS - sum(faults.values()), most - faults[failure.cause])
                    if not failure.retryable or down or left <= 0 or self._stopping():
                        raise
                    self.unsent.add(call.key)
                    self._progress.retries += 1
                    self._progress.trying[call.key] = (failure.cause, None if refused else left)
                    times = refusals if refused else sum(faults.values())
                    if not at_once:
                        await self._rest(1 if _pause_s(failure) else times)
        finally:
            self.unsent.discard(call.key)
            self._progress.trying.pop(call.key, None)
            self.asking -= 1

    def _is_down(self, call: Call, refusals: int) -> bool:
        """Whether the endpoint refused this call so often, and all for so long, that it is down."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        self._refused.add(call.key)
        return refusals >= _MOST_FAULTS and now - self._silent_since > _PATIENCE_S

    async def _attempt(self, call: Call, result: CallResult) -> tuple[Answer, Used]:
        if self._hedge_s is None:
            return await self._send(call, result)
        sent = asyncio.Event()
        first = asyncio.ensure_future(self._send(call, result, sent))
        late = asyncio.ensure_future(self._late(sent))
        rivals = {first}
        try:
            await asyncio.wait([first, late], return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and not self._stopping():
                rivals.add(asyncio.ensure_future(self._send(call, result, hedge=True)))
            failures: list[BaseException] = []
            while rivals and not (failures and self._stopping()):
                done, rivals = await asyncio.wait(rivals, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if failure := one.exception():
                        failures.append(failure)
                    else:
                        return one.result()
            raise min(failures, key=lambda failure: isinstance(failure, OverBudget))
        finally:
            for loser in (late, *rivals):
                loser.cancel()
            await asyncio.gather(late, *rivals, return_exceptions=True)

    async def _late(self, sent: asyncio.Event) -> None:
        await sent.wait()
        await asyncio.sleep(self._hedge_s or 0.0)

    async def _send(
        self,
        call: Call,
        result: CallResult,
        sent: asyncio.Event | None = None,
        *,
        hedge: bool = False,
    ) -> tuple[Answer, Used]:
        await self._held()
        reserved = await self._budget.reserve(call)
        try:
            enter = self._limiter.follow if hedge else self._limiter.enter
            entered = await enter(self._budget.tokens_per_call(call))
            await self._held()
            if self._stopping():
                self._limiter.leave(entered, answered=False)
                await asyncio.get_running_loop().create_future()  # until it is cancelled
            self._budget.sent(reserved)
        except (asyncio.CancelledError, FolderError, OverBudget):
            self._budget.release(reserved)
            raise
        self._heard_at = self._heard_at or entered
        request = SentRequest(call, entered)
        result.hedged += hedge
        result.requests += 1
        requests = itertools.count()

        def count_again() -> None:
            if next(requests):  # the first is counted
                self._budget.again()
                result.requests += 1

        sending.set(count_again)
        self._progress.hedges += hedge
        self.in_flight.add(request)
        self.unsent.discard(call.key)
        if sent:
            sent.set()
        answer: Answer | None = None
        lost, refused, pause_s = True, False, 0.0
        try:
            answer = plausible(call, await self.teacher.ask(call))
            lost, pause_s = False, answer.pause_s
            self._silent_since, self._has_answered = None, True
            self._heard()
            self._refused.clear()
            self._progress.moved()
        except OverBudget:  # what was sent first was refused
            lost = False
            raise
        except Failure as failure:
            # A refusal or a failed connection costs nothing; after anything else nobody knows.
            lost = (
                failure.cause != "no connection"
                if not failure.status
                else (failure.status in _GAVE_UP_WAITING)
            )
            refused = failure.cause in _OVERLOADED
            self._limited_by_time = refused and bool(_BY_TIME.search(str(failure)))
            pause_s = _pause_s(failure)
            if failure.after_s:
                self._asked_until = time.monotonic() + failure.after_s
            if pause_s >= _LONG_PAUSE_S:
                self._progress.announce(f"waiting, as the endpoint asks: {failure}")
            if failure.cause == "time-out":
                self._check_silence(call, entered)
            else:
                self._heard()
            raise
        finally:
            self.in_flight.discard(request)
            self._limiter.leave(
                entered, answered=answer is not None, refused=refused, pause_s=pause_s
            )
            used = self._budget.settle(reserved, call, answer, lost=lost)
            result.most = result.most.plus(used)
        return answer, used

    async def _held(self) -> None:
        while self._holding() and not self._stopping():
            await asyncio.sleep(_HELD_S)

    def _heard(self) -> None:
        """Note a response of any kind."""
        self._heard_at, self._time_outs = time.monotonic(), 0
        self._timed_out.clear()

    def _check_silence(self, call: Call, entered: float) -> None:
        """Raise a fatal Failure if no request has had any response for several deadlines.

        Where the endpoint has answered others, and the time-outs are those of a few calls, they may
        be due to these.
        """
        now = time.monotonic()
        self._time_outs += 1
        self._timed_out.add(call.key)
        deadline_s = getattr(self.teacher, "timeout_s", now - entered)
        silent_s = now - (self._heard_at or entered)
        silent = silent_s >= max(_LEAST_SILENCE_S, _SILENT_DEADLINES * deadline_s)
        few = len(self._timed_out) <= _FEW
        if silent and not (few and (self._has_answered or self._answered_before())):
            raise Failure(
                "time-out",
                f"{self.teacher.name} accepts requests and answers none: in {silent_s:.0f} s "
                f"{number_of(self._time_outs, 'requests')} had no answer within {deadline_s:g} s "
                "each; restart it, lower --concurrency or raise --timeout, and build again",
                fatal=True,
            ) from None

    async def _rest(self, attempt: int) -> None:
        """Wait before the next attempt, doubling each time; half of the wait is random."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 10))
        self.resting += 1
        try:
            await asyncio.sleep(_jitter.uniform(longest / 2, longest))
        finally:
            self.resting -= 1

    def can_move(self) -> bool:
        """Whether something is in progress that ends by itself."""
        return bool(self.in_flight or self.resting or self._limiter.closed_s > 0)

    def status(self) -> str:
        """The requests in flight, oldest first, and what else holds calls back, for the user."""
        now = time.monotonic()
        oldest = sorted(self.in_flight, key=lambda request: request.sent_at)
        parts = [
            f"{request.call.role} {request.call.id} for {now - request.sent_at:.0f} s"
            for request in oldest[:3]
        ]
        text = f"requests in flight: {len(oldest)}" + (f" ({', '.join(parts)})" if parts else "")
        if paused_s := self._limiter.paused_s:
            asked = self._asked_until > now
            what = "asked for a pause of" if asked else "gets no request for"
            text += f", {self.teacher.name} {what} {paused_s:.0f} s"
        if hint := self.hint():
            text += f", {hint}"
        return text

    def recorded(self, requests: int, most: Used | None) -> None:
        """Note that the ledger has so many requests of a call, with the most that they used."""
        self._budget.recorded(requests, most)

    def end(self) -> None:
        """Note that all requests of the build are recorded."""
        self._budget.end()

    def hint(self) -> str | None:
        """What refusals show about the concurrency that the endpoint can handle, if anything."""
        held = self._limiter.held
        if held is None or self._limited_by_time or self._calls_refused < _FEW:
            return None
        if held + 1 < self._limiter.most_answered or held >= self._limiter.most:
            return None
        return (
            f"{self.teacher.name} seems to hold {number_of(held, 'requests')} at a time; "
            f"use --concurrency {held}"
        )


def _pause_s(failure: Failure) -> float:
    """Seconds for which a failure is a reason to send nothing to the whole endpoint."""
    return _UNREACHABLE_PAUSE_S if failure.cause == "no connection" else failure.after_s or 0.0
