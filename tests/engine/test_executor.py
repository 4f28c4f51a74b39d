"""Any distilabel pipeline, run row by row: what comes out depends on the rows, never on timing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distilabel.pipeline import Pipeline, routing_batch_function, sample_n_steps
from distilabel.steps import (
    ExpandColumns,
    GlobalStep,
    GroupColumns,
    KeepColumns,
    LoadDataFromDicts,
    Step,
    StepInput,
    StepResources,
    step,
)
from distilabel.steps.tasks import EvolInstruct, TextGeneration, UltraFeedback
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.engine import executor
from builders.engine.calls import Answer, Call, Failure
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.progress import Progress
from builders.engine.tasks import Ask
from builders.errors import RecipeError, Stopped, TeacherError
from builders.recipe import Raw, Recipe, Seeds
from builders.schema import PROMPT_COMPLETION
from tests.forks import processes_of

RECIPE = Recipe(
    name="tiny",
    makes="whatever a test wires",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(form="prompts", source="none"),
    roles={"writer": "answers", "judge": "rates"},
    rows=1,
    rows_of="rows",
    pipeline=lambda teach: None,
    row=lambda raw: raw,
)
Wiring = Callable[..., Any]


@dataclass
class Scripted:
    """A teacher in this process that answers from a function, after `latency_s`."""

    answer: Callable[[Call], str] = lambda call: f"re {call.text}"
    latency_s: Callable[[Call], float] = lambda call: 0.0
    concurrency: int = 8
    name: str = "scripted"
    model: str = "scripted"
    revision: str | None = None
    learned: dict[str, str] = field(default_factory=dict)
    asked: list[Call] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def identity(self) -> dict[str, Any]:
        return {"kind": "scripted", "model": self.model, "licence": "cc0-1.0"}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def ask(self, call: Call) -> Answer:
        self.asked.append(call)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.latency_s(call))
            return Answer(text=self.answer(call), input_tokens=1, output_tokens=1)
        finally:
            self.at_once -= 1


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., list[Raw]]]:
    """Runs a wiring over rows with a teacher, on a ledger of this test."""
    ledger = Ledger.open(tmp_path / "ledger.sqlite")

    def run(
        wiring: Wiring,
        rows: Sequence[Raw],
        teacher: Scripted | None = None,
        anew: bool = False,
    ) -> list[Raw]:
        nonlocal ledger
        if anew:
            ledger.close()
            (tmp_path / "ledger.sqlite").unlink()
            ledger = Ledger.open(tmp_path / "ledger.sqlite")
        with Engine(RECIPE, teacher or Scripted(), ledger, Progress(), seed=1) as engine:
            return engine(wiring, rows)

    yield run
    ledger.close()


def seeds(count: int) -> list[Raw]:
    return [{"instruction": f"say {number}"} for number in range(count)]


def number(row: Raw) -> int:
    """Which of `seeds` a row comes from."""
    return int(str(row["instruction"]).split()[-1])


def lengths(call: Call) -> float:
    """A latency that reverses the order of rows many times."""
    return int(call.id[:2], 16) / 256 * 0.02


def test_rows_are_given_while_others_are_still_asked_for_and_sort_as_the_seeds(
    tmp_path: Path,
) -> None:
    teacher = Scripted(latency_s=lambda call: 0.3 if call.text == "say 0" else 0.0)
    with (
        contextlib.closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger,
        Engine(RECIPE, teacher, ledger, Progress(), seed=1) as engine,
    ):
        given = list(engine.stream(one, seeds(4)))
    assert number(given[-1][1]) == 0
    assert [number(row) for _, row in sorted(given, key=lambda pair: pair[0])] == [0, 1, 2, 3]


def test_no_more_is_asked_for_rows_that_nobody_takes(tmp_path: Path) -> None:
    teacher = Scripted(latency_s=lambda _: 0.01)
    with (
        contextlib.closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger,
        Engine(RECIPE, teacher, ledger, Progress(), seed=1) as engine,
    ):
        next(engine.stream(one, seeds(2000)))
    assert 1 <= len(teacher.asked) < 500
    assert teacher.at_once == 0


def one(teach: Any, **options: Any) -> Any:
    with Pipeline(name="one") as line:
        TextGeneration(name="writer", llm=teach("writer"), **options)
    return line


def judged(teach: Any) -> Any:
    with Pipeline(name="judged") as line:
        writers = [
            TextGeneration(name=f"writer_{name}", llm=teach("writer", temperature=heat))
            for name, heat in (("a", 0.1), ("b", 0.9))
        ]
        group = GroupColumns(
            columns=["generation", "model_name"], output_columns=["generations", "model_names"]
        )
        writers >> group >> UltraFeedback(name="judge", llm=teach("judge"), aspect="overall-rating")
    return line


def rating(call: Call) -> str:
    if call.role == "writer":
        return f"{call.sampling['temperature']} re {call.text}"
    parts = [f"#### Output for Text {at}\nRating: {at + 2}\nRationale: so" for at in (1, 2)]
    return "\n\n".join(parts)


# --- tasks


def test_each_row_gets_the_answer_to_its_own_instruction_in_the_order_of_the_seeds(
    run: Any,
) -> None:
    made = run(one, seeds(40), Scripted(latency_s=lengths))
    assert [row["generation"] for row in made] == [f"re say {n}" for n in range(40)]
    assert [number(row) for row in made] == list(range(40))
    assert all(len(row["llm_writer_call"]) == 16 for row in made)


def test_several_generations_are_rows_of_their_own_or_one_row_with_a_list(run: Any) -> None:
    teacher = Scripted(answer=lambda call: f"{call.sample} {call.text}", latency_s=lengths)
    apart = run(lambda teach: one(teach, num_generations=3), seeds(5), teacher)
    texts = [[f"{sample} say {n}" for sample in range(3)] for n in range(5)]
    assert [row["generation"] for row in apart] == [text for row in texts for text in row]
    together = run(
        lambda teach: one(teach, num_generations=3, group_generations=True), seeds(5), teacher
    )
    assert [row["generation"] for row in together] == texts
    assert len(teacher.asked) == 15  # the second run found them all in the ledger


def test_a_sample_without_an_answer_is_none_among_its_siblings(run: Any) -> None:
    def answer(call: Call) -> str:
        if call.sample == 1:
            raise Failure("http 400", "too long")
        return str(call.sample)

    [row] = run(
        lambda teach: one(teach, num_generations=3, group_generations=True),
        seeds(1),
        Scripted(answer=answer),
    )
    assert row["generation"] == ["0", None, "2"]
    assert [lost and lost["reason"] for lost in row["llm_writer_lost"]] == [None, "http 400", None]


def test_two_writers_and_a_judge_meet_in_the_row_that_is_theirs(run: Any) -> None:
    made = run(judged, seeds(25), Scripted(answer=rating, latency_s=lengths))
    assert [row["generations"] for row in made] == [
        [f"0.1 re say {n}", f"0.9 re say {n}"] for n in range(25)
    ]
    assert all(row["ratings"] == [3, 4] for row in made)


def test_a_task_that_asks_several_times_evolves_each_row_on_its_own(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="evol") as line:
            EvolInstruct(name="evol", llm=teach("writer"), num_evolutions=3, store_evolutions=True)
        return line

    def answer(call: Call) -> str:
        [(times, n)] = re.findall(r"(?:(\d+) times )?say (\d+)", call.text)
        return f"{int(times or 0) + 1} times say {n}"

    made = run(line, seeds(12), Scripted(answer=answer, latency_s=lengths))
    assert [row["evolved_instructions"] for row in made] == [
        [f"{times} times say {n}" for times in (1, 2, 3)] for n in range(12)
    ]
    assert all(len(row["llm_evol_call"]) == 3 for row in made)  # so that each call has its row


def test_a_row_that_is_lost_names_the_calls_that_were_answered_before(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="evol") as line:
            EvolInstruct(name="evol", llm=teach("writer"), num_evolutions=3)
        return line

    def answer(call: Call) -> str:
        if "once" in call.text:
            raise Failure("http 400", "no")
        return "once more"

    teacher = Scripted(answer=answer)
    [row] = run(line, seeds(1), teacher)
    assert (row["failed"], row["failed_step"]) == ("http 400", "evol")
    assert row["llm_evol_call"] == [call.id for call in teacher.asked]


def test_the_random_numbers_of_a_row_do_not_depend_on_when_it_is_processed(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="evol") as line:
            EvolInstruct(name="evol", llm=teach("writer"), num_evolutions=2)
        return line

    quick = Scripted(answer=lambda call: f"say {call.id}")  # so that the second draw counts, too
    slow = Scripted(quick.answer, latency_s=lambda call: random.SystemRandom().random() / 50)
    run(line, seeds(20), quick)
    run(line, seeds(20), slow, anew=True)
    assert {call.key for call in quick.asked} == {call.key for call in slow.asked}
    mutations = {re.sub(r"say \w+", "", call.text) for call in quick.asked}
    assert len(mutations) > 3  # and not the same for all


def test_the_same_call_made_by_two_rows_and_two_steps_is_sent_once(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="twice") as line:
            steps = [TextGeneration(name=name, llm=teach(name)) for name in ("writer", "judge")]
            steps >> GroupColumns(columns=["generation"])
        return line

    teacher = Scripted(latency_s=lambda call: 0.02)
    made = run(line, [{"instruction": "say 1"}] * 10, teacher)
    assert [row["grouped_generation"] for row in made] == [["re say 1"] * 2] * 10
    assert len(teacher.asked) == 1


def test_no_more_is_in_flight_than_allowed_and_no_more_rows_at_work_than_a_window(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: Counter[str] = Counter()
    compute = executor.Execution._compute

    async def watched(self: Any, node: Any, items: Any, **options: Any) -> Any:
        queued = node.ready.qsize() + node.working
        most[node.name] = max(most[node.name], queued)
        return await compute(self, node, items, **options)

    monkeypatch.setattr(executor.Execution, "_compute", watched)
    teacher = Scripted(answer=rating, latency_s=lambda call: 0.001, concurrency=4)
    made = run(judged, seeds(300), teacher)
    assert len(made) == 300
    assert teacher.most_at_once == 4
    assert max(most.values()) <= 4 * 2 * 4  # a queue of two windows before it, a window at work


# --- other steps


@step(inputs=["generation"], outputs=["words"])
def counted(inputs: StepInput) -> Any:
    for row in inputs:
        row["words"] = len(row["generation"].split())
    yield inputs


@step(inputs=["generation"], outputs=[])
def picky(inputs: StepInput) -> Any:
    """Keeps even rows, gives fours twice, and breaks at 7."""
    kept = []
    for row in inputs:
        n = number(row)
        if n == 7:
            raise ValueError("seven")
        if n % 2 == 0:
            kept += [dict(row)] * (2 if n % 4 == 0 else 1)
    yield kept


def after(task: Wiring, *steps: Callable[[], Any]) -> Wiring:
    """The pipeline of a task and these steps after it."""

    def line(teach: Any) -> Any:
        with Pipeline(name="line") as line:
            last = TextGeneration(name="writer", llm=teach("writer"))
            for make in steps:
                last = last >> make()
        return line

    return line


def test_a_step_of_batches_sees_every_row_once(run: Any) -> None:
    made = run(after(one, lambda: counted(name="count")), seeds(120), Scripted(latency_s=lengths))
    assert [number(row) for row in made] == list(range(120))
    assert {row["words"] for row in made} == {3}


def test_what_a_step_filters_multiplies_or_fails_on_is_reported_row_by_row(run: Any) -> None:
    made = run(after(one, lambda: picky(name="picky")), seeds(12), Scripted(latency_s=lengths))
    fates = [(number(row), row.get("failed"), row.get("failed_step")) for row in made]
    assert fates == [
        *[(0, None, None), (0, None, None), (1, "filtered", "picky"), (2, None, None)],
        *[(3, "filtered", "picky"), (4, None, None), (4, None, None), (5, "filtered", "picky")],
        *[(6, None, None), (7, "step error", "picky"), (8, None, None), (8, None, None)],
        *[(9, "filtered", "picky"), (10, None, None), (11, "filtered", "picky")],
    ]
    assert made[9]["failed_why"] == "ValueError: seven"


def test_rows_that_lose_all_their_columns_but_one_stay_in_order(run: Any) -> None:
    made = run(after(one, lambda: KeepColumns(columns=["generation"])), seeds(60))
    assert made == [{"generation": f"re say {n}"} for n in range(60)]


def test_a_batch_that_broke_is_done_again_with_the_rows_as_they_were(run: Any) -> None:
    @step(inputs=["tags"], outputs=["tags"])
    def tagging(inputs: StepInput) -> Any:
        for row in inputs:
            row["tags"].append("seen")
            if row["tags"][0] == 5:
                raise ValueError("five")
        yield inputs

    def line(teach: Any) -> Any:
        with Pipeline(name="tags") as line:
            tagging(name="tagging")
        return line

    rows = [{"tags": [n]} for n in range(10)]
    made = run(line, rows)
    assert [row["tags"] for row in made if "failed" not in row] == [
        [n, "seen"] for n in range(10) if n != 5
    ]
    assert rows == [{"tags": [n]} for n in range(10)]  # and the caller's rows are its own


def test_branches_do_not_see_what_others_do_to_their_rows(run: Any) -> None:
    @step(inputs=["tags"], outputs=["tags"])
    def tagging(inputs: StepInput) -> Any:
        for row in inputs:
            row["tags"].append(f"{len(row['tags'])}")
        yield inputs

    def line(teach: Any) -> Any:
        with Pipeline(name="tags") as line:
            first = Ask(name="a", llm=teach("writer"), build=lambda raw: "hi", answer="x")
            steps = [tagging(name=f"tag_{mark}") for mark in "bcd"]
            first >> steps >> GroupColumns(columns=["tags"])
        return line

    made = run(line, [{"tags": ["a"]} for _ in range(10)])
    assert [row["grouped_tags"] for row in made] == [[["a", "1"]] * 3] * 10


class Summed(GlobalStep):
    """How many rows there are, in a column of each."""

    @property
    def inputs(self) -> list[str]:
        return ["generation"]

    @property
    def outputs(self) -> list[str]:
        return ["of", "place"]

    def process(self, inputs: StepInput) -> Any:
        for place, row in enumerate(inputs):
            row |= {"of": len(inputs), "place": place}
        yield inputs


@step(inputs=[], outputs=["total"], step_type="global")
def total(inputs: StepInput) -> Any:
    yield [{"total": len(inputs)}]


@step(inputs=[], outputs=[], step_type="global")
def none_left(inputs: StepInput) -> Any:
    yield []


@step(inputs=[], outputs=[], step_type="global")
def broken(inputs: StepInput) -> Any:
    raise ValueError("no room")
    yield inputs


def test_a_global_step_sees_all_rows_at_once_in_the_order_of_the_seeds(run: Any) -> None:
    made = run(after(one, Summed), seeds(70), Scripted(latency_s=lengths))
    assert [(number(row), row["place"], row["of"]) for row in made] == [
        (n, n, 70) for n in range(70)
    ]


def test_a_global_step_may_give_rows_of_its_own_or_filter_all_which_is_counted(run: Any) -> None:
    assert run(after(one, lambda: total(name="total")), seeds(9)) == [{"total": 9}]
    made = run(after(one, lambda: none_left(name="none")), seeds(9))
    assert [row["failed"] for row in made] == ["filtered"] * 9


def test_a_global_step_after_two_steps_gets_the_rows_of_both_in_one_order(run: Any) -> None:
    @step(inputs=["generation"], outputs=["pairs"], step_type="global")
    def paired(*inputs: StepInput) -> Any:
        yield [
            {"pairs": [row["generation"] for row in rows], "of": len(inputs[0])}
            for rows in zip(*inputs, strict=True)
        ]

    def line(teach: Any) -> Any:
        with Pipeline(name="pairs") as line:
            steps = [
                TextGeneration(name=name, llm=teach("writer", temperature=heat))
                for name, heat in (("a", 0.1), ("b", 0.9))
            ]
            steps >> paired(name="pair")
        return line

    made = run(line, seeds(30), Scripted(answer=rating, latency_s=lengths))
    assert made == [{"pairs": [f"0.1 re say {n}", f"0.9 re say {n}"], "of": 30} for n in range(30)]


def test_a_generator_step_replaces_the_seeds(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="load") as line:
            load = LoadDataFromDicts(data=seeds(120), batch_size=7)
            load >> TextGeneration(name="writer", llm=teach("writer"))
        return line

    made = run(line, [], Scripted(latency_s=lengths))
    assert [row["generation"] for row in made] == [f"re say {n}" for n in range(120)]


def test_a_list_that_is_expanded_gives_rows_in_the_list_s_order(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="expand") as line:
            expand = ExpandColumns(columns={"parts": "instruction"})
            expand >> TextGeneration(name="writer", llm=teach("writer"))
        return line

    rows = [{"parts": [f"say {10 * n + m}" for m in range(3)]} for n in range(30)]
    made = run(line, rows, Scripted(latency_s=lengths))
    assert [number(row) for row in made] == [10 * n + m for n in range(30) for m in range(3)]


# --- routes


def routed_line(route: Any, *, long: bool = False) -> Wiring:
    def line(teach: Any) -> Any:
        with Pipeline(name="routes") as line:
            first = Ask(
                name="first", llm=teach("writer"), build=lambda raw: raw["instruction"], answer="x"
            )
            steps: list[Any] = [
                TextGeneration(name=f"to_{name}", llm=teach("writer", temperature=heat))
                for name, heat in (("a", 0.1), ("b", 0.5), ("c", 0.9))
            ]
            group = GroupColumns(name="group", columns=["generation"], input_batch_size=1)
            first >> route >> steps
            if long:
                ends = [counted(name=f"count_{at}") for at in range(3)]
                for one_step, end in zip(steps, ends, strict=True):
                    one_step >> end
                steps = ends
            steps >> group
        return line

    return line


@pytest.mark.parametrize("long", [False, True])
def test_a_routed_row_is_joined_from_the_branches_it_took(run: Any, long: bool) -> None:
    teacher = Scripted(answer=lambda call: str(call.sampling.get("temperature")), latency_s=lengths)
    first = run(routed_line(sample_n_steps(2), long=long), seeds(30), teacher)
    ways = Counter(tuple(row["grouped_generation"]) for row in first)
    assert set(ways) == {("0.1", "0.5"), ("0.1", "0.9"), ("0.5", "0.9")}
    asked = len(teacher.asked)
    assert run(routed_line(sample_n_steps(2), long=long), seeds(30), teacher) == first
    assert len(teacher.asked) == asked  # the second time each row goes the same way


def test_a_row_that_is_sent_nowhere_is_counted_and_a_step_that_is_not_there_is_named(
    run: Any,
) -> None:
    nowhere = routing_batch_function()(lambda steps: [])
    assert [row["failed"] for row in run(routed_line(nowhere), seeds(3))] == ["filtered"] * 3
    astray = routing_batch_function()(lambda steps: ["to_z"])
    with pytest.raises(RecipeError, match=r"'first' failed .*'to_z'"):
        run(routed_line(astray), seeds(3))


# --- keys


def drawing(teach: Any, name: str) -> Any:
    """A task whose prompt has a random number."""
    return Ask(
        name=name,
        llm=teach("writer"),
        build=lambda _: f"{random.randrange(1000)} {np.random.randint(1000)}",
        answer="drawn",
    )


def uneven(teach: Any) -> Any:
    """Multiplies some rows, then joins a branch of one step and a branch of two."""
    with Pipeline(name="uneven") as line:
        some, count = picky(name="picky"), counted(name="count")
        near, far = drawing(teach, "near"), drawing(teach, "far")
        TextGeneration(name="writer", llm=teach("writer")) >> some >> [near, count]
        count >> far
        [near, far] >> GroupColumns(columns=["drawn"], input_batch_size=1)
    return line


def test_a_key_grows_only_where_a_step_made_several_rows_and_seeds_random_numbers(
    run: Any,
) -> None:
    made = run(uneven, seeds(6), Scripted(latency_s=lengths))
    # They follow from seed, step, content and key: others would be other calls, paid for again.
    assert [(number(row), row.get("failed") or row["grouped_drawn"]) for row in made] == [
        (0, ["re 318 292", "re 958 39"]),
        (0, ["re 962 328", "re 572 286"]),
        (1, "filtered"),
        (2, ["re 176 127", "re 362 382"]),
        (3, "filtered"),
        (4, ["re 72 500", "re 89 414"]),
        (4, ["re 169 996", "re 131 675"]),
        (5, "filtered"),
    ]


def numbered(*places: int) -> list[Raw]:
    """Rows with the ids of their numbers."""
    return [{"id": f"id {place}", "instruction": f"say {place}"} for place in places]


@step(inputs=["instruction"], outputs=["dice"])
def dicing(inputs: StepInput) -> Any:
    """Draws nothing for every sixth row, and more often for some than for others."""
    for row in inputs:
        row["dice"] = [random.random() for _ in range(number(row) % 3)]
        if number(row) % 2:
            row["dice"].append(np.random.rand())
    yield inputs


DRAWS: dict[str, Callable[[], object]] = {
    "os.urandom": lambda: os.urandom(9).hex(),
    "Random()": lambda: random.Random().random(),
    "random.seed()": lambda: (random.seed(), random.random())[1],
    "SystemRandom": lambda: random.SystemRandom().randrange(10**9),
    "secrets": lambda: [secrets.token_hex(), secrets.randbelow(10**9), secrets.choice(range(999))],
    "uuid4": lambda: str(uuid.uuid4()),
    "default_rng()": lambda: np.random.default_rng().random(),
    "RandomState()": lambda: np.random.RandomState().random_sample(),
    "numpy.random.seed()": lambda: (np.random.seed(), np.random.rand())[1],
}


@step(inputs=["instruction"], outputs=["drawn"])
def undecided(inputs: StepInput) -> Any:
    """Draws without a seed, for two rows of three."""
    for row in inputs:
        row["drawn"] = {name: draw() for name, draw in DRAWS.items() if number(row) % 3}
    yield inputs


@step(inputs=["dice"], outputs=["lot"], step_type="global")
def lots(inputs: StepInput) -> Any:
    lots = np.random.permutation(len(inputs))
    random.shuffle(inputs)
    yield [row | {"lot": int(lot)} for row, lot in zip(inputs, lots, strict=True)]


def chancy(*, cpus: int | None = None, whole: bool = False) -> Wiring:
    """A task, plain steps and a route, which all draw; `whole` adds a global step."""

    def line(teach: Any) -> Any:
        with Pipeline(name="chancy") as line:
            plain = StepResources(cpus=cpus)
            dice = dicing(name="dice", resources=plain, input_batch_size=7)
            drawing(teach, "near") >> dice
            last = dice >> lots(name="lots", resources=plain) if whole else dice
            ends = [TextGeneration(name=name, llm=teach("writer")) for name in ("left", "right")]
            last >> sample_n_steps(1) >> ends >> GroupColumns(columns=["generation"])
        return line

    return line


def test_chance_follows_the_id_of_a_row_in_every_step(run: Any) -> None:
    """So that shards make the calls of the whole, and a new first row costs one row."""
    rows = numbered(*range(24))
    made = run(chancy(), rows)
    assert len({repr(row["dice"]) for row in made}) == 21 and number(made[6]) == 6
    slow = Scripted(latency_s=lambda call: random.SystemRandom().random() / 50)
    assert run(chancy(), rows, slow, anew=True) == made
    assert run(chancy(), rows[1::2], slow, anew=True) == made[1::2]
    assert run(chancy(), rows[::2], slow) == made[::2]
    slow.asked.clear()
    assert run(chancy(), [*numbered(99), *rows], slow)[1:] == made
    assert len(slow.asked) == 2


def test_rows_without_an_id_draw_by_their_content_and_equal_ones_differ(run: Any) -> None:
    made = run(chancy(), seeds(12))
    assert run(chancy(), seeds(20)[:1:-1], anew=True)[::-1][:10] == made[2:]
    same = run(chancy(), [{"instruction": "say 5", "when": time.localtime}] * 9, anew=True)
    assert len({repr(row["dice"]) for row in same}) == 9


def test_entropy_in_a_step_follows_from_the_row_and_elsewhere_from_the_system(run: Any) -> None:
    def line(teach: Any) -> Any:
        with Pipeline(name="drawing") as line:
            first, later = undecided(name="first"), undecided(name="later")
            ask = Ask(
                name="ask",
                llm=teach("writer"),
                build=lambda row: f"{row['instruction']} {row['drawn']} {uuid.uuid4()}",
                answer="x",
            )
            first >> ask >> later
        return line

    made = run(line, numbered(*range(24)))
    for name in DRAWS:
        assert len({str(row["drawn"][name]) for row in made if row["drawn"]}) == 16, name
    slow = Scripted(latency_s=lambda call: random.SystemRandom().random() / 50)
    assert run(line, [*numbered(99), *numbered(*range(24))], slow)[1:] == made
    assert len(slow.asked) == 1  # the same prompts: only the new row is asked
    for name, draw in DRAWS.items():
        random.seed(1)
        one = draw()
        random.seed(1)
        assert draw() != one, name


def test_a_global_step_that_draws_gives_the_same_rows_again(run: Any) -> None:
    made = run(chancy(whole=True), numbered(*range(24)))
    assert sorted(row["lot"] for row in made) == [*range(24)] != [row["lot"] for row in made]
    slow = Scripted(latency_s=lambda call: random.SystemRandom().random() / 50)
    assert run(chancy(whole=True), numbered(*range(24)), slow, anew=True) == made


@pytest.mark.slow
def test_a_step_draws_the_same_in_a_process_as_in_a_thread(run: Any) -> None:
    made = run(chancy(whole=True), numbered(*range(24)))
    assert run(chancy(cpus=2, whole=True), numbered(*range(24)), anew=True) == made


def test_a_row_that_two_branches_lose_is_lost_once(run: Any) -> None:
    """Also where one branch loses a part of what the other loses as a whole."""

    def line(teach: Any) -> Any:
        with Pipeline(name="lost") as line:
            first = counted(name="count")
            whole = Ask(
                name="whole", llm=teach("writer"), build=lambda raw: raw["instruction"], answer="x"
            )
            parts = picky(name="parts")
            part = Ask(
                name="part", llm=teach("judge"), build=lambda raw: raw["instruction"], answer="x"
            )
            first >> [whole, parts]
            parts >> part
            [whole, part] >> GroupColumns(columns=["x"], input_batch_size=1)
        return line

    def refused(call: Call) -> str:
        raise Failure("http 400", "no")

    rows = [row | {"generation": "given"} for row in seeds(5)]
    for late in ("writer", "judge"):
        teacher = Scripted(refused, lambda call, late=late: 0.02 * (call.role == late))  # type: ignore[misc]
        made = run(line, rows, teacher)
        # Zero and four come twice from `parts`, odd ones not at all.
        assert [(number(row), row["failed_step"]) for row in made] == [
            (n, "whole") for n in range(5)
        ]


# --- timing


def everything(teach: Any) -> Any:
    """Two writers, a join, a step that breaks, filters and multiplies, a branch and its join."""
    with Pipeline(name="everything") as line:
        writers = [
            TextGeneration(name=f"writer_{name}", llm=teach("writer", temperature=heat))
            for name, heat in (("a", 0.1), ("b", 0.9))
        ]
        group = GroupColumns(columns=["generation"], output_columns=["generation"])
        some = picky(name="picky")
        ends = [
            Ask(
                name=f"end_{name}",
                llm=teach("judge", stop=name),
                build=lambda raw: f"{raw['instruction']}{raw['generation']}",
                answer="end",
            )
            for name in "xy"
        ]
        writers >> group >> some >> ends >> GroupColumns(columns=["end"])
    return line


def at_random(call: Call) -> str:
    if int(call.id[:2], 16) < 24:
        raise Failure("http 400", f"{call.role} refuses {call.id}")
    return f"{call.sampling} {call.text}"


UNDISTURBED: dict[int, list[Raw]] = {}


@given(st.integers(0, 25), st.randoms(use_true_random=False), st.integers(1, 9))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_and_reasons_are_the_same_whatever_the_timing(
    run: Any, rows: int, chance: random.Random, concurrency: int
) -> None:
    if rows not in UNDISTURBED:
        UNDISTURBED[rows] = run(everything, seeds(rows), Scripted(answer=at_random), anew=True)
    late = Scripted(
        answer=at_random, latency_s=lambda call: chance.random() * 0.01, concurrency=concurrency
    )
    assert run(everything, seeds(rows), late, anew=True) == UNDISTURBED[rows]
    made = UNDISTURBED[rows]
    assert {number(row) for row in made} == set(range(rows))  # none vanished
    assert max(Counter(number(row) for row in made if "failed" in row).values(), default=0) <= 2


def test_where_two_branches_lose_a_row_the_earlier_step_is_named(run: Any) -> None:
    for slow in (0.1, 0.9):

        def answer(call: Call) -> str:
            raise Failure("http 400", str(call.sampling["temperature"]))

        teacher = Scripted(
            answer=answer,
            latency_s=lambda call, slow=slow: 0.02 if call.sampling["temperature"] == slow else 0,  # type: ignore[misc]
        )
        [row] = run(judged, seeds(1), teacher)
        assert (row["failed"], row["failed_step"], row["failed_why"]) == (
            *("http 400", "writer_a"),
            "0.1",
        )


# --- errors


def test_a_step_that_fails_on_everything_stops_the_build_with_the_reason(run: Any) -> None:
    @step(inputs=["generation"], outputs=[])
    def hopeless(inputs: StepInput) -> Any:
        for row in inputs:
            raise KeyError(row["instruction"])  # another text for each row: still one cause
        yield inputs

    teacher = Scripted(concurrency=4)
    with pytest.raises(RecipeError, match=r"'hopeless' failed on its first 50 rows .* KeyError"):
        run(after(one, lambda: hopeless(name="hopeless")), seeds(500), teacher)
    assert len(teacher.asked) < 150  # and no more calls are paid for


def test_a_step_that_filters_everything_does_not_stop_the_build(run: Any) -> None:
    @step(inputs=["generation"], outputs=[])
    def strict(inputs: StepInput) -> Any:
        yield []

    made = run(after(one, lambda: strict(name="strict")), seeds(80))
    assert Counter(row["failed"] for row in made) == {"filtered": 80}


def test_calls_that_all_fail_for_one_cause_stop_the_build(run: Any) -> None:
    def answer(call: Call) -> str:
        raise Failure("http 400", "no such parameter: top_q")

    teacher = Scripted(answer=answer, concurrency=4)
    with pytest.raises(TeacherError, match="top_q"):
        run(one, seeds(500), teacher)
    assert len(teacher.asked) < 30


def test_an_answer_that_a_task_cannot_parse_costs_its_row_and_shows_the_error(run: Any) -> None:
    def answer(call: Call) -> str:
        unreadable = call.role == "judge" and "say 3" in call.text
        return rating(call).replace("Rating: ", "Rating: good") if unreadable else rating(call)

    made = run(judged, seeds(6), Scripted(answer=answer))
    assert [row.get("failed") for row in made] == [*[None] * 3, "step error", None, None]
    assert made[3]["failed_step"] == "judge" and "Error: " in made[3]["failed_why"]
    assert made[3]["llm_judge_call"]  # so that it is known which answer it was


class Choosy(TextGeneration):
    """Cannot parse an answer of an odd sample number."""

    def format_output(self, output: Any, input: Any = None) -> dict[str, Any]:  # noqa: A002
        return {"generation": {"0": "zero", "2": "two"}[str(output)]}


def test_of_several_answers_only_those_that_cannot_be_parsed_are_lost(run: Any) -> None:
    def line(teach: Any, **options: Any) -> Any:
        with Pipeline(name="choosy") as line:
            Choosy(name="choosy", llm=teach("writer"), num_generations=3, **options)
        return line

    teacher = Scripted(answer=lambda call: str(call.sample))
    apart = run(line, seeds(1), teacher)
    assert [row["generation"] for row in apart] == ["zero", None, "two"]
    assert [row.get("failed_why") for row in apart] == [None, "KeyError: '1'", None]
    [together] = run(lambda teach: line(teach, group_generations=True), seeds(1), teacher)
    assert together["generation"] == ["zero", None, "two"] and "failed" not in together


def test_a_missing_column_is_named_with_its_step_and_those_that_are_there(run: Any) -> None:
    with pytest.raises(RecipeError, match=r"'writer' needs the column 'instruction', .* gets text"):
        run(one, [{"text": "hi"}])


@pytest.mark.parametrize("make", [lambda: broken(name="broken")])
def test_a_global_step_that_breaks_stops_the_build_by_name(run: Any, make: Any) -> None:
    with pytest.raises(RecipeError, match=r"'broken' failed .ValueError: no room"):
        run(after(one, make), seeds(3))


def test_a_step_that_cannot_be_loaded_or_a_generator_that_breaks_is_named(run: Any) -> None:
    class Unloadable(Summed):
        def load(self) -> None:
            raise OSError("no model file")

    with pytest.raises(
        RecipeError, match=r"'bad' failed .test_executor.py, line .*: OSError: no model file"
    ):
        run(after(one, lambda: Unloadable(name="bad")), seeds(3))

    @step(outputs=["instruction"], step_type="generator")
    def half(offset: int = 0) -> Any:
        yield [{"instruction": "say 1"}], False
        raise ValueError("half")

    def line(teach: Any) -> Any:
        with Pipeline(name="half") as line:
            half(name="half") >> TextGeneration(name="writer", llm=teach("writer"))
        return line

    with pytest.raises(
        RecipeError, match=r"'half' failed .test_executor.py, line .*: ValueError: half"
    ):
        run(line, [])


def test_an_empty_pipeline_is_an_error_and_no_seeds_are_no_rows(run: Any) -> None:
    def nothing(teach: Any) -> Any:
        with Pipeline(name="nothing") as line:
            pass
        return line

    with pytest.raises(RecipeError, match="no step"):
        run(nothing, seeds(1))
    assert run(everything, []) == []


# --- where steps run


def test_a_step_asleep_in_its_thread_does_not_hold_up_the_end(run: Any) -> None:
    asleep, daemons = threading.Event(), []

    @step(inputs=[], outputs=[])
    def dreaming(inputs: StepInput) -> Any:
        daemons.append(threading.current_thread().daemon)  # nor does the end of the process wait
        asleep.set()
        time.sleep(60)
        yield inputs

    def answer(call: Call) -> str:
        if number({"instruction": call.text}):
            asleep.wait(10)
            raise Stopped("enough", 3)
        return "slept"

    began, line = time.monotonic(), after(one, lambda: dreaming(name="dreaming"))
    with pytest.raises(Stopped):
        run(line, seeds(2), Scripted(answer, lambda call: number({"instruction": call.text})))
    assert time.monotonic() - began < 5 and daemons == [True]


class Heavy(Step):
    """A step for worker processes: squares numbers; some numbers make it fail."""

    @property
    def inputs(self) -> list[str]:
        return ["number"]

    @property
    def outputs(self) -> list[str]:
        return ["square", "process"]

    def load(self) -> None:
        super().load()
        self._factor = 1

    def process(self, inputs: StepInput) -> Any:
        for row in inputs:
            if row["number"] == "exit":
                os._exit(9)
            if row["number"] == "sleep":
                Path("asleep").touch()
                time.sleep(600)
            row |= {"square": self._factor * row["number"] ** 2, "process": os.getpid()}
        yield inputs


def heavy(_: Any) -> Any:
    with Pipeline(name="heavy") as line:
        Heavy(name="heavy", resources=StepResources(cpus=2), input_batch_size=2)
    return line


def gone(pids: set[int], within_s: float = 10.0) -> bool:
    """Whether processes have ended."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_step_with_cpus_works_in_processes_that_end_with_the_run(run: Any) -> None:
    made = run(heavy, [{"number": n} for n in range(-3, 20)] + [{"number": "x"}])
    assert [row.get("square") for row in made] == [n * n for n in range(-3, 20)] + [None]
    assert made[-1]["failed_why"].startswith("TypeError: ")
    workers = {row["process"] for row in made[:-1]}
    assert os.getpid() not in workers and len(workers) <= 2
    assert gone(workers)
    with pytest.raises(RecipeError, match="a process of step 'heavy' died"):
        run(heavy, [{"number": n} for n in (1, 2, "exit", 3)])


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_a_build_that_is_stopped(tmp_path: Path, end: signal.Signals) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.engine.test_executor import RECIPE, Engine, Ledger, Progress, Scripted, heavy
if __name__ == "__main__":
    ledger = Ledger.open(Path("ledger.sqlite"))
    with Engine(RECIPE, Scripted(), ledger, Progress(), seed=1) as engine:
        engine(heavy, [{{"number": 2}}, {{"number": 3}}, {{"number": "sleep"}}] * 2)
"""
    file = tmp_path / "child.py"
    file.write_text(code)
    child = subprocess.Popen(
        [sys.executable, str(file)], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "asleep").exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    all_of_it = processes_of(child.pid)
    assert len(all_of_it) >= 4  # the build, forkserver, resource tracker, a worker
    child.send_signal(end)
    child.wait(timeout=15)
    assert gone(all_of_it), processes_of(child.pid)
