"""Cards on the embedded Hub: invalid ones are refused by every route, and their text is kept."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from tests.hubs import Hub

GOOD = "---\nlicense: mit\npretty_name: A set\n---\n\n# A set\n\nWords of a person.\n"
BAD = {
    "broken YAML": "---\nlicense: [mit\n---\n",
    "an unknown licence": "---\nlicense: my-own\n---\n",
    "an unknown task": "---\ntask_ids: [test]\n---\n",
    "a config without a name": "---\nconfigs:\n- data_files: x\n---\n",
    "two defaults": "---\nconfigs:\n- {config_name: a, default: true}\n"
    "- {config_name: b, default: true}\n---\n",
    "no mapping": "---\n- license\n---\n",
}


def readme(hub: Hub, repo: str) -> str:
    file = hub.api().hf_hub_download(repo, "README.md", repo_type="dataset")
    return Path(file).read_text("utf-8")


def upload(hub: Hub, repo: str, text: str, path: str = "README.md") -> Any:
    return hub.api().upload_file(
        path_or_fileobj=text.encode(), path_in_repo=path, repo_id=repo, repo_type="dataset"
    )


@each("text", BAD)
def test_a_card_that_the_hub_refuses_is_refused_by_the_client_and_by_a_direct_commit(
    hub: Hub, repo: str, text: str
) -> None:
    head = hub.api().dataset_info(repo).sha
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        upload(hub, repo, text)
    content = base64.b64encode(text.encode()).decode()
    for path in ("README.md",):
        value = {"path": path, "content": content, "encoding": "base64"}
        status, response = hub.commit_lines(repo, {"key": "file", "value": value})
        assert status == 400
        assert "README.md" in response["error"]
    assert hub.api().dataset_info(repo).sha == head
    upload(hub, repo, text, "notes/README.md")  # no card


def test_the_refusal_of_a_licence_names_the_list(hub: Hub, repo: str) -> None:
    with pytest.raises(ValueError, match=r'"license" must be one of \[.*apache-2\.0.*mit'):
        upload(hub, repo, BAD["an unknown licence"])


def test_a_card_without_metadata_is_accepted_with_a_warning(hub: Hub, repo: str) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        upload(hub, repo, "# A set\n")
    assert readme(hub, repo) == "# A set\n"


def test_a_card_is_pushed_and_read_by_the_client_s_own_class(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import DatasetCard, constants

    card = DatasetCard(GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.endpoint)
        card.validate()
        with pytest.raises(ValueError, match="- Error: "):
            DatasetCard(BAD["an unknown licence"]).validate()
    upload(hub, repo, str(card))
    assert readme(hub, repo) == str(card)
    info = hub.api().dataset_info(repo)
    assert info.card_data.license == "mit"
    assert "license:mit" in info.tags


def validate(hub: Hub, body: bytes, **headers: str) -> tuple[int, bytes]:
    given = {"Content-Type": "application/json", **headers}
    status, _, response = hub.raw("POST", "/api/validate-yaml", body, by=None, headers=given)
    return status, response


def test_a_card_is_validated_with_a_response_in_json_or_in_text(hub: Hub) -> None:
    bad = json.dumps({"content": BAD["an unknown licence"], "repoType": "dataset"}).encode()
    status, response = validate(hub, bad)
    assert status == 400
    assert json.loads(response)["errors"][0]["message"].startswith('"license" must be one of')
    status, response = validate(hub, bad, Accept="text/plain")
    assert status == 400
    assert response.startswith(b'- Error: "license" must be one of')
    status, response = validate(hub, json.dumps({"content": GOOD, "repoType": "dataset"}).encode())
    assert (status, json.loads(response)) == (200, {"errors": [], "warnings": []})


HOSTILE = [
    "---\na: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{name}: &{name} [{','.join([f'*{above}'] * 9)}]\n"
        for above, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "---\n",
    "---\nx: &x {k: 1}\n" + "y: {<<: [" + ",".join(["*x"] * 9) + "]}\n---\n",
    "---\na: " + "[" * 500 + "\n---\n",
    "---\na: !!timestamp never\n---\n",
    "---\na: !!python/object/apply:os.system [id]\n---\n",
    "---\nsha: .nan\nb: 2024-01-01\nc: !!binary aGk=\n? 1\n: !!set {x}\n---\n",
    "---\nlicense: {a: b}\ntags: {a: [b]}\nconfigs: {}\n---\n",
    "---\n? [a, b]\n: c\n---\n",
    f"---\na: 0x{'f' * 5000}\n---\n",
]


@each("text", HOSTILE)
@each("type_", ["dataset", "model"])
def test_a_hostile_card_costs_the_server_nothing(hub: Hub, text: str, type_: str) -> None:
    """Whether it is refused or kept, the repository and the lists can be read without delay."""
    api = hub.api()
    name = api.create_repo(f"ann/odd-card-{type_}", repo_type=type_, exist_ok=True,
                           token=hub.tokens["ann"]).repo_id  # fmt: skip
    line = {"key": "file", "value": {"path": "README.md", "content": text}}
    header = {"key": "header", "value": {"summary": "odd"}}
    body = "".join(json.dumps(one) + "\n" for one in (header, line)).encode()
    status, _, _ = hub.raw("POST", f"/api/{type_}s/{name}/commit/main", body, by="ann")
    assert status in (200, 400)
    status, _, body = hub.raw("GET", f"/api/{type_}s/{name}")
    assert status == 200
    assert len(body) < 1_000_000
    assert hub.raw("GET", f"/api/{type_}s?full=1&author=ann")[0] == 200
    harmless = "sha: .nan" in text
    assert validate(hub, json.dumps({"content": text}).encode())[0] == (200 if harmless else 400)


@each(
    "body", [b"", b"[]", b"{}", b'{"content": 3}', b'{"content": "\\ud800"}', b"\xff", b"[" * 9999]
)
def test_a_validation_without_a_card_is_refused(hub: Hub, body: bytes) -> None:
    assert validate(hub, body)[0] == 400
