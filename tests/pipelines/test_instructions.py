"""Self-Instruct: from seed tasks to instructions with answers, each step as published."""

import ast
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pipelines.instructions
from builders.gates.novelty import InstructionIndex
from builders.instructions.filters import instance_faults, unsuitable
from builders.recipe import Drop, Raw, Settings, row_id
from builders.schema import user
from builders.sources.seed_forms import read_tasks
from builders.sources.source import Source
from pipelines.instructions import RECIPE, candidates, row
from tests.cases import each
from tests.instructions.test_filters import published
from tests.instructions.test_growing_pool import listed

SEEDS, *_ = read_tasks(Source(place=RECIPE.seeds.source))
LINES = [json.loads(line) for line in Path(RECIPE.seeds.source).read_text("utf-8").splitlines()]


def share(tasks: Sequence[Raw], wanted: Callable[[Raw], bool]) -> float:
    return sum(map(wanted, tasks)) / len(tasks)


def needs_no_input(task: Raw) -> bool:
    return not any(one["input"] for one in task["instances"])


# The published seed tasks


def test_the_published_seed_tasks_are_175_of_which_26_classify_and_50_need_no_input(
    data: Path,
) -> None:
    tasks = published(data)
    assert (len(tasks), sum(task["is_classification"] for task in tasks)) == (175, 26)
    assert sum(map(needs_no_input, tasks)) == 50


# Our own seed tasks


def test_the_own_seed_tasks_are_as_many_and_as_mixed_as_promised() -> None:
    kinds = Counter(line["kind"] for line in LINES)
    assert len(SEEDS) >= 150 and len(kinds) >= 15
    assert max(kinds.values()) <= 0.10 * len(SEEDS)
    assert share(SEEDS, lambda task: task["is_classification"]) >= 0.22
    assert share(SEEDS, needs_no_input) >= 0.30
    assert len({task["id"] for task in SEEDS}) == len(
        {row_id(task["instruction"]) for task in SEEDS}
    )


def test_the_seeds_own_page_counts_them_rightly() -> None:
    page = (Path(RECIPE.seeds.source).parent / "README.md").read_text("utf-8")
    labelled = sum(task["is_classification"] for task in SEEDS)
    alone = sum(map(needs_no_input, SEEDS))
    assert f"the {len(SEEDS)} seed tasks" in page
    assert f"({len({line['kind'] for line in LINES})} kinds" in page
    assert (
        f"{labelled} tasks ({labelled / len(SEEDS):.0%}) are classification".replace("%", " %")
        in page
    )
    assert f"{alone} ({alone / len(SEEDS):.0%}) need no input".replace("%", " %") in page


@each("task", SEEDS)
def test_a_seed_task_would_pass_the_recipe_s_own_filters(task: Raw) -> None:
    assert unsuitable(task["instruction"]) is None
    pairs = [(one["input"], one["output"]) for one in task["instances"]]
    assert pairs and instance_faults(pairs, chance=random.Random(0)) == [None] * len(pairs)


def test_no_seed_task_resembles_another() -> None:
    pool = InstructionIndex([task["instruction"] for task in SEEDS])
    for task in SEEDS:
        _, (similarity, nearest) = pool.nearest(task["instruction"], 2)
        assert similarity < 0.6, (task["instruction"], SEEDS[nearest]["instruction"])


def test_no_seed_task_was_taken_from_the_published_ones(data: Path) -> None:
    pool = InstructionIndex([task["instruction"] for task in published(data)])
    near = {task["id"]: pool.most_similar(task["instruction"])[0] for task in SEEDS}
    assert {name: score for name, score in near.items() if score > 0.6} == {}


# A raw row becomes a row or a reason

KEPT: Raw = {
    "instruction": "Give the opposite of the word.",
    "most_similar": "Name a fruit.",
    "similarity": 0.2,
    "reject": None,
    "input": "early",
    "output": "late",
    "answer": "Example 1 ...",
    "layout": "drawn",
    "draw": 0.4,
}


def test_the_example_row_of_the_module_is_what_the_recipe_makes() -> None:
    docstring = pipelines.instructions.__doc__ or ""
    written = ast.literal_eval(docstring[docstring.index("{") : docstring.rindex("}") + 1])
    made = [row({**KEPT, "draw": draw / 14}) for draw in range(14)]
    assert written in made


def test_the_plain_layout_is_always_the_same_and_a_drawn_one_follows_the_draw() -> None:
    def prompt(layout: str, draw: float, given: str = "x: y\n\nz") -> str:
        made = row(
            {**KEPT, "instruction": "Do it.", "input": given, "layout": layout, "draw": draw}
        )
        assert isinstance(made, dict)
        return str(made["prompt"][0]["content"])

    assert {prompt("plain", draw) for draw in (0, 0.5, 0.999)} == {"Do it.\n\nx: y\n\nz"}
    assert prompt("plain", 0.7, "") == "Do it."
    assert len({prompt("drawn", draw / 14) for draw in range(14)}) == 14
    assert len({prompt("drawn", draw / 12, "") for draw in range(12)}) == 6


