"""A recipe may be anywhere: it ships, can be imported, or is a file; what is wrong is one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import build
from builders.drafting.draft import load_draft
from builders.errors import InputError, PotstillError, RecipeError
from builders.recipe_loading import load_recipe, recipe_names
from builders.schema import assistant
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import file_bytes

PLAIN = '''
"""Answers, louder."""

from pathlib import Path

from builders.recipe import Option, Recipe, Seeds
from builders.schema import PROMPT_COMPLETION, assistant
from louder import loud


def pipeline(teach, *, samples):
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import Ask

    with Pipeline(name="echoes") as line:
        Ask(
            name="ask",
            llm=teach("writer"),
            build=lambda raw: raw["prompt"],
            answer="answer",
            num_generations=samples,
        )
    return line


def row(raw):
    return {"prompt": raw["prompt"], "completion": assistant(loud(raw["answer"]))}


RECIPE = Recipe(
    name="echoes",
    makes="louder answers",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(
        form="prompts",
        source=str(Path(__file__).with_name("prompts.txt")),
        licence="cc0-1.0",
        written_by="us",
    ),
    roles={"writer": "answers"},
    rows=4,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
    options=(Option("samples", 1, "answers to each prompt", least=1),),
)
'''
WITH_A_STEP = (
    PLAIN.replace(
        "from builders.recipe import",
        """from distilabel.steps import Step, StepResources

from builders.recipe import""",
        1,
    )
    .replace(
        "def pipeline(",
        '''class Louder(Step):
    """Works in a process, which has to find this class and `loud`."""

    @property
    def inputs(self):
        return ["answer"]

    @property
    def outputs(self):
        return ["answer"]

    def process(self, inputs):
        yield [{**row, "answer": loud(row["answer"])} for row in inputs]


def pipeline(''',
        1,
    )
    .replace("        Ask(", "        ask = Ask(")
    .replace(
        "    return line",
        '        ask >> Louder(name="louder", resources=StepResources(cpus=1))\n    return line',
    )
)
WORDS = """---
pretty_name: Echoes
language: [en]
---

## What it is

Answers, louder.

## Use

Tests.

## Limits

Loud.

## Changes

### v0.1.0

First.
"""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a load adds to sys.path goes with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def write_recipe(folder: Path, text: str = PLAIN) -> Path:
    """A recipe with all that belongs to it, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "louder.py").write_text("def loud(text):\n    return text.upper()\n")
    (folder / "prompts.txt").write_text("What is tea?\nWhat is rain?\nWho is Ann?\nWhy?\n")
    (folder / "script.jsonl").write_text('{"when": "(\\\\w+)\\\\?", "answer": "it is {{1}}"}\n')
    (folder / "echoes.md").write_text(WORDS)
    (folder / "echoes.py").write_text(text)
    return folder / "echoes.py"


def returning(row: str) -> str:
    """The recipe with another result of `row()`."""
    return PLAIN.replace('return {"prompt": raw["prompt"],', f"return {row}\n    {{")


Potstill = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_a_file_is_a_recipe_for_the_real_command_and_for_the_processes_of_its_steps(
    tmp_path: Path, potstill: Potstill
) -> None:
    file = write_recipe(tmp_path / "anywhere", WITH_A_STEP)
    teacher = ("--teacher", f"scripted:{file.with_name('script.jsonl')}")
    built = potstill("build", "./echoes.py", *teacher, "--json", cwd=file.parent)
    assert built.returncode == 0, built.stderr
    draft = load_draft(file, file.parent / "work")
    assert [row["completion"][0]["content"] for row in draft.rows()] == [
        *("IT IS TEA", "IT IS RAIN", "IT IS ANN", "IT IS WHY")
    ]
    package = file.parent.parent
    shutil.copy(file.with_name("louder.py"), package)
    imported = potstill("build", "anywhere.echoes", *teacher, "--json", cwd=package)
    assert imported.returncode == 0, imported.stderr
    # The same name, so the same folder in `work`, and the same code: the same draft.
    again = load_draft(file, package / "work")
    assert again.rows() == draft.rows() and again.facts["lineage"] == draft.facts["lineage"]


