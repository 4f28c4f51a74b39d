"""Which set a folder of drafts belongs to: two sets share no draft, no ledger and no budget."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builders.drafting.files import canonical_json
from builders.drafting.notes import NOTES, read_notes
from builders.durable import durably_rename
from builders.errors import InputError
from builders.recipe_loading import recipe_names
from builders.sets import Set, ad_hoc
from builders.sources.source import absolute_place

OWNER = "set.json"
_SHIPPED = "cards/"


class Owner(NamedTuple):
    """A set as the folder of its drafts knows it.

    `file` is its file as it is found from the folder, that of one that ships after `cards/`, or the
    release that declares it; None for a set without a file, which its `recipe` names alone.
    """

    file: str | None
    recipe: str

    def is_there(self, folder: Path) -> bool:
        """Whether the set can still be built, so that its folder is not free."""
        file = self.file or _SHIPPED
        return file.startswith(_SHIPPED) or not file.endswith(".md") or (folder / file).exists()

    def shown(self, folder: Path) -> str:
        """In the words of an error, its file as it is found from here."""
        if self.file is None:
            return f"a set without a file, of the recipe {self.recipe}"
        if self.file.startswith(_SHIPPED):
            return f"the set {Path(self.file).stem} that ships"
        local = folder / self.file
        here = os.path.relpath(local) if self.file.endswith(".md") or local.is_dir() else self.file
        kind = "another set," if self.file.endswith(".md") else "a release, --from"
        return f"{kind} {here}"


def claim_folder(a_set: Set, folder: Path, record: Mapping[str, Any]) -> None:
    """Note in the folder of a set's drafts that they are of this set.

    A set whose file is gone, as it was renamed or moved, gives its folder up.

    Args:
        a_set: The set.
        folder: The folder.
        record: What a draft records of the set, for the way on.

    Raises:
        InputError: It belongs to another set.
    """
    ours, before = _owner_of(a_set, folder), _owner_in(folder)
    if before == ours:
        return
    if before and not _same(before, ours) and before.is_there(folder):
        way = "rename one of the two, or give another folder with --work"
        if a_set.released:
            command = f"potstill new NAME --from {shlex.quote(a_set.released.shown)}"
            way = f"make yours a set with a name, `{command}`, or give another folder with --work"
        elif ours.file is None or a_set.ships:
            command = new_command(record)
            way = f"make yours a set with a file, `{command}`, or give another folder with --work"
        raise InputError(f"{folder} has the drafts of {before.shown(folder)}; {way}")
    new = folder / f".{OWNER}"
    new.write_text(canonical_json(ours._asdict()), encoding="utf-8")
    durably_rename(new, folder / OWNER)


def check_renamed(a_set: Set, work: Path, place: str) -> None:
    """Check that a set's file was not renamed without its folder, whose answers cost something.

    Args:
        a_set: The set, by its name now.
        work: The folder of all drafts.
        place: Where the source of its build is.

    Raises:
        InputError: With the command that renames the folder too.
    """
    home = work / a_set.name
    if a_set.file is None or a_set.ships or home.exists():
        return
    recipe, found = _owner_of(a_set, home).recipe, dict[Path, str]()
    for folder in work.glob("*/"):
        before = _owner_in(folder)
        is_left = before and before.file and before.recipe == recipe and not before.is_there(folder)
        if is_left and _source_of(folder) == absolute_place(place):
            found[folder] = os.path.relpath(folder / str(before and before.file))
    if found:
        latest = max(found, key=lambda folder: (folder / NOTES).stat().st_mtime)
        command = shlex.join(["mv", str(latest), str(home)])
        raise InputError(
            f"{latest} was made from {found[latest]}, which is gone; if {a_set.file.name} is that "
            f"file by another name, `{command}` keeps its answers; if not, give another folder "
            "with --work, or remove that one"
        )


def _source_of(folder: Path) -> str | None:
    """Where the source of the last build in a folder is."""
    try:
        place = read_notes(folder)["order"]["source"]["place"]
    except (InputError, OSError, KeyError, TypeError):
        return None
    return str(place)


def set_of_drafts(a_set: Set, folder: Path) -> Set:
    """The set whose drafts a folder has: this one, or that of its recipe without a file.

    Raises:
        InputError: They are of another set.
    """
    ours, before = _owner_of(a_set, folder), _owner_in(folder)
    if before is None or _same(before, ours):
        return a_set
    if before.file is None and a_set.ships and before.recipe == ours.recipe:
        return ad_hoc(a_set.recipe)
    raise InputError(
        f"{folder} has the drafts of {before.shown(folder)}; name that one, or the folder of this "
        "one with --work"
    )


def _same(one: Owner, other: Owner) -> bool:
    """Whether two are one set: a file stays the same set by another recipe."""
    return one.file == other.file and (one.file is not None or one.recipe == other.recipe)


def _owner_of(a_set: Set, folder: Path) -> Owner:
    recipe, file = a_set.recipe.name, a_set.file
    if a_set.recipe.file is not None and recipe not in recipe_names():
        recipe = os.path.relpath(a_set.recipe.file.resolve(), folder.resolve())
    if file is None:
        shown = a_set.released.shown if a_set.released else None
        if shown is not None and Path(shown).is_dir():
            shown = os.path.relpath(Path(shown).resolve(), folder.resolve())
        return Owner(shown, recipe)
    if a_set.ships:
        return Owner(f"{_SHIPPED}{file.name}", recipe)
    return Owner(os.path.relpath(file.resolve(), folder.resolve()), recipe)


def _owner_in(folder: Path) -> Owner | None:
    """The owner that a folder notes; None where it notes none, or the note is damaged."""
    try:
        facts = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        found = Owner(facts["file"], facts["recipe"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    fits = isinstance(found.file, str | None) and isinstance(found.recipe, str)
    return found if fits else None


def new_command(record: Mapping[str, Any], place: str | None = None) -> str:
    """The command that writes a file for a set without one, from what is declared of it.

    `place` is where its source is found from here, which a record may not hold.
    """
    declared = record["declaration"]
    words = ["potstill", "new", f"my-{record['name'].replace('_', '-')}"]
    words += ["--recipe", declared["recipe"]]
    for flag in ("prompts", "seeds"):
        source = dict(declared.get(flag, {}))
        if source.get("place"):
            source["place"] = place or source["place"]
        for name in ("place", "column", "license"):
            if value := source.get(name):
                words += [f"--{flag if name == 'place' else name}", value]
    roles = {
        role: [_word(one) for one in some] for role, some in declared.get("teachers", {}).items()
    }
    if len({*map(tuple, roles.values())}) == 1:
        roles = {"": next(iter(roles.values()))}
    for role, some in roles.items():
        words += [f"--teacher={role}={who}" if role else f"--teacher={who}" for who in some]
    if "rows" in declared:
        words += ["--rows", str(declared["rows"])]
    return shlex.join(word for word in words if word != "--teacher=embedded")


def _word(teacher: Mapping[str, Any]) -> str:
    model = teacher.get("model")
    return f"{teacher['place']}#{model}" if model else str(teacher["place"])
