"""Shards: each makes the calls of the whole build, and what they made is joined to its bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from builders.drafting.contributions import contribution
from builders.drafting.draft import last_draft
from builders.engine.ledger import Ledger
from builders.recipe import row_id
from builders.schema import Row, assistant, user
from scripts.main import main
from tests.drafting.test_contributions import GIVEN, written
from tests.drafting.test_run import build_words, file_bytes

EVOLVED = '''"""Harder prompts: rewritten twice by a rule drawn at random, then routed at random."""
from distilabel.pipeline import Pipeline, sample_n_steps
from distilabel.steps.tasks import EvolInstruct, TextGeneration
from distilabel.steps import GroupColumns

from builders.recipe import Recipe, Seeds
from builders.schema import PROMPT_COMPLETION, assistant, user


def pipeline(teach):
    with Pipeline(name="evolved") as line:
        evolved = EvolInstruct(
            name="evolve",
            llm=teach("writer"),
            num_evolutions=2,
            input_mappings={"instruction": "question"},
        )
        ends = [
            TextGeneration(
                name=name,
                llm=teach("writer", temperature=heat),
                input_mappings={"instruction": "evolved_instruction"},
            )
            for name, heat in (("cool", 0.2), ("hot", 1.1))
        ]
        evolved >> sample_n_steps(1) >> ends >> GroupColumns(columns=["generation"])
    return line


def row(raw):
    [text] = raw["grouped_generation"]
    return {"prompt": user(raw["evolved_instruction"]), "completion": assistant(text)}


RECIPE = Recipe(
    name="evolved",
    makes="harder prompts",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(form="prompts", source="none", keeps=("question",)),
    roles={"writer": "rewrites and answers"},
    rows=1000,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
)
'''


RANKED = EVOLVED.replace(
    """from builders.recipe import""",
    """from distilabel.steps import GlobalStep
from builders.recipe import""",
).replace(
    "def pipeline(teach):",
    """class Ranked(GlobalStep):
    @property
    def inputs(self):
        return ["question"]

    @property
    def outputs(self):
        return ["question"]

    def process(self, inputs):
        for place, one in enumerate(sorted(inputs, key=lambda one: one["question"])):
            yield [{**one, "question": f"{place}: {one['question']}"}]


def pipeline(teach):""",
)


def asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The number of calls of a build."""
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    return int(facts["run"]["calls"])


def test_a_task_that_draws_is_built_in_shards_and_behind_a_new_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, prompts = tmp_path / "evolved.py", tmp_path / "prompts.jsonl"
    recipe.write_text(EVOLVED, encoding="utf-8")
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"when": "", "answer": "Done {{hash}}."}), encoding="utf-8")
    lines = [json.dumps({"prompt": f"Plan {n} days.", "question": f"Plan {n}?"}) for n in range(30)]
    prompts.write_text("\n".join(lines), encoding="utf-8")
    words = ["build", str(recipe), "--teacher", f"scripted:{script}", "--prompts", str(prompts)]
    whole, parts = (["--work", str(tmp_path / name)] for name in ("whole", "parts"))
    assert asked([*words, *whole], capsys) == 90
    for shard in ("1/2", "2/2"):
        assert main([*words, *parts, "--shard", shard]) == 0
    assert main(["merge", str(recipe), *parts]) == 0
    capsys.readouterr()
    single, merged = (last_draft(tmp_path / name / "evolved") for name in ("whole", "parts"))
    assert file_bytes(single.folder) | {"run.json": b""} == {
        **file_bytes(merged.folder),
        "run.json": b"",
    }
    prompts.write_text("\n".join([json.dumps({"prompt": "New.", "question": "New?"}), *lines]))
    assert asked([*words, *whole], capsys) == 3
    prompts.write_text("\n".join(reversed(lines)))
    assert asked([*words, *whole], capsys) == 0


def given(prompt: str) -> Row:
    return {"id": row_id(prompt), "prompt": user(prompt), "completion": assistant("Given.")}


