"""potstill build: prompts or seed tasks to rows to a draft."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from builders.drafting.estimate import estimate
from builders.drafting.owner import new_command
from builders.drafting.run import ask_shard, build_draft
from builders.drafting.summary import estimate_table, report, table
from builders.engine.progress import Progress
from builders.engine.ticker import Ticker
from builders.errors import Stopped, number_of, shortened
from builders.recipe import Recipe
from scripts.build_flags import add_build, build_spec_of
from scripts.command_line import Parser, count, print_err, print_out

EXAMPLES = """\
  potstill build my-set --rows 20
  potstill build completions --prompts questions.csv --column question
  potstill build my-set --teacher https://host/v1#MODEL --budget-usd 5
"""


def arguments(parser: Parser, words: Sequence[str]) -> None:
    """The verb's words and flags, with the options of the recipe where one is named."""
    rows = parser.add_argument(
        "--rows",
        type=count(),
        metavar="N",
        help="How many prompts to ask, or candidates to make, whichever the recipe counts "
        "(default: all prompts of --prompts, else the recipe's number).",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="Make a small sample only, and print what the whole build will take.",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="Make only part I of N; `potstill merge` joins the parts.",
    )
    if named := add_build(parser, words):
        rows.help = _rows_help(named)


def _rows_help(named: Recipe) -> str:
    unit = named.rows_of.replace("%", "%%")
    every = "" if named.candidates else f"all of --{named.seeds.flag}, else "
    return f"How many {unit} to ask for at most (default: {every}{named.rows})."


def run(given: argparse.Namespace) -> int:
    """Build, showing the progress, and print the table."""
    spec = build_spec_of(given, rows=given.rows, shard=given.shard)
    progress, declared, facts = Progress(), None, dict[str, Any]()
    with Ticker(progress, sys.stderr):
        if given.estimate:
            facts = estimate(spec, progress)
            shown = json.dumps(facts) if given.json else estimate_table(facts)
        elif spec.shard:
            rows, shard = ask_shard(spec, progress), "{}/{}".format(*spec.shard)
            facts = {"shard": shard, "rows": rows}
            shown = f"shard {shard}: the answers to {number_of(rows, 'rows')} are recorded"
            shown = json.dumps(facts) if given.json else shown
        else:
            draft = build_draft(spec, progress)
            shown = report(draft) if given.json else table(draft)
            declared = draft.facts["set"]
    print_out(shown)
    if why := facts.get("stopped"):
        raise Stopped(why, 1)
    if declared and declared["ad_hoc"]:
        command = new_command(declared, spec.source.place if spec.source else None)
        print_err(f"this set has no file of its own; `{command}` writes one")
    return 0


def _shard(word: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", word)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"{shortened(word)} is not I/N with I from 1 to N, such as 3/8"
        )
    return int(found[1]), int(found[2])
