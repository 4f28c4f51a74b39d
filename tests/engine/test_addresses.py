"""An endpoint is reached by the address that was given, and an error about it shows no secret."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from builders.engine import endpoint as endpoint_module
from builders.engine.addresses import is_address, proxy_of, read_address, read_key, shown_address
from builders.engine.calls import Call, Failure
from builders.engine.endpoint import EndpointTeacher, model_and_revision
from builders.engine.pool import pool_spec
from builders.engine.teacher import TeacherSpec
from builders.engine.teacher_kinds import teacher
from builders.errors import InputError, TeacherError
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Rule

READ = {
    "http://[::1]:8000/v1": "http://[::1]:8000/v1",
    "http://[fe80::1]/v1/": "http://[fe80::1]/v1",
    "https://host/openai/v1/chat/completions": "https://host/openai/v1",
    "https://host/v1/models": "https://host/v1",
    "  HTTPS://Host.Example/v1\n": "https://host.example/v1",
    "http://user:pa%2Fss@host:80/v1?api-version=1": "http://host:80/v1",
    "http://müller.example/v1": "http://xn--mller-kva.example/v1",
    "http://host": "http://host",
}


@each(("given", "base"), READ.items())
def test_an_address_is_read_in_every_usual_form(given: str, base: str) -> None:
    assert is_address(given)
    assert read_address(given).base == base


WRONG = {
    "http://host:70000/v1": "number from 1 to 65535",
    "http://host:0/v1": "number from 1 to 65535",
    "http://joe:sesame@host:eight/v1": "number from 1 to 65535",
    "http://joe:ses#ame@host/v1": "number from 1 to 65535",
    "http://[::1:8000/v1": "http://[::1]:8000/v1",
    "http://[host]/v1": "no valid host",
    "http://joe:sesame@a..b/v1": "no valid host",
    "http://.host/v1": "no valid host",
    f"http://{'a' * 64}.example/v1": "no valid host",
    f"http://{'ü' * 64}.example/v1": "no valid host",
    "https//host": "there is no teacher 'https//host'",
    "htps://joe:sesame@host/v1": "is it http://host/v1?",
    "httpss://host/v1": "is it https://host/v1?",
    "ws://host/v1?token=sesame": "unknown scheme 'ws'",
    "http://joe:se@me/sesame@host/v1": "more than one @; write / and @ in a password as %2F",
    "http:/host/v1": "is it http://host/v1?",
    "http:host/v1": "is it http://host/v1?",
    "https://": "has no host; give https://HOST/v1",
    "http:": "has no host; give http://HOST/v1",
    "http:///v1": "'http:///v1', has no host; give http://HOST/v1",
    "https:///v1/chat/completions": "has no host; give https://HOST/v1/chat/completions",
    "http:///v1beta/openai": "has no host; give http://HOST/v1beta/openai",
    "http:/v1": "has no host; give http://HOST/v1",
    "https:///openai/v1": "has no host; give https://HOST/openai/v1",
    "https:///api.example.org/v1": "has more than // before its host; is it https://api.ex",
    "http:////10.0.0.7:9000/v1": "is it http://10.0.0.7:9000/v1?",
    "htp:///v1": "unknown scheme 'htp'; is it http://HOST/v1?",
    "htps://": "unknown scheme 'htps'; is it http://HOST/v1?",
    "http:/127.0.0.1": "'http:/127.0.0.1', has no // after its scheme; is it http://127.0.0.1?",
    "http:127.0.0.1:80/v1": "'http:127.0.0.1:80/v1', has no // after its scheme; is it http://127",
    "https:/joe:sesame@host/v1": "'https:/host/v1', has no // after its scheme; is it https://host",
    "htps:/host/v1": "'htps:/host/v1', has the unknown scheme 'htps'; is it http://host/v1?",
    "http:\\\\host\\v1": "is it http://host/v1?",
    "http://joe:sesame@my host//v1": "contains ' '",
    "http://joe:sesame@host//<v1>": "'http://host//<v1>', contains '<'",
    "localhost:8080/v1": "give http://localhost:8080/v1",
    "api.example.org/v1?key=sesame": "give https://api.example.org/v1",
    "10.0.0.7:9000": "give http://10.0.0.7:9000",
    "joe:sesame@host/v1": "there is no teacher 'host/v1'",
    "http://my host/v1": "contains ' '",
    "http://host/v1?key=ses ame": "contains ' '",
    "http://host/<v1>": "contains '<'",
}


@each(("given", "message"), WRONG.items())
def test_a_wrong_address_is_one_line_with_the_right_one_and_no_secret(
    given: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        [*map(teacher, pool_spec([given], TeacherSpec()).every)]
    assert message in str(caught.value)
    assert "ses" not in str(caught.value)


KEYS = {
    "sk-1 sk-2": "a space at position 5",
    "sk-é1": "a character that no key has at position 4",
    "sk\u200b-1": "position 3",
    "sk-1\nsk-2": "a space at position 5",
    '"sk-1"': "quotation mark",
    "Bearer sk-1": "begins with 'Bearer'; set it to the key alone",
    "bearer sk-1\n": "begins with 'bearer'",
    "Bearer: sk-1": "begins with 'Bearer:'",
    "Bearer": "begins with 'Bearer'",
    "Basic sk-1": "begins with 'Basic'",
    "Token sk-1": "begins with 'Token'",
    "Authorization: Bearer sk-1": "begins with 'Authorization:'",
    "api-key: sk-1": "begins with 'api-key:'",
    "x-api-key:sk-1": "begins with 'x-api-key:'",
    "x-goog-api-key: sk-1": "begins with 'x-goog-api-key:'",
    "OPENAI_API_KEY=sk-1": "begins with 'OPENAI_API_KEY='",
    "export KEY=sk-1": "begins with 'export'",
}


@each(("key", "problem"), KEYS.items())
def test_a_key_is_refused_with_what_no_key_has(
    monkeypatch: pytest.MonkeyPatch, key: str, problem: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(InputError, match=problem) as caught:
        read_key("MY_KEY")
    assert "sk-" not in str(caught.value) and "MY_KEY" in str(caught.value)


@each("key", ["sk-1", "ABC_DEF==", "AB12CD34=", "key-id:secret", "bearer-1", "tokenizer", "a_b=c"])
def test_a_key_is_sent_without_the_end_of_its_line(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_KEY", f" {key}\r\n")
    assert read_key("MY_KEY", named=True) == key
    assert read_key("NO_SUCH_KEY") == ""


@each(
    ("variable", "shown"),
    [
        ("NOPE_VAR", True),
        ("KEY2", True),
        ("sk-proj-sesame", False),
        ("gsk_sesame", False),
        ("SESAME" * 5, False),
        ("A B", False),
    ],
)
@each("value", [None, "", " \n"])
def test_a_variable_that_is_named_for_the_key_must_be_set_and_is_not_shown_if_it_may_be_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, shown: bool, value: str | None
) -> None:
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match="that --key-env names is not set, or empty") as caught:
        read_key(variable, named=True)
    assert (variable in str(caught.value)) == shown


@each(
    ("given", "shown"),
    {
        "http://joe:sesame@host//v1": "http://host//v1",
        "http://joe:sesame@host/a//b?key=sesame": "http://host/a//b",
        "http://joe:ses//ame@host/v1": "http://host/v1",
        "https:joe:sesame@host": "https:host",
        "joe:/sesame@host": "host",
        "joe:sesame@host//v1": "host//v1",
        "http:///v1": "http:///v1",
        "http:/host:8000": "http:/host:8000",
    }.items(),
)
def test_what_is_shown_of_an_address_is_whole_but_for_its_secrets(given: str, shown: str) -> None:
    assert shown_address(given) == shown


def ask(url: str, *, timeout_s: float = 5.0) -> None:
    """Start a teacher and send one call.

    Raises:
        TeacherError: It does not start.
        Failure: It gives no answer.
    """

    async def run() -> None:
        who = EndpointTeacher(TeacherSpec(place=url, model="m", timeout_s=timeout_s))
        try:
            await who.start()
            prompt = [{"role": "user", "content": "Hi."}]
            await who.ask(
                Call(role="writer", endpoint=who.name, model="m", revision=None, prompt=prompt)
            )
        finally:
            await who.stop()

    asyncio.run(run())


def test_an_ipv6_address_is_asked() -> None:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    try:
        server = Server(("::1", 0), Fixed)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with served(server):
        ask(f"http://[::1]:{server.server_address[1]}/v1")


class Fixed(BaseHTTPRequestHandler):
    """Answers each request with the same good answer; keeps their heads."""

    protocol_version = "HTTP/1.1"
    heads: ClassVar[list[str]] = []
    body = b'{"data": [], "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.heads.append(f"{self.requestline}\n{self.headers}")
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[None]:
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


SECRETS = {"joe": "sesame-1", "key": "sesame-2", "provider": "sesame/3"}


def test_no_error_shows_what_an_endpoint_echoes_of_an_address() -> None:
    login = base64.b64encode(b"joe:sesame-1").decode()
    echo = f"no: sesame-1, sesame-2, sesame/3, sesame%2F3, Basic {login}"
    rules = [
        Rule("given", first_n=1, status=400, body={"error": {"message": echo}}),
        Rule("given", first_n=2, status=500, body=f"<html><title>{echo}</title></html>"),
        Rule("given", first_n=3, body={"error": {"message": echo, "code": 403}}),
        Rule("given", status=302, headers=(("location", f"https://joe:sesame-1@x/v1?{echo}"),)),
    ]
    with Endpoint(Behaviour(rules=rules)) as endpoint:
        url = endpoint.url.replace("http://", "http://joe:sesame-1@") + "?key=sesame-2&by=sesame/3"
        for _ in rules:
            with pytest.raises(Failure) as caught:
                ask(url)
            assert "sesame" not in str(caught.value) and login not in str(caught.value)


@each(
    ("location", "offered"),
    [
        ("https://other.example/v1/chat/completions", "https://other.example/v1"),
        ("/api/v1/chat/completions?token=sesame", "/api/v1"),
        ("//other.example/v2/chat/completions/", "//other.example/v2"),
        ("http://[::1", "it redirects to no address: correct --teacher"),
        (None, "it redirects and does not report where to: correct --teacher"),
        ("", "it redirects and does not report where to"),
        ("/v1/chat/completions", "it redirects to itself: correct the server, or the proxy"),
        ("?token=sesame", "it redirects to itself: correct the server"),
        ("/v1/chat/completions/", "to itself, with a slash at the end (/v1/chat/completions/)"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_its_address_is_offered(
    location: str | None, offered: str, status: int
) -> None:
    headers = () if location is None else (("location", location),)
    page = "<html><title>Moved on</title></html>"
    rule = Rule("given", status=status, headers=headers, body=page)
    with Endpoint(Behaviour(rules=[rule])) as endpoint:
        with pytest.raises(Failure) as caught:
            ask(endpoint.url)
        assert caught.value.cause == "redirected" and not caught.value.retryable
        assert offered in str(caught.value) and "sesame" not in str(caught.value)
        assert ("Moved on" in str(caught.value)) == (not location)
        assert len([one for one in endpoint.requests if one.method == "POST"]) == 1


# --- encryption


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, with its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key", "-out", "cert"]
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


@pytest.fixture
def secure(certificate: Path) -> Iterator[int]:
    """The port of a server that speaks TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fixed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]
    with served(server):
        yield server.server_address[1]


