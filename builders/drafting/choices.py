"""What is chosen for one build, merged with what the set's file declares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from builders.drafting.build_spec import BuildSpec, Choices
from builders.drafting.declared_values import as_declared, check_declared, chosen_flags
from builders.drafting.owner import check_renamed
from builders.drafting.set_record import FILES, Teachers, by_name, set_record
from builders.drafting.since_release import files_of_build, since_release
from builders.engine.addresses import is_address, shown_address
from builders.engine.budget import BudgetLimits
from builders.engine.parameters import Choice, chosen_names, read_without
from builders.engine.pool import TeacherPoolSpec, check_role, pool_spec, split_role
from builders.engine.prices import read_price
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import EMBEDDED, EMBEDDED_FILE
from builders.errors import InputError
from builders.gates.secrets import secret
from builders.hub_vocabulary import known_licence
from builders.recipe import SEED, Recipe, Settings, at_home, named
from builders.set_file import BudgetDeclaration, Declaration, SourceDeclaration, TeacherDeclaration
from builders.set_names import set_name
from builders.sets import Set, ad_hoc
from builders.sources.source import Source


def build_spec(a_set: Set, given: Choices, beside: Iterable[str] = ()) -> BuildSpec:
    """What a build of a set makes with these choices.

    A set that ships has its own source only: with another one it is the recipe's ad-hoc set.

    Args:
        a_set: The set.
        given: What was chosen for this build.
        beside: Further names that the caller takes, to offer for a misspelt option.

    Raises:
        InputError: A declared or a chosen value is wrong, or the file holds a secret.
    """
    if a_set.ships and given.source.get("place"):
        a_set = ad_hoc(a_set.recipe)
    _check_secrets(a_set)
    alone, recipe = declared_alone(a_set), a_set.recipe
    merged = _merged(a_set, given)
    settings = _settings(a_set, merged, given, beside)
    source: SourceDeclaration = getattr(merged, recipe.seeds.flag)
    parts = source.model_dump(include={"config", "split", "column", "revision"})
    if (expected := _expected(a_set, given)) and not expected.startswith("sha256:"):
        parts["revision"] = expected  # the commit of a Hub dataset
    with named("license"):
        licence = known_licence(source.license) if source.license else None
    the_source = Source(place=source.place or recipe.seeds.source, **parts)
    check_renamed(a_set, given.work or a_set.work, the_source.place)
    return BuildSpec(
        set=a_set,
        declared=set_record(
            a_set,
            _whole(merged, settings, recipe),
            alone,
            files_of_build(a_set, given),
        ),
        settings=settings,
        work=given.work or a_set.work,
        teachers=_pool(a_set, merged.teachers, given),
        source=the_source,
        licence=licence,
        written_by=source.written_by or "unknown",
        run_limits=_run_limits(merged.budget, given.run_limits),
        expected=expected,
        shard=given.shard,
        from_ledger=given.from_ledger,
        default_rows=merged.rows is None,
        chosen=chosen_flags(a_set, given),
        as_declared=as_declared(a_set, given, the_source),
        judge_reports=given.judge_reports,
        contributed=given.contributed,
        notices=[*since_release(a_set, _by_role(merged.teachers, recipe), given)],
    )


def declared_alone(a_set: Set) -> Declaration:
    """The declaration of a set with nothing chosen, every role named.

    Raises:
        InputError: A declared value is wrong.
    """
    check_declared(a_set)
    nothing = Choices()
    merged = _merged(a_set, nothing)
    return _whole(merged, _settings(a_set, merged, nothing), a_set.recipe)


def _settings(
    a_set: Set, merged: Declaration, given: Choices, beside: Iterable[str] = ()
) -> Settings:
    return a_set.recipe.settings(
        rows=merged.rows,
        keep=merged.keep,
        seed=SEED if merged.seed is None else merged.seed,
        options={**_declared_options(a_set), **given.options},
        beside=beside,
    )


def _expected(a_set: Set, given: Choices) -> str | None:
    """The revision that the source must have for the rows of a release."""
    own = getattr(a_set.declaration, a_set.recipe.seeds.flag) is None
    chosen = given.source.get("place") or given.source.get("revision")
    if a_set.released is None or own or chosen:
        return None
    return a_set.released.source


def declared_for(a_set: Set, given: Choices, folder: Path) -> Declaration:
    """The declaration with what was chosen, as the file of a set in a folder gives it.

    Raises:
        InputError: A chosen value is wrong.
    """
    declared, flag = a_set.declaration, a_set.recipe.seeds.flag
    merged = _merged(a_set, given)
    source = getattr(merged, flag)
    if source == SourceDeclaration():
        source = None
    elif source.place and (Path(source.place).exists() or not _is_name(source)):
        source = source.model_copy(update={"place": os.path.relpath(source.place, folder)})
    teachers = {
        role: [_from_working_folder(one, folder) for one in some]
        for role, some in merged.teachers.items()
    }
    recipe = declared.recipe
    if recipe.endswith(".py"):
        recipe = os.path.relpath(recipe, folder)
        recipe = recipe if "/" in recipe else f"./{recipe}"
    files = {option.name for option in a_set.recipe.options if option.file}
    files |= {*a_set.released.files} if a_set.released else set()
    options = {
        name: os.path.relpath(str(value), folder) if name in files else value
        for name, value in merged.options.items()
    }
    parts = {flag: source, "options": options, "teachers": teachers, "recipe": recipe}
    return merged.model_copy(update=parts)


def _from_working_folder(one: TeacherDeclaration, folder: Path) -> TeacherDeclaration:
    kind, colon, file = one.place.partition(":")
    if f"{kind}{colon}" in FILES and file and not Path(file).is_absolute():
        return one.model_copy(update={"place": f"{kind}:{os.path.relpath(file, folder)}"})
    return one


def _check_secrets(a_set: Set) -> None:
    """Raise InputError where a set's file holds a key; its reader refuses passwords by place."""
    if a_set.file is None:
        return
    if kind := secret(a_set.file.read_text(encoding="utf-8", errors="replace")):
        raise InputError(
            f"{a_set.file.name} holds a secret ({kind}), and all of it may be released; remove it: "
            "the key of an endpoint is read from the environment, see --key-env"
        )


