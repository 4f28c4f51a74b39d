"""Webhooks: their routes, and the delivery of events, to loopback only and with few retries."""

from __future__ import annotations

import http.client
import ipaddress
import json
import queue
import secrets
import sqlite3
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pygit2

from builders.hub_server import git, names
from builders.hub_server.git import Git
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import HttpError, Response, json_response
from builders.hub_server.store import Repo, Store

DOMAINS = ("repo", "discussion")
WATCHED = ("user", "org", "model", "dataset", "space")
MOST_WAITING = 1000
MOST_HOOKS = 100
TIMEOUT_S = 5.0
RETRY_DELAYS_S = (0.2, 1.0, 3.0)
"""Delays before the second, third and fourth attempt, which is the last."""


class Webhooks:
    """Delivers events to the URLs of webhooks, in order, on a thread of its own."""

    def __init__(self, store: Store, git_: Git, endpoint: str) -> None:
        self._store = store
        self._git = git_
        self._endpoint = endpoint
        self._queue: queue.Queue[tuple[str, str, bytes, str] | None] = queue.Queue(MOST_WAITING)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def notify(self, repo: Repo, action: str, scope: str, **facts: Any) -> None:
        """Queue an event for every webhook that watches this repository."""
        webhooks = self._store.rows("select * from webhook where not disabled")
        webhooks = [
            webhook for webhook in webhooks if self._watches(webhook, repo, scope.split(".")[0])
        ]
        if not webhooks:
            return
        payload = self._payload(repo, action, scope, facts)
        for webhook in webhooks:
            payload["webhook"] = {"id": webhook["id"], "version": 3}
            body = json.dumps(payload).encode()
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, daemon=True)
                self._thread.start()
            try:
                self._queue.put_nowait(
                    (webhook["id"], webhook["url"], body, webhook["secret"] or "")
                )
            except queue.Full:  # a receiver that is 1000 events behind loses the rest
                return

    def stop(self) -> None:
        """Stop the thread; events that were not delivered yet are lost."""
        self._stopped.set()
        if self._thread is not None:
            with suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(TIMEOUT_S + 1)

    def _watches(self, webhook: sqlite3.Row, repo: Repo, domain: str) -> bool:
        namespace = repo.name.split("/")[0].lower()
        for item in json.loads(webhook["watched"]):
            name = item["name"].lower()
            if name == (namespace if item["type"] in ("user", "org") else repo.name.lower()) and (
                item["type"] in ("user", "org", repo.kind)
            ):
                return domain in json.loads(webhook["domains"]) and self._store.can_see(
                    webhook["account"], repo
                )
        return False

    def _payload(
        self, repo: Repo, action: str, scope: str, facts: dict[str, Any]
    ) -> dict[str, Any]:
        web = f"{self._endpoint}/{names.PREFIX[repo.type]}{repo.name}"
        head = None
        with suppress(pygit2.GitError):  # deleted meanwhile
            head = git.head(self._git.open(repo.id), git.MAIN)
        payload: dict[str, Any] = {
            "event": {"action": action, "scope": scope},
            "repo": {
                "type": repo.kind,
                "name": repo.name,
                "id": repo.id,
                "private": repo.private,
                "owner": {"id": repo.name.split("/")[0]},
                "head_sha": str(head.id) if head else None,
                "tags": [],
                "url": {"web": web, "api": f"{self._endpoint}/api/{repo.type}/{repo.name}"},
            },
        }
        for key in ("discussion", "comment"):
            if key in facts:
                payload[key] = facts[key]
        if "refs" in facts:
            payload["updatedRefs"] = facts["refs"]
        if "moved_to" in facts:
            owner = facts["moved_to"].split("/")[0]
            payload["movedTo"] = {"name": facts["moved_to"], "owner": {"id": owner}}
        return payload

    def _deliver(self) -> None:
        while (delivery := self._queue.get()) is not None and not self._stopped.is_set():
            id_, url, body, secret = delivery
            for delay in (0.0, *RETRY_DELAYS_S):
                if self._stopped.wait(delay) or _send(url, body, secret):
                    break
                if not self._store.row("select 1 from webhook where id = ? and not disabled", id_):
                    break


