"""What a draft was made from: recipe, settings, source, teachers, tools; no path and no time."""

from __future__ import annotations

import glob
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.recipe import Recipe, Settings
from builders.recipe_loading import imported_files

_TOOLS = ("potstill", "distilabel", "datasets", "pyarrow", "rapidfuzz", "xllamacpp")


def lineage(
    recipe: Recipe,
    settings: Settings,
    seeds: Mapping[str, Any],
    teachers: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The lineage as JSON values, in the order of reading."""
    follows = recipe.follows(settings)
    return {
        "recipe": recipe.name,
        "follows": recipe.source if follows is None else follows,
        "code": code_digest(recipe),
        "settings": {
            "rows": settings.rows,
            "rows_of": recipe.rows_of,
            **({"keep": settings.keep} if settings.keep else {}),
            "seed": settings.seed,
            **_choices(recipe, settings),
        },
        "seeds": dict(seeds),
        "teachers": {role: dict(facts) for role, facts in teachers.items()},
        "tools": {name: version(name) for name in _TOOLS},
    }


def code_digest(recipe: Recipe) -> str | None:
    """The sha256 of the recipe's code and data; None if a part is in no file, as in a notebook.

    Its code is its module, the modules beside it that this one imports, and the modules of its
    functions. The same wherever the files are, and whatever they are called.
    """
    modules = {_module(function).resolve() for function in _functions(recipe)}
    if not all(module.is_file() for module in modules):
        return None
    if recipe.file:
        modules |= imported_files(recipe.file.resolve())
    digests = "".join(sorted(_digest(module) for module in modules))
    return "sha256:" + hashlib.sha256(digests.encode()).hexdigest()


def _functions(recipe: Recipe) -> Iterator[Any]:
    """The functions that the recipe gives, without the defaults of those that it leaves out."""
    defaults = {one.name: one.default for one in fields(Recipe)}
    for name in ("pipeline", "row", "candidates", "draft_gates", "measures"):
        if (function := getattr(recipe, name)) is not defaults[name]:
            yield function
    yield from recipe.gates
    yield from (extra.rows for extra in recipe.extra_configs.values())


def _module(function: Any) -> Path:
    """The file of the module that a function, or the class of a callable object, was defined in."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return Path(code.co_filename if code else "")


def _digest(module: Path) -> str:
    """A line for a module and each data file beside it of the same stem, such as NAME.toml."""
    lines = []
    for path in sorted(module.parent.glob(f"{glob.escape(module.stem)}.*")):
        # No backup of an editor; a person's words beside a recipe are no code.
        if path.stem == module.stem and path.suffix[1:].isalnum() and path.suffix != ".md":
            content = path.read_bytes().replace(b"\r\n", b"\n")  # git may have changed line ends
            lines.append(f"{path.suffix} {hashlib.sha256(content).hexdigest()}\n")
    return "".join(lines)


def _choices(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """The chosen options; a file by its name and the sha256 of its content, without its path."""
    chosen = dict(settings.options)
    for option in recipe.options:
        file = chosen.get(option.name)
        if option.file and file is not None and file != option.default:
            sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
            chosen[option.name] = f"{Path(file).name}, sha256:{sha256}"
    return chosen
