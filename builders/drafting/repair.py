"""Repairs the ledgers of a set: its own, and those of its shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builders.drafting.build_spec import LEDGER
from builders.drafting.notes import read_notes
from builders.engine.ledger_format import ledger_exists
from builders.engine.ledger_repair import Names, repair
from builders.errors import InputError, folder_error
from builders.file_lock import folder_lock


def repair_ledgers(home: Path) -> dict[str, dict[str, Any] | None]:
    """What `ledger_repair.repair` did to each ledger below a set's folder, by its path there.

    Raises:
        InputError: There is none, or a build uses one.
        FolderError: One holds nothing that can be read, or the disk fails.
    """
    places = [home / LEDGER, *(shard / LEDGER for shard in sorted(home.glob("shards/*")))]
    ledgers = [path for path in places if ledger_exists(path)]
    if not ledgers:
        raise InputError(f"there is no ledger in {home}; name another folder with --work")
    return {str(path.relative_to(home)): _repaired(path) for path in ledgers}


def _repaired(path: Path) -> dict[str, Any] | None:
    try:
        with folder_lock(path.parent):
            return repair(path, list(_teachers(path.parent)))
    except OSError as error:
        raise folder_error(error, path.parent) from None


def _teachers(home: Path) -> Iterator[Names]:
    """The teachers in the notes beside a ledger; none where these are missing or torn."""
    try:
        teachers = read_notes(home)["teachers"]
    except InputError:
        return
    for role, many in {"teacher": teachers["every"], **teachers["roles"]}.items():
        for one in many:
            yield role, one["name"], one["model"], one["revision"]
