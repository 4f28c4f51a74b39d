"""What a request is answered with: bytes, a file or a stream; or a refusal the clients can name."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Response:
    """One HTTP answer; of body, file and stream exactly one counts."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: tuple[Path, int, int] | None = None
    """Path, first byte, number of bytes."""
    stream: Generator[bytes] | None = None


class HttpError(Exception):
    """A request that is not served; status, code and message are what clients raise errors from."""

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
        """The refusal on the wire: its code and message stand in headers, as clients expect."""
        text = "".join(
            character if " " <= character <= "~" else "?"
            for character in " ".join(self.message.split())
        )
        headers = {"X-Error-Message": text[:1000].rstrip(), **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return json_response({"error": self.message, **self.extra}, self.status, headers)


class Redirect(Exception):
    """The repository has a new name; the same request goes to `location`."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Value as JSON."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
    )


def repo_not_found(known_user: bool) -> HttpError:
    """The one answer to a missing and to a private repository, so that nobody can tell which."""
    if known_user:
        return HttpError(404, "Repository not found", "RepoNotFound")
    return HttpError(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> HttpError:
    """No branch, tag, reference or commit has this name."""
    return HttpError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(commit: str = "") -> HttpError:
    """The revision holds no such file; `commit` lets clients remember that it does not."""
    headers = {"X-Repo-Commit": commit} if commit else None
    return HttpError(404, "Entry not found", "EntryNotFound", headers)


def now() -> str:
    """The time as the Hub writes it."""
    return timestamp(datetime.now(UTC).timestamp())


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as the Hub writes a time."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
