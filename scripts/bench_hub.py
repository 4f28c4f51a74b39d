"""Benchmarks of the Hub: a release against a bare upload, and the speed of the embedded Hub.

The Hub runs in a process of its own, and so does each client, with Xet by default.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
ROWS_PER_SHARD = 1_000  # those of one row group

MEASURED = """
import json, pickle, sys, time
from pathlib import Path
from builders.hub.connection import from_environment
import builders.hub.publish as publishing

def peak_mb():
    [peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(peak) / 1024

way, name, folder = sys.argv[1:4]
hub, figures = from_environment(), {}
what = pickle.loads((Path(folder) / "what").read_bytes())
if way == "bare":
    api = hub.api()
    api.create_repo(name, repo_type="dataset")
    start = time.perf_counter()
    api.upload_folder(repo_id=name, repo_type="dataset", folder_path=Path(folder) / "release")
elif way == "read":
    from builders.hub.fetch import commit
    from builders.hub.readback import reads_back

    start = time.perf_counter()
    reads_back(hub, name, commit(hub, name, "main"), Path(folder) / "release")
else:
    import functools
    from dataclasses import replace
    from builders.release.folder import release

    steps = []
    small = functools.partial(release, shard_bytes=int(sys.argv[4]))
    publishing.release = small
    start = time.perf_counter()
    say = lambda line: steps.append((line.split()[0], time.perf_counter() - start, peak_mb()))
    publishing.publish(hub, replace(what, repository=name), notify=say)
    at, peak = ({step[0]: step[n] for step in steps} for n in (1, 2))
    figures = {
        "make_s": at["sending"],
        "send_s": at["reading"] - at["sending"],
        "read_back_s": time.perf_counter() - start - at["reading"],
        "make_peak_mb": peak["sending"],
    }
print(json.dumps({"seconds": time.perf_counter() - start, **figures, "peak_mb": peak_mb()}))
"""


@contextlib.contextmanager
def _hub(folder: Path) -> Iterator[tuple[dict[str, str], int]]:
    """An embedded Hub in a process of its own: the environment of its clients, and its id."""
    words = [sys.executable, "-m", "scripts.main", "hub", "--hub-data", str(folder), "--json"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            hub = json.loads(process.stdout.readline())
            yield (
                {
                    **os.environ,
                    "HF_ENDPOINT": hub["endpoint"],
                    "HF_TOKEN": hub["token"],
                    "HF_HUB_OFFLINE": "0",
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                },
                process.pid,
            )
        finally:
            process.terminate()


def bench_publish(args: argparse.Namespace) -> dict[str, Any]:
    """Time of a release to the embedded Hub, step by step, and of a bare upload of its files."""
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        shard_bytes, files = _prepared(here, args.shards, args.mb * 1_000_000)
        runs: dict[str, list[dict[str, float]]] = {"bare": [], "release": [], "read": []}
        with _hub(here / "hub") as (env, _):
            for repetition in range(args.repetitions):
                for way, done in runs.items():
                    name = f"potstill/{'bare' if way == 'bare' else 'release'}-{repetition}"
                    done.append(_asked(env, here, way, name, shard_bytes, repetition))
        figures = {
            way: {key: median(one[key] for one in done) for key in done[0]}
            for way, done in runs.items()
        }
        bare_s = figures["bare"]["seconds"]
        return {
            "files": files,
            **figures,
            "send_times_bare": figures["release"]["send_s"] / bare_s,
            "all_times_bare": figures["release"]["seconds"] / bare_s,
            "load": os.getloadavg()[0],
        }


def _asked(
    env: dict[str, str], here: Path, way: str, name: str, shard_bytes: int, repetition: int
) -> dict[str, float]:
    home = here / f"home-{way}-{repetition}"  # so that no client knows what was sent before
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, way, name, str(here), str(shard_bytes)],
        cwd=ROOT,
        env={**env, "HF_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=True,
    )
    took: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return took


def _prepared(here: Path, shards: int, shard_bytes: int) -> tuple[int, int]:
    """Make a draft of so many shards and its release folder; give the shard size and the files.

    The text is one that zstd cannot compress much, so that a shard has the requested size.
    """
    import pickle

    from builders.drafting.draft import load_draft, write_draft
    from builders.hub.publish import ReleasePlan
    from builders.release.folder import release
    from builders.release.words import words_of
    from builders.schema import assistant, user
    from scripts.main import main

    script, prompts = here / "script.jsonl", here / "prompts.txt"
    script.write_text('{"when": "", "answers": ["Yes, {{hash}}."]}\n', encoding="utf-8")
    prompts.write_text("What is 1 plus 1?\n", encoding="utf-8")
    words = ["build", "completions", "--teacher", f"scripted:{script}", "--prompts", str(prompts)]
    with contextlib.redirect_stdout(sys.stderr):
        main([*words, "--license", "cc0-1.0", "--rows", "1", "--work", str(here / "work")])
    made = load_draft("completions", here / "work")
    schemas = made.schemas
    dice = random.Random(7)

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(shards * ROWS_PER_SHARD):
            noise = base64.b85encode(dice.randbytes(shard_bytes // ROWS_PER_SHARD)).decode()
            yield {
                "id": f"{number:016x}",
                "prompt": user(f"Repeat number {number}."),
                "completion": assistant(noise),
            }

    others = {config: made.stream(config) for config in schemas if config != "default"}
    draft = write_draft(
        here / "large", schemas, {"default": rows(), **others}, lambda: made.facts, made.run
    )
    size = -(-draft.file("default").stat().st_size // shards)
    what = ReleasePlan(
        draft=draft, schemas=schemas, words=words_of(made), repository="potstill/set"
    )
    (here / "what").write_bytes(pickle.dumps(replace(what)))
    release(
        draft,
        schemas,
        here / "release",
        what.words,
        repository=what.repository,
        shard_bytes=size,
    )
    return size, sum(path.is_file() for path in (here / "release").rglob("*"))


def bench_hub(args: argparse.Namespace) -> dict[str, Any]:
    """Small reads per second, time of a commit, and memory after both, of the embedded Hub."""
    with tempfile.TemporaryDirectory() as temporary, _hub(Path(temporary)) as (env, process):
        at = urlsplit(env["HF_ENDPOINT"])
        headers = {"Authorization": f"Bearer {env['HF_TOKEN']}"}

        def connected() -> http.client.HTTPConnection:
            return http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)

        def ask(
            line: http.client.HTTPConnection, method: str, path: str, body: str | None = None
        ) -> None:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {content[:200]!r}")

        line = connected()
        ask(line, "POST", "/api/repos/create", json.dumps({"name": "small", "type": "dataset"}))
        small = "/api/datasets/potstill/small"
        commits = []
        for number in range(args.commits):
            start = time.perf_counter()
            ask(line, "POST", f"{small}/commit/main", _one_file(number))
            commits.append(time.perf_counter() - start)

        def read(requests: int) -> None:
            mine = connected()
            for number in range(requests):
                ask(mine, "GET", (f"{small}/revision/main", f"{small}/tree/main")[number % 2])
            mine.close()

        each = (args.requests - args.commits) // args.in_flight
        readers = [threading.Thread(target=read, args=(each,)) for _ in range(args.in_flight)]
        start = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        seconds = time.perf_counter() - start
        line.close()
        return {
            "requests": each * args.in_flight + args.commits,
            "reads_per_second": each * args.in_flight / seconds,
            "commit_ms": 1e3 * median(commits),
            "rss_mb": _memory_mb(process, "VmRSS"),
            "peak_mb": _memory_mb(process, "VmHWM"),
            "load": os.getloadavg()[0],
        }


def _one_file(number: int) -> str:
    content = base64.b64encode(str(number).encode()).decode()
    file = {"path": f"{number % 20}.txt", "content": content, "encoding": "base64"}
    lines = [
        {"key": "header", "value": {"summary": str(number), "description": ""}},
        {"key": "file", "value": file},
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def _memory_mb(process: int, which: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    [size] = [line.split()[1] for line in lines if line.startswith(which)]
    return int(size) / 1024


def register(benchmarks: Any, parents: Any) -> None:
    """Add the benchmarks `publish` and `hub`."""
    publishes = benchmarks.add_parser("publish", parents=parents, help=bench_publish.__doc__)
    publishes.add_argument("--shards", type=int, default=50, metavar="N", help="Shards to send.")
    publishes.add_argument("--mb", type=int, default=10, metavar="N", help="MB per shard.")
    publishes.set_defaults(bench=bench_publish)
    hubs = benchmarks.add_parser("hub", parents=parents, help=bench_hub.__doc__)
    hubs.add_argument("--requests", type=int, default=10_000, metavar="N", help="Requests in all.")
    hubs.add_argument(
        "--commits", type=int, default=200, metavar="N", help="How many of them are commits."
    )
    hubs.add_argument(
        "--in-flight", type=int, default=8, metavar="N", help="Connections that read at once."
    )
    hubs.set_defaults(bench=bench_hub)