def _merged(a_set: Set, given: Choices) -> Declaration:
    """The declaration of a set with the choices for one build, its paths as they are from here."""
    declared, flag = a_set.declaration, a_set.recipe.seeds.flag
    source = a_set.source
    source = source.model_copy(update={"place": _place(source, a_set.folder)})
    other = given.source.get("place")
    if other and other != source.place:
        source = SourceDeclaration()
    more = {**given.source, "license": given.licence}
    source = source.model_copy(update={name: part for name, part in more.items() if part})
    numbers = {name: getattr(given, name) for name in ("rows", "keep", "seed")}
    return declared.model_copy(
        update={
            **{name: number for name, number in numbers.items() if number is not None},
            flag: source,
            "options": {**declared.options, **given.options},
            "teachers": _teachers(a_set, given),
            "budget": _budget(declared.budget, given.run_limits),
        }
    )


def _whole(merged: Declaration, settings: Settings, recipe: Recipe) -> Declaration:
    """A declaration with the checked values of those settings that it gives, and every role."""
    numbers = ("rows", "keep", "seed")
    given = [name for name in numbers if getattr(merged, name) is not None]
    options = {name: settings.options[name] for name in merged.options}
    values = {name: getattr(settings, name) for name in given}
    teachers = dict(sorted(_by_role(merged.teachers, recipe).items()))
    return merged.model_copy(update={**values, "options": options, "teachers": teachers})


def _place(source: SourceDeclaration, folder: Path) -> str | None:
    """Where a declared source is: a path starts in the folder of the set's file."""
    place = source.place
    if place and "://" in place:
        return place
    if place is None or (folder / at_home(place)).exists():
        return place and str(folder / at_home(place))
    return place if _is_name(source) else str(folder / place)


