"""potstill hub: a Hub of your own on this machine, for the unmodified clients."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from builders.errors import InputError
from builders.hub_server.serving import add_user, serving


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="default 0: as last time, or any free one"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("work/hub"),
        metavar="DIR",
        help="where repositories lie (default ./work/hub)",
    )
    parser.add_argument("--add-user", metavar="NAME", help="make a user or a new token, and stop")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def run(given: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, or print a new user's token."""
    if given.add_user is not None:
        token = add_user(given.data, given.add_user)
        print(json.dumps({"user": given.add_user, "token": token}) if given.json else token)
        return 0
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serving(given.data, given.port) as hub:
        if not hub.started:
            raise InputError(
                f"a Hub serves {given.data} already, at {hub.endpoint}; use it, or give another "
                "folder with --data"
            )
        if given.json:
            print(json.dumps({"endpoint": hub.endpoint, "token": hub.token}), flush=True)
        else:
            print(f"a Hub at {hub.endpoint}, its data in {given.data}; Ctrl-C stops it")
            print(f"export HF_ENDPOINT={hub.endpoint} HF_TOKEN={hub.token}", flush=True)
        stopped.wait()
    return 0
