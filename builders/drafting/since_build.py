"""What the file of a set declares otherwise than a draft of it was built with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from builders.drafting.choices import declared_alone
from builders.drafting.draft import Draft
from builders.drafting.set_record import LICENSE, declared_of, differing
from builders.front_matter import Place

_FLAGS = {"prompts": "--license", "seeds": "--license", "teachers": "--teacher-license"}


def check_since_build(draft: Draft) -> None:
    """Refuse a draft with another licence than the file of its set declares.

    One that was chosen for the build, where the file declares none, is that of the draft.

    Raises:
        InputError: With the line of the licence; or a declared value is wrong.
    """
    now = _declared_now(draft)
    built, chosen = draft.facts["set"]["declaration"], draft.facts["set"]["overridden"]
    for key in differing(built, now):
        part = key.removesuffix(f".{LICENSE}")
        if part == key or draft.set is None:
            continue
        found = next(_other_licences(now.get(part, {}), built.get(part, {}), (part,)))
        place, licence, before = found
        if licence is not None or key not in chosen:
            flag = f" without {_FLAGS[part]}" if key in chosen else ""
            raise draft.set.front.error(
                place,
                f"{key} is {licence or 'not given'}, and {draft.folder} was built with "
                f"{before or 'none'}; build again{flag}, which repeats no call",
            )


def since_build(draft: Draft) -> Iterator[str]:
    """Lines about the keys that a draft was built with otherwise than its set's file has them.

    Of a set without a file, they are those that were chosen in the place of a declared one.

    Raises:
        InputError: As `check_since_build`.
    """
    check_since_build(draft)
    record, file = draft.facts["set"], "the set's file"
    keys = record["overridden"]
    if draft.set and draft.set.file:
        file = draft.set.front.shown
        keys = [*differing(record["declaration"], _declared_now(draft))]
    own = draft.set is not None and not draft.set.ships
    licences = [key for key in keys if own and key.endswith(f".{LICENSE}")]
    if other := [key for key in keys if key not in licences]:
        yield (
            f"{draft.folder} was built with other {', '.join(other)} than {file} declares; build "
            "again without flags for a draft as the file declares it, or release an earlier one "
            "with --draft"
        )
    for part in (key.removesuffix(f".{LICENSE}") for key in licences):
        whose = "teachers" if part == "teachers" else "source"
        yield (
            f"{draft.folder} was built with another licence of the {whose}; write `{LICENSE}:` "
            f"under `{part}:` into {file}"
        )


def _declared_now(draft: Draft) -> Mapping[str, Any]:
    """What the file of a draft's set declares; without one, what the draft records."""
    if draft.set is None or draft.set.file is None or draft.facts["set"]["ad_hoc"]:
        declared: Mapping[str, Any] = draft.facts["set"]["declaration"]
        return declared
    return declared_of(draft.set, declared_alone(draft.set))


def _other_licences(now: Any, before: Any, place: Place) -> Iterator[tuple[Place, Any, Any]]:
    """The place of each declared licence that is another one than before, and the two."""
    if isinstance(now, list):
        for number, (one, other) in enumerate(zip(now, before, strict=True)):
            yield from _other_licences(one, other, (*place, number))
    elif isinstance(now, Mapping):
        if now.get(LICENSE) != before.get(LICENSE):
            yield (*place, LICENSE), now.get(LICENSE), before.get(LICENSE)
        for name in sorted(now.keys() - {LICENSE}):
            yield from _other_licences(now[name], before[name], (*place, name))
