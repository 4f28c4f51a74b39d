"""The list to continue: at most two of its tasks are the machine's, anywhere in it."""

from __future__ import annotations

import random
import re

from builders.instructions.growing_pool import list_to_continue
from builders.recipe import Raw
from tests.cases import each

SEEDS = [{"instruction": f"Seed task of number {place}."} for place in range(30)]


def listed(prompt: str) -> list[str]:
    """The tasks in a list to continue, or in a prompt with one, which ends with the next number."""
    *head, last = prompt.split("\n")
    lines = [line for line in head if re.match(r"\d+\. ", line)]
    assert [line.split(".")[0] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
    assert last == f"{len(lines) + 1}."
    return [line.split(" ", 1)[1] for line in lines]


def machine(count: int) -> list[Raw]:
    return [{"instruction": f"Machine task of number {place}."} for place in range(count)]


@each(("accepted", "of_the_machine"), [(0, 0), (1, 1), (2, 2), (3, 2), (50, 2)])
def test_a_list_has_eight_tasks_at_most_two_of_them_the_machine_s(
    accepted: int, of_the_machine: int
) -> None:
    human = {task["instruction"] for task in SEEDS}
    for seed in range(20):
        tasks = listed(list_to_continue(SEEDS, machine(accepted), random.Random(seed)))
        assert len(tasks) == len(set(tasks)) == 8
        assert sum(task not in human for task in tasks) == of_the_machine


def test_a_list_ends_with_the_number_nine_and_no_space_for_the_teacher_to_go_on() -> None:
    assert list_to_continue(SEEDS, machine(5), random.Random(1)).endswith("\n9.")


def test_the_machine_s_tasks_may_be_anywhere_in_the_list() -> None:
    places = {
        place
        for seed in range(60)
        for place, task in enumerate(
            listed(list_to_continue(SEEDS, machine(9), random.Random(seed)))
        )
        if task.startswith("Machine")
    }
    assert places == set(range(8))


def test_a_listed_task_is_on_one_line_without_a_colon_at_its_end() -> None:
    tasks = [{"instruction": f"Sort\n\nthese\t {place} words: by length:"} for place in range(8)]
    for task in listed(list_to_continue(tasks, [], random.Random(0))):
        assert re.fullmatch(r"Sort these \d words: by length", task)


def test_few_seeds_make_a_shorter_list() -> None:
    assert len(listed(list_to_continue(SEEDS[:3], machine(1), random.Random(0)))) == 4


def test_the_same_chance_draws_the_same_list_and_another_another() -> None:
    drawn = [list_to_continue(SEEDS, [], random.Random(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
