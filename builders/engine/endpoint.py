"""Any OpenAI-compatible endpoint (vLLM, TGI, llama.cpp, hosted APIs), over one aiohttp session."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

import aiohttp

from builders.engine.answers import read_answer
from builders.engine.calls import Answer, Call, Failure
from builders.engine.rate_limits import asked_pause_s, exhausted_s
from builders.engine.refusals import Target, error_words, failure
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, TeacherError

_RETRIED = frozenset({408, 409, 425, 429})
# Query parameters with a value to hide.
_SECRET = re.compile(
    r"key$|key[-_]|token(?!s|iz)|secret|passw|pwd|sig$|signature|auth(?!or)|credential|jwt",
    re.IGNORECASE,
)
_PARAMETER_REFUSED = frozenset({400, 404, 422, 501})
_OPTIONAL = {  # parameters that a call can do without, and the words in which one is refused
    "response_format": r"response_format|json_schema|structured|grammar|schema",
    "logprobs": r"logprob",
    "top_logprobs": r"logprob",
}


class EndpointTeacher:
    """An endpoint, its session and its key; the key leaves the process in one header only.

    An address may contain a user and password instead of a key, and a query, which is sent with
    each request.
    """

    def __init__(self, spec: TeacherSpec) -> None:
        parts = urlsplit(spec.place)
        self._base = public_address(spec.place).rstrip("/")
        self._query = parse_qsl(parts.query, keep_blank_values=True)
        self._key = os.environ.get(spec.key_env, "")
        self._key_env = spec.key_env
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self._login = aiohttp.BasicAuth(user, password) if user else None
        hidden = [value for name, value in self._query if _SECRET.search(name)]
        self._secrets = [secret for secret in (self._key, password, *hidden) if secret]
        if self._key and user:
            raise InputError(
                f"{self._base} has a user in its address and a key in {spec.key_env}; only one of "
                "them can be sent; remove one"
            )
        self._timeout_s = spec.timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._chat_only = False
        self._served: list[str] = []
        self._omitted: set[str] = set()  # optional parameters that it has refused
        # The query selects who answers, so that it is part of the name and of a call's key.
        shown = [pair for pair in self._query if not _SECRET.search(pair[0])]
        shown.sort(key=lambda pair: pair[0])
        self.name = self._base + (f"?{urlencode(shown)}" if shown else "")
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
            "licence": "unknown",
        }

    async def start(self) -> None:
        """Open the session, check that something answers, and find out the model's name.

        Raises:
            TeacherError: Nothing answers, the key is refused, or there is not one model to choose.
        """
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            auth=self._login,
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=20),
            auto_decompress=True,
        )
        try:
            served = self._served = await self._served_models()
        except Failure as found:
            await self.stop()
            raise TeacherError(str(found)) from None
        if not self.model:
            if len(served) != 1:
                await self.stop()
                offer = ", ".join(served[:20]) or "(it lists none)"
                raise TeacherError(
                    f"{self.name} serves {len(served)} models; name one with --model: {offer}"
                )
            self.model = served[0]

    async def stop(self) -> None:
        """Close the session; safe to call twice."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _served_models(self) -> list[str]:
        try:
            status, _, body = await self._exchange("GET", "/models", None)
        except Failure as found:
            # An endpoint without a list of models may still answer calls.
            if found.cause in ("no connection", "time-out") or found.fatal:
                raise
            return []
        if status == 401:
            raise self._failure(status, {}, body)
        try:
            return [self._clean(str(entry["id"])) for entry in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    async def ask(self, call: Call) -> Answer:
        """Send one request for a call and return its answer.

        Raises:
            Failure: With the cause, and whether another attempt can help.
        """
        began = time.perf_counter()
        as_completion = isinstance(call.prompt, str) and not self._chat_only
        status, headers, body = await self._post(call, as_completion)
        unknown = status in (404, 405, 501) and "model" not in error_words(body).searched
        if as_completion and unknown:
            # The endpoint knows chat only: from now on a text to continue is sent as a message.
            self._chat_only = True
            status, headers, body = await self._post(call, False)
        if not 200 <= status < 300:
            raise self._failure(status, headers, body)
        return self._answer(body, headers, time.perf_counter() - began)

    async def _post(self, call: Call, as_completion: bool) -> tuple[int, Any, bytes]:
        """Send a call without the optional parameters that this endpoint refuses."""
        path, payload = _request(call, as_completion)
        sent = {name: value for name, value in payload.items() if name not in self._omitted}
        status, headers, body = await self._exchange("POST", path, sent)
        if status in _PARAMETER_REFUSED:
            message = error_words(body).searched
            refused = {
                name
                for name, words in _OPTIONAL.items()
                if name in sent and re.search(words, message)
            }
            if refused:
                self._omitted |= refused
                sent = {name: value for name, value in sent.items() if name not in refused}
                return await self._exchange("POST", path, sent)
        return status, headers, body

    async def _exchange(
        self, method: str, path: str, payload: dict[str, Any] | None
    ) -> tuple[int, Any, bytes]:
        assert self._session is not None
        try:
            async with self._session.request(
                method, self._base + path, params=self._query, json=payload, allow_redirects=False
            ) as response:
                return response.status, response.headers, await response.read()
        except TimeoutError:
            raise Failure(
                "time-out",
                f"{self.name} gave no answer within {self._timeout_s:g} s; is it overloaded? "
                "raise --timeout or lower --concurrency",
                retryable=True,
            ) from None
        except aiohttp.ClientConnectorError as error:
            raise Failure(
                "no connection",
                f"nothing listens at {self.name} ({error.os_error.strerror or error.os_error}); "
                "expected an OpenAI-compatible endpoint; start it or correct --teacher",
                retryable=True,
            ) from None
        except aiohttp.InvalidURL:
            raise Failure(
                "bad address", f"{self.name!r} is not an address; correct --teacher", fatal=True
            ) from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise Failure(
                "broken off",
                self._clean(f"{self.name} broke off the connection: {error}"),
                retryable=True,
            ) from None

    def _failure(self, status: int, headers: Any, body: bytes) -> Failure:
        """The failure that a response other than an answer means."""
        return failure(
            status,
            error_words(body),
            self.target,
            after_s=asked_pause_s(headers, body),
            moved_to=self._base_of(headers.get("location", "")),
        )

    @property
    def target(self) -> Target:
        """The endpoint as errors name it."""
        found = "the key in it was refused" if self._key else "it is not set"
        return Target(
            name=self.name,
            model=self.model,
            key=f"it is read from the environment variable {self._key_env}: {found}",
            served=self._served,
            clean=self._clean,
        )

    def _base_of(self, location: str) -> str:
        """The base address that a redirect leads to, without secrets."""
        address = self._clean(public_address(urljoin(self._base + "/", location)))
        return re.sub(r"/(chat/completions|completions|models)/?$", "", address)

    def _answer(self, body: bytes, headers: Any, latency_s: float) -> Answer:
        """The answer in the body of a 2xx, without secrets.

        Raises:
            Failure: The body reports an error, or it holds no answer.
        """
        given = read_answer(body, self.target, after_s=asked_pause_s(headers, body))
        texts: dict[str, Any] = {
            name: self._clean(value)
            for name in ("text", "finish_reason", "reasoning", "model", "fingerprint", "revision")
            if (value := getattr(given, name))
        }
        return replace(
            given,
            **texts,
            tool_calls=self._cleaned(given.tool_calls),
            logprobs=self._cleaned(given.logprobs),
            latency_s=latency_s,
            pause_s=exhausted_s(headers) or 0.0,
        )

    def _clean(self, text: str) -> str:
        """The text without the secrets, which an endpoint may echo."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "[key]")
        return text

    def _cleaned(self, value: Any) -> Any:
        """A list of JSON values without the secrets; None as it is."""
        if not isinstance(value, list) or not self._secrets:
            return value
        text = json.dumps(value, ensure_ascii=False)
        for secret in self._secrets:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[key]")
        return json.loads(text)


def _request(call: Call, as_completion: bool) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"model": call.model, **call.sampling}
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


def public_address(address: str) -> str:
    """An endpoint's address without user, password or query."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))
