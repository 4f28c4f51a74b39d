"""What a refusal means: an endpoint's status and words become a Failure with a reason.

Sources: https://platform.openai.com/docs/guides/error-codes,
https://openrouter.ai/docs/api-reference/errors, https://docs.anthropic.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from builders.engine.calls import Failure
from builders.engine.error_words import Words, error_of, error_words, levels, words_of
from builders.engine.refused_values import value_advice
from builders.engine.response_bodies import parsed_json
from builders.errors import did_you_mean

_MAYBE_NO_REDIRECT = (300, 304)  # choices, and a body that a cache has
_RETRIED = frozenset({408, 409, 425, 429, 499})  # and from 500 on, unless words name a reason
_MOST_WORDS = 300  # characters of an endpoint's words in a message


class _Meaning(NamedTuple):
    """A reason to refuse, and what it is recognised by: these words, or else its own statuses."""

    reason: str
    statuses: frozenset[int]
    words: re.Pattern[str]
    below: int  # statuses from this one on are not read for the words


def _meaning(reason: str, words: str, *statuses: int, below: int = 600) -> _Meaning:
    return _Meaning(reason, frozenset(statuses), re.compile(words), below)


NO_SUCH_MODEL, NO_PROVIDER = "no such model", "no provider"
# The first that applies decides. The words are searched in the message and the codes, lower case.
_MEANINGS = (
    _meaning(
        "no credit",
        r"insufficient[_ ](user[_ ])?(quota|balance|credit|fund)|billing_(hard_limit|not_active)|"
        r"billing hard limit|credit balance|only afford|(more|enough|out of|of|no) credits?\b|"
        r"not enough (balance|money|fund)|payment required|account is not active|arrear|"
        r"exceeded your (monthly|included)|budget.{0,20}exceeded|exceeded ?budget|"
        r"spend(ing)? limit|exceeded_current_quota|account.{0,80}suspended|"
        r"free tier.{0,30}(exhausted|exceeded)|余额不足|额度不足|额度已用尽|欠费",
        402,
        below=500,
    ),
    _meaning(
        "too long",
        r"exceed_context|context[_ -]?(length|size|window|limit)|max_(model|seq)_len|"
        r"(prompt|input|request|payload|(?<!stop )sequence|message)s?( \w+){0,2}? "
        r"((is|are|was|were) )?too (long|large)|(prompt|input|request|tokens|characters)_too_"
        r"(long|large)|(input|prompt|messages|message length|\btoken)s?\b.{0,60}"
        r"\b(exceed|(longer|greater|larger|more) than|must (be|have) (<|less|fewer|at most)).{0,60}"
        r"\b(max\w*|limit|model|tokens?|\d{3,})\b|above_max_length|reduce the length|"
        r"too many (input |prompt )?tokens(?!\W+please wait)|(^|model |max )tokens? limit|"
        r"max(imum)?[ _](input|prompt|sequence)[ _](length|characters|size|tokens)|"
        r"range of (input|prompt|messages?)\b|tokens?\b.{0,60}\bonly supports up to|"
        r"(prompt|text|input|messages|content)\S{0,20}:? (string too long|expected maxlength)|"
        r"^string too long|must be reduced|too large to process|input is larger|entity too large|"
        r"uri too (long|large)|超长|过长|"
        r"(输入|上下文|长度|消息|prompt|token|字符)[^用额耗每日频。，,]{0,20}(超过|超出|超限)|"
        r"max_tokens must be at least 1, got -|range of max_(completion_|output_)?tokens|"
        r"max_(completion_|output_)?tokens\b.{0,60}\b(at most|less than|exceeds?|"
        r"maximum|range|too (large|high|big))",
        *(413, 414),
    ),
    _meaning(
        "filtered",
        r"flagged|moderation|content[_ ]?(filter|policy|management|moderat)|content exists risk|"
        r"responsible ?ai|\bsafety(\b|_check)|prohibited_content|data_?inspection|inappropriate|"
        r"sensitive ?(word|content)|severe violation|riskdetection|"
        r"(prohibited|illegal) (input|content)|content is (prohibited|blocked)|"
        r"\binvalid_prompt\b|prompt injection|new_sensitive|(input|output|content) audit|"
        r"usage (polic|guideline)|"
        r"blocked by (our |the |an? )?(content|prompt|guard|waf\b|web application firewall)|"
        r"(input|output|prompt|text|content)s? (is |contains? |may contain )?sensitive|"
        r"guardrail|jailbreak|(input|output|prompt|text|content)s? ((is|are|was) )?(\w+ )?unsafe|"
        r"high risk|敏感|不安全|违规",
        451,
        below=501,
    ),
    _meaning(
        "key refused",
        r"api[-_ ]?key|authenticat|unauthori[sz]ed|credential|(invalid|expired|missing) token|"
        r"access token|security token|tokens? (has |have |is |are )?(been )?expired|expiredtoken|"
        r"jwt expired|令牌|bearer|no connected db",  # the last: LiteLLM's proxy without a key store
        401,
        below=500,
    ),
    _meaning(
        "no such path",
        r"unexpected endpoint|unknown_url|invalid url \(|unknown (request )?url|cannot post|"
        r"page not found|^not found|no route|method not allowed",
        405,
        below=500,
    ),
    _meaning(  # of the model that is there, as its routers have it
        NO_PROVIDER,
        r"no endpoints found(?! for)|your data policy|"
        r"no (allowed |available )?providers? (\w+ ){0,3}(available|found)",
        below=500,
    ),
    _meaning(
        NO_SUCH_MODEL,
        r"\bmodels?\b.{0,80}\b(not (be )?(found|exist|available|loaded|served|deployed)|unknown|"
        r"does ?n[o']t exist|decommissioned|deprecated)|\bmodel \S+ (is )?(invalid|"
        r"not (a )?(valid|supported))|(unknown|invalid|no such|not a valid) model|"
        r"model_?not_?found|invalid_model|deploymentnotfound|no endpoints found for",
        404,
        below=500,
    ),
)
REDIRECTED, _FIREWALL, _REFUSED = "redirected", "refused by a firewall", "refused by the endpoint"
# The reasons for which a request is refused, and would be again: nothing is gained by another one.
REASONS = frozenset({one.reason for one in _MEANINGS} | {REDIRECTED, _FIREWALL, _REFUSED})
OF_THE_REQUEST = frozenset({"filtered", "too long"})  # by their words: another may be answered
# The same or of everybody, which nothing shows; the others end with what is done about the account.
MAYBE_OF_THE_REQUEST = frozenset({_FIREWALL, _REFUSED})

_FEWER = re.compile(r"max_tokens|afford|fewer")  # words about a request that another may fit


def of_the_account(refusal: Failure) -> bool:
    """Whether a refusal is about the key or credit alone, and about nothing of its request."""
    no_credit = refusal.cause == "no credit" and not _FEWER.search(str(refusal).lower())
    return no_credit or refusal.cause == "key refused"


_HEADS = {  # how the message about each begins
    "no credit": "{name} reports no credit",
    "too long": "{name} refused a request that is too long for it",
    "filtered": "{name} filtered a request",
    "key refused": "{name} needs another key",
    "no such path": "{name} does not know this path",
    NO_SUCH_MODEL: "{name} has no model {model!r}",
    NO_PROVIDER: "{name} has no provider that takes the request to {model!r}",
    REDIRECTED: "{name} redirected a request",
    _FIREWALL: "a firewall or proxy before {name} refused a request",
    _REFUSED: "{name} refused a request",
}

# The status that an error without one corresponds to, by its code, type or words; the first counts.
_STATUSES = (
    (402, r"insufficient_quota|insufficient[_ ]balance"),
    (429, r"rate.?limit|too many requests|resource_exhausted|throttl"),
    (529, r"overloaded"),
    (503, r"unavailable|at capacity|try again|loading|\bbusy\b"),
    (504, r"time.?out|timed out|deadline_exceeded"),
    (401, r"authentication_error|unauthenticated|invalid_api_key|unauthori[sz]ed"),
    (403, r"permission_(error|denied)|forbidden|flagged|moderation"),
    (404, r"not_found|not found|unexpected endpoint|unknown_url"),
    (413, r"request_too_large|exceed_context|context_length"),
    (500, r"internal|server[_ ]?error|api_error|upstream"),
    (400, r"invalid_request|bad_?request|invalid_argument|validation|unprocessable|unsupported"),
)
_RATE = re.compile(
    r"rate.?limit|too many requests|per[ _-](second|minute|min\b|hour|day)|\b[rt]p[smd]\b"
)
_TOO_LARGE = re.compile(
    r"too large|must be reduced"
)  # for a limit per minute, however long it waits


@dataclass(frozen=True, kw_only=True)
class Target:
    """The endpoint that was asked, as errors name it.

    Attributes:
        name: Its address, without secrets.
        model: The model that was asked.
        key: Where its key comes from, and whether there is one; a clause.
        served: The models that it lists.
        sent: The parameters of the request, as intended.
        chosen: Those that the user decided by name.
        clean: Removes secrets from a text.
        answers: Whether it has answered a request, so that its path is right.
    """

    name: str
    model: str
    key: str
    served: Sequence[str] = ()
    sent: Mapping[str, Any] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    clean: Callable[[str], str] = str
    answers: bool = False


def failure(
    status: int,
    words: Words,
    target: Target,
    *,
    after_s: float | None = None,
    moved_to: str = "",
    sent: int | None = None,
) -> Failure:
    """The failure of a request that was answered with a status other than 200.

    Its cause is one of REASONS where the request was refused, else `http` and the status, which
    another attempt may help; 401 is fatal. `moved_to` is where a redirect leads, if it does; `sent`
    is the status that came, where only the words show what it should have been.
    """
    text = _shown(words, target)
    if _RATE.search(words.searched) and not _TOO_LARGE.search(words.searched) and status == 403:
        status = 429
    reason = _reason(status, words)
    knows_path = reason == "no such path" and target.answers
    if knows_path or (status in _MAYBE_NO_REDIRECT and not moved_to):
        reason = _REFUSED
    if reason is None:
        message = f"{target.name} answered {_answered(status, sent)}: {text}"
        return Failure(f"http {status}", message, retryable=True, after_s=after_s, status=status)
    head = _HEADS[reason].format(name=target.name, model=target.model)
    way_on = _way_on(reason, status, words, target, moved_to)
    answered = _answered(status, sent)
    if not (reason == REDIRECTED and moved_to):  # then the address is all that its body is about
        answered = f"{answered}: {text}"
    message = f"{head} ({answered}){way_on}"
    return Failure(reason, message, fatal=status == 401, status=status)


def _shown(words: Words, target: Target) -> str:
    text = target.clean(words.text)
    return text if len(text) <= _MOST_WORDS else text[: _MOST_WORDS - 3] + "..."


UNKNOWN = "unknown error"  # in a 2xx: nothing shows whether the request itself is at fault


def failure_in(found: Any, target: Target, status: int = 200) -> Failure:
    """The failure that an error in a response with status 2xx means.

    The error's own code decides as the status of that number would, else its words.
    """
    words = words_of(found)
    code = _code(found)
    known = code or _status(words)
    if known is None and _reason(status, words) == _REFUSED:
        message = f"{target.name} answered {_answered(status, status)}: {_shown(words, target)}"
        return Failure(UNKNOWN, message, retryable=True, status=status)
    return failure(known or status, words, target, sent=None if code else status)


def _answered(status: int, sent: int | None) -> str:
    return str(status) if sent is None else f"{sent} with an error"


def reported(status: int, body: bytes) -> tuple[int, Words]:
    """The status and words of a response, also of an error inside a 200."""
    if status >= 400:
        return status, error_words(body)
    if b'"choices"' not in body and b'"error"' in body:
        try:
            found = error_of(parsed_json(body))
        except ValueError:
            found = None
        if found is not None:
            words = words_of(found)
            return _code(found) or _status(words) or 500, words
    return status, Words("")


def _code(given: Any) -> int | None:
    """The status that an error in a 2xx names itself; None where it names none."""
    for one in levels(given):
        for name in ("code", "status", "status_code", "http_code"):
            value = one.get(name)
            if isinstance(value, str) and re.fullmatch(r"[1-9]\d\d", value):
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
                return value
    return None


def _status(words: Words) -> int | None:
    """The status that the words of an error in a 2xx correspond to; None where they show none."""
    fits = (status for status, pattern in _STATUSES if re.search(pattern, words.searched))
    return next(fits, None)


def _reason(status: int, words: Words) -> str | None:
    """Why a request was refused; None if another attempt may be answered."""
    if 300 <= status < 400:
        return REDIRECTED
    retried = status >= 500 or status in _RETRIED
    searched = words.searched
    if status == 429 and _RATE.search(searched) and not _TOO_LARGE.search(searched):
        searched = words.codes.lower()  # advice about plans and credits is not the reason
    if words.page:
        searched = ""
    for one in _MEANINGS:
        if status < one.below and one.words.search(searched):
            return one.reason
    if words.page and status == 404:
        return "no such path"
    usual = None if retried else _FIREWALL if words.page else _REFUSED
    return next((one.reason for one in _MEANINGS if status in one.statuses), usual)


def _way_on(reason: str, status: int, words: Words, target: Target, moved_to: str) -> str:
    """What to do about it, where a person can do something about the endpoint."""
    if reason == "no credit":
        fewer = _FEWER.search(words.searched)
        less = ", or ask for fewer tokens with --max-tokens" if fewer else ""
        return f"; check the account there{less}"
    if reason == "too long":
        return "; shorten the prompt, or ask for fewer tokens with --max-tokens"
    if reason == "key refused":
        return f"; {target.key}"
    if reason == NO_SUCH_MODEL:
        if target.model in target.served:
            return "; but it lists it: correct --model or --teacher, or check what the key may use"
        listed = f"; it lists {', '.join(target.served[:10])}" if target.served else ""
        near = did_you_mean(target.model, target.served)
        return f"; correct --model or --teacher{listed}{near}"
    if reason == "no such path":
        if target.name.endswith("/v1"):
            return "; is it the /v1 address of an OpenAI-compatible endpoint? correct --teacher"
        return f"; is the address {target.name}/v1? correct --teacher"
    if reason == REDIRECTED:
        if moved_to.startswith("itself"):
            return f"; it redirects to {moved_to}: correct the server, or the proxy before it"
        to = f"to {moved_to}" if moved_to else "and does not report where to"
        return f"; it redirects {to}: correct --teacher"
    if reason == NO_PROVIDER:
        return "; check what the account's settings allow of providers and data there"
    if reason == _REFUSED and (advice := value_advice(words, target.sent, target.chosen)):
        return advice
    if "http request" in words.searched and "https" in words.searched:
        return "; give the address with https://"
    if status == 403 and reason not in OF_THE_REQUEST:
        return "; check what the account may use there"
    return ""
