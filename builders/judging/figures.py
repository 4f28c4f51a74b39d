"""Figures with a 95 % interval and what they rest on, as plain JSON values.

A figure is a dict: `value`, `low`, `high` (None where they are unknown; `note` gives the reason),
`n` (the number of cases) and `interval` (the method), and facts of its own. Numbers are rounded to
six digits, so that the same verdicts give the same bytes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from builders.judging.verdicts import TIE, A, B, Codes, Numbers, has_verdict

Figure = dict[str, Any]
Level = Literal["nominal", "ordinal"]
RESAMPLES = 1000  # of a bootstrap: the ends of the interval then move by about 1 % of its width
_SEED = 20231206
_VALUES = np.array([A, B, TIE], np.int8)
_Z = 1.959963984540054
_LEAST = 1e-300  # p-values may be small; anything smaller is rounding, and 0


def figure(
    value: float | None,
    low: float | None,
    high: float | None,
    n: int,
    interval: str,
    **facts: Any,
) -> Figure:
    """A figure of rounded JSON values."""
    named: Figure = {"value": value, "low": low, "high": high, "n": n, "interval": interval}
    return {name: _plain(one) for name, one in {**named, **facts}.items()}


def unknown(why: str, n: int = 0) -> Figure:
    """A figure that the data does not allow, and why."""
    return figure(None, None, None, n, "none", note=why)


def share(hits: npt.NDArray[np.bool_], **facts: Any) -> Figure:
    """The share of hits, with Wilson's interval."""
    from statsmodels.stats.proportion import proportion_confint

    if not len(hits):
        return {**unknown("there is nothing to count"), **facts}
    count = int(hits.sum())
    low, high = proportion_confint(count, len(hits), method="wilson")
    low, high = round(float(low), 12), round(float(high), 12)  # 4e-19 is 0, badly rounded
    return figure(count / len(hits), low, high, len(hits), "Wilson", count=count, **facts)


def lean(first: int, second: int, of: int) -> Figure:
    """How often something was on one side: `first` times against `second` times.

    `effect` is the difference as a share of all `of` items; `p` is that of the exact binomial test
    against one half.
    """
    from scipy.stats import binomtest

    if not first + second:
        nothing = unknown("no case leans to either side", of)
        return {**nothing, "p": 1.0, "effect": 0.0}
    test = binomtest(first, first + second, 0.5)
    found = test.proportion_ci(method="wilson")
    return figure(
        first / (first + second),
        found.low,
        found.high,
        first + second,
        "Wilson",
        p=float(test.pvalue),
        effect=(first - second) / of,
        of=of,
    )


def mean(values: Numbers) -> Figure:
    """The mean with the interval of the normal distribution."""
    if len(values) < 2:
        return unknown("a mean with an interval needs two values", len(values))
    middle = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    low, high = middle - _Z * error, middle + _Z * error
    return figure(middle, low, high, len(values), "normal", standard_error=error)


def cohen_kappa(one: Codes, other: Codes) -> Figure:
    """Cohen's kappa of two raters over the items that both rated; asymptotic interval."""
    from statsmodels.stats.inter_rater import cohens_kappa

    both = has_verdict(one) & has_verdict(other)
    x, y = one[both], other[both]
    if not len(x):
        return unknown("no item has a verdict or label of both")
    table = np.array([[((x == i) & (y == j)).sum() for j in _VALUES] for i in _VALUES])
    used = (table.sum(axis=0) + table.sum(axis=1)) > 0
    table = table[np.ix_(used, used)]
    if len(table) < 2:
        return unknown("all labels are the same, so chance explains all", len(x))
    if (table.sum(axis=0) > 0).sum() < 2 or (table.sum(axis=1) > 0).sum() < 2:
        constant = figure(0.0, None, None, len(x), "none")
        return {**constant, "note": "one of the two gave one label only"}
    if table.trace() == len(x):
        # The asymptotic interval of full agreement has no width, however few the items.
        luck = float(((table.sum(axis=0) / len(x)) ** 2).sum())
        least = float(share(x == y)["low"])
        return figure(1.0, (least - luck) / (1 - luck), 1.0, len(x), "Wilson of the agreement")
    found = cohens_kappa(table)
    low, high = max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp))
    return figure(float(found.kappa), low, high, len(x), "asymptotic")


