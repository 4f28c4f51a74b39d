"""The texts that errors and tables share."""

from __future__ import annotations

from builders.errors import number_of
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
