"""What a teacher can do, and how one is specified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from builders.engine.calls import Answer, Call, Ended

KEY_ENV = "POTSTILL_API_KEY"  # the variable with the key of an endpoint
EMBEDDED = "embedded"
EMBEDDED_MODEL = "SmolLM2-135M-Instruct"  # of the file that ships
EMBEDDED_FILE = "embedded:"  # before the path of a GGUF file
MOST_IN_FLIGHT = 100_000


class Teacher(Protocol):
    """A model that writes or judges, called on the running event loop.

    `learned` is how its requests differ from those intended, by parameter, as it refused them.
    """

    name: str
    model: str
    revision: str | None
    concurrency: int
    learned: dict[str, str]

    async def start(self) -> None:
        """Get ready; raise TeacherError if no call could succeed."""

    async def ask(self, call: Call) -> Answer:
        """Return the answer; raise Failure if there is none."""

    async def stop(self) -> None:
        """Release all resources."""

    def identity(self) -> dict[str, Any]:
        """What the lineage records of it: kind, model, revision, licence."""


def missing_end(teacher: Teacher) -> tuple[Ended, ...]:
    """What else than `complete` is an end of this teacher's answers to use, as the user decided."""
    return ("unknown",) if teacher.identity().get("trusts_missing_end") else ()


class Address(NamedTuple):
    """The fields of a call that identify its teacher."""

    endpoint: str
    model: str
    revision: str | None


def address(teacher: Teacher) -> Address:
    """The address of a started teacher."""
    return Address(teacher.name, teacher.model, teacher.revision)


@dataclass(frozen=True, kw_only=True)
class TeacherSpec:
    """Which teacher to use and how; it is not started yet.

    Attributes:
        place: `embedded`, `embedded:FILE.gguf`, `scripted:FILE`, or the base address of an
            OpenAI-compatible endpoint.
        model: The model to call; None takes the only one that the endpoint serves. For a file,
            the name to give its model; None takes the file's name.
        key_env: The environment variable with the key, if the endpoint needs one.
        key_named: The user chose that variable, so that it must be set.
        concurrency: The most calls in flight; None uses the default of the kind of teacher.
        timeout_s: The deadline of one request, in seconds.
        chosen: Parameters that the user chose by name, so that they are sent even if refused.
        trusts_missing_end: An answer that reports no end is complete: the endpoint never does.
        license: That of the model, by its id on the Hub; None leaves it to the model's file,
            or to the table of well-known models.
    """

    place: str = EMBEDDED
    model: str | None = None
    key_env: str = KEY_ENV
    key_named: bool = False
    concurrency: int | None = None
    timeout_s: float = 600.0
    chosen: frozenset[str] = frozenset()
    trusts_missing_end: bool = False
    license: str | None = None
