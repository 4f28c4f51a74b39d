"""Bytes and ids: what is uploaded to the embedded Hub is downloaded unchanged, and git agrees."""

import contextlib
import io
import json
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.cases import each
from tests.hubs import OWNER, Hub, git, here, pointer, sha256

chance = random.Random(3)
REGULAR = {
    "empty.txt": b"",
    "data/empty.parquet": b"",  # an empty file is never large
    "one.txt": b"x",
    "notes/rows.jsonl": b'{"prompt": "a"}\r\n' * 3000,
    "notes/deep/er/utf8 \u00fc.md": "\u00fcber \U0001f43b\n".encode(),
}
LARGE = {
    "data/train-00000-of-00001.parquet": chance.randbytes(200_000),
    "data/text.bin": b"the quick brown fox\n" * 20_000,
    "big.txt": b"a row of text\n" * 800_000,  # 11 MB: large by its size, not by its name
}
PARTS = {"parts.bin": chance.randbytes(17 * 2**20)}


def upload(hub: Hub, repo: str, files: dict[str, bytes]) -> Any:
    from huggingface_hub import CommitOperationAdd

    return hub.api().create_commit(
        repo,
        [CommitOperationAdd(path, data) for path, data in files.items()],
        commit_message="files",
        repo_type="dataset",
    )


@pytest.fixture(params=["LFS", "Xet"])
def lane(request: pytest.FixtureRequest, hub: Hub, tmp_path: Path) -> Iterator[str]:
    """Large files are uploaded by LFS, or by Xet as is the client's default."""
    with pytest.MonkeyPatch.context() as patch, here(patch, tmp_path, xet=request.param == "Xet"):
        yield request.param


@pytest.mark.parametrize("files", [REGULAR | LARGE, PARTS], ids=["files", "in parts"])
def test_bytes_are_downloaded_as_they_were_uploaded(
    hub: Hub, repo: str, tmp_path: Path, lane: str, files: dict[str, bytes]
) -> None:
    before = len(hub.requests())
    commit = upload(hub, repo, files)
    used = {line.path.split("/")[1].partition("?")[0] for line in hub.requests()[before:]}
    assert ("v1" in " ".join(used) or "xet" in used) is (lane == "Xet")

    api = hub.api(None)
    infos = {info.path: info for info in api.get_paths_info(repo, [*files], repo_type="dataset")}
    for path, data in files.items():
        content = Path(api.hf_hub_download(repo, path, repo_type="dataset")).read_bytes()
        assert sha256(content) == sha256(data), path
        assert infos[path].size == len(data)
        if path in REGULAR:
            assert infos[path].lfs is None
        else:
            assert (infos[path].lfs.sha256, infos[path].lfs.size) == (sha256(data), len(data))

    clone = hub.clone(repo, tmp_path / "clone")
    assert git(clone, "rev-parse", "HEAD") == commit.oid
    for path, data in files.items():
        expected = data if path in REGULAR else pointer(data)
        assert (clone / path).read_bytes() == expected, path


def test_every_id_is_git_s_own(hub: Hub, repo: str, tmp_path: Path) -> None:
    commit = upload(hub, repo, REGULAR | LARGE)
    api = hub.api()
    clone = hub.clone(repo, tmp_path / "clone")
    git(clone, "fsck", "--strict", "--no-dangling")
    assert api.dataset_info(repo).sha == git(clone, "rev-parse", "HEAD") == commit.oid
    listed = {
        entry.path: (getattr(entry, "blob_id", None) or entry.tree_id)
        for entry in api.list_repo_tree(repo, recursive=True, repo_type="dataset")
    }
    lines = git(clone, "-c", "core.quotePath=false", "ls-tree", "-r", "-t", "HEAD").splitlines()
    assert listed == {line.split("\t")[1]: line.split()[2] for line in lines}
    history = [entry.commit_id for entry in api.list_repo_commits(repo, repo_type="dataset")]
    assert history == git(clone, "rev-list", "HEAD").split()
    (tmp_path / "rows").write_bytes(REGULAR["notes/rows.jsonl"])
    assert listed["notes/rows.jsonl"] == git(tmp_path, "hash-object", "--no-filters", "rows")


