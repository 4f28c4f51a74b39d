"""Tasks as text: written into a prompt, and parsed from any answer."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from builders.instructions.task_text import (
    classification_examples,
    laid_out,
    numbered_list,
    parse_instances,
    parse_list,
    worked_examples,
)
from builders.sources.seed_forms import read_tasks
from builders.sources.source import Source
from pipelines.instructions import LAYOUTS, RECIPE
from tests.cases import each

TASKS, *_ = read_tasks(Source(place=RECIPE.seeds.source))


@each(
    ("answer", "instructions"),
    [
        (" Name a fruit.\n10. Name a tree.", ["Name a fruit.", "Name a tree."]),
        (" name a fruit.\n10 . name a tree.\n", ["Name a fruit.", "Name a tree."]),
        (" Name\n  a   fruit.\n10. What does NASA do?", ["Name a fruit.", "What does NASA do?"]),
        ("Name a fruit.\n10.\nName a tree.\n11.", ["Name a fruit.", "Name a tree."]),
        ("9. Name a fruit.\n10. Name a tree.", ["Name a fruit.", "Name a tree."]),
        ("\n9. Name a fruit.", ["Name a fruit."]),
        (" Convert to cups:\n2.5 litres", ["Convert to cups: 2.5 litres"]),
        (" Add 3. 4. and 5. up", ["Add 3. 4. and 5. up"]),
        (" Sort: (1) b (2) a", ["Sort: (1) b (2) a"]),
        ("", []),
        (" \n ", []),
        ("\n10. \n11. ", []),
        ("10.", []),
        ("no list at all", ["No list at all"]),
        (" éclairs: how are they made?", ["Éclairs: how are they made?"]),
    ],
)
def test_a_continued_list_is_parsed(answer: str, instructions: list[str]) -> None:
    assert parse_list(answer) == instructions


@given(st.text(st.sampled_from("ab 19.\n\t")) | st.text())
@example("\n1.\x1f\n2. ")
def test_whatever_comes_back_gives_instructions_on_one_line_each(answer: str) -> None:
    for instruction in parse_list(answer):
        assert instruction == " ".join(instruction.split()) != ""


def test_the_examples_of_both_answers_are_mixed() -> None:
    text = classification_examples(TASKS, of_classification=12, other=19)
    labels = re.findall(r"^Is it classification\? (Yes|No)$", text, re.MULTILINE)
    assert Counter(labels) == {"Yes": 12, "No": 19}
    assert sum(a != b for a, b in pairwise(labels)) > 5  # not in two blocks


@each("output_first", [True, False])
def test_worked_examples_are_few_and_parsed_as_answers_are(output_first: bool) -> None:
    text = worked_examples(TASKS, output_first=output_first)
    by_instruction = {task["instruction"]: task for task in TASKS}
    blocks = text.split("Task: ")[1:]
    assert 4 <= len(blocks) <= 8
    for block in blocks:
        instruction, worked = block.split("\n", 1)
        task = by_instruction[instruction]
        assert task["is_classification"] == output_first
        wanted = [(one["input"], one["output"]) for one in task["instances"]]
        assert parse_instances(worked, output_first=output_first) == wanted


def test_tasks_of_one_kind_alone_give_no_examples_of_the_other() -> None:
    tasks = [task for task in TASKS if not task["is_classification"]]
    assert worked_examples(tasks, output_first=True) == ""
    assert classification_examples(tasks, of_classification=12, other=19).count("Task: ") == 19


def test_a_numbered_list_ends_with_the_next_number() -> None:
    assert numbered_list(["Sort\n\nthese\t words: by length:", "b"]) == (
        "1. Sort these words: by length\n2. b\n3."
    )


@each(
    ("answer", "pairs"),
    [
        (
            "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
            [("a", "b"), ("c", "d")],
        ),
        (
            "Example 1.\nInput: a\n\nOutput: b\nc\n\nExample 2:\nOutput: d",
            [("a", "b\nc"), ("", "d")],
        ),
        ("Example1\nInput 1: a\nOutput 1: b", [("a", "b")]),
        ("Input: a\nOutput: b", [("a", "b")]),
        ("Output: b", [("", "b")]),
        ("Output: b\n\nExample 2\nOutput: c", [("", "b"), ("", "c")]),
        ("Example 1\nThe text alone.", [("", "The text alone.")]),
        ("Example 1\na line\nOutput: b", [("a line", "b")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b")]),  # as published: one a block
        ("Sure! Here you are.\n\nExample 1\nInput: a\nOutput: b", [("a", "b")]),
        ("Example 1\nInput: a\nOutput:", [("a", "")]),
        ("Example 1\nInput: a\nOutput: b\nExample 2\n", [("a", "b")]),
        ("I do not know what is wanted.", []),
        ("", []),
        ("\n\n", []),
        ("Example 1\nExample 2", []),
    ],
)
def test_instances_with_the_input_first_are_parsed(
    answer: str, pairs: list[tuple[str, str]]
) -> None:
    assert parse_instances(answer, output_first=False) == pairs


@each(
    ("answer", "pairs"),
    [
        ("Label: good\nInput: a\nLabel: bad\nInput: b", [("a", "good"), ("b", "bad")]),
        ("Label: good\nInput: a\n\nb\n\nLabel: bad\nInput: c", [("a\n\nb", "good"), ("c", "bad")]),
        ("Label 1: good\nInput 1: a", [("a", "good")]),
        ("Label: good\na", [("a", "good")]),
        ("Label: good", [("", "good")]),
        ("Label:\nInput: a", [("a", "")]),
        ("Sure!\nLabel: good\nInput: a", [("a", "good")]),
        ("Input: a\nOutput: good", []),
        ("The Label: of it", []),
        ("", []),
    ],
)  # fmt: skip
def test_instances_with_the_label_first_are_parsed(
    answer: str, pairs: list[tuple[str, str]]
) -> None:
    assert parse_instances(answer, output_first=True) == pairs


def layouts(given_: str) -> list[str]:
    """All texts that a drawn layout can give, each as often as it is drawn in a thousand."""
    templates = LAYOUTS["with_input" if given_ else "without_input"]
    return [laid_out(templates, "Do it.", given_, draw / 1000) for draw in range(1000)]


def test_there_are_seven_layouts_with_an_input_and_six_without() -> None:
    for given_, count in (("x", 7), ("", 6)):
        drawn = Counter(layouts(given_))
        assert len(drawn) == count
        assert max(drawn.values()) - min(drawn.values()) <= 2  # equally likely
        assert all("Do it." in text and given_ in text for text in drawn)


def test_half_of_the_drawn_layouts_leave_out_a_field_s_name_and_blank_lines() -> None:
    drawn = layouts("Sentence: one\n\ntwo")
    with_name = [text for text in drawn if "Sentence: one\n\ntwo" in text]
    without = [text for text in drawn if "one\ntwo" in text and "Sentence" not in text]
    assert len(with_name) + len(without) == 1000
    assert 490 <= len(with_name) <= 510


@each(
    "text",
    ["https://example.org/a", "A: one\nB: two", "10:30", "a: {instruction}: {input}", "Time:"],
)
def test_what_is_no_single_field_s_name_stays(text: str) -> None:
    assert all(text in drawn for drawn in layouts(text))


def test_braces_in_a_task_are_text() -> None:
    templates = LAYOUTS["with_input"]
    assert all("{0} {x}" in laid_out(templates, "{0} {x}", "{y}", n / 14) for n in range(14))
