"""Pairs from rated answers: which answer is chosen, which is rejected, and why some make no pair.

Source: Tunstall et al. 2023, Zephyr (arXiv 2310.16944), for the best against a random other;
Argilla's Notus for the mean of the aspects; Ethayarajh et al. 2024, KTO (arXiv 2402.01306), for
single answers with a label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import Literal

from builders.errors import RecipeError
from builders.judging.rating import mean_rating
from builders.recipe import Drop, normalised, row_id, short_hash
from builders.schema import (
    PREFERENCE,
    PREFERENCE_MARGIN,
    UNPAIRED,
    Message,
    Row,
    Schema,
    assistant,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedAnswer:
    """One answer and its ratings.

    Attributes:
        text: The answer.
        writer: The model that wrote it; None where it is unknown.
        principle: The principle that the writer was given.
        ratings: By aspect; None where the aspect does not apply.
        score: One score for the whole answer.
        verdict: Whether it is right, where that can be checked.
    """

    text: str
    writer: str | None = None
    principle: str | None = None
    ratings: Mapping[str, int | None] = field(default_factory=dict)
    score: float | None = None
    verdict: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedPrompt:
    """A prompt and its rated answers; no outcome depends on their order."""

    prompt: Sequence[Message]
    answers: Sequence[RatedAnswer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What makes a pair. A tie makes none under any policy.

    Attributes:
        by: What answers are compared by: `overall` (the score), `mean` (of the ratings),
            `verdict` (right is 1, wrong 0), or the name of one aspect.
        least_margin: The least difference between the scores of a pair; for `margin` only.
        least_score: The least score of an answer to learn from; for `unpaired` only, and not where
            verdicts are compared.
        most_alike: The share of common text (0 to 1, rapidfuzz's ratio of the normalised texts)
            from which two answers are the same text; None: only if they are equal once normalised.
        one_model: Whether a pair may hold two answers of one model.
    """

    by: str = "overall"
    least_margin: float = 1.0
    least_score: float = 5.0
    most_alike: float | None = 0.95
    one_model: Literal["allow", "drop"] = "allow"

    def __post_init__(self) -> None:
        if self.most_alike is not None and not 0 < self.most_alike <= 1:
            raise RecipeError(
                f"most_alike is {self.most_alike!r}; it is a share of common text above 0 and up "
                "to 1, or None for equal texts only; give one of these"
            )
        if not self.least_margin > 0:
            raise RecipeError(
                f"least_margin is {self.least_margin!r}; a chosen answer scores higher than the "
                "rejected one, so give a number above 0"
            )


# Of several reasons for no pair the first is given.
_REASONS = ("tie", "small margin", "one model", "no rating", "same text", "empty")
_ROUNDING = 1e-9  # means that differ by a whole number do so only up to this

RowOrDrop = Row | Drop
Outcomes = Callable[[RatedPrompt, Policy], Iterator[RowOrDrop]]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to make rows of a rated prompt: their schema, and each outcome, a row or a drop."""

    schema: Schema
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer that may be in a pair: its score, its normalised text, its lot in every draw."""

    answer: RatedAnswer
    score: float
    text: str
    lot: bytes


def score(answer: RatedAnswer, by: str) -> float | None:
    """What an answer is compared by, as a finite number; None where it was not rated."""
    value: float | None
    if by == "overall":
        value = answer.score
    elif by == "mean":
        value = mean_rating(answer.ratings.values())
    elif by == "verdict":
        value = answer.verdict
    else:
        value = answer.ratings.get(by)
    return None if value is None or not math.isfinite(value) else float(value)


