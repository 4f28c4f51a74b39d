"""What people changed on a released card, and whether another card holds it.

Words may be anywhere on the other card, in lines of any length. The order of the front matter's
keys, spaces and the marks around words do not count.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from builders.card_metadata import card_data
from builders.errors import InputError

_FRONT = re.compile(r"\A\s*---\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_MARK = re.compile(r"<!-- /?(?:words: .*|versions) -->")
_NO_LICENCE = "license: unknown"  # states nothing; the Hub writes it for a new repository
_EXACT = 5_000  # lines; of a longer card those that are many times on it are compared roughly


def undone(released: str, changed: str, new: str) -> list[str]:
    """The changes of people to a card that another card would undo, as lines of a unified diff.

    Args:
        released: The card as it was released; empty if people wrote all of it.
        changed: The same card with the changes of people.
        new: The card that would replace it.

    Raises:
        InputError: A front matter is not YAML.
    """
    cards = [card.removeprefix("\ufeff").replace("\r\n", "\n") for card in (released, changed, new)]
    return [*_of_front(*map(_front_lines, cards)), *_of_body(*map(_body_lines, cards))]


def _of_front(before: list[str], theirs: list[str], ours: list[str]) -> Iterator[str]:
    gone = Counter(map(_label, before)) - Counter(map(_label, theirs))
    restored = Counter(map(_label, ours))
    for line in before:
        if line not in theirs and gone[_label(line)] and restored[_label(line)]:
            yield f"-{line}"
    for line in theirs:
        if line not in before and line not in ours and line != _NO_LICENCE:
            yield f"+{line}"


def _of_body(before: list[str], theirs: list[str], ours: list[str]) -> Iterator[str]:
    counts = [Counter(map(_label, lines)) for lines in (before, theirs, ours)]
    kept, left = _joined(ours), _joined(theirs)
    matcher = SequenceMatcher(None, before, theirs, autojunk=len(theirs) > _EXACT)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind == "equal":
            continue
        for line in before[first:last]:
            was, is_now, will_be = (count[_label(line)] for count in counts)
            if _says_something(line) and is_now < was <= will_be and _joined([line]) not in left:
                yield f"-{line}"
        for paragraph in _paragraphs(theirs[start:end]):
            if _joined(paragraph) not in kept:
                yield from (f"+{line}" for line in paragraph)


def _front_lines(card: str) -> list[str]:
    """The front matter with a line for each item of a list and each line of a text."""
    try:
        front = card_data(card) or {}
    except ValueError as error:
        raise InputError(f"{error}; fix the card") from None
    return [
        f"{name}: {line}"
        for name, value in front.items()
        for item in (value if isinstance(value, list) else [value])
        for line in _text(item).strip().split("\n")
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _body_lines(card: str) -> list[str]:
    lines = _FRONT.sub("", card).split("\n")
    return ["" if _MARK.fullmatch(line.strip()) else " ".join(line.split()) for line in lines]


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Runs of lines that end at an empty line or before a heading."""
    run: list[str] = []
    for line in [*lines, ""]:
        if run and (not line or line.startswith("#")):
            yield run
            run = []
        if line:
            run.append(line)


def _joined(lines: Sequence[str]) -> str:
    return f" {' '.join(filter(None, lines))} "


def _says_something(line: str) -> bool:
    return any(map(str.isalnum, line))


def _label(line: str) -> str:
    """What a computed line keeps while its numbers change: the first cell of a table's row."""
    if line.startswith("|"):
        return "|".join(line.split("|")[:2])
    return re.sub(r"\d[\d,.]*", "0", line)
