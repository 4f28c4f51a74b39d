"""The licence of a set: the strictest of those of its source and of the teachers that answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from builders.drafting.answer_counts import is_another
from builders.engine.model_licences import model_licence, table_name
from builders.hub_vocabulary import GIVEN, NOT_STATED, OTHER, UNKNOWN, Licence, licence_facts

# From the laxest to the strictest. A licence that is not here has conditions of its own.
_LAXEST_FIRST = (
    "cc0-1.0",
    "pddl",
    "unlicense",
    "mit",
    "isc",
    "zlib",
    "bsd-2-clause",
    "bsd-3-clause",
    "apache-2.0",
    "cdla-permissive-2.0",
    "odc-by",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
)
_CONDITIONS = ("nc", "sa")  # of those here, each in an id that has it
SEEDS = "seeds"
# The name of a licence `other` whose terms are nowhere but in that section of the card.
SEVERAL = Licence(OTHER, "see-the-licence-section")


class Part(NamedTuple):
    """What a set is made from: its source, or a teacher that answered.

    Attributes:
        owner: `seeds`, or the teacher's name in the recipe.
        what: The source's name or the model's.
        licence: Its licence.
        known_from: Who or what states that; None where nothing does.
    """

    owner: str
    what: str
    licence: Licence
    known_from: str | None


def strictness(licence: str) -> int:
    """The place of a licence in the order from lax to strict; unlisted ones are at its end."""
    known = licence.lower()
    return _LAXEST_FIRST.index(known) if known in _LAXEST_FIRST else len(_LAXEST_FIRST)


def rolled_up(licences: Iterable[Licence]) -> Licence:
    """The strictest of some licences; an `other` one where none has the conditions of all."""
    given = sorted(set(licences), key=lambda one: (strictness(one.id), one.shown))
    conditions = set[object]().union(*map(_conditions, given))
    return given[-1] if _conditions(given[-1]) == conditions else SEVERAL


def _conditions(licence: Licence) -> set[object]:
    if licence.id not in _LAXEST_FIRST:
        return {licence}
    return {one for one in _CONDITIONS if one in licence.id.split("-")}


def licence_of(lineage: Mapping[str, Any]) -> Licence:
    """The licence of a set, the strictest of its parts'; `unknown` only where its source's is.

    What a teacher with unknown terms wrote has terms for which the Hub has no id.
    """
    seeds, *teachers = (part.licence for part in parts(lineage))
    if seeds.id == UNKNOWN:
        return seeds
    terms = (SEVERAL if one in (NOT_STATED, Licence(OTHER)) else one for one in [seeds, *teachers])
    return rolled_up(terms)


def parts(lineage: Mapping[str, Any]) -> list[Part]:
    """The source, then the teachers that answered, each with its licence."""
    answers, teachers = lineage.get("answers"), lineage["teachers"]
    asked = teachers if answers is None else {one["role"] for one in answers}
    owners = {role: facts for role, facts in teachers.items() if role in asked}
    return [
        Part(
            owner,
            str(facts["name"] if owner == SEEDS else facts["model"]),
            Licence.of(facts),
            facts.get("licence_from"),
        )
        for owner, facts in {SEEDS: lineage["seeds"], **owners}.items()
    ]


def remarks(lineage: Mapping[str, Any]) -> Iterator[str]:
    """What the ids of the licences leave open, a sentence each."""
    seeds, *teachers = parts(lineage)
    if seeds.licence.id == UNKNOWN:
        yield f"No licence is stated for {seeds.what}, so none can be stated for the set"
    for model in sorted({one.what for one in teachers if one.licence.id in (OTHER, UNKNOWN)}):
        yield f"What {model} wrote may be used only as the terms of its maker and provider allow"
    if licence_of(lineage) == SEVERAL:
        yield "No licence with an id on the Hub has all these conditions: each of them applies"


def missing(lineage: Mapping[str, Any]) -> str:
    """What keeps the licence of the set from being known, and what gives it; empty if nothing."""
    each = (part for part in parts(lineage) if part.licence == NOT_STATED)
    if not (first := next(each, None)):
        return ""
    flag = "--license" if first.owner == SEEDS else "--teacher-license"
    return f"that of {first.what} is unknown: give {flag} ID"


def with_model_licences(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """The lineage with the licences of the teachers that answered, where a table lists them.

    What is given, or is in a model's file, counts before the table; that it differs is recorded.
    """
    teachers = {
        role: {**facts, **_of_table(facts, _listed(role, lineage["answers"]))}
        for role, facts in lineage["teachers"].items()
    }
    return {**lineage, "teachers": teachers}


def _of_table(facts: Mapping[str, Any], listed: Licence | None) -> dict[str, str]:
    known_from = facts.get("licence_from")
    if listed is None or known_from not in (None, GIVEN):
        return {}
    return licence_facts(facts["licence"] if known_from else None, listed, table_name())


def licences_by_table(lineage: Mapping[str, Any]) -> dict[str, tuple[Licence, Licence]]:
    """For each teacher whose licence nobody gave: that in the lineage, and that in the table."""
    found = {}
    for part in parts(lineage)[1:]:
        given = part.known_from not in (None, table_name())
        if not given and lineage["teachers"][part.owner].get("kind") != "embedded":
            listed = _listed(part.owner, lineage.get("answers", ()))
            found[part.owner] = part.licence, listed or NOT_STATED
    return found


def _listed(role: str, answers: Iterable[Mapping[str, Any]]) -> Licence | None:
    """What the table lists for the models that answered in a role, if it lists each of them."""
    found = {_of_answer(one["model"], one["answered_by"]) for one in answers if one["role"] == role}
    known = [one for one in found if one]
    return rolled_up(known) if known and len(known) == len(found) else None


def _of_answer(asked: str, answered: str | None) -> Licence | None:
    """The licence of the model that answered, by its name or by the one that it was asked by."""
    if answered and is_another(asked, answered):
        return model_licence(answered)
    return model_licence(asked) or (model_licence(answered) if answered else None)
