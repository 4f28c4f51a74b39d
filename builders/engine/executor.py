"""Runs a distilabel pipeline's DAG: every row on its own, no batch waits for its slowest row.

Steps that ask a teacher run one row a greenlet on the event loop, other steps run in a thread on
what has come in so far, or in processes where they declare CPUs. A row is known by its key: the
place of its seed, then one number for each time a step made several rows of one. Joins go by key
and so does the order of the output, never by timing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from distilabel.constants import ROUTING_BATCH_FUNCTION_ATTR_NAME, STEP_ATTR_NAME
from distilabel.pipeline.batch import _Batch
from distilabel.steps.base import _Step

from builders.engine.bridge import drive
from builders.engine.calls import Failure
from builders.engine.llm import EngineLLM
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw

Key = tuple[int, ...]
_TAG = "potstill_row"  # a column by which a step's output rows are known again
_HOPELESS = 50  # a step whose first 50 rows all failed for one cause will fail on the others too


@dataclass(slots=True)
class _Item:
    key: Key
    row: Raw


@dataclass(eq=False)
class _Node:
    """A step at work: what it reads, whom it feeds, how its rows went."""

    step: Any
    before: list[str]
    route: Any
    after: list[_Node] = field(default_factory=list)
    inbox: asyncio.Queue[tuple[str, _Item | None]] = field(default_factory=asyncio.Queue)
    expected: dict[Key, list[str]] = field(default_factory=dict)
    pool: Executor | None = None
    asks: bool = False
    alone: bool = False  # its output rows cannot be known again in a batch
    seen: bool = False
    working: int = 0
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """The step's name in the pipeline."""
        return str(self.step.name)


