"""A release as one transaction on a Hub: upload, one commit, read back, tag.

At every moment main holds the version before or the new one. Whatever stops it in between, the
same release again finds how far it came and does the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.drafting.draft import Draft
from builders.errors import HubError
from builders.hub.baseline import OWN, before, check_people, check_unfinished
from builders.hub.connection import Hub, MovedError, file_to_add, moved, spoken
from builders.hub.fetch import commit, tree, versions
from builders.release.card import Words
from builders.release.folder import release
from builders.release.snapshot import read_manifest
from builders.schema import Schema

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

Say = Callable[[str], None]

_TRIES = 2  # a main that moved once may move again, but not for ever
_TITLE = re.compile(r"Release v\d+\.\d+\.\d+")
_AT_ONCE = 256_000_000  # bytes sent between two lines of progress
_LEFT = ".releasing-"


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """What is to be published: a draft in the shapes of its configs, with a person's words."""

    draft: Draft
    schemas: Mapping[str, Schema]
    words: Words
    repository: str

    @property
    def tag(self) -> str:
        """The version as a tag."""
        return f"v{self.words.version}"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a release did, or in a dry run would do.

    Attributes:
        commit: The commit that holds the version; None if nothing was sent.
        changed: Whether that commit is new.
        tagged: Whether its tag is new; without `changed`, it ended what an earlier release began.
        pull_request: Its number, where it was asked for instead of main.
        files: How many files the version has.
        sent: The files that were added or changed; `removed` those that were taken away.
        sent_bytes: The size of the former.
        changes: The difference to the version before, in a line.
    """

    tag: str
    commit: str | None
    changed: bool
    tagged: bool = False
    pull_request: int | None = None
    files: int
    sent: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    sent_bytes: int = 0
    changes: str


def publish(
    hub: Hub,
    what: ReleasePlan,
    *,
    pull_request: bool = False,
    dry_run: bool = False,
    private: bool | None = None,
    say: Say = lambda _: None,
) -> Published:
    """Release a draft on a Hub; done again, it changes nothing.

    Args:
        hub: Where to.
        what: What.
        pull_request: Open (or bring up to date) one pull request in place of the commit and tag.
        dry_run: Say what would be done; send nothing.
        private: Of a new repository; one that is there stays as it is.
        say: Told each step in a line.

    Raises:
        HubError: The Hub or the token says no; main moved twice.
        InputError: The version, a limit, or what people gave stands against it.
    """
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    for _ in range(_TRIES):
        with _workplace(what.draft.folder.parent) as made:
            try:
                return _publish(hub, what, made, pull_request, dry_run, private, say)
            except MovedError:
                say(f"{what.repository} moved meanwhile; comparing again")
    raise HubError(
        f"{what.repository} moved again while {what.tag} was sent; it holds what others put there "
        "and nothing of this release; see what they do, then release again"
    )


def _publish(
    hub: Hub,
    what: ReleasePlan,
    made: Path,
    pull_request: bool,
    dry_run: bool,
    private: bool | None,
    say: Say,
) -> Published:
    there = before(hub, what.repository, what.draft, made / "before")
    folder = made / "release"
    release(
        what.draft, what.schemas, folder, what.words, base=there.base, repository=what.repository
    )
    ours = _files(folder)
    done = Published(
        tag=what.tag,
        commit=there.tags.get(what.tag),
        changed=False,
        files=len(ours),
        changes=str(read_manifest(folder)["history"][0]["changes"]),
    )
    if what.tag in there.tags:  # by the rule of versions it holds the same rows and words
        return done
    sent, removed = _difference(there.files, ours)
    if sent or removed:
        check_unfinished(there, what.words.version, what.repository)
        check_people(there, folder, what.repository, str(what.draft.facts["recipe"]))
    api, at = hub.api(), {"repo_id": what.repository, "repo_type": "dataset"}
    with spoken(hub, what.repository):
        if not there.head and not dry_run:
            api.create_repo(private=private, exist_ok=True, **at)
            there = replace(there, head=commit(hub, what.repository, "main"))
            sent, removed = _difference(tree(api, at, there.head), ours)
        onto, number = there.head, None
        if pull_request and there.head and (sent or removed):
            number = _open_pull_request(api, at, hub.user())
            if number is not None:
                onto = commit(hub, what.repository, f"refs/pr/{number}")
                sent, removed = _difference(tree(api, at, onto), ours)
    done = replace(
        done,
        commit=onto or None,
        pull_request=number,
        changed=bool(sent or removed),
        sent=tuple(sent),
        removed=tuple(removed),
        sent_bytes=sum(ours[path].stat().st_size for path in sent),
    )
    if dry_run:
        return replace(done, commit=None)
    if done.changed:
        done = _commit(hub, what, ours, done, new=pull_request and number is None, say=say)
    elif pull_request:
        return done
    say(f"reading {what.tag} back from {str(done.commit)[:12]}")
    read_back(hub, what.repository, str(done.commit), folder)
    if pull_request:
        return done
    _tag(hub, what, str(done.commit))
    return replace(done, tagged=True)


def _files(folder: Path) -> dict[str, Path]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _difference(
    there: Mapping[str, RepoFile], ours: Mapping[str, Path]
) -> tuple[list[str], list[str]]:
    """What to send so that a commit holds our files and no others of a release; what to remove."""
    sent = [name for name, path in ours.items() if not _same(there.get(name), path)]
    removed = [name for name in sorted(there) if name.startswith(OWN) and name not in ours]
    return sent, removed


def _same(entry: RepoFile | None, path: Path) -> bool:
    """Whether a Hub's file has the bytes of ours, by git's own id or by the large file's sha256."""
    if entry is None or entry.size != path.stat().st_size:
        return False
    with path.open("rb") as file:
        if entry.lfs:
            return hashlib.file_digest(file, "sha256").hexdigest() == str(entry.lfs.sha256)
        digest = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
        digest.update(file.read())
    return digest.hexdigest() == str(entry.blob_id)


