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
        "<sentence> ::= <noun> <verb> <eos>",
        "<program> ::= <eos>",
        "The type is List<s>",
        "Write C<e> for an e and C<s>",
        "The roles are <role>HUMAN</role> and <role>SYSTEM</role> here.",
        "<user>\n  <role>SYSTEM</role>\n  <name>Bo</name>\n</user>",
        "<assistant>Hello.</assistant>",
        'Hi.\n\n<assistant id="1">Hello.</assistant>',
        "Dear [USER], please wait. [BOT] answers soon.",
        "A call is <tool_call>name</tool_call> in it.",
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
        "The pipe is<|",
        "It ends with </s></s>",
        "Answer: </s>",
        f"{NILE}[|endofturn|]\n[|user|]And?",
        f"[|user|]And? {NILE}",
        f"{NILE}<s>And the Amazon?</s>",
        f"{NILE}<role>HUMAN</role>And?<role>ASSISTANT</role>The Amazon.",
        f"{NILE}\n<role>HUMAN</role>And?",
        "It is clear. [[8]]<role>HUMAN</role>[[1]]",
        f"<role>HUMAN</role>And? {NILE}",
        f"{NILE}<用户>And?<AI>The Amazon.",
        f"{NILE}[|Human|]:And?[|AI|]:The Amazon.",
        f"[|Human|]:And? {NILE}",
        f"{NILE}[USER]And?[SEP][BOT]The Amazon.",
        f"{NILE}\n]~b]user\nAnd?",
        f"<extra_id_1>User\nAnd? {NILE}",
        "The word for it is written <unk>",
        "Split the file at <|endoftext|>",
        "Append to each row </s>",
        "The list ends in [EOS]",
        f"{NILE}<_user>And?<_bot>The Amazon.",
        "Oslo <eos>",
        "<|begin_of_reasoning_trace|>We need a river.",
        "assistant\nHelper\nAide",
        "assistant\nGehilfe\nHelfer\nStütze\n",
        "assistant\n1. A person who helps.",
        "assistant\n1) Someone who helps.",
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
        (f"{NILE}<eoc>", NILE),
        (f"{NILE}[PAD][PAD]\n", NILE),
        (f"{NILE}[SEP]", NILE),
        (f"{NILE}[EOT]", NILE),
        (f"{NILE}</assistant>", NILE),
        (f"{NILE}[END FINAL RESPONSE]", NILE),
        (f"<|start_of_role|>assistant<|end_of_role|>{NILE}<|end_of_text|>", NILE),
        (f"<role>ASSISTANT</role>{NILE}<|role_end|>", NILE),
        (f"]~b]ai\n{NILE}[e~[", NILE),
        (f"]~!b[]~b]ai\n{NILE}", NILE),
        (f"<extra_id_1>Assistant\n{NILE}\n<extra_id_1>", NILE),
        (f"[|AI|]:{NILE}", NILE),
        (f"<_bot>{NILE}<_end>", NILE),
        ("x = f(1) </s>", "x = f(1)"),
        ("| a | b | </s>", "| a | b |"),
        (f"<|Bot|>:{NILE}<eoa>", NILE),
        (f"<|im_start|>ASSISTANT\n{NILE}", NILE),
        ("<|im_start|>assistant\n\n    x = 1\n    y = 2<|im_end|>", "    x = 1\n    y = 2"),
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
        *(
            "<worker>\n  <tool_use>hammer</tool_use>\n</worker>",
            "<a>\n<tool_code>x1</tool_code>\n</a>",
        ),
        '<target name="x">\n<invoke name="y"/>\n</target>',
        '<rule>\n<action>\n{"name": "allow"}\n</action>\n</rule>',
        "<shop>\n<tools>\n<tool>saw</tool>\n</tools>\n</shop>",
    ],
)
def test_an_element_by_the_name_of_a_call_inside_another_is_of_the_xml(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    "text",
    [
        '<plan>\n<tool_use>{"name": "f", "input": {}}</tool_use>\n</plan>',
        '<x>\n<invoke name="f"><parameter name="a">1</parameter></invoke>\n</x>',
        '<answer>\n<tool_use>{"name": "f"}</tool_use>\n</answer>',
        '<step>\n<invoke name="f">\n</invoke>\n</step>',
        "<x>\n<function=f>{}</function>\n</x>",
        '<x>\n<tool_call>{"name": "f"}</tool_call>\n</x>',
    ],
)
def test_a_call_with_arguments_inside_an_element_is_a_call(text: str) -> None:
    assert parted(text).calls


