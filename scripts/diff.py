"""potstill diff: what changed between two versions, drafts or folders, row by row."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from builders.errors import InputError, nearest_name
from builders.recipe_loading import recipe_names
from scripts.main import about_a_hub, about_drafts, the_hub


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    meaning = "a folder, a recipe (its newest draft), or org/set@v1.0.0"
    parser.add_argument("old", metavar="A", help=meaning)
    parser.add_argument("new", metavar="B", help="the same; what changed from A to B is shown")
    about_drafts(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """Print the diff and the part of the version that it demands."""
    from builders.release.diff import diff, facts, table
    from builders.release.snapshot import snapshot
    from builders.release.versions import demanded

    with tempfile.TemporaryDirectory(prefix="potstill-") as made:
        folders = (
            _folder(name, given, Path(made) / str(n))
            for n, name in enumerate((given.old, given.new))
        )
        found = diff(*map(snapshot, folders))
    part = demanded(found)
    if given.json:
        print(json.dumps({**facts(found), "demands": part}, ensure_ascii=False))
    else:
        print(table(found))
        print(f"\na {part} change" if part else "\nnothing changed")
    return 0


def _folder(name: str, given: argparse.Namespace, fetched: Path) -> Path:
    """The folder that a word of the command line stands for; from a Hub, one that is fetched."""
    from builders.drafting.draft import load_draft

    if Path(name).is_dir():
        return Path(name)
    names = recipe_names()
    if name in names or name.endswith(".py") or ("." in name and "/" not in name):
        return load_draft(name, given.work).folder
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise InputError(
            f"{name!r} is no folder, no set such as org/set@v1.0.0 and no recipe; there are "
            f"{nearest_name(name, names)}"
        )
    from builders.hub.fetch import fetch_snapshot, parse_set

    repository, revision = parse_set(name)
    with the_hub(given.hub_data, only_reads=True) as hub:
        fetch_snapshot(hub, repository, revision or "main", fetched)
    return fetched
