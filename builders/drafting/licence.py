"""The licence of a set: the strictest of those of its source and its teachers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# From the laxest to the strictest. A licence that is not here has terms that nobody has looked at
# yet, so it counts as the strictest.
_LAXEST_FIRST = (
    "cc0-1.0",
    "unlicense",
    "mit",
    "bsd-3-clause",
    "apache-2.0",
    "odc-by",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
)


def strictness(licence: str) -> int:
    """The place of a licence in the order from lax to strict; unlisted ones are at its end."""
    known = licence.lower()
    return _LAXEST_FIRST.index(known) if known in _LAXEST_FIRST else len(_LAXEST_FIRST)


def rolled_up(licences: Iterable[str]) -> str:
    """The strictest of some licences; `other` where several unlisted ones differ."""
    given = sorted({licence.lower() for licence in licences})
    most = max(map(strictness, given))
    strictest = [licence for licence in given if strictness(licence) == most]
    if len(strictest) == 1:
        return strictest[0]
    return "unknown" if "unknown" in strictest else "other"


def licence_of(lineage: Mapping[str, Any]) -> str:
    """The strictest of the licences of the source and the teachers."""
    return rolled_up(licences_by_source(lineage).values())


def licences_by_source(lineage: Mapping[str, Any]) -> dict[str, str]:
    """The licences of the source and of the teacher of each role, by owner."""
    teachers = {f"teacher {role}": who["licence"] for role, who in lineage["teachers"].items()}
    return {"seeds": lineage["seeds"]["licence"], **teachers}
