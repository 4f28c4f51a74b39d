"""Shell completion: the printed script, run by the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.main import VERBS, main

# What is typed, its last word not yet whole, and what a shell offers for it.
OFFERS = {
    "potstill bu": ["build"],
    "potstill build ultra": ["ultrafeedback"],
    "potstill ne": ["new"],
    "potstill new inst": [],
    "potstill new mine --reci": ["--recipe"],
    "potstill new mine --recipe ultra": ["ultrafeedback"],
    "potstill new mine --recipe hou": [],
    "potstill prev": ["preview"],
    "potstill preview hou": ["household"],
    "potstill build notes": [],
    "potstill show hou": ["household"],
    "potstill diff household hou": ["household"],
    "potstill release household --branch hou": [],
    "potstill build ./hou": ["./household.md"],
    "potstill preview constit": ["constitution"],
    "potstill preview ultrafeedback --judge-t": ["--judge-tokens"],
    "potstill preview completions --fu": ["--full"],
    "potstill build completions --sam": ["--samples"],
    "potstill build ultrafeedback --writ": ["--writers"],
    "potstill build completions --choose ju": ["judged"],
    "potstill build completions --samples 3 --choose l": ["longest"],
    "potstill release --to-f": ["--to-folder"],
    "potstill merge --work gr": ["grain"],
    "potstill help comple": ["completion"],
    "potstill help build inst": ["instructions"],
    "potstill completion f": ["fish"],
    "potstill teacher c": ["check"],
    "potstill teacher check embedded --key": ["--key-env"],
    "potstill yank org/set --u": ["--use"],
    "potstill build ./gr": ["./grain"],
}

BASH = """
source "$1"
while read -r line; do
    read -ra COMP_WORDS <<<"$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    "$(complete -p potstill | sed -E 's/.*-F ([^ ]+).*/\\1/')" 2>/dev/null
    echo "${COMPREPLY[*]}"
done
"""
FISH = """
source $argv[1]
while read -l line
    echo (complete -C "$line" | string replace -r '\\t.*' '' | string trim -rc /)
end
true
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a set, another Markdown file and a folder, where a shell looks for files."""
    (tmp_path / "household.md").write_text("---\nrecipe: completions\n---\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("# No set\n", encoding="utf-8")
    (tmp_path / "grain").mkdir()
    return tmp_path


def script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file with the script for a shell."""
    assert main(["completion", shell]) == 0
    file = folder / f"completion.{shell}"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def ask(command: list[str], folder: Path) -> list[str]:
    """What the shell prints for each line of OFFERS."""
    lines = "".join(f"{line}\n" for line in OFFERS)
    done = subprocess.run(
        command, cwd=folder, input=lines, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_bash_completes_verbs_flags_choices_sets_recipes_and_folders(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = script("bash", place, capsys)
    offered = ask(["bash", "--norc", "-c", BASH, "bash", str(file)], place)
    assert dict(zip(OFFERS, offered, strict=True)) == {
        line: " ".join(words) for line, words in OFFERS.items()
    }


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish on this machine")
def test_fish_completes_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script("fish", place, capsys)
    offered = ask(["fish", "--no-config", "-c", FISH, str(file)], place)
    expected = {line: " ".join(words) for line, words in OFFERS.items()}
    for path in ("potstill build ./gr", "potstill build ./hou"):
        del expected[path]  # of sets and recipes, fish is given the names
    found = dict(zip(OFFERS, offered, strict=True))
    assert {line: found[line] for line in expected} == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh on this machine")
def test_zsh_reads_the_script(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script("zsh", place, capsys)
    subprocess.run(["zsh", "-n", str(file)], check=True, timeout=60)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("#compdef potstill\n")
    assert all(f"{verb}:" in text for verb in VERBS)
    here = (
        f"cd {place}; compdef() {{ :; }}; compadd() {{ echo $@; }}; source {file}; _potstill_sets"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", here], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split()[:3] == ["--", "household", "completions"]
