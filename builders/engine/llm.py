"""The distilabel LLM through which every task of a recipe asks: one class, one path."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from distilabel.models.llms.base import LLM
from pydantic import PrivateAttr

from builders.engine.bridge import wait
from builders.engine.calls import Answer, Call, Failure
from builders.recipe import short_hash

if TYPE_CHECKING:
    from builders.engine.teachers import Teacher


asked: ContextVar[list[str]] = ContextVar("asked")  # ids of the calls made for the row at work


class Asks(Protocol):
    """What the LLM needs of the engine."""

    seed: int
    loop: asyncio.AbstractEventLoop

    async def answer(self, call: Call) -> Answer:
        """Give the answer to a call, or raise Failure."""


class EngineLLM(LLM):  # type: ignore[misc]
    """A role's model with its sampling. A text as input is continued, messages are answered."""

    role: str
    sampling: dict[str, Any]
    answer_schema: dict[str, Any] | None = None
    _engine: Asks = PrivateAttr()
    _teacher: Teacher = PrivateAttr()

    def bound(self, engine: Asks, teacher: Teacher) -> EngineLLM:
        """The same LLM, tied to a running engine and the teacher of its role."""
        self._engine = engine
        self._teacher = teacher
        return self

    @property
    def model_name(self) -> str:
        """The model as the endpoint names it."""
        return self._teacher.model

    def generate(self, inputs: list[Any], num_generations: int = 1) -> list[dict[str, Any]]:
        """One dict an input: `generations`, token `statistics`, `call` ids, `finish_reason`s.

        Raises:
            Failure: All samples of an input failed; some failed: their text is None.
        """
        return wait(self._generate(inputs, num_generations), self._engine.loop)

    async def _generate(self, inputs: list[Any], samples: int) -> list[dict[str, Any]]:
        if len(inputs) == 1:
            return [await self._samples(inputs[0], samples)]
        return await asyncio.gather(*(self._samples(one, samples) for one in inputs))

    async def _samples(self, messages: Any, samples: int) -> dict[str, Any]:
        calls = [self._call(messages, sample) for sample in range(samples)]
        asked.get([]).extend(call.id for call in calls)
        if samples == 1:
            answers: list[Answer | BaseException] = [await self._engine.answer(calls[0])]
        else:
            answers = await asyncio.gather(*map(self._engine.answer, calls), return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        stop = next((one for one in failures if not isinstance(one, Failure)), None)
        if stop or len(failures) == len(answers):
            raise stop or failures[0]
        given = [answer if isinstance(answer, Answer) else None for answer in answers]
        return {
            "generations": [answer and answer.text for answer in given],
            "statistics": {
                "input_tokens": [answer.input_tokens or 0 if answer else 0 for answer in given],
                "output_tokens": [answer.output_tokens or 0 if answer else 0 for answer in given],
            },
            "call": [call.id for call in calls],
            "finish_reason": [
                answer.finish_reason if isinstance(answer, Answer) else _cause(answer)
                for answer in answers
            ],
        }

    def _call(self, messages: Any, sample: int) -> Call:
        if isinstance(messages, tuple):  # distilabel's (messages, structured output)
            messages = messages[0]
        text = messages if isinstance(messages, str) else str(messages)
        seed = int(short_hash(str(self._engine.seed), text, str(sample))[:8], 16) >> 1
        return Call(
            role=self.role,
            endpoint=self._teacher.name,
            model=self._teacher.model,
            revision=self._teacher.revision,
            asked=messages,
            sampling={**self.sampling, "seed": seed},
            schema=self.answer_schema,
            sample=sample,
        )


def _cause(failure: BaseException) -> str:
    return failure.cause if isinstance(failure, Failure) else "failed"
