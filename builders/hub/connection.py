"""The connection to a Hub: its address, its token, and its refusals as one-line errors."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builders.errors import HubError
from builders.hub_address import hub_address

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi


class NoRepositoryError(HubError):
    """There is no repository of this name, or the token may not see it."""


class NoRevisionError(HubError):
    """The repository has no such tag, branch or commit."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A Hub's address, the token to use (None: anonymous), and whether it is the embedded one."""

    endpoint: str
    token: str | None = field(default=None, repr=False)
    embedded: bool = False

    @property
    def title(self) -> str:
        """The Hub as it is printed before anything is sent there."""
        if self.embedded:
            return f"the embedded Hub on this machine ({self.endpoint})"
        return self.endpoint

    def api(self) -> HfApi:
        """The client's own API, bound to this Hub."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token or False)

    def user(self) -> str:
        """The name of the token's user.

        Raises:
            HubError: There is no token, or the Hub does not accept it.
        """
        if not self.token:
            raise HubError(no_token(self.endpoint))
        with client_errors(self, self.endpoint):
            name: str = self.api().whoami()["name"]
        return name


def from_environment() -> Hub:
    """The Hub that the client would use: HF_ENDPOINT or huggingface.co, with its token.

    Raises:
        InputError: HF_ENDPOINT is no address.
    """
    endpoint = hub_address()
    from huggingface_hub import get_token

    return Hub(endpoint=endpoint, token=get_token())


def no_token(endpoint: str) -> str:
    """The error where a Hub needs a token and there is none: how to log in."""
    how = "run `hf auth login`, or set HF_TOKEN"
    if is_on_this_machine(endpoint):
        how = "set HF_TOKEN to the token that `potstill hub` prints"
    return f"there is no token for {endpoint}; {how}"


def file_to_add(path: str, content: Path | bytes) -> CommitOperationAdd:
    """A file, by its path in the repository, as one operation of a commit."""
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def is_on_this_machine(endpoint: str) -> bool:
    """Whether the address is one of this machine."""
    host = urlsplit(endpoint).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def client_errors(hub: Hub, about: str) -> Iterator[None]:
    """Turn everything the client raises into one line: what was refused, and what to do.

    Args:
        hub: The Hub that is used inside.
        about: The repository, or the Hub's address.

    Raises:
        HubError: In place of the client's error.
    """
    from huggingface_hub import constants, errors

    offline = constants.HF_HUB_OFFLINE
    # It forbids the network, which a Hub on this machine does not need.
    constants.HF_HUB_OFFLINE = offline and not is_on_this_machine(hub.endpoint)
    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"{about} on {hub.endpoint} is gated; ask its owners for access, then try again"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NoRepositoryError(
            f"{hub.endpoint} has no repository {about!r}, or this token may not see it; check the "
            "name and the token"
        ) from None
    except errors.RevisionNotFoundError:
        raise NoRevisionError(
            f"{about} has no such revision; check the tag, branch or commit"
        ) from None
    except errors.LocalEntryNotFoundError as error:  # it got no answer
        raise HubError(_silent(hub, error)) from None
    except errors.EntryNotFoundError as error:
        raise HubError(f"{about} lacks a file ({_first_line(error)}); check the revision") from None
    except errors.HFValidationError as error:
        raise HubError(f"{_first_line(error)}; fix the name") from None
    except errors.HfHubHTTPError as error:
        raise HubError(_refusal(hub, about, error)) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(
            f"HF_HUB_OFFLINE is set, so {hub.endpoint} is not reached, only a Hub on this machine "
            "is; unset it and try again"
        ) from None
    # The client takes every answer for JSON of the form that it expects, failed ones too.
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise HubError(
            f"{hub.endpoint} does not answer as a Hub does; check that it runs and that no proxy "
            "answers in its place, then run the command again"
        ) from None
    except (OSError, _broken()) as error:
        raise HubError(_silent(hub, error)) from None
    finally:
        constants.HF_HUB_OFFLINE = offline


class MovedError(Exception):
    """A branch has moved since a commit was prepared; nothing was changed."""


@contextlib.contextmanager
def moved() -> Iterator[None]:
    """Turn the client's error for an outdated parent commit into MovedError.

    Raises:
        MovedError: The branch has moved.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code == 412:
            raise MovedError from None
        raise


def _silent(hub: Hub, error: BaseException) -> str:
    local = "" if is_on_this_machine(hub.endpoint) else "; for the embedded Hub name its --hub-data"
    return (
        f"{hub.endpoint} does not answer ({_first_line(error)}); check that it runs, then run the "
        f"command again{local}"
    )


def _broken() -> type[Exception]:
    """The base class of what the client's HTTP library raises for a failed connection."""
    import httpx2

    broken: type[Exception] = httpx2.HTTPError
    return broken


def _refusal(hub: Hub, about: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    reason = getattr(error, "server_message", None) or _first_line(error)
    if status == 401 and not hub.token:
        return no_token(hub.endpoint)
    if status == 401:
        return f"{hub.endpoint} does not accept the token; set a valid one in HF_TOKEN"
    if status == 403:
        return f"no right to do this on {about} ({reason}); ask its owners, or use another token"
    if status == 412:
        return f"{about} has moved in the meantime; run the command again"
    if status == 429:
        return (
            f"{hub.endpoint} limits the rate of requests; wait a little, then run the command again"
        )
    if status >= 500:
        return f"{hub.endpoint} failed with {status}; nothing is lost; run the command again later"
    return f"{hub.endpoint} refused ({status}: {reason}) for {about}; fix what it names"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")
