"""What the file of a set declares otherwise than a draft of it was built with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from builders.drafting.choices import declared_alone
from builders.drafting.draft import Draft
from builders.drafting.set_record import LICENSE, LICENSED, declared_of
from builders.front_matter import Place, key_of
from builders.hub_vocabulary import UNKNOWN

_FLAGS = {"prompts": "--license", "seeds": "--license", "teachers": "--teacher-license"}
_HERE = re.compile(r"^(scripted:|embedded:|)(?:\./+)+")
_WHO = ("place", "config", "model")  # with another one of these a licence is of something else


class _Change(NamedTuple):
    """A value that is declared otherwise than a draft was built with, and the two."""

    place: Place
    now: Any
    built: Any

    @property
    def is_licence(self) -> bool:
        """Whether it is the licence of a source or a teacher."""
        return self.place[0] in LICENSED and self.place[-1] == LICENSE


def check_since_build(draft: Draft) -> None:
    """Refuse a draft with another licence than the file of its set declares.

    One that was chosen for the build, where the file declares none, or with more of the source or
    the teachers, is that of the draft.

    Raises:
        InputError: With the line of the licence; or a declared value is wrong.
    """
    if draft.set is None:
        return
    chosen, front, changes = draft.facts["set"]["overridden"], draft.set.front, [*_changes(draft)]
    # One model may have its licence in one role of several: that one is named.
    for one in sorted(changes, key=lambda one: LICENSE not in front.written(one.place)):
        part = str(one.place[0])
        flagged = f"{part}.{LICENSE}" in chosen
        if one.is_licence and part not in chosen and (one.now is not None or not flagged):
            flag = f" without {_FLAGS[part]}" if flagged else ""
            paid = "" if any(not one.is_licence for one in changes) else ", which repeats no call"
            raise front.error(
                front.written(one.place),
                f"{_key(draft, one.place)} is {one.now or 'not given'}, and {draft.folder} was "
                f"built with {one.built or 'none'}; build again{flag}{paid}",
            )


def since_build(draft: Draft, *, newest: bool = True) -> Iterator[str]:
    """Lines about the keys that a draft was built with otherwise than its set's file has them.

    Of a set without a file, they are those that were chosen in the place of a declared one.

    Args:
        draft: The draft.
        newest: Whether it was taken as the newest one, so that an earlier one is worth a hint.

    Raises:
        InputError: As `check_since_build`.
    """
    check_since_build(draft)
    file, own = "the set's file", draft.set is not None and not draft.set.ships
    keys, licences = [*draft.facts["set"]["overridden"]], list[str]()
    if draft.set and draft.set.file:
        file, changes = draft.set.front.shown, [*_changes(draft)]
        chosen = [one for one in changes if own and one.is_licence and one.now is None]
        licences = [str(one.place[0]) for one in chosen]
        keys = [_key(draft, one.place) for one in changes if one not in chosen]
    elif own:
        licences = [key.removesuffix(f".{LICENSE}") for key in keys if key.endswith(f".{LICENSE}")]
        keys = [key for key in keys if not key.endswith(f".{LICENSE}")]
    if keys:
        beside = draft.folder.parent.iterdir()
        earlier = newest and any(one.name < draft.folder.name for one in beside)
        yield (
            f"{draft.folder} was built with other {', '.join(dict.fromkeys(keys))} than {file} "
            "declares; build again without flags for a draft as the file declares it"
            f"{', or release an earlier one with --draft' if earlier else ''}"
        )
    for part in dict.fromkeys(licences):
        whose = "teachers" if part == "teachers" else "source"
        yield (
            f"{draft.folder} was built with another licence of the {whose}; write `{LICENSE}:` "
            f"under `{part}:` into {file}"
        )


def _changes(draft: Draft) -> Iterator[_Change]:
    """What the file of a draft's set declares otherwise; nothing of a set without a file."""
    if draft.set is None or draft.set.file is None or draft.facts["set"]["ad_hoc"]:
        return
    now = _compared(draft, declared_of(draft.set, declared_alone(draft.set)))
    found = [*_unequal(now, _compared(draft, draft.facts["set"]["declaration"]), ())]
    places = {one.place for one in found}
    for one in found:
        if not one.is_licence:
            yield one
        elif places.isdisjoint((*one.place[:-1], who) for who in _WHO):
            in_effect = one.built or _licence_in_effect(draft, one.place)
            if one.now != in_effect:
                yield one._replace(built=in_effect)


