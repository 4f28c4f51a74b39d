"""potstill check: whether a version was withdrawn, and whether what it claims is true."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import named_in_errors
from builders.recipe import Recipe
from builders.recipe_loading import load_recipe, recipe_names
from builders.set_names import parse_set
from scripts.command_line import Parser, add_hub_data, add_json, print_err, print_out, text
from scripts.main import no_folder_either, the_hub

if TYPE_CHECKING:
    from builders.release.verification import Verification

_SHOWN = 5  # files beside the release that are named
WITHDRAWN = 3  # the exit status for a version that was withdrawn
_EXPECTED = "the folder of a release, or a set on a Hub such as org/set@v1.0.0"
EXAMPLES = """\
  potstill check org/set@v1.1.0
  potstill check org/set@v1.1.0 --only-withdrawn || exit 1
  potstill check my-set-v0.1.0    # a folder
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "set",
        type=text,
        metavar="ORG/SET@VERSION",
        help="A version on a Hub (without @VERSION, main), or the folder of a release. The exit "
        "status is 3 if it was withdrawn, 1 if its data contradict its card or manifest.",
    )
    parser.add_argument(
        "--only-withdrawn",
        action="store_true",
        help="Only ask whether the version was withdrawn; fetch no data and recompute nothing.",
    )
    add_json(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """0 if all is true, 1 if its bytes contradict its card or manifest, 3 if it was withdrawn."""
    from builders.hub.withdraw import advisory, advisory_in
    from builders.release.verification import Verification, verified

    found = Verification()
    with contextlib.ExitStack() as resources:
        folder, tag = Path(given.set), None
        if folder.is_dir():
            version, withdrawn = advisory_in(folder)
        else:
            from builders.hub.fetch import fetch_snapshot

            repository, revision = parse_set(given.set, expected=_EXPECTED)
            resources.enter_context(no_folder_either(given.set))
            hub = resources.enter_context(the_hub(given.hub_data, only_reads=True))
            version, withdrawn = advisory(hub, repository, revision)
            if not given.only_withdrawn:
                made = resources.enter_context(tempfile.TemporaryDirectory(prefix="potstill-"))
                folder = Path(made) / repository.partition("/")[2]
                fetch_snapshot(hub, repository, revision or "main", folder)
                resources.enter_context(named_in_errors(folder, given.set))
                tag = None if revision in (None, "main") else version
        if not given.only_withdrawn:
            found = verified(folder, _recipe, tag=tag)
    if given.json:
        facts = {"set": given.set, "version": version, "withdrawn": withdrawn}
        print_out(json.dumps({**facts, **vars(found)}))
    else:
        for line in _lines(version, withdrawn, found, recomputed=not given.only_withdrawn):
            (print_err if withdrawn or found.false else print_out)(line)
    return WITHDRAWN if withdrawn else int(bool(found.false))


def _recipe(name: str) -> Recipe | None:
    """The shipped recipe of that name: what a set names is never imported from anywhere else."""
    return load_recipe(name) if name in recipe_names() else None


def _lines(
    version: str, withdrawn: Mapping[str, str] | None, found: Verification, *, recomputed: bool
) -> Iterator[str]:
    from builders.hub.withdraw import withdrawn_line

    if withdrawn:
        yield withdrawn_line(version, withdrawn)
    yield from (f"false: {claim}" for claim in found.false)
    yield from (f"not checked: {claim}" for claim in found.unchecked)
    if found.foreign:
        more = f" and {len(found.foreign) - _SHOWN} more" if len(found.foreign) > _SHOWN else ""
        yield f"beside the release: {', '.join(found.foreign[:_SHOWN])}{more}"
    if not withdrawn and not found.false:
        also = "; the rest of what" if found.unchecked else "; what"
        also += " its card and manifest claim of its data is true"
        yield f"{version} was not withdrawn{also if recomputed else ''}"
