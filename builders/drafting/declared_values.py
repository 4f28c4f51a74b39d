"""What a set's file declares: checked by itself, and named by its line where a build cannot use it.

Advice names the keys of that file, and flags only where there is no file or the flag was given.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from builders.drafting.build_spec import BuildSpec, Choices
from builders.drafting.set_record import FILES
from builders.engine.addresses import is_address, read_address
from builders.engine.parameters import read_without
from builders.engine.pool import check_pool, check_role, pool_spec, split_role
from builders.engine.prices import read_price
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, TeacherError
from builders.front_matter import Place
from builders.sets import Set
from builders.sources.source import Source, shown_name

_PARTS = ("column", "split", "config", "revision", "license")
_NUMBERS = ("rows", "keep", "seed")
_KEYS = {  # by the name of a flag: a key, and the one that it is under
    **{name: (name, "") for name in _NUMBERS},
    "model": ("model", "teachers"),
    "teacher": ("teachers", ""),
    "teacher-license": ("license", "teachers"),
    "price": ("price", "budget"),
    **{f"budget-{name}": (name, "budget") for name in ("usd", "tokens", "calls")},
    "teacher judge=...": ("judge", "teachers"),
    "param": ("parameters", "teachers"),
}
_FLAG = re.compile(  # with the value that comes after it
    r"--(teacher judge=\.\.\.|[a-z]+(?:-[a-z]+)*)"
    r"(?: (ID|IN/OUT|main|[\w.]+=[^\s,;]+|\S+(?= counts | joins | may help)))?"
)


def check_declared(a_set: Set) -> None:
    """Check each declared value by itself, whatever is chosen in its place.

    Raises:
        InputError: One is wrong, with its line.
    """
    at, declared, recipe = a_set.front.at, a_set.declaration, a_set.recipe
    _check_place(a_set)
    for name in _NUMBERS:
        if (value := getattr(declared, name)) is not None:
            with at(name):
                recipe.settings(**{name: value})
    for name, value in declared.options.items():
        with at("options", name):
            recipe.settings(options={name: value})
    if declared.budget.price is not None:
        with at("budget", "price"):
            read_price(declared.budget.price)
    for role, some in declared.teachers.items():
        place = ("teachers", role)
        words = [f"{role}={one.word}" if role else one.word for one in some]
        with at(*place):
            if role:
                check_role(role, recipe)
        for number, (one, word) in enumerate(zip(some, words, strict=True)):
            with at(*place, number):
                pool_spec([word], TeacherSpec())
            for name, value in one.parameters.items():
                with at(*place, number, "parameters", name):
                    replace(read_without(name), value=value)
            with at(*place, number, "without"):
                _ = [read_without(name) for name in one.without]
        with at(*place):
            check_pool(pool_spec(words, TeacherSpec()), recipe)


def _check_place(a_set: Set) -> None:
    """Raise InputError where a set's file has facts of a source, and not where it is."""
    flag = a_set.recipe.seeds.flag
    if a_set.file and isinstance(a_set.front.values.get(flag), dict) and not a_set.source.place:
        raise a_set.front.error(
            (flag,),
            f"{flag} has no place; give one, or remove {flag} for those that come with "
            f"{a_set.recipe.name}",
        )


def chosen_flags(a_set: Set, given: Choices) -> frozenset[str]:
    """The flags, or arguments, that were given in the place of a declared value."""
    parts = {name: part for name, part in given.source.items() if name != "place"}
    values = {**parts, "license": given.licence, "model": given.usual.model, **given.options}
    values |= {name: getattr(given, name) for name in _NUMBERS}
    values |= {a_set.recipe.seeds.flag: given.source.get("place"), "teacher": given.teachers}
    limits = given.run_limits
    values |= {f"budget-{name}": limit for name, limit in vars(limits.budget).items()}
    values |= {"price": limits.price, "teacher-license": given.licences, "param": given.parameters}
    return frozenset(name.replace("_", "-") for name, value in values.items() if value)


def as_declared(a_set: Set, given: Choices, source: Source) -> dict[Place, list[str]]:
    """The declared values that a build uses, by their places in the set's file.

    Each has the words by which an error is known to be about it; the first that fits counts.
    """
    flag, chosen = a_set.recipe.seeds.flag, chosen_flags(a_set, given)
    found: dict[Place, list[str]] = {}
    if a_set.source.place and flag not in chosen:
        found = {(flag, part): [f"--{part}"] for part in _PARTS if getattr(a_set.source, part)}
        found[flag,] = [source.place, shown_name(source.place)]
    files = {option.name for option in a_set.recipe.options if option.file}
    for name, value in a_set.declaration.options.items():
        if name.replace("_", "-") not in chosen:
            found["options", name] = [f"--{name.replace('_', '-')}"]
            found["options", name] += [str(value), Path(str(value)).name] if name in files else []
    for name in _NUMBERS:
        if getattr(a_set.declaration, name) is not None and name not in chosen:
            found[name,] = [f"--{name}"]
    for name in ("usd", "tokens", "calls"):
        if getattr(a_set.declaration.budget, name) and f"budget-{name}" not in chosen:
            found["budget", name] = [f"--budget-{name}"]
    roles = {split_role(word)[0] for word in given.teachers}
    for role, some in a_set.declaration.teachers.items():
        for number, one in enumerate(some if roles.isdisjoint(("", role)) else ()):
            place = one.place.partition("#")[0]
            kind, colon, file = place.partition(":")
            if is_address(place):
                found["teachers", role, number] = [read_address(place).base]
            elif f"{kind}{colon}" in FILES:
                found["teachers", role, number] = [place, Path(file).name]
    return found


@contextmanager
def errors_in_file(spec: BuildSpec) -> Iterator[None]:
    """Put the file and the line before an error about a value that the set's file declares."""
    try:
        yield
    except (InputError, TeacherError) as error:
        text = str(error)
        if not any(_has(text, f"--{flag}") for flag in spec.chosen):
            front, known = spec.set.front, spec.as_declared.items()
            about = (place for place, words in known if any(_has(text, word) for word in words))
            place = next(about, None)
            text = with_keys(spec.set, text)
            if place is not None and front.shown:
                text = str(front.error(front.written(place), text))
        error.args = (text, *error.args[1:])
        raise


def with_keys(a_set: Set | None, text: str, chosen: Collection[str] = ()) -> str:
    """An advice with keys of the set's file in the place of flags, where it has one of its own."""
    if a_set is None or a_set.file is None or a_set.ships:
        return text
    flag = a_set.recipe.seeds.flag
    names = [option.name for option in a_set.recipe.options]
    keys = {name.replace("_", "-"): (name, "options") for name in names}
    keys |= _KEYS | {flag: (flag, ""), **{part: (part, flag) for part in _PARTS}}

    def key(found: re.Match[str]) -> str:
        if found[1] not in keys or found[1] in chosen:
            return found[0]
        name, under = keys[found[1]]
        value = found[2] or ""
        if found[1] == "param" and value:
            value = f"{{{value.replace('=', ': ', 1)}}}"
        return f"`{f'{name}: {value}'.strip()}`" + (f" under `{under}:`" if under else "")

    return _FLAG.sub(key, text)


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None
