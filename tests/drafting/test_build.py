"""The public API: a build in one call, also where a loop is running; wrong values cost nothing."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import pytest

from builders import Draft, PotstillError, Source, build, load_draft, load_recipe, release
from builders.engine.ledger import Ledger
from builders.errors import InputError
from scripts.main import main
from tests.drafting.test_run import file_bytes, write_prompts, write_script
from tests.endpoint import Behaviour, Endpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with prompts.txt (12 lines) and script.jsonl, which is the current one."""
    monkeypatch.chdir(tmp_path)
    write_prompts(tmp_path, 12)
    write_script(tmp_path)


def small(**given: Any) -> Draft:
    values: dict[str, Any] = {"prompts": "prompts.txt", "teacher": "scripted:script.jsonl"}
    values |= {"rows": 3, "samples": 4, "choose": "first", "progress": False}
    return build("completions", **{**values, **given})


def test_a_build_is_the_one_of_the_command_line_to_the_byte() -> None:
    words = ["--prompts", "prompts.txt", "--teacher", "scripted:script.jsonl", "--rows", "5"]
    words += ["--seed", "7", "--samples", "2", "--temperature", "1", "--work", "by-command"]
    words += ["--choose", "first"]
    assert main(["build", "completions", *words]) == 0
    draft = small(
        rows=np.int64(5),
        seed=7,
        samples=2,
        temperature=1,
        prompts=Source(place="prompts.txt"),
        teacher={"writer": "scripted:script.jsonl", "judge": ["scripted:script.jsonl"]},
        work=Path("by-call"),
    )
    theirs = load_draft("completions", "by-command")
    assert {**file_bytes(draft.folder), "run.json": b""} == {
        **file_bytes(theirs.folder),
        "run.json": b"",
    }


def test_a_work_folder_may_be_at_home_or_hold_what_pyarrow_reads_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = {"~/work": "home/work", "./~": "~", "a:b": "a:b"}
    for work, place in places.items():
        words = ["--prompts", "prompts.txt", "--teacher", "scripted:script.jsonl", "--rows", "3"]
        draft = small(work=work)
        assert draft.folder == tmp_path / place / "completions" / "drafts" / "0001"
        words += ["--samples", "4", "--choose", "first", f"--work={work}"]
        assert main(["build", "completions", *words]) == 0
        assert load_draft("completions", work).folder == draft.folder, work


