"""What people's labels on two texts mean: words, numbers, the names of columns and of writers.

A number names the text that is numbered so: 1 is `output_1` and `text_a`, 0 is `response_0`. Where
published sets count in another way, that is in `_NUMBERS`. Where a number can have two meanings, or
is one of a scale, the file is refused until the user gives the right one. Where the user says which
number names a text, the other numbers mean nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builders.errors import InputError, shortened
from builders.judging.tables import (
    as_written,
    is_missing,
    is_number,
    scale_error,
    word_code,
)
from builders.judging.verdicts import TIE, A, B

MEANINGS = {"a": A, "b": B, "tie": TIE}
_WORD = {code: word for word, code in MEANINGS.items()}

_SIGNED = {str(number): B if number > 0 else A if number else TIE for number in range(-3, 4)}
# By the columns of the label and of the first text.
_NUMBERS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("preference_strength", "response_1"): _SIGNED,  # HelpSteer 2
    ("overall_preference", "response1"): _SIGNED,  # HelpSteer 3
    ("label", "response 1"): {"0": A, "1": B, "2": TIE},  # Auto-J
    ("labels", "human_ref_a"): {"1": A, "0": B},  # SHP
    ("people", "text_a"): {"1": A, "2": B, "0": TIE},  # our own
}
LABELS = (
    *("people", "label", "labels", "winner", "better_response_id", "preference_strength"),
    *("overall_preference", "preference", "human_preference", "human_label", "gold_label"),
    *("choice", "preferred", "better"),
)
WRITERS = (
    *(("writer_a", "writer_b"), ("model_a", "model_b"), ("model_1", "model_2")),
    *(("generator_1", "generator_2"), ("chosen_model", "rejected_model")),
)
_FROM_0 = {"0": A, "1": B, "2": TIE, "-1": TIE, "0.5": TIE}
_FROM_1 = {"1": A, "2": B, "0": TIE, "3": TIE, "1.5": TIE}
_AROUND_0 = {"1": A, "0": TIE, "-1": B}
_MOST_SHOWN = 6  # labels that a line lists
_SLIPS = 0.01  # of the numbers: so few beyond those that are known are no scale


@dataclass(frozen=True, kw_only=True)
class Written:
    """One label as it is written, with what it can name.

    Attributes:
        value: The label.
        column: Its column, in lower case.
        texts: The columns of the two texts, in lower case.
        writers: Who wrote the two texts.
        shown: The two texts, as a line for the user names them.
    """

    value: Any
    column: str
    texts: tuple[str, str]
    writers: tuple[Any, Any] = (None, None)
    shown: tuple[str, str] = ("text a", "text b")


def label_values(text: str) -> dict[str, int]:
    """The meanings in `--labels 0=a,1=b,2=tie`.

    Raises:
        InputError: A part is not `value=a`, `value=b` or `value=tie`.
    """
    given = {}
    for part in text.split(","):
        value, equals, word = (one.strip() for one in part.rpartition("="))
        if not equals or not value or word.lower() not in MEANINGS:
            raise InputError(
                f"--labels has {part!r}; expected value=meaning with a meaning of "
                f"{', '.join(MEANINGS)}; write for example 0=a,1=b,2=tie"
            )
        given[as_written(value)] = MEANINGS[word.lower()]
    return given


def is_worded(label: Written, given: Mapping[str, int]) -> bool:
    """Whether a label is in words that have a meaning: a number may be an id or a count."""
    written = as_written(label.value)
    return _in_words(label) is not None or (written in given and not is_number(written))


def is_label(label: Written, given: Mapping[str, int]) -> bool:
    """Whether a label is a number, or in words that have a meaning."""
    return is_worded(label, given) or is_number(as_written(label.value))


def names_texts_by_number(given: Mapping[str, int]) -> bool:
    """Whether the user says which number names a text: then the other numbers mean nothing."""
    return any(is_number(one) and code != TIE for one, code in given.items())


class LabelReader:
    """Reads the labels of a set, after it has seen all of them.

    Raises:
        InputError: A number can have two meanings, and none is given.
    """

    def __init__(self, name: str, labels: Sequence[Written], given: Mapping[str, int]) -> None:
        self._given = given
        seen: dict[str, Counter[str]] = {}  # in all columns of the labels of two texts
        for one in labels:
            if not is_missing(one.value) and _in_words(one) is None:
                seen.setdefault(one.texts[0], Counter())[as_written(one.value)] += 1
        self._numbers = {
            (one.column, one.texts[0]): {}
            if names_texts_by_number(given)
            else _numbers(name, one, seen.get(one.texts[0], Counter()), given)
            for one in {(one.column, one.texts[0]): one for one in labels}.values()
        }

    def meaning(self, label: Written) -> str | None:
        """`a`, `b` or `tie`; None for a label that means nothing."""
        code = self._code(label)
        return None if code is None else _WORD[code]

    def _code(self, label: Written) -> int | None:
        written = as_written(label.value)
        if written in self._given:
            return self._given[written]
        if (code := _in_words(label)) is not None:
            return code
        numbers = self._numbers[label.column, label.texts[0]]
        return numbers[written] if written in numbers else _preferred(label, written, numbers)

    def line(self, labels: Iterable[Written]) -> str:
        """What labels are read as, such as `labels: 1 means output_1 (40), tie (3)`."""
        read, unknown = Counter[str](), list[Written]()
        for one in labels:
            if is_missing(one.value):
                continue
            if word := self.meaning(one):
                read[_shown(one, word)] += 1
            else:
                unknown.append(one)
        most = read.most_common(_MOST_SHOWN)
        shown = ", ".join(f"{words} ({n:,})" for words, n in most)
        more = f" and {len(read) - len(most)} more" if len(read) > len(most) else ""
        line = f"labels: {shown or 'none'}{more}"
        if not unknown:
            return line
        return (
            f"{line}; {len(unknown):,} not counted, as {unknown[0].column!r} is "
            f"{shortened(unknown[0].value)}; give its meaning with --labels"
        )


def _shown(label: Written, word: str) -> str:
    """What a label is read as, such as `1 means output_1`."""
    written, as_given = as_written(label.value), str(label.value).strip()
    means = dict(zip("ab", label.shown, strict=True)).get(word, word)
    shown = shortened(as_given if as_given.lower() == written else written)[1:-1]
    return shown if written == word == "tie" else f"{shown} means {means}"


def _in_words(label: Written) -> int | None:
    """What a label means that is a word, or the name of a text or of a writer."""
    written = as_written(label.value)
    writers = tuple(map(as_written, label.writers)) if any(label.writers) else ()
    for names in (label.texts, writers):
        if written in names and names[0] != names[1]:
            return (A, B)[names.index(written)]
    return word_code(label.value)


def _numbers(
    name: str, label: Written, seen: Counter[str], given: Mapping[str, int]
) -> Mapping[str, int]:
    """What numbers mean in the column of a label, where these are all values."""
    values = seen.keys() - given.keys()
    from_0 = label.texts[0].endswith("0")
    known = _NUMBERS.get((label.column, label.texts[0]))
    if known is None and from_0 and "2" in values and values <= {"1", "2"}:
        doubt = "1 and 2, and the texts are numbered 0 and 1"
    elif known is None and not from_0 and "0" in values and values <= {"0", "1", "0.5"}:
        doubt = f"{' and '.join(sorted(values))} only, and 0 could be a tie or the first text"
    else:
        known = known or (_FROM_0 if from_0 else _AROUND_0 if "-1" in values else _FROM_1)
        # A number that is given as a tie may be one for "skipped", and shows no scale.
        numbers = {one for one in seen if is_number(one) and given.get(one) != TIE}
        beyond = sum(
            seen[one]
            for one in numbers
            if one not in known and _preferred(label, one, known) is None
        )
        scale = beyond > _SLIPS * sum(seen[one] for one in numbers) or (
            known is _FROM_1 and {"0", "3"} <= numbers
        )
        if not scale or not values & known.keys():
            return known
        raise InputError(f"{name}: the labels in {label.column!r} are {scale_error(numbers)}")
    raise InputError(
        f"{name}: the labels in {label.column!r} are {doubt}; give their meaning, such as "
        "--labels 0=a,1=b"
    )


def _preferred(label: Written, written: str, numbers: Mapping[str, int]) -> int | None:
    """The text that AlpacaEval's preference from 1 to 2 is for; None for other labels."""
    if label.column != "preference" or numbers is not _FROM_1 or not is_number(written):
        return None
    return (A if float(written) < 1.5 else B) if 1 < float(written) < 2 else None
