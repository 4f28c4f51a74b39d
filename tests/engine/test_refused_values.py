"""A refusal of a parameter names a value that the endpoint takes, or the flag to leave out."""

from __future__ import annotations

from builders.engine.error_words import Words
from builders.engine.refused_values import value_advice
from tests.cases import each

SENT = {"temperature": 0.7, "top_p": 1, "top_k": 100, "seed": 3, "repetition_penalty": 0, "foo": 1}
ADVICE = {
    "`top_p` must be > 0.0 and < 0.9": "top_p=0.81",
    "top_p must be less than 0.9": "top_p=0.81",
    "top_p must be in (0, 0.5)": "top_p=0.45",
    "top_p should be in the range [0.0, 0.8)": "top_p=0.72",
    "temperature must be between 0 and 0.5": "temperature=0.5",
    "temperature: should be less than or equal to 0.5": "temperature=0.5",
    "temperature must be 0 < t <= 0.25": "temperature=0.25",
    "temperature 0.7 is too low, must be at least 1": "temperature=1",
    "temperature must be >= 0.8 and <= 2.0": "temperature=0.8",
    "top_k must be below 64": "top_k=63",
    "top_k: 1 to 64": "top_k=64",
    "repetition_penalty has to be strictly greater than 0": "repetition_penalty=0.1",
    "repetition_penalty must be > 0 and <= 2": "repetition_penalty=0.2",
    "min_p must be at most 0.5": "min_p=0.5",
    "parameter.enable_thinking must be set to false for non-streaming": "enable_thinking=false",
    "This model requires enable_thinking=false here": "enable_thinking=false",
    "Please set `enable_thinking` to false": "enable_thinking=false",
    "`temperature` may only be 1 when thinking is enabled.": "temperature=1",
    "invalid top_p: must be 0.95, but got 1": "top_p=0.95",
}
OTHER = {
    "Unknown parameter: 'foo'": "; leave out --param foo, or give it another value",
    "foo must be an object": "; leave out --param foo, or give it another value",
    "max_tokens is required": "; leave out --without max_tokens",
    "`temperature` must be less than or equal to 0.9": "",
    "You set temperature to 0.7, and seed": "",
    "the value must be 5": "",
    "messages must be true": "",
    "top_p must be less than 0 and more than 1": "",
    "We do not like this prompt, which rates 7 of 10": "",
}


@each(("words", "advice"), [*ADVICE.items()])
def test_a_value_that_the_endpoint_takes_is_named(words: str, advice: str) -> None:
    found = value_advice(Words(words), SENT, frozenset())
    assert found.endswith(f" --param {advice}"), found


@each(("words", "advice"), [*OTHER.items()])
def test_what_the_user_chose_is_to_be_left_out_and_nothing_is_guessed(
    words: str, advice: str
) -> None:
    assert value_advice(Words(words), SENT, frozenset({"foo", "max_tokens"})) == advice
