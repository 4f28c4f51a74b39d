"""The licence on a card: what it follows from, what contradicts it, and when a set needs one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import build
from builders.card_metadata import card_data
from builders.drafting.draft import load_draft
from builders.engine.model_licences import TABLE, table_name
from builders.errors import InputError
from builders.recipe_loading import load_recipe
from builders.release.card_lint import card_problems
from builders.release.folder import release
from builders.release.verification import verified
from scripts.main import main
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint

NAME = "completions"
Released = Callable[..., str]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Released:
    """Builds with a model of a name, releases to `out` and returns the card."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("What is rain?\n")

    def run(model: str, *words: str, licence: str = "cc-by-4.0") -> str:
        with Endpoint(Behaviour(model=model)) as endpoint:
            words = ("--prompts", "prompts.txt", "--teacher", endpoint.url, *words)
            assert main(["build", NAME, "--samples", "1", "--license", licence, *words]) == 0
        assert main(["release", NAME, "--to-folder", "out"]) == 0
        return Path("out/README.md").read_text(encoding="utf-8")

    return run


def front(card: str) -> list[Any]:
    found = card_data(card) or {}
    return [found.get(name) for name in ("license", "license_name", "license_link")]


def test_a_card_has_the_strictest_licence_with_each_part_and_from_where_it_is_known(
    released: Released,
) -> None:
    card = released("meta-llama/llama-3.1-8b-instruct:free")
    assert front(card) == ["llama3.1", None, None]
    section = card.partition("\n## Licence\n")[2].partition("\n## ")[0]
    assert section.split("\n")[1:] == [
        "`llama3.1`: the strictest of what the set was made from. Teachers that did not answer do "
        "not count.",
        "",
        "| part | name | licence | known from |",
        "|---|---|---|---|",
        "| seeds | prompts.txt | cc-by-4.0 | given |",
        f"| writer | meta-llama/llama-3.1-8b-instruct:free | llama3.1 | {table_name()} |",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("model", "words", "expected"),
    [
        ("gpt-4o", [], ["other", "openai-terms-of-use", None]),
        (
            "Qwen/Qwen2.5-3B-Instruct",
            [],
            [
                *("other", "qwen-research"),
                "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
            ],
        ),
        ("mine", ["--teacher-licence", "apache-2.0"], ["cc-by-4.0", None, None]),
    ],
)
def test_terms_without_an_id_are_an_other_licence_with_a_name_and_a_sentence(
    model: str, words: list[str], expected: list[str | None], released: Released
) -> None:
    card = released(model, *words)
    assert front(card) == expected and card_problems(card) == ([], [])
    assert verified(Path("out"), load_recipe).false == ()
    assert (f"What {model} wrote may be used only as" in card) == (expected[0] == "other")


FALSE = "licence of writer: it is {!r}, the data gives 'gemma'"
TAMPERED: dict[str, tuple[dict[str, Any], str]] = {
    "another licence": ({"licence": "mit"}, FALSE.format("mit")),
    "none": ({"licence": "unknown", "licence_from": None}, FALSE.format("unknown")),
    "another name": ({"licence": "other", "licence_name": "nice"}, FALSE.format("nice")),
    "a remark of its own": ({"licence_from": "given"}, "README.md, line"),
    "another table": (
        {"licence_from": f"{TABLE}2031-01"},
        f"the licence of writer: it is from {TABLE}2031-01, not from {table_name()}",
    ),
    "the licence of the source": ({}, "README.md, line"),
}


@each("name", [*TAMPERED])
def test_a_licence_that_does_not_follow_from_who_answered_is_found(
    name: str, tmp_path: Path, released: Released
) -> None:
    if not Path("out").exists():
        released("google/gemma-3-4b-it")
        assert verified(Path("out"), load_recipe).false == ()
    path = Path("out/manifest.json")
    before = path.read_text(encoding="utf-8")
    manifest = json.loads(before)
    facts, problem = TAMPERED[name]
    manifest["lineage"]["teachers"]["writer"] |= facts
    if not facts:
        manifest["lineage"]["seeds"]["licence"] = "cc-by-nc-4.0"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    found = verified(Path("out"), load_recipe)
    assert problem in "\n".join([*found.false, *found.unchecked])
    path.write_text(before, encoding="utf-8")


def test_python_gives_licences_as_the_command_line_does(released: Released, tmp_path: Path) -> None:
    Path("prompts.txt").write_text("What is rain?\n")
    Path("rules.jsonl").write_text('{"when": "", "answer": "It is water."}\n')
    draft = build(
        NAME,
        prompts="prompts.txt",
        license="cc0-1.0",
        teacher={"writer": "scripted:rules.jsonl"},
        teacher_license={"writer": "Gemma"},
        samples=1,
        progress=False,
    )
    assert draft.licence == "gemma"


def test_a_set_of_a_source_with_an_unknown_licence_is_for_its_maker_only(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    card = released("qwen2.5:7b", licence="unknown")
    assert front(card) == ["unknown", None, None]
    assert "- No licence is stated for prompts.txt, so none can be stated for the set." in card
    draft = load_draft(NAME)
    needed = "the licence of prompts.txt is unknown, and a set on a Hub needs one; build again with"
    with pytest.raises(InputError, match=needed):
        release(draft, draft.schemas, Path("hub"), repository="org/set")
    assert not Path("hub").exists()
    assert (
        "the licence of prompts.txt is unknown, and a release to a Hub" in capsys.readouterr().err
    )
    words = ["--prompts", "prompts.txt", "--from-ledger", "--license", "mit"]
    assert main(["build", NAME, "--samples", "1", *words]) == 0
    draft = load_draft(NAME)
    assert release(draft, draft.schemas, Path("hub"), repository="org/set")
    assert front(Path("hub/README.md").read_text(encoding="utf-8")) == ["apache-2.0", None, None]


@each("words", [[], ["--license", "other"]])
def test_the_link_of_an_other_licence_of_the_source_is_on_the_card(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    link = "https://oak.example/terms_of-use?v=2"
    Path("mine").mkdir(exist_ok=True)
    Path("mine/rows.jsonl").write_text('{"prompt": "What is an oak?"}\n')
    about = f"license: other\nlicense_name: Oak License\nlicense_link: {link}"
    Path("mine/README.md").write_text(f"---\n{about}\n---\n")
    Path("rules.jsonl").write_text('{"when": "", "answer": "It is a tree."}\n')
    teacher = ["--teacher=scripted:rules.jsonl", "--teacher-license=mit"]
    assert main(["build", NAME, "--prompts", "mine", *teacher, *words]) == 0
    assert main(["release", NAME, "--to-folder", f"out{len(words)}"]) == 0
    text = Path(f"out{len(words)}/README.md").read_text(encoding="utf-8")
    assert front(text) == ["other", "oak-license", link] and card_problems(text) == ([], [])
    known = "given" if words else "its card"
    assert f"| seeds | mine | oak-license, <{link}> | {known} |" in text
    assert verified(Path(f"out{len(words)}"), load_recipe).false == ()
