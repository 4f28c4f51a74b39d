"""A release as one transaction on a Hub: upload, one commit, read back, tag.

At every moment main holds either the previous version or the new one. A release that was stopped
is finished by running it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.drafting.draft import Draft
from builders.errors import HubError, InputError, number_of
from builders.hub.baseline import (
    check_contributions,
    check_unfinished,
    read_baseline,
)
from builders.hub.connection import Hub, MovedError, client_errors, file_to_add, moved
from builders.hub.fetch import check_branch, commit, tree, versions, visibility
from builders.hub.people_changes import check_changes
from builders.hub.pull_request_comments import write_preview
from builders.hub.release_requests import close_replaced, open_requests
from builders.release.folder import release
from builders.release.snapshot import OWN, read_manifest
from builders.schema import Schema
from builders.set_file import Words

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

Notify = Callable[[str], None]  # receives each step as one line

_TRIES = 2  # main may move during a release; after a second time the release gives up
_BYTES_PER_STEP = 64_000_000  # bytes sent between two lines of progress
# On a terminal the client draws a bar for each file of so large a set.
_BYTES_WITH_A_BAR = 64_000_000
_TEMPORARY = ".releasing-"


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """What to publish where: a draft, the schemas of its configs, the card's words.

    A `branch` (None: main) receives no tag, and main stays as it is: a version counts from its tag.
    """

    draft: Draft
    schemas: Mapping[str, Schema]
    words: Words
    repository: str
    branch: str | None = None

    @property
    def where(self) -> str:
        """The repository, with the branch where there is one."""
        return f"{self.repository}@{self.branch}" if self.branch else self.repository

    @property
    def tag(self) -> str:
        """The version as a tag."""
        return f"v{self.words.version}"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a release did, or would do in a dry run.

    Attributes:
        commit: The commit that holds the version; None if nothing was sent.
        changed: Whether that commit is new.
        tagged: Whether its tag is new; without `changed`, an earlier release was finished.
        pull_request: Its number, if the release went to a pull request instead of main.
        replaced: Our earlier pull requests from an older main, which that one replaces.
        files: How many files the version has.
        sent: The files that were added or changed.
        removed: The files that were deleted.
        sent_bytes: The size of `sent`, in bytes.
        changes: The difference from the previous version, in one line.
    """

    tag: str
    commit: str | None
    changed: bool
    tagged: bool = False
    pull_request: int | None = None
    replaced: tuple[int, ...] = ()
    files: int
    sent: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    sent_bytes: int = 0
    changes: str


def publish(
    hub: Hub,
    plan: ReleasePlan,
    *,
    pull_request: bool = False,
    dry_run: bool = False,
    private: bool | None = None,
    notify: Notify = lambda _: None,
) -> Published:
    """Release a draft on a Hub; running it again changes nothing.

    Args:
        hub: The Hub to publish on.
        plan: What to publish where.
        pull_request: Open or update one pull request, with one comment, instead of main; one from
            an older main is replaced.
        dry_run: Only find out what would be sent; send nothing.
        private: Whether a new repository is private; one that exists must be private then.
        notify: Receives each step as one line.

    Raises:
        HubError: The Hub refused, or main moved twice.
        InputError: The version, a limit, a contribution or who can read it forbids this release.
    """
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    if plan.branch is not None:
        check_branch(plan.branch)
        if pull_request:
            raise InputError(f"a pull request is about main; leave out the branch {plan.branch!r}")
    if private and (seen := visibility(hub, plan.repository)) not in (None, "private"):
        raise InputError(
            f"{plan.repository} exists and is {seen}, and only a new repository is made private; "
            "make it private in its settings first, or leave out --private"
        )
    for _ in range(_TRIES):
        with _workplace(plan.draft.folder.parent) as made:
            try:
                done = _publish(hub, plan, made, pull_request, dry_run, private, notify)
                if done.pull_request and not dry_run:
                    notify(f"previewing it in a comment on pull request {done.pull_request}")
                    at = done.pull_request, str(done.commit)
                    write_preview(hub, plan.repository, *at, made / "release")
                return done
            except MovedError:
                notify(
                    f"{plan.branch or 'main'} of {plan.repository} moved in the meantime; "
                    "comparing again"
                )
    raise HubError(
        f"{plan.repository} moved again while {plan.tag} was sent; it holds the commits of others "
        "and nothing of this release; look at those commits, then release again"
    )


