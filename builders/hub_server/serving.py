"""A running Hub: the one that already serves the data folder, or a new one on a thread."""

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
    """A Hub that is being served.

    Attributes:
        endpoint: Its URL.
        token: The owner's token.
        started: Whether this process started it; False if another one serves the folder.
    """

    endpoint: str
    token: str
    started: bool


@contextmanager
def serving(data: Path, port: int = 0) -> Iterator[Serving]:
    """Serve a Hub on this data folder for as long as the block runs.

    Port 0 means the port that the folder had last time if it is free, else any free one.

    Raises:
        InputError: The port cannot be used.
        FolderError: The folder cannot be written, or another process holds it and serves no Hub.
    """
    _create_folder(data)
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(data / "lock"))
        except HeldElsewhere:
            running = _join(data)
        except OSError as error:
            raise FolderError(
                f"the data folder {data} cannot be written ({error.strerror}); give another "
                "with --hub-data"
            ) from None
        else:
            running = held.enter_context(_start(data, port))
        yield running


def was_served_at(data: Path, endpoint: str) -> bool:
    """Whether this address is that of the Hub with its data in this folder, running or not."""
    try:
        state = json.loads((data / "server.json").read_text())
        return bool(state["endpoint"] == endpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def add_user(data: Path, name: str) -> str:
    """A new token for a user, who is created if necessary; the Hub may be running.

    Raises:
        InputError: The name is not valid, or it is the name of an organisation.
    """
    from builders.hub_server.names import RESERVED, is_name
    from builders.hub_server.store import Store

    if not is_name(name) or name.lower() in RESERVED:
        raise InputError(
            f"{name!r} is not a valid user name; use at most 96 letters, digits, '-', '_' and '.'"
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
            f"the data folder {data} cannot be created ({error.strerror}); give another with "
            "--hub-data"
        ) from None


def _join(data: Path) -> Serving:
    """The Hub that another process serves on the folder, once it accepts connections."""
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
        f"another process locks {data} but serves no Hub; stop it, or give another with --hub-data"
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
            raise FolderError(f"the Hub could not be started on {endpoint}; its error is above")
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
    """A socket bound to loopback: on the given port, or on the last one if free, else on any."""
    candidates = [port] if port else []
    if not port:
        with suppress(OSError, ValueError, KeyError, TypeError):
            candidates.append(int(json.loads((data / "server.json").read_text())["port"]))
        candidates.append(0)
    for candidate in candidates:
        # asyncio sets TCP_NODELAY only on sockets with an explicit protocol.
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
    """The parts of a Hub, and what closes them; leftovers of a killed server are removed."""
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
    """Remove what a killed server left: git repositories and objects of no repository, locks."""
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
    """Write a file that is complete or missing, never partial, and readable by its owner only."""
    temporary = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    shutil.move(temporary, path)
