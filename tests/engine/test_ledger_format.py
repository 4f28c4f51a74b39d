"""A ledger's file: what was written by any potstill of this format is read by every later one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders.engine.calls import Answer, Call, Failure, Used
from builders.engine.ledger import Ledger
from builders.engine.ledger_format import create

GOLDEN = Path(__file__).parents[1] / "golden" / "ledger.sql"

CALLS = (
    Call(role="writer", endpoint="http://x/v1", model="m", revision="r", prompt="Once upon"),
    Call(
        role="judge",
        endpoint="http://y/v1",
        model="n",
        revision=None,
        prompt=[{"role": "user", "content": "half \ud83d, ü"}],
        sampling={"temperature": 0.7, "seed": 3},
        schema={"type": "object"},
        sample=2,
    ),
    Call(role="writer", endpoint="http://x/v1", model="m", revision="r", prompt="long " * 300),
)
# All is written out: what equals a default is not stored, so the defaults must stay as they are.
ANSWERS = (
    Answer(
        text=" a time",
        ended="complete",
        finish_reason=None,
        reasoning=None,
        leaked_mark=None,
        tool_calls=None,
        logprobs=None,
        input_tokens=None,
        output_tokens=None,
        reasoning_tokens=None,
        cached_tokens=None,
        model=None,
        fingerprint=None,
        revision=None,
        latency_s=0.0,
        pause_s=0.0,
    ),
    Answer(
        text="half \udc00, ö",
        ended="length",
        finish_reason="max_tokens",
        reasoning="so",
        leaked_mark="<|im_end|>",
        input_tokens=11,
        output_tokens=12,
        reasoning_tokens=5,
        cached_tokens=8,
        model="n-2026",
        fingerprint="fp_1",
        revision="v3",
        tool_calls=[{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
        logprobs=[{"token": "h", "logprob": -0.5}],
        latency_s=1.25,
        pause_s=2.5,
    ),
    Answer(text="longer " * 300, finish_reason="stop", input_tokens=300, output_tokens=600),
)
COSTS = (None, 0.25, 0.5)
MOST = (Used(4000, None), None, Used(1900, 0.75))
FAILURE = Failure("http 500", "broke", status=500)
FAILURE.most = Used(50, 0.125)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """The ledger that format 2 is defined by; it holds CALLS, ANSWERS, COSTS and FAILURE."""
    path = tmp_path / "golden.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(GOLDEN.read_text(encoding="utf-8"))
    return path


def record_all(path: Path) -> None:
    async def one_by_one(ledger: Ledger) -> None:
        for call, answer, cost_usd, most in zip(CALLS, ANSWERS, COSTS, MOST, strict=True):
            await ledger.record(call, answer, cost_usd=cost_usd, attempts=2, hedged=1, most=most)
        await ledger.record_failure(CALLS[0], FAILURE, attempts=3)

    with closing(Ledger.open(path)) as ledger:
        asyncio.run(one_by_one(ledger))


def contents(path: Path) -> dict[str, list[Any]]:
    """What is stored, by table; no times, and no text so long that it is compressed."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            "teachers": connection.execute("SELECT * FROM teachers").fetchall(),
            "answers": connection.execute(
                "SELECT id, key, teacher, input_tokens, output_tokens, cost_usd, most_tokens, "
                "most_usd, attempts, hedged, "
                "iif(length(texts) < 1024 AND key <> ?, texts, NULL) FROM answers",
                [CALLS[2].key],
            ).fetchall(),
            "failures": connection.execute(
                "SELECT id, key, teacher, cause, message, status, attempts, most_tokens, most_usd "
                "FROM failures"
            ).fetchall(),
            "format": [
                connection.execute(f"PRAGMA {name}").fetchone()
                for name in ("application_id", "user_version")
            ],
        }


def test_an_old_ledger_is_read_as_it_was_written(golden: Path) -> None:
    with closing(Ledger.open(golden)) as ledger:
        assert [ledger.get(call.key) for call in CALLS] == list(ANSWERS)
        found = list(ledger.answers(call.key for call in CALLS))
        assert found == list(zip(CALLS, ANSWERS, COSTS, strict=True))
        failure = ledger.failure(CALLS[0].key)
        assert failure and (failure.cause, str(failure), failure.status) == (
            "http 500",
            "broke",
            500,
        )
        assert len(ledger) == 3
        sums = ledger.summary()
        assert (sums["input_tokens"], sums["output_tokens"], sums["cost_usd"]) == (311, 612, 0.75)


def test_what_is_written_is_what_an_old_potstill_reads(golden: Path, tmp_path: Path) -> None:
    record_all(tmp_path / "new.sqlite")
    # A difference is a new format: it needs another number, and the old one must still be read.
    assert contents(tmp_path / "new.sqlite") == contents(golden)


# --- making one


def test_a_ledger_is_whole_and_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    synced: list[int] = []
    fsync, link = os.fsync, Path.hardlink_to

    def fsynced(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        fsync(file)

    def linked(self: Path, made: Any) -> None:
        assert made != path and not path.exists()
        content = made.read_bytes()
        assert content[18:20] == b"\2\2", "not in WAL mode: its first writer could meet a reader"
        assert not made.with_name(made.name + "-wal").exists(), "a part of it is elsewhere"
        assert made.stat().st_ino in synced, "not on the disk"
        with closing(sqlite3.connect(f"{made.as_uri()}?immutable=1", uri=True)) as connection:
            connection.execute("SELECT max(id) FROM answers").fetchone()  # its tables are there
        link(self, made)

    monkeypatch.setattr(os, "fsync", fsynced)
    monkeypatch.setattr(Path, "hardlink_to", linked)
    create(path)
    assert path.exists() and [one.name for one in tmp_path.glob(".*")] == []


def test_of_two_processes_that_create_a_ledger_the_second_keeps_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, first = tmp_path / "ledger.sqlite", tmp_path / "first.sqlite"
    record_all(first)
    link = Path.hardlink_to

    def linked(self: Path, made: Any) -> None:
        os.link(first, path)
        link(self, made)

    monkeypatch.setattr(Path, "hardlink_to", linked)
    create(path)
    with closing(Ledger.open(path, read_only=True)) as ledger:
        assert [ledger.get(call.key) for call in CALLS] == list(ANSWERS)
