r"""New instructions with their answers, grown from a pool of seed tasks.

Rounds of five requests, each continuing a list of eight tasks (six from people, two from the
pool), give candidates; the unsuitable and those too similar to any earlier one are dropped; the
rest is divided into classification and other tasks, given instances, filtered and laid out.

    {"id": "13d2d014ec171a63",
     "prompt": [{"role": "user", "content": "Give the opposite of the word.\n\nInput: early"}],
     "completion": [{"role": "assistant", "content": "late"}]}

Departures from the published code: only the first letter of a candidate is raised (its
`capitalize()` lowers all others, "NASA" too; ROUGE-L ignores case); the last round has as many
requests as are likely enough, and its candidates beyond `--rows` are dropped as surplus; small talk
before a first numbered example is no instance; prompts are worded anew and their worked examples
come from the seeds; top_p is left out where temperature is 0: the paper's value, 0, is refused by
vLLM.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560, and its code.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from builders.instructions.filters import instances_of
from builders.instructions.growing_pool import grow, list_to_continue
from builders.instructions.task_text import classification_examples, laid_out, worked_examples
from builders.recipe import Drop, Option, Raw, Recipe, RowOrDrop, Run, Seeds, Settings, row_id
from builders.schema import PROMPT_COMPLETION, assistant, user

_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = _DATA["stages"]
LAYOUTS: dict[str, list[str]] = _DATA["layouts"]
REQUESTS_PER_ROUND = 5
_LAYOUT_SEED = 81  # added to the build's seed: 42 and 123, as published


def pipeline(teach: Callable[..., Any], *, stage: str) -> Any:
    """One stage of the recipe: the teacher continues each row's `text`."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import Ask

    # What labels a task is the first of its three tokens.
    cut_off = "keep" if stage == "classify" else "drop"
    llm = teach("writer", cut_off=cut_off, **STAGES[stage]["sampling"])
    with Pipeline(name=f"instructions-{stage}") as line:
        Ask(name=stage, llm=llm, build=lambda raw: raw["text"], answer="answer")
    return line


def candidates(run: Run, seeds: Sequence[Raw], settings: Settings) -> Iterator[Raw]:
    """Every rejected candidate, and every instance of the accepted ones."""
    chance = random.Random(settings.seed)
    accepted: list[Raw] = []

    def a_round(enough: int | None) -> list[Raw]:
        lists = [list_to_continue(seeds, accepted, chance) for _ in range(REQUESTS_PER_ROUND)]
        texts = [STAGES["bootstrap"]["prompt"].format(tasks=tasks) for tasks in lists[:enough]]
        return run(pipeline, [{"text": text} for text in texts], stage="bootstrap")

    known = [seed["instruction"] for seed in seeds]
    for raw in grow(known, a_round, settings.rows, run.made, step="bootstrap"):
        if raw["reject"]:
            yield raw
        else:
            accepted.append({name: raw[name] for name in raw if name != "reject"})

    shots = classification_examples(seeds, of_classification=12, other=19)
    asked = [_asking(raw, "classify", shots) for raw in accepted]
    groups: dict[str, list[Raw]] = {"output_first": [], "input_first": []}
    for raw in run(pipeline, asked, stage="classify"):
        if "failed" in raw:
            yield raw
        else:
            labelled = raw["answer"].strip() in ("Yes", "yes", "YES")
            stage = "output_first" if labelled else "input_first"
            groups[stage].append(raw | {"is_classification": labelled})
    instances: list[Raw] = []
    for stage, group in groups.items():
        shots = worked_examples(seeds, output_first=stage == "output_first")
        for raw in run(pipeline, [_asking(raw, stage, shots) for raw in group], stage=stage):
            instances += [raw] if "failed" in raw else instances_of(raw, stage, chance)
    chance = random.Random(settings.seed + _LAYOUT_SEED)
    chance.shuffle(instances)
    for raw in instances:
        yield raw | {"layout": settings.options["layout"], "draw": chance.random()}


def _asking(raw: Raw, stage: str, shots: str) -> Raw:
    text = STAGES[stage]["prompt"].format(examples=shots, instruction=raw["instruction"])
    return raw | {"text": text}


def row(raw: Raw) -> RowOrDrop:
    """An instance as prompt and completion, or why not, with the most similar instruction."""
    if raw["reject"]:
        text = ("input", "output") if "output" in raw else ("answer",)
        shown = ("unsuitable_word", "instruction", "most_similar", "similarity", *text)
        evidence = {name: raw[name] for name in shown if name in raw}
        return Drop(reason=raw["reject"], evidence=evidence)
    instruction, given = raw["instruction"], raw["input"]
    templates = LAYOUTS["with_input" if given else "without_input"]
    draw = 0.0 if raw["layout"] == "plain" else raw["draw"]
    return {
        "id": row_id(f"{instruction}\n\n{given}" if given else instruction),
        "prompt": user(laid_out(templates, instruction, given, draw)),
        "completion": assistant(raw["output"]),
    }


RECIPE = Recipe(
    name="instructions",
    makes="new instructions with answers, grown from seed tasks (prompt-completion)",
    source="Self-Instruct, arXiv 2212.10560",
    schema=PROMPT_COMPLETION,
    seeds=Seeds.shipped(__file__, "instructions.jsonl", form="tasks"),
    roles={"writer": "continues lists of tasks, labels them and writes their instances"},
    rows=40,
    rows_of="instruction candidates",
    options=(Option("layout", "drawn", "which template prompts have", choices=("drawn", "plain")),),
    pipeline=pipeline,
    row=row,
    candidates=candidates,
)
