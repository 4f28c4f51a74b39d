"""A commit as the clients send it, line by line: every line holds, or nothing of it happens."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from builders.hub_server import attributes, git, names
from builders.hub_server.discussions import Pull, open_pull
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Refused, Response, as_json, no_revision
from builders.hub_server.store import Repo

MOST_REGULAR = 10 * 1024 * 1024
"""Files from this size on go to LFS, as on the Hub."""
MOST_LINE = 2 * MOST_REGULAR
MOST_CARD = 1024 * 1024

STALE = "The branch was updated since you opened this page. Please refresh and try again."


@dataclass
class _Edit:
    """What a commit's lines make of a tree."""

    opened: Any
    tree: git.Tree
    large: dict[str, tuple[str, int]] = field(default_factory=dict)
    """sha256 and size by path."""


def preupload(call: Request, repo: Repo, revision: str) -> Response:
    """POST preupload: which files go to LFS, which are ignored, what is there already."""
    call.known_user()
    call.content(repo)
    body = call.json()
    opened = call.hub.git.open(repo.id)
    at = git.find(opened, revision)
    given = body.text("gitAttributes", "")
    rules = given or _text(at, ".gitattributes")
    ignore = body.text("gitIgnore", "") or _text(at, ".gitignore")
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
        there = None if names.path_problem(path) else git.entry(at, path)
        if there is not None and there.type_str == "blob":
            lfs = git.measure(opened, there.id)[1]
            item["oid"] = lfs[0] if lfs else str(there.id)
        found.append(item)
    return as_json({"files": found})


def _text(at: Any, path: str) -> str:
    there = git.entry(at, path)
    return there.data.decode("utf-8", "replace") if there and there.type_str == "blob" else ""


def commit(call: Request, repo: Repo, revision: str) -> Response:
    """POST commit, to a branch or a pull request, or as a new pull request."""
    user = call.known_user()
    call.content(repo)
    as_pull = call.said("create_pr")
    hub = call.hub
    with hub.git.lock(repo.id):
        if hub.store.repo_by_id(repo.id) is None:
            raise no_revision(revision[:200])
        opened = hub.git.open(repo.id)
        if as_pull and revision == "None":
            revision = "main"
        pull = None if as_pull else Pull.pushed(call, repo, revision)
        if not as_pull and pull is None:
            call.writable(repo)
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        tip = git.head(opened, ref) if ref.startswith(("refs/heads/", "refs/pr/")) else None
        if tip is None:
            raise no_revision(revision[:200])
        header, edit = _edited(call, repo, user, tip)
        if wanted := header.text("parentCommit", ""):
            tip, edit = _at_parent(call, repo, user, tip, wanted, as_pull, edit)
        title = header.text("summary", "") or "Update"
        description = header.text("description", "")
        tree = edit.tree.write()
        _refer(call, repo, user, edit)
        oid = tip.id
        if tree != tip.tree.id:
            message = f"{title}\n\n{description}" if description else title
            oid = git.commit(opened, tree, [tip.id], user, message)
        answer: dict[str, Any] = {"success": True, "commitOid": str(oid)}
        answer["commitUrl"] = f"{call.url(repo)}/commit/{oid}"
        if as_pull:
            pull = open_pull(call, repo, title, description, ref, oid, "open")
            answer["pullRequestUrl"] = f"{call.url(repo)}/discussions/{pull.num}"
            ref = f"refs/pr/{pull.num}"
        elif oid != tip.id:
            opened.references.create(ref, oid, force=True)
    if pull is not None and oid != tip.id:
        pull.note(call, "commit", {"subject": title, "oid": str(oid)})
    if oid != tip.id:
        old = None if as_pull else str(tip.id)
        change = {"ref": ref, "oldSha": old, "newSha": str(oid)}
        hub.tell(repo, "update", "repo.content", refs=[change])
    return as_json(answer)


def _refer(call: Request, repo: Repo, user: str, edit: _Edit) -> None:
    """Note the large files of a commit that is about to be."""
    with call.hub.store.together():
        for sha, size in edit.large.values():
            call.hub.store.refer(repo.id, sha, user, size)
            # From here on nobody deletes it; it may have gone since the line was read.
            if call.hub.lfs.size(sha) != size:
                raise Refused(400, f"The LFS object {sha} was deleted; upload it again")


def _at_parent(
    call: Request, repo: Repo, user: str, tip: Any, wanted: str, as_pull: bool, edit: _Edit
) -> tuple[Any, _Edit]:
    """The named parent, if it is the branch's head; a new pull request may start earlier."""
    if str(tip.id).startswith(wanted) and len(wanted) >= 7:
        return tip, edit
    if not as_pull:
        raise Refused(412, STALE)
    at = git.find(call.hub.git.open(repo.id), wanted)
    return at, _edited(call, repo, user, at)[1]


