"""What a row must satisfy, and the one schema that Arrow, the card and trainers share."""

import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from builders.recipe_loading import load_recipe, recipe_names
from builders.schema import (
    CALLS,
    DROPPED,
    PROMPT_COMPLETION,
    Column,
    ColumnType,
    Row,
    Schema,
    assistant,
    user,
)
from tests.cases import each

TYPES = get_args(ColumnType)
EVERYTHING = Schema(
    name="everything",
    columns=tuple(
        Column(name=f"{kind}_{often}", type=kind, meaning="", nullable=often == "maybe")
        for kind in TYPES
        for often in ("always", "maybe")
    ),
)
PREFERENCE = Schema(
    name="preference",
    columns=tuple(
        Column(name=name, type="messages", meaning="") for name in ("prompt", "chosen", "rejected")
    ),
)
BY_NAME = attrgetter("name")
RECIPES = [load_recipe(name) for name in recipe_names()]
SCHEMAS = [PROMPT_COMPLETION, CALLS, DROPPED, EVERYTHING, PREFERENCE]
SCHEMAS += [recipe.schema for recipe in RECIPES if recipe.schema not in SCHEMAS]

# Names that TRL 1.16 reads by itself, so that a column of that name changes what is trained.
RESERVED = {
    *("text", "messages", "conversations", "prompt", "completion", "completions", "chosen"),
    *("rejected", "label", "labels", "input_ids", "attention_mask", "seq_lengths"),
    *("completion_mask", "assistant_masks", "images", "image", "tools", "chat_template_kwargs"),
    *("margin", "reference", "ref_chosen_logps", "ref_rejected_logps", "environment"),
    *("environments", "prompts", "completion_ids", "trainer_state", "log_extra", "log_metric"),
}
MEANT = {
    "prompt-completion": {"prompt", "completion"},
    "preference": {"prompt", "chosen", "rejected"},
    "preference-margin": {"prompt", "chosen", "rejected", "margin"},
    "unpaired-preference": {"prompt", "completion", "label"},
    "rated": {"prompt", "completion"},
}

TEXTS = st.text(st.characters(codec="utf-8"))
SPOKEN = TEXTS.filter(lambda text: bool(text.strip()))
TURNS = st.fixed_dictionaries({"role": TEXTS, "content": TEXTS})
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "json": st.dictionaries(TEXTS, TEXTS).map(json.dumps),
    "strings": st.lists(TEXTS),
    "messages": st.lists(TURNS),
    "int": st.integers(-(2**63) + 1, 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
}  # fmt: skip
OF_NO_TYPE: dict[ColumnType, list[Any]] = {
    "string": [1, True, b"a", ["a"], {"a": "b"}, "a lone \ud800"],
    "json": [{"a": 1}, 1, "a lone \ud800"],
    "strings": ["a", ("a",), ["a", None], ["a", 1], ["\udfff"]],
    "messages": [
        *("a", {"role": "user", "content": "a"}, ["a"], [None], ({"role": "a", "content": "b"},)),
        *([{"role": "user"}], [{"role": "user", "content": None}]),
        *([{"role": "user", "content": "a", "name": "b"}], [{"role": "user", "content": "\ud83d"}]),
    ],
    "int": [1.0, True, "1", 2**63, -(2**63)],
    "float": [1, True, "1.0", float("nan"), float("inf")],
    "bool": [0, 1, "true"],
}


@st.composite
def dialogues(draw: st.DrawFn) -> list[dict[str, str]]:
    """A prompt as a trainer expects it: perhaps a system turn, then both in turn, the user last."""
    texts = draw(st.lists(SPOKEN, min_size=1, max_size=7).filter(lambda texts: len(texts) % 2))
    turns = [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]
    system = draw(st.none() | SPOKEN)
    return turns if system is None else [{"role": "system", "content": system}, *turns]


