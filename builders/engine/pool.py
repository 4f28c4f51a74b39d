"""Which teachers answer in which role of a build: one for all roles, or several per role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from builders.engine.addresses import is_address, read_address
from builders.engine.parameters import Choice, chosen_names
from builders.engine.teacher import EMBEDDED_FILE, Teacher, TeacherSpec
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
    """Which teachers to use, as given on the command line; none is started yet.

    `trusted` are those whose answers are complete although they report no end: each by its place,
    with `#MODEL` where one place has several.
    """

    every: tuple[TeacherSpec, ...] = (TeacherSpec(),)
    roles: Mapping[str, tuple[TeacherSpec, ...]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    trusted: tuple[str, ...] = ()


def pool_spec(
    words: Sequence[str],
    usual: TeacherSpec,
    choices: Sequence[Choice] = (),
    trusted: Sequence[str] = (),
) -> TeacherPoolSpec:
    """The teachers named by words of the form `[ROLE=]WHO[#MODEL]`, each otherwise as `usual`.

    `choices` are parameters for their requests: of all of them, or of those that each names.

    The key in the environment variable NAME of `usual` is sent to the first endpoint only, so that
    no other provider sees it. The key of any other endpoint is read from NAME_HOST.

    Raises:
        InputError: A parameter is both sent and left out.
    """
    usual = replace(usual, chosen=chosen_names(choices))
    every: list[TeacherSpec] = []
    roles: dict[str, list[TeacherSpec]] = {}
    first: str | None = None
    for word in words:
        named = _ROLE.fullmatch(word)
        role, address = (named[1], named[2]) if named else (None, word)
        place, _, model = address.rpartition("#") if "#" in address else (address, "", "")
        of_all = None if place.startswith(EMBEDDED_FILE) else usual.model  # a file is one model
        spec = replace(usual, place=place, model=model or of_all)
        spec = replace(spec, trusts_missing_end=_trusts(trusted, spec.place, spec.model))
        if is_address(place):
            read_address(place)
            first = first or urlsplit(place).netloc
            spec = replace(spec, key_env=_key_env(usual.key_env, place, first))
        (every if role is None else roles.setdefault(role, [])).append(spec)
    return TeacherPoolSpec(
        every=tuple(every) or (replace(usual, place=TeacherSpec.place),),
        roles={role: tuple(many) for role, many in roles.items()},
        choices=tuple(choices),
        trusted=tuple(trusted),
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
    every_spec = [one for many in (spec.every, *spec.roles.values()) for one in many]
    _check_trusted(spec.trusted, {(one.place, one.model) for one in every_spec})
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


def recorded_pool(facts: Mapping[str, Any], trusted: Sequence[str] = ()) -> TeacherPool:
    """The teachers that a build recorded; their answers come from the ledger alone."""
    many = [*facts["every"], *(one for some in facts["roles"].values() for one in some)]
    _check_trusted(trusted, {(one["name"], one["model"]) for one in many})

    def recorded_teacher(one: Mapping[str, Any]) -> RecordedTeacher:
        trust = _trusts(trusted, one["name"], one["model"])
        more = {"trusts_missing_end": True} if trust else {}
        return RecordedTeacher({**one, "identity": {**one["identity"], **more}})

    roles = {role: [recorded_teacher(one) for one in some] for role, some in facts["roles"].items()}
    every = [recorded_teacher(one) for one in facts["every"]]
    choices = [Choice(**one) for one in facts.get("choices", ())]
    return TeacherPool(every=every, roles=roles, choices=choices)


def _check_trusted(trusted: Sequence[str], known: set[tuple[str, str | None]]) -> None:
    """Raise InputError where a teacher that is trusted is none of the build's."""
    for one in trusted:
        if not any(_trusts([one], *names) for names in known):
            places = nearest_name(one, {_public(place) for place, _ in known})
            raise InputError(
                f"--trust-missing-end {one!r} is no teacher of this build; there are {places}"
            )


def _trusts(trusted: Sequence[str], place: str, model: str | None) -> bool:
    """Whether a teacher is among those whose missing ends are trusted."""
    names = {_public(place), f"{_public(place)}#{model}"}
    return any(_public(one) in names for one in trusted)


def _public(place: str) -> str:
    """A teacher's place without user and password, and without a slash at its end."""
    return re.sub(r"//[^/@]*@", "//", place).rstrip("/")
