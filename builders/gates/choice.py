"""One of several answers is kept for each prompt: the one that a rule ranks highest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from builders.recipe import DraftGate, Drop, Raw
from builders.schema import Row


def one_per_prompt(rank: Callable[[Raw], float], rule: str) -> DraftGate:
    """The draft gate that keeps the answer with the highest rank; of equals the first.

    `rule` is the name of the rank, for the evidence of the others' drops.
    """

    def gate(raws: Sequence[Raw], rows: Sequence[Row]) -> dict[int, Drop]:
        places: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            places[row["id"]].append(place)
        drops: dict[int, Drop] = {}
        for rivals in places.values():
            best = max(rivals, key=lambda place: rank(raws[place]))
            drop = Drop(reason="not chosen", evidence={"rule": rule})
            drops |= {place: drop for place in rivals if place != best}
        return drops

    return gate
