"""Which columns of a row make its prompt, and how: the table of what sets call them.

Each row is read by the columns that it has, empty ones aside. What it asks is in the first of
`PROMPT_COLUMNS`; the last ones count only in a row that has none of the others. The texts
about which it asks, in `CONTEXT_COLUMNS`, and its options follow after blank lines, in a dialogue
after its last turn, where the prompt does not have them yet; a text in one of `SYSTEM_COLUMNS` is a
system turn before it, and `HISTORY_COLUMNS` hold earlier turns. A column that may hold the answer
is used only beside one that does. `source` is mostly where a row is from: it is used only beside
`target`, where nothing else asks, or an instruction alone does. The request in a line of a batch
file is read as a row of its own. A text does not ask where a dialogue of the row has it and more,
nor where it is a template around what another column asks, with the answer. A row with an image or
a sound is left out. Columns named by the user, A or A+B, are joined in that order, and no other is
used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from builders.errors import shortened
from builders.recipe import Raw, row_id
from builders.sources.column_texts import (
    are_in,
    column_text,
    is_empty,
    is_filled_in,
    is_in,
    is_label,
    option_lines,
)
from builders.sources.conversations import (
    ROLES,
    Reason,
    Turns,
    fault_of,
    has_text,
    history_of,
    of_tools,
    prompt_of,
    text_of,
    unpacked,
    unreadable,
)
from builders.sources.json_shapes import is_dialogue
from builders.sources.rows import Row

_CLEAR = (
    *("prompt", "messages", "conversations", "conversation", "dialogue", "dialog", "contents"),
    *("instruction", "question", "query", "problem", "request", "inputs", "input"),
)
_VAGUE = (
    *("text", "user", "human", "task", "goal", "prompts", "instructions", "questions", "body"),
    *("selftext", "params", "modelinput"),
)
PROMPT_COLUMNS = (*_CLEAR, *_VAGUE)
_DOCUMENTS = (
    *("context", "contexts", "ctxs", "passage", "passages", "article", "articles", "document"),
    *("documents", "docs", "paragraph", "paragraphs", "background", "evidence", "knowledge"),
)
CONTEXT_COLUMNS = (
    *("input", "inputs", *_DOCUMENTS, "facts", "premise", "hypothesis", "sentence", "email"),
    *("source_text", "input_text", "user_input", "table", "schema", "starter_code", "text"),
    *("story", "code", "code_snippet", "content", "source"),
    *("choices", "options", "endings", "answer_choices"),
)
_MAYBE_ANSWERS = {
    *("text", "story", "code", "code_snippet", "content", "article", "articles", "email"),
}
SYSTEM_COLUMNS = (
    *("system", "system_prompt", "system_message", "system_instruction", "systeminstruction"),
)
HISTORY_COLUMNS = ("history", "chat_history", "conversation_history", "context_messages")
# What a row asks, where that is not in the first of the usual columns but before or beside it.
_RATHER = {
    **dict.fromkeys(("input", "inputs"), ("definition", "instructions")),
    **dict.fromkeys(("body", "selftext"), ("title",)),
    **dict.fromkeys(("dialogue", "dialog"), ("question", "query", "instruction")),
}
_FOLLOWING = {  # after what is asked, before the texts that it is about
    "instruction": ("question", "query", "problem"),
    "title": ("body", "selftext"),
}
_ASKED_ABOUT = {  # of those that may be the answer, what is none to such a column
    "instruction": ("text",),
    **dict.fromkeys(
        ("question", "query"), ("story", "article", "articles", "email", "code_snippet")
    ),
}
_ANSWERS = {
    *("output", "outputs", "response", "responses", "answer", "answers", "completion", "target"),
    *("targets", "label", "labels", "solution", "solutions", "summary", "chosen", "rejected"),
}
_OPTIONS = {"choices", "options", "endings", "answer_choices"}
_OPTION = re.compile(r"((?:option|choice|ending|sol|op)s?[_ ]?)?([a-h]|\d)")
_SOURCE = ("source", "target")  # a text and its translation
_AS_IT_IS = {"input", "inputs"}  # whatever is in them; the other columns may hold an id or a URL
_REQUESTS = ("body", "params", "request", "modelinput")  # in files for OpenAI, Anthropic, ...
_IN_REQUEST = re.compile(rf"(?:{'|'.join(_REQUESTS)})\.")
_MEDIA = {
    *("image", "images", "img", "picture", "pictures", "photo", "image_path", "image_file"),
    *("image_url", "image_urls", "audio", "audios", "speech", "video", "videos"),
}
_DIALOGUES = {*_CLEAR[1:7]}
_IN_PAIRS = {"conversations", "conversation", "dialogue", "dialog"}  # lists of texts, as in LIMA
_MOST_PLANS = 1000  # rows of a file differ in columns, mostly little


class _Plan(NamedTuple):
    """Where in a row its prompt is."""

    asked: str
    about: Sequence[str] = ()
    options: Mapping[str, str] = {}  # by column the letter
    system: str | None = None
    history: str | None = None
    also: Sequence[str] = ()  # the other columns that may ask
    answers: Sequence[str] = ()
    doubtful: Sequence[str] = ()  # not used as they may hold the answer


@dataclass
class PromptColumns:
    """Makes prompts of rows, and notes which columns they use.

    Attributes:
        named: The column that the user names, or A+B; None finds the usual ones.
        keeps: Columns whose texts a prompt keeps beside it.
        answered: Whether the answers are elsewhere, so that no column may hold them.
        forms: By the column that asks, the columns that prompts are made from, in the order of
            their first use.
    """

    named: str | None = None
    keeps: Sequence[str] = ()
    answered: bool = False
    forms: dict[str, dict[str, None]] = field(default_factory=dict)
    _doubtful: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)  # looked at in full, though it adds nothing
    _plans: dict[tuple[Sequence[str], Sequence[str]], _Plan | Reason] = field(default_factory=dict)

    @property
    def used(self) -> dict[str, None]:
        """The columns that prompts are made from."""
        return {name: None for form in self.forms.values() for name in form}

    @property
    def unused(self) -> list[str]:
        """The columns that hold something, and no prompt has anything of it, in their order."""
        known = {*self.used, *self.keeps, *self._read}
        return [str(name) or "''" for name in self._seen if name not in known]

    @property
    def doubtful(self) -> dict[str, str]:
        """Those of them that may hold the answer, with the column that asks."""
        return {name: self._doubtful[name] for name in self.unused if name in self._doubtful}

    def prompt(self, row: Row) -> Raw | Reason:
        """The prompt of a row with its id, or why there is none."""
        kept = {name: row[name] for name in self.keeps if _is_text(row.get(name))}
        plan = self._plan_of(row)
        if isinstance(plan, _Plan):
            row, plan = self._other_plan(row, plan)
        prompt = plan if isinstance(plan, Reason) else self._prompt(row, plan)
        if isinstance(prompt, Reason):
            return prompt
        return {"id": row_id(prompt), "prompt": prompt, **kept}

    def asked(self, row: Row) -> str | None:
        """The column that asks in a row; None if there is none."""
        plan = self._plan_of(row)
        return None if isinstance(plan, Reason) else plan.asked

    def _other_plan(self, row: Row, plan: _Plan) -> tuple[Row, _Plan | Reason]:
        """What to read where the column that seems to ask holds a request, or a copy of others."""
        value, column = row[plan.asked], _plain(plan.asked)
        if column in _REQUESTS and _is_request(value):
            self._read.add(plan.asked)
            others = {} if self.named else {x: row[x] for x in row if x != plan.asked}
            row = others | {f"{plan.asked}.{name}": one for name, one in value.items()}
            return row, self._plan_of(row, as_usual=True)
        if plan.also and _is_copy(row, plan):
            row = {name: one for name, one in row.items() if name != plan.asked}
            return row, self._plan_of(row)
        return row, plan

    def _plan_of(self, row: Row, *, as_usual: bool = False) -> _Plan | Reason:
        filled = tuple(name for name, value in row.items() if not is_empty(value))
        columns = (filled, tuple(row))
        plan = self._plans.get(columns)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._seen |= dict.fromkeys(filled)
            named = self.named and not as_usual
            plan = self._named_plan(row, filled) if named else _plan(row, filled, self.answered)
            if isinstance(plan, _Plan):
                self._doubtful |= dict.fromkeys(plan.doubtful, plan.asked)
            self._plans[columns] = plan
        return plan

    def _named_plan(self, row: Row, filled: Sequence[str]) -> _Plan | Reason:
        named = str(self.named)
        names = [named] if named in row else named.split("+")
        if missing := [name for name in names if name not in row]:
            return _missing(repr(missing[0]), row)
        asked = next((name for name in names if name in filled), names[0])
        return _Plan(asked, [name for name in names if name in filled and name != asked])

    def _prompt(self, row: Row, plan: _Plan) -> Turns | Reason:
        column = _plain(plan.asked)
        value = unpacked(row[plan.asked], only=column in _DIALOGUES)
        if isinstance(value, str) and (reason := self._other_turn(row)):
            return reason
        system = text_of(row[plan.system]) if plan.system is not None else None
        if isinstance(system, Reason):
            return _in(plan.system, system)
        history = history_of(row[plan.history]) if plan.history is not None else None
        if isinstance(history, Reason):
            return _in(plan.history, history)
        prompt = prompt_of(value, system=system, history=history, in_pairs=column in _IN_PAIRS)
        if isinstance(prompt, Reason):
            of_history = history is not None and not isinstance(prompt_of(value), Reason)
            return _in(plan.history if of_history else plan.asked, prompt)
        used = [name for name in (plan.system, plan.history, plan.asked) if name is not None]
        last = prompt[-1]["content"]
        for names, text in self._about(row, plan, value):
            reason = text if isinstance(text, Reason) else fault_of(text)
            if reason:
                return _in(names[0], reason)
            before = (last, *(turn["content"] for turn in prompt))
            held = are_in if _plain(names[0]) in _OPTIONS or len(names) > 1 else is_in
            if has_text(str(text)) and not any(held(str(text), one) for one in before):
                last = f"{last.strip()}\n\n{str(text).strip()}"
                used += names
        prompt[-1] = {**prompt[-1], "content": last}
        self.forms.setdefault(plan.asked, {}).update(dict.fromkeys(used))
        return prompt

    def _about(
        self, row: Row, plan: _Plan, value: Any
    ) -> Iterator[tuple[Sequence[str], str | Reason]]:
        """The texts that a prompt is about, with the columns that each is from."""
        for name in plan.about:
            column, about = _plain(name), row[name]
            text: str | Reason | None
            if column in _OPTIONS:
                text = option_lines(about)
            elif self.named or column in _AS_IT_IS:
                text = column_text(about)
            else:
                text = None if is_label(about) else column_text(about)
            # A column `text` that holds the prompt has the whole row in it, with its answer.
            whole = column == "text" and isinstance(value, str) and value in str(text)
            copied = not isinstance(value, str) and column in _AS_IT_IS and is_dialogue(about)
            if text is not None and not whole and not copied:
                self._read.add(name)
                yield [name], text
        if plan.options:
            yield [*plan.options], option_lines({x: row[name] for name, x in plan.options.items()})

    def _other_turn(self, row: Row) -> Reason | None:
        """Why a row that is one turn of a thread, as in OpenAssistant's sets, is no prompt."""
        speaker, parent = row.get("role"), row.get("parent_id")
        role = ROLES.get(_plain(speaker)) if isinstance(speaker, str) else None
        if role is None:
            return None
        self._read |= {"role", "parent_id"}
        if role != "user":
            return Reason("other turn", f"it is a turn of the {role}, not a prompt")
        if is_empty(parent):
            return None
        return Reason("other turn", f"it follows the turn {shortened(parent)} of a thread")


