"""What is in a ledger's file: its tables, how texts lie in them, and how one is opened."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Any

from builders.errors import FolderError

_APPLICATION = 0x706F7473  # "pots": tells a ledger from any other SQLite file
_VERSION = 1  # one more where an older program could not read what is written: a new field, too
_BUSY_S = 10.0  # a second writer waits so long for the first one's commit of a few milliseconds
_LARGE = 1024  # bytes, from which on compressing saves more than it costs
_MOST_TOKENS = 10**12  # whatever an endpoint claims, the sum of a million such counts is an int64

_TABLES = """
CREATE TABLE teachers (id INTEGER PRIMARY KEY, who BLOB NOT NULL UNIQUE);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, teacher INTEGER NOT NULL, time REAL NOT NULL,
    input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL,
    attempts INTEGER NOT NULL, hedged INTEGER NOT NULL, texts BLOB NOT NULL
);
CREATE INDEX answers_summed ON answers (teacher, time, input_tokens, output_tokens, cost_usd);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, teacher INTEGER NOT NULL, time REAL NOT NULL,
    cause TEXT NOT NULL, message TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
    UNIQUE (key, time)
);
"""


def create(path: Path) -> None:
    """Make an empty ledger, whole or not at all.

    Raises:
        FolderError: The journal of another ledger lies there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _has_journal(path) and not path.exists():
        raise FolderError(
            f"{path}-wal is there without {path.name}, and answers are in it; put the other back "
            "beside it, or move it away"
        )
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # the whole goes to the disk below
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.executescript(f"BEGIN; {_TABLES} COMMIT; PRAGMA journal_mode = WAL")
        with made.open("rb") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another was quicker, and may be in use
            path.hardlink_to(made)
    finally:
        made.unlink(missing_ok=True)


def _has_journal(path: Path) -> bool:
    journal = path.with_name(path.name + "-wal")
    return journal.exists() and journal.stat().st_size > 0


def connected(path: Path) -> sqlite3.Connection:
    """A connection to what is seen to be a ledger before anything in it changes.

    Raises:
        FolderError: It is none, or one of another format.
        sqlite3.Error: For everything else; `problem` says what it means.
    """
    # A read-only disk has no place for what WAL needs beside the file, and nobody who changes it.
    journal = _has_journal(path)
    still = not journal and not os.access(path.parent, os.W_OK)
    connection = sqlite3.connect(
        path.as_uri() + ("?immutable=1" if still else "?mode=rw"),
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise _foreign(path)
        if version != _VERSION:
            raise FolderError(
                f"{path} is a ledger of format {version}, this potstill reads format {_VERSION}; "
                "use the potstill that wrote it, or name another folder"
            )
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size % page_bytes and not journal:  # with one, the rest is there
            raise _damaged(path, "its end")
        # NORMAL would outlive a kill, but not the power; FULL takes 3 to 9 us of CPU more a call.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("SELECT max(id) FROM answers").fetchall()  # sees a torn end
    except BaseException:
        connection.close()
        raise
    return connection


def problem(path: Path, error: sqlite3.Error) -> Exception:
    """What SQLite's error means to the person whose folder it is."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    if code == sqlite3.SQLITE_NOTADB:
        return _foreign(path)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
        return _damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        said = "no room left for it; what was recorded before is kept; make room and run again"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        said = "another process writes to it; wait for its end, or name another folder"
    elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        said = "no right to write there; get it, or name another folder"
    else:
        said = f"the disk fails ({error}); is it full or gone? see to it and run again"
    return FolderError(f"cannot use the ledger {path}: {said}")


def _foreign(path: Path) -> FolderError:
    return FolderError(f"{path} is not a potstill ledger; move it away, or name another folder")


def _damaged(path: Path, where: str) -> FolderError:
    return FolderError(
        f"{path} is damaged at {where}; restore it from a copy, or move it away and ask again"
    )


def packed(key: bytes, *values: object) -> bytes:
    """A checksum, then a line of JSON for each value, compressed where that pays.

    The checksum is over the key too, so that no text is taken for another call's.
    """
    body = "\n".join(map(json_text, values)).encode("utf-8", "surrogatepass")
    if len(body) > _LARGE:
        # With zlib's own window of 15 and memory level of 8, malloc can take 45 us more.
        deflate = zlib.compressobj(1, zlib.DEFLATED, 14, 6)
        body = deflate.compress(body) + deflate.flush()
    return _checksum(key, body) + body


def unpacked(path: Path, key: bytes, texts: Any, *, values: int) -> list[Any]:
    """The first `values` of what was `packed` with this key, as they are in the ledger at a path.

    Raises:
        FolderError: They are not what was packed.
    """
    body = texts[4:] if isinstance(texts, bytes) else b""
    if not body or texts[:4] != _checksum(key, body):
        raise _damaged(path, f"call {key.hex()[:16]}" if key else "a teacher's name")
    if body[:1] not in b"[{":
        body = zlib.decompress(body)
    lines = body.split(b"\n", values)[:values]
    return [json.loads(line.decode("utf-8", "surrogatepass")) for line in lines]


def _checksum(key: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big")


json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def utf8(text: str) -> str:
    """The text with lone surrogates, which UTF-8 does not have, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def countable(tokens: int | None) -> int | None:
    """A number of tokens that can be stored and summed."""
    return None if tokens is None else max(0, min(tokens, _MOST_TOKENS))
