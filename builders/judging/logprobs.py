"""A judge's preference from the log-probabilities of its first token, and win rates from those.

The judge names the better of two texts with one token; the probabilities of the other tokens show
how sure it is. Preferences are stored as AlpacaEval 2 stores them: from 1 (certainly the first
output) to 2 (certainly the second), 1.5 for identical outputs.

Source: AlpacaEval 2's weighted win rate (Dubois et al. 2024, arXiv 2404.04475).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from builders.engine.thinking import parted
from builders.judging.verdicts import Numbers

FIRST_TOKEN, SECOND_TOKEN = "m", "M"  # AlpacaEval's names of the two outputs, in shown order
IDENTICAL = 1.5
_LEAST_SHARE = 0.01


def second_probability(top: Sequence[Sequence[Any]], first: str, second: str) -> float:
    """The probability of the token `second` against `first`; NaN where neither is at the top.

    `top` holds pairs of a token and its natural log-probability; a token that is not among them
    counts as impossible.
    """
    given = {str(token): float(logprob) for token, logprob in top}
    low, high = (given.get(token, -math.inf) for token in (first, second))
    if low == high == -math.inf:
        return math.nan
    # With the larger as the unit nothing overflows.
    unit = max(low, high)
    for_first, for_second = math.exp(low - unit), math.exp(high - unit)
    return for_second / (for_first + for_second)


def stored_preference(
    top: Sequence[Sequence[Any]] | None, *, swapped: bool, identical: bool = False
) -> float:
    """A preference from 1 to 2 for one pair; NaN where the judge named neither output.

    `swapped`: the second output was shown first.
    """
    if identical:
        return IDENTICAL
    p = second_probability(top or (), FIRST_TOKEN, SECOND_TOKEN)
    return 2 - p if swapped else 1 + p


def win_rate(preferences: Numbers | Sequence[float]) -> Mapping[str, float | int]:
    """How often the second output wins, in per cent, with its standard error and the counts.

    Preferences from 1 to 2; NaN (no readable verdict) is left out and counted as `failed`.
    """
    given = np.asarray(preferences, np.float64)
    known = given[~np.isnan(given)]
    rows = len(known)
    error = 100 * float(known.std(ddof=1)) / math.sqrt(rows) if rows > 1 else math.nan
    return {
        "win_rate": 100 * (float(known.mean()) - 1) if rows else math.nan,
        "standard_error": error,
        "wins": int((known > IDENTICAL).sum()),
        "wins_base": int((known < IDENTICAL).sum()),
        "draws": int((known == IDENTICAL).sum()),
        "rows": rows,
        "failed": len(given) - rows,
    }


def letter_probability(tokens: object, first: str, second: str) -> float | None:
    """The probability of the letter `first` against `second`; None where it is not known.

    `tokens` is what an OpenAI-compatible endpoint gives as an answer's `logprobs.content`. The
    token that counts is the first that is one of the letters, or else the very first, after all
    that was thought; " A" and "(A" are A. Letters that share less than a hundredth of all
    probability do not count.
    """
    given = [one for one in tokens if isinstance(one, Mapping)] if isinstance(tokens, list) else []
    given = _after_thinking(given)
    letters = (first, second)
    letter_token = next((one for one in given if _letter(one.get("token")) in letters), None)
    if not (place := letter_token or next(iter(given), None)):
        return None
    shares = dict.fromkeys(letters, 0.0)
    top = place.get("top_logprobs")
    for one in top if isinstance(top, list) else ():
        if isinstance(one, Mapping) and (letter := _letter(one.get("token"))) in shares:
            logprob = one.get("logprob")
            if isinstance(logprob, int | float) and logprob <= 0:
                shares[letter] += math.exp(logprob)
    whole = sum(shares.values())
    return shares[first] / whole if whole >= _LEAST_SHARE else None


def _after_thinking(tokens: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tokens of the answer itself; none where it only thinks."""
    written = [str(one.get("token") or "") for one in tokens]
    text = "".join(written)
    found = parted(text)
    if not (found.reasoning or found.unfinished):
        return tokens
    thought = text.rfind(found.text) if found.text else len(text)
    ends = accumulate(map(len, written))
    return [one for one, end in zip(tokens, ends, strict=True) if end > thought]


def _letter(token: object) -> str:
    return token.strip().strip("()[].:*\"'") if isinstance(token, str) else ""
