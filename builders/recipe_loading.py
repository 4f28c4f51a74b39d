"""Where a recipe is found: one that ships, an importable module, or a file anywhere."""

from __future__ import annotations

import contextlib
import dis
import importlib
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType

import builders.entropy  # noqa: F401 - before a recipe's `from os import urandom`
from builders.errors import (
    InputError,
    PotstillError,
    RecipeError,
    file_errors_in_one_line,
    nearest_name,
)
from builders.recipe import Recipe, at_home

SHIPPED = "pipelines"  # the package whose modules are found by a bare name
loaded_files: dict[str, Path] = {}  # by module name: a process that is sent a step needs them
_loads = itertools.count(1)
_BUILDERS = Path(__file__).parent
_OURS = {"builders", "pipelines", "scripts", "__main__"}


class _Uncached(SourceFileLoader):
    """Loads a module from its source: a cache may be stale if it was edited a moment ago."""

    def path_stats(self, path: str) -> dict[str, int]:
        raise OSError(f"{path} is not cached")


class _Beside:
    """Finds the modules beside the recipe that was loaded last, before all others but installed.

    In sys.path, its folder could come before another recipe's module of the same name or after it,
    and either would be wrong for one of them.
    """

    folder: Path | None = None

    def __init__(self) -> None:
        self._found: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module in the folder, or in a package there."""
        del target
        if self.folder is None or (path is None and _is_installed(name)):
            return None
        for entry in [self.folder] if path is None else map(Path, path):
            if entry.is_relative_to(self.folder):
                spec = _in_folder(name, entry)
                if spec is not None:
                    self._found.add(name)
                    return spec
        return None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Find nothing meanwhile."""
        folder, self.folder = self.folder, None
        try:
            yield
        finally:
            self.folder = folder

    def begin(self, folder: Path) -> None:
        """Find the modules of this folder from now on, and forget those of the one before."""
        for name in self._found:
            sys.modules.pop(name, None)
        self._found.clear()
        self.folder = folder
        for top in {name.partition(".")[0] for name in sys.modules}:
            spec = _in_folder(top, folder)
            if spec and not _is_installed(top):
                loaded = getattr(sys.modules.get(top), "__spec__", None)
                if loaded is None or loaded.origin != spec.origin:  # one of another folder
                    for name in [one for one in sys.modules if f"{one}.".startswith(f"{top}.")]:
                        del sys.modules[name]
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)


def _in_folder(name: str, folder: Path) -> ModuleSpec | None:
    loaders = ((_Uncached, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES))
    return FileFinder(str(folder), *loaders).find_spec(name)


def _is_installed(name: str) -> bool:
    """Whether a module belongs to Python, to a package that is installed, or to potstill."""
    if name in _OURS or name in sys.stdlib_module_names:
        return True
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return PathFinder.find_spec(name, packages) is not None


modules_beside = _Beside()


def recipe_names() -> list[str]:
    """The recipes that ship: the modules of `pipelines` by file name, in alphabetical order."""
    return sorted(path.stem for path in _shipped_folder().glob("[a-z]*.py"))


def _shipped_folder() -> Path:
    return Path(str(importlib.import_module(SHIPPED).__file__)).parent


@file_errors_in_one_line()
def load_recipe(recipe: str | Path) -> Recipe:
    """The recipe of a name, as on the command line.

    `completions` is a recipe that ships; `my_recipe` and `package.module` are any modules that can
    be imported, also from the current folder; `./my_recipe.py` is a file, executed anew each time.

    Raises:
        InputError: There is no such recipe, module or file.
        RecipeError: It cannot be imported, or has no RECIPE of its own name.
    """
    name = str(recipe)
    if isinstance(recipe, Path) or "/" in name or name.startswith(".") or name.endswith(".py"):
        return _recipe_in_file(name)
    with modules_beside.paused():  # a name is looked up as if no file had been loaded
        return _recipe_of_name(name)


