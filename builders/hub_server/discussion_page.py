"""The page that the link of a discussion or a pull request opens: inert HTML for a person.

It loads nothing, runs nothing and links to nothing; all text in it is escaped, and shows no control
or invisible character.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from builders.errors import printable
from builders.hub_server import git
from builders.hub_server.discussions import Discussion
from builders.hub_server.request import Request
from builders.hub_server.responses import Response, timestamp
from builders.hub_server.store import Repo

MOST_ENTRIES = 500  # of each list
_FILE_STATUS = {"A": "added", "D": "removed"}
_MARK = re.compile(r"\A<!--[^\n]*-->\n")  # the first line of our comments
_FENCE = re.compile("`{3,}")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem; }
h1, p, li, td { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
.size { text-align: right; white-space: nowrap; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid #8888; }
.text { margin: .3rem 0 1rem; padding-left: .8rem; }
pre.text { font: .8rem/1.4 ui-monospace, monospace; white-space: pre; overflow-x: auto; }
"""
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(request: Request, repo: Repo, num: str) -> Response:
    """GET the page: title, status, what was written and done, and of a pull request its changes.

    Commits and files are left out where the user may not read the repository's files.
    """
    discussion = Discussion.load(request, repo, num)
    row = discussion.row
    kind = "Pull request" if row["pull"] else "Discussion"
    opened = f"by {_text(row['author'])}, {_time(row['created'])}"
    parts = [
        f"<h1>{_text(row['title'])}</h1>",
        f"<p>{kind} {discussion.num} of the {repo.kind} {_text(repo.name)}: "
        f"<strong>{_text(row['status'])}</strong>, {opened}</p>",
    ]
    parts += _some(_event(event) for event in discussion.events(request))
    if row["pull"] and request.hub.store.can_read(request.user, repo):
        parts += _changes(request, discussion)
    title = f"{_text(row['title'])} · {_text(repo.name)}"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>"
    )
    html = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'
    return Response(headers=_HEADERS, body=html.encode("utf-8", "replace"))


def _event(event: Mapping[str, Any]) -> str:
    data, by = event["data"], f"{_text(event['author']['name'])}, {_time(event['createdAt'])}"
    if event["type"] == "comment":
        text = "".join(_comment("(hidden)" if data["hidden"] else data["latest"]["raw"]))
        edited = ", edited" if data["edited"] else ""
        return f'<div id="{event["id"]}">{by}{edited}:{text}</div>'
    does = {
        "commit": f"pushed {data.get('oid', '')[:12]}: {_text(data.get('subject', ''))}",
        "status-change": f"set the status to {_text(data.get('status', ''))}",
        "title-change": f"changed the title to {_text(data.get('to', ''))}",
    }.get(event["type"], _text(event["type"]))
    return f'<p id="{event["id"]}">{by}: {does}</p>'


def _comment(raw: str) -> Iterator[str]:
    """What of Markdown potstill's own comments use: blocks of code, bold, a mark that is hidden."""
    fence, lines = "", list[str]()
    for line in _MARK.sub("", raw).split("\n"):
        found = _FENCE.match(line)
        if not found or (fence and line.strip() != fence):
            lines.append(line)
            continue
        yield _block(lines, code=bool(fence))
        fence, lines = "" if fence else found[0], []
    yield _block(lines, code=bool(fence))


def _block(lines: Sequence[str], *, code: bool) -> str:
    text = _text("\n".join(lines).strip("\n"))
    if code:
        return f'<pre class="text">{text}</pre>'
    bold = _BOLD.sub(r"<strong>\1</strong>", text)
    return f'<p class="text">{bold}</p>' if text else ""


def _changes(request: Request, discussion: Discussion) -> Iterator[str]:
    """The commits and the files of a pull request, from where it left its base."""
    row, repo = discussion.row, request.hub.git.open(discussion.repo.id)
    base, tip = git.head(repo, row["base"]), git.head(repo, discussion.ref)
    if row["merged"]:
        base = repo[row["head"]]
    if base is None or tip is None:
        yield "<p>Its branch, or the one that it is for, was deleted.</p>"
        return
    if not row["merged"] and (conflicts := git.merged_tree(repo, base.id, tip.id)[1]):
        yield f"<p><strong>Conflicts</strong> with main in {_text(', '.join(conflicts))}.</p>"
    yield "<h2>Commits</h2><ul>"
    yield from _some(_commit(one) for one in git.own_commits(repo, base.id, tip.id))
    yield "</ul><h2>Files</h2><table><tr><th>Change</th><th>File</th><th>Bytes</th></tr>"
    deltas = git.changes(repo, base.id, tip.id).deltas
    yield from _some(_file(repo, delta) for delta in deltas)
    yield "</table>"


def _commit(commit: Any) -> str:
    title, by = commit.message.partition("\n")[0], _text(commit.author.name)
    time = _time(timestamp(commit.commit_time))
    return f"<li>{str(commit.id)[:12]} {_text(title)} ({by}, {time})</li>"


def _file(repo: Any, delta: Any) -> str:
    status, size = _FILE_STATUS.get(delta.status_char(), "changed"), ""
    if status != "removed":
        stored, large = git.blob_info(repo, delta.new_file.id)
        size = f"{large[1] if large else stored:,}"
    path = _text(delta.new_file.path)
    return f'<tr><td>{status}</td><td>{path}</td><td class="size">{size}</td></tr>'


def _some(entries: Iterator[str]) -> Iterator[str]:
    """The first entries of a list, and a line where there are more."""
    yield from itertools.islice(entries, MOST_ENTRIES)
    if next(entries, None) is not None:
        yield f"<p>Only the first {MOST_ENTRIES} are shown.</p>"


def _time(stamp: str) -> str:
    """A time of the API as people read it, to the minute."""
    return f"{stamp[:10]} {stamp[11:16]} UTC"


def _text(text: str) -> str:
    return escape("\n".join(map(printable, text.split("\n"))))
