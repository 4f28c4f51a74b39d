"""Sends a call until it has an answer: rate limits, retries, hedged requests, budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from builders.engine.budget import Budget, OverBudget, Price, identity_price
from builders.engine.calls import Answer, Call, Failure
from builders.engine.progress import Progress
from builders.engine.rate_limiter import RateLimiter
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import Teacher
from builders.errors import InputError

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0
_MOST_FAULTS = 10  # failures of one call; with the waits between them at least 45 s
_PATIENCE_S = 120.0  # with an endpoint that is unreachable or answers no call
_REFUSALS = ("http 429", "http 503", "http 529", "no connection")  # not caused by the call
_OVERLOADED = ("http 429", "http 503", "http 529", "time-out")
_UNREACHABLE_PAUSE_S = 1.0  # often enough to notice that an endpoint is back
_jitter = random.SystemRandom()  # the global generator belongs to the steps


class Address(NamedTuple):
    """The fields of a call that identify its teacher."""

    endpoint: str
    model: str
    revision: str | None


def address(teacher: Teacher) -> Address:
    """The address of a started teacher."""
    return Address(teacher.name, teacher.model, teacher.revision)


@dataclass(eq=False, slots=True)
class SentRequest:
    """One request in flight, for the watchdog to report what the build waits for."""

    call: Call
    sent_at: float  # by time.monotonic()


@dataclass(kw_only=True)
class CallResult:
    """A call's answer, its cost (USD; None: unknown) and the requests sent for it.

    `hedged` of the requests were sent while an earlier one was still in flight.
    """

    answer: Answer | None = None
    cost_usd: float | None = None
    requests: int = 0
    hedged: int = 0


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
    ) -> None:
        self.teacher = teacher
        self._limiter = limiter
        self._budget = budget
        self._progress = progress
        self._hedge_s = hedge_s
        self._stopping = stopping
        self._silent_since: float | None = None  # since then only refusals, no answer
        self.in_flight: set[SentRequest] = set()
        self.unsent: set[bytes] = set()  # keys of calls without a request in flight
        self.resting = 0  # calls that wait before their next attempt

    async def ask(self, call: Call) -> CallResult:
        """Send a call until it has an answer.

        A refusal is not the call's own fault: the call fails only when the endpoint has answered no
        call for `_PATIENCE_S`. Other failures may be its own: it fails after `_MOST_FAULTS`.

        Raises:
            Failure: After the last attempt that could help; its `attempts` are the requests sent.
            OverBudget: The next request could exceed the budget.
        """
        result = CallResult()
        faults = refusals = 0
        try:
            while result.answer is None:
                self.unsent.add(call.key)
                try:
                    result.answer, result.cost_usd = await self._attempt(call, result)
                except Failure as failure:
                    failure.attempts = result.requests
                    refused = failure.cause in _REFUSALS
                    refusals, faults = refusals + refused, faults + (not refused)
                    down = refused and self._is_down(refusals)
                    failure.fatal = failure.fatal or down
                    if not failure.retryable or down or faults >= _MOST_FAULTS or self._stopping():
                        raise
                    self.unsent.add(call.key)
                    self._progress.retries += 1
                    times = refusals if refused else faults
                    await self._rest(1 if _pause_s(failure) else times)
        finally:
            self.unsent.discard(call.key)
        return result

    def _is_down(self, refusals: int) -> bool:
        """Whether the endpoint refused this call so often, and all for so long, that it is down."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        return refusals >= _MOST_FAULTS and now - self._silent_since > _PATIENCE_S

    async def _attempt(self, call: Call, result: CallResult) -> tuple[Answer, float | None]:
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
    ) -> tuple[Answer, float | None]:
        reserved = await self._budget.reserve(call)
        try:
            enter = self._limiter.follow if hedge else self._limiter.enter
            entered = await enter(self._progress.tokens_per_call)
            if self._stopping():
                self._limiter.leave(entered, answered=False)
                await asyncio.get_running_loop().create_future()  # until it is cancelled
        except asyncio.CancelledError:
            self._budget.release(reserved)
            raise
        request = SentRequest(call, entered)
        result.requests += 1
        result.hedged += hedge
        self._progress.hedges += hedge
        self.in_flight.add(request)
        self.unsent.discard(call.key)
        if sent:
            sent.set()
        answer: Answer | None = None
        lost, refused, pause_s = True, False, 0.0
        try:
            answer = await self.teacher.ask(call)
            lost, pause_s = False, answer.pause_s
            self._silent_since = None
            self._progress.moved()
        except Failure as failure:
            # A refusal or a failed connection costs nothing; after anything else nobody knows.
            lost = not failure.status and failure.cause != "no connection"
            refused = failure.cause in _OVERLOADED
            pause_s = _pause_s(failure)
            raise
        finally:
            self.in_flight.discard(request)
            self._limiter.leave(
                entered, answered=answer is not None, refused=refused, pause_s=pause_s
            )
            cost = self._budget.settle(reserved, call, answer, lost=lost)
        return answer, cost

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
        if self._limiter.paused_s:
            text += f", {self.teacher.name} asked for a pause of {self._limiter.paused_s:.0f} s"
        if self.resting:
            text += f", calls that wait to be sent again: {self.resting}"
        return text


def teacher_clients(
    teachers: Iterable[Teacher],
    run_limits: RunLimits,
    progress: Progress,
    *,
    stopping: Callable[[], bool],
) -> dict[Address, TeacherClient]:
    """One client per teacher; those at one endpoint share its limiter, all share the budget.

    Raises:
        InputError: There is a budget in USD, and the price of a model is unknown.
    """
    prices: dict[tuple[str, str], Price | None] = {}
    limiters: dict[str, RateLimiter] = {}
    budget = Budget(run_limits.budget, prices=prices)
    found: dict[Address, TeacherClient] = {}
    for one in teachers:
        price = identity_price(one.identity(), run_limits.price, run_limits.prices)
        if run_limits.budget.usd is not None and price is None:
            raise InputError(
                f"the price of {one.model!r} is unknown, so --budget-usd cannot be kept; "
                "give --price IN/OUT in USD per million tokens"
            )
        prices[one.name, one.model] = price
        limiter = RateLimiter(
            one.concurrency, run_limits.requests_per_minute, run_limits.tokens_per_minute
        )
        limiter = limiters.setdefault(one.name, limiter)
        found[address(one)] = TeacherClient(
            one, limiter, budget, progress, hedge_s=run_limits.hedge_s, stopping=stopping
        )
    return found


def _pause_s(failure: Failure) -> float:
    """Seconds for which a failure is a reason to send nothing to the whole endpoint."""
    return _UNREACHABLE_PAUSE_S if failure.cause == "no connection" else failure.after_s or 0.0
