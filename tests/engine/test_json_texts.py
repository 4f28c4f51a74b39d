"""JSON by orjson is the JSON that Python's own module gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.engine.json_texts import body_json, key_json
from tests.cases import each

TEXTS = st.text(st.characters(codec=None))  # lone surrogates included
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(VALUES)
def test_what_is_sent_is_read_by_any_parser_as_it_was(value: Any) -> None:
    text = body_json(value)
    text.encode()
    assert json.loads(text) == value


@given(VALUES)
def test_a_key_does_not_depend_on_which_library_writes_it(value: Any) -> None:
    # A lone surrogate or an integer over 64 bits leaves the text to Python's module.
    plain, odd = key_json({"a": value}), key_json({"a": value, "b": "\ud83d"})
    if "e" not in _numbers(value):  # whose floats differ: 1e-7 and 1e-07
        assert odd == plain[:-1] + ',"b":"\ud83d"}'
    assert json.loads(plain, parse_float=float) == {"a": value}


def _numbers(value: Any) -> str:
    """The floats of a value as Python writes them."""
    if isinstance(value, dict):
        return "".join(map(_numbers, value.values()))
    if isinstance(value, list):
        return "".join(map(_numbers, value))
    return repr(value) if isinstance(value, float) else ""


@each(
    ("one", "other"),
    {
        "the order of names": ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        "tuples": ([1, (2, 3)], [1, [2, 3]]),
        "whole floats": ({"t": 1.0, "u": [2.0]}, {"t": 1, "u": [2]}),
        "a whole float alone": (3.0, 3),
        "names that are no texts": ({10: 1, 9: 2, None: 3}, {"10": 1, "9": 2, "null": 3}),
    },
)
def test_what_json_cannot_tell_apart_has_one_key(one: Any, other: Any) -> None:
    assert key_json(one) == key_json(other)


def test_an_address_is_no_whole_float() -> None:
    assert key_json(["http://127.0.0.1:80", ".0,", 0.5]) == '["http://127.0.0.1:80",".0,",0.5]'
    assert key_json({"a": [1.0, ".0]"]}) == '{"a":[1,".0]"]}'
