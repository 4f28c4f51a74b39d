"""potstill show: a draft or a released set: its counts, its rows as chats, and why they are so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import UsageError
from builders.set_names import set_name
from scripts.command_line import (
    Parser,
    add_full,
    add_hub_data,
    add_json,
    add_work,
    count,
    path,
    print_out,
    print_paged,
    terminal,
    text,
)
from scripts.diff import named_folder

if TYPE_CHECKING:
    from builders.release.set_rows import SetRows

EXAMPLES = """\
  potstill show my-set
  potstill show my-set --dropped "too similar" --rows 20
  potstill show my-set-v0.1.0 --config calls --full
  potstill show org/set@v1.0.0 --why 46693095
  potstill show my-set --page my-set.html
"""
_ROWS = 5
_ONE_OF = ("config", "dropped", "id", "why", "page")


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "name",
        type=text,
        metavar="NAME",
        help="A set (its newest draft is shown), the folder of a draft or a release, or a set on "
        "a Hub such as org/set@v1.0.0.",
    )
    parser.add_argument(
        "--rows",
        type=count(0),
        default=_ROWS,
        metavar="N",
        help=f"Show N rows, kept and dropped each (default: {_ROWS}).",
    )
    parser.add_argument(
        "--dropped",
        type=text,
        nargs="?",
        const=True,
        metavar="REASON",
        help="Show only dropped rows; with a reason, those dropped for it.",
    )
    parser.add_argument("--config", type=text, metavar="CONFIG", help="Show rows of this config.")
    add_full(parser)
    parser.add_argument(
        "--id", type=text, metavar="ID", help="Show the row or call whose id begins with ID."
    )
    parser.add_argument(
        "--why",
        type=text,
        metavar="ID",
        help="Show the whole chain of a row or call: source, calls, judgements, gates, versions.",
    )
    parser.add_argument(
        "--page",
        type=path,
        metavar="FILE",
        help="Write everything to this .html file: one page, which loads nothing from a network.",
    )
    add_work(parser)
    add_json(parser)
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Print the table and some rows, or the rows that were asked for, or one row's chain."""
    from builders.release.set_rows import set_rows

    asked = [f"--{name}" for name in _ONE_OF if getattr(given, name) is not None]
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} are both given; give one of them")
    with _folder(given) as (folder, place):
        rows = set_rows(folder)
        if given.page is not None:
            print_out(_page(rows, given))
        elif given.json:
            print_out(json.dumps(_chain(rows, given) or _data(rows, given, place), default=str))
        else:
            print_paged("\n\n".join(_texts(rows, given, place)))
    return 0


def _page(rows: SetRows, given: argparse.Namespace) -> str:
    from builders.page.page import write_page

    size = write_page(rows, given.page)
    if given.json:
        return json.dumps({"page": str(given.page), "bytes": size})
    return f"wrote {given.page} ({size / 1e6:,.1f} MB); open it in a browser"


@contextmanager
def _folder(given: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """The set's folder, and its name for a person: that of a set on a Hub is as it was given."""
    from builders.drafting.draft import last_draft, load_draft
    from builders.sets import by_path, names_set, set_home

    folder = Path(by_path(given.name))
    home = set_home(given.name, given.work)
    if home is None and (folder / "drafts").is_dir():
        home = folder
    if home is not None:
        draft = last_draft(home).folder
    elif folder.suffix == ".md" or (names_set(given.name) and not folder.is_dir()):
        draft = load_draft(given.name, given.work).folder
    else:
        with named_folder(given.name, given) as found:
            yield found, given.name if set_name(given.name) else str(found)
        return
    yield draft, str(draft)


def _chain(rows: SetRows, given: argparse.Namespace) -> dict[str, Any] | None:
    from builders.release.row_chain import row_chain

    return None if given.why is None else row_chain(rows, given.why)


def _data(rows: SetRows, given: argparse.Namespace, place: str) -> dict[str, Any]:
    kind = "draft" if "run" in rows.facts else "set"
    return {**rows.facts, kind: place, "rows": _chosen(rows, given)}


def _chosen(rows: SetRows, given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The rows that were asked for, by config."""
    if given.id is not None:
        identity, configs = rows.whole_id(given.id)
        return {config: [*rows.with_ids(config, [identity]).values()] for config in configs}
    if given.dropped is not None:
        reason = None if given.dropped is True else given.dropped
        return {"dropped": [*islice(rows.dropped(reason), given.rows)]}
    config = given.config or "default"
    found = rows.dropped() if config == "dropped" else rows.rows(config)
    chosen = {config: [*islice(found, given.rows)]}
    if given.config is None:
        chosen["dropped"] = [*islice(rows.dropped(), given.rows)]
    return chosen


def _texts(rows: SetRows, given: argparse.Namespace, place: str) -> Iterator[str]:
    """What is printed, in paragraphs."""
    from builders.drafting.row_view import inert, rendered, row_view
    from builders.drafting.summary import facts_table
    from builders.release.row_chain import chain_view

    width, colour = terminal()
    if chain := _chain(rows, given):
        yield rendered(chain_view(chain), width=width, colour=colour, full=True)
        return
    if all(getattr(given, name) is None for name in _ONE_OF) and rows.facts:
        yield inert(facts_table(rows.facts, place))
    full = given.full or given.id is not None
    for config, some in _chosen(rows, given).items():
        if not some and given.rows and (given.config or given.dropped):
            yield "no row was dropped" if config == "dropped" else f"{config} has no rows"
        for row in some:
            yield rendered(row_view(row, config), width=width, colour=colour, full=full)
