"""Routes of Spaces, which are recorded and never run: settings, variables, names of secrets."""

from __future__ import annotations

import json
from typing import Any

from builders.hub_server.request import Body, Request
from builders.hub_server.responses import HttpError, Response, json_response, now
from builders.hub_server.store import Repo

SDKS = ("gradio", "streamlit", "docker", "static")
MOST_VALUE = 64 * 1024


def settings(body: Body) -> dict[str, Any]:
    """The settings of a new Space in a request's body."""
    sdk = body.text("sdk", "")
    if sdk not in SDKS:
        raise HttpError(400, f"sdk must be one of {', '.join(SDKS)}")
    return {
        "sdk": sdk,
        "hardware": body.text("hardware", "cpu-basic", 60),
        "sleep": body.whole("sleepTimeSeconds"),
        "secret": [_key_value(item) for item in body.objects("secrets")],
        "variable": [_key_value(item) for item in body.objects("variables")],
    }


def _key_value(item: Body) -> tuple[str, str, str]:
    key = item.text("key", most=256)
    if not key.replace("_", "a").isalnum() or key[0].isdigit() or not key.isascii():
        raise HttpError(
            400,
            f"key {key[:60]!r} must consist of letters, digits and '_', and not begin with a digit",
        )
    value = item.text("value", "", MOST_VALUE)
    return key, value, item.text("description", "", MOST_VALUE)


def save_settings(request: Request, repo: Repo, new_settings: dict[str, Any]) -> None:
    """Store a new Space's settings."""
    _save_setting(request, repo, "sdk", new_settings["sdk"])
    _save_setting(request, repo, "hardware", new_settings["hardware"])
    _save_setting(request, repo, "sleep", new_settings["sleep"])
    for part in ("secret", "variable"):
        for item in new_settings[part]:
            _save_entry(request, repo, part, *item)


def card(full: str, sdk: str) -> str:
    """The README.md of a new Space."""
    title = full.rpartition("/")[2]
    return f"---\ntitle: {json.dumps(title)}\nsdk: {sdk}\n---\n"


def space_info(request: Request, repo: Repo) -> dict[str, Any]:
    """The keys that the information about a Space has beyond those of any repository."""
    subdomain = repo.name.lower().replace("/", "-").replace("_", "-").replace(".", "-")
    return {
        "sdk": _setting(request, repo, "sdk"),
        "subdomain": subdomain,
        "host": f"{request.endpoint}/spaces/{repo.name}",
        "runtime": runtime(request, repo),
    }


def _save_setting(request: Request, repo: Repo, key: str, value: Any) -> None:
    request.hub.store.run(
        "insert or replace into space values (?, 'setting', ?, ?)", repo.id, key, json.dumps(value)
    )


def _setting(request: Request, repo: Repo, key: str, default: Any = None) -> Any:
    row = request.hub.store.row(
        "select value from space where repo = ? and part = 'setting' and key = ?", repo.id, key
    )
    return json.loads(row["value"]) if row else default


def runtime(request: Request, repo: Repo) -> dict[str, Any]:
    """The runtime of a Space, which is never running."""
    return {
        "stage": "PAUSED" if _setting(request, repo, "paused") else "STOPPED",
        "hardware": {
            "current": None,
            "requested": _setting(request, repo, "hardware", "cpu-basic"),
        },
        "gcTimeout": _setting(request, repo, "sleep"),
        "storage": None,
        "devMode": False,
        "volumes": _setting(request, repo, "volumes"),
    }


def route(request: Request, repo: Repo, rest: list[str]) -> Response:
    """The routes that only Spaces have, below the repository's own path."""
    if repo.type != "spaces" or len(rest) != 1:
        raise HttpError(404, "There is no such route")
    what, method = rest[0], request.method
    if (what, method) == ("runtime", "GET"):
        return json_response(runtime(request, repo))
    request.writable(repo)
    if what in ("secrets", "variables"):
        return _key_value_routes(request, repo, what.removesuffix("s"))
    if (what, method) == ("volumes", "PUT"):
        _save_setting(
            request, repo, "volumes", [item.value for item in request.json().objects("volumes")]
        )
    elif (what, method) == ("volumes", "DELETE"):
        _save_setting(request, repo, "volumes", None)
    elif method != "POST":
        raise HttpError(404, "There is no such route")
    elif what == "hardware":
        body = request.json()
        _save_setting(request, repo, "hardware", body.text("flavor", most=60))
        if (sleep := body.whole("sleepTimeSeconds")) is not None:
            _save_setting(request, repo, "sleep", sleep)
    elif what == "sleeptime":
        _save_setting(request, repo, "sleep", request.json().whole("seconds"))
    elif what in ("pause", "restart"):
        _save_setting(request, repo, "paused", what == "pause")
    elif what != "dev-mode":
        raise HttpError(404, "There is no such route")
    return json_response(runtime(request, repo))


def _key_value_routes(request: Request, repo: Repo, part: str) -> Response:
    if request.method == "POST":
        _save_entry(request, repo, part, *_key_value(request.json()))
    elif request.method == "DELETE":
        request.hub.store.run(
            "delete from space where repo = ? and part = ? and key = ?",
            *(repo.id, part, request.json().text("key", most=256)),
        )
    elif request.method != "GET":
        raise HttpError(404, "There is no such route")
    rows = request.hub.store.rows(
        "select key, value from space where repo = ? and part = ? order by key", repo.id, part
    )
    return json_response({row["key"]: json.loads(row["value"]) for row in rows})


def _save_entry(
    request: Request, repo: Repo, part: str, key: str, value: str, description: str
) -> None:
    entry = {"key": key, "description": description or None, "updatedAt": now()}
    if part == "variable":  # nothing runs here, so the value of a secret is not even stored
        entry["value"] = value
    request.hub.store.run(
        "insert or replace into space values (?, ?, ?, ?)", repo.id, part, key, json.dumps(entry)
    )


def copy_settings(request: Request, repo: Repo, copy: Repo, body: Body) -> None:
    """Copy a Space's settings without its secrets, and add those in the request's body."""
    for row in request.hub.store.rows(
        "select * from space where repo = ? and part != 'secret'", repo.id
    ):
        request.hub.store.run(
            "insert into space values (?, ?, ?, ?)", copy.id, row["part"], row["key"], row["value"]
        )
    if "hardware" in body.value:
        _save_setting(request, copy, "hardware", body.text("hardware", most=60))
    if "sleepTimeSeconds" in body.value:
        _save_setting(request, copy, "sleep", body.whole("sleepTimeSeconds"))
    for part in ("secret", "variable"):
        for item in body.objects(f"{part}s"):
            _save_entry(request, copy, part, *_key_value(item))
