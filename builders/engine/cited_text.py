r"""What of a text is code or quoted: there a mark is what the text is about, and stays."""

from __future__ import annotations

import functools
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence

Spans = Sequence[tuple[int, int]]  # places from the first up to the second, in order

_CODE = re.compile(  # what begins or ends code
    r"^[ \t]*(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<line>\n)"
    r"|<(?P<html>/?(?:code|pre))\b[^>\n]{0,80}>",
    re.MULTILINE,
)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}|\t)[^\n]*(?:\n|\Z)|\n)++")
_QUOTABLE = (
    r"(?:(?:[<\[◁][^\s\"'<>\[\]]{1,40}[>\]▷]|\[(?:BEGIN|END) FINAL RESPONSE\])"
    r"(?: ?(?:\.{3}|…)? ?)){1,3}"
)
_OPENING = r"(?:(?<![\w.!?…])|(?<=\b[rfbRFB]))"  # no quote that ends words
_QUOTED = re.compile(
    rf"{_OPENING}(?:\"{_QUOTABLE}[.,]?\"|'{_QUOTABLE}[.,]?')|[“„]{_QUOTABLE}[.,]?[”“]|[‘‚]{_QUOTABLE}[.,]?[’‘]"
    rf"|«\s?{_QUOTABLE}\s?»|[「『]{_QUOTABLE}[」』]"
)
_LITERAL = re.compile(  # a string in code that begins with a mark, and that has no thinking in it
    r"[=(\[,{+:]\s?[rfbuRFBU]{0,2}(?![\"'][^\"'\n]{0,200}think(?:ing)?>\s?\w)"
    r"(?:\"[<\[◁][^\"\n]{1,200}\"|'[<\[◁][^'\n]{1,200}')(?=\s*(?:[,)\]};+:]|\n|\Z))"
)


@functools.lru_cache(2)  # asked for again while one text is read
def cited(text: str) -> Spans:
    """Where a text is code or a mark in quotation marks."""
    spans = _code(text)
    if "\n\n    " in text or "\n\n\t" in text:
        indented = (found.span() for found in _INDENTED.finditer(text))
        spans += [span for span in indented if span[1] < len(text)]  # else an end mark may be in it
    spans += _comments(text)
    for pattern in (_QUOTED, _LITERAL):
        spans += [found.span() for found in pattern.finditer(text)]
    return tuple(joined(spans))


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, as one where they overlap."""
    one_by_one: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if one_by_one and start < one_by_one[-1][1]:
            one_by_one[-1] = one_by_one[-1][0], max(end, one_by_one[-1][1])
        else:
            one_by_one.append((start, end))
    return one_by_one


def _comments(text: str) -> list[tuple[int, int]]:
    """Where the text is a comment of HTML."""
    spans, at = [], text.find("<!--")
    while at >= 0 and (end := text.find("-->", at)) >= 0:
        spans.append((at, end + 3))
        at = text.find("<!--", end)
    return spans


def _code(text: str) -> list[tuple[int, int]]:
    """Where the text is code: between fences, backticks or HTML marks that are closed."""
    spans: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    for found in _CODE.finditer(text) if "`" in text or "~~~" in text or "</" in text else ():
        sign = found["fence"] or found["ticks"] or found["line"] or found["html"].lower()
        if opened is None:
            if sign[0] != "\n" and sign[0] != "/":
                opened = sign, found.start()
            continue
        begin, start = opened
        fenced = begin[:3] in ("```", "~~~")
        if sign == "\n":
            opened = opened if fenced or begin[0] in "cp" else None  # of backticks: never closed
        elif sign.removeprefix("/") == begin if not fenced else sign.startswith(begin):
            spans.append((start, found.end()))
            opened = None
    return spans


def inside(place: int, spans: Spans) -> bool:
    """Whether a place is in one of the spans."""
    at = bisect_right(spans, (place, sys.maxsize)) - 1
    return at >= 0 and place < spans[at][1]
