"""What a draft and a release record of the set that they were made by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builders.drafting.build_spec import Choices
from builders.engine.addresses import shown_address
from builders.engine.teacher import EMBEDDED_FILE
from builders.set_file import Declaration
from builders.sets import Set

FILES = (EMBEDDED_FILE, "scripted:")  # what comes before the path of a teacher's file
# What of a declaration decides on the rows of a draft; the rest may change without another draft.
_DECIDES = {"recipe", "prompts", "seeds", "rows", "keep", "seed", "options", "teachers"}


def set_record(a_set: Set, merged: Declaration, given: Choices) -> dict[str, Any]:
    """What a draft and a release record of the set: no path of this machine and no secret."""
    declared = merged.model_dump(mode="json", include=_DECIDES, exclude_defaults=True)
    if Path(declared["recipe"]).suffix == ".py":
        declared["recipe"] = f"./{_public_path(declared['recipe'], a_set.folder)}"
    if source := declared.get(a_set.recipe.seeds.flag):
        source["place"] = _public_path(source.get("place"), a_set.folder)
    for option in a_set.recipe.options:
        if option.file and option.name in declared.get("options", {}):
            path = _public_path(declared["options"][option.name], a_set.folder)
            declared["options"][option.name] = path
    for one in (one for some in declared.get("teachers", {}).values() for one in some):
        kind, colon, file = one["place"].partition(":")
        is_file = f"{kind}{colon}" in FILES
        public = f"{kind}:{_public_path(file, a_set.folder)}" if is_file else None
        one["place"] = public or shown_address(one["place"])
    return {
        "name": a_set.name,
        "ad_hoc": a_set.ad_hoc,
        "declaration": declared,
        "overridden": [] if a_set.ad_hoc else sorted(_overridden(a_set, given)),
    }


def _public_path(place: str | None, folder: Path) -> str | None:
    """A path as the set's file would give it, or only its name where it leads out of the folder."""
    if not place or not Path(place).exists():
        return place and (Path(place).name if Path(place).is_absolute() else place)
    inside = os.path.relpath(place, folder)
    return Path(place).name if inside.startswith("..") else inside


def _overridden(a_set: Set, given: Choices) -> Iterator[str]:
    """The keys of a set's file in whose place something else was chosen for the build."""
    declared = a_set.declaration
    for name in ("rows", "keep", "seed"):
        if getattr(given, name) not in (None, getattr(declared, name)):
            yield name
    if any(given.source.values()) or given.licence:
        yield a_set.recipe.seeds.flag
    yield from (
        f"options.{name}"
        for name, value in given.options.items()
        if value != declared.options.get(name)
    )
    more = (given.teachers, given.usual.model, given.parameters, given.trusted, given.licences)
    if any(more):
        yield "teachers"


def with_recorded_teachers(record: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a build that asks no teacher: with those that the recording build declared."""
    before = order.get("set", {"declaration": {}, "overridden": []})
    declared = {**record["declaration"]}
    declared.pop("teachers", None)
    if "teachers" in before["declaration"]:
        declared["teachers"] = before["declaration"]["teachers"]
    names = {*record["overridden"]} - {"teachers"} | {*before["overridden"]} & {"teachers"}
    return {**record, "declaration": declared, "overridden": sorted(names)}
