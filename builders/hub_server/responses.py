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


class Refused(Exception):
    """A request that is not served; status, code and message are what clients raise errors from."""

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.more: dict[str, Any] = {}

    def answer(self) -> Response:
        """The refusal on the wire: its code and message stand in headers, as clients expect."""
        said = "".join(one if " " <= one <= "~" else "?" for one in " ".join(self.message.split()))
        headers = {"X-Error-Message": said[:1000].rstrip(), **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return as_json({"error": self.message, **self.more}, self.status, headers)


class Elsewhere(Exception):
    """The repository has a new name; the same request goes to `location`."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Value as JSON."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
    )


def no_repo(known_user: bool) -> Refused:
    """The one answer to a missing and to a private repository, so that nobody can tell which."""
    if known_user:
        return Refused(404, "Repository not found", "RepoNotFound")
    return Refused(401, "Invalid username or password.", "RepoNotFound")


def no_revision(revision: str) -> Refused:
    """No branch, tag, reference or commit has this name."""
    return Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(commit: str = "") -> Refused:
    """The revision holds no such file; `commit` lets clients remember that it does not."""
    headers = {"X-Repo-Commit": commit} if commit else None
    return Refused(404, "Entry not found", "EntryNotFound", headers)


def now() -> str:
    """The time as the Hub writes it."""
    return moment(datetime.now(UTC).timestamp())


def moment(seconds: float) -> str:
    """Seconds since 1970 as the Hub writes a time."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
