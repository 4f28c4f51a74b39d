"""One of several answers is kept for each prompt: the one that a rule ranks highest."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import cache

from builders.recipe import DraftGate, Drop, Raw, fingerprint
from builders.schema import Row


def one_per_prompt(rank: Callable[[Raw], float], rule: str, *, scored: bool = False) -> DraftGate:
    """The draft gate that keeps the answer with the highest rank; of equals the first.

    The evidence of the others has `rule`, the name of the rank. Where ranks are `scored`, by a
    judge, it has both `score` and `score_of_chosen`.
    """

    @cache  # scores are few, and answers may be millions
    def drop(score: float, of_chosen: float) -> Drop:
        scores = {"score": score, "score_of_chosen": of_chosen} if scored else {}
        return Drop(reason="not chosen", evidence={"rule": rule, **scores})

    def gate(candidates: Iterable[tuple[Raw, Row]]) -> dict[int, Drop]:
        import numpy as np

        ids, ranks = array("Q"), array("d")
        for raw, row in candidates:
            ids.append(fingerprint(row["id"]))
            ranks.append(rank(raw))
        order = np.lexsort(
            (-np.asarray(ranks), np.asarray(ids))
        )  # by id, then best first, then as they came
        _, best, prompt = np.unique(np.asarray(ids)[order], return_index=True, return_inverse=True)
        others = np.delete(np.arange(len(order)), best)
        pairs = zip(order[others].tolist(), order[best[prompt[others]]].tolist(), strict=True)
        if not scored:
            return {other: drop(0.0, 0.0) for other, _ in pairs}
        return {other: drop(ranks[other], ranks[chosen]) for other, chosen in pairs}

    return gate
