"""Where a recipe is found: one that ships, an importable module, or a file anywhere."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from builders.errors import InputError, PotstillError, RecipeError, nearest_name
from builders.recipe import Recipe

SHIPPED = "pipelines"  # the package whose modules are found by a bare name
loaded_files: dict[str, Path] = {}  # by module name: a process that is sent a step needs them
_loads = itertools.count(1)


def recipe_names() -> list[str]:
    """The recipes that ship: the modules of `pipelines` by file name, in alphabetical order."""
    folder = Path(str(importlib.import_module(SHIPPED).__file__)).parent
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def load_recipe(recipe: str | Path) -> Recipe:
    """The recipe of a name, as on the command line.

    `completions` is a recipe that ships, `package.module` any module that can be imported, also
    from the current folder, and `./my_recipe.py` a file, which is executed anew each time.

    Raises:
        InputError: There is no such recipe, module or file.
        RecipeError: It cannot be imported, or has no RECIPE of its own name.
    """
    name = str(recipe)
    if isinstance(recipe, Path) or "/" in name or name.startswith(".") or name.endswith(".py"):
        return _recipe_in_file(name)
    if "." in name:
        return _recipe_in_module(name)
    names = recipe_names()
    if name in names:
        return _recipe_in_module(f"{SHIPPED}.{name}")
    hint = f"; for the file here give ./{name}.py" if Path(f"{name}.py").is_file() else ""
    raise InputError(f"there is no recipe {name!r}; there are {nearest_name(name, names)}{hint}")


def _recipe_in_file(name: str) -> Recipe:
    path = Path(name).expanduser().absolute()
    if path.is_dir():
        raise InputError(f"{name!r} is a folder; name the .py file of a recipe in it")
    if not path.is_file():
        raise InputError(f"there is no file {name!r}; name the .py file of a recipe")
    if path.suffix != ".py":
        raise InputError(f"{name!r} is not a .py file; name the .py file of a recipe")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for the modules beside it
    module = f"potstill_recipe_{next(_loads)}"
    with _one_line(path.name):
        found = import_file(module, path)
    loaded_files[module] = path
    return _recipe_of(found, path.name, path.stem)


def _recipe_in_module(name: str) -> Recipe:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # as `python -m` does
    with _one_line(name):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                raise InputError(
                    f"there is no module {name!r}: {error.name!r} was not found; install it, or "
                    "start in the folder that holds it"
                ) from None
            raise
    return _recipe_of(module, name, name.rpartition(".")[2])


def _recipe_of(module: ModuleType, shown: str, name: str) -> Recipe:
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{shown} has no RECIPE = Recipe(name={name!r}, ...); add one")
    if recipe.name != name:
        raise RecipeError(
            f"{shown}: the name of its RECIPE is {recipe.name!r}, expected {name!r}, the name of "
            "the file; rename one of them"
        )
    return replace(recipe, file=Path(str(module.__file__)))


def import_file(name: str, path: Path) -> ModuleType:
    """The module that a file makes under a name, executed now; its bytes are never a stale cache's.

    Raises:
        Exception: Any that the file raises.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it is executed: dataclasses and pickle look there
    try:
        code = compile(path.read_bytes(), path, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - the user named it
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _one_line(shown: str) -> Iterator[None]:
    """Turn any error on importing a recipe into one line with its place."""
    try:
        yield
    except PotstillError:
        raise
    except SyntaxError as error:
        place = _place(error.filename or shown, error.lineno)
        raise RecipeError(f"{place}: {error.msg}; fix the line") from None
    except (SystemExit, Exception) as error:  # noqa: BLE001 - somebody's module
        frames = [
            (Path(frame.filename), frame.lineno)
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename != __file__ and "importlib" not in frame.filename
        ]
        near = [frame for frame in frames if frame[0].parent == frames[0][0].parent]
        place = _place(*near[-1]) if near else shown
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"{place}: {reason}, on importing {shown}; fix it") from None


@contextlib.contextmanager
def errors_in_one_line(recipe: Recipe) -> Iterator[None]:
    """Turn an error that passed through a recipe's own code into one line with its place.

    Raises:
        RecipeError: Its cause is the error, so that a notebook shows both.
    """
    try:
        yield
    except PotstillError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if recipe.file == Path(frame.filename)]
        if recipe.file is None or not own:
            raise
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"{_place(recipe.file, own[-1])}: {reason}; fix the recipe") from error


def _place(file: str | Path, line: int | None) -> str:
    return Path(file).name + (f", line {line}" if line else "")
