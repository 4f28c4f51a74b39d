"""What changed between two snapshots: rows by id, columns by type, words by section.

Rows are compared by a 64-bit hash of each value. Its key is random in each process, so a change is
missed once in 2^64 values and nobody can construct values with equal hashes. The order of rows does
not count: a row is identified by its id.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import InputError, number_of, printable
from builders.release.snapshot import Snapshot, split_of

if TYPE_CHECKING:
    import polars as pl

SAMPLES = 10  # ids that a diff lists for each kind of change
SPLIT = "(split)"  # a row's split, compared as if it were a column
_AT = "(place)"
_KEY = secrets.randbits(63)
_NAMED = 4  # columns that a line lists


@dataclass(frozen=True, kw_only=True)
class ConfigDiff:
    """What changed in one config that both snapshots have.

    Attributes:
        ids_added: The first ids in alphabetical order; so are `ids_removed` and `ids_changed`.
        columns_retyped: The old and the new type of columns.
        columns_reworded: The old and the new meaning of columns.
        reordered: Whether the rows in both have another order, which does not count as a change.
    """

    rows_added: int = 0
    rows_removed: int = 0
    rows_changed: int = 0
    changed_by_column: Mapping[str, int]
    columns_added: Mapping[str, str]
    columns_removed: Mapping[str, str]
    columns_retyped: Mapping[str, tuple[str, str]]
    columns_reworded: Mapping[str, tuple[str, str]]
    ids_added: tuple[str, ...] = ()
    ids_removed: tuple[str, ...] = ()
    ids_changed: tuple[str, ...] = ()
    reordered: bool = False

    @property
    def rows(self) -> int:
        """How many rows were added, removed or changed."""
        return self.rows_added + self.rows_removed + self.rows_changed

    @property
    def columns(self) -> int:
        """How many columns were added, removed or retyped."""
        return len(self.columns_added) + len(self.columns_removed) + len(self.columns_retyped)

    @property
    def same(self) -> bool:
        """Whether nothing changed that requires a new version."""
        return not self.rows and not self.columns and not self.columns_reworded


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What changed from one snapshot to another.

    Attributes:
        configs: The changes of the configs that are in both.
        configs_added: The new configs with their number of rows; so are `configs_removed`.
        words_changed: Sections of the card and keys of its front matter.
    """

    configs: Mapping[str, ConfigDiff]
    configs_added: Mapping[str, int]
    configs_removed: Mapping[str, int]
    words_changed: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing changed that requires a new version."""
        gone = self.configs_added or self.configs_removed or self.words_changed
        return not gone and all(config.same for config in self.configs.values())


def diff(old: Snapshot, new: Snapshot) -> Diff:
    """What changed from `old` to `new`.

    Words are compared where both have a card.

    Raises:
        InputError: A config has no `id`, or one that is null or not unique; a file is unreadable.
    """
    both = [config for config in old.files if config in new.files]
    words = sorted({*old.words, *new.words}) if old.words and new.words else []
    return Diff(
        configs={config: _config_diff(old, new, config) for config in both},
        configs_added={c: _hashed(new, c, []).height for c in new.files if c not in old.files},
        configs_removed={c: _rows(old, c) for c in old.files if c not in new.files},
        words_changed=tuple(name for name in words if old.words.get(name) != new.words.get(name)),
    )


def check_ids(snapshot: Snapshot) -> None:
    """Refuse a config whose rows cannot be identified by `id`.

    Raises:
        InputError: There is no `id`, or one that is null or not unique.
    """
    for config in snapshot.files:
        _hashed(snapshot, config, [])


def _config_diff(old: Snapshot, new: Snapshot, config: str) -> ConfigDiff:
    import polars as pl

    before, after = _types(old, config), _types(new, config)
    shared = [name for name in before if name in after]
    retyped = _differing(before, after)
    compared = [name for name in shared if name not in retyped and name != "id"]
    first, second = _hashed(old, config, compared), _hashed(new, config, compared)
    both = first.join(second, on="id", how="inner", suffix=" new")
    names = [*compared, SPLIT]
    flags = both.select(
        "id", **{name: pl.col(str(n)) != pl.col(f"{n} new") for n, name in enumerate(names)}
    )
    changed = flags.filter(pl.any_horizontal(names))
    counts = {name: int(changed[name].sum()) for name in names}
    places = both.sort(_AT)[f"{_AT} new"]
    added, removed = (
        second.join(first, on="id", how="anti"),
        first.join(second, on="id", how="anti"),
    )
    kinds, words = zip(
        *(_declared(snapshot, config, ["id", *compared]) for snapshot in (old, new)), strict=True
    )
    return ConfigDiff(
        rows_added=added.height,
        rows_removed=removed.height,
        rows_changed=changed.height,
        changed_by_column={name: rows for name, rows in counts.items() if rows},
        columns_added={name: after[name] for name in after if name not in before},
        columns_removed={name: before[name] for name in before if name not in after},
        columns_retyped=retyped | _differing(*kinds),
        columns_reworded=_differing(*words),
        ids_added=_first_ids(added),
        ids_removed=_first_ids(removed),
        ids_changed=_first_ids(changed),
        reordered=not places.is_sorted(),
    )


def _declared(
    snapshot: Snapshot, config: str, columns: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What the manifest declares of columns: type and nullability, and the words of the meaning."""
    known = snapshot.columns.get(config, {})
    found = {name: known[name] for name in columns if name in known}
    null = {name: ", may be null" if one.get("nullable") else "" for name, one in found.items()}
    return (
        {name: f"{one.get('type')}{null[name]}" for name, one in found.items()},
        {name: str(one.get("meaning")) for name, one in found.items()},
    )


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {n: (old[n], new[n]) for n in old if n in new and old[n] != new[n]}


