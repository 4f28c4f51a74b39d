"""A release read back as any reader would, and compared value by value, in constant memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.errors import PotstillError

_BATCH = 100  # rows compared at once: a row may be long


def read_back(folder: Path, wanted: Mapping[str, Sequence[Path]]) -> None:
    """Load every config with `datasets`, as a stream, and compare value by value.

    Args:
        folder: The release folder.
        wanted: For each config the files whose rows it must hold, in their order.

    Raises:
        PotstillError: Something differs; that is a bug in the house, named with its row.
    """
    import datasets
    from pyarrow.dataset import ParquetFragmentScanOptions

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
        for config, files in wanted.items():
            # Streamed, since memory shall not grow with the set, and since datasets 5.2 otherwise
            # says that a split of 0 rows "corresponds to no data!".
            loaded = datasets.load_dataset(
                str(folder),
                config,
                split="train",
                cache_dir=cache,
                streaming=True,
                fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False),
            )
            compare(config, loaded, files)


def compare(config: str, loaded: Any, files: Sequence[Path]) -> None:
    """Compare what `datasets` streams of a config with the files whose rows it must hold, in order.

    Raises:
        PotstillError: A row differs, or their number, or what the card declares of it.
    """
    pairs = itertools.zip_longest(
        _even(loaded.with_format("arrow").iter(_BATCH)), _even(_batches(files))
    )
    place = 0
    for read, held in pairs:
        if read is None or held is None or not _same(read, held):
            _tell(config, place, read, held)
        place += held.num_rows
    split = (loaded.info.splits or {}).get("train")
    if split is not None and split.num_examples != place:
        raise PotstillError(
            f"config {config!r}: the card declares {split.num_examples} rows, "
            f"the files hold {place}"
        )


def _same(read: Any, held: Any) -> bool:
    if read.column_names != held.column_names or read.num_rows != held.num_rows:
        return False
    return bool(read.cast(held.schema).equals(held))


def _tell(config: str, place: int, read: Any, held: Any) -> None:
    rows = (table.to_pylist() if table is not None else [] for table in (read, held))
    for found, row in itertools.zip_longest(*rows):
        if found != row:
            raise PotstillError(
                f"config {config!r}, row {place}: reads back as {found!r}, expected {row!r}"
            )
        place += 1


def _batches(files: Sequence[Path]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH):
                yield pa.Table.from_batches([batch])


def _even(tables: Iterable[Any]) -> Iterator[Any]:
    """The same rows in tables of one length, the last one shorter."""
    import pyarrow as pa

    left = None
    for table in tables:
        left = table if left is None else pa.concat_tables([left, table])
        whole = left.num_rows - left.num_rows % _BATCH
        yield from (left.slice(start, _BATCH) for start in range(0, whole, _BATCH))
        # A slice without rows would still hold on to all that was read before.
        left = left.slice(whole) if whole < left.num_rows else None
    if left is not None:
        yield left
