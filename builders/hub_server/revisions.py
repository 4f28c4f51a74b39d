"""Routes of a repository's history: trees, paths, commits, branches, tags, squashing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote

import pygit2

from builders.hub_server import git, names
from builders.hub_server.request import Request
from builders.hub_server.responses import Refused, Response, as_json, moment, no_entry, no_revision
from builders.hub_server.store import Repo

MOST_ENTRIES = 1000
MOST_EXPANDED = 100
MOST_PATHS = 2000
MOST_COMMITS = 50
MOST_LISTED = 1000


def files(opened: Any, tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Path and blob id of each file below a tree."""
    for entry in tree:
        if entry.type_str == "tree":
            yield from files(opened, opened[entry.id], f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", entry.id


def tree(call: Request, repo: Repo, revision: str, path: str) -> Response:
    """GET a folder's entries, or those of all folders below it too."""
    opened = call.hub.git.open(repo.id)
    commit = git.find(opened, revision)
    if path and names.path_problem(path):
        raise no_entry(str(commit.id))
    folder = git.entry(commit, path)
    if folder is None or folder.type_str != "tree":
        raise no_entry(str(commit.id))
    above = f"{path}/" if path else ""
    found = list(_walk(opened, folder, above, call.said("recursive")))
    expand = call.said("expand")
    most = MOST_EXPANDED if expand else MOST_ENTRIES
    start, end = call.span(most)
    shown: list[Any] = [
        _item(opened, *entry) if start <= at < end else None for at, entry in enumerate(found)
    ]
    if expand:
        _expand(opened, commit, shown[start:end])
    return call.page(shown, most, path=_pinned(repo, "tree", commit, path))


def _pinned(repo: Repo, what: str, commit: Any, path: str = "") -> str:
    """The address of further pages: of this very commit, though the branch may move on."""
    below = f"/{quote(path)}" if path else ""
    return f"/api/{repo.type}/{repo.name}/{what}/{commit.id}{below}"


def _walk(opened: Any, tree_: Any, above: str, deep: bool) -> Iterator[tuple[str, Any, bool]]:
    for entry in tree_:
        is_tree = entry.type_str == "tree"
        yield f"{above}{entry.name}", entry.id, is_tree
        if is_tree and deep:
            yield from _walk(opened, opened[entry.id], f"{above}{entry.name}/", deep)


def _item(opened: Any, path: str, oid: Any, is_tree: bool) -> dict[str, Any]:
    if is_tree:
        return {"type": "directory", "oid": str(oid), "size": 0, "path": path}
    size, lfs = git.measure(opened, oid)
    item: dict[str, Any] = {
        "type": "file",
        "oid": str(oid),
        "size": lfs[1] if lfs else size,
        "path": path,
    }
    if lfs:
        item["lfs"] = {"oid": lfs[0], "size": lfs[1], "pointerSize": size}
    return item


def _expand(opened: Any, commit: Any, items: list[dict[str, Any]]) -> None:
    """Add to each entry the commit that last changed it."""
    pending = {item["path"]: item for item in items}
    for item in items:
        if item["type"] == "file":
            item["securityFileStatus"] = None
    for at in git.ancestry(opened, commit.id):
        if not pending:
            return
        before = at.parents[0] if at.parents else None
        if before is not None and before.tree.id == at.tree.id:
            continue
        for path in list(pending):
            old = git.entry(before, path) if before is not None else None
            new = git.entry(at, path)
            if (old and old.id) != (new and new.id):
                pending.pop(path)["lastCommit"] = {
                    "id": str(at.id),
                    "title": at.message.split("\n", 1)[0],
                    "date": moment(at.commit_time),
                }


def paths_info(call: Request, repo: Repo, revision: str) -> Response:
    """POST paths, as a form or as JSON; those that exist come back."""
    if call.headers.get("content-type", "").startswith("application/json"):
        body = call.json()
        paths = body.texts("paths")
        expand = body.value.get("expand") in (True, "true", 1)
    else:
        try:
            form = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=20_000)
        except ValueError:
            raise Refused(400, "The body must be a form in UTF-8") from None
        paths = [value for key, value in form if key == "paths"]
        expand = any(key == "expand" and value.lower() in ("true", "1") for key, value in form)
    if len(paths) > MOST_PATHS:
        raise Refused(400, f"paths may name at most {MOST_PATHS} paths at once")
    opened = call.hub.git.open(repo.id)
    commit = git.find(opened, revision)
    items = []
    for path in dict.fromkeys(path.strip("/") for path in paths):
        entry = None if names.path_problem(path) else git.entry(commit, path)
        if entry is not None:
            items.append(_item(opened, path, entry.id, entry.type_str == "tree"))
    if expand:
        _expand(opened, commit, items)
    return as_json(items)


def refs(call: Request, repo: Repo) -> Response:
    """GET all branches, tags and, if asked for, pull requests."""
    opened = call.hub.git.open(repo.id)
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    if call.said("include_prs"):
        groups["pullRequests"] = []
    roots = {"refs/heads/": "branches", "refs/convert/": "converts", "refs/tags/": "tags"}
    for ref in sorted(opened.references):
        at = git.head(opened, ref)
        root = next((root for root in roots if ref.startswith(root)), "refs/pr/")
        group = groups.get(roots.get(root, "pullRequests"))
        if at is not None and group is not None:
            name = ref if root == "refs/pr/" else ref.removeprefix(root)
            group.append({"name": name, "ref": ref, "targetCommit": str(at.id)})
    return as_json(groups)


