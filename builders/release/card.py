"""The dataset card: a person's words from <name>.md and computed facts, in one template.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from builders.card_metadata import card_data
from builders.drafting.spending import cost
from builders.errors import InputError
from builders.hub_vocabulary import Licence
from builders.recipe import Recipe
from builders.recipe_loading import SHIPPED
from builders.schema import Row, Schema

if TYPE_CHECKING:
    import jinja2

CARDS = Path(__file__).resolve().parents[2] / "cards"
_SECTIONS = ("What it is", "Use", "Limits", "Changes")
_FOR_THE_HUB = (  # keys of the front matter that the Hub acts on, and that nothing here computes
    *("thumbnail", "viewer", "multilinguality", "source_datasets", "task_ids", "paperswithcode_id"),
    *("extra_gated_heading", "extra_gated_description", "extra_gated_prompt", "extra_gated_fields"),
    *("extra_gated_button_content", "extra_gated_eu_disallowed"),
)
_FRONT = ("pretty_name", "language", "task_categories", "tags", *_FOR_THE_HUB)
_VERSION = re.compile(r"^### v(\d+\.\d+\.\d+)\b", re.MULTILINE)
_SHOWN_CHARACTERS = 600
_OWN_TAGS = ("synthetic", "distilabel", "datasets", "potstill")
# The marks on a card around a person's words and around the list of versions.
_MARKS = re.compile(r"<!-- /?(?:words: |versions -->)")
_BODY = re.compile(
    r"\A\s*---\r?\n.*?\r?\n---[ \t]*(?:\r?\n|\Z)|<!-- versions -->.*?<!-- /versions -->", re.DOTALL
)

_front = functools.lru_cache(maxsize=4)(card_data)  # a release reads each card more than once


class _PlainDumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes every value in full: a YAML alias would share values that readers of a card change."""

    def ignore_aliases(self, _: object) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Words:
    """What only a person can write about a set: front matter, sections, and the version."""

    front: Mapping[str, Any]
    sections: Mapping[str, str]
    version: str


def cards_of(recipe: Recipe | None) -> Path:
    """The folder of a set's words: cards/ for a recipe that ships, else that of the recipe."""
    if recipe is None or recipe.file is None:
        return CARDS
    folder = recipe.file.resolve().parent
    return CARDS if folder == CARDS.parent / SHIPPED else folder


def read_words(name: str, cards: Path = CARDS) -> Words:
    """The words in a set's file, `<name>.md` in a folder.

    Raises:
        InputError: The file, its front matter, a section or the version is missing.
    """
    path = cards / f"{name}.md"
    shown = f"cards/{name}.md" if cards == CARDS else path.name
    if not path.is_file():
        place = "" if cards == CARDS else f" beside {name}.py"
        raise InputError(f"there is no {shown}{place}; write it like cards/completions.md")
    text = path.read_text(encoding="utf-8")
    if mark := _MARKS.search(text):
        raise InputError(
            f"{shown} holds {mark[0]!r}, which is reserved for the marks of the card; "
            "write it differently"
        )
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    try:
        front = yaml.safe_load(head)
    except yaml.YAMLError as error:
        raise InputError(f"{shown}: its front matter is not YAML ({error})") from None
    if not isinstance(front, dict) or "pretty_name" not in front:
        raise InputError(f"{shown}: no front matter with 'pretty_name'; add it")
    before, *parts = re.split(r"^## (.+)$", body, flags=re.MULTILINE)
    titles = [title.strip() for title in parts[::2]]
    sections = {title: text.strip("\n") for title, text in zip(titles, parts[1::2], strict=True)}
    if missing := [title for title in _SECTIONS if not sections.get(title, "").strip()]:
        raise InputError(f"{shown}: no section '## {missing[0]}'; write it")
    odd = [name for name in front if name not in _FRONT] + before.splitlines()
    odd += [f"## {title}" for title in titles if title not in _SECTIONS or titles.count(title) > 1]
    if lost := next((words for words in odd if str(words).strip()), None):
        raise InputError(
            f"{shown}: the card has no place for {lost!r}; it has one for each of "
            f"{', '.join((*_FRONT, *_SECTIONS))}; move or delete the words"
        )
    version = _VERSION.search(sections["Changes"])
    if not version:
        raise InputError(f"{shown}: no version under Changes; add a line such as '### v0.1.0'")
    return Words(front=front, sections=sections, version=version[1])


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
    names = [name for name in (*_FRONT, "license") if name in front]
    return {name: json.dumps(front[name], ensure_ascii=False, default=str) for name in names}


def _marked(text: str) -> dict[str, str]:
    found = {}
    for title in _SECTIONS:
        opens, closes = (re.escape(mark) for mark in _marks(title))
        if parts := re.findall(f"{opens}\n(.*?)\n{closes}", text, re.DOTALL):
            found[title] = "\n".join(parts)
    return found


def _marks(title: str) -> tuple[str, str]:
    return f"<!-- words: {title} -->", f"<!-- /words: {title} -->"


def words_back(text: str) -> Words:
    """A released card's words, in the form in which they are read from cards/<name>.md.

    Raises:
        InputError: A section is missing, or the front matter has no name.
    """
    sections = _marked(text)
    front = _front(text) or {}
    version = _VERSION.search(sections.get("Changes", ""))
    if set(sections) != set(_SECTIONS) or "pretty_name" not in front or not version:
        raise InputError(
            f"the card lacks some of {', '.join(_SECTIONS)}, pretty_name and the version, as "
            "`potstill release` marks them; release the set again"
        )
    given = {name: front[name] for name in _FRONT if name in front}
    if "tags" in given:
        given["tags"] = [tag for tag in given["tags"] if tag not in _OWN_TAGS]
    return Words(front=given, sections=sections, version=version[1])


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
        **{name: words.front[name] for name in _FOR_THE_HUB if name in words.front},
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
