"""No fault of a build or its endpoint loses what was paid for, or makes a build hang."""

from __future__ import annotations

import asyncio
import http.server
import json
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from builders.engine import watchdog as watchdog_module
from builders.engine.calls import Answer, Call
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.ledger_writer import Writer
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import Teacher, TeacherSpec
from builders.engine.teacher_kinds import teacher
from builders.errors import FolderError, RecipeError, TeacherError
from builders.recipe import Raw
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Kind, Request, Rule
from tests.engine.test_executor import RECIPE, Scripted, one, seeds
from tests.forks import Forks, Run, processes_of
from tests.small_disk import resize, small_disk

BROKEN: tuple[Kind, ...] = (
    *("429", "429-date", "429-plain", "500", "502", "503", "html", "broken-json", "twice"),
    *("reset", "reset-middle", "half", "hang"),
)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.stop()


class Builds:
    """Builds of `completions` in a test's folder, against one endpoint."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self._forks, self.folder = forks, folder
        self.env: dict[str, str] = {}

    def prompts(self, count: int, text: str = "Tell me about thing {n}.") -> list[str]:
        texts = [text.format(n=n) for n in range(count)]
        lines = [json.dumps({"prompt": one}) + "\n" for one in texts]
        (self.folder / "prompts.jsonl").write_text("".join(lines))
        return texts

    def start(self, url: str, *words: str, work: str = "work", verb: str = "build") -> Run:
        options = ["completions", *(words if verb == "merge" else ()), "--work", work]
        if verb == "build":
            options += ["--teacher", url, "--prompts", "prompts.jsonl", "--rows", "2000"]
            options += ["--samples", "1", "--max-tokens", "100", "--concurrency", "8"]
        if verb != "merge":
            options += words
        return self._forks.start(verb, *options, cwd=self.folder, env=self.env)

    def done(self, url: str, *words: str, work: str = "work", verb: str = "build") -> Run:
        """Build successfully."""
        run = self.start(url, *words, work=work, verb=verb)
        assert run.wait(200) == 0, run.stderr
        assert run.silence_s < 60
        return run

    def refused(self, url: str, *words: str, verb: str = "build") -> str:
        """Build to an end with status 1; return the one line of its error."""
        run = self.start(url, *words, verb=verb)
        assert run.wait() == 1, run.stderr
        return complaint(run)

    def draft(self, work: str = "work") -> dict[str, bytes]:
        """The last draft's files by name, without the one about the run."""
        last = max((self.folder / work / "completions" / "drafts").iterdir())
        return {file.name: file.read_bytes() for file in last.iterdir() if file.name != "run.json"}

    def facts(self, work: str = "work", name: str = "draft.json") -> dict[str, Any]:
        last = max((self.folder / work / "completions" / "drafts").iterdir())
        facts: dict[str, Any] = json.loads((last / name).read_text())
        return facts

    def recorded(self, work: str = "work") -> Counter[str]:
        """The number of answers that the ledger has to each prompt."""
        path = self.folder / work / "completions" / "ledger.sqlite"
        if not path.exists():
            return Counter()
        with closing(Ledger.open(path, read_only=True)) as ledger:
            keys = [key for (key,) in ledger._rows("SELECT key FROM answers")]
            return Counter(call.text for call, _, _ in ledger.answers(keys))


@pytest.fixture
def builds(forks: Forks, tmp_path: Path) -> Builds:
    return Builds(forks, tmp_path)


def asks(endpoint: Endpoint) -> list[Request]:
    """The requests for answers; not those for the list of models."""
    return [request for request in endpoint.requests if request.method == "POST"]


def times_asked(endpoint: Endpoint) -> Counter[str]:
    return Counter(request.prompt for request in asks(endpoint))


def complaint(run: Run) -> str:
    """The one line of the error of a build that did not finish."""
    lines = [line for line in run.stderr.splitlines() if line.startswith("potstill: ")]
    assert len(lines) == 1 and "Traceback" not in run.stderr, run.stderr
    return lines[0]