def fleiss_kappa(raters: Codes) -> Figure:
    """Fleiss' kappa over the items that every rater labelled; a bootstrap over items."""
    from statsmodels.stats.inter_rater import fleiss_kappa as library

    counts = _counts(raters)
    whole = counts[counts.sum(axis=1) == raters.shape[1]]
    if raters.shape[1] < 2 or (whole.sum(axis=0) > 0).sum() < 2:
        return unknown("it needs two raters and two different labels", len(whole))
    used = whole[:, whole.sum(axis=0) > 0]
    low, high = _resampled(*np.unique(whole, axis=0, return_counts=True), _fleiss)
    return figure(float(library(used)), low, high, len(whole), "bootstrap over items")


def krippendorff_alpha(
    raters: Codes, values: npt.NDArray[np.int8] = _VALUES, level: Level = "nominal"
) -> Figure:
    """Krippendorff's alpha, gaps allowed; a bootstrap over items.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).

    Args:
        raters: One row per item, one column per rater.
        values: The values a rater may give, for `ordinal` in the order of the scale; all else in
            `raters` is a gap.
        level: How far two values are apart: `nominal` values are equal or not, `ordinal` ones are
            apart by the share of all values between them.
    """
    counts = _counts(raters, values)
    counts = counts[counts.sum(axis=1) > 1]  # one value alone has nothing to agree with
    if (counts.sum(axis=0) > 0).sum() < 2:
        return unknown("it needs items with two labels, and two different labels", len(counts))
    alphas = partial(_alpha, level=level)
    kinds, often = np.unique(counts, axis=0, return_counts=True)
    value = alphas(often[None], kinds)[0]
    low, high = _resampled(kinds, often, alphas)
    return figure(float(value), low, high, len(counts), "bootstrap over items")


def _counts(raters: Codes, values: npt.NDArray[np.int8] = _VALUES) -> npt.NDArray[np.int64]:
    """How many raters gave each value, by item."""
    return np.stack([(raters == value).sum(axis=1) for value in values], axis=1)


def _resampled(
    kinds: npt.NDArray[np.int64], often: npt.NDArray[np.int64], statistic: Any
) -> tuple[float | None, float | None]:
    """The bootstrap's 2.5 % and 97.5 % points of a statistic of sums over items.

    Items with the same counts are interchangeable, and there are few kinds: a resample draws how
    often each kind occurs, and costs the same for 100 items and for 100,000.
    """
    dice = np.random.default_rng(_SEED)
    drawn = dice.multinomial(int(often.sum()), often / often.sum(), size=RESAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one label has none
        found = statistic(drawn, kinds)
    found = found[np.isfinite(found)]
    if not len(found):
        return None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _fleiss(drawn: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64]) -> Any:
    raters = kinds[0].sum()
    agree = (kinds * (kinds - 1)).sum(axis=1) / (raters * (raters - 1))
    seen = drawn @ agree / drawn.sum(axis=1)
    labels = drawn @ kinds
    by_chance = ((labels / labels.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return (seen - by_chance) / (1 - by_chance)


def _alpha(drawn: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], level: Level) -> Any:
    size = kinds.sum(axis=1)
    pairs = kinds[:, :, None] * kinds[:, None, :] / (size - 1)[:, None, None]
    seen = np.tensordot(drawn, pairs, axes=1)
    values = drawn @ kinds
    by_chance = values[:, :, None] * values[:, None, :] / (values.sum(axis=1) - 1)[:, None, None]
    # Equal values are 0 apart, so that seen and by_chance may hold any number for those.
    apart: Any = 1 - np.eye(kinds.shape[1])
    if level == "ordinal":
        middle = values.cumsum(axis=1) - values / 2
        apart = (middle[:, :, None] - middle[:, None, :]) ** 2
    return 1 - (seen * apart).sum(axis=(1, 2)) / (by_chance * apart).sum(axis=(1, 2))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return float(f"{number:.6g}") if abs(number) > _LEAST else 0.0
