"""A pool of instructions that grows: each new one must be suitable and unlike all before it.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from builders.gates.novelty import InstructionIndex, novelty
from builders.instructions.filters import unsuitable, unsuitable_word
from builders.instructions.task_text import numbered_list, parse_list
from builders.recipe import Raw

_EMPTY_ROUNDS = 10  # in a row without one candidate: this teacher will not give any


def list_to_continue(
    seeds: Sequence[Raw],
    pool: Sequence[Raw],
    chance: random.Random,
    *,
    listed: int = 8,
    of_the_pool: int = 2,
) -> str:
    """A numbered list to continue: at most `of_the_pool` tasks from the pool, the rest seeds."""
    machine = chance.sample(pool, min(of_the_pool, len(pool)))
    human = chance.sample(seeds, min(listed - len(machine), len(seeds)))
    instructions = [task["instruction"] for task in [*machine, *human]]
    chance.shuffle(instructions)
    return numbered_list(instructions)


def grow(
    known: Iterable[str],
    ask: Callable[[int | None], Iterable[Raw]],
    rows: int,
    report: Callable[[int], None],
    *,
    step: str,
) -> Iterator[Raw]:
    """Candidates for the pool, until so many were made: each with the reason `reject`, or None.

    A candidate has its `instruction`, `most_similar` and `similarity`, and the `unsuitable_word`
    for which it is rejected. A request without an answer to use is rejected whole and counts for
    none. What the last round gives beyond `rows` is rejected as surplus: no more is asked about it.

    Args:
        known: The instructions that the pool starts with.
        ask: Sends one round of requests, each to continue a list, and gives the raw rows. It gets
            how many are enough by what those before gave, None where nothing is known. It is called
            when all candidates of the round before were taken.
        rows: How many candidates to make.
        report: Gets the number of candidates after each round.
        step: The name of the step that asked.
    """
    texts = list(known)
    pool = InstructionIndex(texts)
    made = asked = empty_rounds = 0
    while made < rows and empty_rounds < _EMPTY_ROUNDS:
        before = made
        for raw in ask(math.ceil((rows - made) * asked / made) if made else None):
            asked += 1
            if "failed" in raw:
                yield raw | {"reject": raw["failed"]}
                continue
            for instruction in parse_list(raw["answer"]):
                call = {f"llm_{step}_call": raw[f"llm_{step}_call"]}
                if made == rows:
                    yield {"instruction": instruction, **call, "reject": "surplus"}
                    continue
                made += 1
                similarity, nearest = pool.most_similar(instruction)
                reason = unsuitable(instruction) or novelty(similarity)
                candidate = {
                    "instruction": instruction,
                    "most_similar": None if nearest is None else texts[nearest],
                    "similarity": similarity,
                    **call,
                }
                if reason is None:
                    pool.add(instruction)
                    texts.append(instruction)
                elif reason == "unsuitable word":
                    candidate["unsuitable_word"] = unsuitable_word(instruction)
                yield candidate | {"reject": reason}
        empty_rounds = 0 if made > before else empty_rounds + 1
        report(made)
