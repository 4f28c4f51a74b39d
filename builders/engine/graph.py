"""A pipeline as a graph: each step a node with a queue before it, and the rows that pass along."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from distilabel.constants import ROUTING_BATCH_FUNCTION_ATTR_NAME, STEP_ATTR_NAME

from builders.engine.llm import EngineLLM
from builders.engine.workers import Processes, Raised, chance
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw

Key = tuple[int, ...]


@dataclass(slots=True)
class Item:
    """A row on its way to a step: one dict from each step before that."""

    key: Key
    rows: list[Raw]


@dataclass(eq=False)
class Node:
    """A step at work: what it reads, whom it feeds, how its rows went."""

    step: Any
    place: int  # among the pipeline's steps
    before: list[str]
    route: Any
    after: list[Node] = field(default_factory=list)
    asks: bool = False
    processes: Processes | None = None
    alone: bool = False  # its output rows cannot be known again in a batch
    seen: bool = False
    working: int = 0
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    inbox: asyncio.Queue[tuple[str, Item | None]] = field(default_factory=asyncio.Queue)  # a join's
    ready: asyncio.Queue[Item | None] = field(default_factory=asyncio.Queue)
    expected: dict[Key, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The step's name in the pipeline."""
        return str(self.step.name)

    def wanted(self, key: Key) -> list[str]:
        """The steps before it from which a row with this key comes."""
        keys = (key[:length] for length in range(len(key), 0, -1))
        return next((self.expected[one] for one in keys if one in self.expected), self.before)

    async def hand(self, target: Node, item: Item | None) -> None:
        """Give a row to a step after this one; None: that was the last."""
        if len(target.before) > 1:
            await target.inbox.put((self.name, item))
        else:
            await target.ready.put(item)

    async def some(self, most: int) -> tuple[list[Item], bool]:
        """At least one item, and more that are there already; whether others may come."""
        items: list[Item] = []
        while len(items) < most and not (items and self.ready.empty()):
            item = await self.ready.get()
            if item is None:
                return items, False
            items.append(item)
        return items, True

    @contextlib.contextmanager
    def to_mend(self) -> Iterator[None]:
        """Gives the step's name to an error after which nothing can go on."""
        try:
            yield
        except PotstillError:
            raise
        except Exception as error:
            why = Raised.by(error).why
            raise RecipeError(
                f"step {self.name!r} failed ({why}); mend it and build again"
            ) from error


def graph(pipeline: Any) -> dict[str, Node]:
    """The nodes of a distilabel pipeline by name, in its own order.

    Raises:
        RecipeError: There is none.
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


def routed(nodes: dict[str, Node], node: Node, key: Key, seed: object) -> list[Node]:
    """The steps that a pipeline's routing function sends a row to; joins learn whom to wait for.

    Raises:
        RecipeError: The function fails, or names another step.
    """
    names = [after.name for after in node.after]
    chance(seed, node.name, key)()
    with node.to_mend():
        chosen = node.route.routing_function(list(names))
        if strange := [name for name in chosen if name not in names]:
            raise ValueError(f"it sends rows to {strange[0]!r}, but before {', '.join(names)}")
    cut: set[str] = set()
    found = set(names) - set(chosen)
    while found - cut:
        cut |= found
        found = {one.name for one in nodes.values() if one.before and cut.issuperset(one.before)}
    for join in nodes.values():
        if len(join.before) > 1 and cut.intersection(join.before):
            join.expected[key] = [name for name in join.before if name not in cut]
    return [after for after in node.after if after.name in chosen]
