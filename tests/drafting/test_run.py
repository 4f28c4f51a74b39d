"""A build: rows are conserved, the same input gives the same bytes, a draft is whole or absent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.drafting.draft import counts, last_draft
from builders.drafting.outcomes import candidate_row, decide, outcomes
from builders.engine.calls import Answer, Call
from builders.engine.ledger import Ledger
from builders.file_lock import folder_lock
from builders.recipe import Raw, Recipe, Settings
from builders.recipe_loading import load_recipe, recipe_names
from builders.schema import DROPPED, PROMPT_COMPLETION, Row, Schema, assistant, user
from builders.spool import Spool
from pipelines import completions, instructions
from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint

FILES = ("default.parquet", "dropped.parquet", "calls.parquet", "draft.json")

KINDS = {
    "Is this review pleased or annoyed?": [("I would buy it again.", "pleased")],
    "Name the tense of the verb: past or present.": [("She walked.", "past")],
    "Put the word in its plural.": [("mouse", "mice"), ("child", "children")],
    "Describe the smell of a forest after rain.": [("", "Wet earth, moss and resin.")],
    "Give a rule of thumb for salting pasta water.": [("", "Ten grams to a litre.")],
    "Shorten the sentence without losing its point.": [("It is, I think, late.", "It is late.")],
    "Suggest a name for a bakery beside a station.": [("", "Platform Loaf")],
    "Turn the temperature from Celsius to Fahrenheit.": [("100", "212")],
    "Say in one line why tides come twice a day.": [("", "The sea bulges on two sides.")],
    "Correct the spelling.": [("recieve", "receive")],
}
LABELLED = 2  # the first of KINDS

CONTINUED = (
    "Write four lines about a heron at dusk.\n10. Count the vowels.\n11. Draw a map of the town.",
    "Decide whether the number is odd or even.\n10. (Optional) say where rivers end their course.",
    "Translate the greeting into Portuguese.\n10. Éclairs need what kind of pastry, and why?",
    "Explain to a guest how the coffee machine works.\n10. Put the word in its plural form.",
    "List everything a violinist packs for a concert abroad.\n10. Write a program that sorts.",
    "Compare walking and cycling as ways to reach the office.\n10. go",
)
INSTANCES = (
    "Output: Here it is, plain and short.",
    "Example 1\nInput: first\nOutput: one\nExample 2\nInput: second\nOutput: two",
    "Example 1\nInput: same\nOutput: same\nExample 2\nInput: third\nOutput:",
    "Input: alone\nOutput: as follows:",
)
RULES: tuple[dict[str, Any], ...] = (
    {"when": r"^Think of a series", "answers": list(CONTINUED)},
    {"when": r"Task: Decide[^\n]*\nIs it classification\?$", "answer": "Yes"},
    {"when": r"Is it classification\?$", "answer": "No"},
    {"when": r"Task: Decide[^\n]*\n$", "answer": "Label: odd\nInput: 7\nLabel: even\nInput: 8"},
    {"when": r"^Write examples of each task", "answers": list(INSTANCES)},
    {
        "when": "",
        "answers": ["Answer {{hash}}, sample {{sample}}.", "I'm sorry, but I can't help."],
    },
)


def write_seeds(folder: Path) -> Path:
    """A small file of seed tasks: 10 kinds, two of them classification."""
    path = folder / "seeds.jsonl"
    lines = [
        {
            "instruction": instruction,
            "instances": [{"input": given, "output": output} for given, output in pairs],
            "is_classification": place < LABELLED,
        }
        for place, (instruction, pairs) in enumerate(KINDS.items())
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_script(folder: Path, rules: Sequence[Mapping[str, Any]] = RULES) -> Path:
    """The rules as a file for `--teacher scripted:FILE`."""
    path = folder / "script.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return path


def write_prompts(folder: Path, rows: int) -> Path:
    """A text file of prompts, one per line."""
    path = folder / "prompts.txt"
    path.write_text("".join(f"What is {n} plus {n}?\n" for n in range(rows)), encoding="utf-8")
    return path


def build_words(folder: Path, *, rows: int = 30, name: str = "instructions") -> list[str]:
    """The command line that builds from the files above, written into a folder, to folder/work."""
    folder.mkdir(parents=True, exist_ok=True)
    source = write_prompts(folder, 12) if name == "completions" else write_seeds(folder)
    flag = "--prompts" if name == "completions" else "--seeds"
    teacher = f"scripted:{write_script(folder)}"
    words = ["build", name, "--teacher", teacher, flag, str(source), "--rows", str(rows)]
    words += ["--license", "cc0-1.0"]
    words += ["--samples", "4", "--choose", "first"] if name == "completions" else []
    return [*words, "--work", str(folder / "work")]


def rows_of(draft: Path, config: str) -> list[Row]:
    rows: list[Row] = pq.read_table(draft / f"{config}.parquet").to_pylist()
    return rows


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def build(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs `potstill build ... --json` in this process and returns what it printed."""

    def run(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        return facts

    return run


# --- rows are conserved


def test_every_candidate_is_kept_or_dropped_for_a_reason_and_they_add_up(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    facts = build(*build_words(tmp_path, rows=60))
    counted, draft = facts["counts"], Path(facts["draft"])
    kept, dropped = rows_of(draft, "default"), rows_of(draft, "dropped")
    assert counted["made"] == counted["kept"] + sum(counted["dropped"].values())
    assert counted["kept"] == len(kept) > 0
    assert counted["dropped"] == Counter(row["reason"] for row in dropped)
    expected = {"too similar", "too short", "unsuitable word", "punctuation", "not ascii"}
    assert expected <= set(counted["dropped"])
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)?", reason) for reason in counted["dropped"])
    assert all(json.loads(row["evidence"])["instruction"] for row in dropped)
    assert facts["spent"]["roles"]["writer"]["calls"] == len(rows_of(draft, "calls"))


def test_every_kept_and_every_dropped_row_is_named_by_the_calls_it_was_made_from(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    draft = Path(build(*build_words(tmp_path))["draft"])
    named = {identity for call in rows_of(draft, "calls") for identity in call["row_ids"]}
    assert named == {
        row["id"] for config in ("default", "dropped") for row in rows_of(draft, config)
    }


def test_the_printed_table_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(build_words(tmp_path)) == 0
    printed = capsys.readouterr().out
    lines = re.findall(r"^(made|kept|dropped: .+?) {2,}(\d+)(?: +([\d.]+)%)?$", printed, re.M)
    (made, *became) = lines
    assert made[0] == "made" and int(made[1]) == sum(int(rows) for _, rows, _ in became)
    assert sum(float(share) for _, _, share in became) == pytest.approx(100, abs=0.1 * len(became))
    assert max(map(len, printed.splitlines())) <= max(80, 28 + len(str(tmp_path)) + 40)


TEXT = st.text(max_size=30) | st.sampled_from(
    [
        "",
        " \n",
        "I'm sorry, but I can't help.",
        "over and over " * 40,
        "\ud800 alone",
        "a\x00b",
        "\ufffd",
    ]
)
FEW = st.sampled_from(["Why is the sky blue?", "why is  the sky BLUE?", "Name a fish.", "É", "---"])
CALL = st.integers(0, 5).map("call{:012d}".format)
FAILED = st.fixed_dictionaries(
    {
        "failed": st.sampled_from(["time-out", "http 500", "step error", "no partner"]),
        "failed_step": st.just("answer"),
        "failed_why": TEXT,
    }
)


def completions_raws(choose: str) -> st.SearchStrategy[list[Raw]]:
    roles = st.sampled_from(["user", "assistant", "tool", ""])
    turns = st.lists(st.fixed_dictionaries({"role": roles, "content": TEXT}), max_size=3)
    prompts = st.fixed_dictionaries({"prompt": FEW.map(user) | turns})
    answered = st.fixed_dictionaries(
        {
            "answer": TEXT,
            "llm_answer_call": CALL,
        }
    )
    judgement = st.none() | TEXT | st.sampled_from(["[[7]]", "[[0]]", "[[3]] [[9.5]]"])
    judged = judgement.map(lambda text: {"judgement": text, "score": completions.score(text)})
    extra = judged if choose == "judged" else st.just({})
    answer = st.tuples(prompts, answered, extra)
    return st.lists(merged(answer) | merged(st.tuples(prompts, FAILED)), max_size=25)


def instructions_raws() -> st.SearchStrategy[list[Raw]]:
    rejected = st.fixed_dictionaries(
        {
            "reject": st.sampled_from(["too similar", "echo", "cut off"]),
            "instruction": st.none() | FEW | TEXT,
            "similarity": st.floats(0, 1),
            "llm_bootstrap_call": CALL,
        }
    )
    instance = st.fixed_dictionaries(
        {
            "reject": st.none(),
            "instruction": FEW,
            "input": TEXT,
            "output": TEXT,
            "layout": st.sampled_from(["plain", "drawn"]),
            "draw": st.floats(0, 1, exclude_max=True),
            "llm_input_first_call": CALL,
        }
    )
    return st.lists(rejected | instance | FAILED, max_size=25)


def merged(parts: st.SearchStrategy[tuple[Raw, ...]]) -> st.SearchStrategy[Raw]:
    return parts.map(lambda raws: {name: value for raw in raws for name, value in raw.items()})


def assert_conserved(recipe: Recipe, settings: Settings, raws: list[Raw]) -> None:
    candidates = Spool(Path(tempfile.gettempdir()), (candidate_row(recipe, raw) for raw in raws))
    decide(recipe, settings, candidates)
    kept = [candidate.row for candidate in candidates if candidate.row is not None]
    spooled, row_ids = outcomes(candidates)
    dropped = [*spooled]
    assert all((one.row is None) != (one.drop is None) for one in candidates)
    counted = counts(len(kept), dropped)
    assert counted["made"] == len(raws) == counted["kept"] + sum(counted["dropped"].values())
    for schema, rows in ((recipe.schema, kept), (DROPPED, dropped)):
        assert len({row["id"] for row in rows}) == len(rows)
        assert [schema.problem(row) for row in rows] == [None] * len(rows)
        assert as_written(schema, rows) == rows
    ids = {row["id"] for row in [*kept, *dropped]}
    calls = {call for candidate in candidates for call in candidate.calls()}
    assert {identity for call in calls for identity in row_ids.of(call)} <= ids


def as_written(schema: Schema, rows: list[Row]) -> list[Row]:
    read: list[Row] = pa.Table.from_pylist(rows, schema=schema.arrow).to_pylist()
    return read


@pytest.mark.parametrize("choose", ["first", "longest", "judged"])
def test_every_answer_is_kept_or_dropped_and_never_lost(choose: str) -> None:
    @given(completions_raws(choose))
    def holds(raws: list[Raw]) -> None:
        chosen = Settings(rows=len(raws), seed=0, options={"choose": choose})
        assert_conserved(completions.RECIPE, chosen, raws)

    holds()


@given(instructions_raws())
def test_every_instruction_is_kept_or_dropped_and_never_lost(
    raws: list[Raw],
) -> None:
    assert_conserved(instructions.RECIPE, Settings(rows=len(raws), seed=0), raws)


@each("name", recipe_names())
def test_no_recipe_keeps_what_a_teacher_wrote_with_a_control_character(name: str) -> None:
    def row(raw: Raw) -> Row:
        return {"prompt": raw["prompt"], "completion": assistant(raw["answer"])}

    recipe = replace(load_recipe(name), schema=PROMPT_COMPLETION, row=row)
    prompt = user("What does \x1b do?")
    kept = candidate_row(recipe, {"prompt": prompt, "answer": "It begins a sequence."})
    assert kept.row is not None
    for answer, character in (("\x1b[31mred", "U+001B"), ("a \0", "U+0000"), ("\x07", "U+0007")):
        drop = candidate_row(recipe, {"prompt": prompt, "answer": answer}).drop
        assert drop and drop.reason == "unprintable" and drop.evidence["character"] == character


SCRIPT_THAT_FAILS = """
from builders.engine.calls import Failure

def answer(call):
    if "3 plus 3" in call.text:
        raise Failure("time-out", "it took too long")
    if "4 plus 4" in call.text:
        return None  # not a text: an error in somebody's step
    if "5 plus 5" in call.text and call.sample == 1:
        raise Failure("http 500", "it broke")
    return "It is " + call.text.split()[2] + " twice, in sample " + str(call.sample)
"""


def test_a_bad_answer_costs_one_row(tmp_path: Path, build: Callable[..., dict[str, Any]]) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT_THAT_FAILS, encoding="utf-8")
    words = build_words(tmp_path, name="completions")
    words[words.index("--teacher") + 1] = f"scripted:{script}"
    facts = build(*words, "--samples", "2")
    counted = facts["counts"]
    # Of 24 answers two of one prompt fail and one of another; a step fails on a whole prompt.
    assert counted["dropped"] == {"not chosen": 9, "http 500": 1, "step error": 1, "time-out": 2}
    assert counted["kept"] == 10
    kept = {row["prompt"][0]["content"] for row in rows_of(Path(facts["draft"]), "default")}
    wanted = {f"What is {n} plus {n}?" for n in range(12) if n not in (3, 4)}
    assert kept == wanted


def test_half_a_character_in_a_seed_or_an_answer_costs_that_row(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    words = build_words(tmp_path)
    seeds = Path(words[words.index("--seeds") + 1])
    halved = seeds.read_text(encoding="utf-8").replace("Describe the smell", r"Describe \ud83d")
    seeds.write_text(halved, encoding="utf-8")
    rules = [{"when": r"^Think of a series", "answer": "Say \ud83d in a few more words.\n10. go"}]
    write_script(tmp_path, [*rules, *RULES])
    facts = build(*words)
    draft = Path(facts["draft"])
    assert facts["counts"]["left_out"] == {"unreadable": 1}
    [left_out] = [
        json.loads(row["evidence"])
        for row in rows_of(draft, "dropped")
        if row["reason"] == "left out: unreadable"
    ]
    assert left_out["place"].startswith(f"{seeds.name}, line ") and "U+D83D" in left_out["why"]
    halved_answers = [row for row in rows_of(draft, "calls") if "\ufffd" in row["answer"]]
    assert halved_answers and {row["ended"] for row in halved_answers} == {"aborted"}
    assert facts["counts"]["dropped"] == {"broken off": facts["counts"]["made"]}


def test_the_name_of_a_set_as_a_source_is_its_newest_draft(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    words = build_words(tmp_path)
    first = Path(build(*words)["draft"])
    teacher = words[words.index("--teacher") + 1]
    again = ("build", "completions", "--prompts=instructions", "--work", str(tmp_path / "work"))
    facts = build(*again, "--teacher", teacher, "--rows", "5")
    source = [row["prompt"] for row in rows_of(first, "default")][:5]
    prompts = [row["prompt"] for row in rows_of(Path(facts["draft"]), "default")]
    assert prompts and all(prompt in source for prompt in prompts)


# --- the same input gives the same bytes


@pytest.mark.parametrize("name", ["instructions", "completions"])
def test_the_same_seeds_and_script_give_the_same_bytes(
    name: str, tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    one = build(*build_words(tmp_path / "one", name=name))
    two = build(*build_words(tmp_path / "two", name=name), "--concurrency", "1")
    for file in FILES:
        assert (Path(one["draft"]) / file).read_bytes() == (Path(two["draft"]) / file).read_bytes()
    assert one["lineage"] == two["lineage"] and one["counts"] == two["counts"]
    assert str(tmp_path) not in json.dumps(one["lineage"])


def test_the_order_in_which_answers_arrive_changes_no_byte(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    drafts = []
    prompts = write_prompts(tmp_path, 20)
    with Endpoint(Behaviour(latency="lognormal:0.01:1.5")) as endpoint:
        for work, concurrency in (("one", "16"), ("two", "2")):
            words = ("build", "completions", "--prompts", str(prompts), "--teacher", endpoint.url)
            place, two = str(tmp_path / work), ("--samples", "2", "--choose", "first")
            facts = build(*words, "--work", place, "--concurrency", concurrency, *two)
            drafts.append(Path(facts["draft"]))
    for file in FILES:
        assert len({(draft / file).read_bytes() for draft in drafts}) == 1
    assert [row["prompt"][0]["content"] for row in rows_of(drafts[0], "default")] == (
        prompts.read_text(encoding="utf-8").splitlines()
    )


def test_another_seed_draws_other_lists_of_tasks(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    words = build_words(tmp_path)
    sent = [
        {call["asked"] for call in rows_of(Path(build(*words, "--seed", seed)["draft"]), "calls")}
        for seed in ("1", "2")
    ]
    lists = [{text for text in texts if "Think of a series" in text} for texts in sent]
    assert lists[0] and not lists[0] & lists[1]


# --- what is shown


def test_json_is_one_object_on_one_line_and_the_drafts_own_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path)
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and "\x1b" not in err
    facts = json.loads(out)
    draft = Path(facts.pop("draft"))
    assert facts.pop("new") is True
    assert facts.pop("run") == json.loads((draft / "run.json").read_text(encoding="utf-8"))
    assert facts == json.loads((draft / "draft.json").read_text(encoding="utf-8"))
    assert main(["show", "instructions", "--work", words[-1], "--json", "--rows", "0"]) == 0
    shown = json.loads(out)
    del shown["new"]
    assert json.loads(capsys.readouterr().out) == {
        **shown,
        "rows": {"default": [], "dropped": []},
    }


def test_kept_and_dropped_rows_are_shown_with_reasons_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [{**rule, "answers": ["\x1b[31m red \x07 " + "long " * 300]} for rule in RULES[-1:]]
    words = build_words(tmp_path, name="completions", rows=8)
    write_script(
        tmp_path, [{"when": "7 plus", "answer": "I'm sorry, but I can't help with that."}, *rules]
    )
    assert main([*words, "--samples", "1"]) == 0
    capsys.readouterr()
    assert main(["show", "completions", "--work", words[-1]]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown
    body = shown.split("\n\n", 1)[1]
    assert max(map(len, body.splitlines())) < 80
    reasons = set(re.findall(r"^dropped [0-9a-f]{16}: (.+)$", body, re.M))
    assert {"refusal", "repetition"} <= reasons


SLOW_SCRIPT = """
import time

def answer(call):
    time.sleep(1.2)
    return "Twice as much, as you said: " + call.id
"""


@pytest.mark.slow
def test_progress_is_plain_lines_on_a_pipe_and_a_bar_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_SCRIPT, encoding="utf-8")
    write_prompts(tmp_path, 10)
    command = [sys.executable, "-m", "scripts.main", "build", "completions", "--samples", "1"]
    command += ["--prompts", "prompts.txt", "--teacher", "scripted:slow.py", "--concurrency", "1"]
    piped = subprocess.Popen(
        [*command, "--work", "piped"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    ours, theirs = pty.openpty()
    live = subprocess.Popen(
        [*command, "--work", "live"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    drawn = bytearray()
    while chunk := read_or_end(ours):
        drawn += chunk
    os.close(ours)
    table, lines = (part.decode() for part in piped.communicate())
    live_table = live.communicate()[0].decode()
    assert piped.returncode == live.returncode == 0
    assert "\x1b" not in table + lines + live_table and "\r" not in lines
    begin, end = r"prompts: .+\nthe licence of .+\n", r"this set has no file of its own; .+\n"
    assert re.fullmatch(begin + r"([a-z ]+( \| \d+/10 calls( \| [^|\n]+)*)?\n)+" + end, lines)
    assert re.search(r"prompts: .+\r\n", drawn.decode())
    calls = [int(done) for done in re.findall(r" (\d+)/10 calls", drawn.decode())]
    assert len(calls) > 10 and calls == sorted(calls)
    assert calls[-1] >= 8  # a script holds up what counts its answer until the next one is there


def read_or_end(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: the other end was closed
        return b""


# --- a draft is whole or absent


def test_the_same_build_again_is_the_same_draft_and_makes_no_call(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    words = build_words(tmp_path)
    first = Path(build(*words)["draft"])
    before = file_bytes(first)
    again = build(*words)
    assert Path(again["draft"]) == first and file_bytes(first) == before
    assert [path.name for path in first.parent.iterdir()] == ["0001"]
    assert again["run"]["calls"] == 0 and again["run"]["reused"] == len(rows_of(first, "calls"))


def test_what_a_killed_build_left_changes_nothing(
    tmp_path: Path, build: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path)
    first = Path(build(*words)["draft"])
    for name in (".making-abc123", ".making-0002"):
        (first.parent / name).mkdir()
        (first.parent / name / "default.parquet").write_bytes(b"PAR1 half a file")
    shutil.copytree(first.parent / ".making-abc123", tmp_path / ".making-release")
    assert last_draft(tmp_path / "work" / "instructions").folder == first
    second = Path(build(*words, "--seed", "7")["draft"])
    assert (first.name, second.name) == ("0001", "0002")
    assert sorted(first.parent.iterdir()) == [first, second]
    release = ["release", "instructions", "--work", words[-1], "--to", str(tmp_path / "released")]
    assert main(release) == 0
    assert "read back and compared" in capsys.readouterr().out


SCRIPT_THAT_DIES = """
import os, pathlib, signal

when, asked, synced = os.environ.get("DIES", ""), [], []
rename, fsync = pathlib.Path.rename, os.fsync

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def renamed(self, target):
    of_a_draft = pathlib.Path(target).parent.name == "drafts"
    if when == "before the rename" and of_a_draft:
        die()
    found = rename(self, target)
    if when == "after the rename" and of_a_draft:
        die()
    return found

def file_synced(file):
    fsync(file)
    synced.extend({*pathlib.Path(os.readlink(f"/proc/self/fd/{file}")).parts} & {"default.parquet"})
    if when == "amid the files" and synced:
        die()

if when:
    pathlib.Path.rename, os.fsync = renamed, file_synced

def answer(call):
    asked.append(call)
    if when == "amid the answers" and len(asked) == 4:
        die()
    return "Write a few lines about the number " + call.id
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["amid the answers", "amid the files", "before the rename", "after the rename"]
)
def test_a_build_killed_at_any_moment_leaves_whole_drafts_only_and_ends_when_run_again(
    moment: str,
    tmp_path: Path,
    build: Callable[..., dict[str, Any]],
    potstill: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    words = build_words(tmp_path)
    first = Path(build(*words)["draft"])
    before = file_bytes(first)
    script = tmp_path / "dies.py"
    script.write_text(SCRIPT_THAT_DIES, encoding="utf-8")
    words[words.index("--teacher") + 1] = f"scripted:{script}"
    killed = potstill(*words, env={"DIES": moment})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = ["0001", "0002"] if moment == "after the rename" else ["0001"]
    drafts = first.parent
    assert sorted(path.name for path in drafts.iterdir() if path.name[0] != ".") == whole
    assert last_draft(drafts.parent).folder.name == whole[-1]

    second = build(*words)
    assert second["run"]["reused"] > 0 or moment == "amid the answers"
    assert sorted(path.name for path in drafts.iterdir()) == ["0001", "0002"]
    assert file_bytes(first) == before
    elsewhere = Path(build(*words[:-1], str(tmp_path / "elsewhere"))["draft"])
    for file in FILES:
        assert (Path(second["draft"]) / file).read_bytes() == (elsewhere / file).read_bytes()


@each(
    "torn",
    [b'{"teachers": {"every": [{"na', b"", bytes(400), b"\xff\xfe{", b"[" * 100_000, b"[]", b"{}"],
)
def test_torn_notes_beside_a_ledger_are_named_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], torn: bytes
) -> None:
    words = build_words(tmp_path, name="completions")
    assert main(words) == 0
    notes = tmp_path / "work" / "completions" / "build.json"
    whole = notes.read_bytes()
    notes.write_bytes(torn)
    capsys.readouterr()
    assert main([*words, "--from-ledger"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{notes} is damaged (" in error and "build again with the teacher" in error
    assert main(words) == 0
    assert notes.read_bytes() == whole


def test_a_file_in_the_place_of_the_drafts_is_named_before_a_call_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = tmp_path / "work" / "completions" / "drafts"
    drafts.parent.mkdir(parents=True)
    drafts.write_text("mine")
    assert main(build_words(tmp_path, name="completions")) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{drafts} is no folder, expected that of the drafts; move it away" in error
    assert not (drafts.parent / "ledger.sqlite").exists() and drafts.read_text() == "mine"


@pytest.mark.parametrize("name", ["draft.json", "run.json"])
def test_a_torn_draft_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = build_words(tmp_path, name="completions")
    assert main(words) == 0
    torn = tmp_path / "work" / "completions" / "drafts" / "0001" / name
    torn.write_bytes(torn.read_bytes()[:20])
    capsys.readouterr()
    work, folder = words[-2:], str(torn.parent)
    verbs = [["show", "completions", *work], ["diff", "completions", folder, *work]]
    if name == "draft.json":
        verbs += [["show", folder], ["diff", folder, folder]]
    for verb in verbs:
        assert main(verb) == 1
        assert f"{torn} is damaged (" in capsys.readouterr().err


def answers_of(ledger: Path) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute("SELECT id, texts FROM answers ORDER BY id").fetchall()


def damage(ledger: Path, *ids: int) -> None:
    """Another letter in the middle of these answers."""
    texts = dict(answers_of(ledger))
    content = ledger.read_bytes()
    for number in ids:
        whole = texts[number]
        place = content.index(whole) + len(whole) // 2
        content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    ledger.write_bytes(content)


def test_a_damaged_answer_is_asked_again_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path, name="completions")
    assert main(words) == 0
    home = tmp_path / "work" / "completions"
    first = file_bytes(home / "drafts" / "0001")
    before = answers_of(home / "ledger.sqlite")
    damage(home / "ledger.sqlite", 3, 7)
    capsys.readouterr()
    assert main([*words, "--from-ledger"]) == 1
    err = capsys.readouterr().err
    assert "is damaged at call" in err and "`potstill ledger completions --repair" in err
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["run"]["calls"] == 2
    assert "damaged answers in the ledger, asked again: 2" in err
    assert "`potstill ledger completions --repair`" in err
    changed = {number for number, _ in {*before} ^ {*answers_of(home / "ledger.sqlite")}}
    assert changed <= {3, 7}  # only the seconds that an answer took may differ
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["run"]["calls"] == 0 and "damaged answers" not in err
    assert file_bytes(home / "drafts" / "0001") == first and not (home / "drafts" / "0002").exists()


def test_a_ledger_that_cannot_be_opened_is_repaired_and_the_build_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path, name="completions")
    assert main(words) == 0
    home = tmp_path / "work" / "completions"
    ledger, work = home / "ledger.sqlite", words[-2:]
    calls = len(answers_of(ledger))
    damage(ledger, 5)
    with ledger.open("r+b") as file:
        file.write(b"\xff" * 4096)
    capsys.readouterr()
    assert main(words) == 1
    assert f"{ledger} is " in capsys.readouterr().err
    assert main(["ledger", "completions", "--repair", "--json", *work]) == 0
    facts = json.loads(capsys.readouterr().out)["ledger.sqlite"]
    assert facts == {
        "answers": calls - 1,
        "failures": 0,
        "lost": 1,
        "lost_exactly": False,
        "damaged": "ledger.sqlite.damaged",
    }
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["calls"] == 1
    assert main(["ledger", "completions", "--repair", *work]) == 0
    assert capsys.readouterr().out == f"{ledger} is whole; nothing was changed\n"
    with folder_lock(home):
        assert main(["ledger", "completions", "--repair", *work]) == 1
    assert main(["ledger", "instructions", "--repair", *work]) == 1
    assert "there is no ledger in" in capsys.readouterr().err


def test_a_ledger_is_repaired_in_the_default_work_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(build_words(tmp_path, name="completions")[:-2]) == 0
    place = Path("work", "completions", "ledger.sqlite")
    capsys.readouterr()
    assert main(["ledger", "completions", "--repair"]) == 0
    assert capsys.readouterr().out == f"{place} is whole; nothing was changed\n"
    damage(place, 5)
    assert main(["ledger", "completions", "--repair"]) == 0
    assert "answers lost: 1" in capsys.readouterr().out
    assert main(["ledger", "completions", "--repair"]) == 0
    assert capsys.readouterr().out == f"{place} is whole; nothing was changed\n"


@each("verb", ["build", "ledger --repair"])
def test_notes_that_are_a_folder_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    words = build_words(tmp_path / verb, name="completions")
    assert main(words) == 0
    notes = tmp_path / verb / "work" / "completions" / "build.json"
    notes.unlink()
    notes.mkdir()
    capsys.readouterr()
    if verb == "build":
        assert main(words) == 1
        line = f"potstill: {notes} is a folder, no file; move it away and build again\n"
        assert capsys.readouterr().err.endswith(line)
        assert main([*words, "--from-ledger"]) == 1
        line = f"potstill: {notes} is a folder, expected a file; move it away and build again\n"
        assert capsys.readouterr().err.endswith(line)
    else:
        assert main(["ledger", "completions", "--repair", *words[-2:]]) == 0


def test_a_ledger_names_the_endpoints_that_share_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "completions" / "ledger.sqlite"
    path.parent.mkdir()
    with closing(Ledger.open(path)) as ledger:
        for name, revision in (("alpha", None), ("beta", "0123456789abcdef" * 4)):
            teacher = {"endpoint": f"http://x/v1?provider={name}", "revision": revision}
            call = Call(role="writer", model="m", prompt="Hi.", sampling={}, **teacher)
            answer = Answer(text="Hello.", input_tokens=1, output_tokens=2)
            asyncio.run(ledger.record(call, answer, cost_usd=0.5, attempts=1))
    assert main(["ledger", "completions", "--work", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "writer m at http://x/v1?provider=alpha",
        "  1 call, 1 input and 2 output tokens, 0.5 USD",
        "writer m@0123456789abcdef012 at http://x/v1?provider=beta",
        "  1 call, 1 input and 2 output tokens, 0.5 USD",
        "total",
        "  2 calls, 2 input and 4 output tokens, 1 USD",
        "used in all, at most: 2 requests, 6 tokens, 1 USD",
        "no failed requests",
    ]


@pytest.mark.slow
def test_memory_holds_no_candidate_of_a_large_build(tmp_path: Path) -> None:
    script = "def answer(call):\n    return call.text[:30] + ' is ' + 'one of many things ' * 60\n"
    (tmp_path / "teacher.py").write_text(script, encoding="utf-8")
    peaks_mb = []
    for rows in (2000, 12_000):
        lines = (f"What is thing {row}? {'It matters. ' * 40}" for row in range(rows))
        (tmp_path / "prompts.txt").write_text("\n".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "scripts.main", "build", "completions", "--samples", "1"]
        command += ["--prompts", "prompts.txt", "--teacher", "scripted:teacher.py"]
        command += ["--rows", str(rows), "--work", str(rows)]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        peaks_mb.append(used.ru_maxrss / 1024)
    # 10,000 prompts and answers take 16 MB as text alone, and several times that as objects.
    assert peaks_mb[1] - peaks_mb[0] < 15
