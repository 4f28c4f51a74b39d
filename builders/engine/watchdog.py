"""Notices when a build does not move: shows what it waits for, and ends it if nothing can move."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from builders.engine.progress import Progress
from builders.engine.requests import TeacherClient
from builders.engine.run_state import is_working, status
from builders.engine.teacher import EMBEDDED
from builders.errors import RecipeError

if TYPE_CHECKING:
    from builders.engine.executor import Execution

Result = TypeVar("Result")

_STILL_S = 20.0  # without progress, after which the line shows what the build waits for
_GATHER_S = 0.02  # waited when several rows were made, so that more of them are handed over at once
_STUCK_S = 45.0  # without progress and with nothing that could bring any, after which it stops


class Watchdog:
    """Looks at a running pipeline, its teachers and its progress."""

    def __init__(
        self, execution: Execution, clients: Collection[TeacherClient], progress: Progress
    ) -> None:
        self._execution = execution
        self._clients = clients
        self._progress = progress
        self._stuck = False

    def moves(self, unrecorded: int) -> bool:
        """Whether an answer is on its way, or a step computes."""
        in_flight = any(client.in_flight for client in self._clients)
        return bool(in_flight or unrecorded) or is_working(self._execution.nodes.values())

    def look(self, unrecorded: int) -> None:
        """Show what a build without progress waits for; called twice a second.

        `unrecorded` calls have their answer or failure, which is on its way to the ledger.

        Raises:
            RecipeError: Nothing can move any more.
        """
        was_stuck, self._stuck = self._stuck, False
        still_s = time.monotonic() - self._progress.moved_at
        if still_s <= _STILL_S:
            return
        busy = [client for client in self._clients if client.can_move()]
        nodes = self._execution.nodes.values()
        parts = [status(nodes)]
        parts += [client.status() for client in busy or list(self._clients)[:1]]
        if unrecorded:
            parts.append(
                f"calls on their way to the ledger: {unrecorded} (is its disk slow, or does "
                "another program write to it?)"
            )
        waits = f"for {still_s:.0f} s: {'; '.join(parts)}"
        if busy and all(client.teacher.name == EMBEDDED for client in busy):
            waits = f"for the embedded teacher's next answer; {parts[-1]}"  # long, but it comes
        self._progress.note = f"waiting {waits}"
        moves = busy or unrecorded or is_working(nodes)
        self._stuck = still_s > _STUCK_S and not moves
        if self._stuck and was_stuck:  # once may be the moment between a pause and its request
            raise RecipeError(f"nothing has moved {waits}; nothing can move any more")


def items_of(items: queue.SimpleQueue[Result | None]) -> Iterator[Result]:
    """What another thread puts into a queue, up to None; signals are handled as in `result_of`."""
    several = False
    while True:
        if several:  # to wait for each one would switch threads each time
            time.sleep(_GATHER_S)
        some: list[Result | None] = []
        with contextlib.suppress(queue.Empty):
            some.append(items.get(timeout=1.0))
            while True:
                some.append(items.get_nowait())
        several = len(some) > 1
        for item in some:
            if item is None:
                return
            yield item


def result_of(future: Future[Result]) -> Result:
    """What another thread returns; a signal that comes just before a wait is handled at its end."""
    while not future.done():
        wait([future], timeout=1.0)
    return future.result()
