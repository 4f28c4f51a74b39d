"""A draft: rows nobody has released yet, kept and dropped, in a folder that is whole or absent."""

from __future__ import annotations

import filecmp
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.drafting.files import canonical_json, read_parquet, whole_folder, write_parquet
from builders.drafting.licence import licence_of
from builders.errors import InputError
from builders.schema import Row, Schema

FACTS = "draft.json"
RUN = "run.json"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A finished build: its folder, what draft.json says, and what its last run took.

    `facts` holds recipe, counts (`made` = `kept` + the sum of `dropped` by reason), lineage and
    what was spent.
    """

    folder: Path
    facts: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def counts(self) -> Mapping[str, Any]:
        """`made`, `kept`, and `dropped` by reason."""
        counts: Mapping[str, Any] = self.facts["counts"]
        return counts

    @property
    def licence(self) -> str:
        """The strictest of the seeds' and the teachers' licences."""
        return licence_of(self.facts["lineage"])

    def file(self, config: str) -> Path:
        """The file of a config."""
        return self.folder / f"{config}.parquet"

    def rows(self, config: str) -> Iterator[Row]:
        """All rows of a config."""
        return read_parquet(self.file(config))


def counts(kept: int, dropped: Sequence[Row]) -> dict[str, Any]:
    """Made, kept and dropped by reason, most frequent first; they add up."""
    reasons = by_frequency(Counter(row["reason"] for row in dropped))
    return {"made": kept + len(dropped), "kept": kept, "dropped": reasons}


def by_frequency(counted: Mapping[str, int]) -> dict[str, int]:
    """Counts, the greatest first and then by name."""
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def write_draft(
    home: Path,
    schemas: Mapping[str, Schema],
    rows: Mapping[str, Iterable[Row]],
    facts: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Draft:
    """Write a draft as the next number under home/drafts, by one rename.

    A draft equal to the last one to the byte is that one; there is no second. `facts` follow from
    recipe, seeds and answers alone; `run` says what making it took this time.

    Raises:
        FolderError: No room or no right to write; nothing is left behind.
    """
    drafts = home / "drafts"
    with whole_folder(drafts) as made:
        for config, shape in schemas.items():
            write_parquet(made / f"{config}.parquet", shape, rows[config])
        (made / FACTS).write_text(canonical_json(facts), encoding="utf-8")
        (made / RUN).write_text(canonical_json(run), encoding="utf-8")
        earlier = _numbered(drafts)
        folder = drafts / f"{int(earlier[-1].name) + 1 if earlier else 1:04d}"
        if earlier and _same(made, earlier[-1]):
            folder = earlier[-1]
        else:
            made.rename(folder)
    return Draft(folder=folder, facts=facts, run=run)


def _same(one: Path, other: Path) -> bool:
    names = {path.name for folder in (one, other) for path in folder.iterdir()} - {RUN}
    _, differing, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return not differing and not missing


def last_draft(home: Path) -> Draft:
    """The newest draft under a recipe's folder.

    Raises:
        InputError: There is none.
    """
    folders = _numbered(home / "drafts")
    if not folders:
        raise InputError(
            f"there is no draft of {home.name!r} in {home.parent.name}/; run "
            f"`potstill build {home.name}` first, or name its folder with --work"
        )
    folder = folders[-1]
    facts, run = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (FACTS, RUN))
    return Draft(folder=folder, facts=facts, run=run)


def _numbered(drafts: Path) -> list[Path]:
    if not drafts.is_dir():
        return []
    found = [path for path in drafts.iterdir() if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))
