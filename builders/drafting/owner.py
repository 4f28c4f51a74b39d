"""Which set a folder of drafts belongs to: two sets share no draft, no ledger and no budget."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.drafting.build_spec import BuildSpec
from builders.drafting.files import canonical_json
from builders.durable import durably_rename
from builders.errors import InputError

OWNER = "set.json"


def claim_folder(spec: BuildSpec) -> None:
    """Note in the folder of a build which set it belongs to.

    A set whose file is gone, as it was renamed or moved, gives its folder up.

    Raises:
        InputError: It belongs to another set.
    """
    folder = spec.work / spec.set.name
    ours = {"file": _file(spec, folder), "recipe": spec.recipe.name}
    path = folder / OWNER
    try:
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        before = {}
    if before == ours:
        return
    if before and (before["file"] is None or _is_there(before["file"], folder)):
        raise InputError(f"{folder} has the drafts of {_shown(before)}; {_way_on(spec)}")
    new = folder / f".{OWNER}"
    new.write_text(canonical_json(ours), encoding="utf-8")
    durably_rename(new, path)


def _file(spec: BuildSpec, folder: Path) -> str | None:
    """The set's file as it is found from its folder; that of one that ships by its name alone."""
    file = spec.set.file
    if file is None:
        return spec.set.released.shown if spec.set.released else None
    if spec.set.ships:
        return f"cards/{file.name}"
    return os.path.relpath(file.resolve(), folder.resolve())


def _is_there(file: str, folder: Path) -> bool:
    return file.startswith("cards/") or not file.endswith(".md") or (folder / file).exists()


def _shown(owner: dict[str, Any]) -> str:
    if owner["file"] is None:
        return f"a set without a file, of the recipe {owner['recipe']}"
    if owner["file"].startswith("cards/"):
        return f"the set {Path(owner['file']).stem} that ships"
    return f"another set, {owner['file']}"


def _way_on(spec: BuildSpec) -> str:
    if spec.set.released or (spec.set.file and not spec.set.ships):
        return "rename one of the two files, or give another folder with --work"
    command = new_command(spec.declared)
    return f"make yours a set with a file, `{command}`, or give another folder with --work"


def new_command(record: Mapping[str, Any], place: str | None = None) -> str:
    """The command that writes a file for a set without one, from what its draft records of it.

    Args:
        record: What is recorded of the set; of an absolute path it has the name alone.
        place: The source as it was given, if that is known.
    """
    declared = record["declaration"]
    words = ["potstill", "new", f"my-{record['name'].replace('_', '-')}"]
    words += ["--recipe", declared["recipe"]]
    for flag in ("prompts", "seeds"):
        source = declared.get(flag, {})
        if "place" in source:
            words += [f"--{flag}", place or source["place"]]
        for key in ("column", "license"):
            words += [f"--{key}", source[key]] if key in source else []
    return shlex.join(words)
