"""What people changed on a card on the Hub is on the next card, or the release is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.hub.publish import ReleasePlan
from builders.hub.withdraw import yank
from tests.cases import each
from tests.hub.plans import WAYS, changed, commits_of, connected, released, tags_of, tree_of

Make = Callable[..., ReleasePlan]
CITATION = "## Citation\n\nDoe, J. (2026). A set."
EDITS = {  # texts on the card, what people put in their place, and what a refusal shows of it
    "section": ("\n## Limits\n", f"\n{CITATION}\n\n## Limits\n", "+## Citation"),
    "words": ("<!-- /words: Use -->", "Mind the gap.\n<!-- /words: Use -->", "+Mind the gap."),
    "key": ("configs:\n", "thumbnail: a.png\nconfigs:\n", "+thumbnail: a.png"),
    "tag": ("- sft\n", "- sft\n- math\n", "+tags: math"),
    "example": ("One row:\n", "", "-One row:"),
}


def card_of(hub: Any, repo: str, revision: str = "main") -> str:
    path = hub.api().hf_hub_download(repo, "README.md", repo_type="dataset", revision=revision)
    return Path(path).read_text(encoding="utf-8")


def put(hub: Any, repo: str, text: str, name: str = "README.md", **how: Any) -> Any:
    """Upload a file, as a person who edits it on the Hub."""
    at = {"path_in_repo": name, "repo_id": repo, "repo_type": "dataset"}
    return hub.api().upload_file(path_or_fileobj=io.BytesIO(text.encode()), **at, **how)


def edit(hub: Any, repo: str, old: str, new: str, revision: str = "main", **how: Any) -> Any:
    text = card_of(hub, repo, revision)
    assert text.count(old) == 1, old
    return put(hub, repo, text.replace(old, new), revision=revision, **how)


def state_of(hub: Any, repo: str) -> Any:
    refs = hub.api().list_repo_refs(repo, repo_type="dataset", include_pull_requests=True)
    names = [one.name for one in (*refs.branches, *refs.tags, *(refs.pull_requests or ()))]
    return names, tree_of(hub, repo)


def test_changes_that_the_new_card_lacks_are_refused_with_their_lines_wherever_it_goes(
    hub: Any, repo: str, make: Make
) -> None:
    long = f"- {'word ' * 40}end"
    released(hub, make("0.1.0"))
    text = card_of(hub, repo)
    for old, new, _ in EDITS.values():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    put(hub, repo, f"{text}\n## Thanks\n\n{long}\n")
    before = state_of(hub, repo)
    for way, how in WAYS.items():
        steps: list[str] = []
        with pytest.raises(InputError) as caught:
            released(hub, make("0.2.0"), **how, notify=steps.append)
        assert {f"+{long}", *(line for _, _, line in EDITS.values())} <= {*steps}, steps
        message = str(caught.value)
        assert message.startswith(f"people changed the card of {repo} at main since v0.1.0, "), way
        assert all(f"'{line}" in message for _, _, line in EDITS.values()), message
        assert " and 3 more; copy the words to the set's file (to a section, such" in message
        assert "\n" not in message
    assert state_of(hub, repo) == before


def test_words_that_the_new_card_holds_are_released(hub: Any, repo: str, make: Make) -> None:
    first = make("0.1.0")
    released(hub, first)
    edit(hub, repo, *EDITS["section"][:2])
    edit(hub, repo, *EDITS["words"][:2])
    edit(hub, repo, *EDITS["key"][:2])
    use = f"{first.words.sections['Use']}\nMind the\ngap. And the rest.\n\n{CITATION}"
    for way in ("as a pull request", "to a new branch", "to main"):
        plan = make("0.2.0", words={"Use": use})
        words = replace(plan.words, front={**plan.words.front, "thumbnail": "a.png"})
        done = released(hub, replace(plan, words=words), **WAYS[way])
        assert done.changed and CITATION in card_of(hub, repo, str(done.commit))


def test_a_change_that_is_taken_back_on_the_hub_hinders_no_release(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    edit(hub, repo, *EDITS["key"][:2])
    with pytest.raises(InputError, match="this release would undo it"):
        released(hub, make("0.2.0"))
    edit(hub, repo, *EDITS["key"][1::-1])
    assert released(hub, make("0.2.0")).tagged


def test_a_merged_pull_request_of_people_counts_as_their_change(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    pull = edit(hub, repo, *EDITS["section"][:2], create_pr=True)
    released(hub, make("0.2.0"), dry_run=True)  # it is not merged yet
    hub.api().merge_pull_request(repo, pull.pr_num, repo_type="dataset")
    with pytest.raises(InputError, match=r"since v0\.1\.0, .*'\+## Citation'"):
        released(hub, make("0.2.0"))


def test_a_withdrawal_is_no_change_of_people_and_hides_none(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    released(hub, make("0.2.0"))
    yank(connected(hub), repo, "v0.1.0", "two rows are wrong")
    done = released(hub, make("0.3.0"))
    assert done.tagged and "two rows are wrong" in card_of(hub, repo)
    edit(hub, repo, *EDITS["section"][:2])
    yank(connected(hub), repo, "v0.2.0", "a third one too")
    with pytest.raises(InputError, match=r"since v0\.3\.0, .*'\+## Citation'"):
        released(hub, make("0.4.0"))


def test_a_change_after_a_merged_release_without_a_tag_is_refused_too(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    number = released(hub, make("0.2.0"), pull_request=True).pull_request
    hub.api().merge_pull_request(repo, number, repo_type="dataset")
    assert commits_of(hub, repo)[0] == f"Release v0.2.0 (#{number})"
    assert released(hub, make("0.3.0"), dry_run=True).changed
    edit(hub, repo, *EDITS["section"][:2])
    with pytest.raises(InputError, match=r"at main since v0\.2\.0, .*'\+## Citation'"):
        released(hub, make("0.3.0"))


@each("way", ["as a pull request", "to a new branch"])
def test_a_change_on_the_branch_or_pull_request_of_a_release_is_refused_too(
    way: str, hub: Any, repo: str, make: Make
) -> None:
    if not tags_of(hub, repo):
        released(hub, make("0.1.0"))
    number = released(hub, make("0.2.0"), **WAYS[way]).pull_request
    revision = f"refs/pr/{number}" if number else "next"
    edit(hub, repo, *EDITS["section"][:2], revision=revision)
    with pytest.raises(InputError, match=rf"at {revision} since v0\.2\.0, .*'\+## Citation'"):
        released(hub, make("0.3.0"), **WAYS[way])


def merged(hub: Any, repo: str, plan: ReleasePlan, *edits: tuple[str, str], title: str = "") -> str:
    """Merge a release's pull request that people edited and perhaps renamed; return its title."""
    number = released(hub, plan, pull_request=True).pull_request
    for old, new in edits:
        edit(hub, repo, old, new, revision=f"refs/pr/{number}")
    if title:
        hub.api().rename_discussion(repo, number, new_title=title, repo_type="dataset")
    hub.api().merge_pull_request(repo, number, repo_type="dataset")
    return f"{title or f'Release {plan.tag}'} (#{number})"


