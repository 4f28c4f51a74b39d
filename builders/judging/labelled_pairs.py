"""Pairs of texts that people labelled, for a judge that is asked now, in their published forms.

A row's two texts are in the first columns of `TEXTS` or `BETTER_FIRST` (pair_texts) that it has.
What they answer is in its prompt columns (builders.sources.prompt_columns), or is what two
dialogues begin with. Its label is in `LABELS`, or in a column per annotator. In `BETTER_FIRST` the
label is implied and `a` is drawn from the texts, so that a judge which prefers a place gains
nothing by it.

Source: the files of PandaLM, LLMBar, FairEval, AlpacaEval, Auto-J, JudgeBench, MT-bench, Chatbot
Arena, RewardBench, UltraFeedback, Nectar, HH-RLHF, PKU-SafeRLHF, HelpSteer 1 to 3, SHP, WebGPT
comparisons and Summarize from Feedback, OpenAI's files of preferences, and the exports of Label
Studio and Argilla.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from builders.errors import number_of, shortened
from builders.judging.annotation_exports import exported_label, given_labels, lifted
from builders.judging.annotators import (
    annotator_column,
    annotator_of,
    columns_per_person,
    several_people,
)
from builders.judging.label_values import LABELS, WRITERS, LabelReader, Written, is_label, is_worded
from builders.judging.labelled_sets import own_shape
from builders.judging.pair_forms import (
    LISTS,
    judge_of_preference,
    one_row_each,
    plain_row,
    ranked_pair,
)
from builders.judging.pair_texts import (
    BETTER_FIRST,
    TEXTS,
    Pair,
    end_of,
    said_in,
    shared_turns,
    turns_of,
)
from builders.judging.published_verdicts import has_verdicts
from builders.judging.tables import (
    EQUAL,
    NO_LABEL,
    REPEATED,
    UNLABELLED,
    Row,
    as_written,
    check_share,
    is_missing,
    is_number,
    reading_line,
    with_nulls,
)
from builders.judging.verdicts import Judged
from builders.recipe import short_hash
from builders.sources.column_plan import CONTEXT_COLUMNS, HISTORY_COLUMNS, PROMPT_COLUMNS
from builders.sources.conversations import (
    Reason,
    Turns,
    has_text,
    prompt_of,
    unreadable,
)
from builders.sources.prompt_columns import PromptColumns
from builders.sources.rows import Records
from builders.sources.source import LeftOut, Source, source_records

_OTHER: Mapping[Any, str] = {"a": "b", "b": "a"}
_TWO_QUESTIONS = unreadable(
    "the two dialogues ask different questions; name the one to judge by with --columns prompt=..."
)
# Where no other column is one. `source` mostly says where a row is from.
_PROMPTS = (*HISTORY_COLUMNS, *(x for x in CONTEXT_COLUMNS if x != "source"), "post", "prefix")


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A row's pair; its labels as they are written, and who gave them.

    Attributes:
        annotator: Who labelled it, as `annotator_of`; None without such a column.
        key: Equal for rows whose labels are about one pair.
    """

    place: str
    pair: Pair
    labels: list[Written]
    annotator: str | None
    key: str
    facts: Mapping[str, Any]


