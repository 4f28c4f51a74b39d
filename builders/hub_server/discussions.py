"""A discussion or a pull request: its database row, its events, and who may change it."""

from __future__ import annotations

import html
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from builders.hub_server.request import Request
from builders.hub_server.responses import (
    HttpError,
    now,
    revision_not_found,
)
from builders.hub_server.store import Repo

STATES = {"open": ("open", "draft"), "closed": ("closed", "merged")}


@dataclass(frozen=True, kw_only=True)
class Discussion:
    """A discussion or a pull request.

    Attributes:
        repo: The repository it belongs to.
        num: Its number in the repository, from 1 on.
        row: Its row in the table `discussion`, as it was when it was loaded.
    """

    repo: Repo
    num: int
    row: sqlite3.Row

    @property
    def ref(self) -> str:
        """The git reference of the pull request's commits."""
        return f"refs/pr/{self.num}"

    @classmethod
    def load(cls, request: Request, repo: Repo, num: str) -> Discussion:
        """The discussion or pull request with this number, as it is in the URL.

        Raises:
            HttpError: 404, the repository has none with this number.
        """
        row = None
        if num.isascii() and num.isdigit() and len(num) < 10:
            row = request.hub.store.row(
                "select * from discussion where repo = ? and num = ?", repo.id, int(num)
            )
        if row is None:
            raise HttpError(404, "Discussion not found")
        return cls(repo=repo, num=row["num"], row=row)

    @classmethod
    def for_push(cls, request: Request, repo: Repo, revision: str) -> Discussion | None:
        """The pull request that a commit to this revision belongs to; None for other revisions.

        Raises:
            HttpError: The pull request does not exist, is closed or merged, or the user may not
                push to it.
        """
        match = re.fullmatch(r"refs/pr/(\d{1,9})", revision)
        if match is None:
            return None
        try:
            discussion = cls.load(request, repo, match[1])
        except HttpError:
            raise revision_not_found(revision) from None
        if not (discussion.opened_by_user(request) or request.can_write(repo)):
            raise HttpError(
                403, "Only the author and the repository's owners may push to a pull request"
            )
        if discussion.row["status"] not in STATES["open"]:
            raise HttpError(
                403, f"This pull request is {discussion.row['status']}; nothing can be pushed"
            )
        return discussion

    def opened_by_user(self, request: Request) -> bool:
        """Whether the user is its author."""
        return request.user is not None and self.row["author"].lower() == request.user.lower()

    def check_may_change(self, request: Request) -> None:
        """Raise unless the user is its author or may write to the repository."""
        request.known_user()
        if not (self.opened_by_user(request) or request.can_write(self.repo)):
            raise HttpError(403, "Only the author and the repository's owners may change this")

    def add_event(self, request: Request, type_: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add an event by the user, and return it as the API shows it."""
        user, created = request.known_user(), now()
        event_id = secrets.token_hex(12)
        request.hub.store.run(
            "insert into event values (?, ?, ?, ?, ?, ?, ?)",
            *(event_id, self.repo.id, self.num, type_, created, user, json.dumps(data)),
        )
        return event_data(event_id, type_, created, user, data)

    def events(self, request: Request) -> Iterator[dict[str, Any]]:
        """All its events, the oldest first, as the API shows them."""
        rows = request.hub.store.rows(
            "select * from event where repo = ? and num = ? order by rowid", self.repo.id, self.num
        )
        for e in rows:
            yield event_data(e["id"], e["type"], e["created"], e["author"], json.loads(e["data"]))

    def reload(self, request: Request) -> Discussion:
        """The same discussion with its current row."""
        return Discussion.load(request, self.repo, str(self.num))

    def summary(self) -> dict[str, Any]:
        """Its entry in the list of discussions."""
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

    def payload(self, request: Request) -> dict[str, Any]:
        """Its description in the payload of a webhook."""
        row, url = self.row, f"{request.url(self.repo)}/discussions/{self.num}"
        payload: dict[str, Any] = {
            "id": f"{self.repo.id}-{self.num}",
            "num": self.num,
            "author": {"id": row["author"]},
            "url": {
                "web": url,
                "api": f"{request.endpoint}/api/{self.repo.type}/{self.repo.name}"
                f"/discussions/{self.num}",
            },
            "title": row["title"],
            "isPullRequest": bool(row["pull"]),
            "status": row["status"],
        }
        if row["pull"]:
            payload["changes"] = {"base": row["base"]}
            if row["merged"]:
                payload["changes"]["mergeCommitId"] = row["merged"]
        return payload


def open_discussion(
    request: Request, repo: Repo, title: str, description: str, *, base: str, tip: Any, status: str
) -> Discussion:
    """Open a discussion or a pull request; the caller holds the repository's lock.

    Args:
        request: The request of the author.
        repo: The repository to open it in.
        title: The first 200 characters of its title.
        description: Its first comment; none is added if this is empty.
        base: The reference that a pull request will be merged into; empty for a discussion.
        tip: The commit that a pull request's own reference starts at; None for a discussion.
        status: `open` or `draft`.
    """
    store = request.hub.store
    found = store.row("select max(num) as most from discussion where repo = ?", repo.id)
    num = ((found["most"] if found else None) or 0) + 1
    if tip is not None:
        request.hub.git.open(repo.id).references.create(f"refs/pr/{num}", tip, force=True)
    store.run(
        "insert into discussion values (?, ?, ?, ?, ?, ?, ?, ?, null, null)",
        *(repo.id, num, title.strip()[:200], status, tip is not None, request.known_user(), now()),
        base or None,
    )
    discussion = Discussion.load(request, repo, str(num))
    if description:
        discussion.add_event(request, "comment", comment_data(request, description))
    request.hub.notify(repo, "create", "discussion", discussion=discussion.payload(request))
    return discussion


def comment_data(request: Request, text: str) -> dict[str, Any]:
    """The data of the event that adds a comment by the user."""
    return {
        "edited": False,
        "hidden": False,
        "latest": comment_version(request, text),
        "history": [],
    }


def comment_version(request: Request, text: str) -> dict[str, Any]:
    """One version of a comment, written by the user now."""
    return {
        "raw": text,
        "html": f"<p>{html.escape(text)}</p>",
        "updatedAt": now(),
        "author": {"name": request.known_user(), "type": "user"},
    }


def event_data(id_: str, type_: str, created: str, author: str, data: Any) -> dict[str, Any]:
    """An event as the API shows it."""
    return {
        "id": id_,
        "type": type_,
        "createdAt": created,
        "author": {"name": author, "type": "user"},
        "data": data,
    }
