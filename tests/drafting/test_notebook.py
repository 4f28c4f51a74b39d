"""What a notebook shows of rows of any shape."""

from __future__ import annotations

from builders.drafting.notebook import draft_html


def test_a_list_of_other_things_than_messages_is_shown_too() -> None:
    row = {
        "chat": [{"role": "user", "content": "Why?"}, {"content": "So."}],
        "ratings": [{"aspect": "truth", "rating": 5}],
        "texts": ["one", None],
        "none": [],
    }
    page = draft_html("t", {"made": 1, "kept": 1, "dropped": {}}, [row])
    for text in ("user: Why? / So.", "truth: 5", "one / None"):
        assert f"<td>{text}</td>" in page
