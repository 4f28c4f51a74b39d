"""Benchmark of reading and measuring the verdicts of a judge."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from builders.judging.labelled_sets import read_judged
from builders.judging.reliability import report
from builders.sources.source import Source

_WORDS = ("Output (a) is clear and correct. Output (b) is wrong.", "So Output ({}) is better.")


def report_on(verdicts: int, seed: int = 1) -> dict[str, int | float]:
    """Seconds from a file of so many synthetic verdicts, with every column, to the report.

    Three annotators, both orders, one repetition, scores and rationales.
    """
    import numpy as np

    dice = np.random.default_rng(seed)
    truth = dice.choice(["a", "b", "tie"], verdicts, p=[0.45, 0.45, 0.1])

    def noisy(share: float) -> Any:
        slips = dice.random(verdicts) < share
        return np.where(slips, dice.choice(["a", "b", "tie"], verdicts), truth)

    people = np.column_stack([noisy(0.1) for _ in range(3)])
    first, second, again = (noisy(0.15) for _ in range(3))
    lengths = dice.integers(20, 4000, (verdicts, 2))
    scores = dice.integers(1, 11, (verdicts, 2))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "verdicts.jsonl")
        with path.open("w", encoding="utf-8") as file:
            for at in range(verdicts):
                row = {
                    "id": str(at),
                    "first": first[at],
                    "second": second[at],
                    "repeats": [again[at]],
                    "people": people[at].tolist(),
                    "length_a": int(lengths[at, 0]),
                    "length_b": int(lengths[at, 1]),
                    "writer_a": "one",
                    "writer_b": "other",
                    "score_a": int(scores[at, 0]),
                    "score_b": int(scores[at, 1]),
                    "rationale": " ".join(_WORDS).format(first[at]),
                    "rationale_a": _WORDS[0],
                    "rationale_b": _WORDS[0],
                }
                file.write(json.dumps(row) + "\n")
        start = time.perf_counter()
        [judged] = read_judged(Source(place=str(path)))
        read = time.perf_counter()
        found = report(judged)
        done = time.perf_counter()
    return {
        "verdicts": verdicts,
        "figures": len(found["figures"]),
        "read_s": read - start,
        "report_s": done - read,
        "seconds": done - start,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def bench_judging(args: argparse.Namespace) -> dict[str, int | float]:
    """Seconds from a file of verdicts to the report on their judge; the last of the repetitions."""
    return [report_on(args.verdicts) for _ in range(args.repetitions)][-1]


def register(benchmarks: Any, parents: list[argparse.ArgumentParser]) -> None:
    """Add the benchmark `judging`."""
    judging = benchmarks.add_parser("judging", parents=parents, help=bench_judging.__doc__)
    judging.add_argument(
        "--verdicts", type=int, default=100_000, metavar="N", help="Verdicts in the file."
    )
    judging.set_defaults(bench=bench_judging)
