"""A judge's reliability: published answers come out, planted faults are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.judging import figures
from builders.judging.labelled_sets import read_judged
from builders.judging.rationales import stated_winners, tone
from builders.judging.reliability import NOT_SHOWN, RELIABLE, UNRELIABLE, report
from builders.judging.verdicts import ABSENT, FAILED, TIE, A, B, Judged
from builders.sources.source import Source
from tests.cases import each

Made = Callable[[np.random.Generator, np.ndarray], dict[str, Any]]
PAIRS = 400


# --- published answers


def test_pandalm_s_people_and_judges_come_out_as_published(data: Path) -> None:
    pandalm, gpt = map(report, read_judged(Source(place=str(data / "pandalm_a.jsonl"))))
    found = pandalm["figures"]
    expected = json.loads((data / "EXPECTED_OPEN.json").read_text(encoding="utf-8"))["pandalm_a"]
    for i, j in ((1, 2), (1, 3), (2, 3)):
        kappa = found[f"kappa_of_annotators_{i}_and_{j}"]
        assert kappa["value"] == pytest.approx(expected[f"cohen_kappa_{i}{j}"], abs=1e-5)
        assert kappa["low"] < kappa["value"] < kappa["high"]
    assert found["people_unanimous"]["count"] == expected["unanimous_rows"]
    assert found["agreement_with_people"]["value"] == 0.65
    unread = expected["gpt35_accuracy_vs_majority(garbage=wrong)"]
    assert gpt["figures"]["agreement_with_people"]["value"] == unread
    assert gpt["figures"]["parse_failures"]["count"] == expected["gpt35_garbage"]
    assert pandalm["verdict"] == gpt["verdict"] == NOT_SHOWN
    assert pandalm["reasons"] == ["not measured in both orders"]


@pytest.mark.parametrize(
    ("file", "first", "second", "both", "alike"),
    [("llmbar_natural_gpt4_cot", 94, 95, 90, 91), ("faireval_gpt4_vanilla", 51, 45, 38, 46)],
)
def test_official_statistics_of_both_orders_come_out(
    data: Path, file: str, first: int, second: int, both: int, alike: int
) -> None:
    [judged] = read_judged(Source(place=str(data / f"{file}.jsonl")))
    found = report(judged)["figures"]
    assert found["agreement_first_order"]["count"] == first
    assert found["agreement_second_order"]["count"] == second
    assert found["agreement_with_people"]["count"] == both
    assert found["both_order_consistency"]["count"] == alike
    official = json.loads((data / "EXPECTED_OPEN.json").read_text(encoding="utf-8"))[file]
    kappa = official["official_statistics.json"]["kappa_agreement"]
    assert found["kappa_of_both_orders"]["value"] == pytest.approx(kappa, abs=1e-5)


def test_a_good_judge_passes_and_the_known_position_bias_of_another_is_named(data: Path) -> None:
    [good] = map(report, read_judged(Source(place=str(data / "llmbar_natural_gpt4_cot.jsonl"))))
    assert (good["verdict"], good["reasons"], good["reliable"]) == (RELIABLE, [], True)
    assert good["figures"]["rationale_agrees"]["value"] == 1.0
    [biased] = map(report, read_judged(Source(place=str(data / "faireval_gpt4_vanilla.jsonl"))))
    assert not biased["reliable"]
    assert any("position bias: the text shown first" in one for one in biased["reasons"])


def test_without_people_no_judge_is_reliable(data: Path) -> None:
    [judged] = read_judged(Source(place=str(data / "judge_logprobs_phi-2.jsonl")))
    found = report(judged)
    assert found["verdict"] == NOT_SHOWN
    assert "not measured against people" in found["reasons"]
    preference = found["figures"]["mean_preference_for_a"]
    assert preference["value"] == pytest.approx(1 - 0.023502, abs=1e-6)
    assert preference["standard_error"] == pytest.approx(0.00449659, abs=1e-6)
    assert abs(found["figures"]["first_shown_preferred"]["value"] - 0.5) < 0.05


# --- planted faults


def judged(make: Made, seed: int = 1, pairs: int = PAIRS) -> Judged:
    """Three people who mostly agree, and a judge made by `make` from chance and the truth."""
    dice = np.random.default_rng(seed)
    truth = dice.choice([A, B, TIE], size=pairs, p=[0.45, 0.45, 0.1]).astype(np.int8)
    slips = dice.random((pairs, 3)) < 0.1
    people = np.where(slips, dice.choice([A, B, TIE], size=(pairs, 3)), truth[:, None])
    columns: dict[str, Any] = {
        "judge": "planted",
        "ids": [str(place) for place in range(pairs)],
        "people": people.astype(np.int8),
        "length_a": dice.integers(50, 2000, pairs).astype(float),
        "length_b": dice.integers(50, 2000, pairs).astype(float),
    }
    columns |= make(dice, truth)
    if "longer" in columns:
        del columns["longer"]
        longer = np.sign(columns["length_a"] - columns["length_b"]).astype(np.int8)
        columns |= {"first": longer, "second": longer}
    return Judged(**columns)


def perfect(_: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    return {"first": truth, "second": truth, "repeats": np.column_stack([truth, truth])}


def good(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    def once() -> np.ndarray:
        return np.where(dice.random(len(truth)) < 0.08, TIE, truth).astype(np.int8)

    return {"first": once(), "second": once(), "repeats": once()[:, None]}


def coin(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    first, second = (dice.choice([A, B], len(truth)).astype(np.int8) for _ in "12")
    return {"first": first, "second": second}


def first_shown(_: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    return {"first": np.full_like(truth, A), "second": np.full_like(truth, B)}


def always_a(_: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    return {"first": np.full_like(truth, A), "second": np.full_like(truth, A)}


def longer(*_: Any) -> dict[str, Any]:
    return {"longer": True}


def copied_place(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    """The place of its first verdict, whichever text is there: perfectly repeatable."""
    places = dice.choice([A, B], len(truth)).astype(np.int8)
    return {"first": places, "second": -places, "repeats": places[:, None]}


def leaning(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    swayed = dice.random(len(truth)) < 0.2
    return {"first": np.where(swayed, A, truth), "second": np.where(swayed, B, truth)}


def mute(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    silent = np.where(dice.random(len(truth)) < 0.25, FAILED, truth)
    return {"first": silent, "second": truth}


def moody(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    again = np.where(dice.random(len(truth)) < 0.5, TIE, truth)
    return {"first": truth, "second": truth, "repeats": again[:, None]}


def ties_only(_: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    same = np.full(len(truth), 7.0)
    ties = np.zeros_like(truth)
    return {"first": ties, "second": ties, "score_a": same, "score_b": same}


def vain(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    own = dice.choice([A, B], len(truth))
    swayed = np.where(dice.random(len(truth)) < 0.4, own, truth)
    writers = np.array(["org/planted-0613", "somebody"], np.object_)
    return {
        "first": swayed,
        "second": swayed,
        "writer_a": writers[(own == B).astype(int)],
        "writer_b": writers[(own == A).astype(int)],
    }


def misled(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    hard = dice.random(len(truth)) < 0.15
    fooled = np.where(hard, -truth, truth)
    return {"first": fooled, "second": fooled, "adversarial": hard}


@pytest.mark.parametrize("make", [perfect, good])
def test_a_judge_that_judges_as_people_do_is_reliable(make: Made) -> None:
    found = report(judged(make))
    assert (found["reliable"], found["reasons"]) == (True, [])


def test_many_labelled_pairs_of_which_few_were_judged_are_not_called_few_labels() -> None:
    first = np.array([A] * 10 + [ABSENT] * 50, np.int8)
    people = np.full((60, 1), A, np.int8)
    ids = [*map(str, range(60))]
    found = report(Judged(judge="j", ids=ids, first=first, second=first, people=people))
    assert found["reasons"] == ["only 10 of 60 labelled pairs were judged, 50 are needed"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (coin, "agreement with people may be as low"),
        (coin, "same verdict in both orders in only"),
        (first_shown, "position bias: the text shown first"),
        (first_shown, "same verdict in both orders in only 0.000"),
        (always_a, "the same verdict on everything"),
        (longer, "length bias: the longer text"),
        (longer, "agreement with people may be as low"),
        (copied_place, "same verdict in both orders in only 0.000"),
        (leaning, "position bias: the text shown first"),
        (mute, "no verdict could be read from"),
        (moody, "same verdict when repeated in only"),
        (ties_only, "the same verdict on everything"),
        (ties_only, "the same score, 7"),
        (vain, "self-preference: its own text"),
        (misled, "agreement on adversarial pairs"),
    ],
)
def test_a_planted_fault_is_named(make: Made, reason: str) -> None:
    found = report(judged(make))
    assert found["verdict"] == UNRELIABLE
    assert [one for one in found["reasons"] if reason in one], found["reasons"]


def test_a_judge_of_places_is_repeatable_and_has_no_side_but_is_never_consistent() -> None:
    found = report(judged(copied_place))["figures"]
    assert found["repeatability"]["value"] == 1.0
    assert found["both_order_consistency"]["value"] == 0.0
    assert found["first_shown_preferred"]["p"] > 0.01


def test_faults_are_found_with_any_chance_and_a_good_judge_is_never_blamed() -> None:
    blamed = [seed for seed in range(20) if not report(judged(good, seed))["reliable"]]
    missed = [
        (make.__name__, seed)
        for make in (coin, first_shown, longer, leaning, mute, vain)
        for seed in range(10)
        if report(judged(make, seed))["reliable"]
    ]
    assert (blamed, missed) == ([], [])


def test_a_longer_text_preferred_by_people_too_is_no_bias_of_the_judge() -> None:
    def as_people(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
        sides = np.where(dice.random(len(truth)) < 0.85, 1, -1) * np.where(truth == 0, 1, truth)
        noisy = np.where(dice.random(len(truth)) < 0.1, -truth, truth).astype(np.int8)
        return {
            "first": noisy,
            "second": noisy,
            "length_a": np.where(sides > 0, 900.0, 300.0) + dice.integers(0, 99, len(truth)),
            "length_b": np.where(sides > 0, 300.0, 900.0) + dice.integers(0, 99, len(truth)),
        }

    found = report(judged(as_people))
    assert found["figures"]["longer_preferred"]["low"] > 0.6
    assert found["reasons"] == []


def scored(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
    """Scores 1 to 10 with a rationale of their side."""
    columns: dict[str, Any] = {"first": truth, "second": truth}
    for side in "ab":
        scores = dice.integers(1, 11, len(truth)).astype(float)
        words = ["The answer is wrong and confusing.", "A correct and clear answer."]
        columns[f"score_{side}"] = scores
        columns[f"rationale_{side}"] = np.array([words[int(s > 5)] for s in scores], np.object_)
    return columns


def test_a_reader_that_takes_1_for_10_shows_in_the_rationales() -> None:
    def misread(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
        columns = scored(dice, truth)
        return {n: np.where(c == 1, 10, c) if "score" in n else c for n, c in columns.items()}

    assert report(judged(scored))["reliable"]
    found = report(judged(misread))
    assert any("highest score find fault" in one for one in found["reasons"])


def test_scores_turned_round_disagree_with_their_rationales() -> None:
    def turned(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
        columns = scored(dice, truth)
        return {n: 11 - c if n.startswith("score") else c for n, c in columns.items()}

    found = report(judged(turned))
    assert found["figures"]["rationale_agrees_with_score"]["value"] == 0.0
    assert found["verdict"] == UNRELIABLE


def test_few_labels_show_nothing_either_way() -> None:
    found = report(judged(perfect, pairs=30))
    assert found["verdict"] == NOT_SHOWN
    assert found["reasons"] == ["only 30 pairs with people's labels, 50 are needed"]


def test_chosen_texts_that_all_stand_in_a_can_still_measure_a_judge() -> None:
    """As in RewardBench: labels have one value, so luck is judged by ties alone."""

    def all_a(make: Made) -> Made:
        def made(dice: np.random.Generator, truth: np.ndarray) -> dict[str, Any]:
            people = np.full((len(truth), 1), A, np.int8)
            return {**make(dice, people[:, 0]), "people": people}

        return made

    assert report(judged(all_a(perfect)))["reliable"]
    assert not report(judged(all_a(coin)))["reliable"]
    assert not report(judged(all_a(first_shown)))["reliable"]


# --- rationales


@each(
    ("rationale", "side"),
    [
        ("Both try. Therefore, Output (a) is better.", A),
        ("Response 2 is better than Response 1 because it is brief.", B),
        ("I prefer Assistant B.", B),
        ("Output (a) is not better. Output (b) is the stronger one.", B),
        ("They are equally good.", TIE),
        ("Output (a) is correct. Output (b) is wrong and vague.", A),
        ("Nothing to say.", ABSENT),
        (None, ABSENT),
    ],
)
def test_a_rationale_s_winner_is_found_where_it_names_one(rationale: str, side: int) -> None:
    assert stated_winners([rationale]).tolist() == [side]


def test_the_tone_turns_with_a_negation() -> None:
    assert tone("Clear and correct.") == 1
    assert tone("It is not correct.") == -1
    assert tone("There are no mistakes.") == 1
    assert tone("It isn’t helpful.") == -1
    assert tone("A text.") == 0


# --- figures


def test_alpha_is_that_of_krippendorff_s_worked_examples() -> None:
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011)."""
    two_of_a_kind = ["0100000010", "1110010000"]
    two_of_five = ["aabbdcccedda", "babbbccceddd"]
    four_with_gaps = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    for observers, scale, level, alpha in (
        (two_of_a_kind, "01", "nominal", 0.095),
        (two_of_five, "abcde", "nominal", 0.692),
        (four_with_gaps, "12345", "nominal", 0.743),
        (four_with_gaps, "12345", "ordinal", 0.815),
    ):
        codes = [[scale.find(value) for value in values] for values in observers]
        raters = np.array(codes, np.int8).T
        found = figures.krippendorff_alpha(raters, np.arange(len(scale), dtype=np.int8), level)
        assert found["value"] == pytest.approx(alpha, abs=5e-4), (observers, level)
        assert found["low"] < found["value"] < found["high"] <= 1, (observers, level)