def test_every_verb_takes_a_file_as_it_takes_a_recipe_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_recipe(tmp_path / "anywhere")
    monkeypatch.chdir(tmp_path)
    name, teacher = "anywhere/echoes.py", ["--teacher", "scripted:anywhere/script.jsonl"]
    assert main(["build", name, *teacher, "--estimate"]) == 0
    assert main(["build", name, *teacher, "--rows", "3"]) == 0
    assert main(["show", f"./{name}"]) == 0
    assert "IT IS RAIN" in capsys.readouterr().out
    assert main(["ledger", name]) == 0
    assert "4 calls" in capsys.readouterr().out
    assert main(["release", name, "--to", "out"]) == 0
    assert "Echoes" in Path("out/README.md").read_text()
    assert main(["diff", name, "out"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    whole = file_bytes(Path("work/echoes/drafts/0001"))
    for shard in ("1/2", "2/2"):
        shared = ["build", name, *teacher, "--rows", "3", "--work", "shards"]
        assert main([*shared, "--shard", shard]) == 0
    assert main(["merge", name, "--work", "shards"]) == 0
    merged = file_bytes(Path("shards/echoes/drafts/0001"))
    assert {**merged, "run.json": b""} == {**whole, "run.json": b""}
    file.write_text(PLAIN.replace('name="echoes",\n    makes', 'name="echo",\n    makes'))
    assert main(["show", name]) == 1
    assert "echoes.py: the name of its RECIPE is 'echo'" in capsys.readouterr().err


def test_a_changed_file_is_another_recipe_at_once(tmp_path: Path) -> None:
    file = write_recipe(tmp_path / "anywhere")
    before = load_recipe(file)
    file.write_text(PLAIN.replace("loud(raw", "str(raw"))  # of the same length, in the same second
    raw = {"prompt": [], "answer": "hush"}
    rows = [recipe.row(raw) for recipe in (before, load_recipe(str(file)))]
    assert [row["completion"] for row in rows if isinstance(row, dict)] == [
        assistant("HUSH"),
        assistant("hush"),
    ]


def test_each_recipe_has_the_modules_beside_it(tmp_path: Path) -> None:
    one, other = (write_recipe(tmp_path / name) for name in ("one", "other"))
    other.with_name("louder.py").write_text("def loud(text):\n    return text.title()\n")
    (tmp_path / "other" / "json.py").write_text("raise ValueError('not Python own')\n")
    (tmp_path / "other" / "distilabel.py").write_text("raise ValueError('not installed')\n")

    def completion(file: Path) -> str:
        row = load_recipe(file).row({"prompt": [], "answer": "be quiet"})
        assert isinstance(row, dict)
        return str(row["completion"][0]["content"])

    assert [completion(file) for file in (one, other, one)] == ["BE QUIET", "Be Quiet", "BE QUIET"]
    # Of the same length and in the same second: no cache shows the difference.
    other.with_name("louder.py").write_text("def loud(text):\n    return text.lower()\n")
    assert completion(other) == "be quiet"
    draft = build(other, work=tmp_path, teacher=f"scripted:{other.with_name('script.jsonl')}")
    assert draft.counts["kept"] == 4


def test_what_ships_is_found_by_its_name_and_its_words_are_a_card() -> None:
    assert recipe_names() == ["completions", "constitution", "instructions", "ultrafeedback"]
    recipe = load_recipe("completions")
    assert recipe.file is not None and recipe.file.name == "completions.py"
    with pytest.raises(InputError, match=r"no recipe 'complitions'; .* mean 'completions'\?$"):
        load_recipe("complitions")


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "a syntax error": ("x = 1\nif x\n", r"bad\.py, line 2: .*; fix the line"),
    "not UTF-8": (b"x = '\xe9'\n", r"bad\.py, line 1: .*utf-8.*"),
    "no RECIPE": ("x = 1\n", r"bad\.py has no RECIPE = .*name='bad'.*; add one"),
    "no Recipe": ("RECIPE = 'bad'\n", r"bad\.py has no RECIPE = .*"),
    "another name": (PLAIN, r"bad\.py: the name .* 'echoes', expected 'bad', .*"),
    "an exception": ("x = 1\ny = z\n", r"bad\.py, line 2: NameError: .*, on importing bad\.py; .*"),
    "an exit": ("import sys\nsys.exit(3)\n", r"bad\.py, line 2: SystemExit: 3, .*"),
    "an error of no kind": (
        "class Odd(BaseException):\n    pass\nraise Odd('no')\n",
        r"bad\.py, line 3: Odd: no, .*",
    ),
    "no such import": ("import nix\n", r"bad\.py, line 1: ModuleNotFoundError: .*"),
    "an import that breaks": ("import broken\n", r"broken\.py, line 2: ZeroDivisionError: .*"),
    "a wrong argument": (PLAIN.replace("rows=4", "row_s=4"), r"bad\.py, line 31: TypeError: .*"),
    "an error of ours": (
        "from builders.errors import InputError\nraise InputError('no prompts here')\n",
        "no prompts here",
    ),
}


def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path: Path) -> None:
    file = write_recipe(tmp_path).with_name("bad.py")
    (tmp_path / "broken.py").write_text("x = 1\nx / 0\n")
    for case, (content, line) in BAD_FILES.items():
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(PotstillError) as refused:
            load_recipe(file)
        assert re.fullmatch(line, str(refused.value)), (case, str(refused.value))


