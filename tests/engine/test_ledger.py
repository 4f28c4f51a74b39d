"""The ledger: what was paid for is kept, through kills, full disks and damage."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.engine import ledger_export
from builders.engine.calls import Answer, Call, Failure, Used
from builders.engine.ledger import STOPPED, Ledger
from builders.engine.ledger_writer import Writer
from builders.errors import FolderError, InputError
from tests.cases import each
from tests.small_disk import small_disk

ROOT = Path(__file__).resolve().parents[2]


def call(number: int, **other: Any) -> Call:
    asked = [{"role": "user", "content": f"{number}: " + "tell of the sea and the wind " * 9}]
    facts = {"role": "writer", "endpoint": "http://x/v1", "model": "m", "revision": "r"}
    return Call(**{**facts, "prompt": asked, "sampling": {"seed": number}, **other})


def answer(number: int, **other: Any) -> Answer:
    dice = random.Random(number)
    words = " ".join(f"w{dice.randrange(10**6)}" for _ in range(dice.randrange(1, 400)))
    facts: dict[str, Any] = {"text": words, "input_tokens": number, "model": "m"}
    return Answer(**facts | other)


CHILD = f"""
from __future__ import annotations
import asyncio, random, sys
from pathlib import Path
from typing import Any
from builders.engine.calls import Answer, Call
from builders.engine.ledger import Ledger
from builders.errors import FolderError

