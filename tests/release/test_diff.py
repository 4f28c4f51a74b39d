"""The diff of two snapshots: exactly what was edited, by id, for files of any writer."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import InputError
from builders.release.diff import SAMPLES, SPLIT, Diff, diff, facts, line, table
from builders.release.snapshot import Snapshot, snapshot
from builders.release.versions import demanded
from builders.schema import CALLS, PREFERENCE, PROMPT_COMPLETION, Row, assistant, user
from tests.cases import each
from tests.drafting.test_run import build_words

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PLAIN = pa.schema([("id", pa.string()), ("prompt", MESSAGES), ("score", pa.float64())])
# The same columns in the layout of another writer.
OTHER = pa.schema(
    [
        ("id", pa.large_string()),
        ("prompt", pa.large_list(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("score", pa.float64()),
    ]
)


def row(number: int, text: str | None = "x", score: float | None = 1.0) -> Row:
    return {"id": f"{number:016x}", "prompt": None if text is None else user(text), "score": score}


def lay(
    folder: Path,
    configs: Mapping[str, Sequence[Row] | pa.Table],
    *,
    schema: pa.Schema = PLAIN,
    shards: int = 1,
    split: str = "train",
) -> Path:
    """A set's folder with these rows, split into shards."""
    for config, rows in configs.items():
        held = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema)
        (folder / "data" / config).mkdir(parents=True, exist_ok=True)
        step = -(-held.num_rows // shards) or 1
        for shard in range(shards):
            path = folder / "data" / config / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            pq.write_table(held.slice(shard * step, step), path, row_group_size=3)
    return folder


@pytest.fixture
def sets(tmp_path: Path) -> Callable[..., Snapshot]:
    """Make a snapshot of `default` rows, or of rows by config."""

    def made(rows: Any, **how: Any) -> Snapshot:
        folder = tmp_path / f"set{len(list(tmp_path.iterdir()))}"
        return snapshot(lay(folder, rows if isinstance(rows, dict) else {"default": rows}, **how))

    return made


def changes(found: Diff) -> list[Any]:
    config = found.configs["default"]
    return [
        list(config.ids_added),
        list(config.ids_removed),
        list(config.ids_changed),
        dict(config.changed_by_column),
    ]


# --- rows


def test_added_removed_and_changed_rows_are_named_by_id(sets: Callable[..., Snapshot]) -> None:
    old = sets([row(1), row(2), row(3), row(4)])
    new = sets([row(1), row(3, "y"), row(4, "z", 2.0), row(5)])
    config = diff(old, new).configs["default"]
    assert (config.rows_added, config.rows_removed, config.rows_changed) == (1, 1, 2)
    assert config.ids_added == (f"{5:016x}",) and config.ids_removed == (f"{2:016x}",)
    assert config.changed_by_column == {"prompt": 2, "score": 1}


TEXT = st.one_of(st.none(), st.text(max_size=12))
SCORE = st.one_of(st.none(), st.floats(allow_nan=False, width=32))
ROWS = st.dictionaries(st.integers(0, 40), st.tuples(TEXT, SCORE), max_size=25)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROWS, after=ROWS, seed=st.integers(0, 99), shards=st.integers(1, 4))
def test_the_diff_of_any_edit_is_that_edit_and_its_mirror_backwards(
    before: dict[int, Any], after: dict[int, Any], seed: int, shards: int, tmp_path: Path
) -> None:
    after = {**after, **{key: before[key] for key in list(before)[::2]}}
    shuffled = random.Random(seed).sample(sorted(after), len(after))
    for name in ("old", "new"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    old = snapshot(lay(tmp_path / "old", {"default": [row(n, *before[n]) for n in before]}))
    made = {"default": [row(n, *after[n]) for n in shuffled]}
    new = snapshot(lay(tmp_path / "new", made, shards=shards, schema=OTHER if seed % 2 else PLAIN))
    added, removed = sorted(set(after) - set(before)), sorted(set(before) - set(after))
    both = sorted(set(before) & set(after))
    columns = {"prompt": 0, "score": 1}
    by = {c: sum(before[n][at] != after[n][at] for n in both) for c, at in columns.items()}
    changed = [n for n in both if before[n] != after[n]]
    wanted = [[f"{n:016x}" for n in some[:SAMPLES]] for some in (added, removed, changed)]
    there, back = diff(old, new), diff(new, old)
    assert changes(there) == [*wanted, {c: rows for c, rows in by.items() if rows}]
    assert changes(back) == [wanted[1], wanted[0], *changes(there)[2:]]
    config = there.configs["default"]
    assert (config.rows_added, config.rows_removed) == (len(added), len(removed))
    assert config.rows_changed == len(changed)
    assert there.same == (before == after) == back.same
    assert diff(new, new).same


def test_another_order_of_rows_is_reported_and_is_no_change(sets: Callable[..., Snapshot]) -> None:
    found = diff(sets([row(1), row(2)]), sets([row(2), row(1)]))
    assert found.same and line(found) == "nothing changed"
    assert found.configs["default"].reordered and "only the order" in table(found)
    assert (
        not diff(sets([row(1), row(3)]), sets([row(1), row(2), row(3)]))
        .configs["default"]
        .reordered
    )


@each(
    ("was", "now"),
    [
        ([user("a")[0], assistant("b")[0]], [assistant("b")[0], user("a")[0]]),
        ([user("ab")[0]], [user("a")[0], user("b")[0]]),
        ([], None),
        ([user("")[0]], []),
        ([{"role": "user", "content": None}], [{"role": "user", "content": ""}]),
        ([{"role": "userx", "content": ""}], [{"role": "user", "content": "x"}]),
    ],
)
def test_any_difference_between_messages_is_a_change(
    was: Any, now: Any, sets: Callable[..., Snapshot]
) -> None:
    old, new = ({**row(1), "prompt": turns} for turns in (was, now))
    assert diff(sets([old]), sets([new])).configs["default"].changed_by_column == {"prompt": 1}


def test_a_row_that_moves_to_another_split_has_changed(sets: Callable[..., Snapshot]) -> None:
    old = sets([row(1), row(2)])
    new = sets([row(1)])
    lay(new.folder, {"default": [row(2)]}, split="test")
    found = diff(old, snapshot(new.folder)).configs["default"]
    assert found.changed_by_column == {SPLIT: 1} and found.ids_changed == (f"{2:016x}",)


def test_a_config_of_no_rows_can_be_compared(sets: Callable[..., Snapshot]) -> None:
    assert diff(sets([]), sets([])).same
    assert diff(sets([]), sets([row(1)])).configs["default"].rows_added == 1


# --- columns, configs, words


def test_added_removed_and_retyped_columns_are_named(
    sets: Callable[..., Snapshot],
) -> None:
    old = sets([row(1)])
    held = pa.table({"id": [f"{1:016x}"], "score": ["1.0"], "more": pa.array([1], pa.int64())})
    config = diff(old, sets({"default": held})).configs["default"]
    assert dict(config.columns_added) == {"more": "int64"}
    assert list(config.columns_removed) == ["prompt"]
    assert config.columns_retyped == {"score": ("double", "string")}
    assert config.rows_changed == 0 and config.columns == 3
    assert "column more added, column prompt removed, column score retyped" in line(
        diff(old, sets({"default": held}))
    )


def test_another_arrow_layout_of_a_type_is_no_change(sets: Callable[..., Snapshot]) -> None:
    assert diff(sets([row(1)]), sets([row(1)], schema=OTHER)).same


def test_an_added_or_removed_config_is_named_with_its_rows(sets: Callable[..., Snapshot]) -> None:
    one, two = {"default": [row(1)]}, {"default": [row(1)], "calls": [row(1), row(2)]}
    assert diff(sets(one), sets(two)).configs_added == {"calls": 2}
    found = diff(sets(two), sets(one))
    assert found.configs_removed == {"calls": 2} and not found.same
    assert line(found) == "config calls removed, 2 rows"


def declaring(made: Snapshot, **column: Any) -> Snapshot:
    """The same rows with another declaration of the column `score`."""
    declared = {"name": "score", "type": "float", "nullable": False, "meaning": "1 to 5"} | column
    configs = {"default": {"shape": "x", "columns": [declared]}}
    (made.folder / "manifest.json").write_text(json.dumps({"configs": configs}))
    return snapshot(made.folder)


def test_another_meaning_of_a_column_is_a_change_of_words(
    sets: Callable[..., Snapshot],
) -> None:
    old = declaring(sets([row(1)]))
    found = diff(old, declaring(sets([row(1)]), meaning="from 1 to 5"))
    assert found.configs["default"].columns == 0 and not found.same
    assert demanded(found) == "patch"
    assert line(found) == "default: column score reworded"
    assert "default: column score meant '1 to 5'; means 'from 1 to 5'" in table(found)
    [config] = json.loads(json.dumps(facts(found)))["configs"].values()
    assert config["columns_reworded"] == {"score": ["1 to 5", "from 1 to 5"]}
    assert config["columns_retyped"] == {}


def test_a_column_declared_nullable_or_of_another_type_is_another_column(
    sets: Callable[..., Snapshot],
) -> None:
    old = declaring(sets([row(1)]))
    for column, now in (({"nullable": True}, "float, may be null"), ({"type": "int"}, "int")):
        found = diff(old, declaring(sets([row(1)]), **column, meaning="other words"))
        assert found.configs["default"].columns_retyped == {"score": ("float", now)}
        assert demanded(found) == "major"


# --- what cannot be compared


@each(
    ("rows", "message"),
    [
        ([row(1), row(2), row(1)], f"'{1:016x}' is in two rows"),
        ([row(1), {**row(2), "id": None}], "a row has no id"),
        (pa.table({"prompt": ["x"]}), "no column 'id'"),
        (pa.table({"id": [1]}), "no column 'id' of strings"),
    ],
)
def test_rows_without_distinct_ids_are_refused(
    rows: Any, message: str, sets: Callable[..., Snapshot]
) -> None:
    good, bad = sets([row(1)]), sets({"default": rows})
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(InputError, match=message):
            diff(*pair)


def test_the_same_id_in_two_shards_is_found(sets: Callable[..., Snapshot]) -> None:
    bad = sets([row(1), row(2), row(3), row(1)], shards=2)
    with pytest.raises(InputError, match="two rows"):
        diff(bad, bad)


def test_shards_of_different_columns_are_refused(sets: Callable[..., Snapshot]) -> None:
    made = sets([row(1), row(2)], shards=2)
    pq.write_table(pa.table({"id": ["x"]}), made.files["default"][1])
    with pytest.raises(InputError, match="its files differ in the column 'prompt'"):
        diff(made, made)


@each("content", [b"", b"PAR1 no PAR1", b"PAR1" + bytes(1000) + b"PAR1"])
def test_a_file_that_is_not_parquet_is_refused_by_name(
    content: bytes, sets: Callable[..., Snapshot]
) -> None:
    made = sets([row(1)])
    made.files["default"][0].write_bytes(content)
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet cannot be read"):
        diff(sets([row(1)]), made)


def test_a_file_with_damaged_rows_is_refused(sets: Callable[..., Snapshot]) -> None:
    made = sets([row(n, "some text " * n) for n in range(50)])
    path = made.files["default"][0]
    content = bytearray(path.read_bytes())
    content[20:400] = bytes(380)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        diff(made, sets([row(1)]))


@each(
    ("name", "text"),
    [
        ("manifest.json", "{"),
        ("manifest.json", "[]"),
        ("manifest.json", '{"version": "latest"}'),
        ("manifest.json", '{"history": {"1.0.0": ""}}'),
        ("manifest.json", '{"history": [{"version": "1.0.0\\n## x", "changes": ""}]}'),
        ("manifest.json", '{"configs": {"default": {"columns": 3}}}'),
        ("advisories.json", '{"1.0.0": "bad"}'),
        ("advisories.json", '{"one": {"why": "", "use": ""}}'),
        ("README.md", "---\na: [\n---\n"),
    ],
)
def test_a_malformed_manifest_advisory_or_card_is_refused_by_its_name(
    name: str, text: str, sets: Callable[..., Snapshot]
) -> None:
    folder = sets([row(1)]).folder
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=name):
        snapshot(folder)