def _commit(
    hub: Hub,
    what: ReleasePlan,
    ours: Mapping[str, Path],
    planned: Published,
    *,
    new: bool,
    say: Say,
) -> Published:
    """All in one commit on top of the one that the plan was made against."""
    from huggingface_hub import CommitOperationDelete

    api, at = hub.api(), {"repo_id": what.repository, "repo_type": "dataset"}
    number = planned.pull_request
    where = f"refs/pr/{number}" if number is not None else "main"
    added = [file_to_add(name, ours[name]) for name in planned.sent]
    removed = [
        CommitOperationDelete(path_in_repo=name, is_folder=False) for name in planned.removed
    ]
    with spoken(hub, what.repository), moved():
        say(f"sending {len(added)} files, {planned.sent_bytes:,} bytes")
        count = 0
        for some in _parts(added):
            try:
                api.preupload_lfs_files(additions=some, revision=where, create_pr=new or None, **at)
            except RuntimeError as error:  # what the client makes of any failure in an upload
                raise HubError(
                    f"the upload to {what.repository} broke off ({error.__cause__ or error}); "
                    "release again, and what arrived is not sent again"
                ) from None
            count += len(some)
            say(f"sent {count} of {len(added)} files")
        info = api.create_commit(
            operations=[*added, *removed],
            commit_message=f"Release {what.tag}",
            commit_description=planned.changes,
            revision=where,
            create_pr=new or None,
            parent_commit=planned.commit,
            **at,
        )
        if number is not None:
            api.rename_discussion(discussion_num=number, new_title=f"Release {what.tag}", **at)
    return replace(planned, commit=info.oid, pull_request=info.pr_num if new else number)


def _parts(added: Sequence[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for one in added:
        some.append(one)
        if sum(part.upload_info.size for part in some) >= _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _open_pull_request(api: Any, at: Mapping[str, str], me: str) -> int | None:
    """The number of our open pull request with a release, of whichever version."""
    found = api.get_repo_discussions(
        author=me, discussion_type="pull_request", discussion_status="open", **at
    )
    return next((one.num for one in found if _TITLE.fullmatch(one.title)), None)


def _tag(hub: Hub, what: ReleasePlan, sha: str) -> None:
    with spoken(hub, what.repository):
        hub.api().create_tag(
            what.repository, repo_type="dataset", tag=what.tag, revision=sha, exist_ok=True
        )
    tagged = dict(versions(hub, what.repository)).get(what.tag)
    if tagged != sha:
        raise HubError(
            f"{what.repository} has a tag {what.tag} at {str(tagged)[:12]}, not at {sha[:12]}; "
            "somebody else released at the same time; name a higher version"
        )


def read_back(hub: Hub, repository: str, sha: str, folder: Path) -> None:
    """Stream every config of a commit with `datasets` and compare it with a folder's, by value.

    In a process of its own, since `datasets` learns of its Hub while it is imported.

    Raises:
        HubError: A value differs, or the Hub stopped answering.
    """
    with tempfile.TemporaryDirectory(prefix="potstill-") as home:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": home,
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            **({"HF_TOKEN": hub.token} if hub.token else {}),
        }
        words = [sys.executable, "-m", "builders.hub.readback", repository, sha, str(folder)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise HubError(
            f"{repository} at {sha[:12]} does not read back as it was made ({said}); it has no "
            "tag; release again once the Hub answers"
        )


@contextlib.contextmanager
def _workplace(drafts: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{_LEFT}{os.getpid()}-", dir=drafts) as made:
        yield Path(made)


def clean(drafts: Path) -> None:
    """Remove what killed releases left beside the drafts."""
    for left in drafts.glob(f"{_LEFT}*"):
        process = left.name.removeprefix(_LEFT).partition("-")[0]
        if not (process.isdigit() and _lives(int(process))):
            shutil.rmtree(left, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
