"""A call to a teacher, its answer, and how a call can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from builders.engine.json_texts import key_json
from builders.sources.conversations import has_text


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to a teacher: the prompt, the model, its sampling, and the sample's number.

    `prompt` is a list of chat messages, or a text to continue (the raw completions endpoint).
    """

    role: str
    endpoint: str
    model: str
    revision: str | None
    prompt: str | list[dict[str, Any]]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    sample: int = 0

    @cached_property
    def key(self) -> bytes:
        """32 bytes that two calls share only if the same answer serves both."""
        # Ledgers are searched by this key: its parts and their order are a format. The role is no
        # part of it, so that two roles with one model and prompt share an answer.
        parts = [
            self.endpoint,
            self.model,
            self.revision,
            self.prompt,
            self.sampling,
            self.schema,
            self.sample,
        ]
        return hashlib.sha256(key_json(parts).encode("utf-8", "surrogatepass")).digest()

    @property
    def id(self) -> str:
        """The first 16 hex digits of the key: the call's id in the config `calls`."""
        return self.key.hex()[:16]

    @property
    def asked(self) -> str | list[dict[str, Any]]:
        """The prompt, under the name by which .py files of the scripted teacher have read it."""
        return self.prompt

    @property
    def text(self) -> str:
        """The prompt as one text: the last message, or the text to continue."""
        return self.prompt if isinstance(self.prompt, str) else str(self.prompt[-1]["content"])


Ended = Literal[
    "complete", "length", "filtered", "refused", "tool_calls", "media", "aborted", "unknown"
]
NO_END = "unknown end"
_FAULTS: Mapping[str, str] = {
    "length": "cut off",
    "filtered": "filtered",
    "refused": "refused",
    "tool_calls": "tool call",
    "media": "not only text",
    "aborted": "broken off",
    "unknown": NO_END,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a teacher returned. Tokens are as the endpoint counts them; None where it does not.

    Ledgers store an answer by its field names: they are a format and cannot be renamed.

    Attributes:
        text: Without thinking and without template marks; of a refusal, its words.
        ended: How it ended.
        finish_reason: The endpoint's own word for that; None if it reports no end.
        reasoning: What the model thought before it answered; None without any.
        leaked_mark: The template mark in `text` after which more text follows; None without one.
        model: The model that answered, as the endpoint reports it; so `fingerprint`, `revision`.
        total_tokens: Both together, where the endpoint counts nothing else.
        reasoning_tokens: The part of `output_tokens` that was thinking.
        cached_tokens: The part of `input_tokens` that was read from the endpoint's cache.
    """

    text: str = ""
    ended: Ended = "complete"
    finish_reason: str | None = None
    reasoning: str | None = None
    leaked_mark: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    model: str | None = None
    fingerprint: str | None = None
    revision: str | None = None
    latency_s: float = 0.0
    pause_s: float = 0.0  # how long the endpoint has no room, by its rate-limit headers

    def fault(self, *accepted: Ended) -> str | None:
        """Why a recipe cannot use the answer, as the reason of a drop; None if it can.

        Only a complete answer can be used, and one that ended in a way which is `accepted`; of an
        unknown end, only that nothing was reported.
        """
        odd_word = self.ended == "unknown" and self.finish_reason is not None
        if odd_word or self.ended not in ("complete", *accepted):
            return _FAULTS[self.ended]
        if self.leaked_mark:
            return "template marks"
        if has_text(self.text) or self.ended == "tool_calls":
            return None
        return "cut off" if self.ended == "length" else "empty"

    @property
    def counted(self) -> bool:
        """Whether all its tokens are known."""
        return self.input_tokens is not None and self.output_tokens is not None


class Used(NamedTuple):
    """The most that requests may have used; `usd` is None where the price is unknown."""

    tokens: float
    usd: float | None

    def plus(self, other: Used) -> Used:
        """What both used together; the USD are unknown where those of one are."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Used(self.tokens + other.tokens, usd)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One of several prompts that a step sends for a row.

    Attributes:
        prompt: Chat messages, or a text to continue.
        about: What the step needs to know about the question later; JSON values.
        teacher: The name of one of the teachers that share the role; None means the first.
        sampling: Sampling parameters in addition to those of the role.
        retry_sampling: Sampling parameters to change once an answer could not be parsed: at
            temperature 0 the same answer would come back.
        schema: A JSON schema for the answer, where the endpoint supports one.
        sample: 0 for the first answer to the same question.
    """

    prompt: str | list[dict[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    retry_sampling: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    sample: int = 0


# The outcome of a question, in JSON values: about, text (None: no answer to use), parsed (what the
# step's `parse` returned), fault (why there is no answer to use or it cannot be parsed; None if
# neither), calls (the ids of all attempts), teacher and model; where there was an answer also
# ended, finish_reason, and partial (the text of one that cannot be used); else why, the words of
# the last failure.
Reply = dict[str, Any]


class Unreadable(Exception):
    """An answer that cannot be parsed; `reason` is one to three lower-case words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# Returns the parsed value of an answer, in JSON values, or raises Unreadable.
Parse = Callable[[Question, Answer], Any]


# A teacher calls it before each request that it sends for one call: the endpoint may refuse what
# is sent first, and the budget may have no room for another.
sending: ContextVar[Callable[[], None]] = ContextVar("sending", default=lambda: None)


class Failure(Exception):
    """A call that got no answer.

    Attributes:
        cause: One or two lower-case words that group failures: `time-out`, `http 500`, ...
        fatal: No call to this teacher can succeed until a person acts.
        retryable: Sending the call once more may help.
        after_s: Seconds to wait before that, as the endpoint asked (Retry-After); None: it did not.
        status: The HTTP status, where there was one.
        attempts: How many requests were sent for the call.
        most: What they may have used; None: nothing.
    """

    def __init__(
        self,
        cause: str,
        message: str,
        *,
        fatal: bool = False,
        retryable: bool = False,
        after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.fatal = fatal
        self.retryable = retryable
        self.after_s = after_s
        self.status = status
        self.attempts = 1
        self.most: Used | None = None


class Unusable(Failure):
    """An answer that was recorded, but that a recipe cannot use: `cause` is the drop's reason."""

    def __init__(self, fault: str, answer: Answer) -> None:
        word = "no end reported" if answer.finish_reason is None else repr(answer.finish_reason)
        mark = f", {answer.leaked_mark} before more text" if answer.leaked_mark else ""
        super().__init__(fault, f"the answer cannot be used: {fault} ({word}{mark})")
        self.text = answer.text or answer.reasoning or ""
        self.evidence = {"answer": answer.text, "finish_reason": answer.finish_reason}
        if answer.reasoning and not answer.text:
            self.evidence["reasoning"] = answer.reasoning
