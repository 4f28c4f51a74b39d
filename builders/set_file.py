"""The file of a set: front matter that declares it, and the words that only a person can write.

The front matter is YAML 1.2 in its values: `no` is a text, as in `language: no`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from builders.errors import InputError, did_you_mean, shortened

SECTIONS = ("What it is", "Use", "Limits", "Changes")  # that every set has
FOR_THE_HUB = (  # keys that the Hub acts on, and that nothing here computes
    *("thumbnail", "viewer", "multilinguality", "source_datasets", "task_ids", "paperswithcode_id"),
    *("extra_gated_heading", "extra_gated_description", "extra_gated_prompt", "extra_gated_fields"),
    *("extra_gated_button_content", "extra_gated_eu_disallowed"),
)
CARD_KEYS = ("pretty_name", "language", "task_categories", "tags", *FOR_THE_HUB)  # on the card
_OWN_SECTIONS = ("Load it", "Configs", "How it was made", "Licence", "Versions")  # of the card
VERSION = re.compile(r"^### v(\d+\.\d+\.\d+)\b", re.MULTILINE)
_MARKS = re.compile(r"<!-- /?(?:words: |versions -->)")  # on a card, around a person's words
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"## +(.+?)(?: +#+)? *")
_WRITTEN = {  # what an error says of a value of the wrong type
    "string_type": "is not a text; write it in quotes",
    "int_type": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is not true or false",
    "list_type": "is not a list",
    "dict_type": "is not a mapping of names to values",
    "model_type": "is neither a text nor a mapping of names to values",
    "missing": "is missing; add it",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _place(given: object) -> object:
    """A text where a mapping with a place is possible too."""
    return {"place": given} if isinstance(given, str) else given


def _by_role(given: object) -> object:
    """Teachers by role; those of all roles have an empty name."""
    if isinstance(given, dict) and not given.keys() & TeacherDeclaration.model_fields.keys():
        roles = given
    else:
        roles = {"": given}
    return {role: [*map(_place, _several(some))] for role, some in roles.items()}


def _several(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


class SourceDeclaration(_Part):
    """Where the prompts or seed tasks come from; without a place, from the recipe's own."""

    place: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    column: str | None = None
    license: str | None = None
    written_by: str | None = None


class TeacherDeclaration(_Part):
    """Who answers: `embedded`, `embedded:FILE.gguf`, `scripted:FILE` or an address, and how."""

    place: str
    model: str | None = None
    revision: str | None = None
    license: str | None = None
    parameters: dict[str, Any] = {}
    without: Annotated[list[str], BeforeValidator(_several)] = []
    trust_missing_end: bool = False

    @property
    def word(self) -> str:
        """As on the command line: `WHO#MODEL@REVISION`."""
        model = f"#{self.model}" if self.model else ""
        return f"{self.place}{model}{f'@{self.revision}' if self.revision else ''}"


class BudgetDeclaration(_Part):
    """What a build may cost at most, and `IN/OUT`, the price of a million tokens in USD."""

    usd: Annotated[float, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    calls: Annotated[int, Field(ge=1)] | None = None
    price: str | None = None


Source = Annotated[SourceDeclaration, BeforeValidator(_place)]


class Declaration(_Part):
    """The front matter of a set. Whether a recipe has such options and roles is checked later."""

    recipe: str
    prompts: Source | None = None
    seeds: Source | None = None
    rows: int | None = None
    keep: int | None = None
    seed: int | None = None
    options: dict[str, int | float | str] = {}
    teachers: Annotated[dict[str, list[TeacherDeclaration]], BeforeValidator(_by_role)] = {}
    budget: BudgetDeclaration = BudgetDeclaration()
    repository: str | None = None
    pretty_name: str | None = None
    language: Annotated[list[str], BeforeValidator(_several)] | None = None
    task_categories: Annotated[list[str], BeforeValidator(_several)] = ["text-generation"]
    tags: Annotated[list[str], BeforeValidator(_several)] = []
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


@dataclass(frozen=True, kw_only=True)
class Words:
    """What only a person can write about a set: front matter, sections, and the version.

    `version_place` is the file and the line where the version is set.
    """

    front: Mapping[str, Any]
    sections: Mapping[str, str]
    version: str
    version_place: str = "its Changes"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML with the values of YAML 1.2, without duplicate keys, aliases and merge keys."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "an alias", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                problem = f"the key {getattr(key, 'value', key)!r} comes twice or is no text"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"null|~|", "n~\0"),
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)",
        "-+.0123456789",
    ),
):
    _resolver = re.compile(rf"(?:{_pattern})\Z")
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", _resolver, list(_first) + [""] * (_tag == "null")
    )


def read_set_file(path: Path, shown: str | None = None) -> tuple[Declaration, Words]:
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
    front, body, first = _parts(text, shown)
    declared = _declaration(front, shown)
    sections, version_line = _sections(body, first, shown)
    return declared, _words(declared, sections, version_line, shown)


def declaration(front: Mapping[str, Any], shown: str) -> Declaration:
    """The declaration that JSON holds, such as that of a released set.

    Raises:
        InputError: A key or a value is wrong.
    """
    return _declaration(front, shown)