def _plan(row: Row, filled: Sequence[str], answered: bool) -> _Plan | Reason:
    names = {_plain(name): name for name in row}
    have = {_plain(name): name for name in filled}
    usual = [one for one in _CLEAR if one in names] or [one for one in _VAGUE if one in names]
    if not usual and {*_SOURCE} <= {*names}:
        usual = [*_SOURCE[:1]]
    if not usual:
        return _missing("with prompts", row)
    asks = next((one for one in usual if one in have), None)
    if asks is None:
        return _Plan(names[usual[0]])
    in_request = _IN_REQUEST.match(have[asks].lower())
    others = () if in_request else _RATHER.get(asks, ())
    if rather := next((one for one in others if one in have), None):
        asks = rather if _is_plain(row[have[asks]]) else asks
    if media := [have[one] for one in have if one in _MEDIA and _is_content(row[have[one]])]:
        return _no_text(media[0])
    about = [one for one in (*_FOLLOWING.get(asks, ()), *CONTEXT_COLUMNS) if one in have]
    if asks in ("question", "query", "instruction"):
        about += [one for one in ("dialogue", "dialog") if one in have]
    maybe: set[str] = set()
    if not answered and not _ANSWERS & {*names}:  # then one of these may be it
        maybe = _MAYBE_ANSWERS - {asks, *_ASKED_ABOUT.get(asks, ())}
    if about != ["source"] or asks != "instruction" or "target" not in names:
        about = [one for one in about if one != "source"]
    about = [one for one in about if one not in maybe]
    tools = [one for one in ("tools", "functions") if one in have]
    if in_request and tools:
        return of_tools(tools[0])
    system = (*SYSTEM_COLUMNS, *(("instructions",) if in_request else ()))
    return _Plan(
        asked=have[asks],
        about=[have[one] for one in dict.fromkeys(about) if one != asks],
        options=_options(have),
        system=next((have[one] for one in system if one in have and one != asks), None),
        history=next((have[one] for one in HISTORY_COLUMNS if one in have), None),
        also=[have[one] for one in _CLEAR if one in have and one not in (asks, *_AS_IT_IS)],
        answers=[have[one] for one in have if one in _ANSWERS],
        doubtful=[have[one] for one in have if one in maybe],
    )


