"""potstill show: the last draft, what was kept and dropped, and why."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from builders.drafting.draft import load_draft
from builders.drafting.summary import report, samples, table
from scripts.main import about_a_set


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    about_a_set(parser)
    parser.add_argument("--json", action="store_true", help="the draft's facts as one JSON object")


def run(given: argparse.Namespace) -> int:
    """Print the table, five kept and five dropped rows."""
    draft = load_draft(given.name, given.work)
    if given.json:
        print(report(draft))
        return 0
    print(table(draft))
    print(samples(draft, most=5))
    return 0
