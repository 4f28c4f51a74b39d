"""The published forms of judges' verdicts on labelled pairs, by the columns that each has.

Source: the files of PandaLM, LLMBar and FairEval, JudgeBench and AlpacaEval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from builders.errors import InputError, shortened
from builders.judging.logprobs import stored_preference
from builders.judging.tables import Row, column, ids, lengths, numbers, texts, verdicts
from builders.judging.verdicts import A, B, Judged, decided, preferred


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A published form: the columns by which it is known, and how its rows are read."""

    name: str
    columns: frozenset[str]
    read: Callable[[Sequence[Row], str], list[Judged]]


def _pandalm(rows: Sequence[Row], name: str) -> list[Judged]:
    """Three annotators and two judges, each asked in one order; the writers are in `cmp_key`."""
    people = np.column_stack(
        [verdicts(column(rows, f"annotator{k}"), name, people=True) for k in (1, 2, 3)]
    )
    writers = [str(row.get("cmp_key", "_")).partition("_")[::2] for row in rows]
    shared: dict[str, Any] = {
        "ids": ids(rows, "idx"),
        "people": people,
        "length_a": lengths(column(rows, "response1")),
        "length_b": lengths(column(rows, "response2")),
        "writer_a": texts(a for a, _ in writers),
        "writer_b": texts(b for _, b in writers),
    }
    judges = []
    for judge, result, reason in (
        ("pandalm-7b", "pandalm_result", None),
        ("gpt-3.5-turbo", "gpt35_result", "gpt35_reason"),
    ):
        if result in rows[0]:
            why = texts(column(rows, reason)) if reason and reason in rows[0] else None
            first = verdicts(column(rows, result), name)
            judges.append(Judged(judge=judge, first=first, rationale=why, **shared))
    return judges


def _llmbar(rows: Sequence[Row], name: str) -> list[Judged]:
    """One judge in both orders; `label` is the text that is certainly the better one."""
    return [
        Judged(
            judge=str(rows[0].get("judge", name)),
            ids=ids(rows, "idx"),
            first=verdicts(column(rows, "first_winner"), name),
            second=verdicts(column(rows, "swapped_winner_unswapped"), name),
            people=verdicts(column(rows, "label"), name, people=True)[:, None],
            length_a=lengths(column(rows, "output_1")),
            length_b=lengths(column(rows, "output_2")),
            rationale=texts(column(rows, "first_order")),
        )
    ]


def _alpacaeval(rows: Sequence[Row], name: str) -> list[Judged]:
    """Log-probabilities of one order; a is the baseline's text, b the model's."""
    stored = []
    for place, row in enumerate(rows, 1):
        swapped, identical = bool(row.get("shown_swapped")), bool(row.get("identical"))
        top = row.get("top_logprobs")
        try:
            stored.append(stored_preference(top, swapped=swapped, identical=identical))
        except (TypeError, ValueError):
            raise InputError(
                f"{name}, row {place}: 'top_logprobs' is {shortened(top)}, expected pairs of a "
                "token and a number"
            ) from None
    for_a = 2 - np.array(stored, np.float64)
    return [
        Judged(
            judge=name,
            ids=ids(rows, "idx"),
            first=preferred(for_a),
            preference=for_a,
            shown=np.array([B if row.get("shown_swapped") else A for row in rows], np.int8),
            length_a=numbers(column(rows, "len_output_1"), f"{name}, len_output_1"),
            length_b=numbers(column(rows, "len_output_2"), f"{name}, len_output_2"),
            writer_a=texts(column(rows, "baseline")),
            writer_b=texts(column(rows, "model")),
        )
    ]


def _llmbar_results(rows: Sequence[Row], name: str) -> list[Judged]:
    """LLMBar's own file: the winner in each order, always about the texts."""
    orders = ("swap = False", "swap = True")
    first, second = (
        [_inside(row.get("results"), 0, order, "winner") for row in rows] for order in orders
    )
    why = [_inside(row.get("results"), 0, orders[0], "completion", 0) for row in rows]
    return [
        Judged(
            judge=name,
            ids=ids(rows, "idx"),
            first=verdicts(first, name),
            second=verdicts(second, name),
            people=verdicts(column(rows, "label"), name, people=True)[:, None],
            length_a=lengths(column(rows, "output_1")),
            length_b=lengths(column(rows, "output_2")),
            rationale=texts(why),
        )
    ]


