"""The distilabel LLM through which every task of a recipe calls a teacher."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from distilabel.models.llms.base import LLM

from builders.engine.calls import (
    Answer,
    Call,
    Ended,
    Failure,
    Parse,
    Question,
    Reply,
    Unreadable,
    Unusable,
)
from builders.engine.greenlets import wait
from builders.engine.json_texts import key_json
from builders.engine.judgements import Judgements, Reading, of_a_judge
from builders.engine.parameters import Choice, no_schema, with_choices
from builders.engine.refusals import REASONS
from builders.engine.teacher import EMBEDDED, EMBEDDED_MODEL, missing_end
from builders.recipe import short_hash

if TYPE_CHECKING:
    from builders.engine.teacher import Teacher


# Ids of the calls made for the row that the current greenlet works on.
row_call_ids: ContextVar[list[str]] = ContextVar("row_call_ids")
# Faults that another answer to the same question may not have; a filter or a refusal would return.
_ASKED_AGAIN = ("cut off", "broken off", "empty", "template marks")


class SupportsAnswer(Protocol):
    """The part of the engine that the LLM uses; `judgements` only for answers that are parsed."""

    seed: int
    loop: asyncio.AbstractEventLoop
    judgements: Judgements

    async def answer(self, call: Call) -> Answer:
        """Return the answer to a call, or raise Failure."""


class EngineLLM(LLM):  # type: ignore[misc]
    """A role's models with their sampling. A text as input is continued, messages are answered.

    If several teachers share the role, a plain distilabel input goes to the first of them.
    `accepts` are the ends, besides `complete`, of answers that the recipe can use.
    """

    role: str
    sampling: dict[str, Any]
    answer_schema: dict[str, Any] | None = None
    accepts: tuple[Ended, ...] = ()
    # No private attributes of pydantic, which take a microsecond to read; `bound` sets them.
    _engine: ClassVar[SupportsAnswer]
    _teachers: ClassVar[Mapping[str, Teacher]]
    _choices: ClassVar[Mapping[str, Sequence[Choice]]]

    def bound(
        self,
        engine: SupportsAnswer,
        teachers: Mapping[str, Teacher],
        choices: Sequence[Choice] = (),
    ) -> EngineLLM:
        """This LLM, bound to a running engine and to the teachers of its role, by name.

        `choices` are the parameters that the user chose for the requests of any teacher.
        """
        of_each = {
            name: [one for one in choices if one.teacher in ("", self.role, name)]
            for name in teachers
        }
        for name, value in (("engine", engine), ("teachers", teachers), ("choices", of_each)):
            object.__setattr__(self, f"_{name}", value)
        return self

    @property
    def model_name(self) -> str:
        """The first teacher's model, as its endpoint names it."""
        return next(iter(self._teachers.values())).model

    @property
    def members(self) -> list[str]:
        """The names of the teachers that share the role, in the order given."""
        return list(self._teachers)

    def max_tokens(self, requested: int, usual: int, embedded: int) -> int:
        """The longest answer in tokens: as requested, or, for 0, what suits the teachers.

        The embedded model writes about 100 tokens per second, so its answers are kept short.
        """
        each = self._teachers.values()
        small = all((one.name, one.model) == (EMBEDDED, EMBEDDED_MODEL) for one in each)
        return requested or (embedded if small else usual)

    @property
    def seed(self) -> int:
        """The build's random seed."""
        return self._engine.seed

    def generate(self, inputs: list[Any], num_generations: int = 1) -> list[dict[str, Any]]:
        """One dict per input: `generations`, token `statistics`, `call` ids, `lost`.

        A sample without an answer to use has None as its text, and why as `lost` (else None).

        Raises:
            Failure: There is one sample, and it has no answer to use.
        """
        return wait(self._generate(inputs, num_generations), self._engine.loop)

    async def _generate(self, inputs: list[Any], samples: int) -> list[dict[str, Any]]:
        if len(inputs) == 1:
            return [await self._samples(inputs[0], samples)]
        return await asyncio.gather(*(self._samples(one, samples) for one in inputs))

    async def _samples(self, messages: Any, samples: int) -> dict[str, Any]:
        calls = [self._call(messages, sample) for sample in range(samples)]
        row_call_ids.get([]).extend(call.id for call in calls)
        answers: list[Answer | BaseException]
        if samples == 1:
            answers = [await self._usable(calls[0])]
        else:
            answers = await asyncio.gather(*map(self._usable, calls), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Failure):
                raise answer
        given = [answer if isinstance(answer, Answer) else None for answer in answers]
        return {
            "generations": [answer and answer.text for answer in given],
            "statistics": {
                "input_tokens": [answer.input_tokens or 0 if answer else 0 for answer in given],
                "output_tokens": [answer.output_tokens or 0 if answer else 0 for answer in given],
            },
            "call": [call.id for call in calls],
            "lost": [_lost(answer) for answer in answers],
        }

    async def _usable(self, call: Call) -> Answer:
        answer = await self._engine.answer(call)
        if fault := self._fault(call, answer):
            raise Unusable(fault, answer)
        return answer

    def _fault(self, call: Call, answer: Answer) -> str | None:
        """Why the recipe cannot use an answer; it can use a call of a tool that it declared."""
        if self.role.startswith("judge"):
            answer = of_a_judge(answer)
        if answer.ended == "complete":
            return answer.fault()
        more = missing_end(self._teachers[call.role])
        if "tools" in call.sampling:
            more = (*more, "tool_calls")
        return answer.fault(*self.accepts, *more)

    def read(
        self, step: str, text: str, fault: str | None, parsed: Any = None, *, needed: bool = True
    ) -> None:
        """Count what a step made of the answer to a row's only call."""
        calls = row_call_ids.get([])
        reading = Reading(
            role=self.role,
            text=text,
            fault=fault,
            parsed=parsed,
            call=calls[0] if len(calls) == 1 else "",
            needed=needed,
        )
        self._engine.judgements.judge(step, reading)

    def replies(
        self,
        questions: Sequence[Question],
        parse: Parse,
        tries: int,
        step: str = "",
        *,
        needed: bool = True,
    ) -> list[Reply]:
        """The outcome of each question, whose answer is requested up to `tries` times to be parsed.

        A question without an answer to use has a reply without a text; the others are unaffected.
        What becomes of the answers is counted for `step`, if one is named; those that are not
        `needed` stop no build.
        """

        async def gathered() -> list[Reply]:
            each = (self._counted(one, parse, tries, step, needed) for one in questions)
            return await asyncio.gather(*each)

        return wait(gathered(), self._engine.loop)

    async def _counted(
        self, question: Question, parse: Parse, tries: int, step: str, needed: bool
    ) -> Reply:
        if not step or not needed:
            return await self._reply(question, parse, tries, step)
        number = self._engine.judgements.begin(step, self.role)
        try:
            return await self._reply(question, parse, tries, step, number)
        finally:
            self._engine.judgements.end(step)

    async def _reply(
        self, question: Question, parse: Parse, tries: int, step: str, number: int = 0
    ) -> Reply:
        """`number` is that of the question in the step, 0 if its answers are not needed."""
        reply: Reply = {"about": dict(question.about), "text": None, "parsed": None, "calls": []}
        for turn in range(tries):
            if number:
                await self._engine.judgements.until_worth(step, number, turn)
            sampling = {**question.sampling, **(question.retry_sampling if turn else {})}
            # Part of the call's key: no two samples or turns of one question may share a number.
            sample = question.sample * tries + turn
            call = self._call(question.prompt, sample, question.teacher, sampling, question.schema)
            row_call_ids.get([]).append(call.id)
            reply["calls"].append(call.id)
            reply |= {"teacher": call.role, "model": call.model}
            try:
                answer = await self._engine.answer(call)
            except Failure as failure:
                reply |= {"fault": failure.cause, "why": str(failure)}
                if failure.cause in REASONS:  # another turn would be refused as well
                    break
                continue
            reply |= {"text": None, "ended": answer.ended, "finish_reason": answer.finish_reason}
            reply.pop("why", None)
            fault, parsed = self._fault(call, answer), None
            again = fault is None or fault in _ASKED_AGAIN
            if fault:
                reply["partial"] = answer.text
            else:
                reply |= {"text": answer.text, "tool_calls": answer.tool_calls, "partial": None}
                try:
                    parsed = parse(question, answer)
                except Unreadable as unreadable:
                    fault = unreadable.reason
            reply |= {"parsed": parsed, "fault": fault}
            if step:
                reading = Reading(
                    role=self.role,
                    text=answer.text or answer.reasoning or "",
                    fault=fault,
                    parsed=parsed,
                    call=call.id,
                    needed=bool(number),
                    last=not again or turn == tries - 1,
                    tries=tuple(reply["calls"]),
                )
                self._engine.judgements.judge(step, reading)
            if fault is None or not again:
                break
        return reply

    def _call(
        self,
        messages: Any,
        sample: int,
        name: str | None = None,
        sampling: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Call:
        if isinstance(messages, tuple):  # distilabel's (messages, structured output)
            messages = messages[0]
        chance = key_json([self._engine.seed, messages, sample])
        seed = int(short_hash(chance)[:8], 16) >> 1
        teachers = self._teachers
        name = name or next(iter(teachers))
        teacher, choices = teachers[name], self._choices[name]
        return Call(
            role=name,
            endpoint=teacher.name,
            model=teacher.model,
            revision=teacher.revision,
            prompt=messages,
            # No sampling of a recipe overrides the seed; what the user chose overrides all.
            sampling=with_choices({**self.sampling, **(sampling or {}), "seed": seed}, choices),
            schema=None if no_schema(choices) else schema or self.answer_schema,
            sample=sample,
        )


def role_llm(
    role: str, *, schema: dict[str, Any] | None = None, cut_off: str = "drop", **sampling: Any
) -> EngineLLM:
    """The LLM of a role, not yet bound; `keep` takes answers that the token limit cut off, too."""
    accepts = ("length",) if cut_off == "keep" else ()
    return EngineLLM(role=role, sampling=sampling, answer_schema=schema, accepts=accepts)


def _lost(answer: Answer | BaseException) -> dict[str, Any] | None:
    if isinstance(answer, Answer):
        return None
    cause = answer.cause if isinstance(answer, Failure) else "failed"
    evidence = answer.evidence if isinstance(answer, Unusable) else {}
    return {"reason": cause, "why": str(answer), "evidence": evidence}
