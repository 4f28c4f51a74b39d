"""The kinds of teachers: embedded, an endpoint, a script, or recorded answers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builders.engine.addresses import is_address, shown_address
from builders.engine.calls import Answer, Call, Failure
from builders.engine.teacher import EMBEDDED, EMBEDDED_FILE, Teacher, TeacherSpec
from builders.errors import InputError

_SCRIPTED = "scripted:"


class RecordedTeacher:
    """A teacher whose answers are all in a ledger: no model runs and no call is sent."""

    concurrency = 64

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self.name = str(facts["name"])
        self.model = str(facts["model"])
        self.revision: str | None = facts["revision"]
        self.learned: dict[str, str] = {}

    def identity(self) -> dict[str, Any]:
        """The identity that the recording build wrote down."""
        return dict(self._facts["identity"])

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def ask(self, call: Call) -> Answer:
        """Fail: the ledger should have had the answer."""
        raise Failure(
            "not recorded",
            f"the ledger has no answer to call {call.id}; build with the teacher to get it",
            fatal=True,
        )


def recorded(teacher: Teacher) -> dict[str, Any]:
    """The facts from which a RecordedTeacher makes the same calls; JSON values."""
    return {
        "name": teacher.name,
        "model": teacher.model,
        "revision": teacher.revision,
        "identity": teacher.identity(),
    }


def check_place(place: str) -> None:
    """Raise InputError where a text names no kind of teacher."""
    is_file = place.startswith((EMBEDDED_FILE, _SCRIPTED)) and not place.endswith(":")
    if not (place == EMBEDDED or is_file or is_address(place)):
        raise InputError(
            f"there is no teacher {shown_address(place)!r}; give 'embedded', "
            "'embedded:FILE.gguf', 'scripted:FILE' or the address of an OpenAI-compatible endpoint "
            "such as http://127.0.0.1:8000/v1"
        )


def teacher(spec: TeacherSpec) -> Teacher:
    """The teacher that a spec names, not yet started.

    Raises:
        InputError: The spec names no kind of teacher, or a file that cannot be read.
    """
    check_place(spec.place)
    if spec.place == EMBEDDED or spec.place.startswith(EMBEDDED_FILE):
        from builders.engine.embedded import EmbeddedTeacher

        return EmbeddedTeacher(spec)
    if spec.place.startswith(_SCRIPTED):
        from builders.engine.scripted import ScriptedTeacher

        return ScriptedTeacher(spec.place.removeprefix(_SCRIPTED), spec)
    from builders.engine.endpoint import EndpointTeacher

    return EndpointTeacher(spec)
