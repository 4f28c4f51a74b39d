"""potstill merge: the shards of one build to one draft."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from builders.drafting.merge import merge
from builders.drafting.summary import report, table
from builders.engine.progress import Progress, Ticker
from scripts.main import about_a_set, recipe


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    about_a_set(parser)
    parser.add_argument(
        "shards",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="the shards' folders (default all below WORK/NAME/shards)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def run(given: argparse.Namespace) -> int:
    """Merge and print the table."""
    progress = Progress()
    with Ticker(progress, sys.stderr):
        draft = merge(recipe(given.name), given.work, given.shards, progress)
    print(report(draft) if given.json else table(draft))
    return 0
