"""One of several answers is kept for each prompt: the one that a rule ranks highest."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from builders.recipe import DraftGate, Drop, Raw, fingerprint
from builders.schema import Row


def one_per_prompt(rank: Callable[[Raw], float], rule: str) -> DraftGate:
    """The draft gate that keeps the answer with the highest rank; of equals the first.

    `rule` is the name of the rank, for the evidence of the others' drops.
    """

    def gate(candidates: Iterable[tuple[Raw, Row]]) -> dict[int, Drop]:
        import numpy as np

        ids, ranks = array("Q"), array("d")
        for raw, row in candidates:
            ids.append(fingerprint(row["id"]))
            ranks.append(rank(raw))
        order = np.lexsort(
            (-np.asarray(ranks), np.asarray(ids))
        )  # by id, then best first, then as they came
        _, best = np.unique(np.asarray(ids)[order], return_index=True)
        others = np.delete(order, best).tolist()
        return dict.fromkeys(others, Drop(reason="not chosen", evidence={"rule": rule}))

    return gate
