"""potstill merge: the shards of one build, joined into one draft."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from builders.drafting.merge import merge
from builders.drafting.summary import report, table
from builders.engine.progress import Progress
from builders.engine.ticker import Ticker
from builders.sets import load_set
from scripts.command_line import Parser, add_json, add_name, add_work, path, print_out

EXAMPLES = """\
  potstill merge my-set
  potstill merge my-set shards/001-of-002 shards/002-of-002
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    add_name(parser)
    parser.add_argument(
        "shards",
        nargs="*",
        type=path,
        default=[],
        metavar="FOLDER",
        help="Join the shards in these folders (default: all below WORK/NAME/shards).",
    )
    add_work(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    """Merge and print the table."""
    progress = Progress()
    with Ticker(progress, sys.stderr):
        a_set = load_set(given.name)
        draft = merge(a_set, given.work or a_set.work, given.shards, progress)
    print_out(report(draft) if given.json else table(draft))
    return 0
