"""The review of a pull request: what it changes, which checks fail, the verdict and its comment.

It is a pure function of two folders. Nothing in the pull request is executed, and its files are
read in the sandbox only.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from builders.drafting.contributions import Action
from builders.errors import number_of
from builders.gates.contamination import evaluation_items
from builders.gates.secrets import secret
from builders.release.card import cell
from builders.review.card_checks import card_findings
from builders.review.changed_files import README, Change, changes, file_findings
from builders.review.changed_rows import Difference, Edit, difference
from builders.review.findings import MARK, Finding, passed, refused
from builders.review.review_limits import ReviewLimits
from builders.review.row_checks import (
    bulk_findings,
    column_fault,
    column_words,
    declared_schema,
    row_findings,
)
from builders.sandbox.file_reader import ReadResult, read_safely
from builders.schema import Row, Schema

__all__ = ["Finding", "Review", "ReviewLimits", "comment", "facts", "review"]

_MOST_COMMENT_BYTES = 8000
_MOST_SAMPLES = 10
_MOST_FILES_SHOWN = 20
_SHOWN = 140


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a pull request changes and which checks it passes.

    Attributes:
        files: The files that differ.
        words: The hand-written parts of the card that change.
        rows: Rows in main (`main`), and `added`, `changed`, `removed`.
        columns: Changed rows by column.
        findings: One per check that was made.
        edits: The rows that change, up to the limit of each kind.
    """

    files: tuple[Change, ...] = ()
    words: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def verdict(self) -> Literal["accept", "refuse", "nothing"]:
        """`refuse` if any check fails, `nothing` if nothing changes, else `accept`."""
        if not all(finding.passed for finding in self.findings):
            return "refuse"
        return "accept" if self.files else "nothing"

    @property
    def accepted(self) -> list[tuple[Action, Row]]:
        """The rows that may be merged, each with its action; none if the review refuses."""
        if self.verdict != "accept":
            return []
        return [(edit.action, edit.row) for edit in self.edits]

    @property
    def samples(self) -> list[Edit]:
        """Up to ten of the rows that change, some of each kind."""
        kinds = [
            [edit for edit in self.edits if edit.action == action]
            for action in ("changed", "added", "removed")
        ]
        longest = max(map(len, kinds), default=0)
        mixed = [kind[place] for place in range(longest) for kind in kinds if place < len(kind)]
        return mixed[:_MOST_SAMPLES]


def review(
    main: Path,
    pull: Path,
    *,
    evaluation: Sequence[Path] = (),
    limits: ReviewLimits | None = None,
    schema: Schema | None = None,
) -> Review:
    """Review the tree of a pull request against the set's main.

    Args:
        main: The folder of the set as it is.
        pull: The folder of the set as the pull request would leave it.
        evaluation: Files of evaluation items, which the set must not contain.
        limits: What a pull request may bring and cost.
        schema: The schema of `default`; None takes it from main's own file.

    Raises:
        InputError: An evaluation file cannot be read.
    """
    limits = limits or ReviewLimits()
    items = evaluation_items(evaluation) if evaluation else None
    found = changes(main, pull)
    if not found:
        return Review()
    findings = file_findings(pull, found, main, limits)
    if not all(one.passed for one in findings if one.check != "files"):
        return Review(files=tuple(found), findings=tuple(findings))
    words: tuple[str, ...] = ()
    if any(one.kind == "card" and one.action == "changed" for one in found):
        of_card, words = card_findings(main / README, pull / README, limits)
        findings += [*of_card, *_secret_words(pull / README, words)]
    with tempfile.TemporaryDirectory(prefix="potstill-") as made:
        differs, of_rows = _rows(main, pull, found, Path(made), limits, schema, items)
    return Review(
        files=tuple(found),
        words=words,
        rows={name: differs.counts[name] for name in ("main", "added", "changed", "removed")},
        columns=dict(sorted(differs.columns.items())),
        findings=(*findings, *of_rows),
        edits=tuple(differs.edits),
    )


def _secret_words(readme: Path, words: Sequence[str]) -> list[Finding]:
    if not words:
        return []
    kind = secret(readme.read_text(encoding="utf-8"))
    return [refused("secrets", f"README.md holds what looks like a key ({kind})")] if kind else []


def _rows(
    main: Path,
    pull: Path,
    found: Sequence[Change],
    made: Path,
    limits: ReviewLimits,
    schema: Schema | None,
    items: Any,
) -> tuple[Difference, list[Finding]]:
    """What changes in the rows, or only the files that cannot be read or have other columns."""
    touched = {one.path: one for one in found if one.kind == "rows" and one.action != "added"}
    given = [one.path for one in found if one.kind == "given" and one.action == "added"]
    if not touched and not given:
        return Difference(), []
    old: dict[str, ReadResult] = {}
    new: dict[str, ReadResult] = {}
    number = 0

    def read(path: Path) -> ReadResult:
        nonlocal number
        number += 1
        return read_safely(path, made / str(number), limits.of_a_file)

    gone = []
    faults: list[str] = []
    for file in sorted((main / "data" / "default").glob("*.parquet")):
        path = file.relative_to(main).as_posix()
        old[path] = new[path] = read(file)
        if path in touched and touched[path].action == "changed":
            new[path] = read(pull / path)
        elif path in touched:
            gone.append(path)
            new.pop(path)
    fresh = {path: read(pull / path) for path in given}
    for path, result in [*old.items(), *new.items(), *fresh.items()]:
        if result.kind and result.kind != "types":
            faults.append(f"{path!a} {result.reason}")
    if faults:
        return Difference(), [refused("reading", faults[0], list(dict.fromkeys(faults)))]
    if (rows := sum(result.rows for result in fresh.values())) > limits.most_rows:
        reason = f"{number_of(rows, 'contributed rows')}; at most {limits.most_rows:,} allowed"
        return Difference(), [passed("reading"), refused("bulk", reason)]
    first = next(iter(old.values()), None)
    wanted = dict(first.columns or {}) if first else {}
    if schema is None:
        schema = declared_schema(wanted, [name for one in old.values() for name in one.nulls])
    else:
        wanted = {**wanted, **column_words(schema)}
    for path, result in [*new.items(), *fresh.items()]:
        fault = f"{path!a} {result.reason}" if result.kind else None
        if fault := fault or column_fault(path, result, wanted):
            faults.append(fault)
    if faults:
        return Difference(), [passed("reading"), refused("columns", faults[0], faults)]
    floats = [column.name for column in schema.columns if column.type == "float"]
    differs = difference(old, new, fresh, floats, limits)
    differs.emptied += gone
    extra = [name for name in wanted if name not in {one.name for one in schema.columns}]
    return differs, [
        passed("reading"),
        *bulk_findings(differs, limits),
        *row_findings(differs, schema, extra, items),
    ]


