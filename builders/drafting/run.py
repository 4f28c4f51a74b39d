"""The straight line: seeds, pipeline, raw rows, `row`, schema, gates, draft."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from builders.drafting.contributions import CONFIG, CONTRIBUTED, contributors, take_in
from builders.drafting.draft import Draft, counts, last_draft, write_draft
from builders.drafting.files import canonical_json
from builders.drafting.lineage import lineage
from builders.drafting.outcomes import CandidateRow, call_rows, decide, outcomes
from builders.drafting.statistics import spending
from builders.engine.calls import Answer, Call
from builders.engine.engine import Engine, folder_lock
from builders.engine.ledger import Ledger
from builders.engine.pool import TeacherPoolSpec, pool, recorded_pool
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.errors import InputError, RecipeError, TeacherError, folder_error
from builders.judging.reports import judges_facts
from builders.recipe import Raw, Recipe, Settings
from builders.schema import Row
from builders.sources.seed_forms import read_prompts, read_tasks
from builders.sources.source import Origin, Source

LEDGER = "ledger.sqlite"
NOTES = "build.json"


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """What one build is to make and where it runs.

    Attributes:
        source: None takes the recipe's own seeds; `licence` is that of a source given.
        shard: (i, n): only the seeds of the i-th of n parts, counted from 1.
        from_ledger: Ask nobody; every answer is recorded already.
        judge_reports: What was measured of judges (`builders.judging.reports`), by their names.
        contributed: What people gave to the set; it stands where the build makes the same row.
    """

    recipe: Recipe
    settings: Settings
    work: Path
    teachers: TeacherPoolSpec = field(default_factory=TeacherPoolSpec)
    source: Source | None = None
    licence: str = "unknown"
    run_limits: RunLimits = field(default_factory=RunLimits)
    shard: tuple[int, int] | None = None
    from_ledger: bool = False
    judge_reports: Sequence[Mapping[str, Any]] = ()
    contributed: Sequence[Row] = ()

    @property
    def home(self) -> Path:
        """The build's folder: its ledger, its lock, its drafts."""
        home = self.work / self.recipe.name
        return home / "shards" / "{:03d}-of-{:03d}".format(*self.shard) if self.shard else home


@dataclass
class Made:
    """What the teachers gave: the candidates, and on which calls they rest, in the keys' order.

    `used` gives the role in which each call was made: the ledger knows the first role ever.
    """

    candidates: list[CandidateRow]
    used: Mapping[bytes, str]
    origin: Origin
    identities: Mapping[str, Mapping[str, Any]]


def build_draft(order: BuildSpec, progress: Progress) -> Draft:
    """Run a recipe and write its draft.

    Raises:
        PotstillError: With what to do; no draft was written, none was lost, every answer is kept.
    """
    recipe, settings = order.recipe, order.settings
    with at_work(order) as ledger:
        made = asked(order, ledger, progress)
        progress.begin("sorting out")
        decide(recipe, settings, made.candidates)
        take_in(made.candidates, order.contributed)
        kept = [candidate.row for candidate in made.candidates if candidate.row is not None]
        dropped, row_ids = outcomes(made.candidates)
        facts: dict[str, Any] = {
            "recipe": recipe.name,
            "counts": counts(len(kept), dropped),
            "lineage": lineage(recipe, settings, made.origin.facts(), made.identities),
            "spent": spending(answers(made, ledger), len(kept)),
        }
        calls = call_rows(answers(made, ledger), row_ids)
        rows: dict[str, Iterable[Row]] = {"default": kept, "dropped": dropped, "calls": calls}
        rows |= {name: _viewed(order, name, made.candidates) for name in recipe.views}
        judges = [who["model"] for role, who in made.identities.items() if _judged(made, role)]
        if judges:
            facts["lineage"]["judges"] = judges_facts(order.judge_reports, judges)
        if measures := recipe.measures(lambda name: _config(order, name, made.candidates)):
            facts["measures"] = dict(measures)
        schemas = recipe.schemas
        if order.contributed:
            rows[CONFIG], schemas[CONFIG] = order.contributed, CONTRIBUTED
            facts["lineage"][CONFIG] = contributors(order.contributed)
        draft = write_draft(order.home, schemas, rows, facts, progress.facts())
        return replace(draft, recipe=recipe)


def answers(made: Made, ledger: Ledger) -> Iterator[tuple[Call, Answer, float | None]]:
    """The calls that a build rests on, in the role it made them in, with answer and cost in USD."""
    for call, answer, cost_usd in ledger.answers([*made.used]):
        role = made.used[call.key]
        yield (call if call.role == role else replace(call, role=role)), answer, cost_usd


def _judged(made: Made, role: str) -> bool:
    return role.startswith("judge") and role in made.used.values()


def _config(order: BuildSpec, name: str, candidates: Sequence[CandidateRow]) -> Iterable[Row]:
    """The rows of `default` or of a view."""
    if name == "default":
        return (candidate.row for candidate in candidates if candidate.row is not None)
    return _viewed(order, name, candidates)


