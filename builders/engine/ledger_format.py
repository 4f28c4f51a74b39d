"""The file format of a ledger: its tables, how texts are stored, and how a file is opened."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from builders.durable import sync
from builders.engine.sqlite_rows import PAGE
from builders.errors import FolderError

_APPLICATION = 0x706F7473  # "pots": distinguishes a ledger from any other SQLite file
_VERSION = (
    2  # one higher when an older potstill could not read what is written, even for a new field
)
_BUSY_S = 10.0  # for which a writer waits for another's commit, which takes a few milliseconds
_LARGE = 1024  # bytes above which compressing saves more than it costs
_MOST_TOKENS = 10**12  # bounds what an endpoint reports: a million such counts sum to an int64

_MOST_SUM = 10**15  # bounds every other number of a row, so that a damaged one overflows no sum

_TABLES = """
CREATE TABLE teachers (id INTEGER PRIMARY KEY, who BLOB NOT NULL UNIQUE);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, teacher INTEGER NOT NULL, time REAL NOT NULL,
    input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL,
    most_tokens INTEGER, most_usd REAL,
    attempts INTEGER NOT NULL, hedged INTEGER NOT NULL, texts BLOB NOT NULL
);
CREATE INDEX answers_summed ON answers (
    teacher, time, input_tokens, output_tokens, cost_usd, most_tokens, most_usd, attempts
);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, teacher INTEGER NOT NULL, time REAL NOT NULL,
    cause TEXT NOT NULL, message TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
    most_tokens INTEGER, most_usd REAL,
    UNIQUE (key, time)
);
"""


def _number(name: str, kinds: str, most: int, *, null: bool = True) -> str:
    right = f"typeof({name}) IN ({kinds}) AND {name} BETWEEN 0 AND {most}"
    return f"({name} IS NULL OR {right})" if null else f"({right})"


_WHOLE, _ANY = "'integer'", "'integer', 'real'"
_BOTH = (
    _number("time", _ANY, _MOST_SUM, null=False),
    _number("attempts", _WHOLE, _MOST_SUM, null=False),
    _number("most_tokens", _WHOLE, _MOST_SUM),
    _number("most_usd", _ANY, _MOST_SUM),
    "teacher IN (SELECT id FROM teachers)",
)
# Conditions of rows that can be used. Numbers have no checksum: they are of the right kind, at
# least, and cannot distort a sum; these are all in the index of the sums.
COUNTED = " AND ".join(
    [
        *_BOTH,
        _number("input_tokens", _WHOLE, _MOST_TOKENS),
        _number("output_tokens", _WHOLE, _MOST_TOKENS),
        _number("cost_usd", _ANY, _MOST_SUM),
    ]
)
READABLE = f"{COUNTED} AND {_number('hedged', _WHOLE, _MOST_SUM, null=False)} AND sound(key, texts)"
FAILURE_READABLE = " AND ".join(
    [
        *_BOTH,
        _number("status", _WHOLE, _MOST_SUM),
        "typeof(key) = 'blob' AND typeof(cause) = 'text' AND typeof(message) = 'text'",
    ]
)


def ledger_exists(path: Path) -> bool:
    """Whether there is a file that may be a ledger; it is not opened.

    Raises:
        FolderError: There is something else, or a link in its path leads nowhere.
    """
    astray = [one for one in (path, *path.parents) if one.is_symlink() and not one.exists()]
    if path.is_file():
        return True
    if not astray and not path.exists():
        return False
    kind = "is not a regular file"  # SQLite would wait for a pipe's other end
    if astray:
        kind = "is a link that leads nowhere"
    elif path.is_dir():
        kind = "is a folder"
    raise FolderError(
        f"{[*astray, path][0]} {kind}, no potstill ledger; move it away, or name another folder"
    )


def check_format(path: Path, application: int, version: int) -> None:
    """Raise FolderError where another potstill wrote a ledger, which is not damaged therefore."""
    if application == _APPLICATION and version != _VERSION:
        raise FolderError(
            f"{path} is a ledger of format {version}, this potstill reads format {_VERSION}; "
            "go on with the potstill that wrote it, or move it away to ask everything again"
        )


def create(path: Path) -> None:
    """Create an empty ledger, whole or not at all.

    Raises:
        FolderError: The write-ahead log of another ledger is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _has_journal(path) and not path.exists():
        raise FolderError(
            f"{path}-wal exists without {path.name} and contains answers; restore {path.name} "
            "next to it, or move it away"
        )
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced below
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.executescript(f"BEGIN; {_TABLES} COMMIT; PRAGMA journal_mode = WAL")
        sync(made)
        with contextlib.suppress(
            FileExistsError
        ):  # another process was first; its ledger may be in use
            path.hardlink_to(made)
        sync(path.parent)
    finally:
        made.unlink(missing_ok=True)


def _has_journal(path: Path) -> bool:
    journal = path.with_name(path.name + "-wal")
    return journal.exists() and journal.stat().st_size > 0


