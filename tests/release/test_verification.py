"""What a release claims is recomputed from its own bytes, measures and judges included."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.drafting.draft import last_draft
from builders.drafting.files import read_parquet, write_parquet
from builders.judging.labelled_sets import read_judged
from builders.judging.reliability import report
from builders.recipe_loading import load_recipe
from builders.release.folder import release
from builders.release.snapshot import file_hashes
from builders.release.verification import verified
from builders.schema import Row
from builders.sources.source import Source
from scripts.main import main
from tests.pipelines.test_ultrafeedback import built

RECIPE = load_recipe("ultrafeedback")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preference set whose judge was measured."""
    folder = tmp_path_factory.mktemp("judged")
    labelled = folder / "labelled.jsonl"
    pairs = [
        {"id": str(n), "label": "ab"[n % 2], "verdict": "ab"[n % 2 if n % 5 else 1 - n % 2]}
        for n in range(60)
    ]
    labelled.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    (judged,) = read_judged(Source(place=str(labelled)), {"verdict": "verdict", "label": "label"})
    reports = folder / "report.json"
    reports.write_text(json.dumps({"judges": [{**report(judged), "judge": "judge"}]}))
    built(folder, "--judge-report", str(reports))
    to = folder / "released"
    assert release(last_draft(folder / "work" / "ultrafeedback"), RECIPE.schemas, to)
    return to


