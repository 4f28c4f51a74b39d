"""A spool is a list on disk: the same values in the same places, and nothing left behind."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import FolderError, RecipeError
from builders.spool import Spool

VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
CHANGES = st.lists(st.tuples(st.sampled_from(["append", "set", "reorder"]), VALUES), max_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spools")


def test_a_spool_holds_what_a_list_would_hold(folder: Path) -> None:
    @given(st.lists(VALUES, max_size=5), CHANGES, st.randoms())
    def holds(values: list[Any], changes: list[tuple[str, Any]], chance: Any) -> None:
        model, spool = list(values), Spool[Any](folder, values)
        for change, value in changes:
            if change == "append":
                model.append(value)
                spool.append(value)
            elif change == "set" and model:
                place = chance.randrange(len(model))
                model[place] = spool[place] = value
            else:
                order = chance.sample(range(len(model)), len(model))
                model = [model[place] for place in order]
                spool.reorder(order)
            assert [*spool] == model == [spool[place] for place in range(len(spool))]

    holds()


def test_a_spool_may_grow_while_it_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ["a", "b"])
    read = iter(spool)
    assert next(read) == "a"
    spool.append("c")
    assert [*read] == ["b"]
    assert [*spool] == ["a", "b", "c"]


def test_a_spool_has_no_file_that_a_killed_process_could_leave(tmp_path: Path) -> None:
    spool = Spool(tmp_path, range(1000))
    assert len(spool) == 1000
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"a row holds what cannot be stored .*generator"):
        Spool(tmp_path, [{"column": (one for one in "ab")}])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match="no permission to write"):
        Spool[int](tmp_path)


def test_a_full_disk_is_one_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    spool = Spool[str](Path("/tmp"), ["a" * 10])
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, spool._file)
    os.close(full)
    with pytest.raises(FolderError, match="no room left"):
        list(spool)
