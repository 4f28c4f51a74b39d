"""Drops an answer for its text alone: a refusal, repetition, unprintable or the same for many."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from builders.recipe import DraftGate, Drop, Raw, fingerprint, normalised
from builders.schema import Row

_MODEL = (
    r"(?:ai|artificial intelligence|(?:large )?language model)"
    r"(?: (?:language )?(?:model|assistant|system|chatbot|program|ai))?"
)
_MADE = r"(?:developed|created|trained|designed|built)"
_SORRY = (
    r"(?:(?:i(?:'m| am) )?(?:very |so |really )?sorry\b[^.!?\n]{0,60}?|unfortunately\b"
    r"|(?:i |my )?apolog(?:ize|ise|ies)\b|i(?:'m| am) afraid\b)\W+(?:but )?"
)
_CANNOT = r"i(?: can(?:'t|not| not)| won't|(?:'m| am) (?:unable|not able) to)"
# What a model refuses to do, in words that are rare in a letter of regret or a story.
_REFUSED = (
    r"(?:help\b(?! but| \w+ing)|assist|answer|provide(?! for)|fulfil|comply|do (?:that|this)\b"
    r"|create|write|generate|discuss|engage in|browse"
    r"|[^.!?\n]{1,60}\b(?:this|that|such) (?:request|prompt|question|task|content))"
)
_REFUSAL = re.compile(
    rf"\bas an? (?:\w+ )?{_MODEL},? (?:i|my|it|there|{_MADE})\b"
    rf"|\bi,? as an? {_MODEL}\b"
    rf"|\bi(?:'m| am) (?:just |only |merely )?an? {_MODEL}"
    rf"(?=\W*$|[,.;:!)]| (?:that|who|so|without|{_MADE})\b"
    r"| and (?:i|do|don't|can't|cannot|have|am)\b)"
    r"|\bi do(?:n't| not) have (?:any )?(?:personal )?"
    r"(?:emotions|feelings(?! for)|opinions|beliefs|experiences)\b"
    rf"|^\W*(?:{_SORRY}){{0,2}}{_CANNOT} {_REFUSED}",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"[^"\n]*"|“[^“”\n]*”')  # speech within the text
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\uff07", "'" * 4)
_REPEATED_WORDS = 10
_MOST_REPEATS = 2
_LEAST_PROMPTS = 2  # a text that answers one prompt is no repetition, however few prompts exist


def answer_text(row: Row) -> str:
    """The text of a prompt-completion row's answer."""
    return str(row["completion"][-1]["content"])


def refusal(row: Row) -> Drop | None:
    """Drops an answer that refuses, or speaks of itself as a model, outside quoted speech."""
    text = answer_text(row).strip().translate(_APOSTROPHES)
    whole = _QUOTED.fullmatch(text)
    found = _REFUSAL.search(text if whole else _QUOTED.sub('"_"', text))
    return Drop(reason="refusal", evidence={"matched": found[0].strip()}) if found else None


def repetition(row: Row) -> Drop | None:
    """Drops an answer that repeats a run of ten words three times or more."""
    words = answer_text(row).lower().split()
    runs = Counter(
        " ".join(words[start : start + _REPEATED_WORDS])
        for start in range(len(words) - _REPEATED_WORDS + 1)
    )
    if runs:
        text, times = runs.most_common(1)[0]
        if times > _MOST_REPEATS:
            return Drop(reason="repetition", evidence={"repeated": text, "times": times})
    return None


def unprintable(row: Row) -> Drop | None:
    """Drops an answer with control or private characters, noncharacters or U+FFFD.

    A character that Python's tables do not know yet, such as a new emoji, is kept.
    """
    for character in answer_text(row):
        code = ord(character)
        odd = unicodedata.category(character) in ("Cc", "Co") and character not in "\n\t\r"
        noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
        if odd or noncharacter or character == "\N{REPLACEMENT CHARACTER}":
            return Drop(reason="unprintable", evidence={"character": f"U+{code:04X}"})
    return None


def same_text(most_share: float = 0.01) -> DraftGate:
    """The draft gate that drops a text which answers `most_share` of the prompts, at least two."""

    def gate(candidates: Iterable[tuple[Raw, Row]]) -> dict[int, Drop]:
        import numpy as np

        texts, ids = array("Q"), array("Q")
        for _, row in candidates:
            texts.append(fingerprint(normalised(answer_text(row))))
            ids.append(fingerprint(row["id"]))
        found, times = np.unique(texts, return_counts=True)
        repeated = {*found[times >= _LEAST_PROMPTS].tolist()}
        prompts: dict[int, set[int]] = defaultdict(set)
        for text, identity in zip(texts, ids, strict=True):
            if text in repeated:
                prompts[text].add(identity)
        least = max(_LEAST_PROMPTS, most_share * np.unique(ids).size)
        return {
            place: Drop(reason="same text", evidence={"prompts": len(prompts[text])})
            for place, text in enumerate(texts)
            if text in repeated and len(prompts[text]) >= least
        }

    return gate
