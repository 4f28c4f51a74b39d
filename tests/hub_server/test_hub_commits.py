"""A commit on the embedded Hub is made as a whole, once and on its parent, or not at all."""

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from tests.hubs import OWNER, Hub, git, refused_with, sha256


def add(hub: Hub, repo: str, *, parent: str | None = None, by: str = OWNER, **files: bytes) -> Any:
    """Adds files; a double underscore in a name means a dot."""
    from huggingface_hub import CommitOperationAdd

    return hub.api(by).create_commit(
        repo,
        [CommitOperationAdd(name.replace("__", "."), data) for name, data in files.items()],
        commit_message="add",
        repo_type="dataset",
        parent_commit=parent,
    )


def state(hub: Hub, repo: str) -> tuple[Any, ...]:
    """Everything that a commit could change: branches, tags, pull requests and their heads."""
    api = hub.api()
    refs = api.list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    pulls = [
        (discussion.num, discussion.status)
        for discussion in api.get_repo_discussions(repo, repo_type="dataset")
    ]
    named = [*refs.branches, *refs.tags, *(refs.pull_requests or [])]
    return ([(ref.ref, ref.target_commit) for ref in named], pulls)


def text(hub: Hub, repo: str, path: str, revision: str = "main") -> bytes:
    file = hub.api().hf_hub_download(repo, path, repo_type="dataset", revision=revision)
    return Path(file).read_bytes()


