"""Whether the answers that steps parse can be parsed, and when so few can that a build stops.

Once so few can, no request is sent until every answer in hand is counted, those that are in flight
and those in the ledger; the build stops if it is still so, and if there is a request to send.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from textwrap import indent
from typing import TYPE_CHECKING, Any

from builders.engine.calls import Answer
from builders.engine.progress import Progress
from builders.errors import Stopped, number_of

if TYPE_CHECKING:
    from builders.engine.requests import TeacherClient

MOST_UNREADABLE = 20  # answers of a step, while (nearly) none can be parsed
_TRIED_OUT = 5  # questions of a step that go through all their tries before others try again
_LOOKED_AGAIN_S = 0.05
_HELD_ROWS = 2_000  # that a step works on at least: those that wait keep later ones from view
_QUIET_LOOKS = 3  # in a row at which nothing moves: then every answer in hand is counted
ENOUGH = 5  # answers that can be parsed, or kept rows: a build that makes progress never stops
_MOST_SHOWN = 400  # characters of an answer in an error


_IN_A_SENTENCE = re.compile(r"(?:(?!\[\[)[^\n])*\w[,:;]? [\"'`*(]*\Z")
_GOES_ON = re.compile(r"[\"'`*)]*[,;:]? (?:[a-z]|[(\"'`]\w)")


def names_a_mark(text: str, mark: str) -> bool:
    """Whether a judge's sentences name a mark that it saw, wherever it is, before its verdict."""
    parts = text.split(mark)
    before = (_IN_A_SENTENCE.fullmatch(part.rpartition("\n")[2]) for part in parts[:-1])
    return all(before) and all(map(_GOES_ON.match, parts[1:]))


