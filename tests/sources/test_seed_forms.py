"""What records become: prompts from texts and dialogues, and the tasks of Self-Instruct."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builders.errors import InputError
from builders.recipe import row_id
from builders.schema import user
from builders.sources.seed_forms import PROMPT_COLUMNS, read_prompts, read_tasks
from builders.sources.source import Source

TASK = {
    "instruction": "Name a fruit.",
    "instances": [{"input": "", "output": "Pear"}],
    "is_classification": False,
}


def written(folder: Path, name: str, rows: Sequence[Any]) -> str:
    """A file of one object per line."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / name).write_text(lines, encoding="utf-8")
    return str(folder / name)


def texts(source: Source) -> list[str]:
    """The last turn of each prompt."""
    return [row["prompt"][-1]["content"] for row in read_prompts(source)[0]]


def test_a_usual_column_of_prompts_is_found(tmp_path: Path) -> None:
    for column in PROMPT_COLUMNS:
        place = written(tmp_path, f"{column}.jsonl", [{"nr": 1, column: "Name a fruit."}])
        prompts, *_ = read_prompts(Source(place=place))
        assert prompts == [{"id": row_id("Name a fruit."), "prompt": user("Name a fruit.")}]


def test_a_named_column_goes_before_the_usual_ones(tmp_path: Path) -> None:
    place = written(tmp_path, "a.jsonl", [{"prompt": "not this", "wish": "this"}])
    assert texts(Source(place=place, column="wish")) == ["this"]