# --- stopped by a person


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_calls_in_flight_answer_and_the_next_build_asks_for_the_others_only(
    builds: Builds, number: signal.Signals, status: int
) -> None:
    prompts = builds.prompts(80)
    with Endpoint(Behaviour(latency="fixed:0.3")) as endpoint:
        run = builds.start(endpoint.url)
        run.until(lambda: len(asks(endpoint)) >= 20)
        run.send(number)
        assert run.wait() == status
        notice = "SIG[A-Z]+: (.|1[0-6]) requests in flight may finish; repeat it to stop now"
        assert re.search(notice, run.stderr)
        assert "run the command again to go on" in complaint(run)
        assert 20 <= len(builds.recorded()) < 80
        assert builds.recorded() == endpoint.paid() == times_asked(endpoint)
        endpoint.set(Behaviour())
        builds.done(endpoint.url)
        assert times_asked(endpoint) == Counter(prompts)  # asked twice: none
        builds.done(endpoint.url)
        assert times_asked(endpoint) == Counter(prompts)  # nor by a build that was complete
        builds.done(endpoint.url, work="undisturbed")
    assert builds.draft() == builds.draft("undisturbed")
    assert builds.facts()["counts"]["made"] == 80


@pytest.mark.slow
def test_the_command_as_a_person_starts_it_stops_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi there."}\n{"prompt": "Who are you?"}\n')
    words = ["build", "completions", "--prompts", "prompts.jsonl", "--samples", "1", "--teacher"]
    with Endpoint(Behaviour(latency="fixed:1")) as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-m", "scripts.main", *words, endpoint.url],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while len(asks(endpoint)) < 2:
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, printed = child.communicate(timeout=20)
        assert child.returncode == 130 and "SIGINT: 2 requests in flight may finish" in printed
        assert sum(endpoint.paid().values()) == 2
    assert processes_of(child.pid) == set()


@pytest.mark.slow
def test_calls_that_do_not_answer_are_waited_for_ten_seconds_and_no_longer(builds: Builds) -> None:
    builds.prompts(20)
    with Endpoint(Behaviour(rules=[Rule("hang", contains="thing 1")])) as endpoint:
        run = builds.start(endpoint.url)
        run.until(lambda: endpoint.at_once == 8 and len(builds.recorded()) == 9)
        began = time.monotonic()
        run.send(signal.SIGTERM)
        assert run.wait() == 143  # although they never answer
        assert time.monotonic() - began > 9.5
        assert sum(builds.recorded().values()) == 9
        endpoint.set(Behaviour())
        builds.done(endpoint.url)
        asked = times_asked(endpoint)
    assert set(asked.values()) == {1, 2}
    assert all("thing 1" in prompt for prompt, times in asked.items() if times == 2)


@pytest.mark.slow
def test_a_second_signal_ends_the_build_at_once(builds: Builds) -> None:
    builds.prompts(20)
    with Endpoint(Behaviour(rules=[Rule("hang")])) as endpoint:
        run = builds.start(endpoint.url)
        run.until(lambda: len(asks(endpoint)) == 8)
        run.send(signal.SIGINT)
        run.until(lambda: "repeat it to stop now" in run.stderr)
        run.send(signal.SIGINT)
        assert run.wait(9) == 130  # a single one waits for ten seconds
        endpoint.set(Behaviour())
        builds.done(endpoint.url)


# --- killed


@pytest.mark.slow
def test_fifty_kills_lose_nothing_double_nothing_and_ask_nothing_twice(builds: Builds) -> None:
    prompts, chance = builds.prompts(800), random.Random(50)
    asked_again: Counter[str] = Counter()
    kept = [0]  # answers in the ledger after each kill
    with Endpoint(Behaviour(latency="lognormal:0.05:1")) as endpoint:
        kills = 0
        while kills < 50:
            if kills == 40:  # the last ones meet a build that has all its answers, or nearly
                endpoint.set(Behaviour())
            before, recorded = len(asks(endpoint)), set(builds.recorded())
            run = builds.start(endpoint.url)
            awaited = before + (chance.randrange(24) if kills < 40 else 0)
            while len(asks(endpoint)) < awaited and run.status is None:
                time.sleep(0.005)
            end = time.monotonic() + chance.uniform(0.0, 0.2 if kills < 40 else 1.2)
            while time.monotonic() < end and run.status is None:
                time.sleep(0.005)
            run.send(signal.SIGKILL)
            assert run.wait() in (-signal.SIGKILL, 0)
            kills += run.status == -signal.SIGKILL
            asked_again.update(
                request.prompt for request in asks(endpoint)[before:] if request.prompt in recorded
            )
            kept.append(len(builds.recorded()))
            assert kept[-1] >= kept[-2]
        before, recorded = len(asks(endpoint)), set(builds.recorded())
        builds.done(endpoint.url)
        asked_again.update(
            request.prompt for request in asks(endpoint)[before:] if request.prompt in recorded
        )
        builds.done(endpoint.url, work="undisturbed")
    assert asked_again == Counter()
    assert builds.recorded() == Counter(prompts)
    assert len(set(kept)) > 15  # many met a build that had new answers
    assert builds.draft() == builds.draft("undisturbed")
    assert builds.facts()["counts"]["made"] == 800


