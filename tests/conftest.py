"""What every test gets: no network but loopback, a work folder, the published data if present."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.hubs import hub, repo, running_hub, short_waits  # noqa: F401 - fixtures of the embedded Hub

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("POTSTILL_API_KEY", None)

settings.register_profile("full", deadline=None)  # a busy machine is no fault of a test
settings.register_profile("quick", settings.get_profile("full"), max_examples=25)
settings.load_profile("full")


@pytest.fixture(scope="session", autouse=True)
def reached() -> Iterator[list[str]]:
    """The hosts that tests tried to reach; only this machine can be."""
    tried: list[str] = []
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def check(host: Any) -> None:
        host = host.decode() if isinstance(host, bytes) else str(host or "localhost")
        with contextlib.suppress(ValueError):
            if host == "localhost" or ipaddress.ip_address(host).is_loopback:
                return
        tried.append(host)
        raise OSError(f"a test tried to reach {host!r}; only loopback is allowed")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        connect(self, address)

    def guarded_getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        check(host)
        return getaddrinfo(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield tried


@pytest.fixture(autouse=True)
def only_loopback(reached: list[str]) -> Iterator[None]:
    """A test that tries to reach anything but this machine fails, whatever caught the error."""
    reached.clear()
    yield
    assert reached == [], "only loopback is allowed"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of published data with known answers; without it a test is skipped."""
    if not DATA.is_dir():
        pytest.skip("the published data is not beside the project (../shared/data)")
    return DATA


@pytest.fixture
def potstill(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command in a child process, in the test's own folder."""

    def run(
        *words: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [sys.executable, "-m", "scripts.main", *words]
        return subprocess.run(
            command,
            cwd=cwd or tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