def zephyr(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """The best against a random other; a draw that ties with it is repeated."""
    yield _one_pair(rated, policy, policy.by)


def mean_of_aspects(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """The best mean of all aspects against a random one with a lower mean."""
    yield _one_pair(rated, policy, "mean")


def max_min(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """The best against the worst that is another text."""
    yield _one_pair(rated, policy, policy.by, worst=True)


def margin(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """The best against a random one lower by `least_margin` or more, with the difference."""
    outcome = _one_pair(rated, policy, policy.by, least_margin=policy.least_margin)
    if not isinstance(outcome, Drop):
        outcome["margin"] = outcome["score_chosen"] - outcome["score_rejected"]
    yield outcome


def all_pairs(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """Every two answers, the better against the worse: n answers have n (n - 1) / 2 outcomes."""
    prompt = row_id(rated.prompt)
    entries, aside = _entries(rated, policy.by, prompt)
    if len(rated.answers) < 2:
        yield _drop(prompt, rated, "no pair")
    for better, worse in combinations(entries, 2):
        fault = _fault(better, worse, policy)
        if fault:
            yield _drop(prompt, rated, fault, texts=[better.answer.text, worse.answer.text])
        else:
            pair = short_hash(prompt, better.answer.text, worse.answer.text)
            yield _pair(rated, better, worse, pair)
    # The pairs with those set aside: with each entry, and among themselves.
    for place, (answer, reason) in enumerate(aside):
        for other in [*(entry.answer for entry in entries), *(one for one, _ in aside[:place])]:
            yield _drop(prompt, rated, reason, texts=[answer.text, other.text])


def unpaired(rated: RatedPrompt, policy: Policy) -> Iterator[RowOrDrop]:
    """Each answer by itself, and whether it is one to learn from."""
    prompt = row_id(rated.prompt)
    least = 1.0 if policy.by == "verdict" else policy.least_score
    entries, aside = _entries(rated, policy.by, prompt)
    if not rated.answers:
        yield _drop(prompt, rated, "no answer")
    scored = [(score(answer, policy.by), answer.text) for answer, _ in aside]
    for entry in entries:
        good = entry.score >= least
        # An answer that was given twice, once rated good and once not, is neither for certain.
        twins = [
            value for value, text in scored if value is not None and normalised(text) == entry.text
        ]
        if any((value >= least) != good for value in twins):
            yield _drop(prompt, rated, "contradictory ratings", texts=[entry.answer.text])
            continue
        yield {
            "id": short_hash(prompt, entry.answer.text),
            "prompt": [dict(turn) for turn in rated.prompt],
            "completion": assistant(entry.answer.text),
            "label": good,
        }
    for answer, reason in aside:
        yield _drop(prompt, rated, reason, texts=[answer.text])


STRATEGIES: Mapping[str, Strategy] = {
    "zephyr": Strategy(schema=PREFERENCE, outcomes=zephyr),
    "mean_of_aspects": Strategy(schema=PREFERENCE, outcomes=mean_of_aspects),
    "max_min": Strategy(schema=PREFERENCE, outcomes=max_min),
    "all_pairs": Strategy(schema=PREFERENCE, outcomes=all_pairs),
    "unpaired": Strategy(schema=UNPAIRED, outcomes=unpaired),
    "margin": Strategy(schema=PREFERENCE_MARGIN, outcomes=margin),
}


def _entries(
    rated: RatedPrompt, by: str, prompt: str
) -> tuple[list[_Entry], list[tuple[RatedAnswer, str]]]:
    """The answers that may be in a pair, best first, and those set aside, with the reason.

    The order depends on contents alone: equal scores are in the order of their lots. Of equal texts
    the best rated is an entry.
    """
    entries: list[_Entry] = []
    aside: list[tuple[RatedAnswer, str]] = []
    for answer in rated.answers:
        value = score(answer, by)
        text = normalised(answer.text)
        if not text:
            aside.append((answer, "empty"))
        elif value is None:
            aside.append((answer, "no rating"))
        else:
            own = f"{prompt}\x1f{answer.text}\x1f{answer.writer}\x1f{answer.principle}"
            lot = sha256(own.encode("utf-8", "surrogatepass")).digest()
            entries.append(_Entry(answer, value, text, lot))
    entries.sort(key=lambda entry: (-entry.score, entry.lot))
    seen: set[str] = set()
    distinct: list[_Entry] = []
    for entry in entries:
        if entry.text in seen:
            aside.append((entry.answer, "same text"))
        else:
            seen.add(entry.text)
            distinct.append(entry)
    aside.sort(key=lambda one: (one[1], one[0].text, one[0].writer or ""))
    return distinct, aside


def _one_pair(
    rated: RatedPrompt, policy: Policy, by: str, *, worst: bool = False, least_margin: float = 0.0
) -> RowOrDrop:
    """The best and the first lower one, in the order of the draw, that makes a pair with it.

    Of several best ones, the first that makes a pair.
    """
    prompt = row_id(rated.prompt)
    entries, aside = _entries(rated, by, prompt)
    faults = {reason for _, reason in aside}
    others = entries[::-1] if worst else sorted(entries, key=lambda entry: entry.lot)
    for best in entries:
        if best.score < entries[0].score:
            break
        for other in others:
            fault = None if other is best else _fault(best, other, policy, least_margin)
            if fault:
                faults.add(fault)
            elif other is not best:
                return _pair(rated, best, other, prompt)
    return _drop(prompt, rated, next((one for one in _REASONS if one in faults), "no pair"))


def _fault(better: _Entry, worse: _Entry, policy: Policy, least_margin: float = 0.0) -> str | None:
    """Why two entries make no pair, the cheapest reason first."""
    if better.score <= worse.score:
        return "tie"
    if better.score - worse.score < least_margin - _ROUNDING:
        return "small margin"
    writer = better.answer.writer
    if policy.one_model == "drop" and writer is not None and writer == worse.answer.writer:
        return "one model"
    if policy.most_alike is not None:
        from rapidfuzz.fuzz import ratio

        least = 100 * policy.most_alike
        if ratio(better.text, worse.text, score_cutoff=least):
            return "same text"
    return None


def _pair(rated: RatedPrompt, better: _Entry, worse: _Entry, pair_id: str) -> Row:
    return {
        "id": pair_id,
        "prompt": [dict(turn) for turn in rated.prompt],
        "chosen": assistant(better.answer.text),
        "rejected": assistant(worse.answer.text),
        "score_chosen": better.score,
        "score_rejected": worse.score,
        "chosen_model": better.answer.writer,
        "rejected_model": worse.answer.writer,
    }


def _drop(prompt: str, rated: RatedPrompt, reason: str, texts: Sequence[str] | None = None) -> Drop:
    """The reason, with the prompt and the texts that it is about; None: all of the prompt's."""
    return Drop(
        reason=reason,
        evidence={
            "row_id": prompt,
            "prompt": [dict(turn) for turn in rated.prompt],
            "texts": list(texts or sorted(answer.text for answer in rated.answers)),
        },
    )
