"""Labelled judge data is read by its columns, known or named; a fault is one clear line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.judging.labelled_sets import column_names, read_judged
from builders.judging.verdicts import ABSENT, FAILED, TIE, A, B
from builders.sources.source import Source
from tests.cases import each

Rows = Sequence[Mapping[str, Any]]
OURS = [
    {
        "id": "x",
        "first": "a",
        "second": "b",
        "people": ["a", None, "tie"],
        "repeats": ["a"],
        "text_a": "four",
        "text_b": [{"role": "assistant", "content": "twelve"}],
        "shown": "a",
        "adversarial": True,
        "judge": "j",
    },
    {
        "id": "y",
        "first": None,
        "second": "tie",
        "people": ["b"],
        "repeats": ["b", "b"],
        "text_a": "",
        "text_b": None,
        "shown": "b",
        "adversarial": None,
        "judge": "j",
    },
]


def of(path: Path) -> Source:
    return Source(place=str(path))


def written(folder: Path, rows: Rows, name: str = "v.jsonl") -> Source:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return of(path)


def test_the_published_files_are_recognised_by_their_columns(data: Path) -> None:
    names = {
        "pandalm_a": ["pandalm-7b", "gpt-3.5-turbo"],
        "llmbar_natural_gpt4_cot": ["GPT-4/CoT"],
        "faireval_gpt4_vanilla": ["GPT-4/Vanilla_NoRules"],
        "judge_logprobs_alpaca-7b": ["judge_logprobs_alpaca-7b"],
    }
    for file, judges in names.items():
        assert [one.judge for one in read_judged(of(data / f"{file}.jsonl"))] == judges
    pandalm, gpt = read_judged(of(data / "pandalm_a.jsonl"))
    assert pandalm.writer_a is not None and gpt.people is not None
    assert {*pandalm.writer_a} == {"bloom-7b", "llama-7b", "cerebras-gpt-6.7B", "opt-7b"}
    assert gpt.people.shape == (500, 3)
    assert (gpt.first == FAILED).sum() == 22


def test_a_file_without_verdicts_is_refused_with_both_lists_of_columns(data: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_judged(of(data / "alpacaeval_pool_a.jsonl"))
    assert "completions, dataset, idx, instruction" in str(caught.value)
    assert "PandaLM: annotator1" in str(caught.value) and "--columns" in str(caught.value)


def test_the_own_shape_holds_gaps_failures_and_texts(tmp_path: Path) -> None:
    [judged] = read_judged(written(tmp_path, OURS))
    assert judged.judge == "j" and judged.ids == ["x", "y"]
    assert judged.first.tolist() == [A, FAILED]
    assert judged.second is not None and judged.second.tolist() == [B, TIE]
    assert judged.people is not None
    assert judged.people.tolist() == [[A, ABSENT, TIE], [B, ABSENT, ABSENT]]
    assert judged.repeats is not None and judged.repeats.tolist() == [[A, ABSENT], [B, B]]
    assert judged.length_a is not None and judged.length_a.tolist() == [4, 0]
    assert judged.length_b is not None and judged.length_b[0] == 6 and np.isnan(judged.length_b[1])
    assert judged.shown is not None and judged.shown.tolist() == [A, B]
    assert judged.adversarial is not None and judged.adversarial.tolist() == [True, False]


def test_rows_of_several_judges_are_several_judges(tmp_path: Path) -> None:
    rows = [{**row, "judge": judge} for judge in ("p", "q") for row in OURS]
    judges = read_judged(written(tmp_path, rows))
    assert [(one.judge, len(one)) for one in judges] == [("p", 2), ("q", 2)]


def test_parquet_json_and_folders_read_alike(tmp_path: Path) -> None:
    rows = [{"id": str(n), "first": "a", "people": ["a", "b"]} for n in range(3)]
    set_ = tmp_path / "set" / "data" / "verdicts"
    set_.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), set_ / "train-00000-of-00001.parquet")
    draft = tmp_path / "draft"
    draft.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), draft / "default.parquet")
    (tmp_path / "v.json").write_text(json.dumps(rows), encoding="utf-8")
    for path in (tmp_path / "set", draft, tmp_path / "v.json", draft / "default.parquet"):
        [judged] = read_judged(of(path))
        assert judged.people is not None and judged.people.tolist() == [[A, B]] * 3


def test_columns_are_taken_as_told(tmp_path: Path) -> None:
    rows = [
        {"w": "model_a", "w2": "model_b", "ann": 1, "ann2": 2.0, "x": "hello", "y": "hi"},
        {"w": "garbage", "w2": "tie", "ann": 0, "ann2": None, "x": "a", "y": "b"},
    ]
    columns = column_names("verdict=w, swapped=w2,label=ann+ann2,text_a=x,text_b=y")
    [judged] = read_judged(written(tmp_path, rows), columns)
    assert judged.first.tolist() == [A, FAILED]
    assert judged.second is not None and judged.second.tolist() == [B, TIE]
    assert judged.people is not None and judged.people.tolist() == [[A, B], [TIE, ABSENT]]
    assert judged.length_a is not None and judged.length_a.tolist() == [5, 1]
    assert list(judged.ids) == ["0", "1"]


def test_scores_become_verdicts(tmp_path: Path) -> None:
    rows = [{"c": 7, "r": 7.05}, {"c": 3, "r": 9}, {"c": None, "r": 1}]
    [judged] = read_judged(written(tmp_path, rows), {"score_a": "c", "score_b": "r"})
    assert judged.first.tolist() == [TIE, B, FAILED]


@each(
    ("rows", "columns", "message"),
    [
        ([{"a": 1}], {"label": "a"}, "no verdict, preference or score_a"),
        ([{"a": 1}], {"verdict": "b"}, "no column 'b'; there are a"),
        ([{"a": 1, "p": "x"}], {"verdict": "a", "label": "p"}, "row 1: 'x' is no label"),
        ([{"a": 1}, {"a": 0}], {"verdict": "a"}, "0 could be a tie or the first text"),
        ([{"a": "x", "s": "much"}], {"verdict": "a", "score_a": "s"}, "other than numbers"),
        ([{"a": 1}, {"a": 4}], {"verdict": "a"}, "the verdicts 1, 4, which may be a scale"),
        ([{"a": 0.5}, {"a": "2"}], {"verdict": "a"}, "the verdicts 0.5, 2, which may be a scale"),
        ([], {"verdict": "a"}, "holds no row"),
    ],
)
def test_columns_that_do_not_fit_are_one_clear_error(
    tmp_path: Path, rows: Rows, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_judged(written(tmp_path, rows), columns)


@each("text", ["verdict", "verdict=", "winner=x", "", "verdict=a,,"])
def test_a_faulty_column_list_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(InputError, match="expected name=column"):
        column_names(text)


@each(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"id": 1}\n{"id"\n[', "2 of 3 rows cannot be used, more.*line 2: not JSON"),
        ("a.jsonl", b'[1]\n[2]\n{"id": 1}', r"line 1: \[1\] is not an object"),
        ("a.jsonl", b"\xff\xfd", "line 1: not UTF-8"),
        ("a.json", b"[1]", "row 1: 1 is not an object"),
        ("a.json", b"[", "not JSON"),
        ("a.parquet", b"PAR1", "is not a parquet file"),
        ("a.csv", b"id", "holds no row"),
    ],
)
def test_a_broken_file_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_judged(of(tmp_path / name))


def test_an_empty_folder_and_none_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.jsonl"):
        read_judged(of(tmp_path))
    with pytest.raises(InputError, match="there is no file"):
        read_judged(of(tmp_path / "nowhere"))


def test_a_broken_row_costs_itself_and_is_counted_with_its_place(tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "first": "a", "people": ["a"]}) for n in range(4)]
    (tmp_path / "v.jsonl").write_text("\n".join([*lines[:2], "{", *lines[2:]]), encoding="utf-8")
    reported: list[str] = []
    [judged] = read_judged(of(tmp_path / "v.jsonl"), report=reported.append)
    assert judged.ids == ["0", "1", "2", "3"]
    [line] = reported
    assert line.startswith("verdicts: 4 of 5 rows of v.jsonl (potstill verdicts); 1 left out: ")
    assert "1 unreadable (line 3: not JSON" in line


@each(
    ("row", "first", "second", "people"),
    [
        (
            {
                "input": "?",
                "output_1": "x",
                "output_2": "y",
                "label": 2,
                "results": [
                    {
                        "swap = False": {"completion": ["x it is", "stop"], "winner": "1"},
                        "swap = True": {"completion": ["y", "stop"], "winner": "2"},
                    }
                ],
            },
            *(A, B, B),
        ),
        (
            {
                "pair_id": "p",
                "question": "?",
                "response_A": "x",
                "response_B": "y",
                "label": "A>B",
                "judge_name": "j",
                "judgments": [
                    {"judgment": {"response": "x"}, "decision": "A>B"},
                    {"judgment": {"response": "y"}, "decision": "A>B"},  # the places are swapped
                ],
            },
            *(A, B, A),
        ),
        (
            {
                "instruction": "?",
                "output_1": "x",
                "output_2": "y",
                "annotator": "j",
                "preference": 1.9,
                "generator_1": "m",
                "generator_2": "n",
            },
            *(B, None, None),
        ),
    ],
)
def test_published_verdicts_are_about_the_texts_in_both_orders(
    tmp_path: Path, row: Mapping[str, Any], first: int, second: int | None, people: int | None
) -> None:
    [judged] = read_judged(written(tmp_path, [row, {**row, "idx": 1}]))
    assert judged.first.tolist() == [first] * 2
    assert (judged.second is None) == (second is None)
    assert judged.second is None or judged.second.tolist() == [second] * 2
    assert judged.majority.tolist() == [ABSENT if people is None else people] * 2


@each("row", [{"output": 0}, {"idx": 0, "gpt_result": "1", "gpt_reason": "r"}])
def test_verdicts_apart_from_their_pairs_are_refused_with_where_those_are(
    tmp_path: Path, row: Mapping[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"without the pairs and labels .*(testdata|testset)"):
        read_judged(written(tmp_path, [row]))


def test_a_folder_may_hold_the_verdicts_of_two_forms(tmp_path: Path) -> None:
    written(tmp_path, [{"id": 1, "first": "a"}], "a.jsonl")
    written(tmp_path, [{"id": 2, "first": "b"}], "b.jsonl")
    row = {"output_1": "x", "output_2": "y", "preference": 1.0, "annotator": "other"}
    written(tmp_path, [row], "c.jsonl")
    judges = read_judged(of(tmp_path))
    assert [(one.judge, len(one)) for one in judges] == [(tmp_path.name, 2), ("other", 1)]


def test_what_labels_mean_can_be_given(tmp_path: Path) -> None:
    source = written(tmp_path, [{"v": 0, "p": 1}, {"v": 1, "p": 1}])
    columns = {"verdict": "v", "label": "p"}
    [judged] = read_judged(source, columns, {"0": A, "1": B})
    assert judged.first.tolist() == [A, B] and judged.majority.tolist() == [B, B]


def test_a_number_that_the_given_labels_leave_out_is_not_guessed(tmp_path: Path) -> None:
    rows = [{"v": 0, "p": 0}, {"v": 1, "p": 1}, {"v": 2, "p": None}, {"v": -1, "p": "tie"}]
    columns, labels = {"verdict": "v", "label": "p"}, {"0": A, "1": B}
    [judged] = read_judged(written(tmp_path, rows), columns, labels)
    assert judged.first.tolist() == [A, B, FAILED, FAILED]
    assert judged.people is not None and judged.people.tolist() == [[A], [B], [ABSENT], [TIE]]
    with pytest.raises(InputError, match=r"row 2: '2 \(not in --labels\)' is no label"):
        read_judged(written(tmp_path, [rows[0], {"v": 1, "p": 2}]), columns, labels)


def test_what_marks_a_missing_value_in_a_table_is_no_label_and_no_score(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v,p,q\na,b,NaN\nNA,N/A,tie\nNone,a,a\n")
    columns = {"verdict": "v", "label": "p+q"}
    [judged] = read_judged(Source(place=str(tmp_path / "a.csv")), columns)
    assert judged.first.tolist() == [A, FAILED, FAILED] and judged.people is not None
    assert judged.people.tolist() == [[B, ABSENT], [ABSENT, TIE], [A, A]]
    source = Source(place=str(tmp_path / "a.csv"))
    assert read_judged(source, columns, {"none": TIE})[0].first.tolist() == [A, FAILED, TIE]
