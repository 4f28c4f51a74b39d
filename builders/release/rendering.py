"""The card of a release, made from its data, its manifest and a person's words; and made again.

What stands on a card follows from the folder it lies in, so that anybody can check it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from builders.drafting.files import read_parquet
from builders.drafting.licence import licence_of
from builders.drafting.statistics import figures, size_category
from builders.errors import InputError
from builders.release.card import Words, card, front_matter, words_back
from builders.release.sharding import sizes
from builders.release.snapshot import CARD, MANIFEST, read_manifest, snapshot
from builders.release.versions import versions_section
from builders.schema import Column, Schema

Files = Mapping[str, Sequence[Path]]


def rendered(
    said: Mapping[str, Any],
    computed: Mapping[str, Any],
    words: Words,
    files: Files,
    advisories: Mapping[str, Mapping[str, str]],
) -> str:
    """The card.

    Args:
        said: What the manifest says, apart from `rows` and `files`.
        computed: The figures of the same files.
        words: What a person wrote.
        files: Each config's files, `default` first.
        advisories: The versions withdrawn.
    """
    lineage, repository = said["lineage"], said["repository"]
    schemas = _schemas(said["configs"])
    licence = licence_of(lineage)
    size = size_category(sum(computed["rows"].values()))
    splits = {config: sizes(files[config]) for config in schemas}
    facts: dict[str, Any] = {
        "title": words.front["pretty_name"],
        "version": said["version"],
        "repository": repository or "path/to/this/folder",
        "revision": f', revision="v{said["version"]}"' if repository else "",
        "licence": licence,
        "counts": said["counts"],
        "spent": said["spent"],
        "lineage": lineage,
        "measures": said.get("measures", {}),
        "figures": computed,
        "shapes": {config: shape.name for config, shape in schemas.items()},
        "schemas": {config: shape.columns for config, shape in schemas.items()},
        "example": next(chain.from_iterable(map(read_parquet, files["default"])), None),
        "versions": versions_section(said["history"], advisories, repository),
    }
    return card(front_matter(words, schemas, licence, size, splits), words, facts)


def recomputed(folder: Path) -> list[str]:
    """What a release says of itself that its own bytes do not bear out; empty for a true one.

    Hashes, numbers of rows, counts, calls and tokens, and the whole card made again from the data,
    the manifest and the words that stand on it.

    Raises:
        InputError: There is no set, or its manifest or a file of it cannot be read.
    """
    import jinja2

    manifest, held = read_manifest(folder), snapshot(folder)
    wrong = list(_hashes_differ(folder, manifest.get("files")))
    try:
        files = {config: held.files[config] for config in manifest["configs"]}
        computed = figures(files)
        wrong += _numbers_differ(manifest, computed, files)
        text = (folder / CARD).read_text(encoding="utf-8")
        again = rendered(manifest, computed, words_back(text), files, held.advisories)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        return [*wrong, f"the card cannot be made again: {type(error).__name__}: {error}"]
    except (InputError, jinja2.TemplateError) as error:
        return [*wrong, f"the card cannot be made again: {error}"]
    lines = zip_longest(text.split("\n"), again.split("\n"))
    for place, (stands, follows) in enumerate(lines, 1):
        if stands != follows:
            return [*wrong, f"{CARD}, line {place}: says {stands!r}, the data {follows!r}"]
    return wrong


def hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each file of a folder but its manifest, by its path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = {"bytes": path.stat().st_size, "sha256": sha256}
    return found


def _hashes_differ(folder: Path, listed: Any) -> Iterator[str]:
    if not isinstance(listed, dict):
        yield f"{MANIFEST} lists no files"
        return
    found = hashes(folder)
    for name in sorted({*found, *listed}):
        if name not in found:
            yield f"{name} is in {MANIFEST}, but not there"
        elif found[name] != listed.get(name):
            yield f"{name} is not the file that {MANIFEST} lists"


def _numbers_differ(
    manifest: Mapping[str, Any], computed: Mapping[str, Any], files: Files
) -> Iterator[str]:
    rows, counts = computed["rows"], manifest["counts"]
    dropped = computed["dropped"]
    kept = rows["default"]
    facts = {
        "rows": (manifest["rows"], {config: {"train": number} for config, number in rows.items()}),
        "counts": (
            counts,
            {"made": kept + sum(dropped.values()), "kept": kept, "dropped": dropped},
        ),
        "spent": (
            {
                role: [u["calls"], u["input_tokens"], u["output_tokens"]]
                for role, u in manifest["spent"]["roles"].items()
            },
            _calls(files.get("calls", ())),
        ),
    }
    for name, (stands, follows) in facts.items():
        if stands != follows:
            yield f"{MANIFEST}, {name}: says {stands}, the data {follows}"


def _calls(files: Sequence[Path]) -> dict[str, list[int]]:
    """By role: calls, input and output tokens."""
    sums: dict[str, Counter[str]] = {}
    for row in chain.from_iterable(map(read_parquet, files)):
        tokens = {way: row[f"{way}_tokens"] or 0 for way in ("input", "output")}
        sums.setdefault(row["role"], Counter()).update({"calls": 1, **tokens})
    return {role: [used["calls"], used["input"], used["output"]] for role, used in sums.items()}


def _schemas(configs: Mapping[str, Any]) -> dict[str, Schema]:
    return {
        config: Schema(
            name=facts["shape"], columns=tuple(Column(**column) for column in facts["columns"])
        )
        for config, facts in configs.items()
    }
