"""The scripted teacher: answers from rules in a file, so that any recipe runs without a model."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builders.engine.answers import answer_in
from builders.engine.calls import Answer, Call, Failure
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError
from builders.hub_vocabulary import licence_facts

_RULE_KEYS = {"when", "answer", "answers", "finish_reason"}


class ScriptedTeacher:
    """Answers by the first rule whose `when` (a regular expression) matches in the prompt's text.

    A .jsonl file has one rule per line: `{"when": "...", "answer": "..."}`. A list `answers` is
    indexed by the sample's number, or by the call's hash for sample 0. In an answer, `{{0}}`,
    `{{1}}` ... are replaced by the match and its groups, `{{sample}}` by the sample's number and
    `{{hash}}` by eight hex digits of the call's id. A .py file has a function
    `answer(call) -> str | dict`.
    """

    def __init__(self, file: str, spec: TeacherSpec) -> None:
        self._path = Path(file)
        self.name = "scripted"
        self._licence = licence_facts(spec.license)
        self.model = spec.model or "scripted"
        self.concurrency = spec.concurrency or 64
        self.learned: dict[str, str] = {}
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise InputError(
                f"the teacher's script {file!r} cannot be read ({error.strerror}); give a .jsonl "
                "file of rules or a .py file"
            ) from None
        self.revision: str | None = "sha256:" + hashlib.sha256(content).hexdigest()
        self._respond = _function(self._path) if self._path.suffix == ".py" else _rules(self._path)

    def identity(self) -> dict[str, Any]:
        """Kind and the script's sha256."""
        return {
            "kind": "scripted",
            "model": self.model,
            "revision": self.revision,
            "file": self._path.name,
            **self._licence,
        }

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def ask(self, call: Call) -> Answer:
        """The answer of the first rule that matches; tokens are counted as words."""
        try:
            response = self._respond(call)
        except SystemExit as error:
            raise InputError(
                f"{self._path.name}: answer(call) exits ({error}), expected a text; fix it"
            ) from None
        given: Any = {"text": response} if isinstance(response, str) else response
        if not isinstance(given, Mapping) or not isinstance(given.get("text"), str):
            raise TypeError(  # costs one row, as any error of the function
                f"{self._path.name}: answer(call) returned {reprlib.repr(response)}, expected a "
                "text, or a dict with one as 'text'; fix it"
            )
        about = {name: given[name] for name in ("reasoning", "tool_calls") if name in given}
        choice = {
            "message": {"content": given["text"], **about},
            "finish_reason": given.get("finish_reason", "stop"),
            "logprobs": {"content": given.get("logprobs")},
        }
        words = {"prompt_tokens": len(str(call.prompt).split())}
        words["completion_tokens"] = len(given["text"].split())
        answer = answer_in(
            {"choices": [choice], "usage": words, "model": given.get("model", self.model)}
        )
        assert answer is not None  # there is a message
        return answer


def _function(path: Path) -> Callable[[Call], Any]:
    try:
        answer = runpy.run_path(str(path)).get("answer")
    except (SystemExit, Exception) as error:  # the user's script can raise anything
        raise InputError(
            f"{path.name} does not run ({type(error).__name__}: {error}); fix it"
        ) from error
    if not callable(answer):
        raise InputError(
            f"{path.name} has no function answer(call); expected one that returns a text; add it"
        )
    function: Callable[[Call], Any] = answer
    return function


def _rules(path: Path) -> Callable[[Call], Any]:
    rules = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rules.append(_rule(f"{path.name}, line {number}", line))
    if not rules:
        raise InputError(f"{path.name} has no rule; expected one JSON object per line; add one")

    def respond(call: Call) -> dict[str, Any]:
        for pattern, answers, finish_reason in rules:
            if found := pattern.search(call.text):
                pick = call.sample or int(call.id[:8], 16)
                text = answers[pick % len(answers)]
                values = {"sample": str(call.sample), "hash": call.id[:8]}
                values |= {str(n): found[n] or "" for n in range(pattern.groups + 1)}
                for name, value in values.items():
                    text = text.replace("{{" + name + "}}", value)
                return {"text": text, "finish_reason": finish_reason}
        raise Failure("no rule", f"no rule of {path.name} matches {call.text[:60]!r}")

    return respond


def _rule(where: str, line: str) -> tuple[re.Pattern[str], list[str], str]:
    try:
        rule = json.loads(line)
        pattern = re.compile(rule.get("when", ""), re.DOTALL)
    except (ValueError, AttributeError, TypeError, re.error) as error:
        raise InputError(f"{where}: not a rule ({error}); fix the line") from None
    answers = rule.get("answers", [rule.get("answer")])
    if set(rule) - _RULE_KEYS or not answers or not all(isinstance(one, str) for one in answers):
        raise InputError(
            f"{where}: expected 'when' and a text as 'answer' (or a list as 'answers'), "
            f"got {sorted(rule)}; fix the line"
        )
    return pattern, answers, str(rule.get("finish_reason", "stop"))
