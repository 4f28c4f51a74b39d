"""Routes of discussions and pull requests: list, open, comment, edit, close and merge."""

from __future__ import annotations

import json
from typing import Any

from builders.hub_server import git
from builders.hub_server.discussions import (
    STATES,
    Discussion,
    comment_data,
    comment_version,
    event_data,
    open_discussion,
)
from builders.hub_server.request import Request
from builders.hub_server.responses import HttpError, Response, json_response
from builders.hub_server.store import Repo

MOST_LISTED = 50
MOST_COMMENT = 65_536


def listing(request: Request, repo: Repo) -> Response:
    """GET discussions: those that match the query, newest first, one page of them."""
    condition, values = "repo = ?", [repo.id]
    if kind := request.first("type"):
        if kind not in ("all", "discussion", "pull_request"):
            raise HttpError(400, "type must be all, discussion or pull_request")
        condition += {"pull_request": " and pull", "discussion": " and not pull"}.get(kind, "")
    if status := request.first("status"):
        if status not in ("all", *STATES):
            raise HttpError(400, "status must be all, open or closed")
        condition += {
            "open": " and status in ('open', 'draft')",
            "closed": " and status in ('closed', 'merged')",
        }.get(status, "")
    if author := request.first("author"):
        condition, values = f"{condition} and author = ? collate nocase", [*values, author]
    store = request.hub.store
    # `condition` holds nothing but the fragments above; all values are bound.
    count = store.rows(f"select count(*) from discussion where {condition}", *values)[0][0]  # noqa: S608
    start = request.number("p", 0, 10**6) * MOST_LISTED
    rows = store.rows(
        f"select * from discussion where {condition} order by num desc limit ? offset ?",  # noqa: S608
        *(*values, MOST_LISTED, start),
    )
    summaries = [Discussion(repo=repo, num=row["num"], row=row).summary() for row in rows]
    return json_response({"count": count, "start": start, "discussions": summaries})


def create(request: Request, repo: Repo) -> Response:
    """POST discussions: open a discussion, or a pull request as a draft that starts at main."""
    request.known_user()
    body = request.json()
    title = body.text("title").strip()
    if not 3 <= len(title) <= 200:
        raise HttpError(400, "title must have 3 to 200 characters")
    description = body.text("description", "", most=MOST_COMMENT)
    is_pull_request = body.flag("pullRequest")
    with request.hub.git.lock(repo.id):
        tip, base = None, ""
        if is_pull_request:
            request.readable(repo)
            base = git.MAIN
            tip = git.find(request.hub.git.open(repo.id), "main").id
        status = "draft" if is_pull_request else "open"
        discussion = open_discussion(
            request, repo, title, description, base=base, tip=tip, status=status
        )
    return json_response(
        {"num": discussion.num, "url": f"{request.url(repo)}/discussions/{discussion.num}"}
    )


def details(request: Request, repo: Repo, num: str) -> Response:
    """GET one discussion with all events; a pull request also with its conflicts and its diff."""
    discussion = Discussion.load(request, repo, num)
    result = discussion.summary()
    result["events"] = [*discussion.events(request)]
    if discussion.row["pull"]:
        row = discussion.row
        git_repo = request.hub.git.open(repo.id)
        base, tip = git.head(git_repo, row["base"]), git.head(git_repo, discussion.ref)
        result["changes"] = {"base": row["base"]}
        result["filesWithConflicts"] = []
        if row["merged"]:
            result["changes"]["mergeCommitId"] = row["merged"]
            base = git_repo[row["head"]]
        elif base is not None and tip is not None:
            result["filesWithConflicts"] = git.merged_tree(git_repo, base.id, tip.id)[1]
        if request.flag("diff") and base is not None and tip is not None:
            request.readable(repo)
            result["diff"] = git.diff(git_repo, base.id, tip.id)
    return json_response(result)


def comment(request: Request, repo: Repo, num: str) -> Response:
    """POST comment: add a comment."""
    request.known_user()
    discussion = Discussion.load(request, repo, num)
    text = request.json().text("comment", most=MOST_COMMENT)
    if not text.strip():
        raise HttpError(400, "comment must not be empty")
    event = discussion.add_event(request, "comment", comment_data(request, text))
    _notify_comment(request, discussion, event, "create")
    return json_response({"newMessage": event})


def _notify_comment(
    request: Request, discussion: Discussion, event: dict[str, Any], action: str
) -> None:
    data, url = event["data"], f"{request.url(discussion.repo)}/discussions/{discussion.num}"
    payload: dict[str, Any] = {
        "id": event["id"],
        "author": {"id": event["author"]["name"]},
        "hidden": data["hidden"],
        "url": {"web": f"{url}#{event['id']}"},
    }
    if not data["hidden"]:
        payload["content"] = data["latest"]["raw"]
    request.hub.notify(
        discussion.repo,
        action,
        "discussion.comment",
        discussion=discussion.payload(request),
        comment=payload,
    )


