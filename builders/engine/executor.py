"""Runs a distilabel pipeline's DAG: every row on its own, no batch waits for its slowest row.

Tasks that ask a teacher run one row a greenlet on the event loop, other steps run in a thread.
A row is known by its key: the place of its seed, then one number for each time a step made
several rows of one. Joins go by key and so does the order of the output, never by timing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from distilabel.steps.base import _Step

from builders.engine.bridge import drive
from builders.engine.calls import Failure
from builders.engine.llm import EngineLLM
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw

Key = tuple[int, ...]
_END = None
_HOPELESS = 50  # a step whose first 50 rows all failed for one cause will fail on the others too


@dataclass(slots=True)
class _Item:
    key: Key
    row: Raw


@dataclass
class _Node:
    """A step at work: what it reads, whom it feeds, how its rows went."""

    step: Any
    before: list[str]
    after: list[_Node] = field(default_factory=list)
    inbox: asyncio.Queue[tuple[str, _Item | None]] = field(default_factory=asyncio.Queue)
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def asks(self) -> bool:
        """Whether the step asks a teacher of ours, and so may wait on the event loop."""
        return any(isinstance(value, EngineLLM) for value in vars(self.step).values())


class Execution:
    """One run of one pipeline over rows."""

    def __init__(self, pipeline: Any, window: int, on_row: Callable[[], None]) -> None:
        dag = pipeline.dag
        self._window = window
        self._on_row = on_row
        self._nodes = {
            name: _Node(
                step=dag.get_step(name)["step"], before=list(dag.get_step_predecessors(name))
            )
            for name in dag
        }
        for node in self._nodes.values():
            for name in node.before:
                self._nodes[name].after.append(node)
        self._out: list[_Item] = []
        if not self._nodes:
            raise RecipeError("the pipeline has no step; connect at least one task")

    async def run(self, rows: Sequence[Raw]) -> list[Raw]:
        """The rows that came out, in order of their keys; failed ones carry `failed`.

        Raises:
            PotstillError: Nothing can come of going on.
        """
        for node in self._nodes.values():
            node.inbox = asyncio.Queue(maxsize=2 * self._window)
            node.step.load()
            for name in ("add_raw_input", "add_raw_output"):  # the ledger has both
                if hasattr(node.step, name):
                    setattr(node.step, name, False)
        try:
            async with asyncio.TaskGroup() as group:
                for node in self._nodes.values():
                    group.create_task(self._work(node, rows))
        except* PotstillError as errors:
            raise _first(errors) from None
        finally:
            for node in self._nodes.values():
                node.step.unload()
        self._out.sort(key=lambda item: item.key)
        return [item.row for item in self._out]

    async def _work(self, node: _Node, rows: Sequence[Raw]) -> None:
        if node.step.is_generator:
            await self._generate(node)
        elif not node.before:
            await self._stream(node, rows)
        elif len(node.before) > 1:
            await self._join(node)
        elif node.step.is_global:
            await self._gather(node)
        else:
            await self._stream(node, None)
        for successor in node.after:
            await successor.inbox.put((node.step.name, _END))

    async def _generate(self, node: _Node) -> None:
        place = 0
        batches = node.step.process_applying_mappings()
        while (batch := await asyncio.to_thread(next, batches, _END)) is not _END:
            for row in batch[0]:
                await self._emit(node, _Item((place,), dict(row)))
                place += 1

    async def _stream(self, node: _Node, rows: Sequence[Raw] | None) -> None:
        """Each row as soon as it is there, at most a window of them at once."""
        free = asyncio.Semaphore(self._window if node.asks else 1)

        async def one(item: _Item) -> None:
            try:
                await self._apply(node, item, [item.row])
            finally:
                free.release()

        async with asyncio.TaskGroup() as group:
            if rows is not None:
                for place, row in enumerate(rows):
                    await free.acquire()
                    group.create_task(one(_Item((place,), dict(row))))
            else:
                while (item := (await node.inbox.get())[1]) is not _END:
                    await free.acquire()
                    group.create_task(one(item))

    async def _gather(self, node: _Node) -> None:
        """All rows at once, in the order of their keys."""
        items: list[_Item] = []
        while (item := (await node.inbox.get())[1]) is not _END:
            items.append(item)
        items.sort(key=lambda item: item.key)
        made = await asyncio.to_thread(_process, node.step, [item.row for item in items])
        for place, row in enumerate(made):
            await self._emit(node, _Item((place,), row))

    async def _join(self, node: _Node) -> None:
        """Rows with one key from every step before; a key that some step lost is a failed row."""
        waiting: dict[Key, dict[str, Raw]] = defaultdict(dict)
        ends = 0
        async with asyncio.TaskGroup() as group:
            while ends < len(node.before):
                name, item = await node.inbox.get()
                if item is _END:
                    ends += 1
                    continue
                parts = waiting[item.key]
                parts[name] = item.row
                if len(parts) == len(node.before):
                    del waiting[item.key]
                    ordered = [parts[name] for name in node.before]
                    group.create_task(
                        self._apply(node, _Item(item.key, ordered[0]), *([row] for row in ordered))
                    )
        for key, parts in waiting.items():
            missing = ", ".join(name for name in node.before if name not in parts)
            row = next(iter(parts.values()))
            await self._fail(node, _Item(key, row), "no partner", f"{missing} gave no row for it")

    async def _apply(self, node: _Node, item: _Item, *inputs: list[Raw]) -> None:
        try:
            if node.asks:
                made = await drive(_process, node.step, *inputs)
            else:
                made = await asyncio.to_thread(_process, node.step, *inputs)
        except Failure as failure:
            await self._fail(node, item, failure.cause, str(failure))
            return
        except PotstillError:
            raise
        except Exception as error:  # noqa: BLE001 - somebody's step: its error is the row's reason
            await self._fail(node, item, "step error", f"{type(error).__name__}: {error}")
            return
        node.done += 1
        single = len(made) == 1
        for place, row in enumerate(made):
            await self._emit(node, _Item(item.key if single else (*item.key, place), row))

    async def _fail(self, node: _Node, item: _Item, cause: str, why: str) -> None:
        node.failed[f"{cause}: {why}"] += 1
        if not node.done and node.failed.total() == _HOPELESS == max(node.failed.values()):
            raise RecipeError(
                f"step {node.step.name!r} failed on its first {_HOPELESS} rows for one cause "
                f"({cause}: {why}); mend it and build again"
            )
        failed = {"failed": cause, "failed_step": node.step.name, "failed_why": why}
        self._out.append(_Item(item.key, item.row | failed))
        self._on_row()

    async def _emit(self, node: _Node, item: _Item) -> None:
        for successor in node.after:
            row = item.row if len(node.after) == 1 else dict(item.row)
            await successor.inbox.put((node.step.name, _Item(item.key, row)))
        if not node.after:
            self._out.append(item)
            self._on_row()


def _process(step: _Step, *inputs: list[Raw]) -> list[Raw]:
    return [row for batch in step.process_applying_mappings(*inputs) for row in batch]


def _first(errors: BaseExceptionGroup[PotstillError]) -> PotstillError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PotstillError)
    return error
