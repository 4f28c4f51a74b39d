"""Routes of the user's identity and rights, and of access requests to gated repositories."""

from __future__ import annotations

import secrets
from typing import Any

from builders.hub_server.request import Request
from builders.hub_server.responses import HttpError, Response, json_response, now
from builders.hub_server.store import Repo

STATES = ("pending", "accepted", "rejected")
MOST_LISTED = 1000


def whoami(request: Request) -> Response:
    """GET whoami-v2: the user, the user's organisations and the token."""
    user = request.known_user()
    return json_response(
        {
            "type": "user",
            "id": user,
            "name": user,
            "fullname": user,
            "email": f"{user}@users.noreply.invalid",
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "orgs": [
                {"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": "admin"}
                for name in request.hub.store.organisations(user)
            ],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": "potstill", "role": "write"},
            },
        }
    )


def auth_check(request: Request, repo: Repo, rest: list[str]) -> Response:
    """GET auth-check, or auth-check/write: succeeds if the user may read, or write."""
    request.readable(repo)
    if rest == ["write"]:
        request.writable(repo)
    return json_response({})


def request_access(request: Request, repo: Repo) -> Response:
    """POST ask-access: request access, as a person does on the website of the Hub."""
    user = request.known_user()
    if not repo.gated:
        raise HttpError(400, "This repository is not gated")
    status = "accepted" if repo.gated == "auto" else "pending"
    request.hub.store.run(
        "insert into access values (?, ?, ?, ?, ?) on conflict do nothing",
        *(secrets.token_hex(12), repo.id, user, status, now()),
    )
    return json_response({})


def requests(request: Request, repo: Repo, action: str) -> Response:
    """GET the access requests of a status, or POST handle or grant; for the owner."""
    request.writable(repo)
    store = request.hub.store
    if request.method == "GET" and action in STATES:
        rows = store.rows(
            "select * from access where repo = ? and status = ? order by asked, account",
            *(repo.id, action),
        )
        return request.page([_access_request(row) for row in rows], MOST_LISTED)
    if request.method != "POST" or action not in ("handle", "grant"):
        raise HttpError(404, "There is no such route")
    if not repo.gated:
        raise HttpError(400, "This repository is not gated")
    body = request.json()
    if action == "grant":
        account = store.account(body.text("user", most=100))
        if account is None or account["kind"] != "user":
            raise HttpError(404, "User not found")
        row = store.row(
            "select * from access where repo = ? and account = ?", repo.id, account["name"]
        )
        if row is not None and row["status"] == "accepted":
            raise HttpError(400, "This user already has access")
        store.run(
            "insert or replace into access values (?, ?, ?, 'accepted', ?)",
            *(secrets.token_hex(12), repo.id, account["name"], now()),
        )
        return json_response({})
    status = body.text("status", most=20)
    if status not in STATES:
        raise HttpError(400, f"status must be one of {', '.join(STATES)}")
    row = store.row(
        "select * from access where repo = ? and (account = ? or id = ?)",
        *(repo.id, body.text("user", ""), body.text("requestId", "")),
    )
    if row is None:
        raise HttpError(404, "There is no such access request")
    if row["status"] == status:
        raise HttpError(404, f"The access request is already {status}")
    store.run("update access set status = ? where id = ?", status, row["id"])
    return json_response({})


def _access_request(row: Any) -> dict[str, Any]:
    name = row["account"]
    return {
        "requestId": row["id"],
        "user": {"user": name, "fullname": name, "email": f"{name}@users.noreply.invalid"},
        "status": row["status"],
        "timestamp": row["asked"],
    }
