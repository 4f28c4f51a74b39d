"""Keeps evaluation items out of training rows: exact matches, and shared 13-grams of words.

There are three rules. `exact`: the whole text is equal, in lower case with white space collapsed;
only this rule finds an item shorter than 13 words. `run`: an n-gram of the words between white
space, in lower case, as in published counts. `folded run`: an n-gram of words without their
punctuation, which finds an item that was typed anew. A hit names the matched words, so that a
person can distinguish an item from a set phrase.

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
from builders.sources.records import file_records, readable

NGRAM_WORDS = 13
_COLUMNS = (
    *("prompt", "question", "problem", "instruction", "task", "query", "turns", "messages"),
    *("goal", "ctx", "premise", "sentence"),
)
_NGRAM_RULES = {"run": re.compile(r"\S+"), "folded run": re.compile(r"\w+")}


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An evaluation item that a text holds.

    Attributes:
        source: The evaluation file's name.
        item: The item's position in it, from 0.
        rule: `exact`, `run` or `folded run`.
        matched: The words that text and item share.
    """

    source: str
    item: int
    rule: str
    matched: str


class EvaluationItems:
    """The items of evaluation sets, to find those that a text holds."""

    def __init__(self, ngram_words: int = NGRAM_WORDS) -> None:
        """Start empty; an n-gram of `ngram_words` words is a match."""
        self._ngram_words = ngram_words
        self._exact: dict[str, tuple[str, int]] = {}
        self._ngrams: dict[str, dict[str, tuple[str, int]]] = {rule: {} for rule in _NGRAM_RULES}

    def __len__(self) -> int:
        """The number of different items."""
        return len(self._exact)

    def add(self, source: str, item: int, text: str) -> None:
        """Add one text of an item."""
        if plain := normalised(text):
            self._exact.setdefault(plain, (source, item))
            for rule, known in self._ngrams.items():
                for ngram in self._ngrams_of(text, rule):
                    known.setdefault(ngram, (source, item))

    def exact(self, text: str) -> Hit | None:
        """The item that is equal to a text, or None."""
        found = self._exact.get(normalised(text))
        return self._hit(found, "exact", normalised(text)[:200]) if found else None

    def shared_ngram(self, text: str, rule: str) -> Hit | None:
        """The first item with which a text shares an n-gram by a rule, or None."""
        known = self._ngrams[rule]
        for ngram in self._ngrams_of(text, rule):
            if found := known.get(ngram):
                return self._hit(found, rule, ngram)
        return None

    def find(self, text: str, *, is_prompt: bool = True) -> Hit | None:
        """An item that a text shares an n-gram with or, as a prompt, is equal to; None if clean."""
        if is_prompt and (hit := self.exact(text)):
            return hit
        hits = (self.shared_ngram(text, rule) for rule in _NGRAM_RULES)
        return next(filter(None, hits), None)

    def _ngrams_of(self, text: str, rule: str) -> Iterator[str]:
        words = _NGRAM_RULES[rule].findall(text.lower())
        for start in range(len(words) - self._ngram_words + 1):
            yield " ".join(words[start : start + self._ngram_words])

    def _hit(self, found: tuple[str, int], rule: str, matched: str) -> Hit:
        return Hit(source=found[0], item=found[1], rule=rule, matched=matched)


def evaluation_items(files: Sequence[Path], ngram_words: int = NGRAM_WORDS) -> EvaluationItems:
    """The items of evaluation files, each with a known text column.

    Raises:
        InputError: A file is missing or unreadable, or has no column of questions.
    """
    items = EvaluationItems(ngram_words)
    for path in files:
        texts = 0
        for place, (_, row) in enumerate(readable(file_records(path))):
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
    """Drops a row whose prompt is an item, or with a text that shares an n-gram with one."""
    for column, text in _texts(row):
        if hit := items.find(text, is_prompt=column.endswith(("prompt", "user"))):
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
