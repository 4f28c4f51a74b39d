"""A draft as people and programs read it: a table, samples, one JSON object."""

from __future__ import annotations

import itertools
import json
import textwrap

from builders.drafting.answer_counts import warnings
from builders.drafting.draft import Draft
from builders.drafting.spending import cost
from builders.errors import printable
from builders.schema import LEFT_OUT, Row


def report(draft: Draft) -> str:
    """The draft's facts, what its run took, and its folder, as one JSON object on one line."""
    facts = {**draft.facts, "run": draft.run, "draft": str(draft.folder)}
    return json.dumps(facts)


def table(draft: Draft) -> str:
    """Made, kept and dropped with shares, left out, tokens, time and place; 80 columns."""
    counts, run, spent = draft.counts, draft.run, draft.facts["spent"]
    made = max(counts["made"], 1)
    lines = [f"{'made':<28}{counts['made']:>8}", _share("kept", counts["kept"], made)]
    lines += [_share(f"dropped: {name}", rows, made) for name, rows in counts["dropped"].items()]
    left_out = counts.get("left_out", {})
    lines += [f"{LEFT_OUT + name:<28}{rows:>8}" for name, rows in left_out.items()]
    for role, used in spent["roles"].items():
        tokens = used["input_tokens"] + used["output_tokens"]
        uncounted = used.get("uncounted", 0)
        but = f" ({uncounted:,} of them not counted)" if uncounted else ""
        lines.append(f"{'tokens of the ' + role:<28}{tokens:>8,}  in {used['calls']:,} calls{but}")
    lines += [
        textwrap.fill(f"{name}: {_measure(value)}", width=79, subsequent_indent="    ")
        for name, value in _measures(draft).items()
    ]
    lineage = draft.facts["lineage"]
    lines += [
        textwrap.fill(f"note: {one}", width=79, subsequent_indent="    ", break_on_hyphens=False)
        for one in warnings(lineage.get("answers", ()), lineage["teachers"])
    ]
    lines += [
        f"{'cost in USD':<28}{cost(spent):>8}  per kept row {cost(spent, '_a_kept_row')}",
        f"{'time in seconds':<28}{run['seconds']:>8,.0f}  {run['calls']:,} calls, "
        f"{run['reused']:,} answers from the ledger, {run['failures']} failed",
        *_refused_before(run.get("refused_before", 0)),
        f"{'draft':<28}{draft.folder}",
    ]
    return "\n".join(lines)


def _refused_before(calls: int) -> list[str]:
    if not calls:
        return []
    return [f"{'refused before':<28}{calls:>8,}  calls, not sent again without --retry-refused"]


def _measures(draft: Draft) -> dict[str, object]:
    """The recipe's own measures, and how far each judge can be trusted."""
    judges = draft.facts["lineage"].get("judges", [])
    verdicts = {f"judge {one['judge']}": one["verdict"] for one in judges}
    return {**draft.facts.get("measures", {}), **verdicts}


def _measure(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    return "unknown" if value is None else str(value)


def _share(name: str, rows: int, made: int) -> str:
    return f"{name:<28}{rows:>8}{rows / made:>9.1%}"


def samples(draft: Draft, most: int) -> str:
    """The first kept and the first dropped rows of each reason, in turn, in 80 columns."""
    lines = []
    for row in itertools.islice(draft.stream(), most):
        lines.append(f"\nkept {row['id']}")
        lines += [_shown(name, value) for name, value in row.items() if name != "id"]
    by_reason: dict[str, list[Row]] = {}
    for row in draft.stream("dropped"):
        if len(first := by_reason.setdefault(row["reason"], [])) < most:
            first.append(row)
    turns = [row for group in itertools.zip_longest(*by_reason.values()) for row in group if row]
    for row in turns[:most]:
        lines.append(f"\ndropped {row['id']}: {row['reason']}")
        lines += [_shown(name, value) for name, value in json.loads(row["evidence"]).items()]
    return "\n".join(lines)


def _shown(name: str, value: object) -> str:
    """One column of a row, indented, in three lines at most."""
    if isinstance(value, list):
        value = " / ".join(
            str(turn["content"]) if isinstance(turn, dict) else str(turn) for turn in value
        )
    text = " ".join(printable(str(value)).split())
    return textwrap.fill(
        f"{name}: {text}",
        width=79,
        initial_indent="  ",
        subsequent_indent="    ",
        max_lines=3,
        placeholder=" ...",
    )
