"""The schemas of rows: TRL's column names, one frozen Arrow schema per config, and its checks.

Source: TRL's dataset formats (https://huggingface.co/docs/trl/dataset_formats).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Message = Mapping[str, str]
ColumnType = Literal["string", "strings", "messages", "int", "float", "bool", "json"]

ID_PATTERN = r"[0-9a-f]{16}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a config.

    `json` is a free-form object, kept as a JSON string: Arrow would otherwise give every row the
    keys of all other rows, with None.
    """

    name: str
    type: ColumnType
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The columns of one config, in the order in which they are written."""

    name: str
    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The declared Arrow schema, without metadata: exactly that of every file of the config."""
        import pyarrow as pa

        types = {
            "string": pa.string(),
            "json": pa.string(),
            "strings": pa.list_(pa.string()),
            "messages": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
            "int": pa.int64(),
            "float": pa.float64(),
            "bool": pa.bool_(),
        }
        return pa.schema([pa.field(column.name, types[column.type]) for column in self.columns])

    @property
    def features(self) -> list[dict[str, Any]]:
        """The same columns as the `features` of a card's `dataset_info`."""
        plain = {"string": "string", "json": "string", "int": "int64", "float": "float64"}
        message = [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]
        given: list[dict[str, Any]] = []
        for column in self.columns:
            if column.type == "messages":
                # Each with parts of its own: `datasets` changes the ones that it reads.
                given.append({"name": column.name, "list": [dict(part) for part in message]})
            elif column.type == "strings":
                given.append({"name": column.name, "list": "string"})
            else:
                given.append({"name": column.name, "dtype": plain.get(column.type, column.type)})
        return given

    def problem(self, row: Mapping[str, Any]) -> str | None:
        """The first reason why a row does not fit, as a sentence without its subject, or None."""
        names = [column.name for column in self.columns]
        if extra := set(row) - set(names):
            return f"has the undeclared columns {sorted(extra)}"
        for column in self.columns:
            value = row.get(column.name)
            if value is None:
                if not column.nullable:
                    return f"has no {column.name!r}"
            elif not _fits(value, column.type):
                return f"has in {column.name!r} {_short(value)}, which is not of type {column.type}"
        return self._dialogue_problem(row)

    def _dialogue_problem(self, row: Mapping[str, Any]) -> str | None:
        for name in ("prompt", "completion", "chosen", "rejected"):
            turns = row.get(name)
            if isinstance(turns, Sequence) and not isinstance(turns, str):
                fault = _prompt_fault(turns) if name == "prompt" else _answer_fault(turns)
                if fault:
                    return f"has in {name!r} {fault}"
        if row.get("chosen") is not None and row.get("chosen") == row.get("rejected"):
            return "has the same text as 'chosen' and 'rejected'"
        return None


