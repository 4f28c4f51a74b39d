"""The straight line: source, pipeline, raw rows, `row`, schema, gates, draft."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from builders.drafting.answer_counts import AnswerCounts
from builders.drafting.answered import Answered
from builders.drafting.build_spec import LEDGER, BuildSpec
from builders.drafting.contributions import CONFIG, CONTRIBUTED, contributors, take_in
from builders.drafting.declared_values import errors_in_file, with_keys
from builders.drafting.draft import Draft, check_drafts, counts, write_draft
from builders.drafting.licence import with_model_licences
from builders.drafting.lineage import lineage
from builders.drafting.notes import read_notes, what_was_learned, write_notes
from builders.drafting.outcomes import (
    CandidateRow,
    call_rows,
    candidate_row,
    decide,
    drop_surplus,
    left_out_rows,
    outcomes,
)
from builders.drafting.owner import claim_folder
from builders.drafting.reading import read_seeds
from builders.drafting.readings import Readings
from builders.drafting.set_record import with_recorded_teachers
from builders.drafting.spending import Spending
from builders.drafting.unreadable import (
    NOTE,
    build_digest,
    help_against,
    note_unreadable,
    read_before,
)
from builders.engine.engine import Engine
from builders.engine.executor_import import in_parts
from builders.engine.judgements import Judgements, one_line
from builders.engine.ledger import Ledger
from builders.engine.ledger_format import ledger_exists
from builders.engine.pool import pool, recorded_pool
from builders.engine.prices import FREE_KINDS, prices_used
from builders.engine.progress import Progress
from builders.engine.row_order import one_of_several
from builders.engine.teacher import EMBEDDED
from builders.errors import InputError, RecipeError, Stopped, TeacherError, folder_error
from builders.file_lock import folder_lock
from builders.judging.reports import judges_facts
from builders.recipe import Raw, Settings, short_hash
from builders.recipe_loading import errors_in_one_line
from builders.schema import Row
from builders.spool import Spool


def build_draft(spec: BuildSpec, progress: Progress) -> Draft:
    """Run a recipe and write its draft.

    Raises:
        PotstillError: With what to do; no draft was written or lost, and every answer is kept.
    """
    recipe = spec.recipe
    if spec.from_ledger and not ledger_exists(spec.home / LEDGER):
        raise InputError(f"there is no ledger in {spec.home}; build with the teacher first")
    with open_build(spec) as ledger:
        readings = Readings(spec.home)
        answered = answer_calls(spec, ledger, progress, readings=readings)
        spec, candidates = answered.spec, answered.candidates
        progress.begin("checking rows")
        decide(recipe, spec.settings, candidates)
        take_in(candidates, spec.contributed)
        if keep := spec.settings.keep:
            drop_surplus(keep, candidates)
        dropped, row_ids = outcomes(candidates)
        kept = len(candidates) - len(dropped)
        progress.kept, progress.dropped = kept, len(dropped)
        for row in left_out_rows(answered.left_out):
            dropped.append(row)
        spending, schemas = Spending(), recipe.schemas
        answers = AnswerCounts()
        priced = spending.of(answered.calls(ledger))
        calls = answers.of(call_rows(priced, row_ids.of, readings.of))
        made = ("default", *recipe.extra_configs)
        rows: dict[str, Iterable[Row]] = {name: _config(spec, name, candidates) for name in made}
        rows |= {"dropped": dropped, "calls": calls}
        if spec.contributed:
            rows[CONFIG], schemas[CONFIG] = spec.contributed, CONTRIBUTED

        def facts() -> dict[str, Any]:
            measures = recipe.measures(lambda name: _config(spec, name, candidates))
            return {
                "recipe": recipe.name,
                "set": dict(spec.declared),
                "counts": counts(kept, dropped),
                "lineage": with_model_licences(
                    _lineage(spec, answered) | {"answers": answers.facts()}
                ),
                "spent": {**spending.facts(kept), "prices": answered.prices},
                **({"measures": dict(measures)} if measures else {}),
            }

        draft = write_draft(spec.home, schemas, rows, facts, progress.facts())
        return replace(draft, set=spec.set)


def _lineage(spec: BuildSpec, answered: Answered) -> dict[str, Any]:
    facts = lineage(spec.recipe, spec.settings, answered.origin.facts(), answered.identities)
    roles = {*answered.used.values()}
    judges = [
        identity["model"]
        for role, identity in answered.identities.items()
        if role.startswith("judge") and role in roles
    ]
    if judges:
        facts["judges"] = judges_facts(spec.judge_reports, judges)
    if spec.contributed:
        facts[CONFIG] = contributors(spec.contributed)
    return facts


def _config(spec: BuildSpec, name: str, candidates: Iterable[CandidateRow]) -> Iterator[Row]:
    """The rows of `default` or of an extra config, each with its schema and an id of its own."""
    if name == "default":
        yield from (candidate.row for candidate in candidates if candidate.row is not None)
        return
    extra, seen = spec.recipe.extra_configs[name], set[str]()
    pairs = ((candidate.raw, candidate.row) for candidate in candidates if candidate.raw)
    for row in extra.rows(pairs, spec.settings):
        problem = extra.schema.problem(row)
        if problem or row["id"] in seen:
            raise RecipeError(
                f"{spec.recipe.name}.py, config {name!r}: row {row.get('id')!r} "
                f"{problem or 'comes twice'}; fix its rows()"
            )
        seen.add(row["id"])
        yield row


def ask_shard(spec: BuildSpec, progress: Progress) -> int:
    """Make the calls of one shard and record their answers; return the number of candidates.

    Raises:
        PotstillError: As `build_draft`, or the recipe cannot be sharded.
    """
    if spec.recipe.candidates:
        raise InputError(
            f"{spec.recipe.name} cannot be sharded: its pool grows from all rows; build it whole"
        )
    with open_build(spec) as ledger:
        answered = answer_calls(spec, ledger, progress)
        write_notes(spec.home, {**read_notes(spec.home), "finished": True})
        return len(answered.candidates)


@contextmanager
def open_build(spec: BuildSpec) -> Iterator[Ledger]:
    """The ledger of a build, whose folder is locked meanwhile and rid of unfinished drafts."""
    if spec.shard and spec.settings.keep:
        raise InputError("--keep with --shard: no shard knows what others keep; leave out one")
    with ExitStack() as held, errors_in_one_line(spec.recipe), errors_in_file(spec):
        try:
            held.enter_context(folder_lock(spec.home))
            claim_folder(spec.set, spec.work / spec.set.name, spec.declared)
            check_drafts(spec.home)
        except OSError as error:
            raise folder_error(error, spec.home) from None
        ledger = held.enter_context(closing(Ledger.open(spec.home / LEDGER)))
        for left in (spec.home / "drafts").glob(".making-*"):  # of a killed build
            shutil.rmtree(left, ignore_errors=True)
        yield ledger


def answer_calls(
    spec: BuildSpec,
    ledger: Ledger,
    progress: Progress,
    sample: int | None = None,
    readings: Readings | None = None,
) -> Answered:
    """Make all calls of a build that the ledger has no answer to, and record the answers.

    Each candidate is checked while others are still being made, and put in order at the end.
    `sample` makes the calls of so many rows only, and ends early where a build would stop for
    answers that cannot be parsed. `readings` gets what steps made of the answers.
    """
    recipe = spec.recipe
    progress.begin("reading the source")
    most = None if recipe.candidates else spec.most_rows  # a pool draws from all of them
    read = read_seeds(spec, most, folder=spec.home)
    seeds, origin, left_out, lines = read
    for line in (f"{lines[0]}; {spec.rows_line()}", *lines[1:]):
        progress.announce(line)
    if caution := recipe.caution(spec.settings):
        progress.announce(caution)
    for line in spec.notices:
        progress.announce(line)
    facts = spec.facts(origin)
    rows = spec.most_rows if recipe.candidates else None
    spec = replace(spec, settings=replace(spec.settings, rows=rows or len(seeds)))
    if spec.shard:
        part, parts = spec.shard
        own = (row for row in seeds if int(short_hash(row["id"]), 16) % parts == part - 1)
        seeds = Spool(spec.home, own)
    settings = spec.settings
    if sample is not None:
        settings = replace(settings, rows=min(settings.rows, sample))
    progress.rows_wanted, progress.rows_of = settings.rows, recipe.rows_of
    if recipe.candidates is None:
        progress.rows_wanted = min(settings.rows, len(seeds))
    limits, prices = spec.run_limits, None
    if spec.from_ledger:
        before = read_notes(spec.home)
        spec = replace(spec, declared=with_recorded_teachers(spec.declared, before["order"]))
        facts = spec.facts(origin)
        teachers = recorded_pool(before["teachers"], spec.teachers, recipe)
        models = ", ".join(dict.fromkeys(one.model for one in teachers))
        progress.announce(f"answers of {models}, as the build before this one asked")
        prices = before.get("prices")
    else:
        teachers = pool(spec.teachers, recipe)
    embedded = any(one.name == EMBEDDED for one in teachers)
    progress.begin("starting the teacher" if embedded else "asking the teachers")
    advice = help_against(recipe, settings)
    with ExitStack() as stack:
        judgements = Judgements(
            progress,
            lambda fault: with_keys(spec.set, advice(fault), spec.chosen),
            go_on=limits.accept_unreadable or spec.from_ledger,
            keep=readings.add if readings else lambda *_: None,
        )
        engine = stack.enter_context(
            Engine(
                recipe,
                teachers,
                ledger,
                progress,
                seed=settings.seed,
                run_limits=limits,
                judgements=judgements,
            )
        )
        if not all(one.identity()["kind"] in FREE_KINDS for one in teachers):
            prices = prices or prices_used(limits.price, limits.prices)
        notes = {"teachers": teachers.recorded(), "order": facts, "prices": prices}
        digest, before = build_digest(recipe, settings, teachers), read_before(spec.home)
        notes[NOTE], known = before, before.get(digest, {"why": None, "calls": []})
        judgements.lost_before = frozenset(known["calls"])
        if limits.retry and not spec.from_ledger:
            ledger.ask_again(known["calls"])
        else:
            judgements.hold(known["why"])
        stack.enter_context(what_was_learned(spec.home, teachers, notes))
        accept = limits.accept_unreadable
        stack.callback(note_unreadable, judgements, digest, notes, accept=accept)
        candidates = Spool[CandidateRow](spec.home)
        with ExitStack() as failing:
            failing.callback(candidates.close)  # at once: its room is what a full disk lacks
            if settings.keep:
                some = replace(spec, settings=settings)
                settings = _ask_until_kept(some, engine, seeds, candidates, progress)
                if sample is None:
                    spec = replace(spec, settings=settings)
                if sample is None and recipe.candidates is None:
                    origin, left_out = read.first(settings.rows)
            else:
                _ask(spec, engine, seeds, settings, candidates, progress)
            if engine.stopped and sample is None:
                raise engine.stopped
            failing.pop_all()
        identities = engine.identities()
    if ledger.damaged:
        progress.announce(
            f"damaged answers in the ledger, asked again: {ledger.damaged:,}; check its disk, "
            f"and what else it holds: `potstill ledger {spec.set.name} --repair`"
        )
    if not engine.used and len(candidates):
        failed = (one.raw for one in candidates if "failed" in one.raw)
        first = next(failed, {"failed_why": progress.why_failed})
        if "failed_place" in first:
            place, why = first["failed_place"], first["failed_why"]
            raise RecipeError(f"{place}: {why}, so no call was answered; fix it")
        if first["failed_why"]:
            raise TeacherError(f"no call was answered: {first['failed_why']}")
    unreadable = judgements.unreadable()
    for one in unreadable if sample is None else ():
        progress.announce(one_line(one))
    return Answered(
        spec,
        candidates,
        engine.used,
        origin,
        left_out,
        identities,
        prices,
        settings.rows,
        unreadable,
        None if judgements.go_on else judgements.why_hopeless(),
    )


def _ask_until_kept(
    spec: BuildSpec,
    engine: Engine,
    seeds: Sequence[Raw] | Spool[Raw],
    candidates: Spool[CandidateRow],
    progress: Progress,
) -> Settings:
    """Ask for rows in order until enough are kept, each time for as many as are missing.

    So what is asked depends on counts alone, and no surplus row is asked for where each makes one
    kept row at most. The settings are those of a build of the rows that were asked for.
    """
    recipe, settings = spec.recipe, spec.settings
    rows = kept = 0
    while (
        kept < (settings.keep or 0)
        and rows < spec.settings.rows
        and (engine.used or not rows)
        and not engine.stopped
    ):
        asked, rows = rows, min(spec.settings.rows, rows + (settings.keep or 0) - kept)
        settings = replace(settings, rows=rows)
        engine.runs = 0
        if recipe.candidates:  # again from the beginning, with the recorded answers
            asked = progress.kept = progress.dropped = 0
            candidates.reorder(())
        progress.rows_wanted = rows - asked
        some = (seeds[place] for place in range(asked, len(seeds)))
        _ask(spec, engine, some, replace(settings, rows=rows - asked), candidates, progress)
        tried = Spool(spec.home, candidates)
        decide(recipe, settings, tried)
        take_in(tried, spec.contributed)
        progress.kept = kept = sum(one.row is not None for one in tried)
    return settings


def _ask(
    spec: BuildSpec,
    engine: Engine,
    seeds: Iterable[Raw],
    settings: Settings,
    candidates: Spool[CandidateRow],
    progress: Progress,
) -> None:
    """Add the candidates of the first rows of these, in their order.

    Those made so far, where the build stops for answers that cannot be parsed.
    """
    before, order = len(candidates), list[bytes]()
    try:
        for at, raw in _raw_rows(spec, engine, seeds, settings):
            order.append(at)
            candidates.append(one := candidate_row(spec.recipe, raw, engine.judgements.judge))
            if engine.stopped:
                raise engine.stopped
            kept_id = str(one.row["id"]) if one.row else None
            progress.count_row(kept_id, one_of_several=one_of_several(at))
    except Stopped:
        if not engine.judgements.stopped_for:
            raise
    added = sorted(range(len(order)), key=order.__getitem__)
    candidates.reorder([*range(before), *(before + place for place in added)])


def _raw_rows(
    spec: BuildSpec, engine: Engine, seeds: Iterable[Raw], settings: Settings
) -> Iterator[tuple[bytes, Raw]]:
    """Every raw row of a build, once, as it is made, with bytes that sort them."""
    recipe = spec.recipe
    if recipe.candidates is None:
        pipeline, some = recipe.pipeline, islice(seeds, settings.rows)
        if spec.shard or settings.keep:
            pipeline = in_parts(pipeline, rebuilt=not settings.keep)
        yield from engine.stream(pipeline, some, **settings.options)
    else:
        for place, raw in enumerate(recipe.candidates(engine, [*seeds], settings)):
            yield place.to_bytes(8, "big"), raw
