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

# The names of the sets in the working folder, as `sets_here` finds them.
_SETS_HERE = (
    r"find -L . -maxdepth 1 -name '*.md' -exec grep -ls '^recipe *:' '{}' + | "
    r"sed -e 's,^[.]/,,' -e 's,[.]md$,,'"
)


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
    """Print the script: verbs, flags, choices, sets, recipes with their options, files, folders."""
    import shtab

    names = recipe_names()
    made = parsers(dict.fromkeys(VERBS, ()))
    for verb, name in product(("build", "preview"), names):
        known = {flag for action in made[verb].shown() for flag in action.option_strings}
        for action in parsers({verb: [name]})[verb].shown():
            if action.option_strings and known.isdisjoint(action.option_strings):
                made[verb]._add_action(action)
    sets, recipes = _by_name(names, ("py", "md"), sets=True), _by_name(names, ("py",))
    completed = {
        **dict.fromkeys(("NAME", "OLD", "NEW"), sets),
        "RECIPE": recipes,
        **dict.fromkeys(("DIR", "FOLDER", "RELEASE", "ORG/SET@VERSION"), shtab.DIRECTORY),
        **dict.fromkeys(("FILE", "WHERE"), shtab.FILE),
    }
    for verb, parser in made.items():
        for action in parser.shown():
            is_new = action.metavar == "NAME" and (action.option_strings or verb == "new")
            if action.metavar == "VERB" and not action.choices:
                action.choices = [*VERBS]
            elif action.metavar in completed and not is_new:
                action.complete = completed[action.metavar]  # type: ignore[attr-defined]
    print_out(shtab.complete(made[""], shell=given.shell))
    return 0


def _by_name(
    recipes: Sequence[str], endings: Sequence[str], sets: bool = False
) -> dict[str, object]:
    """Completes names of recipes, of sets here too, and files where the word looks like a path."""
    function = "_potstill_sets" if sets else "_potstill_recipes"
    words = f"{'$(_potstill_sets_here) ' if sets else ''}{' '.join(recipes)}"
    files = "".join(f"compgen -f -X '!*.{ending}' -- \"$1\"; " for ending in endings)
    bash = f"""
        {function}() {{
          if [[ $1 == [./~]* || $1 == */* ]]; then {files}compgen -d -- "$1"
          else compgen -W "{words}" -- "$1"; fi
        }}"""
    zsh = f"""
        {function}() {{
          if [[ $PREFIX == [./~]* || $PREFIX == */* ]]; then _files -g "*.({"|".join(endings)})"
          else compadd -- {words}; fi
        }}"""
    preamble = {"bash": textwrap.dedent(bash), "zsh": textwrap.dedent(zsh), "fish": ""}
    if sets:
        here = f"_potstill_sets_here() {{ {_SETS_HERE}; }}"
        preamble = {shell: f"{here}{text}" for shell, text in preamble.items()}
        preamble["fish"] = f"function _potstill_sets_here; {_SETS_HERE}; end"
    fish = words.replace("$(", "(")
    return {"bash": function, "zsh": function, "fish": fish, "preamble": preamble}
