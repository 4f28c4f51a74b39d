"""A text with the marks of a chat template is its turns; a text about such marks is a text."""

from typing import Any

from builders.schema import assistant, user
from builders.sources.conversations import Reason
from builders.sources.prompt_columns import PromptColumns
from tests.cases import each

ASKED = user("ask")
WITH_SYSTEM = [{"role": "system", "content": "s"}, *ASKED]
GOES_ON = [*user("a"), *assistant("b"), *ASKED]
FORMS: dict[str, tuple[str, list[dict[str, str]]]] = {
    "ChatML": (
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nask<|im_end|>\n"
        "<|im_start|>assistant\nx<|im_end|>\n",
        WITH_SYSTEM,
    ),
    "Llama 2": ("<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nask [/INST] x </s>", WITH_SYSTEM),
    "Mistral": ("<s>[INST] a [/INST] b</s>[INST] ask [/INST] x</s>", GOES_ON),
    "Llama 3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nask<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nx<|eot_id|>",
        WITH_SYSTEM,
    ),
    "Gemma": (
        "<bos><start_of_turn>user\nask<end_of_turn>\n<start_of_turn>model\nx<end_of_turn>\n",
        ASKED,
    ),
    "Zephyr": ("<|system|>\ns</s>\n<|user|>\nask</s>\n<|assistant|>\nx</s>", WITH_SYSTEM),
    "Phi": ("<|user|>\nask<|end|>\n<|assistant|>\nx<|end|>", ASKED),
    "DeepSeek": (
        "<｜begin▁of▁sentence｜><｜User｜>ask<｜Assistant｜>x<｜end▁of▁sentence｜>",
        ASKED,
    ),
    "Llama 4": (
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\nask<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nx<|eot|>",
        ASKED,
    ),
    "Granite": (
        "<|start_of_role|>user<|end_of_role|>ask<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>x<|end_of_text|>",
        ASKED,
    ),
    "gpt-oss": (
        "<|start|>system<|message|>s<|end|><|start|>user<|message|>ask<|end|>"
        "<|start|>assistant<|channel|>final<|message|>x<|return|>",
        WITH_SYSTEM,
    ),
    "Cohere": (
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>ask<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>x<|END_OF_TURN_TOKEN|>",
        ASKED,
    ),
    "OpenAssistant": ("<|prompter|>ask<|endoftext|><|assistant|>x<|endoftext|>", ASKED),
    "ChatGLM": ("[Round 0]\n问：a\n答：b\n[Round 1]\n问：ask\n答：", GOES_ON),
    "ChatGLM 2": ("[Round 1]\n\n问：ask\n\n答：x", ASKED),
    "Chinese speakers": ("用户：ask\n助手：x", ASKED),
    "a Chinese question": ("问题: ask\n答案: x", ASKED),
    "Japanese headings": (
        "s\n\n### 指示:\na\n\n### 入力:\nb\n\n### 応答:\nx",
        [WITH_SYSTEM[0], *user("a\n\nb")],
    ),
    "Korean headings": ("### 질문: ask\n### 답변: x", ASKED),
    "Russian": ("Вопрос: a\nОтвет: b\nВопрос: ask\nОтвет: x", GOES_ON),
    "Spanish": ("Pregunta: ask\nRespuesta: x", ASKED),
    "French": ("Question : ask\nRéponse : x", ASKED),
    "German": ("Frage: ask\nAntwort: x", ASKED),
    "RedPajama": ("<human>: ask\n<bot>: x", ASKED),
    "a question with its context": (
        "Context: on\n\nQuestion: ask\n\nAnswer: x",
        user("on\n\nask"),
    ),
    "OpenChat": (
        "GPT4 Correct User: ask<|end_of_turn|>GPT4 Correct Assistant: x<|end_of_turn|>",
        ASKED,
    ),
    "Vicuna, with more turns": ("USER: a ASSISTANT: b</s>USER: ask ASSISTANT: x</s>", GOES_ON),
    "Phi 2": ("Instruct: ask\nOutput: x", ASKED),
    "letters": ("Q: ask\nA: x", ASKED),
    "headings without colons": ("### Instruction\nask\n\n### Response\nx", ASKED),
    "headings of speakers": ("### System\ns\n### User\nask\n### Assistant\nx", WITH_SYSTEM),
    "headings": ("## Question: ask\n## Answer: x", ASKED),
    "Baize": (
        "The conversation between human and AI assistant.\n[|Human|] ask\n[|AI|] x\n[|Human|] ",
        ASKED,
    ),
    "Guanaco": ("### Human: a### Assistant: b### Human: ask### Assistant: x", GOES_ON),
    "Alpaca": (
        "Below is an instruction that describes a task. Write a response.\n\n"
        "### Instruction:\nask\n\n### Input:\non\n\n### Response:\nx",
        user("ask\n\non"),
    ),
    "Alpaca with another beginning": (
        "s\n\n### Instruction:\nask\n\n### Response:\nx",
        WITH_SYSTEM,
    ),
    "HH-RLHF": ("\n\nHuman: a\n\nAssistant: b\n\nHuman: ask\n\nAssistant: x", GOES_ON),
    "Vicuna": ("A chat between a user and an assistant. USER: ask ASSISTANT: x</s>", ASKED),
    "Glaive": ("SYSTEM: s\nUSER: ask\n\nASSISTANT: x", WITH_SYSTEM),
    "Mistral with a system prompt": (
        "<s>[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][INST]ask[/INST]x</s>",
        WITH_SYSTEM,
    ),
    "EXAONE": (
        "[|system|]s[|endofturn|]\n[|user|]ask\n[|assistant|]x[|endofturn|]",
        WITH_SYSTEM,
    ),
    "Phi 4": (
        "<|im_start|>system<|im_sep|>s<|im_end|><|im_start|>user<|im_sep|>ask<|im_end|>"
        "<|im_start|>assistant<|im_sep|>x<|im_end|>",
        WITH_SYSTEM,
    ),
    "Kimi": (
        "<|im_system|>system<|im_middle|>s<|im_end|><|im_user|>user<|im_middle|>ask<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>x<|im_end|>",
        WITH_SYSTEM,
    ),
    "Nemotron": (
        "<extra_id_0>System\ns\n\n<extra_id_1>User\nask\n<extra_id_1>Assistant\nx\n",
        WITH_SYSTEM,
    ),
    "Baichuan": ("<reserved_106>ask<reserved_107>x", ASKED),
    "Seed": (
        "<seed:bos>user\nask<seed:eos><seed:bos>assistant\nx<seed:eos>",
        ASKED,
    ),
    "InternLM": ("<|User|>:ask<eoh>\n<|Bot|>:x<eoa>", ASKED),
    "GLM 4": ("[gMASK]<sop><|system|>\ns<|user|>\nask<|assistant|>\nx", WITH_SYSTEM),
    "Jamba": (
        "<|bom|><|system|> s<|eom|><|bom|><|user|> ask<|eom|><|bom|><|assistant|> x<|eom|>",
        WITH_SYSTEM,
    ),
    "Command R7B": (
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>ask<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>x<|END_RESPONSE|>",
        ASKED,
    ),
    "OLMo": ("<|endoftext|><|user|>\nask\n<|assistant|>\nx<|endoftext|>", ASKED),
    "bold labels": ("**Question:** ask\n\n**Answer:** x", ASKED),
    "bold letters": ("**Q**: ask\n**A**: x", ASKED),
    "bold speakers": (
        "**User:** a\n\n**Assistant:** b\n\n**User:** ask\n\n**Assistant:** x",
        GOES_ON,
    ),
    "tags of a question": ("<question>ask</question>\n<answer>x</answer>", ASKED),
    "tags of speakers": (
        "<system>s</system><user>ask</user><assistant>x</assistant>",
        WITH_SYSTEM,
    ),
    "tags of a dialogue": (
        "<user>a</user>\n<assistant>b</assistant>\n<user>ask</user>\n",
        GOES_ON,
    ),
    "tags with thinking": (
        "<problem>ask</problem>\n<think>so it is x</think>\n<answer>x</answer>",
        ASKED,
    ),
    "tags of an instruction": (
        "<instruction>ask</instruction>\n<context>on</context>\n<response>x\n\ny</response>",
        user("ask\n\non"),
    ),
    "tags of an input": ("<s><input>ask</input><output>x</output></s>", ASKED),
    "HH-RLHF with a long answer": ("\n\nHuman: ask\n\nAssistant: x\n\ny", ASKED),
    "Alpaca with a long answer": ("### Instruction:\nask\n\n### Response:\nx\n\ny", ASKED),
    "a template with a long answer": ("<|user|>\nask<|end|>\n<|assistant|>\nx\n\ny", ASKED),
    "Llama 2 in small letters": (
        "[INST] what is it and why? [/INST] it is x",
        user("what is it and why?"),
    ),
    "DeepSeek with a system prompt and no thoughts": (
        "<｜begin▁of▁sentence｜>s<｜User｜>ask<｜Assistant｜></think>x<｜end▁of▁sentence｜>",
        WITH_SYSTEM,
    ),
    "the first OpenChat": (
        "Human: ask<|end_of_turn|>Assistant: x\n\ny<|end_of_turn|>",
        ASKED,
    ),
    "Yi": ("<|Human|>: ask\n<|Assistant|>: x\n\ny", ASKED),
    "Orca": ("### System:\ns\n\n### User:\nask\n\n### Response:\nx", WITH_SYSTEM),
    "speakers in headings": ("## User\nask\n\n## Assistant\nx", ASKED),
    "speakers in bold lines": ("**User**\n\nask\n\n**Assistant**\n\nx", ASKED),
    "a copied chat in bold": ("**You:** ask\n\n**ChatGPT:** x", ASKED),
    "tags with capitals": ("<User>ask</User>\n\n<Assistant>x</Assistant>", ASKED),
    "an answer that asks": ("User: ask\nAssistant: What else?", ASKED),
    "letters with numbers": ("Q1: a\nA1: b\nQ2: ask\nA2: x", GOES_ON),
    "letters in brackets": ("[Q] ask\n[A] x", ASKED),
    "a problem": ("Problem: ask\nSolution: x", ASKED),
    "a completion": ("Prompt: ask\nCompletion: x", ASKED),
    "a copied chat": ("You said:\nask\n\nChatGPT said:\nx", ASKED),
    "German speakers": ("Benutzer: ask\nAssistent: x", ASKED),
    "French speakers": ("Utilisateur : ask\nAssistant : x", ASKED),
}


