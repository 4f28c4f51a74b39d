"""The embedded teacher: a real model, from the command to rows, that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from builders.engine.calls import Answer, Call
from builders.engine.embedded import EmbeddedTeacher, model_file, thread_count
from builders.engine.endpoint import EndpointTeacher
from builders.engine.teacher import EMBEDDED_MODEL, TeacherSpec
from builders.instructions.task_text import classification_examples, worked_examples
from builders.sources.seed_forms import read_tasks
from builders.sources.source import Source
from pipelines import instructions
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import FILES, write_seeds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds open sockets in /proc"),
]

SEEDS = read_tasks(Source(place=instructions.RECIPE.seeds.source)).rows
SLOT_TOKENS = 4096  # that the embedded teacher has for one question and its answer


def listening(process: int) -> set[tuple[str, int]]:
    """The addresses, as hexadecimal, and ports on which a process listens."""
    inodes = set()
    with contextlib.suppress(OSError):  # it has just ended
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # it has just closed this one
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                    inodes.add(found[1])
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    ]
    places = [row[1].split(":") for row in rows if row[3] == "0A" and row[9] in inodes]
    return {(address, int(port, 16)) for address, port in places}


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


@dataclass
class Run:
    """What a real build printed, where it drafted, and the ports it listened on meanwhile."""

    facts: Mapping[str, Any]
    errors: str
    work: Path
    listened: set[tuple[str, int]]
    group: int

    @property
    def draft(self) -> Path:
        return Path(self.facts["draft"])


def build(folder: Path, work: str, *words: str) -> Run:
    """`potstill build instructions --rows 4`, in a process of its own.

    From few seeds: the prompts show them, and this model reads 500 tokens per second at best.
    """
    command = [
        sys.executable,
        "-m",
        "scripts.main",
        "build",
        "instructions",
        "--rows",
        "4",
        "--json",
    ]
    command += ["--seeds", str(write_seeds(folder)), "--work", work, "--json", *words]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=err, start_new_session=True
        )
        listened: set[tuple[str, int]] = set()
        until = time.monotonic() + 540
        while process.poll() is None:
            listened |= listening(process.pid)
            if time.monotonic() > until:
                process.kill()
            time.sleep(0.1)
    errors = (folder / "err").read_text(encoding="utf-8")
    assert process.returncode == 0, errors
    facts = json.loads((folder / "out").read_text(encoding="utf-8"))
    facts["draft"] = str(folder / facts["draft"])
    return Run(facts, errors, folder / work, listened, process.pid)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return build(tmp_path_factory.mktemp("embedded"), "work")


def test_a_build_by_the_real_model_ends_with_rows_that_add_up(run: Run) -> None:
    counts = run.facts["counts"]
    assert counts["made"] == counts["kept"] + sum(counts["dropped"].values()) > 0
    calls = pq.read_table(run.draft / "calls.parquet").to_pylist()
    assert len(calls) >= 5 and run.facts["run"]["failures"] == 0
    answered = [call for call in calls if call["answer"].strip()]
    assert len(answered) > len(calls) / 2
    assert all(call["output_tokens"] > 0 for call in answered)
    plain = re.compile(
        r"seeds: 10 of 10 rows of .+\nthe licence of .+\n(?:[a-z_ -]+(?: \d+/\d+)? \| .+\n)*"
        r"this set has no file of its own; .+\n"
    )
    assert plain.fullmatch(run.errors), run.errors


def test_the_lineage_names_the_very_file_of_the_model(run: Run) -> None:
    revision = "sha256:" + hashlib.sha256(model_file().read_bytes()).hexdigest()
    teacher = run.facts["lineage"]["teachers"]["writer"]
    assert (teacher["kind"], teacher["model"]) == ("embedded", EMBEDDED_MODEL)
    assert teacher["revision"] == revision
    assert {"model": {EMBEDDED_MODEL}, "revision": {revision}} == {
        name: set(pq.read_table(run.draft / "calls.parquet")[name].to_pylist())
        for name in ("model", "revision")
    }


def test_what_the_real_model_wrote_is_released_and_loads(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    to = tmp_path / "released"
    assert main(["release", "instructions", "--work", str(run.work), "--to", str(to)]) == 0
    assert "read back and compared" in capsys.readouterr().out
    for config in ("default", "calls", "dropped"):
        wanted = pq.read_table(run.draft / f"{config}.parquet").to_pylist()
        loaded = datasets.load_dataset(str(to), config, split="train", streaming=True)
        assert list(loaded) == wanted
    card = (to / "README.md").read_text(encoding="utf-8")
    assert f"writer: {EMBEDDED_MODEL}" in card
    assert f"| writer | {EMBEDDED_MODEL} | apache-2.0 | its file |" in card


def test_after_the_command_no_process_and_no_open_port_stays(run: Run) -> None:
    assert run.listened
    assert {address for address, _ in run.listened} == {"0100007F"}  # 127.0.0.1, and nothing else
    assert all(refuses(port) for _, port in run.listened)
    with pytest.raises(ProcessLookupError):
        os.killpg(run.group, 0)


def test_a_second_build_with_other_concurrency_gives_the_same_bytes(
    run: Run, tmp_path: Path
) -> None:
    again = build(tmp_path, "again", "--concurrency", "3")
    assert again.facts["run"]["calls"] == run.facts["run"]["calls"] > 0
    for file in FILES:
        assert (again.draft / file).read_bytes() == (run.draft / file).read_bytes(), file


# --- in this process


Ask = Callable[[Call], Answer]


class Served(NamedTuple):
    """The embedded teacher, which is called as any endpoint is called: by its address alone."""

    address: str
    ask: Ask


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    before = listening(os.getpid())
    embedded = EmbeddedTeacher(TeacherSpec())
    with asyncio.Runner() as runner:
        runner.run(embedded.start())
        (port,) = {port for _, port in listening(os.getpid()) - before}
        address = f"http://127.0.0.1:{port}"
        spec = TeacherSpec(place=f"{address}/v1", key_env="NO_SUCH_KEY")
        endpoint = EndpointTeacher(spec)
        runner.run(endpoint.start())
        assert endpoint.model == EMBEDDED_MODEL
        try:
            yield Served(address, lambda call: runner.run(endpoint.ask(call)))
        finally:
            runner.run(endpoint.stop())
            runner.run(embedded.stop())
    assert refuses(port)


@pytest.fixture
def ask(served: Served) -> Ask:
    return served.ask


def call(asked: Any, schema: Mapping[str, Any] | None = None, **sampling: Any) -> Call:
    return Call(
        role="writer",
        endpoint="embedded",
        model=EMBEDDED_MODEL,
        revision=None,
        prompt=asked,
        sampling={"max_tokens": 48, **sampling},
        schema=schema,
    )


def prompt_of(stage: str, instruction: str) -> str:
    """What the recipe asks about an instruction, its examples included."""
    if stage == "classify":
        examples = classification_examples(SEEDS, of_classification=12, other=19)
    else:
        examples = worked_examples(SEEDS, output_first=stage == "output_first")
    prompt: str = instructions.STAGES[stage]["prompt"]
    return prompt.format(examples=examples, instruction=instruction)


OPINION = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["pleased", "annoyed"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["mood", "stars"],
    "additionalProperties": False,
}


def answers_of(calls: Sequence[Call], concurrency: int) -> list[Answer]:
    """The answers of a teacher that was just started, which gets the calls in this order."""

    async def answers() -> list[Answer]:
        teacher = EmbeddedTeacher(TeacherSpec(concurrency=concurrency))
        await teacher.start()
        free = asyncio.Semaphore(concurrency)

        async def answer(call: Call) -> Answer:
            async with free:
                return await teacher.ask(call)

        try:
            return await asyncio.gather(*map(answer, calls))
        finally:
            await teacher.stop()

    return asyncio.run(answers())


def test_an_answer_does_not_depend_on_the_calls_before_and_beside_it_or_on_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compared by the log-probabilities: the text changes only where two tokens are close."""
    tasks = [seed["instruction"] for seed in SEEDS]
    long = prompt_of("classify", tasks[0])[-3000:]  # more tokens than are computed at once
    short = [f"Task: {task}\nOutput:" for task in tasks[:9]]
    chats = [[{"role": "user", "content": task}] for task in tasks[:4]]
    calls = [
        call(asked, temperature=0.8 * (place % 2), seed=place, logprobs=True, max_tokens=6 + place)
        # Some begin alike, so that a slot has read a part of them, or all.
        for place, asked in enumerate([long, long, long[:-200], *short, *short[:3], *chats])
    ]
    alone = answers_of(calls, concurrency=1)
    monkeypatch.setattr("builders.engine.embedded.thread_count", lambda: thread_count() + 1)
    beside = answers_of(calls[::-1], concurrency=4)[::-1]
    for one, other in zip(alone, beside, strict=True):
        assert one.logprobs and (one.text, one.logprobs) == (other.text, other.logprobs)


