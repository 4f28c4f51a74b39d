"""What a teacher is, and what is asked for when one is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from builders.engine.calls import Answer, Call

EMBEDDED = "embedded"


class Teacher(Protocol):
    """A model that writes or judges, ready to be asked on the running event loop."""

    name: str
    model: str
    revision: str | None
    concurrency: int

    async def start(self) -> None:
        """Begin; raise TeacherError where no call could succeed."""

    async def ask(self, call: Call) -> Answer:
        """Give the answer; raise Failure where there is none."""

    async def stop(self) -> None:
        """Let go of everything held."""

    def identity(self) -> dict[str, Any]:
        """What the lineage says of it: kind, model, revision, licence."""


@dataclass(frozen=True, kw_only=True)
class TeacherSpec:
    """What the command line says of a teacher; nothing is started yet.

    Attributes:
        place: `embedded`, `scripted:FILE`, or the base address of an OpenAI-compatible endpoint.
        model: The model to ask for; None takes the only one the endpoint serves.
        key_env: The environment variable that holds the key, if the endpoint wants one.
        concurrency: The most calls in flight; None leaves it to the kind of teacher.
        timeout_s: The deadline of one request, in seconds.
    """

    place: str = EMBEDDED
    model: str | None = None
    key_env: str = "POTSTILL_API_KEY"
    concurrency: int | None = None
    timeout_s: float = 600.0
