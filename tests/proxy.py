"""A real HTTP proxy in front of a Hub that counts requests and fails a chosen one.

`with Proxy(hub.port) as proxy:` has an `endpoint`; `proxy.fail(7, "reset")` fails the 7th request
from now on, `proxy.fail(7, "gone")` that one and all after it, like a pulled cable.
"""

import http.client
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep  # bound here: tests shorten time.sleep for the client
from typing import Any, Literal, Self, get_args

Fault = Literal[
    "reset",  # the connection is reset and the Hub receives nothing
    "lost",  # the Hub acts, its response is lost
    "half",  # half of the response arrives
    "gone",  # as `reset`, and everything after it too
    "lost-gone",  # as `lost`, and everything after it is reset
    "500", "503", "429",  # instead of the Hub's response
    "slow",  # half a second later
]  # fmt: skip
FAULTS: tuple[Fault, ...] = get_args(Fault)
HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "content-length",
}


class Proxy:
    """Forwards to a port of this machine; `seen` holds each request as `METHOD path`."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.seen: list[str] = []
        self._lock = threading.Lock()
        self._left = 0  # requests until the fault; 0 is none planned
        self._fault: Fault | None = None
        self._gone = False
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, number: int, fault: Fault) -> None:
        """Fail the request of this number, counted from now on, the next being 1."""
        with self._lock:
            self._left, self._fault, self._gone, self.seen = number, fault, False, []

    def stop_failing(self) -> bool:
        """Forward everything from now on; return whether the fault occurred."""
        with self._lock:
            happened = self._fault is not None and self._left == 0
            self._left, self._fault, self._gone = 0, None, False
            return happened

    def fault_of(self, line: str) -> Fault | None:
        """How a request is to fail; None where it is forwarded."""
        with self._lock:
            self.seen.append(line)
            if self._gone:
                return "reset"
            if self._left == 0:
                return None
            self._left -= 1
            if self._left or self._fault is None:
                return None
            self._gone = self._fault in ("gone", "lost-gone")
            return self._fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Nothing: a client that hung up is expected."""


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def _forward(self) -> None:
        body = self._body()
        fault = self.owner.fault_of(f"{self.command} {self.path}")
        if fault in ("reset", "gone"):
            self._reset()
        elif fault in ("500", "503", "429"):
            self._answer(int(fault), [("Content-Type", "text/plain")], b"planned")
        else:
            if fault == "slow":
                sleep(0.5)
            status, headers, answer = self._ask(body)
            if fault in ("lost", "lost-gone"):
                self._reset()
            else:
                self._answer(status, headers, answer, half=fault == "half")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815 - the library's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        try:
            connection.request(self.command, self.path, body or None, kept)
            answer = connection.getresponse()
            content = answer.read()
            headers = [
                (name, value) for name, value in answer.getheaders() if name.lower() not in HOP
            ]
            if self.command == "HEAD" and (size := answer.getheader("Content-Length")):
                headers.append(("Content-Length", size))
            return answer.status, headers, content
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, half: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if half:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._reset()
        elif self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
