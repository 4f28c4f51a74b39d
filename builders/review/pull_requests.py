"""Pull requests on a Hub: fetch their files, merge what was reviewed.

Nothing in them is executed or parsed here; builders.review.report reads them in a sandbox.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.drafting.contributions import CONFIG, CONTRIBUTED, Action, contribution, files_of
from builders.drafting.files import canonical_json, read_parquet, write_parquet
from builders.errors import HubError
from builders.hub.connection import Hub, client_errors, file_to_add
from builders.hub.fetch import commit, download, tree, unsafe_path
from builders.hub.release_requests import released_version
from builders.release.snapshot import MANIFEST
from builders.review.findings import Finding, refused
from builders.schema import Row
from builders.set_names import parse_set

MOST_FILE_BYTES = 200_000_000  # per changed file; a larger one is reported, not fetched
CONTRIBUTIONS = f"data/{CONFIG}/train-00000-of-00001.parquet"
_NEEDED = ("README.md", MANIFEST, "data/default/", f"data/{CONFIG}/")  # fetched even if unchanged


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull request at one commit.

    Attributes:
        sha: Its head when it was fetched; no other commit is ever merged.
        base: The newest commit that it shares with main; its changes are relative to that.
        author: The user who opened it.
        releases: The version that its title says it is a release of; None for other titles.
        conflicts: Files that main has changed too.
        unsafe: Paths that cannot be written to a folder, each with the reason.
        too_large: Changed files above the limit, in bytes; they were not fetched.
    """

    repository: str
    number: int
    sha: str
    base: str
    author: str
    releases: str | None
    status: str
    conflicts: tuple[str, ...]
    unsafe: Mapping[str, str]
    too_large: Mapping[str, int]

    def findings(self) -> tuple[Finding, ...]:
        """The checks that fail before any file is opened."""
        found = [refused("path", f"{path!r} {why}") for path, why in self.unsafe.items()]
        if self.releases:
            why = f"its title is that of the release {self.releases}; a person merges it on the Hub"
            found.append(refused("release", why))
        found += [
            refused(
                "file size", f"{path!r} has {size:,} bytes; at most {MOST_FILE_BYTES:,} allowed"
            )
            for path, size in self.too_large.items()
        ]
        if self.conflicts:
            names = ", ".join(self.conflicts)
            found.append(refused("conflict", f"main has changed the same files: {names}"))
        return tuple(found)


def fetch(hub: Hub, repository: str, number: int, main: Path, pull: Path) -> Pull:
    """Fetch what a pull request changes: the files before it into `main`, after it into `pull`.

    Of the files that it does not change, only those that a review needs are fetched.

    Raises:
        HubError: There is no such pull request, the token may not read it, or the Hub does not
            answer.
    """
    api = hub.api()
    at = {"repo_id": repository, "repo_type": "dataset"}
    with client_errors(hub, repository):
        details = api.get_discussion_details(discussion_num=number, **at)
        if not details.is_pull_request:
            raise HubError(f"{repository} number {number} is a discussion, not a pull request")
        head = api.repo_info(revision=f"refs/pr/{number}", **at).sha or ""
        base = _common_ancestor(api, at, head)
        old, new = (tree(api, at, sha) for sha in (base, head))
        if MANIFEST not in old:
            raise HubError(
                f"main of {repository} holds no set that this pull request could change; the first "
                "release is made on main: `potstill release` without --pr"
            )
        changed = {
            path for path in old.keys() | new.keys() if _differ(old.get(path), new.get(path))
        }
        wanted = changed | {path for path in old if path.startswith(_NEEDED)}
        unsafe = {path: why for path in sorted(changed) if (why := unsafe_path(path))}
        large = {path: new[path].size for path in changed & set(new)}
        too_large = {path: size for path, size in large.items() if size > MOST_FILE_BYTES}
        for path in sorted(wanted - set(unsafe) - set(too_large)):
            if path in old:
                download(api, at, path, base, main)
            if path in new and path not in changed:
                _copy(main / path, pull / path)
            elif path in new:
                download(api, at, path, head, pull)
    conflicts = details.conflicting_files
    return Pull(
        repository=repository,
        number=number,
        sha=head,
        base=base,
        author=details.author,
        releases=released_version(details.title),
        status=details.status,
        conflicts=tuple(conflicts) if isinstance(conflicts, list) else ("?",) * bool(conflicts),
        unsafe=unsafe,
        too_large=too_large,
    )


