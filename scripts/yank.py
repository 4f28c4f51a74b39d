"""potstill yank: withdraw a version; it stays readable, card and advisories name what to use."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from builders.errors import UsageError
from builders.set_names import parse_set
from scripts.command_line import Parser, add_hub_data, add_json, print_out, text
from scripts.main import the_hub

EXAMPLES = """\
  potstill yank org/set@v1.1.0 --why "the answers of two rows are swapped"
  potstill yank org/set@v1.1.0 --why "two rows are wrong" --use v1.0.0
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "set",
        type=text,
        metavar="ORG/SET@VERSION",
        help="The version to withdraw, such as org/set@v1.1.0.",
    )
    parser.add_argument("version", nargs="?", type=text, help=argparse.SUPPRESS)  # as a second word
    parser.add_argument(
        "--why",
        type=text,
        required=True,
        metavar="TEXT",
        help="What is wrong with the version, in a sentence.",
    )
    parser.add_argument(
        "--use",
        type=text,
        metavar="VERSION",
        help="The version to use instead (default: the newest that is not withdrawn).",
    )
    add_json(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Withdraw it and print the commit."""
    from builders.hub.withdraw import yank

    repository, revision = parse_set(given.set)
    version = given.version or revision
    if version is None or (given.version and revision):
        raise UsageError(f"{given.set!r} names no version; type {given.set}@v1.1.0")
    with the_hub(given.hub_data) as hub:
        sha = yank(hub, repository, version, given.why, given.use)
    if given.json:
        print_out(json.dumps({"set": repository, "version": version, "commit": sha}))
    elif sha is None:
        print_out(
            f"{version} of {repository} is withdrawn for this reason already; nothing changed"
        )
    else:
        print_out(f"{version} of {repository} is withdrawn, in commit {sha[:12]} of main")
    return 0
