"""What people gave to a set by pull requests: kept as data, and part of every later draft.

A contribution replaces, adds or removes one row of `default`. It is kept in the set's config
`contributed` with the name of its contributor, so that no later build overwrites it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from builders.drafting.files import read_parquet
from builders.drafting.outcomes import CandidateRow, json_text, rejected
from builders.errors import InputError
from builders.recipe import Drop, short_hash
from builders.schema import Column, Row, Schema
from builders.spool import Spool

CONFIG = "contributed"
_PARQUET = b"PAR1"
Action = Literal["added", "changed", "removed"]

CONTRIBUTED = Schema(
    name=CONFIG,
    columns=(
        Column(name="id", type="string", meaning="16 hex digits, from all the other columns"),
        Column(name="row_id", type="string", meaning="the row of `default` that is changed"),
        Column(name="action", type="string", meaning="added, changed or removed"),
        Column(name="row", type="json", meaning="the accepted row; null where it is removed"),
        Column(name="contributor", type="string", meaning="the name of the contributor on the Hub"),
        Column(name="pull_request", type="int", meaning="its number in the set's repository"),
        Column(name="commit", type="string", meaning="the commit that was reviewed"),
    ),
)


def contribution(
    action: Action, row: Row, *, contributor: str, pull_request: int, commit: str
) -> Row:
    """A row of `contributed`; only the id of a removed row is kept."""
    accepted = json_text(None if action == "removed" else row)
    facts = (row["id"], action, accepted, contributor, str(pull_request), commit)
    return {
        "id": short_hash(*facts),
        "row_id": row["id"],
        "action": action,
        "row": accepted,
        "contributor": contributor,
        "pull_request": pull_request,
        "commit": commit,
    }


def files_of(folder: Path) -> list[Path]:
    """The files of `contributed` in the folder of a set or of a draft; there may be none."""
    return sorted((folder / "data" / CONFIG).glob("*.parquet")) or [
        path for path in [folder / f"{CONFIG}.parquet"] if path.is_file()
    ]


def read_contributions(place: Path, schema: Schema) -> list[Row]:
    """The contributions in a set's folder or in one parquet file, oldest first.

    Raises:
        InputError: There is no such place, it is no set, a file is not parquet or damaged, or a row
            does not fit `schema`, that of `default`.
    """
    is_set = any((place / name).exists() for name in ("data", "draft.json"))
    if not place.is_file() and not is_set:
        what = "is not the folder of a set" if place.is_dir() else "is no file or folder"
        raise InputError(
            f"{str(place)!r} {what}; give the folder of a released set, or its file of "
            "`contributed`"
        )
    rows: list[Row] = []
    for path in [place] if place.is_file() else files_of(place):
        if not _is_parquet(path):
            raise InputError(
                f"{path} is not a Parquet file; give the folder of a released set, or its file of "
                "`contributed`"
            )
        rows += read_parquet(path)
    for row in rows:
        problem = CONTRIBUTED.problem(row)
        if not problem and row["action"] != "removed":
            problem = schema.problem(json.loads(row["row"]))
        if problem:
            raise InputError(
                f"the contribution {row.get('id')!r} {problem}; expected a row of this recipe's "
                "set; name the right set"
            )
    return rows


def _is_parquet(path: Path) -> bool:
    """Whether a file begins as one; it may be damaged."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def take_in(candidates: Spool[CandidateRow], contributions: Iterable[Row]) -> None:
    """Put contributions in the place of the build's rows of the same id; the last one counts.

    Every row that is replaced or removed is dropped with the contributor as evidence, so that the
    counts still add up.
    """
    last = {entry["row_id"]: entry for entry in contributions}
    for place, candidate in enumerate(candidates if last else ()):
        if candidate.row is not None and (entry := last.get(candidate.row["id"])):
            reason = "removed" if entry["action"] == "removed" else "replaced"
            evidence = {"by": entry["contributor"], "pull_request": entry["pull_request"]}
            candidates[place] = rejected(candidate, Drop(reason=reason, evidence=evidence))
    for entry in last.values():
        if entry["action"] != "removed":
            candidates.append(CandidateRow(raw={}, row=json.loads(entry["row"])))


def contributors(contributions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many contributions each person gave, by name."""
    return dict(sorted(Counter(entry["contributor"] for entry in contributions).items()))
