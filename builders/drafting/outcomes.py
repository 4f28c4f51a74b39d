"""The outcome of every candidate: kept as a row, or dropped with a reason; none is lost."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from builders.engine.calls import Answer, Call
from builders.errors import RecipeError
from builders.recipe import Drop, Json, Raw, Recipe, Settings, row_id, short_hash
from builders.schema import Row


@dataclass(slots=True)
class CandidateRow:
    """One raw row and its outcome: a row that is kept so far, or a drop."""

    raw: Raw
    row: Row | None = None
    drop: Drop | None = None

    def calls(self) -> Iterator[str]:
        """The ids of the calls that it was made from, as the tasks put them in its columns."""
        for name, value in self.raw.items():
            if name.startswith("llm_") and name.endswith("_call"):
                yield from [value] if isinstance(value, str) else value or ()


def decide(recipe: Recipe, settings: Settings, candidates: Sequence[CandidateRow]) -> None:
    """Give every candidate its outcome: by `row`, schema, gates, draft gates, then duplicates."""
    for candidate in candidates:
        _decide_one(recipe, candidate)
    for gate in recipe.draft_gates(settings):
        alive = [candidate for candidate in candidates if candidate.row is not None]
        rows = [candidate.row for candidate in alive if candidate.row is not None]
        raws = [candidate.raw for candidate in alive]
        for place, drop in gate(raws, rows).items():
            reject(alive[place], drop)
    first: set[str] = set()
    for candidate in candidates:
        if candidate.row is not None:
            if candidate.row["id"] in first:
                reject(candidate, Drop(reason="duplicate", evidence={"of": candidate.row["id"]}))
            else:
                first.add(candidate.row["id"])


def _decide_one(recipe: Recipe, candidate: CandidateRow) -> None:
    raw = candidate.raw
    if "failed" in raw:
        evidence = {"step": raw["failed_step"], "why": raw["failed_why"], **_texts(raw)}
        candidate.drop = Drop(reason=raw["failed"], evidence=evidence)
        return
    row = recipe.row(raw)
    if isinstance(row, Drop):
        candidate.drop = row
        return
    if not isinstance(row, dict):
        raise RecipeError(
            f"{recipe.name}.py: row() returned {row!r}, expected a row or a Drop; fix it"
        )
    candidate.row = {"id": "", **row}
    problem = recipe.schema.problem(candidate.row)
    if not problem and not {"id", "prompt"} & {*row}:
        problem = "has neither an 'id' nor a 'prompt' to make it from"
    if problem:
        reject(candidate, Drop(reason="schema", evidence={"problem": problem}))
        return
    if "id" not in row:
        candidate.row["id"] = row_id(row["prompt"])
    for gate in recipe.gates:
        if drop := gate(candidate.row):
            reject(candidate, drop)
            return


def reject(candidate: CandidateRow, drop: Drop) -> None:
    """Drop a kept candidate; its texts are added to the evidence."""
    candidate.drop = replace(drop, evidence={**drop.evidence, **_texts(candidate.row or {})})
    candidate.row = None


def _texts(row: Mapping[str, Any]) -> dict[str, Json]:
    """The columns of a row that a person reads, without those of the engine."""
    hidden = ("llm_", "failed", "distilabel_metadata", "model_name")
    return {
        name: value
        for name, value in row.items()
        if name != "id"
        and not name.startswith(hidden)
        and isinstance(value, str | list | int | float | bool)
    }


def outcomes(candidates: Iterable[CandidateRow]) -> tuple[list[Row], dict[str, list[str]]]:
    """The rows of `dropped`, and for each call the ids of all rows that were made from it."""
    dropped: list[Row] = []
    row_ids: dict[str, list[str]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for candidate in candidates:
        if candidate.drop is not None:
            reason, evidence = candidate.drop.reason, json_text(candidate.drop.evidence)
            content = short_hash(reason, evidence)
            identity = short_hash(reason, evidence, str(seen[content]))
            seen[content] += 1
            dropped.append({"id": identity, "reason": reason, "evidence": evidence})
        else:
            assert candidate.row is not None
            identity = candidate.row["id"]
        for call in candidate.calls():
            if identity not in row_ids[call]:
                row_ids[call].append(identity)
    return dropped, row_ids


def call_rows(
    calls: Iterable[tuple[Call, Answer, float | None]], row_ids: Mapping[str, list[str]]
) -> Iterator[Row]:
    """The rows of the config `calls`, one per call."""
    for call, answer, _ in calls:
        yield {
            "id": call.id,
            "row_ids": row_ids.get(call.id, []),
            "role": call.role,
            "model": call.model,
            "revision": call.revision,
            "asked": json_text(call.prompt),
            "sampling": json_text(dict(call.sampling)),
            "sample": call.sample,
            "answer": _writable(answer.text),
            "finish_reason": answer.finish_reason,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
        }


def json_text(value: Any) -> str:
    """One line of JSON that can be written as UTF-8, the same text for the same value."""
    return _writable(json.dumps(value, ensure_ascii=False))


def _writable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
