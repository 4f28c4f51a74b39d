r"""Preference pairs from rated answers: several writers, four aspects, a critique, one pair.

Each prompt is answered by `writers` teachers drawn from the pool, each under a principle drawn by
the prompt's source; a judge rates all answers to a prompt together for each of four aspects, in one
shuffled order, and criticises each by itself; a strategy makes the pair.

    {"id": "5ec0928be8853281",
     "prompt": [{"role": "user", "content": "Name the longest river of Africa."}],
     "chosen": [{"role": "assistant", "content": "The Nile, with about 6,650 km."}],
     "rejected": [{"role": "assistant", "content": "The Amazon."}],
     "score_chosen": 4.75, "score_rejected": 1.5,
     "chosen_model": "large", "rejected_model": "small"}

The README and the code of the paper draw principles differently: both tables stand here by name.
As published, an answer that the length limit cut off stays in the running (`--cut-off drop` takes
it out). Departures: all words are ours; the judge may write 1024 tokens, not 500, and reads nothing
of the writers' principles but in the critique; a rating that cannot be read is asked again three
times, warmer, as at temperature 0 it would come back as it was; answers are compared by the mean of
their ratings, where Zephyr took the critique's score (`--by overall`); a pool of fewer models than
`writers` writes in rounds, each at another temperature.

Source: UltraFeedback, Cui et al. 2023, arXiv 2310.01377, and its code.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from builders.engine.calls import Question, Reply
from builders.judging.aspects import ASPECTS
from builders.preferences.aspect_ratings import (
    LONGEST,
    RATED_ANSWERS,
    TRIES,
    answers,
    criticising,
    rated,
    rated_rows,
    rating,
    unreadable,
)
from builders.preferences.pairing import STRATEGIES, Policy
from builders.recipe import (
    Configs,
    Drop,
    ExtraConfig,
    Json,
    Option,
    Raw,
    Recipe,
    RowOrDrop,
    Seeds,
    Settings,
    row_id,
    short_hash,
)
from builders.schema import PREFERENCE, Row

_HERE = Path(__file__).parent
_TOLD = tomllib.loads((_HERE / "ultrafeedback.toml").read_text(encoding="utf-8"))
PRINCIPLES: Mapping[str, Sequence[str]] = _TOLD["principles"]
TABLES: Mapping[str, Mapping[str, Mapping[str, int]]] = _TOLD["tables"]
TEMPERATURES = (1.0, 0.7, 1.3, 0.4)  # of the rounds in which a small pool writes
ONE_PAIR = ("zephyr", "mean_of_aspects", "max_min", "margin")
FURTHER = ("unpaired", "all_pairs", "margin")  # configs beside `default`


def pipeline(
    teach: Callable[..., Any],
    *,
    writers: int,
    principles: str,
    source: str,
    max_tokens: int,
    judge_tokens: int,
    form: str,
    **choices: Any,
) -> Any:
    """Answers, then their ratings by aspect, then a critique of each; `choices` are for `row`."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import AskAll

    most = teach("writer").most(max_tokens, 1024, 64)
    pool = teach("writer", top_p=1.0, max_tokens=most)
    most = teach("judge").most(judge_tokens, 1024, 400)
    judging = {"temperature": 0.0, "max_tokens": most}
    longest = teach("judge").most(0, LONGEST, 60)
    with Pipeline(name="ultrafeedback") as line:
        write = AskAll(
            name="write",
            llm=pool,
            build=lambda raw: writing(
                raw,
                pool.members,
                writers,
                table=TABLES[principles],
                source=source,
                seed=pool.seed,
            ),
            answer="completions",
            also=choices,
        )
        rate = AskAll(
            name="rate",
            llm=teach("judge", **judging),
            build=partial(rating, form=form, seed=pool.seed, longest=longest),
            answer="ratings",
            reads=unreadable,
            tries=TRIES,
        )
        criticise = AskAll(
            name="criticise",
            llm=teach("judge", **judging),
            build=partial(criticising, form=form, longest=longest),
            answer="critiques",
            reads=unreadable,
            tries=TRIES,
        )
        write >> rate >> criticise
    return line


