"""What an endpoint refuses has one reason, its own words, and the way on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from builders.engine.error_words import Words, error_of, error_words
from builders.engine.refusals import REASONS, UNKNOWN, Target, failure, failure_in
from tests.cases import each

TARGET = Target(
    name="http://host/api",
    model="qwen3-8b-instruct",
    key="it is read from the environment variable SOME_KEY: it is not set",
    served=["qwen3-8b-instruct-fp8", "llama"],
    clean=lambda text: text.replace("sk-planted", "[key]"),
)


def coded(message: str, code: object = None, kind: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


REFUSED = {
    "OpenRouter, moderation": (
        (403, {"error": {"message": "Flagged", "metadata": {"reasons": ["self-harm"]}}}),
        ("filtered", "filtered a request (403: Flagged; self-harm)"),
    ),
    "Azure, filter": (
        (400, {"error": {"code": "content_filter", "message": "The response was filtered."}}),
        ("filtered", "400: The response was filtered."),
    ),
    "DeepSeek, filter": ((400, coded("Content Exists Risk")), ("filtered", "Exists Risk")),
    "MiniMax, filter": (
        (500, {"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}),
        ("filtered", "500: output new_sensitive"),
    ),
    "Zhipu, filter": (
        (400, coded("系统检测到输入或生成内容可能包含不安全或敏感内容", "1301")),
        ("filtered", "filtered a request (400: 系统"),
    ),
    "Moonshot, filter": ((400, coded("It was considered high risk")), ("filtered", "high risk")),
    "Baidu, filter": ((400, {"error_msg": "the content is unsafe"}), ("filtered", "is unsafe")),
    "OpenAI, a code alone": ((400, coded("Bad.", "invalid_prompt")), ("filtered", "400: Bad.")),
    "Zhipu, balance": ((429, coded("余额不足或无可用资源包", "1113")), ("no credit", "account")),
    "One-API, quota": (
        (403, coded("quota: 0", "insufficient_user_quota")),
        ("no credit", "the account there"),
    ),
    "Moonshot, balance": (
        (429, coded("Your account is suspended", None, "exceeded_current_quota_error")),
        ("no credit", "is suspended"),
    ),
    "DashScope, a free tier": (
        (403, coded("The free tier of the model has been exhausted.")),
        ("no credit", "free tier"),
    ),
    "AWS, an expired token": (
        (403, {"message": "The security token included in the request is expired"}),
        ("key refused", "variable SOME_KEY"),
    ),
    "a session that has ended": ((400, coded("Token has expired")), ("key refused", "SOME_KEY")),
    "a law": ((451, ""), ("filtered", "451: no message")),
    "DeepSeek, balance": ((402, coded("Insufficient Balance")), ("no credit", "the account there")),
    "Anthropic, balance": (
        (400, coded("Your credit balance is too low to access the API.")),
        ("no credit", "check the account there"),
    ),
    "OpenRouter, fewer tokens": (
        (402, coded("You requested up to 900 tokens, but can only afford 77.", 402)),
        ("no credit", "or ask for fewer tokens with --max-tokens"),
    ),
    "OpenAI, quota": (
        (429, coded("You exceeded your current quota.", "insufficient_quota")),
        ("no credit", "429: You exceeded"),
    ),
    "LiteLLM, budget": (
        (400, coded("Budget has been exceeded! Current cost: 2.1", None, "budget_exceeded")),
        ("no credit", "Budget has been exceeded"),
    ),
    "vLLM, context": (
        (400, {"object": "error", "message": "maximum context length is 512 tokens", "code": 400}),
        ("too long", "lower --max-tokens|ask for fewer tokens with --max-tokens"),
    ),
    "Anthropic, context": ((400, coded("prompt is too long: 9 > 8")), ("too long", "prompt is")),
    "llama.cpp, batch": (
        (500, coded("input is too large to process. increase the physical batch size", 500)),
        ("too long", "500: input is too large"),
    ),
    "TGI, context": (
        (422, {"error": "`inputs` must have less than 1024 tokens", "error_type": "validation"}),
        ("too long", "must have less than"),
    ),
    "nginx, size": (
        (413, "<html><head><title>413 Request Entity Too Large</title></head></html>"),
        ("too long", "an HTML page (413 Request Entity Too Large)"),
    ),
    "OpenAI, larger than a minute's limit": (
        (429, coded("Request too large for m on tokens per min: Limit 3", "rate_limit")),
        ("too long", "Request too large"),
    ),
    "a wrong key at LiteLLM": ((400, coded("No connected db.")), ("key refused", "connected db")),
    "a wrong key": ((401, coded("Incorrect API key sk-planted")), ("key refused", "key [key]")),
    "Gemini, a wrong key": (
        (400, [{"error": {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]),
        ("key refused", "variable SOME_KEY: it is not set"),
    ),
    "a model's name": (
        (404, coded("The model `x` does not exist.", "model_not_found")),
        ("no such model", "did you mean 'qwen3-8b-instruct-fp8'"),
    ),
    "OpenRouter, routing": (
        (404, coded("No endpoints found that support tool use")),
        ("no provider", "has no provider that takes the request to 'qwen3-8b-instruct' (404: No"),
    ),
    "OpenRouter, privacy": (
        (404, coded("No endpoints found matching your data policy.")),
        ("no provider", "check what the account's settings allow of providers and data there"),
    ),
    "OpenRouter, providers": (
        (404, coded("No allowed providers are available for the selected model.")),
        ("no provider", "No allowed providers"),
    ),
    "OpenRouter, a model's name": (
        (404, coded("No endpoints found for qwen/qwen9.")),
        ("no such model", "correct --model"),
    ),
    "FastAPI, path": ((404, {"detail": "Not Found"}), ("no such path", "http://host/api/v1?")),
    "nginx, path": (
        (404, "<html><head><title>404 Not Found</title></head></html>"),
        ("no such path", "is the address http://host/api/v1?"),
    ),
    "Cloudflare": (
        (403, "<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>"),
        ("refused by a firewall", "an HTML page (Attention Required! | Cloudflare)"),
    ),
    "http to https": (
        (400, "Client sent an HTTP request to an HTTPS server.\n"),
        ("refused by the endpoint", "give the address with https://"),
    ),
    "FastAPI, a field": (
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
        ("refused by the endpoint", "422: body.seed: Extra inputs are not permitted"),
    ),
    "not for this key": (
        (403, coded("You are not allowed to sample from this model")),
        ("refused by the endpoint", "refused a request (403: You are not allowed"),
    ),
    "a redirect": ((308, ""), ("redirected", "it redirects to https://host/v1")),
    "a choice of addresses": ((300, ""), ("redirected", "it redirects to https://host/v1")),
    "Volcengine, filter": (
        (400, coded("The input text may contain severe violation information.")),
        ("filtered", "severe violation"),
    ),
    "Volcengine, filter by its code": (
        (400, coded("Request id: 0217", "InputTextRiskDetection")),
        ("filtered", "400: Request id: 0217"),
    ),
    "a gateway, filter": ((400, {"success": False, "message": "prohibited input"}), (
        "filtered", "prohibited input",
    )),
}  # fmt: skip


def body(given: Any) -> bytes:
    return given.encode() if isinstance(given, str) else json.dumps(given).encode()


@each(("answered", "means"), REFUSED)
def test_a_refusal_has_a_reason_and_the_words_of_the_endpoint(
    answered: tuple[int, Any], means: tuple[str, str]
) -> None:
    status, given = answered
    reason, words = means
    found = failure(status, error_words(body(given)), TARGET, moved_to="https://host/v1")
    assert found.cause == reason in REASONS
    assert any(one in str(found) for one in words.split("|")), str(found)
    assert (found.retryable, found.status) == (False, status)
    assert found.fatal == (status == 401)
    assert "sk-planted" not in str(found) and "\n" not in str(found)
    assert reason != "filtered" or "the account" not in str(found)


TOO_LONG = """
DashScope: Range of input length should be [1, 6144]
DashScope: <400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]
DashScope: Range of max_tokens should be [1, 2000]
Baidu: the max input characters is 11200
Baidu: Prompt tokens too long
Baidu: tokens_too_long
SiliconFlow: length of prompt_tokens (40321) must be less than max_seq_len (32768).
SiliconFlow: number of input tokens (80112) have exceeded max_prompt_tokens (65536) limit.
Zhipu: Prompt 超长
Zhipu: Prompt exceeds max length
Z.ai: tokens in request more than max tokens allowed
MiniMax: invalid params, context window exceeds limit
Moonshot: Invalid request: Your request exceeded model token limit: 8192 (requested: 9011)
Moonshot: Input token length too long
Volcengine: Total tokens of image and text exceed max message tokens. Request id: 0217
Hunyuan: 输入内容过长，请减少后重试
Spark: 消息总长度超过限制
xAI: This model's maximum prompt length is 8192 but the request contains 9011 tokens.
Copilot: prompt token count of 70112 exceeds the limit of 64000
Vertex: the input token count is 40112 but the model only supports up to 32768. Reduce it.
Gemini: The input token count (40112) exceeds the maximum number of tokens allowed (32768).
Bedrock: Input is too long for requested model.
Bedrock: Malformed input request: #/prompt: expected maxLength: 2048, actual: 2511
watsonx: the number of input tokens 9011 cannot exceed the total tokens limit 8192 for this model
Mistral: Prompt contains 40112 tokens, too large for model with 32768 maximum context length
Cohere: too many tokens: size limit exceeded by 112 tokens. Try using shorter or fewer inputs
Groq: Please reduce the length of the messages or completion.
Cerebras: Please reduce the length of the messages. Current length is 9011 while limit is 8192
Together: The input (40112 tokens) is longer than the model's context length (32768 tokens).
Fireworks: The prompt is too long: 140112, model maximum context length: 131072
DeepInfra: inputs tokens + max_new_tokens must be <= 4096
LM Studio: The number of tokens to keep is greater than the context length (5011 >= 4096)
MiniMax: tokens limit
vLLM: max_tokens must be at least 1, got -200.
OpenAI: string too long. Expected a string with maximum length 1048576, but got one of 2000000.
OpenAI: Invalid 'messages[0].content': string too long. Expected a string with maximum length 99.
a gateway: Your prompt has 9011 tokens, which is more than the maximum of 8192
a gateway: The total length of the messages exceeds the limit of 32000
a gateway: This model's maximum input length is 4096 tokens
""".strip().splitlines()


@each("line", TOO_LONG)
def test_each_provider_s_words_for_a_prompt_over_its_limit_are_known(line: str) -> None:
    _, _, words = line.partition(": ")
    for found in (
        failure(400, error_words(body(coded(words))), TARGET),
        failure_in(error_of({"code": 20015, "message": words, "data": None}), TARGET),
        failure_in(error_of({"error_code": 336003, "error_msg": words}), TARGET),
    ):
        assert (found.cause, found.retryable) == ("too long", False)
        assert "answered 413" not in str(found) and words in str(found)


@each(
    "words",
    [
        "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        "Failed check: SAFETY_CHECK_TYPE_CSAM",
        "input audit failed",
        "output content audit fails",
        "The request has been blocked by WAF",
        "Request blocked by a web application firewall",
        "Request rejected: prompt injection detected",
        "Access denied: the content was deemed unsafe",
        "The input may contain illegal content",
        "Chat content is prohibited",
    ],
)
def test_each_provider_s_words_for_what_it_filters_are_known(words: str) -> None:
    for found in (
        failure(403, error_words(body(coded(words))), TARGET),
        failure_in(error_of({"code": 10013, "message": words, "sid": "x"}), TARGET),
        failure_in(error_of({"base_resp": {"status_code": 1026, "status_msg": words}}), TARGET),
    ):
        assert (found.cause, found.retryable) == ("filtered", False)


@each("words", ["Content-Type is prohibited", "An audit log is required", "usage limit", "WAFFLE"])
def test_other_words_are_no_filter_s(words: str) -> None:
    assert failure(400, error_words(body(coded(words))), TARGET).cause != "filtered"


@each("status", [300, 304])
def test_a_status_that_may_be_no_redirect_is_none_without_an_address(status: int) -> None:
    found = failure(status, error_words(b""), TARGET)
    assert (found.cause, found.retryable) == ("refused by the endpoint", False)
    assert "redirect" not in str(found)


NOT_TOO_LONG = """
400: Range of temperature should be [0, 2)
400: the length of the parameter user must be at most 64
400: stop sequence too long
400: Invalid 'user': string too long. Expected a string with maximum length 64.
400: max_retries exceeds the limit
400: messages must alternate
429: Too many tokens, please wait before trying again.
429: Your organization has used 40112 tokens, which exceeds its TPM of 40000
429: 您的 token 用量已超出每分钟限制
"""


@each("line", NOT_TOO_LONG.strip().splitlines())
def test_a_limit_of_something_else_is_no_prompt_that_is_too_long(line: str) -> None:
    status, _, words = line.partition(": ")
    assert failure(int(status), error_words(body(coded(words))), TARGET).cause != "too long"


@each(
    ("given", "status"),
    [
        ({"error": {"message": "context length exceeded", "code": "context_length_exceeded"}}, 200),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, 200),
        ({"error": {"message": "no such thing", "type": "invalid_request_error"}}, 200),
        ({"error": {"message": "the prompt is too long", "code": 400}}, 400),
        ({"error": {"message": "the engine is busy", "code": "503"}}, 503),
    ],
)
def test_an_error_inside_a_200_has_the_status_that_it_names_and_else_the_one_that_came(
    given: Any, status: int
) -> None:
    text = str(failure_in(error_of(given), TARGET))
    shown = [int(one) for one in re.findall(r"\b[2-5]\d\d\b", text)]
    assert shown == [status] and (status != 200 or "200 with an error: " in text)


@each(
    ("status", "given"),
    [(405, {"detail": "Method Not Allowed"}), (404, "<html>nope</html>"), (404, "page not found")],
)
def test_an_endpoint_that_has_answered_knows_its_path(status: int, given: Any) -> None:
    found = failure(status, error_words(body(given)), replace(TARGET, answers=True))
    assert (found.cause, found.retryable) == ("refused by the endpoint", False)
    assert "know" not in str(found) and f"refused a request ({status}: " in str(found)


PASSING = {
    "a limit that names plans": (429, coded("Rate limit reached: add more credits.", "tokens")),
    "Gemini, per minute": (
        429,
        [{"error": {"message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}],
    ),
    "a proxy's page": (502, "<html><title>502 Bad Gateway</title></html>"),
    "a busy provider": (503, coded("The moderation service is unavailable")),
    "a crash": (500, "Internal Server Error"),
    "a limit by 403": (403, coded("API rate limit exceeded")),
    "a conflict": (409, coded("Session is locked")),
}


@each(("status", "given"), PASSING)
def test_what_passes_is_worth_another_attempt(status: int, given: Any) -> None:
    found = failure(status, error_words(body(given)), TARGET, after_s=3.0)
    assert (found.retryable, found.fatal, found.after_s) == (True, False, 3.0)
    assert found.cause.startswith("http ") and found.cause not in REASONS


IN_200 = {
    "OpenRouter": ({"error": {"message": "Provider error", "code": 524}}, "http 524"),
    "in a choice": ({"choices": [{"error": {"message": "idle", "code": 503}}]}, "http 503"),
    "a digit string": ({"error": {"message": "slow down", "code": "429"}}, "http 429"),
    "a word": ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, "http 429"),
    "Anthropic": ({"type": "error", "error": {"type": "overloaded_error"}}, "http 529"),
    "LM Studio": ({"error": "Unexpected endpoint or method. (POST /x)"}, "no such path"),
    "MiniMax": (
        {"choices": None, "base_resp": {"status_code": 8, "status_msg": "insufficient balance"}},
        "no credit",
    ),
    "vLLM": ({"object": "error", "message": "the prompt is too long", "code": 400}, "too long"),
    "a list": ([{"error": {"code": 403, "message": "flagged as unsafe"}}], "filtered"),
    "without a code": ({"error": {"message": "something broke"}}, UNKNOWN),
    "a text": ({"error": "something broke"}, UNKNOWN),
    "a credit, in words": ({"error": "You have run out of credits."}, "no credit"),
    "FastAPI": ({"detail": "It is not served now"}, UNKNOWN),
    "SiliconFlow": ({"code": 20015, "message": "It is odd", "data": None}, UNKNOWN),
    "Cloudflare": ({"success": False, "errors": [{"code": 7003, "message": "odd"}]}, UNKNOWN),
    "without words": ({"success": False, "result": None}, UNKNOWN),
    "Baidu": ({"error_code": 336003, "error_msg": "the content is sensitive"}, "filtered"),
    "Baidu, a limit": ({"error_code": 18, "error_msg": "too many requests"}, "http 429"),
    "Apigee": ({"error": {"fault": {"faultstring": "quota exceeded"}, "code": 429}}, "http 429"),
}


@each(("given", "cause"), IN_200)
def test_an_error_inside_a_200_is_that_error(given: Any, cause: str) -> None:
    found = failure_in(error_of(given), TARGET)
    assert found.cause == cause
    assert found.retryable == cause.startswith(("http ", UNKNOWN))
    assert cause != UNKNOWN or "answered 200 with an error: " in str(found)
    for words in re.findall(r"'(?:message|error_msg|faultstring)': '([^']*)", str(given)):
        assert words in str(found)


@each(
    "given",
    [
        {"choices": [{"message": {"content": "hi"}}], "error": None},
        {"choices": [{"message": {"content": "hi"}, "error": None}], "error": {"message": ""}},
        {"choices": [{"message": {"content": "hi"}}], "base_resp": {"status_code": 0}},
        {"model": "m", "message": {"role": "assistant", "content": "hi"}},
        {"choices": []},
        {"success": True, "error_code": 0, "msg": "ok", "errors": [], "message": {"content": "hi"}},
        [],
        "error",
    ],
)
def test_an_answer_holds_no_error(given: Any) -> None:
    assert error_of(given) is None


@pytest.mark.parametrize("depth", [5_000])
def test_any_body_of_an_error_is_one_short_line(depth: int) -> None:
    for given in (b"\xff\xfe\n\x00", b"[" * depth, b'{"error": ' * depth, b"x\n" * 9_999, b"null"):
        found = failure(418, error_words(given), TARGET)
        assert len(str(found)) < 400 and "\n" not in str(found)
    assert error_words(b"").text == "no message"
    assert error_words(b'{"error": {"param": "seed", "message": "no"}}') == Words("no", "", "seed")


def test_a_model_that_is_listed_is_no_misspelling() -> None:
    listed = replace(TARGET, served=[TARGET.model, "llama"])
    message = str(failure(404, Words("model not found"), listed))
    assert "but it lists it" in message and "did you mean" not in message
