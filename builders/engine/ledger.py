"""The durable record of every teacher call: what was paid for once is never asked for again.

One SQLite file a build. An answer counts as recorded when its transaction is on the disk: WAL with
synchronous=FULL outlives the end of the process at any instant, and of the power too. One thread
commits whatever has come together since its last commit, so that many calls share one wait for the
disk. Every text carries a checksum: a damaged file gives an error, never another text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from builders.engine.calls import Answer, Call, Failure
from builders.errors import FolderError

_APPLICATION = 0x706F7473  # "pots": tells a ledger from any other SQLite file
_VERSION = 1
_BUSY_S = 10.0  # a second writer waits so long for the first one's commit of a few milliseconds
_LARGE = 4096  # bytes, from which on compressing saves more than it costs
_MOST_BATCH = 1024  # entries of one transaction
_MOST_TOKENS = 10**12  # whatever an endpoint claims, the sum of a million such counts is an int64
_GROUP_ROWS, _GROUP_LETTERS = 1000, 32_000_000  # of an export; logprobs can make rows of megabytes
_WHO_NAMES = ("role", "endpoint", "model", "revision")
_ASKED_NAMES = ("asked", "sampling", "schema", "sample")
_DEFAULTS = {field.name: field.default for field in fields(Answer)}

_TABLES = """
CREATE TABLE teachers (id INTEGER PRIMARY KEY, who BLOB NOT NULL UNIQUE);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, teacher INTEGER NOT NULL, time REAL NOT NULL,
    input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL,
    attempts INTEGER NOT NULL, hedged INTEGER NOT NULL, question BLOB NOT NULL, answer BLOB NOT NULL
);
CREATE INDEX answers_summed ON answers (teacher, time, input_tokens, output_tokens, cost_usd);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, teacher INTEGER NOT NULL, time REAL NOT NULL,
    cause TEXT NOT NULL, message TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL
);
"""
_ADD_TEACHER = "INSERT INTO teachers (who) VALUES (?) ON CONFLICT (who) DO NOTHING"
# On conflict the first answer stands: it may have been used already.
_ADD_ANSWER = """
INSERT INTO answers (teacher, key, time, input_tokens, output_tokens, cost_usd, attempts, hedged,
    question, answer)
