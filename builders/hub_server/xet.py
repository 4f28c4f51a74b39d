"""Decodes Xet uploads: stores xorbs, and rebuilds the files of a shard from them.

A xorb is a sequence of compressed chunks; a shard lists which ranges of chunks make up which file.
A xorb's hash is not checked: a wrong one makes uploads that use the xorb fail, but cannot change a
file, since every file must have the SHA-256 that its shard declares.

Source: the Xet protocol (https://huggingface.co/docs/xet), its pages on xorbs and shards.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import struct
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MOST_XORB_BYTES = 64 * 2**20
MOST_XORB_CHUNKS = 8 * 1024
MOST_CHUNK_BYTES = 128 * 2**10
MOST_SHARD_BYTES = 64 * 2**20
MOST_FILE_BYTES = 50 * 10**9  # of all files of a shard, since a few terms can describe many bytes

_HASH = re.compile(r"[0-9a-f]{64}")
_FOOTER = b"XETBLOB"
_CHUNK = 8
_NONE, _LZ4, _BG4_LZ4 = 0, 1, 2

_MAGIC = bytes.fromhex("48465265706f4d6574614461746100556967456a7b815783a5bdd95ccdd14aa9")
_VERSION = 2
_RECORD = struct.Struct("<32s4I")
_BOOKEND = b"\xff" * 32
_WITH_VERIFICATION = 1 << 31
_WITH_SHA256 = 1 << 30


class XetError(ValueError):
    """A xorb or a shard that is invalid, or a shard that refers to missing chunks."""


class _Term(NamedTuple):
    """The chunks of a xorb from `first` to before `end`, which decompress to `size` bytes."""

    xorb: str
    size: int
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file of a shard, whose `entries` terms begin at byte `start` of the shard."""

    xet_hash: str
    sha256: str
    size: int
    start: int
    entries: int


@dataclass(frozen=True, kw_only=True)
class _Index:
    """The offset of each chunk in a xorb, and the decompressed size of all chunks before it."""

    starts: array[int]
    unpacked: array[int]


class XetStore:
    """The xorbs of a Hub in a folder that one process uses at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".making-*"):
            unfinished.unlink()

    def put_xorb(self, hash_hex: str, body: bytes) -> bool:
        """Store a complete xorb; False if it is stored already.

        Raises:
            XetError: The hash or the xorb is invalid; nothing is stored.
        """
        path = self._path(hash_hex)
        if path.exists():
            return False
        index = _index(body)
        for chunk in range(len(index.starts) - 1):
            _chunk(body, index, chunk)

        handle, temporary = tempfile.mkstemp(prefix=".making-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).rename(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return True

    def put_shard(
        self, body: bytes, store_file: Callable[[str, Iterator[bytes]], None]
    ) -> list[tuple[str, str, int]]:
        """Rebuild the files of a shard.

        Args:
            body: The shard.
            store_file: Called for each file with its SHA-256 and an iterator of its bytes. The
                iterator raises XetError after the last chunk if the bytes do not have the SHA-256,
                and the file must not be kept then. All terms are checked before the first call.

        Returns:
            The Xet hash, the SHA-256 and the size in bytes of each file.

        Raises:
            XetError: The shard is invalid, a xorb is missing or does not have the chunks of a
                term, or a file does not have the SHA-256 that the shard declares.
        """
        files = _files(body)
        indexes: dict[str, _Index] = {}
        for file in files:
            for term in _terms(body, file):
                if term.xorb not in indexes:
                    with self._opened(term.xorb) as xorb:
                        indexes[term.xorb] = _index(xorb)
                unpacked = indexes[term.xorb].unpacked
                if not term.first < term.end < len(unpacked):
                    raise XetError(f"xorb {term.xorb} has no chunks {term.first} to {term.end}")
                if unpacked[term.end] - unpacked[term.first] != term.size:
                    raise XetError(
                        f"chunks {term.first} to {term.end} of xorb {term.xorb} are not "
                        f"{term.size} bytes"
                    )

        for file in files:
            stream = self._stream(body, file, indexes)
            store_file(file.sha256, stream)
            for _ in stream:  # the SHA-256 is checked only after the last chunk
                pass
        return [(file.xet_hash, file.sha256, file.size) for file in files]

    def _stream(self, body: bytes, file: _File, indexes: dict[str, _Index]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for term in _terms(body, file):
            with self._opened(term.xorb) as xorb:
                for chunk in range(term.first, term.end):
                    data = _chunk(xorb, indexes[term.xorb], chunk)
                    digest.update(data)
                    yield data
        if digest.hexdigest() != file.sha256:
            raise XetError(f"a file declared with SHA-256 {file.sha256} has {digest.hexdigest()}")

    @contextlib.contextmanager
    def _opened(self, hash_hex: str) -> Iterator[mmap.mmap]:
        try:
            with self._path(hash_hex).open("rb") as file:
                xorb = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise XetError(f"there is no xorb {hash_hex}; upload it before the shard") from None
        with xorb:
            yield xorb

    def _path(self, hash_hex: str) -> Path:
        if not _HASH.fullmatch(hash_hex):
            raise XetError(f"{hash_hex[:80]!r} is not a hash; expected 64 lower-case hex digits")
        return self.folder / hash_hex


def _index(body: bytes | mmap.mmap) -> _Index:
    """The index of a xorb, from the headers of its chunks; nothing is decompressed."""
    if len(body) > MOST_XORB_BYTES:
        raise XetError(f"a xorb may have at most {MOST_XORB_BYTES} bytes, not {len(body)}")
    starts, unpacked = array("I", [0]), array("Q", [0])
    offset = 0
    while offset < len(body) and body[offset : offset + len(_FOOTER)] != _FOOTER:
        if offset + _CHUNK > len(body):
            raise XetError(f"the xorb ends in the middle of a chunk's header, at byte {offset}")
        version, packed, scheme, size = _header(body, offset)
        if version != 0 or scheme not in (_NONE, _LZ4, _BG4_LZ4):
            raise XetError(f"chunk at byte {offset}: version {version}, scheme {scheme} is unknown")
        if not 0 < size <= MOST_CHUNK_BYTES or packed > MOST_CHUNK_BYTES:
            raise XetError(f"chunk at byte {offset}: {packed} bytes for {size} are out of bounds")
        offset += _CHUNK + packed
        if offset > len(body):
            raise XetError(
                f"the xorb ends in the middle of a chunk, {offset - len(body)} bytes short"
            )
        starts.append(offset)
        unpacked.append(unpacked[-1] + size)
        if len(starts) > MOST_XORB_CHUNKS + 1:
            raise XetError(f"a xorb may have at most {MOST_XORB_CHUNKS} chunks")
    if offset == 0:
        raise XetError("a xorb must have at least one chunk")
    return _Index(starts=starts, unpacked=unpacked)


def _header(body: bytes | mmap.mmap, start: int) -> tuple[int, int, int, int]:
    """The fields of a chunk's header: version, compressed size, scheme, decompressed size."""
    head = body[start : start + _CHUNK]
    return head[0], int.from_bytes(head[1:4], "little"), head[4], int.from_bytes(head[5:], "little")


