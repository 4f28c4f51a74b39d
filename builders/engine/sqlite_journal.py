"""Whether SQLite would drop recorded transactions from the journal that a killed build leaves.

SQLite reads a journal up to the first frame whose checksum is wrong, and drops the rest without an
error. Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import functools
import struct
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.engine.sqlite_rows import PAGE

Words = NDArray[np.uint32]

_HEADER = 32  # bytes of the journal
_OF_FRAME = struct.Struct(">II8sII")  # page, pages after a commit or 0, salts, checksum
_LOOK_AGAIN_S = 0.05


def drops_transactions(journal: Path) -> bool:
    """Whether whole transactions follow a damaged frame; False while another process writes."""
    if not _drops(journal):
        return False
    before = journal.stat()
    time.sleep(_LOOK_AGAIN_S)
    after = journal.stat()
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return same and _drops(journal)


def _drops(journal: Path) -> bool:
    content = journal.read_bytes()
    if len(content) < _HEADER:
        return False
    words = "<u4" if content[3] == 0x82 else ">u4"  # of the checksums, by the magic number
    page_bytes = int.from_bytes(content[8:12], "big")
    if page_bytes not in {2**power for power in range(9, 17)}:
        page_bytes = PAGE
    frame_bytes = _OF_FRAME.size + page_bytes
    frames = range(_HEADER, len(content) - frame_bytes + 1, frame_bytes)
    sums = _sums(np.frombuffer(content, words, 6), (0, 0))
    good = sums == struct.unpack_from(">II", content, 24)
    # Where the header is damaged, the first frame has its salts.
    salts = content[16:24] if good else content[_HEADER + 8 : _HEADER + 16]
    commits = 0  # after the first frame that is damaged
    for at in frames:
        _, pages_after, own_salts, *wanted = _OF_FRAME.unpack_from(content, at)
        if good:
            sums = _sums(np.frombuffer(content, words, 2, at), sums)
            sums = _sums(np.frombuffer(content, words, page_bytes // 4, at + _OF_FRAME.size), sums)
            good = own_salts == salts and sums == tuple(wanted)
        if not good and own_salts == salts and pages_after:
            commits += 1
    return commits > 1  # one may be the transaction that was being written


def _sums(words: Words, sums: tuple[int, int]) -> tuple[int, int]:
    """SQLite's checksum of an even number of words, after another: a += word + b; b += word + a."""
    at = len(words) // 2
    powers = _powers(at)
    odd, even = words[::2].astype(np.uint32), words[1::2].astype(np.uint32)
    added = odd, odd + even
    start = [np.uint32(one) for one in sums]
    found = []
    with np.errstate(over="ignore"):
        for row in (0, 1):
            total = powers[row][0][at] * start[0] + powers[row][1][at] * start[1]
            for column in (0, 1):
                total += (powers[row][column][at - 1 :: -1] * added[column]).sum(dtype=np.uint32)
            found.append(int(total))
    return found[0], found[1]


@functools.cache
def _powers(most: int) -> list[list[Words]]:
    """The powers 0 to `most` of [[1, 1], [1, 2]] modulo 2**32, by row and column."""
    fibonacci = [1, 0]  # of -1 and 0, from which all follow
    for _ in range(2 * most + 1):
        fibonacci.append((fibonacci[-1] + fibonacci[-2]) % 2**32)
    numbers = np.array(fibonacci, np.uint32)
    before, own, after = (numbers[first : first + 2 * most + 1 : 2] for first in (0, 1, 2))
    return [[before, own], [own, after]]
