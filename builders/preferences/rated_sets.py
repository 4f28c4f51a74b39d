"""What every recipe of rated answers shares: options, the row, the extra configs, the measures.

For recipes whose pipeline leaves `completions`, `ratings` and `critiques` in a raw row
(builders/preferences/aspect_ratings.py), and the options of OPTIONS beside them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import fmean

from builders.errors import number_of
from builders.judging.aspects import ASPECTS
from builders.preferences.aspect_ratings import RATED_ANSWERS, answers, rated, rated_rows
from builders.preferences.comparisons import evidence_of
from builders.preferences.pairing import STRATEGIES, Policy
from builders.recipe import (
    Candidates,
    Configs,
    Drop,
    ExtraConfig,
    Json,
    Option,
    Raw,
    RowOrDrop,
    Settings,
    row_id,
)
from builders.schema import Message, Row

ONE_PAIR = ("zephyr", "mean_of_aspects", "max_min", "margin")
FURTHER = ("unpaired", "all_pairs", "margin")  # configs in addition to `default`

OPTIONS = (
    Option("max_tokens", 0, "how long an answer may be; 0: 1024 tokens, embedded 128", least=0),
    Option(
        "judge_tokens",
        0,
        "how long a judgement may be; 0: 1024, embedded 400",
        least=0,
        helps={"cut off": 4096},
    ),
    Option(
        "form",
        "json",
        "in which form the judge answers; JSON follows a schema where the endpoint can",
        choices=("json", "text"),
        helps={"": "text"},
    ),
    Option("pair", "zephyr", "which strategy makes the pairs of `default`", choices=ONE_PAIR),
    Option(
        "by",
        "mean",
        "what answers are compared by: the mean rating, the critique's score, or one aspect",
        choices=("mean", "overall", *ASPECTS),
    ),
    Option(
        "least_margin",
        1.0,
        "how far apart two answers must be, for the strategy and the config `margin`",
        least=0.01,
    ),
    Option(
        "one_model",
        "allow",
        "what happens to pairs of two answers by one model",
        choices=("allow", "drop"),
    ),
    Option(
        "cut_off",
        "drop",
        "what happens to answers that max_tokens cut off",
        choices=("keep", "drop"),
    ),
)


def policy(raw: Raw) -> Policy:
    """What makes a pair, by the build's options."""
    return Policy(
        by=raw["by"],
        least_margin=raw["least_margin"],
        least_score=5.0 if raw["by"] == "overall" else 4.0,  # of 10, or of 5
        one_model=raw["one_model"],
    )


def row(raw: Raw) -> RowOrDrop:
    """The pair of a prompt, or why there is none, with the faults of its answers and ratings."""
    replies = (*raw["completions"], *raw["ratings"], *raw["critiques"])
    faults = sorted(
        {
            f"{reply['about'].get('aspect', 'answer')}: {reply.get('why') or reply['fault']}"
            for reply in replies
            if reply["fault"]
        }
    )
    if not answers(raw):
        causes = [reply["fault"] or "empty" for reply in raw["completions"]]
        written = evidence_of(raw["completions"])
        evidence: dict[str, Json] = {"prompt": raw["prompt"], "faults": faults, "answers": written}
        return Drop(reason=min(causes), evidence=evidence)
    (outcome,) = STRATEGIES[raw["pair"]].outcomes(rated(raw), policy(raw))
    if isinstance(outcome, Drop):
        return replace(outcome, evidence={**outcome.evidence, "faults": faults})
    outcome.pop("margin", None)
    return outcome


def _whole(candidates: Candidates) -> Iterator[Raw]:
    """The candidates that came through all steps, each prompt once."""
    ids: set[str] = set()
    for raw, _ in candidates:
        if "failed" not in raw and (prompt := row_id(raw["prompt"])) not in ids:
            ids.add(prompt)
            yield raw


def _of_strategy(strategy: str) -> ExtraConfig:
    """The config of all rows that a strategy makes."""

    def rows(candidates: Candidates, _: Settings) -> Iterator[Row]:
        for raw in _whole(candidates):
            for outcome in STRATEGIES[strategy].outcomes(rated(raw), policy(raw)):
                if not isinstance(outcome, Drop):
                    yield outcome

    return ExtraConfig(schema=STRATEGIES[strategy].schema, rows=rows)


EXTRA_CONFIGS = {
    "rated": ExtraConfig(schema=RATED_ANSWERS, rows=lambda all_, _: rated_rows(_whole(all_))),
    **{name: _of_strategy(name) for name in FURTHER},
}


def measures(configs: Configs) -> dict[str, Json]:
    """What the rated answers and the pairs are like, from the rows alone."""
    kept = list(configs("rated"))
    pairs = list(configs("default"))
    longer = [_characters(pair["chosen"]) > _characters(pair["rejected"]) for pair in pairs]
    models = sorted({row["model"] or "unknown" for row in kept})
    writers = ", ".join(models)
    if len(models) == 1:
        writers = f"one model, {models[0]}, under several principles and temperatures"
    found: dict[str, Json] = {"writers": writers, "rated answers": len(kept)}
    if longer:
        found["share of pairs whose longer answer is chosen"] = round(fmean(longer), 4)
    for name in (*ASPECTS, "overall", "mean"):
        given = [row[name] for row in kept if row[name] is not None]
        mean = f"mean {fmean(given):.2f}, " if given else ""
        found[f"ratings: {name}"] = f"{mean}{len(given)} of {number_of(len(kept), 'answers')} rated"
    by_place: dict[int, list[int]] = defaultdict(list)
    for row in kept:
        for name, place in json.loads(row["shown_at"]).items():
            if row[name] is not None:
                by_place[place + 1].append(row[name])
    # A judge that reads the texts gives every place the same mean, but for chance.
    found["mean rating by place before the judge"] = {
        str(place): round(fmean(by_place[place]), 2) for place in sorted(by_place)
    }
    principles = Counter(row["principle"] for row in kept if row["principle"])
    found["answers by principle"] = dict(sorted(principles.items()))
    return found


def _characters(answer: Iterable[Message]) -> int:
    return sum(len(turn["content"]) for turn in answer)
