"""What a maintainer runs by a Hub webhook: reviews the pull request that the event tells of.

As a Hub job (the event comes in WEBHOOK_PAYLOAD):  python -m scripts.review_job
To set the job and its webhook up, once for a set:  python -m scripts.review_job --watch org/set
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from builders.errors import InputError, PotstillError
from scripts.main import main as potstill

CODE = "POTSTILL_CODE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Review with a comment; 0 if the job did its work, whatever the verdicts."""
    parser = argparse.ArgumentParser(prog="review_job", description=__doc__)
    parser.add_argument("--watch", metavar="ORG/SET", help="make the job and its webhook")
    parser.add_argument("--code", help="the git address of potstill that the job clones")
    given = parser.parse_args(arguments)
    try:
        return _watch(given.watch, given.code) if given.watch else _review()
    except PotstillError as error:
        print(f"review_job: {' '.join(str(error).split())}", file=sys.stderr)
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
        if potstill(["review", name, str(number), "--comment"]) not in (0, 3):
            return 1
    if not found:
        print("this event asks for no review")
    return 0


def _watch(name: str, code: str | None) -> int:
    from builders.review.webhook_job import watch
    from scripts.main import the_hub

    token = os.environ.get("POTSTILL_REVIEW_TOKEN")
    if not code or not token:
        raise InputError(
            "--watch needs --code with potstill's git address, and in POTSTILL_REVIEW_TOKEN a "
            "token that may write discussions on the set; give both"
        )
    with the_hub() as hub:
        print(f"webhook {watch(hub, name, code=code, token=token)} watches {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
