"""Routes of revisions: trees, paths, history, branches, tags and squashing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote

import pygit2

from builders.hub_server import git, names
from builders.hub_server.request import Request
from builders.hub_server.responses import (
    HttpError,
    Response,
    entry_not_found,
    json_response,
    revision_not_found,
    timestamp,
)
from builders.hub_server.store import Repo

MOST_ENTRIES = 1000
MOST_EXPANDED = 100
MOST_PATHS = 2000
MOST_COMMITS = 50
MOST_LISTED = 1000


def files(git_repo: Any, tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The path and the blob id of each file in a tree, also in its folders."""
    for entry in tree:
        if entry.type_str == "tree":
            yield from files(git_repo, git_repo[entry.id], f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", entry.id


def tree(request: Request, repo: Repo, revision: str, path: str) -> Response:
    """GET tree: a folder's entries; with `recursive`, also those of all folders below it."""
    git_repo = request.hub.git.open(repo.id)
    commit = git.find(git_repo, revision)
    if path and names.path_problem(path):
        raise entry_not_found(str(commit.id))
    folder = git.entry(commit, path)
    if folder is None or folder.type_str != "tree":
        raise entry_not_found(str(commit.id))
    above = f"{path}/" if path else ""
    found = list(_entries(git_repo, folder, above, request.flag("recursive")))
    expand = request.flag("expand")
    most = MOST_EXPANDED if expand else MOST_ENTRIES
    start, end = request.page_bounds(most)
    shown: list[Any] = [
        _item(git_repo, *entry) if start <= index < end else None
        for index, entry in enumerate(found)
    ]
    if expand:
        _expand(git_repo, commit, shown[start:end])
    return request.page(shown, most, path=_page_path(repo, "tree", commit, path))


def _page_path(repo: Repo, what: str, commit: Any, path: str = "") -> str:
    """The path of further pages, by commit id: the branch may change between two pages."""
    below = f"/{quote(path)}" if path else ""
    return f"/api/{repo.type}/{repo.name}/{what}/{commit.id}{below}"


def _entries(git_repo: Any, tree_: Any, above: str, deep: bool) -> Iterator[tuple[str, Any, bool]]:
    for entry in tree_:
        is_tree = entry.type_str == "tree"
        yield f"{above}{entry.name}", entry.id, is_tree
        if is_tree and deep:
            yield from _entries(git_repo, git_repo[entry.id], f"{above}{entry.name}/", deep)


def _item(git_repo: Any, path: str, oid: Any, is_tree: bool) -> dict[str, Any]:
    if is_tree:
        return {"type": "directory", "oid": str(oid), "size": 0, "path": path}
    size, lfs = git.blob_info(git_repo, oid)
    item: dict[str, Any] = {
        "type": "file",
        "oid": str(oid),
        "size": lfs[1] if lfs else size,
        "path": path,
    }
    if lfs:
        item["lfs"] = {"oid": lfs[0], "size": lfs[1], "pointerSize": size}
    return item


def _expand(git_repo: Any, commit: Any, items: list[dict[str, Any]]) -> None:
    """Add to each item the commit that last changed it."""
    pending = {item["path"]: item for item in items}
    for item in items:
        if item["type"] == "file":
            item["securityFileStatus"] = None
    for ancestor in git.ancestry(git_repo, commit.id):
        if not pending:
            return
        before = ancestor.parents[0] if ancestor.parents else None
        if before is not None and before.tree.id == ancestor.tree.id:
            continue
        for path in list(pending):
            old = git.entry(before, path) if before is not None else None
            new = git.entry(ancestor, path)
            if (old and old.id) != (new and new.id):
                pending.pop(path)["lastCommit"] = {
                    "id": str(ancestor.id),
                    "title": ancestor.message.split("\n", 1)[0],
                    "date": timestamp(ancestor.commit_time),
                }


def paths_info(request: Request, repo: Repo, revision: str) -> Response:
    """POST paths-info, as a form or as JSON: the entries of those paths that exist."""
    if request.headers.get("content-type", "").startswith("application/json"):
        body = request.json()
        paths = body.texts("paths")
        expand = body.value.get("expand") in (True, "true", 1)
    else:
        try:
            form = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=20_000)
        except ValueError:
            raise HttpError(400, "The body must be a form in UTF-8") from None
        paths = [value for key, value in form if key == "paths"]
        expand = any(key == "expand" and value.lower() in ("true", "1") for key, value in form)
    if len(paths) > MOST_PATHS:
        raise HttpError(400, f"paths may have at most {MOST_PATHS} items")
    git_repo = request.hub.git.open(repo.id)
    commit = git.find(git_repo, revision)
    items = []
    for path in dict.fromkeys(path.strip("/") for path in paths):
        entry = None if names.path_problem(path) else git.entry(commit, path)
        if entry is not None:
            items.append(_item(git_repo, path, entry.id, entry.type_str == "tree"))
    if expand:
        _expand(git_repo, commit, items)
    return json_response(items)


def refs(request: Request, repo: Repo) -> Response:
    """GET refs: all branches and tags, with `include_prs` also pull requests."""
    git_repo = request.hub.git.open(repo.id)
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    if request.flag("include_prs"):
        groups["pullRequests"] = []
    roots = {"refs/heads/": "branches", "refs/convert/": "converts", "refs/tags/": "tags"}
    for ref in sorted(git_repo.references):
        commit = git.head(git_repo, ref)
        root = next((root for root in roots if ref.startswith(root)), "refs/pr/")
        group = groups.get(roots.get(root, "pullRequests"))
        if commit is not None and group is not None:
            name = ref if root == "refs/pr/" else ref.removeprefix(root)
            group.append({"name": name, "ref": ref, "targetCommit": str(commit.id)})
    return json_response(groups)


