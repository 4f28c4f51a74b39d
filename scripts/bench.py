"""Measures the speed and memory of potstill: `python scripts/bench.py engine --rows 2000`.

Clients that are compared run in turns, each in a process of its own and its endpoint in another,
and their medians are compared, so that a busy machine slows all alike. scripts/bench_rivals.sh
makes the environments of the rivals that `--against` can name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from statistics import median
from typing import Any

from builders.gates.novelty import InstructionIndex
from scripts.bench_builds import ROOT, bench_growth, bench_start, endpoint
from scripts.bench_diff import register as register_diff
from scripts.bench_hub import register as register_hub
from scripts.bench_judging import register as register_judging
from scripts.bench_pairing import register as register_pairing

RIVALS = ("stock", "data-designer", "curator", "datatrove")
PATIENCE_S = 1800  # for one run of one client
OPENINGS = (
    "Write a", "Given a", "Create a", "Explain the", "Describe the", "Generate a list of",
    "What is the", "Rewrite the following sentence", "Classify the following",
)  # fmt: skip
REFERENCE_PAIRS = 2000  # rouge_score takes about 50 us for each


def instructions(rows: int, seed: int) -> list[str]:
    """Synthetic instructions of 5 to 30 words: a common opening, then words by Zipf's law."""
    dice = random.Random(seed)
    words = [f"word{rank}" for rank in range(4000)]
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(words))))
    texts = []
    for _ in range(rows):
        opening = dice.choice(OPENINGS)
        more = dice.randint(5, 30) - len(opening.split())
        texts.append(" ".join([opening, *dice.choices(words, cum_weights=weights, k=more)]) + ".")
    return texts


def cpu_s(work: Callable[[], object], repetitions: int) -> float:
    """Median CPU seconds of doing `work` once."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return median(spent)


def bench_novelty(args: argparse.Namespace) -> dict[str, int | float]:
    """CPU time of comparing one candidate to a pool, and how much longer rouge_score takes."""
    from rouge_score.rouge_scorer import RougeScorer

    texts, candidates = instructions(args.pool, seed=1), instructions(args.candidates, seed=2)
    dice = random.Random(3)
    pairs = [(dice.choice(candidates), dice.choice(texts)) for _ in range(REFERENCE_PAIRS)]
    scorer = RougeScorer(["rougeL"], use_stemmer=False)

    pool = InstructionIndex(texts)
    add_s = cpu_s(lambda: InstructionIndex(texts), args.repetitions) / len(texts)
    nearest_s = cpu_s(lambda: [pool.nearest(text) for text in candidates], args.repetitions)
    scores_s = cpu_s(lambda: [pool.scores(text) for text in candidates], args.repetitions)
    pairs_s = cpu_s(lambda: [scorer.score(a, b) for a, b in pairs], args.repetitions)
    nearest_ms = 1e3 * nearest_s / len(candidates)
    rouge_score_ms = 1e3 * pairs_s / len(pairs) * len(texts)
    return {
        "pool_rows": len(texts),
        "candidate_rows": len(candidates),
        "repetitions": args.repetitions,
        "add_cpu_ms": 1e3 * add_s,
        "nearest_cpu_ms": nearest_ms,
        "all_scores_cpu_ms": 1e3 * scores_s / len(candidates),
        "rouge_score_cpu_ms": rouge_score_ms,
        "times_faster": rouge_score_ms / nearest_ms,
    }


# --- clients against an endpoint


def asked(client: str, url: str, rows: int, in_flight: int, args: Any) -> dict[str, float]:
    """The figures of one run of a client of bench_engine.py."""
    python = sys.executable
    if client in RIVALS:
        python = str(args.rivals.absolute() / client / "bin" / "python")
    command = [python, str(ROOT / "scripts" / "bench_engine.py"), client, "--url", url]
    command += ["--rows", str(rows), "--in-flight", str(in_flight)]
    command += ["--dag", getattr(args, "dag", "one")]
    try:
        with subprocess.Popen(
            command, stdout=-1, stderr=-1, text=True, cwd=ROOT, start_new_session=True
        ) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE_S)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # with the workers of distilabel's runner
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise SystemExit(f"{client} has not finished after {PATIENCE_S} s") from None
    except FileNotFoundError:
        raise SystemExit(f"{client} is not in {args.rivals}; run scripts/bench_rivals.sh") from None
    if process.returncode:
        raise SystemExit(f"{client} failed:\n{err[-2000:]}")
    took: dict[str, float] = json.loads(out.splitlines()[-1])
    return took


def in_turns(
    clients: Iterable[str], repetitions: int, run: Callable[[str, int], dict[str, float]]
) -> dict[str, list[dict[str, float]]]:
    """The results of `run(client, repetition)` by client, which take turns."""
    runs = defaultdict(list)
    for repetition in range(repetitions):
        for client in clients:
            runs[client].append(run(client, repetition))
    return dict(runs)


def middle(runs: Sequence[dict[str, float]], over: str, under: str = "seconds") -> float:
    """The median of a quotient of two facts."""
    return median(run[over] / run[under] for run in runs)


def bench_engine(args: argparse.Namespace) -> dict[str, Any]:
    """Rows per second through our engine and through others, at one endpoint."""
    against = args.against or (["bare"] if args.dag == "one" else ["stock"])
    if args.dag != "one" and set(against) - {"stock"}:
        raise SystemExit("only stock runs the ultrafeedback DAG; give --against stock")

    def run(client: str, repetition: int) -> dict[str, float]:
        with endpoint(args.latency, args.tokens, seed=repetition) as url:
            return asked(client, url, args.rows, args.in_flight, args)

    load = os.getloadavg()[0]
    runs = in_turns([*against, "potstill"], args.repetitions, run)
    rates = {client: middle(ran, "rows") for client, ran in runs.items()}
    figures: dict[str, Any] = {
        "rows": args.rows,
        "in_flight": args.in_flight,
        "latency": args.latency,
        "dag": args.dag,
        "repetitions": args.repetitions,
        "load": load,
        "rows_per_second": rates,
        "times_faster_than": {name: rates["potstill"] / rates[name] for name in against},
        "cpu_ms_per_row": 1e3 * middle(runs["potstill"], "cpu_s", "rows"),
        "cpu_ms_per_row_of": {name: 1e3 * middle(runs[name], "cpu_s", "rows") for name in against},
        "peak_mb": max(run["peak_mb"] for run in runs["potstill"]),
        "seconds": {name: [run["seconds"] for run in ran] for name, ran in runs.items()},
    }
    if "bare" in rates:
        figures = {"share_of_bare_loop": rates["potstill"] / rates["bare"], **figures}
    return figures


def bench_embedded(args: argparse.Namespace) -> dict[str, Any]:
    """Tokens per second of the embedded teacher: through our engine, and directly at its server."""
    load = os.getloadavg()[0]
    runs = in_turns(
        ["llama", "embedded"],
        args.repetitions,
        lambda client, _: asked(client, "", args.rows, args.in_flight, args),
    )
    rates = {client: middle(ran, "tokens") for client, ran in runs.items()}
    return {
        "share_of_server": rates["embedded"] / rates["llama"],
        "rows": args.rows,
        "in_flight": args.in_flight,
        "load": load,
        "tokens_per_second": rates,
        "tokens": {client: [run["tokens"] for run in ran] for client, ran in runs.items()},
        "seconds": {client: [run["seconds"] for run in ran] for client, ran in runs.items()},
        "cpu_ms_per_token": {
            client: 1e3 * middle(ran, "cpu_s", "tokens") for client, ran in runs.items()
        },
    }


# --- the ledger

LOOK_UP = """
import json, sys, time
from pathlib import Path
from builders.engine.ledger import Ledger

