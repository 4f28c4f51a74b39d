"""Pairs for a judge that is asked now: each published form, what is left out, what labels mean."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.judging.label_values import label_values
from builders.judging.labelled_pairs import Pair, read_pairs
from builders.judging.labelled_sets import column_names
from builders.judging.verdicts import ABSENT, TIE, A, B
from builders.sources.source import Source
from tests.cases import each

Json = dict[str, Any]


def read(
    folder: Path,
    rows: Sequence[object],
    columns: str = "",
    labels: str = "",
    most: int | None = None,
) -> tuple[list[Pair], list[list[int]], list[str]]:
    """Pairs, people's labels and what was printed, of rows that are written to a file first."""
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines: list[str] = []
    pairs, labelled = read_pairs(
        Source(place=str(path)),
        column_names(columns) if columns else None,
        label_values(labels) if labels else None,
        most=most,
        report=lines.append,
    )
    assert len(pairs) == len(labelled) and labelled.people is not None
    return pairs, labelled.people.tolist(), lines


def turns(*texts: str) -> list[Json]:
    return [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]


OAK = {"prompt": "Name a tree.", "text_a": "Oak.", "text_b": "Tin."}
ASKED = "Name a tree."
SPOKEN = f"\n\nHuman: Hi.\n\nAssistant: Hi!\n\nHuman: {ASKED}\n\nAssistant:"
BOTH = ("Name a tree.", "Oak.", "Tin.")


@each(
    ("row", "people"),
    [
        ({"input": ASKED, "output_1": "Oak.", "output_2": "Tin.", "label": 1}, [A]),
        ({"prompt": ASKED, "response 1": "Oak.", "response 2": "Tin.", "label": 0}, [A]),
        ({"prompt": ASKED, "response 1": "Oak.", "response 2": "Tin.", "label": 2}, [TIE]),
        ({"question": ASKED, "response_A": "Oak.", "response_B": "Tin.", "label": "B>A"}, [B]),
        (
            {"instruction": ASKED, "output_1": "Oak.", "output_2": "Tin.", "preference": 2.0},
            [B],
        ),
        (
            {
                "instruction": "Name",
                "input": "a tree.",
                "response1": "Oak.",
                "response2": "Tin.",
                "annotator1": 1,
                "annotator2": 2,
                "annotator3": 0,
            },
            [A, B, TIE],
        ),
        (
            {
                "prompt": ASKED,
                "response_0": "Oak.",
                "response_1": "Tin.",
                "is_response_0_safe": True,
                "better_response_id": 0,
                "safer_response_id": 1,
            },
            [A],
        ),
        (
            {
                "prompt": ASKED,
                "response_1": "Oak.",
                "response_2": "Tin.",
                "preference_strength": -2,
            },
            [A],
        ),
        (
            {
                "context": turns(ASKED),
                "response1": "Oak.",
                "response2": "Tin.",
                "overall_preference": 3,
            },
            [B],
        ),
        ({"history": ASKED, "human_ref_A": "Oak.", "human_ref_B": "Tin.", "labels": 0}, [B]),
        (
            {
                "question": {"full_text": ASKED, "id": "7"},
                "answer_0": "Oak.",
                "answer_1": "Tin.",
                "score_0": -0.5,
                "score_1": 0.5,
            },
            [B],
        ),
        (
            {
                "id": "t3",
                "info": {"post": ASKED},
                "summaries": [{"text": "Oak.", "policy": "p"}, {"text": "Tin."}],
                "choice": 1,
            },
            [B],
        ),
        (
            {
                "model_a": "m",
                "model_b": "n",
                "winner": "tie (bothbad)",
                "turn": 1,
                "conversation_a": turns(ASKED, "Oak."),
                "conversation_b": turns(ASKED, "Tin."),
            },
            [TIE],
        ),
        (
            {
                "id": 5,
                "prompt": json.dumps([ASKED]),
                "response_a": json.dumps(["Oak."]),
                "response_b": json.dumps(["Tin."]),
                "winner_model_a": 0,
                "winner_model_b": 1,
                "winner_tie": 0,
            },
            [B],
        ),
        ({**OAK, "people": ["a", None, "tie"]}, [A, ABSENT, TIE]),
    ],
)
def test_each_published_form_gives_prompt_texts_and_label(
    tmp_path: Path, row: Json, people: list[int]
) -> None:
    [pair], labels, _ = read(tmp_path, [row])
    assert isinstance(pair.prompt, str)
    assert (" ".join(pair.prompt.split()), pair.a, pair.b) == BOTH
    assert labels == [people]


