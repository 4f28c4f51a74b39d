r"""Thinking and template marks in a teacher's text, separated from the answer in one place.

A model thinks before it answers, in `<think>` blocks, in channels, or in other marks of its chat
template; a server that does not know them leaves all of that in the text. What is in code (fences,
backticks, HTML code) or in the middle of a sentence is what an answer is about, and stays.

Source: the reasoning parsers of vLLM and SGLang, and the chat templates of the models they are for;
https://cookbook.openai.com/articles/openai-harmony for channels.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

_TAG = r"(?:[\w-]{1,20}[:_])?(?:think|thinking|thought|thoughts|reasoning)"
_BLOCKS = tuple(  # how thinking begins and ends; a named group in the first is part of the second
    (re.compile(begin, re.IGNORECASE), end)
    for begin, end in (
        (rf"<(?P<tag>{_TAG})>", r"</{tag}>"),
        (r"◁(?P<tag>think|thinking)▷", r"◁/{tag}▷"),
        (r"\[(?P<tag>THINK|THINKING)\]", r"\[/{tag}\]"),
        (r"<\|begin_of_(?P<tag>thought|thinking)\|>", r"<\|end_of_{tag}\|>"),
        (r"<\|START_(?P<tag>THINKING)\|>", r"<\|END_{tag}\|>"),
        (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
        (r"<\|channel>\s*(?:thought|thinking|analysis)\b", r"<channel\|>"),
    )
)
_OPEN = re.compile(rf"<{_TAG}>|◁think(?:ing)?▷|\[THINK(?:ING)?\]|<\|begin_of_", re.IGNORECASE)
_CLOSE = re.compile(
    rf"</(?P<tag>{_TAG})>|◁/think(?:ing)?▷|\[/THINK(?:ING)?\]|<\|end_of_(?:thought|thinking)\|>"
    r"|<\|END_THINKING\|>",
    re.IGNORECASE,
)
_OWN_LINE = re.compile(
    rf"^[ \t]*<(?P<close>/?)(?P<tag>{_TAG})>[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_GRANITE = re.compile(
    r"\s*here(?:'s| is) my thought process:(?P<inside>.*?)here(?:'s| is) my response:",
    re.IGNORECASE | re.DOTALL,
)
_WRAPPED = re.compile(  # the answer after thinking, where a template marks it too
    r"\s*(?:<(?P<tag>answer|response)>(?P<a>.*)</(?P=tag)>"
    r"|<\|begin_of_solution\|>(?P<b>.*?)(?:<\|end_of_solution\|>)?"
    r"|<\|START_RESPONSE\|>(?P<c>.*?)(?:<\|END_RESPONSE\|>)?)\s*",
    re.IGNORECASE | re.DOTALL,
)

_ROLE = r"(?:assistant|user|system|developer|model|human|tool|ai|bot)"
_CHANNEL = re.compile(
    rf"(?:<\|start\|>\s*{_ROLE}?[^<]{{0,60}})?(?:<\|channel\|>)?\s*"
    r"(?P<channel>analysis|commentary|final)\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?"
    r"<\|message\|>(?P<text>.*?)"
    r"(?P<close><\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.DOTALL,
)
_STRIPPED_CHANNELS = re.compile(  # the same once the marks were removed, but not the words
    r"\s*(?:assistant)?(?:(?:analysis|commentary)(?=[A-Z\"'*(\[\d]|[a-z]+ ))(?P<inside>.*?)"
    r"assistant(?:commentary.*?assistant)?final(?P<text>.*)",
    re.DOTALL,
)
_STRIPPED_UNCLOSED = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z])")

_MARK_TEXT = (
    r"<\|[\w▁:./-]{1,60}\|>|<｜[\w▁ :./-]{1,60}｜>|<\|[\w:-]{2,40}>|<[\w:-]{2,40}\|>"
    r"|<(?:start|end)_of_(?:turn|image|text|role)>|</?(?:bos|eos|pad|unk|eot|eod|eop)>"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]"
    r"|\[UNUSED_TOKEN_\d+\]|</s>|<s>"
)
_MARK = re.compile(_MARK_TEXT)
# A header whose marks were removed leaves its role, glued to what was written before.
_STRIPPED_ROLE = re.compile(rf"(?<=[.!?)\"'”’…。！？]){_ROLE}\n\n(?=\S)")
_FILLING = rf"(?:\s|{_MARK_TEXT}|{_ROLE}(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
# Before an answer are the marks that begin it, and no other role's.
_BEGINS = rf"(?!<[|｜]?(?:im_end|e[o0][a-z]|end(?!_header)|return)|</)(?:{_MARK_TEXT})"
_LEADING = re.compile(
    rf"\s*{_BEGINS}(?:\s|{_BEGINS}|(?:assistant|model|ai|bot)(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
    rf"(?!\s|{_ROLE}\s*(?:{_MARK_TEXT}|\n))|assistant\n\n+(?=\S)"
)
_TRAILING = re.compile(rf"{_FILLING}\Z")
_STRUCK = re.compile(r"<s>[^<\n]{1,200}</s>")  # struck out, in HTML
_CODE = re.compile(  # what begins or ends code
    r"^[ \t]*(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<line>\n)"
    r"|<(?P<html>/?(?:code|pre))\b[^>\n]{0,80}>",
    re.MULTILINE,
)
_SPACE = re.compile(r"[\s\ufeff]*")
_ENDED = frozenset(".!?…:;)]}*。！？")


# A text without any of these, in lower case, has neither thinking nor marks: most have none.
_SIGNS = (
    *("<|", "|>", "<｜", "｜>", "<s>", "</s>", "◁", "<<sys>", "<</sys>", "_of_turn>", "_of_text>"),
    *("_of_image>", "_of_role>", "bos>", "eos>", "pad>", "unk>", "eot>", "eod>", "eop>", "inst]"),
    *("think]", "thinking]", "think>", "thinking>", "thought>", "thoughts>", "reasoning>"),
    *("_prompt]", "_tools]", "_results]", "_calls]", "[unused_token_", "assistantfinal"),
    *(f"{role}\n\n" for role in _ROLE[3:-1].split("|")),
    *("my thought process:", "analysis"),
)


class Parted(NamedTuple):
    """A text in its parts.

    Attributes:
        text: The answer; as it came where there is a `leaked` mark, as evidence.
        reasoning: What was thought before it; None without any.
        unfinished: The text ended while it thought, so that there is no answer.
        leaked: The first template mark with more than white space after it; None without any.
    """

    text: str
    reasoning: str | None = None
    unfinished: bool = False
    leaked: str | None = None


def parted(text: str) -> Parted:
    """The answer in a text without thinking and without template marks.

    A text with neither is returned as it is, white space included.
    """
    lower = text.lower()
    if not any(sign in lower for sign in _SIGNS):
        return Parted(text)
    thought: list[str] = []
    rest, unfinished = _without_thinking(text, thought)
    reasoning = "\n\n".join(one for one in (part.strip() for part in thought) if one)
    if unfinished:
        return Parted("", _unmarked(reasoning) or None, unfinished=True)
    answer, leaked = _without_marks(rest)
    return Parted(answer, _unmarked(reasoning) or None, leaked=leaked)


def _without_thinking(text: str, thought: list[str]) -> tuple[str, bool]:
    """The text after its thinking, which is added to `thought`, and whether it never ended."""
    at = _after_space(text, 0)
    if found := _CHANNEL.match(text, at):
        return _of_channels(text, found, thought)
    if found := _STRIPPED_CHANNELS.fullmatch(text):
        thought.append(found["inside"])
        return found["text"], False
    if _STRIPPED_UNCLOSED.match(text):
        thought.append(text)
        return "", True
    if found := _GRANITE.match(text):
        thought.append(found["inside"])
        return text[_after_space(text, found.end()) :], False
    at = 0
    while begin := _begin(text, at) or (None if thought else _unopened(text)):
        start, end = begin
        closed = end.search(text, start)
        thought.append(text[start : closed.start() if closed else None])
        if not closed:
            return "", True
        at = _after_space(text, closed.end())
    rest = _without_blocks(text[at:], thought)
    if thought and (wrapped := _WRAPPED.fullmatch(rest)):
        rest = next(one for one in wrapped.group("a", "b", "c") if one is not None).strip()
    return rest, False


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _begin(text: str, at: int) -> tuple[int, re.Pattern[str]] | None:
    """Where the inside of a block begins that begins at a place, and what ends it."""
    marks = _LEADING.match(text, at)
    for place in (at, marks.end() if marks else at):
        for begins, ends in _BLOCKS:
            if found := begins.match(text, _after_space(text, place)):
                tag = re.escape(found["tag"]) if "tag" in begins.groupindex else ""
                return found.end(), re.compile(ends.replace("{tag}", tag), re.IGNORECASE)
    return None


def _unopened(text: str) -> tuple[int, re.Pattern[str]] | None:
    """The same of a block that the prompt has opened, so that the text has only its end.

    Such an end is alone on its line, or is glued to the end of a sentence or line: in "the
    </think> tag" it is what the text is about.
    """
    code = _code(text)
    opens = (one.start() for one in _OPEN.finditer(text) if not _inside(one.start(), code))
    opened = next(opens, len(text))
    for found in _CLOSE.finditer(text, 0, opened):
        before = text[max(0, found.start() - 80) : found.start()]
        after = text[found.end() : found.end() + 1]
        alone = not before.rpartition("\n")[2].strip()
        glued = before[-1:].isspace() is False and after in ("", "\n")
        ends = before.rstrip()[-1:] in _ENDED and (after in ("", "\n") or not before[-1:].isspace())
        if (alone or glued or ends) and not _inside(found.start(), code):
            return 0, re.compile(re.escape(found[0]) + rf"(?<=\A.{{{found.end()}}})", re.DOTALL)
    return None


def _without_blocks(text: str, thought: list[str]) -> str:
    """The text without closed blocks whose marks have lines of their own."""
    code, opened, kept, at = _code(text), None, [], 0
    for found in _OWN_LINE.finditer(text):
        if _inside(found.start(), code):
            continue
        if not found["close"]:
            opened = opened or found
        elif opened and opened["tag"].lower() == found["tag"].lower():
            kept.append(text[at : opened.start()])
            thought.append(text[opened.end() : found.start()])
            at, opened = _after_space(text, found.end()), None
    return "".join([*kept, text[at:]])


def _of_channels(text: str, found: re.Match[str] | None, thought: list[str]) -> tuple[str, bool]:
    """The text of the channel `final`, with all that is in no channel; the others are thinking."""
    final: list[str] = []
    at = 0
    while found:
        (final if found["channel"] == "final" else thought).append(found["text"])
        at = found.end()
        found = _CHANNEL.match(text, _after_space(text, at))
    return ("".join(final) + text[at:], False) if final else ("", True)


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


def _without_marks(text: str) -> tuple[str, str | None]:
    """The text up to its first mark, if nothing but marks follows; else as it is, and the mark."""
    struck = _STRUCK.match(text)
    if (leading := _LEADING.match(text)) and not (struck and struck.end() < len(text.rstrip())):
        text = text[leading.end() :]
    taken = sorted([*_code(text), *(found.span() for found in _STRUCK.finditer(text))])
    for pattern in (_MARK, _STRIPPED_ROLE):
        for found in pattern.finditer(text):
            if not _inside(found.start(), taken):
                if _TRAILING.match(text, found.start()):
                    return text[: found.start()].rstrip(), None
                return text, found[0].strip()
    return text, None


def _unmarked(reasoning: str) -> str:
    """Thinking without the marks at its end."""
    return _without_marks(reasoning)[0].strip()


def _inside(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a place is in one of the spans, which are in order."""
    at = bisect_right(spans, (place, sys.maxsize)) - 1
    return at >= 0 and place < spans[at][1]
