"""What is not as a release had it that is built again; its teachers are those of strangers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from builders.drafting.build_spec import Choices
from builders.drafting.lineage import code_digest
from builders.drafting.set_record import Teachers, by_name
from builders.engine.addresses import is_address, shown_address
from builders.engine.pool import split_role
from builders.errors import InputError
from builders.recipe import at_home
from builders.set_file import TeacherDeclaration
from builders.sets import Released, Set

_SCRIPTED = "scripted:"
_GIVEN_FOR = {"judge-report": "card", "prices": "costs", "contributed": "rows"}  # by flag


def since_release(a_set: Set, teachers: Teachers, given: Choices) -> Iterator[str]:
    """Lines about what differs from the release of a set, and about whom it asks.

    Args:
        a_set: The set; one that no release declares gives no lines.
        teachers: Those of the build, by role.
        given: What the user chose, so what no stranger did.

    Raises:
        InputError: The release names a script, which is code, or a file that is not as it was.
    """
    if (released := a_set.released) is None:
        return
    if released.code != code_digest(a_set.recipe):
        yield f"the code of {a_set.recipe.name} is not that of {released.shown}"
    _check_files(a_set, released, given)
    yield from _about_given(released, files_of_build(a_set, given))
    if given.from_ledger:
        return
    own = {split_role(word)[1].partition("#")[0] for word in given.teachers}
    for name, one in by_name(teachers):
        if one.place.startswith(_SCRIPTED):
            yield from _about_script(released, name, one, own)
        elif is_address(one.place) and one.place not in own:
            role = re.sub(r"_[0-9]+$", "", name)
            yield f"asking {shown_address(one.place)} as {role}, as {released.shown} declares"


def _about_script(
    released: Released, role: str, one: TeacherDeclaration, own: set[str]
) -> Iterator[str]:
    if one.place not in own:
        raise InputError(
            f"{released.shown} names the script {one.place!r} as {role}, and no script that a "
            f"release names is run; look at it, and give it: --teacher {one.place}"
        )
    path, before = Path(one.place.removeprefix(_SCRIPTED)), released.teachers.get(role)
    if path.is_file() and before != f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}":
        yield f"the script {path.name} of {role} is not that of {released.shown}"


def _check_files(a_set: Set, released: Released, given: Choices) -> None:
    """Raise InputError where a file that a release names has another content than it had."""
    for option in a_set.recipe.options:
        place = a_set.declaration.options.get(option.name, option.default)
        if not option.file or option.name in given.options or place == option.default:
            continue
        path = at_home(place)
        found = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else ""
        if found != released.files.get(option.name):
            flag = f"--{option.name.replace('_', '-')}"
            raise InputError(
                f"{place} is not what {released.shown} was made with; put the right one there, or "
                f"choose another with {flag}"
            )


def files_of_build(a_set: Set, given: Choices) -> dict[str, str]:
    """The files that were given for a build, by flag, each with its digest.

    One that a release was made with has the name that it has there.
    """
    files = {**given.files}
    if prices := given.run_limits.prices:
        files["prices"] = prices.file
    known = a_set.released.given if a_set.released else {}
    before = {one.rpartition(", ")[2]: one for one in known.values()}
    return {flag: before.get(one.rpartition(", ")[2], one) for flag, one in files.items()}


def _about_given(released: Released, files: Mapping[str, str]) -> Iterator[str]:
    """Lines about the files that a release was made with, where they are not given again."""
    for flag, use in _GIVEN_FOR.items():
        before, now = released.given.get(flag), files.get(flag)
        if before and before != now:
            what = f"with --{flag}, {before}"
            if flag == "contributed":
                what = f"with the rows that people gave: --contributed {released.shown}"
            yield f"{released.shown} was made {what}; the {use} are the same only with that"
