r"""Template marks in a teacher's text: where an answer ends, and what is no answer any more.

What is in code (fences, backticks, indented blocks, HTML code) or in quotation marks is what an
answer is about, and stays.

Source: the chat templates and special tokens of the models that vLLM and SGLang serve, and their
parsers of tool calls.
"""

from __future__ import annotations

import functools
import re
import sys
from bisect import bisect_right
from collections.abc import Sequence

Spans = Sequence[tuple[int, int]]  # places from the first up to the second, in order

_ROLE = r"(?:assistant|user|system|developer|model|human|tool|ai|bot)"
ROLES = _ROLE[3:-1].split("|")
_WORDS = r"(?:bos|eos|pad|unk|sep|eot|eod|eop|eom|eoa|eoh|eot_id|eom_id)"
_VOCABULARY = rf"</?(?:{_WORDS}|{_WORDS.upper()})>|\[(?:PAD|UNK|SEP|EOS|BOS)\]"
_MARK_TEXT = (
    r"<\|/?[\w▁:./-]{1,60}\|>|<｜[\w▁ :./-]{1,60}｜>|<\|[\w:-]{2,40}>|<[\w:-]{2,40}\|>"
    r"|<(?:start|end|begin)_of_[a-z]{2,20}>|<[a-z]{2,20}:[be]os>|</?im_(?:start|end|sep)>"
    r"|<extra_id_\d{1,4}>|<0x[0-9A-Fa-f]{2}>|<(?:SPECIAL_|reserved_|dummy|unused)\d{1,6}>"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]"
    rf"|\[UNUSED_TOKEN_\d+\]|</[sS]>|<s>|<_end>|\[e~\[|{_VOCABULARY}"
    r"|<\|[\w:-]{0,40}\|?(?=\s*\Z)"  # half a mark, cut off
)
_MARK = re.compile(_MARK_TEXT)
_OF_VOCABULARY = re.compile(_VOCABULARY)
# A header whose marks were removed leaves its role, glued to what was written before or on a line.
_STRIPPED_ROLE = re.compile(
    rf"(?<=[.!?)\"'”’…。！？]){_ROLE}\n(?:\n|(?=[^\sa-z]))(?=\S)"
    r"|(?<=[.!?)\"'”’…。！？])[ \t]*\n\n?(?:user|assistant|system|model)\n+(?=\S)"
)
_NEXT_TURN = re.compile(
    r"(?<=[^:\s])\s*\n(?:Human:\s|User:\s|#{2,3} ?(?:Instruction|Human|User|Assistant|Response):)"
)
_SPEAKER = re.compile(r"\s*[*_]{0,2}\w+(?: \w+)?[*_]{0,2}:")  # a dialogue begins so
_WORD_PIECES = re.compile(r"(?<![^\w\s])▁[^\W\d_]")  # a tokenizer's sign for a space
_FILLING = rf"(?:\s|{_MARK_TEXT}|{_ROLE}(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
# Before an answer are the marks that begin it, and no other role's.
_BEGINS = (
    r"(?!<[|｜]?(?:im_end|e[o0][a-z]|E[O0][A-Z]|end(?!_header)|return)|</|<\|[\w:-]{0,40}\|?\s*\Z"
    rf"|\[(?:INST|SYSTEM|AVAIL|TOOL|PAD|UNK|SEP|EOS))(?:{_MARK_TEXT})"
)
_LEADING = re.compile(
    rf"\s*{_BEGINS}(?:\s|{_BEGINS}|(?:assistant|model|ai|bot)(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
    rf"(?!\s|{_ROLE}\s*(?:{_MARK_TEXT}|\n))|assistant\n(?:\n+(?=\S)|(?=[^\sa-z]))"
    r"|\s*### Response:\s*\n\s*(?=\S)"
)
_ABOUT_ITSELF = re.compile(rf"\s*(?:{_MARK_TEXT}) [a-z]")
_TRAILING = re.compile(rf"{_FILLING}\Z")
_STRUCK = re.compile(r"<s>[^<\n]{1,200}</s>")  # struck out, in HTML
# Words before a mark that is named, in "it ends with </s>": to cut there would change an answer.
_NAMED = re.compile(
    r"(?:\b(?:is|are|marks?|tokens?|tags?|with|by|as|and|or|uses?|called|sign)[ \t]+|:\s*)\Z"
)
_CALLED = re.compile(  # the call of a tool, written as text
    r"^[ \t]*<(?:(?:[\w-]{1,20}[:_])?tool_?calls?|function_?calls?|start_function_call|tool_use"
    r"|function=[\w.:-]{1,80})>|^[ \t]*<invoke name="
    r"|\[TOOL_CALLS\]|<\|python_tag\|>|<｜tool▁calls?▁begin｜>|<｜DSML｜\w{0,20}calls"
    r"|<\|tool_calls?(?:_section)?(?:_begin|_start)?(?:\|>|>)|<\|START_ACTION\|>"
    r"|<\|action_start\|>|<\|call\|>|<\|plugin\|>",
    re.MULTILINE | re.IGNORECASE,
)

