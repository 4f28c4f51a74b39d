"""How far a build is: calls done of calls expected, the pace, the time left."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distilabel.pipeline import Pipeline

from builders.engine.calls import Answer, Call, Failure, Question, Used
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.progress import Progress
from builders.engine.tasks import Ask, AskAll
from tests.cases import each
from tests.engine.test_executor import RECIPE, Scripted, judged, one, seeds

ROWS = 12


def questions(count: int) -> Callable[[dict[str, Any]], list[Question]]:
    return lambda raw: [Question(prompt=raw["instruction"], sample=n) for n in range(count)]


def asked_all(teach: Any, **declared: Any) -> Any:
    """Four questions a row, then one."""
    with Pipeline(name="asked_all") as line:
        first = AskAll(
            name="first", llm=teach("writer"), build=questions(4), answer="a", **declared
        )
        first >> AskAll(name="second", llm=teach("judge"), build=questions(1), answer="b")
    return line


def asked_all_declared(teach: Any) -> Any:
    return asked_all(teach, questions=4)


def sampled(teach: Any) -> Any:
    """Three answers a row, each of them judged."""
    with Pipeline(name="sampled") as line:
        Ask(
            name="answer",
            llm=teach("writer"),
            build=lambda raw: raw["instruction"],
            answer="a",
            num_generations=3,
        ) >> Ask(name="judge", llm=teach("judge"), build=lambda raw: f"Is {raw['a']}?", answer="b")
    return line


def half_of_them(call: Call) -> str:
    if call.role == "writer" and int(call.id, 16) % 2:
        raise Failure("http 400", "refused")
    return f"Answer {call.id}"


@each(
    ("wiring", "answer", "at_first"),
    {
        "one call a row": (one, None, ROWS),
        "two branches and a judge": (judged, None, 3 * ROWS),
        "several answers a row": (sampled, None, 6 * ROWS),
        "several questions, as declared": (asked_all_declared, None, 5 * ROWS),
        "several questions, not declared": (asked_all, None, 4 * ROWS),  # the begun ones
        "rows lost on the way": (sampled, half_of_them, 6 * ROWS),
    },
)
def test_the_calls_expected_are_those_declared_at_first_and_those_made_at_last(
    tmp_path: Path, wiring: Any, answer: Any, at_first: int
) -> None:
    progress, totals = Progress(), []

    def answered(call: Call) -> str:
        totals.append(progress.stage_total)
        return answer(call) if answer else f"Answer {call.id}"

    folder = tmp_path / wiring.__name__ / str(bool(answer))
    folder.mkdir(parents=True)
    with (
        contextlib.closing(Ledger.open(folder / "ledger.sqlite")) as ledger,
        Engine(RECIPE, Scripted(answer=answered), ledger, progress, seed=1) as engine,
    ):
        engine(wiring, seeds(ROWS))
        assert totals[0] == at_first
        assert progress.stage_calls == progress.stage_total == progress.calls_done >= len(totals)


class Clock:
    """Time that passes only when a test lets it pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(
            "builders.engine.progress.time", SimpleNamespace(monotonic=lambda: self.now)
        )


def answer_calls(progress: Progress, calls: int, usd: float | None = None) -> None:
    progress.calls_begun += calls
    progress.calls_done += calls
    for _ in range(calls):
        answer = Answer(text="x", input_tokens=2, output_tokens=3)
        progress.spend(answer, Used(5, usd), Used(5, usd))


def test_the_line_shows_calls_rows_cost_pace_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, progress = Clock(monkeypatch), Progress()
    progress.begin("mine", lambda: 40.0)
    assert progress.line() == "mine | 0/40 calls"
    clock.now = 10.0
    answer_calls(progress, 20, usd=0.01)
    for row_id in ("a", None, "b"):
        progress.count_row(row_id, one_of_several=False)
    assert progress.line() == (
        "mine | 20/40 calls | 2 kept, 1 dropped | 0.2000 USD | 2.0 calls/s | 10 s left | 100 tokens"
    )
    clock.now = 10_000.0  # a slow teacher is slow, never still
    assert "0.1 calls/min" in progress.line()
    progress.begin("checking rows")
    assert progress.line() == "checking rows | 2 kept, 1 dropped | 0.2000 USD | 100 tokens"


