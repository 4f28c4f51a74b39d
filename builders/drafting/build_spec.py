"""What one build makes, and where it runs: everything that is decided before it begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builders.engine.parameters import Choice
from builders.engine.pool import TeacherPoolSpec
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import TeacherSpec
from builders.errors import number_of
from builders.front_matter import Place
from builders.recipe import Recipe, Settings
from builders.schema import Row
from builders.sets import Set
from builders.sources.source import Origin, Source, absolute_place

LEDGER = "ledger.sqlite"
_MOST_PER_KEPT = 10  # candidates, where a pool could grow for ever


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """What one build makes, and where it runs.

    Attributes:
        declared: The set's declaration for this build, without paths and secrets, for the lineage.
        source: None means the recipe's own; `written_by` is that of another one.
        licence: That of the source, before what its card states; None where it is not given.
        expected: The revision that the source must have; None for any.
        shard: (i, n) takes only the i-th of n parts of the source, counted from 1.
        from_ledger: No teacher is asked: every answer is recorded already.
        judge_reports: How reliable the judges were measured to be (`builders.judging.reports`).
        default_rows: Whether `settings.rows` is the recipe's own number, since none was given. Of
            another source than the recipe's, all prompts are used then.
        contributed: The rows that people gave to the set; they replace the build's own.
        chosen: The flags that were given in the place of declared values.
        as_declared: The declared values that are used, by their places in the set's file, each with
            the words by which an error is known to be about it.
        notices: Lines to announce before anything is asked.
    """

    set: Set
    settings: Settings
    work: Path
    declared: Mapping[str, Any] = field(default_factory=dict)
    teachers: TeacherPoolSpec = field(default_factory=TeacherPoolSpec)
    source: Source | None = None
    licence: str | None = None
    written_by: str = "unknown"
    expected: str | None = None
    run_limits: RunLimits = field(default_factory=RunLimits)
    shard: tuple[int, int] | None = None
    from_ledger: bool = False
    default_rows: bool = False
    judge_reports: Sequence[Mapping[str, Any]] = ()
    contributed: Sequence[Row] = ()
    chosen: Collection[str] = ()
    as_declared: Mapping[Place, Sequence[str]] = field(default_factory=dict)
    notices: Sequence[str] = ()

    @property
    def recipe(self) -> Recipe:
        """The recipe of the set."""
        return self.set.recipe

    @property
    def home(self) -> Path:
        """The build's folder: its ledger, its lock, its drafts."""
        home = self.work / self.set.name
        return home / "shards" / "{:03d}-of-{:03d}".format(*self.shard) if self.shard else home

    @property
    def most_rows(self) -> int | None:
        """How many rows are asked for at most, in the recipe's unit; None for all of the source."""
        keep, recipe = self.settings.keep, self.recipe
        if recipe.candidates:
            return _MOST_PER_KEPT * keep if keep and self.default_rows else self.settings.rows
        own = self.source is not None and self.source.place != recipe.seeds.source
        return None if self.default_rows and (keep or own) else self.settings.rows

    def rows_line(self) -> str:
        """What `rows` counts, and how many are asked for."""
        most, unit, keep = self.most_rows, self.recipe.rows_of, self.settings.keep
        whose = ", the recipe's default" if most and self.default_rows and not keep else ""
        are = "is" if keep == 1 else "are"
        until = f", until {number_of(keep, 'rows')} {are} kept" if keep else ""
        return f"--rows counts {unit}: {f'{most:,} at most' if most else 'all'}{whose}{until}"

    def facts(self, origin: Origin) -> dict[str, Any]:
        """What the shards of one build have in common, but for `shard` and the source's place."""
        source = self.source or Source(place=self.recipe.seeds.source)
        return {
            "set": dict(self.declared),
            "rows": self.settings.rows,
            "default_rows": self.default_rows,
            "seed": self.settings.seed,
            "options": dict(self.settings.options),
            "source": {**asdict(source), "place": absolute_place(source.place)},
            "licence": self.licence,
            "written_by": self.written_by,
            "seeds": origin.facts(),
            "shard": self.shard,
            "judge_reports": [dict(one) for one in self.judge_reports],
            "contributed": [dict(one) for one in self.contributed],
        }


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What is chosen for one build; what is None or empty is as the set declares it.

    Attributes:
        source: The parts of a Source that are given; with a `place` it replaces the declared one.
        licence: That of the source.
        teachers: Words of the form `[ROLE=]WHO[#MODEL]`; one without a role replaces all.
        usual: The teacher that a word leaves open.
        parameters: Parameters of requests, which go before those that are declared.
        trusted: The teachers whose answers are complete although they report no end.
        licences: Pairs of a teacher, empty for all of them, and the licence of its model.
        work: The folder of drafts and ledgers.
        files: The files of `judge_reports` and `contributed`, each with its digest, by flag.
    """

    rows: int | None = None
    keep: int | None = None
    seed: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    source: Mapping[str, str | None] = field(default_factory=dict)
    licence: str | None = None
    teachers: Sequence[str] = ()
    usual: TeacherSpec = field(default_factory=TeacherSpec)
    parameters: Sequence[Choice] = ()
    trusted: Sequence[str] = ()
    licences: Sequence[tuple[str, str]] = ()
    run_limits: RunLimits = field(default_factory=RunLimits)
    work: Path | None = None
    shard: tuple[int, int] | None = None
    from_ledger: bool = False
    judge_reports: Sequence[Mapping[str, Any]] = ()
    contributed: Sequence[Row] = ()
    files: Mapping[str, str] = field(default_factory=dict)
