"""One base error and a few kinds, named by whose turn it is to act.

A message has three parts: what is wrong with which value, what was expected, what to do.
The command line prints it as one line; a traceback means a bug in the house.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path


class PotstillError(Exception):
    """Something a person can put right; the message says how, `status` is the exit's."""

    status = 1


class InputError(PotstillError):
    """The turn of whoever typed the command or wrote the file it names."""


class RecipeError(PotstillError):
    """The turn of the recipe's author: its module or its pipeline does not hold together."""


class TeacherError(PotstillError):
    """The turn of whoever runs the endpoint, or of whoever gave its address and key."""


class Stopped(PotstillError):
    """Nobody's turn: the build was asked to stop, or reached its budget, and kept everything."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HubError(PotstillError):
    """The turn of whoever owns the repository or the token, or of the Hub; nothing was lost."""


class FolderError(PotstillError):
    """The turn of the disk: no room, no right, or something else already there."""


def nearest_name(name: str, names: Iterable[str]) -> str:
    """The words with which an error offers what exists: the nearest name first, then all."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return (", ".join(known) if known else "none") + hint


def folder_error(error: OSError, folder: Path) -> FolderError:
    """What a failed write means to the person who named the folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(
            f"no room left in {folder}; nothing was changed; make room or name another folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FolderError(
            f"no right to write in {folder}; nothing was changed; get it or name another folder"
        )
    return FolderError(f"cannot write in {folder} ({error.strerror or error}); name another folder")
