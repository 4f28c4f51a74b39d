"""Reasons to drop an instruction for its wording, or an instance beside its siblings.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560, and its code; Alpaca's longer list.
"""

from __future__ import annotations

import random
import re
import string
from collections import defaultdict
from collections.abc import Sequence

from builders.instructions.task_text import parse_instances
from builders.recipe import Raw

MOST_INSTANCES = 5

BLACKLIST = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files"),
    *("map", "maps", "draw", "plot", "go to"),
)
ALPACA_BLACKLIST = (*BLACKLIST, "video", "audio", "music", "flowchart", "diagram")


def unsuitable(instruction: str, blacklist: Sequence[str] = BLACKLIST) -> str | None:
    """The first of the paper's heuristics that an instruction fails, in the paper's order."""
    words = instruction.split()
    if len(words) <= 3:
        return "too short"
    if len(words) > 150:
        return "too long"
    if unsuitable_word(instruction, blacklist):
        return "unsuitable word"
    if instruction.lower().startswith("write a program"):
        return "program"
    if instruction[0] in string.punctuation:
        return "punctuation"
    if not instruction[0].isascii():
        return "not ascii"
    return None


def unsuitable_word(instruction: str, blacklist: Sequence[str] = BLACKLIST) -> str | None:
    """The first word of the list that an instruction holds, as it is written there."""
    found = (re.search(rf"\b{word}\b", instruction, re.IGNORECASE) for word in blacklist)
    return next((one[0] for one in found if one), None)


def instances_of(raw: Raw, step: str, chance: random.Random) -> list[Raw]:
    """One row for each instance in a row's `answer`, with `input`, `output` and `reject`.

    `reject` is the reason to drop it, or None; an answer without an instance is one row. The step
    is `output_first` where the teacher was asked to name the label before its input.
    """
    pairs = parse_instances(raw["answer"], output_first=step == "output_first")
    faults = instance_faults(pairs, chance=chance)
    rows = [
        raw | {"reject": fault, "input": given, "output": output}
        for (given, output), fault in zip(pairs, faults, strict=True)
    ]
    return rows or [raw | {"reject": "no instance"}]


def instance_faults(pairs: Sequence[tuple[str, str]], *, chance: random.Random) -> list[str | None]:
    """For each instance of one instruction the reason to drop it, in the paper's order, or None."""
    reasons: list[str | None] = [_fault(given, output) for given, output in pairs]
    outputs: dict[str, set[str]] = defaultdict(set)
    for (given, output), reason in zip(pairs, reasons, strict=True):
        if given and reason is None:
            outputs[given].add(output)
    contradicted = any(len(answers) > 1 for answers in outputs.values())
    seen: set[tuple[str, str]] = set()
    for place, pair in enumerate(pairs):
        if reasons[place] is None:
            if contradicted:
                reasons[place] = "contradiction"
            elif pair in seen:
                reasons[place] = "duplicate"
            seen.add(pair)
    good = [place for place, reason in enumerate(reasons) if reason is None]
    for place in set(good) - set(chance.sample(good, min(MOST_INSTANCES, len(good)))):
        reasons[place] = "surplus"
    return reasons


def _fault(given: str, output: str) -> str | None:
    if given == output:
        return "echo"
    if not output:
        return "empty output"
    if given.endswith(":") or output.endswith(":"):
        return "unfinished"
    return None
