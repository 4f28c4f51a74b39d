"""The pull requests that `potstill release --pr` opens: one per user, from main as it is now."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builders.hub.connection import Hub, client_errors

_TITLE = re.compile(r"Release (v\d+\.\d+\.\d+)")


def released_version(title: str) -> str | None:
    """The version that a pull request of this title is a release of; None for any other title."""
    found = _TITLE.fullmatch(title)
    return found[1] if found else None


def open_requests(hub: Hub, repository: str, main: str) -> tuple[list[int], list[int]]:
    """Our open pull requests of releases: those that start from `main`, and the others.

    One without this commit of main would conflict with it, or bring back what it changed.

    Raises:
        HubError: The Hub refused, or does not answer.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    current: list[int] = []
    outdated: list[int] = []
    with client_errors(hub, repository):
        found = api.get_repo_discussions(
            author=hub.user(),
            discussion_type="pull_request",
            discussion_status="open",
            **at,
        )
        for one in [one for one in found if released_version(one.title)]:
            commits = api.list_repo_commits(revision=f"refs/pr/{one.num}", **at)
            has_main = any(commit.commit_id == main for commit in commits)
            (current if has_main else outdated).append(one.num)
    return current, outdated


def close_replaced(hub: Hub, repository: str, replaced: Sequence[int], by: int) -> None:
    """Close our pull requests that another one replaces, with a comment that names it.

    Raises:
        HubError: The Hub refused, or does not answer.
    """
    with client_errors(hub, repository):
        for number in replaced:
            hub.api().change_discussion_status(
                repository,
                number,
                "closed",
                comment=f"Main has moved since; pull request {by} replaces this one.",
                repo_type="dataset",
            )
