"""Which teachers answer in which role of a build: one for all roles, or several per role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from builders.engine.addresses import is_address, read_address
from builders.engine.parameters import Choice
from builders.engine.teacher import Teacher, TeacherSpec
from builders.engine.teacher_kinds import RecordedTeacher, recorded, teacher
from builders.errors import InputError, nearest_name
from builders.recipe import Recipe

_ROLE = re.compile(r"([a-z_]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TeacherPool:
    """The teachers of a build: `every` for all roles that `roles` does not name.

    `choices` are the parameters that the user chose for requests, in the order given.
    """

    every: Sequence[Teacher]
    roles: Mapping[str, Sequence[Teacher]] = field(default_factory=dict)
    choices: Sequence[Choice] = ()

    def of(self, role: str, recipe: Recipe) -> dict[str, Teacher]:
        """The teachers of a role by name: `judge`, or `writer_1`, `writer_2`, ...

        A role that the recipe does not share among several teachers has exactly one.
        """
        mine = list(self.roles.get(role, self.every))
        if role not in recipe.pools:
            mine = mine[:1]
        if len(mine) == 1:
            return {role: mine[0]}
        return {f"{role}_{number}": one for number, one in enumerate(mine, 1)}

    def __iter__(self) -> Iterator[Teacher]:
        """Each teacher once, even if it has several roles."""
        teachers = [*self.every, *(one for many in self.roles.values() for one in many)]
        return iter({id(one): one for one in teachers}.values())

    def recorded(self) -> dict[str, Any]:
        """The facts from which `recorded_pool` makes the same calls; JSON values."""
        roles = {role: [recorded(one) for one in many] for role, many in self.roles.items()}
        every = [recorded(one) for one in self.every]
        return {"every": every, "roles": roles, "choices": [vars(one) for one in self.choices]}


@dataclass(frozen=True, kw_only=True)
class TeacherPoolSpec:
    """Which teachers to use, as given on the command line; none is started yet."""

    every: tuple[TeacherSpec, ...] = (TeacherSpec(),)
    roles: Mapping[str, tuple[TeacherSpec, ...]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()


def pool_spec(
    words: Sequence[str], usual: TeacherSpec, choices: Sequence[Choice] = ()
) -> TeacherPoolSpec:
    """The teachers named by words of the form `[ROLE=]WHO[#MODEL]`, each otherwise as `usual`.

    `choices` are parameters for their requests: of all of them, or of those that each names.

    The key in the environment variable NAME of `usual` is sent to the first endpoint only, so that
    no other provider sees it. The key of any other endpoint is read from NAME_HOST.
    """
    chosen = frozenset(one.name for one in choices if one.value is not None)
    usual = replace(usual, chosen=chosen)
    every: list[TeacherSpec] = []
    roles: dict[str, list[TeacherSpec]] = {}
    first: str | None = None
    for word in words:
        named = _ROLE.fullmatch(word)
        role, address = (named[1], named[2]) if named else (None, word)
        place, _, model = address.rpartition("#") if "#" in address else (address, "", "")
        spec = replace(usual, place=place, model=model or usual.model)
        if is_address(place):
            read_address(place)
            first = first or urlsplit(place).netloc
            spec = replace(spec, key_env=_key_env(usual.key_env, place, first))
        (every if role is None else roles.setdefault(role, [])).append(spec)
    return TeacherPoolSpec(
        every=tuple(every) or (replace(usual, place=TeacherSpec.place),),
        roles={role: tuple(many) for role, many in roles.items()},
        choices=tuple(choices),
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
    """The teachers that a spec names, not yet started; equal specs share one teacher.

    Raises:
        InputError: There is no such role or teacher, or a role has more than it can use.
    """
    for role in spec.roles:
        check_role(role, recipe)
    for role, many in {"": spec.every, **spec.roles}.items():
        shared = role in recipe.pools if role else bool(recipe.pools)
        if len(many) > 1 and not shared:
            one = f"role {role!r} of {recipe.name}" if role else f"{recipe.name}"
            raise InputError(
                f"{len(many)} teachers are named for {one}, which uses one; remove the others, or "
                f"name the role of each as ROLE=WHO ({', '.join(recipe.roles)})"
            )
        if len(set(many)) < len(many):
            raise InputError(
                f"a teacher is named twice for {role or 'every role'}, but it is used only once; "
                "remove one, or give it another #MODEL"
            )
    made: dict[TeacherSpec, Teacher] = {}

    def shared_teachers(specs: Sequence[TeacherSpec]) -> list[Teacher]:
        return [made.setdefault(one, made.get(one) or teacher(one)) for one in specs]

    roles = {role: shared_teachers(many) for role, many in spec.roles.items()}
    unnamed = any(
        role not in roles for role in recipe.roles
    )  # otherwise they would never be called
    every = shared_teachers(spec.every) if unnamed else []
    made_pool = TeacherPool(every=every, roles=roles, choices=spec.choices)
    names = {name for role in recipe.roles for name in (role, *made_pool.of(role, recipe))}
    for choice in spec.choices:
        if choice.teacher and choice.teacher not in names:
            raise InputError(
                f"{choice.teacher}:{choice.name} names no teacher of {recipe.name}; there are "
                f"{nearest_name(choice.teacher, names)}"
            )
    return made_pool


def recorded_pool(facts: Mapping[str, Any]) -> TeacherPool:
    """The teachers that a build recorded; their answers come from the ledger alone."""
    roles = {role: [RecordedTeacher(one) for one in many] for role, many in facts["roles"].items()}
    every = [RecordedTeacher(one) for one in facts["every"]]
    choices = [Choice(**one) for one in facts.get("choices", ())]
    return TeacherPool(every=every, roles=roles, choices=choices)