def _compared(draft: Draft, declared: Mapping[str, Any]) -> dict[str, Any]:
    """What of a declaration decided on a draft; what was written in several ways, in one."""
    roles = {re.sub(r"_\d+$", "", one["role"]) for one in draft.facts["lineage"].get("answers", ())}
    asked = {
        role: some for role, some in declared["teachers"].items() if role in roles or not roles
    }
    compared: dict[str, Any] = _in_one_way({**declared, "teachers": asked})
    return {**compared, "rows": _rows(draft, declared)}


def _in_one_way(value: Any, key: str = "") -> Any:
    """A value without `./`, a last `/`, the case of a licence and an unknown author."""
    if isinstance(value, list):
        return [_in_one_way(one) for one in value]
    if isinstance(value, Mapping):
        own = "parameters"  # which an endpoint reads as they are
        parts = {
            name: part if name == own else _in_one_way(part, name) for name, part in value.items()
        }
        return {name: part for name, part in parts.items() if part is not None}
    if not isinstance(value, str):
        return value
    if (key, value) == ("written_by", UNKNOWN):
        return None
    if key == LICENSE:
        return value.lower()
    here = _HERE.sub(r"\1", value)
    return here.rstrip("/") if key == "place" else here


def _rows(draft: Draft, declared: Mapping[str, Any]) -> int | None:
    """How many rows a declaration asks for; None where that is all of the draft's source."""
    assert draft.set is not None
    recipe, seeds = draft.set.recipe, draft.facts["lineage"]["seeds"]
    rows: int | None = declared.get("rows")
    own = recipe.seeds.flag not in declared
    if rows is None and not declared.get("keep") and (own or recipe.candidates):
        rows = recipe.rows
    whole = not recipe.candidates and seeds.get("beyond") == 0 and (rows or 0) >= seeds["rows"]
    return None if whole else rows


def _unequal(now: Any, built: Any, place: Place) -> Iterator[_Change]:
    """The smallest parts of two declarations that are not the same."""
    if len(place) == 1 and isinstance(now or built, Mapping):
        now, built = now or {}, built or {}
    if isinstance(now, Mapping) and isinstance(built, Mapping):
        for name in sorted({*now, *built}):
            yield from _unequal(now.get(name), built.get(name), (*place, name))
    elif isinstance(now, list) and isinstance(built, list) and len(now) == len(built):
        for number, (one, other) in enumerate(zip(now, built, strict=True)):
            yield from _unequal(one, other, (*place, number))
    elif now != built:
        yield _Change(place, now, built)


def _licence_in_effect(draft: Draft, place: Place) -> str | None:
    """The licence that a draft has at a place where none was declared; None if it is unknown."""
    facts = draft.facts["lineage"]
    name = "seeds"
    if place[0] == "teachers":
        role, number = place[1], int(place[2])
        facts = facts["teachers"]
        name = str(role) if role in facts else f"{role}_{number + 1}"
    licence = str(facts.get(name, {}).get("licence") or UNKNOWN).lower()
    return None if licence == UNKNOWN else licence


def _key(draft: Draft, place: Place) -> str:
    """The key at a place as the set's file has it: a teacher of all roles is under none."""
    declared = draft.set.declaration.teachers if draft.set else {}
    of_all = place[0] == "teachers" and place[1] not in declared and "" in declared
    return key_of((place[0], *place[2:]) if of_all else place)
