"""A word is a set on a Hub or a path; what looks like a path is never asked of a Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.set_names import parse_set, set_name
from scripts.main import main
from tests.cases import each

SETS = {
    "org/set": ("org/set", None),
    "org/set@v1.0.0": ("org/set", "v1.0.0"),
    "org/set@refs/pr/3": ("org/set", "refs/pr/3"),
    "Magpie-Align/Magpie-Llama-3.1-Pro-300K": ("Magpie-Align/Magpie-Llama-3.1-Pro-300K", None),
    "org/set.v2": ("org/set.v2", None),
    "org/set-1.5": ("org/set-1.5", None),
    "data/set@main": ("data/set", "main"),  # a revision makes it a set
    "here/set@v1.0.0": ("here/set", "v1.0.0"),
}
PATHS = [
    *("set", "./set", "../set", "/org/set", "~/set", "a/b/c", "org/set/", "org//set", ".org/set"),
    *("out/nosuch", "work/releases", "Results/mine", "outputs/x", "tmp/x", "datasets/set"),
    *("here/set", "org/rows.jsonl", "org/rows.parquet", "org/rows.jsonl.gz", "org/notes.md"),
    *("org/set@", "org set", "../x@main extra", "https://huggingface.co/datasets/org/set"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder that has one folder, `here`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()


@each("text", [*SETS])
def test_org_and_set_and_any_revision_name_a_set(text: str) -> None:
    assert set_name(text) == SETS[text] == parse_set(text)


@each("text", PATHS)
def test_what_looks_like_a_path_is_no_set(text: str) -> None:
    assert set_name(text) is None
    with pytest.raises(InputError, match=r"; expected a set on a Hub such as org/set@v1\.0\.0"):
        parse_set(text)


def test_a_revision_given_apart_makes_a_set_too() -> None:
    assert set_name("out/nosuch", "main") == ("out/nosuch", "main")


@each(
    ("words", "wrong"),
    {
        "check": ("check {}", "there is no folder '{}'; expected the folder of a release, or a"),
        "diff": ("diff {} completions", "there is no folder '{}'; expected the folder of a draft"),
        "review": ("review {} 3", "there is no folder '{}'; expected a set on a Hub"),
        "yank": ("yank {} v1.0.0 --why it", "there is no folder '{}'; expected a set on a Hub"),
        "show": ("show {}", "there is no folder '{}'; expected the folder of a draft"),
        "release": ("release {} --to-hub org/set", "there is no file or folder '{}'"),
        "ledger": ("ledger {}", "there is no file or folder '{}'"),
        "merge": ("merge completions {}", "{} is not there"),
        "judge": ("judge --on {}", "there is no file '{}'"),
        "prompts": ("build completions --teacher scripted:x --prompts {}", "no file '{}'"),
        "contributed": (
            "build completions --contributed {}",
            "there is no folder '{}'; expected a file, a folder, or a set such as org/set",
        ),
    },
)
def test_every_verb_reports_a_missing_folder_and_asks_no_hub(
    words: str, wrong: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # so that a request would be one
    for place in ("out/nosuch", "here/nosuch"):
        assert main(words.format(place).split()) == 1
        out, err = capsys.readouterr()
        assert wrong.format(place) in err and err.count("\n") == 1 and not out


def test_a_name_that_no_hub_has_is_reported_as_a_missing_folder_too(
    hub: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    for words in ("check mine/nosuch", "diff mine/nosuch mine/other", "show mine/nosuch"):
        assert main(words.split()) == 1
        missing = f"there is no folder 'mine/nosuch', and {hub.endpoint} has no repository"
        assert capsys.readouterr().err.startswith(f"potstill: {missing} 'mine/nosuch', or")