VALUES ((SELECT id FROM teachers WHERE who = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO NOTHING
"""
_ADD_FAILURE = """
INSERT INTO failures (teacher, key, time, cause, message, status, attempts)
VALUES ((SELECT id FROM teachers WHERE who = ?), ?, ?, ?, ?, ?, ?)
"""
_ABSORB = """
BEGIN IMMEDIATE;
INSERT INTO teachers (who) SELECT who FROM other.teachers WHERE true ON CONFLICT (who) DO NOTHING;
INSERT INTO answers (key, teacher, time, input_tokens, output_tokens, cost_usd, attempts, hedged,
    question, answer)
SELECT key, mine.id, time, input_tokens, output_tokens, cost_usd, attempts, hedged, question, answer
FROM other.answers JOIN other.teachers AS theirs ON theirs.id = teacher
    JOIN main.teachers AS mine ON mine.who = theirs.who
ORDER BY other.answers.id ON CONFLICT (key) DO NOTHING;
INSERT INTO failures (key, teacher, time, cause, message, status, attempts)
SELECT key, mine.id, time, cause, message, status, attempts
FROM other.failures JOIN other.teachers AS theirs ON theirs.id = teacher
    JOIN main.teachers AS mine ON mine.who = theirs.who
ORDER BY other.failures.id;
COMMIT;
"""
_WHO = "(SELECT who FROM teachers WHERE teachers.id = teacher)"
_WHOLE = f"SELECT id, key, {_WHO}, question, answer, time, cost_usd, attempts, hedged FROM answers"  # noqa: S608
_SUMS = {
    "calls": "count(*)",
    "input_tokens": "ifnull(sum(input_tokens), 0)",
    "output_tokens": "ifnull(sum(output_tokens), 0)",
    "cost_usd": "sum(cost_usd)",
    "cost_unknown": "count(*) - count(cost_usd)",
    "first_time": "min(time)",
    "last_time": "max(time)",
}
_SUMMED = f"{', '.join(_SUMS.values())} FROM answers"
_FAILED = "SELECT cause, count(*) FROM failures GROUP BY cause ORDER BY 2 DESC, 1"
_EXPORTED = {
    "string": "id role endpoint model revision asked sampling schema text finish_reason reasoning "
    "tool_calls logprobs model_reported",
    "int64": "sample input_tokens output_tokens attempts hedged",
    "double": "latency_s time cost_usd",
}


class _Entry(NamedTuple):
    """A row on its way to the disk, and who waits for it."""

    statement: str
    row: tuple[Any, ...]  # who was asked, the call's key, and what else the statement takes
    waiter: asyncio.Future[None]


class Ledger:
    """An open ledger; its length is the number of answers on the disk."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._queued: dict[bytes, Answer] = {}
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        with contextlib.ExitStack() as opened:
            if not read_only:
                self._writer = opened.enter_context(contextlib.closing(_connection(path)))
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute("PRAGMA journal_size_limit = 67108864")
                self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
            self._reader = opened.enter_context(contextlib.closing(_connection(path)))
            self._reader.execute("PRAGMA query_only = 1")
            self._connections = opened.pop_all()
        if self._thread:
            self._thread.start()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Ledger:
        """The ledger at a path; where there is none a new one, unless it is only to be read.

        Raises:
            FolderError: Something else is there, or a ledger that is torn or of a newer format; or
                there is none to read; or no room, or no right.
        """
        path = path.absolute()
        try:
            if not path.exists():
                if read_only:
                    raise FolderError(f"there is no ledger {path}; build first, or name its folder")
                _create(path)
            return cls(path, read_only=read_only)
        except sqlite3.Error as error:
            raise _problem(path, error) from None
        except OSError as error:
            raise FolderError(
                f"cannot make {path} ({error.strerror or error}); name another folder"
            ) from None

    def close(self) -> None:
        """Commit what is queued and let go of the file; safe to call twice."""
        if self._thread:
            self._entries.put(None)
            self._thread.join()
            self._thread = None
        self._connections.close()

    def __len__(self) -> int:
        # No answer ever goes, so the last one's number is their count, without counting.
        return int(self._rows("SELECT ifnull(max(id), 0) FROM answers")[0][0])

    # --- recording

    async def record(
        self,
        call: Call,
        answer: Answer,
        *,
        cost_usd: float | None,
        attempts: int,
        hedged: int = 0,
    ) -> None:
        """Record an answer; it is on the disk when this returns. A call's first answer stands.

        Whoever gives up waiting does not undo it.

        Args:
            call: What was asked.
            answer: What was given.
            cost_usd: None where it is unknown.
            attempts: The requests that were sent for it.
            hedged: How many of them were sent while an earlier one was still out.

        Raises:
            FolderError: It is not recorded; everything recorded before is kept.
        """
        asked = [call.asked, dict(call.sampling), call.schema, call.sample]
        given = {name: value for name, value in vars(answer).items() if value != _DEFAULTS[name]}
        tokens = [_countable(answer.input_tokens), _countable(answer.output_tokens)]
        texts = [_packed(call.key, asked), _packed(call.key, given)]
        waiter = self._enqueued(_ADD_ANSWER, call, [*tokens, cost_usd, attempts, hedged, *texts])
        self._queued.setdefault(call.key, answer)
        await waiter

    async def record_failure(self, call: Call, failure: Failure, *, attempts: int) -> None:
        """Record that a call had no answer: history, of which `get` knows nothing.

        Raises:
            FolderError: It is not recorded; everything recorded before is kept.
        """
        said = [_utf8(failure.cause), _utf8(str(failure))]
        await self._enqueued(_ADD_FAILURE, call, [*said, failure.status, attempts])

    def _enqueued(self, statement: str, call: Call, row: Sequence[Any]) -> asyncio.Future[None]:
        if not self._thread:
            raise ValueError(f"{self._path} is closed, or open for reading only")
        waiter = asyncio.get_running_loop().create_future()
        who = _packed(b"", [call.role, call.endpoint, call.model, call.revision])
        self._entries.put(_Entry(statement, (who, call.key, time.time(), *row), waiter))
        return waiter

    def _write(self) -> None:
        """The writing thread: one transaction for all that waits, until a None has come."""
        going = True
        while going:
            batch = [self._entries.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MOST_BATCH:
                    batch.append(self._entries.get_nowait())
            entries = [entry for entry in batch if entry]
            going = len(entries) == len(batch)
            error = self._commit(entries)
            for entry in entries:
                if entry.statement is _ADD_ANSWER:
                    self._queued.pop(entry.row[1], None)
            for loop in {entry.waiter.get_loop() for entry in entries}:
                waiters = [entry.waiter for entry in entries if entry.waiter.get_loop() is loop]
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(_settle, waiters, error)

    def _commit(self, entries: Sequence[_Entry]) -> BaseException | None:
        """Write all entries in one transaction, or none of them and give the reason."""
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            writer.executemany(_ADD_TEACHER, {entry.row[:1] for entry in entries})
            for statement in (_ADD_ANSWER, _ADD_FAILURE):
                rows = [entry.row for entry in entries if entry.statement is statement]
                writer.executemany(statement, rows)
            writer.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            with contextlib.suppress(sqlite3.Error):
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            return _problem(self._path, error) if isinstance(error, sqlite3.Error) else error
        return None

    def absorb(self, other: Path) -> None:
        """Take over all answers and failures of another ledger that this one does not have.

        Raises:
            FolderError: The other is no ledger, or is damaged; nothing was taken over.
        """
        self._open_other(other)
        try:
            self._writer.execute("ATTACH ? AS other", (str(other),))
            try:
                self._writer.executescript(_ABSORB)
            finally:
                self._writer.execute("DETACH other")
        except sqlite3.Error as error:
            raise _problem(other, error) from None

    @staticmethod
    def _open_other(path: Path) -> None:
        """See that a file is a ledger, and fold its journal in if it has one."""
        _connection(path.absolute()).close()

    # --- reading

    def get(self, key: bytes) -> Answer | None:
        """The answer to the call with this key, also while it is on its way to the disk.

        Raises:
            FolderError: The file is damaged.
        """
        if queued := self._queued.get(key):
            return queued
        rows = self._rows("SELECT answer FROM answers WHERE key = ?", key)
        return Answer(**self._unpacked(key, rows[0][0])) if rows else None

    def answers(self, keys: Iterable[bytes]) -> Iterator[tuple[Call, Answer, float | None]]:
        """Calls, answers and costs in USD (None: unknown) of these keys, in their order.

        Raises:
            FolderError: One of them is not in the file, or is damaged.
        """
        for key in keys:
            rows = self._rows(f"{_WHOLE} WHERE key = ?", key)
            if not rows:
                raise FolderError(
                    f"{self._path} has no answer to call {_id(key)}; was the file exchanged? run "
                    "the build again"
                )
            yield *self._call_and_answer(rows[0]), rows[0][6]

    def summary(self) -> dict[str, Any]:
        """What the recorded answers come to, in all and for each of `teachers`.

        `calls`, `input_tokens` and `output_tokens`; `cost_usd` of the calls whose cost is known
        (None: of none) and `cost_unknown`, how many others there are; `first_time` and `last_time`
        in seconds since 1970 (None without calls). Each of `teachers` has its role, endpoint, model
        and revision besides. `failures` are counted by cause, the commonest first.
        """
        [whole] = self._rows(f"SELECT {_SUMMED}")
        teachers = []
        for who, *sums in self._rows(f"SELECT {_WHO}, {_SUMMED} GROUP BY teacher"):
            names = dict(zip(_WHO_NAMES, self._unpacked(b"", who), strict=True))
            teachers.append(names | dict(zip(_SUMS, sums, strict=True)))
        teachers.sort(key=lambda one: [str(one[name]) for name in _WHO_NAMES])
        failures = dict(self._rows(_FAILED))
        return dict(zip(_SUMS, whole, strict=True)) | {"teachers": teachers, "failures": failures}

    def export(self, path: Path) -> int:
        """Write all answers to one parquet file, which appears whole; give the number of rows.

        What has structure is JSON. Lone surrogates, which parquet cannot hold, become escapes.

        Raises:
            FolderError: No room or no right, or the ledger is damaged; `path` is as it was.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = [(name, kind) for kind, names in _EXPORTED.items() for name in names.split()]
        schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in kinds])
        part = path.with_name(f".{path.name}.part")
        written = 0
        try:
            with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                for rows in self._exported():
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    written += len(rows)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise FolderError(
                f"cannot write {path} ({error.strerror or error}); make room, or name another place"
            ) from None
        finally:
            part.unlink(missing_ok=True)
        return written

    def _exported(self) -> Iterator[list[dict[str, Any]]]:
        """All answers in the order of recording, in groups of bounded size."""
        last, letters, group = 0, 0, list[dict[str, Any]]()
        while rows := self._rows(f"{_WHOLE} WHERE id > ? ORDER BY id LIMIT 50", last):
            for row in rows:
                group.append(self._flat(row))
                letters += sum(len(one) for one in group[-1].values() if isinstance(one, str))
            last = rows[-1][0]
            if len(group) >= _GROUP_ROWS or letters >= _GROUP_LETTERS:
                yield group
                letters, group = 0, []
        if group:
            yield group

    def _flat(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """One row of an export."""
        call, answer = self._call_and_answer(row)
        flat = vars(answer) | vars(call) | {"id": call.id, "model_reported": answer.model}
        flat |= zip(("time", "cost_usd", "attempts", "hedged"), row[5:], strict=True)
        for name in ("asked", "sampling", "schema", "tool_calls", "logprobs"):
            flat[name] = None if flat[name] is None else _json(flat[name])
        for name in ("input_tokens", "output_tokens"):
            flat[name] = _countable(flat[name])
        return {name: _utf8(one) if isinstance(one, str) else one for name, one in flat.items()}

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows of a query: one that is left open would hide what is recorded after it."""
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _problem(self._path, error) from None

    def _call_and_answer(self, row: tuple[Any, ...]) -> tuple[Call, Answer]:
        _, key, who, question, answer = row[:5]
        asked = dict(zip(_ASKED_NAMES, self._unpacked(key, question), strict=True))
        call = Call(**dict(zip(_WHO_NAMES, self._unpacked(b"", who), strict=True)), **asked)
        return call, Answer(**self._unpacked(key, answer))

    def _unpacked(self, key: bytes, packed: Any) -> Any:
        """What was `_packed` with this key."""
        body = packed[4:] if isinstance(packed, bytes) else b""
        if not body or packed[:4] != _checksum(key, body):
            raise _damaged(self._path, f"call {_id(key)}" if key else "a teacher's name")
        if body[:1] not in b"[{":
            body = zlib.decompress(body)
        return json.loads(body.decode("utf-8", "surrogatepass"))


def _create(path: Path) -> None:
    """Make an empty ledger, whole or not at all."""
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
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.executescript(_TABLES)
        with contextlib.suppress(FileExistsError):  # another was quicker, and may be in use
            path.hardlink_to(made)
    finally:
        made.unlink(missing_ok=True)


def _has_journal(path: Path) -> bool:
    journal = path.with_name(path.name + "-wal")
    return journal.exists() and journal.stat().st_size > 0


def _connection(path: Path) -> sqlite3.Connection:
    """A connection to what is seen to be a ledger before anything in it changes."""
    # A read-only disk has no place for what WAL needs beside the file, and nobody who changes it.
    still = not os.access(path.parent, os.W_OK) and not _has_journal(path)
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
        connection.execute("SELECT max(id) FROM answers").fetchall()  # sees a torn end
    except BaseException:
        connection.close()
        raise
    return connection


def _problem(path: Path, error: sqlite3.Error) -> Exception:
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


def _settle(waiters: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    for waiter in waiters:
        if waiter.done():  # given up
            continue
        if error:
            waiter.set_exception(error)
        else:
            waiter.set_result(None)


def _packed(key: bytes, value: object) -> bytes:
    """A checksum over key and text, then the text as JSON, compressed where that pays."""
    body = _json(value).encode("utf-8", "surrogatepass")
    if len(body) > _LARGE:
        # With zlib's own window of 15 and memory level of 8, malloc takes 45 us more for each.
        deflate = zlib.compressobj(1, zlib.DEFLATED, 14, 6)
        body = deflate.compress(body) + deflate.flush()
    return _checksum(key, body) + body


def _checksum(key: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _utf8(text: str) -> str:
    """The text with lone surrogates, which UTF-8 does not have, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _countable(tokens: int | None) -> int | None:
    return None if tokens is None else max(0, min(tokens, _MOST_TOKENS))


def _id(key: bytes) -> str:
    return key.hex()[:16]
