"""Two texts of a pair, and their columns: answers, or dialogues that may share their beginning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builders.errors import shortened
from builders.sources.conversations import (
    ROLES,
    Reason,
    Turns,
    fault_of,
    has_text,
    text_of,
    unpacked,
    unreadable,
)

NO_TEXT = "without a text"
_STEMS = (
    *("text", "output", "response", "answer", "completion", "conversation", "generation"),
    *("candidate", "reply", "summary", "human_ref", "continuation", "option", "assistant"),
)
TEXTS = tuple(
    (f"{stem}{between}{a}", f"{stem}{between}{b}")
    for a, b in (("a", "b"), ("1", "2"), ("0", "1"))
    for stem in _STEMS
    for between in ("_", "", " ", "-")
)
BETTER_FIRST = tuple(
    (f"{better}{noun}", f"{worse}{noun}")
    for better, worse in (
        *(("chosen", "rejected"), ("preferred", "dispreferred"), ("preferred", "non_preferred")),
        *(("preferred", "rejected"), ("accepted", "rejected"), ("better", "worse")),
        ("winner", "loser"),
    )
    for noun in ("", "_response", "_output", "_answer", "_completion")
)
_SPOKEN = re.compile(r"(?:\A|\n\n)(Human|Assistant):")  # how HH-RLHF writes a dialogue
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two texts that answer a prompt (a text, or the turns of a dialogue)."""

    prompt: str | list[dict[str, str]]
    a: str
    b: str
    reference: str | None = None


def turns_of(value: Any) -> Turns | Reason:
    """The turns of a text or a dialogue, the last one the assistant's; or why there is none."""
    value = unpacked(value)
    if isinstance(value, Reason):
        return value
    if isinstance(value, str) and value.lstrip().startswith("Human:"):
        parts = _SPOKEN.split(value.strip())
        speakers = (_SPEAKERS[one] for one in parts[1::2])
        turns: Any = [*zip(speakers, (text.strip() for text in parts[2::2]), strict=True)]
    elif isinstance(value, list) and len(value) > 1 and all(isinstance(x, str) for x in value):
        return unreadable(f"it holds {len(value)} texts, expected one")
    elif isinstance(value, list) and value and all(map(_is_turn, value)):
        turns = []
        for turn in value:
            speaker = turn.get("role") or turn.get("from")
            role = ROLES.get(str(speaker).lower())
            if role not in ("system", "user", "assistant"):
                return unreadable(f"the speaker {shortened(speaker)} is not known here")
            turns.append((role, turn.get("content", turn.get("value"))))
    else:
        turns = [("assistant", value)]
    read: Turns = []
    for role, content in turns:
        text = text_of(content) if isinstance(content, str | list | Mapping) else None
        if isinstance(text, Reason):
            return text
        if fault := fault_of(text or ""):
            return fault
        read.append({"role": role, "content": text or ""})
    while read and read[-1]["role"] != "assistant":
        read.pop()
    if not read or not has_text(read[-1]["content"]):
        return Reason(NO_TEXT, f"{shortened(value)} is no text")
    return read


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def end_of(turns: Turns, turn: Any) -> int:
    """Where a dialogue ends if MT-bench labels its first `turn` turns."""
    answers = [place for place, one in enumerate(turns, 1) if one["role"] == "assistant"]
    whole = isinstance(turn, int) and not isinstance(turn, bool) and 1 <= turn <= len(answers)
    return answers[turn - 1] if whole else len(turns)


def shared_turns(a: Turns, b: Turns) -> int:
    """How many turns both dialogues begin with, up to one of the user, before each goes on."""
    shared = 0
    for place, (one, other) in enumerate(zip(a[:-1], b[:-1], strict=False), 1):
        if one != other:
            break
        if one["role"] == "user":
            shared = place
    return shared


def said_in(turns: Turns) -> str:
    """The text of one turn, or a dialogue with its speakers."""
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
