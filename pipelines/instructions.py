r"""New instructions with their answers, grown from a pool of seed tasks.

Rounds of five requests, each continuing a list of eight tasks (six from people, two from the
pool), give candidates; what is unsuitable or too like anything before is dropped; the rest is told
apart into classification and other tasks, given instances, filtered and laid out.

    {"id": "13d2d014ec171a63",
     "prompt": [{"role": "user", "content": "Give the opposite of the word.\n\nInput: early"}],
     "completion": [{"role": "assistant", "content": "late"}]}

Departures from the published code: only the first letter of a candidate is raised (its
`capitalize()` lowers all others, "NASA" too; ROUGE-L does not see case); small talk before a first
numbered example is no instance; prompts are worded anew and their worked examples come from the
seeds; top_p is left out where temperature is 0: 0, the paper's value, is refused by vLLM.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560, and its code.
"""

from __future__ import annotations

import random
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from builders.gates.novelty import InstructionIndex, novelty
from builders.recipe import Drop, Option, Raw, Recipe, RowOrDrop, Run, Seeds, Settings, row_id
from builders.schema import PROMPT_COMPLETION, assistant, user

REQUESTS_A_ROUND = 5
HUMAN_TASKS, MACHINE_TASKS = 6, 2
MOST_INSTANCES = 5
_EMPTY_ROUNDS = 10  # in a row without one candidate: this teacher will not give any
_FORMAT_SEED = 81  # added to the build's seed: 42 and 123, as published

STAGES: dict[str, dict[str, Any]] = {
    "bootstrap": {
        "temperature": 0.7,
        "top_p": 0.5,
        "frequency_penalty": 0.0,
        "presence_penalty": 2.0,
        "max_tokens": 1024,
        "stop": ["\n\n", "\n16", "16.", "16 ."],
    },
    "classify": {"temperature": 0.0, "max_tokens": 3, "stop": ["\n", "Task"]},
    "input_first": {
        "temperature": 0.0,
        "presence_penalty": 1.5,
        "max_tokens": 350,
        "stop": ["Example 6", "Task:"],
    },
    "output_first": {
        "temperature": 0.0,
        "presence_penalty": 1.5,
        "max_tokens": 300,
        "stop": ["Example 6", "Task:"],
    },
}

BLACKLIST = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files"),
    *("map", "maps", "draw", "plot", "go to"),
)
ALPACA_BLACKLIST = (*BLACKLIST, "video", "audio", "music", "flowchart", "diagram")

_WITH_INPUT = (
    "{instruction}\n\n{input}",
    "{instruction}\n{input}",
    "{instruction}\n\nInput: {input}",
    "{instruction}\nInput: {input}",
    "{instruction}\n\n{input}\n\nOutput:",
    "{instruction}\n\nInput: {input}\n\nOutput:",
    "Task: {instruction}\n\n{input}\n\nAnswer:",
)
_WITHOUT_INPUT = (
    "{instruction}",
    "{instruction}\n",
    "{instruction}\n\nOutput:",
    "{instruction} Output:",
    "Task: {instruction}",
    "Task: {instruction}\n\nAnswer:",
)


def pipeline(teach: Callable[..., Any], *, stage: str) -> Any:
    """One stage of the recipe: the teacher continues each row's `text`."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import Ask

    with Pipeline(name=f"instructions-{stage}") as line:
        Ask(
            name=stage,
            llm=teach("writer", **STAGES[stage]),
            build=lambda raw: raw["text"],
            answer="answer",
        )
    return line


def candidates(run: Run, seeds: Sequence[Raw], settings: Settings) -> Iterator[Raw]:
    """Every rejected candidate, and every instance of the accepted ones."""
    chance = random.Random(settings.seed)
    accepted: list[Raw] = []
    yield from _bootstrap(run, seeds, settings, chance, accepted)
    asked = [raw | {"text": classification_prompt(raw["instruction"], seeds)} for raw in accepted]
    groups: dict[bool, list[Raw]] = {True: [], False: []}
    for raw in run(pipeline, asked, stage="classify"):
        if "failed" in raw:
            yield raw
            continue
        labelled = says_yes(raw["answer"])
        text = instance_prompt(raw["instruction"], seeds, output_first=labelled)
        groups[labelled].append(raw | {"text": text, "is_classification": labelled})
    instances: list[Raw] = []
    for labelled, group in groups.items():
        stage = "output_first" if labelled else "input_first"
        for raw in run(pipeline, group, stage=stage):
            instances.extend(_instances(raw, stage, chance))
    chance = random.Random(settings.seed + _FORMAT_SEED)
    chance.shuffle(instances)
    for raw in instances:
        yield raw | {"layout": settings.options["layout"], "draw": chance.random()}


def _bootstrap(
    run: Run,
    seeds: Sequence[Raw],
    settings: Settings,
    chance: random.Random,
    accepted: list[Raw],
) -> Iterator[Raw]:
    """Rounds until enough candidates were made; gives the rejected, collects the accepted."""
    known = [seed["instruction"] for seed in seeds]
    pool = InstructionIndex(known)
    made = empty_rounds = 0
    while made < settings.rows and empty_rounds < _EMPTY_ROUNDS:
        before = made
        texts = [
            {"text": bootstrapping_prompt(seeds, accepted, chance)} for _ in range(REQUESTS_A_ROUND)
        ]
        for raw in run(pipeline, texts, stage="bootstrap"):
            if "failed" in raw or raw["llm_bootstrap_finish_reason"] == "length":
                yield raw | {"reject": "cut off"}
                continue
            for instruction in parsed(raw["answer"]):
                made += 1
                nearest = pool.nearest(instruction, 1)
                candidate = {
                    "instruction": instruction,
                    "most_similar": known[nearest[0][1]] if nearest else None,
                    "similarity": nearest[0][0] if nearest else 0.0,
                    "llm_bootstrap_call": raw["llm_bootstrap_call"],
                }
                reason = unsuitable(instruction) or novelty(pool, instruction)
                if reason:
                    yield candidate | {"reject": reason}
                else:
                    pool.add(instruction)
                    known.append(instruction)
                    accepted.append(candidate)
        empty_rounds = 0 if made > before else empty_rounds + 1
        run.made(made)


def bootstrapping_prompt(
    seeds: Sequence[Raw], accepted: Sequence[Raw], chance: random.Random
) -> str:
    """A list of eight tasks to continue: at most two of the machine's, the rest from people."""
    machine = chance.sample(accepted, min(MACHINE_TASKS, len(accepted)))
    human = chance.sample(seeds, min(HUMAN_TASKS + MACHINE_TASKS - len(machine), len(seeds)))
    tasks = [" ".join(task["instruction"].split()).rstrip(":") for task in [*machine, *human]]
    chance.shuffle(tasks)
    lines = "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, 1))
    return f"Think of a series of varied tasks:\n\n{lines}\n{len(tasks) + 1}."


