"""A source: the file, folder or Hub dataset that a set starts from, and how lineage names it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from builders.errors import InputError
from builders.recipe import Raw
from builders.sources.records import Records, dataset_records, file_records

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the lineage records of a source: never a path of the machine.

    `rows` counts the rows that can be used, `left_out` the others, by reason.
    """

    name: str
    revision: str
    rows: int
    left_out: Mapping[str, int]
    licence: str
    written_by: str

    def facts(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What to read: a file, a folder or a Hub id; split, column and revision where it has them."""

    place: str
    split: str | None = None
    column: str | None = None
    revision: str | None = None


class LoadedSource(NamedTuple):
    """The rows of a source, its revision (of a file: sha256), and the rows left out by reason."""

    rows: list[Raw]
    revision: str
    left_out: dict[str, int]


def source_records(source: Source) -> tuple[Records, str]:
    """The records of a source, each with its place, and the source's revision.

    Raises:
        InputError: There is no such place, or it cannot be read; a broken record raises when the
            iteration comes to it.
    """
    path = Path(source.place)
    if path.is_file():
        records = file_records(path)
        with path.open("rb") as file:
            return records, "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    if path.is_dir() or (_HUB_ID.fullmatch(source.place) and not path.suffix):
        return dataset_records(source.place, source.split, source.revision)
    raise InputError(
        f"there is no file {source.place!r}; give a .jsonl, .json, .csv, .txt or .parquet file, "
        "a folder that load_dataset reads, or a Hub dataset as org/name"
    )
