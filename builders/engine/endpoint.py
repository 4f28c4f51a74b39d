"""Any OpenAI-compatible endpoint (vLLM, TGI, llama.cpp, hosted APIs), over one aiohttp session."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import re
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import aiohttp

from builders.engine.calls import Answer, Call, Failure
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, TeacherError

_RETRIED = frozenset({408, 409, 425, 429})
_SECRET = re.compile("key|token|secret|sig", re.IGNORECASE)  # a query's word for a value to hide
_UNKNOWN = frozenset({400, 404, 422, 501})
_HELPS = {  # without which an answer is as good, only harder to read; and the words of a refusal
    "response_format": r"response_format|json_schema|structured|grammar|schema",
    "logprobs": r"logprob",
    "top_logprobs": r"logprob",
}
_LONGEST_PAUSE_S = 3600.0  # then it is asked again, whatever it said


class EndpointTeacher:
    """An endpoint, its session and its key; the key leaves the process in one header only.

    An address may hold a user and password instead, and a query, which each request is sent with.
    """

    def __init__(self, spec: TeacherSpec) -> None:
        parts = urlsplit(spec.place)
        self._base = public_address(spec.place).rstrip("/")
        self._query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._key = os.environ.get(spec.key_env, "")
        self._key_env = spec.key_env
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self._login = aiohttp.BasicAuth(user, password) if user else None
        hidden = [value for name, value in self._query.items() if _SECRET.search(name)]
        self._secrets = [secret for secret in (self._key, password, *hidden) if secret]
        if self._key and user:
            raise InputError(
                f"{self._base} is given a user and {spec.key_env} a key; one of them can be sent: "
                "take one away"
            )
        self._timeout_s = spec.timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._chat_only = False
        self._left_out: set[str] = set()  # what it was seen to refuse
        self.name = self._base
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
        """Open the session and see that something answers; settle the model's name."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            auth=self._login,
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=20),
            auto_decompress=True,
        )
        try:
            served = await self._served_models()
        except Failure as failure:
            await self.stop()
            raise TeacherError(str(failure)) from None
        if not self.model:
            if len(served) != 1:
                await self.stop()
                offer = ", ".join(served[:20]) or "no list of them"
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
        except Failure as failure:
            # Whatever else is wrong with the list of models, calls may still work.
            if failure.cause in ("no connection", "time-out") or failure.fatal:
                raise
            return []
        if status in (401, 403):
            raise self._refused(status, body)
        try:
            return [self._clean(str(entry["id"])) for entry in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    async def ask(self, call: Call) -> Answer:
        """One attempt at one call.

        Raises:
            Failure: With the cause, and whether asking again can help.
        """
        began = time.perf_counter()
        raw = isinstance(call.prompt, str) and not self._chat_only
        status, headers, body = await self._post(call, raw)
        if raw and status in (404, 405, 501) and "model" not in _error_text(body).lower():
            # The endpoint knows chat only: the text to continue becomes a message, for good.
            self._chat_only = True
            status, headers, body = await self._post(call, False)
        if status != 200:
            raise self._status_failure(status, headers, body)
        latency_s = time.perf_counter() - began
        return self._answer(
            body, raw and not self._chat_only, latency_s, rate_limit_s(headers) or 0.0
        )

    async def _post(self, call: Call, raw: bool) -> tuple[int, Any, bytes]:
        """Send a call; what this endpoint does not know of what is only a help is left out."""
        path, payload = _request(call, raw)
        given = {name: value for name, value in payload.items() if name not in self._left_out}
        status, headers, body = await self._exchange("POST", path, given)
        if status in _UNKNOWN:
            said = _error_text(body).lower()
            refused = {
                name for name, words in _HELPS.items() if name in given and re.search(words, said)
            }
            if refused:
                self._left_out |= refused
                given = {name: value for name, value in given.items() if name not in refused}
                return await self._exchange("POST", path, given)
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
                again=True,
            ) from None
        except aiohttp.ClientConnectorError as error:
            raise Failure(
                "no connection",
                f"nothing listens at {self.name} ({error.os_error.strerror or error.os_error}); "
                "expected an OpenAI-compatible endpoint; start it or mend --teacher",
                again=True,
            ) from None
        except aiohttp.InvalidURL:
            raise Failure(
                "bad address", f"{self.name!r} is not an address; mend --teacher", fatal=True
            ) from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise Failure(
                "broken off", self._clean(f"{self.name} broke off: {error}"), again=True
            ) from None

    def _status_failure(self, status: int, headers: Any, body: bytes) -> Failure:
        if status in (401, 403):
            return self._refused(status, body)
        said = self._clean(_error_text(body))[:200]
        if status == 402 or b"insufficient_quota" in body:
            return Failure(
                "no credit",
                f"{self.name} wants money ({status}: {said}); see to the account there",
                fatal=True,
                status=status,
            )
        if status == 404:
            return Failure(
                "not found",
                f"{self.name} has no model {self.model!r} (404: {said}); mend --model or --teacher",
                fatal=True,
                status=404,
            )
        return Failure(
            f"http {status}",
            f"{self.name} answered {status}: {said}",
            again=status >= 500 or status in _RETRIED,
            after_s=retry_after_s(headers) or rate_limit_s(headers),
            status=status,
        )

    def _refused(self, status: int, body: bytes) -> Failure:
        said = self._clean(_error_text(body))[:200]
        held = "the key in it was refused" if self._key else "it is not set"
        return Failure(
            f"http {status}",
            f"{self.name} wants another key ({status}: {said}); it is read from the environment "
            f"variable {self._key_env}: {held}",
            fatal=True,
            status=status,
        )

    def _answer(self, body: bytes, raw: bool, latency_s: float, pause_s: float) -> Answer:
        try:
            given = json.loads(body)
        except ValueError:
            kind = "HTML" if body.lstrip()[:1] == b"<" else "not JSON"
            raise Failure(
                kind, f"{self.name} answered 200 with {kind}; is this the /v1 address?", again=True
            ) from None
        try:
            choice = given["choices"][0]
            message = {"content": choice["text"]} if raw else choice["message"]
            content = message["content"]
        except (KeyError, IndexError, TypeError):
            raise Failure(
                "no content", f"{self.name} gave an answer without choices or message", again=True
            ) from None
        tools = message.get("tool_calls")
        if not isinstance(content, str) and not tools:
            raise Failure("no content", f"{self.name} gave an answer without content", again=True)
        usage = given.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        logprobs = choice.get("logprobs")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        model = given.get("model")
        return Answer(
            text=self._clean(content) if isinstance(content, str) else "",
            finish_reason=self._clean(str(choice.get("finish_reason") or "unknown")),
            input_tokens=_count(usage.get("prompt_tokens")),
            output_tokens=_count(usage.get("completion_tokens")),
            model=self._clean(model) if isinstance(model, str) else None,
            reasoning=self._clean(reasoning) if isinstance(reasoning, str) else None,
            tool_calls=self._cleaned(tools) or None,
            logprobs=self._cleaned(logprobs.get("content") if isinstance(logprobs, dict) else None),
            latency_s=latency_s,
            pause_s=pause_s,
        )

    def _clean(self, text: str) -> str:
        """The text without the key, should an endpoint echo it."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "[key]")
        return text

    def _cleaned(self, value: Any) -> Any:
        """A list of JSON values without the key; None for anything else."""
        if not isinstance(value, list):
            return None
        text = json.dumps(value, ensure_ascii=False)
        for secret in self._secrets:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[key]")
        return json.loads(text)


def _request(call: Call, raw: bool) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"model": call.model, **call.sampling}
    if call.schema:
        payload["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(call.schema), "strict": True},
        }
    if raw:
        return "/completions", payload | {"prompt": call.prompt}
    asked = call.prompt
    messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    return "/chat/completions", payload | {"messages": messages}


def _error_text(body: bytes) -> str:
    """What an error's body says, in one line."""
    text = body.decode("utf-8", "replace").strip()
    try:
        given = json.loads(text)
        error = given.get("error", given) if isinstance(given, dict) else given
        said = error.get("message", error) if isinstance(error, dict) else error
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    except ValueError:
        if text.startswith("<"):
            text = "an HTML page"
    return " ".join(text.split()) or "nothing"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def retry_after_s(headers: Any) -> float | None:
    """The seconds that Retry-After asks for, given as seconds or as a date; None without it.

    A date is held against the answer's own Date, so that neither clock need be right.
    """
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            now = _moment(headers["Date"]) if "Date" in headers else time.time()
            seconds = _moment(value) - now
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_PAUSE_S)


def _moment(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp()


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


def rate_limit_s(headers: Any) -> float | None:
    """The seconds until a used-up limit of requests or tokens renews; None while some is left.

    The reset is given as a duration (`6m0s`, `20ms`), or as seconds.
    """
    longest = None
    for unit in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
            found = _DURATION.fullmatch(headers.get(f"x-ratelimit-reset-{unit}", "").strip())
            if found and found[0]:
                parts = (float(part or 0) for part in found.groups())
                hours, minutes, seconds, thousandths = parts
                wait_s = hours * 3600 + minutes * 60 + seconds + thousandths / 1000
            else:
                wait_s = _number(headers.get(f"x-ratelimit-reset-{unit}"))
            longest = max(longest or 0.0, min(wait_s, _LONGEST_PAUSE_S))
    return longest


def _number(text: str | None) -> float:
    try:
        return max(0.0, float(text or 1.0))
    except ValueError:
        return 1.0


def public_address(address: str) -> str:
    """An endpoint's address without user, password or query."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))