def test_a_part_of_a_file_can_be_read(hub: Hub, repo: str) -> None:
    from huggingface_hub import HfFileSystem

    upload(hub, repo, REGULAR | LARGE)
    files = HfFileSystem(endpoint=hub.endpoint, token=False)
    for path in ("notes/rows.jsonl", "data/train-00000-of-00001.parquet"):
        data = (REGULAR | LARGE)[path]
        with files.open(f"datasets/{repo}/{path}", block_size=2**12) as file:
            file.seek(12_345)
            assert file.read(100) == data[12_345:12_445]
            file.seek(-7, io.SEEK_END)
            assert file.read() == data[-7:]


@pytest.mark.parametrize("path", ["notes/rows.jsonl", "data/train-00000-of-00001.parquet"])
def test_ranges_are_served_as_http_specifies(hub: Hub, repo: str, path: str) -> None:
    upload(hub, repo, REGULAR | LARGE)
    data = (REGULAR | LARGE)[path]
    url = f"/datasets/{repo}/resolve/main/{path}"

    def get(byte_range: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        return hub.raw(method, url, headers={"Range": byte_range}, by=None)

    status, headers, body = get("bytes=10-19")
    assert (status, body) == (206, data[10:20])
    assert headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert get("bytes=-5")[::2] == (206, data[-5:])
    assert get(f"bytes={len(data) - 3}-")[::2] == (206, data[-3:])
    assert get(f"bytes=0-{10**30}")[::2] == (206, data)
    assert get(f"bytes={len(data)}-")[0] == 416
    assert get("bytes=nonsense")[::2] == (200, data)
    status, headers, body = hub.raw("HEAD", url, by=None)
    assert (status, body, headers["content-length"]) == (200, b"", str(len(data)))
    assert headers["accept-ranges"] == "bytes"


def test_a_head_gives_what_the_cache_needs(hub: Hub, repo: str) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    commit = upload(hub, repo, REGULAR | LARGE)
    shas = {
        info.path: info.lfs.sha256 if info.lfs else info.blob_id
        for info in hub.api().get_paths_info(repo, ["one.txt", "big.txt"], repo_type="dataset")
    }
    for path in ("one.txt", "big.txt"):
        url = hf_hub_url(repo, path, repo_type="dataset", endpoint=hub.endpoint)
        facts = get_hf_file_metadata(url, token=False)
        assert (facts.commit_hash, facts.etag) == (commit.oid, shas[path])
        assert facts.size == len((REGULAR | LARGE)[path])
        # Served from here, so that a token is never sent to another origin.
        assert facts.location == url
        assert facts.xet_file_data is None


ODD = [
    "with space.txt",
    "plus+plus.txt",
    "per%20cent.txt",
    "per%cent.txt",
    "hash#mark?.txt",
    "qu'ote\"s.txt",
    "\u00fcnic\u00f6de/\u732b \U0001f43b.txt",
    "a&b=c;d.txt",
    "[brackets]{braces}.txt",
    "~tilde^caret.txt",
    ".hidden/.dots..txt",
    "-dash.txt",
]


def test_a_file_may_have_an_odd_name(hub: Hub, repo: str, tmp_path: Path) -> None:
    files = {path: path.encode() for path in ODD}
    upload(hub, repo, files)
    api = hub.api(None)
    assert set(api.list_repo_files(repo, repo_type="dataset")) == {*files, ".gitattributes"}
    found = api.get_paths_info(repo, ODD, repo_type="dataset")
    assert {info.path for info in found} == set(ODD)
    for path, data in files.items():
        assert Path(api.hf_hub_download(repo, path, repo_type="dataset")).read_bytes() == data
    clone = hub.clone(repo, tmp_path / "clone")
    assert {p.relative_to(clone).as_posix() for p in clone.rglob("*.txt")} == set(ODD)
    assert api.list_repo_tree(repo, "\u00fcnic\u00f6de", repo_type="dataset")


@pytest.mark.parametrize("revision", ["feature/x", "a/b/c", "v1.0.0-rc+1", "\u00fcber"])
def test_a_revision_may_have_slashes_and_signs(hub: Hub, repo: str, revision: str) -> None:
    api = hub.api()
    api.create_branch(repo, branch=revision, repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"there",
        path_in_repo="a/b.txt",
        repo_id=repo,
        repo_type="dataset",
        revision=revision,
    )
    file = api.hf_hub_download(repo, "a/b.txt", repo_type="dataset", revision=revision)
    assert Path(file).read_bytes() == b"there"
    assert "a/b.txt" in api.list_repo_files(repo, repo_type="dataset", revision=revision)
    assert "a/b.txt" not in api.list_repo_files(repo, repo_type="dataset")
    names = [branch.name for branch in api.list_repo_refs(repo, repo_type="dataset").branches]
    assert sorted(names) == sorted(["main", revision])
    assert api.dataset_info(repo, revision=revision).sha != api.dataset_info(repo).sha
    api.delete_branch(repo, branch=revision, repo_type="dataset")
    assert not api.revision_exists(repo, revision, repo_type="dataset")


def test_a_repository_is_found_in_any_case_and_says_its_own_name(hub: Hub, repo: str) -> None:
    upload(hub, repo, REGULAR)
    shouted = repo.upper()
    assert hub.api().dataset_info(shouted).id == repo
    file = hub.api(None).hf_hub_download(shouted, "one.txt", repo_type="dataset")
    assert Path(file).read_bytes() == b"x"
    with pytest.raises(Exception, match=r"409|already"):
        hub.api().create_repo(shouted, repo_type="dataset")


def test_a_name_has_at_most_96_characters_and_no_way_out(hub: Hub) -> None:
    api = hub.api()
    longest = f"{OWNER}/{'n' * 96}"
    api.create_repo(longest, repo_type="dataset")
    assert api.dataset_info(longest).id == longest
    api.delete_repo(longest, repo_type="dataset")
    bad = ["n" * 97, "a--b", "a..b", "-a", "a.", "a b", "a/b", "..", "a\\b", "", "a.git", "\u00fc"]
    for name in bad:
        body = json.dumps({"name": name, "type": "dataset"}).encode()
        status, _, _ = hub.raw("POST", "/api/repos/create", body)
        assert status == 400, name


CLIMBING = [
    "../secret.txt",
    "a/../../secret.txt",
    "/absolute.txt",
    "a//b.txt",
    "./a.txt",
    "a/.",
    "..",
    ".git/config",
    "a/.GIT/hooks/x",
    "a\\b.txt",
    "a\x00b",
    "a\nb.txt",
    "x" * 300,
    "",
]


@each("path", CLIMBING)
def test_no_file_is_outside_its_repository(hub: Hub, repo: str, path: str) -> None:
    head = hub.api().dataset_info(repo).sha
    line = {"key": "file", "value": {"path": path, "content": "eA==", "encoding": "base64"}}
    status, _ = hub.commit_lines(repo, line)
    assert status in (400, 422)
    assert hub.api().dataset_info(repo).sha == head


TRICKS = [
    "%2e%2e%2f%2e%2e%2fhub.db",
    "..%2f..%2f..%2fetc%2fpasswd",
    "../../../../etc/passwd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5cetc%5cpasswd",
    "%2fetc%2fpasswd",
    ".git/config",
    "%00",
    "one.txt%00.md",
    "%ff%fe",
    "one.txt/",
    "//one.txt",
    "notes",
]


def test_encoded_tricks_find_no_file(hub: Hub, repo: str) -> None:
    upload(hub, repo, REGULAR)
    for path in TRICKS:
        for route in ("resolve/main/", "resolve/", "raw/main/", "tree/main/"):
            place = "/api/datasets" if route.startswith("tree") else "/datasets"
            status, _, body = hub.raw("GET", f"{place}/{repo}/{route}{path}", by=None)
            if (route, path) != ("tree/main/", "notes"):
                assert status in (400, 404), (route, path)
            assert b"root:" not in body, (route, path)
            assert b"SQLite" not in body, (route, path)


def test_a_revision_and_a_repository_that_try_to_climb_are_not_there(hub: Hub, repo: str) -> None:
    upload(hub, repo, REGULAR)
    for revision in ("..", "%2e%2e%2fmain", "refs%2f..%2fmain", "HEAD~1", "main%5e", "-h", "@%7b"):
        assert hub.raw("GET", f"/datasets/{repo}/resolve/{revision}/one.txt")[0] in (400, 404)
        assert hub.raw("GET", f"/api/datasets/{repo}/revision/{revision}")[0] in (400, 404)
    for name in ("../x", "%2e%2e/x", "..%2fx/y", "x/..", "x/%2e%2e", "%00/x", "x/%0a"):
        status, _, _ = hub.raw("GET", f"/api/datasets/{name}")
        assert status in (400, 401, 404), name


def test_the_second_download_makes_one_request_and_the_third_may_be_offline(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    upload(hub, repo, REGULAR | LARGE)
    api = hub.api(None)

    def methods(path: str) -> list[str]:
        before = len(hub.requests())
        api.hf_hub_download(repo, path, repo_type="dataset")
        return [line.method for line in hub.requests()[before:]]

    assert methods("big.txt") == ["HEAD", "GET"]
    assert methods("big.txt") == ["HEAD"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert methods("big.txt") == []
    with pytest.raises(LocalEntryNotFoundError):
        api.hf_hub_download(repo, "one.txt", repo_type="dataset")


def test_a_changed_file_under_the_same_branch_gives_a_new_snapshot(hub: Hub, repo: str) -> None:
    upload(hub, repo, REGULAR | LARGE)
    api = hub.api(None)
    old = Path(api.snapshot_download(repo, repo_type="dataset"))
    commit = upload(hub, repo, {"one.txt": b"y"})
    new = Path(api.snapshot_download(repo, repo_type="dataset"))
    assert (old.parent, new.name) == (new.parent, commit.oid)
    assert (old / "one.txt").read_bytes() == b"x"
    assert (new / "one.txt").read_bytes() == b"y"
    assert (new / "big.txt").resolve() == (old / "big.txt").resolve()  # not downloaded again


def test_that_a_file_is_missing_is_remembered_for_its_commit(hub: Hub, repo: str) -> None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, RemoteEntryNotFoundError
    from huggingface_hub.file_download import _CACHED_NO_EXIST

    upload(hub, repo, {"one.txt": b"x"})
    api = hub.api(None)
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        api.hf_hub_download(repo, "two.txt", repo_type="dataset")
    assert isinstance(caught.value, EntryNotFoundError)
    assert caught.value.response.status_code == 404
    found = try_to_load_from_cache(repo, "two.txt", repo_type="dataset")
    assert found is _CACHED_NO_EXIST
    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{repo.replace('/', '--')}" / ".no_exist"
    assert (folder / api.dataset_info(repo).sha / "two.txt").exists()


class Proxy:
    """A proxy to the Hub that can cut a response after some bytes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.left = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self.listening.accept()
                self.threads.append(threading.Thread(target=self.carry, args=(client,)))
                self.threads[-1].start()

    def carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            requests = threading.Thread(target=self.pump, args=(client, server, False))
            requests.start()
            self.pump(server, client, True)
            requests.join()

    def pump(self, from_: socket.socket, to: socket.socket, responses: bool) -> None:
        with contextlib.suppress(OSError):
            while data := from_.recv(65_536):
                to.sendall(data)
                if responses and self.left:
                    self.left = max(0, self.left - len(data))
                    if not self.left:
                        break
        for end in (from_, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def proxy(hub: Hub) -> Iterator[Proxy]:
    from huggingface_hub import close_session

    proxy = Proxy(hub.port)
    yield proxy
    close_session()
    proxy.close()


def test_an_interrupted_download_resumes_where_it_stopped(
    hub: Hub, repo: str, proxy: Proxy
) -> None:
    from huggingface_hub import constants, hf_hub_download

    upload(hub, repo, LARGE)
    before = len(hub.requests())
    proxy.left = (
        constants.DOWNLOAD_CHUNK_SIZE + 300_000
    )  # the client resumes only after a whole chunk
    url = proxy.address
    file = hf_hub_download(repo, "big.txt", repo_type="dataset", endpoint=url, token=False)
    assert sha256(Path(file).read_bytes()) == sha256(LARGE["big.txt"])
    gets = [line.status for line in hub.requests()[before:] if line.method == "GET"]
    assert gets == [200, 206]


def test_the_web_address_of_a_file_gives_the_file(hub: Hub, repo: str) -> None:
    upload(hub, repo, REGULAR | LARGE)
    for path, data in (REGULAR | LARGE).items():
        status, _, body = hub.raw("GET", f"/datasets/{repo}/resolve/main/{quote(path)}", by=None)
        assert (status, body) == (200, data)
