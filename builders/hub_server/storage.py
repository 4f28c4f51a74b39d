"""Routes over all that a repository holds: a copy of it, its large files, and their deletion."""

from __future__ import annotations

import secrets
from typing import Any

from builders.hub_server import git, names, repos, spaces
from builders.hub_server.commits import is_sha
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Response, as_json, now
from builders.hub_server.revisions import files
from builders.hub_server.store import Repo

MOST_LISTED = 1000


def duplicate(call: Request, repo: Repo) -> Response:
    """POST duplicate: the same history under another name; large files are shared, not copied."""
    call.known_user()
    call.content(repo)
    body = call.json()
    full = names.whole_id(body.text("repository"))
    repos.claim(call, full)
    private = repos.visibility(body)
    copy = Repo(
        id=secrets.token_hex(12),
        type=repo.type,
        name=full,
        private=repo.private if private is None else private,
        gated="",
        created=now(),
    )
    store = call.hub.store
    if there := store.repo(repo.type, full):
        raise repos.taken(call, there)
    with call.hub.git.lock(repo.id):
        call.hub.git.copy(repo.id, copy.id)
        opened = call.hub.git.open(copy.id)
        for ref in [ref for ref in opened.references if ref.startswith("refs/pr/")]:
            opened.references.delete(ref)
        repos.insert(call, copy)
        store.run(
            "insert or ignore into object select ?, sha, account, size, committed, pushed "
            "from object where repo = ? and committed = 1",
            *(copy.id, repo.id),
        )
    if repo.type == "spaces":
        spaces.duplicated(call, repo, copy, body)
    call.hub.tell(copy, "create", "repo")
    return as_json({"url": call.url(copy), "filesCopyPending": False})


def large_files(call: Request, repo: Repo) -> Response:
    """GET lfs-files: the large files of all branches."""
    call.writable(repo)
    opened = call.hub.git.open(repo.id)
    pushed = {
        row["sha"]: row["pushed"]
        for row in call.hub.store.rows("select * from object where repo = ?", repo.id)
    }
    found: dict[str, dict[str, Any]] = {}
    for ref in sorted(opened.references):
        tip = git.head(opened, ref) if ref.startswith(("refs/heads/", "refs/pr/")) else None
        for at in git.ancestry(opened, tip.id) if tip else ():
            for path, oid in files(opened, at.tree):
                lfs = git.measure(opened, oid)[1]
                if lfs and lfs[0] in pushed and lfs[0] not in found:
                    found[lfs[0]] = {
                        "fileOid": lfs[0],
                        "filename": path,
                        "oid": lfs[0],
                        "pushedAt": pushed[lfs[0]],
                        "ref": ref.removeprefix("refs/heads/"),
                        "size": lfs[1],
                    }
    return call.page(list(found.values()), MOST_LISTED)


def delete_large(call: Request, repo: Repo) -> Response:
    """POST lfs-files/batch: large files gone for good, with the history that names them."""
    call.writable(repo)
    deletions = call.json().value.get("deletions")
    wanted = Body(deletions if isinstance(deletions, dict) else {})
    gone = [sha for sha in wanted.texts("sha") if is_sha(sha)]
    with call.hub.git.lock(repo.id):
        if wanted.value.get("rewriteHistory", True):
            _rewrite(call.hub.git.open(repo.id), set(gone))
        for sha in gone:
            call.hub.store.run("delete from object where repo = ? and sha = ?", repo.id, sha)
    repos.forget(call, gone)
    return as_json({"success": True})


def _rewrite(opened: Any, gone: set[str]) -> None:
    """The same history without the files that point at these objects."""
    new: dict[Any, Any] = {}
    tips = {ref: tip for ref in opened.references if (tip := git.head(opened, ref))}
    for tip in tips.values():
        for at in reversed(list(git.ancestry(opened, tip.id))):
            if at.id in new:
                continue
            tree = git.Tree(opened, at.tree.id)
            for path, oid in files(opened, at.tree):
                lfs = git.measure(opened, oid)[1]
                if lfs and lfs[0] in gone:
                    tree.take(path)
            parents = [new[parent] for parent in at.parent_ids]
            if tree.write() == at.tree.id and parents == list(at.parent_ids):
                new[at.id] = at.id
                continue
            new[at.id] = opened.create_commit(
                None, at.author, at.committer, at.message, tree.write(), parents
            )
    for ref, tip in tips.items():
        if new[tip.id] != tip.id:
            opened.references.create(ref, new[tip.id], force=True)
