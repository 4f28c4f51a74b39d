"""A source: the file, folder or Hub dataset that a set starts from, and how lineage names it."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from builders.errors import InputError
from builders.recipe import Raw
from builders.set_names import set_name
from builders.sources.folders import (
    card_of,
    files_not_read,
    files_of,
    folder_records,
    hub_card,
    hub_records,
)
from builders.sources.records import file_records
from builders.sources.rows import Records
from builders.spool import Spool

_ADDRESS = re.compile(r"\w+://(?:[^/]*/datasets/([\w.-]+/[\w.-]+))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the lineage records of a source: never a path of the machine.

    Attributes:
        rows: How many of its rows are used.
        left_out: How many cannot be used, by reason.
        beyond: How many come after the last one that is used, and were not looked at.
        columns: The columns that its prompts are made of.
        licence_name: That of a licence `other`; `licence_from` is who or what states it.
    """

    name: str
    revision: str
    rows: int
    left_out: Mapping[str, int]
    beyond: int
    columns: Sequence[str]
    licence: str
    written_by: str
    licence_name: str | None = None
    licence_link: str | None = None
    licence_from: str | None = None

    def facts(self) -> dict[str, Any]:
        """The same as a plain dict, without what is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What to read: a file, a folder or a Hub id.

    Attributes:
        place: `-` is the standard input.
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


class LeftOut(NamedTuple):
    """A row of a source that is not used: its place, the reason in a word or two, and the cause.

    `before` is the number of rows before it that are used.
    """

    place: str
    reason: str
    why: str
    before: int = 0


class LoadedSource(NamedTuple):
    """What was read of a source.

    Attributes:
        rows: The rows that are used, in memory or on disk.
        revision: Of a file or a folder a sha256, of a Hub dataset the commit that was read.
        left_out: The rows that cannot be used.
        beyond: How many rows come after the last one that is used, and were not looked at.
        parts: The files or splits that were read.
        columns: The columns that prompts are made of.
        forms: The same by the column that asks, where rows differ in that.
        unused: The other columns.
        doubtful: Those of them that may be part of a prompt, with the columns to name for it.
        skipped: The files of a folder that hold no rows.
        with_answers: How many prompts may end with their answer.
    """

    rows: list[Raw] | Spool[Raw]
    revision: str
    left_out: list[LeftOut]
    beyond: int = 0
    parts: Sequence[str] = ()
    columns: Sequence[str] = ()
    forms: Sequence[Sequence[str]] = ()
    unused: Sequence[str] = ()
    doubtful: Mapping[str, str] = {}
    skipped: Sequence[str] = ()
    with_answers: int = 0


def absolute_place(place: str) -> str:
    """A source's place that is the same from every folder."""
    path = Path(place)
    return str(path.absolute()) if path.exists() else place


def shown_name(place: str) -> str:
    """The name by which a source is shown: of a file or a folder the last part of its path."""
    if "/" in place and not Path(place).exists():
        return place
    name = "stdin" if place == "-" else Path(place).name
    return name if name.strip(".") else Path(place).resolve().name


def source_records(source: Source) -> tuple[Records, str]:
    """The rows of a source, each with its place, and the source's revision.

    The revision of a file is its sha256, that of a folder the sha256 of those of its files, that of
    a Hub dataset the commit that was read.

    Raises:
        InputError: There is no such place, or it cannot be read; where only a part of it cannot,
            in the iteration.
    """
    path = Path("/dev/stdin" if source.place == "-" else source.place)
    if source.revision and path.exists():
        raise InputError(
            f"{path.name} is on this machine and has no revisions; leave out --revision"
        )
    if path.is_file() or path.is_fifo():
        if source.config:
            raise InputError(f"{path.name} is a file, which has no configs; leave out --config")
        if path.is_fifo():
            return _pipe_records(path, source.split)
        return file_records(path, source.split), f"sha256:{_sha256(path)}"
    if path.is_dir():
        files = files_of(path, source.config, source.split)
        digests = "".join(f"{name} {_sha256(path / name)}\n" for name in files)
        revision = hashlib.sha256(digests.encode("utf-8", "surrogateescape")).hexdigest()
        return folder_records(path, files), f"sha256:{revision}"
    if "@" not in source.place and set_name(source.place, source.revision):
        return hub_records(source.place, source.config, source.split, source.revision)
    if path.exists():
        raise InputError(
            f"{source.place!r} is a terminal, a device or a socket; give a file, a folder or a pipe"
        )
    if found := _ADDRESS.match(source.place):
        way = f"for the dataset on the Hub give {found[1]}" if found[1] else "give a file of it"
        raise InputError(f"{source.place!r} is an address, and none is read; {way}")
    raise InputError(
        f"there is no file {source.place!r}; give a .jsonl, .json, .csv, .tsv, .txt or .parquet "
        "file, a folder of them, or a Hub dataset as org/name, with --revision main if its name "
        "looks like a path"
    )


def _pipe_records(path: Path, split: str | None) -> tuple[Records, str]:
    """The rows of a pipe, such as `/dev/stdin`, from a copy: it can be read only once."""
    folder = tempfile.TemporaryDirectory(prefix="potstill-")
    copy = Path(folder.name) / path.name
    with path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)

    def records() -> Records:
        with folder:
            yield from file_records(copy, split)

    return records(), f"sha256:{_sha256(copy)}"


def source_card(source: Source, revision: str) -> str:
    """The card of a folder, or of a Hub dataset at the commit that was read; empty without one."""
    path = Path(source.place)
    if path.is_dir():
        return card_of(path / "README.md")
    return "" if path.exists() else hub_card(revision)


def skipped_files(source: Source) -> list[str]:
    """The files of a folder that are not read, as none of a form that holds rows."""
    path = Path(source.place)
    return files_not_read(path, source.config, source.split) if path.is_dir() else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
