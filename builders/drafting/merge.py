"""Puts the shards of one build together: their answers into one ledger, then the build from it.

What comes out is the single build's draft to the byte, for it is made the same way from the same
answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.drafting.draft import Draft
from builders.drafting.run import LEDGER, BuildSpec, at_work, build_draft, note, noted
from builders.engine.progress import Progress
from builders.errors import InputError
from builders.recipe import Recipe, Settings
from builders.sources.source import Source


def merge(recipe: Recipe, work: Path, folders: Sequence[Path], progress: Progress) -> Draft:
    """The draft of the whole from all shards of a build.

    `folders` are the shards' folders; none given: all below work/<recipe>/shards.

    Raises:
        InputError: A shard is missing, unfinished, or of another build.
    """
    found = sorted(folders or (work / recipe.name / "shards").glob("*-of-*"))
    orders = [_order_of(folder) for folder in found]
    _check(found, orders)
    facts = orders[0]
    order = BuildSpec(
        recipe=recipe,
        settings=Settings(rows=facts["rows"], seed=facts["seed"], options=facts["options"]),
        work=work,
        source=Source(**facts["source"]),
        licence=facts["licence"],
        from_ledger=True,
        judge_reports=facts["judge_reports"],
    )
    with at_work(order) as ledger:
        for folder in found:
            ledger.absorb(folder / LEDGER)
        note(order.home, noted(found[0]))
    return build_draft(order, progress)


def _order_of(folder: Path) -> dict[str, Any]:
    facts = noted(folder)
    if not facts.get("finished"):
        raise InputError(f"the shard in {folder} is not finished; run its `potstill build` again")
    return {**facts["order"], "teachers": facts["teachers"]}


def _check(folders: Sequence[Path], orders: Sequence[dict[str, Any]]) -> None:
    if not orders:
        raise InputError("there is no shard; run `potstill build NAME --shard 1/2` and so on first")
    shards = [tuple(order.pop("shard")) for order in orders]
    parts = shards[0][1]
    for folder, order in zip(folders, orders, strict=True):
        differing = [name for name in order if order[name] != orders[0][name]]
        if differing:
            raise InputError(
                f"{folder} is a shard of another build than {folders[0]}: {differing[0]} is "
                f"{order[differing[0]]!r}, not {orders[0][differing[0]]!r}"
            )
    for folder, (part, whole) in zip(folders, shards, strict=True):
        if whole != parts:
            raise InputError(
                f"{folder} is shard {part}/{whole}, {folders[0]} one of {parts}; name the folders "
                "of one division"
            )
    if missing := sorted({(part, parts) for part in range(1, parts + 1)} - set(shards)):
        wanted = ", ".join(f"{part}/{whole}" for part, whole in missing)
        raise InputError(f"of {parts} shards {wanted} is missing; build it, or name its folder")
