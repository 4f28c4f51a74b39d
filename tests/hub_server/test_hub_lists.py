"""Lists of the embedded Hub are complete and in order, however many pages they have."""

from typing import Any

import pytest

from tests.hubs import OWNER, Hub, git

ODD = ["with space", "hash#mark", "per%cent", "\u00fcnic\u00f6de", "plus+plus", "a&b=c", "\u732b"]


def paged(hub: Hub, path: str, **parameters: Any) -> list[list[Any]]:
    """The pages of a list, as the client's own pagination follows them."""
    from huggingface_hub.utils import get_session

    pages, url, query = [], f"{hub.endpoint}{path}", parameters
    while url:
        answer = get_session().get(url, params=query or None)
        answer.raise_for_status()
        pages.append(answer.json())
        url, query = answer.links.get("next", {}).get("url", ""), {}
        assert len(pages) < 100
    return pages


@pytest.fixture(scope="module")
def many() -> list[str]:
    return [f"{folder}/{number:03d}.txt" for folder in ODD for number in range(160)]


@pytest.mark.parametrize("expand", [False, True])
def test_a_tree_of_more_than_a_page_is_listed_once_each(
    hub: Hub, repo: str, many: list[str], expand: bool
) -> None:
    from huggingface_hub import CommitOperationAdd

    hub.api().create_commit(
        repo,
        [CommitOperationAdd(path, path.encode()) for path in many],
        commit_message="many",
        repo_type="dataset",
    )
    before = len(hub.requests())
    api = hub.api(None)
    listed = list(api.list_repo_tree(repo, recursive=True, expand=expand, repo_type="dataset"))
    pages = [line for line in hub.requests()[before:] if "/tree/" in line.path]
    assert len(pages) == (12 if expand else 2)
    paths = [entry.path for entry in listed]
    assert len(paths) == len(set(paths))
    assert set(paths) == {*many, *ODD, ".gitattributes"}
    if expand:
        assert {entry.last_commit.title for entry in listed} == {"many", "initial commit"}
    assert len(api.dataset_info(repo).siblings) == len(many) + 1


def test_a_cursor_survives_odd_names_of_files_and_revisions(hub: Hub, repo: str) -> None:
    from urllib.parse import quote

    from huggingface_hub import CommitOperationAdd

    branch = "feature/\u00fc&x=1"
    hub.api().create_branch(repo, branch=branch, repo_type="dataset")
    for folder in ODD:
        hub.api().create_commit(
            repo,
            [CommitOperationAdd(f"{folder}/{name}.txt", b"x") for name in ODD],
            commit_message=folder,
            repo_type="dataset",
            revision=branch,
        )
    for folder in ODD:
        path = f"/api/datasets/{repo}/tree/{quote(branch, safe='')}/{quote(folder, safe='')}"
        pages = paged(hub, path, limit=3)
        assert [len(page) for page in pages] == [3, 3, 1]
        found = [entry["path"] for page in pages for entry in page]
        assert sorted(found) == sorted(f"{folder}/{name}.txt" for name in ODD)
    commits = hub.api().list_repo_commits(repo, repo_type="dataset", revision=branch)
    assert [commit.title for commit in commits] == [*reversed(ODD), "initial commit"]


def test_a_history_of_more_than_a_page_is_listed_once_each(
    hub: Hub, repo: str, tmp_path: Any
) -> None:
    for number in range(120):
        line = {"key": "file", "value": {"path": "n.txt", "content": f"{number}"}}
        assert hub.commit_lines(repo, line)[0] == 200
    commits = hub.api(None).list_repo_commits(repo, repo_type="dataset")
    clone = hub.clone(repo, tmp_path / "clone")
    assert [commit.commit_id for commit in commits] == git(clone, "rev-list", "HEAD").split()
    assert len(commits) == 121


def test_discussions_of_more_than_a_page_are_listed_once_each(hub: Hub, repo: str) -> None:
    api = hub.api("ann")
    for number in range(1, 121):
        api.create_discussion(repo, f"Question {number}", repo_type="dataset")
    api.change_discussion_status(repo, 60, "closed", repo_type="dataset")
    found = [one.num for one in hub.api(None).get_repo_discussions(repo, repo_type="dataset")]
    assert found == sorted(range(1, 121), reverse=True)
    still_open = hub.api(None).get_repo_discussions(
        repo, repo_type="dataset", discussion_status="open"
    )
    assert {one.num for one in still_open} == {*range(1, 121)} - {60}


def test_sets_of_more_than_a_page_are_listed_once_each(hub: Hub) -> None:
    api = hub.api()
    names = {f"{OWNER}/listed-{number}" for number in range(25)}
    for name in names:
        api.create_repo(name, repo_type="dataset", private=name.endswith("7"))
    seen = {name for name in names if not name.endswith("7")}
    for sort in (None, "lastModified", "createdAt"):
        query = {"author": OWNER, "search": "listed-", "limit": 4}
        pages = paged(hub, "/api/datasets", **query, **({"sort": sort} if sort else {}))
        found = [info["id"] for page in pages for info in page]
        assert len(found) == len(set(found))
        assert set(found) == seen
        assert {len(page) for page in pages[:-1]} == {4}
    assert len(list(api.list_datasets(search="listed-", limit=10))) == 10
    assert len(list(api.list_datasets(search="listed-"))) == 25


def test_sets_are_found_by_author_word_tag_and_gate(hub: Hub, repo: str) -> None:
    api = hub.api()
    api.create_repo("ann/tagged", repo_type="dataset", exist_ok=True, token=hub.tokens["ann"])
    card = b"---\nlicense: mit\nlanguage: [en]\ntags: [odd-tag]\n---\n# A set\n"
    api.upload_file(
        path_or_fileobj=card, path_in_repo="README.md", repo_id=repo, repo_type="dataset"
    )

    def ids(**query: Any) -> set[str]:
        return {info.id for info in api.list_datasets(**query)}

    assert repo in ids(filter="odd-tag")
    assert ids(filter=["odd-tag", "license:mit"], author=OWNER) == {repo}
    assert ids(filter="odd-tag", author="ann") == set()
    assert ids(author="ann", search="tagg") == {"ann/tagged"}
    assert repo in ids(language="en")
    (info,) = api.list_datasets(filter="odd-tag", full=True)
    assert (info.card_data.license, info.private, info.gated) == ("mit", False, False)
    assert {"odd-tag", "license:mit", "language:en"} <= set(info.tags)
    assert repo not in {info.id for info in api.list_models(author=OWNER)}


def test_only_known_keys_can_be_expanded(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import BadRequestError

    info = hub.api().dataset_info(repo, expand=["sha", "createdAt"])
    assert info.sha
    assert info.siblings is None
    with pytest.raises(BadRequestError):
        hub.api().dataset_info(repo, expand=["secrets"])


@pytest.mark.parametrize("query", ["limit=x", "cursor=-1", "cursor=%ff", "limit=99999999999999999"])
def test_an_odd_page_is_refused_or_empty_and_never_an_error_of_the_server(
    hub: Hub, repo: str, query: str
) -> None:
    for path in (f"datasets/{repo}/tree/main", f"datasets/{repo}/commits/main", "datasets"):
        assert hub.raw("GET", f"/api/{path}?{query}", by=None)[0] in (200, 400)
    assert hub.raw("GET", f"/api/datasets/{repo}/discussions?p=x", by=None)[0] in (200, 400)
