"""The content of a message by what it is: texts, thoughts, refusals, calls of tools, other media.

Values are cleaned here: what comes out can be recorded and written as UTF-8.
Source: the contents of OpenAI, Anthropic, Gemini, Bedrock, Mistral and Cohere.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from builders.errors import printable

_THOUGHT_KEYS = dict.fromkeys(
    (
        *("reasoning_content", "reasoning", "reasoning_text", "thinking", "thoughts", "thought"),
        *("reasoning_details", "thinking_blocks", "reasoningContent", "thinking_content"),
    )
)
_THOUGHT_TYPES = re.compile(r"think|reason|thought")
_THOUGHT_PART_KEYS = {"reasoningContent", "reasoning_content"}  # of Bedrock, without a type
_TOOL_PART = re.compile(r"tool_?(use|call)$|function_?call$")
_TOOL_PART_KEYS = {"functionCall", "function_call", "toolUse"}  # of Gemini and Bedrock
_TEXT_KEYS = (
    "text",
    "output_text",
    "content",
    "value",
    "parts",
    "thinking",
    "summary",
    "reasoning",
    "reasoningContent",
    "reasoning_content",
    "reasoningText",
)
_PART_KEYS = {"type", "text", "parts", "content", *_THOUGHT_PART_KEYS}
_MEDIA = re.compile(r"image|audio|video|media|document|^file$")
_MEDIA_KEYS = (  # of Gemini and Bedrock, without a type
    *("inlineData", "inline_data", "fileData", "file_data"),
    *("image", "audio", "video", "document"),
)
_DEEPEST = 12  # nested parts of a content; each level is a call
_SHORT = 200  # characters of a name
NOTHING = ("", "null", "none")  # how some servers write it
_HALF = re.compile("[\ud800-\udfff]")  # of a character, or a byte that is no UTF-8


class Content:
    """The parts of a content by what they are."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.tool_calls: list[dict[str, Any]] = []
        self.media = False  # whether it holds what is no text, such as an image

    def read(self, value: Any, depth: int = 0) -> None:
        """Add a content: a text, a part, or a list of them; of other media only that they are."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list) and depth < _DEEPEST:
            for one in value:
                self.read(one, depth + 1)
        elif isinstance(value, dict) and value and not depth and not _PART_KEYS & value.keys():
            self.texts.append(_json_text(value))  # an answer by a schema, parsed by the server
        elif isinstance(value, dict) and depth < _DEEPEST:
            kind = plain(value.get("type")).lower()
            thought = str(value.get("thought", "")).lower() == "true"  # some gateways send a text
            if thought or _THOUGHT_TYPES.search(kind) or _THOUGHT_PART_KEYS & value.keys():
                self.thoughts.append(_thought(value))
            elif isinstance(refusal := value.get("refusal"), str):
                self.refusals.append(refusal)
            elif _TOOL_PART.search(kind) or _TOOL_PART_KEYS & value.keys():
                self.tool_calls += tool_calls_of({"tool_calls": [_call_of_part(value)]})
            elif kind in ("", "text", "output_text", "message"):
                name = next((name for name in _TEXT_KEYS if name in value), None)
                self.read(value[name] if name else None, depth + 1)
                self.media = self.media or any(map(value.get, _MEDIA_KEYS))
            else:
                self.media = self.media or bool(_MEDIA.search(kind))


def _call_of_part(part: Mapping[str, Any]) -> Any:
    """A part that is the call of a tool, in OpenAI's form."""
    inner = next((part[name] for name in _TOOL_PART_KEYS if isinstance(part.get(name), dict)), part)
    arguments: Any = next(
        (inner[name] for name in ("arguments", "input", "args") if name in inner), {}
    )
    return {**inner, "id": part.get("id"), "arguments": arguments}


def thought_beside(message: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """The reasoning that a response has in a field of its own; empty without any."""
    for place in (message, message.get("provider_specific_fields"), choice):
        if isinstance(place, dict) and not _THOUGHT_KEYS.keys().isdisjoint(place):
            for key in _THOUGHT_KEYS:
                if thought := _thought(place.get(key)):
                    return thought
    return ""


def _thought(value: Any, depth: int = 0) -> str:
    """The text of reasoning in any of its forms; empty without any."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth < _DEEPEST:
        return "".join(_thought(one, depth + 1) for one in value)
    if isinstance(value, dict) and depth < _DEEPEST:
        return next((one for key in _TEXT_KEYS if (one := _thought(value.get(key), depth + 1))), "")
    return ""


def tool_calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of tools in one form, with their arguments as text."""
    given = message.get("tool_calls")
    calls = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    if not calls and isinstance(old := message.get("function_call"), dict):
        calls = [{"function": old}]
    found = []
    for call in calls:
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = _json_text(arguments)
        name = name_of(function.get("name")) or ""
        if not name and arguments.strip() in ("", "{}", "null"):  # some servers send it empty
            continue
        call_of = {"name": name, "arguments": utf8(arguments)}
        found.append({"id": name_of(call.get("id")) or "", "type": "function", "function": call_of})
    return found


def name_of(value: Any) -> str | None:
    """A short text on one line, such as the name of a model; None for anything else."""
    return _one_line(value[:_SHORT]) if isinstance(value, str) else None


@functools.lru_cache(1024)  # the same few in every answer
def _one_line(text: str) -> str | None:
    return printable(utf8(text)).strip() or None


def plain(value: Any) -> str:
    """A text or number as text; empty for anything else, which can be nested without end."""
    return str(value) if isinstance(value, str | int | float) else ""


def _json_text(value: Any) -> str:
    """A value as JSON; empty where it is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def utf8(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text if text.isascii() else _HALF.sub("\ufffd", _joined_pairs(text))


def _joined_pairs(text: str) -> str:
    """The text with the halves of a character joined, which came in two parts of a content."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def has_half(text: str) -> bool:
    """Whether a text holds the half of a character, or a byte that is no UTF-8."""
    return bool(_HALF.search(_joined_pairs(text)))
