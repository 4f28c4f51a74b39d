"""potstill build: seeds to rows to a draft."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builders.drafting.contributions import read_contributions
from builders.drafting.estimate import estimate
from builders.drafting.run import BuildSpec, ask_shard, build_draft
from builders.drafting.summary import report, table
from builders.engine.budget import BudgetLimits
from builders.engine.pool import pool_spec
from builders.engine.progress import Progress, Ticker
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError
from builders.judging.reports import read_reports
from builders.recipe import Option, Recipe
from builders.schema import Row
from builders.sources.source import Source
from scripts.main import about_a_set, recipe


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """The verb's flags, with those of the recipe where one is named."""
    about_a_set(parser)
    parser.add_argument("--rows", type=_count, help="how many to make, in the recipe's unit")
    parser.add_argument("--seed", type=int, default=42, help="of all chance (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    teacher = parser.add_argument_group("teacher")
    teacher.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="[ROLE=]WHO[#MODEL]",
        help="embedded (default), scripted:FILE, or an endpoint's address; for every role, or for "
        "the one named; several share the roles that the recipe shares out",
    )
    teacher.add_argument("--model", help="which of the endpoint's models, where no #MODEL says it")
    teacher.add_argument(
        "--key-env",
        default="POTSTILL_API_KEY",
        metavar="NAME",
        help="the environment variable with the first endpoint's key (default %(default)s); that "
        "of another is in NAME_HOST, such as POTSTILL_API_KEY_API_EXAMPLE_ORG",
    )
    teacher.add_argument("--concurrency", type=_count, metavar="N", help="most calls in flight")
    teacher.add_argument(
        "--timeout",
        type=_above_0,
        default=600.0,
        metavar="S",
        help="deadline of one request (default %(default)g)",
    )
    teacher.add_argument(
        "--hedge",
        type=_above_0,
        metavar="S",
        help="send a call again that has no answer after so many seconds",
    )
    teacher.add_argument("--requests-a-minute", type=_above_0, metavar="N", help="at most")
    teacher.add_argument("--tokens-a-minute", type=_above_0, metavar="N", help="at most")
    money = parser.add_argument_group("money")
    money.add_argument(
        "--estimate",
        action="store_true",
        help="ask for a small sample only and say what the whole will take",
    )
    money.add_argument(
        "--budget-usd", type=_above_0, metavar="USD", help="stop before it is passed"
    )
    money.add_argument("--budget-tokens", type=_count, metavar="N", help="the same in tokens")
    money.add_argument("--budget-calls", type=_count, metavar="N", help="the same in requests")
    money.add_argument(
        "--price",
        metavar="IN/OUT",
        help="USD for a million tokens, of every model that --prices does not name",
    )
    money.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="a table in the form of builders/engine/prices.toml",
    )
    parser.add_argument(
        "--judge-report",
        type=Path,
        metavar="FILE",
        help="what `potstill judge --json` said of the judge: it travels with the set",
    )
    again = parser.add_argument_group("parts and repeats")
    again.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="ask only for the I-th of N parts; `potstill merge` joins them",
    )
    again.add_argument(
        "--from-ledger", action="store_true", help="ask nobody: build from what the ledger has"
    )
    people = parser.add_argument_group("what people gave")
    people.add_argument(
        "--contributed",
        metavar="WHERE",
        help="rows accepted into the released set: org/set, its folder, or its file of them",
    )
    seeds = parser.add_argument_group("another source of seeds")
    named = _named(parser, argv)
    flag = named.seeds.flag if named else "seeds"
    seeds.add_argument(
        f"--{flag}",
        dest="source",
        metavar="WHERE",
        help="a file, a folder, a Hub dataset as org/name, or another recipe's set",
    )
    seeds.add_argument("--column", help="the column with the prompts")
    seeds.add_argument("--split", help="the split to read (default train, or the only one)")
    seeds.add_argument("--revision", help="a tag, branch or commit of the Hub dataset")
    seeds.add_argument("--licence", default="unknown", help="its licence, as the Hub names it")
    if named:
        _options(parser, named)


