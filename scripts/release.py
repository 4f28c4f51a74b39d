"""potstill release: the last draft as a release folder, read back and compared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from builders.release.draft import last_draft
from builders.release.folder import release
from scripts.main import about_a_set, recipe


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    about_a_set(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to make")


def run(given: argparse.Namespace) -> int:
    """Make the folder and say how it is loaded."""
    named = recipe(given.name)
    draft = last_draft(given.work / named.name)
    if release(draft, named.schemas, given.to):
        print(f"released {draft.folder} to {given.to}; read back and compared")
    else:
        print(f"{given.to} is this release already; nothing changed")
    print("\nfrom datasets import load_dataset")
    print(f'rows = load_dataset("{given.to.absolute()}", split="train")')
    return 0
