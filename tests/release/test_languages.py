"""The languages of a set's texts are found, and compared with those that its card declares."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import builders.release.languages as languages
from builders.drafting.draft import Draft, last_draft, load_draft, write_draft
from builders.recipe_loading import load_recipe
from builders.release.card import words_back
from builders.release.folder import release
from builders.release.languages import LanguageCounts, Languages, language_of
from builders.release.verification import verified
from builders.schema import Row, assistant, user, with_system
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words
from tests.set_files import shipped_words

NAME = "completions"
DE = "Erkläre bitte den Unterschied zwischen Wetter und Klima in Stadt {}."
EN = "Please explain the difference between weather and climate in town {}."
FR = "Explique la différence entre la météo et le climat dans la ville {}."
NB = "Forklar forskjellen mellom vær og klima i byen nummer {}."
HR_2 = "Sve osobe i sve lokalne vlasti i druge javne službe imaju pravo na to {}."
HR = "Objasni razliku između vremena i klime u gradu broj {}."
ID = "Jelaskan perbedaan antara cuaca dan iklim di kota {}."
PYTHON = '''def mean_error(predictions, targets):
    """Return the mean error of the predictions, which is the mean of all of their differences."""
    # the two have the same length
    return sum(p - t for p, t in zip(predictions, targets)) / len(targets)
'''
LONG = " Es ist sehr lang und wird deshalb nicht bis zum Ende gelesen." * 10_000


@each(
    ("text", "language"),
    {
        "German": (DE, "de"),
        "five words": ("Wie viele Einwohner hat Berlin?", "de"),
        "capitals": (EN.upper(), "en"),
        "without spaces": ("请解释天气和气候之间的区别。", "zh"),
        "Thai": ("อธิบายความแตกต่างระหว่างสภาพอากาศและภูมิอากาศ", "th"),
        "three forms of Arabic": ("اشرح الفرق بين الطقس والمناخ.", "ar"),
        "Norwegian": (NB, "no"),
        "long": (LONG, "de"),
        "code in prose": (f"{DE}\n\n```python\n{PYTHON}```\n", "de"),
        "an unclosed fence": (f"{DE}\n~~~\n{PYTHON}", "de"),
        "formulas in prose": (DE + r" $x^2 + y^2 = z^2$, \(a_1 = \frac{b}{c}\) und `f(x)`", "de"),
        "Python": (PYTHON, None),
        "JavaScript": ("const send = (text) => {\n  // send the text to the server\n};", None),
        "SQL": ("SELECT name FROM customers WHERE country IS NOT NULL ORDER BY name", None),
        "C": ("/* the main function */\nint main(void) {\n  return read_all(1);\n}", None),
        "HTML": ('<p>Hello</p><a href="https://example.com/page">the next page</a>', None),
        "JSON": ('{"name": "Anna", "children": [{"name": "Bob", "likes": "the sea"}]}', None),
        "only a fence": (f"```\n{PYTHON}```", None),
        "two words": ("Guten Morgen", None),
        "a name": ("Rio de Janeiro", None),
        "numbers": ("12 34 56 78 90 12 34", None),
        "marks": ("?!? ... --- !!!", None),
        "spaces": (" \n\t ", None),
        "nothing": ("", None),
    },
)
def test_the_language_of_a_text_is_found_and_of_code_or_a_short_text_none(
    text: str, language: str | None
) -> None:
    assert language_of(text) == language


def found(declared: object, *parts: tuple[str, int]) -> Languages:
    """The languages of texts, each so many times with another number, beside those declared."""
    texts = [text.format(n) for text, times in parts for n in range(times)]
    counts = LanguageCounts(len(texts))
    for n, text in enumerate(texts):
        counts.add({"id": f"{n:016x}", "prompt": user(text)})
    return counts.compared(declared)


@each(
    ("declared", "parts", "codes", "fitting"),
    {
        "as declared": (["en"], [(EN, 9)], "en", "en"),
        "a text": ("en", [(EN, 9)], "en", "en"),
        "another": (["en"], [(DE, 9)], "en", "de"),
        "one more": (["en"], [(EN, 6), (DE, 3)], "en", "en de"),
        "one too many": (["en", "fr"], [(EN, 9)], "en fr", "en"),
        "one too many, perhaps in short texts": (
            ["en", "fr"],
            [(EN, 9), ("ok", 1)],
            "en fr",
            "en fr",
        ),
        "a few others": (["en"], [(EN, 95), (DE, 5)], "en", "en"),
        "more than a few": (["en"], [(EN, 47), (DE, 3)], "en", "en de"),
        "a few of each of two": (["en"], [(EN, 93), (DE, 4), (FR, 3)], "en", "en de"),
        "three letters": (["deu", "eng"], [(EN, 5), (DE, 4)], "deu eng", "eng deu"),
        "a form of Norwegian": (["nb"], [(NB, 9)], "nb", "nb"),
        "two forms of Norwegian": (["nn", "nb"], [(NB, 9)], "nn nb", "nn nb"),
        "Norwegian in YAML 1.1": ([False], [(NB, 9)], "no", "no"),
        "close languages": (["sr"], [(HR, 9)], "sr", "sr"),
        "Malay": (["ms"], [(ID, 9)], "ms", "ms"),
        "code beside a language": (["code", "de"], [(PYTHON, 5), (DE, 5)], "code de", "de code"),
        "only code": (["de"], [(PYTHON, 9)], "de", "de"),
        "German with code": (["de"], [(DE, 5), (PYTHON, 5), ("ok", 9)], "de", "de"),
        "all languages": (["multilingual"], [(DE, 5), (EN, 5)], "multilingual", "multilingual"),
        "unknown to the model": (["haw"], [(DE, 9)], "haw", "haw"),
        "no rows": (["en"], [], "en", "en"),
        "not declared": (None, [(DE, 9)], "de", "de"),
        "an empty list": ([], [(DE, 9)], "de", "de"),
        "two, not declared": (None, [(DE, 5), (EN, 9), (PYTHON, 3)], "en de", "en de"),
        "not declared, a few others": (None, [(DE, 95), (EN, 5)], "de", "de"),
        "not declared, nothing found": (None, [(PYTHON, 9)], "", ""),
    },
)
def test_a_declaration_fits_the_texts_or_is_a_mismatch(
    declared: object, parts: Sequence[tuple[str, int]], codes: str, fitting: str
) -> None:
    compared = found(declared, *parts)
    assert (" ".join(compared.codes), " ".join(compared.fitting)) == (codes, fitting)
    assert compared.mismatch == (set(codes.split()) != set(fitting.split()))


def test_of_close_languages_in_equal_parts_one_is_named_whatever_the_order() -> None:
    assert {language_of(text) for text in (HR, HR_2)} == {"bs", "hr"}
    both = [found(None, (one, 1), (other, 1)) for one, other in ((HR, HR_2), (HR_2, HR))]
    assert both[0] == both[1] and both[0].found == "bs 100 %"


def test_the_card_s_line_has_the_shares_of_all_texts() -> None:
    parts = [(EN, 12), (DE, 6), ("ok", 2)]
    assert found(["en", "de"], *parts).line == (
        "en, de; the texts are en 60 %, de 30 %, undetermined 10 %"
    )
    assert found(["en"], *parts).line.startswith("en, but the texts are en 60 %, de 30 %")
    assert "set `language: [en, de]` in the set's file" in found(["en"], *parts).warning
    assert found(None, (PYTHON, 3)).line == "not known; the texts are undetermined 100 %"
    assert found(["en"], (EN, 300), (DE, 1)).line == "en; the texts are en 100 %"
    assert found(["nb", "nn"], (NB, 3)).line == "nb, nn; the texts are nb/nn 100 %"


@each(
    ("row", "texts"),
    {
        "completion": ({"prompt": user(DE), "completion": assistant(EN)}, 2),
        "pair": ({"prompt": user(DE), "chosen": assistant(EN), "rejected": assistant(EN)}, 3),
        "dialogue": ({"messages": [*user(DE), *assistant(DE)]}, 1),
        "text": ({"text": DE}, 1),
        "texts": ({"prompt": DE, "completion": EN}, 2),
        "a system turn": ({"prompt": with_system(user(DE), EN * 9)}, 1),
        "several texts": ({"prompt": user(DE), "output": [EN, EN]}, 2),
        "null": ({"prompt": user(DE), "completion": None}, 1),
        "other columns": ({"prompt": user(DE), "model": EN, "margin": 1.0, "label": True}, 1),
    },
)
def test_prompts_and_answers_of_any_schema_count(row: Row, texts: int) -> None:
    counts = LanguageCounts(1)
    counts.add({"id": "0" * 16, **row})
    share = f"de {100 / texts:.0f} %"
    assert share in counts.compared(None).found
    assert ("en" in counts.compared(None).codes) == (texts > 1)


def test_of_many_rows_a_sample_is_looked_at_whatever_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    classify = languages.language_of
    monkeypatch.setattr(languages, "language_of", lambda text: asked.append(text) or classify(text))
    rows = [{"id": f"{n:016x}", "text": (DE, EN)[n % 2].format(n)} for n in range(40_000)]
    lines = []
    for ordered in (rows, rows[::-1]):
        counts = LanguageCounts(len(rows))
        for row in ordered:
            counts.add(row)
        lines.append(counts.compared(["de", "en"]))
    assert lines[0] == lines[1]
    assert 900 < len(asked) / 2 < 1100
    assert f"(in a sample of {len(asked) // 2:,} rows)" in lines[0].found
    assert not lines[0].mismatch and "others" not in lines[0].found
    shares = [int(part.split()[1]) for part in lines[0].found.split(", ")[:2]]
    assert all(45 <= share <= 55 for share in shares)


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A draft of German prompts with English answers."""
    folder = tmp_path_factory.mktemp("german")
    assert main(build_words(folder, name=NAME)) == 0
    draft = last_draft(folder / "work" / NAME)
    held: dict[str, Any] = {config: draft.rows(config) for config in draft.configs}
    for n, row in enumerate(held["default"]):
        row["prompt"], row["completion"] = user(DE.format(n)), assistant(EN.format(n))
    home = folder / "german" / NAME
    write_draft(home, load_recipe(NAME).schemas, held, lambda: draft.facts, draft.run)
    return load_draft(NAME, home.parent)


