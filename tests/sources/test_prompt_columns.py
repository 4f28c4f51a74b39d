"""Everything that a row asks is in its prompt, whatever its columns are called, or is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.recipe import row_id
from builders.schema import assistant, user
from builders.sources.conversations import Reason
from builders.sources.prompt_columns import PromptColumns
from builders.sources.seed_forms import read_prompts
from builders.sources.source import Source
from tests.cases import each

MESSAGES = [{"role": "user", "content": "m"}]
WITH_SYSTEM = [{"role": "system", "content": "s"}, *user("ask")]
LONG = "There are four seasons. " * 5
JOINED: dict[str, tuple[dict[str, Any], list[dict[str, str]], str, str]] = {
    "Alpaca": (
        {"instruction": "ask", "input": "on", "output": "x"},
        user("ask\n\non"),
        "instruction input",
        "output",
    ),
    "Alpaca without input": (
        {"instruction": "ask ", "input": "", "output": "x"},
        user("ask "),
        "instruction",
        "output",
    ),
    "Dolly": (
        {"instruction": "ask", "context": "on", "response": "x", "category": "c"},
        user("ask\n\non"),
        "instruction context",
        "response category",
    ),
    "SQuAD": (
        {"id": "1", "title": "t", "context": "on", "question": "ask", "answers": {}},
        user("ask\n\non"),
        "question context",
        "id title",
    ),
    "BoolQ": ({"question": "ask", "passage": "on"}, user("ask\n\non"), "question passage", ""),
    "prompt and input": ({"prompt": "ask", "input": "on"}, user("ask\n\non"), "prompt input", ""),
    "query and document": (
        {"query": "ask", "document": "on"},
        user("ask\n\non"),
        "query document",
        "",
    ),
    "in capitals": (
        {" Instruction": "ask", "Input": "on", "Topic": 1},
        user("ask\n\non"),
        " Instruction Input",
        "Topic",
    ),
    "OpenOrca": (
        {"system_prompt": "s", "question": "ask", "response": "x"},
        WITH_SYSTEM,
        "system_prompt question",
        "response",
    ),
    "an empty system": ({"system_prompt": "", "question": "ask"}, user("ask"), "question", ""),
    "a null input": ({"instruction": "ask", "input": None}, user("ask"), "instruction", ""),
    "NaN as input": ({"instruction": "ask", "input": math.nan}, user("ask"), "instruction", ""),
    "an instruction in the input": (
        {"instruction": "", "input": "on"},
        user("on"),
        "input",
        "",
    ),
    "messages and a system": (
        {"system": "s", "messages": user("ask")},
        WITH_SYSTEM,
        "system messages",
        "",
    ),
    "messages and a context": (
        {"messages": [*MESSAGES, *assistant("x")], "context": "on", "input": "m2"},
        user("m\n\nm2\n\non"),
        "messages input context",
        "",
    ),
    "UltraChat": ({"prompt": "ask", "messages": MESSAGES}, user("ask"), "prompt", "messages"),
    "MATH": (
        {"problem": "ask", "level": "3", "solution": "x"},
        user("ask"),
        "problem",
        "level solution",
    ),
    "Aya": ({"inputs": "ask", "targets": "x"}, user("ask"), "inputs", "targets"),
    "input alone": ({"input": "ask", "output": "x"}, user("ask"), "input", "output"),
    "MMLU": (
        {"question": "ask", "choices": ["x", "y"], "answer": 1},
        user("ask\n\nA. x\nB. y"),
        "question choices",
        "answer",
    ),
    "ARC": (
        {"question": "ask", "choices": {"text": ["x", "y"], "label": ["1", "2"]}},
        user("ask\n\n1. x\n2. y"),
        "question choices",
        "",
    ),
    "RACE": (
        {"article": "on", "question": "ask", "options": ["x"]},
        user("ask\n\non\n\nA. x"),
        "question article options",
        "",
    ),
    "HotpotQA": (
        {
            "question": "ask",
            "context": {"title": ["t", "u"], "sentences": [["a.", " b."], ["c."]]},
        },
        user("ask\n\nt\na. b.\n\nu\nc."),
        "question context",
        "",
    ),
    "MS MARCO": (
        {"query": "ask", "passages": {"is_selected": [1, 0], "passage_text": ["on", "off"]}},
        user("ask\n\non\n\noff"),
        "query passages",
        "",
    ),
    "documents": (
        {"question": "ask", "documents": [{"id": 1, "title": "t", "text": "on"}, {"text": "off"}]},
        user("ask\n\nt\non\n\noff"),
        "question documents",
        "",
    ),
    "Dense passages": (
        {"question": "ask", "ctxs": ["on", "off"]},
        user("ask\n\non\n\noff"),
        "question ctxs",
        "",
    ),
    "a table": (
        {"question": "ask", "table": {"header": ["x"], "rows": [["é"]]}},
        user('ask\n\n{"header": ["x"], "rows": [["é"]]}'),
        "question table",
        "",
    ),
    "a number as input": (
        {"instruction": "ask", "input": 0},
        user("ask\n\n0"),
        "instruction input",
        "",
    ),
    "a boolean as input": (
        {"instruction": "ask", "input": False},
        user("ask\n\nfalse"),
        "instruction input",
        "",
    ),
    "numbers as input": (
        {"instruction": "ask", "input": [3, 1.5]},
        user("ask\n\n[3, 1.5]"),
        "instruction input",
        "",
    ),
    "an object as input": (
        {"instruction": "ask", "input": {"a": None}},
        user('ask\n\n{"a": null}'),
        "instruction input",
        "",
    ),
    "nothing as input": (
        {"instruction": "ask", "input": [], "context": {}},
        user("ask"),
        "instruction",
        "",
    ),
    "an instruction with a question": (
        {"instruction": "ask", "question": "q", "context": "on"},
        user("ask\n\nq\n\non"),
        "instruction question context",
        "",
    ),
    "Natural Instructions": (
        {"definition": "ask", "inputs": "on", "targets": "x"},
        user("ask\n\non"),
        "definition inputs",
        "targets",
    ),
    "a post": ({"title": "ask", "body": "on"}, user("ask\n\non"), "title body", ""),
    "a dialogue and a question": (
        {"dialogue": ["hi", "ho"], "question": "ask"},
        user("ask\n\nhi\n\nho"),
        "question dialogue",
        "",
    ),
    "a text that may be the answer": (
        {"prompt": "ask", "text": "x", "code": "x"},
        user("ask"),
        "prompt",
        "text code",
    ),
    "a text to an instruction": (
        {"instruction": "ask", "text": "on", "story": "x"},
        user("ask\n\non"),
        "instruction text",
        "story",
    ),
    "a text around an instruction": (
        {"instruction": "ask", "text": "ask x"},
        user("ask"),
        "instruction",
        "text",
    ),
    "an index without a name": ({"": 7, "prompt": "ask"}, user("ask"), "prompt", "''"),
    "code beside an answer": (
        {"prompt": "ask", "code": "f(x)", "output": "x", "text": "ask x"},
        user("ask\n\nf(x)"),
        "prompt code",
        "output text",
    ),
    "numbers as options": (
        {"question": "ask", "choices": [1, True, 2.5]},
        user("ask\n\nA. 1\nB. true\nC. 2.5"),
        "question choices",
        "",
    ),
    "options by letter": (
        {"question": "ask", "options": {"A": "x", "B": "y", "C": None}},
        user("ask\n\nA. x\nB. y"),
        "question options",
        "",
    ),
    "options with labels": (
        {"question": "ask", "options": [{"label": "a", "text": "x"}, {"label": "b", "text": "y"}]},
        user("ask\n\na. x\nb. y"),
        "question options",
        "",
    ),
    "options as JSON text": (
        {"question": "ask", "choices": '["x", "y"]'},
        user("ask\n\nA. x\nB. y"),
        "question choices",
        "",
    ),
    "options with letters in them": (
        {"question": "ask", "choices": ["A. x", "(B) y"]},
        user("ask\n\nA. x\n(B) y"),
        "question choices",
        "",
    ),
    "a column for each option": (
        {"question": "ask", "A": "x", "B": 2, "C": "z", "answer": "A"},
        user("ask\n\nA. x\nB. 2\nC. z"),
        "question A B C",
        "answer",
    ),
    "options in numbered columns": (
        {"question": "ask", "option_a": "x", "option_b": "y"},
        user("ask\n\nA. x\nB. y"),
        "question option_a option_b",
        "",
    ),
    "history as JSON text": (
        {"instruction": "ask", "history": json.dumps([["a", "b"]])},
        [*user("a"), *assistant("b"), *user("ask")],
        "history instruction",
        "",
    ),
    "an empty history as JSON text": (
        {"instruction": "ask", "history": "[]"},
        user("ask"),
        "history instruction",
        "",
    ),
    "a null prompt beside another": (
        {"prompt": None, "instruction": "ask", "input": "on"},
        user("ask\n\non"),
        "instruction input",
        "",
    ),
    "a first turn": (
        {"text": "ask", "role": "prompter", "parent_id": None, "lang": "en"},
        user("ask"),
        "text",
        "lang",
    ),
    "LLaMA-Factory": (
        {"instruction": "ask", "history": [["a", "b"]]},
        [*user("a"), *assistant("b"), *user("ask")],
        "history instruction",
        "",
    ),
    "LIMA": (
        {"conversations": ["ask", "x"], "source": "s"},
        user("ask"),
        "conversations",
        "source",
    ),
    "JSON text": ({"messages": json.dumps(WITH_SYSTEM)}, WITH_SYSTEM, "messages", ""),
    "a prompt that holds its input": (
        {"prompt": f"ask {'on ' * 50}", "input": "on " * 50},
        user(f"ask {'on ' * 50}"),
        "prompt",
        "",
    ),
    "Gemini": (
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "ask"}]}],
        },
        WITH_SYSTEM,
        "systemInstruction contents",
        "",
    ),
    "Anthropic": (
        {"system": [{"type": "text", "text": "s"}], "messages": user("ask"), "model": "m"},
        WITH_SYSTEM,
        "system messages",
        "model",
    ),
    "a batch of requests": (
        {"custom_id": "1", "method": "POST", "body": {"messages": WITH_SYSTEM}},
        WITH_SYSTEM,
        "body.messages",
        "custom_id method",
    ),
    "a batch of responses": (
        {"custom_id": "1", "body": {"model": "m", "input": "ask", "instructions": "s", "n": 0}},
        WITH_SYSTEM,
        "body.instructions body.input",
        "custom_id body.model body.n",
    ),
    "a batch of responses to items": (
        {
            "body": {
                "instructions": "s",
                "tools": [],
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "ask"}],
                    }
                ],
                "text": {"format": {"type": "text"}},
            }
        },
        WITH_SYSTEM,
        "body.instructions body.input",
        "body.text",
    ),
    "a batch of completions": (
        {"custom_id": "1", "body": {"model": "m", "prompt": "ask", "suffix": "x"}},
        user("ask"),
        "body.prompt",
        "custom_id body.model body.suffix",
    ),
    "a batch for Anthropic": (
        {"custom_id": "1", "params": {"model": "m", "system": "s", "messages": user("ask")}},
        WITH_SYSTEM,
        "params.system params.messages",
        "custom_id params.model",
    ),
    "a batch for Gemini": (
        {
            "request": {
                "systemInstruction": {"parts": [{"text": "s"}]},
                "contents": [{"role": "user", "parts": [{"text": "ask"}]}],
                "generationConfig": {"temperature": 1},
            }
        },
        WITH_SYSTEM,
        "request.systemInstruction request.contents",
        "request.generationConfig",
    ),
    "a batch for Bedrock": (
        {"recordId": "1", "modelInput": {"messages": user("ask"), "max_tokens": 5}},
        user("ask"),
        "modelInput.messages",
        "recordId modelInput.max_tokens",
    ),
    "a prompt whose dialogue has a system turn": (
        {"prompt": "ask", "messages": [*WITH_SYSTEM, *assistant("x")], "category": "c"},
        WITH_SYSTEM,
        "messages",
        "prompt category",
    ),
    "a prompt whose dialogue goes on": (
        {"prompt": " ask", "messages": [*user("ask"), *assistant("x"), *user("m")]},
        [*user("ask"), *assistant("x"), *user("m")],
        "messages",
        "prompt",
    ),
    "a prompt that its dialogue only answers": (
        {"prompt": "ask", "messages": [*user("ask"), *assistant("x")]},
        user("ask"),
        "prompt",
        "messages",
    ),
    "a prompt of messages whose dialogue goes on": (
        {"prompt": WITH_SYSTEM, "conversations": [*WITH_SYSTEM, *assistant("x"), *user("m")]},
        [*WITH_SYSTEM, *assistant("x"), *user("m")],
        "conversations",
        "prompt",
    ),
    "a template with the answer": (
        {
            "instruction": "ask",
            "input": "on",
            "output": "def x():\n  y",
            "prompt": "# Task:\nask\n# Input:\non\n# Output:\ndef x():\n  y\n",
        },
        user("ask\n\non"),
        "instruction input",
        "output prompt",
    ),
    "a template with a long answer and an end": (
        {"prompt": f"[INST] ask [/INST] {LONG}</s>", "question": "ask", "answer": LONG},
        user("ask"),
        "question",
        "prompt answer",
    ),
    "a template that goes on after the answer": (
        {"prompt": "Q: ask\nA: x.\n\nEnd.", "instruction": "ask", "answer": "x"},
        user("Q: ask\nA: x.\n\nEnd."),
        "prompt",
        "instruction answer",
    ),
    "a template that goes on, and its answer is nowhere else": (
        {"prompt": "Use this.\n\nQ: ask\nA: It is x.\n\nEnd.", "question": "ask", "kind": "k l"},
        user("Use this.\n\nQ: ask\nA: It is x.\n\nEnd."),
        "prompt",
        "question kind",
    ),
    "a template that goes on, beside a list of answers": (
        {"prompt": "Q: ask\nA: x\n\nEnd", "question": "ask", "answers": {"text": ["y", "x"]}},
        user("Q: ask\nA: x\n\nEnd"),
        "prompt",
        "question answers",
    ),
    "a template in the input": (
        {"instruction": "ask", "input": "### Task:\nask\n\n### Output:\nx.</s>", "output": "x"},
        user("ask"),
        "instruction",
        "input output",
    ),
    "a template in what follows": (
        {"instruction": "ask", "query": "问：ask\n答：x\n", "answer": "x"},
        user("ask"),
        "instruction",
        "query answer",
    ),
    "a template that goes on in the input": (
        {"instruction": "ask", "input": "### Task:\nask\n\n### Output:\nx\n\nBye", "output": "x"},
        user("ask\n\n### Task:\nask\n\n### Output:\nx\n\nBye"),
        "instruction input",
        "output",
    ),
    "a template that goes on in what follows": (
        {"instruction": "ask", "query": "问：ask\n答：x\n\n完", "answer": "x"},
        user("ask\n\n问：ask\n答：x\n\n完"),
        "instruction query",
        "answer",
    ),
    "a template that goes on, and no other column asks": (
        {"prompt": "Q: ask\nA: 7.\n\nEnd.", "answer": 7},
        user("Q: ask\nA: 7.\n\nEnd."),
        "prompt",
        "answer",
    ),
    "a template that rates the answer": (
        {"prompt": "Problem: ask\nSolution: x\nIs it correct?", "problem": "ask", "solution": "x"},
        user("Problem: ask\nSolution: x\nIs it correct?"),
        "prompt",
        "problem solution",
    ),
    "a template with a request before the answer": (
        {"prompt": "Rate this.\nQ: ask\nA: x", "question": "ask", "answer": "x"},
        user("Rate this.\nQ: ask\nA: x"),
        "prompt",
        "question answer",
    ),
    "a template with the form of an answer": (
        {"prompt": "ask\n\nReply in this form:\n\nAnswer: <yes/no>", "question": "ask"},
        user("ask\n\nReply in this form:\n\nAnswer: <yes/no>"),
        "prompt",
        "question",
    ),
    "a template with the last line of an answer": (
        {"prompt": "ask\nGive the last line as\nAnswer: x", "question": "ask", "answer": "x"},
        user("ask\nGive the last line as\nAnswer: x"),
        "prompt",
        "question answer",
    ),
    "a context with the question in it": (
        {
            "question": "ask?",
            "context": "Q: a?\nA: b\n\nQ: ask?\nA: x\n\nQ: c?\nA: d",
            "answer": "x",
        },
        user("ask?\n\nQ: a?\nA: b\n\nQ: ask?\nA: x\n\nQ: c?\nA: d"),
        "question context",
        "answer",
    ),
    "a template with tags": (
        {
            "prompt": "<question>ask</question>\n<answer>x</answer>",
            "question": "ask",
            "answer": "x",
        },
        user("ask"),
        "question",
        "prompt answer",
    ),
    "a template in Markdown": (
        {"query": "**Query:** ask\n\n**Final answer:** x\n\n---", "question": "ask", "gold": "x"},
        user("ask"),
        "question",
        "query gold",
    ),
    "a template in a sentence": (
        {"prompt": "ask The answer is x.\nNext.", "instruction": "ask", "output": "x"},
        user("ask The answer is x.\nNext."),
        "prompt",
        "instruction output",
    ),
    "a template that lists the answers": (
        {"prompt": "ask\nPossible answers:\nx\ny\nSay one.", "question": "ask", "answer": "x"},
        user("ask\nPossible answers:\nx\ny\nSay one."),
        "prompt",
        "question answer",
    ),
    "a template that asks for one of two lines": (
        {"prompt": "ask\nChoose a label:\nx\ny", "question": "ask", "label": "x"},
        user("ask\nChoose a label:\nx\ny"),
        "prompt",
        "question label",
    ),
    "a template that names the answer": (
        {"prompt": "ask\nAnswer: x or y?", "question": "ask", "answer": "x"},
        user("ask\nAnswer: x or y?"),
        "prompt",
        "question answer",
    ),
    "a template with the first words of an answer": (
        {"prompt": "Q: ask\nA: Let's think step by step.", "question": "ask"},
        user("Q: ask\nA: Let's think step by step."),
        "prompt",
        "question",
    ),
    "a template with examples": (
        {"prompt": "Q: a\nA: x\n\nQ: ask\nA:", "question": "ask", "answer": "x"},
        user("Q: a\nA: x\n\nQ: ask\nA:"),
        "prompt",
        "question answer",
    ),
    "a template with options, the first one right": (
        {"prompt": "Q: ask\nA: x\nB: y", "question": "ask", "answer": "x"},
        user("Q: ask\nA: x\nB: y"),
        "prompt",
        "question answer",
    ),
    "a template with options, the last one right": (
        {"prompt": "Q: ask\n(A) x\n(B) y", "question": "ask", "answer": "y"},
        user("Q: ask\n(A) x\n(B) y"),
        "prompt",
        "question answer",
    ),
    "a dialogue that the user goes on with": (
        {"prompt": "Human: ask\n\nAssistant: x.\n\nHuman: On?", "question": "ask"},
        user("Human: ask\n\nAssistant: x.\n\nHuman: On?"),
        "prompt",
        "question",
    ),
    "a template that is to be answered": (
        {
            "prompt": "### Task:\nask\n### Input:\non\n### Output:\n",
            "instruction": "ask",
            "input": "on",
        },
        user("### Task:\nask\n### Input:\non\n### Output:\n"),
        "prompt",
        "instruction",
    ),
    "where a row is from": (
        {"instruction": "ask", "source": "evol", "models": ["m"], "output": "x"},
        user("ask"),
        "instruction",
        "source models output",
    ),
    "a file that a row is from": (
        {"question": "ask", "input": "on", "source": "data/a.json", "target": "x"},
        user("ask\n\non"),
        "question input",
        "source target",
    ),
    "a text to translate": (
        {"source_lang": "de", "source": "Guten Tag", "target": "Hello"},
        user("Guten Tag"),
        "source",
        "source_lang target",
    ),
    "a text to translate as instructed": (
        {"instruction": "ask", "source": "Guten Tag", "target": "Hello"},
        user("ask\n\nGuten Tag"),
        "instruction source",
        "target",
    ),
    "a definition in a list": (
        {"definition": ["ask"], "input": "on", "output": ["x"]},
        user("ask\n\non"),
        "definition input",
        "output",
    ),
    "an instruction in a list": (
        {"instruction": ["ask"], "text": "on", "options": ["x", "y"], "label": 0},
        user("ask\n\non\n\nA. x\nB. y"),
        "instruction text options",
        "label",
    ),
    "a dialogue about a text": (
        {"messages": [*WITH_SYSTEM, *assistant("x")], "text": "on", "choices": ["x"], "label": 0},
        [*WITH_SYSTEM[:1], *user("ask\n\non\n\nA. x")],
        "messages text choices",
        "label",
    ),
    "a dialogue that has the text": (
        {"messages": [{"role": "system", "content": LONG}, *user("ask")], "context": LONG},
        [{"role": "system", "content": LONG}, *user("ask")],
        "messages",
        "",
    ),
    "a dialogue twice": (
        {"messages": MESSAGES, "input": user("ask"), "output": "x"},
        MESSAGES,
        "messages",
        "input output",
    ),
    "instructions with an input": (
        {"instructions": "ask", "input": "on", "output": "x"},
        user("ask\n\non"),
        "instructions input",
        "output",
    ),
    "a text after a colon": (
        {"prompt": "Translate: on.", "input": "on", "output": "x"},
        user("Translate: on."),
        "prompt",
        "output",
    ),
    "a text in quotes": (
        {"prompt": 'Translate "on" for me.', "input": "on"},
        user('Translate "on" for me.'),
        "prompt",
        "",
    ),
    "a text whose words are in the prompt by chance": (
        {"prompt": "Sum up the text", "text": "the text", "output": "x"},
        user("Sum up the text\n\nthe text"),
        "prompt text",
        "output",
    ),
    "options within the prompt": (
        {"question": "ask\n(1) x\n(2) y z", "choices": ["x", "y z"], "answer": 0},
        user("ask\n(1) x\n(2) y z"),
        "question",
        "answer",
    ),
    "options, one of them in the prompt": (
        {"question": "ask: x", "choices": ["x", "y"], "answer": 0},
        user("ask: x\n\nA. x\nB. y"),
        "question choices",
        "answer",
    ),
    "an instruction that repeats its input": (
        {"instruction": "Say hello:\nhello", "input": "hello", "output": "hello"},
        user("Say hello:\nhello"),
        "instruction",
        "output",
    ),
    "a word that is there by chance": (
        {"instruction": "Is it a verb or a noun", "input": "noun"},
        user("Is it a verb or a noun\n\nnoun"),
        "instruction input",
        "",
    ),
    "gold answers": (
        {"question": "ask", "references": ["x"], "reference_text": "x", "answer": "y"},
        user("ask"),
        "question",
        "references reference_text answer",
    ),
    "what an instruction may have written": (
        {"instruction": "ask", "content": "x", "email": "x", "article": "x"},
        user("ask"),
        "instruction",
        "content email article",
    ),
    "a text beside a question": ({"question": "ask", "text": "x"}, user("ask"), "question", "text"),
    "a question on an article": (
        {"question": "ask", "article": "on"},
        user("ask\n\non"),
        "question article",
        "",
    ),
    "what an email answers": (
        {"instruction": "ask", "email": "on", "response": "x"},
        user("ask\n\non"),
        "instruction email",
        "response",
    ),
    "addresses, colors and numbers": (
        {"prompt": "ask", "schema": "https://a.b/c", "background": "#fff", "paragraph": 3},
        user("ask"),
        "prompt",
        "schema background paragraph",
    ),
    "options after a colon": (
        {"question": "It is:", "options": ["A)x", "B)y"], "correct": "B"},
        user("It is:\n\nA)x\nB)y"),
        "question options",
        "correct",
    ),
    "options with labels in brackets": (
        {"question": "Which?\nOne:\n", "options": ["(A) x", "(B) y"]},
        user("Which?\nOne:\n\n(A) x\n(B) y"),
        "question options",
        "",
    ),
    "options in one text": (
        {"problem": "the sum is :", "options": "a ) 3 , b ) 4", "correct": "a"},
        user("the sum is :\n\na ) 3 , b ) 4"),
        "problem options",
        "correct",
    ),
    "labelled options within the prompt": (
        {"question": "ask\nA) x\nB) y", "options": ["A) x", "B) y"]},
        user("ask\nA) x\nB) y"),
        "question",
        "",
    ),
    "the choices of an endpoint": (
        {
            "prompt": "ask",
            "choices": [{"index": 0, "text": "x", "logprobs": None, "finish_reason": "stop"}],
        },
        user("ask"),
        "prompt",
        "choices",
    ),
    "the messages of an endpoint": (
        {"messages": user("ask"), "choices": [{"index": 0, "message": assistant("x")[0]}]},
        user("ask"),
        "messages",
        "choices",
    ),
    "settings": (
        {"prompt": "ask", "options": {"temperature": 0.5, "num_ctx": 8}, "stream": False},
        user("ask"),
        "prompt",
        "options stream",
    ),
    "answers to choose from": (
        {"prompt": "ask", "choice1": "x", "choice2": "y", "preference": 1},
        user("ask"),
        "prompt",
        "choice1 choice2 preference",
    ),
    "inputs in an object": (
        {"inputs": {"question": "ask", "context": "on"}, "outputs": {"answer": "x"}},
        user("ask\n\non"),
        "inputs.question inputs.context",
        "outputs",
    ),
    "a prompt in an object": (
        {"prompt": {"question": "ask", "choices": ["x", "y"], "lang": "de"}, "context": "on"},
        user("ask\n\non\n\nA. x\nB. y"),
        "prompt.question context prompt.choices",
        "prompt.lang",
    ),
    "a prompt in an object in an object": (
        {"inputs": {"prompt": {"instruction": "ask", "input": "on"}}},
        user("ask\n\non"),
        "inputs.prompt.instruction inputs.prompt.input",
        "",
    ),
    "a text in an object": (
        {"prompt": {"text": "ask", "toxicity": 0.5}, "continuation": {"text": "x"}},
        user("ask"),
        "prompt.text",
        "continuation prompt.toxicity",
    ),
    "columns of objects": (
        {"inputs.question": "ask", "inputs.context": "on", "outputs.answer": "x"},
        user("ask\n\non"),
        "inputs.question inputs.context",
        "outputs.answer",
    ),
    "a tagger's note": (
        {"instruction": "ask", "knowledge": "to ask", "intent": "to know", "response": "x"},
        user("ask"),
        "instruction",
        "knowledge intent response",
    ),
    "knowledge that a question is about": (
        {"question": "ask", "knowledge": "on this", "answer": "x"},
        user("ask\n\non this"),
        "question knowledge",
        "answer",
    ),
    "gold SQL": (
        {"instruction": "ask", "question": "q", "schema": "t(a)", "query": "SELECT a FROM t"},
        user("ask\n\nq\n\nt(a)"),
        "instruction question schema",
        "query",
    ),
    "a query in words": (
        {"instruction": "ask", "query": "Select the best"},
        user("ask\n\nSelect the best"),
        "instruction query",
        "",
    ),
    "a rendered text beside a dialogue": (
        {"messages": [*user("ask"), *assistant("x")], "text": "User: ask\nBot: x", "output": "x"},
        user("ask"),
        "messages",
        "text output",
    ),
    "a rendered text beside an instruction": (
        {"instruction": "ask ", "input": "on", "text": "Q: ask I: on A: x", "output": "x"},
        user("ask\n\non"),
        "instruction input",
        "text output",
    ),
    "a text with its class": (
        {"prompt": "ask", "text": "x", "story": "y", "label": 1},
        user("ask"),
        "prompt",
        "text story label",
    ),
    "code that computes the answer": (
        {"question": "ask", "code": "f(x)", "answer": "x"},
        user("ask"),
        "question",
        "code answer",
    ),
    "a language": (
        {"prompt": "ask", "code": "de", "context": "en_US", "answer": "x"},
        user("ask"),
        "prompt",
        "code context answer",
    ),
    "an address": (
        {"question": "ask", "email": "a.b@c.org", "answer": "x"},
        user("ask"),
        "question",
        "email answer",
    ),
    "ids": (
        {
            "question": "ask",
            "documents": ["doc_17", "doc_3"],
            "paragraph": "17",
            "passage": "0f8fad5b-d9cb-469f-a165-70867728950e",
        },
        user("ask"),
        "question",
        "documents paragraph passage",
    ),
    "gold proofs": (
        {"question": "ask", "evidence": [["Page", 3]], "facts": ["f"], "answer": True},
        user("ask"),
        "question",
        "evidence facts answer",
    ),
    "paragraphs with gold marks": (
        {
            "question": "ask",
            "paragraphs": [{"idx": 0, "title": "t", "paragraph_text": "on", "is_supporting": True}],
        },
        user("ask\n\nt\non"),
        "question paragraphs",
        "",
    ),
    "settings as a context": (
        {"messages": MESSAGES, "context": {"user_id": "u", "locale": "en"}},
        MESSAGES,
        "messages",
        "context",
    ),
    "an answer called a hypothesis": (
        {"prompt": "ask", "hypothesis": "x", "reference": "y"},
        user("ask"),
        "prompt",
        "hypothesis reference",
    ),
    "a source with the name of its set": (
        {"source": "ask", "target": "x", "rationale": "r", "task": "qa"},
        user("ask"),
        "source",
        "target rationale task",
    ),
    "a file's name and an address with a name": (
        {"question": "ask", "document": "reports/a-1.pdf", "email": "Ann <a@b.c>"},
        user("ask"),
        "question",
        "document email",
    ),
    "a logged request": (
        {
            "request": {"body": {"model": "m", "messages": WITH_SYSTEM}, "headers": {"a": "b"}},
            "response": {"choices": [{"message": assistant("x")[0]}]},
        },
        WITH_SYSTEM,
        "request.body.messages",
        "response request.headers request.body.model",
    ),
    "a stem and its options": (
        {"question": {"stem": "ask", "choices": [{"text": "x", "label": "A"}]}, "answerKey": "A"},
        user("ask\n\nA. x"),
        "question.stem question.choices",
        "answerKey",
    ),
    "a user in an object": ({"prompt": {"user": "ask"}}, user("ask"), "prompt.user", ""),
    "options with marked letters": (
        {"question": "ask", "options": {"A.": "x", "(B)": "y"}},
        user("ask\n\nA. x\nB. y"),
        "question options",
        "",
    ),
    "data in an object": (
        {"data": {"question": "ask", "context": "on"}, "id": 1},
        user("ask\n\non"),
        "data.question data.context",
        "id",
    ),
    "a message of somebody": (
        {"user": "Ann Lee", "message": "ask", "time": "now"},
        user("ask"),
        "message",
        "user time",
    ),
    "an issue of somebody": (
        {"title": "ask", "body": "on", "user": {"login": "ann"}},
        user("ask\n\non"),
        "title body",
        "user",
    ),
    "a post with a title alone": (
        {"title": "ask", "selftext": "", "score": 1},
        user("ask"),
        "title",
        "score",
    ),
    "a definition alone": (
        {"definition": "ask", "inputs": "", "targets": "x"},
        user("ask"),
        "definition",
        "targets",
    ),
    "a template with an answer of no usual name": (
        {"question": "ask", "sql": "SELECT a", "prompt": "# Q: ask\n# SQL: SELECT a"},
        user("ask"),
        "question",
        "sql prompt",
    ),
    "a template with marks at its end": (
        {"instruction": "ask", "output": "x", "prompt": "Q: ask\nA: x</s>\n"},
        user("ask"),
        "instruction",
        "output prompt",
    ),
    "texts in turn": (
        {"id": "0", "data": ["a", "b", "ask", "x"]},
        [*user("a"), *assistant("b"), *user("ask")],
        "data",
        "id",
    ),
    "a number as context": (
        {"question": "ask", "context": 4, "passage": 5},
        user("ask\n\n4"),
        "question context",
        "passage",
    ),
    "a number as context in a table of texts": (
        {"question": "ask", "context": "4", "passage": "5"},
        user("ask\n\n4"),
        "question context",
        "passage",
    ),
    "ROPES": (
        {"background": "on", "situation": "there", "question": "ask", "answers": ["x"]},
        user("ask\n\non\n\nthere"),
        "question background situation",
        "answers",
    ),
    "DuoRC": (
        {"plot": "on", "question": "ask", "answers": ["x"], "title": "t"},
        user("ask\n\non"),
        "question plot",
        "answers title",
    ),
    "Kahoot's form": (
        {
            "Question - max 120 characters": "ask",
            **{f"Answer {n} - max 75 characters": x for n, x in enumerate("xyz", 1)},
            "Answer 4 - max 75 characters": "",
            "Time limit (sec) – 5, 10 or 20 secs": 20,
            "Correct answer(s) - choose at least one": "1,3",
        },
        user("ask\n\n1. x\n2. y\n3. z"),
        "Question - max 120 characters "
        + " ".join(f"Answer {n} - max 75 characters" for n in (1, 2, 3)),
        "Time limit (sec) – 5, 10 or 20 secs Correct answer(s) - choose at least one",
    ),
    "Blooket's form": (
        {
            "Question Text": "ask",
            "Answer 1": "x",
            "Answer 2": "y",
            "Answer 3\n(Optional)": None,
            "Correct Answer(s)\n(Only include Answer #)": 2.0,
        },
        user("ask\n\n1. x\n2. y"),
        "Question Text Answer 1 Answer 2",
        "Correct Answer(s)\n(Only include Answer #)",
    ),
    "answers by letter and the letter of the right one": (
        {"question": "ask", "answer_a": "x", "answer_b": "y", "answer_c": "z", "answer": "B"},
        user("ask\n\nA. x\nB. y\nC. z"),
        "question answer_a answer_b answer_c",
        "answer",
    ),
    "answers of people and the correct one": (
        {"question": "ask", "answer1": "x", "answer2": "y", "correct_answer": "It is z"},
        user("ask"),
        "question",
        "answer1 answer2 correct_answer",
    ),
    "two answers and which is better": (
        {"question": "ask", "answer_a": "x", "answer_b": "y", "label": 1},
        user("ask"),
        "question",
        "answer_a answer_b label",
    ),
    "sampled answers and the one that is known": (
        {"question": "ask", "answer_1": "42", "answer_2": "41", "answer_3": "42", "answer": "42"},
        user("ask"),
        "question",
        "answer_1 answer_2 answer_3 answer",
    ),
    "samples as numbers and a known number": (
        {"question": "ask", "answer_1": "5", "answer_2": "6", "answer_3": "7", "answer": "2"},
        user("ask"),
        "question",
        "answer_1 answer_2 answer_3 answer",
    ),
    "samples by letter, which are letters": (
        {"question": "ask", "answer_a": "A", "answer_b": "B", "answer_c": "C", "answer": "B"},
        user("ask"),
        "question",
        "answer_a answer_b answer_c answer",
    ),
    "samples that are equal and a letter": (
        {"question": "ask", "answer_a": "x", "answer_b": "y", "answer_c": "x", "answer": "B"},
        user("ask"),
        "question",
        "answer_a answer_b answer_c answer",
    ),
    "a preference of three": (
        {"prompt": "ask", "answer_a": "x", "answer_b": "y", "answer_c": "z", "label": "b"},
        user("ask"),
        "prompt",
        "answer_a answer_b answer_c label",
    ),
    "two samples, one of them correct": (
        {"question": "ask", "answer_1": "x", "answer_2": "y", "correct": "1"},
        user("ask"),
        "question",
        "answer_1 answer_2 correct",
    ),
    "answers and the number of the right one": (
        {"question": "ask", "answer1": "x", "answer2": "y", "correct_answer": 2},
        user("ask\n\n1. x\n2. y"),
        "question answer1 answer2",
        "correct_answer",
    ),
    "numbers in a form, and the number of the right one": (
        {
            "Question": "ask",
            "Answer 1": "2",
            "Answer 2": "1",
            "Correct Answer(s)\n(Only include Answer #)": "1",
        },
        user("ask\n\n1. 2\n2. 1"),
        "Question Answer 1 Answer 2",
        "Correct Answer(s)\n(Only include Answer #)",
    ),
    "StrategyQA": (
        {"term": "t", "question": "ask", "answer": True, "facts": "x. y.", "decomposition": ["z"]},
        user("ask"),
        "question",
        "term answer facts decomposition",
    ),
    "facts beside steps to the answer": (
        {"question": "ask", "facts": "x", "decomposition": "y? z?", "answer": "no"},
        user("ask"),
        "question",
        "facts decomposition answer",
    ),
    "a chat of Claude's export": (
        {
            "name": "a chat",
            "chat_messages": [
                {"text": "m", "content": [{"type": "text", "text": "m"}], "sender": "human"},
                {
                    "text": "hm x",
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "text", "text": "x", "citations": []},
                    ],
                    "sender": "assistant",
                    "attachments": [],
                },
                {"text": "ask", "content": [], "sender": "human", "attachments": [], "files": []},
                {"text": "y", "sender": "assistant"},
            ],
        },
        [*user("m"), *assistant("x"), *user("ask")],
        "chat_messages",
        "name",
    ),
    "FairytaleQA": (
        {"story_section": "on", "question": "ask", "answer1": "x", "answer2": "y"},
        user("ask\n\non"),
        "question story_section",
        "answer1 answer2",
    ),
    "SVAMP": (
        {"Body": "on", "Question": "ask", "Equation": "1+1", "Answer": 2},
        user("ask\n\non"),
        "Question Body",
        "Equation Answer",
    ),
    "ScienceQA": (
        {"question": "ask", "choices": ["x", "y"], "hint": "on", "lecture": "l", "answer": 1},
        user("ask\n\non\n\nA. x\nB. y"),
        "question hint choices",
        "lecture answer",
    ),
    "DREAM": (
        {"dialogue": ["hi", "ho"], "question": "ask", "choice": ["x", "y"], "answer": "x"},
        user("ask\n\nhi\n\nho\n\nA. x\nB. y"),
        "question dialogue choice",
        "answer",
    ),
    "ReClor": (
        {"context": "on", "question": "ask", "answers": ["x", "y"], "label": 1, "id_string": "i"},
        user("ask\n\non\n\nA. x\nB. y"),
        "question context answers",
        "label id_string",
    ),
    "CosmosQA": (
        {"context": "on", "question": "ask", "answer0": "x", "answer1": "y", "label": 1},
        user("ask\n\non\n\n0. x\n1. y"),
        "question context answer0 answer1",
        "label",
    ),
    "SIQA": (
        {"context": "on", "question": "ask", "answerA": "x", "answerB": "y", "label": "1"},
        user("ask\n\non\n\nA. x\nB. y"),
        "question context answerA answerB",
        "label",
    ),
    "COPA": (
        {"premise": "on", "question": "cause", "choice1": "x", "choice2": "y", "label": 0},
        user("on\n\ncause\n\n1. x\n2. y"),
        "premise question choice1 choice2",
        "label",
    ),
    "an excerpt beside an answer": (
        {"query": "ask", "excerpt": "on", "snippet": "there", "answer": "x"},
        user("ask\n\non\n\nthere"),
        "query excerpt snippet",
        "answer",
    ),
    "an excerpt that may be the answer": (
        {"instruction": "ask", "excerpt": "x", "snippet": "y"},
        user("ask"),
        "instruction",
        "excerpt snippet",
    ),
    "Belebele": (
        {"flores_passage": "on", "question": "ask", "mc_answer1": "x", "mc_answer2": "y"},
        user("ask\n\non\n\n1. x\n2. y"),
        "question flores_passage mc_answer1 mc_answer2",
        "",
    ),
    "a marker of no input": (
        {"instruction": "ask", "input": "<noinput>"},
        user("ask"),
        "instruction",
        "",
    ),
    "an answer in the input": (
        {"instruction": "ask", "input": {"problem": "on", "finalAnswer": "x", "answer_type": "t"}},
        user('ask\n\n{"problem": "on", "answer_type": "t"}'),
        "instruction input",
        "input.finalAnswer",
    ),
    "an answer deep in the input": (
        {"instruction": "ask", "inputs": {"a": {"b": 1, "gold": "x"}}},
        user('ask\n\n{"a": {"b": 1}}'),
        "instruction inputs",
        "inputs.a.gold",
    ),
    "answers in an input as JSON text": (
        {"instruction": "ask", "input": '[{"q": "on", "solution": "x"}, {"q": "é"}]'},
        user('ask\n\n[{"q": "on"}, {"q": "é"}]'),
        "instruction input",
        "input.solution",
    ),
    "nothing but the answer in the input": (
        {"instruction": "ask", "input": {"answer": "x"}},
        user("ask"),
        "instruction",
        "input input.answer",
    ),
    "a copy of the answer in the input": (
        {"instruction": "ask", "input": {"problem": "on", "answer": 4}, "output": "It is 4"},
        user('ask\n\n{"problem": "on"}'),
        "instruction input",
        "output input.answer",
    ),
    "an answer to judge": (
        {"instruction": "ask", "input": {"question": "q", "answer": "y"}, "output": "5"},
        user('ask\n\n{"question": "q", "answer": "y"}'),
        "instruction input",
        "output",
    ),
    "options with marks in place of labels": (
        {
            "question": "ask",
            "choices": [{"text": x, "label": y} for x, y in (("x", "Correct"), ("y", "Wrong"))],
        },
        user("ask\n\nA. x\nB. y"),
        "question choices",
        "",
    ),
    "options with a mark each": (
        {"question": "ask", "choices": [["x", True], ["y", False]]},
        user("ask\n\nA. x\nB. y"),
        "question choices",
        "",
    ),
    "options after a mark each": (
        {"question": "ask", "options": [["wrong", "x"], ["right", "y"]]},
        user("ask\n\nA. x\nB. y"),
        "question options",
        "",
    ),
    "options after a letter each": (
        {"question": "ask", "options": [["(a)", "x"], ["(b)", "y"]]},
        user("ask\n\na. x\nb. y"),
        "question options",
        "",
    ),
    "a mark at the begin": ({"prompt": "\ufeffask"}, user("ask"), "prompt", ""),
    "by speaker": ({"user": "ask", "assistant": "x"}, user("ask"), "user", "assistant"),
}


FAQ = "On the shop.\n\nQ: Where?\nA: In Rome.\n\nQ: When?\nA: At 9\n\nQ: Why?\nA: So."
CONTEXTS: dict[str, dict[str, Any]] = {
    "a context": {"question": "When?", "context": FAQ, "answer": "At 9"},
    "a document": {"query": "When?", "document": FAQ, "response": "At 9"},
    "an input": {"instruction": "When?", "input": FAQ, "output": "At 9"},
    "without an answer": {"question": "When?", "context": FAQ},
    "beside a text of some words": {"question": "When?", "context": FAQ, "remark": "on and on"},
    "the question is the first": {"question": "When?", "context": FAQ[41:], "answer": "At 9"},
    "the answer is also the last": {
        "question": "Open?",
        "context": "Q: Open?\nA: Yes\n\nQ: Parking?\nA: Yes",
        "answer": "Yes",
    },
    "a thread": {
        "question": "How?",
        "context": "Thread\nHow?\nReply: so\nReply: thanks",
        "answer": "so",
    },
    "a mail": {"question": "How?", "context": "Mail: How?\n\nAnswer: so\n\nBest", "answer": "so"},
}


@each("row", CONTEXTS)
def test_a_context_that_has_the_question_in_it_is_asked_whole(
    row: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps(row) + "\n")
    [one] = read_prompts(Source(place=str(place))).rows
    ask, about, *_ = row.values()
    assert one["prompt"] == user(f"{ask}\n\n{about}")


def test_a_row_whose_answers_are_samples_shows_that_those_of_its_file_are(tmp_path: Path) -> None:
    rows = [
        {"question": f"ask {x}", "answer_1": x, "answer_2": "y", "correct_answer": mark}
        for x, mark in (("v", "1"), ("w", "2"), ("y", "y"))
    ]
    place = tmp_path / "a.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_prompts(Source(place=str(place)))
    assert [row["prompt"] for row in read.rows] == [user(f"ask {x}") for x in "vwy"]
    place.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    read = read_prompts(Source(place=str(place)))
    assert [row["prompt"] for row in read.rows] == [user(f"ask {x}\n\n1. {x}\n2. y") for x in "vw"]


@each(("row", "prompt", "used", "unused"), JOINED)
def test_nothing_of_a_prompt_is_left_out_unless_it_is_named(
    row: dict[str, Any], prompt: list[dict[str, str]], used: str, unused: str, tmp_path: Path
) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps(row) + "\n")
    loaded = read_prompts(Source(place=str(place)))
    assert loaded.rows == [{"id": row_id(prompt), "prompt": prompt}]
    assert " ".join(loaded.columns) == used and " ".join(loaded.unused) == unused


def tree(*messages: dict[str, Any] | None) -> dict[str, Any]:
    """The messages in nodes of ChatGPT's export, one the child of the other, and a branch."""
    nodes: dict[str, Any] = {"other": {"message": None, "parent": "0", "children": []}}
    for place, message in enumerate(messages):
        parent = str(place - 1) if place else None
        last = place + 1 == len(messages)
        children = [] if last else ["other", "1"] if not place else [str(place + 1)]
        nodes[str(place)] = {"message": message, "parent": parent, "children": children}
    return nodes


