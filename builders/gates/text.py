"""Reasons to drop an answer for its text alone: refused, empty, repeating itself, unprintable."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from builders.recipe import DraftGate, Drop, Raw, normalised
from builders.schema import Row

_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|(?:large )?language model)\b"
    r"|\bi do(?:n't| not) have (?:personal )?(?:emotions|feelings|opinions|beliefs)\b"
    r"|^\W*(?:i(?:'m| am) )?(?:very |so )?sorry,?\W+(?:but )?i "
    r"(?:can(?:'t|not)|am (?:not able|unable))"
    r"|^\W*(?:unfortunately,? )?i (?:can(?:'t|not)|am (?:unable|not able) to|won't) "
    r"(?:help|assist|answer|provide|fulfil|comply|do that|create|write|generate|discuss)",
    re.IGNORECASE,
)
_REPEATED_WORDS = 10
_MOST_REPEATS = 2
_LEAST_PROMPTS = 2  # one text on one prompt repeats nothing, however few the prompts


def answer_text(row: Row) -> str:
    """The text of a prompt-completion row's answer."""
    return str(row["completion"][-1]["content"])


def refusal(row: Row) -> Drop | None:
    """Drops an answer that refuses, or speaks of itself as a model."""
    found = _REFUSAL.search(answer_text(row).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return Drop(reason="refusal", evidence={"matched": found[0].strip()}) if found else None


def repetition(row: Row) -> Drop | None:
    """Drops an answer in which some ten words in a row stand three times or more."""
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
    """Drops an answer with control, private or unassigned characters, or the mark of lost ones."""
    for character in answer_text(row):
        odd = unicodedata.category(character) in ("Cc", "Co", "Cn") and character not in "\n\t\r"
        if odd or character == "\N{REPLACEMENT CHARACTER}":
            return Drop(reason="unprintable", evidence={"character": f"U+{ord(character):04X}"})
    return None


def same_text(most_share: float = 0.01) -> DraftGate:
    """The draft gate against one text given to many prompts: a share of them, and at least two."""

    def gate(_: Sequence[Raw], rows: Sequence[Row]) -> dict[int, Drop]:
        prompts: dict[str, set[str]] = defaultdict(set)
        texts = [normalised(answer_text(row)) for row in rows]
        for text, row in zip(texts, rows, strict=True):
            prompts[text].add(row["id"])
        least = max(_LEAST_PROMPTS, most_share * len({row["id"] for row in rows}))
        return {
            place: Drop(reason="same text", evidence={"prompts": len(prompts[text])})
            for place, text in enumerate(texts)
            if len(prompts[text]) >= least
        }

    return gate
