"""The two forms of seeds: prompts, from texts or dialogues, and the tasks of Self-Instruct.

Source: Self-Instruct, Wang et al. 2022 (https://arxiv.org/abs/2212.10560), for the tasks.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, TypeGuard

from builders.errors import InputError, number_of, shortened
from builders.recipe import Raw, fingerprint, row_id, short_hash
from builders.sources.column_plan import (
    CONTEXT_COLUMNS,
    OPTIONS,
    TURN_COLUMNS,
    may_be_of_sample,
    plain,
)
from builders.sources.column_texts import is_empty
from builders.sources.conversations import (
    EMPTY,
    UNREADABLE,
    Reason,
    fault_of,
    has_text,
    unreadable,
)
from builders.sources.first_rows import has_answer, words_of_nothing
from builders.sources.prompt_columns import PromptColumns
from builders.sources.rows import Records, Row, Unreadable, missing_words
from builders.sources.source import (
    LeftOut,
    LoadedSource,
    Source,
    shown_name,
    skipped_files,
    source_records,
)
from builders.spool import Spool

_TASK = (
    '{"instruction": "Name a fruit.", "instances": [{"input": "", "output": "Pear"}], '
    '"is_classification": false}'
)
REPEATED, SAME = "repeated", "same prompt"
_FIRST = 100  # rows of a file that show in which column it asks
_ABOUT = {*TURN_COLUMNS, *CONTEXT_COLUMNS} - {*OPTIONS}  # where a word may mean nothing
_MOST_TEXTS = 10_000  # beside prompts, that are compared
MOST_UNREADABLE = 0.5  # of the rows that were read: a larger share is no accident


def read_tasks(source: Source) -> LoadedSource:
    """Seed tasks, each with id, instruction, instances and is_classification.

    Raises:
        InputError: The source is missing, unreadable or empty, more than half of its rows are not
            tasks, or it names a column.
    """
    if source.column:
        raise InputError(f"column {source.column!r}: seeds are whole rows; leave the column out")
    seen: dict[str, set[str]] = defaultdict(set)  # by id the tasks that have it
    return _read(source, "seeds", lambda row: _distinct(_task(row), seen), [])


def _distinct(task: Raw | Reason, seen: dict[str, set[str]]) -> Raw | Reason:
    """A task that did not come before, with an id of its own: two files may both count from 0."""
    if isinstance(task, Reason):
        return task
    same, content = seen[task["id"]], short_hash(json.dumps(task))
    if content in same:
        return Reason(REPEATED, f"the same task came before, as {task['id']!r}")
    same.add(content)
    return {**task, "id": f"{task['id']}-{content}"} if len(same) > 1 else task


def _task(row: Row) -> Raw | Reason:
    kinds: dict[str, type] = {"instruction": str, "instances": list, "is_classification": bool}
    if missing := [name for name in kinds if name not in row]:
        return unreadable(f"no field {', '.join(map(repr, missing))}; a seed is such as {_TASK}")
    for name, kind in kinds.items():
        if not isinstance(row[name], kind):
            return unreadable(f"{name!r} is {shortened(row[name])}, expected a {kind.__name__}")
    instances = []
    for instance in row["instances"]:
        if not isinstance(instance, Mapping) or not {"input", "output"} <= set(instance):
            return unreadable(
                f"an instance is {shortened(instance)}, expected an object with 'input' and "
                "'output'"
            )
        texts = {name: instance[name] for name in ("input", "output")}
        texts = {name: "" if is_empty(text) else text for name, text in texts.items()}
        if odd := next((name for name, text in texts.items() if not isinstance(text, str)), None):
            return unreadable(
                f"the {odd} of an instance is {shortened(texts[odd])}, expected a text"
            )
        instances.append(texts)
    all_texts = [row["instruction"], *(text for one in instances for text in one.values())]
    if fault := next(filter(None, map(fault_of, all_texts)), None):
        return fault
    if not has_text(row["instruction"]):
        return EMPTY
    return {
        "id": row_id(row["instruction"]) if is_empty(row.get("id")) else str(row["id"]),
        "instruction": row["instruction"],
        "instances": instances,
        "is_classification": row["is_classification"],
    }


def read_prompts(
    source: Source,
    keeps: Sequence[str] = (),
    most: int | None = None,
    *,
    folder: Path | None = None,
) -> LoadedSource:
    """Prompts as `{"id", "prompt": messages}`, the first `most` of them.

    A text becomes one user turn; a dialogue is kept up to its last user turn. The texts of a row
    in the columns `keeps` are added to its prompt. With a `folder` the prompts are on its disk
    rather than in memory.

    Raises:
        InputError: The source is missing, unreadable or empty, or more than half of its rows hold
            no prompt that can be read.
    """
    columns = PromptColumns(source.column, keeps)
    rows: list[Raw] | Spool[Raw] = Spool(folder) if folder else []
    usual = partial(_of_the_usual_form, columns)
    repeated = _Repeated(columns)
    loaded = _read(source, "prompts", columns.prompt, rows, most, usual, repeated)
    same = sum(one.reason == SAME for one in loaded.left_out)
    are_asked = same > len(rows) and 2 * repeated.asked >= same
    if len(rows) == 1 and repeated.unsure:
        columns.doubt(repeated.unsure, next(iter(repeated.unsure.values())))
    if same and columns.doubtful and (len(rows) == 1 or are_asked):
        raise InputError(_of_few_prompts(source, columns, len(rows), same))
    return loaded._replace(
        columns=[*columns.used],
        forms=[*map(list, columns.forms.values())],
        unused=columns.unused,
        doubtful=columns.doubtful,
        with_answers=columns.with_answers,
    )


class _Repeated:
    """Tells the rows that came before from those that only ask the same.

    `columns` are those of prompts; without them a row came before if its id did. `asked` counts
    those that differ in what is surely no answer: another column is one, or other prompts have the
    same beside them.
    """

    def __init__(self, columns: PromptColumns | None = None) -> None:
        self._columns = columns
        self._ids: set[int] = set()
        self._with_texts: set[int] = set()  # of a prompt and the texts beside it
        self._prompt_of: dict[int, str] = {}  # by the first texts, where they were first
        self.asked = 0
        self.unsure: dict[str, Row] = {}  # columns in which rows differ, with one of the rows

    def reason(self, row: Row, one: Raw) -> Reason | None:
        """Why a row is left out, if so."""
        texts = self._columns.beside(row, one["prompt"]) if self._columns else {}
        is_new = _added(self._ids, one["id"])
        differs = bool(texts) and _added(self._with_texts, json.dumps([one["id"], texts]))
        parts = self._parts(row, texts, one["id"])
        differs = differs and not is_new
        if differs:
            answered = has_answer(row)
            self.asked += any(not may_be_of_sample(name, answered=answered) for name in parts)
            self.unsure |= dict.fromkeys(texts, row)
        named = [name for name in parts if self.unsure.pop(name, None)]
        if named and self._columns:
            self._columns.doubt(named, row)
        if is_new:
            return None
        if differs:
            return Reason(
                SAME, f"it asks the same as a row before it, and differs in {' or '.join(texts)}"
            )
        return Reason(REPEATED, f"the id {one['id']!r} came before")

    def _parts(self, row: Row, texts: Mapping[str, str], prompt: str) -> Sequence[str]:
        """The columns with texts that are no answers, so that they may be part of a prompt."""
        if not texts or has_answer(row):
            return [*texts]
        parts = [name for name in texts if not may_be_of_sample(name, answered=False)] or [*texts]
        key = fingerprint(json.dumps([[name, texts[name]] for name in parts]))
        if len(self._prompt_of) < _MOST_TEXTS:
            self._prompt_of.setdefault(key, prompt)
        return parts if self._prompt_of.get(key, prompt) != prompt else []


def _added(known: set[int], text: str) -> bool:
    size = len(known)
    known.add(fingerprint(text))
    return len(known) > size


def _of_few_prompts(source: Source, columns: PromptColumns, prompts: int, same: int) -> str:
    ways = [f"--column {names}" for names in columns.doubtful.values()]
    ask = "ask the same" if prompts == 1 else f"ask one of {prompts:,} prompts"
    each = "it" if prompts == 1 else "each"
    return (
        f"{shown_name(source.place)}: {prompts + same:,} rows {ask} and differ beside it; choose "
        f"what to join: {' or '.join(ways)}; or --column {next(iter(columns.forms))} to ask {each} "
        "once"
    )


def _read(
    source: Source,
    what: str,
    read: Callable[[Row], Raw | Reason],
    rows: list[Raw] | Spool[Raw],
    most: int | None = None,
    checked: Callable[[Records], Records] = iter,
    repeated: _Repeated | None = None,
) -> LoadedSource:
    records, revision = source_records(source)
    repeated = repeated or _Repeated()
    left_out: list[LeftOut] = []
    parts: dict[str, None] = {}
    beyond = 0
    for place, row in checked(records):
        if most is not None and len(rows) >= most:
            beyond += 1
            continue
        part = _file_of(place)
        if part:  # not of a file that is left out as a whole
            parts[part] = None
        one = unreadable(row.why) if isinstance(row, Unreadable) else read(row)
        if not isinstance(one, Reason):
            one = repeated.reason(row, one) or one  # type: ignore[arg-type]
        if isinstance(one, Reason):
            left_out.append(LeftOut(place, *one, before=len(rows)))
        else:
            rows.append(one)
    _check_share(source, what, len(rows), left_out)
    skipped = skipped_files(source)
    return LoadedSource(rows, revision, left_out, beyond, parts=[*parts], skipped=skipped)


def _of_the_usual_form(columns: PromptColumns, records: Records) -> Records:
    """The rows, those as unreadable that lack the column in which most of their file's ask.

    What a prompt may be about is null where it is a word that there is nothing.
    """
    for file, rows in groupby(_with_instances(records), key=lambda record: _file_of(record[0])):
        missing = missing_words(file)
        first = [*islice(rows, _FIRST)]
        readable = [row for _, row in first if not isinstance(row, Unreadable)]
        columns.compare(readable)
        usual = Counter(name for row in readable if (name := columns.asked(row)) is not None)
        asks = next((name for name, _ in usual.most_common(1)), None)
        names = {name for row in readable for name in row if plain(name) in _ABOUT}
        nothing = {name: words_of_nothing(readable, name, missing) for name in names}
        if asks is not None:
            nothing[asks] = words_of_nothing(readable, asks, missing) if missing else set()
        for place, row in chain(first, rows):
            if asks is None or not isinstance(row, dict):
                yield place, row
            elif asks not in row and columns.asked(row):
                why = f"no column {asks!r}; there are {', '.join(map(str, row))}"
                yield place, Unreadable(f"{why}; name one with --column")
            elif isinstance(row.get(asks), str) and row[asks] in nothing[asks]:
                why = f"column {asks!r} is {row[asks]!r}, which marks a missing value"
                yield place, Unreadable(f"{why}; fill it in or delete the row")
            else:
                empty = [x for x in nothing if isinstance(row.get(x), str) and row[x] in nothing[x]]
                yield place, {**row, **dict.fromkeys(empty)} if empty else row


def _with_instances(records: Records) -> Records:
    """The rows, where a task of Self-Instruct is one for each of its instances."""
    for place, row in records:
        found = row.get("instances") if isinstance(row, dict) and "instruction" in row else None
        if not isinstance(row, dict) or not _are_instances(found):
            yield place, row
            continue
        task = {name: value for name, value in row.items() if name != "instances"}
        for one in found:
            yield place, {**task, **one, **task}


def _are_instances(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and "input" in one for one in value)
    )


def _file_of(place: str) -> str:
    return place.rpartition(", ")[0]


def _check_share(source: Source, what: str, rows: int, left_out: Sequence[LeftOut]) -> None:
    """Refuse a source if too little of it can be read.

    Raises:
        InputError: With the first row that could not be read.
    """
    split = f", split {source.split!r}" if source.split else ""
    name, read = f"{shown_name(source.place)}{split}", rows + len(left_out)
    broken = [one for one in left_out if one.reason == UNREADABLE]
    if broken and (not rows or len(broken) > MOST_UNREADABLE * read):
        share = "more than half" if rows else f"0 {what} left"
        raise InputError(
            f"{name}: {len(broken):,} of {number_of(read, 'rows')} cannot be read, {share}; the "
            f"first is {broken[0].place}: {broken[0].why}"
        )
    if not rows:
        reasons = ", ".join(f"{n:,} {word}" for word, n in counted(left_out).items())
        raise InputError(
            f"{name}: 0 {what} left{reasons and f' ({reasons})'}; expected at least one row with "
            "text; give another source"
        )


def counted(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """How many rows were left out for each reason, in alphabetical order."""
    return dict(sorted(Counter(one.reason for one in left_out).items()))