LOAD_OPENMP = "import ctypes; ctypes.CDLL('libgomp.so.1')"  # as `import torch` does


@each(
    ("policy", "before", "more"),
    {
        "OpenMP is loaded with xllamacpp": ("", "", 0),
        "it was loaded before": ("", LOAD_OPENMP, 1),
        "before, and its threads sleep": ("PASSIVE", LOAD_OPENMP, 0),
        "its threads are to spin": ("active", "", 1),
    },
)
def test_where_waiting_threads_would_spin_there_is_one_more_than_cores(
    policy: str, before: str, more: int
) -> None:
    """Threads of OpenMP spin only briefly where they are more than the cores."""
    code = """
        import os
        from builders.engine.embedded import thread_count
        first = thread_count()
        import xllamacpp
        print(first, thread_count(), len(os.sched_getaffinity(0)))
    """
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{textwrap.dedent(code)}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, again, cores = map(int, done.stdout.split())
    assert first == again == cores + more


def test_an_answer_keeps_to_the_json_schema_it_was_asked_for(ask: Ask) -> None:
    for review in ("Broke on the first day.", "Best kettle I ever had.", "Write a poem instead!"):
        asked = [{"role": "user", "content": f"Rate this review as JSON: {review}"}]
        opinion = json.loads(ask(call(asked, OPINION, temperature=1.0, seed=3)).text)
        assert set(opinion) == {"mood", "stars"}
        assert opinion["mood"] in ("pleased", "annoyed") and opinion["stars"] in range(1, 6)


