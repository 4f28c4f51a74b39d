"""The ASGI application: limits and reads the body, authenticates the user, sends the response.

Plain ASGI on uvicorn: the routers of frameworks work on decoded paths, where `refs%2Fpr%2F1` is
three segments, and with a router of our own there is nothing left for a framework to do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pygit2

from builders.hub_server import routes, transfer
from builders.hub_server.download import MOST_FETCH
from builders.hub_server.request import Hub, Request
from builders.hub_server.responses import HttpError, Redirect, Response, now, repo_not_found
from builders.hub_server.xet import MOST_XORB_BYTES

Result = TypeVar("Result")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_BODY = 8 * 1024 * 1024
MOST_COMMIT = 1 << 30
MOST_URL = 16 * 1024
CHUNK = 256 * 1024
BLOCK = 1024 * 1024
"""Uploads are hashed and written in blocks of this many bytes, each on a worker thread."""
THREADS = 8
QUICK = ("whoami-v2", "resolve")
"""Routes that run on the event loop: they take less time than handing them to a thread."""


class App:
    """The application that uvicorn calls, with its worker threads and its access log."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hub")
        self._xet_uploads = asyncio.Semaphore(1)
        self._clones = asyncio.Semaphore(4)
        self._log = os.open(
            hub.data / "hub.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600
        )

    def close(self) -> None:
        """Wait for running requests and close the log."""
        self._pool.shutdown()
        os.close(self._log)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request and log it, without its query, which may hold signatures."""
        if scope["type"] != "http":
            return
        started, status = time.perf_counter(), 500
        try:
            response = await self._respond(scope, receive)
            status = response.status
            await self._send(response, scope["method"] == "HEAD", send)
        finally:
            path = scope["raw_path"].partition(b"?")[0].decode("latin-1")[:1000]
            duration_ms = (time.perf_counter() - started) * 1000
            line = f"{now()} {scope['method']} {path} {status} {duration_ms:.1f}ms\n"
            os.write(self._log, line.encode("latin-1", "replace"))

    async def _run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _respond(self, scope: Message, receive: Receive) -> Response:
        try:
            request = _request(self._hub, scope)
            if request.method == "PUT" and request.parts[0] == "lfs" and len(request.parts) > 2:
                return await self._receive_upload(request, receive)
            request.user = None if request.parts[0] in ("lfs", "xet") else self._user(request)
            if request.parts[0] == "xet":
                async with self._xet_uploads:  # one at a time: the body is held in memory
                    request.body = await _body(receive, MOST_XORB_BYTES + 1)
                    return await self._run(_response, request)
            if request.method == "POST" and request.parts[4:5] == ["commit"]:
                with tempfile.TemporaryFile(dir=self._hub.data) as spool:
                    request.spool = spool
                    most = MOST_COMMIT if request.user else MOST_BODY
                    await _body(receive, most, spool)
                    return await self._run(_response, request)
            if request.method in ("GET", "HEAD"):
                if any(word in request.parts[1:4] for word in QUICK):
                    return _response(request)
            else:
                pack = request.parts[-1] == "git-upload-pack"
                request.body = await _body(receive, MOST_FETCH if pack else MOST_BODY)
            return await self._run(_response, request)
        except HttpError as error:
            return error.response()

    def _user(self, request: Request) -> str | None:
        """The user whose token is in the Authorization header; None without the header.

        Raises:
            HttpError: 401, the token is not valid.
        """
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() == "basic":
            try:
                token = base64.b64decode(token).decode().rpartition(":")[2]
            except (binascii.Error, ValueError):
                token = ""
        user = self._hub.store.user_of(token.strip())
        if user is None:
            raise HttpError(401, "Invalid credentials in Authorization header", "Unauthorized")
        return user

    async def _receive_upload(self, request: Request, receive: Receive) -> Response:
        """Stream an LFS object, or a part of one, to disk."""
        incoming, claims = transfer.open_upload(request)
        try:
            block = bytearray()
            async for chunk in _chunks(receive):
                block += chunk
                if len(block) >= BLOCK:
                    await self._run(incoming.write, bytes(block))
                    block.clear()
            await self._run(incoming.write, bytes(block))
            return await self._run(transfer.finish_upload, request, incoming, claims)
        finally:
            incoming.discard()

    async def _send(self, response: Response, only_head: bool, send: Send) -> None:
        if response.file is not None and response.file[2] <= CHUNK and not only_head:
            small = next(
                _slices(*response.file), b""
            )  # faster to read here than to hand to a thread
            response = replace(response, body=small, file=None)
        headers = {key.lower(): value for key, value in response.headers.items()}
        if response.stream is None and response.status != 304:
            headers.setdefault("content-length", str(len(response.body)))
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        stream = response.stream
        if response.file is not None and not only_head:
            stream = _slices(*response.file)
        if only_head or response.status == 304 or stream is None:
            body = b"" if only_head or response.status == 304 else response.body
            await send({"type": "http.response.body", "body": body})
            return
        async with self._clones if response.stream else nullcontext():
            try:
                while (chunk := await self._run(next, stream, b"")) != b"":
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                await self._run(stream.close)
        await send({"type": "http.response.body", "body": b""})


def _response(request: Request) -> Response:
    try:
        return routes.respond(request)
    except HttpError as error:
        return error.response()
    except Redirect as moved:
        return Response(status=307, headers={"Location": moved.location})
    except (pygit2.GitError, KeyError, FileNotFoundError):
        # The repository may have been deleted during the request.
        if (
            request.repo_found is not None
            and request.hub.store.repo_by_id(request.repo_found.id) is None
        ):
            return repo_not_found(request.user is not None).response()
        raise


def _slices(path: Path, start: int, length: int) -> Generator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length and (chunk := file.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk


async def _chunks(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "The connection ended before the body did")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _body(receive: Receive, most: int, spool: Any = None) -> bytes:
    """The request's body; with a spool, it is written there and the result is empty."""
    held = BytesIO()  # joining a list of chunks would hold the whole body twice
    size = 0
    async for chunk in _chunks(receive):
        size += len(chunk)
        if size > most:
            raise HttpError(413, f"The body may have at most {most} bytes")
        (spool or held).write(chunk)
    return held.getvalue()


def _request(hub: Hub, scope: Message) -> Request:
    """The request, with its path split into segments before they are decoded."""
    raw, query = scope["raw_path"].partition(b"?")[0], scope["query_string"]
    if len(raw) + len(query) > MOST_URL:
        raise HttpError(414, f"A URL may have at most {MOST_URL} bytes")
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:]]
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise HttpError(400, "The URL must be UTF-8") from None
    return Request(
        hub=hub,
        method=scope["method"],
        parts=parts or [""],
        query=pairs,
        headers=headers,
        endpoint=f"http://{_host(headers.get('host', ''))}",
        target=raw.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else ""),
    )


def _host(host: str) -> str:
    """The Host header, which must be a loopback name: this stops DNS rebinding by web pages."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not local or not host.isascii():
        raise HttpError(400, "This Hub answers on loopback only: 127.0.0.1 or localhost")
    return host
