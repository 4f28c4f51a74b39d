"""The text of a new set's file, and the neutral words of a set that nobody wrote about yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from builders.recipe import Recipe
from builders.set_file import Declaration

_USES = {  # by a column of `default`
    "completion": "Supervised fine-tuning.",
    "chosen": "DPO and similar methods, or a reward model.",
}
_KEYS = {  # each key with what it is for, and an example where it is not given
    "rows": ("the most to ask for, of {rows_of}; without it {usual}", "100"),
    "keep": ("go on until so many rows are kept", "50"),
    "options": ("`potstill help build {recipe}` explains them", "{{{option}}}"),
    "budget": ("USD; and USD per million tokens, in and out", "{{usd: 5, price: 0.5/1.5}}"),
    "repository": ("where `potstill release {name} --to-hub` goes", "org/{name}"),
}
_OF_CARD = {
    "pretty_name": ("the title of the card", ""),
    "language": ("computed from the texts without it", "en"),
    "tags": ("further tags of the card", "[]"),
}


def neutral_sections(recipe: str, source: str, columns: Iterable[str]) -> dict[str, str]:
    """The sections of a set whose rows a recipe made from a source, without a person's words."""
    uses = (use for column, use in _USES.items() if column in [*columns])
    return {
        "What it is": (
            f"Rows that the recipe `{recipe}` made from {source}, by the method and the teachers "
            "under How it was made."
        ),
        "Use": next(uses, "As the columns of its configs allow."),
        "Limits": (
            "The rows were written by models, and nobody checked them but by the rules whose "
            "reasons are counted above."
        ),
        "Changes": "### v0.1.0\n\nFirst version.",
    }


def set_text(
    name: str,
    recipe: Recipe,
    declared: Declaration,
    sections: Mapping[str, str],
    left_out: str = "",
) -> str:
    """The text of a set's file: what is declared, a comment for each key, the sections.

    Keys that are not declared are there as comments, and so is a source's place that is left out.
    """
    front = declared.model_dump(mode="json", exclude_defaults=True)
    words = "".join(f"\n## {title}\n\n{text}\n" for title, text in sections.items())
    return "\n".join(["---", *_front(name, recipe, front, left_out), "---", words])


def _front(name: str, recipe: Recipe, front: dict[str, Any], left_out: str) -> Iterator[str]:
    yield f"# The set {name}: `potstill preview {name}` tries it, `potstill build {name}` makes it."
    yield "# Paths start in the folder of this file. No key or password belongs here: they are read"
    yield "# from the environment, and all of this file may be released."
    yield f"recipe: {_value(front.pop('recipe'))}"
    yield from _source(recipe.seeds.flag, front.pop(recipe.seeds.flag, {}), left_out)
    facts = {
        "name": name,
        "recipe": recipe.name,
        "rows_of": recipe.rows_of,
        "usual": str(recipe.rows) if recipe.candidates else "all of a source of one's own",
        "option": next((f"{one.name}: {one.default}" for one in recipe.options), ""),
    }
    yield from _lines(_KEYS, front, facts)
    yield from _teachers(recipe, front.pop("teachers", {}))
    yield from _lines(_OF_CARD, front, facts)
    for key, value in front.items():
        yield f"{key}: {_value(value)}"
    yield "# Your words for the card. A further section, such as ## Citation, is on it too."


def _lines(
    keys: Mapping[str, tuple[str, str]], front: dict[str, Any], facts: Mapping[str, str]
) -> Iterator[str]:
    for key, (meaning, example) in keys.items():
        given = key in front
        value = _value(front.pop(key)) if given else example.format(**facts)
        yield f"{'' if given else '# '}{key}: {value}  # {meaning.format(**facts)}"


def _source(flag: str, source: dict[str, Any], left_out: str) -> Iterator[str]:
    parts = {
        "place": ("a file, a folder or a Hub dataset such as org/name", f"{flag}.jsonl"),
        "column": ("the one with the prompts, where it is not found by its name", "question"),
        "license": ("its id on the Hub; a release to a Hub needs it", "cc-by-4.0"),
        "written_by": ("people, or the name of a model", "people"),
    }
    if flag == "seeds":
        del parts["column"]
    given = bool(source or left_out)
    yield f"{flag}:" if given else f"# {flag}:  # without it, the {flag} that come with the recipe"
    for key, (meaning, example) in parts.items():
        if key == "place" and left_out:
            yield f"  place:  # {_value(left_out)}"
        elif given and key in source:
            yield f"  {key}: {_value(source.pop(key))}  # {meaning}"
        else:
            yield f"{'  # ' if given else '#   '}{key}: {example}  # {meaning}"
    for key, value in source.items():
        yield f"  {key}: {_value(value)}"


def _teachers(recipe: Recipe, teachers: Mapping[str, Any]) -> Iterator[str]:
    roles = " and ".join(recipe.roles)
    short = {role: [_short(one) for one in some] for role, some in teachers.items()}
    if not short:
        short = {"": ["embedded"]}
    if [*short] == [""]:
        who = f"who answers, as {roles}; or one for each role:"
        yield f"teachers: {_value(_one(short['']))}  # {who}"
    else:
        yield "teachers:"
        every = short.pop("", [])
        short |= {role: every for role in recipe.roles if every and role not in short}
        yield from (f"  {role}: {_value(_one(some))}" for role, some in short.items())
    for role, meaning in recipe.roles.items():
        if role not in short:
            yield f"#   {role}: https://host/v1#MODEL  # {meaning}"
    yield "# A teacher may be {place: ..., model: ..., license: ..., parameters: {temperature: 0}}."


def _short(teacher: dict[str, Any]) -> Any:
    """A teacher as a word where nothing but its place and its model is declared."""
    if teacher.keys() - {"place", "model"}:
        return teacher
    return f"{teacher['place']}#{teacher['model']}" if "model" in teacher else teacher["place"]


def _one(some: list[Any]) -> Any:
    return some[0] if len(some) == 1 else some


def _value(value: Any) -> str:
    """A value on one line of YAML: JSON, or a text without quotes where it needs none."""
    if isinstance(value, str):
        plain: str = yaml.safe_dump(value, width=10_000, allow_unicode=True)
        plain = plain.removesuffix("...\n").strip()
        return plain if "\n" not in plain and " #" not in plain else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
