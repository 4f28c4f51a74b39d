r"""Thinking in a teacher's text, separated from the answer in one place.

A model thinks before it answers, in `<think>` blocks, in channels, or in other marks of its chat
template; a server that does not know them leaves all of that in the text. An answer with thinking
in it is worse than an answer lost: where a mark is neither what an answer is about (in code, in
quotation marks, a word of a sentence, an item) nor at a place where thinking surely begins or ends,
the answer is left as it is and cannot be used. An element by a name that prompts ask for too, as
`<reasoning>`, is thinking at the begin of a text, also where the answer is an element. Where
several follow it, or a field such as `<score>`, or it begins with an element itself, it is a part
of the XML that is the answer.

Source: the reasoning parsers of vLLM and SGLang, and the chat templates of the models they are for.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from builders.engine.cited_text import Spans, cited, inside
from builders.engine.harmony_channels import bare_final, without_channels
from builders.engine.mark_signs import may_have_marks
from builders.engine.outer_space import after_lines, after_space, trimmed
from builders.engine.shown_marks import is_shown, is_wrapped, leftover
from builders.engine.spoken_marks import (
    NAMES,
    ends_spoken_of,
    in_prose,
    is_about_marks,
    is_entry,
    spoken_to,
)
from builders.engine.template_marks import (
    after_leading_marks,
    tool_call,
    without_marks,
)
from builders.engine.thinking_marks import (
    ASKED_FOR,
    ASKED_FOR_ENDS,
    BLOCKS,
    EMPTY,
    ESCAPED,
    FOLLOWED,
    MARK,
    OF_A_TASK,
    PHRASED,
    PROSE_LINE,
    RENDERED,
    SOFT,
    SURE,
    WRAPPED,
    elements_in,
    half_wrapped,
    has_child,
    has_siblings,
    is_xml,
)

_ENDED = frozenset(".!?…;)]}*。！？")
# How a text goes on after a mark at its begin that it is about.
_IS_SUBJECT = re.compile(
    rf"[,;:)](?=\s)|\.(?=\s|\Z)|[ \t]+(?:[-–—=]+>?\s|(?:{NAMES}|is|are|begins?|starts?|opens?"
    r"|means?|precedes?|encloses?|wraps?|surrounds?)\b)",
    re.IGNORECASE,
)
_PAIR = r"[`*\"')]{0,3}\s?(?:and|or|to|und|et|y|vs\.?|,|/|&|\.{3}|…|→|[-=–]>)\s?[`*\"'(]{0,3}"
_NEXT_IN_PAIR = re.compile(rf"{_PAIR}(?:<|\[|◁)/", re.IGNORECASE)
_IS_SUBJECT_ALONE = re.compile(  # the same after a mark that nothing closes
    rf"{_PAIR}[<\[◁](?:think|thought|reason)|[ \t]+(?:→|(?:etiketi|znacznik|tokeni|тег|токен)\w*)"
    r"|[ \t]?(?:タグ|トークン|记号|記号|符号|标签|標籤|标记|標記|[태테]그|토큰|기호)",
    re.IGNORECASE,
)
_LAST_IN_PAIR = re.compile(
    rf"[<\[◁][^<>\[\]/\n]{{0,20}}(?:think|thought|reason)\w{{0,3}}[>\]▷]{_PAIR}\Z", re.IGNORECASE
)
_LEFT = re.compile(r"\s{0,9}(?:[.。]|\*\*)[ \t]*(?=\n)")
_SPLIT_AT = re.compile(  # words before the mark of an end that end no thought
    r"\b(?:at|on|by|with|after|before|until|between|from|the|the (?:first|last)|an?)"
    r"[ (*_~]{1,3}\Z",
    re.IGNORECASE,
)


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
    if not may_have_marks(text):
        return Parted(text)
    plain = ESCAPED.sub(r"<\g<close>\g<name>>", text)
    if plain is not text and plain != text:
        found = _parted(plain)
        if found.reasoning or found.unfinished:
            return found
    return _parted(text)


def _parted(text: str) -> Parted:
    thought: list[str] = []
    rest, unfinished = _without_thinking(text, thought)
    reasoning = _unmarked("\n\n".join(one for one in (part.strip() for part in thought) if one))
    called = tool_call(text if unfinished else rest)
    if called and (called == "<|call|>" or "to=" in called or not unfinished):
        return Parted(rest or text, reasoning or None, leaked=called, calls=True)
    if unfinished:
        return Parted("", reasoning or None, unfinished=True)
    mark = _unplaced(rest) or (
        half_wrapped(rest) or leftover(rest) if thought else bare_final(text, cited(text))
    )
    if mark:
        return Parted(rest, reasoning or None, leaked=mark)
    answer, leaked = without_marks(rest)
    return Parted(answer, reasoning or None, leaked=leaked)


def _without_thinking(text: str, thought: list[str]) -> tuple[str, bool]:
    """The text after its thinking, which is added to `thought`, and whether it never ended."""
    spans = cited(text)
    if (found := without_channels(text, spans, thought)) is not None:
        return found
    for begins, ends in PHRASED:
        if begun := begins.match(text):
            if close := ends.search(text, begun.end()):
                thought.append(text[begun.end() : close.start()])
                return text[after_lines(text, close.end()) :], False
            is_line = "'" not in begun[0] and PROSE_LINE.match(text, begun.end())
            if is_line or OF_A_TASK.match(text, begun.end()):
                thought.append(text)
                return "", True
    for pattern in RENDERED:
        if rendered := pattern.match(text):
            thought.append(rendered["thought"])
            return text[after_lines(text, rendered.end()) :], False
    at, is_answer = 0, None
    if empty := EMPTY.match(text):
        thought.append(empty["thought"] or "")
        at = after_lines(text, empty.end())
    if not _begin(text, at) and not empty and (end := _unopened(text, spans)):
        thought.append(text[: end[0]])
        at = _after_marks(text, end[1])
    while begin := _begin(text, at):
        start, marks, name = begin
        end = _end(text, start, marks, spans)
        if is_answer is None and end and re.fullmatch(SOFT, name):
            is_answer = has_child(text, start) or _is_answer(text[end[1] :], name, not thought)
        if is_answer or not _is_block(text, start, end):
            break
        if end and in_prose(text, *end):  # it names its mark, and is cut off
            end = None
        thought.append(text[start : end[0] if end else None])
        if not end:
            return "", True
        at = _after_marks(text, end[1])
    rest = _without_blocks(text[at:], thought) if at else text
    return _unwrapped(rest) if thought else rest, False


def _unwrapped(text: str) -> str:
    """The answer after thinking without an element around it; where that has others, it is XML."""
    found = WRAPPED.fullmatch(text) or WRAPPED.fullmatch(without_marks(text)[0])
    inner = "" if not found else found["begun"] if found["whole"] is None else found["whole"]
    return text if not found or is_xml(inner) else trimmed(inner)


def _after_marks(text: str, at: int) -> int:
    """Where a text goes on after thinking, and after more marks that end it on their own lines.

    A full stop or a sign of emphasis on the line of the mark is left of it, too.
    """
    to = after_space(text, at)
    while (again := MARK.match(text, to)) and _closes(again) and _has_own_line(text, again):
        at = again.end()
        to = after_space(text, at)
    left = _LEFT.match(text, at)
    return after_lines(text, left.end() if left else at)


def _is_answer(rest: str, name: str, is_first: bool) -> bool:
    """Whether an element by a name that prompts ask for too is of the answer; the rest follows it.

    It is where several elements follow it, or one if its name is common in answers or it follows
    thinking; by some names, where it is the whole answer.
    """
    if re.fullmatch(ASKED_FOR, name) and not without_marks(rest)[0].strip():
        return True
    return (name in FOLLOWED or not is_first or has_siblings(rest)) and is_xml(rest)


def _is_block(text: str, start: int, end: tuple[int, int] | None) -> bool:
    """Whether what is between two marks is thinking, and not a part of a sentence about them."""
    if end and _NEXT_IN_PAIR.match(text, start):
        goes_on = text[end[1] : end[1] + 2]
        elided = text[start : end[0]].strip() in ("...", "…")
        return elided and not (goes_on[:1] == " " and goes_on[1:].islower())
    subject = _IS_SUBJECT.match(text, start)
    if end is None:
        return not subject and not _IS_SUBJECT_ALONE.match(text, start)
    if not subject and not (text[start : start + 1] == " " and text[start + 1].islower()):
        return True
    between = text[start : end[0]][-300:]
    if "\n" in between or len(between) == 300:
        return True
    if in_prose(text, *end):
        return False
    return not subject or between.rstrip()[-1:] in _ENDED


def _begin(text: str, at: int) -> tuple[int, re.Pattern[str], str] | None:
    """A block that begins at a place: where its inside begins, its marks, its element's name.

    Of the marks, begin or end, that of the end is the group `close`. A name is in lower case.
    """
    for place in dict.fromkeys((at, after_leading_marks(text, at))):
        for begins, ends in BLOCKS:
            if found := begins.match(text, after_space(text, place)):
                tag = re.escape(found["tag"]) if "tag" in begins.groupindex else ""
                if begins is BLOCKS[0][0] and re.fullmatch(SURE, found["tag"], re.IGNORECASE):
                    tag = f"(?:{tag}|think|thinking)"  # models mix them up
                close = ends.replace("{tag}", tag)
                marks = re.compile(f"(?P<close>{close})|{re.escape(found[0])}", re.IGNORECASE)
                return found.end(), marks, found[0].strip("< >").lower()
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
        if in_prose(text, *found.span()):  # thinking about it, unless no other ends it
            last = last or found.span()
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
    for found in ASKED_FOR_ENDS.finditer(text):
        before = text[: found.start()].lower()
        is_opened = f"<{found['tag'].lower()}" in before
        if not inside(found.end() - 1, spans) and not is_opened and _is_end(text, *found.span()):
            return found.span()
        break
    named, left_open = 0, False
    for found in MARK.finditer(text):
        start, end = found.span()
        if inside(start, spans):
            if not _closes(found) or left_open:
                left_open = True
                continue
            left_open = True
            if not (_has_own_line(text, found) and _is_balanced(text[end:])):
                continue
        elif start < named or (named := _named_to(text, start, end)):
            continue
        if not _closes(found):
            return None
        return (start, end) if _is_end(text, start, end) else None
    return None


def _is_balanced(answer: str) -> bool:
    """Whether a text after a mark is an answer in which all code ends that begins, and no more."""
    fences = sum(line.lstrip().startswith(("```", "~~~")) for line in answer.split("\n"))
    pairs = (("<pre", "</pre"), ("<code", "</code"), ("<!--", "-->"))
    paired = all(answer.count(begin) == answer.count(end) for begin, end in pairs)
    return bool(answer.strip()) and not fences % 2 and paired


def _closes(found: re.Match[str]) -> bool:
    return bool(found["close"] or found["close2"] or found["close3"])


def _named_to(text: str, start: int, end: int) -> int:
    """Where the marks end that a sentence is about, an entry or a quoted line; 0: it is none."""
    if is_wrapped(text, start, end):
        return end
    before = text[max(0, start - 48) : start]
    if _LAST_IN_PAIR.search(before) or _NEXT_IN_PAIR.match(text, end):
        return end
    opens = text[start + 1] != "/"
    begins = opens and start < 40 and not text[:start].strip()
    if begins and (_IS_SUBJECT.match(text, end) or _IS_SUBJECT_ALONE.match(text, end)):
        return end
    splits = not opens and _SPLIT_AT.search(before)
    if end == len(text) and "\n" not in text and (splits or ends_spoken_of(text, start)):
        return end
    is_word = in_prose(text, start, end)
    if is_word and (opens or splits or text[end] in ".,;:!?)"):
        return end
    to = spoken_to(text, start, end)
    if not to or is_entry(text, start, end):
        return to
    line = text[max(0, start - 80) : start].rpartition("\n")[2] + text[end : end + 40]
    return to if (is_word and MARK.search(line)) or is_about_marks(line) else 0


def _is_end(text: str, start: int, end: int) -> bool:
    """Whether thinking surely ends at a mark: alone on its line, glued to both sides, or at an end.

    In "It is closed by:", and then the mark, it may be what the text is about.
    """
    if is_shown(text, start, end):
        return False
    before, after = text[max(0, start - 80) : start], text[end : end + 2]
    if not before.rpartition("\n")[2].strip():
        return before.rstrip()[-1:] != ":"
    if after == "\\n":  # escaped, in code
        return False
    glued = not before[-1:].isspace()
    return after[:1] in ("", "\n") or (glued and (not after[:1].isspace() or before[-1] in _ENDED))


def _without_blocks(text: str, thought: list[str]) -> str:
    """The text without closed blocks whose marks have lines of their own, in no other element."""
    spans, opened, kept, at = cited(text), None, [], 0
    elements: Spans | None = None
    for found in MARK.finditer(text):
        if not found["tag"] or inside(found.start(), spans) or not _has_own_line(text, found):
            continue
        elements = elements_in(text) if elements is None else elements
        if inside(found.start(), elements) or _follows_colon(text, found.start()):
            continue
        if not found["close"]:
            opened = opened or found
        elif opened and opened["tag"].lower() == found["tag"].lower():
            kept.append(text[at : opened.start()])
            thought.append(text[opened.end() : found.start()])
            at, opened = after_lines(text, found.end()), None
    return "".join([*kept, text[at:]])


def _follows_colon(text: str, at: int) -> bool:
    return text[max(0, at - 40) : at].rstrip()[-1:] == ":"


def _has_own_line(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 40) : found.start()]
    after = text[found.end() : found.end() + 40]
    return not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()


def _unplaced(text: str) -> str | None:
    """The first mark of thinking that is still in an answer and is not what it is about."""
    spans: Spans | None = None
    elements: Spans = ()
    in_xml, named = False, 0
    for found in MARK.finditer(text):
        if spans is None:
            spans, elements, in_xml = cited(text), elements_in(text), is_xml(text)
        if inside(found.start(), spans) or found.start() < named:
            continue
        if to := _named_to(text, *found.span()):
            named = to
            continue
        sure = not found["tag"] or re.fullmatch(SURE, found["tag"], re.IGNORECASE)
        if sure or not (inside(found.start(), elements) or in_xml):
            return found[0]
    return None


def _unmarked(reasoning: str) -> str:
    """Thinking without the marks at its end."""
    return without_marks(reasoning)[0].strip()
