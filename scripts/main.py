"""potstill: builds post-training datasets and releases them as versioned Hub repositories."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pipelines
from builders.errors import InputError, PotstillError, nearest_name
from builders.recipe import Recipe, load_recipe, recipe_names

VERBS = {
    "list": "the recipes, what each makes and from what",
    "build": "seeds to rows to a draft",
    "merge": "the shards of one build to one draft",
    "ledger": "the calls of a build: tokens, money, failures; export to parquet",
    "show": "the last draft: what was kept and dropped, and why",
    "release": "the last draft as a new version on a Hub, or as a folder; read back and compared",
    "diff": "what changed between two versions, drafts or folders, row by row",
    "check": "whether a version was withdrawn; for training scripts",
    "yank": "withdraw a version: it stays readable, card and advisories say what to use",
    "review": "a pull request on a set: what it changes, what fails, one comment, a verdict",
    "judge": "how far a judge can be trusted: agreement with people, biases, consistency",
    "hub": "a Hub of your own on this machine, for the unmodified clients",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 is done, 1 is a turn for somebody (one line says whose), 2 is usage."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="potstill", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    try:
        for verb, meaning in VERBS.items():
            sub = verbs.add_parser(
                verb, help=meaning, description=f"potstill {verb}: {meaning}.", allow_abbrev=False
            )
            if verb in argv[:1]:
                importlib.import_module(f"scripts.{verb}").arguments(sub, argv[1:])
        given = parser.parse_args(argv)
        status: int = importlib.import_module(f"scripts.{given.verb}").run(given)
    except PotstillError as error:
        print(f"potstill: {' '.join(str(error).split())}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("potstill: stopped", file=sys.stderr)
        return 130
    return status


def about_a_set(parser: argparse.ArgumentParser) -> None:
    """The flags of every verb that looks at one set's builds."""
    parser.add_argument("name", metavar="NAME", help="a recipe; `potstill list` names them")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("work"),
        metavar="DIR",
        help="where drafts lie (default ./work)",
    )


def recipe(name: str) -> Recipe:
    """The recipe of that name, or an error that offers the nearest."""
    names = recipe_names(pipelines)
    if name not in names:
        raise InputError(f"there is no pipelines/{name}.py; there are {nearest_name(name, names)}")
    return load_recipe(pipelines, name)


if __name__ == "__main__":
    sys.exit(main())
