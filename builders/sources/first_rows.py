"""What the first rows of a file show about its columns: which texts differ beside one prompt.

Names cannot decide everything. Where all rows ask the same, the one text that differs is what they
ask about, unless it may be the answer: another column has to hold that, and its text is not in this
one. A column with the name of one that asks is joined where it differs beside the same prompt, an
instruction also where it is the same beside different ones. Others that may be part of a prompt, as
long texts may, are not joined: the user is shown the option that does it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Hashable, Sequence, Set
from itertools import starmap
from typing import Any, NamedTuple

from builders.sources.column_kinds import ONE_WORD
from builders.sources.column_plan import (
    AS_IT_IS,
    CLEAR,
    is_about_row,
    is_answer,
    is_of_answer,
    is_of_sample,
    is_reply,
    plain,
)
from builders.sources.column_texts import context_text, is_empty, is_no_input, is_query
from builders.sources.conversations import Turns
from builders.sources.rows import Row

Texts = dict[str, str]  # by column
_INSTRUCTION = re.compile(r"(?:task[_ ]?)?instructions?|task(?:[_ ]?(?:description|definition))?")
_WORD = re.compile(r"[^\W\d_][^\d_/@:.]*")  # unlike most ids
_NEVER_TEXTS = {"NaN", "nan", "<NA>", "\\N", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#NUM!"}
_FEWEST_ROWS = 3  # that show a rule rather than an accident
_LONG = 8  # words of a text that is no class or title
_FEWEST_WORDS = 3  # of a task that is no kind of tasks


class FirstRows(NamedTuple):
    """What differs in the first rows of a file.

    Attributes:
        joined: The columns to join, in their order and with the one that asks; empty for none.
        doubtful: Other columns that may be part of a prompt.
    """

    joined: Sequence[str] = ()
    doubtful: Sequence[str] = ()


def texts_beside(row: Row, prompt: Turns, known: Container[str], doubtful: Container[str]) -> Texts:
    """The texts of a row that its prompt has not, though they may be part of one."""
    replies = [] if has_answer(row) else [name for name in row if is_reply(name)]
    texts = {
        name: (name in doubtful and _text_beside(name, value)) or _word_beside(name, value)
        for name, value in row.items()
        if name not in known and name not in replies
    }
    return {
        name: text
        for name, text in texts.items()
        if text and not any(is_copy(text, turn["content"]) for turn in prompt)
    }


def has_answer(row: Row) -> bool:
    """Whether a row has an answer, so that its other columns hold none."""
    return any(is_answer(name) and not is_empty(value) for name, value in row.items())


def _text_beside(name: Any, value: Any) -> str | None:
    """The text of a column that may be part of a prompt; None of an answer, an id, a setting."""
    return None if is_about_row(name) else _text(name, value)


def _word_beside(name: Any, value: Any) -> str | None:
    """The words, one of them or more, of a column that should be the same beside one prompt."""
    if is_of_sample(name) or not isinstance(value, str):
        return None
    text = _text(name, value)
    return text if is_phrase(text) or (text and _WORD.fullmatch(text.strip())) else None


def _text(name: Any, value: Any) -> str | None:
    if is_empty(value) or is_of_answer(name):
        return None
    if plain(name) == "task" and len(str(value).split()) < _FEWEST_WORDS:
        return None
    if isinstance(value, str) and is_query(value):
        return None
    if isinstance(value, list):
        is_plain = all(isinstance(one, str | int | float) for one in value)
        return context_text(value, as_json=True) if is_plain else None
    return context_text(value, numbers=True) if isinstance(value, str | int | float) else None


def is_phrase(text: str | None) -> bool:
    """Whether a text is more than a word or numbers, unlike most classes and ids."""
    if text is None or ONE_WORD.fullmatch(text.strip()):
        return False
    return any(map(str.isalpha, text))


def words_of_nothing(rows: Sequence[Row], name: str, missing: Set[str]) -> Set[str]:
    """The words in a column of the first rows that mean that it holds nothing.

    What is `missing` in a table means so, and "No input" in the `input` of several rows. But where
    most other texts are a word each, NA or N/A may be one of them.
    """
    texts = [value for row in rows if isinstance(value := row.get(name), str) and value.strip()]
    none = [text for text in texts if plain(name) in AS_IT_IS and is_no_input(text)]
    words = missing | ({*none} if missing or len(none) > 1 else set())
    others = {text.strip() for text in texts if text not in words}
    return words & _NEVER_TEXTS if 2 * sum(map(str.isalpha, others)) > len(others) else words


def first_rows(rows: Sequence[Row], asks: str, ids: Sequence[str], used: set[str]) -> FirstRows:
    """Compare rows in which the same column asks.

    Args:
        rows: The first ones of a file.
        asks: The column that asks.
        ids: By row, that of what it asks as far as names decide.
        used: The columns whose part in a prompt is known.
    """
    asked = [str(row.get(asks)) for row in rows]
    texts, answered = {}, any(map(has_answer, rows))
    for name in dict.fromkeys(name for row in rows for name in row):
        if is_reply(name) and not answered:
            continue
        found = [_text_beside(name, row.get(name)) for row in rows]
        if name not in used and any(found) and not _are_copies(found, asked):
            texts[name] = found
    is_one = len({*ids}) == 1
    differ = [name for name, found in texts.items() if _differ(found, ids)]
    phrases = [name for name in differ if any(map(is_phrase, texts[name]))]
    asking = [name for name in texts if plain(name) in CLEAR or is_instruction(name)]
    joined = [name for name in asking if name in differ][:1]
    joined += [
        name
        for name in asking
        if is_instruction(name) and name not in joined and _differ(ids, texts[name])
    ][:1]
    enough = is_one and len(rows) >= _FEWEST_ROWS
    if enough and not joined and len(phrases) == 1 and _have_answers(rows, texts[phrases[0]]):
        joined = phrases
    parts = [name for name in phrases if answered or _differ(ids, texts[name])]
    long = [name for name, found in texts.items() if 2 * sum(map(_is_long, found)) > len(found)]
    doubtful = [
        name
        for name in texts
        if name not in joined and name in {*asking, *long, *(differ if is_one else parts)}
    ]
    if not joined:
        return FirstRows((), doubtful)
    joined.sort(key=lambda name: not is_instruction(name))
    before = sum(map(is_instruction, joined))
    return FirstRows((*joined[:before], asks, *joined[before:]), doubtful)


def _is_long(text: str | None) -> bool:
    return text is not None and len(text.split()) >= _LONG


def is_instruction(name: Any) -> bool:
    """Whether a column of such a name comes before the text on which it is an instruction."""
    return _INSTRUCTION.fullmatch(plain(name)) is not None


def _differ(values: Sequence[Hashable], beside: Sequence[Hashable]) -> bool:
    """Whether some of the values differ beside the same other one."""
    found: dict[Hashable, set[Hashable]] = defaultdict(set)
    for value, other in zip(values, beside, strict=True):
        found[other].add(value)
    return any(len(one) > 1 for one in found.values())


def _are_copies(texts: Sequence[str | None], asked: Sequence[str]) -> bool:
    """Whether most texts are copies."""
    pairs = [(a, b) for a, b in zip(texts, asked, strict=True) if a]
    return 2 * sum(starmap(is_copy, pairs)) > len(pairs)


def is_copy(text: str, asked: str) -> bool:
    """Whether a text is in what is asked, or the other way round."""
    text, asked = text.strip(), asked.strip()
    return text in asked or asked in text


def _have_answers(rows: Sequence[Row], texts: Sequence[str | None]) -> bool:
    """Whether a column of most rows holds an answer, and a text beside it does not have it."""
    return any(
        2 * sum(_is_apart(row.get(name), text) for row, text in zip(rows, texts, strict=True))
        > len(rows)
        for name in rows[0]
        if is_answer(name)
    )


def _is_apart(answer: Any, text: str | None) -> bool:
    return not is_empty(answer) and f" {answer} ".lower() not in f" {text} ".lower()
