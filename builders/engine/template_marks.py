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
from builders.engine.foreign_turns import ROLE, foreign_turn, without_last_header
from builders.engine.outer_space import after_lines
from builders.engine.spoken_marks import ends_spoken_of, spoken_to
from builders.engine.thinking_marks import WRAPS_ANSWER, elements_in

_WORDS = r"(?:bos|eos|pad|unk|sep|eot|eod|eop|eom|eoa|eoc|eoh|eot_id|eom_id)"
_VOCABULARY = rf"(?<!<)</?(?:{_WORDS}|{_WORDS.upper()})>"
_OF_A_TURN = (
    r"(?:turn|text|image|audio|video|utterance|sentence|role|document|conversation|message|response"
    r"|prompt|instruction|chat|dialogue|sequence|solution|thought|answer|code|context|file)"
)
# Names of marks that have one bar only, as <|turn> and <turn|>; all others are mathematics or code.
_ONE_BAR = (
    r"(?i:im_\w{1,20}|eo[a-z]\w{0,20}|end\w{0,30}|start\w{0,30}|begin\w{0,30}|tool\w{0,30}|turn"
    r"|channel|think\w{0,9}|message|return|call|assistant|user|system|image|audio|video)"
)
_SPEAKER = r"<role>(?:HUMAN|ASSISTANT|SYSTEM|OBSERVATION)</role>"  # of Ling, glued to its text
_AFTER_SENTENCE = r"(?<=[.!?…。！？)\"'”’`*])"
_MARK_TEXT = (
    r"<\|(?:Bot|Assistant)\|>:|\[END FINAL RESPONSE\]|\]~!?b[\[\]]|<用户>"
    rf"|{_SPEAKER}(?=[^\s<]|<think)|(?<=[^\s>]){_SPEAKER}(?=\s*\Z)"
    rf"|{_AFTER_SENTENCE}\[(?:USER|BOT)\](?=\S)"
    rf"|{_AFTER_SENTENCE}(?:(?:\[(?:PAD|SEP|EOT|end_of_text)\]|</assistant>)\s*)++\Z"
    rf"|<\|/?(?:[\w▁:./-]{{3,60}}|ai|im)\|>|<｜[\w▁ :./-]{{1,60}}｜>|<\|{_ONE_BAR}>|<{_ONE_BAR}\|>"
    r"|(?i:\[\|(?:endofturn|assistant|user|system|tool|human|ai|bot)\|\]:?)"
    rf"|<(?:start|end|begin)_of_{_OF_A_TURN}>"
    r"|<(?:fim_(?:prefix|middle|suffix|pad)|file_sep|endoftext)>"
    r"|\[(?:end of text|EOS|eos)\]|\[\|im_(?:start|end)\|\]|\[gMASK\]|<sop>"
    r"|<(?:bot|human|user)_end>"
    r"|### End(?=\s*\Z)|<[a-z]{2,20}:[be]os>|</?im_(?:start|end|sep)>"
    r"|<extra_id_\d{1,4}>|<0x[0-9A-Fa-f]{2}>|<(?:extra_|TOKENS_UNUSED_)\d{1,6}>"
    r"|<(?:SPECIAL_|reserved_|dummy|unused)\d{1,6}>"
    r"|\[/?INST\]|<</?SYS>>|\[/(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|\[TOOL_CALLS\]"
    rf"|\[UNUSED_TOKEN_\d+\]|</[sS]>|(?<![<\w])<s>(?!>)|<_(?:user|bot|end)>|\[e~\[|{_VOCABULARY}"
    r"|(?<![ \t])<\|[\w:-]{0,40}\|?(?=\s*\Z)"  # half a mark, cut off
    r"|<\|(?:im_|e[no]|st|as|us|re)[\w:-]{0,40}\|?(?=\s*\Z)"
)
_MARK = re.compile(_MARK_TEXT)
_WORD_OF_A_VOCABULARY = re.compile(r"<(?:pad|unk|mask|sep|bos)>")  # an answer if it is all
_WORD_PIECES = re.compile(r"(?<![^\w\s])▁[^\W\d_]")  # a tokenizer's sign for a space
_FILLING = rf"(?:\s|{_MARK_TEXT}|{ROLE}(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
# Before an answer are the marks that begin it, and no other role's.
_BEGINS = (
    r"(?!(?i:\[\|(?:end|us|sys|hu|tool)|<[|｜](?!no)[^<>|｜]{0,30}(?:think|thought|reason))"
    r"|<[|｜]?(?:im_end|e[o0][a-z]|E[O0][A-Z]|end(?!_header|_of_role)|return)"
    r"|</|<unused94>|<_[eu]|<role>(?!A)|\[(?:END|USER)|<用|<\|[\w:-]{0,40}\|?\s*\Z"
    rf"|\[(?:INST|SYSTEM|AVAIL|TOOL|EOS|eos|end of)|<fim_|<file_sep)(?:{_MARK_TEXT})"
)
# How the entry of a dictionary goes on after its word.
_OF_A_WORD = r"\W{0,4}(?:noun|n\.|adj|verb|/|\[[^\]\n]{1,30}\]|Substantiv|Nomen|nom\b|sustantivo)"
_STATUS = r"(?:HTTP/\d|[1-5]\d\d [A-Z])"  # with which the response of a server begins
_LEADING = re.compile(
    rf"\s*{_BEGINS}(?:\s|{_BEGINS}|(?i:assistant|model|ai|bot)(?=\s*(?:{_MARK_TEXT}|\n|\Z)))*"
    rf"(?!\s|(?i:{ROLE})\s*(?:{_MARK_TEXT}|\n))|assistant\n(?:\n+(?=\S)(?!{_OF_A_WORD})|(?=[^\sa-z]))"
    rf"|\s*(?:### (?:Response|Assistant):\s*\n(?!{_STATUS})|GPT4 Correct Assistant:"
    r"|<(?:bot|assistant)>:)\s*(?=\S)"
)
# Words on lines of their own, or the entry of a dictionary: the first may be one of them.
_LISTED = re.compile(
    r"\s*assistant\n(?:[^\Wa-z\d_][\w'’-]*\n[^\W\d_][\w'’-]*[ \t]*(?:\n|\Z)"
    r"|1[.)] (?:An?|One|Some(?:one|body)) )"
)
_ABOUT_ITSELF = re.compile(  # a rule of a grammar, an entry, or a sentence
    rf"\s*(?:{_MARK_TEXT})(?: [a-z]|[*_]{{1,3}} | ?(?:::=|[-=]>|[-–—=→:])\s)"
)
_TRAILING = re.compile(rf"{_FILLING}\Z")
_BRACKETED = re.compile(rf"<{_WORDS}>|\[EOS\]")
_RULE = re.compile(r"::=|<[a-z][\w-]{0,40}>[ \t]*\Z")
_ENDED = re.compile(r"[.!?…。！？)\]}\"'”’`*;|]\s*\Z")  # a sentence, a row or a line of code
_STRUCK = re.compile(  # struck out, in HTML
    r"(?<![.!?])<s>(?:(?!</?s>|<\||<｜|</?im_|\[/?INST|<<|\n\n)[^\0]){1,300}</s>"
)
# Words before a mark that is named, in "it ends with </s>": to cut there would change an answer.
_NAMED = re.compile(
    r"(?:\b(?:is|are|marks?|tokens?|tags?|with|by|as|and|or|uses?|called|sign)[ \t]+|:\s*"
    r"|(?:^|\n)[ \t]*(?:[-*+•>]|\d{1,3}[.)])[ \t]+)\Z"
)
_CALLED = re.compile(  # the call of a tool, written as text
    r"<(?:\w{1,20}:)?function_?call name=\""
    r"|(?:^[ \t]*|(?<=[.!?…。！？)\]]))(?:<(?:(?:[\w-]{1,20}[:_])?tool_?calls?|function_?calls?"
    r"|start_function_call|tool_use|tool_code|function=[\w.:-]{1,80})>|<(?:invoke|tool_call) name="
    r"|<(?:tools|action)>\s*\{\s*\"name\":|functools\[\{)"
    r"|\[TOOL_(?:REQUEST|CALL)\]\s*\{"
    r"|<(?:[\w-]{1,20}[:_])?(?:tool_?calls?|function_?calls?)>\s*"
    r"(?:[{\[]|<function=|<invoke name=|[\w.:-]{1,80}\s*(?:<arg_key>|</tool_call>))"
    r"|<function=[\w.:-]{1,80}>\s*(?:[{\[]|</|<parameter)"
    r"|<details\b[^<>\n]{0,200}\btype=\"tool_calls\""
    r"|\A\s*(?:assistant)?(?:commentary|analysis)\s?to=[\w.]{1,80}"
    r"|assistantcommentary\s?to=[\w.]{1,80}|<\|channel\|>(?:commentary|analysis) to=[\w.]{1,80}"
    r"|\[TOOL_CALLS\]|<\|python_(?:tag|start)\|>|<\|tools_prefix\|>|<｜tool▁calls?▁begin｜>|<｜DSML｜\w{0,20}calls"
    r"|<\|tool_calls?(?:_section)?(?:_begin|_start)?(?:\|>|>)|<\|START_ACTION\|>"
    r"|<\|action_start\|>|<\|call\|>|<\|plugin\|>",
    re.MULTILINE | re.IGNORECASE,
)


