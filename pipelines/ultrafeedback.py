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

The README and the code of the paper draw principles differently: `--principles` offers both tables.
As published, an answer that the length limit cut off is rated too: here with `--cut-off keep`.

Departures: all wordings are ours; the judge may write 1024 tokens, not 500, and reads the writers'
principles only for the critique; a rating that cannot be parsed is asked for again, up to three
times, at temperature 0.7, as at 0 the same text would come back; answers are compared by the mean
of their ratings, where Zephyr took the critique's score (`--by overall`); a pool of fewer models
than `writers` writes in rounds, each at another temperature.

Source: UltraFeedback, Cui et al. 2023, arXiv 2310.01377, and its code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.engine.calls import Question
from builders.preferences.aspect_ratings import judge_steps
from builders.preferences.rated_sets import EXTRA_CONFIGS, OPTIONS, measures, row
from builders.preferences.writers import writing_questions
from builders.recipe import Option, Raw, Recipe, Seeds
from builders.schema import PREFERENCE

_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PRINCIPLES: Mapping[str, Sequence[str]] = _DATA["principles"]
TABLES: Mapping[str, Mapping[str, Mapping[str, int]]] = _DATA["tables"]


def pipeline(
    teach: Callable[..., Any],
    *,
    writers: int,
    principles: str,
    source: str,
    max_tokens: int,
    judge_tokens: int,
    form: str,
    cut_off: str,
    **choices: Any,
) -> Any:
    """Answers, then their ratings by aspect, then a critique of each; `choices` are for `row`."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import AskAll

    most = teach("writer").max_tokens(max_tokens, 1024, 128)
    pool = teach("writer", top_p=1.0, max_tokens=most, cut_off=cut_off)

    def questions(raw: Raw) -> list[Question]:
        odds = TABLES[principles][kind(raw.get("source") or source)]
        draw = {"principles": PRINCIPLES, "odds": odds, "seed": pool.seed}
        return writing_questions(raw, pool.members, writers, **draw)

    with Pipeline(name="ultrafeedback") as line:
        write = AskAll(
            name="write",
            llm=pool,
            build=questions,
            answer="completions",
            also=choices,
            questions=writers,
        )
        judging = {"judge_tokens": judge_tokens, "form": form, "by": choices["by"]}
        rate, criticise = judge_steps(teach, writers=writers, **judging)
        write >> rate >> criticise
    return line


def kind(source: str) -> str:
    """The row of a table that a prompt's source falls under; `other` for an unknown one."""
    name = source.lower().replace("-", "_").replace(" ", "_")
    name = _DATA["like"].get(name, name)
    return next((known for known in TABLES["paper"] if name.startswith(known)), "other")


RECIPE = Recipe(
    name="ultrafeedback",
    makes="several answers a prompt, rated by a judge for four aspects, and paired (preference)",
    source="UltraFeedback, arXiv 2310.01377",
    schema=PREFERENCE,
    seeds=Seeds.shipped(__file__, "prompts.jsonl", form="prompts", keeps=("source", "reference")),
    roles={
        "writer": "answers under a principle; several teachers share the role",
        "judge": "rates all answers to a prompt by aspect, and criticises each",
    },
    pools=("writer",),
    rows=40,
    rows_of="prompts",
    options=(
        Option("writers", 4, "how many answers each prompt gets", least=2),
        Option("principles", "paper", "which table has the principles", choices=(*TABLES,)),
        Option("source", "other", "which source is recorded for prompts whose rows name none"),
        *OPTIONS,
    ),
    pipeline=pipeline,
    row=row,
    extra_configs=EXTRA_CONFIGS,
    measures=measures,
)
