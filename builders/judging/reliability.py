"""How far a judge can be trusted: figures with intervals, and a verdict with its reasons.

A judge is reliable only when that has been shown: against people's labels, in both orders, on
enough pairs. It is "not shown" where something was not measured, "unreliable" where something
measured is bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from builders.errors import number_of
from builders.judging.agreement import agreement_figures, chance
from builders.judging.biases import bias_figures
from builders.judging.figures import Figure, figure
from builders.judging.rationales import rationale_figures
from builders.judging.verdicts import Judged

# Preferring the longer text agrees 0.62 with people where chance is 0.5 (AlpacaEval's table of
# evaluators, people among themselves 0.66): the lower end of a judge's interval must come near
# the value that counting characters has.
LEAST_OVER_CHANCE = 0.10
# GPT-4 kept its verdict in 0.65 of MT-bench's pairs when their order changed, 0.775 with examples
# in the prompt (Zheng et al. 2023): below, every fourth verdict is one about places.
LEAST_CONSISTENCY = 0.75
MOST_P = 0.01  # a bias is reported only where chance would show it once in a hundred judges
MOST_EFFECT = 0.10  # and where it decides more than every tenth pair
MOST_FAILURES = 0.05  # unreadable verdicts are not missing at random: hard pairs have more
LEAST_RATIONALE = 0.75  # below, score and reasons come from different places, or the parser errs
MOST_FAULT_AT_TOP = 0.10  # UltraFeedback's parser took scores of 1 for 10; this is where it shows
FEWEST_LABELLED = 50  # with fewer pairs the interval of a share is wider than 0.14 to each side
FEWEST_OF_A_KIND = 20  # pairs, rationales or verdicts of one kind that can count as a fault

RELIABLE, UNRELIABLE, NOT_SHOWN = "reliable", "unreliable", "not shown to be reliable"


def report(judged: Judged) -> dict[str, Any]:
    """Everything measured of a judge, as JSON values that are the same for the same verdicts.

    `figures` by name (see builders.judging.figures), `not_judged` (pairs without a usable answer
    in both orders, by cause), `verdict` in words with its `reasons`, and `reliable`, which is true
    only for the verdict "reliable".
    """
    figures = agreement_figures(judged) | bias_figures(judged) | rationale_figures(judged)
    if judged.people is not None:
        level = figure(chance(judged), None, None, figures["agreement_with_people"]["n"], "none")
        figures["chance_agreement"] = level
    return {
        "judge": judged.judge,
        "items": len(judged),
        "not_judged": _not_judged(judged),
        "figures": dict(sorted(figures.items())),
        **verdict_from(figures),
    }


def verdict_from(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """`verdict`, `reasons` and `reliable`, which follow from the figures of a report alone."""
    faults, gaps, unread = _faults(figures), _gaps(figures), []
    failed = figures["parse_failures"]
    if failed["n"] and failed["value"] > MOST_FAILURES:
        unread = [
            f"no verdict could be read from {failed['count']:,} of "
            f"{number_of(failed['n'], 'answers')}, at most {MOST_FAILURES:g} of them may be "
            "unreadable"
        ]
    bad = faults or (unread and failed["n"] >= FEWEST_OF_A_KIND)
    verdict = UNRELIABLE if bad else NOT_SHOWN if unread or gaps else RELIABLE
    reasons = unread + faults + gaps
    return {"reliable": verdict == RELIABLE, "verdict": verdict, "reasons": reasons}


def _not_judged(judged: Judged) -> list[dict[str, Any]]:
    """How many pairs lack a usable answer in an order, by cause, with the words of the first."""
    if judged.lost is None:
        return []
    lost = [next(filter(None, calls), None) for calls in judged.lost[:, :2]]
    first: dict[str, str] = {}
    pairs: Counter[str] = Counter()
    for why in filter(None, lost):
        cause, _, words = why.partition(" (")
        first.setdefault(cause, words.removesuffix(")"))
        pairs[cause] += 1
    return [{"pairs": n, "cause": one, "why": first[one]} for one, n in pairs.most_common()]


def _gaps(figures: Mapping[str, Figure]) -> list[str]:
    """What would have to be measured before the judge can be called reliable."""
    gaps = []
    lost = figures.get("unusable_answers")
    if lost and lost["n"] and lost["value"] > MOST_FAILURES:
        gaps.append(
            f"{lost['count']:,} of {number_of(lost['n'], 'calls')} gave no answer that can be used"
        )
    agreement = figures.get("agreement_with_people", {"n": 0})
    compared = agreement["n"]
    labelled = agreement.get("labelled", compared)
    if not labelled:
        gaps.append("not measured against people")
    elif labelled < FEWEST_LABELLED:
        pairs = number_of(labelled, "pairs")
        gaps.append(f"only {pairs} with people's labels, {FEWEST_LABELLED} are needed")
    elif compared < FEWEST_LABELLED:
        gaps.append(
            f"only {compared} of {labelled:,} labelled pairs were judged, {FEWEST_LABELLED} are "
            "needed"
        )
    orders = figures.get("both_order_consistency")
    if not orders:
        gaps.append("not measured in both orders")
    elif orders["n"] < min(FEWEST_LABELLED, max(compared, 1)):
        gaps.append(f"only {number_of(orders['n'], 'pairs')} with a verdict in both orders")
    return gaps


def _faults(figures: Mapping[str, Figure]) -> list[str]:
    """What was measured and is bad."""
    found = []
    agrees, luck = figures.get("agreement_with_people"), figures.get("chance_agreement")
    labelled = agrees["n"] if agrees else 0
    if (
        agrees
        and luck
        and labelled >= FEWEST_LABELLED
        and (agrees["low"] < luck["value"] + LEAST_OVER_CHANCE)
    ):
        found.append(
            f"agreement with people may be as low as {agrees['low']:.3f}, where chance gives "
            f"{luck['value']:.3f} and {LEAST_OVER_CHANCE:g} more is required"
        )
    hard = figures.get("agreement_on_adversarial")
    if hard and hard["n"] >= FEWEST_OF_A_KIND and hard["low"] <= 0.5:
        found.append(
            f"agreement on adversarial pairs may be as low as {hard['low']:.3f}, no more "
            "than chance"
        )
    for name, least, words in (
        ("both_order_consistency", LEAST_CONSISTENCY, "the same verdict in both orders in only"),
        ("repeatability", LEAST_CONSISTENCY, "the same verdict when repeated in only"),
    ):
        share = figures.get(name)
        if share and share["n"] >= FEWEST_OF_A_KIND and share["value"] < least:
            found.append(f"{words} {share['value']:.3f} of the pairs, {least:g} is required")
    for name, words in (
        ("first_shown_preferred", "position bias: the text shown {} is preferred"),
        ("length_odds_ratio", "length bias: the {} text is preferred"),
        ("own_text_against_people", "self-preference: its {} text is preferred"),
    ):
        found += _pull(name, words, figures.get(name))
    if _one_verdict(figures):
        found.append("it gives the same verdict on everything")
    same = figures.get("commonest_score")
    if same and same["n"] >= FEWEST_OF_A_KIND and same["value"] == 1.0:
        found.append(f"it gives the same score, {same['score']:g}, to everything")
    return found + _rationale_faults(figures)


def _pull(name: str, words: str, pull: Figure | None) -> list[str]:
    sides = {
        "first_shown_preferred": ("first", "second"),
        "length_odds_ratio": ("longer", "shorter"),
        "own_text_against_people": ("own", "rival's"),
    }[name]
    if not pull or pull.get("p") is None or pull.get("effect") is None:
        return []
    uncontrolled = pull.get("control") == "none" or pull.get("basis", "").startswith("all pairs")
    if uncontrolled or pull["p"] >= MOST_P or abs(pull["effect"]) <= MOST_EFFECT:
        return []
    side = sides[pull["effect"] < 0]
    return [f"{words.format(side)} (effect {pull['effect']:+.3f}, p {pull['p']:.2g})"]


def _one_verdict(figures: Mapping[str, Figure]) -> bool:
    """Whether all verdicts are the same while people's are not, or all are ties."""
    same = figures.get("commonest_verdict")
    if not same or same["value"] != 1.0 or same["n"] < FEWEST_OF_A_KIND:
        return False
    return bool(same["verdict"] == "tie" or same["labels"] > 1)


def _rationale_faults(figures: Mapping[str, Figure]) -> list[str]:
    found = []
    for name, what in (("rationale_agrees", "verdict"), ("rationale_agrees_with_score", "score")):
        share = figures.get(name)
        if share and share["n"] >= FEWEST_OF_A_KIND and share["value"] < LEAST_RATIONALE:
            found.append(f"only {share['value']:.3f} of the rationales agree with the {what}")
    top = figures.get("fault_found_at_top_score")
    if top and top["n"] >= FEWEST_OF_A_KIND and top["low"] > MOST_FAULT_AT_TOP:
        found.append(
            f"{top['value']:.3f} of the rationales of the highest score find fault: is a low score "
            "read as a high one?"
        )
    return found