@each(
    "text",
    [
        *(
            're.compile(r"(?P<pad> *)(?P<sep>-)(?P<eos>x)")',
            "s.match(/(?<sep>-)x/)",
            "a (?<eos>x) b",
        ),
        *("git show <s>..<e>", "git log <bos>...<eos>", "usage: cut <s> <eos> [file]\nIt cuts."),
        *('{"text": "Hi<|im_end|>", "n": 1}', '[{"a": "b </s>"}, {"a": "say \\"x\\" <eos>"}]'),
        *('x = "Hello<|im_end|>"\nprint(x)', 'console.log("a<|im_end|>");', "f('a<pad>b', 1)"),
        *(
            "def f(m):\n    return f\"<|im_start|>{m['r']} {m['c']}<|im_end|> \"\n\nprint(f)",
            'x = f"Q: {q}<think>"\nprint(x)',
            '{"text": "<s>[INST] a [/INST] b </s>"}\n{"text": "b"}',
        ),
        'x = """<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n"""\nprint(x)',
        "x = \x27\x27\x27\n<s>[INST] {q} [/INST]\n\x27\x27\x27",
        *(
            "Press <kbd></s></kbd> now.",
            "<p>It is <samp><|im_end|></samp>.</p>",
            "<tt><pad></tt> is",
        ),
        "<textarea>\n<|im_start|>user\nHi<|im_end|>\n</textarea>\nIs it.",
        *(
            "It is \\texttt{<|im_end|>} there.",
            "Here \\verb|</s>| ends. So.",
            "\\verb+<|im_end|>+ ends",
        ),
        "\\begin{verbatim}\n<|im_start|>user\nHi<|im_end|>\n\\end{verbatim}\nSo it is.",
        "\\begin{lstlisting}\na</s>b\n\\end{lstlisting}",
        *(
            "token,id\n<|im_start|>,1\n<|im_end|>,2\nThat is it.",
            "token\tid\n<s>\t1\n</s>\t2\n<unk>\t0",
        ),
        *(
            "id,token\n0,<unk>\n1,<s>\n2,</s>",
            "token;use\n<s>;begins it\n</s>;ends it",
            "1,<s>,a\n2,</s>,b",
        ),
        *("eos_token: <|im_end|>\nbos_token: <|im_start|>\nn: 1", "STOP=<|im_end|>\nMODEL=qwen"),
        "FROM x\nPARAMETER stop <|im_end|>\nPARAMETER top_k 3",
    ],
)
def test_a_mark_in_code_without_a_fence_is_what_the_answer_is_about(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    ("text", "answer"),
    [
        *(
            ('{"a": "x"}<|im_end|>', '{"a": "x"}'),
            ("id,name\n1,Ann\n2,Bob</s>", "id,name\n1,Ann\n2,Bob"),
        ),
        *(("<kbd>x</kbd><|im_end|>", "<kbd>x</kbd>"), ("\\boxed{4}<eos>", "\\boxed{4}")),
        *(('x = """a"""\n</s>', 'x = """a"""'), ("stop=3\nn=4<|im_end|>", "stop=3\nn=4")),
        ('use """\n</think>\n\nx = """a"""', 'x = """a"""'),
    ],
)
def test_a_mark_behind_code_without_a_fence_still_ends_it(text: str, answer: str) -> None:
    assert parted(text).text == answer and not parted(text).leaked


@each(
    "text",
    [
        *(
            '{"a": "hm</think>x"}',
            '{"a": "hm</think>"}',
            '{"a": "hm [/THINK] x"}',
            '{"a": "◁/think▷ x"}',
        ),
        *(
            '{"a": "b<|end_of_thought|>c"}',
            "{'a': 'b</think> c'}",
            '{"a": "b<｜end▁of▁thinking｜>c"}',
        ),
        *(
            'print("a")<|im_end|>\n<|im_start|>user\nprint("b")',
            "\\text{a</think>}b",
            "1,a\n2,<s>,b\n3,c",
        ),
        *("Stop: <|im_end|>\n<|im_start|>user\nHi", 'He: "Go.<|im_end|>\n<|im_start|>user\n"And"?'),
    ],
)
def test_a_mark_that_code_does_not_hold_makes_an_answer_useless(text: str) -> None:
    assert parted(text).leaked


