"""A constitution: a TOML file of principles by which answers are revised and compared.

Each of `[[revisions]]` has `id`, `harms`, `critique` and `revision`; each of `[[comparisons]]` has
`id`, `harms` and `question`.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from builders.errors import InputError
from builders.recipe import short_hash

Principle = TypeVar("Principle", bound="Revision | Comparison")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A principle to revise by: the request for a critique, and the one for a better answer."""

    id: str
    harms: tuple[str, ...]
    critique: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A principle to compare by: the question which of two answers is better."""

    id: str
    harms: tuple[str, ...]
    question: str


@dataclass(frozen=True, kw_only=True)
class Constitution:
    """All principles of a file, in its order."""

    revisions: tuple[Revision, ...]
    comparisons: tuple[Comparison, ...]

    def drawn(self, prompt_id: str, *, rounds: int, seed: int) -> tuple[list[Revision], Comparison]:
        """The principles of a prompt: one per round, none twice before all were used; and one."""
        chance = random.Random(short_hash("principles", str(seed), prompt_id))
        revisions: list[Revision] = []
        while len(revisions) < rounds:
            revisions += chance.sample(self.revisions, len(self.revisions))
        return revisions[:rounds], chance.choice(self.comparisons)


def read_constitution(path: Path) -> Constitution:
    """The constitution in a file.

    Raises:
        InputError: No such file, not TOML, or a principle is missing, incomplete or named twice.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the constitution {path.name} cannot be read ({error.strerror}); give a TOML file in "
            "the form of pipelines/constitution.toml"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path.name} is not TOML ({error}); fix the file") from None
    return Constitution(
        revisions=_all(path, given, "revisions", Revision),
        comparisons=_all(path, given, "comparisons", Comparison),
    )


def _all(
    path: Path, given: Mapping[str, Any], table: str, kind: type[Principle]
) -> tuple[Principle, ...]:
    fields = [name for name in kind.__dataclass_fields__ if name != "harms"]
    found: dict[str, Principle] = {}
    entries = given.get(table)
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path.name} has no [[{table}]]; write at least one principle")
    for number, entry in enumerate(entries, 1):
        where = f"{path.name}, [[{table}]] {number}"
        fits = isinstance(entry, dict) and set(entry) == {*fields, "harms"}
        if not fits or not all(
            isinstance(entry[one], str) and entry[one].strip() for one in fields
        ):
            raise InputError(f"{where}: expected harms and the texts {', '.join(fields)}; fix it")
        harms = entry["harms"]
        if not isinstance(harms, list) or not all(isinstance(one, str) for one in harms):
            raise InputError(f"{where}: 'harms' is {harms!r}, expected a list of texts; fix it")
        if entry["id"] in found:
            raise InputError(f"{where}: the id {entry['id']!r} is given twice; choose another one")
        found[entry["id"]] = kind(**{**entry, "harms": tuple(harms)})
    return tuple(found.values())
