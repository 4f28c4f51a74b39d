"""potstill ledger: the calls of all builds of a set, their tokens, cost and failures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from builders.drafting.build_spec import LEDGER
from builders.drafting.repair import repair_ledgers
from builders.engine.budget import used_in_all
from builders.engine.ledger import Ledger
from builders.engine.ledger_format import ledger_exists
from builders.engine.spent_before import used_so_far
from builders.errors import InputError, number_of
from builders.sets import load_set, set_home
from scripts.command_line import Parser, add_json, add_name, add_work, path, print_out

EXAMPLES = """\
  potstill ledger my-set
  potstill ledger my-set --export answers.parquet
  potstill ledger my-set --repair
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    add_name(parser)
    parser.add_argument(
        "--export", type=path, metavar="FILE", help="Write all answers to a parquet file."
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="Save what can be read of damaged ledgers, of shards too, in whole ones.",
    )
    add_work(parser)
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    """Print the sums, export, or repair."""
    home = set_home(given.name, given.work)
    if home is None:
        a_set = load_set(given.name)
        home = (given.work or a_set.work) / a_set.name
    if given.repair:
        repaired = repair_ledgers(home)
        lines = [_repaired(home / place, facts) for place, facts in repaired.items()]
        print_out(json.dumps(repaired) if given.json else "\n".join(lines))
        return 0
    if not ledger_exists(home / LEDGER):
        raise InputError(
            f"there is no {home / LEDGER}; run `potstill build {given.name}` first, or name "
            "another folder with --work"
        )
    with closing(Ledger.open(home / LEDGER, read_only=True)) as ledger:
        if given.export:
            answers = ledger.export(given.export)
            facts = {"answers": answers, "file": str(given.export)}
            shown = f"wrote {number_of(answers, 'answers')} to {given.export}"
        else:
            facts = ledger.summary() | {"used": used_so_far(ledger)[0]}
            shown = _table(facts)
    print_out(json.dumps(facts) if given.json else shown)
    return 0


def _repaired(path: Path, facts: dict[str, Any] | None) -> str:
    if facts is None:
        return f"{path} is whole; nothing was changed"
    least = "" if facts["lost_exactly"] else "at least "
    return (
        f"{path} was damaged; answers saved: {facts['answers']:,}, failures saved: "
        f"{facts['failures']:,}, answers lost: {least}{facts['lost']:,}, which the next build asks "
        f"again; the damaged file is kept as {facts['damaged']}"
    )


def _table(sums: dict[str, Any]) -> str:
    lines = []
    for who in [*sums["teachers"], {**sums, "role": "total", "model": ""}]:
        cost = f"{who['cost_usd'] or 0:.6g} USD"
        if who["at_most_usd"] > (who["cost_usd"] or 0.0):
            cost = f"at most {who['at_most_usd']:.6g} USD"
        if who["unpriced"]:
            cost = f"{cost}, and {number_of(who['unpriced'], 'calls')} of unknown cost"
        if who["unpriced"] == who["calls"]:
            cost = "cost unknown"
        but = f" ({number_of(who['uncounted'], 'calls')} not counted)" if who["uncounted"] else ""
        at = f" at {who['endpoint']}" if "endpoint" in who else ""
        revision = f"@{who['revision']:.19}" if who.get("revision") else ""
        lines += [
            f"{who['role']} {who['model']}{revision}{at}".strip(),
            f"  {number_of(who['calls'], 'calls')}, {who['input_tokens']:,} input and "
            f"{number_of(who['output_tokens'], 'output tokens')}{but}, {cost}",
        ]
    lines.append(used_in_all(sums["used"]))
    lines.append("failed requests:" if sums["failures"] else "no failed requests")
    for cause, requests in sums["failed_requests"].items():
        lines.append(f"  {requests:>8,}  {cause}, in {number_of(sums['failures'][cause], 'calls')}")
    return "\n".join(lines)
