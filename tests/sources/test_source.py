"""Where a set starts from: a file, a folder or a Hub dataset, and the revision that was read."""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.sources.records import readable
from builders.sources.source import Source, shown_name, skipped_files, source_records


def lines(*prompts: str) -> str:
    return "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)


def prompts(source: Source) -> list[str]:
    return [row["prompt"] for _, row in readable(source_records(source)[0])]


def test_the_revision_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines("a", "b"))
    records, revision = source_records(Source(place=str(path)))
    assert [row["prompt"] for _, row in records] == ["a", "b"]
    assert revision == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def places(source: Source) -> list[str]:
    return [place for place, _ in source_records(source)[0]]


def test_every_file_of_a_folder_is_read_with_its_own_columns(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "a.jsonl").write_text('{"prompt": "a", "nr": 1}\n')
    (folder / "b" / "c.csv").write_text("prompt;other\nb;x\n")
    for name in ("README.md", "LICENSE.txt", "state.json", ".hidden.jsonl", "code.py"):
        (folder / name).write_text('{"prompt": "no"}\n')
    assert prompts(Source(place=str(folder))) == ["a", "b"]
    assert places(Source(place=str(folder))) == ["a.jsonl, line 1", "b/c.csv, line 2"]


def test_the_files_of_a_folder_that_are_not_read_are_listed(folder: Path) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "a.jsonl").write_text('{"prompt": "a"}\n')
    names = ("data/b.zip", "c.PDF", "data/notes.TXT", ".d.pdf", "README.pdf", "state.json")
    for name in (*names, "notes.txt.gz"):
        (folder / name).write_bytes(b"{}")
    (folder / "gone.jsonl").symlink_to("nowhere")
    (folder / "linked").symlink_to("data")
    place = str(folder)
    skipped = ["c.PDF", "data/b.zip", "data/notes.TXT", "gone.jsonl", "linked", "notes.txt.gz"]
    assert skipped_files(Source(place=place)) == skipped
    assert prompts(Source(place=place)) == ["a"]
    assert not skipped_files(Source(place=f"{place}/data/a.jsonl"))
    (folder / "default.parquet").write_bytes(b"")  # now it is a draft
    assert not skipped_files(Source(place=place))


def test_a_folder_of_texts_is_read(folder: Path) -> None:
    (folder / "a.txt").write_text("One?\nTwo?\n")
    assert places(Source(place=str(folder))) == ["a.txt, line 1", "a.txt, line 2"]


def test_the_revision_of_a_folder_changes_with_a_name_or_a_byte(folder: Path) -> None:
    (folder / "a.jsonl").write_text(lines("a"))
    _, first = source_records(Source(place=str(folder)))
    assert first.startswith("sha256:") and first == source_records(Source(place=str(folder)))[1]
    (folder / "a.jsonl").rename(folder / "b.jsonl")
    _, renamed = source_records(Source(place=str(folder)))
    (folder / "b.jsonl").write_text(lines("b"))
    _, changed = source_records(Source(place=str(folder)))
    assert len({first, renamed, changed}) == 3


def test_all_splits_of_a_folder_are_read_unless_one_is_named(folder: Path) -> None:
    (folder / "train.jsonl").write_text(lines("a"))
    (folder / "test.jsonl").write_text(lines("b"))
    assert prompts(Source(place=str(folder))) == ["b", "a"]
    assert prompts(Source(place=str(folder), split="test")) == ["b"]
    files = [{"split": name, "path": f"{name}.jsonl"} for name in ("train", "test")]
    card(folder, [{"config_name": "default", "data_files": files}])
    assert prompts(Source(place=str(folder))) == ["a", "b"]
    with pytest.raises(InputError, match=r"has no split 'dev'; there are train, test; name one"):
        source_records(Source(place=str(folder), split="dev"))


def card(folder: Path, configs: list[Any]) -> None:
    (folder / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")


def test_one_of_several_configs_has_to_be_named(folder: Path) -> None:
    for name in ("easy", "hard"):
        (folder / f"{name}.jsonl").write_text(lines(name))
    configs = [
        {"config_name": name, "data_files": f"{name}.jsonl"} for name in ("easy", "hard", "default")
    ]
    card(folder, configs[:2])
    assert prompts(Source(place=str(folder), config="hard")) == ["hard"]
    with pytest.raises(InputError, match=r"has 2 configs; there are easy, hard; name one with"):
        source_records(Source(place=str(folder)))
    with pytest.raises(InputError, match=r"no config 'hart'; .* did you mean 'hard'"):
        source_records(Source(place=str(folder), config="hart"))
    (folder / "default.jsonl").write_text(lines("all"))
    card(folder, configs)
    assert prompts(Source(place=str(folder))) == ["all"]
    assert skipped_files(Source(place=str(folder))) == ["easy.jsonl", "hard.jsonl"]
    assert skipped_files(Source(place=str(folder), config="hard")) == []
    with pytest.raises(InputError, match=r"easy\.jsonl is a file, which has no configs"):
        source_records(Source(place=str(folder / "easy.jsonl"), config="hard"))
    for place in (folder, folder / "easy.jsonl"):
        with pytest.raises(InputError, match=r"this machine and has no revisions; leave out --rev"):
            source_records(Source(place=str(place), config="hard", revision="v1"))


def test_a_folder_without_data_is_named(folder: Path) -> None:
    (folder / "README.md").write_text("Nothing here.")
    with pytest.raises(InputError, match=r"set holds no \.jsonl, .* name another folder"):
        source_records(Source(place=str(folder)))


def test_a_pipe_is_read_once_and_recorded_like_a_file(tmp_path: Path) -> None:
    content = b'{"prompt": "a"}\n{"prompt": "b"}\n'
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    records, revision = source_records(Source(place=str(pipe)))
    writer.join()
    assert [*records] == [("pipe, line 1", {"prompt": "a"}), ("pipe, line 2", {"prompt": "b"})]
    assert revision == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_source_is_shown_by_the_last_part_of_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "set")
    names = [".", "../set", "org/name", "a.jsonl", "..", "-"]
    assert [*map(shown_name, names)] == [
        "set",
        "set",
        "org/name",
        "a.jsonl",
        tmp_path.name,
        "stdin",
    ]


