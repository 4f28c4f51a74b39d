"""A snapshot: a set in a folder, which is a release, a download from a Hub, or a draft.

Its files may come from strangers: they are checked, and nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.drafting.draft import FACTS, facts_in
from builders.errors import InputError
from builders.release.card import words_on

MANIFEST = "manifest.json"
ADVISORIES = "advisories.json"
CARD = "README.md"
# What a release owns in its folder or repository; other files, such as LICENSE, are not its own.
OWN = (CARD, MANIFEST, ADVISORIES, "data/", "figures/", "contributed/")
_OF_A_DRAFT = ("default", "calls", "dropped")  # its configs, whatever the recipe
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A set in a folder.

    Attributes:
        version: The version without a `v`; None for a draft.
        files: The parquet files of each config, in order.
        columns: The declared columns of each config, by name; empty if unknown.
        history: This version and all earlier ones, newest first, each with its `changes` in a line.
        advisories: The withdrawn versions, each with `why` and the version to `use`.
        words: What people wrote on the card, by section or by key of the front matter; empty for a
            draft, which has no card yet.
    """

    folder: Path
    version: str | None
    files: Mapping[str, tuple[Path, ...]]
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    advisories: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


def snapshot(folder: Path) -> Snapshot:
    """Read the set in a folder.

    Raises:
        InputError: There is no set, or its manifest, card or advisories cannot be read.
    """
    files = data_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no set; expected data/<config>/*.parquet, or a draft; "
            "give the folder of a release or of a draft"
        )
    if _is_draft(folder):
        if missing := [one for one in _OF_A_DRAFT if one not in files]:
            raise InputError(
                f"{folder} has no {missing[0]}.parquet; build again, which repeats no call"
            )
        return Snapshot(folder=folder, version=None, files=files)
    manifest = read_manifest(folder)
    card = folder / CARD
    return Snapshot(
        folder=folder,
        version=manifest.get("version"),
        files=files,
        columns=declared_columns(manifest.get("configs", {})),
        history=tuple(manifest.get("history", ())),
        advisories=read_advisories(folder),
        words=words_on(card.read_text(encoding="utf-8", errors="replace"))
        if card.is_file()
        else {},
    )


def whole_snapshot(folder: Path) -> Snapshot:
    """The same, of a draft or of a release that is whole.

    Raises:
        InputError: Besides, the folder is neither; its card or a file of rows is missing; or the
            facts of a draft are torn.
    """
    found = snapshot(folder)
    if _is_draft(folder):
        facts_in(folder)
        return found
    if found.version is None:
        raise InputError(
            f"{folder} holds no draft, and no release with a version in its {MANIFEST}; give the "
            "folder of one, or org/set@v1.0.0"
        )
    if not (folder / CARD).is_file():
        raise InputError(f"{folder} has no {CARD}; take it from the release")
    if missing := [one for one in found.columns if one in _OF_A_DRAFT and one not in found.files]:
        raise InputError(f"{folder} has no files of {missing[0]!r}; take them from the release")
    return found


def data_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The parquet files of a set by config: `default` first, then by name."""
    found: dict[str, list[Path]] = {}
    if _is_draft(folder):
        for path in sorted(folder.glob("*.parquet")):
            found[path.stem] = [path]
    for path in sorted((folder / "data").glob("*/*.parquet")):
        found.setdefault(path.parent.name, []).append(path)
    names = sorted(found, key=lambda config: (config != "default", config))
    return {config: tuple(found[config]) for config in names}


def _is_draft(folder: Path) -> bool:
    return (folder / FACTS).is_file() and not (folder / MANIFEST).is_file()


def file_hashes(folder: Path, known: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """Size in bytes and sha256 of each file of a folder but its manifest, by its path in it.

    A file whose sha256 is `known` is not read.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            sha256 = (known or {}).get(path)
            if sha256 is None:
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = {"bytes": path.stat().st_size, "sha256": sha256}
    return found


def split_of(path: Path) -> str:
    """The split that a file belongs to; a draft's files are all of `train`."""
    named = _SHARD.fullmatch(path.stem)
    return named[1] if named else "train"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of manifest.json; empty if there is none.

    Raises:
        InputError: It is not JSON, or has a form that no release has.
    """
    path = folder / MANIFEST
    manifest = _object(path)
    version, history = manifest.get("version"), manifest.get("history", [])
    if version is not None and not (isinstance(version, str) and VERSION.fullmatch(version)):
        raise InputError(f"{path}: {version!r} is not a version; expected one such as '1.0.0'")
    fit = isinstance(history, list) and all(
        isinstance(one, dict)
        and VERSION.fullmatch(str(one.get("version")))
        and isinstance(one.get("changes"), str)
        for one in history
    )
    if not fit:
        raise InputError(
            f"{path}: its history is not a list of versions and changes; take it from a release"
        )
    return manifest


def read_advisories(folder: Path) -> dict[str, dict[str, str]]:
    """The withdrawn versions, without `v`, each with `why` and the version to `use`.

    Raises:
        InputError: advisories.json has another form.
    """
    found = {}
    for version, advisory in _object(folder / ADVISORIES).items():
        plain = version.removeprefix("v")
        fit = isinstance(advisory, dict) and all(
            isinstance(advisory.get(name), str) for name in ("why", "use")
        )
        if not fit or not VERSION.fullmatch(plain):
            raise InputError(
                f"{folder / ADVISORIES}: {version!r} is not a version with 'why' and 'use'; fix it"
            )
        found[plain] = dict(advisory)
    return found


def declared_columns(configs: Any) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The columns that a manifest's `configs` declare, by config and name.

    Raises:
        InputError: `configs` has another form.
    """
    try:
        return {
            config: {column["name"]: column for column in shape["columns"]}
            for config, shape in configs.items()
        }
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"{MANIFEST}: its configs have no columns with names; take the file from a release"
        ) from None


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON; take the file from a release") from None
    if not isinstance(read, dict):
        raise InputError(f"{path} is not a JSON object; take the file from a release")
    return read


def declared(shapes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Schemas in the form of a manifest's `configs`: the name, and the facts of each column."""
    return {
        config: {"shape": shape.name, "columns": _facts(shape.columns)}
        for config, shape in shapes.items()
    }


def _facts(columns: Sequence[Any]) -> list[dict[str, Any]]:
    names = ("name", "type", "nullable", "meaning")
    return [{name: getattr(column, name) for name in names} for column in columns]
