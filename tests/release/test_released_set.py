"""What a release declares is built again with the same bytes, and nothing of strangers is run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builders import load_set
from builders.drafting.contributions import CONTRIBUTED, contribution
from builders.drafting.files import write_parquet
from builders.recipe_loading import load_recipe
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import file_bytes
from tests.endpoint import Endpoint
from tests.hubs import OWNER
from tests.set_files import WORDS, write_set
from tests.test_recipe_loading import write_recipe
from tests.test_sets import FRONT, fill, refusal

SCRIPT = ["--teacher", "scripted:script.jsonl"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three prompts and a script."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


def release_out(*words: str, front: str = FRONT, name: str = "trees") -> None:
    """The release `out` of a set that these words build anew."""
    for left in ("out", "work", "there"):
        shutil.rmtree(left, ignore_errors=True)
    if name == "trees":
        write_set(Path("trees.md"), front)
    assert main(["build", name, *words]) == 0
    assert main(["release", Path(name).stem, "--to-folder", "out"]) == 0


def change_manifest(change: Callable[[dict[str, Any]], object]) -> None:
    path = Path("out/manifest.json")
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def declare_teacher(*places: str) -> None:
    roles = zip(("writer", "judge"), places, strict=False)
    teachers = {role: [{"place": place}] for role, place in roles}
    change_manifest(lambda it: it["set"]["declaration"].update(teachers=teachers))


# --- strangers


@each(
    ("change", "line"),
    [
        (lambda it: it.update(set=5), "set in its manifest.json"),
        (lambda it: it["set"].pop("name"), r"set\.name in its"),
        (lambda it: it["set"].update(name=5), r"^potstill: out: set\.name in its manifest"),
        (lambda it: it["set"].update(name="../../x"), "cannot name a set"),
        (lambda it: it["set"].update(name="/tmp/x"), "cannot name a set"),
        (lambda it: it["set"].update(name="hub"), "is a folder of potstill"),
        (lambda it: it["set"].update(declaration=[]), r"set\.declaration in its"),
        (lambda it: it["set"].update(overridden=[1]), r"set\.overridden in its"),
        (lambda it: it["set"]["declaration"].update(tags=7), "tags"),
        (lambda it: it.pop("lineage"), "lineage in its"),
        (lambda it: it["lineage"].pop("seeds"), r"lineage\.seeds in its"),
        (lambda it: it["lineage"].update(seeds="x"), r"lineage\.seeds in its"),
        (lambda it: it["lineage"]["seeds"].update(revision=5), r"lineage\.seeds\.revision in its"),
        (lambda it: it["lineage"].update(teachers=[1]), r"lineage\.teachers in its"),
        (lambda it: it["lineage"].update(teachers={"a": 1}), r"lineage\.teachers\.a in its"),
        (lambda it: it["lineage"].update(settings=1), r"lineage\.settings in its"),
    ],
)
def test_a_manifest_of_another_form_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], object], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    change_manifest(change)
    before = {*Path().rglob("*")}
    for words in (("build", "--from", "out", *SCRIPT), ("new", "more", "--from", "out")):
        capsys.readouterr()
        found = refusal(capsys, *words)
        assert re.match("potstill: out", found) and re.search(line, found), found
    assert {*Path().rglob("*")} == before


@each(
    ("card", "line"),
    [
        (b"\xff\xfe", "README.md: not UTF-8"),
        (b"---\ntags: {\n---\n", "Invalid YAML in README.md"),
        (b"# No words\n", "lacks some of"),
        (None, "has no README.md"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_in_one_line(
    card: bytes | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    readme = Path("out/README.md")
    readme.unlink() if card is None else readme.write_bytes(card)
    assert line in refusal(capsys, "build", "--from", "out", *SCRIPT)


def test_no_code_that_a_release_names_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    release_out()
    trap = "from pathlib import Path\nPath('ran').touch()\nRECIPE = 1\n"
    for name in ("trap.py", "trapped.py"):
        Path(name).write_text(trap)
    sys.modules.pop("trapped", None)
    for recipe, file in (("./trap.py", "trap"), ("trapped", "trapped"), ("os.path", "path")):
        change_manifest(lambda it, to=recipe: it["set"]["declaration"].update(recipe=to))
        line = refusal(capsys, "build", "--from", "out", *SCRIPT)
        assert f"names the recipe {recipe!r}" in line and f"./{file}.py --from out" in line
        assert main(["new", f"new-{file}", "--from", "out"]) == 0
        assert f"the recipe {recipe}, scripted:script.jsonl; look" in capsys.readouterr().err
        assert f"recipe: {recipe}\n" in Path(f"new-{file}.md").read_text()
    change_manifest(lambda it: it["set"]["declaration"].update(recipe="completions"))
    declare_teacher("scripted:trap.py")
    line = refusal(capsys, "build", "--from", "out")
    assert "'scripted:trap.py' as writer" in line and "--teacher scripted:trap.py" in line
    assert main(["new", "more", "--from", "out"]) == 0
    assert not Path("ran").exists()


@each(
    "place",
    ["../private.txt", "a/../../private.txt", "~/private.txt", "~root/x", "/etc/passwd", ".."],
)
def test_a_new_set_reads_no_file_outside_its_folder_that_a_release_names(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder.parent / "private.txt").write_text("My private notes.\n")
    if not Path("out").exists():
        release_out()
    private = {"place": place, "license": "mit", "column": "text"}
    change_manifest(lambda it: it["set"]["declaration"].update(prompts=private))
    Path("more.md").unlink(missing_ok=True)
    capsys.readouterr()
    assert main(["new", "more", "--from", "out"]) == 0
    assert f"out names {place} as prompts, which is outside" in capsys.readouterr().err
    assert f"\n  place:  # {json.dumps(place).strip(chr(34))}" in Path("more.md").read_text()
    line = refusal(capsys, "preview", "more")
    assert "more.md, line 6: prompts has no place; give one, or remove prompts for those" in line
    own = Path("more.md").read_text().replace("  place:  #", "  place: prompts.txt  #")
    Path("more.md").write_text(own)
    assert load_set("more").source.place == "prompts.txt"


def test_a_new_set_takes_no_option_from_a_file_outside_its_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    (folder.parent / "private.toml").write_text("private = 1\n")
    options = {"constitution": "../private.toml", "rounds": 1}
    new = {"recipe": "constitution", "options": options}
    change_manifest(lambda it: it["set"]["declaration"].update(new))
    assert main(["new", "more", "--from", "out", "--prompts", "prompts.txt"]) == 0
    assert "out names ../private.toml as constitution, which is" in capsys.readouterr().err
    assert load_set("more").declaration.options == {"rounds": 1}


def test_a_name_beside_a_release_is_the_file_of_its_recipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    release_out()
    line = refusal(capsys, "build", "completions", "--from", "out", *SCRIPT)
    assert "'completions' is beside --from" in line
    write_recipe(Path("own"))
    line = refusal(capsys, "build", "own/echoes.py", "--from", "out", *SCRIPT)
    assert "made by the recipe completions, not by echoes" in line


def test_an_address_of_a_release_is_announced_and_gets_the_key_of_its_host_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    monkeypatch.setenv("POTSTILL_API_KEY", "sk-mine")
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with Endpoint() as theirs, Endpoint() as mine:
        declare_teacher(theirs.url, theirs.url)

        def keys(*words: str) -> set[str | None]:
            """The keys that the endpoint of the release got in a build."""
            before = len(theirs.requests)
            work = f"work-{len([*Path().glob('work*')])}"
            main(["build", "--from", "out", "--work", work, *words])
            return {one.headers.get("authorization") for one in theirs.requests[before:]}

        assert keys() == {None}
        assert f"asking {theirs.url} as writer, as out declares" in capsys.readouterr().err
        assert keys("--teacher", f"writer={mine.url}#m") == {None}
        assert {one.headers["authorization"] for one in mine.requests} == {"Bearer sk-mine"}
        assert keys("--teacher", theirs.url) == {"Bearer sk-mine"}
        assert keys("--key-env", "OTHER_KEY") == {"Bearer sk-other"}
        assert keys("--key-env", "POTSTILL_API_KEY") == {"Bearer sk-mine"}
        host = re.sub("[^A-Z0-9]", "_", theirs.url.split("/")[2].upper())
        monkeypatch.setenv(f"POTSTILL_API_KEY_{host}", "sk-theirs")
        assert keys() == {"Bearer sk-theirs"}


# --- the same bytes


@each(
    "words",
    [
        [],
        ["--rows", "2", "--seed", "5", "--samples", "2", "--choose", "longest"],
        ["--keep", "2"],
        ["--trust-missing-end", "writer"],
        ["--teacher-license", "mit"],
        ["--teacher-license", "writer=apache-2.0"],
        ["--model", "some-model"],
        ["--param", "writer:temperature=0.5", "--without", "judge:max_tokens"],
        ["--price", "1/2.5/0.1"],
        ["--license", "cc-by-4.0", "--column", "text"],
        ["--teacher", "writer=scripted:script.jsonl#a", "--teacher", "judge=scripted:other.jsonl"],
    ],
)
@each("name", ["trees", "completions"])
def test_a_release_that_is_built_and_released_again_has_the_same_bytes(
    name: str, words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("other.jsonl").write_text(Path("script.jsonl").read_text())
    own = [] if name == "trees" else ["--prompts", "prompts.txt", *SCRIPT]
    if name != "trees" and "--teacher" in words:
        own = own[:2]
    release_out(*own, *words, name=name)
    before = file_bytes(Path("out"))
    there = folder / "there"
    fill(there)
    (there / "other.jsonl").write_text(Path("script.jsonl").read_text())
    monkeypatch.chdir(there)
    named = SCRIPT
    if "--teacher" in words:
        named = [word.replace("#a", "") for word in words]
    assert main(["build", "--from", "../out", *named]) == 0
    assert main(["release", "--from", "../out", "--to-folder", "out"]) == 0
    monkeypatch.chdir(folder)
    assert file_bytes(there / "out") == before


def test_a_changed_script_is_announced_and_a_changed_option_file_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    principles = (Path(load_recipe("constitution").file or "").with_suffix(".toml")).read_text()
    Path("principles.toml").write_text(principles)
    Path("sets").mkdir()
    options = "options: {constitution: principles.toml, verdict: reasons}\nrows: 1\n"
    build = ["build", "--from", "out", "--work", "again", *SCRIPT]
    release_out(front=FRONT.replace("completions", "constitution") + options)
    assert main(build) == 0
    assert "is not that of out" not in capsys.readouterr().err
    assert main(["new", "sets/more", "--from", "out"]) == 0
    declared = load_set("sets/more.md").declaration
    assert declared.options == {"constitution": "../principles.toml", "verdict": "reasons"}
    assert declared.prompts and declared.prompts.place == "../prompts.txt"
    with Path("script.jsonl").open("a") as file:
        file.write("\n")
    assert main(build) == 0
    assert "the script script.jsonl of writer is not that of out" in capsys.readouterr().err
    Path("principles.toml").write_text(principles + "# changed\n")
    line = refusal(capsys, *build)
    assert "principles.toml is not what out was made with" in line and "--constitution" in line
    assert main([*build, "--constitution", "principles.toml"]) == 0


PRICES = "[models]\nscripted = {input = 3, output = 4}\n"


def test_a_release_names_the_files_that_it_was_made_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.toml").write_text(PRICES)
    report = {"judge": "scripted", "verdict": "good", "reliable": True, "reasons": []}
    Path("report.json").write_text(json.dumps({"judges": [{**report, "figures": {}}]}))
    judged = FRONT + "options: {samples: 2}\nbudget: {usd: 9, price: 0.50/1.5}\n"
    files = ["--prices", "mine.toml", "--judge-report", "report.json"]
    release_out(*files, front=judged)
    before, spent = file_bytes(Path("out")), json.loads(Path("out/manifest.json").read_text())
    assert spent["set"]["declaration"]["budget"] == {"price": "0.50/1.5"}
    build = ["build", "--from", "out", *SCRIPT]
    capsys.readouterr()
    assert main([*build, "--work", "without"]) == 0
    printed = capsys.readouterr().err
    for flag, name, use in (
        ("prices", "mine.toml", "costs"),
        ("judge-report", "report.json", "card"),
    ):
        sha256 = hashlib.sha256(Path(name).read_bytes()).hexdigest()
        line = f"out was made with --{flag}, {name}, sha256:{sha256}; the {use} are the same only"
        assert line in printed
    for name in ("mine.toml", "report.json"):
        Path(name).rename(f"my-{name}")
    files = ["--prices", "my-mine.toml", "--judge-report", "my-report.json"]
    assert main([*build, *files, "--work", "with"]) == 0
    assert "was made with" not in capsys.readouterr().err
    words = ["release", "--from", "out", "--work", "with", "--to-folder", "again"]
    assert main(words) == 0
    assert file_bytes(Path("again")) == before
    assert main(["new", "more", "--from", "out"]) == 0
    assert load_set("more").declaration.budget.price == "0.50/1.5"


def test_a_release_with_rows_of_people_names_where_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    release_out()
    row = pq.read_table("work/trees/drafts/0001/default.parquet").to_pylist()[0]
    gone = contribution("removed", row, contributor="ada", pull_request=1, commit="c")
    write_parquet(Path("people.parquet"), CONTRIBUTED, [gone])
    release_out("--contributed", "people.parquet")
    before = file_bytes(Path("out"))
    build = ["build", "--from", "out", *SCRIPT]
    assert main([*build, "--work", "without"]) == 0
    assert "with the rows that people gave: --contributed out; the rows" in capsys.readouterr().err
    for number, place in enumerate(("people.parquet", "out")):
        assert main([*build, "--contributed", place, "--work", f"with{number}"]) == 0
        assert "people gave" not in capsys.readouterr().err
        again = f"again{number}"
        words = ["--work", f"with{number}", "--to-folder", again]
        assert main(["release", "--from", "out", *words]) == 0
        assert file_bytes(Path(again)) == before


# --- what else it keeps


def test_a_new_file_keeps_what_the_hub_acts_on() -> None:
    front = FRONT + "extra_gated_prompt: Be kind.\nthumbnail: x.png\nviewer: false\n"
    release_out(front=front)
    assert main(["new", "more", "--from", "out"]) == 0
    declared = load_set("more").declaration
    assert declared.extra_gated_prompt == "Be kind." and declared.thumbnail == "x.png"
    assert declared.viewer is False


def test_a_release_is_the_same_by_each_of_its_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    for name in ("out", "out/", str(folder / "out"), "./out"):
        assert main(["build", "--from", name, "--work", "again", *SCRIPT]) == 0
    line = refusal(capsys, "build", "--from", "out", *SCRIPT)
    assert "has the drafts of another set, trees.md; make" in line
    assert "`potstill new NAME --from out`" in line


def test_a_draft_of_a_release_is_released_with_its_words_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release_out()
    words = ["release", "--from", "out", "--work", "again", "--to-folder", "x"]
    assert "run `potstill build --from out` first" in refusal(capsys, *words)
    assert main(["build", "--from", "out", "--work", "again", *SCRIPT]) == 0
    write_set(Path("trees.md"), FRONT, WORDS.replace("Questions about trees.", "Other words."))
    line = refusal(capsys, "release", "trees", "--work", "again", "--to-folder", "x")
    assert "has the drafts of a release, --from out; name that one" in line
    assert main(words) == 0
    assert "Questions about trees." in Path("x/README.md").read_text()


def test_the_value_of_a_flag_beside_a_release_is_not_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    release_out()
    assert main(["build", "--from", "out", "--work", "again", *SCRIPT]) == 0
    line = refusal(capsys, "release", "--from", "out", "--work", "again", "--to-hub", "org/trees")
    assert "there is no token for https://huggingface.co" in line


@pytest.mark.slow
def test_prompts_on_a_hub_are_read_at_the_commit_of_the_release(
    hub: Any, repo: str, potstill: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def pushed(text: str) -> None:
        hub.api().upload_file(
            path_or_fileobj=text.encode(),
            path_in_repo="data/train.jsonl",
            repo_id=repo,
            repo_type="dataset",
        )

    def run(*words: str) -> None:
        done = potstill(*words, env={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", **token})
        assert done.returncode == 0, done.stderr

    token = {"HF_TOKEN": hub.tokens[OWNER], "HF_HOME": str(Path("hf").absolute())}
    pushed('{"prompt": "What is an oak?"}\n')
    write_set(Path("trees.md"), FRONT.replace("prompts.txt", repo))
    run("build", "trees")
    run("release", "trees", "--to-folder", "out")
    run("release", "trees", "--to-hub", f"{repo}-made")
    pushed('{"prompt": "What is an elm?"}\n')
    for name, folder in (("out", "again"), (f"{repo}-made@v0.1.0", "third")):
        run("build", "--from", name, "--work", f"work-{folder}", *SCRIPT)
        run("release", "--from", name, "--work", f"work-{folder}", "--to-folder", folder)
        assert file_bytes(Path(folder)) == file_bytes(Path("out"))


def test_two_models_at_one_address_stay_two_models(folder: Path) -> None:
    with Endpoint() as server:
        front = """
