"""Rows of files, and columns of rows: verdicts and labels in the ways they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builders.errors import InputError
from builders.judging.verdicts import ABSENT, FAILED, TIE, A, B, Codes, Numbers, Texts
from builders.sources.records import file_records, readable

Row = Mapping[str, Any]
_AS_WRITTEN = {
    **dict.fromkeys(("a", "1", "[[a]]", "model_a", "model_1", "output_1", "response1", "first"), A),
    **dict.fromkeys(("b", "2", "[[b]]", "model_b", "model_2", "output_2", "response2"), B),
    **dict.fromkeys(("second",), B),
    **dict.fromkeys(("tie", "0", "c", "[[c]]", "equal", "draw", "both"), TIE),
}
LABELS = "a or 1, b or 2, tie or 0"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, or of the files of a folder that hold verdicts.

    Raises:
        InputError: There is no such file, it holds no row, or it is broken.
    """
    if path.is_dir():
        files = _files(path)
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"there is no {path}; give a .jsonl, .json or .parquet file or a folder")
    if bad := [file.name for file in files if file.suffix not in (".jsonl", ".json", ".parquet")]:
        raise InputError(f"{bad[0]} is neither .jsonl, .json nor .parquet; convert it")
    rows = [row for file in files for _, row in readable(file_records(file))]
    if not rows:
        raise InputError(f"{path.name} holds no row; expected one per judged pair")
    return rows


def _files(folder: Path) -> list[Path]:
    """A set's verdicts, or its default config, or else all .parquet or .jsonl files."""
    patterns = (
        *("data/verdicts/*.parquet", "verdicts.parquet", "data/default/*.parquet"),
        *("default.parquet", "*.parquet", "*.jsonl"),
    )
    for pattern in patterns:
        if files := sorted(folder.glob(pattern)):
            return files
    raise InputError(
        f"{folder} holds no data/verdicts, data/default or other .parquet or .jsonl file; name "
        "the file, or a release's or draft's folder"
    )


def verdicts(values: Iterable[Any], where: str, *, people: bool = False) -> Codes:
    """Codes of written verdicts; an unreadable one is FAILED, or an error where people wrote it."""
    found = []
    for place, value in enumerate(values):
        if value is None or value == "":
            found.append(ABSENT if people else FAILED)
            continue
        whole = isinstance(value, float) and value.is_integer()
        code = _AS_WRITTEN.get(str(int(value) if whole else value).strip().lower())
        if code is None and people:
            raise InputError(
                f"{where}, row {place + 1}: {value!r} is no label; expected {LABELS}; fix it, or "
                "leave it out where nobody labelled the pair"
            )
        found.append(FAILED if code is None else code)
    return np.array(found, np.int8)


def numbers(values: Iterable[Any], where: str) -> Numbers:
    """A column of numbers; None is NaN."""
    try:
        return np.array([np.nan if one is None else float(one) for one in values], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} holds something other than numbers ({error}); fix it") from None


def texts(values: Iterable[Any]) -> Texts:
    """A column of texts; None stays None."""
    given = [None if one is None else text(one) for one in values]
    made = np.empty(len(given), np.object_)
    made[:] = given
    return made


def text(value: Any) -> str:
    """A text as it is, or the contents of a dialogue's turns."""
    if isinstance(value, list):
        return "\n".join(
            str(turn.get("content", "")) if isinstance(turn, dict) else str(turn) for turn in value
        )
    return str(value)


def lengths(values: Iterable[Any]) -> Numbers:
    """The characters of each text; None is NaN."""
    return np.array([np.nan if one is None else len(text(one)) for one in values], np.float64)


def column(rows: Sequence[Row], name: str) -> list[Any]:
    """One column of rows; None where a row has no such key."""
    return [row.get(name) for row in rows]


def ids(rows: Sequence[Row], *names: str) -> list[str]:
    """The ids of rows in the first of these columns that there is, else their places."""
    name = next((one for one in names if one in rows[0]), None)
    return [str(row.get(name) if name else place) for place, row in enumerate(rows)]
