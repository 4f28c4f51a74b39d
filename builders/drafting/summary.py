"""A draft as people and programs read it: a table, one JSON object."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from builders.drafting.answer_counts import warnings
from builders.drafting.declared_values import with_keys
from builders.drafting.draft import Draft, by_frequency, missing_rows
from builders.drafting.licence import licence_of, missing
from builders.drafting.spending import cost
from builders.engine.judgements import paragraph
from builders.errors import InputError, number_of
from builders.schema import LEFT_OUT
from builders.sets import Set

_CUT_OFF = "cut off"  # the reason of a drop
_MANY = 0.1  # of what was made


def report(draft: Draft) -> str:
    """The draft's facts, what its run took, and its folder, as one JSON object on one line."""
    missing = {"missing": draft.missing} if draft.missing else {}
    facts = {**draft.facts, **missing, "run": draft.run, "draft": str(draft.folder)}
    return json.dumps({**facts, "new": draft.is_new})


def table(draft: Draft) -> str:
    """Asked, made, kept and dropped with shares, left out, tokens, time, place; 80 columns."""
    same = "" if draft.is_new else " (the same as before; none was added)"
    place = f"{'draft':<28}{draft.folder}{same}"
    return "\n".join([*_counted(draft.facts, draft.set), *_taken(draft.run), place])


def estimate_table(facts: Mapping[str, Any]) -> str:
    """What a whole build will take, and the answers that cannot be parsed, if these are most."""
    usd, stopped = facts["usd"], "stopped" in facts
    kind = "at most " if facts["uncounted"] else ""
    if stopped:  # some tokens are the most that they can be, and some calls are missing
        kind = "about " if facts["uncounted"] else "at least "
    money = kind + _span(usd, ".4g") if usd else "unknown: give --price IN/OUT"
    caution = [f"caution: {facts['caution']}"] if "caution" in facts else []
    lost = []
    if failures := facts["failures"]:
        lost = [
            f"{number_of(failures, 'calls')} of the sample got no answer, and the figures have "
            "only those that did"
        ]
    condition = ", if its answers stay unreadable" if caution else ""
    return "\n".join(
        [
            f"{number_of(facts['rows'], facts['rows_of'])}, from a sample of "
            f"{facts['sampled_rows']} that the ledger keeps{condition}:",
            f"calls   {'at least ' if stopped else ''}{facts['calls']:,}",
            f"tokens  {kind}{_span(facts['tokens'], ',.0f')}",
            f"USD     {money}",
            *(textwrap.fill(one, width=79, break_on_hyphens=False) for one in [*lost, *caution]),
            *(f"\n{paragraph(one)}" for one in facts.get("unreadable", ())),
        ]
    )


def _span(span: Mapping[str, float | None], form: str) -> str:
    """A figure and its bounds; of a sample that was stopped the lowest alone."""
    low, expected, high = (
        None if span[name] is None else f"{span[name]:{form}}"
        for name in ("low", "expected", "high")
    )
    return str(low) if expected is None else f"{expected} ({low} to {high})"


def facts_table(facts: Mapping[str, Any], place: str) -> str:
    """The same of a draft or a release, by what it reports of itself.

    Raises:
        InputError: It reports something else than a draft or a release of potstill does.
    """
    try:
        lines = [*_counted(facts), *_taken(facts.get("run"))]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{place} has counts in another form than a release of potstill; "
            "look at its rows with --config"
        ) from None
    version = facts.get("version")
    return "\n".join([*lines, f"{f'version {version}' if version else 'draft':<28}{place}"])