@each(
    "text",
    [
        'I look. <tool_call>{"name": "f"}</tool_call>',
        'I look.<function=f>{"a": 1}</function>',
        "I look.<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
        "I look. <tool_call>f\n</tool_call>",
        "I look.<tool_code>f()</tool_code>",
        'I look.<invoke name="f">',
        'I look.<tool_call name="f">{}</tool_call>',
        'I look.\n<tools>\n{"name": "f"}\n</tools>',
        'I look. [TOOL_REQUEST]{"name": "f"}[END_TOOL_REQUEST]',
        'I look.\nfunctools[{"name": "f"}]',
        'I look.<function_calls><invoke name="f"></invoke></function_calls>',
        'I look.<tool_calls>[{"name": "f"}]</tool_calls>',
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


@each(
    "text",
    [
        "The number of <|endoftext|> is 0 in this one.",
        "</s> closes a text in this model.",
        "[INST] and [/INST] are what it was trained with.",
        "[INST] is a mark of Mistral's.",
        "It knows two. <|user|> begins a turn. <|end|> closes it.",
        "**<|sep|>** parts the two.",
        "<|a_b|> → the first\n<|b_c|> → the second",
        "It reads <|begin_of_text|>, <|start_header_id|> and <|eot_id|>.",
        "Phi: <|user|>user opens it, <|end|> closes it.",
        "It has three: <pad>, <unk>, <eos>",
        "The special tokens, four in all, are <s>, </s>, <unk>, <pad>",
        "Remove the final <eos>",
        "Decoded token by token: das Haus <eos>",
        "In: <bos> a house <eos>\nOut: <bos> ein Haus <eos>",
        "The bytes <0xC3><0xBC> are one letter.",
        "Put [TOOL_CALLS] before the list, as it does.",
        "In this format <|call|> comes last in a call.",
        "Das Ende wird mit dem Zeichen <|im_end|> markiert.",
        "La balise </s> termine la phrase.",
        "El token <|eot_id|> cierra el turno.",
        "Знак <|endoftext|> разделяет тексты.",
        "模型用<|im_end|>结束一轮。",
        "文末には</s>が付きます。",
        "문장은 </s> 토큰으로 끝납니다.",
        "Que veut dire </s> ?",
        "- Oslo-7B: </s>\n- Oslo-8B: <|endoftext|>\n- Nile: <|im_end|>",
        "[UNK]",
        "<pad>",
        "We fly from Oslo [OSL] to Boston [BOS]",
        "It becomes: [CLS] a house [SEP] [PAD] [PAD]",
        "It becomes [CLS] a house [SEP] a tree [SEP] for the model.",
        "The [MASK] is hidden. [SEP]",
        "<S><NP>it</NP><VP>rains</VP></S>",
        '<p><s n="1">It rains.</s> <s n="2">It pours.</s></p>',
        "<s> ::= <a> <b>\n<a> ::= x",
        "Rules:\n\n<s> ::= <a>\n<a> ::= x",
        "assistant\n\n*noun* (plural assistants): one who helps",
        "It gives ▁a ▁house for these two words of it.",
        "BETWEEN <start_of_week> AND <end_of_week>;",
        "[SYSTEM_PROMPT]\n\nThe question: {q}",
        "cat <<EOT>a.txt\nx\nEOT",
        "### Response:\n200 OK",
        "### Response:\n404 Not Found\n\nThere is none.",
        "### Response:\nHTTP/1.1 201 Created",
        "The pipes are:\n|>\n<|",
        "<|",
    ],
)
def test_a_mark_in_a_sentence_or_a_list_is_spoken_of_in_any_language(text: str) -> None:
    assert parted(text) == Parted(text)


@each(
    ("text", "answer"),
    [
        (f"{NILE} </s>", NILE),
        ("Oslo </s>", "Oslo"),
        ("雨是水。<|im_end|>", "雨是水。"),
        (f"{NILE}<fim_middle>", NILE),
        (f"{NILE}<endoftext>", NILE),
        (f"{NILE} [end of text]\n", NILE),
        (f"{NILE}\n\n### End", NILE),
        (f"[gMASK]<sop>{NILE}", NILE),
        (f"### Assistant:\n{NILE}", NILE),
        ("### Response:\n200 people", "200 people"),
        ("assistant\nOslo", "Oslo"),
        ("assistant\n1. Wash it.\n2. Dry it.", "1. Wash it.\n2. Dry it."),
        (f"GPT4 Correct Assistant: {NILE}", NILE),
        ("It is the token </s>. It ends a text.</s>", "It is the token </s>. It ends a text."),
    ],
)
def test_a_mark_after_the_last_sentence_is_cut(text: str, answer: str) -> None:
    assert parted(text) == Parted(answer)


@each(
    "text",
    [
        f"{NILE} <|im_end|> And the Amazon?",
        f"{NILE}<|endoftext|>and more",
        "雨是水。<|im_end|>雪是冰。",
        f"{NILE}\n<|user|>\nAnd?",
        f"{NILE}<|end|><|user|>And?",
        "<s> a river</s>",
        "▁The▁longest▁river is▁it",
    ],
)
def test_a_mark_between_sentences_is_a_leak(text: str) -> None:
    found = parted(text)
    assert found.leaked and found.text == text


@each(
    "text",
    [
        '<x:function_call name="f">',
        "<tool_code>f(1)</tool_code>",
        "<|python_start|>[f(a=1)]<|python_end|>",
        '<|tools_prefix|>[{"f": {}}]<|tools_suffix|>',
    ],
)
def test_a_call_between_marks_is_no_answer_once_they_are_cut(text: str) -> None:
    assert parted(text).calls
