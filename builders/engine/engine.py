"""Runs pipelines and their teachers on one event loop: calls once, records first, stops cleanly.

The loop has its own thread, so that a build also runs where another loop is running, as in a
notebook; the caller's thread waits and handles signals. A signal, the budget and the watchdog stop
a build alike: no more requests are sent, and those in flight get ten seconds to be recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from builders.engine.budget import OverBudget
from builders.engine.calls import Answer, Call, Failure
from builders.engine.clients import teacher_clients
from builders.engine.executor_import import imported_executor
from builders.engine.giving_up import Standings, is_passed, sent_again
from builders.engine.judgements import Judgements
from builders.engine.ledger import Ledger
from builders.engine.parameters import request_facts
from builders.engine.pool import TeacherPool
from builders.engine.progress import Progress
from builders.engine.refusals import REASONS
from builders.engine.requests import CallResult, TeacherClient
from builders.engine.run_limits import RunLimits
from builders.engine.run_state import expected_calls
from builders.engine.teacher import Address, Teacher, address
from builders.engine.teacher_kinds import RecordedTeacher
from builders.engine.watchdog import Watchdog, items_of, result_of
from builders.errors import FolderError, InputError, PotstillError, Stopped, TeacherError, number_of
from builders.recipe import Raw, Recipe

if TYPE_CHECKING:
    from builders.engine.executor import Execution

Result = TypeVar("Result")

_DRAIN_S = 10.0  # for requests in flight to be answered when a build stops


class Engine:
    """A recipe's started teachers and its ledger; a context manager that runs pipelines.

    `judgements` count the answers that steps parse.
    `used` has the keys of the calls that this build's rows were made from, with the role of each;
    `runs` counts the pipelines that ran: after it is set to 0, the next draws as the first did.
    """

    def __init__(
        self,
        recipe: Recipe,
        teachers: Teacher | TeacherPool,
        ledger: Ledger,
        progress: Progress,
        *,
        seed: int,
        run_limits: RunLimits | None = None,
        judgements: Judgements | None = None,
    ) -> None:
        self.seed = seed
        self.judgements = (judgements or Judgements(progress)).stopping(self._stop_for)
        self.used: dict[bytes, str] = {}
        self._recipe = recipe
        self._ledger = ledger
        self._began_with = len(ledger)  # answers; if none, the ledger has only those `used`
        self._progress = progress
        self._run_limits = run_limits or RunLimits()
        self._pool = (
            teachers if isinstance(teachers, TeacherPool) else TeacherPool(every=[teachers])
        )
        self._runner = asyncio.Runner()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._pending: dict[bytes, asyncio.Task[Answer]] = {}
        self._clients: dict[Address, TeacherClient] = {}
        self._standings = Standings(ledger)
        self._stop: PotstillError | None = None
        self._signal: Stopped | None = None
        self._handlers: dict[int, Any] = {}
        self.runs = 0

    def __enter__(self) -> Engine:
        self.loop = self._thread.submit(self._runner.get_loop).result()
        self._stop_asked = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        try:
            self._wait_for(self._unless(self._until_stopped(), self._start()))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not error and not self._stop:
                self._wait_for(self._settle_refused())
            self._wait_for(self._drain())
        finally:
            self._close()
        if self._signal and not error:  # it arrived when no call was left to stop
            raise self._signal

    async def _start(self) -> None:
        for one in self._pool:
            await one.start()
        for role in self._recipe.roles:
            many = self._pool.of(role, self._recipe).values()
            [(repeated, times)] = Counter(map(address, many)).most_common(1)
            if times > 1:
                raise InputError(
                    f"{repeated.model!r} of {repeated.endpoint} is named twice for {role!r}; "
                    "remove one, or give it another #MODEL"
                )
        shared = self._run_limits, self._ledger, self._progress, self.judgements
        self._clients = teacher_clients(self._pool, *shared, stopping=lambda: bool(self._stop))

    def _wait_for(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the engine's loop, even if this thread runs another one."""
        return result_of(self._thread.submit(self._runner.run, coroutine))

    def _close(self) -> None:
        try:
            self._wait_for(self._stop_teachers())
        finally:
            self._thread.submit(self._runner.close).result()
            self._thread.shutdown()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    async def _stop_teachers(self) -> None:
        await asyncio.gather(*(one.stop() for one in self._pool))

    def identities(self) -> dict[str, dict[str, Any]]:
        """The identity of each teacher by its name in the recipe, for the lineage."""
        return {
            name: one.identity() | request_facts(role, name, one.learned, self._pool.choices)
            for role in self._recipe.roles
            for name, one in self._pool.of(role, self._recipe).items()
        }

    def teach(self, role: str, **parameters: Any) -> Any:
        """The distilabel LLM for a role, with the parameters of `role_llm`."""
        from builders.engine.llm import role_llm

        many = self._pool.of(role, self._recipe)
        return role_llm(role, **parameters).bound(self, many, self._pool.choices)

    def __call__(
        self, pipeline: Callable[..., Any], rows: Iterable[Raw], **wiring: Any
    ) -> list[Raw]:
        """Run a pipeline; return its raw rows in the order of `rows`, lost ones with `failed`."""
        return [raw for _, raw in sorted(self.stream(pipeline, rows, **wiring), key=itemgetter(0))]

    def stream(
        self, pipeline: Callable[..., Any], rows: Iterable[Raw], **wiring: Any
    ) -> Iterator[tuple[bytes, Raw]]:
        """Run a pipeline; give its raw rows as they are made, with bytes that sort them."""
        execution_of = imported_executor()
        line = pipeline(self.teach, **wiring)
        made: queue.SimpleQueue[tuple[bytes, Raw] | None] = queue.SimpleQueue()

        def on_row(order: bytes, raw: Raw) -> None:
            self._progress.moved()
            made.put((order, raw))

        window = self.judgements.window(2 * max(one.concurrency for one in self._pool))
        seeds = self.seed, self.runs
        execution = execution_of(line, window=window, on_row=on_row, seed=seeds)
        self.runs += 1
        progress, many = self._progress, len(rows) if isinstance(rows, Sized) else None
        if self._recipe.candidates:
            progress.begin_round(line.name, lambda: expected_calls(execution.nodes, many))
        else:
            many = progress.rows_wanted if many is None else many
            progress.begin(self._recipe.name, lambda: expected_calls(execution.nodes, many))
        work = self._unless(self._watch(execution), execution.run(rows))
        running = self._thread.submit(self._runner.run, work)
        running.add_done_callback(lambda _: made.put(None))
        try:
            yield from items_of(made)
        finally:
            if not running.done():  # the caller takes no more rows
                self._stop = self._stop or Stopped("the build is over", 1)
                self.loop.call_soon_threadsafe(self._stop_asked.set)
        running.result()
        self._wait_for(self._settle_refused())

    @property
    def stopped(self) -> PotstillError | None:
        """Why no more requests are sent; None while the build goes on."""
        return self._stop

    def made(self, rows: int) -> None:
        """Set the number of rows that a recipe with rounds has made so far."""
        self._progress.report_made(rows)

    async def _unless(
        self, watch: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]
    ) -> Result:
        """The result of `work`, unless `watch` raises a reason to stop first."""
        watching, working = asyncio.ensure_future(watch), asyncio.ensure_future(work)
        try:
            await asyncio.wait([watching, working], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                watching.result()
            return await working
        finally:
            for task in (watching, working):
                task.cancel()
            await asyncio.gather(watching, working, return_exceptions=True)

    async def _until_stopped(self) -> None:
        await self._stop_asked.wait()
        assert self._stop
        raise self._stop

    async def _watch(self, execution: Execution) -> None:
        """Raise why the build must stop, or why it cannot go on."""
        watchdog = Watchdog(execution, self._clients.values(), self._progress)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_asked.wait(), self.judgements.look_s)
            if self._stop:
                raise self._stop
            self.judgements.look(self._clients.values(), moving=watchdog.moves(self._unrecorded))
            watchdog.look(self._unrecorded)

    @property
    def _unrecorded(self) -> int:
        """The number of calls between their last request and their record in the ledger."""
        return len(self._pending) - sum(client.asking for client in self._clients.values())

    # --- calls

    async def answer(self, call: Call) -> Answer:
        """The answer to a call, from the ledger or the teacher; a call made twice is sent once.

        Raises:
            Failure: This call got no answer.
            PotstillError: The build stops: no call will get one.
        """
        key = call.key
        self._progress.calls_begun += 1
        task = self._pending.get(key)
        recorded = not task and (key in self.used or self._began_with)
        answer = self._ledger.get(key) if recorded else None
        if answer is None:
            if task is None:
                if self._stop:
                    raise self._stop
                task = self._pending[key] = self.loop.create_task(self._obtain(call))
                task.add_done_callback(lambda done: self._finished(key, done))
            # Shielded: an answer in flight is paid for and is recorded, even if its row is lost.
            try:
                answer = await asyncio.shield(task)
            finally:
                self._progress.calls_done += 1
        else:
            self._progress.calls_done += 1
            self._progress.reused += key not in self.used
        # If two roles make the same call, the same one is named whichever came first.
        self.used[key] = min(call.role, self.used.get(key, call.role))
        return answer

    def _finished(self, key: bytes, task: asyncio.Task[Answer]) -> None:
        del self._pending[key]
        self._progress.moved()
        # Read here, as asyncio logs an exception that nobody has read.
        if not task.cancelled() and isinstance(error := task.exception(), FolderError):
            self._stop_for(error)  # what the ledger cannot hold must not be paid for

    async def _obtain(self, call: Call) -> Answer:
        progress = self._progress
        client = self._client(call)
        standing = self._standings[call.endpoint]
        known = standing.refusal(call) or self._ledger.failure(call.key)
        if isinstance(client.teacher, RecordedTeacher):
            missing = TeacherError(self._ledger.missing(call))
            raise progress.fail(known or self._stop_for(missing))
        if known and is_passed(known) and not self._run_limits.retry:
            progress.refused_before += 1
            raise progress.fail(known)
        standing.begin(call)
        result = CallResult()
        try:
            await client.ask(call, result)
            own_refusals = standing.answer(call)
        except Failure as failure:
            progress.fail(failure)
            progress.spend(None, result.used, result.most)
            own = self._standings.own(call, failure)
            hopeless = standing.fail(call, failure, known=known, own=own)
            if failure.fatal:
                self._stop_for(TeacherError(str(failure)))
            elif hopeless and self._standings.counts(call, failure):
                self._stop_for(self._standings.given_up(failure))
            if own or failure.cause not in REASONS:
                await self._record_failures([(call, failure)])
            raise self._stop or failure from None
        except (OverBudget, asyncio.CancelledError) as end:
            await self._record_failures(result.stopped(call))
            if not isinstance(end, OverBudget):
                raise
            message = (
                f"stopped: {end}; every answer is in the ledger; build again with a larger budget "
                "to go on"
            )
            raise self._stop_for(Stopped(message, 3)) from None
        answer = result.answer
        assert answer is not None
        await self._ledger.record(call, answer, **result.facts)
        client.recorded(result.requests, result.most)
        await self._record_failures(own_refusals)
        for name, becomes in client.teacher.learned.items():
            progress.announce(f"{call.model} of {call.endpoint} refuses {name}: {becomes}")
        progress.spend(answer, result.used, result.most)
        return answer

    async def _settle_refused(self) -> None:
        """Record what was refused since the last answers, now that no call is left to be answered.

        Raises:
            TeacherError: An endpoint has refused calls and never answered one; they are not
                recorded, so that the next build sends them again.
        """
        if unanswered := self._standings.unanswered():
            raise self._stop_for(TeacherError(f"no call was answered: {unanswered}"))
        await self._record_failures(settled := self._standings.settled())
        if notice := sent_again(settled):
            self._progress.announce(notice)

    async def _record_failures(self, failed: Iterable[tuple[Call, Failure]]) -> None:
        """Record failures; those that are refusals are not sent again by the next build."""
        for call, failure in failed:
            await self._ledger.record_failure(call, failure, attempts=failure.attempts)
            self._client(call).recorded(failure.attempts, failure.most)

    def _client(self, call: Call) -> TeacherClient:
        return self._clients[Address(call.endpoint, call.model, call.revision)]

    # --- stopping

    def _stop_for(self, why: PotstillError) -> PotstillError:
        """Stop the build, if nothing has yet; return why it stops."""
        self._stop = self._stop or why
        self.loop.call_soon_threadsafe(self._stop_asked.set)
        return self._stop

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._signal:  # the second one ends the process now; what was recorded is safe
            with contextlib.suppress(OSError):
                os.write(2, f"\npotstill: stopped at once by {name}\n".encode())
            os._exit(128 + number)
        self._signal = Stopped(
            f"stopped by {name}; every answer is in the ledger; run the command again to go on",
            128 + number,
        )
        self._stop = self._stop or self._signal
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to stop
            self.loop.call_soon_threadsafe(self._stop_asked.set)
        if sent := sum(len(one.in_flight) for one in self._clients.values()):
            notice = f"{number_of(sent, 'requests')} in flight may finish; repeat it to stop now"
            self._progress.announce(f"{name}: {notice}", unseen_too=True)

    async def _drain(self) -> None:
        """Let requests in flight be answered and recorded for `_DRAIN_S`; let no other start."""
        self._stop = self._stop or Stopped("the build is over", 1)
        self._progress.begin("stopping")
        for hint in filter(None, (client.hint() for client in self._clients.values())):
            self._progress.announce(hint)
        pending = dict(self._pending)
        unsent = {key for client in self._clients.values() for key in client.unsent}
        for key in unsent & set(pending):
            pending[key].cancel()
        if pending:
            await asyncio.wait(pending.values(), timeout=_DRAIN_S)
            for task in pending.values():
                task.cancel()
            await asyncio.gather(*pending.values(), return_exceptions=True)
        await self._record_failures(self._standings.left())
        for client in self._clients.values():
            client.end()