@each(("text", "prompt"), FORMS)
def test_a_rendered_dialogue_is_asked_up_to_its_last_question(
    text: str, prompt: list[dict[str, str]]
) -> None:
    for columns, row in (
        (PromptColumns(), {"text": text}),
        (PromptColumns("chosen"), {"chosen": text}),
    ):
        found = columns.prompt(row)
        assert isinstance(found, dict) and found["prompt"] == prompt


WHOLE = {
    "a label and no question": "Add 1 and 2.\n\nAnswer: 3",
    "a label after a question": "Is it?\nAnswer: yes",
    "a label after options": "Which?\nA. this\nB. that\nAnswer: B",
    "a label in bold": "Add 1 and 2.\n\n**Answer:** 3",
    "a heading": "Add 1 and 2.\n\n### Answer:\n3",
    "what to translate": "Translate into German:\n\nAnswer: It is late.",
    "a mail": "Shorten it.\n\nHi Bob,\n\nAnswer: yes, we can.\n\nBest,\nAnn",
    "a request after an answer": "Question: Who?\n\nAnswer: Ann\n\nNow write three more pairs.",
    "a request in the next line": "Problem: cars\nSolution: trains\nWrite a slogan about it.",
    "a request after a quiz": "Q1: a\nA1: b\nQ2: c\nA2: d\nTurn this quiz into a poem.",
    "a request after bold labels": "**Q:** ask\n\n**A:** x\n\nWhat is wrong with this?",
    "a request after brackets": "[Question] ask\n[Answer] x\nRate the answer.",
    "a request after speakers": "User: a\nAssistant: b\n\nRate the reply.",
    "a request after German speakers": "Frage: a\nAntwort: b\n\nIst das richtig?",
    "a request after a copied chat": "You said: a.\nClaude said: b.\nWho is right?",
    "a request after headings": "## Question\nask\n\n## Answer\nx\n\nRate this.",
    "a request before headings": "What follows?\n### Instruction:\na\n### Response:\nb",
    "a request before a template": "Make it JSON.\n<|user|>\na\n<|assistant|>\nb",
    "a request after a template": "<|user|>\na</s>\n<|assistant|>\nb</s>\nRate the reply.",
    "a request after the end of a turn": "[INST] a [/INST] b </s> Rate the reply.",
    "a request after tags": "<question>ask</question>\n<answer>x</answer>\nRate the answer.",
    "a request between tags": "<user>a</user>\nGo on with:\n<assistant>b</assistant>",
    "tags of another kind": "<question>ask</question>\n<rules>r</rules>\n<answer>x</answer>",
    "a form of an answer": "Question: ask\nAnswer: <yes/no>",
    "a choice of answers": "Question: ask\nAnswer: yes or no",
    "an object to fill in": 'Question: ask\nAnswer: {"answer": int}',
    "dots": "Question: ...\nAnswer: ...",
    "tags with dots": "<question>ask</question>\n<answer>...</answer>",
    "the first words of an answer": "Question: ask\nAnswer: The",
    "thoughts to go on with": "Q: ask\nA: Let's think step by step.",
    "a page with the form of its output": "# Task\nask\n\n# Input\non\n\n# Output\nJSON only",
    "a request after bold lines": "**User**\n\na\n\n**Assistant**\n\nb\n\nRate it.",
    "a request after speakers in headings": "## User\na\n\n## Assistant\nb\n\nRate it.",
    "a request after a turn": "Human: a<|end_of_turn|>Assistant: b<|end_of_turn|>Rate it.",
    "marks in a sentence": "[INST] and [/INST] are the tokens of Llama 2. Explain them.",
    "marks in a question": "<|user|> and <|assistant|> are tokens. Which models have them?",
    "marks with roles": "<start_of_turn>user and <start_of_turn>model are tokens of what?",
    "marks in a list": "[INST], [/INST] and <<SYS>>: what are they?",
}


