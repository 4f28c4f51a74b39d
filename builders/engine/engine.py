"""Runs pipelines with teachers: one event loop, every call recorded before its answer is used."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from builders.engine.calls import Answer, Call, Failure
from builders.engine.progress import Progress
from builders.engine.teachers import Teacher, TeacherSpec, teacher
from builders.errors import TeacherError
from builders.recipe import Raw, Recipe

_HOPELESS = 20  # calls; when the first ones all fail for one cause, the next would as well


class Engine:
    """A recipe's teachers, started; use as a context manager.

    `calls` holds every call that was answered, by its id, with its answer.
    """

    def __init__(self, recipe: Recipe, spec: TeacherSpec, *, seed: int, progress: Progress) -> None:
        self.seed = seed
        self.calls: dict[str, tuple[Call, Answer]] = {}
        self._recipe = recipe
        self._spec = spec
        self._progress = progress
        self._runner = asyncio.Runner()
        self._pending: dict[str, asyncio.Future[Answer]] = {}
        self._failed: Counter[str] = Counter()

    def __enter__(self) -> Engine:
        self.loop = self._runner.get_loop()
        self._teacher: Teacher = teacher(self._spec)
        self._slots = asyncio.Semaphore(self._teacher.concurrency)
        try:
            self._runner.run(self._teacher.start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._teacher.stop())
        self._runner.close()

    def identities(self) -> dict[str, dict[str, Any]]:
        """Who answered in which role, for the lineage."""
        return {role: self._teacher.identity() for role in self._recipe.roles}

    def __call__(
        self, pipeline: Callable[..., Any], rows: Sequence[Raw], **wiring: Any
    ) -> list[Raw]:
        """The pipeline's raw rows, in the order of `rows`; a failed row carries `failed`."""
        from builders.engine.executor import Execution

        execution = Execution(
            pipeline(self.teach, **wiring),
            window=2 * self._teacher.concurrency,
            on_row=self._row_made,
        )
        return self._runner.run(execution.run(rows))

    def made(self, rows: int) -> None:
        """Count what a recipe with rounds has made so far."""
        self._progress.rows = rows

    def _row_made(self) -> None:
        if self._recipe.candidates is None:
            self._progress.rows += 1

    def teach(self, role: str, *, schema: dict[str, Any] | None = None, **sampling: Any) -> Any:
        """The distilabel LLM for a role, with its sampling."""
        from builders.engine.llm import EngineLLM

        llm = EngineLLM(role=role, sampling=sampling, answer_schema=schema)
        return llm.bound(self, self._teacher)

    async def answer(self, call: Call) -> Answer:
        """The answer to a call; the same call made twice is asked once.

        Raises:
            Failure: This call has no answer.
            TeacherError: No call will have one.
        """
        if call.id in self.calls:
            return self.calls[call.id][1]
        if pending := self._pending.get(call.id):
            return await asyncio.shield(pending)
        future = self._pending[call.id] = self.loop.create_future()
        try:
            answer = await self._ask(call)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # read here, so that nobody waiting is not a warning
            raise
        else:
            future.set_result(answer)
            return answer
        finally:
            del self._pending[call.id]

    async def _ask(self, call: Call) -> Answer:
        async with self._slots:
            try:
                answer = await self._teacher.ask(call)
            except Failure as failure:
                self._progress.failures += 1
                self._failed[failure.cause] += 1
                hopeless = not self.calls and self._failed[failure.cause] >= _HOPELESS
                if failure.fatal or hopeless:
                    raise TeacherError(str(failure)) from None
                raise
        self.calls[call.id] = (call, answer)
        self._progress.calls += 1
        self._progress.input_tokens += answer.input_tokens or 0
        self._progress.output_tokens += answer.output_tokens or 0
        return answer
