r"""Template marks in a teacher's text: where an answer ends, and what is no answer any more.

A mark that an answer is about stays: in code or quotation marks, in a sentence that names it ("the
token"), before the colon of an item, in the cell of a table. Text is cut only where a mark surely
ends it; where that is not sure, the answer is left as it is and cannot be used.

Source: the chat templates and special tokens of the models that vLLM and SGLang serve, and their
parsers of tool calls.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, cited, inside, joined
from builders.engine.foreign_turns import ROLE, foreign_turn

_WORDS = r"(?:bos|eos|pad|unk|sep|eot|eod|eop|eom|eoa|eoh|eot_id|eom_id)"
_VOCABULARY = rf"</?(?:{_WORDS}|{_WORDS.upper()})>|\[(?:PAD|UNK|SEP|EOS|BOS)\]"
# Names of marks that have one bar only, as <|turn> and <turn|>; all others are mathematics or code.
_ONE_BAR = (
    r"(?i:im_\w{1,20}|eo[a-z]\w{0,20}|end\w{0,30}|start\w{0,30}|begin\w{0,30}|tool\w{0,30}|turn"
    r"|channel|think\w{0,9}|message|return|call|assistant|user|system|image|audio|video)"
)
_MARK_TEXT = (
    rf"<\|/?(?:[\w▁:./-]{{3,60}}|ai|im)\|>|<｜[\w▁ :./-]{{1,60}}｜>|<\|{_ONE_BAR}>|<{_ONE_BAR}\|>"
    r"|\[\|(?:endofturn|assistant|user|system|tool)\|\]"
    r"|<(?:start|end|begin)_of_[a-z]{2,20}>|<[a-z]{2,20}:[be]os>|</?im_(?:start|end|sep)>"
    r"|<extra_id_\d{1,4}>|<0x[0-9A-Fa-f]{2}>|<(?:SPECIAL_|reserved_|dummy|unused)\d{1,6}>"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]"
    rf"|\[UNUSED_TOKEN_\d+\]|</[sS]>|(?<!<)<s>(?!>)|<_end>|\[e~\[|{_VOCABULARY}"
    r"|(?<![ \t])<\|[\w:-]{0,40}\|?(?=\s*\Z)"  # half a mark, cut off
    r"|<\|(?:im_|e[no]|st|as|us|re)[\w:-]{0,40}\|?(?=\s*\Z)"
)
_MARK = re.compile(_MARK_TEXT)
_OF_VOCABULARY = re.compile(_VOCABULARY)
_WORD_PIECES = re.compile(r"(?<![^\w\s])▁[^\W\d_]")  # a tokenizer's sign for a space
_FILLING = rf"(?:\s|{_MARK_TEXT}|{ROLE}(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
# Before an answer are the marks that begin it, and no other role's.
_BEGINS = (
    r"(?!\[\|(?:end|us|sys)|<[|｜]?(?:im_end|e[o0][a-z]|E[O0][A-Z]|end(?!_header)|return|think)"
    r"|</|<\|[\w:-]{0,40}\|?\s*\Z"
    rf"|\[(?:INST|SYSTEM|AVAIL|TOOL|PAD|UNK|SEP|EOS))(?:{_MARK_TEXT})"
)
_LEADING = re.compile(
    rf"\s*{_BEGINS}(?:\s|{_BEGINS}|(?:assistant|model|ai|bot)(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
    rf"(?!\s|{ROLE}\s*(?:{_MARK_TEXT}|\n))|assistant\n(?:\n+(?=\S)|(?=[^\sa-z]))"
    r"|\s*### Response:\s*\n\s*(?=\S)"
)
_ABOUT_ITSELF = re.compile(rf"\s*(?:{_MARK_TEXT}) [a-z]")
_TRAILING = re.compile(rf"{_FILLING}\Z")
_STRUCK = re.compile(  # struck out, in HTML
    r"(?<![.!?])<s>(?:(?!</?s>|<\||<｜|</?im_|\[/?INST|<<|\n\n)[^\0]){1,300}</s>"
)
# Words before a mark that is named, in "it ends with </s>": to cut there would change an answer.
_NAMED = re.compile(
    r"(?:\b(?:is|are|marks?|tokens?|tags?|with|by|as|and|or|uses?|called|sign)[ \t]+|:\s*"
    r"|(?:^|\n)[ \t]*(?:[-*+•>]|\d{1,3}[.)])[ \t]+)\Z"
)
NAMES = r"(?:tags?|marks?|markers?|tokens?|elements?|delimiters?|bytes?|strings?|symbols?|words?)"
_IS_NAMED = re.compile(  # what is directly before a mark that is a word of a sentence about it
    rf"\b(?:an?|the|in|with|by|at|between|until|as|called|named|{NAMES})[ (*_~]{{1,4}}\Z"
    r"|[>\]][*_~]{0,2} (?:and|or|to) [*_~]{0,2}\Z",
    re.IGNORECASE,
)
_NAMED_AFTER = re.compile(rf"[)*_~]{{0,4}} {NAMES}\b", re.IGNORECASE)
_ENDS_NAMED = re.compile(
    rf"\b{NAMES}\b[^\n.!?]{{0,40}} (?:is|are|as|called|named) \Z", re.IGNORECASE
)
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+")
_ITEM_GOES_ON = re.compile(r"[ \t]*(?::|[-–—=→(] ?)")
_CELL_GOES_ON = re.compile(r"[^<|\n]{0,100}\|(?!>)")
_WRAPS = {"*": "*", "_": "_", "~": "~", "(": ")"}
_CALLED = re.compile(  # the call of a tool, written as text
    r"^[ \t]*<(?:(?:[\w-]{1,20}[:_])?tool_?calls?|function_?calls?|start_function_call|tool_use"
    r"|function=[\w.:-]{1,80})>|^[ \t]*<invoke name="
    r"|<(?:[\w-]{1,20}[:_])?(?:tool_?call|function_?call)>\s*(?:[{\[]|<function=)"
    r"|<function=[\w.:-]{1,80}>\s*(?:[{\[]|</|<parameter)"
    r"|<details\b[^<>\n]{0,200}\btype=\"tool_calls\""
    r"|\A\s*(?:assistant)?(?:commentary|analysis)\s?to=[\w.]{1,80}"
    r"|assistantcommentary\s?to=[\w.]{1,80}|<\|channel\|>(?:commentary|analysis) to=[\w.]{1,80}"
    r"|\[TOOL_CALLS\]|<\|python_tag\|>|<｜tool▁calls?▁begin｜>|<｜DSML｜\w{0,20}calls"
    r"|<\|tool_calls?(?:_section)?(?:_begin|_start)?(?:\|>|>)|<\|START_ACTION\|>"
    r"|<\|action_start\|>|<\|call\|>|<\|plugin\|>",
    re.MULTILINE | re.IGNORECASE,
)


def in_prose(text: str, start: int, end: int) -> bool:
    """Whether a mark is a word of a sentence, as in "the <pad> token"."""
    start, end = _unwrapped(text, start, end)
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    follows = after[:1] in tuple(".,;:!?)") or (after[:1] == " " and after[1:].islower())
    if before == " (":
        return follows
    return before[1:] in (" ", "(") and (before[:1].isalnum() or before[:1] in ",;") and follows


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


def _unwrapped(text: str, start: int, end: int) -> tuple[int, int]:
    """The place of a mark with the signs of emphasis, and the brackets, around it."""
    for _ in range(4):
        if not start or _WRAPS.get(text[start - 1]) != text[end : end + 1]:
            break
        start, end = start - 1, end + 1
    return start, end


def _is_named(text: str, found: re.Match[str]) -> bool:
    """Whether a template mark is what the text is about."""
    start, end = found.span()
    before = text[max(0, start - 80) : start]
    if not text[end : end + 80].strip() and _ENDS_NAMED.search(before):
        return True
    if is_entry(text, start, end):
        return True
    if not in_prose(text, start, end):
        return False
    if _OF_VOCABULARY.fullmatch(found[0]):
        return True
    return bool(_IS_NAMED.search(before) or _NAMED_AFTER.match(text, end))


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
    struck = _STRUCK.match(text, len(text) - len(text.lstrip()))
    if struck and struck.end() == len(text.rstrip()) and text[struck.start() + 3] not in " \t\n<[":
        return text, "<s>"  # struck out, or a whole answer in its marks: not sure
    if not (struck and struck.end() < len(text.rstrip())):
        text = text[after_leading_marks(text) :]
    taken = joined([*cited(text), *(found.span() for found in _STRUCK.finditer(text))])
    for found in _MARK.finditer(text):
        if inside(found.start(), taken) or _is_named(text, found):
            continue
        if _TRAILING.match(text, found.start()) and _is_end(text, found):
            return text[: found.start()].rstrip(), None
        return text, found[0].strip()
    if turn := foreign_turn(text, taken):
        return text, turn
    for found in _WORD_PIECES.finditer(text):
        if not inside(found.end() - 1, taken):
            return text, found[0].strip()
    return text, None


def _is_end(text: str, found: re.Match[str]) -> bool:
    """Whether an answer surely ends at a mark with nothing but marks after it."""
    before = text[max(0, found.start() - 80) : found.start()]
    if _NAMED.search(before):
        return False
    bare = found[0].strip("<|") == ""  # half a mark, or an operator
    return not bare or before.rstrip()[-1:] in tuple(".!?…。！？)\"'”’`*")
