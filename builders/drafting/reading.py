"""What a build starts from: its prompts or seed tasks, where they come from, what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from builders.drafting.build_spec import BuildSpec
from builders.drafting.declared_values import with_keys
from builders.drafting.draft import last_draft
from builders.drafting.source_licence import source_licence
from builders.errors import InputError, number_of
from builders.recipe import Raw
from builders.recipe_loading import recipe_names
from builders.set_names import set_name
from builders.sets import names_set
from builders.sources.seed_forms import counted, read_prompts, read_tasks
from builders.sources.source import LeftOut, LoadedSource, Origin, Source, shown_name
from builders.spool import Spool

_MOST_SHOWN = 8  # files or hints
_MOST_COLUMNS = 50  # what a prompt lacks is among them


class Seeds(NamedTuple):
    """The rows to start from, their origin, the rows that were left out, and lines about them."""

    rows: list[Raw] | Spool[Raw]
    origin: Origin
    left_out: list[LeftOut]
    lines: list[str]

    def first(self, rows: int) -> tuple[Origin, list[LeftOut]]:
        """The origin and what was left out, had only so many rows been read."""
        left_out = [one for one in self.left_out if one.before < rows]
        beyond = len(self.rows) - rows + len(self.left_out) - len(left_out) + self.origin.beyond
        known = replace(self.origin, rows=rows, left_out=counted(left_out), beyond=beyond)
        return known, left_out


def read_seeds(spec: BuildSpec, most: int | None, *, folder: Path) -> Seeds:
    """Read the source of a build, the recipe's own where none is given.

    Args:
        spec: The build; the form of the rows is that of its recipe's seeds. Its source may be the
            name of another set in the same folder of work, whose newest draft is read then.
        most: How many rows are used; None for all.
        folder: Where prompts are kept, in a file without a name.

    Raises:
        InputError: The source is missing, or too little of it can be read.
    """
    seeds = spec.recipe.seeds
    source = spec.source or Source(place=seeds.source)
    written_by = seeds.written_by if source.place == seeds.source else spec.written_by
    name = source.place
    if seeds.form == "prompts" and _is_draft(spec, name):
        source = replace(source, place=str(last_draft(spec.work / name).file("default")))
    release = spec.set.released.shown if spec.set.released else ""
    if release and spec.expected and _is_missing(source):
        raise InputError(
            f"{release} was made from {name} ({spec.expected:.23}), which it does not hold; put it "
            f"there, or give it: --{seeds.flag} WHERE"
        )
    if seeds.form == "tasks":
        loaded = read_tasks(source)
    else:
        loaded = read_prompts(source, seeds.keeps, most, folder=folder)
    if spec.expected not in (None, loaded.revision):
        raise InputError(
            f"{source.place} is not what {release} was made from ({loaded.revision:.23}, expected "
            f"{spec.expected:.23}); put the right one there, or choose another with --{seeds.flag}"
        )
    shown = shown_name(name)
    known, about = source_licence(spec.licence, source, shown, loaded.revision, seeds)
    origin = Origin(
        name=shown,
        revision=loaded.revision,
        rows=len(loaded.rows),
        left_out=counted(loaded.left_out),
        beyond=loaded.beyond,
        columns=[*loaded.columns],
        written_by=written_by,
        **known,
    )
    lines = [*_lines(seeds.flag, origin, loaded), *about]
    lines = [with_keys(spec.set, line, spec.chosen) for line in lines]
    return Seeds(loaded.rows, origin, loaded.left_out, lines)


def _is_draft(spec: BuildSpec, name: str) -> bool:
    """Whether a source is the newest draft of a set, which may still have to be built."""
    if not names_set(name) or Path(name).exists():
        return False
    file = spec.set.folder / f"{name}.md"
    return name in recipe_names() or file.is_file() or (spec.work / name).is_dir()


def _is_missing(source: Source) -> bool:
    return not Path(source.place).exists() and set_name(source.place, source.revision) is None


def _lines(flag: str, origin: Origin, loaded: LoadedSource) -> Iterator[str]:
    """What was read, in one line; then the first row that was left out for each reason."""
    left_out = origin.left_out
    total = origin.rows + sum(left_out.values()) + origin.beyond
    forms = " or ".join(" + ".join(form) for form in loaded.forms)
    columns = f" ({forms})" if forms else ""
    parts = [part.rpartition(f"{origin.name}, ")[2] for part in loaded.parts]
    places = f" in {_listed(parts)}" if len(parts) > 1 else ""
    counts = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
    yield (
        f"{flag}: {origin.rows:,} of {number_of(total, 'rows')} of {origin.name}{places}{columns}"
        f"{counts and f'; {counts} left out'}"
    )
    if loaded.unused:
        yield f"columns not used: {_listed(loaded.unused, _MOST_COLUMNS)}"
    for name, columns in islice(loaded.doubtful.items(), _MOST_SHOWN):
        yield f"{name} may hold the answer; if not, --column {columns} joins it"
    if loaded.with_answers:
        prompts = number_of(loaded.with_answers, "prompts")
        yield f"{prompts} may end with an answer, which is asked too; if so, delete it"
    if loaded.skipped:
        yield f"{number_of(len(loaded.skipped), 'files')} not read: {_listed(loaded.skipped)}"
    for reason in left_out:
        first = next(one for one in loaded.left_out if one.reason == reason)
        yield f"first {reason}: {first.place}: {first.why}"


def _listed(names: Sequence[str], most: int = _MOST_SHOWN) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
