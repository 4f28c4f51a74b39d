"""A preview: a few rows end to end, which the later build does not pay for again."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import CONTINUED, INSTANCES, write_seeds
from tests.endpoint import WORDS, Behaviour, Body, Endpoint

PROMPTS = 12
LABELS = re.compile(r"^(Text \d+ <\w+>)$", re.MULTILINE)
Shown = Callable[..., str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with prompts and seed tasks."""
    monkeypatch.chdir(tmp_path)
    lines = [f"What is {n} plus {n}?" for n in range(PROMPTS)]
    Path("prompts.txt").write_text("\n".join(lines), encoding="utf-8")
    write_seeds(tmp_path)


def answering(body: Body) -> str | Body:
    """Writers answer by the seed, every third one refuses; a judge rates, scores and compares."""
    text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    seed = int(body["seed"])
    if text.startswith("Think of a series"):
        return CONTINUED[seed % len(CONTINUED)]
    if text.endswith("Is it classification?"):
        return "No"
    if text.startswith("Write examples of each task"):
        return INSTANCES[seed % len(INSTANCES)]
    if body["model"] != "judge":
        return f"It is \x1b[31m{seed}. " + "And more of it. " * 60
    if "Criticise a text" in text:
        return json.dumps({"critique": "Thin.", "score": 1 + seed % 10})
    if labels := LABELS.findall(text):
        rated = [{"label": one, "rationale": "So.", "rating": 1 + (seed + n) % 5}
                 for n, one in enumerate(labels)]  # fmt: skip
        return json.dumps({"ratings": rated})
    return f"Good.\n[[{1 + seed % 10 if 'Judge how well' in text else 'A'}]]"


def words(endpoint: Endpoint, recipe: str, *more: str) -> list[str]:
    source = "seeds=seeds.jsonl" if recipe == "instructions" else "prompts=prompts.txt"
    teachers = ["--teacher", f"{endpoint.url}#writer"]
    if recipe != "instructions":
        teachers += ["--teacher", f"judge={endpoint.url}#judge"]
    return [recipe, f"--{source}", *teachers, "--price", "1/10", *more]


def sent(endpoint: Endpoint) -> Counter[str]:
    """How often each body was sent."""
    posts = [one for one in endpoint.requests if one.method == "POST"]
    return Counter(json.dumps(one.body, sort_keys=True) for one in posts)


RECIPES = {
    "completions": ["--samples", "2"],
    "ultrafeedback": ["--writers", "2"],
    "constitution": ["--verdict", "reasons"],
    "instructions": [],
}


@pytest.mark.parametrize(("recipe", "options"), RECIPES.items(), ids=[*RECIPES])
def test_the_build_after_a_preview_pays_for_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, options: list[str]
) -> None:
    rows = ["--rows", "6"]
    with Endpoint(Behaviour(answer=answering)) as endpoint:
        fresh = words(endpoint, recipe, *options, "--work", str(tmp_path / "fresh"))
        assert main(["build", *fresh, *rows]) == 0
        alone = sent(endpoint)
    with Endpoint(Behaviour(answer=answering)) as endpoint:
        given = words(endpoint, recipe, *options)
        assert main(["preview", *given, "--json", "--rows", "2"]) == 0
        facts = json.loads(capsys.readouterr().out.splitlines()[-1])
        previewed = sent(endpoint)
        assert 0 < previewed.total() < alone.total()
        assert not list(Path("work").glob("*/drafts/*"))
        assert main(["preview", *given, "--rows", "2"]) == 0
        assert sent(endpoint) == previewed
        assert main(["build", *given, *rows]) == 0
        assert sent(endpoint) == alone and {*alone.values()} == {1}
    # Each call is in one group, and the groups add up to the sample of the estimate.
    calls = [call for group in facts["rows"] for call in group["calls"]]
    assert len({call["id"] for call in calls}) == len(calls) == previewed.total()
    assert facts["estimate"]["sampled_calls"] == len(calls)
    for group in facts["rows"]:
        cost = sum(call["cost_usd"] for call in group["calls"])
        assert group["usd"] == pytest.approx(cost, abs=1e-9) and cost > 0
        assert group["outcomes"] or group["spare"]
        judged = [call for call in group["calls"] if call["role"] == "judge"]
        assert all(call["parsed"] is not None for call in judged)
        assert judged or recipe == "instructions"


