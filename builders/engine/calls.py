"""A question to a teacher, its answer, and how asking can fail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Call:
    """One question: what is asked of whom, how it is sampled, and which sample this is.

    `asked` is a list of chat messages, or a text to continue (the raw completions endpoint).
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
        parts = [
            self.endpoint,
            self.model,
            self.revision,
            self.prompt,
            dict(self.sampling),
            self.schema,
            self.sample,
        ]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

    @property
    def id(self) -> str:
        """The first 16 hex digits of the key: the call's id in the config `calls`."""
        return self.key.hex()[:16]

    @property
    def text(self) -> str:
        """What is asked, as one text: the last message, or the text to continue."""
        return self.prompt if isinstance(self.prompt, str) else str(self.prompt[-1]["content"])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a teacher gave. Tokens are as the endpoint counts them; None where it does not."""

    text: str
    finish_reason: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None
    latency_s: float = 0.0
    pause_s: float = 0.0  # for which the endpoint, by its rate-limit headers, has no room


@dataclass(frozen=True, kw_only=True)
class Question:
    """One of several things that a step asks for a row.

    Attributes:
        prompt: Messages, or a text to continue.
        about: What the step needs to know of the question later; JSON values.
        teacher: The name of one of the teachers that share the role; None: the first.
        sampling: In addition to the role's own.
        again: What changes in it when the answer could not be parsed: at temperature 0 the same
            answer would come back.
        schema: Of the answer, where the endpoint can hold to one.
        sample: 0 for the first answer to the same question.
    """

    prompt: str | list[dict[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    again: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    sample: int = 0


# What became of a question, in JSON values: about, text (None: no answer), finish_reason, parsed
# (what the step's `parse` gave), fault (why there is no answer or it cannot be parsed; None: it is
# good), calls (all ids), teacher and model.
Reply = dict[str, Any]


class Unreadable(Exception):
    """An answer that cannot be parsed; `reason` says why in one to three lower-case words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# Gives the parsed value of an answer, in JSON values, or raises Unreadable.
Parse = Callable[[Question, Answer], Any]


class Failure(Exception):
    """A call that gave no answer.

    Attributes:
        cause: One or two lower-case words that group failures: `time-out`, `http 500`, ...
        fatal: No call to this teacher can succeed until a person acts.
        again: Asking once more may help.
        after_s: The endpoint's own word on when (Retry-After), in seconds.
        status: The HTTP status, where there was one.
        attempts: The requests that were sent for the call.
    """

    def __init__(
        self,
        cause: str,
        message: str,
        *,
        fatal: bool = False,
        again: bool = False,
        after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.fatal = fatal
        self.again = again
        self.after_s = after_s
        self.status = status
        self.attempts = 1
