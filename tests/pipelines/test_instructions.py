"""Self-Instruct: from seed tasks to instructions with answers, each step as published."""

import ast
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pipelines.instructions
from builders.gates.novelty import InstructionIndex
from builders.recipe import Drop, Raw, Settings, row_id
from builders.schema import user
from builders.sources.seed_forms import read_tasks
from builders.sources.source import Source
from pipelines.instructions import (
    ALPACA_BLACKLIST,
    BLACKLIST,
    RECIPE,
    STAGES,
    bootstrapping_prompt,
    candidates,
    classification_prompt,
    faults,
    instance_prompt,
    laid_out,
    parsed,
    parsed_instances,
    row,
    says_yes,
    unsuitable,
)
from tests.cases import each

SEEDS, *_ = read_tasks(Source(place=RECIPE.seeds.source))
LINES = [json.loads(line) for line in Path(RECIPE.seeds.source).read_text("utf-8").splitlines()]


def published(data: Path) -> list[Raw]:
    return read_tasks(Source(place=str(data / "seed_tasks_175.jsonl")))[0]


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


@pytest.mark.parametrize(
    ("blacklist", "words", "kept"), [(BLACKLIST, 13, 172), (ALPACA_BLACKLIST, 18, 171)]
)
def test_the_heuristics_keep_as_many_published_seed_tasks_as_the_published_code(
    data: Path, blacklist: Sequence[str], words: int, kept: int
) -> None:
    reasons = Counter(unsuitable(task["instruction"], blacklist) for task in published(data))
    assert len(set(blacklist)) == words
    assert (reasons[None], reasons["too short"], reasons["program"]) == (kept, 2, 1)


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
    assert pairs and faults(pairs, cut_off=False, chance=random.Random(0)) == [None] * len(pairs)


def test_no_seed_task_resembles_another() -> None:
    pool = InstructionIndex([task["instruction"] for task in SEEDS])
    for task in SEEDS:
        _, (similarity, nearest) = pool.nearest(task["instruction"], 2)
        assert similarity < 0.6, (task["instruction"], SEEDS[nearest]["instruction"])


def test_no_seed_task_was_taken_from_the_published_ones(data: Path) -> None:
    pool = InstructionIndex([task["instruction"] for task in published(data)])
    near = {task["id"]: pool.most_similar(task["instruction"])[0] for task in SEEDS}
    assert {name: score for name, score in near.items() if score > 0.6} == {}


# 1. Instruction bootstrapping


