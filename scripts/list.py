"""potstill list: the recipes, what each makes and from what."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from builders.recipe_loading import load_recipe, recipe_names


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument("--json", action="store_true", help="one JSON list for programs")


def run(given: argparse.Namespace) -> int:
    """Print each recipe."""
    recipes = [load_recipe(name) for name in recipe_names()]
    if given.json:
        facts = [
            {
                "name": one.name,
                "makes": one.makes,
                "schema": one.schema.name,
                "rows": one.rows,
                "rows_of": one.rows_of,
                "roles": dict(one.roles),
                "follows": one.source,
            }
            for one in recipes
        ]
        print(json.dumps(facts, indent=2))
        return 0
    for one in recipes:
        print(f"{one.name}: {one.makes}")
        print(f"  follows {one.source}")
        print(f"  by default {one.rows} {one.rows_of}; teachers:")
        for role, meaning in one.roles.items():
            print(f"    {role} {meaning}")
    return 0
