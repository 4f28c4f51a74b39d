"""What people changed in the data on a Hub is in the next release, or that is refused."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.hub.publish import ReleasePlan
from builders.recipe import row_id
from builders.schema import Row, assistant, user
from tests.cases import each
from tests.hub.plans import WAYS, released, tags_of, tree_of

Make = Callable[..., ReleasePlan]
Files = dict[str, bytes | None]
Edit = Callable[[list[Row]], Sequence[Row]]
DATA = "data/default/train-00000-of-00001.parquet"
CALLS = "data/calls/train-00000-of-00001.parquet"
MORE = "data/default/train-00001-of-00002.parquet"
NEW = row_id("A prompt by a person")


def content(hub: Any, repo: str, name: str) -> bytes:
    path = hub.api().hf_hub_download(repo, name, repo_type="dataset")
    return Path(path).read_bytes()


def put(hub: Any, repo: str, files: Files, **how: Any) -> Any:
    """Commit files, as a person who edits a set; None deletes one."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [
        CommitOperationDelete(name) if data is None else CommitOperationAdd(name, data)
        for name, data in files.items()
    ]
    return hub.api().create_commit(
        repo, operations, commit_message="Mine", repo_type="dataset", **how
    )


def parquet(rows: list[Row]) -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), made)
    return made.getvalue()


def with_rows(
    hub: Any, repo: str, name: str, change: Callable[[list[Row]], Sequence[Row]]
) -> bytes:
    """The content of a file of rows with a change."""
    table = pq.read_table(pa.BufferReader(content(hub, repo, name)))
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), made)
    return made.getvalue()


def corrected(rows: list[Row]) -> list[Row]:
    return [{**rows[0], "completion": assistant("Corrected by a person.")}, *rows[1:]]


def one_more(rows: list[Row]) -> list[Row]:
    text = "A prompt by a person"
    return [*rows, {"id": row_id(text), "prompt": user(text), "completion": assistant("Yes.")}]


CHANGES: dict[str, tuple[Callable[..., Files], str]] = {
    "a row is corrected": (
        lambda rows: {DATA: rows(DATA, corrected)},
        rf"{DATA} \(row FIRST\); ",
    ),
    "a row is removed": (
        lambda rows: {DATA: rows(DATA, lambda held: held[1:])},
        rf"{DATA} \(row FIRST\); ",
    ),
    "a row is added in a file of its own": (
        lambda rows: {MORE: rows(DATA, lambda _: one_more([]))},
        rf"{MORE} \(row {NEW}\); ",
    ),
    "the calls are shortened": (
        lambda rows: {CALLS: rows(CALLS, lambda held: held[:2])},
        rf"{CALLS} \(rows (\w{{16}}, ){{3}}\w{{16}} and \d+ more\);",
    ),
    "a file of rows is removed": (lambda rows: {CALLS: None}, rf"{CALLS} \(rows .* more\);"),
    "files that are no rows": (
        lambda rows: {"data/extra.parquet": b"x", CALLS: b"y", "figures/a.svg": b"z"},
        rf"{CALLS} \(changed\), data/extra.parquet \(added\), figures/a.svg \(added\);",
    ),
    "a config without ids": (
        lambda rows: {"data/more/a.parquet": parquet([{"text": "a"}])},
        r"data/more/a.parquet \(added\); ",
    ),
    "a config with ids": (
        lambda rows: {"data/more/a.parquet": parquet([{"id": "a"}, {"id": "b"}])},
        r"data/more/a.parquet \(rows a, b\); ",
    ),
    "a column is added": (
        lambda rows: {DATA: parquet([{"id": "FIRST", "good": True}])},
        rf"{DATA} \(rows (\w{{16}}, ){{3}}\w{{16}} and \d+ more\);",
    ),
    "contributed rows that nobody reviewed": (
        lambda rows: {"contributed/rows.jsonl": b"{}\n"},
        r"contributed/rows.jsonl \(added\);.*`potstill review REPO NUMBER --merge`",
    ),
}