def _common_ancestor(api: Any, at: Mapping[str, str], head: str) -> str:
    """The newest commit that a pull request shares with main."""
    ours = {commit.commit_id for commit in api.list_repo_commits(revision="main", **at)}
    theirs = (commit.commit_id for commit in api.list_repo_commits(revision=head, **at))
    common: str | None = next((commit for commit in theirs if commit in ours), None)
    if common is None:
        raise HubError(
            f"{at['repo_id']}: the pull request has no commit in common with main; ask for one "
            "that starts from main"
        )
    return common


def _differ(old: Any, new: Any) -> bool:
    return old is None or new is None or old.blob_id != new.blob_id


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)


def merge(hub: Hub, pull: Pull, accepted: Sequence[tuple[Action, Row]], folder: Path) -> str:
    """Merge exactly the reviewed commit; return the new commit of main.

    `folder` holds the files of the pull request as they were reviewed. A commit on top of the
    reviewed one records the contributions and updates the hashes in the manifest, so that one merge
    brings both. Its parent is the reviewed commit, so a push in between stops the merge.

    Raises:
        HubError: The pull request is not open, moved since the review, or conflicts with main.
    """
    api = hub.api()
    at = {"repo_id": pull.repository, "repo_type": "dataset"}
    if pull.status not in ("open", "draft"):
        raise HubError(f"{pull.repository} number {pull.number} is {pull.status}; nothing to merge")
    given = [
        contribution(
            action, row, contributor=pull.author, pull_request=pull.number, commit=pull.sha
        )
        for action, row in accepted
    ]
    changed = {"README.md"} if (folder / "README.md").is_file() else set()
    if given:
        earlier = [row for path in files_of(folder) for row in read_parquet(path)]
        (folder / CONTRIBUTIONS).parent.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / CONTRIBUTIONS, CONTRIBUTED, [*earlier, *given])
        changed.add(CONTRIBUTIONS)
    sums = _with_new_sums(folder)
    operations = [file_to_add(path, folder / path) for path in sorted(changed - {"README.md"})]
    if sums is not None:
        operations.append(file_to_add(MANIFEST, sums))
    with client_errors(hub, pull.repository):
        reviewed = pull.sha
        if operations:
            reviewed = api.create_commit(
                operations=operations,
                commit_message=f"Pull request {pull.number}, reviewed at {pull.sha[:12]}",
                revision=f"refs/pr/{pull.number}",
                parent_commit=pull.sha,
                **at,
            ).oid
        if pull.status == "draft":
            api.change_discussion_status(discussion_num=pull.number, new_status="open", **at)
        where = f"refs/pr/{pull.number}"
        if commit(hub, pull.repository, where) != reviewed:
            raise HubError(
                f"{pull.repository} number {pull.number} moved after {pull.sha[:12]} was reviewed; "
                "nothing was merged; review it again"
            )
        api.merge_pull_request(discussion_num=pull.number, **at)
        # The Hub's merge takes no sha: a push at this moment would have been merged too.
        if (merged := commit(hub, pull.repository, where)) != reviewed:
            raise HubError(
                f"{pull.repository} number {pull.number} moved while it was merged: main now holds "
                f"{merged[:12]}, not the reviewed {reviewed[:12]}; compare the two, and revert "
                "main if necessary"
            )
        return commit(hub, pull.repository, "main")


def _with_new_sums(folder: Path) -> bytes | None:
    """The manifest with the size and sha256 of each file in the folder; None if it is the same."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    files = manifest.setdefault("files", {})
    given = (path.relative_to(folder).as_posix() for path in folder.glob("contributed/*"))
    for name in [*files, CONTRIBUTIONS, *given]:
        if (file := folder / name).is_file():
            content = file.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            files[name] = {"bytes": len(content), "sha256": sha256}
    text = canonical_json({**manifest, "files": dict(sorted(files.items()))})
    return None if text == path.read_text(encoding="utf-8") else text.encode()


def fetch_contributions(hub: Hub, where: str, to: Path) -> None:
    """Fetch the files of the config `contributed` of `org/set` or `org/set@revision`.

    Raises:
        InputError: It is a path, and nothing is there.
        HubError: There is no such set or revision.
    """
    repository, revision = parse_set(where, expected="a file, a folder, or a set such as org/set")
    api = hub.api()
    at = {"repo_id": repository, "repo_type": "dataset"}
    (to / "data").mkdir()  # the folder of a set, even where nobody has contributed yet
    with client_errors(hub, repository):
        sha = commit(hub, repository, revision or "main")
        for path in tree(api, at, sha):
            if path.startswith(f"data/{CONFIG}/") and not unsafe_path(path):
                download(api, at, path, sha, to)
