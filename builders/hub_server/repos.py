"""Routes of repositories: create, delete, move, change settings, show and list."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

from builders.hub_server import attributes, git, names, spaces
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import HttpError, Response, json_response, now, timestamp
from builders.hub_server.store import Repo

EXPAND = {
    *("author", "baseModels", "cardData", "childrenModelCount", "citation", "config", "createdAt"),
    *("datasets", "description", "disabled", "downloads", "downloadsAllTime", "evalResults"),
    *("gated", "gguf", "host", "inference", "inferenceProviderMapping", "lastModified"),
    *("library_name", "likes", "mainSize", "mask_token", "model-index", "models"),
    *("paperswithcode_id", "pipeline_tag", "private", "resourceGroup", "runtime", "safetensors"),
    *("sdk", "securityStatus", "sha", "siblings", "spaces", "subdomain", "tags"),
    *("transformersInfo", "trendingScore", "usedStorage", "widgetData"),
}
MOST_LISTED = 1000
_TAGGED = (
    *("language", "license", "task_categories", "task_ids", "size_categories"),
    *("multilinguality", "annotations_creators", "language_creators", "source_datasets"),
)


def create(request: Request) -> Response:
    """POST repos/create."""
    body = request.json()
    user = request.known_user()
    type_ = _type(body)
    full = names.repo_id(body.text("organization", "") or user, body.text("name"))
    hub = request.hub
    check_may_create(request, full)
    if existing := hub.store.repo(type_, full):
        raise already_exists(request, existing)
    settings = spaces.settings(body) if type_ == "spaces" else None
    repo = Repo(
        id=secrets.token_hex(12),
        type=type_,
        name=full,
        private=visibility(body) or False,
        gated="",
        created=now(),
    )
    files = {".gitattributes": attributes.DEFAULT.encode()}
    if settings:
        files["README.md"] = spaces.card(full, settings["sdk"]).encode()
    hub.git.create(repo.id, files, user)
    insert(request, repo)
    if settings:
        spaces.save_settings(request, repo, settings)
    hub.notify(repo, "create", "repo")
    return json_response({"url": request.url(repo), "name": repo.name, "id": repo.id})


def insert(request: Request, repo: Repo) -> None:
    """Add the row of a repository that is in git already, and the organisation if it is new.

    Raises:
        HttpError: 409, the name was taken meanwhile; the git repository is removed.
    """
    store = request.hub.store
    with store.transaction():
        if existing := store.repo(repo.type, repo.name):
            request.hub.git.remove(repo.id)
            raise already_exists(request, existing)
        namespace = repo.name.split("/")[0]
        if store.account(namespace) is None:
            store.run(
                "insert into account values (?, 'org', ?, ?)",
                *(namespace, request.hub.owner, now()),
            )
        # The name is in use again, so it no longer redirects to the repository that had it before.
        store.run("delete from moved where type = ? and name = ?", repo.type, repo.name)
        store.run(
            "insert into repo values (?, ?, ?, ?, ?, ?)",
            *(repo.id, repo.type, repo.name, repo.private, repo.gated, repo.created),
        )


def already_exists(request: Request, existing: Repo) -> HttpError:
    """The error for a name in use; clients with `exist_ok` read the URL in its body."""
    error = HttpError(409, f"You already created this {existing.kind} repo: {existing.name}")
    error.extra = {"url": request.url(existing)}
    return error


def check_may_create(request: Request, full: str) -> None:
    """Raise unless the user may create repositories in the namespace of this full name.

    A namespace that nobody has is free for the owner of the Hub.
    """
    namespace, store = full.split("/")[0], request.hub.store
    free = store.account(namespace) is None
    if not (
        store.can_write(request.user, namespace) or (free and request.user == request.hub.owner)
    ):
        raise HttpError(
            403,
            f"You don't have the rights to create a repository under the namespace {namespace!r}",
        )


def _type(body: Body) -> str:
    type_ = f"{body.text('type', 'model')}s"
    if type_ not in names.TYPES:
        raise HttpError(400, f"type must be model, dataset or space, not {type_[:-1][:40]!r}")
    return type_


def visibility(body: Body) -> bool | None:
    """Whether a body requests a private repository; None if it does not specify it."""
    if value := body.text("visibility", ""):
        if value not in ("public", "private", "protected"):
            raise HttpError(400, f"visibility must be public or private, not {value[:40]!r}")
        return value != "public"
    return body.flag("private") if body.value.get("private") is not None else None


def writable_repo(request: Request, full: str, type_: str) -> Repo:
    """The repository of this full name, if the user may write to it."""
    request.known_user()
    namespace, _, name = full.partition("/")
    return request.writable(request.repo(type_, namespace, name))


def delete(request: Request) -> Response:
    """DELETE repos/delete."""
    body = request.json()
    owner = body.text("organization", "") or request.known_user()
    full = f"{owner}/{body.text('name')}"
    repo = writable_repo(request, full, _type(body))
    hub = request.hub
    with hub.git.lock(repo.id):
        held = hub.store.rows("select distinct sha from object where repo = ?", repo.id)
        hub.notify(repo, "delete", "repo")
        with hub.store.transaction():
            hub.store.run("delete from repo where id = ?", repo.id)
        hub.git.remove(repo.id)
        delete_unreferenced(request, [row["sha"] for row in held])
    return json_response({})


def delete_unreferenced(request: Request, shas: list[str]) -> None:
    """Delete those of the objects that belong to no repository any more."""
    store = request.hub.store
    for sha in shas:
        with store.transaction():  # nothing can record a new upload in between
            if store.row("select 1 from object where sha = ?", sha) is None:
                request.hub.lfs.remove(sha)


def move(request: Request) -> Response:
    """POST repos/move: rename; the old name redirects until it is used again."""
    body = request.json()
    type_ = _type(body)
    repo = writable_repo(request, body.text("fromRepo"), type_)
    full = names.checked_repo_id(body.text("toRepo"))
    check_may_create(request, full)
    store = request.hub.store
    with store.transaction():
        existing = store.repo(type_, full)
        if existing is not None and existing.id != repo.id:
            raise HttpError(409, f"A {repo.kind} repository called {full} already exists")
        if store.account(full.split("/")[0]) is None:
            store.run(
                "insert into account values (?, 'org', ?, ?)",
                *(full.split("/")[0], request.hub.owner, now()),
            )
        store.run("delete from moved where type = ? and name = ?", type_, full)
        store.run("update repo set name = ? where id = ?", full, repo.id)
        if full.lower() != repo.name.lower():
            store.run("insert or replace into moved values (?, ?, ?)", type_, repo.name, repo.id)
    request.hub.notify(repo, "move", "repo", moved_to=full)
    return json_response({"url": f"{request.endpoint}/{names.PREFIX[type_]}{full}"})


def update_settings(request: Request, repo: Repo) -> Response:
    """PUT settings: change the visibility and whether the repository is gated."""
    request.writable(repo)
    body = request.json()
    private = visibility(body)
    gated = body.value.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise HttpError(400, "gated must be auto, manual or false")
    store = request.hub.store
    if private is not None:
        store.run("update repo set private = ? where id = ?", private, repo.id)
    if gated is not None:
        store.run("update repo set gated = ? where id = ?", gated or "", repo.id)
    request.hub.notify(repo, "update", "repo.config")
    visible = repo.private if private is None else private
    return json_response(
        {"private": visible, "gated": repo.gated or False if gated is None else gated}
    )


def info(request: Request, repo: Repo, revision: str) -> Response:
    """GET the information about a repository at a revision."""
    expand = request.values("expand")
    if unknown := sorted(set(expand) - EXPAND):
        raise HttpError(400, f"expand cannot be {unknown[0][:60]!r}")
    result = repo_info(request, repo, revision, with_blobs=request.flag("blobs"))
    if expand:
        keys = {"id", "_id", *expand}
        result = {key: value for key, value in result.items() if key in keys}
    return json_response(result)


def repo_info(
    request: Request, repo: Repo, revision: str, *, with_blobs: bool = False, full: bool = True
) -> dict[str, Any]:
    """The information about a repository at a revision.

    `full` adds the card's metadata and the list of files, `with_blobs` the files' sizes and ids.
    """
    git_repo = request.hub.git.open(repo.id)
    commit = git.find(git_repo, revision)
    data = card(commit)
    result: dict[str, Any] = {
        "_id": repo.id,
        "id": repo.name,
        "author": repo.name.split("/")[0],
        "sha": str(commit.id),
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "lastModified": timestamp(commit.commit_time),
        "createdAt": repo.created,
        "tags": _tags(data),
    }
    if repo.type == "models":
        result["modelId"] = repo.name
    if full:
        result["cardData"] = data or None
        result["siblings"] = _siblings(git_repo, commit, with_blobs)
    if repo.type == "spaces":
        result |= spaces.space_info(request, repo)
    return result


def card(commit: Any) -> dict[str, Any]:
    """The metadata in the front matter of README.md; empty if missing or unreadable."""
    readme = git.entry(commit, "README.md")
    if readme is None or readme.type_str != "blob":
        return {}
    return _card(readme.data.decode("utf-8", "replace"))


@lru_cache(
    maxsize=64
)  # a card with many features takes longer to parse than the rest of the request
def _card(readme: str) -> dict[str, Any]:
    from builders.card_metadata import card_data

    try:
        data = card_data(readme)
    except ValueError:
        return {}
    return json_compatible(data) if data else {}


def json_compatible(value: Any) -> Any:
    """A YAML value as JSON can represent it: dates, other keys, NaN and infinities as strings."""
    if isinstance(value, dict):
        return {str(key): json_compatible(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [json_compatible(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _tags(data: dict[str, Any]) -> list[str]:
    def listed(key: str) -> list[str]:
        value = data.get(key)
        items = value if isinstance(value, list) else [value]
        return [str(item) for item in items if item is not None]

    return [f"{key}:{item}" for key in _TAGGED for item in listed(key)] + listed("tags")


def _siblings(git_repo: Any, commit: Any, with_blobs: bool) -> list[dict[str, Any]]:
    from builders.hub_server.revisions import files

    listed = []
    for path, oid in files(git_repo, commit.tree):
        item: dict[str, Any] = {"rfilename": path}
        if with_blobs:
            size, lfs = git.blob_info(git_repo, oid)
            item |= {"blobId": str(oid), "size": lfs[1] if lfs else size}
            if lfs:
                item["lfs"] = {"sha256": lfs[0], "size": lfs[1], "pointerSize": size}
        listed.append(item)
    return listed


def listing(request: Request, type_: str) -> Response:
    """GET the repositories of a type that the user may see, filtered and sorted."""
    expand = request.values("expand")
    if unknown := sorted(set(expand) - EXPAND):
        raise HttpError(400, f"expand cannot be {unknown[0][:60]!r}")
    author, tags = request.first("author").lower(), request.values("filter")
    words = [value.lower() for value in request.values("search")]
    gated = request.first("gated").lower()
    found = []
    for repo in request.hub.store.repos(type_):
        namespace, _, _ = repo.name.lower().partition("/")
        if (
            (not author or namespace == author)
            and all(value in repo.name.lower() for value in words)
            and (not gated or (gated in ("true", "1")) == bool(repo.gated))
            and request.hub.store.can_see(request.user, repo)
        ):
            found.append(repo)
    full = request.flag("full") or request.flag("cardData") or bool(expand)
    sort = request.first("sort")
    if not tags and sort not in ("lastModified", "createdAt"):
        # Only the repositories on the requested page are looked up in git.
        start, end = request.page_bounds(MOST_LISTED)
        shown: list[Any] = [
            _list_item(request, repo, full, expand) if start <= index < end else None
            for index, repo in enumerate(found)
        ]
        return request.page(shown, MOST_LISTED)
    result = [_list_item(request, repo, full, []) for repo in found]
    result = [item for item in result if all(tag in item["tags"] for tag in tags)]
    if sort in ("lastModified", "createdAt"):
        result.sort(key=lambda item: item[sort], reverse=request.first("direction") != "1")
    keys = {"id", "_id", *expand}
    return request.page(
        [{key: item[key] for key in item if not expand or key in keys} for item in result],
        MOST_LISTED,
    )


def _list_item(request: Request, repo: Repo, full: bool, expand: list[str]) -> dict[str, Any]:
    result = repo_info(request, repo, "main", full=full)
    keys = {"id", "_id", *expand}
    return {key: value for key, value in result.items() if not expand or key in keys}