def _is_name(source: SourceDeclaration) -> bool:
    """Whether a declared source could be a set's name, here or on a Hub, and is no path."""
    place = source.place or ""
    is_path = "/" in place or Path(place).suffix != ""
    return bool(set_name(place, source.revision)) or not is_path


def _declared_options(a_set: Set) -> dict[str, int | float | str]:
    """The options in a set's file; the path of a file starts in the folder of it."""
    options = dict(a_set.declaration.options)
    for option in a_set.recipe.options:
        if option.file and options.get(option.name, option.default) != option.default:
            options[option.name] = str(a_set.folder / at_home(options[option.name]))
    return options


def _budget(declared: BudgetDeclaration, given: RunLimits) -> BudgetDeclaration:
    limits = {name: number for name, number in vars(given.budget).items() if number is not None}
    price = {"price": given.price.words} if given.price else {}
    return declared.model_copy(update={**limits, **price})


def _run_limits(budget: BudgetDeclaration, given: RunLimits) -> RunLimits:
    price = read_price(budget.price) if budget.price is not None else None
    limits = budget.model_dump(include={"usd", "tokens", "calls"})
    return replace(given, budget=BudgetLimits(**limits), price=price)


def _teachers(a_set: Set, given: Choices) -> dict[str, list[TeacherDeclaration]]:
    """The teachers by role, those of all roles under ''; by every role where one has parameters."""
    chosen_names(given.parameters)
    recipe, chosen = a_set.recipe, dict[str, list[TeacherDeclaration]]()
    for word in given.teachers:
        role, who = split_role(word)
        if role:
            check_role(role, recipe)
        chosen.setdefault(role, []).append(TeacherDeclaration(place=who))
    declared = {
        role: [_from_folder(one, a_set.folder) for one in some]
        for role, some in a_set.declaration.teachers.items()
    }
    teachers = chosen if "" in chosen else {**declared, **chosen}
    if a_set.released:
        teachers = _as_declared(_by_role(teachers, recipe), _by_role(declared, recipe))
    teachers = {role: [_with_model(one, given) for one in some] for role, some in teachers.items()}
    if given.parameters or any(one.parameters or one.without for _, one in by_name(teachers)):
        teachers = _by_role(teachers, recipe)
    also: dict[str, set[str]] = {}  # the names of a model in all its roles
    for name, one in [*by_name(_by_role(teachers, recipe)), *by_name(teachers)]:
        also.setdefault(one.word, set()).add(name)
    named_ones = {name: _with(one, name, also, given) for name, one in by_name(teachers)}
    known = {one.word: one.license for one in named_ones.values() if one.license}
    own = {
        name: one.model_copy(update={"license": one.license or known.get(one.word)})
        for name, one in named_ones.items()
    }
    return {
        role: [own[name] for name, _ in by_name({role: some})] for role, some in teachers.items()
    }


def _as_declared(teachers: Teachers, declared: Teachers) -> dict[str, list[TeacherDeclaration]]:
    """Teachers by role; one that is named as it is declared has all that is declared of it."""

    def whole(one: TeacherDeclaration, role: str) -> TeacherDeclaration:
        known = declared.get(role, ())
        for before in known if one not in known else ():
            kind, colon, file = before.place.partition(":")
            own, _, model = one.place.partition("#")
            is_file = f"{kind}{colon}" in FILES and own.startswith(f"{kind}{colon}")
            same = is_file and Path(own).name == Path(file).name
            if (same or own == before.place) and model in ("", before.model):
                return before.model_copy(update={"place": own})
        return one

    return {role: [whole(one, role) for one in some] for role, some in teachers.items()}


def _by_role(teachers: Teachers, recipe: Recipe) -> dict[str, list[TeacherDeclaration]]:
    """The same teachers with every role named."""
    every = [*teachers.get("", [TeacherDeclaration(place=EMBEDDED)])]
    named_ones = {role: [*some] for role, some in teachers.items() if role}
    for role in recipe.roles:
        shared = role in recipe.pools or not recipe.pools
        named_ones.setdefault(role, every if shared else every[:1])
    return named_ones


