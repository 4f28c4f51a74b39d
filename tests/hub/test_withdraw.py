"""A withdrawn version stays readable; main records the reason, and `check` reports it."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import builders.hub.publish as publishing
import builders.hub.withdraw as withdrawing
import builders.release.folder as foldering
from builders.drafting.draft import Draft
from builders.errors import HubError, InputError
from builders.hub.fetch import fetch_snapshot
from builders.hub.publish import ReleasePlan, publish
from builders.hub.withdraw import NOTHING, advisory, advisory_in, yank
from builders.release.verification import verified
from builders.release.versions import CLOSES, OPENS
from scripts.main import main
from tests.hub.plans import commits_of, connected, planned, tags_of, tree_of
from tests.hubs import clean_environment

WHY = "3 answers hold a key | of <somebody>"
MOST_CPU_S = 1.0


@pytest.fixture
def make(
    draft: Draft, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], ReleasePlan]:
    """Plan a version of the test's own set; reading back is tested with publishing."""
    monkeypatch.setattr(publishing, "read_back", lambda *_: None)
    monkeypatch.setattr(foldering, "read_back", lambda *_: None)
    return lambda version: planned(draft, tmp_path / "home", version, repo)


@pytest.fixture
def released(hub: Any, repo: str, make: Callable[[str], ReleasePlan]) -> str:
    """A set with three versions."""
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        publish(connected(hub), make(version))
    return repo


def file_of(hub: Any, repo: str, name: str, revision: str = "main") -> str:
    path = hub.api().hf_hub_download(repo, name, repo_type="dataset", revision=revision)
    return Path(path).read_text(encoding="utf-8")


def test_one_commit_changes_the_list_of_versions_and_nothing_else_of_the_card(
    hub: Any, released: str
) -> None:
    before, card = tree_of(hub, released), file_of(hub, released, "README.md")
    sha = yank(connected(hub), released, "v0.2.0", WHY)
    after, again = tree_of(hub, released), file_of(hub, released, "README.md")
    assert commits_of(hub, released)[:2] == ["Withdraw v0.2.0", "Release v0.3.0"]
    assert {path for path in after if after[path] != before.get(path)} == {
        "README.md",
        "advisories.json",
        "manifest.json",
    }
    assert json.loads(file_of(hub, released, "advisories.json")) == {
        "0.2.0": {"why": WHY, "use": "v0.3.0"}
    }
    around = [text.partition(OPENS)[0] + text.partition(CLOSES)[2] for text in (card, again)]
    assert around[0] == around[1]
    assert r"**Withdrawn: 3 answers hold a key \| of \<somebody\>** Use v0.3.0." in again
    assert sha == hub.api().repo_info(released, repo_type="dataset").sha