@each("text", WHOLE)
def test_a_text_whose_end_may_be_no_answer_is_asked_whole(text: str) -> None:
    for row in ({"text": text}, {"instructions": text}, {"prompt": text}):
        found = PromptColumns().prompt(row)
        assert isinstance(found, dict) and found["prompt"] == user(text)


OWN: dict[str, tuple[dict[str, str], str]] = {
    "behind a question with its label": ({"prompt": "Q: ask\nA: x", "answer": "x"}, "ask"),
    "of several lines": ({"text": "Question: ask\nAnswer: x\n\ny", "output": "x\n\ny"}, "ask"),
    "in bold": ({"prompt": "**Question:** ask\n**Answer:** x", "response": "x"}, "ask"),
    "in German": ({"prompt": "Frage: ask\nAntwort: x", "answer": "x"}, "ask"),
    "in tags": ({"prompt": "<user>ask</user><bot>x</bot>", "response": "x"}, "ask"),
    "before an end": (
        {"prompt": "### Instruction:\nask\n\n### Response:\nx\n\n### End", "output": "x"},
        "ask",
    ),
    "before a mark": (
        {"prompt": "Human: ask<|separator|>\n\nAssistant: x<|separator|>", "answer": "x"},
        "ask",
    ),
}
OWN |= {
    name: (row, row.get("prompt") or row["instruction"] + "\n\n" + row["input"])
    for name, row in {
        "and no label": {"prompt": "1 and 2? It is 3.", "completion": "It is 3."},
        "in a line": {"prompt": "Is it correct?\nThe cat sat.", "response": "The cat sat."},
        "to rate": {"prompt": "Is it right?\n\nAnswer: It is.", "answer": "It is."},
        "and no question": {"prompt": "Rate it.\n\nResponse: It is.", "output": "It is."},
        "with more after it": {"prompt": "Question: ask\nAnswer: x\n\nIs it?", "answer": "x"},
        "of a dialogue to rate": {"prompt": "User: a\nBot: b\n\nRate it.", "response": "b"},
        "and another one": {"prompt": "Question: ask\nAnswer: y\nIs it?", "answer": "x"},
        "behind an instruction": {
            "instruction": "Fix it.",
            "input": "Question: ask\nAnswer: x",
            "output": "x",
        },
        "of a program": {"instruction": "Why?", "input": "f(1)\n\nOutput: 1", "output": "1"},
    }.items()
}