def _send(url: str, body: bytes, secret: str) -> bool:
    """Send an event; True if the response is a success. Redirects are not followed."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    connection = http.client.HTTPConnection(host or "", parts.port or 80, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Host": parts.netloc}
    if secret:
        headers["X-Webhook-Secret"] = secret
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local or parts.scheme != "http" or parts.username or not url.isascii() or " " in url:
        raise HttpError(400, "url must be http:// on this machine (127.0.0.1 or localhost)")
    if any(ord(character) < 33 for character in url):
        raise HttpError(400, "url must not contain a control character")
    return url


def route(request: Request, rest: list[str]) -> Response:
    """All routes below /api/settings/webhooks."""
    user = request.known_user()
    store, method = request.hub.store, request.method
    if not rest:
        if method == "GET":
            rows = store.rows("select * from webhook where account = ? order by rowid", user)
            return json_response([_webhook(row) for row in rows])
        if method == "POST":
            return _create(request, user)
        raise HttpError(404, "There is no such route")
    row = store.row("select * from webhook where id = ? and account = ?", rest[0], user)
    if row is None:
        raise HttpError(404, "Webhook not found")
    if method == "DELETE" and len(rest) == 1:
        store.run("delete from webhook where id = ?", row["id"])
        return json_response({"success": True})
    if method == "POST" and rest[1:] in (["enable"], ["disable"]):
        disabled = rest[1] == "disable"
        store.run("update webhook set disabled = ? where id = ?", disabled, row["id"])
    elif method == "POST" and len(rest) == 1:
        _update(request, row)
    elif method != "GET" or len(rest) > 1:
        raise HttpError(404, "There is no such route")
    changed = store.row("select * from webhook where id = ?", row["id"])
    return json_response({"webhook": _webhook(changed) if changed else None})


def _create(request: Request, user: str) -> Response:
    body, id_, store = request.json(), secrets.token_hex(12), request.hub.store
    if "jobSourceId" in body.value:
        raise HttpError(400, "Jobs do not run here; give a url")
    if len(store.rows("select 1 from webhook where account = ?", user)) >= MOST_HOOKS:
        raise HttpError(400, f"A user may have at most {MOST_HOOKS} webhooks")
    store.run(
        "insert into webhook values (?, ?, ?, ?, ?, ?, 0)",
        *(id_, user, _checked_url(body.text("url", most=2000))),
        *(json.dumps(_watched(body)), json.dumps(_domains(body))),
        _secret(body, ""),
    )
    row = store.row("select * from webhook where id = ?", id_)
    return json_response({"webhook": _webhook(row) if row else None}, 201)


def _update(request: Request, row: sqlite3.Row) -> None:
    body = request.json()
    url = _checked_url(body.text("url", most=2000)) if body.value.get("url") else row["url"]
    watched = json.dumps(_watched(body)) if body.value.get("watched") else row["watched"]
    domains = json.dumps(_domains(body)) if body.value.get("domains") else row["domains"]
    secret = _secret(body, row["secret"] or "")
    request.hub.store.run(
        "update webhook set url = ?, watched = ?, domains = ?, secret = ? where id = ?",
        *(url, watched, domains, secret, row["id"]),
    )


def _secret(body: Body, default: str) -> str:
    secret = body.text("secret", default, 1000)
    if not (secret.isascii() and (secret.isprintable() or not secret)):
        raise HttpError(400, "secret must be printable ASCII, since it is sent in a header")
    return secret


def _watched(body: Body) -> list[dict[str, str]]:
    items = [
        {"type": item.text("type", most=20), "name": item.text("name", most=200)}
        for item in body.objects("watched")
    ]
    if not items or any(item["type"] not in WATCHED for item in items):
        raise HttpError(400, f"watched must list objects of the types {', '.join(WATCHED)}")
    return items


def _domains(body: Body) -> list[str]:
    domains = body.texts("domains") or list(DOMAINS)
    if unknown := sorted(set(domains) - set(DOMAINS)):
        raise HttpError(400, f"domains may be {' and '.join(DOMAINS)}, not {unknown[0][:40]!r}")
    return domains


def _webhook(row: sqlite3.Row) -> dict[str, Any]:
    """A webhook as the API shows it, without its secret."""
    return {
        "id": row["id"],
        "url": row["url"],
        "watched": json.loads(row["watched"]),
        "domains": json.loads(row["domains"]),
        "disabled": bool(row["disabled"]),
    }