def test_a_mismatch_is_a_warning_before_a_release_and_a_line_on_its_card(
    german: Draft, tmp_path: Path
) -> None:
    to, warned = tmp_path / "to", list[str]()
    release(german, german.schemas, to, shipped_words(NAME), notify=warned.append)
    (warning,) = warned
    assert warning.startswith("warning: the language is en, but the texts are")
    card = (to / "README.md").read_text(encoding="utf-8")
    assert "\nlanguage:\n- en\n" in card
    assert "| language | en, but the texts are de 50 %, en 50 % |" in card


@each("declared", [["de", "en"], None])
def test_a_card_lists_the_languages_declared_or_else_found_and_each_is_recomputed(
    declared: Sequence[str] | None, german: Draft, tmp_path: Path
) -> None:
    words = shipped_words(NAME)
    front = {**words.front, "language": declared}
    if declared is None:
        del front["language"]
    folder, notes = tmp_path / str(declared), []
    release(german, german.schemas, folder, replace(words, front=front), notify=notes.append)
    assert notes == []
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert sorted(words_back(text).front["language"]) == ["de", "en"]
    assert "; the texts are de 50 %" in text
    recipe = load_recipe(NAME)
    assert verified(folder, lambda _: recipe).false == ()
    other = Path(shutil.copytree(folder, tmp_path / f"{declared} false"))
    (other / "README.md").write_text(text.replace("are de 50 %", "are de 40 %"), encoding="utf-8")
    (claim, *_) = [c for c in verified(other, lambda _: recipe).false if "the texts are" in c]
    assert "README.md" in claim
