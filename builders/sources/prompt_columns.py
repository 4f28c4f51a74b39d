"""The prompt of a row, from the columns that `column_plan` finds, or that the user names.

Each row is read by the columns that it has, empty ones aside. The texts about which it asks and its
options follow after blank lines, in a dialogue after its last turn, where the prompt does not have
them yet; a system column is a system turn before it, and a history earlier turns. An object in the
place of a prompt, such as the request in a line of a batch file, is read as a row of its own. A
text that is a dialogue with its marks is split into its turns. A text does not ask where a dialogue
of the row has it and more, nor where it is a template around what another column asks, with the
answer. What is in the column of a context and is none, such as an id, an address, settings or gold
labels, is not joined. A row with an image or a sound is left out. Columns named by the user, A or
A+B, are joined in that order, to the dialogue if one of them is one, and no other is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builders.errors import shortened
from builders.recipe import Raw, row_id
from builders.sources.column_kinds import (
    IN_PAIRS,
    ONE_WORD,
    given_in,
    has_texts,
    has_turns,
    is_copied,
    is_kind_of_question,
    is_marked,
    is_of_labels,
    is_only_answered,
    is_whole,
    may_end_with_answer,
    turns_in,
)
from builders.sources.column_plan import (
    AS_IT_IS,
    CLEAR,
    DIALOGUES,
    NAMES,
    OPTIONS,
    TURN_COLUMNS,
    Plan,
    is_request,
    plain,
    plan_of,
)
from builders.sources.column_texts import (
    are_in,
    column_text,
    context_text,
    is_empty,
    is_in,
    is_query,
    option_lines,
    without_answers,
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
from builders.sources.first_rows import (
    first_rows,
    is_instruction,
    texts_beside,
)
from builders.sources.json_shapes import is_dialogue
from builders.sources.rows import Row

_TEXT_ONLY = {"evidence", "facts", "knowledge"}  # where it is a list, it is that of gold proofs
_AS_JSON = {"table", "schema"}
_MOST_PLANS = 1000  # rows of a file differ in columns, mostly little
_MOST_OBJECTS = 5  # objects inside one another


@dataclass
class PromptColumns:
    """Makes prompts of rows, and notes which columns they use.

    Attributes:
        named: The column that the user names, or A+B; None finds the usual ones.
        keeps: Columns whose texts a prompt keeps beside it.
        answered: Whether the answers are elsewhere, so that no column may hold them.
        forms: By the column that asks, those that prompts are made from, in order of first use.
        with_answers: How many prompts may end with their answer.
    """

    named: str | None = None
    keeps: Sequence[str] = ()
    answered: bool = False
    forms: dict[str, dict[str, None]] = field(default_factory=dict)
    with_answers: int = 0
    _doubtful: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)  # looked at in full, though it adds nothing
    _samples: set[str] = field(default_factory=set)  # of answers, which are no options
    _joined: Sequence[str] = ()  # in this file, with the one that asks
    _plans: dict[tuple[Sequence[str], Sequence[str]], Plan | Reason] = field(default_factory=dict)

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
        """Those of them that may be part of a prompt, with the option that joins each."""
        found = {name: self._doubtful[name] for name in self.unused if name in self._doubtful}
        return {name: self._joining(name, asks) for name, asks in found.items()}

    def _joining(self, name: str, asks: str) -> str:
        """The columns to name for joining one to those of a prompt."""
        others = [one for one in self.forms.get(asks, [asks]) if plain(one) not in TURN_COLUMNS]
        return "+".join([name, *others] if is_instruction(name) else [*others, name])

    def prompt(self, row: Row) -> Raw | Reason:
        """The prompt of a row with its id, or why there is none."""
        kept = {name: row[name] for name in self.keeps if _is_text(row.get(name))}
        prompt = self._made(row)[1]
        if isinstance(prompt, Reason):
            return prompt
        return {"id": row_id(prompt), "prompt": prompt, **kept}

    def beside(self, row: Row, prompt: Turns) -> dict[str, str]:
        """The texts of a row that its prompt has not, though they may be part of one."""
        if self.named:
            return {}
        known = {*self.used, *self.keeps, *self._read}
        return texts_beside(row, prompt, known, self._doubtful)

    def doubt(self, names: Iterable[str], row: Row) -> None:
        """Note columns that may be part of the prompt of a row."""
        self._doubtful = {**dict.fromkeys(names, self.asked(row) or ""), **self._doubtful}

    def _made(self, row: Row) -> tuple[str | None, Turns | Reason]:
        """The column that asks in a row, and its prompt."""
        row = _opened(self.named or "", row)
        plan = self._plan_of(row)
        if isinstance(plan, Plan):
            row, plan = self._other_plan(row, plan)
        if isinstance(plan, Reason):
            return None, plan
        return plan.asked, self._prompt(row, plan)

    def compare(self, rows: Sequence[Row]) -> None:
        """Note what the first rows of a file show about its columns."""
        if self.named:
            return
        self._joined = ()
        self._plans.clear()
        first = PromptColumns(keeps=self.keeps, answered=self.answered)
        made = [(row, *first._made(row)) for row in rows]
        self._samples = first._samples
        by_asked: dict[str, list[tuple[Row, str]]] = {}
        for row, asks, prompt in made:
            if asks is not None and not isinstance(prompt, Reason):
                by_asked.setdefault(asks, []).append((row, row_id(prompt)))
        if by_asked:
            asks, found = max(by_asked.items(), key=lambda one: len(one[1]))
            known = {*first.used, *first._read, *self.keeps}
            seen, ids = zip(*found, strict=True)
            shown = first_rows(seen, asks, ids, known)
            self._joined = shown.joined
            self._doubtful |= dict.fromkeys(shown.doubtful, next(iter(shown.joined), asks))

    def asked(self, row: Row) -> str | None:
        """The column that asks in a row; None if there is none."""
        plan = self._plan_of(_opened(self.named or "", row))
        if isinstance(plan, Reason):
            return None
        return next((name for name in row if plan.asked.startswith(f"{name}.")), plan.asked)

    def _other_plan(self, row: Row, plan: Plan, depth: int = 0) -> tuple[Row, Plan | Reason]:
        """What to read where the column that seems to ask holds an object, or a copy of others."""
        value = row[plan.asked]
        if is_request(value) and depth < _MOST_OBJECTS:
            self._read.add(plan.asked)
            about = [name for name in plan.about if self.named]
            others = about if self.named else [name for name in row if name != plan.asked]
            row = {name: row[name] for name in others}
            row |= {f"{plan.asked}.{name}": one for name, one in value.items()}
            inner = self._plan_of(row, as_usual=True)
            if isinstance(inner, Reason):
                return row, inner
            usual = [name for name in inner.about if name not in about]
            return self._other_plan(row, inner._replace(about=[*usual, *about]), depth + 1)
        if is_kind_of_question(row, plan):
            first = next(name for name in plan.about if plain(name) == "premise")
            rest = [name for name in plan.about if name != first]
            return row, plan._replace(asked=first, about=[plan.asked, *rest])
        if plan.also and is_copied(row, plan):
            row = {name: one for name, one in row.items() if name != plan.asked}
            return row, self._plan_of(row)
        return row, plan

    def _plan_of(self, row: Row, *, as_usual: bool = False) -> Plan | Reason:
        filled = tuple(name for name, value in row.items() if not is_empty(value))
        names = tuple(row)
        may_be_labels = [name for name in names if plain(name) in NAMES and "." not in name]
        if may_be_labels and (not self.named or as_usual):
            labels = [name for name in may_be_labels if is_of_labels(row, name)]
            names = tuple(name for name in names if name not in labels)
        plan = self._plans.get((filled, names))
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._seen |= dict.fromkeys(filled)
            if self.named and not as_usual:
                plan = self._named_plan(row, filled)
            else:
                plan = self._usual_plan(row, filled, names)
            self._plans[filled, names] = plan
        return plan

    def _usual_plan(self, row: Row, filled: Sequence[str], names: Sequence[str]) -> Plan | Reason:
        have = [name for name in filled if name in {*names}]
        plan = plan_of(names, have, lambda name: has_texts(row[name]), self.answered)
        if plan is None:
            return _missing("with prompts", row)
        if plan.asked in self._joined:
            first, *others = [name for name in self._joined if name in have]
            about = [*others, *(name for name in plan.about if name not in self._joined)]
            plan = plan._replace(asked=first, about=about)
        self._doubtful |= dict.fromkeys(plan.doubtful, plan.asked)
        return plan

    def _named_plan(self, row: Row, filled: Sequence[str]) -> Plan | Reason:
        names = _names(str(self.named), row)
        if missing := [name for name in names if name not in row]:
            return _missing(repr(missing[0]), row)
        asks = [name for name in names if has_turns(row[name], plain(name))]
        asked = next(iter([*asks, *(name for name in names if name in filled)]), names[0])
        about = [name for name in names if name in filled and name != asked]
        return Plan(asked, about, lists=[name for name in about if plain(name) in OPTIONS])

    def _prompt(self, row: Row, plan: Plan) -> Turns | Reason:
        column = plain(plan.asked)
        if media := [name for name in plan.media if _is_content(row[name])]:
            return _no_text(media[0])
        if plan.tools:
            return of_tools(plain(plan.tools[0]))
        value, given = unpacked(row[plan.asked], only=column in DIALOGUES), given_in(row, plan)
        if isinstance(value, str):
            value = turns_in(value, given, whole=bool(self.named) or column not in CLEAR)
        if isinstance(value, str) and (reason := self._other_turn(row)):
            return reason
        system = text_of(row[plan.system]) if plan.system is not None else None
        if isinstance(system, Reason):
            return _in(plan.system, system)
        history = history_of(row[plan.history]) if plan.history is not None else None
        if isinstance(history, Reason):
            return _in(plan.history, history)
        prompt = prompt_of(value, system=system, history=history, in_pairs=column in IN_PAIRS)
        if isinstance(prompt, Reason):
            of_history = history is not None and not isinstance(prompt_of(value), Reason)
            return _in(plan.history if of_history else plan.asked, prompt)
        used = [name for name in (plan.system, plan.history, plan.asked) if name is not None]
        asked = last = prompt[-1]["content"]
        for names, text in self._about(row, plan, value):
            of_text = plain(names[0]) == "text" and is_whole(str(text), asked)
            if not self.named and (of_text or is_only_answered(str(text), asked, given)):
                continue
            self._read |= {*names}
            if reason := text if isinstance(text, Reason) else fault_of(text):
                return _in(names[0], reason)
            before = (last, *(turn["content"] for turn in prompt))
            held = are_in if names[0] in (*plan.lists, *plan.options) else is_in
            if has_text(str(text)) and not any(held(str(text), one) for one in before):
                last = f"{last.strip()}\n\n{str(text).strip()}"
                used += names
        prompt[-1] = {**prompt[-1], "content": last}
        self.with_answers += not self.named and may_end_with_answer(last, given)
        self.forms.setdefault(plan.asked, {}).update(dict.fromkeys(used))
        return prompt

    def _about(
        self, row: Row, plan: Plan, value: Any
    ) -> Iterator[tuple[Sequence[str], str | Reason]]:
        """The texts that a prompt is about, with the columns that each is from."""
        for name in plan.about:
            about = row[name]
            if plain(name) in AS_IT_IS and not self.named:
                given = [row[one] for one in plan.answers if one in row]
                about, gone = without_answers(about, given)
                self._seen |= dict.fromkeys(f"{name}.{one}" for one in gone)
                if is_empty(about):
                    continue
            text = option_lines(about) if name in plan.lists else self._text(name, about, value)
            if text is not None:
                yield [name], text
        if not is_marked(row, plan):
            self._samples |= {*plan.options}
        elif plan.options and not self._samples & {*plan.options}:
            options = option_lines({x: row[name] for name, x in plan.options.items()})
            if options is not None:
                yield [*plan.options], options

    def _text(self, name: str, about: Any, asked: Any) -> str | Reason | None:
        """The text of a column that a prompt is about; None where it holds something else."""
        column, text = plain(name), about if isinstance(about, str) else None
        if self.named:
            if has_turns(about, column):
                return unreadable("it is a second dialogue; name one")
            return column_text(about)
        if column in AS_IT_IS:
            copied = not isinstance(asked, str) and is_dialogue(about)
            return None if copied else column_text(about)
        if column in _TEXT_ONLY and text is None:
            return None
        if column == "code" and text and ONE_WORD.fullmatch(text.strip()):
            return None
        if column == "query" and text and is_query(text):
            return None
        return context_text(about, numbers=column == "context", as_json=column in _AS_JSON)

    def _other_turn(self, row: Row) -> Reason | None:
        """Why a row that is one turn of a thread, as in OpenAssistant's sets, is no prompt."""
        speaker, parent = row.get("role"), row.get("parent_id")
        role = ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
        if role is None:
            return None
        self._read |= {"role", "parent_id"}
        if role != "user":
            return Reason("other turn", f"it is a turn of the {role}, not a prompt")
        if is_empty(parent):
            return None
        return Reason("other turn", f"it follows the turn {shortened(parent)} of a thread")


