"""What sways a judge apart from a text's worth: its place, its length, its writer, chance."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.judging.figures import Figure, figure, lean, mean, share, unknown
from builders.judging.verdicts import (
    ABSENT,
    FAILED,
    TIE,
    A,
    B,
    Codes,
    Judged,
    Numbers,
    decided,
    has_verdict,
)

_FEWEST_FOR_LENGTH = 30  # pairs for a regression with three coefficients
_STEEPEST = 15.0  # a coefficient beyond it means that length or people decide every verdict


def bias_figures(judged: Judged) -> dict[str, Figure]:
    """Consistency, repeatability, failures, and the pulls of place, length and writer."""
    figures = {"parse_failures": share(_asked(judged) == FAILED)}
    if judged.lost is not None:
        figures["unusable_answers"] = share(
            np.array([why is not None for why in judged.lost.flat], bool)
        )
    valid = judged.first[has_verdict(judged.first)]
    if len(valid):
        place = int(np.argmax([(valid == value).sum() for value in (A, B, TIE)]))
        people = judged.majority[has_verdict(judged.majority)]
        figures["commonest_verdict"] = share(
            valid == (A, B, TIE)[place],
            verdict=("a", "b", "tie")[place],
            labels=len(np.unique(people)),
        )
    if len(scores := _scores(judged)):
        commonest = _commonest(scores)
        figures["commonest_score"] = share(scores == commonest, score=float(commonest))
    if judged.second is not None:
        both = has_verdict(judged.first) & has_verdict(judged.second)
        figures["both_order_consistency"] = share(judged.first[both] == judged.second[both])
    if judged.repeats is not None:
        figures["repeatability"] = _repeatability(judged)
    figures["first_shown_preferred"] = _position(judged)
    figures |= _length(judged)
    figures |= _own_texts(judged)
    if judged.preference is not None:
        known = judged.preference[~np.isnan(judged.preference)]
        figures["mean_preference_for_a"] = mean(known)
    return figures


def _asked(judged: Judged) -> Codes:
    columns = [judged.first] + ([] if judged.second is None else [judged.second])
    every = np.concatenate(columns + ([] if judged.repeats is None else [judged.repeats.ravel()]))
    asked: Codes = every[every != ABSENT]
    return asked


def _scores(judged: Judged) -> Numbers:
    columns = [one for one in (judged.score_a, judged.score_b) if one is not None]
    every = np.concatenate(columns) if columns else np.array([])
    known: Numbers = every[~np.isnan(every)]
    return known


def _commonest(values: Numbers) -> float:
    found, often = np.unique(values, return_counts=True)
    return float(found[often.argmax()])


def _repeatability(judged: Judged) -> Figure:
    """The share of items with the same verdict each time; those judged once do not count."""
    assert judged.repeats is not None
    votes = np.column_stack([judged.first, judged.repeats])
    there = has_verdict(votes)
    several = there.sum(axis=1) > 1
    high = np.where(there, votes, -2).max(axis=1)
    low = np.where(there, votes, 2).min(axis=1)
    return share((high == low)[several])


def _position(judged: Judged) -> Figure:
    """Whether the text shown first is preferred, in pairs that were not decided by worth.

    With both orders these are the pairs whose verdict changed with the order. With one order they
    are the pairs in which judge and people chose different texts; without people, all pairs.
    """
    shown = np.ones(len(judged), np.int8) if judged.shown is None else judged.shown
    if judged.second is not None:
        both = has_verdict(judged.first) & has_verdict(judged.second)
        toward = ((judged.first - judged.second) * shown)[both]
        basis = "pairs whose verdict changed with the order"
    elif judged.people is not None:
        toward, basis = _against_people(judged, shown), "pairs judged otherwise than by people"
    else:
        toward = judged.first * shown
        toward, basis = toward[decided(toward)], "all pairs, in one order"
    if not len(toward):
        return unknown("no verdict can be compared with another")
    return {**lean(int((toward > 0).sum()), int((toward < 0).sum()), len(toward)), "basis": basis}


def _against_people(judged: Judged, side: Codes) -> Codes:
    """For each pair that judge and people both decided: 0 where they chose the same text.

    Else +1 where the judge chose the text on the side, -1 where it chose the other; `side` is A, B
    or neither.
    """
    final, people = judged.final, judged.majority
    clear = decided(final) & decided(people) & (side != 0)
    agree = final == people
    toward: Codes = np.where(agree, 0, final * side)[clear].astype(np.int8)
    return toward


# --- length


def _length(judged: Judged) -> dict[str, Figure]:
    if judged.length_a is None or judged.length_b is None:
        return {}
    known = (judged.length_a > 0) & (judged.length_b > 0)  # NaN is not
    ratio = np.zeros(len(judged))
    ratio[known] = np.log2(judged.length_a[known] / judged.length_b[known])
    longer = np.sign(ratio).astype(np.int8)
    final = judged.final
    clear = decided(final) & (longer != 0)
    figures = {"longer_preferred": share(final[clear] == longer[clear])}
    if judged.people is not None:
        people = judged.majority
        by_people = decided(people) & (longer != 0)
        figures["longer_preferred_by_people"] = share(people[by_people] == longer[by_people])
    figures["length_odds_ratio"] = _length_odds(judged, ratio, longer)
    return figures


def _length_odds(judged: Judged, ratio: npt.NDArray[np.float64], longer: Codes) -> Figure:
    """The odds of being preferred at twice the length, controlled for people's label.

    `effect` is how much more often the longer text is preferred than at equal length; `p` is that
    of the hypothesis that the odds are 1. Where length or people's label decides every verdict, no
    odds can be fitted: then `effect` and `p` are of the pairs in which judge and people chose
    different texts.
    """
    people, final = judged.majority, judged.final
    control = "people's label" if judged.people is not None else "none"
    clear = decided(final) & (longer != 0) & (has_verdict(people) if control != "none" else True)
    if clear.sum() < _FEWEST_FOR_LENGTH:
        return unknown(f"it needs {_FEWEST_FOR_LENGTH} decided pairs", int(clear.sum()))
    columns = [np.ones(int(clear.sum())), ratio[clear]]
    if control != "none" and len(np.unique(people[clear])) > 1:
        columns.append(people[clear].astype(float))
    inputs = np.column_stack(columns)
    fit = _logit(final[clear] == A, inputs)
    if fit is None:
        counted = unknown("length or people's label decides every verdict", int(clear.sum()))
        counted |= {"p": None, "effect": None, "control": control}
        if control != "none":
            apart = _against_people(judged, longer)
            if len(apart):
                test = lean(int((apart > 0).sum()), int((apart < 0).sum()), len(apart))
                counted |= {"p": test["p"], "effect": test["effect"]}
        return counted
    at_equal = inputs.copy()
    at_equal[:, 1] = 0.0
    gain = (fit.predict(inputs) - fit.predict(at_equal)) * longer[clear]
    low, high = (math.exp(end) for end in fit.conf_int()[1])
    return figure(
        math.exp(fit.params[1]),
        low,
        high,
        int(clear.sum()),
        "Wald, logistic regression",
        p=float(fit.pvalues[1]),
        effect=float(gain.mean()),
        control=control,
    )


def _logit(chosen: npt.NDArray[np.bool_], inputs: npt.NDArray[np.float64]) -> Any:
    """The fitted logistic regression; None where the likelihood has no maximum."""
    from statsmodels.discrete.discrete_model import Logit
    from statsmodels.tools.sm_exceptions import ModelWarning, PerfectSeparationError

    if chosen.all() or not chosen.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)
        warnings.simplefilter("error", RuntimeWarning)  # an overflow on the way to infinity
        try:
            fit = Logit(chosen.astype(float), inputs).fit(disp=0)
            steep = np.abs(fit.params).max() > _STEEPEST
            return None if steep or not np.isfinite(fit.bse).all() else fit
        except (ModelWarning, RuntimeWarning, PerfectSeparationError, np.linalg.LinAlgError):
            return None


# --- writers


def _own_texts(judged: Judged) -> dict[str, Figure]:
    """How often a judge prefers a text of its own, and how much more often than people."""
    if judged.writer_a is None or judged.writer_b is None:
        return {}
    own_a, own_b = (
        np.array([same_model(judged.judge, writer) for writer in column], bool)
        for column in (judged.writer_a, judged.writer_b)
    )
    own = np.where(own_a & ~own_b, A, np.where(own_b & ~own_a, B, 0)).astype(np.int8)
    final = judged.final
    clear = decided(final) & (own != 0)
    if not clear.any():
        return {}
    figures = {"own_text_preferred": share(final[clear] == own[clear])}
    if judged.people is not None and len(apart := _against_people(judged, own)):
        test = lean(int((apart > 0).sum()), int((apart < 0).sum()), len(apart))
        figures["own_text_against_people"] = test
    return figures


def same_model(judge: str, writer: str | None) -> bool:
    """Whether two names are of one model: equal without owner and case, or a dated version."""
    one, other = (name.rsplit("/", 1)[-1].casefold() for name in (judge, writer or ""))
    return bool(one and other) and (
        one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")
    )
