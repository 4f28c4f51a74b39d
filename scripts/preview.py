"""potstill preview: a few rows of a build end to end, and what the whole will take."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from builders.drafting.preview import group_view, preview
from builders.drafting.row_view import inert, rendered
from builders.drafting.summary import estimate_table
from builders.engine.progress import Progress
from builders.engine.ticker import Ticker
from builders.errors import Stopped
from scripts.build_flags import add_build, build_spec_of
from scripts.command_line import Parser, add_full, count, print_out, print_paged, terminal

EXAMPLES = """\
  potstill preview my-set
  potstill preview my-set --rows 5 --full
  potstill preview ultrafeedback --teacher https://host/v1#MODEL
"""
_ROWS = 3


def arguments(parser: Parser, words: Sequence[str]) -> None:
    """The verb's words and flags, with the options of the recipe where one is named."""
    parser.add_argument(
        "--rows",
        type=count(),
        default=_ROWS,
        metavar="N",
        help=f"Run N prompts, or candidates, whichever the recipe counts (default: {_ROWS}).",
    )
    add_full(parser)
    add_build(parser, words)


def run(given: argparse.Namespace) -> int:
    """Run some rows, showing the progress, and print what happened to each and an estimate."""
    progress = Progress()
    with Ticker(progress, sys.stderr):
        facts = preview(build_spec_of(given, rows=None), given.rows, progress)
    if given.json:
        print_out(json.dumps(facts))
    else:
        print_paged("\n\n".join(_texts(facts, full=given.full)))
    if why := facts["estimate"].get("stopped"):
        raise Stopped(why, 1)
    return 0


def _texts(facts: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    width, colour = terminal()
    for place in range(len(facts["rows"])):
        yield rendered(group_view(place, facts), width=width, colour=colour, full=full)
    yield inert(estimate_table(facts["estimate"]))
