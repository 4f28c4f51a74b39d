"""The set that a release declares, so that it can be built again or be the start of another.

A release comes from strangers: its manifest is checked, and no code that it names is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from builders.errors import InputError
from builders.front_matter import FrontMatter
from builders.recipe import Recipe, Seeds, named
from builders.recipe_loading import load_recipe, recipe_names
from builders.release.card import words_back
from builders.release.snapshot import CARD, MANIFEST, read_manifest
from builders.schema import Schema
from builders.set_file import Declaration, declaration
from builders.sets import Released, Set, check_name

_OF_FILE = re.compile(r".+, (sha256:[0-9a-f]{64})", re.DOTALL)  # an option in a lineage


def released_set(folder: Path, shown: str, recipe: str | None = None) -> Set:
    """The set of a release in a folder; `shown` names it in errors and in what is built from it.

    Its paths start in the working folder.

    Args:
        folder: The folder of the release.
        shown: Its name.
        recipe: The file of its recipe, where it is none of those that ship.

    Raises:
        InputError: The folder holds no release, or one that declares no set, or the recipe is not
            that of the release.
        RecipeError: Its recipe cannot be loaded.
    """
    a_set = declared_set(folder, shown)
    declared, name = a_set.declaration.recipe, a_set.recipe.name
    if recipe is None and declared not in recipe_names():
        raise InputError(
            f"{shown} names the recipe {declared!r}, and no code that a release names is run; look "
            f"at it, and give its file: ./{name}.py --from {shown}"
        )
    if recipe is not None and not recipe.endswith(".py"):
        raise InputError(
            f"{recipe!r} is beside --from, and is no recipe's file; leave it out: {shown} declares "
            f"the set {a_set.name}"
        )
    loaded = load_recipe(recipe or declared)
    if loaded.name != name:
        raise InputError(f"{shown} was made by the recipe {name}, not by {loaded.name}")
    return replace(a_set, recipe=loaded)


def declared_set(folder: Path, shown: str) -> Set:
    """As `released_set`, without its recipe's code: of the recipe it has what is declared alone."""
    manifest = read_manifest(folder)
    about = manifest.get("set", {})
    if "declaration" not in _mapping(about, "set", shown):
        why = "an older potstill released it" if manifest else f"there is no {MANIFEST}"
        raise InputError(f"{shown} declares no set: {why}; start with `potstill new`")
    declared = declaration(_mapping(about["declaration"], "set.declaration", shown), shown)
    name = _text(about.get("name"), "set.name", shown)
    with named(f"{shown}, its {MANIFEST}"):
        check_name(name)
    try:
        words = words_back((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{shown} has no {CARD}; take it from a release") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}, its {CARD}: not UTF-8 ({error.reason})") from None
    place = f"a file, `potstill new NAME --from {shown}` writes one"
    return Set(
        name=name,
        recipe=_declared_recipe(declared),
        declaration=declared,
        front=FrontMatter(values=about["declaration"], shown=shown),
        words=replace(words, version_place=place),
        released=_released(manifest, shown),
    )


def _released(manifest: Mapping[str, Any], shown: str) -> Released:
    """What a release was made from, as far as it decides whether the same can be made again."""
    about, lineage = manifest["set"], _mapping(manifest.get("lineage"), "lineage", shown)
    seeds = _mapping(lineage.get("seeds"), "lineage.seeds", shown)
    settings = _mapping(lineage.get("settings", {}), "lineage.settings", shown)
    teachers = _mapping(lineage.get("teachers", {}), "lineage.teachers", shown)
    given = _mapping(about.get("files", {}), "set.files", shown)
    overridden = about.get("overridden", [])
    if not (isinstance(overridden, list) and all(isinstance(one, str) for one in overridden)):
        _refuse("set.overridden", shown)
    files = {name: _OF_FILE.fullmatch(str(value)) for name, value in settings.items()}
    return Released(
        shown=shown,
        source=_text(seeds.get("revision"), "lineage.seeds.revision", shown),
        code=lineage.get("code"),
        teachers={
            role: _mapping(one, f"lineage.teachers.{role}", shown).get("revision")
            for role, one in teachers.items()
        },
        files={name: found[1] for name, found in files.items() if found},
        given={flag: one for flag, one in given.items() if _OF_FILE.fullmatch(str(one))},
        overridden=tuple(overridden),
        ad_hoc=about.get("ad_hoc") is True,
    )


def _declared_recipe(declared: Declaration) -> Recipe:
    """A recipe that ships; of any other one its name, its roles and what it starts from."""
    if declared.recipe in recipe_names():
        return load_recipe(declared.recipe)
    path = Path(declared.recipe)
    name = path.stem if path.suffix == ".py" else declared.recipe.rpartition(".")[2]

    def not_loaded(*_: object, **__: object) -> NoReturn:
        raise InputError(f"the recipe {declared.recipe!r} is not loaded")

    return Recipe(
        name=name,
        makes="",
        schema=Schema(name="", columns=()),
        seeds=Seeds(form="tasks" if declared.seeds else "prompts", source=""),
        roles=dict.fromkeys((role for role in declared.teachers if role), "answers"),
        rows=1,
        rows_of="prompts or candidates",
        pipeline=not_loaded,
        row=not_loaded,
    )


def _mapping(value: object, name: str, shown: str) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _refuse(name, shown)


def _text(value: object, name: str, shown: str) -> str:
    return value if isinstance(value, str) else _refuse(name, shown)


def _refuse(name: str, shown: str) -> NoReturn:
    raise InputError(
        f"{shown}: {name} in its {MANIFEST} is missing or has another form; take it from a release"
    )
