"""Whether a release is what it claims: read back as any reader would, and every number recomputed.

Reading back compares value by value in constant memory. What is on a card follows from the folder
that it is in, so anybody can check it.
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from builders.drafting.draft import by_frequency, counts_of
from builders.drafting.files import parquet_batches, read_parquet
from builders.drafting.licence import licences_by_table, parts
from builders.drafting.lineage import code_digest
from builders.engine.model_licences import TABLE, table_name
from builders.errors import InputError, PotstillError, number_of
from builders.judging.reliability import verdict_from
from builders.judging.reports import NEVER_MEASURED
from builders.recipe import Recipe
from builders.release.card import words_back
from builders.release.card_figures import CardFigures, read_figures
from builders.release.rendering import rendered, schemas_in
from builders.release.snapshot import (
    CARD,
    MANIFEST,
    OWN,
    VERSION,
    Snapshot,
    file_hashes,
    read_manifest,
    snapshot,
)
from builders.schema import Row

_BATCH = 100  # rows compared at once: a row may be long


def read_back(folder: Path, wanted: Mapping[str, Sequence[Path]]) -> None:
    """Load every config with `datasets`, as a stream, and compare value by value.

    Args:
        folder: The release folder.
        wanted: For each config the files whose rows it must hold, in order.

    Raises:
        PotstillError: Something differs, named with its row; that is a bug in potstill.
    """
    import datasets
    from pyarrow.dataset import ParquetFragmentScanOptions

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
        for config, files in wanted.items():
            # Streamed, so that memory does not grow with the set, and because datasets 5.2 would
            # refuse a split of 0 rows ("corresponds to no data!").
            loaded = datasets.load_dataset(
                str(folder),
                config,
                split="train",
                cache_dir=cache,
                streaming=True,
                fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False),
            )
            compare(config, loaded, files)


def compare(config: str, loaded: Any, files: Sequence[Path]) -> None:
    """Compare the rows that `datasets` streams of a config with those of the files, in order.

    Raises:
        PotstillError: A row, the number of rows, or what the card declares differs.
    """
    pairs = itertools.zip_longest(
        _even(loaded.with_format("arrow").iter(_BATCH)), _even(_batches(files))
    )
    place = 0
    for read, held in pairs:
        if read is None or held is None or not _same(read, held):
            _raise_difference(config, place, read, held)
        place += held.num_rows
    split = (loaded.info.splits or {}).get("train")
    if split is not None and split.num_examples != place:
        raise PotstillError(
            f"config {config!r}: the card declares {number_of(split.num_examples, 'rows')}, "
            f"the files hold {place}"
        )


def _same(read: Any, held: Any) -> bool:
    if read.column_names != held.column_names or read.num_rows != held.num_rows:
        return False
    return bool(read.cast(held.schema).equals(held))


def _raise_difference(config: str, place: int, read: Any, held: Any) -> None:
    rows = (table.to_pylist() if table is not None else [] for table in (read, held))
    for found, row in itertools.zip_longest(*rows):
        if found != row:
            raise PotstillError(
                f"config {config!r}, row {place}: reads back as {found!r}, expected {row!r}"
            )
        place += 1


def _batches(files: Sequence[Path]) -> Iterator[Any]:
    import pyarrow as pa

    for path in files:
        for batch in parquet_batches(path, _BATCH):
            yield pa.Table.from_batches([batch])


def _even(tables: Iterable[Any]) -> Iterator[Any]:
    """The same rows in tables of equal length, except for the last one."""
    import pyarrow as pa

    left = None
    for table in tables:
        left = table if left is None else pa.concat_tables([left, table])
        whole = left.num_rows - left.num_rows % _BATCH
        yield from (left.slice(start, _BATCH) for start in range(0, whole, _BATCH))
        # A slice without rows would still keep all that was read before in memory.
        left = left.slice(whole) if whole < left.num_rows else None
    if left is not None:
        yield left


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of recomputing all that a release claims.

    Attributes:
        false: The claims that its own bytes contradict, a line each.
        unchecked: The claims that cannot be recomputed here, with the reason.
        foreign: Files beside the release, which claims nothing of them.
    """

    false: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


_NEVER = {name: NEVER_MEASURED[name] for name in ("verdict", "reasons", "reliable")}
_BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError)