def test_a_row_s_id_is_its_task_s_whatever_the_layout_and_the_answer() -> None:
    made = [row({**KEPT, "draw": draw / 14, "output": str(draw)}) for draw in range(14)]
    assert {one["id"] for one in made if isinstance(one, dict)} == {
        row_id("Give the opposite of the word.\n\nearly")
    }
    alone = row({**KEPT, "input": ""})
    assert isinstance(alone, dict) and alone["id"] == row_id("Give the opposite of the word.")


def test_a_rejected_candidate_shows_what_it_was_and_what_it_resembles() -> None:
    rejected: dict[str, Any] = {
        "instruction": "Name a fruit!",
        "most_similar": "Name a fruit.",
        "similarity": 1.0,
    }
    verdict = row({**rejected, "reject": "too similar", "llm_bootstrap_call": "0" * 16})
    assert verdict == Drop(reason="too similar", evidence=rejected)


def test_a_rejected_instance_shows_itself_and_not_the_whole_answer() -> None:
    verdict = row({**KEPT, "reject": "echo"})
    assert isinstance(verdict, Drop)
    assert verdict.evidence == {
        name: KEPT[name]
        for name in ("instruction", "most_similar", "similarity", "input", "output")
    }


def test_a_task_without_an_instance_shows_the_teacher_s_answer() -> None:
    raw = {name: value for name, value in KEPT.items() if name not in ("input", "output")}
    verdict = row({**raw, "reject": "no instance"})
    assert isinstance(verdict, Drop) and verdict.evidence["answer"] == "Example 1 ..."


# The whole recipe, with a teacher that is a function


class Teacher:
    """Runs a stage by asking a function of the stage and the text; remembers what it was asked."""

    def __init__(self, say: Callable[[str, str], str | tuple[str, str]]) -> None:
        self.say = say
        self.asked: list[tuple[str, str]] = []
        self.rounds: list[int] = []
        self.reported: list[int] = []

    def __call__(self, pipeline: Any, rows: Sequence[Raw], **wiring: Any) -> list[Raw]:
        assert pipeline is pipelines.instructions.pipeline
        stage = wiring.pop("stage")
        assert not wiring
        if stage == "bootstrap":
            self.rounds.append(len(rows))
        out = []
        for raw in rows:
            answer = self.say(stage, raw["text"])
            text, fault = answer if isinstance(answer, tuple) else (answer, None)
            self.asked.append((stage, raw["text"]))
            call = f"{len(self.asked):016x}"
            if fault:
                lost = {"failed": fault, "failed_step": stage, "failed_why": text}
                out.append({**raw, **lost, f"llm_{stage}_call": [call]})
                continue
            out.append(
                {
                    **raw,
                    "answer": text,
                    f"llm_{stage}_call": call,
                }
            )
        return out

    def made(self, rows: int) -> None:
        self.reported.append(rows)

    def texts(self, stage: str) -> list[str]:
        return [text for at, text in self.asked if at == stage]


NOUNS = [
    *("apple", "boat", "candle", "drum", "engine", "ferry"),
    *("glacier", "harbour", "island", "jacket", "kettle", "lantern"),
]


class Inventor:
    """Continues every list with a new task, a seed task, and a task that is too short."""

    def __init__(self) -> None:
        self.rounds = 0

    def __call__(self, stage: str, text: str) -> str:
        if stage == "bootstrap":
            self.rounds += 1
            dice = random.Random(self.rounds)
            new = " ".join(dice.sample(NOUNS, 7))
            return f" Connect {new}.\n10. {SEEDS[self.rounds]['instruction']}\n11. Too short."
        if stage == "classify":
            return " Yes" if "candle" in text.split("\n\n")[-1] else " No"
        if stage == "output_first":
            return "Label: warm\nInput: tea\nLabel: cold\nInput: ice"
        return "Example 1\nInput: one\nOutput: 1\nExample 2\nInput: two\nOutput: two:"


def asked_for(rows: int, *, seed: int = 42, layout: str = "drawn") -> Settings:
    return Settings(rows=rows, seed=seed, options={"layout": layout})


def asked_of_one_task(labelled: str, seeds: Sequence[Raw] = SEEDS) -> Teacher:
    """The teacher after it gave one task, and this answer to whether it is classification."""
    answers = iter([" Name some kind of fruit."])
    given = {"bootstrap": lambda: next(answers, ""), "classify": lambda: labelled}
    teacher = Teacher(lambda stage, _: given.get(stage, lambda: "Output: x")())
    list(candidates(teacher, seeds, asked_for(1)))
    return teacher