def listed(prompt: str) -> list[str]:
    """The tasks in a bootstrapping prompt, which ends with the number of the next."""
    *head, last = prompt.split("\n")
    lines = [line for line in head if re.match(r"\d+\. ", line)]
    assert [line.split(".")[0] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
    assert last == f"{len(lines) + 1}."
    return [line.split(" ", 1)[1] for line in lines]


def machine(count: int) -> list[Raw]:
    return [{"instruction": f"Machine task of number {place}."} for place in range(count)]


@each(("accepted", "of_the_machine"), [(0, 0), (1, 1), (2, 2), (3, 2), (50, 2)])
def test_a_prompt_lists_eight_tasks_at_most_two_of_them_the_machine_s(
    accepted: int, of_the_machine: int
) -> None:
    human = {task["instruction"] for task in SEEDS}
    for seed in range(20):
        tasks = listed(bootstrapping_prompt(SEEDS, machine(accepted), random.Random(seed)))
        assert len(tasks) == len(set(tasks)) == 8
        assert sum(task not in human for task in tasks) == of_the_machine


def test_a_prompt_ends_with_the_number_nine_and_no_space_for_the_teacher_to_go_on() -> None:
    assert bootstrapping_prompt(SEEDS, machine(5), random.Random(1)).endswith("\n9.")


def test_the_machine_s_tasks_may_stand_anywhere_in_the_list() -> None:
    places = {
        place
        for seed in range(60)
        for place, task in enumerate(
            listed(bootstrapping_prompt(SEEDS, machine(9), random.Random(seed)))
        )
        if task.startswith("Machine")
    }
    assert places == set(range(8))


def test_a_listed_task_stands_on_one_line_without_a_colon_at_its_end() -> None:
    tasks = [{"instruction": f"Sort\n\nthese\t {place} words: by length:"} for place in range(8)]
    for task in listed(bootstrapping_prompt(tasks, [], random.Random(0))):
        assert re.fullmatch(r"Sort these \d words: by length", task)


def test_few_seeds_make_a_shorter_list() -> None:
    assert len(listed(bootstrapping_prompt(SEEDS[:3], machine(1), random.Random(0)))) == 4


def test_the_same_chance_draws_the_same_prompt_and_another_another() -> None:
    drawn = [bootstrapping_prompt(SEEDS, [], random.Random(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_teacher_is_asked_as_published() -> None:
    assert STAGES["bootstrap"] == {
        "temperature": 0.7,
        "top_p": 0.5,
        "frequency_penalty": 0.0,
        "presence_penalty": 2.0,
        "max_tokens": 1024,
        "stop": ["\n\n", "\n16", "16.", "16 ."],
    }
    assert STAGES["classify"]["max_tokens"] == 3
    for stage in ("input_first", "output_first"):
        assert STAGES[stage]["presence_penalty"] == 1.5
        assert STAGES[stage]["stop"] == ["Example 6", "Task:"]
    assert (STAGES["input_first"]["max_tokens"], STAGES["output_first"]["max_tokens"]) == (350, 300)
    assert {STAGES[stage]["temperature"] for stage in STAGES if stage != "bootstrap"} == {0.0}


# 2. Parsing


@each(
    ("answer", "instructions"),
    [
        (" Name a fruit.\n10. Name a tree.", ["Name a fruit.", "Name a tree."]),
        (" name a fruit.\n10 . name a tree.\n", ["Name a fruit.", "Name a tree."]),
        (" Name\n  a   fruit.\n10. What does NASA do?", ["Name a fruit.", "What does NASA do?"]),
        ("Name a fruit.\n10.\nName a tree.\n11.", ["Name a fruit.", "Name a tree."]),
        ("9. Name a fruit.\n10. Name a tree.", ["Name a fruit.", "Name a tree."]),
        ("\n9. Name a fruit.", ["Name a fruit."]),
        (" Convert to cups:\n2.5 litres", ["Convert to cups: 2.5 litres"]),
        (" Add 3. 4. and 5. up", ["Add 3. 4. and 5. up"]),
        (" Sort: (1) b (2) a", ["Sort: (1) b (2) a"]),
        ("", []),
        (" \n ", []),
        ("\n10. \n11. ", []),
        ("10.", []),
        ("no list at all", ["No list at all"]),
        (" éclairs: how are they made?", ["Éclairs: how are they made?"]),
    ],
)
def test_a_continued_list_is_taken_apart(answer: str, instructions: list[str]) -> None:
    assert parsed(answer) == instructions


@settings(deadline=None)
@given(st.text(st.sampled_from("ab 19.\n\t")) | st.text())
@example("\n1.\x1f\n2. ")
def test_whatever_comes_back_gives_instructions_on_one_line_each(answer: str) -> None:
    for instruction in parsed(answer):
        assert instruction == " ".join(instruction.split()) != ""


# 3. Heuristics


def of_words(count: int) -> str:
    return " ".join(["Count"] + ["words"] * (count - 1))


@each(
    ("words", "reason"),
    [(1, "too short"), (3, "too short"), (4, None), (150, None), (151, "too long")],
)
def test_an_instruction_has_4_to_150_words(words: int, reason: str | None) -> None:
    assert unsuitable(of_words(words)) == reason


@each(
    ("instruction", "reason"),
    [
        ("Describe the picture above in detail.", "unsuitable word"),
        ("Describe the PICTURES above in detail.", "unsuitable word"),
        ("Where would you go to learn cooking?", "unsuitable word"),
        ("Explain what a bitmap and a mapping are.", None),
        ("Imagine a profile of a drawer.", None),
        ("Outline the plot of Hamlet in one sentence.", "unsuitable word"),
        ("Write a program to sort numbers.", "program"),
        ("Write a Program that sorts numbers.", "program"),  # capitalize() lowers the rest
        ("Write a programme for the summer concert.", "program"),  # as published
        ("Explain how to write a program.", None),
        ("- Name a fruit or two.", "punctuation"),
        ("'Ubuntu' means what in English?", "punctuation"),
        ("Éclairs are made of what?", "not ascii"),
        ("说出 一种 水果 的 名字", "not ascii"),
        ("3 apples cost how much?", None),
        ("What is the gist of “Emma”?", None),
    ],
)
def test_an_unsuitable_instruction_is_told_why(instruction: str, reason: str | None) -> None:
    assert unsuitable(instruction) == reason


@each(
    ("instruction", "reason"),
    [
        ("¿draw picture?", "too short"),
        ("- " + "draw " * 150, "too long"),
        ("Write a program to draw circles.", "unsuitable word"),
        ("¡Look at the picture, please!", "unsuitable word"),
    ],
)
def test_of_several_faults_the_first_in_the_paper_s_order_is_told(
    instruction: str, reason: str
) -> None:
    assert unsuitable(instruction) == reason


@each("word", ["video", "Audio", "music", "flowchart", "DIAGRAM"])
def test_alpaca_s_list_forbids_five_words_more(word: str) -> None:
    instruction = f"Tell me about this {word}, please."
    assert unsuitable(instruction) is None
    assert unsuitable(instruction, ALPACA_BLACKLIST) == "unsuitable word"


# 5. Classification or not


@each("answer", ["Yes", "yes", "YES", " Yes", "Yes\n", "\n yes "])
def test_yes_and_nothing_else_is_yes(answer: str) -> None:
    assert says_yes(answer)


@each("answer", ["Yes.", "Yes, it", "yEs", "Y", "No", "no yes", "", "Yes Yes"])
def test_all_else_is_no(answer: str) -> None:
    assert not says_yes(answer)


def test_the_question_whether_it_is_classification_shows_12_that_are_and_19_that_are_not() -> None:
    prompt = classification_prompt("Name a fruit.", SEEDS)
    assert prompt.count("Is it classification? Yes\n") == 12
    assert prompt.count("Is it classification? No\n") == 19
    assert prompt.endswith("\n\nTask: Name a fruit.\nIs it classification?")
    labels = re.findall(r"classification\? (Yes|No)", prompt)
    assert sum(a != b for a, b in pairwise(labels)) > 5  # mixed, not in two blocks


def test_the_worked_examples_do_not_depend_on_the_order_of_what_is_asked() -> None:
    shown = [
        classification_prompt(text, SEEDS).split("Task: Name")[0] for text in ("Name a", "Name b")
    ]
    assert shown[0] == shown[1]


# 6. Instances


def test_an_input_is_asked_for_first_and_for_classification_the_output() -> None:
    first = instance_prompt("Name a fruit.", SEEDS, output_first=False)
    assert re.search(r"\nInput: .*\nOutput: ", first) and "Label:" not in first
    second = instance_prompt("Is it a fruit?", SEEDS, output_first=True)
    assert re.search(r"\nLabel: .*\nInput: ", second) and "Output:" not in second
    assert first.endswith("\n\nTask: Name a fruit.\n")
    assert second.endswith("\n\nTask: Is it a fruit?\n")


@pytest.mark.parametrize("output_first", [True, False])
def test_the_worked_examples_are_few_and_read_as_the_recipe_reads_answers(
    output_first: bool,
) -> None:
    prompt = instance_prompt("Name a fruit.", SEEDS, output_first=output_first)
    by_instruction = {task["instruction"]: task for task in SEEDS}
    blocks = prompt.split("Task: ")[1:-1]
    assert 4 <= len(blocks) <= 8
    for block in blocks:
        instruction, worked = block.split("\n", 1)
        task = by_instruction[instruction]
        assert task["is_classification"] == output_first
        wanted = [(one["input"], one["output"]) for one in task["instances"]]
        assert parsed_instances(worked, output_first=output_first) == wanted


def test_seeds_without_classification_still_make_a_prompt() -> None:
    seeds = [task for task in SEEDS if not task["is_classification"]]
    assert instance_prompt("Is it a fruit?", seeds, output_first=True).endswith("Is it a fruit?\n")
    assert classification_prompt("Is it a fruit?", seeds).count("Task: ") == 20


@each(
    ("answer", "pairs"),
    [
        (
            "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
            [("a", "b"), ("c", "d")],
        ),
        (
            "Example 1.\nInput: a\n\nOutput: b\nc\n\nExample 2:\nOutput: d",
            [("a", "b\nc"), ("", "d")],
        ),
        ("Example1\nInput 1: a\nOutput 1: b", [("a", "b")]),
        ("Input: a\nOutput: b", [("a", "b")]),
        ("Output: b", [("", "b")]),
        ("Output: b\n\nExample 2\nOutput: c", [("", "b"), ("", "c")]),
        ("Example 1\nThe text alone.", [("", "The text alone.")]),
        ("Example 1\na line\nOutput: b", [("a line", "b")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b")]),  # as published: one a block
        ("Sure! Here you are.\n\nExample 1\nInput: a\nOutput: b", [("a", "b")]),
        ("Example 1\nInput: a\nOutput:", [("a", "")]),
        ("Example 1\nInput: a\nOutput: b\nExample 2\n", [("a", "b")]),
        ("I do not know what is wanted.", []),
        ("", []),
        ("\n\n", []),
        ("Example 1\nExample 2", []),
    ],
)
def test_instances_with_the_input_first_are_taken_apart(
    answer: str, pairs: list[tuple[str, str]]
) -> None:
    assert parsed_instances(answer, output_first=False) == pairs


@each(
    ("answer", "pairs"),
    [
        ("Label: good\nInput: a\nLabel: bad\nInput: b", [("a", "good"), ("b", "bad")]),
        ("Label: good\nInput: a\n\nb\n\nLabel: bad\nInput: c", [("a\n\nb", "good"), ("c", "bad")]),
        ("Label 1: good\nInput 1: a", [("a", "good")]),
        ("Label: good\na", [("a", "good")]),
        ("Label: good", [("", "good")]),
        ("Label:\nInput: a", [("a", "")]),
        ("Sure!\nLabel: good\nInput: a", [("a", "good")]),
        ("Input: a\nOutput: good", []),
        ("The Label: of it", []),
        ("", []),
    ],
)  # fmt: skip
def test_instances_with_the_label_first_are_taken_apart(
    answer: str, pairs: list[tuple[str, str]]
) -> None:
    assert parsed_instances(answer, output_first=True) == pairs


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["Example 1", "Input:", "Output:", "Label:", "a", "b:", "\n", " ", ""])
    ),
    st.booleans(),
    st.booleans(),
)
def test_whatever_comes_back_gives_pairs_of_which_each_is_kept_or_told_why(
    parts: list[str], output_first: bool, cut_off: bool
) -> None:
    pairs = parsed_instances("".join(parts), output_first=output_first)
    reasons = faults(pairs, cut_off=cut_off, chance=random.Random(0))
    assert len(reasons) == len(pairs)
    for (given_, output), reason in zip(pairs, reasons, strict=True):
        assert (given_, output) == (given_.strip(), output.strip())
        if reason is None:
            assert output and output != given_ and not output.endswith(":")


# 7. Instance filters


def told(*pairs: tuple[str, str], cut_off: bool = False, seed: int = 0) -> list[str | None]:
    return faults(pairs, cut_off=cut_off, chance=random.Random(seed))


def test_each_fault_of_an_instance_is_told() -> None:
    pairs = [("a", "b"), ("c", "c"), ("d", ""), ("e:", "f"), ("g", "h:"), ("", "i"), ("a", "b")]
    assert told(*pairs) == [
        *(None, "echo", "empty output", "unfinished", "unfinished", None, "duplicate"),
    ]


def test_of_several_faults_of_an_instance_the_first_in_the_paper_s_order_is_told() -> None:
    assert told(("", "")) == ["echo"]
    assert told(("a:", "a:")) == ["echo"]
    assert told(("a:", "")) == ["empty output"]


def test_one_input_with_two_outputs_drops_all_instances_of_the_instruction() -> None:
    assert told(("a", "b"), ("c", "d"), ("a", "x")) == ["contradiction"] * 3
    assert told(("a", "b"), ("a", "b"), ("a", "x")) == ["contradiction"] * 3
    assert told(("", "b"), ("", "x")) == [None, None]  # no input, no contradiction
    assert told(("a", "b"), ("a", "")) == [None, "empty output"]  # what is out contradicts nothing


def test_of_a_cut_off_answer_the_last_instance_goes_before_all_else() -> None:
    assert told(("a", "b"), ("c", "d"), cut_off=True) == [None, "cut off"]
    assert told(("a", "b"), ("a", "b and"), cut_off=True) == [None, "cut off"]
    assert told(("a", "b"), ("c", ""), cut_off=True) == [None, "cut off"]
    assert told(("a", "b"), cut_off=True) == ["cut off"]
    assert told(cut_off=True) == []


def test_at_most_five_instances_are_kept_whichever_chance_picks() -> None:
    pairs = [(f"input {place}", f"output {place}") for place in range(9)]
    picks = [told(*pairs, seed=seed) for seed in range(30)]
    assert {tuple(sorted(map(str, pick))) for pick in picks} == {("None",) * 5 + ("surplus",) * 4}
    kept = {place for pick in picks for place, reason in enumerate(pick) if reason is None}
    assert kept == set(range(9))
    assert told(*pairs, seed=3) == told(*pairs, seed=3)
    assert told(*pairs[:5]) == [None] * 5


PAIRS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "c:"]), st.sampled_from("abcx")), max_size=9
)