{inspect.getsource(call)}
{inspect.getsource(answer)}
"""


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[Ledger]:
    with closing(Ledger.open(path, read_only=read_only)) as ledger:
        yield ledger


def record(ledger: Ledger, *pairs: tuple[Call, Answer], **facts: Any) -> None:
    async def all_at_once() -> None:
        terms = {"cost_usd": None, "attempts": 1} | facts
        await asyncio.gather(*(ledger.record(*pair, **terms) for pair in pairs))

    asyncio.run(all_at_once())


def fail(ledger: Ledger, failed: Call, failure: Failure) -> None:
    asyncio.run(ledger.record_failure(failed, failure, attempts=3))


def filled(path: Path, entries: int) -> Path:
    with opened(path) as ledger:
        record(ledger, *((call(number), answer(number)) for number in range(entries)))
    return path


def start(code: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD + code, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def complaint(path: Path, *, read_only: bool = False) -> str:
    """The error of opening a file, which is one line and names the file."""
    with pytest.raises(FolderError) as raised, opened(path, read_only=read_only):
        pass
    message = str(raised.value)
    assert "\n" not in message and str(path) in message
    return message


# --- what is recorded is given back

TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)  # with nulls, lone surrogates
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXTS, JSONS, max_size=3)
NAMES = st.sampled_from(["", "a", "\udc80", "\x00"])
ANSWERS = st.builds(
    Answer,
    text=TEXTS | TEXTS.map(lambda text: text * 100),
    finish_reason=TEXTS,
    input_tokens=st.none() | st.integers(),
    output_tokens=st.none() | st.integers(),
    model=st.none() | TEXTS,
    reasoning=st.none() | TEXTS,
    tool_calls=st.none() | st.lists(OBJECTS, max_size=2),
    logprobs=st.none() | st.lists(OBJECTS, max_size=2),
    latency_s=st.floats(0, 1e6),
)
CALLS = st.builds(
    Call,
    role=NAMES,
    endpoint=NAMES,
    model=NAMES,
    revision=st.none() | NAMES,
    prompt=TEXTS | st.lists(OBJECTS, max_size=2),
    sampling=OBJECTS,
    schema=st.none() | OBJECTS,
    sample=st.integers(0, 3),
)
PAIRS = st.lists(st.tuples(CALLS, ANSWERS), max_size=8, unique_by=lambda pair: pair[0].key)


@settings(max_examples=15)
@given(PAIRS)
def test_what_is_recorded_is_given_back_equal(pairs: list[tuple[Call, Answer]]) -> None:
    keys = [asked.key for asked, _ in pairs]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.sqlite")
        with opened(path) as ledger:
            record(ledger, *pairs, cost_usd=0.25)
            assert [ledger.get(key) for key in keys] == [given for _, given in pairs]
        with opened(path, read_only=True) as ledger:
            assert [ledger.get(key) for key in keys] == [given for _, given in pairs]
            assert list(ledger.answers(keys)) == [(*pair, 0.25) for pair in pairs]
            assert len(ledger) == ledger.export(Path(folder, "all.parquet")) == len(pairs)


def test_two_samples_of_one_prompt_have_two_answers(tmp_path: Path) -> None:
    pairs = [(call(1, sample=sample), answer(sample)) for sample in range(20)]
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, *pairs)
        assert [ledger.get(asked.key) for asked, _ in pairs] == [given for _, given in pairs]


def test_the_first_answer_to_a_call_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(1), answer(1)))
        record(ledger, (call(1), answer(2)))
        assert ledger.get(call(1).key) == answer(1)
        assert len(ledger) == ledger.summary()["calls"] == 1


def test_an_answer_is_known_as_soon_as_it_is_given_to_the_ledger(tmp_path: Path) -> None:
    async def check(ledger: Ledger) -> None:
        assert ledger.get(call(1).key) is None
        task = asyncio.ensure_future(
            ledger.record(call(1), answer(1), cost_usd=None, attempts=1),
        )
        await asyncio.sleep(0)
        assert ledger.get(call(1).key) == answer(1)
        await task
        assert ledger.get(call(1).key) == answer(1)

    with opened(tmp_path / "ledger.sqlite") as ledger:
        asyncio.run(check(ledger))


def test_what_record_returned_for_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"

    async def check(ledger: Ledger, number: int) -> None:
        await ledger.record(call(number), answer(number), cost_usd=None, attempts=1)
        with opened(path, read_only=True) as other:
            assert other.get(call(number).key) == answer(number)

    async def all_at_once(ledger: Ledger) -> None:
        await asyncio.gather(*(check(ledger, number) for number in range(50)))

    with opened(path) as ledger:
        asyncio.run(all_at_once(ledger))


def test_an_answer_is_recorded_though_nobody_waits_any_more(tmp_path: Path) -> None:
    async def give_up(ledger: Ledger) -> None:
        task = asyncio.ensure_future(
            ledger.record(call(1), answer(1), cost_usd=None, attempts=1),
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with opened(tmp_path / "ledger.sqlite") as ledger:
        asyncio.run(give_up(ledger))
    ledger.close()  # a second time
    with opened(tmp_path / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.get(call(1).key) == answer(1)


def test_an_answer_can_be_read_at_every_moment_of_its_way_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held in memory until the commit is done, and looked for there first."""
    path = tmp_path / "ledger.sqlite"
    commit, rows = Writer._commit, Ledger._rows
    before, after, written = threading.Event(), threading.Event(), threading.Event()

    def stepwise(self: Writer, entries: Any) -> Any:
        before.set()
        after.wait(10)
        error = commit(self, entries)
        written.set()
        return error

    def too_early(self: Ledger, *query: Any) -> Any:
        """A query that sees nothing of a commit that is made at once after it."""
        found = rows(self, *query)
        after.set()
        assert written.wait(10)
        time.sleep(0.02)  # the writing thread forgets what is on the disk
        return found

    async def check(ledger: Ledger) -> None:
        recording = ledger.record(call(1), answer(1), cost_usd=None, attempts=1)
        task = asyncio.ensure_future(recording)
        assert await asyncio.to_thread(before.wait, 10)
        assert ledger.get(call(1).key) == answer(1)
        monkeypatch.setattr(Ledger, "_rows", too_early)
        assert ledger.get(call(1).key) == answer(1)
        after.set()
        await task
        assert ledger.get(call(1).key) == answer(1)

    monkeypatch.setattr(Writer, "_commit", stepwise)
    with opened(path) as ledger:
        asyncio.run(check(ledger))


def test_a_reader_in_the_middle_sees_what_is_recorded_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_export, "_GROUP_ROWS", 50)
    path = filled(tmp_path / "ledger.sqlite", 120)
    with opened(path) as ledger, opened(path) as other:
        answers = ledger.answers(call(number).key for number in range(120))
        groups = ledger_export.exported(ledger._rows, ledger._read)
        next(answers), next(groups)
        record(other, (call(120), answer(120)))
        assert ledger.get(call(120).key) == answer(120)
        assert len(ledger) == 121


def test_answers_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with opened(filled(tmp_path / "ledger.sqlite", 30)) as ledger:
        numbers = random.Random(1).choices(range(30), k=80)
        answers = ledger.answers(call(number).key for number in numbers)
        assert [one.prompt for one, _, _ in answers] == [call(number).prompt for number in numbers]


