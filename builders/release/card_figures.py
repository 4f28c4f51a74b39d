"""The figures of a release, computed from its files in one pass and from nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from builders.drafting.answer_counts import AnswerCounts
from builders.drafting.draft import by_frequency
from builders.drafting.files import damage_named, parquet_batches
from builders.release.languages import LanguageCounts
from builders.schema import Row

_BATCH = 1000  # rows in memory at once
_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)
_TEXTS = ("prompt", "completion", "chosen", "rejected")


@dataclass(frozen=True, kw_only=True)
class CardFigures:
    """What the files of a release hold.

    Attributes:
        rows: Rows per config.
        dropped: Dropped rows per reason, the most frequent first.
        words: Least, median and most words of each text column of `default`.
        languages: The languages of the texts of `default`, in a sample of its rows.
        samplings: Role, model, revision and sampling (without the seed) of the calls, each once.
        spent: Calls, input and output tokens, and calls without a count of these, per role.
        answers: Who answered the calls, and how the answers ended.
        sizes: Per config what `dataset_info` declares of its split; `num_bytes` is in memory.
        columns: Per config the Arrow schema of its first file; another one is in `odd_files`.
        nulls: Per config the columns that hold a null.
        odd_files: The files whose schema is not that of the first file of their config.
        example: The first row of `default`, if there is one.
    """

    rows: Mapping[str, int]
    dropped: Mapping[str, int]
    words: Mapping[str, Mapping[str, float]]
    languages: LanguageCounts
    samplings: Sequence[Mapping[str, str]]
    spent: Mapping[str, Sequence[int]]
    answers: Sequence[Mapping[str, Any]]
    sizes: Mapping[str, Mapping[str, int]]
    columns: Mapping[str, Any]
    nulls: Mapping[str, frozenset[str]]
    odd_files: Sequence[str]
    example: Row | None

    @property
    def on_card(self) -> dict[str, Any]:
        """The figures that the card's template prints."""
        spans = {f"{column}_words": span for column, span in self.words.items()}
        return {"rows": self.rows, "dropped": self.dropped, "samplings": self.samplings, **spans}

    @property
    def size_category(self) -> str:
        """The Hub's word for the number of rows over all configs."""
        rows = sum(self.rows.values())
        return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def read_figures(files: Mapping[str, Sequence[Path]]) -> CardFigures:
    """Read each file once and compute the figures of a release.

    Args:
        files: The files of each config, in their order.
    """
    import pyarrow.parquet as pq

    rows: Counter[str] = Counter(dict.fromkeys(files, 0))
    reasons: Counter[str] = Counter()
    words: dict[str, list[int]] = defaultdict(list)
    kept = 0
    for path in files["default"]:
        with damage_named(path):
            kept += pq.read_metadata(path).num_rows
    languages = LanguageCounts(kept)
    samplings: set[tuple[str, str, str, str]] = set()
    spent: dict[str, Counter[str]] = defaultdict(Counter)
    answers = AnswerCounts()
    sizes: dict[str, dict[str, int]] = {}
    columns: dict[str, Any] = {}
    nulls: dict[str, set[str]] = {}
    odd_files: list[str] = []
    example: Row | None = None
    for config, paths in files.items():
        size = sizes[config] = {"num_examples": 0, "num_bytes": 0, "download_size": 0}
        null = nulls[config] = set()
        for path in paths:
            size["download_size"] += path.stat().st_size
            with damage_named(path):
                schema = pq.read_schema(path)
            if schema != columns.setdefault(config, schema):
                odd_files.append(path.name)
            for batch in parquet_batches(path, _BATCH):
                size["num_examples"] += batch.num_rows
                size["num_bytes"] += batch.nbytes
                rows[config] += batch.num_rows
                null |= {n for n in batch.schema.names if batch.column(n).null_count}
                if config not in ("default", "dropped", "calls"):
                    continue  # nothing is computed from the rows of an extra config
                for row in batch.to_pylist():
                    if config == "dropped":
                        reasons[row["reason"]] += 1
                    elif config == "calls":
                        samplings.add(_sampling(row))
                        spent[row["role"]].update(_tokens(row))
                        answers.add(row)
                    else:
                        example = example or row
                        languages.add(row)
                        for column in _TEXTS:
                            if column in row:
                                words[column].append(_words(row[column]))
    names = ("role", "model", "revision", "sampling")
    return CardFigures(
        rows=dict(rows),
        dropped=by_frequency(reasons),
        words={
            column: {"least": min(found), "median": median(found), "most": max(found)}
            for column, found in words.items()
        },
        languages=languages,
        samplings=[dict(zip(names, one, strict=True)) for one in sorted(samplings)],
        spent={
            role: [used["calls"], used["input"], used["output"], used["uncounted"]]
            for role, used in sorted(spent.items())
        },
        answers=answers.facts(),
        sizes=sizes,
        columns=columns,
        nulls={config: frozenset(names) for config, names in nulls.items()},
        odd_files=odd_files,
        example=example,
    )


def _sampling(call: Row) -> tuple[str, str, str, str]:
    """Role, model, revision and sampling of a call, without the seed, which differs in each."""
    given = {name: value for name, value in json.loads(call["sampling"]).items() if name != "seed"}
    return call["role"], call["model"], call["revision"] or "", json.dumps(given)


def _tokens(call: Row) -> dict[str, int]:
    tokens = {way: call[f"{way}_tokens"] for way in ("input", "output")}
    uncounted = int(None in tokens.values())
    return {"calls": 1, "uncounted": uncounted} | {way: n or 0 for way, n in tokens.items()}


def _words(turns: Sequence[Mapping[str, str]]) -> int:
    return sum(len(turn["content"].split()) for turn in turns)
