"""A refused request costs its row; an endpoint that refuses all of them ends the build."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_kinds import RecordedTeacher, teacher
from builders.errors import TeacherError
from builders.recipe import Raw
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Kind, Rule
from tests.engine.test_executor import RECIPE, one

UNSAFE = Rule("given", contains="bad", status=403, body={"error": {"message": "Flagged: unsafe"}})
POOR = Rule("given", status=402, body={"error": {"message": "You can only afford 7 tokens"}})
CLOSED = Rule("given", status=403, body={"error": {"message": "Model not allowed for this plan"}})
ABSENT = Rule("404")


def built(
    folder: Path,
    endpoint: Endpoint,
    prompts: list[str],
    *,
    concurrency: int = 8,
    progress: Progress | None = None,
    **limits: Any,
) -> list[Raw]:
    """What became of each prompt, in one build with the ledger of a folder."""
    who = teacher(TeacherSpec(place=endpoint.url, concurrency=concurrency))
    with closing(Ledger.open(folder / "ledger.sqlite")) as ledger:
        run_limits = RunLimits(**limits)
        shown = progress or Progress()
        with Engine(RECIPE, who, ledger, shown, seed=1, run_limits=run_limits) as engine:
            return engine(one, [{"instruction": prompt} for prompt in prompts])


def asked(endpoint: Endpoint) -> Counter[str]:
    return Counter(request.prompt for request in endpoint.requests if request.method == "POST")


def named(*groups: tuple[str, int]) -> list[str]:
    return [f"{name} {number}" for name, count in groups for number in range(count)]


ORDERS = {
    "refused first": named(("bad", 3), ("good", 4)),
    "refused last": named(("good", 4), ("bad", 3)),
    "more refused than may fail alike, with good ones between": [
        f"{'bad' if number % 3 else 'good'} {number}" for number in range(75)
    ],
    "many refused while the others are still in flight": named(("good", 6), ("bad", 19)),
}


@each("prompts", ORDERS.values())
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_refused_request_costs_its_row_in_any_order_and_is_not_sent_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, prompts: list[str], concurrency: int
) -> None:
    folder = tmp_path_factory.mktemp("build")
    behaviour = Behaviour(rules=[UNSAFE], latency="fixed:0.02")
    with Endpoint(behaviour) as endpoint:
        made = built(folder, endpoint, prompts, concurrency=concurrency)
        causes = {raw["instruction"]: raw.get("failed") for raw in made}
        assert causes == {one: "filtered" if "bad" in one else None for one in prompts}
        assert all("403: Flagged: unsafe" in raw["failed_why"] for raw in made if "failed" in raw)
        assert asked(endpoint) == Counter(prompts)
        assert built(folder, endpoint, prompts) == made
        assert asked(endpoint) == Counter(prompts)
        endpoint.set(Behaviour())
        again = built(folder, endpoint, prompts, retry=True)
        assert not any("failed" in raw for raw in again)
        assert asked(endpoint) == Counter(prompts) + Counter(one for one in prompts if "bad" in one)


@each(("rule", "way_on"), [(POOR, "--max-tokens"), (CLOSED, "not allowed"), (ABSENT, "--model")])
@pytest.mark.parametrize("rows", [1, 3, 500])
def test_an_endpoint_that_never_answered_ends_the_build_and_is_asked_again_by_the_next(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, rule: Rule, way_on: str, rows: int
) -> None:
    folder, prompts = tmp_path_factory.mktemp("build"), named(("any", rows))
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        with pytest.raises(TeacherError, match=f"{endpoint.url}.*{way_on}"):
            built(folder, endpoint, prompts)
        assert len(asked(endpoint)) == min(rows, len(asked(endpoint))) <= 20 + 16
        endpoint.set(Behaviour())
        assert not any("failed" in raw for raw in built(folder, endpoint, prompts))


def test_credit_that_runs_out_in_a_build_ends_it_and_costs_no_row_of_the_next(
    tmp_path: Path,
) -> None:
    prompts, answers = named(("any", 200)), [0]

    def spent(_: object) -> bool:
        answers[0] += 1
        return answers[0] > 30

    poor = Rule("given", status=402, when=spent, body=POOR.body)
    with Endpoint(Behaviour(rules=[poor])) as endpoint:
        with pytest.raises(TeacherError, match=r"the last 20 calls failed alike.*only afford 7"):
            built(tmp_path, endpoint, prompts)
        assert len(asked(endpoint)) < 100
        endpoint.set(Behaviour())
        assert not any("failed" in raw for raw in built(tmp_path, endpoint, prompts))


def coded(message: str, code: object = None) -> dict[str, Any]:
    return {"error": {"message": message, "code": code}}


ACCOUNTS = {
    "OpenAI, quota": (429, coded("You exceeded your current quota.", "insufficient_quota")),
    "DeepSeek, balance": (402, coded("Insufficient Balance")),
    "Gemini, key": (400, [coded("API key expired. Please renew the API key.", 400)]),
    "a gateway's key": (403, {"detail": "Invalid token", "message": "the API key is disabled"}),
    "AWS, token": (403, {"message": "The security token included in the request is expired"}),
    "One-API, quota": (403, coded("No quota is left", "insufficient_user_quota")),
    "a gateway's tokens": (403, coded("Insufficient balance of tokens", 403)),
    "in a 200": (200, coded("The account is not active, check billing", 402)),
}


@each(("status", "body"), ACCOUNTS)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_rows_that_were_lost_to_a_key_or_credit_are_sent_again_without_a_flag(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    status: int,
    body: Any,
    concurrency: int,
) -> None:
    folder, prompts = tmp_path_factory.mktemp("build"), named(("good", 3), ("bad", 1), ("late", 9))
    ended = Rule("given", contains="late", status=status, body=body)
    with Endpoint(Behaviour(rules=[UNSAFE, ended])) as endpoint:
        progress = Progress()
        made = built(folder, endpoint, prompts, concurrency=concurrency, progress=progress)
        lost = [raw for raw in made if "failed" in raw]
        assert {raw["failed"] for raw in lost[1:]} < {"no credit", "key refused"}
        assert len(lost) == 10
        [notice] = progress.notices
        assert notice.startswith("9 calls got no answer for a reason that is about the account")
        with closing(Ledger.open(folder / "ledger.sqlite")) as ledger:  # as `--from-ledger` does
            [(facts, *_)] = ledger.used()
            who = RecordedTeacher({**facts, "name": endpoint.url, "identity": {"kind": "scripted"}})
            with Engine(RECIPE, who, ledger, Progress(), seed=1) as engine:
                assert engine(one, [{"instruction": prompt} for prompt in prompts]) == made
        endpoint.set(Behaviour())
        made = built(folder, endpoint, prompts)
        assert [raw.get("failed") for raw in made if "failed" in raw] == ["filtered"]
        assert asked(endpoint) == Counter(prompts) + Counter(named(("late", 9)))


@each(("status", "body"), ACCOUNTS)
def test_credit_that_is_missing_for_many_in_a_row_ends_a_build_and_costs_no_row_of_the_next(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, status: int, body: Any
) -> None:
    folder, prompts = tmp_path_factory.mktemp("build"), named(("good", 3), ("late", 60))
    ended = Rule("given", contains="late", status=status, body=body)
    with Endpoint(Behaviour(rules=[ended])) as endpoint:
        with pytest.raises(TeacherError, match="the last 20 calls failed alike"):
            built(folder, endpoint, prompts)
        endpoint.set(Behaviour())
        assert not any("failed" in raw for raw in built(folder, endpoint, prompts))


def test_credit_that_one_request_asks_too_much_of_costs_its_row_for_good(tmp_path: Path) -> None:
    poor = Rule("given", contains="late", status=402, body=POOR.body)
    with Endpoint(Behaviour(rules=[poor])) as endpoint:
        for _ in range(2):
            built(tmp_path, endpoint, ["good", "late"])
        assert asked(endpoint).total() == 2


def test_a_key_that_is_refused_in_a_build_ends_it_and_costs_no_row_of_the_next(
    tmp_path: Path,
) -> None:
    prompts = named(("good", 3), ("late", 5))
    with Endpoint(Behaviour(rules=[Rule("401", contains="late")])) as endpoint:
        with pytest.raises(TeacherError, match="needs another key"):
            built(tmp_path, endpoint, prompts)
        endpoint.set(Behaviour())
        assert not any("failed" in raw for raw in built(tmp_path, endpoint, prompts))


def test_a_refusal_after_answers_of_an_earlier_build_costs_its_row(tmp_path: Path) -> None:
    with Endpoint(Behaviour(rules=[UNSAFE])) as endpoint:
        built(tmp_path, endpoint, ["good"])
        [made] = built(tmp_path, endpoint, ["bad"])
        assert made["failed"] == "filtered"


def test_rows_that_always_fail_do_not_end_a_build_whose_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.requests._FIRST_WAIT_S", 0.02)
    monkeypatch.setattr("builders.engine.requests._LONGEST_WAIT_S", 0.05)
    prompts = named(("bad", 24), ("good", 8))
    with Endpoint(Behaviour(rules=[Rule("500", contains="bad")])) as endpoint:
        made = built(tmp_path, endpoint, prompts, concurrency=32)
        assert Counter(raw.get("failed") for raw in made) == {"http 500": 24, None: 8}
        # The next build asks them again, and knows that their failures are their own.
        assert built(tmp_path, endpoint, prompts) == made
        with pytest.raises(TeacherError, match=r"the last 20 calls failed alike.*500"):
            built(tmp_path, endpoint, named(("bad", 60)))


@each(
    ("body", "requests", "fault"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 4}}, 1, "empty"),
        ({"choices": [{"message": None, "finish_reason": "stop"}]}, 1, "empty"),
        ([], 3, "no content"),
        ("Hello.", 3, "no content"),
        (b"", 3, "empty"),
        ({"error": "It broke"}, 3, "unknown error"),
        ({"success": False, "errors": [{"message": "odd"}]}, 3, "unknown error"),
    ],
)
def test_a_response_with_nothing_in_it_costs_few_requests(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    body: Any,
    requests: int,
    fault: str,
) -> None:
    monkeypatch.setattr("builders.engine.requests._FIRST_WAIT_S", 0.02)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Endpoint(Behaviour(rules=[Rule("given", contains="bad", body=data)])) as endpoint:
        good, bad = built(tmp_path_factory.mktemp("build"), endpoint, ["good", "bad"])
        assert "failed" not in good and asked(endpoint)["bad"] == requests
        assert bad.get("failed", "empty") == fault and not bad.get("generation")


def test_failures_of_other_causes_leave_a_call_the_attempts_that_each_cause_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.requests._FIRST_WAIT_S", 0.01)
    kinds: list[Kind] = ["500", "broken-json", "502", "html", "broken-json"]
    rules = [Rule(kind, contains="bad", first_n=1) for kind in kinds]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        [made] = built(tmp_path, endpoint, ["bad 0"])
    assert made.get("failed") is None and asked(endpoint).total() == len(kinds) + 1


def test_the_words_of_a_firewall_are_the_evidence(tmp_path: Path) -> None:
    page = "<!DOCTYPE html><html><head><title>Blocked | WAF</title></head><body>x</body></html>"
    rule = Rule("given", contains="<script>", status=403, body=page)
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        _, made = built(tmp_path, endpoint, ["plain", "what is <script>?"])
    assert made["failed"] == "refused by a firewall"
    assert re.search(r"403: an HTML page \(Blocked \| WAF\)", made["failed_why"])


LONG = Rule("given", contains="bad", status=413, body={"error": {"message": "Too much of it"}})
ODD = Rule("given", contains="bad", status=422, body={"error": {"message": "We do not like this"}})


@each("rule", [UNSAFE, LONG])
@each("prompts", [named(("bad", 25), ("good", 30)), named(("good", 2), ("bad", 70), ("late", 5))])
def test_refusals_in_a_row_that_are_about_their_requests_do_not_end_a_build(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, rule: Rule, prompts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("build")
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        made = built(folder, endpoint, prompts, concurrency=32)
        assert all(bool(raw.get("failed")) == ("bad" in raw["instruction"]) for raw in made)
        assert built(folder, endpoint, prompts) == made
        assert asked(endpoint) == Counter(prompts)


def test_an_endpoint_that_filters_everything_ends_the_build(tmp_path: Path) -> None:
    with Endpoint(Behaviour(rules=[UNSAFE])) as endpoint:
        with pytest.raises(TeacherError, match=r"the last 20 calls failed alike.*Flagged: unsafe"):
            built(tmp_path, endpoint, named(("bad", 500)))
        assert len(asked(endpoint)) <= 20 + 3 * 8


def test_refusals_that_end_a_build_are_passed_by_the_next_where_others_were_answered(
    tmp_path: Path,
) -> None:
    prompts = named(("good", 4), ("bad", 50), ("late good", 4))
    with Endpoint(Behaviour(rules=[ODD])) as endpoint:
        for _ in range(2):
            with pytest.raises(TeacherError, match=r"failed alike.*do not like.*--retry"):
                built(tmp_path, endpoint, prompts, concurrency=1)
        made = built(tmp_path, endpoint, prompts, concurrency=1)
        assert sum("failed" in raw for raw in made) == 50
        assert asked(endpoint) == Counter(prompts)
