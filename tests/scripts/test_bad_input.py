"""Bad input of every kind: one clear line, the right exit status, nothing lost."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.file_lock import folder_lock
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import (
    build_words,
    file_bytes,
    write_prompts,
    write_script,
    write_seeds,
)
from tests.endpoint import Behaviour, Endpoint, Kind, Rule
from tests.small_disk import resize, small_disk

GOOD_TASK = {
    "instruction": "Name a colour of the sky.",
    "instances": [{"input": "", "output": "Blue."}],
    "is_classification": False,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of `datasets` is in the folder of the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with one finished draft of `instructions`, which was released once."""
    folder = tmp_path_factory.mktemp("finished")
    assert main(build_words(folder, rows=10)) == 0
    work = folder / "work"
    assert (
        main(["release", "instructions", "--work", str(work), "--to-folder", str(folder / "to")])
        == 0
    )
    return work


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, for a command that must change nothing there."""
    return Path(shutil.copytree(finished, tmp_path / "work"))


Refusal = Callable[..., str]


@pytest.fixture
def refusal(work: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Runs a command that must fail with one line and leave the drafts as they are.

    Before it may come what a build read.
    """

    def run(*words: str, code: int = 1, work: Path = work) -> str:
        before = drafts(work)
        place = [] if "--work" in words else ["--work", str(work)]
        assert main([*words, *place]) == code
        out, err = capsys.readouterr()
        assert out == ""
        *read, line = err.splitlines()
        assert err.endswith("\n") and all(map(WHAT_WAS_READ.match, read)), err
        assert line.startswith("potstill: ") and "Traceback" not in err
        assert len(line) < 500
        assert drafts(work) == before
        return line.removeprefix("potstill: ")

    return run


WHAT_WAS_READ = re.compile(
    r"making .*, and reading it back$|this set has no file: |\S+ was built with other "
    r"|(prompts|seeds): [\d,]+ of [\d,]+ rows?|columns not used: "
    r"|first \w+: |the licence of \S+ is unknown, "
    r"|[\d,]+ files? not read: |\S+ may hold the answer|[\d,]+ prompts? may end with"
)


def drafts(work: Path) -> dict[str, bytes]:
    """Every file of every draft, also of an unfinished one."""
    return {
        f"{folder.parent.name}/{name}": content
        for folder in sorted(work.glob("*/drafts"))
        for name, content in file_bytes(folder).items()
    }


def instructions(seeds: Path, folder: Path) -> list[str]:
    script = write_script(folder)
    return ["build", "instructions", "--teacher", f"scripted:{script}", "--seeds", str(seeds)]


def completions(prompts: Path, folder: Path, *words: str) -> list[str]:
    script = write_script(folder)
    given = ["build", "completions", "--teacher", f"scripted:{script}", "--prompts", str(prompts)]
    return [*given, *words]


# --- seeds


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


BAD_SEEDS: dict[str, tuple[bytes, str, str]] = {
    "a line that does not parse": (
        b'\n{"instruction": "Name\n',
        "1 of 1 row cannot be read, 0 seeds left; the first is seeds.jsonl, line 2",
        "not JSON",
    ),
    "a missing field": (
        lines({"instruction": "Name a fruit."}),
        "seeds.jsonl, line 1: no field 'instances', 'is_classification'; a seed is such as",
        '"instances": [{"input": "", "output": "Pear"}], "is_classification": false}',
    ),
    "more bad lines than good ones": (
        lines(GOOD_TASK, ["a"], 7),
        "2 of 3 rows cannot be read, more than half; the first is seeds.jsonl, line 2",
        "['a'] is not an object",
    ),
    "an empty file": (b"", "seeds.jsonl: 0 seeds left", "give another source"),
    "a file of blank lines": (b"\n \n\n", "seeds.jsonl: 0 seeds left", "give another source"),
}


@each("case", [*BAD_SEEDS])
def test_bad_seeds_are_named_by_file_and_line(case: str, tmp_path: Path, refusal: Refusal) -> None:
    content, wrong, todo = BAD_SEEDS[case]
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(content)
    message = refusal(*instructions(seeds, tmp_path))
    assert wrong in message and todo in message


