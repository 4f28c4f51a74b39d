"""Spaces are recorded, never run: their settings, variables, and the names of their secrets."""

from __future__ import annotations

import json
from typing import Any

from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Refused, Response, as_json, now
from builders.hub_server.store import Repo

SDKS = ("gradio", "streamlit", "docker", "static")
MOST_VALUE = 64 * 1024


def settings(body: Body) -> dict[str, Any]:
    """What a new Space is asked to be; of secrets only the names are kept."""
    sdk = body.text("sdk", "")
    if sdk not in SDKS:
        raise Refused(400, f"sdk must be one of {', '.join(SDKS)}")
    return {
        "sdk": sdk,
        "hardware": body.text("hardware", "cpu-basic", 60),
        "sleep": body.whole("sleepTimeSeconds"),
        "secret": [_pair(item) for item in body.objects("secrets")],
        "variable": [_pair(item) for item in body.objects("variables")],
    }


def _pair(item: Body) -> tuple[str, str, str]:
    key = item.text("key", most=256)
    if not key.replace("_", "a").isalnum() or key[0].isdigit() or not key.isascii():
        raise Refused(400, f"key {key[:60]!r} must be a name of letters, digits and '_'")
    value = item.text("value", "", MOST_VALUE)
    return key, value, item.text("description", "", MOST_VALUE)


def record(call: Request, repo: Repo, wanted: dict[str, Any]) -> None:
    """Note a new Space's settings."""
    _set(call, repo, "sdk", wanted["sdk"])
    _set(call, repo, "hardware", wanted["hardware"])
    _set(call, repo, "sleep", wanted["sleep"])
    for part in ("secret", "variable"):
        for pair in wanted[part]:
            _keep(call, repo, part, *pair)


def card(full: str, sdk: str) -> str:
    """The README.md of a new Space."""
    title = full.rpartition("/")[2]
    return f"---\ntitle: {json.dumps(title)}\nsdk: {sdk}\n---\n"


def facts(call: Request, repo: Repo) -> dict[str, Any]:
    """What the information about a Space says beyond that about any repository."""
    subdomain = repo.name.lower().replace("/", "-").replace("_", "-").replace(".", "-")
    return {
        "sdk": _get(call, repo, "sdk"),
        "subdomain": subdomain,
        "host": f"{call.endpoint}/spaces/{repo.name}",
        "runtime": state(call, repo),
    }


def _set(call: Request, repo: Repo, key: str, value: Any) -> None:
    call.hub.store.run(
        "insert or replace into space values (?, 'setting', ?, ?)", repo.id, key, json.dumps(value)
    )


def _get(call: Request, repo: Repo, key: str, default: Any = None) -> Any:
    row = call.hub.store.row(
        "select value from space where repo = ? and part = 'setting' and key = ?", repo.id, key
    )
    return json.loads(row["value"]) if row else default


def state(call: Request, repo: Repo) -> dict[str, Any]:
    """The runtime of a Space that nothing ever runs."""
    return {
        "stage": "PAUSED" if _get(call, repo, "paused") else "STOPPED",
        "hardware": {"current": None, "requested": _get(call, repo, "hardware", "cpu-basic")},
        "gcTimeout": _get(call, repo, "sleep"),
        "storage": None,
        "devMode": False,
        "volumes": _get(call, repo, "volumes"),
    }


def route(call: Request, repo: Repo, rest: list[str]) -> Response:
    """The routes that only Spaces have."""
    if repo.type != "spaces" or len(rest) != 1:
        raise Refused(404, "There is no such route")
    what, method = rest[0], call.method
    if (what, method) == ("runtime", "GET"):
        return as_json(state(call, repo))
    call.writable(repo)
    if what in ("secrets", "variables"):
        return _pairs(call, repo, what.removesuffix("s"))
    if (what, method) == ("volumes", "PUT"):
        _set(call, repo, "volumes", [item.value for item in call.json().objects("volumes")])
    elif (what, method) == ("volumes", "DELETE"):
        _set(call, repo, "volumes", None)
    elif method != "POST":
        raise Refused(404, "There is no such route")
    elif what == "hardware":
        body = call.json()
        _set(call, repo, "hardware", body.text("flavor", most=60))
        if (sleep := body.whole("sleepTimeSeconds")) is not None:
            _set(call, repo, "sleep", sleep)
    elif what == "sleeptime":
        _set(call, repo, "sleep", call.json().whole("seconds"))
    elif what in ("pause", "restart"):
        _set(call, repo, "paused", what == "pause")
    elif what != "dev-mode":
        raise Refused(404, "There is no such route")
    return as_json(state(call, repo))


def _pairs(call: Request, repo: Repo, part: str) -> Response:
    if call.method == "POST":
        _keep(call, repo, part, *_pair(call.json()))
    elif call.method == "DELETE":
        call.hub.store.run(
            "delete from space where repo = ? and part = ? and key = ?",
            *(repo.id, part, call.json().text("key", most=256)),
        )
    elif call.method != "GET":
        raise Refused(404, "There is no such route")
    rows = call.hub.store.rows(
        "select key, value from space where repo = ? and part = ? order by key", repo.id, part
    )
    return as_json({row["key"]: json.loads(row["value"]) for row in rows})


def _keep(call: Request, repo: Repo, part: str, key: str, value: str, description: str) -> None:
    told = {"key": key, "description": description or None, "updatedAt": now()}
    if part == "variable":  # a secret's value is needed by nothing that runs here: not even stored
        told["value"] = value
    call.hub.store.run(
        "insert or replace into space values (?, ?, ?, ?)", repo.id, part, key, json.dumps(told)
    )


def duplicated(call: Request, repo: Repo, copy: Repo, body: Body) -> None:
    """A copied Space's settings: the first's, and what the request adds; no secret goes along."""
    for row in call.hub.store.rows(
        "select * from space where repo = ? and part != 'secret'", repo.id
    ):
        call.hub.store.run(
            "insert into space values (?, ?, ?, ?)", copy.id, row["part"], row["key"], row["value"]
        )
    if "hardware" in body.value:
        _set(call, copy, "hardware", body.text("hardware", most=60))
    if "sleepTimeSeconds" in body.value:
        _set(call, copy, "sleep", body.whole("sleepTimeSeconds"))
    for part in ("secret", "variable"):
        for item in body.objects(f"{part}s"):
            _keep(call, copy, part, *_pair(item))
