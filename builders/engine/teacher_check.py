"""What a teacher can do, found out by a few short questions; no ledger records the answers."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builders.engine.calls import Answer, Call, Failure
from builders.engine.embedded import EmbeddedTeacher
from builders.engine.endpoint import TEXTS, EndpointTeacher
from builders.engine.parameters import LEFT_OUT, Choice, with_choices
from builders.engine.response_bodies import choice_of, message_of, parsed_body
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_kinds import teacher
from builders.errors import InputError, TeacherError, number_of

_FEW_TOKENS = 16  # some endpoints take no lower limit
_THINKING_TOKENS = 256  # a model that does not think uses about five of them
_OTHERS = 10  # questions, but for those about concurrency
_ATTEMPTS = 3
_LONGEST_WAIT_S = 10.0
_NOT_AGAIN = ("time-out", "empty", "no content")  # it takes long, or would say nothing again
_GROWTH = 1.2  # of the answers per second, below which more at a time only wait for each other
_USELESS = 2  # steps without it after which no more are asked
_COLOURS = ["red", "green", "blue"]
_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": _COLOURS}},
    "required": ["colour"],
    "additionalProperties": False,
}
_PARAMETERS: Mapping[str, Any] = {  # that recipes send, or users with --param
    "temperature": 0.7,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["\n\n\n\n"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.05,
}

_CHOSEN = {"json_schema": "response_format", "log_probabilities": "logprobs", "seeds": "seed"}

EMPTY = "empty answers"  # a result

Finding = dict[str, Any]  # `result`, a few words, and where there is more to know a `note`


@dataclass
class _Check:
    """A started teacher, the user's choices, and the answers that it has given."""

    teacher: EndpointTeacher | EmbeddedTeacher
    choices: Sequence[Choice]
    answers: list[Answer] = field(default_factory=list)
    requests: int = 0
    refused: Failure | None = None  # what messages were refused with: it only continues texts

    def question(self, text: str) -> Any:
        """A prompt with this question, in the form that the teacher takes."""
        return f"Question: {text}\nAnswer:" if self.refused else [_user(text)]

    def call(self, prompt: Any, schema: Any = None, **sampling: Any) -> Call:
        """A call to the teacher, whose answer is short."""
        return Call(
            role="check",
            endpoint=self.teacher.name,
            model=self.teacher.model,
            revision=self.teacher.revision,
            prompt=prompt,
            sampling=with_choices({"max_tokens": _FEW_TOKENS, **sampling}, self.choices),
            schema=schema,
        )

    async def once(self, call: Call) -> tuple[Answer, bytes]:
        """The answer to one request and its body; raises Failure."""
        self.requests += 1
        answer, body = await self.teacher.answer_and_body(call)
        self.answers.append(answer)
        return answer, body

    async def asked(self, call: Call) -> tuple[Answer, bytes]:
        """The same; where the endpoint is busy, a second or third request is sent."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self.once(call)
            except Failure as failure:
                again = failure.retryable and failure.cause not in _NOT_AGAIN
                if not again or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(min(failure.after_s or 1.0, _LONGEST_WAIT_S))
        raise AssertionError


async def check(
    spec: TeacherSpec,
    choices: Sequence[Choice] = (),
    most: int = 32,
    notify: Callable[[str], None] = lambda _: None,
) -> Finding:
    """What a teacher can do, in JSON values; at most `most` questions are asked at a time.

    Once it has answered the first, `notify` receives how many there are.

    Raises:
        InputError: The spec names no model that can be asked.
        TeacherError: It does not start, or does not answer a plain question.
    """
    found = teacher(spec)
    if not isinstance(found, EndpointTeacher | EmbeddedTeacher):
        raise InputError(
            f"{spec.place!r} is a script, which has nothing to check; give 'embedded', "
            "'embedded:FILE.gguf' or the address of an endpoint"
        )
    await found.start()
    try:
        return await _facts(_Check(found, choices), most, notify)
    except Failure as failure:
        raise TeacherError(str(failure)) from None
    finally:
        await found.stop()


async def _facts(on: _Check, most: int, notify: Callable[[str], None]) -> Finding:
    plain, body = await _plain(on)
    notify(
        f"asking up to {_OTHERS + sum(_steps(most))} short questions, at most {most} at a time; a "
        "lower --concurrency asks fewer"
    )
    messages = {"result": "refused", "note": str(on.refused)} if on.refused else None
    findings = {
        "messages": messages or {"result": "answered"},
        "usage": _usage(plain),
        "end": _end(plain),
        "thinking": _thinking(plain, body),
    }
    asked: Mapping[str, Callable[[_Check], Awaitable[Finding]]] = {
        "json_schema": _json_schema,
        "log_probabilities": _log_probabilities,
        "seeds": _seeds,
        "texts_to_continue": _texts,
        "parameters": _parameters,
    }
    chosen = {one.name for one in on.choices}
    for name, ask in asked.items():
        if _CHOSEN.get(name) in chosen:
            note = f"--param or --without decides about {_CHOSEN[name]}"
            findings[name] = {"result": "not asked", "note": note}
            continue
        try:
            findings[name] = await ask(on)
        except Failure as failure:
            if failure.fatal:
                raise
            findings[name] = {"result": "no answer", "note": str(failure)}
    seconds = [one.latency_s for one in on.answers]
    counted = [one for one in on.answers if one.output_tokens]
    spent_s = sum(one.latency_s for one in counted)
    speed = sum(one.output_tokens or 0 for one in counted) / spent_s if spent_s else None
    findings["concurrency"] = await _concurrency(on, most)
    if not any(map(_says_something, on.answers)):
        findings["messages"] = {"result": EMPTY, "note": "no answer has a text"}
    served = on.teacher.served if isinstance(on.teacher, EndpointTeacher) else [on.teacher.model]
    return {
        "teacher": on.teacher.name,
        "model": on.teacher.model,
        "answered_by": plain.model,
        "models": list(served),
        "findings": findings,
        "latency_s": round(statistics.median(seconds), 3),
        "tokens_per_s": speed and round(speed, 1),
        "requests": on.requests,
        "tokens": sum((one.input_tokens or 0) + (one.output_tokens or 0) for one in on.answers),
    }


async def _plain(on: _Check) -> tuple[Answer, bytes]:
    """The answer to messages, or to a text of a teacher that refuses them; raises Failure."""
    question = "What is the capital of France?"
    system = {"role": "system", "content": "You answer with one word."}
    messages = [system, _user(question)]
    try:
        return await on.asked(on.call(messages, temperature=0, max_tokens=_THINKING_TOKENS))
    except Failure as failure:
        if failure.retryable or failure.status == 401:
            raise
        on.refused = failure
    try:
        return await on.asked(on.call(on.question(question), temperature=0))
    except Failure:
        raise on.refused from None


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


# --- what one answer shows


def _says_something(answer: Answer) -> bool:
    return bool(answer.text.strip() or answer.reasoning or answer.tool_calls)


def _usage(answer: Answer) -> Finding:
    if answer.counted:
        return {"result": "counted"}
    total = answer.total_tokens is not None
    return {
        "result": "only in total" if total else "not counted",
        "note": "a budget counts the most that a call may have used",
    }


def _end(answer: Answer) -> Finding:
    if answer.finish_reason is None and answer.ended == "unknown":
        return {"result": "not reported", "note": "build with --trust-missing-end"}
    if answer.ended == "unknown":
        return {"result": "unknown", "note": f"its word is {answer.finish_reason!r}"}
    return {"result": "reported"}


def _thinking(answer: Answer, body: bytes) -> Finding:
    """Whether the model thinks, and who takes that out of the text: the endpoint, or potstill."""
    if not answer.reasoning and not answer.reasoning_tokens:
        return {"result": "none seen"}
    if not answer.reasoning:
        counted = number_of(answer.reasoning_tokens or 0, "tokens")
        return {"result": "hidden", "note": f"counted: {counted}"}
    given = parsed_body(body)
    message = message_of(choice_of(given) or {}) if isinstance(given, dict) else {}
    content = message.get("content")
    if isinstance(content, str) and answer.reasoning.strip()[:40] in content:
        return {"result": "in the text", "note": "potstill takes it out"}
    return {"result": "separated"}


# --- what more answers show


async def _json_schema(on: _Check) -> Finding:
    """Asked twice: a schema that breaks the server is learned from the second failure."""
    prompt = on.question("How does the sky look on a clear day? Describe it in a sentence.")
    call = on.call(prompt, _SCHEMA, temperature=0, max_tokens=_THINKING_TOKENS)
    for _ in range(2):
        answer, _body = await on.asked(call)
        if "response_format" in on.teacher.learned:
            return {"result": "refused"}
        try:
            value = json.loads(answer.text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and [*value] == ["colour"] and value["colour"] in _COLOURS:
            return {"result": "followed"}
    if answer.ended == "length":
        return {"result": "unclear", "note": f"no end within {_THINKING_TOKENS} tokens"}
    return {"result": "ignored"}


async def _log_probabilities(on: _Check) -> Finding:
    call = on.call(on.question("Name a river."), temperature=0, logprobs=True, top_logprobs=3)
    answer, _ = await on.asked(call)
    if on.teacher.learned.get("logprobs") == LEFT_OUT:
        return {"result": "refused"}
    if not answer.logprobs:
        return {"result": "ignored"}
    alternatives = max(len(one.get("top_logprobs") or ()) for one in answer.logprobs)
    if not alternatives:
        return {"result": "given", "note": "without alternatives"}
    return {"result": "given", "note": f"alternatives: {alternatives} of 3"}


async def _seeds(on: _Check) -> Finding:
    """The same seed twice and another: only one text for the same shows that it counts."""
    prompt = on.question("Write a sentence about anything, as surprising as you can.")
    texts = []
    for seed in (7, 7, 8):
        answer, _ = await on.asked(on.call(prompt, temperature=1, seed=seed))
        texts.append((answer.text, answer.reasoning))
    if on.teacher.learned.get("seed") == LEFT_OUT:
        return {"result": "refused"}
    if texts[0] != texts[1]:
        return {"result": "ignored"}
    if texts[0] == texts[2]:
        return {"result": "unclear", "note": "every seed gave the same answer"}
    return {"result": "honoured"}


async def _texts(on: _Check) -> Finding:
    answer, _ = await on.asked(on.call("1, 2, 3, 4,", temperature=0))
    if TEXTS in on.teacher.learned:
        return {"result": "refused", "note": on.teacher.learned[TEXTS]}
    return {"result": "continued" if _says_something(answer) else EMPTY}


async def _parameters(on: _Check) -> Finding:
    """What is refused: by one request with all parameters, or by one for each if it fails."""
    prompt = on.question("Name a flower.")
    refused: dict[str, str] = {}
    try:
        await on.asked(on.call(prompt, **_PARAMETERS))
    except Failure as failure:
        if failure.fatal or failure.cause == "http 429":
            raise
        for name, value in _PARAMETERS.items():
            try:
                await on.once(on.call(prompt, **{name: value}))
            except Failure as one:
                refused[name] = str(one)
    refused |= {name: became for name, became in on.teacher.learned.items() if name != TEXTS}
    return {"result": "refused" if refused else "all taken", "refused": refused}


def _steps(most: int) -> list[int]:
    """How many questions are asked at a time, in turn."""
    return [*(2**step for step in range(most.bit_length()) if 2**step < most), most]


async def _concurrency(on: _Check, most: int) -> Finding:
    """How many questions are answered at a time; more are asked until that brings nothing."""
    answered = best = 1
    fastest, useless = 0.0, 0
    for at_once in _steps(most):
        began = time.perf_counter()
        calls = [
            on.call(on.question(f"Name the number {at_once + one}.")) for one in range(at_once)
        ]
        outcomes = await asyncio.gather(*map(on.once, calls), return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        if other := next((one for one in failures if not isinstance(one, Failure)), None):
            raise other
        if failures:
            answered = max(answered, at_once - len(failures))
            note = f"of {at_once} at a time {len(failures)} got no answer: {failures[0]}"
            break
        answered = at_once
        per_s = at_once / (time.perf_counter() - began)
        useless = 0 if per_s > fastest * _GROWTH else useless + 1
        if not useless:
            fastest, best = per_s, at_once
        note = f"more than {best} bring no more answers per second"
        if useless == _USELESS:
            break
    else:
        note = f"{note}; no more than {most} were asked" if useless else "no more were asked"
    return {"result": f"{answered} at a time", "note": note, "answered": answered, "best": best}
