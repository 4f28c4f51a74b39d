"""potstill ledger: the calls of a build, their tokens, money and failures; export to parquet."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from builders.drafting.run import LEDGER
from builders.engine.ledger import Ledger
from builders.errors import InputError
from scripts.main import about_a_set, recipe


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    about_a_set(parser)
    parser.add_argument("--export", type=Path, metavar="FILE", help="write all answers as parquet")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def run(given: argparse.Namespace) -> int:
    """Print the sums, or export."""
    path = given.work / recipe(given.name).name / LEDGER
    if not path.exists():
        raise InputError(f"there is no {path}; run `potstill build {given.name}` first")
    with closing(Ledger.open(path, read_only=True)) as ledger:
        if given.export:
            print(f"{ledger.export(given.export):,} answers in {given.export}")
        elif given.json:
            print(json.dumps(ledger.summary()))
        else:
            _print_sums(ledger.summary())
    return 0


def _print_sums(sums: dict[str, Any]) -> None:
    for who in [*sums["teachers"], {**sums, "role": "in all", "model": ""}]:
        if who["calls"] == who["cost_unknown"]:
            money = "cost unknown"
        else:
            money = f"{who['cost_usd']:.6g} USD"
            if who["cost_unknown"]:
                money += f" and {who['cost_unknown']:,} calls of unknown cost"
        print(f"{who['role']} {who['model']}".strip())
        print(
            f"  {who['calls']:,} calls, {who['input_tokens']:,} input and "
            f"{who['output_tokens']:,} output tokens, {money}"
        )
    print("failures" if sums["failures"] else "no failures")
    for cause, times in sums["failures"].items():
        print(f"  {times:>8,}  {cause}")
