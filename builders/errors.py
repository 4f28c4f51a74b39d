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


class UsageError(InputError):
    """The command line is wrong: a verb, a flag, a value or an option of a recipe."""

    status = 2


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
    """The words with which an error offers what exists: all names, then the nearest."""
    known = sorted(names)
    return (", ".join(known) if known else "none") + did_you_mean(name, known)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The words that offer the nearest name alone, where there are too many to list."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def printable(text: str) -> str:
    """The text on one line that a terminal shows as it is: nothing moves, hides or reorders.

    Every control and invisible character becomes a space; bytes of a file's name that are not
    UTF-8 become escapes.
    """
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in escaped)


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
