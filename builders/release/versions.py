"""The rule for version numbers, and the list of a set's versions on its card.

Major: a config or a column was removed, a column was added, or its type or nullability changed.
Minor: rows were added, removed or changed in any config, or a config was added. Patch: only words
changed, on the card or in the meaning of a column. The rule holds before 1.0.0 too, since programs
read the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from builders.errors import InputError, number_of
from builders.release.card import cell
from builders.release.diff import Diff
from builders.release.snapshot import VERSION

Part = Literal["major", "minor", "patch"]

OPENS, CLOSES = "<!-- versions -->", "<!-- /versions -->"
_PARTS: tuple[Part, ...] = ("patch", "minor", "major")
_LISTED = 30  # versions that a card lists one by one
_EVIDENCE = 3  # ids or columns that a refusal lists
_MOST_CELL = 400


def demanded(found: Diff) -> Part | None:
    """The part of the version number that must rise at least; None if nothing changed."""
    if found.configs_removed or any(config.columns for config in found.configs.values()):
        return "major"
    if found.configs_added or any(config.rows for config in found.configs.values()):
        return "minor"
    return None if found.same else "patch"


def check_version(old: str, new: str, found: Diff, place: str = "its Changes") -> None:
    """Refuse a version number that is too small for the diff from `old`.

    `place` is where the number is set.

    Raises:
        InputError: Naming the rows, columns or words that require a larger number.
    """
    before, after = version_key(old), version_key(new)
    if after < before:
        raise InputError(
            f"version {new} is below {old}, which is released; set a higher one in {place}"
        )
    needed = demanded(found)
    risen = next(
        (part for part, a, b in zip(_PARTS[::-1], before, after, strict=True) if a != b), None
    )
    if needed is None or (risen and _PARTS.index(risen) >= _PARTS.index(needed)):
        return
    least = next_version(old, needed)
    problem = (
        f"version {new} is already released" if before == after else f"version {new} is too small"
    )
    raise InputError(
        f"{problem}: since {old} {_evidence(found, needed)}; that is a {needed} change; "
        f"set v{least} or higher in {place}"
    )


def next_version(old: str, part: Part) -> str:
    """The lowest version above `old` in which a part has risen."""
    major, minor, patch = version_key(old)
    if part == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if part == "minor" else f"{major}.{minor}.{patch + 1}"


def version_key(version: str) -> tuple[int, int, int]:
    """A version as three numbers, to compare versions with.

    Raises:
        InputError: The text is not a version.
    """
    found = VERSION.fullmatch(version)
    if not found:
        raise InputError(f"{version!r} is not a version; expected three numbers such as '1.0.0'")
    major, minor, patch = (int(number) for number in found.groups())
    return major, minor, patch


def _evidence(found: Diff, part: Part) -> str:
    said = {"major": _columns, "minor": _rows, "patch": _words}[part](found)
    return " and ".join(list(said)[:_EVIDENCE])


def _columns(found: Diff) -> Iterator[str]:
    for name in found.configs_removed:
        yield f"config {name!r} was removed"
    for name, config in found.configs.items():
        for column in config.columns_removed:
            yield f"column {column!r} of {name!r} was removed"
        for column in config.columns_added:
            yield f"column {column!r} of {name!r} was added"
        for column, (was, now) in config.columns_retyped.items():
            yield f"column {column!r} of {name!r} changed from {was!r} to {now!r}"


def _rows(found: Diff) -> Iterator[str]:
    for name, rows in found.configs_added.items():
        yield f"config {name!r} was added with {number_of(rows, 'rows')}"
    for name, config in found.configs.items():
        for way in ("removed", "changed", "added"):
            if ids := getattr(config, f"ids_{way}"):
                number = getattr(config, f"rows_{way}")
                shown = ", ".join(ids[:_EVIDENCE]) + (", ..." if number > _EVIDENCE else "")
                verb = "was" if number == 1 else "were"
                yield f"{number_of(number, 'rows')} of {name!r} {verb} {way} ({shown})"


def _words(found: Diff) -> Iterator[str]:
    if found.words_changed:
        yield f"the words under {', '.join(map(repr, found.words_changed[:_EVIDENCE]))} changed"
    for name, config in found.configs.items():
        if columns := list(config.columns_reworded)[:_EVIDENCE]:
            yield f"the meaning of {', '.join(map(repr, columns))} of {name!r} is worded otherwise"


# --- on the card


def versions_section(
    history: Sequence[Mapping[str, Any]],
    advisories: Mapping[str, Mapping[str, str]],
    repository: str | None,
) -> str:
    """The card's list of versions between its marks, newest first, without a final line break.

    Older versions share one row; a withdrawn one always has a row of its own.
    """
    shown = [one for n, one in enumerate(history) if n < _LISTED or one["version"] in advisories]
    folded = [one["version"] for one in history if one not in shown]
    head = ["| version | what changed |", "|---|---|"]
    if repository:
        head = ["| version | what changed | load it |", "|---|---|---|"]
    lines = [OPENS, "## Versions", "", *head]
    for one in shown:
        version, changes = one["version"], cell(one["changes"], most=_MOST_CELL)
        name = f"`v{version}`"
        if said := advisories.get(version):
            name += ", withdrawn"
            why, use = cell(said["why"], most=_MOST_CELL), cell(said["use"])
            changes = f"**Withdrawn: {why}** Use {use}. ({changes})"
        lines.append(f"| {name} | {changes} |{_snippet(repository, version)}")
    if folded:
        span = f"`v{folded[-1]}` to `v{folded[0]}`" if len(folded) > 1 else f"`v{folded[0]}`"
        empty = "  |" if repository else ""
        lines.append(f"| {span} | {len(folded):,} earlier, each at the tag of its name |{empty}")
    return "\n".join([*lines, "", CLOSES])


def _snippet(repository: str | None, version: str) -> str:
    if repository is None:
        return ""
    return f' `load_dataset("{repository}", revision="v{version}", split="train")` |'


def with_versions(card: str, section: str) -> str:
    """A card with its list of versions replaced.

    Raises:
        InputError: The card has no such list, or more than one.
    """
    pattern = re.escape(OPENS) + ".*?" + re.escape(CLOSES)
    made, times = re.subn(pattern, lambda _: section, card, flags=re.DOTALL)
    if times != 1:
        raise InputError(
            f"the card has {times} lists of versions between {OPENS} and {CLOSES}; expected one; "
            "release the set again"
        )
    return made
