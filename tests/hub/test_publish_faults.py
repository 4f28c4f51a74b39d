"""After any fault main is the old version or the new one, and a second try succeeds.

A proxy between the real client and a real Hub fails each request of a release in turn.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from builders.drafting.draft import Draft
from builders.errors import PotstillError
from builders.hub.publish import ReleasePlan, publish
from builders.release.folder import release
from tests.hub.plans import (
    commits_of,
    connected,
    ids_of,
    planned,
    read_back_in_process,
    tags_of,
    tree_of,
)
from tests.hubs import clean_environment
from tests.proxy import FAULTS, Proxy

pytestmark = pytest.mark.slow
ATTRIBUTES = ".gitattributes"
# These are tried at every request, the others in turns.
AT_EVERY = ("gone", "lost-gone")
IN_TURNS = tuple(fault for fault in FAULTS if fault not in AT_EVERY)


@pytest.fixture
def proxy(hub: Any, monkeypatch: pytest.MonkeyPatch, short_waits: None) -> Iterator[Proxy]:
    """The proxy in front of the Hub."""
    read_back_in_process(monkeypatch)
    with Proxy(hub.port) as between:
        yield between


class Series:
    """Versions of one set, published through the proxy and read from the Hub itself."""

    def __init__(self, hub: Any, proxy: Proxy, draft: Draft, repo: str, home: Path) -> None:
        self.hub, self.proxy, self.draft, self.repo, self.home = hub, proxy, draft, repo, home
        self.minor = 0
        self.now = tree_of(hub, repo)

    def next(self) -> ReleasePlan:
        self.minor += 1
        return planned(self.draft, self.home, f"0.{self.minor}.0", self.repo)

    def publish(self, what: ReleasePlan) -> PotstillError | None:
        """Publish through the proxy; return the error that it raised, if any."""
        try:
            publish(connected(self.hub, endpoint=self.proxy.endpoint), what)
        except PotstillError as error:
            return error
        return None

    def check(self, what: ReleasePlan, before: int, where: str) -> None:
        """After a fault main is old or new; after a second try it is new and tagged."""
        after = tree_of(self.hub, self.repo)
        made = len(commits_of(self.hub, self.repo)) - before
        assert (after == self.now and made == 0) or made == 1, f"{where}: main is something else"
        assert self.publish(what) is None, where
        done = tree_of(self.hub, self.repo)
        assert made == 0 or done == after, f"{where}: what was committed was not the whole version"
        assert len(commits_of(self.hub, self.repo)) == before + 1, where
        assert tree_of(self.hub, self.repo, what.tag) == done, where
        assert done != self.now
        self.now = done


@pytest.fixture
def series(hub: Any, proxy: Proxy, draft: Draft, repo: str, tmp_path: Path) -> Series:
    made = Series(hub, proxy, draft, repo, tmp_path / "home")
    first = made.next()
    assert made.publish(first) is None
    made.now = tree_of(hub, repo)
    folder = tmp_path / "folder"
    release(first.draft, first.schemas, folder, first.words, repository=repo)
    assert {path: sha for path, sha in made.now.items() if path != ATTRIBUTES} == ids_of(folder)
    return made


@pytest.mark.parametrize("fault", [*AT_EVERY, "in turns"])
def test_a_fault_at_any_request_leaves_the_old_version_or_the_new_one(
    series: Series, fault: str
) -> None:
    number, raised = 0, 0
    while True:
        number += 1
        kind = IN_TURNS[number % len(IN_TURNS)] if fault == "in turns" else fault
        before = len(commits_of(series.hub, series.repo))
        what = series.next()
        series.proxy.fail(number, kind)  # type: ignore[arg-type]
        error = series.publish(what)
        happened = series.proxy.stop_failing()
        where = f"request {number} ({kind}): {series.proxy.seen[number - 1 : number]}"
        series.check(what, before, where)
        raised += error is not None
        if not happened:
            assert error is None
            break
    assert number > 30, "a release makes that many requests"
    assert raised >= (number // 2 if fault in AT_EVERY else 1)


@pytest.mark.parametrize("fault", ["reset", "lost", "half", "500", "503", "429"])
def test_every_kind_of_fault_at_the_requests_that_change_something(
    series: Series, fault: Any
) -> None:
    series.proxy.fail(0, "reset")
    assert series.publish(series.next()) is None
    series.now = tree_of(series.hub, series.repo)
    writes = [
        number
        for number, line in enumerate(series.proxy.seen, 1)
        if not line.startswith(("GET", "HEAD"))
    ]
    assert len(writes) >= 5
    for number in writes:
        before = len(commits_of(series.hub, series.repo))
        what = series.next()
        series.proxy.fail(number, fault)
        series.publish(what)
        assert series.proxy.stop_failing()
        series.check(what, before, f"request {number} ({fault}): {series.proxy.seen[number - 1]}")


RELEASE = """
    import functools, pickle, sys
    from builders.hub.connection import Hub
    from builders.hub.publish import publish
    what = pickle.loads(sys.stdin.buffer.read())
    hub = Hub(endpoint=sys.argv[1], token=sys.argv[2])
    publish(hub, what, notify=functools.partial(print, flush=True))
"""


def test_a_release_that_is_killed_at_any_moment_is_finished_by_the_next(
    series: Series, tmp_path: Path
) -> None:
    import pickle

    hub, dice = series.hub, random.Random(5)
    env = {**clean_environment(), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    moments = ["sending", "sent", "reading", "reading", "sent"]
    for moment in moments:
        before = len(commits_of(hub, series.repo))
        what = series.next()
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RELEASE), hub.endpoint, hub.tokens["potstill"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**env, "HF_HUB_DISABLE_XET": "1"},
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(pickle.dumps(what))
            child.stdin.close()
            for line in child.stdout:
                if line.decode().startswith(moment):
                    break
            sleep(dice.random() * 0.3)
            child.send_signal(signal.SIGKILL)
        assert child.returncode in (0, -signal.SIGKILL)
        series.check(what, before, f"killed after {moment!r}")
        assert what.tag in tags_of(hub, series.repo)
