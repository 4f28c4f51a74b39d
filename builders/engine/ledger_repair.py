"""Saves what can be read of a damaged ledger: every answer whose checksum is right.

Rows are read page by page, so that a damaged page, header or index hides none of another page.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from builders.durable import durably_rename, sync
from builders.engine.calls import Call
from builders.engine.ledger_format import (
    FAILURE_READABLE,
    READABLE,
    check_format,
    connected,
    create,
    ledger_exists,
    packed_names,
    problem,
    sound,
    unpacked,
)
from builders.engine.sqlite_rows import Pages
from builders.errors import FolderError

Names = Sequence[str | None]  # of a teacher: role, endpoint, model, revision


def repair(path: Path, known: Iterable[Names]) -> dict[str, Any] | None:
    """Put a whole ledger with all that can be read in the place of a damaged one.

    The damaged file stays beside it. `known` are teachers that may be named in it, for answers
    whose teacher's name is damaged. Returns the numbers of `answers` and `failures` that it has, of
    `lost` answers, as far as there is a trace of them, whether that is `lost_exactly` and not at
    least that many, and the name of the `damaged` file; None where nothing is damaged and nothing
    was changed.

    Raises:
        FolderError: It holds no answer that can be read, or is of another format, or the disk
            fails; nothing was changed.
    """
    ledger_exists(path)
    new = path.with_name(f".{path.name}.repaired")
    parts = [new, *(new.with_name(f"{new.name}{end}") for end in ("-wal", "-shm"))]
    try:
        pages = Pages(path)
        check_format(path, application=pages.number(68), version=pages.number(60))
        if _is_whole(path):
            return None
        for part in parts:
            part.unlink(missing_ok=True)
        create(new)
        with contextlib.closing(connected(new)) as connection:
            connection.executescript("PRAGMA synchronous = OFF; BEGIN")
            facts = _saved(pages, connection, known)
            connection.execute("COMMIT")
        if not facts["answers"]:
            raise FolderError(f"{path} holds no answer that can be read; move it away, build again")
        return facts | {"damaged": _swapped(path, new).name}
    except sqlite3.Error as error:
        raise problem(new, error) from None
    except OSError as error:
        raise FolderError(
            f"cannot repair {path} ({error.strerror or error}); make room, or copy it elsewhere"
        ) from None
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        with contextlib.closing(connected(path)) as connection:
            [checked] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            unsound = (
                f"SELECT (SELECT count(*) FROM answers WHERE NOT ({READABLE})) + "  # noqa: S608
                f"(SELECT count(*) FROM failures WHERE NOT ({FAILURE_READABLE})) + "
                "(SELECT count(*) FROM teachers WHERE NOT sound(x'', who))"
            )
            return bool(checked == "ok" and connection.execute(unsound).fetchone() == (0,))
    except (sqlite3.Error, FolderError):
        return False


def _saved(pages: Pages, into: sqlite3.Connection, known: Iterable[Names]) -> dict[str, Any]:
    """Copy what can be read; return how much that is."""
    columns = {
        table: [name for (name,) in into.execute("SELECT name FROM pragma_table_info(?)", [table])]
        for table in ("answers", "failures", "teachers")
    }
    teachers: dict[int, bytes] = {}
    failures: list[dict[str, Any]] = []
    found: dict[bytes, tuple[int, int, int]] = {}  # by key: id, page, cell
    torn = set[int]()  # ids of answers that cannot be read
    for page, cell, identity, values in pages.rows():
        answer, failure, teacher = (
            dict(zip(names, values, strict=True)) if len(names) == len(values) else {}
            for names in columns.values()
        )
        if _is_key(answer.get("key")):
            if sound(answer["key"], answer["texts"]):
                found[answer["key"]] = identity, page, cell
            else:
                torn.add(identity)
        elif _is_key(failure.get("key")) and isinstance(failure["message"], str):
            failures.append(failure)
        elif sound(b"", teacher.get("who")):
            teachers[identity] = teacher["who"]
    for entry in pages.entries():
        if len(entry) == 2 and _is_key(entry[0]) and entry[0] not in found:
            torn.add(entry[1])
    names = [*teachers.values(), *(packed_names(*one) for one in known)]
    into.executemany("INSERT OR IGNORE INTO teachers (who) VALUES (?)", [(who,) for who in names])
    numbers = dict(into.execute("SELECT who, id FROM teachers").fetchall())
    for _, page, cell in sorted(found.values()):
        row = dict(zip(columns["answers"], pages.row(page, cell)[1], strict=True))
        who = teachers.get(row["teacher"]) or _teacher_of(row, names)
        if who:
            _insert(into, "answers", row | {"teacher": numbers[who]})
    for row in failures:
        if who := teachers.get(row["teacher"]):
            _insert(into, "failures", row | {"teacher": numbers[who]})
    into.execute(
        "DELETE FROM teachers WHERE id NOT IN "
        "(SELECT teacher FROM answers UNION SELECT teacher FROM failures)"
    )
    saved = {
        table: into.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        for table in ("answers", "failures")
    }
    ids = {identity for identity, _, _ in found.values()}
    answers = max([0, *ids, len(found) + len(torn - ids)])  # none is ever deleted: ids have no gaps
    return saved | {"lost": answers - saved["answers"], "lost_exactly": pages.all_there}


def _is_key(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 32


def _teacher_of(row: dict[str, Any], names: Iterable[bytes]) -> bytes | None:
    """The teacher that makes the row's call one with the row's key."""
    prompt, sampling, schema, sample = unpacked(Path(), row["key"], row["texts"], values=2)[1]
    for who in names:
        role, endpoint, model, revision = unpacked(Path(), b"", who, values=1)[0]
        call = Call(
            role=role,
            endpoint=endpoint,
            model=model,
            revision=revision,
            prompt=prompt,
            sampling=sampling,
            schema=schema,
            sample=sample,
        )
        if call.key == row["key"]:
            return who
    return None


def _insert(into: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert what can be read; the next row has the id of one that cannot."""
    columns = [name for name in row if name != "id"]
    marks = ", ".join("?" for _ in columns)
    with contextlib.suppress(sqlite3.IntegrityError):  # a value that was damaged to NULL
        into.execute(
            f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
            [row[name] for name in columns],
        )
    condition = READABLE if table == "answers" else FAILURE_READABLE
    into.execute(
        f"DELETE FROM {table} WHERE id = last_insert_rowid() AND NOT ({condition})"  # noqa: S608
    )


def _swapped(path: Path, new: Path) -> Path:
    """Keep the damaged ledger and its journal under other names; return the ledger's."""
    number, kept = 1, path.with_name(f"{path.name}.damaged")
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{number}")
    kept.hardlink_to(path)
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists():
        journal.rename(kept.with_name(f"{kept.name}-wal"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    sync(path.parent)
    durably_rename(new, path)
    return kept
