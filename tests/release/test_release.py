"""A release: the draft as data, card and manifest, for readers of all kinds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from builders.drafting.draft import last_draft, load_draft
from builders.errors import InputError
from builders.release.folder import release
from builders.schema import CALLS, DROPPED, PROMPT_COMPLETION, Row
from builders.set_file import read_set_file
from builders.sets import CARDS
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words, file_bytes, write_prompts, write_script
from tests.endpoint import Behaviour, Endpoint
from tests.set_files import shipped_words

CONFIGS = {"default": PROMPT_COMPLETION, "calls": CALLS, "dropped": DROPPED}
GOLDEN = Path(__file__).parents[1] / "golden" / "instructions_card.md"
# How the Hub finds a card's metadata.
FRONT = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a draft of `instructions`."""
    folder = tmp_path_factory.mktemp("drafted")
    assert main(build_words(folder)) == 0
    return folder / "work"


@pytest.fixture(scope="module")
def folder(work: Path) -> Path:
    """Its release."""
    return released(work, work.parent / "released")


def released(work: Path, to: Path, name: str = "instructions") -> Path:
    assert main(["release", name, "--work", str(work), "--to", str(to)]) == 0
    return to


def data_file(folder: Path, config: str) -> Path:
    return folder / "data" / config / "train-00000-of-00001.parquet"


def rows_in(folder: Path, config: str) -> list[Row]:
    rows: list[Row] = pq.read_table(data_file(folder, config)).to_pylist()
    return rows


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """`load_dataset` with a cache of its own."""
    import datasets

    def loaded(folder: Path, *config: str, streaming: bool = False) -> Any:
        return datasets.load_dataset(
            str(folder),
            *config,
            split="train",
            cache_dir=str(tmp_path / "cache"),
            streaming=streaming,
        )

    return loaded


# --- data


