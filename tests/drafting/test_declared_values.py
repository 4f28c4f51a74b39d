"""A wrong value of a set's file: its error has the file, the line and the key to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import load_draft, load_set
from builders.errors import InputError
from builders.release.folder import release
from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Rule
from tests.set_files import write_set

RULE = '{"when": "", "answer": "It is a tall tree of the north, number {{hash}}."}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trees.csv").write_text("question,note\nWhat is an oak?,a\nWhat is an elm?,b\n")
    (tmp_path / "script.jsonl").write_text(RULE)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) != 0
    return capsys.readouterr().err.splitlines()[-1]


def write_trees(front: str) -> None:
    write_set(Path("trees.md"), f"recipe: completions\npretty_name: Trees\n{front}")


OWN = "prompts: {place: trees.csv, license: mit}\n"


@each(
    ("front", "line"),
    [
        ("seeds: trees.csv", "line 4: completions starts from prompts, not from seeds; rename"),
        ("rows: 0", "line 4: rows: 0 is not a whole number from 1 on"),
        ("options:\n  samples: 2\n  top: 1", "line 6: completions has no option 'top'"),
        ("options:\n  samples: 2\n  choose: best", "line 6: choose: there is no 'best'"),
        ("budget:\n  usd: 1\n  price: cheap", "line 6: 'cheap' is not IN/OUT"),
        (
            "teachers:\n  writer: embedded\n  juge: embedded",
            "line 6: completions has no role",
        ),
        ("teachers:\n  judge: embedded\n  writer: gpt", "line 6: there is no teacher 'gpt'"),
        ("teachers: http://a:99999/v1#x", "line 4: a teacher's address, 'http://a:99999/v1', has"),
        (
            "teachers:\n  writer:\n    - scripted:a.py\n    - scripted:b.py",
            "line 5: 2 teachers are named for role 'writer' of completions, which uses one",
        ),
        (
            "teachers:\n  place: embedded\n  parameters:\n    top_k: 3\n    model: x",
            "line 8: 'model' is no parameter to choose",
        ),
        (
            "teachers:\n  place: embedded\n  parameters: {seed: 3}\n  without: [seed]",
            "line 4: teachers: 'seed' is under parameters and under without; remove one of the two",
        ),
        ("teachers:\n  writer:\n  - place: gpt", "line 6: there is no teacher 'gpt'"),
        ("prompts: oaks", "line 4: there is no file 'oaks'; give a .jsonl"),
        ("prompts: instructions", "line 4: there is no draft of 'instructions' in work/; run"),
        ("prompts:\n  license: mit\n  place: oaks.csv", "line 4: there is no file 'oaks.csv'"),
        ("prompts:\n  place: trees.csv\n  column: tree", "line 6: trees.csv: 2 of 2 rows cannot"),
        (
            "prompts:\n  place: trees.csv\n  split: dev",
            "line 6: trees.csv is a file without",
        ),
        ("prompts:\n  place: trees.csv\n  config: en", "line 6: trees.csv is a file, which has no"),
        (
            OWN + "teachers:\n  judge: embedded\n  writer: scripted:a.py",
            "line 7: the teacher",
        ),
        (OWN + "teachers:\n  writer: embedded:a.gguf", "line 6: the model's file 'a.gguf' cannot"),
        (OWN + "teachers:\n  writer: http://127.0.0.1:9/v1#x", "line 6: nothing listens at"),
    ],
)
def test_a_wrong_value_is_refused_with_the_file_and_its_line(
    front: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trees(front)
    assert f"potstill: trees.md, {line}" in refusal(capsys, "build", "trees")


def test_a_recipe_that_is_not_there_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("completion", "./none.py"):
        write_set(Path("trees.md"), f"pretty_name: Trees\nrecipe: {name}")
        assert "potstill: trees.md, line 3: there is no " in refusal(capsys, "build", "trees")


def test_what_a_flag_gives_is_no_error_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_trees("prompts:\n  place: trees.csv\n  column: tree\nteachers: scripted:a.py")
    line = refusal(capsys, "build", "trees", "--column", "none")
    assert line.startswith("potstill: trees.csv: ")
    assert line.endswith("name one with --column")
    assert refusal(capsys, "build", "trees", "--column", "question", "--teacher=scripted:b.py") == (
        "potstill: the teacher's script 'b.py' cannot be read (No such file or directory); give a "
        ".jsonl file of rules or a .py file"
    )


def test_advice_names_a_key_where_the_set_has_a_file_and_else_a_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_trees("prompts: trees.csv\nteachers: scripted:script.jsonl")
    with_file, without = (
        ["trees"],
        ["completions", "--prompts=trees.csv", "--teacher=scripted:script.jsonl"],
    )
    for words, license_, column in (
        (with_file, "`license: ID` under `prompts:`", "`column:` under `prompts:`"),
        (without, "--license ID", "--column"),
    ):
        assert main(["build", *words]) == 0
        printed = capsys.readouterr()
        assert f"needs it: give {license_} and build again" in printed.err
        assert f"give {license_}" in " ".join(printed.out.split())
        draft = load_draft(words[0])
        with pytest.raises(InputError, match=f"build again with {license_}, such as"):
            release(draft, draft.schemas, Path("out"), repository="org/trees")
        Path("trees.csv").write_text("code,note\n1,2\n")
        assert f"name one with {column}" in refusal(capsys, "build", *words)
        Path("trees.csv").write_text("question\nWhat is an oak?\n")


def test_a_model_that_an_endpoint_does_not_serve_is_refused_with_the_line_of_its_teacher(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(Behaviour(rules=(Rule("404"),))) as endpoint:
        write_trees(f"{OWN}teachers:\n  judge: embedded\n  writer: {endpoint.url}#oak")
        line = refusal(capsys, "build", "trees")
    assert line.startswith("potstill: trees.md, line 7: ")
    assert "correct `model:` under `teachers:`" in line


def test_a_budget_that_needs_a_price_is_refused_with_the_line_and_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint() as endpoint:
        write_trees(f"{OWN}budget:\n  usd: 1\nteachers: {endpoint.url}#oak")
        assert refusal(capsys, "build", "trees").startswith(
            "potstill: trees.md, line 6: the price of 'oak' is unknown, so `usd:` under `budget:` "
            "cannot be kept; give `price: IN/OUT` under `budget:` in USD"
        )
        line = refusal(capsys, "build", "trees", "--budget-usd", "2")
    assert line.startswith(
        "potstill: the price of 'oak' is unknown, so --budget-usd cannot be kept"
    )


def test_a_parameter_that_an_endpoint_refuses_is_advised_as_a_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "temperature must be at most 1"
    refused = Rule("given", status=400, body={"error": {"message": words}})
    with Endpoint(Behaviour(rules=(refused,))) as endpoint:
        teacher = f"{{place: {endpoint.url}#oak, parameters: {{temperature: 1.5}}}}"
        write_trees(f"{OWN}teachers:\n  judge: embedded\n  writer: {teacher}")
        line = refusal(capsys, "build", "trees")
    assert line.startswith("potstill: trees.md, line 7: ")
    assert "such as `parameters: {temperature: 1}` under `teachers:`" in line


def test_an_option_that_helps_is_a_key_where_the_set_has_a_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_trees(f"{OWN}teachers: scripted:script.jsonl\noptions: {{samples: 2}}")
    assert main(["build", "trees"]) == 0
    assert "; `choose: longest` under `options:` may help" in capsys.readouterr().err


def test_python_gets_the_same_error() -> None:
    write_trees("prompts:\n  place: trees.csv\n  column: tree\nteachers: scripted:script.jsonl")
    with pytest.raises(InputError, match=r"^trees\.md, line 6: trees\.csv: .* `column:` under"):
        load_set("trees.md").build()


@each("front", ["task_ids: [trees]", "viewer: maybe", "source_datasets: [5]"])
def test_what_the_hub_refuses_of_the_front_matter_is_named_with_its_line(
    front: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trees(f"{OWN}teachers: scripted:script.jsonl\n{front}")
    assert main(["build", "trees"]) == 0
    assert "potstill: trees.md, line 6: the Hub refuses" in refusal(
        capsys, "release", "trees", "--to-folder", "out"
    )