@settings(deadline=None)
@given(PAIRS, st.booleans())
def test_what_the_filters_keep_is_at_most_five_different_instances_that_do_not_contradict(
    pairs: list[tuple[str, str]], cut_off: bool
) -> None:
    reasons = told(*pairs, cut_off=cut_off)
    kept = [pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None]
    assert len(kept) == len(set(kept)) <= 5
    outputs: dict[str, str] = {}
    for given_, output in kept:
        if given_:
            assert outputs.setdefault(given_, output) == output
    assert all(reason is None or reason == reason.lower() for reason in reasons)


# 8. Format


def layouts(given_: str) -> list[str]:
    """All texts that a drawn layout can give, each as often as it is drawn in a thousand."""
    return [laid_out("Do it.", given_, "drawn", draw / 1000) for draw in range(1000)]


def test_there_are_seven_layouts_with_an_input_and_six_without() -> None:
    for given_, count in (("x", 7), ("", 6)):
        drawn = Counter(layouts(given_))
        assert len(drawn) == count
        assert max(drawn.values()) - min(drawn.values()) <= 2  # equally likely
        assert all("Do it." in text and given_ in text for text in drawn)


def test_the_plain_layout_is_always_the_same() -> None:
    assert {laid_out("Do it.", "x: y\n\nz", "plain", draw) for draw in (0, 0.5, 0.999)} == {
        "Do it.\n\nx: y\n\nz"
    }
    assert laid_out("Do it.", "", "plain", 0.7) == "Do it."


