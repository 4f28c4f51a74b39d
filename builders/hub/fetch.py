"""Read sets from a Hub: their names, versions, commits and files."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from builders.errors import HubError, InputError, nearest_name
from builders.hub.connection import Hub, NoRepositoryError, NoRevisionError, client_errors
from builders.release.snapshot import VERSION
from builders.release.versions import version_key

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

# What is main, a version, a commit or a full reference cannot name a branch of a release too; the
# rest are the rules of `git check-ref-format`, and the 255 bytes of a file's name.
_NO_BRANCH = re.compile(
    r"|main|HEAD|@|v?\d+\.\d+\.\d+|refs/.*|[0-9a-f]{7,40}|-.*|/.*|.*[/.]|(?:.*/)?\..*"
    r"|(?:.*/)?[^/]*\.lock(?:/.*)?|.*(?:[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[^/]{200}).*",
    re.DOTALL,
)


def versions(hub: Hub, repository: str) -> list[tuple[str, str]]:
    """The tags vX.Y.Z with their commits, the newest first.

    Raises:
        HubError: There is no such repository, or the token may not read it.
    """
    with client_errors(hub, repository):
        refs = hub.api().list_repo_refs(repository, repo_type="dataset")
    found = [
        (tag.name, tag.target_commit)
        for tag in refs.tags
        if tag.name.startswith("v") and VERSION.fullmatch(tag.name[1:])
    ]
    return sorted(found, key=lambda pair: version_key(pair[0][1:]), reverse=True)


def no_version(repository: str, revision: str, names: Iterable[str]) -> str:
    """The error where a set has no such version, or no such branch or commit."""
    kind = "version" if VERSION.fullmatch(revision.removeprefix("v")) else "revision"
    return f"{repository} has no {kind} {revision!r}; there are {nearest_name(revision, names)}"


def check_branch(name: str) -> None:
    """Refuse what cannot be the branch of a release.

    Raises:
        InputError: By the rules of git it names no branch, or it names main, a version, a commit or
            a reference.
    """
    if _NO_BRANCH.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the branch of a release; give a name such as next, or leave the "
            "branch out for main"
        )


def branch_head(hub: Hub, repository: str, branch: str) -> str | None:
    """The commit that a branch points to; None if there is no such branch.

    Raises:
        InputError: It is the name of a tag, so that as a revision it would name two commits.
        HubError: There is no such repository, or the token may not read it.
    """
    with client_errors(hub, repository):
        refs = hub.api().list_repo_refs(repository, repo_type="dataset")
    if any(tag.name == branch for tag in refs.tags):
        raise InputError(f"{branch!r} is a tag of {repository}; give another name for the branch")
    return next((one.target_commit for one in refs.branches if one.name == branch), None)


def commit(hub: Hub, repository: str, revision: str) -> str:
    """The commit that a revision points to now.

    Raises:
        HubError: There is no such revision.
    """
    try:
        with client_errors(hub, repository):
            info = hub.api().repo_info(repository, repo_type="dataset", revision=revision)
    except NoRevisionError:
        names = [name for name, _ in versions(hub, repository)]
        raise NoRevisionError(no_version(repository, revision, names)) from None
    return str(info.sha)


def visibility(hub: Hub, repository: str) -> str | None:
    """`public`, `gated` or `private`; None where the token sees no such repository.

    Raises:
        HubError: The Hub refused, or does not answer.
    """
    try:
        with client_errors(hub, repository):
            info = hub.api().repo_info(repository, repo_type="dataset", expand=["private", "gated"])
    except NoRepositoryError:
        return None
    return "private" if info.private else "gated" if info.gated else "public"


def tree(api: Any, at: Mapping[str, str], sha: str) -> dict[str, RepoFile]:
    """The files of a commit by their paths, as the client lists them."""
    from huggingface_hub.hf_api import RepoFile

    entries = api.list_repo_tree(revision=sha, recursive=True, **at)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def unsafe_path(path: str) -> str | None:
    """Why a path from a Hub must not be written to a folder, or None."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or not parts or any(part in ("..", ".git") for part in parts):
        return "leaves its folder"
    if "\\" in path or any(ord(character) < 32 for character in path):
        return "holds a backslash or a control character"
    if any(len(part.encode("utf-8", "replace")) > 255 for part in parts) or len(path) > 1000:
        return "is too long"
    return None


def download(api: Any, at: Mapping[str, str], path: str, sha: str, to: Path) -> None:
    """Download one file of a commit into the folder `to`, at its own path."""
    target = to / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=to) as cache:
        got = api.hf_hub_download(filename=path, revision=sha, cache_dir=cache, **at)
        Path(got).resolve().rename(target)


def fetch_snapshot(
    hub: Hub,
    repository: str,
    revision: str,
    to: Path,
    *,
    data: bool = True,
    here: Mapping[str, Path] | None = None,
) -> str:
    """Fetch a set's files at a revision into a folder; return the commit of the revision.

    Nothing in them is executed.

    Args:
        hub: The Hub.
        repository: The set.
        revision: A tag, a branch or a commit.
        to: The folder to make.
        data: Whether to fetch the files below data/.
        here: Files that need not be fetched, by their sha256; they are linked.

    Raises:
        HubError: There is no such repository or revision, or a path would leave the folder.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    sha = commit(hub, repository, revision)
    with client_errors(hub, repository):
        for path, entry in sorted(tree(api, at, sha).items()):
            if why := unsafe_path(path):
                raise HubError(f"{repository} at {revision}: the path {path!r} {why}; not fetched")
            held = here.get(entry.lfs.sha256) if here and entry.lfs else None
            if held:
                (to / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(held, to / path)
            elif data or not path.startswith("data/"):
                download(api, at, path, sha, to)
    return sha
