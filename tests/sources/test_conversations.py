"""Dialogues of every chat format become prompts that rows hold, or are left out with a reason."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.schema import PROMPT_COMPLETION, assistant, user
from builders.sources.conversations import ROLES, Reason, prompt_of, unpacked
from tests.cases import each


def turns(*given: str) -> list[dict[str, str]]:
    """Turns such as "user: a"."""
    pairs = (one.split(": ", 1) for one in given)
    return [{"role": role, "content": content} for role, content in pairs]


def shared(*given: str) -> list[dict[str, str]]:
    """The same as ShareGPT writes them."""
    return [{"from": turn["role"], "value": turn["content"]} for turn in turns(*given)]


AB = turns("user: a")
LONG = turns("system: s", "user: a", "assistant: b", "user: c")
PROMPTS: dict[str, tuple[Any, list[dict[str, str]]]] = {
    "a text": ("a", AB),
    "messages": (LONG, LONG),
    "an answer at the end": ([*LONG, *turns("assistant: d")], LONG),
    "ShareGPT": (shared("system: s", "human: a", "gpt: b", "human: c", "gpt: d"), LONG),
    "speakers in capitals": (shared("System: s", "Human: a", "ChatGPT: b", "User: c"), LONG),
    "models by name": (
        shared("system: s", "human: a", "gpt-4: b", "human: c", "vicuna-13b: d"),
        LONG,
    ),
    "a request with its system text": (
        {"model": "m", "system": "s", "messages": LONG[1:], "max_tokens": 9},
        LONG,
    ),
    "Gemini's request": (
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        },
        turns("system: s", "user: a"),
    ),
    "Gemini": (
        [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}],
        AB,
    ),
    "contents inside": ({"contents": [{"role": "user", "parts": [{"text": "a"}]}]}, AB),
    "messages inside": ({"messages": AB, "model": "m"}, AB),
    "one message": (AB[0], AB),
    "by speaker": ([{"human": "a", "assistant": "b"}, {"human": "c"}], [*LONG[1:]]),
    "Capybara": ([{"input": "a", "output": "b"}, {"input": "c", "output": "d"}], LONG[1:]),
    "pairs": ([["a", "b"], ["c", "d"]], LONG[1:]),
    "a table of turns": ({"role": ["user", "assistant"], "content": ["a", "b"]}, AB),
    "a list of one text": (["a"], AB),
    "an author": ([{"author": {"role": "user"}, "content": "a"}], AB),
    "other keys": ([{"role": "user", "content": "a", "name": None, "weight": 1}], AB),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}], user("a\nb")),
    "parts of the Responses API": (
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        AB,
    ),
    "parts with a value": (
        [{"role": "user", "content": [{"type": "text", "text": {"value": "a"}}]}],
        AB,
    ),
    "thoughts of an earlier answer": (
        [
            AB[0],
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "?"}, {"type": "text", "text": "b"}],
            },
            *turns("user: c"),
        ],
        LONG[1:],
    ),
    "developer": (turns("developer: s", "user: a"), turns("system: s", "user: a")),
    "two system turns": (
        turns("system: s", "developer: t", "user: a"),
        turns("system: s\n\nt", "user: a"),
    ),
    "an empty system turn": (turns("system:  ", "user: a"), AB),
    "a null system turn": ([{"role": "system", "content": None}, *AB], AB),
    "two turns of the user": (turns("user: a", "user: b"), user("a\n\nb")),
    "two answers": (
        turns("user: a", "assistant: b", "assistant: c", "user: d"),
        turns("user: a", "assistant: b\n\nc", "user: d"),
    ),
    "an empty answer": (turns("user: a", "assistant:  ", "user: b"), user("a\n\nb")),
    "an empty last question": (turns("user: a", "assistant: b", "user:  "), AB),
    "an empty system turn at the end": (turns("user: a", "system: "), AB),
    "a null last answer": ([*AB, {"role": "assistant", "content": None}], AB),
    "a tag of an RSS feed": (
        "<image>\n<url>a</url>\n</image>",
        user("<image>\n<url>a</url>\n</image>"),
    ),
    "a tag in a sentence": ("What does <image> do?", user("What does <image> do?")),
}


@each(("given", "expected"), PROMPTS)
def test_a_dialogue_becomes_a_prompt_that_a_row_can_hold(
    given: Any, expected: list[dict[str, str]]
) -> None:
    assert prompt_of(given) == expected
    row = {"id": "0" * 16, "prompt": prompt_of(given), "completion": assistant("x")}
    assert PROMPT_COMPLETION.problem(row) is None


LEFT_OUT: dict[str, tuple[Any, str, str]] = {
    "null": (None, "unreadable", "it is null"),
    "NaN": (float("nan"), "unreadable", "it is null"),
    "spaces": (" \n\t", "empty", "no text"),
    "invisible characters": ("\u200b\ufeff\u2060\u00ad\u3164", "empty", "no text"),
    "a filler": ("\u3164", "empty", "no text"),
    "turns without text": (turns("user:  ", "user: \u200b"), "empty", "no text"),
    "no turns": ([], "no user turn", "no turn of the user"),
    "only answers": (turns("system: s", "assistant: a"), "no user turn", "no turn of the user"),
    "a greeting": (turns("assistant: hi", "user: a"), "assistant first", "assistant, user"),
    "a late system turn": (
        turns("user: a", "assistant: b", "system: s", "user: c"),
        "late system turn",
        "system",
    ),
    "a system turn after the question": (
        turns("user: a", "system: s"),
        "late system turn",
        "user, system",
    ),
    "a developer's turn after the answer": (
        turns("user: a", "assistant: b", "developer: s", "assistant: c"),
        "late system turn",
        "system",
    ),
    "a tool's turn": (
        shared("human: a", "observation: b", "gpt: c"),
        "tool turns",
        "'observation'",
    ),
    "tool calls": (
        [*AB, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        "tool turns",
        "tool calls",
    ),
    "a request with tools": (
        {"messages": AB, "tools": [{"type": "function"}]},
        "tool turns",
        "tools",
    ),
    "a part that is a call": (
        [*AB, {"role": "assistant", "content": [{"type": "tool_use"}]}, *AB],
        "tool turns",
        "tool_use",
    ),
    "Gemini's call": (
        [*AB, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}, *AB],
        "tool turns",
        "call",
    ),
    "an unknown speaker": (
        shared("human: a", "bobby: b"),
        "unreadable",
        "speaker 'bobby' is not known",
    ),
    "a null question": (
        [{"role": "user", "content": None}],
        "unreadable",
        "turn of the user is null",
    ),
    "a null answer in between": (
        [*AB, {"role": "assistant", "content": None}, *AB],
        "unreadable",
        "assistant is null",
    ),
    "no content": ([{"role": "user"}], "unreadable", "has no 'content'"),
    "a number as content": (
        [{"role": "user", "content": 7}],
        "unreadable",
        "is 7, expected a text",
    ),
    "a number": (7, "unreadable", "it is 7, expected a text or a list of messages"),
    "a number as a turn": ([7], "unreadable", "it holds 7, expected a text or messages"),
    "two texts": (["a", "b"], "unreadable", "it holds 'a', expected a text or messages"),
    "no speaker": ([{"content": "a"}], "unreadable", "has no 'role' and 'content'"),
    "an image": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        "unreadable",
        "kind 'image_url'",
    ),
    "inline data": (
        [{"role": "user", "parts": [{"inlineData": {}}]}],
        "unreadable",
        "kind 'inlineData'",
    ),
    "an image's place": ("<image>\nWhat is this?", "unreadable", "'<image>'"),
    "an image's place before other tags": (
        "<image>\n<b>What?</b>",
        "unreadable",
        "'<image>'",
    ),
    "an image's place at the end": ("What is this?\n<image>", "unreadable", "'<image>'"),
    "a numbered place": ("Is <image 1> a cat?", "unreadable", "'<image 1>'"),
    "a model's own mark": ("<|image_1|> Describe it.", "unreadable", r"'<|image_1|>'"),
    "half a pair": ("Name \ud83d.", "unreadable", "half of a surrogate pair, U+D83D"),
}


@each(("given", "word", "why"), LEFT_OUT)
def test_what_no_row_can_hold_is_left_out_with_its_reason(given: Any, word: str, why: str) -> None:
    found = prompt_of(given)
    assert isinstance(found, Reason), found
    assert found.word == word and why in found.why
    assert len(found.why) < 200


def test_texts_in_pairs_alternate_where_their_column_has_pairs() -> None:
    assert prompt_of(["a", "b", "c", "d"], in_pairs=True) == LONG[1:]


def test_a_system_text_and_earlier_turns_come_before_the_prompt() -> None:
    assert prompt_of("c", system="s", history=[["a", "b"]]) == LONG
    assert prompt_of("c", system="s", history=LONG[1:3]) == LONG
    assert prompt_of(LONG, system="t")[0] == turns("system: t\n\ns")[0]  # type: ignore[comparison-overlap]
    assert prompt_of(AB, system=" ", history=[]) == AB
    assert prompt_of(LONG, system="s") == LONG


def test_a_dialogue_as_json_text_is_unpacked_and_any_other_text_stays() -> None:
    for dialogue in (LONG, LONG[0], {"messages": LONG}, shared("human: a")):
        assert unpacked(json.dumps(dialogue)) == dialogue
        assert unpacked(f" {json.dumps(dialogue, indent=1)}\n") == dialogue
    for text in (
        '{"a": 1}',
        "[1, 2]",
        '[{"role": "user"} is how it begins',
        "[]",
        "{",
        "a",
        '{"role',
    ):
        assert unpacked(text) == text
    for torn in (
        '[{"from": "human", "value": "a',
        '{"messages": [{"role"',
        '[ {"nr": 1, "role": "us',
    ):
        assert isinstance(unpacked(torn, only=True), Reason), torn
    for text in ("a", "[a]", '{"a": 1', "[1, 2"):
        assert unpacked(text, only=True) == text
    found = unpacked("[{'role': 'user', 'content': 'a'}]")
    assert isinstance(found, Reason) and "write it as JSON" in found.why


ANY_TEXT = st.text(alphabet=st.sampled_from("ab \n\u200b<>\ud83d"), max_size=4)
ANY_TURN = st.fixed_dictionaries(
    {"role": st.sampled_from([*ROLES, "nobody"]), "content": st.none() | ANY_TEXT | st.integers()}
)


@given(st.lists(ANY_TURN | ANY_TEXT | st.none(), max_size=5) | ANY_TEXT | st.integers())
def test_anything_is_a_prompt_that_a_row_can_hold_or_is_left_out(value: Any) -> None:
    found = prompt_of(value)
    if not isinstance(found, Reason):
        row = {"id": "0" * 16, "prompt": found, "completion": assistant("x")}
        assert PROMPT_COMPLETION.problem(row) is None
