"""Answers that are dropped for their text alone, and harmless ones that look like them."""

from hypothesis import given
from hypothesis import strategies as st

from builders.gates.text import refusal, repetition, same_text, unprintable
from builders.recipe import short_hash
from builders.schema import Row, assistant, user
from tests.cases import each


def answered(text: str, prompt: str = "p") -> Row:
    return {"id": short_hash(prompt), "prompt": user(prompt), "completion": assistant(text)}


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I am so sorry, but I am not able to provide medical advice.",
    "Sorry, I cannot do that.",
    "Sorry. I can not answer this.",
    "I apologize, but I cannot generate that kind of text.",
    "My apologies, I'm unable to discuss this topic.",
    "Unfortunately, I am unable to create pictures.",
    "I'm afraid I can't do that.",
    "I cannot fulfill your request, as it could do harm.",
    "I won't write that.",
    "I can't continue with this request.",
    "I'm sorry, I'm afraid I can't help with this.",
    "As an AI language model, I have no favourite colour.",
    "As an AI, I don't eat.",
    "as a large language model I cannot browse the web",
    "Well, as an AI assistant, my knowledge ends in 2023.",
    "I, as an AI, have no opinion.",
    "I am an AI developed to be helpful. What is the weather like?",
    "I'm just a language model.",
    "I am an AI language model, so I was not there.",
    "It is hard to say. I don't have personal opinions on music.",
    "Good question! I do not have emotions.",
    "**I'm sorry**, but I cannot help you with this.",
    "\n\nI\u02bcm unable to help.",
    "I'm really sorry that you feel this way, but I'm unable to provide the help you need.",
    "As a responsible AI assistant, I must say no.",
    "As a language model AI, I can only imagine it.",
    "I do not have personal experiences.",
    "I'm an AI and don't have a body.",
    '"As an AI language model, I cannot love."',  # the whole answer in quotation marks
]

INNOCENT = [
    "I'm sorry you lost your keys. Here is a letter to your landlord.",
    "Dear Ms Okafor,\n\nI am sorry, but I can't attend your party on Saturday.",
    "Sorry, I cannot come to work today: I have a fever.",
    "I can't help but smile when the band begins to play.",
    "I cannot help thinking of the sea.",
    "I can't believe it is already spring!",
    "I won't be home for dinner.",
    "Unfortunately, I missed the train.",
    'The robot looked at her. "As an AI, I do not have emotions," it said, and turned away.',
    "“I’m sorry, Dave,” said the machine. “I’m afraid I can’t do that.”",
    "The chatbot wrote \"I'm sorry, but I can't help with that.\" Nobody was surprised.",
    "She works as an AI engineer in Turin.",
    "As an AI researcher, I spend my days with data.",
    "I am an AI engineer, and this is my story.",
    "ChatGPT is known as an AI language model; it was released in 2022.",
    "I don't have feelings for him any more, Maria wrote.",
    "The committee cannot provide a refund, but it can offer a voucher.",
    "Apologize first, then explain why you were late.",
    "A language model predicts the next word.",
    "Say sorry; if you cannot help, say who can.",
    "To decline politely: thank them, give a reason, wish them well.",
]


@each("text", REFUSALS)
def test_an_answer_that_refuses_or_speaks_as_a_model_is_dropped(text: str) -> None:
    drop = refusal(answered(text))
    assert drop is not None and drop.reason == "refusal"
    assert str(drop.evidence["matched"]).strip()


@each("text", INNOCENT)
def test_an_answer_with_a_regret_or_a_quoted_machine_is_kept(text: str) -> None:
    assert refusal(answered(text)) is None


def test_only_the_last_turn_is_searched_for_a_refusal() -> None:
    row = answered("I cannot help with that.")
    row["completion"] += assistant("Here you are: 4.")
    assert refusal(row) is None


TEN = "one two three four five six seven eight nine ten"


def test_ten_words_may_come_twice_and_three_times_are_repetition() -> None:
    assert repetition(answered(f"{TEN}. {TEN}.")) is None
    drop = repetition(answered(f"{TEN} a {TEN} b {TEN}"))
    assert drop is not None and drop.reason == "repetition"
    assert drop.evidence == {"repeated": TEN, "times": 3}