def test_a_release_is_a_card_a_manifest_and_one_folder_of_parquet_per_config(folder: Path) -> None:
    data = {f"data/{config}/train-00000-of-00001.parquet" for config in CONFIGS}
    assert set(file_bytes(folder)) == {"README.md", "manifest.json", *data}
    assert [path for path in folder.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_loads_as_the_draft_has_it_and_as_declared(
    config: str, work: Path, folder: Path, load: Callable[..., Any]
) -> None:
    loaded = load(folder, config)
    draft = last_draft(work / "instructions")
    assert loaded.to_list() == pq.read_table(draft.folder / f"{config}.parquet").to_pylist()
    assert len(loaded) > 0
    assert loaded.features.arrow_schema.remove_metadata() == CONFIGS[config].arrow


def test_without_a_config_one_loads_what_a_trainer_reads(
    folder: Path, load: Callable[..., Any]
) -> None:
    assert load(folder).column_names == ["id", "prompt", "completion"]


@pytest.mark.parametrize("config", CONFIGS)
def test_parquet_carries_the_declared_schema_and_no_metadata_of_datasets(
    config: str, folder: Path
) -> None:
    with pq.ParquetFile(data_file(folder, config)) as file:
        assert file.schema_arrow.equals(CONFIGS[config].arrow, check_metadata=False)
        assert not file.metadata.metadata and not file.schema_arrow.metadata
        for group in range(file.num_row_groups):
            assert file.metadata.row_group(group).num_rows <= 1000
            assert file.metadata.row_group(group).column(0).has_offset_index


def test_the_same_draft_gives_the_same_bytes(work: Path, folder: Path, tmp_path: Path) -> None:
    assert file_bytes(released(work, tmp_path / "again")) == file_bytes(folder)


def test_releasing_the_same_again_to_one_folder_changes_nothing(
    work: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    released(work, folder)
    assert "is this release already; nothing changed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_release_with_a_changed_file_is_not_taken_for_the_same(
    work: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    with (copy / "README.md").open("a", encoding="utf-8") as card:
        card.write("\n")
    assert main(["release", "instructions", "--work", str(work), "--to", str(copy)]) == 1
    assert "holds something other" in capsys.readouterr().err


NOTHING_KEPT = [{"when": r"^Think of a series", "answer": "go\n10. Draw a map."}]
NOTHING_DROPPED = [{"when": "", "answer": "It is {{hash}}."}]


@pytest.mark.parametrize(
    ("name", "rules", "empty"),
    [("instructions", NOTHING_KEPT, "default"), ("completions", NOTHING_DROPPED, "dropped")],
)
def test_a_config_without_a_row_still_loads(
    name: str,
    rules: list[Mapping[str, Any]],
    empty: str,
    tmp_path: Path,
    load: Callable[..., Any],
) -> None:
    words = build_words(tmp_path, name=name)
    write_script(tmp_path, rules)
    options = ["--samples", "1"] if name == "completions" else []
    assert main([*words, *options]) == 0
    folder = released(tmp_path / "work", tmp_path / "released", name)
    assert rows_in(folder, empty) == []
    assert len(load(folder, "calls")) > 0
    streamed = load(folder, empty, streaming=True)
    assert list(streamed) == [] and streamed.column_names == CONFIGS[empty].arrow.names
    # The day datasets reads a split of 0 rows without streaming, the card can say so.
    with pytest.raises(ValueError, match="corresponds to no data"):
        load(folder, empty)
    config = "" if empty == "default" else f', "{empty}"'
    call = f'load_dataset("path/to/this/folder"{config}, split="train", streaming=True)'
    assert call in card_of(folder) and card_of(folder).count("streaming=True") == 1


# --- manifest


def test_the_manifest_names_every_file_with_its_true_hash(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in file_bytes(folder).items()
        if name != "manifest.json"
    }
    assert manifest["files"] == found
    rows = {config: {"train": len(rows_in(folder, config))} for config in CONFIGS}
    assert manifest["rows"] == rows
    assert manifest["version"] == shipped_words("instructions").version


def test_no_released_file_holds_a_path_of_the_machine(work: Path, folder: Path) -> None:
    for name, content in file_bytes(folder).items():
        for place in (str(work.parent), str(Path.home()), str(CARDS.parent)):
            assert place.encode() not in content, name


# --- the card's metadata


def test_the_cards_metadata_is_what_the_hub_and_datasets_read(folder: Path) -> None:
    from datasets import DatasetInfo
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard, DatasetCardData

    card = DatasetCard(card_of(folder))
    assert isinstance(card.data, DatasetCardData)
    found = FRONT.match(card_of(folder))
    read = {name: value for name, value in vars(card.data).items() if value is not None}
    assert found and yaml.safe_load(found[2]) == read
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    assert list(configs) == list(CONFIGS) and configs.get_default_config_name() == "default"
    for facts in yaml.safe_load(found[2])["dataset_info"]:
        config = facts["config_name"]
        info = DatasetInfo._from_yaml_dict(facts)
        assert info.features.arrow_schema.remove_metadata() == CONFIGS[config].arrow
        assert info.splits["train"].num_examples == len(rows_in(folder, config))
        assert info.download_size == data_file(folder, config).stat().st_size
        assert info.dataset_size == pq.read_table(data_file(folder, config)).nbytes


def test_the_cards_metadata_uses_the_hubs_vocabulary(folder: Path, data: Path) -> None:
    words = json.loads((data / "hub_vocab.json").read_text(encoding="utf-8"))
    front = yaml.safe_load(card_of(folder).split("---\n")[1])
    assert front["license"] in words["license"]
    assert set(front["task_categories"]) <= set(words["task_categories"])
    assert set(front["size_categories"]) <= set(words["size_categories"])
    assert set(front["annotations_creators"]) <= set(words["annotations_creators"])
    assert set(front["language_creators"]) <= set(words["language_creators"])


# --- the card's numbers


def cells(card: str, head: str) -> dict[str, list[str]]:
    """The table under a head line: its rows by their first cell."""
    table = card.split(f"\n{head}\n")[1].split("\n\n")[0].splitlines()[1:]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    return {name.strip(): [cell.strip() for cell in rest] for name, *rest in rows}


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_every_number_on_the_card_comes_from_the_data(folder: Path) -> None:
    card = card_of(folder)
    kept, raw, dropped = (rows_in(folder, config) for config in CONFIGS)
    glance = {name: row[0] for name, row in cells(card, "| at a glance | |").items()}
    made = len(kept) + len(dropped)
    assert number(glance["rows to train on"]) == len(kept)
    assert number(glance["candidates"]) == made
    assert number(glance["dropped, with reasons"]) == len(dropped)
    assert number(glance["teacher calls"]) == len(raw)
    for column in ("prompt", "completion"):
        words = [sum(len(turn["content"].split()) for turn in row[column]) for row in kept]
        least, most, middle = re.findall(r"[\d.]+", glance[f"words in a {column}"])
        assert (int(least), int(most), float(middle)) == (min(words), max(words), median(words))

    for config in CONFIGS:
        assert f"`{config}`, {len(rows_in(folder, config)):,} rows:" in card

    became = cells(card, "| outcome | candidates | share |")
    reasons = Counter(f"dropped: {row['reason']}" for row in dropped)
    assert {name: number(row[0]) for name, row in became.items()} == {"kept": len(kept), **reasons}
    for rows, share in became.values():
        assert share == f"{100 * number(rows) / made:.1f} %"

    (asked,) = cells(card, "| teacher | calls | input tokens | output tokens | USD |").values()
    tokens = [sum(call[f"{way}put_tokens"] for call in raw) for way in ("in", "out")]
    assert [number(cell) for cell in asked[:3]] == [len(raw), *tokens]
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["size_categories"] == ["n<1K"]


# --- the card's words


WORDS = """---
recipe: instructions
pretty_name: "Żółć: a set | of <b>two</b>"
language: [en]
---

## What it is

Ends with blanks.  \n\nHolds {{ counts.kept }}, {% raw %}, {# none #} and `---`:

---

ﬁ, e\u0301 and \u00e9 stay as they are.\tA tab too.

## Use

<details><summary>Mine</summary>

| a | table |
|---|---|
| of | mine |

</details>

## Limits

```text
# no heading
--- a/file
```

## Changes

### v3.1.4

All of it.

### v1.0.0

Nothing.
"""


def test_a_persons_words_are_on_the_card_to_the_byte(work: Path, tmp_path: Path) -> None:
    file = tmp_path / "trees.md"
    file.write_text(WORDS, encoding="utf-8")
    words = read_set_file(file)[1]
    draft = last_draft(work / "instructions")
    assert release(draft, CONFIGS, tmp_path / "released", words)
    card = card_of(tmp_path / "released")
    for section in re.split(r"^## .+\n\n", WORDS, flags=re.MULTILINE)[1:]:
        assert section.rstrip("\n") in card
    assert "\n# Żółć: a set | of <b>two</b>\n" in card
    front = yaml.safe_load(card[: end_of_front(card)].strip().strip("-"))
    assert front["pretty_name"] == "Żółć: a set | of <b>two</b>"
    manifest = json.loads((tmp_path / "released" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["version"] == "3.1.4"


@each(
    ("old", "new", "wrong"),
    [
        ("## Use", "## Usage", "no words under '## Use'"),
        ("### v3.1.4", "### 3.1.4\n\n### v1", "no version under Changes"),
        ("pretty_name", "title", "no key 'title'; there are recipe"),
        ("language: [en]", "language: [en", "not YAML"),
        ("## Limits", "## Licence\n\nMine.\n\n## Limits", "a section that the card has itself"),
        ("## Limits", "## Use\n\nAgain.\n\n## Limits", "'## Use' comes twice"),
        ("## What it is", "Before all.\n\n## What it is", "'Before all.' is under no heading"),
        ("language: [en]", "licence: mit", "no key 'licence'; there are recipe"),
    ],
)
def test_words_that_the_card_has_no_place_for_are_refused(
    old: str, new: str, wrong: str, tmp_path: Path
) -> None:
    text = WORDS.replace("### v1.0.0\n\nNothing.\n", "").replace(old, new)
    (tmp_path / "trees.md").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^trees\.md(, line \d+)?: .*" + re.escape(wrong)):
        read_set_file(tmp_path / "trees.md")


@pytest.mark.parametrize("name", ["instructions", "completions"])
def test_the_shipped_words_are_complete(name: str) -> None:
    assert shipped_words(name).version


# --- text from outside


HOSTILE = (
    "```` \n```\n---\nlicense: mit\n---\n# Pwned\n| a | b |\n|---|---|\n<script>alert(1)</script>\n"
    "<!-- ![x](https://evil.example/x.png) [y](javascript:alert(1)) {{ 7 * 7 }} {% raw %}\n~~~\n`"
)
HOSTILE_MODEL = "m`|<img src=x> ![x](https://evil.example/x.png) {{ 7 * 7 }}\n# Pwned\n---"


def shape(card: str) -> list[tuple[str, str]]:
    """Headings, tables, fences and all that could run or load, as Markdown is parsed."""
    tokens = MarkdownIt("commonmark").enable("table").parse(card[end_of_front(card) :])
    found = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            found.append((token.tag, tokens[place + 1].content))
        elif token.type in ("table_open", "tr_open", "fence", "html_block", "hr", "code_block"):
            found.append((token.type, token.info))
        found += [
            (part.type, part.content)
            for part in token.children or ()
            if part.type in ("html_inline", "image", "link_open")
        ]
    return found


def end_of_front(card: str) -> int:
    found = FRONT.match(card)
    assert found
    return found.end()


def answering(text: str) -> Callable[[Mapping[str, Any]], str]:
    """A function that answers with a text and the seed, so that no two answers are equal."""
    return lambda body: f"{text} {body['seed']}"


def test_no_text_by_a_teacher_can_break_the_card(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, 4)
    cards: list[str] = []
    for text, model in (("Good.", "model"), (HOSTILE, HOSTILE_MODEL)):
        work = tmp_path / str(len(cards))
        with Endpoint(Behaviour(answer=answering(text), model=model)) as endpoint:
            words = (
                "--prompts",
                str(prompts),
                "--choose=longest",
                "--samples=2",
                "--teacher",
                endpoint.url,
            )
            assert main(["build", "completions", *words, "--work", str(work)]) == 0
        folder = released(work, work / "released", "completions")
        assert len(rows_in(folder, "default")) == 4
        cards.append(card_of(folder))
    assert shape(cards[0]) == shape(cards[1])
    front = yaml.safe_load(cards[1].split("---\n")[1])
    assert front["license"] == "unknown" and len(front["configs"]) == 3
    assert HOSTILE in rows_in(folder, "default")[0]["completion"][0]["content"]
    assert "{{ 7 * 7 }}" in cards[1]


def test_the_name_of_a_seed_file_cannot_break_the_card(tmp_path: Path) -> None:
    words = build_words(tmp_path)
    odd = tmp_path / "a|b`<img src=x>![x](y) [z](w).jsonl"
    Path(words[words.index("--seeds") + 1]).rename(odd)
    words[words.index("--seeds") + 1] = str(odd)
    assert main(words) == 0
    card = card_of(released(tmp_path / "work", tmp_path / "released"))
    plain = card.replace(r"a\|b\`\<img src=x\>\!\[x\](y) \[z\](w)", "seeds")
    assert odd.name not in card and plain != card and shape(card) == shape(plain)


def test_a_draft_with_other_columns_is_refused_with_the_way_to_make_it_again(
    work: Path, tmp_path: Path
) -> None:
    draft = load_draft("instructions", work)
    older = shutil.copytree(draft.folder, tmp_path / "older")
    table = pq.read_table(older / "calls.parquet")
    pq.write_table(table.drop_columns(["parsed"]), older / "calls.parquet")
    line = r"column 'parsed' .* config 'calls' .* that draft's settings and --from-ledger"
    with pytest.raises(InputError, match=line):
        release(replace(draft, folder=older), CONFIGS, tmp_path / "set")
    assert not (tmp_path / "set").exists()


# --- golden


def masked(card: str) -> str:
    """The card without what differs between versions of the tools."""
    made_with, rest = re.search(r"^Made with .*$", card, re.MULTILINE), card
    if made_with:
        rest = card.replace(made_with[0], re.sub(r" \d[\w.+-]*(?=[,.])", " X", made_with[0]))
    return re.sub(r"^( +download_size:) \d+$", r"\1 X", rest, flags=re.MULTILINE)


def test_the_card_is_the_golden_one(work: Path, tmp_path: Path) -> None:
    draft = load_draft("instructions", work)
    release(draft, CONFIGS, tmp_path / "set", shipped_words("instructions"))
    card = masked(card_of(tmp_path / "set"))
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(card, encoding="utf-8")
    assert card == GOLDEN.read_text(encoding="utf-8")
