r"""Marks of thinking that a text shows: wrapped, an item, after a label or an arrow.

Nothing ends there; what follows such a mark is a leftover of the text about it, not an answer.
"""

from __future__ import annotations

import re
from unicodedata import category

from builders.engine.outer_space import after_lines
from builders.engine.spoken_marks import is_about_marks

# Signs that are an answer, among those that are left of more.
_ANSWERS = frozenset(("()", "-", "*", "/", "%", "&", "@", "<", "<=", "<<", "<>", "<-"))
_ITEM = re.compile(
    r"[ \t>]*(?:(?P<sign>[-*+•–])|(?:[A-Z][a-z]{2,8} )?(?P<number>\d{1,3})[.):])[ \t]"
)
# Emphasis and plain quotes open what follows, unless they close words.
_SOFT = re.compile(r"(?<![\w.!?…)\]*_~=\"'])(?:[*_~=]{1,3}|[\"'])\Z")
_ELEMENT = re.compile(r"<(?P<name>[a-zA-Z]\w{0,20})(?: [^<>\n]{0,80})?>\Z")
_CLOSING = {
    "(": ")",
    "[": "]",
    "{": "}",
    "“": "”",
    "„": "“”",
    "«": "»",
    "‹": "›",
    "「": "」",
    "『": "』",
    "《": "》",
    "【": "】",
    "‘": "’",
    "‚": "‘’",
    "-": "<",
}
_EMPHASIZED_BEGIN = re.compile(r"[*_~=][<\[◁][\w:]{0,20}(?:think|thought|reason)", re.IGNORECASE)
_LEADS_TO = re.compile(  # an item, a heading, a label or an arrow, with nothing behind it
    r"(?:^[ \t>]*(?:[-*+•–]|\d{1,3}[.)]|#{1,6})[ \t]+|:[ \t]+|：[ \t]*|(?:[→⟶⇒➜]|[-=–]>)[ \t]*)"
    r"[*_~\"'(]{0,3}\Z"
)
_GOES_ON = re.compile(  # as no answer begins
    r"[ \t]*(?:[→⟶⇒➜]|[-=–]>)|[,;)\]}]|\t\d|[:!?](?=\s|\Z)|\.[ \t]+\S"
    r"|[ \t]*[.!?…]*</(?P<element>\w+)"
)


def is_wrapped(text: str, start: int, end: int) -> bool:
    """Whether a mark is in brackets, quotes or an element of its own, or a word with emphasis.

    A line of a block quote with nothing else is around it, too.
    """
    if text.endswith(("> ", "\n>"), 0, start):
        line = text[max(0, start - 40) : start].rpartition("\n")[2]
        if line.strip() == ">" and not text[end : end + 40].partition("\n")[0].strip():
            return True
    opens = _opens(text, start, end)
    if opens is None or text[opens] not in "*_~=\"'":
        return opens is not None
    line = text[max(0, opens - 80) : opens].rpartition("\n")[2]
    has_words = any(sign.isalpha() for sign in line)
    return has_words and not _EMPHASIZED_BEGIN.search(text, max(0, end - 2000), end)


def is_shown(text: str, start: int, end: int) -> bool:
    """Whether the place of a mark that may end thinking shows that it is what the text is about."""
    rest = text[end:].strip()
    if leftover(rest) or _is_listed(text, start, end):
        return True
    line = text[max(0, start - 80) : start].rpartition("\n")[2]
    if _opens(text, start, end) is not None or _LEADS_TO.search(line):
        return True
    if (
        line.strip()
        and rest
        and rest[0] not in "{[`"
        and text.strip()[0] + rest[-1] in ("{}", "[]")
    ):
        return True  # in a string of JSON
    after = _GOES_ON.match(text, end)
    if after and (not after["element"] or f"<{after['element']}" in text[:start]):
        return True
    if not line.strip():  # "</think> ends it"
        return text[end : end + 1] == " " and text[end + 1 : end + 2].islower()
    return line[-1:].isspace() and is_about_marks(line)


def leftover(answer: str) -> str | None:
    """What follows thinking where it is punctuation only: what is left of more; None otherwise."""
    left = answer.strip()
    if left[:1] in ("", "{", "[") or left in _ANSWERS:  # brackets begin JSON without a value
        return None
    return left if all(category(sign)[0] in "PZC" or sign in "`<" for sign in left) else None


def _is_listed(text: str, start: int, end: int) -> bool:
    """Whether a mark is the last word of an item, and what follows is the next of the same list."""
    item = _ITEM.match(text[max(0, start - 200) : start].rpartition("\n")[2])
    if not item or not (follows := _ITEM.match(text, after_lines(text, end))):
        return False
    if item["number"] and follows["number"]:
        return int(follows["number"]) == int(item["number"]) + 1
    is_next = item["sign"] == follows["sign"] and text[end + 1 : end + 2] != "\n"
    return is_next and text[start - 1].isspace()


def _opens(text: str, start: int, end: int) -> int | None:
    """Where what opens before a mark and closes behind it begins; None without."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before in _CLOSING:
        return start - 1 if after and after in _CLOSING[before] else None
    if before == ">" and after == "<":
        opens = _ELEMENT.search(text, max(0, start - 110), start)
        return opens.start() if opens and text.startswith(f"</{opens['name']}", end) else None
    opens = _SOFT.search(text, max(0, start - 6), start) if before == after else None
    if not opens or not text.startswith(opens[0], end):
        return None
    at = end + len(opens[0])
    return None if text[at : at + 1].isalnum() else opens.start()
