"""The scripted endpoint does to a client what each behaviour says, and logs it."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, get_args
from urllib.request import urlopen

import pytest

from tests.endpoint import Behaviour, Endpoint, Kind, Rule

CHAT = "/v1/chat/completions"
CODES: dict[Kind, str] = {
    "400": "context_length_exceeded", "400-body": "bad_request", "401": "invalid_api_key",
    "403": "forbidden", "404": "model_not_found", "404-url": "unknown_url",
    "429": "rate_limit_exceeded", "429-date": "rate_limit_exceeded",
    "429-plain": "rate_limit_exceeded", "429-quota": "insufficient_quota",
    "500": "internal_error", "503": "overloaded",
}  # fmt: skip


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


def address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    return host, int(port)


def connected(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(address(endpoint.url), timeout=5)


def request_bytes(prompt: str, *, path: str = CHAT, **more: Any) -> bytes:
    chat = {"messages": [{"role": "user", "content": prompt}]}
    text = {"prompt": prompt} if path == "/v1/completions" else chat
    body = json.dumps({"model": "m", **text, **more}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def ask(
    endpoint: Endpoint, prompt: str = "hello there", **more: Any
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask once on a connection of its own; gives status, headers and body."""
    with connected(endpoint) as client:
        client.sendall(request_bytes(prompt, **more))
        response = http.client.HTTPResponse(client)
        response.begin()
        body = response.read()
        response.close()
        return response.status, response.headers, body


def answer(endpoint: Endpoint, prompt: str = "hello there", **more: Any) -> Any:
    status, _, body = ask(endpoint, prompt, **more)
    assert status == 200
    return json.loads(body)


def statuses(endpoint: Endpoint, prompts: list[str]) -> list[int]:
    return [ask(endpoint, prompt)[0] for prompt in prompts]


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds, which the server's thread may make true a little later."""
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true in 5 s")


def text(response: Any) -> str:
    return str(response["choices"][0]["message"]["content"])


def test_the_same_messages_get_the_same_words_and_another_seed_others(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(tokens=100))
    first, again, other = answer(endpoint), answer(endpoint), answer(endpoint, seed=2)
    assert text(first) == text(again) != text(other)
    assert len(text(first).split()) == 100
    assert first["usage"] == {"prompt_tokens": 2, "completion_tokens": 100, "total_tokens": 102}
    assert (first["model"], first["choices"][0]["finish_reason"]) == ("m", "stop")
    assert "logprobs" in first["choices"][0]
    assert len(answer(endpoint, logprobs=True)["choices"][0]["logprobs"]["content"]) == 100


def test_max_tokens_counts_only_when_told(endpoint: Endpoint) -> None:
    assert len(text(answer(endpoint, max_tokens=3)).split()) == 16
    endpoint.set(Behaviour(honour_max_tokens=True))
    cut = answer(endpoint, max_tokens=3)
    assert len(text(cut).split()) == 3
    assert cut["choices"][0]["finish_reason"] == "length"


def test_the_other_routes(endpoint: Endpoint) -> None:
    with urlopen(f"{endpoint.url}/models", timeout=5) as response:
        assert [model["id"] for model in json.load(response)["data"]] == ["scripted-model"]
    plain = answer(endpoint, "once upon", path="/v1/completions")
    assert len(plain["choices"][0]["text"].split()) == 16
    status, _, body = ask(endpoint, path="/v1/embeddings")
    assert (status, json.loads(body)["error"]["code"]) == (404, "unknown_url")
    assert endpoint.paid() == {"once upon": 1}


@pytest.mark.parametrize("wrong", [{"n": 2}, {"stream": True}, {"messages": 7}, {"messages": [1]}])
def test_what_is_not_spoken_here_is_a_400(endpoint: Endpoint, wrong: dict[str, Any]) -> None:
    assert ask(endpoint, **wrong)[0] == 400


def test_a_function_answers_with_a_text_or_a_whole_response(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(answer=lambda body: body["messages"][0]["content"].upper() + " \ufffd"))
    assert text(answer(endpoint, "abc")) == "ABC \ufffd"
    endpoint.set(Behaviour(answer=lambda body: {"whole": body["model"]}))
    assert answer(endpoint) == {"whole": "m"}


