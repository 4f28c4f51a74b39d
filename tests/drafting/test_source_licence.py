"""The licence of a source: given, or read from its card, its draft or its recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builders.drafting.draft import last_draft
from builders.drafting.source_licence import source_licence
from builders.hub_vocabulary import Licence
from builders.recipe import Seeds
from builders.sources.source import Source
from pipelines.completions import RECIPE
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words
from tests.hubs import Hub

UNKNOWN = "the licence of mine is unknown, and a release to a Hub needs it"


def stated(folder: Path, card: str | None, given: str | None = None) -> tuple[Any, ...]:
    """The licence, from what it is known, and the lines about a folder `mine` with a card."""
    mine = folder / "mine"
    mine.mkdir(exist_ok=True)
    (mine / "README.md").unlink(missing_ok=True)
    if card is not None:
        (mine / "README.md").write_bytes(card.encode("utf-8", "surrogateescape"))
    facts, lines = source_licence(given, Source(place=str(mine)), "mine", "sha256:0", RECIPE.seeds)
    return Licence.of(facts), facts.get("licence_from"), lines


def card(front: str) -> str:
    return f"---\n{front}\n---\n# Mine\n"


CARDS: dict[str, tuple[str | None, Licence, str | None, str]] = {
    # the card: the licence, from what it is known, what the first line holds
    "an id": (card("license: cc-by-4.0"), Licence("cc-by-4.0"), "its card", ""),
    "in capitals": (card("license: CC-BY-4.0"), Licence("cc-by-4.0"), "its card", ""),
    "in a list": (card("license:\n- mit"), Licence("mit"), "its card", ""),
    "a mark and Windows' lines": (
        "\ufeff---\r\nlicense: mit\r\n---\r\n",
        Licence("mit"),
        "its card",
        "",
    ),
    "several": (
        card("license: [mit, cc-by-sa-4.0]"),
        Licence("cc-by-sa-4.0"),
        "its card (mit and cc-by-sa-4.0)",
        "",
    ),
    "several that differ": (
        card("license: [gemma, llama3]"),
        Licence("other", "see-the-licence-section"),
        "its card (gemma and llama3)",
        "",
    ),
    "another with a name": (
        card("license: other\nlicense_name: Qwen-Research\nlicense_link: javascript:alert(1)"),
        Licence("other", "qwen-research"),
        "its card",
        "",
    ),
    "another with a name in words and a link": (
        card(
            "license: other\nlicense_name: The Oak License 2\n"
            "license_link: https://oak.example/terms_of-use?v=2"
        ),
        Licence("other", "the-oak-license-2", "https://oak.example/terms_of-use?v=2"),
        "its card",
        "",
    ),
    "another with a link that is none for a card": (
        card("license: other\nlicense_link: 'https://oak.example/> [x](y)'"),
        Licence("other"),
        "its card",
        "",
    ),
    "another with the link of a file": (
        card("license: other\nlicense_name: oak\nlicense_link: LICENSE"),
        Licence("other", "oak"),
        "its card",
        "",
    ),
    "another with markup as its name": (
        card("license: other\nlicense_name: '[x](y)'"),
        Licence("other"),
        "its card",
        "",
    ),
    "a released set": (
        card("license: other\nlicense_name: see-the-licence-section"),
        Licence("other", "see-the-licence-section"),
        "its card",
        "",
    ),
    "words": (
        card("license: Apache 2.0"),
        Licence("other"),
        "its card (as 'Apache 2.0')",
        "declares the licence 'Apache 2.0', which is not known to the Hub; did you mean "
        "'apache-2.0'?; it counts as 'other'",
    ),
    "a name of its own": (
        card("license: corp-1.0"),
        Licence("other", "corp-1.0"),
        "its card (as 'corp-1.0')",
        "declares the licence 'corp-1.0', which is not known to the Hub",
    ),
    "unknown": (card("license: unknown"), Licence("unknown"), None, UNKNOWN),
    "empty": (card("license:"), Licence("unknown"), None, UNKNOWN),
    "an empty list": (card("license: []"), Licence("unknown"), None, UNKNOWN),
    "no text": (card("license: {a: b}"), Licence("unknown"), None, UNKNOWN),
    "one of a list": (
        card("license: [mit, unknown]"),
        Licence("unknown"),
        None,
        UNKNOWN,
    ),
    "no licence": (card("language: en"), Licence("unknown"), None, UNKNOWN),
    "no front matter": ("# Mine\nlicense: mit\n", Licence("unknown"), None, UNKNOWN),
    "no card": (None, Licence("unknown"), None, UNKNOWN),
    "broken": (
        card("license: [mit"),
        Licence("unknown"),
        None,
        "the card of mine states no licence: Invalid YAML",
    ),
    "no UTF-8": (card("# \udcff\nlicense: mit"), Licence("mit"), "its card", ""),
}


@each("name", [*CARDS])
def test_the_licence_of_a_folder_is_that_on_its_card(name: str, tmp_path: Path) -> None:
    text, licence, known_from, line = CARDS[name]
    found, by, lines = stated(tmp_path, text)
    assert (found, by) == (licence, known_from)
    assert line in (lines[0] if lines else "") and bool(lines) == bool(line)


GIVEN: dict[str, tuple[str, str, str, str, str]] = {
    # given, on the card: the licence, from what it is known, the line
    "beside none": ("mit", "x: y", "mit", "given", ""),
    "beside the same": ("MIT", "license: mit", "mit", "given", ""),
    "beside another": (
        *("mit", "license: gemma", "mit", "given; its card states gemma"),
        "--license mit counts for mine, though its card states gemma",
    ),
    "beside words": (
        *(
            "apache-2.0",
            "license: Apache 2.0",
            "apache-2.0",
            "given; its card (as 'Apache 2.0') states other",
        ),
        "--license apache-2.0 counts for mine, though its card (as 'Apache 2.0') states other",
    ),
    "as unknown": (
        *("unknown", "license: mit", "unknown", "given; its card states mit"),
        "--license unknown counts for mine, though its card states mit",
    ),
}


@each("name", [*GIVEN])
def test_a_given_licence_counts_before_that_on_a_card(name: str, tmp_path: Path) -> None:
    given, front, licence, known_from, line = GIVEN[name]
    found, by, lines = stated(tmp_path, card(front), given)
    assert (found, by) == (Licence(licence), known_from)
    assert (lines[0] if lines else "") == line


def test_a_recipe_states_the_licence_of_its_own_source() -> None:
    for licence, by in (("unknown", {}), ("cc0-1.0", {"licence_from": "the recipe"})):
        own = Seeds(form="tasks", source="x", licence=licence)
        facts, lines = source_licence(None, Source(place="x"), "x", "", own)
        assert facts == {"licence": licence, **by} and len(lines) == (licence == "unknown")


# --- real builds


def test_a_draft_and_a_release_pass_their_licence_on_to_what_is_made_of_them(
    tmp_path: Path,
) -> None:
    assert main(build_words(tmp_path, name="completions", rows=4)) == 0
    work, released = tmp_path / "work", tmp_path / "released"
    draft = last_draft(work / "completions")
    assert main(["release", "completions", "--work", str(work), "--to", str(released)]) == 0
    places = {draft.folder: "its draft", draft.file("default"): "its draft", released: "its card"}
    for place, by in places.items():
        facts, _ = source_licence(None, Source(place=str(place)), "it", "", RECIPE.seeds)
        assert Licence.of(facts) == Licence("other", "see-the-licence-section")
        assert facts["licence_from"] == by


IN_A_CHILD = """
from scripts.main import main
report([main(words) for words in {builds!r}])
"""


def test_the_licence_of_a_hub_set_is_that_on_its_card_at_the_commit_that_was_read(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    for front in ("license: gemma", "license: mit"):
        files = {"README.md": card(front), "p.jsonl": json.dumps({"prompt": "Why?"}) + "\n"}
        for name, content in files.items():
            hub.api().upload_file(
                repo_id=repo,
                repo_type="dataset",
                path_in_repo=name,
                path_or_fileobj=content.encode(),
            )
        if front.endswith("gemma"):
            hub.api().create_tag(repo, tag="first", repo_type="dataset")
    (tmp_path / "rules.jsonl").write_text('{"when": "", "answer": "It is."}\n')
    builds = [
        [
            *("build", "completions", "--prompts", repo, *revision),
            *(
                "--teacher",
                f"scripted:{tmp_path / 'rules.jsonl'}",
                "--work",
                str(tmp_path / licence),
            ),
        ]
        for licence, revision in (("gemma", ["--revision", "first"]), ("mit", []))
    ]
    assert hub.python(IN_A_CHILD.format(builds=builds), tmp_path / "hf") == [0, 0]
    for licence in ("gemma", "mit"):
        seeds = last_draft(tmp_path / licence / "completions").facts["lineage"]["seeds"]
        assert (seeds["licence"], seeds["licence_from"]) == (licence, "its card")
