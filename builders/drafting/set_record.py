"""What a draft and a release record of the set that they were made by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.drafting.files import canonical_json
from builders.engine.addresses import shown_address
from builders.engine.teacher import EMBEDDED_FILE
from builders.recipe import SEED
from builders.schema import Row
from builders.set_file import Declaration, TeacherDeclaration
from builders.sets import Set
from builders.sources.source import shown_name

Teachers = Mapping[str, Sequence[TeacherDeclaration]]  # by role, those of all under ''
FILES = (EMBEDDED_FILE, "scripted:")  # what comes before the path of a teacher's file
# What of a declaration decides on the rows and the costs of a draft; the rest may change without
# another one.
_ROWS = ("recipe", "prompts", "seeds", "rows", "keep", "seed", "options", "teachers")
LICENSED = ("prompts", "seeds", "teachers")
LICENSE = "license"
_DECIDES: dict[str, Any] = {**dict.fromkeys(_ROWS, True), "budget": {"price"}}


def by_name(teachers: Teachers) -> Iterator[tuple[str, TeacherDeclaration]]:
    """Each teacher with its name: its role, or `writer_1`, `writer_2` where several share one."""
    for role, some in teachers.items():
        for number, one in enumerate(some, 1):
            yield (role if len(some) == 1 else f"{role}_{number}"), one


def file_with_digest(place: str | Path, rows: Sequence[Row] = ()) -> str:
    """A file's name and its sha256; where it has rows, as a set has them too, that of those."""
    content = canonical_json(rows).encode() if rows else b""
    if not rows and Path(place).is_file():
        content = Path(place).read_bytes()
    return f"{shown_name(str(place))}, sha256:{hashlib.sha256(content).hexdigest()}"


def set_record(
    a_set: Set, merged: Declaration, alone: Declaration, files: Mapping[str, str]
) -> dict[str, Any]:
    """What a draft and a release record of the set: no path of this machine and no secret.

    Args:
        a_set: The set.
        merged: Its declaration with what was chosen for the build, every role named.
        alone: The same without anything chosen, to record what was overridden.
        files: The files that were given for the build, by flag, each with its digest.
    """
    declared, before = declared_of(a_set, merged), declared_of(a_set, alone)
    overridden = set[str]()
    if not a_set.ad_hoc:
        overridden |= {*(a_set.released.overridden if a_set.released else ())}
        overridden |= {*differing(before, declared)}
    return {
        "name": a_set.name,
        "ad_hoc": a_set.ad_hoc,
        "declaration": declared,
        "overridden": sorted(overridden),
        **({"files": {**files}} if files else {}),
    }


def declared_of(a_set: Set, whole: Declaration) -> dict[str, Any]:
    """What decides on the rows, without what is as it would be anyway, its paths public."""
    written = _written(a_set)
    declared = whole.model_dump(mode="json", include=_DECIDES, exclude_defaults=True)
    if not declared.get("budget"):
        declared.pop("budget", None)
    declared["recipe"] = _public(declared["recipe"], a_set.folder, written)
    if source := declared.get(a_set.recipe.seeds.flag):
        source["place"] = _public(source.get("place"), a_set.folder, written)
        if source == {"place": None}:
            del declared[a_set.recipe.seeds.flag]
    if declared.get("seed") == SEED:
        del declared["seed"]
    options, known = declared.pop("options", {}), {one.name: one for one in a_set.recipe.options}
    options = {name: value for name, value in options.items() if value != known[name].default}
    for name in options:
        if known[name].file:
            options[name] = _public(options[name], a_set.folder, written)
    if options:
        declared["options"] = options
    for one in (one for some in declared["teachers"].values() for one in some):
        kind, colon, file = one["place"].partition(":")
        is_file = f"{kind}{colon}" in FILES
        public = f"{kind}:{_public(file, a_set.folder, written)}" if is_file else None
        one["place"] = public or shown_address(one["place"])
    return dict(sorted(declared.items()))


def _written(a_set: Set) -> dict[str, str]:
    """The relative paths in a set's file, by the path from here that each leads to."""
    declared = a_set.declaration
    places = [part.place for part in (declared.prompts, declared.seeds) if part and part.place]
    places += [one.place.partition(":")[2] for some in declared.teachers.values() for one in some]
    places += [value for value in declared.options.values() if isinstance(value, str)]
    return {str(a_set.folder / place): place for place in places if not Path(place).is_absolute()}


def _public(place: Any, folder: Path, written: Mapping[str, str]) -> Any:
    """A path as the set's file has it, or from its folder, or its name where that is elsewhere."""
    if not isinstance(place, str) or place in written:
        return written.get(place, place)
    if not Path(place).exists() and not Path(place).is_absolute():
        return place
    inside = os.path.relpath(place, folder)
    is_recipe = "./" if Path(place).suffix == ".py" else ""
    return is_recipe + (Path(place).name if inside.startswith("..") else inside)


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The keys of two declarations that differ, and only the licence where that is all."""
    for name in sorted({*before, *now}):
        one, other = (declared.get(name) or {} for declared in (before, now))
        if name == "options":
            options = sorted({*one, *other})
            yield from (f"options.{key}" for key in options if one.get(key) != other.get(key))
        elif name in LICENSED and one != other and _unlicensed(one) == _unlicensed(other):
            yield f"{name}.{LICENSE}"
        elif one != other:
            yield name


def _unlicensed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _unlicensed(part) for name, part in value.items() if name != LICENSE}
    return [*map(_unlicensed, value)] if isinstance(value, list) else value


def with_recorded_teachers(record: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a build that asks no teacher: teachers and price are of the recording one."""
    before = order.get("set", {"declaration": {}, "overridden": []})
    asked = {"teachers", "budget"}
    declared = {name: one for name, one in record["declaration"].items() if name not in asked}
    declared |= {name: one for name, one in before["declaration"].items() if name in asked}
    names = {*record["overridden"]} - asked | {*before["overridden"]} & asked
    declared = dict(sorted(declared.items()))
    return {**record, "declaration": declared, "overridden": sorted(names)}
