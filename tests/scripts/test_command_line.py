"""Command lines: words in any order, near names offered, one line for every error."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.main import VERBS, main, parsers
from tests.conftest import ROOT
from tests.drafting.test_run import write_prompts, write_script
from tests.scripts.test_bad_input import WHAT_WAS_READ

# A command line, and the one line that it is answered with.
WRONG = {
    "": "name a verb; `potstill help` lists them",
    "buidl instructions": "there is no verb 'buidl'; did you mean 'build'?",
    "frobnicate": "there is no verb 'frobnicate'; `potstill help` lists them",
    "--versoin": "there is no flag '--versoin'; did you mean '--version'?",
    "help buidl": "did you mean 'build'?",
    "completion tcsh": "SHELL: there is no 'tcsh'; there are bash, fish, zsh",
    # flags
    "build completions --sample 3": "build has no flag '--sample'; did you mean '--samples'?",
    "build completions --prompts a --prompts b": "--prompts: given twice; put the files",
    "build completions --row 3": "potstill build has no flag '--row'; did you mean '--rows'?",
    "build --row 3 completions": "potstill build has no flag '--row'; did you mean '--rows'?",
    "build completions --row=3": "potstill build has no flag '--row'; did you mean '--rows'?",
    "build instructions --prompts x.txt": "has no flag '--prompts'; did you mean '--seeds'?",
    "build completions --seeds x.txt": "has no flag '--seeds'; did you mean '--prompts'?",
    "build completions --dataset=x": "has no flag '--dataset'; did you mean '--prompts'?",
    "build completions --limit 3": "has no flag '--limit'; did you mean '--rows'?",
    "build completions --base-url x": "has no flag '--base-url'; did you mean '--teacher'?",
    "build completions --api-key x": "has no flag '--api-key'; did you mean '--key-env'?",
    "build completions --workers 3": "has no flag '--workers'; did you mean '--concurrency'?",
    "build completions --output x": "has no flag '--output'; did you mean '--work'?",
    "release x --output x": "has no flag '--output'; did you mean '--to-folder'?",
    "judge --input x": "has no flag '--input'; did you mean '--on'?",
    "show completions --dry-run": "no flag '--dry-run'; `potstill show --help` lists them",
    "show --zzz": "potstill show has no flag '--zzz'; `potstill show --help` lists them",
    "show --bogus x": "potstill show has no flag '--bogus'",
    "build -- completions --rows 1": "'--rows' is one word too many",
    "list --jsn": "potstill list has no flag '--jsn'; did you mean '--json'?",
    "list --json=yes": "--json takes no value; type --json alone",
    "build completions --rows": "--rows needs a value; type --rows N",
    "build completions --teacher --json": "--teacher needs a value; type --teacher [ROLE=]WHO",
    # values
    "build completions --rows 0": "--rows: '0' is not a whole number from 1 on",
    "build completions --rows -1": "--rows: '-1' is not a whole number from 1 on",
    "build completions --rows 1e3": "--rows: '1e3' is not a whole number from 1 on",
    "build completions --rows ²": "--rows: '²' is not a whole number from 1 on",
    "build completions --rows 99999999999999999999": "--rows: 99999999999999999999 is too large",
    "build completions --seed 9999999999999999999": "--seed: 9999999999999999999 is too large",
    "build completions --seed x": "--seed: 'x' is not a whole number",
    "build completions --timeout nan": "--timeout: 'nan' is not a number above 0",
    "build completions --timeout 0": "--timeout: '0' is not a number above 0",
    "build completions --budget-usd inf": "--budget-usd: 'inf' is not a number above 0",
    "build completions --price nan/1": "--price: nan is not a number from 0 on",
    "build completions --price -5/-5": "--price needs a value",
    "build completions --price=-5/-5": "--price: -5.0 is not a number from 0 on",
    "build completions --price cheap": "--price: 'cheap' is not IN/OUT; expected USD per million",
    "build completions --prices none": "--prices: 'none' is not a table of prices (No such file",
    "build completions --prices .": "--prices: '.' is not a table of prices (Is a directory)",
    "build completions --license bogus": "--license: the licence 'bogus' is not known to the Hub",
    "build completions --license mti": "did you mean 'mit'?",
    "build completions --shard 0/3": "--shard: '0/3' is not I/N with I from 1 to N, such as 3/8",
    "build completions --shard 4/3": "--shard: '4/3' is not I/N with I from 1 to N",
    "build completions --work s3://x": "--work: 's3://x' is not a path",
    "build completions --model=": "--model: the value is empty; give one, or leave it out",
    "build completions --choose judge": "did you mean 'judged'?",
    "build completions --samples 0": "--samples: 0 is not a whole number",
    "build completions --samples 9999999": "--samples: 9999999 is too large; the largest is 1,000",
    "build completions --temperature -1": "--temperature: -1.0 is not a number",
    "build completions --temperature nan": "--temperature: nan is not a number",
    "build completions --temperature warm": "--temperature: 'warm' is not a number",
    "hub --port 65536": "--port: 65536 is too large; the largest is 65,535",
    "review org/set seven": "N: 'seven' is not a whole number from 1 on",
    # words
    "build": "NAME is missing; type `potstill build NAME`",
    "merge": "NAME is missing; type `potstill merge NAME [FOLDER]`",
    "diff old": "NEW is missing; type `potstill diff OLD NEW`",
    "judge": "--on is missing; type `potstill judge --on WHERE`",
    "yank org/set@v1.0.0": "--why is missing; type `potstill yank ORG/SET@VERSION --why TEXT`",
    "yank org/set --why it": "'org/set' names no version; type org/set@v1.1.0",
    "show one two": "'two' is one word too many; type `potstill show NAME`",
    "teacher": "check, WHO[#MODEL] is missing; type `potstill teacher check WHO[#MODEL]`",
    "teacher chek embedded": "check: there is no 'chek'; there are check; did you mean 'check'?",
    # flags against each other
    "judge --on x --teacher judge=embedded": "--teacher: 'judge=embedded' names a role; leave out",
    "release completions --to-hub set": "--to-hub: 'set' is not the name of a repository",
    "release completions --to-hub ./a/b": "--to-hub: './a/b' is not the name of a repository",
    "release completions --to-hub org/set@v1.0.0": "--to-hub: 'org/set@v1.0.0' is not the name of",
    "review org/set@v1.0.0 7": "'org/set@v1.0.0': a pull request has no version; type org/set",
    "release completions --pr --branch x": "--pr is about main; leave it out, or leave",
    "release completions --to-folder x --branch y": "--branch is about a Hub; leave it out",
    "release completions --to-folder x --pr": "--pr is about a Hub; leave it out, or leave out",
}


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status, and the one line on stderr."""
    status = main(words)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("potstill: ") and err.count("\n") == 1, (words, out, err)
    return status, err.removeprefix("potstill: ").strip()


