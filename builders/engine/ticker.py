"""Shows the progress of a build: a bar on a terminal, a line every 10 s elsewhere."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from builders.engine.progress import Progress
from builders.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REDRAWN_S = 0.25
_LINE_S = 10.0
_LEAST_WIDTH = 50  # of a terminal for a bar beside its stage and calls
_BAR = 8, 40  # the least and most cells of a bar


class Ticker:
    """Shows the progress while a build runs; each notice is written at once, on a line of its own.

    One thread writes everything, so that notices may come from any other thread, and from a
    signal's handler.
    """

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress = progress
        self._stream = stream
        # Unlike a lock or an event, its `put` is reentrant: a signal's handler may call it.
        self._notices: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._progress.on_notice = self._notices.put
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._progress.on_notice = None
        self._notices.put(None)
        self._thread.join()

    def _show(self) -> None:
        console = _terminal(self._stream)
        if console is None:
            self._tick(_LINE_S, self._write, lambda: self._write(self._progress.line()))
            return
        with _live(console, self._stream) as draw:
            self._tick(
                _REDRAWN_S,
                lambda notice: console.print(printable(notice), soft_wrap=True),
                lambda: draw(_bar(self._progress, _fitted(console, self._stream).width)),
            )

    def _tick(
        self, every_s: float, notify: Callable[[str], None], show: Callable[[], None]
    ) -> None:
        due = time.monotonic() + every_s
        while True:
            try:
                notice = self._notices.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                due = time.monotonic() + every_s
                with contextlib.suppress(OSError):  # the reader may have gone
                    show()
                continue
            if notice is None:
                return
            with contextlib.suppress(OSError):
                notify(notice)

    def _write(self, line: str) -> None:
        self._stream.write(printable(line) + "\n")
        self._stream.flush()


def _terminal(stream: TextIO) -> Console | None:
    """The stream as a terminal on which lines can be drawn again, if it is one."""
    if not stream.isatty():
        return None
    from rich.console import Console

    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


def _fitted(console: Console, stream: TextIO) -> Console:
    """The console in the current size of its terminal, whatever other terminals there are."""
    from rich.console import ConsoleDimensions

    columns, lines = os.get_terminal_size(stream.fileno())
    if columns and lines:  # a terminal may not know them
        console.size = ConsoleDimensions(columns, lines)
    return console


@contextlib.contextmanager
def _live(console: Console, stream: TextIO) -> Iterator[Callable[[RenderableType], None]]:
    """A function that draws in place of what it drew before, which is removed at the end.

    What others print to the same terminal meanwhile appears above it.
    """
    from rich.live import Live

    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=stream is sys.stderr,
    )
    with contextlib.suppress(OSError), live:
        console.show_cursor(True)  # else a killed build would leave the terminal without one
        yield lambda drawn: live.update(drawn, refresh=True)


def _bar(progress: Progress, width: int) -> Any:
    """The stage, its bar and calls on a line; below it what else there is to know."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    stage, calls, total = printable(progress.stage), progress.calls_shown(), progress.stage_total
    lines: list[RenderableType] = [Text(stage, style="bold")]
    if calls and width < _LEAST_WIDTH:
        lines.append(Text(calls))
    elif calls:
        least, most = _BAR
        cells = max(least, min(most, width - len(stage) - len(calls) - 2))
        done = progress.stage_calls if total else 0
        head = Table.grid("", "", "", padding=(0, 1))
        head.add_row(*lines, ProgressBar(total or 1, done, cells, pulse=total is None), calls)
        lines = [head]
    if parts := progress.parts():
        lines.append(Text(printable(" | ".join(parts))))
    if progress.note:
        lines.append(Text(printable(progress.note), style="yellow"))
    return Group(*lines)
