r"""What one response body means: an answer with how it ended, or the error that it reports.

Chat, text completion, and events where nobody asked for a stream; any JSON. Values are cleaned
here and nowhere else: what comes out can be recorded, written as UTF-8 and summed.

Source: https://platform.openai.com/docs/api-reference/chat, and the words that vLLM, SGLang, TGI,
llama.cpp, Ollama, LiteLLM, OpenRouter, Azure, Anthropic, Gemini, Mistral, DeepSeek, Cohere, Bedrock
and Zhipu have for the end of an answer.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders.engine.calls import Answer, Ended, Failure
from builders.engine.error_words import error_of
from builders.engine.refusals import UNKNOWN, Target, failure_in
from builders.engine.response_bodies import choice_of, message_of, parsed_body
from builders.engine.thinking import parted
from builders.engine.usage import token_counts
from builders.errors import printable

_ENDS: dict[Ended, str] = {  # by its words, without case and separators
    "complete": "stop end endturn stopsequence stopsequences eos eostoken eosfound endofturn "
    "endoftext endofsequence stopstringfound stopsequencereached complete completed finished "
    "finish done natural normal stopwords stopword stopstr stopstring stoptoken stoptokens "
    "endid eostokenid stopid stopids",
    "length": "length maxtokens maxoutputtokens maxcompletiontokens maxnewtokens maximumtokens "
    "maxlength modellength modelcontextwindowexceeded contextlength contextlengthexceeded "
    "contextwindowexceeded tokenlimit limit outputlimit errorlimit incomplete truncated "
    "notfinished maxpredictedtokensreached contextlengthreached lengthlimit maxlen "
    "maxseqlen maxnewtoken maxtoken",
    "filtered": "contentfilter contentfiltered contentpolicyviolation safety imagesafety "
    "recitation prohibitedcontent blocklist spii guardrail guardrails guardrailintervened "
    "moderation moderated blocked flagged errortoxic sensitive language imageprohibitedcontent "
    "imagerecitation modelarmor riskcontrol contentblocked",
    "refused": "refusal refused refuse modelrefusal",
    "tool_calls": "toolcalls toolcall functioncall functioncalls tooluse",
    "aborted": "abort aborted cancel cancelled canceled usercancel usercanceled usercancelled "
    "userstopped error errored failed failure timeout timelimit interrupted disconnect "
    "disconnected networkerror insufficientsystemresource malformedfunctioncall malformedtooluse "
    "malformedmodeloutput malformedresponse unexpectedtoolcall toomanytoolcalls pauseturn "
    "preempted killed shutdown unload modelunloaded overloaded repetition",
}
_ENDED: dict[str, Ended] = {word: end for end, words in _ENDS.items() for word in words.split()}
_OF_TWO_PARTS = re.compile(r"[_-]|^[A-Z]+$|^refusal$")
_PREFIX = re.compile(r"^(?:finish|stop)?reason(?=.)")
# What an endpoint calls an end beside `finish_reason`, which may have been made to fit.
_NATIVE = ("native_finish_reason", "stop_reason", "finishReason", "done_reason")
_THOUGHT_KEYS = dict.fromkeys(
    (
        *("reasoning_content", "reasoning", "reasoning_text", "thinking", "thoughts", "thought"),
        *("reasoning_details", "thinking_blocks", "reasoningContent", "thinking_content"),
    )
)
_THOUGHT_TYPES = re.compile(r"think|reason|thought")
_THOUGHT_PART_KEYS = {"reasoningContent", "reasoning_content"}  # of Bedrock, without a type
_TOOL_PART = re.compile(r"tool_?(use|call)$|function_?call$")
_TOOL_PART_KEYS = {"functionCall", "function_call", "toolUse"}  # of Gemini and Bedrock
_TEXT_KEYS = (
    "text",
    "output_text",
    "content",
    "value",
    "parts",
    "thinking",
    "summary",
    "reasoning",
    "reasoningContent",
    "reasoning_content",
    "reasoningText",
)
_PART_KEYS = {"type", "text", "parts", "content", *_THOUGHT_PART_KEYS}
_DEEPEST = 12  # nested parts of a content; each level is a call
_SHORT = 200  # characters of a name
_NOTHING = ("", "null", "none")  # how some servers write it
_HALF = re.compile("[\ud800-\udfff]")  # of a character, or a byte that is no UTF-8


def read_answer(
    body: bytes, target: Callable[[], Target], status: int = 200, **measured: Any
) -> Answer:
    """The answer in the body of a 2xx, with what was `measured`, such as its latency.

    `target` returns the endpoint as errors name it.

    Raises:
        Failure: The body reports an error, or it is no JSON, or nothing in it is an answer.
    """
    try:
        given = _document(body)
        text = isinstance(given, str)
        given = {"error": given} if isinstance(given, str) else given
        found = error_of(given)
        error = None if found is None else failure_in(found, target(), status)
    except (ValueError, RecursionError):
        kind = {b"<": "HTML", b"": "empty"}.get(body.lstrip()[:1], "not JSON")
        shown = {"empty": "nothing", "not JSON": "what is not JSON"}.get(kind, kind)
        what = f"{target().name} answered {status} with {shown}; is this the /v1 address?"
        raise Failure(kind, what, retryable=True) from None
    if error:
        if text and error.cause == UNKNOWN:  # no word of it is known: no error, no answer
            error.cause = "no content"
        raise error
    answer = answer_in(given, **measured)
    if answer is None:
        what = f"{target().name} gave an answer without choices or message"
        raise Failure("no content", what, retryable=True)
    return answer


def answer_in(given: Mapping[str, Any], **measured: Any) -> Answer | None:
    """The answer in a response, cleaned and without thinking or marks; None where it holds none."""
    choice = choice_of(given) or ({"finish_reason": "content_filter"} if _blocked(given) else {})
    message = message_of(choice)
    word, ended = _end(choice, given)
    if not message and word is None and ended == "unknown":
        if not any(token_counts(given, False).values()):
            return None
        ended = "complete"  # an answer that is paid for, and empty
    found = _Content()
    found.read(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip().lower() not in _NOTHING:
        found.refusals.append(refusal)
    elif refusal is True:  # without words for it
        found.refusals.append("")
    tool_calls = _tool_calls(message) or found.tool_calls
    text = "".join(found.texts)
    if tool_calls and ended in ("complete", "unknown"):
        ended = "tool_calls"
    if found.refusals and ended in ("complete", "unknown"):
        ended = "refused"
    if not text.isascii() and _HALF.search(_joined_pairs(text)) and ended == "complete":
        ended = "aborted"  # in the middle of a character
    answer = Answer(
        text=_utf8(text or "\n".join(found.refusals)),
        ended=ended,
        finish_reason=word,
        reasoning=_utf8(_thought_beside(message, choice) or "".join(found.thoughts)) or None,
        tool_calls=tool_calls or None,
        logprobs=_logprobs(choice.get("logprobs")),
        model=_name(given.get("model") or given.get("modelVersion")),
        fingerprint=_name(given.get("system_fingerprint")),
        revision=_name(given.get("model_revision") or given.get("revision")),
        **token_counts(given, bool(text)),
        **measured,
    )
    apart = parted(answer.text)
    if apart.text is answer.text and not apart.leaked:
        return answer
    thoughts = [one for one in (answer.reasoning, apart.reasoning) if one]
    if ended in ("complete", "unknown"):
        ended = "length" if apart.unfinished else "tool_calls" if apart.calls else ended
    return replace(
        answer,
        text=apart.text,
        reasoning="\n\n".join(thoughts) or None,
        ended=ended,
        leaked_mark=None if apart.calls else apart.leaked,
    )


def _ended_by(word: str | None) -> Ended:
    """How an answer ended, by the endpoint's word for it."""
    if found := _ENDED.get(word or ""):
        return found
    for one in (word or "", (word or "").partition(":")[0]):  # as in "content_filter: SAFETY"
        bare = re.sub(r"[\W_]", "", one.lower())
        if found := _ENDED.get(_PREFIX.sub("", bare)):
            return found
    return "unknown"