def test_a_device_is_no_source() -> None:
    with pytest.raises(InputError, match=r"'/dev/null' is a terminal, a device or a socket"):
        source_records(Source(place="/dev/null"))


def test_a_file_that_is_not_there_is_named_with_what_may_be_given() -> None:
    with pytest.raises(
        InputError, match=r"there is no file 'seeds\.jsnl'; give a \.jsonl, .* org/name"
    ):
        source_records(Source(place="seeds.jsnl"))


READ = """
    from builders.errors import InputError
    from builders.sources.source import Source, shown_name, skipped_files, source_records
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


@pytest.mark.slow
def test_a_hub_dataset_is_read_whole_or_by_the_config_and_split_that_are_named(
    hub: Any, repo: str, tmp_path: Path
) -> None:
    files = {"easy/train": 2, "easy/test": 1, "hard/train": 3}
    configs = [
        {
            "config_name": config,
            "data_files": [
                {"split": name.partition("/")[2], "path": f"{name}.jsonl"}
                for name in files
                if name.startswith(config)
            ],
        }
        for config in ("easy", "hard")
    ]
    content = {f"{name}.jsonl": lines(*map(str, range(rows))) for name, rows in files.items()}
    content["README.md"] = f"---\n{json.dumps({'configs': configs})}\n---\n"
    for name, text in content.items():
        hub.api().upload_file(
            path_or_fileobj=text.encode(), path_in_repo=name, repo_id=repo, repo_type="dataset"
        )
    code = """
        from builders.errors import InputError
        from builders.sources.source import Source, shown_name, skipped_files, source_records
        found = []
        for given in {given!r}:
            try:
                records, _ = source_records(Source(place={place!r}, **given))
                found.append([place for place, _ in records])
            except InputError as error:
                found.append(str(error))
        report(found)
    """
    given: list[dict[str, str]] = [
        {"config": "hard"},
        {"config": "easy"},
        {"config": "easy", "split": "test"},
        {},
        {"config": "eazy"},
        {"config": "easy", "split": "dev"},
    ]
    hard, easy, test, no_config, no_such, no_split = hub.python(
        code.format(given=given, place=repo), tmp_path / "hf"
    )
    assert hard == [f"{repo}, split train, row {number}" for number in (1, 2, 3)]
    assert len(easy) == 3 and test == [f"{repo}, split test, row 1"]
    assert "has 2 configs; there are easy, hard; name one with --config" in no_config
    assert "no config 'eazy'; there are easy, hard; did you mean 'easy'" in no_such
    assert "has no split 'dev'; there are train, test; name one with --split" in no_split


@pytest.mark.slow
def test_the_files_of_a_hub_dataset_that_do_not_go_together_are_named(
    hub: Any, repo: str, tmp_path: Path
) -> None:
    code = """
        from builders.errors import InputError
        from builders.sources.seed_forms import read_prompts
        from builders.sources.source import Source
        try:
            loaded = read_prompts(Source(place={place!r}))
            report([len(loaded.rows), [*loaded.parts], loaded.left_out])
        except InputError as error:
            report(str(error))
    """

    def read(**files: str) -> Any:
        for name, text in files.items():
            hub.api().upload_file(
                path_or_fileobj=text.encode(),
                path_in_repo=name.replace("_", "."),
                repo_id=repo,
                repo_type="dataset",
            )
        return hub.python(code.format(place=repo), tmp_path / "hf")

    rows, parts, left_out = read(a_jsonl=lines("a", "b"), b_jsonl=lines("c"), c_csv="prompt\nd\n")
    assert rows == 3 and parts == [f"{repo}, split train"]
    [(place, reason, why, before)] = left_out
    assert (place, reason, before) == (f"{repo}/c.csv", "unreadable", 3) and "another kind" in why
    error = read(b_jsonl='{"prompt": "c", "topic": "t"}\n')
    assert "its files differ in columns (topic" in error and "give its folder" in error
