"""Filters: the paper's heuristics for instructions and for instances, in the paper's order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.instructions.filters import (
    ALPACA_BLACKLIST,
    BLACKLIST,
    instance_faults,
    unsuitable,
    unsuitable_word,
)
from builders.instructions.task_text import parse_instances
from builders.recipe import Raw
from builders.sources.seed_forms import read_tasks
from builders.sources.source import Source
from tests.cases import each


def published(data: Path) -> list[Raw]:
    return read_tasks(Source(place=str(data / "seed_tasks_175.jsonl")))[0]


@pytest.mark.parametrize(
    ("blacklist", "words", "kept"), [(BLACKLIST, 13, 172), (ALPACA_BLACKLIST, 18, 171)]
)
def test_the_heuristics_keep_as_many_published_seed_tasks_as_the_published_code(
    data: Path, blacklist: Sequence[str], words: int, kept: int
) -> None:
    found = Counter(unsuitable(task["instruction"], blacklist) for task in published(data))
    assert len(set(blacklist)) == words
    assert (found[None], found["too short"], found["program"]) == (kept, 2, 1)


def of_words(count: int) -> str:
    return " ".join(["Count"] + ["words"] * (count - 1))


@each(
    ("words", "reason"),
    [(1, "too short"), (3, "too short"), (4, None), (150, None), (151, "too long")],
)
def test_an_instruction_has_4_to_150_words(words: int, reason: str | None) -> None:
    assert unsuitable(of_words(words)) == reason


@each(
    ("instruction", "reason"),
    [
        ("Describe the picture above in detail.", "unsuitable word"),
        ("Describe the PICTURES above in detail.", "unsuitable word"),
        ("Where would you go to learn cooking?", "unsuitable word"),
        ("Explain what a bitmap and a mapping are.", None),
        ("Imagine a profile of a drawer.", None),
        ("Outline the plot of Hamlet in one sentence.", "unsuitable word"),
        ("Write a program to sort numbers.", "program"),
        ("Write a Program that sorts numbers.", "program"),  # capitalize() lowers the rest
        ("Write a programme for the summer concert.", "program"),  # as published
        ("Explain how to write a program.", None),
        ("- Name a fruit or two.", "punctuation"),
        ("'Ubuntu' means what in English?", "punctuation"),
        ("Éclairs are made of what?", "not ascii"),
        ("说出 一种 水果 的 名字", "not ascii"),
        ("3 apples cost how much?", None),
        ("What is the gist of “Emma”?", None),
    ],
)
def test_an_unsuitable_instruction_has_a_reason(instruction: str, reason: str | None) -> None:
    assert unsuitable(instruction) == reason


@each(
    ("instruction", "reason"),
    [
        ("¿draw picture?", "too short"),
        ("- " + "draw " * 150, "too long"),
        ("Write a program to draw circles.", "unsuitable word"),
        ("¡Look at the picture, please!", "unsuitable word"),
    ],
)
def test_of_several_faults_the_first_in_the_paper_s_order_is_given(
    instruction: str, reason: str
) -> None:
    assert unsuitable(instruction) == reason


@each(
    ("instruction", "word"),
    [("Draw a MAP of it.", "MAP"), ("Then, go To it.", "go To"), ("Photograph a maple.", None)],
)
def test_the_unsuitable_word_is_given_as_the_instruction_has_it(
    instruction: str, word: str | None
) -> None:
    assert unsuitable_word(instruction) == word


@each("word", ["video", "Audio", "music", "flowchart", "DIAGRAM"])
def test_alpaca_s_list_forbids_five_words_more(word: str) -> None:
    instruction = f"Tell me about this {word}, please."
    assert unsuitable(instruction) is None
    assert unsuitable(instruction, ALPACA_BLACKLIST) == "unsuitable word"


@given(
    st.lists(
        st.sampled_from(["Example 1", "Input:", "Output:", "Label:", "a", "b:", "\n", " ", ""])
    ),
    st.booleans(),
)
def test_whatever_comes_back_gives_pairs_that_are_kept_or_have_a_reason(
    parts: list[str], output_first: bool
) -> None:
    pairs = parse_instances("".join(parts), output_first=output_first)
    found = reasons(*pairs)
    assert len(found) == len(pairs)
    for (given_, output), reason in zip(pairs, found, strict=True):
        assert (given_, output) == (given_.strip(), output.strip())
        if reason is None:
            assert output and output != given_ and not output.endswith(":")


def reasons(*pairs: tuple[str, str], seed: int = 0) -> list[str | None]:
    return instance_faults(pairs, chance=random.Random(seed))


def test_each_fault_of_an_instance_has_a_reason() -> None:
    pairs = [("a", "b"), ("c", "c"), ("d", ""), ("e:", "f"), ("g", "h:"), ("", "i"), ("a", "b")]
    assert reasons(*pairs) == [
        *(None, "echo", "empty output", "unfinished", "unfinished", None, "duplicate"),
    ]


def test_of_several_faults_of_an_instance_the_first_in_the_paper_s_order_is_given() -> None:
    assert reasons(("", "")) == ["echo"]
    assert reasons(("a:", "a:")) == ["echo"]
    assert reasons(("a:", "")) == ["empty output"]


def test_one_input_with_two_outputs_drops_all_instances_of_the_instruction() -> None:
    assert reasons(("a", "b"), ("c", "d"), ("a", "x")) == ["contradiction"] * 3
    assert reasons(("a", "b"), ("a", "b"), ("a", "x")) == ["contradiction"] * 3
    assert reasons(("", "b"), ("", "x")) == [None, None]  # no input, no contradiction
    assert reasons(("a", "b"), ("a", "")) == [
        None,
        "empty output",
    ]  # what is out contradicts nothing


def test_at_most_five_instances_are_kept_drawn_at_random() -> None:
    pairs = [(f"input {place}", f"output {place}") for place in range(9)]
    picks = [reasons(*pairs, seed=seed) for seed in range(30)]
    assert {tuple(sorted(map(str, pick))) for pick in picks} == {("None",) * 5 + ("surplus",) * 4}
    kept = {place for pick in picks for place, reason in enumerate(pick) if reason is None}
    assert kept == set(range(9))
    assert reasons(*pairs, seed=3) == reasons(*pairs, seed=3)
    assert reasons(*pairs[:5]) == [None] * 5


PAIRS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "c:"]), st.sampled_from("abcx")), max_size=9
)


@given(PAIRS)
def test_what_the_filters_keep_is_at_most_five_different_instances_that_do_not_contradict(
    pairs: list[tuple[str, str]],
) -> None:
    found = reasons(*pairs)
    kept = [pair for pair, reason in zip(pairs, found, strict=True) if reason is None]
    assert len(kept) == len(set(kept)) <= 5
    outputs: dict[str, str] = {}
    for given_, output in kept:
        if given_:
            assert outputs.setdefault(given_, output) == output
    assert all(reason is None or reason == reason.lower() for reason in found)