def _counted(facts: Mapping[str, Any], a_set: Set | None = None) -> list[str]:
    counts, spent, lineage = facts["counts"], facts["spent"], facts["lineage"]
    made = max(counts["made"], 1)
    asked = lineage["settings"]
    lines = [
        f"{'rows: ' + asked['rows_of']:<28}{asked['rows']:>8}",
        f"{'made':<28}{counts['made']:>8}",
        _share("kept", counts["kept"], made),
    ]
    lines += [_share(f"dropped: {name}", rows, made) for name, rows in counts["dropped"].items()]
    left_out = counts.get("left_out", {})
    lines += [f"{LEFT_OUT + name:<28}{rows:>8}" for name, rows in left_out.items()]
    for role, used in spent["roles"].items():
        tokens = used["input_tokens"] + used["output_tokens"]
        uncounted = used.get("uncounted", 0)
        but = f" ({uncounted:,} of them not counted)" if uncounted else ""
        calls = number_of(used["calls"], "calls")
        lines.append(f"{'tokens of the ' + role:<28}{tokens:>8,}  in {calls}{but}")
    lines += [
        textwrap.fill(f"{name}: {_measure(value)}", width=79, subsequent_indent="    ")
        for name, value in _measures(facts).items()
    ]
    lines += [
        textwrap.fill(f"note: {one}", width=79, subsequent_indent="    ", break_on_hyphens=False)
        for one in (
            *filter(None, [with_keys(a_set, missing_rows(facts) or "")]),
            *warnings(lineage.get("answers", ()), lineage["teachers"]),
            *(with_keys(a_set, one) for one in _dropped_notes(facts)),
        )
    ]
    price = f"{cost(spent):>8}  per kept row {cost(spent, '_a_kept_row')}"
    advice = with_keys(a_set, missing(lineage))
    licence = f"{'licence':<28}{licence_of(lineage).id:>8}  {advice}".rstrip()
    lines.append(f"{'cost in USD':<28}{price}")
    return [*lines, textwrap.fill(licence, width=79, subsequent_indent=" " * 38)]


def _dropped_notes(facts: Mapping[str, Any]) -> Iterator[str]:
    """What to do where nothing was kept, and where many answers were cut off."""
    counts, settings = facts["counts"], facts["lineage"]["settings"]
    if not counts["kept"]:
        reasons = " and ".join(map(repr, by_frequency(counts["dropped"])))
        name = facts.get("set", {}).get("name", "NAME")
        yield (
            f"no row was kept: {f'all are dropped as {reasons}' if reasons else 'none was made'}; "
            f"`potstill show {name} --dropped` shows what came; change options, teacher or source"
        )
    cut_off = counts["dropped"].get(_CUT_OFF, 0)
    if cut_off >= _MANY * max(counts["made"], 1) and "max_tokens" in settings:
        now = f", now {settings['max_tokens']:,}," if settings["max_tokens"] else ""
        yield f"{number_of(cut_off, 'answers')} cut off; a larger --max-tokens{now} lets them end"


def _taken(run: Mapping[str, Any] | None) -> list[str]:
    """What making a draft took; nothing is known of it in a release."""
    if run is None:
        return []
    return [
        *_beyond(run),
        f"{'time in seconds':<28}{run['seconds']:>8,.0f}  {number_of(run['calls'], 'calls')}, "
        f"{number_of(run['reused'], 'answers')} from the ledger, {run['failures']} failed",
        *_refused_before(run.get("refused_before", 0)),
    ]


def _beyond(run: Mapping[str, Any]) -> list[str]:
    """What this run may have cost with the requests that gave no answer, if that is more."""
    most, known = run.get("at_most_usd"), run.get("cost_usd") or 0.0
    if most is None or most <= known + 1e-6:
        return []
    return [f"{'cost of this run in USD':<28}at most {most:.6g}, with requests without an answer"]


def _refused_before(calls: int) -> list[str]:
    if not calls:
        return []
    return [f"{'refused before':<28}{calls:>8,}  not sent again without --retry"]


def _measures(facts: Mapping[str, Any]) -> dict[str, object]:
    """The recipe's own measures, and how far each judge can be trusted."""
    judges = facts["lineage"].get("judges", [])
    verdicts = {f"judge {one['judge']}": one["verdict"] for one in judges}
    return {**facts.get("measures", {}), **verdicts}


def _measure(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    return "unknown" if value is None else str(value)


def _share(name: str, rows: int, made: int) -> str:
    return f"{name:<28}{rows:>8}{rows / made:>9.1%}"
