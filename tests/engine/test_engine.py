"""How the engine answers a call: sent once, recorded before use, kept if its caller has gone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.engine import requests
from builders.engine.calls import Answer, Call, Failure
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.ledger_writer import Writer
from builders.engine.progress import Progress
from builders.errors import Stopped
from tests.engine.test_executor import RECIPE, Scripted

CALL = Call(role="writer", endpoint="scripted", model="scripted", revision=None, prompt="say 1")
ANSWER = Answer(text="re say 1", input_tokens=1, output_tokens=1)
Check = Callable[[Engine, Ledger], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Scripted]]:
    """Runs a check on an engine's loop; its teacher answers after 50 ms."""
    with closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger:

        def run(check: Check, teacher: Scripted | None = None) -> Scripted:
            teacher = teacher or Scripted(latency_s=lambda _: 0.05)
            with Engine(RECIPE, teacher, ledger, Progress(), seed=1) as engine:
                engine.loop.run_until_complete(check(engine, ledger))
            return teacher

        yield run


def test_a_call_that_everybody_gave_up_on_is_recorded_and_not_sent_again(run: Any) -> None:
    async def check(engine: Engine, ledger: Ledger) -> None:
        waiters = [asyncio.ensure_future(engine.answer(CALL)) for _ in range(2)]
        await asyncio.sleep(0.01)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        assert ledger.get(CALL.key) is None  # still in flight
        assert await engine.answer(CALL) == ANSWER == ledger.get(CALL.key)

    assert run(check).asked == [CALL]


def test_an_answer_is_used_only_when_it_is_on_the_disk(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, may_write = threading.Event(), threading.Event()
    commit = Writer._commit

    def held_back(self: Writer, entries: Any) -> Any:
        writing.set()
        may_write.wait(10)
        return commit(self, entries)

    async def check(engine: Engine, ledger: Ledger) -> None:
        waiter = asyncio.ensure_future(engine.answer(CALL))
        assert await asyncio.to_thread(writing.wait, 10)
        # A second caller waits for the same commit.
        another = asyncio.ensure_future(engine.answer(CALL))
        await asyncio.sleep(0.05)
        assert not waiter.done() and not another.done()
        may_write.set()
        assert [await waiter, await another] == [ANSWER, ANSWER]

    monkeypatch.setattr(Writer, "_commit", held_back)
    assert run(check).asked == [CALL]


def test_waiting_before_a_retry_leaves_the_random_numbers_of_steps_alone(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_FIRST_WAIT_S", 0.01)

    async def check(engine: Engine, ledger: Ledger) -> None:
        before = random.getstate()
        assert await engine.answer(CALL) == ANSWER
        assert random.getstate() == before

    def answer(call: Call) -> str:
        if len(teacher.asked) == 1:
            raise Failure("http 500", "no", retryable=True)
        return f"re {call.text}"

    teacher = Scripted(answer)
    run(check, teacher)
    assert teacher.asked == [CALL, CALL]


def test_a_signal_only_sets_and_wakes_and_the_second_one_ends_the_process(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    async def check(engine: Engine, ledger: Ledger) -> None:
        waiter = asyncio.ensure_future(engine.answer(CALL))
        await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)  # at any point of any code: nothing may be raised there
        await asyncio.wait_for(engine._stop_asked.wait(), 5)
        with pytest.raises(Stopped):
            await engine.answer(replace(CALL, sample=1))
        assert await waiter == ANSWER == ledger.get(CALL.key)
        assert ended == []
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped, match="SIG"):  # by the end of the engine, not by the handler
        run(check)
    assert ended == [128 + signal.SIGTERM]