def test_kappa_and_alpha_are_what_their_definitions_give_by_hand() -> None:
    """Ten pairs, 7 labelled alike; of the 20 labels 6 + 5 are a, 3 + 3 b, 1 + 2 tie."""
    one = np.array([A, A, A, A, A, A, B, B, B, TIE], np.int8)
    other = np.array([A, A, A, A, B, TIE, B, B, A, TIE], np.int8)
    by_chance = (6 * 5 + 3 * 3 + 1 * 2) / 100
    kappa = (0.7 - by_chance) / (1 - by_chance)
    assert figures.cohen_kappa(one, other)["value"] == pytest.approx(kappa, abs=1e-6)
    alike = (11 * 10 + 6 * 5 + 3 * 2) / (20 * 19)  # two of the 20, drawn without replacement
    both = np.column_stack([one, other])
    found = figures.krippendorff_alpha(both)["value"]
    assert found == pytest.approx((0.7 - alike) / (1 - alike), abs=1e-6)
    alone = np.vstack([both, [[ABSENT, A], [B, ABSENT], [ABSENT, ABSENT]]]).astype(np.int8)
    assert figures.krippendorff_alpha(alone)["value"] == found


def test_the_bootstrap_computes_what_the_library_computes() -> None:
    dice = np.random.default_rng(5)
    people = dice.choice([A, B, TIE], (60, 3), p=[0.6, 0.3, 0.1]).astype(np.int8)
    counts = figures._counts(people)
    once = np.ones((1, len(counts)), np.int64)
    fleiss = figures.fleiss_kappa(people)["value"]
    assert figures._fleiss(once, counts)[0] == pytest.approx(fleiss, abs=1e-6)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """300 sets of 150 pairs with a known agreement and kappa: 95 % intervals, give or take."""
    dice = np.random.default_rng(9)
    right, rounds, pairs = 0.8, 300, 150
    kappa = (right - 0.5) / 0.5
    held = {"share": 0, "kappa": 0, "fleiss": 0, "alpha": 0}
    for _ in range(rounds):
        truth = dice.choice([A, B], pairs).astype(np.int8)
        verdicts = np.where(dice.random(pairs) < right, truth, -truth).astype(np.int8)
        both = np.column_stack([truth, verdicts])
        found = {
            "share": (figures.share(truth == verdicts), right),
            "kappa": (figures.cohen_kappa(truth, verdicts), kappa),
            "fleiss": (figures.fleiss_kappa(both), kappa),
            "alpha": (figures.krippendorff_alpha(both), kappa),
        }
        for name, (one, truly) in found.items():
            held[name] += one["low"] <= truly <= one["high"]
    assert {name: 0.91 < times / rounds < 0.985 for name, times in held.items()} == dict.fromkeys(
        held, True
    ), held


