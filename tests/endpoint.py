"""A real HTTP server that speaks the OpenAI chat-completions protocol and misbehaves on demand.

In a test, `with Endpoint(Behaviour(rules=[Rule("429", first_n=2)])) as endpoint:` has a `url` and
a log, `requests`. As a process, `python tests/endpoint.py --latency fixed:0.2` prints its url.
Source: https://platform.openai.com/docs/api-reference/chat
"""

import argparse
import asyncio
import hashlib
import json
import math
import random
import signal
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from socket import SO_LINGER, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any, Literal, Self, get_args

Body = dict[str, Any]
Kind = Literal[
    "ok", "length", "extra-fields", "trickle",  # good answers; a trickle is a byte at a time
    "400", "400-body", "401", "403", "404", "404-url", "500", "502", "503",  # 502 is an HTML page
    "429", "429-date", "429-plain", "429-quota",  # Retry-After: seconds, a date, none; no credit
    "html", "broken-json", "twice", "bad-utf8", "no-choices", "no-message", "null-content",  # 200
    "reset", "reset-middle", "half", "hang",  # reset before or during the answer, closed during it
    "given",  # the rule's status, body and headers
]  # fmt: skip
GOOD = ("ok", "length", "extra-fields", "trickle")
ROUTES = (("POST", "/v1/chat/completions"), ("POST", "/v1/completions"))
CODES = {
    "400": "context_length_exceeded", "400-body": "bad_request", "401": "invalid_api_key",
    "403": "forbidden", "404": "model_not_found", "404-url": "unknown_url",
    "429-quota": "insufficient_quota", "500": "internal_error", "503": "overloaded",
}  # fmt: skip
HTML = b"<html><head><title>Bad Gateway</title></head><body><h1>nginx</h1></body></html>\n"
WORDS = [a + b + c for a in "bdfghklmnprstvwz" for b in "aeio" for c in ("", "l", "n", "r")]  # 256