def test_whatever_uses_a_withdrawn_version_warns_of_it_and_names_the_one_to_use(
    hub: Any,
    released: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.chdir(tmp_path)
    yank(connected(hub), released, "v0.2.0", WHY)
    sha = tags_of(hub, released)["v0.2.0"]
    old, good = f"{released}@v0.2.0", f"{released}@v0.1.0"
    line = f"warning: {released}: v0.2.0 was withdrawn: {WHY}; use v0.3.0\n"
    for words, warnings in {
        ("show", old): 1,
        ("show", f"{released}@{sha}", "--json"): 1,
        ("diff", good, old): 1,
        ("diff", old, old): 2,
        ("new", "mine", "--from", old): 1,
        ("build", "--from", old, "--estimate"): 1,
        ("diff", good, released): 0,
        ("new", "other", "--from", released): 0,
    }.items():
        main([*words])
        assert capsys.readouterr().err.count(line) == warnings, words
    yank(connected(hub), released, "v0.3.0", WHY)
    assert main(["show", released]) == 0
    assert f"v0.3.0 was withdrawn: {WHY}; use v0.1.0" in capsys.readouterr().err


def test_the_version_stays_readable_at_its_tag(hub: Any, released: str) -> None:
    tags, held = tags_of(hub, released), tree_of(hub, released, "v0.2.0")
    yank(connected(hub), released, "v0.2.0", WHY)
    assert tags_of(hub, released) == tags
    assert tree_of(hub, released, "v0.2.0") == held


def test_every_number_of_main_can_be_recomputed_after_a_withdrawal(
    hub: Any, released: str, tmp_path: Path
) -> None:
    yank(connected(hub), released, "v0.2.0", WHY)
    fetch_snapshot(connected(hub), released, "main", tmp_path / "main")
    assert verified(tmp_path / "main", lambda _: None).false == ()


def test_the_same_reason_again_changes_nothing_and_another_one_does(
    hub: Any, released: str
) -> None:
    yank(connected(hub), released, "v0.2.0", WHY)
    assert yank(connected(hub), released, "0.2.0", f" {WHY}\n") is None
    assert commits_of(hub, released).count("Withdraw v0.2.0") == 1
    assert yank(connected(hub), released, "v0.2.0", WHY, use="v0.1.0") is not None
    assert advisory(connected(hub), released, "v0.2.0")[1] == {"why": WHY, "use": "v0.1.0"}


def test_the_version_to_use_is_the_newest_good_one(hub: Any, released: str) -> None:
    at = connected(hub)
    for version, use in (("v0.3.0", "v0.2.0"), ("v0.2.0", "v0.1.0"), ("v0.1.0", NOTHING)):
        yank(at, released, version, WHY)
        assert advisory(at, released, version) == (version, {"why": WHY, "use": use})


def test_later_versions_keep_the_withdrawals_of_earlier_ones(
    hub: Any, released: str, make: Callable[[str], ReleasePlan]
) -> None:
    yank(connected(hub), released, "v0.2.0", WHY)
    assert publish(connected(hub), make("0.3.0")).changed is False
    publish(connected(hub), make("0.4.0"))
    assert "0.2.0" in json.loads(file_of(hub, released, "advisories.json", "v0.4.0"))
    assert "`v0.2.0`, withdrawn" in file_of(hub, released, "README.md", "v0.4.0")


def test_a_wrong_request_is_refused_and_changes_nothing(hub: Any, released: str) -> None:
    before = tree_of(hub, released)
    for words, why in (
        (("v9.9.9", WHY), r"has no version 'v9\.9\.9'; there are v0\.1\.0, v0\.2\.0, v0\.3\.0"),
        (("v0.1.0", " "), "--why is empty"),
        (("v0.1.0", WHY, "v0.1.0"), "is withdrawn itself"),
        (("v0.1.0", WHY, "v7.0.0"), "has no version"),
    ):
        with pytest.raises(InputError, match=why):
            yank(connected(hub), released, *words)
    assert tree_of(hub, released) == before


def test_a_user_without_the_right_to_write_cannot_withdraw(hub: Any, released: str) -> None:
    with pytest.raises(HubError, match="no right to do this"):
        yank(connected(hub, "ann"), released, "v0.2.0", WHY)


def test_a_main_that_moved_is_read_again(
    hub: Any, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, moves = withdrawing.versions_section, iter([b"1"])

    def late(*words: Any) -> str:
        for text in moves:
            hub.api().upload_file(
                path_or_fileobj=text,
                path_in_repo="notes.txt",
                repo_id=released,
                repo_type="dataset",
            )
        return section(*words)

    monkeypatch.setattr(withdrawing, "versions_section", late)
    assert yank(connected(hub), released, "v0.2.0", WHY) is not None
    assert "notes.txt" in tree_of(hub, released)
    assert commits_of(hub, released)[0] == "Withdraw v0.2.0"


# --- asking for the status of a version


@pytest.fixture
def asked(
    hub: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a verb against the Hub without a token; return its status and what it printed."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    def run(*words: str) -> tuple[int, str]:
        status = main(words)
        printed = capsys.readouterr()
        return status, (printed.out + printed.err).strip()

    return run


def test_a_training_script_learns_of_a_withdrawn_version_by_status_and_line(
    hub: Any, released: str, asked: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HF_TOKEN", hub.tokens["potstill"])
        status, printed = asked("yank", released, "v0.2.0", "--why", WHY)
        assert (status, printed.partition(", in commit")[0]) == (
            0,
            f"v0.2.0 of {released} is withdrawn",
        )
        assert "nothing changed" in asked("yank", released, "v0.2.0", "--why", WHY)[1]
    assert asked("check", f"{released}@v0.2.0") == (
        3,
        f"v0.2.0 was withdrawn: {WHY}; use v0.3.0",
    )
    assert asked("check", f"{released}@v0.1.0")[0] == 0
    status, printed = asked("check", f"{released}@v0.2.0", "--json")
    assert (status, json.loads(printed)["withdrawn"]) == (3, {"why": WHY, "use": "v0.3.0"})


def test_every_verb_lists_the_versions_where_there_is_no_such_one(
    released: str, asked: Callable[..., tuple[int, str]]
) -> None:
    wrong = f"{released}@v0.9.0"
    listed = f"{released} has no version 'v0.9.0'; there are v0.1.0, v0.2.0, v0.3.0; did you mean"
    for words in (("check", wrong), ("show", wrong), ("diff", released, wrong)):
        status, printed = asked(*words)
        assert status == 1 and f"potstill: {listed}" in printed, printed
    assert (
        f"{released} has no revision 'next'; there are v0.1" in asked("show", f"{released}@next")[1]
    )


def test_main_or_no_revision_is_the_newest_version_and_a_commit_its_own(
    hub: Any, released: str
) -> None:
    at = connected(hub)
    yank(at, released, "v0.1.0", WHY)
    for revision in (None, "main", "v0.3.0", "0.3.0"):
        assert advisory(at, released, revision) == ("v0.3.0", None)
    version, found = advisory(at, released, tags_of(hub, released)["v0.1.0"])
    assert (version, found) == ("v0.1.0", {"why": WHY, "use": "v0.3.0"})
    with pytest.raises(InputError, match=r"no version 'v0\.9\.0'"):
        advisory(at, released, "v0.9.0")
    with pytest.raises(HubError, match=r"no revision 'branch'; there are v0\.1\.0, v0"):
        advisory(at, released, "branch")


def test_a_folder_knows_what_was_withdrawn_when_it_was_fetched(
    hub: Any, released: str, tmp_path: Path
) -> None:
    at = connected(hub)
    yank(at, released, "v0.3.0", WHY)
    fetch_snapshot(at, released, "v0.3.0", tmp_path / "then")
    fetch_snapshot(at, released, "main", tmp_path / "now")
    assert advisory_in(tmp_path / "then") == ("v0.3.0", None)
    assert advisory_in(tmp_path / "now") == ("v0.3.0", {"why": WHY, "use": "v0.2.0"})
    assert main(["check", str(tmp_path / "now")]) == 3
    with pytest.raises(InputError, match="holds no release"):
        advisory_in(tmp_path)


def test_a_check_starts_cheaply_and_loads_nothing_heavy(
    hub: Any,
    released: str,
    tmp_path: Path,
    potstill: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    env = {
        **clean_environment(),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = potstill("check", f"{released}@v0.3.0", "--only-withdrawn", env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stderr
    heavy = ("datasets", "pyarrow", "polars", "distilabel", "starlette", "pygit2")
    assert not any(f"| {name}\n" in done.stderr for name in heavy)
    assert spent_s < MOST_CPU_S * 1.5, spent_s  # with the cost of listing what is imported
