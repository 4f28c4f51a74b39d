"""The public API is the names in `__all__`; importing it costs nothing; README shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import builders
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


def test_the_python_in_the_readme_runs_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(from builders .*?)```", readme, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\)  # (.*)", block)
    assert (tmp_path / "my-set" / "README.md").is_file()