@each("answer", ["Yes", "yes", "YES", " Yes", "Yes\n", "\n yes "])
def test_yes_and_nothing_else_is_yes(answer: str) -> None:
    assert asked_of_one_task(answer).texts("output_first")


@each("answer", ["Yes.", "Yes, it", "yEs", "Y", "No", "no yes", "", "Yes Yes"])
def test_all_else_is_no(answer: str) -> None:
    assert asked_of_one_task(answer).texts("input_first")


def test_the_question_whether_it_is_classification_shows_12_that_are_and_19_that_are_not() -> None:
    [prompt] = asked_of_one_task("No").texts("classify")
    assert prompt.count("Is it classification? Yes\n") == 12
    assert prompt.count("Is it classification? No\n") == 19
    assert prompt.endswith("\n\nTask: Name some kind of fruit.\nIs it classification?")


def test_an_input_is_asked_for_first_and_for_classification_the_output() -> None:
    [first] = asked_of_one_task("No").texts("input_first")
    assert re.search(r"\nInput: .*\nOutput: ", first) and "Label:" not in first
    [second] = asked_of_one_task("Yes").texts("output_first")
    assert re.search(r"\nLabel: .*\nInput: ", second) and "Output:" not in second
    assert first.startswith("Write examples of each task. Give several where that makes sense; ")
    assert second.startswith("For each task, name a possible label, then write an input that it ")
    for prompt in (first, second):
        assert prompt.count("\n\nTask: Name some kind of fruit.\n") == 1
        assert prompt.endswith("Task: Name some kind of fruit.\n")


def test_seeds_without_classification_still_make_a_prompt() -> None:
    seeds = [task for task in SEEDS if not task["is_classification"]]
    teacher = asked_of_one_task("Yes", seeds)
    [prompt] = teacher.texts("output_first")
    assert prompt.endswith("examples.\n\nTask: Name some kind of fruit.\n")
    assert teacher.texts("classify")[0].count("Task: ") == 20


def test_the_pool_grows_with_what_was_accepted() -> None:
    teacher = Teacher(Inventor())
    raws = list(candidates(teacher, SEEDS, asked_for(60)))
    human = {task["instruction"] for task in SEEDS}
    strangers = [
        sum(task not in human for task in listed(text)) for text in teacher.texts("bootstrap")
    ]
    assert strangers[:5] == [0] * 5  # the first round has only people's tasks
    assert strangers[5:] == [2] * (len(strangers) - 5)
    assert set(teacher.rounds) == {5}
    accepted = {raw["instruction"] for raw in raws if "output" in raw}
    shown = {task for text in teacher.texts("bootstrap") for task in listed(text)} - human
    assert shown and shown <= {instruction.rstrip(":") for instruction in accepted}


def test_enough_candidates_end_the_rounds_and_none_beyond_their_number_is_asked_about() -> None:
    teacher = Teacher(Inventor())
    raws = list(candidates(teacher, SEEDS, asked_for(31)))
    assert teacher.reported == [15, 30, 31]
    surplus = [raw for raw in raws if raw.get("reject") == "surplus"]
    assert len(surplus) == 2 and len(teacher.texts("bootstrap")) == 5 + 5 + 1
    accepted = {raw["instruction"] for raw in raws if "output" in raw}
    assert len(teacher.texts("classify")) == len(accepted) > 5
    drops = [*map(row, surplus)]
    assert all(isinstance(drop, Drop) and drop.evidence["instruction"] for drop in drops)


def test_a_later_duplicate_is_rejected_with_the_instruction_it_resembles() -> None:
    answers = iter([f" Connect {' '.join(NOUNS[:7])}.", f" CONNECT  {' '.join(NOUNS[:7])}!"])
    teacher = Teacher(lambda stage, _: next(answers, "") if stage == "bootstrap" else "Output: x")
    raws = list(candidates(teacher, SEEDS, asked_for(2)))
    assert [raw["reject"] for raw in raws] == ["too similar", None]
    assert raws[0]["most_similar"] == f"Connect {' '.join(NOUNS[:7])}."
    assert raws[0]["similarity"] == 1.0


def test_a_candidate_like_a_seed_is_rejected_with_that_seed() -> None:
    task = SEEDS[17]["instruction"]
    teacher = Teacher(lambda stage, _: f" {task}")
    raws = list(candidates(teacher, SEEDS, asked_for(1)))
    assert [raw["reject"] for raw in raws] == ["too similar", *["surplus"] * 4]
    assert raws[0]["most_similar"] == task


