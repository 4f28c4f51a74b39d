"""The licence of a set: the strictest of those of its source and of the teachers that answered."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.drafting.licence import (
    SEVERAL,
    licence_of,
    missing,
    parts,
    remarks,
    rolled_up,
    strictness,
    with_model_licences,
)
from builders.engine.model_licences import table_name
from builders.hub_vocabulary import Licence
from tests.cases import each

LAX_TO_STRICT = ["cc0-1.0", "mit", "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"]
LICENCES = st.sampled_from([*LAX_TO_STRICT, "cc-by-sa-4.0", "llama3.1", "gemma", "other"])


def together(*licences: str) -> str:
    return rolled_up(map(Licence, licences)).id


@each(("laxer", "stricter"), [*pairwise(LAX_TO_STRICT), ("cc-by-4.0", "cc-by-sa-4.0")])
def test_the_stricter_of_two_licences_binds_the_set(laxer: str, stricter: str) -> None:
    assert together(laxer, stricter) == together(stricter, laxer) == stricter


@given(st.lists(LICENCES, min_size=1))
def test_no_set_is_laxer_than_anything_it_was_made_from(licences: list[str]) -> None:
    assert strictness(together(*licences)) >= max(map(strictness, licences))


@given(st.permutations(["cc-by-4.0", "mit", "gemma", "llama3.1"]))
def test_the_order_of_the_sources_does_not_matter(licences: list[str]) -> None:
    assert rolled_up(map(Licence, licences)) == SEVERAL


@each("permissive", ["cc0-1.0", "mit", "apache-2.0", "cc-by-4.0"])
def test_terms_of_their_own_are_stricter_than_a_permissive_licence(permissive: str) -> None:
    assert together(permissive, "llama3.1") == "llama3.1"


@each(
    "licences",
    [
        ("gemma", "llama3.1"),
        ("cc-by-nc-4.0", "llama3.1"),  # which permits what the first forbids
        ("cc-by-nc-4.0", "cc-by-sa-4.0"),
        ("cc-by-sa-4.0", "gpl-3.0"),
    ],
)
def test_where_no_licence_has_the_conditions_of_all_the_set_has_another(
    licences: tuple[str, ...],
) -> None:
    assert rolled_up(map(Licence, licences)) == SEVERAL


def test_two_other_licences_are_not_the_same_one() -> None:
    research, terms = Licence("other", "qwen-research", "https://x.org"), Licence("other", "terms")
    assert rolled_up([research, Licence("mit")]) == research
    assert rolled_up([research, terms]) == SEVERAL
    assert rolled_up([Licence("other", "cc0-1.0"), Licence("mit")]).id == "other"


# --- of a lineage

SEEDS = {"name": "prompts.csv", "licence": "cc-by-4.0", "licence_from": "given"}
ANY: dict[str, Any] = {"licence": "unknown"}


def lineage(
    writer: str = "gpt-4o",
    judge: str | None = None,
    *,
    seeds: str = "cc-by-4.0",
    answered: str | None = None,
    facts: dict[str, Any] = ANY,
) -> dict[str, Any]:
    """That of a build whose writer answered, and its judge where one is named."""
    answers = [("writer", writer, answered)] + ([("judge", judge, None)] if judge else [])
    return with_model_licences(
        {
            "seeds": {**SEEDS, "licence": seeds},
            "teachers": {
                "writer": {"model": writer, **facts},
                "judge": {"model": judge or "gemma-2-9b-it", **ANY},
            },
            "answers": [
                {"role": role, "model": model, "answered_by": by} for role, model, by in answers
            ],
        }
    )


MADE: dict[str, tuple[dict[str, Any], Licence]] = {
    "an open model": (lineage("Qwen/Qwen2.5-7B-Instruct"), Licence("cc-by-4.0")),
    "a laxer source": (lineage("openai/gpt-oss-20b", seeds="cc0-1.0"), Licence("apache-2.0")),
    "a community licence": (lineage("llama3.1:8b"), Licence("llama3.1")),
    "two of them": (lineage("llama3.1:8b", "gemma2:9b"), SEVERAL),
    "a judge of its own terms": (lineage("qwen2.5:7b", "gemma2:9b"), Licence("gemma")),
    "a closed model": (lineage(), Licence("other", "openai-terms-of-use")),
    "a model that nobody knows": (lineage("mine"), SEVERAL),
    "a closed and an open model": (
        lineage("gpt-4o", "qwen2.5:7b"),
        Licence("other", "openai-terms-of-use"),
    ),
    "another licence of the source": (lineage("qwen2.5:7b", seeds="other"), SEVERAL),
    "a source for research": (lineage(seeds="cc-by-nc-4.0"), SEVERAL),
    "a given licence": (
        lineage("mine", facts={"licence": "mit", "licence_from": "given"}),
        Licence("cc-by-4.0"),
    ),
    "given against the table": (
        lineage("llama3.1:8b", facts={"licence": "mit", "licence_from": "given"}),
        Licence("cc-by-4.0"),
    ),
    "given as unknown": (
        lineage("qwen2.5:7b", facts={"licence": "unknown", "licence_from": "given"}),
        SEVERAL,
    ),
    "an unknown source": (lineage("qwen2.5:7b", seeds="unknown"), Licence("unknown")),
    "an unknown source and a closed model": (lineage(seeds="unknown"), Licence("unknown")),
    "an alias": (lineage("my-model", answered="Qwen/Qwen2.5-7B-Instruct"), Licence("cc-by-4.0")),
    "another model answered": (
        lineage("qwen2.5:7b", answered="gpt-4o-mini"),
        Licence("other", "openai-terms-of-use"),
    ),
    "an unknown one answered": (lineage("qwen2.5:7b", answered="cheap-7b"), SEVERAL),
    "a dated name of it answered": (
        lineage("gpt-4o", answered="gpt-4o-2024-08-06"),
        Licence("other", "openai-terms-of-use"),
    ),
}


@each("name", [*MADE])
def test_a_set_has_the_strictest_licence_of_its_parts(name: str) -> None:
    made, expected = MADE[name]
    assert licence_of(made) == expected


def test_a_teacher_that_did_not_answer_is_no_part_of_a_set() -> None:
    assert [part.owner for part in parts(lineage("qwen2.5:7b"))] == ["seeds", "writer"]
    assert [part.owner for part in parts(lineage("qwen2.5:7b", "mine"))][2:] == ["judge"]
    before = {name: facts for name, facts in lineage().items() if name != "answers"}
    assert [part.owner for part in parts(before)] == ["seeds", "writer", "judge"]


@each(
    ("made", "needed"),
    [
        (lineage("qwen2.5:7b"), ""),
        (lineage("gpt-4o"), ""),
        (lineage("mine"), "that of mine is unknown: give --teacher-license ID"),
        (
            lineage("qwen2.5:7b", "my-judge"),
            "that of my-judge is unknown: give --teacher-license ID",
        ),
        (lineage("mine", seeds="unknown"), "that of prompts.csv is unknown: give --license ID"),
    ],
)
def test_what_is_missing_for_the_licence_of_a_set_is_named(
    made: dict[str, Any], needed: str
) -> None:
    assert missing(made) == needed


def test_each_part_tells_from_where_its_licence_is_known() -> None:
    seeds, writer, judge = parts(lineage("qwen2.5:7b", "mine"))
    assert (seeds.known_from, writer.known_from, judge.known_from) == ("given", table_name(), None)


@each(
    ("model", "known_from"),
    [
        ("mine", "given"),
        ("phi4", "given"),
        ("llama3.1:8b", f"given; {table_name()} states llama3.1"),
        ("gpt-4o", f"given; {table_name()} states openai-terms-of-use"),
    ],
)
def test_a_given_licence_counts_and_that_the_table_has_another_is_recorded(
    model: str, known_from: str
) -> None:
    made = lineage(model, facts={"licence": "mit", "licence_from": "given"})
    assert parts(made)[1] == ("writer", model, Licence("mit"), known_from)


def test_what_an_id_leaves_open_is_explained() -> None:
    closed = [*remarks(lineage("gpt-4o", seeds="cc-by-nc-4.0"))]
    assert closed[0] == (
        "What gpt-4o wrote may be used only as the terms of its maker and provider allow"
    )
    assert closed[1].startswith("No licence with an id on the Hub has all these conditions")
    (unknown,) = remarks(lineage("qwen2.5:7b", seeds="unknown"))
    assert unknown.startswith("No licence is stated for prompts.csv")
    assert [*remarks(lineage("qwen2.5:7b"))] == []
