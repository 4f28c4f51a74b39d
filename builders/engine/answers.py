r"""What one response body means: an answer with how it ended, or the error that it reports.

Chat, text completion, and events where nobody asked for a stream; any JSON. Values are cleaned
here and nowhere else: what comes out can be recorded, written as UTF-8 and summed.

Source: https://platform.openai.com/docs/api-reference/chat, and the words that vLLM, SGLang, TGI,
llama.cpp, Ollama, LiteLLM, OpenRouter, Azure, Anthropic, Gemini, Mistral, DeepSeek, Cohere, Bedrock
and Zhipu have for the end of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders.engine.calls import Answer, Ended, Failure
from builders.engine.error_words import error_of
from builders.engine.message_content import (
    NOTHING,
    Content,
    has_half,
    name_of,
    plain,
    thought_beside,
    tool_calls_of,
    utf8,
)
from builders.engine.refusals import UNKNOWN, Target, failure_in
from builders.engine.response_bodies import choice_of, message_of, parsed_body
from builders.engine.thinking import parted
from builders.engine.usage import token_counts

_ENDS: dict[Ended, str] = {  # by its words, without case and separators
    "complete": "stop end endturn stopsequence stopsequences eos eostoken eosfound endofturn "
    "endoftext endofsequence stopstringfound stopsequencereached complete completed finished "
    "finish done natural normal stopwords stopword stopstr stopstring stoptoken stoptokens "
    "endid eostokenid stopid stopids success succeeded",
    "length": "length maxtokens maxoutputtokens maxcompletiontokens maxnewtokens maximumtokens "
    "maxlength modellength modelcontextwindowexceeded contextlength contextlengthexceeded "
    "contextwindowexceeded tokenlimit limit outputlimit errorlimit incomplete truncated "
    "notfinished maxpredictedtokensreached contextlengthreached lengthlimit maxlen "
    "maxseqlen maxnewtoken maxtoken istruncated stoppedlimit maxtokensreached "
    "maxlengthreached tokenlimitreached",
    "filtered": "contentfilter contentfiltered contentpolicyviolation safety imagesafety "
    "recitation prohibitedcontent blocklist spii guardrail guardrails guardrailintervened "
    "moderation moderated blocked flagged errortoxic sensitive language imageprohibitedcontent "
    "imagerecitation modelarmor riskcontrol contentblocked needclearhistory inputsensitive "
    "outputsensitive",
    "refused": "refusal refused refuse modelrefusal",
    "tool_calls": "toolcalls toolcall functioncall functioncalls tooluse",
    "aborted": "abort aborted cancel cancelled canceled usercancel usercanceled usercancelled "
    "userstopped error errored failed failure timeout timelimit interrupted disconnect "
    "disconnected networkerror insufficientsystemresource malformedfunctioncall malformedtooluse "
    "malformedmodeloutput malformedresponse unexpectedtoolcall toomanytoolcalls pauseturn "
    "preempted killed shutdown unload modelunloaded overloaded repetition repetitiontruncation "
    "repetitiondetection repetitiondetected other evicted eviction clientdisconnected",
}
_ENDED: dict[str, Ended] = {word: end for end, words in _ENDS.items() for word in words.split()}
_OF_TWO_PARTS = re.compile(r"[_-]|^[A-Z]+$|^refusal$")
_PREFIX = re.compile(r"^(?:finish|stop)?reason(?=.)")
# What an endpoint calls an end beside `finish_reason`, which may have been made to fit.
_NATIVE = dict.fromkeys(
    ("native_finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason"), True
)
# What only contradicts a complete end; where it is true, its name is the word.
_NATIVE |= dict.fromkeys(
    (
        *("incomplete_details", "status", "stop_details", "stop_type", "truncated"),
        *("stopped_limit", "is_truncated", "need_clear_history"),
        *("input_sensitive", "output_sensitive"),
    ),
    False,
)


_NATIVES = frozenset(_NATIVE)


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
    found = Content()
    found.read(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip().lower() not in NOTHING:
        found.refusals.append(refusal)
    elif refusal is True:  # without words for it
        found.refusals.append("")
    tool_calls = tool_calls_of(message) or found.tool_calls
    text = "".join(found.texts)
    if tool_calls and ended in ("complete", "unknown"):
        ended = "tool_calls"
    if found.refusals and ended in ("complete", "unknown"):
        ended = "refused"
    if not text.isascii() and has_half(text) and ended == "complete":
        ended = "aborted"  # in the middle of a character
    if ended in ("complete", "unknown") and (found.media or message.get("images")):
        ended = "media"
    answer = Answer(
        text=utf8(text or "\n".join(found.refusals)),
        ended=ended,
        finish_reason=word,
        reasoning=utf8(thought_beside(message, choice) or "".join(found.thoughts)) or None,
        tool_calls=tool_calls or None,
        logprobs=_logprobs(choice.get("logprobs")),
        model=name_of(given.get("model") or given.get("modelVersion")),
        fingerprint=name_of(given.get("system_fingerprint")),
        revision=name_of(given.get("model_revision") or given.get("revision")),
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
        bare = re.sub(r"[^\w\ufffd]|_", "", one.lower())
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
        if not _NATIVES.isdisjoint(place)
        for name, value in place.items()
        if value is not None and name in _NATIVES
        if (one := _word(name if value is True else value))
    ]
    if word is None:
        named = (one for name, one in others if _NATIVE[name])
        word = next((one for one in named if _ended_by(one) != "unknown"), None)
    ended = _ended_by(word)
    if word is None and given.get("is_truncated") is False and given.get("is_end") is not False:
        ended = "complete"  # all that ERNIE reports of an end
    for name, other in sorted(others, key=_least_exact) if others and ended == "complete" else ():
        # vLLM's `stop_reason` is the token or text that stopped it: a plain word is no end.
        is_text = name == "stop_reason" and not _OF_TWO_PARTS.search(other)
        if not is_text and (end := _ended_by(other)) not in ("complete", "unknown"):
            return other, end
    filtered = _filtered(choice.get("content_filter_results")) or _blocked(given)
    return word, "filtered" if filtered and ended in ("complete", "unknown") else ended


def _least_exact(other: tuple[str, str]) -> bool:
    return other[0] == "status"


def _word(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    word = name_of(plain(value))
    return None if word is None or word.lower() in NOTHING else word


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


# --- its log-probabilities


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
    known = isinstance(number, int | float) and not isinstance(number, bool)
    found: dict[str, Any] = {
        "token": utf8(plain(given.get("token"))),
        "logprob": float(number) if known and abs(number) < 1e300 else None,
    }
    if top is not None:
        each = [one for one in _listed(top) if isinstance(one, dict)]
        found["top_logprobs"] = [_token(one, None) for one in each]
    return found


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
