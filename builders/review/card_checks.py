"""The checks on a changed card: a person's words may change, generated parts may not."""

from __future__ import annotations

import html
import itertools
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from builders.card_metadata import card_data
from builders.drafting.licence import strictness
from builders.release.card import words_on
from builders.release.card_lint import card_problems
from builders.review.findings import Finding, passed, refused
from builders.review.review_limits import ReviewLimits

_FRONT_WORDS = ("pretty_name", "language", "task_categories", "tags")
_OWN_TAGS = {"synthetic", "distilabel", "datasets", "potstill"}
_LICENCE = ("license", "license_name", "license_link", "license_details")
_MOST_YAML_DEPTH = 20
_MOST_YAML_NODES = 10_000

# A fence must open at the start of a line: one in a list item closes where the item ends, and what
# was taken for code here would then be markup.
_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`\n]*$)|~{3,})(.*)")
_INDENTED_FENCE = re.compile(r"[ \t]+(?:`{3}|~{3})")
_TAG = re.compile(r"<(?:[a-z!?]|/[a-z])[^\n]{0,60}", re.IGNORECASE)
_PLAIN_TAG = re.compile(r"</?(?:br|sub|sup|kbd|b|i|em|strong|details|summary) ?/?>", re.IGNORECASE)
# Without backticks: one inside could pair with a later one and hide the text between them.
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)[^\s<>`]*>", re.IGNORECASE)
_INLINE_CODE = re.compile(r"(?<![`\\])(`{1,10})(?!`)[^`\n]{1,500}(?<!`)\1(?!`)")
_DESTINATIONS = (
    re.compile(r"\]\(\s*(<[^<>\n]*>|[^)\n]*)"),
    re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*(\S+)", re.MULTILINE),
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
_SCHEMES = ("http", "https", "mailto")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OVERRIDES = re.compile("[\u202a-\u202e\u2066-\u2069]")
_FRONT = re.compile(r"\A\ufeff?\s*---\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_WORDS = re.compile(r"<!-- words: ([^<>\n]+) -->\n(?:.*?\n)?<!-- /words: \1 -->", re.DOTALL)
_VERSION = re.compile(r"^ {0,3}#{1,6} +v?\d.*$", re.MULTILINE)


def card_findings(
    main: Path, pull: Path, limits: ReviewLimits
) -> tuple[list[Finding], tuple[str, ...]]:
    """The failed checks of a changed card, and the names of the hand-written parts that change."""
    size = pull.stat().st_size
    if size > limits.most_readme_bytes:
        reason = f"README.md has {size:,} bytes; at most {limits.most_readme_bytes:,} are allowed"
        return [refused("card size", reason)], ()
    found = [passed("card size")]
    try:
        text = pull.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return [*found, refused("front matter", "README.md is not UTF-8")], ()
    if odd := _CONTROL.search(text):  # among them a lone \r: a line's end to some, to others none
        reason = f"README.md holds the control character U+{ord(odd[0]):04X}"
        return [*found, refused("markup", reason)], ()
    before = main.read_text(encoding="utf-8")
    if fault := _yaml_fault(text):
        return [*found, refused("front matter", fault)], ()
    known, _ = card_problems(before)
    errors, _ = card_problems(text)
    if news := [error for error in errors if error not in known]:
        return [*found, refused("front matter", news[0])], ()
    found.append(passed("front matter"))
    old, new = (card_data(card) or {} for card in (before, text))
    found += [_licence_finding(old, new), _generated_finding(old, new, before, text)]
    was, now = words_on(before), words_on(text)
    touched = [title for title in sorted(now) if now[title] != was.get(title)]
    said = [(title, now[title]) for title in touched if title not in new]
    said += [(name, str(part)) for name in _FRONT_WORDS for part in _leaves(new.get(name))]
    for title, part in said:
        if fault := markup_fault(part):
            return [*found, refused("markup", f"{title!r} {fault}")], tuple(touched)
    return [*found, passed("markup")], tuple(touched)


def _yaml_fault(text: str) -> str | None:
    """Why the front matter is dangerous or unreadable, found without constructing it."""
    head = _FRONT.match(text)
    if not head:
        return "README.md has no front matter between two lines of ---"
    depth = nodes = 0
    try:
        for event in yaml.parse(head[1], Loader=yaml.SafeLoader):
            nodes += 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                return "the YAML of README.md holds an anchor or an alias; write values in full"
            tag = getattr(event, "tag", None)
            if isinstance(tag, str) and not isinstance(event, yaml.DocumentStartEvent):
                return f"the YAML of README.md holds the tag {tag[:60]!r}; a card may have none"
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_YAML_DEPTH or nodes > _MOST_YAML_NODES:
                return "the YAML of README.md is nested too deep or holds too much"
    except yaml.YAMLError as error:
        return f"the YAML of README.md does not parse ({' '.join(str(error).split())[:120]})"
    except RecursionError:
        return "the YAML of README.md is nested too deep or holds too much"
    return None


def _generated_finding(
    old: Mapping[str, Any], new: Mapping[str, Any], before: str, after: str
) -> Finding:
    for name in sorted(old.keys() | new.keys()):
        if name not in (*_LICENCE, *_FRONT_WORDS) and old.get(name) != new.get(name):
            return refused("card", f"{name!r} in the front matter is generated; do not change it")
    if lost := _OWN_TAGS & set(_leaves(old.get("tags"))) - set(_leaves(new.get("tags"))):
        return refused("card", f"the tags {sorted(lost)} are generated; do not remove them")
    was, now = _generated_lines(before), _generated_lines(after)
    if was != now:
        pairs = itertools.zip_longest(was, now, fillvalue="")
        first = next(one or other for one, other in pairs if one != other)
        reason = f"{first[:80]!r} is generated from the rows; only the text between the marks "
        return refused("card", reason + "of words may change")
    dated = [_VERSION.findall(words_on(card).get("Changes", "")) for card in (before, after)]
    if dated[0] != dated[1]:
        return refused("card", "the versions under 'Changes' are set by releases; keep them")
    return passed("card")


def _generated_lines(text: str) -> list[str]:
    """The lines of a card without its front matter and without a person's words."""
    body = _FRONT.sub("", text)
    return _WORDS.sub(r"<!-- words: \1 -->", body).rstrip().split("\n")


def _licence_finding(old: Mapping[str, Any], new: Mapping[str, Any]) -> Finding:
    if all(old.get(name) == new.get(name) for name in _LICENCE):
        return passed("licence")
    was, now = (", ".join(map(str, _leaves(front.get("license")))) for front in (old, new))
    if strictness(now) < strictness(was):
        return refused("licence", f"the licence becomes laxer: {now!r} instead of {was!r}")
    return refused(
        "licence",
        f"the licence changes from {was!r} to {now!r}; it follows from the seeds and the teachers",
    )


def markup_fault(text: str) -> str | None:
    """What in a person's words is more than harmless Markdown, or None."""
    if odd := _CONTROL.search(text):
        return f"holds the control character U+{ord(odd[0]):04X}"
    if found := _OVERRIDES.search(text):
        return f"holds U+{ord(found[0]):04X}, which reverses the reading order"
    if _unclosed(text):
        return "opens a code fence without closing it"
    prose = _prose(text)
    if "<!--" in prose or "-->" in prose:
        return "holds an HTML comment, which readers do not see"
    if any(not inside and _INDENTED_FENCE.match(line) for line, inside in _lines(text)):
        return "holds an indented code fence; start it at the beginning of the line"
    if tag := _TAG.search(_PLAIN_TAG.sub("", prose)):
        return f"holds HTML ({tag[0][:40]!r}); write Markdown, or put code in backticks"
    for destination in _destinations(prose):
        scheme = _SCHEME.match(destination)
        if scheme and scheme[1] not in _SCHEMES:
            return f"links to {destination[:40]!r}; only https, http and mailto are allowed"
    return None


def _destinations(prose: str) -> Iterator[str]:
    """The targets of links and images, as a browser would resolve them."""
    for pattern in _DESTINATIONS:
        for found in pattern.finditer(prose):
            plain = urllib.parse.unquote(html.unescape(found[1].strip("<> ")))
            yield re.sub(r"[\s\x00-\x20\x7f]", "", plain).lower()


def _prose(text: str) -> str:
    """A text without fenced code, inline code and harmless autolinks."""
    kept = "\n".join("" if inside else line for line, inside in _lines(text))
    return _INLINE_CODE.sub("", _AUTOLINK.sub("", kept))


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a code fence."""
    fence = ""
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        found = _FENCE.fullmatch(line)
        if not fence:
            fence = found[2] if found and not found[1] else ""
            yield line, bool(fence)
            continue
        yield line, True
        if found and found[2].startswith(fence) and not found[3].strip():
            fence = ""


def _unclosed(text: str) -> bool:
    return list(_lines(text + "\n\n"))[-1][1]


def _leaves(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
