"""potstill review: what a pull request on a set changes, what fails, one comment, a verdict."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.main import about_a_hub, the_hub

REFUSED = 3  # the exit of a review that ends with "do not merge"


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument("set", metavar="ORG/SET", help="the set's repository on the Hub")
    parser.add_argument("number", type=int, metavar="N", help="the pull request's number")
    parser.add_argument(
        "--comment", action="store_true", help="say it there, in one comment that later runs edit"
    )
    parser.add_argument(
        "--merge", action="store_true", help="merge what was reviewed, if nothing is against it"
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an evaluation set (.jsonl, .json, .parquet) whose rows may not enter; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """Review, say so where asked, merge where asked and right; 0 accepted, 3 refused."""
    from builders.review.pull_requests import fetch, merge, write_comment
    from builders.review.report import comment, facts, review

    with the_hub(given.hub_data) as hub, tempfile.TemporaryDirectory(prefix="potstill-") as made:
        main, pull = Path(made) / "main", Path(made) / "pull"
        fetched = fetch(hub, given.set, given.number, main, pull)
        found = review(main, pull, evaluation=given.evaluation)
        found = replace(found, findings=(*fetched.findings(), *found.findings))
        text = comment(found, repository=given.set, number=given.number, sha=fetched.sha)
        if given.comment:
            write_comment(hub, fetched, text)
        merged = None
        if given.merge and found.verdict == "accept":
            merged = merge(hub, fetched, found.accepted, pull)
    print(
        json.dumps({**facts(found), "sha": fetched.sha, "merged": merged}) if given.json else text
    )
    if merged and not given.json:
        print(f"\nmerged {fetched.sha[:12]}; main of {given.set} is now {merged[:12]}")
    return 0 if found.verdict != "refuse" else REFUSED