def _is_request(value: Any) -> bool:
    """Whether a value is what is sent to an endpoint, rather than one turn."""
    if not isinstance(value, Mapping):
        return False
    names = {_plain(name) for name in value}
    return bool({*PROMPT_COLUMNS} & names) and not {"role", "from"} & names


def _is_copy(row: Row, plan: _Plan) -> bool:
    """Whether what is asked is in another column that may ask, with more or without the answer."""
    asked, turns = row[plan.asked], None
    for name in plan.also:
        value = unpacked(row[name], only=_plain(name) in _DIALOGUES)
        if isinstance(value, str):
            if isinstance(asked, str) and any(
                is_filled_in(asked, value, row[answer]) for answer in plan.answers
            ):
                return True
            continue
        turns = turns or prompt_of(unpacked(asked))
        longer = prompt_of(value, in_pairs=_plain(name) in _IN_PAIRS)
        if isinstance(turns, Reason) or isinstance(longer, Reason) or len(longer) <= len(turns):
            continue
        spoken = [(turn["role"], turn["content"].strip()) for turn in longer]
        if all((turn["role"], turn["content"].strip()) in spoken for turn in turns):
            return True
    return False


def _options(have: Mapping[str, str]) -> dict[str, str]:
    """The columns that hold an option each, with its letter: A to D, option_a, choice1."""
    groups: dict[str, dict[str, str]] = {}
    for plain, name in have.items():
        if (found := _OPTION.fullmatch(plain)) and (found[1] or found[2].isalpha()):
            groups.setdefault(found[1] or "", {})[name] = found[2].upper()
    for start, group in groups.items():
        if len(group) >= (2 if start else 3) and not _OPTIONS & {*have}:
            return group
    return {}


def _no_text(column: str) -> Reason:
    return unreadable(
        f"column {column!r} holds something that is no text; name those to ask with --column"
    )


def _missing(what: str, row: Row) -> Reason:
    return unreadable(
        f"no column {what}; there are {', '.join(map(str, row))}; name one with --column"
    )


def _in(column: str | None, reason: Reason) -> Reason:
    return Reason(reason.word, f"column {column!r}: {reason.why}")


def _plain(name: Any) -> str:
    return _IN_REQUEST.sub("", str(name).strip().lower(), count=1)


def _is_content(value: Any) -> bool:
    return isinstance(value, str | bytes | list | Mapping)


def _is_plain(value: Any) -> bool:
    """Whether a value is text, or the texts of a conversation."""
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, str) for one in values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and fault_of(value) is None
