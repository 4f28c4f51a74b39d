"""Benchmarks of the diff of two large snapshots, and of reading a release back.

A row is about 1 kB: an id, a prompt and two answers as messages, two scores, two models.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builders.drafting.files import write_parquet
from builders.schema import PREFERENCE, Row, assistant, user

ROOT = Path(__file__).resolve().parents[1]
EACH_CHANGE = 1_000  # of so many rows one is removed, one added, one changed
_VARIED = 20_000

MEASURED = """
import json, sys, time
from pathlib import Path
from builders.release.diff import diff, facts
from builders.release.snapshot import snapshot
from builders.release.verification import read_back

def peak_mb():
    [peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(peak) / 1024

old, new = (snapshot(Path(folder)) for folder in sys.argv[2:4])
figures = {}
start, cpu = time.perf_counter(), time.process_time()
if sys.argv[1] == "diff":
    found = facts(diff(old, new))["configs"]["default"]
    figures = {name: found["rows_" + name] for name in ("added", "removed", "changed")}
else:
    read_back(old.folder, old.files)
figures["seconds"] = time.perf_counter() - start
figures["cpu_s"] = time.process_time() - cpu
print(json.dumps({**figures, "peak_mb": peak_mb()}))
"""


def written(folder: Path, rows: int, *, edited: bool) -> float:
    """Write a snapshot of so many rows, edited or not; give the size of its file in MB."""
    path = folder / "data" / "default" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    write_parquet(path, PREFERENCE, _rows(rows, edited=edited))
    return path.stat().st_size / 1e6


def _rows(rows: int, *, edited: bool) -> Iterator[Row]:
    dice = random.Random(5)
    words = [f"word{number}" for number in range(5_000)]
    texts = [" ".join(dice.choices(words, k=55)) for _ in range(_VARIED)]
    for number in range(rows):
        place = number % EACH_CHANGE
        if edited and place == 1:
            continue
        chosen = texts[number * 7 % _VARIED] + str(number)
        if edited and place == 2:
            chosen += "!"
        yield {
            "id": f"{(rows if edited and place == 3 else 0) + number:016x}",
            "prompt": user(f"{number} {texts[number % _VARIED][:150]}"),
            "chosen": assistant(chosen),
            "rejected": assistant(texts[number * 11 % _VARIED]),
            "score_chosen": 4.5,
            "score_rejected": number % 4 / 1.0,
            "chosen_model": "writer-a",
            "rejected_model": "writer-b",
        }


def bench_diff(args: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of the diff of two snapshots, and of reading one back and a tenth of it."""
    with tempfile.TemporaryDirectory() as temporary:
        old, new, part = (Path(temporary, name) for name in ("old", "new", "part"))
        file_mb = written(old, args.rows, edited=False)
        written(new, args.rows, edited=True)
        written(part, args.rows // 10, edited=False)
        figures: dict[str, Any] = {"rows": args.rows, "file_mb": file_mb}
        for name, folder in (("diff", old), ("read_back", old), ("read_back_a_tenth", part)):
            command = [sys.executable, "-c", MEASURED, name, str(folder), str(new)]
            run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
            figures[name] = json.loads(run.stdout)
        return {**figures, "load": os.getloadavg()[0]}


def register(benchmarks: Any, parents: Any) -> None:
    """Add the benchmark `diff`."""
    diffs = benchmarks.add_parser("diff", parents=parents, help=bench_diff.__doc__)
    diffs.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="Rows of each.")
    diffs.set_defaults(bench=bench_diff)