def test_a_missing_file_of_seeds_is_named(tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(*instructions(tmp_path / "seedz.jsonl", tmp_path))
    assert "there is no file" in message and "seedz.jsonl" in message and ".jsonl" in message


def test_no_teacher_is_started_for_bad_seeds(tmp_path: Path, refusal: Refusal) -> None:
    with Endpoint() as endpoint:
        empty = tmp_path / "seeds.jsonl"
        empty.touch()
        refusal("build", "instructions", "--seeds", str(empty), "--teacher", endpoint.url)
        assert endpoint.requests == []


# --- prompts


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_a_missing_column_is_refused_and_the_columns_are_listed(
    tmp_path: Path, refusal: Refusal
) -> None:
    file = parquet(tmp_path / "set.parquet", {"ask": ["Why?"], "score": [1]})
    message = refusal(*completions(file, tmp_path, "--column", "question"))
    assert "set.parquet, row 1: no column 'question'; there are ask, score" in message
    assert "--column" in message
    message = refusal(*completions(file, tmp_path))
    assert "with prompts" in message and "there are ask, score" in message


@each(
    ("column", "shown"),
    [
        ([7, 8], "it is 7, expected a text or a list of messages"),
        ([b"Why?", b"Who?"], "it is b'Why?', expected a text"),
        ([[{"speaker": "me"}], [{"speaker": "you"}]], "the speaker 'me' is not known"),
    ],
)
def test_a_column_of_the_wrong_type_is_refused_with_its_value(
    column: list[Any], shown: str, tmp_path: Path, refusal: Refusal
) -> None:
    file = parquet(tmp_path / "set.parquet", {"prompt": column})
    message = refusal(*completions(file, tmp_path))
    assert f"set.parquet, row 1: column 'prompt': {shown}" in message


def test_an_empty_split_is_refused_by_name(tmp_path: Path, refusal: Refusal) -> None:
    folder = tmp_path / "set"
    parquet(folder / "train.parquet", {"prompt": ["Why?"]})
    with pq.ParquetWriter(folder / "test.parquet", pa.schema([("prompt", pa.string())])):
        pass
    message = refusal(*completions(folder, tmp_path, "--split", "test"))
    assert "set, split 'test': 0 prompts left" in message
    alone = folder / "test.parquet"
    assert "test.parquet: 0 prompts left" in refusal(*completions(alone, tmp_path))


def test_a_set_that_datasets_cannot_read_is_refused_with_the_reason(
    tmp_path: Path, refusal: Refusal
) -> None:
    nothing = pa.array([], type=pa.string())
    parquet(tmp_path / "set" / "train.parquet", {"prompt": nothing})  # a row group of no rows
    (tmp_path / "set" / "README.md").write_text("---\nconfigs: 7\n---\n")
    message = refusal(*completions(tmp_path / "set", tmp_path))
    assert "'set' could not be loaded: " in message and "check the name" in message


def test_a_missing_split_is_refused_and_the_splits_are_listed(
    tmp_path: Path, refusal: Refusal
) -> None:
    parquet(tmp_path / "set" / "train.parquet", {"prompt": ["Why?"]})
    message = refusal(*completions(tmp_path / "set", tmp_path, "--split", "validation"))
    assert "has no split 'validation'; there are train; name one with --split" in message


def test_a_file_of_blank_prompts_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    file = tmp_path / "blank.txt"
    file.write_text("\n \n\t\n", encoding="utf-8")
    assert "blank.txt: 0 prompts left" in refusal(*completions(file, tmp_path))


BAD_FILES = {
    "set.parquet": (b"PAR1 this is none", "is not a parquet file"),
    "set.json": (b'[{"prompt": "Why?"}, {"prompt":\n', "set.json, line 2: not JSON"),
    "rows.json": (b"[7]", "rows.json, row 1: 7 is not an object"),
    "set.csv": (
        b'prompt\n"' + b"x" * 200_000 + b"\n",
        "set.csv, line 2: a field begins",
    ),
}


@each("name", [*BAD_FILES])
def test_a_broken_file_of_prompts_is_named(name: str, tmp_path: Path, refusal: Refusal) -> None:
    content, wrong = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    message = refusal(*completions(tmp_path / name, tmp_path))
    assert name in message and wrong in message


def test_a_folder_without_data_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "nothing").mkdir()
    message = refusal(*completions(tmp_path / "nothing", tmp_path))
    assert "nothing holds no .jsonl, " in message


