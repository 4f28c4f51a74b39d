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
from builders.sources.folders import files_of, folder_records, hub_records
from builders.sources.records import Records, file_records

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
    """What to read: a file, a folder or a Hub id.

    Attributes:
        config: Of a folder or a Hub dataset with several configs.
        split: None reads all splits.
        column: The column with the prompts; A+B joins the texts of two. None finds the usual ones.
        revision: Of a Hub dataset.
    """

    place: str
    config: str | None = None
    split: str | None = None
    column: str | None = None
    revision: str | None = None


class LoadedSource(NamedTuple):
    """The rows of a source, its revision (of a file: sha256), and the rows left out by reason."""

    rows: list[Raw]
    revision: str
    left_out: dict[str, int]


def source_records(source: Source) -> tuple[Records, str]:
    """The rows of a source, each with its place, and the source's revision.

    The revision of a file is its sha256, that of a folder the sha256 of those of its files, that of
    a Hub dataset the commit that was read.

    Raises:
        InputError: There is no such place, or it cannot be read; where only a part of it cannot,
            in the iteration.
    """
    path = Path(source.place)
    if path.is_file():
        if source.config:
            raise InputError(f"{path.name} is a file, which has no configs; leave out --config")
        return file_records(path, source.split), f"sha256:{_sha256(path)}"
    if path.is_dir():
        files = files_of(path, source.config, source.split)
        digests = "".join(f"{name} {_sha256(path / name)}\n" for name in files)
        revision = hashlib.sha256(digests.encode("utf-8", "surrogateescape")).hexdigest()
        return folder_records(path, files), f"sha256:{revision}"
    if _HUB_ID.fullmatch(source.place) and not path.suffix:
        return hub_records(source.place, source.config, source.split, source.revision)
    raise InputError(
        f"there is no file {source.place!r}; give a .jsonl, .json, .csv, .tsv, .txt or .parquet "
        "file, a folder of them, or a Hub dataset as org/name"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
