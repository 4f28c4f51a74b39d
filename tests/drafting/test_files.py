"""The layout of a file of rows is part of its sha256, and what the Hub's viewer reads."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from builders.drafting.files import write_parquet
from builders.schema import PROMPT_COMPLETION, assistant, user


def test_the_layout_of_a_file_never_changes(tmp_path: Path) -> None:
    path = tmp_path / "default.parquet"
    rows = (
        {"completion": assistant(f"{n}."), "prompt": user(f"Say {n}."), "id": f"{n:016x}"}
        for n in range(2500)
    )
    write_parquet(path, PROMPT_COMPLETION, rows)
    with pq.ParquetFile(path) as file:
        about = file.metadata
        groups = [about.row_group(n) for n in range(about.num_row_groups)]
        assert [group.num_rows for group in groups] == [1000, 1000, 500]
        assert about.metadata is None  # Arrow's own schema would differ between its versions
        assert [str(about.schema.column(n).path) for n in range(about.num_columns)] == [
            "id",
            *("prompt.list.element.role", "prompt.list.element.content"),
            *("completion.list.element.role", "completion.list.element.content"),
        ]
        columns = [group.column(n) for group in groups for n in range(about.num_columns)]
        assert {column.compression for column in columns} == {"ZSTD"}
        assert all(column.has_offset_index and column.has_column_index for column in columns)
