"""Rows as tools for annotation export them: their columns at the top, and labels out of objects.

A task of Label Studio has its texts in `data` and its labels in `annotations`; a record of Argilla
in `fields` and `responses`, or both at the top; Prodigy has texts as `options`. What was skipped,
discarded or only drafted, and what a model predicted or suggested, is no label.

Source: the exports of Label Studio (JSON, JSON-MIN and CSV), of Argilla 1 and 2, of Prodigy's
choices and of Mechanical Turk's batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from builders.judging.pair_forms import LISTS, higher
from builders.judging.tables import Row, is_missing, word_code
from builders.judging.verdicts import TIE

_LABEL_KEYS = ("selected", "choices", "value", "label", "choice", "preference", "winner", "vote")
_NOT_DONE = ("draft", "discarded", "pending", "skipped", "ignored", "cancelled", "rejected")
_RESPONSES = ".responses"  # Argilla 2 in a table: `name.responses`, `name.responses.status`


def lifted(row: Row, usual: Sequence[str]) -> dict[str, Any]:
    """A row as it is, with the texts and the labels of an export as columns.

    Args:
        row: One with a label of its own is no task or record, whatever its other columns hold.
        usual: The names of labels, in lower case.
    """
    made = dict(row)
    if options := _options(row):
        del made["options"]
        made |= options
    labels: dict[str, Any] = {}
    texts, given = row.get("data"), row.get("annotations", row.get("completions"))
    if not (isinstance(texts, Mapping) and isinstance(given, list)):
        texts, given = row.get("fields"), row.get("responses")
    if isinstance(texts, Mapping) and not any(str(name).strip().lower() in usual for name in row):
        known = [name for name in ("annotations", "completions", "responses") if name in row]
        for name in ("data", "fields", *known):
            made.pop(name, None)
        made |= texts
        if isinstance(given, Mapping):
            labels = {name: values for name, values in given.items() if isinstance(values, list)}
        for one in given if isinstance(given, list) else ():
            for name, value in _answers(one, texts):
                labels.setdefault(name, []).append(value)
        if people := {str(one["completed_by"]) for one in _list(given) if _done_by_one(one)}:
            made["completed_by"] = ", ".join(sorted(people))
        if known:  # without labels nobody labelled it, whatever its texts came with
            made |= labels or {"people": None}
    for name in row:
        start, dot, rest = str(name).partition(".")
        if dot and start == "fields":
            made.setdefault(rest, row[name])
        elif dot and start in ("Input", "Answer"):  # Mechanical Turk
            if start == "Answer" and row.get("AssignmentStatus") == "Rejected":
                made[name] = None
            made.setdefault(rest, made[name])
        elif dot and start == "responses":
            made.setdefault(rest, [{"value": one, "status": None} for one in _list(row[name])])
        elif str(name).endswith(_RESPONSES):
            states = _list(row.get(f"{name}.status")) or [None] * len(_list(row[name]))
            made[str(name).removesuffix(_RESPONSES)] = [
                {"value": value, "status": state}
                for value, state in zip(_list(row[name]), states, strict=False)
            ]
    return made


def _options(row: Row) -> dict[str, Any]:
    """The two options of Prodigy's choice as texts, and which one was accepted; else {}."""
    options, chosen = row.get("options"), row.get("accept")
    if not (isinstance(options, list) and isinstance(chosen, list) and len(options) > 1):
        return {}
    if not all(isinstance(one, Mapping) and {"id", "text"} <= {*one} for one in options):
        return {}
    names = {str(one["id"]): word_code(one["text"]) for one in options[2:]}
    if any(code != TIE for code in names.values()):
        return {}
    words = dict.fromkeys(names, "tie") | {str(options[0]["id"]): "a", str(options[1]["id"]): "b"}
    done = len(chosen) == 1 and row.get("answer", "accept") == "accept"
    label = words.get(str(chosen[0])) if done else None
    return {"text_a": options[0]["text"], "text_b": options[1]["text"], "label": label}


