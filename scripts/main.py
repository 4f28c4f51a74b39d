"""potstill: builds post-training datasets and releases them as versioned Hub repositories."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import PotstillError
from builders.recipe import Recipe
from builders.recipe_loading import load_recipe

if TYPE_CHECKING:
    from builders.hub.connection import Hub

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
    about_drafts(parser)


def about_drafts(parser: argparse.ArgumentParser) -> None:
    """The flag of every verb that reads or writes drafts."""
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("work"),
        metavar="DIR",
        help="where drafts lie (default ./work)",
    )


def about_a_hub(parser: argparse.ArgumentParser) -> None:
    """The flag of every verb that speaks to a Hub."""
    parser.add_argument(
        "--hub-data",
        type=Path,
        default=Path("work/hub"),
        metavar="DIR",
        help="where the embedded Hub's data lie (default ./work/hub)",
    )


@contextlib.contextmanager
def the_hub(
    data: Path = Path("work/hub"), *, outside: bool = True, only_reads: bool = False
) -> Iterator[Hub]:
    """The Hub to speak to, chosen here and nowhere else.

    HF_ENDPOINT where it is set, huggingface.co where a token is there; else the embedded Hub with
    its data in a folder, joined or started for as long as it is spoken to. Without `outside`,
    nothing leaves this machine. Who `only_reads` needs no token: where no embedded Hub ever was,
    huggingface.co is asked as anybody may.
    """
    from builders.hub.connection import from_environment, is_on_this_machine
    from builders.hub_server.serving import serving

    hub = from_environment()
    named = "HF_ENDPOINT" in os.environ
    public = only_reads and not data.exists()
    if (named or hub.token or public) if outside else (named and is_on_this_machine(hub.endpoint)):
        yield hub
        return
    with serving(data) as local:
        yield replace(hub, endpoint=local.endpoint, token=local.token)


def recipe(name: str) -> Recipe:
    """The recipe that a word of the command line names."""
    return load_recipe(name)


if __name__ == "__main__":
    sys.exit(main())
