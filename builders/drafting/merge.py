"""Joins the shards of one build: their answers in one ledger, then the build from that ledger.

The draft has the bytes of an unsharded build, because it is made in the same way from the same
answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders.drafting.build_spec import LEDGER, BuildSpec, Choices
from builders.drafting.choices import build_spec
from builders.drafting.draft import Draft
from builders.drafting.notes import learned_before, read_notes, write_notes
from builders.drafting.run import build_draft, open_build
from builders.engine.progress import Progress
from builders.errors import InputError, shortened
from builders.recipe import Settings
from builders.sets import Set, ad_hoc
from builders.sources.source import Source


def merge(a_set: Set, work: Path, folders: Sequence[Path], progress: Progress) -> Draft:
    """The draft of the whole build of a set.

    `folders` are those of its shards; without any, all below work/<set>/shards are merged.

    Raises:
        InputError: A shard is missing, unfinished, or of another build.
    """
    found = sorted(folders or (work / a_set.name / "shards").glob("*-of-*"))
    shards = [_shard_facts(folder) for folder in found]
    _check(found, shards)
    facts, own = shards[0], build_spec(a_set, Choices()).source
    source = Source(**facts["source"])
    if own and Path(source.place).is_absolute() and not Path(source.place).exists():
        source = replace(source, place=own.place)  # a shard of another machine
    spec = BuildSpec(
        set=ad_hoc(a_set.recipe) if facts["set"]["ad_hoc"] else a_set,
        declared=facts["set"],
        settings=Settings(rows=facts["rows"], seed=facts["seed"], options=facts["options"]),
        work=work,
        source=source,
        licence=facts["licence"],
        written_by=facts["written_by"],
        from_ledger=True,
        default_rows=facts["default_rows"],
        judge_reports=facts["judge_reports"],
        contributed=facts.get("contributed", ()),
    )
    with open_build(spec) as ledger:
        for folder in found:
            ledger.absorb(folder / LEDGER)
        learned = {who: has for folder in found for who, has in learned_before(folder).items()}
        write_notes(spec.home, {**read_notes(found[0]), "learned": learned})
    return build_draft(spec, progress)


def _shard_facts(folder: Path) -> dict[str, Any]:
    notes = read_notes(folder)
    if not notes.get("finished"):
        raise InputError(f"the shard in {folder} is not finished; run its `potstill build` again")
    if not (folder / LEDGER).exists():
        raise InputError(
            f"the shard in {folder} has no {LEDGER}; copy it from where the shard was built"
        )
    return {**notes["order"], "teachers": notes["teachers"]}


def _difference(facts: Mapping[str, Any], others: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The name and both values of a fact that differs, a plain one if there is one."""
    inner = None
    for name in {**others, **facts}:
        one, other = facts.get(name), others.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if found := _difference(one, other):
                inner = inner or (f"{name}.{found[0]}", *found[1:])
        elif one != other:
            return name, one, other
    return inner


def _check(folders: Sequence[Path], shards: Sequence[dict[str, Any]]) -> None:
    if not shards:
        raise InputError("there is no shard; run `potstill build NAME --shard 1/2` and so on first")
    places = [tuple(facts.pop("shard")) for facts in shards]
    for folder, facts in zip(folders, shards, strict=True):
        first, own = (
            {**one, "source": {**one["source"], "place": ""}} for one in (shards[0], facts)
        )
        if differing := _difference(own, first):
            name, value, other = differing
            raise InputError(
                f"{folder} is a shard of another build than {folders[0]}: {name} is "
                f"{shortened(value)}, not {shortened(other)}"
            )
    parts = places[0][1]
    for folder, (part, of) in zip(folders, places, strict=True):
        if of != parts:
            raise InputError(
                f"{folder} is shard {part}/{of}, {folders[0]} is one of {parts}; name the folders "
                "of one division"
            )
    if missing := sorted({(part, parts) for part in range(1, parts + 1)} - {*places}):
        named = ", ".join(f"{part}/{of}" for part, of in missing)
        raise InputError(f"of {parts} shards {named} is missing; build it, or name its folder")
