"""The progress of a build: counts that steps and calls add to, and what they show so far."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builders.engine.calls import Answer, Used
from builders.errors import number_of

_PACE_S = 60.0  # the pace is that of the last minute
_PACE_CALLS = 20  # or of that many calls, where they took longer
_LEAST_CALLS = 3  # fewer show no pace


@dataclass(kw_only=True)
class Progress:
    """Counts of a running build.

    A stage is what is running; a recipe that runs its pipeline in rounds has several, each with
    calls of its own. `rows_wanted` is how many rows are to be made (None: unknown); `made` is how
    many a recipe with rounds reports.
    """

    rows_wanted: int | None = None
    rows_of: str = "rows"
    stage: str = "starting"
    made: int = 0
    kept: int = 0
    dropped: int = 0
    calls_begun: int = 0  # those from the ledger included, as in the next one
    calls_done: int = 0  # with or without an answer
    calls: int = 0
    reused: int = 0
    failures: int = 0
    why_failed: str = ""  # the first of them
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
    on_notice: Callable[[str], None] | None = None
    # Calls that failed and are sent again: the cause, and how many more times (None: no limit)
    trying: dict[bytes, tuple[str, int | None]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    moved_at: float = field(default_factory=time.monotonic)
    _expected: Callable[[], float | None] | None = None
    _growing: bool = False  # the stage ends with the round in which enough rows were made
    _stage_began: int = 0  # the calls done by then, as in the next two
    _round_began: int = 0
    _made_with: int = 0
    _kept_ids: set[str] = field(default_factory=set)
    _pace: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def seconds(self) -> float:
        """Seconds since the build began."""
        return time.monotonic() - self.began

    def begin(self, stage: str, expected: Callable[[], float | None] | None = None) -> None:
        """Begin another stage, or another round of the same one.

        `expected` returns how many calls it will have made at its end, as far as is known.
        """
        if stage != self.stage:
            self.stage, self._stage_began, self._growing = stage, self.calls_done, False
            self._pace = deque([(time.monotonic(), self._sent)])
        self._round_began, self._expected = self.calls_done, expected
        self.moved()

    def begin_round(self, stage: str, expected: Callable[[], float | None]) -> None:
        """Begin a stage of a recipe whose rounds end when it has made enough, or another round."""
        growing = not self.calls_done or (self._growing and stage == self.stage)
        self.begin(stage, expected)
        self._growing = growing

    def report_made(self, rows: int) -> None:
        """Set the number of rows that a recipe with rounds has made so far."""
        self.made, self._made_with = rows, self.calls_done
        self.moved()

    def moved(self) -> None:
        """Note that something happened: clears the note that nothing does."""
        self.moved_at = time.monotonic()
        self.note = ""

    def count_row(self, row_id: str | None, *, one_of_several: bool) -> None:
        """Count a row by its id, or one that is dropped (None).

        Of several that were made of one source row, those with the same id become one row.
        """
        if row_id is None:
            self.dropped += 1
        elif not one_of_several or row_id not in self._kept_ids:
            self.kept += 1
            if one_of_several:
                self._kept_ids.add(row_id)

    def fail(self, error: Exception) -> Exception:
        """Count a call without an answer; return why it has none."""
        self.failures += 1
        self.why_failed = self.why_failed or str(error)
        return error

    def announce(self, notice: str, *, unseen_too: bool = False) -> None:
        """Show a line of its own, once: what the user needs to know before the build is over.

        `unseen_too` prints it where the progress is not shown; a signal's handler may call it.
        """
        if notice in self.notices:
            return
        self.notices.append(notice)
        if self.on_notice:
            self.on_notice(notice)
        elif unseen_too:
            with contextlib.suppress(OSError):
                os.write(2, f"\n{notice}\n".encode())

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

    @property
    def stage_calls(self) -> int:
        """How many calls of this stage are done."""
        return self.calls_done - self._stage_began

    @property
    def stage_total(self) -> int | None:
        """How many calls this stage will have made at its end; None: nothing shows it yet."""
        run = self._expected() if self._expected else None
        if run is None or (self._growing and not self.made):
            return None
        total = self._round_began - self._stage_began + run
        if self._growing and self.rows_wanted and self.made < self.rows_wanted:
            total = max(total, (self._made_with - self._stage_began) * self.rows_wanted / self.made)
        return max(round(total), self.calls_begun - self._stage_began)

    @property
    def _sent(self) -> int:
        """How many calls of this run are done that were not answered from the ledger."""
        return self.calls + self.failures - self.refused_before

    def calls_per_s(self) -> float | None:
        """The pace of the calls lately; None: too few in this stage, or all from the ledger."""
        now, sent, pace = time.monotonic(), self._sent, self._pace
        if not pace or sent > pace[-1][1]:
            pace.append((now, sent))
        while len(pace) > 1 and now - pace[1][0] > _PACE_S and sent - pace[1][1] > _PACE_CALLS:
            pace.popleft()
        began, before = pace[0]
        return (sent - before) / (now - began) if sent - before >= _LEAST_CALLS else None

    def calls_shown(self) -> str:
        """The calls done, of those expected; empty for a stage that makes none."""
        total = self.stage_total
        of = f"{self.stage_calls:,}/" if total is not None else ""
        calls = self.stage_calls if total is None else total
        return f"{of}{number_of(calls, 'calls')}" if self._expected else ""

    def parts(self) -> list[str]:
        """What the rows, the costs and the pace are so far, each as a few words."""
        total, parts = self.stage_total, []
        if self._growing and self.rows_wanted and self.made < self.rows_wanted:
            parts.append(f"{self.made:,} of {number_of(self.rows_wanted, self.rows_of)}")
        if self.kept or self.dropped:
            parts.append(f"{self.kept:,} kept, {self.dropped:,} dropped")
        if cost := self._cost():
            parts.append(cost)
        pace = self.calls_per_s() if self._expected else None
        if pace:
            parts.append(f"{pace:.1f} calls/s" if pace >= 1 else f"{60 * pace:.1f} calls/min")
            if total is not None and total > self.stage_calls:
                parts.append(f"{duration((total - self.stage_calls) / pace)} left")
        if tokens := self.input_tokens + self.output_tokens:
            parts.append(number_of(tokens, "tokens"))
        if self.reused:
            parts.append(f"{self.reused:,} from the ledger")
        if self.failures:
            parts.append(f"{self.failures:,} failed")
        return parts + self._tried_again()

    def _cost(self) -> str:
        if self.at_most_usd > self.cost_usd + 1e-9:
            cost = f"at most {self.at_most_usd:.4f} USD"
        else:
            cost = f"{self.cost_usd:.4f} USD" if self.cost_usd else ""
        if not self.unpriced:
            return cost
        unknown = f"{number_of(self.unpriced, 'calls')} of unknown cost"
        return f"{cost}, and {unknown}" if cost else "cost unknown"

    def _tried_again(self) -> list[str]:
        """The calls that failed and are sent again, by cause."""
        left: dict[str, list[int | None]] = {}
        for cause, times in list(self.trying.values()):
            left.setdefault(cause, []).append(times)
        return [
            f"{len(of_each):,} tried again after {cause}"
            + ("" if most is None else f" (up to {number_of(most, 'more times')})")
            for cause, of_each in left.items()
            for most in [max(of_each, key=lambda times: times or 0)]
        ]

    def line(self) -> str:
        """All of it on one line, with what the build waits for, if nothing moves."""
        parts = [self.stage, self.calls_shown(), *self.parts(), self.note]
        return " | ".join(part for part in parts if part)

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
