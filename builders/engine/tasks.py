"""The tasks most recipes need: send a teacher one prompt per row, or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from distilabel.steps.base import StepInput
from distilabel.steps.tasks.base import Task

from builders.engine.calls import Parse, Question, Unreadable, Unusable


class Ask(Task):  # type: ignore[misc]
    """Sends the prompt `build(row)` and puts the text of the answer into the column `answer`.

    Attributes:
        build: From a row to chat messages, or to a text that the teacher continues; None if the
            row needs no call: then nothing is paid and the answer is None.
        answer: The column for the text, which is None if a sample failed.
        columns: From the text to further columns; called once per text. A judgement that cannot be
            parsed has None in all of them; or it raises Unreadable, and the row is dropped.
    """

    build: Callable[[dict[str, Any]], Any]
    answer: str
    columns: Callable[[str | None], dict[str, Any]] = lambda _text: {}

    @property
    def outputs(self) -> list[str]:
        """The columns for the answer and for the model that gave it."""
        return [self.answer, "model_name"]

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        """Call the teacher for rows that have a prompt; pass the others through."""
        for row in inputs:
            if self.build(row) is None:
                yield [{**row, self.answer: None}]
                continue
            try:
                yield from super().process([row])
            except Unusable as unusable:
                if self._judges:
                    self.llm.read(self.name, unusable.text, unusable.cause)
                raise

    @property
    def _judges(self) -> bool:
        """Whether further columns are what a judge answered; those of a writer may be None."""
        return self.llm.role.startswith("judge") and "columns" in self.model_fields_set

    def format_input(self, input: dict[str, Any]) -> Any:  # noqa: A002 - distilabel's name
        """The prompt of a row."""
        return self.build(input)

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> Any:  # noqa: A002, ARG002
        """The text as it is, and the further columns; the recipe's `row` decides what to keep."""
        try:
            found = self.columns(output)
        except Unreadable as unreadable:
            self.llm.read(self.name, output or "", unreadable.reason)
            raise
        if found and output is not None:
            missing = self._judges and all(value is None for value in found.values())
            fault = f"no {next(iter(found))}" if missing else None
            self.llm.read(self.name, output, fault, found, needed=self._judges)
        return {self.answer: output, **found}


class AskAll(Ask):
    """Sends all questions of a row at once and puts the replies, in order, into one column.

    Attributes:
        build: From a row to its questions, possibly none.
        answer: The column for the list of replies (`builders.engine.calls.Reply`).
        parse: Parses an answer once; the value stays with the reply as `parsed`.
        tries: The most calls per question, made until an answer can be parsed.
        needed: Whether a row is lost without a parsed answer, so that a build stops while (nearly)
            none can be parsed.
        questions: How many a row usually has, which the progress expects before the first row.
        also: Columns added to every row: what `row` needs to know about the build's options.
    """

    build: Callable[[dict[str, Any]], Sequence[Question]]
    parse: Parse = lambda _question, _answer: None
    tries: int = 1
    needed: bool = True
    questions: int = 1
    also: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        """Send each row's questions; one without an answer does not affect the others."""
        for row in inputs:
            step = self.name if "parse" in self.model_fields_set else ""
            replies = self.llm.replies(
                self.build(row), self.parse, self.tries, step, needed=self.needed
            )
            yield [{**row, **self.also, self.answer: replies}]
