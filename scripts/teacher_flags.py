"""The flags of a build about its teachers and their cost."""

from __future__ import annotations

from builders.engine.pool import read_teacher_license
from builders.engine.prices import read_price, read_prices
from builders.engine.teacher import KEY_ENV, MOST_IN_FLIGHT
from scripts.command_line import (
    Parser,
    above_0,
    add_alias,
    add_parameters,
    add_trust,
    checked,
    count,
    path,
    text,
)


def add_teachers(parser: Parser) -> None:
    """The flags about who answers, and how it is asked."""
    teacher = parser.add_argument_group("teachers")
    teacher.add_argument(
        "--teacher",
        type=text,
        action="append",
        default=[],
        metavar="[ROLE=]WHO[#MODEL]",
        help="Who answers: embedded (the default), embedded:FILE.gguf, scripted:FILE, or "
        "the address of an OpenAI-compatible endpoint. It takes all roles, or the one ROLE. Give "
        "the flag again for the teacher of another role, or for a further one in a role that "
        "several may share.",
    )
    teacher.add_argument(
        "--model",
        type=text,
        metavar="MODEL",
        help="Call this model, or MODEL@REVISION, for each teacher without #MODEL.",
    )
    teacher.add_argument(
        "--key-env",
        type=text,
        metavar="VARIABLE",
        help="Read the key of the first endpoint from this environment variable (default: "
        f"{KEY_ENV}). The key of another one, and without this flag of one that only a release "
        f"names, is in VARIABLE_HOST, such as {KEY_ENV}_API_EXAMPLE_ORG.",
    )
    teacher.add_argument(
        "--concurrency",
        type=count(most=MOST_IN_FLIGHT),
        metavar="N",
        help="How many requests may be in flight per endpoint (default: depends on the teacher).",
    )
    teacher.add_argument(
        "--timeout",
        type=above_0,
        default=600.0,
        metavar="SECONDS",
        help="A request without an answer fails after this time (default: %(default)g). An "
        "endpoint that gives no response at all for three times as long, and 30 s at least, is "
        "given up.",
    )
    teacher.add_argument(
        "--hedge",
        type=above_0,
        metavar="SECONDS",
        help="A request without an answer is sent a second time after this time.",
    )
    add_parameters(teacher)
    add_trust(teacher)
    license_flag = teacher.add_argument(
        "--teacher-license",
        type=checked(read_teacher_license),
        action="append",
        default=[],
        metavar="[WHO=]ID",
        help="Which license the teachers' models have, by its id on the Hub; WHO is one teacher, "
        "by its address or its role (default: that in the model's "
        "file or in the table builders/engine/model_licences.toml, else unknown terms).",
    )
    add_alias(parser, "--teacher-licence", license_flag)
    for what in ("requests", "tokens"):
        action = teacher.add_argument(
            f"--{what}-per-minute",
            type=above_0,
            metavar="N",
            help=f"Send no more {what} than this to an endpoint per minute.",
        )
        add_alias(parser, f"--{what}-a-minute", action)


def add_cost(parser: Parser) -> None:
    """The flags about what a build may cost."""
    money = parser.add_argument_group("cost")
    money.add_argument(
        "--budget-usd",
        type=above_0,
        metavar="USD",
        help="Stop before more USD are spent. Each budget counts all that the set's ledger in "
        "--work holds, of every build, with the most that requests may have used whose answers "
        "were lost, as at a time-out, and those in flight when a build with a budget is killed; "
        "one that an error answers, such as HTTP 500, is a call without tokens. Another --work has "
        "its own, and so has each shard.",
    )
    money.add_argument(
        "--budget-tokens", type=count(), metavar="N", help="Stop before more tokens are used."
    )
    money.add_argument(
        "--budget-calls",
        type=count(),
        metavar="N",
        help="Stop before more requests are sent, repeated and failed ones included; the calls of "
        "`potstill ledger` are those that got an answer.",
    )
    money.add_argument(
        "--price",
        type=checked(read_price),
        metavar="IN/OUT",
        help="What a million tokens cost in USD, input and output, with each model that --prices "
        "does not list; IN/OUT/CACHED also gives the price of input that the endpoint has cached.",
    )
    money.add_argument(
        "--prices",
        type=checked(lambda word: read_prices(path(word))),
        metavar="FILE",
        help="Read prices from this table, in the form of builders/engine/prices.toml.",
    )