def _types(snapshot: Snapshot, config: str) -> dict[str, str]:
    """The columns' types, by name, without how Arrow happens to lay them out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, str] | None = None
    for path in snapshot.files[config]:
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
        types = {field.name: _plain(str(field.type)) for field in schema}
        if found is not None and types != found:
            odd = next(n for n in {**types, **found} if types.get(n) != found.get(n))
            raise InputError(
                f"config {config!r}: its files differ in the column {odd!r}; every file of a "
                "config needs the same columns; write them with one schema"
            )
        found = types
    return found or {}


def _plain(type_: str) -> str:
    return re.sub(r"large_|_view\b", "", re.sub(r"\blist<item:", "list<element:", type_))


def _hashed(snapshot: Snapshot, config: str, columns: Sequence[str]) -> pl.DataFrame:
    """Each row's id, place, and the hashes of its columns and split, these named by number."""
    import polars as pl

    if _types(snapshot, config).get("id") != "string":
        raise InputError(
            f"config {config!r} of {snapshot.folder.name} has no column 'id' of strings; rows are "
            "compared by id; give each row one"
        )
    hashes = [pl.col(name).hash(_KEY).alias(str(n)) for n, name in enumerate(columns)]
    parts = []
    for split, paths in groupby(snapshot.files[config], split_of):
        lit = pl.lit(split).alias(str(len(columns)))
        for path in paths:
            scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            try:
                part = scan.select("id", *hashes, lit).collect(engine="streaming")
            except (pl.exceptions.PolarsError, OSError) as error:
                raise _unreadable(path, error) from None
            parts.append(part)
    rows = pl.concat(parts).with_row_index(_AT)
    if rows["id"].null_count():
        raise InputError(f"config {config!r} of {snapshot.folder}: a row has no id; give it one")
    twice = rows.filter(pl.col("id").is_duplicated())
    if twice.height:
        raise InputError(
            f"config {config!r} of {snapshot.folder}: the id {min(twice['id'])!r} is in "
            "two rows; ids must be unique in a config; remove one of the rows"
        )
    return rows


def _unreadable(path: Path, error: Exception) -> InputError:
    why = (str(error).splitlines() or ["?"])[0][:200]
    return InputError(f"{path} cannot be read as parquet ({why}); replace the file")


