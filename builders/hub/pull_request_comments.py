"""Our comments on pull requests, and the one that previews a release.

The Hub's viewer shows main only, so a release that is a pull request is shown in a comment: its
counts, reasons and cost, some rows, and the command that makes the page of the whole from the pull
request. The page itself is not attached:

- The API takes no attachments, and the Hub shows the source of an HTML file, not the page.
- A file in the pull request would be merged with it, and a release has a fixed tree. If the file
  were added and removed again, each push would start the reviews that a webhook starts.
- Another branch or repository needs rights that the author of a pull request may not have, and
  somebody to clean up.

Comments are public where a set is gated: there the comment has no rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from builders.drafting.row_view import inert, rendered, row_view
from builders.drafting.summary import facts_table
from builders.hub.connection import Hub, client_errors
from builders.hub.fetch import visibility
from builders.release.set_rows import SetRows, set_rows

_PREVIEW = "<!-- potstill preview -->"
_KEPT, _DROPPED = 2, 3  # rows in the comment
_WIDTH = 88  # columns; the Hub's page shows about 95
_MOST_CHARACTERS = 4000  # of one block; the Hub takes 65,536 for a comment


def write_comment(hub: Hub, repository: str, number: int, text: str) -> None:
    """Write a comment on a pull request, or edit our own that begins with the same line.

    Raises:
        HubError: The token may not comment, or the Hub does not answer.
    """
    api, me = hub.api(), hub.user()
    at = {"repo_id": repository, "discussion_num": number, "repo_type": "dataset"}
    mark = text.partition("\n")[0]
    with client_errors(hub, repository):
        ours = next(
            (
                event
                for event in api.get_discussion_details(**at).events
                if event.type == "comment"
                and event.author == me
                and not event.hidden
                and event.content.startswith(mark)
            ),
            None,
        )
        if ours is None:
            api.comment_discussion(comment=text, **at)
        elif ours.content != text:
            api.edit_discussion_comment(comment_id=ours.id, new_content=text, **at)


def write_preview(hub: Hub, repository: str, number: int, sha: str, folder: Path) -> None:
    """Write or edit the comment that previews a release, which is in `folder` and at commit `sha`.

    Raises:
        HubError: The token may not comment, or the Hub does not answer.
    """
    with_rows = visibility(hub, repository) != "gated"
    place = f"{repository}@refs/pr/{number}"
    text = preview(set_rows(folder), place, sha, with_rows=with_rows)
    write_comment(hub, repository, number, text)


def preview(rows: SetRows, place: str, sha: str, *, with_rows: bool = True) -> str:
    """A release as one Markdown comment; everything that comes from the set is inert text.

    Args:
        rows: The release.
        place: The pull request as a revision, such as org/set@refs/pr/7.
        sha: Its commit.
        with_rows: Whether to show some rows.
    """
    parts = [
        f"{_PREVIEW}\n**Preview of v{rows.facts['version']} at `{sha[:12]}`.** The Hub's viewer "
        "shows main only, not this pull request.",
        _fenced(inert(facts_table(rows.facts, place))),
    ]
    if with_rows:
        parts += map(_fenced, _some(rows))
    file = f"{place.partition('@')[0].rpartition('/')[2]}.html"
    parts += [
        "To see all rows, with charts and search, make the page of this pull request; it is one "
        "file and loads nothing from a network:",
        f"```sh\npotstill show {place} --page {file}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _some(rows: SetRows) -> Iterator[str]:
    """The first kept rows, and dropped ones of as many reasons as possible."""
    for config, found, most in (
        ("default", rows.rows(), _KEPT),
        ("dropped", rows.dropped(), _DROPPED),
    ):
        for row in islice(found, most):
            yield rendered(row_view(row, config), width=_WIDTH, colour=False, full=False)


def _fenced(text: str) -> str:
    """A text that nothing in it can end as a block of code, and that mentions nobody."""
    shown = text[:_MOST_CHARACTERS] + ("\n[...]" if len(text) > _MOST_CHARACTERS else "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    unlinked = re.sub(r"(?<!\w)@(?=\w)", "@\u2060", shown)
    return f"{fence}text\n{unlinked}\n{fence}"
