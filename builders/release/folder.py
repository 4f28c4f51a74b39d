"""The release folder: a draft as data, card and manifest, read back before it counts as done."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builders.errors import FolderError, PotstillError
from builders.release.card import Words, card, front_matter, read_words
from builders.release.draft import Draft
from builders.release.files import ROW_GROUP, canonical_json, read_parquet, whole_folder
from builders.release.statistics import figures, size_category
from builders.schema import Row, Schema

MANIFEST = "manifest.json"


def release(
    draft: Draft, schemas: Mapping[str, Schema], to: Path, words: Words | None = None
) -> bool:
    """Make the release folder of a draft; False if it is there already, byte for byte.

    Raises:
        FolderError: No room, no right, or another release is there; `to` is as it was.
    """
    words = words or read_words(str(draft.facts["recipe"]))
    with whole_folder(to.absolute().parent) as made:
        _write(made, draft, schemas, words)
        read_back(made, {config: draft.file(config) for config in schemas})
        if to.is_file() or (to.exists() and any(to.iterdir())):
            if _hashes(to) == _hashes(made):
                return False
            raise FolderError(
                f"{to} holds something else than this release; nothing was changed; "
                "name another folder, or remove that one"
            )
        made.rename(to)
    return True


def _write(made: Path, draft: Draft, schemas: Mapping[str, Schema], words: Words) -> None:
    files, splits = {}, {}
    for config in schemas:
        path = files[config] = made / "data" / config / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        shutil.copyfile(draft.file(config), path)
        splits[config] = _sizes(path)
    facts = figures(files)
    text = _card(draft, schemas, words, facts, splits)
    (made / "README.md").write_text(text, encoding="utf-8")
    manifest = {
        "version": words.version,
        "rows": {config: {"train": rows} for config, rows in facts["rows"].items()},
        "counts": draft.counts,
        "lineage": draft.facts["lineage"],
        "files": _hashes(made),
    }
    (made / MANIFEST).write_text(canonical_json(manifest), encoding="utf-8")


def _card(
    draft: Draft,
    schemas: Mapping[str, Schema],
    words: Words,
    computed: Mapping[str, Any],
    splits: Mapping[str, Mapping[str, int]],
) -> str:
    size = size_category(sum(computed["rows"].values()))
    facts: dict[str, Any] = {
        "title": words.front["pretty_name"],
        "version": words.version,
        "repository": "path/to/this/folder",
        "repository_note": "The name is this folder's path, or the repository's once it is pushed.",
        "licence": draft.licence,
        "counts": draft.counts,
        "spent": draft.facts["spent"],
        "lineage": draft.facts["lineage"],
        "figures": computed,
        "shapes": {config: shape.name for config, shape in schemas.items()},
        "schemas": {config: shape.columns for config, shape in schemas.items()},
        "example": next(draft.rows("default"), None),
    }
    return card(front_matter(words, schemas, draft.licence, size, splits), words, facts)


def read_back(folder: Path, wanted: Mapping[str, Path]) -> None:
    """Load every config with `datasets`, as a reader would, and compare value by value.

    Args:
        folder: The release folder.
        wanted: For each config the file whose rows it must hold, in their order.

    Raises:
        PotstillError: Something differs; that is a bug in the house, named with its row.
    """
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
        for config, path in wanted.items():
            # datasets 5.2 says that a split of 0 rows "corresponds to no data!"; streamed it reads.
            streaming = next(read_parquet(path), None) is None
            loaded = datasets.load_dataset(
                str(folder), config, split="train", cache_dir=cache, streaming=streaming
            )
            pairs = itertools.zip_longest(_each(loaded), read_parquet(path))
            for place, (read, row) in enumerate(pairs):
                if read != row:
                    raise PotstillError(
                        f"config {config!r}, row {place}: reads back as {read!r}, expected {row!r}"
                    )
            del loaded


def _each(loaded: Any) -> Iterator[Row]:
    for batch in loaded.with_format("arrow").iter(ROW_GROUP):
        yield from batch.to_pylist()


def _sizes(path: Path) -> dict[str, int]:
    """What the card's `dataset_info` says of a split; `num_bytes` is the data's in memory."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return {
            "num_examples": file.metadata.num_rows,
            "num_bytes": sum(batch.nbytes for batch in file.iter_batches(ROW_GROUP)),
            "download_size": path.stat().st_size,
        }


def _hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each file of a folder, by its path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = {"bytes": path.stat().st_size, "sha256": sha256}
    return found