@st.composite
def fitting_rows(draw: st.DrawFn, schema: Schema) -> Row:
    row: Row = {}
    for column in schema.columns:
        values = VALUES[column.type]
        if column.name == "prompt":
            values = dialogues()
        elif column.name in ("completion", "chosen", "rejected"):
            values = st.lists(SPOKEN, min_size=1, max_size=2).map(
                lambda texts: [turn for text in texts for turn in assistant(text)]
            )
        row[column.name] = draw(st.none() | values if column.nullable else values)
    if "chosen" in row and row["chosen"] == row["rejected"]:
        row["rejected"] = assistant(row["chosen"][0]["content"] + ", or not")
    return row


@given(st.data())
def test_a_row_made_to_fit_fits(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(SCHEMAS))
    assert schema.problem(data.draw(fitting_rows(schema))) is None


@given(st.data())
def test_a_row_that_fits_is_written_and_read_as_it_was(data: st.DataObject) -> None:
    import pyarrow as pa

    schema = data.draw(st.sampled_from(SCHEMAS))
    rows = data.draw(st.lists(fitting_rows(schema), max_size=3))
    table = pa.Table.from_pylist(rows, schema=schema.arrow)
    table.validate(full=True)
    assert table.to_pylist() == rows


def fitting() -> Row:
    return {
        "string": "a", "json": "{}", "strings": ["a"], "messages": user("a"),
        "int": 1, "float": 0.5, "bool": True,
    }  # fmt: skip


@each("kind", TYPES)
def test_a_missing_or_null_value_is_named_unless_the_column_may_be_null(kind: ColumnType) -> None:
    row = {f"{name}_always": value for name, value in fitting().items()}
    assert EVERYTHING.problem(row) is None
    name = f"{kind}_always"
    assert EVERYTHING.problem({**row, name: None}) == f"has no {name!r}"
    del row[name]
    assert EVERYTHING.problem(row) == f"has no {name!r}"


@each(
    ("kind", "value"), [(kind, value) for kind, values in OF_NO_TYPE.items() for value in values]
)  # fmt: skip
def test_a_value_of_another_type_is_named_with_its_column(kind: ColumnType, value: Any) -> None:
    row = {f"{name}_always": fit for name, fit in fitting().items()}
    for name in (f"{kind}_always", f"{kind}_maybe"):
        problem = EVERYTHING.problem({**row, name: value})
        assert problem is not None
        assert problem.startswith(f"has in {name!r} ") and problem.endswith(f"not of type {kind}")
        problem.encode()  # a lone surrogate is shown as an escape


def test_a_column_that_nobody_declared_is_named() -> None:
    row = {"id": "0" * 16, "prompt": user("a"), "completion": assistant("b")}
    assert PROMPT_COMPLETION.problem(row) is None
    assert PROMPT_COMPLETION.problem({**row, "labels": 1, "extra": None}) == (
        "has the undeclared columns ['extra', 'labels']"
    )


def test_a_long_value_is_named_in_short() -> None:
    problem = DROPPED.problem({"id": "a", "reason": ["x" * 10_000], "evidence": "{}"})
    assert problem is not None and len(problem) < 150


SYSTEM = {"role": "system", "content": "Be brief."}
Spoil = Callable[[Row], Any]
SPOILT_PROMPTS: list[tuple[Spoil, str]] = [
    (lambda row: [], "no message"),
    (lambda row: [SYSTEM], "no message"),
    (lambda row: [*row["prompt"], *user("Again.")], "do not alternate"),
    (lambda row: [*user("First."), *row["prompt"][-1:]], "do not alternate"),
    (lambda row: [*row["prompt"], *assistant("Done.")], "no last turn of the user"),
    (lambda row: [*assistant("Hello."), *user("Hi.")], "do not alternate"),
    (lambda row: [*row["prompt"], *assistant("b"), SYSTEM], "do not alternate"),
    (lambda row: [{"role": "human", "content": "a"}], "do not alternate"),
    (lambda row: [*row["prompt"][:-1], *user(" \n\t")], "an empty message"),
    (lambda row: [{"role": "system", "content": ""}, *user("a")], "an empty message"),
]
SPOILT_ANSWERS: list[tuple[Spoil, str]] = [
    (lambda row: [], "no message"),
    (lambda row: [*row["chosen"], *user("Thanks.")], "a turn that is not the assistant's"),
    (lambda row: [SYSTEM, *row["chosen"]], "a turn that is not the assistant's"),
    (lambda row: assistant(""), "an empty message"),
    (lambda row: [*row["chosen"], *assistant("\u3000")], "an empty message"),
]