def test_faults_of_tls_say_so(
    secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TeacherError, match=r"TLS: .*self-signed certificate.*SSL_CERT_FILE"):
        ask(f"https://localhost:{secure}/v1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    ask(f"https://localhost:{secure}/v1")
    with pytest.raises(TeacherError, match=r"TLS: .*127.0.0.1.*correct the host"):
        ask(f"https://127.0.0.1:{secure}/v1")
    plain = ThreadingHTTPServer(("127.0.0.1", 0), Fixed)
    port = plain.server_address[1]
    with (
        served(plain),
        pytest.raises(
            TeacherError, match=rf"not speak TLS.*is its address http://127.0.0.1:{port}"
        ),
    ):
        ask(f"https://127.0.0.1:{port}/v1")
    with pytest.raises((TeacherError, Failure), match="https://"):
        ask(f"http://localhost:{secure}/v1")


# --- proxies and time


class Proxy(BaseHTTPRequestHandler):
    """Passes plain requests on to the endpoint on this machine, whatever host they name."""

    protocol_version = "HTTP/1.1"
    passed: ClassVar[list[str]] = []
    target = ""

    def do_POST(self) -> None:
        self.passed.append(self.path)
        if self.headers.get("proxy-authorization") is None:
            self.send_response(407)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        length = int(self.headers.get("content-length", 0))
        path = urlsplit(self.path).path.removeprefix("/v1")
        request = Request(self.target + path, self.rfile.read(length) or None)
        with build_opener(ProxyHandler({})).open(request) as response:
            body = response.read()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...


def test_a_proxy_is_used_as_the_environment_asks_but_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    port = server.server_address[1]
    with Endpoint() as endpoint, served(server):
        monkeypatch.setattr(Proxy, "target", endpoint.url)
        monkeypatch.setenv("http_proxy", f"http://me:sesame@127.0.0.1:{port}")
        ask("http://models.example/v1")
        assert Proxy.passed[-1] == "http://models.example/v1/chat/completions"
        passed = len(Proxy.passed)
        ask(endpoint.url)
        assert len(Proxy.passed) == passed
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
        with pytest.raises(Failure, match="407"):
            ask("http://models.example/v1")
        monkeypatch.setenv("http_proxy", "http://me:sesame@127.0.0.1:9")
        with pytest.raises(
            TeacherError, match=r"proxy 127.0.0.1:9 does not answer.*NO_PROXY"
        ) as one:
            ask("http://models.example/v1")
        assert "sesame" not in str(one.value)
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
        with pytest.raises(InputError, match="kind 'socks5'; expected http://host:port"):
            ask("http://models.example/v1")
        for wrong in (
            "http://me:sesame@[::1/",
            "http://me:sesame@a..b:3128",
            "http://me:sesame@x:y",
        ):
            monkeypatch.setenv("http_proxy", wrong)
            with pytest.raises(
                InputError, match="HTTP_PROXY is no address of a proxy"
            ) as no_address:
                ask("http://models.example/v1")
            assert "sesame" not in str(no_address.value)
        monkeypatch.setenv("no_proxy", ".example")
        assert proxy_of(read_address("http://models.example/v1")) is None


def test_a_connection_that_takes_too_long_reports_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_module, "_CONNECT_S", 0.3)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # the queue of this socket is full after one or two connections
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        with pytest.raises(TeacherError, match=r"no connection to .* within 0.3 s"):
            ask(f"http://127.0.0.1:{port}/v1", timeout_s=30)


