"""Routes of commits: one JSON object per line, applied as a whole or not at all."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from builders.hub_server import attributes, git, names
from builders.hub_server.discussions import Discussion, open_discussion
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import HttpError, Response, json_response, revision_not_found
from builders.hub_server.store import Repo

MOST_REGULAR = 10 * 1024 * 1024
"""Files of at least this many bytes go to LFS, as on the Hub."""
MOST_LINE = 2 * MOST_REGULAR
MOST_CARD = 1024 * 1024

STALE = "The branch was updated since you opened this page. Please refresh and try again."


@dataclass
class _Edit:
    """A tree as the lines of a commit change it.

    Attributes:
        git_repo: The open git repository.
        tree: The tree so far.
        large: The large files that the commit adds, by path: their sha256 and size in bytes.
    """

    git_repo: Any
    tree: git.Tree
    large: dict[str, tuple[str, int]] = field(default_factory=dict)


def preupload(request: Request, repo: Repo, revision: str) -> Response:
    """POST preupload: which files go to LFS, which are ignored, and the ids of existing ones."""
    request.known_user()
    request.readable(repo)
    body = request.json()
    git_repo = request.hub.git.open(repo.id)
    base = git.find(git_repo, revision)
    rules = body.text("gitAttributes", "") or _file_text(base, ".gitattributes")
    ignore = body.text("gitIgnore", "") or _file_text(base, ".gitignore")
    found = []
    for file in body.objects("files"):
        path = file.text("path", most=names.MOST_PATH)
        size = file.whole("size") or 0
        large = size > 0 and (size >= MOST_REGULAR or attributes.in_lfs(rules, path))
        item: dict[str, Any] = {
            "path": path,
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": attributes.ignored(ignore, path),
        }
        existing = None if names.path_problem(path) else git.entry(base, path)
        if existing is not None and existing.type_str == "blob":
            lfs = git.blob_info(git_repo, existing.id)[1]
            item["oid"] = lfs[0] if lfs else str(existing.id)
        found.append(item)
    return json_response({"files": found})


def _file_text(commit_: Any, path: str) -> str:
    """The text of a file in a commit; empty if there is none."""
    existing = git.entry(commit_, path)
    if existing is None or existing.type_str != "blob":
        return ""
    text: str = existing.data.decode("utf-8", "replace")
    return text


def commit(request: Request, repo: Repo, revision: str) -> Response:
    """POST commit: add a commit to a branch or a pull request, or open a pull request with it."""
    user = request.known_user()
    request.readable(repo)
    as_pull_request = request.flag("create_pr")
    hub = request.hub
    with hub.git.lock(repo.id):
        if hub.store.repo_by_id(repo.id) is None:
            raise revision_not_found(revision[:200])
        git_repo = hub.git.open(repo.id)
        if as_pull_request and revision == "None":
            revision = "main"
        discussion = None if as_pull_request else Discussion.for_push(request, repo, revision)
        if not as_pull_request and discussion is None:
            request.writable(repo)
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        tip = git.head(git_repo, ref) if ref.startswith(("refs/heads/", "refs/pr/")) else None
        if tip is None:
            raise revision_not_found(revision[:200])
        header, edit = _apply_lines(request, repo, user, tip)
        if parent := header.text("parentCommit", ""):
            tip, edit = _at_parent(request, repo, user, tip, parent, as_pull_request, edit)
        title = header.text("summary", "") or "Update"
        description = header.text("description", "")
        tree = edit.tree.write()
        _record_references(request, repo, user, edit)
        oid = tip.id
        if tree != tip.tree.id:
            message = f"{title}\n\n{description}" if description else title
            oid = git.commit(git_repo, tree, [tip.id], user, message)
        result: dict[str, Any] = {"success": True, "commitOid": str(oid)}
        result["commitUrl"] = f"{request.url(repo)}/commit/{oid}"
        if as_pull_request:
            discussion = open_discussion(
                request, repo, title, description, base=ref, tip=oid, status="open"
            )
            result["pullRequestUrl"] = f"{request.url(repo)}/discussions/{discussion.num}"
            ref = f"refs/pr/{discussion.num}"
        elif oid != tip.id:
            git_repo.references.create(ref, oid, force=True)
    if discussion is not None and oid != tip.id:
        discussion.add_event(request, "commit", {"subject": title, "oid": str(oid)})
    if oid != tip.id:
        old = None if as_pull_request else str(tip.id)
        change = {"ref": ref, "oldSha": old, "newSha": str(oid)}
        hub.notify(repo, "update", "repo.content", refs=[change])
    return json_response(result)


def _record_references(request: Request, repo: Repo, user: str, edit: _Edit) -> None:
    """Record the large files of a commit before it is made."""
    with request.hub.store.transaction():
        for sha, size in edit.large.values():
            request.hub.store.record_reference(repo.id, sha, user, size)
            # From here on nothing deletes it; it may have been deleted since its line was read.
            if request.hub.lfs.size(sha) != size:
                raise HttpError(400, f"The LFS object {sha} was deleted; upload it again")


def _at_parent(
    request: Request,
    repo: Repo,
    user: str,
    tip: Any,
    parent: str,
    as_pull_request: bool,
    edit: _Edit,
) -> tuple[Any, _Edit]:
    """The given parent, and the edit of its tree.

    It must be the head of the branch, but a new pull request may start at an earlier commit.
    """
    if str(tip.id).startswith(parent) and len(parent) >= 7:
        return tip, edit
    if not as_pull_request:
        raise HttpError(412, STALE)
    at = git.find(request.hub.git.open(repo.id), parent)
    return at, _apply_lines(request, repo, user, at)[1]


def _apply_lines(request: Request, repo: Repo, user: str, tip: Any) -> tuple[Body, _Edit]:
    """The header line, and the tip's tree as all other lines change it."""
    git_repo = request.hub.git.open(repo.id)
    edit = _Edit(git_repo, git.Tree(git_repo, tip.tree.id))
    header: Body | None = None
    assert request.spool is not None
    for key, value in _lines(request.spool):
        if key == "header":
            header = value
        elif key == "file":
            _put_file(edit, _path(value), value)
        elif key == "lfsFile":
            _put_large(request, repo, user, edit, _path(value), value)
        elif key in ("deletedFile", "deletedFolder"):
            path = value.text("path").rstrip("/")
            if not edit.tree.remove(path):
                raise HttpError(
                    404, f"A file with this name doesn't exist: {path}", "EntryNotFound"
                )
            for name in list(edit.large):
                if name == path or name.startswith(f"{path}/"):
                    del edit.large[name]
        else:
            raise HttpError(400, f"A line of a commit cannot have the key {key[:40]!r}")
    if header is None:
        raise HttpError(400, "A commit needs a header line")
    _update_gitattributes(edit)
    return header, edit