def role(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def speaker(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": value} for speaker, value in turns]


def test_a_dialogue_is_kept_up_to_its_last_question(tmp_path: Path) -> None:
    longer = role(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    shared = speaker(("system", "s"), ("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d"))
    for column, dialogue, prompt in (
        ("messages", role(("user", "a"), ("assistant", "b")), role(("user", "a"))),
        ("conversations", speaker(("human", "a"), ("gpt", "b")), role(("user", "a"))),
        ("prompt", role(("user", "a")), role(("user", "a"))),
        ("messages", longer, longer),
        ("conversations", shared, longer),
        ("messages", role(("user", "a"), *[("assistant", "b")] * 2), role(("user", "a"))),
    ):
        pq.write_table(pa.Table.from_pylist([{column: dialogue}]), tmp_path / "a.parquet")
        for place in (written(tmp_path, "a.jsonl", [{column: dialogue}]), tmp_path / "a.parquet"):
            prompts, *_ = read_prompts(Source(place=str(place)))
            assert prompts == [{"id": row_id(prompt), "prompt": prompt}], (dialogue, place)


def test_other_keys_of_a_message_are_left_out(tmp_path: Path) -> None:
    turn: dict[str, Any] = {"role": "user", "content": "a", "name": None, "weight": 1}
    prompts, *_ = read_prompts(Source(place=written(tmp_path, "a.jsonl", [{"messages": [turn]}])))
    assert prompts[0]["prompt"] == user("a")


def test_a_dialogue_without_a_user_turn_is_an_empty_prompt(tmp_path: Path) -> None:
    rows: list[Any] = [{"messages": role(("assistant", "a"))}, {"messages": role(("user", "b"))}]
    assert texts(Source(place=written(tmp_path, "a.jsonl", rows))) == ["b"]


def test_a_repeated_prompt_is_kept_once_as_it_came_first(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": text} for text in ("Name a  fruit.", "NAME a fruit.\n", "Name two fruits.")
    ]
    rows.append({"prompt": user("name a fruit.")})
    place = written(tmp_path, "a.jsonl", rows)
    assert texts(Source(place=place)) == ["Name a  fruit.", "Name two fruits."]


def test_texts_in_the_columns_to_keep_come_along_and_empty_prompts_are_counted(
    tmp_path: Path,
) -> None:
    rows = [{"prompt": "a", "x": "kept", "y": 1}, {"prompt": " "}, {"prompt": "A", "x": "later"}]
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", rows)), ("x", "y", "z"))
    assert loaded.rows == [{"id": row_id("a"), "prompt": user("a"), "x": "kept"}]
    assert loaded.left_out == {"empty": 1, "repeated": 1}


BAD_PROMPTS = [
    ("a.jsonl", b'{"prompt": "a"}\n{"other": "b"}\n', r"2: no column 'prompt'; there are other"),
    ("a.jsonl", b'{"foo": "a", "bar": 1}\n', r"no column with prompts; there are foo, bar; name"),
    ("a.jsonl", b'{"prompt": 7}\n', r"line 1: column 'prompt' holds 7, expected a text or a list"),
    ("a.jsonl", b'{"messages": ["a"]}\n', r"column 'messages' holds \['a'\], expected a text"),
    ("a.jsonl", b'{"messages": [{"role": "user"}]}\n', r"expected .* 'role' and 'content'"),
    ("a.jsonl", b'{"prompt": null}\n', r"0 prompts left"),
    ("a.jsonl", b"", r"a\.jsonl: 0 prompts left; expected at least one row"),
    ("a.jsonl", b'{"prompt": " "}\n', r"a\.jsonl: 0 prompts left"),
    ("a.csv", b"foo,bar\n1,2\n", r"a\.csv, line 2: no column with prompts; there are foo, bar"),
    ("a.csv", b"prompt\n", r"a\.csv: 0 prompts left"),
    ("a.txt", b"\n \n", r"a\.txt: 0 prompts left"),
]  # fmt: skip


def refusal(read: Callable[[Source], Any], place: str) -> str:
    """The error that a source raises; empty where it raises none."""
    try:
        read(Source(place=place))
    except InputError as error:
        return str(error)
    return ""


def test_what_is_wrong_with_prompts_is_one_line_with_its_place(tmp_path: Path) -> None:
    for name, content, message in BAD_PROMPTS:
        (tmp_path / name).write_bytes(content)
        error = refusal(read_prompts, str(tmp_path / name))
        assert re.search(message, error), (content, error)
        assert "\n" not in error and len(error) < 300
        assert str(tmp_path) not in error


def task(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**TASK, **changes}.items() if value is not ...}


def test_seed_tasks_keep_their_instances_and_get_an_id_where_they_have_none(
    tmp_path: Path,
) -> None:
    rows = [task(id="seed_1", kind="fruit"), task(instruction="Name a tree."), task(id=7)]
    tasks, revision, _ = read_tasks(Source(place=written(tmp_path, "a.jsonl", rows)))
    assert [one["id"] for one in tasks] == ["seed_1", row_id("Name a tree."), "7"]
    assert tasks[0] == {"id": "seed_1", **TASK}
    assert revision.startswith("sha256:")


def test_the_published_seed_tasks_are_read_whole(data: Path) -> None:
    tasks, *_ = read_tasks(Source(place=str(data / "seed_tasks_175.jsonl")))
    assert len(tasks) == len({one["id"] for one in tasks}) == 175


BAD_TASKS: list[tuple[list[Any], str]] = [
    ([task(), task(instruction=...)], r"line 2: no field 'instruction'; a seed needs instr"),
    ([task(instances=...)], r"line 1: no field 'instances'"),
    ([task(is_classification=...)], r"line 1: no field 'is_classification'"),
    ([task(is_classification="yes")], r"'is_classification' is 'yes', expected a bool"),
    ([task(instances="x" * 1000)], r"'instances' is 'x+\.\.\., expected a list"),
    ([task(instances=["x" * 1000])], r"an instance is 'x+\.\.\., expected an object"),
    ([task(instruction=["a"])], r"'instruction' is \['a'\], expected a str"),
    ([task(instruction=" ")], r"line 1: 'instruction' is empty"),
    ([task(instances={})], r"'instances' is \{\}, expected a list"),
    ([task(instances=[{"input": "a"}])], r"an instance is \{'input': 'a'\}, expected an obj"),
    ([task(instances=["a"])], r"an instance is 'a', expected an object"),
    ([task(id="x"), task(id="y"), task(id="x")], r"line 3: the id 'x' was already .* line 1"),
    ([task(), task()], r"line 2: the id '[0-9a-f]{16}' was already given in a\.jsonl, line 1"),
    ([], r"a\.jsonl: 0 seeds left"),
]


def test_what_is_wrong_with_a_seed_task_is_one_line_with_its_place(tmp_path: Path) -> None:
    for rows, message in BAD_TASKS:
        error = refusal(read_tasks, written(tmp_path, "a.jsonl", rows))
        assert re.search(message, error), (message, error)
        assert "\n" not in error and len(error) < 300
        assert str(tmp_path) not in error