@pytest.mark.slow
def test_a_second_build_is_refused_and_the_lock_dies_with_its_owner(builds: Builds) -> None:
    builds.prompts(10)
    with Endpoint(Behaviour(rules=[Rule("hang")])) as endpoint:
        first = builds.start(endpoint.url)
        first.until(lambda: len(asks(endpoint)) == 8)
        second = builds.start(endpoint.url)
        assert second.wait() == 1
        assert f"another build is running in work/completions (process {first.pid})" in complaint(
            second
        )
        assert len(asks(endpoint)) == 8
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        endpoint.set(Behaviour())
        builds.done(endpoint.url)


# --- the endpoint's faults


@pytest.mark.slow
def test_an_endpoint_that_dies_for_twenty_seconds_and_returns_costs_no_row(builds: Builds) -> None:
    prompts = builds.prompts(200)
    with Endpoint(Behaviour(latency="fixed:0.1")) as endpoint:
        run = builds.start(endpoint.url)
        run.until(lambda: len(asks(endpoint)) >= 60)
        endpoint.stop()
        died = time.monotonic()
        run.until(lambda: time.monotonic() > died + 20 or run.status is not None)
        assert run.status is None
        endpoint.start()
        assert run.wait(60) == 0, run.stderr
        again = times_asked(endpoint) - Counter(prompts)
        assert builds.recorded() == Counter(prompts)
        assert sum(again.values()) <= 8  # those that were in flight when it died
        assert builds.facts()["counts"]["made"] == 200
        assert builds.facts(name="run.json")["failures"] == 0
        assert run.silence_s < 15
        builds.done(endpoint.url, work="undisturbed")
    assert builds.draft() == builds.draft("undisturbed")


@pytest.mark.slow
def test_an_endpoint_that_is_gone_for_good_stops_the_build_and_what_it_gave_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.requests._PATIENCE_S", 1.0)
    monkeypatch.setattr("builders.engine.requests._MOST_FAULTS", 3)
    with Endpoint(Behaviour(latency="fixed:0.05")) as endpoint:
        threading.Timer(0.6, endpoint.stop).start()
        with pytest.raises(TeacherError, match="nothing listens at"):
            in_process(tmp_path, endpoint.url, rows=2000)
        with closing(Ledger.open(tmp_path / "ledger.sqlite", read_only=True)) as ledger:
            arrived = [request for request in endpoint.arrived if request.method == "POST"]
            assert len(arrived) - len(ledger) <= 8


@pytest.mark.slow
def test_thirty_in_a_hundred_refusals_cost_time_and_nothing_else(builds: Builds) -> None:
    prompts = builds.prompts(60)
    kinds: tuple[Kind, ...] = ("429", "429-date", "429-plain")
    rules = [Rule(kind, share=0.112) for kind in kinds]
    with Endpoint(Behaviour(rules=rules, latency="fixed:0.02")) as endpoint:
        run = builds.done(endpoint.url)
        refused = sum(request.status == 429 for request in asks(endpoint))
        assert refused > 10
        assert endpoint.paid() == builds.recorded() == Counter(prompts)
        facts = builds.facts(name="run.json")
        assert (facts["failures"], facts["retries"]) == (0, refused)
        assert run.silence_s < 15
        endpoint.set(Behaviour())
        builds.done(endpoint.url, work="undisturbed")
    assert builds.draft() == builds.draft("undisturbed")


@pytest.mark.slow
def test_five_in_a_hundred_of_each_misbehaviour_at_once_cost_no_row(builds: Builds) -> None:
    prompts = builds.prompts(60)
    rules = [Rule(kind, share=0.05, first_n=1, seconds=1) for kind in BROKEN]
    rules += [Rule(kind, share=0.05) for kind in ("extra-fields", "trickle")]  # type: ignore[arg-type]
    with Endpoint(Behaviour(rules=rules, latency="lognormal:0.05:1")) as endpoint:
        builds.done(endpoint.url, "--timeout", "3")
        met = {request.behaviour for request in asks(endpoint)}
        assert len(met & set(BROKEN)) > 9
        assert endpoint.paid() == builds.recorded() == Counter(prompts)
        endpoint.set(Behaviour())
        builds.done(endpoint.url, work="undisturbed")
    assert builds.draft() == builds.draft("undisturbed")


