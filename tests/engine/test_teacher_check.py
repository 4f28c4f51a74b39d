"""What a teacher can do, as a few questions find it out: each ability, and its absence."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from builders.engine.parameters import Choice, chosen_names, read_param, read_without
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_check import check
from builders.errors import TeacherError
from tests.cases import each
from tests.endpoint import Behaviour, Body, Endpoint, Rule

OBJECT = json.dumps({"colour": "blue"})


def follows_schemas(body: Body) -> str | Body:
    """An answer by the schema that is asked for, else a short text that the seed decides."""
    return OBJECT if "response_format" in body else f"Word {body.get('seed', 0)}."


def whole(message: Mapping[str, Any], finish: str | None = "stop", **more: Any) -> Body:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    return {"model": "scripted-model", "choices": [choice], "usage": usage, **more}


def gives(message: Mapping[str, Any], **more: Any) -> Behaviour:
    return Behaviour(answer=lambda _: whole(message, **more))


def refuses(name: str, words: str = "", status: int = 400) -> Rule:
    """Refuses requests with a parameter, in these words or in OpenAI's."""
    words = words or f"Unsupported parameter: '{name}' is not supported with this model."
    about = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
    return Rule("given", status=status, body={"error": about}, when=lambda body: name in body)


def found(behaviour: Behaviour, choices: Sequence[Choice] = (), most: int = 2) -> dict[str, Any]:
    with Endpoint(behaviour) as endpoint:
        spec = TeacherSpec(
            place=endpoint.url, key_env="NO_SUCH_KEY", chosen=chosen_names(choices), timeout_s=5
        )
        return asyncio.run(check(spec, choices, most))


def counter() -> Callable[[Body], str]:
    numbers = itertools.count()
    return lambda _: f"Word {next(numbers)}."


def test_a_good_endpoint_does_everything() -> None:
    facts = found(Behaviour(answer=follows_schemas), most=4)
    results = {name: one["result"] for name, one in facts["findings"].items()}
    assert results == {
        "messages": "answered",
        "usage": "counted",
        "end": "reported",
        "thinking": "none seen",
        "json_schema": "followed",
        "log_probabilities": "given",
        "seeds": "honoured",
        "texts_to_continue": "continued",
        "parameters": "all taken",
        "concurrency": "4 at a time",
    }
    assert (facts["model"], facts["models"]) == ("scripted-model", ["scripted-model"])
    assert facts["requests"] <= 16 and 0 < facts["tokens"] < 500 and facts["latency_s"] < 1