def test_what_each_role_was_asked_answered_and_parsed_and_the_outcome_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = iter(("Two.", "It is two."))

    def answer(body: Body) -> str | Body:
        if body["model"] == "judge":
            return "Good.\n[[7]]"
        usage = {"prompt_tokens": 10, "completion_tokens": 1000}
        message = {"role": "assistant", "reasoning_content": "Let me add.", "content": next(texts)}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    with Endpoint(Behaviour(answer=answer)) as endpoint:
        given = words(endpoint, "completions", "--samples", "2", "--concurrency", "1")
        assert main(["preview", *given, "--rows", "1"]) == 0
        out = capsys.readouterr().out
    assert out.startswith("1 of 1: 4 calls, 154 + 2,004 tokens, ")
    calls, *outcomes = re.split(r"^(?=kept |dropped )", out, flags=re.MULTILINE)
    writer, *_, judge = re.split(r"^call ", calls, flags=re.MULTILINE)[1:]
    assert re.match(r"\w{16}: writer, writer, complete \(stop\), 10 \+ 1,000\s+tokens", writer)
    assert "  asked\n    user: What is 0 plus 0?\n" in writer
    assert "  reasoning: Let me add.\n  answer: Two.\n" in writer and "parsed" not in writer
    assert "Judge how well the assistant answered" in judge
    assert judge.rstrip().endswith("answer\n    Good.\n    [[7]]\n  parsed\n    score: 7")
    kept, dropped = outcomes
    assert kept.startswith("kept ") and "assistant: Two." in kept
    assert re.match(r"dropped \w{16}: not chosen\n", dropped)
    assert re.search(
        r"^12 prompts, from a sample of 1 that the ledger keeps:\ncalls +48\n"
        r"tokens +[\d,]+ \([\d,]+ to [\d,]+\)\nUSD +[\d.]+ \([\d.]+ to [\d.]+\)\n\Z",
        dropped,
        re.MULTILINE,
    )


@pytest.mark.parametrize("place", ["draft", "release"])
@pytest.mark.parametrize("recipe", ["completions", "ultrafeedback", "constitution"])
def test_why_shows_what_the_recipe_parsed_of_each_judgement(
    capsys: pytest.CaptureFixture[str], recipe: str, place: str
) -> None:
    def answer(body: Body) -> str | Body:
        return "Both." if body["model"] == "judge" and body["seed"] % 3 == 0 else answering(body)

    shown: Any = None
    with Endpoint(Behaviour(answer=answer)) as endpoint:
        given = words(endpoint, recipe, *RECIPES[recipe], "--license", "cc0-1.0")
        assert main(["preview", *given, "--json", "--rows", "3"]) == 0
        facts = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert main(["build", *given]) == 0
    if place == "release":
        assert main(["release", recipe, "--to-folder", "out"]) == 0
    read = {(call["id"], json.dumps(call["parsed"]), call["fault"])
            for group in facts["rows"] for call in group["calls"]}  # fmt: skip
    judged = [call for group in facts["rows"] for call in group["calls"] if call["role"] == "judge"]
    for call in (judged[0], judged[-1], next(one for one in judged if one["fault"])):
        capsys.readouterr()
        at = "out" if place == "release" else recipe
        assert main(["show", at, "--why", call["id"], "--json"]) == 0
        [shown] = json.loads(capsys.readouterr().out)["calls"]
        assert (shown["id"], json.dumps(shown["parsed"]), shown["fault"]) in read
        assert (shown["parsed"] is None) == (shown["fault"] is not None)
        assert main(["show", at, "--why", call["id"]]) == 0
        line = "cannot be parsed: no " if call["fault"] else "  parsed\n"
        assert line in capsys.readouterr().out