def test_an_exception_in_such_a_function_fails_the_test() -> None:
    faulty = Behaviour(answer=lambda _: str(1 / 0))
    with (
        pytest.raises(ZeroDivisionError),
        Endpoint(faulty) as endpoint,
        pytest.raises(ConnectionError),
    ):
        ask(endpoint)


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_an_error_has_openais_form(endpoint: Endpoint, kind: Kind, code: str) -> None:
    endpoint.set(Behaviour(rules=[Rule(kind)], latency="fixed:0.001"))
    status, headers, body = ask(endpoint)
    assert (status, headers["content-type"]) == (int(kind[:3]), "application/json")
    assert json.loads(body)["error"]["code"] == code
    assert ("retry-after" in headers) == (kind in ("429", "429-date"))
    (logged,) = endpoint.requests
    assert (logged.behaviour, logged.status, logged.paid) == (kind, status, False)


def test_retry_after_is_seconds_or_a_date(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(rules=[Rule("429", seconds=0.25)]))
    assert ask(endpoint)[1]["retry-after"] == "0.25"
    endpoint.set(Behaviour(rules=[Rule("503", seconds=7)]))
    assert ask(endpoint)[1]["retry-after"] == "7"
    endpoint.set(Behaviour(rules=[Rule("429-date", seconds=60)]))
    wait = parsedate_to_datetime(ask(endpoint)[1]["retry-after"]) - datetime.now(UTC)
    assert 55 < wait.total_seconds() <= 60


def test_a_page_of_html_comes_with_502_and_even_with_200(endpoint: Endpoint) -> None:
    for rule, status in ((Rule("502"), 502), (Rule("html"), 200)):
        endpoint.set(Behaviour(rules=[rule]))
        got, headers, body = ask(endpoint)
        assert (got, headers["content-type"], body[:6]) == (status, "text/html", b"<html>")
    assert not endpoint.paid()


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_bodies_that_are_no_good_answer(endpoint: Endpoint, path: str) -> None:
    def body(kind: Kind) -> bytes:
        endpoint.set(Behaviour(rules=[Rule(kind)]))
        status, _, data = ask(endpoint, path=path)
        assert status == 200
        return data

    with pytest.raises(json.JSONDecodeError):
        json.loads(body("broken-json"))
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        json.loads(body("twice"))
    with pytest.raises(UnicodeDecodeError):
        body("bad-utf8").decode()
    assert json.loads(body("no-choices"))["choices"] == []
    assert {"message", "text"}.isdisjoint(json.loads(body("no-message"))["choices"][0])
    choice = json.loads(body("null-content"))["choices"][0]
    assert choice.get("message", {"content": choice.get("text")})["content"] is None
    assert not endpoint.paid()
    assert {log.status for log in endpoint.requests} == {200}


def test_odd_but_good_answers_are_paid(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(rules=[Rule("length")]))
    cut = answer(endpoint)
    assert (len(text(cut).split()), cut["choices"][0]["finish_reason"]) == (8, "length")
    endpoint.set(Behaviour(rules=[Rule("extra-fields")], headers={"x-extra": "yes"}))
    _, headers, body = ask(endpoint)
    assert "x_new" in json.loads(body)["choices"][0]["message"]
    assert headers["x-extra"] == "yes"
    assert endpoint.paid() == {"hello there": 2}


def test_a_trickle_comes_a_byte_at_a_time_and_is_paid_at_its_end(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(rules=[Rule("trickle", seconds=0.4)], tokens=1))
    with connected(endpoint) as client:
        client.sendall(request_bytes("slow"))
        began, sizes = time.monotonic(), [len(client.recv(9999))]
        while not endpoint.requests[0].paid:
            sizes.append(len(client.recv(9999)))
    assert time.monotonic() - began > 0.35
    assert len(sizes) > 20
    assert max(sizes[1:]) < 20


def test_broken_connections(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(rules=[Rule("reset")]))
    with pytest.raises(ConnectionResetError):
        ask(endpoint)
    endpoint.set(Behaviour(rules=[Rule("reset-middle")]))
    with connected(endpoint) as client:
        client.sendall(request_bytes("x"))
        assert client.recv(9999).startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            client.recv(9999)
    endpoint.set(Behaviour(rules=[Rule("half")]))
    with pytest.raises(http.client.IncompleteRead) as short:
        ask(endpoint)
    assert short.value.expected is not None
    assert abs(len(short.value.partial) - short.value.expected) <= 1
    until(lambda: all(log.ended for log in endpoint.requests))
    logged = [(log.status, log.paid, log.client_left) for log in endpoint.requests]
    assert logged == [(None, False, False), (200, False, False), (200, False, False)]