class Execution:
    """One run of one pipeline over rows; `window` rows a step are at work at once."""

    def __init__(self, pipeline: Any, window: int, on_row: Callable[[], None]) -> None:
        dag = pipeline.dag
        self._window = window
        self._on_row = on_row
        self._nodes = {}
        for name in dag:
            entry = dag.get_step(name)
            self._nodes[name] = _Node(
                step=entry[STEP_ATTR_NAME],
                before=list(dag.get_step_predecessors(name)),
                route=entry.get(ROUTING_BATCH_FUNCTION_ATTR_NAME),
            )
        for node in self._nodes.values():
            parts = vars(node.step).values()
            node.asks = any(isinstance(part, EngineLLM) for part in parts)
            for name in node.before:
                self._nodes[name].after.append(node)
        self._out: list[_Item] = []
        self._lost: set[Key] = set()
        if not self._nodes:
            raise RecipeError("the pipeline has no step; connect at least one task")

    @property
    def working(self) -> bool:
        """Whether a step computes right now, so that waiting makes sense."""
        return any(node.working and not node.asks for node in self._nodes.values())

    def waits(self) -> str:
        """Which steps have rows at work or before them."""
        parts = [
            f"step {node.name} has {node.working} rows at work, {node.inbox.qsize()} before it"
            for node in self._nodes.values()
            if node.working or node.inbox.qsize()
        ]
        return ", ".join(parts) or "no step has a row"

    async def run(self, rows: Sequence[Raw]) -> list[Raw]:
        """The rows that came out, in the order of their keys; failed ones carry `failed`.

        Raises:
            PotstillError: Nothing can come of going on.
        """
        for node in self._nodes.values():
            node.inbox = asyncio.Queue(maxsize=2 * self._window)
            node.step.load()
            for name in ("add_raw_input", "add_raw_output"):  # the ledger has both
                if hasattr(node.step, name):
                    setattr(node.step, name, False)
            if cpus := node.step.resources.cpus:
                node.pool = ProcessPoolExecutor(
                    cpus, multiprocessing.get_context("forkserver"), initializer=_die_with_parent
                )
        try:
            async with asyncio.TaskGroup() as group:
                for node in self._nodes.values():
                    group.create_task(self._work(node, rows))
        except* PotstillError as errors:
            raise _first(errors) from None
        finally:
            for node in self._nodes.values():
                if node.pool:
                    node.pool.shutdown(wait=False, cancel_futures=True)
                node.step.unload()
        self._out.sort(key=lambda item: item.key)
        return [item.row for item in self._out]

    async def _work(self, node: _Node, rows: Sequence[Raw]) -> None:
        if node.step.is_generator:
            await self._generate(node)
        elif len(node.before) > 1:
            await self._join(node)
        elif node.step.is_global:
            await self._gather(node, rows)
        elif node.asks:
            await self._stream(node, rows)
        else:
            await self._batches(node, rows)
        for successor in node.after:
            await successor.inbox.put((node.name, None))

    # --- kinds of step

    async def _generate(self, node: _Node) -> None:
        place = 0
        batches = node.step.process_applying_mappings()
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for row in batch[0]:
                await self._emit(node, _Item((place,), dict(row)))
                place += 1

    async def _stream(self, node: _Node, rows: Sequence[Raw]) -> None:
        """Each row as soon as it is there, at most a window of them at once."""
        free = asyncio.Semaphore(self._window)

        async def one(item: _Item) -> None:
            try:
                await self._apply(node, item, [item.row])
            finally:
                free.release()

        async with asyncio.TaskGroup() as group:
            if not node.before:
                for place, row in enumerate(rows):
                    await free.acquire()
                    group.create_task(one(_Item((place,), dict(row))))
            else:
                while item := (await node.inbox.get())[1]:
                    await free.acquire()
                    group.create_task(one(item))

    async def _batches(self, node: _Node, rows: Sequence[Raw]) -> None:
        """What has come in so far, at most the step's batch size, while more comes in."""
        size = node.step.input_batch_size
        if not node.before:
            for start in range(0, len(rows), size):
                places = range(start, min(start + size, len(rows)))
                await self._apply_batch(node, [_Item((at,), dict(rows[at])) for at in places])
            return
        item: _Item | None = _Item((), {})
        while item is not None:
            batch: list[_Item] = []
            while len(batch) < size and (not batch or not node.inbox.empty()):
                item = (await node.inbox.get())[1]
                if item is None:
                    break
                batch.append(item)
            if batch:
                await self._apply_batch(node, batch)

    async def _gather(self, node: _Node, rows: Sequence[Raw]) -> None:
        """All rows at once, in the order of their keys."""
        items = [_Item((place,), dict(row)) for place, row in enumerate(rows)]
        if node.before:
            items = []
            while item := (await node.inbox.get())[1]:
                items.append(item)
        items.sort(key=lambda item: item.key)
        made = await self._compute(node, [_tagged(place, item) for place, item in enumerate(items)])
        if made and all(_TAG in row for row in made):
            await self._give(node, items, made)
        else:  # rows of its own: a count by groups, say
            for place, row in enumerate(made):
                await self._emit(node, _Item((place,), row))

    async def _join(self, node: _Node) -> None:
        """Rows with one key from every step before; what some step lost was counted there."""
        waiting: dict[Key, dict[str, Raw]] = defaultdict(dict)
        ends = 0
        async with asyncio.TaskGroup() as group:
            while ends < len(node.before):
                name, item = await node.inbox.get()
                if item is None:
                    ends += 1
                    continue
                parts = waiting[item.key]
                parts[name] = item.row
                wanted = node.expected.get(item.key, node.before)
                if all(name in parts for name in wanted):
                    del waiting[item.key]
                    node.expected.pop(item.key, None)
                    inputs = [[parts[name]] for name in wanted]
                    first = _Item(item.key, parts[wanted[0]])
                    group.create_task(self._apply(node, first, *inputs))
        for key, parts in waiting.items():
            missing = ", ".join(name for name in node.before if name not in parts)
            row = next(iter(parts.values()))
            await self._fail(node, _Item(key, row), "no partner", f"{missing} gave no row for it")

    # --- rows through a step

    async def _compute(self, node: _Node, *inputs: list[Raw]) -> list[Raw]:
        self._check_columns(node, inputs)
        node.working += len(inputs[0])
        try:
            if node.asks:
                return await drive(_process, node.step, *inputs)
            if node.pool:
                step = node.step.model_copy(update={"pipeline": None})
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(node.pool, _process, step, *inputs)
            return await asyncio.to_thread(_process, node.step, *inputs)
        finally:
            node.working -= len(inputs[0])

    async def _apply(self, node: _Node, item: _Item, *inputs: list[Raw]) -> None:
        try:
            made = await self._compute(node, *inputs)
        except Failure as failure:
            await self._fail(node, item, failure.cause, str(failure))
        except PotstillError:
            raise
        except Exception as error:  # noqa: BLE001 - somebody's step: its error is the row's reason
            await self._fail(node, item, "step error", f"{type(error).__name__}: {error}")
        else:
            await self._give_one(node, item, made)

    async def _apply_batch(self, node: _Node, items: list[_Item]) -> None:
        if not node.alone:
            try:
                tagged = [_tagged(place, item) for place, item in enumerate(items)]
                made = await self._compute(node, tagged)
            except PotstillError:
                raise
            except Exception:  # noqa: BLE001 - one row's fault: each alone shows whose
                made = []
            if made and all(_TAG in row for row in made):
                await self._give(node, items, made)
                return
            node.alone = bool(made)
        for item in items:
            await self._apply(node, item, [item.row])

    async def _give(self, node: _Node, items: Sequence[_Item], made: Iterable[Raw]) -> None:
        """Hand on tagged rows; an item of which no row came is lost to the step."""
        groups: dict[int, list[Raw]] = {place: [] for place in range(len(items))}
        for row in made:
            groups[row.pop(_TAG)].append(row)
        for place, rows in groups.items():
            await self._give_one(node, items[place], rows)

    async def _give_one(self, node: _Node, item: _Item, made: Sequence[Raw]) -> None:
        node.done += 1
        if not made:
            await self._fail(node, item, "filtered", f"step {node.name} gave no row for it")
        elif len(made) == 1:
            await self._emit(node, _Item(item.key, made[0]))
        else:
            for place, row in enumerate(made):
                await self._emit(node, _Item((*item.key, place), row))

    async def _fail(self, node: _Node, item: _Item, cause: str, why: str) -> None:
        node.failed[f"{cause}: {why}"] += 1
        if not node.done and node.failed.total() == _HOPELESS == max(node.failed.values()):
            raise RecipeError(
                f"step {node.name!r} failed on its first {_HOPELESS} rows for one cause "
                f"({cause}: {why}); mend it and build again"
            )
        if item.key in self._lost:  # in another branch, and counted there
            return
        self._lost.add(item.key)
        row = {name: value for name, value in item.row.items() if name != _TAG}
        failed = {"failed": cause, "failed_step": node.name, "failed_why": why}
        self._out.append(_Item(item.key, row | failed))
        self._on_row()

    async def _emit(self, node: _Node, item: _Item) -> None:
        if not node.after:
            self._out.append(item)
            self._on_row()
            return
        targets = self._routed(node, item) if node.route else node.after
        for target in targets:
            row = item.row if len(targets) == 1 else dict(item.row)
            await target.inbox.put((node.name, _Item(item.key, row)))

    def _routed(self, node: _Node, item: _Item) -> list[_Node]:
        """The steps that the pipeline's routing function sends a row to."""
        names = [after.name for after in node.after]
        place = item.key[0] if item.key else 0
        batch = _Batch(seq_no=place, step_name=node.name, last_batch=False, data=[[item.row]])
        chosen = node.route.routing_function(batch, names)
        targets = [after for after in node.after if after.name in chosen]
        for target in targets:
            for meeting in target.after:
                meeting.expected[item.key] = [
                    name for name in meeting.before if name in chosen or name not in names
                ]
        return targets

    def _check_columns(self, node: _Node, inputs: Sequence[list[Raw]]) -> None:
        if node.seen or not inputs[0]:
            return
        node.seen = True
        there = {name for rows in inputs for name in rows[0]}
        wanted = [name for name, needed in node.step.get_inputs().items() if needed]
        if missing := [name for name in wanted if name not in there]:
            raise RecipeError(
                f"step {node.name!r} needs the column {missing[0]!r}, but gets "
                f"{', '.join(sorted(there - {_TAG}))}; mend the pipeline or the input_mappings"
            )


def _process(step: _Step, *inputs: list[Raw]) -> list[Raw]:
    return [row for batch in step.process_applying_mappings(*inputs) for row in batch]


def _tagged(place: int, item: _Item) -> Raw:
    return {**item.row, _TAG: place}


def _die_with_parent() -> None:
    """A worker of a killed build must not live on (Linux: the kernel sends it SIGKILL)."""
    import ctypes
    import signal

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _first(errors: BaseExceptionGroup[PotstillError]) -> PotstillError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PotstillError)
    return error
