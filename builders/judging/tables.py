"""Rows of files, and columns of rows: verdicts and labels in the ways they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builders.errors import InputError, number_of
from builders.judging.verdicts import ABSENT, FAILED, TIE, A, B, Codes, Numbers, Texts
from builders.sources.conversations import UNREADABLE
from builders.sources.rows import Records, Unreadable, missing_words
from builders.sources.seed_forms import MOST_UNREADABLE, counted
from builders.sources.source import LeftOut, Source, skipped_files, source_records

Row = Mapping[str, Any]
_STEMS = ("", "model", "response", "output", "answer", "assistant", "text", "completion", "summary")
_WORDS = {  # without spaces, brackets and strokes
    **{f"{stem}a": A for stem in _STEMS},
    **{f"{stem}b": B for stem in _STEMS},
    **{f"{stem}1": A for stem in _STEMS if stem},
    **{f"{stem}2": B for stem in _STEMS if stem},
    **dict.fromkeys(("first", "left", "a>b", "a>>b"), A),
    **dict.fromkeys(("second", "right", "b>a", "b>>a"), B),
    **dict.fromkeys(("tie", "tied", "c", "equal", "even", "same", "draw", "a=b", "b=a"), TIE),
    **dict.fromkeys(("both", "neither", "bothbad", "bothgood", "tiebothbad", "tiebothgood"), TIE),
}
_NUMBERS = {"1": A, "2": B, "0": TIE}
_MOST_SHOWN = 7  # numbers of a scale
LABELS = "a or 1, b or 2, tie or 0"
REPEATED, NO_LABEL = "repeated", "without a known label"
UNLABELLED, EQUAL = "without a label", "equal texts"


def read_rows(
    source: Source, given: Mapping[str, int]
) -> tuple[list[tuple[str, Row]], list[LeftOut]]:
    """The rows of a source, each with its place, and those that cannot be read.

    Args:
        source: A file, a folder or a Hub dataset.
        given: What verdicts and labels mean, by how they are written.

    Raises:
        InputError: There is no such source, it holds no row, or most of it cannot be read.
    """
    records, _ = source_records(source)
    rows: list[tuple[str, Row]] = []
    left_out = []
    for place, row in with_nulls(records, given):
        if isinstance(row, Unreadable):
            left_out.append(LeftOut(place, UNREADABLE, row.why))
        else:
            rows.append((place, row))
    check_share(source, "rows", len(rows), left_out)
    return rows, left_out


def check_share(source: Source, what: str, rows: int, left_out: Sequence[LeftOut]) -> None:
    """Refuse a source if too little of it can be used.

    Raises:
        InputError: With the first row that cannot be used.
    """
    name, read = Path(source.place).name, rows + len(left_out)
    if not read:
        raise InputError(f"{name} holds no row; expected one per judged pair")
    broken = [one for one in left_out if one.reason not in (REPEATED, UNLABELLED, EQUAL)]
    if not rows or len(broken) > MOST_UNREADABLE * read:
        first = (broken or left_out)[0]
        share = "more than half" if rows else f"0 {what} left"
        raise InputError(
            f"{name}: {len(broken or left_out):,} of {number_of(read, 'rows')} cannot be used, "
            f"{share}; the first is {first.place}: {first.why}"
        )


def reading_line(
    what: str,
    source: Source,
    used: int,
    total: int,
    columns: Iterable[str],
    left_out: Sequence[LeftOut],
) -> str:
    """What was read of a source, with the first place of each reason for a row left out."""
    named = ", ".join(columns)
    read = number_of(total, "rows")
    line = f"{what}: {used:,} of {read} of {Path(source.place).name}{named and f' ({named})'}"
    reasons = []
    for reason, number in counted(left_out).items():
        first = next(one for one in left_out if one.reason == reason)
        why = f": {first.why}" if reason in (UNREADABLE, NO_LABEL) else ""
        reasons.append(f"{number:,} {reason} ({first.place.rpartition(', ')[2]}{why})")
    if left_out:
        line += f"; {len(left_out):,} left out: {', '.join(reasons)}"
    if skipped := skipped_files(source):
        line += f"; {number_of(len(skipped), 'files')} not read: {', '.join(skipped)}"
    return line


def verdicts(values: Iterable[Any], where: str, *, people: bool = False) -> Codes:
    """Codes of written verdicts; an unreadable one is FAILED, or an error where people wrote it."""
    found = []
    for place, value in enumerate(values):
        if is_missing(value):
            found.append(ABSENT if people else FAILED)
            continue
        code = word_code(value)
        if code is None:
            code = _NUMBERS.get(as_written(value))
        if code is None and people:
            raise InputError(
                f"{where}, row {place + 1}: {value!r} is no label; expected {LABELS}; fix it, or "
                "leave it out where nobody labelled the pair"
            )
        found.append(FAILED if code is None else code)
    return np.array(found, np.int8)


def is_missing(value: Any) -> bool:
    """Whether there is no value: null, NaN or an empty text."""
    return value is None or value == "" or value != value


def with_nulls(records: Records, given: Mapping[str, int]) -> Records:
    """Rows with null for what marks a missing value in their file, unless it is a given label."""
    for place, row in records:
        if isinstance(row, dict) and (words := missing_words(place.rpartition(", ")[0])):
            absent = (x for x, y in row.items() if str(y) in words and as_written(y) not in given)
            row |= dict.fromkeys(absent)
        yield place, row


def as_written(value: Any) -> str:
    """A label as text: in lower case, a whole number without its point."""
    whole = isinstance(value, float) and value.is_integer()
    written = str(int(value) if whole else value).strip().lower()
    return written.removesuffix(".0") if re.fullmatch(r"-?\d+\.0", written) else written


def is_number(written: str) -> bool:
    """Whether a label as text is a number."""
    try:
        return math.isfinite(float(written))
    except ValueError:
        return False


def scale_error(numbers: Iterable[str]) -> str:
    """The error for labels that are numbers of a scale: what they are, and what to do."""
    known = sorted(numbers, key=float)
    shown = [*known[:_MOST_SHOWN], *(["..."] if len(known) > _MOST_SHOWN + 1 else []), known[-1]]
    flag = "--labels=" if known[0].startswith("-") else "--labels "
    return (
        f"{', '.join(dict.fromkeys(shown))}, which may be a scale; give the meaning of each, such "
        f"as {flag}{known[0]}=a,...,{known[-1]}=b (one without a meaning is not counted), or name "
        "another column with --columns"
    )


def word_code(value: Any) -> int | None:
    """The code of a label in words, such as `model_a` or `tie (bothbad)`; None for others."""
    return _WORDS.get(re.sub(r"[\s_()\[\]-]+", "", as_written(value)))


def numbers(values: Iterable[Any], where: str) -> Numbers:
    """A column of numbers; None is NaN."""
    try:
        return np.array([np.nan if one is None else float(one) for one in values], np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} holds something other than numbers ({error}); fix it") from None


def texts(values: Iterable[Any]) -> Texts:
    """A column of texts; None stays None."""
    given = [None if one is None else text(one) for one in values]
    made = np.empty(len(given), np.object_)
    made[:] = given
    return made


def text(value: Any) -> str:
    """A text as it is, or the contents of a dialogue's turns."""
    if isinstance(value, list):
        return "\n".join(
            str(turn.get("content") or "") if isinstance(turn, dict) else str(turn)
            for turn in value
        )
    return str(value)


def lengths(values: Iterable[Any]) -> Numbers:
    """The characters of each text; None is NaN."""
    return np.array([np.nan if one is None else len(text(one)) for one in values], np.float64)


def column(rows: Sequence[Row], name: str) -> list[Any]:
    """One column of rows; None where a row has no such key."""
    return [row.get(name) for row in rows]


def ids(rows: Sequence[Row], *names: str) -> list[str]:
    """The ids of rows in the first of these columns that there is, else their places."""
    name = next((one for one in names if one in rows[0]), None)
    return [str(row.get(name) if name else place) for place, row in enumerate(rows)]
