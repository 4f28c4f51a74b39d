"""Lets synchronous code wait on the event loop without a thread: each runs in a greenlet.

distilabel's tasks are plain functions that call their model and want the text back. As greenlets
on the loop's own thread, thousands of them wait at once without contending for the interpreter
lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import greenlet

from builders.entropy import of_row
from builders.errors import PotstillError

Result = TypeVar("Result")
_FREE = asyncio.Lock()  # never held


class _Waiter(greenlet.greenlet):  # type: ignore[misc]
    """A greenlet whose parent, the event loop, awaits on its behalf."""


async def drive(
    function: Callable[..., Result],
    *args: Any,
    before: Callable[[], None] = lambda: None,
    turn: asyncio.Lock = _FREE,
) -> Result:
    """Run a synchronous function on this thread; while it is in `wait`, other tasks run.

    `before` is called each time that the function starts or continues. It waits for that until
    nobody holds `turn`, unless it continues to end.
    """
    waiter = _Waiter(function, greenlet.getcurrent())
    waiter.gr_context = greenlet.getcurrent().gr_context
    while turn.locked():
        async with turn:
            pass
    before()
    with of_row:
        awaitable = waiter.switch(*args)
    while not waiter.dead:
        error, result = None, None
        try:
            result = await awaitable
        except BaseException as raised:  # noqa: BLE001 - raised again where it was waited for
            error = raised
        ends = isinstance(error, BaseException) and not isinstance(error, Exception)
        ends = ends or isinstance(error, PotstillError)
        while turn.locked() and not ends:
            async with turn:
                pass
        before()
        with of_row:
            awaitable = waiter.switch(result) if error is None else waiter.throw(error)
    return awaitable  # type: ignore[no-any-return]


def wait(awaitable: Awaitable[Result], loop: asyncio.AbstractEventLoop) -> Result:
    """Return an awaitable's result to synchronous code, inside `drive` or in another thread."""
    current = greenlet.getcurrent()
    if isinstance(current, _Waiter) and current.parent is not None:
        return current.parent.switch(awaitable)  # type: ignore[no-any-return]

    async def awaited() -> Result:
        return await awaitable

    return asyncio.run_coroutine_threadsafe(awaited(), loop).result()
