"""Contributions: accepted rows are part of every later draft, with their contributors' names."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.contributions import (
    CONTRIBUTED,
    contribution,
    contributors,
    read_contributions,
    take_in,
)
from builders.drafting.draft import last_draft
from builders.drafting.files import write_parquet
from builders.drafting.outcomes import CandidateRow
from builders.errors import InputError
from builders.recipe import row_id
from builders.schema import CALLS, PROMPT_COMPLETION, Row, assistant, user
from builders.spool import Spool
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, rows_of

GIVEN = {"contributor": "ann", "pull_request": 7, "commit": "c" * 40}


def row(prompt: str, answer: str) -> Row:
    return {"id": row_id(prompt), "prompt": user(prompt), "completion": assistant(answer)}


def written(folder: Path, rows: list[Row]) -> Path:
    path = folder / "data" / "contributed" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    write_parquet(path, CONTRIBUTED, rows)
    return folder


def fate_of(candidates: Iterable[CandidateRow]) -> list[tuple[str, Any]]:
    return [
        ("kept", one.row["completion"][0]["content"])
        if one.row
        else ("dropped", one.drop and one.drop.reason)
        for one in candidates
    ]


def test_a_contributed_row_replaces_the_row_that_the_build_makes(tmp_path: Path) -> None:
    made = Spool(tmp_path, [CandidateRow({"x": 1}, row("What is 1?", "Made."))])
    made.append(CandidateRow({"x": 2}, row("What is 2?", "Made.")))
    take_in(made, [contribution("changed", row("What is 1?", "Given."), **GIVEN)])
    assert fate_of(made) == [("dropped", "replaced"), ("kept", "Made."), ("kept", "Given.")]
    assert made[0].drop and made[0].drop.evidence["by"] == "ann"


def test_a_row_that_people_removed_does_not_come_back(tmp_path: Path) -> None:
    made = Spool(tmp_path, [CandidateRow({"x": 1}, row("What is 1?", "Made."))])
    take_in(made, [contribution("removed", row("What is 1?", "Old."), **GIVEN)])
    assert fate_of(made) == [("dropped", "removed")]


def test_of_two_contributions_to_a_row_the_later_counts(tmp_path: Path) -> None:
    given = [
        contribution("changed", row("What is 1?", "First."), **GIVEN),
        contribution("changed", row("What is 1?", "Second."), **{**GIVEN, "pull_request": 8}),
    ]
    made = Spool[CandidateRow](tmp_path)
    take_in(made, given)
    assert fate_of(made) == [("kept", "Second.")]
    assert contributors(given) == {"ann": 2}


def test_a_later_build_keeps_contributed_rows_and_names_their_contributors(
    tmp_path: Path,
) -> None:
    words = build_words(tmp_path, name="completions", rows=12)
    assert main(words) == 0
    first = last_draft(tmp_path / "work" / "completions")
    replaced, removed = list(first.rows("default"))[:2]
    changed = {**replaced, "completion": assistant("A better answer, by a person.")}
    added = row("What is a question by a person?", "This one.")
    given = [
        contribution("changed", changed, **GIVEN),
        contribution("removed", removed, **GIVEN),
        contribution("added", added, **{**GIVEN, "contributor": "ben"}),
    ]
    folder = written(tmp_path / "set", given)
    assert main([*words, "--contributed", str(folder)]) == 0
    second = last_draft(tmp_path / "work" / "completions")
    kept = {one["id"]: one for one in second.rows("default")}
    assert kept[replaced["id"]] == changed
    assert kept[added["id"]] == added
    assert removed["id"] not in kept
    reasons = [one["reason"] for one in second.rows("dropped")]
    assert reasons.count("replaced") == reasons.count("removed") == 1
    counts = second.counts
    assert counts["made"] == counts["kept"] + sum(counts["dropped"].values())
    assert second.facts["lineage"]["contributed"] == {"ann": 2, "ben": 1}
    assert rows_of(second.folder, "contributed") == given


@each(
    ("name", "content"),
    {
        "JSON Lines": ("contrib.jsonl", b'{"id": "x"}\n'),
        "CSV": ("contrib.csv", b"id,row_id\n1,2\n"),
        "packed": ("contrib.jsonl.gz", gzip.compress(b'{"id": "x"}\n')),
        "a pointer to a file": ("data.parquet", b"version https://git-lfs.github.com/spec/v1\n"),
        "a page": ("train.parquet", b"<!doctype html><title>Not found</title>"),
        "nothing": ("nothing.parquet", b""),
    }.values(),
)
def test_a_file_of_contributions_that_is_no_parquet_file_is_not_called_damaged(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    line = f"{name} is not a Parquet file; give the folder of a released set, or its file of"
    with pytest.raises(InputError, match=re.escape(line)):
        read_contributions(tmp_path / name, PROMPT_COMPLETION)
    folder = tmp_path / f"set of {name}"
    (folder / "data" / "contributed").mkdir(parents=True)
    (folder / "data" / "contributed" / "train.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"train\.parquet is not a Parquet file"):
        read_contributions(folder, PROMPT_COMPLETION)


def test_contributions_that_are_damaged_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    torn = tmp_path / "rows.parquet"
    torn.write_bytes(b"PAR1 not at all")
    with pytest.raises(InputError, match=r"rows\.parquet is damaged \(.*\); fetch it"):
        read_contributions(torn, PROMPT_COMPLETION)
    other = tmp_path / "contributed.parquet"
    write_parquet(other, CALLS, [dict.fromkeys((c.name for c in CALLS.columns), None)])
    folder = tmp_path / "set"
    written(folder, [contribution("added", {"id": "0" * 16, "text": "x"}, **GIVEN)])
    for place in (other, folder):
        with pytest.raises(InputError, match=r"^the contribution .* name the right set"):
            read_contributions(place, PROMPT_COMPLETION)


def test_what_a_contribution_holds_is_plain_data() -> None:
    given = contribution("added", row("What is 1?", "One."), **GIVEN)
    assert CONTRIBUTED.problem(given) is None
    assert json.loads(given["row"])["completion"] == assistant("One.")
    assert contribution("removed", row("What is 1?", "One."), **GIVEN)["row"] == "null"
