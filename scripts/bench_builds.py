"""Benchmarks of whole builds: their start, and what they take as the number of rows grows."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from builders.engine.ledger import Ledger

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def endpoint(latency: str, tokens: int, seed: int, log: Path | None = None) -> Iterator[str]:
    """Run the tests' endpoint in a process of its own; give its address."""
    command = [sys.executable, str(ROOT / "tests" / "endpoint.py")]
    command += ["--latency", latency, "--tokens", str(tokens)]
    command += ["--behaviour", json.dumps({"seed": seed})]
    command += ["--log", str(log)] if log else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def build_command(folder: Path, rows: int, teacher: str, *options: str) -> list[str]:
    """The command that answers so many prompts once, in a new work folder."""
    prompts = folder / f"{rows}.jsonl"
    if not prompts.exists():
        lines = (json.dumps({"prompt": f"Describe {row} in a few words."}) for row in range(rows))
        prompts.write_text("\n".join(lines), encoding="utf-8")
    words = ["-m", "scripts.main", "build", "completions", "--samples", "1", "--rows", str(rows)]
    words += ["--prompts", str(prompts), "--work", tempfile.mkdtemp(dir=folder)]
    return [sys.executable, *words, "--teacher", teacher, "--model", "m", *options]


def bench_growth(args: argparse.Namespace) -> dict[str, Any]:
    """Time, memory and disk of `potstill build completions`, as the number of rows grows.

    What comes after the last answer is from its time in the ledger to the end of the process.
    """
    flags = ("--concurrency", str(args.in_flight))
    found: dict[str, Any] = {}
    with endpoint(args.latency, args.tokens, 0) as url:
        for rows in args.rows:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                figures = _grown(folder, build_command(folder, rows, url, *flags))
            figures["cpu_ms_per_row"] = 1e3 * figures.pop("cpu_s") / rows
            found[f"{rows:,} rows"] = {**figures, "load": os.getloadavg()[0]}
    return found


def _grown(folder: Path, command: Sequence[str]) -> dict[str, float]:
    """The figures of one build in a folder of its own."""
    start = time.time()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    seen: list[tuple[float, float]] = []  # the time, and the CPU seconds by then
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        seen.append((time.time(), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")))
        time.sleep(0.2)
    _, status, used = ended
    end = time.time()
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    cpu_s = used.ru_utime + used.ru_stime
    [ledger] = folder.rglob("ledger.sqlite")
    with contextlib.closing(Ledger.open(ledger, read_only=True)) as answers:
        last = answers.summary()["last_time"]
    return {
        "wall_s": end - start,
        "cpu_s": cpu_s,
        "peak_mb": used.ru_maxrss / 1024,
        "after_last_answer_s": end - last,
        "after_last_answer_cpu_s": cpu_s - max(spent for at, spent in seen if at <= last),
        "ledger_mb": ledger.stat().st_size / 1e6,
        "draft_mb": sum(file.stat().st_size for file in folder.rglob("*.parquet")) / 1e6,
    }


def bench_start(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of `potstill build` to its first request, and where they go."""
    began: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first, log, script = folder / "first", folder / "log.jsonl", folder / "teacher.py"
        script.write_text(
            "import time\n\ndef answer(call):\n"
            f"    with open({str(first)!r}, 'a') as file:\n        print(time.time(), file=file)\n"
            "    return 'It is a thing like others.'\n"
        )

        def seconds(teacher: str, began_at: Callable[[], float], *python: str) -> tuple[float, str]:
            first.write_text("")
            if log.exists():
                os.truncate(log, 0)
            command = build_command(folder, args.rows, teacher)
            command[1:1] = python
            start = time.time()
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if run.returncode:
                raise SystemExit(f"the build failed:\n{run.stderr[-2000:]}")
            return began_at() - start, run.stderr

        def scripted() -> float:
            return float(first.read_text().split()[0])

        def posted() -> float:
            requests = map(json.loads, log.read_text().splitlines())
            return min(float(one["time"]) for one in requests if one["method"] == "POST")

        place = f"scripted:{script}"
        with endpoint("none", 16, 0, log) as url:
            seconds(place, scripted)  # warms the disk
            for _ in range(args.repetitions):
                began["scripted"].append(seconds(place, scripted)[0])
                began["endpoint"].append(seconds(url, posted)[0])
        timed = seconds(place, scripted, "-X", "importtime")[1]
    return {
        "first_request_s": {kind: median(all_) for kind, all_ in began.items()},
        "load": os.getloadavg()[0],
        "imports_s": imports_s(timed),
    }


def imports_s(timed: str) -> dict[str, float]:
    """Seconds by package, without what it imports in turn, from `python -X importtime`."""
    spent: Counter[str] = Counter()
    for line in timed.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdecimal():
            spent[parts[2].strip().partition(".")[0]] += int(parts[0])
    largest = {package: us / 1e6 for package, us in spent.most_common(12)}
    return {"all": spent.total() / 1e6, **largest}
