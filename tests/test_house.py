"""The house: which imports are allowed, the files of a recipe, a cheap start, clean files."""

import ast
import re
import resource
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from builders.recipe_loading import load_recipe, recipe_names
from builders.schema import ID_PATTERN
from scripts.licences import plain
from tests.cases import each

ROOT = Path(__file__).parents[1]
RECIPES = recipe_names()
Run = Callable[..., subprocess.CompletedProcess[str]]

MAY_IMPORT = {
    "builders": {"builders"},
    "pipelines": {"builders", "pipelines"},
    "scripts": {"builders", "pipelines", "scripts"},
}
# The rooms of builders, from the start of the line to its end. A room imports from the tiers before
# its own and from its own tier, and no imports go in a circle. A new room needs a place here.
TIERS = (
    ("durable", "entropy", "errors", "file_lock", "secret_names", "set_names", "spool"),
    ("card_metadata", "hub_address", "hub_vocabulary"),
    ("schema",),
    ("recipe",),
    ("front_matter", "recipe_loading", "set_file", "set_sections", "set_text", "sets"),
    ("sources", "sandbox"),
    ("engine",),
    ("instructions", "preferences", "judging", "gates", "verifiers", "measures"),
    ("drafting",),
    ("release",),
    ("hub", "review", "feedback", "page"),
)
TIER = {room: tier for tier, rooms in enumerate(TIERS) for room in rooms}
# The Hub in a box is a program of its own: it shares only the rules for cards.
HUB_SERVER_MAY_IMPORT = {
    "builders.card_metadata",
    "builders.errors",
    "builders.file_lock",
    "builders.hub_vocabulary",
    "builders.release.card_lint",
}

HOMES = {
    "huggingface_hub": "builders/hub/",
    "argilla": "builders/feedback/",
    "distilabel": "builders/engine/",  # and a recipe's pipeline()
}
HEAVY = {"distilabel", "datasets", "argilla", "transformers", "torch", "evaluate"}
MOST_START_CPU_S = 1.0
MOST_LINES = 400
LINES_OF_A_PAGE = 130


@cache
def imports(file: str, tree: ast.AST) -> list[str]:
    """The dotted name of all that a file imports, anywhere and in any form.

    `from a.b import c` gives `a.b.c`, since c may be a module.
    """
    return list(_imports(file, tree))


