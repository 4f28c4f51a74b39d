"""A release on a Hub is one transaction: upload, one commit, read back, tag; again, nothing."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import builders.hub.publish as publishing
from builders.drafting.contributions import CONFIG, CONTRIBUTED, contribution
from builders.drafting.draft import Draft, write_draft
from builders.drafting.files import write_parquet
from builders.errors import HubError, InputError, PotstillError
from builders.hub.connection import Hub as HubConnection
from builders.hub.connection import client_errors, from_environment
from builders.hub.fetch import check_branch, download, versions
from builders.hub.publish import Published, ReleasePlan, publish, remove_leftovers
from builders.hub.withdraw import yank
from builders.release.folder import release
from builders.release.sharding import SHARD_BYTES
from builders.schema import assistant, user
from scripts.main import main
from tests.cases import each
from tests.hub.plans import (
    NAME,
    changed,
    commits_of,
    connected,
    ids_of,
    planned,
    read_back_in_process,
    tags_of,
    tree_of,
)
from tests.hubs import OWNER, clean_environment

ATTRIBUTES = ".gitattributes"


@pytest.fixture
def reading_back(make: Callable[..., ReleasePlan], monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases read back from the Hub, in this process."""
    read_back_in_process(monkeypatch)


def without_attributes(tree: dict[str, str]) -> dict[str, str]:
    return {path: sha for path, sha in tree.items() if path != ATTRIBUTES}


def first_and_second(hub: Any, make: Callable[..., ReleasePlan]) -> tuple[ReleasePlan, Published]:
    publish(connected(hub), make("0.1.0"))
    second = make("0.2.0")
    return second, publish(connected(hub), second)


# --- one transaction


@pytest.mark.usefixtures("reading_back")
def test_a_version_is_one_commit_on_main_and_a_tag_on_it(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    _, done = first_and_second(hub, make)
    assert commits_of(hub, repo) == ["Release v0.2.0", "Release v0.1.0", "initial commit"]
    assert tags_of(hub, repo)["v0.2.0"] == done.commit
    assert done.changes == "default: 1 row changed (completion); words: Changes"
    assert done.sent == (
        "README.md",
        "data/default/train-00000-of-00001.parquet",
        "manifest.json",
    )
    refs = hub.api().list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    assert [branch.name for branch in refs.branches] == ["main"]
    assert refs.pull_requests == []


def test_the_tag_holds_the_release_folder_to_the_byte(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], tmp_path: Path
) -> None:
    what = make("0.1.0")
    publish(connected(hub), what)
    release(what.draft, what.schemas, tmp_path / "folder", what.words, repository=repo)
    held = without_attributes(tree_of(hub, repo, "v0.1.0"))
    assert held == ids_of(tmp_path / "folder")