def test_a_key_without_an_answer_is_reported_when_it_is_reached(tmp_path: Path) -> None:
    with opened(filled(tmp_path / "ledger.sqlite", 1)) as ledger:
        answers = ledger.answers([call(0).key, call(1).key])
        assert next(answers)[1] == answer(0)
        with pytest.raises(FolderError, match=call(1).id):
            next(answers)


# --- failures, sums, export


def test_a_failure_is_never_an_answer(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.sqlite") as ledger:
        fail(ledger, call(1), Failure("http 500", "broke \udc80", status=500))
        assert ledger.get(call(1).key) is None and len(ledger) == 0
        last = ledger.failure(call(1).key)
        assert last and (last.cause, str(last), last.status) == ("http 500", "broke \\udc80", 500)
        assert ledger.failure(call(2).key) is None
        assert not ledger.has_answers_of(call(1).endpoint)
        record(ledger, (call(1), answer(1)))
        assert ledger.get(call(1).key) == answer(1)
        assert ledger.has_answers_of(call(1).endpoint) and not ledger.has_answers_of("elsewhere")
        assert ledger.summary()["failures"] == {"http 500": 1}
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        rows = connection.execute("SELECT key, cause, message, status, attempts FROM failures")
        assert rows.fetchall() == [(call(1).key, "http 500", "broke \\udc80", 500, 3)]


def test_the_summary_adds_up(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.sqlite") as ledger:
        empty = ledger.summary()
        assert empty["calls"] == empty["input_tokens"] == 0
        assert empty["cost_usd"] is empty["first_time"] is None
        began = time.time()
        for number, (role, cost_usd) in enumerate(
            [("writer", 0.5), ("writer", None), ("judge", 0.25), ("judge", 0.25), ("solver", None)]
        ):
            given = answer(number, input_tokens=10 + number, output_tokens=1)
            record(ledger, (call(number, role=role), given), cost_usd=cost_usd)
        fail(ledger, call(7), Failure("time-out", "late"))
        fail(ledger, call(8), Failure("http 500", "broke"))
        fail(ledger, call(8), Failure("http 500", "broke"))
        found = ledger.summary()
    assert (found["calls"], found["cost_usd"], found["cost_unknown"]) == (5, 1.0, 2)
    assert (found["input_tokens"], found["output_tokens"]) == (60, 5)
    assert began <= found["first_time"] <= found["last_time"] <= time.time()
    assert list(found["failures"].items()) == [("http 500", 2), ("time-out", 1)]
    parts = {one["role"]: one for one in found["teachers"]}
    assert list(parts) == ["judge", "solver", "writer"]
    assert [one["cost_usd"] for one in parts.values()] == [0.5, None, 0.5]
    assert [one["cost_unknown"] for one in parts.values()] == [0, 1, 1]
    for name in ("calls", "input_tokens", "output_tokens", "cost_unknown"):
        assert sum(one[name] for one in parts.values()) == found[name]
    assert json.loads(json.dumps(found)) == found


def test_what_all_requests_may_have_used_is_summed_by_teacher(tmp_path: Path) -> None:
    counted, uncounted = {"input_tokens": 10, "output_tokens": 5}, {"output_tokens": None}
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(0), answer(0, **counted)), cost_usd=0.5)
        record(ledger, (call(1), answer(1, **uncounted)), cost_usd=2.0, most=Used(90, 2.0))
        # Two requests for one answer: the first is lost and may have cost as much again.
        lost = {"attempts": 2, "most": Used(30, 1.0)}
        record(ledger, (call(2), answer(2, **counted)), cost_usd=0.5, **lost)
        record(ledger, (call(3, model="free"), answer(3, **counted)))
        late = Failure("time-out", "x")
        late.most = Used(60, 4.0)
        fail(ledger, call(4), late)
        fail(ledger, call(5), Failure("http 400", "costs nothing"))
        by_model = {who["model"]: (who["requests"], *rest) for who, *rest in ledger.used()}
        assert by_model == {
            "m": (10, Used(15 + 90 + 30 + 60, 0.5 + 2.0 + 1.0 + 4.0), 0),
            "free": (1, Used(15, 0.0), 15),
        }
        found = ledger.summary()
        assert (found["cost_usd"], found["at_most_usd"]) == (1.0, 7.5)
        assert (found["uncounted"], found["unpriced"], found["cost_unknown"]) == (1, 1, 2)