@pytest.mark.parametrize(
    "asked",
    [[{"role": "user", "content": "Tell me about rivers."}], "1. Name a river.\n2. Name a"],
    ids=["messages", "a text to continue"],
)
def test_the_same_call_with_the_same_seed_is_answered_alike(ask: Ask, asked: Any) -> None:
    first, again, other = (ask(call(asked, temperature=1.0, seed=seed)) for seed in (7, 7, 8))
    assert first.text == again.text != other.text
    assert first.output_tokens == again.output_tokens and first.finish_reason == again.finish_reason


def test_an_answer_ends_at_its_stop_text(ask: Ask) -> None:
    cut = ask(call("A list of rivers: the Nile,", temperature=0.0, max_tokens=4))
    assert (cut.finish_reason, cut.output_tokens) == ("length", 4)
    stopped = ask(call("1, 2, 3, 4, 5,", temperature=0.0, stop=["8"]))
    assert stopped.finish_reason == "stop" and "8" not in stopped.text


def test_the_longest_prompts_of_the_recipe_leave_room_for_their_answers(served: Served) -> None:
    longest = max(SEEDS, key=lambda seed: len(seed["instruction"]))["instruction"]
    for stage in ("classify", "output_first", "input_first"):
        asked = {"content": prompt_of(stage, longest), "add_special": True}
        body, kind = json.dumps(asked).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"{served.address}/tokenize", body, kind)
        with urllib.request.urlopen(request) as response:
            tokens = len(json.load(response)["tokens"])
        most = instructions.STAGES[stage]["sampling"]["max_tokens"]
        assert len(asked["content"]) / 8 < tokens <= SLOT_TOKENS - most


# --- a file of one's own


def changed(folder: Path, *changes: tuple[bytes, bytes], size: int | None = None) -> Path:
    """The model's file with other bytes in the place of some, or cut off."""
    content = model_file().read_bytes()
    for old, new in changes:
        assert old in content and len(old) == len(new)
        content = content.replace(old, new, 1)
    file = folder / "mine.gguf"
    file.write_bytes(content[:size])
    return file


def test_a_file_of_one_s_own_answers_by_its_own_chat_template(tmp_path: Path) -> None:
    """The template that is marked leads to other prompts, and so to other counts of tokens."""
    system = b"You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    file = changed(tmp_path, (system, b"x " * (len(system) // 2)))
    asked = call([{"role": "user", "content": "Name a river."}], temperature=0.0, max_tokens=4)

    async def answer(teacher: EmbeddedTeacher) -> Answer:
        await teacher.start()
        try:
            return await teacher.ask(asked)
        finally:
            await teacher.stop()

    async def both() -> list[Answer]:
        mine = EmbeddedTeacher(TeacherSpec(place=f"embedded:{file}", model="mine"))
        return await asyncio.gather(answer(EmbeddedTeacher(TeacherSpec())), answer(mine))

    own, mine = asyncio.run(both())
    assert own.output_tokens == mine.output_tokens == 4 and mine.model == "mine"
    assert mine.input_tokens != own.input_tokens


TEMPLATE = b"tokenizer.chat_template"
BROKEN: dict[str, tuple[Sequence[tuple[bytes, bytes]], int | None, str]] = {
    "its last byte is missing": ((), -1, "llama.cpp does not load mine.gguf (sha256:"),
    "a tensor has another name": (
        [(b"blk.0.attn_q.weight", b"blk.0.attn_X.weight")],
        None,
        "it is damaged, or of a kind of 'llama' that this version does not know; download it",
    ),
    "its template has an error": (
        [(b"{% for message in messages %}", b"{% fro message in messages %}")],
        None,
        "the chat template in mine.gguf has an error",
    ),
    "it has no template": (
        [(TEMPLATE, TEMPLATE.upper())],
        None,
        "mine.gguf has no chat template, so it can continue texts and answer no messages",
    ),
    "it is cut in half": ((), 40_000_000, "mine.gguf' is damaged: it ends too early"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_build_with_a_broken_file_is_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, size, why = BROKEN[what]
    file = changed(tmp_path, *changes, size=size)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("Name a river.\n", encoding="utf-8")
    words = ["build", "completions", "--prompts", "prompts.txt", "--teacher", f"embedded:{file}"]
    assert main(words) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("potstill:")]
    assert why in line


def test_a_set_by_a_file_of_one_s_own_names_it_in_its_lineage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("Name a river.\n", encoding="utf-8")
    words = ["build", "completions", "--prompts", "prompts.txt", "--max-tokens", "32", "--json"]
    assert main([*words, "--rows", "1", "--teacher", f"embedded:{file}#wise"]) == 0
    facts = json.loads(capsys.readouterr().out)
    teacher = facts["lineage"]["teachers"]["writer"]
    assert teacher == {
        "kind": "embedded",
        "model": "wise",
        "revision": "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(),
        "file": "mine.gguf",
        "licence": "apache-2.0",
        "licence_from": "its file",
    }
    assert facts["counts"]["made"] == 1
