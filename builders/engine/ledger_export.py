"""All answers of a ledger as one parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from builders.durable import durably_rename
from builders.engine.calls import Answer, Call
from builders.engine.ledger_format import READABLE, countable, json_text, utf8
from builders.engine.ledger_sums import TEACHER
from builders.errors import FolderError, InputError

_GROUP_ROWS, _GROUP_CHARACTERS = 1000, 32_000_000  # logprobs can take megabytes
SELECT_CALLS = (
    f"SELECT id, key, {TEACHER}, texts, {READABLE}, time, cost_usd, attempts, hedged FROM answers"  # noqa: S608
)
_EXPORTED = {
    "string": "id role endpoint model revision asked sampling schema text ended finish_reason "
    "reasoning leaked_mark tool_calls logprobs model_reported fingerprint revision_reported",
    "int64": "sample input_tokens output_tokens reasoning_tokens cached_tokens attempts hedged",
    "double": "latency_s time cost_usd",
}
Rows = Callable[..., list[Any]]
Read = Callable[[tuple[Any, ...]], tuple[Call, Answer, Sequence[Any]]]


def export(rows: Rows, read: Read, path: Path) -> int:
    """Write all answers to one parquet file and return the number of its rows.

    The file appears whole or not at all. Structured values are written as JSON. Lone
    surrogates, which parquet cannot store, become escapes.

    Raises:
        InputError: `path` exists and is not a regular file.
        FolderError: The disk is full, `path` is not writable or the ledger is damaged; `path`
            is unchanged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists() and not path.is_file():  # the rename below would replace even a device
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise InputError(f"{path} is {kind}; expected the name of a file to write; give one")

    kinds = [(name, kind) for kind, names in _EXPORTED.items() for name in names.split()]
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in kinds])
    part = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with (
            part.open("wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for group in exported(rows, read):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                written += len(group)
        durably_rename(part, path)
    except OSError as error:
        raise FolderError(
            f"cannot write {path} ({error.strerror or error}); make room, or give another path"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return written


def exported(rows: Rows, read: Read) -> Iterator[list[dict[str, Any]]]:
    """All answers in the order of recording, in groups of bounded size."""
    last, characters, group = 0, 0, list[dict[str, Any]]()
    while some := rows(f"{SELECT_CALLS} WHERE id > ? ORDER BY id LIMIT 50", last):
        for row in some:
            group.append(_flat(*read(row)))
            characters += sum(len(one) for one in group[-1].values() if isinstance(one, str))
        last = some[-1][0]
        if len(group) >= _GROUP_ROWS or characters >= _GROUP_CHARACTERS:
            yield group
            characters, group = 0, []
    if group:
        yield group


def _flat(call: Call, answer: Answer, rest: Sequence[Any]) -> dict[str, Any]:
    """One row of an export."""
    flat = vars(answer) | vars(call) | {"id": call.id, "model_reported": answer.model}
    flat["revision_reported"] = answer.revision
    flat["asked"] = call.prompt
    flat |= zip(("time", "cost_usd", "attempts", "hedged"), rest, strict=True)
    for name in ("asked", "sampling", "schema", "tool_calls", "logprobs"):
        flat[name] = None if flat[name] is None else json_text(flat[name])
    for name in ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens"):
        flat[name] = countable(flat[name])
    return {name: utf8(one) if isinstance(one, str) else one for name, one in flat.items()}
