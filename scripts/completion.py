"""potstill completion: the script that completes commands in a shell."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from itertools import product

from builders.recipe_loading import recipe_names
from scripts.command_line import Parser, one_of, print_out
from scripts.main import VERBS, parsers

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
  eval "$(potstill completion bash)"    # in ~/.bashrc
  potstill completion fish > ~/.config/fish/completions/potstill.fish
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's word."""
    parser.add_argument(
        "shell",
        type=one_of(SHELLS),
        choices=SHELLS,
        metavar="SHELL",
        help=f"One of {', '.join(SHELLS)}.",
    )


def run(given: argparse.Namespace) -> int:
    """Print the script: verbs, flags, choices, recipes with their options, files and folders."""
    import shtab

    names = recipe_names()
    made = parsers(dict.fromkeys(VERBS, ()))
    for verb, name in product(("build", "preview"), names):
        known = {flag for action in made[verb].shown() for flag in action.option_strings}
        for action in parsers({verb: [name]})[verb].shown():
            if action.option_strings and known.isdisjoint(action.option_strings):
                made[verb]._add_action(action)
    completed = {
        "NAME": _recipes(names),
        "DIR": shtab.DIRECTORY,
        "FOLDER": shtab.DIRECTORY,
        "FILE": shtab.FILE,
        "WHERE": shtab.FILE,
    }
    for parser in made.values():
        for action in parser.shown():
            if action.metavar == "VERB" and not action.choices:
                action.choices = [*VERBS]
            elif action.metavar in completed:
                action.complete = completed[action.metavar]  # type: ignore[attr-defined]
    print_out(shtab.complete(made[""], shell=given.shell))
    return 0


def _recipes(names: Sequence[str]) -> dict[str, object]:
    """Completes the names of the recipes, and files where the word looks like a path."""
    words = " ".join(names)
    bash = f"""
        _potstill_recipe_files() {{
          if [[ $1 == [./~]* ]]; then compgen -f -X '!*.py' -- "$1"; compgen -d -- "$1"
          else compgen -W "{words}" -- "$1"; fi
        }}"""
    zsh = f"""
        _potstill_recipe_files() {{
          if [[ $PREFIX == [./~]* ]]; then _files -g "*.py"; else compadd {words}; fi
        }}"""
    return {
        "bash": "_potstill_recipe_files",
        "zsh": "_potstill_recipe_files",
        "fish": words,
        "preamble": {"bash": textwrap.dedent(bash), "zsh": textwrap.dedent(zsh)},
    }
