"""The one task most recipes need: ask a teacher what a function of the row says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distilabel.steps.tasks.base import Task


class Ask(Task):  # type: ignore[misc]
    """Asks `build(row)` and puts the text into the column `answer`.

    Attributes:
        build: From a row to chat messages, or to a text that the teacher continues.
        answer: The column for the text; None where a sample failed.
    """

    build: Callable[[dict[str, Any]], Any]
    answer: str

    @property
    def outputs(self) -> list[str]:
        """The answer, and the model that gave it."""
        return [self.answer, "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:  # noqa: A002 - distilabel's name
        """What is asked for a row."""
        return self.build(input)

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> Any:  # noqa: A002, ARG002
        """The text as it came: what it is worth is for the recipe's `row` to say."""
        return {self.answer: output}