def _from_folder(one: TeacherDeclaration, folder: Path) -> TeacherDeclaration:
    """A declared teacher; the path of its file starts in the folder of the set's file."""
    kind, colon, file = one.place.partition(":")
    if f"{kind}{colon}" in FILES:
        return one.model_copy(update={"place": f"{kind}:{folder / at_home(file)}"})
    return one


def _with_model(one: TeacherDeclaration, given: Choices) -> TeacherDeclaration:
    """A teacher with its model apart from its place."""
    place, mark, model = one.place.rpartition("#")
    if not mark:
        place, model = one.place, one.model or ""
        if not model and place != EMBEDDED and not place.startswith(EMBEDDED_FILE):
            model = given.usual.model or ""
    elif one.model:
        raise InputError(f"the teacher {shown_address(one.place)} has two models; remove one")
    return one.model_copy(update={"place": place, "model": model or None})


def _with(
    one: TeacherDeclaration, name: str, also: Mapping[str, set[str]], given: Choices
) -> TeacherDeclaration:
    """A teacher with what was chosen for it, or for all."""
    parameters, without = dict(one.parameters), dict.fromkeys(one.without)
    names = {"", name, re.sub(r"_\d+$", "", name)}
    for choice in given.parameters:
        if choice.teacher in names:
            parameters.pop(choice.name, None)
            without.pop(choice.name, None)
            if choice.value is None:
                without[choice.name] = None
            else:
                parameters[choice.name] = choice.value
    names |= {one.place, one.word, *also[one.word]}
    licences = [licence for who, licence in given.licences if who in names]
    return one.model_copy(
        update={
            "parameters": parameters,
            "without": [*without],
            "license": licences[-1] if licences else one.license,
            "trust_missing_end": one.trust_missing_end or not names.isdisjoint(given.trusted),
        }
    )


def _check_licences(teachers: Teachers) -> None:
    """Raise InputError where one model has two licences."""
    known: dict[str, tuple[str, str]] = {}
    for name, one in by_name(teachers):
        licence = one.license or ""  # which all of one model have, or none
        before, other = known.setdefault(one.word, (name, licence))
        if other.lower() != licence.lower():
            raise InputError(
                f"{one.model or one.place} has the licence {other} as {before or 'every role'} and "
                f"{licence} as {name or 'every role'}; a model has one: give the same to both"
            )


def _pool(a_set: Set, teachers: Teachers, given: Choices) -> TeacherPoolSpec:
    """The teachers, not yet started, with the parameters of each.

    The key of the first endpoint is for one that the user named, not for one of a release alone.
    """
    words, choices = list[str](), list[Choice]()
    _check_licences(teachers)
    trusted, licences = [*given.trusted], list[tuple[str, str]]()
    for role, some in teachers.items():
        words += [f"{role}={one.word}" if role else one.word for one in some]
    for name, one in by_name(teachers):
        choices += [
            replace(read_without(f"{name}:{key}"), value=value)
            for key, value in one.parameters.items()
        ]
        choices += [read_without(f"{name}:{key}") for key in one.without]
        if one.trust_missing_end and not given.from_ledger:
            trusted.append(one.word)
        if one.license and not given.from_ledger:
            with named(f"teachers: {name or 'all'}"):
                licences.append((one.word, known_licence(one.license)))
    names = {"", *teachers, *(name for name, _ in by_name(teachers))}
    choices += [choice for choice in given.parameters if choice.teacher not in names]
    licences += given.licences  # which go before those of the file
    first = None
    if a_set.released and not given.usual.key_named:
        own = (split_role(word)[1] for word in given.teachers)
        first = next((urlsplit(place).netloc for place in own if is_address(place)), "")
    return pool_spec(words, given.usual, choices, [*dict.fromkeys(trusted)], licences, first)