def test_a_build_shows_how_far_it_is_unless_told_not_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.ticker.Ticker._tick", lambda *_: print("tick"))
    small()
    assert "tick" not in capsys.readouterr().out
    small(progress=True, rows=4)
    assert "tick" in capsys.readouterr().out


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an option's name": ({"sampels": 2}, r"completions has no option 'sampels'; .*'samples'\?"),
    "a parameter's name": ({"row": 2}, r"completions has no option 'row'; .* mean 'rows'\?"),
    "an option's type": ({"samples": "2"}, "samples: '2' is not a whole number from 1 on"),
    "half a sample": ({"samples": 1.5}, r"samples: 1\.5 is not a whole number from 1 on"),
    "a truth for a number": ({"samples": True}, "samples: True is not a whole number from 1 on"),
    "an option's bound": ({"temperature": -1}, "temperature: -1 is not a number from 0 on"),
    "no number": ({"temperature": float("nan")}, "temperature: nan is not a number from 0 on"),
    "a number too large": ({"temperature": 10**400}, "temperature: 10.* is not a number .*"),
    "a choice": ({"choose": "frist"}, r"choose: there is no 'frist'; .* mean 'first'\?"),
    "a choice's type": ({"choose": 1}, "choose: 1 is not a text"),
    "no rows": ({"rows": 0}, "rows: 0 is not a whole number from 1 on"),
    "fewer than none": ({"rows": -3}, "rows: -3 is not a whole number from 1 on"),
    "rows as a truth": ({"rows": True}, "rows: True is not a whole number from 1 on"),
    "a seed": ({"seed": "42"}, "seed: '42' is not a whole number"),
    "a role": ({"teacher": {"writr": "embedded"}}, r".* no role 'writr'; .* mean 'writer'\?"),
    "a role in a word": ({"teacher": "writr=embedded"}, r".* no role 'writr'; .*"),
    "a teacher": ({"teacher": "openai"}, "there is no teacher 'openai'; .*"),
    "a teacher's type": ({"teacher": 5}, "teacher: 5 is not a text"),
    "a teacher twice": ({"teacher": ["embedded", "embedded"]}, "2 teachers are named for .*"),
    "a script": ({"teacher": "scripted:none.jsonl"}, ".* 'none.jsonl' cannot be read .*"),
    "a source's name": ({"prompts": None, "seeds": "x"}, "completions has no seeds; .*prompts=.*"),
    "a source": ({"prompts": "none.txt"}, "there is no file 'none.txt'; .*"),
    "a source's parts": (
        {"prompts": {"place": "x", "colum": "a"}},
        "prompts: a source has no 'colum'; .* did you mean 'column'.*",
    ),
    "a source without a place": ({"prompts": {"column": "a"}}, "prompts: the value is empty; .*"),
    "a source's type": ({"prompts": ["Why?"]}, "prompts: .* is not a text"),
    "concurrency": ({"concurrency": 0}, "concurrency: 0 is not a whole number from 1 on"),
    "a budget": ({"budget_usd": 0}, "budget_usd: 0 is not a number above 0"),
    "a budget in tokens": ({"budget_tokens": 1.5}, "budget_tokens: 1.5 is not a whole .*"),
    "a deadline": ({"timeout_s": -1}, "timeout_s: -1 is not a number above 0"),
    "a price's form": ({"price": "cheap"}, "price: 'cheap' is not IN/OUT; .*"),
    "a price that is no number": ({"price": "nan/1"}, "price: nan is not a number from 0 on"),
    "a price below 0": ({"price": "-5/-5"}, r"price: -5.0 is not a number from 0 on"),
    "a table of prices": ({"prices": "none.toml"}, "prices: 'none.toml' is not a table .*"),
    "a folder of prices": ({"prices": Path()}, "prices: '.' is not a table of prices .*"),
    "a price's type": ({"price": 0.5}, "price: 0.5 is not a text"),
    "a folder's type": ({"work": 5}, "work: 5 is not a text"),
    "an address for a folder": ({"work": "s3://x"}, "work: 's3://x' is not a path; .*"),
    "a home that is none": ({"work": "~nobody-here/x"}, "work: .*: there is no such user; .*"),
    "an empty folder": ({"work": ""}, "work: the value is empty; .*"),
    "a folder's characters": ({"work": "a\0b"}, r"work: 'a\\x00b' holds control characters .*"),
    "an empty source": ({"prompts": " "}, "prompts: the value is empty; .*"),
    "a source of nothing": ({"prompts": Source(place="")}, "prompts: the value is empty; .*"),
    "a column's type": ({"prompts": Source(place="x", column=5)}, "column: 5 is not a text"),
    "what is left out": ({"without": 5}, "without: 5 is not a text"),
    "a source's part": ({"column": "text"}, r"column is part of a source: give prompts=Source.*"),
    "an empty teacher": ({"teacher": ""}, "teacher: the value is empty; .*"),
    "a list of no teacher": ({"teacher": []}, "teacher: none is given; .*"),
    "a role of no teacher": ({"teacher": {"writer": []}}, "teacher: none is given; .*"),
    "a role's type": ({"teacher": {3: "embedded"}}, "completions has no role 3; .*"),
    "a model's type": ({"model": 5}, "model: 5 is not a text"),
    "no key": ({"key_env": None}, "key_env: None is not a text"),
    "a key that is not set": (
        {"key_env": "NO_SUCH_KEY", "teacher": "http://127.0.0.1:9/v1", "model": "m"},
        "the environment variable NO_SUCH_KEY that --key-env names is not set, .*",
    ),
    "no deadline": ({"timeout_s": None}, "timeout_s: None is not a number above 0"),
    "a deadline that never comes": ({"timeout_s": float("inf")}, "timeout_s: inf is not a .*"),
    "too many in flight": ({"concurrency": 10**6}, "concurrency: 1000000 is too large; .*"),
    "too many rows": ({"rows": 10**13}, "rows: 10+ is too large; .*"),
    "a large seed": ({"seed": 10**30}, "seed: 10+ is too large; .*"),
    "a small seed": ({"seed": -(10**30)}, "seed: -10+ is not a whole number"),
    "no truth": ({"from_ledger": "no"}, "from_ledger: 'no' is not True or False"),
    "another": ({"progress": "no"}, "progress: 'no' is not True or False"),
    "a license": ({"license": "bogus licence"}, "license: the licence 'bogus licence' is not .*"),
    "a teacher's license": ({"teacher_license": "writer=mti"}, "teacher_license: .* 'mit'.*"),
    "a near license": ({"license": "apache2.0"}, "license: .* did you mean 'apache-2.0'.*"),
    "no contributions": ({"contributed": "none"}, "contributed: 'none' is no file or folder; .*"),
    "a set on the Hub": ({"contributed": "org/set"}, "contributed: 'org/set' is no file or .*"),
    "no set": ({"contributed": Path()}, "contributed: '.' is not the folder of a set; .*"),
    "a report": ({"judge_report": "none.json"}, "judge_report: none.json cannot be read .*"),
}


def test_a_wrong_value_is_refused_in_one_line_before_anything_is_asked() -> None:
    Path("script.py").write_text(
        "from pathlib import Path\ndef answer(call):\n    Path('asked').touch()\n    return 'x'\n"
    )
    for case, (given, line) in WRONG.items():
        with pytest.raises(InputError) as refused:
            small(**{"teacher": "scripted:script.py", **given})
        assert re.fullmatch(line, str(refused.value)), (case, str(refused.value))
    with pytest.raises(InputError, match=r"^constitution: there is no file 'none.toml'$"):
        build("constitution", constitution="none.toml")
    with pytest.raises(InputError, match=r"^instructions has no prompts; it starts from seeds: "):
        build("instructions", prompts="prompts.txt")
    with pytest.raises(InputError, match=r"^there is no set and no recipe 'complitions'; "):
        build("complitions")
    for name in ("prompts", "work", "contributed", "prices", "judge_report"):
        with pytest.raises(PotstillError):  # no name of a file is that long
            small(**{"teacher": "scripted:script.py", name: "x" * 5000})
    assert not Path("asked").exists()


# --- where a loop is running


def test_a_build_runs_where_a_loop_is_running() -> None:
    drafts: dict[str, Draft] = {}

    def cell(place: str) -> None:
        exec(f"drafts[{place!r}] = small(work={place!r})", {"small": small, "drafts": drafts})

    async def notebook() -> None:
        cell("in a coroutine")
        asyncio.get_running_loop().call_soon(cell, "in a callback")
        await asyncio.to_thread(cell, "in a thread")

    asyncio.run(notebook())
    assert {place: draft.counts["kept"] for place, draft in drafts.items()} == {
        "in a coroutine": 3,
        "in a callback": 3,
        "in a thread": 3,
    }
    assert not [one.name for one in threading.enumerate() if one.name.startswith("engine")]


