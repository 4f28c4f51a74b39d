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
        "[A room at night.]\n\nHuman: Who is it?\nAI: Me.",
        "EXT. A RIVER - DAY\n\nHuman: Is it deep?\nAI: It is.",
        "Ein Gespräch am Fluss.\n\nUser: Guten Tag!\nAssistant: Guten Tag!",
        "Un diálogo corto.\n\nUser: Hola.\nAssistant: Hola.",
        "下面是对话。\n\nUser: 你好\nAssistant: 你好",
        "They differ.\n\nHuman: a being with reason.\n\nThe other is none.",
        "They live long.\n\nHuman: 79 years\n\nThe others are younger.",
        "From: Ann\n\nUser: see below.\n\nIt is raining.",
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


FOLLOW_UP = "\n\nUser: And of Sweden?\nAssistant: Stockholm"
OPENING = "\n\nUser: Good morning.\nAssistant: Good morning."


@each(
    "answer",
    [
        *(
            "Oslo",
            "**Oslo**",
            "*Oslo*",
            "_Oslo_",
            "# Oslo",
            "(B)",
            "[B]",
            "OSLO",
            "42",
            "1. Oslo is it",
        ),
        *("[[A]]", "**[[7]]**", "Right.\n\n[[B > A]]", "The Sea and the River", "(None of them.)"),
        "Rome, for example, is older.",
        "Rome is a good example.",
        "This example of it shows more.",
        "An example of it is Rome.",
        "You can chat with us by day.",
        "Chat with us by day.",
        "All rivers flow to the sea.",
        "The flow of the river slows here.",
        "The script runs at night.",
        "The scene is a river.",
        "The dialogue was long.",
        "Log in with your name.",
        "An example is in the book.\nIt is a long one.",
        "Oslo ist ein Beispiel.",
        "Oslo es un ejemplo.",
        "C'est un bel exemple.",
        "他们的对话很有意思。",
        "Answer: Oslo",
        "Setting: a house",
        "Example: the whale.",
        "One example: whales.",
        "Here's a simple example: `x = 1`.",
        "Here's a bash script that does it: `rm *.tmp`.",
        "Consider an example: a sparrow.",
        "A sample of size 30 suffices.",
        "Sample: 5 ml of blood.",
        "Flow: 3 l/s",
        "Situation: solved",
        "Open dialogue reduces conflict.",
        "Socratic dialogue helps students think.",
        "Plato wrote many dialogues.",
        "Das Gespräch dauert zehn Minuten.",
        "La conversación dura diez minutos.",
        "Пример: кит.",
        "下面的例子是鲸鱼。",
        "**Prompt engineering**",
        "Capital: Oslo\nPeople: 700,000",
    ],
)
def test_a_turn_after_a_short_answer_is_found(answer: str) -> None:
    for turn in (FOLLOW_UP, FOLLOW_UP.replace("User", "Human"), "\n\nHuman: Is it far?\nAI: No."):
        assert parted(f"{answer}{turn}").leaked


@each(
    "text",
    [
        "**A walk**\n\nUser: Is it far?\nAssistant: No.",
        "Answer: 42\n\nUser: And half of it?\nAnswer: 21",
        "River: the Nile\nLength: 6,650 km\n\nUser: And?\nAssistant: Here.\nLength: 6,400 km",
        "Oslo\n\n**User:** And of Sweden?\n**Assistant:** Stockholm",
        "Oslo\n\nuser: And of Sweden?\nassistant: Stockholm",
        "Oslo\n\nUser: And of Sweden?\n\nStockholm",
        "1. Oslo is it\n\nUser: And two more?\nAssistant: Here.\n\n1. Rome\n2. Paris",
        "Oslo\n\n***\n\nUser: And of Sweden?\nAssistant: Stockholm",
        "**Oslo**\n\n**User:** And of Sweden?\n**Assistant:** Stockholm",
        f"{NILE}\n\n---\n\n**User:** And?\n**Assistant:** The Amazon.",
        "Rome, for example.\n\n### Instruction:\nAnd one more?\n\n### Response:\nOslo.",
        "The bot knows it.\n\nUser: Thanks!\nBot: You're welcome! Anything else?",
        "Oslo\nuser\nAnd of Sweden?\nassistant\nStockholm",
        f"{NILE}\n\nmodel\nIt is in Africa.",
        "Oslo\nassistant\nIt is in Norway.",
        "He waited.\n\nUser: Are you there?\n\nNothing came back.",
        "**Oslo**\n\nassistant\nIt is in Norway.",
        f"{NILE}\nuser\nTell me of another.\nassistant\nThe Amazon.\nsource\nIt is in Peru.",
    ],
)
def test_a_turn_that_a_dialogue_may_have_too_is_dropped(text: str) -> None:
    found = parted(text)
    assert found.leaked and found.text == text