def test_an_answer_that_is_asked_for_again_stays_until_another_replaces_it_and_is_paid_for(
    tmp_path: Path,
) -> None:
    counted = {"input_tokens": 10, "output_tokens": 5}
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(0), answer(0, **counted)), cost_usd=0.5)
        record(ledger, (call(1), answer(1, **counted)), cost_usd=0.5)
        ledger.ask_again([call(0).id, call(2).id])
        assert ledger.get(call(0).key) is None and ledger.get(call(1).key) is not None
        fail(ledger, call(0), Failure("http 500", "broke"))
    with opened(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.get(call(0).key) == answer(0, **counted)
        ledger.ask_again([call(0).id])
        record(ledger, (call(0), answer(7, **counted)), cost_usd=0.25)
        assert ledger.get(call(0).key) == answer(7, **counted) and len(ledger) == 2
        assert ledger.summary()["failures"] == {"http 500": 1, "unreadable": 1}
        assert [(used, rest) for _, used, rest in ledger.used()] == [(Used(45, 1.25), 0)]
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        rows = connection.execute("SELECT key, message FROM failures WHERE cause = 'unreadable'")
        assert rows.fetchall() == [(call(0).key, answer(0).text)]


def test_the_stop_of_a_build_is_no_failure_of_a_call(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.sqlite") as ledger:
        fail(ledger, call(1), Failure(STOPPED, "cancelled"))
        assert ledger.failure(call(1).key) is None


def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "ledger.sqlite") as ledger:
        for number, now in enumerate([2e9, 1e9, 1e9, 0.0]):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            record(ledger, (call(number), answer(number)))
        assert [ledger.get(call(number).key) for number in range(4)] == [*map(answer, range(4))]
        assert (ledger.summary()["first_time"], ledger.summary()["last_time"]) == (0.0, 2e9)


def test_an_export_has_all_answers_and_appears_whole(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "all.parquet"
    with opened(filled(tmp_path / "ledger.sqlite", 1234)) as ledger:
        odd = answer(1, text="a\udc80b\x00", tool_calls=[{"name": "\udc80"}], input_tokens=10**30)
        record(ledger, (call(-1, schema={"type": "object"}), odd), cost_usd=0.5, attempts=2)
        assert ledger.export(path) == len(ledger) == 1235
        with pytest.raises(FolderError, match="cannot write"):
            ledger.export(tmp_path / "nowhere" / "all.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.parquet", "ledger.sqlite"]
    rows = pq.read_table(path).to_pylist()
    assert [row["text"] for row in rows[:-1]] == [answer(number).text for number in range(1234)]
    last = rows[-1]
    assert last["text"] == "a\\udc80b\x00" and json.loads(last["tool_calls"])[0]["name"] == "\udc80"
    assert json.loads(last["asked"]) == call(-1).prompt and json.loads(last["schema"])["type"]
    assert (last["cost_usd"], last["attempts"], last["model"]) == (0.5, 2, "m")
    assert rows[0]["cost_usd"] is rows[0]["schema"] is None


def test_an_export_replaces_nothing_but_a_file(tmp_path: Path) -> None:
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(pipe)
    with opened(filled(tmp_path / "ledger.sqlite", 3)) as ledger:
        for path in (pipe, folder, link):
            with pytest.raises(InputError, match=f"{path.name} is (a folder|not a regular file); "):
                ledger.export(path)
    assert pipe.is_fifo() and folder.is_dir() and link.is_symlink()
    assert len(list(tmp_path.iterdir())) == 4


# --- more than one ledger


def test_two_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"

    async def both(one: Ledger, other: Ledger) -> None:
        turns = [(one, other)[number % 2] for number in range(100)]
        await asyncio.gather(
            *(
                ledger.record(call(number), answer(number), cost_usd=None, attempts=1)
                for number, ledger in enumerate(turns)
            )
        )
        for number, ledger in enumerate(turns[::-1]):
            assert ledger.get(call(number).key) == answer(number)

    with opened(path) as one, opened(path) as other:
        asyncio.run(both(one, other))


def test_a_ledger_takes_over_what_another_has_and_it_has_not(tmp_path: Path) -> None:
    other = tmp_path / "100%25?.sqlite"
    with opened(other) as ledger:
        record(ledger, (call(0), answer(0)), cost_usd=0.5)
        record(ledger, (call(1, role="judge"), answer(1)))
        fail(ledger, call(2), Failure("time-out", "late"))
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(3, role="solver"), answer(3)))
        record(ledger, (call(1, role="judge"), answer(9)))
        for _ in range(2):
            ledger.absorb(other)
            assert ledger.get(call(0).key) == answer(0)
            assert ledger.get(call(1).key) == answer(9)
            roles = [one.role for one, _, _ in ledger.answers(call(n).key for n in (0, 1, 3))]
            assert roles == ["writer", "judge", "solver"]
            assert ledger.summary()["failures"] == {"time-out": 1}
            assert len(ledger) == 3


