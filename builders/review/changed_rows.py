"""The rows of `default` that a pull request adds, changes and removes, compared by id."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from builders.drafting.contributions import Action
from builders.recipe import normalised, row_id, short_hash
from builders.review.review_limits import ReviewLimits
from builders.sandbox.file_reader import ReadResult
from builders.schema import Row

_ANSWERS = ("completion", "chosen", "rejected")
_PROBED_ROWS = 1000
IdRule = Literal["prompt", "prompt and answer", "any"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One row that a pull request adds, changes or removes.

    Attributes:
        row: The row in the pull request; for a removed row, the row in main.
        before: For a changed row, the row in main.
        source: The path of its file in the pull request.
    """

    action: Action
    row: Row
    before: Row | None = None
    source: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns to check: those that differ in a changed row, else all."""
        before = self.before
        if self.action == "changed" and before is not None:
            names = self.row.keys() | before.keys()
            return sorted(name for name in names if self.row.get(name) != before.get(name))
        return list(self.row)


@dataclass(kw_only=True)
class Difference:
    """All differences between the rows of main and those of the pull request.

    Attributes:
        rule: What main's ids are made from.
        edits: The edits up to the limits, added rows first; `counts` counts all of them.
        counts: Rows in main (`main`), rows `added`, `changed` and `removed`, and the `bytes` of
            added and changed rows as JSON.
        columns: Changed rows per column.
        doubled: Ids that occur twice in the files of `default`.
        repeated: Ids of new rows with the prompt of another row of the set.
        without_id: How many rows have no usable id.
        emptied: Files that had rows in main and have none now.
        answers: For main and for the pull request, how many rows give each answer, by its hash.
    """

    rule: IdRule = "any"
    edits: list[Edit] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)
    doubled: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    without_id: int = 0
    emptied: list[str] = field(default_factory=list)
    answers: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )


def difference(
    main: Mapping[str, ReadResult],
    pull: Mapping[str, ReadResult],
    given: Mapping[str, ReadResult],
    floats: Sequence[str],
    limits: ReviewLimits,
) -> Difference:
    """Compare main's rows with those of the pull request, contributed rows included.

    Args:
        main: The files of main's `default` as read in the sandbox, by path.
        pull: The same files in the pull request.
        given: The files in contributed/.
        floats: Columns of floats, in which JSON's 1 means 1.0.
        limits: How many rows and bytes are kept for the checks; beyond that they are only counted.
    """
    found = Difference(rule=_id_rule(main))
    digests: dict[str, bytes] = {}
    asked: dict[str, str] = {}
    for row in _all(main):
        found.counts["main"] += 1
        identity = row["id"]
        digests[identity] = _digest(row)
        asked.setdefault(question(row, found.rule), identity)
        found.answers[0][answer_hash(row)] += 1
    seen: set[str] = set()
    changed: dict[str, tuple[Row, str]] = {}
    new: list[tuple[Row, str]] = []
    for path, result in pull.items():
        for row in result:
            identity = row.get("id")
            if not isinstance(identity, str):
                found.without_id += 1
                continue
            found.answers[1][answer_hash(row)] += 1
            if identity in seen:
                found.doubled.append(identity)
                continue
            seen.add(identity)
            if identity not in digests:
                found.counts["added"] += 1
                if _kept(row, found, limits, len(new)):
                    new.append((row, path))
            elif _digest(row) != digests[identity]:
                found.counts["changed"] += 1
                if _kept(row, found, limits, len(changed)):
                    changed[identity] = row, path
        if not result.rows and main[path].rows:
            found.emptied.append(path)
    for path, result in given.items():
        for row in result:
            _complete(row, found.rule, floats)
            if not isinstance(row.get("id"), str):
                found.without_id += 1
                continue
            found.answers[1][answer_hash(row)] += 1
            if row["id"] in seen:
                found.repeated.append(row["id"])
                continue
            seen.add(row["id"])
            found.counts["added"] += 1
            if _kept(row, found, limits, len(new)):
                new.append((row, path))
    removed = digests.keys() - seen
    found.counts["removed"] = len(removed)
    before: dict[str, Row] = {}
    for row in _all(main) if changed or removed else ():
        if row["id"] in changed:
            before[row["id"]] = row
        elif row["id"] in removed and len(found.edits) < limits.most_rows:
            found.edits.append(Edit(action="removed", row=row))
    changes = [
        Edit(action="changed", row=row, before=before[identity], source=path)
        for identity, (row, path) in changed.items()
    ]
    for edit in changes:
        found.columns.update(edit.columns)
    additions = [Edit(action="added", row=row, source=path) for row, path in new]
    found.edits = [*additions, *changes, *found.edits]
    for edit in [*additions, *changes]:
        key, identity = question(edit.row, found.rule), edit.row["id"]
        other = asked.setdefault(key, identity)
        if other != identity and other in seen:
            found.repeated.append(identity)
    return found


def _all(results: Mapping[str, ReadResult]) -> Iterator[Row]:
    for result in results.values():
        for row in result:
            if isinstance(row.get("id"), str):
                yield row


def _kept(row: Row, found: Difference, limits: ReviewLimits, already: int) -> bool:
    found.counts["bytes"] += len(json.dumps(row))
    return already < limits.most_rows and found.counts["bytes"] <= limits.most_new_bytes


def _digest(row: Row) -> bytes:
    text = json.dumps(row, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _id_rule(main: Mapping[str, ReadResult]) -> IdRule:
    """What the ids of main's first rows are made from; `any` if no rule fits all of them."""
    rules: list[IdRule] = ["prompt", "prompt and answer"]
    for place, row in enumerate(_all(main)):
        rules = [rule for rule in rules if row["id"] == identity(row, rule)]
        if place >= _PROBED_ROWS or not rules:
            break
    return rules[0] if rules else "any"


