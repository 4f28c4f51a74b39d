"""How verdicts are combined: both orders, samples, panels; soft preferences; win rates."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import InputError
from builders.judging.logprobs import second_probability, stored_preference, win_rate
from builders.judging.verdicts import (
    ABSENT,
    FAILED,
    TIE,
    A,
    B,
    Judged,
    better_scored,
    both_orders,
    codes,
    majority,
    mean_of,
    mean_preference,
    panel,
    preferred,
)

verdict = st.sampled_from([A, B, TIE, FAILED, ABSENT])


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


def test_a_win_needs_both_orders_and_all_else_is_a_tie() -> None:
    first = column(A, A, A, B, TIE, A, FAILED, ABSENT)
    second = column(A, B, TIE, B, TIE, FAILED, B, A)
    assert both_orders(first, second).tolist() == [A, TIE, TIE, B, TIE, FAILED, FAILED, ABSENT]


def test_the_most_votes_win_and_equal_numbers_are_a_tie() -> None:
    votes = np.array(
        [[A, A, B], [A, B, TIE], [A, B, FAILED], [A, FAILED, ABSENT], [TIE, TIE, A]], np.int8
    )
    assert majority(votes).tolist() == [A, TIE, TIE, A, TIE]
    assert majority(np.array([[FAILED, ABSENT], [ABSENT, ABSENT]], np.int8)).tolist() == [
        FAILED,
        ABSENT,
    ]


@given(st.lists(st.tuples(verdict, verdict, verdict), min_size=1))
def test_votes_count_alike_whoever_casts_them(rows: list[tuple[int, int, int]]) -> None:
    votes = np.array(rows, np.int8)
    assert majority(votes).tolist() == majority(votes[:, ::-1]).tolist()
    swapped = np.where(np.abs(votes) == 1, -votes, votes)
    flipped = majority(votes)
    assert majority(swapped).tolist() == np.where(np.abs(flipped) == 1, -flipped, flipped).tolist()


def test_the_mean_of_votes_is_a_preference() -> None:
    votes = np.array([[A, B, TIE, A], [A, FAILED, ABSENT, ABSENT], [FAILED] * 4], np.int8)
    found = mean_preference(votes)
    assert found[:2].tolist() == [0.625, 1.0]
    assert math.isnan(found[2])
    assert preferred(found).tolist() == [A, A, FAILED]
    assert preferred(np.array([0.52, 0.5, 0.4]), least_margin=0.05).tolist() == [TIE, TIE, B]


def test_scores_that_lie_near_are_a_tie() -> None:
    a, b = np.array([7.0, 7.0, 3.0, np.nan]), np.array([6.9, 6.0, 8.0, 1.0])
    assert better_scored(a, b).tolist() == [TIE, A, B, FAILED]


def test_a_panel_votes_in_each_order_or_takes_the_mean() -> None:
    shared = {"ids": ["x", "y"], "people": np.array([[A], [B]], np.int8)}
    judges = [
        Judged(judge="p", first=codes(["a", "b"]), second=codes(["a", "a"]), **shared),
        Judged(judge="q", first=codes(["a", "b"]), second=codes(["b", "b"]), **shared),
        Judged(judge="r", first=codes(["b", None]), second=codes(["a", "tie"]), **shared),
    ]
    voted = panel(judges)
    assert voted.judge == "majority of p, q, r"
    assert voted.first.tolist() == [A, B]
    assert voted.second is not None and voted.second.tolist() == [A, TIE]
    averaged = panel(judges, "mean")
    assert averaged.preference is not None
    assert averaged.preference.tolist() == pytest.approx([(1 + 0.5 + 0.5) / 3, (0.5 + 0 + 0.5) / 3])
    assert averaged.people is shared["people"]
    with pytest.raises(InputError, match="other items"):
        panel([judges[0], Judged(judge="s", ids=["y", "x"], first=codes(["a", "b"]))])


def test_preferences_of_both_orders_are_averaged() -> None:
    found = mean_of(np.array([0.9, np.nan]), np.array([0.5, 1.0]))
    assert found[0] == pytest.approx(0.7)
    assert math.isnan(found[1])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"'first'.*expected 2"):
        Judged(judge="j", ids=["x", "y"], first=codes(["a"]))


def test_a_soft_preference_comes_from_the_two_tokens_and_the_order_shown() -> None:
    top = [["M", math.log(0.6)], ["m", math.log(0.2)], ["The", math.log(0.1)]]
    assert second_probability(top, "m", "M") == pytest.approx(0.75)
    assert stored_preference(top, swapped=False) == pytest.approx(1.75)
    assert stored_preference(top, swapped=True) == pytest.approx(1.25)
    assert stored_preference(None, swapped=False, identical=True) == 1.5
    assert stored_preference([["M", -0.1]], swapped=False) == 2
    assert math.isnan(stored_preference([["The", -0.1]], swapped=False))
    assert second_probability([["m", -9e5], ["M", -9e5]], "m", "M") == 0.5


@pytest.mark.parametrize(
    ("file", "rate", "error", "counts"),
    [
        ("judge_logprobs_phi-2", 2.3502, 0.4497, (15, 785, 3, 803)),
        ("judge_logprobs_alpaca-7b", 2.5915, 0.4871, (17, 785, 3, 805)),
    ],
)
def test_published_win_rates_come_out_of_the_log_probabilities(
    data: Path, file: str, rate: float, error: float, counts: tuple[int, ...]
) -> None:
    lines = (data / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = [
        stored_preference(
            row["top_logprobs"], swapped=bool(row["shown_swapped"]), identical=row["identical"]
        )
        for row in rows
    ]
    assert found == pytest.approx([row["preference"] for row in rows], abs=2e-8)
    whole = win_rate(found)
    assert whole["win_rate"] == pytest.approx(rate, abs=1e-4)
    assert whole["standard_error"] == pytest.approx(error, abs=1e-4)
    assert tuple(whole[name] for name in ("wins", "wins_base", "draws", "rows")) == counts


def test_a_verdict_that_cannot_be_read_is_left_out_of_the_win_rate() -> None:
    found = win_rate([1.0, 2.0, math.nan])
    assert (found["win_rate"], found["rows"], found["failed"]) == (50.0, 2, 1)