def test_contributions_of_shards_are_part_of_the_merged_draft(tmp_path: Path) -> None:
    entries = [
        contribution("changed", given("What is 3 plus 3?"), **GIVEN),
        contribution("added", given("What is new?"), **GIVEN),
        contribution("removed", given("What is 5 plus 5?"), **GIVEN),
    ]
    people = ["--contributed", str(written(tmp_path / "set", entries))]
    words = build_words(tmp_path, name="completions")[:-2]
    whole, parts = (["--work", str(tmp_path / name)] for name in ("whole", "parts"))
    assert main([*words, *whole, *people]) == 0
    assert main([*words, *parts, "--shard", "1/2", *people]) == 0
    assert main([*words, *parts, "--shard", "2/2"]) == 0
    assert main(["merge", "completions", *parts]) == 1  # the shards are not of one build
    assert main([*words, *parts, "--shard", "2/2", *people]) == 0
    assert main(["merge", "completions", *parts]) == 0
    single, merged = (last_draft(tmp_path / name / "completions") for name in ("whole", "parts"))
    assert {row["id"] for row in entries} == {row["id"] for row in merged.stream("contributed")}
    ours = {name: body for name, body in file_bytes(single.folder).items() if name != "run.json"}
    assert ours.items() <= file_bytes(merged.folder).items()


def leave_journal(path: Path) -> None:
    """Move what a ledger holds into its journal, as a kill leaves it: the file alone is empty."""
    code = """
import os, sqlite3, sys
holder = sqlite3.connect(sys.argv[1])
rows = holder.execute("SELECT * FROM answers").fetchall()
holder.execute("DELETE FROM answers")
holder.commit()
holder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
holder.executemany(f"INSERT INTO answers VALUES ({','.join('?' * len(rows[0]))})", rows)
holder.commit()
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert path.with_name(path.name + "-wal").stat().st_size > 0


def test_a_shard_without_its_ledger_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = build_words(tmp_path, name="completions")
    for shard in ("1/2", "2/2"):
        assert main([*words, "--shard", shard]) == 0
    shard = tmp_path / "work" / "completions" / "shards" / "002-of-002"
    (shard / "ledger.sqlite").unlink()
    capsys.readouterr()
    assert main(["merge", "completions", *words[-2:]]) == 1
    assert f"{shard} has no ledger.sqlite; copy it from where" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_shards_are_read_where_nothing_may_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one whose journal was left behind by a kill, which SQLite would first copy over."""
    words = build_words(tmp_path, name="completions")[:-2]
    parts, place = tmp_path / "parts", tmp_path / "place"
    for shard in ("1/2", "2/2"):
        assert main([*words, "--work", str(parts), "--shard", shard]) == 0
    shards = parts / "completions" / "shards"
    leave_journal(shards / "002-of-002" / "ledger.sqlite")
    place.mkdir()
    mount = ["mount", "--bind", str(shards), str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        before = file_bytes(shards)
        capsys.readouterr()
        folders = [str(place / f"00{part}-of-002") for part in (1, 2)]
        work = ["--work", str(tmp_path / "merged")]
        assert main(["merge", "completions", *folders, *work]) == 0, capsys.readouterr().err
        assert file_bytes(shards) == before
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert last_draft(tmp_path / "merged" / "completions").counts["kept"] == 12


@pytest.mark.parametrize(
    ("wiring", "fits"), [("Ranked(name='ranked') >> evolved >>", False), ("evolved >>", True)]
)
def test_a_step_that_works_on_all_rows_before_teachers_are_asked_is_in_no_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wiring: str, fits: bool
) -> None:
    recipe = tmp_path / "evolved.py"
    end = "GroupColumns(columns=['generation'])"
    last = f"{end} >> Ranked(name='ranked')" if fits else end
    text = RANKED.replace("evolved >> sample", f"{wiring} sample")
    text = text.replace('GroupColumns(columns=["generation"])', last)
    recipe.write_text(text, encoding="utf-8")
    prompts = tmp_path / "prompts.jsonl"
    lines = (json.dumps({"prompt": f"{n} ?", "question": f"What is {n}?"}) for n in range(12))
    prompts.write_text("\n".join(lines), encoding="utf-8")
    words = build_words(tmp_path, name="completions")
    del words[words.index("--samples") : words.index("--work")]
    words[1], words[words.index("--prompts") + 1] = str(recipe), str(prompts)
    assert main([*words, "--shard", "1/2"]) == (0 if fits else 1)
    err = capsys.readouterr().err
    assert ("step 'ranked' works on all rows at once" in err) is not fits
    ledger = tmp_path / "work" / "evolved" / "shards" / "001-of-002" / "ledger.sqlite"
    with closing(Ledger.open(ledger, read_only=True)) as opened:
        assert (len(opened) > 0) is fits