def _lines(spool: BinaryIO) -> Iterator[tuple[str, Body]]:
    spool.seek(0)
    while line := spool.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise HttpError(413, f"A line of a commit may have at most {MOST_LINE} bytes; use LFS")
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            key, value = record["key"], record["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HttpError(
                400, "Each line of a commit must be JSON with a key and a value"
            ) from None
        if not isinstance(key, str) or not isinstance(value, dict):
            raise HttpError(
                400, "In each line of a commit the key must be a string, the value an object"
            )
        yield key, Body(value)


def _path(value: Body) -> str:
    path = value.text("path")
    if problem := names.path_problem(path):
        raise HttpError(422, f"Invalid path {path[:200]!r}: {problem}")
    return path


def _put(edit: _Edit, path: str, content: bytes) -> None:
    if not edit.tree.put(path, edit.git_repo.create_blob(content)):
        raise HttpError(
            422, f"Invalid path {path!r}: a file and a folder cannot have the same name"
        )


def _put_file(edit: _Edit, path: str, value: Body) -> None:
    content = value.text("content", most=MOST_LINE)
    encoding = value.text("encoding", "utf-8")
    if encoding == "base64":
        try:
            raw = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise HttpError(400, f"The content of {path!r} is not base64") from None
    elif encoding == "utf-8":
        raw = content.encode()
    else:
        raise HttpError(400, f"encoding must be base64 or utf-8, not {encoding[:40]!r}")
    if len(raw) > MOST_REGULAR:
        raise HttpError(
            400, f"{path!r} has {len(raw)} bytes; upload files over {MOST_REGULAR} bytes to LFS"
        )
    if path == "README.md":
        check_card(raw)
    edit.large.pop(path, None)
    _put(edit, path, raw)


def check_card(raw: bytes) -> None:
    """Raise for a README with invalid metadata, with the messages of the Hub."""
    from builders.release.card_lint import card_problems

    if len(raw) > MOST_CARD:
        raise HttpError(413, f"README.md may have at most {MOST_CARD} bytes, not {len(raw)}")
    errors, _ = card_problems(raw.decode("utf-8", "replace"))
    if errors:
        listed = "\n".join(f"- {error}" for error in errors)
        raise HttpError(400, f"Invalid metadata in README.md.\n{listed}")


def _put_large(
    request: Request, repo: Repo, user: str, edit: _Edit, path: str, value: Body
) -> None:
    sha = value.text("oid", most=64)
    if value.text("algo", "sha256") != "sha256" or not is_sha(sha):
        raise HttpError(400, f"The oid of {path!r} must be a sha256 in lower-case hex")
    size = request.hub.store.referable_size(repo, sha, user)
    if size is None or request.hub.lfs.size(sha) != size:
        raise HttpError(
            400, f"The LFS object {sha} of {path!r} was not uploaded to this repository"
        )
    if value.whole("size") not in (None, size):
        raise HttpError(400, f"The LFS object {sha} of {path!r} has {size} bytes")
    edit.large[path] = (sha, size)
    _put(edit, path, git.pointer(sha, size))


def is_sha(text: str) -> bool:
    """Whether this is a sha256 in lower-case hex."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _update_gitattributes(edit: _Edit) -> None:
    """Add the large files to .gitattributes, so that git clients fetch them from LFS."""
    rules = (edit.tree.blob(".gitattributes") or b"").decode("utf-8", "replace")
    parent = attributes.with_lfs(rules, sorted(edit.large))
    if parent != rules:
        _put(edit, ".gitattributes", parent.encode())
