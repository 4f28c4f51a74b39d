"""The page of a pull request or a discussion: readable, inert, and no more than may be read."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.hub_server.test_hub_pulls import push
from tests.hubs import Hub

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u202e\x1b[31m'
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "strong", "ul"),
    *("li", "table", "tr", "th", "td", "pre"),
}


class Page(HTMLParser):
    """What is on a page: its tags, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def opened(hub: Hub, repo: str, number: int, by: str | None = None) -> Page:
    status, headers, body = hub.raw("GET", f"/datasets/{repo}/discussions/{number}", by=by)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    return Page(body.decode())


def pulled(hub: Hub, repo: str) -> None:
    push(hub, repo, {"a.txt": b"1", "gone.txt": b"1", "kept.txt": b"1", "rows.parquet": b"old"})
    files = {"a.txt": b"22", "gone.txt": None, "new & <b>.txt": b"2", "rows.parquet": b"x" * 1234}
    push(hub, repo, files, by="ann", create_pr=True, message="Better rows")


def test_a_comment_is_shown_as_text_with_its_blocks_of_code_and_without_its_mark(
    hub: Hub, repo: str
) -> None:
    pulled(hub, repo)
    blocks = f"````text\nkept  18\n```\n{HOSTILE}\n````\n\nIn **bold {HOSTILE}**, and ** not.\n```"
    comment = f"<!-- potstill preview -->\nA **preview**:\n\n{blocks}\nto the end <!-- x -->"
    hub.api("bob").comment_discussion(repo, 1, comment, repo_type="dataset")
    _, _, body = hub.raw("GET", f"/datasets/{repo}/discussions/1")
    html = body.decode()
    assert (
        '<p class="text">A <strong>preview</strong>:</p><pre class="text">kept  18\n```\n' in html
    )
    assert '<p class="text">In <strong>bold ' in html and "</strong>, and ** not.</p>" in html
    assert '<pre class="text">to the end &lt;!-- x --&gt;</pre></div>' in html
    assert "potstill preview" not in html and "<script" not in html and "<img" not in html
    assert opened(hub, repo, 1).tags <= TAGS


def test_it_shows_what_a_pull_request_is_and_changes(hub: Hub, repo: str) -> None:
    pulled(hub, repo)
    api = hub.api("bob")
    api.comment_discussion(repo, 1, "Thanks.\nTwo lines.", repo_type="dataset")
    text = opened(hub, repo, 1).text
    assert f"Better rows · {repo}\n" in text
    assert re.search(r"Pull request 1 of the dataset .*: \nopen\n, by ann, 20", text)
    assert "Thanks.\nTwo lines.\n" in text
    assert re.search(r"\n[0-9a-f]{12} Better rows \(ann, 20", text)
    for row in ("changed\na.txt\n2", "removed\ngone.txt", "added\nnew & <b>.txt\n1"):
        assert f"\n{row}\n" in text
    assert "\nchanged\nrows.parquet\n1,234\n" in text and "kept.txt" not in text


def test_it_shows_the_same_changes_once_merged_and_conflicts_before(hub: Hub, repo: str) -> None:
    pulled(hub, repo)
    push(hub, repo, {"a.txt": b"333"})
    assert "Conflicts\n with main in a.txt." in opened(hub, repo, 1).text
    push(hub, repo, {"a.txt": b"1"})
    hub.api().merge_pull_request(repo, 1, repo_type="dataset")
    text = opened(hub, repo, 1).text
    assert "\nmerged\n" in text and "set the status to merged" in text
    assert "\nchanged\nrows.parquet\n1,234\n" in text and "Conflicts" not in text


def test_text_of_people_is_text_and_nothing_else(hub: Hub, repo: str) -> None:
    api = hub.api("ann")
    api.create_discussion(repo, HOSTILE, description=HOSTILE, repo_type="dataset")
    api.rename_discussion(repo, 1, f"{HOSTILE}!", repo_type="dataset")
    push(hub, repo, {"<script>.txt": b"1"}, by="ann", create_pr=True, message=HOSTILE)
    for number in (1, 2):
        page = opened(hub, repo, number)
        assert page.tags <= TAGS
        assert page.attributes <= {"lang", "charset", "name", "content", "class", "id"}
        assert "<img src=x onerror=alert(2)>&amp;" in page.text
        assert "\u202e" not in page.text and "\x1b" not in page.text


def test_nothing_can_run_or_be_loaded_or_framed(hub: Hub, repo: str) -> None:
    hub.api().create_discussion(repo, "A question", repo_type="dataset")
    _, headers, body = hub.raw("GET", f"/datasets/{repo}/discussions/1", by=None)
    style = body.decode().partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
    assert headers["x-content-type-options"] == "nosniff"


def test_a_hidden_comment_is_not_shown(hub: Hub, repo: str) -> None:
    api = hub.api("ann")
    api.create_discussion(repo, "A question", repo_type="dataset")
    comment = api.comment_discussion(repo, 1, "a secret", repo_type="dataset")
    assert "a secret" in opened(hub, repo, 1).text
    with pytest.warns(UserWarning, match="cannot be retrieved"):
        api.hide_discussion_comment(repo, 1, comment.id, repo_type="dataset")
    assert "a secret" not in opened(hub, repo, 1).text


@pytest.mark.parametrize("setting", [{"private": True}, {"gated": "manual"}])
def test_it_shows_a_stranger_no_more_than_may_be_read(
    hub: Hub, repo: str, setting: dict[str, Any]
) -> None:
    pulled(hub, repo)
    hub.api().update_repo_settings(repo, repo_type="dataset", **setting)
    if "private" in setting:
        for by, status in ((None, 401), ("bob", 404)):
            found = hub.raw("GET", f"/datasets/{repo}/discussions/1", by=by)
            assert found[0] == status and b"Better rows" not in found[2]
    else:
        text = opened(hub, repo, 1).text
        assert "Better rows" in text and "rows.parquet" not in text
    assert "rows.parquet" in opened(hub, repo, 1, by="potstill").text


def test_there_is_no_page_of_what_does_not_exist(hub: Hub, repo: str) -> None:
    for path in (f"{repo}/discussions/9", f"{repo}/discussions/x", "none/none/discussions/1"):
        assert hub.raw("GET", f"/datasets/{path}", by=None)[0] in (401, 404)
