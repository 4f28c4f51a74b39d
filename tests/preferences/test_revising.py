"""Chains of critiques and revisions: which answers refuse, and each figure of the card."""

from __future__ import annotations

from typing import Any

from builders.preferences.revising import evades, measures, refuses
from builders.schema import Row
from tests.cases import each


@each(
    ("text", "refused", "evaded"),
    [
        ("I'm sorry, but I can't help with that.", True, True),
        ("I can't help with that request. " + "Here is what would help. " * 12, True, False),
        ("Sure, here is how.", False, False),
    ],
)
def test_a_refusal_that_offers_nothing_instead_is_evasive(
    text: str, refused: bool, evaded: bool
) -> None:
    assert (refuses(text), evades(text)) == (refused, evaded)


def chain(number: int, **more: Any) -> Row:
    return {
        "id": str(number),
        "answers": ["Sure.", "No."],
        "principles": ["kind"],
        "revisions": ["Better."],
        "ended": "good",
        "comparison": None,
        "decided_by": None,
        "first_shown_first": None,
        "first_shown_second": None,
        **more,
    }


REFUSAL = "I'm sorry, but I can't help with that."
LONG_REFUSAL = "I can't help with that request. " + "Here is what would help. " * 12


def measured(*rows: Row) -> dict[str, Any]:
    return measures(lambda _: rows)


def test_refusals_are_counted_in_first_answers_and_in_good_last_revisions() -> None:
    found = measured(
        chain(1, answers=[REFUSAL, "x"], revisions=["y", LONG_REFUSAL], principles=["a", "b"]),
        chain(2, answers=["Sure.", REFUSAL], revisions=[REFUSAL], ended="unchanged"),
        chain(3, answers=["", "x"], revisions=[], ended="unfinished", principles=["b"]),
        chain(4, answers=[LONG_REFUSAL, "x"], revisions=[REFUSAL, "Fine."]),
    )
    assert found["revisions by how they ended"] == {"good": 2, "unchanged": 1, "unfinished": 1}
    assert found["share revised"] == 0.5
    assert found["share of first answers that refuse"] == 0.6667  # of three that have a text
    assert found["share of first answers that evade"] == 0.3333
    assert found["share of last revisions that refuse"] == 0.5  # of the two good ones
    assert found["share of last revisions that evade"] == 0.0
    assert found["principles of revision"] == {"a": 1, "b": 2, "kind": 2}
    assert list(found["principles of revision"]) == ["a", "b", "kind"]


def test_a_verdict_holds_where_both_orders_favour_one_answer() -> None:
    def judged(number: int, first: float, second: float, comparison: str = "c") -> Row:
        shown = {"first_shown_first": first, "first_shown_second": second}
        return chain(number, decided_by="probabilities", comparison=comparison, **shown)

    found = measured(
        judged(1, 0.9, 0.6), judged(2, 0.2, 0.4, "b"), judged(3, 0.9, 0.1), chain(4, comparison="d")
    )
    assert found["share of verdicts that hold in both orders"] == 0.6667
    assert found["principles of comparison"] == {"b": 1, "c": 2}


def test_of_no_rows_no_share_is_known() -> None:
    assert {value for name, value in measured().items() if name.startswith("share")} == {None}
