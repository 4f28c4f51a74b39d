"""The life of the embedded Hub and its repositories: kills, restarts, renames and deletions."""

import contextlib
import http.client
import http.server
import itertools
import json
import os
import queue
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hubs import OWNER, POTSTILL, Hub, clean_environment, git, sha256

chance = random.Random(11)


def add(hub: Hub, repo: str, *, by: str = OWNER, **files: bytes) -> Any:
    """Adds files; a double underscore in a name means a dot."""
    from huggingface_hub import CommitOperationAdd

    return hub.api(by).create_commit(
        repo,
        [CommitOperationAdd(name.replace("__", "."), data) for name, data in files.items()],
        commit_message="add",
        repo_type="dataset",
    )


def text(
    hub: Hub, repo: str, path: str, cache: Path | None = None, revision: str | None = None
) -> bytes:
    file = hub.api().hf_hub_download(
        repo, path, repo_type="dataset", cache_dir=cache, revision=revision
    )
    return Path(file).read_bytes()


@pytest.fixture
def own(hub: Hub, tmp_path: Path) -> Iterator[Hub]:
    """A Hub for one test, which may kill it."""
    own = Hub(tmp_path / "own").start()
    yield own
    own.kill()
    assert own.stderr.read_text() == ""
    assert [line for line in own.requests_logged() if line.status >= 500] == []


def restart(own: Hub, cache: Path) -> None:
    """Restarts a Hub and checks that its endpoint is the same and all its files are complete."""
    address = own.endpoint
    own.start()
    assert own.endpoint == address
    for path in (own.data / "lfs" / "objects").rglob("*"):
        assert path.is_dir() or sha256(path.read_bytes()) == path.name
    assert list((own.data / "lfs" / "incoming").iterdir()) == []
    assert [path for path in (own.data / "xet").rglob("*") if path.is_file()] == []
    for bare in (own.data / "git").glob("*.git"):
        git(bare, "fsck", "--strict", "--no-dangling")


def unfinished(
    own: Hub, method: str, path: str, size: int, sent: bytes, **headers: str
) -> socket.socket:
    """A request whose body stops in the middle."""
    connection = socket.create_connection(("127.0.0.1", own.port))
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{own.port}\r\nContent-Length: {size}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    connection.sendall(head.encode() + b"\r\n" + sent)
    return connection


def test_a_hub_that_is_killed_during_an_upload_keeps_its_head_and_accepts_the_upload_again(
    own: Hub, tmp_path: Path
) -> None:
    api = own.api()
    repo = f"{OWNER}/killed"
    api.create_repo(repo, repo_type="dataset")
    old = add(own, repo, rows__parquet=b"old" * 1000, a__txt=b"1").oid
    data = chance.randbytes(3_000_000)

    batch = {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{"oid": sha256(data), "size": len(data)}],
    }
    path = f"/datasets/{repo}.git/info/lfs/objects/batch"
    _, _, response = own.raw("POST", path, json.dumps(batch).encode())
    href = json.loads(response)["objects"][0]["actions"]["upload"]["href"]
    token = f"Bearer {own.tokens[OWNER]}"
    _, _, response = own.raw("GET", f"/api/datasets/{repo}/xet-write-token/main")
    xet = json.loads(response)
    xorb = f"{xet['casUrl'].removeprefix(own.endpoint)}/v1/xorbs/default/{'a' * 64}"
    line = json.dumps({"key": "header", "value": {"summary": "half"}}).encode() + b"\n"
    commit = f"/api/datasets/{repo}/commit/main"
    half = [
        unfinished(own, "PUT", href.removeprefix(own.endpoint), len(data), data[:2_000_000]),
        unfinished(own, "POST", commit, 10_000, line, Authorization=token),
        unfinished(own, "POST", xorb, 90_000, b"row", Authorization=f"Bearer {xet['accessToken']}"),
    ]
    until = time.monotonic() + 10
    while not list((own.data / "lfs" / "incoming").iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    own.kill()
    for connection in half:
        connection.close()

    restart(own, tmp_path)
    assert api.dataset_info(repo).sha == old
    assert text(own, repo, "rows.parquet", tmp_path / "cache") == b"old" * 1000
    assert add(own, repo, rows__parquet=data, a__txt=b"2").oid != old
    assert text(own, repo, "rows.parquet", tmp_path / "cache") == data


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(5))
def test_a_hub_that_is_killed_at_any_moment_holds_the_old_version_or_the_new(
    own: Hub, tmp_path: Path, round_: int
) -> None:
    """Each commit has a large and a small file with its number, and both are there or none."""
    repo = f"{OWNER}/killed"
    own.api().create_repo(repo, repo_type="dataset")
    known, over = [-1], threading.Event()

    def push() -> None:
        with contextlib.suppress(Exception):  # any error of the client may follow the kill
            for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
                add(own, repo, n__txt=b"%d" % number, n__parquet=(b"%d " % number) * 10_000)
                known[0] = number

    pushing = threading.Thread(target=push)
    pushing.start()
    while known[0] < 2:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    over.set()
    own.kill()
    least = known[0]
    restart(own, tmp_path)
    head = own.api().dataset_info(repo).sha
    number = int(text(own, repo, "n.txt", tmp_path / "cache", head))
    assert number in (least, least + 1)
    assert text(own, repo, "n.parquet", tmp_path / "cache", head) == (b"%d " % number) * 10_000
    pushing.join(120)  # the client retries until the Hub is back
    assert not pushing.is_alive()
    add(own, repo, n__txt=b"after", n__parquet=b"after")
    assert text(own, repo, "n.parquet", tmp_path / "cache") == b"after"