def _named(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Recipe | None:
    """The recipe of the first word that is neither a flag nor a flag's value."""
    switches = {
        "",
        *(
            flag
            for action in parser._actions
            if action.nargs == 0
            for flag in action.option_strings
        ),
    }
    for before, word in zip(["", *argv], argv, strict=False):
        takes_word = before.startswith("-") and "=" not in before and before not in switches
        if not takes_word and not word.startswith("-"):
            return recipe(word)
    return None


def _options(parser: argparse.ArgumentParser, named: Recipe) -> None:
    group = parser.add_argument_group(f"options of {named.name}")
    for option in named.options:
        group.add_argument(
            f"--{option.name.replace('_', '-')}",
            dest=f"option_{option.name}",
            type=_of_option(option),
            default=option.default,
            choices=option.choices or None,
            help=f"{option.meaning} (default %(default)s)",
        )


def run(given: argparse.Namespace) -> int:
    """Build, with a live line, and print the table."""
    order = _order(given)
    progress = Progress()
    with Ticker(progress, sys.stderr):
        if given.estimate:
            facts = estimate(order, progress)
            print(json.dumps(facts) if given.json else _estimate_text(facts))
            return 0
        if order.shard:
            rows = ask_shard(order, progress)
            print("shard {}/{}: {} candidates recorded".format(*order.shard, rows))
            return 0
        draft = build_draft(order, progress)
    print(report(draft) if given.json else table(draft))
    return 0


def _order(given: argparse.Namespace) -> BuildSpec:
    named = recipe(given.name)
    options = {option.name: getattr(given, f"option_{option.name}") for option in named.options}
    return BuildSpec(
        recipe=named,
        settings=named.settings(rows=given.rows, seed=given.seed, options=options),
        work=given.work,
        teachers=pool_spec(
            given.teacher,
            TeacherSpec(
                model=given.model,
                key_env=given.key_env,
                concurrency=given.concurrency,
                timeout_s=given.timeout,
            ),
        ),
        source=Source(
            place=given.source or named.seeds.source,
            split=given.split,
            column=given.column,
            revision=given.revision,
        ),
        licence=given.licence,
        run_limits=RunLimits(
            budget=BudgetLimits(
                usd=given.budget_usd, tokens=given.budget_tokens, calls=given.budget_calls
            ),
            price=given.price,
            prices=given.prices,
            hedge_s=given.hedge,
            requests_a_minute=given.requests_a_minute,
            tokens_a_minute=given.tokens_a_minute,
        ),
        shard=given.shard,
        from_ledger=given.from_ledger,
        judge_reports=read_reports(given.judge_report) if given.judge_report else (),
        contributed=_contributed(given.contributed, named) if given.contributed else (),
    )


def _contributed(where: str, named: Recipe) -> list[Row]:
    if Path(where).exists():
        return read_contributions(Path(where), named.schema)
    from builders.review.pull_requests import fetch_contributions
    from scripts.main import the_hub

    with tempfile.TemporaryDirectory(prefix="potstill-") as folder, the_hub(only_reads=True) as hub:
        fetch_contributions(hub, where, Path(folder))
        return read_contributions(Path(folder), named.schema)


def _estimate_text(facts: dict[str, Any]) -> str:
    tokens, usd = facts["tokens"], facts["usd"]
    money = "unknown: give --price IN/OUT"
    if usd:
        money = f"{usd['expected']:.4g} ({usd['low']:.4g} to {usd['high']:.4g})"
    return (
        f"{facts['rows']} {facts['rows_of']}, from a sample of {facts['sampled_rows']} that the "
        f"ledger keeps:\n"
        f"calls   {facts['calls']:,}\n"
        f"tokens  {tokens['expected']:,.0f} ({tokens['low']:,.0f} to {tokens['high']:,.0f})\n"
        f"USD     {money}"
    )


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 3/8")
    return int(part), int(parts)


def _of_option(option: Option) -> Callable[[str], int | float | str]:
    """What reads the value of an option from a word; the library checks it."""

    def value(word: str) -> int | float | str:
        given: object = word
        if not isinstance(option.default, str):
            with contextlib.suppress(ValueError):
                given = type(option.default)(word)
        try:
            return option.value(given)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def _above_0(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
