"""Check a dataset card's front matter as the Hub does, without the Hub.

What the Hub refuses is an error, what it only warns of is a warning. The vocabularies are the Hub's
own, in builders/hub_vocabulary.json.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from builders.card_metadata import card_data
from builders.hub_vocabulary import languages, vocabulary

NO_METADATA = "empty or missing yaml metadata in repo card"

_SPLIT = re.compile(r"\w+(?:\.\w+)*")
_REFUSED = ("license", "task_ids")
_REMARKED = (
    "task_categories",
    "size_categories",
    "annotations_creators",
    "language_creators",
    "multilinguality",
)
_LISTS = ("language", "license", "tags", "source_datasets", *_REFUSED[1:], *_REMARKED)
_TEXTS = ("pretty_name", "license_name", "license_link", "license_details", "thumbnail")
_MOST_SHOWN = 60


def card_problems(readme: str) -> tuple[list[str], list[str]]:
    """The errors with which the Hub would refuse a dataset card, and its warnings."""
    try:
        front = card_data(readme)
    except ValueError as error:
        return [str(error)], []
    if not front:
        return [], [NO_METADATA]
    errors = [*_type_problems(front), *_config_problems(front.get("configs"))]
    warnings = []
    for name in (*_REFUSED, *_REMARKED):
        for place, value in _values(front, name):
            if isinstance(value, str) and value not in vocabulary()[name]:
                if name in _REFUSED:
                    errors.append(f'"{place}" must be one of [{", ".join(vocabulary()[name])}]')
                else:
                    known = ", ".join(vocabulary()[name])
                    warnings.append(f'"{place}": {_shown(value)} is not in the list: {known}')
    for place, value in _values(front, "language"):
        if isinstance(value, str) and value not in languages():
            errors.append(
                f'"{place}" with value {_shown(value)} is not valid: expected an ISO 639-1, 639-2 '
                'or 639-3 code, "code" or "multilingual"'
            )
        elif value is False:  # the Hub reads YAML 1.2, in which `no` is a string
            warnings.append(f'"{place}": write "no" in quotes; other readers take it for false')
    if front.get("license") == "other" and not front.get("license_name"):
        warnings.append('"license_name" is missing: with license "other" it names the licence')
    return errors, warnings


def _values(front: Mapping[str, Any], name: str) -> Iterator[tuple[str, object]]:
    """The values of a key, each with its place: `license`, or `license[0]` in a list."""
    given = front.get(name)
    if isinstance(given, list):
        yield from ((f"{name}[{place}]", value) for place, value in enumerate(given))
    elif given is not None:
        yield name, given


def _type_problems(front: Mapping[str, Any]) -> Iterator[str]:
    for name in _LISTS:
        for place, value in _values(front, name):
            if not isinstance(value, str) and (name, value) != ("language", False):
                yield f'"{place}" must be a string, not {_shown(value)}'
    for name in _TEXTS:
        if not isinstance(front.get(name, ""), str | None):
            yield f'"{name}" must be a string, not {_shown(front[name])}'
    if not isinstance(front.get("viewer", True), bool):
        yield f'"viewer" must be true or false, not {_shown(front["viewer"])}'
    info = front.get("dataset_info", {})
    if not all(isinstance(one, dict) for one in (info if isinstance(info, list) else [info])):
        yield '"dataset_info" must be a mapping, or a list of one for each config'


def _config_problems(configs: object) -> Iterator[str]:
    """What keeps `datasets` from reading a card's configs."""
    if configs is None:
        return
    if not isinstance(configs, list):
        yield f'"configs" must be a list, not {_shown(configs)}'
        return
    names, defaults = [], []
    for place, config in enumerate(configs):
        here = f"configs[{place}]"
        if not isinstance(config, dict):
            yield f'"{here}" must be a mapping, not {_shown(config)}'
            continue
        name = config.get("config_name")
        if not isinstance(name, str) or not name:
            yield f'"{here}.config_name" must be a string, not {_shown(name)}'
            continue
        if name in names:
            yield f'"{here}.config_name": there are two configs {_shown(name)}'
        names.append(name)
        if name == "default" or config.get("default"):
            defaults.append(name)
        yield from _file_problems(f"{here}.data_files", config.get("data_files"))
    if len(set(defaults)) > 1:
        yield f'"configs" must have at most one default, not {_shown(defaults[0])} and others'


def _file_problems(here: str, files: object) -> Iterator[str]:
    if files is None or isinstance(files, str):
        return
    if not isinstance(files, list):
        yield f'"{here}" must be a path, a list of paths, or a list of split and path'
        return
    for place, one in enumerate(files):
        if isinstance(one, str):
            continue
        if not isinstance(one, dict) or set(one) != {"split", "path"}:
            yield f'"{here}[{place}]" must be a path, or have a split and a path and nothing else'
            continue
        if not isinstance(one["split"], str) or not _SPLIT.fullmatch(one["split"]):
            yield (
                f'"{here}[{place}].split" must be letters, digits, "_" and ".", '
                f"not {_shown(one['split'])}"
            )
        paths = one["path"] if isinstance(one["path"], list) else [one["path"]]
        if not paths or not all(isinstance(path, str) for path in paths):
            yield f'"{here}[{place}].path" must be a path or a list of paths'


def _shown(value: object) -> str:
    """A value for a message: the start of a text in quotes, of anything else only the type."""
    if isinstance(value, str):
        return json.dumps(value[:_MOST_SHOWN], ensure_ascii=False)
    return "nothing" if value is None else f"a {type(value).__name__}"
