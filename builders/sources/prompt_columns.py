"""Which columns of a row make its prompt, and how: the table of what sets call them.

What a row asks is in its first column of `PROMPT_COLUMNS`. A text about which it asks, in one of
`CONTEXT_COLUMNS`, follows it after a blank line; a text in one of `SYSTEM_COLUMNS` is a system turn
before it, and `HISTORY_COLUMNS` hold earlier turns. Columns named by the user, A or A+B, are joined
in that order, and no other is used.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from builders.recipe import Raw, row_id
from builders.sources.conversations import (
    Reason,
    Turns,
    fault_of,
    has_text,
    prompt_of,
    unpacked,
    unreadable,
)
from builders.sources.records import Row

PROMPT_COLUMNS = (
    *("prompt", "messages", "conversations", "conversation", "dialogue", "dialog", "contents"),
    *("instruction", "question", "query", "problem", "request", "inputs", "input", "text"),
    *("user", "human", "task", "goal", "prompts", "instructions", "questions", "body", "params"),
)
CONTEXT_COLUMNS = (
    *("input", "inputs", "context", "passage", "article", "document", "paragraph"),
    *("choices", "options"),
)
SYSTEM_COLUMNS = (
    *("system", "system_prompt", "system_message", "system_instruction", "systeminstruction"),
)
HISTORY_COLUMNS = ("history", "chat_history")
_IN_PAIRS = {"conversations", "conversation", "dialogue", "dialog"}  # lists of texts, as in LIMA
_BY_CHANCE = 100  # characters: a longer text that a prompt holds already is not repeated
_LETTERED = {"choices", "options"}
_MOST_PLANS = 1000  # rows of a file differ in columns, mostly little


class _Plan(NamedTuple):
    """Where in a row its prompt is."""

    asked: str
    about: Sequence[str]
    system: Sequence[str]
    history: Sequence[str]


@dataclass
class PromptColumns:
    """Makes prompts of rows, and notes which columns they use.

    Each file asks in the column that its first row with one has.

    Attributes:
        named: The column that the user names, or A+B; None finds the usual ones.
        keeps: Columns whose texts a prompt keeps beside it.
        used: The columns of which prompts are made, in the order of their first use.
    """

    named: str | None = None
    keeps: Sequence[str] = ()
    used: dict[str, None] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)  # looked at in full, though it may be empty
    _asked: dict[str, list[str]] = field(default_factory=dict)
    _plans: dict[tuple[str, ...], _Plan | Reason] = field(default_factory=dict)

    @property
    def unused(self) -> list[str]:
        """The columns of which no prompt has anything, in their order."""
        known = {*self.used, *self.keeps, *self._read}
        return [str(name) for name in self._seen if name not in known]

    def prompt(self, file: str, row: Row) -> Raw | Reason:
        """The prompt of a row with its id, or why there is none."""
        columns = (file, *row)
        plan = self._plans.get(columns)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[columns] = self._plan(file, row)
        prompt = plan if isinstance(plan, Reason) else self._prompt(row, plan)
        if isinstance(prompt, Reason):
            return prompt
        kept = {name: row[name] for name in self.keeps if _is_text(row.get(name))}
        return {"id": row_id(prompt), "prompt": prompt, **kept}

    def _plan(self, file: str, row: Row) -> _Plan | Reason:
        self._seen |= dict.fromkeys(row)
        names = {str(name).strip().lower(): name for name in row}
        asked = self._asked.get(file) or self._find(row, names)
        missing = [name for name in asked if name not in row]
        if missing or not asked:
            what = repr(missing[0]) if missing else "with prompts"
            return unreadable(
                f"no column {what}; there are {', '.join(map(str, row))}; name one with --column"
            )
        self._asked[file] = asked
        first, *others = asked
        if self.named:
            return _Plan(first, others, (), ())
        about, system, history = (
            [names[name] for name in usual if name in names and names[name] != first]
            for usual in (CONTEXT_COLUMNS, SYSTEM_COLUMNS, HISTORY_COLUMNS)
        )
        return _Plan(first, about, system, history)

    def _find(self, row: Row, names: Mapping[str, str]) -> list[str]:
        if self.named:
            return [self.named] if self.named in row else self.named.split("+")
        return [names[name] for name in PROMPT_COLUMNS if name in names][:1]

    def _prompt(self, row: Row, plan: _Plan) -> Turns | Reason:
        value = unpacked(row[plan.asked])
        system, history = self._filled(row, plan.system), self._filled(row, plan.history)
        used = [*system, *history, plan.asked]
        if isinstance(value, str):
            texts = [value]
            for name in plan.about:
                if (text := self._about(row, name)) and _adds(text, value):
                    texts.append(text)
                    used.append(name)
            if len(texts) > 1:
                value = "\n\n".join(text.strip() for text in texts if has_text(text))
        prompt = prompt_of(
            value,
            system=row[system[0]] if system else None,
            history=unpacked(row[history[0]]) if history else None,
            in_pairs=plan.asked.strip().lower() in _IN_PAIRS,
        )
        if isinstance(prompt, Reason):
            return Reason(prompt.word, f"column {plan.asked!r}: {prompt.why}")
        for name in used:
            self.used[name] = None
        return prompt

    def _filled(self, row: Row, names: Sequence[str]) -> list[str]:
        """The first column that has a value, if any."""
        found = [name for name in names if not _is_empty(row[name])][:1]
        self._read.update(name for name in names if _is_empty(row[name]))
        return found

    def _about(self, row: Row, name: str) -> str | None:
        """The text of a column that a prompt is about; None where it holds something else."""
        text = _text(row[name], lettered=name.strip().lower() in _LETTERED)
        if text is not None:
            self._read.add(name)
        return text


def _adds(text: str, to: str) -> bool:
    """Whether a text is not in a prompt yet."""
    return text != to and (len(text) <= _BY_CHANCE or text not in to)


def _text(value: Any, *, lettered: bool) -> str | None:
    if _is_empty(value):
        return ""
    labels: Sequence[str] = string.ascii_uppercase
    if isinstance(value, Mapping) and {"text", "label"} <= {*value}:  # as in ARC
        labels, value = value["label"], value["text"]
    if isinstance(value, str):
        return value if has_text(value) else ""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return None
    if lettered and len(value) <= len(labels):
        return "\n".join(f"{label}. {one}" for label, one in zip(labels, value, strict=False))
    return "\n\n".join(value)


def _is_empty(value: Any) -> bool:
    return not value or value != value  # NaN, as pandas writes null


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and fault_of(value) is None
