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
_TWO = re.compile(rf"\]\]{_OF_TEN[:-2]}\[\[(?=\s*10\s*\]\])", re.IGNORECASE)
_BRACKETS = re.compile(r"\[\[([^\[\]\n]*)\]\]")
_FORMS = (  # of a score, of the better text, of an order
    re.compile(r"10(?:\.0+)?|[1-9](?:\.[0-9]+)?"),
    re.compile(r"[A-Z]|tie"),
    re.compile(r"[A-Z](?:\s*[>=]\s*[A-Z])+"),
)
_SPEAKER = (  # of a turn, or the head of the next task
    r"(?:user|human|assistant|system|ai|bot|model|question|answer|instruction|response|input|prompt"
    r"|usuario|asistente|usuário|assistente|utente|utilisateur|benutzer|assistent|пользователь"
    r"|ассистент|用户|助手|问|答)"
)
_GOES_ON = re.compile(
    rf"\n[^\w\[\]\n]*{_SPEAKER}[^\w\[\]\n]*[:：]"
    rf"|\n[ \t*]*[#\[<][^\n\[\]]*\b{_SPEAKER}\b[^\w\n]*\n|\n<<<"
    r"|\bthe next\b|\banother (?:one|pair|answer|response|task|question)\b",
    re.IGNORECASE,
)
_NOUN = r"(?:verdict|rating|score|judge?ment|winner|decision|grade)"
_SUMS_UP = re.compile(
    r"\b(?:overall|total|average|altogether|on the whole|in all|all things considered|finally"
    rf"|in conclusion|gesamt|insgesamt|globale|final(?: {_NOUN}|(?=(?: \w+)?\W*\Z)))\b"
    r"|итог|综合|总|最终|総合|最終",
    re.IGNORECASE,
)
_LABEL = re.compile(
    rf"(?:^\W*(?:the )?|\bmy ){_NOUN}(?:\W+is(?: \w+)?)?\W*\Z|^\W*(?:so|thus|hence|therefore)\b",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"\s*(?:#.*|(?:\*\*|__).*(?:\*\*|__)\s*|.*[:：][\s*_]*)")
_NEAR = 300  # characters before brackets that show what they are
_STOP = re.compile(r"(?<!\.\w)[.!?][\s\"'”’)*_]+|[。！？]")
_LINKS = re.compile(r"\b(?:or|and|to|vs)\b", re.IGNORECASE)  # "[[3]] or [[5]]"
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
    """The last number in double brackets; None if not from 1 to `most`, or one of several."""
    answer = _TWO.sub("/", answer)  # "[[7]]/[[10]]"
    value = SCORE.findall(answer)[-1:]
    if not value or not 1 <= float(value[0]) <= most or is_replaced(answer, value[0]):
        return None
    return float(value[0])


def bare_verdict(text: str) -> str:
    """What is in the brackets of a verdict without marks of emphasis; of "7/10" the 7."""
    return _SCALE.sub("", text.strip(" \t\xa0*_`"))


def alike(one: str, other: str) -> bool:
    """Whether both can be verdicts of the same judge: two scores, two letters, two orders."""
    first, second = (
        [bool(form.fullmatch(bare_verdict(it))) for form in _FORMS] for it in (one, other)
    )
    return first == second


def is_replaced(answer: str, verdict: str) -> bool:
    """Whether another verdict comes before an answer's last one that this does not overrule.

    A judge ends with its verdict: it overrules those of aspects and what was thought at first. A
    judge that is not stopped goes on with another turn, and another verdict, which is about nothing
    that it was asked; and of several equal ones, none is the judge's.
    """
    found = [hit for hit in _BRACKETS.finditer(answer) if alike(hit[1], verdict)]
    bare = bare_verdict(verdict)
    last = next((hit for hit in reversed(found) if bare_verdict(hit[1]) == bare), None)
    others = [hit for hit in found if bare_verdict(hit[1]) != bare]
    if not others or not last:
        return False
    if _GOES_ON.search(answer, others[0].end(), last.start()):
        return True
    best, own = max(_weight(answer, hit) for hit in others), _weight(answer, last)
    one_line = "\n" not in answer[others[0].end() : last.start()]
    return best > own or (best == own and not (own == 0 and one_line))


def _weight(answer: str, hit: re.Match[str]) -> int:
    """How much brackets look like the verdict: 4 is a sum, 0 a number within a sentence."""
    start, end = answer.rfind("\n", 0, hit.start()) + 1, f"{answer}\n".index("\n", hit.end())
    before = _BRACKETS.sub("", answer[max(start, hit.start() - _NEAR) : hit.start()])
    after, _, more = answer[hit.end() : end].partition("[[")
    above = answer[:start].rstrip().rpartition("\n")[2]
    first = answer.find("[[", start) == hit.start() and not _BRACKETS.search(above)
    heading = f"{above}\n" if first and _HEADING.fullmatch(above) else ""
    own = _STOP.split(before)[-1]
    if any(map(_SUMS_UP.search, (heading, own, "" if more else after))):
        return 4
    if _LABEL.search(own if own.strip() != before.strip() else heading + before):
        return 3
    if not re.search(r"\w", _LINKS.sub("", after)):
        return 1 if re.search(r"\w", own) or (heading and own == before) else 2
    return 1 if before.rstrip(" *_").endswith((":", "：")) else 0


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
