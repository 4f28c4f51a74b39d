"""The licence of a source: as it is given, or as its card, its draft or its recipe states it."""

from __future__ import annotations

from pathlib import Path

from builders.card_metadata import card_data
from builders.drafting.draft import FACTS, facts_in
from builders.drafting.licence import licence_of, rolled_up
from builders.errors import did_you_mean
from builders.hub_vocabulary import (
    NOT_STATED,
    UNKNOWN,
    Licence,
    known_licence,
    licence_facts,
    vocabulary,
)
from builders.recipe import Seeds, named
from builders.sources.source import Source, source_card

_MOST_SHOWN = 60  # characters of what a card declares


def source_licence(
    given: str | None, source: Source, name: str, revision: str, seeds: Seeds
) -> tuple[dict[str, str], list[str]]:
    """The facts of a source's licence, and lines about what a person should know of it.

    Args:
        given: What counts before anything else; None where nothing is given.
        source: What was read.
        name: What the source is called.
        revision: The revision that was read.
        seeds: Those of the recipe, whose own source states no licence by itself.
    """
    stated, by, lines = _stated(source, name, revision, seeds)
    facts = licence_facts(given, stated, by)
    if given is not None:
        differs = stated.id not in (UNKNOWN, facts["licence"])
        lines = [f"--license {given} counts for {name}, though {by} states {stated.shown}"]
        lines = lines if differs else []
    if facts["licence"] == UNKNOWN:
        lines.append(
            f"the licence of {name} is unknown, and a release to a Hub needs it: give --license ID "
            "and build again, which repeats no call"
        )
    return facts, lines


def _stated(
    source: Source, name: str, revision: str, seeds: Seeds
) -> tuple[Licence, str, list[str]]:
    """The licence that something states, what that is, and lines about it."""
    if source.place == seeds.source:
        with named("the licence of the recipe's seeds"):
            return Licence.stated(known_licence(seeds.licence)), "the recipe", []
    path = Path(source.place)
    folder = path.parent if path.name == "default.parquet" else path
    if (folder / FACTS).is_file() and (folder / "default.parquet").is_file():
        return licence_of(facts_in(folder)["lineage"]), "its draft", []
    try:
        front = card_data(source_card(source, revision)) or {}
    except ValueError as error:
        return NOT_STATED, "its card", [f"the card of {name} states no licence: {error}"]
    declared = front.get("license")
    listed = declared if isinstance(declared, list) else [declared]
    about = front.get("license_name"), front.get("license_link")
    found = [Licence.stated(one, *about) for one in listed] or [NOT_STATED]
    odd = [
        one.strip()[:_MOST_SHOWN]
        for one in listed
        if isinstance(one, str) and one.strip() and one.strip().lower() not in _known()
    ]
    by = "its card"
    if len(found) > 1:
        by += f" ({' and '.join(one.shown for one in found)})"
    elif odd:
        by += f" (as {odd[0]!r})"
    lines = [
        f"the card of {name} declares the licence {one!r}, which is not known to the Hub"
        f"{did_you_mean(one.lower(), _known())}; it counts as 'other' without --license"
        for one in odd
    ]
    return rolled_up(found), by, lines


def _known() -> list[str]:
    return vocabulary()["license"]
