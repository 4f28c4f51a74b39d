"""Who answered the calls of a set and how the answers ended, counted by role."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from builders.errors import number_of
from builders.schema import Row

_NAMES = ("role", "model", "answered_by", "fingerprint", "ended", "finish_reason")
_MOST = 20  # fingerprints of one model; an endpoint that has more gives each answer its own
_VARIANT = re.compile(r":(?:free|latest|nitro|floor|beta|extended|online|exacto)$")
_DATED = re.compile(
    r"[-@_:](?:\d{4}-\d\d-\d\d|\d{8}|\d{6}|\d{4}|\d{3}|latest|default)(?:-v\d+(?::\d+)?)?$"
)


class AnswerCounts:
    """Counts rows of the config `calls` as they are added or pass through."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str | None, ...]] = Counter()

    def of(self, calls: Iterable[Row]) -> Iterator[Row]:
        """The same rows, each counted as it passes."""
        for call in calls:
            self.add(call)
            yield call

    def add(self, call: Row) -> None:
        """Count one row."""
        self._counts[tuple(call.get(name) for name in _NAMES)] += 1

    def facts(self) -> list[dict[str, Any]]:
        """One entry per role, model asked and answering, fingerprint and end, with its calls."""
        seen: dict[tuple[str | None, ...], set[str | None]] = defaultdict(set)
        for one in self._counts:
            seen[one[:3]].add(one[3])
        merged: Counter[tuple[str | None, ...]] = Counter()
        for one, calls in self._counts.items():
            many = len(seen[one[:3]]) > _MOST
            merged[(*one[:3], f"more than {_MOST}" if many else one[3], *one[4:])] += calls
        ordered = sorted(merged.items(), key=lambda entry: [part or "" for part in entry[0]])
        return [dict(zip(_NAMES, one, strict=True)) | {"calls": calls} for one, calls in ordered]


def warnings(
    answers: Sequence[Mapping[str, Any]], teachers: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What a person should know of the answers, a sentence each: other models and unknown ends.

    Args:
        answers: The facts of AnswerCounts.
        teachers: The identity of each teacher by its name in the recipe.
    """
    others: Counter[tuple[str, str, str]] = Counter()
    words: Counter[tuple[str, str]] = Counter()
    endless: Counter[str] = Counter()
    of_role: Counter[str] = Counter()
    for one in answers:
        role, calls = one["role"], one["calls"]
        of_role[role] += calls
        if one["answered_by"] and is_another(one["model"], one["answered_by"]):
            others[role, one["model"], one["answered_by"]] += calls
        if one["ended"] == "unknown":
            if one["finish_reason"] is not None:
                words[role, one["finish_reason"]] += calls
            elif not teachers.get(role, {}).get("trusts_missing_end"):
                endless[role] += calls
    found = [
        f"{calls:,} of {number_of(of_role[role], 'answers')} of the {role} came from {other!r}, "
        f"but {asked!r} was asked"
        for (role, asked, other), calls in others.items()
    ]
    found += [
        f"{number_of(calls, 'answers')} of the {role} ended as {word!r}, which no table "
        "knows: not used"
        for (role, word), calls in words.items()
    ]
    found += [
        f"{number_of(calls, 'answers')} of the {role} without a reported end: not used; if its "
        "endpoint never reports one, build again with --trust-missing-end "
        f"{_who(teachers.get(role, {}))}"
        for role, calls in endless.items()
    ]
    return found


def _who(teacher: Mapping[str, Any]) -> str:
    return str(teacher.get("endpoint") or teacher.get("model") or "WHO")


def is_another(asked: str, answered: str) -> bool:
    """Whether a model that answered is not the one that was asked, by their names.

    A provider before the name, a file's ending, a variant such as `:free` and a dated version of an
    undated name make no other model.
    """
    without_revision = answered.rpartition("@")[0] or answered
    return _differ(asked, answered) and _differ(asked, without_revision)


def _differ(asked: str, answered: str) -> bool:
    ours, theirs = _parts(asked), _parts(answered)
    shorter = min(len(ours[0]), len(theirs[0]))
    if ours[0][-shorter:] != theirs[0][-shorter:]:
        return True
    return bool(ours[1] and theirs[1] and ours[1] != theirs[1])


def _parts(name: str) -> tuple[list[str], str]:
    """A name's path without variant and date, and the date; of a file on a disk its name alone."""
    bare = re.sub(r"\.(?:gguf|safetensors|bin)$", "", name.strip().lower().rstrip("/"))
    bare = _VARIANT.sub("", bare.partition("@sha256")[0])
    dated = _DATED.search(bare)
    date = re.sub(r"\D", "", dated[0]) if dated else ""
    path = (bare[: dated.start()] if dated else bare).replace("\\", "/").split("/")
    return path[-1:] if bare.startswith(("/", ".", "~", "\\")) else path, date
