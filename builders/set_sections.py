"""The sections of a set's file, which are on its card, and the version under Changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.errors import InputError, shortened
from builders.front_matter import MARKS

SECTIONS = ("What it is", "Use", "Limits", "Changes")  # that every set has
_OWN_SECTIONS = ("Load it", "Configs", "How it was made", "Licence", "Versions")  # of the card
_NUMBER = "(0|[1-9][0-9]{0,8})"
_VERSION = re.compile(rf"### +v({_NUMBER}\.{_NUMBER}\.{_NUMBER})[:,.;]?(?!\S)")
_LIKE_A_VERSION = re.compile(
    r"#{1,6} *\[?v(?:ersion)? ?\d|### *\[?\d|#{1,6} *\[?\d+\.\d+\.\d", re.IGNORECASE
)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_COMMENT = re.compile(r" {0,3}<!--")  # one that hides whole lines
_HEADING = re.compile(r"## +(.+?)(?: +#+)? *")


def read_sections(body: str, first: int, shown: str) -> tuple[dict[str, str], str, int]:
    """The texts under each `## Title`, the version, and its line; not in code or comments.

    Args:
        body: The text after the front matter.
        first: The number of its first line.
        shown: The name of the file in errors.

    Raises:
        InputError: A section or the version is missing, or one is not fit for a card.
    """
    texts, title, version, version_line = dict[str, list[str]](), "", "", 0
    places = dict[str, str]()
    for number, line, hidden in _lines(body, first, shown):
        where = f"{shown}, line {number}"
        heading = None if hidden else _HEADING.fullmatch(line)
        if mark := MARKS.search(line):
            raise InputError(
                f"{where}: {mark[0]!r} is reserved for the marks of the card; write it differently"
            )
        if title == "Changes" and not (version or hidden) and _LIKE_A_VERSION.match(line):
            version, version_line = _version_of(line), number
            if not version:
                raise InputError(
                    f"{where}: no version under Changes: {shortened(line)} is not three numbers as "
                    "in '### v0.1.0'; correct it"
                )
        if heading:
            title = heading[1].strip()
            if title in texts or title in _OWN_SECTIONS:
                why = "comes twice" if title in texts else "is a section that the card has itself"
                raise InputError(f"{where}: '## {title}' {why}; rename it")
            texts[title], places[title] = [], where
        elif title:
            texts[title].append(line)
        elif line.strip():
            raise InputError(
                f"{where}: {shortened(line)} is under no heading; the card has a "
                f"place for each '## Section', such as '## {SECTIONS[0]}'"
            )
    sections = {title: "\n".join(some).strip("\n") for title, some in texts.items()}
    if missing := [title for title in SECTIONS if not sections.get(title, "").strip()]:
        where = places.get(missing[0], shown)
        raise InputError(f"{where}: no words under '## {missing[0]}'; write them")
    if not version:
        where = places["Changes"]
        raise InputError(f"{where}: no version under Changes; add a line such as '### v0.1.0'")
    return sections, version, version_line


def _version_of(line: str) -> str:
    """The version that a line sets; empty where it sets none."""
    found = _VERSION.match(line)
    return found[1] if found else ""


def version_in(changes: str) -> str:
    """The first version in the text of Changes; empty without one."""
    shown = (line for _, line, hidden in _lines(changes, 1, "Changes") if not hidden)
    return next(filter(None, map(_version_of, shown)), "")


def _lines(body: str, first: int, shown: str) -> Iterator[tuple[int, str, bool]]:
    """The lines with their numbers, and whether each is in a code block or a comment."""
    fence, opened, fenced = "", 0, 0
    for number, line in enumerate(body.split("\n"), first):
        found = _FENCE.match(line)
        if fence:
            closes = found and found[1].startswith(fence) and not line.strip().strip(fence[0])
            yield number, line, True
            fence = "" if closes else fence
        elif opened or _COMMENT.match(line):
            yield number, line, True
            opened = 0 if "-->" in line else opened or number
        else:
            fence, fenced = found[1] if found else "", number
            yield number, line, bool(fence)
    if opened:
        raise InputError(f"{shown}, line {opened}: the comment has no end; add -->")
    if fence:
        raise InputError(f"{shown}, line {fenced}: the code block has no end; add {fence}")
