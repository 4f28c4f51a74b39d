"""Files that are whole or absent, and the same bytes for the same rows."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from builders.errors import FolderError
from builders.schema import Row, Schema

ROW_GROUP = 1000


@contextlib.contextmanager
def whole_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder beside where its content will stand; gone at the end unless renamed.

    Raises:
        FolderError: For every way in which the disk says no.
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


def folder_error(error: OSError, folder: Path) -> FolderError:
    """What a failed write means to the person who named the folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(
            f"no room left in {folder}; nothing was changed; make room or name another folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FolderError(
            f"no right to write in {folder}; nothing was changed; get it or name another folder"
        )
    return FolderError(f"cannot write in {folder} ({error.strerror or error}); name another folder")


def write_parquet(path: Path, schema: Schema, rows: Iterable[Row]) -> None:
    """Rows as one file with the declared schema and nothing else in its metadata.

    Row groups of 1,000 rows and a page index, as the Hub's viewer likes them. The same rows give
    the same bytes; only a row group is held in memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = {"compression": "zstd", "write_page_index": True, "store_schema": False}
    stream = iter(rows)
    with pq.ParquetWriter(path, schema.arrow, **options) as writer:
        while group := list(itertools.islice(stream, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema.arrow))

    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a file, a row group at a time in memory."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP):
            yield from batch.to_pylist()


def canonical_json(value: object) -> str:
    """JSON as potstill writes it everywhere: readable, UTF-8, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
