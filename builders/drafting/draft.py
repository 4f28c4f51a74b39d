"""A draft: kept and dropped rows before they are released, in a folder that is whole or absent."""

from __future__ import annotations

import errno
import filecmp
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders
from builders.drafting.contributions import CONFIG, CONTRIBUTED
from builders.drafting.files import (
    canonical_json,
    read_json,
    read_parquet,
    whole_folder,
    write_parquet,
)
from builders.drafting.licence import licence_of
from builders.drafting.notebook import draft_html
from builders.drafting.owner import set_of_drafts
from builders.durable import durably_rename
from builders.errors import InputError, file_errors_in_one_line, nearest_name, number_of
from builders.recipe import Recipe, named, path
from builders.schema import LEFT_OUT, Row, Schema
from builders.sets import Set, as_set, set_home

if TYPE_CHECKING:
    import datasets

FACTS = "draft.json"
RUN = "run.json"


@dataclass(frozen=True, kw_only=True, repr=False)
class Draft:
    """A finished build: its folder, the facts in draft.json, and what its last run took.

    `facts` holds recipe, counts (`made` = `kept` + the sum of `dropped` by reason), lineage and
    what was spent. `set` is None where the draft was found by its folder alone. A build that makes
    the bytes of the last draft again gives that one, which is not new.
    """

    folder: Path
    facts: Mapping[str, Any]
    run: Mapping[str, Any]
    set: Set | None = None
    is_new: bool = True

    @property
    def counts(self) -> Mapping[str, Any]:
        """`made`, `kept`, and by reason `dropped` and, if there are any, `left_out`."""
        counts: Mapping[str, Any] = self.facts["counts"]
        return counts

    @property
    def missing(self) -> str | None:
        """Why fewer rows are kept than `keep` asked for; None where none is missing."""
        return missing_rows(self.facts)

    @property
    def licence(self) -> str:
        """The strictest of the licences of its source and its teachers, by its id on the Hub."""
        return licence_of(self.facts["lineage"]).id

    @property
    def configs(self) -> list[str]:
        """The names of its configs, `default` first."""
        names = (path.stem for path in self.folder.glob("*.parquet"))
        return sorted(names, key=lambda name: (name != "default", name))

    @property
    def schemas(self) -> dict[str, Schema]:
        """The schemas of its configs, `default` first.

        Raises:
            InputError: The draft was found by its folder alone, so they are not known.
        """
        if self.set is None:
            name = self.folder.parents[1].name
            raise InputError(f"{self.folder} has no recipe; open it with load_draft({name!r})")
        contributed = {CONFIG: CONTRIBUTED} if CONFIG in self.configs else {}
        return {**self.set.recipe.schemas, **contributed}

    def file(self, config: str) -> Path:
        """The file of a config, which may not exist."""
        return self.folder / f"{config}.parquet"

    def rows(self, config: str = "default") -> list[Row]:
        """All rows of a config.

        Raises:
            InputError: There is no such config.
        """
        return list(self.stream(config))

    def stream(self, config: str = "default") -> Iterator[Row]:
        """The rows of a config, a row group at a time in memory.

        Raises:
            InputError: There is no such config.
        """
        return read_parquet(self._existing_file(config))

    def dataset(self, config: str = "default") -> datasets.Dataset:
        """The rows of a config as `datasets` loads them from a release, held in memory.

        Raises:
            InputError: There is no such config.
        """
        import datasets
        import pyarrow.parquet as pq

        return datasets.Dataset(pq.read_table(self._existing_file(config)))

    def release(self, to: str | Path) -> Path:
        """Release the draft as the folder `to`, which `load_dataset` reads; return the folder.

        It is read back and compared; done again, it changes nothing. A warning names texts in other
        languages than the set declares.

        Raises:
            InputError: The card, a licence, a size or the version does not allow it, or the draft
                was opened without its recipe.
            FolderError: No room, no right, or another release is there; `to` is as it was.
        """
        return builders.release(self, to)

    def _existing_file(self, config: str) -> Path:
        if config not in self.configs:
            known = nearest_name(config, self.configs)
            raise InputError(f"the draft has no config {config!r}; there are {known}")
        return self.file(config)

    def __repr__(self) -> str:
        made, kept = (self.counts[name] for name in ("made", "kept"))
        counted = f"{kept} of {number_of(made, 'rows')} kept"
        return f"Draft({self.folder.parents[1].name}: {counted}, {self.folder})"

    def _repr_html_(self) -> str:
        return draft_html(repr(self), self.counts, list(islice(self.stream(), 3)))


def counts(kept: int, dropped: Iterable[Row]) -> dict[str, Any]:
    """As `counts_of`, from the rows of `dropped`."""
    return counts_of(kept, Counter(row["reason"] for row in dropped))


def counts_of(kept: int, reasons: Mapping[str, int]) -> dict[str, Any]:
    """Made, kept, and dropped by reason, most frequent first; made is the sum of the others.

    `left_out` counts by reason the rows of the source that made no candidate, if there are any.
    """
    given = by_frequency(reasons)
    dropped = {name: rows for name, rows in given.items() if not name.startswith(LEFT_OUT)}
    found = {"made": kept + sum(dropped.values()), "kept": kept, "dropped": dropped}
    if len(given) > len(dropped):
        found["left_out"] = {
            name.removeprefix(LEFT_OUT): rows for name, rows in given.items() if name not in dropped
        }
    return found