# --- the ledger


@each("link", ["work", "work/completions", "work/completions/ledger.sqlite"])
@each("kind", ["gone", "loop"])
def test_a_link_that_leads_nowhere_is_no_missing_ledger(
    tmp_path: Path, refusal: Refusal, link: str, kind: str
) -> None:
    place = tmp_path / kind / link.replace("/", "-") / link
    place.parent.mkdir(parents=True)
    place.symlink_to(place if kind == "loop" else tmp_path / "nowhere")
    work = ["--work", str(place.parents[link.count("/")] / "work")]
    prompts = ["--prompts", str(write_prompts(tmp_path, 2))]
    for words in (
        ["ledger", "completions"],
        ["ledger", "completions", "--repair"],
        ["ledger", "completions", "--export", str(tmp_path / "all.parquet")],
        ["build", "completions", *prompts, "--from-ledger"],
    ):
        assert f"{place} is a link that leads nowhere" in refusal(*words, *work)
    assert place.is_symlink()


def test_a_shard_s_ledger_that_is_a_link_to_nowhere_is_named_before_any_is_repaired(
    tmp_path: Path, refusal: Refusal
) -> None:
    shard = tmp_path / "completions" / "shards" / "1-of-2"
    shard.mkdir(parents=True)
    ledger = shard / "ledger.sqlite"
    ledger.symlink_to(tmp_path / "gone")
    message = refusal("ledger", "completions", "--repair", "--work", str(tmp_path))
    assert f"{ledger} is a link that leads nowhere" in message


# --- the teacher


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are repeated at once: the waiting times have tests of their own."""
    monkeypatch.setattr("builders.engine.requests._LONGEST_WAIT_S", 0.001)


def asking(address: str, folder: Path, rows: int = 3) -> list[str]:
    prompts = write_prompts(folder, rows)
    return ["build", "completions", "--prompts", str(prompts), "--teacher", address]


def test_a_teacher_that_does_not_run_is_named_by_its_address(
    tmp_path: Path, refusal: Refusal
) -> None:
    with Endpoint() as endpoint:
        address = endpoint.url
    message = refusal(*asking(address, tmp_path))
    assert f"nothing listens at {address}" in message
    assert "expected an OpenAI-compatible endpoint" in message and "--teacher" in message


BAD_ANSWERS: dict[Kind, tuple[str, str]] = {
    "401": ("needs another key (401: invalid api key)", "POTSTILL_API_KEY: it is not set"),
    "403": ("refused a request (403: forbidden)", "check what the account may use"),
    "404": ("has no model 'scripted-model' (404: model not found)", "correct --model or --teacher"),
    "html": ("answered 200 with HTML", "is this the /v1 address?"),
    "broken-json": ("answered 200 with what is not JSON", "is this the /v1 address?"),
    "400": ("refused a request that is too long for it (400: context length", "--max-tokens"),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_a_teacher_with_useless_answers_is_named_with_its_answer(
    kind: Kind, tmp_path: Path, refusal: Refusal
) -> None:
    wrong, todo = BAD_ANSWERS[kind]
    with Endpoint(Behaviour(rules=[Rule(kind)])) as endpoint:
        message = refusal(*asking(endpoint.url, tmp_path))
        assert f"{endpoint.url} {wrong}" in message and todo in message


@pytest.mark.usefixtures("hurried")
def test_a_teacher_that_takes_too_long_is_named_with_the_deadline(
    tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.requests._LEAST_SILENCE_S", 0.2)
    with Endpoint(Behaviour(rules=[Rule("hang")])) as endpoint:
        once = ("--rows", "1", "--samples", "1")
        message = refusal(*asking(endpoint.url, tmp_path), *once, "--timeout", "0.05")
    assert "requests had no answer within 0.05 s each" in message
    assert "lower --concurrency or raise --timeout" in message


@each("verb", ["build", "preview", "estimate", "default", "judge", "teacher"])
def test_a_variable_that_is_named_for_the_key_and_not_set_is_an_error_before_anything_is_sent(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    variable = "POTSTILL_API_KEY" if verb == "default" else "NO_SUCH_KEY"
    monkeypatch.delenv("POTSTILL_API_KEY", raising=False)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Why?", "response_a": "So.", "response_b": "No.", "label": "A"}\n')
    with Endpoint() as endpoint:
        who = f"{endpoint.url}#m"
        words = asking(who, tmp_path)
        words = {
            "preview": ["preview", *words[1:]],
            "estimate": [*words, "--estimate"],
            "judge": ["judge", "--on", str(pairs), "--teacher", who],
            "teacher": ["teacher", "check", who],
        }.get(verb, words)
        assert main([*words, "--key-env", variable]) == 1
        out, err = capsys.readouterr()
        message = f"potstill: the environment variable {variable} that --key-env names is not set, "
        assert not out and err.splitlines()[-1].startswith(message)
        assert not endpoint.requests


def test_a_key_that_is_named_needs_to_be_set_only_where_an_endpoint_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    with Endpoint() as endpoint:
        words = [*asking(endpoint.url, tmp_path), "--work", str(tmp_path), "--key-env", "MY_KEY"]
        assert main(words) == 0
        monkeypatch.delenv("MY_KEY")
        sent = len(endpoint.requests)
        assert main([*words, "--from-ledger"]) == 0 and len(endpoint.requests) == sent


def test_a_key_that_is_refused_is_not_printed(
    tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-1234")
    with Endpoint(Behaviour(rules=[Rule("401")])) as endpoint:
        message = refusal(*asking(endpoint.url, tmp_path), "--key-env", "MY_KEY")
        assert endpoint.requests[-1].headers["authorization"] == "Bearer secret-1234"
    assert "MY_KEY: the key in it was refused" in message and "secret-1234" not in message


class TwoModels(BaseHTTPRequestHandler):
    """An endpoint that lists two models."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": "small"}, {"id": "large"}]}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_of_several_models_one_must_be_named(tmp_path: Path, refusal: Refusal) -> None:
    with HTTPServer(("127.0.0.1", 0), TwoModels) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        message = refusal(*asking(address, tmp_path))
        server.shutdown()
        thread.join()
    assert f"{address} serves 2 models; name one with --model: small, large" in message


