"""The text of a column that a prompt is about: of numbers, lists, documents and options.

A list of texts is joined by blank lines; a document is its title and its text; any other value is
written as JSON where it is surely part of a prompt. Options get a letter each, or the label that
they have.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from builders.errors import shortened
from builders.sources.column_plan import is_of_answer
from builders.sources.conversations import Reason, has_text, unreadable

_TEXTS = (
    *(
        "text",
        "passage_text",
        "paragraph_text",
        "page_content",
        "content",
        "contents",
        "contexts",
        "sentences",
    ),
    *("sentence", "passage", "paragraph", "document", "context", "body", "snippet", "value"),
)
_TITLES = ("title", "titles", "speaker", "role", "from")
_LABELS = ("label", "labels", "key", "id", "letter")
_OPTIONS = ("text", "texts", "choices", "options", "option", "choice", "value", "answer", "content")

_BY_CHANCE = 100  # characters: a shorter text may be in another by chance
_BEFORE = r"(?:\A|[:\n\"'`“”„«»(\[]|[.)]\s)\s*"
_AFTER = r"[.!?]?\s*(?:[\n\"'`“”«»)\]]|\Z)"
_NO_TEXT = (
    re.compile(  # a URL, an address, a colour, an id such as doc_17, a UUID, a locale, a file
        r"\s*(?:\w+://\S+|[^\s@]+@[^\s@]+\.\w+|[^<>@\n]*<[^\s@]+@[^\s@]+>|#[0-9a-fA-F]{3,8}"
        r"|[A-Za-z]+[_-]\d+|[0-9a-fA-F]{8}[0-9a-fA-F-]{8,}|[a-z]{2}[-_][A-Z]{2}"
        r"|[\w./\\-]+\.(?:pdf|txt|html?|docx?|xlsx?|jsonl?|csv|xml|md|png|jpe?g|mp3|wav|mp4))",
        re.ASCII,
    )
)
_NO_INPUT = "<noinput>"  # in Self-Instruct and the first Alpaca
_NO_INPUTS = re.compile(  # in the `input` of later ones
    r"\W*(?:no[ _]?input(?: (?:needed|required|provided|given|necessary))?|n/a|not applicable)\W*",
    re.IGNORECASE,
)
_MOST_OF_LABEL = 500  # characters
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*", re.ASCII)
_LABEL = re.compile(r"\s*\(?(?:[A-Za-z]|\d{1,2})\s*[).:]\s*", re.ASCII)  # of an option in its line
_LETTER = re.compile(r"(?:(?:option|choice)[ _]?)?\(?(?:[a-z]|\d{1,2})[).:]?", re.IGNORECASE)
_MARKS = {  # of the right option and of others
    *("correct", "incorrect", "right", "wrong", "true", "false", "gold", "distractor", "answer"),
    *("good", "bad", "valid", "invalid", "yes", "no"),
}
_OF_ANSWERS = {"message", "delta", "finish_reason", "logprobs"}  # in the choices of an endpoint
_QUERY = re.compile(
    r"\s*(?:SELECT\s|select\s.*\sfrom\s|WITH\s+\w+\s+AS\b|INSERT\s+INTO|UPDATE\s+\w+\s+SET"
    r"|DELETE\s+FROM|PREFIX\s+\w*:|MATCH\s*\()",
    re.DOTALL,
)


def is_empty(value: Any) -> bool:
    """Whether there is nothing in a column: null, NaN as pandas writes null, no text, no items."""
    if isinstance(value, str):
        return value == _NO_INPUT or not has_text(value)
    return value is None or value != value or (isinstance(value, list | dict) and not value)


def is_no_input(value: Any) -> bool:
    """Whether the `input` beside an instruction says that there is none."""
    return isinstance(value, str) and _NO_INPUTS.fullmatch(value) is not None


def is_label(value: Any) -> bool:
    """Whether a value is an id, an address or a colour rather than something to read."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, str) and is_label(one) for one in value)
    return (
        isinstance(value, str)
        and len(value) < _MOST_OF_LABEL
        and _NO_TEXT.fullmatch(value.strip()) is not None
    )