recipe: ultrafeedback
prompts: {place: prompts.txt, license: mit}
rows: 1
options: {writers: 2}
pretty_name: Trees
teachers:
  writer: [{place: URL, model: alpha}, {place: URL, model: beta, license: mit}]
  judge: URL#judge
"""
        write_set(Path("two.md"), front.replace("URL", server.url))
        main(["build", "two", "--accept-unreadable"])
        assert main(["release", "two", "--to-folder", "out"]) == 0
        main(["build", "--from", "out", "--work", "again", "--accept-unreadable"])
        assert len([*Path("again/two/drafts").iterdir()]) == 1
    assert main(["new", "more", "--from", "out"]) == 0
    alpha, beta = load_set("more").declaration.teachers["writer"]
    assert (alpha.place, beta.model, beta.license) == (f"{server.url}#alpha", "beta", "mit")


def test_a_source_that_a_release_does_not_hold_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0 and main(["release", "trees", "--to-folder", "out"]) == 0
    Path("prompts.txt").rename("elsewhere.txt")
    words = ["build", "--from", "out", "--teacher", "scripted:script.jsonl", "--work", "w"]
    assert main(words) == 1
    line = "out was made from prompts.txt (sha256:"
    assert line in capsys.readouterr().err
    assert main([*words, "--prompts", "elsewhere.txt"]) == 0