BAD_SCRIPTS: dict[str, tuple[bytes | None, str]] = {
    "missing.jsonl": (None, "cannot be read (No such file or directory); give a .jsonl file"),
    "empty.jsonl": (b"\n\n", "empty.jsonl has no rule; expected one JSON object per line"),
    "torn.jsonl": (b'{"answer": "x"}\n{"when":\n', "torn.jsonl, line 2: not a rule"),
    "list.jsonl": (b"[1]\n", "list.jsonl, line 1: not a rule"),
    "pattern.jsonl": (b'{"when": "(", "answer": "x"}\n', "pattern.jsonl, line 1: not a rule"),
    "silent.jsonl": (b'{"when": "a"}\n', "silent.jsonl, line 1: expected 'when' and a text"),
    "latin.jsonl": (b'{"answer": "caf\xe9"}\n', "latin.jsonl"),
    "mute.jsonl": (
        b'{"when": "zzz", "answer": "x"}\n',
        "no rule of mute.jsonl matches 'What is 0 p",
    ),
    "none.py": (b"message = 'x'\n", "none.py has no function answer(call)"),
    "empty.py": (
        b"def answer(call):\n    pass\n",
        "empty.py: answer(call) returned None, expected",
    ),
    "number.py": (
        b"def answer(call):\n    return {'text': 3}\n",
        "no call was answered: TypeError: number.py: answer(call) returned {'text': 3}",
    ),
    "exit.py": (
        b"import sys\ndef answer(call):\n    sys.exit(3)\n",
        "exit.py: answer(call) exits (3)",
    ),
    "at once.py": (b"import sys\nsys.exit(3)\n", "at once.py does not run (SystemExit: 3)"),
    "torn.py": (b"def answer(call:\n", "torn.py"),
}


