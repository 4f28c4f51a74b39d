"""potstill list: the sets here and the recipes: what each makes, and which teachers it needs."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.errors import InputError, PotstillError, file_errors_in_one_line
from builders.recipe_loading import load_recipe, recipe_names
from builders.set_file import read_set_file
from builders.sets import check_name, sets_here
from scripts.command_line import Parser, add_json, print_out

EXAMPLES = """\
  potstill list
  potstill list --json
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's flags."""
    add_json(parser)


def run(given: argparse.Namespace) -> int:
    """Print each set in the working folder, then each recipe."""
    sets, recipes = _sets(), [load_recipe(name) for name in recipe_names()]
    if given.json:
        known = [
            {
                "kind": "recipe",
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
        print_out(json.dumps([*known, *sets], indent=2))
        return 0
    for facts in sets:
        about = "{pretty_name}, {version}, by {recipe}"
        print_out(f"set {facts['name']}\n  {facts.get('error') or about.format(**facts)}")
    for one in recipes:
        print_out(f"{one.name}\n  {one.makes}\n  method: {one.source}")
        print_out(f"  default size: {one.rows} {one.rows_of}")
        for role, meaning in one.roles.items():
            print_out(f"  teacher {role!r}: {meaning}")
    print_out("\n`potstill help build NAME` explains the options of a recipe.")
    return 0


def _sets() -> list[dict[str, Any]]:
    """The sets here, each with the error where its file is wrong."""
    found = []
    for path in sets_here():
        with contextlib.suppress(InputError):
            check_name(path.stem)
            found.append({"kind": "set", "name": path.stem, **_facts(path)})
    return found


def _facts(path: Path) -> dict[str, Any]:
    try:
        with file_errors_in_one_line():
            declared, words, _ = read_set_file(path)
    except PotstillError as error:
        return {"error": str(error)}
    return {
        "recipe": declared.recipe,
        "pretty_name": declared.pretty_name,
        "version": f"v{words.version}",
    }