def parsed(answer: str) -> list[str]:
    """The instructions in a continued list, white space collapsed, the first letter raised.

    A number before the first is the list's own, said again; "2.5" at a line's start is none.
    """
    items = re.split(r"\n\d+\s?\.(?:\s|$)", "\n" + answer.lstrip())
    parts = (" ".join(item.split()) for item in items)
    return [part[0].upper() + part[1:] for part in parts if part]


def unsuitable(instruction: str, blacklist: Sequence[str] = BLACKLIST) -> str | None:
    """The first of the paper's heuristics that an instruction fails, in the paper's order."""
    words = instruction.split()
    if len(words) <= 3:
        return "too short"
    if len(words) > 150:
        return "too long"
    if any(re.search(rf"\b{word}\b", instruction, re.IGNORECASE) for word in blacklist):
        return "unsuitable word"
    if instruction.lower().startswith("write a program"):
        return "program"
    if instruction[0] in string.punctuation:
        return "punctuation"
    if not instruction[0].isascii():
        return "not ascii"
    return None


def classification_prompt(instruction: str, seeds: Sequence[Raw]) -> str:
    """Worked examples (12 of classification, 19 of other tasks), then the task in question."""
    labelled = [seed for seed in seeds if seed["is_classification"]][:12]
    other = [seed for seed in seeds if not seed["is_classification"]][:19]
    shots = sorted([*labelled, *other], key=lambda seed: row_id(seed["instruction"]))
    lines = [
        f"Task: {seed['instruction']}\nIs it classification? "
        f"{'Yes' if seed['is_classification'] else 'No'}"
        for seed in shots
    ]
    return (
        "Is each of these tasks a classification task, one whose answer is one of a few labels?"
        "\n\n" + "\n\n".join(lines) + f"\n\nTask: {instruction}\nIs it classification?"
    )


def says_yes(answer: str) -> bool:
    """Whether the classification question was answered with yes and nothing else."""
    return answer.strip() in ("Yes", "yes", "YES")


