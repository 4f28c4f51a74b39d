"""potstill judge: how far a judge can be trusted, measured on pairs that people labelled."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders.engine.teacher import KEY_ENV, TeacherSpec
from builders.errors import UsageError, named_in_errors, number_of
from builders.hub.connection import from_environment
from builders.hub.fetch import fetch_snapshot
from builders.judging.label_values import label_values
from builders.judging.verdicts import Judged
from builders.set_names import set_name
from builders.sets import WORK
from builders.sources.source import Source
from scripts.command_line import (
    Parser,
    add_hub_data,
    add_json,
    add_parameters,
    add_parts,
    add_trust,
    add_work,
    checked,
    count,
    key_of,
    print_err,
    print_out,
    text,
)
from scripts.main import the_hub

_OF_TEACHER = (*("model", "key_env", "param", "without", "trust_missing_end", "rows", "repeats"),)
EXAMPLES = """\
  potstill judge --on labelled.jsonl
  potstill judge --on labelled.jsonl --teacher https://host/v1#MODEL --json
  potstill judge --on pairs.jsonl --columns verdict=winner,label=ann_1+ann_2
  potstill judge --on org/set --split test --teacher https://host/v1#MODEL
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument(
        "--on",
        type=text,
        required=True,
        metavar="WHERE",
        help="Measure on these pairs that people labelled: a file, a folder, or a set on a Hub, "
        "such as org/set@v1.0.0.",
    )
    add_parts(parser)
    parser.add_argument(
        "--columns",
        type=text,
        metavar="NAME=COLUMN,...",
        help="Which column holds what (default: a known shape is recognised). The names are "
        "explained when one is wrong.",
    )
    parser.add_argument(
        "--labels",
        type=checked(label_values),
        metavar="VALUE=LABEL,...",
        help="What labels mean, such as 0=a,1=b,2=tie (default: known forms are recognised).",
    )
    parser.add_argument(
        "--strict", action="store_true", help="Exit with 1 unless every judge is reliable."
    )
    add_json(parser)
    live = parser.add_argument_group("a judge that is asked now, in both orders")
    live.add_argument(
        "--teacher",
        type=text,
        metavar="WHO[#MODEL]",
        help="Ask this judge: embedded, embedded:FILE.gguf, scripted:FILE, or the address of an "
        "endpoint (default: none; the verdicts in the file are measured).",
    )
    live.add_argument(
        "--model",
        type=text,
        metavar="MODEL",
        help="Call this model of the endpoint.",
    )
    live.add_argument(
        "--key-env",
        type=text,
        metavar="VARIABLE",
        help=f"Read the key of the endpoint from this variable (default: {KEY_ENV}).",
    )
    add_parameters(live)
    add_trust(live)
    live.add_argument("--rows", type=count(), metavar="N", help="Only ask about the first N pairs.")
    live.add_argument(
        "--repeats",
        type=count(0),
        metavar="N",
        help="Ask N times more in the first order (default: 0).",
    )
    add_work(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Measure each judge in the file, or the one asked now; print figures and verdict."""
    from builders.judging.labelled_sets import column_names, read_judged
    from builders.judging.reliability import report

    teacher = _spec(given)
    columns = column_names(given.columns) if given.columns else None
    with _source(given) as source:
        if teacher:
            judges = [_asked(given, teacher, source, columns)]
        else:
            judges = read_judged(source, columns, given.labels, report=print_err)
    reports = [report(judged) for judged in judges]
    if given.json:
        print_out(json.dumps({"judges": reports}))
    else:
        print_out("\n\n".join(map(table, reports)))
    return int(given.strict and not all(one["reliable"] for one in reports))


@contextlib.contextmanager
def _source(given: argparse.Namespace) -> Iterator[Source]:
    """What `--on` names; a set on the embedded Hub is fetched for as long as it is read."""
    path = Path(given.on)
    source = Source(place=given.on, config=given.config, split=given.split, revision=given.revision)
    named = set_name(given.on, given.revision)
    if path.exists() or not named:
        yield source
        return
    repository, revision = named
    with the_hub(given.hub_data, only_reads=True) as hub:
        if hub.endpoint == from_environment().endpoint:
            yield replace(source, place=repository, revision=revision)
            return
        with tempfile.TemporaryDirectory(prefix="potstill-") as made:
            folder = Path(made) / repository.partition("/")[2]
            fetch_snapshot(hub, repository, revision or "main", folder)
            with named_in_errors(folder, given.on):
                yield replace(source, place=str(folder))


def _asked(
    given: argparse.Namespace, spec: TeacherSpec, source: Source, columns: dict[str, str] | None
) -> Judged:
    from builders.engine.progress import Progress
    from builders.engine.ticker import Ticker
    from builders.judging.labelled_pairs import read_pairs
    from builders.judging.measuring import asked_judge

    pairs, labelled = read_pairs(source, columns, given.labels, most=given.rows, report=print_err)
    progress = Progress()
    with Ticker(progress, sys.stderr):
        return asked_judge(
            pairs,
            labelled,
            spec,
            (given.work or WORK) / "judge",
            progress,
            repeats=given.repeats or 0,
            choices=[*given.param, *given.without],
        )


def _spec(given: argparse.Namespace) -> TeacherSpec | None:
    """The judge that is asked now; None where the verdicts of a file are measured.

    Raises:
        UsageError: There is none, and a flag is about it; or it has a role.
    """
    from builders.engine.pool import decided, pool_spec

    if not given.teacher:
        flags = [f"--{name.replace('_', '-')}" for name in _OF_TEACHER if getattr(given, name)]
        if flags:
            raise UsageError(
                f"{', '.join(flags)}: only a judge that is asked now has "
                f"{'it' if len(flags) == 1 else 'them'}; name one with --teacher, or leave "
                f"{flags[0] if len(flags) == 1 else 'them'} out"
            )
        return None
    usual = TeacherSpec(model=given.model, **key_of(given))
    choices = [*given.param, *given.without]
    spec = decided(pool_spec([given.teacher], usual, choices, given.trust_missing_end))
    if spec.roles:
        raise UsageError(f"--teacher: {given.teacher!r} names a role; leave out the part before =")
    return spec.every[0]


def table(found: dict[str, Any]) -> str:
    """One judge's figures as people read them, the verdict last."""
    lines = [f"{found['judge']}: {number_of(found['items'], 'items')}"]
    lines += [
        f"{one['pairs']:,} of {number_of(found['items'], 'pairs')} not judged: {one['cause']} "
        f"({one['why']})"
        for one in found["not_judged"]
    ]
    lines.append(f"{'figure':<31} {'value':>9}   {'95 % interval':<19} {'n':>9}")
    for name, one in found["figures"].items():
        value = "-" if one["value"] is None else f"{one['value']:.4g}"
        span = "" if one["low"] is None else f"{one['low']:.4g} to {one['high']:.4g}"
        facts = [f"{word} {one[word]:.3g}" for word in ("p", "effect") if one.get(word) is not None]
        facts += [one["note"]] if "note" in one else []
        facts += [f"coverage {one['coverage']:.3g}"] if "coverage" in one else []
        tail = f"  {', '.join(facts)}" if facts else ""
        lines.append(f"{name:<31} {value:>9}   {span:<19} {one['n']:>9,}{tail}")
    verdict = found["verdict"]
    lines.append(f"verdict: {verdict.upper() if verdict == 'unreliable' else verdict}")
    lines += [f"  {reason}" for reason in found["reasons"]]
    return "\n".join(lines)