def _imports(file: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = file.split("/")[: -node.level] if node.level else []
            yield from (
                ".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names
            )
        elif isinstance(node, ast.Call) and _called(node.func) == "import_module":
            yield ast.unparse(node.args[0]).lstrip("f").strip("'\"")


def _called(function: ast.expr) -> str:
    name = getattr(function, "attr", None) or getattr(function, "id", "")
    return str(name)


def package(module: str) -> str:
    return module.split(".")[0]


def room(name: str) -> str:
    """The room of builders that a module is in; empty for the package itself."""
    return name.partition(".")[2].partition(".")[0]


def split_at_pipeline(tree: ast.Module) -> tuple[ast.Module, ast.Module]:
    """The function pipeline() of a recipe, and everything else."""

    def is_pipeline(node: ast.stmt) -> bool:
        return isinstance(node, ast.FunctionDef) and node.name == "pipeline"

    inside = [node for node in tree.body if is_pipeline(node)]
    outside = [node for node in tree.body if not is_pipeline(node)]
    return ast.Module(inside, type_ignores=[]), ast.Module(outside, type_ignores=[])


def test_an_import_is_found_in_any_place_and_form() -> None:
    tree = ast.parse(
        "def f():\n    import a.b as c\n    from . import d\n    from ..e import f\n"
        "    importlib.import_module('g.h')\n    import_module(f'scripts.{i}')\n"
    )
    found = imports("builders/release/card.py", tree)
    assert found == ["a.b", "builders.release.d", "builders.e.f", "g.h", "scripts.{i}"]


def test_scripts_import_pipelines_and_these_import_builders() -> None:
    house = {*MAY_IMPORT, "tests"}
    against = [
        f"{file} imports {module}"
        for file, tree in trees().items()
        for module in imports(file, tree)
        if package(module) in house - MAY_IMPORT[file.split("/")[0]]
    ]
    assert against == []


def house_imports(file: str, tree: ast.AST) -> set[str]:
    """The modules of builders that a file imports."""
    known = {module(name) for name in trees()}
    names = {name for name in imports(file, tree) if package(name) == "builders"}
    return {name if name in known else name.rpartition(".")[0] for name in names}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of every module of the product, by its path."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"), path)
        for package in ("builders", "pipelines", "scripts")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def module(file: str) -> str:
    """The dotted name of a file; a room's own for its __init__."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_a_room_of_builders_imports_only_from_rooms_before_it_on_the_line() -> None:
    against = []
    for file, tree in trees().items():
        mine = room(module(file))
        if not file.startswith("builders/") or mine in ("", "hub_server"):
            continue
        assert mine in TIER, f"{file} has no place in TIERS; give it one"
        against += [
            f"{file} imports {name}"
            for name in house_imports(file, tree)
            if room(name) and TIER.get(room(name), len(TIERS)) > TIER[mine]
        ]
    assert against == []


def test_no_imports_go_in_a_circle() -> None:
    modules, rooms = TopologicalSorter[str](), TopologicalSorter[str]()
    for file, tree in trees().items():
        mine = module(file)
        for name in house_imports(file, tree) - {mine, "builders"}:
            modules.add(mine, name)
            if mine.startswith("builders.") and room(name) != room(mine):
                rooms.add(room(mine), room(name))
    modules.prepare()  # raises CycleError with the circle
    rooms.prepare()


def test_the_hub_in_a_box_shares_only_the_rules_of_cards() -> None:
    shared = {
        name
        for file, tree in trees().items()
        if file.startswith("builders/hub_server/")
        for name in house_imports(file, tree)
        if room(name) != "hub_server"
    }
    assert shared <= HUB_SERVER_MAY_IMPORT


def test_each_outside_world_has_one_home() -> None:
    against = []
    for file, tree in trees().items():
        inside, outside = split_at_pipeline(tree)
        strangers = set(imports(file, outside))
        # A recipe's pipeline() is made of distilabel's steps.
        welcome = {"distilabel"} if file.startswith("pipelines/") else set()
        if file == "scripts/bench_engine.py":  # it measures distilabel's own runner beside ours
            continue
        strangers |= {module for module in imports(file, inside) if package(module) not in welcome}
        against += [
            f"{file} imports {module}, whose home is {HOMES[package(module)]}"
            for module in sorted(strangers)
            if package(module) in HOMES and not file.startswith(HOMES[package(module)])
        ]
    assert against == []


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements = tomllib.loads(text)["project"]["dependencies"]
    declared = {plain(re.split(r"[<>=\[]", one)[0]) for one in requirements}
    homes = packages_distributions()
    imported = {
        plain(home)
        for file, tree in trees().items()
        for name in imports(file, tree)
        if package(name) not in MAY_IMPORT and not file.startswith("scripts/bench")
        for home in homes.get(package(name), [])
    }
    assert imported - declared == set()
    # distilabel imports argilla and requests; the other two are for measures and chat templates.
    assert declared - imported == {"argilla", "evaluate", "requests", "transformers"}


def test_nothing_but_the_choice_of_a_hub_knows_that_one_can_be_embedded() -> None:
    knows = {
        file
        for file, tree in trees().items()
        for module in imports(file, tree)
        if module.startswith("builders.hub_server") and not file.startswith("builders/hub_server/")
    }
    # The verb that runs it, the one place that chooses a Hub, and what measures it.
    assert knows <= {"scripts/hub.py", "scripts/main.py", "scripts/bench_hub.py"}


@pytest.mark.parametrize("word", ["--help", "list"])
def test_help_and_list_start_cheaply(potstill: Run, word: str) -> None:
    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = cpu_s()
    done = potstill(word, env={"PYTHONPROFILEIMPORTTIME": "1"})
    spent_s = cpu_s() - before
    assert done.returncode == 0, done.stderr
    imported = re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE)
    assert "builders.errors" in imported
    assert HEAVY & {package(module) for module in imported} == set()
    assert spent_s < MOST_START_CPU_S


@each("name", RECIPES)
def test_a_recipe_is_three_files_with_one_name(name: str) -> None:
    assert load_recipe(name).name == name
    assert (ROOT / "cards" / f"{name}.md").is_file()
    assert (ROOT / "tests" / "pipelines" / f"test_{name}.py").is_file()


def test_every_card_has_a_recipe() -> None:
    cards = {path.stem for path in (ROOT / "cards").iterdir()} - {"template"}
    assert cards == set(RECIPES)


@each("name", RECIPES)
def test_the_example_row_in_a_recipe_s_docstring_fits_its_schema(name: str) -> None:
    docstring = ast.get_docstring(trees()[f"pipelines/{name}.py"]) or ""
    row = ast.literal_eval(docstring[docstring.index("{") : docstring.rindex("}") + 1])
    assert load_recipe(name).schema.problem(row) is None
    assert re.fullmatch(ID_PATTERN, row["id"])


def test_cards_hold_no_python() -> None:
    assert {path.suffix for path in (ROOT / "cards").rglob("*")} == {".md"}


def test_every_module_has_a_docstring() -> None:
    assert [file for file, tree in trees().items() if not ast.get_docstring(tree)] == []


def test_a_recipe_fits_on_one_page() -> None:
    lines = {name: (ROOT / f"pipelines/{name}.py").read_text().count("\n") for name in RECIPES}
    assert {name: count for name, count in lines.items() if count >= LINES_OF_A_PAGE} == {}


def test_no_two_test_files_have_one_name() -> None:
    """Pytest imports them by name, and refuses the second one."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_grows_over_400_lines() -> None:
    lines = {file: (ROOT / file).read_text(encoding="utf-8").count("\n") for file in trees()}
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}


