"""Runs in the sandbox: turns a stranger's file into JSON Lines of plain values, or gives a reason.

Run by its path in an isolated child process, with the file on its stdin, the limits and the name of
the clean file as arguments, and one JSON report on its stdout. Its environment is empty, so it
knows no secrets.

It imports nothing of the house: a child starts in the time that pyarrow needs. Its parser of JSON
Lines is its own because it bounds what each line costs before parsing it, and refuses what only
Python takes for JSON (NaN, a key given twice, integers of more than 64 bits).
"""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

_FLOOR_BYTES = 16_000_000  # allowed at any ratio: a small file of repeated rows
_MOST_FOOTER_BYTES = 4_000_000
_BATCH_ROWS = 64


class _Refused(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def main() -> None:
    """Confine this process, read the file, and report the outcome on stdout."""
    limits, clean = json.loads(sys.argv[1]), Path(sys.argv[2])
    _confine(limits)
    report: dict[str, Any] = {"kind": None, "reason": "", "columns": None, "rows": 0, "nulls": []}
    file = os.fdopen(0, "rb")
    try:
        with clean.open("w", encoding="ascii") as out:
            if limits["form"] == "parquet":
                _read_parquet(file, limits, out, report)
            else:
                _read_lines(file, limits, out, report)
    except _Refused as refusal:
        report.update(kind=refusal.kind, reason=str(refusal))
    except MemoryError:
        report.update(kind="memory", reason="needs more memory than a file of a set may")
    except RecursionError:
        report.update(kind="nesting", reason="is nested too deep")
    except OSError as error:
        if error.errno == errno.EFBIG:
            report.update(kind="bomb", reason="becomes larger than a file of a set may")
        elif "too deeply nested" in str(error):  # pyarrow's own limit, for the footer
            report.update(kind="nesting", reason="is nested too deep")
        else:
            report.update(kind="broken", reason=f"is broken ({_line(error)})")
    except (ValueError, KeyError, TypeError, NotImplementedError, UnicodeError) as error:
        report.update(kind="broken", reason=f"is broken ({_line(error)})")
    sys.stdout.write(json.dumps(report))
    sys.stdout.flush()
    os._exit(0)  # without destructors: a broken file may have left a library's memory broken


def _confine(limits: dict[str, Any]) -> None:
    cpu = math.ceil(limits["most_cpu_s"])
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, limits["most_clean_bytes"]),
        (resource.RLIMIT_AS, limits["most_memory_bytes"]),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


def _read_parquet(
    file: IO[bytes], limits: dict[str, Any], out: IO[str], report: dict[str, Any]
) -> None:
    _check_footer(file)
    # pyarrow does without both: less code near a stranger's bytes, and half the time to start.
    sys.modules["numpy"] = sys.modules["cloudpickle"] = None  # type: ignore[assignment]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    parquet = pq.ParquetFile(
        pa.PythonFile(file, mode="r"),
        pre_buffer=False,
        thrift_string_size_limit=_MOST_FOOTER_BYTES,
        thrift_container_size_limit=1_000_000,
    )
    size = os.fstat(file.fileno()).st_size
    _check_declared(parquet.metadata, size, limits)
    shape = parquet.schema_arrow
    if len(set(shape.names)) < len(shape.names):
        raise _Refused("types", "has two columns of one name")
    for field in shape:
        depth = _depth(field.type)
        if depth > limits["most_depth"]:
            raise _Refused("nesting", f"has a column nested {depth} deep")
        if b"ARROW:extension:name" in (field.metadata or {}) or not _plain(field.type):
            raise _Refused(
                "types", f"has the column {field.name[:60]!r} of a type that is not plain"
            )
    report["columns"] = {field.name: _type_name(field.type) for field in shape}
    seen_bytes, nulls = 0, set()
    for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
        batch.validate(full=True)
        seen_bytes += batch.nbytes
        report["rows"] += batch.num_rows
        allowed = min(limits["most_bytes"], max(_FLOOR_BYTES, limits["most_ratio"] * size))
        if seen_bytes > allowed:
            raise _Refused("bomb", f"holds more than {allowed:,} bytes of data in {size:,}")
        if report["rows"] > parquet.metadata.num_rows:
            raise _Refused("footer", "holds more rows than its footer declares")
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if column.null_count:
                nulls.add(name)
            if _longest(column) > limits["most_cell_bytes"]:
                raise _Refused(
                    "cell", f"has a text of more than {limits['most_cell_bytes']:,} bytes"
                )
        for row in batch.to_pylist():
            _write(row, out)
    if report["rows"] < parquet.metadata.num_rows:
        raise _Refused("footer", "holds fewer rows than its footer declares")
    report["nulls"] = sorted(nulls)


def _check_footer(file: IO[bytes]) -> None:
    """Refuse a footer that is too long, before anything parses it."""
    size = os.fstat(file.fileno()).st_size
    if size < 12:
        raise _Refused("broken", "is too short for a parquet file")
    file.seek(0)
    head = file.read(4)
    file.seek(size - 8)
    tail = file.read(8)
    if head != b"PAR1" or tail[4:] != b"PAR1":
        raise _Refused("broken", "is not a parquet file")
    length = int.from_bytes(tail[:4], "little")
    if length > min(_MOST_FOOTER_BYTES, size - 12):
        raise _Refused("footer", f"declares a footer of {length:,} bytes")
    file.seek(0)