@each(
    ("row", "prompt"),
    [
        ({"prompt": ASKED, "chosen": "Oak.", "rejected": "Tin."}, ASKED),
        (
            {"prompt": ASKED, "chosen": turns(ASKED, "Oak."), "rejected": turns(ASKED, "Tin.")},
            ASKED,
        ),
        (
            {
                "prompt": turns("Hi.", "Hi!", ASKED),
                "chosen": turns(ASKED, "Oak.")[1:],
                "rejected": turns(ASKED, "Tin.")[1:],
            },
            turns("Hi.", "Hi!", ASKED),
        ),
        (
            {
                "chosen": f"{SPOKEN} Oak.",
                "rejected": f"{SPOKEN} Tin.",
            },
            turns("Hi.", "Hi!", ASKED),
        ),
        (
            {
                "chosen": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "Oak."}],
                "rejected": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "Tin."}],
            },
            ASKED,
        ),
        (
            {
                "input": {"messages": turns(ASKED), "tools": [], "parallel_tool_calls": True},
                "preferred_output": turns("", "Oak.")[1:],
                "non_preferred_output": turns("", "Tin.")[1:],
            },
            ASKED,
        ),
        ({"prompt": ASKED, "better_answer": "Oak.", "worse_answer": "Tin."}, ASKED),
        ({"prompt": ASKED, "winner": "Oak.", "loser": "Tin."}, ASKED),
        (
            {
                "prompt": f"\n\nHuman: {ASKED}\n\nAssistant: ",
                "answers": [{"answer": "Tin.", "rank": 2.0}, {"answer": "Oak.", "rank": 1.0}],
            },
            ASKED,
        ),
        (
            {
                "instruction": ASKED,
                "models": ["m", "n"],
                "completions": [
                    {"model": "m", "response": "Tin.", "overall_score": 2.5, "rank": None},
                    {"model": "n", "response": "Oak.", "overall_score": 9.0, "rank": None},
                ],
            },
            ASKED,
        ),
        ({"prompt": ASKED, "responses": ["Oak.", "Tin."], "scores": [0.9, 0.1]}, ASKED),
        ({"prompt": ASKED, "responses": ["Tin.", "Oak."], "ranks": [10**400, 0]}, ASKED),
        (
            {
                "prompt": ASKED,
                "answers": {"text": ["Tin.", "x", "Oak."], "score": [-1, None, 0.5]},
            },
            ASKED,
        ),
        ({"prompt": ASKED, "outputs": '["Tin.", "Oak."]', "scores": "[1, 2]"}, ASKED),
    ],
)
def test_of_chosen_and_rejected_the_place_is_drawn_and_the_label_follows_it(
    tmp_path: Path, row: Json, prompt: str | list[Json]
) -> None:
    [pair], [[label]], _ = read(tmp_path, [row])
    assert pair.prompt == prompt
    assert {pair.a, pair.b} == {"Oak.", "Tin."}
    assert {A: pair.a, B: pair.b}[label] == "Oak."