def test_wrong_usage_is_answered_with_one_line_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line, wrong in WRONG.items():
        status, message = answer(line.split(), capsys)
        assert (status, wrong in message) == (2, True), (line, message)
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_looks_like_a_flag_is_a_recipe_that_does_not_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line, wrong in {
        "build -": "there is no recipe '-'; there are completions",
        "build -1": "there is no recipe '-1'; there are completions",
        "build -- --": "there is no recipe '--'; there are completions",
        "build -- ./-dash.py": "there is no file './-dash.py'",
    }.items():
        status, message = answer(line.split(), capsys)
        assert (status, wrong in message) == (1, True), (line, message)


def test_a_place_to_check_that_does_not_exist_and_is_no_set_is_a_missing_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("nope", "./nope", "../nope", "/nope", "work/releases/nope"):
        status, message = answer(["check", word], capsys)
        wrong = f"there is no folder {word!r}; expected the folder of a release, or a set"
        assert (status, wrong in message) == (1, True), (word, message)


def test_words_and_flags_come_in_any_order() -> None:
    orders = {
        "build --rows 3 -- completions": {"name": "completions", "rows": 3},
        "merge --work W -- completions -A": {"name": "completions", "shards": ["-A"]},
        "merge completions --work W A B": {
            "name": "completions",
            "shards": ["A", "B"],
            "work": "W",
        },
        "merge --work W completions A --json B": {"name": "completions", "shards": ["A", "B"]},
        "diff --json old --work W new": {"old": "old", "new": "new", "json": True, "work": "W"},
        "review --merge org/set --comment 7": {"set": "org/set", "number": 7, "merge": True},
        "yank --why it org/set@v1.0.0 --use v0.9.0": {"set": "org/set@v1.0.0", "why": "it"},
        "build --samples 2 --json completions --rows 3": {"name": "completions", "rows": 3},
        "help build completions": {"about": "build", "name": "completions"},
    }
    for line, expected in orders.items():
        verb, *words = line.split()
        given = vars(parsers({verb: words})[verb].parse(words))
        shown = {name: given[name] for name in expected}
        assert str(shown).replace("PosixPath(", "").replace(")", "") == str(expected), line


def test_the_spellings_of_before_are_accepted() -> None:
    spellings = {
        "release completions --to x": "release completions --to-folder x",
        "hub --data x": "hub --hub-data x",
        "build completions --licence mit": "build completions --license mit",
        "build completions --teacher-licence mit --teacher-license judge=gemma": "build "
        "completions --teacher-license mit --teacher-license judge=gemma",
        "build completions --requests-a-minute 3": "build completions --requests-per-minute 3",
        "build completions --tokens-a-minute 3": "build completions --tokens-per-minute 3",
    }
    for before, now in spellings.items():
        one, other = (
            parsers({verb: words})[verb].parse(words)
            for verb, *words in (before.split(), now.split())
        )
        assert one == other, before


# --- hostile words