_CODE = re.compile(  # what begins or ends code
    r"^[ \t]*(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<line>\n)"
    r"|<(?P<html>/?(?:code|pre))\b[^>\n]{0,80}>",
    re.MULTILINE,
)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}|\t)[^\n]*(?:\n|\Z)|\n)++")
_QUOTABLE = r"(?:[<\[◁][^\s\"'<>\[\]]{1,40}[>\]▷](?: ?(?:\.{3}|…)? ?)){1,3}"
_QUOTED = re.compile(
    rf"\"{_QUOTABLE}[.,]?\"|'{_QUOTABLE}[.,]?'|[“„]{_QUOTABLE}[.,]?[”“]|[‘‚]{_QUOTABLE}[.,]?[’‘]"
    rf"|«\s?{_QUOTABLE}\s?»|[「『]{_QUOTABLE}[」』]"
)


@functools.lru_cache(2)  # asked for again while one text is read
def cited(text: str) -> Spans:
    """Where a text is code or a mark in quotation marks."""
    spans = _code(text)
    if "\n\n    " in text or "\n\n\t" in text:
        indented = (found.span() for found in _INDENTED.finditer(text))
        spans += [span for span in indented if span[1] < len(text)]  # else an end mark may be in it
    return tuple(sorted([*spans, *(found.span() for found in _QUOTED.finditer(text))]))


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


def in_prose(text: str, start: int, end: int) -> bool:
    """Whether a mark is a word of a sentence, as in "the <pad> token"."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    follows = after[:1] in tuple(".,;:!?)") or (after[:1] == " " and after[1:].islower())
    return before[1:] in (" ", "(") and (before[:1].isalnum() or before[:1] in ",;") and follows


def tool_call(text: str) -> str | None:
    """The mark with which the call of a tool begins that is written as text; None without one."""
    spans: Spans | None = None
    for found in _CALLED.finditer(text):
        spans = cited(text) if spans is None else spans
        if not inside(found.end() - 1, spans):
            return found[0].strip()
    return None


def after_leading_marks(text: str, at: int = 0) -> int:
    """Where the answer begins after the marks and the role at a place."""
    if _ABOUT_ITSELF.match(text, at):
        return at
    found = _LEADING.match(text, at)
    return found.end() if found else at


def without_marks(text: str) -> tuple[str, str | None]:
    """The text up to its first mark, if nothing but marks follows; else as it is, and the mark."""
    struck = _STRUCK.match(text)
    if not (struck and struck.end() < len(text.rstrip())):
        text = text[after_leading_marks(text) :]
    taken = sorted([*cited(text), *(found.span() for found in _STRUCK.finditer(text))])
    for found in _MARK.finditer(text):
        if inside(found.start(), taken):
            continue
        if _OF_VOCABULARY.fullmatch(found[0]) and in_prose(text, *found.span()):
            continue
        before = text[max(0, found.start() - 80) : found.start()]
        if _TRAILING.match(text, found.start()) and not _NAMED.search(before):
            return text[: found.start()].rstrip(), None
        return text, found[0].strip()
    for pattern in (_STRIPPED_ROLE, _NEXT_TURN, _WORD_PIECES):
        for found in pattern.finditer(text):
            if not inside(found.end() - 1, taken) and not _is_dialogue(text, found[0].strip()):
                return text, found[0].strip()
    return text, None


def _is_dialogue(text: str, turn: str) -> bool:
    """Whether a turn by its speaker belongs to a dialogue that is the answer."""
    if not turn.endswith(":") or turn[0] == "#":
        return False
    alone = turn == "User:" and "\nAssistant:" not in text and "\nAI:" not in text
    return alone or bool(_SPEAKER.match(text))
