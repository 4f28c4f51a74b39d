"""What an endpoint refuses of a request is learned once; what the user chose is sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from builders.engine.calls import Call, Failure
from builders.engine.endpoint import EndpointTeacher
from builders.engine.parameters import (
    Choice,
    as_sent,
    chosen_names,
    read_param,
    read_without,
    with_choices,
)
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError
from tests.cases import each
from tests.endpoint import Behaviour, Body, Endpoint, Rule

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}}
SAMPLING = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "max_tokens": 900,
    "seed": 11,
    "presence_penalty": 0.5,
    "logprobs": True,
    "top_logprobs": 5,
}
SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]


def asked(
    endpoint: Endpoint, calls: int = 1, *, at_once: bool = False, **more: Any
) -> tuple[dict[str, str], list[Failure]]:
    """What a teacher learned in some calls, and the failures of those that got no answer."""
    sampling = more.pop("sampling", SAMPLING)
    spec = TeacherSpec(place=endpoint.url, model="m", chosen=more.pop("chosen", frozenset()))
    values = {"prompt": [{"role": "user", "content": "Hi."}], **more}

    async def run() -> tuple[dict[str, str], list[Failure]]:
        who = EndpointTeacher(spec)
        await who.start()
        made = [
            Call(
                role="writer", endpoint=who.name, model="m", revision=None, sampling=sampling,
                sample=sample, **values,
            )
            for sample in range(calls)
        ]  # fmt: skip
        keys = [call.key for call in made]
        failures: list[Failure] = []

        async def one(call: Call) -> None:
            try:
                await who.ask(call)
            except Failure as failure:
                failures.append(failure)

        if at_once:
            await asyncio.gather(*map(one, made))
        else:
            for call in made:
                await one(call)
        assert keys == [Call(**vars_of(call)).key for call in made]  # what it learned changes none
        await who.stop()
        return who.learned, failures

    return asyncio.run(run())


def vars_of(call: Call) -> dict[str, Any]:
    return {name: value for name, value in vars(call).items() if name != "key"}


def bodies(endpoint: Endpoint) -> list[Body]:
    return [request.body for request in endpoint.requests if request.method == "POST"]


def refusing(
    when: Callable[[Body], bool], message: str, status: int = 400, param: str | None = None
) -> Rule:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return Rule("given", when=when, status=status, body={"error": error})


def has(*names: str) -> Callable[[Body], bool]:
    return lambda body: all(name in body for name in names)


def detail(name: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]}


def is_system(body: Body) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


LEFT_OUT = "left out"
MERGED = {"the system turn": "merged into the user's turn"}
REFUSED: Mapping[str, tuple[Rule, dict[str, str]]] = {
    "max_tokens has a new name": (
        refusing(has("max_tokens"), "'max_tokens' is unsupported: use 'max_completion_tokens'."),
        {"max_tokens": "sent as max_completion_tokens"},
    ),
    "max_tokens of the model": (
        refusing(
            lambda body: body.get("max_tokens", 0) > 512,
            "max_tokens must be less than or equal to `512`, the maximum value for max_tokens",
        ),
        {"max_tokens": "at most 512"},
    ),
    "a maximum beside the context": (
        refusing(
            lambda body: body.get("max_tokens", 0) > 100,
            "`max_tokens` must be less than or equal to `100`, the maximum value for `max_tokens` "
            "is less than the `context_window` for this model",
        ),
        {"max_tokens": "at most 100"},
    ),
    "Anthropic's maximum": (
        refusing(
            lambda body: body.get("max_tokens", 0) > 100,
            "max_tokens: 900 > 100, which is the maximum allowed number of output tokens for m",
        ),
        {"max_tokens": "at most 100"},
    ),
    "DeepSeek's range": (
        refusing(
            lambda body: body.get("max_tokens", 0) > 100,
            "Invalid max_tokens value, the valid range of max_tokens is [1, 100]",
        ),
        {"max_tokens": "at most 100"},
    ),
    "Alibaba's range": (
        refusing(
            lambda body: body.get("max_tokens", 0) > 100, "Range of max_tokens should be [1, 100]"
        ),
        {"max_tokens": "at most 100"},
    ),
    "a seed of fewer bits": (
        refusing(lambda body: body.get("seed", 0) > 7, "`seed` must be <= 7"),
        {"seed": "at most 7"},
    ),
    "a seed of another range": (
        refusing(has("seed"), "seed is out of range: no 32-bit integer"),
        {"seed": LEFT_OUT},
    ),
    "temperature is fixed": (
        refusing(has("temperature"), "invalid temperature: only 1 is allowed for this model"),
        {"temperature": LEFT_OUT},
    ),
    "temperature or top_p": (
        refusing(has("temperature", "top_p"), "temperature and top_p cannot both be given"),
        {"top_p": LEFT_OUT},
    ),
    "pydantic, by its place": (
        Rule("given", when=has("seed"), status=422, body=detail("seed")),
        {"seed": LEFT_OUT},
    ),
    "Gemini": (
        refusing(has("top_k"), 'Invalid JSON payload received. Unknown name "top_k"'),
        {"top_k": LEFT_OUT},
    ),
    "Groq": (
        refusing(has("presence_penalty"), "property 'presence_penalty' is unsupported"),
        {"presence_penalty": LEFT_OUT},
    ),
    "OpenAI, unrecognised": (
        refusing(has("top_k"), "Unrecognized request argument supplied: top_k"),
        {"top_k": LEFT_OUT},
    ),
    "by its field only": (
        refusing(has("seed"), "This argument is not supported here.", param="seed"),
        {"seed": LEFT_OUT},
    ),
    "logprobs by 403": (
        refusing(has("logprobs"), "You may not request log_probs of this model", 403),
        {"logprobs": LEFT_OUT},
    ),
    "a schema by 400": (
        refusing(has("response_format"), "This response_format type is unavailable now"),
        {"response_format": LEFT_OUT},
    ),
    "a schema by 500": (
        refusing(has("response_format"), "failed to compile the grammar", 500),
        {"response_format": LEFT_OUT},
    ),
    "a schema by 500 without a word": (
        Rule("given", when=has("response_format"), status=500, body="Internal Server Error"),
        {"response_format": LEFT_OUT},
    ),
    "in a 200": (
        Rule(
            "given",
            when=has("seed"),
            body={"error": {"code": 400, "message": "unknown field `seed`"}},
        ),
        {"seed": LEFT_OUT},
    ),
    "Gemma's template": (refusing(is_system, "System role not supported"), MERGED),
    "Gemma at Google": (
        refusing(is_system, "Developer instruction is not enabled for models/gemma-3-12b-it"),
        MERGED,
    ),
    "Mistral's template": (
        refusing(is_system, "Conversation roles must alternate user/assistant/...", 500),
        MERGED,
    ),
}


@each(("rule", "learned"), REFUSED)
@pytest.mark.parametrize("at_once", [False, True])
def test_what_an_endpoint_refuses_is_learned_and_every_call_is_answered(
    rule: Rule, learned: dict[str, str], at_once: bool
) -> None:
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        found, failures = asked(endpoint, 6, at_once=at_once, prompt=SYSTEM, schema=SCHEMA)
        assert (found, failures) == (learned, [])
        answered = [one for one in endpoint.requests if one.behaviour == "ok" and one.body]
        assert len(answered) == 6
        kept = [*SAMPLING, "response_format", "messages"]
        gone = {*learned, *(["top_logprobs"] if "logprobs" in learned else [])}
        for name in kept:
            if name not in gone:
                assert all(name in request.body for request in answered), name
        if not at_once:  # once or, where no word names the parameter, twice
            assert len(bodies(endpoint)) <= 6 + 2


def test_seeds_that_are_fitted_to_a_limit_stay_different() -> None:
    sent = [as_sent({"seed": 2**40 + n}, {"seed": "at most 2147483647"})["seed"] for n in range(9)]
    assert len({*sent}) == 9 and max(sent) < 2**31


@pytest.mark.parametrize("at_once", [False, True])
def test_a_limit_is_that_of_one_request_where_others_are_answered_above_it(at_once: bool) -> None:
    first = Rule(
        "given", first_n=1, status=400, when=has("max_tokens"), latency="fixed:0.05",
        body={"error": {"message": "max_tokens must be at most 20"}},
    )  # fmt: skip
    late = Behaviour(rules=[first], latency="fixed:0.1")
    with Endpoint(Behaviour()) as endpoint:
        who = EndpointTeacher(TeacherSpec(place=endpoint.url, model="m"))

        async def run() -> list[Any]:
            await who.start()
            made = [
                Call(
                    role="w", endpoint=who.name, model="m", revision=None, sampling=SAMPLING,
                    prompt="Hi.", sample=sample,
                )
                for sample in range(4)
            ]  # fmt: skip
            if not at_once:
                await who.ask(made.pop())
            endpoint.set(late)
            found = await asyncio.gather(*map(who.ask, made), return_exceptions=True)
            await who.stop()
            return found

        found = asyncio.run(run())
        failures = [one for one in found if isinstance(one, Failure)]
        assert who.learned == {} and [one.cause for one in failures] == (
            [] if at_once else ["too long"]
        )


def test_a_limit_for_this_prompt_is_not_learned() -> None:
    words = "max_tokens must be at most 20 for this prompt"
    with Endpoint(Behaviour(rules=[refusing(has("max_tokens"), words)])) as endpoint:
        found, (failure,) = asked(endpoint)
        assert (found, failure.cause, len(bodies(endpoint))) == ({}, "too long", 1)


def test_of_the_requests_that_are_sent_together_one_learns_for_all() -> None:
    names = ("temperature", "top_p", "seed", "logprobs", "presence_penalty")
    rules = [refusing(has(name), f"Unsupported parameter: '{name}'") for name in names]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        found, failures = asked(endpoint, 8, at_once=True)
        assert not failures and len(found) == 5
        assert len(bodies(endpoint)) == 8 + 5 + 7


@each(
    "words",
    [
        "This model only support stream mode, please enable the stream parameter.",
        "Non-streaming requests are not supported for this model",
        "stream must be set to true",
        "Streaming is required; set `stream` to true",
    ],
)
def test_an_endpoint_that_only_streams_is_asked_for_a_stream(words: str) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}
    streamed = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    rules = [
        refusing(lambda body: not body["stream"], words),
        Rule("given", when=lambda body: body["stream"], body=streamed),
    ]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        assert asked(endpoint, 3) == ({"stream": "true instead of false"}, [])
        assert len(bodies(endpoint)) == 3 + 1


def test_a_refusal_of_what_the_user_chose_names_the_flag() -> None:
    with Endpoint(Behaviour(rules=[refusing(has("foo"), "Unknown parameter: 'foo'")])) as endpoint:
        found, (failure,) = asked(endpoint, sampling={"foo": 1}, chosen=frozenset({"foo"}))
    assert found == {} and "; leave out --param foo, or give it another value" in str(failure)


def test_several_refusals_are_learned_one_after_the_other() -> None:
    rules = [
        refusing(has(name), f"Unsupported parameter: '{name}'")
        for name in ("temperature", "top_p", "seed", "logprobs", "max_tokens", "presence_penalty")
    ]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        found, failures = asked(endpoint, 3)
        assert not failures and len(found) == 6
        left = ["model", "stream", "top_k", "messages", "max_completion_tokens"]
        assert [*bodies(endpoint)[-1]] == left
        assert len(bodies(endpoint)) == 3 + 6


NOT_LEARNED = {
    "whatever is left out": (
        refusing(lambda _: True, "Bad request: seed, temperature and top_p are not supported"),
        "not supported",
    ),
    "a value of the row": (
        refusing(has("max_tokens"), "maximum context length is 800 tokens; max_tokens is 900"),
        "too long",
    ),
    "a value out of range": (
        refusing(has("temperature"), "temperature: should be less than or equal to 0.5"),
        "less than or equal to 0.5.*--param temperature=0.5",
    ),
    "credit": (
        refusing(has("max_tokens"), "fewer max_tokens: you can only afford 77", 402),
        "no credit",
    ),
    "a crash": (Rule("given", status=500, body="Internal Server Error"), "500"),
}


@each(("rule", "words"), NOT_LEARNED)
def test_what_is_not_about_a_parameter_is_shown_and_nothing_is_learned(
    rule: Rule, words: str
) -> None:
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        found, (failure,) = asked(endpoint)
        assert found == {} and re.search(words, f"{failure.cause}: {failure}")
        assert len(bodies(endpoint)) < 6


def test_one_crash_with_a_schema_does_not_cost_the_schema_of_the_others() -> None:
    crash = Rule("given", when=has("response_format"), status=500, body="oops", first_n=1)
    with Endpoint(Behaviour(rules=[crash])) as endpoint:
        assert asked(endpoint, 4, schema=SCHEMA) == ({}, [])
        assert sum("response_format" in body for body in bodies(endpoint)) == 4


def test_a_parameter_that_the_user_chose_is_not_left_out() -> None:
    rule = refusing(has("reasoning_effort"), "Unrecognized request argument: reasoning_effort")
    sampling = {"reasoning_effort": "low", "seed": 3}
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        chosen = frozenset({"reasoning_effort"})
        found, (failure,) = asked(endpoint, sampling=sampling, chosen=chosen)
    assert found == {} and "Unrecognized request argument: reasoning_effort" in str(failure)


def test_a_system_turn_begins_the_user_s_where_it_is_refused() -> None:
    with Endpoint(Behaviour(rules=[refusing(is_system, "System role not supported")])) as endpoint:
        asked(endpoint, prompt=SYSTEM)
        merged = [{"role": "user", "content": "Be brief.\n\nHello."}]
        assert bodies(endpoint)[-1]["messages"] == merged


def test_a_request_carries_no_parameter_that_was_not_chosen() -> None:
    with Endpoint() as endpoint:
        asked(endpoint, sampling={})
        [body] = bodies(endpoint)
        assert body.keys() == {"model", "messages", "stream"} and body["stream"] is False


def test_an_endpoint_that_does_not_know_stream_is_asked_without_it() -> None:
    rules = [refusing(has("stream"), "Unrecognized request argument supplied: stream")]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        found, failures = asked(endpoint, 3)
        assert not failures and found["stream"] == "left out"
        assert "stream" not in bodies(endpoint)[-1]


@each(
    ("word", "choice"),
    [
        ("top_k=40", Choice(name="top_k", value=40)),
        ("reasoning_effort=low", Choice(name="reasoning_effort", value="low")),
        ("stop=[\"a\", \"b\"]", Choice(name="stop", value=["a", "b"])),
        (
            'judge:chat_template_kwargs={"enable_thinking": false}',
            Choice(name="chat_template_kwargs", value={"enable_thinking": False}, teacher="judge"),
        ),
        ("writer_2:x.y=a=b", Choice(name="x.y", value="a=b", teacher="writer_2")),
        ("x=NaN", Choice(name="x", value="NaN")),
        ("x=", Choice(name="x", value="")),
        ("x=null", Choice(name="x")),
    ],
)  # fmt: skip
def test_a_parameter_is_json_or_a_text(word: str, choice: Choice) -> None:
    assert read_param(word) == choice


@each("word", ["top_k", "=3", "a b=1", "model=x", "judge:messages=[]", "stream=true", "n=2"])
def test_a_word_that_chooses_no_parameter_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=r"such as top_k|no parameter to choose"):
        read_param(word)


@each(
    "word",
    {
        "infinite": "top_k=1e400",
        "half a character": 'x="\\ud800"',
        "bytes": "x=\udcff",
        "deep": f"x={'[' * 900}{']' * 900}",
        "no limit": "max_tokens=abc",
        "no whole limit": "max_completion_tokens=0.5",
        "no limit at all": "max_tokens=0",
    },
)
def test_a_value_that_no_request_can_hold_is_refused(word: str) -> None:
    name = word.partition("=")[0]
    with pytest.raises(InputError, match=f"^(the value of )?{name} is "):
        read_param(word)


@each(("chosen", "left_out"), [("temperature", "top_p"), ("top_p", "temperature")])
def test_of_two_that_exclude_each_other_the_one_that_was_not_chosen_is_left_out(
    chosen: str, left_out: str
) -> None:
    both = "`temperature` and `top_p` cannot both be specified for this model"
    rule = refusing(has("temperature", "top_p"), both)
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        found, failures = asked(endpoint, 3, chosen=frozenset({chosen}))
        assert (found, failures) == ({left_out: "left out"}, [])


def test_what_was_chosen_replaces_what_the_recipe_asks_for() -> None:
    choices = [read_param("top_k=1"), read_param("top_k=2"), read_without("seed")]
    assert with_choices({"seed": 1, "top_p": 0.5}, choices) == {"top_p": 0.5, "top_k": 2}


def test_a_parameter_is_sent_or_left_out_and_one_teacher_may_differ_from_the_others() -> None:
    for sent, left_out in (("seed=3", "seed"), ("judge:seed=3", "judge:seed")):
        with pytest.raises(InputError, match=f"^'{left_out}' is both sent and left out; "):
            chosen_names([read_without(left_out), read_param(sent)])
    assert chosen_names([read_without("seed"), read_param("judge:seed=3")]) == {"seed"}


# --- texts to continue

CHAT_ONLY = {
    "OpenAI": (404, "This is a chat model and not for v1/completions. Use v1/chat/completions?"),
    "Azure": (400, "The completion operation does not work with the specified model, m."),
    "DeepSeek": (400, "completions api is only available when using beta api"),
    "SGLang": (400, "model m does not support completions"),
    "a gateway": (403, "This route is not enabled for your key"),
    "a framework": (405, "Method Not Allowed"),
    "LiteLLM": (422, "m is not a text completion model"),
    "gone": (410, "The completions API was removed"),
    "llama.cpp": (501, "not implemented"),
    "LM Studio": (200, "Unexpected endpoint or method. (POST /v1/completions)"),
}
TEXTS_AS_CHAT = {"texts to continue": "sent as messages"}


@each(("status", "message"), CHAT_ONLY)
@pytest.mark.parametrize("at_once", [False, True])
def test_an_endpoint_that_knows_only_chat_gets_texts_as_messages(
    status: int, message: str, at_once: bool
) -> None:
    rule = refusing(has("prompt"), message, status)
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        assert asked(endpoint, 4, at_once=at_once, prompt="1. Name") == (TEXTS_AS_CHAT, [])
        assert sum("prompt" in body for body in bodies(endpoint)) == (4 if at_once else 1)
        assert bodies(endpoint)[-1]["messages"] == [{"role": "user", "content": "1. Name"}]


def test_the_refusal_of_a_text_after_another_was_answered_is_not_about_texts() -> None:
    rule = refusing(lambda body: body["seed"] == 2, "the prompt was flagged by moderation")
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        spec = TeacherSpec(place=endpoint.url, model="m")

        async def run() -> dict[str, str]:
            who = EndpointTeacher(spec)
            await who.start()
            for seed in (1, 2):
                call = Call(
                    role="writer", endpoint=who.name, model="m", revision=None, prompt="1. Name",
                    sampling={"seed": seed},
                )  # fmt: skip
                if seed == 1:
                    await who.ask(call)
                    continue
                with pytest.raises(Failure, match="flagged"):
                    await who.ask(call)
            await who.stop()
            return who.learned

        assert asyncio.run(run()) == {}
        assert all("prompt" in body for body in bodies(endpoint))


def test_where_chat_is_refused_too_the_first_refusal_counts_unless_it_is_busy() -> None:
    text = refusing(has("prompt"), "no endpoints for m", 404)
    for chat, status, words in (
        (refusing(has("messages"), "forbidden there", 403), 404, "no endpoints for m"),
        (Rule("429-plain", when=has("messages")), 429, "rate limit"),
    ):
        with Endpoint(Behaviour(rules=[text, chat])) as endpoint:
            learned, [failure] = asked(endpoint, prompt="1. Name")
        assert (learned, failure.status) == ({}, status) and words in str(failure)
