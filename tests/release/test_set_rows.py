"""The rows of a draft or a release by id and reason, with twins and calls."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.recipe import row_id
from builders.release.set_rows import SetRows, set_rows
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, write_script

RULES = [
    {"when": "What is 2 plus", "answer": "I'm sorry, but I can't help with that."},
    {"when": "What is (\\d+)", "answer": "Twice {{1}}, take {{hash}}."},
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One set of `completions` as a draft and as a release."""
    folder = tmp_path_factory.mktemp("set")
    words = build_words(folder, name="completions", rows=6)
    write_script(folder, RULES)
    assert main([*words, "--samples", "2"]) == 0
    with contextlib.chdir(folder):
        assert main(["release", "completions", "--to-folder", "released"]) == 0
    return folder / "work" / "completions" / "drafts" / "0001", folder / "released"


def seen(places: Sequence[Path]) -> list[SetRows]:
    return [set_rows(place) for place in places]


def test_a_draft_and_its_release_have_the_same_rows_reasons_and_calls(
    places: tuple[Path, Path],
) -> None:
    draft, release = seen(places)
    assert draft.facts["counts"] == release.facts["counts"]
    assert draft.reasons() == release.reasons() == draft.facts["counts"]["dropped"]
    for config in draft.files:
        assert [*draft.rows(config)] == [*release.rows(config)]
    for row in draft.rows():
        calls = draft.calls_of(row["id"])
        assert calls == release.calls_of(row["id"])
        texts = {call["answer"] for call in calls}
        assert row["completion"][0]["content"] in texts
        assert {call["asked"][-1]["content"] for call in calls} == {row["prompt"][0]["content"]}


def test_a_row_that_was_not_chosen_has_the_one_that_was_as_its_twin(
    places: tuple[Path, Path],
) -> None:
    for one in seen(places):
        not_chosen = [*one.dropped("not chosen")]
        assert len(not_chosen) == one.reasons()["not chosen"] > 0
        for row in not_chosen:
            twin = row["evidence"]["twin"]
            assert twin["id"] == row_id(row["evidence"]["prompt"])
            assert twin == next(kept for kept in one.rows() if kept["id"] == twin["id"])


def test_reasons_come_in_turn(places: tuple[Path, Path]) -> None:
    reasons = [row["reason"] for row in set_rows(places[0]).dropped()]
    assert len({*reasons[:2]}) == 2 and {*reasons} == {"refusal", "not chosen"}


def test_what_is_misspelt_is_refused_with_the_nearest(places: tuple[Path, Path]) -> None:
    one = set_rows(places[1])
    row = next(one.rows())["id"]
    wrong = ("0" if row[0] != "0" else "1") + row[1:]
    with pytest.raises(InputError, match="did you mean 'refusal'"):
        next(one.dropped("refusl"))
    with pytest.raises(InputError, match=r"no config 'cals'; there are .* did you mean 'calls'"):
        next(one.rows("cals"))
    with pytest.raises(InputError, match=f"begins with '{wrong}'; did you mean '{row}'"):
        one.whole_id(wrong)
    with pytest.raises(InputError, match="ids begin with ''"):
        one.whole_id("")


def test_an_id_may_be_cut_short_of_rows_and_of_calls(places: tuple[Path, Path]) -> None:
    one = set_rows(places[0])
    for config in ("default", "dropped", "calls"):
        for row in one.rows(config):
            assert one.whole_id(row["id"][:15].upper()) == (row["id"], [config])


STRANGE = {
    "no columns that are known": pa.table({"text": ["a", "b"]}),
    "ids that are numbers": pa.table({"id": [1, 2], "evidence": ["{", "[1"]}),
    "evidence that is no object": pa.table(
        {"id": ["aa", None], "reason": ["r", None], "evidence": ["[" * 100_000, None]}
    ),
    "large texts": pa.table({"id": pa.array(["aa"], pa.large_string()), "reason": ["r"]}),
    "no rows": pa.table({"id": pa.array([], pa.string()), "row_ids": pa.array([], pa.string())}),
}


@each("table", STRANGE)
def test_a_stranger_s_set_is_read_whatever_it_holds(table: pa.Table, tmp_path: Path) -> None:
    for config in ("default", "dropped", "calls"):
        (tmp_path / "data" / config).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, tmp_path / "data" / config / "train-00000-of-00001.parquet")
    one = set_rows(tmp_path)
    assert len([*one.rows()]) == table.num_rows
    assert [*one.dropped()] == [row for row in one.rows("dropped") if row.get("reason")]
    assert one.calls_of("aa") == []
    with pytest.raises(InputError):
        one.whole_id("zz")


def test_a_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "default").mkdir(parents=True)
    broken = pa.array([b"a\xff"]).cast(pa.string(), safe=False).view(pa.string())
    pq.write_table(pa.table({"id": broken}), tmp_path / "data" / "default" / "train.parquet")
    with pytest.raises(InputError, match="not UTF-8"):
        list(set_rows(tmp_path).rows())


def test_a_damaged_file_is_named(tmp_path: Path, places: tuple[Path, Path]) -> None:
    shutil.copytree(places[0], tmp_path, dirs_exist_ok=True)
    whole = (places[0] / "default.parquet").read_bytes()
    for damaged in (whole[:50], whole[:4] + b"\0" * 200 + whole[204:]):
        (tmp_path / "default.parquet").write_bytes(damaged)
        with pytest.raises(InputError, match=r"default.parquet is damaged \("):
            list(set_rows(tmp_path).rows())