def verified(
    folder: Path, recipe_named: Callable[[str], Recipe | None], *, tag: str | None = None
) -> Verification:
    """Recompute what a release claims of itself from its own bytes.

    Hashes, columns, numbers of rows, counts, calls, tokens and costs, the recipe's measures, the
    judges' verdicts, and the whole card, made again from the data, the manifest and the words on
    it. Settings, source and tools are what the build was given: no data can contradict them.

    Args:
        folder: The release.
        recipe_named: The recipe of a name, which computes its measures; None where it is not known.
        tag: The version's tag, from which the folder was fetched.

    Raises:
        InputError: There is no set, or its manifest or a file of it cannot be read.
    """
    import jinja2

    manifest, held = read_manifest(folder), snapshot(folder)
    there = file_hashes(folder)
    # Hidden files are those of tools, such as .gitattributes, .git and .cache.
    foreign = tuple(name for name in there if not name.startswith((*OWN, ".")))
    own = {name: facts for name, facts in there.items() if name.startswith(OWN)}
    false = list(_hashes_differ(own, manifest.get("files")))
    if "calls" not in held.files and "raw" in held.files:
        why = "what card and manifest claim: an older potstill released it, with the config 'raw'"
        return Verification(false=tuple(false), unchecked=(why,), foreign=foreign)
    if tag and VERSION.fullmatch(tag[1:]) and manifest.get("version") != tag[1:]:
        false.append(f"the tag {tag}: it holds version {manifest.get('version')}")
    unchecked: list[str] = []
    try:
        files, figures = _data(manifest["configs"], held)
        text = _card(folder)
        words = words_back(text)
        for name, (claimed, found) in _claims(manifest, figures, words.version).items():
            if claimed != found:
                false.append(f"{MANIFEST}, {name}: it is {claimed!r}, the data gives {found!r}")
        false += _columns_differ(manifest["configs"], figures)
        unchecked += _other_tables(manifest["lineage"])
        recipe = recipe_named(str(manifest["lineage"]["recipe"]))
        wrong_measures, unknown_measures = _measures_differ(manifest, files, recipe)
        false += wrong_measures
        unchecked += unknown_measures
        made_with = manifest["lineage"]["tools"]["potstill"]
        again = rendered(manifest, figures, words, held.advisories)
    except InputError as error:
        reason = str(error).replace(f"{folder}/", "")
        false.append(f"the card cannot be made again: {reason}")
    except (*_BROKEN, jinja2.TemplateError) as error:
        how = f"has no {error}" if isinstance(error, KeyError) else "has another form"
        false.append(f"the card cannot be made again: {MANIFEST} {how}; take it from a release")
    else:
        differences = _card_differs(text, again)
        if differences and made_with != version("potstill"):
            unchecked.append(f"the text of {CARD}: potstill {made_with} wrote it, not this one")
        else:
            false += differences
    return Verification(false=tuple(false), unchecked=tuple(unchecked), foreign=foreign)


def _data(
    configs: Iterable[str], held: Snapshot
) -> tuple[dict[str, tuple[Path, ...]], CardFigures]:
    """The files of each config, and what follows from them; an InputError where that is nothing."""
    files = {config: held.files.get(config, ()) for config in configs}
    if empty := [config for config, paths in files.items() if not paths]:
        raise InputError(f"there are no files of the config {empty[0]!r}")
    try:
        return files, read_figures(files)
    except KeyError as error:
        raise InputError(f"the data has no {error}") from None
    except _BROKEN:
        raise InputError("a column of the data has another form") from None


def _card(folder: Path) -> str:
    try:
        return (folder / CARD).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{CARD} is missing") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{CARD} is not UTF-8 ({error.reason})") from None


def _hashes_differ(found: Mapping[str, Any], listed: Any) -> Iterator[str]:
    if not isinstance(listed, dict):
        yield f"{MANIFEST} lists no files"
        return
    for name in sorted({*found, *listed}):
        if name not in found:
            yield f"{name} is in {MANIFEST}, but not in the folder"
        elif found[name] != listed.get(name):
            yield f"{name} is not the file that {MANIFEST} lists"


def _card_differs(text: str, again: str) -> list[str]:
    """The first line in which a card is not the one that follows from data and manifest."""
    lines = zip_longest(text.split("\n"), again.split("\n"))
    for place, (claimed, found) in enumerate(lines, 1):
        if claimed != found:
            follows = f"from the data and {MANIFEST} follows {found!r}"
            return [f"{CARD}, line {place}: it is {claimed!r}, {follows}"]
    return []


def _other_tables(lineage: Mapping[str, Any]) -> Iterator[str]:
    """Why the licences that another version of the table gave are not looked up again."""
    for part in parts(lineage):
        known_from = part.known_from or ""
        if known_from.startswith(TABLE) and known_from != table_name():
            yield f"the licence of {part.owner}: it is from {known_from}, not from {table_name()}"


