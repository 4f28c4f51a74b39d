"""The rows of a damaged SQLite file: those on every page that can be read, whatever others hold.

Source: the SQLite file format (https://www.sqlite.org/fileformat2.html). Rows are on the leaves of
the trees of tables; nothing above a leaf is looked at.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = 4096  # bytes
_LEAF = b"\x0d"  # the type of a page with rows of a table
_KINDS = (0x0D, 0x05, 0x0A, 0x02, 0)  # 0 begins the rest of a long row, or a free page
_INDEX = {b"\x0a": (8, 0), b"\x02": (12, 4)}  # of an index: bytes before pointers, cells
_NUMBERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8}  # bytes by serial type; 7 is a float
_FRAME = struct.Struct(">II8s")  # of the journal: page, pages after a commit or 0, salts


class Pages:
    """The pages of a database, the newest version of each: that in the journal, if it is there."""

    def __init__(self, path: Path) -> None:
        self._main = _mapped(path)
        self._journal = _mapped(path.with_name(f"{path.name}-wal"))
        self._newest = dict(self._committed())
        self._spare = self._main[20] if self._main[16:18] == PAGE.to_bytes(2, "big") else 0

    def _committed(self) -> Iterator[tuple[int, int]]:
        """Page numbers and the places of their content in the journal, up to its last commit."""
        frames: list[tuple[int, int]] = []
        places = range(32, len(self._journal) - PAGE - 23, PAGE + 24)
        # Those of earlier transactions, which are in the file, have other salts; so may the header.
        known = [self._journal[16:24], *(self._journal[at + 8 : at + 16] for at in places[:2])]
        own_salts = Counter(known).most_common(1)[0][0]
        for at in places:
            page, pages_after, salts = _FRAME.unpack_from(self._journal, at)
            if salts != own_salts:
                continue
            frames.append((page, at + 24))
            if pages_after:
                yield from frames
                frames = []

    def _page(self, number: int) -> bytes:
        if number in self._newest:
            at = self._newest[number]
            return self._journal[at : at + PAGE]
        return self._main[(number - 1) * PAGE : number * PAGE]

    @property
    def _last(self) -> int:
        """The number of the last page, which may be cut off."""
        return max([-(-len(self._main) // PAGE), *self._newest])

    def number(self, at: int) -> int:
        """A number of four bytes in the header of the file."""
        return int.from_bytes(self._page(1)[at : at + 4], "big")

    @property
    def all_there(self) -> bool:
        """Whether the header can be read and no page is missing, empty or of no known kind."""
        whole = self._page(1).startswith(b"SQLite format 3\0") and self.number(28) <= self._last
        return whole and all(map(self._may_be_whole, range(2, self._last + 1)))

    def _may_be_whole(self, number: int) -> bool:
        page = self._page(number)
        return len(page) == PAGE and page[0] in _KINDS and page.count(0) < PAGE

    def entries(self) -> Iterator[list[Any]]:
        """The values of all that looks like an entry of an index; the last is the row's id."""
        for number in range(2, self._last + 1):
            page = self._page(number)
            if page[:1] not in _INDEX:
                continue
            header, link = _INDEX[page[:1]]
            for cell in range(min(int.from_bytes(page[3:5], "big"), PAGE // 4)):
                with contextlib.suppress(IndexError, ValueError, struct.error):
                    pointer = header + 2 * cell
                    at = int.from_bytes(page[pointer : pointer + 2], "big") + link
                    size, at = _varint(page, at)
                    yield _values(page[at : at + size])

    def rows(self) -> Iterator[tuple[int, int, int, list[Any]]]:
        """Page, cell, id and values of all that looks like a row."""
        for number in range(1, self._last + 1):
            page = self._page(number)
            at = 100 if number == 1 else 0
            if page[at : at + 1] != _LEAF:
                continue
            for cell in range(min(int.from_bytes(page[at + 3 : at + 5], "big"), PAGE // 4)):
                with contextlib.suppress(IndexError, ValueError, struct.error):
                    yield number, cell, *self.row(number, cell)

    def row(self, number: int, cell: int) -> tuple[int, list[Any]]:
        """The id and the values of a row.

        Raises:
            IndexError, ValueError, struct.error: There is no such row.
        """
        page = self._page(number)
        pointer = (100 if number == 1 else 0) + 8 + 2 * cell
        at = int.from_bytes(page[pointer : pointer + 2], "big")
        size, at = _varint(page, at)
        identity, at = _varint(page, at)
        return identity, _values(self._payload(page, at, size))

    def _payload(self, page: bytes, at: int, size: int) -> bytes:
        usable = PAGE - self._spare
        if size > len(self._main) + len(self._journal):
            raise ValueError("larger than the file")
        if size <= usable - 35:
            return page[at : at + size]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= usable - 35 else least
        parts = [page[at : at + local]]
        left, following = size - local, page[at + local : at + local + 4]
        while left > 0:
            page = self._page(int.from_bytes(following, "big"))
            part = page[4 : 4 + min(left, usable - 4)]
            if len(part) < min(left, usable - 4):
                raise ValueError("no such page, or it is cut off")
            parts.append(part)
            left, following = left - (usable - 4), page[:4]
        return b"".join(parts)


def _mapped(path: Path) -> mmap.mmap | bytes:
    if not path.exists() or not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | page[place] & 0x7F
        if page[place] < 0x80:
            return value, place + 1
    return value << 8 | page[at + 8], at + 9


def _values(payload: bytes) -> list[Any]:
    """The values of a record."""
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        size = (kind - 12) // 2 if kind >= 12 else _NUMBERS.get(kind, 0)
        content = payload[at : at + size]
        at += size
        if len(content) < size or kind in (10, 11):
            raise ValueError("a torn record")
        if kind in (0, 8, 9):
            values.append(None if kind == 0 else kind - 8)
        elif kind == 7:
            values.append(struct.unpack(">d", content)[0])
        elif kind < 12:
            values.append(int.from_bytes(content, "big", signed=True))
        else:
            values.append(content.decode() if kind % 2 else content)
    return values