def _publish(
    hub: Hub,
    plan: ReleasePlan,
    made: Path,
    pull_request: bool,
    dry_run: bool,
    private: bool | None,
    notify: Notify,
) -> Published:
    notify(f"comparing with {plan.branch or 'main'} of {plan.repository}")
    baseline = read_baseline(hub, plan.repository, plan.draft, made / "baseline", plan.branch)
    folder = made / "release"
    notify(f"making {plan.tag} from {plan.draft.folder}")
    release(
        plan.draft,
        plan.schemas,
        folder,
        plan.words,
        base=baseline.base,
        repository=plan.repository,
        notify=notify,
    )
    ours = _files(folder)
    done = Published(
        tag=plan.tag,
        commit=baseline.tags.get(plan.tag),
        changed=False,
        files=len(ours),
        changes=str(read_manifest(folder)["history"][0]["changes"]),
    )
    if plan.tag in baseline.tags and not plan.branch:
        return done  # it has the same rows and words, since the version rule holds
    sent, removed = _difference(baseline.files, ours)
    if sent or removed:
        check_contributions(baseline, folder, plan.where)
        if baseline.head:
            held = plan.branch if plan.branch and not baseline.is_new else "main"
            check_changes(hub, plan.repository, held, baseline.head, baseline.tags, folder, notify)
        if not plan.branch:
            check_unfinished(baseline, plan.words.version, plan.repository, {*sent, *removed})
    api, at = hub.api(), {"repo_id": plan.repository, "repo_type": "dataset"}
    with client_errors(hub, plan.repository):
        if not baseline.head and not dry_run:
            api.create_repo(private=private, exist_ok=True, **at)
            baseline = replace(baseline, head=commit(hub, plan.repository, "main"))
            sent, removed = _difference(tree(api, at, baseline.head), ours)
        if plan.branch and baseline.is_new and not dry_run:
            api.create_branch(branch=plan.branch, revision=baseline.head, exist_ok=True, **at)
        onto, number = baseline.head, None
        outdated: list[int] = []
        if pull_request and baseline.head and (sent or removed):
            current, outdated = open_requests(hub, plan.repository, baseline.head)
            for one in [*outdated, *current[:1]]:
                held = f"refs/pr/{one}"
                head = commit(hub, plan.repository, held)
                check_changes(hub, plan.repository, held, head, baseline.tags, folder, notify)
            if current:
                number, onto = current[0], head
                sent, removed = _difference(tree(api, at, onto), ours)
    done = replace(
        done,
        commit=onto or None,
        pull_request=number,
        replaced=tuple(outdated),
        changed=bool(sent or removed),
        sent=tuple(sent),
        removed=tuple(removed),
        sent_bytes=sum(ours[path].stat().st_size for path in sent),
    )
    if dry_run:
        return replace(done, commit=None)
    if done.changed:
        done = _commit(hub, plan, ours, done, new=pull_request and number is None, notify=notify)
    if done.pull_request is not None:
        close_replaced(hub, plan.repository, done.replaced, done.pull_request)
    if number is not None and not done.changed:
        return done
    notify(f"reading {plan.tag} back from {str(done.commit)[:12]}")
    read_back(hub, plan.repository, str(done.commit), folder)
    if done.pull_request is not None or plan.branch:
        return done
    notify(f"tagging {str(done.commit)[:12]} as {plan.tag}")
    _tag(hub, plan, str(done.commit))
    return replace(done, tagged=True)


