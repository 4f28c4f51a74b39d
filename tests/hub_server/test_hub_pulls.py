"""Pull requests and discussions on the embedded Hub, as the client's own classes see them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hubs import OWNER, Hub, git, refused_with


def push(
    hub: Hub, repo: str, files: Mapping[str, bytes | None], *, by: str = OWNER, **more: Any
) -> Any:
    """Adds files, or deletes those whose content is None."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    return hub.api(by).create_commit(
        repo,
        [
            CommitOperationDelete(path) if data is None else CommitOperationAdd(path, data)
            for path, data in files.items()
        ],
        commit_message=more.pop("message", "a change"),
        repo_type="dataset",
        **more,
    )


def listed(hub: Hub, repo: str, revision: str = "main") -> set[str]:
    api = hub.api(None)
    return {*api.list_repo_files(repo, repo_type="dataset", revision=revision)} - {".gitattributes"}


def text(hub: Hub, repo: str, path: str, revision: str = "main") -> bytes:
    file = hub.api(None).hf_hub_download(repo, path, repo_type="dataset", revision=revision)
    return Path(file).read_bytes()


def details(hub: Hub, repo: str, number: int) -> Any:
    return hub.api(None).get_discussion_details(repo, number, repo_type="dataset")


def test_a_stranger_s_pull_request_is_seen_on_its_reference_only(hub: Hub, repo: str) -> None:
    push(hub, repo, {"a.txt": b"1", "rows.parquet": b"old" * 100})
    head = hub.api().dataset_info(repo).sha
    commit = push(
        hub, repo, {"b.txt": b"2", "rows.parquet": b"new" * 100}, by="ann", create_pr=True
    )
    assert (commit.pr_num, commit.pr_revision) == (1, "refs/pr/1")
    assert commit.pr_url == f"{hub.endpoint}/datasets/{repo}/discussions/1"
    assert listed(hub, repo) == {"a.txt", "rows.parquet"}
    assert hub.api().dataset_info(repo).sha == head
    assert listed(hub, repo, "refs/pr/1") == {"a.txt", "b.txt", "rows.parquet"}
    assert text(hub, repo, "rows.parquet", "refs/pr/1") == b"new" * 100
    refs = hub.api().list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [
        ("refs/pr/1", commit.oid)
    ]
    assert [branch.name for branch in refs.branches] == ["main"]


def test_a_merge_brings_exactly_the_difference(hub: Hub, repo: str, tmp_path: Path) -> None:
    push(hub, repo, {"a.txt": b"1", "gone.txt": b"1", "kept.txt": b"1", "rows.parquet": b"old"})
    push(
        hub,
        repo,
        {"a.txt": b"2", "gone.txt": None, "new/b.txt": b"2", "rows.parquet": b"new"},
        by="ann",
        create_pr=True,
    )
    pull = details(hub, repo, 1)
    assert (pull.is_pull_request, pull.status, pull.author) == (True, "open", "ann")
    assert pull.target_branch == "refs/heads/main"
    assert pull.conflicting_files in (None, [])
    for path in ("a.txt", "gone.txt", "new/b.txt", "rows.parquet"):
        assert path in pull.diff
    assert "kept.txt" not in pull.diff

    push(hub, repo, {"kept.txt": b"moved on"})
    hub.api().merge_pull_request(repo, 1, repo_type="dataset", comment="thank you")
    assert listed(hub, repo) == {"a.txt", "kept.txt", "new/b.txt", "rows.parquet"}
    assert text(hub, repo, "kept.txt") == b"moved on"
    assert text(hub, repo, "a.txt") == b"2"
    assert text(hub, repo, "rows.parquet") == b"new"
    pull = details(hub, repo, 1)
    assert pull.status == "merged"
    assert pull.merge_commit_oid == hub.api().dataset_info(repo).sha
    clone = hub.clone(repo, tmp_path / "clone")
    changed = git(clone, "diff", "--name-status", "HEAD~1", "HEAD").split()
    assert changed == ["M", "a.txt", "D", "gone.txt", "A", "new/b.txt", "M", "rows.parquet"]


