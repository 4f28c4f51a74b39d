"""What a release is compared with: the newest version on a Hub, and main as people left it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.drafting.contributions import CONFIG, files_of
from builders.drafting.draft import Draft
from builders.drafting.files import read_parquet
from builders.errors import InputError, named_in_errors, number_of, shortened
from builders.hub.connection import Hub, client_errors
from builders.hub.fetch import branch_head, commit, download, fetch_snapshot, tree, versions
from builders.release.card_changes import undone
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
_SHOWN = 4  # added lines, and as many removed ones, that a refusal shows
_COMPUTED = "what potstill computes cannot be changed there"
_NOT_FOUND = (
    "no commit has the card as potstill wrote it, so computed lines may be among these; when the "
    "words are copied, delete README.md there"
)
# What a release owns in its repository; it never touches other files, such as LICENSE.
OWN = (*_ABOUT, "data/", "figures/", "contributed/")


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


def check_card(
    hub: Hub, repository: str, revision: str, head: str, tags: Mapping[str, str], new: Path
) -> None:
    """Refuse a release that would undo what people changed since the one that a revision holds.

    Args:
        hub: The Hub.
        repository: The set.
        revision: Where the release goes: main, a branch or a pull request.
        head: Its commit.
        tags: The versions' tags with their commits.
        new: The folder of the release.

    Raises:
        InputError: With the lines of the card that it would undo; or the title of a commit on a
            branch or a pull request that changes other files.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    with (
        tempfile.TemporaryDirectory(prefix="potstill-") as made,
        named_in_errors(Path(made), repository),
        client_errors(hub, repository),
    ):
        there, was = Path(made) / "there", Path(made) / "was"
        files = tree(api, at, head)
        for path in {CARD, MANIFEST} & files.keys():
            download(api, at, path, head, there)
        version = f"v{read_manifest(there).get('version')}"
        is_set = MANIFEST in files
        if (
            is_set
            and revision != "main"
            and version not in tags
            and not _only_card_differs(api, at, files, head, there)
        ):
            title = api.list_repo_commits(revision=head, **at)[0].title
            raise InputError(
                f"{revision} of {repository} has {title!r} on top of its release; take "
                "over what it changes, and delete the branch or close the pull request"
            )
        found = _written(api, at, head, tags, version, there, was) if is_set else None
        written = _text(found / CARD) if found else ""
        lines = undone(written, _text(there / CARD), _text(new / CARD))
    if lines and CARD in files:
        raise InputError(
            f"people changed the card of {repository} at {revision}"
            f"{f' since {version}' if is_set else ''}, and this release would undo it: "
            f"{_shown(lines)}; copy the words to the set's file (to a section, such as '## "
            "Citation', or a key of its front matter), or take them back on the Hub; "
            + (_NOT_FOUND if is_set and not found else _COMPUTED)
        )


def _only_card_differs(
    api: Any, at: Mapping[str, str], files: Mapping[str, RepoFile], head: str, folder: Path
) -> bool:
    """Whether a commit has the files in its manifest, but for the card."""
    listed = _listed(folder)
    paths = {path for path in files if path.startswith(OWN)} - {CARD, MANIFEST}
    if paths != listed.keys() - {CARD}:
        return False
    for path in paths:
        if (large := files[path].lfs) is None:
            download(api, at, path, head, folder)
        if listed[path] != (large.sha256 if large else _sha256(folder / path)):
            return False
    return True


def _written(
    api: Any,
    at: Mapping[str, str],
    head: str,
    tags: Mapping[str, str],
    version: str,
    there: Path,
    to: Path,
) -> Path | None:
    """The folder that has the card of a version as potstill wrote it; None if no commit has it.

    It is known by its sha256 in the manifest: titles and tags can be given to what people changed.
    """
    tagged = tags.get(version, head)
    if tagged != head:
        for one in api.get_paths_info(paths=[CARD, MANIFEST], revision=tagged, **at):
            download(api, at, one.path, tagged, to)
        if is_written(to):
            return to
    if is_written(there):
        return there
    refs = api.list_repo_refs(include_pull_requests=True, **at)
    tips = [one.target_commit for one in (*refs.branches, *(refs.pull_requests or ()))]
    seen = {sha for name, sha in tags.items() if name != version}  # what is older has other cards
    blobs = set()
    for tip in (head, *tips):
        for one in api.list_repo_commits(revision=tip, **at):
            if one.commit_id in seen:
                break
            seen.add(one.commit_id)
            for card in api.get_paths_info(paths=[CARD], revision=one.commit_id, **at):
                if card.blob_id not in blobs:
                    blobs.add(card.blob_id)
                    download(api, at, CARD, one.commit_id, to)
                    if _sha256(to / CARD) == _listed(there).get(CARD):
                        return to
    return None


def is_written(folder: Path) -> bool:
    """Whether the card in a folder is the one in its manifest."""
    return (folder / CARD).is_file() and _sha256(folder / CARD) == _listed(folder).get(CARD)


def _listed(folder: Path) -> dict[str, str]:
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
    return {_sha256(path): path for path in folder.glob("*.parquet")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ids(folder: Path) -> frozenset[str]:
    return frozenset(row["id"] for path in files_of(folder) for row in read_parquet(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _shown(lines: Sequence[str]) -> str:
    """The first added and removed lines of a diff, and how many there are besides."""
    some = [line for sign in "+-" for line in [one for one in lines if one[0] == sign][:_SHOWN]]
    more = f" and {len(lines) - len(some)} more" if len(lines) > len(some) else ""
    return ", ".join(map(shortened, some)) + more
