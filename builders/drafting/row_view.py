"""A row as a person reads it in a terminal: chats, chosen beside rejected, evidence, calls.

Rows hold text from anywhere: what could move, hide or reorder other text is shown as an escape.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.thinking import parted
from builders.errors import number_of
from builders.schema import Row, assistant

if TYPE_CHECKING:
    from rich.text import Text

SIDE_BY_SIDE = 90  # columns from which on two answers are side by side
_MOST_LINES, _MOST_CHARACTERS = 8, 600  # of a text that is not shown in full
_BETWEEN = " │ "
_JOINERS = "\u200c\u200d"  # within words and emoji; they move nothing
_STYLES = {"user": "cyan", "assistant": "green", "system": "magenta", "chosen": "green"}
_STYLES |= {"rejected": "red", "reasoning": "dim italic", "twin": "green"}


class Part(NamedTuple):
    """One labelled text of a view; one with `beside` is shown in two columns where there is room.

    `indent` is in characters. Texts are as they came: `rendered` makes them inert.
    """

    label: str
    text: str = ""
    indent: int = 0
    style: str = ""
    beside: tuple[tuple[Part, ...], tuple[Part, ...]] | None = None


BLANK = Part("")


def row_view(row: Row, config: str = "default") -> list[Part]:
    """The parts of a row: its heading, its chats, and its other columns."""
    rest = {name: value for name, value in row.items() if name != "id" and value is not None}
    heading = f"{'kept' if config == 'default' else config} {row.get('id', '')}".strip()
    if config == "calls" and {"asked", "answer"} <= row.keys():
        return _call(row)
    if config == "dropped":
        heading += f": {rest.pop('reason', 'no reason given')}"
        evidence = rest.pop("evidence", {})
        rest |= evidence if isinstance(evidence, Mapping) else {"evidence": evidence}
    style = "bold red" if config == "dropped" else "bold green"
    return [Part(heading, style=style), *_fields(rest, 2)]


def named_parts(name: str, values: Mapping[str, Any]) -> list[Part]:
    """Named values under a heading."""
    return [Part(name, style="bold"), *_fields(values, 2)]


def _call(row: Row) -> list[Part]:
    revision = f"@{row['revision']:.19}" if row.get("revision") else ""
    tokens = " + ".join(
        "?" if row.get(name) is None else f"{row[name]:,}"
        for name in ("input_tokens", "output_tokens")
    )
    ended = str(row.get("ended"))
    if row.get("finish_reason") not in (None, ended):
        ended += f" ({row['finish_reason']})"
    cost = row.get("cost_usd")
    facts = [f"{row.get('role')}", f"{row.get('model')}{revision}", ended, f"{tokens} tokens"]
    most = "at most " if "?" in tokens else ""
    facts += (
        [] if "cost_usd" not in row else [f"{most}{cost:.6g} USD" if cost is not None else "? USD"]
    )
    sampling = row.get("sampling")
    if isinstance(sampling, Mapping):
        sampling = ", ".join(f"{name} {_plain(value)}" for name, value in sampling.items())
    rest = {name: row.get(name) for name in ("sample", "answered_by", "fingerprint")}
    return [
        Part(f"call {row.get('id')}", ", ".join(facts), style="bold blue"),
        *_fields({"sampling": sampling, **rest, "asked": row["asked"]}, 2),
        *_value("reasoning", row.get("reasoning"), 2),
        *_value("answer", row["answer"], 2, "green"),
        *_value("parsed", row.get("parsed"), 2),
        *_value("cannot be parsed", row.get("fault"), 2, "red"),
        *_value("tool calls", row.get("tool_calls"), 2),
    ]


def _fields(values: Mapping[str, Any], indent: int) -> Iterator[Part]:
    """The parts of named values in their order; a pair of answers comes after the prompt."""
    left = {str(name): value for name, value in values.items()}
    chats = [name for name, value in left.items() if _is_chat(value) or name == "prompt"]
    if all(name in chats or isinstance(left.get(name), str) for name in ("chosen", "rejected")):
        chats = [name for name in chats if name not in ("chosen", "rejected")]
        pair = [_side(name, left, indent) for name in ("chosen", "rejected")]
        yield from (part for name in chats for part in _value(name, left.pop(name), indent))
        yield Part("", indent=indent, beside=(pair[0], pair[1]))
    for name, value in left.items():
        yield from _value(name, value, indent)


def _side(name: str, values: dict[str, Any], indent: int) -> tuple[Part, ...]:
    """One answer of a pair, with its score and its writer in the heading; they are taken out."""
    score, model = (values.pop(one, None) for one in (f"score_{name}", f"{name}_model"))
    heading = name if score is None else f"{name}, score {_plain(score)}"
    heading += "" if model is None else f", by {model}"
    answer = values.pop(name)
    turns = assistant(answer) if isinstance(answer, str) else answer
    texts = [*_turns(turns, indent)]
    if len(turns) == 1:
        texts = [
            part._replace(label="" if part.label == "assistant" else part.label, style="")
            for part in texts
        ]
    return (Part(heading, indent=indent, style=f"bold {_STYLES[name]}"), *texts)


def _value(name: str, value: Any, indent: int, style: str = "") -> Iterator[Part]:
    style = style or _STYLES.get(name, "dim")
    if value is None:
        return
    if _is_chat(value):
        if name not in ("prompt", "completion"):
            yield Part(name, indent=indent, style=style)
            indent += 2
        yield from _turns(value, indent)
    elif isinstance(value, Mapping) and value:
        if name == "twin":
            name = f"kept instead: {value.get('id')}"
            value = {key: one for key, one in value.items() if key != "id"}
        yield Part(name, indent=indent, style=style)
        yield from _fields(value, indent + 2)
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for place, one in enumerate(value, 1):
            yield from _value(f"{name} {place}", one, indent, style)
    elif isinstance(value, list) and any(len(str(one)) > 40 for one in value):
        for place, one in enumerate(value, 1):
            yield Part(f"{name} {place}", _plain(one), indent, style)
    else:
        yield Part(name, _plain(value), indent, style)


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and {"role", "content"} <= turn.keys() for turn in value)
    )


def _turns(turns: Iterable[Mapping[str, Any]], indent: int) -> Iterator[Part]:
    """Each turn with its role; what was thought in it is apart, as is all else that it holds."""
    for turn in turns:
        role = str(turn["role"])
        rest = {name: one for name, one in turn.items() if name not in ("role", "content")}
        text = turn["content"]
        if role == "assistant" and isinstance(text, str) and (thought := parted(text)).reasoning:
            rest, text = {"reasoning": thought.reasoning, **rest}, thought.text
        for name, one in rest.items():
            shown = "reasoning" if name in ("reasoning_content", "thinking") else name
            yield from _value(shown, one, indent)
        if text is not None or not rest:
            yield Part(role, _plain(text), indent, _STYLES.get(role, "yellow"))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return ", ".join(map(_plain, value)) or "none"
    return json.dumps(value, ensure_ascii=False, default=str)


# --- in a terminal


def rendered(parts: Sequence[Part], *, width: int, colour: bool, full: bool) -> str:
    """The lines of a view, no wider than `width`; without `full` long texts end early."""
    from rich.console import Console

    file = StringIO()
    console = Console(
        file=file,
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        highlight=False,
    )
    for line in _lines(parts, console, width, full):
        line.rstrip()
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return file.getvalue().removesuffix("\n")


def _lines(parts: Sequence[Part], console: Any, width: int, full: bool) -> Iterator[Text]:
    for part in parts:
        if not part.beside:
            yield from _part_lines(part, console, width, full)
            continue
        left, right = part.beside
        if width < SIDE_BY_SIDE or any(_right_to_left(one.text) for one in (*left, *right)):
            for heading, *texts in part.beside:
                under = (one._replace(indent=one.indent + 2) for one in texts)
                yield from _lines([heading, *under], console, width, full)
        else:
            yield from _columns(left, right, console, width - part.indent, part.indent, full)


def _columns(
    left: Iterable[Part],
    right: Iterable[Part],
    console: Any,
    width: int,
    indent: int,
    full: bool,
) -> Iterator[Text]:
    from rich.text import Text

    each = (width - len(_BETWEEN)) // 2
    sides = (
        _lines([part._replace(indent=part.indent - indent) for part in side], console, each, full)
        for side in (left, right)
    )
    for one, other in zip_longest(*sides, fillvalue=Text("")):
        line = Text(" " * indent) + one
        line.pad_right(indent + each - line.cell_len)
        line.append(_BETWEEN, "dim")
        yield line + other


def _part_lines(part: Part, console: Any, width: int, full: bool) -> Iterator[Text]:
    from rich.text import Text

    label = " ".join(inert(part.label).split())
    text = inert(part.text if full else _shortened(part.text)).strip("\n")
    indent = part.indent
    own_line = Text(label, part.style)
    if label and "\n" in text:
        yield from _indented(own_line.wrap(console, width - indent), indent, indent)
        indent, label = indent + 2, ""
    body = Text("", "dim italic" if part.label == "reasoning" else "")
    if label:
        body.append(f"{label}: " if text else label, part.style)
    body.append(text)
    hanging = 2 if label else 0
    lines = body.wrap(console, width - indent - hanging, tab_size=4, overflow="fold")
    yield from _indented(lines, indent, indent + hanging)


def _indented(lines: Iterable[Text], first: int, others: int) -> Iterator[Text]:
    from rich.text import Text

    for place, line in enumerate([*lines] or [Text("")]):
        yield Text(" " * (others if place else first)) + line


def _shortened(text: str) -> str:
    """The beginning of a long text, with how much more there is."""
    lines = text.strip("\n").split("\n")
    begun = "\n".join(lines[:_MOST_LINES])[:_MOST_CHARACTERS]
    left = len(text) - len(begun)
    return f"{begun.rstrip()} [... {number_of(left, 'more characters')}]" if left > 40 else text


def inert(text: str) -> str:
    """A text whose characters only show themselves; line ends and tabs stay.

    A control character, a terminal's escape and a mark of direction is shown as its number.
    """
    return "".join(
        one if one.isprintable() or one in "\n\t" + _JOINERS else _visible(one)
        for one in text.replace("\r\n", "\n")
    )


def _visible(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return repr(character)[1:-1]


def _right_to_left(text: str) -> bool:
    """Whether a terminal may reorder a line with this text, across the bound of two columns."""
    return any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in text)