def test_every_candidate_is_given_once_as_a_row_or_with_its_reason() -> None:
    teacher = Teacher(Inventor())
    raws = list(candidates(teacher, SEEDS, asked_for(60)))
    made = teacher.reported[-1]
    rejected = [raw for raw in raws if "output" not in raw]
    accepted = {raw["instruction"] for raw in raws if "output" in raw}
    assert len(rejected) + len(accepted) == made == 60
    assert len(accepted) == 20
    assert Counter(raw["reject"] for raw in rejected) == {"too similar": 20, "too short": 20}
    assert len(teacher.texts("classify")) == 20
    instances = [raw for raw in raws if "output" in raw]
    assert len(instances) == 40  # two for each accepted task
    verdicts = [row(raw) for raw in raws]
    assert len(verdicts) == 60 + 20
    assert Counter(one.reason for one in verdicts if isinstance(one, Drop))["unfinished"] == len(
        teacher.texts("input_first")
    )


def test_tasks_of_classification_go_output_first_and_the_rest_input_first() -> None:
    teacher = Teacher(Inventor())
    raws = [raw for raw in candidates(teacher, SEEDS, asked_for(60)) if "output" in raw]
    assert {raw["is_classification"] for raw in raws} == {True, False}
    for raw in raws:
        assert raw["is_classification"] == ("candle" in raw["instruction"])
        assert raw["output"] in (("warm", "cold") if raw["is_classification"] else ("1", "two:"))
    for stage, word in (("output_first", True), ("input_first", False)):
        assert all(("candle" in text.split("Task: ")[-1]) == word for text in teacher.texts(stage))


def test_an_answer_that_was_cut_off_in_bootstrapping_is_dropped_whole() -> None:
    teacher = Teacher(lambda *_: (" Name a fruit or two.\n10. Name a", "cut off"))
    raws = list(candidates(teacher, SEEDS, asked_for(1)))
    assert {raw["failed"] for raw in raws} == {"cut off"} and len(raws) == 50


@each("answer", ["", ("", "cut off"), ("no answer", "time-out"), "\n10. \n11."])
def test_a_teacher_that_gives_no_candidate_is_not_asked_for_ever(answer: Any) -> None:
    teacher = Teacher(lambda *_: answer)
    raws = list(candidates(teacher, SEEDS, asked_for(100)))
    assert len(teacher.asked) == 50 and {stage for stage, _ in teacher.asked} == {"bootstrap"}
    assert len(raws) == (50 if isinstance(answer, tuple) else 0)


@each("stage", ["bootstrap", "classify", "input_first", "output_first"])
def test_a_row_that_failed_at_any_stage_comes_out_as_failed(stage: str) -> None:
    inventor = Inventor()

    def say(at: str, text: str) -> str | tuple[str, str]:
        if at == stage and len(text) % 3 == 0:
            return "nobody answered", "time-out"
        return inventor(at, text)

    teacher = Teacher(say)
    raws = list(candidates(teacher, SEEDS, asked_for(60)))
    failed = [text for text in teacher.texts(stage) if len(text) % 3 == 0]
    assert failed
    assert [raw["failed_step"] for raw in raws if "failed" in raw] == [stage] * len(failed)


def test_a_task_for_which_the_teacher_has_no_instance_is_dropped_for_that() -> None:
    inventor = Inventor()
    teacher = Teacher(lambda stage, text: "Hm." if stage[-5:] == "first" else inventor(stage, text))
    raws = list(candidates(teacher, SEEDS, asked_for(15)))
    assert Counter(raw["reject"] for raw in raws)["no instance"] == 5


def test_the_same_seed_asks_and_makes_the_same_and_another_seed_something_else() -> None:
    teachers = [Teacher(Inventor()) for _ in range(3)]
    built = [
        [row(raw) for raw in candidates(teacher, SEEDS, asked_for(30, seed=seed))]
        for teacher, seed in zip(teachers, (1, 1, 2), strict=True)
    ]
    assert built[0] == built[1] != built[2]
    asked = [teacher.texts("bootstrap") for teacher in teachers]
    assert asked[0] == asked[1] and not set(asked[1]) & set(asked[2])


def test_all_that_is_kept_fits_the_schema_and_plain_rows_have_one_layout() -> None:
    raws = candidates(Teacher(Inventor()), SEEDS, asked_for(30, layout="plain"))
    kept = [verdict for verdict in map(row, raws) if isinstance(verdict, dict)]
    assert kept and all(RECIPE.schema.problem(one) is None for one in kept)
    for one in kept:
        assert re.fullmatch(r"Connect [a-z ]+\.\n\n(one|tea|ice)", one["prompt"][0]["content"])
        assert one["prompt"] == user(one["prompt"][0]["content"])


def test_a_twin_of_a_kept_row_has_its_id() -> None:
    raws = list(candidates(Teacher(Inventor()), SEEDS, asked_for(30)))
    ids = [one["id"] for one in map(row, raws) if isinstance(one, dict)]
    assert len(set(ids)) == len(ids)  # the inventor's tasks all differ