def message(role: str, text: str, **facts: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    return {"author": {"role": role}, "content": content, "metadata": facts}


JOINED["a chat of ChatGPT's export"] = (
    {
        "title": "a chat",
        "current_node": "3",
        "mapping": tree(
            None,
            message("system", ""),
            message("user", "about me", is_visually_hidden_from_conversation=True),
            message("user", "m"),
            {
                "author": {"role": "assistant"},
                "content": {"content_type": "thoughts", "thoughts": []},
            },
            message("assistant", "x"),
            message("user", "ask"),
            message("assistant", "y"),
        ),
    },
    [*user("m"), *assistant("x"), *user("ask")],
    "mapping",
    "title current_node",
)
LEFT_OUT: dict[str, tuple[dict[str, Any], str, str]] = {
    "an image": ({"question": "ask", "image": "a.png"}, "unreadable", "column 'image' holds"),
    "images": ({"messages": MESSAGES, "images": [{"bytes": None}]}, "unreadable", "'images' holds"),
    "a sound": ({"instruction": "ask", "Audio": {"path": "a"}}, "unreadable", "'Audio' holds"),
    "tools in a request": ({"body": {"input": "ask", "tools": [{}]}}, "tool turns", "'tools'"),
    "images in a turn": (
        {"messages": [{"role": "user", "content": "m", "images": ["aGk="]}]},
        "unreadable",
        "a turn has 'images'",
    ),
    "a file in a turn": (
        {"messages": [{"role": "user", "content": "m", "attachments": ["a"]}]},
        "unreadable",
        "a turn has 'attachments'",
    ),
    "a file in a chat of ChatGPT's export": (
        {"mapping": tree(None, message("user", "m", attachments=[{"name": "a.pdf"}]))},
        "unreadable",
        "a turn has 'attachments'",
    ),
    "a mapping of something else": ({"mapping": {"a": 1}}, "unreadable", "has no 'role'"),
    "a file in a chat of Claude's export": (
        {
            "chat_messages": [
                {"sender": "human", "text": "m", "attachments": [{"extracted_content": "on"}]}
            ]
        },
        "unreadable",
        "a turn has 'attachments'",
    ),
    "a context in a turn": (
        {"conversations": [{"instruction": "ask", "context": "on", "output": "x"}]},
        "unreadable",
        "a turn has 'context'",
    ),
    "tools in an object": ({"input": {"messages": MESSAGES, "tools": [{}]}}, "tool turns", "tools"),
    "the name of a task": ({"task": "qa-1", "sentence": "on"}, "unreadable", "with prompts"),
    "the name of a kind of tasks": (
        {"task": "text classification", "sentence": "on"},
        "unreadable",
        "with prompts",
    ),
    "the name of a person": ({"user": "Ann B. Lee", "content": "on"}, "unreadable", "with prompts"),
    "the name of a user": ({"user": "u_1", "content": "on"}, "unreadable", "with prompts"),
    "a model in a turn": ({"messages": [{"model": "m"}]}, "unreadable", "has no 'role'"),
    "a request without a text": ({"body": {"model": "m"}}, "unreadable", "has no 'role'"),
}


@each(("row", "word", "why"), LEFT_OUT)
def test_a_row_with_what_is_no_text_is_left_out(row: dict[str, Any], word: str, why: str) -> None:
    reason = PromptColumns().prompt(row)
    assert isinstance(reason, Reason) and reason.word == word and why in reason.why


def test_the_columns_that_the_user_names_are_asked_beside_an_image(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps({"question": "ask", "image": "a.png"}) + "\n")
    loaded = read_prompts(Source(place=str(place), column="question"))
    assert loaded.rows[0]["prompt"] == user("ask") and loaded.unused == ["image"]


def test_a_request_that_the_user_names_is_read_as_such(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps({"prompt": "m", "body": {"model": "m", "prompt": "ask"}}) + "\n")
    loaded = read_prompts(Source(place=str(place), column="body"))
    assert loaded.rows[0]["prompt"] == user("ask")
    assert loaded.columns == ["body.prompt"] and loaded.unused == ["prompt", "body.model"]


NAMED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a path": ({"body": {"messages": MESSAGES, "model": "m"}}, "body.messages", "m"),
    "a deep path": ({"a": {"b": {"c": "x"}}, "d": "y"}, "d + a.b.c", "y\n\nx"),
    "two of one object": ({"a": {"b": "x", "c": "y"}}, "a.b+a.c", "x\n\ny"),
    "a name with a dot": ({"a.b": "x", "a": {"b": "y"}}, "a.b", "x"),
    "blanks": ({"a": "x", "b": "y"}, "a + b", "x\n\ny"),
    "a plus in a name": ({"C++": "x", "b": "y"}, "C+++b", "x\n\ny"),
    "a dialogue": ({"doc": "on", "chat": [*MESSAGES, *assistant("x")]}, "doc+chat", "m\n\non"),
    "texts in turn": ({"doc": "on", "conversations": ["m", "x"]}, "doc+conversations", "m\n\non"),
    "a rendered dialogue": (
        {"doc": "on", "chosen": "\n\nHuman: m\n\nAssistant: x"},
        "doc+chosen",
        "m\n\non",
    ),
    "an object": ({"doc": "on", "prompt": {"question": "ask"}}, "prompt+doc", "ask\n\non"),
    "options": (
        {"stem": "ask", "choices": {"text": ["x"], "label": ["1"]}},
        "stem+choices",
        "ask\n\n1. x",
    ),
}