LOGPROBS = {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b"}] * 2}]}
CASES: dict[str, tuple[Behaviour, str, str, str]] = {
    "OpenAI, no usage": (gives({"content": "Paris"}, usage=None), "usage", "not counted", "budget"),
    "a total alone": (
        gives({"content": "Paris"}, usage={"total_tokens": 12}),
        "usage",
        "only in total",
        "budget",
    ),
    "no end": (gives({"content": "Paris"}, finish=None), "end", "not reported", "--trust-missing"),
    "a strange end": (gives({"content": "Paris"}, finish="zap"), "end", "unknown", "'zap'"),
    "vLLM, thinking": (
        gives({"content": "Paris", "reasoning_content": "France, well."}),
        "thinking",
        "separated",
        "",
    ),
    "Ollama, thinking": (
        gives({"content": "Paris", "thinking": "France, well."}),
        "thinking",
        "separated",
        "",
    ),
    "Mistral, thinking": (
        gives(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Well."}]},
                    {"type": "text", "text": "Paris"},
                ]
            }
        ),
        "thinking",
        "separated",
        "",
    ),
    "no parser of thinking": (
        gives({"content": "<think>\nFrance, well.\n</think>\n\nParis"}),
        "thinking",
        "in the text",
        "potstill takes it out",
    ),
    "OpenAI, thinking": (
        gives(
            {"content": "Paris"},
            usage={
                "prompt_tokens": 9,
                "completion_tokens": 80,
                "completion_tokens_details": {"reasoning_tokens": 70},
            },
        ),
        "thinking",
        "hidden",
        "70 tokens",
    ),
    "a schema is ignored": (Behaviour(), "json_schema", "ignored", ""),
    "a schema is refused": (
        Behaviour(rules=[refuses("response_format")]),
        "json_schema",
        "refused",
        "",
    ),
    "another object": (
        Behaviour(answer=lambda _: '{"sky": "blue"}'),
        "json_schema",
        "ignored",
        "",
    ),
    "a schema breaks the server": (
        Behaviour(rules=[Rule("500", when=lambda body: "response_format" in body)]),
        "json_schema",
        "refused",
        "",
    ),
    "log-probabilities are ignored": (
        gives({"content": "Paris"}),
        "log_probabilities",
        "ignored",
        "",
    ),
    "log-probabilities are refused": (
        Behaviour(rules=[refuses("logprobs")]),
        "log_probabilities",
        "refused",
        "",
    ),
    "fewer alternatives": (
        Behaviour(
            answer=lambda _: (
                whole({"content": "a"})
                | {"choices": [{"message": {"content": "a"}, "logprobs": LOGPROBS}]}
            )
        ),
        "log_probabilities",
        "given",
        "alternatives: 2 of 3",
    ),
    "seeds are ignored": (Behaviour(answer=counter()), "seeds", "ignored", ""),
    "one answer to all": (Behaviour(answer=lambda _: "Yes."), "seeds", "unclear", "every seed"),
    "seeds are refused": (Behaviour(rules=[refuses("seed")]), "seeds", "refused", ""),
    "chat only": (
        Behaviour(rules=[Rule("404-url", when=lambda body: "prompt" in body)]),
        "texts_to_continue",
        "refused",
        "sent as messages",
    ),
}


@each(("behaviour", "what", "result", "note"), CASES)
def test_what_an_endpoint_cannot_do_is_found(
    behaviour: Behaviour, what: str, result: str, note: str
) -> None:
    finding = found(behaviour, most=1)["findings"][what]
    assert finding["result"] == result and note in finding.get("note", ""), finding


@each(
    ("rules", "refused"),
    {
        "vLLM, extra fields": ([refuses("min_p")], {"min_p": "left out"}),
        "two": (
            [refuses("top_k"), refuses("repetition_penalty")],
            {"top_k": "left out", "repetition_penalty": "left out"},
        ),
        "OpenAI, the limit's other name": (
            [
                refuses(
                    "max_tokens",
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                    "'max_completion_tokens' instead.",
                )
            ],
            {"max_tokens": "sent as max_completion_tokens"},
        ),
        "Gemma, no system turn": (
            [
                Rule(
                    "given",
                    status=400,
                    body={"error": {"message": "System role not supported"}},
                    when=lambda body: "system" in json.dumps(body),
                )
            ],
            {"the system turn": "merged into the user's turn"},
        ),
    },
)
def test_the_parameters_that_are_refused_are_named_with_what_a_build_sends(
    rules: list[Rule], refused: dict[str, str]
) -> None:
    finding = found(Behaviour(rules=rules), most=1)["findings"]["parameters"]
    assert finding == {"result": "refused", "refused": refused}


def test_a_parameter_that_is_refused_without_its_name_is_found_alone() -> None:
    rules = [refuses("top_k", "Bad request.")]
    finding = found(Behaviour(rules=rules), most=1)["findings"]["parameters"]
    assert list(finding["refused"]) == ["top_k"] and "Bad request" in finding["refused"]["top_k"]