start = time.perf_counter()
ledger = Ledger.open(Path(sys.argv[1]))
figures = {"open_s": time.perf_counter() - start}
for name, step in (("", 1), ("absent_", -1)):
    with open(sys.argv[2], "rb") as keys:
        start, cpu = time.perf_counter(), time.process_time()
        found = sum(ledger.get(key[::step]) is not None for key in iter(lambda: keys.read(32), b""))
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert found == len(ledger) * (step == 1)
    figures[f"lookup_{name}us"] = 1e6 * spent / len(ledger)
    figures[f"lookup_{name}cpu_us"] = 1e6 * cpu / len(ledger)
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({**figures, "peak_rss_mb": int(peak) / 1024}))
"""


def bench_ledger(args: argparse.Namespace) -> dict[str, Any]:
    """CPU time of recording a call, time of a look-up, and memory of a process that looks up."""
    from builders.engine.calls import Answer, Call
    from builders.engine.ledger import Ledger

    texts = [" ".join(instructions(13, seed)) for seed in range(200)]  # 1.4 kB each
    numbers = iter(range(args.entries))
    all_keys: list[bytes] = []

    async def recorded(ledger: Ledger, pairs: Iterator[tuple[Call, Answer]]) -> None:
        for call, answer in pairs:
            await ledger.record(call, answer, cost_usd=0.001, attempts=1)

    async def in_flight(ledger: Ledger, pairs: Iterable[tuple[Call, Answer]], most: int) -> None:
        shared = iter(pairs)
        await asyncio.gather(*(recorded(ledger, shared) for _ in range(most)))

    def write_ms(ledger: Ledger, entries: int, most: int) -> float:
        pairs = []
        for number in islice(numbers, entries):
            prompt = f"{number}: {texts[number % 199][:1000]}"
            call = Call(
                role="writer", endpoint="http://x/v1", model="m", revision="r", prompt=prompt
            )
            pairs.append((call, Answer(text=texts[number % 200], input_tokens=9, latency_s=1.0)))
            all_keys.append(call.key)  # computed before what is measured
        start = time.process_time()
        asyncio.run(in_flight(ledger, pairs, most))
        return 1e3 * (time.process_time() - start) / entries

    part = min(10_000, args.entries // (4 * args.repetitions))
    writes: dict[int, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        path, keys = Path(temporary, "ledger.sqlite"), Path(temporary, "keys")
        ledger = Ledger.open(path)
        while (left := args.entries - len(all_keys) - 2 * args.repetitions * part) > 0:
            write_ms(ledger, min(left, 10_000), 256)
        for _ in range(args.repetitions):
            for most in (64, 256):
                writes[most].append(write_ms(ledger, part, most))
        ledger.close()
        random.Random(4).shuffle(all_keys)
        keys.write_bytes(b"".join(all_keys))
        command = [sys.executable, "-c", LOOK_UP, str(path), str(keys)]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return {
            "entries": args.entries,
            **json.loads(run.stdout),
            "write_ms_per_call_64": median(writes[64]),
            "write_ms_per_call_256": median(writes[256]),
            "file_mb": path.stat().st_size / 1e6,
            "load": os.getloadavg()[0],
        }


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def flat(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as a flat series, each with the names of what it is in."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name} ")
        else:
            yield before + name, value


def main() -> None:
    """Run one benchmark and print its figures as a table, or as one JSON object."""
    printed = argparse.ArgumentParser(add_help=False)
    printed.add_argument("--json", action="store_true", help="Print one JSON object.")
    shared = argparse.ArgumentParser(add_help=False, parents=[printed])
    shared.add_argument(
        "--repetitions",
        type=positive,
        default=3,
        metavar="N",
        help="Number of repetitions; the median is reported (default: %(default)s).",
    )
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks = parser.add_subparsers(required=True, metavar="benchmark")

    novelty = benchmarks.add_parser("novelty", parents=[shared], help=bench_novelty.__doc__)
    novelty.add_argument(
        "--pool", type=positive, default=20_000, metavar="N", help="Instructions in the pool."
    )
    novelty.add_argument(
        "--candidates", type=positive, default=100, metavar="N", help="Instructions to compare."
    )
    novelty.set_defaults(bench=bench_novelty)

    flight = argparse.ArgumentParser(add_help=False)
    flight.add_argument(
        "--in-flight", type=positive, default=64, metavar="N", help="Requests in flight at once."
    )
    flight.add_argument(
        "--tokens", type=positive, default=100, metavar="N", help="Words of an answer."
    )

    engine = benchmarks.add_parser("engine", parents=[shared, flight], help=bench_engine.__doc__)
    engine.add_argument(
        "--rows", type=positive, default=2000, metavar="N", help="Requests of each client."
    )
    engine.add_argument(
        "--latency",
        default="fixed:0.2",
        metavar="FORM",
        help="Latency of the endpoint: fixed:S or lognormal:MEAN:SIGMA (default: %(default)s).",
    )
    engine.add_argument(
        "--dag",
        choices=("one", "ultrafeedback"),
        default="one",
        help="Steps to run: one task, or two writers and a judge (default: %(default)s).",
    )
    engine.add_argument(
        "--against",
        type=lambda text: text.split(","),
        metavar="CLIENT,...",
        help=f"Clients to compare with: bare, {', '.join(RIVALS)}.",
    )
    engine.add_argument(
        "--rivals",
        type=Path,
        default=ROOT / "work" / "rivals",
        metavar="DIR",
        help="Folder in which bench_rivals.sh made them.",
    )
    engine.set_defaults(bench=bench_engine)

    start = benchmarks.add_parser("start", parents=[shared], help=bench_start.__doc__)
    start.add_argument("--rows", type=positive, default=20, metavar="N", help="Rows to build.")
    start.set_defaults(bench=bench_start)

    growth = benchmarks.add_parser("growth", parents=[printed, flight], help=bench_growth.__doc__)
    growth.add_argument(
        "--rows",
        type=lambda text: [positive(one) for one in text.split(",")],
        default=[10_000, 100_000, 1_000_000],
        metavar="N,...",
        help="Rows of each build (default: 10000,100000,1000000, about half an hour).",
    )
    growth.add_argument(
        "--latency", default="fixed:0.05", metavar="FORM", help="Latency of the endpoint."
    )
    growth.set_defaults(bench=bench_growth)

    embedded = benchmarks.add_parser("embedded", parents=[shared], help=bench_embedded.__doc__)
    embedded.add_argument("--rows", type=positive, default=40, metavar="N", help="Requests.")
    embedded.add_argument(
        "--in-flight", type=positive, default=4, metavar="N", help="Requests in flight at once."
    )
    embedded.set_defaults(bench=bench_embedded)

    ledger = benchmarks.add_parser("ledger", parents=[shared], help=bench_ledger.__doc__)
    ledger.add_argument("--entries", type=positive, default=1_000_000)
    ledger.set_defaults(bench=bench_ledger)

    register_pairing(benchmarks, [shared])
    register_diff(benchmarks, [shared])
    register_hub(benchmarks, [shared])
    register_judging(benchmarks, [shared])

    args = parser.parse_args()
    figures = args.bench(args)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in flat(figures):
        shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
        print(f"{name:<28} {shown:>12}")


if __name__ == "__main__":
    main()
