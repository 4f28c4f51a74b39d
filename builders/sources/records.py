"""Reads the records of a file, a folder or a Hub dataset, each with its place for an error.

The one reader of JSON Lines, JSON, CSV, Parquet and text; what a record means is the caller's
business. Only strangers' files are read elsewhere: in the sandbox, under its limits.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from builders.errors import InputError, shortened

Records = Iterable[tuple[str, dict[str, Any]]]  # the place, such as "a.jsonl, line 3", and the row
_COMMIT = re.compile(r"[0-9a-f]{40}")


def file_records(path: Path, *, wrapped: bool = False) -> Records:
    """The records of a file, in the form that its suffix names; JSON Lines for an unknown one.

    Args:
        path: A .jsonl, .json, .csv, .txt (a record per line, its text in `text`) or .parquet file.
        wrapped: Whether a .json file may be an object too: the first list in it holds the records,
            without one it is the only record.

    Raises:
        InputError: At once where the file cannot be opened; at the record that is broken.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror}); name a file that you have the right "
            "to read"
        ) from None
    if path.suffix == ".json":
        return _json(path, wrapped=wrapped)
    return {".parquet": _parquet, ".csv": _csv, ".txt": _text}.get(path.suffix, _json_lines)(path)


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Only \n ends a line: U+2028 and the like may be inside a JSON string.
    return enumerate(_content(path).split("\n"), 1)


def _text(path: Path) -> Records:
    lines = list(_lines(path))
    if not lines[-1][1]:  # what follows the last line break is no line
        lines.pop()
    for number, line in lines:
        yield f"{path.name}, line {number}", {"text": line}


def _json_lines(path: Path) -> Records:
    for number, line in _lines(path):
        if line.strip():
            row = _parsed(line, path, number, "one object per line; fix the line")
            if not isinstance(row, dict):
                raise InputError(
                    f"{path.name}, line {number}: {shortened(row)} is not an object; fix the line"
                )
            yield f"{path.name}, line {number}", row


def _json(path: Path, *, wrapped: bool) -> Records:
    expected = "a list of objects; for one object per line name the file .jsonl"
    rows = _parsed(_content(path), path, None, expected)
    if wrapped and isinstance(rows, dict):
        rows = next((value for value in rows.values() if isinstance(value, list)), [rows])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path.name} holds {shortened(rows)}, expected {expected}")
    for number, row in enumerate(rows, 1):
        yield f"{path.name}, row {number}", row


def _parsed(text: str, path: Path, line: int | None, expected: str) -> Any:
    """The value of a JSON text: that of one line of a file, or of a whole file (`line` is None)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name}, line {line or error.lineno}: not JSON ({error.msg} at column "
            f"{error.colno}); expected {expected}"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        where = f", line {line}" if line else ""
        raise InputError(f"{path.name}{where}: {error}; expected {expected}") from None


def _csv(path: Path) -> Records:
    reader = csv.DictReader(io.StringIO(_content(path), newline=""))
    try:
        for number, row in enumerate(reader, 1):
            yield f"{path.name}, row {number}", row
    except csv.Error as error:
        raise InputError(
            f"{path.name}, line {reader.line_num + 1}: not CSV ({error}); fix the line, or give "
            "the file as .jsonl or .parquet"
        ) from None


def _parquet(path: Path) -> Records:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name}, row {number}", row
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path.name} is not a parquet file ({first}); give another") from None


def dataset_records(place: str, split: str | None, revision: str | None) -> tuple[Records, str]:
    """The records of a folder or a Hub dataset, as `load_dataset` reads it, and their revision.

    The split is `train`, else the first one, unless another is named. The revision of a Hub dataset
    is the commit that was read, that of a folder is "main".

    Raises:
        InputError: It cannot be loaded, or has no such split.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it raises what matters
    # No server but the Hub receives the name: neither its viewer nor what counts downloads.
    datasets.config.USE_PARQUET_EXPORT = False
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        splits = datasets.get_dataset_split_names(place, revision=revision)
        split = split or ("train" if "train" in splits else splits[0])
        if split not in splits:
            raise InputError(
                f"{place!r} has no split {split!r}; there are {', '.join(splits)}; "
                "name one with --split"
            )
        rows = datasets.load_dataset(place, revision=revision, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        if reason.endswith("corresponds to no data!"):  # how `datasets` reports a split of 0 rows
            return [], revision or "main"
        raise InputError(
            f"{place!r} could not be loaded: {reason}; check the name, the revision, "
            "the connection and the token"
        ) from None
    records = ((f"{place}, split {split}, row {n}", row) for n, row in enumerate(rows, 1))
    return records, "main" if Path(place).is_dir() else _commit(rows, place, revision)


def _commit(rows: Any, place: str, revision: str | None) -> str:
    """The commit at which `datasets` read from a Hub, from the name of the cache folder it used.

    The Hub knows where a branch is now, not what was read: when it cannot be reached `datasets`
    takes the newest commit in its cache, even where another revision was named.
    """
    commits = {Path(file["filename"]).parent.name for file in rows.cache_files}
    commit = commits.pop() if len(commits) == 1 else ""
    if not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{place!r}: `datasets` does not report which commit it read; download the file and "
            "give its path"
        )
    if _COMMIT.fullmatch(revision or "") and commit != revision:
        raise InputError(
            f"{place!r} at {revision} could not be reached, only {commit} is in the cache; check "
            "the connection, or name that one"
        )
    return commit