def test_an_answer_that_was_asked_for_again_is_taken_over_in_the_place_of_the_earlier_one(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / name for name in ("shard.sqlite", "merged.sqlite")]
    counted = {"input_tokens": 10, "output_tokens": 5}
    with opened(paths[0]) as shard:
        for number in range(2):
            record(shard, (call(number), answer(number, **counted)), cost_usd=0.5)
    with opened(paths[1]) as merged:
        merged.absorb(paths[0])
        with opened(paths[0]) as shard:
            shard.ask_again([call(0).id])
            record(shard, (call(0), answer(7, **counted)), cost_usd=0.25)
        for _ in range(2):
            merged.absorb(paths[0])
            assert merged.get(call(0).key) == answer(7, **counted)
            assert merged.get(call(1).key) == answer(1, **counted) and len(merged) == 2
            assert [used for _, used, _ in merged.used()] == [Used(45, 1.25)]
        merged.ask_again([call(0).id])
        record(merged, (call(0), answer(8, **counted)), cost_usd=0.25)
        merged.absorb(paths[0])
        assert merged.get(call(0).key) == answer(8, **counted)


def test_a_ledger_with_a_damaged_answer_is_taken_over_once_that_is_recorded(tmp_path: Path) -> None:
    other = filled(tmp_path / "other.sqlite", 20)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE answers SET texts = x'00' WHERE id = 6")
    with opened(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(FolderError, match="damaged at answers: 1; "):
            ledger.absorb(other)
        assert len(ledger) == 0
        record(ledger, (call(5), answer(5)))
        ledger.absorb(other)
        assert len(ledger) == 20


def test_a_ledger_that_is_cut_while_it_is_used_is_noticed(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite", 200)
    with opened(path) as ledger:
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(FolderError, match=r"was moved, replaced, cut or deleted|is damaged"):
            record(ledger, (call(1000), answer(1)))


def test_a_damaged_ledger_is_not_taken_over(tmp_path: Path) -> None:
    torn = filled(tmp_path / "torn.sqlite", 200)
    os.truncate(torn, torn.stat().st_size // 2)
    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(-1), answer(1)))
        for path in (torn, tmp_path / "missing.sqlite"):
            with pytest.raises(FolderError, match=path.name):
                ledger.absorb(path)
        assert len(ledger) == 1
        record(ledger, (call(-2), answer(2)))
        assert len(ledger) == 2


# --- kills

ENDLESS = """
async def worker(ledger, numbers):
    for number in numbers:
        await ledger.record(call(number), answer(number), cost_usd=None, attempts=1)
        print(number, flush=True)

async def main(ledger):
    numbers = iter(range(int(sys.argv[2]), 10**9))
    await asyncio.gather(*(worker(ledger, numbers) for _ in range(32)))

asyncio.run(main(Ledger.open(Path(sys.argv[1]))))
"""


def kill_again_and_again(path: Path, kills: int) -> None:
    dice = random.Random(os.urandom(8))
    recorded: set[int] = set()
    for _ in range(kills):
        process = start(ENDLESS, path, max(recorded, default=-1) + 1)
        assert process.stdout
        recorded.add(int(process.stdout.readline()))
        time.sleep(dice.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        recorded.update(int(line) for line in rest.splitlines(keepends=True) if line[-1] == "\n")
        with opened(path, read_only=dice.random() < 0.5) as ledger:
            for number in recorded:
                assert ledger.get(call(number).key) == answer(number), number
            assert len(recorded) <= len(ledger) <= len(recorded) + 32 * kills
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_killed_process_loses_nothing_it_has_recorded(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "ledger.sqlite", kills=3)


@pytest.mark.slow
def test_a_process_killed_many_times_loses_nothing_it_has_recorded(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "ledger.sqlite", kills=40)


def test_a_ledger_killed_while_it_is_made_is_whole_or_not_there(tmp_path: Path) -> None:
    code = """
for number in range(10**9):
    Ledger.open(Path(sys.argv[1], f"{number}.sqlite")).close()
    print(number, flush=True)
"""
    process = start(code, tmp_path)
    assert process.stdout
    process.stdout.readline()
    time.sleep(random.Random(os.urandom(8)).uniform(0, 0.1))
    process.kill()
    made = len(process.communicate()[0].splitlines()) + 1
    for number in range(made + 1):
        filled(tmp_path / f"{number}.sqlite", 1)


# --- a full disk

UNTIL_FULL = """
async def main(ledger):
    numbers = iter(range(10**9))
    failed = []
    while not failed:
        batch = [next(numbers) for _ in range(64)]
        given = await asyncio.gather(
            *(ledger.record(call(n), answer(n), cost_usd=None, attempts=1) for n in batch),
            return_exceptions=True)
        for number, error in zip(batch, given):
            if error is None:
                print(number)
            else:
                assert type(error) is FolderError and "\\n" not in str(error), error
                failed.append(error)
                if ledger.get(call(number).key) == answer(number):
                    print(number)
    print(failed[0], file=sys.stderr)
"""


def check_full(path: Path, code: str, *, reserve: bool) -> str:
    process = subprocess.run(
        [sys.executable, "-c", CHILD + UNTIL_FULL + code, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    recorded = [int(line) for line in process.stdout.splitlines()]
    # With room in reserve, also those that were in flight when the disk was full.
    assert recorded and (not reserve or recorded == [*range(len(recorded) // 64 * 64)])
    with opened(path) as ledger:
        assert [ledger.get(call(number).key) for number in recorded] == [*map(answer, recorded)]
        record(ledger, (call(-1), answer(1)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return process.stderr


def test_a_file_that_may_not_grow_keeps_what_was_recorded(tmp_path: Path) -> None:
    code = """
import resource
ledger = Ledger.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, -1))
asyncio.run(main(ledger))
"""
    assert "the disk fails" in check_full(tmp_path / "ledger.sqlite", code, reserve=False)


def test_a_full_disk_keeps_what_was_recorded_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    code = """
filler = Path(sys.argv[1] + ".filler")
filler.write_bytes(bytes(3_300_000))
ledger = Ledger.open(Path(sys.argv[1]))
asyncio.run(main(ledger))
filler.unlink()
asyncio.run(ledger.record(call(-2), answer(2), cost_usd=None, attempts=1))
ledger.close()
"""
    with small_disk(tmp_path, "4m"):
        assert "no room" in check_full(tmp_path / "ledger.sqlite", code, reserve=True)
        with opened(tmp_path / "ledger.sqlite") as ledger:
            assert ledger.get(call(-2).key) == answer(2)


# --- a ledger that is taken away, and a thread that ends


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.sqlite"))


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replaced_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy.sqlite")
    shutil.copyfile(path, copy)
    copy.replace(path)


def journal_deleted(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@each(
    "take",
    [moved, Path.unlink, folder_moved, replaced_by_a_copy, journal_deleted],
)
def test_a_ledger_that_is_taken_away_is_noticed_at_the_next_commit(
    tmp_path: Path, take: Callable[[Path], None]
) -> None:
    path = tmp_path / take.__name__ / "ledger.sqlite"
    with opened(path) as ledger:
        record(ledger, (call(0), answer(0)))
        take(path)
        for number in (1, 2):
            with pytest.raises(FolderError) as raised:
                record(ledger, (call(number), answer(number)))
            message = str(raised.value)
            assert f"the ledger {path}: it was moved, replaced, cut or deleted" in message
            assert "\n" not in message
        if take is folder_moved:
            path.parent.with_name("elsewhere").rename(path.parent)
            record(ledger, (call(3), answer(3)))
    if take is folder_moved:
        with opened(path) as ledger:
            assert [ledger.get(call(n).key) for n in range(4)] == [*map(answer, range(4))]


def test_a_writing_thread_that_ends_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(self: Writer, entries: Any) -> None:
        raise MemoryError("no more\nmemory")

    with opened(tmp_path / "ledger.sqlite") as ledger:
        record(ledger, (call(0), answer(0)))
        monkeypatch.setattr(Writer, "_commit", ending)
        for number in (1, 2):
            with pytest.raises(
                FolderError, match=r"writes it ended \(MemoryError: no more memory\); "
            ):
                record(ledger, *((call(n), answer(n)) for n in range(number, number + 40)))
    monkeypatch.undo()
    with opened(tmp_path / "ledger.sqlite") as ledger:
        assert [ledger.get(call(n).key) for n in range(3)] == [answer(0), None, None]


# --- files that are no ledger, or are damaged


def test_a_file_of_another_kind_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    text, empty = tmp_path / "notes.txt", tmp_path / "empty.sqlite"
    text.write_text("not a database, " * 100)
    empty.touch()
    for path in (text, empty, other_database(tmp_path / "other.sqlite")):
        before = path.read_bytes()
        for read_only in (False, True):
            assert "is not a potstill ledger" in complaint(path, read_only=read_only)
        assert path.read_bytes() == before


def other_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE answers (key)")
    return path


def test_what_cannot_be_a_ledger_is_named_at_once(tmp_path: Path) -> None:
    folder, pipe, loop, lost = (tmp_path / name for name in ("folder", "pipe", "loop", "lost"))
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    lost.symlink_to(tmp_path / "gone" / "ledger.sqlite")
    for read_only in (False, True):
        assert "is a folder, no potstill ledger; move it away" in complaint(
            folder, read_only=read_only
        )
        assert "is not a regular file" in complaint(pipe, read_only=read_only)
        assert "is a link that leads nowhere" in complaint(loop, read_only=read_only)
        assert "is a link that leads nowhere" in complaint(lost, read_only=read_only)
        assert "is not a regular file" in complaint(Path("/dev/zero"), read_only=read_only)
    assert "there is no ledger" in complaint(tmp_path / "none.sqlite", read_only=True)
    (tmp_path / "none.sqlite-wal").write_bytes(b"answers")
    assert "exists without" in complaint(tmp_path / "none.sqlite")
    assert "cannot make" in complaint(tmp_path / "none.sqlite-wal" / "ledger.sqlite")


@each("version", [1, 3])
def test_another_format_is_named_with_the_way_on(tmp_path: Path, version: int) -> None:
    path = filled(tmp_path / f"{version}.sqlite", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    said = f"a ledger of format {version}, this potstill reads format 2; go on with the potstill"
    assert said in complaint(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a ledger with the answers 0 to 299."""
    return filled(tmp_path_factory.mktemp("whole") / "ledger.sqlite", 300).read_bytes()


@each("bytes_kept", [-1, -5000, 0.7, 0.3, 20_000, 100, 0])
def test_a_truncated_ledger_is_named(tmp_path: Path, whole: bytes, bytes_kept: float) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole[: int(bytes_kept * (len(whole) if 0 < bytes_kept < 1 else 1))])
    complaint(path)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_ledger_never_gives_another_answer(
    tmp_path: Path, whole: bytes, seed: int
) -> None:
    dice = random.Random(seed)
    path = tmp_path / "ledger.sqlite"
    size = dice.choice([16, 100, 4096, 20_000])
    at = 0 if seed < 3 else dice.randrange(100, len(whole) - size)
    path.write_bytes(whole[:at] + dice.randbytes(size) + whole[at + size :])
    try:
        ledger = Ledger.open(path)
    except FolderError:
        complaint(path)
        return
    with closing(ledger):
        errors = list[str]()
        for number in range(300):
            try:
                assert ledger.get(call(number).key) in (answer(number), None)
                assert next(ledger.answers([call(number).key]))[0] == call(number)
            except FolderError as error:
                errors.append(str(error))
        assert all(str(path) in error and "\n" not in error for error in errors)
        if any("is damaged at call" in error for error in errors):
            with pytest.raises(FolderError, match="is damaged at"):
                ledger.export(tmp_path / "all.parquet")


# --- bounds


@pytest.mark.slow
def test_a_large_ledger_opens_at_once_in_little_memory() -> None:
    from scripts.bench import bench_ledger

    found = bench_ledger(Namespace(entries=100_000, repetitions=3))
    assert found["open_s"] < 2 and found["peak_rss_mb"] < 100
