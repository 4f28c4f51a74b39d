"""What the Hub and its viewer accept, checked on the folder before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import InputError
from builders.release.hub_limits import (
    MOST_CARD_BYTES,
    MOST_COLUMNS,
    MOST_CONFIGS,
    MOST_FILES,
    MOST_NAME,
    MOST_SPLITS,
    check_limits,
)
from builders.set_names import name_problem
from tests.cases import each

NAME = "train-00000-of-00001.parquet"


def lay(folder: Path, paths: list[str], table: pa.Table, card: str = "") -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / path)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


ONE = pa.table({"id": ["x"]})


def columns(number: int) -> pa.Table:
    return pa.table({f"c{n}": [1] for n in range(number)})


def named(length: int) -> pa.Table:
    return pa.table({"c" * length: [1]})


def configs(number: int) -> list[str]:
    return [f"data/c{n}/{NAME}" for n in range(number)]


def splits(number: int) -> list[str]:
    return [f"data/default/s{n}-00000-of-00001.parquet" for n in range(number)]


def shards(number: int) -> list[str]:
    return [f"data/default/train-{n:05d}-of-{number:05d}.parquet" for n in range(number)]


DATA = [f"data/default/{NAME}"]


@pytest.mark.parametrize(
    ("fits", "breaks", "message"),
    [
        ((DATA, columns(MOST_COLUMNS)), (DATA, columns(MOST_COLUMNS + 1)), "1,001 columns"),
        ((DATA, named(MOST_NAME)), (DATA, named(MOST_NAME + 1)), "more than 500 characters"),
        ((configs(MOST_CONFIGS), ONE), (configs(MOST_CONFIGS + 1), ONE), "31 configs"),
        ((splits(MOST_SPLITS), ONE), (splits(MOST_SPLITS + 1), ONE), "31 splits"),
        ((shards(MOST_FILES - 1), ONE), (shards(MOST_FILES), ONE), "101 files, a commit"),
        (
            (DATA, ONE, "x" * MOST_CARD_BYTES),
            (DATA, ONE, "ż" * (MOST_CARD_BYTES // 2 + 1)),
            "the card has 100,002 bytes",
        ),
        ((DATA, ONE), ([f"data/de fault/{NAME}"], ONE), "'de fault' cannot be a config"),
    ],
)
def test_each_limit_is_accepted_and_one_more_is_refused(
    fits: Any, breaks: Any, message: str, tmp_path: Path
) -> None:
    check_limits(lay(tmp_path / "fits", *fits), "org/set")
    with pytest.raises(InputError, match=message):
        check_limits(lay(tmp_path / "breaks", *breaks), None)


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MOST_ROW_GROUP_BYTES", "row group 1 has"), ("MOST_SHARD_BYTES", "in a file")],
)
def test_files_and_row_groups_that_the_viewer_cannot_show_are_refused(
    limit: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"id": ["a", "b" * 90_000]})
    folder = lay(tmp_path / "set", DATA, ONE)
    pq.write_table(table, folder / DATA[0], row_group_size=1, compression="none")
    check_limits(folder, None)
    monkeypatch.setattr(f"builders.release.hub_limits.{limit}", 50_000)
    with pytest.raises(InputError, match=message):
        check_limits(folder, None)


@each(
    "name",
    [
        *("set", "a/b/c", "org/", "/set", "org/se t", "org/..", "org/-set", "org/set."),
        *("org/a--b", "org/set.git", "org/" + "x" * 93, "org/sét", "org/set\n"),
    ],
)
def test_a_name_that_no_repository_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a repository"):
        check_limits(lay(tmp_path / "set", DATA, ONE), name)


@given(st.text("ab_-./Zé", min_size=1, max_size=9))
def test_every_name_that_we_accept_is_accepted_by_the_hub_s_client(name: str) -> None:
    if name_problem(name) is None:
        validate_repo_id(name)
    elif name.count("/") == 1 and name.isascii() and not name.endswith(".git"):
        # What we refuse beyond the client is only a part that it would leave to the server.
        try:
            validate_repo_id(name)
        except HFValidationError:
            return
        assert any(part[:1] in "-." or part[-1:] in "-." for part in name.split("/"))
