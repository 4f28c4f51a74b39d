"""Writes files of labelled pairs for tests, and reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.judging.label_values import label_values
from builders.judging.labelled_pairs import read_pairs
from builders.judging.labelled_sets import column_names
from builders.judging.pair_texts import Pair
from builders.sources.source import Source

Json = dict[str, Any]
OAK = {"prompt": "Name a tree.", "text_a": "Oak.", "text_b": "Tin."}


def read(
    folder: Path,
    rows: Sequence[object],
    columns: str = "",
    labels: str = "",
    most: int | None = None,
) -> tuple[list[Pair], list[list[int]], list[str]]:
    """Pairs, people's labels and what was printed, of rows that are written to a file first."""
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines: list[str] = []
    pairs, labelled = read_pairs(
        Source(place=str(path)),
        column_names(columns) if columns else None,
        label_values(labels) if labels else None,
        most=most,
        report=lines.append,
    )
    assert len(pairs) == len(labelled) and labelled.people is not None
    return pairs, labelled.people.tolist(), lines
