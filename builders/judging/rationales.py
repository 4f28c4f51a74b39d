"""Whether a judge's rationale agrees with the score or verdict that it gives.

No model reads the rationale: a sentence that names a winner counts ("Output (a) is better"), else
words of praise and of fault, by the lexicon below, in sentences about one text. A rationale with
neither, or with as much of both, is unclear; `coverage` is the share of the clear ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from builders.judging.figures import Figure, share
from builders.judging.verdicts import ABSENT, TIE, A, B, Judged, has_verdict

PRAISE = (
    "accurate accurately appropriate clear clearly coherent complete comprehensive concise correct "
    "correctly detailed effective engaging excellent flawless fluent good great helpful ideal "
    "informative insightful logical nice outstanding perfect perfectly precise relevant right "
    "solid sound strong succeeds superb thorough thoughtful useful valid valuable well"
)
FAULTS = (
    "ambiguous awkward bad broken confused confusing contradictory contradicts disjointed "
    "erroneous error errors fails false faulty flawed flaws garbled hallucinated hallucinates "
    "harmful illogical inaccurate inappropriate incoherent incomplete incorrect incorrectly "
    "insufficient invalid irrelevant lacking lacks misleading misses missing mistake mistaken "
    "mistakes misunderstands nonsense nonsensical poor poorly problematic redundant repetitive "
    "terrible unclear unhelpful unnecessary unrelated unsupported useless vague weak worse worst "
    "wrong"
)
_NEGATIONS = frozenset(("no", "not", "never", "without", "cannot", "neither", "nor", "hardly"))
_PRAISE, _FAULTS = frozenset(PRAISE.split()), frozenset(FAULTS.split())
_WORD = re.compile(r"[a-z]+(?:'t)?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_TEXT = (
    r"(?:output|response|answer|assistant|completion|text|option|summary|candidate)s?\s+"
    r"\(?\[?['\"]?([ab12])\b['\"]?\]?\)?"
)
_NAMED = re.compile(_TEXT, re.IGNORECASE)
_WINNER = re.compile(
    rf"{_TEXT}[^.;,]{{0,60}}?\b(?:better|best|stronger|preferable|preferred|superior|wins)\b",
    re.IGNORECASE,
)
_PREFERS = re.compile(
    rf"\b(?:prefer|choose|select|go with|favou?r)\b[^.;]{{0,30}}?{_TEXT}", re.IGNORECASE
)
_EVEN = re.compile(
    r"\b(?:equally (?:good|well|strong|valid|helpful)|it is a tie|both \w+ are equal)",
    re.IGNORECASE,
)
_PLACES = {"a": A, "1": A, "b": B, "2": B}


def rationale_figures(judged: Judged) -> dict[str, Figure]:
    """`rationale_agrees` (with the verdict, or with the score's side of the scale's middle).

    `fault_found_at_top_score` is the share of rationales that find fault among the clear ones of
    the highest score: a parser that takes 1 for 10 shows here first.
    """
    figures: dict[str, Figure] = {}
    if judged.rationale is not None:
        shown = np.ones(len(judged), np.int8) if judged.shown is None else judged.shown
        stated = stated_winners(judged.rationale)
        # A rationale names places; its verdict names texts.
        texts = np.where((stated == A) | (stated == B), stated * shown, stated)
        with_verdict = has_verdict(judged.first) & np.array([bool(one) for one in judged.rationale])
        clear = with_verdict & (stated != ABSENT)
        figures["rationale_agrees"] = share(
            texts[clear] == judged.first[clear], coverage=_covered(clear, with_verdict)
        )
    scores, tones, given = _scored(judged)
    if not given.any():
        return figures
    middle = (scores[given].min() + scores[given].max()) / 2
    speaks = given & (tones != 0) & (scores != middle)
    figures["rationale_agrees_with_score"] = share(
        np.sign(scores[speaks] - middle) == tones[speaks], coverage=_covered(speaks, given)
    )
    top = given & (tones != 0) & (scores == scores[given].max())
    figures["fault_found_at_top_score"] = share(tones[top] < 0, coverage=_covered(top, given))
    return figures


def stated_winners(rationales: Iterable[str | None]) -> npt.NDArray[np.int8]:
    """The place that a rationale calls better: A the first, B the second, TIE, or ABSENT."""
    return np.array([_winner(one) if one else ABSENT for one in rationales], np.int8)


def tone(rationale: str | None) -> int:
    """1 for more praise than fault, -1 for more fault, 0 for as much of both."""
    words = _WORD.findall((rationale or "").lower().replace("’", "'"))
    balance = 0
    for place, word in enumerate(words):
        side = (word in _PRAISE) - (word in _FAULTS)
        if side:
            before = words[max(0, place - 3) : place]
            turned = any(one in _NEGATIONS or one.endswith("n't") for one in before)
            balance += -side if turned else side
    return (balance > 0) - (balance < 0)


def _winner(rationale: str) -> int:
    sentences = _SENTENCE.split(rationale)
    for sentence in reversed(sentences):  # a judge weighs first and concludes last
        if "not " in sentence or "n't" in sentence or "neither" in sentence.lower():
            continue
        if _EVEN.search(sentence):
            return TIE
        if found := _WINNER.search(sentence) or _PREFERS.search(sentence):
            return _PLACES[found[1].lower()]
    balance = 0
    for sentence in sentences:
        about = {_PLACES[place.lower()] for place in _NAMED.findall(sentence)}
        if len(about) == 1:
            balance += about.pop() * tone(sentence)
    return A if balance > 0 else B if balance < 0 else ABSENT


def _scored(
    judged: Judged,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Scores, the tones of their rationales, and where both were given; of both texts in turn."""
    pairs = [(judged.score_a, judged.rationale_a), (judged.score_b, judged.rationale_b)]
    there = [(score, why) for score, why in pairs if score is not None and why is not None]
    if not there:
        return np.array([]), np.array([], np.int64), np.array([], bool)
    scores = np.concatenate([score for score, _ in there])
    reasons = np.concatenate([why for _, why in there])
    tones = np.array([tone(why) for why in reasons], np.int64)
    return scores, tones, ~np.isnan(scores) & np.array([bool(why) for why in reasons])


def _covered(clear: npt.NDArray[np.bool_], given: npt.NDArray[np.bool_]) -> float:
    return float(clear.sum() / given.sum()) if given.any() else 0.0