@each("title", ["", "The set of November"])
def test_an_edit_in_the_pull_request_of_a_release_is_found_after_its_merge(
    title: str, hub: Any, repo: str, make: Make
) -> None:
    one = f"{repo}-{len(title)}"
    released(hub, make("0.1.0", repository=one))
    got = merged(hub, one, make("0.2.0", repository=one), EDITS["section"][:2], title=title)
    assert commits_of(hub, one)[0] == got
    before = state_of(hub, one)
    again, later = make("0.2.0", repository=one), make("0.3.0", repository=one)
    refused = r"at main since v0\.2\.0, and this release would undo it: '\+## Citation', '\+Doe, J"
    for plan, how in [(again, {}), *((later, how) for how in WAYS.values())]:
        with pytest.raises(InputError, match=refused):
            released(hub, plan, **how)
    assert state_of(hub, one) == before
    hub.api().create_tag(one, repo_type="dataset", tag="v0.2.0")  # a tag made by hand hides nothing
    with pytest.raises(InputError, match=refused):
        released(hub, later)


def test_an_edit_after_the_merge_of_a_renamed_pull_request_is_found(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    merged(hub, repo, make("0.2.0"), title="November")
    later = make("0.3.0")
    assert released(hub, later, dry_run=True).changed
    edit(hub, repo, *EDITS["words"][:2])
    refused = r"at main since v0\.2\.0, .*'\+Mind the gap\.'"
    for how in WAYS.values():
        with pytest.raises(InputError, match=refused):
            released(hub, later, **how)
    yank(connected(hub), repo, "v0.1.0", "two rows are wrong")  # it does not hide the edit
    with pytest.raises(InputError, match=refused):
        released(hub, later)


@each("way", ["as a pull request", "to a new branch"])
def test_a_renamed_release_on_a_branch_or_pull_request_keeps_what_people_changed(
    way: str, hub: Any, repo: str, make: Make
) -> None:
    if not tags_of(hub, repo):
        released(hub, make("0.1.0"))
    number = released(hub, make("0.2.0"), **WAYS[way]).pull_request
    revision = f"refs/pr/{number}" if number else "next"
    edit(hub, repo, *EDITS["section"][:2], revision=revision, commit_message="Release v0.2.0")
    with pytest.raises(InputError, match=rf"at {revision} since v0\.2\.0, .*'\+## Citation'"):
        released(hub, make("0.3.0"), **WAYS[way])


def test_a_merged_release_is_tagged_as_it_is_or_with_the_words_that_people_added(
    hub: Any, repo: str, make: Make
) -> None:
    released(hub, make("0.1.0"))
    merged(hub, repo, make("0.2.0"), title="November")
    head = hub.api().dataset_info(repo).sha
    done = released(hub, make("0.2.0"))
    assert done.tagged and not done.changed and tags_of(hub, repo)["v0.2.0"] == head
    edits = [(EDITS["words"][0], f"\n{EDITS['words'][1]}")]
    first = make("0.3.0")
    merged(hub, repo, first, *edits)
    with pytest.raises(InputError, match=r"since v0\.3\.0, .*'\+Mind the gap\.'"):
        released(hub, first)
    use = f"{first.words.sections['Use']}\n\nMind the gap."
    other = make("0.3.0", rows=changed(first.draft.rows(), "other"), words={"Use": use})
    with pytest.raises(InputError, match=r"holds another v0\.3\.0 without a tag"):
        released(hub, other)
    done = released(hub, make("0.3.0", words={"Use": use}))
    assert done.tagged and done.sent == ("README.md", "manifest.json")
    assert "Mind the gap." in card_of(hub, repo, "v0.3.0")
    assert not released(hub, make("0.3.0", words={"Use": use})).changed


def test_where_no_commit_has_the_card_as_it_was_written_all_is_theirs(
    hub: Any, repo: str, make: Make
) -> None:
    plan = make("0.1.0")
    released(hub, plan)
    edit(hub, repo, *EDITS["section"][:2])
    hub.api().delete_tag(repo, repo_type="dataset", tag="v0.1.0")
    hub.api().super_squash_history(repo, repo_type="dataset", commit_message="One commit")
    with pytest.raises(InputError, match=r"'\+## Citation'.*no commit has the card.*delete README"):
        released(hub, plan)
    hub.api().delete_file("README.md", repo, repo_type="dataset")
    assert released(hub, plan).tagged


def test_a_card_that_people_began_before_the_first_release_is_not_overwritten(
    hub: Any, repo: str, make: Make
) -> None:
    put(hub, repo, "---\nlicense: unknown\n---\n\n# Coming soon\n")
    with pytest.raises(InputError, match=rf"of {repo} at main, and .*: '\+# Coming soon'; copy"):
        released(hub, make("0.1.0"))
    put(hub, repo, "---\nlicense: unknown\n---\n")  # as the Hub makes it for a new repository
    assert released(hub, make("0.1.0")).tagged


def test_the_same_release_again_changes_nothing_on_a_changed_card(
    hub: Any, repo: str, make: Make
) -> None:
    plan = make("0.1.0")
    released(hub, plan)
    edit(hub, repo, *EDITS["section"][:2])
    assert not released(hub, plan).changed
    other = changed(plan.draft.rows(), "other")
    with pytest.raises(InputError, match=r"version 0\.1\.0 is already released"):
        released(hub, make("0.1.0", rows=other))
    assert CITATION in card_of(hub, repo)