def test_a_folder_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no set"):
        snapshot(tmp_path)


# --- what people and programs read


def test_the_table_and_the_facts_agree(sets: Callable[..., Snapshot]) -> None:
    found = diff(sets([row(1), row(2)]), sets([row(1, "y"), row(3), row(4)]))
    assert table(found).splitlines()[1].split() == ["default", "2", "1", "1", "prompt", "1"]
    config = json.loads(json.dumps(facts(found)))["configs"]["default"]
    assert (config["rows_added"], config["rows_removed"], config["rows_changed"]) == (2, 1, 1)
    assert line(found) == "default: 2 rows added, 1 removed, 1 changed (prompt)"


def test_ids_and_columns_by_strangers_send_no_terminal_control(
    sets: Callable[..., Snapshot],
) -> None:
    held = pa.table({"id": ["\x1b[2Jx\n\r"], "a\x1b[1A\nb": [1]})
    shown = table(diff(sets({"default": pa.table({"id": ["y"]})}), sets({"default": held})))
    assert "\x1b" not in shown and "\r" not in shown and "[2Jx" in shown


@pytest.mark.slow
def test_a_draft_and_a_folder_are_compared_on_the_command_line(
    tmp_path: Path, potstill: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for words in (build_words(tmp_path), build_words(tmp_path, rows=12)):
        if (tmp_path / "work").exists():
            first = tmp_path / "first"
            done = potstill("release", "instructions", "--to", str(first))
            assert done.returncode == 0, done.stderr
        assert potstill(*words).returncode == 0
    done = potstill("diff", str(first), "instructions", "--json")
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported["demands"] == "minor" and reported["configs"]["dropped"]["rows_removed"] > 0
    assert reported["words_changed"] == []
    assert "needs a new minor version" in potstill("diff", str(first), "instructions").stdout
    assert "nothing changed" in potstill("diff", str(first), str(first)).stdout
    wrong = potstill("diff", str(first), "instruction")
    assert wrong.returncode == 1 and "did you mean 'instructions'" in wrong.stderr


def test_the_shared_schemas_can_be_compared(sets: Callable[..., Snapshot]) -> None:
    for shape in (PREFERENCE, PROMPT_COMPLETION, CALLS):
        blank: Row = {column.name: None for column in shape.columns}
        held = pa.Table.from_pylist([{**blank, "id": "x"}], shape.arrow)
        assert diff(sets({"default": held}), sets({"default": held})).same
