r"""What of a text is code or quoted: there a mark is what the text is about, and stays."""

from __future__ import annotations

import functools
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence

Spans = Sequence[tuple[int, int]]  # places from the first up to the second, in order

_CODE = re.compile(  # what begins or ends code
    r"(?P<ticks>`+|~{3,})|<(?P<html>/?(?:code|pre|kbd|samp|tt|textarea))\b[^>\n]{0,80}>"
)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}|\t)[^\n]*(?:\n|\Z)|\n)++")
_QUOTABLE = (
    r"(?:(?:[<\[◁][^\s\"'<>\[\]]{1,40}[>\]▷]|\[(?:BEGIN|END) FINAL RESPONSE\])"
    r"(?: ?(?:\.{3}|…)? ?)){1,3}"
)
_OPENS = r"(?:(?<![\w.!?…].)|(?<=\b[rfbRFB].))"  # behind a plain quote: it ends no words
_QUOTED = re.compile(
    rf"\"{_OPENS}{_QUOTABLE}[.,]?\"|'{_OPENS}{_QUOTABLE}[.,]?'"
    rf"|[“„]{_QUOTABLE}[.,]?[”“]|[‘‚]{_QUOTABLE}[.,]?[’‘]"
    rf"|«\s?{_QUOTABLE}\s?»|[「『]{_QUOTABLE}[」』]"
)
_BEFORE_STRING = r"(?:[=(\[,{+:]\s?|\b(?:return|yield|echo) )[rfbuRFBU]{0,2}"
_AFTER_STRING = r"(?=\s*(?:[,)\]};+:]|\n|\Z))"
_LITERAL = re.compile(  # a string in code that begins with a mark, and that has no thinking in it
    rf"{_BEFORE_STRING}(?![\"'][^\"'\n]{{0,200}}(?i:think(?:ing)?)[>\]▷]\s?\w)"
    rf"(?:\"[<\[◁][^\"\n]{{1,200}}\"|'[<\[◁][^'\n]{{1,200}}'){_AFTER_STRING}"
)
_THINKS = r"[^\s<>\"']{0,30}(?i:think|thought|reason|channel|inner_|begin final)"
_IN_STRING = rf"[^\\\n/<\[◁QUOTE]++|(?![/<\[◁]{_THINKS})[/<\[◁]|\\.|<think(?:ing)?>(?=QUOTE)"
_STRING = re.compile(  # the same with a mark in it; of thinking one may end it that begins it
    rf"{_BEFORE_STRING}(?:"
    + "|".join(f"{quote}(?:{_IN_STRING.replace('QUOTE', quote)})*+{quote}" for quote in "\"'")
    + f"){_AFTER_STRING}"
)
_BETWEEN = (  # comments, strings of several lines, code in LaTeX
    *(("<!--", "-->"), ('"""', '"""'), ("\x27\x27\x27", "\x27\x27\x27")),
    *((f"\\begin{{{name}}}", f"\\end{{{name}}}") for name in ("verbatim", "lstlisting", "minted")),
)
_ENDS_THINKING = re.compile(r"[/_▁](?:think|thought|reason)|(?:think|thought|reason)\w*[_▁]end")
_MARK = r"(?:</?[^\s<>/]{1,40}>|\[[A-Z_]{2,20}\])"
_ROW = rf"^(?:\d{{1,7}}[,;\t][ ]?{_MARK}|(?:\d{{1,7}}[,;\t][ ]?)?{_MARK}[,;\t][^\n<]{{1,200}})$"
_KEY = r"[\w.-]{0,30}(?:token|stop|[be]os|pad|unk|TOKEN|STOP|[BE]OS|PAD|UNK)[\w.-]{0,30}"
_PATTERNS = tuple(  # each with its signs: a text without one of them does not have it
    (signs, re.compile(pattern, re.MULTILINE))
    for signs, pattern in (
        (("(?",), r"\(\?P?<\w{1,40}>"),  # a group of a regular expression
        ((">..",), r"<\w{1,20}>\.{2,3}<\w{1,20}>"),  # placeholders
        (("sage:",), r"\b(?:usage|Usage): ?[\w. -]{1,60}(?:[ \t]<\w{1,20}>){2,}"),
        (
            ("\\",),
            r"\\(?:texttt|text|mathtt|verb|lstinline|code)\{(?![^{}\n]{1,200}[<\[◁]"
            r"/?(?i:think|thought|reason))[^{}\n]{1,200}\}",
        ),
        (("\\verb",), r"\\verb\*?(?P<by>[|!+@])(?:(?!(?P=by)(?![\w>]))[^\n]){1,80}(?P=by)"),
        (  # a table of tokens
            (*(f"{sign}{cell}" for sign in ">]" for cell in ",;\t"), "\t<", ",<", ";<", ", <"),
            rf"(?:{_ROW}\n)+{_ROW}",
        ),
        (
            tuple(f"{sign}{mark}" for sign in ("=", "= ", ":", ": ", "stop ") for mark in "<["),
            rf"^[ \t]*(?:(?:export )?{_KEY}[ \t]*[:=][ \t]?|PARAMETER stop ){_MARK}"
            r"(?=\n\s*[^\s<\[])",
        ),
    )
)


@functools.lru_cache(2)  # asked for again while one text is read
def cited(text: str) -> Spans:
    """Where a text is code or a mark in quotation marks."""
    spans = _code(text)
    if "\n\n    " in text or "\n\n\t" in text:
        indented = (found.span() for found in _INDENTED.finditer(text))
        spans += [span for span in indented if span[1] < len(text)]  # else an end mark may be in it
    for begin, end in _BETWEEN:
        spans += _between(text, begin, end)
    patterns = (one for signs, one in _PATTERNS if any(sign in text for sign in signs))
    for pattern in (_QUOTED, _LITERAL, _STRING, *patterns):
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


def _between(text: str, begin: str, end: str) -> list[tuple[int, int]]:
    """Where the text is between two signs, with no end of thinking in it."""
    spans, at = [], text.find(begin)
    while at >= 0 and (to := text.find(end, at + len(begin))) >= 0:
        to += len(end)
        if begin == "<!--" or not _ENDS_THINKING.search(text, at, to):
            spans.append((at, to))
        at = text.find(begin, to)
    return spans


def _code(text: str) -> list[tuple[int, int]]:
    """Where the text is code: between fences, backticks or HTML marks that are closed."""
    spans: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    seen = 0
    for found in _CODE.finditer(text) if "`" in text or "~~~" in text or "</" in text else ():
        sign, start = found["ticks"] or found["html"], found.start()
        if sign[0] == "~" and text[max(0, start - 40) : start].rpartition("\n")[2].strip(" \t"):
            continue  # in a line
        if opened and opened[0] in ("`", "``") and text.find("\n", seen, start) >= 0:
            opened = None  # backticks that nothing closes on their line
        seen = found.end()
        if opened is None:
            opened = None if sign[0] == "/" else (sign, start)
            continue
        begin, started = opened
        fenced = begin[:3] in ("```", "~~~")
        if sign.removeprefix("/") == begin if not fenced else sign.startswith(begin):
            spans.append((started, found.end()))
            opened = None
    return spans


def inside(place: int, spans: Spans) -> bool:
    """Whether a place is in one of the spans."""
    at = bisect_right(spans, (place, sys.maxsize)) - 1
    return at >= 0 and place < spans[at][1]
