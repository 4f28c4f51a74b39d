"""Builds through real gateways with limits: nothing is lost, and little is asked twice.

Each test runs the real command through nginx, haproxy, LiteLLM's proxy or llama.cpp's server, and
counts what arrives behind the gateway. `pytest -m matrix -s` shows the measured table.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builders.engine.teacher import EMBEDDED_MODEL
from tests.conftest import ROOT
from tests.endpoint import Behaviour, Endpoint, Rule
from tests.gateways import HAPROXY, NGINX, Gateway, haproxy, litellm, llama, nginx

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(sys.platform != "linux", reason="the gateways are Debian's packages"),
]

PROMPTS = [f"Explain to a sailor what the number {n} is good for." for n in range(40)]
LONG = " ".join(["Sum up:", *["the log of a ship"] * 400])  # 7 kB
STEADY = Behaviour(latency="fixed:0.2")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one `potstill build completions` left."""

    code: int
    facts: Mapping[str, Any]  # of --json; {} if it failed
    errors: str
    seconds: float

    @property
    def kept(self) -> int:
        return int(self.facts["counts"]["kept"]) if self.facts else 0

    @property
    def messages(self) -> list[str]:
        """What it printed besides its progress."""
        lines = self.errors.splitlines()
        return [
            line for line in lines if not re.match(r"((building|checking) \w+ \| |prompts: )", line)
        ]


