"""What people changed on a card is held by the new card, or its lines are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.errors import InputError
from builders.release.card_changes import undone
from tests.cases import each

CARD = (Path(__file__).parents[1] / "golden" / "instructions_card.md").read_text(encoding="utf-8")
USE = (
    "Supervised fine-tuning of a base model on following instructions; study of the method, of its"
)
CITATION = "## Citation\n\n```bibtex\n@misc{doe,\n  title = {A set},\n}\n```\n"
LICENCE = "\n## Licence\n"
WORDS = {  # texts on the card, and what people put in their place
    "a section": (LICENCE, f"\n{CITATION}{LICENCE}"),
    "a section at the end": (CARD[-40:], f"{CARD[-40:]}\n{CITATION}"),
    "a section at the start": ("\n# Potstill", f"\n{CITATION}\n# Potstill"),
    "a line among the words": (USE, f"Mind the gap.\n{USE}"),
    "a sentence within a line": (USE, USE.replace("; study", ", not for beginners; study")),
    "a limit fewer": ("- English only; the kinds of task follow those of the seeds.\n", ""),
    "a citation": ("configs:\n", "citation: Doe 2026\nconfigs:\n"),
    "a thumbnail": ("pretty_name:", "thumbnail: https://example.com/a.png\npretty_name:"),
    "a gate": ("configs:\n", "extra_gated_prompt: |\n  Be good.\n  Always.\nconfigs:\n"),
    "a tag": ("- self-instruct\n", "- self-instruct\n- math\n"),
    "a tag fewer": ("- self-instruct\n", ""),
    "another language": ("language:\n- en", "language:\n- de"),
}
COMPUTED = {
    "a computed number": ("| rows to train on | 5 |", "| rows to train on | 6 |"),
    "a computed line fewer": ("| rows to train on | 5 |\n", ""),
    "a computed sentence fewer": ("One row:\n", ""),
    "a line among the versions": ("<!-- /versions -->", "See also v1.\n<!-- /versions -->"),
    "other annotators": ("annotations_creators:\n- machine", "annotations_creators:\n- expert"),
    "another licence": ("license: other", "license: mit"),
    "a size": ("- n<1K\n", "- 1K<n<10K\n"),
    "no columns": ("configs:\n- config_name: default", "viewer: false\nconfigs:\n- config_name: x"),
}


def next_version(card: str) -> str:
    """The card of a next version, with other numbers, versions and rows."""
    for old, new in (
        ("| version | 0.1.0 |", "| version | 0.2.0 |"),
        ("| rows to train on | 5 |", "| rows to train on | 7 |"),
        ("num_examples: 5", "num_examples: 7"),
        ("### v0.1.0", "### v0.2.0\n\nMore.\n\n### v0.1.0"),
        ("| `v0.1.0` |", "| `v0.2.0` | default: 2 rows added |\n| `v0.1.0` |"),
    ):
        assert old in card, old
        card = card.replace(old, new, 1)
    return card


@each(("old", "new"), WORDS | COMPUTED)
def test_a_change_that_the_next_card_lacks_is_named(old: str, new: str) -> None:
    assert CARD.count(old) == 1
    lines = undone(CARD, CARD.replace(old, new), next_version(CARD))
    assert lines and all(line[0] in "+-" for line in lines)


@each(("old", "new"), WORDS)
def test_a_change_that_the_next_card_has_is_not_named(old: str, new: str) -> None:
    changed = CARD.replace(old, new)
    assert undone(CARD, changed, next_version(changed)) == []
    assert undone(CARD, changed, changed) == []


@each(
    ("old", "new", "lines"),
    {
        "added": (LICENCE, f"\n## Thanks\n\nTo Ann.\n{LICENCE}", ["+## Thanks", "+To Ann."]),
        "removed": ("One row:\n", "", ["-One row:"]),
        "changed": (
            *("| rows to train on | 5 |", "| rows to train on | 6 |"),
            ["+| rows to train on | 6 |"],
        ),
        "of a list": ("- self-instruct\n", "- math\n", ["-tags: self-instruct", "+tags: math"]),
        "of the front matter": (
            *("configs:\n", "extra_gated_prompt: |\n  Be good.\n  Always.\nconfigs:\n"),
            ["+extra_gated_prompt: Be good.", "+extra_gated_prompt: Always."],
        ),
    },
)
def test_the_lines_are_those_of_a_diff(old: str, new: str, lines: list[str]) -> None:
    found = undone(CARD, CARD.replace(old, new, 1), next_version(CARD))
    assert [
        line for line in found if line.rstrip("+-: ") not in ("", "+extra_gated_prompt")
    ] == lines


def reflowed(card: str) -> str:
    return card.replace(USE, "\n".join(USE.split("; ")).replace("\n", ";\n"))


@each(
    "changed",
    {
        "nothing": CARD,
        "line breaks": CARD.replace("\n", "\r\n"),
        "a byte order mark": f"\ufeff{CARD}",
        "spaces at ends": CARD.replace("\n", "  \n").replace("---  \n", "---\n"),
        "empty lines": CARD.replace("\n## ", "\n\n\n## "),
        "a text in other lines": reflowed(CARD),
        "front matter in another order": CARD.replace("license: other\n", "", 1).replace(
            "pretty_name:", "license: other\npretty_name:", 1
        ),
        "a list in brackets": CARD.replace("language:\n- en\n", "language: [en]\n"),
        "no marks": CARD.replace("<!-- words: Use -->\n", "").replace("<!-- /words: Use -->\n", ""),
        "a withdrawn version": CARD.replace("| `v0.1.0` |", "| `v0.1.0`, withdrawn |"),
    },
)
def test_what_is_no_change_of_the_words_is_none(changed: str) -> None:
    new = next_version(CARD)
    if "withdrawn" in changed:  # a later release lists what main has withdrawn
        new = new.replace("| `v0.1.0` |", "| `v0.1.0`, withdrawn |")
    assert undone(CARD, changed, new) == []


def test_words_count_as_held_wherever_the_new_card_has_them() -> None:
    changed = CARD.replace(LICENCE, f"\n{CITATION}\n## Thanks\n\nTo Ann\nand Bob.\n{LICENCE}")
    apart = CARD.replace(LICENCE, f"\n## Thanks\n\nWe owe this to many. To Ann and Bob.\n{LICENCE}")
    assert undone(CARD, changed, f"{apart}\n{CITATION}") == []
    assert undone(CARD, changed, apart)[0] == "+## Citation"


def test_of_a_card_that_people_began_all_is_theirs() -> None:
    begun = (
        "---\nlicense: unknown\nthumbnail: a.png\n---\n\n# Potstill Instructions\n\nComing soon.\n"
    )
    assert undone("", begun, CARD) == ["+thumbnail: a.png", "+Coming soon."]
    assert undone("", "---\nlicense: unknown\n---\n", CARD) == []


def test_a_front_matter_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(InputError, match=r"Invalid YAML in README\.md: .*; fix the card"):
        undone(CARD, "---\n: [\n---\n", CARD)


def test_a_huge_card_is_compared_in_time() -> None:
    long = CARD + "```\n}\nsame\n" * 20_000
    assert undone(CARD, long, long) == []
    assert len(undone(CARD, long, CARD)) > 1000
