"""What all verbs share: parsing and checking words and flags, and printing."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from builders.engine.parameters import read_param, read_without
from builders.engine.teacher import KEY_ENV
from builders.errors import (
    FolderError,
    InputError,
    UsageError,
    did_you_mean,
    nearest_name,
    printable,
    shortened,
)
from builders.recipe import MOST
from builders.recipe import path as library_path
from builders.recipe import text as library_text

Value = TypeVar("Value")
_NEGATIVE = re.compile(r"-\.?\d")  # no flag begins like a number
_MEANT = {  # by what is no flag of a verb, or what others call it, those that mean the same
    **dict.fromkeys(
        (
            *("--prompts", "--seeds", "--input", "--inputs", "--data", "--dataset", "--source"),
            *("--questions", "--tasks", "--file"),
        ),
        ("--prompts", "--seeds", "--on"),
    ),
    **dict.fromkeys(("--limit", "--max-rows", "--num-rows", "--count"), ("--rows",)),
    **dict.fromkeys(("--url", "--base-url", "--api-base", "--endpoint"), ("--teacher",)),
    **dict.fromkeys(("--api-key", "--token"), ("--key-env",)),
    **dict.fromkeys(("--workers", "--parallel", "--threads", "--jobs"), ("--concurrency",)),
    **dict.fromkeys(("--out", "--output", "--output-dir"), ("--to-folder", "--work")),
}
HUB_DATA = Path("work/hub")  # of the embedded Hub, unless another folder is named
_MISSING = re.compile(r"the following arguments are required: (.*)")


def print_out(text: str, *, safe: bool = False) -> None:
    """Print lines on stdout; a verb prints in no other way, and a long text with `print_paged`.

    Lines that are `safe` hold nothing from outside that could control a terminal.

    Raises:
        FolderError: They cannot be written.
    """
    try:
        print(text if safe else _lines(text), flush=True)  # noqa: T201 - the only one
    except OSError as error:
        # The buffer still holds them: without this, the exit would fail on them again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has seen enough, as `head` does
            raise SystemExit(1) from None
        raise FolderError(
            f"the output cannot be written ({error.strerror}); write it to another place"
        ) from None


def terminal() -> tuple[int, bool]:
    """How many columns a line on stdout may have, and whether it may have colour."""
    columns = min(shutil.get_terminal_size((80, 24)).columns, 200)
    colour = _is_terminal() and not os.environ.get("NO_COLOR")
    return max(columns, 40) - 1, colour


def print_paged(shown: str) -> None:
    """Print what is safe for a terminal; there through $PAGER, or less, as git does.

    Raises:
        FolderError: It cannot be written.
    """
    pager = os.environ.get("PAGER", "less") if _is_terminal() else ""
    if pager in ("", "cat"):
        print_out(shown, safe=True)
        return
    content = f"{shown}\n".encode(sys.stdout.encoding, "backslashreplace")
    # What fits on a screen is printed, colours are shown, and the text stays when less ends.
    settings = {"LESS": "FRX", "LV": "-c", **os.environ}
    with subprocess.Popen(["sh", "-c", pager], stdin=subprocess.PIPE, env=settings) as reading:
        with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # the reader has seen enough
            reading.communicate(content)
        while reading.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # the pager's own
                reading.wait()
    if reading.returncode in (126, 127):  # there is no such pager
        print_out(shown, safe=True)


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def print_error(program: str, error: Exception) -> None:
    """Print an error as one line with the program's name; a very long one without its middle."""
    line = " ".join(str(error).split())
    print_err(f"{program}: {line if len(line) <= 1000 else f'{line[:700]} [...] {line[-290:]}'}")


def print_err(text: str) -> None:
    """Print lines on stderr; work goes on if they cannot be written."""
    with contextlib.suppress(OSError):
        print(_lines(text), file=sys.stderr, flush=True)  # noqa: T201


def _lines(text: str) -> str:
    """Lines that cannot control a terminal, since they may hold text from outside."""
    return "\n".join(map(printable, text.split("\n")))


class Parser(argparse.ArgumentParser):
    """The parser of one verb: words and flags in any order, and every error is one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            **settings,
            add_help=False,
            allow_abbrev=False,
            exit_on_error=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("-h", "--help", action="store_true", help="Print this help.")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The values of the words and flags.

        Raises:
            UsageError: A value is wrong, a word is missing, or there is no such flag.
        """
        flags, plain = self.split(words)
        given_flags = (word.partition("=")[0] for word in flags if _is_flag(word))
        known = self._option_string_actions
        if strange := next((flag for flag in given_flags if flag not in known), None):
            shown = [one for of in self.shown() for one in of.option_strings]
            same = [one for one in _MEANT.get(strange, ()) if one in shown]
            hint = f"; did you mean {same[0]!r}?" if same else did_you_mean(strange, shown)
            raise UsageError(
                f"{self.prog} has no flag {strange!r}{hint or f'; `{self.prog} --help` lists them'}"
            )
        try:
            given, left = self.parse_known_args([*flags, "--", *plain] if plain else flags)
        except argparse.ArgumentError as error:
            raise UsageError(self._refusal(error.argument_name, error.message)) from None
        if left:
            raise UsageError(f"{left[0]!r} is one word too many; type {self._synopsis()}")
        return given

    def split(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The flags with their values, and the other words, in whatever order they come.

        After `--` come no flags. A flag that is not known takes a value, as a recipe's options do.
        The value of a flag that needs none is a word where one is missing: `--dropped NAME`.
        """
        flags: list[str] = []
        spare: int | None = None
        plain: list[str] = []
        left = list(words)
        while left:
            word = left.pop(0)
            if word == "--":
                return flags, plain + left
            if not _is_flag(word):
                plain.append(word)
                continue
            flags.append(word)
            action = self._option_string_actions.get(word)
            takes_value = "=" not in word and (action is None or action.nargs != 0)
            if takes_value and left and not _is_flag(left[0]):
                spare = len(flags) if action and action.nargs == "?" else spare
                flags.append(left.pop(0))
        needed = any(not one.option_strings and one.nargs != "?" for one in self._actions)
        return flags, plain or ([flags.pop(spare)] if spare and needed else [])

    def error(self, message: str) -> NoReturn:
        """Raise, where argparse prints its usage and exits."""
        raise UsageError(self._refusal(None, message))

    def shown(self) -> list[argparse.Action]:
        """The words and flags that are not hidden."""
        return [action for action in self._actions if action.help != argparse.SUPPRESS]

    def _refusal(self, flag: str | None, message: str) -> str:
        if flag is None:
            missing = _MISSING.fullmatch(message)
            what = f"{missing[1]} is missing" if missing else message
            return f"{what}; type {self._synopsis()}"
        if message.startswith("expected "):
            metavar = next(one.metavar for one in self._actions if flag in one.option_strings)
            return f"{flag} needs a value; type {flag} {metavar}"
        if message.startswith("ignored explicit argument"):
            return f"{flag} takes no value; type {flag} alone"
        return f"{flag}: {message}"

    def _synopsis(self) -> str:
        """What has to be typed: the verb, its words and its required flags."""
        words = [self.prog]
        for action in self.shown():
            if not action.option_strings:
                optional = action.nargs in ("?", "*")
                words.append(f"[{action.metavar}]" if optional else str(action.metavar))
            elif action.required:
                words.append(f"{action.option_strings[0]} {action.metavar}")
        return f"`{' '.join(words)}`"


def _is_flag(word: str) -> bool:
    """Whether a word is a flag, or `--`, where it is not the value of one."""
    flag = word.partition("=")[0]
    return flag.startswith("-") and flag != "-" and " " not in flag and not _NEGATIVE.match(word)


# --- values


def text(value: str) -> str:
    """Any text that is not empty."""
    return checked(library_text)(value)


def path(value: str) -> Path:
    """A file or a folder on this machine."""
    return checked(library_path)(value)


def count(least: int = 1, most: int = MOST) -> Callable[[str], int]:
    """A whole number within bounds."""
    bound = f" from {least} on" if least >= 0 else ""

    def value(word: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,40}", word) or int(word) < least:
            raise argparse.ArgumentTypeError(f"{shortened(word)} is not a whole number{bound}")
        if int(word) > most:
            raise argparse.ArgumentTypeError(f"{word} is too large; the largest is {most:,}")
        return int(word)

    return value


def above_0(word: str) -> float:
    """A number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(word) < math.inf:
            return float(word)
    raise argparse.ArgumentTypeError(f"{shortened(word)} is not a number above 0")


def checked(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """A value that the library reads and checks, with the library's error."""

    def value(word: str) -> Value:
        try:
            return read(word)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """One of a few words."""
    known = [*names]

    def value(word: str) -> str:
        if word in known:
            return word
        raise argparse.ArgumentTypeError(
            f"there is no {shortened(word)}; there are {nearest_name(word, known)}"
        )

    return value


# --- the words and flags that several verbs have, each with one name


def add_name(parser: Parser) -> argparse.Action:
    """The set that a verb is about."""
    return parser.add_argument(
        "name",
        type=text,
        metavar="NAME",
        help="A set: its file NAME.md, here or by its path, or one that ships; or a recipe that "
        "`potstill list` shows, or a .py file or a module with one, for a set without a file.",
    )


def add_work(parser: Parser) -> None:
    """The folder of all drafts and ledgers."""
    parser.add_argument(
        "--work",
        type=path,
        metavar="DIR",
        help="The drafts and ledgers are in this folder (default: work beside the set's file; "
        "./work for a set that ships or has no file).",
    )


def add_hub_data(parser: Parser) -> argparse.Action:
    """The folder of the embedded Hub."""
    return parser.add_argument(
        "--hub-data",
        type=path,
        metavar="DIR",
        help="Use the embedded Hub with its data in this folder (default: ./work/hub), also where "
        "there is a token or HF_ENDPOINT.",
    )


def add_json(parser: Parser) -> None:
    """The same facts for a program."""
    parser.add_argument("--json", action="store_true", help="Print one JSON object instead.")


def add_full(parser: Parser) -> None:
    """Whether long texts are printed whole."""
    parser.add_argument("--full", action="store_true", help="Show long texts whole.")


def add_parts(group: argparse._ArgumentGroup | Parser) -> None:
    """The flags for the part of a dataset to read."""
    group.add_argument(
        "--config", type=text, metavar="CONFIG", help="Read this config of a dataset with several."
    )
    group.add_argument(
        "--split", type=text, metavar="SPLIT", help="Read only this split (default: all splits)."
    )
    group.add_argument(
        "--revision",
        type=text,
        metavar="REVISION",
        help="Read this tag, branch or commit of the Hub dataset (default: main).",
    )


def add_alias(parser: Parser, flag: str, of: argparse.Action) -> None:
    """Another spelling of a flag, which is accepted and not shown."""
    parser.add_argument(
        flag,
        action=type(of),
        dest=of.dest,
        type=of.type or str,
        metavar=of.metavar,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def add_parameters(group: argparse._ArgumentGroup | Parser) -> None:
    """The flags for what each request carries."""
    group.add_argument(
        "--param",
        type=checked(read_param),
        action="append",
        default=[],
        metavar="[ROLE:]NAME=VALUE",
        help="Send this parameter with each request, as JSON or text, such as "
        "reasoning_effort=low. Repeat the flag for more.",
    )
    group.add_argument(
        "--without",
        type=checked(read_without),
        action="append",
        default=[],
        metavar="[ROLE:]NAME",
        help="Leave this parameter out of each request, such as seed. Repeat the flag for more.",
    )


def add_trust(group: argparse._ArgumentGroup) -> None:
    """The flag for how an answer is taken that reports no end."""
    group.add_argument(
        "--trust-missing-end",
        type=text,
        action="append",
        default=[],
        metavar="WHO",
        help="Take answers for complete although this teacher, by its address, reports no end: for "
        "an endpoint that never reports one. An answer that was broken off is not noticed then.",
    )


def key_of(given: argparse.Namespace) -> dict[str, Any]:
    """The variable with the key of the first endpoint, and whether --key-env names it."""
    return {"key_env": given.key_env or KEY_ENV, "key_named": given.key_env is not None}
