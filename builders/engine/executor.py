"""Runs a distilabel pipeline's DAG row by row: no batch waits for its slowest row.

Steps that ask a teacher run each row in a greenlet on the event loop. Other steps run in a thread,
or in processes if they declare CPUs, on the rows that have arrived so far; such a step must treat
rows independently, as every step that is not global does. A row is identified by its key: the
index of its seed, then one number for each step that made several rows of one. Joins and the order
of the output follow from keys, never from timing. The random numbers in a step follow from the
seed's id, so that a row has the same in a shard, or behind another row.

The global random generators belong to one row at a time: a thread and the steps that ask a teacher
take turns. A batch in which a step draws is computed again, each row with numbers of its own.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from builders.engine.graph import Item, Key, Node, graph, identity, routed
from builders.engine.greenlets import drive
from builders.engine.llm import row_call_ids
from builders.engine.row_order import order
from builders.engine.workers import (
    BROKEN,
    DREW,
    Batch,
    Processes,
    Raised,
    chance,
    in_thread,
    keep_errors,
    made,
    outcomes,
)
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw

_TAG = "potstill_row"  # a column that links a batch's output rows to its input rows
_MOST_FIRST_FAILURES = 50  # for one cause, on a step's first rows: then it will go on failing


class Execution:
    """One run of one pipeline over rows.

    Args:
        pipeline: A distilabel pipeline.
        window: The most rows that one step works on at the same time.
        on_row: Called for each row that comes out or is lost, the latter with `failed`, with bytes
            that sort as the rows should be.
        seed: Seeds all random numbers in the steps.
    """

    def __init__(
        self, pipeline: Any, window: int, on_row: Callable[[bytes, Raw], None], seed: object = 0
    ) -> None:
        self._window = window
        self._on_row = on_row
        self._seed = seed
        self.nodes = graph(pipeline)
        # Where rows branch, two steps can lose one row: the earlier one counts, once all are known.
        nodes = self.nodes.values()
        first = [node for node in nodes if not node.before]
        self._branches = len(first) > 1 or any(len(node.after) > 1 for node in nodes)
        self._lost: dict[Key, tuple[int, Raw]] = {}
        self._drawing = asyncio.Lock()  # held by the row to which the global generators belong

    async def run(self, rows: Iterable[Raw]) -> None:
        """Run all rows.

        Raises:
            PotstillError: The build cannot continue.
        """
        loaded: list[Node] = []
        failure: PotstillError | None = None
        try:
            for node in self.nodes.values():
                self._load(node)
                loaded.append(node)
            async with asyncio.TaskGroup() as group:
                for node in self.nodes.values():
                    group.create_task(self._arrive(node, rows))
                    group.create_task(self._work(node))
        except* PotstillError as errors:
            failure = _first(errors)  # raised here, Python before 3.11.4 would wrap it in a group
        finally:
            for node in loaded:
                if node.processes:
                    node.processes.close()
                else:
                    node.step.unload()
        if failure:
            raise failure from None
        for key, (place, row) in self._lost.items():
            if self._whole(key):
                self._on_row(order(key, place), row)

    def _whole(self, key: Key) -> bool:
        """Whether this row was lost itself, rather than as part of one that another branch lost."""
        return not any(key[:length] in self._lost for length in range(1, len(key)))

    def _load(self, node: Node) -> None:
        node.inbox = asyncio.Queue(maxsize=2 * self._window)
        node.ready = asyncio.Queue(maxsize=2 * self._window)
        if node.step.resources.cpus and not node.asks and not node.step.is_generator:
            node.processes = Processes(node.step, self._seed)
            return
        with node.as_recipe_error():
            chance(self._seed, node.name)()
            node.step.load()
        for name in ("add_raw_input", "add_raw_output"):  # the ledger records both
            if hasattr(node.step, name):
                setattr(node.step, name, False)
        if node.asks:
            keep_errors(node.step)

    # --- rows to a step

    async def _arrive(self, node: Node, rows: Iterable[Raw]) -> None:
        """Feed seeds to a first step; feed a join the rows of one key from all its predecessors."""
        if node.step.is_generator or len(node.before) == 1:
            return
        if node.before:
            await self._join(node)
        else:
            seen = Counter[str]()
            for place, row in enumerate(rows):
                await node.put(Item((place,), [copy.deepcopy(row)], identity(row, seen)))
        await node.put(None)

    async def _join(self, node: Node) -> None:
        waiting: dict[Key, dict[str, Item]] = defaultdict(dict)
        ends = 0
        while ends < len(node.before):
            name, item = await node.inbox.get()
            if item is None:
                ends += 1
                continue
            parts = waiting[item.key]
            parts[name] = item
            wanted = node.wanted(item.key)
            if all(name in parts for name in wanted):
                del waiting[item.key]
                rows = [parts[name].rows[0] for name in wanted]
                await node.put(Item(item.key, rows, parts[wanted[0]].identity))
        for key, parts in waiting.items():
            missing = ", ".join(name for name in node.wanted(key) if name not in parts)
            if not any(key[:length] in self._lost for length in range(1, len(key) + 1)):
                item = Item(key, [part.rows[0] for part in parts.values()])
                self._lose(node, item, "no partner", f"{missing} gave no row for it")

    async def _work(self, node: Node) -> None:
        if node.step.is_generator:
            await self._generate(node)
        elif node.step.is_global:
            await self._gather(node)
        else:
            await self._stream(node)
        for target in node.after:
            await node.send(target, None)

    async def _generate(self, node: Node) -> None:
        place, seen = 0, Counter[str]()
        begin = chance(self._seed, node.name)
        with node.as_recipe_error():
            batches = node.step.process_applying_mappings()
            begun = partial(drive, next, batches, None, before=begin, turn=self._drawing)
            while (batch := await begun()) is not None:
                for row in batch[0]:
                    await self._emit(node, Item((place,), [dict(row)], identity(row, seen)))
                    place += 1

    async def _gather(self, node: Node) -> None:
        """All rows at once, in the order of their keys."""
        items = []
        while item := await node.ready.get():
            items.append(item)
        items.sort(key=lambda item: item.key)
        if not items:
            return
        with node.as_recipe_error():
            [rows] = await self._compute(node, items, whole=True)
        if isinstance(rows, Raised):
            raise RecipeError(f"step {node.name!r} failed ({rows.why}); fix it and build again")
        if all(_TAG in row for row in rows):
            await self._give(node, items, rows)
        else:  # new rows, such as a count per group
            seen = Counter[str]()
            node.taken += len(items)
            for place, row in enumerate(rows):
                row.pop(_TAG, None)
                await self._emit(node, Item((place,), [row], identity(row, seen)))

    async def _stream(self, node: Node) -> None:
        """One row at a time for a step that asks a teacher, else all that have arrived so far."""
        width, size = self._window, 1
        if not node.asks:
            width, size = node.step.resources.cpus or 1, node.step.input_batch_size
        free = asyncio.Semaphore(width)

        async def apply(items: list[Item]) -> None:
            try:
                await (self._ask(node, items[0]) if node.asks else self._apply(node, items))
            finally:
                free.release()

        more = True
        async with asyncio.TaskGroup() as group:
            while more:
                await free.acquire()
                items, more = await node.some(size)
                if items:
                    group.create_task(apply(items))

    # --- rows through a step

    async def _ask(self, node: Node, item: Item) -> None:
        outcome: list[Raw] | Raised
        calls: list[str] = []
        row_call_ids.set(calls)
        try:
            [outcome] = await self._compute(node, [item])
        except PotstillError:
            raise
        except Exception as error:  # noqa: BLE001 - a recipe's step: its error is the row's reason
            outcome = Raised.by(error)
        # A task with several calls reports none of them, one that fails not even those answered.
        column = f"llm_{node.name}_call"
        node.calls += len(calls)
        if isinstance(outcome, Raised):
            item = replace(item, rows=[*item.rows, {column: calls}])
        else:
            for row in outcome:
                row.setdefault(column, calls)
        await self._settle(node, item, outcome)

    async def _apply(self, node: Node, items: list[Item]) -> None:
        """Run the items as one batch; if it fails or its rows lose their tags, run each alone."""
        alike = len({len(item.rows) for item in items}) == 1
        if len(items) > 1 and alike and not node.alone:
            [rows] = await self._compute(node, items, whole=True)
            if not isinstance(rows, Raised):
                if all(_TAG in row for row in rows):
                    await self._give(node, items, rows)
                    return
                node.alone = True
            node.alone |= rows == DREW
        for item, outcome in zip(items, await self._compute(node, items), strict=True):
            await self._settle(node, item, outcome)

    async def _compute(
        self, node: Node, items: Sequence[Item], *, whole: bool = False
    ) -> list[list[Raw] | Raised]:
        """What the step makes of the items: of all together, with tags, or of each separately."""
        if whole:
            batch = [
                copy.deepcopy(list(part))
                for part in zip(*(item.rows for item in items), strict=True)
            ]
            for place, row in enumerate(batch[0]):
                row[_TAG] = place
            batches = [Batch(batch, (self._seed, node.name) if node.step.is_global else None)]
        else:
            batches = [
                Batch([[row] for row in item.rows], (self._seed, node.name, *item.seeds))
                for item in items
            ]
        self._check_columns(node, batches[0].inputs)
        node.working += len(items)
        try:
            if node.asks:
                [(inputs, seeds)] = batches
                begin = chance(*(seeds or ()))
                return [await drive(made, node.step, *inputs, before=begin, turn=self._drawing)]
            if node.processes:
                return await node.processes.outcomes(batches)
            async with self._drawing:
                return await in_thread(outcomes, node.step, batches)
        finally:
            node.working -= len(items)

    async def _give(self, node: Node, items: Sequence[Item], rows: Sequence[Raw]) -> None:
        """Pass on tagged rows; an item that has none in the output is lost at this step."""
        groups: list[list[Raw]] = [[] for _ in items]
        for row in rows:
            groups[row.pop(_TAG)].append(row)
        for item, group in zip(items, groups, strict=True):
            await self._settle(node, item, group)

    async def _settle(self, node: Node, item: Item, outcome: list[Raw] | Raised) -> None:
        node.taken += 1
        if isinstance(outcome, Raised):
            self._fail(node, item, outcome)
        elif not outcome:
            node.done += 1
            self._lose(node, item, "filtered", f"step {node.name} gave no row for it")
        for place, row in enumerate(outcome if isinstance(outcome, list) else ()):
            key = item.key if len(outcome) == 1 else (*item.key, place)
            column = f"llm_{node.name}_lost"
            broken, lost = row.pop(BROKEN, None), row.get(column)
            if isinstance(lost, list):  # one per answer of the row; some may be good
                lost = lost[0] if all(lost) else None
            else:
                row.pop(column, None)
            if lost:
                answer = lost["evidence"]
                broken = Raised(lost["reason"], lost["reason"], lost["why"], answer=answer)
            if isinstance(broken, list):  # one per answer of the row; some may be good
                broken = broken[0] if len(broken) == node.step.num_generations else None
            if broken:
                self._fail(node, Item(key, [row]), broken)
            else:
                node.done += 1
                await self._emit(node, Item(key, [row], item.identity))

    def _fail(self, node: Node, item: Item, error: Raised) -> None:
        if error.answer is None:
            node.failed[error.kind] += 1
        if not node.done and node.failed[error.kind] == node.failed.total() == _MOST_FIRST_FAILURES:
            raise RecipeError(
                f"step {node.name!r} failed on its first {_MOST_FIRST_FAILURES} rows for one cause "
                f"({error.cause}: {error.why_and_where}); fix it and build again"
            )
        self._lose(node, item, error.cause, error.why, error.place, error.answer)

    def _lose(
        self,
        node: Node,
        item: Item,
        cause: str,
        why: str,
        place: str = "",
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a lost row once: if two branches lose it, for the earlier step."""
        row = {name: value for part in item.rows for name, value in part.items() if name != _TAG}
        row |= {"failed": cause, "failed_step": node.name, "failed_why": why}
        if place:
            row["failed_place"] = place
        if answer:
            row["failed_answer"] = dict(answer)
        if not self._branches:
            self._on_row(order(item.key, node.place), row)
        elif item.key not in self._lost or node.place < self._lost[item.key][0]:
            self._lost[item.key] = (node.place, row)

    async def _emit(self, node: Node, item: Item) -> None:
        node.given += 1
        if not node.after:
            self._on_row(order(item.key, node.place), item.rows[0])
            return
        targets = node.after
        if node.route:
            async with self._drawing:
                targets = routed(self.nodes, node, item, self._seed)
        for target in targets:
            rows = copy.deepcopy(item.rows) if len(targets) > 1 else item.rows
            await node.send(target, replace(item, rows=rows))
        if not targets:
            self._lose(node, item, "filtered", f"{node.name} sends it to no step")

    def _check_columns(self, node: Node, inputs: Sequence[list[Raw]]) -> None:
        if node.seen:
            return
        node.seen = True
        there = {name for rows in inputs for name in rows[0]}
        wanted = [name for name, needed in node.step.get_inputs().items() if needed]
        if missing := [name for name in wanted if name not in there]:
            raise RecipeError(
                f"step {node.name!r} needs the column {missing[0]!r}, but gets "
                f"{', '.join(sorted(there - {_TAG}))}; fix the pipeline or the input_mappings"
            )


def _first(errors: BaseExceptionGroup[PotstillError]) -> PotstillError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PotstillError)
    return error
