"""`potstill show`: what it finds, what it prints where, and the chain of a row."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.drafting.files import read_parquet
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, write_script
from tests.hubs import Hub

RULES = [
    {"when": "What is 2 plus", "answer": "I'm sorry, but I can't help with that."},
    {"when": "What is 4 plus", "answer": "\x1b[31mEight\x1b[0m, take {{hash}}."},
    {"when": "What is (\\d+)", "answer": "Twice {{1}}, take {{hash}}."},
]
Show = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a draft of `completions` in work/ and its release in out/."""
    folder = tmp_path_factory.mktemp("set")
    words = build_words(folder, name="completions", rows=6)
    write_script(folder, RULES)
    with contextlib.chdir(folder):
        assert main([*words, "--samples", "2"]) == 0
        assert main(["release", "completions", "--to-folder", "out"]) == 0
        yield folder


@pytest.fixture
def show(home: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    def run(*words: str) -> str:
        capsys.readouterr()
        with contextlib.chdir(home):
            status = main(["show", *words])
        out, err = capsys.readouterr()
        assert (status, err) == (0, ""), err
        return out

    return run


PLACES = ["completions", "work/completions", "work/completions/drafts/0001", "./out", "out"]


@each("place", PLACES)
def test_a_set_is_shown_wherever_it_is(place: str, show: Show) -> None:
    out = show(place)
    assert out.startswith("rows: prompts  ") and re.search(
        r"^dropped: refusal +2 +16\.7%$", out, re.M
    )
    assert re.search(r"^kept [0-9a-f]{16}\n  user: What is 0 plus 0\?\n  assistant: ", out, re.M)
    assert "matched: I'm sorry, but I can't help" in out
    assert re.search(r"kept instead: [0-9a-f]{16}\n    user: What is", out)
    assert len(re.findall(r"^kept \w{16}", show(place, "--rows", "1"), re.M)) == 1


@each("place", PLACES)
def test_a_page_is_written_of_a_set_wherever_it_is(place: str, show: Show, home: Path) -> None:
    out = show(place, "--page", "set.html")
    html = (home / "set.html").read_text(encoding="utf-8")
    assert out == f"wrote set.html ({len(html.encode()) / 1e6:,.1f} MB); open it in a browser\n"
    assert f"<title>completions {'v' if 'out' in place else 'draft 0001'}" in html


def test_a_released_set_on_a_hub_is_shown_at_a_revision(
    hub: Hub, repo: str, home: Path, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = {"repo_id": repo, "repo_type": "dataset"}
    hub.api().upload_folder(**at, folder_path=home / "out")
    hub.api().create_tag(**at, tag="v9")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    row = next(read_parquet(home / "out/data/default/train-00000-of-00001.parquet"))
    shown = json.loads(show(f"{repo}@v9", "--id", row["id"], "--json"))
    assert shown["rows"] == {"default": [row]} and shown["set"] == f"{repo}@v9"
    assert f"version 0.1.0               {repo}\n" in show(repo)


DAMAGE = {  # the file that is damaged, and the words before and after the name of the set
    "rows": ("data/default/train-00000-of-00001.parquet", "show {}"),
    "rows, for a page": ("data/default/train-00000-of-00001.parquet", "show {} --page set.html"),
    "rows, compared": ("data/default/train-00000-of-00001.parquet", "diff {} out"),
    "manifest": ("manifest.json", "show {}"),
    "manifest, checked": ("manifest.json", "check {}"),
    "manifest, to start from": ("manifest.json", "new mine --from {}"),
}


@each(("file", "words"), DAMAGE)
def test_errors_of_a_fetched_set_name_the_set_and_not_where_it_was_fetched_to(
    file: str,
    words: str,
    hub: Hub,
    repo: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = {"repo_id": repo, "repo_type": "dataset"}
    hub.api().upload_folder(**at, folder_path=home / "out")
    hub.api().upload_file(**at, path_or_fileobj=b"PAR1 {", path_in_repo=file)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    capsys.readouterr()
    with contextlib.chdir(home):
        assert main(words.format(f"{repo}@main").split()) == 1
    _, err = capsys.readouterr()
    assert repo in err and "potstill-" not in err and err.count("\n") == 1, err


def test_rows_are_chosen_by_reason_config_and_id(show: Show) -> None:
    refusals = json.loads(show("out", "--dropped", "refusal", "--json"))["rows"]
    assert {*refusals} == {"dropped"}
    assert json.loads(show("--dropped", "refusal", "out", "--json"))["rows"] == refusals
    assert [row["reason"] for row in refusals["dropped"]] == ["refusal"] * 2
    every = json.loads(show("--dropped", "out", "--rows", "99", "--json"))["rows"]["dropped"]
    assert {row["reason"] for row in every} == {"refusal", "not chosen", "unprintable"}
    assert show("out", "--config", "calls", "--rows", "3").count("\ncall ") == 2
    identity = every[0]["id"]
    assert show("out", "--id", identity[:14]).startswith(f"dropped {identity}: ")


def test_where_nothing_was_dropped_it_is_printed_so(home: Path, show: Show, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = Path(shutil.copytree(home / "out", tmp_path / "kept"))
    for path in (folder / "data" / "dropped").iterdir():
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    for words in (["--dropped"], ["--config", "dropped"]):
        assert show(str(folder), *words) == "no row was dropped\n"
        assert json.loads(show(str(folder), *words, "--json"))["rows"] == {"dropped": []}


WRONG = {
    (
        "out",
        "--dropped",
        "refusel",
    ): "'refusel'; the reasons are 'not chosen', 'refusal', 'unprintable'; did you mean 'refusal'",
    ("out", "--config", "cals"): "no config 'cals'; there are calls, default, dropped; did you mea",
    ("out", "--id", "zzzz"): "no row and no call has an id that begins with 'zzzz'",
    ("out", "--why", ""): "--why: the value is empty",
    ("out", "--id", "a", "--why", "b"): "--id and --why are both given; give one of them",
    ("out", "--rows", "-1"): "--rows: '-1' is not a whole number from 0 on",
    ("complitions",): "there is no set and no recipe 'complitions'",
    ("./nowhere",): "there is no folder './nowhere'",
}


@each(("words", "expected"), WRONG.items())
def test_what_is_not_there_is_refused_in_one_line(
    words: tuple[str, ...], expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with contextlib.chdir(home):
        assert main(["show", *words]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and expected in err, err


# --- why


def test_the_chain_of_a_row_is_whole_for_kept_and_dropped_rows_and_calls(show: Show) -> None:
    rows = json.loads(show("completions", "--json", "--rows", "99"))["rows"]
    for config, outcome in (("default", "kept"), ("dropped", "dropped")):
        for row in rows[config]:
            chain = json.loads(show("completions", "--why", row["id"][:14], "--json"))
            assert (chain["outcome"], chain["row"]) == (outcome, row)
            assert chain["source"]["name"] == "prompts.txt"
            assert chain["source"]["prompt"] == row.get("evidence", row)["prompt"]
            assert {call["role"] for call in chain["calls"]} == {"writer"}
            assert all(call["cost_usd"] == 0 and call["asked"] for call in chain["calls"])
            assert all(row["id"] in call["row_ids"] for call in chain["calls"])
            assert chain["gates"]["result"] == (
                f"dropped: {row['reason']}" if config == "dropped" else "passed all"
            )
            made = chain["made by"]
            assert made["code"].startswith("sha256:") and "potstill" in made["tools"]
            assert made["teachers"]["writer"]["kind"] == "scripted"
            call = chain["calls"][0]
            back = json.loads(show("completions", "--why", call["id"], "--json"))
            assert back["outcome"] == "call" and back["calls"] == [call]
            found = [one["id"] for some in back["rows"].values() for one in some]
            assert {*found} == {*call["row_ids"]}


def test_the_chain_is_the_same_of_a_draft_and_of_its_release(show: Show) -> None:
    row = json.loads(show("out", "--json"))["rows"]["default"][0]
    draft, release = (json.loads(show(at, "--why", row["id"], "--json")) for at in PLACES[-3:-1])
    assert draft["made by"].pop("version") is None and release["made by"].pop("version") == "0.1.0"
    assert draft == release


def test_a_chain_prints_prompts_answers_and_versions_whole(show: Show) -> None:
    (row, _) = json.loads(show("out", "--dropped", "unprintable", "--json"))["rows"]["dropped"]
    out = show("out", "--why", row["id"])
    for line in ("source", "  name: prompts.txt", "calls: 1", "gates", "made by", "  tools"):
        assert re.search(rf"^{re.escape(line)}$", out, re.M), line
    assert r"answer: \x1b[31mEight\x1b[0m, take" in out


# --- where it is printed


SHOW = ("-m", "scripts.main", "show")
PRINT = ("-c", "from scripts.command_line import print_paged; print_paged('made')")


def on_a_terminal(home: Path, *words: str, **settings: str) -> bytes:
    """What a Python command writes to a terminal."""
    outer, inner = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PAGER": "cat", **settings}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=inner,
        stderr=subprocess.STDOUT,
    )
    os.close(inner)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while some := os.read(outer, 65536):
            written += some
    os.close(outer)
    assert process.wait(timeout=60) == 0, written
    return written


def test_a_terminal_has_color_unless_no_color_is_set(home: Path) -> None:
    words = ("out", "--rows", "1")
    colored = on_a_terminal(home, *SHOW, *words, NO_COLOR="")
    assert b"\x1b[1;32mkept" in colored and b"\x1b[1;31mdropped" in colored
    for settings in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b" not in on_a_terminal(home, *SHOW, *words, **settings)


PAGERS = {
    "a pager of the user's": ("sed s/^/PAGED/", True),
    "one with a setting": ("LEFT=PAGED sh -c 'sed s/^/$LEFT/'", True),
    "one that reads nothing": ("true", None),
    "none": ("", False),
    "cat": ("cat", False),
    "one that is not there": ("no-such-pager", False),
}


@each(("pager", "paged"), PAGERS)
def test_a_terminal_gets_it_through_the_pager(pager: str, paged: bool | None, home: Path) -> None:
    out = on_a_terminal(home, *PRINT, PAGER=pager)
    assert (b"PAGEDmade" in out) == bool(paged)
    assert (b"made" in out) == (paged is not None)


def test_a_pipe_gets_plain_text_and_no_pager(
    home: Path, potstill: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    plain: dict[str, Any] = {"PAGER": "sed s/^/PAGED/", "TERM": "xterm", "FORCE_COLOR": "1"}
    done = potstill("show", "out", env=plain, cwd=home)
    assert done.returncode == 0 and done.stderr == ""
    assert "PAGED" not in done.stdout and "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 80
