"""One limiter an endpoint: how many calls may be in flight, and when none may be sent.

Additive increase, multiplicative decrease, as TCP does it (Jacobson 1988): the endpoint's own
refusals find the concurrency that it bears.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

_DECREASE = 0.7
_LEAST = 1.0


class RateLimiter:
    """Lets calls through in the order in which they came.

    Args:
        most: The most calls in flight; the limiter starts there and comes down when refused.
        requests_per_minute: The most calls sent in a minute, evenly spaced; None for no bound.
        tokens_per_minute: The most tokens in a minute, evenly spaced; None for no bound.
    """

    def __init__(
        self,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.most = most
        self.limit = float(most)
        self.flying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paces = [
            _Pace(a_minute) if a_minute else None
            for a_minute in (requests_per_minute, tokens_per_minute)
        ]
        self._paused_until = 0.0
        self._lowered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that have not been let through yet."""
        return len(self._waiting)

    @property
    def paused_s(self) -> float:
        """Seconds until the endpoint may be asked again; 0 when it may be asked now."""
        return max(0.0, self._paused_until - time.monotonic())

    async def enter(self, tokens: float = 0.0) -> float:
        """Wait for a place; give the moment of entry, which `leave` wants back.

        `tokens` is what the call is expected to use.
        """
        if self._waiting or not self._open():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            self._wake()
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.flying -= 1
                self._wake()
                raise
        else:
            self.flying += 1
        return self._entered(tokens)

    async def follow(self, tokens: float = 0.0) -> float:
        """As `enter`, for a request whose call holds a place already: it waits for pauses only.

        Behind the stragglers that it is sent for, it would never come to its turn.
        """
        while self.closed_s > 0:
            await asyncio.sleep(self.closed_s)
        self.flying += 1
        return self._entered(tokens)

    def _entered(self, tokens: float) -> float:
        now = time.monotonic()
        for pace, used in zip(self._paces, (1.0, tokens), strict=True):
            if pace:
                pace.use(used, now)
        return now

    def leave(
        self,
        entered: float,
        *,
        answered: bool = True,
        refused: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        """Give the place back and learn from how the call went.

        `refused` says that the endpoint had too much to do; `pause_s` is its own word on how long
        to leave it alone, which holds for all calls.
        """
        self.flying -= 1
        now = time.monotonic()
        if refused:
            # Calls sent before the last decrease say nothing about the concurrency since.
            if entered >= self._lowered_at:
                self.limit = max(_LEAST, self.limit * _DECREASE)
                self._lowered_at = now
        elif answered and self.limit < self.most:
            self.limit = min(self.most, self.limit + 1 / self.limit)
        if pause_s:
            self._paused_until = max(self._paused_until, now + pause_s)
        if self._waiting:
            self._wake()

    def _open(self) -> bool:
        return self.flying < int(self.limit) and self.closed_s <= 0

    @property
    def closed_s(self) -> float:
        """Seconds for which nobody may pass, for a pause or for the pace; not above 0: none."""
        if not self._paused_until and not any(self._paces):
            return 0.0
        now = time.monotonic()
        opens = max(pace.opens for pace in self._paces if pace) if any(self._paces) else 0.0
        return max(self._paused_until, opens) - now

    def _wake(self) -> None:
        while self._waiting and self._open():
            place = self._waiting.popleft()
            if not place.done():
                self.flying += 1
                place.set_result(None)
                if any(self._paces):
                    break  # what this one uses is known when it has entered; it wakes the next
        if self._waiting and self.flying < int(self.limit) and self._timer is None:
            wait_s = max(self.closed_s, 0.001)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._wake()


class _Pace:
    """Units evenly spaced over time: the next may pass when the ones before are paid off."""

    def __init__(self, a_minute: float) -> None:
        self._second = a_minute / 60
        self.opens = 0.0

    def use(self, units: float, now: float) -> None:
        self.opens = max(self.opens, now) + units / self._second
