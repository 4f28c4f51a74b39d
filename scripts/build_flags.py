"""The flags of a build, for each verb that makes one, and the build that they describe."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from builders.drafting.build_spec import BuildSpec, Choices
from builders.drafting.choices import build_spec
from builders.drafting.contributions import read_contributions
from builders.drafting.set_record import file_with_digest
from builders.engine.budget import BudgetLimits
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import TeacherSpec
from builders.errors import RecipeError
from builders.hub_vocabulary import known_licence
from builders.judging.reports import read_reports
from builders.recipe import SEED, SEEDS, Option, Recipe
from builders.schema import Row
from builders.sets import load_set
from scripts.command_line import (
    Parser,
    add_alias,
    add_hub_data,
    add_json,
    add_name,
    add_parts,
    add_work,
    checked,
    count,
    key_of,
    path,
    text,
)
from scripts.from_release import add_from
from scripts.teacher_flags import add_cost, add_teachers


def add_build(parser: Parser, words: Sequence[str]) -> Recipe | None:
    """All flags but those of one verb alone; with the options of the recipe where one is named.

    The flags of the verb are added before, since no option of a recipe may have their names.
    """
    name_word = add_name(parser)
    add_work(parser)
    add_hub_data(parser)
    parser.add_argument(
        "--keep",
        type=count(),
        metavar="N",
        help="Go on until N rows are kept in the draft, after all gates and with the rows that "
        "people gave: in the order of the source, each time for as many as are missing; --rows is "
        "then the most to ask for (default: all of the source, or ten candidates per row to keep).",
    )
    parser.add_argument(
        "--seed",
        type=count(-SEEDS, SEEDS - 1),
        metavar="N",
        help=f"Which seed all random choices start from (default: {SEED}).",
    )
    parser.add_argument(
        "--judge-report",
        type=path,
        metavar="FILE",
        help="Show this output of `potstill judge --json` about the judge on the card.",
    )
    parser.add_argument(
        "--contributed",
        type=text,
        metavar="WHERE",
        help="Take in the rows that people gave to the released set: org/set, its folder, or "
        "the Parquet file of its `contributed`.",
    )
    add_json(parser)
    add_teachers(parser)
    add_cost(parser)
    again = parser.add_argument_group("repeats")
    again.add_argument(
        "--retry",
        action="store_true",
        help="Ask again where an earlier build got nothing to use: the calls that an endpoint "
        "refused, such as those that its credit was too low for, and the judgements that could "
        "not be parsed, such as those of a judge that is fixed now.",
    )
    again.add_argument(
        "--retry-refused",  # its name before judgements were asked again, too
        dest="retry",
        action="store_true",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    again.add_argument(
        "--accept-unreadable",
        action="store_true",
        help="Go on where (nearly) none of a judge's answers can be parsed. Without this flag a "
        "build stops after 20 of them, and so does the same build when it is started again.",
    )
    again.add_argument(
        "--from-ledger",
        action="store_true",
        help="Ask no teacher: build from the answers that the ledger has.",
    )
    # The recipe is needed before the words are parsed, since it has flags of its own.
    name = next(iter(parser.split(words)[1]), None)
    if a_set := add_from(parser, name_word, words, "Build again what a release declares"):
        release = a_set.released.shown if a_set.released else ""
        name = f"{shlex.quote(name) + ' ' if name else ''}--from {shlex.quote(release)}"
    elif name is not None:
        a_set = load_set(name)
    named = a_set.recipe if a_set else None
    parser.set_defaults(set=a_set)
    _source_flags(parser, named.seeds.flag if named else "seeds")
    if named:
        _options(parser, named)
        parser.epilog = _examples(str(parser.prog), str(name), named)
    return named


class _Once(argparse.Action):
    """A flag that is refused where it comes twice: its first value would be forgotten."""

    def __call__(
        self, _: object, given: argparse.Namespace, value: object, *_names: object
    ) -> None:
        if getattr(given, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice; put the files in a folder to read all")
        setattr(given, self.dest, value)


def _source_flags(parser: Parser, flag: str) -> None:
    source = parser.add_argument_group("source")
    source.add_argument(
        f"--{flag}",
        dest="source",
        action=_Once,
        type=text,
        metavar="WHERE",
        help=f"Start from other {flag}: a file, a folder, a Hub dataset such as org/name, or the "
        "set of another recipe.",
    )
    source.add_argument(
        "--column",
        type=text,
        metavar="COLUMN",
        help="Read prompts from this column; A+B joins two.",
    )
    add_parts(source)
    license_flag = source.add_argument(
        "--license",
        type=checked(known_licence),
        metavar="ID",
        help="Which license the source has, by its id on the Hub, such as cc-by-4.0 (default: that "
        "on the card of a folder or a Hub dataset).",
    )
    add_alias(parser, "--licence", license_flag)


def _options(parser: Parser, named: Recipe) -> None:
    group = parser.add_argument_group(f"options of {named.name}")
    for option in named.options:
        meaning = f"{option.meaning[0].upper()}{option.meaning[1:]} (default: {option.default})."
        flag = f"--{option.name.replace('_', '-')}"
        if flag in {given for one in parser.shown() for given in one.option_strings}:
            raise RecipeError(
                f"{named.name} has an option {option.name!r}, and every build a flag {flag}; "
                "rename the option"
            )
        group.add_argument(
            flag,
            dest=f"option_{option.name}",
            type=_of_option(option),
            choices=option.choices or None,
            metavar=_metavar(option),
            help=meaning.replace("%", "%%"),
        )


def _metavar(option: Option) -> str:
    if option.choices:
        return "{" + ",".join(option.choices) + "}"
    if isinstance(option.default, str):
        return "FILE" if option.file else "WORD"
    return "N" if isinstance(option.default, int) else "X"


def _of_option(option: Option) -> Callable[[str], int | float | str]:
    """What reads the value of an option from a word; the library checks it."""

    def value(word: str) -> int | float | str:
        given: object = word
        if not isinstance(option.default, str):
            with contextlib.suppress(ValueError):
                given = type(option.default)(word)
        return option.value(given)

    return checked(value)


def _examples(command: str, name: str, recipe: Recipe) -> str:
    """The examples of one recipe, under the name by which it was given."""
    build = f"{command} {name if '--from ' in name else shlex.quote(name)}"
    source = "--seeds tasks.jsonl"
    if recipe.seeds.flag == "prompts":
        source = "--prompts questions.csv --column question"
    return (
        f"  {build} --rows {20 if command.endswith('build') else 5}\n"
        f"  {build} {source}\n"
        f"  {build} --teacher https://host/v1#MODEL --budget-usd 5\n"
    )


def build_spec_of(
    given: argparse.Namespace, *, rows: int | None, shard: tuple[int, int] | None = None
) -> BuildSpec:
    """The build that the flags describe, of so many rows; None takes the set's number."""
    recipe = given.set.recipe
    options = {option.name: getattr(given, f"option_{option.name}") for option in recipe.options}
    chosen = Choices(
        rows=rows,
        keep=given.keep,
        seed=given.seed,
        options={name: value for name, value in options.items() if value is not None},
        source={
            "place": given.source,
            "config": given.config,
            "split": given.split,
            "column": given.column,
            "revision": given.revision,
        },
        licence=given.license,
        teachers=given.teacher,
        usual=TeacherSpec(
            model=given.model,
            concurrency=given.concurrency,
            timeout_s=given.timeout,
            **key_of(given),
        ),
        parameters=[*given.param, *given.without],
        trusted=given.trust_missing_end,
        licences=given.teacher_license,
        run_limits=RunLimits(
            budget=BudgetLimits(
                usd=given.budget_usd, tokens=given.budget_tokens, calls=given.budget_calls
            ),
            price=given.price,
            prices=given.prices,
            hedge_s=given.hedge,
            requests_per_minute=given.requests_per_minute,
            tokens_per_minute=given.tokens_per_minute,
            retry=given.retry,
            accept_unreadable=given.accept_unreadable,
        ),
        work=given.work,
        shard=shard,
        from_ledger=given.from_ledger,
        judge_reports=read_reports(given.judge_report) if given.judge_report else (),
        contributed=_contributed(given, recipe) if given.contributed else (),
    )
    files = {"judge-report": file_with_digest(given.judge_report)} if given.judge_report else {}
    if given.contributed:
        files["contributed"] = file_with_digest(given.contributed, chosen.contributed)
    return build_spec(given.set, replace(chosen, files=files))


def _contributed(given: argparse.Namespace, named: Recipe) -> list[Row]:
    where = given.contributed
    if Path(where).exists():
        return read_contributions(Path(where), named.schema)
    from builders.review.pull_requests import fetch_contributions
    from scripts.main import the_hub

    with (
        tempfile.TemporaryDirectory(prefix="potstill-") as folder,
        the_hub(given.hub_data, only_reads=True) as hub,
    ):
        fetch_contributions(hub, where, Path(folder))
        return read_contributions(Path(folder), named.schema)