@each(("row", "column", "prompt"), NAMED)
def test_columns_that_the_user_names_are_joined_whatever_they_hold(
    row: dict[str, Any], column: str, prompt: str
) -> None:
    found = PromptColumns(column).prompt(row)
    assert isinstance(found, dict) and found["prompt"] == user(prompt)


def test_columns_can_be_named_as_they_are_printed(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    row = {"body": {"messages": WITH_SYSTEM, "model": "m"}, "custom_id": "1"}
    place.write_text(json.dumps(row) + "\n")
    usual = read_prompts(Source(place=str(place)))
    named = read_prompts(Source(place=str(place), column=usual.columns[0]))
    assert named.rows == usual.rows and named.unused == ["custom_id", "body.model"]
    with pytest.raises(InputError, match=r"'body\.text'; there are custom_id, body\.messages"):
        read_prompts(Source(place=str(place), column="body.text"))


def test_two_dialogues_are_not_joined() -> None:
    reason = PromptColumns("a+b").prompt({"a": MESSAGES, "b": [*MESSAGES, *assistant("x")]})
    assert isinstance(reason, Reason) and "a second dialogue" in reason.why


def test_a_prompt_that_is_the_same_in_all_rows_announces_what_differs(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    rows = [{"prompt": "Answer in a word.", "question": x, "answer": "y"} for x in ("a?", "b?")]
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = read_prompts(Source(place=str(place)))
    prompts = [row["prompt"] for row in loaded.rows]
    assert prompts == [user("Answer in a word.\n\na?"), user("Answer in a word.\n\nb?")]
    assert loaded.columns == ["prompt", "question"] and loaded.unused == ["answer"]
