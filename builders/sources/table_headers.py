"""The header of a file of separated values: what separates them, and what comes before it.

Before it there may be blank lines, a line for a spreadsheet such as `sep=;`, or the rows of a
title, where a row soon after them names a column that asks. Anki writes its header in lines of its
own, `#separator:tab`, `#tags column:3`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from builders.sources.column_plan import PROMPT_COLUMNS, plain

_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "colon": ":", "space": " "}
_MOST_LINES = 4  # of a title, and before a header after it
_ANKI = re.compile(r"#separator:(\w+|\S)\s*", re.IGNORECASE)


class TableHeader(NamedTuple):
    """A header, how many lines are before it, and the first lines after it."""

    before: int
    text: str
    delimiter: str
    after: list[str]


def is_anki(line: str) -> bool:
    """Whether a file that begins with this line is one of Anki's exports."""
    return _ANKI.fullmatch(line) is not None


def table_header(lines: Iterator[str], usual: str) -> TableHeader:
    """Read the header from the lines of a file, whose values mostly a `usual` one separates."""
    before, header = _next_filled(lines)
    if anki := _ANKI.fullmatch(header):
        return _of_anki(lines, before, _SEPARATORS.get(anki[1].lower(), anki[1]))
    given = re.fullmatch(r"sep=(.)\s*", header)
    if given:
        before, header = before + 1, next(lines, "")
    first = [header]
    while sum(line.count('"') for line in first) % 2 and len(first) < _MOST_LINES:
        first.append(next(lines, ""))
    row = "".join(first)
    delimiter = given[1] if given else max(usual, key=lambda one: fields_of(row, one))
    names = _filled(row, delimiter)
    if len(names) == 1 < fields_of(row, delimiter) and plain(names[0]) not in PROMPT_COLUMNS:
        for line in islice(lines, _MOST_LINES):
            first.append(line)
            names = _filled(line, delimiter)
            if len(names) > 1:
                break
        if len(names) > 1 and any(plain(name) in PROMPT_COLUMNS for name in names):
            return TableHeader(before + len(first) - 1, first[-1], delimiter, [])
    return TableHeader(before, header, delimiter, first[1:])


def _filled(line: str, delimiter: str) -> list[str]:
    """The fields of a line that hold something."""
    return [one for one in _fields(line, delimiter) if one.strip()]


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])


def fields_of(line: str, delimiter: str) -> int:
    """How many fields a line has."""
    return len(_fields(line, delimiter))


def _next_filled(lines: Iterator[str]) -> tuple[int, str]:
    """The next line that is not blank, and how many are before it."""
    before, line = 0, ""
    for line in lines:
        if line.strip():
            break
        before += 1
    return before, line


def _of_anki(lines: Iterator[str], before: int, delimiter: str) -> TableHeader:
    """The columns by the names that Anki gives, those without one by their number."""
    names: dict[int, str] = {}
    first = ""
    for first in lines:
        if not first.startswith("#"):
            break
        before += 1
        key, _, value = first[1:].strip("\r\n").partition(":")
        if key == "columns":
            names = dict(enumerate(value.split(delimiter), 1))
        elif key.endswith(" column") and value.strip().isdecimal():
            names[int(value)] = key.removesuffix(" column")
    fields = range(1, fields_of(first, delimiter) + 1)
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter).writerow(names.get(x, f"field {x}") for x in fields)
    return TableHeader(before, header.getvalue(), delimiter, [first])
