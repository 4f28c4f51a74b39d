"""The rows of a draft or a release as people look at them: by id, by reason, with their calls.

Nothing is read whole: rows are searched by one column, and only the row groups that hold a match
are read. The files may come from strangers: a column that is missing or has another type holds no
match, and JSON that cannot be read stays a text.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.drafting.contributions import CONTRIBUTED
from builders.drafting.draft import FACTS, RUN, by_frequency, facts_in
from builders.drafting.files import damage_named, read_json
from builders.errors import InputError, did_you_mean, nearest_name, shortened
from builders.preferences.aspect_ratings import RATED_ANSWERS
from builders.recipe import row_id
from builders.release.snapshot import read_manifest, snapshot
from builders.schema import CALLS, DROPPED, Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_FACTS = ("version", "set", "counts", "spent", "lineage", "measures")
_JSON = {
    column.name
    for schema in (CALLS, DROPPED, RATED_ANSWERS, CONTRIBUTED)
    for column in schema.columns
    if column.type == "json"
}


@dataclass(frozen=True, kw_only=True)
class SetRows:
    """A set in a folder, to look at.

    Attributes:
        facts: What the set reports of itself: `set` (its name and declaration), `counts`,
            `lineage`, `spent`, `measures`; of a draft `recipe` and `run`, of a release `version`.
            Empty where it reports nothing.
        files: The parquet files of each config, `default` first.
        json_columns: The names of the columns whose texts are JSON; rows have their values.
    """

    folder: Path
    facts: Mapping[str, Any]
    files: Mapping[str, Sequence[Path]]
    json_columns: frozenset[str]

    def rows(self, config: str = "default") -> Iterator[Row]:
        """The rows of a config in their order, a row group at a time in memory.

        Raises:
            InputError: There is no such config, or a file is damaged.
        """
        if config not in self.files:
            known = nearest_name(config, self.files)
            raise InputError(f"the set has no config {config!r}; there are {known}")
        for group in self._groups(config):
            yield from self._values(group())

    def reasons(self) -> dict[str, int]:
        """How many rows were dropped or left out for each reason, the most frequent first."""
        counted: Counter[str] = Counter()
        for column, _ in self._columns("dropped", "reason"):
            counted.update(reason for reason in column.to_pylist() if reason is not None)
        return by_frequency(counted)

    def dropped(self, reason: str | None = None) -> Iterator[Row]:
        """The dropped rows of a reason; of all reasons in turn where it is None.

        `evidence` is an object, with `twin`, the row that was kept in the place of this one, where
        there is one.

        Raises:
            InputError: No row was dropped for this reason.
        """
        known = self.reasons()
        if reason is not None and reason not in known:
            raise InputError(
                f"no row was dropped for {reason!r}; the reasons are "
                f"{', '.join(map(repr, known)) or 'none'}{did_you_mean(reason, known)}"
            )
        wanted = known if reason is None else [reason]
        by_reason = [self._found("dropped", "reason", _equal(one)) for one in wanted]
        in_turn = (row for turn in zip_longest(*by_reason) for row in turn if row is not None)
        at_once = 20  # few for a look at some rows, then more: each time all ids are searched
        while some := [*islice(in_turn, at_once)]:
            yield from self._with_twins(some)
            at_once = min(10 * at_once, 20_000)

    def with_ids(self, config: str, ids: Iterable[str]) -> dict[str, Row]:
        """The rows of a config with these ids, by id; without those that are not there."""
        found = [*self._found(config, "id", _among(ids))]
        return {
            row["id"]: row for row in (self._with_twins(found) if config == "dropped" else found)
        }

    def belonging_to(self, config: str, identity: str) -> list[Row]:
        """The rows of a further config that were made for a row: those with its id, or `row_id`."""
        same = self._found(config, "id", _among([identity]))
        return [*same, *self._found(config, "row_id", _among([identity]))]

    def calls_of(self, identity: str) -> list[Row]:
        """The calls that a kept or dropped row was made from."""
        return [*self._found("calls", "row_ids", _holding(identity))]

    def whole_id(self, start: str) -> tuple[str, list[str]]:
        """The one id that begins so, of a row or a call, and the configs that have it.

        Raises:
            InputError: No id begins so, or several do.
        """
        start, found = start.lower(), dict[str, list[str]]()
        for config in self.files:
            for column, _ in self._columns(config, "id"):
                for identity in column.filter(_beginning(start)(column)).unique().to_pylist():
                    found.setdefault(identity, []).append(config)
        if len(found) > 1 and start not in found:
            some = ", ".join(sorted(found)[:3])
            raise InputError(
                f"{len(found):,} ids begin with {start!r}, such as {some}; type more of it"
            )
        if not found:
            raise InputError(
                f"no row and no call has an id that begins with {shortened(start)}"
                f"{self._nearest_id(start)}"
            )
        identity = start if start in found else next(iter(found))
        return identity, list(dict.fromkeys(found[identity]))

    def _nearest_id(self, start: str) -> str:
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        ids = {
            identity
            for config in self.files
            for column, _ in self._columns(config, "id")
            for identity in column.to_pylist()
            if identity
        }
        starts = {identity[: len(start)]: identity for identity in sorted(ids, reverse=True)}
        most = max(1, len(start) // 3)
        near = process.extractOne(start, starts, scorer=Levenshtein.distance, score_cutoff=most)
        return f"; did you mean {starts[near[0]]!r}?" if near else ""

    def _with_twins(self, dropped: Sequence[Row]) -> list[Row]:
        twins = [_twin_id(row) for row in dropped]
        kept = self.with_ids("default", filter(None, twins)) if any(twins) else {}
        return [
            row | {"evidence": row["evidence"] | {"twin": kept[twin]}} if twin in kept else row
            for row, twin in zip(dropped, twins, strict=True)
        ]

    def _found(self, config: str, column: str, mask: _Mask) -> Iterator[Row]:
        """The rows whose value in a column fits, in their order."""
        import pyarrow.compute as pc

        for values, group in self._columns(config, column):
            fit = mask(values)
            if pc.any(fit).as_py():
                yield from self._values(group().filter(fit))

    def _columns(self, config: str, column: str) -> Iterator[tuple[pa.ChunkedArray, _Group]]:
        """One column of each row group where it holds texts, or `row_ids` lists of texts."""
        import pyarrow as pa

        text = pa.types
        for group in self._groups(config):
            for values in group([column]).columns:
                lists = text.is_list(values.type) or text.is_large_list(values.type)
                kind = values.type.value_type if lists else values.type
                fits = text.is_string(kind) or text.is_large_string(kind)
                if fits and lists == (column == "row_ids"):
                    yield values.cast(pa.list_(pa.string()) if lists else pa.string()), group

    def _groups(self, config: str) -> Iterator[_Group]:
        """Reads some or all columns of each row group."""
        import pyarrow.parquet as pq

        for path in self.files.get(config, ()):
            with damage_named(path):
                file = pq.ParquetFile(path, pre_buffer=False)
            with file:
                for group in range(file.num_row_groups):
                    yield partial(_table, path, file, group)

    def _values(self, table: pa.Table) -> Iterator[Row]:
        try:
            rows = table.to_pylist()
        except UnicodeDecodeError:
            raise InputError(
                f"{self.folder} holds a text that is not UTF-8; make it again"
            ) from None
        for row in rows:
            for name in self.json_columns & row.keys():
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    row[name] = json.loads(row[name])
            yield row


_Group = Callable[..., "pa.Table"]
_Mask = Callable[["pa.ChunkedArray"], "pa.ChunkedArray"]


def set_rows(folder: Path) -> SetRows:
    """The set in a folder: of a release, a download from a Hub, or a draft.

    Raises:
        InputError: There is no set, or its facts cannot be read.
    """
    found = snapshot(folder)
    manifest = read_manifest(folder)
    facts = {name: manifest[name] for name in _FACTS if name in manifest}
    if not manifest and (folder / FACTS).is_file():
        facts = facts_in(folder)
        if (folder / RUN).is_file():
            facts["run"] = read_json(folder / RUN)
    declared = (column for columns in found.columns.values() for column in columns.values())
    return SetRows(
        folder=folder,
        facts=facts,
        files=found.files,
        json_columns=frozenset(
            [*_JSON, *(one["name"] for one in declared if one.get("type") == "json")]
        ),
    )


def as_object(value: object) -> Mapping[str, Any]:
    """A value of a manifest, which may be a stranger's, where an object is expected."""
    return value if isinstance(value, Mapping) else {}