def _judgebench(rows: Sequence[Row], name: str) -> list[Judged]:
    """JudgeBench's output: the decision in each order, about the places that the texts had."""
    first = verdicts([_inside(row.get("judgments"), 0, "decision") for row in rows], name)
    places = verdicts([_inside(row.get("judgments"), 1, "decision") for row in rows], name)
    why = [_inside(row.get("judgments"), 0, "judgment", "response") or None for row in rows]
    return [
        Judged(
            judge=str(rows[0].get("judge_name") or name),
            ids=ids(rows, "pair_id"),
            first=first,
            second=np.where(decided(places), -places, places).astype(np.int8)
            if any(_inside(row.get("judgments"), 1) for row in rows)
            else None,
            people=verdicts(column(rows, "label"), name, people=True)[:, None],
            length_a=lengths(column(rows, "response_A")),
            length_b=lengths(column(rows, "response_B")),
            rationale=texts(why),
        )
    ]


def _alpacaeval_annotations(rows: Sequence[Row], name: str) -> list[Judged]:
    """AlpacaEval's annotations: a preference from 1 to 2; which text was shown first is unknown."""
    for_a = 2 - numbers(column(rows, "preference"), f"{name}, preference")
    return [
        Judged(
            judge=str(rows[0].get("annotator") or name),
            ids=ids(rows, "idx"),
            first=preferred(for_a),
            preference=for_a,
            shown=np.zeros(len(rows), np.int8),
            length_a=lengths(column(rows, "output_1")),
            length_b=lengths(column(rows, "output_2")),
            writer_a=texts(column(rows, "generator_1")),
            writer_b=texts(column(rows, "generator_2")),
        )
    ]


def _inside(value: Any, *path: int | str) -> Any:
    """What is at a path in lists and objects; None where there is nothing."""
    for step in path:
        try:
            value = value[step]
        except (IndexError, KeyError, TypeError):
            return None
    return value


SHAPES = (
    *(
        Shape(
            name="PandaLM",
            columns=frozenset(("annotator1", "annotator2", "annotator3", "response1", result)),
            read=_pandalm,
        )
        for result in ("pandalm_result", "gpt35_result")
    ),
    Shape(
        name="LLMBar and FairEval",
        columns=frozenset(("label", "first_winner", "swapped_winner_unswapped", "output_1")),
        read=_llmbar,
    ),
    Shape(
        name="LLMBar results",
        columns=frozenset(("label", "output_1", "output_2", "results")),
        read=_llmbar_results,
    ),
    Shape(
        name="JudgeBench",
        columns=frozenset(("label", "response_A", "response_B", "judgments")),
        read=_judgebench,
    ),
    Shape(
        name="AlpacaEval annotations",
        columns=frozenset(("output_1", "output_2", "preference", "annotator")),
        read=_alpacaeval_annotations,
    ),
    Shape(
        name="AlpacaEval log-probabilities",
        columns=frozenset(("top_logprobs", "shown_swapped", "len_output_1", "len_output_2")),
        read=_alpacaeval,
    ),
)
# Verdicts that are published apart from their pairs.
APART = (
    (frozenset(("idx", "gpt_result")), "PandaLM's testset-v1.json"),
    (frozenset(("idx", "pandalm_result")), "PandaLM's testset-v1.json"),
    (frozenset(("output",)), "Auto-J's testdata_pairwise.jsonl"),
)


def has_verdicts(row: Row) -> bool:
    """Whether a row has the columns of a published judge's verdicts, or of our own."""
    shapes = (*(shape.columns for shape in SHAPES), {"id", "first"})
    return any(columns <= row.keys() for columns in shapes)