def facts(review: Review) -> dict[str, Any]:
    """A review as JSON values, for programs."""
    return {
        "verdict": review.verdict,
        "files": [asdict(change) for change in review.files],
        "words": list(review.words),
        "rows": dict(review.rows),
        "columns": dict(review.columns),
        "findings": [asdict(finding) for finding in review.findings],
    }


def comment(review: Review, *, repository: str, number: int, sha: str) -> str:
    """The review as one Markdown comment of at most 8 kB; what strangers wrote is inert text."""
    for samples in range(_MOST_SAMPLES, -1, -1):
        text = "\n".join(_comment_lines(review, repository, number, sha, samples)) + "\n"
        if len(text.encode()) <= _MOST_COMMENT_BYTES:
            break
    return text


def _comment_lines(
    review: Review, repository: str, number: int, sha: str, samples: int
) -> list[str]:
    failed = [finding for finding in review.findings if not finding.passed]
    checks = number_of(len(review.findings), "checks")
    verdict = {
        "accept": "may be merged: every check passes",
        "refuse": f"may not be merged: {len(failed)} of {checks} failed",
        "nothing": "changes nothing",
    }[review.verdict]
    lines = [
        MARK,
        f"**Pull request {number} on {inert(repository)} {verdict}.**",
        "",
        f"Reviewed at `{re.sub('[^0-9a-zA-Z]', '', sha)[:64]}`; a later commit needs a new review.",
    ]
    if review.files:
        lines += ["", "| what changes | |", "|---|---|", *_change_lines(review)]
    if review.findings:
        lines += ["", "| check | | why |", "|---|---|---|"]
        lines += [f"| {finding.check} | **not passed** | {_why(finding)} |" for finding in failed]
        good = [finding for finding in review.findings if finding.passed]
        lines += [f"| {one.check} | passed | {inert(one.reason)} |" for one in good]
    if shown := review.samples[:samples]:
        lines += ["", "| row | | prompt | answer |", "|---|---|---|---|"]
        lines += [_sample_line(edit) for edit in shown]
    return lines


def _change_lines(review: Review) -> list[str]:
    lines = [
        f"| rows {action} | {number:,} |"
        for action in ("added", "changed", "removed")
        if (number := review.rows.get(action))
    ]
    lines += [f"| rows changed in {inert(name)} | {n:,} |" for name, n in review.columns.items()]
    lines += [f"| words of the card | {inert(name)} |" for name in review.words]
    shown = review.files[:_MOST_FILES_SHOWN]
    lines += [f"| file {one.action} | {inert(ascii(one.path)[1:-1], 120)} |" for one in shown]
    if len(review.files) > len(shown):
        lines.append(f"| more files | {len(review.files) - len(shown):,} |")
    return lines


def _why(finding: Finding) -> str:
    more = f" ({finding.count:,} in all)" if finding.count > 1 else ""
    return inert(finding.reason, 300) + more


def _sample_line(edit: Edit) -> str:
    asked = _text(edit.row.get("prompt") or edit.row.get("messages") or edit.row.get("text"))
    answers = [_text(edit.row[name]) for name in ("completion", "chosen") if edit.row.get(name)]
    if edit.action == "changed" and edit.before:
        names = [name for name in edit.columns if name != "prompt"]
        answers = [
            f"{name}: {_around(_text(edit.before.get(name)), _text(edit.row.get(name)))}"
            for name in names[:2]
        ] or answers
    return (
        f"| {inert(edit.row.get('id'), 20)} | {edit.action} | {inert(asked, _SHOWN)} "
        f"| {inert(' / '.join(answers), _SHOWN * 2)} |"
    )


def _around(before: str, after: str) -> str:
    """Both texts, from a little before the first difference."""
    at = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, at - 20)
    return f"{before[start : start + 60]} -> {after[start : start + 60]}"


def _text(value: object) -> str:
    if isinstance(value, list):
        turns = (turn.get("content") if isinstance(turn, dict) else turn for turn in value)
        value = " ".join(map(str, turns))
    text = "" if value is None else str(value)
    return "(not shown: it holds what looks like a key)" if secret(text) else text


def inert(value: object, most: int = 200) -> str:
    """A stranger's text for a table cell, without markup, links and mentions."""
    text = "".join(
        character
        if character.isprintable() or character in "\n\t "
        else "\N{REPLACEMENT CHARACTER}"
        for character in str(value)[: 4 * most]
    )
    plain = cell(text[:most] + ("..." if len(text) > most else ""))
    plain = plain.replace("&", "&amp;").replace("@", "@\u2060")
    return re.sub(r"(?i)\bwww\.", "www\u2060.", plain)
