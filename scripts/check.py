"""potstill check: whether a version was withdrawn; for training scripts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.main import about_a_hub, the_hub

WITHDRAWN = 3  # the exit of a version that was withdrawn


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument(
        "set", metavar="ORG/SET@VERSION", help="org/set@v1.1.0, org/set, or a release's folder"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """0 if nothing is known against it, 3 and a line if it was withdrawn."""
    from builders.hub.fetch import parse_set
    from builders.hub.withdraw import advisory, advisory_in

    if Path(given.set).is_dir():
        version, said = advisory_in(Path(given.set))
    else:
        repository, revision = parse_set(given.set)
        with the_hub(given.hub_data, only_reads=True) as hub:
            version, said = advisory(hub, repository, revision)
    if given.json:
        print(json.dumps({"set": given.set, "version": version, "withdrawn": said}))
    elif said:
        print(f"{version} was withdrawn: {said['why']}; use {said['use']}", file=sys.stderr)
    else:
        print(f"{version}: nothing is known against it")
    return WITHDRAWN if said else 0