def identity(row: Row, rule: IdRule) -> str | None:
    """The id that a row should have; None if its rule or its prompt does not determine one."""
    prompt = row.get("prompt")
    if rule == "any" or not _is_prompt(prompt):
        return None
    asked = row_id(prompt)  # type: ignore[arg-type]  # _is_prompt has checked it
    return asked if rule == "prompt" else short_hash(asked, *answers(row))


def question(row: Row, rule: IdRule) -> str:
    """The hash by which two rows are duplicates: of the prompt, and of the answers if ids are."""
    asked = identity(row, "prompt")
    if asked is None:
        plain = {name: value for name, value in row.items() if name != "id"}
        return short_hash(normalised(json.dumps(plain, sort_keys=True)))
    return asked if rule == "prompt" else short_hash(asked, *map(normalised, answers(row)))


def answers(row: Row) -> list[str]:
    """The texts of a row's answers."""
    found = []
    for name in _ANSWERS:
        value = row.get(name)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            found += [str(turn.get("content")) for turn in value if isinstance(turn, dict)]
    return found


def answer_hash(row: Row) -> str:
    """The hash of the answer that a row teaches; empty for a row without one."""
    taught = {name: value for name, value in row.items() if name != "rejected"}
    texts = answers(taught)
    return short_hash(*map(normalised, texts)) if texts else ""


def _is_prompt(prompt: object) -> bool:
    if isinstance(prompt, str):
        return True
    return (
        isinstance(prompt, list)
        and bool(prompt)
        and all(
            isinstance(turn, dict)
            and isinstance(turn.get("role"), str)
            and isinstance(turn.get("content"), str)
            for turn in prompt
        )
    )


def _complete(row: Row, rule: IdRule, floats: Sequence[str]) -> None:
    """Fill in what a contributor may leave out: the id, and the point in 1.0."""
    if row.get("id") is None and (made := identity(row, rule if rule != "any" else "prompt")):
        row["id"] = made
    for name in floats:
        value = row.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            row[name] = float(value)
