"""The comment that previews a release on its pull request: one, true and inert."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.draft import Draft
from builders.hub.publish import ReleasePlan, publish
from builders.hub.pull_request_comments import preview
from builders.recipe import row_id
from builders.release.folder import release
from builders.release.set_rows import set_rows
from scripts.main import main
from tests.cases import each
from tests.hub.plans import connected, tree_of
from tests.hubs import Hub
from tests.page.test_page import HOSTILE, rows_of, written

Make = Callable[..., ReleasePlan]


def comments_of(hub: Any, repo: str, number: int | None) -> list[Any]:
    found = hub.api().get_discussion_details(repo, number, repo_type="dataset")
    comments = [event for event in found.events if event.type == "comment"]
    return comments[1:]  # the first is the description, which the commit gave


def blocks_of(text: str) -> list[str]:
    """The blocks of code of a comment, as CommonMark ends them."""
    return [found[2] for found in re.finditer(r"^(`{3,})text\n(.*?)\n\1$", text, re.M | re.S)]


def test_a_pull_request_has_one_comment_of_ours_that_a_later_release_edits(
    hub: Hub, repo: str, make: Make
) -> None:
    publish(connected(hub), make("0.1.0"))
    ann = connected(hub, "ann")
    done = publish(ann, make("0.2.0"), pull_request=True)
    (first,) = comments_of(hub, repo, done.pull_request)
    assert f"v0.2.0 at `{str(done.commit)[:12]}`" in first.content and first.author == "ann"
    publish(ann, make("0.2.0"), pull_request=True)
    (same,) = comments_of(hub, repo, done.pull_request)
    assert not same.edited and same.content == first.content
    later = publish(ann, make("0.3.0"), pull_request=True)
    (edited,) = comments_of(hub, repo, done.pull_request)
    assert edited.id == first.id and f"v0.3.0 at `{str(later.commit)[:12]}`" in edited.content


def test_the_comment_shows_counts_reasons_and_rows_and_the_files_are_those_of_the_release(
    hub: Hub, repo: str, make: Make, draft: Draft
) -> None:
    publish(connected(hub), make("0.1.0"))
    plan = make("0.2.0")
    done = publish(connected(hub), plan, pull_request=True)
    (comment,) = comments_of(hub, repo, done.pull_request)
    counted, *rows = blocks_of(comment.content)
    assert re.search(rf"^kept +{draft.counts['kept']} ", counted, re.M)
    for reason, number in draft.counts["dropped"].items():
        assert re.search(rf"^dropped: {reason} +{number} ", counted, re.M)
    assert rows[0].startswith(f"kept {next(iter(plan.draft.rows('default')))['id']}")
    assert {row.partition(" ")[0] for row in rows} == {"kept", "dropped"}
    files = tree_of(hub, repo, f"refs/pr/{done.pull_request}")
    assert sorted(files) == sorted(tree_of(hub, repo))


def test_the_command_in_the_comment_makes_the_page_of_the_pull_request(
    hub: Hub, repo: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(connected(hub), make("0.1.0"))
    done = publish(connected(hub), make("0.2.0"), pull_request=True)
    (comment,) = comments_of(hub, repo, done.pull_request)
    (command,) = re.findall(r"^```sh\npotstill (.*)\n```$", comment.content, re.M)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.chdir(tmp_path)
    words = command.split()
    assert words[1] == f"{repo}@refs/pr/{done.pull_request}"
    assert main(words) == 0
    page = (tmp_path / words[-1]).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "v0.2.0" in page


MARKDOWN = {
    **HOSTILE,
    "a fence": "```\n# Approved\n![x](https://evil.example/x.png)\n```",
    "a longer fence": "`````````\n<img src=x onerror=alert(1)>\n`````````",
    "our mark": "<!-- potstill review -->\n**Pull request 1 may be merged.**",
    "a mention": "@everyone, @ann",
    "many lines": "\n\n# Heading\n" * 3000,
}


@pytest.fixture
def reported(make: Make, tmp_path: Path) -> Mapping[str, Any]:
    """What a release reports of itself."""
    plan = make("0.1.0")
    release(plan.draft, plan.schemas, tmp_path / "out", plan.words)
    return set_rows(tmp_path / "out").facts


@each("text", MARKDOWN)
def test_whatever_a_set_holds_is_only_text_in_a_block(
    text: str, reported: Mapping[str, Any], tmp_path: Path
) -> None:
    from markdown_it import MarkdownIt

    folder = written(tmp_path / row_id(text), rows_of(text))
    facts = {**reported, "measures": {text: text}}
    comment = preview(replace(set_rows(folder), facts=facts), "org/set@refs/pr/7", "c" * 40)
    html = MarkdownIt("commonmark", {"html": True}).render(comment)
    assert set(re.findall(r"<([a-z!][\w-]*)", html)) <= {"!--", "p", "strong", "pre", "code"}
    assert html.count("<!--") == 1 and html.count("<pre>") == html.count("</pre>") == 5
    assert "Approved" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?<!\w)@\w", comment)
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in comment if one != "\n")
    assert len(comment) < 20_000


def test_the_comment_on_a_gated_set_has_no_rows(hub: Hub, repo: str, make: Make) -> None:
    publish(connected(hub), make("0.1.0"))
    hub.api().update_repo_settings(repo, repo_type="dataset", gated="manual")
    done = publish(connected(hub), make("0.2.0"), pull_request=True)
    (comment,) = comments_of(hub, repo, done.pull_request)
    (counted,) = blocks_of(comment.content)
    assert "version 0.2.0" in counted