@pytest.mark.parametrize("behaviour", [{"rules": [Rule("hang")]}, {"latency": "fixed:60"}])
def test_a_client_that_leaves_unanswered_is_seen(
    endpoint: Endpoint, behaviour: dict[str, Any]
) -> None:
    endpoint.set(Behaviour(**behaviour))
    with connected(endpoint) as client:
        client.sendall(request_bytes("x"))
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert (endpoint.at_once, endpoint.requests[0].ended) == (1, None)
    until(lambda: endpoint.requests[0].client_left)
    assert (endpoint.at_once, endpoint.requests[0].paid) == (0, False)


def test_an_endpoint_that_is_down_refuses_and_comes_back(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(rules=[Rule("down", first_n=1, seconds=0.2)], latency="fixed:0.02"))
    with connected(endpoint) as bystander:
        bystander.sendall(request_bytes("x", path="/v1/nothing"))
        assert bystander.recv(9999).startswith(b"HTTP/1.1 404")
        with pytest.raises(ConnectionError):
            ask(endpoint)
        assert bystander.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        ask(endpoint)
    time.sleep(0.3)
    assert ask(endpoint)[0] == 200
    assert all(log.ended and not log.client_left for log in endpoint.requests)


def test_a_stopped_endpoint_starts_again_on_its_port_with_its_log(endpoint: Endpoint) -> None:
    url = endpoint.url
    with connected(endpoint) as client:
        client.sendall(request_bytes("before"))
        assert client.recv(9999).startswith(b"HTTP/1.1 200")
        endpoint.stop()
        assert client.recv(1) == b""
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            ask(endpoint)
    endpoint.start()
    assert endpoint.url == url
    assert ask(endpoint, "after")[0] == 200
    assert endpoint.paid() == {"before": 1, "after": 1}


def test_a_rule_is_for_some_requests_and_the_first_that_applies_decides(endpoint: Endpoint) -> None:
    bad, ninth = Rule("500", contains="bad"), Rule("403", when=lambda body: body.get("seed") == 9)
    twice, once = Rule("429", first_n=2), Rule("503", first_n=1)
    endpoint.set(Behaviour(rules=[bad, ninth, twice, once]))
    assert statuses(endpoint, ["bad", "bad day"]) == [500, 500]
    assert ask(endpoint, seed=9)[0] == 403
    assert statuses(endpoint, ["a", "b", "a", "a", "a", "b"]) == [429, 429, 429, 503, 200, 429]


def test_a_share_is_drawn_by_request_or_fixed_by_prompt(endpoint: Endpoint) -> None:
    prompts = [f"prompt {number}" for number in range(60)]
    by_request = Behaviour(rules=[Rule("500", share=0.3)], seed=5)
    by_prompt = Behaviour(rules=[Rule("500", share=0.3, by="prompt")])
    endpoint.set(by_request)
    drawn = statuses(endpoint, prompts)
    endpoint.set(by_request)
    assert statuses(endpoint, prompts) == drawn
    assert 6 <= drawn.count(500) <= 32
    endpoint.set(by_prompt)
    fixed = statuses(endpoint, prompts)
    assert statuses(endpoint, prompts[::-1]) == fixed[::-1]
    assert 6 <= fixed.count(500) <= 32


def test_latency_is_fixed_or_drawn_around_its_mean_and_a_rule_may_have_its_own() -> None:
    rules = [Rule("ok", contains="quick", latency="none"), Rule("429", contains="refused")]
    with Endpoint(Behaviour(latency="fixed:0.1", rules=rules)) as endpoint:
        for prompt, least, most in (("x", 0.1, 0.3), ("quick", 0, 0.08), ("refused", 0, 0.08)):
            began = time.monotonic()
            ask(endpoint, prompt)
            assert least <= time.monotonic() - began < most
        draws = [endpoint.script.delay_s("lognormal:2:0.8") for _ in range(20_000)]
    assert sum(draws) / len(draws) == pytest.approx(2, rel=0.05)
    assert max(draws) > 10


def test_wrong_words_are_told_when_they_are_set(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="latency 'slow' is none of none, fixed:S"):
        endpoint.set(Behaviour(latency="slow"))
    with pytest.raises(ValueError, match="there is no kind 'explode'; there are"):
        endpoint.set(Behaviour(rules=[Rule("explode")]))  # type: ignore[arg-type]


