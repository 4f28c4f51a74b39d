"""What the calls in a ledger used: totals of tokens and USD, counted or at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builders.engine.calls import Used
from builders.engine.ledger_format import COUNTED, FAILURE_READABLE

TEACHER = "(SELECT who FROM teachers WHERE teachers.id = teacher)"
TEACHER_FIELDS = ("role", "endpoint", "model", "revision")
_COUNTED = "input_tokens IS NOT NULL AND output_tokens IS NOT NULL"
_SUMS = {
    "calls": "count(*)",
    "uncounted": f"count(*) FILTER (WHERE NOT ({_COUNTED}))",
    "input_tokens": "ifnull(sum(input_tokens), 0)",
    "output_tokens": "ifnull(sum(output_tokens), 0)",
    "cost_usd": f"sum(cost_usd) FILTER (WHERE {_COUNTED})",
    "cost_unknown": f"count(*) - count(cost_usd) FILTER (WHERE {_COUNTED})",
    "unpriced": "count(*) - count(cost_usd)",
    "first_time": "min(time)",
    "last_time": "max(time)",
}
_SUMMED = f"{', '.join(_SUMS.values())} FROM answers WHERE {COUNTED}"
_FAILURES = f"FROM failures WHERE {FAILURE_READABLE}"
_FAILED = f"SELECT cause, count(*), sum(attempts) {_FAILURES} GROUP BY cause ORDER BY 2 DESC, 1"
# What all requests of all calls may have used, by teacher, those without an answer included.
_USED = f"""
SELECT {TEACHER}, sum(attempts), sum(tokens), ifnull(sum(usd), 0.0),
    ifnull(sum(tokens) FILTER (WHERE usd IS NULL), 0)
FROM (
    SELECT teacher, attempts, ifnull(most_tokens, input_tokens + output_tokens) AS tokens,
        ifnull(most_usd, cost_usd) AS usd
    FROM answers WHERE {COUNTED}
    UNION ALL
    SELECT teacher, attempts, ifnull(most_tokens, 0), iif(most_tokens, most_usd, 0.0)
    {_FAILURES}
) GROUP BY teacher
"""  # noqa: S608


Rows = Callable[[str], list[Any]]
TeacherOf = Callable[[Any], dict[str, Any]]


def used(rows: Rows, teacher: TeacherOf) -> list[tuple[dict[str, Any], Used, int]]:
    """For each teacher, the most that all its requests may have used, with and without answers.

    Role, endpoint, model and revision, with `requests`; the tokens of these, and the USD of those
    of known price; the tokens of the others.
    """
    return [
        (teacher(who) | {"requests": requests}, Used(tokens, usd), unpriced)
        for who, requests, tokens, usd, unpriced in rows(_USED)
    ]


def summary(rows: Rows, teacher: TeacherOf) -> dict[str, Any]:
    """Totals of the recorded answers, overall and for each of `teachers`.

    `calls`, of them `uncounted` those without a count of tokens; `input_tokens` and `output_tokens`
    as far as they were counted; `cost_usd` of the calls of known cost (None without any),
    `cost_unknown`, the number of other calls, of them `unpriced` those of unknown price;
    `at_most_usd`, what all requests of known price may have cost, also those without an answer, as
    in `used`; `first_time` and `last_time` in seconds since 1970 (None without calls). Each of
    `teachers` also has role, endpoint, model and revision. `failures` are the calls by cause, the
    most frequent first, and `failed_requests` the requests of these.
    """
    [whole] = rows(f"SELECT {_SUMMED}")
    teachers = [
        teacher(who) | dict(zip(_SUMS, sums, strict=True))
        for who, *sums in rows(f"SELECT {TEACHER}, {_SUMMED} GROUP BY teacher")
    ]
    teachers.sort(key=_names)
    most = {_names(who): most.usd or 0.0 for who, most, _ in used(rows, teacher)}
    for one in teachers:
        one["at_most_usd"] = most[_names(one)]
    total = dict(zip(_SUMS, whole, strict=True)) | {"at_most_usd": sum(most.values())}
    failed = rows(_FAILED)
    return total | {
        "teachers": teachers,
        "failures": {cause: calls for cause, calls, _ in failed},
        "failed_requests": {cause: requests for cause, _, requests in failed},
    }


def _names(teacher: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(teacher[name]) for name in TEACHER_FIELDS)
