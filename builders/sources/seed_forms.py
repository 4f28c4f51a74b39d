"""The two forms of seeds: prompts, from texts or dialogues, and the tasks of Self-Instruct.

Source: Self-Instruct, Wang et al. 2022 (https://arxiv.org/abs/2212.10560), for the tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.errors import InputError, shortened
from builders.recipe import Raw, row_id
from builders.schema import user
from builders.sources.records import readable
from builders.sources.source import LoadedSource, Source, source_records

PROMPT_COLUMNS = ("prompt", "messages", "conversations", "instruction", "question", "text")
# The role of each speaker that ShareGPT's dialogues name in `from`.
_ROLES = {"human": "user", "gpt": "assistant", **{r: r for r in ("system", "user", "assistant")}}


def read_tasks(source: Source) -> LoadedSource:
    """Seed tasks, each with id, instruction, instances and is_classification.

    Raises:
        InputError: The source is missing, unreadable or empty, a field is missing or of the wrong
            type, or two tasks have one id.
    """
    rows, revision = source_records(source)
    tasks: list[Raw] = []
    seen: dict[str, str] = {}
    for where, row in readable(rows):
        task = _task(where, row)
        if task["id"] in seen:
            raise InputError(
                f"{where}: the id {task['id']!r} was already given in {seen[task['id']]}; "
                "every seed needs an id of its own"
            )
        seen[task["id"]] = where
        tasks.append(task)
    return LoadedSource(_not_empty(tasks, source, "seeds"), revision, {})


def _task(where: str, row: Mapping[str, Any]) -> Raw:
    kinds: dict[str, type] = {"instruction": str, "instances": list, "is_classification": bool}
    for name, kind in kinds.items():
        if name not in row:
            raise InputError(f"{where}: no field {name!r}; a seed needs {', '.join(kinds)}")
        if not isinstance(row[name], kind):
            raise InputError(
                f"{where}: {name!r} is {shortened(row[name])}, expected a {kind.__name__}; "
                "fix the line"
            )
    instances = []
    for instance in row["instances"]:
        if not isinstance(instance, Mapping) or not {"input", "output"} <= set(instance):
            raise InputError(
                f"{where}: an instance is {shortened(instance)}, expected an object with "
                "'input' and 'output'; fix the line"
            )
        instances.append({"input": str(instance["input"]), "output": str(instance["output"])})
    if not row["instruction"].strip():
        raise InputError(f"{where}: 'instruction' is empty; write one or delete the line")
    return {
        "id": str(row.get("id") or row_id(row["instruction"])),
        "instruction": row["instruction"],
        "instances": instances,
        "is_classification": row["is_classification"],
    }


def read_prompts(source: Source, keeps: Sequence[str] = ()) -> LoadedSource:
    """Prompts as `{"id", "prompt": messages}`, without the empty and the repeated ones.

    A text becomes one user turn; a dialogue is kept up to its last user turn. The texts of a row
    in the columns `keeps` are added to its prompt.

    Raises:
        InputError: The source is missing, unreadable or empty, or it has no such column or one of
            the wrong type.
    """
    rows, revision = source_records(source)
    prompts: dict[str, Raw] = {}
    left_out: Counter[str] = Counter()
    column = source.column
    for where, row in readable(rows):
        column = column or next((name for name in PROMPT_COLUMNS if name in row), None)
        if column is None or column not in row:
            raise InputError(
                f"{where}: no column {repr(column) if column else 'with prompts'}; there are "
                f"{', '.join(map(str, row))}; name one with --column"
            )
        prompt = _prompt(row[column])
        if prompt is None:
            raise InputError(
                f"{where}: column {column!r} holds {shortened(row[column])}, expected a text or a "
                "list of messages with 'role' and 'content'; name another with --column"
            )
        identity = row_id(prompt) if prompt else ""
        if not prompt or identity in prompts:
            left_out["repeated" if prompt else "empty"] += 1
        else:
            kept = {name: row[name] for name in keeps if isinstance(row.get(name), str)}
            prompts[identity] = {"id": identity, "prompt": prompt, **kept}
    found = _not_empty(list(prompts.values()), source, "prompts")
    return LoadedSource(found, revision, dict(sorted(left_out.items())))


def _prompt(value: Any) -> list[dict[str, str]] | None:
    """The messages up to the last user turn; [] where there is none; None for a wrong type."""
    if value is None or value == []:
        return []
    if isinstance(value, str):
        return user(value) if value.strip() else []
    if not isinstance(value, Sequence) or not value:
        return None
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping):
            return None
        role = turn.get("role") or _ROLES.get(str(turn.get("from")))
        content = turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(content, str):
            return None
        turns.append({"role": role, "content": content})
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return turns


def _not_empty(rows: list[Raw], source: Source, what: str) -> list[Raw]:
    if not rows:
        split = f", split {source.split!r}" if source.split else ""
        raise InputError(
            f"{Path(source.place).name}{split}: 0 {what} left; expected at least one row with "
            "text; give another source"
        )
    return rows