def prompt_id(prompt: Any) -> str | None:
    """The id of the row with this prompt; None where it is no prompt, as in a stranger's file."""
    if prompt:
        with contextlib.suppress(TypeError, KeyError, AttributeError):
            return row_id(prompt)
    return None


def _table(
    path: Path, file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None
) -> pa.Table:
    with damage_named(path):
        return file.read_row_group(group, columns=columns)


def _twin_id(dropped: Row) -> str | None:
    """The id of the row that was kept in the place of a dropped one, which may not be there."""
    evidence = dropped.get("evidence")
    if not isinstance(evidence, dict):
        return None
    twin = evidence.get("of")
    if twin is None and dropped.get("reason") in ("not chosen", "replaced"):
        twin = prompt_id(evidence.get("prompt"))
    return twin if isinstance(twin, str) else None


def _equal(value: str) -> _Mask:
    import pyarrow.compute as pc

    return lambda column: pc.equal(column, value)


def _among(values: Iterable[str]) -> _Mask:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array([*values], pa.string())
    return lambda column: pc.is_in(column, value_set=known)


def _beginning(start: str) -> _Mask:
    import pyarrow.compute as pc

    return lambda column: pc.starts_with(column, start)


def _holding(value: str) -> _Mask:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    def mask(column: pa.ChunkedArray) -> pa.ChunkedArray:
        lists = column.combine_chunks()
        inside = pc.equal(pc.list_flatten(lists), value)
        places = pc.list_parent_indices(lists).filter(inside)
        fit = np.isin(np.arange(len(lists)), places.to_numpy(zero_copy_only=False))
        return pa.chunked_array([pa.array(fit)])

    return mask
