"""One limiter per endpoint: order, limits, pauses, pace."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from builders.engine import rate_limiter
from builders.engine.rate_limiter import RateLimiter


def test_no_more_calls_are_in_flight_than_allowed_and_they_pass_in_order() -> None:
    async def drive() -> None:
        limiter, flying, passed = RateLimiter(3), [0], []

        async def call(number: int) -> None:
            entered = await limiter.enter()
            passed.append(number)
            flying[0] += 1
            assert flying[0] <= 3
            await asyncio.sleep(0.001)
            flying[0] -= 1
            limiter.leave(entered)

        await asyncio.gather(*(call(number) for number in range(30)))
        assert passed == list(range(30))
        assert limiter.in_flight == limiter.waiting == 0

    asyncio.run(drive())


def test_refusals_bring_the_limit_down_once_a_round_trip_and_successes_bring_it_back() -> None:
    async def drive() -> None:
        limiter = RateLimiter(10)
        entered = [await limiter.enter() for _ in range(10)]
        for moment in entered:
            limiter.leave(moment, refused=True)
        assert limiter.limit == 7.0  # ten refusals of calls sent together count as one
        limiter.leave(await limiter.enter(), refused=True)
        assert 4.8 < limiter.limit < 5.0
        for _ in range(60):
            limiter.leave(await limiter.enter())
        assert limiter.limit == 10

    asyncio.run(drive())


def test_the_limit_never_falls_below_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "_MOST_BACK_OFF_S", 0.0)

    async def drive() -> None:
        limiter = RateLimiter(2)
        for _ in range(20):
            limiter.leave(await limiter.enter(), refused=True)
        assert limiter.limit == 1.0
        limiter.leave(await asyncio.wait_for(limiter.enter(), 1))

    asyncio.run(drive())


def test_a_pause_holds_for_every_call_of_the_endpoint() -> None:
    async def drive() -> None:
        limiter = RateLimiter(8)
        limiter.leave(await limiter.enter(), pause_s=0.2)
        began = time.monotonic()
        await asyncio.gather(*(limiter.enter() for _ in range(8)))
        assert time.monotonic() - began >= 0.19

    asyncio.run(drive())


def test_requests_per_minute_are_spaced_evenly() -> None:
    async def drive() -> None:
        limiter = RateLimiter(8, requests_per_minute=1200)
        began = time.monotonic()
        for _ in range(11):
            limiter.leave(await limiter.enter())
        assert time.monotonic() - began >= 0.49  # ten gaps of 50 ms

    asyncio.run(drive())


def test_tokens_per_minute_count_what_calls_use() -> None:
    async def drive() -> None:
        limiter = RateLimiter(8, tokens_per_minute=60_000)
        began = time.monotonic()
        for _ in range(4):
            limiter.leave(await limiter.enter(tokens=100))
        assert time.monotonic() - began >= 0.29  # three calls of 100 tokens at 1,000 per second

    asyncio.run(drive())


def test_a_waiter_that_gives_up_leaves_its_place_to_the_next() -> None:
    async def drive() -> None:
        limiter = RateLimiter(1)
        entered = await limiter.enter()
        quitter = asyncio.ensure_future(limiter.enter())
        patient = asyncio.ensure_future(limiter.enter())
        await asyncio.sleep(0)
        quitter.cancel()
        await asyncio.gather(quitter, return_exceptions=True)
        limiter.leave(entered)
        limiter.leave(await asyncio.wait_for(patient, 1))
        assert limiter.in_flight == 0

    asyncio.run(drive())


def test_a_place_given_in_the_moment_of_giving_up_is_not_lost() -> None:
    async def drive() -> None:
        limiter = RateLimiter(1)
        entered = await limiter.enter()
        quitter = asyncio.ensure_future(limiter.enter())
        await asyncio.sleep(0)
        limiter.leave(entered)  # gives the place to the waiter
        quitter.cancel()  # which is cancelled before it runs
        await asyncio.gather(quitter, return_exceptions=True)
        assert limiter.in_flight == 0
        limiter.leave(await asyncio.wait_for(limiter.enter(), 1))

    asyncio.run(drive())


def test_the_level_that_was_held_is_left_rarely_and_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("builders.engine.rate_limiter.time.monotonic", lambda: clock[0])

    async def drive() -> list[float]:
        """When an endpoint refused a third request, with a pause of a minute, in six hours."""
        limiter, refused_at = RateLimiter(8), list[float]()
        while clock[0] < 1000 + 6 * 3600:
            clock[0] += max(1.0, limiter.closed_s)
            entered = [await limiter.enter() for _ in range(int(limiter.limit))]
            clock[0] += 1.0
            for moment in entered[2:]:
                limiter.leave(moment, refused=True, pause_s=60)
                refused_at.append(clock[0])
            for moment in entered[:2]:
                limiter.leave(moment)
        assert (limiter.held, int(limiter.limit), limiter.most_answered) == (2, 2, 2)
        return refused_at

    refused_at = asyncio.run(drive())
    assert refused_at[0] == refused_at[5]  # six of the first eight, together
    waits = [late - early for early, late in pairwise(refused_at[5:])]
    assert 4 <= len(waits) <= 6
    assert all(late > 1.7 * early for early, late in pairwise(waits))


def test_an_endpoint_that_has_become_larger_is_used_again_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("builders.engine.rate_limiter.time.monotonic", lambda: clock[0])

    async def drive() -> None:
        limiter = RateLimiter(8)
        entered = [await limiter.enter() for _ in range(8)]
        clock[0] += 1.0
        for moment in entered[2:]:
            limiter.leave(moment, refused=True)
        for moment in entered[:2]:
            limiter.leave(moment)
        assert (limiter.held, limiter.limit) == (2, 2.0)
        for _ in range(60):
            clock[0] += 1.0
            for moment in [await limiter.enter() for _ in range(int(limiter.limit))]:
                limiter.leave(moment)
        assert (limiter.held, limiter.limit) == (None, 8.0)

    asyncio.run(drive())