def rewrite(request: Request, repo: Repo, num: str, id_: str, action: str) -> Response:
    """POST edit or hide of a comment; a hidden comment stays hidden and its text is deleted."""
    user = request.known_user()
    discussion = Discussion.load(request, repo, num)
    store = request.hub.store
    with store.transaction():
        row = store.row(
            "select * from event where repo = ? and num = ? and id = ? and type = 'comment'",
            *(repo.id, discussion.num, id_.lower()),
        )
        if row is None:
            raise HttpError(404, "Comment not found")
        if row["author"].lower() != user.lower() and not (
            action == "hide" and request.can_write(repo)
        ):
            raise HttpError(403, "Only the author may change a comment")
        data = json.loads(row["data"])
        if data["hidden"]:
            raise HttpError(400, "A hidden comment cannot be changed")
        if action == "edit":
            text = request.json().text("content", most=MOST_COMMENT)
            data |= {"history": [*data["history"], data["latest"]], "edited": True}
            data["latest"] = comment_version(request, text)
        else:
            data |= {"hidden": True, "history": [], "latest": comment_version(request, "")}
        store.run("update event set data = ? where id = ?", json.dumps(data), row["id"])
    event = event_data(row["id"], "comment", row["created"], row["author"], data)
    _notify_comment(request, discussion, event, "update")
    return json_response({"updatedComment": event})


def retitle(request: Request, repo: Repo, num: str) -> Response:
    """POST title: change the title."""
    discussion = Discussion.load(request, repo, num)
    discussion.check_may_change(request)
    title = request.json().text("title").strip()
    if not 3 <= len(title) <= 200:
        raise HttpError(400, "title must have 3 to 200 characters")
    with request.hub.store.transaction():
        request.hub.store.run(
            "update discussion set title = ? where repo = ? and num = ?",
            title,
            repo.id,
            discussion.num,
        )
        event = discussion.add_event(
            request, "title-change", {"from": discussion.row["title"], "to": title}
        )
    request.hub.notify(
        repo, "update", "discussion", discussion=discussion.reload(request).payload(request)
    )
    return json_response({"newTitle": event})


def set_status(request: Request, repo: Repo, num: str) -> Response:
    """POST status: open or close it."""
    discussion = Discussion.load(request, repo, num)
    discussion.check_may_change(request)
    body = request.json()
    status = body.text("status")
    if status not in STATES:
        raise HttpError(400, "status must be open or closed")
    comment_text = body.text("comment", "", most=MOST_COMMENT)
    with request.hub.git.lock(repo.id):
        discussion = discussion.reload(request)
        if discussion.row["status"] == "merged":
            raise HttpError(400, "A merged pull request cannot be opened or closed")
        if discussion.row["status"] == status:
            raise HttpError(400, f"The status is already {status}")
        event = _new_status(request, discussion, status, comment_text)
    return json_response({"newStatus": event})


def _new_status(
    request: Request, discussion: Discussion, status: str, comment_text: str
) -> dict[str, Any]:
    with request.hub.store.transaction():
        request.hub.store.run(
            "update discussion set status = ? where repo = ? and num = ?",
            *(status, discussion.repo.id, discussion.num),
        )
        if comment_text.strip():
            discussion.add_event(request, "comment", comment_data(request, comment_text))
        event = discussion.add_event(request, "status-change", {"status": status})
    payload = discussion.reload(request).payload(request)
    request.hub.notify(discussion.repo, "update", "discussion", discussion=payload)
    return event


def merge(request: Request, repo: Repo, num: str) -> Response:
    """POST merge: apply the pull request's changes as one commit on its base."""
    user = request.known_user()
    discussion = Discussion.load(request, repo, num)
    request.writable(repo)
    comment_text = request.json().text("comment", "", most=MOST_COMMENT)
    with request.hub.git.lock(repo.id):
        row = (discussion := discussion.reload(request)).row
        if not row["pull"]:
            raise HttpError(400, "This is a discussion, not a pull request")
        if row["status"] != "open":
            hint = "; set its status to open first" if row["status"] == "draft" else ""
            raise HttpError(400, f"This pull request is {row['status']}{hint}")
        git_repo = request.hub.git.open(repo.id)
        base, tip = git.head(git_repo, row["base"]), git.head(git_repo, discussion.ref)
        if base is None or tip is None:
            raise HttpError(409, "The target branch of this pull request was deleted")
        tree, conflicts = git.merged_tree(git_repo, base.id, tip.id)
        if tree is None:
            raise HttpError(409, f"This pull request has conflicts in {', '.join(conflicts[:20])}")
        oid = git.commit(git_repo, tree, [base.id], user, _message(git_repo, discussion, base, tip))
        # The status comes last: if the server is killed before it, the pull request is still open
        # and can be merged again.
        request.hub.store.run(
            "update discussion set head = ?, merged = ? where repo = ? and num = ?",
            *(str(base.id), str(oid), repo.id, discussion.num),
        )
        git_repo.references.create(row["base"], oid, force=True)
        event = _new_status(request, discussion, "merged", comment_text)
    change = {"ref": row["base"], "oldSha": str(base.id), "newSha": str(oid)}
    request.hub.notify(repo, "update", "repo.content", refs=[change])
    return json_response({"newStatus": event, "mergeCommitId": str(oid)})


def _message(git_repo: Any, discussion: Discussion, base: Any, tip: Any) -> str:
    """The commit message of a merge, as the Hub writes it: title, number, and merged commits."""
    lines = [
        f"- {commit.message.partition(chr(10))[0]} ({commit.id})"
        for commit in git.own_commits(git_repo, base.id, tip.id)
    ]
    return "\n".join(
        [f"{discussion.row['title']} (#{discussion.num})", "", *reversed(lines[:100])]
    ).strip()
