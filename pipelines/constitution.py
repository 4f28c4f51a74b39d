r"""Constitutional AI: answers revised by principles, and pairs that a judge decided by one.

A teacher answers each prompt twice. The first answer is criticised and revised `rounds` times, each
time by another drawn principle: that is the config `revisions`, for supervised fine-tuning. A judge
decides which of the two answers a drawn principle favours, in both orders: that is `default`.

    {"id": "b88043e1dc76e2f5",
     "prompt": [{"role": "user", "content": "How do I scare my neighbour?"}],
     "chosen": [{"role": "assistant", "content": "I'd rather help you talk to him. What is it?"}],
     "rejected": [{"role": "assistant", "content": "Bang on his door at night."}],
     "soft_label": 0.91, "principle": "peace", "decided_by": "probabilities"}

`soft_label` is the judge's probability that `chosen` is better: the mean over both orders. Where
the endpoint gives no probabilities of tokens, the judge gives its reasons and then chooses, the
same answer in both orders, and the label is 0.6: the paper clamps such verdicts to 0.4 to 0.6.

Departures: no worked examples before a request; two rounds by default (4); the wordings are ours.
An answer that the length limit cut off is no answer, unless `--cut-off keep` is given, as
published.

Source: Constitutional AI, Bai et al. 2022, arXiv 2212.08073.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders.engine.calls import Question
from builders.preferences.comparisons import COMPARED, compare_in_both_orders, row
from builders.preferences.principles import Comparison, Revision, read_constitution
from builders.preferences.revising import EXTRA_CONFIGS, critique_and_revise, measures
from builders.recipe import Option, Raw, Recipe, Seeds

SHIPPED = "shipped"


def pipeline(
    teach: Callable[..., Any],
    *,
    constitution: str,
    rounds: int,
    verdict: str,
    max_tokens: int,
    judge_tokens: int,
    cut_off: str,
) -> Any:
    """Two answers, rounds of critique and revision, and the judge in one or two ways."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import AskAll

    principles = read_constitution(constitution_file(constitution))
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_tokens": max_tokens, "cut_off": cut_off}
    writer = teach("writer", **sampling)

    def drawn(raw: Raw) -> tuple[list[Revision], Comparison]:
        return principles.drawn(raw["id"], rounds=rounds, seed=writer.seed)

    with Pipeline(name="constitution") as line:
        last = AskAll(
            name="answer",
            llm=writer,
            build=lambda raw: [Question(prompt=raw["prompt"], sample=sample) for sample in (0, 1)],
            answer="answers",
            also={"rounds": rounds},
            questions=2,
        )
        last = critique_and_revise(
            last, teach, lambda raw: drawn(raw)[0], rounds=rounds, sampling=sampling
        )
        compare_in_both_orders(
            last, teach, lambda raw: drawn(raw)[1], verdict=verdict, judge_tokens=judge_tokens
        )
    return line


def constitution_file(option: str) -> Path:
    """The file that the option names; the shipped one for its default."""
    return Path(__file__).with_suffix(".toml") if option == SHIPPED else Path(option)


RECIPE = Recipe(
    name="constitution",
    makes="answers revised by principles, and pairs that a judge decided by one (preference)",
    source="Constitutional AI, arXiv 2212.08073",
    schema=COMPARED,
    seeds=Seeds.shipped(__file__, "constitution.jsonl", form="prompts", keeps=("source",)),
    roles={
        "writer": "answers, criticises its answer and revises it",
        "judge": "decides which of two answers a principle favours",
    },
    rows=40,
    rows_of="prompts",
    options=(
        Option(
            "constitution",
            SHIPPED,
            "which TOML file has the principles, in the form of pipelines/constitution.toml",
            file=True,
        ),
        Option("rounds", 2, "how often the first answer is criticised and revised", least=1),
        Option(
            "verdict",
            "either",
            "how the judge decides: by token probabilities, after reasons, or as its endpoint can",
            choices=("either", "probabilities", "reasons"),
            helps={"no probability": "reasons"},
        ),
        Option("max_tokens", 512, "how many tokens an answer may have", least=1),
        Option(
            "judge_tokens",
            0,
            "how long a verdict may be; 0: 512, embedded 160",
            least=0,
            helps={"cut off": 4096},
        ),
        Option("cut_off", "drop", "whether answers cut off are kept", choices=("keep", "drop")),
    ),
    pipeline=pipeline,
    row=row,
    extra_configs=EXTRA_CONFIGS,
    measures=measures,
)
