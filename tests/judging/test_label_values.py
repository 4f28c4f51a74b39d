"""What labels of pairs mean, as they are written, and numbers that may mean two things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.judging.label_values import label_values
from builders.judging.verdicts import TIE, A, B
from tests.cases import each
from tests.judging.pair_files import OAK, read

GOOD = [{**OAK, "text_a": f"Oak {n}.", "label": "a"} for n in range(12)]


@each(
    ("values", "texts", "labels", "people"),
    [
        (["model_a", "Model B", "TIE"], "text", "", [A, B, TIE]),
        (["[[A]]", "[[b]]", "[[C]]"], "text", "", [A, B, TIE]),
        (["text_a", "text_b", "both_bad"], "text", "", [A, B, TIE]),
        (["A>>B", "B>A", "A=B"], "text", "", [A, B, TIE]),
        ([1, 2, 0], "text", "", [A, B, TIE]),
        (["1", "2.0", 0.0], "text", "", [A, B, TIE]),
        ([1, -1, 0], "text", "", [A, B, TIE]),
        ([0, 1, 1], "response", "", [A, B, B]),
        (["first", "second", None], "text", "", [A, B]),
        ([0, 1, 0], "text", "0=b,1=a", [B, A, B]),
        (["left text", "x", "?"], "text", "left text=a,x=b,?=tie", [A, B, TIE]),
    ],
)
def test_labels_are_read_in_the_ways_that_they_are_written(
    tmp_path: Path, values: list[Any], texts: str, labels: str, people: list[int]
) -> None:
    a, b = {"text": ("text_a", "text_b"), "response": ("response_0", "response_1")}[texts]
    rows = [{"prompt": "?", a: f"x{n}", b: "y", "label": one} for n, one in enumerate(values)]
    _, found, lines = read(tmp_path, rows, labels=labels)
    assert [one for [one] in found] == people
    assert lines[1].startswith("labels: ")


def test_a_preference_and_the_name_of_a_writer_are_labels_too(tmp_path: Path) -> None:
    rows = [
        {"instruction": "?", "output_1": f"x{n}", "output_2": "y", "preference": one}
        for n, one in enumerate((1.02, 1.98, 1.5))
    ]
    assert read(tmp_path, rows)[1] == [[A], [B], [TIE]]
    row = {"prompt": "?", "answer_a": "x", "answer_b": "y", "model_a": "gpt-x", "model_b": "tin-1"}
    assert read(tmp_path, [{**row, "winner": "tin-1"}])[1] == [[B]]


def test_a_label_without_meaning_is_printed_with_the_way_to_give_it_one(tmp_path: Path) -> None:
    _, _, lines = read(tmp_path, [*GOOD, {**OAK, "label": "x?"}])
    assert (
        "(line 13: 'label' is 'x?', expected a, b or tie; give its meaning with --labels)"
        in lines[0]
    )


def test_what_labels_were_read_as_is_printed(tmp_path: Path) -> None:
    rows = [{**OAK, "text_a": f"{n}", "label": 1 + n % 2} for n in range(5)]
    assert read(tmp_path, rows)[2][1] == "labels: 1 means text_a (3), 2 means text_b (2)"


def test_labels_and_columns_are_printed_as_the_file_has_them(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{n}?", "Answer A": "Oak.", "Answer B": "Tin.", "label": label}
        for n, label in enumerate(["A", "A", "A", "B", "B", "tie", "Draw"])
    ]
    lines = read(tmp_path, rows, "text_a=Answer A,text_b=Answer B")[2]
    assert lines[1] == (
        "labels: A means Answer A (3), B means Answer B (2), tie (1), Draw means tie (1)"
    )


@each(
    ("texts", "values"),
    [(("text_a", "text_b"), (0, 1)), (("output_1", "output_2"), (0, 0)), (("y_0", "y_1"), (1, 2))],
)
def test_numbers_with_two_meanings_are_refused_until_one_is_given(
    tmp_path: Path, texts: tuple[str, str], values: tuple[int, int]
) -> None:
    rows: list[Mapping[str, Any]] = [
        {"prompt": "?", texts[0]: f"x{n}", texts[1]: "y", "label": one}
        for n, one in enumerate(values)
    ]
    columns = "text_a={},text_b={}".format(*texts)
    with pytest.raises(InputError, match=r"the labels in 'label' are .* --labels 0=a,1=b"):
        read(tmp_path, rows, columns)
    assert len(read(tmp_path, rows, columns, "0=a,1=b,2=tie")[0]) == 2


@each(
    ("column", "texts", "values", "labels"),
    [
        ("preference", "response_", [1, 2, 2, 3, 5, 7], "1=a,2=a,3=a,5=b,7=b"),
        ("label", "text_", ["1", "2", "4", "5"], "1=a,2=a,4=b,5=b"),
        ("label", "text_", [0, 1, 2, 3], "0=a,1=a,2=b,3=b"),
        ("label", "response_", [0, 3], "0=a,3=b"),
        ("winner", "answer_", [1, 2, 3, 4], "1=a,2=a,3=b,4=b"),
        ("preference", "output_", [-3, -1, 1, 3], "-3=a,-1=a,1=b,3=b"),
        ("preference", "text_", [-2, 2], "-2=a,2=b"),
        ("label", "text_", ["+2", "+1", "0", "-1"], "+2=a,+1=a,0=tie,-1=b"),
        ("label", "text_", [1, 2, -1], "-1=tie"),
        ("label", "text_", [1, 2, 99], "99=tie"),
        ("preference", "text_", [0.0, 0.2, 0.9, 1.0], "0=b,0.2=b,0.9=a,1=a"),
        ("preference", "text_", [1, 1.5, 2.5, 3], "1=a,1.5=a,2.5=b,3=b"),
        ("label", "text_", [10, 50, 2], "10=a,50=tie,2=b"),
        ("label", "response ", [1, 2, 3, 4], "1=a,2=a,3=b,4=b"),  # Auto-J's columns
        ("people", "text_", [1, 2, 5], "1=a,2=a,5=b"),
        ("preference_strength", "response_", [1, 3, 5, 7], "1=a,3=a,5=b,7=b"),
    ],
)
def test_numbers_of_a_scale_are_refused_until_each_has_a_meaning(
    tmp_path: Path, column: str, texts: str, values: list[Any], labels: str
) -> None:
    a, b = ("a", "b") if texts in ("text_", "answer_") else ("1", "2")
    rows = [
        {"prompt": "?", f"{texts}{a}": f"x{n}", f"{texts}{b}": "y", column: one}
        for n, one in enumerate(values)
    ]
    with pytest.raises(
        InputError, match=rf"'{column}' are .* may be a scale; .* --labels[= ].*=a,\.\.\.,.*=b"
    ):
        read(tmp_path, rows)
    assert len(read(tmp_path, rows, labels=labels)[0]) == len(values)


@each(
    ("values", "labels", "people"),
    [
        ([1, 2, 7], "1=a,2=b", [A, B]),
        ([1, 2, 3, 4, 5], "1=a,2=a,4=b,5=b", [A, A, B, B]),  # 3 would be a tie by chance
        ([1, 2, 3, 4, 5], "1=a,2=a,3=tie,4=b,5=b", [A, A, TIE, B, B]),
        ([0, 1, 1, -1], "0=a,1=b", [A, B, B]),
        ([0, 1, 1, 2], "0=a,1=b", [A, B, B]),
        (["0", "1", "1.0", "2.0"], "0=a,1=b", [A, B, B]),
        ([0, 1, 3], "0=a,1=b", [A, B]),
        ([1, 2, 2, 0], "1=b,2=a", [B, A, A]),
        ([1, 2, 2, 3], "1=b,2=a", [B, A, A]),
        ([1, 0, "tie", "b", 2], "1=a,0=b", [A, B, TIE, B]),  # a word needs no meaning
        ([1, 2, "best"], "best=b", [A, B, B]),
        ([1, 2, 3], "", [A, B, TIE]),
        ([0, 2, 1], "", [TIE, B, A]),
        ([5, "a", "b", "tie"], "", [A, B, TIE]),
    ],
)
def test_numbers_without_a_meaning_are_left_out_and_never_guessed(
    tmp_path: Path, values: list[Any], labels: str, people: list[int]
) -> None:
    rows = [{**OAK, "text_a": f"x{n}", "label": one} for n, one in enumerate(values)]
    _, found, lines = read(tmp_path, rows, labels=labels)
    assert found == [[one] for one in people]
    left = len(values) - len(people)
    assert (f"; {left} left out: {left} without a known label (line " in lines[0]) == bool(left)


@each("slip", [4, 9, "7", 0.5])
def test_a_slip_among_many_labels_is_left_out_and_shows_no_scale(tmp_path: Path, slip: Any) -> None:
    rows = [{**OAK, "text_a": f"x{n}", "label": 1 + n % 2} for n in range(198)]
    pairs, _, lines = read(tmp_path, [*rows, {**OAK, "label": slip}])
    assert len(pairs) == 198 and "1 without a known label (line 199: 'label' is " in lines[0]
    with pytest.raises(InputError, match=r"a scale; .* \(one without a meaning is not counted\)"):
        read(tmp_path, [*rows[:90], {**OAK, "label": 4}])


def test_writers_that_are_named_by_numbers_are_no_scale(tmp_path: Path) -> None:
    row = {"prompt": "?", "text_a": "x", "text_b": "y", "model_a": 4, "model_b": 17}
    assert read(tmp_path, [{**row, "winner": 17}, {**row, "text_a": "z", "winner": "4"}])[1] == [
        [B],
        [A],
    ]


@each("text", ["0", "0=", "=a", "0=first", "", "0=a,1"])
def test_a_faulty_list_of_labels_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(InputError, match="expected value=meaning"):
        label_values(text)
