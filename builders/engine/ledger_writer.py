"""The thread that writes a ledger: all that is queued in one transaction, then reported."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import resource
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from builders.engine.ledger_format import connected, problem
from builders.engine.sqlite_rows import PAGE
from builders.errors import FolderError

_GATHER_S = 0.002  # waited when several calls were queued, so that more of them share a commit
_MOST_BATCH = 1024  # entries in one transaction
_PATIENCE_MS = 600_000  # with another program's lock: what waits to be written is paid for
_RESERVE = 16_000_000  # bytes for what is in flight when the disk gets full
_JOURNAL_PAGES = 1000  # copied to the ledger when the journal has as many: SQLite's default
_ADD_TEACHER = "INSERT INTO teachers (who) VALUES (?) ON CONFLICT (who) DO NOTHING"


class Entry(NamedTuple):
    """A row on its way to the disk, and the future of the coroutine that waits for it."""

    statement: str
    row: tuple[Any, ...]  # teacher, the call's key, and the statement's other parameters
    waiter: asyncio.Future[None]


class Writer:
    """Writes entries until it is closed; `done` is called for each once its transaction is over.

    `failing` is whether one could not be written, or any more could not: then nothing may be asked.
    """

    def __init__(self, path: Path, done: Callable[[Entry], None]) -> None:
        self._path = path
        self._done = done
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._batch: list[Entry] = []
        self._dead: FolderError | None = None
        self.failing = False
        self._connection = connected(path)
        try:
            # Fails if the file is not writable.
            self._connection.execute("DELETE FROM failures WHERE false")
            self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            self._most_bytes, pages = _limits()
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        except BaseException:
            self._connection.close()
            raise
        self._bytes = self._largest = 0
        self._files = self._identities()
        self._reserve = _reserve(path.parent, self._most_bytes)
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def put(self, statement: str, row: tuple[Any, ...]) -> asyncio.Future[None]:
        """Queue a row; the future is done when it is on the disk, or has the reason if it is not.

        It also has one where the row was the last that could be written.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._entries.put(Entry(statement, row, waiter))
        if self._dead:
            self._give_up(self._dead)
        return waiter

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._entries.put(None)
        self._thread.join()
        self._connection.close()
        if self._reserve:
            self._reserve.close()

    def _work(self) -> None:
        try:
            self._write_all()
        except BaseException as error:  # noqa: BLE001 - raised by the coroutines that wait
            self.failing = True
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._dead = FolderError(
                f"cannot use the ledger {self._path}: the thread that writes it ended ({why}); "
                "what was recorded before is kept; run again"
            )
            self._give_up(self._dead)

    def _give_up(self, why: FolderError) -> None:
        left, self._batch = self._batch, []
        with contextlib.suppress(queue.Empty):
            while True:
                if entry := self._entries.get_nowait():
                    left.append(entry)
        self._settle(left, why)

    def _write_all(self) -> None:
        going, several = True, False
        while going:
            batch = [self._entries.get()]
            if several:
                time.sleep(_GATHER_S)
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MOST_BATCH:
                    batch.append(self._entries.get_nowait())
            self._batch = entries = [entry for entry in batch if entry]
            going = len(entries) == len(batch)
            several = len(entries) > 1
            error = self._commit(entries)
            self._batch = []
            self._settle(entries, error)

    def _settle(self, entries: Sequence[Entry], error: BaseException | None) -> None:
        for entry in entries:
            self._done(entry)
        for loop in {entry.waiter.get_loop() for entry in entries}:
            waiters = [entry.waiter for entry in entries if entry.waiter.get_loop() is loop]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_tell, waiters, error)

    def _commit(self, entries: Sequence[Entry]) -> BaseException | None:
        """Write all entries in one transaction; return why they, or any more, cannot be written."""
        try:
            self._transact(entries)
        except sqlite3.Error as error:
            self.failing = True  # at once: what is asked from now on may find no room
            full = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
            if full and self._reserve:
                self._reserve.close()
                self._reserve = None
                with contextlib.suppress(sqlite3.Error):
                    self._transact(entries)
            return problem(self._path, error)
        if self._identities() != self._files:
            why = (
                "it was moved, replaced, cut or deleted while it was in use; put it back, or run "
                "again to ask what is missing"
            )
        elif self._largest > self._most_bytes:
            why = (
                "no room left for what is in flight, as files may not be larger here (ulimit -f); "
                "what was recorded is kept; raise that limit and run again"
            )
        else:
            return None
        self.failing = True
        return FolderError(f"cannot use the ledger {self._path}: {why}")

    def _transact(self, entries: Sequence[Entry]) -> None:
        writer = self._connection
        try:
            writer.execute("BEGIN IMMEDIATE")
            writer.executemany(_ADD_TEACHER, {entry.row[:1] for entry in entries})
            for statement in dict.fromkeys(entry.statement for entry in entries):
                rows = [entry.row for entry in entries if entry.statement is statement]
                writer.executemany(statement, rows)
            writer.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            raise

    def _identities(self) -> list[tuple[int, int]]:
        """The ledger and its journal where they should be; none if one is missing."""
        try:
            files = [os.stat(f"{self._path}{suffix}") for suffix in ("", "-wal")]  # noqa: PTH116
        except OSError:
            return []
        before, self._bytes = self._bytes, files[0].st_size  # SQLite never makes it smaller
        self._largest = max(file.st_size for file in files)
        return [(file.st_dev, file.st_ino) for file in files] if self._bytes >= before else []


def _limits() -> tuple[int, int]:
    """The bytes of a file from which on its limit leaves a reserve only, and a journal's pages.

    No room that is given up helps against the limit of a file's size that a shell or a cluster
    sets; the journal is copied early enough to stay below it.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY:
        return sys.maxsize, _JOURNAL_PAGES
    return most - min(_RESERVE, most // 2), max(1, min(_JOURNAL_PAGES, most // (4 * PAGE)))


def _reserve(folder: Path, most_bytes: int) -> IO[bytes] | None:
    """A file without a name that holds room on the disk; None where there is too little."""
    try:
        free = shutil.disk_usage(folder).free
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the writer
        try:
            room = min(_RESERVE, max(_RESERVE // 4, free // 8), free // 2, most_bytes)
            os.posix_fallocate(file.fileno(), 0, room)
        except OSError:
            file.close()
            return None
    except OSError:
        return None
    return file


def _tell(waiters: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    for waiter in waiters:
        if error and not waiter.done():  # done already: it was cancelled
            waiter.set_exception(error)
        elif not waiter.done():
            waiter.set_result(None)
