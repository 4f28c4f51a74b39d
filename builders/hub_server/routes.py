"""The table of addresses: from a request's segments to the function that answers it.

Segments are told apart before they are decoded, so that `refs%2Fpr%2F1` is one of them.
"""

from __future__ import annotations

from builders.hub_server import (
    access,
    commits,
    discussions,
    download,
    repos,
    revisions,
    spaces,
    storage,
    transfer,
    webhooks,
)
from builders.hub_server.names import TYPES
from builders.hub_server.request import Request, split_revision
from builders.hub_server.responses import Refused, Response, as_json
from builders.hub_server.store import Repo


def answer(call: Request) -> Response:
    """The answer to a request.

    Raises:
        Refused: With the status and code that the clients raise errors from.
        Elsewhere: The repository has a new name.
    """
    head, *rest = call.parts
    if head == "api" and rest:
        return _api(call, rest)
    if head == "lfs" and len(rest) == 2:
        if rest[0] == "objects" and call.method in ("GET", "HEAD"):
            return transfer.download(call, rest[1])
        if rest[0] == "complete" and call.method == "POST":
            return transfer.complete(call, rest[1])
    if head == "xet" and len(rest) > 1:
        return transfer.xet(call)
    type_, rest = (head, rest) if head in TYPES[1:] else ("models", list(call.parts))
    if len(rest) > 2:
        return _pages(call, type_, rest)
    raise _no_route()


def _no_route() -> Refused:
    return Refused(404, "Sorry, we can't find the page you are looking for.")


def _pages(call: Request, type_: str, rest: list[str]) -> Response:
    """Addresses without /api: files, git and LFS."""
    namespace, name, what, *more = rest
    if what in ("resolve", "raw") and more and call.method in ("GET", "HEAD"):
        repo = call.repo(type_, namespace, name)
        return download.resolve(call, repo, *split_revision(more))
    route = (call.method, what, *more)
    if route == ("POST", "ask-access"):
        return access.ask(call, call.repo(type_, namespace, name))
    smart = {
        ("GET", "info", "refs"): download.advertise,
        ("POST", "git-upload-pack"): download.upload_pack,
        ("POST", "info", "lfs", "objects", "batch"): transfer.batch,
        ("POST", "info", "lfs", "verify"): transfer.verify,
    }.get(route)
    if smart is None:
        raise _no_route()
    try:
        return smart(call, call.repo(type_, namespace, name.removesuffix(".git")))
    except Refused as refused:
        if refused.status == 401:  # git asks for a password only then
            refused.headers["WWW-Authenticate"] = 'Basic realm="Hub"'
        raise


def _api(call: Request, rest: list[str]) -> Response:
    method, head = call.method, rest[0]
    plain = {
        ("GET", "whoami-v2"): access.whoami,
        ("POST", "validate-yaml"): _validate,
        ("POST", "repos", "create"): repos.create,
        ("DELETE", "repos", "delete"): repos.delete,
        ("POST", "repos", "move"): repos.move,
    }.get((method, *rest))
    if plain is not None:
        return plain(call)
    if rest[:2] == ["settings", "webhooks"]:
        return webhooks.route(call, rest[2:])
    if head in TYPES and len(rest) == 1 and method == "GET":
        return repos.listing(call, head)
    if head in TYPES and len(rest) > 2:
        return _repo(call, call.repo(head, rest[1], rest[2]), rest[3:])
    if head in TYPES and len(rest) == 2 and method == "GET":
        call.repo(head, "", rest[1])
    raise _no_route()


def _validate(call: Request) -> Response:
    """POST validate-yaml: the problems of a card, as JSON or as text."""
    from builders.release.card_lint import card_problems

    errors, warnings = card_problems(call.json().text("content"))
    status = 400 if errors else 200
    if "text/plain" in call.headers.get("accept", ""):
        said = [f"- Error: {error}" for error in errors]
        said += [f"- Warning: {warning}" for warning in warnings]
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Response(status=status, headers=headers, body="\n".join(said).encode())
    told = {
        "errors": [{"message": error} for error in errors],
        "warnings": [{"message": warning} for warning in warnings],
    }
    return as_json(told, status)


def _repo(call: Request, repo: Repo, rest: list[str]) -> Response:
    """Addresses below a repository's own in the API."""
    method = "GET" if call.method == "HEAD" else call.method
    what, more = (rest[0], rest[1:]) if rest else ("", [])
    revision, path = split_revision(more)
    name = "/".join(more)
    match method, what, len(more):
        case "GET", "", 0:
            return repos.info(call, repo, "main")
        case "GET", "revision", count if count:
            return repos.info(call, repo, name)
        case "GET", "tree", count if count:
            return revisions.tree(call, repo, revision, path)
        case "GET", "refs", 0:
            return revisions.refs(call, repo)
        case "GET", "commits", count if count:
            return revisions.commits(call, repo, name)
        case "GET", "auth-check", 0 | 1:
            return access.check(call, repo, more)
        case "GET", "lfs-files", 0:
            return storage.large_files(call, repo)
        case "GET", ("xet-write-token" | "xet-read-token"), count if count:
            return transfer.xet_token(call, repo, what.split("-")[1])
        case "PUT", "settings", 0:
            return repos.change(call, repo)
        case "POST", "paths-info", count if count:
            return revisions.paths_info(call, repo, name)
        case "POST", "preupload", count if count:
            return commits.preupload(call, repo, name)
        case "POST", "commit", count if count:
            return commits.commit(call, repo, name)
        case "POST", "branch", count if count:
            return revisions.add_branch(call, repo, name)
        case "DELETE", "branch", count if count:
            return revisions.remove_branch(call, repo, name)
        case "POST", "tag", count if count:
            return revisions.add_tag(call, repo, name)
        case "DELETE", "tag", count if count:
            return revisions.remove_tag(call, repo, name)
        case "POST", "super-squash", count if count:
            return revisions.squash(call, repo, name)
        case "POST", "duplicate", 0:
            return storage.duplicate(call, repo)
        case "POST", "lfs-files", 1 if more == ["batch"]:
            return storage.delete_large(call, repo)
        case "GET" | "POST", "user-access-request", 1:
            return access.requests(call, repo, more[0])
        case "GET" | "POST", "discussions", _:
            return _discussion(call, repo, method, more)
    return spaces.route(call, repo, rest)


def _discussion(call: Request, repo: Repo, method: str, more: list[str]) -> Response:
    match method, more:
        case "GET", []:
            return discussions.listing(call, repo)
        case "POST", []:
            return discussions.create(call, repo)
        case "GET", [num]:
            return discussions.details(call, repo, num)
        case "POST", [num, "comment"]:
            return discussions.comment(call, repo, num)
        case "POST", [num, "comment", id_, ("edit" | "hide") as action]:
            return discussions.rewrite(call, repo, num, id_, action)
        case "POST", [num, "title"]:
            return discussions.retitle(call, repo, num)
        case "POST", [num, "status"]:
            return discussions.set_status(call, repo, num)
        case "POST", [num, "merge"]:
            return discussions.merge(call, repo, num)
    raise _no_route()