@each(
    "introduction",
    [
        "Support chat",
        "# A chat with support",
        "**Dialogue 1**",
        "Example 2",
        "Main flow.",
        "Here are two short dialogues.",
        "# Tickets: a dialogue",
        "Transcript of the call",
        "Consider this exchange.",
        "**Version 1 (short):**",
        "### Prompt",
        "**Prompt template**",
        "Cleaned chat log",
        "A chat with a bot.",
        "An example for you.",
        "I corrected the dialogue's grammar.",
        "会話例です。",
        "以下是一个对话示例。",
        "A short chat.\n\n---",
        "It goes like this.",
        "The log is below.",
        "The conversation follows.",
        "A short dialogue between two.",
        "I wrote a short dialogue for you.",
        "It is late. Here's a sample conversation for you.",
        "*[The phone rings.]*",
        "INT. A HOUSE - NIGHT",
        "Hier ist ein kurzes Gespräch.",
        "Voici un dialogue.",
        "Un breve diálogo entre dos.",
        "以下是一个对话。",
    ],
)
def test_what_presents_a_dialogue_keeps_it(introduction: str) -> None:
    for turn in (FOLLOW_UP, OPENING):
        assert parted(f"{introduction}{turn}") == Parted(f"{introduction}{turn}")


@each("title", ["# At the bank", "**At the bank**", "A Day at the Bank", "*At the bank*"])
def test_a_title_keeps_a_dialogue_that_begins_with_a_greeting(title: str) -> None:
    assert parted(f"{title}{OPENING}") == Parted(f"{title}{OPENING}")
    assert parted(f"{title}{FOLLOW_UP}").leaked


@each(
    "answer",
    ["**Answer: B**", "[Oslo]", "The dialogue is long.", "It is an example.", "The chat ends."],
)
def test_a_greeting_with_a_question_keeps_no_dialogue_after_an_answer(answer: str) -> None:
    assert parted(f"{answer}\n\nUser: Hello! Is it far from here?\nAssistant: No.").leaked


