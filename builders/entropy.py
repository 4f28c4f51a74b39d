"""The system's entropy, which is the row's own random numbers while a step's code runs.

`os.urandom` and `random.Random()` without a seed draw from `random` then, which is seeded for the
row; so do `uuid.uuid4`, `secrets`, `random.SystemRandom` and `numpy.random.default_rng()`, which
use these. Any other code of the process has the system's entropy, also at the same time.
"""

from __future__ import annotations

import os
import random
import threading
from typing import Any

_thread = threading.local()
_system = os.urandom
_seed = random.Random.seed


class _OfRow:
    """Takes entropy from the global random numbers in this thread; not across an `await`."""

    def __enter__(self) -> None:
        _thread.of_row = True

    def __exit__(self, *_: object) -> None:
        _thread.of_row = False


of_row = _OfRow()


def _urandom(size: int, /) -> bytes:
    return random.randbytes(size) if getattr(_thread, "of_row", False) else _system(size)


def _seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
    if a is None and getattr(_thread, "of_row", False):
        a = random.getrandbits(128)
    _seed(self, a, version)


for _module, _name, _function in (
    (os, "urandom", _urandom),
    (random, "_urandom", _urandom),
    (random.Random, "seed", _seeded),
    (random, "seed", _seeded.__get__(getattr(random, "_inst"))),  # noqa: B009 - of no stub
):
    setattr(_module, _name, _function)
