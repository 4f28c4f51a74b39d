"""Template marks that an answer is about stay; where that is not sure, it is not changed."""

from __future__ import annotations

from builders.engine.thinking import Parted, parted
from tests.cases import each

NILE = "The Nile, 6,650 km."


@each(
    "text",
    [
        "It has these:\n\n1. **[CLS]**: begins\n2. **[SEP]**: separates",
        "- [SEP]: separates\n- [PAD]: fills",
        "* <|im_start|>: begins a turn\n* <|im_end|>: ends it",
        "| token | use |\n|---|---|\n| <s> | begins |\n| </s> | ends |",
        "The end-of-sequence token (</s>) ends a text.",
        "The *</s>* token ends a text.",
        "It is the token </s>.",
        "The stop token is </s>",
        "The last token is </s>",
        "The tokens are:\n- <s>\n- </s>",
        "The token <|eot_id|> ends a turn.",
        "It wraps each turn in [INST] and [/INST], then answers.",
        "Now <s>9 <b>or 10</b></s> 8 euro.",
        "Prices:\n<s>\n9 euro\n</s>\n8 euro",
        'std::cout<<"a"<<s>>b;',
        'prompt = f"<s>[INST] {x} [/INST]"\nprint(prompt)',
        '{"template": "<|user|>{q}<|assistant|>"}',
        '```py\ns = "<|im_start|>user"\nprint(s)',
        're.sub(r"<think>.*?</think>", "", text)',
        'unk="<unk>",\neos="</s>",\nbos="<s>",\n    sep="</s>",\n    pad="<pad>",\n',
        "$<|x|>$ is the mean of |x|.",
        "We have |a|<|b|>|c| for all of them.",
        "⟨|v|⟩ = <|v|>",
        "The states <up|> and <|psi> are a bra and a ket.",
        "main = div [] <|text>",
        "The backward pipe is written <|",
        "let y = x <|",
        "The byte <0x41> is the letter A.",
        "Read <function=f> in the template.",
        "It writes <tool_call> first.",
        "commentary to the law",
        "<details>\n<summary>More</summary>\nx\n</details>",
    ],
)
def test_a_mark_that_an_answer_is_about_stays(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "text",
    [
        "<s>x</s>",
        "\n<s>x</s>\n",
        "The pipe is written:\n<|",
        "The pipe is<|",
        "It ends with </s></s>",
        "Answer: </s>",
        f"{NILE}[|endofturn|]\n[|user|]And?",
        f"[|user|]And? {NILE}",
        f"{NILE}<s>And the Amazon?</s>",
    ],
)
def test_an_answer_whose_mark_has_no_sure_place_is_not_changed(text: str) -> None:
    found = parted(text)
    assert found.leaked and found.text == text


@each(
    ("text", "answer"),
    [
        (f"[|assistant|]{NILE}[|endofturn|]", NILE),
        (f"<s> {NILE}</s>", NILE),
        (f"{NILE}<|custom_end|>", NILE),
        (f"{NILE}<|turn>", NILE),
        (f"{NILE}<|im_e", NILE),
        ("| a | b |\n|---|---|\n| 1 | 2 |<|im_end|>", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("| a | b |</s>", "| a | b |"),
        ("- a\n- b</s>", "- a\n- b"),
        ("> quoted<|eot_id|>", "> quoted"),
        ('x = "a"<|im_end|>', 'x = "a"'),
        (f"{NILE} It has <s>two</s> three mouths.</s>", f"{NILE} It has <s>two</s> three mouths."),
    ],
)
def test_an_answer_is_without_the_marks_around_it(text: str, answer: str) -> None:
    assert parted(text) == Parted(answer)


@each(
    "text",
    [
        'I look. <tool_call>{"name": "f"}</tool_call>',
        'I look.<function=f>{"a": 1}</function>',
        "I look. <function=f>\n<parameter=a>\n1\n</parameter>\n</function>",
        'commentary to=functions.f json{"a": 1}',
        "We look.assistantcommentary to=functions.f json{}",
        "analysisWe look.assistantcommentary to=functions.f json{}",
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}",
        '<details type="tool_calls" done="true" name="f">\n</details>',
    ],
)
def test_the_call_of_a_tool_is_found_in_the_middle_of_a_text_too(text: str) -> None:
    assert parted(text).calls