@each(
    "text",
    [
        "Terms of it.\n\nUser: a person with an account\n\nBot: a program",
        "Words of it.\n\nUser: the one who asks.\nAssistant: the one who answers.",
        "Roles.\n\nHuman: anyone who reads.\nModel: a program that writes.",
        "The columns.\nuser\nThe name of a person.\nborn\nThe year of birth.",
        "The parts.\n\nsystem\nAll of it, taken together.\n\nunit\nOne of its parts.",
        "The layers.\nmodel\nThe data of the app.\nview\nThe page that shows it.",
        "Roles\nassistant\nHelps all the others.\nteacher\nGives the lessons.",
        "Roles\nassistant\nhelps all the others",
        "It is late.\n\nKind regards,\n\nAnn Lee\nassistant\nRome Office Ltd",
        "The folders.\nmodel\n├── train.py  for training\n└── test.py",
        "# The bank\n\n---\n\n**User:** Is it open?\n\n**Assistant:** It is.",
        "**Title: The bank**\n\n**User:** Is it open?\n\n**Assistant:** It is.",
        "1. The way.\n\nUser: Where?\nAssistant: Here.\n\n2. To pay.\n\nUser: So?\nAssistant: 9.",
        "Turn 1\n\nUser: Where?\nAssistant: Here.\n\nTurn 2\n\nUser: When?\nAssistant: Now.",
        "He repeats the order. Then he waits.\n\nUser: Tea.\nBot: Black or green?",
        "The bot asks first. Then it takes the order.\n\nUser: Tea, please.\nBot: A tea for you.",
    ],
)
def test_a_list_that_explains_roles_and_a_dialogue_of_a_bot_stay(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "answer",
    [
        *(
            "It is Oslo",
            "It is 42",
            "Enjoy it 😊",
            "- salt\n- pepper",
            "```\nx = 1\n```",
            "**Oslo**",
        ),
        *(
            "奥斯陆",
            "`x`",
            "$x$",
            "It is [1]",
            "f(x)",
            "{1}",
            "Look here:",
            "| a | b |",
            "Oslo.",
            "Oslo —",
        ),
    ],
)
def test_a_header_that_is_glued_to_an_answer_is_found(answer: str) -> None:
    assert parted(f"{answer}assistant\n\nIt is, as I wrote.").leaked
    assert parted(f"{answer}user\n\nAnd the other?assistant\n\nThat, too.").leaked
    last = parted(f"{answer}assistant\n\n")
    assert last.leaked or last == Parted(answer)


@each(
    "text",
    [
        "It is a voice-assistant\n\nThat is fast.",
        "It is at sea.example/assistant\n\nOpen it.",
        "Write to @assistant\n\nIt answers.",
        "The name is my_assistant\n\nUse it.",
        "Set role=assistant\n\nThen start.",
        "«assistant\n\nIt answers.»",
        "(assistant\n\nIt answers.)",
        "•assistant\n\nIt answers.",
        "The roles are user,assistant\n\nThere is no third.",
        "```assistant\n\nHello.\n```\n\nThat is it.",
        "The superuser\n\nWhat may it do? All.",
        "The ecosystem\n\nIs it old? It is.",
    ],
)
def test_a_name_or_a_path_that_ends_with_a_role_is_no_header(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "turn",
    [
        "User: And of Sweden?\n\nIt is Stockholm.",
        "Human: And of Sweden?\n\nStockholm.\n\nHuman: And of Finland?\n\nHelsinki.",
        "Human: Name another.\n\nStockholm.\n\nHuman: Name a third.\n\nHelsinki.",
        "User: Thanks!\n\nYou're welcome!",
        "Human: Thank you.\n\nYou're welcome! Let me know if there is more.",
        "User: Write a poem on rain.\n\nRain falls,\nrain stops.",
        "**User:** And of Sweden?\n\nIt is Stockholm.",
        "**Human:** Thanks!\n\nYou're welcome!",
        "user: and of sweden?\n\nStockholm.",
        "用户：瑞典呢？\n\n斯德哥尔摩。",
    ],
)
def test_a_turn_whose_answer_has_no_label_is_found(turn: str) -> None:
    for answer in (
        "It is Oslo, a city by the sea.",
        f"The line was built in three years. {'It runs on most days of the summer. ' * 9}",
        "1. Oslo\n2. Rome\n3. Paris.",
        "```\nx = 1\n```",
        "Answer: Oslo.",
    ):
        found = parted(f"{answer}\n\n{turn}")
        assert found.leaked and found.text == f"{answer}\n\n{turn}"