def test_the_same_release_again_makes_no_commit_and_no_tag(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    second, done = first_and_second(hub, make)
    before = commits_of(hub, repo), tags_of(hub, repo)
    again = publish(connected(hub), second)
    assert (again.changed, again.tagged, again.commit) == (False, False, done.commit)
    assert (commits_of(hub, repo), tags_of(hub, repo)) == before


@pytest.mark.usefixtures("reading_back")
def test_files_are_uploaded_before_the_commit_and_read_back_before_the_tag(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    first = make("0.1.0")
    publish(connected(hub), first)
    mark = len(hub.requests())
    rows = changed(first.draft.rows(), repo)  # which no other set has
    done = publish(connected(hub), make("0.2.0", rows=rows))
    lines = [f"{line.method} {line.path}" for line in hub.requests()[mark:]]
    commits = [n for n, line in enumerate(lines) if f"{repo}/commit/main" in line]
    puts = [n for n, line in enumerate(lines) if line.startswith("PUT /lfs/")]
    reads = [n for n, line in enumerate(lines) if f"resolve/{done.commit}/data/" in line]
    tags = [n for n, line in enumerate(lines) if f"/tag/{done.commit}" in line]
    assert len(commits) == 1
    assert max(puts) < commits[0] < min(reads) <= max(reads) < tags[0]


@pytest.mark.usefixtures("reading_back")
def test_a_version_that_does_not_read_back_gets_no_tag(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(connected(hub), make("0.1.0"))
    second = make("0.2.0")
    read_back = publishing.read_back

    def of_another_draft(at: HubConnection, repository: str, sha: str, folder: Path) -> None:
        release(make("0.3.0").draft, second.schemas, folder.with_name("other"), second.words)
        read_back(at, repository, sha, folder.with_name("other"))

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "read_back", of_another_draft)
        with pytest.raises(HubError, match=r"config 'default', row 0: reads back as .*0\.2\.0"):
            publish(connected(hub), second)
    assert list(tags_of(hub, repo)) == ["v0.1.0"]
    done = publish(connected(hub), second)  # nothing was wrong but the comparison
    assert (done.changed, tags_of(hub, repo)["v0.2.0"]) == (False, done.commit)
    assert commits_of(hub, repo)[:2] == ["Release v0.2.0", "Release v0.1.0"]


@pytest.mark.usefixtures("reading_back")
def test_more_than_50_shards_are_one_commit_and_old_shards_go_with_it(
    hub: Any,
    repo: str,
    make: Callable[..., ReleasePlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"id": f"{n:016x}", "prompt": user(f"{n} {n}?"), "completion": assistant(str(2 * n))}
        for n in range(6_000)
    ]
    monkeypatch.setattr("builders.drafting.files.ROW_GROUP", 100)  # a shard has one at least
    what = make("0.1.0", rows=rows)
    small = what.draft.file("default").stat().st_size // 60
    monkeypatch.setattr(publishing, "release", functools.partial(release, shard_bytes=small))
    done = publish(connected(hub), what)
    shards = [path for path in tree_of(hub, repo) if path.startswith("data/default/")]
    assert len(shards) > 50
    assert done.files == len(shards) + 4
    assert commits_of(hub, repo) == ["Release v0.1.0", "initial commit"]
    monkeypatch.setattr(publishing, "release", functools.partial(release, shard_bytes=SHARD_BYTES))
    done = publish(connected(hub), make("0.2.0", rows=changed(rows, "0.2.0")))
    assert set(done.removed) == set(shards)
    assert [path for path in tree_of(hub, repo) if path.startswith("data/default/")] == [
        "data/default/train-00000-of-00001.parquet"
    ]
    assert len(commits_of(hub, repo)) == 3


def test_files_that_are_not_part_of_a_release_stay_as_they_are(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    hub.api().upload_file(
        path_or_fileobj=b"mine", path_in_repo="LICENSE", repo_id=repo, repo_type="dataset"
    )
    assert publish(connected(hub), make("0.2.0")).removed == ()
    assert {"LICENSE", ATTRIBUTES} <= set(tree_of(hub, repo))


def test_a_repository_with_something_else_in_it_is_refused(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    hub.api().upload_file(
        path_or_fileobj=b"a,b\n", path_in_repo="data/theirs.csv", repo_id=repo, repo_type="dataset"
    )
    with pytest.raises(InputError, match=r"holds 'data/theirs.csv' and no manifest.json"):
        publish(connected(hub), make("0.1.0"))
    assert "data/theirs.csv" in tree_of(hub, repo)


# --- what forbids a release


def test_a_version_number_that_is_too_small_sends_nothing(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    first = make("0.1.0")
    publish(connected(hub), first)
    before = tree_of(hub, repo), tags_of(hub, repo)
    other = make("0.1.1", rows=changed(first.draft.rows(), "other"))
    with pytest.raises(
        InputError, match=r"1 row of 'default' was changed \([0-9a-f]{16}\).* minor"
    ):
        publish(connected(hub), other)
    same_number = make("0.1.0", rows=changed(first.draft.rows(), "other"))
    with pytest.raises(InputError, match=r"version 0\.1\.0 is already released"):
        publish(connected(hub), same_number)
    assert (tree_of(hub, repo), tags_of(hub, repo)) == before


def test_contributed_rows_are_in_the_next_version_or_it_is_refused(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], tmp_path: Path
) -> None:
    first = make("0.1.0")
    publish(connected(hub), first)
    row = next(first.draft.stream("default"))
    given = [contribution("changed", row, contributor="ann", pull_request=1, commit="c" * 40)]
    write_parquet(tmp_path / "given.parquet", CONTRIBUTED, given)
    hub.api().upload_file(
        path_or_fileobj=tmp_path / "given.parquet",
        path_in_repo="data/contributed/train-00000-of-00001.parquet",
        repo_id=repo,
        repo_type="dataset",
    )
    with pytest.raises(InputError, match=r"lacks 1 contributed row of .* --contributed "):
        publish(connected(hub), make("0.2.0"))
    second = make("0.2.0")
    schemas = {**second.schemas, CONFIG: CONTRIBUTED}
    rows = {config: second.draft.rows(config) for config in second.schemas}
    draft = write_draft(
        tmp_path / "next",
        schemas,
        {**rows, CONFIG: given},
        lambda: second.draft.facts,
        second.draft.run,
    )
    publish(connected(hub), replace(second, draft=draft, schemas=schemas))
    path = "data/contributed/train-00000-of-00001.parquet"
    assert path in tree_of(hub, repo, "v0.2.0")
    hub.api().delete_file(path, repo, repo_type="dataset")
    with pytest.raises(InputError, match=rf"would undo it: {path} \(row {given[0]['id']}\);"):
        publish(connected(hub), replace(make("0.3.0"), draft=draft, schemas=schemas))


def test_another_draft_with_the_number_of_an_unfinished_release_is_refused(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    second, _ = first_and_second(hub, make)
    hub.api().delete_tag(repo, tag="v0.2.0", repo_type="dataset")  # as if it had been stopped
    other = make("0.2.0", rows=changed(second.draft.rows(), "other"))
    with pytest.raises(InputError, match=r"holds another v0\.2\.0 without a tag"):
        publish(connected(hub), other)
    ended = publish(connected(hub), second)
    assert (ended.changed, ended.tagged) == (False, True)
    assert tags_of(hub, repo)["v0.2.0"] == ended.commit


# --- others commit at the same time


def other_commit(hub: Any, repo: str, path: str = "notes.txt", text: str = "a") -> None:
    hub.api().upload_file(
        path_or_fileobj=text.encode(), path_in_repo=path, repo_id=repo, repo_type="dataset"
    )


def test_a_release_shows_its_steps_and_the_bytes_sent(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.hub.publish._BYTES_PER_STEP", 1)
    notes: list[str] = []
    plan = make("0.1.0")
    done = publish(connected(hub), plan, notify=notes.append)
    sent = [note for note in notes if note.startswith("sent ")]
    assert [note.split()[0] for note in notes if note not in sent] == [
        *("comparing", "making", "sending", "reading", "tagging")
    ]
    assert notes[0] == f"comparing with main of {repo}" and len(sent) == len(done.sent)
    so_far = [int(note.split()[-4].replace(",", "")) for note in sent]
    assert so_far == sorted(so_far) and so_far[-1] == done.sent_bytes
    assert sent[-1].endswith(f"of {done.sent_bytes:,} bytes")
    notes.clear()
    assert not publish(connected(hub), plan, dry_run=True, notify=notes.append).changed
    assert [note.split()[0] for note in notes] == ["comparing", "making"]


def test_texts_in_other_languages_than_declared_are_a_warning_wherever_a_release_goes(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    prompts = [f"Erkläre bitte den Unterschied zwischen Wetter und Klima in {n}." for n in "abc"]
    rows = [
        {"id": f"{n:016x}", "prompt": user(prompt), "completion": assistant("Gerne.")}
        for n, prompt in enumerate(prompts)
    ]
    for how in ({"dry_run": True}, {"pull_request": True}, {"branch": "next"}, {}):
        notes: list[str] = []
        plan = replace(make("0.2.0", rows=rows), branch=how.pop("branch", None))
        publish(connected(hub), plan, notify=notes.append, **how)
        (warning,) = (note for note in notes if note.startswith("warning: "))
        assert "the language is en, but the texts are de 50 %" in warning
        assert not [n for n in notes[: notes.index(warning)] if n.startswith("sending")]


def test_a_main_that_moved_once_is_compared_again_and_released_on_top(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    notes: list[str] = []

    def note(line: str) -> None:
        if line.startswith("sending") and not any("moved in" in line for line in notes):
            other_commit(hub, repo)
        notes.append(line)

    publish(connected(hub), make("0.2.0"), notify=note)
    assert [line for line in notes if "moved in" in line] == [
        f"main of {repo} moved in the meantime; comparing again"
    ]
    assert commits_of(hub, repo)[0] == "Release v0.2.0"
    assert "notes.txt" in tree_of(hub, repo, "v0.2.0")


def test_a_main_that_moves_again_is_left_alone_with_a_clear_error(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    before = tree_of(hub, repo)
    moves = iter(range(9))

    def note(line: str) -> None:
        if line.startswith("sending"):
            other_commit(hub, repo, text=str(next(moves)))

    with pytest.raises(HubError, match=r"moved again while v0\.2\.0 was sent"):
        publish(connected(hub), make("0.2.0"), notify=note)
    assert next(moves) == 2
    left = tree_of(hub, repo)
    left.pop("notes.txt")
    assert left == before


def test_of_two_releases_at_once_one_wins_and_the_other_is_refused_with_the_reason(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    rows = make("0.1.0").draft.rows()
    both = [make("0.2.0", rows=changed(rows, name)) for name in ("ours", "theirs")]
    at_once = threading.Barrier(2)
    done: dict[int, Published] = {}
    refused: dict[int, str] = {}

    def run(number: int) -> None:
        met: list[str] = []

        def note(line: str) -> None:
            if line.startswith("sent") and not met:
                met.append(line)
                at_once.wait(60)

        try:
            done[number] = publish(connected(hub), both[number], notify=note)
        except PotstillError as error:
            refused[number] = str(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner], [why] = done.values(), refused.values()
    assert "v0.2.0" in why or "0.2.0 is already released" in why
    assert tags_of(hub, repo)["v0.2.0"] == winner.commit
    assert commits_of(hub, repo)[:2] == ["Release v0.2.0", "Release v0.1.0"]


def test_a_tag_that_somebody_else_set_in_the_meantime_is_not_taken_for_ours(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(connected(hub), make("0.1.0"))

    def tagged(*_: Any) -> None:
        hub.api().create_tag(repo, repo_type="dataset", tag="v0.2.0", revision=first.commit)

    monkeypatch.setattr(publishing, "read_back", tagged)
    with pytest.raises(HubError, match=rf"v0\.2\.0 at {str(first.commit)[:12]}, not at"):
        publish(connected(hub), make("0.2.0"))
    assert tags_of(hub, repo) == {"v0.1.0": first.commit, "v0.2.0": first.commit}


def test_a_release_links_to_the_files_of_a_draft_and_leaves_them_unchanged(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(connected(hub), make("0.1.0"))
    second = make("0.2.0")
    parquet = sorted(second.draft.folder.glob("*.parquet"))
    before = {path: path.read_bytes() for path in parquet}
    links: list[int] = []
    made = publishing.release

    def noting(*words: Any, **more: Any) -> bool:
        links.extend(path.stat().st_nlink for path in parquet)
        return made(*words, **more)

    monkeypatch.setattr(publishing, "release", noting)
    publish(connected(hub), second)
    assert max(links) > 1  # what the version before has too was not fetched
    assert {path: path.read_bytes() for path in parquet} == before
    assert {path.stat().st_nlink for path in parquet} == {1}


# --- pull requests


def pulls_of(hub: Any, repo: str) -> list[Any]:
    return list(hub.api().get_repo_discussions(repo, repo_type="dataset"))


@pytest.mark.usefixtures("reading_back")
def test_a_pull_request_holds_the_release_and_main_stays_as_it_was(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    before = tree_of(hub, repo)
    done = publish(connected(hub, "ann"), make("0.2.0"), pull_request=True)
    [pull] = pulls_of(hub, repo)
    assert (pull.num, pull.title, pull.author) == (done.pull_request, "Release v0.2.0", "ann")
    assert tree_of(hub, repo) == before
    assert list(tags_of(hub, repo)) == ["v0.1.0"]
    assert commits_of(hub, repo, f"refs/pr/{pull.num}")[:2] == ["Release v0.2.0", "Release v0.1.0"]


def test_a_second_release_updates_the_open_pull_request_of_its_user(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    ann = connected(hub, "ann")
    first = publish(ann, make("0.2.0"), pull_request=True)
    again = publish(ann, make("0.2.0"), pull_request=True)
    assert (again.changed, again.pull_request) == (False, first.pull_request)
    other = publish(ann, make("0.3.0"), pull_request=True)
    assert (other.changed, other.pull_request) == (True, first.pull_request)
    [pull] = pulls_of(hub, repo)
    assert pull.title == "Release v0.3.0"
    assert len(commits_of(hub, repo, f"refs/pr/{pull.num}")) == 4
    rival = publish(connected(hub, "bob"), make("0.3.0"), pull_request=True)
    assert rival.pull_request != first.pull_request


@pytest.mark.parametrize("as_pull_request", [False, True])
def test_after_a_merge_the_same_release_sets_the_tag(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], as_pull_request: bool
) -> None:
    publish(connected(hub), make("0.1.0"))
    number = publish(connected(hub, "ann"), make("0.2.0"), pull_request=True).pull_request
    api = hub.api()
    if api.get_discussion_details(repo, number, repo_type="dataset").status == "draft":
        api.change_discussion_status(repo, number, "open", repo_type="dataset")
    api.merge_pull_request(repo, number, repo_type="dataset")
    done = publish(connected(hub), make("0.2.0"), pull_request=as_pull_request)
    assert (done.changed, done.tagged, done.pull_request) == (False, True, None)
    assert tags_of(hub, repo)["v0.2.0"] == done.commit


def test_a_pull_request_from_an_older_main_is_closed_for_one_that_can_be_merged(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    ann = connected(hub, "ann")
    old = publish(ann, make("0.2.0"), pull_request=True)
    publish(connected(hub), make("0.3.0"))
    planned = publish(ann, make("0.4.0"), pull_request=True, dry_run=True)
    assert (planned.pull_request, planned.replaced) == (None, (old.pull_request,))
    new = publish(ann, make("0.4.0"), pull_request=True)
    assert new.replaced == (old.pull_request,)
    states = {pull.num: pull.status for pull in pulls_of(hub, repo)}
    assert states == {old.pull_request: "closed", new.pull_request: "open"}
    hub.api().merge_pull_request(repo, new.pull_request, repo_type="dataset")
    assert publish(connected(hub), make("0.4.0"), pull_request=True).tagged
    assert tree_of(hub, repo) == tree_of(hub, repo, "v0.4.0")


# --- branches


def branches_of(hub: Any, repo: str) -> dict[str, str]:
    refs = hub.api().list_repo_refs(repo, repo_type="dataset")
    return {branch.name: branch.target_commit for branch in refs.branches}


@pytest.mark.usefixtures("reading_back")
def test_a_branch_holds_the_release_and_main_and_the_tags_stay_as_they_were(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    before = branches_of(hub, repo)["main"], tags_of(hub, repo)
    second = replace(make("0.2.0"), branch="feat/next")
    done = publish(connected(hub), second)
    assert (done.changed, done.tagged) == (True, False)
    assert branches_of(hub, repo) == {"main": before[0], "feat/next": done.commit}
    assert tags_of(hub, repo) == before[1]
    assert commits_of(hub, repo, "feat/next")[:2] == ["Release v0.2.0", "Release v0.1.0"]
    again = publish(connected(hub), second)
    assert (again.changed, again.tagged, again.commit) == (False, False, done.commit)


def test_a_branch_takes_another_draft_of_a_version_that_is_not_out(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    first, second = (
        publish(connected(hub), replace(make("0.2.0", **how), branch="next"))
        for how in ({}, {"words": {"Limits": "Others."}})
    )
    assert first.commit != second.commit and second.changed
    assert commits_of(hub, repo, "next")[:2] == ["Release v0.2.0", "Release v0.2.0"]


def test_a_later_release_on_main_does_not_see_a_branch(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    publish(connected(hub), replace(make("0.3.0"), branch="next"))
    done = publish(connected(hub), make("0.2.0"))
    assert commits_of(hub, repo)[:2] == ["Release v0.2.0", "Release v0.1.0"]
    assert list(tags_of(hub, repo)) == ["v0.1.0", "v0.2.0"]
    assert done.changes == "default: 1 row changed (completion); words: Changes"
    later = publish(connected(hub), make("0.3.0"))
    assert tags_of(hub, repo)["v0.3.0"] == later.commit == branches_of(hub, repo)["main"]
    assert without_attributes(tree_of(hub, repo)) != tree_of(hub, repo, "next")


def test_a_new_repository_may_begin_with_a_branch(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    name = f"{repo}-begun"
    plan = replace(make("0.1.0", repository=name), branch="next")
    assert publish(connected(hub), plan, dry_run=True).files == 5
    publish(connected(hub), plan)
    assert commits_of(hub, name) == ["initial commit"] and tags_of(hub, name) == {}
    assert commits_of(hub, name, "next") == ["Release v0.1.0", "initial commit"]
    assert publish(connected(hub), make("0.1.0", repository=name)).tagged


def test_a_version_that_is_out_can_be_put_on_a_branch_too(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    done = publish(connected(hub), replace(make("0.1.0"), branch="next"))
    assert (done.changed, done.commit) == (False, branches_of(hub, repo)["next"])


def test_a_branch_that_cannot_be_told_from_main_a_version_or_a_commit_is_refused(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    hub.api().create_tag(repo, tag="gold", repo_type="dataset")
    no_branches = ["", "main", "HEAD", "v0.2.0", "1.0.0", "refs/pr/1", "a" * 40, "0123abc"]
    no_branches += ["a b", "a..b", "a b..c", "a//b", "/a", "a/", "a.", ".a", "a/.b", "a.lock", "-a"]
    no_branches += ["a.lock/b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{1}", "@", "a\n"]
    for name in [*no_branches, "x" * 300]:
        refused = rf"^{re.escape(repr(name))} cannot be the branch of a release; give"
        with pytest.raises(InputError, match=refused):
            publish(connected(hub), replace(make("0.2.0"), branch=name))
    with pytest.raises(InputError, match=f"'gold' is a tag of {repo}; give another name"):
        publish(connected(hub), replace(make("0.2.0"), branch="gold"))
    for name in ("a/b", "a-b_c.d", "äö", "next@home", "v1", "a.locked"):
        check_branch(name)
    with pytest.raises(InputError, match="a pull request is about main; leave out the branch 'ne"):
        publish(connected(hub), replace(make("0.2.0"), branch="next"), pull_request=True)
    assert [*branches_of(hub, repo)] == ["main"]


def test_a_dry_run_to_a_branch_makes_none(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    done = publish(connected(hub), replace(make("0.2.0"), branch="next"), dry_run=True)
    assert (done.changed, len(done.sent)) == (True, 3)
    assert [*branches_of(hub, repo)] == ["main"]


def test_a_withdrawn_version_is_marked_on_the_card_of_a_branch_made_before(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    publish(connected(hub), replace(make("0.2.0"), branch="next"))
    yank(connected(hub), repo, "v0.1.0", "two rows are wrong")
    done = publish(connected(hub), replace(make("0.2.0"), branch="next"))
    assert {"README.md", "advisories.json"} <= {*done.sent}
    path = hub.api().hf_hub_download(repo, "README.md", repo_type="dataset", revision=done.commit)
    assert "two rows are wrong" in Path(path).read_text()


# --- rights and visibility


@pytest.mark.usefixtures("reading_back")
@pytest.mark.parametrize("setting", [{"private": True}, {"gated": "manual"}])
def test_a_private_or_gated_set_stays_private_or_gated(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], setting: dict[str, Any]
) -> None:
    hub.api().update_repo_settings(repo, repo_type="dataset", **setting)
    publish(connected(hub), make("0.1.0"))
    info = hub.api().repo_info(repo, repo_type="dataset", expand=["private", "gated"])
    assert {name: getattr(info, name) for name in setting} == setting


def test_a_new_repository_is_private_if_requested(
    hub: Any, make: Callable[..., ReleasePlan], repo: str
) -> None:
    name = f"{repo}-new"
    publish(connected(hub), make("0.1.0", repository=name), private=True)
    assert hub.api().repo_info(name, repo_type="dataset").private is True
    with pytest.raises(HubError, match="no right to do this"):  # it does not reveal it
        publish(connected(hub, "ann"), make("0.1.0", repository=name))
    assert publish(connected(hub), make("0.1.0", repository=name), private=True).changed is False


@pytest.mark.parametrize("setting", [{}, {"gated": "manual"}])
def test_a_repository_that_others_can_read_receives_nothing_that_is_to_be_private(
    hub: Any, repo: str, make: Callable[..., ReleasePlan], setting: dict[str, Any]
) -> None:
    if setting:
        hub.api().update_repo_settings(repo, repo_type="dataset", **setting)
    seen = "gated" if setting else "public"
    with pytest.raises(InputError, match=f"{repo} exists and is {seen}, and only .*--private"):
        publish(connected(hub), make("0.1.0"), private=True)
    assert commits_of(hub, repo) == ["initial commit"]


def test_a_dry_run_needs_no_right_and_sends_nothing(
    hub: Any, repo: str, make: Callable[..., ReleasePlan]
) -> None:
    publish(connected(hub), make("0.1.0"))
    mark = len(hub.requests())
    nobody = HubConnection(endpoint=hub.endpoint, token=None)
    done = publish(nobody, make("0.2.0"), dry_run=True)
    assert (done.commit, done.changed, len(done.sent)) == (None, True, 3)
    assert done.changes.startswith("default: 1 row changed")
    assert {line.method for line in hub.requests()[mark:]} <= {"GET", "HEAD"}
    assert publish(nobody, make("0.1.0", repository=f"{repo}-none"), dry_run=True).files == 5


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("ann", "no right to do this"),
        ("stranger", "does not accept the token"),
        (None, "there is no token for"),
    ],
)
def test_a_user_without_the_right_to_write_is_refused_in_a_line_without_the_token(
    hub: Any, make: Callable[..., ReleasePlan], who: str | None, why: str
) -> None:
    publish(connected(hub), make("0.1.0"))
    tokens = {**hub.tokens, "stranger": "hf_" + "x" * 34, None: None}
    by = HubConnection(endpoint=hub.endpoint, token=tokens[who])
    with pytest.raises(HubError, match=why) as caught:
        publish(by, make("0.2.0"))
    assert str(tokens[who]) not in str(caught.value)
    assert str(tokens[who]) not in repr(by)


def test_a_hub_that_does_not_answer_is_reported_in_one_line(
    make: Callable[..., ReleasePlan], hub: Any, short_waits: None
) -> None:
    nowhere = HubConnection(endpoint="http://127.0.0.1:9", token="hf_none")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 does not answer"):
        publish(nowhere, make("0.1.0"))


# --- the command


@pytest.fixture
def outside(hub: Any, draft: Draft, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work folder of the draft, and a Hub and its token in the environment."""
    read_back_in_process(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", hub.tokens[OWNER])
    assert from_environment().endpoint == hub.endpoint
    return draft.folder.parents[2]


def test_the_command_prints_what_was_published_and_how_to_load_it(
    hub: Any, outside: Path, repo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["release", NAME, "--work", str(outside), "--to-hub", repo]
    assert main(words) == 0
    printed = capsys.readouterr().out
    commit = tags_of(hub, repo)["v0.1.0"]
    assert printed.startswith(f"releasing to {hub.endpoint}: {repo} (public)\n")
    assert f"v0.1.0 of {repo}: first version" in printed
    assert "sent 5 of 5 files" in printed
    assert f"commit {commit[:12]}, read back and compared, tag v0.1.0" in printed
    assert f'rows = load_dataset("{repo}", revision="v0.1.0", split="train")' in printed
    assert main(words) == 0
    assert f"{repo} has v0.1.0 already; nothing changed" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False


def test_a_dry_run_lists_the_files_and_names_the_version(
    hub: Any, outside: Path, repo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["release", NAME, "--work", str(outside), "--to-hub", repo, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"would release to {hub.endpoint}: {repo} (public)\n")
    assert "v0.1.0" in printed
    assert "would send 5 of 5 files" in printed
    assert "  + README.md" in printed
    assert tags_of(hub, repo) == {}


def test_a_release_as_a_pull_request_prints_a_link_that_opens_unless_the_set_is_private(
    hub: Any, outside: Path, repo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["release", NAME, "--work", str(outside), "--to-hub", repo, "--pr"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"releasing to {hub.endpoint}: {repo} (public) as a pull request\n")
    [url] = [line for line in printed.splitlines() if line.startswith("http")]
    status, _, body = hub.raw("GET", url.removeprefix(hub.endpoint), by=None)
    assert (status, b"Release v0.1.0" in body, b"manifest.json" in body) == (200, True, True)
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pull_request_url"] == url
    hub.api().update_repo_settings(repo, repo_type="dataset", private=True)
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "(private) as a pull request" in printed and "/discussions/" not in printed


def test_a_release_to_a_branch_prints_the_branch_and_loads_it(
    hub: Any, outside: Path, repo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["release", NAME, "--work", str(outside), "--to-hub", repo, "--branch", "next"]
    assert main([*words, "--dry-run"]) == 0
    first = f"releasing to {hub.endpoint}: {repo} (public) on the branch next\n"
    assert capsys.readouterr().out.startswith(first.replace("releasing", "would release"))
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(first)
    assert "of the branch next, read back and compared; no tag, and main is as it was" in printed
    assert f'load_dataset("{repo}", revision="next", split="train")' in printed
    assert main(words) == 0
    assert f"next of {repo} has v0.1.0; read back and compared" in capsys.readouterr().out
    assert main([*words, "--dry-run"]) == 0
    assert f"next of {repo} needs nothing sent to have v0.1.0" in capsys.readouterr().out


def test_leftovers_of_a_killed_release_are_removed_and_those_of_a_running_one_kept(
    tmp_path: Path,
) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    for process in (gone, str(os.getpid())):
        (tmp_path / f".releasing-{process}-x").mkdir()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".releasing-{os.getpid()}-x"]


@pytest.mark.slow
def test_without_a_token_the_set_goes_to_the_embedded_hub_where_anybody_can_read_it(
    draft: Draft, tmp_path: Path, potstill: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    home = tmp_path / "work" / NAME
    write_draft(
        home,
        planned(draft, tmp_path / "x", "0.1.0", "a/b").schemas,
        {path.stem: draft.rows(path.stem) for path in draft.folder.glob("*.parquet")},
        lambda: draft.facts,
        draft.run,
    )
    env = {**clean_environment(), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    for name in ("HF_ENDPOINT", "HF_TOKEN"):
        env.pop(name, None)
    done = potstill("release", NAME, env=env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"releasing to the embedded Hub on this machine \(http://127\.0\.0\.1:\d+\): "
        rf"{OWNER}/{NAME} \(new, public\)",
        lines[0],
    )
    snippet = [line for line in lines if "load_dataset" in line or "HF_ENDPOINT" in line]
    assert len(snippet) == 3
    assert f'"{OWNER}/{NAME}", revision="v0.1.0"' in snippet[2]
    assert any("potstill hub" in line for line in lines)
    again = potstill("release", NAME, env=env)
    assert "nothing changed" in again.stdout
    named = ("release", NAME, "--to-hub", "org/other", "--private")
    refused = potstill(*named, env=env)  # although there is an embedded Hub
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "there is no token for https://huggingface.co; run `hf auth login`" in refused.stderr
    asked_for = potstill(*named, "--hub-data", "work/hub", env=env)
    assert asked_for.returncode == 0 and "org/other (new, private)\n" in asked_for.stdout
    serving = subprocess.Popen(
        [sys.executable, "-m", "scripts.main", "hub"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("a Hub at http://127.0.0.1:")
        read = subprocess.run(
            [sys.executable, "-c", "\n".join([*snippet, "print(len(rows))"])],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert read.stdout.strip() == str(len(draft.rows())), read.stderr
    finally:
        serving.terminate()
        serving.wait(30)
        serving.stdout.close()


def test_a_download_that_gets_no_answer_is_not_reported_as_a_missing_file(
    hub: Any, tmp_path: Path, short_waits: None
) -> None:
    silent = HubConnection(endpoint="http://127.0.0.1:9", token=None)
    at = {"repo_id": "org/set", "repo_type": "dataset"}
    with pytest.raises(HubError, match="does not answer"), client_errors(silent, "org/set"):
        download(silent.api(), at, "README.md", "0" * 40, tmp_path / "to")


@each("body", ['{"object": "list"}', "[]", "null", "5", '{"id": 5}'])
def test_an_answer_of_another_shape_is_not_a_hub_s(body: str, hub: Any) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        odd = HubConnection(endpoint=f"http://127.0.0.1:{server.server_port}", token=None)
        with pytest.raises(HubError, match="does not answer as a Hub does"):
            versions(odd, "org/set")
        server.shutdown()
