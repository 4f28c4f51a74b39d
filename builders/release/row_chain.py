"""Why a row is as it is: its source, calls, judgements and outcome, and what made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from builders.drafting.build_spec import LEDGER
from builders.drafting.row_view import BLANK, Part, named_parts, row_view
from builders.engine.ledger import Ledger
from builders.engine.prices import FREE_KINDS
from builders.release.set_rows import SetRows, as_object, prompt_id
from builders.schema import ID_PATTERN, Row

_OWN = ("default", "dropped", "calls")  # the configs that every set has


def row_chain(rows: SetRows, start: str) -> dict[str, Any]:
    """The whole chain of the row or the call whose id begins so, as JSON values.

    `source` has the row's `prompt` where prompts were read from there. `outcome` is `kept`,
    `dropped`, `call`, or the name of a further config. `judgements` are the rows of further configs
    about the same prompt, with the verdicts as they were parsed. `calls` have a `cost_usd`, None
    where it is not recorded. Of a call, `rows` are what was made from it.

    Raises:
        InputError: No id begins so, or several do.
    """
    identity, configs = rows.whole_id(start)
    config = configs[0]
    row = rows.with_ids(config, [identity])[identity]
    lineage = as_object(rows.facts.get("lineage"))
    chain: dict[str, Any] = {
        "id": identity,
        "outcome": {"default": "kept", "calls": "call"}.get(config, config),
        "row": row,
        "source": _source(row, as_object(lineage.get("seeds"))),
    }
    if config == "calls":
        made = row.get("row_ids") or []
        chain["calls"] = _with_costs(rows, [row])
        kept_and_dropped = {name: rows.with_ids(name, made) for name in ("default", "dropped")}
        chain["rows"] = {name: [*some.values()] for name, some in kept_and_dropped.items() if some}
    else:
        prompt = _id_of_prompt(row)
        further = [name for name in rows.files if name not in _OWN and prompt]
        chain["judgements"] = {
            name: found for name in further if (found := rows.belonging_to(name, str(prompt)))
        }
        of = identity if config in _OWN else str(row.get("row_id") or identity)
        chain["calls"] = _with_costs(rows, rows.calls_of(of))
    chain["gates"] = {
        "result": f"dropped: {row.get('reason')}" if config == "dropped" else "passed all",
        "dropped in this set": rows.reasons(),
    }
    chain["made by"] = {
        "recipe": lineage.get("recipe"),
        "version": rows.facts.get("version"),
        **{name: lineage.get(name) for name in ("code", "settings", "teachers", "judges", "tools")},
    }
    return chain


def chain_view(chain: Mapping[str, Any]) -> list[Part]:
    """The parts of a chain, in the order in which a row is made."""
    config = {"kept": "default", "call": "calls"}.get(chain["outcome"], chain["outcome"])
    parts = row_view(chain["row"], config) if config != "calls" else []
    parts += [*([BLANK] if parts else []), *named_parts("source", chain["source"])]
    calls = sorted(chain["calls"], key=lambda call: str(call.get("role")).startswith("judge"))
    sections: dict[str, list[tuple[str, Row]]] = {"calls": [("calls", call) for call in calls]}
    for name in ("judgements", "rows"):
        sections[name] = [(one, row) for one, some in chain.get(name, {}).items() for row in some]
    for name, rows in sections.items():
        if rows:
            parts += [BLANK, Part(f"{name}: {len(rows)}", style="bold")]
            parts += [part for one, row in rows for part in (BLANK, *row_view(row, one))]
    for name in ("gates", "made by"):
        parts += [BLANK, *named_parts(name, chain[name])]
    return parts


def _source(row: Row, seeds: Mapping[str, Any]) -> dict[str, Any]:
    about = row.get("evidence", row)
    prompt = about.get("prompt") if isinstance(about, Mapping) else None
    return {**seeds, "prompt": prompt} if seeds.get("columns") and prompt else {**seeds}


def _id_of_prompt(row: Row) -> str | None:
    """The id of a row's prompt, by which the rows of further configs name it."""
    about = row.get("evidence", row)
    if not isinstance(about, Mapping):
        return None
    if isinstance(about.get("row_id"), str):
        return str(about["row_id"])
    if about is row:
        return str(row.get("id"))
    return prompt_id(about.get("prompt"))


def _with_costs(rows: SetRows, calls: Sequence[Row]) -> list[Row]:
    """The calls with what each cost: by the ledger beside a draft, 0 of models on this machine."""
    teachers = as_object(as_object(rows.facts.get("lineage")).get("teachers"))
    identities = map(as_object, teachers.values())
    free = [one.get("model") for one in identities if one.get("kind") in FREE_KINDS]
    ledger = rows.folder.resolve().parent.parent / LEDGER
    if rows.folder.resolve().parent.name != "drafts" or not ledger.is_file():
        return [call | {"cost_usd": 0.0 if call.get("model") in free else None} for call in calls]
    with closing(Ledger.open(ledger, read_only=True)) as recorded:
        return [
            call
            | {
                "cost_usd": recorded.cost_usd(call["id"])
                if re.fullmatch(ID_PATTERN, str(call.get("id")))
                else None
            }
            for call in calls
        ]
