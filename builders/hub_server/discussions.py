"""Discussions and pull requests: what is said, and branches that are merged or refused."""

from __future__ import annotations

import html
import json
import re
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from builders.hub_server import git
from builders.hub_server.request import Request
from builders.hub_server.responses import Refused, Response, as_json, no_revision, now
from builders.hub_server.store import Repo

MOST_LISTED = 50
MOST_COMMENT = 65_536
STATES = {"open": ("open", "draft"), "closed": ("closed", "merged")}


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A discussion, or a pull request with its reference."""

    repo: Repo
    num: int
    row: sqlite3.Row

    @property
    def ref(self) -> str:
        """The reference that the pull request's commits go to."""
        return f"refs/pr/{self.num}"

    @classmethod
    def found(cls, call: Request, repo: Repo, num: str) -> Pull:
        """The discussion of that number.

        Raises:
            Refused: 404.
        """
        row = None
        if num.isascii() and num.isdigit() and len(num) < 10:
            row = call.hub.store.row(
                "select * from discussion where repo = ? and num = ?", repo.id, int(num)
            )
        if row is None:
            raise Refused(404, "Discussion not found")
        return cls(repo=repo, num=row["num"], row=row)

    @classmethod
    def pushed(cls, call: Request, repo: Repo, revision: str) -> Pull | None:
        """The pull request that a commit to this revision goes to; None if it is a branch.

        Raises:
            Refused: It is closed or merged, or somebody else's.
        """
        named = re.fullmatch(r"refs/pr/(\d{1,9})", revision)
        if named is None:
            return None
        try:
            pull = cls.found(call, repo, named[1])
        except Refused:
            raise no_revision(revision) from None
        if not (pull.mine(call) or call.writes(repo)):
            raise Refused(403, "Only its author and the repository's owners push to a pull request")
        if pull.row["status"] not in STATES["open"]:
            raise Refused(403, f"This pull request is {pull.row['status']}; nothing can be pushed")
        return pull

    def mine(self, call: Request) -> bool:
        """Whether the user opened it."""
        return call.user is not None and self.row["author"].lower() == call.user.lower()

    def mine_to_change(self, call: Request) -> None:
        """Refuse unless the user opened it or may write to the repository."""
        call.known_user()
        if not (self.mine(call) or call.writes(self.repo)):
            raise Refused(403, "Only its author and the repository's owners may change this")

    def note(self, call: Request, type_: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add an event; the event."""
        user, at = call.known_user(), now()
        event_id = secrets.token_hex(12)
        call.hub.store.run(
            "insert into event values (?, ?, ?, ?, ?, ?, ?)",
            *(event_id, self.repo.id, self.num, type_, at, user, json.dumps(data)),
        )
        return _event_told(event_id, type_, at, user, data)

    def again(self, call: Request) -> Pull:
        """The same as it is now."""
        return Pull.found(call, self.repo, str(self.num))

    def told(self) -> dict[str, Any]:
        """What a list says about it."""
        row = self.row
        return {
            "num": row["num"],
            "title": row["title"],
            "status": row["status"],
            "isPullRequest": bool(row["pull"]),
            "author": {"name": row["author"], "type": "user"},
            "createdAt": row["created"],
            "repo": {"name": self.repo.name, "type": self.repo.kind},
            "pinned": False,
        }

    def facts(self, call: Request) -> dict[str, Any]:
        """What webhooks say about it."""
        row, url = self.row, f"{call.url(self.repo)}/discussions/{self.num}"
        facts: dict[str, Any] = {
            "id": f"{self.repo.id}-{self.num}",
            "num": self.num,
            "author": {"id": row["author"]},
            "url": {
                "web": url,
                "api": f"{call.endpoint}/api/{self.repo.type}/{self.repo.name}"
                f"/discussions/{self.num}",
            },
            "title": row["title"],
            "isPullRequest": bool(row["pull"]),
            "status": row["status"],
        }
        if row["pull"]:
            facts["changes"] = {"base": row["base"]}
            if row["merged"]:
                facts["changes"]["mergeCommitId"] = row["merged"]
        return facts


def open_pull(
    call: Request, repo: Repo, title: str, description: str, base: str, tip: Any, status: str
) -> Pull:
    """A new pull request whose reference is at `tip`; the caller holds the repository's lock."""
    return _opened(call, repo, title, description, base=base, tip=tip, status=status)


def _opened(
    call: Request, repo: Repo, title: str, description: str, *, base: str, tip: Any, status: str
) -> Pull:
    store = call.hub.store
    found = store.row("select max(num) as most from discussion where repo = ?", repo.id)
    num = ((found["most"] if found else None) or 0) + 1
    if tip is not None:
        call.hub.git.open(repo.id).references.create(f"refs/pr/{num}", tip, force=True)
    store.run(
        "insert into discussion values (?, ?, ?, ?, ?, ?, ?, ?, null, null)",
        *(repo.id, num, title.strip()[:200], status, tip is not None, call.known_user(), now()),
        base or None,
    )
    pull = Pull.found(call, repo, str(num))
    if description:
        pull.note(call, "comment", _comment(call, description))
    call.hub.tell(repo, "create", "discussion", discussion=pull.facts(call))
    return pull


def _comment(call: Request, text: str) -> dict[str, Any]:
    return {"edited": False, "hidden": False, "latest": _version(call, text), "history": []}


def _version(call: Request, text: str) -> dict[str, Any]:
    return {
        "raw": text,
        "html": f"<p>{html.escape(text)}</p>",
        "updatedAt": now(),
        "author": {"name": call.known_user(), "type": "user"},
    }


def _event_told(id_: str, type_: str, at: str, author: str, data: Any) -> dict[str, Any]:
    who = {"name": author, "type": "user"}
    return {"id": id_, "type": type_, "createdAt": at, "author": who, "data": data}


def listing(call: Request, repo: Repo) -> Response:
    """GET the discussions, newest first."""
    wanted, values = "repo = ?", [repo.id]
    if kind := call.first("type"):
        if kind not in ("all", "discussion", "pull_request"):
            raise Refused(400, "type must be all, discussion or pull_request")
        wanted += {"pull_request": " and pull", "discussion": " and not pull"}.get(kind, "")
    if status := call.first("status"):
        if status not in ("all", *STATES):
            raise Refused(400, "status must be all, open or closed")
        wanted += {
            "open": " and status in ('open', 'draft')",
            "closed": " and status in ('closed', 'merged')",
        }.get(status, "")
    if author := call.first("author"):
        wanted, values = f"{wanted} and author = ? collate nocase", [*values, author]
    store = call.hub.store
    # `wanted` is made of the words above only.
    count = store.rows(f"select count(*) from discussion where {wanted}", *values)[0][0]  # noqa: S608
    start = call.number("p", 0, 10**6) * MOST_LISTED
    rows = store.rows(
        f"select * from discussion where {wanted} order by num desc limit ? offset ?",  # noqa: S608
        *(*values, MOST_LISTED, start),
    )
    told = [Pull(repo=repo, num=row["num"], row=row).told() for row in rows]
    return as_json({"count": count, "start": start, "discussions": told})


def create(call: Request, repo: Repo) -> Response:
    """POST a discussion or a pull request, which starts as a draft at main."""
    call.known_user()
    body = call.json()
    title = body.text("title").strip()
    if not 3 <= len(title) <= 200:
        raise Refused(400, "title must have 3 to 200 characters")
    description = body.text("description", "", most=MOST_COMMENT)
    is_pull = body.flag("pullRequest")
    with call.hub.git.lock(repo.id):
        tip, base = None, ""
        if is_pull:
            call.content(repo)
            base = git.MAIN
            tip = git.find(call.hub.git.open(repo.id), "main").id
        status = "draft" if is_pull else "open"
        pull = _opened(call, repo, title, description, base=base, tip=tip, status=status)
    return as_json({"num": pull.num, "url": f"{call.url(repo)}/discussions/{pull.num}"})


def details(call: Request, repo: Repo, num: str) -> Response:
    """GET one with all its events; of a pull request also its conflicts and its diff."""
    pull = Pull.found(call, repo, num)
    told = pull.told()
    told["events"] = [
        _event_told(e["id"], e["type"], e["created"], e["author"], json.loads(e["data"]))
        for e in call.hub.store.rows(
            "select * from event where repo = ? and num = ? order by rowid", repo.id, pull.num
        )
    ]
    if pull.row["pull"]:
        row = pull.row
        opened = call.hub.git.open(repo.id)
        base, tip = git.head(opened, row["base"]), git.head(opened, pull.ref)
        told["changes"] = {"base": row["base"]}
        told["filesWithConflicts"] = []
        if row["merged"]:
            told["changes"]["mergeCommitId"] = row["merged"]
            base = opened[row["head"]]
        elif base is not None and tip is not None:
            told["filesWithConflicts"] = git.merged(opened, base.id, tip.id)[1]
        if call.said("diff") and base is not None and tip is not None:
            call.content(repo)
            told["diff"] = git.diff(opened, base.id, tip.id)
    return as_json(told)


def comment(call: Request, repo: Repo, num: str) -> Response:
    """POST a comment."""
    call.known_user()
    pull = Pull.found(call, repo, num)
    text = call.json().text("comment", most=MOST_COMMENT)
    if not text.strip():
        raise Refused(400, "comment must not be empty")
    event = pull.note(call, "comment", _comment(call, text))
    _tell_comment(call, pull, event, "create")
    return as_json({"newMessage": event})


def _tell_comment(call: Request, pull: Pull, event: dict[str, Any], action: str) -> None:
    data, url = event["data"], f"{call.url(pull.repo)}/discussions/{pull.num}"
    said: dict[str, Any] = {
        "id": event["id"],
        "author": {"id": event["author"]["name"]},
        "hidden": data["hidden"],
        "url": {"web": f"{url}#{event['id']}"},
    }
    if not data["hidden"]:
        said["content"] = data["latest"]["raw"]
    facts = {"discussion": pull.facts(call), "comment": said}
    call.hub.tell(pull.repo, action, "discussion.comment", **facts)


def rewrite(call: Request, repo: Repo, num: str, id_: str, action: str) -> Response:
    """POST edit or hide of a comment; what is hidden stays hidden, and its words are gone."""
    user = call.known_user()
    pull = Pull.found(call, repo, num)
    store = call.hub.store
    with store.together():
        row = store.row(
            "select * from event where repo = ? and num = ? and id = ? and type = 'comment'",
            *(repo.id, pull.num, id_.lower()),
        )
        if row is None:
            raise Refused(404, "Comment not found")
        if row["author"].lower() != user.lower() and not (action == "hide" and call.writes(repo)):
            raise Refused(403, "Only its author may change a comment")
        data = json.loads(row["data"])
        if data["hidden"]:
            raise Refused(400, "A hidden comment cannot be changed")
        if action == "edit":
            text = call.json().text("content", most=MOST_COMMENT)
            data |= {"history": [*data["history"], data["latest"]], "edited": True}
            data["latest"] = _version(call, text)
        else:
            data |= {"hidden": True, "history": [], "latest": _version(call, "")}
        store.run("update event set data = ? where id = ?", json.dumps(data), row["id"])
    event = _event_told(row["id"], "comment", row["created"], row["author"], data)
    _tell_comment(call, pull, event, "update")
    return as_json({"updatedComment": event})


def retitle(call: Request, repo: Repo, num: str) -> Response:
    """POST a new title."""
    pull = Pull.found(call, repo, num)
    pull.mine_to_change(call)
    title = call.json().text("title").strip()
    if not 3 <= len(title) <= 200:
        raise Refused(400, "title must have 3 to 200 characters")
    with call.hub.store.together():
        call.hub.store.run(
            "update discussion set title = ? where repo = ? and num = ?", title, repo.id, pull.num
        )
        event = pull.note(call, "title-change", {"from": pull.row["title"], "to": title})
    call.hub.tell(repo, "update", "discussion", discussion=pull.again(call).facts(call))
    return as_json({"newTitle": event})


def set_status(call: Request, repo: Repo, num: str) -> Response:
    """POST open or closed."""
    pull = Pull.found(call, repo, num)
    pull.mine_to_change(call)
    body = call.json()
    status = body.text("status")
    if status not in STATES:
        raise Refused(400, "status must be open or closed")
    said = body.text("comment", "", most=MOST_COMMENT)
    with call.hub.git.lock(repo.id):
        pull = pull.again(call)
        if pull.row["status"] == "merged":
            raise Refused(400, "A merged pull request cannot be opened or closed")
        if pull.row["status"] == status:
            raise Refused(400, f"The status is {status} already")
        event = _new_status(call, pull, status, said)
    return as_json({"newStatus": event})


def _new_status(call: Request, pull: Pull, status: str, said: str) -> dict[str, Any]:
    with call.hub.store.together():
        call.hub.store.run(
            "update discussion set status = ? where repo = ? and num = ?",
            *(status, pull.repo.id, pull.num),
        )
        if said.strip():
            pull.note(call, "comment", _comment(call, said))
        event = pull.note(call, "status-change", {"status": status})
    facts = pull.again(call).facts(call)
    call.hub.tell(pull.repo, "update", "discussion", discussion=facts)
    return event


def merge(call: Request, repo: Repo, num: str) -> Response:
    """POST merge: the pull request's changes as one commit on its base."""
    user = call.known_user()
    pull = Pull.found(call, repo, num)
    call.writable(repo)
    said = call.json().text("comment", "", most=MOST_COMMENT)
    with call.hub.git.lock(repo.id):
        row = (pull := pull.again(call)).row
        if not row["pull"]:
            raise Refused(400, "This is a discussion, not a pull request")
        if row["status"] != "open":
            hint = "; set its status to open first" if row["status"] == "draft" else ""
            raise Refused(400, f"This pull request is {row['status']}{hint}")
        opened = call.hub.git.open(repo.id)
        base, tip = git.head(opened, row["base"]), git.head(opened, pull.ref)
        if base is None or tip is None:
            raise Refused(409, "The branch that this pull request goes to is gone")
        tree, conflicts = git.merged(opened, base.id, tip.id)
        if tree is None:
            raise Refused(409, f"This pull request has conflicts in {', '.join(conflicts[:20])}")
        oid = git.commit(opened, tree, [base.id], user, _message(opened, pull, base, tip))
        # The status last: after a kill in between the request is still open, to be merged again.
        call.hub.store.run(
            "update discussion set head = ?, merged = ? where repo = ? and num = ?",
            *(str(base.id), str(oid), repo.id, pull.num),
        )
        opened.references.create(row["base"], oid, force=True)
        event = _new_status(call, pull, "merged", said)
    change = {"ref": row["base"], "oldSha": str(base.id), "newSha": str(oid)}
    call.hub.tell(repo, "update", "repo.content", refs=[change])
    return as_json({"newStatus": event, "mergeCommitId": str(oid)})


def _message(opened: Any, pull: Pull, base: Any, tip: Any) -> str:
    """The Hub's way: the request's title and number, then the commits that it brings."""
    fork = opened.merge_base(base.id, tip.id)
    brought = []
    for at in git.ancestry(opened, tip.id):
        if at.id == fork:
            break
        brought.append(f"- {at.message.partition(chr(10))[0]} ({at.id})")
    return "\n".join([f"{pull.row['title']} (#{pull.num})", "", *reversed(brought[:100])]).strip()
