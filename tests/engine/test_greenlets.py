"""Synchronous code that waits on the event loop: its context and random numbers are kept."""

from __future__ import annotations

import asyncio
import random
from contextvars import ContextVar
from typing import Any

from builders.engine.greenlets import drive, wait

WORD: ContextVar[str] = ContextVar("word", default="none")


def test_driven_code_and_its_caller_share_one_context() -> None:
    async def later(word: str) -> str:
        await asyncio.sleep(0)
        seen = WORD.get()
        WORD.set(word)
        return seen

    def driven(loop: asyncio.AbstractEventLoop) -> list[str]:
        seen = [WORD.get()]
        WORD.set("driven")
        return [*seen, wait(later("awaited"), loop), WORD.get()]

    async def caller() -> list[str]:
        WORD.set("caller")
        return [*await drive(driven, asyncio.get_running_loop()), WORD.get()]

    assert asyncio.run(caller()) == ["caller", "driven", "awaited", "awaited"]


def test_random_numbers_are_reseeded_at_every_switch_also_after_an_error() -> None:
    """Other rows draw between two switches to one row; their draws must not matter."""

    async def broken() -> None:
        await asyncio.sleep(0)
        random.seed(99)
        raise ValueError

    async def fine() -> None:
        await asyncio.sleep(0)
        random.seed(99)

    def driven(loop: asyncio.AbstractEventLoop) -> list[float]:
        drawn = [random.random()]
        wait(fine(), loop)
        drawn.append(random.random())
        try:
            wait(broken(), loop)
        except ValueError:
            drawn.append(random.random())
        return drawn

    async def drawn(first: int) -> Any:
        seeds = iter(range(first, first + 3))
        loop = asyncio.get_running_loop()
        return await drive(driven, loop, before=lambda: random.seed(next(seeds)))

    async def rows() -> Any:
        return await asyncio.gather(drawn(10), drawn(20))

    expected = [[random.Random(first + turn).random() for turn in range(3)] for first in (10, 20)]
    assert asyncio.run(rows()) == expected
