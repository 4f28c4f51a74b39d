"""What is renamed to its place is on the disk before, and its name is there after."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from builders.durable import durably_rename, sync
from scripts.main import main
from tests.drafting.test_run import build_words


def test_everything_that_a_build_and_a_release_rename_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: set[int] = set()
    renamed: dict[str, list[Path]] = {}
    unsynced: list[Path] = []
    fsync, rename = os.fsync, Path.rename

    def synced(file: int) -> None:
        fsync(file)
        on_disk.add(os.fstat(file).st_ino)

    def moved(self: Path, target: Path) -> Path:
        parts = [self, *self.rglob("*")]
        unsynced.extend(part for part in parts if part.stat().st_ino not in on_disk)
        on_disk.discard(target.parent.stat().st_ino)
        renamed[target.name] = [part.relative_to(self) for part in parts]
        parents.append(target.parent)
        return rename(self, target)

    parents: list[Path] = []
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", moved)
    words = build_words(tmp_path)
    assert main(words) == 0
    work = ["--work", words[-1]]
    assert main(["release", "instructions", *work, "--to-folder", str(tmp_path / "set")]) == 0
    assert main(["ledger", "instructions", *work, "--export", str(tmp_path / "all.parquet")]) == 0
    assert unsynced == []
    assert [parent for parent in parents if parent.stat().st_ino not in on_disk] == []
    assert {"build.json", "set.json", "0001", "set", "all.parquet"} == renamed.keys()
    assert {Path("draft.json"), Path("run.json"), Path("calls.parquet")} < {*renamed["0001"]}
    assert {Path("README.md"), Path("manifest.json")} < {*renamed["set"]}
    assert any(part.suffix == ".parquet" for part in renamed["set"])


def test_a_disk_without_a_sync_is_used_and_one_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("old")

    def failing(code: int) -> None:
        def fsync(file: int) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fsync)

    failing(errno.EINVAL)
    sync(tmp_path)
    new.write_text("new")
    failing(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        durably_rename(new, old)
    assert (new.read_text(), old.read_text()) == ("new", "old")
    failing(errno.EINVAL)
    durably_rename(new, old)
    assert (new.exists(), old.read_text()) == (False, "new")
