"""What records become: prompts from texts and dialogues, and the tasks of Self-Instruct."""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.recipe import row_id
from builders.schema import user
from builders.sources.column_plan import PROMPT_COLUMNS
from builders.sources.seed_forms import read_prompts, read_tasks
from builders.sources.source import LoadedSource, Source
from tests.cases import each

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
        value = ["Name a fruit.", "Pear"] if column == "data" else "Name a fruit."
        place = written(tmp_path, f"{column}.jsonl", [{"nr": 1, column: value}])
        prompts, *_ = read_prompts(Source(place=place))
        assert prompts == [{"id": row_id("Name a fruit."), "prompt": user("Name a fruit.")}]


def test_a_named_column_goes_before_the_usual_ones(tmp_path: Path) -> None:
    place = written(tmp_path, "a.jsonl", [{"prompt": "not this", "wish": "this"}])
    assert texts(Source(place=place, column="wish")) == ["this"]


def test_a_repeated_prompt_is_kept_once_as_it_came_first(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": text} for text in ("Name a  fruit.", "NAME a fruit.\n", "Name two fruits.")
    ]
    rows.append({"prompt": user("name a fruit.")})
    place = written(tmp_path, "a.jsonl", rows)
    assert texts(Source(place=place)) == ["Name a  fruit.", "Name two fruits."]


def reasons(loaded: LoadedSource) -> dict[str, str]:
    """The line of each row that was left out, with its reason."""
    return {one.place.rpartition(", ")[2]: one.reason for one in loaded.left_out}


def test_texts_in_the_columns_to_keep_come_along_and_empty_prompts_are_counted(
    tmp_path: Path,
) -> None:
    rows = [{"prompt": "a", "x": "kept", "y": 1}, {"prompt": " "}, {"prompt": "A", "x": "later"}]
    rows += [{"prompt": "b", "x": "half \ud83d"}]
    place = written(tmp_path, "a.jsonl", [])
    Path(place).write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = read_prompts(Source(place=place), ("x", "y", "z"))
    assert loaded.rows == [
        {"id": row_id("a"), "prompt": user("a"), "x": "kept"},
        {"id": row_id("b"), "prompt": user("b")},
    ]
    assert reasons(loaded) == {"line 2": "empty", "line 3": "repeated"}


def test_prompts_that_share_an_instruction_are_other_rows(tmp_path: Path) -> None:
    rows = [{"instruction": "Sum up.", "input": text} for text in ("One.", "Two.", " one.")]
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", rows)))
    assert len(loaded.rows) == 2 and reasons(loaded) == {"line 3": "repeated"}


def test_named_columns_are_joined_and_the_others_are_named(tmp_path: Path) -> None:
    row = {"question": "q", "context": "c", "hint": "h", "a+b": "ab"}
    place = written(tmp_path, "a.jsonl", [row])
    for column, text, unused in (
        ("question", "q", ["context", "hint", "a+b"]),
        ("hint+question", "h\n\nq", ["context", "a+b"]),
        ("a+b", "ab", ["question", "context", "hint"]),
    ):
        loaded = read_prompts(Source(place=place, column=column))
        assert loaded.rows[0]["prompt"] == user(text) and loaded.unused == unused
    with pytest.raises(InputError, match=r"no column 'hunt'; there are question, context, hint"):
        read_prompts(Source(place=place, column="question+hunt"))


