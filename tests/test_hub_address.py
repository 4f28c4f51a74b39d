"""The address of the Hub is checked before a library uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builders.errors import InputError
from builders.hub_address import hub_address
from scripts.main import main
from tests.cases import each

BAD = [
    "http://h:99999",
    "http://127.0.0.1:35769,",
    "h:99999",
    "huggingface.co",
    "ftp://h",
    "http://",
]
BAD += ["https://a b", "http://u:p@h", "http://h:0", "http://h:x", "http://h?x=1", "http://[::1"]
GOOD = [
    "https://huggingface.co",
    "http://127.0.0.1:8000",
    "http://[::1]:8000",
    "HTTPS://hub.example",
]
GOOD += ["http://hub_in-a.box:1/path", "http://localhost"]


def test_what_is_no_address_is_refused_and_an_empty_one_counts_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for address in BAD:
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(InputError, match=r"^HF_ENDPOINT is '.*', which is no address of a Hub"):
            hub_address()
    for address in GOOD:
        monkeypatch.setenv("HF_ENDPOINT", f"{address}/")
        assert hub_address() == address
    for address in ("", " "):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert hub_address() == "https://huggingface.co" and "HF_ENDPOINT" not in os.environ


@each(
    "words",
    [
        "release completions --to-hub org/set",
        "release completions --to-hub org/set --dry-run",
        "check org/set@v1.0.0",
        "show org/set",
        "diff org/set org/set@v1.0.0",
        "yank org/set@v1.0.0 --why it",
        "review org/set 7",
        "new mine --from org/set",
        "build completions --prompts org/set --license mit --teacher scripted:script.jsonl",
        "build completions --contributed org/set",
    ],
)
def test_every_verb_refuses_a_wrong_address_in_one_line(
    words: str,
    draft: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(draft)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:35769,")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    capsys.readouterr()
    assert main(words.split()) == 1, words
    out, err = capsys.readouterr()
    assert err.startswith("potstill: HF_ENDPOINT is 'http://127.0.0.1:35769,', which is"), err
    assert err.count("\n") == 1 and not out


def test_a_source_on_a_hub_names_the_variable_that_keeps_it_from_being_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "build completions --prompts org/set --license mit --teacher scripted:script.jsonl"
    (tmp_path / "script.jsonl").write_text('{"when": "x", "answer": "y"}\n', encoding="utf-8")
    assert main(words.split()) == 1  # the tests run with HF_HUB_OFFLINE=1
    refused = "; HF_HUB_OFFLINE is set, and the set is not in the cache; unset it\n"
    assert capsys.readouterr().err.endswith(refused)


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """A folder with a draft of `completions`."""
    from tests.drafting.test_run import build_words

    assert main(build_words(tmp_path, name="completions")) == 0
    return tmp_path
