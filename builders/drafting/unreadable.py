"""Answers that cannot be parsed: which option helps, and what the next build knows of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders.drafting.files import canonical_json
from builders.drafting.lineage import lineage
from builders.drafting.notes import read_notes
from builders.engine.calls import NO_END
from builders.engine.judgements import Judgements
from builders.engine.pool import TeacherPool
from builders.errors import InputError
from builders.recipe import Recipe, Settings, short_hash

NOTE = "unreadable"  # among the notes beside a ledger


def help_against(recipe: Recipe, settings: Settings) -> Callable[[str], str]:
    """What to do about a fault of a judge's answers: an option that helps, or another teacher."""

    def help_of(fault: str) -> str:
        if fault == NO_END:
            return "--trust-missing-end may help, if the endpoint never reports an end"
        for known in (fault, ""):
            for option in recipe.options:
                value, now = option.helps.get(known), settings.options[option.name]
                larger = isinstance(value, int | float) and now >= value
                if value is not None and value != now and not larger:
                    return f"--{option.name.replace('_', '-')} {value} may help"
            if any(fault in option.helps for option in recipe.options):
                break  # the option is chosen already
        return "another judge may help: --teacher judge=..."

    return help_of


def build_digest(recipe: Recipe, settings: Settings, teachers: TeacherPool) -> str:
    """What decides how judges answer and how that is parsed: recipe, options, seed, teachers."""
    facts = lineage(recipe, replace(settings, rows=0, keep=None), {}, {})
    return short_hash(canonical_json([facts, teachers.recorded()]))


def read_before(home: Path) -> dict[str, dict[str, Any]]:
    """What earlier builds noted about unreadable answers, by their digest.

    `why` such a build stopped, if it did, and the `calls` whose answers are of no use.
    """
    try:
        known: dict[str, Any] = read_notes(home).get(NOTE, {})
    except InputError:  # no build, or torn notes: then the first answers show it again
        return {}
    return {
        digest: {"why": noted, "calls": []} if isinstance(noted, str) else noted
        for digest, noted in known.items()
    }


def note_unreadable(
    judgements: Judgements, digest: str, notes: dict[str, Any], *, accept: bool
) -> None:
    """Note for the next build which answers are of no use, and that the user does not accept it."""
    read = {call for step in judgements.steps.values() for call in step.calls}
    before = notes[NOTE].pop(digest, {"why": None, "calls": []})
    readable = any(step.readable for step in judgements.steps.values())
    why = judgements.why_hopeless() or (None if readable else before["why"])
    calls = sorted({*before["calls"]} - read | judgements.lost)
    why = None if accept else why
    if why or calls:
        notes[NOTE][digest] = {"why": why, "calls": calls}
