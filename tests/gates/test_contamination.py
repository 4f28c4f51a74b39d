"""Decontamination: the published counts, and how an item may be disguised."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.gates.contamination import contamination, evaluation_items
from builders.schema import assistant, user

LONG = (
    "If a train leaves the town of Ash at noon and another leaves Birch at one when do they meet?"
)


def column(path: Path, name: str) -> list[str]:
    values = [json.loads(line)[name] for line in path.read_text(encoding="utf-8").splitlines()]
    return [value if isinstance(value, str) else value[0] for value in values]


@pytest.mark.parametrize(
    ("probe", "name", "sets", "exact", "runs"),
    [
        ("vicuna_questions_80", "turns", "alpacaeval_prompts_805", 80, (80, 73, 58)),
        ("mtbench_questions_80", "turns", "alpacaeval_prompts_805", 2, (3, 2, 2)),
        ("gsm8k_train_1000", "question", "gsm8k_test_a", 0, (3, 2, 2)),
        ("s1k_questions_a", "question", "math500_a", 2, (6, 3, 2)),
    ],
)
def test_the_published_counts_of_shared_items_come_out(
    data: Path, probe: str, name: str, sets: str, exact: int, runs: tuple[int, int, int]
) -> None:
    texts = column(data / f"{probe}.jsonl", name)
    for length, wanted in zip((8, 10, 13), runs, strict=True):
        items = evaluation_items([data / f"{sets}.jsonl"], ngram_words=length)
        assert sum(items.exact(text) is not None for text in texts) == exact
        assert sum(items.shared_ngram(text, "run") is not None for text in texts) == wanted


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps({"problem": t}) + "\n" for t in (LONG, "Who am I?")))
    return path


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"  {LONG.upper()}\n", "exact"),
        (f"Solve this: {LONG} Explain.", "run"),
        (LONG.replace(" at", ", at").replace("?", "!").title() + " Hm", "folded run"),
        ("who AM  i?", "exact"),
        ("Who am I, and why?", None),
        (" ".join(LONG.split()[:12]), None),
    ],
)
def test_a_disguised_item_is_found(evaluation: Path, text: str, rule: str | None) -> None:
    hit = evaluation_items([evaluation]).find(text)
    assert (hit.rule if hit else None) == rule


def test_the_gate_names_the_column_the_set_and_the_words(evaluation: Path) -> None:
    items = evaluation_items([evaluation])
    row = {"id": "a", "prompt": user("Tell me a story."), "completion": assistant(f"Sure. {LONG}")}
    drop = contamination(items, row)
    assert drop is not None and drop.reason == "evaluation item"
    assert drop.evidence == {
        "column": "completion",
        "source": "items.jsonl",
        "item": 0,
        "rule": "run",
        "matched": " ".join(LONG.lower().split()[:13]),
    }
    assert contamination(items, {**row, "completion": assistant("Who am I?")}) is None


def test_items_are_read_from_the_forms_of_files_that_evaluation_sets_have(tmp_path: Path) -> None:
    rows = [{"question": "One fine day?"}, {"question": "Two fine days?"}]
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "data": rows}))
    (tmp_path / "b.jsonl").write_text(
        "".join(json.dumps({"messages": user(r["question"])}) + "\n" for r in rows)
    )
    pq.write_table(pa.Table.from_pylist([{"turns": ["Three?", "Four?"]}]), tmp_path / "c.parquet")
    assert len(evaluation_items([tmp_path / "a.json"])) == 2
    assert len(evaluation_items([tmp_path / "b.jsonl"])) == 2
    assert (
        len(evaluation_items([tmp_path / name for name in ("a.json", "b.jsonl", "c.parquet")])) == 4
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", '{"x": 1}\n'), ("a.json", "{"), ("a.parquet", "PAR1"), ("a.jsonl", "")],
)
def test_the_error_of_a_file_without_items_names_it(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        evaluation_items([tmp_path / name])