def commits(call: Request, repo: Repo, revision: str) -> Response:
    """GET the history of a revision, newest first."""
    opened = call.hub.git.open(repo.id)
    start = git.find(opened, revision)
    formatted = "formatted" in call.every("expand")
    first, end = call.span(MOST_LISTED, MOST_COMMITS)
    shown: list[Any] = [
        _told(at, formatted) if number >= first else None
        for number, at in enumerate(islice(git.ancestry(opened, start.id), end + 1))
    ]
    return call.page(shown, MOST_LISTED, MOST_COMMITS, path=_pinned(repo, "commits", start))


def _told(at: Any, formatted: bool) -> dict[str, Any]:
    title, _, message = at.message.partition("\n")
    told: dict[str, Any] = {
        "id": str(at.id),
        "title": title,
        "message": message.strip("\n"),
        "date": moment(at.commit_time),
        "authors": [{"user": at.author.name}],
    }
    if formatted:
        told["formatted"] = {"title": _escaped(title), "message": _escaped(told["message"])}
    return told


def _escaped(text: str) -> str:
    from html import escape

    return escape(text, quote=False)


def add_branch(call: Request, repo: Repo, branch: str) -> Response:
    """POST a branch."""
    call.writable(repo)
    wanted = call.json().text("startingPoint", "") or "main"
    with call.hub.git.lock(repo.id):
        opened = call.hub.git.open(repo.id)
        start = git.find(opened, wanted)
        full = f"refs/heads/{_ref_name(branch)}"
        _add_ref(opened, full, start.id)
    _tell_ref(call, repo, full, None, str(start.id))
    return as_json({}, 201)


def _ref_name(name: str) -> str:
    if not names.is_ref(name):
        raise Refused(400, f"Invalid reference name {name[:120]!r}")
    return name


def _add_ref(opened: Any, full: str, oid: Any) -> None:
    if full in opened.references:
        raise Refused(409, f"Reference {full} already exists")
    try:
        opened.references.create(full, oid)
    except (ValueError, OSError, pygit2.GitError):  # a/b beside a, which is a file in git
        raise Refused(409, f"Reference {full} conflicts with another reference") from None


def remove_branch(call: Request, repo: Repo, branch: str) -> Response:
    """DELETE a branch."""
    call.writable(repo)
    if branch == "main":
        raise Refused(403, "The branch main cannot be deleted")
    return _remove_ref(call, repo, f"refs/heads/{branch}", branch)


def _remove_ref(call: Request, repo: Repo, full: str, name: str) -> Response:
    with call.hub.git.lock(repo.id):
        opened = call.hub.git.open(repo.id)
        at = git.head(opened, full) if names.is_ref(name) else None
        if at is None:
            raise no_revision(name[:200])
        opened.references.delete(full)
    _tell_ref(call, repo, full, str(at.id), None)
    return as_json({})


def _tell_ref(call: Request, repo: Repo, full: str, old: str | None, new: str | None) -> None:
    change = {"ref": full, "oldSha": old, "newSha": new}
    call.hub.tell(repo, "update", "repo.content", refs=[change])


def add_tag(call: Request, repo: Repo, revision: str) -> Response:
    """POST a tag on a revision; annotated if it comes with a message."""
    user = call.known_user()
    call.writable(repo)
    body = call.json()
    tag, message = body.text("tag", ""), body.text("message", "")
    with call.hub.git.lock(repo.id):
        opened = call.hub.git.open(repo.id)
        at = git.find(opened, revision)
        full = f"refs/tags/{_ref_name(tag)}"
        oid = at.id
        if message and full not in opened.references:
            who = pygit2.Signature(user, f"{user}@users.noreply.invalid")
            oid = _annotated(opened, tag, at.id, who, message)
        else:
            _add_ref(opened, full, oid)
    _tell_ref(call, repo, full, None, str(at.id))
    return as_json({}, 201)


def _annotated(opened: Any, tag: str, at: Any, who: Any, message: str) -> Any:
    try:
        return opened.create_tag(tag, at, pygit2.enums.ObjectType.COMMIT, who, message)
    except (ValueError, OSError, pygit2.GitError):
        raise Refused(409, f"Reference refs/tags/{tag} conflicts with another reference") from None


def remove_tag(call: Request, repo: Repo, tag: str) -> Response:
    """DELETE a tag."""
    call.writable(repo)
    return _remove_ref(call, repo, f"refs/tags/{tag}", tag)


def squash(call: Request, repo: Repo, branch: str) -> Response:
    """POST super-squash: the branch's tree in one commit without a past."""
    user = call.known_user()
    call.writable(repo)
    message = call.json().text("message", "") or f"Super-squash branch '{branch}'"
    full = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
    with call.hub.git.lock(repo.id):
        opened = call.hub.git.open(repo.id)
        at = git.head(opened, full) if full.startswith("refs/heads/") else None
        if at is None:
            raise no_revision(branch[:200])
        oid = git.commit(opened, at.tree.id, [], user, message)
        opened.references.create(full, oid, force=True)
    _tell_ref(call, repo, full, str(at.id), str(oid))
    return as_json({})
