r"""The channels of OpenAI's gpt-oss in a text: thinking in all but the channel `final`.

Source: https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside
from builders.engine.foreign_turns import ROLE
from builders.engine.outer_space import after_space
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
_STRIPPED_FINAL = re.compile(r"(?P<word>assistantfinal)(?![ \t]*[=(.\[{]|_)[:\s]*")
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
_STRIPPED_ANSWER = re.compile(r"\s*final[A-Z][\w'’-]* [a-z]+ [^=(]")
_NEXT = re.compile(r"<\|end\|>\s*(?=<\|start\|>assistant<\|channel\|>)")


def without_channels(text: str, spans: Spans, thought: list[str]) -> tuple[str, bool] | None:
    """The answer in a text of channels, and whether there is none yet; None without channels.

    The text of the other channels is added to `thought`.
    """
    at = after_space(text, 0)
    if found := _CHANNEL.match(text, at):
        return _of_channels(text, found, thought)
    for found in _STRIPPED_FINAL.finditer(text):
        is_word = in_prose(text, found.start(), found.end("word"))
        if not inside(found.start(), spans) and not is_word:
            began = _STRIPPED.match(text)
            thinking = text[began.end() if began else 0 : found.start()]
            thought.extend(_STRIPPED_NEXT.split(thinking))
            return text[found.end() :], False
    if found := _ON_LINES.match(text):
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


def bare_final(text: str) -> str | None:
    """The word `final` where a channel's mark seems to be left, as in "finalThe Nile is"."""
    return "final" if _STRIPPED_ANSWER.match(text) else None


def _of_channels(text: str, found: re.Match[str] | None, thought: list[str]) -> tuple[str, bool]:
    """The text of the channel `final`, with all that is in no channel; the others are thinking."""
    final: list[str] = []
    at = 0
    while found:
        (final if found["channel"] == "final" else thought).append(found["text"])
        at = found.end()
        found = _CHANNEL.match(text, after_space(text, at))
    return ("".join(final) + text[at:], False) if final else ("", True)