@each("name", [*BAD_SCRIPTS])
def test_a_broken_script_is_refused_with_its_line(
    name: str, tmp_path: Path, refusal: Refusal
) -> None:
    content, wrong = BAD_SCRIPTS[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert wrong in refusal(*asking(f"scripted:{tmp_path / name}", tmp_path))


def test_a_teacher_of_an_unknown_kind_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(*asking("openai", tmp_path))
    assert "there is no teacher 'openai'; give 'embedded', 'embedded:FILE.gguf', " in message


# --- folders


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with small_disk(tmp_path / "disk", "2m") as place:
        yield place


def fill(disk: Path, leave: int = 0) -> None:
    """Fill a disk up to so many bytes."""
    with (disk / "filler").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(max(0, file.tell() - leave))


LONG_ANSWERS = """
import hashlib

def answer(call):
    return hashlib.shake_256(call.key).hexdigest(1000)
"""


def test_a_build_on_a_full_disk_is_refused_and_leaves_nothing(
    disk: Path, tmp_path: Path, refusal: Refusal
) -> None:
    fill(disk)
    words = completions(write_prompts(tmp_path, 60), tmp_path, "--work", str(disk / "work"))
    message = refusal(*words, work=disk / "work")
    assert "room" in message and str(disk) in message
    left = {path.name for path in disk.rglob("*") if path.is_file()}
    assert left <= {"filler", ".lock"}


def test_a_draft_without_room_loses_neither_the_last_draft_nor_an_answer(
    disk: Path, tmp_path: Path, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ("--work", str(disk / "work"))
    resize(disk, "16m")  # the ledger's journal may hold 4 MB
    (tmp_path / "long.py").write_text(LONG_ANSWERS, encoding="utf-8")
    words = asking(f"scripted:{tmp_path / 'long.py'}", tmp_path, rows=60)
    assert main([*words, *work, "--rows", "60"]) == 0
    fill(disk, leave=65536)
    capsys.readouterr()
    message = refusal(*words, *work, "--rows", "50", work=disk / "work")
    assert "no room left in" in message and "make room or name another folder" in message
    (disk / "filler").unlink()
    assert main([*words, *work, "--rows", "50", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["draft"].endswith("0002") and facts["run"]["calls"] == 0


def test_a_build_that_fills_its_disk_keeps_the_answers_it_has(
    disk: Path, tmp_path: Path, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.py").write_text(LONG_ANSWERS, encoding="utf-8")
    words = asking(f"scripted:{tmp_path / 'long.py'}", tmp_path, rows=400)
    words += ["--rows", "400", "--concurrency", "8", "--work", str(disk / "work")]
    words += ["--samples", "4", "--choose", "longest"]
    message = refusal(*words, work=disk / "work")
    assert "no room left" in message and str(disk) in message
    resize(disk, "32m")
    assert main([*words, "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["run"]
    assert run["reused"] > 30 and run["calls"] + run["reused"] == 1600


def test_a_release_without_room_is_refused_and_leaves_nothing(
    disk: Path, work: Path, refusal: Refusal
) -> None:
    fill(disk)
    before = sorted(disk.iterdir())
    message = refusal("release", "instructions", "--to-folder", str(disk / "released"))
    assert f"no room left in {disk}" in message and "nothing was changed" in message
    assert sorted(disk.iterdir()) == before


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder in which this process may not write, not even as root."""
    with tempfile.TemporaryDirectory(prefix="potstill-") as place:
        Path(place).chmod(0o555)
        with permissions_hold():
            yield Path(place)


@contextlib.contextmanager
def permissions_hold() -> Iterator[None]:
    """Without the capabilities by which root reads and writes everything (capset(2)).

    Another user would not do: the clone may be in a folder that only root can enter.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    held = ctypes.create_string_buffer(24)
    assert libc.capget(header, held) == 0
    effective, *others = struct.unpack("6I", held.raw)
    dac_override, dac_read_search = 1 << 1, 1 << 2
    fewer = effective & ~(dac_override | dac_read_search)
    assert libc.capset(header, struct.pack("6I", fewer, *others)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


def test_a_build_without_the_right_to_write_is_refused(
    closed_folder: Path, tmp_path: Path, refusal: Refusal
) -> None:
    words = completions(write_prompts(tmp_path, 3), tmp_path)
    message = refusal(*words, "--work", str(closed_folder / "work"), work=closed_folder)
    assert "permission" in message and str(closed_folder) in message and "another folder" in message
    assert list(closed_folder.iterdir()) == []


def test_a_release_without_the_right_to_write_is_refused(
    closed_folder: Path, work: Path, refusal: Refusal
) -> None:
    message = refusal("release", "instructions", "--to-folder", str(closed_folder / "released"))
    assert f"no permission to write in {closed_folder}; nothing was changed" in message
    assert list(closed_folder.iterdir()) == []


def test_unreadable_seeds_are_named(tmp_path: Path, refusal: Refusal) -> None:
    seeds = write_seeds(tmp_path)
    seeds.chmod(0)
    with permissions_hold():
        message = refusal(*instructions(seeds, tmp_path))
    assert "seeds.jsonl cannot be read" in message


def test_a_second_build_of_a_set_in_one_folder_is_refused(
    tmp_path: Path, work: Path, refusal: Refusal
) -> None:
    with folder_lock(work / "completions"):
        message = refusal(*completions(write_prompts(tmp_path, 3), tmp_path))
    assert f"another build is running in {work / 'completions'} (process {os.getpid()})" in message
    assert "wait for it, or name another folder with --work" in message


def test_a_work_folder_that_is_a_file_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    words = completions(write_prompts(tmp_path, 3), tmp_path, "--work", str(tmp_path / "file"))
    assert str(tmp_path / "file") in refusal(*words)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_another_release_in_the_folder_is_not_changed(
    tmp_path: Path, work: Path, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ("--to-folder", str(tmp_path / "released"))
    assert main(["release", "instructions", "--work", str(work), *to]) == 0
    before = file_bytes(tmp_path / "released")
    assert main([*build_words(tmp_path, rows=10), "--seed", "7"]) == 0
    capsys.readouterr()
    message = refusal("release", "instructions", *to)
    assert "holds something other than this release; nothing was changed" in message
    assert "give another folder, or remove that one" in message
    assert file_bytes(tmp_path / "released") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".making-")] == []


def test_a_release_does_not_overwrite_other_files(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("unsaved", encoding="utf-8")
    message = refusal("release", "instructions", "--to-folder", str(tmp_path / "mine"))
    assert "holds something other" in message
    assert file_bytes(tmp_path / "mine") == {"thesis.txt": b"unsaved"}
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert str(tmp_path / "file") in refusal(
        "release", "instructions", "--to-folder", str(tmp_path / "file")
    )


@pytest.mark.parametrize("verb", ["show", "release"])
def test_a_set_without_a_draft_is_named_with_the_command_that_builds_it(
    verb: str, tmp_path: Path, refusal: Refusal
) -> None:
    more = ("--to-folder", str(tmp_path / "released")) if verb == "release" else ()
    message = refusal(verb, "completions", *more)
    assert "there is no draft of 'completions'" in message
    assert "`potstill build completions`" in message and "--work" in message
    assert not (tmp_path / "released").exists()


# --- names and usage


@pytest.mark.parametrize("verb", ["build", "show", "release"])
def test_the_nearest_name_is_offered_for_a_misspelt_recipe(
    verb: str, tmp_path: Path, refusal: Refusal
) -> None:
    more = ("--to-folder", str(tmp_path / "released")) if verb == "release" else ()
    message = refusal(verb, "instrutions", *more)
    expected = "there is no set and no recipe 'instrutions'; there are completions, constitution, "
    assert message == f"{expected}instructions, ultrafeedback; did you mean 'instructions'?"


@pytest.mark.parametrize(
    "words",
    [
        ["build", "--seed", "3", "complitions"],
        ["build", "--json", "complitions", "--prompts", "x.txt", "--samples", "2"],
    ],
)
def test_a_misspelt_recipe_is_named_after_flags_too(words: list[str], refusal: Refusal) -> None:
    message = refusal(*words)
    assert "no recipe 'complitions'" in message and "did you mean 'completions'?" in message


def test_a_recipe_may_come_after_its_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, name, *flags = build_words(tmp_path, name="completions", rows=2)
    assert main([verb, *flags, "--samples", "1", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["made"] == 2