def _fits(value: object, kind: ColumnType) -> bool:
    if kind in ("string", "json"):
        return isinstance(value, str) and _encodable(value)
    if kind == "strings":
        return isinstance(value, list) and all(_fits(one, "string") for one in value)
    if kind == "messages":
        return isinstance(value, list) and all(
            isinstance(turn, dict)
            and set(turn) == {"role", "content"}
            and all(_fits(part, "string") for part in turn.values())
            for turn in value
        )
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _encodable(text: str) -> bool:
    try:  # a lone surrogate (a teacher's broken escape) cannot be written as UTF-8
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _prompt_fault(turns: Sequence[Message]) -> str | None:
    roles = [turn["role"] for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken:
        return "no message"
    if any(role != ("user", "assistant")[place % 2] for place, role in enumerate(spoken)):
        return f"the roles {roles}, which do not alternate user and assistant"
    if spoken[-1] != "user":
        return "no last turn of the user"
    return _empty_fault(turns)


def _answer_fault(turns: Sequence[Message]) -> str | None:
    if not turns:
        return "no message"
    if any(turn["role"] != "assistant" for turn in turns):
        return "a turn that is not the assistant's"
    return _empty_fault(turns)


def _empty_fault(turns: Sequence[Message]) -> str | None:
    return None if all(turn["content"].strip() for turn in turns) else "an empty message"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def user(content: str) -> list[dict[str, str]]:
    """A prompt of one user turn."""
    return [{"role": "user", "content": content}]


def with_system(prompt: Sequence[Message], text: str) -> list[dict[str, str]]:
    """A prompt with a system turn before it; one that is there already follows the new text."""
    turns = [dict(turn) for turn in prompt]
    if turns[0]["role"] == "system":
        text = f"{text}\n\n{turns.pop(0)['content']}"
    return [{"role": "system", "content": text}, *turns]


def assistant(content: str) -> list[dict[str, str]]:
    """A completion of one assistant turn."""
    return [{"role": "assistant", "content": content}]


_ID = Column(name="id", type="string", meaning="16 hex digits, from the row's prompt; stable")
_PROMPT = Column(name="prompt", type="messages", meaning="the messages; the last is the user's")
_COMPLETION = Column(name="completion", type="messages", meaning="the assistant's answer, one turn")

PROMPT_COMPLETION = Schema(
    name="prompt-completion",
    columns=(_ID, _PROMPT, _COMPLETION),
)

CALLS = Schema(
    name="calls",
    columns=(
        Column(name="id", type="string", meaning="16 hex digits of the call's key"),
        Column(name="row_ids", type="strings", meaning="the kept and dropped rows made from it"),
        Column(name="role", type="string", meaning="the role of the teacher in the recipe"),
        Column(name="model", type="string", meaning="the model that was asked"),
        Column(name="revision", type="string", nullable=True, meaning="its revision or sha256"),
        Column(name="asked", type="json", meaning="the messages, or the text to continue"),
        Column(name="sampling", type="json", meaning="temperature, top_p, seed and the like"),
        Column(name="sample", type="int", meaning="0 for the first answer to the same question"),
        Column(name="answer", type="string", meaning="the text, without what was thought first"),
        Column(name="ended", type="string", meaning="complete, length, filtered, refused, ..."),
        Column(
            name="finish_reason", type="string", nullable=True, meaning="the endpoint's word for it"
        ),
        Column(name="reasoning", type="string", nullable=True, meaning="what was thought first"),
        Column(name="tool_calls", type="json", nullable=True, meaning="each with its arguments"),
        Column(
            name="parsed",
            type="json",
            nullable=True,
            meaning="what the recipe parsed of the answer",
        ),
        Column(
            name="fault", type="string", nullable=True, meaning="why it cannot parse the answer"
        ),
        Column(
            name="answered_by",
            type="string",
            nullable=True,
            meaning="the model reported, @revision",
        ),
        Column(
            name="fingerprint", type="string", nullable=True, meaning="the system's, as reported"
        ),
        Column(name="input_tokens", type="int", nullable=True, meaning="null where unknown"),
        Column(name="output_tokens", type="int", nullable=True, meaning="null where unknown"),
    ),
)

LEFT_OUT = "left out: "  # begins the reason of a row of the source that was left out at reading
DROPPED = Schema(
    name="dropped",
    columns=(
        Column(name="id", type="string", meaning="16 hex digits, unique among the dropped"),
        Column(name="reason", type="string", meaning="one or two words; counted on the card"),
        Column(name="evidence", type="json", meaning="its texts, and what the reason is based on"),
    ),
)

PREFERENCE = Schema(
    name="preference",
    columns=(
        _ID,
        _PROMPT,
        Column(name="chosen", type="messages", meaning="the answer rated better, one turn"),
        Column(name="rejected", type="messages", meaning="the answer rated worse, one turn"),
        Column(name="score_chosen", type="float", meaning="always above `score_rejected`"),
        Column(name="score_rejected", type="float", meaning="on the same scale"),
        Column(name="chosen_model", type="string", nullable=True, meaning="who wrote `chosen`"),
        Column(name="rejected_model", type="string", nullable=True, meaning="who wrote `rejected`"),
    ),
)

PREFERENCE_MARGIN = Schema(
    name="preference-margin",
    columns=(
        *PREFERENCE.columns,
        Column(name="margin", type="float", meaning="the scores' difference; above 0"),
    ),
)

UNPAIRED = Schema(
    name="unpaired-preference",
    columns=(
        Column(name="id", type="string", meaning="16 hex digits, from prompt and completion"),
        _PROMPT,
        _COMPLETION,
        Column(name="label", type="bool", meaning="whether the answer is one to learn from"),
    ),
)

_RATING = "1 to 5; null where it does not apply or could not be parsed"

RATED = Schema(
    name="rated",
    columns=(
        Column(name="id", type="string", meaning="16 hex digits, unique to the rated answer"),
        Column(name="row_id", type="string", meaning="the prompt's id, as in `default`"),
        _PROMPT,
        _COMPLETION,
        Column(name="model", type="string", nullable=True, meaning="who wrote the answer"),
        Column(name="principle", type="string", nullable=True, meaning="what it should follow"),
        Column(name="instruction_following", type="int", nullable=True, meaning=_RATING),
        Column(name="honesty", type="int", nullable=True, meaning=_RATING),
        Column(name="truthfulness", type="int", nullable=True, meaning=_RATING),
        Column(name="helpfulness", type="int", nullable=True, meaning=_RATING),
        Column(name="mean", type="float", nullable=True, meaning="of the ratings given"),
        Column(name="overall", type="int", nullable=True, meaning="the critique's score, 1 to 10"),
        Column(name="critique", type="string", nullable=True, meaning="what could be better"),
        Column(name="rationales", type="json", meaning="the judge's reasons, by aspect"),
    ),
)
