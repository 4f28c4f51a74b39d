"""Reads labelled judge data: known shapes, recognised by their columns, or columns named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from builders.errors import InputError
from builders.judging.label_values import names_texts_by_number
from builders.judging.published_verdicts import APART, SHAPES
from builders.judging.tables import (
    LABELS,
    Row,
    as_written,
    column,
    ids,
    is_number,
    lengths,
    numbers,
    read_rows,
    reading_line,
    scale_error,
    texts,
    verdicts,
)
from builders.judging.verdicts import (
    ABSENT,
    FAILED,
    TIE,
    A,
    B,
    Codes,
    Judged,
    better_scored,
    preferred,
)
from builders.sources.source import Source

# The names that --columns takes, and what they mean.
NAMES = {
    "id": "the item's id",
    "judge": "the judge's name",
    "verdict": "its verdict",
    "swapped": "its verdict with the texts in the other order, still about a and b",
    "repeat": "its verdict when asked again (several columns with +)",
    "preference": "its preference for a, from 0 to 1",
    "label": "people's label (several columns with +, one per annotator)",
    "annotator": "who gave the label of a row, for a judge that is asked now",
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
_OWN = "potstill verdicts"
_SEVERAL = {"repeat", "label"}
_WORDS: Mapping[int, str] = {A: "a", B: "b", TIE: "tie"}


def read_judged(
    source: Source,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, int] | None = None,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> list[Judged]:
    """The judges of a source, each with its verdicts.

    Args:
        source: A file, a folder or a Hub dataset.
        columns: From names of NAMES to the source's; None recognises the shape of each file.
        labels: What verdicts and labels mean, by how they are written, in columns that are named.
        report: Is given what was read, in a line.

    Raises:
        InputError: It cannot be read, or its columns are those of no known shape.
    """
    if columns and not {"verdict", "preference", "score_a"} & set(columns):
        raise InputError("--columns names no verdict, preference or score_a; name what is judged")
    rows, left_out = read_rows(source, labels or {})
    name = Path(source.place).stem
    if columns:
        judges = _named([row for _, row in rows], columns, labels or {}, Path(source.place))
    else:
        of_shape: dict[str, list[Row]] = {}
        shapes = {shape.name: shape.read for shape in SHAPES} | {_OWN: own_shape}
        for file, part in groupby(rows, key=lambda one: one[0].rpartition(", ")[0]):
            of_file = [row for _, row in part]
            of_shape.setdefault(_shape_of(of_file, file), []).extend(of_file)
        judges = []
        for shape, some in of_shape.items():
            judges += shapes[shape](some, name)
    shown = columns.values() if columns else of_shape
    report(reading_line("verdicts", source, len(rows), len(rows) + len(left_out), shown, left_out))
    return judges


def _shape_of(rows: Sequence[Row], file: str) -> str:
    """The name of the shape that a file's rows have.

    Raises:
        InputError: None, or one without verdicts.
    """
    there = {str(name) for row in rows for name in row}
    for shape in SHAPES:
        if shape.columns <= there:
            return shape.name
    if {"id", "first"} <= there:
        return _OWN
    if apart := next((pairs for names, pairs in APART if names <= there), None):
        raise InputError(
            f"{file} holds verdicts without the pairs and labels that they are about, which are in "
            f"{apart}; put both in one file, row by row, and name the columns with --columns "
            "verdict=...,label=..."
        )
    known = [f"{one.name}: {', '.join(sorted(one.columns))}" for one in SHAPES]
    known.append(f"{_OWN}: id, first")
    raise InputError(
        f"{file} has no verdicts of a judge in a known form; ask a judge now with --teacher, or "
        f"name the columns with --columns verdict=...,label=...; there are "
        f"{', '.join(sorted(there))}; the known forms are {'; '.join(known)}"
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


def own_shape(rows: Sequence[Row], name: str) -> list[Judged]:
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


def _named(
    rows: Sequence[Row], columns: Mapping[str, str], labels: Mapping[str, int], path: Path
) -> list[Judged]:
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
            if name in new:
                values = [_meant(one, labels) for one in values]
            made[new.get(name, name)] = values if name in _SEVERAL else values[0]
    _unambiguous(renamed, path)
    if "id" not in columns:
        judges = own_shape(renamed, path.stem)
        return [replace(one, ids=[str(place) for place in range(len(one))]) for one in judges]
    return own_shape(renamed, path.stem)


def _meant(value: Any, labels: Mapping[str, int]) -> Any:
    """A verdict or label as the user gives its meaning; a number without one is not guessed."""
    written = as_written(value)
    if written in labels and value is not None:
        return _WORDS[labels[written]]
    unknown = is_number(written) and names_texts_by_number(labels)
    return f"{value} (not in --labels)" if unknown else value


def _unambiguous(rows: Sequence[Row], path: Path) -> None:
    """Raise where numbers may be of a scale, or count from 0: then 0 means a, but here a tie."""
    given = (as_written(row.get(one)) for row in rows for one in ("first", "second"))
    numbers = {one for one in given if is_number(one)}
    known = {"0", "1", "2"}
    if numbers & known and any(float(one) > 0 for one in numbers - known):
        raise InputError(f"{path.name} has the verdicts {scale_error(numbers)}")
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
            f"expected {LABELS}; give their meaning, such as --labels 0=a,1=b"
        )