def test_a_name_of_nothing_is_refused_with_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "plain.py").write_text("raise ValueError('not to be imported')\n")
    own = PLAIN.replace('name="echoes",\n    makes', 'name="completions",\n    makes')
    (tmp_path / "completions.py").write_text(own)
    (tmp_path / "package" / "broken.py").write_text("import package.none_such\n")
    for name, line in {
        "./nowhere.py": "there is no file './nowhere.py'; name the .py file of a recipe",
        "nowhere.py": "there is no file 'nowhere.py'; .*",
        "./package": "'./package' is a folder; name the .py file of a recipe in it",
        ".": "'.' is a folder; .*",
        "./prompts.txt": "'./prompts.txt' is not a .py file; .*",
        "jso": "there is no recipe 'jso'; there are .*",
        "this": "there is no recipe 'this'; there are .*",
        "__main__": "there is no recipe '__main__'; there are .*",
        "plain": r"there is no recipe 'plain'; .*; for the file here give ./plain.py",
        "./completions.py": "completions.py: 'completions' is the name of .* ships, .*; rename .*",
        "none.such": "there is no module 'none.such': 'none' was not found; .*",
        "package.such": "there is no module 'package.such': 'package.such' was not found; .*",
        "package.broken": r"broken.py, line 1: ModuleNotFoundError: .*",
        "json.tool": "json.tool has no RECIPE = .*",
        "": "there is no recipe ''; there are .*",
    }.items():
        with pytest.raises(PotstillError) as refused:
            load_recipe(name)
        assert re.fullmatch(line, str(refused.value)), (name, str(refused.value))
    assert "this" not in sys.modules


def test_a_module_at_the_top_is_a_recipe_by_its_bare_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PLAIN.replace("echoes", "echo_module")
    write_recipe(tmp_path).with_name("echo_module.py").write_text(text)
    package = tmp_path / "echo_package"
    package.mkdir()
    package.joinpath("__init__.py").write_text(PLAIN.replace("echoes", "echo_package"))
    monkeypatch.chdir(tmp_path)
    for name in ("echo_module", "echo_package"):
        assert load_recipe(name).name == name
        sys.modules.pop(name)


def test_a_set_is_shown_by_its_name_where_its_recipe_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path / "anywhere")
    monkeypatch.chdir(tmp_path)
    teacher = ["--teacher", "scripted:anywhere/script.jsonl"]
    assert main(["build", "anywhere/echoes.py", *teacher]) == 0
    assert main(["show", "echoes"]) == 0 and main(["ledger", "echoes"]) == 0
    assert "IT IS RAIN" in capsys.readouterr().out
    assert main(["release", "echoes", "--to", "out"]) == 1
    line = "work/echoes has a set whose file or recipe is not here; give the path of it, such as"
    assert line in capsys.readouterr().err


def test_an_error_in_a_recipe_is_one_line_and_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_recipe(tmp_path, PLAIN.replace('loud(raw["answer"])', 'loud(raw["anser"])'))
    monkeypatch.chdir(tmp_path)
    words = ["build", "./echoes.py", "--teacher", "scripted:script.jsonl", "--json"]
    assert main(words) == 1
    line = r"potstill: echoes\.py, line 28: KeyError: 'anser'; fix the recipe\n"
    assert re.fullmatch(r"prompts: .+\n" + line, capsys.readouterr().err)
    with pytest.raises(RecipeError) as raised:
        build(file, teacher="scripted:script.jsonl", progress=False)
    assert isinstance(raised.value.__cause__, KeyError)
    file.write_text(returning("None"))
    assert main(words) == 1
    line = "potstill: echoes.py: row() returned None, expected a row or a Drop; fix it\n"
    assert capsys.readouterr().err.endswith(f"\n{line}")
    file.write_text(PLAIN)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["run"]["calls"] == 0
    file.write_text(PLAIN.replace('Option("samples"', 'Option("rows"'))
    assert main(words) == 1
    assert "echoes has an option 'rows', and every build a flag --rows" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [4, 30])
def test_an_error_before_each_call_is_one_line_with_its_place(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_recipe(tmp_path, PLAIN.replace('raw["prompt"],\n', 'raw["nope"],\n'))
    (tmp_path / "prompts.txt").write_text("".join(f"What is {n}?\n" for n in range(rows)))
    with pytest.raises(RecipeError, match=r"echoes\.py, line 20: KeyError: 'nope'.*; fix .*"):
        build(file, rows=rows, teacher="scripted:script.jsonl", progress=False)


@each("row", ["{}", '{"prompt": None}', '{"prompt": [{}], "completion": []}'])
def test_a_row_that_does_not_fit_is_dropped(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_recipe(tmp_path, returning(row))
    draft = build(file, teacher="scripted:script.jsonl", progress=False)
    assert draft.counts == {"made": 4, "kept": 0, "dropped": {"schema": 4}}