def _recipe_of_name(name: str) -> Recipe:
    if "." in name and Path(name).is_file():
        raise InputError(
            f"{name!r} is a file, and neither a recipe's nor a set's, which end with .py and .md"
        )
    if "." in name:
        return _recipe_in_module(name)
    names = recipe_names()
    if name in names:
        return _recipe_in_module(f"{SHIPPED}.{name}")
    if _may_have_recipe(name):
        return _recipe_in_module(name)
    hint = f"; for the file here give ./{name}.py" if Path(f"{name}.py").is_file() else ""
    raise InputError(f"there is no recipe {name!r}; there are {nearest_name(name, names)}{hint}")


def _recipe_in_file(name: str) -> Recipe:
    path = at_home(name).absolute()
    if path.is_dir():
        raise InputError(f"{name!r} is a folder; name the .py file of a recipe in it")
    if not path.is_file():
        what = "file" if path.suffix == ".py" else "file or folder"
        raise InputError(f"there is no {what} {name!r}; name the .py file of a recipe")
    if path.suffix != ".py":
        raise InputError(f"{name!r} is not a .py file; name the .py file of a recipe")
    modules_beside.begin(path.parent)
    module = f"potstill_recipe_{next(_loads)}"
    with _one_line(path.name):
        found = import_file(module, path)
    loaded_files[module] = path
    return _recipe_of(found, path.name, path.stem)


def _may_have_recipe(name: str) -> bool:
    """Whether a module's source mentions RECIPE: a module that a slip names is not imported."""
    _add_current_folder()
    with contextlib.suppress(ImportError, ValueError, OSError):  # ValueError: of `__main__`
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        return bool(spec and spec.has_location and b"RECIPE" in Path(str(spec.origin)).read_bytes())
    return False


def _add_current_folder() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # as `python -m` does


def _recipe_in_module(name: str) -> Recipe:
    _add_current_folder()
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
    file = Path(str(module.__file__))
    if name in recipe_names() and not file.samefile(_shipped_folder() / f"{name}.py"):
        raise RecipeError(
            f"{shown}: {name!r} is the name of a recipe that ships, and both would share one "
            "folder in work; rename the file and its RECIPE"
        )
    return replace(recipe, file=file)


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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - somebody's module
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


def imported_files(file: Path) -> set[Path]:
    """A module's file, and those beside it that it imports, directly or not."""
    found, left = set[Path](), [file]
    while left:
        module = left.pop()
        if module in found or not module.is_file():
            continue
        found.add(module)
        with contextlib.suppress(SyntaxError):  # it is not imported, or the recipe would not load
            # Compiled, as parse() of `ast` fails at times while other threads use it, too.
            code = compile(module.read_bytes(), str(module), "exec", dont_inherit=True)
            for level, name, names in _imports(code):
                left += _files_of(level, name, names, module, file.parent)
    return found


def _imports(code: CodeType) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The imports of code: how many dots, which module, and what is taken of it."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            yield level.argval, step.argval, names.argval or ()
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _imports(inner)


def _files_of(
    level: int, module_name: str, taken: Sequence[str], module: Path, folder: Path
) -> list[Path]:
    """The files that an import may load, if they exist, from the folder or its own package."""
    start = f"{module_name}." if module_name else ""
    names = [f"{start}{name}" for name in taken] or [module_name]
    files = list[Path]()
    if level:
        folder = module.parents[level - 1]
        files.append(folder / "__init__.py")
    for name in names:
        parts = name.split(".")
        if level or not _is_installed(parts[0]):
            for end in range(len(parts)):
                path = folder.joinpath(*parts[: end + 1])
                files += [path.with_name(f"{path.name}.py"), path / "__init__.py"]
    return files


def place_of(error: BaseException) -> str:
    """The last file and line that an error came through in code of the user; empty if none."""
    lines = [
        _place(frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).is_file()
        and not Path(frame.f_code.co_filename).is_relative_to(_BUILDERS)
        and not {"site-packages", "dist-packages"} & {*Path(frame.f_code.co_filename).parts}
        and str(frame.f_globals.get("__name__")).partition(".")[0] not in sys.stdlib_module_names
    ]
    return lines[-1] if lines else ""


def _place(file: str | Path, line: int | None) -> str:
    return Path(file).name + (f", line {line}" if line else "")
