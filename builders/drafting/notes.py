"""The notes beside a ledger: which build it is of, who answered, what endpoints refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builders.drafting.files import canonical_json, read_json
from builders.durable import durably_rename
from builders.engine.pool import TeacherPool
from builders.errors import FolderError, InputError, folder_error

NOTES = "build.json"


@contextmanager
def what_was_learned(home: Path, teachers: TeacherPool, notes: dict[str, Any]) -> Iterator[None]:
    """Writes the notes of a build before it, and after it where they changed meanwhile.

    The next build knows what its endpoints refused, so that the lineage is the same though it sends
    no request.
    """
    learned = notes["learned"] = learned_before(home)
    for one in teachers:
        one.learned |= learned.get(f"{one.name} {one.model}", {})
    write_notes(home, notes)
    before = canonical_json(notes)
    try:
        yield
    finally:
        now = {f"{one.name} {one.model}": one.learned for one in teachers if one.learned}
        notes["learned"] = learned | now
        if canonical_json(notes) != before:
            write_notes(home, notes)


def learned_before(home: Path) -> dict[str, dict[str, str]]:
    """What the endpoints of a build have refused so far, by address and model.

    Nothing where its notes are missing or torn: then it is learned again.
    """
    try:
        return dict(read_notes(home).get("learned", {}))
    except InputError:
        return {}


def write_notes(home: Path, notes: Mapping[str, Any]) -> None:
    """Write beside a ledger which build it belongs to, and whose answers it holds.

    Raises:
        FolderError: No room or no permission; earlier notes are unchanged.
    """
    new = home / f".{NOTES}"
    if (home / NOTES).is_dir():
        raise FolderError(f"{home / NOTES} is a folder, no file; move it away and build again")
    try:
        new.write_text(canonical_json(notes), encoding="utf-8")
        durably_rename(new, home / NOTES)
    except OSError as error:
        raise folder_error(error, home) from None


def read_notes(home: Path) -> dict[str, Any]:
    """The notes beside a ledger.

    Raises:
        InputError: No build was ever started there, or they are torn.
    """
    try:
        return read_json(home / NOTES, "teachers", "order")
    except FileNotFoundError:
        raise InputError(
            f"{home} {'holds no build' if home.is_dir() else 'is not there'}; build with a teacher "
            "first, or name the right folder"
        ) from None
