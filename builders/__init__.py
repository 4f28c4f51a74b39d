"""potstill from Python: `load_set` reads a set, `build` makes a draft, `release` a folder of it.

Every name is imported when it is used first, so that `import builders` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from builders.drafting.build import build
    from builders.drafting.draft import Draft, load_draft
    from builders.errors import PotstillError
    from builders.recipe import Recipe
    from builders.recipe_loading import load_recipe
    from builders.sets import Set, load_set
    from builders.sources.source import Source

    def release(draft: Draft, to: str | Path) -> Path:
        """See builders/release/__init__.py."""


__all__ = [
    "Draft",
    "PotstillError",
    "Recipe",
    "Set",
    "Source",
    "build",
    "load_draft",
    "load_recipe",
    "load_set",
    "release",
]
_HOMES = {
    "Draft": "builders.drafting.draft",
    "PotstillError": "builders.errors",
    "Recipe": "builders.recipe",
    "Set": "builders.sets",
    "Source": "builders.sources.source",
    "build": "builders.drafting.build",
    "load_draft": "builders.drafting.draft",
    "load_recipe": "builders.recipe_loading",
    "load_set": "builders.sets",
}


def __getattr__(name: str) -> Any:
    if name == "release":
        return import_module("builders.release")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