def _answers(one: Any, texts: Row) -> list[tuple[str, Any]]:
    """The names of questions and one person's answers, which are still in their objects."""
    if not isinstance(one, Mapping) or one.get("was_cancelled") or one.get("skipped"):
        return []
    if isinstance(values := one.get("values"), Mapping):
        return [(name, {"value": x, "status": one.get("status")}) for name, x in values.items()]
    found = []
    for part in _list(one.get("result")):
        value = part.get("value") if isinstance(part, Mapping) else None
        if isinstance(value, Mapping):
            shown = part.get("to_name")
            shown = shown.split(",") if isinstance(shown, str) else [*map(str, _list(shown))]
            place = {"left": 0, "right": 1}.get(str(value.get("selected")))
            if place is not None and len(shown) == 2 and {*shown} <= {*texts}:
                value = {"selected": shown[place]}
            found.append((str(part.get("from_name", "label")), value))
    return found


def _done_by_one(annotation: Any) -> bool:
    """Whether an annotation of Label Studio has labels, and who gave them."""
    return (
        isinstance(annotation, Mapping)
        and "completed_by" in annotation
        and bool(_answers(annotation, {}))
    )


def given_labels(given: Any, texts: tuple[str, str]) -> list[Any]:
    """The labels in the value of a column, one per person; None for each that is missing.

    Args:
        given: A label or a list, or objects with a label in them as an export has, also as JSON.
        texts: The columns of the two texts, in lower case, for the ranks of several.
    """
    value = _parsed(given)
    if isinstance(value, Mapping) and {"status", "user_id"} & {*value}:
        value = _rows_of(value) or [{"value": None}]
    if isinstance(value, Mapping) or _is_ranking(value):
        value = [value]
    if not isinstance(value, list) or not value or not all(map(_has_label, value)):
        return (given or [None]) if isinstance(given, list) else [given]
    return [_label(one, texts) for one in value]


def exported_label(
    row: Row, names: Mapping[str, str], texts: tuple[str, str], usual: Sequence[str]
) -> str | None:
    """The column with the labels of an export; None where there is none, or several may be it.

    Args:
        row: A row that is `lifted`.
        names: Its columns by their names in lower case.
        texts: The columns of the two texts, in lower case.
        usual: The names of labels, the surest first, in lower case.
    """
    found = {}
    for plain, name in names.items():
        if plain not in (*texts, *LISTS) and _is_exported(row[name]):
            given = [one for one in given_labels(row[name], texts) if not is_missing(one)]
            found[plain] = all(
                str(one).lower() in texts or word_code(one) is not None for one in given
            )
    sure = [one for one in usual if one in found] or [one for one in found if found[one]]
    sure = sure or ([*found] if len(found) == 1 else [])
    return names[sure[0]] if sure else None


def _is_exported(value: Any) -> bool:
    """Whether a value has the marks of an export, and is no verdict or suggestion of a model."""
    value = _parsed(value)
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(
        isinstance(one, Mapping)
        and any(name in one for name in ("selected", "choices", "status", "user_id"))
        and _has_label(one)
        for one in values
    )


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _has_label(value: Any) -> bool:
    return _is_ranking(value) or (
        isinstance(value, Mapping)
        and any(name in value for name in _LABEL_KEYS)
        and not {"role", "from"} & {*value}  # a turn of a dialogue
    )


def _is_ranking(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and {"rank", "value"} <= {*one} for one in value)
    )


def _label(value: Any, texts: tuple[str, str]) -> Any:
    """The label in one person's answer; None where it does not count."""
    while isinstance(value, Mapping) and not {"rank", "value"} <= {*value}:
        state = "" if (given := value.get("status")) is None else given
        if not isinstance(state, str) or state.lower() in _NOT_DONE:
            return None
        value = next((value[one] for one in _LABEL_KEYS if one in value), None)
    if isinstance(value, Mapping):
        value = _rows_of(value)
    if _is_ranking(value):
        ranks = {str(one["value"]).lower(): one["rank"] for one in value}
        return higher(*(ranks.get(name) for name in reversed(texts)))
    if isinstance(value, list):
        return value[0] if len(value) == 1 else ", ".join(map(str, value)) or None
    return value


def _rows_of(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of a list, also where `datasets` made one object with lists of it."""
    if not all(isinstance(one, list) for one in value.values()):
        return [dict(value)]
    return [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=False)]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []
