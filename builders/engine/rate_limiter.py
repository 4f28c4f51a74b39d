"""The limiter of an endpoint: how many calls may be in flight, and when none may be sent.

Additive increase, multiplicative decrease, as in TCP: the endpoint's own refusals show which
concurrency it can handle.

Source: Jacobson, "Congestion avoidance and control" (1988).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

_DECREASE = 0.7
_LEAST = 1.0


class RateLimiter:
    """Lets calls through in the order of their arrival.

    Args:
        most: The most calls in flight; the limiter starts there and goes down when refused.
        requests_per_minute: The most calls to send, evenly spaced; None for no limit.
        tokens_per_minute: The most tokens to use, evenly spaced; None for no limit.
    """

    def __init__(
        self,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paces = [
            _Pace(per_minute) if per_minute else None
            for per_minute in (requests_per_minute, tokens_per_minute)
        ]
        self._paused_until = 0.0
        self._lowered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """The number of calls that have not been let through yet."""
        return len(self._waiting)

    @property
    def paused_s(self) -> float:
        """Seconds for which the endpoint has asked for a pause; 0 without one."""
        return max(0.0, self._paused_until - time.monotonic())

    async def enter(self, tokens: float = 0.0) -> float:
        """Wait for a place; return the time of entry, to pass to `leave`.

        `tokens` is how many the call is expected to use.
        """
        if self._waiting or not self._open():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            self._wake()
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.in_flight -= 1
                self._wake()
                raise
        else:
            self.in_flight += 1
        return self._entered(tokens)

    async def follow(self, tokens: float = 0.0) -> float:
        """Like `enter`, for the second request of a call that has a place: waits for pauses only.

        Queued behind other late calls, it might never be sent.
        """
        while self.closed_s > 0:
            await asyncio.sleep(self.closed_s)
        self.in_flight += 1
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
        """Give up the place and adapt to how the call went.

        `refused` means that the endpoint was overloaded; `pause_s` is how long it asked to be left
        alone, which applies to all calls.
        """
        self.in_flight -= 1
        now = time.monotonic()
        if refused:
            # Calls sent before the last decrease are no evidence about the concurrency since.
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
        return self.in_flight < int(self.limit) and self.closed_s <= 0

    @property
    def closed_s(self) -> float:
        """Seconds until a call may pass, for a pause or the pace; 0 or less means now."""
        if not self._paused_until and not any(self._paces):
            return 0.0
        now = time.monotonic()
        opens = max(pace.opens for pace in self._paces if pace) if any(self._paces) else 0.0
        return max(self._paused_until, opens) - now

    def _wake(self) -> None:
        while self._waiting and self._open():
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
                if any(self._paces):
                    break  # its use is counted when it has entered; then it wakes the next
        if self._waiting and self.in_flight < int(self.limit) and self._timer is None:
            wait_s = max(self.closed_s, 0.001)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._wake()


class _Pace:
    """Spaces units evenly: the next may pass when the time of the previous ones is over."""

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self.opens = 0.0

    def use(self, units: float, now: float) -> None:
        self.opens = max(self.opens, now) + units / self._per_second