@pytest.mark.slow
def test_a_call_that_cannot_succeed_is_asked_once_and_costs_its_row(builds: Builds) -> None:
    builds.prompts(40)
    rules = [Rule("400", contains="thing 7"), Rule("bad-utf8", contains="thing 8")]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        builds.done(endpoint.url)
        assert set(times_asked(endpoint).values()) == {1}
        dropped = {"too long": 1, "broken off": 1}
        assert builds.facts()["counts"] == {"made": 40, "kept": 38, "dropped": dropped}


def test_a_refused_key_stops_the_build_at_once(tmp_path: Path) -> None:
    with Endpoint(Behaviour(rules=[Rule("401")], latency="fixed:0.05")) as endpoint:
        with pytest.raises(TeacherError, match="another key"):
            in_process(tmp_path, endpoint.url, rows=500)
        assert len(asks(endpoint)) <= 8


def test_retry_after_pauses_every_call_to_the_endpoint(tmp_path: Path) -> None:
    rules = [Rule("429", contains="say 30", first_n=1, seconds=1)]
    with Endpoint(Behaviour(rules=rules, latency="fixed:0.02")) as endpoint:
        made = in_process(tmp_path, endpoint.url, rows=60)
        assert len(made) == 60 and not any("failed" in row for row in made)
        refused = next(request for request in asks(endpoint) if request.status == 429)
        assert refused.ended is not None
        gaps = [request.time - refused.ended for request in asks(endpoint)]
        assert [gap for gap in gaps if 0.1 < gap < 0.9] == []  # but for what was in flight
        assert sum(gap >= 0.9 for gap in gaps) > 10


@pytest.mark.slow
def test_the_concurrency_that_an_endpoint_can_handle_is_found_without_losing_a_row(
    builds: Builds,
) -> None:
    prompts = builds.prompts(300)
    with Endpoint(Behaviour(most_at_once=4, latency="fixed:0.05")) as endpoint:
        builds.done(endpoint.url, "--concurrency", "32")
        assert endpoint.paid() == builds.recorded() == Counter(prompts)
        refused = sum(request.status == 429 for request in asks(endpoint))
        assert 28 <= refused < 150
        late = asks(endpoint)[-200:]
        assert sum(request.status == 429 for request in late) < 60  # it has adapted


@pytest.mark.slow
def test_the_rate_that_an_endpoint_can_handle_is_kept_without_losing_a_row(builds: Builds) -> None:
    prompts = builds.prompts(150)
    with Endpoint(Behaviour(most_per_second=30, report_limits=True)) as endpoint:
        builds.done(endpoint.url, "--concurrency", "32")
        assert endpoint.paid() == builds.recorded() == Counter(prompts)


@pytest.mark.slow
def test_a_straggler_is_asked_again_and_the_loser_is_cancelled_and_counted(builds: Builds) -> None:
    prompts = builds.prompts(100)
    rules = [Rule("ok", share=0.1, first_n=1, latency="fixed:30")]
    with Endpoint(Behaviour(rules=rules, latency="fixed:0.02")) as endpoint:
        builds.done(endpoint.url, "--hedge", "0.5")
        time.sleep(0.1)
        late = [request for request in asks(endpoint) if request.client_left]
        assert len(late) == builds.facts(name="run.json")["hedges"] > 3
        assert endpoint.paid() == builds.recorded() == Counter(prompts)
    with closing(
        Ledger.open(builds.folder / "work/completions/ledger.sqlite", read_only=True)
    ) as ledger:
        [(requests, hedged)] = ledger._rows("SELECT sum(attempts), sum(hedged) FROM answers")
    assert (requests, hedged) == (100 + len(late), len(late))


# --- money


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "budget", "used"),
    [
        ("--budget-calls", 50, lambda facts: facts["calls"]),
        ("--budget-tokens", 4000, lambda facts: facts["input_tokens"] + facts["output_tokens"]),
        ("--budget-usd", 0.02, lambda facts: facts["cost_usd"]),
    ],
)
def test_a_budget_stops_a_build_before_it_is_passed_and_a_larger_one_goes_on(
    builds: Builds, flag: str, budget: float, used: Callable[[dict[str, Any]], float]
) -> None:
    prompts = builds.prompts(200)
    behaviour = Behaviour(latency="lognormal:0.05:1", tokens=60, honour_max_tokens=True)
    price = ("--price", "5/10")
    with Endpoint(behaviour) as endpoint:
        run = builds.start(endpoint.url, flag, str(budget), *price, "--concurrency", "32")
        assert run.wait() == 3
        assert f"the budget of {budget:,}" in complaint(run)
        recorded = builds.recorded()
        assert recorded == times_asked(endpoint)
        with closing(
            Ledger.open(builds.folder / "work/completions/ledger.sqlite", read_only=True)
        ) as ledger:
            spent = used(ledger.summary())
        assert 0.85 * budget < spent <= 1.01 * budget
        builds.done(endpoint.url, flag, str(100 * budget), *price)
        assert times_asked(endpoint) == Counter(prompts)


