"""The straight line: seeds, pipeline, raw rows, `row`, schema, gates, draft."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builders.engine.calls import Answer, Call
from builders.engine.engine import Engine
from builders.engine.progress import Progress
from builders.engine.teachers import TeacherSpec
from builders.errors import TeacherError
from builders.recipe import Drop, Json, Raw, Recipe, Settings, row_id, short_hash
from builders.release.draft import Draft, counts, last_draft, write_draft
from builders.release.lineage import lineage
from builders.schema import Row
from builders.seeds import Origin, Source, read_prompts, read_tasks

_TEXT_IN_EVIDENCE = 4000  # characters of one text; a runaway answer is whole in `raw`


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one build is to make and where it runs.

    `source` None takes the recipe's own seeds; `licence` is that of a source given.
    """

    recipe: Recipe
    settings: Settings
    work: Path
    teacher: TeacherSpec = field(default_factory=TeacherSpec)
    source: Source | None = None
    licence: str = "unknown"


@dataclass
class Candidate:
    """One raw row and what became of it: a row that is kept so far, or a drop."""

    raw: Raw
    row: Row | None = None
    drop: Drop | None = None

    def calls(self) -> Iterator[str]:
        """The ids of the calls it came from, as the tasks left them in its columns."""
        for name, value in self.raw.items():
            if name.startswith("llm_") and name.endswith("_call"):
                yield from [value] if isinstance(value, str) else value or ()


def build(order: Order, progress: Progress) -> Draft:
    """Run a recipe and write its draft.

    Raises:
        PotstillError: With what to do; no draft was written and none was lost.
    """
    recipe, settings = order.recipe, order.settings
    progress.stage, progress.rows_wanted = "reading seeds", settings.rows
    seeds, origin = _seeds(order)
    progress.stage = "starting the teacher"
    with Engine(recipe, order.teacher, seed=settings.seed, progress=progress) as engine:
        progress.stage = f"building {recipe.name}"
        candidates = [Candidate(raw=raw) for raw in recipe.all_candidates(engine, seeds, settings)]
        progress.stage = "sorting out"
        identities = engine.identities()
    failed = [candidate.raw for candidate in candidates if "failed" in candidate.raw]
    if failed and not engine.calls:
        raise TeacherError(f"no call was answered: {failed[0]['failed_why']}")
    judge(recipe, settings, candidates)
    kept = [candidate.row for candidate in candidates if candidate.row is not None]
    dropped, row_ids = _dropped(candidates)
    facts = {
        "recipe": recipe.name,
        "counts": counts(len(kept), dropped),
        "lineage": lineage(recipe, settings, origin.facts(), identities),
        "cost": progress.facts(),
    }
    rows = {"default": kept, "dropped": dropped, "raw": _raw_rows(engine.calls, row_ids)}
    return write_draft(order.work / recipe.name, recipe.schema, rows, facts)


def judge(recipe: Recipe, settings: Settings, candidates: Sequence[Candidate]) -> None:
    """Give every candidate its row or its drop: `row`, schema, gates, draft gates, duplicates."""
    for candidate in candidates:
        _judge_one(recipe, candidate)
    for gate in recipe.draft_gates(settings):
        alive = [candidate for candidate in candidates if candidate.row is not None]
        rows = [candidate.row for candidate in alive if candidate.row is not None]
        raws = [candidate.raw for candidate in alive]
        for place, drop in gate(raws, rows).items():
            _reject(alive[place], drop)
    first: set[str] = set()
    for candidate in candidates:
        if candidate.row is not None:
            if candidate.row["id"] in first:
                _reject(candidate, Drop(reason="duplicate", evidence={"of": candidate.row["id"]}))
            else:
                first.add(candidate.row["id"])


def _judge_one(recipe: Recipe, candidate: Candidate) -> None:
    raw = candidate.raw
    if "failed" in raw:
        evidence = {"step": raw["failed_step"], "why": raw["failed_why"], **_texts(raw)}
        candidate.drop = Drop(reason=raw["failed"], evidence=evidence)
        return
    verdict = recipe.row(raw)
    if isinstance(verdict, Drop):
        candidate.drop = verdict
        return
    candidate.row = {"id": row_id(verdict["prompt"]), **verdict}
    if problem := recipe.schema.problem(candidate.row):
        _reject(candidate, Drop(reason="schema", evidence={"problem": problem}))
        return
    for gate in recipe.gates:
        if drop := gate(candidate.row):
            _reject(candidate, drop)
            return


def _reject(candidate: Candidate, drop: Drop) -> None:
    row = candidate.row or {}
    candidate.drop = replace(drop, evidence={**drop.evidence, **_texts(row)})
    candidate.row = None


def _texts(row: Mapping[str, Any]) -> dict[str, Json]:
    """What of a row a person wants to see: its texts, without the engine's columns."""
    skipped = ("llm_", "failed", "distilabel_metadata", "id", "model_name")
    return {
        name: value
        for name, value in row.items()
        if not name.startswith(skipped) and isinstance(value, str | list | int | float | bool)
    }


def _dropped(candidates: Iterable[Candidate]) -> tuple[list[Row], dict[str, list[str]]]:
    """The rows of `dropped`, and for each call the ids of all rows that came from it."""
    dropped: list[Row] = []
    row_ids: dict[str, list[str]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for candidate in candidates:
        if candidate.drop is not None:
            reason, evidence = candidate.drop.reason, _json(candidate.drop.evidence)
            once = short_hash(reason, evidence)
            identity = short_hash(reason, evidence, str(seen[once]))
            seen[once] += 1
            dropped.append({"id": identity, "reason": reason, "evidence": evidence})
        else:
            assert candidate.row is not None
            identity = candidate.row["id"]
        for call in candidate.calls():
            if identity not in row_ids[call]:
                row_ids[call].append(identity)
    return dropped, row_ids


def _raw_rows(
    calls: Mapping[str, tuple[Call, Answer]], row_ids: Mapping[str, list[str]]
) -> list[Row]:
    return [
        {
            "id": identity,
            "row_ids": row_ids.get(identity, []),
            "role": call.role,
            "model": call.model,
            "revision": call.revision,
            "asked": _json(call.asked),
            "sampling": _json(dict(call.sampling)),
            "sample": call.sample,
            "answer": _writable(answer.text),
            "finish_reason": answer.finish_reason,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
        }
        for identity, (call, answer) in sorted(calls.items())
    ]


def _json(value: Any) -> str:
    """One line of JSON that can be written as UTF-8; long texts are cut in evidence only."""
    return _writable(json.dumps(value, ensure_ascii=False))


def _writable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _seeds(order: Order) -> tuple[list[Raw], Origin]:
    """The seeds of a build, and where they came from."""
    ours = order.recipe.seeds
    source = order.source or Source(place=ours.source)
    read = read_tasks if ours.form == "tasks" else read_prompts
    name, licence, written_by = source.place, order.licence, "unknown"
    if order.source is None or source.place == ours.source:
        licence, written_by = ours.licence, ours.written_by
    if ours.form == "prompts" and source.place.isidentifier() and not Path(source.place).exists():
        # Another recipe's set: its newest draft in the same work folder.
        draft = last_draft(order.work / source.place)
        source = replace(source, place=str(draft.folder / "default.parquet"))
        licence = draft.facts["lineage"]["seeds"]["licence"]
    rows, revision = read(source)
    shown = name if source.revision else Path(name).name
    origin = Origin(
        name=shown, revision=revision, rows=len(rows), licence=licence, written_by=written_by
    )
    return rows, origin
