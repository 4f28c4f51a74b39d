"""The card's linter reports what the Hub reports, with any line ending, and never crashes."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders.card_metadata import card_data
from builders.hub_vocabulary import vocabulary
from builders.recipe_loading import recipe_names
from builders.release.card_lint import NO_METADATA, card_problems
from tests.cases import each

ROOT = Path(__file__).parents[2]


def card(front: Any, line_break: str = "\n") -> str:
    text = front if isinstance(front, str) else yaml.safe_dump(front, allow_unicode=True)
    return f"---\n{text.strip()}\n---\n\n# A set\n".replace("\n", line_break)


def errors(front: Any) -> list[str]:
    return card_problems(card(front))[0]


def warnings(front: Any) -> list[str]:
    return card_problems(card(front))[1]


GOOD = {
    "license": "cc-by-4.0",
    "language": ["en", "deu", "code", "multilingual"],
    "task_categories": ["text-generation"],
    "task_ids": ["language-modeling"],
    "size_categories": ["1K<n<10K"],
    "annotations_creators": ["machine-generated", "no-annotation"],
    "language_creators": "machine-generated",
    "multilinguality": ["monolingual"],
    "pretty_name": "A set",
    "tags": ["synthetic", "anything at all"],
    "builder": {"unknown": ["keys", 3, None]},
}


def test_a_card_that_the_hub_accepts_has_no_problem() -> None:
    assert card_problems(card(GOOD)) == ([], [])


def test_a_card_that_potstill_writes_has_no_problem() -> None:
    cards = [path.read_text("utf-8") for path in (ROOT / "tests" / "golden").glob("*_card.md")]
    assert cards
    assert [card_problems(text) for text in cards] == [([], [])] * len(cards)


def test_the_vocabulary_of_every_shipped_card_is_the_hub_s() -> None:

    for name in recipe_names():
        assert card_problems((ROOT / "cards" / f"{name}.md").read_text("utf-8")) == ([], [])


@each("readme", ["", "# A set\n", "--- \na: 1\n---\n", "---\n---\n", "---\n\n---\n", "---\na: 1\n"])
def test_a_card_without_metadata_gives_only_a_warning(readme: str) -> None:
    assert card_problems(readme) == ([], [NO_METADATA])


@each("line_break", ["\n", "\r\n", "\r"])
@each("before", ["", "\n\n", " \n", "\ufeff"])
def test_metadata_is_found_after_blank_lines_and_with_any_line_ending(
    line_break: str, before: str
) -> None:
    text = before + card(GOOD, line_break)
    assert card_data(text) == GOOD
    assert card_data(text.rstrip("\r\n")) == GOOD
    blanks_after = text[::-1].replace("---", "\t ---", 1)[::-1]
    assert card_data(blanks_after) == GOOD


def test_the_first_line_of_three_dashes_ends_the_metadata() -> None:
    text = "license: mit\nextra_gated_prompt: |\n  first\n---\n  second\ntags: 3"
    assert card_data(card(text)) == {"license": "mit", "extra_gated_prompt": "first"}
    assert card_problems(card(text)) == ([], [])


@each(
    "text",
    [
        "license: [mit",
        "license: mit\nlicense: gpl",
        "a: {b: 1, b: 2}",
        "- mit",
        "mit",
        "a: !!python/object/apply:os.system [id]",
        "a: !!timestamp never",
        "a: !!int many",
        "a: !!bool perhaps",
        "a: 2024-13-45",
        "a: " + "9" * 5000,
        "a: \x07",
        "? [a]\n: 1",
        "a: " + "[" * 1200,
        "x: &x {a: 1}\ny:\n  <<: *x",
        "a: *nowhere",
        "a: 0x" + "f" * 5000,
        "a: " + "!" * 5000,
        "a: 1\n\tb: 2",
    ],
)
def test_metadata_that_is_not_a_yaml_mapping_is_refused_in_one_line(text: str) -> None:
    (error,) = errors(text)
    assert error.startswith("Invalid YAML in README.md: ")
    assert "\n" not in error
    assert len(error) < 400


@pytest.mark.parametrize("many", [9, 3])
def test_aliases_that_expand_to_too_much_are_refused_fast(many: int) -> None:
    lines = [f"a: &a [{', '.join('x' * many)}]"]
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * many)}]")
    found = errors("\n".join([*lines, "tags: *a"]))
    assert [error.split(":")[0] for error in found] == ["Invalid YAML in README.md"] * (many > 3)
    assert errors(f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 1000)}]")
    assert errors("a: &a [*a]")


@each("given", ["not-a-license", "MIT", "Apache-2.0", ["mit", "huge"], ""])
def test_a_licence_that_the_hub_does_not_list_is_refused_with_the_list(given: Any) -> None:
    (error,) = errors({"license": given})
    assert re.match(r'"license(\[\d\])?" must be one of \[afl-3.0, .*zlib\]', error)


@each("given", [["mit", "apache-2.0"], None, "odc-by"])
def test_a_listed_licence_or_several_or_none_are_accepted(given: Any) -> None:
    assert card_problems(card({"license": given, "pretty_name": "A set"})) == ([], [])


def test_the_licence_other_needs_a_name() -> None:
    assert "license_name" in warnings({"license": "other"})[0]
    assert card_problems(card({"license": "other", "license_name": "the-other"})) == ([], [])


def test_a_task_id_that_the_hub_does_not_list_is_refused() -> None:
    (error,) = errors({"task_ids": "test"})
    assert error.startswith('"task_ids" must be one of [')
    assert "language-modeling" in error
    assert errors({"task_ids": ["language-modeling", "test"]})[0].startswith('"task_ids[1]"')


@each(
    ("name", "value"),
    [
        ("task_categories", "text2text-generation"),
        ("task_categories", "foo"),
        ("size_categories", "huge"),
        ("size_categories", "1k<n<10k"),
        ("annotations_creators", "a model"),
        ("language_creators", "no-annotation"),
        ("multilinguality", "bilingual"),
    ],
)
def test_an_unknown_word_of_the_other_vocabularies_gives_only_a_warning(
    name: str, value: str
) -> None:
    found, (warning,) = card_problems(card({name: [value]}))
    assert found == []
    assert f'"{name}[0]"' in warning
    assert value in warning


@each("given", ["english", ["en", "EN"], ["en-US"], "x", "xx", "qqq"])
def test_a_language_is_a_code_not_a_name(given: Any) -> None:
    (error,) = errors({"language": given})
    assert "ISO 639" in error


def test_the_language_no_is_accepted_with_the_advice_to_quote_it() -> None:
    found, (warning,) = card_problems(card("language: [no, en]"))
    assert found == []
    assert "quotes" in warning
    assert card_problems(card("language: ['no', en]")) == ([], [])


@each(
    "front",
    [
        {"pretty_name": 3},
        {"tags": [2024]},
        {"tags": {"a": 1}},
        {"license": {"mit": True}},
        {"license": [["mit"]]},
        {"task_ids": 7},
        {"size_categories": [{"n<1K": 1}]},
        {"viewer": "yes please"},
        {"dataset_info": "x"},
        {"dataset_info": [[]]},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_key(front: dict[str, Any]) -> None:
    (error,) = errors(front)
    assert error.startswith(f'"{next(iter(front))}')


TRAIN = {"split": "train", "path": "data/train-*"}
CONFIGS: dict[str, tuple[Any, bool]] = {
    "a path": ([{"config_name": "a", "data_files": "data/*"}], True),
    "a list of paths": ([{"config_name": "a", "data_files": ["a/*", "b/*"]}], True),
    "splits": ([{"config_name": "a", "data_files": [TRAIN]}], True),
    "a split of many paths": (
        [{"config_name": "a", "data_files": [{"split": "a.b_1", "path": ["a/*", "b/*"]}]}],
        True,
    ),
    "no files": ([{"config_name": "a", "data_dir": "x", "sep": ";"}], True),
    "a slash in the name": ([{"config_name": "a/b"}], True),
    "one default": ([{"config_name": "a", "default": True}, {"config_name": "b"}], True),
    "a mapping": ({"config_name": "a"}, False),
    "a text": ("x", False),
    "no name": ([{"data_files": "x"}], False),
    "no path": ([{"config_name": "a", "data_files": [{"split": "train"}]}], False),
    "no split": ([{"config_name": "a", "data_files": [{"path": "x"}]}], False),
    "a third key": ([{"config_name": "a", "data_files": [{**TRAIN, "sep": 1}]}], False),
    "a space in a split": (
        [{"config_name": "a", "data_files": [{**TRAIN, "split": "a b"}]}],
        False,
    ),
    "a dash in a split": ([{"config_name": "a", "data_files": [{**TRAIN, "split": "a-b"}]}], False),
    "a number for a path": ([{"config_name": "a", "data_files": [{**TRAIN, "path": 3}]}], False),
    "a number for files": ([{"config_name": "a", "data_files": 3}], False),
    "a mapping for files": ([{"config_name": "a", "data_files": {"train": "x"}}], False),
    "two defaults": ([{"config_name": n, "default": True} for n in "ab"], False),
    "default and a default": (
        [{"config_name": "default"}, {"config_name": "b", "default": 1}],
        False,
    ),
}


@each(("configs", "good"), CONFIGS)
def test_configs_are_refused_where_datasets_refuses_them(configs: Any, good: bool) -> None:
    from datasets.utils.metadata import MetadataConfigs

    assert (errors({"configs": configs}) == []) is good
    try:
        MetadataConfigs.from_dataset_card_data({"configs": configs}).get_default_config_name()
    except (ValueError, TypeError, AttributeError):
        accepted = False
    else:
        accepted = True
    assert accepted is good


@each(
    "configs",
    [
        [3],
        [None],
        [{"config_name": 3}],
        [{"config_name": ["a"]}],
        [{"config_name": "a"}, {"config_name": "a"}],
        [{"config_name": "a", "data_files": [{"split": 3, "path": "x"}]}],
        [{"config_name": "a", "data_files": [{"split": "train", "path": [3]}]}],
        [{"config_name": "a", "data_files": [[]]}],
    ],
)
def test_configs_that_crash_datasets_or_lose_data_are_refused_too(configs: Any) -> None:
    assert len(errors({"configs": configs})) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [*vocabulary()]
FIELDS += ["configs", "dataset_info", "language", "tags", "pretty_name", "viewer", "license_name"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_no_value_crashes_the_linter(front: dict[str, Any]) -> None:
    found, remarks = card_problems(card(front))
    assert all(isinstance(text, str) and text for text in found + remarks)


@given(st.text())
def test_no_text_crashes_the_linter(text: str) -> None:
    card_problems(text)
    card_problems(f"---\n{text}\n---\n")


def test_the_vocabulary_is_the_published_one(data: Path) -> None:
    published = json.loads((data / "hub_vocab.json").read_text("utf-8"))
    ours = vocabulary()
    assert set(ours["license"]) == set(published["license"])
    assert {"mit", "other", "unknown", "odc-by"} < set(ours["license"])
    assert ours == {name: sorted(words) for name, words in ours.items()}
    assert set(ours["task_categories"]) == set(published["task_categories"])
    assert set(ours["task_ids"]) == set().union(*published["task_ids"].values())


@pytest.mark.slow
def test_the_vocabulary_is_in_the_wheel(tmp_path: Path) -> None:
    builder = pytest.importorskip("hatchling.builders.wheel")
    (wheel,) = builder.WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        assert "builders/hub_vocabulary.json" in archive.namelist()