def of_a_judge(answer: Answer) -> Answer:
    """A judge's answer, in which a mark that its sentences name is none that leaked."""
    if answer.leaked_mark and names_a_mark(answer.text, answer.leaked_mark):
        return replace(answer, leaked_mark=None)
    return answer


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a step made of an answer: `parsed`, in JSON values, or a `fault` that kept it from that.

    `text` is what the answer says, or else what was thought; `call` is the id of the call. Of an
    answer that is not `needed`, a row may do without. After the `last` try the question has none;
    `tries` are the calls of those so far, if a question may have several.
    """

    role: str
    text: str
    fault: str | None
    parsed: Any = None
    call: str = ""
    needed: bool = True
    last: bool = True
    tries: tuple[str, ...] = ()


@dataclass
class StepReadings:
    """The answers of one step so far: how many can be parsed, how many not, by fault.

    `calls` are those counted: rows with the same question share its call, which counts once. Once
    enough answers are parsed, only those that cannot be, or could not before, are kept.
    """

    role: str
    readable: int = 0
    lost: int = 0  # questions where no try can be parsed
    begun: int = 0  # questions with several tries
    ended: int = 0
    calls: set[str] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # the first text of each fault

    @property
    def unreadable(self) -> int:
        """How many answers cannot be parsed."""
        return self.faults.total()

    @property
    def hopeless(self) -> bool:
        """Whether 20 cannot be parsed, and 20 for each that can, which are under 5.

        All tries of one question are among them.
        """
        least = MOST_UNREADABLE * max(1, self.readable)
        return bool(self.lost) and self.readable < ENOUGH and self.unreadable >= least


class Judgements:
    """Counts by step the answers that are parsed: those of judges, and of any step that parses.

    `help_against` gives what to do about a fault. `go_on` stops no build. `keep` gets each that has
    a call and a value or a fault, with its step. While `holding`, no request may be sent.
    `stopped_for` is why the build was stopped; `lost` are the calls whose answers cannot be parsed
    of questions where no try can so far, and `lost_before` those of an earlier build.
    """

    def __init__(
        self,
        progress: Progress,
        help_against: Callable[[str], str] = lambda _: "name another teacher",
        *,
        go_on: bool = False,
        keep: Callable[[str, Reading], object] = lambda *_: None,
    ) -> None:
        self.steps: dict[str, StepReadings] = {}
        self._progress = progress
        self._stop: Callable[[Stopped], object] = lambda _: None
        self.stopped_for: str | None = None
        self._help_against = help_against
        self.go_on = go_on
        self.holding = False
        self.lost: set[str] = set()
        self.lost_before: frozenset[str] = frozenset()
        self._noted: str | None = None
        self._keep = keep
        self._counted: tuple[int, ...] = ()  # at the last look
        self._quiet = 0  # looks since something moved

    def hold(self, noted: str | None) -> None:
        """Begin by counting what is in hand, as an earlier build stopped for the reason noted."""
        self._noted = noted
        self.holding = bool(noted) and not self.go_on

    def stopping(self, stop: Callable[[Stopped], object]) -> Judgements:
        """The same object; `stop` stops its build."""
        self._stop = stop
        return self

    def judge(self, step: str, reading: Reading) -> None:
        """Count an answer; let no request be sent while those of its step are hopeless."""
        if self._add(step, reading) and self._may_stop:
            self.holding = True

    @property
    def look_s(self) -> float:
        """Seconds until the next look at a build: fewer while it is held."""
        return 0.1 if self.holding else 0.5

    def window(self, usual: int) -> int:
        """The most rows that a step works on at the same time."""
        return max(usual, _HELD_ROWS) if self.holding else usual

    def look(self, clients: Collection[TeacherClient], *, moving: bool) -> None:
        """While holding: stop the build or go on, once all answers in hand are counted.

        A build with no request to send ends by itself. `moving` means that more may be counted.
        """
        if not self.holding:
            return
        counts, before = self._progress, self._counted
        self._counted = counts.calls_begun, counts.calls_done, counts.kept, counts.dropped
        self._quiet = 0 if moving or self._counted != before else self._quiet + 1
        if self._quiet < _QUIET_LOOKS or not any(one.unsent for one in clients):
            return
        readable = any(step.readable for step in self.steps.values())
        why = self.why_hopeless() or (None if readable else self._noted)
        if why and self._may_stop:
            self.stopped_for = why
            self._stop(Stopped(why, 1))
        else:
            self.holding, self._noted = False, None

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
        while self._waits and not so_far.readable and so_far.ended < enough:
            await asyncio.sleep(_LOOKED_AGAIN_S)

    def end(self, step: str) -> None:
        """Count a question with several tries as over."""
        self.steps[step].ended += 1

    @property
    def _may_stop(self) -> bool:
        return not self.go_on and self._progress.kept < ENOUGH

    @property
    def _waits(self) -> bool:
        """Whether tries may wait: while holding, those in the ledger are to be counted."""
        return self._may_stop and not self.holding

    def _add(self, step: str, reading: Reading) -> bool:
        if reading.call and (reading.fault is not None or reading.parsed is not None):
            self._keep(step, reading)
        if not reading.needed:
            return False
        so_far = self.steps.setdefault(step, StepReadings(reading.role))
        if reading.fault is None:
            self.lost.difference_update(reading.tries)
        elif reading.call:
            self.lost.add(reading.call)
        if reading.call in so_far.calls:
            return so_far.hopeless
        if reading.fault or so_far.readable < ENOUGH or reading.call in self.lost_before:
            so_far.calls.update(filter(None, [reading.call]))
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
        if self.stopped_for or not hopeless or self._progress.kept >= ENOUGH:
            return self.stopped_for
        return (
            f"{one_line(hopeless[0])}, or ask again with --retry once the teacher is fixed, or go "
            "on with --accept-unreadable; the build stops before more is paid, and every answer is "
            "in the ledger"
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
        f"{unreadable['unreadable']:,} of {number_of(unreadable['answers'], 'answers')} of "
        f"{unreadable['role']!r} in step {unreadable['step']!r} cannot be parsed "
        f"({unreadable['fault']})"
    )