def is_set_file(path: Path) -> bool:
    """Whether a file is a set's: Markdown whose front matter names a recipe."""
    if path.suffix != ".md" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(20_000).decode("utf-8", "replace").lstrip("\ufeff").replace("\r\n", "\n")
    return head.startswith("---\n") and re.search(r"^recipe\s*:", head, re.MULTILINE) is not None


def _parts(text: str, shown: str) -> tuple[Any, str, int]:
    """The values of the front matter, the body, and the line on which the body begins."""
    found = re.match(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise InputError(
            f"{shown} does not begin with front matter between two lines of ---; `potstill new` "
            "writes a file of the right form"
        )
    try:
        front = yaml.load(found[1], _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise InputError(
            f"{shown}, line {line}: not YAML ({error.problem}); fix the line"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{shown}: its front matter is not YAML ({why}); fix it") from None
    return front, text[found.end() :], text[: found.end()].count("\n") + 1


def _declaration(front: Any, shown: str) -> Declaration:
    if not isinstance(front, Mapping):
        raise InputError(f"{shown}: its front matter has no keys; it begins with recipe: NAME")
    try:
        declared = Declaration.model_validate(dict(front))
    except ValidationError as error:
        raise InputError(f"{shown}: {_problem(error.errors()[0])}") from None
    if declared.prompts and declared.seeds:
        raise InputError(f"{shown}: prompts and seeds are both given; a recipe has one of them")
    for name in ("pretty_name", "language", "task_categories", "tags"):
        for value in _several(getattr(declared, name)):
            if value is not None and (not value.strip() or "\n" in value):
                raise InputError(f"{shown}: {name}: {shortened(value)} is not one line of text")
    return declared


def _problem(error: Mapping[str, Any]) -> str:
    """One line about the first value that is wrong."""
    place = ".".join(str(part) for part in error["loc"] if part != "") or "the front matter"
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        part: type[BaseModel] = Declaration
        for name in error["loc"][:-1]:
            part = _PARTS.get(str(name), part)
        known = [*part.model_fields]
        hint = did_you_mean(error["loc"][-1], known) or f"; there are {', '.join(known)}"
        return f"there is no key {place!r}{hint}"
    why = _WRITTEN.get(kind) or f"is not fit ({error['msg'][0].lower()}{error['msg'][1:]})"
    return f"{place}{'' if kind == 'missing' else ': ' + shortened(value)} {why}"


_PARTS: dict[str, type[BaseModel]] = {
    "prompts": SourceDeclaration,
    "seeds": SourceDeclaration,
    "teachers": TeacherDeclaration,
    "budget": BudgetDeclaration,
}


def _sections(body: str, first: int, shown: str) -> tuple[dict[str, str], int]:
    """The texts under each `## Title` outside code blocks, and the line of the version."""
    texts, title, version_line = dict[str, list[str]](), "", 0
    for number, line, in_code in _lines(body, first):
        heading = None if in_code else _HEADING.fullmatch(line)
        if mark := _MARKS.search(line):
            raise InputError(
                f"{shown}, line {number}: {mark[0]!r} is reserved for the marks of the card; write "
                "it differently"
            )
        if heading:
            title = heading[1].strip()
            if title in texts or title in _OWN_SECTIONS:
                why = "comes twice" if title in texts else "is a section that the card has itself"
                raise InputError(f"{shown}, line {number}: '## {title}' {why}; rename it")
            texts[title] = []
        elif title:
            texts[title].append(line)
            if title == "Changes" and not (version_line or in_code) and VERSION.match(line):
                version_line = number
        elif line.strip():
            raise InputError(
                f"{shown}, line {number}: {shortened(line)} is under no heading; the card has a "
                f"place for each '## Section', such as '## {SECTIONS[0]}'"
            )
    sections = {title: "\n".join(some).strip("\n") for title, some in texts.items()}
    if missing := [title for title in SECTIONS if not sections.get(title, "").strip()]:
        raise InputError(f"{shown}: no words under '## {missing[0]}'; write them")
    if not version_line:
        raise InputError(f"{shown}: no version under Changes; add a line such as '### v0.1.0'")
    return sections, version_line


def _lines(body: str, first: int) -> Iterator[tuple[int, str, bool]]:
    """The lines with their numbers, and whether each is in a code block."""
    fence = ""
    for number, line in enumerate(body.split("\n"), first):
        found = _FENCE.match(line)
        if fence:
            closes = found and found[1].startswith(fence) and not line.strip().strip(fence[0])
            yield number, line, True
            fence = "" if closes else fence
        else:
            fence = found[1] if found else ""
            yield number, line, bool(fence)


def _words(
    declared: Declaration, sections: Mapping[str, str], version_line: int, shown: str
) -> Words:
    if declared.pretty_name is None:
        raise InputError(f"{shown}: no front matter with 'pretty_name'; add it")
    version = VERSION.search(sections["Changes"])
    assert version is not None
    front = {name: getattr(declared, name) for name in CARD_KEYS if getattr(declared, name)}
    place = f"{shown}, line {version_line}"
    return Words(front=front, sections=sections, version=version[1], version_place=place)