def is_query(text: str) -> bool:
    """Whether a text is one for a database rather than for a reader."""
    return _QUERY.match(text) is not None


def is_in(text: str, prompt: str) -> bool:
    """Whether a prompt has a text: of a short one, set off by a colon, quotes or a line."""
    text = text.strip()
    if text not in prompt or len(text) > _BY_CHANCE:
        return text in prompt
    return re.search(f"{_BEFORE}{re.escape(text)}{_AFTER}", prompt) is not None


def are_in(options: str, prompt: str) -> bool:
    """Whether a prompt has all of some options, whatever their labels are in it."""
    lines = [line for line in options.splitlines() if line.strip()]
    return all(is_in(_LABEL.sub("", line, count=1) or line, prompt) for line in lines)


def answer_texts(answer: Any) -> list[str]:
    """The texts of an answer: one, several, or those of an object such as SQuAD's."""
    if isinstance(answer, Mapping):
        answer = answer.get("text")
    if isinstance(answer, list):
        return [text for one in answer for text in answer_texts(one)]
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return []
    return [str(answer).strip()] if has_text(str(answer)) else []


def column_text(value: Any) -> str | None:
    """The text of any value; None where it holds something that is no text, such as an image."""
    text = _text(value)
    return _as_json(value) if text is None else text


def context_text(value: Any, *, numbers: bool = False, as_json: bool = False) -> str | None:
    """The text of what a prompt may be about; None of a label, of settings, of what is no text.

    Args:
        value: A text, a document, a list of them, or something else.
        numbers: Whether a number counts, in a JSON file and as text in others.
        as_json: Whether an object without a text counts.
    """
    if is_label(value) or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _as_json(value) if numbers else None
    if isinstance(value, str) and not numbers and _NUMBER.fullmatch(value):
        return None
    text = _text(value)
    return _as_json(value) if as_json and text is None else text


def without_answers(value: Any, given: Sequence[Any]) -> tuple[Any, list[str]]:
    """An object in a prompt, also as JSON text, without the answers that are in it; their names.

    Where the answer is elsewhere, as `given`, only its copies are left out.
    """
    found = _from_json(value) if isinstance(value, str) else value
    if isinstance(found, list) and found and all(isinstance(one, Mapping) for one in found):
        kept = [without_answers(one, given) for one in found]
        names = [name for _, gone in kept for name in gone]
        return ([one for one, _ in kept], [*dict.fromkeys(names)]) if names else (value, [])
    if not isinstance(found, Mapping):
        return value, []
    texts = [str(one).strip() for one in given]
    rest, gone = {}, []
    for name, one in found.items():
        if is_of_answer(name) and not (texts and not any(str(one).strip() in x for x in texts)):
            gone.append(str(name))
        elif isinstance(one, Mapping):
            rest[name], more = without_answers(one, given)
            gone += [f"{name}.{other}" for other in more]
        else:
            rest[name] = one
    return (rest, gone) if gone else (value, [])


