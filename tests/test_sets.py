"""Sets: what a file declares, where a name is found, and that two sets share nothing."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from builders import load_draft, load_set
from builders.errors import InputError
from builders.recipe_loading import load_recipe, recipe_names
from builders.release.folder import release
from builders.release.snapshot import snapshot
from builders.set_sections import version_in
from builders.sets import CARDS, check_repository
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import file_bytes
from tests.endpoint import Endpoint
from tests.set_files import WORDS, write_set
from tests.test_recipe_loading import write_recipe

FRONT = """
recipe: completions
prompts: {place: prompts.txt, license: mit, written_by: people}
teachers: scripted:script.jsonl
pretty_name: Trees
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three prompts and a script."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


def fill(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "prompts.txt").write_text("What is an oak?\nWhat is a lime?\nWhat is an elm?\n")
    rule = {"when": "", "answer": "It is a large tree of the north, number {{hash}}."}
    (folder / "script.jsonl").write_text(json.dumps(rule) + "\n")


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that is refused."""
    assert main(words) != 0
    return capsys.readouterr().err.splitlines()[-1]


# --- the file


@each(
    ("front", "words", "line"),
    [
        ("recipe: completions\nlangauge: en", WORDS, r"no key 'langauge'; did you mean 'language'"),
        ("recipe: completions\nprompts: {plaec: x}", WORDS, r"no key 'prompts.plaec'; did you .*'"),
        ("recipe: completions\nteachers: {writer: {modle: m, place: embedded}}", WORDS, ".*modle"),
        ("pretty_name: x", WORDS, ": recipe is missing; add it"),
        ("recipe: completions\nrows: many", WORDS, r"rows: 'many' is not a whole number"),
        ("recipe: completions\nrows: yes", WORDS, r"rows: 'yes' is not a whole number"),
        ("recipe: completions\nbudget: {usd: 0}", WORDS, r"budget\.usd: 0 is not above 0"),
        ("recipe: completions\npretty_name: 5", WORDS, r"pretty_name: 5 is not a text; .*quotes"),
        ("recipe: completions\ntags: [a, 1]", WORDS, r"line 3: tags: 1 is not a text"),
        ("recipe: completions\nrecipe: other", WORDS, r"line 3: .*'recipe' comes twice"),
        ("recipe: &a completions\npretty_name: *a", WORDS, r"line 3: .*alias"),
        ("recipe: [completions", WORDS, r"not YAML"),
        ("recipe: completions", WORDS, r"no front matter with 'pretty_name'; add it"),
        ("recipe: completions\nprompts: a\nseeds: b", WORDS, r"prompts and seeds are both given"),
        (FRONT, WORDS.replace("## Use\n", "## Usage\n"), r"no words under '## Use'; write them"),
        *(
            (
                FRONT,
                WORDS.replace("### v0.1.0", wrong),
                r"line \d+: no version under Changes: .*0.1",
            )
            for wrong in ("### 0.1", "### V0.1.0", "###v0.1.0", "#### v0.1.0", "## v0.1.0")
        ),
        (
            FRONT,
            WORDS.replace("### v0.1.0", "Version 0.1.0"),
            r"line \d+: no version under Changes;",
        ),
        (
            FRONT,
            WORDS.replace("## Limits", "## Limits\n\n```"),
            r"line \d+: the code block has no end",
        ),
        ("recipe: completions\n'': 2", WORDS, r"line 3: a key has no name; give it one"),
        ("recipe: completions\n~: 2", WORDS, r"line 3: the key None is not a text"),
        ("recipe:\npretty_name: x", WORDS, r"line 2: recipe is missing; add it"),
        ("recipe: completions\nbudget: {calls: 0}", WORDS, r"line 3: budget\.calls: 0 is below 1"),
        (FRONT, WORDS + "\n## Versions\n\nOne.\n", r"line \d+: .* that the card has itself"),
        (FRONT, WORDS + "\n## Use\n\nOne.\n", r"line \d+: '## Use' comes twice"),
        (FRONT, "Hello.\n\n" + WORDS, r"line 8: 'Hello\.' is under no heading"),
        (FRONT, WORDS + "\n<!-- words: Use -->\n", r"line \d+: .* is reserved for the marks"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_with_the_nearest_right_one(
    front: str, words: str, line: str
) -> None:
    write_set(Path("trees.md"), front, words)
    with pytest.raises(InputError, match=rf"^trees\.md.*{line}"):
        load_set("trees")


def front_with(more: str) -> str:
    """Front matter of a set with these lines in the place of its teachers."""
    return FRONT.replace("teachers: scripted:script.jsonl", more)


@each(
    ("lines", "error"),
    [
        ("reciep: x", r"line 4: there is no key 'reciep'; did you mean 'recipe'"),
        (
            "teachers: {writer: {place: a, licence: mit}}",
            r"'teachers\.writer\.licence';.*'license'",
        ),
        (
            "teachers:\n  writer:\n  - place: embedded\n    modle: m",
            r"line 7: .*'teachers\.writer\.m",
        ),
        ("options: {samples: [1]}", r"options\.samples: \[1\] is neither a number nor a text"),
        ("options: {samples: true}", r"options\.samples: True is neither a number nor a text"),
        ("options: {1: 2}", r"options: the key 1 is not a text; write it in quotes"),
        ("? 2\n: x", r"line 4: the key 2 is not a text"),
        ("teachers: {null: embedded}", r"line 4: teachers: the key None is not a text"),
        (
            "teachers: {writer: {place: x, parameters: {a: {true: 1}}}}",
            r"the key True is not",
        ),
        ("? [a]\n: x", r"line 4: not YAML \(such a key\)"),
        ("budget: 5", r"budget: 5 is not a mapping .*\{usd: 5, price: 0\.5/1\.5\}"),
        ("options: 5", r"options: 5 is not a mapping"),
        ("budget: {usd: 1e400}", r"line 4: .*'1e400' is too large"),
        ("budget: {usd: .inf}", r"budget\.usd: '\.inf' is not a number"),
        ("teachers: []", r"teachers: \[\] names no teacher; give one"),
        ("teachers: ''", r"teachers: '' names no teacher; give one"),
        ("teachers: 'scripted:'", r"teachers: 'scripted:' names no teacher"),
        ("teachers: {}", r"teachers: \[\] names no teacher; give one"),
        ("teachers: {writer: []}", r"teachers\.writer: \[\] names no teacher"),
        ("teachers: {writer: }", r"teachers\.writer: \[\] names no teacher"),
        ("seeds: ''", r"seeds: '' is not one line of text"),
        ("teachers: {writer: {place: embedded, license: ''}}", r"license: '' is not one line"),
        ("teachers: {writer: {place: embedded, license: mti}}", r"writer\.license: .*'mit'"),
        ("teachers: {place: embedded, license: mine}", r"teachers\.license: the licence 'mine'"),
        (
            "language: english",
            r"line 4: language: 'english' is .* did you mean 'en'\?",
        ),
        ("language: [de, EN]", r"language: 'EN' is not the code .* did you mean 'en'\?"),
        ("language: [de, zh-Hant]", r"language: 'zh-Hant' is not the code .* did you mean 'zh'\?"),
        ("language: jp", r"language: 'jp' is not the code .* did you mean 'ja'\?"),
        ("language: [de, xx]", r"language: 'xx' is not the code .*; the Hub takes no other"),
        ("language:\n  - de\n  - qqq", r"line 6: language: 'qqq' is not the code"),
        ("language: [de, en, de]", r"language: 'de' comes twice; remove one"),
        ("repository: trees", r"repository: 'trees' is not a repository on a Hub, such as org/"),
        ("repository: org/a--b", r"repository: 'org/a--b' is not a .*: it holds -- or \.\."),
        ("repository: org/trees@v1", r"repository: 'org/trees@v1' is not"),
        ("repository: https://huggingface.co/org/trees", r"repository: 'https.*' is not"),
        ("teachers: judge=embedded", r"teachers: name the role as a key, \{judge: 'embedded'\}"),
        ("teachers: {place: 'writer=https://h/v1'}", r"teachers: name the role as a key"),
        ("teachers: {place: embedded, model: x}", r"teachers: the embedded teacher has one model"),
        ("teachers: {place: 'http://h/v1', revision: abc}", r"revision 'abc' is of no model"),
        ("teachers: {place: 'http://h/v1', model: m@r, revision: s}", r"'m@r' has a revision too"),
        ("teachers: {place: 'http://h/v1#m', model: n}", r"has two models; remove one"),
        ("teachers: 'http://h/v1#a#b'", r"has two models; remove one"),
        ("viewer: !!bool maybe", r"line 4: not YAML \(a tag"),
        ("rows: !!int", r"line 4: not YAML \(a tag"),
        ("tags: !mine [x]", r"line 4: not YAML \(a tag"),
        ('tags: "\\UFFFFFFFF"', r"line 4: not YAML \(an escape"),
        ('tags: "\\U00110000"', r"line 4: not YAML \(an escape"),
        ("tags: " + "[" * 3000, r"not YAML \(nested too deeply"),
        ('tags: "a\\ud800"', r"tags holds U\+D800, which no reader sees"),
        ('"ta\\udc00gs": a', r"holds U\+DC00, which no reader sees"),
        ('tags: ["a", "a\\0b"]', r"tags holds U\+0000"),
        ('tags: "a\\eb"', r"tags holds U\+001B"),
        ('tags: "a\\Nb"', r"tags holds U\+0085"),
        ('tags: "a\\Lb"', r"tags holds U\+2028"),
        ("tags: a\u202eb", r"line 4: holds U\+202E"),
        ('tags: "a\\u2066b"', r"tags holds U\+2066"),
        ("tags: a\0b", r"line 4: holds U\+0000"),
        ("tags: a\x1bb", r"line 4: holds U\+001B"),
        ("tags: '<!-- words: Use -->'", r"tags holds '<!-- words: ', which is reserved"),
        ("extra_gated_fields: {a: ['<!-- versions -->']}", r"extra_gated_fields\.a holds '<!-- v"),
        ("tags: 'a\n\n  b'", r"tags: 'a\\nb' is not one line of text"),
        ("thumbnail: https://me:secret-word@host/a.png", r"thumbnail holds a secret \(p"),
        (
            "thumbnail: https://host/a.png?Signature=secret-word",
            r"thumbnail holds a secret \(k",
        ),
        ("teachers: https://me:secret#word@host/v1", r"teachers holds a secret \(password\)"),
    ],
)
def test_a_wrong_value_is_named_by_its_key_as_it_is_written(lines: str, error: str) -> None:
    write_set(Path("trees.md"), front_with(lines))
    with pytest.raises(InputError, match=rf"^trees\.md.*{error}") as raised:
        load_set("trees")
    assert str(raised.value).isprintable() and "secret-word" not in str(raised.value)


@each(
    "parameters",
    [
        *(
            f"{{{name}: abc}}"
            for name in ("password", "api_key", "apikey", "Authorization", "token")
        ),
        *(f"{{{name}: abc}}" for name in ("hf_token", "accessToken", "x-api-key", "credential")),
        "{extra_headers: {Authorization: Bearer abc}}",
        "{metadata: [{client_secret: abc}]}",
        "{passwd: 12}",
        "{tokens: [{token: [abc]}]}",
    ],
)
def test_a_parameter_that_is_a_secret_by_its_name_is_refused(parameters: str) -> None:
    given = f"teachers: {{writer: {{place: embedded, parameters: {parameters}}}}}"
    write_set(Path("trees.md"), front_with(given))
    with pytest.raises(InputError, match=r"^trees\.md, line 4: .*by its name.* environment$"):
        load_set("trees")


def test_parameters_with_usual_names_are_no_secrets() -> None:
    usual = """{max_tokens: 5, stop_token_ids: [1], eos_token: x, ban_eos_token: true, tokenizer: t,
      prompt_cache_key: a, thinking_token_budget: 5, logit_bias: {"5": 1}, author: a,
      response_format: {json_schema: {properties: {password: {type: string}}}}}"""
    write_set(
        Path("trees.md"), front_with(f"teachers:\n  place: https://h:80#m@r\n  parameters: {usual}")
    )
    assert len(load_set("trees").declaration.teachers[""][0].parameters) == 10


def test_a_key_without_a_value_is_not_given() -> None:
    names = [
        "tags",
        "options",
        "budget",
        "teachers",
        "seeds",
        "language",
        "rows",
        "repository",
        "viewer",
    ]
    write_set(Path("trees.md"), front_with("".join(f"{name}:\n" for name in names)))
    declared = load_set("trees").declaration
    assert {*declared.model_dump(exclude_defaults=True)} == {"recipe", "prompts", "pretty_name"}


def test_what_the_hub_reads_is_on_the_card_also_where_it_is_false() -> None:
    keys = {"viewer": False, "extra_gated_fields": {}, "multilinguality": 0, "thumbnail": ""}
    write_set(Path("trees.md"), FRONT + "".join(f"{k}: {json.dumps(v)}\n" for k, v in keys.items()))
    words = load_set("trees").words
    assert words is not None and {name: words.front.get(name) for name in keys} == keys


@each(
    ("changes", "version"),
    [
        ("### v0.1.0", "0.1.0"),
        ("### v0.1.0 - 2026-01-01", "0.1.0"),
        ("### v10.20.999999999: all", "10.20.999999999"),
        ("### Soon\n\n### v2.0.0\n\n### v1.0.0", "2.0.0"),
        ("```\n### v9.0.0\n```\n\n### v1.0.0", "1.0.0"),
        ("<!--\n### v9.0.0\n## Use\n-->\n\n### v1.0.0", "1.0.0"),
        ("<!-- ### v9.0.0 -->\n### v1.0.0", "1.0.0"),
        *(
            (f"### v{wrong}\n\n### v0.1.0", None)
            for wrong in ("1.0.0-rc1", "1.0.0rc1", "1.0.0.1", "1.0.0+a", "01.0.0", "1.0", "1.0.00")
        ),
        ("### v\u0661.0.0", None),
        ("### v1234567890.0.0", None),
        ("```\n### v1.0.0\n```", None),
        ("<!--\n### v1.0.0\n-->", None),
    ],
)
def test_the_version_is_the_first_that_a_reader_sees(changes: str, version: str | None) -> None:
    file = write_set(Path("trees.md"), FRONT, WORDS.replace("### v0.1.0", changes))
    if version is None:
        with pytest.raises(InputError, match=r"^trees\.md.*no version under Changes"):
            load_set("trees")
        return
    words = load_set("trees").words
    assert words is not None and words.version == version == version_in(words.sections["Changes"])
    number = int(words.version_place.rpartition(" ")[2])
    assert file.read_text().splitlines()[number - 1].startswith(f"### v{version}")


@each(
    ("text", "error"),
    [
        ("a\0b", r"line 14: holds U\+0000, which no reader sees; remove it"),
        ("a\x1b[31mb", r"line 14: holds U\+001B"),
        ("<!-- to do", r"line 14: the comment has no end"),
    ],
)
def test_what_a_reader_would_not_see_in_the_words_is_refused(text: str, error: str) -> None:
    write_set(Path("trees.md"), FRONT, WORDS.replace("Fine-tuning.", text))
    with pytest.raises(InputError, match=rf"^trees\.md, {error}"):
        load_set("trees")


def test_a_word_of_yaml_1_1_is_a_text_as_the_hub_reads_it() -> None:
    texts = ["on", "1_000", "y", "yes", "1:30", "2026-01-01", "0x1F", "0o17"]
    write_set(Path("trees.md"), FRONT + f"language: no\ntags: [{', '.join(texts)}]\nrows: 017\n")
    declared = load_set("trees").declaration
    assert (declared.language, declared.tags, declared.rows) == (["no"], texts, 17)
    write_set(
        Path("trees.md"), FRONT + "options: {a: 1.0, b: '017', c: -08, d: 010.5}\nviewer: True\n"
    )
    declared = load_set("trees").declaration
    assert declared.options == {"a": 1.0, "b": "017", "c": -8, "d": 10.5}
    assert declared.viewer is True


def test_a_file_may_have_a_bom_windows_lines_and_headings_in_code() -> None:
    words = WORDS.replace("Few.", "Few.\n\n```md\n## No heading\n### v9.9.9\n```")
    file = write_set(Path("trees.md"), FRONT, words + "\n## Citation\n\n@misc{x}\n")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    found = load_set("trees").words
    assert found is not None and found.version == "0.1.0"
    assert [*found.sections] == ["What it is", "Use", "Limits", "Changes", "Citation"]
    assert "## No heading" in found.sections["Limits"]
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "### v0.1" in text)
    assert found.version_place == f"trees.md, line {line}"


@each(
    "front",
    [
        "teachers: https://me:secret-word@host/v1#m",
        "teachers: https://host/v1?api_key=abcdefgh123#m",
        f"teachers: embedded\ntags: [hf_{'aB3' * 11}x]",
    ],
)
def test_a_secret_in_a_file_is_refused_without_being_shown(
    front: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = FRONT.replace("teachers: scripted:script.jsonl", front)
    write_set(Path("trees.md"), given)
    line = refusal(capsys, "build", "trees")
    assert (
        re.search(r"trees\.md(, line 4: teachers)? holds a secret", line) and "environment" in line
    )
    assert not any(word in line for word in ("secret-word", "abcdefgh123", "aB3"))
    Path("trees.md").unlink()


def test_every_set_that_ships_is_such_a_file_of_its_recipe() -> None:
    for name in recipe_names():
        a_set = load_set(name)
        assert (a_set.name, a_set.recipe.name, a_set.ships) == (name, name, True)
        words = (CARDS / f"{name}.md").read_text(encoding="utf-8")
        assert not re.search(r"135|that comes with potstill", words), name


# --- where a set is found, and where it is built


def test_a_set_is_found_by_name_file_and_path_and_its_drafts_are_beside_it(folder: Path) -> None:
    fill(folder / "sub")
    write_set(Path("sub/trees.md"), FRONT)
    assert main(["build", "sub/trees.md"]) == 0
    assert (folder / "sub" / "work" / "trees" / "drafts" / "0001").is_dir()
    assert load_draft("sub/trees.md").folder == Path("sub/work/trees/drafts/0001")
    write_set(Path("trees.md"), FRONT)
    for name in ("trees", "trees.md", str(folder / "trees.md")):
        assert main(["build", name]) == 0
    assert len([*Path("work/trees/drafts").iterdir()]) == 1
    assert main(["build", "trees", "--work", "elsewhere"]) == 0
    assert Path("elsewhere/trees/drafts/0001").is_dir()
    for verb in ("show", "ledger"):
        assert all(main([verb, name]) == 0 for name in ("sub/trees.md", "sub/trees", "trees")), verb
    assert main(["diff", "trees", "sub/trees.md"]) == main(["diff", "trees", "sub/trees"]) == 0


def test_a_shipped_set_is_built_in_the_working_folder_never_beside_its_file() -> None:
    before = {*CARDS.iterdir()}
    words = ["build", "constitution", "--teacher", "scripted:script.jsonl", "--rows", "2"]
    assert main(words) == 0
    assert Path("work/constitution/drafts/0001").is_dir()
    assert {*CARDS.iterdir()} == before


def test_a_build_that_makes_the_same_draft_says_so_and_adds_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    assert "none was added" not in capsys.readouterr().out
    write_set(Path("trees.md"), FRONT, WORDS.replace("Few.", "Very few."))  # words, not rows
    assert main(["build", "trees"]) == 0
    assert "work/trees/drafts/0001 (the same as before; none was added)" in capsys.readouterr().out


def test_two_sets_share_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    ad_hoc = ["build", "completions", "--prompts", "prompts.txt"]
    teacher = ["--teacher", "scripted:script.jsonl"]
    assert main([*ad_hoc, *teacher]) == 0
    line = refusal(capsys, "build", "completions", *teacher)
    assert "work/completions has the drafts of a set without a file" in line
    for place in ("a", "b"):
        fill(Path(place))
        write_set(Path(place, "trees.md"), FRONT)
    assert main(["build", "a/trees.md", "--work", "both"]) == 0
    line = refusal(capsys, "build", "b/trees.md", "--work", "both")
    assert re.search(r"both/trees has the drafts of another set, .*a/trees\.md; rename", line)
    Path("a/trees.md").unlink()
    assert main(["build", "b/trees.md", "--work", "both"]) == 0


@each("name", ["hub", "judge", "-x", "a b", "a..b", "x.git"])
def test_a_name_that_no_folder_or_repository_can_have_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(Path(f"{name}.md"), FRONT)
    assert "name" in refusal(capsys, "build", f"./{name}.md")


# --- what a file declares is what is built


def test_what_the_file_declares_is_asked_and_flags_go_before_it() -> None:
    front = """