def test_chosen_texts_are_at_both_places(tmp_path: Path) -> None:
    rows = [{"prompt": "?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(40)]
    pairs, labels, _ = read(tmp_path, rows)
    assert 10 < sum(label == [A] for label in labels) < 30
    assert read(tmp_path, rows[::-1])[0] == pairs[::-1]  # whatever the order of the rows


def test_of_ranked_answers_the_best_is_compared_with_one_that_is_drawn(tmp_path: Path) -> None:
    def row(n: int, *ranks: int | None) -> Json:
        listed = [{"answer": f"{n}.{at}", "rank": at, "model": f"m{at}"} for at in ranks]
        return {"prompt": f"{n}?", "answers": listed}

    rows = [*(row(n, 3, 1, 2, 4) for n in range(40)), row(40, 1, None), row(41, 1)]
    pairs, labels, lines = read(tmp_path, [*rows, {"prompt": "42?", "answers": TIED}])
    better = [(one.a, one.b)[label == [B]] for one, label in zip(pairs, labels, strict=True)]
    assert better[:40] == [f"{n}.1" for n in range(40)] and labels[40:] == [[TIE]]
    drawn = [({one.a, one.b} - {best}).pop()[-1] for one, best in zip(pairs, better, strict=True)]
    assert {*drawn[:40]} == {*"234"} and 10 < labels.count([A]) < 30
    assert lines[0].startswith("pairs: 41 of 43 rows of pairs.jsonl (prompt, answers); 2 left out")


TIED = [{"answer": "x", "rank": 1}, {"answer": "y", "rank": 1}]


def test_dialogues_that_part_early_are_shown_with_their_speakers(tmp_path: Path) -> None:
    row = {
        "conversation_a": turns("Name a tree.", "Oak.", "Another?", "Elm."),
        "conversation_b": turns("Name a tree.", "Tin.", "Another?", "Lead."),
        "winner": "model_a",
        "judge": "x_1",
        "turn": 2,
    }
    [pair], _, _ = read(tmp_path, [row])
    assert pair.prompt == "Name a tree."
    assert pair.b == "assistant: Tin.\n\nuser: Another?\n\nassistant: Lead."
    [first], _, _ = read(tmp_path, [{**row, "turn": 1}])  # MT-bench labels each turn by itself
    assert (first.a, first.b) == ("Oak.", "Tin.")


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


def test_two_scored_rows_of_one_prompt_are_a_pair(tmp_path: Path) -> None:
    scored = [("p", "x", 4), ("p", "y", 1), ("q", "alone", 2), ("r", "z", 3), ("r", "w", 3)]
    rows = [{"prompt": p, "response": r, "helpfulness": h} for p, r, h in scored]
    pairs, labels, lines = read(tmp_path, rows)
    assert [(one.prompt, one.a, one.b) for one in pairs] == [("p", "x", "y"), ("r", "z", "w")]
    assert labels == [[A], [TIE]]
    assert "1 without a second answer (line 3)" in lines[0]


GOOD = [{**OAK, "text_a": f"Oak {n}.", "label": "a"} for n in range(12)]


@each(
    ("bad", "reason"),
    [
        ({"text_a": None}, "without a text"),
        ({"text_b": float("nan")}, "without a text"),
        ({"text_a": 7}, "without a text"),
        ({"text_b": True}, "without a text"),
        ({"text_a": " \n\u200b"}, "without a text"),
        ({"text_a": []}, "without a text"),
        ({"text_b": [{"role": "assistant", "content": None}]}, "without a text"),
        ({"text_b": [{"type": "image_url", "image_url": {"url": "u"}}]}, "unreadable"),
        ({"text_a": ["Oak.", "Elm."]}, "unreadable"),
        ({"text_a": "\ud800"}, "unreadable"),
        ({"prompt": None}, "unreadable"),
        ({"prompt": " "}, "empty"),
        ({"prompt": 3}, "unreadable"),
        ({"label": "the second one?"}, "without a known label"),
        ({"label": None}, "without a label"),
        ({"label": float("nan")}, "without a label"),
        ({"label": [None, None]}, "without a label"),
        ({"label": []}, "without a label"),
        ({"text_a": "Oak.", "text_b": " Oak.\n"}, "equal texts"),
        ({"text_b": [{"role": "assistant", "content": OAK["text_a"]}]}, "equal texts"),
    ],
)
def test_a_pair_that_cannot_be_judged_is_left_out_and_counted(
    tmp_path: Path, bad: Json, reason: str
) -> None:
    pairs, labels, lines = read(tmp_path, [*GOOD[:3], {**OAK, "label": "b", **bad}, *GOOD[3:]])
    assert len(pairs) == 12 and labels == [[A]] * 12
    assert lines[0].startswith(
        "pairs: 12 of 13 rows of pairs.jsonl (prompt, text_a, text_b, label)"
    )
    assert f"; 1 left out: 1 {reason} (line 4" in lines[0]


def test_a_text_in_parts_is_joined_and_a_missing_column_is_named(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Oak"}, {"type": "text", "text": "or elm."}]
    missing = {"prompt": "?", "text_a": "x", "label": "a"}
    pairs, _, lines = read(tmp_path, [*GOOD, {**OAK, "text_a": parts, "label": "a"}, missing])
    assert pairs[12].a == "Oak\nor elm."
    assert "1 unreadable (line 14: no column 'text_b'; there are prompt, text_a, label" in lines[0]


@each("bad", [{"text_a": None}, {"label": "no idea"}, {"prompt": []}])
def test_a_file_of_which_most_cannot_be_judged_is_refused(tmp_path: Path, bad: Json) -> None:
    row = {**OAK, "label": "a"}
    with pytest.raises(InputError, match=r"3 of 5 rows cannot be used, more than half; .*line 3"):
        read(tmp_path, [*GOOD[:2], *({**row, **bad, "id": n} for n in range(3))])


def test_pairs_that_nobody_labelled_leave_a_file_readable_unless_all_are(tmp_path: Path) -> None:
    unlabelled = [{**one, "label": None} for one in GOOD[2:]]
    pairs, _, lines = read(tmp_path, [*GOOD[:2], *unlabelled])
    assert len(pairs) == 2 and "10 left out: 10 without a label (line 3)" in lines[0]
    with pytest.raises(InputError, match=r"10 of 10 rows cannot be used, 0 pairs left; .*line 1"):
        read(tmp_path, unlabelled)


def test_a_prompt_has_the_text_that_it_is_about_and_not_where_it_is_from(tmp_path: Path) -> None:
    row = {"instruction": "Sum up.", "article": "Oaks grow.", "source": "web", "label": "a"}
    texts = {"text_a": "Oak.", "text_b": "Elm."}
    [pair], _, _ = read(tmp_path, [{**row, **texts}])
    assert pair.prompt == "Sum up.\n\nOaks grow."
    with pytest.raises(InputError, match=r"no column with prompts; there are source, label"):
        read(tmp_path, [{"source": "web", "label": "a", **texts}])


def test_the_files_of_a_folder_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({**OAK, "label": "a"}))
    (tmp_path / "b.zip").write_bytes(b"PK")
    lines: list[str] = []
    read_pairs(Source(place=str(tmp_path)), report=lines.append)
    assert lines[0].endswith("(prompt, text_a, text_b, label); 1 file not read: b.zip")


def test_repeated_pairs_are_asked_about_once_and_rows_are_limited(tmp_path: Path) -> None:
    rows = [*GOOD, GOOD[0], {**GOOD[1], "text_a": None}]
    pairs, labels, lines = read(tmp_path, rows, most=5)
    assert len(pairs) == len(labels) == 5
    assert lines[0].startswith("pairs: 5 of 14 rows of pairs.jsonl")
    assert lines[0].endswith("2 left out: 1 repeated (line 13), 1 without a text (line 14)")


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
        ([1, 2, 7], "1=a,2=b", [A, B]),  # 7 is left out, and named
        ([1, 2, 3, 4, 5], "1=a,2=a,4=b,5=b", None),  # 3 would be a tie by chance
        ([1, 2, 3, 4, 5], "1=a,2=a,3=tie,4=b,5=b", [A, A, TIE, B, B]),
        ([1, 2, 3], "", [A, B, TIE]),
        ([0, 2, 1], "", [TIE, B, A]),
        ([5, "a", "b", "tie"], "", [A, B, TIE]),
    ],
)
def test_numbers_without_a_meaning_are_left_out_where_none_is_guessed(
    tmp_path: Path, values: list[Any], labels: str, people: list[int] | None
) -> None:
    rows = [{**OAK, "text_a": f"x{n}", "label": one} for n, one in enumerate(values)]
    if people is None:
        with pytest.raises(InputError, match="may be a scale"):
            read(tmp_path, rows, labels=labels)
    else:
        assert read(tmp_path, rows, labels=labels)[1] == [[one] for one in people]


