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
from builders.sources.column_texts import answer_texts, is_empty
from builders.sources.conversations import Reason, prompt_of, unpacked
from builders.sources.json_shapes import is_dialogue
from builders.sources.rendered_dialogues import ends_with_answer, rendered_turns
from builders.sources.rows import Row

IN_PAIRS = {"conversations", "conversation", "dialogue", "dialog", "data"}  # lists, as in LIMA
_TALKS = {"dialogue", "dialog"}  # of others, where texts in a list are no turns of the user
ONE_WORD = re.compile(r"[\w.@/:#+-]*", re.ASCII)  # also an id, a path
_NAME = re.compile(
    rf"{ONE_WORD.pattern}|[A-Z][\w.'-]*(?:\s[A-Z][\w.'-]*){{1,2}}", re.ASCII
)  # also of a person
_KIND = re.compile(rf"{ONE_WORD.pattern}(?:\s{ONE_WORD.pattern})?", re.ASCII)  # of tasks
_BEFORE_OWN = re.compile(r"(?:[:：?？>]|\n)[^\w(]*\Z")
_OF_ANSWER = re.compile(
    r"(?:\A|\n)[^\w\n]*(?:A|Answer|Solution|Response|Output|Assistant|Antwort|Respuesta|Réponse|答案)"
    r"\d*[^\w\n:：]*[:：](?=(?P<after>\W*\w)?)"
)
_LABEL = re.compile(r"\W*(?:\w+(?: \w+)?)?\W*")
_BEFORE_ANSWER = re.compile(r"[:：\n\])>*]\s*\Z")
_END_MARKS = re.compile(r"\s*(?:(?:</s>|<\|\w+\|>|<end_of_turn>)\s*)+\Z")
_ABOUT_ANSWER = re.compile(  # a request before a question and its answer
    r"\b(?:rate|judge|evaluat|critiqu|improv|rewrit|rephras|translat|grade|verif|check|review|edit"
    r"|explain|compar|correct (?:the|this|it)|(?:answer|reply|response|solution|this|it) "
    r"(?:correct|right|wrong|good))",
    re.IGNORECASE,
)
_ANSWERED_BY = {"assistant", "bot", "gpt", "ai", "output", "response", "answer", "completion"}


def is_copied(row: Row, plan: Plan) -> bool:
    """Whether what is asked is in another column that may ask, with more or without the answer."""
    asked, turns = row[plan.asked], None
    given = given_in(row, plan)
    for name in plan.also:
        value = unpacked(row[name], only=plain(name) in DIALOGUES)
        if isinstance(value, str):
            if isinstance(asked, str) and _is_answered(asked, value, given):
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


def _is_answered(template: str, asked: str, given: Row) -> bool:
    """Whether a text has another one and ends with its answer, and nothing in it is about that."""
    before, *after = template.split(asked.strip(), maxsplit=1)
    if not after or _ABOUT_ANSWER.search(before):
        return False
    if is_only_answered(template, asked, given):
        return True
    answers = [one for value in given.values() for one in answer_texts(value)]
    is_known = any(map(is_of_answer, given))
    return ends_with_answer(template, answers) or (not is_known and ends_with_answer(template))


def is_kind_of_question(row: Row, plan: Plan) -> bool:
    """Whether a question is a word that follows its premise, as COPA's `cause` and `effect`."""
    asked = row[plan.asked]
    return (
        plain(plan.asked) == "question"
        and any(plain(name) == "premise" for name in plan.about)
        and isinstance(asked, str)
        and ONE_WORD.fullmatch(asked.strip()) is not None
    )


def turns_in(text: str, given: Row, *, whole: bool) -> Any:
    """The turns of a text that is a dialogue, also where it ends with an answer of its row.

    `whole` says that a dialogue is expected there.
    """
    answers = [one for value in given.values() for one in answer_texts(value)]
    return rendered_turns(text, whole=whole, alone=not given, answers=answers) or text


def may_end_with_answer(text: str, given: Row) -> bool:
    """Whether what is asked ends as an answer does: with one of its row, or behind a label."""
    answers = [one for name in given if is_answer(name) for one in answer_texts(given[name])]
    if not answers:
        return any(found["after"] for found in [*_OF_ANSWER.finditer(text)][-1:])
    text = text.rstrip()
    return any(_BEFORE_OWN.search(text.removesuffix(one)) for one in answers if text.endswith(one))


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