PAIR = {"prompt": user("a"), "chosen": assistant("b"), "rejected": assistant("c")}


@each(("spoil", "fault"), SPOILT_PROMPTS)
def test_a_prompt_that_no_trainer_could_take_is_named(spoil: Spoil, fault: str) -> None:
    assert PREFERENCE.problem(PAIR) is None
    problem = PREFERENCE.problem({**PAIR, "prompt": spoil(PAIR)})
    assert problem is not None
    assert problem.startswith("has in 'prompt' ") and fault in problem


@each("name", ["chosen", "rejected"])
@each(("spoil", "fault"), SPOILT_ANSWERS)
def test_an_answer_that_no_trainer_could_take_is_named(name: str, spoil: Spoil, fault: str) -> None:
    assert PREFERENCE.problem({**PAIR, name: spoil(PAIR)}) == f"has in {name!r} {fault}"
    alone = {"id": "0" * 16, "prompt": user("a"), "completion": spoil(PAIR)}
    assert PROMPT_COMPLETION.problem(alone) == f"has in 'completion' {fault}"


@given(fitting_rows(PREFERENCE), st.data())
def test_one_fault_in_any_row_is_found(row: Row, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["prompt", "chosen", "rejected"]))
    spoilt = SPOILT_PROMPTS if name == "prompt" else SPOILT_ANSWERS
    spoil, fault = data.draw(st.sampled_from(spoilt))
    assert fault in str(PREFERENCE.problem({**row, name: spoil(row)}))


@given(fitting_rows(PREFERENCE))
def test_a_pair_of_equal_answers_is_named(row: Row) -> None:
    assert PREFERENCE.problem({**row, "rejected": [dict(turn) for turn in row["chosen"]]}) == (
        "has the same text as 'chosen' and 'rejected'"
    )


@each("schema", SCHEMAS)
def test_the_card_declares_the_columns_that_arrow_holds(schema: Schema) -> None:
    import datasets

    declared = datasets.Features._from_yaml_list(schema.features).arrow_schema
    assert declared.names == schema.arrow.names
    assert [_small(kind) for kind in declared.types] == [
        _small(kind) for kind in schema.arrow.types
    ]


def _small(kind: Any) -> str:
    return str(kind).replace("large_", "")


@each("schema", SCHEMAS)
def test_the_features_of_a_card_are_plain_values_and_share_nothing(schema: Schema) -> None:
    given = schema.features
    assert json.loads(json.dumps(given)) == given
    inner = [
        id(part)
        for column in given
        if column.get("list") != "string"
        for part in column.get("list", ())
    ]
    assert len(set(inner)) == len(inner)  # what reads a card takes it apart, part by part


def test_an_arrow_schema_carries_no_metadata() -> None:
    assert [schema.arrow.metadata for schema in SCHEMAS] == [None] * len(SCHEMAS)


@each("schema", [CALLS, DROPPED, *(one.schema for one in RECIPES)])
def test_no_column_has_a_trainer_s_name_by_accident(schema: Schema) -> None:
    names = {column.name for column in schema.columns}
    assert names & RESERVED == MEANT.get(schema.name, set())


@each("recipe", RECIPES)
def test_what_a_trainer_reads_begins_with_an_id_and_is_all_messages_or_all_text(
    recipe: Any,
) -> None:
    columns = {column.name: column.type for column in recipe.schema.columns}
    assert next(iter(columns.items())) == ("id", "string")
    names = ("prompt", "completion", "chosen", "rejected")
    spoken = {columns[name] for name in names if name in columns}
    assert len(spoken) == 1  # TRL fails on a prompt that is text beside answers that are messages
