"""Any OpenAI-compatible endpoint (vLLM, TGI, llama.cpp, hosted APIs), over one aiohttp session."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from builders.engine.addresses import (
    forms_of,
    moved_to,
    proxy_of,
    read_address,
    read_key,
    tls_problem,
    without_secrets,
)
from builders.engine.answers import read_answer
from builders.engine.calls import Answer, Call, Failure, sending
from builders.engine.error_words import error_words
from builders.engine.json_texts import body_json
from builders.engine.parameters import Learned, Trial
from builders.engine.rate_limits import asked_pause_s, exhausted_s
from builders.engine.refusals import NO_SUCH_MODEL, REDIRECTED, Target, failure, reported
from builders.engine.response_bodies import in_utf8, parsed_json
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, TeacherError
from builders.hub_vocabulary import licence_facts

_MOST_BODY = 100_000_000  # bytes of a response, unpacked; log-probabilities take megabytes
_MOST_HEADER = 2**16 + 64  # bytes of one header of a response; gateways explain themselves there
_CONNECT_S = 20.0
# What an endpoint refuses that knows only chat, and what is sent instead, as it is learned.
TEXTS, _AS_CHAT = "texts to continue", "sent as messages"
_ECHOING = (
    *("text", "finish_reason", "reasoning", "model", "fingerprint", "revision"),
    *("tool_calls", "logprobs"),
)
_NO_TEXTS = frozenset({400, 403, 404, 405, 410, 422, 501})

_Response = tuple[int, Any, bytes]  # status, headers and body


class EndpointTeacher:
    """An endpoint, its session and its key; the key leaves the process in one header only.

    An address may contain a user and password instead of a key, and a query, which is sent with
    each request.
    """

    def __init__(self, spec: TeacherSpec) -> None:
        self._address = read_address(spec.place)
        self._base = self._address.base
        self._key = read_key(spec.key_env, named=spec.key_named)
        self._key_env = spec.key_env
        if self._key and self._address.user:
            raise InputError(
                f"{self._base} has a user in its address and a key in {spec.key_env}; only one of "
                "them can be sent; remove one"
            )
        self._proxy = proxy_of(self._address)
        proxy_password = urlsplit(self._proxy).password if self._proxy else ""
        of_all = [*forms_of(self._key), *forms_of(proxy_password or "")]
        self._secrets = [*of_all, *self._address.secrets(query=False)]
        self._unshown = [*of_all, *self._address.secrets(query=True)]
        self.timeout_s = spec.timeout_s
        self._trusts_missing_end = spec.trusts_missing_end
        self._licence = licence_facts(spec.license)
        self._session: aiohttp.ClientSession | None = None
        self._continues = False  # whether it has answered a text to continue
        self._heard = False  # whether there was any response yet
        self.served: list[str] = []
        self._learned = Learned(spec.chosen)
        self._learning = asyncio.Lock()
        self.learned = self._learned.changes
        self.name = self._address.name
        self.model = spec.model or ""
        self.revision: str | None = None
        self.concurrency = spec.concurrency or 32

    def identity(self) -> dict[str, Any]:
        """Kind, address without credentials, and the model as the server reports it."""
        return {
            "kind": "endpoint",
            "endpoint": self.name,
            "model": self.model,
            "revision": self.revision,
            **self._licence,
            **({"trusts_missing_end": True} if self._trusts_missing_end else {}),
        }

    async def start(self) -> None:
        """Open the session, check that something answers, and find out the model's name.

        Raises:
            TeacherError: Nothing answers, the key is refused, or there is not one model to choose.
        """
        headers = {"Accept-Encoding": "gzip, deflate"}
        if self._address.user:
            headers["Authorization"] = f"Basic {self._address.login}"
        elif self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # aiohttp's own context is made at its import, before a notebook could set SSL_CERT_FILE.
        verified = ssl.create_default_context() if self._base.startswith("https:") else True
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, ssl=verified),
            timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=_CONNECT_S),
            auto_decompress=True,
            json_serialize=body_json,
            max_line_size=_MOST_HEADER,
            max_field_size=_MOST_HEADER,
        )
        try:
            refusal = await self._list_models()
        except Failure as found:
            await self.stop()
            raise TeacherError(str(found)) from None
        if not self.model:
            if len(self.served) != 1:
                await self.stop()
                offer = f"serves {len(self.served)} models; name one with --model: "
                if refusal:  # where it has no list, this is not about a model
                    if refusal.cause == REDIRECTED:
                        raise TeacherError(str(refusal))
                    none = refusal if refusal.cause != NO_SUCH_MODEL else "no list"
                    offer = f"names no models ({none}); name one with --model"
                elif not self.served:
                    offer = "has an empty list of models; load one there, or name one with --model"
                raise TeacherError(f"{self._base} {offer}{', '.join(self.served[:20])}")
            self.model = self.served[0]
        elif self.model not in self.served:
            self.model, self.revision = model_and_revision(self.model, self.served)

    async def stop(self) -> None:
        """Close the session; safe to call twice."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _list_models(self) -> Failure | None:
        """Read the list of models; return why there is none, as its calls may still be answered."""
        try:
            status, headers, body = await self._exchange("GET", "/models", None)
        except Failure as found:
            if found.cause in ("no connection", "time-out") or found.fatal:
                raise
            return found
        if status == 401:
            raise self._failure(status, headers, body)
        try:
            entries = parsed_json(body)["data"] or []  # null, where Ollama has none
            self.served = [self._shown(str(entry["id"])) for entry in entries]
        except (ValueError, KeyError, TypeError):
            if status < 300:
                words = self._shown(error_words(body).text)[:120]
                return Failure("no list", f"no list: {words}; is this its /v1 address?")
            return self._failure(status, headers, body)
        return None

    async def ask(self, call: Call) -> Answer:
        """Send one request for a call and return its answer.

        Raises:
            Failure: With the cause, and whether another attempt can help.
        """
        return (await self.answer_and_body(call))[0]

    async def answer_and_body(self, call: Call) -> tuple[Answer, bytes]:
        """The answer to a call, and the body that it was read from."""
        began = time.perf_counter()
        as_completion = isinstance(call.prompt, str) and TEXTS not in self._learned.changes
        status, headers, body = await self._post(call, as_completion)
        if as_completion:
            refused = reported(status, body)[0]
            self._continues |= refused < 300
            if refused in _NO_TEXTS and not self._continues:
                status, headers, body = await self._as_chat(call, (status, headers, body))
        if not 200 <= status < 300:
            raise self._failure(status, headers, body, call.sampling)
        return self._answer(status, body, headers, time.perf_counter() - began), body

    async def _as_chat(self, call: Call, refusal: _Response) -> _Response:
        """What counts after the refusal of a text to continue: it is sent as a message, once.

        An answer shows that the endpoint knows only chat, which is learned; where that is refused
        too, the first refusal counts.
        """
        response = await self._post(call, False)
        status = reported(response[0], response[2])[0]
        if status < 300 and not self._continues:
            self._learned.changes[TEXTS] = _AS_CHAT
            return response
        return response if status == 429 or status >= 500 else refusal

    async def _post(self, call: Call, as_completion: bool) -> _Response:
        """Send a call, without what this endpoint refuses; learn what it refuses now."""
        path, payload = _request(call, as_completion)
        trial = self._learned.trial(payload)
        response, goes_on = await self._tried(path, trial)
        if goes_on and not self._learned.answered:
            async with self._learning:  # one request learns for all that were sent with it
                trial.catch_up()
                while goes_on and not self._learned.answered:
                    response, goes_on = await self._tried(path, trial)
            trial.catch_up()
        while goes_on:
            response, goes_on = await self._tried(path, trial)
        return response

    async def _tried(self, path: str, trial: Trial) -> tuple[_Response, bool]:
        """The response to what a trial sends now, and whether it goes on."""
        status, headers, body = await self._exchange("POST", path, trial.sent)
        return (status, headers, body), trial.goes_on(*reported(status, body))

    async def _exchange(self, method: str, path: str, payload: dict[str, Any] | None) -> _Response:
        assert self._session is not None
        if payload is not None:
            sending.get()()
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=self._address.query,
                json=payload,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                body = await self._read(response)
                self._heard = True
                body = body if body.isascii() else in_utf8(body, response.charset)
                return response.status, response.headers, body
        except aiohttp.ConnectionTimeoutError:
            wait_s = min(_CONNECT_S, self.timeout_s)
            raise self._unreachable(f"no connection to {self._base} within {wait_s:g} s") from None
        except TimeoutError:
            raise Failure(
                "time-out",
                f"{self._base}{path if payload is None else ''} gave no answer within "
                f"{self.timeout_s:g} s; is it overloaded? raise --timeout or lower --concurrency",
                retryable=True,
            ) from None
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            raise self._unreachable(self._proxy_problem(error)) from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise self._unreachable(tls_problem(self._base, error)) from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or error.os_error
            raise self._unreachable(
                f"nothing listens at {self._base} ({reason}); expected an OpenAI-compatible "
                "endpoint; start it or correct --teacher"
            ) from None
        except aiohttp.InvalidURL:
            raise Failure(
                "bad address", f"{self._base!r} is not an address; correct --teacher", fatal=True
            ) from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise self._no_response(error) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length or _MOST_BODY + 1
        if length <= _MOST_BODY and "content-encoding" not in response.headers:
            return await response.read()
        parts, size = list[bytes](), 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > _MOST_BODY:
                most = f"sent over {_MOST_BODY / 1e6:g} MB for one answer"
                way_on = "lower max_tokens, or correct the endpoint"
                raise Failure("too long", f"{self._base} {most}; {way_on}")
            parts.append(part)
        return b"".join(parts)

    def _no_response(self, error: Exception) -> Failure:
        """The failure that the end of a connection before the whole response means."""
        what = self._shown(getattr(error, "message", None) or str(error))[:120]  # no address
        if "content-encoding" in what:
            how = f"sent a body that cannot be decoded ({what}); let it send plain text or gzip"
            return Failure("encoding", f"{self._base} {how}")
        not_in_http = isinstance(error, aiohttp.ClientResponseError)
        how = "answered, but not in HTTP" if not_in_http else "broke off the connection"
        return self._broken_off(f"{how}: {what}")

    def _broken_off(self, what: str) -> Failure:
        hint = "" if self._heard or self._base.startswith("https") else "; does it need https://?"
        message = self._shown(f"{self._base} {what}{hint}")
        return Failure("broken off", message, retryable=True)

    def _unreachable(self, message: str) -> Failure:
        return Failure("no connection", self._shown(message), retryable=True)

    def _proxy_problem(self, error: aiohttp.ClientError) -> str:
        proxy = urlsplit(self._proxy or "")
        name = f"{urlsplit(self._base).scheme.upper()}_PROXY"
        why = "does not answer"
        if isinstance(error, aiohttp.ClientHttpProxyError):
            why = f"refuses to connect ({error.status}: {error.message})"
        return (
            f"the proxy {proxy.hostname}:{proxy.port} {why}; correct {name}, or list "
            f"{urlsplit(self._base).hostname} in NO_PROXY"
        )

    def _failure(
        self, status: int, headers: Any, body: bytes, sent: Mapping[str, Any] | None = None
    ) -> Failure:
        """The failure that a response other than an answer means."""
        return failure(
            status,
            error_words(body),
            replace(self._target(), sent=sent or {}),
            after_s=asked_pause_s(headers, body),
            moved_to=self._shown(moved_to(self._base, headers.get("location", ""))),
        )

    def _target(self) -> Target:
        """The endpoint as errors name it."""
        if self._address.user:
            key = "the user and password in its address were refused"
        else:
            found = "the key in it was refused" if self._key else "it is not set"
            key = f"it is read from the environment variable {self._key_env}: {found}"
        return Target(
            name=self._base,
            model=self.model,
            key=key,
            served=self.served,
            chosen=self._learned.chosen,
            clean=self._shown,
            answers=self._learned.answered,
        )

    def _answer(self, status: int, body: bytes, headers: Any, latency_s: float) -> Answer:
        """The answer in the body of a 2xx, without secrets.

        Raises:
            Failure: The body reports an error, or it holds no answer.
        """
        try:
            pause_s = exhausted_s(headers) or 0.0
            measured = {"latency_s": latency_s, "pause_s": pause_s}
            given = read_answer(body, self._target, status, **measured)
        except Failure as found:
            if found.status and found.retryable:
                found.after_s = asked_pause_s(headers, body)
            raise
        echoed: dict[str, Any] = {
            name: cleaned
            for name in (_ECHOING if self._secrets else ())
            if (value := getattr(given, name)) and (cleaned := self._cleaned(value)) != value
        }
        return replace(given, **echoed) if echoed else given

    def _shown(self, text: str) -> str:
        """A text for errors, which show no value of the query either."""
        return without_secrets(text, self._unshown)

    def _cleaned(self, value: Any) -> Any:
        """A text, or a list of JSON values, without the secrets, which an endpoint may echo."""
        if isinstance(value, str):
            return without_secrets(value, self._secrets)
        text = json.dumps(value, ensure_ascii=False)
        for secret in self._secrets:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[key]")
        return json.loads(text)


def _request(call: Call, as_completion: bool) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"model": call.model, "stream": False, **call.sampling}
    if call.schema:
        payload["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(call.schema), "strict": True},
        }
    if as_completion:
        return "/completions", payload | {"prompt": call.prompt}
    prompt = call.prompt
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return "/chat/completions", payload | {"messages": messages}


def model_and_revision(name: str, served: Sequence[str]) -> tuple[str, str | None]:
    """A name of the form `model@revision` as its two parts, unless `@` is part of the name.

    It is where the endpoint lists the whole name, or, if it lists neither, where a version of 8
    digits follows, as Vertex has it.
    """
    model, _, revision = name.rpartition("@")
    vertex = re.fullmatch(r"\d{8}|default|latest", revision) and model not in served
    if name in served or not model or not revision or vertex:
        return name, None
    return model, revision
