"""The parts of the embedded Hub without HTTP: names, git, LFS objects, accounts, webhooks."""

import ast
import hashlib
import http.server
import json
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from pygit2.references import References

from builders.errors import InputError
from builders.hub_server import git, names
from builders.hub_server.git import Git, Tree
from builders.hub_server.lfs import PART, Lfs, Signer
from builders.hub_server.responses import HttpError, now
from builders.hub_server.serving import add_user, serving
from builders.hub_server.store import Repo, Store
from builders.hub_server.webhooks import Webhooks
from tests.cases import each
from tests.hubs import here

NOTHING = hashlib.sha256(b"").hexdigest()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def histories(tmp_path: Path) -> Git:
    return Git(tmp_path / "git")


@pytest.fixture
def repo(histories: Git) -> Any:
    histories.create("one", {"a.txt": b"a", "folder/b.txt": b"b"}, "ann")
    return histories.open("one")


@pytest.fixture
def lfs(tmp_path: Path) -> Lfs:
    return Lfs(tmp_path / "lfs")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "hub.db")
    for name in ("ann", "bob"):
        made.add_user(name)
    yield made
    made.close()


def recorded(store: Store, name: str, *, private: bool = False, gated: str = "") -> Repo:
    repo = Repo(
        id=name.replace("/", "-"),
        type="datasets",
        name=name,
        private=private,
        gated=gated,
        created=now(),
    )
    store.run(
        "insert into repo values (?, ?, ?, ?, ?, ?)",
        *(repo.id, repo.type, repo.name, repo.private, repo.gated, repo.created),
    )
    return repo


def recorded_twice(store: Store, name: str) -> None:
    recorded(store, name)
    recorded(store, name)


def changed(repo: Any, parent: Any, files: dict[str, bytes | None]) -> Any:
    """A commit after `parent` in which these files are set, or removed."""
    tree = Tree(repo, repo[parent].tree.id)
    for path, content in files.items():
        if content is None:
            assert tree.remove(path)
        else:
            assert tree.put(path, repo.create_blob(content))
    return git.commit(repo, tree.write(), [parent], "ann", "a change")


# Names.


@each(
    "path",
    [
        *("", "/a", "a/", "a//b", ".", "a/..", "../a", "a\\b", "a\0b", "a\nb", ".git/config"),
        *("a/.GIT/hooks", ".git. /x", "GIT~1/x", "\ud800", "x" * 256, "x/" * 600 + "y"),
    ],
)
def test_no_path_leaves_its_repository_or_enters_git_s_folder(path: str) -> None:
    assert names.path_problem(path) is not None


@each("path", ["a b#%+.txt", "ünï/コード.json", ".gitattributes", "...", "a..b/c"])
def test_unusual_paths_are_valid(path: str) -> None:
    assert names.path_problem(path) is None


@each(
    "name",
    [
        *("", ".", "..", "a/b", "-a", "a-", "a.", ".a", "a--b", "a..b", "a.git", "A.GIT"),
        *("a b", "a\0", "ä", "x" * 97, "a\n"),
    ],
)
def test_a_repository_cannot_have_this_name(name: str) -> None:
    assert not names.is_name(name)


def test_a_repository_s_name_may_have_96_characters_and_dots_and_dashes() -> None:
    assert all(names.is_name(name) for name in ("x" * 96, "a.b-c_d", "_a", "7"))


@each("namespace", ["api", "datasets", "LFS", "xet"])
def test_no_namespace_hides_the_server_s_own_routes(namespace: str) -> None:
    with pytest.raises(HttpError, match="reserved"):
        names.repo_id(namespace, "set")


@each(
    "ref",
    [
        *("", "a..b", "a b", "a~1", "a^", "a:b", "-a", "/a", "a/", "a//b", ".a", "a/.b", "a.lock"),
        *("HEAD", "@", "@{u}", "refs/heads/a", "a\\b", "a\0", "0" * 40),
    ],
)
def test_a_branch_cannot_have_this_name(ref: str) -> None:
    assert not names.is_ref(ref)


# Trees and commits.


def test_a_tree_that_is_not_edited_keeps_its_id(repo: Any) -> None:
    before = git.find(repo, "main").tree.id
    tree = Tree(repo, before)
    assert tree.put("folder/c.txt", repo.create_blob(b"c"))
    assert tree.write() != before
    assert tree.remove("folder/c.txt")
    assert tree.write() == before