def _opened(named: str, row: Row) -> Row:
    """A row whose objects are columns each where one is named by its path: `body.messages`."""
    for path in named.split("+") if "." in named else ():
        parts = path.strip().split(".")
        for end in range(1, len(parts)):
            name = ".".join(parts[:end])
            inner = row.get(name)
            if ".".join(parts) not in row and isinstance(inner, Mapping):
                row = {other: one for other, one in row.items() if other != name}
                row |= {f"{name}.{other}": one for other, one in inner.items()}
    return row


def _names(named: str, row: Row) -> list[str]:
    """The columns that A+B names, where a name may hold a plus, and blanks may be around it."""
    for end in [len(named), *(place for place, one in enumerate(named) if one == "+")]:
        for name in (named[:end], named[:end].strip()):
            if name in row:
                return [name, *(_names(named[end + 1 :], row) if end < len(named) else ())]
    first, plus, rest = named.partition("+")
    return [first.strip() or named, *(_names(rest, row) if plus else ())]


def _no_text(column: str) -> Reason:
    return unreadable(
        f"column {column!r} holds something that is no text; name those to ask with --column"
    )


def _missing(what: str, row: Row) -> Reason:
    if not row:
        return unreadable(f"no column {what}, nor any other; add one, such as 'prompt'")
    return unreadable(
        f"no column {what}; there are {', '.join(map(str, row))}; name one with --column"
    )


def _in(column: str | None, reason: Reason) -> Reason:
    return Reason(reason.word, f"column {column!r}: {reason.why}")


def _is_content(value: Any) -> bool:
    return isinstance(value, str | bytes | list | Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and fault_of(value) is None
