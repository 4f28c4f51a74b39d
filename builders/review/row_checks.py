"""The checks on the rows that a pull request adds or changes."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import builders.schema
from builders.errors import number_of
from builders.gates.contamination import EvaluationItems, contamination
from builders.gates.secrets import secret
from builders.gates.text import refusal, repetition, unprintable
from builders.review.changed_rows import Difference, Edit, answer_hash, identity
from builders.review.findings import Finding, passed, refused
from builders.review.review_limits import ReviewLimits
from builders.sandbox.file_reader import ReadResult
from builders.schema import ID_PATTERN, Column, ColumnType, Row, Schema

_WORDS: dict[str, ColumnType] = {
    "string": "string",
    "list<string>": "strings",
    "list<struct<content: string, role: string>>": "messages",
    "int64": "int",
    "double": "float",
    "bool": "bool",
}
_TYPES = {kind: word for word, kind in _WORDS.items()} | {"json": "string"}
_TAUGHT = ("completion", "chosen")
_TEXTS = ("prompt", "completion", "chosen", "rejected", "messages", "text")
_INVISIBLE = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_CODE = re.compile(r"```|^(?: {2,}|\t)\S", re.MULTILINE)  # text in which white space matters
_MOST_SEARCHED = 4000
_LEAST_SAME = 3  # fewer rows with the same answer are no flood, however small the set
_MOST_SAME_SHARE = 0.01
ROW_CHECKS = (
    *("columns", "nulls", "empty text", "chosen and rejected", "schema", "ids", "white space"),
    *("text gates", "junk", "secrets", "evaluation"),
)


def declared_schema(columns: Mapping[str, str], nulls: Sequence[str]) -> Schema:
    """The known schema with a file's columns, or one made from the columns' types.

    A column of a type that Schema does not have is left out; only its Arrow type is checked.
    """
    for known in vars(builders.schema).values():
        if isinstance(known, Schema) and column_words(known) == dict(columns):
            return known
    return Schema(
        name="as in main",
        columns=tuple(
            Column(name=name, type=_WORDS[word], meaning="", nullable=name in nulls)
            for name, word in columns.items()
            if word in _WORDS
        ),
    )


def column_words(schema: Schema) -> dict[str, str]:
    """Name and Arrow type of each column, in order, as a ReadResult gives them."""
    return {column.name: _TYPES[column.type] for column in schema.columns}


def column_fault(path: str, result: ReadResult, wanted: Mapping[str, str]) -> str | None:
    """Why a parquet file's columns are not those of `default`, or None."""
    had = result.columns
    if had is None:
        return None
    if missing := [name for name in wanted if name not in had and (name != "id" or _home(path))]:
        for name, other in (("calls", builders.schema.CALLS), ("dropped", builders.schema.DROPPED)):
            if set(had) == set(column_words(other)):
                return f"{path!a} holds rows of the config {name!r}, not of 'default'"
        return f"{path!a} has no column {missing[0]!r}"
    if extra := [name for name in had if name not in wanted]:
        return f"{path!a} has the undeclared column {extra[0][:60]!r}"
    for name, word in had.items():
        if word != wanted[name]:
            return f"{path!a} has {name!r} as {word[:80]}, expected {wanted[name][:80]}"
    if _home(path) and list(had) != list(wanted):
        return f"{path!a} has its columns in another order than {list(wanted)}"
    return None


def _home(path: str) -> bool:
    return path.startswith("data/")


def bulk_findings(found: Difference, limits: ReviewLimits) -> list[Finding]:
    """The checks on numbers: rows, bytes and growth, removals, duplicates."""
    added, changed, removed = (found.counts[name] for name in ("added", "changed", "removed"))
    had = found.counts["main"]
    findings = []
    if (total := added + changed + removed) > limits.most_rows:
        reason = (
            f"{number_of(total, 'rows')} added, changed or removed; at most {limits.most_rows:,} "
            "allowed"
        )
        findings.append(refused("bulk", reason))
    elif (size := found.counts["bytes"]) > limits.most_new_bytes:
        reason = f"{size:,} bytes of new rows; at most {limits.most_new_bytes:,} are checked"
        findings.append(refused("bulk", reason))
    elif added > limits.most_growth * max(1, had):
        reason = f"{added:,} new rows in a set of {had:,}; at most {limits.most_growth} times that"
        findings.append(refused("bulk", reason))
    else:
        findings.append(passed("bulk"))
    if found.emptied:
        findings.append(refused("removals", f"{found.emptied[0]!a} has lost all of its rows"))
    elif removed > limits.most_removed_share * had:
        reason = f"{removed:,} of {number_of(had, 'rows')} removed; at most half allowed"
        findings.append(refused("removals", reason))
    else:
        findings.append(passed("removals"))
    if found.repeated:
        reason = f"the row {found.repeated[0]!r} has the prompt of another row of the set"
        findings.append(refused("duplicates", reason, found.repeated))
    else:
        findings.append(passed("duplicates"))
    return findings


def row_findings(
    found: Difference, schema: Schema, extra: Sequence[str], items: EvaluationItems | None
) -> list[Finding]:
    """The checks on each new or changed row; `extra` are the columns that are not in the schema."""
    faults: dict[str, list[tuple[str, str]]] = defaultdict(list)
    flood = _flood(found)
    for edit in found.edits:
        if edit.action != "removed":
            for check, reason in _row_faults(edit, schema, extra, found, items):
                faults[check].append((edit.row["id"], reason))
            if answer_hash(edit.row) in flood:
                faults["junk"].append((edit.row["id"], "has an answer that many other rows have"))
    faults["ids"] += [(one, "has the id of another row") for one in found.doubled]
    if found.without_id:
        faults["ids"].append(("", f"and {found.without_id - 1:,} more have no id"))
    findings = []
    for check in ROW_CHECKS:
        if check == "evaluation" and not items:
            findings.append(passed(check, "no evaluation sets were given"))
        elif faults[check]:
            name, reason = faults[check][0]
            ids = list(dict.fromkeys(one for one, _ in faults[check]))
            findings.append(refused(check, f"the row {name[:40]!r} {reason}", ids))
        else:
            findings.append(passed(check))
    return findings