def test_a_file_and_a_folder_cannot_have_the_same_name(repo: Any) -> None:
    blob = repo.create_blob(b"x")
    tree = Tree(repo, git.find(repo, "main").tree.id)
    assert not tree.put("folder", blob)
    assert not tree.put("a.txt/deeper", blob)
    assert tree.remove("folder")
    assert tree.put("folder", blob)


def test_a_folder_is_removed_with_its_last_file(repo: Any) -> None:
    tree = Tree(repo, git.find(repo, "main").tree.id)
    assert tree.remove("folder/b.txt")
    assert not tree.remove("folder")
    assert not tree.remove("folder/b.txt")
    assert [entry.name for entry in repo[tree.write()]] == ["a.txt"]


def test_a_commit_that_no_reference_names_changes_nothing_that_is_read(repo: Any) -> None:
    before = git.find(repo, "main").id
    changed(repo, before, {"a.txt": b"new"})
    assert git.find(repo, "main").id == before
    assert git.find(repo, "main").tree["a.txt"].data == b"a"


def test_two_changes_of_different_files_merge_to_both(repo: Any) -> None:
    base = git.find(repo, "main").id
    ours = changed(repo, base, {"a.txt": b"ours", "new.txt": b"n"})
    theirs = changed(repo, base, {"folder/b.txt": None, "theirs.txt": b"t"})
    tree, conflicts = git.merged_tree(repo, ours, theirs)
    assert conflicts == []
    assert {entry.name for entry in repo[tree]} == {"a.txt", "new.txt", "theirs.txt"}
    assert repo[tree]["a.txt"].data == b"ours"


def test_two_changes_of_one_file_are_a_conflict_that_names_it(repo: Any) -> None:
    base = git.find(repo, "main").id
    ours = changed(repo, base, {"a.txt": b"ours"})
    assert git.merged_tree(repo, ours, changed(repo, base, {"a.txt": b"theirs"})) == (
        None,
        ["a.txt"],
    )
    assert git.merged_tree(repo, ours, changed(repo, base, {"a.txt": None})) == (None, ["a.txt"])


def test_large_files_that_differ_are_never_mixed_into_one(repo: Any) -> None:
    main = git.find(repo, "main").id
    base = changed(repo, main, {"x.bin": git.pointer("0" * 64, 1)})
    ours = changed(repo, base, {"x.bin": git.pointer("1" * 64, 1)})
    theirs = changed(repo, base, {"x.bin": git.pointer("0" * 64, 2)})
    assert git.merged_tree(repo, ours, theirs) == (None, ["x.bin"])


@each(
    "revision",
    [
        *("", "mai", "main\0", "main~1", "main^", "main:a.txt", "../../one", "refs/heads", "@{0}"),
        *("refs/heads/../heads/main", "refs/remotes/x", "\ud800", "0" * 40, "HEAD~1", "x" * 5000),
    ],
)
def test_only_the_name_of_a_revision_finds_it(repo: Any, revision: str) -> None:
    with pytest.raises(HttpError) as error:
        git.find(repo, revision)
    assert error.value.code == "RevisionNotFound"


def test_a_revision_is_found_by_branch_tag_reference_and_id(repo: Any) -> None:
    at = git.find(repo, "main").id
    repo.references.create("refs/tags/v1", at)
    repo.references.create("refs/pr/1", at)
    known = ["main", "HEAD", "v1", "refs/pr/1", "refs/heads/main", str(at), str(at)[:8]]
    assert {git.find(repo, revision).id for revision in known} == {at}


def test_the_id_of_a_tree_or_a_blob_is_not_a_revision(repo: Any) -> None:
    tree = git.find(repo, "main").tree
    for oid in (tree.id, tree["a.txt"].id):
        with pytest.raises(HttpError):
            git.find(repo, str(oid))


def test_a_pointer_is_distinguished_from_text_about_pointers() -> None:
    pointer = git.pointer("a" * 64, 12)
    assert git.parse_pointer(pointer) == ("a" * 64, 12)
    assert git.parse_pointer(pointer + b"more\n") is None
    assert git.parse_pointer(b"see " + pointer) is None


# Large objects.