_ANSWERS = re.compile(rf"\s*<(?:{'|'.join(WRAPS_ANSWER)}|assistant|message|agent|step|turn)\b")
# What calls have; without it, an element inside another may be of the XML that is the answer.
_ARGUMENTS = re.compile(
    r"\"(?:arguments|parameters|input|args)\"|<parameter\b|<arg_key>|<(?:\w{1,20}:)?(?:tool|function)_?call"
    r"|<function=|\[TOOL_|<[|｜]|to=|functools\[",
    re.IGNORECASE,
)


def tool_call(text: str) -> str | None:
    """The mark with which the call of a tool begins that is written as text; None without one."""
    spans: Spans | None = None
    elements: Spans = ()
    for found in _CALLED.finditer(text):
        if spans is None:
            spans, elements = cited(text), elements_in(text)
        at = found.end() - len(found[0].lstrip())
        is_mark = found[0].endswith((">", "]"))
        if inside(at, spans) or (is_mark and spoken_to(text, at, found.end())):
            continue
        if inside(at, elements) and not _ANSWERS.match(text) and not _ARGUMENTS.search(text, at):
            continue
        return found[0].strip()
    return None


def after_leading_marks(text: str, at: int = 0) -> int:
    """Where the answer begins after the marks and the role at a place."""
    if _ABOUT_ITSELF.match(text, at) or _LISTED.match(text, at):
        return at
    found = _LEADING.match(text, at)
    return after_lines(text, at + len(found[0].rstrip())) if found else at


