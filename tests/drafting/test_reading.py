"""What a build read is printed first; what it left out is counted, released and recomputed."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from builders import Draft, load_draft, release
from scripts.main import main
from tests.cases import each
from tests.endpoint import Endpoint

RULE = {"when": "", "answer": "Nobody knows {{hash}}, as far as I have heard."}


@pytest.fixture
def alpaca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of alpaca.json: 8 to use, 3 repeated, 1 empty, 1 unreadable."""
    monkeypatch.chdir(tmp_path)
    Path("script.jsonl").write_text(json.dumps(RULE) + "\n")
    rows: list[Any] = [
        {"instruction": "Sum it up.", "input": f"Text {nr}.", "topic": "sums"} for nr in range(8)
    ]
    rows[2:2] = [rows[0], {"instruction": 7, "input": ""}, rows[1]]
    rows += [{"instruction": " ", "input": ""}, rows[0]]
    Path("alpaca.json").write_text(json.dumps(rows))
    return rows


def built(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], str, Draft]:
    """The lines on stderr, the table on stdout, and the draft of a build of alpaca.json."""
    source = ["--prompts", "alpaca.json"] if "--prompts" not in words else []
    given = ["--samples", "1", "--teacher", "scripted:script.jsonl", *source, *words]
    assert main(["build", "completions", *given]) == 0
    out, err = capsys.readouterr()
    *read, of_a_file = err.splitlines()
    assert of_a_file.startswith("this set has no file of its own; `potstill new ")
    return read, out, load_draft("completions")


