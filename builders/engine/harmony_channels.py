r"""The channels of OpenAI's gpt-oss in a text: thinking in all but the channel `final`.

Source: https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside
from builders.engine.foreign_turns import ROLE
from builders.engine.outer_space import after_space
from builders.engine.shown_marks import is_shown, is_wrapped
from builders.engine.spoken_marks import in_prose

_CHANNEL = re.compile(
    rf"(?:<\|start\|>\s*{ROLE}?[^<]{{0,60}})?(?:<\|channel\|>)?\s*"
    r"(?P<channel>analysis|commentary|final)\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?"
    r"<\|message\|>(?P<text>.*?)"
    r"(?P<close><\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.DOTALL,
)
# The same once the marks were removed, but not the words.
_STRIPPED = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)[:\s]*")
_STRIPPED_NEXT = re.compile(r"assistant(?:analysis|commentary)")
_STRIPPED_FINAL = re.compile(r"(?P<word>assistantfinal)(?P<code>(?=[ \t]*[=(.\[{]|_))?[:\s]*")
_SPACED_FINAL = re.compile(r" assistant final ")  # a space between tokens
# As code it is a name, unless thinking comes before it, or it begins an answer that is JSON.
_STRIPPED_THINKING = re.compile(
    r"\s*(?:assistant)?(?:analysis|commentary)[:\s]*[^\s:=(\[{.,;_](?!\w*[ \t]*[=(\[{])"
)
_SPACED_THINKING = re.compile(r"\s*(?:assistant )?analysis (?-i:[A-Z])")
_JSON = re.compile(r"\s*(?:[{\[]\s*[\[{\"\]}]|\[\[?[\w-]+[\],])")
_GOES_ON = re.compile(r"\s?[/”’»」』]|[\"']\s")  # as no answer begins
_SENTENCE_END = tuple(".!?…。！？)\"'”’")
_ON_LINES = re.compile(r"\s*analysis\n(?P<thought>.*?)\n\s*final\n\s*(?=\S)", re.DOTALL)
# The words with which it begins to think: `analysisResult` is a name in code.
_THINKS = (
    r"(?:We|The|User|I|Need|Let|This|So|Okay|It|They|Just|Simple|First|That|There|What|Must|Should"
    r"|Given|Question|Probably|Compute|Answer|Provide|Write|Explain|Summari[sz]e|Translate|Respond)"
    r"(?=[ ,.:'’]|s\b)(?! ?[=(\[{])"
)
_STRIPPED_UNCLOSED = re.compile(
    rf"\s*assistantanalysis|\s*analysis(?:{_THINKS}|(?=[^\x00-\x7f\W\d_]))"
)
# A list of words, where each has a line of its own.
_WORDS_ON_LINES = re.compile(r"\s*(?:[a-z-]{2,30}[ \t]*\n)+final\n[a-z-]{2,30}[ \t]*(?:\n|\Z)")
# What begins an answer, glued to the word; Latin letters in lower case go on with a word.
_BARE_FINAL = re.compile(
    r"\s*final(?:[A-ZÀ-ÖØ-Þ0-9*#`\"“„«‹「『$¿¡]|\.[A-Z]|-[ ]|\|[ ]|\\[a-z]|<[a-z!]|[{\[]+\s*[\"{\d]"
    r"|[(\[]+[A-Z0-9][)\]]|[^\x00-\u024f\u2000-\u206f])"
)
_GLUED_NAME = re.compile(r"\s*final\w+")
_NOUN = (  # which names in code have; no answer begins with one of them and no article
    r"(?:Price|Score|Result|Value|Output|Array|Sum|Total|String|Count|Amount|Cost|Grade|Message"
    r"|Number|Index|Position|Velocity|Speed|Balance|State|Step|Stage|Rank|Rate|Size|Length|Weight"
    r"|Width|Height|Path|Url|URL|Node|Map|Dict|Object|Layer|Loss|Status|Report|Version|Vector"
    r"|Matrix|Variable|Answer|List|Text|Data|Name)s?"
)
_NAME = re.compile(
    rf"\s*final(?:[A-Z]\w*(?:[ \t]*[-+*/%|&:]?=(?!=)|[(\[]|\.[a-z_]\w*|::|->|[ \t]*\+\+)"
    r"|\d{1,2}(?:[ \t]*=|\.[a-z])|\[\w{1,9}\][ \t]*(?:=|is\b)|[A-Z]\w*(?:,| and| or) final[A-Z]"
    rf"|[A-Z]?[a-z]*{_NOUN}(?:\s*\Z|[ \t]+(?:is|are|was|gives|holds|stores|contains|equals|means"
    r"|should|will|can|has|and|or|to|in|by|from|returns)\b))"
)
_NEXT = re.compile(r"<\|end\|>\s*(?=<\|start\|>assistant<\|channel\|>)")


def without_channels(text: str, spans: Spans, thought: list[str]) -> tuple[str, bool] | None:
    """The answer in a text of channels, and whether there is none yet; None without channels.

    The text of the other channels is added to `thought`.
    """
    at = after_space(text, 0)
    if found := _CHANNEL.match(text, at):
        return _of_channels(text, found, thought)
    if found := _final(text, spans):
        began = _STRIPPED.match(text)
        thinking = text[began.end() if began else 0 : found.start()]
        thought.extend(_STRIPPED_NEXT.split(thinking))
        return text[found.end() :], False
    found = _ON_LINES.match(text)
    if found and not _WORDS_ON_LINES.match(text):
        thought.append(found["thought"])
        return text[found.end() :], False
    if _STRIPPED_UNCLOSED.match(text):
        thought.append(text)
        return "", True
    found = _NEXT.search(text)  # the prompt has opened the first channel
    if found and "<|" not in text[: found.start()] and not inside(found.start(), spans):
        thought.append(text[: found.start()])
        return _of_channels(text, _CHANNEL.match(text, found.end()), thought)
    return None


def _final(text: str, spans: Spans) -> re.Match[str] | None:
    """The words that are left of the marks before the answer; None where there are none."""
    thinks, spoken = _STRIPPED_THINKING.match(text), None
    for found in _STRIPPED_FINAL.finditer(text):
        start, end = found.span("word")
        if _is_named(text, start, end, spans):
            continue
        if found["code"] is None:
            return found if thinks or _is_place(text, start, end) else None
        if thinks and not text[start - 1].isspace():
            return found
        if thinks or (not text[:start].strip() and _JSON.match(text, end)):
            spoken = spoken or found
    return spoken or (_SPACED_FINAL.search(text) if _SPACED_THINKING.match(text) else None)


def _is_named(text: str, start: int, end: int, spans: Spans) -> bool:
    """Whether a word is in code, in quotes or a word of a sentence."""
    return inside(start, spans) or in_prose(text, start, end) or is_wrapped(text, start, end)


def _is_place(text: str, start: int, end: int) -> bool:
    """Whether an answer surely begins after a word that is glued to text or begins a line."""
    if is_shown(text, start, end) or _GOES_ON.match(text, end):
        return False
    before = text[max(0, start - 80) : start]
    line = before.rpartition("\n")[2]
    if not line.strip():
        return before.rstrip()[-1:] != ":"
    if line[-1].isspace():
        return line.rstrip().endswith(_SENTENCE_END) and not text[end : end + 1].isspace()
    return line[-1] not in "=/|"


def bare_final(text: str, spans: Spans) -> str | None:
    """The word `final` or `assistantfinal` where a channel's mark seems to be left of one.

    As in "finalThe Nile is": what it is glued to is no name in code, as in "finalPrice is".
    """
    if _NAME.match(text) is None and _BARE_FINAL.match(text):
        name = _GLUED_NAME.match(text)
        if name is None or len(re.findall(rf"\b{name[0].strip()}\b", text)) == 1:
            return "final"
    for found in _STRIPPED_FINAL.finditer(text):
        if _is_named(text, *found.span("word"), spans):
            continue
        before = text[max(0, found.start() - 80) : found.start()].rstrip()
        if found["code"] is None or not before or before.endswith(_SENTENCE_END):
            return found["word"]
    return None


def _of_channels(text: str, found: re.Match[str] | None, thought: list[str]) -> tuple[str, bool]:
    """The text of the channel `final`, with all that is in no channel; the others are thinking."""
    final: list[str] = []
    at = 0
    while found:
        (final if found["channel"] == "final" else thought).append(found["text"])
        at = found.end()
        found = _CHANNEL.match(text, after_space(text, at))
    return ("".join(final) + text[at:], False) if final else ("", True)