def test_writers_that_are_named_by_numbers_are_no_scale(tmp_path: Path) -> None:
    row = {"prompt": "?", "text_a": "x", "text_b": "y", "model_a": 4, "model_b": 17}
    assert read(tmp_path, [{**row, "winner": 17}, {**row, "text_a": "z", "winner": "4"}])[1] == [
        [B],
        [A],
    ]


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
    ("rows", "columns", "message"),
    [
        ([{"prompt": "?", "text": "x"}], "", "no columns with two texts; there are prompt, text"),
        ([OAK], "", "no label of people; there are prompt, text_a, text_b"),
        ([{**OAK, "label": "a"}], "label=human", "no column 'human'; there are prompt"),
        ([], "", "holds no row"),
        ([{"text_a": "x", "text_b": "y", "label": "a"}], "", "no column with prompts"),
        (
            [
                {
                    "instruction": "?",
                    "output_1": "x",
                    "output_2": "y",
                    "preference": 1.9,
                    "annotator": "weighted_gpt4",
                }
            ],
            "",
            "no label of people",
        ),
    ],
)
def test_a_file_without_pairs_or_labels_is_refused_by_what_it_lacks(
    tmp_path: Path, rows: list[Json], columns: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, rows, columns)


@each("text", ["0", "0=", "=a", "0=first", "", "0=a,1"])
def test_a_faulty_list_of_labels_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(InputError, match="expected value=meaning"):
        label_values(text)


