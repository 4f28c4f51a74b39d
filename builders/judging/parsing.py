"""Numbers and JSON in a judge's answer: parsed where they are plain, else Unreadable."""

from __future__ import annotations

import json
import re
from typing import Any

from builders.engine.calls import Unreadable
from builders.engine.judgements import names_a_mark
from builders.engine.thinking import parted

_VALUE = re.compile(r"(0|[1-9][0-9]{0,8})(?:\s*(?:/|out of)\s*([1-9][0-9]{0,8}))?", re.IGNORECASE)
_BELOW = re.compile(r"[-−–][0-9]+(?:\s*/\s*[0-9]+)?")
_FRACTION = re.compile(r"[-−]?[0-9]*[.,][0-9]+(?:\s*(?:/|out of)\s*[0-9.,]+)?", re.IGNORECASE)
_OF_TEN = r"\s*(?:[/／]|out of)\s*10"
SCORE = re.compile(rf"\[\[[\s*]*+(\d+(?:\.\d+)?)(?:{_OF_TEN})?[\s*]*+\]\]")
_SCALE = re.compile(rf"(?<=\d){_OF_TEN}\Z")
_SPEAKER = (  # of a turn, or the head of the next task
    r"(?:user|human|assistant|system|ai|bot|model|question|answer|instruction|response|input|prompt"
    r"|usuario|asistente|usuário|assistente|utente|utilisateur|benutzer|assistent|пользователь"
    r"|ассистент|用户|助手|问|答)"
)
_IN_BRACKETS = r"\[\[(?P<{}>[^\[\]\n]*)\]\]"
_LABEL = (
    r"(?:(?:my |the )?(?:final |overall )?(?:verdict|rating|score|judge?ment|winner|decision)\b)"
)
_ENDING = re.compile(  # the verdict of a line that is nothing else, or the last before another turn
    rf"^[^\w\[\]\n]*(?:{_LABEL}(?:[^\w\[\]\n]+is\b)?[^\w\[\]\n]*)?{_IN_BRACKETS.format('alone')}"
    r"[^\w\[\]\n]*$"
    rf"|{_IN_BRACKETS.format('last')}[^\w\[\]\n]*\n[^\w\[\]]*{_SPEAKER}[^\w\[\]\n]*[:：]"
    # Of a paragraph, but no quoted one.
    rf"|{_IN_BRACKETS.format('paragraph')}[^\w\[\]\n\"'”’»]*(?:\n```)?\n[ \t]*\n",
    re.MULTILINE | re.IGNORECASE,
)
_SUMS_UP = re.compile(r"\b(?:overall|total|average|altogether|on the whole)\b", re.IGNORECASE)
# In Chinese or Japanese a judge uses the wide forms of the ten digits, the stroke and the point.
_WIDE = {0xFF10 + digit: str(digit) for digit in range(10)} | {0xFF0F: "/", 0xFF0E: "."}


def judgement(answer: str) -> str:
    """A judge's answer without what was thought before it, and without template marks.

    Raises:
        Unreadable: The judge never came to an answer, or more text follows a mark.
    """
    found = parted(answer)
    if found.unfinished or (found.leaked and not names_a_mark(answer, found.leaked)):
        raise Unreadable("cut off" if found.unfinished else "template marks")
    return found.text.removeprefix("\ufeff")


def last_score(answer: str, *, most: int) -> float | None:
    """The last number in double brackets; None if not from 1 to `most`, or the judge ran on."""
    value = SCORE.findall(answer)[-1:]
    if not value or not 1 <= float(value[0]) <= most or is_replaced(answer, value[0]):
        return None
    return float(value[0])


def bare_verdict(text: str) -> str:
    """What is in the brackets of a verdict without marks of emphasis; of "7/10" the 7."""
    return _SCALE.sub("", text.strip(" \t\xa0*_`"))


def is_replaced(answer: str, verdict: str) -> bool:
    """Whether an answer ends with another verdict before it comes to this one.

    A judge ends with its verdict. One that is not stopped goes on with another turn, and another
    verdict, which is about nothing that it was asked.
    """
    sums_up = _SUMS_UP.search(answer.rstrip().rpartition("\n")[2])
    for found in _ENDING.finditer(answer):
        of_part = found["paragraph"]  # one of several, where the last line sums up
        other = found["alone"] or found["last"] or of_part or ""
        if bare_verdict(other) != bare_verdict(verdict) and not (of_part and sums_up):
            return True
    return False


def whole_number(text: str, most: int) -> int:
    """A whole number from 1 to `most`; "4/5" is one, where 5 is the most."""
    bare = text.translate(_WIDE).lstrip(" \t\xa0\u3000*_`\"'").rstrip(" \t\xa0\u3000*_`\"'.;|")
    found = _VALUE.fullmatch(bare)
    if not found:
        if not bare:
            raise Unreadable("no rating")
        if _BELOW.fullmatch(bare):
            raise Unreadable("rating out of range")
        raise Unreadable("rating not whole" if _FRACTION.fullmatch(bare) else "unclear rating")
    if found[2] and int(found[2]) != most:
        raise Unreadable("other scale")
    return _in_range(int(found[1]), most)


def _in_range(value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise Unreadable("rating out of range")
    return value


def json_number(value: object, most: int) -> int:
    """A whole number from 1 to `most` as JSON has it; 4.0 and true are none, "4/5" is one."""
    if value is None:
        raise Unreadable("no rating")
    if isinstance(value, str):
        return whole_number(value, most)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("unclear rating")
    if isinstance(value, float):
        raise Unreadable("rating not whole")
    return _in_range(value, most)


def document_in(answer: str, opening: re.Pattern[str]) -> tuple[dict[str, Any] | None, str]:
    """The one JSON object that begins with `opening`, and the answer without it."""
    start = opening.search(answer)
    if not start:
        return None, answer
    try:
        value, end = _STRICT.raw_decode(answer, start.start())
    except (ValueError, RecursionError):
        raise Unreadable("faulty json") from None
    rest = answer[: start.start()] + "\n" + answer[end:]
    if opening.search(rest):
        raise Unreadable("surplus rating")
    return value, rest


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_no_constant)