@pytest.mark.slow
def test_an_estimate_holds_the_real_use_within_its_spread(builds: Builds) -> None:
    chance = random.Random(1)
    texts = [f"Thing {n}: {'and on ' * chance.randrange(40)}" for n in range(150)]
    lines = [json.dumps({"prompt": text}) + "\n" for text in texts]
    (builds.folder / "prompts.jsonl").write_text("".join(lines))

    def answer(body: dict[str, Any]) -> str:
        drawn = random.Random(json.dumps(body))
        return " ".join(str(drawn.random()) for _ in range(drawn.randrange(5, 60)))

    with Endpoint(Behaviour(answer=answer)) as endpoint:
        price, twice = ("--price", "2/8"), ("--samples", "2", "--choose", "longest")
        run = builds.done(endpoint.url, "--estimate", "--json", *twice, *price)
        estimate = json.loads(run.stdout)
        assert len(asks(endpoint)) == estimate["sampled_calls"] == 16
        builds.done(endpoint.url, *twice, *price)
        assert set(times_asked(endpoint).values()) == {2}  # the sample is not paid for again
    spent = builds.facts()["spent"]
    writer = spent["roles"]["writer"]
    assert estimate["calls"] == writer["calls"] == 300
    tokens = writer["input_tokens"] + writer["output_tokens"]
    assert estimate["tokens"]["low"] <= tokens <= estimate["tokens"]["high"]
    assert estimate["usd"]["low"] <= spent["usd"] <= estimate["usd"]["high"]
    assert (
        estimate["tokens"]["high"] < 2 * estimate["tokens"]["expected"]
    )  # and is not too wide to be of use


@pytest.mark.slow
def test_an_unknown_price_is_reported_as_unknown_everywhere(builds: Builds) -> None:
    builds.prompts(12)
    with Endpoint() as endpoint:
        assert "USD     unknown" in builds.done(endpoint.url, "--estimate").stdout
        run = builds.done(endpoint.url)
        assert re.search(r"cost in USD +unknown", run.stdout)
        error = builds.refused(endpoint.url, "--budget-usd", "1")
        assert "price of 'scripted-model' is unknown" in error
    assert builds.facts(name="run.json")["cost_usd"] is None
    assert builds.facts()["spent"]["usd"] is None
    ledger = builds.done("", verb="ledger")
    assert "unknown" in ledger.stdout


# --- the machine's faults


@pytest.mark.slow
def test_a_full_disk_is_one_clear_line_and_room_brings_the_build_on(builds: Builds) -> None:
    with small_disk(builds.folder / "disk", "700k") as disk:
        prompts = builds.prompts(300)
        with Endpoint(Behaviour(tokens=2000, latency="fixed:0.01")) as endpoint:
            run = builds.start(endpoint.url, work="disk/work")
            assert run.wait() == 1
            assert re.search("no room left", complaint(run))
            recorded = builds.recorded("disk/work")
            assert 10 < len(recorded) < 300
            before = len(asks(endpoint))
            resize(disk, "50m")
            builds.done(endpoint.url, work="disk/work")
            again = {request.prompt for request in asks(endpoint)[before:]}
            assert again & set(recorded) == set()
            assert builds.recorded("disk/work") == Counter(prompts)


def moved_folder(ledger: Path) -> None:
    ledger.parent.rename(ledger.parents[2] / "elsewhere")


def deleted_folder(ledger: Path) -> None:
    shutil.rmtree(ledger.parent, ignore_errors=True)


def deleted_file(ledger: Path) -> None:
    ledger.unlink()


def moved_file(ledger: Path) -> None:
    ledger.rename(ledger.with_name("old.sqlite"))


def replaced_file(ledger: Path) -> None:
    copy = ledger.with_name("copy.sqlite")
    shutil.copyfile(ledger, copy)
    copy.replace(ledger)


