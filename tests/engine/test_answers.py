"""One response body is an answer with how it ended, or a failure; nothing in it does harm later."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.drafting.outcomes import call_rows
from builders.engine.answers import read_answer
from builders.engine.calls import Answer, Call, Failure
from builders.engine.ledger import Ledger
from builders.engine.refusals import Target
from builders.engine.response_bodies import in_utf8
from builders.schema import CALLS
from tests.cases import each

TARGET = Target(name="http://x/v1", model="m", key="")
CALL = Call(role="writer", endpoint="http://x/v1", model="m", revision=None, prompt="Name a river.")
NILE = "The Nile."


def chat(content: Any = NILE, finish: Any = "stop", choice: Any = None, **body: Any) -> Any:
    """A body with one choice; `message` are more fields of its message."""
    message = {"role": "assistant", "content": content, **body.pop("message", {})}
    one = {"index": 0, "message": message, "finish_reason": finish, **(choice or {})}
    usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    return {"model": "m", "choices": [one], "usage": usage, **body}


def read(body: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(content, lambda: TARGET)


def failure(body: Any) -> Failure:
    with pytest.raises(Failure) as found:
        read(body)
    return found.value


# --- how it ended

WORDS = {
    "complete": "success SUCCEEDED end END stop_str stop-words end_id eos_token_id REASON_STOP "
    "stop STOP end_turn stop_sequence eos eos_token COMPLETE completed finished "
    "stopStringFound FINISH_REASON_STOP FinishReason.STOP",
    "length": "max_len REASON_MAX_LEN MAX_TOKENS_REACHED token_limit_reached "
    "length max_tokens MAX_TOKENS max_output_tokens model_length incomplete token_limit "
    "FinishReason.MAX_TOKENS model_context_window_exceeded max-tokens",
    "filtered": "content_filter content-filter SAFETY MODEL_ARMOR "
    "RECITATION PROHIBITED_CONTENT BLOCKLIST SPII "
    "guardrail_intervened content_filtered sensitive ERROR_TOXIC",
    "refused": "refusal",
    "tool_calls": "tool_calls function_call tool_use tool-calls",
    "aborted": "abort aborted cancelled canceled USER_CANCEL error ERROR timeout network_error "
    "modelUnloaded insufficient_system_resource MALFORMED_FUNCTION_CALL pause_turn failed "
    "other OTHER FINISH_REASON_OTHER repetition_truncation repetition_detected eviction",
    "unknown": "FINISH_REASON_UNSPECIFIED sabbatical 7 st\ufffdop stop\ufffd stop? no",
}
FAULTS = {
    "length": "cut off",
    "filtered": "filtered",
    "refused": "refused",
    "aborted": "broken off",
    "tool_calls": "tool call",
    "unknown": "unknown end",
    "complete": None,
}


@each(("end", "words"), [*WORDS.items()])
def test_the_field_s_words_for_an_end_have_one_meaning_each(end: str, words: str) -> None:
    for word in words.split():
        found = read(chat("Half a", word))
        expected = "complete" if word == "stop?" else end  # separators do not count
        assert (found.ended, found.finish_reason) == (expected, word), word
        assert found.fault() == FAULTS[expected]


@each("word", [None, "", "null", "None", [], {}])
def test_an_endpoint_that_reports_no_end_is_not_trusted(word: Any) -> None:
    found = read(chat("Half a", word))
    assert (found.ended, found.finish_reason, found.fault()) == ("unknown", None, "unknown end")


@each(
    ("choice", "end"),
    [
        ({"native_finish_reason": "MAX_TOKENS"}, "length"),
        ({"native_finish_reason": "content_filter"}, "filtered"),
        ({"native_finish_reason": "STOP"}, "complete"),
        ({"native_finish_reason": "length"}, "length"),
        ({"native_finish_reason": "safety"}, "filtered"),
        ({"done_reason": "length"}, "length"),
        ({"done_reason": "stop"}, "complete"),
        ({"finishReason": "error"}, "aborted"),
        ({"native_finish_reason": "stop"}, "complete"),
        ({"native_finish_reason": "a new word"}, "complete"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "refused"),
        ({"stop_reason": 151645}, "complete"),  # vLLM: the token that stopped it
        ({"stop_reason": "length"}, "complete"),  # or the text
        ({"stop_reason": None}, "complete"),
        ({"stop_details": {"type": "refusal", "category": "x"}}, "refused"),
        ({"stop_details": None}, "complete"),
        ({"stop_type": "limit"}, "length"),
        ({"stop_type": "eos"}, "complete"),
        ({"stop_type": "word"}, "complete"),
        ({"truncated": True}, "length"),
        ({"truncated": False}, "complete"),
        ({"stopReason": "guardrail_intervened"}, "filtered"),
        ({"status": "incomplete"}, "length"),
        ({"status": "completed"}, "complete"),
        ({"status": 200}, "complete"),
        ({"finish_reason": None, "status": "completed"}, "unknown"),
        ({"finish_reason": None, "truncated": True}, "unknown"),
        ({"finish_reason": "length", "truncated": False}, "length"),
        ({"finish_reason": "st\ud800op"}, "unknown"),
        ({"content_filter_results": {"hate": {"filtered": False}}}, "complete"),
        ({"content_filter_results": {"hate": {"filtered": True}}}, "filtered"),
        ({"content_filter_results": {"custom_blocklists": [{"filtered": True}]}}, "filtered"),
        ({"content_filter_results": {"custom_blocklists": [{"filtered": False}]}}, "complete"),
        ({"finish_reason": "content_filter: violence"}, "filtered"),
        ({"finish_reason": None, "stop_reason": "end_turn"}, "complete"),
        ({"finish_reason": None, "stop_reason": "\n\n"}, "unknown"),
        ({"finish_reason": None, "finishReason": "SAFETY"}, "filtered"),
        ({"finish_reason": {"type": "length", "length": 16}}, "length"),  # SGLang
        ({"finish_reason": {"type": "stop", "matched": 2}}, "complete"),
    ],
)
def test_what_contradicts_or_completes_the_end_decides(choice: Any, end: str) -> None:
    assert read(chat(choice=choice)).ended == end


@each(
    ("beside", "end"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ({"status": "completed", "incomplete_details": None}, "complete"),
        ({"status": "failed"}, "aborted"),
        ({"status": "success"}, "complete"),
        ({"stop_type": "limit", "truncated": False}, "length"),
        ({"stopped_eos": True, "stopped_limit": True}, "length"),
        ({"stopped_eos": True, "stopped_limit": False}, "complete"),
        ({"truncated": True, "stop_type": "eos"}, "length"),
        ({"stop_details": {"type": "refusal"}}, "refused"),
        ({"is_truncated": True}, "length"),
        ({"need_clear_history": True}, "filtered"),
        ({"is_truncated": False, "need_clear_history": False}, "complete"),
        ({"output_sensitive": True, "output_sensitive_type": 1}, "filtered"),
        ({"input_sensitive": True, "output_sensitive": False}, "filtered"),
        ({"input_sensitive": False, "output_sensitive": False}, "complete"),
    ],
)
def test_another_end_beside_the_choice_decides(beside: Any, end: str) -> None:
    assert read(chat(**beside)).ended == end


# --- answers that are no answer to use

TOOLS = [{"function": {"name": "f"}}]
UNREAD: dict[str, Any] = {"parsed": None, "fault": None}
USE = {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}


@each(
    ("body", "fault"),
    [
        (chat(None, "content_filter"), "filtered"),
        (chat("", "content_filter"), "filtered"),
        (chat(None, "stop", message={"refusal": "I cannot help."}), "refused"),
        (chat([{"type": "refusal", "refusal": "No."}]), "refused"),
        (chat(message={"refusal": True}), "refused"),
        (chat({}), "empty"),
        (chat(None, "length", message={"reasoning_content": "On and on"}), "cut off"),
        (chat("<think>On and on", "stop"), "cut off"),
        (
            chat(None, "tool_calls", message={"tool_calls": TOOLS}),
            "tool call",
        ),
        (chat(None, "stop", message={"tool_calls": TOOLS}), "tool call"),
        (chat(None, "stop", message={"function_call": {"name": "f"}}), "tool call"),
        (chat([{"type": "text", "text": "I look."}, USE]), "tool call"),
        (chat('<tool_call>\n{"name": "f"}\n</tool_call>'), "tool call"),
        (chat(f"{NILE}\n<think>Was this right?"), "template marks"),
        (chat([{"functionCall": {"name": "f", "args": {"a": 1}}}]), "tool call"),
        (chat([{"toolUse": {"name": "f", "input": {}}}]), "tool call"),
        (chat(None, "stop"), "empty"),
        ({"usage": {"prompt_tokens": 3}}, "empty"),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}, "empty"),
        ({"choices": None, "usage": {"total_tokens": 3}}, "empty"),
        ({"choices": [{"message": None}], "usage": {"prompt_tokens": 3}}, "empty"),
        ({"choices": [{"message": None, "finish_reason": "stop"}]}, "empty"),
        ({"choices": [{"finish_reason": "stop"}]}, "empty"),
        (chat(" \n", "stop"), "empty"),
        (chat("\u200b\u200b", "stop"), "empty"),
        (chat("\ufeff \u2060\n\u00ad", "stop"), "empty"),
        (chat("<think>a</think>\n\u200b", "stop"), "empty"),
        (chat([], "stop"), "empty"),
        (chat([{"type": "image_url", "image_url": {"url": "x"}}], "stop"), "not only text"),
        (chat([NILE, {"type": "image_url", "image_url": {}}]), "not only text"),
        (chat([{"type": "text", "text": NILE}, {"type": "output_image"}]), "not only text"),
        (chat([{"text": NILE}, {"inlineData": {"mimeType": "image/png"}}]), "not only text"),
        (chat([{"type": "audio", "data": "x"}, {"text": NILE}]), "not only text"),
        (
            {
                "output": {"message": {"content": [{"text": NILE}, {"image": {"format": "png"}}]}},
                "stopReason": "end_turn",
            },
            "not only text",
        ),
        (chat(NILE, message={"images": [{"type": "image_url"}]}), "not only text"),
        (chat([NILE, {"type": "image_url", "image_url": {}}], "length"), "cut off"),
        (chat([NILE, {"type": "image_url"}], message={"refusal": "No."}), "refused"),
        (chat(f"{NILE}<|im_end|>\n<|im_start|>user\nAnd?"), "template marks"),
        ({"choices": [{"finish_reason": "content_filter"}]}, "filtered"),
        ({"choices": [], "prompt_feedback": {"block_reason": "SAFETY"}}, "filtered"),
        ({"candidates": [{"finishReason": "RECITATION"}]}, "filtered"),
    ],
)
def test_a_non_answer_is_an_answer_that_has_a_fault(body: Any, fault: str) -> None:
    assert read(body).fault() == fault


def test_a_recipe_can_accept_an_end_but_no_empty_text() -> None:
    cut, thought = read(chat("Half a", "length")), read(chat("<think>a", "length"))
    assert (cut.fault("length"), thought.fault("length")) == (None, "cut off")
    call = read(chat(None, "tool_calls", message={"tool_calls": TOOLS}))
    assert call.fault("tool_calls") is None


def test_of_a_refusal_the_words_are_kept() -> None:
    found = read(chat(None, message={"refusal": "I cannot help."}))
    assert (found.text, found.input_tokens, found.output_tokens) == ("I cannot help.", 9, 12)


def test_a_call_of_a_tool_has_one_form_with_its_arguments_as_text() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"function": {"name": "g", "arguments": {"b": [1, "\ud83d"]}}},
        {"name": "h"},
        None,
    ]
    found = read(chat(None, "tool_calls", message={"tool_calls": calls})).tool_calls
    assert found is not None
    assert [(one["id"], one["function"]) for one in found] == [
        ("1", {"name": "f", "arguments": '{"a": 1}'}),
        ("", {"name": "g", "arguments": '{"b": [1, "\ufffd"]}'}),
        ("", {"name": "h", "arguments": "null"}),
    ]


def test_the_call_of_a_tool_that_is_a_part_has_the_same_form_and_the_text_is_kept() -> None:
    found = read(chat([{"type": "text", "text": "I look."}, USE]))
    function = {"name": "f", "arguments": '{"a": 1}'}
    assert found.tool_calls == [{"id": "1", "type": "function", "function": function}]
    assert found.text == "I look."


# --- parts, thinking and choices


@each(
    ("content", "reasoning"),
    [
        ([{"type": "text", "text": "The "}, {"type": "text", "text": "Nile."}], None),
        ([{"type": "output_text", "text": NILE, "annotations": []}], None),
        ([{"type": "thinking", "thinking": "a"}, {"type": "text", "text": NILE}], "a"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, NILE], "a"),
        ([{"type": "redacted_thinking", "data": "x"}, {"text": NILE}], None),
        ([{"type": "reasoning", "summary": [{"type": "s", "text": "a"}]}, {"text": NILE}], "a"),
        (["The ", {"text": "Nile."}, {"type": "citation", "start": 0}], None),
        ([{"type": "text", "text": NILE}, {"type": "web_search_result", "title": "x"}], None),
        ({"text": NILE}, None),
        ([{"text": "a", "thought": "true"}, {"text": NILE, "thought": "false"}], "a"),
        ([{"reasoningContent": {"reasoningText": {"text": "a"}}}, {"text": NILE}], "a"),
        ({"parts": [{"text": "a", "thought": True}, {"text": NILE}], "role": "model"}, "a"),
        ([{"type": "text", "text": {"value": NILE, "annotations": []}}], None),
        ([{"type": "reasoning", "content": [{"text": "a"}]}, {"content": [{"text": NILE}]}], "a"),
    ],
)
def test_the_parts_of_a_content_are_joined(content: Any, reasoning: str | None) -> None:
    found = read(chat(content))
    assert (found.text, found.reasoning) == (NILE, reasoning)


def test_an_answer_by_a_schema_that_a_server_has_parsed_is_json_again() -> None:
    assert read(chat({"summary": "Plain.", "score": 7})).text == '{"summary": "Plain.", "score": 7}'


@each(
    "message",
    [
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}, {"data": "x"}]},
        {"reasoning_content": None, "thinking_blocks": [{"type": "thinking", "thinking": "a"}]},
        {"thinking": "a"},
        {"thinking_content": "a"},
        {"thought": "a", "refusal": "None"},
        {"provider_specific_fields": {"reasoning_content": "a"}},
        {"content": f"<think>a</think>\n\n{NILE}"},
    ],
)
def test_reasoning_is_found_under_each_of_its_names(message: Any) -> None:
    found = read(chat(message=message))
    assert (found.text, found.reasoning) == (NILE, "a")


@each("field", ["reasoning", "reasoning_content"])
def test_reasoning_beside_the_message_is_found_too(field: str) -> None:
    assert read(chat(choice={field: "a"})).reasoning == "a"


def test_the_halves_of_a_character_are_joined_and_one_alone_is_no_whole_answer() -> None:
    parts = [{"text": "A \ud83c"}, {"text": "\udf0a here"}]
    assert read(chat(parts)).text == "A 🌊 here"
    assert read(
        events(delta({"content": "A \ud83c"}), delta({"content": "\udf0a"}, "stop"))
    ).text == ("A 🌊")
    half = read(chat("A \ud83c here"))
    assert (half.text, half.fault()) == ("A \ufffd here", "broken off")


def test_bytes_that_are_no_utf_8_spoil_only_the_field_that_has_them() -> None:
    body = json.dumps(chat(system_fingerprint="@")).encode().replace(b"@", b"\xe9")
    assert (read(body).text, read(body).fault()) == (NILE, None)
    assert read(json.dumps(chat("@")).encode().replace(b"@", b"\xe9")).fault() == "broken off"


@each(
    "body",
    [
        json.dumps(chat("The\nNile.")).encode().replace(b"\\n", b"\n"),
        json.dumps(chat("The\nNile.")).encode() + b"\ndata: [DONE]\n",
        json.dumps(chat("The\nNile.")).encode() + b"\n\n[DONE]",
    ],
)
def test_json_that_is_almost_right_is_read(body: bytes) -> None:
    assert read(body).text == "The\nNile."


def test_a_body_in_another_character_set_is_read_where_its_header_names_it() -> None:
    text = json.dumps(chat("Ä, 雨"), ensure_ascii=False)
    assert in_utf8(text.encode("gbk", "replace"), "gbk").decode() == text.replace("Ä", "?")
    for body, charset in ((text.encode(), "latin-1"), (b"\xff", "no-such"), (b"\xff", "ascii")):
        assert in_utf8(body, charset) == body


def choice_at(index: Any, text: str) -> Any:
    return {"index": index, "message": {"content": text}, "finish_reason": "stop"}


@each(
    "choices",
    [
        [choice_at(1, "b"), choice_at(0, NILE)],
        [choice_at(None, NILE), choice_at(None, "b")],
        [choice_at(1, "b"), choice_at("0", NILE)],
        [None, choice_at(3, NILE)],
        {"0": choice_at(0, NILE)},
    ],
)
def test_the_choice_is_the_one_with_index_0(choices: Any) -> None:
    assert read({"choices": choices}).text == NILE


@each(
    "body",
    [
        {"choices": [{"text": NILE, "finish_reason": "stop"}]},
        {"choices": [{"text": NILE, "message": None, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": NILE}, "finish_reason": "stop"}]},
        {"message": {"role": "assistant", "content": NILE}, "done_reason": "stop"},
        {"content": [{"type": "text", "text": NILE}], "stop_reason": "end_turn"},
        {"candidates": [{"content": {"parts": [{"text": NILE}]}, "finishReason": "STOP"}]},
        [chat()],
        {"result": NILE, "is_truncated": False, "finish_reason": "normal"},
        {"result": NILE, "is_truncated": False},
        {"result": NILE, "is_truncated": False, "is_end": True},
        chat([{"text": NILE, "image": None}]),
        {"output": {"text": NILE, "finish_reason": "stop"}, "request_id": "x"},
        {"output": {"text": None, **chat()}, "request_id": "x"},
        {"output": {"text": NILE, "choices": None, "finish_reason": "stop"}, "message": ""},
        {"output": {"message": {"content": [{"text": NILE}]}}, "stopReason": "end_turn"},
        {
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": NILE}]},
            ],
            "text": {"format": {"type": "text"}},
        },
        {**chat(), "error": None},
        {**chat(), "error": {"code": 0, "message": ""}},
        {**chat(), "error": {"code": 0, "message": "success"}},
        {**chat(), "error": "null"},
        {**chat(), "choices": [*chat()["choices"], {"index": 1, "error": {"code": 502}}]},
        chat(message={"content": NILE, "function_call": {"name": "", "arguments": ""}}),
        chat(message={"content": NILE, "function_call": {}}),
        chat(message={"content": NILE, "tool_calls": [{"id": "", "function": {"name": ""}}]}),
    ],
)
def test_an_answer_is_read_in_the_forms_that_servers_have_for_it(body: Any) -> None:
    found = read(body)
    assert (found.text, found.fault()) == (NILE, None)


OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
    {"type": "message", "status": "incomplete", "content": [{"type": "output_text", "text": "Ha"}]},
]


@each(
    ("body", "fault", "text"),
    [
        ({"result": "Ha", "is_truncated": True, "finish_reason": "normal"}, "cut off", "Ha"),
        ({"result": "No.", "need_clear_history": True, "finish_reason": "stop"}, "filtered", "No."),
        ({"result": "Ha", "is_truncated": False, "is_end": False}, "unknown end", "Ha"),
        ({"result": "Ha", "is_truncated": False, "need_clear_history": True}, "filtered", "Ha"),
        ({"output": {"text": "Ha", "finish_reason": "length"}}, "cut off", "Ha"),
        (
            {
                "output": [{"type": "function_call", "name": "f", "arguments": "{}"}],
                "status": "completed",
            },
            "tool call",
            "",
        ),
        ({"output": OUTPUT[:1], "status": "incomplete"}, "cut off", ""),
        ({"output": {"text": "Ha", "finish_reason": "null"}}, "unknown end", "Ha"),
        (
            {"output": {"message": {"content": [{"text": "Ha"}]}}, "stopReason": "max_tokens"},
            "cut off",
            "Ha",
        ),
        ({"output": OUTPUT, "status": "incomplete"}, "cut off", "Ha"),
        (
            {
                "output": OUTPUT,
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
            },
            "filtered",
            "Ha",
        ),
        (
            {
                "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}],
                "status": "completed",
            },
            "refused",
            "No.",
        ),
        (
            {
                "output": [
                    *OUTPUT,
                    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
                ],
                "status": "completed",
            },
            "tool call",
            "Ha",
        ),
    ],
)
def test_an_answer_in_another_form_has_its_own_end(body: Any, fault: str, text: str) -> None:
    found = read({**body, "usage": {"input_tokens": 9, "output_tokens": 2}})
    assert (found.fault(), found.text, found.output_tokens) == (fault, text, 2)


@each(
    "body",
    [
        {"output": ["The ", "Nile."], "status": "succeeded"},
        {"output": NILE},
        {"output": {"embedding": [0.1]}},
        {"result": {"response": NILE}},
        {"output": [{"type": "web_search_call"}]},
    ],
)
def test_what_could_be_an_answer_in_no_known_form_is_none(body: Any) -> None:
    assert failure(body).cause == "no content"


# --- events that nobody asked for


def events(*chunks: Any, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end).encode()


def delta(piece: Any, finish: Any = None, **more: Any) -> Any:
    return {
        "model": "m",
        "choices": [{"index": 0, "delta": piece, "finish_reason": finish, **more}],
    }


STREAM = (
    delta({"role": "assistant", "content": ""}),
    delta({"reasoning_content": "Let me "}),
    delta({"reasoning_content": "see."}),
    delta({"content": "The "}),
    delta({"content": "Nile."}, logprobs={"content": [{"token": "Nile.", "logprob": -0.5}]}),
    delta({}, "stop"),
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
)


@each("head", [b"", b": keep-alive\n\n", b"\r\n: OPENROUTER PROCESSING\n\n", b"event: chunk\n"])
def test_a_stream_is_put_together(head: bytes) -> None:
    found = read(head + events(*STREAM))
    assert (found.text, found.reasoning, found.fault()) == (NILE, "Let me see.", None)
    assert (found.input_tokens, found.output_tokens, found.model) == (3, 4, "m")
    assert found.logprobs == [{"token": "Nile.", "logprob": -0.5}]


def test_an_event_of_several_lines_and_odd_line_ends_are_read() -> None:
    whole = json.dumps(chat("One\u2028two"), ensure_ascii=False, indent=1)
    body = "\r".join(f"data: {line}" for line in whole.split("\n")) + "\r\rdata: [DONE]\r\r"
    assert read(body.encode()).text == "One\u2028two"


def test_a_stream_that_was_broken_off_reports_no_end() -> None:
    found = read(events(*STREAM[:4], end=""))
    assert (found.text, found.fault()) == ("The ", "unknown end")


def test_the_calls_of_tools_in_a_stream_are_put_together_by_index() -> None:
    def piece(index: int, **function: str) -> Any:
        return delta({"tool_calls": [{"index": index, "function": function}]})

    found = read(
        events(
            piece(0, name="f", arguments='{"a"'),
            piece(1, name="g", arguments="{}"),
            piece(0, arguments=": 1}"),
            delta({}, "tool_calls"),
        )
    )
    assert [one["function"] for one in found.tool_calls or []] == [
        {"name": "f", "arguments": '{"a": 1}'},
        {"name": "g", "arguments": "{}"},
    ]


def test_of_the_choices_in_a_stream_the_one_with_index_0_is_read() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]}
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}},
            {"index": 0, "delta": {"content": "The "}},
        ]
    }
    found = read(events(other, both, other, delta({"content": "Nile."}), delta({}, "stop"), other))
    assert (found.text, found.fault()) == (NILE, None)
    assert read(events(other, other)).text == "bb"


def test_a_stream_that_ends_with_the_whole_message_has_its_text_once() -> None:
    end = choice_at(0, NILE)
    pieces = (delta({"content": "The ", "role": "assistant"}), delta({"content": "Nile."}))
    assert read(events(*pieces, {"choices": [end]})).text == NILE
    end["message"]["content"] = ""
    assert read(events(*pieces, {"choices": [end]})).text == NILE


def test_lines_of_json_are_a_stream() -> None:
    pieces = [{"message": {"role": "assistant", "content": one}} for one in ("The ", "Nile.")]
    end = {"message": {"content": ""}, "done_reason": "stop", "prompt_eval_count": 3}
    chunks = [{**one, "done": one is end} for one in (*pieces, end)]
    found = read("\n".join(map(json.dumps, chunks)).encode() + b"\n")
    assert (found.text, found.fault(), found.input_tokens) == (NILE, None, 3)
    chunks[1] = {"error": "model runner has unexpectedly stopped"}
    failed = failure("\n".join(map(json.dumps, chunks)).encode())
    assert "runner" in str(failed) and failed.retryable
    twice = json.dumps(chat()).encode()
    assert failure(twice + b"\n" + twice).cause == "not JSON"


def test_comments_before_an_answer_are_left_out() -> None:
    assert read(b": processing\n\n" + json.dumps(chat()).encode()).text == NILE


# --- errors in a 200


@each(
    ("body", "cause", "words"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, "http 502", "Provider"),
        ({"error": {"message": "slow down", "code": "429"}}, "http 429", "slow down"),
        ({"error": "Unexpected endpoint or method. (POST /x)"}, "no such path", "/v1"),
        ({"detail": "rate limit exceeded"}, "http 429", "rate limit"),
        ({"object": "error", "message": "boom", "code": 500}, "http 500", "boom"),
        (chat("", "error", {"error": {"code": 502, "message": "idle"}}), "http 502", "idle"),
        (
            chat("Half a", "error", {"error": {"code": 403, "message": "flagged"}}),
            "filtered",
            "flag",
        ),
        (
            events(delta({"content": "a"}), {"error": {"code": 503, "message": "busy"}}),
            "http 503",
            "b",
        ),
        ("overloaded", "http 529", "overloaded"),
        (b'event: error\ndata: {"message": "overloaded"}\n\n', "http 529", "overloaded"),
        (b"event: error\ndata: overloaded\n\n", "http 529", "overloaded"),
        (events(*STREAM[:4], end='event:error\ndata: {"message": "busy"}\n\n'), "http 503", "b"),
    ],
)
def test_an_error_in_a_200_is_that_error(body: Any, cause: str, words: str) -> None:
    found = failure(body)
    assert found.cause == cause and words in str(found) and "http://x/v1" in str(found)


@each(
    ("body", "cause"),
    [
        (b"", "empty"),
        (b"<html>", "HTML"),
        (b"{", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"3", "no content"),
        (b"null", "no content"),
        (b"[]", "no content"),
        (b'["The Nile."]', "no content"),
        (b'"The Nile."', "no content"),
        (b'{"choices": null}', "no content"),
        (b'{"choices": [{"message": null}]}', "no content"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"data: \n\ndata: [DONE]", "not JSON"),
        (b"{}", "no content"),
        (b'{"choices": []}', "no content"),
        (b'{"choices": [null], "usage": []}', "no content"),
    ],
)
def test_what_holds_no_answer_may_be_asked_for_again(body: bytes, cause: str) -> None:
    found = failure(body)
    assert (found.cause, found.retryable, found.fatal) == (cause, True, False)


# --- values


@each(
    ("given_count", "count"),
    [
        *((9, 9), (9.0, 9), ("9", 9), (" 9 ", 9), ("9.0", 9), (9.5, None), (-5, None)),
        *((10**20, None), (2**63, None), (True, None), (None, None), ("nine", None), ([9], None)),
        *((float("nan"), None), (float("inf"), None), ({}, None), (0, None), ("٣", None)),
    ],
)
def test_a_count_of_tokens_is_a_whole_number_or_unknown(given_count: Any, count: Any) -> None:
    usage = {"prompt_tokens": given_count, "completion_tokens": given_count}
    found = read(chat(usage=usage))
    assert (found.input_tokens, found.output_tokens) == (count, count)


@each("usage", [None, [], [{"prompt_tokens": 3}], "3", 3, {"prompt_tokens": {"a": 1}}])
def test_usage_in_no_known_form_is_unknown(usage: Any) -> None:
    found = read(chat(usage=usage))
    assert (found.input_tokens, found.output_tokens) == (None, None)


def test_tokens_of_thinking_and_of_the_cache_are_read_where_they_are_reported() -> None:
    openai = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    found = read(chat(usage=openai))
    assert (found.cached_tokens, found.reasoning_tokens) == (4, 7)
    assert read(chat(usage={"prompt_cache_hit_tokens": 5})).cached_tokens == 5


def test_a_number_of_more_digits_than_python_converts_costs_nothing() -> None:
    body = json.dumps(chat(usage={"prompt_tokens": 9, "completion_tokens": 12345}))
    found = read(body.replace("12345", "9" * 5000).encode())
    assert (found.text, found.input_tokens, found.output_tokens) == (NILE, 9, None)


def test_the_log_probabilities_of_a_text_completion_have_the_form_of_chat() -> None:
    given_logprobs = {
        "tokens": ["A", "\ud83d"],
        "token_logprobs": [-0.1, float("-inf")],
        "top_logprobs": [{"A": -0.1, "B": float("nan")}, None],
    }
    found = read(chat(choice={"logprobs": given_logprobs})).logprobs
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": None}]
    assert found == [
        {"token": "A", "logprob": -0.1, "top_logprobs": top},
        {"token": "\ufffd", "logprob": None},
    ]


def test_who_answered_is_read_on_one_line() -> None:
    body = chat(
        model="org/m\n\x1b[31m\ud83d", system_fingerprint="fp_1\0", model_revision="r" * 999
    )
    found = read(body)
    assert (found.model, found.fingerprint) == ("org/m  [31m\ufffd", "fp_1")
    assert found.revision == "r" * 200


def test_ten_megabytes_are_an_answer() -> None:
    text = "word " * 2_000_000
    assert read(chat(text)).text == text


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d")
NAMES = st.sampled_from(
    [
        *("choices", "message", "content", "text", "delta", "parts", "index", "type", "refusal"),
        *("finish_reason", "stop_reason", "reasoning", "thinking", "content_filter_results"),
        *("usage", "prompt_tokens", "completion_tokens", "model", "system_fingerprint"),
        *("logprobs", "token", "tokens", "top_logprobs", "logprob", "id", "name"),
        *("tool_calls", "function", "arguments", "error", "code", "status", "detail", "metadata"),
        *("raw", "loc", "param", "reasons"),
    ]
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=5)
    ),
    max_leaves=25,
)
ALMOST = st.builds(
    lambda content, finish, choice, message, more: chat(
        content, finish, choice, **{**more, "message": message}
    ),
    ANY_JSON,
    ANY_JSON | st.sampled_from(sorted(" ".join(WORDS.values()).split())),
    st.dictionaries(NAMES, ANY_JSON, max_size=3),
    st.dictionaries(NAMES, ANY_JSON, max_size=3),
    st.dictionaries(
        NAMES.filter(lambda name: name not in ("content", "message")), ANY_JSON, max_size=3
    ),
)


@given(ANY_JSON | ALMOST, st.booleans())
@settings(max_examples=300)
def test_any_json_is_an_answer_that_can_be_released_or_a_failure(body: Any, streamed: bool) -> None:
    content = json.dumps(body).encode()
    try:
        found = read(b"data: " + content if streamed else content)
    except Failure:
        return
    [row] = call_rows([(CALL, found, None)], lambda _: [], lambda _: UNREAD)
    assert CALLS.problem(row) is None
    found.fault()
    json.dumps(vars(found), allow_nan=False).encode()  # as a ledger writes it


def test_what_endpoints_give_is_recorded_and_read_again(tmp_path: Path) -> None:
    bodies = [
        chat("\ud83d\0", "\ud83d", model="\ud83d", usage={"prompt_tokens": 2**63}),
        chat(None, "tool_calls", message={"tool_calls": [{"function": {"arguments": "\ud83d"}}]}),
        chat(choice={"logprobs": {"content": [{"token": "\ud83d", "logprob": float("nan")}]}}),
        chat(message={"reasoning": "\ud83d"}, usage={"completion_tokens": -(10**30)}),
    ]
    calls = [replace(CALL, sample=place) for place in range(len(bodies))]
    with closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger:

        async def record() -> None:
            for call, body in zip(calls, bodies, strict=True):
                await ledger.record(call, read(body), cost_usd=None, attempts=1)

        asyncio.run(record())
        rows = list(
            call_rows(ledger.answers([call.key for call in calls]), lambda _: [], lambda _: UNREAD)
        )
        assert [CALLS.problem(row) for row in rows] == [None] * len(bodies)
        assert ledger.export(tmp_path / "all.parquet") == len(bodies)


DEEP = {
    "an object": b'{"x":' * 5_000 + b'"]"' + b"}" * 5_000,
    "a list": b"[" * 100_000 + b"]" * 100_000,
    "texts with brackets": b'[{"a\\"]}":"\\\\"},' * 3_000 + b'"\\"{"' + b"]" * 3_000,
    "a number of many digits": b"[" * 3_000 + b"9" * 5_000 + b"]" * 3_000,
}


@each("deep", DEEP.values())
@each("place", ["first", "last", "in its choice", "in a stream"])
def test_an_answer_beside_a_field_that_is_nested_without_end_is_an_answer(
    deep: bytes, place: str
) -> None:
    body = chat()
    (body["choices"][0] if place == "in its choice" else body)["x_trace"] = "HERE"
    if place == "first":
        body = {"x_trace": body.pop("x_trace"), **body}
    raw = json.dumps(body).encode().replace(b'"HERE"', deep)
    found = read(b"data: " + raw + b"\n\ndata: [DONE]\n\n" if place == "in a stream" else raw)
    assert (found.text, found.ended, found.output_tokens) == (NILE, "complete", 12)


def test_a_body_that_is_nested_without_end_and_broken_off_is_no_json() -> None:
    for raw in (b'{"choices":' * 5_000, b"[" * 5_000 + b"]" * 4_000, b'{"a":"' + b"[" * 5_000):
        found = failure(raw)
        assert (found.cause, found.retryable) == ("not JSON", True)


@each(("status", "body", "words"), [(204, b"", "204 with nothing"), (202, b"<p>", "202 with HTML")])
def test_what_is_no_answer_is_reported_with_its_status(
    status: int, body: bytes, words: str
) -> None:
    with pytest.raises(Failure, match=f"answered {words}; is this the /v1 address"):
        read_answer(body, lambda: TARGET, status)
