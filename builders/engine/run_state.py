"""What the nodes of a running pipeline show: the calls to expect, and what it works on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builders.engine.graph import Node


def expected_calls(nodes: Mapping[str, Node], rows: int | None) -> float | None:
    """How many calls a run over so many rows will have made at its end.

    For the rows that a step has not finished yet, its calls and the rows that it makes of one are
    taken to be as so far, and before the first one as the step itself declares. None: a step makes
    its own rows, or the number of rows is not known.
    """
    if rows is None or any(node.step.is_generator for node in nodes.values()):
        return None
    most = rows
    routes = any(node.route for node in nodes.values())

    @cache
    def arriving(name: str) -> float:
        parts = [sent(nodes[before], nodes[name]) for before in nodes[name].before]
        if not parts:
            return most
        return sum(parts) if routes else min(parts)

    def sent(node: Node, target: Node) -> float:
        left = max(0.0, arriving(node.name) - node.taken)
        usual = node.usual_samples if node.asks else 1
        more = left * (node.given + usual) / (node.taken + 1)
        if not node.route:
            return node.given + more
        there = node.sent[target.name]
        return there + more * (there + 1 / len(node.after)) / (node.given + 1)

    def calls(node: Node) -> float:
        left = max(0.0, arriving(node.name) - node.taken)
        return node.calls + left * (node.calls + node.usual_calls) / (node.taken + 1)

    return sum(calls(node) for node in nodes.values() if node.asks)


def is_working(nodes: Iterable[Node]) -> bool:
    """Whether a step is computing right now, so that waiting makes sense."""
    return any(node.working and not node.asks for node in nodes)


def status(nodes: Iterable[Node]) -> str:
    """Which steps work on rows or have rows queued, for the user to read."""
    parts = [
        f"step {node.name!r} (rows in progress: {node.working}, queued: {node.queued})"
        for node in nodes
        if node.working or node.queued
    ]
    return ", ".join(parts) or "no step has a row"
