"""The progress of a build: counts that steps and calls add to, and the line that shows them."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TextIO

from builders.engine.calls import Answer, Used
from builders.errors import printable


@dataclass(kw_only=True)
class Progress:
    """Counts of a running build; `rows_wanted` is None where it cannot be known.

    `stage` names what is running; rows are counted in the recipe's unit.
    """

    rows_wanted: int | None = None
    stage: str = "starting"
    stage_rows: int | None = None
    stage_done: int = 0
    rows: int = 0
    calls: int = 0
    reused: int = 0
    failures: int = 0
    refused_before: int = 0
    retries: int = 0
    hedges: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0  # of calls of known cost
    at_most_usd: float = 0.0  # of all requests of known price, those without an answer included
    cost_unknown: int = 0  # calls, of them `unpriced` without a price
    unpriced: int = 0
    note: str = ""
    notices: list[str] = field(default_factory=list)
    on_notice: Callable[[], None] = field(default=lambda: None)
    began: float = field(default_factory=time.monotonic)
    moved_at: float = field(default_factory=time.monotonic)
    stage_began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the build began."""
        return time.monotonic() - self.began

    def begin(self, stage: str, rows: int | None = None) -> None:
        """Begin another stage, such as a further pipeline; `rows` go through it (None: unknown)."""
        self.stage, self.stage_rows, self.stage_done = stage, rows, 0
        self.stage_began = time.monotonic()
        self.moved()

    def moved(self) -> None:
        """Note that something happened: clears the note that nothing does."""
        self.moved_at = time.monotonic()
        self.note = ""

    def announce(self, notice: str) -> None:
        """Show a line of its own, once: what the user needs to know before the build is over."""
        if notice not in self.notices:
            self.notices.append(notice)
            self.on_notice()

    def spend(self, answer: Answer | None, used: Used, most: Used) -> None:
        """Count what a call used: the tokens of its answer, if any, and `most` in all requests."""
        self.at_most_usd += most.usd or 0.0
        if answer is None:
            return
        self.calls += 1
        self.input_tokens += answer.input_tokens or 0
        self.output_tokens += answer.output_tokens or 0
        if used.usd is None:
            self.unpriced += 1
            self.cost_unknown += 1
        elif answer.counted:
            self.cost_usd += used.usd
        else:
            self.cost_unknown += 1

    def line(self) -> str:
        """The stage, rows, rows/s, tokens, calls and time left on one line; or the note, if any."""
        seconds = max(self.seconds, 1e-9)
        wanted = f"/{self.rows_wanted}" if self.rows_wanted else ""
        stage = self.stage
        if self.stage_rows:
            stage += f" {self.stage_done}/{self.stage_rows}"
        parts = [
            stage,
            f"{self.rows}{wanted} rows",
            f"{self.rows / seconds:.2f} rows/s",
            f"{self.input_tokens + self.output_tokens:,} tokens",
            f"{self.calls} calls",
        ]
        if self.note:
            return f"{stage} | {self.note}"
        if self.reused:
            parts.append(f"{self.reused} from the ledger")
        if self.at_most_usd > self.cost_usd + 1e-9:
            parts.append(f"at most {self.at_most_usd:.4f} USD")
        elif self.cost_usd:
            parts.append(f"{self.cost_usd:.4f} USD")
        if self.failures:
            parts.append(f"{self.failures} failed")
        if self.stage_rows and self.stage_done:
            stage_s = time.monotonic() - self.stage_began
            left = (self.stage_rows - self.stage_done) * stage_s / self.stage_done
            parts.append(f"{duration(left)} left in this stage")
        elif self.rows_wanted and self.rows and not self.stage_rows:
            left = max(0, self.rows_wanted - self.rows) * seconds / self.rows
            parts.append(f"{duration(left)} left")
        return " | ".join(parts)

    def facts(self) -> dict[str, Any]:
        """What this run did, as numbers; calls answered from the ledger count as `reused` only.

        `cost_usd` is None if the cost of any call is unknown; `at_most_usd` is what all requests
        may have cost, those without an answer included, and None if any price is unknown.
        """
        return {
            "calls": self.calls,
            "reused": self.reused,
            "failures": self.failures,
            "refused_before": self.refused_before,
            "retries": self.retries,
            "hedges": self.hedges,
            "cost_usd": None if self.cost_unknown else round(self.cost_usd, 6),
            "at_most_usd": None if self.unpriced else round(self.at_most_usd, 6),
            "calls_of_unknown_cost": self.cost_unknown,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 1),
        }


def duration(seconds: float) -> str:
    """Seconds as text: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Ticker:
    """Writes the line while a build runs: in place on a terminal, every 10 s on a pipe.

    Each notice is written once, at once, on a line of its own.
    """

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress = progress
        self._stream = stream
        self._live = stream.isatty()
        self._every_s = 0.5 if self._live else 10.0
        self._over = threading.Event()
        self._noticed = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._progress.on_notice = self._write
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._write()

    def _tick(self) -> None:
        while not self._over.wait(self._every_s):
            line = printable(self._progress.line())
            if self._live:
                self._write(line[: shutil.get_terminal_size().columns - 1])
            else:
                self._write(line + "\n")

    def _write(self, text: str = "") -> None:
        """Write the new notices, then a text in the place of the line that is there."""
        with self._lock, contextlib.suppress(OSError):  # a pipe's reader may have gone
            new = self._progress.notices[self._noticed :]
            self._noticed += len(new)
            notices = "".join(printable(notice) + "\n" for notice in new)
            self._stream.write(("\r\x1b[K" if self._live else "") + notices + text)
            self._stream.flush()