def _files(folder: Path) -> dict[str, Path]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _difference(
    there: Mapping[str, RepoFile], ours: Mapping[str, Path]
) -> tuple[list[str], list[str]]:
    """The files to send and to delete so that a commit holds exactly this release."""
    sent = [name for name, path in ours.items() if not _same(there.get(name), path)]
    removed = [name for name in sorted(there) if name.startswith(OWN) and name not in ours]
    return sent, removed


def _same(entry: RepoFile | None, path: Path) -> bool:
    """Whether the Hub's file equals ours, by its git id or, for a large file, by its sha256."""
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
    plan: ReleasePlan,
    ours: Mapping[str, Path],
    planned: Published,
    *,
    new: bool,
    notify: Notify,
) -> Published:
    """Send everything as one commit whose parent is the commit that was compared with."""
    from huggingface_hub import CommitOperationDelete
    from huggingface_hub.utils import disable_progress_bars

    api, at = hub.api(), {"repo_id": plan.repository, "repo_type": "dataset"}
    number = planned.pull_request
    where = f"refs/pr/{number}" if number is not None else plan.branch or "main"
    added = [file_to_add(name, ours[name]) for name in planned.sent]
    removed = [
        CommitOperationDelete(path_in_repo=name, is_folder=False) for name in planned.removed
    ]
    large = planned.sent_bytes >= _BYTES_WITH_A_BAR
    bars = contextlib.nullcontext() if large else disable_progress_bars()
    with client_errors(hub, plan.repository), moved(), bars:
        files, size = number_of(len(added), "files"), number_of(planned.sent_bytes, "bytes")
        notify(f"sending {files}, {size}")
        count = sent_bytes = 0
        for some in _parts(added):
            try:
                api.preupload_lfs_files(additions=some, revision=where, create_pr=new or None, **at)
            except RuntimeError as error:  # the client raises it for any failed upload
                raise HubError(
                    f"the upload to {plan.repository} failed ({error.__cause__ or error}); "
                    "release again: files that arrived are not sent again"
                ) from None
            count += len(some)
            sent_bytes += sum(one.upload_info.size for one in some)
            notify(f"sent {count} of {files}, {sent_bytes:,} of {size}")
        info = api.create_commit(
            operations=[*added, *removed],
            commit_message=f"Release {plan.tag}",
            commit_description=planned.changes,
            revision=where,
            create_pr=new or None,
            parent_commit=planned.commit,
            **at,
        )
        if number is not None:
            api.rename_discussion(discussion_num=number, new_title=f"Release {plan.tag}", **at)
    return replace(planned, commit=info.oid, pull_request=info.pr_num if new else number)


def _parts(added: Sequence[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for one in added:
        some.append(one)
        if sum(part.upload_info.size for part in some) >= _BYTES_PER_STEP:
            yield some
            some = []
    if some:
        yield some


def _tag(hub: Hub, plan: ReleasePlan, sha: str) -> None:
    with client_errors(hub, plan.repository):
        hub.api().create_tag(
            plan.repository, repo_type="dataset", tag=plan.tag, revision=sha, exist_ok=True
        )
    tagged = dict(versions(hub, plan.repository)).get(plan.tag)
    if tagged != sha:
        raise HubError(
            f"{plan.repository} has the tag {plan.tag} at {str(tagged)[:12]}, not at {sha[:12]}: "
            "somebody else released at the same time; set a higher version"
        )


def read_back(hub: Hub, repository: str, sha: str, folder: Path) -> None:
    """Stream every config of a commit with `datasets` and compare it with a folder, by value.

    It runs in a child process, since `datasets` reads the Hub's address when it is imported.

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
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise HubError(
            f"{repository} at {sha[:12]} does not read back as it was made ({reason}); it has no "
            "tag; release again once the Hub answers"
        )


@contextlib.contextmanager
def _workplace(drafts: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=drafts) as made:
        yield Path(made)


def remove_leftovers(drafts: Path) -> None:
    """Remove the temporary folders that killed releases left beside the drafts."""
    for left in drafts.glob(f"{_TEMPORARY}*"):
        process = left.name.removeprefix(_TEMPORARY).partition("-")[0]
        if not (process.isdigit() and _is_running(int(process))):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
