"""A version's number shows how much changed; the card lists all and marks withdrawn ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from builders.errors import InputError
from builders.release.diff import ConfigDiff, Diff
from builders.release.versions import (
    check_version,
    demanded,
    next_version,
    version_key,
    versions_section,
    with_versions,
)
from tests.cases import each

NONE: Mapping[str, Any] = {
    "changed_by_column": {},
    "columns_added": {},
    "columns_removed": {},
    "columns_retyped": {},
    "columns_reworded": {},
}
RANK = [None, "patch", "minor", "major"]


def change(**what: Any) -> Diff:
    """A diff of one config, of whole configs, or of words."""
    of_all = {"configs_added": {}, "configs_removed": {}, "words_changed": ()}
    whole = {name: what.pop(name, nothing) for name, nothing in of_all.items()}
    return Diff(configs={"default": ConfigDiff(**{**NONE, **what})}, **whole)


NOTHING = change()
WORDS = change(words_changed=("Use", "tags"))
ROWS = change(rows_added=4, ids_added=("a1", "a2", "a3", "a4"))
CHANGED = change(rows_changed=1, ids_changed=("c1",), changed_by_column={"prompt": 1})
REWORDED = change(columns_reworded={"score": ("1 to 5", "from 1 to 5")})
COLUMN = change(columns_added={"margin": "double"})
RETYPED = change(columns_retyped={"score": ("int64", "double")})
WENT = change(columns_removed={"score": "double"})
CONFIG = change(configs_added={"rated": 9})
CONFIG_WENT = change(configs_removed={"rated": 9})


@each(
    ("found", "part"),
    [
        (NOTHING, None),
        (WORDS, "patch"),
        (REWORDED, "patch"),
        (ROWS, "minor"),
        (CHANGED, "minor"),
        (change(rows_removed=1, ids_removed=("r",)), "minor"),
        (CONFIG, "minor"),
        (COLUMN, "major"),
        (RETYPED, "major"),
        (WENT, "major"),
        (CONFIG_WENT, "major"),
        (change(reordered=True), None),
    ],
)
def test_columns_are_major_rows_are_minor_words_are_a_patch(found: Diff, part: str | None) -> None:
    assert demanded(found) == part


COUNTS = st.fixed_dictionaries(
    {
        "rows_added": st.integers(0, 2),
        "rows_changed": st.integers(0, 2),
        "columns_added": st.sampled_from([{}, {"x": "int64"}]),
        "columns_retyped": st.sampled_from([{}, {"y": ("int64", "string")}]),
        "columns_reworded": st.sampled_from([{}, {"z": ("a word", "another")}]),
        "configs_added": st.sampled_from([{}, {"calls": 1}]),
        "configs_removed": st.sampled_from([{}, {"calls": 1}]),
        "words_changed": st.sampled_from([(), ("Use",)]),
    }
)


@given(one=COUNTS, other=COUNTS)
def test_more_changes_never_demand_less(one: dict[str, Any], other: dict[str, Any]) -> None:
    both = {name: one[name] or other[name] for name in one}
    demands = [RANK.index(demanded(change(**what))) for what in (one, other, both)]
    assert demands[2] == max(demands[:2])


@each(
    ("old", "new", "found"),
    [
        ("1.0.0", "1.0.1", WORDS),
        ("1.0.0", "1.0.1", REWORDED),
        ("1.0.0", "1.1.0", WORDS),
        ("1.0.9", "1.1.0", ROWS),
        ("1.9.0", "2.0.0", COLUMN),
        ("0.1.0", "1.0.0", COLUMN),
        ("0.1.0", "0.2.0", ROWS),
        ("1.0.0", "1.0.0", NOTHING),
        ("1.9.0", "1.10.0", ROWS),
        ("1.0.0", "3.0.0", NOTHING),
    ],
)
def test_a_large_enough_number_is_accepted(old: str, new: str, found: Diff) -> None:
    check_version(old, new, found)


@each(
    ("old", "new", "found", "message"),
    [
        (
            "1.0.0",
            "1.0.1",
            ROWS,
            "4 rows of 'default' were added (a1, a2, a3, ...); that is a minor",
        ),
        ("1.0.0", "1.0.1", CHANGED, "1 row of 'default' was changed (c1)"),
        ("1.0.0", "1.1.0", COLUMN, "column 'margin' of 'default' was added; that is a major"),
        ("1.0.0", "1.1.0", RETYPED, "changed from 'int64' to 'double'"),
        ("1.0.0", "1.1.0", WENT, "column 'score' of 'default' was removed"),
        ("1.0.0", "1.1.0", CONFIG_WENT, "config 'rated' was removed"),
        ("1.0.0", "1.0.5", CONFIG, "config 'rated' was added with 9 rows"),
        ("0.1.0", "0.2.0", COLUMN, "set v1.0.0 or higher"),
        ("1.2.3", "1.2.3", WORDS, "1.2.3 is already released: since 1.2.3 the words under 'Use'"),
        ("1.2.3", "1.2.3", REWORDED, "the meaning of 'score' of 'default' is worded otherwise"),
        ("1.2.3", "1.2.3", ROWS, "set v1.3.0 or higher"),
        ("1.10.0", "1.9.0", NOTHING, "1.9.0 is below 1.10.0"),
        ("1.0.0", "1.0", ROWS, "'1.0' is not a version"),
        ("1.0.0", "01.0.0", ROWS, "'01.0.0' is not a version"),
    ],
)
def test_a_number_that_is_too_small_is_refused_with_what_demands_more(
    old: str, new: str, found: Diff, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        check_version(old, new, found)
    assert message in str(refused.value)


NUMBERS = st.tuples(*[st.integers(0, 12)] * 3)


@given(old=NUMBERS, part=st.sampled_from(["major", "minor", "patch"]))
def test_the_number_that_a_refusal_names_is_the_lowest_accepted(
    old: tuple[int, int, int], part: Any
) -> None:
    before = ".".join(map(str, old))
    least = next_version(before, part)
    found = {"major": COLUMN, "minor": ROWS, "patch": WORDS}[part]
    check_version(before, least, found)
    major, minor, patch = version_key(least)
    lower = [f"{major}.{minor}.{patch - 1}"] if patch else []
    lower += [f"{major}.{minor - 1}.99"] if minor else []
    lower += [f"{major - 1}.99.99"] if major else []
    for version in lower:
        with pytest.raises(InputError):
            check_version(before, version, found)


# --- on the card


def history(versions: int) -> list[dict[str, str]]:
    return [{"version": f"0.{n}.0", "changes": f"change {n}"} for n in range(versions, 0, -1)]


def test_each_version_is_listed_with_its_diff_and_how_to_load_it() -> None:
    section = versions_section(history(2), {}, "org/set")
    assert section.startswith("<!-- versions -->\n") and section.endswith("\n<!-- /versions -->")
    loads = [f'load_dataset("org/set", revision="v0.{n}.0", split="train")' for n in (2, 1)]
    rows = [line for line in section.splitlines() if line.startswith("| `v")]
    assert [load in line for load, line in zip(loads, rows, strict=True)] == [True, True]
    assert "change 2" in rows[0] and "load_dataset" not in versions_section(history(2), {}, None)


def test_a_withdrawn_version_of_any_age_is_listed_with_the_reason_and_the_one_to_use() -> None:
    advisories = {"0.1.0": {"why": "answers | <b>leak</b>", "use": "v0.40.0"}}
    section = versions_section(history(40), advisories, "org/set")
    assert r"**Withdrawn: answers \| \<b\>leak\</b\>** Use v0.40.0." in section
    assert "`v0.1.0`, withdrawn" in section


def test_the_list_stays_short_with_many_versions() -> None:
    section = versions_section(history(3000), {}, "org/set")
    assert len(section) < 10_000
    assert "| `v0.1.0` to `v0.2970.0` | 2,970 earlier" in section
    assert versions_section(history(30), {}, None).count("\n| `v") == 30


def test_nothing_in_a_history_can_break_the_card() -> None:
    evil = "x <!-- /versions --> | `a` [b](c)\n# Pwned"
    section = versions_section(
        [{"version": "1.0.0", "changes": evil}], {"1.0.0": {"why": evil, "use": evil}}, "org/set"
    )
    assert section.count("<!-- /versions -->") == 1
    tokens = MarkdownIt("commonmark").enable("table").parse(section)
    assert [t.content for t in tokens if t.type == "html_block"] == [
        "<!-- versions -->\n",
        "<!-- /versions -->",
    ]
    assert sum(token.type == "heading_open" for token in tokens) == 1
    links = [part for t in tokens for part in t.children or () if part.type == "link_open"]
    assert links == []


def test_only_the_list_is_replaced_on_the_card() -> None:
    old, new = (versions_section(history(n), {}, "org/set") for n in (1, 2))
    assert with_versions(f"before\\1\n{old}\nafter", new) == f"before\\1\n{new}\nafter"
    for card in ("none", old + old):
        with pytest.raises(InputError, match="lists of versions"):
            with_versions(card, new)
