"""A build goes on while anything can move, and an endpoint that does not answer is given up."""

from __future__ import annotations

import gzip
import json
import queue
import re
import signal
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders.engine import rate_limiter
from builders.engine import requests as requests_module
from builders.engine import watchdog as watchdog_module
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_kinds import teacher
from builders.engine.watchdog import items_of, result_of
from builders.errors import TeacherError
from tests.cases import each
from tests.endpoint import HTML, Behaviour, Endpoint, Rule
from tests.engine.test_engine_faults import Notes, asks, in_process, noted

ANSWER = {
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"}
    ],
}


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "_FIRST_WAIT_S", 0.01)


def lost(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["failed"] for row in rows if "failed" in row]


# --- refused as if the endpoint were down


def test_a_few_prompts_that_are_always_refused_cost_their_rows_though_nothing_else_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(requests_module, "_MOST_FAULTS", 4)
    monkeypatch.setattr(requests_module, "_LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(rate_limiter, "_MOST_BACK_OFF_S", 0.05)
    rules = [
        Rule("503", contains="say 3"),
        Rule("503", contains="say 7"),
        Rule("429-plain", contains="say 5"),
    ]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        for _ in range(2):  # again when the ledger holds all the others
            assert lost(in_process(tmp_path, endpoint.url, rows=10)) == [
                *("http 503", "http 429", "http 503"),
            ]
        endpoint.set(Behaviour(rules=[Rule("503")]))
        with pytest.raises(TeacherError, match="503"):
            in_process(tmp_path, endpoint.url, rows=30)


# --- too many requests at a time


@pytest.mark.parametrize("held", [1, 2, 5])
def test_a_gateway_that_holds_few_at_a_time_costs_a_pause_or_two_and_is_named(
    tmp_path: Path, held: int
) -> None:
    progress = Progress()
    with Endpoint(Behaviour(most_at_once=held, busy_s=1, latency="fixed:0.05")) as endpoint:
        began = time.monotonic()
        assert not lost(in_process(tmp_path, endpoint.url, rows=25, progress=progress))
        took_s = time.monotonic() - began
        refused = [request for request in asks(endpoint) if request.status == 429]
    assert len(refused) <= 10
    assert took_s < 25 / held * 0.05 + 3.5  # three pauses at most
    assert [f"seems to hold {held} request" in notice for notice in progress.notices] == [True]
    assert progress.notices[0].endswith(f"at a time; use --concurrency {held}")


def test_an_endpoint_that_holds_what_it_is_asked_is_not_named(tmp_path: Path) -> None:
    progress = Progress()
    rules = [Rule("429", first_n=1, share=0.1, seconds=0.01)]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=150, progress=progress))
    assert progress.notices == []


def test_a_conflict_that_repeats_is_with_the_request_itself(tmp_path: Path) -> None:
    rules = [
        Rule("given", status=409, body={"error": "Conflict"}, contains="say 3"),
        Rule("given", status=409, body={"error": "Conflict"}, contains="say 5", first_n=1),
    ]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        assert lost(in_process(tmp_path, endpoint.url, rows=8)) == ["http 409"]
        assert [request.status for request in asks(endpoint)].count(409) == 3 + 1


# --- silence


def of_three(body: dict[str, Any]) -> bool:
    return any(f"say {number}" in str(body) for number in range(3))


@each(
    ("rule", "words"),
    [
        (Rule("429", first_n=1, seconds=1.2, contains="say 1"), "asked for a pause of"),
        (Rule("hang", first_n=1, when=of_three), "gets no request for"),
    ],
)
def test_only_a_pause_that_was_asked_for_is_reported_as_asked_and_rows_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Rule, words: str
) -> None:
    monkeypatch.setattr(watchdog_module, "_STILL_S", 0.1)
    monkeypatch.setattr(rate_limiter, "_MOST_BACK_OFF_S", 0.9)
    noted.clear()
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        who = teacher(TeacherSpec(place=endpoint.url, concurrency=2, timeout_s=0.2))
        assert not lost(in_process(tmp_path, who, rows=5, progress=Notes()))
    pauses = re.findall(r"(asked for a pause of|gets no request for) (\d) s", " ".join(noted))
    assert {one for one, _ in pauses} == {words}
    rows = re.findall(r"rows in progress: (\d), queued: (\d)", " ".join(noted))
    assert rows and all(int(working) + int(queued) <= 5 for working, queued in rows)


