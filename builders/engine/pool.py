"""Who answers in which role of one build: one teacher for all, or several, at any endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from builders.engine.teacher import Teacher, TeacherSpec
from builders.engine.teacher_kinds import RecordedTeacher, recorded, teacher
from builders.errors import InputError, nearest_name
from builders.recipe import Recipe

_ROLE = re.compile(r"([a-z_]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TeacherPool:
    """The teachers of a build: those for every role, and those of single roles."""

    every: Sequence[Teacher]
    roles: Mapping[str, Sequence[Teacher]] = field(default_factory=dict)

    def of(self, role: str, recipe: Recipe) -> dict[str, Teacher]:
        """The teachers of a role by the name of each: `judge`, or `writer_1`, `writer_2`, ...

        A role that the recipe does not share among several has one.
        """
        mine = list(self.roles.get(role, self.every))
        if role not in recipe.pools:
            mine = mine[:1]
        if len(mine) == 1:
            return {role: mine[0]}
        return {f"{role}_{number}": one for number, one in enumerate(mine, 1)}

    def __iter__(self) -> Iterator[Teacher]:
        """Each teacher once, whatever its roles."""
        given = [*self.every, *(one for many in self.roles.values() for one in many)]
        return iter({id(one): one for one in given}.values())

    def recorded(self) -> dict[str, Any]:
        """The facts from which `recorded_pool` asks the very same calls; JSON values."""
        roles = {role: [recorded(one) for one in many] for role, many in self.roles.items()}
        return {"every": [recorded(one) for one in self.every], "roles": roles}


@dataclass(frozen=True, kw_only=True)
class TeacherPoolSpec:
    """What the command line says of all teachers; nothing is started yet."""

    every: tuple[TeacherSpec, ...] = (TeacherSpec(),)
    roles: Mapping[str, tuple[TeacherSpec, ...]] = field(default_factory=dict)


def pool_spec(words: Sequence[str], usual: TeacherSpec) -> TeacherPoolSpec:
    """The teachers named by `[ROLE=]WHO[#MODEL]`, each otherwise as `usual`.

    The key in the variable of `usual` goes to the first endpoint alone: what is paid for at one
    place is no business of another. The key of any other is in NAME_HOST.
    """
    every: list[TeacherSpec] = []
    roles: dict[str, list[TeacherSpec]] = {}
    first: str | None = None
    for word in words:
        named = _ROLE.fullmatch(word)
        role, who = (named[1], named[2]) if named else (None, word)
        place, _, model = who.rpartition("#") if "#" in who else (who, "", "")
        spec = replace(usual, place=place, model=model or usual.model)
        if place.startswith(("http://", "https://")):
            try:
                first = first or urlsplit(place).netloc
            except ValueError as error:
                raise InputError(
                    f"{place!r} is not an address ({error}); expected one such as https://host/v1"
                ) from None
            spec = replace(spec, key_env=_key_env(usual.key_env, place, first))
        (every if role is None else roles.setdefault(role, [])).append(spec)
    return TeacherPoolSpec(
        every=tuple(every) or (replace(usual, place=TeacherSpec.place),),
        roles={role: tuple(many) for role, many in roles.items()},
    )


def _key_env(name: str, place: str, first: str) -> str:
    parts = urlsplit(place)
    if parts.netloc == first:
        return name
    host = parts.netloc.rpartition("@")[2]
    return f"{name}_{re.sub('[^A-Z0-9]+', '_', host.upper()).strip('_')}"


def check_role(role: str, recipe: Recipe) -> None:
    """Raise InputError where the recipe has no such role."""
    if role not in recipe.roles:
        known = nearest_name(role, recipe.roles)
        raise InputError(f"{recipe.name} has no role {role!r}; there are {known}")


def pool(spec: TeacherPoolSpec, recipe: Recipe) -> TeacherPool:
    """The teachers a spec names, not yet started; what is named twice is one teacher.

    Raises:
        InputError: There is no such role or teacher, or the role has room for one only.
    """
    for role in spec.roles:
        check_role(role, recipe)
    for role, many in {"": spec.every, **spec.roles}.items():
        shared = role in recipe.pools if role else bool(recipe.pools)
        if len(many) > 1 and not shared:
            one = f"role {role!r} of {recipe.name}" if role else f"{recipe.name}"
            raise InputError(
                f"{len(many)} teachers are named for {one}, which asks one; take the others away, "
                f"or name the role of each as ROLE=WHO ({', '.join(recipe.roles)})"
            )
        if len(set(many)) < len(many):
            raise InputError(
                f"a teacher is named twice for {role or 'every role'}; each counts once: take one "
                "away, or give it another #MODEL"
            )
    made: dict[TeacherSpec, Teacher] = {}

    def all_of(specs: Sequence[TeacherSpec]) -> list[Teacher]:
        return [made.setdefault(one, made.get(one) or teacher(one)) for one in specs]

    roles = {role: all_of(many) for role, many in spec.roles.items()}
    unnamed = any(role not in roles for role in recipe.roles)  # else nobody would ask them
    return TeacherPool(every=all_of(spec.every) if unnamed else [], roles=roles)


def recorded_pool(facts: Mapping[str, Any]) -> TeacherPool:
    """The teachers that a build wrote down, of whom nobody can be asked."""
    roles = {role: [RecordedTeacher(one) for one in many] for role, many in facts["roles"].items()}
    return TeacherPool(every=[RecordedTeacher(one) for one in facts["every"]], roles=roles)
