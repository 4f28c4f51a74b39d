"""Which files of a folder, or which configs and splits of a Hub dataset, hold the rows.

A folder is read file by file, each with its own columns. Where its card declares configs, or a
config or split is named, `datasets` decides which files those are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import Any

from builders.errors import InputError, nearest_name, number_of
from builders.hub_address import hub_address
from builders.sources.arrow_tables import rows_of
from builders.sources.records import file_records, is_data_file, suffix_of
from builders.sources.rows import Records, Unreadable

_BATCH = 1000  # rows in memory at once
_SAME_KIND = {".json", ".jsonl", ".ndjson"}
_OTHER_KIND = (
    "a data file of another kind than those that `datasets` reads; download the set and give its "
    "folder to read them all"
)
_IN_FILE = re.compile(r"generating data using\s+(\S+)")
_DIFFER = "its files differ in columns"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_OF_CARD = 1_000_000  # characters
_ABOUT = {"README", "LICENSE", "LICENCE", "NOTICE", "CITATION", "CHANGELOG"}
_ABOUT_SETS = {"manifest.json", "advisories.json"}  # of a release
# What `datasets` writes beside the data.
_NOT_ROWS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


def files_of(folder: Path, config: str | None, split: str | None) -> list[str]:
    """The names of the files of a folder that hold its rows, in order; of one split if named.

    Raises:
        InputError: There is none, or no such config or split.
    """
    if config or split or _declares_configs(folder / "README.md"):
        return _declared_files(folder, config, split)
    if (folder / "default.parquet").is_file():  # a draft, whose other configs are beside it
        return ["default.parquet"]
    shown = [path for path in _visible(folder) if is_data_file(path)]
    # Texts beside data are about it.
    data = [path for path in shown if suffix_of(path) != ".txt"] or shown
    if not data:
        raise InputError(
            f"{folder.name} holds no .jsonl, .json, .csv, .tsv, .txt or .parquet file; name "
            "another folder, or a file"
        )
    return [path.as_posix() for path in data]


def files_not_read(folder: Path, config: str | None, split: str | None) -> list[str]:
    """The other files of a folder, but for those about the set; none where a part of it is named.

    Where its card declares configs, the others are those with rows.
    """
    if config or split:
        return []
    read = files_of(folder, None, None)
    if _declares_configs(folder / "README.md"):
        rows = [path.as_posix() for path in _visible(folder) if is_data_file(path)]
        return [name for name in rows if name not in {*read, *_ABOUT_SETS}]
    if read == ["default.parquet"]:
        return []
    shown = [*_visible(folder), *_visible(folder, _is_no_file)]
    names = {path.as_posix() for path in shown if path.stem.upper() not in _ABOUT}
    return sorted(names - {*read})


def _is_no_file(path: Path) -> bool:
    """Whether a path is a link to nothing, or to a folder, which is not followed."""
    return path.is_symlink() and not path.is_file()


def _visible(folder: Path, chosen: Callable[[Path], bool] = Path.is_file) -> list[Path]:
    """The files of a folder, by their path in it, without hidden ones and `_NOT_ROWS`."""
    found = [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if chosen(path) and path.name not in _NOT_ROWS
    ]
    return [path for path in found if not any(part.startswith(".") for part in path.parts)]


def folder_records(folder: Path, files: Iterable[str]) -> Records:
    """The rows of files of a folder, in their order."""
    for name in files:
        parent = name.rpartition("/")[0]
        for place, row in file_records(folder / name):
            yield f"{parent}{parent and '/'}{place}", row


def _declares_configs(card: Path) -> bool:
    front_matter = card_of(card).split("\n---", 1)[0]
    return front_matter.startswith("---") and "configs" in front_matter


def card_of(path: Path) -> str:
    """The beginning of a card with its front matter; empty where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_OF_CARD)
    except OSError:
        return ""


def hub_card(commit: str) -> str:
    """The card of a Hub dataset, as `datasets` kept it when it read that commit, without a call."""
    import datasets

    usual = Path(datasets.config.HF_CACHE_HOME) / "hub"
    kept = Path(os.environ.get("HF_HUB_CACHE", usual))  # under its name now, if it was renamed
    found = (
        kept.glob(f"datasets--*/snapshots/{commit}/README.md") if _COMMIT.fullmatch(commit) else ()
    )
    return card_of(next(iter(found), Path()))


def _declared_files(folder: Path, config: str | None, split: str | None) -> list[str]:
    with _library(folder.name) as datasets:
        config = _config(str(folder), config, None)
        builder = datasets.load_dataset_builder(str(folder), name=config)
    by_split = {str(name): files for name, files in (builder.config.data_files or {}).items()}
    return [
        Path(os.path.relpath(file, folder)).as_posix()
        for name in _splits(folder.name, [*by_split], split)
        for file in by_split[name]
    ]


