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
from builders.judging.labelled_sets import column_names, read_judged, read_pairs
from builders.judging.verdicts import ABSENT, FAILED, TIE, A, B
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


def written(folder: Path, rows: Rows, name: str = "v.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_published_files_are_recognised_by_their_columns(data: Path) -> None:
    names = {
        "pandalm_a": ["pandalm-7b", "gpt-3.5-turbo"],
        "llmbar_natural_gpt4_cot": ["GPT-4/CoT"],
        "faireval_gpt4_vanilla": ["GPT-4/Vanilla_NoRules"],
        "judge_logprobs_alpaca-7b": ["judge_logprobs_alpaca-7b"],
    }
    for file, judges in names.items():
        assert [one.judge for one in read_judged(data / f"{file}.jsonl")] == judges
    pandalm, gpt = read_judged(data / "pandalm_a.jsonl")
    assert pandalm.writer_a is not None and gpt.people is not None
    assert {*pandalm.writer_a} == {"bloom-7b", "llama-7b", "cerebras-gpt-6.7B", "opt-7b"}
    assert gpt.people.shape == (500, 3)
    assert (gpt.first == FAILED).sum() == 22


def test_a_file_without_verdicts_is_refused_with_both_lists_of_columns(data: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_judged(data / "alpacaeval_pool_a.jsonl")
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
        [judged] = read_judged(path)
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
        ("a.jsonl", b'{"id": 1}\n{"id"', "line 2: not JSON"),
        ("a.jsonl", b'{"id": 1}\n[1]\n', r"line 2: \[1\] is not an object"),
        ("a.jsonl", b"\xff\xfd", "line 1: not UTF-8"),
        ("a.json", b"[1]", "row 1: 1 is not an object"),
        ("a.json", b"[", "not JSON"),
        ("a.parquet", b"PAR1", "is not a parquet file"),
        ("a.csv", b"id", "neither .jsonl, .json nor .parquet"),
    ],
)
def test_a_broken_file_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_judged(tmp_path / name)


def test_an_empty_folder_and_none_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no data/verdicts"):
        read_judged(tmp_path)
    with pytest.raises(InputError, match="there is no"):
        read_judged(tmp_path / "nowhere")


def test_pairs_to_ask_about_come_with_what_people_said(tmp_path: Path, data: Path) -> None:
    pairs, labelled = read_pairs(data / "pandalm_a.jsonl")
    assert len(pairs) == len(labelled) == 500
    assert pairs[3].prompt.__class__ is str and "\n\nIf you have any questions" in pairs[3].prompt
    own = [{"id": "x", "prompt": "p", "text_a": "1", "text_b": "2", "people": ["b"]}]
    [pair], labelled = read_pairs(written(tmp_path, own))
    assert (pair.prompt, pair.a, pair.b, pair.reference) == ("p", "1", "2", None)
    assert labelled.majority.tolist() == [B]
    with pytest.raises(InputError, match="no known shape"):
        read_judged(written(tmp_path, own))  # nobody judged them yet
    with pytest.raises(InputError, match="no texts to ask a judge about"):
        read_pairs(data / "judge_logprobs_phi-2.jsonl")
