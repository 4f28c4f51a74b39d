"""Runs the real command many times: slow imports are paid once, each run is a fork.

A run is a process in a session of its own that ends as the command does; it can be sent any signal
at any moment. Run as a program, this file is the server that forks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTED = (
    *("builders.engine.workers", "builders.engine.executor", "builders.engine.tasks"),
    *("distilabel.steps.tasks", "aiohttp", "pyarrow.parquet", "builders.engine.endpoint"),
    *("scripts.build", "scripts.ledger", "scripts.merge"),
)


class Run:
    """One run of the command; `stdout` and `stderr` are files that can be read at any time."""

    def __init__(self, forks: Forks, pid: int, logs: Path, name: str) -> None:
        self.pid, self._forks = pid, forks
        self._out, self._err = logs / f"{name}.out", logs / f"{name}.err"
        self.began = self._printed_at = time.monotonic()
        self._printed = 0
        self.silence_s = 0.0

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8")

    @property
    def status(self) -> int | None:
        """None while it runs; negative where a signal ended it."""
        self._forks.read(0)
        printed = self._out.stat().st_size + self._err.stat().st_size
        now = time.monotonic()
        self.silence_s = max(self.silence_s, now - self._printed_at)
        if printed != self._printed:
            self._printed, self._printed_at = printed, now
        return self._forks.ended.get(self.pid)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """Wait for its end; return its status once no process of it is left."""
        self.until(lambda: self.status is not None, seconds)
        status = self.status
        assert status is not None
        assert processes_of(self.pid) == set()
        return status

    def until(self, true: Callable[[], Any], seconds: float = 60) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not in {seconds} s; it printed: {self.stderr[-2000:]}"
            time.sleep(0.01)


class Forks:
    """The server's client."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.ended: dict[int, int] = {}
        self._begun: list[int] = []
        self._runs = 0
        self._rest = b""
        self.read(120)  # it is ready

    def start(self, *words: str, cwd: Path, env: dict[str, str] | None = None) -> Run:
        """Run `potstill` with these words; its output goes to files in `cwd`/logs."""
        assert self._server.stdin is not None
        logs = cwd / "logs"
        logs.mkdir(exist_ok=True)
        self._runs += 1
        for kind in ("out", "err"):
            (logs / f"{self._runs}.{kind}").touch()
        order = {"words": words, "cwd": str(cwd), "env": env or {}, "name": str(self._runs)}
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        while not self._begun:
            self.read(60)
        return Run(self, self._begun.pop(), logs, str(self._runs))

    def read(self, seconds: float) -> None:
        """Read what the server reports; wait at most this long for it."""
        assert self._server.stdout is not None
        if not select.select([self._server.stdout], [], [], seconds)[0]:
            assert not seconds, "the server of forks reports nothing"
            return
        *lines, self._rest = (self._rest + os.read(self._server.stdout.fileno(), 65536)).split(
            b"\n"
        )
        for line in lines:
            fact = json.loads(line)
            if "status" in fact:
                self.ended[fact["pid"]] = fact["status"]
            elif "pid" in fact:
                self._begun.append(fact["pid"])

    def stop(self) -> None:
        for pid in processes_of(self._server.pid):
            os.kill(pid, signal.SIGKILL)
        self._server.communicate()


def processes_of(session: int) -> set[int]:
    """The living processes of a session."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(its_session) == session and state != "Z":
            found.add(int(stat.parent.name))
    return found


def report(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def serve() -> list[str]:
    """Fork for each order; in the child, return the words of the command to run."""
    sys.path.insert(0, str(ROOT))
    for module in IMPORTED:
        importlib.import_module(module)
    sys.excepthook = sys.__excepthook__  # as the command has it
    report(ready=True)
    waiting, rest = 0, b""
    while True:
        if select.select([0], [], [], 0.01 if waiting else 60)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                sys.exit()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if not pid:
                    return become(order)
                waiting += 1
                report(pid=pid)
        while waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            waiting -= 1
            report(pid=pid, status=os.waitstatus_to_exitcode(status))


def become(order: dict[str, Any]) -> list[str]:
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"logs/{order['name']}.{kind}", os.O_WRONLY | os.O_APPEND), number)
    words: list[str] = order["words"]
    return words


if __name__ == "__main__":
    arguments = serve()
    from scripts.main import main

    sys.exit(main(arguments))