def test_a_commit_whose_parent_is_no_longer_the_head_changes_nothing(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    old = hub.api().dataset_info(repo).sha
    add(hub, repo, a__txt=b"1", parent=old)
    before = state(hub, repo)
    with pytest.raises(HfHubHTTPError) as caught:
        add(hub, repo, a__txt=b"2", b__parquet=b"large", parent=old)
    assert refused_with(caught.value) == ("HfHubHTTPError", 412)
    assert state(hub, repo) == before
    assert text(hub, repo, "a.txt") == b"1"


def test_concurrent_commits_are_all_made_in_a_linear_history(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    failures: list[HfHubHTTPError] = []

    def push(number: int) -> None:
        try:
            add(hub, repo, **{f"file{number}__txt": b"%d" % number})
        except HfHubHTTPError as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    clone = hub.clone(repo, tmp_path / "clone")
    assert {path.name: path.read_text() for path in clone.glob("file*.txt")} == {
        f"file{number}.txt": str(number) for number in range(12)
    }
    assert len(git(clone, "rev-list", "HEAD").split()) == 13
    assert git(clone, "rev-list", "--merges", "HEAD") == ""


def test_of_two_commits_on_the_same_parent_one_wins(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    parent = hub.api().dataset_info(repo).sha
    statuses: list[int] = []

    def push(number: int) -> None:
        try:
            add(hub, repo, parent=parent, **{f"file{number}__txt": b"x"})
            statuses.append(200)
        except HfHubHTTPError as error:
            statuses.append(error.response.status_code)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7
    assert len(hub.api().list_repo_commits(repo, repo_type="dataset")) == 2


def put(path: str, content: bytes = b"x") -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def large(path: str, data: bytes = b"nobody uploaded this", **more: Any) -> dict[str, Any]:
    value = {"path": path, "algo": "sha256", "oid": sha256(data), "size": len(data)}
    return {"key": "lfsFile", "value": value | more}


BAD_LINES = {
    "a large file that nobody uploaded": large("data/x.parquet"),
    "a large file with another size": large("data/x.parquet", b"held", size=5),
    "a hash that is not one": large("data/x.parquet", oid="../../x"),
    "another hash": large("data/x.parquet", algo="md5"),
    "a path out of the repository": put("../x.txt"),
    "a file in a file": put("there.txt/x.txt"),
    "a file over a folder": put("folder"),
    "content that is not base64": {
        "key": "file",
        "value": {"path": "y", "content": "*", "encoding": "base64"},
    },
    "content of no known encoding": {
        "key": "file",
        "value": {"path": "y", "content": "*", "encoding": "base65"},
    },
    "a file that cannot be deleted": {"key": "deletedFile", "value": {"path": "nowhere.txt"}},
    "a folder that cannot be deleted": {"key": "deletedFolder", "value": {"path": "nowhere"}},
    "an unknown line": {"key": "chmod", "value": {"path": "there.txt"}},
    "a card that is not YAML": put("README.md", b"---\nlicense: [mit\n---\n"),
    "a card with an unknown licence": put("README.md", b"---\nlicense: my-own\n---\n"),
    "a value that is not an object": {"key": "file", "value": 3},
    "no value": {"key": "file"},
}


@pytest.mark.parametrize("revision", ["main", "main?create_pr=1"])
def test_one_bad_line_prevents_the_whole_commit(hub: Hub, repo: str, revision: str) -> None:
    add(hub, repo, there__txt=b"1", old__txt=b"1", **{"folder/x__txt": b"2"})
    before = state(hub, repo)
    good = [put("good.txt"), {"key": "deletedFile", "value": {"path": "old.txt"}}]
    for name, line in BAD_LINES.items():
        status, response = hub.commit_lines(repo, *good, line, put("later.txt"), revision=revision)
        assert status in (400, 404, 422), name
        assert response["error"], name
        assert state(hub, repo) == before, name


@each(
    "body",
    [
        b"",
        b"not json\n",
        b"[]\n",
        b'{"key": "file", "value": {"path": "a", "content": ""}}\n',
        b'{"key": "header", "value": {"summary": 3}}\n',
        b'{"key": "header"}\n',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "val',
        b"\xff\xfe\n",
        b"[" * 100_000,
    ],
)
def test_an_invalid_commit_is_refused(hub: Hub, repo: str, body: bytes) -> None:
    before = state(hub, repo)
    status, _, _ = hub.raw("POST", f"/api/datasets/{repo}/commit/main", body)
    assert status in (400, 422)
    assert state(hub, repo) == before


def test_a_commit_that_changes_nothing_is_not_made(hub: Hub, repo: str) -> None:
    files = {"a__txt": b"text", "b__parquet": b"large" * 1000}
    first = add(hub, repo, **files)
    assert add(hub, repo, **files).oid == first.oid
    assert len(hub.api().list_repo_commits(repo, repo_type="dataset")) == 2
    changed = add(hub, repo, **{**files, "b__parquet": b"large" * 999 + b"lArge"})
    assert changed.oid != first.oid
    assert text(hub, repo, "b.parquet").endswith(b"lArge")
    assert len(hub.api().list_repo_commits(repo, repo_type="dataset")) == 3


def test_the_same_bytes_are_not_sent_twice(hub: Hub, repo: str) -> None:
    data = b"rows" * 50_000
    add(hub, repo, a__parquet=data)
    before = len(hub.requests())
    add(hub, repo, b__parquet=data, a__parquet=data)
    assert [line.path for line in hub.requests()[before:] if line.method == "PUT"] == []
    assert text(hub, repo, "b.parquet") == data


@pytest.mark.parametrize("name", ["a.txt", "a.parquet"])
def test_deleting_and_adding_the_same_bytes_in_one_commit_leaves_the_file(
    hub: Hub, repo: str, name: str
) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    data = b"the same" * 100
    add(hub, repo, **{name.replace(".", "__"): data})
    hub.api().create_commit(
        repo,
        [CommitOperationDelete(name), CommitOperationAdd(name, data)],
        commit_message="again",
        repo_type="dataset",
    )
    assert text(hub, repo, name) == data


def test_files_are_copied_within_a_repository(hub: Hub, repo: str) -> None:
    from huggingface_hub import CommitOperationCopy

    add(hub, repo, **{"a__txt": b"small", "b__parquet": b"large" * 100, "c/d__txt": b"deep"})
    hub.api().create_commit(
        repo,
        [
            CommitOperationCopy("a.txt", "new/a.txt"),
            CommitOperationCopy("b.parquet", "new/b.parquet"),
        ],
        commit_message="copy",
        repo_type="dataset",
    )
    assert text(hub, repo, "new/a.txt") == b"small"
    assert text(hub, repo, "new/b.parquet") == b"large" * 100
    assert text(hub, repo, "a.txt") == b"small"


def test_files_and_folders_are_deleted(hub: Hub, repo: str) -> None:
    files = {"a__txt": b"1", "c/d__txt": b"2", "c/e/f__parquet": b"3", "g/h__txt": b"4"}
    add(hub, repo, **files)
    api = hub.api()
    api.delete_folder("c", repo, repo_type="dataset")
    assert set(api.list_repo_files(repo, repo_type="dataset")) == {
        ".gitattributes",
        "a.txt",
        "g/h.txt",
    }
    api.delete_file("g/h.txt", repo, repo_type="dataset")
    assert set(api.list_repo_files(repo, repo_type="dataset")) == {".gitattributes", "a.txt"}
    assert [e.path for e in api.list_repo_tree(repo, repo_type="dataset")] == [
        ".gitattributes",
        "a.txt",
    ]


def test_deleting_a_missing_file_raises_the_client_s_entry_not_found(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    with pytest.raises(EntryNotFoundError) as caught:
        hub.api().delete_file("nowhere.txt", repo, repo_type="dataset")
    assert caught.value.response.status_code == 404


def test_a_commit_goes_to_a_branch_and_to_nothing_else(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    first = add(hub, repo, a__txt=b"1")
    hub.api().create_tag(repo, tag="v1", repo_type="dataset")
    for revision in ("v1", first.oid, "nowhere", "refs/pr/7"):
        with pytest.raises(RevisionNotFoundError) as caught:
            hub.api().upload_file(
                path_or_fileobj=b"2",
                path_in_repo="a.txt",
                repo_id=repo,
                repo_type="dataset",
                revision=revision,
            )
        assert caught.value.response.status_code == 404
    assert text(hub, repo, "a.txt", "v1") == b"1"


def test_a_tag_stays_where_it_was_set(hub: Hub, repo: str, tmp_path: Path) -> None:
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    api = hub.api()
    first = add(hub, repo, a__txt=b"1").oid
    api.create_tag(repo, tag="v1", tag_message="the first", repo_type="dataset")
    second = add(hub, repo, a__txt=b"2").oid
    assert text(hub, repo, "a.txt", "v1") == b"1"
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_tag(repo, tag="v1", repo_type="dataset")
    assert caught.value.response.status_code == 409
    api.create_tag(repo, tag="v1", repo_type="dataset", exist_ok=True)
    assert text(hub, repo, "a.txt", "v1") == b"1"
    (tag,) = api.list_repo_refs(repo, repo_type="dataset").tags
    assert (tag.name, tag.ref, tag.target_commit) == ("v1", "refs/tags/v1", first)
    clone = hub.clone(repo, tmp_path / "clone")
    assert git(clone, "rev-parse", "v1^{commit}") == first
    api.delete_tag(repo, tag="v1", repo_type="dataset")
    api.create_tag(repo, tag="v1", repo_type="dataset")
    assert text(hub, repo, "a.txt", "v1") == b"2"
    assert api.dataset_info(repo, revision="v1").sha == second
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(repo, tag="v2", revision="nowhere", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="v2", repo_type="dataset")


def test_branches_come_and_go_but_main_stays(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    api = hub.api()
    first = add(hub, repo, a__txt=b"1").oid
    add(hub, repo, a__txt=b"2")
    api.create_branch(repo, branch="old", revision=first, repo_type="dataset")
    assert text(hub, repo, "a.txt", "old") == b"1"
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch(repo, branch="old", repo_type="dataset")
    assert caught.value.response.status_code == 409
    api.create_branch(repo, branch="old", repo_type="dataset", exist_ok=True)
    with pytest.raises(RevisionNotFoundError):
        api.create_branch(repo, branch="new", revision="nowhere", repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as caught:
        api.delete_branch(repo, branch="main", repo_type="dataset")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as caught:
        api.delete_branch(repo, branch="nowhere", repo_type="dataset")
    assert caught.value.response.status_code == 404
    api.delete_branch(repo, branch="old", repo_type="dataset")


@each("name", ["a..b", "a b", "-a", "a~1", "a.lock", "refs/heads/x", "a\\b", "@"])
def test_a_branch_or_tag_has_a_name_that_git_accepts(hub: Hub, repo: str, name: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    before = state(hub, repo)
    for make in (
        lambda: hub.api().create_branch(repo, branch=name, repo_type="dataset"),
        lambda: hub.api().create_tag(repo, tag=name, repo_type="dataset"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            make()
        assert caught.value.response.status_code in (400, 404)
    assert state(hub, repo) == before


def test_a_squashed_history_holds_the_same_files(hub: Hub, repo: str) -> None:
    add(hub, repo, a__txt=b"1", b__parquet=b"large")
    add(hub, repo, a__txt=b"2")
    api = hub.api()
    before = {info.path: info.blob_id for info in api.list_repo_tree(repo, repo_type="dataset")}
    api.super_squash_history(repo, repo_type="dataset", commit_message="one")
    assert [c.title for c in api.list_repo_commits(repo, repo_type="dataset")] == ["one"]
    after = {info.path: info.blob_id for info in api.list_repo_tree(repo, repo_type="dataset")}
    assert after == before
    assert text(hub, repo, "b.parquet") == b"large"


def test_a_folder_is_uploaded_without_its_ignored_files(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for name, data in {
        "keep.txt": b"1",
        "sub/keep.parquet": b"2" * 1000,
        "cache/drop.txt": b"3",
        "drop.tmp": b"4",
        ".gitignore": b"cache/\n*.tmp\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    api = hub.api()
    first = api.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset")
    listed = set(api.list_repo_files(repo, repo_type="dataset"))
    assert listed == {".gitattributes", ".gitignore", "keep.txt", "sub/keep.parquet"}
    again = api.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset")
    assert again.oid == first.oid
    api.upload_folder(
        repo_id=repo, folder_path=folder, repo_type="dataset", delete_patterns="sub/*",
        allow_patterns="keep.txt",
    )  # fmt: skip
    assert "sub/keep.parquet" not in api.list_repo_files(repo, repo_type="dataset")


def test_history_has_author_message_and_time(hub: Hub, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd

    hub.api().create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"1")],
        commit_message="A subject with \u00fc",
        commit_description="and a body\n\nof two parts",
        repo_type="dataset",
    )
    newest = hub.api().list_repo_commits(repo, repo_type="dataset")[0]
    assert newest.title == "A subject with \u00fc"
    assert newest.message == "and a body\n\nof two parts"
    assert newest.authors == [OWNER]
    assert newest.created_at == hub.api().dataset_info(repo).last_modified
    (info,) = hub.api().get_paths_info(repo, ["a.txt"], expand=True, repo_type="dataset")
    assert info.last_commit.oid == newest.commit_id
