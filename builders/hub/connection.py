"""A Hub to speak to: its address and a token; what it refuses, said in one line."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builders.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where a Hub answers, and the token that it knows us by (None: as anybody)."""

    endpoint: str
    token: str | None = field(default=None, repr=False)

    def api(self) -> HfApi:
        """The client's own API, tied to this Hub and never to another."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token or False)

    def user(self) -> str:
        """The name that the token stands for.

        Raises:
            HubError: There is no token, or the Hub does not know it.
        """
        if not self.token:
            raise HubError(
                f"there is no token for {self.endpoint}; run `hf auth login`, or set HF_TOKEN"
            )
        with spoken(self, self.endpoint):
            name: str = self.api().whoami()["name"]
        return name


def from_environment() -> Hub:
    """The Hub that the client would speak to: HF_ENDPOINT or huggingface.co, with its token."""
    from huggingface_hub import constants, get_token

    return Hub(endpoint=os.environ.get("HF_ENDPOINT") or constants.ENDPOINT, token=get_token())


def file_to_add(path: str, content: Path | bytes) -> CommitOperationAdd:
    """A file, by its path in the repository, as one operation of a commit."""
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def is_on_this_machine(endpoint: str) -> bool:
    """Whether what is sent to this address stays here."""
    host = urlsplit(endpoint).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def spoken(hub: Hub, about: str) -> Iterator[None]:
    """Everything the client raises, as one line: what was refused, and what to do.

    `about` is what is spoken of: a repository, or the Hub itself.

    Raises:
        HubError: In place of the client's error.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"{about} on {hub.endpoint} is gated; ask its owners for access, then try again"
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{hub.endpoint} shows no repository {about!r}: it is not there, or private to this "
            "token; check the name and the token"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{about} has no such revision; check the tag, branch or commit") from None
    except errors.LocalEntryNotFoundError as error:  # a download that got no answer, no lack
        raise HubError(_silent(hub, error)) from None
    except errors.EntryNotFoundError as error:
        raise HubError(f"{about} lacks a file ({_first_line(error)}); check the revision") from None
    except errors.HFValidationError as error:
        raise HubError(f"{_first_line(error)}; mend the name") from None
    except errors.HfHubHTTPError as error:
        raise HubError(_refusal(hub, about, error)) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(
            "HF_HUB_OFFLINE is set, so no Hub can be reached; unset it and try again"
        ) from None
    except json.JSONDecodeError:  # the client trusts that an answer is JSON, also a failed one
        raise HubError(
            f"{hub.endpoint} answers with something else than a Hub does; see that it runs and "
            "that nothing stands between, then do the same again"
        ) from None
    except (OSError, _broken()) as error:
        raise HubError(_silent(hub, error)) from None


class MovedError(Exception):
    """A branch is not any more what a commit was made against; nothing was changed."""


@contextlib.contextmanager
def moved() -> Iterator[None]:
    """Tells a commit that came too late from all else that a Hub refuses.

    Raises:
        MovedError: In place of the client's error.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code == 412:
            raise MovedError from None
        raise


def _silent(hub: Hub, error: BaseException) -> str:
    return (
        f"{hub.endpoint} does not answer ({_first_line(error)}); see that it runs, then do "
        "the same again"
    )


def _broken() -> type[Exception]:
    """What the client's HTTP library raises for a connection that fails."""
    import httpx2

    broken: type[Exception] = httpx2.HTTPError
    return broken


def _refusal(hub: Hub, about: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    said = getattr(error, "server_message", None) or _first_line(error)
    if status == 401:
        return f"{hub.endpoint} does not know the token; give a valid one in HF_TOKEN"
    if status == 403:
        return f"no right to do this on {about} ({said}); ask its owners, or use another token"
    if status == 412:
        return f"{about} has moved in the meantime; do the same again"
    if status == 429:
        return f"{hub.endpoint} is asked too often just now; wait a little, then do the same again"
    if status >= 500:
        return f"{hub.endpoint} failed with {status}; nothing is lost; do the same again later"
    return f"{hub.endpoint} refused ({status}: {said}) for {about}; mend what it names"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")
