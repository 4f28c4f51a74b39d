"""What made a draft: recipe, settings, seeds, teachers and tools; no path, no clock, no secret."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
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
            **settings.options,
        },
        "seeds": dict(seeds),
        "teachers": {role: dict(facts) for role, facts in teachers.items()},
        "tools": {name: version(name) for name in _TOOLS},
    }