def hub_records(
    place: str, config: str | None, split: str | None, revision: str | None
) -> tuple[Records, str]:
    """The rows of a Hub dataset, of one split if named, and the commit that was read.

    Raises:
        InputError: It cannot be loaded, has several configs and none is named, or has no such
            config or split; or HF_ENDPOINT is no address.
    """
    hub_address()
    with _library(place) as datasets:
        config = _config(place, config, revision)
        names = datasets.get_dataset_split_names(place, config_name=config, revision=revision)
        loaded = {}
        for name in _splits(place, names, split):
            try:
                loaded[name] = datasets.load_dataset(place, config, revision=revision, split=name)
            except (ValueError, datasets.exceptions.DatasetsError) as error:
                if not _reason(error).endswith("corresponds to no data!"):  # a split of 0 rows
                    raise
        builder = datasets.load_dataset_builder(place, config, revision=revision)
    commit = _commit([*loaded.values()], place, revision) if loaded else revision or "main"
    rows = chain.from_iterable(starmap(partial(_split_rows, place), loaded.items()))
    skipped = [] if config else _of_other_kinds(place, commit, builder.config.data_files or {})
    return chain(rows, ((f"{place}/{name}", Unreadable(_OTHER_KIND)) for name in skipped)), commit


def _of_other_kinds(place: str, commit: str, read: Mapping[Any, Sequence[str]]) -> list[str]:
    """The files of a Hub dataset that `datasets`, which reads one kind, leaves out."""
    from datasets.data_files import resolve_pattern

    kinds = {Path(name).suffix for names in read.values() for name in names}
    if not kinds:
        return []
    try:
        begin = f"hf://datasets/{place}@{commit}/"
        files = [one.removeprefix(begin) for one in resolve_pattern(f"{begin}**", base_path="")]
    except OSError:  # offline
        return []
    kinds |= {".txt", *(_SAME_KIND if kinds & _SAME_KIND else ())}
    return [
        name
        for name in sorted(files)
        if is_data_file(path := Path(name))
        and path.suffix not in kinds
        and path.name not in _NOT_ROWS
        and not any(part.startswith(".") for part in path.parts)
    ]


def _split_rows(place: str, split: str, rows: Any) -> Records:
    number = 0
    for table in rows.with_format("arrow").iter(_BATCH):
        for row in rows_of(table):
            number += 1
            yield f"{place}, split {split}, row {number}", row


@contextmanager
def _library(place: str) -> Iterator[Any]:
    """The library `datasets`, silent; its errors become one line.

    Raises:
        InputError: It cannot load the dataset.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it raises what matters
    # No server but the Hub receives the name: neither its viewer nor what counts downloads.
    datasets.config.USE_PARQUET_EXPORT = False
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield datasets
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = _reason(error)
        do = "check the name, the revision, the connection and the token"
        if reason.startswith((_DIFFER, "Couldn't cast")):
            do = "download the set and give its folder, whose files are read one by one"
        if "OfflineModeIsEnabled" in reason:
            do = "HF_HUB_OFFLINE is set, and the set is not in the cache; unset it"
        raise InputError(f"{place!r} could not be loaded: {reason}; {do}") from None


def _reason(error: BaseException) -> str:
    chain_of = [error]
    while (inner := chain_of[-1].__cause__ or chain_of[-1].__context__) is not None:
        chain_of.append(inner)
    for one in chain_of:
        if columns := {*getattr(one, "table_column_names", ())}:
            differ = sorted(columns ^ {*one.requested_column_names})  # type: ignore[attr-defined]
            places = [found[1] for text in map(str, chain_of) if (found := _IN_FILE.search(text))]
            where = f" in {places[0].rpartition('/')[2]}" if places else ""
            return f"{_DIFFER} ({', '.join(differ)}{where})"
    return str(error.__cause__ or error).splitlines()[0]


def _config(place: str, config: str | None, revision: str | None) -> str | None:
    """The config to read: the one that is named, else the default or only one."""
    import datasets

    names = datasets.get_dataset_config_names(place, revision=revision)
    if config is None and ("default" in names or len(names) < 2):
        return None
    config = config or datasets.get_dataset_default_config_name(place, revision=revision)
    if config in names:
        return config
    what = f"no config {config!r}" if config else number_of(len(names), "configs")
    raise InputError(
        f"{Path(place).name if Path(place).is_dir() else place!r} has {what}; there are "
        f"{nearest_name(config or '', names)}; name one with --config"
    )


def _splits(place: str, names: Sequence[str], split: str | None) -> list[str]:
    """The splits to read: the one that is named, else all."""
    if split is None or split in names:
        return [split] if split else [*names]
    raise InputError(
        f"{place!r} has no split {split!r}; there are {', '.join(names)}; name one with --split"
    )


def _commit(splits: Sequence[Any], place: str, revision: str | None) -> str:
    """The commit at which `datasets` read from a Hub, from the name of the cache folder it used.

    The Hub knows where a branch is now, not what was read: when it cannot be reached `datasets`
    takes the newest commit in its cache, even where another revision was named.
    """
    commits = {Path(file["filename"]).parent.name for rows in splits for file in rows.cache_files}
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
