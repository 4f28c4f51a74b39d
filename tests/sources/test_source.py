"""What a set starts from: every form of file is read, and what is wrong in it is named."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.recipe import row_id
from builders.schema import user
from builders.sources.source import PROMPT_COLUMNS, Source, read_prompts, read_tasks

ASKED = ["Name a fruit.", "Why is the sky blue?\nBe brief.", 'Say "oui, non" in English.']
TASK = {
    "instruction": "Name a fruit.",
    "instances": [{"input": "", "output": "Pear"}],
    "is_classification": False,
}


def written(folder: Path, name: str, rows: Sequence[Any], head: str = "") -> str:
    """A file of one object a line."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / name).write_text(head + lines, encoding="utf-8")
    return str(folder / name)


def texts(source: Source) -> list[str]:
    """The last turn of each prompt."""
    return [row["prompt"][-1]["content"] for row in read_prompts(source)[0]]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "ndjson"])
@pytest.mark.parametrize("column", PROMPT_COLUMNS)
def test_prompts_are_read_alike_from_every_form_of_file(
    tmp_path: Path, suffix: str, column: str
) -> None:
    path = tmp_path / f"prompts.{suffix}"
    rows = [{"nr": place, column: text} for place, text in enumerate(ASKED)]
    if suffix == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, ["nr", column])
            table.writeheader()
            table.writerows(rows)
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        written(tmp_path, path.name, rows)
    prompts, revision, _ = read_prompts(Source(place=str(path)))
    assert prompts == [{"id": row_id(text), "prompt": user(text)} for text in ASKED]
    assert revision == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_of_a_text_file_each_line_is_a_prompt_and_empty_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("Name a fruit.\r\n\r\n   \nWhat is 2\u20282?\n".encode())
    assert texts(Source(place=str(path))) == ["Name a fruit.", "What is 2\u20282?"]


def test_a_named_column_goes_before_the_usual_ones(tmp_path: Path) -> None:
    place = written(tmp_path, "a.jsonl", [{"prompt": "not this", "wish": "this"}])
    assert texts(Source(place=place, column="wish")) == ["this"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_json_does_not_end_the_line(tmp_path: Path, separator: str) -> None:
    text = f"one{separator}two"
    place = written(tmp_path, "a.jsonl", [{"prompt": text}])
    assert separator in Path(place).read_text(encoding="utf-8")
    assert texts(Source(place=place)) == [text]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "txt"])
def test_a_byte_order_mark_is_no_part_of_the_first_column_or_prompt(
    tmp_path: Path, suffix: str
) -> None:
    content = {
        "jsonl": '{"prompt": "Hi there"}\n',
        "json": '[{"prompt": "Hi there"}]',
        "csv": "prompt\nHi there\n",
        "txt": "Hi there\n",
    }[suffix]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert texts(Source(place=str(path))) == ["Hi there"]