def test_each_file_asks_in_the_column_of_most_of_its_rows_and_others_are_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "set").mkdir()
    many = [{"question": str(number), "context": "on"} for number in range(3)]
    written(tmp_path / "set", "a.jsonl", [{"nr": 1}, {"prompt": "b"}, *many, {"task": "t"}])
    written(tmp_path / "set", "b.jsonl", [{"task": "t", "prompt": ""}, {"prompt": "c"}])
    loaded = read_prompts(Source(place=str(tmp_path / "set")))
    assert [row["prompt"][0]["content"] for row in loaded.rows] == [
        "0\n\non",
        "1\n\non",
        "2\n\non",
        "c",
    ]
    assert [(one.place, one.reason) for one in loaded.left_out] == [
        ("a.jsonl, line 1", "unreadable"),
        ("a.jsonl, line 2", "unreadable"),
        ("a.jsonl, line 6", "unreadable"),
        ("b.jsonl, line 1", "empty"),
    ]
    assert "no column 'question'; there are prompt" in loaded.left_out[1].why
    assert loaded.forms == [["question", "context"], ["prompt"]]
    assert loaded.parts == ["a.jsonl", "b.jsonl"]


def test_rows_after_the_last_one_that_is_used_are_counted_only(tmp_path: Path) -> None:
    rows = [{"prompt": text} for text in ("a", "", "a", "b", "", "c", "a")]
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", rows)), most=2)
    assert [row["prompt"][0]["content"] for row in loaded.rows] == ["a", "b"]
    assert reasons(loaded) == {"line 2": "empty", "line 3": "repeated"} and loaded.beyond == 3


def test_a_seed_task_is_a_prompt_for_each_of_its_instances(tmp_path: Path) -> None:
    rate = [{"input": x, "output": "y"} for x in ("a cat", "a cow", "")]
    rows: list[dict[str, Any]] = [
        TASK,
        {**TASK, "instruction": "Rate it.", "instances": rate},
        {**TASK, "instruction": "Sing.", "instances": [{"input": "<noinput>", "output": "y"}]},
        {**TASK, "instruction": "Dance.", "instances": []},
    ]
    place = written(tmp_path, "a.jsonl", rows)
    asked = [
        "Name a fruit.",
        "Rate it.\n\na cat",
        "Rate it.\n\na cow",
        "Rate it.",
        "Sing.",
        "Dance.",
    ]
    assert texts(Source(place=place)) == asked


@each("words", ("No input", "N/A", "<noinput>", "[no input]", "No input required.", "n/a"))
def test_words_that_there_is_no_input_are_not_asked(words: str, tmp_path: Path) -> None:
    rows = [
        {"instruction": x, "input": y, "output": "z"}
        for x, y in (("Sing.", words), ("Draw.", "it all"), ("Hum.", words))
    ]
    place = written(tmp_path, "a.jsonl", rows)
    assert texts(Source(place=place)) == ["Sing.", "Draw.\n\nit all", "Hum."]


@each("words", ("No input", "N/A", "Not applicable"))
def test_such_words_are_asked_where_they_may_be_what_a_row_is_about(
    words: str, tmp_path: Path
) -> None:
    rows = [{"instruction": "Put it into French.", "input": x} for x in (words, "It is late.")]
    asked = [f"Put it into French.\n\n{x}" for x in (words, "It is late.")]
    assert texts(Source(place=written(tmp_path, "a.jsonl", rows))) == asked
    codes = [
        {"instruction": x, "input": y}
        for x, y in (("Expand it.", "N/A"), ("Say it.", "N/A"), ("Sing it.", "UN"), ("Hum.", "EU"))
    ]
    asked = ["Expand it.\n\nN/A", "Say it.\n\nN/A", "Sing it.\n\nUN", "Hum.\n\nEU"]
    assert texts(Source(place=written(tmp_path, "b.jsonl", codes))) == asked


MISSING: dict[str, tuple[str, list[str]]] = {
    "a context": ("question,context\nWhy?,None\nHow?,So it is.\n", ["Why?", "How?\n\nSo it is."]),
    "an input": ("instruction,input\nSing.,nan\nAdd one.,3\n", ["Sing.", "Add one.\n\n3"]),
    "all contexts": ("question,context\nWhy?,NA\nHow?,NA\n", ["Why?", "How?"]),
    "options": (
        "question,A,B,C\nWhich is null?,None,1,x\nWhich is none?,NaN,2,y\n",
        ["Which is null?\n\nA. None\nB. 1\nC. x", "Which is none?\n\nA. NaN\nB. 2\nC. y"],
    ),
    "codes": ("prompt\nDE\nFR\nNA\nNaN\n", ["DE", "FR", "NA"]),
    "codes as inputs": (
        "instruction,input\nName it.,DE\nName it.,NA\nName it.,FR\n",
        ["Name it.\n\nDE", "Name it.\n\nNA", "Name it.\n\nFR"],
    ),
}


