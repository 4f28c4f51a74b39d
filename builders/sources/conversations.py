"""Dialogues in the chat formats in use, as a prompt that a row can hold.

ShareGPT's `from` and `value`; OpenAI's `role` and `content`, also as parts; Gemini's `contents`;
the `sender` and `content` of Claude's exports, the tree of ChatGPT's, along its last branch; turns
by speaker (`{"human": ..., "assistant": ...}`) or in pairs; all of them also as JSON text.

The rule, in this order: a speaker gets its role in `ROLES`, also where only the first word of its
name is there, as in "gpt-4"; turns without text are left out; the dialogue ends with its last user
turn, or with a system turn after that; neighbouring turns of one role are joined by a blank line.
It is used if it is then one system turn, or none, followed by user and assistant in turn; else it
is left out with the reason. So is a dialogue with tools: rows have no role for them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from builders.errors import shortened
from builders.sources.column_plan import DOCUMENTS, MEDIA, OPTIONS

Turns = list[dict[str, str]]

_NAMES = {
    "user": ("user", "human", "prompter", "customer", "question", "query", "input", "instruction"),
    "assistant": (
        *("assistant", "gpt", "chatgpt", "bing", "bard", "gemini", "claude", "llama", "vicuna"),
        *("alpaca", "mistral", "mixtral", "qwen", "deepseek", "copilot", "model", "bot", "chatbot"),
        *("ai", "agent", "output", "answer", "response"),
    ),
    "system": ("system", "developer", "system_prompt"),
    "tool": (
        *("tool", "tools", "tool_call", "tool_calls", "tool_response", "tool_result", "function"),
        *("function_call", "function_response", "observation", "ipython", "environment"),
    ),
}
ROLES = {name: role for role, names in _NAMES.items() for name in names}
_SPEAKER = ("role", "from", "speaker", "author")
_CONTENT = ("content", "value", "text", "parts", "message")
_INSIDE = ("messages", "conversations", "conversation", "contents", "turns")
_SYSTEM_BESIDE = ("system", "system_instruction", "systemInstruction")
_CALLS = ("tool_calls", "function_call", "functionCall", "functionResponse")
_TEXT_PARTS = (None, "text", "input_text", "output_text")
_NOT_IN_TURNS = MEDIA | {*DOCUMENTS, *OPTIONS, "attachments", "files"}
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking")
_UNSAID = {"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"}
_TOOL_PARTS = ("tool_use", "tool_result", "tool_call", "function_call", "function_response")

_MEDIA = "image|video|audio"
# Where a picture was. RSS and SVG, which have such a tag too, close it.
_PLACEHOLDER = re.compile(
    rf"<\|(?:{_MEDIA}|vision)[^|>\s]*\|>|<(?:{_MEDIA})[ _]\d+>"
    rf"|<(?:start_of_image|image_soft_token|image_placeholder)>"
    rf"|^\s*<(?:{_MEDIA})>|<(?:{_MEDIA})>\s*$",
    re.MULTILINE,
)
_CLOSED = re.compile(rf"</(?:{_MEDIA})>")
_LIKE_A_DIALOGUE = re.compile(
    rf"""\s*(?:\[\s*)?\{{\s*(?P<quote>["'])(?:{"|".join((*_SPEAKER, *_CONTENT, *_INSIDE))})["']"""
)
_OBJECTS = re.compile(r"""\s*(?:\[\s*\{|\{(?=\s*["'](?:role|from|messages)))\s*(?P<quote>["'])""")
_MARK = "\ufeff"  # of a file's byte order, where texts were read from files
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp", "Mn", "Me"}
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and a symbol that show nothing


class Reason(NamedTuple):
    """Why a row of a source is left out: one or two words, and a sentence without its subject."""

    word: str
    why: str


EMPTY = Reason("empty", "there is no text")
UNREADABLE = "unreadable"


def unreadable(why: str) -> Reason:
    """The reason of a row that cannot be understood."""
    return Reason(UNREADABLE, why)


def has_text(text: str) -> bool:
    """Whether there is a character to be seen in a text."""
    return (text[:1].isalnum() and text[0] not in _FILLERS) or any(
        unicodedata.category(character) not in _UNSEEN and character not in _FILLERS
        for character in text
    )


def prompt_of(
    value: Any, *, system: Any = None, history: Any = None, in_pairs: bool = False
) -> Turns | Reason:
    """The messages of a prompt from a text or a dialogue, or why there are none.

    Args:
        value: The text that the user asks, or a dialogue.
        system: The text of a system turn before it.
        history: Earlier turns, before it.
        in_pairs: Whether texts in a list are those of user and assistant in turn.
    """
    for given in (value, history):
        if isinstance(given, Reason):
            return given
    if value is None or value != value:  # NaN, as pandas writes null
        return unreadable("it is null, expected a text or a list of messages")
    if isinstance(value, str) and not system and not history:
        value = value.removeprefix(_MARK)
        reason = fault_of(value) if has_text(value) else EMPTY
        return reason or [{"role": "user", "content": value}]
    turns: list[tuple[str, Any] | Reason] = [("system", system)]
    turns += _turns(history, in_pairs=True) if history else ()
    turns += [("user", value)] if isinstance(value, str) else _turns(value, in_pairs)
    read: list[tuple[str, Any]] = []
    for turn in turns:
        if isinstance(turn, Reason):
            return turn
        read.append(turn)
    last = max((place for place, (role, _) in enumerate(read) if role == "user"), default=None)
    if last is None:
        return Reason("no user turn", "there is no turn of the user")
    texts: Turns = []
    # Answers at the end are not of the prompt; a system turn there would be.
    for role, content in [*read[: last + 1], *(one for one in read[last:] if one[0] == "system")]:
        text = text_of(content)
        if isinstance(text, Reason):
            return text
        if text is None and role != "system":
            return unreadable(f"the content of a turn of the {role} is null")
        texts.append({"role": role, "content": (text or "").removeprefix(_MARK)})
    return _checked(texts)


def unpacked(value: Any, *, only: bool = False) -> Any:
    """A dialogue that is given as JSON text; any other value as it is, or why it is unreadable.

    `only` says that nothing else is expected where it is from, so that a torn one is no text.
    """
    like = _OBJECTS if only else _LIKE_A_DIALOGUE
    if not isinstance(value, str) or not (start := like.match(value)):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        if start["quote"] == '"' and only:
            return unreadable(f"a list of messages that is not JSON ({error})")
        if start["quote"] == '"':
            return value  # a text that begins like one
        return unreadable("a list of messages in the notation of Python; write it as JSON")
    first = found[0] if isinstance(found, list) else found
    return found if {*_SPEAKER, *_INSIDE} & {*first} else value


def history_of(value: Any) -> Any:
    """Earlier turns, also as JSON text; None where there are none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return unreadable(f"it is {shortened(value)}, expected a list of turns")
    if isinstance(value, list | dict):
        return value or None
    if value is None or value != value:  # NaN, as pandas writes null
        return None
    return unreadable(f"it is {shortened(value)}, expected a list of turns")


def text_of(content: Any) -> str | Reason | None:
    """The text of a message; of parts, that of the text parts, one per line, without thoughts."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = content.get("parts", [content])
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        return unreadable(f"the content of a turn is {shortened(content)}, expected a text")
    texts = [*map(_part, content)]
    return next((one for one in texts if isinstance(one, Reason)), None) or "\n".join(
        one for one in texts if isinstance(one, str)
    )


def _part(part: Any) -> str | Reason | None:
    if part is None or isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return unreadable(f"a part is {shortened(part)}, expected a text")
    kind = part.get("type")
    if kind in _THOUGHTS or part.get("thought") is True:
        return None
    if kind in _TOOL_PARTS or any(part.get(name) for name in _CALLS):
        return of_tools(kind or "function call")
    text = part.get("text")
    text = text.get("value") if isinstance(text, Mapping) else text
    if kind in _TEXT_PARTS and isinstance(text, str):
        return text
    return unreadable(f"a part of kind {kind or next(iter(part), None)!r} is no text")


def of_tools(name: str) -> Reason:
    """The reason of a dialogue with tools, by what shows them."""
    return Reason("tool turns", f"there is a turn of {name!r}, and rows have no role for tools")


def _turns(value: Any, in_pairs: bool) -> Iterator[tuple[str, Any] | Reason]:
    """The role and the content of each turn, or why a turn is not read."""
    if isinstance(value, Mapping) and (tree := _of_tree(value)):
        value = tree
    if isinstance(value, Mapping):
        inner = next((value[name] for name in _INSIDE if value.get(name)), None)
        columns = {name: found for name, found in value.items() if isinstance(found, list)}
        if value.get("tools") or value.get("functions"):
            yield of_tools("tools")
        if inner is not None:
            yield from (("system", value[name]) for name in _SYSTEM_BESIDE if value.get(name))
            value = inner
        elif any(name in columns for name in _SPEAKER):  # a table of turns
            rows = zip(*columns.values(), strict=False)
            value = [dict(zip(columns, row, strict=True)) for row in rows]
        else:
            value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        yield unreadable(f"it is {shortened(value)}, expected a text or a list of messages")
        return
    if all(isinstance(turn, str) for turn in value) and (in_pairs or len(value) == 1):
        roles = ("user", "assistant")
        yield from ((roles[place % 2], text) for place, text in enumerate(value))
        return
    for turn in value:
        if isinstance(turn, Mapping):
            yield from _turn(turn)
        elif isinstance(turn, list) and len(turn) == 2:
            yield from zip(("user", "assistant"), turn, strict=True)
        else:
            yield unreadable(
                f"it holds {shortened(turn)}, expected a text or messages with 'role' and 'content'"
            )


def _of_tree(nodes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a tree of nodes, from its root to the last child of each."""
    if not all(isinstance(one, Mapping) and "children" in one for one in nodes.values()):
        return []
    found = []
    node = next((one for one in nodes.values() if not one.get("parent")), None)
    for _ in nodes:  # once each, whatever refers to what
        if node is None:
            break
        message, children = node.get("message"), node["children"]
        if isinstance(message, Mapping) and isinstance(content := message.get("content"), Mapping):
            facts = message.get("metadata")
            facts = facts if isinstance(facts, Mapping) else {}
            hidden = facts.get("is_visually_hidden_from_conversation")
            if not hidden and str(content.get("content_type")) not in _UNSAID:
                of_turn = {"author": message.get("author"), "content": content}
                found.append(of_turn | {"attachments": facts.get("attachments")})
        last = children[-1] if isinstance(children, list) and children else None
        node = nodes.get(last) if isinstance(last, str) else None
    return found


def _turn(turn: Mapping[str, Any]) -> Iterator[tuple[str, Any] | Reason]:
    of_speaker = (*_SPEAKER, "sender")  # which in a text of its own is that of an e-mail
    speaker = next((turn[name] for name in of_speaker if turn.get(name) is not None), None)
    if isinstance(speaker, Mapping):
        speaker = speaker.get("role")
    role = None
    if speaker is not None:
        role = ROLES.get(_plain(speaker)) or ROLES.get(re.split(r"[^a-z]", _plain(speaker))[0])
    lost = next((name for name in turn if turn[name] and _plain(name) in _NOT_IN_TURNS), None)
    if lost is not None and (speaker is None or role == "user"):
        yield unreadable(f"a turn has {lost!r}, for which messages have no place")
        return
    if speaker is None:
        names = [name for name in turn if _plain(name) != "model"]  # a setting, not a speaker
        said = [(role, turn[name]) for name in names if (role := ROLES.get(_plain(name)))]
        if said:
            yield from said
        else:
            yield unreadable(f"{shortened(turn)} has no 'role' and 'content'")
        return
    if role is None:
        yield unreadable(f"the speaker {shortened(speaker)} is not known")
    elif role == "tool" or any(turn.get(name) for name in _CALLS):
        yield of_tools(str(speaker) if role == "tool" else "tool calls")
    elif content := [name for name in _CONTENT if name in turn]:
        yield role, next((turn[name] for name in content if turn[name]), turn[content[0]])
    else:
        yield unreadable(f"a turn of {shortened(speaker)} has no 'content'")


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace("-", "_").replace(" ", "_")


def _checked(turns: Iterable[Mapping[str, str]]) -> Turns | Reason:
    """The turns by the rule of this module, or why they are no prompt."""
    seen = [turn for turn in turns if has_text(turn["content"])]
    while seen and seen[-1]["role"] == "assistant":
        seen.pop()
    if not any(turn["role"] == "user" for turn in seen):
        return EMPTY
    for turn in seen:
        if reason := fault_of(turn["content"]):
            return reason
    joined = []
    for role, group in groupby(seen, key=lambda turn: turn["role"]):
        texts = dict.fromkeys(turn["content"] for turn in group)  # a system turn may come twice
        joined.append({"role": role, "content": "\n\n".join(texts)})
    roles = [turn["role"] for turn in joined]
    spoken = roles[1:] if roles[0] == "system" else roles
    if "system" in spoken:
        return Reason("late system turn", f"the turns are {', '.join(roles)}")
    if spoken[0] == "assistant":
        return Reason("assistant first", f"the turns are {', '.join(roles)}")
    return joined


def fault_of(text: str) -> Reason | None:
    """Why a text cannot be read as it is, if so."""
    if not text.isascii() and (found := _SURROGATE.search(text)):
        return unreadable(f"there is half of a surrogate pair, U+{ord(found[0]):04X}")
    if "<" in text and (found := _PLACEHOLDER.search(text)) and not _CLOSED.search(text):
        return unreadable(f"{found[0].strip()!r} is the place of something that is no text")
    return None