def _document(body: bytes) -> dict[str, Any] | str:
    """The JSON object of a body, of a list its first, empty without one; or a text alone.

    Raises:
        ValueError: It is no JSON.
    """
    given = parsed_body(body)
    if isinstance(given, list):
        given = next((one for one in given if isinstance(one, dict)), None)
    return given if isinstance(given, dict | str) else {}


# --- how it ended


def _end(choice: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str | None, Ended]:
    """The endpoint's word for the end, and what it means beside all else that is reported."""
    word = _word(choice.get("finish_reason"))
    others = [
        (name, one)
        for place in (choice, given)
        for name in _NATIVE
        if name in place and (one := _word(place[name]))
    ]
    if word is None:
        word = next((one for _, one in others if _ended_by(one) != "unknown"), None)
    ended = _ended_by(word)
    for name, other in others if ended == "complete" else ():
        # vLLM's `stop_reason` is the token or text that stopped it: a plain word is no end.
        plain = name == "stop_reason" and not _OF_TWO_PARTS.search(other)
        if not plain and (end := _ended_by(other)) not in ("complete", "unknown"):
            return other, end
    filtered = _filtered(choice.get("content_filter_results")) or _blocked(given)
    return word, "filtered" if filtered and ended in ("complete", "unknown") else ended