def edited(manifest: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """Set a nested value of a manifest, which must differ from the old one."""
    at: Any = manifest
    for name in path[:-1]:
        at = at[name]
    assert at[path[-1]] != value, path
    at[path[-1]] = value


def test_a_true_release_passes_with_all_of_its_claims(released: Path) -> None:
    found = verified(released, lambda name: {"ultrafeedback": RECIPE}[name])
    assert (found.false, found.unchecked) == ((), ())
    manifest = json.loads((released / "manifest.json").read_text())
    (judge,) = manifest["lineage"]["judges"]
    assert judge["figures"]["agreement_with_people"]["value"] == 0.8
    assert len(manifest["measures"]) > 8


def test_every_false_claim_of_a_manifest_is_named(released: Path, tmp_path: Path) -> None:
    judge = ("lineage", "judges", 0)
    claims = {
        ("measures", "rated answers"): (79, "measure 'rated answers': it is 79, the data gives 80"),
        ("measures", "answers by principle"): ({}, "measure 'answers by principle'"),
        (*judge, "verdict"): ("reliable", "judge judge: it is {'verdict': 'reliable'"),
        (*judge, "reliable"): (True, "judge judge"),
        (*judge, "reasons"): (["It is kind."], "judge judge"),
        (*judge, "judge"): ("another", "judges: it is ['another'], the data gives ['judge']"),
        ("lineage", "teachers", "judge", "model"): ("large", "teachers"),
        ("version",): ("9.0.0", "version: it is ['9.0.0', '0.1.0'], the data gives ['0.1.0', "),
        ("configs", "default", "columns", 4, "type"): ("string", "columns of 'default': they are"),
        ("configs", "default", "columns", 4, "name"): ("points", "columns of 'default': they are"),
        ("configs", "rated", "columns", 0, "name"): ("ids", "columns of 'rated': they are"),
        ("spent", "usd"): (3.0, "usd"),
        ("spent", "usd_a_kept_row"): (0.5, "usd"),
    }
    for place, (path, (value, words)) in enumerate(claims.items()):
        folder = Path(shutil.copytree(released, tmp_path / str(place)))
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        edited(manifest, path, value)
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        false = verified(folder, lambda _: RECIPE).false
        assert any(words in claim and claim.startswith("manifest.json, ") for claim in false), (
            path,
            false,
        )


def test_measures_of_a_recipe_that_is_not_here_are_not_called_true(released: Path) -> None:
    found = verified(released, lambda _: None)
    assert found.false == ()
    assert found.unchecked == ("the measures of recipe 'ultrafeedback': the recipe is not here",)


def test_measures_that_another_version_of_the_recipe_made_are_not_called_false(
    released: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "older"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    edited(manifest, ("measures", "rated answers"), 79)
    edited(manifest, ("lineage", "code"), "sha256:0")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = verified(folder, lambda _: RECIPE)
    assert found.unchecked == (
        "the measures of recipe 'ultrafeedback': another version of the recipe made them",
    )
    assert not any("measure" in claim for claim in found.false if "README" not in claim)


def test_a_column_declared_not_null_has_no_null(released: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "full"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rated = manifest["configs"]["rated"]["columns"]
    (place,) = (n for n, column in enumerate(rated) if column["name"] == "principle")
    edited(manifest, ("configs", "rated", "columns", place, "nullable"), False)
    [file] = (folder / "data" / "rated").iterdir()
    rows = list(read_parquet(file))
    write_parquet(file, RECIPE.schemas["rated"], [{**rows[0], "principle": None}, *rows[1:]])
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    false = verified(folder, lambda _: RECIPE).false
    assert any("column 'principle' of 'rated': it is never null" in claim for claim in false)


def test_what_another_potstill_released_is_not_called_false(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "other"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    edited(manifest, ("lineage", "tools", "potstill"), "0.0.9")
    card = (folder / "README.md").read_text("utf-8").replace("## Load it", "## Loading")
    (folder / "README.md").write_text(card, encoding="utf-8")
    manifest["files"] = file_hashes(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "not checked: the text of README.md: potstill 0.0.9 wrote it, not this one" in out
    assert "the rest of what its card and manifest claim of its data is true" in out

    (folder / "data" / "calls").rename(folder / "data" / "raw")  # its old name
    manifest["files"] = file_hashes(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["check", str(folder)]) == 0
    assert "an older potstill released it, with the config 'raw'" in capsys.readouterr().out


def changed_manifest(**keys: Any) -> Callable[[Path], None]:
    """Set keys of a manifest; None removes one."""

    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = {**json.loads(path.read_text(encoding="utf-8")), **keys}
        kept = {name: value for name, value in manifest.items() if value is not None}
        path.write_text(json.dumps(kept), encoding="utf-8")

    return change


CALLS_FILE = "data/calls/train-00000-of-00001.parquet"


def write_calls(folder: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    rows = change(list(read_parquet(folder / CALLS_FILE)))
    pq.write_table(pa.Table.from_pylist(rows), folder / CALLS_FILE)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no card": (lambda folder: (folder / "README.md").unlink(), "README.md is missing"),
    "a card in Latin 1": (
        lambda folder: (folder / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xe4 b\n"),
        "README.md is not UTF-8 (invalid continuation byte)",
    ),
    "rows that are none": (
        lambda folder: (folder / CALLS_FILE).write_bytes(b"x"),
        f"made again: {CALLS_FILE} is damaged (",
    ),
    "rows that end early": (
        lambda folder: (folder / CALLS_FILE).write_bytes((folder / CALLS_FILE).read_bytes()[:-9]),
        f"made again: {CALLS_FILE} is damaged (",
    ),
    "a column of another form": (
        lambda folder: write_calls(folder, lambda rows: [{**row, "sampling": 3} for row in rows]),
        "a column of the data has another form",
    ),
    "a column that is gone": (
        lambda folder: write_calls(
            folder, lambda rows: [{k: v for k, v in row.items() if k != "role"} for row in rows]
        ),
        "the data has no 'role'",
    ),
    "a config without files": (
        lambda folder: shutil.rmtree(folder / "data" / "calls"),
        "there are no files of the config 'calls'",
    ),
    "a config that is not declared": (changed_manifest(configs={}), "the data has no 'default'"),
    "no lineage": (changed_manifest(lineage=None), "manifest.json has no 'lineage'"),
    "a list as lineage": (changed_manifest(lineage=[]), "manifest.json has another form"),
    "a number as costs": (changed_manifest(spent=3), "manifest.json has another form"),
}


def test_a_damaged_release_is_false_in_words_for_people(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (name, (damage, words)) in enumerate(DAMAGES.items()):
        folder = Path(shutil.copytree(released, tmp_path / str(number)))
        damage(folder)
        assert main(["check", str(folder)]) == 1, name
        printed = capsys.readouterr().err
        lines = [one for one in printed.splitlines() if "cannot be made again" in one]
        assert len(lines) == 1, (name, printed)
        line = lines[0]
        assert words in line, (name, line)
        assert "Error" not in line and "Arrow" not in line and str(tmp_path) not in line, name


def test_files_beside_a_release_are_named_and_are_not_false(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "beside"))
    names = ["LICENSE", "images/a.png", "notes.txt", ".cache/state", ".gitattributes"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")
    assert main(["check", str(folder)]) == 0
    beside, *_, verdict = capsys.readouterr().out.splitlines()
    assert beside == "beside the release: LICENSE, images/a.png, notes.txt"
    assert verdict.endswith("what its card and manifest claim of its data is true")
    assert main(["check", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["foreign"] == names[:3]
    (folder / "data" / "extra.parquet").write_text("x", encoding="utf-8")
    assert main(["check", str(folder)]) == 1
    assert "data/extra.parquet is not the file that manifest" in capsys.readouterr().err


def test_what_is_no_whole_release_is_not_compared(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damages: dict[str, tuple[Callable[[Path], Any], str]] = {
        "a": (lambda folder: (folder / "README.md").unlink(), "has no README.md; take it from"),
        "b": (lambda folder: (folder / "manifest.json").unlink(), "no release with a version"),
        "c": (
            lambda folder: (folder / "manifest.json").write_text("{}", encoding="utf-8"),
            "no release with a version",
        ),
    }
    for name, (damage, words) in damages.items():
        folder = Path(shutil.copytree(released, tmp_path / name))
        damage(folder)
        for pair in ([folder, released], [released, folder]):
            assert main(["diff", *map(str, pair)]) == 1
            error = capsys.readouterr().err
            assert str(folder) in error and words in error


def test_a_tag_on_another_version_is_named(released: Path) -> None:
    assert verified(released, lambda _: RECIPE, tag="v0.1.0").false == ()
    (claim,) = verified(released, lambda _: RECIPE, tag="v0.3.0").false
    assert claim == "the tag v0.3.0: it holds version 0.1.0"


def test_the_command_exits_with_1_and_names_what_is_false(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(released)]) == 0
    assert "what its card and manifest claim of its data is true" in capsys.readouterr().out
    folder = Path(shutil.copytree(released, tmp_path / "false"))
    card = folder / "README.md"
    card.write_text(
        card.read_text("utf-8").replace("| rated answers | 80 |", "| rated answers | 81 |")
    )
    assert main(["check", str(folder)]) == 1
    printed = capsys.readouterr().err
    assert "false: README.md is not the file that manifest.json lists" in printed
    assert (
        "'| rated answers | 81 |', from the data and manifest.json follows '| rated answers | 80 |'"
        in printed
    )
    assert main(["check", str(folder), "--only-withdrawn"]) == 0
    assert main(["check", str(folder), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["false"]) == 2
