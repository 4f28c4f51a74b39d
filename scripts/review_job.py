"""Reviews the pull request that a Hub webhook reports.

As a Hub job (the event comes in WEBHOOK_PAYLOAD):  python -m scripts.review_job
To set up the job and its webhook, once per set:  python -m scripts.review_job --watch org/set
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from builders.errors import InputError, PotstillError
from scripts.command_line import Parser, print_error, print_out, text
from scripts.main import main as potstill

CODE = "POTSTILL_CODE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Review and comment; 0 if the job did its work, whatever the verdict."""
    parser = Parser(prog="review_job", description=__doc__)
    parser.add_argument(
        "--watch",
        type=text,
        metavar="ORG/SET",
        help="Make the job and its webhook for this set, and exit.",
    )
    parser.add_argument(
        "--code",
        type=text,
        metavar="ADDRESS",
        help="Git address of potstill, which the job clones.",
    )
    try:
        given = parser.parse(sys.argv[1:] if arguments is None else arguments)
        if given.help:
            print_out(parser.format_help().rstrip())
            return 0
        return _watch(given.watch, given.code) if given.watch else _review()
    except PotstillError as error:
        print_error("review_job", error)
        return error.status


def _review() -> int:
    from builders.review.webhook_job import pull_requests

    try:
        payload = json.loads(os.environ.get("WEBHOOK_PAYLOAD", ""))
    except json.JSONDecodeError as error:
        raise InputError(
            f"WEBHOOK_PAYLOAD is not JSON ({error.msg}); expected what a Hub webhook sends"
        ) from None
    if not isinstance(payload, dict):
        raise InputError("WEBHOOK_PAYLOAD is not an object; expected what a Hub webhook sends")
    found = pull_requests(payload)
    for name, number in found:
        if potstill(["review", f"{name}@main", str(number), "--comment"]) not in (0, 3):
            return 1
    if not found:
        print_out("this event needs no review")
    return 0


def _watch(name: str, code: str | None) -> int:
    from builders.review.webhook_job import watch
    from scripts.main import the_hub

    token = os.environ.get("POTSTILL_REVIEW_TOKEN")
    if not code or not token:
        raise InputError(
            "--watch needs --code with the git address of potstill, and in POTSTILL_REVIEW_TOKEN a "
            "token that may write discussions on the set; give both"
        )
    with the_hub() as hub:
        print_out(f"webhook {watch(hub, name, code=code, token=token)} watches {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