def _first_ids(rows: pl.DataFrame) -> tuple[str, ...]:
    return tuple(rows["id"].bottom_k(SAMPLES).sort())


def _rows(snapshot: Snapshot, config: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    for path in snapshot.files[config]:
        try:
            rows += pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
    return rows


# --- for people and programs


def line(found: Diff) -> str:
    """The diff in one line, such as `default: 3 rows added, 2 changed (completion); words: Use`."""
    parts = [f"config {c} added, {number_of(n, 'rows')}" for c, n in found.configs_added.items()]
    parts += [
        f"config {c} removed, {number_of(n, 'rows')}" for c, n in found.configs_removed.items()
    ]
    for name, config in found.configs.items():
        if said := list(_said(config)):
            parts.append(f"{name}: {', '.join(said)}")
    if found.words_changed:
        parts.append(f"words: {', '.join(found.words_changed)}")
    return "; ".join(parts) or "nothing changed"


def _said(config: ConfigDiff) -> Iterator[str]:
    for way in ("added", "removed", "retyped", "reworded"):
        if names := getattr(config, f"columns_{way}"):
            yield f"{'columns' if len(names) > 1 else 'column'} {_few(names)} {way}"
    named = False
    for way in ("added", "removed", "changed"):
        if rows := getattr(config, f"rows_{way}"):
            shown = f"{rows:,}" if named else number_of(rows, "rows")
            columns = f" ({_few(config.changed_by_column)})" if way == "changed" else ""
            yield f"{shown} {way}{columns}"
            named = True


def _few(names: Mapping[str, object]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(list(names)[:_NAMED]) + more


def table(found: Diff) -> str:
    """The diff as a table of rows by config, then columns and words, a line each."""
    lines = [f"{'config':<20}{'added':>10}{'removed':>10}{'changed':>10}  in columns"]
    for name, rows in found.configs_added.items():
        lines.append(f"{name:<20}{rows:>10,}{0:>10}{0:>10}  a new config")
    for name, rows in found.configs_removed.items():
        lines.append(f"{name:<20}{0:>10}{rows:>10,}{0:>10}  the config is gone")
    for name, config in found.configs.items():
        by = ", ".join(f"{column} {rows:,}" for column, rows in config.changed_by_column.items())
        order = "only the order of rows" if config.reordered and config.same else ""
        lines.append(
            f"{name:<20}{config.rows_added:>10,}{config.rows_removed:>10,}"
            f"{config.rows_changed:>10,}  {by or order}".rstrip()
        )
    for name, config in found.configs.items():
        for way, columns in (("added", config.columns_added), ("removed", config.columns_removed)):
            lines += [f"{name}: column {column} {way}, {kind}" for column, kind in columns.items()]
        for column, (was, now) in config.columns_retyped.items():
            lines.append(f"{name}: column {column} was {was}; is {now}")
        for column, (was, now) in config.columns_reworded.items():
            lines.append(f"{name}: column {column} meant {was!r}; means {now!r}")
        for way in ("added", "removed", "changed"):
            if ids := getattr(config, f"ids_{way}"):
                lines.append(f"{name}: {way} {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}")
    if found.words_changed:
        lines.append(f"words: {', '.join(found.words_changed)}")
    return "\n".join(map(printable, lines))


def facts(found: Diff) -> dict[str, Any]:
    """The diff as JSON values."""
    plain = functools.partial(_plain_values, names=ConfigDiff.__dataclass_fields__)
    return {
        "same": found.same,
        "configs": {name: plain(config) for name, config in found.configs.items()},
        "configs_added": dict(found.configs_added),
        "configs_removed": dict(found.configs_removed),
        "words_changed": list(found.words_changed),
        "line": line(found),
    }


def _plain_values(config: ConfigDiff, names: Mapping[str, object]) -> dict[str, Any]:
    values = {name: getattr(config, name) for name in names}
    return {
        name: dict(value)
        if isinstance(value, Mapping)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }
