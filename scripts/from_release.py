"""The flag --from: a set that a release declares, in the place of one with a file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from builders.recipe import at_home
from builders.sets import Set
from scripts.command_line import Parser, text


def add_from(
    parser: Parser, name: argparse.Action, words: Sequence[str], meaning: str
) -> Set | None:
    """Add the flag, which makes NAME optional; the set that a release among the words declares.

    Those flags of the verb that take no value, or may, are added before.
    The flag --hub-data of the verb decides on the Hub that the release is fetched from.
    """
    parser.add_argument(
        "--from",
        dest="release",
        type=text,
        metavar="RELEASE",
        help=f"{meaning}: org/set@v1.0.0, or its folder. NAME is left out; where the recipe does "
        "not ship, it is the recipe's .py file.",
    )
    if not (release := _value_of("--from", words)):
        return None
    name.nargs, name.required = "?", False
    from builders.release.released_set import released_set
    from scripts.diff import named_folder

    hub_data = _value_of("--hub-data", words)
    data = at_home(hub_data) if hub_data else None
    with named_folder(release, argparse.Namespace(work=None, hub_data=data)) as folder:
        shown = os.path.relpath(release) if Path(release).is_dir() else release
        return released_set(folder, shown, next(iter(parser.split(words)[1]), None))


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    """The value of a flag among words that are not parsed yet."""
    for word, value in zip(words, [*words[1:], ""], strict=False):
        if word == flag or word.startswith(f"{flag}="):
            return word.partition("=")[2] or value
    return None