def test_more_commits_go_to_an_open_pull_request(hub: Hub, repo: str) -> None:
    push(hub, repo, {"a.txt": b"1"}, by="ann", create_pr=True)
    second = push(hub, repo, {"b.txt": b"2"}, by="ann", revision="refs/pr/1")
    push(hub, repo, {"c.txt": b"3"}, by=OWNER, revision="refs/pr/1")  # an owner may push too
    assert listed(hub, repo, "refs/pr/1") == {"a.txt", "b.txt", "c.txt"}
    commits = [event for event in details(hub, repo, 1).events if event.type == "commit"]
    assert second.oid in {event.oid for event in commits}
    with pytest.raises(Exception, match="403"):
        push(hub, repo, {"d.txt": b"4"}, by="bob", revision="refs/pr/1")


@pytest.mark.parametrize("end", ["closed", "merged"])
def test_nothing_is_pushed_to_a_closed_or_merged_pull_request(
    hub: Hub, repo: str, end: str
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    push(hub, repo, {"a.txt": b"1"}, by="ann", create_pr=True)
    if end == "merged":
        hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    else:
        hub.api().change_discussion_status(repo, 1, "closed", repo_type="dataset")
    for by in ("ann", OWNER):
        with pytest.raises(HfHubHTTPError) as caught:
            push(hub, repo, {"late.txt": b"2"}, by=by, revision="refs/pr/1")
        assert caught.value.response.status_code == 403
    assert "late.txt" not in listed(hub, repo, "refs/pr/1")
    with pytest.raises(HfHubHTTPError) as caught:
        hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    assert caught.value.response.status_code in (400, 409)


def test_a_closed_pull_request_can_be_opened_again_and_merged(hub: Hub, repo: str) -> None:
    push(hub, repo, {"a.txt": b"1"}, by="ann", create_pr=True)
    api = hub.api("ann")
    closed = api.change_discussion_status(repo, 1, "closed", repo_type="dataset", comment="wait")
    assert closed.new_status == "closed"
    assert api.change_discussion_status(repo, 1, "open", repo_type="dataset").new_status == "open"
    hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    assert listed(hub, repo) == {"a.txt"}


@pytest.mark.parametrize("name", ["a.txt", "rows.parquet"])
def test_a_conflict_is_named_and_keeps_main_as_it_is(hub: Hub, repo: str, name: str) -> None:
    push(hub, repo, {name: b"base\n", "calm.txt": b"1"})
    push(hub, repo, {name: b"theirs\n", "calm.txt": b"2"}, by="ann", create_pr=True)
    head = push(hub, repo, {name: b"ours\n"}).oid
    assert details(hub, repo, 1).conflicting_files == [name]
    with pytest.raises(Exception, match="409") as caught:
        hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    assert refused_with(caught.value) == ("HfHubHTTPError", 409)
    assert hub.api().dataset_info(repo).sha == head
    assert text(hub, repo, name) == b"ours\n"
    assert details(hub, repo, 1).status == "open"
    push(hub, repo, {name: b"ours\n"}, by="ann", revision="refs/pr/1")  # the conflict is resolved
    hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    assert text(hub, repo, "calm.txt") == b"2"


def test_a_pull_request_may_be_opened_empty_and_filled_later(hub: Hub, repo: str) -> None:
    push(hub, repo, {"a.txt": b"1"})
    opened = hub.api("ann").create_pull_request(
        repo, "Better rows", description="They are better.", repo_type="dataset"
    )
    assert (opened.num, opened.status, opened.is_pull_request) == (1, "draft", True)
    assert opened.git_reference == "refs/pr/1"
    assert listed(hub, repo, "refs/pr/1") == {"a.txt"}
    push(hub, repo, {"b.txt": b"2"}, by="ann", revision="refs/pr/1")
    hub.api("ann").change_discussion_status(repo, 1, "open", repo_type="dataset")
    hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    assert listed(hub, repo) == {"a.txt", "b.txt"}


def test_a_discussion_is_commented_edited_renamed_hidden_and_closed(hub: Hub, repo: str) -> None:
    ann, api = hub.api("ann"), hub.api()
    opened = ann.create_discussion(
        repo, "A question", description="What is *this*?", repo_type="dataset"
    )
    assert (opened.num, opened.is_pull_request, opened.git_reference) == (1, False, None)
    comment = api.comment_discussion(repo, 1, "<b>That</b> \U0001f43b", repo_type="dataset")
    assert (comment.content, comment.author, comment.edited) == (
        "<b>That</b> \U0001f43b",
        OWNER,
        False,
    )
    assert "<b>" not in comment.rendered
    changed = api.edit_discussion_comment(repo, 1, comment.id, "Those", repo_type="dataset")
    assert (changed.content, changed.edited, changed.number_of_edits) == ("Those", True, 1)
    renamed = ann.rename_discussion(repo, 1, "A better question", repo_type="dataset")
    assert (renamed.old_title, renamed.new_title) == ("A question", "A better question")
    with pytest.warns(UserWarning, match="irreversible"):
        hidden = api.hide_discussion_comment(repo, 1, comment.id, repo_type="dataset")
    assert hidden.hidden
    ann.change_discussion_status(repo, 1, "closed", repo_type="dataset")
    found = details(hub, repo, 1)
    assert (found.title, found.status) == ("A better question", "closed")
    assert [event.type for event in found.events] == [
        "comment",
        "comment",
        "title-change",
        "status-change",
    ]
    assert "Those" not in str([vars(event) for event in found.events])


@pytest.mark.filterwarnings("ignore:Hidden comments:UserWarning")
def test_only_its_author_or_an_owner_changes_a_comment(hub: Hub, repo: str) -> None:
    ann, bob = hub.api("ann"), hub.api("bob")
    ann.create_discussion(repo, "A question", description="mine", repo_type="dataset")
    comment = details(hub, repo, 1).events[0]
    for change in (
        lambda: bob.edit_discussion_comment(repo, 1, comment.id, "yours", repo_type="dataset"),
        lambda: bob.hide_discussion_comment(repo, 1, comment.id, repo_type="dataset"),
        lambda: bob.rename_discussion(repo, 1, "Not yours", repo_type="dataset"),
        lambda: bob.change_discussion_status(repo, 1, "closed", repo_type="dataset"),
        lambda: hub.api().edit_discussion_comment(repo, 1, comment.id, "his", repo_type="dataset"),
    ):
        with pytest.raises(Exception, match="403"):
            change()
    found = details(hub, repo, 1)
    assert (found.title, found.status, found.events[0].content) == ("A question", "open", "mine")


def test_what_does_not_exist_cannot_be_discussed_or_merged(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    hub.api().create_discussion(repo, "A question", repo_type="dataset")
    for act, status in (
        (lambda: details(hub, repo, 7), {404}),
        (lambda: hub.api().comment_discussion(repo, 7, "x", repo_type="dataset"), {404}),
        (lambda: hub.api().merge_pull_request(repo, 7, repo_type="dataset"), {404}),
        (lambda: hub.api().merge_pull_request(repo, 1, repo_type="dataset"), {400}),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            act()
        assert caught.value.response.status_code in status


def test_discussions_are_found_by_kind_status_and_author(hub: Hub, repo: str) -> None:
    hub.api("ann").create_discussion(repo, "First of ann", repo_type="dataset")
    hub.api("bob").create_pull_request(repo, "Second of bob", repo_type="dataset")
    hub.api("ann").create_pull_request(repo, "Third of ann", repo_type="dataset")
    hub.api("ann").change_discussion_status(repo, 1, "closed", repo_type="dataset")

    def found(**filters: str) -> list[int]:
        discussions = hub.api(None).get_repo_discussions(repo, repo_type="dataset", **filters)
        return sorted(discussion.num for discussion in discussions)

    assert found() == [1, 2, 3]
    assert found(author="ann") == [1, 3]
    assert found(discussion_type="pull_request") == [2, 3]
    assert found(discussion_type="discussion") == [1]
    assert found(discussion_status="open") == [2, 3]
    assert found(discussion_status="closed") == [1]
    assert found(discussion_status="open", author="bob") == [2]


def test_a_pull_request_can_be_cloned_and_its_number_is_never_given_twice(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    commit = push(hub, repo, {"a.txt": b"1"}, by="ann", create_pr=True)
    assert push(hub, repo, {"b.txt": b"1"}, by="bob", create_pr=True).pr_num == 2
    clone = hub.clone(repo, tmp_path / "clone")
    git(clone, "fetch", "--quiet", "origin", "refs/pr/1")
    assert git(clone, "rev-parse", "FETCH_HEAD") == commit.oid
    assert hub.api().create_discussion(repo, "A third", repo_type="dataset").num == 3
