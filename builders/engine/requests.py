"""Asks a teacher until there is an answer: places, retries, deadlines, hedges, money."""

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
_MOST_FAULTS = 10  # of one call; with the waits between them at least 45 s
_PATIENCE_S = 120.0  # with an endpoint that is gone, or answers nobody
_REFUSALS = ("http 429", "http 503", "http 529", "no connection")  # no fault of the call's
_OVERLOADED = ("http 429", "http 503", "http 529", "time-out")
_OUT_OF_REACH_S = 1.0  # the endpoint is gone: once a second is often enough to find it back
_jitter = random.SystemRandom()  # the global one belongs to the steps


class Address(NamedTuple):
    """By what a call says whom it is for."""

    endpoint: str
    model: str
    revision: str | None


def address(teacher: Teacher) -> Address:
    """The address of a teacher that was started."""
    return Address(teacher.name, teacher.model, teacher.revision)


@dataclass(eq=False, slots=True)
class Flight:
    """One request that is out: for the watchdog, which says what nothing moves for."""

    call: Call
    since: float


@dataclass(kw_only=True)
class Asked:
    """What became of a call: its answer and cost (USD; None: unknown), the requests sent for it.

    `hedged` of the requests were sent while an earlier one was still out.
    """

    answer: Answer | None = None
    cost_usd: float | None = None
    requests: int = 0
    hedged: int = 0


class TeacherClient:
    """One teacher's way from a call to an answer.

    Args:
        teacher: Started already.
        limiter: Shared by every step that asks this endpoint.
        budget: Shared by the whole build.
        progress: Counts what happens.
        hedge_s: After how many seconds without an answer a call is sent a second time; the first
            answer wins and the other request is cancelled. None: never.
        stopping: Says whether no further request may be sent.
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
        self._silent_since: float | None = None  # refusals since then, and no answer to anybody
        self.flights: set[Flight] = set()
        self.unsent: set[bytes] = set()  # keys of calls that no request is out for
        self.resting = 0  # calls that wait before they are sent again

    async def ask(self, call: Call) -> Asked:
        """Ask until there is an answer.

        A refusal costs a call nothing but time: it fails for good when the endpoint has answered
        nobody for a while. A fault can be the call's own: it fails after some.

        Raises:
            Failure: After the last attempt that could help; `attempts` says how many there were.
            OverBudget: The next request could pass the budget.
        """
        asked = Asked()
        faults = refusals = 0
        try:
            while asked.answer is None:
                self.unsent.add(call.key)
                try:
                    asked.answer, asked.cost_usd = await self._attempt(call, asked)
                except Failure as failure:
                    failure.attempts = asked.requests
                    refused = failure.cause in _REFUSALS
                    refusals, faults = refusals + refused, faults + (not refused)
                    gone = refused and self._gone(refusals)
                    failure.fatal = failure.fatal or gone
                    if not failure.again or gone or faults >= _MOST_FAULTS or self._stopping():
                        raise
                    self.unsent.add(call.key)
                    self._progress.retries += 1
                    times = refusals if refused else faults
                    await self._rest(1 if _pause_s(failure) else times)
        finally:
            self.unsent.discard(call.key)
        return asked

    def _gone(self, refusals: int) -> bool:
        """Whether a call so often refused by an endpoint so long silent has no hope."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        return refusals >= _MOST_FAULTS and now - self._silent_since > _PATIENCE_S

    async def _attempt(self, call: Call, asked: Asked) -> tuple[Answer, float | None]:
        if self._hedge_s is None:
            return await self._send(call, asked)
        sent = asyncio.Event()
        first = asyncio.ensure_future(self._send(call, asked, sent))
        late = asyncio.ensure_future(self._late(sent))
        rivals = {first}
        try:
            await asyncio.wait([first, late], return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and not self._stopping():
                rivals.add(asyncio.ensure_future(self._send(call, asked, hedge=True)))
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
        self, call: Call, asked: Asked, sent: asyncio.Event | None = None, *, hedge: bool = False
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
        flight = Flight(call, entered)
        asked.requests += 1
        asked.hedged += hedge
        self._progress.hedges += hedge
        self.flights.add(flight)
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
            # Refused and broken on the way in is unpaid for; with anything else nobody knows.
            lost = not failure.status and failure.cause != "no connection"
            refused = failure.cause in _OVERLOADED
            pause_s = _pause_s(failure)
            raise
        finally:
            self.flights.discard(flight)
            self._limiter.leave(
                entered, answered=answer is not None, refused=refused, pause_s=pause_s
            )
            cost = self._budget.settle(reserved, call, answer, lost=lost)
        return answer, cost

    async def _rest(self, attempt: int) -> None:
        """Wait before the next attempt: doubling, half of it by chance."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 10))
        self.resting += 1
        try:
            await asyncio.sleep(_jitter.uniform(longest / 2, longest))
        finally:
            self.resting -= 1

    def can_move(self) -> bool:
        """Whether something is under way that ends by itself."""
        return bool(self.flights or self.resting or self._limiter.closed_s > 0)

    def waits(self) -> str:
        """Which requests are out since when, the oldest first; what else holds calls back."""
        now = time.monotonic()
        out = sorted(self.flights, key=lambda flight: flight.since)
        parts = [
            f"{flight.call.role} {flight.call.id} since {now - flight.since:.0f} s"
            for flight in out[:3]
        ]
        said = f"{len(out)} requests out ({', '.join(parts)})" if out else "no request out"
        if self._limiter.paused_s:
            said += f", {self.teacher.name} asked for a pause of {self._limiter.paused_s:.0f} s"
        if self.resting:
            said += f", {self.resting} calls wait to be sent again"
        return said


def teacher_clients(
    teachers: Iterable[Teacher],
    run_limits: RunLimits,
    progress: Progress,
    *,
    stopping: Callable[[], bool],
) -> dict[Address, TeacherClient]:
    """A client for each teacher; those at one endpoint share its limiter, all share the budget.

    Raises:
        InputError: There is a budget in USD, and nobody knows the price of a model.
    """
    prices: dict[tuple[str, str], Price | None] = {}
    limiters: dict[str, RateLimiter] = {}
    budget = Budget(run_limits.budget, prices=prices)
    found: dict[Address, TeacherClient] = {}
    for one in teachers:
        price = identity_price(one.identity(), run_limits.price, run_limits.prices)
        if run_limits.budget.usd is not None and price is None:
            raise InputError(
                f"the price of {one.model!r} is unknown, so --budget-usd cannot hold; "
                "give --price IN/OUT in USD for a million tokens"
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
    """For how long a failure is a reason to leave the whole endpoint alone."""
    return _OUT_OF_REACH_S if failure.cause == "no connection" else failure.after_s or 0.0
