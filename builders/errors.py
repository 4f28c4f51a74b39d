"""One base error and a few kinds, named after what has to be fixed.

A message has three parts: what is wrong with which value, what was expected, what to do.
The command line prints it as one line; a traceback means a bug in potstill.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


class PotstillError(Exception):
    """An error that a person can fix, as the message explains; `status` is the exit status."""

    status = 1


class InputError(PotstillError):
    """A value that was given, or a file that it names, is wrong."""


class UsageError(InputError):
    """The command line is wrong: a verb, a flag, a value or an option of a recipe."""

    status = 2


class RecipeError(PotstillError):
    """The module of a recipe, or its pipeline, is wrong."""


class TeacherError(PotstillError):
    """An endpoint does not answer, or refuses: it is down, or its address or key is wrong."""


class Stopped(PotstillError):
    """The build was asked to stop, or reached its budget; every answer is kept."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HubError(PotstillError):
    """The Hub does not answer, or refuses what the token asks of a repository; nothing was lost."""


class FolderError(PotstillError):
    """A folder has no room or no permission, or holds something else already."""


def nearest_name(name: object, names: Iterable[str]) -> str:
    """What an error says about the names that exist: all of them, then the nearest."""
    known = sorted(names)
    return (", ".join(known) if known else "none") + did_you_mean(name, known)


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """The end of an error that offers the nearest name, where the names are too many to list.

    One that begins with what was given goes first: the shortest, and of versions the newest.
    """
    known, given = sorted(names, reverse=True), str(name)
    longer = [one for one in known if len(given) > 1 and one.lower().startswith(given.lower())]
    close = sorted(longer, key=len) or difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def shortened(value: object) -> str:
    """A value as an error quotes it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def number_of(number: int, things: str) -> str:
    """A number of things, whose name is given in the plural: 0 calls, 1 call, 1,200 calls."""
    if number != 1:
        return f"{number:,} {things}"
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("s", "")):
        if things.endswith(plural):
            return f"1 {things.removesuffix(plural)}{singular}"
    return f"1 {things}"


def printable(text: str) -> str:
    """The text on one line that a terminal shows as it is: nothing moves, hides or reorders.

    Every control and invisible character becomes a space; bytes of a file's name that are not
    UTF-8 become escapes.
    """
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in escaped)


@contextlib.contextmanager
def named_in_errors(folder: Path, name: str) -> Iterator[None]:
    """Name in errors what a person gave, in the place of the temporary folder that it is in."""
    try:
        yield
    except PotstillError as error:
        error.args = (str(error).replace(str(folder), name), *error.args[1:])
        raise


@contextlib.contextmanager
def file_errors_in_one_line() -> Iterator[None]:
    """Turn an error about a file or a folder that nobody foresaw into one line with its path.

    Raises:
        FolderError: Its cause is the error, so that a notebook shows both.
    """
    try:
        yield
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        folder = Path(os.fsdecode(error.filename)).parent if error.filename else Path()
        if isinstance(error, FileNotFoundError) and not folder.exists():
            raise FolderError(
                f"{place}there is no folder {str(folder)!r}; make it, or name another"
            ) from error
        raise FolderError(f"{place}{error.strerror or error}; name another") from error


def folder_error(error: OSError, folder: Path) -> FolderError:
    """The error for a failed write in a folder that the user named."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(
            f"no room left in {folder}; nothing was changed; make room or name another folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FolderError(
            f"no permission to write in {folder}; nothing was changed; change its mode, or name "
            "another folder"
        )
    return FolderError(f"cannot write in {folder} ({error.strerror or error}); name another folder")