def test_changes_that_the_new_release_lacks_are_refused_with_their_files_and_rows_wherever_it_goes(
    hub: Any, repo: str, make: Make
) -> None:
    first = make("0.1.0")
    released(hub, first)
    names = {"FIRST": next(first.draft.stream("default"))["id"], "REPO": repo}
    later = make("0.2.0")
    api, tree = hub.api(), tree_of(hub, repo)
    was = {name: content(hub, repo, name) for name in tree}
    for change, (files, refused) in CHANGES.items():
        put(hub, repo, files(lambda name, edit: with_rows(hub, repo, name, edit)))
        before = tree_of(hub, repo)
        expected = rf"the data of {repo} at main since v0\.1\.0, .* undo it: {refused}"
        for name, value in names.items():
            expected = expected.replace(name, value)
        for way in ["to main"] if change != "a row is corrected" else WAYS:
            with pytest.raises(InputError) as caught:
                released(hub, later, **WAYS[way])
            assert re.search(expected, str(caught.value)), (change, way, str(caught.value))
        assert tree_of(hub, repo) == before
        back: Files = {name: None for name in before if name not in tree}
        put(hub, repo, {**was, **back})
    assert set(tags_of(hub, repo)) == {"v0.1.0"}
    assert not api.list_repo_refs(repo, repo_type="dataset").branches[1:]
    assert released(hub, later).tagged  # all was taken back


def test_a_change_of_data_that_is_in_the_new_release_too_is_no_hindrance(
    hub: Any, repo: str, make: Make
) -> None:
    first = make("0.1.0")
    released(hub, first)
    pull = put(hub, repo, {DATA: with_rows(hub, repo, DATA, corrected)}, create_pr=True)
    assert released(hub, make("0.1.1", rows=first.draft.rows(), words={"Use": "x"}), dry_run=True)
    hub.api().merge_pull_request(repo, pull.pr_num, repo_type="dataset")
    rows = one_more(corrected(first.draft.rows()))
    assert released(hub, make("0.2.0", rows=rows)).tagged
    # the same rows in another order and another file are no change
    put(hub, repo, {DATA: with_rows(hub, repo, DATA, lambda held: held[::-1])})
    assert released(hub, make("0.3.0", rows=rows, words={"Use": "Mind the gap."})).tagged


@each("data", {"no rows": b"x", "other rows": parquet([{"text": "a"}])})
def test_what_is_no_contribution_is_refused_in_one_line(
    data: bytes, hub: Any, repo: str, make: Make
) -> None:
    if not tags_of(hub, repo):
        released(hub, make("0.1.0"))
    put(hub, repo, {"data/contributed/a.parquet": data})
    with pytest.raises(InputError, match=r"has in data/contributed/ are no contributions"):
        released(hub, make("0.2.0"))


@each("way", ["as a pull request", "to a new branch"])
def test_a_change_of_data_on_the_branch_or_pull_request_of_a_release_is_refused_too(
    way: str, hub: Any, repo: str, make: Make
) -> None:
    if not tags_of(hub, repo):
        released(hub, make("0.1.0"))
    number = released(hub, make("0.2.0"), **WAYS[way]).pull_request
    revision = f"refs/pr/{number}" if number else "next"
    put(hub, repo, {DATA: with_rows(hub, repo, DATA, corrected)}, revision=revision)
    with pytest.raises(InputError, match=rf"at {revision} since v0\.2\.0, .*{DATA} \(row "):
        released(hub, make("0.3.0"), **WAYS[way])


@each("way", ["as a pull request", "to a new branch"])
def test_another_draft_of_a_version_that_was_then_made_on_main_is_no_change_of_people(
    way: str, hub: Any, repo: str, make: Make
) -> None:
    one = f"{repo}-{len(way)}"
    first = make("0.1.0", repository=one)
    released(hub, first)
    released(hub, make("0.2.0", rows=corrected(first.draft.rows()), repository=one), **WAYS[way])
    assert released(hub, make("0.2.0", repository=one)).tagged
    assert released(hub, make("0.3.0", repository=one), **WAYS[way]).changed


def test_a_change_of_data_is_found_when_the_manifest_was_changed_with_it(
    hub: Any, repo: str, make: Make
) -> None:
    import hashlib
    import json

    released(hub, make("0.1.0"))
    data = with_rows(hub, repo, DATA, corrected)
    manifest = json.loads(content(hub, repo, "manifest.json"))
    manifest["files"][DATA] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    put(hub, repo, {DATA: data, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(InputError, match=rf"since v0\.1\.0, .*{DATA} \(row "):
        released(hub, make("0.2.0"))
