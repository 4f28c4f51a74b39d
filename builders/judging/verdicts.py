"""Verdicts of judges and people on pairs of texts, in columns, and how they are combined.

A verdict is about the texts a and b, never about the places at which they were shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from builders.errors import InputError, number_of

A, B, TIE = 1, -1, 0
FAILED, ABSENT = -8, -9  # unreadable; never given, or unknown
TIE_DELTA = 0.1  # scores this near to one another are a tie, as in MT-bench

Codes = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]
_WORDS = {"a": A, "b": B, "tie": TIE, None: FAILED}


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One judge's verdicts on pairs of texts: one row per item, columns of equal length.

    A missing column is None; in the others ABSENT, NaN and None are gaps.

    Attributes:
        judge: The judge's name.
        ids: The items' ids.
        first: The verdicts in the first order.
        second: The verdicts with the two texts in the other order.
        repeats: Further verdicts in the first order, one column per repetition.
        shown: The text shown first in the first order, A or B, 0 where that is unknown; None:
            always a.
        preference: How far the judge prefers a, from 0 (certainly b) to 1.
        people: People's labels, one column per annotator.
        length_a: Characters of text a; `length_b` of b.
        writer_a: Who wrote a; `writer_b` b.
        score_a: The judge's score of a by itself; `score_b` of b.
        rationale: Why the judge gave its first verdict; it may name the texts by their places.
        rationale_a: Why it gave a its score; `rationale_b` b.
        adversarial: Items made to mislead a judge.
        lost: Why a call gave no answer that can be used, as `cause (words)`, one column per call
            of the item; the first two are the two orders.
    """

    judge: str
    ids: Sequence[str]
    first: Codes
    second: Codes | None = None
    repeats: Codes | None = None
    shown: Codes | None = None
    preference: Numbers | None = None
    people: Codes | None = None
    length_a: Numbers | None = None
    length_b: Numbers | None = None
    writer_a: Texts | None = None
    writer_b: Texts | None = None
    score_a: Numbers | None = None
    score_b: Numbers | None = None
    rationale: Texts | None = None
    rationale_a: Texts | None = None
    rationale_b: Texts | None = None
    adversarial: npt.NDArray[np.bool_] | None = None
    lost: Texts | None = None

    def __post_init__(self) -> None:
        for one in fields(self)[1:]:
            column = getattr(self, one.name)
            if column is not None and len(column) != len(self.ids):
                raise InputError(
                    f"column {one.name!r} of judge {self.judge!r} has "
                    f"{number_of(len(column), 'rows')}, expected "
                    f"{len(self.ids)}; give one value per item"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def upto(self, rows: int) -> Judged:
        """The first rows only."""
        first_rows: dict[str, Any] = {
            one.name: column[:rows]
            for one in fields(self)[1:]
            if (column := getattr(self, one.name)) is not None
        }
        return Judged(judge=self.judge, **first_rows)

    @property
    def final(self) -> Codes:
        """The verdict that counts: of both orders, else the majority of all repetitions."""
        first = self.first
        if self.repeats is not None:
            first = majority(np.column_stack([first, self.repeats]))
        return first if self.second is None else both_orders(first, self.second)

    @property
    def majority(self) -> Codes:
        """Most people's label; all ABSENT where nobody was asked."""
        if self.people is None:
            return np.full(len(self), ABSENT, np.int8)
        return majority(self.people)


def codes(words: Sequence[str | None]) -> Codes:
    """Verdicts from the words `a`, `b`, `tie`, and None for an unreadable one."""
    return np.array([_WORDS[word] for word in words], np.int8)


def has_verdict(verdicts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where there is a verdict, a tie included."""
    there: npt.NDArray[np.bool_] = verdicts > FAILED
    return there


def decided(verdicts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a verdict is for one of the texts."""
    there: npt.NDArray[np.bool_] = np.abs(verdicts) == 1
    return there


def both_orders(first: Codes, second: Codes) -> Codes:
    """A win only where both orders agree, else a tie; a gap or a failure in either stays one."""
    whole = np.where(first == second, first, TIE)
    return np.where(
        has_verdict(first) & has_verdict(second), whole, np.minimum(first, second)
    ).astype(np.int8)


def majority(votes: Codes) -> Codes:
    """The verdict with the most votes of a row; a tie where two have as many.

    FAILED and ABSENT votes do not count; a row without others is FAILED if one vote is.
    """
    counts = np.stack([(votes == verdict).sum(axis=1) for verdict in (A, B, TIE)])
    most = counts.max(axis=0)
    alone = (counts == most).sum(axis=0) == 1
    winner = np.array([A, B, TIE], np.int8)[counts.argmax(axis=0)]
    none = np.where((votes == FAILED).any(axis=1), FAILED, ABSENT)
    return np.where(most == 0, none, np.where(alone, winner, TIE)).astype(np.int8)


def mean_preference(votes: Codes) -> Numbers:
    """The mean of a row's votes as a preference for a: 1 for a, 0.5 for a tie, 0 for b."""
    there = has_verdict(votes)
    counted = there.sum(axis=1)
    total = np.where(there, (votes + 1) / 2, 0.0).sum(axis=1)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def mean_of(*preferences: Numbers) -> Numbers:
    """The mean of preferences, of both orders or of several judges; NaN where one is missing."""
    return np.asarray(np.mean(preferences, axis=0), np.float64)


def preferred(preference: Numbers, least_margin: float = 0.0) -> Codes:
    """The verdict of a preference: a tie within the margin around one half, FAILED for NaN."""
    away = np.where(np.isnan(preference), 0.0, preference - 0.5)
    verdict = np.where(np.abs(away) <= least_margin, TIE, np.sign(away))
    return np.where(np.isnan(preference), FAILED, verdict).astype(np.int8)


def better_scored(score_a: Numbers, score_b: Numbers, delta: float = TIE_DELTA) -> Codes:
    """The verdict of two scores; a tie where they are no further apart than `delta`."""
    apart = np.where(np.isnan(score_a) | np.isnan(score_b), np.nan, score_a - score_b)
    verdict = np.where(np.abs(np.nan_to_num(apart)) <= delta, TIE, np.sign(np.nan_to_num(apart)))
    return np.where(np.isnan(apart), FAILED, verdict).astype(np.int8)


def panel(judges: Sequence[Judged], rule: Literal["majority", "mean"] = "majority") -> Judged:
    """Several judges of the same items as one; people's labels are taken from the first.

    `majority` votes in each order by itself; `mean` takes the mean preference, each judge's own
    where it has one and else that of its verdicts in both orders.

    Raises:
        InputError: They did not judge the same items in the same order.
    """
    lead = judges[0]
    if other := [one.judge for one in judges if list(one.ids) != list(lead.ids)]:
        raise InputError(
            f"judge {other[0]!r} has other items than {lead.judge!r}; a panel needs verdicts "
            "on the same ids in the same order"
        )
    alike = {
        one.name: getattr(lead, one.name)
        for one in fields(Judged)
        if one.name in _OF_ITEMS  # the others are one judge's own
    }
    name = f"{rule} of {', '.join(one.judge for one in judges)}"
    if rule == "mean":
        preference = mean_of(*(_preference(one) for one in judges))
        return Judged(judge=name, first=preferred(preference), preference=preference, **alike)
    seconds = [one.second for one in judges if one.second is not None]
    return Judged(
        judge=name,
        first=majority(np.column_stack([one.first for one in judges])),
        second=majority(np.column_stack(seconds)) if len(seconds) == len(judges) else None,
        **alike,
    )


_OF_ITEMS = (
    *("ids", "people", "length_a", "length_b", "writer_a", "writer_b", "adversarial", "shown"),
)


def _preference(judged: Judged) -> Numbers:
    if judged.preference is not None:
        return judged.preference
    orders = [judged.first] if judged.second is None else [judged.first, judged.second]
    return mean_preference(np.column_stack(orders))
