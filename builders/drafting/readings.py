"""What steps made of the answers of a build, by the ids of the calls, on the disk."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from pathlib import Path
from threading import Lock

from builders.drafting.outcomes import json_text
from builders.engine.judgements import Reading
from builders.recipe import fingerprint
from builders.spool import Spool


class Readings:
    """The parsed values and the faults of answers: 16 bytes of memory for each."""

    def __init__(self, folder: Path) -> None:
        self._read = Spool[tuple[str, str | None, str | None]](folder)
        self._calls, self._places = array("Q"), array("Q")
        self._sorted = True
        self._adding = Lock()  # steps read in the engine's thread, `row()` in the caller's

    def add(self, step: str, reading: Reading) -> None:
        """Keep what a step made of an answer."""
        useful = reading.fault is None and reading.parsed is not None
        parsed = json_text(reading.parsed) if useful else None
        with self._adding:
            self._calls.append(fingerprint(reading.call))
            self._places.append(len(self._read))
            self._read.append((step, parsed, reading.fault))
            self._sorted = False

    def of(self, call: str) -> dict[str, str | None]:
        """`parsed`, as JSON, and `fault` of the answer to a call; None where there is none.

        Of several steps, the first by name counts, whichever came first.
        """
        if not self._sorted:
            self._sort()
        known, found = fingerprint(call), list[tuple[str, str | None, str | None]]()
        for at in range(bisect_left(self._calls, known), len(self._calls)):
            if self._calls[at] != known:
                break
            found.append(self._read[self._places[at]])
        parsed = [(step, text) for step, text, _ in found if text is not None]
        faults = [(step, fault) for step, _, fault in found if fault is not None]
        nothing = ("", None)
        return {"parsed": min(parsed, default=nothing)[1], "fault": min(faults, default=nothing)[1]}

    def _sort(self) -> None:
        import numpy as np

        order = np.argsort(self._calls, kind="stable")
        self._calls = array("Q", np.asarray(self._calls)[order].tobytes())
        self._places = array("Q", np.asarray(self._places)[order].tobytes())
        self._sorted = True
