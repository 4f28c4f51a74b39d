"""The release folder: a draft as data, card and manifest, read back before it counts as done."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builders.errors import FolderError, PotstillError
from builders.release.card import Words, card, front_matter, read_words, schemas
from builders.release.draft import Draft, canonical_json, whole_folder, write_parquet
from builders.release.statistics import figures, samplings, size_category
from builders.schema import Row, Schema

MANIFEST = "manifest.json"
_BATCH_ROWS = 1000


def release(draft: Draft, schema: Schema, to: Path, words: Words | None = None) -> bool:
    """Make the release folder of a draft; False if it is there already, byte for byte.

    Raises:
        FolderError: No room, no right, or another release is there; `to` is as it was.
    """
    words = words or read_words(str(draft.facts["recipe"]))
    with whole_folder(to.absolute().parent) as made:
        _write(made, draft, schema, words)
        read_back(made, {config: draft.rows(config) for config in schemas(schema)})
        if to.exists() and any(to.iterdir()):
            if _hashes(to) == _hashes(made):
                return False
            raise FolderError(
                f"{to} holds something else than this release; nothing was changed; "
                "name another folder, or remove that one"
            )
        made.rename(to)
    return True


def _write(made: Path, draft: Draft, schema: Schema, words: Words) -> None:
    rows = {config: draft.rows(config) for config in schemas(schema)}
    splits = {}
    for config, shape in schemas(schema).items():
        path = made / "data" / config / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        write_parquet(path, shape, rows[config])
        splits[config] = {
            "num_examples": len(rows[config]),
            "num_bytes": _arrow_bytes(path),
            "download_size": path.stat().st_size,
        }
    text = _card(draft, schema, words, rows, splits)
    (made / "README.md").write_text(text, encoding="utf-8")
    manifest = {
        "version": words.version,
        "rows": {config: {"train": len(found)} for config, found in rows.items()},
        "counts": draft.counts,
        "lineage": draft.facts["lineage"],
        "files": _hashes(made),
    }
    (made / MANIFEST).write_text(canonical_json(manifest), encoding="utf-8")


def _card(
    draft: Draft,
    schema: Schema,
    words: Words,
    rows: Mapping[str, list[Row]],
    splits: Mapping[str, Mapping[str, int]],
) -> str:
    size = size_category(sum(len(found) for found in rows.values()))
    facts: dict[str, Any] = {
        "title": words.front["pretty_name"],
        "version": words.version,
        "repository": "path/to/this/folder",
        "repository_note": "The name is this folder's path, or the repository's once it is pushed.",
        "licence": draft.licence,
        "counts": draft.counts,
        "spent": draft.facts["spent"],
        "lineage": draft.facts["lineage"],
        "figures": figures(rows),
        "samplings": samplings(rows["raw"]),
        "schemas": {config: shape.columns for config, shape in schemas(schema).items()},
        "example": rows["default"][0] if rows["default"] else None,
    }
    return card(front_matter(words, schema, draft.licence, size, splits), words, facts)


def read_back(folder: Path, wanted: Mapping[str, list[Row]]) -> None:
    """Load every config with `datasets`, as a reader would, and compare value by value.

    Raises:
        PotstillError: Something differs; that is a bug in the house, named with its row.
    """
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
        for config, rows in wanted.items():
            loaded = datasets.load_dataset(str(folder), config, split="train", cache_dir=cache)
            if len(loaded) != len(rows):
                raise PotstillError(
                    f"config {config!r} reads back as {len(loaded)} rows, expected {len(rows)}"
                )
            for place, (read, row) in enumerate(zip(_each(loaded), rows, strict=True)):
                if read != row:
                    raise PotstillError(
                        f"config {config!r}, row {place}: reads back as {read!r}, expected {row!r}"
                    )
            del loaded


def _each(loaded: Any) -> Iterator[Row]:
    for batch in loaded.with_format("arrow").iter(_BATCH_ROWS):
        yield from batch.to_pylist()


def _arrow_bytes(path: Path) -> int:
    """The bytes of the data in memory, which the card calls `num_bytes`."""
    import pyarrow.parquet as pq

    size: int = pq.read_table(path).nbytes
    return size


def _hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each file of a folder, by its path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            found[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return found
