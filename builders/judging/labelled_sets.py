"""Reads labelled judge data: known shapes, recognised by their columns, or columns named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from builders.errors import InputError
from builders.judging.logprobs import stored_preference
from builders.judging.tables import (
    LABELS,
    Row,
    column,
    ids,
    lengths,
    numbers,
    read_rows,
    text,
    texts,
    verdicts,
)
from builders.judging.verdicts import (
    ABSENT,
    FAILED,
    A,
    B,
    Codes,
    Judged,
    better_scored,
    preferred,
)

# The names that --columns takes, and what they mean.
NAMES = {
    "id": "the item's id",
    "judge": "the judge's name",
    "verdict": "its verdict",
    "swapped": "its verdict with the texts in the other order, still about a and b",
    "repeat": "its verdict when asked again (several columns with +)",
    "preference": "its preference for a, from 0 to 1",
    "label": "people's label (several columns with +, one per annotator)",
    "prompt": "what both texts answer, for a judge that is asked now",
    "reference": "the correct answer, for a judge that is asked now",
    "text_a": "the first text",
    "text_b": "the second text",
    "writer_a": "who wrote the first text",
    "writer_b": "who wrote the second text",
    "score_a": "the judge's score of the first text",
    "score_b": "the judge's score of the second text",
    "rationale": "why it gave its verdict",
    "rationale_a": "why it gave the first score",
    "rationale_b": "why it gave the second score",
    "adversarial": "whether the pair is made to mislead",
}
_SEVERAL = {"repeat", "label"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two texts that answer a prompt (a text, or the turns of a dialogue)."""

    prompt: str | list[dict[str, str]]
    a: str
    b: str
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A published form: the columns by which it is known, and how its rows are read."""

    name: str
    columns: frozenset[str]
    read: Callable[[Sequence[Row], str], list[Judged]]


def read_judged(path: Path, columns: Mapping[str, str] | None = None) -> list[Judged]:
    """The judges of a file, or of a folder with parquet, each with its verdicts.

    Args:
        path: A .jsonl, .json or .parquet file; a release's or draft's folder; any folder of those.
        columns: From names of NAMES to the file's; None recognises the shape.

    Raises:
        InputError: It cannot be read, or its columns are those of no known shape.
    """
    if columns and not {"verdict", "preference", "score_a"} & set(columns):
        raise InputError("--columns names no verdict, preference or score_a; name what is judged")
    return shaped(read_rows(path), path, columns, _SHAPES)


def read_pairs(path: Path, columns: Mapping[str, str] | None = None) -> tuple[list[Pair], Judged]:
    """The pairs to ask a judge about, and their labels; any verdicts in the file are ignored.

    Raises:
        InputError: As `read_judged`, or there are no texts.
    """
    rows = read_rows(path)
    if "judge" in rows[0]:  # the same pairs come again with the next judge
        rows = [row for row in rows if row.get("judge") == rows[0]["judge"]]
    labelled = shaped(rows, path, columns, (*_SHAPES, _PAIRS))[0]
    named = [(columns or {}).get(name, name) for name in ("prompt", "text_a", "text_b")]
    for prompt, a, b in (named, *_TEXTS):
        if {prompt, a, b} <= set(rows[0]):
            reference = (columns or {}).get("reference", "reference")
            return [_pair(row, prompt, a, b, reference) for row in rows], labelled
    raise InputError(
        f"{path.name} has no texts to ask a judge about; expected the columns prompt, text_a and "
        "text_b; add them, or name them with --columns"
    )


def shaped(
    rows: Sequence[Row],
    path: Path,
    columns: Mapping[str, str] | None,
    shapes: Sequence[_Shape],
) -> list[Judged]:
    """The judges of rows: by the columns named, or else by the first shape that fits."""
    if columns:
        return _named(rows, columns, path)
    there = set(rows[0])
    for shape in shapes:
        if shape.columns <= there:
            return shape.read(rows, path.stem)
    known = "; ".join(f"{one.name}: {', '.join(sorted(one.columns))}" for one in shapes)
    raise InputError(
        f"{path.name} has the columns {', '.join(sorted(there))}, which fit no known shape "
        f"({known}); name them with --columns verdict=...,label=..."
    )


def column_names(text: str) -> dict[str, str]:
    """The columns by name in `--columns verdict=x,label=y+z`.

    Raises:
        InputError: A part is not `name=column`, or the name is not one of NAMES.
    """
    named = {}
    for part in text.split(","):
        name, equals, source = (one.strip() for one in part.partition("="))
        if not equals or not source or name not in NAMES:
            raise InputError(
                f"--columns has {part!r}; expected name=column with a name of "
                f"{', '.join(NAMES)}; write for example verdict=winner,label=human"
            )
        named[name] = source
    return named


def _pandalm(rows: Sequence[Row], name: str) -> list[Judged]:
    """Three annotators and two judges, each asked in one order; the writers are in `cmp_key`."""
    people = np.column_stack(
        [verdicts(column(rows, f"annotator{k}"), name, people=True) for k in (1, 2, 3)]
    )
    writers = [str(row.get("cmp_key", "_")).partition("_")[::2] for row in rows]
    shared: dict[str, Any] = {
        "ids": ids(rows, "idx"),
        "people": people,
        "length_a": lengths(column(rows, "response1")),
        "length_b": lengths(column(rows, "response2")),
        "writer_a": texts(a for a, _ in writers),
        "writer_b": texts(b for _, b in writers),
    }
    judges = []
    for judge, result, reason in (
        ("pandalm-7b", "pandalm_result", None),
        ("gpt-3.5-turbo", "gpt35_result", "gpt35_reason"),
    ):
        if result in rows[0]:
            why = texts(column(rows, reason)) if reason and reason in rows[0] else None
            first = verdicts(column(rows, result), name)
            judges.append(Judged(judge=judge, first=first, rationale=why, **shared))
    return judges


def _llmbar(rows: Sequence[Row], name: str) -> list[Judged]:
    """One judge in both orders; `label` is the text that is certainly the better one."""
    return [
        Judged(
            judge=str(rows[0].get("judge", name)),
            ids=ids(rows, "idx"),
            first=verdicts(column(rows, "first_winner"), name),
            second=verdicts(column(rows, "swapped_winner_unswapped"), name),
            people=verdicts(column(rows, "label"), name, people=True)[:, None],
            length_a=lengths(column(rows, "output_1")),
            length_b=lengths(column(rows, "output_2")),
            rationale=texts(column(rows, "first_order")),
        )
    ]


def _alpacaeval(rows: Sequence[Row], name: str) -> list[Judged]:
    """Log-probabilities of one order; a is the baseline's text, b the model's."""
    stored = [
        stored_preference(
            row["top_logprobs"],
            swapped=bool(row["shown_swapped"]),
            identical=bool(row.get("identical")),
        )
        for row in rows
    ]
    for_a = 2 - np.array(stored, np.float64)
    return [
        Judged(
            judge=name,
            ids=ids(rows, "idx"),
            first=preferred(for_a),
            preference=for_a,
            shown=np.array([B if row["shown_swapped"] else A for row in rows], np.int8),
            length_a=numbers(column(rows, "len_output_1"), f"{name}, len_output_1"),
            length_b=numbers(column(rows, "len_output_2"), f"{name}, len_output_2"),
            writer_a=texts(column(rows, "baseline")),
            writer_b=texts(column(rows, "model")),
        )
    ]


def _ours(rows: Sequence[Row], name: str) -> list[Judged]:
    """Our own shape: `first`, `second`, `people` (a list), and other columns by their names."""
    by_judge: dict[str, list[Row]] = {}
    for row in rows:
        by_judge.setdefault(str(row.get("judge") or name), []).append(row)
    return [_of_one(judge, part, name) for judge, part in by_judge.items()]


def _of_one(judge: str, rows: Sequence[Row], name: str) -> Judged:
    there = {name for row in rows for name, value in row.items() if value is not None}
    given: dict[str, Any] = {}
    for one in ("text_a", "text_b"):
        if one in there:
            given[one.replace("text", "length")] = lengths(column(rows, one))
    for one in ("writer_a", "writer_b", "rationale", "rationale_a", "rationale_b"):
        if one in there:
            given[one] = texts(column(rows, one))
    for one in ("length_a", "length_b", "score_a", "score_b", "preference"):
        if one in there:
            given[one] = numbers(column(rows, one), f"{name}, {one}")
    for one, people in (("people", True), ("repeats", False)):
        if one in there:
            given[one] = _wide(column(rows, one), f"{name}, {one}", people=people)
    if "adversarial" in there:
        given["adversarial"] = np.array([bool(one) for one in column(rows, "adversarial")])
    if "shown" in there:
        given["shown"] = np.where(verdicts(column(rows, "shown"), name) == B, B, A)
    if "second" in there:
        given["second"] = verdicts(column(rows, "second"), f"{name}, second")
    if "first" in there:
        first = verdicts(column(rows, "first"), f"{name}, first")
    elif "score_a" in given and "score_b" in given:
        first = better_scored(given["score_a"], given["score_b"])
    elif "preference" in given:
        first = preferred(given["preference"])
    elif "score_a" in given:  # texts scored by themselves: nothing is compared
        first = np.full(len(rows), ABSENT, np.int8)
    else:
        first = np.full(len(rows), FAILED, np.int8)
    return Judged(judge=judge, ids=ids(rows, "id", "idx"), first=first, **given)


def _wide(lists: Sequence[Any], where: str, *, people: bool) -> Codes:
    """One column per annotator or repetition, from one list per row; short lists end in gaps."""
    rows = [one if isinstance(one, list) else [one] for one in lists]
    made = np.full((len(rows), max(map(len, rows))), ABSENT, np.int8)
    for time in range(made.shape[1]):
        has = [place for place, row in enumerate(rows) if len(row) > time]
        values = [rows[place][time] for place in has]
        made[has, time] = verdicts(values, where, people=people)
    return made


def _pair(row: Row, prompt: str, a: str, b: str, reference: str) -> Pair:
    asked = row[prompt] if isinstance(row[prompt], list) else str(row[prompt])
    if prompt == "instruction" and row.get("input"):
        asked = f"{asked}\n\n{row['input']}"
    return Pair(prompt=asked, a=text(row[a]), b=text(row[b]), reference=row.get(reference))


def _named(rows: Sequence[Row], columns: Mapping[str, str], path: Path) -> list[Judged]:
    there = set().union(*rows)
    renamed: list[dict[str, Any]] = [{} for _ in rows]
    new = {"verdict": "first", "swapped": "second", "label": "people", "repeat": "repeats"}
    for name, source in columns.items():
        parts = source.split("+") if name in _SEVERAL else [source]
        if missing := [part for part in parts if part not in there]:
            raise InputError(
                f"{path.name} has no column {missing[0]!r}; there are {', '.join(sorted(there))}"
            )
        for row, made in zip(rows, renamed, strict=True):
            values = [row.get(part) for part in parts]
            made[new.get(name, name)] = values if name in _SEVERAL else values[0]
    _unambiguous(renamed, path)
    if "id" not in columns:
        judges = _ours(renamed, path.stem)
        return [replace(one, ids=[str(place) for place in range(len(one))]) for one in judges]
    return _ours(renamed, path.stem)


def _unambiguous(rows: Sequence[Row], path: Path) -> None:
    """Raise where numbers may count from 0: then 0 means a, but here 0 means a tie."""
    seen = {
        str(value)
        for row in rows
        for one in (row.get("first"), row.get("second"), row.get("people"))
        for value in (one if isinstance(one, list) else [one])
        if value is not None
    }
    if {"0", "1"} <= seen and not seen & {"2", "2.0"} and seen <= {"0", "1", ""}:
        raise InputError(
            f"{path.name} has only the verdicts 0 and 1, and 0 could be a tie or the first text; "
            f"expected {LABELS}; write a and b"
        )


_SHAPES = (
    _Shape(
        name="PandaLM",
        columns=frozenset(("annotator1", "annotator2", "annotator3", "response1", "response2")),
        read=_pandalm,
    ),
    _Shape(
        name="LLMBar and FairEval",
        columns=frozenset(("label", "first_winner", "swapped_winner_unswapped", "output_1")),
        read=_llmbar,
    ),
    _Shape(
        name="AlpacaEval log-probabilities",
        columns=frozenset(("top_logprobs", "shown_swapped", "len_output_1", "len_output_2")),
        read=_alpacaeval,
    ),
    _Shape(name="potstill verdicts", columns=frozenset(("id", "first")), read=_ours),
)
_PAIRS = _Shape(
    name="labelled pairs",
    columns=frozenset(("id", "prompt", "text_a", "text_b", "people")),
    read=_ours,
)
_TEXTS = (("input", "output_1", "output_2"), ("instruction", "response1", "response2"))
