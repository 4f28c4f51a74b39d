"""potstill help: the help of a verb, with the options of a set or a recipe where one is named."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.command_line import Parser, one_of, print_out, text
from scripts.main import VERBS, parsers

EXAMPLES = """\
  potstill help build
  potstill help build my-set    # with the options of its recipe
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words."""
    parser.add_argument(
        "about",
        nargs="?",
        type=one_of(VERBS),
        metavar="VERB",
        help="The verb to explain; without one, all are listed.",
    )
    parser.add_argument(
        "name",
        nargs="?",
        type=text,
        metavar="NAME",
        help="A set or a recipe: the options of the recipe are explained too.",
    )


def run(given: argparse.Namespace) -> int:
    """Print it."""
    verb = given.about or ""
    words = [given.name] if given.name else []
    print_out(parsers({verb: words})[verb].format_help().rstrip())
    return 0
