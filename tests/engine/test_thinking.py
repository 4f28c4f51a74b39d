"""Thinking and template marks are separated from an answer, and what it is about is left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.engine.thinking import Parted, parted
from tests.cases import each

NILE = "The Nile, 6,650 km."


@each(
    ("text", "reasoning"),
    [
        (f"<think>\nA river.\n</think>\n\n{NILE}", "A river."),
        (f"<think>\n\n</think>\n\n{NILE}", None),
        (f"\n<THINK>a</Think>{NILE}", "a"),
        (f"<thinking>a</thinking>\n{NILE}", "a"),
        (f"<thought>a</thought>\n{NILE}", "a"),
        (f"<reasoning>a</reasoning>{NILE}", "a"),
        (f"<seed:think>a</seed:think>{NILE}", "a"),
        (f"<longcat_think>a</longcat_think>{NILE}", "a"),
        (f"<mm:think>a</mm:think>{NILE}", "a"),
        (f"◁think▷a◁/think▷{NILE}", "a"),
        (f"[THINK]a[/THINK]{NILE}", "a"),
        (f"<|begin_of_thought|>a<|end_of_thought|>\n\n{NILE}", "a"),
        (f"<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>{NILE}<|END_RESPONSE|>", "a"),
        (f"<|inner_prefix|>a<|inner_suffix|>{NILE}", "a"),
        (f"<|channel>thought\na<channel|>{NILE}", "a"),
        (f"Here is my thought process:\na\n\nHere is my response:\n{NILE}", "a"),
        (f"A river.\n</think>\n\n{NILE}", "A river."),
        (f"It must be the Nile.</think>{NILE}", "It must be the Nile."),
        (f"</think>\n{NILE}", None),
        (f"a\n[/THINK]\n{NILE}", "a"),
        (f"<think>a</think>\n<think>b</think>\n{NILE}", "a\n\nb"),
        (f"a\n</think>\n<think>b</think>\n{NILE}", "a\n\nb"),
        (f"<think>what is `</code>`? ```</think>{NILE}", "what is `</code>`? ```"),
        (f"<think>a</think><answer>{NILE}</answer>", "a"),
        (f"a</think>\n\n<response>\n{NILE}\n</response>\n", "a"),
        (f"<|im_start|>assistant\n<think>\na</think>\n{NILE}<|im_end|>", "a"),
        (f"Okay, a river is asked for</think>{NILE}", "Okay, a river is asked for"),
        (f"So that is </think>\n\n{NILE}", "So that is"),
        (f"<think>a<think>b</think>c</think>{NILE}", "a<think>b</think>c"),
        (f"<think>I use the <think> tag.</think>{NILE}", "I use the <think> tag."),
        (f"<think>a `</think>` in code</think>{NILE}", "a `</think>` in code"),
        (f'<think>"</think>" ends it</think>{NILE}', '"</think>" ends it'),
        (f"\u200b<think>a</think>\u2060{NILE}", "a"),
        (f"<think >a</think >{NILE}", "a"),
        (f"<think>\n```py\na\n</think>\n{NILE}", "```py\na"),
        (f"< think >a</ think >{NILE}", "a"),
        (f"<reflection>a</reflection>{NILE}", "a"),
        (f"<scratchpad>\na\n</scratchpad>\n{NILE}", "a"),
        (f"<analysis>a</analysis>\n{NILE}", "a"),
        (f"<|thinking|>a<|/thinking|>{NILE}", "a"),
        (f"assistantanalysisa b.assistantfinal{NILE}", "a b."),
        (f"assistantfinal{NILE}", None),
        (f"<think> the river</think>{NILE}", "the river"),
        (f"<think>: a\nb\n</think>\n{NILE}", ": a\nb"),
        (f"<think>...</think>{NILE}", "..."),
        (f"<think>a</think>\n</think>\n{NILE}", "a"),
        (f"a</think>\n</think>\n\n{NILE}", "a"),
        (f"<|think|>a<|end|><|begin|>assistant<|content|>{NILE}<|end|>", "a"),
        (f"<|begin|>assistant<|think|>a<|end|><|begin|>assistant<|content|>{NILE}", "a"),
        (f'<details type="reasoning" done="true" duration="2">\n> a\n</details>\n{NILE}', "> a"),
        (f"<reasoning>a</reasoning>\n<answer>{NILE}</answer>", "a"),
        (f"<think>a</think>\n<answer>\n{NILE}", "a"),  # ended by a word to stop at
        (f"a</think>\n<response>\n{NILE}", "a"),
        (f"Here are my reasoning steps:\na\n[BEGIN FINAL RESPONSE]\n{NILE}", "a"),
        (f"a\n[BEGIN FINAL RESPONSE]\n{NILE}\n[END FINAL RESPONSE]", "a"),
        (f"a\n[BEGIN FINAL RESPONSE]\n{NILE}\n[END FINAL RESPONSE]\n<|end|>", "a"),
        (f"<judge>\na\n</judge>\n\n<think_off>\n<answer>\n{NILE}\n</answer>", "a"),
        (f"<judge>\na\n</judge>\n\n<think_on>\n<think>b</think>\n{NILE}", "a\n\nb"),
        (f"<no_think>\n{NILE}", None),
        (f"<think>a</think> .\n\n{NILE}", "a"),
        (f"<think>a</think>。\n\n{NILE}", "a"),
        (f"<|im_start|>think\na\n<|im_start|>answer\n{NILE}<|im_end|>", "a"),
        (f"<role>ASSISTANT</role><think>a</think>{NILE}<|role_end|>", "a"),
        (f"<|begin_of_reflection|>a<|end_of_reflection|>{NILE}", "a"),
        (f"<think>\na\n</think>.\n\n{NILE}", "a"),
        (f"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|>a<|END_THINKING|>{NILE}", "a"),
    ],
)
def test_thinking_before_an_answer_is_its_reasoning(text: str, reasoning: str | None) -> None:
    assert parted(text) == Parted(NILE, reasoning)


@each(
    "form",
    [
        *("<think_fast>{}</think_fast>", "<think_faster>\n{}\n</think_faster>\n"),
        *("<cot>{}</cot>", "<internal_monologue>{}</internal_monologue>", "<思考>{}</思考>\n"),
        *("{}\n< /think>\n", "{}\n<\\/think>\n", "<think>{}<\\/think>"),
        *("<antThinking>{}</antThinking>", "<thought_process>\n{}\n</thought_process>\n\n"),
        *("<thinking_process>{}</thinking_process>", "<reasoning_process>{}</reasoning_process>"),
        *(
            "<inner_monologue>{}</inner_monologue>\n",
            "<think>{}</thinking>",
            "<thinking>{}</think>",
        ),
        *("[thought]{}[/thought]", "[REASONING]\n{}\n[/REASONING]\n", "[thinking]{}[/thinking]"),
        "\\<think\\>\n{}\n\\</think\\>\n",
        "\\u003cthink\\u003e{}\\u003c/think\\u003e",
        *("＜think＞{}＜/think＞", "```thinking\n{}\n```\n\n", "```reasoning\n{}\n```\n"),
        *("Thinking...\n{}\n...done thinking.\n\n", "<!-- thinking: {} -->\n"),
        "<details>\n<summary>Thinking</summary>\n\n{}\n\n</details>\n\n",
        "<details open><summary>Thought for 2 s</summary>{}</details>",
        "<thinking>{}</thinking>\n<output>",
        *(
            "{}\n</scratchpad>\n\n",
            "{}\n</antThinking>\n",
            "{}\n</think_fast>\n",
            "{}[/thinking]\n",
        ),
        *("analysis\n{}\nassistantfinal\n", "analysis {} assistantfinal ", "{}assistantfinal"),
        *("analysis\n\n{}\n\nfinal\n\n", "analysis: {}\n\nassistantfinal: "),
        *(
            "<unused94>thought\n{}<unused95>",
            "{}\n<unused95>\n\n",
            "{}\n<channel|>",
            "{}\n</cot>\n",
        ),
        *("<|begin_of_think|>{}<|end_of_think|>", "<|thought_start|>{}<|thought_end|>"),
        *("<｜think｜>\n{}\n<｜/think｜>\n", "<｜begin▁of▁thinking｜>{}<｜end▁of▁thinking｜>"),
        *(
            "{}<|end_of_think|>",
            "{}\n<｜/think｜>\n",
            "<|begin_of_reasoning|>{}<|end_of_reasoning|>",
        ),
        *(
            "<|think|>{}<|content|>",
            '<think duration="5">{}</think>',
            "<thinking time=3>{}</thinking>",
        ),
        *("[THINK]\n{}\n[/THINK]\n\n", "[THINKING]{}[/THINKING]"),
    ],
)
def test_each_tag_is_read_in_all_its_forms(form: str) -> None:
    wrapped = f"{NILE}\n</output>" if form.endswith("<output>") else NILE
    assert parted(form.format("It is long.") + wrapped) == Parted(NILE, "It is long.")


@each("name", ["answer", "response", "output", "solution", "final", "final_answer", "conclusion"])
def test_an_answer_in_an_element_of_its_own_after_thinking_is_without_it(name: str) -> None:
    for tag in ("think", "reasoning", "Thought", "scratchpad"):
        text = f"<{tag}>\na\n</{tag}>\n<{name}>\n{NILE}\n</{name}>"
        assert parted(text) == Parted(NILE, "a")


@each(
    "answer",
    [
        *(f"<section>{NILE}</section>", "<speak>a</speak>", "<result>4</result>", f"<p>{NILE}</p>"),
        *(f"# Rivers\n\n{NILE}", "<rivers>\n<river>Nile</river>\n<river>Po</river>\n</rivers>"),
    ],
)
@each("name", ["thoughts", "thought", "reasoning", "scratchpad"])
def test_what_follows_thinking_by_a_common_name_stays_as_it_is(name: str, answer: str) -> None:
    assert parted(f"<{name}>a</{name}>\n{answer}") == Parted(answer, "a")


@each(
    "rest",
    [
        "\n<confidence>0.9</confidence>\n<label>yes</label>",
        "<speech>Hi.</speech>\n<thought>b</thought>\n<speech>Bye.</speech>",
        "\n<river>Nile</river>\n<river>Po</river>\n\nThese are two.",
        "\n<label>yes</label>",
        "<verdict>no</verdict>",
        "\n<score>8</score>\n",
    ],
)
@each("name", ["thoughts", "thought", "reasoning", "reflection", "analysis", "scratchpad"])
def test_an_element_by_a_common_name_before_several_is_a_part_of_xml(name: str, rest: str) -> None:
    text = f"<{name}>a</{name}>{rest}"
    assert parted(text) == Parted(text)
    assert parted(f"<think>b</think>\n{text}") == Parted(text, "b")
    assert parted(f"<think>a</think>{rest}").reasoning == "a"


@each("name", ["thoughts", "reasoning"])
def test_an_element_by_a_common_name_that_begins_with_another_is_xml(name: str) -> None:
    text = f'<{name}>\n  <thought author="Bo">a</thought>\n</{name}>\n\nIt has one.'
    assert parted(text) == Parted(text)


@each(
    ("inner", "is_xml"),
    [("<status>ok</status>\n<id>1</id>", True), (f"<b>{NILE}</b>", False), (NILE, False)],
)
@each("name", ["answer", "response", "output"])
@each("end", ["", "<|im_end|>", "</s>", "\n<|endoftext|>", "<｜hy_eos｜>"])
def test_an_element_around_an_answer_is_taken_off_before_marks_too_but_none_of_xml(
    end: str, name: str, inner: str, is_xml: bool
) -> None:
    wrapped = f"<{name}>\n{inner}\n</{name}>"
    assert parted(f"<think>a</think>\n{wrapped}{end}") == Parted(wrapped if is_xml else inner, "a")


@each(
    ("thinking", "answer"),
    [
        ("I use\n```py\nx = 1", "So:\n```py\nprint(x)\n```"),
        ("I use\n~~~\nx", "So:\n~~~\nprint(x)\n~~~"),
        ("There is <pre> for it.", "It is this:\n<pre>x</pre>"),
        ("There is <code> for it.", "Use <code>x</code>."),
        ("It begins with <!-- then.", "Write:\n<!-- x -->"),
    ],
)
def test_code_that_unopened_thinking_leaves_open_does_not_hide_its_end(
    thinking: str, answer: str
) -> None:
    assert parted(f"{thinking}\n</think>\n\n{answer}") == Parted(answer, thinking)
    shown = f"{answer}\n\n```\n</think>\n```\n\nis its end."
    assert parted(shown) == Parted(shown)


@each("answer", ["Париж — столица.", "巴黎是首都。", "París es la capital.", "Yes.", "it is."])
@each("thought", ["Нужен ответ.", "用户在问。", "¿Qué pide?", "T", "ok, a city.", "“We answer.”"])
def test_stripped_channels_are_found_in_any_script(thought: str, answer: str) -> None:
    assert parted(f"analysis{thought}assistantfinal{answer}") == Parted(answer, thought)


@each(
    "answer", ['{"river": "Nile"}', "[[7]]", '["a"]', "(B) the Nile", ".NET it is.", "=SUM(A1:A3)"]
)
@each("begin", ["analysis", "analysis ", "assistantanalysis", "commentary", "analysis: "])
def test_stripped_thinking_ends_before_an_answer_that_looks_like_code(
    begin: str, answer: str
) -> None:
    for thought in ("We need it.", "OK, this (long) one: f(x).", "Use assistantfinal(x) here."):
        assert parted(f"{begin}{thought}assistantfinal{answer}") == Parted(answer, thought)


@each("answer", ['{"a": 1}', '{\n  "a": 1}', "{}", "[[7]]", "[1, 2]", '["a"]', "[{}]"])
def test_json_after_a_stripped_mark_alone_is_the_answer(answer: str) -> None:
    assert parted(f"assistantfinal{answer}") == Parted(answer)
    assert parted(f"JSON is asked for.assistantfinal{answer}").leaked == "assistantfinal"


@each(
    "text",
    [
        *("Marker: assistantfinal\nIt splits.", "- analysis\n- assistantfinal\n- other"),
        *("1. assistantfinal\n2. Strip it.", "MARK=assistantfinal\n# It splits."),
        *("sed 's/.*assistantfinal//' log.txt", "awk -F'assistantfinal' '{print $2}' log.txt"),
        *("| assistantfinal | end |\n|---|---|\n| a | b |", "See assistantfinal -> it ends."),
        *("assistantfinal is left of marks.", "## assistantfinal\n\nIt is left of marks."),
        *("A line such as assistantfinalHello has it.", "*assistantfinal* is left of marks."),
        *("Find:\n\nassistantfinal\n\nIt ends.", "a|assistantfinal|b", "It is assistantfinal"),
    ],
)
def test_what_follows_a_stripped_mark_that_is_shown_is_no_answer(text: str) -> None:
    assert parted(text) == Parted(text, leaked="assistantfinal")


@each(
    "thought",
    ["We think.", "OK. ", "So: Nile", 'Say "Nile".', "Say “Nile”", "Say *Nile*", "It is:\n- a\n"],
)
@each(
    "answer",
    ["The Nile.", "**Nile**", "“Nile”", '"Nile"', "- a\n- b", "1. a", "# a", "| a |\n|---|", "%"],
)
def test_a_stripped_mark_that_ends_unopened_thinking_begins_the_answer(
    thought: str, answer: str
) -> None:
    assert parted(f"{thought}assistantfinal{answer}") == Parted(answer, thought.strip())


def test_a_stripped_mark_that_thinking_names_does_not_end_it() -> None:
    found = parted(f"analysisThe word 'assistantfinal' is left.assistantfinal{NILE}")
    assert found == Parted(NILE, "The word 'assistantfinal' is left.")


@each("answer", ["(B) the Nile", ".NET it is", "(see below)"])
def test_a_stripped_mark_that_may_be_a_name_in_code_makes_an_answer_useless(answer: str) -> None:
    assert parted(f"assistantfinal{answer}").leaked == "assistantfinal"


def test_stripped_channels_with_spaces_between_them_are_read() -> None:
    assert parted(f"analysis We need it. assistant final {NILE}") == Parted(NILE, "We need it.")
    plain = "analysis of it is due. The assistant final is hard."
    assert parted(plain) == Parted(plain)


@each(
    "answer",
    [
        *("Oslo is the capital.", "The Nile is long.", "Yes.", "42", "**Oslo**", "Oslo", "NASA"),
        *("I'm glad", "1. Salt\n2. Oil", "- a\n- b", "`x`", "```py\nx\n```", '{"a": 1}', "[[A]]"),
        *(
            "(B) Oslo",
            "\\boxed{4}",
            "$4$",
            "巴黎",
            "Да.",
            "École",
            "<p>Oslo</p>",
            "“Hm.”",
            ".NET is",
        ),
        *("Oslo (Norway)", "| a | b |", "# Oslo", "Trees are tall.", "JavaScript is one."),
    ],
)
def test_an_answer_glued_to_the_word_final_cannot_be_used(answer: str) -> None:
    assert parted(f"final{answer}").leaked == "final"


@each(
    "text",
    [
        *("finalPrice = 3", "finalPrice", "finalize it", "final answers are due", "final: 42"),
        *("finalPrice gives the price after tax.", "finalScore is the variable to print."),
        *("final[0] is the first.", "final[i] = 3", "final2.txt", "finalX and finalY are set."),
        *("finalPrice and basePrice are the fields.", "finalWord(x)", "finalWord.upper()"),
        *("finalists", "finalística", "final-year students", "finalUserScore is it", "final1 = 2"),
        *("finalTotal += 1", "finalX holds it, and finalX is set later.", "final, then", "finally"),
    ],
)
def test_a_name_or_a_word_that_begins_with_final_stays_as_it_is(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "text", ["analysis\nsynthesis\nfinal\nresult", "analysis\nend\nfinal\nlast\n\nThese are words."]
)
def test_a_list_of_words_is_no_channel(text: str) -> None:
    assert parted(text) == Parted(text)
    assert parted(text.replace("\nfinal", "\nIt is asked.\nfinal")).reasoning


def test_a_fence_that_thinking_leaves_open_does_not_hide_its_end() -> None:
    code = "```py\nprint(1)\n```\nDone."
    assert parted(f"<think>\nuse\n```py\nx\n</think>\n{code}") == Parted(code, "use\n```py\nx")


def test_a_block_on_lines_of_its_own_between_paragraphs_is_thinking_too() -> None:
    found = parted("<think>a</think>\nOne.\n\n<think>\nb\n</think>\n\nTwo.")
    assert found == Parted("One.\n\nTwo.", "a\n\nb")


@each(
    "text",
    [
        f"Sure!\n<think>a</think>\n{NILE}",
        "[THOUGHT]The user asks for a river.",
        f"[REASONING]It is long.\n\n{NILE}",
        f"Sure! <think>a</think> {NILE}",
        f"Sure! <think> a </think> {NILE}",
        f"{NILE}\n<think>was this right?</think>",
        f"<think> the river is meant </think> it is the Nile. {NILE}",
        f"Okay. <think> we need a river </think> {NILE}",
        f"{NILE}\n<think>was this right?",
        f"{NILE}\n</think>\n<think>a</think> {NILE}</think>",
        f"Okay, so </think> {NILE}",
        f"{NILE} [THINK]a[/THINK] {NILE}",
        "The closing tag is:\n\n</think>\n\nIt has a line of its own.",
        f"It writes this:\n\n<think>\na\n</think>\n\n{NILE}",
        f"<think>a</think>It writes this:\n\n<think>\na\n</think>\n\n{NILE}",
        f"One.\n\n<think>\na\n</think>\n\n{NILE}",
        f"<think> opens it and </think>{NILE}",
        f"<think>a</think>\n{NILE}</answer>",
        "<think>a</think>\n<answer>\n<river>Nile</river>",
        f"&lt;think&gt;a&lt;/think&gt;{NILE}",
        f"a\n&lt;/think&gt;\n\n{NILE}",
        f'{NILE}\n<details type="reasoning" done="true">\na\n</details>',
        f'{{"answer": "<think>a</think>{NILE}"}}',
        f"x = ['a</think>\\n', '{NILE}']",
    ],
)
def test_an_answer_with_thinking_at_no_sure_place_cannot_be_used(text: str) -> None:
    assert parted(text).leaked


@each(
    "text",
    [
        '<tool_call>\n{"name": "f"}\n</tool_call>',
        'I look.\n<tool_call>{"name": "f"}</tool_call>',
        '<think>a</think>\n<tool_call>\n{"name": "f"}\n</tool_call>',
        "<longcat_tool_call>f</longcat_tool_call>",
        "<function=f>{}</function>",
        '<|python_tag|>f.call(x="y")',
        '[TOOL_CALLS][{"name": "f"}]',
        "[TOOL_CALLS]f[ARGS]{}",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f",
        "I look.<|tool_calls_section_begin|><|tool_call_begin|>f",
        '<|tool_call|>[{"name": "f"}]',
        "<|tool_call_start|>[f()]<|tool_call_end|>",
        '<function_calls>\n<invoke name="f">',
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
    ],
)
def test_the_call_of_a_tool_written_as_text_is_found_and_kept(text: str) -> None:
    found = parted(text)
    assert found.calls and found.leaked and found.text in text and found.text


@each(
    "text",
    [
        "<think>\nOn and on",
        "<think>a</think><think>b",
        "[THINK]a",
        "◁think▷a",
        "<|channel|>analysis<|message|>a",
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant",
        "<|channel>thought\na",
        "analysisWe need a river",
        "<think> and on and on",
        '<details type="reasoning" done="false">\n> a',
        "<analysis>\nOn and on",
        "[THINK]\nOn and on",
        "[THINKING]\nOn and on",
        '<think duration="5">\nOn and on',
        "<unused94>thought\nOn and on",
        "<|begin_of_think|>On and on",
        "<｜begin▁of▁thinking｜>On and on",
        "<|thought_start|>On and on",
        "<|scratchpad|>On and on",
        "<|im_start|>think\nOn and on",
        "Here are my reasoning steps:\nOn and on",
        "Here is my thought process:\nOn and on",
        "<think>The user asks what </think> does. I should say that it ends the thought.",
        "<think>\nThe tag </think> ends it, and then the answer comes. I should say so.",
        "[THINK]They ask about [/THINK], and its use. I should say that",
    ],
)
def test_thinking_that_never_ends_leaves_no_answer(text: str) -> None:
    found = parted(text)
    assert found.unfinished and found.text == "" and found.reasoning


@each(
    ("text", "reasoning"),
    [
        (
            "<|channel|>analysis<|message|>A river.<|end|><|start|>assistant<|channel|>final"
            f"<|message|>{NILE}<|return|>",
            "A river.",
        ),
        (f"<|start|>assistant<|channel|>final<|message|>{NILE}", None),
        (f"analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>{NILE}", "a"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
            f"<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>{NILE}",
            "a\n\nb",
        ),
        (f"<|channel|>analysis<|message|>a<|channel|>final <|constrain|>x<|message|>{NILE}", "a"),
        (f"analysisA river it is.assistantfinal{NILE}", "A river it is."),
        (f"A river. <|end|><|start|>assistant<|channel|>final<|message|>{NILE}", "A river."),
        (f"analysisWe think.assistantcommentaryb assistantfinal{NILE}", "We think.\n\nb"),
    ],
)
def test_of_the_channels_only_the_last_is_the_answer(text: str, reasoning: str | None) -> None:
    assert parted(text) == Parted(NILE, reasoning)


MARKS = [
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>"),
    *(
        "</s>",
        "<eos>",
        "<end_of_turn>",
        "<turn|>",
        "<｜end▁of▁sentence｜>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    *("[/INST]", "<|return|>", "<|assistant|>", "<|user|>", "<start_of_turn>", "<|fim_pad|>"),
    *("<|im_end|>\n<|im_start|>", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
    *("<EOS>", "<end_of_utterance>", "<seed:eos>", "<im_end>", "<0x0A>", "<extra_id_1>"),
    *("<eot_id>", "<eom>", "[EOS]", "<SPECIAL_12>", "<reserved_7>", "</S>", "<end_of_sentence>"),
    *("</s></s>\n", "[UNUSED_TOKEN_145]", "<</SYS>>", "<|im_end|>\n<|im_start|>user\n"),
]


@each("mark", MARKS)
def test_an_answer_is_cut_at_a_mark_and_cannot_be_used_if_more_follows(mark: str) -> None:
    assert parted(f"{NILE}{mark}") == parted(f"{NILE}\n{mark}\n") == Parted(NILE)
    followed = f"{NILE}{mark}And the Amazon?"
    found = parted(followed)
    assert found.text == followed and found.leaked and found.leaked in mark


@each(
    "text",
    [
        f"<|im_start|>assistant\n{NILE}",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{NILE}",
        f"<s>[/INST] {NILE}</s>",
        f"<bos><start_of_turn>model\n{NILE}<end_of_turn>",
        f"<｜Assistant｜>{NILE}",
        f"assistant\n\n{NILE}",
        f"assistant\n{NILE}",
        f"### Response:\n{NILE}",
        f"{NILE}<|im_end",
        f"{NILE}<|im_end|",
        f"{NILE}\n<|",
    ],
)
def test_marks_that_begin_an_answer_are_no_part_of_it(text: str) -> None:
    assert parted(text) == Parted(NILE)


@each(
    "text",
    [
        f"<|im_end|>\n{NILE}",
        f"<|im_start|>user\n{NILE}",
        f"<|start_header_id|>system<|end_header_id|>\n\n{NILE}",
        f"{NILE}assistant\n\nAnd the Amazon.",
        f"[INST] And? [/INST] {NILE}",
        f"{NILE}\nuser\nAnd?\nassistant\nThe Amazon.",
        f"{NILE}user\nAnd?",
        f"{NILE}\n\nHuman: And?\n\nAssistant: The Amazon.",
        f"{NILE}\n\nUser: And?\n\nAssistant: The Amazon.",
        f"{NILE}\n\n### Instruction:\nAnd?",
        f"{NILE}<extra_id_1>User\nAnd?",
        "▁The▁Nile",
    ],
)
def test_another_turn_in_an_answer_is_found(text: str) -> None:
    assert parted(text).leaked


@each(
    "text",
    [
        NILE,
        "",
        "  \n",
        " continues a text, white space kept \n",
        "Write `<think>` before and `</think>` after it.",
        "Write ``<|im_end|>`` at the end of a turn.",
        "```xml\n<think>\na\n</think>\n```\nis what it writes.",
        "~~~\n<|im_start|>user\n~~~\nis a header.",
        "```\nfor ever</s>\n```",
        "<pre>a</s></pre> and <code>[INST]</code> are marks.",
        "Models of this kind put <think> and </think> around it.",
        'The tag "</think>" ends it.',
        "The </think> tag ends it.",
        "They begin with <think> and think.\nThen they answer.",
        "<s>10</s> 8 euro",
        "x <| f |> y, a<b>c and [1]: <http://a.b/c>",
        "analysis of the data shows a rise",
        "The assistant was final.",
        "I [INSTALL] it; <user> is a name; <end>",
        '{"critique": "Plain.", "score": 7}',
        "<note>\n<thought>\nbuy milk\n</thought>\n</note>",
        "<note><thought>buy milk</thought></note>",
        "It is '</s>', “<eos>” or «<|im_end|>».",
        "So:\n\n    <|im_start|>user\n    Hi<|im_end|>\n\nThat is a turn.",
        "The token <pad> fills up, <unk> is unknown, [SEP] separates.",
        "Models think between <think> and </think>, then answer.",
        "<think> and </think> tags delimit what it thinks; strip them.",
        "<think> and </think>",
        "<think> tags are what it writes first.",
        "<think> … </think> blocks hold what it thinks.",
        "[THINK] and [/THINK] are Mistral's.",
        "It puts **<think>** and **</think>** around it.",
        "Tags:\n- <think>: begins\n- </think>: ends",
        "| tag | use |\n|---|---|\n| <think> | begins |\n| </think> | ends |",
        "To parse it, split at </think> and keep the second part.",
        "Split the text at the last </think>",
        "> <think>\n> a\n> </think>\n\nis the form.",
        "<!-- <think> --> is a comment.",
        "<analysis>It is sad.</analysis>\n<verdict>negative</verdict>",
        "<verdict>no</verdict>\n<reasoning>\nIt is sad.\n</reasoning>",
        "<analysis>\n<step>one</step>\n</analysis>",
        "`<tool_call>` begins a call; <tool_call> too.",
        "User: Hi.\n\nAssistant: Hello.\n\nUser: Bye.",
        "Here it is:\n\nUser: Hi.\n\nBye.",
        "The file\nuser\nis read.",
        "Bars: ▁▂▃",
        "analysisResult",
        "analysisResult = f(x)\nprint(analysisResult)",
        "analysisOptions: {\n  depth: 2\n}",
        "The word assistantfinal is left of two marks.",
        *("The word 'assistantfinal' is left.", 'It is "assistantfinal".'),
        *("Das Wort „assistantfinal“ bleibt.", "「assistantfinal」という語。"),
        *("“assistantfinal” is left of two marks.", "It is 'assistantfinal'."),
        "<b>assistantfinal</b> is left of two marks.",
        "[Thinking](https://a.org/thinking) is a page.",
        "See [Think](https://a.org/t) and [[Thinking]].",
        "[REASONING](https://a.org/r) is a page.",
        "[REASONING]\nIt is long.\n\n[ANSWER]\nThe Nile.",
        "[THOUGHT]: it is long.",
        "[thinking] Well, that is hard. [smiles] Oslo?",
        "ANN: [Thinking] Who was it?\nBO: [thinking] Not me.",
        "[thinking]\nWho was it?",
        "The tag for it is: <think>",
        "At its end the model writes </think>.",
        "A thought ends with </think>",
        "```py\nx = y.split('</think>')\n```\n\nIt keeps what follows </think>.",
        "模型把推理放在<think>和</think>标签之间。",
        "R1は<think>タグの中で考えます。",
        "모델은 <think> 태그 안에서 생각합니다.",
        "Das Modell denkt zwischen <think> und </think> nach.",
        "Elle pense entre les balises <think> et </think>, puis répond.",
        "<details>\n<summary>Steps</summary>\nx\n</details>\nDone.",
        "```python\nthinking = 1\n```\nsets it.",
        "The tags:\n\n    </think>\n\nis one.",
        "[THINK]\nWhat is it?\n\n[PAIR]\nTell another.",
        "<!-- thinking of you -->\n<p>Hi</p>",
        "<details><summary>My thoughts on it</summary>Long.</details>\n\nMore.",
        "<details>\n<summary>Reasoning</summary>\n\na\n\n</details>\n\nMore.",
        "<details><summary>Thoughts</summary>Long.</details>\n\nMore.",
        "<details open>\n<summary>Thought process</summary>\nLong.\n</details>\nMore.",
        "Here are my reasoning steps:\n\n1. Add.\n2. Divide.",
        "Here is my thought process: add, then divide.",
        "[THINKING]\nWho was it?\n\n[DOING]\nRow.",
        'It is written <think time="3"> there.',
        "The <unused94> token is free.",
        "<unused94> and <unused95> are free tokens.",
        "<no_think> is a tag.",
        "<think_on> is the switch.",
        "&lt;think&gt; begins it and &lt;/think&gt; ends it.",
    ],
)
def test_what_an_answer_is_about_stays_as_it_is(text: str) -> None:
    assert parted(text) == Parted(text)


CLOSING = [
    *(
        "</think>",
        "</thinking>",
        "[/THINK]",
        "◁/think▷",
        "<channel|>",
        "</reasoning>",
        "</thought>",
    ),
    "[BEGIN FINAL RESPONSE]",
]


@each("mark", CLOSING)
@each(
    "text",
    [
        *(
            "R1 closes it with **{}**",
            "Look for the last one ({})",
            "Cut it at the tag [{}].",
            "“{}”",
        ),
        *(
            "Its end is *{}*, in R1.",
            "It ends with <b>{}</b>",
            "It closes with: **{}**\n\nThen stop.",
        ),
        *(
            "<table><tr><td>end</td><td>{}</td></tr></table>",
            "<ul>\n<li>{}</li>\n</ul>\nThat is it.",
        ),
        *('"{}" ends what it thinks.', "({}) ends it. Then it answers.", "«{}» ends it."),
    ],
)
def test_a_closing_mark_that_is_wrapped_is_what_the_answer_is_about(text: str, mark: str) -> None:
    shown = text.format(mark)
    assert parted(shown)._replace(leaked=None) == Parted(shown)
    assert parted(shown).leaked in (None, "<channel|>")  # of a template, too


@each("mark", CLOSING)
@each(
    "text",
    [
        *(
            "Stop at these:\n\n- {}\n- </answer>\n\nNo more.",
            "In order:\n\n1. {}\n2. </answer>\n\nSo.",
        ),
        *("## {}\n\nIt ends what it thinks.", "Which one is it?\n\nAnswer: {}", "{} → answer. So."),
        *("It thinks → {} → it answers.", "**{}**\n\nends what it thinks.", "It is this: {}"),
        *("The last token is {}\n\nIt ends it.", "- **{}**\n- </answer>\n\nNo more.", "x = 1 {},"),
        *("It closes with {}.", "It closes with{}**", "{} ends it.", "One.\n\n{}\n)."),
    ],
)
def test_what_follows_a_closing_mark_that_is_shown_is_no_answer(text: str, mark: str) -> None:
    shown = text.format(mark)
    found = parted(shown)
    assert found.leaked or found.text in (shown, ""), found


@each(
    "thought",
    ["It is (see b).", "So **a**", 'He says "a"', "- a\n- b", "Write it:", "(B)", "x = 5"],
)
@each(
    "answer", ["**a** is it.", "(B) it is", '"a" he said', "- a\n- b", "1. a", "42", "# a", "“a”"]
)
def test_signs_around_an_end_of_thinking_are_not_around_its_mark(thought: str, answer: str) -> None:
    for end in ("</think>", "</think>\n\n"):
        assert parted(f"{thought}{end}{answer}") == Parted(answer, thought)


@each("sign", [*"✅☕+-*/%<=€π→", "❤️", "👍🏽", "1️⃣", "[]", "{}", "()"])
def test_a_sign_alone_is_an_answer_after_thinking(sign: str) -> None:
    for before in ("<think>a</think>\n\n", "Which sign is it?\n</think>\n\n"):
        assert parted(before + sign).text == sign
        assert parted(before + sign).leaked is None


@each("mark", CLOSING)
@each(
    "text",
    [
        *("1. Find {}\n2. Drop all before it", "2) Find {}\n\n3) Drop all before it\n4) Strip"),
        *("- Find {}\n- Drop all before it", "* Find {}\n* Drop it"),
        "Step 1: Find {}\nStep 2: Drop it",
    ],
)
def test_a_mark_that_ends_an_item_before_the_next_ends_no_thinking(text: str, mark: str) -> None:
    assert parted(text.format(mark)).leaked


@each("thought", ["1. Look.\n2. Answer it.", "- Look.\n- Answer it."])
@each("answer", ["\n1. Nile\n2. Congo", "\n\n- Nile\n- Congo", "\n- Nile"])
def test_thinking_that_ends_with_an_item_ends_before_another_list(
    thought: str, answer: str
) -> None:
    found = parted(f"{thought}</think>{answer}")
    assert found == Parted(answer.strip("\n"), thought)


@each("left", ["**", ")", "].", "...", "*_", "`", "```", "</"])
def test_punctuation_alone_is_no_answer_after_thinking(left: str) -> None:
    assert parted(f"<think>a</think>{left}").leaked == left
    assert parted(f"a.assistantfinal{left}").leaked
    assert parted("<think>a</think>\U0001f600").text == "\U0001f600"


@each(
    "text",
    [
        *(
            "<think> → </think> → answer. That is it.",
            "<think>タグは思考の始まりです。",
            "<think>标签表示开始。",
        ),
        *("<think> vs <thinking>: the first is R1's.", "<think> or <thought> begins it."),
        *("<think> -> </think> -> answer", "<think> etiketi başlatır."),
        *(
            "Here's my thought process:\nFirst I look at the roof.",
            "Here’s my thought process:\n- a",
        ),
        "<!-- thinking: keep it simple -->\n<p>Hi</p>",
        "<!-- reasoning: one column -->\n<!DOCTYPE html>\n<html></html>",
    ],
)
def test_a_begin_of_thinking_that_an_answer_is_about_stays(text: str) -> None:
    assert parted(text) == Parted(text)


@each("begin", ["Here's my thought process:", "Here is my thought process:"])
@each(
    "thought", ["\nThe user asks for a river.", "\n\nWe see what the question is.", "\nX is asked."]
)
def test_phrased_thinking_about_the_task_that_never_ends_is_no_answer(
    begin: str, thought: str
) -> None:
    assert parted(begin + thought).unfinished


def test_xml_after_thinking_is_the_answer_as_it_is() -> None:
    xml = "<reasoning>a</reasoning>\n<verdict>b</verdict>"
    assert parted(f"<think>c</think>\n{xml}") == Parted(xml, "c")
    html = f"{NILE} It is <b>long</b>."
    assert parted(f"<thought>c</thought>\n{html}") == Parted(html, "c")


def test_a_mark_after_code_is_cut_as_any_other() -> None:
    code = "```py\nprint('<|im_end|>')\n```"
    assert parted(f"{code}<|im_end|>") == Parted(code)
    assert parted("```py\nprint(1)<|im_end|>") == Parted("```py\nprint(1)")


@each("before", ["<think>a</think>\n\n", "a\n</think>\n\n", "[THINK]a[/THINK]\n", "<no_think>\n"])
def test_the_indentation_of_the_first_line_after_thinking_stays(before: str) -> None:
    for code in ("    x = 1\n    y = 2", "\tx = 1", "  - a\n  - b"):
        assert parted(before + code).text == code
    assert parted(f"{before.rstrip()} {NILE}").text == NILE


PIECES = ["<think>", "</think>", "<|im_end|>", "</s>", "`", "```", "\n", " ", "a", "assistant"]
PIECES += ["<thought>", "<b>", "[THINK]", "<unused94>", "<answer>", "</answer>", "[PAD]", "    x"]
PIECES += ["<|channel|>", "final", "analysis", "<|message|>", "<|start|>", "user", "<code>", "<s>"]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_parted_and_nothing_is_added_to_it(text: str) -> None:
    found = parted(text)
    assert not (found.unfinished and found.text)
    if found.leaked or found == Parted(text):
        assert found.text in text
    else:
        assert len(found.text) < len(text)


@pytest.mark.parametrize(
    "part",
    [
        *("<think>", "<think></think>", "<code>", "`<|x|>` ", "</think> x", "<|im_end|>\n", "a `"),
        *("<|", "<s>", "analysis", "<|channel|>analysis<|message|>x", "<|start|>", "<think>\n"),
        *(
            "\t \n<",
            "assistantcommentary",
            "\n\n    ",
            "</a>",
            "<a>",
            '"<a> ',
            "is <|x|>",
            "\nUser: ",
        ),
        *("\nUser: ", "\n<think>\n", "the <pad> is ", "a.user\n\nb", "<think>`", "x\n### "),
        *(
            "\n> <think>",
            "at the </think> ",
            '="<a',
            "<s>a\n",
            "x\n- <pad>: y",
            "\nHuman: a\nRobot: b",
            "[think]a",
            "\\<think\\>",
            "assistantfinal is",
            "\n```\n</think>\n",
            "<pad>, ",
            ".user\n\nb",
            "\n### User: a",
            "::= <eos>\n",
            "x.[PAD]",
            "[THINK]\n",
        ),
    ],
)
def test_two_megabytes_of_one_sign_take_seconds_at_most(part: str) -> None:
    begin = "analysisX" if part.startswith("assistant") else ""
    text = begin + part * (2_000_000 // len(part))
    began = time.process_time()
    parted(text)
    assert time.process_time() - began < 3.0
