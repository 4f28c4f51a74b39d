"""The durable record of every teacher call: an answer that was paid for is never requested again.

One SQLite file per build. An answer is recorded once its transaction is on the disk: WAL with
synchronous=FULL survives the end of the process, or of the power, at any instant. One thread
commits all that has been queued since its last commit, so that many calls share one wait for the
disk. Every text has a checksum: a damaged file raises an error and never returns another text.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from builders.engine.calls import Answer, Call, Failure, Used
from builders.engine.ledger_export import SELECT_CALLS, export
from builders.engine.ledger_format import (
    COUNTED,
    FAILURE_READABLE,
    READABLE,
    connected,
    countable,
    create,
    damaged,
    ledger_exists,
    packed,
    packed_names,
    problem,
    readable,
    unpacked,
    unpacked_names,
    utf8,
)
from builders.engine.ledger_sums import TEACHER, TEACHER_FIELDS, summary, used
from builders.engine.ledger_writer import Entry, Writer
from builders.errors import FolderError

_AT_ONCE = 100  # answers in one query
STOPPED = "stopped"  # how the cause of a failure begins that the end of the build caused
UNREADABLE = "unreadable"  # the cause of a failure that was an answer, until the next replaced it
_DEFAULTS = {field.name: field.default for field in fields(Answer)}
_CALL_FIELDS = ("prompt", "sampling", "schema", "sample")

_ANSWER = (
    "key, time, input_tokens, output_tokens, cost_usd, most_tokens, most_usd, attempts, hedged, "
    "texts"
)
_FAILED = "key, time, cause, message, status, attempts, most_tokens, most_usd"


def _adding(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    teacher = "(SELECT id FROM teachers WHERE who = ?)"
    return f"INSERT INTO {table} (teacher, {columns}) VALUES ({teacher}, {marks}) ON CONFLICT "  # noqa: S608


# On conflict the first answer is kept, as it may have been used already, unless it is damaged.
_ADD_ANSWER = _adding("answers", _ANSWER) + "(key) DO NOTHING"
_REPLACED = ", ".join(
    f"{column} = excluded.{column}" for column in ["teacher", *_ANSWER.split(", ")]
)
_REPLACE_ANSWER = f"{_adding('answers', _ANSWER)} (key) DO UPDATE SET {_REPLACED}"
_ADD_FAILURE = _adding("failures", _FAILED) + "DO NOTHING"
_MINE = """
(SELECT mine.id FROM other.teachers AS theirs JOIN main.teachers AS mine ON mine.who = theirs.who
 WHERE theirs.id = teacher)
