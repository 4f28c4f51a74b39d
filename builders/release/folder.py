"""The release folder: a draft as data, card and manifest, read back before it is in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builders.drafting.draft import Draft
from builders.drafting.files import canonical_json, parquet_columns, whole_folder
from builders.drafting.since_build import check_since_build
from builders.durable import durably_rename
from builders.errors import FolderError, InputError
from builders.release.card import words_on
from builders.release.card_figures import read_figures
from builders.release.card_lint import card_problems
from builders.release.diff import check_ids, diff, line
from builders.release.hub_limits import check_licences, check_limits
from builders.release.rendering import rendered
from builders.release.sharding import SHARD_BYTES, write_shards
from builders.release.snapshot import (
    ADVISORIES,
    CARD,
    MANIFEST,
    Snapshot,
    declared,
    declared_columns,
    file_hashes,
)
from builders.release.verification import read_back
from builders.release.versions import check_version, versions_section, with_versions
from builders.release.words import declared_set, file_of, words_of
from builders.schema import Schema
from builders.set_file import CARD_KEYS, Words

FIRST = "first version"


def release(
    draft: Draft,
    schemas: Mapping[str, Schema],
    to: Path,
    words: Words | None = None,
    *,
    base: Snapshot | None = None,
    repository: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    notify: Callable[[str], None] = lambda _: None,
) -> bool:
    """Make the release folder of a draft; return False if it already exists, byte for byte.

    Args:
        draft: The draft to release.
        schemas: The schemas of its configs, `default` first.
        to: The folder to make.
        words: The card's words; None takes those of the set's file.
        base: The newest released version, which may be this one; None if there is none.
        repository: The repository from which the card's snippets load the set; None: the folder.
        shard_bytes: A larger config is split into several files.
        notify: Receives a warning as one line, where the texts are not in the declared languages.

    Raises:
        InputError: The set's file declares another licence than the draft was built with; the
            version is too small for what changed since `base`; the Hub would refuse a licence, the
            card or a size, or a repository an unknown licence; ids are not unique; a config has no
            schema, or other columns.
        FolderError: The disk is full, the folder may not be written, or it holds something else;
            `to` was not changed.
    """
    words = words or words_of(draft)
    check_since_build(draft)
    check_licences(draft.facts["lineage"], repository, draft.set)
    if odd := {path.stem for path in draft.folder.glob("*.parquet")} ^ set(schemas):
        raise InputError(
            f"the config {min(odd)!r} is in {draft.folder} or among the recipe's, but not in both; "
            "build again"
        )
    _check_columns(draft, schemas)
    with whole_folder(to.absolute().parent) as made:
        _write(made, draft, schemas, words, base, repository, shard_bytes, notify)
        check_limits(made, repository)
        read_back(made, {config: [draft.file(config)] for config in schemas})
        if to.is_file() or (to.exists() and any(to.iterdir())):
            if _manifest(to) == _manifest(made) and file_hashes(to) == file_hashes(made):
                return False
            raise FolderError(
                f"{to} holds something other than this release; nothing was changed; "
                "give another folder, or remove that one"
            )
        durably_rename(made, to)
    return True


def _check_columns(draft: Draft, schemas: Mapping[str, Schema]) -> None:
    for config, schema in schemas.items():
        if odd := {*parquet_columns(draft.file(config))} ^ {*schema.arrow.names}:
            raise InputError(
                f"the column {min(odd)!r} is in config {config!r} of {draft.folder} or of this "
                "potstill, but not in both; build again with that draft's settings and "
                "--from-ledger, which asks nothing"
            )


def _write(
    made: Path,
    draft: Draft,
    schemas: Mapping[str, Schema],
    words: Words,
    base: Snapshot | None,
    repository: str | None,
    shard_bytes: int,
    notify: Callable[[str], None],
) -> None:
    shards = {
        config: write_shards(draft.file(config), made / "data" / config, shard_bytes)
        for config in schemas
    }
    figures = read_figures({config: list(written) for config, written in shards.items()})
    languages = figures.languages.compared(words.front.get("language"))
    if languages.mismatch:
        notify(f"warning: {languages.warning}")
    manifest: dict[str, Any] = {
        "version": words.version,
        "repository": repository,
        "set": declared_set(draft),
        "counts": draft.counts,
        "spent": draft.facts["spent"],
        "lineage": draft.facts["lineage"],
        **({"measures": draft.facts["measures"]} if "measures" in draft.facts else {}),
        "configs": declared(schemas),
        "history": [],
    }
    advisories = dict(base.advisories) if base else {}
    text = rendered(manifest, figures, words, advisories)
    # Its rows are compared where they are in the draft: what is released is read only twice, here
    # for its figures and once more when it is read back.
    new = Snapshot(
        folder=draft.folder,
        version=words.version,
        files={config: (draft.file(config),) for config in schemas},
        columns=declared_columns(manifest["configs"]),
        words=words_on(text),
    )
    manifest["history"] = _history(base, new, words.version_place)
    text = with_versions(text, versions_section(manifest["history"], advisories, repository))
    if problems := card_problems(text)[0]:
        problem = f"the Hub refuses this card: {problems[0]}; fix it in {file_of(words)}"
        key = next((key for key in CARD_KEYS if f'"{key}' in problem), "")
        raise draft.set.front.error((key,), problem) if draft.set else InputError(problem)
    (made / CARD).write_text(text, encoding="utf-8")
    if advisories:
        (made / ADVISORIES).write_text(canonical_json(advisories), encoding="utf-8")
    manifest["rows"] = {config: {"train": rows} for config, rows in figures.rows.items()}
    known = {path: sha256 for written in shards.values() for path, sha256 in written.items()}
    manifest["files"] = file_hashes(made, known)
    (made / MANIFEST).write_text(canonical_json(manifest), encoding="utf-8")


def _history(base: Snapshot | None, new: Snapshot, place: str) -> list[Mapping[str, Any]]:
    """This version's line and those of all before it, newest first."""
    if base is None:
        check_ids(new)
        return [{"version": new.version, "changes": FIRST}]
    if base.version is None or new.version is None:
        raise InputError(
            f"{base.folder} is a draft; a version is compared with a release; give its folder"
        )
    found = diff(base, new)
    check_version(base.version, new.version, found, place)
    before = list(base.history) or [{"version": base.version, "changes": FIRST}]
    if base.version == new.version:  # nothing changed: the same release again
        return before
    return [{"version": new.version, "changes": line(found)}, *before]


def _manifest(folder: Path) -> bytes | None:
    path = folder / MANIFEST
    return path.read_bytes() if path.is_file() else None