recipe: ultrafeedback
prompts: {place: prompts.txt, license: mit}
rows: 1
options: {writers: 2}
pretty_name: Trees
teachers:
  writer: {place: URL/v1, model: w@r1, license: apache-2.0, parameters: {top_k: 5}, without: seed}
  judge: [{place: URL/v1, model: j, parameters: {temperature: 0}}]
"""
    with Endpoint() as server:
        write_set(Path("trees.md"), front.replace("URL/v1", server.url))
        main(["build", "trees", "--param", "judge:top_k=7"])
        sent = [one.body for one in server.arrived if "messages" in (one.body or {})]
    writer = [one for one in sent if one["model"] == "w"]
    judge = [one for one in sent if one["model"] == "j"]
    assert writer and {one["top_k"] for one in writer} == {5}
    assert not any("seed" in one for one in writer)
    assert judge and {(one["temperature"], one["top_k"]) for one in judge} == {(0, 7)}


def record(name: str = "trees") -> dict[str, Any]:
    return dict(load_draft(name).facts["set"])


def test_the_declaration_is_recorded_with_what_was_overridden_and_without_paths(
    folder: Path,
) -> None:
    write_set(Path("trees.md"), FRONT + "rows: 2\nrepository: org/trees\n")
    assert main(["build", "trees"]) == 0
    declared = {
        "recipe": "completions",
        "prompts": {"place": "prompts.txt", "license": "mit", "written_by": "people"},
        "rows": 2,
        "teachers": {
            "judge": [{"place": "scripted:script.jsonl"}],
            "writer": [{"place": "scripted:script.jsonl"}],
        },
    }
    plain = {"name": "trees", "ad_hoc": False, "declaration": declared, "overridden": []}
    assert record() == plain
    other = folder / "other" / "more.txt"
    other.parent.mkdir()
    other.write_text("Why?\nHow?\n")
    words = ["--rows", "1", "--samples", "2", "--choose", "first", "--prompts", str(other)]
    assert main(["build", "trees", *words]) == 0
    overridden = ["options.choose", "options.samples", "prompts", "rows"]
    assert record()["overridden"] == overridden
    assert record()["declaration"]["prompts"] == {"place": "other/more.txt"}
    assert str(folder) not in json.dumps(record())
    assert main(["build", "trees", "--from-ledger", *words]) == 0
    assert len([*Path("work/trees/drafts").iterdir()]) == 2  # the same draft, though no teacher
    assert main(["release", "trees", "--to-folder", "out"]) == 0
    manifest = json.loads(Path("out/manifest.json").read_text())["set"]
    assert manifest["declaration"]["repository"] == "org/trees"
    assert manifest["overridden"] == overridden


def test_a_set_builds_from_python_as_on_the_command_line() -> None:
    write_set(Path("trees.md"), FRONT)
    draft = load_set("trees.md").build(rows=2, progress=False)
    assert draft.counts["kept"] == 2 and draft.is_new
    assert main(["build", "trees", "--rows", "2"]) == 0
    assert load_draft("trees").folder == draft.folder
    draft.release("folder")
    assert "# Trees" in Path("folder/README.md").read_text()


# --- sets without a file


def test_an_ad_hoc_set_has_computed_words_and_is_offered_a_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["build", "completions", "--prompts", "prompts.txt"]
    assert main([*words, "--teacher", "scripted:script.jsonl"]) == 0
    command = "`potstill new my-completions --recipe completions --prompts prompts.txt "
    assert command in capsys.readouterr().err
    assert main(["release", "completions", "--to-folder", "out"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("this set has no file: its rows are of prompts.txt, by the recipe")
    assert command in error
    card = Path("out/README.md").read_text()
    assert "pretty_name: Completions from prompts.txt\n" in card
    assert "Potstill" not in card and "135 million" not in card


def test_the_command_that_writes_a_file_names_the_source_as_it_was_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sub").mkdir()
    Path("sub/q.csv").write_text("frage,n\nWarum?,1\n", encoding="utf-8")
    source = ["--prompts", str(folder / "sub/q.csv"), "--column", "frage", "--license", "mit"]
    assert main(["build", "completions", *source, "--teacher", "scripted:script.jsonl"]) == 0
    [command] = re.findall(r"`potstill (new .*)`", capsys.readouterr().err)
    words = ["new", "my-completions", "--recipe", "completions", *source]
    assert command == shlex.join([*words, "--teacher=scripted:script.jsonl"])
    assert main(shlex.split(command)) == 0
    assert main(["build", "my-completions"]) == 0


def test_a_card_names_the_small_teacher_only_where_it_was_asked(folder: Path) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    draft = load_draft("trees")
    facts = json.loads(json.dumps(draft.facts))
    for kind in ("embedded", "scripted"):
        writer = {"kind": kind, "model": "SmolLM2-135M-Instruct"}
        facts["lineage"]["teachers"]["writer"] |= writer
        (draft.folder / "draft.json").write_text(json.dumps(facts))
        assert main(["release", "trees", "--to-folder", kind]) == 0
        card = Path(kind, "README.md").read_text()
        assert ("135 million parameters" in card) == (kind == "embedded")


# --- from a release


def test_a_release_is_built_again_from_its_declaration(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0 and main(["release", "trees", "--to-folder", "out"]) == 0
    fill(folder / "again")
    monkeypatch.chdir(folder / "again")
    script = ["--teacher", "scripted:script.jsonl"]
    assert main(["build", "--from", "../out", *script]) == 0
    ours, theirs = (
        {**file_bytes(place / "work/trees/drafts/0001"), "run.json": b""}
        for place in (Path(), folder)
    )
    assert ours == theirs
    assert main(["release", "trees", "--to-folder", "x", "--work", "nowhere"]) == 1
    capsys.readouterr()
    Path("prompts.txt").write_text("Another?\n")
    line = refusal(capsys, "build", "--from", "../out", *script)
    assert re.search(r"prompts\.txt is not what \.\./out was made from \(sha256:.*--prompts", line)


def test_a_new_file_starts_from_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    write_set(
        Path("trees.md"), FRONT + "repository: org/trees\n", WORDS + "\n## Thanks\n\nTo all.\n"
    )
    assert main(["build", "trees", "--rows", "2"]) == 0
    assert main(["release", "trees", "--to-folder", "out"]) == 0
    assert main(["new", "more", "--from", "out"]) == 0
    more = load_set("more")
    assert more.declaration.rows == 2 and more.declaration.repository is None
    assert more.declaration.pretty_name == "More"
    assert more.words is not None and more.words.version == "0.1.0"
    assert more.words.sections["Thanks"] == "To all."
    assert "made after out" in more.words.sections["Changes"]
    assert main(["build", "more"]) == 0


# --- a new file


@each(
    ("words", "declared"),
    [
        (["--recipe", "instructions"], {}),
        (
            ["--recipe", "instructions", "--seeds", "tasks.jsonl"],
            {"seeds": {"place": "tasks.jsonl"}},
        ),
        (
            [
                "--recipe",
                "completions",
                "--prompts",
                "prompts.txt",
                "--license",
                "mit",
                "--rows",
                "5",
            ],
            {"prompts": {"place": "prompts.txt", "license": "mit"}, "rows": 5},
        ),
        (
            [
                "--recipe",
                "ultrafeedback",
                "--teacher",
                "judge=https://h/v1#m",
                "--teacher",
                "embedded",
            ],
            {
                "teachers": {
                    "judge": [{"place": "https://h/v1#m"}],
                    "writer": [{"place": "embedded"}],
                }
            },
        ),
    ],
)
def test_a_new_file_declares_what_was_given_and_is_never_overwritten(
    words: list[str], declared: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "my-set", *words]) == 0
    found = load_set("my-set").declaration.model_dump(exclude_defaults=True)
    usual = {"pretty_name": "My set", "teachers": {"": [{"place": "embedded"}]}}
    assert found == {"recipe": words[1], **usual, **declared}
    content = Path("my-set.md").read_bytes()
    assert "my-set.md is there already" in refusal(capsys, "new", "my-set", *words)
    assert Path("my-set.md").read_bytes() == content
    Path("my-set.md").unlink()


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_new_file_without_a_source_is_built_of_what_comes_with_its_recipe(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "mine", "--recipe", recipe, "--teacher", "scripted:script.jsonl"]) == 0
    flag = load_recipe(recipe).seeds.flag
    assert f"# {flag}:  # without it, the {flag} that come with" in Path("mine.md").read_text()
    capsys.readouterr()
    main(["build", "mine", "--rows", "2", "--budget-calls", "1"])
    assert re.match(rf"{flag}: \d+ of \d+ rows of \w+\.jsonl", capsys.readouterr().err)


def test_a_new_file_in_another_folder_has_paths_from_there() -> None:
    Path("sets").mkdir()
    words = ["--recipe", "completions", "--prompts", "prompts.txt"]
    assert main(["new", "sets/trees", *words, "--teacher", "scripted:script.jsonl"]) == 0
    declared = load_set("sets/trees.md").declaration
    assert declared.prompts is not None and declared.prompts.place == "../prompts.txt"
    assert main(["build", "sets/trees.md"]) == 0
    assert Path("sets/work/trees/drafts/0001").is_dir()


@each(
    ("place", "noted"),
    [("promts.txt", True), ("prompts.txt", False), ("org/set", False), ("instructions", False)],
)
def test_a_new_file_with_a_source_that_is_not_there_yet_says_so(
    place: str, noted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("oaks.md").unlink(missing_ok=True)
    assert main(["new", "oaks", "--recipe", "completions", "--prompts", place]) == 0
    line = f"there is no file {place} yet; make it, or correct prompts in oaks.md\n"
    assert capsys.readouterr().err == (line if noted else "")


def test_sets_here_are_listed_before_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    write_set(Path("trees.md"), FRONT)
    Path("README.md").write_text("# No set\n")
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("set trees\n  Trees, v0.1.0, by completions\n")
    assert main(["list", "--json"]) == 0
    kinds = {one["name"]: one["kind"] for one in json.loads(capsys.readouterr().out)}
    assert kinds["trees"] == "set" and kinds["completions"] == "recipe"


def test_a_file_that_cannot_be_read_is_listed_with_its_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ash", "trees", "hub", "a b", "x.git"):
        write_set(Path(f"{name}.md"), FRONT)
    write_set(Path("elm.md"), FRONT + "langauge: en\n")
    Path("latin.md").write_bytes(b"---\nrecipe: completions\n---\n\xff\n")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    sets = [line.removeprefix("set ") for line in lines if line.startswith("set ")]
    assert sets == ["ash", "elm", "latin", "trees"]
    assert re.match(r"  elm\.md, line 6: .*'langauge'; did you", lines[lines.index("set elm") + 1])
    assert re.match(r"  latin\.md: not UTF-8", lines[lines.index("set latin") + 1])
    assert main(["list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert "langauge" in found["elm"]["error"] and found["trees"]["version"] == "v0.1.0"


@each(
    ("name", "words", "line"),
    [
        (".", [], r"'\.' is a folder; give the name of a set"),
        ("/", [], r"'/' is a folder"),
        ("sub/", [], r"'sub/' is a folder"),
        ("..", [], r"cannot name a set"),
        ("~nobody-here/x", [], r"no such user"),
        ("nowhere/x", [], r"nowhere/x\.md: there is no folder 'nowhere'"),
        ("x", ["--teacher", "nope"], r"there is no teacher 'nope'; give 'embedded'"),
        ("x", ["--teacher", "scripted:"], r"there is no teacher 'scripted'; give"),
        ("x", ["--teacher", "judgge=embedded"], r"no role 'judgge'; there are judge, .*'judge'"),
        ("x", ["--teacher", "writer= "], r"there is no teacher ''"),
        ("x", ["--teacher", "writer=judge=embedded"], r"there is no teacher 'judge=embedded'"),
        ("x", ["--teacher", "https://h/v1#a#b"], r"x\.md, line \d+: teachers: .* two models"),
        (
            "x",
            ["--teacher", "https://me:secret-word@h/v1#a"],
            r"--teacher https://h/v1 holds a secret",
        ),
        (
            "x",
            ["--teacher", "https://h/v1?api_key=secret-word#a"],
            r"--teacher https://h/v1 holds a secret",
        ),
        ("x", ["--prompts", f"hf_{'aB3' * 11}x"], r"x\.md would hold a secret"),
        ("x", ["--prompts", "a\u202eb"], r"x\.md, line \d+: (prompts\.place )?holds U\+202E"),
        (
            "x",
            ["--teacher", "judge=https://h/v1#a", "--teacher", "judge=https://h/v1#b"],
            r"2 teachers are named for role 'judge' of completions, which uses one",
        ),
    ],
)
def test_what_a_new_file_would_have_wrong_is_refused_before_it_is_written(
    name: str, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {*Path().iterdir()}
    error = refusal(capsys, "new", name, "--recipe", "completions", *words)
    assert re.search(line, error) and "secret-word" not in error
    assert {*Path().iterdir()} == before


@each(
    ("place", "declared"),
    [
        ("later.jsonl", "../later.jsonl"),
        ("data/later", "../data/later"),
        ("./later", "../later"),
        ("sets/later.txt", "later.txt"),
        ("org/later", "org/later"),
        ("squad", "squad"),
    ],
)
def test_a_source_that_is_not_there_yet_is_named_from_the_file(place: str, declared: str) -> None:
    Path("sets").mkdir(exist_ok=True)
    words = ["--prompts", place, "--teacher", "scripted:later.jsonl"]
    assert main(["new", "sets/later", "--recipe", "completions", *words]) == 0
    found = load_set("sets/later.md").declaration
    assert found.prompts is not None and found.prompts.place == declared
    assert found.teachers[""][0].place == "scripted:../later.jsonl"
    Path("sets/later.md").unlink()


# --- versions


def test_a_version_error_names_the_file_and_the_line(
    tmp_path: Path,
) -> None:
    write_set(Path("trees.md"), FRONT)
    first, second = (load_set("trees").build(rows=rows, progress=False) for rows in (3, 2))
    base = snapshot(first.release(tmp_path / "first"))
    place = Path("trees.md").read_text().splitlines().index("### v0.1.0") + 1
    line = rf"set v0\.2\.0 or higher in trees\.md, line {place}$"
    with pytest.raises(InputError, match=line):
        release(second, second.schemas, tmp_path / "second", base=base)


def test_a_set_of_a_recipe_in_a_file_names_it_by_a_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recipe(Path("own"))
    teacher = ["--teacher", "scripted:own/script.jsonl"]
    assert main(["build", "own/echoes.py", *teacher]) == 0
    command = "potstill new my-echoes --recipe ./own/echoes.py --teacher=scripted:own/script.jsonl"
    assert f"`{command}`" in capsys.readouterr().err
    assert main(command.split()[1:]) == 0
    assert load_set("my-echoes").recipe.name == "echoes"
    assert main(["build", "my-echoes", *teacher]) == 0
    assert record("my-echoes")["declaration"]["recipe"] == "./own/echoes.py"
    assert main(["release", "my-echoes", "--to-folder", "out"]) == 0
    assert main(["build", "own/echoes.py", "--from", "out", "--work", "again", *teacher]) == 0


def test_no_verb_takes_the_drafts_of_another_set(capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("a", "b"):
        fill(Path(place))
        write_set(Path(place, "trees.md"), FRONT)
    assert main(["build", "a/trees.md", "--work", "both"]) == 0
    line = refusal(capsys, "release", "b/trees.md", "--work", "both", "--to-folder", "out")
    assert line.startswith("potstill: both/trees has the drafts of another set, a/trees.md; name ")
    write_set(Path("completions.md"), FRONT)
    assert main(["build", "completions"]) == 0
    Path("completions.md").unlink()  # the set that ships has the same name
    line = refusal(capsys, "release", "completions", "--to-folder", "out")
    assert "work/completions has the drafts of another set, completions.md" in line
    assert not Path("out").exists()
    for place in ("c", "d"):
        write_recipe(Path(place))
        words = ["build", f"{place}/echoes.py", "--teacher", f"scripted:{place}/script.jsonl"]
        if place == "c":
            assert main(words) == 0
    assert "has the drafts of a set without a file, of the recipe" in refusal(capsys, *words)


def test_a_damaged_note_of_the_owner_is_written_anew() -> None:
    write_set(Path("trees.md"), FRONT)
    for damaged in ("", "[1]", "5", '{"file": 5, "recipe": "x"}', '{"a": 1}', "{"):
        Path("work/trees").mkdir(parents=True, exist_ok=True)
        Path("work/trees/set.json").write_text(damaged)
        assert main(["build", "trees"]) == 0, damaged
        owner = json.loads(Path("work/trees/set.json").read_text())
        assert owner == {"file": "../../trees.md", "recipe": "completions"}


def test_what_would_be_so_anyway_is_not_recorded() -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    same = ["--seed", "42", "--samples", "1", "--license", "mit", "--prompts", "prompts.txt"]
    assert main(["build", "trees", *same, "--teacher", "scripted:script.jsonl"]) == 0
    write_set(Path("trees.md"), FRONT + "seed: 42\noptions: {samples: 1}\n")
    assert main(["build", "trees"]) == 0
    assert [path.name for path in Path("work/trees/drafts").iterdir()] == ["0001"]
    assert record()["overridden"] == []


def test_one_model_has_one_licence(capsys: pytest.CaptureFixture[str]) -> None:
    two = "{writer: {place: WHO, license: cc-by-nc-4.0}, judge: {place: WHO, license: mit}}"
    teachers = two.replace("WHO", "'scripted:script.jsonl'")
    write_set(Path("trees.md"), FRONT.replace("scripted:script.jsonl", teachers))
    line = refusal(capsys, "build", "trees")
    assert "has the licence cc-by-nc-4.0 as writer and mit as judge; a model has one" in line
    assert main(["build", "trees", "--teacher-license", "apache-2.0"]) == 0
    teachers = load_draft("trees").facts["lineage"]["teachers"]
    assert {one["licence"] for one in teachers.values()} == {"apache-2.0"}


@each(
    "teachers",
    [
        "{place: 'scripted:script.jsonl', license: mit}",
        "{writer: {place: 'scripted:script.jsonl'}, judge: {place: 'scripted:script.jsonl', "
        "license: MIT}}",
        "{writer: {place: 'scripted:script.jsonl', license: MIT}, judge: {place: "
        "'scripted:script.jsonl', license: mit}}",
    ],
)
def test_the_licence_of_a_model_that_is_given_once_is_that_of_all_its_roles(teachers: str) -> None:
    shutil.rmtree("work", ignore_errors=True)
    write_set(Path("trees.md"), FRONT.replace("scripted:script.jsonl", teachers))
    for words in ([], ["--teacher", "writer=scripted:script.jsonl"]):
        assert main(["build", "trees", *words]) == 0
        made = load_draft("trees").facts["lineage"]["teachers"]
        assert {one["licence"] for one in made.values()} == {"mit"}


def test_a_mistyped_role_of_a_flag_is_named_first(capsys: pytest.CaptureFixture[str]) -> None:
    write_set(Path("trees.md"), FRONT.replace("teachers: scripted:script.jsonl", _LICENSED))
    line = refusal(capsys, "build", "trees", "--teacher", "wrt=scripted:script.jsonl")
    assert "has no role 'wrt'; there are judge, writer; did you mean 'writer'?" in line


def test_shards_are_merged_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees", "--shard", "1/2"]) == 0
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    assert main(["build", "../trees.md", "--shard", "2/2"]) == 0
    assert main(["merge", "../trees.md"]) == 0
    assert load_draft("../trees.md").counts["kept"] == 3


@each("name", ["~nosuchuser/x.md", "~nosuchuser/x.py"])
def test_a_home_that_is_none_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such user" in refusal(capsys, "build", name)


def test_a_file_that_is_wrong_is_not_called_missing(capsys: pytest.CaptureFixture[str]) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    write_set(Path("trees.md"), FRONT + "langauge: en\n")
    for words in (["release", "trees", "--to-folder", "out"], ["diff", "trees", "trees"]):
        assert "no key 'langauge'" in refusal(capsys, *words)


@each("name", ["/dev/null", "prompts.txt"])
def test_a_new_set_is_not_named_after_a_file_or_a_device(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "new", name, "--recipe", "completions")
    assert f"{name} is a file or a device; name the set differently" in line
    assert not Path(f"{name}.md").exists()


def test_a_set_whose_file_was_renamed_is_shown_the_way_to_its_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    capsys.readouterr()
    Path("trees.md").rename("woods.md")
    for words in (["preview", "woods", "--rows", "1"], ["build", "woods"]):
        line = refusal(capsys, *words)
        assert "work/trees was made from trees.md, which is gone; if woods.md is that file" in line
        assert "`mv work/trees work/woods` keeps its answers" in line
        assert not Path("work/woods").exists()
    assert main(["build", "woods", "--work", "elsewhere"]) == 0
    capsys.readouterr()
    Path("work/trees").rename("work/woods")
    assert main(["build", "woods", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["run"]["calls"] == 0
    assert "which is gone" not in printed.err


def test_a_set_that_is_still_there_or_another_one_is_no_renamed_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    Path("others.txt").write_text("What is a fir?\n")
    write_set(Path("same.md"), FRONT)
    write_set(Path("other.md"), FRONT.replace("prompts.txt", "others.txt"))
    assert main(["build", "same"]) == 0
    Path("trees.md").unlink()
    assert main(["build", "other"]) == 0
    assert (
        main(["build", "completions", "--prompts=prompts.txt", "--teacher=scripted:script.jsonl"])
        == 0
    )
    assert "which is gone" not in capsys.readouterr().err


def test_a_set_that_was_loaded_by_a_relative_path_works_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "trees.md", FRONT)
    trees = load_set("trees.md")
    elsewhere = tmp_path / "notebooks/deep"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    draft = trees.build(progress=False)
    assert draft.folder.resolve() == tmp_path / "work/trees/drafts/0001"
    assert load_draft(trees).folder.resolve() == draft.folder.resolve()
    assert [*elsewhere.iterdir()] == []


def test_a_link_to_the_file_of_a_set_is_that_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(Path("trees.md"), FRONT)
    Path("elsewhere").mkdir()
    for link in ("woods.md", "elsewhere/woods.md"):
        Path(link).symlink_to(tmp_path / "trees.md")
    assert main(["build", "trees"]) == 0
    for name in ("woods", "elsewhere/woods.md"):
        capsys.readouterr()
        assert main(["build", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["draft"] == "work/trees/drafts/0001"
        assert main(["show", name]) == 0
    assert not Path("work/woods").exists() and not Path("elsewhere/work").exists()


def test_two_sets_beside_each_other_are_not_released_to_one_repository() -> None:
    for name in ("trees", "woods"):
        write_set(Path(f"{name}.md"), FRONT + "repository: org/trees\n")
    write_set(Path("wrong.md"), "recipe: [")
    trees = load_set("trees")
    line = r"^woods\.md, line 6: the set woods declares org/trees too, and a release of trees would"
    with pytest.raises(InputError, match=line):
        check_repository(trees, "org/trees")
    check_repository(trees, "org/other")
    Path("woods.md").unlink()
    Path("woods.md").symlink_to("trees.md")
    check_repository(trees, "org/trees")


def test_an_earlier_draft_is_released_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    write_set(Path("trees.md"), FRONT)
    assert main(["build", "trees"]) == 0
    assert main(["build", "trees", "--rows", "1"]) == 0
    for number, rows in (("0001", 3), ("2", 1)):
        words = ["release", "trees", "--draft", number, "--to-folder", f"out{rows}", "--json"]
        assert main(words) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out.splitlines()[-1])["draft"].endswith(f"000{number[-1]}")
        assert ("was built with other rows" in printed.err) == (number == "2")
        assert "with --draft" not in printed.err
        assert snapshot(Path(f"out{rows}")).files
        assert json.loads(Path(f"out{rows}/manifest.json").read_text())["counts"]["kept"] == rows
    assert main(["release", "trees", "--to-folder", "out"]) == 0
    assert "or release an earlier one with --draft" in capsys.readouterr().err
    line = refusal(capsys, "release", "trees", "--draft", "7", "--to-folder", "out")
    assert line == "potstill: 'trees' has no draft 7; there are 0001, 0002"


_SAME = ("seed: 1", "seed: 1")
_TEACHER = "teachers: scripted:script.jsonl"
_LICENSED = 'teachers: {place: "scripted:script.jsonl", license: mit}'
_BY_ROLE = "teachers:\n  writer:\n    place: scripted:script.jsonl\n    license: mit"


@each(
    ("edit", "flags", "line"),
    [
        (_SAME, (), ""),
        (("seed: 1", "seed: 2\nrows: 2"), (), "with other rows, seed than trees.md declares"),
        (("by: people", "by: gpt-4"), (), "with other prompts.written_by than trees.md declares"),
        (("script.jsonl", "script.jsonl#m"), (), "other teachers.model than trees.md declares"),
        (
            (_TEACHER, _BY_ROLE.replace("license: mit", "parameters: {top_p: 0.5}")),
            (),
            "with other teachers.writer.parameters than trees.md declares",
        ),
        (("seed: 1", "options: {samples: 2}"), (), "other options.samples, seed than trees.md"),
        (("seed: 1", "seed: 1\nrows: 2"), ("--rows", "2"), ""),
        (("seed: 1", "seed: 1\nrows: 3"), (), ""),
        (("seed: 1", "seed: 1\nrows: 9"), (), ""),
        (("prompts.txt", ".//prompts.txt"), (), ""),
        (("mit, written_by: people", "cc0-1.0"), (), r"prompts\.license is .* mit; build again$"),
        (
            (_TEACHER, f"{_BY_ROLE}\n  judge: scripted:script.jsonl"),
            (),
            "line 7: teachers.writer.license is mit, and",
        ),
        (("prompts.txt, license: mit", "prompts.txt, license: MIT"), (), ""),
        (("scripted:script.jsonl", "scripted:./script.jsonl"), (), ""),
        ((_TEACHER, _BY_ROLE.replace("\n    license: mit", "")), (), ""),
        ((_TEACHER, f"{_TEACHER[:9]} {{writer: {_TEACHER[10:]}, judge: embedded}}"), (), ""),
        (_SAME, ("--teacher-license", "mit"), "with another licence of the teachers; write"),
        (("license: mit, ", ""), (), "license is not given, and .* with mit; build again,"),
        (("mit", "cc-by-nc-4.0"), (), r"trees\.md, line 3: prompts\.license is cc-by-nc-4\.0, and"),
        (_SAME, ("--license", "cc0-1.0"), "build again without --license, which repeats no call"),
        (
            _SAME,
            ("--license", "cc0-1.0", "--column", "text"),
            "with other prompts.column, prompts.license than trees.md declares",
        ),
        ((_TEACHER, _LICENSED), (), "line 4: teachers.license is mit, and .* none"),
        ((_TEACHER, _BY_ROLE), (), "line 7: teachers.writer.license is mit, and .* none"),
    ],
)
def test_a_release_names_what_the_file_declares_otherwise_than_its_draft_and_refuses_a_licence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    edit: tuple[str, str],
    flags: tuple[str, ...],
    line: str,
) -> None:
    shutil.rmtree(folder / "work", ignore_errors=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    front = FRONT + "seed: 1\n"
    write_set(Path("trees.md"), front)
    assert main(["build", "trees", *flags]) == 0
    write_set(Path("trees.md"), front.replace(*edit))
    capsys.readouterr()
    released = main(["release", "trees", "--to-folder", "out"]) == 0
    printed = capsys.readouterr().err.rstrip()
    assert re.search(line, printed) and ("built with" in printed) == bool(line), printed
    assert Path("out").exists() == released == (" is " not in line and "repeats" not in line)
    assert "--draft" not in printed


@each("licence", ["cc-by-4.0", "CC-BY-4.0", "other", "mit"])
def test_a_release_takes_the_licence_that_the_draft_has_from_the_card_of_its_source(
    licence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("work", "oaks", "out"):
        shutil.rmtree(folder, ignore_errors=True)
    stated = "cc-by-4.0" if licence == "mit" else licence.lower()
    Path("oaks").mkdir()
    shutil.copy("prompts.txt", "oaks")
    Path("oaks/README.md").write_text(f"---\nlicense: {stated}\n---\n")
    front = FRONT.replace("prompts.txt, license: mit", "oaks")
    write_set(Path("trees.md"), front)
    assert main(["build", "trees"]) == 0
    write_set(Path("trees.md"), front.replace("oaks", f"oaks, license: {licence}"))
    capsys.readouterr()
    released = main(["release", "trees", "--to-folder", "out"]) == 0
    printed = capsys.readouterr().err
    assert released == (licence != "mit") == ("built with" not in printed), printed
    line = "prompts.license is mit, and work/trees/drafts/0001 was built with cc-by-4.0"
    assert (line in printed) == (not released)


def test_a_licence_that_was_chosen_where_the_file_has_none_is_named_at_the_release(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(Path("trees.md"), FRONT.replace(", license: mit", ""))
    assert main(["build", "trees", "--license", "cc-by-4.0"]) == 0
    assert record()["overridden"] == ["prompts.license"]
    assert main(["release", "trees", "--to-folder", "out"]) == 0
    line = "another licence of the source; write `license:` under `prompts:` into trees.md"
    assert line in capsys.readouterr().err


def test_an_address_in_the_place_of_a_source_is_refused_with_the_name_of_the_dataset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = "https://huggingface.co/datasets/org/prompts"
    write_set(Path("trees.md"), FRONT.replace("prompts.txt", f'"{place}"'))
    line = f"trees.md, line 3: '{place}' is an address, and none is read; for the dataset on"
    assert line in refusal(capsys, "build", "trees")
    other = refusal(capsys, "build", "completions", "--prompts", "s3://bucket/p")
    assert other.endswith("'s3://bucket/p' is an address, and none is read; give a file of it")


@each("file", ["p.txt", "trees.MD"])
def test_another_file_in_the_place_of_a_set_is_no_module(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text("What is an oak?\n")
    line = f"potstill: {file!r} is a file, and neither a recipe's nor a set's, which end with .py"
    for words in (["build", file], ["build", "--from", file]):
        assert refusal(capsys, *words).startswith(line)


def test_a_module_without_a_recipe_is_named_with_the_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(Path("trees.md"), FRONT.replace("completions", "os.path"))
    line = "potstill: trees.md, line 2: os.path has no RECIPE = Recipe(name='path', ...); add one"
    assert refusal(capsys, "build", "trees") == line


def test_a_new_set_takes_no_password_and_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["new", "woods", "--recipe", "completions", "--teacher", "https://u:pw@host/v1#m"]
    line = refusal(capsys, *words)
    assert line.startswith("potstill: --teacher https://host/v1 holds a secret (password), and")
    assert "pw" not in line and not Path("woods.md").exists()