def test_long_texts_are_shown_whole_if_asked_for_and_no_text_controls_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(Behaviour(answer=answering)) as endpoint:
        given = words(endpoint, "completions", "--rows", "1")
        assert main(["preview", *given]) == 0
        short = capsys.readouterr().out
        assert main(["preview", *given, "--full"]) == 0
        full = capsys.readouterr().out
    assert "more characters]" in " ".join(short.split()) and "more characters" not in full
    assert "\x1b" not in short + full and "\\x1b[31m" in short


@each(
    ("keep", "asked", "kept"),
    [("1", 1, 1), ("2", 2, 2), ("4", 5, 4), ("9", 6, 4)],
)
def test_a_preview_until_rows_are_kept_asks_as_the_build_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: str, asked: int, kept: int
) -> None:
    def answer(body: Body) -> str:
        number = int(body["messages"][-1]["content"].split()[2])
        return "I'm sorry, but I can't help with that." if number % 3 == 2 else f"It is {number}."

    with Endpoint(Behaviour(answer=answer)) as endpoint:
        given = words(endpoint, "completions", "--keep", keep, "--work", str(tmp_path / keep))
        assert main(["preview", *given, "--rows", "6", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out.splitlines()[-1])
        configs = Counter(one["config"] for row in facts["rows"] for one in row["outcomes"])
        assert sent(endpoint).total() == facts["asked"] == asked and configs["default"] == kept
        assert main(["build", *given]) == 0
        assert {*sent(endpoint).values()} == {1}


def test_a_preview_stops_when_no_judgement_can_be_parsed_and_the_build_stops_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer(body: Body) -> str:
        return "Both are\nnice." if body["model"] == "judge" else f"It is {body['seed']}."

    with Endpoint(Behaviour(answer=answer)) as endpoint:
        given = words(endpoint, "ultrafeedback")
        assert main(["preview", *given]) == 1
        out, err = capsys.readouterr()
        judged = sum(one.body.get("model") == "judge" for one in endpoint.requests)
        assert 20 <= judged < 48
        counted = f"{judged} of {judged} answers of 'judge' in step 'rate' cannot be parsed"
        assert f"{counted} (no rating), such as:\n  | Both are\n  | nice.\n--form text may" in out
        assert out.count("  cannot be parsed: no rating\n") == judged
        assert "not finished: " in out and "\ncaution: " in out
        assert re.search(r"keeps, if its answers stay unreadable:\ncalls +at least \d", out)
        assert re.search(r"^tokens +at least [\d,]+\nUSD +at least [\d.]+$", out, re.MULTILINE)
        before = sent(endpoint)
        assert main(["preview", *given, "--json"]) == 1
        facts = json.loads(capsys.readouterr().out)
        calls = [call["id"] for group in facts["rows"] for call in group["calls"]]
        assert len(calls) == len({*calls}) == facts["estimate"]["sampled_calls"] == before.total()
        span = facts["estimate"]["tokens"]
        assert span["expected"] is span["high"] is None and span["low"] > 0
        assert main(["build", *given]) == 1 and sent(endpoint) == before
        assert capsys.readouterr().err.splitlines()[-1] == err.splitlines()[-1]
        assert "--form text may help" in err.splitlines()[-1]
        assert main(["preview", *given, "--accept-unreadable"]) == 0
        out = capsys.readouterr().out
        assert "48 of 48 answers" in out and "not finished" not in out and "at least" not in out
        assert "keeps, if its answers stay unreadable:\n" in out and "\ncaution: " in out


def test_a_preview_keeps_to_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    with Endpoint(Behaviour(answer=answering)) as endpoint:
        given = words(endpoint, "completions", "--budget-calls", "2")
        assert main(["preview", *given]) == 3
        assert sent(endpoint).total() == 2
        assert "the budget of 2 calls is reached" in capsys.readouterr().err
        assert main(["preview", *given, "--rows", "2"]) == 0


def growing(body: Body) -> str:
    """Four new tasks, each time of other words, and an instance of each."""
    if body["prompt"].startswith("Think of a series"):
        chance = random.Random(body["seed"])
        each = [" ".join(chance.sample(WORDS, 9)).capitalize() for _ in range(4)]
        return "\n".join(f"{number}. {one}." for number, one in enumerate(each, 9))[3:]
    return "No" if body["prompt"].endswith("Is it classification?") else "Output: Here it is."


def test_the_candidates_of_a_growing_pool_are_shown_with_the_request_that_they_came_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(Behaviour(answer=growing)) as endpoint:
        given = words(endpoint, "instructions")
        assert main(["preview", *given, "--rows", "1", "--json"]) == 0
        of_one = json.loads(capsys.readouterr().out)["estimate"]["tokens"]
        assert main(["preview", *given, "--json"]) == 0
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert facts["rows_of"] == "instruction candidates" and facts["asked"] == 3
        # Five requests, each with four candidates; three are asked about.
        assert [len(group["outcomes"]) for group in facts["rows"]] == [3, 0, 0, 0, 0]
        assert [group.get("spare", 0) for group in facts["rows"]] == [1, 4, 4, 4, 4]
        assert [len(group["calls"]) for group in facts["rows"]] == [7, 1, 1, 1, 1]
        assert main(["preview", *given]) == 0
        assert capsys.readouterr().out.count("\n4 more, beyond those asked for\n") == 4
        assert main(["build", *given, "--json"]) == 0
        [used] = json.loads(capsys.readouterr().out)["spent"]["roles"].values()
    assert facts["estimate"]["calls"] == used["calls"] == 90
    tokens = used["input_tokens"] + used["output_tokens"]
    assert facts["estimate"]["tokens"]["expected"] == pytest.approx(tokens, rel=0.1)
    assert of_one["low"] <= tokens <= of_one["high"]  # one candidate shows no spread
    assert of_one["high"] > 1.5 * of_one["expected"]


FAILING = """
from builders.engine.calls import Failure

def answer(call):
    if "1 plus 1" in call.text or WHOLLY:
        raise Failure("broken", "the model is broken")
    return "It is the sum of " + call.text
"""


@each("recipe", ["completions", "ultrafeedback", "constitution"])
def test_a_sample_without_an_answer_has_no_estimate(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("fails.py").write_text(f"WHOLLY = True\n{FAILING}")
    Path("two.txt").write_text("Why?\nHow?\n")
    source = ["--prompts", "two.txt", "--teacher", "scripted:fails.py"]
    for words in (["preview", recipe, "--rows", "2"], ["build", recipe, "--estimate"]):
        capsys.readouterr()
        assert main([*words, *source]) == 1
        printed = capsys.readouterr()
        assert printed.err.endswith("potstill: no call was answered: the model is broken\n")
        assert "USD" not in printed.out


def test_an_estimate_names_the_calls_without_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fails.py").write_text(f"WHOLLY = False\n{FAILING}")
    source = ["completions", "--prompts", "prompts.txt", "--teacher", "scripted:fails.py"]
    assert main(["preview", *source]) == 0
    line = "1 call of the sample got no answer, and the figures have only those that did"
    assert line in capsys.readouterr().out
    assert main(["preview", *source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["failures"] == 1
    assert main(["preview", *source, "--rows", "1"]) == 0
    assert "got no answer" not in capsys.readouterr().out


@each(
    ("usage", "took"),
    [
        ({}, "1 call, ? + ? tokens, at most 0.004036 USD"),
        ({"prompt_tokens": 7}, "1 call, 7 + ? tokens, at most 0.004007 USD"),
        ({"prompt_tokens": 7, "completion_tokens": 1}, "1 call, 7 + 1 tokens, 1.7e-05 USD"),
    ],
)
def test_tokens_that_nobody_counted_are_unknown_in_the_heading_too(
    usage: dict[str, int], took: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(body: Body) -> Body:
        message = {"role": "assistant", "content": "It is four."}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    with Endpoint(Behaviour(answer=answer)) as endpoint:
        assert main(["preview", *words(endpoint, "completions", "--rows", "1")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"1 of 1: {took}"), shown
