"""Who may do what on the embedded Hub, by the client's exceptions and their status; no leaks."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from tests.hubs import OWNER, Hub, here, sha256

LARGE_SECRET = b"nobody else reads this, which lies in LFS " * 1000
NOT_FOUND = "RepositoryNotFoundError"
GATED = "GatedRepoError"
HTTP = "HfHubHTTPError"

Act = Callable[[Any, str], object]


def add(api: Any, repo: str, **more: Any) -> object:
    return api.upload_file(
        path_or_fileobj=b"new",
        path_in_repo="new.txt",
        repo_id=repo,
        repo_type="dataset",
        **more,
    )


READS: dict[str, Act] = {
    "a file": lambda api, repo: api.hf_hub_download(repo, "small.txt", repo_type="dataset"),
    "a large file": lambda api, repo: api.hf_hub_download(repo, "large.bin", repo_type="dataset"),
    "HEAD of a file": lambda api, repo: api.get_hf_file_metadata(
        url=f"{api.endpoint}/datasets/{repo}/resolve/main/small.txt", timeout=10
    ),
}
LOOKS: dict[str, Act] = {
    "info": lambda api, repo: api.dataset_info(repo),
    "refs": lambda api, repo: api.list_repo_refs(repo, repo_type="dataset"),
    "discussions": lambda api, repo: list(api.get_repo_discussions(repo, repo_type="dataset")),
    "a discussion": lambda api, repo: api.get_discussion_details(repo, 1, repo_type="dataset"),
}
PROPOSALS: dict[str, Act] = {
    "a pull request": lambda api, repo: add(api, repo, create_pr=True),
    "an empty pull request": lambda api, repo: api.create_pull_request(
        repo, "A draft", repo_type="dataset"
    ),
}
COMMENTS: dict[str, Act] = {
    "a discussion opened": lambda api, repo: api.create_discussion(
        repo, "A question", repo_type="dataset"
    ),
    "a comment": lambda api, repo: api.comment_discussion(repo, 1, "yes", repo_type="dataset"),
}
WRITES: dict[str, Act] = {
    "a commit": add,
    "a deletion": lambda api, repo: api.delete_file("spare.txt", repo, repo_type="dataset"),
    "a branch": lambda api, repo: api.create_branch(repo, branch="b", repo_type="dataset"),
    "a tag": lambda api, repo: api.create_tag(repo, tag="t", repo_type="dataset"),
    "a merge": lambda api, repo: api.merge_pull_request(repo, 2, repo_type="dataset"),
    "a squash": lambda api, repo: api.super_squash_history(repo, repo_type="dataset"),
    "its visibility": lambda api, repo: api.update_repo_settings(
        repo, private=repo.endswith("private"), repo_type="dataset"
    ),
    "its gate": lambda api, repo: api.update_repo_settings(
        repo, gated="manual" if repo.endswith("gated") else False, repo_type="dataset"
    ),
    "its name": lambda api, repo: api.move_repo(repo, f"{repo}-moved", repo_type="dataset"),
    "its end": lambda api, repo: api.delete_repo(repo, repo_type="dataset"),
}

# By visibility and user, the exception and status of each group of actions; OK means success.
# `bob` has access to the gated set; the user None sends no token.
OK = None
TABLE: dict[str, dict[str | None, tuple[tuple[str, int] | None, ...]]] = {
    "public": {
        #      look read comment      propose      write
        None: (OK, OK, (HTTP, 401), (HTTP, 401), (HTTP, 401)),
        "ann": (OK, OK, OK, OK, (HTTP, 403)),
        "bob": (OK, OK, OK, OK, (HTTP, 403)),
        OWNER: (OK, OK, OK, OK, OK),
    },
    "private": {
        None: ((NOT_FOUND, 401),) * 5,
        "ann": ((NOT_FOUND, 404),) * 5,
        "bob": ((NOT_FOUND, 404),) * 5,
        OWNER: (OK, OK, OK, OK, OK),
    },
    "gated": {
        None: (OK, (GATED, 401), (HTTP, 401), (HTTP, 401), (HTTP, 401)),
        "ann": (OK, (GATED, 403), OK, (GATED, 403), (HTTP, 403)),
        "bob": (OK, OK, OK, OK, (HTTP, 403)),
        OWNER: (OK, OK, OK, OK, OK),
    },
}
GROUPS = (LOOKS, READS, COMMENTS, PROPOSALS, WRITES)
# Routes with the repository's name in the body refuse anonymous requests before they look it up;
# a commit first reads what exists, which a gate forbids.
OTHERWISE = {
    ("private", None, "its name"): (HTTP, 401),
    ("private", None, "its end"): (HTTP, 401),
    ("gated", "ann", "a commit"): (GATED, 403),
    ("gated", "ann", "a deletion"): (GATED, 403),
}
CELLS = {
    f"{visibility}-{who}-{name}": (
        *(visibility, who, name, act),
        OTHERWISE.get((visibility, who, name), expected[column]),
    )
    for visibility, row in TABLE.items()
    for who, expected in row.items()
    for column, group in enumerate(GROUPS)
    for name, act in group.items()
}


def make(hub: Hub, name: str, visibility: str) -> str:
    """A set of that visibility with a discussion, a pull request and two kinds of files."""
    from huggingface_hub import CommitOperationAdd

    repo = f"{OWNER}/{name}-{visibility}"
    api = hub.api()
    api.create_repo(repo, repo_type="dataset", private=visibility == "private")
    large = LARGE_SECRET if visibility == "private" else b"anybody may know this" * 1000
    files = {"small.txt": b"small", "large.bin": large, "spare.txt": b"spare"}
    api.create_commit(
        repo,
        [CommitOperationAdd(path, data) for path, data in files.items()],
        commit_message="first",
        repo_type="dataset",
    )
    api.create_discussion(repo, "A question", repo_type="dataset")
    add(api, repo, create_pr=True)
    if visibility == "gated":
        api.update_repo_settings(repo, gated="manual", repo_type="dataset")
        api.grant_access(repo, "bob", repo_type="dataset")
    return repo


_own = itertools.count(1)


@pytest.fixture(scope="module")
def sets(running_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A set of each visibility, for tests that do not change it."""
    with pytest.MonkeyPatch.context() as patch, here(patch, tmp_path_factory.mktemp("rights")):
        yield {visibility: make(running_hub, "rights", visibility) for visibility in TABLE}


