"""What made a draft: recipe, settings, seeds, teachers and tools; no path, no clock, no secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.recipe import Recipe, Settings

_TOOLS = ("potstill", "distilabel", "datasets", "pyarrow", "rapidfuzz", "xllamacpp")


def lineage(
    recipe: Recipe,
    settings: Settings,
    seeds: Mapping[str, Any],
    teachers: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The lineage as JSON values, in the order in which a person reads it."""
    return {
        "recipe": recipe.name,
        "follows": recipe.source,
        "settings": {
            "rows": settings.rows,
            "rows_of": recipe.rows_of,
            "seed": settings.seed,
            **_choices(recipe, settings),
        },
        "seeds": dict(seeds),
        "teachers": {role: dict(facts) for role, facts in teachers.items()},
        "tools": {name: version(name) for name in _TOOLS},
    }


def _choices(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """The options as they were chosen; of a file its name and its content's sha256, no path."""
    said = dict(settings.options)
    for option in recipe.options:
        given = said.get(option.name)
        if option.file and given is not None and given != option.default:
            sha256 = hashlib.sha256(Path(given).read_bytes()).hexdigest()
            said[option.name] = f"{Path(given).name}, sha256:{sha256}"
    return said
