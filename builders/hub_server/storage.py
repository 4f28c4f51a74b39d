"""Routes of a repository's whole storage: duplicate it, list its large files, delete them."""

from __future__ import annotations

import secrets
from typing import Any

from builders.hub_server import git, names, repos, spaces
from builders.hub_server.commits import is_sha
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Response, json_response, now
from builders.hub_server.revisions import files
from builders.hub_server.store import Repo

MOST_LISTED = 1000


def duplicate(request: Request, repo: Repo) -> Response:
    """POST duplicate: copy the history to a new repository; large files are shared, not copied."""
    request.known_user()
    request.readable(repo)
    body = request.json()
    full = names.checked_repo_id(body.text("repository"))
    repos.check_may_create(request, full)
    private = repos.visibility(body)
    copy = Repo(
        id=secrets.token_hex(12),
        type=repo.type,
        name=full,
        private=repo.private if private is None else private,
        gated="",
        created=now(),
    )
    store = request.hub.store
    if existing := store.repo(repo.type, full):
        raise repos.already_exists(request, existing)
    with request.hub.git.lock(repo.id):
        request.hub.git.copy(repo.id, copy.id)
        git_repo = request.hub.git.open(copy.id)
        for ref in [ref for ref in git_repo.references if ref.startswith("refs/pr/")]:
            git_repo.references.delete(ref)
        repos.insert(request, copy)
        store.run(
            "insert or ignore into object select ?, sha, account, size, committed, pushed "
            "from object where repo = ? and committed = 1",
            *(copy.id, repo.id),
        )
    if repo.type == "spaces":
        spaces.copy_settings(request, repo, copy, body)
    request.hub.notify(copy, "create", "repo")
    return json_response({"url": request.url(copy), "filesCopyPending": False})


def large_files(request: Request, repo: Repo) -> Response:
    """GET lfs-files: the large files in the history of all branches and pull requests."""
    request.writable(repo)
    git_repo = request.hub.git.open(repo.id)
    pushed = {
        row["sha"]: row["pushed"]
        for row in request.hub.store.rows("select * from object where repo = ?", repo.id)
    }
    found: dict[str, dict[str, Any]] = {}
    for ref in sorted(git_repo.references):
        tip = git.head(git_repo, ref) if ref.startswith(("refs/heads/", "refs/pr/")) else None
        for commit in git.ancestry(git_repo, tip.id) if tip else ():
            for path, oid in files(git_repo, commit.tree):
                lfs = git.blob_info(git_repo, oid)[1]
                if lfs and lfs[0] in pushed and lfs[0] not in found:
                    found[lfs[0]] = {
                        "fileOid": lfs[0],
                        "filename": path,
                        "oid": lfs[0],
                        "pushedAt": pushed[lfs[0]],
                        "ref": ref.removeprefix("refs/heads/"),
                        "size": lfs[1],
                    }
    return request.page(list(found.values()), MOST_LISTED)


def delete_large(request: Request, repo: Repo) -> Response:
    """POST lfs-files/batch: delete large files, by default with every mention in the history."""
    request.writable(repo)
    deletions = request.json().value.get("deletions")
    body = Body(deletions if isinstance(deletions, dict) else {})
    deleted = [sha for sha in body.texts("sha") if is_sha(sha)]
    with request.hub.git.lock(repo.id):
        if body.value.get("rewriteHistory", True):
            _rewrite(request.hub.git.open(repo.id), set(deleted))
        for sha in deleted:
            request.hub.store.run("delete from object where repo = ? and sha = ?", repo.id, sha)
    repos.delete_unreferenced(request, deleted)
    return json_response({"success": True})


def _rewrite(git_repo: Any, deleted: set[str]) -> None:
    """Rewrite all references to the same history without the files that point to these objects."""
    new: dict[Any, Any] = {}
    tips = {ref: tip for ref in git_repo.references if (tip := git.head(git_repo, ref))}
    for tip in tips.values():
        for commit in reversed(list(git.ancestry(git_repo, tip.id))):
            if commit.id in new:
                continue
            tree = git.Tree(git_repo, commit.tree.id)
            for path, oid in files(git_repo, commit.tree):
                lfs = git.blob_info(git_repo, oid)[1]
                if lfs and lfs[0] in deleted:
                    tree.remove(path)
            parents = [new[parent] for parent in commit.parent_ids]
            if tree.write() == commit.tree.id and parents == list(commit.parent_ids):
                new[commit.id] = commit.id
                continue
            new[commit.id] = git_repo.create_commit(
                None, commit.author, commit.committer, commit.message, tree.write(), parents
            )
    for ref, tip in tips.items():
        if new[tip.id] != tip.id:
            git_repo.references.create(ref, new[tip.id], force=True)
