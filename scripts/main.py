"""potstill: builds post-training datasets and releases them as versioned Hub repositories."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import (
    HubError,
    PotstillError,
    UsageError,
    did_you_mean,
    file_errors_in_one_line,
    shortened,
)
from scripts.command_line import HUB_DATA, Parser, print_err, print_error, print_out

if TYPE_CHECKING:
    from builders.hub.connection import Hub

VERBS = {
    "list": "List the sets here and the recipes, and the teachers that each one needs.",
    "new": "Write the file of a set of your own.",
    "build": "Build a set: ask the teachers, check answers, write a draft.",
    "preview": "Run a few rows of a build, and show what was asked, answered, parsed and kept.",
    "merge": "Join the shards of a build into one draft.",
    "ledger": "Show all calls of a set: tokens, cost and failures.",
    "show": "Show a draft or a released set: its rows as chats, and why they are so.",
    "release": "Release the newest draft to a Hub, or to a folder.",
    "diff": "Compare two versions, drafts or folders, row by row.",
    "check": "Check that a version was not withdrawn and is not false.",
    "yank": "Withdraw a version; it stays readable.",
    "review": "Review a pull request on a set.",
    "judge": "Measure how far a judge can be trusted.",
    "teacher": "Check what a teacher can do, by a few short questions.",
    "hub": "Run a Hub of your own on this machine.",
    "completion": "Print the script that completes commands in your shell.",
    "help": "Print the help of a verb.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and give the exit status: 0 if done, 2 for wrong usage, else an error's.

    An error is one line on stderr.
    """
    _open_closed_streams()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with file_errors_in_one_line():
            return _run(argv)
    except PotstillError as error:
        print_error("potstill", error)
        return error.status
    except KeyboardInterrupt:
        print_err("potstill: stopped")
        return 130


def _run(argv: Sequence[str]) -> int:
    verb, *words = argv or [""]
    if verb in ("-V", "--version"):
        from importlib.metadata import version

        print_out(f"potstill {version('potstill')}")
        return 0
    if verb in ("-h", "--help"):
        verb = "help"
    if verb not in VERBS:
        kind = "flag" if verb.startswith("-") else "verb"
        what = f"there is no {kind} {shortened(verb)}" if verb else "name a verb"
        hint = did_you_mean(verb, [*VERBS, "--help", "--version"])
        raise UsageError(f"{what}{hint or '; `potstill help` lists them'}")
    parser = parsers({verb: words})[verb]
    if {"-h", "--help"} & {*words}:
        print_out(parser.format_help().rstrip())
        return 0
    given = parser.parse(words)
    status: int = importlib.import_module(f"scripts.{verb}").run(given)
    return status


def parsers(words: Mapping[str, Sequence[str]]) -> dict[str, Parser]:
    """The parser of `potstill` (its name is empty) and of every verb.

    Only the verbs in `words` are imported and have their flags, since importing all takes a second.
    The words of a verb may add flags: a recipe adds its options.
    """
    root = Parser(prog="potstill", description=__doc__, epilog=EPILOG)
    root.add_argument("-V", "--version", action="store_true", help="Print the version of potstill.")
    verbs = root.add_subparsers(title="verbs", metavar="VERB")
    made = {"": root}
    for verb, meaning in VERBS.items():
        made[verb] = parser = verbs.add_parser(verb, help=meaning, description=meaning)
        if verb in words:
            module = importlib.import_module(f"scripts.{verb}")
            parser.epilog = module.EXAMPLES
            module.arguments(parser, words[verb])  # which may have other examples for these words
            parser.epilog = f"examples:\n{parser.epilog}"
    return made


EPILOG = """\
`potstill help VERB` explains a verb and gives examples. To begin:
  potstill new my-set --recipe completions --prompts prompts.jsonl
  potstill preview my-set
  potstill build my-set
"""


def _open_closed_streams() -> None:
    """Open /dev/null for a closed stream, and print what an encoding lacks as an escape.

    Without it the next file to be opened would get the number of stdout, and its content.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - as long as we run
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def the_hub(
    data: Path | None = None, *, outside: bool | None = None, only_reads: bool = False
) -> Iterator[Hub]:
    """The Hub to use, chosen here and nowhere else.

    The embedded Hub where its `data` are named; else HF_ENDPOINT where it is set, huggingface.co
    where there is a token, else the embedded Hub with its usual data, if there has ever been one.
    The embedded Hub is joined if it runs, else started for the length of the block.

    Args:
        data: The folder of the embedded Hub, where that one was asked for.
        outside: False: nothing leaves this machine. True: the embedded Hub is no substitute.
        only_reads: No token is needed: a Hub is read as anybody may read it.

    Raises:
        HubError: A token is needed and there is none.
    """
    from builders.hub.connection import from_environment, is_on_this_machine, no_token
    from builders.hub_server.serving import serving, was_served_at

    hub = from_environment()
    named = bool(os.environ.get("HF_ENDPOINT"))
    here = named and is_on_this_machine(hub.endpoint)
    if here and not hub.token and was_served_at(HUB_DATA, hub.endpoint):
        data = data or HUB_DATA  # its token is beside its data
    was_embedded = not named and HUB_DATA.exists()
    allowed = outside is not False and (hub.token or (only_reads and not was_embedded))
    if data is None and (here or allowed):
        yield hub
        return
    if data is None and (outside or (outside is None and not was_embedded)):
        raise HubError(
            f"{no_token(hub.endpoint)}; for the embedded Hub on this machine add "
            f"`--hub-data {HUB_DATA}`"
        )
    if data is None and outside is None:
        print_err(f"on the embedded Hub in {HUB_DATA}")
    with serving(data or HUB_DATA) as local:
        yield replace(hub, endpoint=local.endpoint, token=local.token, embedded=True)


@contextlib.contextmanager
def no_folder_either(name: str) -> Iterator[None]:
    """Report that both are missing where a Hub has no set of a name that may be a folder's.

    Raises:
        HubError: In place of the Hub's error.
    """
    from builders.hub.connection import NoRepositoryError

    try:
        yield
    except NoRepositoryError as error:
        raise HubError(f"there is no folder {shortened(name)}, and {error}") from None


if __name__ == "__main__":
    sys.exit(main())
