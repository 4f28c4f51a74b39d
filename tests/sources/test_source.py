"""Where a set starts from: a file, a folder or a Hub dataset, and the revision that was read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.sources.source import Source, source_records


def lines(*prompts: str) -> str:
    return "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)


def prompts(source: Source) -> list[str]:
    return [row["prompt"] for _, row in source_records(source)[0]]


def test_the_revision_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines("a", "b"))
    records, revision = source_records(Source(place=str(path)))
    assert [row["prompt"] for _, row in records] == ["a", "b"]
    assert revision == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_read_as_load_dataset_reads_it_from_train_unless_another_split_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines("a"))
    (folder / "test.jsonl").write_text(lines("b"))
    assert prompts(Source(place=str(folder))) == ["a"]
    assert prompts(Source(place=str(folder), split="test")) == ["b"]
    files = [{"split": name, "path": f"{name}.jsonl"} for name in ("test", "train")]
    card = {"configs": [{"config_name": "default", "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    assert prompts(Source(place=str(folder))) == ["a"]
    with pytest.raises(InputError, match=r"has no split 'dev'; there are test, train; name one"):
        source_records(Source(place=str(folder), split="dev"))


def test_a_file_that_is_not_there_is_named_with_what_may_be_given() -> None:
    with pytest.raises(
        InputError, match=r"there is no file 'seeds\.jsnl'; give a \.jsonl, .* org/name"
    ):
        source_records(Source(place="seeds.jsnl"))


READ = """
    from builders.errors import InputError
    from builders.sources.source import Source, source_records
    try:
        records, revision = source_records(Source(place={place!r}, revision={revision!r}))
        report([len(list(records)), revision])
    except InputError as error:
        report([0, str(error)])
"""


@pytest.mark.slow
def test_a_hub_dataset_is_recorded_with_the_commit_at_which_it_was_read(
    hub: Any, repo: str, tmp_path: Path
) -> None:
    def pushed(rows: int) -> str:
        text = "".join(json.dumps({"prompt": f"What is {n}?"}) + "\n" for n in range(rows))
        done = hub.api().upload_file(
            path_or_fileobj=text.encode(),
            path_in_repo="data/train.jsonl",
            repo_id=repo,
            repo_type="dataset",
        )
        return str(done.oid)

    def read(revision: str | None = None, **more: str) -> Any:
        code = READ.format(place=repo, revision=revision)
        return hub.python(code, tmp_path / "hf", **more)

    first = pushed(3)
    assert read() == [3, first]
    second = pushed(5)
    hub.api().create_tag(repo, tag="v1", revision=first, repo_type="dataset")
    assert read("v1") == [3, first]
    assert read(HF_HUB_OFFLINE="1") == [
        3,
        first,
    ]  # all that the cache has
    assert read() == [5, second]
    _, why = read(first[:39] + "0", HF_HUB_OFFLINE="1")
    assert "could not be reached" in why
