"""Plans of releases, made from one real build: one set in as many versions as a test needs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.draft import Draft, last_draft, write_draft
from builders.errors import HubError, PotstillError
from builders.hub.connection import Hub
from builders.hub.publish import Published, ReleasePlan, publish
from builders.recipe_loading import load_recipe
from builders.schema import Row, assistant
from scripts.main import main
from tests.drafting.test_run import build_words
from tests.set_files import shipped_words

NAME = "completions"
WAYS: dict[str, dict[str, Any]] = {
    "to main": {},
    "as a pull request": {"pull_request": True},
    "to a new branch": {"branch": "next"},
    "as a dry run": {"dry_run": True},
}


def drafted(folder: Path) -> Draft:
    """A real, small draft of the recipe `completions`."""
    assert main(build_words(folder, name=NAME)) == 0
    return last_draft(folder / "work" / NAME)


def planned(
    draft: Draft,
    home: Path,
    version: str,
    repository: str,
    *,
    rows: Iterable[Row] | None = None,
    words: Mapping[str, str] | None = None,
) -> ReleasePlan:
    """The draft's set as a version that its first answer names, or with the given rows and words.

    Equal arguments give equal bytes.
    """
    schemas = load_recipe(NAME).schemas
    held: dict[str, Any] = {config: draft.rows(config) for config in schemas}
    held["default"] = list(rows) if rows is not None else changed(held["default"], version)
    words_of_set = shipped_words(NAME)
    sections = {
        **words_of_set.sections,
        "Changes": f"### v{version}\n\nFor a test.",
        **(words or {}),
    }
    return ReleasePlan(
        draft=write_draft(home, schemas, held, lambda: draft.facts, draft.run),
        schemas=schemas,
        words=replace(words_of_set, sections=sections, version=version),
        repository=repository,
    )


def changed(rows: list[Row], version: str) -> list[Row]:
    """The rows, the first with an answer that names the version."""
    first = {**rows[0], "completion": assistant(f"This is version {version}.")}
    return [first, *rows[1:]]


def tree_of(hub: Any, repository: str, revision: str = "main") -> dict[str, str]:
    """Every file of a revision, by path, as the id of its content."""
    api = hub.api()
    entries = api.list_repo_tree(repository, repo_type="dataset", revision=revision, recursive=True)
    return {e.path: e.lfs.sha256 if e.lfs else e.blob_id for e in entries if hasattr(e, "blob_id")}


def ids_of(folder: Path) -> dict[str, str]:
    """The same for a release folder, as the Hub stores it: Parquet files are large files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            large = path.suffix == ".parquet"
            head = b"" if large else b"blob %d\0" % len(content)
            digest = (hashlib.sha256 if large else hashlib.sha1)(head + content)
            found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def tags_of(hub: Any, repository: str) -> dict[str, str]:
    refs = hub.api().list_repo_refs(repository, repo_type="dataset")
    return {tag.name: tag.target_commit for tag in refs.tags}


def commits_of(hub: Any, repository: str, revision: str = "main") -> list[str]:
    """The titles of a branch's commits, newest first."""
    found = hub.api().list_repo_commits(repository, repo_type="dataset", revision=revision)
    return [commit.title for commit in found]


def connected(hub: Any, name: str = "potstill", endpoint: str | None = None) -> Hub:
    """The connection of builders.hub to a test's Hub, as one of its users."""
    return Hub(endpoint=endpoint or hub.endpoint, token=hub.tokens[name])


def read_back_in_process(patch: pytest.MonkeyPatch) -> None:
    """Let releases read back in this process, where `datasets` is loaded, not in a child."""
    import datasets
    from huggingface_hub import hf_hub_url

    from builders.hub import publish, readback

    datasets.disable_progress_bars()

    def read_back(hub: Hub, repository: str, sha: str, folder: Path) -> None:
        patch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
        url = functools.partial(hf_hub_url, repo_type="dataset", endpoint=hub.endpoint)
        patch.setattr(datasets.load, "hf_dataset_url", url)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        try:
            readback.reads_back(hub, repository, sha, folder)
        except (PotstillError, ValueError) as error:
            raise HubError(f"does not read back: {error}") from None

    patch.setattr(publish, "read_back", read_back)


def released(hub: Any, plan: ReleasePlan, *, branch: str | None = None, **how: Any) -> Published:
    """A plan, released in one of the `WAYS`."""
    return publish(connected(hub), replace(plan, branch=branch), **how)