def test_all_forms_of_files_and_folders_of_two_shapes_are_read_alike(tmp_path: Path) -> None:
    rows = [{**OAK, "text_a": f"Oak {n}.", "label": "a"} for n in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    table = "prompt;text_a;text_b;label\n" + "".join(f"{';'.join(row.values())}\n" for row in rows)
    (tmp_path / "bom.jsonl").write_text(lines, encoding="utf-8-sig")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "table.csv").write_text(table, encoding="utf-8-sig")
    (tmp_path / "wrapped.json").write_text(json.dumps({"data": rows}), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "splits.json").write_text(
        json.dumps({"train": rows[:1], "test": rows}), encoding="utf-8"
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    other = {"input": "Name an ore.", "output_1": "Tin.", "output_2": "Oak.", "label": 1}
    (folder / "b.json").write_text(json.dumps([other]), encoding="utf-8")
    expected = [Pair(prompt="Name a tree.", a=f"Oak {n}.", b="Tin.") for n in range(3)]
    for name in ("bom.jsonl", "packed.jsonl.gz", "table.csv", "wrapped.json", "t.parquet"):
        assert read_pairs(Source(place=str(tmp_path / name)))[0] == expected, name
    assert read_pairs(Source(place=str(tmp_path / "splits.json"), split="test"))[0] == expected
    pairs, labelled = read_pairs(Source(place=str(folder)))
    assert pairs == [*expected, Pair(prompt="Name an ore.", a="Tin.", b="Oak.")]
    assert labelled.majority.tolist() == [A] * 4


def test_published_pairs_keep_what_is_known_of_them(data: Path) -> None:
    pairs, labelled = read_pairs(Source(place=str(data / "pandalm_a.jsonl")))
    assert len(pairs) == len(labelled) == 486  # in 14 a model answered nothing
    assert isinstance(pairs[3].prompt, str) and "\n\nIf you have any questions" in pairs[3].prompt
    assert labelled.people is not None and labelled.people.shape == (486, 3)
    assert labelled.writer_a is not None and labelled.writer_a[0] == "bloom-7b"
