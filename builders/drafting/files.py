"""Folders that are whole or absent, and files with the same bytes for the same rows."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import InputError, folder_error
from builders.schema import Row, Schema

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1000
ROW_GROUP_BYTES = 64_000_000  # in memory; the Hub's viewer takes 300 MB, and prefers 100
OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_index": True, "store_schema": False}
_AT_ONCE = 50  # rows that are converted to Arrow before their size is checked


@contextlib.contextmanager
def whole_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in `parent`, which is deleted at the end unless it was renamed.

    Raises:
        FolderError: For every OSError inside the block.
    """
    made = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
        made.chmod(0o755)
        yield made
    except OSError as error:
        raise folder_error(error, parent) from None
    finally:
        if made and made.exists():
            shutil.rmtree(made, ignore_errors=True)


def write_parquet(path: Path, schema: Schema, rows: Iterable[Row]) -> None:
    """Write rows as one file with the declared schema and no other metadata.

    It has row groups of 1,000 rows, fewer where rows are long, and a page index, which suits the
    Hub's viewer. The same rows give the same bytes; only one row group is held in memory.
    """
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema.arrow, **OPTIONS) as writer:
        for group in _row_groups(rows, schema.arrow):
            writer.write_table(group)


def _row_groups(rows: Iterable[Row], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    parts: list[pa.Table] = []
    held = long = 0
    stream = iter(rows)
    while some := list(itertools.islice(stream, _AT_ONCE)):
        table = pa.Table.from_pylist(some, schema=schema)
        step = _AT_ONCE if table.nbytes <= ROW_GROUP_BYTES else 1
        for start in range(0, table.num_rows, step):
            part = table.slice(start, step)
            if parts and (held + part.nbytes > ROW_GROUP_BYTES or long + part.num_rows > ROW_GROUP):
                yield pa.concat_tables(parts).combine_chunks()
                parts, held, long = [], 0, 0
            parts.append(part)
            held, long = held + part.nbytes, long + part.num_rows
    if parts:
        yield pa.concat_tables(parts).combine_chunks()


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a file, a row group at a time in memory.

    Raises:
        InputError: In the iteration, where the file is missing or damaged.
    """
    for batch in parquet_batches(path, ROW_GROUP):
        yield from batch.to_pylist()


def parquet_batches(path: Path, most: int) -> Iterator[pa.RecordBatch]:
    """The same as batches of at most so many rows."""
    import pyarrow.parquet as pq

    with damage_named(path):
        file = pq.ParquetFile(path, pre_buffer=False)
    with file:
        batches = file.iter_batches(most)
        while True:
            with damage_named(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def parquet_columns(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        InputError: The file is missing or damaged.
    """
    import pyarrow.parquet as pq

    with damage_named(path):
        names: list[str] = pq.read_schema(path).names
    return names


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """One line about a Parquet file for all that says that it cannot be read.

    Raises:
        InputError: In place of an error of Arrow or the system.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        why = (str(error).splitlines() or ["unreadable"])[0]
        raise InputError(f"{path} is damaged ({why}); fetch it or build again") from None


def read_json(path: Path, *names: str) -> dict[str, Any]:
    """The object with these names in a JSON file that a build wrote.

    Raises:
        InputError: The file is torn or holds something else.
        FileNotFoundError: There is none.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected a file; move it away and build again")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict) or not value.keys() >= {*names}:
            raise TypeError("it holds something else")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({error}); build again with the teacher to write it anew: every "
            "answer is in the ledger"
        ) from None
    return value


def canonical_json(value: object) -> str:
    """JSON in the form of all files of potstill: readable, UTF-8, one text for one value."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
