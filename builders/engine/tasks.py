"""The tasks most recipes need: ask a teacher what a function of the row says, once or often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from distilabel.steps.base import StepInput
from distilabel.steps.tasks.base import Task

from builders.engine.calls import Parse, Question


class Ask(Task):  # type: ignore[misc]
    """Asks `build(row)` and puts the text into the column `answer`.

    Attributes:
        build: From a row to chat messages, or to a text that the teacher continues; None where
            there is nothing to ask, so nothing is paid and the answer is None.
        answer: The column for the text; None where a sample failed.
        columns: From the text to further columns; called once for each text.
    """

    build: Callable[[dict[str, Any]], Any]
    answer: str
    columns: Callable[[str | None], dict[str, Any]] = lambda _text: {}

    @property
    def outputs(self) -> list[str]:
        """The answer, and the model that gave it."""
        return [self.answer, "model_name"]

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        """Ask for the rows that have something to ask; the others pass."""
        for row in inputs:
            if self.build(row) is None:
                yield [{**row, self.answer: None}]
            else:
                yield from super().process([row])

    def format_input(self, input: dict[str, Any]) -> Any:  # noqa: A002 - distilabel's name
        """What is asked for a row."""
        return self.build(input)

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> Any:  # noqa: A002, ARG002
        """The text as it came, and the further columns: the recipe's `row` judges them."""
        return {self.answer: output, **self.columns(output)}


class AskAll(Ask):
    """Asks all questions of a row at once and puts their replies, in order, into one column.

    Attributes:
        build: From a row to its questions; none where there is nothing to ask.
        answer: The column for the list of replies (`builders.engine.calls.Reply`).
        parse: Parses an answer once; the value stays with the reply as `parsed`.
        tries: How often a question is asked until its answer can be parsed.
        also: Columns for every row: what `row` needs to know of the build's options.
    """

    build: Callable[[dict[str, Any]], Sequence[Question]]
    parse: Parse = lambda _question, _answer: None
    tries: int = 1
    also: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        """Ask for each row; a question without an answer leaves the others theirs."""
        for row in inputs:
            replies = self.llm.replies(self.build(row), self.parse, self.tries)
            yield [{**row, **self.also, self.answer: replies}]
