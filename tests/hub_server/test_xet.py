"""Uploads of the real Xet client are decoded to the byte; hostile ones are refused cheaply."""

import hashlib
import http.server
import json
import random
import struct
import threading
import time
import tracemalloc
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import lz4.frame
import pytest

from builders.hub_server.xet import MOST_CHUNK_BYTES, XetError, XetStore
from tests.cases import each

hf_xet = pytest.importorskip("hf_xet")

chance = random.Random(7)
NOISE = chance.randbytes(3_000_000)


@cache
def files() -> dict[str, bytes]:
    return {
        "one byte": b"x",
        "nothing": b"",
        "less than a chunk": b"seeds go in, text comes out. " * 40,
        "noise": NOISE,
        "text": b"".join(b"row %d: the quick brown fox\n" % row for row in range(90_000)),
        "shares chunks with noise": NOISE[:1_500_000] + chance.randbytes(300_000),
        "float32": array("f", [step * 0.37 for step in range(300_000)]).tobytes(),
        "float32 and three bytes": array("f", [step * 1.1 for step in range(40_000)]).tobytes()
        + b"end",
    }


class Upload:
    """An upload of the client: xorbs by hash, shards, and the Xet hash of each file by name."""

    def __init__(self) -> None:
        self.xorbs: dict[str, bytes] = {}
        self.shards: list[bytes] = []
        self.hashes: dict[str, str] = {}


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Upload:
    """All files, sent by the real client to a server that only records."""
    sent = Upload()

    class Listener(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/v1/xorbs/default/"):
                sent.xorbs[self.path.rpartition("/")[2]] = body
                self.respond(200, {"was_inserted": True})
            elif self.path == "/v1/shards":
                sent.shards.append(body)
                self.respond(200, {"result": 1})
            else:
                self.respond(404, {})

        def respond(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_XET_CACHE", str(tmp_path_factory.mktemp("xet")))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
            listening = threading.Thread(target=server.serve_forever, args=(0.02,))
            listening.start()
            try:
                with hf_xet.XetSession().new_upload_commit(
                    endpoint=f"http://127.0.0.1:{server.server_port}",
                    token="a token",
                    token_expiry_unix_secs=int(time.time()) + 3600,
                ) as commit:
                    handles = {
                        name: commit.start_upload_bytes(data, name=name)
                        for name, data in files().items()
                    }
                for name, handle in handles.items():
                    sent.hashes[name] = handle.result().xet_info.hash
            finally:
                server.shutdown()
                listening.join()
    return sent


@pytest.fixture
def store(tmp_path: Path) -> XetStore:
    return XetStore(tmp_path / "xorbs")


class StoredFiles:
    """A `store_file` that keeps each file whose chunks end without an error."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.longest = 0

    def __call__(self, sha256: str, chunks: Iterator[bytes]) -> None:
        parts = list(chunks)
        self.longest = max([self.longest, *map(len, parts)])
        self.files[sha256] = b"".join(parts)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hash_bytes(hash_hex: str) -> bytes:
    """A hash in the byte order of a shard."""
    return b"".join(bytes.fromhex(hash_hex[place : place + 16])[::-1] for place in range(0, 64, 16))


def chunk(data: bytes, *, size: int | None = None, scheme: int = 0, version: int = 0) -> bytes:
    declared = len(data) if size is None else size
    head = bytes([version]) + len(data).to_bytes(3, "little")
    return head + bytes([scheme]) + declared.to_bytes(3, "little") + data


def shard(*files: bytes) -> bytes:
    magic = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
    return magic + struct.pack("<QQ", 2, 0) + b"".join(files) + b"\xff" * 32 + bytes(16)


def file(
    data: bytes, *terms: tuple[str, int, int, int], flags: int = 3 << 30, entries: int | None = None
) -> bytes:
    """The records of a file whose terms are (xorb, size, first chunk, end)."""
    count = len(terms) if entries is None else entries
    record = bytes(32) + struct.pack("<4I", flags, count, 0, 0)
    for xorb, size, first, end in terms:
        record += hash_bytes(xorb) + struct.pack("<4I", 0, size, first, end)
    if flags >> 31:
        record += bytes(48) * len(terms)
    return record + (hash_bytes(sha256(data)) + bytes(16) if flags >> 30 & 1 else b"")


def test_every_file_of_the_real_client_is_rebuilt_to_the_byte(
    upload: Upload, store: XetStore
) -> None:
    for hash_hex, body in upload.xorbs.items():
        assert store.put_xorb(hash_hex, body)
    stored = StoredFiles()
    entries = [entry for body in upload.shards for entry in store.put_shard(body, stored)]
    assert sorted(entries) == sorted(
        (upload.hashes[name], sha256(data), len(data)) for name, data in files().items()
    )
    assert stored.files == {sha256(data): data for data in files().values()}
    assert stored.longest <= MOST_CHUNK_BYTES


def test_the_upload_has_chunks_of_every_scheme_and_shares_those_that_two_files_have(
    upload: Upload,
) -> None:
    schemes: Counter[int] = Counter()
    for body in upload.xorbs.values():
        offset = 0
        while offset < len(body):
            schemes[body[offset + 4]] += 1
            offset += 8 + int.from_bytes(body[offset + 1 : offset + 4], "little")
    assert set(schemes) == {0, 1, 2}
    assert sum(map(len, upload.xorbs.values())) < sum(map(len, files().values())) - 1_000_000


def test_a_xorb_is_new_once_and_still_there_for_the_next_process(
    upload: Upload, store: XetStore
) -> None:
    hash_hex, body = next(iter(upload.xorbs.items()))
    assert store.put_xorb(hash_hex, body) is True
    assert store.put_xorb(hash_hex, body) is False
    assert XetStore(store.folder).put_xorb(hash_hex, body) is False
    assert [path.name for path in store.folder.iterdir()] == [hash_hex]


def test_unfinished_files_of_a_killed_process_are_removed(store: XetStore) -> None:
    (store.folder / ".making-abc").write_bytes(b"half")
    XetStore(store.folder)
    assert list(store.folder.iterdir()) == []


def test_a_footer_after_the_chunks_is_ignored(store: XetStore) -> None:
    body = chunk(b"row") + b"XETBLOB\x01" + bytes(100)
    assert store.put_xorb("a" * 64, body)
    stored = StoredFiles()
    assert store.put_shard(shard(file(b"row", ("a" * 64, 3, 0, 1))), stored)
    assert stored.files == {sha256(b"row"): b"row"}


def test_a_file_may_use_the_same_chunks_twice_and_in_any_order(store: XetStore) -> None:
    store.put_xorb("a" * 64, chunk(b"seed") + chunk(b"row"))
    store.put_xorb("b" * 64, chunk(b"!"))
    terms = [("a" * 64, 3, 1, 2), ("b" * 64, 1, 0, 1), ("a" * 64, 7, 0, 2), ("a" * 64, 3, 1, 2)]
    stored = StoredFiles()
    store.put_shard(shard(file(b"row!seedrowrow", *terms)), stored)
    assert list(stored.files.values()) == [b"row!seedrowrow"]


def test_bytes_without_their_declared_sha256_end_in_an_error_even_if_nobody_reads_them(
    store: XetStore,
) -> None:
    store.put_xorb("a" * 64, chunk(b"false"))
    body = shard(file(b"truth", ("a" * 64, 5, 0, 1)))
    stored = StoredFiles()
    with pytest.raises(XetError, match="SHA-256"):
        store.put_shard(body, stored)
    assert stored.files == {}
    with pytest.raises(XetError, match="SHA-256"):
        store.put_shard(body, lambda sha256, chunks: None)


bomb = lz4.frame.compress(bytes(200 * 2**20), store_size=False)
lying_bomb = lz4.frame.compress(bytes(2**20))
two_frames = lz4.frame.compress(b"abcd") + lz4.frame.compress(b"efgh")
XORBS = {
    "nothing": b"",
    "half a header": chunk(b"row") + b"\0\0\0",
    "half a chunk": chunk(b"row")[:-1],
    "another version": chunk(b"row", version=1),
    "another scheme": chunk(b"row", scheme=3),
    "an empty chunk": chunk(b""),
    "a chunk longer than the format's": chunk(bytes(MOST_CHUNK_BYTES + 1)),
    "a plain chunk that declares another size": chunk(b"row", size=4),
    "LZ4 that is not LZ4": chunk(b"row and row", scheme=1),
    "LZ4 that stops early": chunk(lz4.frame.compress(NOISE[:5000])[:-2000], size=5000, scheme=1),
    "LZ4 shorter than declared": chunk(lz4.frame.compress(b"row"), size=4, scheme=1),
    "LZ4 longer than declared": chunk(lz4.frame.compress(b"row"), size=2, scheme=2),
    "two frames": chunk(two_frames, size=8, scheme=1),
    "a bomb": chunk(bomb[: 100 * 2**10], size=MOST_CHUNK_BYTES, scheme=1),
    "a bomb that declares a size": chunk(lying_bomb, size=MOST_CHUNK_BYTES, scheme=2),
    "a frame that declares 2**60 bytes": chunk(
        lz4.frame.compress(b"row")[:6] + (2**60).to_bytes(8, "little") + bytes(9),
        size=3,
        scheme=1,
    ),
    "too many chunks": chunk(b"r") * (8 * 1024 + 1),
    "too many bytes": chunk(bytes(MOST_CHUNK_BYTES)) * 512,
    "only a footer": b"XETBLOB\x01" + bytes(100),
}


@each("body", XORBS)
def test_an_invalid_xorb_is_refused_and_nothing_is_kept(store: XetStore, body: bytes) -> None:
    with pytest.raises(XetError):
        store.put_xorb("a" * 64, body)
    assert list(store.folder.iterdir()) == []


def test_a_bomb_costs_no_memory(store: XetStore) -> None:
    bodies = [body for name, body in XORBS.items() if "bomb" in name or "2**60" in name]
    assert len(bodies) == 3
    tracemalloc.start()
    try:
        for body in bodies:
            with pytest.raises(XetError):
                store.put_xorb("a" * 64, body)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_CHUNK_BYTES
    finally:
        tracemalloc.stop()


@each("name", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "é"])
def test_a_xorb_is_kept_under_a_hash_only(store: XetStore, name: str) -> None:
    with pytest.raises(XetError, match="hash"):
        store.put_xorb(name, chunk(b"row"))


A = "a" * 64
GOOD = file(b"row", (A, 3, 0, 1))
SHARDS = {
    "nothing": b"",
    "a xorb": chunk(b"row"),
    "only a header": shard()[:48],
    "half a header": shard()[:40],
    "another version": shard(GOOD)[:32] + b"\x03" + shard(GOOD)[33:],
    "no end": shard(GOOD)[:-48],
    "half a record": shard(GOOD)[:-20],
    "fewer terms than declared": shard(file(b"row", (A, 3, 0, 1), entries=2**32 - 1)),
    "no SHA-256": shard(file(b"row", (A, 3, 0, 1), flags=1 << 31)),
    "a missing xorb": shard(file(b"row", ("b" * 64, 3, 0, 1))),
    "missing chunks": shard(file(b"rowrow", (A, 6, 0, 2))),
    "chunks backwards": shard(file(b"row", (A, 3, 1, 0))),
    "no chunk": shard(file(b"", (A, 0, 0, 0))),
    "a false size": shard(file(b"row", (A, 4, 0, 1))),
    "a file of 80 GB": shard(file(b"row", *[(A, 2**32 - 1, 0, 1)] * 20)),
    "a good file, then a bad one": shard(GOOD, file(b"row", (A, 3, 7, 8))),
}


@each("body", SHARDS)
def test_a_shard_with_one_bad_file_gives_no_file(store: XetStore, body: bytes) -> None:
    store.put_xorb(A, chunk(b"row"))
    stored = StoredFiles()
    with pytest.raises(XetError):
        store.put_shard(body, stored)
    assert stored.files == {}


@pytest.mark.parametrize("what", ["xorb", "shard"])
def test_any_change_of_the_client_s_bytes_is_refused_or_harmless(
    upload: Upload, store: XetStore, what: str
) -> None:
    """A changed byte never gives a file other than the one its SHA-256 names, and never crashes."""
    xorbs = dict(upload.xorbs)
    bodies: dict[str, Callable[[bytes], None]] = {
        "xorb": lambda body: store.put_xorb(f"{chance.getrandbits(256):064x}", body) and None,
        "shard": lambda body: store.put_shard(body, stored) and None,
    }
    for hash_hex, body in xorbs.items():
        store.put_xorb(hash_hex, body)
    stored = StoredFiles()
    original = upload.shards[0][:4000] if what == "shard" else next(iter(xorbs.values()))[:60_000]
    refused = 0
    for _ in range(60):
        changed = bytearray(original)
        for _ in range(3):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        cut = chance.choice([len(changed), chance.randrange(len(changed))])
        try:
            bodies[what](bytes(changed[:cut]))
        except XetError:
            refused += 1
    assert refused > 20
    assert all(sha256(data) == name for name, data in stored.files.items())
