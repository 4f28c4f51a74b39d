"""The ASGI application: reads a request within bounds, finds out who asks, sends the answer.

Plain ASGI on uvicorn: a framework's router works on decoded paths, which takes `refs%2Fpr%2F1`
apart, and beside a router of our own there is nothing left for one to do.
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
from builders.hub_server.download import MOST_WANTS
from builders.hub_server.request import Hub, Request
from builders.hub_server.responses import Elsewhere, Refused, Response, no_repo, now
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
"""Uploads are hashed and written in blocks of this size, each on a worker thread."""
THREADS = 8
QUICK = ("whoami-v2", "resolve")
"""Reads that take less time than handing them to a thread."""


class App:
    """The server's one entry."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hub")
        self._large = asyncio.Semaphore(1)
        self._clones = asyncio.Semaphore(4)
        self._log = os.open(
            hub.data / "hub.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600
        )

    def close(self) -> None:
        """Wait for what runs and let go of the log."""
        self._pool.shutdown()
        os.close(self._log)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, and note it in the log without its query."""
        if scope["type"] != "http":
            return
        started, status = time.perf_counter(), 500
        try:
            reply = await self._answer(scope, receive)
            status = reply.status
            await self._send(reply, scope["method"] == "HEAD", send)
        finally:
            path = scope["raw_path"].partition(b"?")[0].decode("latin-1")[:1000]
            took = (time.perf_counter() - started) * 1000
            line = f"{now()} {scope['method']} {path} {status} {took:.1f}ms\n"
            os.write(self._log, line.encode("latin-1", "replace"))

    async def _run(self, job: Callable[..., Result], *given: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, job, *given)

    async def _answer(self, scope: Message, receive: Receive) -> Response:
        try:
            call = _call(self._hub, scope)
            if call.method == "PUT" and call.parts[0] == "lfs" and len(call.parts) > 2:
                return await self._take(call, receive)
            call.user = None if call.parts[0] in ("lfs", "xet") else self._user(call)
            if call.parts[0] == "xet":
                async with self._large:  # each has to be held in memory
                    call.body = await _body(receive, MOST_XORB_BYTES + 1)
                    return await self._run(_answered, call)
            if call.method == "POST" and call.parts[4:5] == ["commit"]:
                with tempfile.TemporaryFile(dir=self._hub.data) as spool:
                    call.spool = spool
                    most = MOST_COMMIT if call.user else MOST_BODY
                    await _body(receive, most, spool)
                    return await self._run(_answered, call)
            if call.method in ("GET", "HEAD"):
                if any(word in call.parts[1:4] for word in QUICK):
                    return _answered(call)
            else:
                pack = call.parts[-1] == "git-upload-pack"
                call.body = await _body(receive, MOST_WANTS if pack else MOST_BODY)
            return await self._run(_answered, call)
        except Refused as refused:
            return refused.answer()

    def _user(self, call: Request) -> str | None:
        """Who the Authorization header says asks.

        Raises:
            Refused: 401 if it does not hold.
        """
        said = call.headers.get("authorization")
        if said is None:
            return None
        scheme, _, token = said.strip().partition(" ")
        if scheme.lower() == "basic":
            try:
                token = base64.b64decode(token).decode().rpartition(":")[2]
            except (binascii.Error, ValueError):
                token = ""
        user = self._hub.store.user_of(token.strip())
        if user is None:
            raise Refused(401, "Invalid credentials in Authorization header", "Unauthorized")
        return user

    async def _take(self, call: Request, receive: Receive) -> Response:
        """Stream an upload to disk."""
        incoming, facts = transfer.receive(call)
        try:
            block = bytearray()
            async for chunk in _chunks(receive):
                block += chunk
                if len(block) >= BLOCK:
                    await self._run(incoming.write, bytes(block))
                    block.clear()
            await self._run(incoming.write, bytes(block))
            return await self._run(transfer.received, call, incoming, facts)
        finally:
            incoming.drop()

    async def _send(self, reply: Response, only_head: bool, send: Send) -> None:
        if reply.file is not None and reply.file[2] <= CHUNK and not only_head:
            small = next(_slices(*reply.file), b"")  # sooner read than handed to a thread
            reply = replace(reply, body=small, file=None)
        headers = {key.lower(): value for key, value in reply.headers.items()}
        if reply.stream is None and reply.status != 304:
            headers.setdefault("content-length", str(len(reply.body)))
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        stream = reply.stream
        if reply.file is not None and not only_head:
            stream = _slices(*reply.file)
        if only_head or reply.status == 304 or stream is None:
            body = b"" if only_head or reply.status == 304 else reply.body
            await send({"type": "http.response.body", "body": body})
            return
        async with self._clones if reply.stream else nullcontext():
            try:
                while (chunk := await self._run(next, stream, b"")) != b"":
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                await self._run(stream.close)
        await send({"type": "http.response.body", "body": b""})


def _answered(call: Request) -> Response:
    try:
        return routes.answer(call)
    except Refused as refused:
        return refused.answer()
    except Elsewhere as moved:
        return Response(status=307, headers={"Location": moved.location})
    except (pygit2.GitError, KeyError, FileNotFoundError):
        # It was deleted while it was read.
        if call.seen is not None and call.hub.store.repo_by_id(call.seen.id) is None:
            return no_repo(call.user is not None).answer()
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
            raise Refused(400, "The connection ended before the body did")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _body(receive: Receive, most: int, spool: Any = None) -> bytes:
    """The request's body, in memory or into a file."""
    held = BytesIO()  # unlike joined parts, it never holds the whole twice
    size = 0
    async for chunk in _chunks(receive):
        size += len(chunk)
        if size > most:
            raise Refused(413, f"The body may have {most} bytes")
        (spool or held).write(chunk)
    return held.getvalue()


def _call(hub: Hub, scope: Message) -> Request:
    """The request, its path split into segments before they are decoded."""
    raw, query = scope["raw_path"].partition(b"?")[0], scope["query_string"]
    if len(raw) + len(query) > MOST_URL:
        raise Refused(414, f"An address may have {MOST_URL} bytes")
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:]]
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise Refused(400, "The address must be UTF-8") from None
    return Request(
        hub=hub,
        method=scope["method"],
        parts=parts or [""],
        query=pairs,
        headers=headers,
        endpoint=f"http://{_host(headers.get('host', ''))}",
        target=raw.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else ""),
    )


def _host(said: str) -> str:
    """The host that the client used; only names of this machine, against pages that rebind DNS."""
    try:
        name = urlsplit(f"//{said}").hostname or ""
        local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not local or not said.isascii():
        raise Refused(400, "This Hub answers on loopback only: 127.0.0.1 or localhost")
    return said