def role(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def speaker(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": value} for speaker, value in turns]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("column", "dialogue", "prompt"),
    [
        ("messages", role(("user", "a"), ("assistant", "b")), role(("user", "a"))),
        ("conversations", speaker(("human", "a"), ("gpt", "b")), role(("user", "a"))),
        ("prompt", role(("user", "a")), role(("user", "a"))),
        (
            "messages",
            role(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")),
            role(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")),
        ),
        (
            "conversations",
            speaker(("system", "s"), ("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d")),
            role(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")),
        ),
        (
            "messages",
            role(("user", "a"), ("assistant", "b"), ("assistant", "c")),
            role(("user", "a")),
        ),
    ],
)
def test_of_a_dialogue_what_stands_before_its_last_answer_is_the_prompt(
    tmp_path: Path, suffix: str, column: str, dialogue: Any, prompt: Any
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist([{column: dialogue}]), path)
    else:
        written(tmp_path, path.name, [{column: dialogue}])
    prompts, *_ = read_prompts(Source(place=str(path)))
    assert prompts == [{"id": row_id(prompt), "prompt": prompt}]


def test_more_that_a_message_holds_is_left_behind(tmp_path: Path) -> None:
    turn: dict[str, Any] = {"role": "user", "content": "a", "name": None, "weight": 1}
    prompts, *_ = read_prompts(Source(place=written(tmp_path, "a.jsonl", [{"messages": [turn]}])))
    assert prompts[0]["prompt"] == user("a")


def test_a_dialogue_in_which_no_user_speaks_asks_nothing(tmp_path: Path) -> None:
    rows: list[Any] = [{"messages": role(("assistant", "a"))}, {"messages": role(("user", "b"))}]
    assert texts(Source(place=written(tmp_path, "a.jsonl", rows))) == ["b"]


def test_a_prompt_given_twice_is_asked_once_as_it_came_first(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": text} for text in ("Name a  fruit.", "NAME a fruit.\n", "Name two fruits.")
    ]
    rows.append({"prompt": user("name a fruit.")})
    place = written(tmp_path, "a.jsonl", rows)
    assert texts(Source(place=place)) == ["Name a  fruit.", "Name two fruits."]


def test_empty_lines_between_objects_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"prompt": "a"}\r\n\n   \n{"prompt": "b"}')
    assert texts(Source(place=str(path))) == ["a", "b"]


def test_a_folder_of_files_is_read_as_load_dataset_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    written(folder, "train.jsonl", [{"prompt": "a"}])
    written(folder, "test.jsonl", [{"prompt": "b"}])
    assert texts(Source(place=str(folder))) == ["a"]
    assert texts(Source(place=str(folder), split="test")) == ["b"]
    with pytest.raises(InputError, match=r"has no split 'dev'; there are train, test; name one"):
        read_prompts(Source(place=str(folder), split="dev"))


BAD_PROMPTS = [
    ("a.jsonl", b'{"prompt": "a"}\n{"prompt": \n', r"a\.jsonl, line 2: not JSON \(.*column"),
    ("a.jsonl", b'{"prompt": "a"}\n["b"]\n', r"a\.jsonl, line 2: \['b'\] is not an object"),
    ("a.jsonl", b'{"prompt": "a"}\n{"other": "b"}\n', r"2: no column 'prompt'; there are other"),
    ("a.jsonl", b'{"foo": "a", "bar": 1}\n', r"no column with prompts; there are foo, bar; name"),
    ("a.jsonl", b'{"prompt": 7}\n', r"line 1: column 'prompt' holds 7, expected a text or a list"),
    ("a.jsonl", b'{"messages": ["a"]}\n', r"column 'messages' holds \['a'\], expected a text"),
    ("a.jsonl", b'{"messages": [{"role": "user"}]}\n', r"expected .* 'role' and 'content'"),
    ("a.jsonl", b'{"prompt": null}\n', r"0 prompts left"),
    ("a.jsonl", b"", r"a\.jsonl: 0 prompts left; expected at least one row"),
    ("a.jsonl", b'{"prompt": " "}\n', r"a\.jsonl: 0 prompts left"),
    ("a.jsonl", b'{"prompt": "a"}\n\n{"prompt": "\xe9"}\n', r"line 3: not UTF-8 \(byte 0xe9\)"),
    ("a.jsonl", b'\xef\xbb\xbf{"prompt": "a"}\n\xff\n', r"line 2: not UTF-8 \(byte 0xff\)"),
    ("a.json", b'[{"prompt": "a"},\n oops]', r"a\.json, line 2: not JSON .* name the file \.jsonl"),
    ("a.json", b'{"prompt": "a"}', r"a\.json: expected a list of objects"),
    ("a.json", b"[1]", r"a\.json: expected a list of objects"),
    ("a.csv", b"foo,bar\n1,2\n", r"a\.csv, row 1: no column with prompts; there are foo, bar"),
    ("a.csv", b'prompt\n"' + b"x" * 140_000 + b'"\n', r"a\.csv, line 2: not CSV \(field larger"),
    ("a.csv", b"prompt\n", r"a\.csv: 0 prompts left"),
    ("a.txt", b"\n \n", r"a\.txt: 0 prompts left"),
    ("a.parquet", b"PAR1 is not enough", r"a\.parquet is not a parquet file \(.+\); give another"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD_PROMPTS)
def test_what_is_wrong_with_prompts_is_said_in_one_line_with_its_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_prompts(Source(place=str(tmp_path / name)))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    assert str(tmp_path) not in str(raised.value)


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
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
    ],
)
def test_what_is_wrong_with_a_seed_task_is_said_in_one_line_with_its_place(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_tasks(Source(place=written(tmp_path, "a.jsonl", rows)))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("read", [read_tasks, read_prompts])
def test_a_file_that_is_not_there_is_named_with_what_may_be_given(read: Any) -> None:
    with pytest.raises(
        InputError, match=r"there is no file 'seeds\.jsnl'; give a \.jsonl, .* org/name"
    ):
        read(Source(place="seeds.jsnl"))


READ = """
    from builders.errors import InputError
    from builders.sources.source import Source, read_prompts
    try:
        rows, revision, _ = read_prompts(Source(place={place!r}, revision={revision!r}))
        tell([len(rows), revision])
    except InputError as error:
        tell([0, str(error)])
"""


@pytest.mark.slow
def test_a_hub_dataset_is_recorded_with_the_commit_at_which_it_was_read(
    hub: Any, repo: str, tmp_path: Path
) -> None:
    def pushed(rows: int) -> str:
        text = "".join(json.dumps({"prompt": f"What is {n}?"}) + "\n" for n in range(rows))
        done = hub.api().upload_file(
            path_or_fileobj=text.encode(),
            path_in_repo="data/train.jsonl",
            repo_id=repo,
            repo_type="dataset",
        )
        return str(done.oid)

    def read(revision: str | None = None, **more: str) -> Any:
        code = READ.format(place=repo, revision=revision)
        return hub.python(code, tmp_path / "hf", **more)

    first = pushed(3)
    assert read() == [3, first]
    second = pushed(5)
    hub.api().create_tag(repo, tag="v1", revision=first, repo_type="dataset")
    assert read("v1") == [3, first]
    assert read(HF_HUB_OFFLINE="1") == [3, first]  # all that the cache has, and it says so
    assert read() == [5, second]
    _, why = read(first[:39] + "0", HF_HUB_OFFLINE="1")
    assert "could not be reached" in why
