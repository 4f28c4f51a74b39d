"""Who labelled a pair: the column that names annotators, and the labels of one pair together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from builders.judging.tables import is_missing

_NAME = r"(?:s|id|name|username|index|idx|number|no|code|email|pid|uuid|hash|initials)?"
_PEOPLE = (
    *("annotator", "rater", "labell?er", "worker", "evaluator", "assessor", "grader"),
    *("reviewer", "coder", "voter", "turker", "mturk", "participant", "contributor"),
    *("respondent", "prolific", "expert"),
)
_DONE = "annotated|labell?ed|rated|judged|evaluated|graded|assessed|reviewed|scored|ranked|voted"
# Lower-case names without what is between their words, the surest ones first.
_ANNOTATORS = tuple(
    re.compile(form)
    for form in (
        *(f"(?:crowd|human|mturk)?{noun}{_NAME}" for noun in _PEOPLE),
        *("judge", f"humanjudge{_NAME}"),  # `judge_name` and `judge_id` are mostly of a model
        *(f"(?:{_DONE}|annotation|label|completed|submitted)by{_NAME}", f"user{_NAME}"),
        *(f"person{_NAME}", f"createdby{_NAME}"),
    )
)

_LABEL = "labels?|choice|preference|vote|winner|decision"
_ONE = "|".join((*_PEOPLE, "human"))
_OF_ONE_PERSON = tuple(  # columns with a label each, before those that may hold a person's name
    re.compile(form)
    for form in (
        rf"(?:{_ONE})(?P<number>\d+)(?:{_LABEL})",
        rf"(?:{_LABEL})(?:by|of|from)?(?:{_ONE})(?P<number>\d+)",
        r"(?:labels?|preference)(?P<number>\d+)",  # `vote1` may count those for the first text
        rf"(?:annotation|{_ONE})(?P<number>\d+)",
    )
)


@lru_cache(maxsize=64)
def columns_per_person(names: tuple[str, ...]) -> list[str]:
    """The columns that hold one person's label each, such as `rater_1` or `rater_1_label`."""
    plain = {re.sub(r"[\W_]", "", name.lower()): name for name in names}
    for form in _OF_ONE_PERSON:
        found = [match for one in plain if (match := form.fullmatch(one))]
        if found:
            found.sort(key=lambda match: int(match["number"]))
            return [plain[match.string] for match in found]
    return []


@lru_cache(maxsize=64)
def annotator_column(names: tuple[str, ...]) -> str | None:
    """The column that names who gave a row's label, such as `worker_id`; None without one."""
    plain = {re.sub(r"[\W_]", "", name.lower()): name for name in reversed(names)}
    found = (plain[one] for form in _ANNOTATORS for one in plain if form.fullmatch(one))
    return next(found, None)


def annotator_of(value: Any) -> str:
    """An annotator as a text that is equal for one person; empty where nobody is named."""
    return "" if is_missing(value) else str(value)


def several_people(
    labelled: Iterable[tuple[str, str | None, Sequence[str | None]]],
) -> set[str | None]:
    """The annotators (None: not named) with two labels for one pair, counted as many people each.

    Args:
        labelled: The key of a pair, who labelled it, and the labels, per row.
    """
    first: dict[tuple[str, str | None], Sequence[str | None]] = {}
    return {who for key, who, words in labelled if first.setdefault((key, who), words) != words}
