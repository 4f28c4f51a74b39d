"""Tasks as text: written into a prompt, and parsed from what a teacher wrote in the same form.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560, and its code, for the forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from builders.recipe import Raw, row_id


def numbered_list(instructions: Sequence[str]) -> str:
    """A numbered list, one instruction per line, that ends with the number of the next."""
    texts = [" ".join(instruction.split()).rstrip(":") for instruction in instructions]
    lines = [f"{number}. {text}\n" for number, text in enumerate(texts, 1)]
    return f"{''.join(lines)}{len(lines) + 1}."


def parse_list(continued: str) -> list[str]:
    """The instructions in a continued list, white space collapsed, the first letter raised.

    A number before the first repeats the list's own; "2.5" at the start of a line is none.
    """
    items = re.split(r"\n\d+\s?\.(?:\s|$)", "\n" + continued.lstrip())
    parts = (" ".join(item.split()) for item in items)
    return [part[0].upper() + part[1:] for part in parts if part]


def classification_examples(tasks: Sequence[Raw], *, of_classification: int, other: int) -> str:
    """Tasks with the answer whether each is a classification; the two kinds are mixed."""
    labelled = [task for task in tasks if task["is_classification"]][:of_classification]
    unlabelled = [task for task in tasks if not task["is_classification"]][:other]
    shots = sorted([*labelled, *unlabelled], key=lambda task: row_id(task["instruction"]))
    return _paragraphs(
        f"Task: {task['instruction']}\nIs it classification? "
        f"{'Yes' if task['is_classification'] else 'No'}"
        for task in shots
    )


def worked_examples(tasks: Sequence[Raw], *, output_first: bool) -> str:
    """Tasks with their instances, of classification or of the others: some of medium length."""
    shots = [task for task in tasks if task["is_classification"] == output_first]
    shots = sorted(shots, key=lambda task: (_length(task), task["id"]))
    few = shots[len(shots) // 4 :: max(1, len(shots) // 10)][:8]
    return _paragraphs(_worked(task, output_first=output_first) for task in few)


def _paragraphs(blocks: Iterable[str]) -> str:
    return "".join(f"{block}\n\n" for block in blocks)


def _length(task: Raw) -> int:
    return sum(len(one["input"]) + len(one["output"]) for one in task["instances"])


def _worked(task: Raw, *, output_first: bool) -> str:
    lines = [f"Task: {task['instruction']}"]
    for number, one in enumerate(task["instances"], 1):
        if output_first:
            lines += [f"Label: {one['output']}", f"Input: {one['input']}"]
        elif one["input"]:
            lines += [f"Example {number}", f"Input: {one['input']}", f"Output: {one['output']}"]
        else:
            lines.append(f"Output: {one['output']}")
    return "\n".join(lines)


def parse_instances(answer: str, *, output_first: bool) -> list[tuple[str, str]]:
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


def laid_out(templates: Sequence[str], instruction: str, given: str, draw: float) -> str:
    """Instruction and input as one text, by a template that `draw` in [0, 1) chooses.

    With one half each, a field's name before the input and its blank lines are left out.
    """
    chosen = int(draw * 2 * len(templates))
    if chosen % 2:
        given = re.sub(r"^[A-Za-z ]{1,30}:\s+(?=\S)", "", given) if given.count(":") == 1 else given
        given = given.replace("\n\n", "\n")
    return templates[chosen // 2].format(instruction=instruction, input=given)
