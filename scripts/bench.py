"""Measures what the gates cost: `python scripts/bench.py novelty`."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from itertools import accumulate
from statistics import median

from builders.gates.novelty import Pool

OPENINGS = (
    "Write a", "Given a", "Create a", "Explain the", "Describe the", "Generate a list of",
    "What is the", "Rewrite the following sentence", "Classify the following",
)  # fmt: skip
REFERENCE_PAIRS = 2000  # rouge_score takes a good 50 us for one, so a repetition is a short wait


def instructions(rows: int, seed: int) -> list[str]:
    """Synthetic instructions of 5 to 30 words: a common opening, then words as Zipf has them."""
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
    """CPU time of one candidate against a pool, and how much longer rouge_score takes for it."""
    from rouge_score.rouge_scorer import RougeScorer

    texts, candidates = instructions(args.pool, seed=1), instructions(args.candidates, seed=2)
    dice = random.Random(3)
    pairs = [(dice.choice(candidates), dice.choice(texts)) for _ in range(REFERENCE_PAIRS)]
    scorer = RougeScorer(["rougeL"], use_stemmer=False)

    pool = Pool(texts)
    add_s = cpu_s(lambda: Pool(texts), args.repetitions) / len(texts)
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


def positive(text: str) -> int:
    """A whole number from 1 on, read from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def main() -> None:
    """Run one benchmark and print its figures as a table, or as one JSON object."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON object")
    shared.add_argument(
        "--repetitions", type=positive, default=3, help="the median of so many is taken"
    )
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks = parser.add_subparsers(required=True, metavar="benchmark")

    novelty = benchmarks.add_parser("novelty", parents=[shared], help=bench_novelty.__doc__)
    novelty.add_argument("--pool", type=positive, default=20_000, help="instructions in the pool")
    novelty.add_argument(
        "--candidates", type=positive, default=100, help="instructions compared to it"
    )
    novelty.set_defaults(bench=bench_novelty)

    args = parser.parse_args()
    figures = args.bench(args)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<20} {value:>12,.{0 if isinstance(value, int) else 3}f}")


if __name__ == "__main__":
    main()
