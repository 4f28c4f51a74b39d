"""The outcome of every candidate: kept as a row, or dropped with a reason; none is lost."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from json import JSONEncoder
from typing import Any, NamedTuple

from builders.engine.calls import Answer, Call, Unreadable
from builders.engine.judgements import Reading
from builders.errors import RecipeError
from builders.gates.text import unprintable
from builders.recipe import Drop, Json, Raw, Recipe, Settings, fingerprint, row_id, short_hash
from builders.schema import LEFT_OUT, Row
from builders.sources.source import LeftOut
from builders.spool import Spool

_encoded = JSONEncoder(ensure_ascii=False).encode


class CandidateRow(NamedTuple):
    """One raw row and its outcome: a row that is kept so far, or a drop."""

    raw: Raw
    row: Row | None = None
    drop: Drop | None = None

    def calls(self) -> Iterator[str]:
        """The ids of the calls that it was made from, as the tasks put them in its columns."""
        for name, value in self.raw.items():
            if name.startswith("llm_") and name.endswith("_call"):
                yield from [value] if isinstance(value, str) else value or ()


def candidate_row(
    recipe: Recipe, raw: Raw, judged: Callable[[str, Reading], None] = lambda *_: None
) -> CandidateRow:
    """A raw row with its outcome by `row`, schema and gates.

    `judged` counts the rows whose judgement `row` itself parses, and cannot.
    """
    if "failed" in raw:
        evidence = {"step": raw["failed_step"], "why": raw["failed_why"], **_texts(raw)}
        evidence |= raw.get("failed_answer", {})
        return CandidateRow(raw, drop=Drop(reason=raw["failed"], evidence=evidence))
    *_, call = ["", *CandidateRow(raw).calls()]
    try:
        row = recipe.row(raw)
    except Unreadable as unreadable:
        evidence = _texts(raw)
        text = next((one for one in reversed(evidence.values()) if isinstance(one, str)), "")
        reading = Reading(role=recipe.name, text=text, fault=unreadable.reason, call=call)
        judged("row()", reading)
        return CandidateRow(raw, drop=Drop(reason=unreadable.reason, evidence=evidence))
    if isinstance(row, Drop):
        return CandidateRow(raw, drop=row)
    judged("row()", Reading(role=recipe.name, text="", fault=None, call=call))
    if not isinstance(row, dict):
        raise RecipeError(
            f"{recipe.name}.py: row() returned {row!r}, expected a row or a Drop; fix it"
        )
    candidate = CandidateRow(raw, row={"id": "", **row})
    assert candidate.row is not None
    problem = recipe.schema.problem(candidate.row)
    if not problem and not {"id", "prompt"} & {*row}:
        problem = "has neither an 'id' nor a 'prompt' to make it from"
    if problem:
        return rejected(candidate, Drop(reason="schema", evidence={"problem": problem}))
    if "id" not in row:
        candidate.row["id"] = row_id(row["prompt"])
    drop = next(filter(None, (gate(candidate.row) for gate in recipe.gates)), None)
    if not drop:
        given = "prompt", raw.get("prompt")  # it is as its source has it
        drop = unprintable(dict(pair for pair in candidate.row.items() if pair != given))
    return rejected(candidate, drop) if drop else candidate


def decide(recipe: Recipe, settings: Settings, candidates: Spool[CandidateRow]) -> None:
    """Drop what the draft gates drop, then every row whose id an earlier one has."""
    import numpy as np

    for gate in recipe.draft_gates(settings):
        alive = array("Q")
        drops = gate((raw, row) for raw, row in _kept(candidates, alive))
        for place, drop in drops.items():
            candidates[alive[place]] = rejected(candidates[alive[place]], drop)
    ids, alive = array("Q"), array("Q")
    for _, row in _kept(candidates, alive):
        ids.append(fingerprint(row["id"]))
    _, first = np.unique(ids, return_index=True)
    for repeated in np.setdiff1d(np.arange(len(ids)), first).tolist():
        candidate = candidates[alive[repeated]]
        of = candidate.row and candidate.row["id"]
        drop = Drop(reason="duplicate", evidence={"of": of})
        candidates[alive[repeated]] = rejected(candidate, drop)


def drop_surplus(keep: int, candidates: Spool[CandidateRow]) -> None:
    """Drop the last of the kept rows beyond `keep`; rows that people gave are not dropped."""
    given = sum(one.row is not None and not one.raw for one in candidates)
    room = max(0, keep - given)
    for place, candidate in enumerate(candidates):
        if candidate.row is not None and candidate.raw:
            if not room:
                drop = Drop(reason="surplus", evidence={"keep": keep})
                candidates[place] = rejected(candidate, drop)
            room = max(0, room - 1)


def _kept(candidates: Spool[CandidateRow], places: array[int]) -> Iterator[tuple[Raw, Row]]:
    """The raw rows that are kept so far, each with its row; `places` gets the place of each."""
    for place, (raw, row, _) in enumerate(candidates):
        if row is not None:
            places.append(place)
            yield raw, row


def rejected(candidate: CandidateRow, drop: Drop) -> CandidateRow:
    """A kept candidate, dropped; its texts are added to the evidence."""
    evidence = {**drop.evidence, **_texts(candidate.row or {})}
    return CandidateRow(candidate.raw, drop=replace(drop, evidence=evidence))


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


class RowIds:
    """For each call the ids of the rows that were made from it: 16 bytes of memory for each."""

    def __init__(self, ids: Spool[str], links: Iterable[tuple[int, int]]) -> None:
        """Links are pairs of a call's fingerprint and the place of a row's id, by place."""
        import numpy as np

        calls, places = array("Q"), array("Q")
        for call, place in links:
            calls.append(call)
            places.append(place)
        order = np.argsort(calls, kind="stable")
        self._ids = ids
        self._calls = array("Q", np.asarray(calls)[order].tobytes())
        self._places = array("Q", np.asarray(places)[order].tobytes())

    def of(self, call: str) -> list[str]:
        """The ids, each once, in the order of the rows."""
        known = fingerprint(call)
        found = dict[str, None]()
        for at in range(bisect_left(self._calls, known), len(self._calls)):
            if self._calls[at] != known:
                break
            found[self._ids[self._places[at]]] = None
        return [*found]


def outcomes(candidates: Spool[CandidateRow]) -> tuple[Spool[Row], RowIds]:
    """The rows of `dropped`, and for each call the ids of all rows that were made from it."""
    dropped, ids = Spool[Row](candidates.folder), Spool[str](candidates.folder)
    seen: Counter[str] = Counter()

    def links() -> Iterator[tuple[int, int]]:
        for place, candidate in enumerate(candidates):
            if candidate.drop is not None:
                reason, evidence = candidate.drop.reason, json_text(candidate.drop.evidence)
                content = short_hash(reason, evidence)
                identity = short_hash(reason, evidence, str(seen[content]))
                seen[content] += 1
                dropped.append({"id": identity, "reason": reason, "evidence": evidence})
            else:
                assert candidate.row is not None
                identity = candidate.row["id"]
            ids.append(identity)
            for call in candidate.calls():
                yield fingerprint(call), place

    return dropped, RowIds(ids, links())


def left_out_rows(left_out: Iterable[LeftOut]) -> Iterator[Row]:
    """The rows of `dropped` for those of a source that were left out, each with its place."""
    for one in left_out:
        reason = LEFT_OUT + one.reason
        evidence = json_text({"place": one.place, "why": one.why})
        yield {"id": short_hash(reason, evidence), "reason": reason, "evidence": evidence}


def call_rows(
    calls: Iterable[tuple[Call, Answer, float | None]],
    row_ids: Callable[[str], list[str]],
    read: Callable[[str], dict[str, Any]],
) -> Iterator[Row]:
    """The rows of the config `calls`, one per call; `read` gives its `parsed` and `fault`."""
    for call, answer, _ in calls:
        yield {
            "id": call.id,
            "row_ids": row_ids(call.id),
            "role": call.role,
            "model": call.model,
            "revision": call.revision,
            "asked": json_text(call.prompt),
            "sampling": json_text(dict(call.sampling)),
            "sample": call.sample,
            "answer": _writable(answer.text),
            "ended": answer.ended,
            "finish_reason": answer.finish_reason,
            "reasoning": answer.reasoning,
            "tool_calls": json_text(answer.tool_calls) if answer.tool_calls else None,
            **read(call.id),
            "answered_by": _answered_by(answer),
            "fingerprint": answer.fingerprint,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
        }


def _answered_by(answer: Answer) -> str | None:
    """The model that an endpoint reports, with its revision where it reports one."""
    return "@".join(one for one in (answer.model, answer.revision) if one) or None


def json_text(value: Any) -> str:
    """One line of JSON that can be written as UTF-8, the same text for the same value."""
    return _writable(_encoded(value))


def _writable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
