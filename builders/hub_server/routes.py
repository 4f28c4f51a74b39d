"""The router: from the segments of a request's path to the function that serves it.

Paths are split before they are decoded, so that `refs%2Fpr%2F1` is one segment.
"""

from __future__ import annotations

from builders.hub_server import (
    access,
    commits,
    discussion_page,
    discussion_routes,
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
from builders.hub_server.responses import HttpError, Response, json_response
from builders.hub_server.store import Repo


def respond(request: Request) -> Response:
    """The response to a request.

    Raises:
        HttpError: The request failed, with the status and code for the client.
        Redirect: The repository was renamed.
    """
    head, *rest = request.parts
    if head == "api" and rest:
        return _api(request, rest)
    if head == "lfs" and len(rest) == 2:
        if rest[0] == "objects" and request.method in ("GET", "HEAD"):
            return transfer.download(request, rest[1])
        if rest[0] == "complete" and request.method == "POST":
            return transfer.complete(request, rest[1])
    if head == "xet" and len(rest) > 1:
        return transfer.xet(request)
    type_, rest = (head, rest) if head in TYPES[1:] else ("models", list(request.parts))
    if len(rest) > 2:
        return _pages(request, type_, rest)
    raise _no_route()


def _no_route() -> HttpError:
    return HttpError(404, "Sorry, we can't find the page you are looking for.")


def _pages(request: Request, type_: str, rest: list[str]) -> Response:
    """Paths outside /api: files, git, LFS and the page of a discussion."""
    namespace, name, what, *more = rest
    if what in ("resolve", "raw") and more and request.method in ("GET", "HEAD"):
        repo = request.repo(type_, namespace, name)
        return download.resolve(request, repo, *split_revision(more))
    if what == "discussions" and len(more) == 1 and request.method in ("GET", "HEAD"):
        return discussion_page.page(request, request.repo(type_, namespace, name), more[0])
    route = (request.method, what, *more)
    if route == ("POST", "ask-access"):
        return access.request_access(request, request.repo(type_, namespace, name))
    handler = {
        ("GET", "info", "refs"): download.advertise,
        ("POST", "git-upload-pack"): download.upload_pack,
        ("POST", "info", "lfs", "objects", "batch"): transfer.batch,
        ("POST", "info", "lfs", "verify"): transfer.verify,
    }.get(route)
    if handler is None:
        raise _no_route()
    try:
        return handler(request, request.repo(type_, namespace, name.removesuffix(".git")))
    except HttpError as error:
        if error.status == 401:  # git prompts for a password only with this header
            error.headers["WWW-Authenticate"] = 'Basic realm="Hub"'
        raise


def _api(request: Request, rest: list[str]) -> Response:
    method, head = request.method, rest[0]
    handler = {
        ("GET", "whoami-v2"): access.whoami,
        ("POST", "validate-yaml"): _validate,
        ("POST", "repos", "create"): repos.create,
        ("DELETE", "repos", "delete"): repos.delete,
        ("POST", "repos", "move"): repos.move,
    }.get((method, *rest))
    if handler is not None:
        return handler(request)
    if rest[:2] == ["settings", "webhooks"]:
        return webhooks.route(request, rest[2:])
    if head in TYPES and len(rest) == 1 and method == "GET":
        return repos.listing(request, head)
    if head in TYPES and len(rest) > 2:
        return _repo(request, request.repo(head, rest[1], rest[2]), rest[3:])
    if head in TYPES and len(rest) == 2 and method == "GET":
        request.repo(head, "", rest[1])
    raise _no_route()


def _validate(request: Request) -> Response:
    """POST validate-yaml: the problems of a card, as JSON or, if accepted, as plain text."""
    from builders.release.card_lint import card_problems

    errors, warnings = card_problems(request.json().text("content"))
    status = 400 if errors else 200
    if "text/plain" in request.headers.get("accept", ""):
        lines = [f"- Error: {error}" for error in errors]
        lines += [f"- Warning: {warning}" for warning in warnings]
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Response(status=status, headers=headers, body="\n".join(lines).encode())
    problems = {
        "errors": [{"message": error} for error in errors],
        "warnings": [{"message": warning} for warning in warnings],
    }
    return json_response(problems, status)


def _repo(request: Request, repo: Repo, rest: list[str]) -> Response:
    """Paths below a repository's own path in the API."""
    method = "GET" if request.method == "HEAD" else request.method
    what, more = (rest[0], rest[1:]) if rest else ("", [])
    revision, path = split_revision(more)
    name = "/".join(more)
    match method, what, len(more):
        case "GET", "", 0:
            return repos.info(request, repo, "main")
        case "GET", "revision", count if count:
            return repos.info(request, repo, name)
        case "GET", "tree", count if count:
            return revisions.tree(request, repo, revision, path)
        case "GET", "refs", 0:
            return revisions.refs(request, repo)
        case "GET", "commits", count if count:
            return revisions.commits(request, repo, name)
        case "GET", "auth-check", 0 | 1:
            return access.auth_check(request, repo, more)
        case "GET", "lfs-files", 0:
            return storage.large_files(request, repo)
        case "GET", ("xet-write-token" | "xet-read-token"), count if count:
            return transfer.xet_token(request, repo, what.split("-")[1])
        case "PUT", "settings", 0:
            return repos.update_settings(request, repo)
        case "POST", "paths-info", count if count:
            return revisions.paths_info(request, repo, name)
        case "POST", "preupload", count if count:
            return commits.preupload(request, repo, name)
        case "POST", "commit", count if count:
            return commits.commit(request, repo, name)
        case "POST", "branch", count if count:
            return revisions.add_branch(request, repo, name)
        case "DELETE", "branch", count if count:
            return revisions.remove_branch(request, repo, name)
        case "POST", "tag", count if count:
            return revisions.add_tag(request, repo, name)
        case "DELETE", "tag", count if count:
            return revisions.remove_tag(request, repo, name)
        case "POST", "super-squash", count if count:
            return revisions.squash(request, repo, name)
        case "POST", "duplicate", 0:
            return storage.duplicate(request, repo)
        case "POST", "lfs-files", 1 if more == ["batch"]:
            return storage.delete_large(request, repo)
        case "GET" | "POST", "user-access-request", 1:
            return access.requests(request, repo, more[0])
        case "GET" | "POST", "discussions", _:
            return _discussion(request, repo, method, more)
    return spaces.route(request, repo, rest)


def _discussion(request: Request, repo: Repo, method: str, more: list[str]) -> Response:
    match method, more:
        case "GET", []:
            return discussion_routes.listing(request, repo)
        case "POST", []:
            return discussion_routes.create(request, repo)
        case "GET", [num]:
            return discussion_routes.details(request, repo, num)
        case "POST", [num, "comment"]:
            return discussion_routes.comment(request, repo, num)
        case "POST", [num, "comment", id_, ("edit" | "hide") as action]:
            return discussion_routes.rewrite(request, repo, num, id_, action)
        case "POST", [num, "title"]:
            return discussion_routes.retitle(request, repo, num)
        case "POST", [num, "status"]:
            return discussion_routes.set_status(request, repo, num)
        case "POST", [num, "merge"]:
            return discussion_routes.merge(request, repo, num)
    raise _no_route()