@pytest.mark.slow
@pytest.mark.parametrize(
    "take", [moved_folder, deleted_folder, deleted_file, moved_file, replaced_file]
)
def test_a_ledger_that_is_taken_away_stops_the_build_with_one_line(
    builds: Builds, take: Callable[[Path], None]
) -> None:
    builds.prompts(400)
    ledger = builds.folder / "work" / "completions" / "ledger.sqlite"
    with Endpoint(Behaviour(latency="fixed:0.05")) as endpoint:
        run = builds.start(endpoint.url)
        run.until(lambda: len(asks(endpoint)) >= 40)
        before = len(asks(endpoint))
        take(ledger)
        assert run.wait() == 1
        why = f"{ledger}: it was moved, replaced, cut or deleted while it was in use"
        assert why in complaint(run)
        assert len(asks(endpoint)) < before + 60
        if take is moved_folder:
            (builds.folder / "elsewhere").rename(ledger.parent)
            assert sum(builds.recorded().values()) == len(asks(endpoint))


def test_a_clock_that_is_set_back_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    with Endpoint(Behaviour(rules=[Rule("429-date", first_n=1, share=0.05)])) as endpoint:
        answered = [0]

        def back() -> float:
            answered[0] += 1
            return clock() - (3600 if answered[0] > 20 else 0)

        monkeypatch.setattr("builders.engine.ledger.time.time", back)
        made = in_process(tmp_path, endpoint.url, rows=40)
        assert [row.get("failed") for row in made] == [None] * 40
        assert in_process(tmp_path, endpoint.url, rows=40) == made
        assert set(endpoint.paid().values()) == {1}


# --- no progress


def in_process(
    folder: Path,
    url: str | Teacher,
    *,
    rows: int,
    wiring: Callable[..., Any] = one,
    progress: Progress | None = None,
    run_limits: RunLimits | None = None,
) -> list[Raw]:
    """Run the engine in this process against an endpoint, with eight calls in flight."""
    who = teacher(TeacherSpec(place=url, concurrency=8)) if isinstance(url, str) else url
    with closing(Ledger.open(folder / "ledger.sqlite")) as ledger:
        facts = progress or Progress()
        with Engine(RECIPE, who, ledger, facts, seed=1, run_limits=run_limits) as engine:
            return engine(wiring, seeds(rows))


