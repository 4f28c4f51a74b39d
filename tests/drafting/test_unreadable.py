"""Answers of a judge that cannot be parsed: a build stops for them early, and stays stopped."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest

from builders.engine.judgements import ENOUGH, Judgements, Reading
from builders.engine.progress import Progress
from scripts.main import main
from tests.cases import each
from tests.drafting.test_preview import answering
from tests.endpoint import Behaviour, Body, Endpoint, Rule

JUNK = "Both are rather nice, I\nwould say.\x1b[31m"
SHOWN = "Both are rather nice, I would say."
OWN = '''
"""A judge whose answers are parsed {}."""

from distilabel.pipeline import Pipeline

from builders.engine.tasks import Ask
from builders.judging.prompts import parse_score
from builders.recipe import Recipe, Seeds
from builders.schema import PROMPT_COMPLETION, assistant, user


def pipeline(teach):
    with Pipeline(name="own") as line:
        answer = Ask(name="answer", llm=teach("writer"), build=prompt, answer="answer")
        answer >> Ask(name="rate", llm=teach("judge"), build=judged, answer="said"{})
    return line


def prompt(raw):
    return raw["prompt"]


def judged(raw):
    return user("How good is it? " + raw["answer"])


def row(raw):
    {}
    return {{"prompt": raw["prompt"], "completion": assistant(raw["answer"])}}


RECIPE = Recipe(
    name="own",
    makes="answers",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(form="prompts", source="prompts.txt"),
    roles={{"writer": "answers", "judge": "scores"}},
    rows=120,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
)
'''
IN_ROW = OWN.format("in row()", "", 'parse_score(raw["said"])')
IN_COLUMNS = OWN.format(
    "in the step", ', columns=lambda text: {"score": parse_score(text)}', "assert raw['score']"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with 120 prompts and two recipes of one's own."""
    monkeypatch.chdir(tmp_path)
    lines = [f"What is {n} plus {n}?" for n in range(120)]
    Path("prompts.txt").write_text("\n".join(lines), encoding="utf-8")
    for folder, text in (("in_row", IN_ROW), ("in_columns", IN_COLUMNS)):
        Path(folder).mkdir()
        Path(folder, "own.py").write_text(text, encoding="utf-8")


def judging(answer: Callable[[int], str | Body], *rules: Rule) -> Behaviour:
    """A judge that answers by the number of its judgements so far; writers answer as usual."""
    given = iter(range(10**6))

    def respond(body: Body) -> str | Body:
        if body["model"] == "judge":
            return answer(next(given))
        return f"It is {body['seed']}."

    return Behaviour(answer=respond, rules=rules)


def words(endpoint: Endpoint, recipe: str, *more: str) -> list[str]:
    teachers = ["--teacher", f"{endpoint.url}#writer", "--teacher", f"judge={endpoint.url}#judge"]
    usual = ["--prompts", "prompts.txt", "--rows", "40", "--concurrency", "4"]
    return [recipe, *teachers, *usual, *more]


def judgements(endpoint: Endpoint) -> int:
    return sum(one.body.get("model") == "judge" for one in endpoint.requests)


def asked(endpoint: Endpoint) -> int:
    return sum(one.method == "POST" for one in endpoint.requests)


NO_HELP = "another judge may help: --teacher judge=..."
CASES: dict[str, tuple[str, list[str], str, str, str]] = {
    "ratings": ("ultrafeedback", [], "rate", "no rating", "--form text may help"),
    "ratings as text": ("ultrafeedback", ["--form", "text"], "rate", "no rating", NO_HELP),
    "critiques": (
        "ultrafeedback",
        ["--by", "overall"],
        "criticise",
        "no score",
        "--form text may help",
    ),
    "reasons": ("constitution", [], "reason", "no verdict", NO_HELP),
    "probabilities": (
        "constitution",
        ["--verdict", "probabilities"],
        "judge",
        "no probability",
        "--verdict reasons may help",
    ),
    "scores": ("completions", ["--samples", "2"], "judge", "no score", "--choose longest may help"),
    "a recipe of one's own": ("./in_columns/own.py", [], "rate", "no verdict", NO_HELP),
    "parsed in row()": ("./in_row/own.py", ["--rows", "120"], "row()", "no verdict", NO_HELP),
}