def test_more_requests_a_second_than_the_rate_are_refused_for_a_while(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(most_per_second=4, tell_limits=True))
    replies = [ask(endpoint) for _ in range(6)]
    assert [status for status, _, _ in replies] == [200] * 4 + [429] * 2
    assert replies[-1][1]["retry-after"] == "1"
    left = [headers["x-ratelimit-remaining-requests"] for _, headers, _ in replies]
    assert left == ["3", "2", "1", "0", "0", "0"]
    assert replies[0][1]["x-ratelimit-limit-requests"] == "4"
    reset = replies[-1][1]["x-ratelimit-reset-requests"]
    time.sleep(int(reset.removesuffix("ms")) / 1000 + 0.01)
    assert ask(endpoint)[0] == 200


def test_more_requests_at_once_than_the_limit_are_refused(endpoint: Endpoint) -> None:
    endpoint.set(Behaviour(most_at_once=2, latency="fixed:0.1"))
    clients = [connected(endpoint) for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendall(request_bytes(str(number)))
        until(lambda number=number: len(endpoint.requests) > number)  # type: ignore[misc]
    heads = [client.recv(9999)[:12] for client in clients]
    assert heads == [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 429"]
    assert endpoint.most_at_once == 3
    for client in clients:
        client.close()


def test_pipelined_requests_and_ones_in_pieces_are_answered_in_order(endpoint: Endpoint) -> None:
    endpoint.set(
        Behaviour(answer=lambda body: body["messages"][0]["content"], latency="fixed:0.01")
    )
    stream = b"".join(request_bytes(f"<{number}>") for number in range(5))
    with connected(endpoint) as client:
        for at in range(0, len(stream), 100):
            client.sendall(stream[at : at + 100])
            time.sleep(0.001)
        received = b""
        while received.count(b"content-length") < 5 or not received.endswith(b"}"):
            received += client.recv(9999)
    order = [received.index(f"<{number}>".encode()) for number in range(5)]
    assert order == sorted(order)
    assert endpoint.most_at_once == 1


def test_the_log_says_what_came_and_what_became_of_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Endpoint(Behaviour(rules=[Rule("500", contains="b")]), log=path) as endpoint:
        began = time.time()
        assert statuses(endpoint, ["a", "b"]) == [200, 500]
        first, second = endpoint.requests
    assert (first.method, first.path, first.prompt) == ("POST", CHAT, "a")
    assert first.headers["authorization"] == "Bearer k"
    assert first.body == {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    assert (first.behaviour, first.status, first.paid) == ("ok", 200, True)
    assert (second.behaviour, second.status, second.paid) == ("500", 500, False)
    assert first.ended is not None
    assert began <= first.time <= first.ended <= time.time()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["a", "b"]
    assert rows[0]["body"] == first.body


def test_a_large_answer_to_a_slow_reader_is_paid_when_its_last_byte_has_left() -> None:
    with Endpoint(Behaviour(answer=lambda _: "x" * 20_000_000)) as endpoint:
        with connected(endpoint) as client:
            client.sendall(request_bytes("large"))
            assert client.recv(1) == b"H"
            time.sleep(0.05)
            assert not endpoint.paid()
            received = 1
            while received < 20_000_000:
                received += len(client.recv(1 << 20))
            until(lambda: bool(endpoint.paid()))
        with connected(endpoint) as client:
            client.sendall(request_bytes("not read"))
            assert client.recv(1) == b"H"
        until(lambda: endpoint.requests[-1].client_left)
        assert endpoint.paid() == {"large": 1}


def test_every_kind_is_driven_here() -> None:
    source = Path(__file__).read_text()
    assert [kind for kind in get_args(Kind) if f'"{kind}"' not in source] == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_as_a_process_it_tells_its_url_and_its_log_survives(
    tmp_path: Path, end: signal.Signals
) -> None:
    log = tmp_path / "log.jsonl"
    behaviour = {"rules": [{"kind": "403", "contains": "no"}], "model": "mine"}
    server = [sys.executable, str(Path(__file__).parents[1] / "endpoint.py"), "--log", str(log)]
    flags = ["--tokens", "5", "--latency", "fixed:0.01", "--behaviour", json.dumps(behaviour)]
    with subprocess.Popen(server + flags, stdout=subprocess.PIPE) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        with socket.create_connection(address(url), timeout=5) as client:
            client.sendall(request_bytes("yes") + request_bytes("no"))
            until(lambda: log.read_text().count("\n") == 2)
            assert client.recv(99999).count(b"HTTP/1.1") in (1, 2)
        process.send_signal(end)
        assert process.wait(5) == (-9 if end is signal.SIGKILL else 0)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["prompt"], row["status"]) for row in rows] == [("yes", 200), ("no", 403)]
