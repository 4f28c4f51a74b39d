"""An HTTP request to the Hub: its parsed parts, its user, and the checks of the user's rights."""

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
    """The parts of a running Hub.

    Attributes:
        data: The data folder.
        owner: The user who owns every organisation that comes into being with its first repository.
        instance_id: A random id of this data folder, part of the URLs that Xet clients cache by.
        notify: Sends an event to the webhooks: `notify(repo, action, scope, **details)`.
        xet: The open Xet stores, by the name in their users' tokens.
    """

    data: Path
    store: Store
    git: Git
    lfs: Lfs
    signer: Signer
    owner: str
    instance_id: str
    notify: Callable[..., None] = field(repr=False)
    xet: dict[str, XetStore] = field(default_factory=dict)


@dataclass(kw_only=True)
class Request:
    """A request on its way through the routes.

    Attributes:
        hub: The Hub that serves it.
        method: The HTTP method, in capitals.
        parts: The segments of the path, split before they were decoded; never empty.
        query: The query parameters in order, decoded.
        headers: The headers, by name in lower case.
        endpoint: The Hub's URL as the client addressed it, without a slash at the end.
        target: The raw path and query.
        user: The name of the user whose token was sent; None for an anonymous request.
        body: The whole body; empty if it is in `spool` or is streamed to a file.
        spool: A temporary file with the body of a commit, else None.
        repo_found: The repository that the request is about, once it was looked up.
    """

    hub: Hub
    method: str
    parts: Sequence[str]
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    endpoint: str
    target: str
    user: str | None = None
    body: bytes = b""
    spool: BinaryIO | None = None
    repo_found: Repo | None = None

    def first(self, key: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for name, value in self.query if name == key), default)

    def values(self, key: str) -> list[str]:
        """All values of a query parameter, which may also be written `key[]`."""
        return [value for name, value in self.query if name in (key, f"{key}[]")]

    def flag(self, key: str) -> bool:
        """Whether a query parameter is 1, true or yes, in any case."""
        return self.first(key).lower() in ("1", "true", "yes")

    def number(self, key: str, default: int, most: int) -> int:
        """A query parameter that is a number of at least 0; larger ones count as `most`."""
        text = self.first(key)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise HttpError(400, f"{key} must be a whole number, not {text[:40]!r}")
        return min(int(text), most)

    def json(self) -> Body:
        """The body, which must be a JSON object; an empty body is an empty object."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise HttpError(400, "The body must be JSON") from None
        if not isinstance(value, dict):
            raise HttpError(400, "The body must be a JSON object")
        return Body(value)

    def known_user(self) -> str:
        """The name of the user.

        Raises:
            HttpError: 401, the request is anonymous.
        """
        if self.user is None:
            raise HttpError(401, "Invalid username or password.", "Unauthorized")
        return self.user

    def repo(self, type_: str, namespace: str, name: str) -> Repo:
        """The repository of this name, if the user may see it.

        Raises:
            HttpError: RepoNotFound: it does not exist, or the user may not see it.
            Redirect: It was renamed.
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
        """The same repository, if the user may read its files.

        Raises:
            HttpError: GatedRepo: 401 for an anonymous request, else 403.
        """
        if not self.hub.store.can_read(self.user, repo):
            raise HttpError(
                403 if self.user else 401,
                f"Access to {repo.kind} {repo.name} is restricted; request access to it first.",
                "GatedRepo",
            )
        return repo

    def can_write(self, repo: Repo) -> bool:
        """Whether the user may write to the repository, not only open pull requests."""
        return self.hub.store.can_write(self.user, repo.name.split("/")[0])

    def writable(self, repo: Repo) -> Repo:
        """The same repository, if the user may write to it.

        Raises:
            HttpError: 401 for an anonymous request, else 403.
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
        """The URL of a repository's page."""
        return f"{self.endpoint}/{names.PREFIX[repo.type]}{repo.name}"

    def page_bounds(self, most: int, default: int | None = None) -> tuple[int, int]:
        """The index of the requested page's first item, and the index after its last item."""
        start = self.number("cursor", 0, 10**9)
        return start, start + (self.number("limit", default or most, most) or most)

    def page(
        self, items: Sequence[Any], most: int, default: int | None = None, path: str = ""
    ) -> Response:
        """The requested page of the items, with a Link header to the next page if there is one.

        Args:
            items: All items, or at least those up to one after the page; those before the page
                may be None.
            most: The largest page that a client may request.
            default: The length of a page if the client gives none; None means `most`.
            path: The path of the next page, if it differs from this request's.
        """
        start, end = self.page_bounds(most, default)
        headers = {}
        if end < len(items):
            rest = [(key, value) for key, value in self.query if key != "cursor"]
            query = urlencode([*rest, ("cursor", str(end))])
            path = path or self.target.partition("?")[0]
            headers["Link"] = f'<{self.endpoint}{path}?{query}>; rel="next"'
        return json_response(list(items[start:end]), headers=headers)


class Body:
    """A JSON object from a client; each method reads one value and checks its type.

    All methods raise HttpError 400 for a value of another type.
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def text(self, key: str, default: str | None = None, most: int = 1 << 20) -> str:
        """A string of at most `most` characters; required if there is no default."""
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
        """A boolean; False if absent or null."""
        value = self.value.get(key, False)
        if not isinstance(value, bool) and value is not None:
            raise HttpError(400, f"{key} must be true or false")
        return bool(value)

    def whole(self, key: str) -> int | None:
        """A whole number of at least 0; None if absent or null."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
            raise HttpError(400, f"{key} must be a whole number of at least 0")
        return value

    def objects(self, key: str) -> list[Body]:
        """A list of objects; empty if absent or null."""
        value = self.value.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise HttpError(400, f"{key} must be a list of objects")
        return [Body(item) for item in value]

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty if absent or null."""
        value = self.value.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise HttpError(400, f"{key} must be a list of strings")
        return value


def split_revision(parts: Sequence[str]) -> tuple[str, str]:
    """The revision and the path in the segments that follow a route's name.

    A revision is one segment, with its slashes encoded, or the three segments of an unencoded
    reference such as `refs/pr/1`.
    """
    length = 3 if len(parts) > 2 and parts[0] == "refs" else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def checked_path(path: str) -> str:
    """The same path; raises EntryNotFound for a path that no file can have."""
    if names.path_problem(path):
        raise entry_not_found()
    return path
