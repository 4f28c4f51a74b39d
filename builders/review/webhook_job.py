"""A Hub job, started by a webhook, that reviews each pull request on a set.

Source: https://huggingface.co/docs/hub/webhooks and its page on triggering jobs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builders.errors import InputError
from builders.hub.connection import Hub, client_errors

_PULL_REF = re.compile(r"refs/pr/(\d+)")
IMAGE = "python:3.11-bookworm"
_JOB = (
    'git clone --depth 1 "$POTSTILL_CODE" potstill && cd potstill && bash scripts/setup.sh '
    "&& .venv/bin/python -m scripts.review_job"
)


def pull_requests(payload: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The pull requests to review for an event, as (set, number); none for other events.

    A pull request is reviewed when it is opened, reopened or pushed to. Comments are ignored, so
    that our own comment does not start a job.

    Raises:
        InputError: The payload is not a webhook's.
    """
    event, repository = payload.get("event"), payload.get("repo")
    if not isinstance(event, Mapping) or not isinstance(repository, Mapping):
        raise InputError(
            "the payload has no 'event' and 'repo'; expected what a Hub webhook sends, in "
            "WEBHOOK_PAYLOAD"
        )
    name, scope = str(repository.get("name")), str(event.get("scope"))
    if repository.get("type") != "dataset" or event.get("action") == "delete":
        return []
    if scope == "discussion":
        discussion = payload.get("discussion") or {}
        is_open = discussion.get("status") in ("open", "draft")
        if discussion.get("isPullRequest") and is_open:
            return [(name, int(discussion["num"]))]
    if scope.startswith("repo.content"):
        moved = [str(ref.get("ref")) for ref in payload.get("updatedRefs") or ()]
        return [(name, int(hit[1])) for ref in moved if (hit := _PULL_REF.fullmatch(ref))]
    return []


def watch(hub: Hub, repository: str, *, code: str, token: str, flavor: str = "cpu-basic") -> str:
    """Create the job and the webhook that starts it for events on a set; return the webhook's id.

    Args:
        hub: The Hub of the set.
        repository: The set.
        code: The address of a git repository of potstill.
        token: The token that the job comments with; it should only allow discussions on this set.
        flavor: The hardware of the job, as the Hub names it.

    Raises:
        HubError: The token may not run jobs or create webhooks.
    """
    api = hub.api()
    with client_errors(hub, repository):
        job = api.run_job(
            image=IMAGE,
            command=["bash", "-c", _JOB],
            env={"POTSTILL_CODE": code},
            flavor=flavor,
            timeout="30m",
        )
        webhook = api.create_webhook(
            job_id=job.id,
            watched=[{"type": "dataset", "name": repository}],
            domains=["repo", "discussion"],
            secrets={"HF_TOKEN": token},
        )
    return str(webhook.id)
