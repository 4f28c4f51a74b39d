"""The rows of Parquet and Arrow tables, where a value that Python cannot hold costs no other one.

A date after the year 9999 or in an unknown time zone comes as the number that is stored; a text
that is not UTF-8 costs its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from builders.sources.rows import Row, Unreadable


def table_rows(path: Path) -> Iterator[Row | Unreadable]:
    """The rows of a Parquet file, or of an Arrow file in either of its forms."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet or path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches():
                yield from rows_of(batch)
        return
    with pa.memory_map(str(path)) as source:
        try:
            file = pa.ipc.open_file(source)
        except pa.ArrowInvalid:  # as `datasets` writes it
            batches: Iterator[Any] = iter(pa.ipc.open_stream(source))
        else:
            batches = map(file.get_batch, range(file.num_record_batches))
        for batch in batches:
            yield from rows_of(batch)


def rows_of(table: Any) -> Iterator[Row | Unreadable]:
    """The rows of an Arrow table or batch."""
    import pyarrow as pa

    names = distinct(table.schema.names)
    try:
        yield from table.rename_columns(names).to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        for values in zip(*map(_values, table.columns), strict=True):
            broken = next((one for one in values if isinstance(one, Unreadable)), None)
            yield broken or dict(zip(names, values, strict=True))


def distinct(names: Sequence[str]) -> list[str]:
    """The names of columns, where one that comes again gets a number."""
    found: list[str] = []
    for name in names:
        again = name and names[: len(found)].count(name)
        found.append(f"{name} ({again + 1})" if again else name)
    return found


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [*map(_value, column)]
    except (ValueError, OverflowError, pa.ArrowException):
        try:
            return [*map(_value, column.cast(_stored(column.type)))]
        except pa.ArrowException:  # in a form for which there is no cast
            return [*map(_value, column)]


def _value(scalar: Any) -> Any:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        return Unreadable(f"not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8")
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return Unreadable(f"a value that cannot be read ({str(error).splitlines()[0]})")


def _stored(kind: Any) -> Any:
    """A type with numbers for dates and times."""
    import pyarrow as pa

    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(_stored(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type))
    return kind
