r"""Marks that a text is about: in a sentence, a list of marks, an item, or the cell of a table.

A mark is a word of a sentence where the line goes on before or after it, in any script, as around
any other word: "the id of <|endoftext|> is 50256", "</s> ends it". After the end of a sentence, or
glued to its last word, it is not: there it ends what a model wrote.
"""

from __future__ import annotations

import functools
import re

from builders.engine.foreign_turns import ROLE

ENDS = ".!?…。！？"  # of a sentence
NAMES = (
    r"(?:tags?|marks?|markers?|tokens?|elements?|delimiters?|bytes?|strings?|symbols?|words?"
    r"|sequences?|zeichen|balises?|jetons?|etiquetas?|fichas?|tokeny?|symbole?)"
)
_ABOUT = re.compile(  # words of a text that is about marks
    rf"\b(?!word|string|byte|element){NAMES}\b|\b(?:tokeni[sz]|delimit|vocab|vokab)|токен|тег|标记|標記|标签|標籤|符号|结束符|词元"
    "|トークン|タグ|記号|토큰|태그|기호",
    re.IGNORECASE,
)
_ANY = (
    r"(?:<[|｜/]{0,2}[^<>\s|｜]{1,60}[|｜]?>|\[/?[A-Z_]{2,40}\]|\[/?think(?:ing)?\]|◁/?\w{1,20}▷)"
)
_QUOTES = r"[*_\"'()]{0,3}"
_LISTS = (  # what is between the marks of a list
    r"(?:[ \t]?(?:[,;/&+|、，]|\.{3}|…)[ \t]?|,[ \t](?:and|or)[ \t]"
    r"|[ \t](?:and|or|to|und|oder|bis|et|ou|à|y|o|e|и|или|до)[ \t]"
    r"|[ \t]?(?:和|或|与|と|や|및|과|와)[ \t]?)"
)
_JOIN = re.compile(rf"{_QUOTES}{_LISTS}{_QUOTES}")
_NEXT_MARKS = re.compile(rf"(?:{_QUOTES}(?:{_LISTS}|[ \t])?{_QUOTES}{_ANY}){{1,20}}")
_IS_MARK = re.compile(rf"{_ANY}\Z")
_LINE_BEGINS = re.compile(r"[ \t>]*(?:(?:[-*+•]|\d{1,3}[.)]|#{1,6})[ \t]+)?[*_\"'(]{0,3}")
_NOT_A_ROLE = rf"(?!{ROLE}[ \t]*(?:\n|\Z))"
# How a line goes on after a mark that begins it, and after one with words before it.
_GOES_ON = rf"{ROLE} (?P<role>[^\W\d_])|(?P<glued>[^\W\d_])|[ \t]+{_NOT_A_ROLE}"
_SUBJECT_GOES_ON = re.compile(
    rf"[ \t]?(?:::=|[-=]>|[-–—=→:]|[,;)])(?=\s)|{_GOES_ON}(?P<word>[^\W\d_])"
)
_WORD_GOES_ON = re.compile(
    r"[.,;:!?)](?:\s|\Z|[\"'”’»)*_])|[、。，；：）！？]|['’]s\b|[ \t]+[-–—=→+&/(]+[ \t]?\S"
    r"|[ \xa0][?!;:»](?=\s|\Z)"
    rf"|{_GOES_ON}[\"'(`*]?(?P<word>\w)"
)
_QUALIFIED = re.compile(  # words before a mark that it belongs to
    r"\b(?:the|an?|trailing|leading|final|closing|opening|last|first|special) \Z", re.IGNORECASE
)
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+")
_LABELLED_ITEM = re.compile(rf"{_ITEM.pattern}[^:]{{1,60}}: ")
_ITEM_GOES_ON = re.compile(r"[ \t]*(?::|[-–—=→(] ?)")
_CELL_GOES_ON = re.compile(r"[^<|\n]{0,100}\|(?!>)")
_WRAPS = {"*": "*", "_": "_", "~": "~", "(": ")"}


@functools.lru_cache(2)  # asked for at each mark of a text
def is_about_marks(text: str) -> bool:
    """Whether a text has a word for marks in it, such as "token", in one of several languages."""
    return bool(_ABOUT.search(text))


