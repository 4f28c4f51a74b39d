"""A row of a source with its place, or why it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any, NamedTuple


class Unreadable(NamedTuple):
    """In the place of a row that cannot be read: why, as a sentence without its subject."""

    why: str


_TABLE = re.compile(r"\.(?:csv|tsv|tab)(?:\.\w+)?\Z", re.IGNORECASE)
_MISSING = frozenset(  # as pandas, R, databases and spreadsheets write it
    {
        *("NaN", "nan", "NA", "N/A", "<NA>", "NULL", "null", "None", "\\N"),
        *("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"),
    }
)

Row = dict[str, Any]
Records = Iterator[tuple[str, Row | Unreadable]]


def missing_words(file: str) -> Set[str]:
    """What marks a missing value in a file; nothing where its form has null for it."""
    return _MISSING if _TABLE.search(file) else frozenset()