def test_two_requests_that_are_refused_for_a_moment_are_no_evidence(tmp_path: Path) -> None:
    progress = Progress()
    rules = [Rule("429-plain", contains=f"say {one}", first_n=2) for one in (1, 2)]
    with Endpoint(Behaviour(rules=rules, latency="fixed:0.05")) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=8, progress=progress))
    assert progress.notices == []


def test_a_limit_for_a_span_of_time_is_not_taken_for_one_of_concurrency(tmp_path: Path) -> None:
    progress = Progress()
    words = {"error": {"message": "Limit reached: 10 RPM", "code": "rate_limit_exceeded"}}
    late = Rule("given", contains="say 1", first_n=1, status=429, body=words)  # seven of 16
    with Endpoint(Behaviour(rules=[late], latency="fixed:0.05")) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=16, progress=progress))
    assert progress.notices == []


def test_a_gateway_whose_refusals_count_against_its_limit_is_left_alone_until_it_answers(
    tmp_path: Path,
) -> None:
    arrived: list[float] = []

    def over(_: Any) -> bool:
        arrived.append(time.monotonic())
        return sum(arrived[-1] - one < 1 for one in arrived) > 3

    with Endpoint(Behaviour(rules=[Rule("429-plain", when=over)])) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=8))
    assert len(arrived) < 40


def test_an_endpoint_that_accepts_and_never_answers_is_given_up_after_three_deadlines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_LEAST_SILENCE_S", 0.1)
    with Endpoint(Behaviour(rules=[Rule("hang")])) as endpoint:
        who = teacher(TeacherSpec(place=endpoint.url, concurrency=8, timeout_s=0.5))
        began = time.monotonic()
        expected = r"accepts requests and answers none: in \d s \d+ requests had no answer"
        with pytest.raises(TeacherError, match=expected):
            in_process(tmp_path, who, rows=100)
        assert 1.4 < time.monotonic() - began < 4
        assert len(asks(endpoint)) <= 32


def test_time_outs_beside_answers_are_the_calls_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_LEAST_SILENCE_S", 0.1)
    monkeypatch.setattr(requests_module, "_MOST_FAULTS", 3)
    hangs = [Rule("hang", contains="say 7"), Rule("ok", contains="say", latency="fixed:0.05")]
    with Endpoint(Behaviour(rules=hangs)) as endpoint:
        who = teacher(TeacherSpec(place=endpoint.url, concurrency=2, timeout_s=1.0))
        assert lost(in_process(tmp_path, who, rows=20)) == ["time-out"]


def test_a_call_that_never_has_an_answer_costs_its_row_also_where_it_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_LEAST_SILENCE_S", 0.1)
    for kind in ("hang", "trickle"):
        hangs = [Rule(kind, contains="say 7", seconds=60), Rule("ok", contains="say")]
        with Endpoint(Behaviour(rules=hangs)) as endpoint:
            who = teacher(TeacherSpec(place=endpoint.url, concurrency=8, timeout_s=0.4))
            for _ in range(2):  # again when the ledger holds all the others
                assert lost(in_process(tmp_path / kind, who, rows=20)) == ["time-out"]
            assert sum("say 7" in json.dumps(one.body) for one in asks(endpoint)) == 8


def test_an_answer_that_drips_for_ever_ends_at_the_deadline(tmp_path: Path) -> None:
    with Endpoint(Behaviour(rules=[Rule("trickle", first_n=1, seconds=60)])) as endpoint:
        who = teacher(TeacherSpec(place=endpoint.url, concurrency=8, timeout_s=0.5))
        assert not lost(in_process(tmp_path, who, rows=4))
        assert len(asks(endpoint)) == 8


# --- the way to the ledger


