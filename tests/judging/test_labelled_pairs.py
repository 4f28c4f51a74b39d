"""Pairs for a judge that is asked now: each published form, what is left out, what labels mean."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.judging.labelled_pairs import read_pairs
from builders.judging.pair_texts import Pair
from builders.judging.verdicts import ABSENT, TIE, A, B
from builders.sources.source import Source
from tests.cases import each
from tests.judging.pair_files import OAK, Json, read


def turns(*texts: str) -> list[Json]:
    return [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]


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
        ({"prompt": ASKED, "outputs": ["Tin.", "Oak."], "scores": ["9", "10.5"]}, ASKED),
        (
            {
                "question": ASKED,
                "answers": [
                    {"answer_id": 1, "pm_score": 1, "text": "Tin.", "selected": True},
                    {"answer_id": 2, "pm_score": 3, "text": "Oak.", "selected": False},
                ],
            },
            ASKED,
        ),
        (
            {
                "prompt": ASKED,
                "completions": [
                    {"text": "Tin.", "score": "7", "status": "done", "label": "x"},
                    {"text": "Oak.", "score": "9", "status": "done", "label": "y"},
                ],
            },
            ASKED,
        ),
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
    ("rows", "columns", "message"),
    [
        ([{"prompt": "?", "text": "x"}], "", "no columns with two texts; there are prompt, text"),
        ([OAK], "", "no label of people; there are prompt, text_a, text_b"),
        ([{**OAK, "label": "a"}], "label=human", "no column 'human'; there are prompt"),
        ([], "", "holds no row"),
        (
            [{"text_a": "x", "text_b": "y", "label": "a"}],
            "",
            r"no column with prompts; there are label; name it with --columns prompt=\.\.\.",
        ),
        (
            [{"chosen": turns("Hi?", "Oak."), "rejected": turns("Who?", "Tin.")}],
            "",
            r"two dialogues ask different questions; .* --columns prompt=\.\.\.",
        ),
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


@each("word", ["NaN", "nan", "NA", "N/A", "NULL", "None", "\\N", "#N/A", ""])
def test_what_marks_a_missing_value_in_a_table_is_no_label_and_no_text(
    tmp_path: Path, word: str
) -> None:
    (tmp_path / "pairs.csv").write_text(
        "prompt,context,text_a,text_b,rater_1,rater_2,rater_3\n"
        f"1?,,x,y,a,b,{word}\n2?,{word},x,y,b,{word},{word}\n3?,c,x,y,{word},{word},{word}\n"
        f"4?,c,{word},y,a,a,a\n{word},,x,y,a,a,b\n6?,c,x,y,a,a,a\n7?,c,x,y,a,b,tie\n"
    )
    lines: list[str] = []
    source = Source(place=str(tmp_path / "pairs.csv"))
    pairs, judged = read_pairs(source, report=lines.append)
    assert judged.people is not None
    assert [one.prompt for one in pairs] == ["1?", "2?", "6?\n\nc", "7?\n\nc"]
    assert judged.people.tolist()[:2] == [[A, B, ABSENT], [B, ABSENT, ABSENT]]
    for left in ("1 without a label (line 4)", "1 without a text (line 5)", "(line 6"):
        assert left in lines[0]


def test_a_word_for_a_missing_value_is_a_label_where_it_has_a_meaning(tmp_path: Path) -> None:
    table = "prompt,text_a,text_b,label\n1?,x,y,a\n2?,x,y,None\n3?,x,y,NA\n"
    (tmp_path / "pairs.csv").write_text(table)
    _, judged = read_pairs(Source(place=str(tmp_path / "pairs.csv")), labels={"none": TIE})
    assert judged.people is not None and judged.people.tolist() == [[A], [TIE]]
    rows = [{**OAK, "label": "a"}, {**OAK, "id": 2, "text_a": "None", "label": "b"}]
    assert read(tmp_path, rows)[0][1].a == "None"  # JSON has null