def without_marks(text: str) -> tuple[str, str | None]:
    """The text up to its first mark, if nothing but marks follows; else as it is, and the mark."""
    if _WORD_OF_A_VOCABULARY.fullmatch(text.strip()):
        return text, None
    struck = _STRUCK.match(text, len(text) - len(text.lstrip()))
    if struck and struck.end() == len(text.rstrip()) and text[struck.start() + 3] not in " \t\n<[":
        return text, "<s>"  # struck out, or a whole answer in its marks: not sure
    if not (struck and struck.end() < len(text.rstrip())):
        text = text[after_leading_marks(text) :]
    struck_out = [found.span() for found in _STRUCK.finditer(text)]
    taken = joined([*cited(text), *(one for one in struck_out if one != (0, len(text.rstrip())))])
    begins = len(text) - len(text.lstrip())
    begins_spoken, spoken = False, 0  # the text begins with a mark it is about; it ends here
    for found in _MARK.finditer(text):
        start, end = found.span()
        if start < spoken or inside(start, taken) or _closes_element(text, found):
            continue
        if to := spoken_to(text, start, end):
            begins_spoken, spoken = begins_spoken or start == begins, to
            continue
        trails = _TRAILING.match(text, start)
        is_word = text[start - 1 : start] == " " and (
            spoken or ends_spoken_of(text, start) or _is_of_grammar(text, found)
        )
        if not trails and not (is_word and text[end : end + 1] == "\n"):
            return text, found[0].strip()
        if is_word or (_is_operator(text, found) and not begins_spoken):
            continue
        if _is_end(text, found) and not begins_spoken:
            return text[:start].rstrip(), None
        return text, found[0].strip()
    text, header = without_last_header(text, taken)
    if header:
        return text, header
    if turn := ("assistant" if _LISTED.match(text) else foreign_turn(text, taken)):
        return text, turn
    pieces = [found for found in _WORD_PIECES.finditer(text) if not inside(found.end() - 1, taken)]
    if len(pieces) > text.count(" "):
        return text, pieces[0][0].strip()
    return text, None


def _closes_element(text: str, found: re.Match[str]) -> bool:
    """Whether a mark is the end of an element that the text opens, as `<S>` or `<s n="1">`."""
    if found[0] in ("</S>", "</assistant>"):
        return f"<{found[0][2:]}" in text or f"<{found[0][2:-1]} " in text
    return found[0] == "</s>" and "<s " in text


def _is_operator(text: str, found: re.Match[str]) -> bool:
    """Whether what may be half a mark is an operator: it follows the end of no sentence."""
    before = text[max(0, found.start() - 80) : found.start()]
    ended = before.rstrip()[-1:] in tuple(".!?…。！？)\"'”’`*")
    return found[0] == "<|" and not ended and not before[-1:].isalnum()


def _is_of_grammar(text: str, found: re.Match[str]) -> bool:
    """Whether a word in brackets, such as `<eos>`, follows others of its kind or begins a rule."""
    before = text[max(0, found.start() - 80) : found.start()].rpartition("\n")[2]
    return bool(_BRACKETED.fullmatch(found[0]) and _RULE.search(before))


def _is_end(text: str, found: re.Match[str]) -> bool:
    """Whether an answer surely ends at a mark with nothing but marks after it.

    After a space it may be the last word of a sentence that has no end.
    """
    before = text[max(0, found.start() - 80) : found.start()]
    if before[-1:] == " " and not _ENDED.search(before):
        words = before.rpartition("\n")[2].split()
        if len(words) > 1 or _BRACKETED.fullmatch(found[0]):
            return False
    return not _NAMED.search(before) and not (found[0].strip("<|") == "" and before[-1:].isalnum())