@each(("row", "asked"), OWN)
def test_the_own_answer_of_a_row_is_not_asked_where_a_dialogue_ends_with_it(
    row: dict[str, str], asked: str
) -> None:
    found = PromptColumns().prompt(row)
    assert isinstance(found, dict) and found["prompt"] == user(asked)


MAY_END: dict[str, tuple[dict[str, str], int]] = {
    "its own one": ({"prompt": "1 and 2?\nIt is 3.", "answer": "It is 3."}, 1),
    "a label": ({"text": "Add 1 and 2.\n\nAnswer: 3"}, 1),
    "a label in German": ({"text": "Was?\n**Antwort:** 3"}, 1),
    "a dialogue of lines": ({"text": "User: a\nAssistant: b\nc"}, 1),
    "no answer yet": ({"text": "Q: a\nA: b\n\nQ: ask\nA:"}, 0),
    "a choice": ({"prompt": "Is it? Say yes or no", "answer": "no"}, 0),
    "a question": ({"prompt": "Is it?", "answer": "It is."}, 0),
    "what is cut": ({"prompt": "Q: ask\nA: x", "answer": "x"}, 0),
}


@each(("row", "count"), MAY_END)
def test_prompts_that_may_end_with_their_answer_are_counted(
    row: dict[str, str], count: int
) -> None:
    columns = PromptColumns()
    columns.prompt(row)
    assert columns.with_answers == count


