r"""Another speaker's turn after an answer, where nothing but a role's word begins it.

A model that is not stopped writes the next question too, and answers it. A dialogue that the prompt
asked for looks alike: it begins with its first speaker, is introduced ("Here is a dialogue:"), or
has speakers that are no template's roles. Where it is none of these, the answer cannot be used.

Source: the prompt formats of Alpaca, Vicuna and Falcon, and the chat templates whose role headers
stay in a text when special tokens are removed.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside

ROLES = ("assistant", "user", "system", "developer", "model", "human", "tool", "ai", "bot")
ROLE = f"(?:{'|'.join(ROLES)})"
# A header whose marks were removed leaves its role, glued to what was written before or on a line.
_STRIPPED_ROLE = re.compile(
    rf"(?<=[.!?)\"'”’…。！？]){ROLE}\n(?:\n|(?=[^\sa-z]))(?=\S)"
    r"|(?<=[.!?)\"'”’…。！？])[ \t]*\n\n?(?:user|assistant|system|model)\n+(?=\S)"
)
_LIST = re.compile(rf"\s*{ROLE}\n{ROLE}\n{ROLE}(?:\n{ROLE})*\s*(?:\n\n|\Z)")
_HEADING = re.compile(
    r"(?<=[^:\s])\s*\n#{2,3} ?(?P<name>Instruction|Human|User|Assistant|Response):"
)
_OF_AN_API = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE|HTTP|API|[Rr]equest|[Ee]ndpoint)\b")
_TURN = re.compile(r"^(?P<name>Human|User|HUMAN|USER):(?:\s|\Z)", re.MULTILINE)
_LABEL_LINE = re.compile(
    r"^[ \t]*[*_]{0,2}(?P<name>\w{1,30}(?: \w{1,30})?)[*_]{0,2}:", re.MULTILINE
)
_ASKS = frozenset(("human", "user"))
_ANSWERS = frozenset(  # who answers in a template, by a role or by the model's own name
    (
        *("assistant", "ai", "bot", "model", "response", "answer", "a", "gpt", "chatgpt", "claude"),
        *("falcon", "llama", "vicuna", "alpaca", "koala", "dolly", "gemini", "gemma", "qwen"),
        *("mistral", "deepseek", "openassistant"),
    )
)
_INTRODUCES = re.compile(
    r":\s*\Z|\b(?:dialog|dialogue|conversation|transcript|chat|interview|skit|scene|script|exchange"
    r"|role-?play)s?\b|\bhere(?:['’]s| is) (?:one|it|an? (?:\w+ )?(?:example|sample))\b",
    re.IGNORECASE,
)
_INTRODUCTION = 250  # characters before the first turn, at most; a longer text is an answer


def foreign_turn(text: str, spans: Spans) -> str | None:
    """The word with which another turn begins outside the spans; None without one."""
    for found in _STRIPPED_ROLE.finditer(text):
        if not inside(found.end() - 1, spans) and not _LIST.match(text, found.start()):
            return found[0].strip()
    for found in _HEADING.finditer(text):
        documents = found["name"] == "Response" and _OF_AN_API.search(text, 0, found.start())
        if not inside(found.end() - 1, spans) and not documents:
            return found[0].strip()
    turns = (found for found in _TURN.finditer(text) if not inside(found.start(), spans))
    first = next(turns, None)
    return None if first is None or _is_dialogue(text, first) else f"{first['name']}:"


def _is_dialogue(text: str, turn: re.Match[str]) -> bool:
    """Whether the first turn of a template's role is of a dialogue or a list that is the answer."""
    before = text[: turn.start()].strip()
    if (
        not before
        or before.endswith(":")
        or (len(before) <= _INTRODUCTION and _INTRODUCES.search(before))
    ):
        return True
    follow = {found["name"].lower() for found in _LABEL_LINE.finditer(text, turn.end())}
    opening, above = _label(before), _label(before.rpartition("\n")[2])
    if opening in follow and opening != "assistant":
        return True
    if follow & _ANSWERS:
        return False
    line, _, after = text[turn.end() : turn.end() + 2000].partition("\n")
    listed = above not in ("", "assistant") and not line.rstrip().endswith("?")
    return listed or _label(after.lstrip()) not in ("", *_ASKS)


def _label(text: str) -> str:
    found = _LABEL_LINE.match(text)
    return found["name"].lower() if found else ""
