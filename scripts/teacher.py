"""potstill teacher: what a teacher can do, asked before a build."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from typing import Any

from builders.drafting.answer_counts import is_another
from builders.engine.teacher import KEY_ENV, TeacherSpec
from builders.errors import UsageError, number_of, printable
from scripts.command_line import (
    Parser,
    above_0,
    add_json,
    add_parameters,
    count,
    key_of,
    one_of,
    print_err,
    print_out,
    text,
)

ACTIONS = ("check",)
EXAMPLES = """\
  potstill teacher check https://host/v1#MODEL
  potstill teacher check embedded:model.gguf
  potstill teacher check http://127.0.0.1:8000/v1 --without seed --json
"""
_TITLES = {
    "json_schema": "JSON schema",
    "log_probabilities": "log-probabilities",
    "texts_to_continue": "texts to continue",
    "end": "end of an answer",
}


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "action",
        type=one_of(ACTIONS),
        choices=ACTIONS,
        metavar="check",
        help="Ask short questions, which no ledger records: about 10, and up to twice as many as "
        "--concurrency to find out how many are answered at a time.",
    )
    parser.add_argument(
        "who",
        type=text,
        metavar="WHO[#MODEL]",
        help="The address of an endpoint, embedded, or embedded:FILE.gguf.",
    )
    parser.add_argument(
        "--model", type=text, metavar="MODEL", help="Ask this model of the endpoint."
    )
    parser.add_argument(
        "--key-env",
        type=text,
        metavar="VARIABLE",
        help=f"Read the key of the endpoint from this variable (default: {KEY_ENV}).",
    )
    add_parameters(parser)
    parser.add_argument(
        "--concurrency",
        type=count(1, 1000),
        default=32,
        metavar="N",
        help="Ask at most N questions at a time (default: %(default)s).",
    )
    parser.add_argument(
        "--timeout",
        type=above_0,
        default=60.0,
        metavar="SECONDS",
        help="Give up a request after this time (default: %(default)g).",
    )
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    """Ask, and print what was found."""
    from builders.engine.pool import pool_spec
    from builders.engine.teacher_check import EMPTY, check

    choices = [*given.param, *given.without]
    if named := next((one for one in choices if one.teacher), None):
        raise UsageError(f"{named.teacher}:{named.name} names a role; leave out {named.teacher}:")
    usual = TeacherSpec(model=given.model, timeout_s=given.timeout, **key_of(given))
    spec = pool_spec([given.who], usual, choices)
    if spec.roles:
        raise UsageError(f"{given.who!r} names a role; leave out the part before =")
    found = asyncio.run(check(spec.every[0], choices, given.concurrency, print_err))
    print_out(json.dumps(found) if given.json else table(found))
    return int(found["findings"]["messages"]["result"] == EMPTY)


def table(found: dict[str, Any]) -> str:
    """What was found as people read it, one line for each question."""
    models = found["models"]
    listed = ", ".join(models[:10]) + (f" and {len(models) - 10} more" if models[10:] else "")
    speed = f", {found['tokens_per_s']:g} tokens/s" if found["tokens_per_s"] else ""
    rows = [
        ("models", listed or "it lists none"),
        ("latency", f"{found['latency_s']:g} s{speed}"),
    ]
    for name, one in found["findings"].items():
        facts = [one["result"], *([one["note"]] if "note" in one else [])]
        facts += [f"{what}: {became}" for what, became in one.get("refused", {}).items()]
        rows.append((_TITLES.get(name, name.replace("_", " ")), "; ".join(facts)))
    model, by = found["model"], found["answered_by"]
    other = f", but {by} answers" if by and is_another(printable(model), by) else ""
    lines = [f"{found['teacher']}, model {model}{other}"]
    lines += [f"  {name:<18} {value}" for name, value in rows]
    sent = number_of(found["requests"], "requests")
    return "\n".join([*lines, f"asked in {sent}, {number_of(found['tokens'], 'tokens')}"])