def _check_declared(metadata: Any, size: int, limits: dict[str, Any]) -> None:
    """Refuse a file by what its footer declares, before any page is read."""
    if metadata.num_columns > limits["most_columns"]:
        raise _Refused("columns", f"declares {metadata.num_columns:,} columns")
    if not 0 <= metadata.num_rows <= limits["most_rows_read"]:
        raise _Refused("rows", f"declares {metadata.num_rows:,} rows")
    if metadata.num_row_groups > 10_000:
        raise _Refused("footer", f"declares {metadata.num_row_groups:,} row groups")
    inflated = compressed = rows = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        rows += group.num_rows
        for at in range(group.num_columns):
            chunk = group.column(at)
            if chunk.total_compressed_size < 0 or chunk.total_uncompressed_size < 0:
                raise _Refused("footer", "declares a negative size")
            starts = (chunk.data_page_offset, chunk.dictionary_page_offset)
            start = min(offset for offset in starts if offset is not None)
            if start < 4 or start + chunk.total_compressed_size > size:
                raise _Refused("footer", "declares data beyond the file's end")
            inflated += chunk.total_uncompressed_size
            compressed += chunk.total_compressed_size
    if rows != metadata.num_rows:
        raise _Refused("footer", f"declares {metadata.num_rows:,} rows, its groups {rows:,}")
    if compressed > size:
        raise _Refused("footer", f"declares {compressed:,} bytes in a file of {size:,}")
    if inflated > limits["most_bytes"]:
        raise _Refused("bomb", f"declares {inflated:,} bytes of data")
    if inflated > _FLOOR_BYTES and inflated > limits["most_ratio"] * max(1, compressed):
        raise _Refused("bomb", f"declares {inflated:,} bytes of data in {compressed:,}")


def _depth(arrow_type: Any) -> int:
    depth, level = 0, [arrow_type]
    while level:
        depth += 1
        if depth > 100:
            break
        level = [one.field(at).type for one in level for at in range(one.num_fields)]
    return depth


def _plain(arrow_type: Any) -> bool:
    import pyarrow.types as of

    if of.is_list(arrow_type) or of.is_large_list(arrow_type):
        return _plain(arrow_type.value_type)
    if of.is_struct(arrow_type):
        return all(_plain(arrow_type.field(at).type) for at in range(arrow_type.num_fields))
    return bool(
        of.is_string(arrow_type)
        or of.is_large_string(arrow_type)
        or of.is_integer(arrow_type)
        or of.is_floating(arrow_type)
        or of.is_boolean(arrow_type)
        or of.is_null(arrow_type)
    )


def _type_name(arrow_type: Any) -> str:
    """A type's name without what its meaning does not depend on: item names, order of fields."""
    import pyarrow.types as of

    if of.is_list(arrow_type) or of.is_large_list(arrow_type):
        large = "large_" if of.is_large_list(arrow_type) else ""
        return f"{large}list<{_type_name(arrow_type.value_type)}>"
    if of.is_struct(arrow_type):
        parts = (arrow_type.field(at) for at in range(arrow_type.num_fields))
        names = sorted(f"{part.name}: {_type_name(part.type)}" for part in parts)
        return f"struct<{', '.join(names)}>"
    return str(arrow_type)


def _longest(array: Any) -> int:
    """The bytes of the longest text, and the items of the longest list, in an array."""
    import pyarrow.compute as pc
    import pyarrow.types as of

    arrow_type = array.type
    if of.is_string(arrow_type) or of.is_large_string(arrow_type):
        return pc.max(pc.binary_length(array)).as_py() or 0
    if of.is_list(arrow_type) or of.is_large_list(arrow_type):
        items = pc.max(pc.list_value_length(array)).as_py() or 0
        return max(items, _longest(array.flatten()))
    if of.is_struct(arrow_type):
        return max((_longest(part) for part in array.flatten()), default=0)
    return 0


def _read_lines(
    file: IO[bytes], limits: dict[str, Any], out: IO[str], report: dict[str, Any]
) -> None:
    most = 4 * limits["most_cell_bytes"]
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise _Refused("cell", f"has more than {most:,} bytes in line {number:,}")
        try:
            text = line.decode("utf-8").removeprefix("\ufeff").strip()
            if not text:
                continue
            row = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
        except ValueError as error:
            raise _Refused("broken", f"is not JSON in line {number:,} ({_line(error)})") from None
        if not isinstance(row, dict):
            raise _Refused("broken", f"has no object in line {number:,}")
        if len(row) > limits["most_columns"]:
            raise _Refused("columns", f"has {len(row):,} columns in line {number:,}")
        for depth, value in _values(row):
            _check_value(value, depth, number, limits)
        report["rows"] += 1
        if report["rows"] > limits["most_rows_read"]:
            raise _Refused("rows", f"has more than {limits['most_rows_read']:,} rows")
        _write(row, out)


def _values(row: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    level: list[Any] = [row]
    depth = 0
    while level:
        depth += 1
        yield depth, None
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                yield from ((depth, name) for name in value)
                below += value.values()
            elif isinstance(value, list):
                below += value
            else:
                yield depth, value
        level = below


def _check_value(value: Any, depth: int, number: int, limits: dict[str, Any]) -> None:
    if depth > limits["most_depth"] + 1:  # the row itself is one
        raise _Refused("nesting", f"has a value nested too deep in line {number:,}")
    if isinstance(value, str):
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise _Refused("broken", f"has an unpaired surrogate in line {number:,}") from None
        if length > limits["most_cell_bytes"]:
            most = limits["most_cell_bytes"]
            raise _Refused("cell", f"has a text of more than {most:,} bytes in line {number:,}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise _Refused("broken", f"has a number that is not finite in line {number:,}")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise _Refused("broken", f"has an integer of more than 64 bits in line {number:,}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is given twice in an object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _write(row: dict[str, Any], out: IO[str]) -> None:
    out.write(json.dumps(row, allow_nan=False) + "\n")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


if __name__ == "__main__":
    main()