def test_half_of_the_drawn_layouts_leave_out_a_field_s_name_and_blank_lines() -> None:
    drawn = layouts("Sentence: one\n\ntwo")
    with_name = [text for text in drawn if "Sentence: one\n\ntwo" in text]
    without = [text for text in drawn if "one\ntwo" in text and "Sentence" not in text]
    assert len(with_name) + len(without) == 1000
    assert 490 <= len(with_name) <= 510


@each(
    "text",
    ["https://example.org/a", "A: one\nB: two", "10:30", "a: {instruction}: {input}", "Time:"],
)
def test_what_is_no_single_field_s_name_stays(text: str) -> None:
    assert all(text in drawn for drawn in layouts(text))


def test_braces_in_a_task_are_text() -> None:
    assert all("{0} {x}" in laid_out("{0} {x}", "{y}", "drawn", n / 14) for n in range(14))


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


def test_a_task_without_an_instance_shows_what_the_teacher_said() -> None:
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
            said = self.say(stage, raw["text"])
            text, finish_reason = said if isinstance(said, tuple) else (said, "stop")
            self.asked.append((stage, raw["text"]))
            call = f"{len(self.asked):016x}"
            if finish_reason == "failed":
                out.append({**raw, "failed": "time-out", "failed_step": stage, "failed_why": text})
                continue
            out.append(
                {
                    **raw,
                    "answer": text,
                    f"llm_{stage}_finish_reason": finish_reason,
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
    """Continues every list with a new task, one that it said before, and one that is too short."""

    def __init__(self) -> None:
        self.said = 0

    def __call__(self, stage: str, text: str) -> str:
        if stage == "bootstrap":
            self.said += 1
            dice = random.Random(self.said)
            new = " ".join(dice.sample(NOUNS, 7))
            return f" Connect {new}.\n10. {SEEDS[self.said]['instruction']}\n11. Too short."
        if stage == "classify":
            return " Yes" if "candle" in text.split("\n\n")[-1] else " No"
        if stage == "output_first":
            return "Label: warm\nInput: tea\nLabel: cold\nInput: ice"
        return "Example 1\nInput: one\nOutput: 1\nExample 2\nInput: two\nOutput: two:"


def asked_for(rows: int, *, seed: int = 42, layout: str = "drawn") -> Settings:
    return Settings(rows=rows, seed=seed, options={"layout": layout})


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


def test_enough_candidates_end_the_rounds_and_the_count_is_told_after_each() -> None:
    teacher = Teacher(Inventor())
    list(candidates(teacher, SEEDS, asked_for(31)))
    assert teacher.reported == [15, 30, 45]


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
    assert {(raw["reject"], raw["most_similar"]) for raw in raws} == {("too similar", task)}
    assert len(raws) == 5


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
    teacher = Teacher(lambda *_: (" Name a fruit or two.\n10. Name a", "length"))
    raws = list(candidates(teacher, SEEDS, asked_for(1)))
    assert {raw["reject"] for raw in raws} == {"cut off"}
    verdict = row(raws[0])
    assert isinstance(verdict, Drop)
    assert verdict.evidence == {"answer": " Name a fruit or two.\n10. Name a"}


@each("said", ["", ("", "length"), ("no answer", "failed"), "\n10. \n11."])
def test_a_teacher_that_gives_no_candidate_is_not_asked_for_ever(said: Any) -> None:
    teacher = Teacher(lambda *_: said)
    raws = list(candidates(teacher, SEEDS, asked_for(100)))
    assert len(teacher.asked) == 50 and {stage for stage, _ in teacher.asked} == {"bootstrap"}
    assert len(raws) == (50 if isinstance(said, tuple) else 0)


@each("stage", ["bootstrap", "classify", "input_first", "output_first"])
def test_a_row_that_failed_at_any_stage_comes_out_as_failed(stage: str) -> None:
    inventor = Inventor()

    def say(at: str, text: str) -> str | tuple[str, str]:
        said = inventor(at, text)
        return ("nobody answered", "failed") if at == stage and len(text) % 3 == 0 else said

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
