r"""Thinking in a teacher's text, separated from the answer in one place.

A model thinks before it answers, in `<think>` blocks, in channels, or in other marks of its chat
template; a server that does not know them leaves all of that in the text. An answer with thinking
in it is worse than an answer lost: where a mark is neither what an answer is about (in code, in
quotation marks, a word of a sentence) nor at a place where thinking surely ends, the answer cannot
be used.

Source: the reasoning parsers of vLLM and SGLang, and the chat templates of the models they are for;
https://cookbook.openai.com/articles/openai-harmony for channels.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from builders.engine.template_marks import (
    ROLES,
    Spans,
    after_leading_marks,
    cited,
    in_prose,
    inside,
    tool_call,
    without_marks,
)

_PREFIX = r"(?:[\w-]{1,20}[:_])?"
_SURE = rf"{_PREFIX}(?:think|thinking)"
_TAG = rf"{_PREFIX}(?:think|thinking|thought|thoughts|reasoning)"
_BLOCKS = tuple(  # how thinking begins and ends; the group `tag` in the first is part of the second
    (re.compile(begin, re.IGNORECASE), end)
    for begin, end in (
        (rf"<\s?(?P<tag>{_TAG}|reflection|scratchpad|analysis)\s?>", r"</\s?{tag}\s?>"),
        (r"◁(?P<tag>think|thinking)▷", r"◁/{tag}▷"),
        (r"\[(?P<tag>THINK|THINKING)\]", r"\[/{tag}\]"),
        (r"<\|(?P<tag>think|thinking)\|>", r"<\|(?:/{tag}|end_of_{tag})\|>"),
        (r"<\|begin_of_(?P<tag>thought|thinking)\|>", r"<\|end_of_{tag}\|>"),
        (r"<\|START_(?P<tag>THINKING)\|>", r"<\|END_{tag}\|>"),
        (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
        (r"<\|channel>\s*(?:thought|thinking|analysis)\b", r"<channel\|>"),
    )
)
_MARK = re.compile(  # where thinking begins, or, with a group `close`, ends
    rf"<(?P<close>/)?\s?(?P<tag>{_TAG})\s?>|(?P<close2>◁/|\[/)think(?:ing)?[▷\]]"
    r"|[◁\[]think(?:ing)?[▷\]]|<\|begin_of_(?:thought|thinking)\|>"
    r"|(?P<close3><\|end_of_(?:thought|thinking)\|>|<\|END_THINKING\|>|<\|/think(?:ing)?\|>)",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w.:-]{0,40})(?:\s[^<>\n]{0,200})?>")
_GRANITE = re.compile(r"\s*here(?:'s| is) my thought process:", re.IGNORECASE)
_GRANITE_ENDS = re.compile(r"here(?:'s| is) my response:", re.IGNORECASE)
_WRAPPED = re.compile(  # the answer after thinking, where a template marks it too
    r"\s*(?:<(?P<tag>answer|response)>(?P<a>.*)</(?P=tag)>"
    r"|<\|begin_of_solution\|>(?P<b>.*?)(?:<\|end_of_solution\|>)?"
    r"|<\|START_RESPONSE\|>(?P<c>.*?)(?:<\|END_RESPONSE\|>)?)\s*",
    re.IGNORECASE | re.DOTALL,
)

_CHANNEL = re.compile(
    rf"(?:<\|start\|>\s*(?:{'|'.join(ROLES)})?[^<]{{0,60}})?(?:<\|channel\|>)?\s*"
    r"(?P<channel>analysis|commentary|final)\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?"
    r"<\|message\|>(?P<text>.*?)"
    r"(?P<close><\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.DOTALL,
)
# The same once the marks were removed, but not the words.
_STRIPPED = re.compile(
    r"\s*(?:assistant(?:analysis|commentary)|(?:analysis|commentary)(?=[A-Z\"'*(\[\d]|[a-z]+ ))"
)
_STRIPPED_UNCLOSED = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z])|\s*assistantanalysis")
_STRIPPED_NEXT = re.compile(r"assistant(?:analysis|commentary)")
_STRIPPED_FINAL = "assistantfinal"
_SPACE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]*")
_ENDED = frozenset(".!?…;)]}*。！？")
_NAMES = re.compile(r"\b(?:tag|mark|marker|token|element|delimiter|word|string)s?\b", re.IGNORECASE)

# A text without any of these, in lower case, has neither thinking nor marks: most have none.
_SIGNS = (
    *("<|", "|>", "<｜", "｜>", "<s>", "</s>", "◁", "<<sys>", "<</sys>", "<start_of_", "<end_of_"),
    *("<begin_of_", "os>", "pad>", "unk>", "sep>", "eot>", "eod>", "eop>", "eom>", "eoa>", "eoh>"),
    *("_id>", "im_start>", "im_end>", "im_sep>", "<extra_id_", "<0x", "<special_", "<reserved_"),
    *("<dummy", "<unused", "<_end>", "[e~[", "[pad]", "[unk]", "[sep]", "[eos]", "[bos]", "inst]"),
    *("think]", "thinking]", "_prompt]", "_tools]", "_results]", "_calls]", "[unused_token_"),
    *(f"{mark}{word}" for mark in ("<", "</", "< ", "</ ", ":", "_") for word in ("think",)),
    *("<\n", "thought>", "thoughts>", "reasoning>", "thought >", "thoughts >", "reasoning >"),
    *("<reflection", "<scratchpad", "<analysis", "analysis", "assistantfinal", "▁"),
    *("tool_call", "toolcall", "function_call", "functioncall", "<function=", "<tool_use>"),
    *(
        "<invoke ",
        "my thought process:",
        "human:",
        "user:",
        "instruction:",
        "assistant:",
        "response:",
    ),
    *(f"{role}\n" for role in ROLES),
)
_RARE = "<>[]◁▁:_#\n"
_SIGNS_WITH: dict[str, list[str]] = {}  # by their first character that few texts have, or alone
for _sign in _SIGNS:
    _SIGNS_WITH.setdefault(next((one for one in _sign if one in _RARE), _sign), []).append(_sign)


class Parted(NamedTuple):
    """A text in its parts.

    Attributes:
        text: The answer; as it came where there is a `leaked` mark, as evidence.
        reasoning: What was thought before it; None without any.
        unfinished: The text ended while it thought, so that there is no answer.
        leaked: The first mark for which it cannot be used: a template's with more than white space
            after it, one of thinking whose place is not sure, or that of a tool call; None without.
        calls: It is the call of a tool, written as text.
    """

    text: str
    reasoning: str | None = None
    unfinished: bool = False
    leaked: str | None = None
    calls: bool = False


def parted(text: str) -> Parted:
    """The answer in a text without thinking and without template marks.

    A text with neither is returned as it is, white space included.
    """
    lower = text.lower()
    likely = [signs for rare, signs in _SIGNS_WITH.items() if rare in lower]
    if not any(sign in lower for signs in likely for sign in signs):
        return Parted(text)
    thought: list[str] = []
    rest, unfinished = _without_thinking(text, thought)
    reasoning = _unmarked("\n\n".join(one for one in (part.strip() for part in thought) if one))
    called = tool_call(text if unfinished else rest)
    if called and (called == "<|call|>" or not unfinished):
        return Parted(rest or text, reasoning or None, leaked=called, calls=True)
    if unfinished:
        return Parted("", reasoning or None, unfinished=True)
    if mark := _unplaced(rest):
        return Parted(rest, reasoning or None, leaked=mark)
    answer, leaked = without_marks(rest)
    return Parted(answer, reasoning or None, leaked=leaked)


def _without_thinking(text: str, thought: list[str]) -> tuple[str, bool]:
    """The text after its thinking, which is added to `thought`, and whether it never ended."""
    at = _after_space(text, 0)
    if found := _CHANNEL.match(text, at):
        return _of_channels(text, found, thought)
    if (found := _STRIPPED.match(text)) and (ends := text.find(_STRIPPED_FINAL, found.end())) >= 0:
        thought.extend(_STRIPPED_NEXT.split(text[found.end() : ends]))
        return text[ends + len(_STRIPPED_FINAL) :], False
    if _STRIPPED_UNCLOSED.match(text):
        thought.append(text)
        return "", True
    if (found := _GRANITE.match(text)) and (close := _GRANITE_ENDS.search(text, found.end())):
        thought.append(text[found.end() : close.start()])
        return text[_after_space(text, close.end()) :], False
    at, spans = 0, cited(text)
    if not _begin(text, 0) and (end := _unopened(text, spans)):
        thought.append(text[: end[0]])
        at = _after_space(text, end[1])
    while begin := _begin(text, at):
        start, marks = begin
        end = _end(text, start, marks, spans)
        thought.append(text[start : end[0] if end else None])
        if not end:
            return "", True
        at = _after_space(text, end[1])
    rest = _without_blocks(text[at:], thought)
    if thought and (wrapped := _WRAPPED.fullmatch(rest)):
        rest = next(one for one in wrapped.group("a", "b", "c") if one is not None).strip()
    return rest, False


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _begin(text: str, at: int) -> tuple[int, re.Pattern[str]] | None:
    """Where the inside of a block begins that begins at a place, and its marks: begin or end."""
    for place in dict.fromkeys((at, after_leading_marks(text, at))):
        for begins, ends in _BLOCKS:
            if found := begins.match(text, _after_space(text, place)):
                tag = re.escape(found["tag"]) if "tag" in begins.groupindex else ""
                close = ends.replace("{tag}", tag)
                again = re.escape(found[0])
                return found.end(), re.compile(f"(?P<close>{close})|{again}", re.IGNORECASE)
    return None


def _end(text: str, at: int, marks: re.Pattern[str], spans: Spans) -> tuple[int, int] | None:
    """The span of the mark that ends a block: of the same depth, or else the last; not in code.

    Thinking may leave a fence open; so a single mark on a line of its own ends it in code too.
    """
    depth, last = 1, None
    for found in marks.finditer(text, at):
        if inside(found.start(), spans):
            continue
        if not found["close"]:
            depth += not in_prose(text, *found.span())
            continue
        depth, last = depth - 1, found.span()
        if not depth:
            break
    if last is None:
        closes = [found for found in marks.finditer(text, at) if found["close"]]
        if len(closes) == 1 and _has_own_line(text, closes[0]):
            last = closes[0].span()
    return last


def _unopened(text: str, spans: Spans) -> tuple[int, int] | None:
    """The span of the mark that ends a block which the prompt has opened, in a text without it."""
    for found in _MARK.finditer(text):
        start, end = found.span()
        if inside(start, spans) or _is_named(text, start, end):
            continue
        if not _closes(found):
            return None
        return (start, end) if _is_end(text, start, end) else None
    return None


def _closes(found: re.Match[str]) -> bool:
    return bool(found["close"] or found["close2"] or found["close3"])


def _is_named(text: str, start: int, end: int) -> bool:
    """Whether a mark of thinking is a word of a sentence about it."""
    if not in_prose(text, start, end):
        return False
    line = text[text.rfind("\n", 0, start) + 1 : start][-80:] + text[end : end + 40]
    return text[start + 1] not in "/" or bool(_NAMES.search(line) or _MARK.search(line))


def _is_end(text: str, start: int, end: int) -> bool:
    """Whether thinking surely ends at a mark: alone on its line, glued to both sides, or at an end.

    In "It is closed by:", and then the mark, it may be what the text is about.
    """
    before, after = text[max(0, start - 80) : start], text[end : end + 2]
    if not before.rpartition("\n")[2].strip():
        return before.rstrip()[-1:] != ":"
    glued = not before[-1:].isspace()
    return after[:1] in ("", "\n") or (glued and (not after[:1].isspace() or before[-1] in _ENDED))


def _without_blocks(text: str, thought: list[str]) -> str:
    """The text without closed blocks whose marks have lines of their own, in no other element."""
    spans, opened, kept, at = cited(text), None, [], 0
    elements: Spans | None = None
    for found in _MARK.finditer(text):
        if not found["tag"] or inside(found.start(), spans) or not _has_own_line(text, found):
            continue
        elements = _elements(text) if elements is None else elements
        if inside(found.start(), elements):
            continue
        if not found["close"]:
            opened = opened or found
        elif opened and opened["tag"].lower() == found["tag"].lower():
            kept.append(text[at : opened.start()])
            thought.append(text[opened.end() : found.start()])
            at, opened = _after_space(text, found.end()), None
    return "".join([*kept, text[at:]])


def _has_own_line(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 40) : found.start()]
    after = text[found.end() : found.end() + 40]
    return not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()


def _elements(text: str) -> Spans:
    """Where a text is inside an element of XML or HTML that is no thinking."""
    opened: dict[str, list[int]] = {}
    spans: list[tuple[int, int]] = []
    for found in _ELEMENT.finditer(text):
        name = found["name"].lower()
        if re.fullmatch(_TAG, name):
            continue
        if not found["close"]:
            opened.setdefault(name, []).append(found.end())
        elif starts := opened.get(name):
            start = starts.pop()
            while spans and spans[-1][0] >= start:
                spans.pop()
            spans.append((start, found.start()))
    return sorted(spans)


def _unplaced(text: str) -> str | None:
    """The first mark of thinking that is still in an answer and is not what it is about."""
    spans: Spans | None = None
    elements: Spans | None = None
    for found in _MARK.finditer(text):
        if spans is None or elements is None:
            spans, elements = cited(text), _elements(text)
        if inside(found.start(), spans) or _is_named(text, *found.span()):
            continue
        sure = not found["tag"] or re.fullmatch(_SURE, found["tag"], re.IGNORECASE)
        if sure or not inside(found.start(), elements):
            return found[0]
    return None


def _of_channels(text: str, found: re.Match[str] | None, thought: list[str]) -> tuple[str, bool]:
    """The text of the channel `final`, with all that is in no channel; the others are thinking."""
    final: list[str] = []
    at = 0
    while found:
        (final if found["channel"] == "final" else thought).append(found["text"])
        at = found.end()
        found = _CHANNEL.match(text, _after_space(text, at))
    return ("".join(final) + text[at:], False) if final else ("", True)


def _unmarked(reasoning: str) -> str:
    """Thinking without the marks at its end."""
    return without_marks(reasoning)[0].strip()
