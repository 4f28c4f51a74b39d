"""Whether the answers that steps parse can be parsed, and when so few can that a build stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

from builders.engine.progress import Progress
from builders.errors import Stopped

MOST_UNREADABLE = 20  # answers of a step, while (nearly) none can be parsed
_TRIED_OUT = 5  # questions of a step that go through all their tries before others try again
_LOOKED_AGAIN_S = 0.05
ENOUGH = 5  # answers that can be parsed, or kept rows: a build that makes progress never stops
_MOST_SHOWN = 400  # characters of an answer in an error


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a step made of an answer: `parsed`, in JSON values, or a `fault` that kept it from that.

    `text` is what the answer says, or else what was thought; `call` is the id of the call. Of an
    answer that is not `needed`, a row may do without. After the `last` try the question has none.
    """

    role: str
    text: str
    fault: str | None
    parsed: Any = None
    call: str = ""
    needed: bool = True
    last: bool = True


@dataclass
class StepReadings:
    """The answers of one step so far: how many can be parsed, how many not, by fault."""

    role: str
    readable: int = 0
    lost: int = 0  # questions of which no try can be parsed
    begun: int = 0  # questions with several tries
    ended: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # the first text of each fault

    @property
    def unreadable(self) -> int:
        """How many answers cannot be parsed."""
        return self.faults.total()

    @property
    def hopeless(self) -> bool:
        """Whether 20 cannot be parsed, and 20 for each that can, of which there are under 5.

        All tries of one question are among them.
        """
        least = MOST_UNREADABLE * max(1, self.readable)
        return bool(self.lost) and self.readable < ENOUGH and self.unreadable >= least


class Judgements:
    """Counts by step the answers that are parsed: those of judges, and of any step that parses.

    `help_against` gives what to do about a fault. `go_on` stops no build. `readings` keeps each by
    the id of its call, if it is not None.
    """

    def __init__(
        self,
        progress: Progress,
        help_against: Callable[[str], str] = lambda _: "name another teacher",
        *,
        go_on: bool = False,
        readings: dict[str, Reading] | None = None,
    ) -> None:
        self.steps: dict[str, StepReadings] = {}
        self._progress = progress
        self._stop: Callable[[Stopped], object] = lambda _: None
        self._stopped_for: str | None = None
        self._help_against = help_against
        self.go_on = go_on
        self._readings = readings

    def stopping(self, stop: Callable[[Stopped], object]) -> Judgements:
        """The same object; `stop` stops its build."""
        self._stop = stop
        return self

    def judge(self, step: str, reading: Reading) -> None:
        """Count an answer; stop a build that pays for answers while those of its step are hopeless.

        One whose answers are all in the ledger pays nothing.
        """
        pays = self._may_stop and self._progress.calls
        if self._add(step, reading) and pays and (why := self.why_hopeless()):
            self._stopped_for = self._stopped_for or why
            self._stop(Stopped(why, 1))

    def begin(self, step: str, role: str) -> int:
        """Count a question with several tries; return its number in the step, from 1."""
        so_far = self.steps.setdefault(step, StepReadings(role))
        so_far.begun += 1
        return so_far.begun

    async def until_worth(self, step: str, question: int, turn: int) -> None:
        """Wait with a try of a question that would be paid in vain, as a rule.

        While no answer of the step can be parsed, its first 5 questions go through all their tries
        before the next ones have more than one, and the first 20 before those after them have any.
        """
        so_far = self.steps[step]
        if question <= _TRIED_OUT or not (turn or question > MOST_UNREADABLE):
            return
        enough = _TRIED_OUT if turn else MOST_UNREADABLE
        while self._may_stop and not so_far.readable and so_far.ended < enough:
            await asyncio.sleep(_LOOKED_AGAIN_S)

    def end(self, step: str) -> None:
        """Count a question with several tries as over."""
        self.steps[step].ended += 1

    @property
    def _may_stop(self) -> bool:
        return not self.go_on and self._progress.kept < ENOUGH

    def _add(self, step: str, reading: Reading) -> bool:
        if self._readings is not None and reading.call:
            self._readings[reading.call] = reading
        if not reading.needed:
            return False
        so_far = self.steps.setdefault(step, StepReadings(reading.role))
        if reading.fault is None:
            so_far.readable += 1
        else:
            so_far.lost += reading.last
            so_far.faults[reading.fault] += 1
            so_far.examples.setdefault(reading.fault, reading.text)
        return so_far.hopeless

    def unreadable(self) -> list[dict[str, Any]]:
        """The steps most of whose answers cannot be parsed, with one and what to do."""
        found = []
        for name, step in self.steps.items():
            if step.unreadable > step.readable:
                fault = step.faults.most_common(1)[0][0]
                found.append(
                    {
                        "step": name,
                        "role": step.role,
                        "answers": step.readable + step.unreadable,
                        "unreadable": step.unreadable,
                        "fault": fault,
                        "answer": step.examples[fault],
                        "help": self._help_against(fault),
                    }
                )
        return found

    def why_hopeless(self) -> str | None:
        """Why a build stops, in one line; None while no step is hopeless, or 5 rows are kept."""
        hopeless = [one for one in self.unreadable() if self.steps[one["step"]].hopeless]
        if self._stopped_for or not hopeless or self._progress.kept >= ENOUGH:
            return self._stopped_for
        return (
            f"{one_line(hopeless[0])}, or go on with --accept-unreadable; the build stops before "
            "more is paid, and every answer is in the ledger"
        )


def paragraph(unreadable: dict[str, Any]) -> str:
    """How many answers of a step cannot be parsed, one of them in its lines, and what to do."""
    text = unreadable["answer"].strip()
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
    return f"{_counted(unreadable)}, such as:\n{indent(shown, '  | ')}\n{unreadable['help']}"


def one_line(unreadable: dict[str, Any]) -> str:
    """How many answers of a step cannot be parsed, one of them, and what to do."""
    text = " ".join(unreadable["answer"].split())
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
    return f"{_counted(unreadable)}, such as {shown!r}; {unreadable['help']}"


def _counted(unreadable: dict[str, Any]) -> str:
    """How many answers of a step cannot be parsed, and why."""
    return (
        f"{unreadable['unreadable']:,} of {unreadable['answers']:,} answers of "
        f"{unreadable['role']!r} in step {unreadable['step']!r} cannot be parsed "
        f"({unreadable['fault']})"
    )