def writing(
    raw: Raw,
    members: Sequence[str],
    writers: int,
    *,
    table: Mapping[str, Mapping[str, int]],
    source: str,
    seed: int,
) -> list[Question]:
    """Who answers a prompt, under which principle, how warm: the same for the same id and seed.

    No writer comes twice before each has come once; then each is warmer or cooler than before.
    """
    chance = random.Random(short_hash("writers", str(seed), raw["id"]))
    drawn = chance.sample(members, len(members))
    odds = table[alike(raw.get("source") or source)]
    questions = []
    for place in range(writers):
        (principle,) = chance.choices([*odds], weights=[*odds.values()])
        system = chance.choice(PRINCIPLES[principle])
        temperature = TEMPERATURES[place // len(members) % len(TEMPERATURES)]
        turns = [dict(turn) for turn in raw["prompt"]]
        if turns[0]["role"] == "system":
            system = f"{system}\n\n{turns.pop(0)['content']}"
        questions.append(
            Question(
                asked=[{"role": "system", "content": system}, *turns],
                whom=drawn[place % len(drawn)],
                sampling={"temperature": temperature},
                about={"principle": principle, "system": system, "temperature": temperature},
            )
        )
    return questions


def policy(raw: Raw) -> Policy:
    """What makes a pair, as the build was told."""
    return Policy(
        by=raw["by"],
        least_margin=raw["least_margin"],
        least_score=5.0 if raw["by"] == "overall" else 4.0,  # of 10, or of 5
        one_model=raw["one_model"],
    )


def row(raw: Raw) -> RowOrDrop:
    """The pair of a prompt, or why there is none, with what kept its answers or ratings away."""
    faults = sorted(
        {f"{reply['about'].get('aspect', 'answer')}: {reply['fault']}" for reply in _faulty(raw)}
    )
    if not answers(raw):
        causes = [reply["fault"] or "empty" for reply in raw["completions"]]
        return Drop(reason=min(causes), evidence={"prompt": raw["prompt"], "faults": faults})
    (outcome,) = STRATEGIES[raw["pair"]].outcomes(rated(raw), policy(raw))
    if isinstance(outcome, Drop):
        return replace(outcome, evidence={**outcome.evidence, "faults": faults})
    outcome.pop("margin", None)
    return outcome


def _faulty(raw: Raw) -> Iterator[Reply]:
    replies = (*raw["completions"], *raw["ratings"], *raw["critiques"])
    yield from (reply for reply in replies if reply["fault"])


def alike(source: str) -> str:
    """The row of a table that a prompt's source falls under; `other` for an unknown one."""
    name = source.lower().replace("-", "_").replace(" ", "_")
    name = _TOLD["like"].get(name, name)
    return next((known for known in TABLES["paper"] if name.startswith(known)), "other")


Seen = Iterable[tuple[Raw, Row | None]]


def whole(seen: Seen) -> Iterator[Raw]:
    """The candidates that came through all steps, each prompt once."""
    ids: set[str] = set()
    for raw, _ in seen:
        if "failed" not in raw and (prompt := row_id(raw["prompt"])) not in ids:
            ids.add(prompt)
            yield raw


def further(strategy: str) -> ExtraConfig:
    """The config of all rows that a strategy makes."""

    def rows(seen: Seen, _: Settings) -> Iterator[Row]:
        for raw in whole(seen):
            for outcome in STRATEGIES[strategy].outcomes(rated(raw), policy(raw)):
                if not isinstance(outcome, Drop):
                    yield outcome

    return ExtraConfig(schema=STRATEGIES[strategy].schema, rows=rows)


def measures(configs: Configs) -> dict[str, Json]:
    """What the rated answers and the pairs are like, from the rows alone."""
    kept = list(configs("rated"))
    longer = [len(str(row["chosen"])) > len(str(row["rejected"])) for row in configs("default")]
    models = sorted({row["model"] for row in kept})
    writers = ", ".join(models)
    if len(models) == 1:
        writers = f"one model, {models[0]}, under several principles and temperatures"
    found: dict[str, Json] = {"writers": writers, "rated answers": len(kept)}
    if longer:
        found["share of pairs whose longer answer is chosen"] = round(fmean(longer), 4)
    for name in (*ASPECTS, "overall", "mean"):
        given = [row[name] for row in kept if row[name] is not None]
        said = f"mean {fmean(given):.2f}, " if given else ""
        found[f"ratings: {name}"] = f"{said}{len(given)} of {len(kept)} answers rated"
    by_place: dict[int, list[int]] = defaultdict(list)
    for row in kept:
        for name, place in json.loads(row["shown_at"]).items():
            if row[name] is not None:
                by_place[place + 1].append(row[name])
    # A judge that looks at the texts gives every place the same mean, but for chance.
    found["mean rating by place before the judge"] = {
        str(place): round(fmean(by_place[place]), 2) for place in sorted(by_place)
    }
    drawn = Counter(row["principle"] for row in kept)
    found["answers by principle"] = {name: drawn[name] for name in PRINCIPLES if drawn[name]}
    return found


RECIPE = Recipe(
    name="ultrafeedback",
    makes="several answers a prompt, rated by a judge for four aspects, and paired (preference)",
    schema=PREFERENCE,
    seeds=Seeds(
        flag="prompts",
        form="prompts",
        source=str(_HERE / "seeds" / "prompts.jsonl"),
        licence="cc0-1.0",
        written_by="a language model, reviewed line by line",
        keeps=("source", "reference"),
    ),
    roles={
        "writer": "answers under a principle; several teachers share the role",
        "judge": "rates all answers to a prompt by aspect, and criticises each",
    },
    pools=("writer",),
    rows=40,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
    options=(
        Option(name="writers", default=4, least=2, meaning="answers to each prompt"),
        Option(
            name="principles",
            default="paper",
            choices=tuple(TABLES),
            meaning="how principles are drawn by source: as its README or its code has it",
        ),
        Option(name="source", default="other", meaning="of prompts whose rows name none"),
        Option(
            name="max_tokens",
            default=0,
            least=0,
            meaning="of one answer; 0: 1024, of the embedded teacher 64",
        ),
        Option(
            name="judge_tokens",
            default=0,
            least=0,
            meaning="of one judgement; 0: 1024, of the embedded teacher 400",
        ),
        Option(
            name="form",
            default="json",
            choices=("json", "text"),
            meaning="in which the judge answers; JSON is held to a schema where that is possible",
        ),
        Option(
            name="pair",
            default="zephyr",
            choices=ONE_PAIR,
            meaning="the strategy that makes the pairs of `default`",
        ),
        Option(
            name="by",
            default="mean",
            choices=("mean", "overall", *ASPECTS),
            meaning="what answers are compared by: the ratings' mean, the critique's score, or one",
        ),
        Option(
            name="least_margin",
            default=1.0,
            least=0.01,
            meaning="between the two of a pair, for the strategy and the config `margin`",
        ),
        Option(
            name="one_model",
            default="allow",
            choices=("allow", "drop"),
            meaning="pairs of two answers by one model",
        ),
        Option(
            name="cut_off",
            default="keep",
            choices=("keep", "drop"),
            meaning="answers that the length limit cut off",
        ),
    ),
    views={
        "rated": ExtraConfig(schema=RATED_ANSWERS, rows=lambda seen, _: rated_rows(whole(seen))),
        **{name: further(name) for name in FURTHER},
    },
    measures=measures,
    source="UltraFeedback, arXiv 2310.01377",
)