def test_nine_words_may_be_repeated_any_number_of_times() -> None:
    nine = TEN.removesuffix(" ten")
    assert repetition(answered(" ".join(f"{nine} {place}" for place in range(50)))) is None


def test_repeated_words_are_found_in_any_case_and_spacing() -> None:
    assert repetition(answered(f"{TEN}\n{TEN.upper()}\n\n{TEN.title().replace(' ', '  ')}"))


def test_one_word_over_and_over_is_repetition() -> None:
    assert repetition(answered("ha " * 11)) is None  # two runs of ten
    assert repetition(answered("ha " * 12)) is not None  # three


def test_a_short_answer_repeats_nothing() -> None:
    assert repetition(answered("yes yes yes")) is None


@each(
    ("character", "name"),
    [
        ("\0", "U+0000"),
        ("\x07", "U+0007"),
        ("\x1b", "U+001B"),
        ("\x7f", "U+007F"),
        ("\x85", "U+0085"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}", "U+202E"),
        ("\ue000", "U+E000"),
        ("\ufdd0", "U+FDD0"),
        ("\uffff", "U+FFFF"),
        ("\U0010ffff", "U+10FFFF"),
        ("\N{REPLACEMENT CHARACTER}", "U+FFFD"),
    ],
)
def test_an_unprintable_character_is_named(character: str, name: str) -> None:
    drop = unprintable(answered(f"The answer is {character}4."))
    assert drop is not None and drop.reason == "unprintable"
    assert drop.evidence == {"character": name}


@each(
    "text",
    [
        "a\tb\nc\r\nd",
        "naïve, 日本語, हिन्दी, العربية",
        "👩‍👩‍👧 \N{ZERO WIDTH JOINER}\N{SOFT HYPHEN}\ufeff",
        "a new emoji, \U0001fa77, that older tables do not know",
    ],
)
def test_any_script_and_any_emoji_can_be_read(text: str) -> None:
    assert unprintable(answered(text)) is None


def answers_to(texts: dict[str, str]) -> list[Row]:
    """One row for each prompt with its answer."""
    return [answered(text, prompt) for prompt, text in texts.items()]


def different(prompts: int) -> dict[str, str]:
    return {f"prompt {place}": f"answer {place}" for place in range(prompts)}


@each(
    ("prompts", "same", "dropped"),
    [(2, 1, 0), (2, 2, 2), (50, 2, 2), (200, 1, 0), (200, 2, 2), (300, 2, 0), (300, 3, 3)],
)
def test_a_text_that_answers_one_prompt_in_a_hundred_and_at_least_two_is_dropped(
    prompts: int, same: int, dropped: int
) -> None:
    texts = different(prompts) | {f"prompt {place}": "Sure!" for place in range(same)}
    drops = same_text()(({}, row) for row in answers_to(texts))
    assert sorted(drops) == list(range(dropped))
    assert all(
        (drop.reason, drop.evidence) == ("same text", {"prompts": same}) for drop in drops.values()
    )


def test_the_same_text_is_found_in_any_case_and_spacing() -> None:
    rows = answers_to({"a": "Sure,  here you are.", "b": "SURE, here\nyou are.", "c": "No."})
    assert set(same_text()(({}, row) for row in rows)) == {0, 1}


def test_equal_samples_of_one_prompt_are_kept() -> None:
    assert same_text()([({}, answered("4", "2 + 2?"))] * 5) == {}


def test_a_gate_over_no_rows_drops_none() -> None:
    assert same_text()([]) == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_the_order_of_rows_does_not_matter_to_the_gate_against_one_text_for_many(
    pairs: list[tuple[str, str]],
) -> None:
    def kept(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        drops = same_text()(({}, answered(text, prompt)) for prompt, text in pairs)
        return sorted(pair for place, pair in enumerate(pairs) if place not in drops)

    assert kept(pairs) == kept(pairs[::-1])
