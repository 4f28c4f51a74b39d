"""The unmodified `datasets`, its streams and the `hf` command on the embedded Hub, in children.

A user sends large files by Xet, the client's default, or by LFS.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hubs import OWNER, Hub, clean_environment, sha256

pytestmark = pytest.mark.slow

LANES = pytest.mark.parametrize("xet", [False, True], ids=["LFS", "Xet"])
MOSTLY_LFS = pytest.mark.parametrize(
    "xet", [False, pytest.param(True, marks=pytest.mark.matrix)], ids=["LFS", "Xet"]
)

BEGIN = """
from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
first = Dataset.from_dict({"id": [f"{n}" for n in range(500)], "prompt": ["first"] * 500})
second = Dataset.from_dict(
    {"id": [f"{n}" for n in range(300)], "completion": ["second"] * 300, "score": [0.5] * 300}
)
# A Dataset alone would leave the old columns in the card of a config that is there already.
changed = DatasetDict(train=second)
"""


@LANES
def test_a_tag_pins_rows_and_columns_also_when_they_are_streamed(
    hub: Hub, repo: str, tmp_path: Path, xet: bool
) -> None:
    code = f"""
    repo = {repo!r}
    first.push_to_hub(repo)
    api.create_tag(repo, tag="v1", repo_type="dataset")
    changed.push_to_hub(repo)
    api.create_tag(repo, tag="v2", repo_type="dataset")
    result = {{}}
    for revision in ("v1", "v2", None):
        rows = load_dataset(repo, split="train", revision=revision)
        stream = load_dataset(repo, split="train", revision=revision, streaming=True)
        assert list(stream) == rows.to_list()
        result[str(revision)] = [len(rows), rows.column_names]
    api.delete_tag(repo, tag="v1", repo_type="dataset")
    api.create_tag(repo, tag="v1", revision="v2", repo_type="dataset")
    result["moved"] = load_dataset(repo, split="train", revision="v1").column_names
    report(result)
    """
    before = len(hub.requests())
    result = hub.python(BEGIN + unindented(code), tmp_path / "home", xet=xet)
    new = ["id", "completion", "score"]
    assert result == {
        "v1": [500, ["id", "prompt"]],
        "v2": [300, new],
        "None": [300, new],
        "moved": new,
    }
    sent = {line.path.split("/")[1] for line in hub.requests()[before:] if line.method != "GET"}
    assert ("xet" in sent, "lfs" in sent) == (xet, not xet)


@MOSTLY_LFS
def test_configs_are_pushed_side_by_side_and_the_card_s_text_stays(
    hub: Hub, repo: str, tmp_path: Path, xet: bool
) -> None:
    card = "---\nlicense: mit\npretty_name: A set\n---\n\n# A set\n\nWords of a person.\n"
    code = f"""
    repo, card = {repo!r}, {card!r}
    api.upload_file(
        path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repo, repo_type="dataset"
    )
    first.push_to_hub(repo, config_name="one")
    first.select(range(7)).push_to_hub(repo, config_name="one", split="test")
    both = DatasetDict(train=second, test=second.select(range(10)))
    before = both.push_to_hub(repo, config_name="two").oid
    both.push_to_hub(repo, config_name="two")
    from datasets import get_dataset_config_names
    report({{
        "names": sorted(get_dataset_config_names(repo)),
        "one": {{k: len(v) for k, v in load_dataset(repo, "one").items()}},
        "two": {{k: len(v) for k, v in load_dataset(repo, "two").items()}},
        "card": open(hf_hub_download(repo, "README.md", repo_type="dataset")).read(),
        "same": api.dataset_info(repo).sha == before,
    }})
    """
    result = hub.python(BEGIN + unindented(code), tmp_path / "home", xet=xet)
    assert result["names"] == ["one", "two"]
    assert result["one"] == {"train": 500, "test": 7}
    assert result["two"] == {"train": 300, "test": 10}
    assert result["card"].endswith("\n# A set\n\nWords of a person.\n")
    data = hub.api().dataset_info(repo).card_data
    assert (data.license, data.pretty_name) == ("mit", "A set")
    assert sorted(config["config_name"] for config in data.configs) == ["one", "two"]
    assert sorted(info["config_name"] for info in data.dataset_info) == ["one", "two"]
    assert result["same"]  # the same rows again are no commit


@LANES
def test_a_stranger_pushes_rows_as_a_pull_request_that_can_be_loaded_and_merged(
    hub: Hub, repo: str, tmp_path: Path, xet: bool
) -> None:
    code = f"first.push_to_hub({repo!r})"
    hub.python(BEGIN + code, tmp_path / "owner", xet=xet)
    code = f"""
    repo = {repo!r}
    pushed = changed.push_to_hub(repo, create_pr=True)
    result = {{"revision": pushed.pr_revision}}
    result["there"] = load_dataset(repo, split="train", revision="refs/pr/1").column_names
    result["main"] = load_dataset(repo, split="train").column_names
    first.push_to_hub(repo, revision="refs/pr/1", config_name="more")
    result["more"] = len(load_dataset(repo, "more", split="train", revision="refs/pr/1"))
    HfApi(token={hub.tokens[OWNER]!r}).merge_pull_request(repo, 1, repo_type="dataset")
    result["merged"] = load_dataset(repo, "default", split="train").column_names
    report(result)
    """
    result = hub.python(BEGIN + unindented(code), tmp_path / "ann", by="ann", xet=xet)
    assert result == {
        "revision": "refs/pr/1",
        "there": ["id", "completion", "score"],
        "main": ["id", "prompt"],
        "more": 500,
        "merged": ["id", "completion", "score"],
    }


def test_concurrent_pushes_are_reported_and_no_rows_are_lost(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    """`datasets` sends the parent of its commit; the second push gets a 412 and is repeated."""
    code = f"""
    import threading
    from huggingface_hub.errors import HfHubHTTPError
    statuses = []
    def push(number):
        while True:
            try:
                first.push_to_hub({repo!r}, config_name=f"config{{number}}")
            except HfHubHTTPError as error:
                statuses.append(error.response.status_code)
            else:
                return
    threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    from datasets import get_dataset_config_names
    files = api.list_repo_files({repo!r}, repo_type="dataset")
    report([statuses, sorted(files), sorted(get_dataset_config_names({repo!r}))])
    """
    statuses, files, names = hub.python(BEGIN + unindented(code), tmp_path / "home")
    assert set(statuses) <= {412}
    assert names == [f"config{number}" for number in range(4)]
    wanted = [f"{name}/train-00000-of-00001.parquet" for name in names]
    assert files == sorted([".gitattributes", "README.md", *wanted])


def test_a_private_set_is_loaded_with_the_token_only(hub: Hub, repo: str, tmp_path: Path) -> None:
    hub.api().update_repo_settings(repo, private=True, repo_type="dataset")
    hub.python(BEGIN + f"first.push_to_hub({repo!r}, private=True)", tmp_path / "owner")
    code = f"""
    result = []
    for streaming in (False, True):
        try:
            result.append(len(list(load_dataset({repo!r}, split="train", streaming=streaming))))
        except Exception as error:
            result.append(type(error).__name__)
    report(result)
    """
    assert hub.python(BEGIN + unindented(code), tmp_path / "owner2") == [500, 500]
    for who in (None, "ann"):
        result = hub.python(BEGIN + unindented(code), tmp_path / f"{who}", by=who)
        assert result == ["DatasetNotFoundError"] * 2


def test_what_was_loaded_once_is_there_offline(hub: Hub, repo: str, tmp_path: Path) -> None:
    hub.python(BEGIN + f"first.push_to_hub({repo!r})", tmp_path / "owner")
    load = BEGIN + f"report(len(load_dataset({repo!r}, split='train')))"
    assert hub.python(load, tmp_path / "reader") == 500
    before = len(hub.requests())
    assert hub.python(load, tmp_path / "reader", HF_HUB_OFFLINE="1") == 500
    assert len(hub.requests()) == before


@MOSTLY_LFS
def test_a_folder_goes_up_and_comes_down_by_the_hf_command(
    hub: Hub, repo: str, tmp_path: Path, xet: bool
) -> None:
    files = {
        "a.txt": b"text",
        "data/large.bin": bytes(range(256)) * 20_000,
        "data/zeros.parquet": bytes(3_000_000),
    }
    for name, data in files.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(data)
    env = {
        **clean_environment(),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.tokens[OWNER],
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
    }

    def hf(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("hf")), *arguments]
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    hf("upload", repo, str(tmp_path / "up"), ".", "--repo-type", "dataset")
    hf("download", repo, "--repo-type", "dataset", "--local-dir", str(tmp_path / "down"))
    for name, data in files.items():
        assert sha256((tmp_path / "down" / name).read_bytes()) == sha256(data)
    assert OWNER in hf("auth", "whoami")


def test_a_new_upload_uses_chunks_that_the_client_knows_from_an_older_one(
    hub: Hub, repo: str, tmp_path: Path
) -> None:
    """The Xet client sends only what is new, to another repository too."""
    other = f"{repo}-other"
    hub.api().create_repo(other, repo_type="dataset")
    code = f"""
    import hashlib, random
    chance = random.Random(5)
    base = chance.randbytes(6_000_000)
    result = []
    for repo, data in (
        ({repo!r}, base),
        ({repo!r}, base[:3_000_000] + b"between" + base[3_000_000:]),
        ({other!r}, base[1_000_000:] + chance.randbytes(100_000)),
    ):
        api.upload_file(
            path_or_fileobj=data, path_in_repo="a.bin", repo_id=repo, repo_type="dataset"
        )
        content = open(hf_hub_download(repo, "a.bin", repo_type="dataset"), "rb").read()
        result.append(hashlib.sha256(content).hexdigest() == hashlib.sha256(data).hexdigest())
    report(result)
    """
    result = hub.python(BEGIN + unindented(code), tmp_path / "home", xet=True)
    assert result == [True] * 3
    kept = sum(path.stat().st_size for path in (hub.data / "xet").rglob("*") if path.is_file())
    assert kept > 6_000_000


def test_a_server_that_lost_its_data_refuses_the_xet_client_at_once(
    hub: Hub, tmp_path: Path
) -> None:
    """The client's cache outlives the server's store: the upload is refused, without retries."""
    repo = f"{OWNER}/set"
    data = f"""
    import random, time
    api.create_repo({repo!r}, repo_type="dataset", exist_ok=True)
    data = random.Random(5).randbytes(1_000_000)
    started = time.monotonic()
    try:
        api.upload_file(
            path_or_fileobj=data, path_in_repo="a.bin", repo_id={repo!r}, repo_type="dataset"
        )
        report(["done", time.monotonic() - started])
    except Exception as error:
        report([str(error)[:500], time.monotonic() - started])
    """
    results: list[Any] = []
    for number in range(2):
        own = Hub(tmp_path / f"own{number}").start()
        try:
            results.append(own.python(BEGIN + unindented(data), tmp_path / "home", xet=True))
            assert [line for line in own.requests() if line.status >= 500] == []
        finally:
            own.kill()
    assert results[0][0] == "done"
    assert results[1][1] < 20, json.dumps(results)


def unindented(code: str) -> str:
    import textwrap

    return textwrap.dedent(code)
