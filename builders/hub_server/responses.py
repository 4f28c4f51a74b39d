"""Responses, and the errors that the clients turn into exceptions of their own."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Response:
    """An HTTP response, whose content is one of `body`, `file` and `stream`.

    Attributes:
        status: The HTTP status.
        headers: The headers; Content-Length is added for a `body`.
        body: The content in memory.
        file: A file to send: its path, the first byte, and the number of bytes.
        stream: Chunks of a content of unknown length; an empty chunk ends it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: tuple[Path, int, int] | None = None
    stream: Generator[bytes] | None = None


class HttpError(Exception):
    """An error response, which the clients turn into an exception by its status and code.

    Attributes:
        status: The HTTP status.
        message: What is wrong, for people.
        code: The value of X-Error-Code such as `RepoNotFound`; empty for errors without one.
        headers: Further headers of the response.
        extra: Further keys of the JSON body.
    """

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.extra: dict[str, Any] = {}

    def response(self) -> Response:
        """The response, with the code and the message in the headers that clients read."""
        text = "".join(
            character if " " <= character <= "~" else "?"
            for character in " ".join(self.message.split())
        )
        headers = {"X-Error-Message": text[:1000].rstrip(), **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return json_response({"error": self.message, **self.extra}, self.status, headers)


class Redirect(Exception):
    """The repository was renamed; the client repeats the request at `location`."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with this value as JSON."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
    )


def repo_not_found(known_user: bool) -> HttpError:
    """The same error for a missing and for a private repository, so that no one learns which."""
    if known_user:
        return HttpError(404, "Repository not found", "RepoNotFound")
    return HttpError(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> HttpError:
    """The error for a name that is no branch, tag, reference or commit."""
    return HttpError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(commit: str = "") -> HttpError:
    """The error for a missing file; given the commit's id, clients cache that it is missing."""
    headers = {"X-Repo-Commit": commit} if commit else None
    return HttpError(404, "Entry not found", "EntryNotFound", headers)


def now() -> str:
    """The current time in the Hub's format."""
    return timestamp(datetime.now(UTC).timestamp())


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in the Hub's format: ISO 8601 in UTC with milliseconds."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