def commits(request: Request, repo: Repo, revision: str) -> Response:
    """GET commits: the history of a revision, newest first."""
    git_repo = request.hub.git.open(repo.id)
    start = git.find(git_repo, revision)
    formatted = "formatted" in request.values("expand")
    first, end = request.page_bounds(MOST_LISTED, MOST_COMMITS)
    shown: list[Any] = [
        _commit_info(commit, formatted) if number >= first else None
        for number, commit in enumerate(islice(git.ancestry(git_repo, start.id), end + 1))
    ]
    return request.page(shown, MOST_LISTED, MOST_COMMITS, path=_page_path(repo, "commits", start))


def _commit_info(commit: Any, formatted: bool) -> dict[str, Any]:
    title, _, message = commit.message.partition("\n")
    result: dict[str, Any] = {
        "id": str(commit.id),
        "title": title,
        "message": message.strip("\n"),
        "date": timestamp(commit.commit_time),
        "authors": [{"user": commit.author.name}],
    }
    if formatted:
        result["formatted"] = {"title": _escaped(title), "message": _escaped(result["message"])}
    return result


def _escaped(text: str) -> str:
    from html import escape

    return escape(text, quote=False)


def add_branch(request: Request, repo: Repo, branch: str) -> Response:
    """POST branch: create a branch at `startingPoint`, by default main."""
    request.writable(repo)
    starting_point = request.json().text("startingPoint", "") or "main"
    with request.hub.git.lock(repo.id):
        git_repo = request.hub.git.open(repo.id)
        start = git.find(git_repo, starting_point)
        full = f"refs/heads/{_ref_name(branch)}"
        _add_ref(git_repo, full, start.id)
    _notify_ref(request, repo, full, None, str(start.id))
    return json_response({}, 201)


def _ref_name(name: str) -> str:
    if not names.is_ref(name):
        raise HttpError(400, f"Invalid reference name {name[:120]!r}")
    return name


def _add_ref(git_repo: Any, full: str, oid: Any) -> None:
    if full in git_repo.references:
        raise HttpError(409, f"Reference {full} already exists")
    try:
        git_repo.references.create(full, oid)
    except (
        ValueError,
        OSError,
        pygit2.GitError,
    ):  # such as a/b next to a, which would be a folder and a file
        raise HttpError(409, f"Reference {full} conflicts with another reference") from None


def remove_branch(request: Request, repo: Repo, branch: str) -> Response:
    """DELETE branch; main cannot be deleted."""
    request.writable(repo)
    if branch == "main":
        raise HttpError(403, "The branch main cannot be deleted")
    return _remove_ref(request, repo, f"refs/heads/{branch}", branch)


def _remove_ref(request: Request, repo: Repo, full: str, name: str) -> Response:
    with request.hub.git.lock(repo.id):
        git_repo = request.hub.git.open(repo.id)
        commit = git.head(git_repo, full) if names.is_ref(name) else None
        if commit is None:
            raise revision_not_found(name[:200])
        git_repo.references.delete(full)
    _notify_ref(request, repo, full, str(commit.id), None)
    return json_response({})


def _notify_ref(request: Request, repo: Repo, full: str, old: str | None, new: str | None) -> None:
    change = {"ref": full, "oldSha": old, "newSha": new}
    request.hub.notify(repo, "update", "repo.content", refs=[change])


def add_tag(request: Request, repo: Repo, revision: str) -> Response:
    """POST tag: create a tag on a revision; with a message it is an annotated one."""
    user = request.known_user()
    request.writable(repo)
    body = request.json()
    tag, message = body.text("tag", ""), body.text("message", "")
    with request.hub.git.lock(repo.id):
        git_repo = request.hub.git.open(repo.id)
        commit = git.find(git_repo, revision)
        full = f"refs/tags/{_ref_name(tag)}"
        oid = commit.id
        if message and full not in git_repo.references:
            signature = pygit2.Signature(user, f"{user}@users.noreply.invalid")
            oid = _annotated(git_repo, tag, commit.id, signature, message)
        else:
            _add_ref(git_repo, full, oid)
    _notify_ref(request, repo, full, None, str(commit.id))
    return json_response({}, 201)


def _annotated(git_repo: Any, tag: str, commit: Any, signature: Any, message: str) -> Any:
    try:
        return git_repo.create_tag(tag, commit, pygit2.enums.ObjectType.COMMIT, signature, message)
    except (ValueError, OSError, pygit2.GitError):
        raise HttpError(
            409, f"Reference refs/tags/{tag} conflicts with another reference"
        ) from None


def remove_tag(request: Request, repo: Repo, tag: str) -> Response:
    """DELETE tag."""
    request.writable(repo)
    return _remove_ref(request, repo, f"refs/tags/{tag}", tag)


def squash(request: Request, repo: Repo, branch: str) -> Response:
    """POST super-squash: replace the branch's history by one commit without a parent."""
    user = request.known_user()
    request.writable(repo)
    message = request.json().text("message", "") or f"Super-squash branch '{branch}'"
    full = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
    with request.hub.git.lock(repo.id):
        git_repo = request.hub.git.open(repo.id)
        commit = git.head(git_repo, full) if full.startswith("refs/heads/") else None
        if commit is None:
            raise revision_not_found(branch[:200])
        oid = git.commit(git_repo, commit.tree.id, [], user, message)
        git_repo.references.create(full, oid, force=True)
    _notify_ref(request, repo, full, str(commit.id), str(oid))
    return json_response({})