def committed() -> dict[str, str]:
    """The text files that are committed or about to be, by path."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git clone")
    texts = {}
    for file in filter(None, listed.split("\0")):
        path = ROOT / file
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[file] = content.decode("utf-8")  # a text that is not UTF-8 fails here
    return texts


def found(pattern: str, texts: dict[str, str]) -> list[str]:
    return [
        f"{file}: {hit[0]}" for file, text in texts.items() for hit in re.finditer(pattern, text)
    ]


# Composed, so that this file does not contain what it looks for.
HOMES_OF_PEOPLE = "|".join(["home", "root", "work", "workspace", "Users", "mnt", "srv", "opt"])
LOCAL_PATH = rf"(?<![\w.~}}$\])-])/(?:{HOMES_OF_PEOPLE})/[\w.-]*"
REGISTRIES = (
    *("pypi", "pythonhosted", "anaconda", "npmjs", "crates", "pytorch"),
    *("docker", "ghcr", "quay", "gcr", "golang", "rubygems"),
)
REGISTRY_HOST = rf"\b(?:[\w-]+\.)*(?:{'|'.join(REGISTRIES)})\.(?:org|io|com)\b"
INDEX = r"https?://\S+/simple\b|file:/{2,3}\w\S*"


def test_no_committed_file_has_a_path_of_a_machine() -> None:
    texts = committed()
    texts.pop(".gitignore")  # a leading slash there is the clone itself
    assert found(LOCAL_PATH, texts) == []


def test_no_committed_file_names_the_host_of_a_registry() -> None:
    assert found(REGISTRY_HOST, committed()) == []
    assert found(INDEX, committed()) == []


def test_the_search_for_paths_and_hosts_would_find_some() -> None:
    slash, dot = "/", "."
    local = [f"see {slash}home/ann/x", f'"{slash}root/a"', f"file://{slash}work/b"]
    relative = ["$root/work/a", "builders/home/x", "https://example.com/home/x", "~/" + "work/a"]
    assert [bool(re.search(LOCAL_PATH, text)) for text in local] == [True] * 3
    assert [bool(re.search(LOCAL_PATH, text)) for text in relative] == [False] * 4
    hosts = [f"https://pypi{dot}org/project/x", f"files.pythonhosted{dot}org"]
    assert all(re.search(REGISTRY_HOST, text) for text in hosts)
    assert re.search(INDEX, f"http:/{slash}10.0.0.5/simple") is not None
