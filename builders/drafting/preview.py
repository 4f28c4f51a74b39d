"""A few rows of a build end to end: what was asked and answered, what was parsed, what was kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builders.drafting.build_spec import BuildSpec
from builders.drafting.contributions import take_in
from builders.drafting.estimate import estimated, is_spare
from builders.drafting.outcomes import (
    CandidateRow,
    call_rows,
    decide,
    drop_surplus,
    json_text,
    outcomes,
)
from builders.drafting.readings import Readings
from builders.drafting.row_view import BLANK, Part, row_view
from builders.drafting.run import answer_calls, open_build
from builders.engine.progress import Progress
from builders.errors import number_of
from builders.schema import Row


def preview(spec: BuildSpec, rows: int, progress: Progress) -> dict[str, Any]:
    """The first rows of a build, and the `estimate` of the whole; JSON values.

    What was made of one prompt, or of the same calls, is together: `rows` has for each such group
    the `outcomes` (`config`, which is `default` or `dropped`, and `row`), the `calls`, judgements
    last, and what these took; `usd` is None where a price is unknown. `spare` are the candidates of
    a pool beyond those asked for. A call has its `cost_usd`, and what was `parsed` of its answer,
    or the `fault`. Where the estimate was `stopped`, the calls of `unfinished` rows come last. No
    draft is written; the answers are in the ledger, so the build does not pay for them again.

    Raises:
        PotstillError: As `build_draft`.
    """
    with open_build(spec) as ledger:
        readings = Readings(spec.home)
        answered = answer_calls(spec, ledger, progress, rows, readings)
        answers = list(answered.calls(ledger))
    settings, candidates = answered.spec.settings, answered.candidates
    decide(spec.recipe, settings, candidates)
    estimate = estimated(answered, answers, progress.failures)
    take_in(candidates, spec.contributed)
    if settings.keep:
        drop_surplus(settings.keep, candidates)
    dropped, row_ids = outcomes(candidates)
    calls = {
        row["id"]: {**_decoded(row), "cost_usd": cost_usd}
        for row, (_, _, cost_usd) in zip(
            call_rows(answers, row_ids.of, readings.of), answers, strict=True
        )
    }
    groups: list[dict[str, Any]] = [
        {
            "outcomes": group.outcomes,
            **({"spare": group.spare} if group.spare else {}),
            **_took([calls.pop(key) for key in group.keys if key in calls]),
        }
        for group in _groups(candidates, dropped)
    ]
    if answered.stopped_for and calls:
        groups.append({"outcomes": [], "unfinished": True, **_took([*calls.values()])})
    return {
        "rows_of": spec.recipe.rows_of,
        "asked": answered.asked,
        "rows": groups,
        "estimate": estimate,
    }


def _decoded(row: Row) -> Row:
    names = ("asked", "sampling", "tool_calls", "parsed")
    return row | {name: json.loads(row[name]) for name in names if row[name] is not None}


@dataclass
class _Group:
    """The prompts and the ids of calls that some candidates share, and what became of these."""

    keys: dict[str, None] = field(default_factory=dict)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    spare: int = 0

    def take(self, other: _Group) -> None:
        """Add the candidates of another group."""
        self.keys |= other.keys
        self.outcomes += other.outcomes
        self.spare += other.spare


def _groups(candidates: Iterable[CandidateRow], dropped: Iterable[Row]) -> Iterable[_Group]:
    """The candidates by prompt or call, in their order, without the rows that people gave."""
    groups: dict[int, _Group] = {}
    of_key: dict[str, int] = {}
    drops = iter(dropped)
    for number, candidate in enumerate(candidates):
        outcome = {"config": "default", "row": candidate.row}
        if candidate.row is None:
            drop = next(drops)
            evidence = json.loads(drop["evidence"])
            outcome = {"config": "dropped", "row": drop | {"evidence": evidence}}
        if not candidate.raw:
            continue
        prompt = candidate.raw.get("prompt")
        keys = [*([json_text(prompt)] if prompt else []), *candidate.calls()]
        spare = is_spare(candidate)
        own = _Group(dict.fromkeys(keys), [] if spare else [outcome], int(spare))
        first, *others = sorted({of_key[key] for key in keys if key in of_key}) or [number]
        group = groups.setdefault(first, _Group())
        for one in (*map(groups.pop, others), own):
            group.take(one)
        of_key |= dict.fromkeys(group.keys, first)
    return groups.values()


def _took(calls: list[Row]) -> dict[str, Any]:
    """Calls, judgements last, with what they took; tokens are those that are counted."""
    calls = sorted(calls, key=lambda call: str(call["role"]).startswith("judge"))
    costs = [call["cost_usd"] for call in calls]
    return {
        "calls": calls,
        "input_tokens": sum(call["input_tokens"] or 0 for call in calls),
        "output_tokens": sum(call["output_tokens"] or 0 for call in calls),
        "usd": None if None in costs else round(sum(costs), 9),
    }


def _tokens(calls: Sequence[Row], name: str) -> str:
    """How many tokens some calls took; those that are not counted are unknown."""
    counted = [call[name] for call in calls if call[name] is not None]
    if calls and not counted:
        return "?"
    return f"{'at least ' if len(counted) < len(calls) else ''}{sum(counted):,}"


def group_view(place: int, facts: Mapping[str, Any]) -> list[Part]:
    """The parts of one group: what it took, what was asked and answered, and its outcomes."""
    group = facts["rows"][place]
    tokens = " + ".join(_tokens(group["calls"], f"{name}put_tokens") for name in ("in", "out"))
    exact = all(None not in (one["input_tokens"], one["output_tokens"]) for one in group["calls"])
    most = "" if exact else "at most "
    usd = "? USD" if group["usd"] is None else f"{most}{group['usd']:.6g} USD"
    took = f"{number_of(len(group['calls']), 'calls')}, {tokens} tokens, {usd}"
    of = "not finished" if "unfinished" in group else f"{place + 1} of {len(facts['rows'])}"
    parts = [Part(of, took, style="bold")]
    views = [row_view(call, "calls") for call in group["calls"]]
    views += [row_view(one["row"], one["config"]) for one in group["outcomes"]]
    if spare := group.get("spare"):
        views.append([Part(f"{spare} more, beyond those asked for", style="bold")])
    return [*parts, *(part for view in views for part in (BLANK, *view))]
