"""The limiter of an endpoint: how many calls may be in flight, and when none may be sent.

Additive increase, multiplicative decrease, as in TCP: the endpoint's own refusals show which
concurrency it can handle. What it held when it refused the rest is remembered, as in CUBIC: the
limit returns to that level at once and goes beyond it rarely, so that a gateway which answers one
request too many with a pause of a minute costs a few pauses, not one per attempt.

Sources: Jacobson, "Congestion avoidance and control" (1988); RFC 9438 (CUBIC).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

_DECREASE = 0.7
_LEAST = 1.0
_PROBE_AFTER = 8.0  # times the pause that the last attempt cost: so a ninth of the time at most
_LEAST_PROBE_S = 1.0  # what an attempt counts as if no pause was asked for
_MOST_BACK_OFF_S = 5.0  # between refusals with no answer since, one call at a time by then


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
        self._lowered = self.limit
        self._others = 0  # in flight at the last decrease, and not refused since
        self.held: int | None = None  # how many it answered while it refused others
        self._held_before: int | None = None
        self.most_answered = 0  # in flight when an answer came
        self._repeats = 0  # decreases at this level, after the first
        self._probe_at = 0.0  # when the limit may next go beyond it
        self._in_vain = 0  # decreases since the last answer
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """The number of calls that have not been let through yet."""
        return len(self._waiting)

    @property
    def paused_s(self) -> float:
        """Seconds of a pause that are left, asked for by the endpoint or not; 0 without one."""
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
        if answered and not refused:
            self._in_vain = 0
            self.most_answered = max(self.most_answered, self.in_flight)
        self.in_flight -= 1
        now = time.monotonic()
        if refused:
            self._lower(entered, now, pause_s)
        elif answered and self.limit < self.most:
            self._raise(now)
        if pause_s:
            self._paused_until = max(self._paused_until, now + pause_s)
        if self._waiting:
            self._wake()

    def _lower(self, entered: float, now: float, pause_s: float) -> None:
        # Calls sent before the last decrease are no evidence about the concurrency since.
        if entered >= self._lowered_at:
            self._others, self._held_before = self.in_flight, self.held
            near = self.held is not None and self._others <= 1.1 * self.held + 1
            self._repeats = min(self._repeats + 1, 10) if near else 0
            self._lowered, self._lowered_at = max(_LEAST, self.limit * _DECREASE), now
            # A limit of requests in a time, the refused ones included, is met by
            # sending none for a while; that each call waits by itself is not enough.
            self._in_vain += 1
            if self._in_vain > 1 and not pause_s:
                back_off_s = min(_MOST_BACK_OFF_S, 2.0 ** min(self._in_vain - 2, 10))
                self._paused_until = max(self._paused_until, entered + back_off_s)
        else:
            self._others -= 1
        # If it refused all of them, it was not for their number.
        self.held = self._others if self._others > 0 else self._held_before
        self.limit = min(self._lowered, max(self._others, 0) or self._lowered)
        wait_s = _PROBE_AFTER * max(pause_s, _LEAST_PROBE_S) * 2**self._repeats
        self._probe_at = max(self._probe_at, now + wait_s)

    def _raise(self, now: float) -> None:
        most = self.most
        if self.held is not None and now < self._probe_at:
            most = min(most, max(self.held, int(self.limit)))
        self.limit = max(self.limit, min(most, self.limit + 1 / self.limit))
        if self.held is not None and self.limit >= self.held + 2:
            self.held, self._repeats = None, 0  # it holds more than that now

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