def read_pairs(
    source: Source,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, int] | None = None,
    *,
    most: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[list[Pair], Judged]:
    """The pairs to ask a judge about, and their labels; any verdicts in the source are ignored.

    A pair that several people labelled in rows of their own is one pair, also where nobody names
    them but their labels differ. A row without two texts that differ, without a label of a known
    meaning, or with a pair, an id or annotator, and a label that came before is left out.

    Args:
        source: A file, a folder or a Hub dataset.
        columns: From names of `labelled_sets.NAMES` to the source's; the others are found.
        labels: What labels mean, by how they are written; the others are found.
        most: How many pairs are used; None for all.
        report: Is given what was read, in lines.

    Raises:
        InputError: It cannot be read, more than half of it holds no pair, or its labels can have
            two meanings.
    """
    records, _ = source_records(source)
    read_by = _Columns(columns or {}, labels or {})
    found, left_out, total, used = _read_rows(with_nulls(records, read_by.given), read_by)
    for one in found:  # also in rows without the label that is read in the others
        one.labels[:] = [x for x in one.labels if not read_by.is_passed(x)]
    reader = LabelReader(
        Path(source.place).name, [*chain(*(one.labels for one in found))], labels or {}
    )
    labelled, firsts = [], dict[str, _Read]()
    for one in found:
        words: list[Any] = [
            None if is_missing(x.value) else reader.meaning(x) or x for x in one.labels
        ]
        unknown = next((word for word in words if isinstance(word, Written)), None)
        words = [None if isinstance(word, Written) else word for word in words]
        if unknown and not any(words):
            why = f"{unknown.column!r} is {shortened(unknown.value)}, expected a, b or tie"
            left_out.append(LeftOut(one.place, NO_LABEL, f"{why}; give its meaning with --labels"))
        elif not any(words):
            left_out.append(LeftOut(one.place, UNLABELLED, "nobody labelled the pair"))
        else:
            exchanged = one.pair.a != firsts.setdefault(one.key, one).pair.a
            labelled.append((one, [_OTHER.get(x, x) for x in words] if exchanged else words))
    crowd = several_people((one.key, one.annotator, words) for one, words in labelled)
    pairs: dict[str, list[_Read]] = {}  # the rows of each pair, and the labels in them
    people: dict[str, list[str | None]] = {}
    read: set[tuple[str, str | None]] = set()
    for one, words in labelled:
        if one.annotator not in crowd and (one.key, one.annotator) in read:
            left_out.append(LeftOut(one.place, REPEATED, "the same pair came before"))
            continue
        read.add((one.key, one.annotator))
        pairs.setdefault(one.key, []).append(one)
        people.setdefault(one.key, []).extend(words)
    check_share(source, "pairs", len(pairs), left_out)
    asked = [*pairs.items()][:most]
    report(reading_line("pairs", source, len(asked), total, used, left_out))
    report(reader.line(label for _, rows in asked for one in rows for label in one.labels))
    if passed := [*read_by.passed]:
        report(
            f"labels: the numbers in {', '.join(passed)} may be ids or counts, and are not read; "
            f"if they are labels, name them with --columns label={'+'.join(passed)}"
        )
    times = chain(*(Counter(one.annotator for one in rows).values() for _, rows in asked))
    if unnamed := sum(rows for rows in times if rows > 1):
        report(
            f"annotators: {number_of(unnamed, 'rows')} label the same pairs without an annotator "
            "of their own; each counts as one person's, as their labels differ; name the "
            "annotators' column with --columns annotator=..."
        )
    items: list[dict[str, Any]] = []
    for key, [one, *_] in asked:
        texts = {"text_a": one.pair.a, "text_b": one.pair.b}
        items.append({"id": str(len(items)), **one.facts, **texts, "people": people[key]})
    return [rows[0].pair for _, rows in asked], own_shape(items, Path(source.place).stem)[0]


def _read_rows(
    records: Records, columns: _Columns
) -> tuple[list[_Read], list[LeftOut], int, list[str]]:
    """What the rows hold, the rows that hold no pair, how many there are, the columns read."""
    found, left_out, total = [], [], 0
    for place, row, of in one_row_each(records):
        total += of
        read = row if isinstance(row, Reason) else plain_row(lifted(row, LABELS))
        one = read if isinstance(read, Reason) else columns.read(place, read)
        if isinstance(one, Reason):
            left_out.append(LeftOut(place, one.word, one.why))
        else:
            found.append(one)
    return found, left_out, total, [*columns.used]


