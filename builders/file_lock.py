"""A lock on a file that dies with the process that holds it, however that dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from builders.errors import InputError

_held: list[IO[str]] = []


def _let_go() -> None:
    for file in _held:
        file.close()


# A forked child that outlives its parent must not keep the lock.
os.register_at_fork(after_in_child=_let_go)


class HeldElsewhere(Exception):
    """Somebody else holds the lock; the message names the process."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds the lock on the file at `path`, which is made if it is missing.

    Raises:
        HeldElsewhere: The lock is taken.
        OSError: The file cannot be written.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise HeldElsewhere(file.read() or "another process") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        _held.append(file)
        try:
            yield
        finally:
            _held.remove(file)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds the folder of a build for it; the lock ends with its process, however that ends.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(folder / ".lock"))
        except HeldElsewhere as owner:
            raise InputError(
                f"another build is running in {folder} ({owner}); wait for it, or name another "
                "folder with --work"
            ) from None
        yield
