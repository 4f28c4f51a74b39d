"""Routes of repositories: create, delete, move, settings, information and lists."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

from builders.hub_server import attributes, git, names, spaces
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Refused, Response, as_json, moment, now
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


def create(call: Request) -> Response:
    """POST /api/repos/create."""
    body = call.json()
    user = call.known_user()
    type_ = _type(body)
    full = names.repo_id(body.text("organization", "") or user, body.text("name"))
    hub = call.hub
    claim(call, full)
    if there := hub.store.repo(type_, full):
        raise taken(call, there)
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
    insert(call, repo)
    if settings:
        spaces.record(call, repo, settings)
    hub.tell(repo, "create", "repo")
    return as_json({"url": call.url(repo), "name": repo.name, "id": repo.id})


def insert(call: Request, repo: Repo) -> None:
    """Give a repository that lies in git its name."""
    store = call.hub.store
    with store.together():
        if there := store.repo(repo.type, repo.name):
            call.hub.git.remove(repo.id)
            raise taken(call, there)
        namespace = repo.name.split("/")[0]
        if store.account(namespace) is None:
            store.run(
                "insert into account values (?, 'org', ?, ?)",
                *(namespace, call.hub.owner, now()),
            )
        # The name is in use again: it no longer leads to what had it before.
        store.run("delete from moved where type = ? and name = ?", repo.type, repo.name)
        store.run(
            "insert into repo values (?, ?, ?, ?, ?, ?)",
            *(repo.id, repo.type, repo.name, repo.private, repo.gated, repo.created),
        )


def taken(call: Request, there: Repo) -> Refused:
    """The name is in use; clients that do not mind need the address of what has it."""
    refused = Refused(409, f"You already created this {there.kind} repo: {there.name}")
    refused.more = {"url": call.url(there)}
    return refused


def claim(call: Request, full: str) -> None:
    """Refuse unless the user may create in the namespace; the owner may take a free one."""
    namespace, store = full.split("/")[0], call.hub.store
    free = store.account(namespace) is None
    if not (store.writes(call.user, namespace) or (free and call.user == call.hub.owner)):
        raise Refused(
            403,
            f"You don't have the rights to create a repository under the namespace {namespace!r}",
        )


def _type(body: Body) -> str:
    type_ = f"{body.text('type', 'model')}s"
    if type_ not in names.TYPES:
        raise Refused(400, f"type must be model, dataset or space, not {type_[:-1][:40]!r}")
    return type_


def visibility(body: Body) -> bool | None:
    """Whether a body asks for a private repository; None if it does not say."""
    if word := body.text("visibility", ""):
        if word not in ("public", "private", "protected"):
            raise Refused(400, f"visibility must be public or private, not {word[:40]!r}")
        return word != "public"
    return body.flag("private") if body.value.get("private") is not None else None


def named(call: Request, full: str, type_: str) -> Repo:
    """A repository that a body names, which the user may write to."""
    call.known_user()
    namespace, _, name = full.partition("/")
    return call.writable(call.repo(type_, namespace, name))


def delete(call: Request) -> Response:
    """DELETE /api/repos/delete."""
    body = call.json()
    owner = body.text("organization", "") or call.known_user()
    full = f"{owner}/{body.text('name')}"
    repo = named(call, full, _type(body))
    hub = call.hub
    with hub.git.lock(repo.id):
        held = hub.store.rows("select distinct sha from object where repo = ?", repo.id)
        hub.tell(repo, "delete", "repo")
        with hub.store.together():
            hub.store.run("delete from repo where id = ?", repo.id)
        hub.git.remove(repo.id)
        forget(call, [row["sha"] for row in held])
    return as_json({})


def forget(call: Request, shas: list[str]) -> None:
    """Delete the objects that no repository holds any more."""
    store = call.hub.store
    for sha in shas:
        with store.together():  # nobody notes a new holder in between
            if store.row("select 1 from object where sha = ?", sha) is None:
                call.hub.lfs.remove(sha)


def move(call: Request) -> Response:
    """POST /api/repos/move."""
    body = call.json()
    type_ = _type(body)
    repo = named(call, body.text("fromRepo"), type_)
    full = names.whole_id(body.text("toRepo"))
    claim(call, full)
    store = call.hub.store
    with store.together():
        there = store.repo(type_, full)
        if there is not None and there.id != repo.id:
            raise Refused(409, f"A {repo.kind} repository called {full} already exists")
        if store.account(full.split("/")[0]) is None:
            store.run(
                "insert into account values (?, 'org', ?, ?)",
                *(full.split("/")[0], call.hub.owner, now()),
            )
        store.run("delete from moved where type = ? and name = ?", type_, full)
        store.run("update repo set name = ? where id = ?", full, repo.id)
        if full.lower() != repo.name.lower():
            store.run("insert or replace into moved values (?, ?, ?)", type_, repo.name, repo.id)
    call.hub.tell(repo, "move", "repo", moved_to=full)
    return as_json({"url": f"{call.endpoint}/{names.PREFIX[type_]}{full}"})


def change(call: Request, repo: Repo) -> Response:
    """PUT settings."""
    call.writable(repo)
    body = call.json()
    private = visibility(body)
    gated = body.value.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise Refused(400, "gated must be auto, manual or false")
    store = call.hub.store
    if private is not None:
        store.run("update repo set private = ? where id = ?", private, repo.id)
    if gated is not None:
        store.run("update repo set gated = ? where id = ?", gated or "", repo.id)
    call.hub.tell(repo, "update", "repo.config")
    visible = repo.private if private is None else private
    return as_json({"private": visible, "gated": repo.gated or False if gated is None else gated})


def info(call: Request, repo: Repo, revision: str) -> Response:
    """GET the information about a repository, at a revision."""
    expand = call.every("expand")
    if unknown := sorted(set(expand) - EXPAND):
        raise Refused(400, f"expand cannot be {unknown[0][:60]!r}")
    facts = described(call, repo, revision, with_blobs=call.said("blobs"))
    if expand:
        kept = {"id", "_id", *expand}
        facts = {key: value for key, value in facts.items() if key in kept}
    return as_json(facts)


def described(
    call: Request, repo: Repo, revision: str, *, with_blobs: bool = False, full: bool = True
) -> dict[str, Any]:
    """What is told about a repository."""
    opened = call.hub.git.open(repo.id)
    commit = git.find(opened, revision)
    data = card(commit)
    facts: dict[str, Any] = {
        "_id": repo.id,
        "id": repo.name,
        "author": repo.name.split("/")[0],
        "sha": str(commit.id),
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "lastModified": moment(commit.commit_time),
        "createdAt": repo.created,
        "tags": _tags(data),
    }
    if repo.type == "models":
        facts["modelId"] = repo.name
    if full:
        facts["cardData"] = data or None
        facts["siblings"] = _siblings(opened, commit, with_blobs)
    if repo.type == "spaces":
        facts |= spaces.facts(call, repo)
    return facts


def card(commit: Any) -> dict[str, Any]:
    """The metadata at the head of README.md; nothing if they cannot be read."""
    readme = git.entry(commit, "README.md")
    if readme is None or readme.type_str != "blob":
        return {}
    return _card(readme.data.decode("utf-8", "replace"))


@lru_cache(maxsize=64)  # a card with many features takes longer to parse than all else together
def _card(readme: str) -> dict[str, Any]:
    from builders.release.card_lint import card_data

    try:
        data = card_data(readme)
    except ValueError:
        return {}
    return plain(data) if data else {}


def plain(value: Any) -> Any:
    """YAML's value as JSON can hold it: dates and odd keys as text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _tags(data: dict[str, Any]) -> list[str]:
    def listed(key: str) -> list[str]:
        value = data.get(key)
        items = value if isinstance(value, list) else [value]
        return [str(item) for item in items if item is not None]

    return [f"{key}:{item}" for key in _TAGGED for item in listed(key)] + listed("tags")


