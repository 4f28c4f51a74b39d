"""potstill diff: what changed between two versions, drafts or folders, row by row."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builders.errors import named_in_errors
from builders.set_names import parse_set
from builders.sets import by_path
from scripts.command_line import (
    Parser,
    add_hub_data,
    add_json,
    add_work,
    print_err,
    print_out,
    text,
)
from scripts.main import no_folder_either, the_hub

EXAMPLES = """\
  potstill diff org/set@v1.0.0 org/set@v1.1.0
  potstill diff org/set my-set    # what the newest draft would change
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "old",
        type=text,
        metavar="OLD",
        help="A set by its name (its newest draft is compared), the folder of a draft or a "
        "release, or a set on a Hub such as org/set@v1.0.0.",
    )
    parser.add_argument(
        "new", type=text, metavar="NEW", help="Another one; changes are shown from OLD to NEW."
    )
    add_work(parser)
    add_json(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Print the diff, and which part of the version number has to rise."""
    from builders.release.diff import diff, facts, table
    from builders.release.snapshot import whole_snapshot
    from builders.release.versions import demanded

    with named_folder(given.old, given) as old, named_folder(given.new, given) as new:
        found = diff(whole_snapshot(old), whole_snapshot(new))
    part = demanded(found)
    if given.json:
        print_out(json.dumps({**facts(found), "demands": part}))
    else:
        print_out(table(found))
        needs = f"a release of this needs a new {part} version" if part else "nothing changed"
        print_out(f"\n{needs}")
    return 0


@contextmanager
def named_folder(name: str, given: argparse.Namespace) -> Iterator[Path]:
    """The folder of a set by its path, its name or its name on a Hub, fetched for the block.

    A version that was withdrawn is named on stderr.

    `given` has the flags --work and --hub-data.
    """
    from builders.drafting.draft import load_draft

    if Path(name).is_dir():
        yield Path(name)
        return
    name = by_path(name)
    if name.endswith((".py", ".md")) or "/" not in name:
        yield load_draft(name, given.work).folder
        return
    from builders.hub.fetch import fetch_snapshot
    from builders.hub.withdraw import withdrawal

    repository, revision = parse_set(
        name, expected="the folder of a draft or a release, or a set such as org/set@v1.0.0"
    )
    with tempfile.TemporaryDirectory(prefix="potstill-") as made:
        folder = Path(made) / repository.partition("/")[2]
        with no_folder_either(name), the_hub(given.hub_data, only_reads=True) as hub:
            fetch_snapshot(hub, repository, revision or "main", folder)
            with named_in_errors(folder, name):
                if line := withdrawal(hub, repository, revision, folder):
                    print_err(f"warning: {repository}: {line}")
        with named_in_errors(folder, name):
            yield folder