@each(("visibility", "who", "name", "act", "expected"), CELLS)
def test_each_action_succeeds_or_is_refused_by_visibility_and_user(
    hub: Hub,
    sets: dict[str, str],
    visibility: str,
    who: str | None,
    name: str,
    act: Act,
    expected: tuple[str, int] | None,
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    changing = expected is None and name in WRITES
    repo = sets[visibility]
    if changing:
        repo = make(hub, f"own{next(_own)}", visibility)
    if expected is None:
        act(hub.api(who), repo)
        return
    before = hub.api().list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    with pytest.raises(HfHubHTTPError) as caught:
        act(hub.api(who), repo)
    assert (type(caught.value).__name__, caught.value.response.status_code) == expected
    after = hub.api().list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    assert after == before


@pytest.mark.parametrize("who", [None, "ann"])
def test_a_private_set_gives_the_same_responses_as_a_missing_one(
    hub: Hub, sets: dict[str, str], who: str | None
) -> None:
    """Each route gives the same status, headers and body, except for the name."""
    private, missing = sets["private"], f"{OWNER}/is-not-there"
    routes = [
        ("GET", "/api/datasets/{}"),
        ("GET", "/api/datasets/{}/revision/main"),
        ("GET", "/api/datasets/{}/tree/main"),
        ("GET", "/api/datasets/{}/refs"),
        ("GET", "/api/datasets/{}/commits/main"),
        ("GET", "/api/datasets/{}/discussions"),
        ("GET", "/api/datasets/{}/discussions/1?diff=1"),
        ("GET", "/api/datasets/{}/xet-write-token/main"),
        ("GET", "/api/datasets/{}/xet-read-token/main"),
        ("GET", "/api/datasets/{}/auth-check"),
        ("GET", "/api/datasets/{}/lfs-files"),
        ("GET", "/datasets/{}/resolve/main/small.txt"),
        ("HEAD", "/datasets/{}/resolve/main/large.bin"),
        ("GET", "/datasets/{}/resolve/main/nowhere.txt"),
        ("GET", "/datasets/{}.git/info/refs?service=git-upload-pack"),
        ("GET", "/datasets/{}/info/refs?service=git-upload-pack"),
        ("POST", "/datasets/{}.git/git-upload-pack"),
        ("POST", "/datasets/{}.git/info/lfs/objects/batch"),
        ("POST", "/api/datasets/{}/paths-info/main"),
        ("POST", "/api/datasets/{}/preupload/main"),
        ("POST", "/api/datasets/{}/commit/main"),
        ("POST", "/api/datasets/{}/commit/main?create_pr=1"),
        ("POST", "/api/datasets/{}/discussions"),
        ("POST", "/api/datasets/{}/duplicate"),
        ("POST", "/api/datasets/{}/user-access-request/grant"),
        ("PUT", "/api/datasets/{}/settings"),
        ("GET", "/api/datasets/{}/no-such-route"),
    ]

    def response(method: str, route: str, repo: str) -> tuple[Any, ...]:
        status, headers, body = hub.raw(method, route.format(repo), b"{}", by=who)
        for name in ("date", "x-request-id", "content-length"):
            headers.pop(name, None)
        return status, str(headers).replace(repo, "*"), body.decode().replace(repo, "*")

    for method, route in routes:
        refusal = response(method, route, private)
        assert refusal == response(method, route, missing), route
        assert refusal[0] in (401, 403, 404), route


@pytest.mark.parametrize("who", [None, "ann"])
def test_a_private_set_is_in_no_list(hub: Hub, sets: dict[str, str], who: str | None) -> None:
    private = sets["private"]
    name = private.split("/")[1]
    api = hub.api(who)
    for query in ({}, {"author": OWNER}, {"search": name}, {"full": True}):
        found = [info.id for info in api.list_datasets(**query)]
        assert private not in found
        if query.get("search") is None:
            assert sets["public"] in found
    assert private in [info.id for info in hub.api().list_datasets(author=OWNER)]


def lfs_batch(hub: Hub, repo: str, who: str | None, operation: str, data: bytes) -> Any:
    batch = {
        "operation": operation,
        "transfers": ["basic"],
        "objects": [{"oid": sha256(data), "size": len(data)}],
        "hash_algo": "sha256",
    }
    status, _, body = hub.raw(
        "POST",
        f"/datasets/{repo}.git/info/lfs/objects/batch",
        json.dumps(batch).encode(),
        by=who,
        headers={"Content-Type": "application/vnd.git-lfs+json"},
    )
    return status, json.loads(body)


def test_the_hash_of_a_private_file_gives_no_byte_of_it(
    hub: Hub, sets: dict[str, str], repo: str
) -> None:
    """Neither by LFS, nor by a commit that refers to it in a set of the user's own."""
    mine = "ann/own"
    hub.api("ann").create_repo(mine, repo_type="dataset", exist_ok=True)
    for who, where in (("ann", mine), (None, repo), ("ann", repo)):
        status, response = lfs_batch(hub, where, who, "download", LARGE_SECRET)
        assert status != 200 or "actions" not in response["objects"][0]
    status, response = lfs_batch(hub, mine, "ann", "upload", LARGE_SECRET)
    assert status == 200
    assert "upload" in response["objects"][0]["actions"]  # the client must upload the bytes itself
    line = {
        "key": "lfsFile",
        "value": {
            "path": "stolen.bin",
            "algo": "sha256",
            "oid": sha256(LARGE_SECRET),
            "size": len(LARGE_SECRET),
        },
    }
    status, _ = hub.commit_lines(mine, line, by="ann")
    assert status == 400
    assert not hub.api("ann").file_exists(mine, "stolen.bin", repo_type="dataset")


def test_an_upload_url_is_valid_for_its_object_only_and_cannot_be_forged(
    hub: Hub, repo: str
) -> None:
    from urllib.parse import urlsplit

    data = b"rows" * 1000
    _, response = lfs_batch(hub, repo, OWNER, "upload", data)
    at = urlsplit(response["objects"][0]["actions"]["upload"]["href"])
    path = f"{at.path}?{at.query}" if at.query else at.path
    for body in (b"", data[:-1], data + b"x", b"x" * len(data)):
        status, _, _ = hub.raw("PUT", path, body, by=None)
        assert status == 400
    other = path.replace(sha256(data), sha256(b"other"))
    assert hub.raw("PUT", other, b"other", by=None)[0] in (400, 403, 404)
    assert hub.raw("PUT", path[:-3] + "AAA", data, by=None)[0] in (400, 403, 404)
    assert hub.raw("PUT", path, data, by=None)[0] == 200


def xet_token(hub: Hub, repo: str, who: str) -> tuple[str, str]:
    """The path to which a user's Xet client sends chunks, and its token."""
    status, _, body = hub.raw("GET", f"/api/datasets/{repo}/xet-write-token/main", by=who)
    assert status == 200
    response = json.loads(body)
    return response["casUrl"].removeprefix(hub.endpoint), response["accessToken"]


def test_a_xet_store_takes_chunks_from_its_user_only_and_only_good_ones(
    hub: Hub, repo: str
) -> None:
    hub.api("ann").create_repo("ann/own", repo_type="dataset", exist_ok=True)
    at, token = xet_token(hub, repo, OWNER)
    _, of_ann = xet_token(hub, "ann/own", "ann")
    xorb = bytes([0, 3, 0, 0, 0, 3, 0, 0]) + b"row"
    path = f"{at}/v1/xorbs/default/{'a' * 64}"

    def post(path: str, body: bytes, token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return hub.raw("POST", path, body, by=None, headers=headers)[0]

    assert post(path, xorb, None) == 401
    for wrong in (hub.tokens[OWNER], of_ann, token[:-2] + "AA", "x", token.split(".")[0]):
        assert post(path, xorb, wrong) in (401, 403)
    for bad in (b"", b"junk", xorb[:-1], xorb[:4] + b"\x07" + xorb[5:]):
        assert post(path, bad, token) == 400
    for name in ("A" * 64, "a" * 63, "..%2f" + "a" * 61, "%00"):
        assert post(f"{at}/v1/xorbs/default/{name}", xorb, token) in (400, 404)
    for bad in (b"", b"junk", xorb):
        assert post(f"{at}/v1/shards", bad, token) == 400
    assert post(path, xorb, token) == 200


@pytest.mark.parametrize("token", ["hf_wrong", "", "x" * 5000, "\u00fc".encode().decode("latin-1")])
def test_a_wrong_token_is_reported_and_gives_no_access(
    hub: Hub, sets: dict[str, str], token: str
) -> None:
    for path in (
        f"/api/datasets/{sets['public']}",
        f"/api/datasets/{sets['private']}",
        "/api/whoami-v2",
    ):
        status, headers, body = hub.raw(
            "GET", path, by=None, headers={"Authorization": f"Bearer {token}"}
        )
        assert status == 401, path
        if token:
            assert "Invalid credentials" in headers["x-error-message"] + body.decode()


def test_the_user_is_known_by_the_token(hub: Hub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    assert hub.api().whoami()["name"] == OWNER
    assert hub.api("ann").whoami()["name"] == "ann"
    assert hub.api("ann").whoami()["auth"]["accessToken"]["role"] == "write"
    with pytest.raises(HfHubHTTPError) as caught:
        hub.api("ann").whoami(token="hf_wrong")
    assert caught.value.response.status_code == 401


def test_a_person_creates_in_their_own_namespace_and_the_owner_in_a_free_one(hub: Hub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    hub.api("ann").create_repo("ann/hers", repo_type="dataset")
    hub.api().create_repo("some-org/his", repo_type="dataset")
    for who, name, status in (
        ("ann", "bob/his", 403),
        ("ann", f"{OWNER}/his", 403),
        ("ann", "some-org/hers", 403),
        ("ann", "free-org/hers", 403),
        (None, "ann/nobodys", 401),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            hub.api(who).create_repo(name, repo_type="dataset")
        assert caught.value.response.status_code == status
    assert hub.api("ann").create_repo("ann/hers", repo_type="dataset", exist_ok=True)


def test_what_is_missing_raises_the_client_s_own_errors(hub: Hub, repo: str) -> None:
    """Over plain http, where the client cannot derive it from the URL; for GET and for HEAD."""
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import (
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cases: list[tuple[type[Exception], str, str, str]] = [
        (RepositoryNotFoundError, f"{OWNER}/nowhere", "main", "x"),
        (RevisionNotFoundError, repo, "nowhere", "x"),
        (RevisionNotFoundError, repo, "f" * 40, "x"),
        (RevisionNotFoundError, repo, "refs/pr/9", "x"),
        (RemoteEntryNotFoundError, repo, "main", "x"),
        (RemoteEntryNotFoundError, repo, "main", "a/b/c"),
    ]
    for error, name, revision, path in cases:
        with pytest.raises(error):
            hub.api().hf_hub_download(name, path, repo_type="dataset", revision=revision)
        url = f"{hub.endpoint}/datasets/{name}/resolve/{revision.replace('/', '%2F')}/{path}"
        with pytest.raises(error):
            get_hf_file_metadata(url, token=hub.tokens[OWNER])
    with pytest.raises(RepositoryNotFoundError):
        hub.api().dataset_info(f"{OWNER}/nowhere")
    with pytest.raises(RevisionNotFoundError):
        hub.api().dataset_info(repo, revision="nowhere")
    with pytest.raises(RemoteEntryNotFoundError):
        list(hub.api().list_repo_tree(repo, "nowhere", repo_type="dataset"))
    assert not hub.api().repo_exists(f"{OWNER}/nowhere", repo_type="dataset")
    assert not hub.api().repo_exists(repo, repo_type="model")


def test_access_is_requested_and_accepted_or_rejected(hub: Hub, repo: str, tmp_path: Path) -> None:
    from huggingface_hub.errors import GatedRepoError

    api = hub.api()
    add(api, repo)
    api.update_repo_settings(repo, gated="manual", repo_type="dataset")
    assert api.dataset_info(repo).gated == "manual"

    caches = itertools.count()

    def may_read(who: str) -> bool:
        try:
            hub.api(who).hf_hub_download(
                repo, "new.txt", repo_type="dataset", cache_dir=tmp_path / str(next(caches))
            )
        except GatedRepoError:
            return False
        return True

    assert [may_read(who) for who in ("ann", "bob", OWNER)] == [False, False, True]
    assert hub.raw("POST", f"/datasets/{repo}/ask-access", b"", by="ann")[0] == 200
    assert not may_read("ann")
    (pending,) = api.list_pending_access_requests(repo, repo_type="dataset")
    assert pending.username == "ann"
    api.accept_access_request(repo, "ann", repo_type="dataset")
    assert may_read("ann")
    api.reject_access_request(repo, "ann", repo_type="dataset", rejection_reason=None)
    assert not may_read("ann")
    api.grant_access(repo, "bob", repo_type="dataset")
    assert may_read("bob")
    with pytest.raises(Exception, match="403"):
        list(hub.api("bob").list_pending_access_requests(repo, repo_type="dataset"))


def test_a_set_that_becomes_private_is_gone_for_others_at_once(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    add(hub.api(), repo)
    assert hub.api("ann").dataset_info(repo)
    hub.api().update_repo_settings(repo, private=True, repo_type="dataset")
    assert hub.api().dataset_info(repo).private
    with pytest.raises(RepositoryNotFoundError):
        hub.api("ann").dataset_info(repo)
    hub.api().update_repo_settings(repo, private=False, repo_type="dataset")
    assert hub.api("ann").dataset_info(repo).private is False


def test_rights_can_be_checked_in_advance(hub: Hub, sets: dict[str, str]) -> None:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    hub.api("ann").auth_check(sets["public"], repo_type="dataset")
    hub.api().auth_check(sets["private"], repo_type="dataset", write=True)
    with pytest.raises(RepositoryNotFoundError):
        hub.api("ann").auth_check(sets["private"], repo_type="dataset")
    with pytest.raises(GatedRepoError):
        hub.api("ann").auth_check(sets["gated"], repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as caught:
        hub.api("ann").auth_check(sets["public"], repo_type="dataset", write=True)
    assert caught.value.response.status_code == 403