"""


def _of_other(condition: str) -> str:
    return condition.replace("FROM teachers", "FROM other.teachers")


_ABSORB = f"""
BEGIN IMMEDIATE;
INSERT INTO main.teachers (who) SELECT who FROM other.teachers WHERE true ON CONFLICT DO NOTHING;
INSERT INTO main.answers (teacher, {_ANSWER}) SELECT {_MINE}, {_ANSWER}
FROM other.answers WHERE {_of_other(READABLE)} ORDER BY id
ON CONFLICT (key) DO UPDATE SET {_REPLACED} WHERE excluded.time > answers.time AND EXISTS (
    SELECT 1 FROM other.failures WHERE key = excluded.key AND cause = '{UNREADABLE}'
);
INSERT INTO main.failures (teacher, {_FAILED}) SELECT {_MINE}, {_FAILED}
FROM other.failures WHERE {_of_other(FAILURE_READABLE)} ORDER BY id ON CONFLICT DO NOTHING;
COMMIT;
"""  # noqa: S608
_UNREAD = (
    f"SELECT count(*) FROM other.answers WHERE NOT ({_of_other(READABLE)}) "  # noqa: S608
    "AND key NOT IN (SELECT key FROM main.answers)"
)
_ANSWERED = f"SELECT DISTINCT {TEACHER} FROM answers WHERE {COUNTED}"  # noqa: S608
_FAILURE = (
    "SELECT cause, message, status FROM failures "  # noqa: S608
    f"WHERE key = ? AND cause NOT LIKE '{STOPPED}%' AND {FAILURE_READABLE} ORDER BY id DESC LIMIT 1"
)
_GET = f"SELECT texts, {READABLE} FROM answers WHERE key = ?"  # noqa: S608
_TO_REPLACE = (
    "SELECT texts, attempts, ifnull(most_tokens, input_tokens + output_tokens), "  # noqa: S608
    f"ifnull(most_usd, cost_usd) FROM answers WHERE key = ? AND {READABLE}"
)


class Ledger:
    """An open ledger; its length is the number of answers on the disk."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = self.path = path
        self._queued: dict[bytes, Answer] = {}
        self._damaged: set[bytes] = set()
        self._asked_again: set[str] = set()  # ids of calls whose answers count as none
        self.damaged = 0  # answers that could not be read and count as none
        self._writer = None if read_only else Writer(path, self._written)
        try:
            self._reader = connected(path)
        except BaseException:
            if self._writer:
                self._writer.close()
            raise
        self._reader.execute("PRAGMA query_only = 1")
        self._has_failures = bool(self._rows("SELECT EXISTS (SELECT 1 FROM failures)")[0][0])

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Ledger:
        """Open the ledger at a path; create it if there is none, except with `read_only`.

        Raises:
            FolderError: There is no ledger to read, or another file, or a ledger that is truncated
                or of another format; or the disk is full or not writable.
        """
        path = path.absolute()
        try:
            if not ledger_exists(path):
                if read_only:
                    raise FolderError(f"there is no ledger {path}; build first, or name its folder")
                create(path)
            return cls(path, read_only=read_only)
        except sqlite3.Error as error:
            raise problem(path, error) from None
        except OSError as error:
            raise FolderError(
                f"cannot make {path} ({error.strerror or error}); name another folder"
            ) from None

    def close(self) -> None:
        """Commit what is queued and close the file; safe to call twice."""
        self._reader.close()
        if self._writer:
            self._writer.close()
            self._writer = None

    def __len__(self) -> int:
        # Answers are never deleted, so the last id is their number, without a scan.
        return int(self._rows("SELECT ifnull(max(id), 0) FROM answers")[0][0])

    # --- recording

    @property
    def failing(self) -> bool:
        """Whether nothing may be asked any more, as it may find no room."""
        return bool(self._writer and self._writer.failing)

    @property
    def unrecorded(self) -> int:
        """The number of answers on their way to the disk."""
        return len(self._queued)

    async def record(
        self,
        call: Call,
        answer: Answer,
        *,
        cost_usd: float | None,
        attempts: int,
        hedged: int = 0,
        most: Used | None = None,
    ) -> None:
        """Record an answer; it is on the disk when this returns. A call's first answer is kept.

        Cancelling the wait does not undo it. `cost_usd` is None where the price is unknown, and the
        most it may be where the answer's tokens are; `hedged` of the `attempts` requests were sent
        while an earlier one was still in flight. `most` is what all of them may have used, None
        where that is what the answer counts.

        Raises:
            FolderError: It is not recorded; everything recorded before is kept.
        """
        call_values = [call.prompt, dict(call.sampling), call.schema, call.sample]
        facts = {name: value for name, value in vars(answer).items() if value != _DEFAULTS[name]}
        tokens = [countable(answer.input_tokens), countable(answer.output_tokens)]
        texts = packed(call.key, facts, call_values)
        row = [*tokens, cost_usd, *(most or (None, None)), attempts, hedged, texts]
        again = bool(self._asked_again) and call.id in self._asked_again
        replaced = self._replaced(call.key) if again else []
        statement = _REPLACE_ANSWER if again or call.key in self._damaged else _ADD_ANSWER
        self._damaged.discard(call.key)
        self._asked_again.discard(call.id)
        kept = [self._enqueue(_ADD_FAILURE, call, one) for one in replaced]
        recorded = self._enqueue(statement, call, row, answer)
        await (asyncio.gather(*kept, recorded) if kept else recorded)

    def ask_again(self, calls: Iterable[str]) -> None:
        """Count the answers to the calls with these ids as none, until each has another one.

        The answer that is replaced stays as a failure, with its text and what it cost.
        """
        self._asked_again |= {*calls}

    def _replaced(self, key: bytes) -> list[list[Any]]:
        """The recorded answer to a call, if there is one, as the values of a failure."""
        rows = self._rows(_TO_REPLACE, key)
        found = [(unpacked(self._path, key, texts, values=1)[0], rest) for texts, *rest in rows]
        return [
            [UNREADABLE, utf8(one["text"] or one.get("reasoning") or ""), None, *rest]
            for one, rest in found
        ]

    async def record_failure(self, call: Call, failure: Failure, *, attempts: int) -> None:
        """Record that a call got no answer; this is history, which `get` does not read.

        Raises:
            FolderError: It is not recorded; everything recorded before is kept.
        """
        why = [utf8(failure.cause), utf8(str(failure)), failure.status]
        row = [*why, attempts, *(failure.most or (None, None))]
        self._has_failures = True
        await self._enqueue(_ADD_FAILURE, call, row)

    def _enqueue(
        self, statement: str, call: Call, row: Sequence[Any], answer: Answer | None = None
    ) -> asyncio.Future[None]:
        if not self._writer:
            raise ValueError(f"{self._path} is closed, or open for reading only")
        teacher = packed_names(call.role, call.endpoint, call.model, call.revision)
        if answer:
            self._queued.setdefault(call.key, answer)
        return self._writer.put(statement, (teacher, call.key, time.time(), *row))

    def _written(self, entry: Entry) -> None:
        if entry.statement is not _ADD_FAILURE:
            self._queued.pop(entry.row[1], None)

    def absorb(self, other: Path) -> None:
        """Copy all answers and failures of another ledger that are not in this one yet.

        An answer that has replaced an earlier one there replaces it here.

        Raises:
            FolderError: The other is no ledger, or an answer in it is damaged, or the disk is full;
                nothing was copied.
        """
        other = other.absolute()
        with (
            readable(other, self._path.parent) as source,
            contextlib.closing(connected(self._path)) as writer,
        ):
            try:
                connected(source).close()
                writer.execute("ATTACH ? AS other", (source.as_uri(),))
                [unread] = writer.execute(_UNREAD).fetchone()
                if unread:
                    raise damaged(source, f"answers: {unread}")
                writer.executescript(_ABSORB)
            except FolderError as error:
                raise FolderError(str(error).replace(str(source), str(other))) from None
            except sqlite3.Error as error:
                full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
                raise problem(self._path if full else other, error) from None

    # --- reading

    def get(self, key: bytes) -> Answer | None:
        """The answer to the call with this key, also while it is on its way to the disk.

        None where it is to be asked for again, and where it is damaged, which `damaged` counts:
        then the next one recorded replaces it.

        Raises:
            FolderError: The file is damaged.
        """
        if queued := self._queued.get(key):
            return queued
        if self._asked_again and key.hex()[:16] in self._asked_again:
            return None
        rows = self._rows(_GET, key)
        if rows and not rows[0][1]:
            self.damaged += key not in self._damaged
            self._damaged.add(key)
            return None
        return Answer(**unpacked(self._path, key, rows[0][0], values=1)[0]) if rows else None

    def missing(self, call: Call) -> str:
        """What to do about a call without an answer that can be read."""
        if call.key in self._damaged:
            return str(damaged(self._path, f"call {call.id}"))
        return f"the ledger has no answer to call {call.id}; build with the teacher to get it"

    def failure(self, key: bytes) -> Failure | None:
        """The last failure of the call with this key that no stop of a build caused."""
        rows = self._rows(_FAILURE, key) if self._has_failures else ()
        return Failure(rows[0][0], rows[0][1], status=rows[0][2]) if rows else None

    def answers(self, keys: Iterable[bytes]) -> Iterator[tuple[Call, Answer, float | None]]:
        """Calls, answers and costs in USD (None: unknown) for these keys, in their order.

        Raises:
            FolderError: An answer is missing from the file or damaged.
        """
        left = iter(keys)
        while some := [*islice(left, _AT_ONCE)]:
            asked = f"{SELECT_CALLS} WHERE key IN ({', '.join('?' * len(some))})"
            rows = {row[1]: row for row in self._rows(asked, *some)}
            for key in some:
                if key not in rows:
                    raise FolderError(
                        f"{self._path} has no answer to call {key.hex()[:16]}; was the file "
                        "replaced? run the build again"
                    )
                call, answer, (_, cost_usd, *_) = self._read(rows[key])
                yield call, answer, cost_usd

    def cost_usd(self, call_id: str) -> float | None:
        """What the call with this id cost in USD; None where that is unknown, or it is not here."""
        key = bytes.fromhex(call_id)
        asked = "SELECT cost_usd FROM answers WHERE key >= ? AND key <= ?"
        rows = self._rows(asked, key, key.ljust(32, b"\xff"))
        return rows[0][0] if len(rows) == 1 else None

    def used(self) -> list[tuple[dict[str, Any], Used, int]]:
        """What requests may have used, by teacher: `ledger_sums.used`."""
        return used(self._rows, self._teacher)

    def has_answers_of(self, endpoint: str) -> bool:
        """Whether an answer of an endpoint is recorded."""
        return any(self._teacher(who)["endpoint"] == endpoint for (who,) in self._rows(_ANSWERED))

    def summary(self) -> dict[str, Any]:
        """Totals of the recorded answers: `ledger_sums.summary`."""
        return summary(self._rows, self._teacher)

    def export(self, path: Path) -> int:
        """Write all answers to one parquet file: `ledger_export.export`."""
        return export(self._rows, self._read, path)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows of a query: an open cursor would hide what is recorded after it."""
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise problem(self._path, error) from None

    def _read(self, row: tuple[Any, ...]) -> tuple[Call, Answer, Sequence[Any]]:
        """Call, answer, and [time, cost, attempts, hedged] from a row of SELECT_CALLS."""
        number, key, who, texts, whole, *rest = row
        if not whole:
            raise damaged(self._path, f"answer {number}")
        answer, call = unpacked(self._path, key, texts, values=2)
        fields_of_call = self._teacher(who) | dict(zip(_CALL_FIELDS, call, strict=True))
        read = Call(**fields_of_call)
        vars(read)["key"] = key  # known: computing it takes longer than reading the row
        return read, Answer(**answer), rest

    def _teacher(self, who: Any) -> dict[str, Any]:
        return dict(zip(TEACHER_FIELDS, unpacked_names(self._path, who), strict=True))
