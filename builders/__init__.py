"""potstill from Python: `build` makes a draft of a recipe, `release` a folder of the draft.

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
    from builders.sources.source import Source

    def release(draft: Draft, to: str | Path) -> Path:
        """See builders/release/__init__.py."""


__all__ = [
    "Draft",
    "PotstillError",
    "Recipe",
    "Source",
    "build",
    "load_draft",
    "load_recipe",
    "release",
]
_HOMES = {
    "Draft": "builders.drafting.draft",
    "PotstillError": "builders.errors",
    "Recipe": "builders.recipe",
    "Source": "builders.sources.source",
    "build": "builders.drafting.build",
    "load_draft": "builders.drafting.draft",
    "load_recipe": "builders.recipe_loading",
}


def __getattr__(name: str) -> Any:
    if name == "release":
        return import_module("builders.release")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
