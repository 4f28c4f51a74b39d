"""What the columns of a row hold, whatever their names say: labels, dialogues, copies of others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builders.sources.column_plan import (
    DIALOGUES,
    KEYS,
    Plan,
    is_answer,
    is_of_answer,
    is_of_form,
    is_request,
    plain,
)
from builders.sources.column_texts import answer_texts, is_empty, is_filled_in
from builders.sources.conversations import Reason, prompt_of, unpacked
from builders.sources.json_shapes import is_dialogue
from builders.sources.rendered_dialogues import begins_with, rendered_turns, without_answer
from builders.sources.rows import Row

IN_PAIRS = {"conversations", "conversation", "dialogue", "dialog", "data"}  # lists, as in LIMA
_TALKS = {"dialogue", "dialog"}  # of others, where texts in a list are no turns of the user
ONE_WORD = re.compile(r"[\w.@/:#+-]*", re.ASCII)  # also an id, a path
_NAME = re.compile(
    rf"{ONE_WORD.pattern}|[A-Z][\w.'-]*(?:\s[A-Z][\w.'-]*){{1,2}}", re.ASCII
)  # also of a person
_KIND = re.compile(rf"{ONE_WORD.pattern}(?:\s{ONE_WORD.pattern})?", re.ASCII)  # of tasks
_BEFORE_OWN = re.compile(
    r"(?:(?<=[?？])\s+|(?:\A|\n)\W*(?P<label>answer|solution|response|output|completion)\W{1,6})\Z",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[\W_]*(?:\w+(?: \w+)?)?[\W_]*")
_BEFORE_ANSWER = re.compile(r"[:：\n\])>*]\s*\Z")
_END_MARKS = re.compile(r"\s*(?:(?:</s>|<\|\w+\|>|<end_of_turn>)\s*)+\Z")
_FEWEST_WORDS = 3  # of an answer behind a question that is no part of it
_ANSWERED_BY = {"assistant", "bot", "gpt", "ai", "output", "response", "answer", "completion"}


def is_copied(row: Row, plan: Plan) -> bool:
    """Whether what is asked is in another column that may ask, with more or without the answer."""
    asked, turns = row[plan.asked], None
    given = given_in(row, plan)
    for name in plan.also:
        value = unpacked(row[name], only=plain(name) in DIALOGUES)
        if isinstance(value, str):
            if isinstance(asked, str) and is_filled_in(asked, value, given):
                return True
            continue
        turns = turns or prompt_of(unpacked(asked))
        longer = prompt_of(value, in_pairs=plain(name) in IN_PAIRS)
        if isinstance(turns, Reason) or isinstance(longer, Reason) or len(longer) <= len(turns):
            continue
        spoken = [(turn["role"], turn["content"].strip()) for turn in longer]
        if all((turn["role"], turn["content"].strip()) in spoken for turn in turns):
            return True
    return False


def given_in(row: Row, plan: Plan) -> Row:
    """The columns with an answer, and those of no known name with some words, which may be one."""
    known = {plan.asked, *plan.about, *plan.also, *plan.options}
    return {
        name: value
        for name, value in row.items()
        if name not in known
        if is_of_answer(name) or (isinstance(value, str) and " " in value.strip())
    }


def is_marked(row: Row, plan: Plan) -> bool:
    """Whether a row shows which of its options is right, if their names are those of answers.

    Options that are equal, or equal to their mark, are sampled answers beside the known one.
    """
    if not plan.marks:
        return True
    names = {plain(name) for name in plan.options}
    letters = {letter.lower() for letter in plan.options.values()}
    numbers = {str(number) for number in range(len(letters) + 1)}
    texts = {str(row[name]).strip().lower() for name in plan.options}
    for name in plan.marks if len(texts) == len(letters) else ():
        mark = str(row[name]).strip().lower().removesuffix(".0")
        each = {one.strip("()[]. ") for one in re.split(r"[,;\s]+", mark)}
        marks = letters if plain(name) in KEYS else letters | numbers
        if mark in names or (each <= marks and (is_of_form(name) or not each & texts)):
            return True
    return False


def is_only_answered(text: str, asked: str, given: Row) -> bool:
    """Whether a text is nothing but another one and its answer, each behind a label if at all."""
    before, *rest = re.split(rf"(?<!\w){re.escape(asked.strip())}", text, maxsplit=1)
    if not rest or not _LABEL.fullmatch(before):
        return False
    after = _END_MARKS.sub("", rest[0]).rstrip(" .\n")
    answers = [one.rstrip(" .") for value in given.values() for one in answer_texts(value)]
    ends = [after.removesuffix(one) for one in answers if one and after.endswith(one)]
    return any(_LABEL.fullmatch(end) and _BEFORE_ANSWER.search(end) for end in ends)


def is_kind_of_question(row: Row, plan: Plan) -> bool:
    """Whether a question is a word that follows its premise, as COPA's `cause` and `effect`."""
    asked = row[plan.asked]
    return (
        plain(plan.asked) == "question"
        and any(plain(name) == "premise" for name in plan.about)
        and isinstance(asked, str)
        and ONE_WORD.fullmatch(asked.strip()) is not None
    )


def turns_in(text: str, given: Row, *, named: bool, is_vague: bool) -> Any:
    """The turns of a text that is a dialogue, also where it ends with an answer of the row.

    A column that the user `named`, or with a name that `is_vague`, may have the whole of it. A text
    that is no dialogue is without its answer, unless the user named the column.
    """
    if turns := rendered_turns(text, whole=named or is_vague, alone=not given):
        return turns
    if (turns := rendered_turns(text)) and turns[-1]["role"] == "assistant":
        answers = [one for value in given.values() for one in answer_texts(value)]
        if any(begins_with(turns[-1]["content"], one) for one in answers):
            return turns
    if named:
        return text
    return (is_vague and without_answer(text)) or without_own_answer(text, given)


def without_own_answer(text: str, given: Row, *, asks: bool = True) -> str:
    """A text without an answer of its row that ends it, behind a label or where it `asks`."""
    for name, value in given.items():
        for answer in answer_texts(value) if is_answer(name) else ():
            before = text.rstrip().removesuffix(answer)
            end = _BEFORE_OWN.search(before) if before != text.rstrip() else None
            if end and (end["label"] or (asks and len(answer.split()) >= _FEWEST_WORDS)):
                return before[: end.start()].strip() or text
    return text


def is_whole(text: str, asked: str) -> bool:
    """Whether a text has the prompt in it, and so the whole row, with its answer."""
    return " ".join(asked.split()) in " ".join(text.split()) or bool(rendered_turns(text))


def has_turns(value: Any, column: str) -> bool:
    """Whether a column has turns, whose last may be the answer."""
    value = unpacked(value)
    if isinstance(value, str):
        return rendered_turns(value) is not None
    if isinstance(value, list) and value and column in DIALOGUES - _TALKS:
        return True
    return is_dialogue(value.get("messages") if isinstance(value, Mapping) else value)


def is_of_labels(row: Row, name: str) -> bool:
    """Whether a column that may ask holds a name, an id or a setting instead."""
    column, value = plain(name), row[name]
    if is_empty(value):
        return False
    if column == "data":
        return not is_request(value) and not (isinstance(value, list) and has_texts(value))
    if not isinstance(value, str):
        return not isinstance(value, list) and not is_request(value)
    if column == "task":
        return _KIND.fullmatch(value.strip()) is not None
    return not _ANSWERED_BY & {*map(plain, row)} and _NAME.fullmatch(value.strip()) is not None


def has_texts(value: Any) -> bool:
    """Whether a value is text, or the texts of a conversation."""
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, str) for one in values)
