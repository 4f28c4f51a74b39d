"""Which teachers answer in which role of a build: one for all roles, or several per role."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from builders.engine.addresses import is_address, read_address, shown_address
from builders.engine.parameters import Choice, chosen_names
from builders.engine.teacher import EMBEDDED_FILE, Teacher, TeacherSpec
from builders.engine.teacher_kinds import RecordedTeacher, check_place, recorded, teacher
from builders.errors import InputError, nearest_name
from builders.hub_vocabulary import NOT_STATED, Licence, known_licence, licence_facts
from builders.recipe import Recipe

Value = TypeVar("Value")
_Names = Mapping[tuple[str, str | None], set[str]]  # of each teacher, by its place and model

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

    `trusted` are those whose answers are complete although they report no end, `licences` are pairs
    of a teacher and its licence. A teacher is named by its place, with `#MODEL` where one place has
    several, or by a role of it; an empty name is that of every other one.
    """

    every: tuple[TeacherSpec, ...] = (TeacherSpec(),)
    roles: Mapping[str, tuple[TeacherSpec, ...]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    trusted: tuple[str, ...] = ()
    licences: tuple[tuple[str, str], ...] = ()


def read_teacher_license(word: str) -> tuple[str, str]:
    """The teacher, empty for all of them, and the licence in a text of the form `[WHO=]ID`.

    Raises:
        InputError: The Hub knows no such licence.
    """
    who, _, licence = word.rpartition("=")
    return who, known_licence(licence).lower()


def pool_spec(
    words: Sequence[str],
    usual: TeacherSpec,
    choices: Sequence[Choice] = (),
    trusted: Sequence[str] = (),
    licences: Sequence[tuple[str, str]] = (),
    first: str | None = None,
) -> TeacherPoolSpec:
    """The teachers named by words of the form `[ROLE=]WHO[#MODEL]`, each otherwise as `usual`.

    `choices` are parameters for their requests: of all of them, or of those that each names.

    The key in the environment variable NAME of `usual` is sent to the first endpoint only, so that
    no other provider sees it: that of the words, or the host (and port) `first`, where an empty one
    is none. The key of any other endpoint is read from NAME_HOST.

    Raises:
        InputError: A parameter is both sent and left out.
    """
    usual = replace(usual, chosen=chosen_names(choices))
    found: list[tuple[str, TeacherSpec]] = []  # each with its role, empty for all
    for word in words:
        role, address = split_role(word)
        place, _, model = address.rpartition("#") if "#" in address else (address, "", "")
        of_all = None if place.startswith(EMBEDDED_FILE) else usual.model  # a file is one model
        spec = replace(usual, place=place, model=model or of_all)
        if is_address(place):
            read_address(place)
            first = urlsplit(place).netloc if first is None else first
            key_env = _key_env(usual.key_env, place, first)
            key_named = usual.key_named and key_env == usual.key_env
            spec = replace(spec, key_env=key_env, key_named=key_named)
        found.append((role, spec))
    if all(role for role, _ in found):
        found.append(("", replace(usual, place=TeacherSpec.place)))
    by_role: dict[str, list[TeacherSpec]] = {}
    for role, spec in found:
        by_role.setdefault(role, []).append(spec)
    return TeacherPoolSpec(
        every=tuple(by_role.pop("")),
        roles={role: tuple(many) for role, many in by_role.items()},
        choices=tuple(choices),
        trusted=tuple(trusted),
        licences=tuple(licences),
    )


def split_role(word: str) -> tuple[str, str]:
    """The role, which is empty for all of them, and who answers, of `[ROLE=]WHO[#MODEL]`.

    Raises:
        InputError: It names no kind of teacher.
    """
    named = _ROLE.fullmatch(word)
    role, who = (named[1], named[2]) if named else ("", word)
    place, _, model = who.partition("#")
    check_place(place)
    if model and not model.strip():
        raise InputError(f"{shown_address(place)}# names no model; write its name after the '#'")
    return role, who


def _key_env(name: str, place: str, first: str) -> str:
    parts = urlsplit(place)
    if parts.netloc == first:
        return name
    host = parts.netloc.rpartition("@")[2]
    # A hyphen is doubled: api-host.org must not get the key that is meant for api.host.org.
    words = re.sub("[^A-Z0-9-]+", "_", host.upper()).strip("_")
    return f"{name}_{words.replace('-', '__')}"


def decided(spec: TeacherPoolSpec, recipe: Recipe | None = None) -> TeacherPoolSpec:
    """The same teachers, with what is decided of single ones; `recipe` gives them their roles.

    Raises:
        InputError: Something is decided of a teacher that is none of them.
    """
    by_role = {"": spec.every, **spec.roles}
    each = _named(by_role, recipe)
    names = _names((name, _public(one.place), one.model) for name, one in each)
    _check_named(spec, names)

    def own(one: TeacherSpec) -> TeacherSpec:
        mine = names[_public(one.place), one.model]
        licence = _licence(spec.licences, mine) or one.license
        trusts = one.trusts_missing_end or _named_in(spec.trusted, mine)
        return replace(one, trusts_missing_end=trusts, license=licence)

    made = {role: tuple(map(own, many)) for role, many in by_role.items()}
    return replace(spec, every=made.pop(""), roles=made)


def check_role(role: str, recipe: Recipe) -> None:
    """Raise InputError where the recipe has no such role."""
    if role not in recipe.roles:
        known = nearest_name(role, recipe.roles)
        raise InputError(f"{recipe.name} has no role {role!r}; there are {known}")


def check_pool(spec: TeacherPoolSpec, recipe: Recipe) -> None:
    """Check the teachers that a spec names, without a look at their files.

    Raises:
        InputError: There is no such role, or one has more than it can use.
    """
    for role in spec.roles:
        check_role(role, recipe)
    for role, many in {"": spec.every, **spec.roles}.items():
        shared = role in recipe.pools if role else bool(recipe.pools)
        if len(many) > 1 and not shared:
            one = f"role {role!r} of {recipe.name}" if role else f"{recipe.name}"
            raise InputError(
                f"{len(many)} teachers are named for {one}, which uses one; remove the others, or "
                f"name the role of each as ROLE=WHO, in a set's file as ROLE: WHO "
                f"({', '.join(recipe.roles)})"
            )
        if len(set(many)) < len(many):
            raise InputError(
                f"a teacher is named twice for {role or 'every role'}, but it is used only once; "
                "remove one, or give it another #MODEL"
            )


def pool(spec: TeacherPoolSpec, recipe: Recipe) -> TeacherPool:
    """The teachers that a spec names, not yet started; equal specs share one teacher.

    Raises:
        InputError: There is no such role or teacher, or a role has more than it can use.
    """
    check_pool(spec, recipe)
    spec = decided(spec, recipe)
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


def recorded_pool(facts: Mapping[str, Any], spec: TeacherPoolSpec, recipe: Recipe) -> TeacherPool:
    """The teachers that a build recorded; their answers come from the ledger alone.

    Of `spec` only what it decides of them by their names is used.
    """
    by_role = {"": facts["every"], **facts["roles"]}
    each = _named(by_role, recipe)
    names = _names((name, one["name"], one["model"]) for name, one in each)
    _check_named(spec, names)

    def recorded_teacher(one: Mapping[str, Any]) -> RecordedTeacher:
        identity, own = dict(one["identity"]), names[one["name"], one["model"]]
        if _named_in(spec.trusted, own):
            identity["trusts_missing_end"] = True
        if licence := _licence(spec.licences, own):
            in_file = identity.get("licence_from") == "its file"
            stated = Licence.of(identity) if in_file else NOT_STATED
            identity |= licence_facts(licence, stated, "its file")
        return RecordedTeacher({**one, "identity": identity})

    made = {role: [*map(recorded_teacher, many)] for role, many in by_role.items()}
    choices = [Choice(**one) for one in facts.get("choices", ())]
    return TeacherPool(every=made.pop(""), roles=made, choices=choices)


def _named(
    by_role: Mapping[str, Sequence[Value]], recipe: Recipe | None
) -> Iterator[tuple[str, Value]]:
    """Each teacher with each name that its roles give it, such as `writer` and `writer_2`."""
    for role in (*by_role, *(recipe.roles if recipe else ())):
        mine = by_role.get(role, by_role[""])
        if role and recipe and role not in recipe.pools:
            mine = mine[:1]
        for number, one in enumerate(mine, 1):
            yield role, one
            if role and len(mine) > 1:
                yield f"{role}_{number}", one


def _check_named(spec: TeacherPoolSpec, known: _Names) -> None:
    """Raise InputError where something is decided of a teacher that the build does not have."""
    flags = {
        "--trust-missing-end": spec.trusted,
        "--teacher-license": [who for who, _ in spec.licences if who],
    }
    for flag, words in flags.items():
        for one in words:
            if not any(_named_in([one], names) for names in known.values()):
                offer = nearest_name(one, set[str]().union(*known.values()))
                raise InputError(
                    f"{flag} {_public(one)!r} is no teacher of this build; there are {offer}"
                )


def _names(teachers: Iterable[tuple[str, str, str | None]]) -> _Names:
    """The names in what is decided of single teachers: place, `place#MODEL`, and its roles.

    Each comes with one of its roles, or none, its public place and its model.
    """
    names: defaultdict[tuple[str, str | None], set[str]] = defaultdict(set)
    for role, place, model in teachers:
        own = {place, *([f"{place}#{model}"] if model else ()), *([role] if role else ())}
        names[place, model] |= own
    return names


def _named_in(words: Sequence[str], names: set[str]) -> bool:
    return any(one in names or _public(one) in names for one in words)


def _licence(licences: Sequence[tuple[str, str]], names: set[str]) -> str | None:
    """The licence that is given for a teacher of these names, or else for every one."""
    own = [licence for who, licence in licences if who and _named_in([who], names)]
    of_all = [licence for who, licence in licences if not who]
    return next(reversed([*of_all, *own]), None)


def _public(place: str) -> str:
    """A teacher's place, with or without `#MODEL`, as the ledger has it: without what is secret."""
    address, mark, model = place.partition("#")
    return read_address(address).name + mark + model if is_address(address) else place