def test_a_ledger_that_another_program_locks_delays_the_build_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "_STILL_S", 0.2)
    monkeypatch.setattr(watchdog_module, "_STUCK_S", 0.4)
    monkeypatch.setattr("builders.engine.ledger_format._BUSY_S", 0.5)
    locked = threading.Event()

    def hold() -> None:
        path = tmp_path / "ledger.sqlite"
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            locked.set()
            time.sleep(2.5)
            connection.execute("ROLLBACK")

    holder = threading.Thread(target=hold)

    def answer(body: dict[str, Any]) -> str:
        if not holder.ident:
            holder.start()
        locked.wait(5)
        return "So."

    refused = Rule("400", contains="say 2")
    with Endpoint(Behaviour(rules=[refused], answer=answer)) as endpoint:
        made = in_process(tmp_path, endpoint.url, rows=4)
    holder.join()
    assert len(made) == 4 and len(lost(made)) == 1


# --- connections and forms


def test_a_connection_that_was_closed_is_tried_again_at_once_and_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_MOST_FAULTS", 1)
    monkeypatch.setattr(requests_module, "_FIRST_WAIT_S", 30)
    with Endpoint(Behaviour(rules=[Rule("reset", first_n=1)])) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=12))
        assert len(asks(endpoint)) == 24


@each("status", [408, 499, 502, 504, 520, 521, 522, 523, 524, 529])
def test_what_proxies_answer_for_a_server_is_tried_again(
    status: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = Rule("given", first_n=1, status=status, body=HTML, headers=(("server", "proxy"),))
    with Endpoint(Behaviour(rules=[page])) as endpoint:
        assert not lost(in_process(tmp_path_factory.mktemp("x"), endpoint.url, rows=3))
        assert len(asks(endpoint)) == 6


@each("encoding", ["br", "zstd", "gzip"])
def test_a_body_that_nobody_can_decode_is_named_once(
    encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    headers = (("content-encoding", encoding),)
    rule = Rule("given", body=b"\x8b\x02\x80not really", headers=headers, contains="say 1")
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        made = in_process(tmp_path_factory.mktemp("x"), endpoint.url, rows=2)
        [row] = [row for row in made if "failed" in row]
        assert "cannot be decoded" in row["failed_why"]
        assert len(asks(endpoint)) == 2
        assert {request.headers["accept-encoding"] for request in asks(endpoint)} == {
            "gzip, deflate"
        }


def test_a_packed_body_and_a_header_of_64_kb_are_read(tmp_path: Path) -> None:
    headers = (("content-encoding", "gzip"), ("x-explained", "x" * 2**16))
    rule = Rule("given", body=gzip.compress(json.dumps(ANSWER).encode()), headers=headers)
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        assert not lost(in_process(tmp_path, endpoint.url, rows=2))


@each("packed", [True, False])
def test_a_body_without_an_end_costs_one_row_and_no_memory(
    packed: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.endpoint._MOST_BODY", 100_000)
    body = json.dumps(ANSWER).encode() + b" " * 300_000
    headers = (("content-encoding", "gzip"),) if packed else ()
    rule = Rule(
        "given",
        body=gzip.compress(body) if packed else body,
        headers=headers,
        contains="say 1",
    )
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        made = in_process(tmp_path_factory.mktemp("x"), endpoint.url, rows=3)
        [why] = [row["failed_why"] for row in made if "failed" in row]
        assert "sent over 0.1 MB for one answer" in why
        assert len(asks(endpoint)) == 3


def test_the_first_burst_is_paced_by_what_its_calls_may_use(tmp_path: Path) -> None:
    run_limits = RunLimits(tokens_per_minute=1_000_000)
    with Endpoint(Behaviour(latency="fixed:1.2")) as endpoint:
        in_process(tmp_path, endpoint.url, rows=4, run_limits=run_limits)
        times = [request.time for request in asks(endpoint)]
    # An answer without a bound may use 4096 tokens, which take 0.25 s.
    assert times[-1] - times[0] > 0.45


# --- signals


@each("waited_for", ["a row", "a result"])
def test_a_signal_that_interrupts_no_wait_is_handled_within_a_second(waited_for: str) -> None:
    """As one that comes just before a wait, one that another thread receives interrupts none."""
    rows: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    result: Future[None] = Future()
    handled: list[bool] = []

    def work() -> None:
        time.sleep(0.1)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        time.sleep(1.4)
        handled.append(False)
        rows.put(None)
        result.set_result(None)

    before = signal.signal(signal.SIGUSR1, lambda *_: handled.append(True))
    thread = threading.Thread(target=work)
    thread.start()
    try:
        _ = [*items_of(rows)] if waited_for == "a row" else result_of(result)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled == [True, False]
