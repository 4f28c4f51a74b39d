"""The progress as it is seen: on terminals of all kinds, and on a pipe."""

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable

import pytest

from builders.engine import ticker as ticker_module
from builders.engine.progress import Progress
from builders.engine.ticker import Ticker
from tests.cases import each


class Terminal:
    """A pseudo-terminal that keeps what is written to it."""

    def __init__(self, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")
        self.written = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        data = b""
        try:
            while chunk := os.read(self._ours, 4096):
                data += chunk
                self.written = data.decode("utf-8", "ignore")
        except OSError:  # EIO: the other end was closed
            os.close(self._ours)

    def close(self) -> None:
        self.stream.close()
        self._reader.join()

    def screen(self) -> list[str]:
        """The lines that a person sees, by the few controls that a bar may use."""
        lines, at = [""], 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n|\r|\n|[^\x1b\r\n]+", self.written):
            if part == "\r\n" or part == "\n":
                at += 1
                lines += [""] * (at == len(lines))
            elif part == "\x1b[2K":
                lines[at] = ""
            elif part == "\x1b[1A":
                at -= 1
            elif part[0] == "\x1b":
                assert part[-1] == "m" or part == "\x1b[?25l" or part == "\x1b[?25h", part
            elif part != "\r":
                lines[at] = part if not lines[at] else lines[at] + part
        return lines


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker_module, "_REDRAWN_S", 0.01)
    monkeypatch.setattr(ticker_module, "_LINE_S", 0.01)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def half_done() -> Progress:
    progress = Progress(calls_begun=12, calls_done=12, kept=3, dropped=1)
    progress.begin("ultrafeedback", lambda: 12.0)
    progress.calls_begun = progress.calls_done = 18
    return progress


@each("columns", [20, 40, 80, 200])
def test_a_terminal_of_any_width_shows_the_bar_below_the_notices_and_nothing_at_the_end(
    columns: int,
) -> None:
    terminal, progress = Terminal(columns), half_done()
    with Ticker(progress, terminal.stream):
        until(lambda: "3 kept" in terminal.written)
        progress.note = "waiting for 25 s: requests in flight: 2"
        until(lambda: "waiting" in terminal.written)
        progress.announce("the first\x1b[2J notice")
        until(lambda: "notice" in terminal.written)
        progress.announce("the second notice")

        def whole() -> bool:
            nonlocal seen
            seen = terminal.screen()
            bar = " ".join(" ".join(seen[2:]).split())
            return bar.startswith("ultrafeedback") and bar.endswith("in flight: 2")

        seen: list[str] = []
        until(whole)
    terminal.close()
    assert seen[:2] == ["the first [2J notice", "the second notice"]
    assert "6/12 calls 3 kept, 1 dropped waiting for 25 s" in " ".join(" ".join(seen).split())
    assert any("\u2501" in line for line in seen) == (columns >= 50)
    assert max(map(len, seen[2:])) <= columns
    shown = [line for line in terminal.screen() if line]
    assert shown == ["the first [2J notice", "the second notice"]
    assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")


def test_the_cursor_is_there_if_the_build_is_killed() -> None:
    terminal = Terminal(80)
    with Ticker(half_done(), terminal.stream):
        until(lambda: "6/12" in terminal.written)
        assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l")
    terminal.close()


@each(
    ("variable", "value", "colours", "redrawn"),
    [("NO_COLOR", "1", False, True), ("TERM", "dumb", False, False), ("TERM", "xterm", True, True)],
)
def test_the_terminal_gets_what_it_can_show(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, colours: bool, redrawn: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(variable, value)
        terminal = Terminal(80)
        with Ticker(half_done(), terminal.stream):
            until(lambda: terminal.written.count("6/12") > 3)
        terminal.close()
    assert bool(re.search(r"\x1b\[[0-9;]*[39][0-7]", terminal.written)) == colours
    assert ("\x1b[2K" in terminal.written) == redrawn


def test_a_pipe_gets_plain_lines_even_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream, progress = io.StringIO(), half_done()
    with Ticker(progress, stream):
        until(lambda: "6/12" in stream.getvalue())
        progress.announce("a \x1b[31mnotice")
        until(lambda: "notice" in stream.getvalue())
    lines = set(stream.getvalue().splitlines())
    assert lines == {"ultrafeedback | 6/12 calls | 3 kept, 1 dropped", "a  [31mnotice"}


def test_what_others_print_to_the_terminal_comes_above_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(80)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    with Ticker(half_done(), terminal.stream):
        until(lambda: "6/12" in terminal.written)
        sys.stderr.write("a warning of a library\n")
        before = terminal.written.count("6/12")
        until(lambda: terminal.written.count("6/12") > before + 1)
        until(lambda: terminal.screen()[0] == "a warning of a library")
    terminal.close()
    assert [line for line in terminal.screen() if line] == ["a warning of a library"]


def test_a_reader_that_has_gone_does_not_stop_a_build() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    progress = half_done()
    stream = os.fdopen(theirs, "w")
    with Ticker(progress, stream):
        progress.announce("a notice")
        time.sleep(0.05)
    with pytest.raises(BrokenPipeError):
        stream.close()
