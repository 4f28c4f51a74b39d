"""How a row looks in a terminal: inert, in columns that hold, with reasoning apart."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from builders.drafting.row_view import inert, rendered, row_view
from builders.schema import Row, assistant, user
from tests.cases import each


def shown(row: Row, config: str = "default", *, width: int = 120, full: bool = True) -> str:
    return rendered(row_view(row, config), width=width, colour=False, full=full)


def pair(chosen: str, rejected: str, prompt: str = "Which?") -> Row:
    return {
        "id": "a" * 16,
        "prompt": user(prompt),
        "chosen": assistant(chosen),
        "rejected": assistant(rejected),
        "score_chosen": 4.75,
        "score_rejected": 1.5,
        "chosen_model": "large",
        "rejected_model": None,
    }


def test_chosen_is_beside_rejected_where_there_is_room_else_above_it() -> None:
    row = pair("The Nile. " * 20, "The Amazon. " * 10)
    wide = shown(row, width=90).splitlines()
    assert re.fullmatch(r"  chosen, score 4\.75, by large +│ rejected, score 1\.5", wide[2])
    assert re.fullmatch(r"  The Nile\. .* │ The Amazon\. .*", wide[3])
    narrow = shown(row, width=89)
    assert "│" not in narrow
    assert narrow.index("chosen, score") < narrow.index("The Nile") < narrow.index("rejected, sc")


def test_a_pair_may_be_of_texts_or_of_whole_dialogues() -> None:
    texts = shown({"id": "a", "prompt": "Which?", "chosen": "The Nile.", "rejected": "The Amazon."})
    assert texts.splitlines()[1] == "  prompt: Which?"
    assert re.search(r"^  The Nile\. +│ The Amazon\.$", texts, re.M)
    whole = shown(
        {name: [*user("Which?"), *assistant(name.upper())] for name in ("chosen", "rejected")}
    )
    assert re.search(r"^  assistant: CHOSEN +│ assistant: REJECTED$", whole, re.M)


ONE_COLUMN_EACH = {
    "wide": ("漢字かな交じり文。" * 30, "한국어 문장입니다. " * 20),
    "emoji": ("👍🏽 👨\u200d👩\u200d👧 ❤️ " * 30, "🇫🇷🇯🇵 " * 40),
    "combining": ("e\u0301a\u0300 " * 80, "ก็ได้ค่ะ " * 40),
    "tabs and code": ("if x:\n\treturn 1\n\n" * 5, "\tx" * 60),
    "no space": ("x" * 400, "漢" * 300),
    "escapes": ("\x1b[31mred\x1b[0m\x07" * 20, "\x1b]0;title\x07\r\x08" * 10),
}


@each(("chosen", "rejected"), ONE_COLUMN_EACH)
def test_the_bound_of_two_columns_is_straight(chosen: str, rejected: str) -> None:
    for width in (90, 131):
        lines = shown(pair(chosen, rejected), width=width).splitlines()[2:]
        bounds = {cell_len(line[: line.index("│")]) for line in lines}
        assert len(bounds) == 1 and max(map(cell_len, lines)) <= width


@each("text", ["שלום עולם", "مرحبا بالعالم", "see ١٢٣ here", "mixed שלום and more"])
def test_text_from_right_to_left_is_never_beside_other_text(text: str) -> None:
    for row in (pair(text, "left"), pair("left", text)):
        lines = shown(row, width=200).splitlines()
        assert "│" not in "".join(lines) and text in " ".join(lines)


CONTROLS = {
    "color": ("\x1b[31m", r"\x1b[31m"),
    "C1": ("\x9b31m", r"\x9b31m"),
    "override": ("a\u202eb", r"a\u202eb"),
    "isolate": ("\u2066", r"\u2066"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "backspace": ("ab\x08\x08cd", r"ab\x08\x08cd"),
    "lone return": ("safe\rfake", r"safe\rfake"),
    "surrogate": ("\ud800", r"\ud800"),
    "no-break space": ("a\xa0b", "a b"),
    "a Persian word": ("می\u200cخواهم", "می\u200cخواهم"),
    "markup": ("[bold red]x[/] [link=http://x]", "[bold red]x[/] [link=http://x]"),
    "emoji name": (":smile:", ":smile:"),
}


@each(("text", "expected"), CONTROLS)
def test_what_controls_a_terminal_is_shown_as_its_number(text: str, expected: str) -> None:
    assert inert(text) == expected
    everywhere: dict[str, Any] = {
        "id": text,
        "reason": text,
        "evidence": {text: text, "prompt": [{"role": text, "content": text, text: [{text: text}]}]},
    }
    lines = shown(everywhere, "dropped", width=200)
    assert expected in lines and (text == expected or text not in lines)


ACTS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800]")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
turns = st.lists(st.fixed_dictionaries({"role": st.text() | st.none(), "content": values}))
columns = st.sampled_from(["id", "prompt", "chosen", "rejected", "evidence", "asked", "answer"])


@given(
    st.dictionaries(columns, values | turns),
    st.sampled_from(["default", "dropped", "calls"]),
    st.sampled_from([40, 79, 140]),
    st.booleans(),
)
def test_any_row_of_a_stranger_is_shown_and_nothing_in_it_acts(
    row: Row, config: str, width: int, full: bool
) -> None:
    lines = shown(row, config, width=width, full=full)
    assert (
        re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800]", lines) is None
    )
    assert max(map(cell_len, lines.split("\n"))) <= width


def test_what_was_thought_is_apart_from_the_answer() -> None:
    thinking = [
        {"role": "assistant", "content": "<think>\nFirst 2.\n</think>\n\nFour."},
        {"role": "assistant", "content": "Five.", "reasoning_content": "Then 3."},
    ]
    row = {"id": "b" * 16, "prompt": user("2 + 2?"), "completion": thinking}
    assert shown(row).splitlines()[1:] == [
        "  user: 2 + 2?",
        "  reasoning: First 2.",
        "  assistant: Four.",
        "  reasoning: Then 3.",
        "  assistant: Five.",
    ]


def test_a_call_has_its_facts_in_a_line_and_its_reasoning_apart() -> None:
    call = {
        "id": "c" * 16,
        "role": "writer",
        "model": "m",
        "revision": "sha256:" + "d" * 64,
        "asked": user("2 + 2?"),
        "sampling": {"temperature": 0.8, "stop": ["a", "b"]},
        "answer": "Four.",
        "ended": "complete",
        "finish_reason": "stop",
        "reasoning": "First 2.",
        "input_tokens": 1200,
        "output_tokens": None,
        "cost_usd": 0.00012,
    }
    assert shown(call, "calls").splitlines() == [
        f"call {'c' * 16}: writer, m@sha256:{'d' * 12}, complete (stop), 1,200 + ? tokens, "
        "at most 0.00012 USD",
        "  sampling: temperature 0.8, stop a, b",
        "  asked",
        "    user: 2 + 2?",
        "  reasoning: First 2.",
        "  answer: Four.",
    ]


def test_a_long_text_says_how_much_of_it_is_not_shown() -> None:
    row = {"id": "e" * 16, "prompt": user("x" * 1000), "completion": assistant("a\n" * 100)}
    short = shown(row, full=False)
    assert "[... 400 more characters]" in short and "[... 185 more characters]" in short
    assert shown(row).count("x") == 1000 and "more characters" not in shown(row)


def test_color_is_there_only_where_it_is_asked_for() -> None:
    parts = row_view(pair("a", "b"))
    assert "\x1b[" in rendered(parts, width=120, colour=True, full=True)
    assert "\x1b" not in rendered(parts, width=120, colour=False, full=True)
