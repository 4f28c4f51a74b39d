"""The lineages of two drafts differ where their recipes differ, wherever the files are."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pipelines
from builders.drafting.lineage import code_digest
from builders.recipe import Recipe
from builders.recipe_loading import load_recipe, recipe_names

SHIPPED = Path(pipelines.__file__).parent
MODULE = """
from builders.recipe import Recipe, Seeds
from builders.schema import PROMPT_COMPLETION


def pipeline(teach):
    return None


SEEDS = Seeds(form="prompts", source="s", licence="cc0-1.0", written_by="us")
RECIPE = Recipe(
    name="mine", makes="", schema=PROMPT_COMPLETION, seeds=SEEDS, roles={}, rows=1, rows_of="",
    pipeline=pipeline, row=lambda raw: raw,
)
"""


def code(recipe: Recipe) -> Any:
    return code_digest(recipe)


def code_at(module: Path) -> Any:
    """The digest of the recipe in a module of any name, imported from its file."""
    spec = importlib.util.spec_from_file_location(module.stem, module)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return code(replace(made.RECIPE, file=module))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A recipe's module with its data file."""
    module = tmp_path / "a folder [1]" / "mine.py"
    module.parent.mkdir()
    module.write_text(MODULE)
    module.with_suffix(".toml").write_text("prompt = 'Why?'\n")
    return module


def test_every_byte_of_a_recipe_s_module_and_data_files_counts(mine: Path) -> None:
    found = {"as it is": code_at(mine)}
    mine.with_suffix(".toml").write_text("prompt = 'Why not?'\n")
    found["another prompt"] = code_at(mine)
    mine.write_text(MODULE + "# a comment\n")
    found["another module"] = code_at(mine)
    mine.with_suffix(".jsonl").write_text("{}\n")
    found["one more file"] = code_at(mine)
    mine.with_suffix(".toml").unlink()
    found["one file less"] = code_at(mine)
    assert len(set(found.values())) == len(found), found
    assert all(str(one).startswith("sha256:") for one in found.values())


def test_nothing_else_counts(mine: Path, tmp_path: Path) -> None:
    before = code_at(mine)
    found = {}
    for name in ("other.toml", "mine.toml~", "mine.py.orig", "mine.cpython-311.pyc", "mine.md"):
        (mine.parent / name).write_text("another recipe's, or an editor's")
    found["files that are not its own"] = code_at(mine)
    shutil.copytree(mine.parent, tmp_path / "elsewhere")
    found["a copy elsewhere"] = code_at(tmp_path / "elsewhere" / "mine.py")
    for path in (mine, mine.with_suffix(".toml")):
        shutil.copy(path, tmp_path / f"renamed{path.suffix}")
    found["a copy of another name"] = code_at(tmp_path / "renamed.py")
    for path in (mine, mine.with_suffix(".toml")):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    found["line ends of another platform"] = code_at(mine)
    assert found == dict.fromkeys(found, before)


def test_every_shipped_recipe_is_known_by_its_files(tmp_path: Path) -> None:
    found = {name: code(load_recipe(name)) for name in recipe_names()}
    copies = {}
    for name in found:
        for path in SHIPPED.glob(f"{name}.*"):
            shutil.copy(path, tmp_path)
        copies[name] = code_at(tmp_path / f"{name}.py")
    assert found == copies and len(set(found.values())) == len(found)


def test_a_recipe_that_borrows_another_s_pipeline_is_known_by_both(mine: Path) -> None:
    own = mine.with_name("own.py")
    own.write_text(
        "from dataclasses import replace\nfrom functools import partial\n"
        "from pipelines import completions\n\n"
        "def row(raw):\n    return raw\n\n"
        "RECIPE = replace(completions.RECIPE, pipeline=partial(completions.pipeline), row=row)\n"
    )
    before = code_at(own)
    own.write_text(own.read_text().replace("return raw", "return dict(raw)"))
    assert len({before, code_at(own), code(load_recipe("completions"))}) == 3


DERIVED = """
from dataclasses import replace
from functools import partial

import json

import limits
from kit.words import polite
from pipelines.completions import RECIPE as BASE


def gate(row):
    return None


RECIPE = replace(BASE, name="mine", gates=(*BASE.gates, gate, partial(polite, most=limits.MOST)))
"""


def test_the_module_of_a_derived_recipe_counts_and_all_that_it_imports_beside_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "derived"
    (folder / "kit").mkdir(parents=True)
    texts = {
        "mine.py": DERIVED,
        "limits.py": "def most():\n    from deep import MOST\n    return MOST\n\n\nMOST = 3\n",
        "deep.py": "MOST = 3\n",
        "kit/__init__.py": "",
        "kit/words.py": "from .rude import RUDE\n\n\ndef polite(row, most):\n    return None\n",
        "kit/rude.py": "RUDE = []\n",
        "kit/rude.toml": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "json.py").write_text("never imported: Python's own comes first")
    (folder / "other.py").write_text("never imported")
    mine = folder / "mine.py"
    before = code(load_recipe(mine))
    found = {"as it is": before}
    for name, text in texts.items():
        (folder / name).write_text(f"{text}# edited\n")
        found[name] = code(load_recipe(mine))
        (folder / name).write_text(text)
    assert len(set(found.values())) == len(found), found
    for name in ("json.py", "other.py"):
        (folder / name).write_text("edited")
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert code(load_recipe(mine)) == code(load_recipe(tmp_path / "elsewhere" / "mine.py"))
    assert code(load_recipe(mine)) == before


def test_each_function_of_a_recipe_counts_wherever_it_is(mine: Path) -> None:
    (mine.parent / "apart.py").write_text(
        "def function(*given):\n    return ()\n\n\nclass Callable:\n"
        "    def __call__(self, row):\n        return None\n"
    )
    spec = importlib.util.spec_from_file_location("apart", mine.parent / "apart.py")
    assert spec and spec.loader
    apart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(apart)
    base = load_recipe("ultrafeedback")
    name, extra = next(iter(base.extra_configs.items()))
    changes: dict[str, dict[str, Any]] = {
        "gates": {"gates": (apart.function,)},
        "a callable gate": {"gates": (apart.Callable(),)},
        "draft_gates": {"draft_gates": apart.function},
        "measures": {"measures": apart.function},
        "an extra config": {"extra_configs": {name: replace(extra, rows=apart.function)}},
    }
    before = {case: code(replace(base, **change)) for case, change in changes.items()}
    with (mine.parent / "apart.py").open("a") as file:
        file.write("# edited\n")
    same = [
        case for case, change in changes.items() if code(replace(base, **change)) == before[case]
    ]
    assert not same and all(before.values())


def test_a_recipe_of_which_a_part_is_in_no_file_has_no_digest(mine: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile(MODULE, "<cell 1>", "exec"), space)
    assert code(space["RECIPE"]) is None
    completions = load_recipe("completions")
    assert code(replace(completions, row=space["RECIPE"].row)) is None
