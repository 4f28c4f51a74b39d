"""Lets synchronous code wait on the event loop without a thread: each runs in a greenlet.

distilabel's tasks are plain functions that call their model and want the text back. As greenlets
on the loop's own thread, thousands of them wait at once, and none fights for the interpreter lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import greenlet

Result = TypeVar("Result")


class _Waiter(greenlet.greenlet):  # type: ignore[misc]
    """A greenlet whose parent is the event loop and can await for it."""


async def drive(
    function: Callable[..., Result], *args: Any, before: Callable[[], None] = lambda: None
) -> Result:
    """Run a synchronous function on this thread; where it calls `wait`, others go on.

    `before` is called each time that its turn comes.
    """
    waiter = _Waiter(function, greenlet.getcurrent())
    waiter.gr_context = greenlet.getcurrent().gr_context
    before()
    wanted = waiter.switch(*args)
    while not waiter.dead:
        try:
            given = await wanted
        except BaseException as error:  # noqa: BLE001 - raised again where it was waited for
            before()
            wanted = waiter.throw(error)
        else:
            before()
            wanted = waiter.switch(given)
    return wanted  # type: ignore[no-any-return]


def wait(awaitable: Awaitable[Result], loop: asyncio.AbstractEventLoop) -> Result:
    """Give the awaitable's result to synchronous code, in a `drive`n function or a thread."""
    current = greenlet.getcurrent()
    if isinstance(current, _Waiter) and current.parent is not None:
        return current.parent.switch(awaitable)  # type: ignore[no-any-return]

    async def awaited() -> Result:
        return await awaitable

    return asyncio.run_coroutine_threadsafe(awaited(), loop).result()