def _row_faults(
    edit: Edit,
    schema: Schema,
    extra: Sequence[str],
    found: Difference,
    items: EvaluationItems | None,
) -> Iterator[tuple[str, str]]:
    row, new = edit.row, edit.columns
    broken = list(_shape_faults(row, schema, extra))
    yield from broken
    if "id" in row and (fault := _id_fault(edit, found)):
        yield "ids", fault
    if any(check in ("columns", "schema", "nulls") for check, _ in broken):
        return  # the checks below rely on the declared types
    if edit.action == "changed" and _only_white_space(edit):
        yield "white space", "changes only white space"
    texts = [(name, text) for name in new for text in _texts(row.get(name))]
    for name, text in texts:
        if kind := secret(text):
            yield "secrets", f"holds in {name!r} what looks like a key ({kind})"
        if name in _TEXTS:
            if fault := junk(text):
                yield "junk", f"has in {name!r} {fault}"
            yield from (("text gates", fault) for fault in _gated(name, text))
    if items:
        drop = contamination(items, {name: row[name] for name in new if name in row})
        if drop:
            evidence = drop.evidence
            yield (
                "evaluation",
                f"holds in {evidence['column']!r} item {evidence['item']} of {evidence['source']} "
                f"({evidence['rule']}: {str(evidence['matched'])[:120]!r})",
            )


def _shape_faults(row: Row, schema: Schema, extra: Sequence[str]) -> Iterator[tuple[str, str]]:
    names = [column.name for column in schema.columns]
    if odd := [name for name in row if name not in names and name not in extra]:
        yield "columns", f"has the undeclared column {odd[0][:60]!r}"
        return
    for column in schema.columns:
        value = row.get(column.name)
        if value is None and not column.nullable:
            check = "nulls" if column.name in row else "columns"
            yield check, f"has no {column.name!r}"
            return
        if column.name in _TEXTS and value is not None and _empty(value):
            yield "empty text", f"has no visible text in {column.name!r}"
            return
    for name in extra:
        if row.get(name) is None:
            yield "nulls", f"has no {name!r}"
            return
    if row.get("chosen") is not None and _plain(row["chosen"]) == _plain(row.get("rejected")):
        yield "chosen and rejected", "has the same text as 'chosen' and 'rejected'"
        return
    if problem := schema.problem({name: row[name] for name in names if name in row}):
        yield "schema", problem


def _id_fault(edit: Edit, found: Difference) -> str | None:
    row = edit.row
    if not re.fullmatch(ID_PATTERN, row["id"]):
        return "has an id that is not 16 hex digits"
    if edit.action == "changed":
        # A better answer keeps the id: it is the prompt's.
        was, now = (identity(one, "prompt") for one in (edit.before or row, row))
        wrong = was != now
    else:
        wanted = identity(row, found.rule)
        wrong = wanted is not None and wanted != row["id"]
    return (
        "has an id that is not made from its prompt; leave 'id' out of a new row" if wrong else None
    )


def _only_white_space(edit: Edit) -> bool:
    before = edit.before or {}
    names = [name for name in edit.columns if name != "id"]
    if any(_CODE.search(text) for name in names for text in _texts(before.get(name))):
        return False
    return all(_plain(edit.row.get(name)) == _plain(before.get(name)) for name in names)


def _gated(name: str, text: str) -> Iterator[str]:
    gates: tuple[Callable[[Row], Any], ...] = (unprintable,)
    if name in _TAUGHT:  # a prompt may repeat and quote, a rejected answer may fail
        gates = (unprintable, repetition, refusal)
    for gate in gates:
        # A refusal is at the start, and its search is quadratic in a text of open quotes.
        part = text[:_MOST_SEARCHED] if gate is refusal else text
        if drop := gate({"completion": [{"content": part}]}):
            yield f"has in {name!r} a text with the fault {drop.reason!r}"


def junk(text: str) -> str | None:
    """Why a text has almost no content for its length, or None."""
    if len(text) > 20 and not any(character.isalnum() for character in text):
        return "no letter and no digit"
    packed = text.encode()
    if len(packed) >= 400 and len(zlib.compress(packed, 6)) < 0.05 * len(packed):
        return "the same text again and again"
    words = text.lower().split()
    if len(words) >= 30 and len(set(words)) < 0.1 * len(words):
        return "the same few words again and again"
    if any(len(word) > 2000 and word.isascii() for word in words):
        return "a run of 2,000 characters without a space"
    return None


def _flood(found: Difference) -> set[str]:
    """The answers that became frequent over all rows through the pull request."""
    before, after = found.answers
    rows = sum(after.values())
    least = max(_LEAST_SAME, _MOST_SAME_SHARE * rows)
    was_flooded = max(_LEAST_SAME, _MOST_SAME_SHARE * sum(before.values()))
    return {
        answer
        for answer, times in after.items()
        if answer and times >= least and before[answer] < was_flooded
    }


def _empty(value: object) -> bool:
    """Whether any text in a value has no visible character."""
    texts = list(_texts(value))
    return not texts or any(not _INVISIBLE.sub("", text) for text in texts)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _texts(value: object) -> Iterator[str]:
    """The texts in a value; of a message only its content."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name != "role":
                yield from _texts(part)