def instance_prompt(instruction: str, seeds: Sequence[Raw], *, output_first: bool) -> str:
    """Worked examples from the seeds, then the instruction whose instances are wanted.

    Output first names the label before its input, so that the labels come out balanced.
    """
    shots = [seed for seed in seeds if seed["is_classification"] == output_first]
    shots = sorted(shots, key=lambda seed: (_length(seed), seed["id"]))
    few = shots[len(shots) // 4 :: max(1, len(shots) // 10)][:8]  # neither the tersest nor essays
    header = (
        "For each task, name a possible label, then write an input that it fits. "
        "Give several examples."
        if output_first
        else "Write examples of each task. Give several where that makes sense; where a task "
        "needs no input, write the output at once."
    )
    blocks = [_worked(seed, output_first=output_first) for seed in few]
    return "\n\n".join([header, *blocks, f"Task: {instruction}\n"])


def _length(seed: Raw) -> int:
    return sum(len(one["input"]) + len(one["output"]) for one in seed["instances"])


def _worked(seed: Raw, *, output_first: bool) -> str:
    lines = [f"Task: {seed['instruction']}"]
    for number, one in enumerate(seed["instances"], 1):
        if output_first:
            lines += [f"Label: {one['output']}", f"Input: {one['input']}"]
        elif one["input"]:
            lines += [f"Example {number}", f"Input: {one['input']}", f"Output: {one['output']}"]
        else:
            lines.append(f"Output: {one['output']}")
    return "\n".join(lines)


def parsed_instances(answer: str, *, output_first: bool) -> list[tuple[str, str]]:
    """The (input, output) pairs in an answer; an input may be empty, an output too.

    What comes before the first example is one only if it has an output: often it is small talk.
    """
    if output_first:
        parts = re.split(r"(?:^|\n)\s*Label\s*\d*\s*:", answer)
        pairs = []
        for part in parts[1:]:
            label, _, rest = part.partition("\n")
            pairs.append((re.sub(r"^\s*Input\s*\d*\s*:", "", rest).strip(), label.strip()))
        return pairs
    pairs = []
    for place, part in enumerate(re.split(r"Example\s?\d+\s*[.:]?", answer)):
        before, *after = re.split(r"Output\s*\d*\s*:", part)
        if not part.strip() or (place == 0 and not after):
            continue
        given, output = (before, after[0]) if after else ("", part)
        output = re.split(r"Input\s*\d*\s*:", output)[0]
        given = re.sub(r"^\s*Input\s*\d*\s*:", "", given)
        pairs.append((given.strip(), output.strip()))
    return pairs


def faults(
    pairs: Sequence[tuple[str, str]], *, cut_off: bool, chance: random.Random
) -> list[str | None]:
    """For each instance of one instruction the reason to drop it, in the paper's order, or None."""
    reasons: list[str | None] = [_fault(given, output) for given, output in pairs]
    if cut_off and reasons:
        reasons[-1] = "cut off"
    outputs: dict[str, set[str]] = defaultdict(set)
    for (given, output), reason in zip(pairs, reasons, strict=True):
        if given and reason is None:
            outputs[given].add(output)
    contradicted = any(len(answers) > 1 for answers in outputs.values())
    seen: set[tuple[str, str]] = set()
    for place, pair in enumerate(pairs):
        if reasons[place] is None:
            if contradicted:
                reasons[place] = "contradiction"
            elif pair in seen:
                reasons[place] = "duplicate"
            seen.add(pair)
    good = [place for place, reason in enumerate(reasons) if reason is None]
    for place in set(good) - set(chance.sample(good, min(MOST_INSTANCES, len(good)))):
        reasons[place] = "surplus"
    return reasons


def _fault(given: str, output: str) -> str | None:
    if given == output:
        return "echo"
    if not output:
        return "empty output"
    if given.endswith(":") or output.endswith(":"):
        return "unfinished"
    return None


def _instances(raw: Raw, stage: str, chance: random.Random) -> Iterator[Raw]:
    if "failed" in raw:
        yield raw
        return
    pairs = parsed_instances(raw["answer"], output_first=stage == "output_first")
    cut_off = raw[f"llm_{stage}_finish_reason"] == "length"
    if not pairs:
        yield raw | {"reject": "no instance"}
    for (given, output), fault in zip(
        pairs, faults(pairs, cut_off=cut_off, chance=chance), strict=True
    ):
        yield raw | {"reject": fault, "input": given, "output": output}


def row(raw: Raw) -> RowOrDrop:
    """An instance as prompt and completion, or why not, with the most similar instruction."""
    if raw["reject"]:
        shown = ("instruction", "most_similar", "similarity", "input", "output", "answer")
        evidence = {name: raw[name] for name in shown if name in raw}
        if "output" in evidence:
            evidence.pop("answer", None)
        return Drop(reason=raw["reject"], evidence=evidence)
    instruction, given = raw["instruction"], raw["input"]
    return {
        "id": row_id(f"{instruction}\n\n{given}" if given else instruction),
        "prompt": user(laid_out(instruction, given, raw["layout"], raw["draw"])),
        "completion": assistant(raw["output"]),
    }


def laid_out(instruction: str, given: str, layout: str, draw: float) -> str:
    """Instruction and input as one text: always the first template (`plain`), or a drawn one.

    `draw` in [0, 1) chooses the template and, with one half each, whether a field's name before
    the input and its blank lines go.
    """
    templates = _WITH_INPUT if given else _WITHOUT_INPUT
    if layout == "plain":
        return templates[0].format(instruction=instruction, input=given)
    chosen = int(draw * 2 * len(templates))
    if chosen % 2:
        given = re.sub(r"^[A-Za-z ]{1,30}:\s+(?=\S)", "", given) if given.count(":") == 1 else given
        given = given.replace("\n\n", "\n")
    return templates[chosen // 2].format(instruction=instruction, input=given)


RECIPE = Recipe(
    name="instructions",
    makes="new instructions with answers, grown from seed tasks (prompt-completion)",
    schema=PROMPT_COMPLETION,
    seeds=Seeds.shipped(__file__, "instructions.jsonl", form="tasks"),
    roles={"writer": "continues lists of tasks, labels them and writes their instances"},
    rows=40,
    rows_of="instruction candidates",
    pipeline=pipeline,
    row=row,
    candidates=candidates,
    options=(Option("layout", "drawn", "layout of each row", choices=("drawn", "plain")),),
    source="Self-Instruct, arXiv 2212.10560",
)