def test_answers_from_the_ledger_show_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, progress = Clock(monkeypatch), Progress()
    progress.begin("mine", lambda: 1000.0)
    clock.now = 1.0
    progress.calls_begun = progress.calls_done = progress.reused = 900
    assert progress.line() == "mine | 900/1,000 calls | 900 from the ledger"
    clock.now = 11.0
    answer_calls(progress, 10)
    assert "| 54.5 calls/min | 1 min 39 s left |" in progress.line()


def test_the_pace_is_that_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, progress = Clock(monkeypatch), Progress()
    progress.begin("mine", lambda: 10_000.0)
    for second in range(1, 301):
        clock.now = second
        answer_calls(progress, 1 if second < 200 else 10)
        progress.calls_per_s()
    assert progress.calls_per_s() == pytest.approx(10, rel=0.05)


def test_rows_of_one_source_row_with_one_id_are_kept_once() -> None:
    progress = Progress()
    for row_id in ("a", "a", None, "b"):
        progress.count_row(row_id, one_of_several=True)
    assert (progress.kept, progress.dropped) == (2, 1)


def test_rounds_have_a_total_once_the_first_has_shown_what_a_round_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    progress = Progress(rows_wanted=40, rows_of="candidates")
    progress.begin("starting the teacher")
    progress.begin_round("bootstrap", lambda: 5.0)
    clock.now = 10.0
    answer_calls(progress, 4)
    assert progress.stage_total is None and "left" not in progress.line()
    assert progress.line().startswith("bootstrap | 4 calls | 0 of 40 candidates | ")
    answer_calls(progress, 1)
    progress.report_made(10)
    progress.begin_round("bootstrap", lambda: 5.0)
    assert progress.line().startswith("bootstrap | 5/20 calls | 10 of 40 candidates | ")
    answer_calls(progress, 5)
    progress.report_made(44)  # more than were asked for: the round was the last
    assert progress.line().startswith("bootstrap | 10/10 calls | ")
    assert "candidates" not in progress.line()
    progress.begin_round("classify", lambda: 30.0)
    assert progress.line().startswith("classify | 0/30 calls | ")


@each(
    ("trying", "shown"),
    [
        ([("http 500", 4)], "1 tried again after http 500 (up to 4 more times)"),
        ([("time-out", 1)], "1 tried again after time-out (up to 1 more time)"),
        ([("http 429", None)] * 3, "3 tried again after http 429"),
        (
            [("http 500", 9), ("reset", 2), ("http 500", 7)],
            "2 tried again after http 500 (up to 9 more times) | "
            "1 tried again after reset (up to 2 more times)",
        ),
    ],
)
def test_calls_that_are_tried_again_show_why_and_how_often_they_still_are(
    trying: list[tuple[str, int | None]], shown: str
) -> None:
    progress = Progress(trying={bytes([n]): one for n, one in enumerate(trying)})
    assert progress.line() == f"starting | {shown}"


@each(
    ("usd", "lost_usd", "shown"),
    [
        (0.0, None, ""),
        (0.25, None, "0.2500 USD"),
        (0.25, 0.5, "at most 0.7500 USD"),
        (None, None, "cost unknown"),
        (None, 0.5, "at most 0.5000 USD, and 1 call of unknown cost"),
    ],
)
def test_the_cost_is_never_guessed(usd: float | None, lost_usd: float | None, shown: str) -> None:
    progress = Progress()
    answer_calls(progress, 1, usd)
    if lost_usd:
        progress.spend(None, Used(0, 0.0), Used(50, lost_usd))
    assert progress.line() == " | ".join(filter(None, ["starting", shown, "5 tokens"]))