class Notes(Progress):
    """Keeps what was noted; stops the build after enough notes."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "note" and value:
            noted.append(value)
        super().__setattr__(name, value)


noted: list[str] = []


@pytest.fixture
def notes() -> Notes:
    noted.clear()
    return Notes()


def test_when_nothing_moves_the_line_shows_which_step_and_which_request_wait(
    tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "_STILL_S", 0.3)
    monkeypatch.setattr(watchdog_module, "_STUCK_S", 0.5)
    slow = Rule("ok", contains="say 3", latency="fixed:1.2")
    with Endpoint(Behaviour(rules=[slow])) as endpoint:
        made = in_process(tmp_path, endpoint.url, rows=6, progress=notes)
    assert len(made) == 6  # waiting for an answer is not being stuck
    waited = r"waiting for \d s: step 'writer' \(rows in progress: 1, queued: 0\); "
    assert re.match(waited + r"requests in flight: 1 \(writer [0-9a-f]{16} for \d s\)", noted[0])
    assert notes.note == ""


def test_a_pipeline_that_cannot_move_stops_with_an_error(
    tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "_STILL_S", 0.2)
    monkeypatch.setattr(watchdog_module, "_STUCK_S", 0.4)

    def stuck(teach: Any) -> Any:
        from builders.engine.greenlets import wait
        from builders.engine.tasks import Ask

        def never(raw: Raw) -> str:
            loop = asyncio.get_running_loop()
            wait(loop.create_future(), loop)
            return ""

        from distilabel.pipeline import Pipeline

        with Pipeline(name="stuck") as line:
            Ask(name="stuck", llm=teach("writer"), build=never, answer="x")
        return line

    with Endpoint() as endpoint, pytest.raises(RecipeError, match="nothing can move any more"):
        in_process(tmp_path, endpoint.url, rows=3, wiring=stuck, progress=notes)


def test_a_slow_pace_is_not_taken_for_standing_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "_STILL_S", 0.2)
    monkeypatch.setattr(watchdog_module, "_STUCK_S", 0.4)
    with Endpoint() as endpoint:
        run_limits = RunLimits(requests_per_minute=60)
        assert len(in_process(tmp_path, endpoint.url, rows=2, run_limits=run_limits)) == 2


def test_an_answer_that_cannot_be_recorded_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: Ledger, call: Call, answer: Answer, **more: Any) -> None:
        raise FolderError("no room")

    monkeypatch.setattr(Ledger, "record", full)
    with Endpoint(Behaviour(latency="fixed:0.05")) as endpoint:
        with pytest.raises(FolderError, match="no room"):
            in_process(tmp_path, endpoint.url, rows=200)
        assert len(asks(endpoint)) <= 16


@each("samples", [1, 3])
def test_a_limit_on_the_size_of_files_leaves_room_for_all_that_was_asked(
    tmp_path: Path, samples: int
) -> None:
    def wiring(teach: Any) -> Any:
        return one(teach, num_generations=samples)

    folder, before = tmp_path / str(samples), resource.getrlimit(resource.RLIMIT_FSIZE)
    with Endpoint(Behaviour(latency="fixed:0.01")) as endpoint:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(FolderError, match=r"no room left .* \(ulimit -f\).* run again"):
                in_process(folder, endpoint.url, rows=300, wiring=wiring)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert 20 < len(asks(endpoint)) < 300 * samples
        assert len(in_process(folder, endpoint.url, rows=300, wiring=wiring)) == 300 * samples
        assert [*times_asked(endpoint).values()] == [samples] * 300


def test_nothing_is_asked_once_an_answer_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, asked_before = Scripted(latency_s=lambda _: random.uniform(0.02, 0.06)), list[int]()
    transact = Writer._transact

    def failing(self: Writer, entries: Any) -> None:
        if asked_before:
            time.sleep(0.3)  # while the room in reserve is given up and used
        elif len(who.asked) < 40:
            return transact(self, entries)
        else:
            asked_before.append(len(who.asked))
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(Writer, "_transact", failing)
    with pytest.raises(FolderError, match="the disk fails"):
        in_process(tmp_path, who, rows=200)
    assert asked_before[0] <= len(who.asked) <= asked_before[0] + 3  # those may just have been sent


def test_while_as_many_answers_as_may_be_in_flight_are_not_recorded_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, most, transact = 0, 0, Writer._transact

    def slow(self: Writer, entries: Any) -> None:
        nonlocal written
        time.sleep(0.1)
        transact(self, entries)
        written += len(entries)

    def answer(call: Call) -> str:
        nonlocal most
        most = max(most, len(who.asked) - written)
        return "re"

    who = Scripted(answer, latency_s=lambda _: 0.002)
    monkeypatch.setattr(Writer, "_transact", slow)
    rows = in_process(tmp_path, who, rows=40, wiring=lambda teach: one(teach, num_generations=4))
    assert len(rows) == 160 and most <= 2 * who.concurrency + 1


# --- secrets

KEY = "sk-planted-0123456789-+bc/def"


class Echo(http.server.BaseHTTPRequestHandler):
    """Repeats the key it was sent wherever it can: in answers, errors, headers and names."""

    protocol_version = "HTTP/1.1"
    failed: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": f"model-{KEY}"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert "Bearer sk-planted" in self.headers["authorization"]
        prompt = body["messages"][-1]["content"]
        if prompt.endswith("400"):
            self.reply(400, {"error": {"message": "x" * 185 + f" {KEY} {KEY}"}})
        elif prompt.endswith("413"):
            self.reply(413, {"error": [KEY, {KEY: KEY}]})
        elif prompt.endswith("422"):
            self.reply(422, f"plain {KEY}")
        elif prompt.endswith("500") and prompt not in self.failed:
            self.failed.add(prompt)
            self.reply(500, f"<html>{KEY}")
        else:
            tool = {"id": KEY, "function": {"name": KEY, "arguments": f'"{KEY}"'}}
            message = {"role": KEY, "content": f"It is {KEY}, of course.", "reasoning": KEY}
            logprobs = {"content": [{"token": KEY, KEY: 0.5}]}
            choice = {"message": {**message, "tool_calls": [tool]}, "logprobs": logprobs}
            choice["finish_reason"] = f"stop {KEY}"
            self.reply(200, {"choices": [choice], "model": KEY, "id": KEY, "usage": {KEY: KEY}})

    def reply(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status, f"no {KEY[:10]}")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-echo", KEY.encode("ascii", "replace").decode())
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


def texts_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """All that was written: the bytes of each file, and the values in compressed files."""
    import pyarrow.parquet as pq

    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield file, file.read_bytes().decode("utf-8", "replace")
        if file.suffix == ".parquet":
            yield file, json.dumps(pq.read_table(file).to_pylist(), ensure_ascii=False)


@pytest.mark.slow
def test_a_key_is_found_nowhere_in_what_a_build_writes(builds: Builds) -> None:
    texts = [f"Say {n} {code}" for n in range(5) for code in ("well", 400, 413, 422, 500)]
    lines = [json.dumps({"prompt": text}) + "\n" for text in texts]
    (builds.folder / "prompts.jsonl").write_text("".join(lines))
    builds.env = {"POTSTILL_API_KEY": KEY}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        run = builds.done(url)
        assert re.search(r"dropped: refused by the endpoint +10", run.stdout)
        builds.done("", "--export", "answers.parquet", verb="ledger")
        address = "http://{}:{}@127.0.0.1:9/v1?api-key={}".format(*[KEY[:20]] * 3)
        assert "remove one" in builds.refused(address)
        builds.env = {}
        assert "nothing listens at http://127.0.0.1:9/v1 " in builds.refused(address)
    finally:
        server.shutdown()
        server.server_close()
    written = list(texts_in(builds.folder))
    names = {file.name for file, _ in written}
    assert {"answers.parquet", "ledger.sqlite", "build.json", "dropped.parquet"} <= names
    everything = "\n".join(text for _, text in written)
    assert "[key]" in everything  # it was echoed, and was replaced
    for part in (KEY, "sk-planted", "0123456789-"):
        assert [str(file) for file, text in written if part in text] == []


@pytest.mark.slow
def test_a_crash_is_shown_without_the_values_of_variables(tmp_path: Path) -> None:
    code = "from builders.engine.executor_import import imported_executor\n"
    code += "key = 'sk-planted'\nimported_executor()\n1 / 0\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "ZeroDivisionError" in done.stderr and "sk-planted" not in done.stderr


# --- in parts, and again


@pytest.mark.slow
def test_shards_that_are_merged_are_the_single_build_to_the_byte(builds: Builds) -> None:
    prompts = builds.prompts(60)
    rules = [Rule("400", contains="thing 7."), Rule("length", contains="thing 9.")]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        builds.done(endpoint.url, work="single")
        for part in (1, 2):
            run = builds.done(endpoint.url, "--shard", f"{part}/3")
            assert f"shard {part}/3: the answers to" in run.stdout
        assert "3/3 is missing" in builds.refused("", verb="merge")
        builds.done(endpoint.url, "--shard", "3/3")
        assert times_asked(endpoint) == Counter(prompts) + Counter(prompts)
        asked = len(asks(endpoint))
        builds.done("", verb="merge")
        assert builds.draft() == builds.draft("single")
        assert builds.facts()["counts"]["dropped"] == {"cut off": 1, "too long": 1}
        builds.done(endpoint.url, "--shard", "1/2")
        assert "name the folders of one division" in builds.refused("", verb="merge")
        builds.done(endpoint.url, "--shard", "2/2", "--seed", "7")
        folders = [f"work/completions/shards/00{part}-of-002" for part in (1, 2)]
        error = builds.refused("", *folders, verb="merge")
        assert "shard of another build" in error and "seed is 7, not 42" in error
        assert len(asks(endpoint)) == asked + 60


@pytest.mark.slow
def test_a_set_whose_pool_grows_from_all_rows_refuses_to_be_sharded(
    forks: Forks, tmp_path: Path
) -> None:
    run = forks.start("build", "instructions", "--shard", "1/3", cwd=tmp_path)
    assert run.wait() == 1
    assert "instructions cannot be sharded" in complaint(run)


@pytest.mark.slow
def test_a_build_is_made_again_from_its_ledger_without_a_request(builds: Builds) -> None:
    builds.prompts(40)
    rules = [Rule("400", contains="thing 7."), Rule("length", contains="thing 9.")]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        assert "there is no ledger in" in builds.refused(endpoint.url, "--from-ledger")
        builds.done(endpoint.url)
        whole, asked = builds.draft(), len(endpoint.requests)
        drafts = builds.folder / "work/completions/drafts"
        (drafts / "0001").rename(builds.folder / "first")
        builds.done(endpoint.url, "--from-ledger")
        assert builds.draft() == whole
        assert len(endpoint.requests) == asked
        error = builds.refused(endpoint.url, "--from-ledger", "--samples", "2")
        assert "the ledger has no answer to call" in error