OPEN: dict[str, tuple[dict[str, Any], list[dict[str, str]]]] = {
    "marks that wait for an answer": ({"prompt": "\n\nHuman: ask\n\nAssistant: "}, ASKED),
    "a template's marks": ({"prompt": "<|user|>\nask</s>\n<|assistant|>\nx"}, ASKED),
    "an example in a prompt": (
        {"prompt": "User: a\nAssistant: b\n\nRate the answer."},
        user("User: a\nAssistant: b\n\nRate the answer."),
    ),
    "a question about marks": (
        {"question": "What do [INST] and [/INST] mean?"},
        user("What do [INST] and [/INST] mean?"),
    ),
    "a prompt with headings": (
        {"prompt": "### Instruction:\nask\n\n### Response:\n"},
        user("### Instruction:\nask\n\n### Response:\n"),
    ),
    "a question that waits for its answer": (
        {"text": "Question: ask\nAnswer:"},
        user("Question: ask\nAnswer:"),
    ),
    "an instruction with labels": (
        {"instruction": "Question: ask\nAnswer: x"},
        user("Question: ask\nAnswer: x"),
    ),
    "a text about marks": (
        {"text": "What do [INST] and [/INST] mean?"},
        user("What do [INST] and [/INST] mean?"),
    ),
    "a text with a dialogue in it": (
        {"text": "They met.\nUser: a\nBot: b"},
        user("They met.\nUser: a\nBot: b"),
    ),
    "a dialogue that is all of a row": ({"prompt": "User: ask\nAssistant: x"}, ASKED),
    "the same in Chinese": ({"prompt": "用户：ask\n助手：x"}, ASKED),
    "speakers in Spanish that wait": ({"prompt": "Usuario: ask\nAsistente:"}, ASKED),
    "a dialogue to rate": (
        {"prompt": "User: a\nAssistant: b", "label": "safe"},
        user("User: a\nAssistant: b"),
    ),
    "a question in bold that waits": (
        {"text": "**Question:** ask\n\n**Answer:**"},
        user("**Question:** ask\n\n**Answer:**"),
    ),
    "tags that wait": (
        {"text": "<question>ask</question>\n<answer>"},
        user("<question>ask</question>\n<answer>"),
    ),
    "tags to answer in": (
        {"text": "<question>ask</question> Answer in <answer></answer>."},
        user("<question>ask</question> Answer in <answer></answer>."),
    ),
    "options in brackets": (
        {"text": "[Q] ask\n[A] this\n[B] that"},
        user("[Q] ask\n[A] this\n[B] that"),
    ),
    "a heading": ({"text": "### Human: rights"}, user("### Human: rights")),
}


@each(("row", "prompt"), OPEN)
def test_what_a_user_wrote_stays_a_text(row: dict[str, Any], prompt: list[dict[str, str]]) -> None:
    found = PromptColumns().prompt(row)
    assert isinstance(found, dict) and found["prompt"] == prompt


def test_a_rendered_dialogue_that_the_assistant_begins_is_left_out() -> None:
    reason = PromptColumns().prompt({"text": "Assistant: hi\nHuman: ask\nAssistant: x"})
    assert isinstance(reason, Reason) and reason.word == "assistant first"
