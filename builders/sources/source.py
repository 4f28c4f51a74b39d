"""Reads what a set starts from: tasks or prompts, from a file, a folder or a Hub dataset."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from builders.errors import InputError
from builders.recipe import Raw, row_id
from builders.schema import user

PROMPT_COLUMNS = ("prompt", "messages", "conversations", "instruction", "question", "text")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_SPEAKERS["system"] = "system"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where seeds came from, as the lineage names it: never a path of the machine.

    `rows` can be used; `left_out` counts those that cannot, by reason.
    """

    name: str
    revision: str
    rows: int
    left_out: Mapping[str, int]
    licence: str
    written_by: str

    def facts(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What to read: a file, a folder or a Hub id; split, column and revision where it has them."""

    place: str
    split: str | None = None
    column: str | None = None
    revision: str | None = None


class LoadedSource(NamedTuple):
    """What a source gave: rows, the revision (of a file: sha256), rows left out by reason."""

    rows: list[Raw]
    revision: str
    left_out: dict[str, int]


def read_tasks(source: Source) -> LoadedSource:
    """Seed tasks in Self-Instruct's form.

    Raises:
        InputError: Missing, unreadable, empty, a missing field or an id given twice.
    """
    rows, revision = _read(source)
    tasks: list[Raw] = []
    seen: dict[str, str] = {}
    for where, row in rows:
        task = _task(where, row)
        if task["id"] in seen:
            raise InputError(
                f"{where}: the id {task['id']!r} was already given in {seen[task['id']]}; "
                "every seed needs an id of its own"
            )
        seen[task["id"]] = where
        tasks.append(task)
    return LoadedSource(_some(tasks, source, "seeds"), revision, {})


def _task(where: str, row: Mapping[str, Any]) -> Raw:
    kinds: dict[str, type] = {"instruction": str, "instances": list, "is_classification": bool}
    for name, kind in kinds.items():
        if name not in row:
            raise InputError(f"{where}: no field {name!r}; a seed needs {', '.join(kinds)}")
        if not isinstance(row[name], kind):
            raise InputError(
                f"{where}: {name!r} is {_short(row[name])}, expected a {kind.__name__}; "
                "mend the line"
            )
    instances = []
    for instance in row["instances"]:
        if not isinstance(instance, Mapping) or not {"input", "output"} <= set(instance):
            raise InputError(
                f"{where}: an instance is {_short(instance)}, expected an object with "
                "'input' and 'output'; mend the line"
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
    """Prompts as `{"id", "prompt": messages}`; the empty and the repeated are left out.

    Texts in the columns `keeps` come along where there are any.

    A text becomes one user turn; of a dialogue what stands before its last answer is kept.

    Raises:
        InputError: Missing, unreadable, empty, no such column, or one of the wrong type.
    """
    rows, revision = _read(source)
    prompts: dict[str, Raw] = {}
    left_out: Counter[str] = Counter()
    column = source.column
    for where, row in rows:
        column = column or next((name for name in PROMPT_COLUMNS if name in row), None)
        if column is None or column not in row:
            raise InputError(
                f"{where}: no column {repr(column) if column else 'with prompts'}; there are "
                f"{', '.join(map(str, row))}; name one with --column"
            )
        prompt = _prompt(row[column])
        if prompt is None:
            raise InputError(
                f"{where}: column {column!r} holds {_short(row[column])}, expected a text or a "
                "list of messages with 'role' and 'content'; name another with --column"
            )
        identity = row_id(prompt) if prompt else ""
        if not prompt or identity in prompts:
            left_out["repeated" if prompt else "empty"] += 1
        else:
            kept = {name: row[name] for name in keeps if isinstance(row.get(name), str)}
            prompts[identity] = {"id": identity, "prompt": prompt, **kept}
    return LoadedSource(
        _some(list(prompts.values()), source, "prompts"), revision, dict(sorted(left_out.items()))
    )


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
        role = turn.get("role") or _SPEAKERS.get(str(turn.get("from")))
        content = turn.get("content", turn.get("value"))
        if not isinstance(role, str) or not isinstance(content, str):
            return None
        turns.append({"role": role, "content": content})
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return turns


def _read(source: Source) -> tuple[Iterable[tuple[str, Mapping[str, Any]]], str]:
    path = Path(source.place)
    if path.is_file():
        try:
            return _read_file(path), "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        except PermissionError:
            raise InputError(f"{path.name} cannot be read; give yourself the right to") from None
    if path.is_dir() or (_HUB_ID.fullmatch(source.place) and not path.suffix):
        return _read_dataset(source)
    raise InputError(
        f"there is no file {source.place!r}; give a .jsonl, .json, .csv, .txt or .parquet file, "
        "a folder that load_dataset reads, or a Hub dataset as org/name"
    )


def _read_file(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name}, line {place}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None
    # Lines end at \n only: U+2028 and its like may stand inside a JSON string.
    lines = enumerate(text.split("\n"), 1)
    if path.suffix == ".csv":
        yield from _read_csv(path, text)
    elif path.suffix == ".txt":
        for place, line in lines:
            yield f"{path.name}, line {place}", {"text": line}
    elif path.suffix == ".json":
        yield from _read_json(path, text)
    else:
        for place, line in lines:
            if line.strip():
                yield f"{path.name}, line {place}", _object(path, place, line)


def _read_csv(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for place, record in enumerate(reader, 1):
            yield f"{path.name}, row {place}", record
    except csv.Error as error:
        raise InputError(
            f"{path.name}, line {reader.line_num + 1}: not CSV ({error}); mend the line, or give "
            "the file as .jsonl or .parquet"
        ) from None


def _object(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name}, line {number}: not JSON ({error.msg} at column {error.colno}); "
            "expected one object a line; mend the line"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise InputError(f"{path.name}, line {number}: {error}; mend the line") from None
    if not isinstance(row, dict):
        raise InputError(
            f"{path.name}, line {number}: {_short(row)} is not an object; mend the line"
        )
    return row


def _read_json(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name}, line {error.lineno}: not JSON ({error.msg}); expected a list of "
            "objects; for one object a line name the file .jsonl"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise InputError(f"{path.name}: {error}; mend the file") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path.name}: expected a list of objects; mend the file")
    for number, row in enumerate(rows, 1):
        yield f"{path.name}, row {number}", row


def _read_parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name}, row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path.name} is not a parquet file ({first}); give another") from None


def _read_dataset(source: Source) -> tuple[Iterable[tuple[str, Mapping[str, Any]]], str]:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what matters it raises
    at = {"path": source.place, "revision": source.revision}
    try:
        splits = datasets.get_dataset_split_names(**at)
        split = source.split or ("train" if "train" in splits else splits[0])
        if split not in splits:
            raise InputError(
                f"{source.place!r} has no split {split!r}; there are {', '.join(splits)}; "
                "name one with --split"
            )
        rows = datasets.load_dataset(**at, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        if reason.endswith("corresponds to no data!"):  # a split of 0 rows, in its words
            return [], source.revision or "main"
        raise InputError(
            f"{source.place!r} could not be loaded: {reason}; check the name, the revision, "
            "the connection and the token"
        ) from None
    revision = _commit(source, rows) if not Path(source.place).is_dir() else "main"
    named = ((f"{source.place}, split {split}, row {n}", row) for n, row in enumerate(rows, 1))
    return named, revision


def _commit(source: Source, rows: Any) -> str:
    """The commit at which `datasets` read from a Hub, by the folder of its cache that it used.

    Asking the Hub would tell where a branch is, not what was read: without an answer `datasets`
    takes the newest that it has, whatever the revision.
    """
    commits = {Path(file["filename"]).parent.name for file in rows.cache_files}
    commit = commits.pop() if len(commits) == 1 else ""
    if not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{source.place!r}: `datasets` does not tell which commit it read; give a file of it"
        )
    if _COMMIT.fullmatch(source.revision or "") and commit != source.revision:
        raise InputError(
            f"{source.place!r} at {source.revision} could not be reached, only {commit} is in the "
            "cache; check the connection, or name that one"
        )
    return commit


def _some(rows: list[Raw], source: Source, what: str) -> list[Raw]:
    if not rows:
        split = f", split {source.split!r}" if source.split else ""
        raise InputError(
            f"{Path(source.place).name}{split}: 0 {what} left; expected at least one row with "
            "text; give another source"
        )
    return rows


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