def test_locks_of_a_killed_commit_are_removed(own: Hub, tmp_path: Path) -> None:
    repo = f"{OWNER}/locked"
    own.api().create_repo(repo, repo_type="dataset")
    own.kill()
    (bare,) = (own.data / "git").glob("*.git")
    locks = [bare / name for name in ("refs/heads/main.lock", "HEAD.lock", "packed-refs.lock")]
    for lock in locks:
        lock.write_bytes(b"")
    restart(own, tmp_path)
    assert [lock for lock in locks if lock.exists()] == []
    add(own, repo, a__txt=b"1")
    own.api().create_tag(repo, tag="v1", repo_type="dataset")
    own.api().delete_tag(repo, tag="v1", repo_type="dataset")


def test_a_hub_stops_on_a_signal_and_restarts_with_its_data_and_its_tokens(
    own: Hub, tmp_path: Path
) -> None:
    own.add_user("carol")
    own.api("carol").create_repo("carol/kept", repo_type="dataset", private=True)
    add(own, "carol/kept", by="carol", a__txt=b"1")
    token, address = own.tokens[OWNER], own.endpoint
    assert own.stop() == 0
    own.start()
    assert (own.tokens[OWNER], own.endpoint) == (token, address)
    assert own.api("carol").list_repo_files("carol/kept", repo_type="dataset")


