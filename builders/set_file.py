"""The file of a set: front matter that declares it, and the words that only a person can write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from builders.errors import InputError, did_you_mean, shortened
from builders.front_matter import FrontMatter, Place, check_texts, key_of, split_file
from builders.hub_vocabulary import UNKNOWN, check_language, known_licence
from builders.set_names import name_problem
from builders.set_sections import read_sections

_TEACHERS = "such as embedded or https://host/v1#MODEL"
_WRITTEN = {  # what an error says of a value of the wrong type
    "string_type": "is not a text; write it in quotes",
    "int_type": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is not true or false",
    "list_type": "is not a list",
    "dict_type": "is not a mapping of names to values",
    "model_type": "is neither a text nor a mapping of names to values",
    "string_pattern_mismatch": "is not one line of text; write one, or remove the key",
    "greater_than": "is not above {gt:g}",
    "greater_than_equal": "is below {ge:g}",
    "finite_number": "is not finite",
}
_MAPPINGS = {"budget": "{usd: 5, price: 0.5/1.5}", "options": "{NAME: VALUE}"}  # examples

Text = Annotated[str, Field(pattern=r"^[^\n]*\S[^\n]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: object) -> object:
        """A key that is there without a value is not given."""
        if not isinstance(values, Mapping):
            return values
        empty = {name for name in cls.model_fields if values.get(name, "") is None}
        return {name: value for name, value in values.items() if name not in empty}


def _place(given: object) -> object:
    """A text where a mapping with a place is possible too."""
    return {"place": given} if isinstance(given, str) else given


def _by_role(given: object) -> object:
    """Teachers by role; those of all roles have an empty name."""
    roles = {"": given}
    if isinstance(given, dict) and not given.keys() & TeacherDeclaration.model_fields.keys():
        roles = given or {"": []}
    several = {role: [] if some is None else _several(some) for role, some in roles.items()}
    return {role: [*map(_place, some)] for role, some in several.items()}


def _some_teachers(given: object) -> object:
    if not given:
        raise ValueError(f"names no teacher; give one, {_TEACHERS}")
    return given


def _number_or_text(given: object) -> object:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError("is neither a number nor a text")
    return given


def _several(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


Texts = Annotated[list[Text], BeforeValidator(_several)]


class SourceDeclaration(_Part):
    """Where the prompts or seed tasks come from; without a place, from the recipe's own."""

    place: Text | None = None
    config: Text | None = None
    split: Text | None = None
    revision: Text | None = None
    column: Text | None = None
    license: Text | None = None
    written_by: Text | None = None


class TeacherDeclaration(_Part):
    """Who answers: `embedded`, `embedded:FILE.gguf`, `scripted:FILE` or an address, and how."""

    place: str
    model: Text | None = None
    revision: Text | None = None
    license: Text | None = None
    parameters: dict[str, Any] = {}
    without: Texts = []
    trust_missing_end: bool = False

    @property
    def word(self) -> str:
        """As on the command line: `WHO#MODEL@REVISION`."""
        word = f"{self.place}#{self.model}" if self.model else self.place
        return f"{word}@{self.revision}" if self.revision and "#" in word else word


class BudgetDeclaration(_Part):
    """What a build may cost at most, and `IN/OUT`, the price of a million tokens in USD."""

    usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    calls: Annotated[int, Field(ge=1)] | None = None
    price: Text | None = None


_Teachers = Annotated[list[TeacherDeclaration], BeforeValidator(_some_teachers)]
Source = Annotated[SourceDeclaration, BeforeValidator(_place)]


class Declaration(_Part):
    """The front matter of a set. Whether a recipe has such options and roles is checked later."""

    recipe: Text
    prompts: Source | None = None
    seeds: Source | None = None
    rows: int | None = None
    keep: int | None = None
    seed: int | None = None
    options: dict[str, Annotated[int | float | str, BeforeValidator(_number_or_text)]] = {}
    teachers: Annotated[dict[str, _Teachers], BeforeValidator(_by_role)] = {}
    budget: BudgetDeclaration = BudgetDeclaration()
    repository: Text | None = None
    pretty_name: Text | None = None
    language: Texts | None = None
    task_categories: Texts = ["text-generation"]
    tags: Texts = []
    # What the Hub acts on, and nothing here computes; as it is written.
    thumbnail: Any = None
    viewer: Any = None
    multilinguality: Any = None
    source_datasets: Any = None
    task_ids: Any = None
    paperswithcode_id: Any = None
    extra_gated_heading: Any = None
    extra_gated_description: Any = None
    extra_gated_prompt: Any = None
    extra_gated_fields: Any = None
    extra_gated_button_content: Any = None
    extra_gated_eu_disallowed: Any = None


_KEYS = [*Declaration.model_fields]
FOR_THE_HUB = tuple(_KEYS[_KEYS.index("thumbnail") :])
CARD_KEYS = ("pretty_name", "language", "task_categories", "tags", *FOR_THE_HUB)  # on the card


@dataclass(frozen=True, kw_only=True)
class Words:
    """What only a person can write about a set: front matter, sections, and the version.

    `version_place` is the file and the line where the version is set.
    """

    front: Mapping[str, Any]
    sections: Mapping[str, str]
    version: str
    version_place: str = "its Changes"


class SetFile(NamedTuple):
    """What a set's file holds; `front` has the line of each key."""

    declared: Declaration
    words: Words
    front: FrontMatter


def read_set_file(path: Path, shown: str | None = None) -> SetFile:
    """The declaration and the words in a set's file.

    Args:
        path: The file.
        shown: Its name in errors.

    Raises:
        InputError: It is missing or not such a file; with the line where there is one.
    """
    shown = shown or path.name
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
    return read_set_text(text, shown)


