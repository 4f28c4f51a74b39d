"""The words on a set's card: those of its file, or computed ones where it has none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from builders.drafting.draft import Draft
from builders.drafting.files import parquet_columns
from builders.drafting.owner import new_command
from builders.errors import InputError
from builders.gates.secrets import secret
from builders.set_file import CARD_KEYS, Words
from builders.set_text import neutral_sections


def words_of(draft: Draft) -> Words:
    """The words on the card of a draft's set.

    Raises:
        InputError: The draft was found by its folder alone, or a secret is among the words.
    """
    if "set" not in draft.facts:
        raise InputError(
            f"{draft.folder} is of an older potstill; build again, which repeats no call"
        )
    if draft.facts["set"]["ad_hoc"]:
        columns = parquet_columns(draft.file("default"))
        return computed_words(draft.facts["set"], draft.facts["lineage"], columns)
    words = draft.set.words if draft.set else None
    if words is None:
        raise InputError(f"{draft.folder} has no words; open it with load_draft and its set's file")
    for title, text in words.sections.items():
        if kind := secret(text):
            raise InputError(
                f"{file_of(words)} holds a secret ({kind}) under '## {title}'; "
                "remove it: the words are released"
            )
    return words


def computed_words(
    record: Mapping[str, Any], lineage: Mapping[str, Any], columns: Iterable[str]
) -> Words:
    """Neutral words from the facts of an ad-hoc set; its version is 0.1.0, as it has no file."""
    recipe = str(lineage["recipe"])
    source = re.sub(r"[^\w.-]+", " ", Path(lineage["seeds"]["name"]).name).strip() or "a source"
    return Words(
        front={"pretty_name": f"{recipe.capitalize()} from {source}"},
        sections=neutral_sections(recipe, source, columns),
        version="0.1.0",
        version_place=f"the file that `{new_command(record)}` writes",
    )


def file_of(words: Words) -> str:
    """The file that the words are from, or that they could be written in."""
    return words.version_place.partition(", line ")[0]


def declared_set(draft: Draft) -> dict[str, Any]:
    """The set as a manifest declares it: what its draft recorded, and what is on its card."""
    record = dict(draft.facts["set"])
    declared = {**record["declaration"]}
    a_set = draft.set
    if a_set is not None and not record["ad_hoc"]:
        about = {"repository", *CARD_KEYS}
        declared |= a_set.declaration.model_dump(include=about, exclude_defaults=True)
    return {**record, "declaration": declared}