def test_an_object_is_kept_under_its_sha256(lfs: Lfs) -> None:
    assert lfs.put(sha(b"abc"), [b"a", b"bc"], 3) == 3
    assert lfs.path(sha(b"abc")).read_bytes() == b"abc"
    assert lfs.put(NOTHING, [], 0) == 0


@each("content", [b"ab", b"abd", b"abcd", b""])
def test_bytes_other_than_expected_leave_nothing(lfs: Lfs, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(HttpError):
        lfs.put(sha(b"abc"), [content], 3)
    assert lfs.size(sha(b"abc")) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_unfinished_files_of_a_killed_server_are_removed_at_the_next_start(tmp_path: Path) -> None:
    first = Lfs(tmp_path)
    first.put(sha(b"whole"), [b"whole"])
    half = first.incoming(sha(b"half"), 4)
    half.write(b"ha" * 1)
    half._file.close()  # as if the server was killed
    assert any((tmp_path / "incoming").iterdir())
    again = Lfs(tmp_path)
    assert not any((tmp_path / "incoming").iterdir())
    assert again.size(sha(b"whole")) == 5
    assert again.put(sha(b"half"), [b"half"], 4) == 4


def test_an_object_is_assembled_only_from_all_its_parts(lfs: Lfs) -> None:
    content = bytes(PART) + b"end"
    parts = {1: content[:PART], 2: content[PART:]}

    def send(number: int, piece: bytes) -> None:
        incoming = lfs.incoming_part("up", number, len(content))
        try:
            incoming.write(piece)
            incoming.keep()
        finally:
            incoming.discard()

    send(1, parts[1])
    with pytest.raises(HttpError, match="Part 2"):
        lfs.assemble("up", sha(content), len(content))
    with pytest.raises(HttpError):
        send(2, b"too long")
    send(2, b"bad")
    with pytest.raises(HttpError, match="sha256"):
        lfs.assemble("up", sha(content), len(content))
    assert lfs.size(sha(content)) is None
    send(2, parts[2])
    lfs.assemble("up", sha(content), len(content))
    assert lfs.size(sha(content)) == len(content)


def test_a_token_is_valid_for_its_purpose_and_time_only() -> None:
    signer = Signer(b"key")
    token = signer.sign("upload", 60, sha="x")
    assert signer.verify("upload", token)["sha"] == "x"
    others = [
        ("download", token),
        ("upload", signer.sign("upload", -2, sha="x")),
        ("upload", Signer(b"other").sign("upload", 60, sha="x")),
        ("upload", token[:-1] + ("0" if token[-1] != "0" else "1")),
        ("upload", ""),
        ("upload", "é.ü"),
    ]
    for purpose, other in others:
        with pytest.raises(HttpError):
            signer.verify(purpose, other)


# Accounts and rights.


def test_a_user_s_token_is_stored_only_as_a_hash(store: Store, tmp_path: Path) -> None:
    token = store.add_user("cy")
    assert token is not None
    assert store.user_of(token) == "cy"
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("hub.db*"))
    assert token.encode() not in content


@pytest.mark.parametrize(
    ("private", "gated", "reads"),
    [
        (False, "", "anon ann bob"),
        (True, "", "ann"),
        (False, "manual", "ann"),
        (True, "auto", "ann"),
    ],
)
def test_who_reads_a_repository(store: Store, private: bool, gated: str, reads: str) -> None:
    repo = recorded(store, "ann/set", private=private, gated=gated)
    users = {"anon": None, "ann": "ann", "bob": "bob"}
    assert [name for name, user in users.items() if store.can_read(user, repo)] == reads.split()


def test_knowing_a_sha256_gives_no_right_to_the_object(store: Store) -> None:
    secret, public = recorded(store, "ann/secret", private=True), recorded(store, "bob/public")
    store.record_upload(secret.id, "a" * 64, "ann", 5)
    store.record_reference(secret.id, "a" * 64, "ann", 5)
    assert store.referable_size(secret, "a" * 64, "ann") == 5
    assert store.referable_size(public, "a" * 64, "bob") is None
    assert store.object_size(public.id, "a" * 64) is None


