"""A running Hub: joined if one serves the data folder already, started on a thread if not."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import FolderError, InputError
from builders.file_lock import HeldElsewhere, file_lock

if TYPE_CHECKING:
    from builders.hub_server.request import Hub

OWNER = "potstill"
MOST_LOG = 16 * 1024 * 1024
JOIN_TIMEOUT_S = 20.0

_sockets: list[socket.socket] = []


def _close_sockets() -> None:
    for listener in _sockets:
        listener.close()


# A forked child that outlives its parent must not keep the port.
os.register_at_fork(after_in_child=_close_sockets)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Where a Hub answers, its owner's token, and whether it was started for this."""

    endpoint: str
    token: str
    started: bool


@contextmanager
def serving(data: Path, port: int = 0) -> Iterator[Serving]:
    """A Hub on this data folder, for as long as the block runs.

    Port 0 is the port that the folder had last time, or any free one.

    Raises:
        InputError: The port is taken.
        FolderError: The folder cannot be written, or who serves it does not answer.
    """
    _create_folder(data)
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(data / "lock"))
        except HeldElsewhere:
            running = _join(data)
        except OSError as error:
            raise FolderError(
                f"the data folder {data} cannot be written ({error.strerror}); name another with "
                "--data"
            ) from None
        else:
            running = held.enter_context(_start(data, port))
        yield running


def add_user(data: Path, name: str) -> str:
    """A new token for a user, who is made if new; also while the Hub runs.

    Raises:
        InputError: The name is none, or an organisation's.
    """
    from builders.hub_server.names import RESERVED, is_name
    from builders.hub_server.store import Store

    if not is_name(name) or name.lower() in RESERVED:
        raise InputError(
            f"{name!r} cannot be a user's name; give letters, digits, '-', '_' and '.', at most 96"
        )
    _create_folder(data)
    store = Store(data / "hub.db")
    try:
        token = store.add_user(name)
    finally:
        store.close()
    if token is None:
        raise InputError(f"{name!r} is an organisation on this Hub; choose another name")
    return token


def _create_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FolderError(
            f"the data folder {data} cannot be made ({error.strerror}); name another with --data"
        ) from None


def _join(data: Path) -> Serving:
    """The Hub that serves the folder, once it answers."""
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            state = json.loads((data / "server.json").read_text())
            token = (data / "token").read_text().strip()
            with socket.create_connection(("127.0.0.1", state["port"]), timeout=1):
                return Serving(endpoint=state["endpoint"], token=token, started=False)
        except (OSError, ValueError, KeyError):
            time.sleep(0.05)
    raise FolderError(
        f"another process holds {data} but serves no Hub on it; end it, or name another with --data"
    )


@contextmanager
def _start(data: Path, port: int) -> Iterator[Serving]:
    import uvicorn

    from builders.hub_server.app import App

    listener = _bound_socket(data, port)
    _sockets.append(listener)
    bound_port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{bound_port}"
    hub, close = _open_hub(data, endpoint)
    app = App(hub)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        loop="asyncio",
        backlog=512,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="hub-server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        if not server.started:
            raise FolderError(f"no Hub could be started on {endpoint}; its error stands above")
        _write_private(data / "server.json", json.dumps({"endpoint": endpoint, "port": bound_port}))
        token = (data / "token").read_text().strip()
        yield Serving(endpoint=endpoint, token=token, started=True)
    finally:
        server.should_exit = True
        thread.join()
        _sockets.remove(listener)
        listener.close()
        app.close()
        close()


def _bound_socket(data: Path, port: int) -> socket.socket:
    """A socket on loopback: on the port asked for, else the last one, else any."""
    candidates = [port] if port else []
    if not port:
        with suppress(OSError, ValueError, KeyError, TypeError):
            candidates.append(int(json.loads((data / "server.json").read_text())["port"]))
        candidates.append(0)
    for candidate in candidates:
        # asyncio sends at once (TCP_NODELAY) only where the protocol is named.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
        except (OSError, OverflowError):
            listener.close()
        else:
            return listener
    raise InputError(
        f"port {port} of 127.0.0.1 cannot be used; give another, or 0 for any free one"
    )


def _open_hub(data: Path, endpoint: str) -> tuple[Hub, Any]:
    """The parts of a Hub on its folder, what a kill left half done cleared away."""
    from builders.hub_server.git import Git
    from builders.hub_server.lfs import Lfs, Signer
    from builders.hub_server.request import Hub
    from builders.hub_server.store import Store
    from builders.hub_server.webhooks import Webhooks

    key = data / "key"
    if not key.exists():
        _write_private(key, secrets.token_hex(32))
    log = data / "hub.log"
    if log.exists() and log.stat().st_size > MOST_LOG:
        log.replace(data / "hub.log.old")
    store = Store(data / "hub.db")
    git, lfs = Git(data / "git"), Lfs(data / "lfs")
    if not (data / "token").exists():
        _write_private(data / "token", store.add_user(OWNER) or "")
    _clean_up(store, git, lfs)
    webhooks = Webhooks(store, git, endpoint)
    secret = key.read_text().strip()
    hub = Hub(
        data=data,
        store=store,
        git=git,
        lfs=lfs,
        signer=Signer(secret.encode()),
        owner=OWNER,
        instance_id=hashlib.sha256(secret.encode()).hexdigest()[:16],
        notify=webhooks.notify,
    )

    def close() -> None:
        webhooks.stop()
        store.close()

    return hub, close


def _clean_up(store: Any, git: Any, lfs: Any) -> None:
    """Remove histories and objects that no repository has, and locks: a kill left them."""
    known = {row["id"] for row in store.rows("select id from repo")}
    for id_ in git.ids():
        if id_ in known:
            git.unlock(id_)
        else:
            git.remove(id_)
    held = {row["sha"] for row in store.rows("select distinct sha from object")}
    for sha in lfs.shas():
        if sha not in held:
            lfs.remove(sha)


def _write_private(path: Path, text: str) -> None:
    """A file that is whole or not there, and only its owner's to read."""
    temporary = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    shutil.move(temporary, path)
