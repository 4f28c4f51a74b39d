"""A set's files at a revision arrive as they are, and nothing else is left on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders.errors import HubError
from builders.hub.connection import Hub
from builders.hub.fetch import commit, fetch_snapshot
from tests.hub.plans import connected


def test_a_set_is_fetched_whole_beside_what_others_left_in_the_temporary_folder(
    hub: Any, repo: str, tmp_path: Path
) -> None:
    files = {"rivers.txt": b"Nile\n", "data/default/train.parquet": bytes(range(256))}
    for path, content in files.items():
        hub.api().upload_file(
            path_or_fileobj=content, path_in_repo=path, repo_id=repo, repo_type="dataset"
        )
    (tmp_path / ".fetched").touch(mode=0o400)  # a cache there would be in another user's way
    to = tmp_path / "own"
    sha = fetch_snapshot(connected(hub), repo, "main", to)
    assert sha == commit(connected(hub), repo, "main")
    found = {str(path.relative_to(to)): path for path in to.rglob("*") if not path.is_dir()}
    assert {path: found[path].read_bytes() for path in files} == files
    assert set(found) - set(files) <= {".gitattributes"}
    assert not any(path.is_symlink() for path in found.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fetched", "own"]


def test_a_hub_on_this_machine_is_read_offline_too(
    hub: Any, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub.api().create_repo(repo, repo_type="dataset", exist_ok=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert len(commit(connected(hub), repo, "main")) == 40
    refused = r"^HF_HUB_OFFLINE is set, so https://hub\.example is not reached, only a Hub on this"
    with pytest.raises(HubError, match=refused):
        commit(Hub(endpoint="https://hub.example"), repo, "main")
    assert constants.HF_HUB_OFFLINE is True
