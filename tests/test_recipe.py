"""A row's id is that of its prompt; an error offers the nearest name."""

import hashlib
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from builders.errors import nearest_name
from builders.recipe import normalised, row_id, short_hash
from builders.schema import ID_PATTERN, user

LETTERS = st.text(st.sampled_from("abcXYZéÅñΩя0? '-"), min_size=1)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@given(st.text())
def test_an_id_is_sixteen_hex_digits(text: str) -> None:
    assert re.fullmatch(ID_PATTERN, row_id(text))


@given(WORDS, st.text(st.sampled_from(" \t\n\r\u00a0\u3000"), min_size=1))
def test_white_space_does_not_change_an_id(words: list[str], space: str) -> None:
    assert row_id(space + space.join(words) + space) == row_id(" ".join(words))


@given(LETTERS)
def test_case_does_not_change_an_id(text: str) -> None:
    assert row_id(text.upper()) == row_id(text.lower()) == row_id(text.swapcase())


@given(st.text())
@example("Ångström, naïve, 한국어, \u1e9b\u0323")
def test_the_unicode_normal_form_does_not_change_an_id(text: str) -> None:
    assert row_id(unicodedata.normalize("NFD", text)) == row_id(unicodedata.normalize("NFC", text))


@given(st.text(), st.text())
@example("1 2", "12")
@example("x²", "x2")  # compatibility forms mean something else
@example("a", "á")
@example("Is it so?", "Is it so")
def test_different_prompts_have_different_ids(a: str, b: str) -> None:
    assert (row_id(a) == row_id(b)) == (normalised(a) == normalised(b))


@given(st.text(min_size=1))
def test_a_text_and_the_same_text_as_one_turn_have_one_id(text: str) -> None:
    assert row_id(user(text)) == row_id(text)


def test_an_id_never_changes_from_version_to_version() -> None:
    dialogue = [turn("user", "Hello"), turn("assistant", "Hi."), turn("user", "Who are you?")]
    found = {
        "a text": row_id("Name the longest river of Africa."),
        "a dialogue": row_id(dialogue),
        "its parts": short_hash("user: hello", "assistant: hi.", "user: who are you?"),
        "letters that case folding would change": row_id("Straße ΑΣ İ"),
        "a decomposed letter": row_id("cafe\u0301"),
        "a ligature, which NFC keeps": row_id("ﬁle ½"),
        "unusual white space": row_id("a\u00a0b\u2003c\x1fd"),
        "the marks between parts": short_hash("a\x1eb", "c\x1fd"),
        "a lone surrogate": short_hash("half \ud83d"),
        "no part": short_hash(),
    }
    assert found == {
        "a text": "5ec0928be8853281",
        "a dialogue": "9d7f80458a51ba35",
        "its parts": "9d7f80458a51ba35",
        "letters that case folding would change": "163abc99ce128169",
        "a decomposed letter": "850f7dc43910ff89",
        "a ligature, which NFC keeps": "c65fcc8cf98922d6",
        "unusual white space": "f82ce1b653e30b1c",
        "the marks between parts": "815d822551020b50",
        "a lone surrogate": "2cb902fcfa6f1837",
        "no part": "e3b0c44298fc1c14",
    }


def test_every_turn_and_its_role_count_for_the_id_of_a_dialogue() -> None:
    first, answer, last = turn("user", "Hello"), turn("assistant", "Hi."), turn("user", "Why?")
    dialogues = [
        [first, answer, last],
        [first, turn("assistant", "Ho."), last],
        [turn("system", "Hello"), answer, last],
        [first, last],
        [turn("system", "Hello"), last],
        [turn("user", "Hello Why?")],
        [turn("user", "user: Hello\x1fuser: Why?")],
        [last],
    ]
    assert len({row_id(dialogue) for dialogue in dialogues}) == len(dialogues)


@given(WORDS)
def test_the_same_dialogue_in_other_case_and_spacing_has_the_same_id(words: list[str]) -> None:
    plain = [turn("system", "Be brief."), turn("user", " ".join(words))]
    spaced = [turn("system", " BE  brief.\n"), turn("user", "\n\n".join(words))]
    assert row_id(plain) == row_id(spaced)


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
@example(["a", "b"], ["ab"])
@example(["", "a"], ["a", ""])
@example(["a\x1fb"], ["a", "b"])
@example(["a\x1e1b"], ["a", "b"])
@example(["a\x1e1b"], ["a\x1fb"])
def test_a_hash_depends_on_the_bounds_between_its_parts(a: list[str], b: list[str]) -> None:
    assert (short_hash(*a) == short_hash(*b)) == (a == b)


def test_a_misspelt_name_is_offered_the_nearest() -> None:
    names = ["instructions", "completions"]
    assert nearest_name("instructoins", names) == (
        "completions, instructions; did you mean 'instructions'?"
    )


def test_where_no_name_is_near_all_are_listed() -> None:
    assert nearest_name("zzz", ["b", "a"]) == "a, b"
    assert nearest_name("zzz", []) == "none"


def test_an_id_is_the_same_on_every_python() -> None:
    """Each character among others that it could compose with, be ordered with, or lower."""
    digest = hashlib.sha256()
    for character in map(chr, [*range(0xAC00), *range(0xD7A4, 0x20000), *range(0xE0000, 0xE0200)]):
        digest.update(short_hash(normalised(f"AΣ{character}\u0327\u0301 A{character}Σ")).encode())
    assert digest.hexdigest() == (
        "ef41e747cff612c174ddfce31a797af11fc5dad54aff7764e0c3a4256ff0c4fe"
    )
