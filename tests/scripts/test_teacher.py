"""`potstill teacher check`: what it prints, and one line for a teacher that cannot be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Body, Endpoint, Rule


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POTSTILL_API_KEY", raising=False)


def test_a_check_prints_a_line_for_each_question_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [Rule("given", status=400, body="top_k is not supported", when=lambda b: "top_k" in b)]
    with Endpoint(Behaviour(rules=rules, model="mine\x1b[2J")) as endpoint:
        assert main(["teacher", "check", endpoint.url, "--concurrency", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{endpoint.url}, model mine [2J"
    named = {line[2:20].strip(): line[20:].strip() for line in lines[1:-1]}
    assert [*named] == [
        *("models", "latency", "messages", "usage", "end of an answer", "thinking", "JSON schema"),
        *("log-probabilities", "seeds", "texts to continue", "parameters", "concurrency"),
    ]
    assert named["parameters"] == "refused; top_k: left out"
    assert named["concurrency"].startswith("2 at a time")
    assert lines[-1].startswith("asked ") and lines[-1].endswith(" tokens")
    assert list(tmp_path.iterdir()) == []


def test_how_many_questions_there_are_is_printed_before_they_are_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(Behaviour(latency="fixed:0.1")) as endpoint:
        assert main(["teacher", "check", endpoint.url, "--concurrency", "8", "--json"]) == 0
    out, err = capsys.readouterr()
    found = re.match(r"asking up to (\d+) short questions, at most 8 at a time; ", err)
    assert found and abs(int(found[1]) - json.loads(out)["requests"]) <= 3, (err, out)


def test_a_program_gets_the_same_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-planted-key-of-the-user")
    with Endpoint() as endpoint:
        words = ["teacher", "check", f"{endpoint.url}#wise", "--concurrency", "1", "--json"]
        assert main([*words, "--key-env", "MY_KEY", "--param", "reasoning_effort=low"]) == 0
        posts = [one for one in endpoint.requests if one.method == "POST"]
    assert {one.headers["authorization"] for one in posts} == {"Bearer sk-planted-key-of-the-user"}
    assert {(one.body["model"], one.body["reasoning_effort"]) for one in posts} == {("wise", "low")}
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["models"]) == ("wise", ["scripted-model"])
    assert facts["requests"] == len(posts)
    assert all(one["result"] for one in facts["findings"].values())


@each(
    ("words", "status", "why"),
    [
        (["http://127.0.0.1:9/v1"], 1, "nothing listens at http://127.0.0.1:9/v1"),
        (["127.0.0.1:9/v1"], 1, "give http://127.0.0.1:9/v1"),
        (["openai"], 1, "there is no teacher 'openai'; give 'embedded', 'embedded:FILE.gguf'"),
        (["embedded:nosuch.gguf"], 1, "'nosuch.gguf' cannot be read (No such file"),
        (["scripted:rules.py"], 1, "'scripted:rules.py' is a script, which has nothing to check"),
        (["judge=http://h/v1"], 2, "names a role; leave out the part before ="),
        (["http://h/v1", "--param", "judge:top_k=3"], 2, "judge:top_k names a role"),
        (["http://h/v1", "--param", "seed=1", "--without", "seed"], 1, "both sent and left out"),
        ([], 2, "is missing; type `potstill teacher check WHO[#MODEL]`"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, why: str
) -> None:
    (tmp_path / "rules.py").write_text("def answer(call):\n    return 'x'\n", encoding="utf-8")
    assert main(["teacher", "check", *words]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and why in err, err


def test_an_endpoint_that_needs_a_key_names_the_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(Behaviour(rules=[Rule("401")])) as endpoint:
        assert main(["teacher", "check", endpoint.url]) == 1
    assert "environment variable POTSTILL_API_KEY: it is not set" in capsys.readouterr().err


@pytest.mark.slow
def test_the_embedded_teacher_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teacher", "check", "embedded", "--concurrency", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    results = {name: one["result"] for name, one in facts["findings"].items()}
    assert results["json_schema"] == "followed" and results["seeds"] == "honoured"
    assert results["usage"] == "counted" and results["texts_to_continue"] == "continued"


def test_a_model_that_says_nothing_and_another_than_was_asked_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for kind, result in (
        ("null-content", "empty answers; no answer has a text"),
        ("ok", "answered"),
    ):
        with Endpoint(Behaviour(rules=[Rule(kind)])) as endpoint:
            words = ["teacher", "check", f"{endpoint.url}#asked", "--concurrency", "1"]
            assert main(words) == (kind != "ok")
        shown = capsys.readouterr().out
        assert re.search(rf"^  messages +{result}$", shown, re.MULTILINE), shown
        texts = "continued" if kind == "ok" else "empty answers"
        assert re.search(rf"^  texts to continue +{texts}$", shown, re.MULTILINE), shown
        assert shown.splitlines()[0].endswith("/v1, model asked")

    def another(_: Body) -> Body:
        message = {"role": "assistant", "content": "Paris"}
        return {"model": "llama-3", "choices": [{"message": message, "finish_reason": "stop"}]}

    with Endpoint(Behaviour(answer=another)) as endpoint:
        assert main(["teacher", "check", f"{endpoint.url}#asked", "--concurrency", "1"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("/v1, model asked, but llama-3 answers")


ELSEWHERE = (("location", "https://other.example/v1/models"),)
NO_MODELS: dict[str, tuple[Rule, str]] = {
    "no list": (Rule("404"), "/v1 names no models (no list); name one with --model"),
    "an empty list": (
        Rule("given", body={"object": "list", "data": []}),
        "/v1 has an empty list of models; load one there, or name one with --model",
    ),
    "Ollama's empty list": (Rule("given", body={"data": None}), "/v1 has an empty list of models"),
    "a page": (
        Rule("given", body="<html><title>Open WebUI</title></html>"),
        "names no models (no list: an HTML page (Open WebUI); is this its /v1 address?); name",
    ),
    "an error": (Rule("given", body={"error": "not ready"}), "no models (no list: not ready; is"),
    "an address elsewhere": (
        Rule("given", status=302, headers=ELSEWHERE),
        "/v1 redirected a request (302); it redirects to https://other.example/v1:",
    ),
    "an address nowhere": (Rule("given", status=302), "; it redirects and does not report where"),
}


@each(("models", "line"), NO_MODELS)
def test_where_no_models_are_listed_the_line_says_why(
    models: Rule, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Endpoint(Behaviour(models=models)) as endpoint:
        assert main(["teacher", "check", endpoint.url]) == 1
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1, shown
