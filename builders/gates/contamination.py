"""Keeps evaluation items out of training rows: exact matches, and shared runs of 13 words.

Exact: lower case, white space collapsed; the only rule that sees an item shorter than the run.
Run: of words between white space, lower case, as published counts have it. Folded run: of words
without their punctuation, which finds an item that somebody typed anew. The matched run stands in
the hit, for a person to tell an item from a set phrase.

Source: GPT-3's 13-gram rule (https://arxiv.org/abs/2005.14165), as open recipes apply it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.errors import InputError
from builders.recipe import Drop, normalised
from builders.schema import Row
from builders.sources.records import file_records

RUN = 13
_COLUMNS = (
    *("prompt", "question", "problem", "instruction", "task", "query", "turns", "messages"),
    *("goal", "ctx", "premise", "sentence"),
)
_WORDS = {"run": re.compile(r"\S+"), "folded run": re.compile(r"\w+")}


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One text that holds an evaluation item.

    Attributes:
        source: The evaluation file's name.
        item: The item's position in it, from 0.
        rule: `exact`, `run` or `folded run`.
        matched: The words that both have.
    """

    source: str
    item: int
    rule: str
    matched: str


class EvaluationItems:
    """The items of evaluation sets, and which of them a text holds."""

    def __init__(self, run: int = RUN) -> None:
        """Start empty; `run` is how many words in a row make a match."""
        self._run = run
        self._exact: dict[str, tuple[str, int]] = {}
        self._runs: dict[str, dict[str, tuple[str, int]]] = {rule: {} for rule in _WORDS}

    def __len__(self) -> int:
        """How many different items there are."""
        return len(self._exact)

    def add(self, source: str, item: int, text: str) -> None:
        """Take in one text of an item."""
        if plain := normalised(text):
            self._exact.setdefault(plain, (source, item))
            for rule, known in self._runs.items():
                for run in self._runs_of(text, rule):
                    known.setdefault(run, (source, item))

    def exact(self, text: str) -> Hit | None:
        """The item that a text is, or None."""
        found = self._exact.get(normalised(text))
        return self._hit(found, "exact", normalised(text)[:200]) if found else None

    def shared_run(self, text: str, rule: str) -> Hit | None:
        """The first item with which a text shares a `run` or a `folded run`, or None."""
        known = self._runs[rule]
        for run in self._runs_of(text, rule):
            if found := known.get(run):
                return self._hit(found, rule, run)
        return None

    def find(self, text: str, *, asked: bool = True) -> Hit | None:
        """An item that a text shares a run with or, where it asks something, is; None if clean."""
        found = self.exact(text) if asked else None
        return found or next(filter(None, (self.shared_run(text, rule) for rule in _WORDS)), None)

    def _runs_of(self, text: str, rule: str) -> Iterator[str]:
        words = _WORDS[rule].findall(text.lower())
        for start in range(len(words) - self._run + 1):
            yield " ".join(words[start : start + self._run])

    def _hit(self, found: tuple[str, int], rule: str, matched: str) -> Hit:
        return Hit(source=found[0], item=found[1], rule=rule, matched=matched)


def evaluation_items(files: Sequence[Path], run: int = RUN) -> EvaluationItems:
    """The items of evaluation files: .jsonl, .json or .parquet, each with a known text column.

    Raises:
        InputError: A file is missing, unreadable, or holds no column of questions.
    """
    items = EvaluationItems(run)
    for path in files:
        texts = 0
        for place, (_, row) in enumerate(file_records(path, wrapped=True)):
            for text in _questions(row):
                items.add(path.name, place, text)
                texts += 1
        if not texts:
            raise InputError(
                f"{path.name} holds no evaluation items; expected rows with one of the columns "
                f"{', '.join(_COLUMNS)}; rename its column"
            )
    return items


def contamination(items: EvaluationItems, row: Row) -> Drop | None:
    """Drops a row whose prompt is an item, or any of whose texts shares a run with one."""
    for column, text in _texts(row):
        asked = column.endswith(("prompt", "user"))
        if hit := items.find(text, asked=asked):
            return Drop(
                reason="evaluation item",
                evidence={
                    "column": column.partition(".")[0],
                    "source": hit.source,
                    "item": hit.item,
                    "rule": hit.rule,
                    "matched": hit.matched,
                },
            )
    return None


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    """Each text of a row with its column, and its role where it is a turn."""
    for column, value in row.items():
        if isinstance(value, str) and column != "id":
            yield column, value
        elif isinstance(value, list):
            for turn in value:
                if isinstance(turn, Mapping) and isinstance(turn.get("content"), str):
                    yield f"{column}.{turn.get('role')}", turn["content"]


def _questions(row: Mapping[str, Any]) -> Iterator[str]:
    for column in _COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, str):
                    yield part
                elif isinstance(part, Mapping) and part.get("role") == "user":
                    yield str(part.get("content") or "")