def _text(value: Any) -> str | None:
    """Of a text, a document or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [_document(one) for one in value if not is_empty(one)]
        if all(isinstance(text, str) for text in texts):
            return "\n\n".join(filter(None, texts))
    elif isinstance(value, Mapping) and (text := _document(value)):
        return text
    return None


def option_lines(value: Any) -> str | Reason | None:
    """The options of a question, a line each with its letter; None of settings and of answers."""
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        value = dict(value)  # a map of Arrow
    if isinstance(value, str):
        found = _from_json(value)
        return value if found is None else option_lines(found)
    labels: Sequence[Any] = string.ascii_uppercase
    if isinstance(value, list):
        value = _of_pairs(value)
    options: Any = value
    if isinstance(value, Mapping):
        named = _named(value, _OPTIONS)
        if isinstance(named, list):  # as in ARC
            options = named
            given = _named(value, _LABELS)
            labels = given if _are_labels(given, options) else labels
        else:
            filled = {name: one for name, one in value.items() if not is_empty(one)}
            if not all(_LETTER.fullmatch(str(name)) for name in filled):
                return None
            labels, options = [str(name).strip("(). :") for name in filled], [*filled.values()]
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        if any(_OF_ANSWERS & {*one} for one in value):
            return None
        given = [_named(one, _LABELS) for one in value]
        labels = given if _are_labels(given, value) else labels
        options = [_named(one, _OPTIONS) for one in value]
    if not isinstance(options, list) or len(options) > len(labels):
        return unreadable(f"it is {shortened(value)}, expected a list of options")
    texts = [None if is_empty(one) else column_text(one) for one in options]
    lines = []
    for label, text in zip(labels, texts, strict=False):
        if text is None:
            return unreadable(f"an option of {shortened(value)} is empty, expected a text")
        labelled = text.lstrip("( ").startswith(tuple(f"{label}{end}" for end in ".):"))
        lines.append(text if labelled else f"{label}. {text}")
    return "\n".join(lines)


def _are_labels(labels: Any, options: Sequence[Any]) -> bool:
    """Whether there is another label for each option, rather than which of them is right."""
    return (
        isinstance(labels, list)
        and len(labels) == len(options) == len({str(one) for one in labels})
        and all(isinstance(one, str) and has_text(one) for one in labels)
        and not _MARKS & {one.strip().lower() for one in labels}
    )


def _of_pairs(options: list[Any]) -> Any:
    """Options that are a list each, with a mark of the right one or with their letter."""
    if not options or not all(isinstance(one, list) and len(one) == 2 for one in options):
        return options
    if all(isinstance(a, str) and _is_mark(b) for a, b in options):
        return [a for a, _ in options]
    if all(isinstance(b, str) and _is_mark(a) for a, b in options):
        return [b for _, b in options]
    letters = [str(a).strip("(). :").upper() for a, _ in options]
    is_labelled = len(letters) > 1 and letters == [*string.ascii_uppercase[: len(letters)]]
    return dict(options) if is_labelled else options


def _is_mark(value: Any) -> bool:
    """Whether it marks which option is right."""
    return isinstance(value, int | float) or str(value).strip().lower() in _MARKS


def _document(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
        value = {"title": value[0], "text": value[1]}  # as HotpotQA has it
    if not isinstance(value, Mapping):
        return None
    title, text = _named(value, _TITLES), _named(value, _TEXTS)
    if isinstance(text, list) and isinstance(title, list) and len(title) == len(text):
        parts = [_titled(*one) for one in zip(title, text, strict=True)]
        return None if None in parts else "\n\n".join(filter(None, parts))
    return _titled(title, text)


def _titled(title: Any, text: Any) -> str | None:
    if isinstance(text, list) and all(isinstance(one, str) for one in text):
        text = (" " if isinstance(title, str) else "\n\n").join(one.strip() for one in text)
    if not isinstance(text, str):
        return None
    return f"{title}\n{text}" if isinstance(title, str) and has_text(title) else text


def _named(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if not is_empty(value.get(name))), None)


def _from_json(text: str) -> Any:
    """The list or object that a text is as JSON, if so."""
    try:
        return json.loads(text) if text.lstrip()[:1] in ("[", "{") else None
    except (ValueError, RecursionError):
        return None


def _as_json(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False, default=_other)
    except (TypeError, ValueError, RecursionError):
        return None


def _other(value: Any) -> str:
    """A date or a decimal number, as tables have them.

    Raises:
        TypeError: It is bytes.
    """
    if isinstance(value, bytes):
        raise TypeError
    return str(value)