HOSTILE = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\udcff\udcfe",
        "\x1b[31m",
        "a\nb",
        "x" * 300,
        "x" * 5000,
        "x/" * 2500,
    ),
    *("folder", "file", "empty", "noise.jsonl", "noise.parquet", "loop", "closed", "/dev/null"),
    *("-1", "1e3", "nan", "-inf", "99999999999999999999", "9" * 5000, "²", "٣", "0x10", "1/0"),
    *("--", "-", "org/set@", "@v1", "a=b", "=", "#", "ünïcödé", "{}", "%s", "%(default)s"),
    *("http://", "http://[", "http://127.0.0.1:99999/v1", "scripted:", "scripted:folder", "a:b"),
)


SLOW = {"build", "preview", "release", "diff", "judge", "hub", "yank", "review"}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """A command line of each verb that does its work at once, in a folder of hostile things."""
    folder = tmp_path_factory.mktemp("hostile")
    build = ["build", "completions", "--rows", "1", "--samples", "1"]
    build += ["--prompts", str(write_prompts(folder, 1))]
    build += ["--teacher", f"scripted:{write_script(folder)}"]
    (folder / "folder").mkdir()
    (folder / "file").write_text("x", encoding="utf-8")
    (folder / "empty").touch()
    (folder / "noise.jsonl").write_bytes(os.urandom(500))
    (folder / "noise.parquet").write_bytes(b"PAR1" + os.urandom(400) + b"PAR1")
    (folder / "loop").symlink_to("loop")
    (folder / "closed").mkdir(mode=0)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
        assert main(build) == 0
        assert main(["release", "completions", "--to-folder", "released"]) == 0
        yield {
            "list": ["list"],
            "new": ["new", "mine", "--recipe", "completions"],
            "build": build,
            "preview": ["preview", *build[1:2], *build[6:]],
            "merge": ["merge", "completions"],
            "ledger": ["ledger", "completions"],
            "show": ["show", "completions"],
            "release": ["release", "completions", "--to-folder", "released"],
            "diff": ["diff", "released", "released"],
            "check": ["check", "released"],
            "yank": ["yank", "org/set@v1.0.0", "--why", "it"],
            "review": ["review", "org/set", "7"],
            "judge": ["judge", "--on", "file"],
            "teacher": ["teacher", "check", build[-1]],
            "hub": ["hub", "--add-user", "ann"],
            "completion": ["completion", "bash"],
            "help": ["help", "build", "completions"],
        }


def hostile(line: list[str]) -> Iterator[list[str]]:
    """The command line with each hostile value: for every flag, every word, and one word more."""
    verb, *words = line
    for action in parsers({verb: words})[verb].shown():
        if action.nargs != 0 and action.option_strings:
            yield from ([*line, action.option_strings[0], value] for value in HOSTILE)
    for place in range(1, len(line) + 1):
        yield from ([*line[:place], value, *line[place + 1 :]] for value in HOSTILE)


@pytest.mark.parametrize(
    "verb",
    [pytest.param(verb, marks=[pytest.mark.slow] if verb in SLOW else []) for verb in VERBS],
)
def test_no_hostile_word_ends_in_a_traceback(
    verb: str, valid: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(valid) == set(VERBS)
    for words in hostile(valid[verb]):
        status = main(words)
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err, words
        if status:
            lines = [line for line in err.splitlines() if not WHAT_WAS_READ.match(line)]
            assert (out, len(lines)) == ("", 1) and len(lines[0]) < 1100, (words, out, err)


# --- streams and encodings


def run(words: str, **settings: object) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, through a shell for the sake of its streams."""
    command = f"exec {sys.executable} -m scripts.main {words}"
    return subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, check=False, timeout=60, **settings
    )


def test_a_stream_that_is_closed_or_full_ends_in_no_traceback() -> None:
    for words, status, err in [
        ("list >&-", 0, b""),
        ("list >&- 2>&- <&-", 0, b""),
        ("list 2>&-", 0, b""),
        ("show completions --work nowhere 2>&-", 1, b""),
        ("list >/dev/full", 1, b"potstill: the output cannot be written (No space left on device)"),
        ("--help >/dev/full", 1, b"potstill: the output cannot be written"),
        ("buidl 2>/dev/full", 2, b""),
    ]:
        done = run(words)
        assert done.returncode == status and done.stderr.startswith(err), (words, done)
        assert done.stderr.count(b"\n") == (1 if err else 0), (words, done)


def test_a_reader_that_has_seen_enough_gets_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m scripts.main list | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(b"completions\n") and done.stderr == b""


def test_what_an_encoding_lacks_is_printed_as_an_escape(tmp_path: Path) -> None:
    work = tmp_path / "wörk"
    for setting in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LANG": "C"}):
        done = run(f"show completions --work '{work}'", env={**os.environ, **setting})
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
        assert b"w\\xf6rk" in done.stderr or "wörk".encode() in done.stderr, done.stderr