def test_an_object_that_is_not_committed_belongs_to_its_uploader(store: Store) -> None:
    public = recorded(store, "bob/public")
    store.record_upload(public.id, "a" * 64, "bob", 5)
    assert store.referable_size(public, "a" * 64, "bob") == 5
    assert store.referable_size(public, "a" * 64, "ann") is None
    assert store.object_size(public.id, "a" * 64) is None
    store.record_reference(public.id, "a" * 64, "bob", 5)
    assert store.referable_size(recorded(store, "ann/other"), "a" * 64, "ann") == 5


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.transaction():
        recorded_twice(store, "ann/set")
    assert store.repo("datasets", "ann/set") is None


def test_a_repository_is_found_in_any_case_and_by_its_old_name(store: Store) -> None:
    repo = recorded(store, "Ann/Set")
    store.run("insert into moved values ('datasets', 'ann/old', ?)", repo.id)
    assert store.repo("datasets", "ann/SET") == repo
    assert store.repo_moved_from("datasets", "ANN/old") == repo
    assert store.repo("models", "ann/set") is None


# Serving.

GOLDEN = Path(__file__).parents[1] / "golden"
# The names of the server's functions that take a repository's lock.
LOCKING = {
    function.name
    for path in Path(git.__file__).parent.glob("*.py")
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(function, ast.FunctionDef) and ".git.lock(" in ast.unparse(function)
}


def everything(api: HfApi, repo: str) -> None:
    """All operations of a client that take a repository's lock."""
    at: dict[str, Any] = {"repo_id": repo, "repo_type": "dataset"}
    api.create_repo(**at)
    for name in ("a.txt", "b.bin"):
        api.upload_file(path_or_fileobj=b"x" * 100, path_in_repo=name, **at)
    api.create_branch(branch="side", **at)
    api.delete_branch(branch="side", **at)
    api.create_tag(tag="v1", **at)
    pull = api.create_pull_request(title="a change", **at)
    api.upload_file(path_or_fileobj=b"y", path_in_repo="c", revision=pull.git_reference, **at)
    api.change_discussion_status(discussion_num=pull.num, new_status="open", **at)
    api.merge_pull_request(discussion_num=pull.num, **at)
    api.duplicate_repo(repo, f"{repo}-2", repo_type="dataset")
    api.permanently_delete_lfs_files(
        repo, api.list_lfs_files(repo, repo_type="dataset"), repo_type="dataset"
    )
    api.super_squash_history(**at)
    api.delete_repo(**at)


