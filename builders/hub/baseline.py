"""What a release is compared with: the newest version on a Hub, and main as people left it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders.drafting.contributions import CONFIG, files_of
from builders.drafting.draft import Draft
from builders.drafting.files import read_parquet
from builders.errors import InputError, named_in_errors, number_of
from builders.hub.connection import Hub, client_errors
from builders.hub.fetch import branch_head, commit, download, fetch_snapshot, tree, versions
from builders.release.snapshot import (
    ADVISORIES,
    CARD,
    MANIFEST,
    Snapshot,
    read_advisories,
    read_manifest,
    snapshot,
)
from builders.release.versions import version_key

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_ABOUT = (CARD, MANIFEST, ADVISORIES)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A repository as a release finds it: main, or the branch that it goes to.

    Attributes:
        head: The branch's commit, or main's where a branch is new; empty without a repository.
        is_new: Whether there is no such branch.
        files: Its files by path.
        tags: The versions' tags with their commits, newest first.
        base: The newest version, with the advisories of main; None before the first.
        version: The version in its manifest, tagged or not.
        edited: Whether its card is another than the one in its manifest.
        contributed: The ids of the contributions on it.
    """

    head: str = ""
    is_new: bool = True
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    base: Snapshot | None = None
    version: str | None = None
    edited: bool = False
    contributed: frozenset[str] = frozenset()


def read_baseline(
    hub: Hub, repository: str, draft: Draft, to: Path, branch: str | None = None
) -> Baseline:
    """Read a repository, and fetch into the folder `to` what a release is compared with.

    Data files that the draft has too are not fetched.

    Raises:
        InputError: The repository holds something other than a set made by potstill, or the branch
            has the name of a tag.
        HubError: The Hub refused.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    with client_errors(hub, repository):
        if not api.repo_exists(**at):
            return Baseline()
    tags = dict(versions(hub, repository))
    of_main = commit(hub, repository, "main")
    of_branch = branch_head(hub, repository, branch) if branch else of_main
    head = of_branch or of_main
    newest = next(iter(tags.values()), None)
    if newest is not None:
        fetch_snapshot(hub, repository, newest, to / "base", here=_by_sha256(draft.folder))
    main = to / ("base" if head == newest else "main")
    main.mkdir(parents=True, exist_ok=True)
    with client_errors(hub, repository):
        files = tree(api, at, head)
        if MANIFEST not in files and (strange := _strange(files)):
            raise InputError(
                f"{repository} holds {strange!r} and no {MANIFEST}, so potstill did not make it; "
                "give a new repository"
            )
        if head != newest:
            for path in files:
                if path in _ABOUT or path.startswith(f"data/{CONFIG}/"):
                    download(api, at, path, head, main)
        advised = main
        if head != of_main and ADVISORIES in tree(api, at, of_main):  # main is where they are true
            advised = to / "advisories"
            advised.mkdir()
            download(api, at, ADVISORIES, of_main, advised)
    with named_in_errors(to, repository):
        base = None
        if newest is not None:
            base = replace(snapshot(to / "base"), advisories=read_advisories(advised))
        return Baseline(
            head=head,
            is_new=of_branch is None,
            files=files,
            tags=tags,
            base=base,
            version=read_manifest(main).get("version"),
            edited=not is_written(main),
            contributed=_ids(main),
        )


def _strange(files: Mapping[str, RepoFile]) -> str | None:
    """A file that is neither in a new repository nor in a release."""
    new = (".gitattributes", ".gitignore", CARD)
    return next((path for path in files if path not in new and "LICENSE" not in path), None)


def check_contributions(baseline: Baseline, new: Path, repository: str) -> None:
    """Refuse a release that would overwrite what people contributed in pull requests.

    Raises:
        InputError: With the number of the rows that the release lacks.
    """
    if lost := baseline.contributed - _ids(new):
        raise InputError(
            f"this draft lacks {number_of(len(lost), 'contributed rows')} of {repository}; build "
            f"again with --contributed {repository}, then release"
        )


def is_written(folder: Path) -> bool:
    """Whether the card in a folder is the one in its manifest."""
    return (folder / CARD).is_file() and sha256_of(folder / CARD) == listed(folder).get(CARD)


def listed(folder: Path) -> dict[str, str]:
    """The sha256 of each file in a manifest, by its path."""
    files = read_manifest(folder).get("files")
    known = files.items() if isinstance(files, dict) else ()
    return {path: str(one.get("sha256")) for path, one in known if isinstance(one, dict)}


def check_unfinished(
    baseline: Baseline, version: str, repository: str, differing: Set[str]
) -> None:
    """Refuse a version that is not above an untagged one on main with other content.

    The same version may follow where people changed the card, and only that differs.

    Raises:
        InputError: Another release of that version is running, or was stopped.
    """
    if (
        baseline.version is not None
        and f"v{baseline.version}" not in baseline.tags
        and version_key(baseline.version) >= version_key(version)
        and not (baseline.version == version and baseline.edited and differing <= {CARD, MANIFEST})
    ):
        raise InputError(
            f"main of {repository} holds another v{baseline.version} without a tag: a "
            "release of another draft is running, or was stopped; let it finish, or set a higher "
            "version in the card's Changes"
        )


def _by_sha256(folder: Path) -> dict[str, Path]:
    return {sha256_of(path): path for path in folder.glob("*.parquet")}


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ids(folder: Path) -> frozenset[str]:
    try:
        return frozenset(row["id"] for path in files_of(folder) for row in read_parquet(path))
    except (InputError, KeyError):
        raise InputError(
            f"what the Hub has in data/{CONFIG}/ are no contributions that a review merged; revert "
            "it there"
        ) from None
