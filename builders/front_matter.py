"""The front matter of a set's file: YAML 1.2 in its values, and each key with its line.

`no` is a text, as in `language: no`, and `017` is 17. Nothing in it may hide from a reader, hold a
secret, or look like a mark of the card.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from builders.errors import InputError, RecipeError, printable, shortened
from builders.secret_names import is_secret_parameter, secret_of_address

MARKS = re.compile(r"<!-- /?(?:words: |versions -->)")  # on a card, around a person's words
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_NOT_IN_BODY = re.compile(f"[{_CONTROL}]")
_NOT_IN_FRONT = re.compile(  # nor what changes the direction of a text, breaks it, or is half of it
    f"[{_CONTROL}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)

_RELEASED = "are released; remove it: the keys of endpoints are read from the environment"

Place = tuple[str | int, ...]  # of a value: the keys that lead to it, and its numbers in lists


@dataclass(frozen=True, kw_only=True)
class FrontMatter:
    """The values, and the line of each key; `shown` names the file in errors."""

    values: Any
    shown: str
    lines: Mapping[Place, int] = field(default_factory=dict)

    def error(self, place: Place, what: str) -> InputError:
        """An error about the value at a place, with the file and the line if it is known."""
        above = (place[:length] for length in range(len(place), 0, -1))
        line = next((self.lines[one] for one in above if one in self.lines), None)
        where = f"{self.shown}{f', line {line}' if line else ''}"
        return InputError(f"{where}: {what}" if where else what)

    @contextmanager
    def at(self, *place: str | int) -> Iterator[None]:
        """Put the file and the line of a value before the message of an error about it."""
        try:
            yield
        except (InputError, RecipeError) as error:
            error.args = (str(self.error(self.written(place), str(error))),)
            raise

    def written(self, place: Place) -> Place:
        """The part of a place that is in the values: keys as they are written."""
        found: list[str | int] = []
        value = self.values
        for part in place:
            is_item = isinstance(value, list) and isinstance(part, int)
            if is_item or (isinstance(value, Mapping) and part in value):
                value = value[part]
                found.append(part)
        return tuple(found)


def key_of(place: Place) -> str:
    """The key at a place, with those that lead to it."""
    return ".".join(part for part in place if isinstance(part, str))


def split_file(text: str, shown: str) -> tuple[FrontMatter, str, int]:
    """The front matter, the body, and the line on which the body begins.

    Raises:
        InputError: There is no front matter, it is not YAML, or a character is invisible.
    """
    found = _FRONT.match(text)
    if not found:
        raise InputError(
            f"{shown} does not begin with front matter between two lines of ---; `potstill new` "
            "writes a file of the right form"
        )
    body, first = text[found.end() :], text[: found.end()].count("\n") + 1
    for part, start, unfit in ((found[1], 2, _NOT_IN_FRONT), (body, first, _NOT_IN_BODY)):
        for number, line in enumerate(part.split("\n"), start):
            if hidden := unfit.search(line):
                raise InputError(
                    f"{shown}, line {number}: holds U+{ord(hidden[0]):04X}, which no reader sees; "
                    "remove it"
                )
    return _front(found[1], shown), body, first


def check_texts(front: FrontMatter) -> None:
    """Raise InputError where a key or a text may not be in the front matter of a set."""
    for place, key, value in _pairs(front.values, ()):
        where = printable(key_of(place))
        if not isinstance(key, str) or (not key.strip() and isinstance(place[-1], str)):
            above = f"{key_of(place[:-1])}: ".removeprefix(": ")
            what = f"the key {shortened(key)} is not a text; write it in quotes"
            if isinstance(key, str):
                what = "a key has no name; give it one, or remove the line"
            raise front.error(place, above + what)
        for text in (key, value):
            if isinstance(text, str) and (why := _unfit(text)):
                raise front.error(place, f"{where} {why}")
        in_parameters = place[0] == "teachers" and "parameters" in place[:-1]
        if in_parameters and is_secret_parameter(key, value):
            raise front.error(place, f"{where} is a secret by its name, and parameters {_RELEASED}")


def _unfit(text: str) -> str | None:
    """What is wrong with a text, if something is."""
    if hidden := _NOT_IN_FRONT.search(text):
        return f"holds U+{ord(hidden[0]):04X}, which no reader sees; remove it"
    if mark := MARKS.search(text):
        return f"holds {mark[0]!r}, which is reserved for the marks of the card; remove it"
    if kind := secret_of_address(text):
        return f"holds a secret ({kind}), and all keys of a set {_RELEASED}"
    return None


def _pairs(value: Any, place: Place) -> Iterator[tuple[Place, Any, Any]]:
    """Each value at any depth with its place and its key; the key is empty in a list."""
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = ((str(key), key, part) for key, part in value.items())
    elif isinstance(value, list):
        parts = ((number, "", part) for number, part in enumerate(value))
    for step, key, part in parts:
        yield (*place, step), key, part
        yield from _pairs(part, (*place, step))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML 1.2 without tags, duplicate keys, aliases and merge keys."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.events.AliasEvent) or getattr(event, "tag", None) is not None:
            what = "an alias" if isinstance(event, yaml.events.AliasEvent) else "a tag, such as !!x"
            raise yaml.constructor.ConstructorError(None, None, what, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            is_text = isinstance(key, yaml.ScalarNode)
            if not is_text or key.value in seen:
                what = f"the key {shortened(key.value)} comes twice" if is_text else "such a key"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """A number of the base 10, whatever it begins with."""
        number = int(node.value) if node.tag.endswith(":int") else float(node.value)
        if not math.isfinite(number):
            what = f"the number {shortened(node.value)} is too large"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        return number


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", "nN~\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
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
for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


def _front(text: str, shown: str) -> FrontMatter:
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
        return FrontMatter(values=values, shown=shown, lines=dict(_lines(node, ())))
    except yaml.reader.ReaderError as error:
        line, why = text.count("\n", 0, error.position), error.reason
    except yaml.MarkedYAMLError as error:
        line, why = error.problem_mark.line if error.problem_mark else -1, error.problem
    except RecursionError:
        line, why = -1, "nested too deeply"
    except (ValueError, OverflowError):
        line, why = loader.line if loader else -1, "an escape that is no character"
    raise InputError(f"{shown}, line {line + 2}: not YAML ({why}); fix the line")


def _lines(node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = {"null": "None", "bool": key.value.capitalize()}.get(key.tag.rpartition(":")[2])
            here = (*place, name or key.value)  # as the text of the key that is read
            yield here, key.start_mark.line + 2
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, one in enumerate(node.value):
            yield (*place, number), one.start_mark.line + 2
            yield from _lines(one, (*place, number))