@each(("table", "asked"), MISSING)
def test_what_marks_a_missing_value_in_a_table_is_no_part_of_a_prompt(
    table: str, asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(table)
    assert texts(Source(place=str(tmp_path / "a.csv"))) == asked


def test_a_missing_system_prompt_in_a_table_is_no_turn(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("system,prompt\nNaN,Say hi.\nBe kind.,Say no.\n")
    rows = read_prompts(Source(place=str(tmp_path / "a.csv"))).rows
    assert [[turn["role"] for turn in row["prompt"]] for row in rows] == [
        ["user"],
        ["system", "user"],
    ]


INSTANCES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "as in Unnatural Instructions": (
        {
            "instruction_with_input": "Rate it. a cat",
            "input": "a cat",
            "constraints": "None.",
            "output": "y",
        },
        ["Rate it.\n\na cat"],
    ),
    "inputs alone": ({"input": "a cat"}, ["Rate it.\n\na cat"]),
    "an id of its own": ({"input": "a cat", "output": "y", "id": 1}, ["Rate it.\n\na cat"]),
}


@each(("instance", "asked"), INSTANCES)
def test_an_instance_is_asked_whatever_it_has_beside_its_input(
    instance: dict[str, Any], asked: list[str], tmp_path: Path
) -> None:
    rows = [{"instruction": "Rate it.", "instances": [instance]}]
    assert texts(Source(place=written(tmp_path, "a.jsonl", rows))) == asked


@each("mark", ("NaN", "nan", "#N/A", "NULL", "None", "<NA>", "\\N", "#REF!"))
def test_the_mark_of_a_missing_value_in_a_table_is_no_prompt(mark: str, tmp_path: Path) -> None:
    for name, rows in {
        "a.csv": f"nr,prompt\n1,Sing.\n2,{mark}\n3,Draw.\n",
        "b.tsv": f"nr\tprompt\n1\tSing.\n2\t{mark}\n3\tDraw.\n",
    }.items():
        place = tmp_path / name
        place.write_text(rows)
        read = read_prompts(Source(place=str(place)))
        assert [row["prompt"][0]["content"] for row in read.rows] == ["Sing.", "Draw."]
        [left_out] = read.left_out
        assert left_out[:2] == (f"{name}, line 3", "unreadable")
        assert left_out.why.startswith(f"column 'prompt' is {mark!r}, which marks a missing value;")
    assert texts(Source(place=written(tmp_path, "c.jsonl", [{"prompt": mark}]))) == [mark]


_CARDS = '#html:true\n#tags column:3\nWhat?\tThis\tx\nWho?\t"He ""A"""\ty\n'
TABLES: dict[str, tuple[str, str, str | None, str]] = {
    "Anki's cards": ("a.txt", f"#separator:tab\n{_CARDS}", "field 1", "field 2, tags"),
    "Anki's cards with names": (
        "a.txt",
        "#separator:Semicolon\n#html:false\n#columns:Question;Back\nWhat?;This\nWho?;He\n",
        None,
        "Back",
    ),
    "a title": (
        "a.csv",
        "My list,,\n,,\nprompt,answer,n\nWhat?,x,1\nWho?,y,2\n",
        None,
        "answer, n",
    ),
    "a title before a blank line": (
        "a.csv",
        "\nMy list;;\n\nprompt;answer;n\nWhat?;x;1\nWho?;y;2\n",
        None,
        "answer, n",
    ),
    "Blooket's template": (
        "a.csv",
        '"Blooket\nImport Template",,,,\nQuestion #,Question Text,Answer 1,"Answer 2\n(Optional)",'
        '"Correct Answer(s)\n(Only include Answer #)"\n1,What?,,,\n2,Who?,,,\n',
        None,
        "Question #",
    ),
    "a title with no empty row after it": (
        "a.csv",
        "A Template,,\nQuestion,Correct Answer,Note\nWhat?,x,y\nWho?,z,y\n",
        None,
        "Correct Answer, Note",
    ),
    "a title of two rows": (
        "a.csv",
        "My list,,\nof mine,,\n,,\nprompt,answer,n\nWhat?,x,1\nWho?,y,2\n",
        None,
        "answer, n",
    ),
    "a header of one name that is not known": (
        "a.csv",
        "frage,,\n,,\nWhat?,1,x\nWho?,2,y\n",
        "frage",
        "''",
    ),
    "a header with a line break": (
        "a.csv",
        '"prompt\n(of mine)",n\nWhat?,1\nWho?,2\n',
        None,
        "n",
    ),
    "a header of one name": ("a.csv", "prompt,,\n,,\nWhat?,,x\nWho?,,y\n", None, "''"),
}


@each(("name", "content", "column", "unused"), TABLES)
def test_what_comes_before_the_rows_of_a_table_is_not_asked(
    name: str, content: str, column: str | None, unused: str, tmp_path: Path
) -> None:
    place = tmp_path / name
    place.write_text(content)
    read = read_prompts(Source(place=str(place), column=column))
    assert [row["prompt"][0]["content"] for row in read.rows] == ["What?", "Who?"]
    assert ", ".join(read.unused) == unused


def test_cards_of_anki_without_a_question_are_refused_with_their_columns(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    place.write_text(f"#separator:tab\n{_CARDS}")
    with pytest.raises(InputError, match=r"line 4: .* there are field 1, field 2, tags; name one"):
        read_prompts(Source(place=str(place)))


REFUSED: dict[str, tuple[str, str]] = {
    "commas after objects": (
        '{"prompt": "Sing."},\n{"prompt": "Draw."},\n',
        "line 1: a comma follows the object; delete it, or put [ and ] around all",
    ),
    "a web page": ("<!DOCTYPE html>\n<html><body>x</body></html>\n", "is a web page; download"),
    "a web page without its type": ("\n<HTML>\n</HTML>\n", "is a web page; download"),
    "nothing in its rows": (
        "{}\n{}\n",
        "line 1: no column with prompts, nor any other; add one",
    ),
}


@each(("content", "line"), REFUSED)
def test_a_file_that_is_no_rows_is_refused_with_what_to_do(
    content: str, line: str, tmp_path: Path
) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text(content)
    with pytest.raises(InputError, match=re.escape(line)):
        read_prompts(Source(place=str(place)))


def test_unreadable_rows_cost_themselves_up_to_half_of_all(tmp_path: Path) -> None:
    good, bad = {"prompt": "a"}, {"prompt": 7}
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", [bad, good])))
    assert reasons(loaded) == {"line 1": "unreadable"}
    assert "'prompt': it is 7, expected a text or a list of messages" in loaded.left_out[0].why
    with pytest.raises(InputError, match=r"2 of 3 rows cannot be read, more than half; the first"):
        read_prompts(Source(place=written(tmp_path, "a.jsonl", [bad, good, bad])))


BAD_PROMPTS = [
    (
        "a.jsonl",
        b'{"foo": "a", "bar": 1}\n',
        r"first is a\.jsonl, line 1: no column with prompts; there are foo, bar; name",
    ),
    ("a.jsonl", b'{"prompt": 7}\n', r"line 1: column 'prompt': it is 7, expected a text or a list"),
    ("a.jsonl", b'{"messages": ["a", "b"]}\n', r"'messages': it holds 'a', expected a text or"),
    ("a.jsonl", b'{"messages": [{"role": "user"}]}\n', r"'user' has no 'content'"),
    ("a.jsonl", b'{"prompt": null}\n', r"line 1: column 'prompt': it is null, expected a text"),
    ("a.jsonl", b'{"prompt": ""}\n', r"0 prompts left \(1 empty\)"),
    ("a.jsonl", b'{"prompt": "a", "system": 5}\n', r"line 1: column 'system': .* is 5, expected a"),
    ("a.jsonl", b'{"prompt": "a", "history": "b"}\n', r"column 'history': it is 'b', expected a"),
    ("a.jsonl", b'{"prompt": "a", "history": [["b", null]]}\n', r"column 'history': .* is null"),
    ("a.jsonl", b'{"prompt": "a", "history": 7}\n', r"column 'history': it is 7, expected a list"),
    (
        "a.jsonl",
        b'{"question": "a", "choices": ["b", null]}\n',
        r"'choices': an option of .* empty",
    ),
    (
        "a.jsonl",
        b'{"question": "a", "choices": 7}\n',
        r"'choices': it is 7, expected a list of opt",
    ),
    (
        "a.jsonl",
        b'{"messages": "[{\\"role\\": "}\n',
        r"'messages': a list of messages that is not J",
    ),
    ("a.jsonl", b'{"role": "assistant", "text": "a"}\n', r"0 prompts left \(1 other turn\)"),
    ("a.jsonl", b'{"role": "user", "text": "a", "parent_id": "b"}\n', r"\(1 other turn\)"),
    ("a.jsonl", b"", r"a\.jsonl: 0 prompts left; expected at least one row"),
    ("a.jsonl", b'{"prompt": " "}\n', r"a\.jsonl: 0 prompts left"),
    ("a.jsonl", b"Name a tree.\nName a river.\n", r"2 of 2 rows cannot be read.*line 1: not JSON"),
    ("a.csv", b"foo,bar\n1,2\n", r"a\.csv, line 2: no column with prompts; there are foo, bar"),
    ("a.csv", b"prompt\n", r"a\.csv: 0 prompts left"),
    ("a.txt", b"\n \n", r"a\.txt: 0 prompts left"),
]


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
    tasks, revision, *_ = read_tasks(Source(place=written(tmp_path, "a.jsonl", rows)))
    assert [one["id"] for one in tasks] == ["seed_1", row_id("Name a tree."), "7"]
    assert tasks[0] == {"id": "seed_1", **TASK}
    assert revision.startswith("sha256:")


def test_null_in_an_instance_of_a_seed_task_is_no_text(tmp_path: Path) -> None:
    rows = [task(instances=[{"input": None, "output": math.nan}], id=None)]
    [read], *_ = read_tasks(Source(place=written(tmp_path, "a.jsonl", rows)))
    assert read["instances"] == [{"input": "", "output": ""}]
    assert read["id"] == row_id(TASK["instruction"])


def test_other_seed_tasks_with_one_id_are_kept_under_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    other = task(instances=[{"input": "green", "output": "Lime"}])
    for name, one in (("a", task(id=0)), ("b", {**other, "id": 0}), ("c", {**other, "id": 0})):
        written(tmp_path / "set", f"{name}.jsonl", [one, {**one, "is_classification": True}])
    loaded = read_tasks(Source(place=str(tmp_path / "set")))
    ids = [one["id"] for one in loaded.rows]
    assert ids[0] == "0" and len({*ids}) == 4 and all(one.startswith("0") for one in ids)
    assert [one.place for one in loaded.left_out] == ["c.jsonl, line 1", "c.jsonl, line 2"]
    assert reasons(loaded) == {"line 1": "repeated", "line 2": "repeated"}


def test_the_published_seed_tasks_are_read_whole(data: Path) -> None:
    tasks, *_ = read_tasks(Source(place=str(data / "seed_tasks_175.jsonl")))
    assert len(tasks) == len({one["id"] for one in tasks}) == 175


BAD_TASKS: dict[str, tuple[Any, str, str]] = {
    "no instruction": (task(instruction=...), "unreadable", "no field 'instruction'; a seed is"),
    "no instances": (task(instances=...), "unreadable", "no field 'instances'"),
    "no label": (task(is_classification=...), "unreadable", "no field 'is_classification'"),
    "a label's type": (task(is_classification="yes"), "unreadable", "is 'yes', expected a bool"),
    "a text": (task(instances="x" * 1000), "unreadable", "xxx..., expected a list"),
    "texts": (task(instances=["x" * 1000]), "unreadable", "xxx..., expected an object"),
    "an instruction's type": (task(instruction=["a"]), "unreadable", "is ['a'], expected a str"),
    "an empty instruction": (task(instruction=" "), "empty", "no text"),
    "half a pair": (task(instruction="a \ud83d"), "unreadable", "half of a surrogate pair"),
    "an instance's keys": (task(instances=[{"input": "a"}]), "unreadable", "expected an object"),
    "a task twice": (task(id="x"), "repeated", "the same task came before, as 'x'"),
    "a number": (
        task(instances=[{"input": "a", "output": 5}]),
        "unreadable",
        "the output of an instance is 5, expected a text",
    ),
    "a list": (
        task(instances=[{"input": ["l"], "output": "b"}]),
        "unreadable",
        "the input of an instance is ['l'], expected a text",
    ),
    "no object": ([1], "unreadable", "[1] is not an object"),
}


@each(("row", "word", "why"), BAD_TASKS)
def test_a_seed_task_that_cannot_be_used_costs_itself(
    row: Any, word: str, why: str, tmp_path: Path
) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text("".join(json.dumps(one) + "\n" for one in (task(id="x"), row)))
    loaded = read_tasks(Source(place=str(place)))
    assert [one["id"] for one in loaded.rows] == ["x"]
    [left_out] = loaded.left_out
    assert left_out.place == "a.jsonl, line 2" and left_out.reason == word and why in left_out.why


def test_a_source_without_seed_tasks_is_one_line_with_its_place(tmp_path: Path) -> None:
    for rows, message in (
        ([], r"a\.jsonl: 0 seeds left; expected at least one row"),
        (
            [{"prompt": "a"}],
            r"1 of 1 row cannot be read, 0 seeds left; the first is a\.jsonl",
        ),
    ):
        error = refusal(read_tasks, written(tmp_path, "a.jsonl", rows))
        assert re.search(message, error), (message, error)
        assert "\n" not in error and len(error) < 300
        assert str(tmp_path) not in error


def test_a_refused_seed_is_shown_a_task_that_can_be_read(tmp_path: Path) -> None:
    alpaca = {"instruction": "Name a fruit.", "input": "", "output": "Pear"}
    error = refusal(read_tasks, written(tmp_path, "a.jsonl", [alpaca]))
    shown = json.loads(error.partition("a seed is such as ")[2])
    assert read_tasks(Source(place=written(tmp_path, "b.jsonl", [shown]))).rows
    with pytest.raises(InputError, match="column 'task': seeds are whole rows"):
        read_tasks(Source(place=written(tmp_path, "b.jsonl", [shown]), column="task"))


def test_what_may_be_the_answer_is_not_asked_and_is_named(tmp_path: Path) -> None:
    row = {"instruction": "q", "content": "c", "email": "e", "source": "s", "nr": 1}
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", [row])))
    assert loaded.unused == ["content", "email", "source", "nr"]
    assert loaded.doubtful == {
        "content": "instruction+content",
        "email": "instruction+email",
    }
    row["response"] = "r"
    loaded = read_prompts(Source(place=written(tmp_path, "a.jsonl", [row])))
    assert loaded.unused == ["source", "nr", "response"] and not loaded.doubtful