def test_two_hubs_do_not_share_a_folder(own: Hub) -> None:
    done = subprocess.run(
        [*POTSTILL, "hub", "--hub-data", str(own.data), "--json"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert own.endpoint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_users_of_the_machine_cannot_read_the_data_folder(own: Hub) -> None:
    assert own.data.stat().st_mode & 0o077 == 0
    for name in ("token", "key"):
        assert (own.data / name).stat().st_mode & 0o077 == 0


def test_a_hub_accepts_only_the_host_names_of_loopback(own: Hub) -> None:
    """A web page that rebinds its host name to loopback gets nothing."""
    for host, status in ((f"localhost:{own.port}", 200), (f"evil.example:{own.port}", 400)):
        connection = http.client.HTTPConnection("127.0.0.1", own.port, timeout=10)
        connection.request("GET", "/api/datasets", headers={"Host": host})
        assert connection.getresponse().status == status
        connection.close()


def test_an_old_name_redirects_to_the_new_one_until_it_is_used_again(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    api = hub.api()
    commit = add(hub, repo, a__txt=b"1", b__parquet=b"large")
    api.create_discussion(repo, "A question", repo_type="dataset")
    new = f"{repo}-renamed"
    api.move_repo(repo, new, repo_type="dataset")
    assert api.dataset_info(repo).id == new
    assert api.repo_exists(repo, repo_type="dataset")
    assert text(hub, repo, "b.parquet", tmp_path / "1") == b"large"
    assert hub.raw("GET", f"/datasets/{repo}/resolve/main/a.txt", by=None)[0] == 307
    assert git(hub.clone(repo, tmp_path / "clone"), "rev-parse", "HEAD") == commit.oid
    second = add(hub, repo, a__txt=b"2", b__parquet=b"larger").oid  # a POST with the old name
    assert api.dataset_info(new).sha == second
    assert api.get_discussion_details(repo, 1, repo_type="dataset").title == "A question"
    assert {info.id for info in api.list_datasets(search=repo)} == {new}

    api.create_repo(repo, repo_type="dataset")
    assert api.dataset_info(repo).id == repo
    assert api.dataset_info(new).sha == second
    assert not api.file_exists(repo, "a.txt", repo_type="dataset")


def test_a_set_is_not_moved_to_a_name_in_use_or_to_another_user(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api = hub.api()
    taken = f"{repo}-taken"
    api.create_repo(taken, repo_type="dataset")
    for to, status in ((taken, 409), ("ann/stolen", 403), (f"{OWNER}/a--b", 400)):
        with pytest.raises(HfHubHTTPError) as caught:
            api.move_repo(repo, to, repo_type="dataset")
        assert caught.value.response.status_code == status
    assert api.dataset_info(repo).id == repo
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo(repo, repo_type="dataset")
    assert caught.value.response.status_code == 409
    assert api.create_repo(repo, repo_type="dataset", exist_ok=True).repo_id == repo


def test_what_is_deleted_is_gone_and_its_name_is_free(hub: Hub, repo: str, tmp_path: Path) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    api = hub.api()
    other = f"{repo}-other"
    api.create_repo(other, repo_type="dataset")
    mine, shared = chance.randbytes(50_000), chance.randbytes(50_000)
    add(hub, repo, mine__bin=mine, shared__bin=shared)
    add(hub, other, shared__bin=shared)

    def stored() -> set[str]:
        files = (hub.data / "lfs" / "objects").rglob("*")
        return {path.name for path in files} & {sha256(mine), sha256(shared)}

    assert stored() == {sha256(mine), sha256(shared)}
    histories = len(list((hub.data / "git").iterdir()))
    api.delete_repo(repo, repo_type="dataset")
    assert stored() == {sha256(shared)}
    assert len(list((hub.data / "git").iterdir())) == histories - 1
    assert text(hub, other, "shared.bin", tmp_path) == shared
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info(repo)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo, repo_type="dataset")
    api.delete_repo(repo, repo_type="dataset", missing_ok=True)
    api.create_repo(repo, repo_type="dataset")
    assert api.list_repo_files(repo, repo_type="dataset") == [".gitattributes"]
    assert list(api.get_repo_discussions(repo, repo_type="dataset")) == []


def test_large_files_are_listed_and_deleted_for_good(hub: Hub, repo: str) -> None:
    data = chance.randbytes(40_000)
    add(hub, repo, a__bin=data)
    hub.api().delete_file("a.bin", repo, repo_type="dataset")
    (listed,) = hub.api().list_lfs_files(repo, repo_type="dataset")
    assert (listed.filename, listed.oid, listed.size) == ("a.bin", sha256(data), len(data))
    hub.api().permanently_delete_lfs_files(repo, [listed], repo_type="dataset")
    assert list(hub.api().list_lfs_files(repo, repo_type="dataset")) == []
    assert not list((hub.data / "lfs").rglob(sha256(data)))


def test_a_set_is_duplicated_with_its_files_and_history(hub: Hub, repo: str) -> None:
    add(hub, repo, a__txt=b"1", b__parquet=b"large" * 1000)
    copy = f"ann/{repo.split('/')[1]}-copy"
    hub.api("ann").duplicate_repo(repo, copy, repo_type="dataset")
    assert text(hub, copy, "b.parquet") == b"large" * 1000
    add(hub, copy, by="ann", a__txt=b"2")
    assert text(hub, repo, "a.txt") == b"1"


SECRET = "s3cret-value-that-nobody-sees"


def test_a_space_is_recorded_and_its_secrets_never_come_back(hub: Hub) -> None:
    api = hub.api()
    space = f"{OWNER}/space"
    api.create_repo(
        space,
        repo_type="space",
        space_sdk="gradio",
        space_secrets=[{"key": "FIRST", "value": SECRET, "description": "why"}],
        space_variables=[{"key": "SHOWN", "value": "plain"}],
    )
    api.add_space_secret(space, "SECOND", SECRET, description="another")
    api.add_space_variable(space, "MORE", "also plain")
    assert set(api.get_space_secrets(space)) == {"FIRST", "SECOND"}
    shown = {key: variable.value for key, variable in api.get_space_variables(space).items()}
    assert shown == {"SHOWN": "plain", "MORE": "also plain"}
    api.request_space_hardware(space, "t4-small")
    api.set_space_sleep_time(space, 300)
    assert api.get_space_runtime(space).requested_hardware == "t4-small"
    assert api.pause_space(space).stage == "PAUSED"
    info = api.space_info(space)
    assert info.sdk == "gradio"
    assert "README.md" in api.list_repo_files(space, repo_type="space")
    api.delete_space_secret(space, "FIRST")
    api.delete_space_variable(space, "MORE")
    assert set(api.get_space_secrets(space)) == {"SECOND"}
    for path in ("", "/secrets", "/variables", "/runtime"):
        status, headers, body = hub.raw("GET", f"/api/spaces/{space}{path}")
        assert status == 200
        assert SECRET not in str(headers) + body.decode()
    for kept in hub.data.rglob("*"):
        if kept.is_file():
            assert SECRET.encode() not in kept.read_bytes(), kept.name
    for who in (None, "ann"):
        assert hub.raw("GET", f"/api/spaces/{space}/secrets", by=who)[0] in (401, 403)


def test_no_token_is_in_the_log_or_the_database(hub: Hub, repo: str, tmp_path: Path) -> None:
    hub.clone(repo, tmp_path / "clone", by="ann")
    for name in ("hub.log", "hub.db", "hub.db-wal", "server.json"):
        kept = hub.data / name
        content = kept.read_bytes() if kept.exists() else b""
        assert not [who for who, token in hub.tokens.items() if token.encode() in content], name


@pytest.fixture
def receiver() -> Iterator[tuple[str, "queue.Queue[tuple[dict[str, str], bytes]]"]]:
    """A URL on loopback, and the webhooks that it received."""
    received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        listening = threading.Thread(target=server.serve_forever, args=(0.02,))
        listening.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()
        listening.join()


def test_a_webhook_on_loopback_receives_a_commit_and_a_pull_request(
    hub: Hub, repo: str, receiver: tuple[str, "queue.Queue[tuple[dict[str, str], bytes]]"]
) -> None:
    address, received = receiver
    hook = hub.api().create_webhook(
        url=address,
        watched=[{"type": "dataset", "name": repo}],
        domains=["repo", "discussion"],
        secret="shared",
    )
    commit = add(hub, repo, a__txt=b"1")
    hub.api("ann").create_pull_request(repo, "Better rows", repo_type="dataset")
    events = []
    until = time.monotonic() + 20
    while time.monotonic() < until and len({event["event"]["scope"] for event in events}) < 2:
        headers, body = received.get(timeout=20)
        assert headers["x-webhook-secret"] == "shared"
        events.append(json.loads(body))
    scopes = {event["event"]["scope"]: event for event in events}
    assert scopes["repo.content"]["updatedRefs"][0]["newSha"] == commit.oid
    assert scopes["discussion"]["discussion"]["isPullRequest"] is True
    assert {event["repo"]["name"] for event in events} == {repo}
    hub.api().delete_webhook(hook.id)


def test_a_webhook_is_sent_to_loopback_only(hub: Hub, repo: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    for url in ("http://example.com/x", "http://10.0.0.1/x", "file:/etc/passwd", "x"):
        with pytest.raises(HfHubHTTPError) as caught:
            hub.api().create_webhook(url=url, watched=[{"type": "dataset", "name": repo}])
        assert caught.value.response.status_code == 400


@pytest.mark.parametrize("bad", ["a b", "../x", "x" * 97, "datasets"])
def test_a_user_has_a_valid_name(tmp_path: Path, bad: str) -> None:
    done = subprocess.run(
        [*POTSTILL, "hub", "--hub-data", str(tmp_path / "data"), "--add-user", bad],
        capture_output=True,
        text=True,
        env={**clean_environment(), "HOME": os.devnull},
        timeout=60,
        check=False,
    )
    assert done.returncode == (1 if bad else 2)
    assert len(done.stderr.splitlines()) == 1