def _edited(call: Request, repo: Repo, user: str, tip: Any) -> tuple[Body, _Edit]:
    """The header and the tree that all lines make of the tip's."""
    opened = call.hub.git.open(repo.id)
    edit = _Edit(opened, git.Tree(opened, tip.tree.id))
    header: Body | None = None
    assert call.spool is not None
    for key, value in _lines(call.spool):
        if key == "header":
            header = value
        elif key == "file":
            _put_file(edit, _path(value), value)
        elif key == "lfsFile":
            _put_large(call, repo, user, edit, _path(value), value)
        elif key in ("deletedFile", "deletedFolder"):
            path = value.text("path").rstrip("/")
            if not edit.tree.take(path):
                raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for gone in [one for one in edit.large if one == path or one.startswith(f"{path}/")]:
                del edit.large[gone]
        else:
            raise Refused(400, f"A commit has no lines of the kind {key[:40]!r}")
    if header is None:
        raise Refused(400, "A commit needs a header line")
    _attribute(edit)
    return header, edit


def _lines(spool: BinaryIO) -> Iterator[tuple[str, Body]]:
    spool.seek(0)
    while line := spool.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise Refused(413, f"A line of a commit may have {MOST_LINE} bytes; use LFS")
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            key, value = said["key"], said["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused(400, "Each line of a commit must be JSON with key and value") from None
        if not isinstance(key, str) or not isinstance(value, dict):
            raise Refused(400, "Each line of a commit must have a text as key, an object as value")
        yield key, Body(value)


def _path(value: Body) -> str:
    path = value.text("path")
    if problem := names.path_problem(path):
        raise Refused(422, f"Invalid path {path[:200]!r}: {problem}")
    return path


def _put(edit: _Edit, path: str, content: bytes) -> None:
    if not edit.tree.put(path, edit.opened.create_blob(content)):
        raise Refused(422, f"Invalid path {path!r}: a file and a folder cannot have one name")


def _put_file(edit: _Edit, path: str, value: Body) -> None:
    content = value.text("content", most=MOST_LINE)
    encoding = value.text("encoding", "utf-8")
    if encoding == "base64":
        try:
            raw = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, f"The content of {path!r} is not base64") from None
    elif encoding == "utf-8":
        raw = content.encode()
    else:
        raise Refused(400, f"encoding must be base64 or utf-8, not {encoding[:40]!r}")
    if len(raw) > MOST_REGULAR:
        raise Refused(400, f"{path!r} has {len(raw)} bytes; files over {MOST_REGULAR} go to LFS")
    if path == "README.md":
        check_card(raw)
    edit.large.pop(path, None)
    _put(edit, path, raw)


def check_card(raw: bytes) -> None:
    """Refuse a README whose metadata are wrong, with the Hub's words."""
    from builders.release.card_lint import card_problems

    if len(raw) > MOST_CARD:
        raise Refused(413, f"README.md may have {MOST_CARD} bytes, this has {len(raw)}")
    errors, _ = card_problems(raw.decode("utf-8", "replace"))
    if errors:
        said = "\n".join(f"- {error}" for error in errors)
        raise Refused(400, f"Invalid metadata in README.md.\n{said}")


def _put_large(call: Request, repo: Repo, user: str, edit: _Edit, path: str, value: Body) -> None:
    sha = value.text("oid", most=64)
    if value.text("algo", "sha256") != "sha256" or not is_sha(sha):
        raise Refused(400, f"The oid of {path!r} must be a sha256 in lower-case hex")
    size = call.hub.store.may_refer(repo, sha, user)
    if size is None or call.hub.lfs.size(sha) != size:
        raise Refused(400, f"The LFS object {sha} of {path!r} was not uploaded to this repository")
    if value.whole("size") not in (None, size):
        raise Refused(400, f"The LFS object {sha} of {path!r} has {size} bytes")
    edit.large[path] = (sha, size)
    _put(edit, path, git.pointer(sha, size))


def is_sha(text: str) -> bool:
    """Whether this is a sha256 in lower-case hex."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _attribute(edit: _Edit) -> None:
    """Let .gitattributes send the large files to LFS, so that git clients fetch them."""
    rules = (edit.tree.blob(".gitattributes") or b"").decode("utf-8", "replace")
    wanted = attributes.with_lfs(rules, sorted(edit.large))
    if wanted != rules:
        _put(edit, ".gitattributes", wanted.encode())