@dataclass(frozen=True)
class Rule:
    """One way to misbehave and the requests it is for; the first rule that applies decides."""

    kind: Kind
    _: KW_ONLY
    share: float = 1.0  # of the requests that the other conditions let through, in [0, 1]
    contains: str = ""  # text that the prompt must contain
    when: Callable[[Body], bool] | None = None  # called with the request's body
    first_n: float = math.inf  # times for each prompt, after which the next rules are tried
    seconds: float | None = None  # Retry-After, a trickle's length; None: 1
    latency: str | None = None  # instead of the behaviour's
    status: int = 200  # these three for the kind "given"
    body: Any = ""  # bytes, a text, or a JSON value
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How an endpoint answers."""

    rules: Sequence[Rule] = ()
    latency: str = "none"  # none | fixed:S | lognormal:MEAN:SIGMA, seconds; statuses 4xx: none
    tokens: int = 16  # words in an answer
    model: str = "scripted-model"  # what /v1/models lists
    models: Rule = Rule("ok")  # how /v1/models is answered
    answer: Callable[[Body], str | Body] | None = None  # gives the text, or the whole response
    honour_max_tokens: bool = False
    most_per_second: float | None = None  # above it 429 with Retry-After
    most_at_once: int | None = None  # above it 429, with Retry-After if there is busy_s
    busy_s: float | None = None
    report_limits: bool = False  # x-ratelimit-* headers, when most_per_second is set
    seed: int = 0  # of what is drawn: shares and latencies


@dataclass(slots=True)
class Request:
    """What arrived and what became of it; it is in the log from its arrival on."""

    time: float  # seconds since the epoch
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: Body = field(default_factory=dict)
    prompt: str = ""  # the texts of all messages, joined by newlines
    behaviour: str = "ok"  # the kind of what it gets
    status: int | None = None  # None while nothing has been sent
    paid: bool = False  # a full good answer was sent, to the last byte
    client_left: bool = False  # before that
    ended: float | None = None  # seconds since the epoch; None while in work


def response(behaviour: Behaviour, request: Request) -> bytes:
    """The body that the request's behaviour asks for."""
    kind = request.behaviour
    if kind in ("html", "502"):
        return HTML
    if kind[0] in "45":
        code = CODES.get(kind, "rate_limit_exceeded")
        type_ = "invalid_request_error" if kind[0] == "4" else "server_error"
        about = {"message": code.replace("_", " "), "type": type_, "param": None, "code": code}
        return json.dumps({"error": about}).encode()
    if request.path == "/v1/models":
        model = {"id": behaviour.model, "object": "model", "created": 0, "owned_by": "nobody"}
        return json.dumps({"object": "list", "data": [model]}).encode()
    answer = behaviour.answer(request.body) if behaviour.answer else None
    if not isinstance(answer, dict):
        answer = completion(behaviour, request, answer)
    data = json.dumps(answer).encode()
    if kind == "bad-utf8":
        return data.replace(b"\\ufffd", b"\xff\xfe")
    return data[: len(data) // 2] if kind == "broken-json" else data * (1 + (kind == "twice"))


def completion(behaviour: Behaviour, request: Request, text: str | None) -> Body:
    """A response with this text, or with one that depends on the messages and seed alone."""
    kind, body, chat, finish = request.behaviour, request.body, "messages" in request.body, "stop"
    if text is None:
        key = json.dumps([body.get("messages", body.get("prompt")), body.get("seed")])
        digest = hashlib.shake_256(key.encode()).digest(behaviour.tokens)
        text = " ".join([WORDS[byte] for byte in digest])
    words = text.split()
    most = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    if kind == "length" or (behaviour.honour_max_tokens and most < len(words)):
        words, finish = words[: len(words) // 2 if kind == "length" else most], "length"
        text = " ".join(words)
    content = {"bad-utf8": "\ufffd" + text, "null-content": None}.get(kind, text)
    answer: Body = {"role": "assistant", "content": content} if chat else {"text": content}
    choice: Body = {"index": 0, "finish_reason": finish, "logprobs": None}
    if kind != "no-message":
        choice |= {"message": answer} if chat else answer
    if body.get("logprobs"):
        each = [{"token": word, "logprob": -0.25, "top_logprobs": []} for word in words]
        choice["logprobs"] = {"content": each}
    usage: Body = {"prompt_tokens": len(request.prompt.split()), "completion_tokens": len(words)}
    usage["total_tokens"] = sum(usage.values())
    about: Body = {"id": f"cmpl-{time.time_ns()}", "created": int(request.time)}
    about["object"] = "chat.completion" if chat else "text_completion"
    if kind == "extra-fields":
        about["x_new"] = choice["x_new"] = answer["x_new"] = {"nested": [1, None, "two"]}
    choices = [] if kind == "no-choices" else [choice]
    return about | {"model": body.get("model"), "choices": choices, "usage": usage}


class _Script:
    """A behaviour and its state: what was drawn, counted and let through."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour, self.random = behaviour, random.Random(behaviour.seed)
        self.fired: Counter[tuple[int, str]] = Counter()  # by rule and prompt
        rate = behaviour.most_per_second or 1e9
        self.most = max(1, int(rate))
        self.window_s, self.let_through = self.most / rate, deque[float]()
        for rule in (Rule("ok", latency=behaviour.latency), *behaviour.rules):
            if rule.kind not in get_args(Kind):
                raise ValueError(f"there is no kind {rule.kind!r}; there are {get_args(Kind)}")
            self.delay_s(rule.latency or "none")  # raises for a wrong one

    def rule(self, request: Request, raw: bytes, at_once: int) -> Rule:
        """Read the body; return the first rule that applies."""
        if (request.method, request.path) == ("GET", "/v1/models"):
            return self.behaviour.models
        if (request.method, request.path) not in ROUTES:
            return Rule("404-url")
        try:
            body = request.body = json.loads(raw)
            messages = body["messages"] if "messages" in body else [{"content": body["prompt"]}]
            texts = [str(message.get("content") or "") for message in messages]
        except (ValueError, KeyError, TypeError, AttributeError):
            return Rule("400-body")
        prompt = request.prompt = "\n".join(texts)
        if at_once > (self.behaviour.most_at_once or math.inf):
            busy_s = self.behaviour.busy_s
            return Rule("429-plain") if busy_s is None else Rule("429", seconds=busy_s)
        now = time.monotonic()
        while self.let_through and self.let_through[0] <= now - self.window_s:
            self.let_through.popleft()
        if len(self.let_through) == self.most:
            return Rule("429", seconds=math.ceil(self.let_through[0] + self.window_s - now))
        self.let_through.append(now)
        for at, rule in enumerate(self.behaviour.rules):
            apt = rule.contains in prompt and self.fired[at, prompt] < rule.first_n
            if not apt or (rule.when and not rule.when(body)):
                continue
            if rule.share < 1 and self.random.random() >= rule.share:
                continue
            self.fired[at, prompt] += 1
            return rule
        return Rule("400-body" if body.get("n") not in (None, 1) or body.get("stream") else "ok")

    def delay_s(self, latency: str) -> float:
        """Draw a latency; without spread the lognormal is its mean."""
        kind, mean, sigma = [*latency.split(":"), "0", "0"][:3]
        if kind not in ("none", "fixed", "lognormal"):
            raise ValueError(f"latency {latency!r} is none of none, fixed:S, lognormal:MEAN:SIGMA")
        return float(mean) * self.random.lognormvariate(-(float(sigma) ** 2) / 2, float(sigma))

    def head(self, rule: Rule, status: int, length: int) -> bytes:
        html, seconds = rule.kind in ("html", "502"), 1.0 if rule.seconds is None else rule.seconds
        headers = {"content-type": "text/html" if html else "application/json"}
        headers["content-length"] = str(length)
        if rule.kind == "429" or (status == 503 and rule.seconds is not None):
            headers["retry-after"] = f"{seconds:g}"
        elif rule.kind == "429-date":
            now = time.time()
            headers["date"] = formatdate(now, usegmt=True)
            headers["retry-after"] = formatdate(now + seconds, usegmt=True)
        if self.behaviour.report_limits and self.let_through:
            reset_ms = (self.let_through[0] + self.window_s - time.monotonic()) * 1000
            headers["x-ratelimit-limit-requests"] = str(self.most)
            headers["x-ratelimit-remaining-requests"] = str(self.most - len(self.let_through))
            headers["x-ratelimit-reset-requests"] = f"{max(0, math.ceil(reset_ms))}ms"
        headers |= dict(rule.headers)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        phrase = HTTPStatus(status).phrase if status in {*HTTPStatus} else "Own Status"
        return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode()


class _Connection(asyncio.Protocol):
    """A client's connection: one task, which takes one request after the other."""

    def __init__(self, endpoint: "Endpoint") -> None:
        self.endpoint, self.dropped = endpoint, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.reader = transport, asyncio.StreamReader()
        self.task = asyncio.create_task(self.serve())
        self.task.add_done_callback(lambda _: transport.close())
        self.endpoint.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.connections.discard(self)
        if not self.task.cancel() and (failure := self.task.exception()):
            self.endpoint.failures.append(failure)

    async def serve(self) -> None:
        endpoint, last = self.endpoint, False
        while not last:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = [line.partition(":") for line in lines]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            raw = await self.reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split(" ")
            request = Request(time.time(), method, target.partition("?")[0], headers)
            endpoint.at_once += 1
            endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            if endpoint.keep:
                endpoint.arrived.append(request)
            try:
                await self.answer(request, raw)
            finally:
                endpoint.at_once -= 1
                request.ended = time.time()
                request.client_left = self.transport.is_closing() and not self.dropped
                if endpoint.log:
                    row = {name: getattr(request, name) for name in request.__slots__}
                    endpoint.log.write(json.dumps(row) + "\n")
            last = self.dropped or headers.get("connection", "").lower() == "close"

    async def answer(self, request: Request, raw: bytes) -> None:
        """Answer by the rule that applies, or do what it asks instead of answering."""
        endpoint, script, transport = self.endpoint, self.endpoint.script, self.transport
        rule = script.rule(request, raw, endpoint.at_once)
        kind = request.behaviour = rule.kind
        body, seconds = response(script.behaviour, request), rule.seconds or 1.0
        if kind == "given":
            body = rule.body if isinstance(rule.body, str | bytes) else json.dumps(rule.body)
            body = body.encode() if isinstance(body, str) else body
        usual = "none" if kind[0] == "4" or rule.status >= 400 else script.behaviour.latency
        await asyncio.sleep(script.delay_s(rule.latency or usual))
        if kind == "hang":
            await endpoint.loop.create_future()
        elif kind == "reset":
            self.drop(reset=True)
        if self.dropped:
            return
        request.status = int(kind[:3]) if kind[0] in "45" else rule.status
        head = script.head(rule, request.status, len(body))
        if kind in ("half", "reset-middle"):
            transport.write(head + body[: len(body) // 2])
            await asyncio.sleep(0.05)  # for the client to read it
            self.drop(reset=kind == "reset-middle")
        elif kind == "trickle":
            transport.write(head)
            for at in range(len(body)):
                await asyncio.sleep(seconds / len(body))
                transport.write(body[at : at + 1])
        else:
            transport.write(head + body)
        while transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
        request.paid = kind in GOOD and request.method == "POST" and not transport.is_closing()

    def drop(self, reset: bool = False) -> None:
        self.dropped = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
        self.transport.abort()


class Endpoint:
    """The server, in a thread of its own; `with` starts and ends it."""

    def __init__(self, behaviour: Behaviour | None = None, *, log: Path | None = None) -> None:
        """Take a free port of 127.0.0.1; append each ended request to `log`."""
        self.script = _Script(behaviour or Behaviour())
        self.log = log.open("a", buffering=1) if log else None
        self.arrived, self.keep = list[Request](), True  # in their order, while keep is True
        self.at_once = self.most_at_once = 0  # requests in work now, and the most ever
        self.connections, self.failures = set[_Connection](), list[BaseException]()
        # Bound and never listening: keeps the port ours, and refused, while the endpoint is down.
        self.place = socket()
        self.place.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.place.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.place.getsockname()[1]}/v1"

    def start(self) -> Self:
        """Listen, again if it was stopped, on the same port."""
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.listen())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    __enter__ = start

    def __exit__(self, kind: object, reason: object, trace: object) -> None:
        self.stop()
        self.place.close()
        if self.log:
            self.log.close()
        if self.failures and reason is None:  # of the functions in a behaviour
            raise self.failures[0]

    def set(self, behaviour: Behaviour) -> None:
        """Behave like this from the next request on; counts of `first_n` and limits start again."""
        self.script = _Script(behaviour)

    @property
    def requests(self) -> list[Request]:
        """The log: the requests that arrived; what a client has read in full is recorded."""
        if self.loop.is_running():  # in one turn the loop records what it has just sent
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop).result(10)
        return self.arrived.copy()

    def paid(self) -> Counter[str]:
        """Count by prompt the good answers that were sent to the last byte."""
        return Counter(request.prompt for request in self.requests if request.paid)

    def stop(self) -> None:
        """Drop all connections and refuse new ones, as if the process had died."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.server.close()
            for connection in list(self.connections):
                connection.drop()
            self.loop.run_until_complete(asyncio.sleep(0.01))  # for the connections to close
            self.loop.close()

    async def listen(self) -> None:
        make, (host, port) = (lambda: _Connection(self)), self.place.getsockname()
        self.server = await self.loop.create_server(make, host, port, backlog=1024)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--latency", default="none", help="fixed:S or lognormal:MEAN:SIGMA")
    parser.add_argument("--tokens", type=int, default=16, help="words in an answer")
    parser.add_argument("--behaviour", type=json.loads, default={}, help="fields, as JSON")
    parser.add_argument("--log", type=Path, help="a JSONL file for the requests")
    args = parser.parse_args()
    rules = [Rule(**rule) for rule in args.behaviour.pop("rules", [])]
    fields = {"latency": args.latency, "tokens": args.tokens, **args.behaviour}
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the thread begins, which inherits it
    with Endpoint(Behaviour(rules=rules, **fields), log=args.log) as endpoint:
        endpoint.keep = False
        print(json.dumps({"url": endpoint.url}), flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
