"""potstill yank: withdraw a version; it stays readable, card and advisories say what to use."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.main import about_a_hub, the_hub


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument("set", metavar="ORG/SET", help="the set's repository on the Hub")
    parser.add_argument("version", metavar="VERSION", help="its tag, such as v1.1.0")
    parser.add_argument("--why", required=True, help="what is wrong with it, in a sentence")
    parser.add_argument("--use", metavar="VERSION", help="what to use (default: the newest good)")
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """Withdraw it and say so."""
    from builders.hub.withdraw import yank

    with the_hub(given.hub_data) as hub:
        sha = yank(hub, given.set, given.version, given.why, given.use)
    if sha is None:
        print(f"{given.set} says so of {given.version} already; nothing changed")
    else:
        print(f"{given.version} of {given.set} is withdrawn, in commit {sha[:12]} of main")
    return 0
