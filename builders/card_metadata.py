"""A card's metadata: its front matter, read as the Hub reads it.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml

_BREAK = r"(?:\r\n|\r|\n)"
_FRONT = re.compile(rf"\A\s*---{_BREAK}(.*?){_BREAK}---[ \t]*(?:{_BREAK}|\Z)", re.DOTALL)
_MOST_SHOWN = 60
_MOST_CHARACTERS = 4_000_000  # with every alias expanded


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML as the Hub does: without duplicate keys and merge keys."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            # Nested merges grow without bounds, and no card needs one.
            raise yaml.constructor.ConstructorError(None, None, "a merge key", node.start_mark)
        super().flatten_mapping(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                shown = json.dumps(key.value[:_MOST_SHOWN], ensure_ascii=False)
                problem = f"duplicated key {shown}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def card_data(readme: str) -> dict[str, Any] | None:
    """A card's front matter; None if it has none.

    Raises:
        ValueError: The front matter is not YAML, or not a mapping.
    """
    found = _FRONT.search(readme.removeprefix("\ufeff"))
    if not found:
        return None
    try:
        front = yaml.load(found[1], _Loader)  # noqa: S506 - a safe loader
        written_out = _characters(front, {})
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 1} of the metadata" if error.problem_mark else ""
        raise ValueError(f"Invalid YAML in README.md: {str(error.problem)[:200]}{at}") from None
    except yaml.YAMLError as error:
        raise ValueError(
            f"Invalid YAML in README.md: {' '.join(str(error).split())[:200]}"
        ) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        # PyYAML raises these for an invalid !!timestamp, !!int or !!bool, and for deep nesting.
        raise ValueError(
            "Invalid YAML in README.md: a value does not have the type of its tag"
        ) from None
    if written_out > _MOST_CHARACTERS:
        raise ValueError("Invalid YAML in README.md: an alias or a number expands to too much text")
    if front is not None and not isinstance(front, dict):
        raise ValueError("Invalid YAML in README.md: the metadata must be a mapping")
    return front


def _characters(value: object, known: dict[int, float]) -> float:
    """About how long a value is with every alias expanded; infinite if it contains itself."""
    if isinstance(value, str | bytes):
        return len(value)
    if not isinstance(value, list | dict | set | tuple):
        # Python refuses to write a number of more than 4,300 digits.
        return math.inf if isinstance(value, int) and value.bit_length() > 10_000 else 1
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_characters(part, known) for part in parts)
    return known[id(value)]
