"""potstill list: the recipes, what each makes, and which teachers it needs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from builders.recipe_loading import load_recipe, recipe_names
from scripts.command_line import Parser, add_json, print_out

EXAMPLES = """\
  potstill list
  potstill list --json
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's flags."""
    add_json(parser)


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
        print_out(json.dumps(facts, indent=2))
        return 0
    for one in recipes:
        print_out(f"{one.name}\n  {one.makes}\n  method: {one.source}")
        print_out(f"  default size: {one.rows} {one.rows_of}")
        for role, meaning in one.roles.items():
            print_out(f"  teacher {role!r}: {meaning}")
    print_out("\n`potstill help build NAME` explains the options of a recipe.")
    return 0