def _columns_differ(configs: Mapping[str, Any], figures: CardFigures) -> Iterator[str]:
    """The configs whose files do not have the columns that the manifest declares."""
    for name in figures.odd_files:
        yield f"{name} has other columns than the other files of its config"
    for config, shape in schemas_in(configs).items():
        found = figures.columns.get(config)
        if found is not None and not found.equals(shape.arrow):
            declared = ", ".join(f"{field.name} {field.type}" for field in shape.arrow)
            has = ", ".join(f"{field.name} {field.type}" for field in found)
            yield f"{MANIFEST}, columns of {config!r}: they are {declared}, the data has {has}"
        full = {column.name for column in shape.columns if not column.nullable}
        for name in sorted(figures.nulls.get(config, frozenset()) & full):
            yield f"{MANIFEST}, column {name!r} of {config!r}: it is never null, the data has nulls"


def _claims(
    manifest: Mapping[str, Any], figures: CardFigures, on_card: str
) -> dict[str, tuple[Any, Any]]:
    """What the manifest claims and what follows from the data, by what it is about.

    `on_card` is the newest version under Changes on the card.
    """
    spent, lineage = manifest["spent"], manifest["lineage"]
    rows = figures.rows
    kept = rows["default"]
    asked = sorted({(one["role"], one["model"], one["revision"]) for one in figures.samplings})
    teachers = {role: lineage["teachers"].get(role, {}) for role, _, _ in asked}
    judges = lineage.get("judges", [])
    return {
        "version": (
            [manifest["version"], manifest["history"][0]["version"]],
            [on_card, on_card],
        ),
        "rows": (manifest["rows"], {config: {"train": number} for config, number in rows.items()}),
        "counts": (
            manifest["counts"],
            counts_of(kept, figures.dropped),
        ),
        "left out": (
            by_frequency(lineage["seeds"]["left_out"]),
            counts_of(kept, figures.dropped).get("left_out", {}),
        ),
        "spent": (
            {
                role: [
                    *(used["calls"], used["input_tokens"], used["output_tokens"]),
                    used.get("uncounted", figures.spent.get(role, [0])[-1]),
                ]
                for role, used in spent["roles"].items()
            },
            figures.spent,
        ),
        **{
            name: ([spent[name], spent[f"{name}_a_kept_row"]], _usd(name, spent, kept))
            for name in ("usd", "at_most_usd")
            if name in spent  # an older potstill knew no upper bounds
        },
        "teachers": (
            [(role, who.get("model"), who.get("revision") or "") for role, who in teachers.items()],
            asked,
        ),
        "answers": (lineage.get("answers"), figures.answers),
        **{
            f"licence of {role}": (claimed.shown, listed.shown)
            for role, (claimed, listed) in licences_by_table(lineage).items()
        },
        "judges": (
            sorted({judge["judge"] for judge in judges}),
            sorted({model for role, model, _ in asked if role.startswith("judge")}),
        ),
        **{
            f"judge {judge['judge']}": (
                {name: judge[name] for name in ("verdict", "reasons", "reliable")},
                verdict_from(judge["figures"]) if judge["figures"] else _NEVER,
            )
            for judge in judges
        },
    }


def _usd(name: str, spent: Mapping[str, Any], kept: int) -> list[float | None]:
    """The costs in all and per kept row that follow from the roles'; as claimed where near enough.

    Costs are rounded to nine digits after they are added.
    """
    costs = [used[name] for used in spent["roles"].values()]
    if None in costs:
        return [None, None]
    found = [math.fsum(costs), math.fsum(costs) / kept if kept else None]
    claims = (spent[name], spent[f"{name}_a_kept_row"])
    return [
        claim if claim is not None and number is not None and _near(claim, number) else number
        for claim, number in zip(claims, found, strict=True)
    ]


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-8)


def _measures_differ(
    manifest: Mapping[str, Any], files: Mapping[str, Sequence[Path]], recipe: Recipe | None
) -> tuple[list[str], list[str]]:
    """The measures of the recipe that are false, and why they cannot be recomputed."""
    claimed, name = manifest.get("measures", {}), manifest["lineage"]["recipe"]
    if recipe is None:
        why = f"the measures of recipe {name!r}: the recipe is not here"
        return [], [why] if claimed else []
    same_code = manifest["lineage"].get("code") == code_digest(recipe)

    def rows(config: str) -> Iterator[Row]:
        return chain.from_iterable(map(read_parquet, files[config]))

    found = json.loads(json.dumps(dict(recipe.measures(rows))))
    false = [
        f"{MANIFEST}, measure {one!r}: it is {claimed.get(one)!r}, the data gives "
        f"{found.get(one)!r}"
        for one in dict.fromkeys([*claimed, *found])
        if claimed.get(one) != found.get(one)
    ]
    if false and not same_code:
        return [], [f"the measures of recipe {name!r}: another version of the recipe made them"]
    return false, []
