"""potstill build: seeds to rows to a draft."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from builders.build import Order, build
from builders.engine.progress import Progress, Ticker
from builders.engine.teachers import TeacherSpec
from builders.recipe import Recipe, Settings
from builders.release.draft import table
from builders.seeds import Source
from scripts.main import recipe


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """The verb's flags, with those of the recipe where one is named."""
    parser.add_argument("name", metavar="NAME", help="a recipe; `potstill list` names them")
    parser.add_argument("--rows", type=_count, help="how many to make, in the recipe's unit")
    parser.add_argument("--seed", type=int, default=42, help="of all chance (default %(default)s)")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("work"),
        metavar="DIR",
        help="where drafts lie (default ./work)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    teacher = parser.add_argument_group("teacher")
    teacher.add_argument(
        "--teacher",
        default="embedded",
        metavar="WHO",
        help="embedded (default), scripted:FILE, or an endpoint's address",
    )
    teacher.add_argument("--model", help="which of the endpoint's models")
    teacher.add_argument(
        "--key-env",
        default="POTSTILL_API_KEY",
        metavar="NAME",
        help="the environment variable with its key (default %(default)s)",
    )
    teacher.add_argument("--concurrency", type=_count, metavar="N", help="most calls in flight")
    teacher.add_argument(
        "--timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="deadline of one request (default %(default)g)",
    )
    seeds = parser.add_argument_group("another source of seeds")
    named = next((recipe(word) for word in argv if not word.startswith("-")), None)
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


def _options(parser: argparse.ArgumentParser, named: Recipe) -> None:
    group = parser.add_argument_group(f"options of {named.name}")
    for option in named.options:
        group.add_argument(
            f"--{option.name.replace('_', '-')}",
            dest=f"option_{option.name}",
            type=type(option.default),
            default=option.default,
            choices=option.choices or None,
            help=f"{option.meaning} (default %(default)s)",
        )


def run(given: argparse.Namespace) -> int:
    """Build, with a live line, and print the table."""
    named = recipe(given.name)
    options = {option.name: getattr(given, f"option_{option.name}") for option in named.options}
    order = Order(
        recipe=named,
        settings=Settings(rows=given.rows or named.rows, seed=given.seed, options=options),
        work=given.work,
        teacher=TeacherSpec(
            place=given.teacher,
            model=given.model,
            key_env=given.key_env,
            concurrency=given.concurrency,
            timeout_s=given.timeout,
        ),
        source=Source(
            place=given.source or named.seeds.source,
            split=given.split,
            column=given.column,
            revision=given.revision,
        ),
        licence=given.licence,
    )
    progress = Progress()
    with Ticker(progress, sys.stderr):
        draft = build(order, progress)
    if given.json:
        print(json.dumps({**draft.facts, "draft": str(draft.folder)}, ensure_ascii=False))
    else:
        print(table(draft))
    return 0


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
