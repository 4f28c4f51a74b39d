"""Asks a teacher until there is an answer: places, retries, deadlines, hedges, money."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from builders.engine.calls import Answer, Call, Failure
from builders.engine.limits import Limiter
from builders.engine.money import Budget
from builders.engine.progress import Progress
from builders.engine.teachers import Teacher

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0
_MOST_ATTEMPTS = 10  # with the waits between them about two minutes of patience
_OVERLOADED = ("http 429", "http 503", "http 529", "time-out")
_OUT_OF_REACH_PAUSE_S = 1.0  # the endpoint is gone: one call a second finds out when it is back


@dataclass(eq=False, slots=True)
class Flight:
    """One request that is out: for the watchdog, which says what nothing moves for."""

    call: Call
    since: float


class Asker:
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
        limiter: Limiter,
        budget: Budget,
        progress: Progress,
        *,
        hedge_s: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._teacher = teacher
        self._limiter = limiter
        self._budget = budget
        self._progress = progress
        self._hedge_s = hedge_s
        self._stopping = stopping
        self.flights: set[Flight] = set()
        self.unsent: set[bytes] = set()  # keys of calls that no request is out for
        self.resting = 0  # calls that wait before they are sent again

    async def ask(self, call: Call) -> tuple[Answer, float | None, int]:
        """The answer, its cost in USD (None: unknown) and the requests sent for it.

        Raises:
            Failure: After the last attempt that could help; `attempts` says how many there were.
            OverBudget: The next request could pass the budget.
        """
        attempt = 0
        try:
            while True:
                attempt += 1
                self.unsent.add(call.key)
                try:
                    answer, cost = await self._attempt(call)
                except Failure as failure:
                    failure.attempts = attempt
                    if not failure.again or attempt >= _MOST_ATTEMPTS or self._stopping():
                        raise
                    self.unsent.add(call.key)
                    self._progress.retries += 1
                    await self._rest(attempt)
                else:
                    return answer, cost, attempt
        finally:
            self.unsent.discard(call.key)

    async def _attempt(self, call: Call) -> tuple[Answer, float | None]:
        if self._hedge_s is None:
            return await self._send(call)
        sent = asyncio.Event()
        first = asyncio.ensure_future(self._send(call, sent))
        waits = asyncio.ensure_future(self._is_late(sent))
        await asyncio.wait([first, waits], return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        if first.done() or self._stopping():
            return await first
        self._progress.hedges += 1
        rivals = {first, asyncio.ensure_future(self._send(call))}
        try:
            while True:
                done, rivals = await asyncio.wait(rivals, return_when=asyncio.FIRST_COMPLETED)
                won = next((one for one in done if one.exception() is None), None)
                if won:
                    return won.result()
                if not rivals:
                    raise next(iter(done)).exception() or AssertionError
        finally:
            for loser in rivals:
                loser.cancel()
            await asyncio.gather(*rivals, return_exceptions=True)

    async def _is_late(self, sent: asyncio.Event) -> None:
        await sent.wait()
        await asyncio.sleep(self._hedge_s or 0.0)

    async def _send(
        self, call: Call, sent: asyncio.Event | None = None
    ) -> tuple[Answer, float | None]:
        reserved = await self._budget.reserve(call)
        entered = await self._limiter.enter(self._progress.tokens_a_call)
        flight = Flight(call, entered)
        self.flights.add(flight)
        self.unsent.discard(call.key)
        if sent:
            sent.set()
        answer: Answer | None = None
        refused, pause_s = False, 0.0
        try:
            answer = await self._teacher.ask(call)
            pause_s = answer.pause_s
        except Failure as failure:
            refused = failure.cause in _OVERLOADED
            pause_s = failure.after_s or 0.0
            if failure.cause == "no connection":
                pause_s = _OUT_OF_REACH_PAUSE_S
            raise
        finally:
            self.flights.discard(flight)
            self._limiter.leave(entered, refused=refused, pause_s=pause_s)
            cost = self._budget.settle(reserved, call, answer)
            self._progress.moved()
        return answer, cost

    async def _rest(self, attempt: int) -> None:
        """Wait before the next attempt: doubling, with full jitter."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1))
        self.resting += 1
        try:
            await asyncio.sleep(random.uniform(0, longest))
        finally:
            self.resting -= 1

    def can_move(self) -> bool:
        """Whether something is under way that ends by itself."""
        return bool(self.flights or self.resting or self._limiter.paused_s)

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
            said += f", {self._teacher.name} asked for a pause of {self._limiter.paused_s:.0f} s"
        if self.resting:
            said += f", {self.resting} calls wait to be sent again"
        return said
