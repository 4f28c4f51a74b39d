"""The findings of a review: one per check, passed or not, with the reason and the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MARK = "<!-- potstill review -->"  # the first line of our one comment
_MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check; a check that fails refuses the pull request.

    Attributes:
        check: The check's name, one or two words.
        passed: Whether the check passed.
        reason: What is wrong with which value, and what was expected; of a passed check what was
            looked at, or nothing. It may hold a stranger's words: never markup, never a path to
            follow.
        rows: The ids of the rows concerned, at most ten.
        count: How many rows or files are concerned.
    """

    check: str
    passed: bool
    reason: str = ""
    rows: tuple[str, ...] = ()
    count: int = 0


def refused(check: str, reason: str, rows: Sequence[str] = ()) -> Finding:
    """A check that failed."""
    return Finding(
        check=check,
        passed=False,
        reason=reason,
        rows=tuple(rows[:_MOST_NAMED]),
        count=max(1, len(rows)),
    )


def passed(check: str, reason: str = "") -> Finding:
    """A check that passed."""
    return Finding(check=check, passed=True, reason=reason)