def connected(path: Path) -> sqlite3.Connection:
    """A connection to a file that is checked to be a ledger before anything in it changes.

    Raises:
        FolderError: It is no ledger, or one of another format.
        sqlite3.Error: Anything else; `problem` turns it into a message.
    """
    # A read-only disk has no place for the files WAL needs, and no writer that they would guard.
    journal = _has_journal(path)
    if journal:
        from builders.engine.sqlite_journal import drops_transactions

        if drops_transactions(path.with_name(path.name + "-wal")):
            raise damaged(path, "its journal")
    immutable = not journal and not os.access(path.parent, os.W_OK)
    connection = sqlite3.connect(
        path.absolute().as_uri() + ("?immutable=1" if immutable else "?mode=rw"),
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.create_function("sound", 2, sound, deterministic=True)
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise _foreign(path)
        check_format(path, application, version)
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size % page_bytes and not journal:  # with a journal, the rest is in there
            raise damaged(path, "its end")
        # NORMAL would survive a kill, but not a power cut; FULL costs 3 to 9 us more CPU per call.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute(
            "SELECT max(id) FROM answers"
        ).fetchall()  # fails if the end is truncated
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def readable(path: Path, place: Path) -> Iterator[Path]:
    """The ledger at a path; where its folder may not be written, a copy below `place`.

    SQLite would copy a journal that a kill left over into the ledger before it reads it.
    """
    if os.access(path.parent, os.W_OK):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=place) as folder:
        for part in (path, path.with_name(path.name + "-wal")):
            if part.exists():
                shutil.copyfile(part, Path(folder, part.name))
        yield Path(folder, path.name)


def problem(path: Path, error: sqlite3.Error) -> Exception:
    """The exception that explains an SQLite error to the user; one of our own bugs as it is."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    if code == sqlite3.SQLITE_NOTADB:
        return _foreign(path)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
        return damaged(path, f"a page ({error})")
    if code == sqlite3.SQLITE_FULL:
        message = (
            "no room left on its disk; what was recorded before is kept; make room and run again"
        )
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        message = "another process is writing to it; wait for it to end, or name another folder"
    elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        message = "it is not writable; change its permissions, or name another folder"
    else:
        message = f"the disk fails ({error}); is it full or gone? fix it and run again"
    return FolderError(f"cannot use the ledger {path}: {message}")


def _foreign(path: Path) -> FolderError:
    return FolderError(
        f"{path} is not a potstill ledger, or its start is damaged; move it away, or save what can "
        f"be read: {_repairing(path)}"
    )


def damaged(path: Path, where: str) -> FolderError:
    """The error for a ledger in which something cannot be read."""
    return FolderError(
        f"{path} is damaged at {where}; restore it from a copy, or save what can be read: "
        f"{_repairing(path)}"
    )


def _repairing(path: Path) -> str:
    """The command that repairs a ledger in the folder of a set, or of one of its shards."""
    home = path.absolute().parent
    home = home.parent.parent if home.parent.name == "shards" else home
    if not home.name.isidentifier():  # no folder of a set
        return "`potstill ledger NAME --repair`"
    elsewhere = home.parent != Path("work").absolute()
    work = f" --work {shlex.quote(str(home.parent))}" if elsewhere else ""
    return f"`potstill ledger {home.name} --repair{work}`"


def packed(key: bytes, *values: object) -> bytes:
    """A checksum, then one line of JSON per value, compressed where that pays.

    The checksum covers the key, so that no text is taken for that of another call.
    """
    body = "\n".join(map(json_text, values)).encode("utf-8", "surrogatepass")
    if len(body) > _LARGE:
        # With zlib's defaults, window 15 and memory level 8, malloc can take 45 us longer.
        deflate = zlib.compressobj(1, zlib.DEFLATED, 14, 6)
        body = deflate.compress(body) + deflate.flush()
    return _checksum(key, body) + body


def unpacked(path: Path, key: bytes, texts: Any, *, values: int) -> list[Any]:
    """The first `values` of what was `packed` with this key; `path` is for the error alone.

    Raises:
        FolderError: The checksum does not match.
    """
    if not sound(key, texts):
        raise damaged(path, f"call {key.hex()[:16]}" if key else "a teacher's name")
    body = texts[4:]
    if body[:1] not in b"[{":
        body = zlib.decompress(body)
    lines = body.split(b"\n", values)[:values]
    return [json.loads(line.decode("utf-8", "surrogatepass")) for line in lines]


@lru_cache
def packed_names(*names: str | None) -> bytes:
    """The names of a teacher, `packed`."""
    return packed(b"", names)


@lru_cache
def unpacked_names(path: Path, who: bytes) -> list[str | None]:
    """The names that were packed; `path` is for the error alone.

    Raises:
        FolderError: The checksum does not match.
    """
    names: list[str | None] = unpacked(path, b"", who, values=1)[0]
    return names


def sound(key: Any, texts: Any) -> bool:
    """Whether a text is what was `packed` with this key."""
    if not isinstance(key, bytes) or not isinstance(texts, bytes):
        return False
    return len(texts) > 4 and texts[:4] == _checksum(key, texts[4:])


def _checksum(key: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big")


json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def utf8(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot encode, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def countable(tokens: int | None) -> int | None:
    """The number of tokens, clipped so that it can be stored and summed."""
    return None if tokens is None else max(0, min(tokens, _MOST_TOKENS))