def read_set_text(text: str, shown: str) -> SetFile:
    """As `read_set_file`, of the text of a file."""
    front, body, first = split_file(text, shown)
    declared = _declaration(front)
    sections, version, line = read_sections(body, first, shown)
    if declared.pretty_name is None:
        raise InputError(f"{shown}: no front matter with 'pretty_name'; add it")
    values = {name: getattr(declared, name) for name in CARD_KEYS}
    given = {name: value for name, value in values.items() if value is not None and value != []}
    place = f"{shown}, line {line}"
    words = Words(front=given, sections=sections, version=version, version_place=place)
    return SetFile(declared, words, front)


def declaration(values: Mapping[str, Any], shown: str) -> Declaration:
    """The declaration that JSON holds, such as that of a released set.

    Raises:
        InputError: A key or a value is wrong.
    """
    return _declaration(FrontMatter(values=values, shown=shown))


def is_set_file(path: Path) -> bool:
    """Whether a file is a set's: Markdown whose front matter names a recipe."""
    if path.suffix != ".md" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(20_000)
    except OSError:
        return True  # it may be one: who reads it gets the error
    text = head.decode("utf-8", "replace").lstrip("\ufeff").replace("\r\n", "\n")
    return text.startswith("---\n") and re.search(r"^recipe\s*:", text, re.MULTILINE) is not None


def _declaration(front: FrontMatter) -> Declaration:
    if not isinstance(front.values, Mapping):
        raise InputError(
            f"{front.shown}: its front matter has no keys; it begins with recipe: NAME"
        )
    check_texts(front)
    try:
        declared = Declaration.model_validate(dict(front.values))
    except ValidationError as error:
        misspelt_first = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise _problem(misspelt_first[0], front) from None
    for place, what in _misfits(declared):
        raise front.error(front.written(place), f"{key_of(front.written(place))}: {what}")
    return declared


def _problem(error: Mapping[str, Any], front: FrontMatter) -> InputError:
    """One line about a value that is wrong."""
    kind, value = error["type"], error.get("input")
    place = front.written(error["loc"])
    key = key_of(place) or "the front matter"
    if kind == "extra_forbidden":
        known = [*_PARTS.get(str(place[0]) if len(place) > 1 else "", Declaration).model_fields]
        hint = did_you_mean(place[-1], known) or f"; there are {', '.join(known)}"
        return front.error(place, f"there is no key {key!r}{hint}")
    if kind == "missing":
        name = error["loc"][-1]
        above = place[:-1] if place[-1:] == (name,) else place  # a key without a value is there
        return front.error(place, f"{key_of((*above, name))} is missing; add it")
    why = (
        _WRITTEN.get(kind, "").format(**error.get("ctx", {}))
        or f"is not fit ({error['msg'][0].lower()}{error['msg'][1:]})"
    )
    if kind == "value_error":
        why = str(error["ctx"]["error"])
    if kind in ("model_type", "dict_type") and key in _MAPPINGS:
        why = f"is not a mapping of names to values; write it as {_MAPPINGS[key]}"
    return front.error(place, f"{key}: {shortened(value)} {why}")


def _misfits(declared: Declaration) -> Iterator[tuple[Place, str]]:
    """What is wrong with values that have the right types: each with its place."""
    if declared.prompts and declared.seeds:
        yield ("seeds",), "prompts and seeds are both given; a recipe has one of them"
    for name in ("prompts", "seeds"):
        if source := getattr(declared, name):
            yield from _unknown((name, "license"), known_licence, source.license or UNKNOWN)
    for role, some in declared.teachers.items():
        for number, one in enumerate(some):
            place: Place = ("teachers", role, number)
            yield from _unknown((*place, "license"), known_licence, one.license or UNKNOWN)
            yield from ((place, what) for what in _of_teacher(one))
    codes = declared.language or []
    for number, code in enumerate(codes):
        yield from _unknown(("language", number), check_language, code)
        if code in codes[:number]:
            yield ("language", number), f"{code!r} comes twice; remove one"
    to = declared.repository
    if to is not None and (why := name_problem(to)):
        what = f"{shortened(to)} is not a repository on a Hub, such as org/my-set: {why}"
        yield ("repository",), what


def _unknown(
    place: Place, check: Callable[[str], object], word: str
) -> Iterator[tuple[Place, str]]:
    """What is wrong with a word that the Hub does not know."""
    try:
        check(word)
    except InputError as error:
        yield place, str(error)


def _of_teacher(one: TeacherDeclaration) -> Iterator[str]:
    """What is wrong with a teacher's place, model and revision together."""
    if not one.place.strip() or one.place in ("embedded:", "scripted:"):
        yield f"{one.place!r} names no teacher; give one, {_TEACHERS}"
    if role := re.match(r"([A-Za-z_]\w*)=", one.place):
        yield f"name the role as a key, {{{role[1]}: {shortened(one.place[role.end() :])}}}"
    if one.place.count("#") + (one.model is not None) > 1:
        yield f"{shortened(one.place)} has two models; remove one"
    if one.place == "embedded" and (one.model or one.revision):
        yield "the embedded teacher has one model; remove model and revision, or give another place"
    if both := one.parameters.keys() & set(one.without):
        yield f"{min(both)!r} is under parameters and under without; remove one of the two"
    if one.revision and not (one.model or "#" in one.place):
        yield f"revision {shortened(one.revision)} is of no model; add the key model"
    if one.revision and "@" in (one.model or one.place.rpartition("#")[2]):
        yield f"{shortened(one.model or one.place)} has a revision too; remove one of the two"


_PARTS: dict[str, type[BaseModel]] = {
    "prompts": SourceDeclaration,
    "seeds": SourceDeclaration,
    "teachers": TeacherDeclaration,
    "budget": BudgetDeclaration,
}
