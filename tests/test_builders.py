"""The public API is the names in `__all__`; importing it costs nothing; README shows it."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import builders
from builders import Set, build
from builders.set_file import (
    FOR_THE_HUB,
    BudgetDeclaration,
    Declaration,
    SourceDeclaration,
    TeacherDeclaration,
)
from scripts.main import VERBS, main, parsers
from tests.test_house import HEAVY

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there_and_nothing_else_is_public() -> None:
    assert sorted(builders.__all__) == builders.__all__ == dir(builders)
    assert all(getattr(builders, name) is not None for name in builders.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        getattr(builders, "biuld")  # noqa: B009 - as a misspelt import does


def run(code: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_release_can_be_called_whether_or_not_its_room_is_imported() -> None:
    assert run(
        "from builders import release\nprint(callable(release))\n"
        "import builders.release.folder as room\nfrom builders import release\n"
        "print(callable(release), release.folder is room)"
    ).split() == ["True", "True", "True"]


def test_importing_the_api_imports_nothing_heavy() -> None:
    package, names = run(
        "import sys, builders\nprint(*sys.modules)\n"
        "from builders import Draft, PotstillError, Recipe, Source, load_recipe, release\n"
        "print(*sys.modules)"
    ).splitlines()
    assert [name for name in package.split() if name.startswith("builders")] == ["builders"]
    heavy = {*HEAVY, "pyarrow", "numpy", "aiohttp"}
    assert heavy & {name.partition(".")[0] for name in names.split()} == set()


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_set_and_the_python_in_the_readme_are_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("".join(f"What is {n} + {n}?\n" for n in range(20)))
    Path("rules.jsonl").write_text('{"when": "", "answer": "It is {{hash}}."}\n')
    [new] = re.findall(r"\$ potstill (new household .*)", README)
    assert main(new.split()) == 0
    shown = README[README.index("$ cat household.md") : README.index("### Preview")]
    lines = [line[4:] for line in shown.splitlines()[1:] if "[...]" not in line]
    assert {*lines} <= {*Path("household.md").read_text(encoding="utf-8").splitlines()}
    assert main(["build", "household", "--teacher", "scripted:rules.jsonl", "--rows=2"]) == 0
    capsys.readouterr()
    [block] = re.findall(r"```python\n(from builders .*?)```", README, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\)  # (.*)", block)
    assert (tmp_path / "my-set" / "README.md").is_file()


def test_the_help_of_a_set_s_build_names_every_parameter() -> None:
    named = {*re.findall(r"`(\w+)`", str(Set.build.__doc__))}
    assert named - {"self", "NAME"} == {*inspect.signature(build).parameters} - {
        "recipe",
        "options",
    }


def test_the_readme_names_every_key_of_a_set_and_every_verb() -> None:
    keys = README[README.index("## The set's file") : README.index("## Sources")]
    named = {*re.findall(r"`(\w+)`", keys)}
    assert {*Declaration.model_fields} - named <= {*FOR_THE_HUB}
    for part in (SourceDeclaration, TeacherDeclaration, BudgetDeclaration):
        assert {*part.model_fields} <= named
    assert {verb for verb in VERBS if not re.search(rf"potstill {verb}|`{verb}`", README)} == set()


def test_the_commands_in_the_readme_are_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "household", "--recipe", "completions"]) == 0
    commands = re.findall(r"(?:^    (?:\$ )?|`)potstill ([^`\n]+?)(?:`|$)", README, re.MULTILINE)
    assert len(commands) > 15
    for command in commands:
        plain = re.sub(r" (\|\||>) .*", "", command).replace("NAME", "household")
        verb, *words = shlex.split(plain, comments=True)
        if words and verb != "help":
            parsers({verb: words})[verb].parse(words)
