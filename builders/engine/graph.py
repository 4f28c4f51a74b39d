"""A pipeline as a graph: each step is a node with a queue, and rows pass from node to node."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from distilabel.constants import ROUTING_BATCH_FUNCTION_ATTR_NAME, STEP_ATTR_NAME

from builders.engine.json_texts import key_json
from builders.engine.llm import EngineLLM
from builders.engine.workers import Processes, Raised, chance
from builders.entropy import of_row
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw, short_hash

Key = tuple[int, ...]


@dataclass(slots=True)
class Item:
    """A row on its way to a step: one dict from each of the step's predecessors.

    `identity` is that of the seed that it was made from, wherever in the source it was.
    """

    key: Key
    rows: list[Raw]
    identity: str = ""

    @property
    def seeds(self) -> tuple[str, Key]:
        """What random numbers of this row follow from."""
        return self.identity, self.key[1:]


@dataclass(eq=False)
class Node:
    """A step in a running pipeline: its predecessors, successors, queues and row counts."""

    step: Any
    place: int  # among the pipeline's steps
    before: list[str]
    route: Any
    after: list[Node] = field(default_factory=list)
    asks: bool = False
    processes: Processes | None = None
    alone: bool = False  # its output rows cannot be matched to the input rows of a batch
    seen: bool = False
    working: int = 0
    done: int = 0
    taken: int = 0  # rows that it has finished, `given` the rows made of them, `calls` for them
    given: int = 0
    calls: int = 0
    sent: Counter[str] = field(default_factory=Counter)  # rows by successor
    failed: Counter[str] = field(default_factory=Counter)
    inbox: asyncio.Queue[tuple[str, Item | None]] = field(
        default_factory=asyncio.Queue
    )  # of a join
    ready: asyncio.Queue[Item | None] = field(default_factory=asyncio.Queue)
    all_here: bool = False  # no more rows come to `ready`, whose last item is None
    expected: dict[Key, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The step's name in the pipeline."""
        return str(self.step.name)

    @property
    def usual_samples(self) -> int:
        """How many rows it makes of one, as far as the step itself declares that."""
        grouped = getattr(self.step, "group_generations", False)
        return 1 if grouped else getattr(self.step, "num_generations", 1)

    @property
    def usual_calls(self) -> int:
        """How many calls it makes for a row, as far as the step itself declares that."""
        return int(getattr(self.step, "questions", getattr(self.step, "num_generations", 1)))

    @property
    def queued(self) -> int:
        """How many rows are ready for it, and not in progress."""
        return max(0, self.ready.qsize() - self.all_here)

    def wanted(self, key: Key) -> list[str]:
        """The predecessors from which a row with this key comes."""
        keys = (key[:length] for length in range(len(key), 0, -1))
        return next((self.expected[one] for one in keys if one in self.expected), self.before)

    async def send(self, target: Node, item: Item | None) -> None:
        """Pass a row to a successor; None means that there are no more."""
        self.sent[target.name] += item is not None
        if len(target.before) > 1:
            await target.inbox.put((self.name, item))
        else:
            await target.put(item)

    async def put(self, item: Item | None) -> None:
        """Make a row ready for the step; None means that there are no more."""
        await self.ready.put(item)
        self.all_here = item is None

    async def some(self, most: int) -> tuple[list[Item], bool]:
        """Between one and `most` items, as many as are ready; and whether more may come."""
        items: list[Item] = []
        while len(items) < most and not (items and self.ready.empty()):
            item = await self.ready.get()
            if item is None:
                return items, False
            items.append(item)
        return items, True

    @contextlib.contextmanager
    def as_recipe_error(self) -> Iterator[None]:
        """Raises an error of the step's own code as a RecipeError that names the step."""
        try:
            yield
        except PotstillError:
            raise
        except Exception as error:
            why = Raised.by(error).why_and_where
            raise RecipeError(
                f"step {self.name!r} failed ({why}); fix it and build again"
            ) from error


def graph(pipeline: Any) -> dict[str, Node]:
    """The nodes of a distilabel pipeline by name, in its own order.

    Raises:
        RecipeError: The pipeline has no step.
    """
    dag = pipeline.dag
    nodes = {
        name: Node(
            step=dag.get_step(name)[STEP_ATTR_NAME],
            place=place,
            before=list(dag.get_step_predecessors(name)),
            route=dag.get_step(name).get(ROUTING_BATCH_FUNCTION_ATTR_NAME),
        )
        for place, name in enumerate(dag)
    }
    if not nodes:
        raise RecipeError("the pipeline has no step; connect at least one task")
    for node in nodes.values():
        parts = vars(node.step).values()
        node.asks = any(isinstance(part, EngineLLM) for part in parts)
        for name in node.before:
            nodes[name].after.append(node)
    return nodes


def check_part(pipeline: Any, *, rebuilt: bool) -> None:
    """Raise RecipeError where a pipeline over a part of the rows asks something else than over all.

    That is so where teachers are asked about what a step made of all rows, or of none. Unless the
    rows are `rebuilt` from the answers in the end, no step may make anything of all rows.
    """

    def asks(node: Node) -> bool:
        return node.asks or any(map(asks, node.after))

    for node in graph(pipeline).values():
        if (node.step.is_global or node.step.is_generator) and (asks(node) or not rebuilt):
            why = "makes its own rows" if node.step.is_generator else "works on all rows at once"
            cannot = (
                "and teachers are asked about what it makes, so that a shard would not ask its "
                "part of that; build it whole, without --shard"
                if rebuilt
                else "so that --keep cannot ask row after row; give --rows alone"
            )
            raise RecipeError(f"step {node.name!r} {why}, {cannot}")


def identity(row: Raw, seen: Counter[str]) -> str:
    """A row's id, else a hash of its content and its number among the rows seen with the same."""
    if row.get("id"):
        return str(row["id"])
    content = short_hash(key_json(row, default=str))
    seen[content] += 1
    return f"{content} {seen[content]}"


def routed(nodes: dict[str, Node], node: Node, item: Item, seed: object) -> list[Node]:
    """The steps to which a routing function sends a row; joins learn which rows to expect.

    Raises:
        RecipeError: The function fails, or returns a step that is not a successor.
    """
    names = [after.name for after in node.after]
    chance(seed, node.name, *item.seeds)()
    with node.as_recipe_error():
        with of_row:
            chosen = node.route.routing_function(list(names))
        if unknown := [name for name in chosen if name not in names]:
            raise ValueError(
                f"its routing function returned {unknown[0]!r}, expected {', '.join(names)}"
            )
    skipped: set[str] = set()  # the steps that this row does not reach
    found = set(names) - set(chosen)
    while found - skipped:
        skipped |= found
        found = {
            one.name for one in nodes.values() if one.before and skipped.issuperset(one.before)
        }
    for join in nodes.values():
        if len(join.before) > 1 and skipped.intersection(join.before):
            join.expected[item.key] = [name for name in join.before if name not in skipped]
    return [after for after in node.after if after.name in chosen]
