"""A draft as a notebook shows it: counts by reason and first rows, in HTML that does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from builders.errors import printable
from builders.schema import LEFT_OUT, Row

_LONGEST_TEXT = 300


def draft_html(title: str, counts: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The title, a table of counts and a table of rows.

    Texts come from teachers: they are escaped, their invisible characters become spaces, and
    Jupyter is kept from typesetting them as mathematics, where a formula could hold a link.
    """
    outcomes = {"kept": counts["kept"]}
    outcomes |= {f"dropped: {reason}": number for reason, number in counts["dropped"].items()}
    made = max(counts["made"], 1)
    counted = [(name, f"{number:,}", f"{number / made:.1%}") for name, number in outcomes.items()]
    left_out = counts.get("left_out", {})
    counted += [(LEFT_OUT + name, f"{number:,}", "") for name, number in left_out.items()]
    columns = list(rows[0]) if rows else []
    return (
        f'<div class="tex2jax_ignore mathjax_ignore"><p>{_text(title)}</p>'
        f"{_table((), counted)}"
        f"{_table(columns, [[row[column] for column in columns] for row in rows])}</div>"
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    if not lines:
        return ""
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in line)}</tr>" for line in lines
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if isinstance(value, list):  # of messages, or of texts
        value = " / ".join(
            ": ".join(map(str, turn.values())) if isinstance(turn, dict) else str(turn)
            for turn in value
        )
    text = "" if value is None else " ".join(printable(str(value)).split())
    shown = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ..."
    return escape(shown)