def test_what_the_user_chose_is_sent_and_what_was_left_out_is_not_asked() -> None:
    choices = [read_param("top_k=3"), read_without("seed"), read_without("response_format")]
    with Endpoint(Behaviour()) as endpoint:
        spec = TeacherSpec(place=endpoint.url, chosen=chosen_names(choices))
        findings = asyncio.run(check(spec, choices, 1))["findings"]
        bodies = [one.body for one in endpoint.requests if one.method == "POST"]
    assert findings["seeds"]["result"] == findings["json_schema"]["result"] == "not asked"
    assert {body["top_k"] for body in bodies} == {3}
    assert not any("seed" in body or "response_format" in body for body in bodies)


def test_a_base_model_is_asked_by_texts() -> None:
    words = "default chat template is no longer allowed, so you must provide a chat template"
    rules = [refuses("messages", words)]
    facts = found(Behaviour(rules=rules))
    findings = facts["findings"]
    assert findings["messages"]["result"] == "refused" and words in findings["messages"]["note"]
    assert findings["texts_to_continue"]["result"] == "continued"
    assert findings["seeds"]["result"] == "honoured"
    assert findings["concurrency"]["result"] == "2 at a time"


def test_the_concurrency_is_what_is_answered_before_others_are_refused() -> None:
    finding = found(Behaviour(most_at_once=4, latency="fixed:0.1"), most=32)["findings"]
    concurrency = finding["concurrency"]
    assert (concurrency["answered"], concurrency["best"]) == (4, 4)
    assert "of 8 at a time 4 got no answer" in concurrency["note"] and "429" in concurrency["note"]


def test_more_at_a_time_are_not_asked_where_they_only_wait() -> None:
    """A server with one slot: each answer takes as long as all before it together."""
    with Endpoint(Behaviour(latency="fixed:0.05")) as endpoint:
        slow = Rule("ok", latency="fixed:0.05")
        waits = [
            Rule("ok", when=lambda _: endpoint.at_once > 2, latency="fixed:0.6"),
            Rule("ok", when=lambda _: endpoint.at_once > 1, latency="fixed:0.1"),
        ]
        endpoint.set(Behaviour(rules=[*waits, slow]))
        facts = asyncio.run(check(TeacherSpec(place=endpoint.url), (), 64))
        most = endpoint.most_at_once
    concurrency = facts["findings"]["concurrency"]
    assert concurrency["best"] <= 2 and most <= 8
    assert "bring no more answers per second" in concurrency["note"]


def test_a_busy_moment_is_waited_for_and_a_question_without_an_answer_is_a_finding() -> None:
    behaviour = Behaviour(
        rules=[
            Rule("429", contains="France", first_n=2, seconds=0.1),
            Rule("503", contains="river"),
        ]
    )
    findings = found(behaviour, most=1)["findings"]
    assert findings["usage"]["result"] == "counted"
    assert findings["log_probabilities"]["result"] == "no answer"
    assert "503" in findings["log_probabilities"]["note"]


@each(
    ("behaviour", "model", "why"),
    {
        "no key": (Behaviour(rules=[Rule("401")]), None, "needs another key (401"),
        "no such model": (Behaviour(rules=[Rule("404")]), "wise", "has no model 'wise'"),
        "a page": (Behaviour(rules=[Rule("html")]), None, "is this the /v1 address?"),
        "no time": (Behaviour(rules=[Rule("hang")]), None, "gave no answer within 0.3 s"),
        "no credit": (Behaviour(rules=[Rule("429-quota")]), None, "reports no credit"),
        "chosen and refused": (
            Behaviour(rules=[refuses("top_k")]),
            None,
            "'top_k' is not supported with this model",
        ),
    },
)
def test_an_endpoint_that_answers_no_plain_question_is_one_line(
    behaviour: Behaviour, model: str | None, why: str
) -> None:
    choices = [Choice(name="top_k", value=3)]
    with Endpoint(behaviour) as endpoint:
        spec = TeacherSpec(
            place=endpoint.url, model=model, timeout_s=0.3, chosen=chosen_names(choices)
        )
        with pytest.raises(TeacherError) as refused:
            asyncio.run(check(spec, choices, 2))
    assert why in str(refused.value) and "\n" not in str(refused.value)
