"""The licence of a set: the strictest of those of its source and its teachers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from builders.drafting.licence import rolled_up, strictness
from tests.cases import each

LAX_TO_STRICT = ["cc0-1.0", "mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"]
LICENCES = st.sampled_from([*LAX_TO_STRICT, "unknown", "llama3.1", "gemma", "other"])


@each(("laxer", "stricter"), [*pairwise(LAX_TO_STRICT)])
def test_the_stricter_of_two_licences_binds_the_set(laxer: str, stricter: str) -> None:
    assert rolled_up([laxer, stricter]) == rolled_up([stricter, laxer]) == stricter


@given(st.lists(LICENCES, min_size=1))
def test_no_set_is_laxer_than_anything_it_was_made_from(licences: list[str]) -> None:
    assert strictness(rolled_up(licences)) == max(map(strictness, licences))


@given(st.permutations(["cc-by-4.0", "mit", "gemma", "llama3.1"]))
def test_the_order_of_the_sources_does_not_matter(licences: list[str]) -> None:
    assert rolled_up(licences) == "other"


def test_a_licence_is_the_same_in_capitals() -> None:
    assert rolled_up(["CC0-1.0", "Apache-2.0"]) == "apache-2.0"


@each("known", LAX_TO_STRICT)
def test_an_unlisted_licence_is_stricter_than_any_listed_one(known: str) -> None:
    assert rolled_up([known, "llama3.1"]) == "llama3.1"
    assert rolled_up([known, "unknown"]) == "unknown"


def test_two_licences_that_nobody_can_compare_make_another() -> None:
    assert rolled_up(["gemma", "llama3.1"]) == "other"


def test_one_unknown_licence_makes_the_licence_of_the_set_unknown() -> None:
    assert rolled_up(["unknown", "gemma", "mit"]) == "unknown"