@pytest.mark.parametrize(
    ("recipe", "options", "step", "fault", "helps"), CASES.values(), ids=[*CASES]
)
def test_a_build_stops_when_none_of_the_first_judgements_can_be_parsed(
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    options: list[str],
    step: str,
    fault: str,
    helps: str,
) -> None:
    with Endpoint(judging(lambda _: JUNK)) as endpoint:
        given = words(endpoint, recipe, *options)
        assert main(["build", *given]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert f"in step {step!r} cannot be parsed ({fault})" in line
        assert SHOWN in line and f"; {helps}, or ask again with --retry once the teacher " in line
        assert ", or go on with --accept-unreadable; " in line
        assert not list(Path("work").glob("*/drafts/*"))
        if step not in ("criticise", "reason"):  # which come after other judgements
            assert 20 <= judgements(endpoint) <= 60  # those in flight, on a busy machine
        before = asked(endpoint)
        assert main(["build", *given, "--rows", "100"]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == line
        assert asked(endpoint) == before


def test_a_stopped_build_goes_on_if_asked_to_and_tries_again_if_anything_is_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(judging(lambda _: JUNK)) as endpoint:
        given = words(endpoint, "ultrafeedback", "--rows", "8")
        assert main(["build", *given]) == 1
        before = judgements(endpoint)
        for more in (["--form", "text"], ["--seed", "7"], ["--param", "judge:top_k=3"]):
            assert main(["build", *given, *more]) == 1
            assert before + 20 <= judgements(endpoint) <= before + 40, more
            before = judgements(endpoint)
        assert main(["build", *given, "--accept-unreadable"]) == 0
        before = asked(endpoint)
        capsys.readouterr()
        assert main(["build", *given, "--json"]) == 0
        out, err = capsys.readouterr()
        assert asked(endpoint) == before and json.loads(out)["counts"]["dropped"] == {
            "no rating": 8
        }
        assert "128 of 128 answers of 'judge' in step 'rate' cannot be parsed" in err


def ask_again(endpoint: Endpoint, *given: str) -> Counter[str]:
    """Build with --retry; how many calls were sent again, by model."""
    before = {json.dumps(one.body) for one in endpoint.requests}
    already = len(endpoint.requests)
    assert main(["build", *given, "--retry"]) == 0
    sent = [one.body for one in endpoint.requests[already:] if one.method == "POST"]
    return Counter(body["model"] for body in sent if json.dumps(body) in before)


@each("recipe", ["ultrafeedback", "completions"])
def test_a_preview_that_asks_a_fixed_judge_again_counts_none_of_its_earlier_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str
) -> None:
    fixed = False

    def respond(body: Body) -> str | Body:
        if body["model"] != "judge" or not fixed:
            return JUNK if body["model"] == "judge" else f"It is {body['seed']}."
        return answering(body)

    with Endpoint(Behaviour(answer=respond)) as endpoint:
        given = words(endpoint, recipe, "--rows", "8", "--work", str(tmp_path / recipe))
        given += ["--samples", "4"] if recipe == "completions" else []
        assert main(["preview", *given]) == 1
        fixed = True
        capsys.readouterr()
        assert main(["preview", *given, "--retry", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert "unreadable" not in facts["estimate"] and "caution" not in facts["estimate"]
        calls = [call for group in facts["rows"] for call in group["calls"]]
        assert not any(call["fault"] for call in calls)
        before = asked(endpoint)
        assert main(["preview", *given, "--json"]) == 0 and asked(endpoint) == before


@pytest.mark.parametrize("first", [["build"], ["preview"], ["build", "--accept-unreadable"]])
@pytest.mark.parametrize("case", ["ratings", "critiques", "scores", "parsed in row()"])
def test_a_judge_that_is_fixed_is_asked_again_and_writers_are_not(
    capsys: pytest.CaptureFixture[str], case: str, first: list[str]
) -> None:
    fixed = False

    def respond(body: Body) -> str | Body:
        if body["model"] != "judge" or not fixed:
            return JUNK if body["model"] == "judge" else f"It is {body['seed']}."
        return "[[4]]" if case == "parsed in row()" else answering(body)

    verb, *flags = first
    recipe, options, *_ = CASES[case]
    if verb == "preview":
        options = [*options, "--rows", "8"]
    with Endpoint(Behaviour(answer=respond)) as endpoint:
        given = words(endpoint, recipe, *options)
        assert main([verb, *given, *flags]) == (1 if not flags and judgements(endpoint) > 19 else 0)
        unreadable = judgements(endpoint)
        fixed = True
        again = ask_again(endpoint, *given)
        assert again["writer"] == 0 and 0 < again["judge"] <= unreadable
        capsys.readouterr()
        before = asked(endpoint)
        assert main(["build", *given, "--json"]) == 0 and asked(endpoint) == before
        draft = json.loads(capsys.readouterr().out)
        assert draft["counts"]["kept"] and "no verdict" not in draft["counts"]["dropped"]
        assert not ask_again(endpoint, *given), "what can be parsed now is asked no more"
        capsys.readouterr()
        name = draft["recipe"]
        assert main(["ledger", name, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["failures"] == {"unreadable": again["judge"]}
        assert main(["build", *given, "--from-ledger", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["draft"] == draft["draft"]


@each(
    ("readable", "status"),
    {
        "all but the first 19": (lambda n: n >= 19, 0),
        "the first 5": (lambda n: n < 5, 0),
        "one in ten": (lambda n: n % 10 == 9, 0),
        "one of the first 30": (lambda n: n == 10, 1),
    },
)
def test_a_build_that_makes_progress_goes_on(
    tmp_path: Path, readable: Callable[[int], bool], status: int
) -> None:
    with Endpoint(judging(lambda n: "[[4]]" if readable(n) else JUNK)) as endpoint:
        work = str(tmp_path / str(readable(0)) / str(readable(10)))
        given = words(endpoint, "completions", "--samples", "2", "--work", work)
        assert main(["build", *given]) == status
        assert (judgements(endpoint) == 80) == (status == 0)


@each(
    ("unreadable", "status"),
    {"some": ((3, 7, 11, 15, 19), 0), "all": (range(40), 1)},
)
def test_a_call_that_several_rows_share_counts_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unreadable: Container[int],
    status: int,
) -> None:
    def respond(body: Body) -> str:
        text = body["messages"][-1]["content"]
        number = int(re.findall(r"What is (\d+) plus", text)[-1])
        if body["model"] == "writer":
            return f"It is twice {number}, as everybody knows."
        return JUNK if number in unreadable else "[[4]]"

    with Endpoint(Behaviour(answer=respond)) as endpoint:
        work = str(tmp_path / str(status))
        given = words(endpoint, "completions", "--samples", "4", "--work", work)
        assert main(["build", *given]) == status
        if status:
            assert 20 <= judgements(endpoint) <= 60  # those in flight, on a busy machine
            counted = re.search(r"(\d+) of (\d+) answers", capsys.readouterr().err)
            assert counted and {*counted.groups()} == {str(judgements(endpoint))}
        else:
            assert judgements(endpoint) == 40


def test_a_build_that_makes_progress_keeps_no_list_of_its_calls() -> None:
    judgements = Judgements(Progress())
    judgements.lost_before = frozenset([f"{900:016x}"])
    for number in range(1_000):
        fault = "no number" if number in (700, 800) else None
        for _ in range(2):  # two rows share each
            reading = Reading(role="judge", text="", fault=fault, call=f"{number:016x}")
            judgements.judge("rate", reading)
    step = judgements.steps["rate"]
    assert len(step.calls) == ENOUGH + 3
    assert step.unreadable == 2
    assert step.readable >= 998


@pytest.mark.parametrize(
    ("rows", "readable", "status"),
    [("40", True, 0), ("40", False, 0), ("60", True, 0), ("60", False, 1)],
)
def test_a_stopped_build_counts_every_answer_in_the_ledger_before_it_stops_again(
    rows: str, readable: bool, status: int
) -> None:
    with Endpoint(judging(lambda n: "[[4]]" if readable and n >= 40 else JUNK)) as endpoint:
        given = words(endpoint, "completions", "--samples", "2")
        assert main(["build", *given]) == 1
        assert judgements(endpoint) <= 60
        notes = Path("work/completions/build.json")
        stopped = notes.read_text(encoding="utf-8")
        assert main(["build", *given, "--accept-unreadable"]) == 0
        assert judgements(endpoint) == 80
        notes.write_text(stopped, encoding="utf-8")
        before = asked(endpoint)
        assert main(["build", *given, "--rows", rows]) == status
        assert (asked(endpoint) == before) == (status == 1 or rows == "40")


def choice(content: str | None, end: str | None, **more: Any) -> Body:
    message = {"role": "assistant", "content": content, **more}
    return {"choices": [{"index": 0, "message": message, "finish_reason": end}]}


JUDGE_TOKENS, LONGEST = "--judge-tokens 4096 may help", "--choose longest may help"
UNUSABLE: dict[str, tuple[str, Body, str, str, str]] = {
    "a rating": ("ultrafeedback", choice("Text 1", "length"), "cut off", "Text 1", JUDGE_TOKENS),
    "thinking": (
        "ultrafeedback",
        choice("<think>First", "length"),
        "cut off",
        "First",
        JUDGE_TOKENS,
    ),
    "thinking apart": (
        "ultrafeedback",
        choice("", "length", reasoning_content="Second"),
        "cut off",
        "Second",
        JUDGE_TOKENS,
    ),
    "reasons": ("constitution", choice("Both", "length"), "cut off", "Both", JUDGE_TOKENS),
    "a score": ("completions", choice("Good", "length"), "cut off", "Good", LONGEST),
    "nothing": ("completions", choice(None, "stop"), "empty", "", LONGEST),
    "no end": ("completions", choice("[[4]]", None), "unknown end", "[[4]]", "--trust-missing-end"),
    "a filter": ("ultrafeedback", choice("", "content_filter"), "filtered", "", "--form text"),
}


@pytest.mark.parametrize(
    ("recipe", "body", "fault", "shown", "helps"), UNUSABLE.values(), ids=[*UNUSABLE]
)
def test_judgements_that_cannot_be_used_stop_a_build_too(
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    body: Body,
    fault: str,
    shown: str,
    helps: str,
) -> None:
    rule = Rule("given", when=lambda given: given["model"] == "judge", body=body)
    options = ["--samples", "2"] if recipe == "completions" else []
    options += ["--verdict", "reasons"] if recipe == "constitution" else []
    with Endpoint(judging(lambda _: "", rule)) as endpoint:
        assert main(["build", *words(endpoint, recipe, *options)]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert f"({fault}), such as {shown!r}; {helps}" in line
        assert judgements(endpoint) <= 60


def test_a_parser_that_is_wrong_is_reported_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = OWN.format("by a parser that is wrong", ", parse=wrong, tries=4", "pass")
    wrong = wrong.replace("build=judged", "build=several").replace(
        'Ask(name="rate"', 'AskAll(name="rate"'
    )
    wrong = wrong.replace(
        "import Ask\n", "import Ask, AskAll\nfrom builders.engine.calls import Question\n"
    )
    wrong += """

def several(raw):
    return [Question(prompt=judged(raw), sample=sample) for sample in range(3)]


def wrong(question, answer):
    return {}["score"]
"""
    Path("own.py").write_text(wrong, encoding="utf-8")
    with Endpoint(judging(lambda _: JUNK)) as endpoint:
        assert main(["build", *words(endpoint, "./own.py")]) == 0
        out = capsys.readouterr().out
        assert re.search(r"^dropped: step error +40 ", out, re.MULTILINE)


def test_an_estimate_shows_an_answer_that_cannot_be_parsed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(judging(lambda _: JUNK)) as endpoint:
        given = words(endpoint, "completions", "--samples", "2", "--estimate")
        assert main(["build", *given]) == 0
        out = capsys.readouterr().out
        assert "16 of 16 answers of 'judge' in step 'judge' cannot be parsed (no score)" in out
        assert "Both are rather nice, I\n" in out and "--choose longest may help" in out
        assert "\x1b" not in out
        assert main(["build", *given, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        [one] = facts["unreadable"]
        assert one["answer"] == JUNK and one["unreadable"] == one["answers"] == 16
        assert "stay as unreadable" in facts["caution"] and "stopped" not in facts


@pytest.mark.parametrize("keep", [[], ["--keep", "6"]], ids=["all rows", "until kept"])
@pytest.mark.parametrize("case", ["ratings", "scores"])
def test_an_estimate_stops_as_a_build_does(
    capsys: pytest.CaptureFixture[str], case: str, keep: list[str]
) -> None:
    recipe, options, step, fault, helps = CASES[case]
    if case == "scores":
        options = ["--samples", "4"]
    with Endpoint(judging(lambda _: JUNK)) as endpoint:
        given = words(endpoint, recipe, *options, *keep, "--estimate", "--json")
        assert main(["build", *given]) == 1
        out, err = capsys.readouterr()
        facts = json.loads(out)
        assert f"in step {step!r} cannot be parsed ({fault})" in facts["stopped"]
        assert helps in facts["stopped"] and facts["stopped"] in err.splitlines()[-1]
        assert facts["tokens"]["expected"] is None and "--accept-unreadable" in facts["caution"]
        before = asked(endpoint)
        assert 20 <= judgements(endpoint) <= facts["sampled_calls"] == before
        assert main(["build", *given]) == 1 and asked(endpoint) == before
        assert json.loads(capsys.readouterr().out) == facts
        given = [one for one in given if one not in ("--estimate", "--json")]
        assert main(["build", *given]) == 1 and asked(endpoint) == before
