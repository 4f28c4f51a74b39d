"""Sets of rated answers: the pair or the reason for none, and each figure of the card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builders.judging.aspects import ASPECTS
from builders.preferences.rated_sets import measures, row
from builders.recipe import Drop, Raw
from builders.schema import Row, assistant
from tests.preferences.test_aspect_ratings import judged, raw_of


def test_a_score_of_1_stays_1() -> None:
    raw = judged(raw_of(["bad", "good"]), {"bad": 1, "good": 5})
    pair = row(raw)
    assert isinstance(pair, dict)
    assert (pair["score_chosen"], pair["score_rejected"]) == (5.0, 1.0)


def test_a_prompt_is_dropped_for_what_its_ratings_are() -> None:
    def reason(raw: Raw) -> str:
        verdict = row(raw)
        assert isinstance(verdict, Drop)
        return verdict.reason

    assert reason(judged(raw_of(["a", "b"]), {"a": 3, "b": 3})) == "tie"
    assert reason(judged(raw_of(["a"]), {"a": 3})) == "no pair"
    assert reason(judged(raw_of(["A b", "a  B"]), {"A b": 3, "a  B": 5})) == "same text"
    unread = judged(raw_of(["a", "b"]), {"a": 3, "b": 5})
    for reply in unread["critiques"]:
        reply |= {"fault": "no score", "parsed": None}
    verdict = row(unread)
    assert isinstance(verdict, Drop) and verdict.reason == "no rating"
    assert verdict.evidence["faults"] == ["overall: no score"]
    silent = raw_of(["a"], ratings=[], critiques=[])
    silent["completions"][0] |= {"text": None, "fault": "http 500"}
    assert reason(silent) == "http 500"


def rated_row(number: int, **more: Any) -> Row:
    return {
        "model": "m",
        "principle": "honesty",
        **dict.fromkeys(ASPECTS),
        "mean": None,
        "overall": None,
        "shown_at": "{}",
        "id": str(number),
        **more,
    }


def pair_of(chosen: str, rejected: str) -> Row:
    return {"chosen": assistant(chosen), "rejected": assistant(rejected)}


def measured(rated: Sequence[Row] = (), pairs: Sequence[Row] = ()) -> dict[str, Any]:
    configs = {"rated": rated, "default": pairs}
    return measures(lambda name: configs[name])


def test_the_longer_answer_is_the_one_of_more_characters() -> None:
    share = "share of pairs whose longer answer is chosen"
    # As Python writes them the rejected ones are longer: quotes and line ends are escaped there.
    longer = pair_of("x" * 45, "\n'\"" * 14 + "x")
    shorter = pair_of("\u00e9" * 5, "e" * 6)
    assert measured(pairs=[longer])[share] == 1.0
    assert measured(pairs=[longer, shorter, pair_of("same", "size")])[share] == 0.3333
    assert share not in measured()


def test_a_mean_counts_the_ratings_that_there_are_and_their_number() -> None:
    rows = [
        rated_row(1, honesty=1, helpfulness=5, mean=3.0, overall=10),
        rated_row(2, honesty=2, mean=2.0),
        rated_row(3),
    ]
    found = measured(rows)
    assert found["rated answers"] == 3
    assert found["ratings: honesty"] == "mean 1.50, 2 of 3 answers rated"
    assert found["ratings: helpfulness"] == "mean 5.00, 1 of 3 answers rated"
    assert found["ratings: mean"] == "mean 2.50, 2 of 3 answers rated"
    assert found["ratings: overall"] == "mean 10.00, 1 of 3 answers rated"
    assert found["ratings: truthfulness"] == "0 of 3 answers rated"


def test_ratings_are_averaged_by_the_place_at_which_the_judge_saw_the_answer() -> None:
    rows = [
        rated_row(1, honesty=1, helpfulness=2, shown_at='{"honesty": 0, "helpfulness": 2}'),
        rated_row(2, honesty=4, shown_at='{"honesty": 1, "helpfulness": 0}'),
        rated_row(3, honesty=4, helpfulness=5, shown_at='{"honesty": 2, "helpfulness": 1}'),
    ]
    by_place = measured(rows)["mean rating by place before the judge"]
    assert by_place == {"1": 1.0, "2": 4.5, "3": 3.0}
    assert list(by_place) == ["1", "2", "3"]


def test_writers_are_named_and_a_single_one_is_reported_as_such() -> None:
    one = measured([rated_row(1), rated_row(2)])
    assert one["writers"] == "one model, m, under several principles and temperatures"
    rows = [rated_row(1, model="b"), rated_row(2, model="a", principle="kind"), rated_row(3)]
    two = measured([*rows, rated_row(4, model="a", principle=None)])
    assert two["writers"] == "a, b, m"
    assert two["answers by principle"] == {"honesty": 2, "kind": 1}