@dataclass
class _Columns:
    """Reads rows by the columns that the user names, and by those of published sets.

    Attributes:
        named: From names of `--columns` to the source's columns.
        given: What labels mean, by how they are written.
        used: The columns that were read, in their order.
        passed: Columns with a number of each person beside a label, which may be ids or counts.
    """

    named: Mapping[str, str]
    given: Mapping[str, int]
    used: dict[str, None] = field(default_factory=dict)
    passed: dict[str, None] = field(default_factory=dict)
    _prompts: dict[str, PromptColumns] = field(default_factory=dict)
    _texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _exported: dict[tuple[str, ...], str] = field(default_factory=dict)  # labels of these texts

    def read(self, place: str, row: dict[str, Any]) -> _Read | Reason:
        """The pair of a row, or why there is none."""
        file = place.rpartition(", ")[0]
        names = {str(name).strip().lower(): str(name) for name in row}
        ranked = {} if self._find(names) else ranked_pair(row)
        row |= ranked
        names |= {name: name for name in ranked}
        texts = self._texts.get(file) or self._find(names)
        missing = [f"column {name!r}" for name in texts if name not in row]
        if missing or not texts:
            what = missing[0] if missing else "columns with two texts"
            return _absent(row, what, "text_a=...,text_b=...")
        labels = self._labels(row, names, texts)
        if isinstance(labels, Reason):
            return labels
        self._texts[file] = texts
        dialogues = []
        for name in texts:
            turns = turns_of(row[name])
            if isinstance(turns, Reason):
                return Reason(turns.word, f"column {name!r}: {turns.why}")
            dialogues.append(turns[: end_of(turns, row.get("turn"))])
        shared = shared_turns(*dialogues)
        prompt: Any = prompt_of(dialogues[0][:shared]) if shared else self._prompt(file, row, names)
        if isinstance(prompt, Reason):
            return _TWO_QUESTIONS if all(len(turns) > 1 for turns in dialogues) else prompt
        columns = [name for name in LISTS if name in ranked] or texts
        given = [one.column for one in labels if not ranked and not is_missing(one.value)]
        self.used |= dict.fromkeys((*columns, *given))
        own_texts = [said_in(turns[shared:]) for turns in dialogues]
        if own_texts[0].strip() == own_texts[1].strip():
            return Reason(EQUAL, "both texts are the same")
        writers = self._writers(row, names)
        if not labels:  # the first column is the better text
            label = Written(value="a", column="a", texts=("a", "b"))
            if int(short_hash(*own_texts), 16) % 2:
                own_texts, writers = own_texts[::-1], writers[::-1]
                label = Written(value="b", column="a", texts=("a", "b"))
            labels = [label]
        reference = row.get(self.named.get("reference", "reference"))
        annotator = self._annotator(file, row, names, [*texts, *(one.column for one in labels)])
        if isinstance(annotator, Reason):
            return annotator
        facts = {"id": self._named(row, "id", names, ("id", "idx", "pair_id"))}
        facts |= {"adversarial": row.get(self.named.get("adversarial", "adversarial"))}
        facts |= {"writer_a": writers[0], "writer_b": writers[1]}
        alone = [turn["role"] for turn in prompt] == ["user"]
        question = prompt[0]["content"] if alone else prompt
        # Who is named labelled the texts, whatever the row's id, and in whatever order they were.
        whose = [str(facts["id"]), *own_texts] if annotator is None else sorted(own_texts)
        return _Read(
            place=place,
            key=short_hash(json.dumps(question), *whose),
            pair=Pair(
                prompt=question,
                a=own_texts[0],
                b=own_texts[1],
                reference=reference if isinstance(reference, str) and has_text(reference) else None,
            ),
            labels=labels,
            annotator=annotator,
            facts={name: value for name, value in facts.items() if value is not None},
        )

    def is_passed(self, label: Written) -> bool:
        """Whether a label is a number in a column of such that may be no labels."""
        return label.column in map(str.lower, self.passed) and is_number(as_written(label.value))

    def _find(self, names: Mapping[str, str]) -> tuple[str, ...]:
        named = [self.named[name] for name in ("text_a", "text_b") if name in self.named]
        if len(named) == 2:
            return (*named,)
        two = next((two for two in (*TEXTS, *BETTER_FIRST) if {*two} <= {*names}), ())
        return tuple(names[one] for one in two)

    def _named(self, row: Row, name: str, names: Mapping[str, str], usual: Sequence[str]) -> Any:
        """The value of the column that the user names, or of the first usual one."""
        if name in self.named:
            return row.get(self.named[name])
        return next((row[names[one]] for one in usual if one in names), None)

    def _labels(
        self, row: Row, names: Mapping[str, str], texts: tuple[str, ...]
    ) -> list[Written] | Reason:
        """The labels as they are written; none where the columns of the texts are the label."""
        two = (texts[0].lower(), texts[1].lower())
        beside: list[str] = []
        several = columns_per_person(tuple(one for one in names if one not in two))
        if "label" in self.named:
            found = self.named["label"].split("+")
        elif two in BETTER_FIRST:
            return []
        else:
            usual = [one for one in LABELS if one in names]
            if usual[:1] == ["preference"] and (judge := judge_of_preference(row)):
                return unreadable(
                    f"no label of people: 'preference' is from the judge {shortened(judge)}, as in "
                    "AlpacaEval; name people's labels with --columns label=..."
                )
            exported = exported_label(row, names, two, LABELS) or self._exported.get(texts)
            if exported is not None and exported in row:
                self._exported[texts] = exported
                several, usual = [], [exported.strip().lower()]
            found = [names[one] for one in several or usual[:1]]
            beside = [names[one] for one in usual[:1] if several]
        missing = [f"column {name!r}" for name in found if name not in row]
        if missing or not found:
            return _absent(row, missing[0] if missing else "label of people", "label=...")
        writers, shown = self._writers(row, names), (texts[0], texts[1])
        people, one = (
            [
                Written(value=x, column=name.lower(), texts=two, writers=writers, shown=shown)
                for name in columns
                for x in given_labels(row[name], two)
            ]
            for columns in (found, beside)
        )
        worded = any(is_worded(x, self.given) for x in people)
        if worded or not any(is_label(x, self.given) for x in one):
            return people
        self.passed |= dict.fromkeys(x for x in found if is_number(as_written(row[x])))
        return one

    def _annotator(
        self, file: str, row: Row, names: Mapping[str, str], others: Sequence[str]
    ) -> str | Reason | None:
        """Who labelled the row, as `annotator_of`; None without such a column."""
        whose = self.named.get("annotator")
        if whose is None and len({*others}) == 3 and others[2] != "people":
            asked = self._prompts[file].used if file in self._prompts else ()
            left = {*others, *asked, *(["judge"] if has_verdicts(row) else [])}
            whose = annotator_column(
                tuple(name for plain, name in names.items() if not {plain, name} & left)
            )
        if whose is None:
            return None
        if whose not in row:
            return _absent(row, f"column {whose!r}", "annotator=...")
        self.used[whose] = None
        return annotator_of(row[whose])

    def _writers(self, row: Row, names: Mapping[str, str]) -> tuple[Any, Any]:
        if isinstance(both := row.get("cmp_key"), str):  # PandaLM
            return both.partition("_")[0], both.partition("_")[2]
        two = next((two for two in WRITERS if {*two} <= {*names}), ())
        a, b = (
            self._named(row, name, names, two[at : at + 1])
            for at, name in enumerate(("writer_a", "writer_b"))
        )
        return a, b

    def _prompt(self, file: str, row: dict[str, Any], names: Mapping[str, str]) -> Turns | Reason:
        if file not in self._prompts:
            plain = PromptColumns(self.named.get("prompt"), answered=True)
            other = next((names[one] for one in _PROMPTS if one in names), None)
            if not plain.named and not {*PROMPT_COLUMNS} & {*names}:
                plain = PromptColumns(other)
            self._prompts[file] = plain
        texts = self._texts.get(file, ()) if not self._prompts[file].named else ()
        prompt = self._prompts[file].prompt({name: row[name] for name in row if name not in texts})
        if isinstance(prompt, Reason):
            why = prompt.why.replace("name one with --column", "name it with --columns prompt=...")
            return Reason(prompt.word, why)
        self.used |= self._prompts[file].used
        turns: Turns = prompt["prompt"]
        return turns


def _absent(row: Row, what: str, columns: str) -> Reason:
    return unreadable(
        f"no {what}; there are {', '.join(map(str, row))}; name them with --columns {columns}"
    )
