"""What requests that are not recorded may use, on the disk: a kill loses no count of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from builders.durable import durably_rename
from builders.errors import FolderError

UNITS = ("calls", "tokens", "usd")
_AHEAD = 1.25  # written beyond what is in flight, so that few requests write


class InFlightFile:
    """The most that requests may use, on the disk beside the ledger until that has them.

    These are the requests in flight, and those that failed of calls that are sent again.
    A run that is killed leaves it; the next counts what it holds as spent, and so do all later.
    It is written only when more is in flight than it holds.

    Attributes:
        left: What earlier runs left, by unit.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(f"{ledger.name}-in-flight.json")
        self.left = dict.fromkeys(UNITS, 0.0)
        try:
            given = json.loads(self._path.read_text(encoding="utf-8"))
            self.left = {name: max(0.0, float(given[name])) for name in UNITS}
            self.left["calls"] = math.floor(self.left["calls"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FolderError(
                f"cannot read {self._path} ({error}), what requests may have used that were not "
                "recorded when a build was killed; delete it to count them as nothing"
            ) from None
        self._held = dict.fromkeys(UNITS, 0.0)

    def hold(self, in_flight: Mapping[str, float]) -> None:
        """Write what is in flight, unless it is written.

        Raises:
            FolderError: The disk is full or not writable.
        """
        if any(amount > self._held[name] * 1.0000001 for name, amount in in_flight.items()):
            self._held = {
                name: max(held, _AHEAD * in_flight[name]) for name, held in self._held.items()
            }
            self._write({name: self.left[name] + held for name, held in self._held.items()})

    def end(self) -> None:
        """Remove what this run wrote: all its requests are recorded."""
        if any(self._held.values()):
            self._held = dict.fromkeys(UNITS, 0.0)
            if any(self.left.values()):
                self._write(self.left)
            else:
                self._path.unlink(missing_ok=True)

    def _write(self, amounts: Mapping[str, float]) -> None:
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(amounts), encoding="utf-8")
            durably_rename(new, self._path)
        except OSError as error:
            raise FolderError(f"cannot write {self._path} ({error.strerror or error})") from None
