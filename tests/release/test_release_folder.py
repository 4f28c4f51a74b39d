"""Releases in series: history, shards, and whether every claim of a release is true."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.drafting.draft import Draft, last_draft
from builders.drafting.files import read_parquet, write_parquet
from builders.errors import InputError, PotstillError
from builders.recipe_loading import load_recipe
from builders.release.card import words_back, words_on
from builders.release.diff import diff
from builders.release.folder import release
from builders.release.set_rows import set_rows
from builders.release.sharding import write_shards
from builders.release.snapshot import snapshot, whole_snapshot
from builders.release.verification import read_back, verified
from builders.schema import CALLS, DROPPED, PROMPT_COMPLETION, Row, assistant, user
from builders.set_file import Words, read_set_file
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, file_bytes
from tests.set_files import shipped_words

CONFIGS = {"default": PROMPT_COMPLETION, "calls": CALLS, "dropped": DROPPED}


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draft, Draft]:
    """Two drafts of `instructions`, the second with fewer rows."""
    found = []
    for name, rows in (("first", 30), ("second", 12)):
        folder = tmp_path_factory.mktemp(name)
        assert main(build_words(folder, rows=rows)) == 0
        found.append(last_draft(folder / "work" / "instructions"))
    return found[0], found[1]


def words(version: str) -> Words:
    """The set's words with another version."""
    ours = shipped_words("instructions")
    changes = f"### v{version}\n\nMore.\n\n" + ours.sections["Changes"]
    return replace(ours, version=version, sections={**ours.sections, "Changes": changes})