def test_a_second_server_of_a_folder_joins_the_first(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as first:
        with serving(tmp_path / "hub") as second:
            assert (first.started, second.started) == (True, False)
            assert (first.endpoint, first.token) == (second.endpoint, second.token)
        assert (tmp_path / "hub" / "token").stat().st_mode & 0o077 == 0
    with serving(tmp_path / "hub") as again:
        assert again == first


def test_a_data_folder_of_an_older_potstill_keeps_its_owner_and_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "hub"
    data.mkdir()
    with closing(sqlite3.connect(data / "hub.db")) as base:
        base.executescript((GOLDEN / "hub.sql").read_text(encoding="utf-8"))
    (data / "key").write_text("0" * 64)
    (data / "token").write_text("hf_potstill")
    Git(data / "git").create("6fa1", {"a.txt": b"a"}, "ann")
    with here(monkeypatch, tmp_path / "hf"), serving(data) as running:
        assert running.token == "hf_potstill"
        owner, ann = (
            HfApi(endpoint=running.endpoint, token=f"hf_{n}") for n in ("potstill", "ann")
        )
        assert [api.whoami()["name"] for api in (owner, ann)] == ["potstill", "ann"]
        assert ann.repo_info("ann/old", repo_type="dataset").id == "ann/set"
        with pytest.raises(RepositoryNotFoundError):  # it is private
            owner.repo_info("ann/set", repo_type="dataset")
        owner.create_repo("free/set", repo_type="dataset")  # which only the owner of the Hub may
        with pytest.raises(HfHubHTTPError):
            ann.create_repo("another/set", repo_type="dataset")


def test_no_repository_lock_is_taken_inside_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is git's lock, then the store's; with two orders, threads could deadlock."""
    per_thread = threading.local()
    transaction, enter = Store.transaction, git.Lock.__enter__
    locking: set[str] = set()
    inside_transaction: set[str] = set()

    @contextmanager
    def counted(self: Store) -> Iterator[None]:
        with transaction(self):
            per_thread.depth = getattr(per_thread, "depth", 0) + 1
            try:
                yield
            finally:
                per_thread.depth -= 1

    def entered(self: git.Lock) -> None:
        function = sys._getframe(1).f_code.co_name
        locking.add(function)
        if getattr(per_thread, "depth", 0):
            inside_transaction.add(function)
        enter(self)

    monkeypatch.setattr(Store, "transaction", counted)
    monkeypatch.setattr(git.Lock, "__enter__", entered)
    with here(monkeypatch, tmp_path / "hf"), serving(tmp_path / "hub") as running:
        everything(HfApi(endpoint=running.endpoint, token=running.token), "potstill/set")
    assert inside_transaction == set()
    assert locking == LOCKING


def test_rows_and_references_are_written_in_an_order_that_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill may leave an unused object or a merge to repeat, never a reference to nothing."""
    order: list[str] = []
    record, run, create = Store.record_reference, Store.run, References.create

    def recorded_reference(self: Store, *values: Any) -> None:
        order.append("object")
        record(self, *values)

    def ran(self: Store, query: str, *values: Any) -> int:
        if found := re.match(r"(insert into|update) discussion (values|set \w+)", query):
            order.append(found[0])
        return run(self, query, *values)

    def created(self: References, name: str, *values: Any, **named: Any) -> Any:
        order.append(name)
        return create(self, name, *values, **named)

    monkeypatch.setattr(Store, "record_reference", recorded_reference)
    monkeypatch.setattr(Store, "run", ran)
    monkeypatch.setattr(References, "create", created)
    with here(monkeypatch, tmp_path / "hf"), serving(tmp_path / "hub") as running:
        api = HfApi(endpoint=running.endpoint, token=running.token)
        api.create_repo("potstill/set", repo_type="dataset")
        order.clear()
        for place, as_pull in enumerate((False, True)):
            added = [CommitOperationAdd(f"{place}{n}.bin", b"%d" % n) for n in range(2)]
            api.create_commit(
                "potstill/set", added, commit_message="x", repo_type="dataset", create_pr=as_pull
            )
        api.merge_pull_request("potstill/set", 1, repo_type="dataset")
    assert order == [
        *("object", "object", "refs/heads/main"),
        *("object", "object", "refs/pr/1", "insert into discussion values"),
        *("update discussion set head", "refs/heads/main", "update discussion set status"),
    ]


@each("name", ["", "a b", "api", "../x", "a--b"])
def test_a_user_cannot_have_this_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a valid user name"):
        add_user(tmp_path, name)


# Webhooks.


class Listener(http.server.BaseHTTPRequestHandler):
    """Rejects the first event once, then accepts all."""

    heard: list[tuple[str | None, dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.heard.append((self.headers["X-Webhook-Secret"], body))
        self.send_response(200 if len(self.heard) > 1 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_event_is_sent_with_the_secret_and_retried(store: Store, histories: Git) -> None:
    heard: list[tuple[str | None, dict[str, Any]]] = []
    listener = type("Heard", (Listener,), {"heard": heard})
    webhooks = Webhooks(store, histories, "http://127.0.0.1:1")
    watched, other = recorded(store, "ann/set"), recorded(store, "bob/set")
    for repo in (watched, other):
        histories.create(repo.id, {"a": b"a"}, "ann")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store.run(
            "insert into webhook values ('h', 'ann', ?, ?, '[\"repo\"]', 's3cret', 0)",
            f"http://127.0.0.1:{server.server_port}/x?y=1",
            json.dumps([{"type": "dataset", "name": "ann/set"}]),
        )
        change = {"ref": "refs/heads/main", "oldSha": None, "newSha": "1" * 40}
        webhooks.notify(other, "update", "repo.content", refs=[change])
        webhooks.notify(watched, "create", "discussion")
        webhooks.notify(watched, "update", "repo.content", refs=[change])
        until = time.monotonic() + 10
        while len(heard) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        webhooks.stop()
        server.shutdown()
    assert [secret for secret, _ in heard] == ["s3cret", "s3cret"]
    assert heard[0][1] == heard[1][1]
    payload = heard[1][1]
    assert payload["event"] == {"action": "update", "scope": "repo.content"}
    assert payload["repo"]["name"] == "ann/set"
    assert payload["updatedRefs"] == [change]
