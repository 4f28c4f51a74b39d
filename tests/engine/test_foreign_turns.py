"""A turn that a model writes for its user is found; a dialogue that the prompt asked for stays."""

from __future__ import annotations

from builders.engine.thinking import Parted, parted
from tests.cases import each

NILE = "The Nile, 6,650 km."


@each(
    "text",
    [
        f"{NILE}\nUSER: And?\nASSISTANT: The Amazon.",
        f"{NILE}\n\nUser: And?",
        f"{NILE}\nUser: And in Asia?\nFalcon: The Yangtze.",
        f"{NILE}\nUser:",
        f"{NILE}\nHuman: And?\nAI: The Amazon.",
        f"{NILE}\nNote: it is long.\nUser: And the second?",
        "River: the Nile.\nLength: 6,650 km.\nUser: And?\nAssistant: The Amazon.",
        f"Assistant: {NILE}\nUser: And?\nAssistant: The Amazon.",
        f"{NILE} Here is more of it.\n\nUser: And?\nAssistant: The Amazon.",
        f"{NILE}\n\n### Response:\n{NILE}",
        f"## Rivers\n{NILE}\n\n### Instruction:\nAnd?\n\n### Response:\nThe Amazon.",
        f"{NILE}\nuser\n\nassistant\nThe Amazon.",
    ],
)
def test_another_turn_after_an_answer_is_found(text: str) -> None:
    found = parted(text)
    assert found.leaked and found.text == text


@each(
    "text",
    [
        "Here is one for your bot:\n\nUser: Hi\nAssistant: Hello\nUser: Which river?",
        "Sure! Here is one.\n\nUser: Hi\nAI: Hello\nUser: Bye",
        "A short conversation about rivers.\n\nUSER: Hi\nASSISTANT: Hello",
        "A robot is at the river.\n\nHuman: Who are you?\nRobot: A friend.",
        "Bot: Hi\nUser: Hello\nBot: Bye",
        "**User:** Hi\n**Bot:** Hello\n**User:** Bye",
        "Kinds of nature.\nHuman: social.\nAnimal: wild.",
        "Two roles.\nAdmin: all.\nUser: some.",
        "Rights on a file.\nUser: rwx\nGroup: r-x\nOther: r--",
        "## GET /rivers\n\nAll rivers.\n\n### Response:\n\n```json\n[]\n```",
        "### Request:\nPOST /rivers\n\n### Response:\n201 Created",
        "The roles are these.\n\nsystem\nuser\nassistant\n",
        "Use these.\n\nsystem\nuser\nassistant\nmodel\n\nNo others are known.",
    ],
)
def test_a_dialogue_or_a_list_that_is_the_answer_stays(text: str) -> None:
    assert parted(text) == Parted(text)