def build(
    folder: Path, url: str, prompts: Sequence[str], *words: str, model: str = "", key: str = ""
) -> Run:
    """Build one row for each prompt through the endpoint at `url`."""
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    command = [sys.executable, "-m", "scripts.main", "build", "completions", "--json"]
    command += ["--work", str(folder / "work"), "--prompts", str(file), "--license", "cc0-1.0"]
    command += ["--rows", str(len(prompts)), "--samples", "1"]
    command += ["--teacher", f"{url}#{model or 'scripted-model'}", *words]
    env = {**os.environ, "POTSTILL_API_KEY": key}
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1200, check=False
    )
    seconds = time.monotonic() - began
    facts = json.loads(done.stdout) if done.returncode == 0 else {}
    return Run(code=done.returncode, facts=facts, errors=done.stderr, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A build and its repetition, and what arrived at the gateway and behind it."""

    run: Run
    again: Run
    statuses: Counter[int]  # of what the gateway answered during the first build
    behind: Counter[str]  # requests that got through to the endpoint, by prompt
    asked_again: int  # requests of the repetition

    @property
    def twice(self) -> dict[str, int]:
        """The prompts that the endpoint was asked more than once, and how often."""
        return {prompt[-40:]: times for prompt, times in self.behind.items() if times > 1}


def seen(
    name: str,
    folder: Path,
    gateway: Gateway,
    endpoint: Endpoint | None,
    prompts: Sequence[str],
    *words: str,
    **who: str,
) -> Seen:
    """Build twice; print a line of the table.

    It has the exit code, the seconds in all and from the first request behind the gateway to the
    last, the rows kept and dropped, the gateway's answers by status, the requests behind it, how
    many prompts were among them more than once and how often at most, and for the repetition its
    exit code and requests.
    """
    run = build(folder, gateway.url, prompts, *words, **who)
    statuses = gateway.statuses()
    arrived = [one for one in endpoint.requests if one.prompt] if endpoint else []
    asked_s = arrived[-1].time - arrived[0].time if arrived else run.seconds
    behind = Counter(request.prompt for request in arrived)
    again = build(folder, gateway.url, prompts, *words, **who)
    asked_again = (gateway.statuses() - statuses).total()
    found = Seen(run=run, again=again, statuses=statuses, behind=behind, asked_again=asked_again)
    dropped = run.facts["counts"]["dropped"] if run.facts else {}
    cells = [
        name, run.code, f"{run.seconds:.0f} s", f"{asked_s:.0f} s", f"{run.kept}/{len(prompts)}",
        dropped or "", dict(sorted(statuses.items())), behind.total(), len(found.twice),
        max(found.twice.values(), default=1), f"{again.code}: {asked_again}",
    ]  # fmt: skip
    print("\n|", " | ".join(str(cell) for cell in cells), "|")
    for line in run.messages:
        print("    ", line)
    return found


def hold(found: Seen, kept: int, *, twice: int = 0, again: int = 0) -> None:
    """Check what is true of each build that goes through.

    At most `twice` prompts reach the endpoint more than once; the repetition sends `again` requests
    at most, for calls that no answer or refusal ended.
    """
    assert found.run.code == 0, found.run.errors
    assert found.run.kept == kept, found.run.facts["counts"]
    assert len(found.twice) <= twice, found.twice
    assert (found.again.code, found.again.kept) == (0, kept), found.again.errors
    assert found.asked_again <= again


# nginx: rules, the status that its limit gives
LIMITS = {
    "limit_req 503": ("limit_req zone=paced burst=2 nodelay;", 503),
    "limit_req 429": ("limit_req zone=paced burst=2 nodelay; limit_req_status 429;", 429),
    "limit_conn 2": ("limit_conn all 2;", 503),
    "limit_conn 2 as 429": ("limit_conn all 2; limit_conn_status 429;", 429),
    "a page with 200": ("limit_conn all 2; error_page 503 =200 /busy;", 200),
}
needs_nginx = pytest.mark.skipif(not NGINX, reason="nginx is not installed (nginx-light)")
needs_haproxy = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")


@needs_nginx
@pytest.mark.parametrize("name", LIMITS)
def test_what_nginx_refuses_is_asked_later_and_only_that(name: str, tmp_path: Path) -> None:
    rules, status = LIMITS[name]
    with Endpoint(STEADY) as endpoint, nginx(tmp_path, endpoint.url, rules) as gateway:
        found = seen(f"nginx {name}", tmp_path, gateway, endpoint, PROMPTS)
    hold(found, 40)
    assert found.statuses[status] > 0 and found.statuses.total() > 40
    if "limit_conn" in name:
        assert "hold 2 requests at a time" in " ".join(found.run.messages)


@needs_nginx
def test_an_answer_that_comes_after_nginx_s_time_out_is_asked_once_more(tmp_path: Path) -> None:
    late = Rule("ok", contains=" 7 ", first_n=1, latency="fixed:3")
    never = Rule("ok", contains=" 9 ", latency="fixed:3")
    with (
        Endpoint(Behaviour(rules=[late, never], latency="fixed:0.2")) as endpoint,
        nginx(tmp_path, endpoint.url, "proxy_read_timeout 1s;") as gateway,
    ):
        found = seen("nginx read time-out", tmp_path, gateway, endpoint, PROMPTS)
    assert found.statuses[504] > 1
    hold(found, 39, twice=2, again=10)
    assert found.behind[PROMPTS[7]] == 2


@needs_nginx
@pytest.mark.parametrize("place", [0, 20, 39])
def test_a_prompt_too_large_for_nginx_costs_its_row(place: int, tmp_path: Path) -> None:
    prompts = [*PROMPTS[:place], LONG, *PROMPTS[place + 1 :]]
    rules = "client_max_body_size 2k;"
    with Endpoint(STEADY) as endpoint, nginx(tmp_path, endpoint.url, rules) as gateway:
        found = seen(f"nginx body of row {place}", tmp_path, gateway, endpoint, prompts)
    hold(found, 39)
    assert found.statuses[413] == 1


HARMLESS = {
    "one header of 9 kB": f'set $a "{"x" * 3000}"; add_header X-Policy "$a$a$a";',
    "one header of 60 kB": f'set $a "{"x" * 3000}"; add_header X-Policy "{"$a" * 20}";',
    "40 headers of 1 kB": " ".join(f'add_header X-{n} "{"x" * 1000}";' for n in range(40)),
    "each connection closed": "keepalive_timeout 0;",
    "closed after 3 requests": "keepalive_requests 3;",
    "gzip": "gzip on; gzip_min_length 1; gzip_types application/json; gzip_proxied any;",
    "an old protocol": "chunked_transfer_encoding off; proxy_buffering off;",
}


@needs_nginx
@pytest.mark.parametrize("name", HARMLESS)
def test_nginx_s_headers_and_closed_connections_cost_nothing(name: str, tmp_path: Path) -> None:
    with Endpoint(STEADY) as endpoint, nginx(tmp_path, endpoint.url, HARMLESS[name]) as gateway:
        found = seen(f"nginx {name}", tmp_path, gateway, endpoint, PROMPTS)
    hold(found, 40)
    assert found.run.facts["run"]["retries"] == 0


@needs_nginx
def test_an_endpoint_that_restarts_behind_nginx_costs_no_row(tmp_path: Path) -> None:
    with Endpoint(STEADY) as endpoint, nginx(tmp_path, endpoint.url, "") as gateway:
        command = "--concurrency", "2"
        with restarting(endpoint, after=5, for_s=4):
            found = seen("nginx 502, 4 s", tmp_path, gateway, endpoint, PROMPTS, *command)
    assert found.statuses[502] > 0
    hold(found, 40, twice=2)


@contextlib.contextmanager
def restarting(endpoint: Endpoint, *, after: int, for_s: float) -> Iterator[None]:
    """Stop the endpoint for a while once it has been asked that often."""

    def watch() -> None:
        until = time.monotonic() + 60
        while len(endpoint.requests) < after and time.monotonic() < until:
            time.sleep(0.05)
        endpoint.stop()
        time.sleep(for_s)
        endpoint.start()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


REFUSED = {
    "no access": ('auth_basic "staff"; auth_basic_user_file none;', "401"),
    "forbidden": ("deny all;", "403"),
    "moved": ("return 308 http://127.0.0.1:1/v2$request_uri;", "308"),
}


@needs_nginx
@pytest.mark.parametrize("name", REFUSED)
def test_what_nginx_refuses_always_ends_the_build_with_one_line(name: str, tmp_path: Path) -> None:
    rules, status = REFUSED[name]
    with Endpoint() as endpoint, nginx(tmp_path, endpoint.url, rules) as gateway:
        run = build(tmp_path, gateway.url, PROMPTS, key="sk-test")
    print(f"\n| nginx {name} | {run.code} | {run.seconds:.0f} s |", *run.messages)
    assert run.code == 1 and not any(one.prompt for one in endpoint.requests)
    (line,) = run.messages
    assert status in line and "sk-test" not in line
    assert run.seconds < 20


QUEUES = {
    "maxconn 2, queue 1 s": ("timeout queue 1s", "maxconn 2", 503),
    "429 above 10 in 10 s": (
        "stick-table type ip size 10 expire 10s store http_req_rate(10s)\n"
        "    http-request track-sc0 src\n"
        "    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10 }",
        "",
        429,
    ),
}


@needs_haproxy
@pytest.mark.parametrize("name", QUEUES)
def test_what_haproxy_s_queue_gives_up_is_asked_later(name: str, tmp_path: Path) -> None:
    rules, server, status = QUEUES[name]
    rules = f"{rules}\n    default-server {server}" if server else rules
    with Endpoint(STEADY) as endpoint, haproxy(tmp_path, endpoint.url, rules) as gateway:
        found = seen(f"haproxy {name}", tmp_path, gateway, endpoint, PROMPTS)
    hold(found, 40)
    assert found.statuses[status] > 0 and found.statuses.total() > 40


def models(endpoint: Endpoint) -> list[dict[str, Any]]:
    """An alias, one without a server, and one with little money."""
    there = {"api_base": endpoint.url, "api_key": "none"}
    usd = {"input_cost_per_token": 1e-3, "output_cost_per_token": 1e-3}
    limits = {"max_budget": 0.2, "budget_duration": "1d"}
    return [
        {"model_name": name, "litellm_params": {"model": f"openai/{model}", **params}}
        for name, model, params in (
            ("writer", "scripted-model", there),
            ("backed", "large-model", {"api_base": "http://127.0.0.1:9/v1", "api_key": "none"}),
            ("dear", "dear-model", {**there, **usd, **limits}),
        )
    ]


KEYS: dict[str, dict[str, Any]] = {
    "sk-free": {},
    "sk-two": {"max_parallel_requests": 2},
    "sk-requests": {"rpm_limit": 10},
    "sk-tokens": {"tpm_limit": 4000},  # it reserves max_tokens of each request
}


@contextlib.contextmanager
def behind_litellm(folder: Path, behaviour: Behaviour) -> Iterator[tuple[Gateway, Endpoint]]:
    """An endpoint behind LiteLLM's proxy, which retries nothing by itself."""
    router = {"num_retries": 0, "fallbacks": [{"backed": ["writer"]}]}
    with (
        Endpoint(behaviour) as endpoint,
        litellm(folder, models(endpoint), KEYS, **router) as gateway,
    ):
        yield gateway, endpoint


@pytest.mark.parametrize("key", [key for key in KEYS if key != "sk-free"])
def test_the_limits_of_a_key_of_litellm_cost_time_only(key: str, tmp_path: Path) -> None:
    with behind_litellm(tmp_path, STEADY) as (gateway, endpoint):
        who = {"model": "writer", "key": key}
        found = seen(f"LiteLLM {KEYS[key]}", tmp_path, gateway, endpoint, PROMPTS[:16], **who)
    hold(found, 16)
    assert found.statuses[429] > 0 and found.run.seconds < 300
    if key == "sk-two":
        assert "hold 2 requests at a time" in " ".join(found.run.messages)


def test_the_model_that_stood_in_at_litellm_is_named(tmp_path: Path) -> None:
    with behind_litellm(tmp_path, STEADY) as (gateway, endpoint):
        who = {"model": "backed", "key": "sk-free"}
        found = seen("LiteLLM fallback", tmp_path, gateway, endpoint, PROMPTS, **who)
        alias = build(tmp_path, gateway.url, PROMPTS, model="writer", key="sk-free")
    hold(found, 40)
    assert {one["answered_by"] for one in found.run.facts["lineage"]["answers"]} == {
        "scripted-model"
    }
    assert {one["answered_by"] for one in alias.facts["lineage"]["answers"]} == {"writer"}


def test_the_end_of_a_budget_at_litellm_ends_the_build_and_loses_nothing(tmp_path: Path) -> None:
    with behind_litellm(tmp_path, STEADY) as (gateway, endpoint):
        who = {"model": "dear", "key": "sk-free"}
        words = "--concurrency", "4"
        found = seen("LiteLLM budget", tmp_path, gateway, endpoint, PROMPTS, *words, **who)
    assert found.run.code == 1 and found.twice == {}
    assert "budget" in found.run.messages[-1]  # the gateway's own words
    assert found.run.seconds < 200


def test_failures_behind_litellm_are_asked_again_and_rows_refused_are_left_out(
    tmp_path: Path,
) -> None:
    rules = [
        Rule("429", contains=" 3 ", first_n=1, seconds=2),
        Rule("500", contains=" 5 ", first_n=1),
        Rule("400", contains=" 21 "),
        Rule("400", contains=" 22 "),
    ]
    with behind_litellm(tmp_path, Behaviour(rules=rules, latency="fixed:0.2")) as (
        gateway,
        endpoint,
    ):
        who = {"model": "writer", "key": "sk-free"}
        words = "--concurrency", "8"
        found = seen("LiteLLM 429, 500, 400", tmp_path, gateway, endpoint, PROMPTS, *words, **who)
    hold(found, 38, twice=2)


@pytest.mark.parametrize("keys", [KEYS, None], ids=["own keys", "master key only"])
def test_a_wrong_key_at_litellm_ends_the_build_with_one_line(
    keys: Mapping[str, Any] | None, tmp_path: Path
) -> None:
    with Endpoint() as endpoint, litellm(tmp_path, models(endpoint), keys) as gateway:
        run = build(tmp_path, gateway.url, PROMPTS, model="writer", key="sk-wrong")
    print(f"\n| LiteLLM wrong key | {run.code} | {run.seconds:.0f} s |", *run.messages)
    assert run.code == 1 and not any(one.prompt for one in endpoint.requests)
    (line,) = run.messages
    assert "POTSTILL_API_KEY" in line and "sk-wrong" not in line
    assert run.seconds < 20


PATIENT = "proxy_read_timeout 900s;"  # llama.cpp's server reads one prompt after the other


@needs_nginx
def test_a_prompt_longer_than_llama_cpp_s_context_costs_its_row(tmp_path: Path) -> None:
    prompts = ["Name a fruit.", LONG, "Name a city.", "Name a fish."]
    words = "--max-tokens", "60", "--concurrency", "2"
    with (
        llama(slots=2, slot_tokens=512) as url,
        nginx(tmp_path, url, PATIENT) as gateway,
    ):
        found = seen(
            "llama.cpp context", tmp_path, gateway, None, prompts, *words, model=EMBEDDED_MODEL
        )
    assert found.run.code == 0, found.run.errors
    assert found.statuses[200] == 3 and found.statuses.total() == 4
    dropped = found.run.facts["counts"]["dropped"]
    assert found.run.kept + sum(dropped.values()) == 4
    assert found.asked_again == 0 and found.again.kept == found.run.kept


def test_llama_cpp_s_own_key_is_asked_for(tmp_path: Path) -> None:
    with llama(slots=1, slot_tokens=512, key="sk-right") as url:
        run = build(tmp_path, url, PROMPTS[:2], model=EMBEDDED_MODEL, key="sk-wrong")
    assert run.code == 1
    (line,) = run.messages
    assert "401" in line and "POTSTILL_API_KEY" in line and "sk-wrong" not in line


SHORT = ("--max-tokens", "64", "--cut-off", "keep", "--judge-tokens", "400")
FORMS = {
    "json_schema": ("ultrafeedback", "--rows", "1", "--writers", "2", *SHORT),
    "logprobs": ("constitution", "--rows", "1", "--verdict", "probabilities", *SHORT),
}


@needs_nginx
@pytest.mark.parametrize("form", FORMS)
def test_llama_cpp_takes_a_schema_and_gives_log_probabilities(form: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.main", "build", *FORMS[form], "--json"]
    command += ["--work", str(tmp_path / "work"), "--concurrency", "2"]
    with (
        llama(slots=2, slot_tokens=4096) as url,
        nginx(tmp_path, url, PATIENT) as gateway,
    ):
        command += ["--teacher", f"{gateway.url}#{EMBEDDED_MODEL}"]
        runs = [
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            for _ in range(2)
        ]
        statuses = gateway.statuses()
    facts = [json.loads(run.stdout) for run in runs if run.returncode == 0]
    print(f"\n| llama.cpp {form} |", statuses, [one["run"] for one in facts])
    assert len(facts) == 2, runs[0].stderr
    assert set(statuses) == {200} and facts[1]["run"]["calls"] == 0
    (draft,) = tmp_path.glob("work/*/drafts/0001")
    calls = pq.read_table(draft / "calls.parquet").to_pylist()
    asked = [call for call in calls if call["role"] == "judge"]
    assert asked
    if form == "json_schema":
        assert all(json.loads(one["answer"]) for one in asked if one["finish_reason"] == "stop")
