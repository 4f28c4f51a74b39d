"""potstill judge: how far a judge can be trusted, measured on pairs that people labelled."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from builders.judging.verdicts import Judged
from scripts.main import about_a_hub, the_hub


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument(
        "--on",
        required=True,
        metavar="FILE_OR_SET",
        help="labelled verdicts: .jsonl, .json, .parquet, the folder of a release or draft, or "
        "org/set, org/set@v1.0.0 on a Hub",
    )
    parser.add_argument(
        "--columns",
        metavar="NAME=COLUMN,...",
        help="which columns hold what, such as verdict=winner,swapped=winner_2,label=ann_1+ann_2,"
        "text_a=chosen,text_b=rejected (default: a known shape is recognised)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    parser.add_argument(
        "--strict", action="store_true", help="leave with 1 unless every judge is reliable"
    )
    live = parser.add_argument_group("a judge that is asked now, in both orders")
    live.add_argument(
        "--teacher", metavar="WHO", help="embedded, scripted:FILE, or an endpoint's address"
    )
    live.add_argument("--model", help="which of the endpoint's models")
    live.add_argument(
        "--key-env",
        default="POTSTILL_API_KEY",
        metavar="NAME",
        help="the environment variable with the endpoint's key (default %(default)s)",
    )
    live.add_argument("--rows", type=_count, metavar="N", help="only the first N pairs")
    live.add_argument(
        "--repeats", type=_count, default=0, metavar="N", help="ask the first order N times more"
    )
    live.add_argument(
        "--work",
        type=Path,
        default=Path("work"),
        metavar="DIR",
        help="where its ledger lies, in judge/ (default ./work)",
    )
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """Measure each judge in the file, or the one asked now; print figures and verdict."""
    from builders.judging.labelled_sets import column_names, read_judged
    from builders.judging.reliability import report

    columns = column_names(given.columns) if given.columns else None
    with _source(given) as source:
        judges = [_asked(given, source, columns)] if given.teacher else read_judged(source, columns)
    reports = [report(judged) for judged in judges]
    if given.json:
        print(json.dumps({"judges": reports}))
    else:
        print("\n\n".join(map(table, reports)))
    return int(given.strict and not all(one["reliable"] for one in reports))


@contextlib.contextmanager
def _source(given: argparse.Namespace) -> Iterator[Path]:
    """The file or folder that `--on` names; a set on a Hub is fetched for as long as it is read."""
    path = Path(given.on)
    if path.exists() or path.suffix or not re.fullmatch(r"[\w.-]+/[\w.-]+(@\S+)?", given.on):
        yield path
        return
    from builders.hub.fetch import fetch_snapshot, parse_set

    repository, revision = parse_set(given.on)
    with tempfile.TemporaryDirectory(prefix="potstill-") as made:
        folder = Path(made) / repository.partition("/")[2]
        with the_hub(given.hub_data, only_reads=True) as hub:
            fetch_snapshot(hub, repository, revision or "main", folder)
        yield folder


def _asked(given: argparse.Namespace, source: Path, columns: dict[str, str] | None) -> Judged:
    from builders.engine.progress import Progress, Ticker
    from builders.engine.teacher import TeacherSpec
    from builders.judging.labelled_sets import read_pairs
    from builders.judging.measuring import asked_judge

    pairs, labelled = read_pairs(source, columns)
    rows = given.rows or len(pairs)
    progress = Progress()
    with Ticker(progress, sys.stderr):
        return asked_judge(
            pairs[:rows],
            labelled.upto(rows),
            TeacherSpec(place=given.teacher, model=given.model, key_env=given.key_env),
            given.work / "judge",
            progress,
            repeats=given.repeats,
        )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def table(found: dict[str, Any]) -> str:
    """One judge's figures as people read them, the verdict last."""
    lines = [f"{found['judge']}: {found['items']:,} items"]
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