def _chunk(body: bytes | mmap.mmap, index: _Index, chunk: int) -> bytes:
    """The decompressed bytes of a chunk, as many as its header declares."""
    start = index.starts[chunk]
    _, packed, scheme, size = _header(body, start)
    data = body[start + _CHUNK : start + _CHUNK + packed]
    if scheme != _NONE:
        data = _decompressed(data, size)
    if len(data) != size:
        raise XetError(f"chunk {chunk} has {len(data)} bytes; its header declares {size}")
    return _ungrouped(data) if scheme == _BG4_LZ4 else data


def _decompressed(frame: bytes, size: int) -> bytes:
    """An LZ4 frame's content, at most `size` bytes, whatever size the frame itself declares."""
    import lz4.frame

    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        # One byte more than declared: so a longer frame is noticed, and the end of a right one.
        data: bytes = decompressor.decompress(frame, max_length=size + 1)
    except (RuntimeError, MemoryError) as error:
        raise XetError(f"a chunk is not an LZ4 frame ({error})") from None
    if len(data) > size or not decompressor.eof or decompressor.unused_data:
        raise XetError(f"a chunk's LZ4 frame does not end with its {size} bytes")
    return data


def _ungrouped(grouped: bytes) -> bytes:
    """Undo the grouping of scheme BG4: all first bytes of four, then all second ones, and so on."""
    plain = bytearray(len(grouped))
    offset = 0
    for position in range(4):
        length = len(range(position, len(grouped), 4))
        plain[position::4] = grouped[offset : offset + length]
        offset += length
    return bytes(plain)


def _files(body: bytes) -> list[_File]:
    """The files that a shard declares; the list of xorbs after them is not needed."""
    if len(body) > MOST_SHARD_BYTES:
        raise XetError(f"a shard may have at most {MOST_SHARD_BYTES} bytes, not {len(body)}")
    head = struct.pack("<32sQ", _MAGIC, _VERSION)
    if not body.startswith(head) or len(body) < _RECORD.size:
        raise XetError(f"not a shard: it does not begin with the magic tag and version {_VERSION}")
    files = []
    offset = _RECORD.size

    def record() -> tuple[bytes, int, int, int, int]:
        nonlocal offset
        if offset + _RECORD.size > len(body):
            raise XetError(f"the shard ends in the middle of its files, at byte {offset}")
        fields: tuple[bytes, int, int, int, int] = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size
        return fields

    total = 0
    while (header := record())[0] != _BOOKEND:
        xet_hash, flags, entries, _, _ = header
        start = offset
        size = sum(
            record()[2] for _ in range(entries)
        )  # a false count runs into the end of the shard
        total += size
        if total > MOST_FILE_BYTES:
            raise XetError(f"the files of a shard may have at most {MOST_FILE_BYTES} bytes")
        offset += _RECORD.size * entries if flags & _WITH_VERIFICATION else 0
        if not flags & _WITH_SHA256:
            raise XetError(f"file {_hex(xet_hash)} has no SHA-256; declare it")
        sha256 = _hex(record()[0])
        files.append(
            _File(xet_hash=_hex(xet_hash), sha256=sha256, size=size, start=start, entries=entries)
        )
    return files


def _terms(body: bytes, file: _File) -> Iterator[_Term]:
    for offset in range(file.start, file.start + file.entries * _RECORD.size, _RECORD.size):
        xorb, _, size, first, end = _RECORD.unpack_from(body, offset)
        yield _Term(_hex(xorb), size, first, end)


def _hex(raw: bytes) -> str:
    """A hash as the protocol writes it: four little-endian words of 64 bits, in hex."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))
