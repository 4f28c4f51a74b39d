"""What to choose for a parameter whose value an endpoint refuses, by the words of its refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from builders.engine.error_words import Words
from builders.engine.parameters import RESERVED, names

_VALUE = (
    r"['\"`]?(true|false|null|-?\d+(?:\.\d+)?)\b"
    r"(?!\.\d|\s*(?:,\s*-?\d|\.\.|to\b|and\b|or\b|[-<>=≤≥]))"
)
_MUST_BE = re.compile(  # the name and its only value
    r"(?<![\w-])([a-z]\w*)['\"`]?:?\s*(?:(?:must|has to|needs to|should|can only|may only) be "
    rf"(?:set to |equal to )?){_VALUE}|"
    rf"\b(?:set|setting|require[sd]?) ['\"`]?([a-z]\w*)['\"`]?\s*(?:to|:|=)\s*{_VALUE}"
)
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"([\[(]?)\s*{_NUMBER}\s*(?:,|and|to|\.\.+|-)\s*{_NUMBER}\s*([\])]?)")
_WORDS = {  # each with whether it is the upper bound, and whether the bound itself is allowed
    r"<=|≤|at most|less than or equal to|no more than|not exceed|maximum(?: \w+){0,2}": (1, 1),
    r">=|≥|at least|greater than or equal to|no less than|minimum(?: \w+){0,2}": (0, 1),
    r"<(?!=)|less than(?! or)|below|lower than|smaller than": (1, 0),
    r">(?!=)|(?:greater|more) than(?! or)|above|larger than|strictly positive": (0, 0),
}
_BOUNDS = {re.compile(rf"(?:{words})\W{{0,3}}{_NUMBER}"): kind for words, kind in _WORDS.items()}
_USUAL = ("temperature", "top_p", "top_k", "min_p")
_PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")
_WHOLE = ("top_k", "top_logprobs", "max_tokens", "max_completion_tokens")
_NEAR = 90  # characters after a name in which its bounds are


class _Bound(NamedTuple):
    at: float
    allowed: bool


def value_advice(words: Words, sent: Mapping[str, Any], chosen: frozenset[str]) -> str:
    """What to do about a refused parameter, as a clause; empty where the words name none.

    `sent` are the parameters of the request as intended, `chosen` those that the user decided.
    """
    text = words.searched
    for name, only in _only_values(text):
        meant = ("_" in name or name in sent) and only != str(sent.get(name)).lower()
        if meant and name not in RESERVED:
            return f"; send it with --param {name}={only}"
    about = (*sent, *_USUAL, *_PENALTIES)
    for name in dict.fromkeys(about):
        if found := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            near = text[found.end() : found.end() + _NEAR]
            if (value := _inside(near, name, sent.get(name))) is not None:
                return f"; choose another value, such as --param {name}={value:.4g}"
    for name in sorted(one for one in chosen if names(words, one)):
        if name in sent:
            return f"; leave out --param {name}, or give it another value"
        return f"; leave out --without {name}"
    return ""


def _only_values(text: str) -> Iterator[tuple[str, str]]:
    for found in _MUST_BE.finditer(text):
        yield (found[1], found[2]) if found[1] else (found[3], found[4])


def _inside(text: str, name: str, sent: Any) -> float | None:
    """A value within the bounds that a text begins with, near what was sent; None without one."""
    lower, upper = _bounds(text)
    number = sent if isinstance(sent, int | float) and not isinstance(sent, bool) else None
    from_below = upper is None or (number is not None and lower is not None and number <= lower.at)
    bound, other = (lower, upper) if from_below else (upper, lower)
    if bound is None or (number is not None and _fits(number, lower, upper)):
        return None
    value = bound.at
    if not bound.allowed:
        span = abs(bound.at - other.at) if other else abs(bound.at) or 1.0
        step = 1.0 if name in _WHOLE else span / 10
        value += step if from_below else -step
    return value if _fits(value, lower, upper) else None


def _fits(value: float, lower: _Bound | None, upper: _Bound | None) -> bool:
    above = lower is None or value > lower.at or (lower.allowed and value == lower.at)
    return above and (upper is None or value < upper.at or (upper.allowed and value == upper.at))


def _bounds(text: str) -> tuple[_Bound | None, _Bound | None]:
    """The lower and the upper bound that a text names first."""
    if found := _RANGE.search(text):
        low, high = (
            _Bound(float(found[2]), found[1] != "("),
            _Bound(float(found[3]), found[4] != ")"),
        )
        if low.at < high.at:
            return low, high
    bounds: list[_Bound | None] = [None, None]
    for pattern, (upper, allowed) in _BOUNDS.items():
        if bounds[upper] is None and (found := pattern.search(text)):
            bounds[upper] = _Bound(float(found[1]), bool(allowed))
    least, most = bounds
    return (None, None) if least and most and least.at >= most.at else (least, most)