def test_a_figure_that_cannot_be_had_says_why() -> None:
    same = np.full(9, A, np.int8)
    assert figures.cohen_kappa(same, same)["value"] is None
    assert "chance explains all" in figures.cohen_kappa(same, same)["note"]
    none = np.full(9, FAILED, np.int8)
    assert figures.cohen_kappa(none, same)["note"] == "no item has a verdict or label of both"
    assert figures.share(np.array([], bool))["value"] is None
    assert figures.fleiss_kappa(np.column_stack([same, same]))["value"] is None
    assert figures.krippendorff_alpha(same[:, None])["value"] is None


def test_a_report_is_plain_json_and_the_same_every_time() -> None:
    reports = [report(judged(good)) for _ in range(2)]
    texts = [json.dumps(one, allow_nan=False) for one in reports]
    assert texts[0] == texts[1]


def test_nothing_judged_and_nothing_read_are_reported_and_not_reliable() -> None:
    nothing = np.full(60, FAILED, np.int8)
    found = report(
        Judged(
            judge="mute",
            ids=list(map(str, range(60))),
            first=nothing,
            second=nothing,
            people=np.full((60, 2), A, np.int8),
        )
    )
    assert found["figures"]["parse_failures"]["value"] == 1.0
    assert found["verdict"] == UNRELIABLE
    json.dumps(found, allow_nan=False)