def _viewed(order: BuildSpec, name: str, candidates: Sequence[CandidateRow]) -> Iterator[Row]:
    """The rows of one of the recipe's views, each fit and with an id of its own."""
    view = order.recipe.views[name]
    seen: set[str] = set()
    pairs = ((candidate.raw, candidate.row) for candidate in candidates if candidate.raw)
    for row in view.rows(pairs, order.settings):
        problem = view.schema.problem(row)
        if problem or row["id"] in seen:
            raise RecipeError(
                f"{order.recipe.name}.py, view {name!r}: row {row.get('id')!r} "
                f"{problem or 'comes twice'}; fix the view"
            )
        seen.add(row["id"])
        yield row


def ask_shard(order: BuildSpec, progress: Progress) -> int:
    """Ask for one shard's part of the seeds and record it; give the number of its candidates.

    Raises:
        PotstillError: As `build_draft`, or the recipe cannot be sharded.
    """
    if order.recipe.candidates:
        raise InputError(
            f"{order.recipe.name} cannot be sharded: its pool grows from all rows; build it whole"
        )
    with at_work(order) as ledger:
        made = asked(order, ledger, progress)
        note(order.home, {**noted(order.home), "finished": True})
        return len(made.candidates)


@contextmanager
def at_work(order: BuildSpec) -> Iterator[Ledger]:
    """The build's folder, locked and tidied, and its ledger."""
    with ExitStack() as held:
        try:
            held.enter_context(folder_lock(order.home))
        except OSError as error:
            raise folder_error(error, order.home) from None
        ledger = held.enter_context(closing(Ledger.open(order.home / LEDGER)))
        for left in (order.home / "drafts").glob(".making-*"):  # of a killed build
            shutil.rmtree(left, ignore_errors=True)
        yield ledger


def asked(order: BuildSpec, ledger: Ledger, progress: Progress) -> Made:
    """Everything the teachers give to an order, recorded in the ledger."""
    recipe, settings = order.recipe, order.settings
    progress.rows_wanted = settings.rows
    progress.begin("reading seeds")
    seeds, origin = _seeds(order)
    if recipe.candidates is None:
        progress.rows_wanted = min(settings.rows, len(seeds))
    if order.from_ledger:
        who = recorded_pool(noted(order.home)["teachers"])
    else:
        who = pool(order.teachers, recipe)
    progress.begin("starting the teacher")
    with Engine(
        recipe, who, ledger, progress, seed=settings.seed, run_limits=order.run_limits
    ) as engine:
        note(order.home, {"teachers": who.recorded(), "order": _order_facts(order, origin)})
        progress.begin(f"building {recipe.name}")
        candidates = [
            CandidateRow(raw=raw) for raw in recipe.all_candidates(engine, seeds, settings)
        ]
        identities = engine.identities()
    failed = [one.raw for one in candidates if "failed" in one.raw]
    if failed and not engine.used:
        raise TeacherError(f"no call was answered: {failed[0]['failed_why']}")
    return Made(candidates, dict(sorted(engine.used.items())), origin, identities)


def note(home: Path, facts: Mapping[str, Any]) -> None:
    """Write down beside the ledger whose answers it holds and what was ordered.

    Raises:
        FolderError: No room or no right; what was noted before stands.
    """
    new = home / f".{NOTES}"
    try:
        new.write_text(canonical_json(facts), encoding="utf-8")
        new.replace(home / NOTES)
    except OSError as error:
        raise folder_error(error, home) from None


def noted(home: Path) -> dict[str, Any]:
    """What `note` wrote.

    Raises:
        InputError: No build was ever started there.
    """
    try:
        facts: dict[str, Any] = json.loads((home / NOTES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{home} holds no build; build with a teacher first, or name the right folder"
        ) from None
    return facts


def _order_facts(order: BuildSpec, origin: Origin) -> dict[str, Any]:
    """What a ledger says of its build, so that only shards of one build are merged."""
    return {
        "recipe": order.recipe.name,
        "rows": order.settings.rows,
        "seed": order.settings.seed,
        "options": dict(order.settings.options),
        "source": asdict(order.source or Source(place=order.recipe.seeds.source)),
        "licence": order.licence,
        "seeds": origin.facts(),
        "shard": order.shard,
        "judge_reports": [dict(one) for one in order.judge_reports],
    }


def _seeds(order: BuildSpec) -> tuple[list[Raw], Origin]:
    """The seeds of a build (of a shard: its part), and where they came from."""
    ours = order.recipe.seeds
    source = order.source or Source(place=ours.source)
    licence, written_by = order.licence, "unknown"
    if source.place == ours.source:
        licence, written_by = ours.licence, ours.written_by
    name = source.place
    if ours.form == "prompts" and name.isidentifier() and not Path(name).exists():
        # Another recipe's set: its newest draft in the same work folder.
        draft = last_draft(order.work / name)
        source = replace(source, place=str(draft.folder / "default.parquet"))
        licence = draft.licence
    if ours.form == "tasks":
        rows, revision, left_out = read_tasks(source)
    else:
        rows, revision, left_out = read_prompts(source, ours.keeps)
    origin = Origin(
        name=name if "/" in name and not Path(name).exists() else Path(name).name,
        revision=revision,
        rows=len(rows),
        left_out=left_out,
        licence=licence,
        written_by=written_by,
    )
    if order.shard:
        part, parts = order.shard
        rows = [
            row for row in rows[: order.settings.rows] if int(row["id"], 16) % parts == part - 1
        ]
    return rows, origin
