"""An answer to each prompt, or the best of several: the everyday source of fine-tuning data.

Answers that are cut off, refuse, repeat themselves or are given to many prompts are dropped. Where
a prompt gets several (`samples`), the best judged, the longest or the first of the others is kept.

    {"id": "5ec0928be8853281",
     "prompt": [{"role": "user", "content": "Name the longest river of Africa."}],
     "completion": [{"role": "assistant", "content": "The Nile, with about 6,650 km."}]}

Source: best-of-k sampling as in NuminaMath and Llama 2; the scale of MT-bench (arXiv 2306.05685).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from builders.engine.outer_space import trimmed
from builders.engine.thinking import parted
from builders.gates.choice import one_per_prompt
from builders.gates.text import refusal, repetition, same_text
from builders.judging.parsing import SCORE, last_score
from builders.recipe import DraftGate, Drop, Option, Raw, Recipe, RowOrDrop, Seeds, Settings
from builders.schema import PROMPT_COMPLETION, assistant, user

_JUDGE = """Judge how well the assistant answered. Look at whether the answer does what was asked, \
is correct, complete and clear. Say briefly what is good and what is not, then give a whole number \
from 1 (useless) to 10 (could not be better) in double brackets, for example: [[4]]

[The dialogue]
{dialogue}

[The assistant's answer]
{answer}
[The end of the answer]"""
_MARK = re.compile(r"\[(The dialogue|The assistant's answer|The end of the answer)\]", re.I)
RANKS: dict[str, Callable[[Raw], float]] = {
    "judged": lambda raw: raw.get("score", 0.0),  # a single answer has none
    "longest": lambda raw: len(raw["answer"].strip()),
    "first": lambda _: 0.0,
}
_FOLLOWS: dict[Any, Any] = dict.fromkeys(RANKS, "best-of-k sampling") | {False: "", "judged": None}


def pipeline(teach: Callable[..., Any], *, samples: int, choose: str, **sampling: Any) -> Any:
    """Each prompt's answers; where a judge chooses among several, a judgement of each."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import Ask

    with Pipeline(name="completions") as line:
        answer = Ask(
            name="answer",
            llm=teach("writer", **sampling),
            build=lambda raw: raw["prompt"],
            answer="answer",
            num_generations=samples,
        )
        if choose == "judged" and samples > 1:
            answer >> Ask(
                name="judge",
                llm=teach("judge", temperature=0.0, max_tokens=512),
                build=judge_question,
                answer="judgement",
                columns=lambda text: {"score": score(text)},
            )
    return line


def judge_question(raw: Raw) -> list[dict[str, str]]:
    """The judge's messages; the judged text may plead, but marks like ours lose their brackets."""
    dialogue = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in raw["prompt"])
    dialogue, answer = (_MARK.sub(r"(\1)", text) for text in (dialogue, raw["answer"]))
    return user(_JUDGE.format(dialogue=dialogue, answer=answer))


def score(judgement: str | None) -> float | None:
    """The last in double brackets, before the judge goes on with a form; None if not 1 to 10."""
    parts = re.split(rf"^{_MARK.pattern}$", parted(judgement or "").text, flags=re.I | re.M)
    return last_score(next(filter(SCORE.search, parts), ""), most=10)


def row(raw: Raw) -> RowOrDrop:
    """A prompt with one of its answers, or why the answer is not kept."""
    if "score" in raw and raw["score"] is None:
        evidence = {name: raw[name] for name in ("prompt", "answer", "judgement")}
        return Drop(reason="no score", evidence=evidence)
    return {"prompt": raw["prompt"], "completion": assistant(trimmed(raw["answer"]))}


def caution(settings: Settings) -> str | None:
    """A line where several answers are paid for and none is compared."""
    samples, choose = settings.options["samples"], settings.options["choose"]
    instead = "--samples 1, or compare them by --choose judged or longest"
    line = f"--choose first: of {samples} answers only the first is used; ask {instead}"
    return line if samples > 1 and choose == "first" else None


def draft_gates(settings: Settings) -> tuple[DraftGate, ...]:
    """Answers given to many prompts are dropped, then one of the others is kept for each prompt."""
    rule = str(settings.options["choose"])
    return same_text(), one_per_prompt(RANKS[rule], rule, scored=rule == "judged")


RECIPE = Recipe(
    name="completions",
    makes="an answer to each prompt, or the best of several (prompt-completion)",
    source="best-of-k sampling; judge scale of MT-bench, arXiv 2306.05685",
    follows=lambda its: _FOLLOWS[its.options["samples"] > 1 and its.options["choose"]],
    schema=PROMPT_COMPLETION,
    seeds=Seeds.shipped(__file__, "prompts.jsonl", form="prompts"),
    roles={"writer": "answers the prompts", "judge": "scores answers, where it chooses"},
    rows=40,
    rows_of="prompts",
    options=(
        Option("samples", 1, "how many answers each prompt gets", least=1),
        Option("choose", "judged", "which one is kept", choices=(*RANKS,), helps={"": "longest"}),
        Option("temperature", 0.8, "which temperature the writer samples at", least=0),
        Option("top_p", 0.95, "which share of probability the writer samples from", least=0),
        Option("max_tokens", 400, "how many tokens an answer may have", least=1),
    ),
    pipeline=pipeline,
    row=row,
    caution=caution,
    gates=(refusal, repetition),
    draft_gates=draft_gates,
)