def spoken_to(text: str, start: int, end: int) -> int:
    """Where the marks end that a sentence, an item or a table is about, from one on; 0: it is none.

    A list of marks, or several in a row, are one word of the sentence.
    """
    if is_entry(text, start, end):
        return end
    start, end = _unwrapped(text, start, end)
    run = _NEXT_MARKS.match(text, end)
    listed = bool(run and _JOIN.match(run[0]))
    end = run.end() if run else end
    before = text[max(0, start - 80) : start].rpartition("\n")[2]
    after = text[end : end + 80].partition("\n")[0]
    bare = before.rstrip()
    if _follows_mark(before) and (not after.strip() or _WORD_GOES_ON.match(after)):
        return end
    if _LINE_BEGINS.fullmatch(before) or bare[-1] in ENDS:
        ends_sentence = bool(bare) and before == bare and bare[-1] in ENDS
        if ends_sentence and bare[-1] in "。！？" and after[:1] == " ":
            ends_sentence = not is_about_marks(text)
        found = None if ends_sentence else _SUBJECT_GOES_ON.match(after)
        return end if found and _continues(found) else 0
    if before == bare and not (_is_uncased(bare[-1]) or bare[-1] in "(（、，：「『“„\"'-"):
        return 0
    if not after.strip() and (listed or _LABELLED_ITEM.fullmatch(before)):
        return end
    found = _WORD_GOES_ON.match(after)
    continues = found and (_continues(found) or (found["word"] and is_about_marks(text)))
    return end if continues else 0


def ends_spoken_of(text: str, start: int) -> bool:
    """Whether a mark that ends a text is a word of its last sentence, or the last of a list."""
    before = text[max(0, start - 80) : start].rpartition("\n")[2]
    if _follows_mark(before) or _QUALIFIED.search(before):
        return True
    return before[-1:] in (" ", "(") and before.rstrip()[-1:] not in ENDS and is_about_marks(text)


def _follows_mark(before: str) -> bool:
    """Whether a line up to a mark ends with another one of the same list."""
    at = max(before.rfind(">"), before.rfind("]"), before.rfind("▷")) + 1
    joined = at and _JOIN.fullmatch(before, at)
    return bool(joined and _IS_MARK.search(before[max(0, at - 66) : at]))


def is_entry(text: str, start: int, end: int) -> bool:
    """Whether a mark is what an item of a list explains, or is in a cell of a table."""
    start, end = _unwrapped(text, start, end)
    before = text[max(0, start - 200) : start]
    line = before.rpartition("\n")[2]
    if line is before and start > 200:
        return False
    if line.lstrip().startswith("|"):
        return bool(_CELL_GOES_ON.match(text, end))
    return bool(_ITEM.fullmatch(line) and _ITEM_GOES_ON.match(text, end))


def in_prose(text: str, start: int, end: int) -> bool:
    """Whether a mark is a word of a sentence, as in "the <pad> token"."""
    start, end = _unwrapped(text, start, end)
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    follows = after[:1] in tuple(".,;:!?)") or (after[:1] == " " and after[1:].islower())
    if before == " (":
        return follows
    return before[1:] in (" ", "(") and (before[:1].isalnum() or before[:1] in ",;") and follows


def _continues(found: re.Match[str]) -> bool:
    """Whether what follows a mark goes on with a sentence, by its first letter."""
    if found["glued"]:
        return _is_uncased(found["glued"])
    first = found["word"] or found["role"] or "a"
    return not first.isupper()


def _is_uncased(sign: str) -> bool:
    """Whether a sign is a letter of a script without capitals, where words are not parted."""
    return sign > "\u0e00" and sign.isalpha() and not sign.islower() and not sign.isupper()


def _unwrapped(text: str, start: int, end: int) -> tuple[int, int]:
    """The place of a mark with the signs of emphasis, and the brackets, around it."""
    for _ in range(4):
        if not start or _WRAPS.get(text[start - 1]) != text[end : end + 1]:
            break
        start, end = start - 1, end + 1
    return start, end
