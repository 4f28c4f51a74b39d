"""One request: what it asks for, who asks, and the rights that decide whether it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from builders.hub_server import names
from builders.hub_server.git import Git
from builders.hub_server.lfs import Lfs, Signer
from builders.hub_server.responses import (
    HttpError,
    Redirect,
    Response,
    entry_not_found,
    json_response,
    repo_not_found,
)
from builders.hub_server.store import Repo, Store
from builders.hub_server.xet import XetStore


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The parts of a running Hub."""

    data: Path
    store: Store
    git: Git
    lfs: Lfs
    signer: Signer
    owner: str
    instance_id: str
    """Random and kept with the data: part of the addresses that clients cache by."""
    notify: Callable[..., None] = field(repr=False)
    """Hands an event to the webhooks: `tell(repo, action, scope, **facts)`."""
    xet: dict[str, XetStore] = field(default_factory=dict)
    """The Xet stores that are open, by the space that their users' tokens name."""


@dataclass(kw_only=True)
class Request:
    """A request on its way through the routes."""

    hub: Hub
    method: str
    parts: Sequence[str]
    """The path's segments, each decoded for itself."""
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    endpoint: str
    target: str
    """Raw path and query, as they came."""
    user: str | None = None
    body: bytes = b""
    spool: BinaryIO | None = None
    repo_found: Repo | None = None
    """The repository that the request turned out to be about."""

    def first(self, key: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for name, value in self.query if name == key), default)

    def values(self, key: str) -> list[str]:
        """All values of a query parameter, also when written as `key[]`."""
        return [value for name, value in self.query if name in (key, f"{key}[]")]

    def flag(self, key: str) -> bool:
        """Whether a query parameter says yes."""
        return self.first(key).lower() in ("1", "true", "yes")

    def number(self, key: str, default: int, most: int) -> int:
        """A query parameter from 0 to `most`."""
        text = self.first(key)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise HttpError(400, f"{key} must be a number, not {text[:40]!r}")
        return min(int(text), most)

    def json(self) -> Body:
        """The body, which must be a JSON object."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise HttpError(400, "The body must be JSON") from None
        if not isinstance(value, dict):
            raise HttpError(400, "The body must be a JSON object")
        return Body(value)

    def known_user(self) -> str:
        """Who asks.

        Raises:
            Refused: Nobody known.
        """
        if self.user is None:
            raise HttpError(401, "Invalid username or password.", "Unauthorized")
        return self.user

    def repo(self, type_: str, namespace: str, name: str) -> Repo:
        """A repository that the user may know of.

        Raises:
            Refused: RepoNotFound: there is none, or it is private.
            Elsewhere: It has a new name.
        """
        full = f"{namespace}/{name}"
        store = self.hub.store
        found = store.repo(type_, full) if names.is_name(name) else None
        if found is not None and store.can_see(self.user, found):
            self.repo_found = found
            return found
        moved = None if found else store.repo_moved_from(type_, full)
        if moved is not None and store.can_see(self.user, moved):
            old_path = "/".join(quote(part, safe="") for part in (namespace, name))
            location = self.target.replace(f"/{old_path}", f"/{moved.name}", 1)
            if location != self.target:
                raise Redirect(location)
        raise repo_not_found(self.user is not None)

    def readable(self, repo: Repo) -> Repo:
        """The same repository if the user may have its files.

        Raises:
            Refused: GatedRepo.
        """
        if not self.hub.store.can_read(self.user, repo):
            raise HttpError(
                403 if self.user else 401,
                f"Access to {repo.kind} {repo.name} is restricted; ask for access to it first.",
                "GatedRepo",
            )
        return repo

    def can_write(self, repo: Repo) -> bool:
        """Whether the user may write to the repository itself."""
        return self.hub.store.can_write(self.user, repo.name.split("/")[0])

    def writable(self, repo: Repo) -> Repo:
        """The same repository if the user may write to it.

        Raises:
            Refused: 401 without a token, 403 with the wrong one.
        """
        self.known_user()
        if not self.can_write(repo):
            raise HttpError(
                403,
                f"Forbidden: you have no write access to {repo.kind} {repo.name}; "
                "pass `create_pr=1` as a query parameter to create a Pull Request",
            )
        return repo

    def url(self, repo: Repo) -> str:
        """A repository's address."""
        return f"{self.endpoint}/{names.PREFIX[repo.type]}{repo.name}"

    def page_bounds(self, most: int, default: int | None = None) -> tuple[int, int]:
        """The first item of the page that is asked for, and the first behind it."""
        start = self.number("cursor", 0, 10**9)
        return start, start + (self.number("limit", default or most, most) or most)

    def page(
        self, items: Sequence[Any], most: int, default: int | None = None, path: str = ""
    ) -> Response:
        """One page of the items, and the address of the next; `path` if it is not this one."""
        start, end = self.page_bounds(most, default)
        headers = {}
        if end < len(items):
            rest = [(key, value) for key, value in self.query if key != "cursor"]
            query = urlencode([*rest, ("cursor", str(end))])
            path = path or self.target.partition("?")[0]
            headers["Link"] = f'<{self.endpoint}{path}?{query}>; rel="next"'
        return json_response(list(items[start:end]), headers=headers)


class Body:
    """A JSON object from outside: each value is asked for by its type."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def text(self, key: str, default: str | None = None, most: int = 1 << 20) -> str:
        """A string; required if there is no default."""
        value = self.value.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or len(value) > most:
            raise HttpError(400, f"{key} must be a string of at most {most} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise HttpError(400, f"{key} must be valid Unicode") from None
        return value

    def flag(self, key: str) -> bool:
        """A truth value, false if absent."""
        value = self.value.get(key, False)
        if not isinstance(value, bool) and value is not None:
            raise HttpError(400, f"{key} must be true or false")
        return bool(value)

    def whole(self, key: str) -> int | None:
        """A number of at least 0, None if absent."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
            raise HttpError(400, f"{key} must be a whole number of at least 0")
        return value

    def objects(self, key: str) -> list[Body]:
        """A list of objects, empty if absent."""
        value = self.value.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise HttpError(400, f"{key} must be a list of objects")
        return [Body(item) for item in value]

    def texts(self, key: str) -> list[str]:
        """A list of strings, empty if absent."""
        value = self.value.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise HttpError(400, f"{key} must be a list of strings")
        return value


def split_revision(parts: Sequence[str]) -> tuple[str, str]:
    """Revision and path from the segments behind a route's name.

    The revision is one encoded segment, or a reference's three (`refs/pr/1`) not encoded.
    """
    length = 3 if len(parts) > 2 and parts[0] == "refs" else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def checked_path(path: str) -> str:
    """The path of a file to read; one that no file can have is not there."""
    if names.path_problem(path):
        raise entry_not_found()
    return path
