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


@each(
    "text",
    [
        "Try these two. Both are at https://chat.ai\n\nThen sign in.",
        "Write to mail@sea.ai\n\nRegards,\nJo",
        "It is in app.state.user\n\nSet it first.",
        "The weights are in net.model\n\nLoad them.",
        "It calls os.system\n\nThat gives a status.",
        "It has three parts.\n\nmodel\nview\ncontroller",
        "The columns are these.\nuser\nname\nborn",
        "Two roles.\nuser\nassistant",
        "The second one fits.\nuser\n\nThat is one who uses it.",
        "## Aim: rivers\nName three.\n\n## Instruction: five minutes\nShow a map.",
        "# Plan\n\n## Aim\nRivers.\n\n### Instruction:\n1. Show a map.",
        "### Event:\nRain.\n\n### Response:\nTake a coat.",
        "Two people.\n\n### User: Ann\nShe is 30.\n\n### User: Bo\nHe is 40.",
        "Use this one:\n\n### Instruction:\n{q}\n\n### Response:",
        "A Walk by the River\n\nUser: Hi.\nAssistant: Hello.",
        "# A walk\n\nUser: Hi.\nAssistant: Hello.",
        "**A walk**\n\nUser: Is it far?\nAssistant: No.",
        "[A room at night.]\n\nHuman: Who is it?\nAI: Me.",
        "EXT. A RIVER - DAY\n\nHuman: Is it deep?\nAI: It is.",
        "Ein Gespräch am Fluss.\n\nUser: Guten Tag!\nAssistant: Guten Tag!",
        "Un diálogo corto.\n\nUser: Hola.\nAssistant: Hola.",
        "下面是对话。\n\nUser: 你好\nAssistant: 你好",
        "He waited.\n\nUser: Are you there?\n\nNothing came back.",
        "Support\n\nBot: Hi.\nUser: My card is lost.\nBot: I block it.",
        "user: root\nhost: river\nThe file has two keys.",
        "System: two pumps\nUser: one person\nModel: X200\nAssistant: none",
        "System: Linux\nHuman: one\nAI: none",
        "Here is a prompt for it:\n\nSystem: Be a pirate.\nUser: Hi!\nAssistant: Arr!",
        "A dialogue.\n\nSYSTEM: Be brief.\n\nUSER: Hi!\nASSISTANT: Hello!",
        "You are a guide to rivers.\n\nUser: {question}\nAssistant:",
        "You are a guide to rivers.\n\nUser: {{ question }}\nAssistant: {{ answer }}",
    ],
)
def test_everyday_words_for_roles_are_no_turn(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "text",
    [
        f"{NILE}user\n\nAnd the second?assistant\n\nThe Amazon.",
        f"{NILE}\nassistant\nIt is in Africa.",
        f"{NILE}\nuser\nAnd the second one?",
        f"{NILE}\n### Human: And?\n### Assistant: The Amazon.",
        f"{NILE}\n### Assistant: It is long.",
        f"{NILE}\n<human>: And?\n<bot>: The Amazon.",
        f"{NILE}\n<user>: And?\n<assistant>: The Amazon.",
        f"{NILE}\nGPT4 Correct User: And?\nGPT4 Correct Assistant: The Amazon.",
        f"{NILE}\n\n**User:** And?\n**Assistant:** The Amazon.",
        f"{NILE}\nuser: And?\nassistant: The Amazon.",
        "尼罗河最长。\n\n用户：第二呢？\n助手：亚马逊河。",
        "Oslo\n\nUser: And of Sweden?\nAssistant: Stockholm",
        f"{NILE}\n\nSystem: Be brief.\nUser: And?\nAssistant: The Amazon.",
        f"{NILE} <sep> human: And? <sep> assistant: The Amazon.",
        "It is clear. [[8]] <sep> human: [[1]]",
    ],
)
def test_a_turn_in_any_of_the_formats_is_found(text: str) -> None:
    found = parted(text)
    assert found.leaked and found.text == text