@each(
    ("text", "answer"),
    [
        ("Oslo.assistant", "Oslo."),
        ("It is Oslo.assistant\n", "It is Oslo."),
        ("It is 41assistant", "It is 41"),
        ("Is it Oslo?user", "Is it Oslo?"),
        ("它是奥斯陆。assistant\n\n", "它是奥斯陆。"),
        ("It is **Oslo**assistant", "It is **Oslo**"),
        ("```\nx = 1\n```assistant", "```\nx = 1\n```"),
        ("It is Oslo.assistantassistantassistant", "It is Oslo."),
        ("It is Oslo.assistant\n\nassistant\n\nassistant\n\n", "It is Oslo."),
        ("It is Oslo.\n\nassistant\n\n", "It is Oslo."),
        ("It is Oslo.\nassistant", "It is Oslo."),
        ("It is Oslo.\nassistant\nassistant\n", "It is Oslo."),
        ("It is Oslo.\nmodel\n", "It is Oslo."),
        ("It is Oslo.\nuser\n", "It is Oslo."),
    ],
)
def test_a_header_at_the_very_end_is_cut_off(text: str, answer: str) -> None:
    assert parted(text) == Parted(answer)


@each(
    "text",
    [
        "It is in Osloassistant",
        "It is a city by the sea.user",
        "The second one fits.\nuser",
        "Oslo\nassistant",
        "- salt\n- pepper\nassistant\n\n",
        "ok.assistant",
        "It is Oslo.\n\nUser: And?\nAI: Rome.assistant",
    ],
)
def test_a_last_word_that_may_be_a_header_is_found(text: str) -> None:
    assert parted(text).leaked


@each(
    "text",
    [
        "assistant",
        "user\n",
        "Its name is assistant",
        "It is the user",
        "It is in app.state.user",
        "It is kept in self.assistant",
        "return request.user",
        "owner = request.user",
        "The role that answers:\n\nassistant",
        "- user\n- assistant",
        "Two roles.\nuser\nassistant",
        "The parts\nview\nmodel\n",
        "Kind regards,\n\nAnn Lee\nassistant",
        "Take my_assistant",
        "Go to /pages/user",
        "Ask @assistant",
        "Use a voice-assistant",
        "It is an ecosystem",
        "Write `x.assistant`",
        "```\nx.user\n```",
    ],
)
def test_a_last_word_that_is_of_the_answer_stays(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "turn",
    [
        "USER: And of Sweden? ASSISTANT: Stockholm.",
        " USER: And of Sweden? ASSISTANT: Stockholm.",
        " USER: Name another. ASSISTANT: Stockholm.",
        "User: Name another.\nAssistant: Stockholm.",
        "Human: And of Sweden?\n\nAssistant: Stockholm.",
        " User: And of Sweden?\nAssistant: Stockholm.",
        " Human: And of Sweden? AI: Stockholm.",
        "GPT4 Correct User: And? GPT4 Correct Assistant: Stockholm.",
        " GPT4 Correct User: And?",
        "\n\n**USER:** And of Sweden?\n\n**ASSISTANT:** Stockholm.",
        "\n\n**Human**: And of Sweden?\n\n**AI**: Stockholm.",
    ],
)
def test_a_turn_on_the_line_of_the_answer_or_in_bold_is_found(turn: str) -> None:
    text = f"It is Oslo, a city by the sea.{turn}"
    assert parted(text).leaked and parted(text).text == text


@each(
    "text",
    [
        "USER: Hi! ASSISTANT: Hello! USER: Is it far? ASSISTANT: No.",
        "Here is a short chat. USER: Hi! ASSISTANT: Hello!",
        "A chat between two. USER: Hi! ASSISTANT: Hello!",
        "It has this form: USER: Hi! ASSISTANT: Hello!",
        "Be kind. USER: {question} ASSISTANT:",
        "It has two sides. User: the one who asks. Assistant: the one who answers.",
        "It is typed. User: a class\nAdmin: another",
        "Write `Hi. USER: Is it? ASSISTANT: It is.` there.",
        "It is Models.User: a class",
        "OpenChat writes 'GPT4 Correct User:' before a question.",
    ],
)
def test_labels_within_a_line_that_are_of_the_answer_stay(text: str) -> None:
    assert parted(text) == Parted(text)
