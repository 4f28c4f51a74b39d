"""The card of a release, made from its figures, its manifest and a person's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builders.drafting.answer_counts import warnings
from builders.drafting.licence import licence_of, parts, remarks
from builders.engine.teacher import EMBEDDED_MODEL
from builders.release.card import card, front_matter
from builders.release.card_figures import CardFigures
from builders.release.versions import versions_section
from builders.schema import Column, Schema
from builders.set_file import Words


def rendered(
    manifest: Mapping[str, Any],
    figures: CardFigures,
    words: Words,
    advisories: Mapping[str, Mapping[str, str]],
) -> str:
    """The card's text.

    Args:
        manifest: The release's manifest; its `rows` and `files` are not used.
        figures: The figures of its files.
        words: What a person wrote.
        advisories: The withdrawn versions.
    """
    lineage, repository = manifest["lineage"], manifest["repository"]
    schemas = schemas_in(manifest["configs"])
    licence = licence_of(lineage)
    languages = figures.languages.compared(words.front.get("language"))
    facts: dict[str, Any] = {
        "title": words.front["pretty_name"],
        "version": manifest["version"],
        "repository": repository or "path/to/this/folder",
        "revision": f', revision="v{manifest["version"]}"' if repository else "",
        "licence": licence,
        "parts": parts(lineage),
        "remarks": [*remarks(lineage)],
        "counts": manifest["counts"],
        "spent": manifest["spent"],
        "lineage": lineage,
        "warnings": warnings(lineage.get("answers", ()), lineage["teachers"]),
        "measures": manifest.get("measures", {}),
        "figures": figures.on_card,
        "languages": languages.line,
        "shapes": {config: shape.name for config, shape in schemas.items()},
        "schemas": {config: shape.columns for config, shape in schemas.items()},
        "example": figures.example,
        "embedded": _embedded(lineage, manifest["spent"]),
        "versions": versions_section(manifest["history"], advisories, repository),
    }
    front = front_matter(
        words, languages.codes, schemas, licence, figures.size_category, figures.sizes
    )
    return card(front, words, facts)


def _embedded(lineage: Mapping[str, Any], spent: Mapping[str, Any]) -> str | None:
    """The model that comes with potstill, where it was asked."""
    asked = (lineage["teachers"][role] for role, used in spent["roles"].items() if used["calls"])
    models = {one["model"] for one in asked if one["kind"] == "embedded"}
    return EMBEDDED_MODEL if EMBEDDED_MODEL in models else None


def schemas_in(configs: Mapping[str, Any]) -> dict[str, Schema]:
    """The schemas that a manifest's `configs` declare."""
    return {
        config: Schema(
            name=facts["shape"], columns=tuple(Column(**column) for column in facts["columns"])
        )
        for config, facts in configs.items()
    }
