"""Several answers for each prompt, one kept: the everyday source of fine-tuning data.

Each prompt is answered `samples` times; what is cut off, refused, repeats itself or is said to
many prompts is dropped, and of what is left one answer is chosen, by order, by length or by a
judge's score from 1 to 10.

    {"id": "5ec0928be8853281",
     "prompt": [{"role": "user", "content": "Name the longest river of Africa."}],
     "completion": [{"role": "assistant", "content": "The Nile, with about 6,650 km."}]}

Source: best-of-k sampling as in NuminaMath and Llama 2's rejection sampling; the judge's scale is
that of MT-bench (Zheng et al. 2023, arXiv 2306.05685).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from builders.gates.text import refusal, repetition, same_text, unprintable
from builders.recipe import DraftGate, Drop, Option, Raw, Recipe, RowOrDrop, Seeds, Settings
from builders.schema import PROMPT_COMPLETION, Row, assistant

_SCORE = re.compile(r"\[\[(\d+(?:\.\d+)?)\]\]")
_JUDGE = """Judge how well the assistant answered. Look at whether the answer does what was asked, \
is correct, complete and clear. Say briefly what is good and what is not, then give a whole number \
from 1 (useless) to 10 (could not be better) in double brackets, for example: [[4]]

[The dialogue]
{dialogue}

[The assistant's answer]
{answer}
[The end of the answer]"""
_MARK = re.compile(
    r"\[(The dialogue|The assistant's answer|The end of the answer)\]", re.IGNORECASE
)


def pipeline(
    teach: Callable[..., Any],
    *,
    samples: int,
    choose: str,
    temperature: float,
    top_p: float,
    max_tokens: int,
) -> Any:
    """Ask for each prompt `samples` times; where a judge chooses, have each answer judged."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import Ask

    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    with Pipeline(name="completions") as line:
        answer = Ask(
            name="answer",
            llm=teach("writer", **sampling),
            build=lambda raw: raw["prompt"],
            answer="answer",
            num_generations=samples,
        )
        if choose == "judged":
            judge = Ask(
                name="judge",
                llm=teach("judge", temperature=0.0, max_tokens=512),
                build=judging,
                answer="judgement",
            )
            answer >> judge
    return line


def judging(raw: Raw) -> list[dict[str, str]] | None:
    """The judge's messages for one answer; None for one that is dropped in any case.

    The judged text cannot close the part it stands in: marks like ours lose their brackets. It can
    still plead with the judge, and a judge may be swayed, or end by quoting a score it found there.
    """
    if isinstance(row(raw | {"judgement": "[[1]]"}), Drop):
        return None
    dialogue = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in raw["prompt"])
    judged = {"dialogue": dialogue, "answer": raw["answer"] or ""}
    unmarked = {part: _MARK.sub(r"(\1)", text) for part, text in judged.items()}
    return [{"role": "user", "content": _JUDGE.format(**unmarked)}]


def score(judgement: str | None) -> float | None:
    """The last score in double brackets; None without one from 1 to 10."""
    found = _SCORE.findall(judgement or "")
    value = float(found[-1]) if found else 0.0
    return value if 1 <= value <= 10 else None


def row(raw: Raw) -> RowOrDrop:
    """A prompt with one of its answers; not one that the length limit cut off."""
    evidence = {"prompt": raw["prompt"], "answer": raw["answer"]}
    if raw["answer"] is None:
        return Drop(reason=raw["llm_answer_finish_reason"], evidence=evidence)
    if raw["llm_answer_finish_reason"] == "length":
        return Drop(reason="cut off", evidence=evidence)
    if not raw["answer"].strip():
        return Drop(reason="empty", evidence=evidence)
    if "judgement" in raw and score(raw["judgement"]) is None:
        return Drop(reason="no score", evidence={**evidence, "judgement": raw["judgement"]})
    return {"prompt": raw["prompt"], "completion": assistant(raw["answer"].strip())}


def chosen(rule: str) -> DraftGate:
    """The gate that leaves one answer to each prompt, by the rule's name."""
    ranks: dict[str, Callable[[Raw], float]] = {
        "first": lambda _: 0.0,
        "longest": lambda raw: len(raw["answer"].strip()),
        "judged": lambda raw: score(raw["judgement"]) or 0.0,
    }

    def gate(raws: Sequence[Raw], rows: Sequence[Row]) -> dict[int, Drop]:
        places: dict[str, list[int]] = defaultdict(list)
        for place, kept in enumerate(rows):
            places[kept["id"]].append(place)
        drops: dict[int, Drop] = {}
        for rivals in places.values():
            best = max(rivals, key=lambda place: ranks[rule](raws[place]))  # ties: the first
            drops |= {
                place: Drop(reason="not chosen", evidence={"rule": rule})
                for place in rivals
                if place != best
            }
        return drops

    return gate


def draft_gates(settings: Settings) -> tuple[DraftGate, ...]:
    """First what was said to many prompts goes, then one answer to each prompt is chosen."""
    return same_text(), chosen(str(settings.options["choose"]))


RECIPE = Recipe(
    name="completions",
    makes="several answers for each prompt, one kept (prompt-completion)",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(
        flag="prompts",
        form="prompts",
        source="instructions",
        licence="unknown",
        written_by="a model",
    ),
    roles={"writer": "answers the prompts", "judge": "scores answers, where a judge chooses"},
    rows=40,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
    gates=(refusal, repetition, unprintable),
    draft_gates=draft_gates,
    options=(
        Option(name="samples", default=4, least=1, meaning="answers asked for each prompt"),
        Option(
            name="choose",
            default="first",
            choices=("first", "longest", "judged"),
            meaning="which good answer is kept: the first, the longest, or the best judged",
        ),
        Option(name="temperature", default=0.8, least=0, meaning="of the writer"),
        Option(name="top_p", default=0.95, least=0, meaning="of the writer"),
        Option(name="max_tokens", default=400, least=1, meaning="of one answer"),
    ),
    source="best-of-k sampling; judge scale of MT-bench, arXiv 2306.05685",
)
