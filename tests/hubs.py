"""A real embedded Hub in a child process, and the real client of each of its users.

`hub` (one for the whole session) and `repo` (a new dataset repository for a test) are fixtures of
conftest. In process, `hub.api("ann")` is huggingface_hub's own HfApi; a library that reads its
environment when it is imported runs in a child with HF_ENDPOINT, by `hub.python(code)`.
"""

import contextlib
import hashlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWNER = "potstill"
USERS = ("ann", "bob")
_numbers = itertools.count(1)


class Request(NamedTuple):
    """A line of the access log."""

    method: str
    path: str
    status: int


class Hub:
    """`potstill hub` in a child process, with its data in a folder of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = data / "hub.log"
        self.stderr = data.with_name(f"{data.name}.stderr")
        self.process: subprocess.Popen[str] | None = None
        self.endpoint = ""
        self.tokens: dict[str, str] = {}

    def start(self, port: int = 0) -> "Hub":
        """Start it; given the port of a stopped Hub, at its address."""
        with self.stderr.open("a") as stderr:
            self.process = subprocess.Popen(
                [*POTSTILL, "hub", "--port", str(port), "--hub-data", str(self.data), "--json"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=clean_environment(),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the Hub did not start:\n{self.stderr.read_text()}"
        serving = json.loads(line)
        self.endpoint = serving["endpoint"]
        self.tokens[OWNER] = serving["token"]
        return self

    @property
    def port(self) -> int:
        return urlsplit(self.endpoint).port or 0

    def add_user(self, name: str) -> str:
        done = subprocess.run(
            [*POTSTILL, "hub", "--hub-data", str(self.data), "--add-user", name, "--json"],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.tokens[name] = json.loads(done.stdout)["token"]
        return self.tokens[name]

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, which leaves no time to tidy up."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        status = process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        return status

    def api(self, name: str | None = OWNER) -> Any:
        """The client of a user, or of nobody."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.tokens[name] if name else False)

    def requests(self) -> list[Request]:
        """The access log, oldest first, with every request that was answered until now."""
        mark = f"/api/mark-{next(_numbers)}"
        self.raw("GET", mark, by=None)
        until = time.monotonic() + 5
        while mark not in self.log.read_text() and time.monotonic() < until:
            time.sleep(0.005)
        return self.requests_logged()

    def requests_logged(self) -> list[Request]:
        """The access log as it is on the disk, also after the Hub has stopped."""
        lines = [line.split(" ") for line in self.log.read_text().splitlines()]
        return [
            Request(method, path, int(status))
            for _, method, path, status, _ in lines
            if not path.startswith("/api/mark-")
        ]

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        by: str | None = OWNER,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request whose path no client tidies up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Authorization": f"Bearer {self.tokens[by]}"} if by else {}
        try:
            connection.request(method, path, body, {**given, **(headers or {})})
            answer = connection.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
            )
        finally:
            connection.close()

    def commit_lines(
        self, repo: str, *lines: dict[str, Any], revision: str = "main", by: str | None = OWNER
    ) -> tuple[int, dict[str, Any]]:
        """Send a commit as lines of JSON, with what no client would send."""
        header = {"key": "header", "value": {"summary": "by hand", "description": ""}}
        body = "".join(json.dumps(line) + "\n" for line in (header, *lines)).encode()
        status, _, answer = self.raw(
            "POST",
            f"/api/datasets/{repo}/commit/{revision}",
            body,
            by=by,
            headers={"Content-Type": "application/x-ndjson"},
        )
        return status, json.loads(answer)

    def python(
        self, code: str, home: Path, *, by: str | None = OWNER, xet: bool = False, **more: str
    ) -> Any:
        """Run code in a child whose libraries know the Hub from their environment.

        The child has an HF_HOME of its own; what it passes to `report(...)` is returned.
        """
        env = {
            **clean_environment(),
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "0" if xet else "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": self.tokens[by] if by else "",
            **more,
        }
        begin = "import json\ndef report(value):\n    print('reported ' + json.dumps(value))\n"
        # `datasets` would look for a datasets-server beside the endpoint, by a name nobody has.
        begin += "import datasets\ndatasets.config.USE_PARQUET_EXPORT = False\n"
        done = subprocess.run(
            [sys.executable, "-c", begin + textwrap.dedent(code)],
            capture_output=True,
            text=True,
            env=env,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if line.startswith("reported ")]
        return json.loads(lines[-1].removeprefix("reported ")) if lines else None

    def clone(self, repo: str, to: Path, *, by: str | None = None, branch: str = "main") -> Path:
        """`git clone`, with the user's token as the password."""
        at = urlsplit(self.endpoint)
        who = f"{by}:{self.tokens[by]}@" if by else ""
        git(
            to.parent,
            *("clone", "--quiet", "--branch", branch),
            *(f"{at.scheme}://{who}{at.netloc}/datasets/{repo}", str(to)),
        )
        return to


POTSTILL = (sys.executable, "-m", "scripts.main")


def clean_environment() -> dict[str, str]:
    """The environment without a person's own settings for the Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "PYTHONPATH": str(ROOT), "GIT_TERMINAL_PROMPT": "0"}


def git(folder: Path, *words: str) -> str:
    """Run git without a person's configuration; return what it prints."""
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        capture_output=True,
        env={**clean_environment(), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pointer(data: bytes) -> bytes:
    """The text that git holds in place of a large file."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n"
    ).encode()


def refused_with(error: Any) -> tuple[str, int]:
    """The class of a client's error and the status behind it."""
    return type(error).__name__, error.response.status_code


@contextlib.contextmanager
def here(patch: pytest.MonkeyPatch, home: Path, *, xet: bool = False) -> Iterator[None]:
    """Let huggingface_hub in this process reach a Hub, with its own caches and no token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    patch.setenv("HF_XET_CACHE", str(home / "xet"))
    yield


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's waits between its own tries are short."""
    from huggingface_hub.utils import _http

    sleep = time.sleep
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))


@pytest.fixture(scope="session")
def running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One Hub for the session, with its owner and two other users; it never answers 5xx."""
    hub = Hub(tmp_path_factory.mktemp("hub") / "data")
    try:
        for name in USERS:
            hub.add_user(name)
        hub.start()
        yield hub
        assert [line for line in hub.requests() if line.status >= 500] == []
    finally:
        status = hub.stop()
    assert hub.stderr.read_text() == ""
    assert status == 0


@pytest.fixture
def hub(running_hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The session's Hub, reached by the clients in this process."""
    with here(monkeypatch, tmp_path / "hf"):
        yield running_hub


@pytest.fixture
def repo(hub: Hub) -> str:
    """A new public dataset repository of the owner."""
    name = f"{OWNER}/set-{next(_numbers)}"
    hub.api().create_repo(name, repo_type="dataset")
    return name
