"""A set in a folder: its files in an order that no platform and no config's name changes."""

from __future__ import annotations

from pathlib import Path

from builders.release.snapshot import file_hashes


def test_a_manifest_lists_files_folder_by_folder_not_by_the_order_of_letters(
    tmp_path: Path,
) -> None:
    names = ["README.md", "data/a/b", "data/a/c/d", "data/a-b/c", "data/a.b", "manifest.json"]
    for name in reversed(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert list(file_hashes(tmp_path)) == names[:-1]  # as strings, a-b and a.b come before a/b