@pytest.fixture(scope="module")
def versions(drafts: tuple[Draft, Draft], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three releases: the first, one with other rows, and one with other words."""
    folders = [tmp_path_factory.mktemp("versions") / name for name in ("one", "two", "three")]
    of = [(drafts[0], "0.1.0"), (drafts[1], "0.2.0"), (drafts[1], "0.2.1")]
    base = None
    for folder, (draft, version) in zip(folders, of, strict=True):
        made = release(draft, CONFIGS, folder, words(version), base=base, repository="org/set")
        assert made
        base = snapshot(folder)
    return folders


DAMAGE: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "torn in its rows": lambda path: path.write_bytes(
        b"PAR1" + b"\0" * 300 + path.read_bytes()[304:]
    ),
    "no parquet": lambda path: path.write_text("hi\n"),
}


@each("damage", DAMAGE)
def test_a_damaged_file_of_a_draft_is_named_and_nothing_is_released(
    damage: Callable[[Path], object], drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    for config in CONFIGS:
        draft = replace(drafts[1], folder=tmp_path / uuid.uuid4().hex)
        shutil.copytree(drafts[1].folder, draft.folder)
        damage(draft.file(config))
        with pytest.raises(InputError, match=rf"{config}\S*\.parquet is damaged \("):
            release(draft, CONFIGS, tmp_path / "out", words("0.1.0"))
        assert not (tmp_path / "out").exists()


def test_a_draft_without_one_of_its_files_is_no_set(
    drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    for config in CONFIGS:
        folder = tmp_path / config
        shutil.copytree(drafts[1].folder, folder)
        (folder / f"{config}.parquet").unlink()
        with pytest.raises(InputError, match=f"{config} has no {config}.parquet; build again"):
            snapshot(folder)


@each(
    "torn",
    [
        lambda _: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: bytes(len(whole)),
        lambda whole: whole.replace(b'"lineage"', b'"lin\xff\xfe"'),
        lambda whole: whole.replace(b'"lineage"', b'"linage"'),
        lambda _: b"{}",
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b"[" * 100_000,
    ],
)
def test_a_draft_with_torn_facts_is_not_whole(
    torn: Callable[[bytes], bytes], drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    shutil.copytree(drafts[1].folder, folder)
    assert whole_snapshot(folder).version is None
    facts = folder / "draft.json"
    facts.write_bytes(torn(facts.read_bytes()))
    line = rf"^{re.escape(str(facts))} is damaged \(.*build again"
    for read in (whole_snapshot, set_rows):
        with pytest.raises(InputError, match=line):
            read(folder)


def test_a_release_without_one_of_its_files_is_not_whole(
    versions: list[Path], tmp_path: Path
) -> None:
    for config in CONFIGS:
        folder = tmp_path / config
        shutil.copytree(versions[0], folder)
        assert whole_snapshot(folder).version == "0.1.0"
        shutil.rmtree(folder / "data" / config)
        with pytest.raises(InputError, match=f"has no files of '{config}'; take them from"):
            whole_snapshot(folder)


# --- in series


def test_each_release_lists_all_earlier_ones(versions: list[Path]) -> None:
    last = snapshot(versions[-1])
    assert [one["version"] for one in last.history] == ["0.2.1", "0.2.0", "0.1.0"]
    assert last.history[0]["changes"] == "words: Changes"
    assert re.search(r"calls: .+ removed.*; dropped: .+ removed", last.history[1]["changes"])
    card = (versions[-1] / "README.md").read_text(encoding="utf-8")
    for version in ("0.1.0", "0.2.0", "0.2.1"):
        assert f'`load_dataset("org/set", revision="v{version}", split="train")`' in card
    assert 'load_dataset("org/set", split="train", revision="v0.2.1")  # what' in card


def test_a_number_too_small_for_the_rows_is_refused_and_leaves_nothing(
    drafts: tuple[Draft, Draft], versions: list[Path], tmp_path: Path
) -> None:
    base = snapshot(versions[0])
    with pytest.raises(InputError, match=r"0\.1\.1 is too small: since 0\.1\.0 .* rows of"):
        release(drafts[1], CONFIGS, tmp_path / "to", words("0.1.1"), base=base)
    with pytest.raises(InputError, match=r"0\.1\.0 is already released"):
        release(drafts[1], CONFIGS, tmp_path / "to", words("0.1.0"), base=base)
    assert list(tmp_path.iterdir()) == []


def test_the_same_release_again_is_the_same_to_the_byte(
    drafts: tuple[Draft, Draft], versions: list[Path], tmp_path: Path
) -> None:
    base = snapshot(versions[-1])
    to = tmp_path / "again"
    assert release(drafts[1], CONFIGS, to, words("0.2.1"), base=base, repository="org/set")
    assert file_bytes(to) == file_bytes(versions[-1])


def test_withdrawals_are_kept_in_later_releases(
    drafts: tuple[Draft, Draft], versions: list[Path], tmp_path: Path
) -> None:
    old = Path(shutil.copytree(versions[1], tmp_path / "old"))
    advisories = {"v0.1.0": {"why": "It leaks answers.", "use": "v0.2.0"}}
    (old / "advisories.json").write_text(json.dumps(advisories), encoding="utf-8")
    to = tmp_path / "to"
    release(drafts[1], CONFIGS, to, words("0.2.1"), base=snapshot(old), repository="org/set")
    assert snapshot(to).advisories == {"0.1.0": advisories["v0.1.0"]}
    assert "`v0.1.0`, withdrawn" in (to / "README.md").read_text(encoding="utf-8")
    assert false_claims(to) == []


def test_a_draft_with_an_undeclared_config_is_not_released_without_it(
    drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'calls' is in"):
        release(drafts[0], {c: CONFIGS[c] for c in ("default", "dropped")}, tmp_path / "to")


@pytest.mark.parametrize(("given", "near"), [("apache2.0", "apache-2.0"), ("cc-by-4", "cc-by-4.0")])
def test_a_misspelt_licence_is_refused_with_the_nearest(
    given: str, near: str, drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    facts = json.loads(json.dumps(drafts[0].facts))
    facts["lineage"]["seeds"]["licence"] = given
    with pytest.raises(InputError, match=f"seeds: .*'{given}' .* did you mean '{near}'"):
        release(replace(drafts[0], facts=facts), CONFIGS, tmp_path / "to")


def test_words_that_make_a_card_which_the_hub_refuses_are_refused(
    drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    ours = shipped_words("instructions")
    odd = replace(ours, front={**ours.front, "language": ["English"]})
    with pytest.raises(InputError, match=r"the Hub refuses this card: .*English"):
        release(drafts[0], CONFIGS, tmp_path / "to", odd)


def test_a_person_s_words_come_back_from_a_card_to_the_byte(versions: list[Path]) -> None:
    text = (versions[-1] / "README.md").read_text(encoding="utf-8")
    ours, back = words("0.2.1"), words_back(text)
    assert back.sections == ours.sections and back.version == "0.2.1"
    assert back.front == ours.front
    moved = text.replace("Supervised fine-tuning", "Fine-tuning")
    moved_words = words_on(moved)
    assert [n for n, value in words_on(text).items() if moved_words[n] != value] == ["Use"]


def test_keys_for_the_hub_in_a_set_s_front_matter_are_on_its_card(
    drafts: tuple[Draft, Draft], tmp_path: Path
) -> None:
    ours = shipped_words("instructions")
    keys = {
        "extra_gated_prompt": "Be good.\nAlways: --- really.",
        "extra_gated_fields": {"Country": "country", "I agree": "checkbox"},
        "thumbnail": "https://example.com/a.png",
        "viewer": False,
    }
    release(drafts[0], CONFIGS, tmp_path / "to", replace(ours, front={**keys, **ours.front}))
    front = words_back((tmp_path / "to" / "README.md").read_text(encoding="utf-8")).front
    assert {name: front[name] for name in keys} == keys
    assert false_claims(tmp_path / "to") == []


@each("mark", ["<!-- words: Use -->", "<!-- /words: Use -->", "<!-- versions -->"])
def test_words_cannot_hold_the_marks_of_the_card(mark: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "cards" / "instructions.md").read_text(encoding="utf-8")
    (tmp_path / "instructions.md").write_text(text.replace("## Use\n", f"## Use\n\n{mark}\n"))
    with pytest.raises(InputError, match="is reserved for the marks"):
        read_set_file(tmp_path / "instructions.md")


# --- claims


def false_claims(folder: Path) -> list[str]:
    return list(verified(folder, load_recipe).false)


def test_every_claim_of_a_release_follows_from_its_data(versions: list[Path]) -> None:
    assert [false_claims(folder) for folder in versions] == [[], [], []]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("README.md", "| candidates | ", "| candidates | 1", "README.md, line"),
        (
            "README.md",
            "license: other",
            "license: mit",
            "README.md, line 2: it is 'license: mit'",
        ),
        ("README.md", "num_examples: ", "num_examples: 1", "README.md, line"),
        ("README.md", "<!-- words: Use -->", "", "the card cannot be made again"),
        ("manifest.json", '"made": ', '"made": 1', "manifest.json, counts"),
        ("manifest.json", '"calls": ', '"calls": 1', "manifest.json, spent"),
        ("manifest.json", '"train": ', '"train": 1', "manifest.json, rows"),
        ("manifest.json", '"changes": "', '"changes": "not ', "README.md, line"),
        ("manifest.json", '"lineage"', '"lines"', "the card cannot be made again"),
        ("manifest.json", '"sha256": "', '"sha256": "0', "is not the file that manifest.json"),
    ],
)
def test_a_number_that_does_not_follow_from_the_data_is_found(
    name: str, old: str, new: str, message: str, versions: list[Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(versions[-1], tmp_path / "lying"))
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(message in one for one in false_claims(folder)), false_claims(folder)


def test_a_missing_row_is_found_in_every_number_that_counts_it(
    versions: list[Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(versions[-1], tmp_path / "less"))
    [path] = (folder / "data" / "calls").iterdir()
    write_parquet(path, CALLS, list(read_parquet(path))[1:])
    wrong = "\n".join(false_claims(folder))
    for message in ("is not the file", "manifest.json, rows", "manifest.json, spent", "README.md"):
        assert message in wrong


# --- shards


def many(rows: int) -> list[Row]:
    return [
        {
            "id": f"{n:016x}",
            "prompt": user(f"p{n}"),
            "completion": assistant(f"{n} " * (n % 90 + 1)),
        }
        for n in range(rows)
    ]


def test_a_config_over_the_shard_size_is_split_into_even_shards_of_whole_row_groups(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "default.parquet"
    write_parquet(whole, PROMPT_COMPLETION, many(12_345))
    most = whole.stat().st_size // 4
    for name in ("a", "b"):
        files = write_shards(whole, tmp_path / name, most)
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b")
    assert [f.name for f in files] == [f"train-{n:05d}-of-00005.parquet" for n in range(5)]
    assert [row for file in files for row in read_parquet(file)] == many(12_345)
    sizes = [file.stat().st_size for file in files]
    hashed = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert list(files.values()) == hashed
    assert max(sizes) < 1.5 * most and min(sizes) > most / 3
    for file in files:
        assert (
            pq.read_schema(file).equals(PROMPT_COMPLETION.arrow)
            and not pq.read_schema(file).metadata
        )
        groups = pq.read_metadata(file)
        assert {groups.row_group(n).num_rows for n in range(groups.num_row_groups)} <= {1000, 345}


@pytest.mark.parametrize("most", [1, 50, 10_000])
def test_however_small_the_shards_no_row_is_lost_and_none_is_empty(
    most: int, tmp_path: Path
) -> None:
    whole = tmp_path / "default.parquet"
    write_parquet(whole, PROMPT_COMPLETION, many(3_100))
    files = write_shards(whole, tmp_path / "shards", most)
    assert [row for file in files for row in read_parquet(file)] == many(3_100)
    assert all(pq.read_metadata(file).num_rows for file in files) and 2 <= len(files) <= 4


def test_a_release_in_shards_reads_back_and_is_the_same_set(
    drafts: tuple[Draft, Draft], versions: list[Path], tmp_path: Path
) -> None:
    rows = [{**row, "row_ids": []} for row in _long_raw(drafts[0], 2_500)]
    folder = Path(shutil.copytree(drafts[0].folder, tmp_path / "draft"))
    write_parquet(folder / "calls.parquet", CALLS, rows)
    draft = replace(drafts[0], folder=folder)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert release(draft, CONFIGS, whole)
    assert release(draft, CONFIGS, cut, shard_bytes=1_000)
    assert len(snapshot(cut).files["calls"]) == 3 and len(snapshot(whole).files["calls"]) == 1
    assert diff(snapshot(whole), snapshot(cut)).same
    swapped = snapshot(cut).files
    with pytest.raises(PotstillError, match="config 'calls', row 0: reads back as"):
        read_back(cut, {"calls": swapped["calls"][::-1]})
    for wanted in (swapped["calls"][:2], [*swapped["calls"], swapped["calls"][2]]):
        with pytest.raises(PotstillError, match="config 'calls', row"):
            read_back(cut, {"calls": wanted})


def _long_raw(draft: Draft, rows: int) -> list[Row]:
    first = next(draft.stream("calls"))
    return [{**first, "id": f"{n:016x}"} for n in range(rows)]


def test_duplicate_ids_are_not_released(drafts: tuple[Draft, Draft], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(drafts[0].folder, tmp_path / "draft"))
    write_parquet(folder / "calls.parquet", CALLS, _long_raw(drafts[0], 1) * 2)
    with pytest.raises(InputError, match=r"config 'calls' .* is in two rows"):
        release(replace(drafts[0], folder=folder), CONFIGS, tmp_path / "to")


def test_row_groups_of_long_rows_stay_small_enough_for_the_viewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.drafting.files.ROW_GROUP_BYTES", 10_000)
    path = tmp_path / "x.parquet"
    rows = [{"id": str(n), "reason": "x", "evidence": "e" * length} for n, length in _lengths()]
    write_parquet(path, DROPPED, rows)
    assert list(read_parquet(path)) == rows
    groups = pq.read_metadata(path)
    held = [groups.row_group(n) for n in range(groups.num_row_groups)]
    assert sum(group.num_rows for group in held) == len(rows)
    with pq.ParquetFile(path) as file:
        tables: list[pa.Table] = [file.read_row_group(n) for n in range(len(held))]
    assert all(table.nbytes <= 10_100 or table.num_rows == 1 for table in tables)


def _lengths() -> Any:
    return enumerate([10] * 70 + [4_000] * 5 + [30_000] + [10] * 60)
