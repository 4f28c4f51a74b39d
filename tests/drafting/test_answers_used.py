"""Which answers of an endpoint become rows, and what a build prints and records about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.answer_counts import AnswerCounts, is_another, warnings
from builders.drafting.draft import Draft, last_draft
from builders.schema import CALLS
from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Body, Endpoint

GOOD = "It is a plain answer of one sentence, about {}."
TOOL = [{"id": "1", "function": {"name": "look_up", "arguments": "{}"}}]


def reply(content: Any, finish: Any = "stop", **message: Any) -> Body:
    choice = {"index": 0, "message": {"content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    about = {"model": "scripted-model", "system_fingerprint": "fp_7", "usage": usage}
    return {"choices": [choice], **about}


class Builds:
    """Builds of one folder of prompts with an endpoint that answers by a function of the prompt."""

    def __init__(self, folder: Path, answer: Callable[[str], Body], prompts: list[str]) -> None:
        self.folder = folder
        self.endpoint = Endpoint(
            Behaviour(answer=lambda body: answer(str(body["messages"][-1]["content"])))
        )
        (folder / "prompts.txt").write_text("".join(f"{one}\n" for one in prompts))

    def build(self, *words: str) -> Draft:
        place = ["--prompts", str(self.folder / "prompts.txt"), "--work", str(self.folder / "work")]
        asked = ["--teacher", self.endpoint.url, "--model", "scripted-model", "--samples", "1"]
        assert main(["build", "completions", *place, *asked, *words]) == 0
        return last_draft(self.folder / "work" / "completions")


CASES: dict[str, tuple[Body, str | None, str]] = {  # the answer, the reason of the drop, its text
    "one": (reply("It is a plain one."), None, ""),
    "two": (reply("Half of it, then", "max_tokens"), "cut off", "Half of it, then"),
    "three": (reply("Half of it", "content_filter"), "filtered", "Half of it"),
    "four": (reply(None, "SAFETY"), "filtered", ""),
    "five": (reply(None, refusal="No, I will not."), "refused", "No, I will not."),
    "six": (reply(None, "tool_calls", tool_calls=TOOL), "tool call", ""),
    "seven": (reply("Half of it", "abort"), "broken off", "Half of it"),
    "eight": (reply("Half of it", "sabbatical"), "unknown end", "Half of it"),
    "nine": (reply(None, "length", reasoning_content="On and on"), "cut off", ""),
    "ten": (reply(None), "empty", ""),
    "eleven": (reply("A.<|im_end|>\n<|im_start|>user\nB?"), "template marks", "A.<|im_end|>"),
    "twelve": (reply("<think>\nSo.\n</think>\n\nIt is a thought-out one."), None, ""),
}


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path, lambda prompt: CASES[prompt][0], [*CASES])


def test_only_complete_answers_become_rows_and_each_other_is_dropped_with_what_came(
    builds: Builds, capsys: pytest.CaptureFixture[str]
) -> None:
    with builds.endpoint as endpoint:
        draft = builds.build()
        assert [one.path for one in endpoint.requests].count("/v1/chat/completions") == len(CASES)
        builds.build()  # every answer, used or not, is in the ledger
        assert [one.path for one in endpoint.requests].count("/v1/chat/completions") == len(CASES)
    kept = {row["prompt"][0]["content"]: row["completion"][0]["content"] for row in draft.stream()}
    assert kept == {"one": "It is a plain one.", "twelve": "It is a thought-out one."}
    evidence = [(row["reason"], json.loads(row["evidence"])) for row in draft.stream("dropped")]
    found = {one["prompt"][0]["content"]: (reason, one) for reason, one in evidence}
    for prompt, (body, reason, text) in CASES.items():
        if reason:
            assert found[prompt][0] == reason, prompt
            assert found[prompt][1]["answer"].startswith(text)
            assert found[prompt][1]["finish_reason"] == body["choices"][0]["finish_reason"]
    assert found["nine"][1]["reasoning"] == "On and on"
    calls = {json.loads(row["asked"])[0]["content"]: row for row in draft.stream("calls")}
    assert all(CALLS.problem(row) is None for row in calls.values()) and len(calls) == len(CASES)
    assert (calls["twelve"]["answer"], calls["twelve"]["reasoning"]) == (kept["twelve"], "So.")
    assert json.loads(calls["six"]["tool_calls"])[0]["function"]["name"] == "look_up"
    assert {row["fingerprint"] for row in calls.values()} == {"fp_7"}
    assert {row["output_tokens"] for row in calls.values()} == {7}
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 answer of the writer ended as 'sabbatical'" in printed


def test_every_answer_that_cannot_be_used_is_dropped_however_many_a_prompt_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half, whole = reply("Half of", "length"), reply("It is a whole one.")
    builds = Builds(
        tmp_path, lambda prompt: {"ants": half, "bees": whole}[prompt], ["ants", "bees"]
    )
    with builds.endpoint:
        draft = builds.build("--samples", "3", "--choose", "longest")
    assert draft.counts["made"] == 6 and draft.counts["dropped"]["cut off"] == 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "note: 3 answers cut off; a larger --max-tokens, now 400, lets them end" in printed


def test_a_missing_end_is_trusted_for_the_teacher_that_the_user_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds(tmp_path, lambda prompt: reply(GOOD.format(prompt), None), ["ants", "bees"])
    with builds.endpoint as endpoint:
        assert builds.build().counts["dropped"] == {"unknown end": 2}
        printed = " ".join(capsys.readouterr().out.split())
        offer = f"--trust-missing-end {endpoint.url}"
        assert "2 answers of the writer without a reported end" in printed and offer in printed
        assert "no row was kept: all are dropped as 'unknown end'; `potstill show" in printed
        trusting = builds.build(*offer.split())
        assert trusting.counts["kept"] == 2 and "reported end" not in capsys.readouterr().out
        assert trusting.facts["lineage"]["teachers"]["writer"]["trusts_missing_end"] is True
        assert len(endpoint.requests) < 8  # two calls in all, and lists of models
        assert builds.build("--from-ledger").counts["kept"] == 2
        assert builds.build().counts["kept"] == 0


def test_a_teacher_to_trust_must_be_one_of_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("ants\n")
    words = ["build", "completions", "--prompts", str(tmp_path / "prompts.txt"), "--work"]
    words += [str(tmp_path / "work"), "--trust-missing-end", "http://127.0.0.1:9/v1"]
    assert main([*words, "--teacher", "http://127.0.0.1:8/v1"]) == 1
    error = capsys.readouterr().err
    assert "--trust-missing-end 'http://127.0.0.1:9/v1'" in error
    assert "http://127.0.0.1:8/v1" in error


def test_another_model_than_asked_is_counted_in_the_lineage_and_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(prompt: str) -> Body:
        model = "other/fallback" if prompt == "bees" else "scripted-model-2026-01-31"
        return {**reply(GOOD.format(prompt)), "model": model, "model_revision": "r3"}

    builds = Builds(tmp_path, answer, ["ants", "bees", "cats"])
    with builds.endpoint:
        draft = builds.build()
    by_model = {one["answered_by"]: one["calls"] for one in draft.facts["lineage"]["answers"]}
    assert by_model == {"other/fallback@r3": 1, "scripted-model-2026-01-31@r3": 2}
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 answers of the writer came from 'other/fallback@r3'" in printed
    assert printed.count("2026-01-31") == 0


@each(
    ("asked", "answered", "another"),
    [
        ("m", "m", False),
        ("gpt-4o", "gpt-4o-2024-08-06", False),
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", True),
        ("gpt-4o", "gpt-4o-mini", True),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", True),
        ("gpt-4", "gpt-4-0613", False),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", False),
        ("claude-3-opus", "claude-3-opus@20240229", False),
        ("gemini-1.5-pro", "models/gemini-1.5-pro-002", False),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", False),
        ("together_ai/meta-llama/Llama-3-8B", "meta-llama/llama-3-8b", False),
        ("meta-llama/Llama-3-8B", "someone/Llama-3-8B", True),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1", False),
        ("llama3", "llama3:latest", False),
        ("llama3:8b", "llama3:70b", True),
        ("Qwen/Qwen3-8B", "/models/Qwen3-8B.gguf", False),
        ("qwen3-8b", "/models/Qwen3-8B.gguf", False),
        ("m", "m@r3", False),
        ("m", "another/model-fallback", True),
    ],
)
def test_a_model_is_another_by_more_than_date_provider_and_variant(
    asked: str, answered: str, another: bool
) -> None:
    assert is_another(asked, answered) is another


def test_more_fingerprints_than_a_server_has_versions_are_no_list() -> None:
    counts = AnswerCounts()
    base = {"role": "judge", "model": "m", "answered_by": None, "ended": "complete"}
    for number in range(50):
        counts.add({**base, "fingerprint": f"fp_{number}", "finish_reason": "stop"})
    [one] = counts.facts()
    assert (one["fingerprint"], one["calls"]) == ("more than 20", 50)
    assert warnings(counts.facts(), {}) == []