def missing_rows(facts: Mapping[str, Any]) -> str | None:
    """As `Draft.missing`, from the facts of a draft or a release."""
    counts, asked, seeds = facts["counts"], *map(facts["lineage"].get, ("settings", "seeds"))
    keep = asked.get("keep", 0)
    if counts["kept"] >= keep:
        return None
    lost = [f"{number:,} {reason}" for reason, number in counts["dropped"].items()]
    lost += [f"{n:,} {LEFT_OUT}{reason}" for reason, n in counts.get("left_out", {}).items()]
    return (
        f"{keep - counts['kept']:,} of {number_of(keep, 'rows')} to keep are missing after "
        f"{number_of(asked['rows'], asked['rows_of'])}: "
        f"{', '.join(lost) or 'nothing was dropped'}; "
        + ("raise --rows" if seeds["beyond"] or not seeds["columns"] else "give a larger source")
    )


def by_frequency(counted: Mapping[str, int]) -> dict[str, int]:
    """Counts, the greatest first and then by name."""
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def write_draft(
    home: Path,
    schemas: Mapping[str, Schema],
    rows: Mapping[str, Iterable[Row]],
    facts: Callable[[], Mapping[str, Any]],
    run: Mapping[str, Any],
) -> Draft:
    """Write a draft as the next number under home/drafts, by one rename.

    A draft with the same bytes as the last one is that one; there is no second. `facts` follow
    from the recipe, the source and the answers alone, and are computed once the rows are written;
    `run` is what making it took this time.

    Raises:
        FolderError: No room or no permission to write; nothing is left behind.
    """
    drafts = home / "drafts"
    with whole_folder(drafts) as made:
        for config, shape in schemas.items():
            write_parquet(made / f"{config}.parquet", shape, rows[config])
        known = facts()
        (made / FACTS).write_text(canonical_json(known), encoding="utf-8")
        (made / RUN).write_text(canonical_json(run), encoding="utf-8")
        earlier = _numbered(drafts)
        folder = drafts / f"{int(earlier[-1].name) + 1 if earlier else 1:04d}"
        is_new = not (earlier and _same(made, earlier[-1]))
        if is_new:
            durably_rename(made, folder)
        else:
            folder = earlier[-1]
    return Draft(folder=folder, facts=known, run=run, is_new=is_new)


def check_drafts(home: Path) -> None:
    """Refuse a place for drafts that cannot be written, before anything is paid for.

    Raises:
        InputError: It is no folder.
        OSError: It may not be written.
    """
    drafts = home / "drafts"
    if (drafts.exists() or drafts.is_symlink()) and not drafts.is_dir():
        raise InputError(f"{drafts} is no folder, expected that of the drafts; move it away")
    if drafts.is_dir() and not os.access(drafts, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def load_draft(
    name: Set | Recipe | str | Path, work: str | Path | None = None, number: int | None = None
) -> Draft:
    """A draft of a set, or of a recipe's ad-hoc set.

    Args:
        name: A set, its name or its file as for `load_set`, or a recipe.
        work: The folder of drafts and ledgers; None takes that of the set.
        number: That of the draft; None takes the newest one.

    Raises:
        InputError: There is no such draft, or no such set.
        RecipeError: As `load_recipe`.
    """
    with file_errors_in_one_line():
        with named("work"):
            folder = None if work is None else path(work)
        try:
            a_set = as_set(name)
        except InputError:
            home = set_home(str(name), folder)
            file = Path(f"{str(name).removesuffix('.md')}.md")
            if home is None or file.is_file():  # what is wrong with it is the error
                raise
            raise InputError(
                f"{home} has a set whose file or recipe is not here; give the path of it, such as "
                f"{home.name}.md or ./{home.name}.py"
            ) from None
        home = (folder or a_set.work) / a_set.name
        released = f"--from {shlex.quote(a_set.released.shown)}" if a_set.released else ""
        draft = last_draft(home, number, released)
        return replace(draft, set=set_of_drafts(a_set, home))


def _same(one: Path, other: Path) -> bool:
    names = {path.name for folder in (one, other) for path in folder.iterdir()} - {RUN}
    _, differing, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return not differing and not missing


def last_draft(home: Path, number: int | None = None, named: str = "") -> Draft:
    """The newest draft under a set's folder, or the one of a number.

    Args:
        home: The folder.
        number: That of the draft; None takes the newest one.
        named: How the command line names the set, where it is not by the folder's name.

    Raises:
        InputError: There is none.
    """
    folders = _numbered(home / "drafts")
    if not folders:
        raise InputError(
            f"there is no draft of {home.name!r} in {home.parent.name}/; run "
            f"`potstill build {named or home.name}` first, or name its folder with --work"
        )
    by_number = {int(one.name): one for one in folders}
    if number is not None and number not in by_number:
        known = ", ".join(one.name for one in folders)
        raise InputError(f"{home.name!r} has no draft {number}; there are {known}")
    folder = folders[-1] if number is None else by_number[number]
    return Draft(folder=folder, facts=facts_in(folder), run=read_json(folder / RUN))


def facts_in(folder: Path) -> dict[str, Any]:
    """The facts of the draft in a folder.

    Raises:
        InputError: They are torn.
    """
    return read_json(folder / FACTS, "recipe", "counts", "lineage")


def _numbered(drafts: Path) -> list[Path]:
    if not drafts.is_dir():
        return []
    found = [path for path in drafts.iterdir() if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))
