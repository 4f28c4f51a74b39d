"""People who labelled a pair: whose labels are joined, and which are no label of people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.judging.verdicts import ABSENT, TIE, A, B
from tests.cases import each
from tests.judging.pair_files import OAK, Json, read


def test_labels_of_several_people_in_rows_of_their_own_are_one_pair(tmp_path: Path) -> None:
    row = {"prompt": "?", "answer_a": "x", "answer_b": "y"}
    rows = [{**row, "winner": w, "judge": j} for w, j in (("a", 1), ("b", 2), ("tie", 3))]
    pairs, labels, lines = read(tmp_path, [*rows, rows[0]])
    assert (len(pairs), labels) == (1, [[A, B, TIE]])
    assert "1 left out: 1 repeated (line 4)" in lines[0]


@each(
    "column",
    [
        *("annotator", "annotator_name", "annotated_by", "annotatorId", "human_annotator", "user"),
        *("user_id", "username", "rater", "Rater ID", "rater-name", "labeler", "labelled by"),
        *("evaluator_id", "reviewer", "WorkerId", "worker_id", "_worker_id", "crowd_worker"),
        *("completed_by", "judge", "expert", "assessor_no", "participant_id", "PROLIFIC_PID"),
        *("respondent", "coder_initials", "created_by", "voter_hash"),
    ],
)
def test_the_column_of_the_annotators_is_known_by_its_name(tmp_path: Path, column: str) -> None:
    people = ("ann", "a"), ("bob", "b"), ("cy", "b"), ("bob", "b")
    rows = [{**OAK, "label": label, column: who, "id": n} for n, (who, label) in enumerate(people)]
    pairs, labels, lines = read(tmp_path, rows)
    assert (len(pairs), labels) == (1, [[A, B, B]])
    assert lines[0].endswith(f", label, {column}); 1 left out: 1 repeated (line 4)")
    assert len(lines) == 2


@each(
    ("rows", "people", "rows_of_a_crowd"),
    [
        ([("x", "a"), ("x", "a")], [[A]], 0),
        ([("x", "a"), ("x", "b"), ("x", "b")], [[A, B, B]], 3),
        ([("x", "a"), ("x", "a"), ("y", "a"), ("y", "tie")], [[A, A], [A, TIE]], 4),
        ([("x", "a", "kim"), ("x", "b", "kim"), ("y", "b", "kim")], [[A, B], [B]], 2),
        (
            [("x", "a", "kim"), ("x", "b", "kim"), ("x", "b", "lee"), ("x", "b", "lee")],
            [[A, B, B]],
            2,
        ),
        ([("x", "a", "kim"), ("x", "b", ""), ("x", "a", None)], [[A, B, A]], 2),
    ],
)
def test_a_row_with_another_label_is_the_label_of_another_person(
    tmp_path: Path, rows: list[tuple[str, ...]], people: list[list[int]], rows_of_a_crowd: int
) -> None:
    labelled = [
        {**OAK, "text_a": text, "label": label, **({"annotator": who[0]} if who else {})}
        for text, label, *who in rows
    ]
    _, labels, lines = read(tmp_path, labelled)
    assert [[x for x in one if x != ABSENT] for one in labels] == people
    expected = f"annotators: {rows_of_a_crowd} rows label the same pairs without an annotator"
    assert [one[: len(expected)] for one in lines[2:]] == [expected] * bool(rows_of_a_crowd)
    left = len(rows) - sum(map(len, people))
    assert (f"{left} repeated" in lines[0]) == bool(left)


def test_the_judge_that_gave_a_verdict_is_no_annotator(tmp_path: Path) -> None:
    pair = {"input": "?", "output_1": "x", "output_2": "y", "label": 1}
    row = {**pair, "judge": "m"}
    of_judges = [
        {**row, "first_winner": 2, "swapped_winner_unswapped": 2},
        {**row, "id": 3, "first": "b"},
        {**pair, "judge_name": "m"},
    ]
    for one in of_judges:
        assert read(tmp_path, [one])[2][0].endswith("(input, output_1, output_2, label)")
    assert read(tmp_path, [row])[2][0].endswith("(input, output_1, output_2, label, judge)")


@each(
    "columns",
    [
        *(
            "annotator{}",
            "annotator_{}",
            "rater{}",
            "human_{}",
            "label_{}",
            "labels{}",
            "expert {}",
        ),
        *(
            "annotation_{}",
            "rater_{}_label",
            "annotator{}_choice",
            "Worker-{}-vote",
            "label_rater_{}",
        ),
        *(
            "evaluator_{}",
            "preference_{}",
            "label_of_annotator_{}",
            "choice_by_human_{}",
        ),
    ],
)
def test_the_columns_with_a_label_of_each_person_are_known_by_their_names(
    tmp_path: Path, columns: str
) -> None:
    labels = {columns.format(n): label for n, label in ((10, "tie"), (2, "b"), (1, "a"))}
    _, people, lines = read(tmp_path, [{**OAK, **labels, "label": "b"}])
    assert people == [[A, B, TIE]]
    names = ", ".join(columns.format(n).lower() for n in (1, 2, 10))
    assert lines[0].endswith(f"(prompt, text_a, text_b, {names})")


def test_columns_with_labels_are_read_before_those_with_the_names_of_people(
    tmp_path: Path,
) -> None:
    who = {"annotator_1": "kim", "annotator_2": "lee"}
    for one, two in (("label_1", "label_2"), ("annotator_1_label", "annotator_2_label")):
        assert read(tmp_path, [{**OAK, **who, one: "a", two: "b"}])[1] == [[A, B]]


def test_two_options_are_no_labels_of_two_people(tmp_path: Path) -> None:
    row = {"prompt": "?", "choice1": "x", "choice2": "y", "label1": "u", "label2": "v", "label": 2}
    for texts in ("choice", "label"):
        found = read(tmp_path, [row], f"text_a={texts}1,text_b={texts}2,label=label")
        assert found[1] == [[B]]
    row = {**OAK, "choice1": "x", "choice2": "y", "label": "b"}
    assert read(tmp_path, [row])[1] == [[B]]


def test_counts_of_votes_for_each_text_are_no_labels_unless_they_are_named(tmp_path: Path) -> None:
    row = {**OAK, "vote1": 2, "vote2": 1}
    with pytest.raises(InputError, match=r"no label of people; .*vote1, vote2; name them"):
        read(tmp_path, [row])
    _, labels, lines = read(tmp_path, [{**row, "label": "a"}])
    assert labels == [[A]] and len(lines) == 2
    assert read(tmp_path, [row], "label=vote1+vote2")[1] == [[B, A]]


def test_the_column_of_the_annotators_can_be_named(tmp_path: Path) -> None:
    rows = [{**OAK, "label": x, "by whom": f"{n}"} for n, x in enumerate("aaab")]
    assert len(read(tmp_path, rows)[2]) == 3
    _, labels, lines = read(tmp_path, rows, "annotator=by whom")
    assert labels == [[A, A, A, B]] and len(lines) == 2
    with pytest.raises(InputError, match=r"no column 'whom'; there are .* annotator=\.\.\."):
        read(tmp_path, rows, "annotator=whom")


def test_people_who_saw_the_texts_in_another_order_label_one_pair(tmp_path: Path) -> None:
    other = {**OAK, "text_a": "Tin.", "text_b": "Oak."}
    rows = [{**OAK, "label": 1, "rater": 1}, {**other, "label": 2, "rater": 2}]
    pairs, labels, _ = read(tmp_path, [*rows, {**other, "label": 1, "rater": 3}])
    assert ([one.a for one in pairs], labels) == (["Oak."], [[A, A, B]])
    chosen = {"prompt": "?", "chosen": "Oak.", "rejected": "Tin.", "worker": 1}
    swapped = {"prompt": "?", "chosen": "Tin.", "rejected": "Oak.", "worker": 2}
    [pair], [[first, second]], _ = read(tmp_path, [chosen, swapped])
    assert {first, second} == {A, B} and (pair.a, pair.b)[first == B] == "Oak."


def test_what_a_user_asks_is_not_who_labelled_it(tmp_path: Path) -> None:
    rows = [
        {"user": f"{n}?", "text_a": "x", "text_b": "y", "label": label}
        for n, label in enumerate("aab")
    ]
    pairs, _, lines = read(tmp_path, rows, "prompt=user")
    assert len(pairs) == 3 and "(user, text_a, text_b, label)" in lines[0]


@each(
    ("row", "people"),
    [
        ({**OAK, "preference": "left", "annotator": 3}, A),
        ({**OAK, "preference": 2, "annotator": "kim"}, B),
        (
            {"instruction": "?", "output_1": "x", "output_2": "y", "preference": 2, "annotator": 3},
            B,
        ),
        (
            {
                "instruction": "?",
                "output_1": "x",
                "output_2": "y",
                "preference": 1.0,
                "generator_1": "m",
                "generator_2": "n",
                "annotator": "humans",
            },
            A,
        ),
        (
            {
                "question": "?",
                "answer_a": "x",
                "answer_b": "y",
                "preference": "b",
                "annotator": "c",
            },
            B,
        ),
    ],
)
def test_a_preference_beside_its_annotator_is_a_label(
    tmp_path: Path, row: Json, people: int
) -> None:
    _, labels, lines = read(tmp_path, [row])
    assert labels == [[people]] and ", preference, annotator)" in lines[0]


@each(
    "judged",
    [
        {"preference": 1.9},
        {"preference": 1, "generator_1": "m", "generator_2": "n"},
        {"preference": 2.0, "price_per_example": 0.01},
    ],
)
def test_the_preference_of_a_judge_is_no_label_unless_it_is_named(
    tmp_path: Path, judged: Json
) -> None:
    row = {"instruction": "?", "output_1": "x", "output_2": "y", "annotator": "m_eval", **judged}
    with pytest.raises(InputError, match="no label of people: 'preference' is from the judge 'm_e"):
        read(tmp_path, [row])
    assert len(read(tmp_path, [row], "label=preference")[0]) == 1


@each(
    ("people", "label", "labels"),
    [
        ({"annotator_1": 1, "annotator_2": 2}, "b", ""),
        ({"annotator_1": 1, "annotator_2": 2}, 2, ""),
        ({"annotator_1": 1, "annotator_2": 2}, 1, "1=b,2=a"),
        ({"annotator_1": 1, "annotator_2": 2}, "worse", "worse=b"),
        ({"annotator_1": "Ann", "annotator_2": "Bob"}, "b", ""),
        ({"annotator_1": "Ann", "annotator_2": "Bob"}, 2, ""),
        ({"label1": 2, "label2": 1}, "b", ""),
        ({"label_1": 10, "label_2": 3}, "b", ""),
        ({"reviewer1": 101, "reviewer2": 102}, "b", ""),
        ({"human_1": 1, "human_2": 2}, "b", ""),
        ({"human_1": "A is short.", "human_2": "I agree."}, "b", ""),
        ({"label_2": "style"}, "b", ""),
        ({"label1": "good", "label2": "bad"}, "b", ""),
        ({"rater_1": None, "rater_2": ""}, "b", ""),
    ],
)
def test_a_label_is_read_before_numbers_and_words_of_people_that_are_no_labels(
    tmp_path: Path, people: Json, label: Any, labels: str
) -> None:
    rows = [{**OAK, **people, "label": label, "id": n} for n in range(3)]
    _, found, lines = read(tmp_path, rows, labels=labels)
    assert found == [[B]] * 3 and "(prompt, text_a, text_b, label)" in lines[0]
    numbers = [one for one, value in people.items() if isinstance(value, int)]
    assert [f" --columns label={'+'.join(numbers)}" in one for one in lines[2:]] == [True] * bool(
        numbers
    )


@each(
    ("people", "label"),
    [
        ({"annotator1": 1, "annotator2": 2, "annotator3": 0}, None),
        ({"annotator1": 1, "annotator2": 2, "annotator3": 0}, "science"),
        ({"annotator1": "a", "annotator2": "b", "annotator3": "tie"}, "a"),
        ({"annotator1": "a", "annotator2": 2, "annotator3": "tie"}, "a"),
        ({"human_1": "text_a", "human_2": "text_b", "human_3": "tie"}, 1),
    ],
)
def test_labels_of_people_are_read_before_one_that_sums_them_up(
    tmp_path: Path, people: Json, label: str | None
) -> None:
    _, found, lines = read(tmp_path, [{**OAK, **people, "label": label}])
    assert found == [[A, B, TIE]] and len(lines) == 2


def test_numbers_beside_a_label_are_none_in_rows_without_it_either(tmp_path: Path) -> None:
    ids = {"annotator_1": 101, "annotator_2": 2}
    rows = [{**OAK, **ids, "label": one, "id": n} for n, one in enumerate([None, 2, 1, None])]
    _, found, lines = read(tmp_path, rows)
    assert found == [[B], [A]] and "2 left out: 2 without a label (line 1)" in lines[0]


def test_numbers_of_people_beside_a_label_are_read_where_they_are_named(tmp_path: Path) -> None:
    row = {**OAK, "annotator1": 1, "annotator2": 2, "label": 1}
    _, found, lines = read(tmp_path, [row], "label=annotator1+annotator2")
    assert found == [[A, B]] and len(lines) == 2


@each(
    "row",
    [
        {"rater_1": "a", "rater_2": "b", "rater_3": "unsure"},
        {"people": ["a", "b", "unsure"]},
        {"label": ["a", "b", 9]},
    ],
)
def test_a_label_without_meaning_costs_its_pair_no_other_label(tmp_path: Path, row: Json) -> None:
    _, found, lines = read(tmp_path, [{**OAK, **row}])
    assert found == [[A, B, ABSENT]]
    assert "a means text_a (1), b means text_b (1); 1 not counted, as '" in lines[1]
    assert lines[1].endswith("; give its meaning with --labels")
    only = dict.fromkeys(row, "unsure")
    lines = read(tmp_path, [{**OAK, **row}, {**OAK, "text_a": "Elm.", **only}])[2]
    assert "1 without a known label (line 2: " in lines[0] and "; 1 not counted" in lines[1]
