"""Benchmark of parsing the ratings of judges, and of pairing by them."""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from builders.judging.aspects import ASPECTS
from builders.judging.rating import labels, parse_ratings, put_back, shown_order
from builders.preferences.pairing import STRATEGIES, Policy, RatedAnswer, RatedPrompt
from builders.recipe import Drop

TEXTS = 4
WORDS_PER_TEXT = 200
WORDS_PER_RATIONALE = 40


def judged(prompts: int, dice: random.Random) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Prompts with four texts and a judge's answer for each aspect, made as they are read."""
    words = [f"word{number}" for number in range(997)]
    for number in range(prompts):
        texts = [" ".join(dice.choices(words, k=WORDS_PER_TEXT)) for _ in range(TEXTS)]
        why = " ".join(dice.choices(words, k=WORDS_PER_RATIONALE))
        yield (
            f"Prompt {number}",
            texts,
            {
                name: "\n\n".join(
                    f"{label}\n{'Type: 1, 2' if aspect.types else ''}\n"
                    f"Rationale: {why}\nRating: {dice.randint(1, 5)}"
                    for label in labels(f"Prompt {number} {name}", TEXTS)
                )
                for name, aspect in ASPECTS.items()
            },
        )


def rated(prompt: str, texts: Sequence[str], answers: dict[str, str]) -> RatedPrompt:
    """One prompt's texts with the ratings read from all its judges' answers."""
    ratings: list[dict[str, int | None]] = [{} for _ in texts]
    for name, answer in answers.items():
        seed_text = f"{prompt} {name}"
        shown = parse_ratings(answer, labels(seed_text, len(texts)), ASPECTS[name])
        for text, rating in enumerate(put_back(shown, shown_order(seed_text, len(texts)))):
            ratings[text][name] = rating.value
    return RatedPrompt(
        prompt=[{"role": "user", "content": prompt}],
        answers=[
            RatedAnswer(text=text, ratings=given)
            for text, given in zip(texts, ratings, strict=True)
        ],
    )


def bench_pairing(args: argparse.Namespace) -> dict[str, Any]:
    """CPU time and memory of parsing and pairing judged prompts of 4 texts and 4 aspects."""
    outcomes = STRATEGIES[args.strategy].outcomes
    policy, reasons = Policy(by="mean"), Counter[str]()
    spent: list[dict[str, float]] = []
    early_kb = 0
    for repetition in range(args.repetitions):
        took = {"read_s": 0.0, "pair_s": 0.0}
        for number, answered in enumerate(judged(args.prompts, random.Random(repetition))):
            start = time.process_time()
            prompt = rated(*answered)
            middle = time.process_time()
            for outcome in outcomes(prompt, policy):
                reasons[outcome.reason if isinstance(outcome, Drop) else "kept"] += 1
            took["read_s"] += middle - start
            took["pair_s"] += time.process_time() - middle
            if not repetition and number == args.prompts // 10:
                early_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        spent.append(took)
    best = min(spent, key=lambda one: sum(one.values()))
    return {
        "prompts": args.prompts,
        "repetitions": args.repetitions,
        **best,
        "cpu_s": sum(best.values()),
        "cpu_us_per_prompt": 1e6 * sum(best.values()) / args.prompts,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_mb_at_a_tenth": early_kb / 1024,
        "outcomes": dict(reasons),
    }


def register(benchmarks: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the benchmark `pairing`."""
    pairing = benchmarks.add_parser("pairing", parents=parents, help=bench_pairing.__doc__)
    pairing.add_argument("--prompts", type=int, default=100_000, metavar="N", help="Prompts.")
    pairing.add_argument(
        "--strategy",
        choices=sorted(STRATEGIES),
        default="mean_of_aspects",
        help="How to pair (default: %(default)s).",
    )
    pairing.set_defaults(bench=bench_pairing)
