"""Writers and principles are drawn fairly, and for the same prompt always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from builders.engine.calls import Question
from builders.preferences.writers import writing_questions
from builders.recipe import short_hash
from builders.schema import user

MEMBERS = [f"writer_{number}" for number in range(1, 18)]
PRINCIPLES = {"kind": ["Be kind.", "Show kindness."], "brief": ["Be brief."], "never": ["Never."]}
ODDS = {"kind": 70, "brief": 30}
IDS = [short_hash(str(number)) for number in range(3000)]


def drawn(prompt_id: str, *, pool: Sequence[str] = MEMBERS, **more: Any) -> list[Question]:
    raw = {"id": prompt_id, "prompt": user("Why?")}
    given = {"principles": PRINCIPLES, "odds": ODDS, "seed": 42, **more}
    return writing_questions(raw, pool, 4, **given)


def test_each_prompt_has_four_distinct_writers_and_every_writer_its_share() -> None:
    by_prompt = [[one.teacher for one in drawn(identity)] for identity in IDS]
    assert all(len(set(names)) == 4 for names in by_prompt)
    often = Counter(name for names in by_prompt for name in names)
    assert often.keys() == set(MEMBERS)
    assert all(abs(count - 3000 * 4 / 17) < 120 for count in often.values())


def test_the_same_prompt_has_the_same_writers_whatever_comes_before_it() -> None:
    forth = {identity: drawn(identity) for identity in IDS[:200]}
    back = {identity: drawn(identity) for identity in reversed(IDS[:200])}
    assert forth == back
    assert drawn(IDS[0]) != drawn(IDS[0], seed=43)


def test_one_model_alone_writes_four_variants_of_which_no_two_are_alike() -> None:
    for identity in IDS[:200]:
        asked = drawn(identity, pool=["writer"])
        assert {one.teacher for one in asked} == {"writer"}
        assert [one.sampling["temperature"] for one in asked] == [1.0, 0.7, 1.3, 0.4]


def test_two_models_write_two_each_the_second_time_at_another_temperature() -> None:
    asked = drawn(IDS[0], pool=["writer_1", "writer_2"])
    assert Counter(one.teacher for one in asked) == {"writer_1": 2, "writer_2": 2}
    assert len({(one.teacher, one.sampling["temperature"]) for one in asked}) == 4


def test_principles_are_drawn_by_their_odds_and_worded_in_all_their_ways() -> None:
    asked = [one for prompt_id in IDS for one in drawn(prompt_id)]
    often = Counter(one.about["principle"] for one in asked)
    assert often.keys() == {"kind", "brief"}
    assert abs(often["kind"] / len(asked) - 0.7) < 0.015
    assert {one.about["system"] for one in asked} == {"Be kind.", "Show kindness.", "Be brief."}


def test_a_principle_comes_before_the_prompt_s_own_instruction() -> None:
    raw = {"id": "0", "prompt": [{"role": "system", "content": "Be a pirate."}, *user("Why?")]}
    odds = {"brief": 1}
    [one] = writing_questions(raw, ["writer"], 1, principles=PRINCIPLES, odds=odds, seed=1)
    system = "Be brief.\n\nBe a pirate."
    assert one.prompt == [{"role": "system", "content": system}, *user("Why?")]
    assert one.about["system"] == system
