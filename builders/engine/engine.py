"""Runs pipelines with its teachers on one event loop: asks once, records first, stops cleanly.

The loop has a thread of its own, so that a build also runs where another loop is at work, as in a
notebook; the caller's thread waits, and takes the signals. A signal, the budget and the watchdog
stop a build the same way: no request is sent any more, and those that are out get ten seconds to
answer and be recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from builders.engine.budget import OverBudget
from builders.engine.calls import Answer, Call, Failure
from builders.engine.ledger import Ledger
from builders.engine.pool import TeacherPool
from builders.engine.progress import Progress
from builders.engine.requests import Address, TeacherClient, address, teacher_clients
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import Teacher
from builders.engine.teacher_kinds import RecordedTeacher
from builders.errors import InputError, PotstillError, RecipeError, Stopped, TeacherError
from builders.file_lock import HeldElsewhere, file_lock
from builders.recipe import Raw, Recipe

if TYPE_CHECKING:
    from builders.engine.executor import Execution

Result = TypeVar("Result")

_HOPELESS = 20  # calls that failed one after another for one cause: the next would as well
_DRAIN_S = 10.0
_STILL_S = 20.0  # without any movement, before the line says what is waited for
_STUCK_S = 45.0  # without any movement and with nothing that could bring one, before giving up


class Engine:
    """A recipe's teachers, started, and its ledger; use as a context manager, then call it.

    `used` holds the keys of the calls this build's rows rest on, and the role each was asked in.
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
    ) -> None:
        self.seed = seed
        self.used: dict[bytes, str] = {}
        self._recipe = recipe
        self._ledger = ledger
        self._progress = progress
        self._run_limits = run_limits or RunLimits()
        self._pool = (
            teachers if isinstance(teachers, TeacherPool) else TeacherPool(every=[teachers])
        )
        self._runner = asyncio.Runner()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._pending: dict[bytes, asyncio.Task[Answer]] = {}
        self._clients: dict[Address, TeacherClient] = {}
        self._failed: dict[str, Counter[str]] = defaultdict(Counter)  # by endpoint
        self._stop: PotstillError | None = None
        self._signal: Stopped | None = None
        self._handlers: dict[int, Any] = {}
        self._runs = 0

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
            self._wait_for(self._drain())
        finally:
            self._close()
        if self._signal and not error:  # it came when no call was left to stop for
            raise self._signal

    async def _start(self) -> None:
        for one in self._pool:
            await one.start()
        for role in self._recipe.roles:
            many = self._pool.of(role, self._recipe).values()
            [(who, times)] = Counter(map(address, many)).most_common(1)
            if times > 1:
                raise InputError(
                    f"{who.model!r} of {who.endpoint} is named twice for {role!r}; take one away, "
                    "or give it another #MODEL"
                )
        run_limits, stopping = self._run_limits, lambda: self._stop is not None
        self._clients = teacher_clients(self._pool, run_limits, self._progress, stopping=stopping)

    def _wait_for(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run it on the loop, whatever loop runs in this thread."""
        return self._thread.submit(self._runner.run, coroutine).result()

    def _close(self) -> None:
        try:
            self._wait_for(self._stop_teachers())
        finally:
            self._thread.submit(self._runner.close).result()
            self._thread.shutdown()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    async def _stop_teachers(self) -> None:
        for one in self._pool:
            await one.stop()

    def identities(self) -> dict[str, dict[str, Any]]:
        """Who answered in which role, for the lineage."""
        return {
            name: one.identity()
            for role in self._recipe.roles
            for name, one in self._pool.of(role, self._recipe).items()
        }

    def teach(self, role: str, *, schema: dict[str, Any] | None = None, **sampling: Any) -> Any:
        """The distilabel LLM for a role, with its sampling."""
        from builders.engine.llm import EngineLLM

        llm = EngineLLM(role=role, sampling=sampling, answer_schema=schema)
        return llm.bound(self, self._pool.of(role, self._recipe))

    def __call__(
        self, pipeline: Callable[..., Any], rows: Sequence[Raw], **wiring: Any
    ) -> list[Raw]:
        """The pipeline's raw rows, in the order of `rows`; a failed row carries `failed`."""
        execution_of = _executor()
        line = pipeline(self.teach, **wiring)
        if self._recipe.candidates:
            self._progress.begin(line.name, len(rows))
        execution = execution_of(
            line,
            window=2 * max(one.concurrency for one in self._pool),
            on_row=self._row_made,
            seed=(self.seed, self._runs),
        )
        self._runs += 1
        return self._wait_for(self._unless(self._watch(execution), execution.run(rows)))

    @property
    def stopped(self) -> PotstillError | None:
        """Why nothing more is asked; None while asking goes on."""
        return self._stop

    def made(self, rows: int) -> None:
        """Count what a recipe with rounds has made so far."""
        self._progress.rows = rows
        self._progress.moved()

    def _row_made(self) -> None:
        self._progress.moved()
        self._progress.stage_done += 1
        if self._recipe.candidates is None:
            self._progress.rows += 1

    async def _unless(
        self, watch: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]
    ) -> Result:
        """What `work` gives, unless `watch` raises a reason to stop before."""
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
        """Say what nothing moves for; raise when asked to stop, or when nothing can move."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_asked.wait(), timeout=1.0)
            if self._stop:
                raise self._stop
            still_s = time.monotonic() - self._progress.moved_at
            if still_s > _STILL_S:
                waits = "; ".join([execution.status(), *self._waits()])
                self._progress.note = f"nothing has moved for {still_s:.0f} s: {waits}"
                moves = any(client.can_move() for client in self._clients.values())
                if still_s > _STUCK_S and not moves and not execution.working:
                    raise RecipeError(f"{self._progress.note}; nothing can move any more")

    def _waits(self) -> list[str]:
        """What each client with something on its way waits for."""
        teacher_clients = [client for client in self._clients.values() if client.can_move()]
        return [client.status() for client in teacher_clients or list(self._clients.values())[:1]]

    # --- asking

    async def answer(self, call: Call) -> Answer:
        """The answer to a call, from the ledger or the teacher; a call made twice is sent once.

        Raises:
            Failure: This call has no answer.
            PotstillError: No call will have one.
        """
        key = call.key
        task = self._pending.get(key)
        answer = None if task else self._ledger.get(key)
        if answer is None:
            if task is None:
                if self._stop:
                    raise self._stop
                task = self._pending[key] = self.loop.create_task(self._obtain(call))
                task.add_done_callback(lambda done: self._landed(key, done))
            # Shielded: an answer on its way is paid for and lands in the ledger, whoever gives up.
            answer = await asyncio.shield(task)
        elif key not in self.used:
            self._progress.reused += 1
        # Where two roles ask the same, one is named, whichever came first.
        self.used[key] = min(call.role, self.used.get(key, call.role))
        return answer

    def _landed(self, key: bytes, task: asyncio.Task[Answer]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # read here, so that nobody waiting for it is not a warning

    async def _obtain(self, call: Call) -> Answer:
        progress = self._progress
        client = self._clients[Address(call.endpoint, call.model, call.revision)]
        if isinstance(client.teacher, RecordedTeacher):
            progress.failures += 1
            raise self._ledger.failure(call.key) or self._stopped(
                TeacherError(
                    f"the ledger has no answer to call {call.id}; build with the teacher to have it"
                )
            )
        try:
            asked = await client.ask(call)
        except Failure as failure:
            progress.failures += 1
            if failure.fatal or self._hopeless(call, failure):
                self._stopped(TeacherError(str(failure)))
            await self._ledger.record_failure(call, failure, attempts=failure.attempts)
            raise self._stop or failure from None
        except OverBudget as over:
            message = (
                f"stopped: {over}; every answer is in the ledger; a budget holds for one run: "
                "build again, with a larger one to come further"
            )
            raise self._stopped(Stopped(message, 3)) from None
        answer, cost_usd = asked.answer, asked.cost_usd
        assert answer is not None
        await self._ledger.record(
            call, answer, cost_usd=cost_usd, attempts=asked.requests, hedged=asked.hedged
        )
        self._failed[call.endpoint].clear()
        progress.calls += 1
        progress.input_tokens += answer.input_tokens or 0
        progress.output_tokens += answer.output_tokens or 0
        if cost_usd is None:
            progress.unpriced += 1
        else:
            progress.cost_usd += cost_usd
        return answer

    def _hopeless(self, call: Call, failure: Failure) -> bool:
        """Whether so many calls to one endpoint have failed in a row that the next would as well.

        What could have helped itself by asking again is the endpoint's fault, at any time; what
        could not may lie in some rows, once others had an answer.
        """
        failed = self._failed[call.endpoint]
        failed[failure.cause] += 1
        untried = not self._progress.calls and not self._progress.reused
        return failed[failure.cause] >= _HOPELESS and (failure.again or untried)

    # --- stopping

    def _stopped(self, why: PotstillError) -> PotstillError:
        self._stop = self._stop or why
        self._stop_asked.set()
        return self._stop

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._signal:  # the second time: now; the ledger holds whatever was recorded
            with contextlib.suppress(OSError):
                os.write(2, f"\npotstill: stopped at once by {name}\n".encode())
            os._exit(128 + number)
        self._signal = Stopped(
            f"stopped by {name}; every answer is in the ledger; the same command goes on there",
            128 + number,
        )
        self._stop = self._stop or self._signal
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to stop
            self.loop.call_soon_threadsafe(self._stop_asked.set)
        if self._pending:
            said = f"\n{name}: {len(self._pending)} calls may finish; once more to stop now\n"
            with contextlib.suppress(OSError):
                os.write(2, said.encode())

    async def _drain(self) -> None:
        """Let what is out answer and be recorded, ten seconds at most; let nothing else start."""
        self._stop = self._stop or Stopped("the build is over", 1)
        self._progress.begin("stopping")
        pending = dict(self._pending)
        unsent = {key for client in self._clients.values() for key in client.unsent}
        for key in unsent & set(pending):
            pending[key].cancel()
        if pending:
            await asyncio.wait(pending.values(), timeout=_DRAIN_S)
            for task in pending.values():
                task.cancel()
            await asyncio.gather(*pending.values(), return_exceptions=True)


def _executor() -> type[Execution]:
    """The executor, and with it distilabel, imported as fast and as quietly as it can be."""
    hook = sys.excepthook  # distilabel's own would show a crash with all variables, keys too
    gc.disable()  # 2,000 modules make nothing that could be freed yet: a fifth of the time
    try:
        import builders.engine.workers  # noqa: F401 - silences a warning of distilabel's import
        from builders.engine.executor import Execution
    finally:
        gc.enable()
        sys.excepthook = hook
    gc.freeze()
    return Execution


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds a folder for one build; the lock dies with its owner, however that dies.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(folder / ".lock"))
        except HeldElsewhere as owner:
            raise InputError(
                f"another build is at work in {folder} ({owner}); wait for it, or name another "
                "folder with --work"
            ) from None
        yield
