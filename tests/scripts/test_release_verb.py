"""Where `potstill release` sends a draft: nowhere else than the command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.drafting.draft import last_draft
from builders.errors import HubError
from scripts.main import main, the_hub
from tests.cases import each
from tests.drafting.test_run import build_words

NAME = "completions"
EMBEDDED = "there is no token for https://huggingface.co; run `hf auth login`, or set HF_TOKEN"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new user in an empty folder: no token, no HF_ENDPOINT, and requests would be made."""
    import huggingface_hub

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder of a draft."""
    assert main(build_words(tmp_path, name=NAME)) == 0
    return tmp_path / "work"


@each("flags", ["", "--dry-run", "--pr", "--private", "--json", "--branch x"])
def test_a_repository_named_without_a_token_is_refused_with_the_way_to_log_in(
    flags: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "hub").mkdir(exist_ok=True)  # as it is once there was an embedded Hub
    capsys.readouterr()
    assert main(["release", NAME, "--to-hub", "org/set", *flags.split()]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"potstill: {EMBEDDED}; for the embedded Hub on this")
    assert "`--hub-data work/hub`" in err and err.count("\n") == 1
    assert list((work / "hub").iterdir()) == []


WHERE = {  # HF_ENDPOINT, a token, whether there was an embedded Hub, what is asked: where it goes
    "to-hub": ("", "", False, {"outside": True}, "refused"),
    "to-hub, embedded": ("", "", True, {"outside": True}, "refused"),
    "to-hub, token": ("", "hf_x", True, {"outside": True}, "https://huggingface.co"),
    "to-hub, a Hub here": ("http://localhost:9", "", True, {"outside": True}, "http://localhost:9"),
    "to-hub, elsewhere": ("https://hub.example/", "", True, {"outside": True}, "refused"),
    "to-hub, elsewhere, token": (
        *("https://hub.example/", "hf_x", True, {"outside": True}),
        "https://hub.example",
    ),
    "no flag": ("", "", False, {"outside": False}, "embedded"),
    "no flag, token": ("", "hf_x", False, {"outside": False}, "embedded"),
    "no flag, elsewhere": ("https://hub.example", "hf_x", False, {"outside": False}, "embedded"),
    "no flag, a Hub here": ("http://[::1]:9", "", False, {"outside": False}, "http://[::1]:9"),
    "write": ("", "", False, {}, "refused"),
    "write, embedded": ("", "", True, {}, "embedded"),
    "write, token": ("", "hf_x", True, {}, "https://huggingface.co"),
    "read": ("", "", False, {"only_reads": True}, "https://huggingface.co"),
    "read, embedded": ("", "", True, {"only_reads": True}, "embedded"),
    "read, elsewhere": (
        *("https://hub.example", "", True, {"only_reads": True}),
        "https://hub.example",
    ),
    "data named": ("https://hub.example", "hf_x", True, {"data": Path("mine")}, "embedded"),
    "data named, to-hub": ("", "", False, {"data": Path("mine"), "outside": True}, "embedded"),
}


@pytest.mark.parametrize("case", WHERE)
def test_the_hub_follows_from_the_flags_the_environment_and_the_token(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    endpoint, token, embedded, asked, where = WHERE[case]
    if endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token or None)
    if embedded:
        (tmp_path / "work" / "hub").mkdir(parents=True)
    try:
        with the_hub(**asked) as hub:
            found = "embedded" if hub.embedded else hub.endpoint
            assert ("embedded Hub on this machine" in hub.title) == hub.embedded
    except HubError as error:
        found = "refused" if "there is no token for" in str(error) else str(error)
    assert found == where


def test_the_address_of_the_embedded_hub_needs_no_token_whether_it_runs_or_not(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with the_hub(work / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        with the_hub(outside=True) as same:
            assert same == hub and same.embedded
    with the_hub(outside=True) as again:
        assert again == hub
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    capsys.readouterr()
    assert main(["release", NAME, "--to-hub", "org/set"]) == 1
    assert "no token for http://127.0.0.1:9; set HF_TOKEN" in capsys.readouterr().err


def test_a_set_without_rows_is_released_with_a_warning_that_it_does_not_load(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = last_draft(work / NAME)
    assert draft.counts["kept"], "the other case: a draft with rows gives no warning"
    capsys.readouterr()
    assert main(["release", NAME, "--to-folder", "full"]) == 0
    assert "warning" not in capsys.readouterr().err
    Path("none.jsonl").write_text('{"when": "", "answer": "", "finish_reason": "length"}\n')
    words = ["build", NAME, "--prompts", "prompts.txt", "--work", "other"]
    Path("prompts.txt").write_text("What is rain?\n")
    assert main([*words, "--teacher", "scripted:none.jsonl"]) == 0
    capsys.readouterr()
    assert main(["release", NAME, "--work", "other", "--to-folder", "empty"]) == 0
    warned = capsys.readouterr().err
    assert "\nwarning: `default` has no rows, and load_dataset refuses" in f"\n{warned}"
    assert warned.count("\n") == 3 and warned.startswith("this set has no file: ")
