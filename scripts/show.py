"""potstill show: the newest draft, what was kept and dropped, and why."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from builders.drafting.draft import last_draft, load_draft, set_folder
from builders.drafting.summary import report, samples, table
from scripts.command_line import Parser, add_json, add_name, add_work, print_out

EXAMPLES = """\
  potstill show instructions
  potstill show instructions --json
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    add_name(parser)
    add_work(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    """Print the table, then five kept and five dropped rows."""
    home = set_folder(given.name, given.work)
    draft = last_draft(home) if home else load_draft(given.name, given.work)
    if given.json:
        print_out(report(draft))
        return 0
    print_out(table(draft))
    print_out(samples(draft, most=5))
    return 0