def test_a_source_of_one_s_own_is_used_whole_and_what_was_read_is_printed_first(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, table, draft = built(capsys)
    assert lines == [
        "prompts: 8 of 13 rows of alpaca.json (instruction + input); 1 empty, 3 repeated, "
        "1 unreadable left out; --rows counts prompts: all",
        "columns not used: topic",
        "first empty: alpaca.json, row 12: column 'instruction': there is no text",
        f"first repeated: alpaca.json, row 3: the id {draft.rows()[0]['id']!r} came before",
        "first unreadable: alpaca.json, row 4: column 'instruction': it is 7, expected a text or "
        "a list of messages",
        "the licence of alpaca.json is unknown, and a release to a Hub needs it: give --license ID "
        "and build again, which repeats no call",
    ]
    assert re.search(r"^rows: prompts +8\nmade +8\nkept +8 .*\nleft out: repeated +3\n", table)
    assert draft.facts["lineage"]["settings"]["rows"] == 8


def test_given_rows_are_the_first_that_can_be_used_and_the_rest_is_counted(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _, draft = built(capsys, "--rows", "3")
    assert lines[0] == (
        "prompts: 3 of 13 rows of alpaca.json (instruction + input); 2 repeated, 1 unreadable "
        "left out; --rows counts prompts: 3 at most"
    )
    seeds = draft.facts["lineage"]["seeds"]
    left_out = {"repeated": 2, "unreadable": 1}
    assert (seeds["rows"], seeds["left_out"], seeds["beyond"]) == (3, left_out, 7)
    assert [row["prompt"][0]["content"][-7:] for row in draft.rows()] == [
        f"Text {nr}." for nr in range(3)
    ]


def test_the_recipe_s_number_of_rows_is_for_its_own_source(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--teacher", "scripted:script.jsonl", "--writers", "2", "--budget-calls", "1"]
    assert main(["build", "ultrafeedback", *words]) != 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "prompts: 40 of 60 rows of prompts.jsonl (prompt); --rows counts prompts: 40 at most, the "
        "recipe's default"
    )


def test_what_was_left_out_is_released_with_its_place_and_adds_up(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, draft = built(capsys)
    counts, seeds = draft.counts, draft.facts["lineage"]["seeds"]
    assert counts["left_out"] == {"repeated": 3, "empty": 1, "unreadable": 1}
    assert counts["made"] == counts["kept"] == 8
    assert seeds["rows"] + sum(seeds["left_out"].values()) + seeds["beyond"] == len(alpaca)
    places = {
        (row["reason"], json.loads(row["evidence"])["place"]) for row in draft.rows("dropped")
    }
    assert places == {
        *(("left out: repeated", f"alpaca.json, row {nr}") for nr in (3, 5, 13)),
        ("left out: unreadable", "alpaca.json, row 4"),
        ("left out: empty", "alpaca.json, row 12"),
    }
    folder = release(draft, "released")
    card = (folder / "README.md").read_text()
    assert (
        "alpaca.json, 13 rows: 8 used, 1 left out (empty), 3 left out (repeated), 1 left out "
        "(unreadable); prompts from instruction + input; licence" in card
    )
    assert "| rows of the source left out | 5 |" in card and "dropped: left out" not in card
    assert main(["check", "released"]) == 0
    assert main(["show", "completions"]) == 0
    assert re.search(r"left out: repeated +3\n", capsys.readouterr().out)


@each("claim", ["counts", "lineage"])
def test_a_false_count_of_what_was_left_out_is_found(
    claim: str, alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, _, draft = built(capsys)
    folder = release(draft, f"false-{claim}")
    manifest = json.loads((folder / "manifest.json").read_text())
    holder = manifest["counts"] if claim == "counts" else manifest["lineage"]["seeds"]
    holder["left_out"]["repeated"] = 2
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["check", str(folder)]) == 1
    words = "counts: it is" if claim == "counts" else "left out: it is"
    assert f"manifest.json, {words}" in capsys.readouterr().err


def test_what_may_be_the_answer_and_files_that_are_not_read_are_named(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("set").mkdir()
    others = [f"n{number}" for number in range(20)]
    row = {"prompt": "Name a fruit.", **dict.fromkeys(others, 1), "content": "Pear."}
    Path("set/a.jsonl").write_text(json.dumps(row))
    Path("set/b.pdf").write_bytes(b"%PDF-1.7\n")
    Path("set/c.txt").write_text("About it.\n")
    lines, _, _ = built(capsys, "--prompts", "set", "--license", "mit")
    assert lines == [
        "prompts: 1 of 1 row of set (prompt); --rows counts prompts: all",
        f"columns not used: {', '.join(others)}, content",
        "content may hold the answer; if not, --column prompt+content joins it",
        "2 files not read: b.pdf, c.txt",
    ]


def test_prompts_that_may_end_with_their_own_answer_are_counted_before_anything_is_asked(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"Is it {n}?\nIt is {n}.", "answer": f"It is {n}."} for n in range(2)]
    Path("a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    lines, _, _ = built(capsys, "--prompts", "a.jsonl", "--license", "mit")
    assert lines[2:] == ["2 prompts may end with an answer, which is asked too; if so, delete it"]


def test_a_source_that_cannot_be_used_costs_no_call(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jsonl").write_text('{"prompt": 7}\n' * 3)
    with Endpoint() as endpoint:
        words = ["--prompts", "bad.jsonl", "--teacher", f"{endpoint.url}#m"]
        assert main(["build", "completions", *words]) == 1
        assert endpoint.requests == []
    err = capsys.readouterr().err
    assert "3 of 3 rows cannot be read, 0 prompts left; the first is bad.jsonl, line 1" in err


def test_an_estimate_samples_a_source_that_is_used_whole(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("long.txt").write_text("".join(f"What is {nr}?\n" for nr in range(50)))
    words = ["--prompts", "long.txt", "--samples", "1", "--teacher", "scripted:script.jsonl"]
    assert main(["build", "completions", *words, "--estimate", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["sampled_rows"], facts["calls"]) == (50, 8, 50)


def test_the_shards_of_a_source_that_is_used_whole_make_the_whole_draft(
    alpaca: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, whole = built(capsys)
    words = ["--prompts", "alpaca.json", "--samples", "1", "--teacher", "scripted:script.jsonl"]
    for part in (1, 2):
        shard = ["--shard", f"{part}/2", "--work", "parts"]
        assert main(["build", "completions", *words, *shard]) == 0
    assert main(["merge", "completions", "--work", "parts"]) == 0
    merged = load_draft("completions", "parts")
    assert merged.facts == whole.facts
    for config in ("default", "dropped", "calls"):
        assert merged.rows(config) == whole.rows(config)
