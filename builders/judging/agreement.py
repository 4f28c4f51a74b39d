"""How far a judge agrees with people, and people with one another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from builders.judging.figures import (
    Figure,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    share,
    unknown,
)
from builders.judging.verdicts import ABSENT, FAILED, Codes, Judged, decided, has_verdict

_MOST_NAMED = 5  # annotators whose kappas are each a figure; a crowd has one for all


def agreement_figures(judged: Judged) -> dict[str, Figure]:
    """Agreement and kappas with people; without labels only the judge's own two orders.

    An unreadable verdict counts as one that people did not give.
    """
    figures: dict[str, Figure] = {}
    if judged.people is not None:
        people, final = judged.majority, judged.final
        figures["agreement_with_people"] = _agreement(final, people)
        if judged.second is not None:
            figures["agreement_first_order"] = _agreement(judged.first, people)
            figures["agreement_second_order"] = _agreement(judged.second, people)
        clear = decided(final) & decided(people)
        figures["agreement_without_ties"] = share(final[clear] == people[clear])
        if judged.adversarial is not None:
            hard = judged.adversarial
            figures["agreement_on_adversarial"] = _agreement(final[hard], people[hard])
        figures["kappa_with_people"] = cohen_kappa(final, people)
        if 1 < judged.people.shape[1] <= _MOST_NAMED:
            for place, labels in enumerate(judged.people.T, 1):
                figures[f"kappa_with_annotator_{place}"] = cohen_kappa(final, labels)
        figures |= _among_people(judged.people, final)
    if judged.second is not None:
        figures["kappa_of_both_orders"] = cohen_kappa(judged.first, judged.second)
    return figures


def chance(judged: Judged) -> float:
    """The agreement with people that a judge with this one's habits would have by chance.

    Which text is called a is arbitrary, so a judge that knows only how often to give a tie sets a
    floor: where people's labels are all equal (the chosen texts are all a), habits show nothing.
    """
    people, final = judged.majority, judged.final
    both = has_verdict(people) & (final != ABSENT)
    if not both.any():
        return 1.0
    x, y = final[both], people[both]
    tie_x, tie_y = float((x == 0).mean()), float((y == 0).mean())
    nameless = tie_x * tie_y + float(decided(x).mean()) * (1 - tie_y) / 2
    if len(np.unique(y)) < 2:
        return nameless
    return max(nameless, sum(float((x == v).mean() * (y == v).mean()) for v in (-1, 0, 1)))


def _agreement(verdicts: Codes, people: Codes) -> Figure:
    both = has_verdict(people) & (verdicts != ABSENT)
    return share(verdicts[both] == people[both], labelled=int(has_verdict(people).sum()))


def _among_people(people: Codes, final: Codes) -> dict[str, Figure]:
    if people.shape[1] < 2:
        return {}
    figures: dict[str, Figure] = {}
    pairs = list(combinations(range(people.shape[1]), 2))
    if people.shape[1] <= _MOST_NAMED:
        for i, j in pairs:
            name = f"kappa_of_annotators_{i + 1}_and_{j + 1}"
            figures[name] = cohen_kappa(people[:, i], people[:, j])
    whole = people[has_verdict(people).all(axis=1)]
    figures["people_unanimous"] = share(_alike(whole))
    figures["fleiss_kappa_of_people"] = fleiss_kappa(people)
    figures["krippendorff_alpha_of_people"] = krippendorff_alpha(people)
    with_judge = np.column_stack([people, np.where(final == FAILED, ABSENT, final)])
    figures["krippendorff_alpha_with_judge"] = krippendorff_alpha(with_judge)
    if not len(whole):
        figures["people_unanimous"] = unknown("no item has a label of every annotator")
    return figures


def _alike(rows: Codes) -> npt.NDArray[np.bool_]:
    alike: npt.NDArray[np.bool_] = (rows == rows[:, :1]).all(axis=1)
    return alike
