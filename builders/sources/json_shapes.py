"""Where the rows are in a JSON document: a list, an object around one, splits, a table.

The shapes are those that people download: a list of objects; `{"version": 1, "data": [...]}`; the
rows of the Hub's viewer (`{"rows": [{"row": {...}}]}`); `{"train": [...], "test": [...]}`; the
tasks of Natural Instructions (`{"Definition": [...], "Instances": [...]}`); and what pandas'
`to_json` writes, by column, by row or split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "eval", "test", "testing"}
_LISTS = (
    *("data", "rows", "examples", "instances", "items", "records", "samples", "entries"),
    *("prompts", "questions", "instructions", "tasks", "conversations", "dataset", "results"),
)
# An object that has one of these as a text or a dialogue is a row, whatever else it has.
_OF_A_ROW = (
    *("id", "prompt", "messages", "conversations", "conversation", "dialogue", "dialog"),
    *("chat_messages", "instruction", "question", "text"),
)
_INSTANCES = "Instances"
_SPEAKER = ("role", "from", "speaker")  # what a message has


def is_dialogue(value: Any) -> bool:
    """Whether a value is a list of messages, each with its speaker."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and any(key in one for key in _SPEAKER) for one in value)
    )


def lists_in(
    value: Any, part: str | None = None, *, of_lines: bool = False
) -> dict[str, list[Any]] | str | None:
    """The lists of rows in a document, by name; None where the document is itself a row.

    `part` names the list to read, such as a split; `of_lines` says that the document is the only
    line of a file of lines. A text says that it is unclear which list is meant.
    """
    if isinstance(value, list):
        return None if is_dialogue(value) else {"": value}
    if not isinstance(value, dict):
        return None
    of_one = of_lines and len(value) > 1  # texts in a line of a file are of one row
    lists = {name: _rows(found) for name, found in value.items() if _are_rows(found, of_one)}
    if "Definition" in value and _INSTANCES in lists:  # what each instance is asked with
        shared = {"Definition": value["Definition"]}
        lists = {_INSTANCES: [shared | row for row in lists[_INSTANCES] if isinstance(row, dict)]}
    if part is not None and lists:
        return {part: lists[part]} if part in lists else f"has no {part!r}; {_offered(lists)}"
    of_a_row = [value[name] for name in _OF_A_ROW if name in value]
    if any(of_lines or isinstance(one, str) or is_dialogue(one) for one in of_a_row):
        return None
    if (table := _table(value, of_lines)) is not None:
        return {"": table}
    if splits := {name: rows for name, rows in lists.items() if name.lower() in _SPLITS}:
        return splits
    if known := next((name for name in _LISTS if name in lists), None):
        return {"": lists[known]}
    inner = [one for name, one in value.items() if isinstance(one, dict) and name in _LISTS]
    if len(inner) == 1:
        return lists_in(inner[0], part)
    texts = any(isinstance(one, str) for one in value.values())
    if len(lists) > 1 and not (of_lines and texts):
        return f"holds several lists of rows; {_offered(lists)}"
    if lists and not texts:
        return {"": next(iter(lists.values()))}
    return None


def _offered(lists: Iterable[str]) -> str:
    return f"there are {', '.join(lists)}; name one with --split"


def _are_rows(value: Any, of_one: bool) -> bool:
    """Whether a value is a list of objects, or of texts not `of_one` row, that are no dialogue."""
    if not isinstance(value, list) or not value or is_dialogue(value):
        return False
    return any(
        all(isinstance(one, kind) for one in value) for kind in ((dict,) if of_one else (dict, str))
    )


def _rows(found: list[Any]) -> list[Any]:
    """The rows themselves, where each is in an object of the Hub's viewer."""
    if all(isinstance(one, dict) and isinstance(one.get("row"), dict) for one in found):
        return [one["row"] for one in found]
    return found


def _table(value: Mapping[str, Any], of_lines: bool) -> list[dict[str, Any]] | None:
    """The rows of a table that is not written row by row; None for anything else."""
    columns, data, parts = value.get("columns"), value.get("data"), [*value.values()]
    if isinstance(columns, list) and isinstance(data, list):  # pandas: split
        return [dict(zip(columns, row, strict=False)) for row in data if isinstance(row, list)]
    if len(parts) < 2 or {*map(str.lower, value)} <= _SPLITS:
        return None
    if all(isinstance(part, list) for part in parts):
        return None if of_lines else _from_columns(value, parts)
    if not all(isinstance(part, dict) for part in parts):
        return None
    keys = {*parts[0]}
    if keys and all({*part} == keys for part in parts) and all(key.isdigit() for key in keys):
        return _from_columns(value, [[*part.values()] for part in parts])  # pandas: columns
    return parts if all(keys & {*part} for part in parts) else None  # pandas: index


def _from_columns(
    names: Iterable[str], parts: Sequence[Sequence[Any]]
) -> list[dict[str, Any]] | None:
    """The rows of a table by columns; None where they are not of one length, or hold objects."""
    if len({len(part) for part in parts}) > 1 or not parts[0]:
        return None
    if all(isinstance(one, dict) for part in parts for one in part[:1]):
        return None
    return [dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True)]
