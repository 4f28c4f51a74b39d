"""potstill review: what a pull request of rows changes, what fails, one comment, a verdict."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builders.errors import UsageError
from builders.set_names import parse_set
from scripts.command_line import Parser, add_hub_data, add_json, count, path, print_out, text
from scripts.main import the_hub

REFUSED = 3  # the exit status of a review that ends with "do not merge"
EXAMPLES = """\
  potstill review org/set 7
  potstill review org/set 7 --comment --merge --evaluation test.jsonl
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "set", type=text, metavar="ORG/SET", help="The set that the pull request is on."
    )
    parser.add_argument(
        "number",
        type=count(),
        metavar="N",
        help="Which pull request to review. The exit status is 3 if it must not be merged.",
    )
    parser.add_argument(
        "--comment",
        action="store_true",
        help="Post the review there, as one comment that later reviews edit.",
    )
    parser.add_argument(
        "--merge", action="store_true", help="Merge what was reviewed if nothing is wrong with it."
    )
    parser.add_argument(
        "--evaluation",
        type=path,
        action="append",
        default=[],
        metavar="FILE",
        help="No rows of this evaluation set (.jsonl, .json, .parquet) may enter; give the flag "
        "again for another one.",
    )
    add_json(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Review; comment and merge if requested. 0: accepted; 3: refused."""
    from builders.hub.pull_request_comments import write_comment
    from builders.review.pull_requests import fetch, merge
    from builders.review.report import comment, facts, review

    repository, revision = parse_set(given.set, expected="a set on a Hub such as org/set")
    if revision not in (None, "main"):
        raise UsageError(f"{given.set!r}: a pull request has no version; type {repository}")
    reads = not (given.comment or given.merge)
    with (
        the_hub(given.hub_data, only_reads=reads) as hub,
        tempfile.TemporaryDirectory(prefix="potstill-") as made,
    ):
        main, pull = Path(made) / "main", Path(made) / "pull"
        fetched = fetch(hub, repository, given.number, main, pull)
        found = review(main, pull, evaluation=given.evaluation)
        found = replace(found, findings=(*fetched.findings(), *found.findings))
        text = comment(found, repository=repository, number=given.number, sha=fetched.sha)
        if given.comment:
            write_comment(hub, repository, given.number, text)
        merged = None
        if given.merge and found.verdict == "accept":
            merged = merge(hub, fetched, found.accepted, pull)
    print_out(
        json.dumps({**facts(found), "sha": fetched.sha, "merged": merged}) if given.json else text
    )
    if merged and not given.json:
        print_out(f"\nmerged {fetched.sha[:12]}; main of {repository} is now {merged[:12]}")
    if fetched.releases and fetched.status in ("open", "draft") and not given.json:
        name = f"{repository}@refs/pr/{given.number}"
        print_out(
            f"\nA release is not reviewed row by row. `potstill check {name}` recomputes what it "
            f"claims, `potstill diff {repository} {name}` compares it with main. Then merge it on "
            f"the Hub; `potstill release` of the same draft sets the tag {fetched.releases}."
        )
    return 0 if found.verdict != "refuse" else REFUSED
