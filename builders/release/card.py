"""The dataset card: a person's words from the set's file and computed facts, in one template.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from builders.card_metadata import card_data
from builders.drafting.spending import cost
from builders.errors import InputError, number_of
from builders.hub_vocabulary import Licence
from builders.schema import Row, Schema
from builders.set_file import CARD_KEYS, FOR_THE_HUB, Words, declaration
from builders.set_sections import SECTIONS, version_in
from builders.sets import CARDS

if TYPE_CHECKING:
    import jinja2

_SHOWN_CHARACTERS = 600
_OWN_TAGS = ("synthetic", "distilabel", "datasets", "potstill")
# A person's words on a card, between their marks.
_SECTION = re.compile(r"<!-- words: (.+?) -->\n(.*?)\n<!-- /words: \1 -->", re.DOTALL)
_BODY = re.compile(
    r"\A\s*---\r?\n.*?\r?\n---[ \t]*(?:\r?\n|\Z)|<!-- versions -->.*?<!-- /versions -->", re.DOTALL
)

_front = functools.lru_cache(maxsize=4)(card_data)  # a release reads each card more than once


class _PlainDumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes every value in full: a YAML alias would share values that readers of a card change."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def words_on(text: str) -> dict[str, str]:
    """What people wrote on a released card, by section or by key of the front matter, to the byte.

    The licence is included. A card without our marks is one text, `card`, without the front matter.

    Raises:
        InputError: Its front matter is not YAML.
    """
    try:
        front = _front(text) or {}
    except ValueError as error:
        raise InputError(f"{error}; fix the card") from None
    return front_words(front) | (_marked(text) or {"card": _BODY.sub("", text)})


def front_words(front: Mapping[str, Any]) -> dict[str, str]:
    """The person's keys of a card's front matter, and the licence, as texts to compare."""
    names = [name for name in (*CARD_KEYS, "license") if name in front]
    return {name: json.dumps(front[name], ensure_ascii=False, default=str) for name in names}


def _marked(text: str) -> dict[str, str]:
    found = dict[str, list[str]]()
    for title, words in _SECTION.findall(text):
        found.setdefault(title, []).append(words)
    return {title: "\n".join(parts) for title, parts in found.items()}


def _marks(title: str) -> tuple[str, str]:
    return f"<!-- words: {title} -->", f"<!-- /words: {title} -->"


def words_back(text: str) -> Words:
    """A released card's words, in the form in which they are read from a set's file.

    Raises:
        InputError: A section is missing, or the front matter has no name.
    """
    sections = _marked(text)
    try:
        front = _front(text) or {}
    except ValueError as error:
        raise InputError(f"{error}; fix the card") from None
    version = version_in(sections.get("Changes", ""))
    if not set(sections) >= set(SECTIONS) or "pretty_name" not in front or not version:
        raise InputError(
            f"the card lacks some of {', '.join(SECTIONS)}, pretty_name and the version, as "
            "`potstill release` marks them; release the set again"
        )
    given = {name: front[name] for name in CARD_KEYS if name in front}
    declaration({"recipe": "any", **given}, "README.md")  # checks the form of each
    if "tags" in given:
        given["tags"] = [tag for tag in given["tags"] if tag not in _OWN_TAGS]
    return Words(front=given, sections=sections, version=version)


def front_matter(
    words: Words,
    languages: Sequence[str],
    schemas: Mapping[str, Schema],
    licence: Licence,
    size: str,
    splits: Mapping[str, Mapping[str, int]],
) -> str:
    """The card's YAML with `configs` and `dataset_info`.

    `splits` holds for each config the `num_bytes`, `num_examples` and `download_size` of `train`.
    """
    configs, infos = [], []
    for config, shape in schemas.items():
        files = [{"split": "train", "path": f"data/{config}/train-*"}]
        first = {"default": True} if config == "default" else {}
        configs.append({"config_name": config, "data_files": files, **first})
        facts = splits[config]
        split = {
            "name": "train",
            "num_bytes": facts["num_bytes"],
            "num_examples": facts["num_examples"],
        }
        infos.append(
            {
                "config_name": config,
                "features": shape.features,
                "splits": [split],
                "download_size": facts["download_size"],
                "dataset_size": facts["num_bytes"],
            }
        )
    given = {
        "license": licence.id,
        **({"license_name": licence.name} if licence.name else {}),
        **({"license_link": licence.link} if licence.link else {}),
        **({"language": list(languages)} if languages else {}),
        "pretty_name": words.front["pretty_name"],
        "size_categories": [size],
        "task_categories": words.front.get("task_categories", ["text-generation"]),
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "tags": [*_OWN_TAGS, *(t for t in words.front.get("tags", []) if t not in _OWN_TAGS)],
        **{name: words.front[name] for name in FOR_THE_HUB if name in words.front},
        "configs": configs,
        "dataset_info": infos,
    }
    text: str = yaml.dump(
        given, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=1000
    )
    return text


def card(front: str, words: Words, facts: Mapping[str, Any], cards: Path = CARDS) -> str:
    """The whole card. Text by teachers is in fences that it cannot close."""
    sections = {}
    for title, text in words.sections.items():
        opens, closes = _marks(title)
        sections[title] = f"{opens}\n{text}\n{closes}"
    template = _environment(cards).get_template("template.md")
    return template.render(front=front, words=sections, **facts)


@functools.cache
def _environment(cards: Path) -> jinja2.Environment:
    """What compiles the templates of a folder, each once."""
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - Markdown; untrusted text goes through fenced()
        loader=jinja2.FileSystemLoader(cards),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fenced"] = fenced
    environment.filters["cell"] = cell
    environment.filters["cost"] = cost
    environment.filters["number_of"] = number_of
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment


def fenced(row: Row) -> str:
    """A row as JSON in a code fence longer than any run of backticks in it."""
    text = json.dumps(_shortened(row), ensure_ascii=False, indent=2)
    text = text.replace("<!--", "<\\u0021--")  # no row can imitate a mark of the card
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}json\n{text}\n{fence}"


def cell(value: object, most: int = 200) -> str:
    """A value for a table cell: one line of at most `most` characters, without markup."""
    text = " ".join(str(value).split())[:most]
    return re.sub(r"([\\`*_{}\[\]<>|#!~$])", r"\\\1", text).replace("://", ":\u2060//")


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + " [...]"
    if isinstance(value, Mapping):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_shortened(part) for part in value[:6]]
    return value
