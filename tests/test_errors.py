"""The texts that errors and tables share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders.errors import FolderError, did_you_mean, file_errors_in_one_line, number_of
from builders.hub_vocabulary import vocabulary
from tests.cases import each


@each(
    ("number", "things", "text"),
    [
        (0, "calls", "0 calls"),
        (1, "calls", "1 call"),
        (2, "calls", "2 calls"),
        (1234567, "tokens", "1,234,567 tokens"),
        (1, "instruction candidates", "1 instruction candidate"),
        (1, "more times", "1 more time"),
        (1, "queries", "1 query"),
        (1, "bytes", "1 byte"),
        (1, "tries", "1 try"),
        (1, "responses", "1 response"),
        (1, "classes", "1 class"),
        (1, "boxes", "1 box"),
        (1, "batches", "1 batch"),
        (1, "dialogues", "1 dialogue"),
        (1, "people", "1 people"),
    ],
)
def test_one_thing_is_named_in_the_singular(number: int, things: str, text: str) -> None:
    assert number_of(number, things) == text


@each(
    ("given", "nearest"),
    [
        ("cc-by", "cc-by-4.0"),
        ("CC-BY-SA", "cc-by-sa-4.0"),
        ("cc0", "cc0-1.0"),
        ("apache", "apache-2.0"),
        ("Apache 2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("mti", "mit"),
        ("bsd", "bsd"),
    ],
)
def test_the_nearest_name_begins_with_what_was_given_and_is_the_newest(
    given: str, nearest: str
) -> None:
    assert did_you_mean(given, vocabulary()["license"]) == f"; did you mean {nearest!r}?"


def test_a_name_like_no_other_has_no_nearest_one() -> None:
    assert did_you_mean("qqqq", ["rows", "seed"]) == did_you_mean("r", ["reasons"]) == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sub/q.md", r"sub/q\.md: there is no folder 'sub'; make it, or name another"),
        ("a/b/q.md", r"a/b/q\.md: there is no folder 'a/b'; make it, or name another"),
        ("q.md", r"q\.md: No such file or directory; name another"),
    ],
)
def test_a_missing_folder_is_named(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError) as error, file_errors_in_one_line():
        Path(name).read_bytes()
    assert re.fullmatch(line, str(error.value))