def _siblings(opened: Any, commit: Any, with_blobs: bool) -> list[dict[str, Any]]:
    from builders.hub_server.revisions import files

    listed = []
    for path, oid in files(opened, commit.tree):
        item: dict[str, Any] = {"rfilename": path}
        if with_blobs:
            size, lfs = git.measure(opened, oid)
            item |= {"blobId": str(oid), "size": lfs[1] if lfs else size}
            if lfs:
                item["lfs"] = {"sha256": lfs[0], "size": lfs[1], "pointerSize": size}
        listed.append(item)
    return listed


def listing(call: Request, type_: str) -> Response:
    """GET the list of the repositories of a type that the user may see."""
    expand = call.every("expand")
    if unknown := sorted(set(expand) - EXPAND):
        raise Refused(400, f"expand cannot be {unknown[0][:60]!r}")
    author, wanted = call.first("author").lower(), call.every("filter")
    words = [word.lower() for word in call.every("search")]
    gated = call.first("gated").lower()
    found = []
    for repo in call.hub.store.repos(type_):
        namespace, _, _ = repo.name.lower().partition("/")
        if (
            (not author or namespace == author)
            and all(word in repo.name.lower() for word in words)
            and (not gated or (gated in ("true", "1")) == bool(repo.gated))
            and call.hub.store.sees(call.user, repo)
        ):
            found.append(repo)
    full = call.said("full") or call.said("cardData") or bool(expand)
    sort = call.first("sort")
    if not wanted and sort not in ("lastModified", "createdAt"):
        # Only the page that is asked for is looked up in git.
        start, end = call.span(MOST_LISTED)
        shown: list[Any] = [
            _listed(call, repo, full, expand) if start <= at < end else None
            for at, repo in enumerate(found)
        ]
        return call.page(shown, MOST_LISTED)
    facts = [_listed(call, repo, full, []) for repo in found]
    facts = [item for item in facts if all(tag in item["tags"] for tag in wanted)]
    if sort in ("lastModified", "createdAt"):
        facts.sort(key=lambda item: item[sort], reverse=call.first("direction") != "1")
    kept = {"id", "_id", *expand}
    return call.page(
        [{key: item[key] for key in item if not expand or key in kept} for item in facts],
        MOST_LISTED,
    )


def _listed(call: Request, repo: Repo, full: bool, expand: list[str]) -> dict[str, Any]:
    facts = described(call, repo, "main", full=full)
    kept = {"id", "_id", *expand}
    return {key: value for key, value in facts.items() if not expand or key in kept}
