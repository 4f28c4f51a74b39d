"""Labels in the exports of Label Studio and Argilla: whose count, and in which column they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.judging.verdicts import ABSENT, TIE, A, B
from tests.cases import each
from tests.judging.pair_files import Json, read

TEXTS = {"prompt": "Name a tree.", "answer1": "Oak.", "answer2": "Tin."}


def annotation(
    *values: Any, name: str = "comparison", to: Any = ("one", "two"), **more: Any
) -> Json:
    """An annotation of Label Studio, by one person."""
    result = [
        {"value": one, "from_name": name, "to_name": to, "type": "pairwise"} for one in values
    ]
    return {"id": 7, "completed_by": 3, "was_cancelled": False, "result": result, **more}


def task(*annotations: Json, **more: Any) -> Json:
    return {
        "id": 1,
        "data": {**TEXTS, **more},
        "annotations": [*annotations],
        "predictions": [{"result": [{"value": {"selected": "right"}, "from_name": "comparison"}]}],
    }


LEFT, RIGHT = {"selected": "left"}, {"selected": "right"}
MARKS = [("u1", "answer1", "submitted"), ("u2", "answer2", "discarded"), ("u3", "answer2", None)]
KEYS = ("user_id", "value", "status")
BOTH_KINDS = {
    "result": [
        {"value": {"choices": ["Good"]}, "from_name": "tone", "type": "choices"},
        {"value": {"text": ["As I say."]}, "from_name": "why", "type": "textarea"},
        {"value": {"choices": ["B"]}, "from_name": "which", "type": "choices"},
    ]
}
RANKS = [{"rank": 2, "value": "answer1"}, {"rank": 1, "value": "answer2"}]
TIED = [{"rank": 1, "value": "answer1"}, {"rank": 1, "value": "answer2"}]


def answers(*values: Any) -> list[Json]:
    """Responses of Argilla to one question."""
    return [
        {"user_id": f"u{n}", "value": one, "status": "submitted"} for n, one in enumerate(values)
    ]


@each(
    ("row", "column", "people"),
    [
        (task(annotation(LEFT)), "comparison", [A]),
        (task(annotation(LEFT), annotation(RIGHT), annotation(RIGHT)), "comparison", [A, B, B]),
        (task(annotation(RIGHT), annotation(LEFT, was_cancelled=True)), "comparison", [B]),
        (task(annotation(LEFT, to=["answer2", "answer1"])), "comparison", [B]),
        (task(annotation(LEFT, to="answer1,answer2")), "comparison", [A]),
        (task(annotation({"choices": ["Tie"]}, name="which")), "which", [TIE]),
        (task(annotation({"choices": ["Answer 2"]}, name="which")), "which", [B]),
        (task(annotation(RIGHT), label="gold", winner="answer1"), "comparison", [B]),
        (task(BOTH_KINDS), "which", [B]),
        ({**TEXTS, "id": 1, "annotator": 3, "pw": {"selected": "right"}}, "pw", [B]),
        ({**TEXTS, "annotator": 3, "pw": [{"selected": "left"}]}, "pw", [A]),
        ({**TEXTS, "annotator": 3, "pw": json.dumps([RIGHT])}, "pw", [B]),
        ({**TEXTS, "annotator": 3, "side": {"choices": ["left"]}}, "side", [A]),
        (
            {
                "status": "completed",
                "fields": TEXTS,
                "responses": {"preference": answers("answer1", "answer2"), "why": answers("x", "")},
                "suggestions": {"preference": {"value": "answer2", "agent": "m"}},
            },
            "preference",
            [A, B],
        ),
        (
            {"fields": TEXTS, "responses": {"which one": answers("answer2"), "why": answers("x")}},
            "which one",
            [B],
        ),
        (
            {
                "fields": TEXTS,
                "responses": [
                    {"user_id": who, "status": state, "values": {"best": {"value": value}}}
                    for who, value, state in MARKS
                ],
            },
            "best",
            [A, ABSENT, B],
        ),
        (
            {
                **TEXTS,
                "best": [dict(zip(KEYS, x, strict=True)) for x in MARKS],
            },
            "best",
            [A, ABSENT, B],
        ),
        (
            {
                **TEXTS,
                "best": dict(
                    zip(("user_id", "value", "status"), zip(*MARKS, strict=False), strict=False)
                ),
            },
            "best",
            [A, ABSENT, B],
        ),
        (
            {
                **TEXTS,
                "best.responses": ["answer1", "answer2"],
                "best.responses.users": ["u1", "u2"],
                "best.responses.status": ["submitted", "draft"],
                "best.suggestion": "answer2",
            },
            "best",
            [A, ABSENT],
        ),
        (
            {
                **{f"fields.{name}": text for name, text in TEXTS.items()},
                "responses.best": ["answer2", "answer1"],
            },
            "best",
            [B, A],
        ),
        ({**TEXTS, "order": answers(RANKS, TIED, RANKS[::-1])}, "order", [B, TIE, B]),
        (
            {**TEXTS, "order": answers({"rank": [1, 2], "value": ["answer1", "answer2"]})},
            "order",
            [A],
        ),
        (
            {**TEXTS, "preference": answers(RANKS), "preference-suggestion": RANKS[:1]},
            "preference",
            [B],
        ),
        (
            {
                "prompt": "Name a tree.",
                "response-1": "Oak.",
                "response-2": "Tin.",
                "preference": answers("response-2", "response-1"),
            },
            "preference",
            [B, A],
        ),
    ],
)
def test_the_labels_of_people_are_found_in_each_export(
    tmp_path: Path, row: Json, column: str, people: list[int]
) -> None:
    [pair], labels, lines = read(tmp_path, [row, row])  # one row might be a document of rows
    assert (pair.prompt, pair.a, pair.b) == ("Name a tree.", "Oak.", "Tin.")
    assert labels == [people]
    assert f", {column}" in lines[0].partition(";")[0]


OPTIONS = [{"id": "x", "text": "Oak."}, {"id": 2, "text": "Tin."}]
PRODIGY = {"text": "Name a tree.", "options": OPTIONS, "answer": "accept", "_view_id": "choice"}
TURK = {
    "HITId": "h",
    "Input.prompt": "Name a tree.",
    "Input.text_a": "Oak.",
    "Input.text_b": "Tin.",
}


@each(
    ("row", "label"),
    [
        (PRODIGY | {"accept": ["x"], "_annotator_id": "{}"}, A),
        (PRODIGY | {"accept": [2], "_annotator_id": "{}"}, B),
        (
            PRODIGY
            | {
                "options": [*OPTIONS, {"id": 0, "text": "Tie"}],
                "accept": [0],
                "_annotator_id": "{}",
            },
            TIE,
        ),
        (TURK | {"WorkerId": "{}", "Answer.label": "a"}, A),
        (TURK | {"WorkerId": "{}", "Answer.preference": "text_b", "AssignmentId": "{}"}, B),
    ],
)
def test_exports_with_a_row_per_person_are_read(tmp_path: Path, row: Json, label: int) -> None:
    rows = [
        {name: value.format(n) if isinstance(value, str) else value for name, value in row.items()}
        for n in range(3)
    ]
    [pair], labels, _ = read(tmp_path, rows)
    assert (pair.prompt, pair.a, pair.b) == ("Name a tree.", "Oak.", "Tin.")
    assert labels == [[label] * 3]


@each(
    ("done", "unlabelled"),
    [
        (PRODIGY | {"accept": ["x"]}, PRODIGY | {"accept": ["x"], "answer": "ignore"}),
        (PRODIGY | {"accept": ["x"]}, PRODIGY | {"accept": [], "answer": "accept"}),
        (PRODIGY | {"accept": ["x"]}, PRODIGY | {"accept": ["x", 2]}),
        (TURK | {"Answer.label": 1}, TURK | {"Answer.label": 2, "AssignmentStatus": "Rejected"}),
    ],
)
def test_an_ignored_or_rejected_row_of_one_person_is_without_a_label(
    tmp_path: Path, done: Json, unlabelled: Json
) -> None:
    _, labels, lines = read(tmp_path, [done, unlabelled])
    assert labels == [[A]] and "1 left out: 1 without a label (line 2)" in lines[0]


@each(
    "unlabelled",
    [
        task(),
        task(annotation(RIGHT, was_cancelled=True)),
        task(label="a"),
        {"fields": TEXTS, "responses": {}, "status": "pending"},
        {"fields": TEXTS, "responses": [{"user_id": "u", "status": "draft", "values": None}]},
        {"fields": TEXTS, "responses": {"best": [{"value": "answer1", "status": "discarded"}]}},
    ],
)
def test_a_task_that_nobody_finished_is_left_out_as_without_a_label(
    tmp_path: Path, unlabelled: Json
) -> None:
    done = {"fields": TEXTS, "responses": {"best": answers("answer1")}}
    pairs, _, lines = read(tmp_path, [done, unlabelled, unlabelled, unlabelled])
    assert len(pairs) == 1 and "3 left out: 3 without a label (line 2)" in lines[0]


def test_a_choice_in_other_words_is_read_once_its_meaning_is_given(tmp_path: Path) -> None:
    rows = [
        task(annotation({"choices": [choice]}, name="which"), prompt=f"{n}?")
        for n, choice in enumerate(("left", "The second one", "left"))
    ]
    assert "'which' is 'The second one', expected a, b or tie" in read(tmp_path, rows)[2][0]
    assert read(tmp_path, rows, labels="The second one=b")[1] == [[A], [B], [A]]


@each(
    "row",
    [
        {**TEXTS, "preference-suggestion": RANKS},
        {**TEXTS, "model_verdict": {"winner": "answer1"}},
        {**TEXTS, "conversations": [{"from": "human", "value": "left", "status": None}]},
        {**TEXTS, "one": answers("answer1 is nicer"), "two": answers("answer2 is wrong")},
    ],
)
def test_what_a_model_suggested_or_has_two_readings_is_no_label(tmp_path: Path, row: Json) -> None:
    with pytest.raises(InputError, match="no label of people; there are "):
        read(tmp_path, [row])


@each(
    "odd",
    [
        {"data": TEXTS, "annotations": [None, 3, {"result": [None, {"value": 3}]}, {"result": 3}]},
        {"data": TEXTS, "annotations": [annotation({"selected": None}, to=[{"x": 1}, None])]},
        {"data": TEXTS, "annotations": [annotation({"choices": []}), annotation({"choices": {}})]},
        {"fields": TEXTS, "responses": [{"values": 3}, None, {"values": {"best": None}}]},
        {"fields": TEXTS, "responses": None},
        {**TEXTS, "best": {"user_id": ["u"], "value": 3, "status": []}},
        {**TEXTS, "best": {"user_id": [], "value": [], "status": []}},
        {**TEXTS, "order": answers({"rank": 1, "value": "answer1"}, [{"rank": 1, "value": None}])},
        {**TEXTS, "order": answers([{"rank": float("nan"), "value": "answer1"}, RANKS[0]])},
        {**TEXTS, "best.responses": None, "best.responses.status": 3, "responses.x": "y"},
        {**TEXTS, "best": '[{"selected": ' + "[" * 9000, "why": '{"value": ' * 900 + "{}"},
    ],
)
def test_an_odd_export_has_no_label_and_stops_nothing(tmp_path: Path, odd: Json) -> None:
    done = {"fields": TEXTS, "responses": {"best": answers("answer1")}}
    pairs, _, lines = read(tmp_path, [done, odd, {**done, "id": 3}])
    assert len(pairs) == 2 and "; 1 left out: 1 " in lines[0]


def test_a_question_of_an_export_can_be_named(tmp_path: Path) -> None:
    row = {"fields": TEXTS, "responses": {"x": answers("answer1"), "y": answers("answer2", "tie")}}
    assert read(tmp_path, [row], "label=y")[1] == [[B, TIE]]
    row = TURK | {"Answer.choice": 2, "Answer.label": 1}
    columns = "prompt=Input.prompt,text_a=Input.text_b,text_b=Input.text_a,label=Answer.choice"
    [pair], labels, _ = read(tmp_path, [row], columns)
    assert (pair.prompt, pair.a, labels) == ("Name a tree.", "Tin.", [[B]])


@each("column", ["label", "Answer.label", "Answer.category.label"])
def test_a_rejected_assignment_is_no_label_whatever_names_its_column(
    tmp_path: Path, column: str
) -> None:
    answer = "Answer.label" if column == "label" else column
    rows = [
        TURK | {"WorkerId": "u", answer: "a", "AssignmentStatus": "Approved"},
        TURK | {"WorkerId": "v", answer: "b", "AssignmentStatus": "Rejected"},
    ]
    _, labels, lines = read(tmp_path, rows, f"label={column}")
    assert labels == [[A]] and "1 without a label (line 2)" in lines[0]


PLAIN = {"prompt": "Name a tree.", "text_a": "Oak.", "text_b": "Tin."}


@each(
    "row",
    [
        {**PLAIN, "label": "b", "data": {"source": "web"}, "annotations": []},
        {**PLAIN, "winner": "b", "data": {"prompt": "x?"}, "annotations": [{"note": "fine"}]},
        {**PLAIN, "Label": "b", "data": {"x": 1}, "completions": [{"label": "a"}]},
        {**PLAIN, "label": "b", "fields": {"topic": "m"}, "responses": ["Oak.", "Tin."]},
        {**PLAIN, "label": {"value": "b", "status": "done"}},
        {**PLAIN, "label": [{"value": "b", "status": "completed", "user_id": "u"}]},
        {**PLAIN, "label": {"value": "b", "status": ""}},
    ],
)
def test_the_label_of_a_plain_row_is_kept_beside_columns_named_as_in_an_export(
    tmp_path: Path, row: Json
) -> None:
    [pair], labels, _ = read(tmp_path, [row])
    assert (pair.prompt, pair.a, pair.b, labels) == ("Name a tree.", "Oak.", "Tin.", [[B]])


@each("state", ["draft", "Discarded", "pending", "rejected", 3])
def test_an_answer_that_is_not_done_is_no_label(tmp_path: Path, state: Any) -> None:
    rows = [{**PLAIN, "label": {"value": "b", "status": one}} for one in ("submitted", state)]
    assert "1 without a label (line 2)" in read(tmp_path, rows)[2][0]


def test_tasks_with_one_pair_are_one_pair_with_the_labels_of_all(tmp_path: Path) -> None:
    def done(number: int, *people: tuple[Any, Json]) -> Json:
        given = [annotation(value, completed_by=who) for who, value in people]
        return {**task(*given), "id": number}

    skipped = annotation(LEFT, completed_by=9, was_cancelled=True)
    tasks = [
        done(1, (1, LEFT), (2, RIGHT)),
        done(2, (3, RIGHT)),
        {**task(annotation(LEFT, completed_by={"id": 4}), skipped), "id": 3},
        done(4, (3, RIGHT)),
    ]
    pairs, labels, lines = read(tmp_path, tasks)
    assert (len(pairs), labels) == (1, [[A, B, B, A]])
    assert "comparison, completed_by); 1 left out: 1 repeated (line 4)" in lines[0]