@each(
    ("name", "listed", "model", "revision"),
    [
        ("m", ["m"], "m", None),
        ("org/m@abc123", ["org/m"], "org/m", "abc123"),
        ("org/m@abc123", [], "org/m", "abc123"),
        ("org/m@v1.0", ["other"], "org/m", "v1.0"),
        ("claude-3@20240229", ["claude-3@20240229"], "claude-3@20240229", None),
        ("claude-3@20240229", [], "claude-3@20240229", None),
        ("claude-3@20240229", ["claude-3"], "claude-3", "20240229"),
        ("a@b@c", ["a@b"], "a@b", "c"),
        ("@cf/meta/llama", [], "@cf/meta/llama", None),
        ("m@", [], "m@", None),
    ],
)
def test_a_revision_follows_the_model_unless_it_is_part_of_its_name(
    name: str, listed: list[str], model: str, revision: str | None
) -> None:
    assert model_and_revision(name, listed) == (model, revision)


def test_the_revision_of_a_model_is_part_of_the_key_and_no_part_of_the_request() -> None:
    async def asked(name: str) -> tuple[str | None, str]:
        teacher = EndpointTeacher(TeacherSpec(place=endpoint.url, model=name))
        await teacher.start()
        try:
            call = Call(
                role="writer",
                endpoint=teacher.name,
                model=teacher.model,
                revision=teacher.revision,
                prompt=[{"role": "user", "content": "Name a river."}],
            )
            await teacher.ask(call)
        finally:
            await teacher.stop()
        return teacher.identity()["revision"], call.id

    with Endpoint() as endpoint:
        found = [asyncio.run(asked(name)) for name in ("scripted-model", "scripted-model@r1")]
        sent = {one.body["model"] for one in endpoint.requests if one.method == "POST"}
    assert [revision for revision, _ in found] == [None, "r1"] and sent == {"scripted-model"}
    assert found[0][1] != found[1][1]
