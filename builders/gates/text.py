"""Drops an answer for its text alone: a refusal, repetition, unprintable or the same for many."""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

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
# Control characters but tab and line ends, overrides of a text's direction, private characters,
# noncharacters, and U+FFFD.
_NONCHARACTERS = "".join(f"{chr(end)}{chr(end + 1)}" for end in range(0x1FFFE, 0xF0000, 0x10000))
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ue000-\uf8ff\ufdd0-\ufdef\ufffd-\uffff"
    f"{_NONCHARACTERS}\U000f0000-\U0010ffff]"
)
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
    """Drops a row with control or private characters, noncharacters or U+FFFD in a text.

    So does an override of its direction, which shows a text in another order than it has.
    A character that Python's tables do not know yet, such as a new emoji, is kept.
    """
    found = next(filter(None, map(_UNPRINTABLE.search, texts_in(row))), None)
    evidence = {"character": f"U+{ord(found[0]):04X}"} if found else {}
    return Drop(reason="unprintable", evidence=evidence) if found else None


def texts_in(value: object) -> Iterator[str]:
    """The texts in a value at any depth, without the keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part)


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
