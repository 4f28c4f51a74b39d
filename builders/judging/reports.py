"""A judge's report travels with the sets it judged; a judge without one is named as such."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.errors import InputError, nearest_name

NEVER_MEASURED: Mapping[str, Any] = {
    "verdict": "never measured against people",
    "reliable": False,
    "reasons": [],
    "figures": {},
}
_PARTS = {"judge": str, "verdict": str, "reliable": bool, "reasons": list, "figures": dict}


def read_reports(path: Path) -> list[dict[str, Any]]:
    """The reports in the output of `potstill judge --json`.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["judges"]
        whole = all(isinstance(one[name], kind) for one in found for name, kind in _PARTS.items())
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror}); give the output of "
            "`potstill judge --json`"
        ) from None
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(
            f"{path.name} is no report on a judge; expected the output of `potstill judge --json`; "
            "make one with it"
        )
    return list(found)


def judges_facts(
    reports: Sequence[Mapping[str, Any]], models: Sequence[str]
) -> list[dict[str, Any]]:
    """For each judge of a build its report, or the statement that it was never measured.

    Raises:
        InputError: The reports given are all about other judges.
    """
    known = {str(one["judge"]): dict(one) for one in reports}
    if known and not set(known) & set(models):
        raise InputError(
            f"the judge's report is about {nearest_name(models[0], known)}, but this build's judge "
            f"is {models[0]!r}; give a report on that one (its name in the labelled file counts)"
        )
    return [known.get(model) or {"judge": model, **NEVER_MEASURED} for model in models]
