r"""The channels of OpenAI's gpt-oss in a text: thinking in all but the channel `final`.

Source: https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside
from builders.engine.foreign_turns import ROLE

_CHANNEL = re.compile(
    rf"(?:<\|start\|>\s*{ROLE}?[^<]{{0,60}})?(?:<\|channel\|>)?\s*"
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
_STRIPPED_BEGINS = re.compile(r"assistantfinal(?=[^\sa-z]|\n)")
_NEXT = re.compile(r"<\|end\|>\s*(?=<\|start\|>assistant<\|channel\|>)")
_SPACE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]*")


def after_space(text: str, at: int) -> int:
    """Where a text goes on after white space at a place, and after signs that have no width."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def without_channels(text: str, spans: Spans, thought: list[str]) -> tuple[str, bool] | None:
    """The answer in a text of channels, and whether there is none yet; None without channels.

    The text of the other channels is added to `thought`.
    """
    at = after_space(text, 0)
    if found := _CHANNEL.match(text, at):
        return _of_channels(text, found, thought)
    if (found := _STRIPPED.match(text)) and (ends := text.find(_STRIPPED_FINAL, found.end())) >= 0:
        thought.extend(_STRIPPED_NEXT.split(text[found.end() : ends]))
        return text[ends + len(_STRIPPED_FINAL) :], False
    if begins := _STRIPPED_BEGINS.match(text, at):
        return text[begins.end() :], False
    if _STRIPPED_UNCLOSED.match(text):
        thought.append(text)
        return "", True
    found = _NEXT.search(text)  # the prompt has opened the first channel
    if found and "<|" not in text[: found.start()] and not inside(found.start(), spans):
        thought.append(text[: found.start()])
        return _of_channels(text, _CHANNEL.match(text, found.end()), thought)
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
