"""A row of a source with its place, or why it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Unreadable(NamedTuple):
    """In the place of a row that cannot be read: why, as a sentence without its subject."""

    why: str


Row = dict[str, Any]
Records = Iterator[tuple[str, Row | Unreadable]]
