"""Write a config's rows as shards of whole row groups, the same for the same rows."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.drafting.files import OPTIONS

# A reader's memory grows with the largest file, since pyarrow decodes ahead: 100 MB are read back
# in 0.6 GB, the 500 MB of a shard by `datasets` would take over 2 GB.
SHARD_BYTES = 100_000_000


class _HashedFile(io.BufferedWriter):
    """A file whose sha256 is computed while it is written, so that it is not read again for it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))
        self.sha256 = hashlib.sha256()

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        return super().write(content)


def write_shards(source: Path, to: Path, most_bytes: int = SHARD_BYTES) -> dict[Path, str]:
    """Write a file's rows as `to`/train-00000-of-0000N.parquet; return the sha256 of each shard.

    A file of at most `most_bytes` is copied; a larger one is split into shards of about one size,
    each of whole row groups, so a large row group may still exceed the limit.
    """
    import pyarrow.parquet as pq

    to.mkdir(parents=True)
    size = source.stat().st_size
    if size <= most_bytes:
        with _HashedFile(to / _name(0, 1)) as target, source.open("rb") as opened:
            shutil.copyfileobj(opened, target)
            return {to / _name(0, 1): target.sha256.hexdigest()}
    written: dict[Path, str] = {}
    with pq.ParquetFile(source, pre_buffer=False) as file:
        weights = [_weight(file.metadata.row_group(n)) for n in range(file.num_row_groups)]
        cuts = _cuts(weights, -(-size // most_bytes))
        for n, groups in enumerate(cuts):
            path = to / _name(n, len(cuts))
            with _HashedFile(path) as target:
                with pq.ParquetWriter(target, file.schema_arrow, **OPTIONS) as writer:
                    for group in groups:
                        writer.write_table(file.read_row_group(group))
                written[path] = target.sha256.hexdigest()
    return written


def _name(shard: int, shards: int) -> str:
    return f"train-{shard:05d}-of-{shards:05d}.parquet"


def _weight(group: Any) -> int:
    return sum(group.column(n).total_compressed_size for n in range(group.num_columns))


def _cuts(weights: Sequence[int], shards: int) -> list[range]:
    """The row groups of each shard: no shard is empty, each ends at its share of the bytes."""
    whole, sum_, start = sum(weights), 0, 0
    cuts: list[range] = []
    for place, weight in enumerate(weights):
        sum_ += weight
        if sum_ * shards >= whole * (len(cuts) + 1):
            cuts.append(range(start, place + 1))
            start = place + 1
            # A large row group may fill the shares of several shards; those shards are left out.
            shards = len(cuts) + min(shards - len(cuts), len(weights) - start)
    return cuts