def _word(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    word = _name(_plain(value))
    return None if word is None or word.lower() in _NOTHING else word


def _filtered(results: Any) -> bool:
    """Whether one of Azure's filters, or one of its own lists of words, took something out."""
    if not isinstance(results, dict):
        return False
    each = [*results.values()]
    each += [one for listed in each if isinstance(listed, list) for one in listed]
    return any(isinstance(one, dict) and one.get("filtered") is True for one in each)


def _blocked(given: Mapping[str, Any]) -> bool:
    """Whether Gemini, or a gateway to it, reports that it blocked the prompt."""
    found = given.get("prompt_feedback") or given.get("promptFeedback")
    return isinstance(found, dict) and bool(found.get("blockReason") or found.get("block_reason"))


# --- its content


class _Content:
    """The parts of a content by what they are."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.tool_calls: list[dict[str, Any]] = []

    def read(self, value: Any, depth: int = 0) -> None:
        """Add a content: a text, a part, or a list of them; images and the like are left out."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list) and depth < _DEEPEST:
            for one in value:
                self.read(one, depth + 1)
        elif isinstance(value, dict) and value and not depth and not _PART_KEYS & value.keys():
            self.texts.append(_json_text(value))  # an answer by a schema, parsed by the server
        elif isinstance(value, dict) and depth < _DEEPEST:
            kind = _plain(value.get("type")).lower()
            thought = str(value.get("thought", "")).lower() == "true"  # some gateways send a text
            if thought or _THOUGHT_TYPES.search(kind) or _THOUGHT_PART_KEYS & value.keys():
                self.thoughts.append(_thought(value))
            elif isinstance(refusal := value.get("refusal"), str):
                self.refusals.append(refusal)
            elif _TOOL_PART.search(kind) or _TOOL_PART_KEYS & value.keys():
                self.tool_calls += _tool_calls({"tool_calls": [_call_of_part(value)]})
            elif kind in ("", "text", "output_text", "message"):
                name = next((name for name in _TEXT_KEYS if name in value), None)
                self.read(value[name] if name else None, depth + 1)


def _call_of_part(part: Mapping[str, Any]) -> Any:
    """A part that is the call of a tool, in OpenAI's form."""
    inner = next((part[name] for name in _TOOL_PART_KEYS if isinstance(part.get(name), dict)), part)
    arguments: Any = next(
        (inner[name] for name in ("arguments", "input", "args") if name in inner), {}
    )
    return {**inner, "id": part.get("id"), "arguments": arguments}


def _thought_beside(message: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """The reasoning that a response has in a field of its own; empty without any."""
    for place in (message, message.get("provider_specific_fields"), choice):
        if isinstance(place, dict) and not _THOUGHT_KEYS.keys().isdisjoint(place):
            for key in _THOUGHT_KEYS:
                if thought := _thought(place.get(key)):
                    return thought
    return ""


def _thought(value: Any, depth: int = 0) -> str:
    """The text of reasoning in any of its forms; empty without any."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth < _DEEPEST:
        return "".join(_thought(one, depth + 1) for one in value)
    if isinstance(value, dict) and depth < _DEEPEST:
        return next((one for key in _TEXT_KEYS if (one := _thought(value.get(key), depth + 1))), "")
    return ""


def _tool_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of tools in one form, with their arguments as text."""
    given = message.get("tool_calls")
    calls = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    if not calls and isinstance(old := message.get("function_call"), dict):
        calls = [{"function": old}]
    found = []
    for call in calls:
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = _json_text(arguments)
        name = _name(function.get("name")) or ""
        if not name and arguments.strip() in ("", "{}", "null"):  # some servers send it empty
            continue
        call_of = {"name": name, "arguments": _utf8(arguments)}
        found.append({"id": _name(call.get("id")) or "", "type": "function", "function": call_of})
    return found


def _logprobs(given: Any) -> list[dict[str, Any]] | None:
    """Tokens with their log-probabilities in the form of chat; those of text completions too."""
    if not isinstance(given, dict):
        return None
    if isinstance(content := given.get("content"), list):
        entries = [one for one in content if isinstance(one, dict)]
        return [_token(one, one.get("top_logprobs")) for one in entries]
    if not isinstance(tokens := given.get("tokens"), list):
        return None
    numbers, tops = (_listed(given.get(name)) for name in ("token_logprobs", "top_logprobs"))
    found = []
    for at, token in enumerate(tokens):
        top = tops[at] if at < len(tops) else None
        if isinstance(top, dict):
            top = [{"token": name, "logprob": number} for name, number in top.items()]
        entry = {"token": token, "logprob": numbers[at] if at < len(numbers) else None}
        found.append(_token(entry, top))
    return found


def _token(given: Mapping[str, Any], top: Any) -> dict[str, Any]:
    number: Any = given.get("logprob")
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    found: dict[str, Any] = {
        "token": _utf8(_plain(given.get("token"))),
        "logprob": float(number) if plain and abs(number) < 1e300 else None,
    }
    if top is not None:
        each = [one for one in _listed(top) if isinstance(one, dict)]
        found["top_logprobs"] = [_token(one, None) for one in each]
    return found


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


# --- values


def _name(value: Any) -> str | None:
    """A short text on one line, such as the name of a model; None for anything else."""
    return _one_line(value[:_SHORT]) if isinstance(value, str) else None


@functools.lru_cache(1024)  # the same few in every answer
def _one_line(text: str) -> str | None:
    return printable(_utf8(text)).strip() or None


def _plain(value: Any) -> str:
    """A text or number as text; empty for anything else, which can be nested without end."""
    return str(value) if isinstance(value, str | int | float) else ""


def _json_text(value: Any) -> str:
    """A value as JSON; empty where it is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _utf8(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text if text.isascii() else _HALF.sub("\ufffd", _joined_pairs(text))


def _joined_pairs(text: str) -> str:
    """The text with the halves of a character joined, which came in two parts of a content."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
