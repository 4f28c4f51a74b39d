"""A small released set, and pull requests on it, good and bad."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builders.drafting.files import read_parquet, write_parquet
from builders.recipe import row_id
from builders.schema import (
    CALLS,
    DROPPED,
    PREFERENCE,
    PROMPT_COMPLETION,
    Row,
    Schema,
    assistant,
    user,
)

ROWS = 60
DEFAULT = "data/default/train-00000-of-00001.parquet"
GIVEN = "contributed/rows.jsonl"
CARD = Path(__file__).parents[1] / "golden" / "instructions_card.md"
Edit = Callable[[Path], None]
PLACES = ("river", "harbour", "market", "library", "station", "bridge", "orchard", "mill")


def row(prompt: str, answer: str) -> Row:
    return {"id": row_id(user(prompt)), "prompt": user(prompt), "completion": assistant(answer)}


def own_row(place: int) -> Row:
    where = PLACES[place % len(PLACES)]
    return row(
        f"Name {place + 2} things that somebody can see at the {where} on a winter morning.",
        f"At the {where} there may be boats, people and {place + 2} birds that wait for bread.",
    )


def pair(prompt: str, chosen: str, rejected: str) -> Row:
    return {
        "id": row_id(user(prompt)),
        "prompt": user(prompt),
        "chosen": assistant(chosen),
        "rejected": assistant(rejected),
        "score_chosen": 4.5,
        "score_rejected": 2.0,
        "chosen_model": "a",
        "rejected_model": None,
    }


def make_set(folder: Path, schema: Schema, rows: Sequence[Row]) -> Path:
    """The files of a released set that a review reads."""
    for config, shape, held in (
        ("default", schema, rows),
        ("calls", CALLS, []),
        ("dropped", DROPPED, []),
    ):
        path = folder / "data" / config / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        write_parquet(path, shape, held)
    ours = "license: other\nlicense_name: see-the-licence-section\n"
    card = CARD.read_text(encoding="utf-8").replace(ours, "license: cc-by-sa-4.0\n", 1)
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "manifest.json").write_text('{"version": "0.1.0"}\n', encoding="utf-8")
    (folder / "advisories.json").write_text("[]\n", encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "figures" / "lengths.svg").write_text("<svg/>\n", encoding="utf-8")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n", encoding="utf-8")
    return folder


def plain_set(folder: Path) -> Path:
    return make_set(folder, PROMPT_COMPLETION, [own_row(place) for place in range(ROWS)])


def preference_set(folder: Path) -> Path:
    rows = [
        pair(f"Which of {place} and {place + 3} is larger, and why?", f"{place + 3}.", f"{place}.")
        for place in range(20)
    ]
    return make_set(folder, PREFERENCE, rows)


def pulled(main: Path, to: Path, edit: Edit) -> Path:
    """The files of a pull request: those of main with an edit."""
    shutil.copytree(main, to, symlinks=True)
    edit(to)
    return to


def rows_of(pull: Path) -> list[Row]:
    return list(read_parquet(pull / DEFAULT))


def with_rows(change: Callable[[list[Row]], Iterable[Row]], schema: Schema | None = None) -> Edit:
    """Rewrite the rows of `default` with the declared schema."""

    def edit(pull: Path) -> None:
        write_parquet(pull / DEFAULT, schema or PROMPT_COMPLETION, list(change(rows_of(pull))))

    return edit


def with_row(place: int, **columns: Any) -> Edit:
    """Set columns of one row."""

    def change(rows: list[Row]) -> list[Row]:
        rows[place] = {**rows[place], **columns}
        return rows

    return with_rows(change)


def with_table(change: Callable[[pa.Table], pa.Table]) -> Edit:
    """Rewrite the file of `default` with another schema, as pyarrow writes it by default."""

    def edit(pull: Path) -> None:
        pq.write_table(change(pq.read_table(pull / DEFAULT)), pull / DEFAULT)

    return edit


def with_given(*rows: Any, name: str = GIVEN) -> Edit:
    """Contribute new rows as JSON Lines."""
    return with_file(name, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))


def with_file(name: str, content: str | bytes, mode: int = 0o644) -> Edit:
    """Write any file."""

    def edit(pull: Path) -> None:
        path = pull / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    return edit


def with_card(old: str, new: str) -> Edit:
    """Replace words of the card."""

    def edit(pull: Path) -> None:
        text = (pull / "README.md").read_text(encoding="utf-8")
        assert old in text
        (pull / "README.md").write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def with_limits(words: str) -> Edit:
    """Add a paragraph to the card's Limits."""
    return with_card("<!-- /words: Limits -->", f"\n{words}\n<!-- /words: Limits -->")


def new_row(prompt: str, answer: str) -> Row:
    """A row as a person writes it, without an id."""
    return {"prompt": user(prompt), "completion": assistant(answer)}
