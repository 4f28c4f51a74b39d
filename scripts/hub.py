"""potstill hub: a Hub of your own on this machine, for the unmodified clients."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Sequence

from builders.errors import InputError
from builders.hub_server.serving import add_user, serving
from scripts.command_line import (
    HUB_DATA,
    Parser,
    add_alias,
    add_hub_data,
    add_json,
    count,
    print_out,
    text,
)

EXAMPLES = """\
  potstill hub    # prints its address and a token; Ctrl-C stops it
  potstill hub --add-user ann
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument(
        "--port",
        type=count(0, 65535),
        default=0,
        metavar="N",
        help="Listen on this port of 127.0.0.1 (default: that of last time, or any free one).",
    )
    parser.add_argument(
        "--add-user",
        type=text,
        metavar="NAME",
        help="Print a token for a user, who is made if new, and exit.",
    )
    add_json(parser)
    add_alias(parser, "--data", add_hub_data(parser))


def run(given: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, or print a new user's token."""
    data = given.hub_data or HUB_DATA
    if given.add_user is not None:
        token = add_user(data, given.add_user)
        print_out(json.dumps({"user": given.add_user, "token": token}) if given.json else token)
        return 0
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serving(data, given.port) as hub:
        if not hub.started:
            raise InputError(
                f"a Hub serves {data} already, at {hub.endpoint}; use it, or give "
                "another folder with --hub-data"
            )
        if given.json:
            print_out(json.dumps({"endpoint": hub.endpoint, "token": hub.token}))
        else:
            print_out(f"a Hub at {hub.endpoint}, its data in {data}; Ctrl-C stops it")
            print_out(f"export HF_ENDPOINT={hub.endpoint} HF_TOKEN={hub.token}")
        stopped.wait()
    return 0
