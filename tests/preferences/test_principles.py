"""Constitutions: files of principles are read strictly, and principles are drawn evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from builders.errors import InputError
from builders.preferences.principles import Comparison, Revision, read_constitution
from builders.recipe import short_hash
from pipelines.constitution import SHIPPED, constitution_file

GOOD = """
[[revisions]]
id = "kind"
harms = ["any"]
critique = "Is it kind?"
revision = "Make it kind."

[[comparisons]]
id = "kinder"
harms = ["any"]
question = "Which is kinder?"
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[revisions\]\]"),
        ("no toml [", "not TOML"),
        (GOOD.replace('critique = "Is it kind?"\n', ""), r"\[\[revisions\]\] 1: expected harms"),
        (GOOD.replace('"Is it kind?"', '" "'), r"\[\[revisions\]\] 1: expected harms"),
        (GOOD.replace('["any"]', '"any"'), "'harms' is 'any', expected a list"),
        (GOOD + GOOD.split("[[comparisons]]")[0], "the id 'kind' is given twice"),
        (GOOD.split("[[comparisons]]")[0], r"no \[\[comparisons\]\]"),
        (GOOD + "\n[[comparisons]]\nid = 3\n", r"\[\[comparisons\]\] 2"),
    ],
)
def test_a_constitution_with_a_fault_is_refused_and_the_fault_is_named(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_constitution(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_constitution(tmp_path / "absent.toml")


def test_principles_are_drawn_by_the_prompt_evenly_and_none_twice_before_all() -> None:
    shipped = read_constitution(constitution_file(SHIPPED))

    def drawn(seed: int) -> list[tuple[list[Revision], Comparison]]:
        return [shipped.drawn(short_hash(str(n)), rounds=4, seed=seed) for n in range(4000)]

    found = drawn(42)
    assert found == drawn(42) != drawn(43)
    assert all(len({one.id for one in rounds}) == 4 for rounds, _ in found)
    revised_by = Counter(one.id for rounds, _ in found for one in rounds)
    compared_by = Counter(one.id for _, one in found)
    assert len(revised_by) == len(compared_by) == 16
    assert all(abs(count - 1000) < 120 for count in revised_by.values())
    assert all(abs(count - 250) < 80 for count in compared_by.values())
    (long, _) = shipped.drawn("0", rounds=40, seed=1)
    assert len(long) == 40