IN_A_LOOP = """
import asyncio, sys
from builders import PotstillError, build

async def main():
    try:
        build("completions", prompts="prompts.txt", teacher=sys.argv[1], concurrency=4, samples=4,
              choose="first")
    except PotstillError as error:
        print(error, flush=True)
    await asyncio.sleep(0)  # the loop around the build goes on
    print("and on")

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while the teacher starts", "while it answers"])
def test_ctrl_c_stops_a_build_in_a_running_loop_and_every_answer_is_kept(moment: str) -> None:
    behaviour = Behaviour(latency="fixed:0.5")
    with Endpoint(behaviour) as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-c", IN_A_LOOP, endpoint.url],
            env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wanted = 1 if moment == "while the teacher starts" else 12
        end = time.monotonic() + 60
        while len(endpoint.requests) < wanted and time.monotonic() < end:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        asked = [one for one in endpoint.requests if one.method == "POST"]
    assert child.returncode == 0 and "Traceback" not in err, err
    assert out.startswith("stopped by SIGINT; every answer is in the ledger") and "and on" in out
    if moment == "while it answers":
        with closing(Ledger.open(Path("work/completions/ledger.sqlite"), read_only=True)) as ledger:
            assert len(ledger) == len(asked) >= 11


# --- what a draft gives


def test_a_draft_gives_rows_as_a_list_and_as_a_dataset_as_it_is_loaded_from_the_release() -> None:
    draft = small(samples=2)
    rows = draft.rows()
    assert len(rows) == draft.counts["kept"] > 0 and rows == list(draft.stream())
    assert draft.configs == ["default", "calls", "dropped"]
    folder = release(draft, to="released")
    assert draft.release("released") == folder == Path("released")
    for config in draft.configs:
        ours = draft.dataset(config)
        theirs = datasets.load_dataset(str(folder), config, split="train", cache_dir="cache")
        assert ours.features == theirs.features and ours.to_list() == theirs.to_list()
        assert ours.to_list() == draft.rows(config)
    with pytest.raises(InputError, match=r"no config 'droped'; .* mean 'dropped'\?"):
        draft.rows("droped")


def test_a_draft_is_opened_again_by_its_recipe() -> None:
    draft = small()
    again = load_draft("completions")
    assert (again.folder, again.facts, again.schemas) == (draft.folder, draft.facts, draft.schemas)
    assert repr(again) == "Draft(completions: 3 of 12 rows kept, work/completions/drafts/0001)"
    assert load_draft(load_recipe("completions"), Path("work")).rows() == draft.rows()
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("there is no draft of 'instructions' in work/", lambda: load_draft("instructions")),
        ("work: the value is empty", lambda: load_draft("completions", "")),
        ("the draft has no config 5; there are", lambda: draft.rows(cast(Any, 5))),
        ("the draft has no config 'x'; there are", lambda: draft.dataset("x")),
        ("to: the value is empty", lambda: draft.release("")),
        ("to: None is not a text", lambda: release(draft, cast(Any, None))),
        ("draft: 'completions' is not a Draft", lambda: release(cast(Any, "completions"), "to")),
    ]
    for message, call in wrong:
        with pytest.raises(InputError, match=f"^{message}"):
            call()


class Inert(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {*attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_counts_and_first_rows_and_nothing_of_a_teacher_is_markup() -> None:
    answer = "<script>alert(1)</script> & <a href='x'> $\\href{javascript:x}{y}$"
    Path("prompts.txt").write_text("Is it <b>\u202e\x1b[2J?\n")
    Path("evil.jsonl").write_text(json.dumps({"when": "", "answer": answer + " {{hash}}"}))
    draft = small(teacher="scripted:evil.jsonl", samples=2)
    page = Inert()
    page.feed(draft._repr_html_())
    assert page.tags == {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    # The class keeps Jupyter from typesetting what is between dollar signs.
    assert page.attributes == {("class", "tex2jax_ignore mathjax_ignore")}
    assert "<script>alert(1)</script> & <a href='x'>" in page.text
    assert not {"\u202e", "\x1b"} & {*page.text}
    assert repr(draft) in page.text and "dropped: not chosen" in page.text


def test_a_draft_without_a_kept_row_is_shown_too() -> None:
    Path("mute.jsonl").write_text('{"when": "", "answer": " "}')
    draft = small(teacher="scripted:mute.jsonl")
    assert draft.rows() == [] and "dropped: empty" in draft._repr_html_()
    assert draft.dataset().num_rows == 0


def test_an_error_of_the_api_can_be_caught_by_one_name() -> None:
    caught: list[Callable[[], object]] = [
        lambda: small(rows=0),
        lambda: load_recipe("./no.py"),
        lambda: load_recipe("x" * 5000),
        lambda: load_draft("x" * 5000),
    ]
    for call in caught:
        with pytest.raises(PotstillError):
            call()
