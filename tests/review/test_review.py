"""`potstill review` on a real Hub: one comment, a verdict, a merge of exactly what was reviewed."""

import json
import os
import re
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from builders.drafting.contributions import CONTRIBUTED
from builders.drafting.files import read_parquet, write_parquet
from builders.errors import HubError, InputError
from builders.hub.connection import Hub as Connection
from builders.recipe import row_id
from builders.release import words
from builders.review.findings import MARK
from builders.review.pull_requests import fetch, merge
from builders.review.webhook_job import pull_requests, watch
from builders.schema import PROMPT_COMPLETION, Row, assistant, user
from scripts import review_job
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import build_words
from tests.hub.plans import read_back_in_process
from tests.hubs import OWNER, Hub
from tests.set_files import shipped_words

REFUSED = 3
DATA = "data/default/train-00000-of-00001.parquet"


class Set(NamedTuple):
    """A released set, and the actions of its maintainer and its contributors."""

    hub: Hub
    repo: str
    folder: Path
    build: list[str]

    def rows(self, revision: str = "main") -> list[Row]:
        path = self.hub.api().hf_hub_download(
            self.repo, DATA, repo_type="dataset", revision=revision, force_download=True
        )
        return list(read_parquet(Path(path)))

    def pull(
        self,
        rows: list[Row] | None = None,
        number: int | None = None,
        by: str = "ann",
        **files: str,
    ) -> int:
        """Open a pull request, or push to the one with this number."""
        from huggingface_hub import CommitOperationAdd

        operations = []
        if rows is not None:
            path = self.folder / "pull.parquet"
            write_parquet(path, PROMPT_COMPLETION, rows)
            operations.append(CommitOperationAdd(DATA, path.read_bytes()))
        operations += [CommitOperationAdd(name, text.encode()) for name, text in files.items()]
        where = {"revision": f"refs/pr/{number}"} if number else {"create_pr": True}
        done = self.hub.api(by).create_commit(
            self.repo, operations, commit_message="Mine", repo_type="dataset", **where
        )
        return number or int(done.pr_num)

    def review(self, number: int, *words: str) -> int:
        return main(["review", self.repo, str(number), *words])

    def comments(self, number: int) -> list[Any]:
        found = self.hub.api().get_discussion_details(self.repo, number, repo_type="dataset")
        return [event for event in found.events if event.type == "comment"]

    def status(self, number: int) -> str:
        found = self.hub.api().get_discussion_details(self.repo, number, repo_type="dataset")
        return str(found.status)

    def head(self) -> str:
        return str(self.hub.api().repo_info(self.repo, repo_type="dataset").sha)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a build that has made its draft."""
    folder = tmp_path_factory.mktemp("built")
    words = [*build_words(folder, name="completions", rows=12), "--licence", "cc0-1.0"]
    assert main(words) == 0
    return words


@pytest.fixture
def released(
    hub: Hub, repo: str, built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Set:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", hub.tokens[OWNER])
    work, mine = built[built.index("--work") + 1], str(tmp_path / "work")
    shutil.copytree(work, mine)
    with pytest.MonkeyPatch.context() as patch:
        read_back_in_process(patch)
        assert main(["release", "completions", "--work", mine, "--to-hub", repo]) == 0
    return Set(hub, repo, tmp_path, [mine if word == work else word for word in built])


def better(rows: list[Row]) -> list[Row]:
    """The same rows with another answer in the first, and one row more."""
    first = {**rows[0], "completion": assistant("A better answer, by a person who knows.")}
    new = "Which river runs through Vienna and Budapest?"
    added = {"id": row_id(new), "prompt": user(new), "completion": assistant("The Danube.")}
    return [first, *rows[1:], added]


def test_a_good_pull_request_gets_one_comment_that_a_push_edits(
    released: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = released.rows()
    number = released.pull(better(rows))
    assert released.review(number, "--comment") == 0
    (first,) = released.comments(number)
    assert first.content.startswith(MARK)
    assert first.author == OWNER
    released.pull([{**rows[0], "completion": assistant(" ")}, *rows[1:]], number)
    capsys.readouterr()
    assert released.review(number, "--comment") == REFUSED
    (second,) = released.comments(number)
    assert second.id == first.id
    assert second.content != first.content
    assert released.status(number) == "open"


def test_the_pull_request_of_a_release_is_named_as_one_and_not_merged(
    released: Set, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = str(released.folder / "work")
    next_words = replace(shipped_words("completions"), version="0.1.1")
    monkeypatch.setattr(words, "words_of", lambda _: next_words)
    with pytest.MonkeyPatch.context() as patch:
        read_back_in_process(patch)
        to = ["release", "completions", "--work", work, "--to-hub", released.repo, "--pr"]
        assert main(to) == 0
    out = capsys.readouterr().out
    assert "then this same command again sets the tag v0.1.1" in out
    assert released.review(1, "--merge") == REFUSED
    out = capsys.readouterr().out
    assert "| release | **not passed** | its title is that of the release v0.1.1" in out
    pull = f"{released.repo}@refs/pr/1"
    assert f"`potstill check {pull}`" in out
    assert released.status(1) == "open"
    assert main(["diff", released.repo, pull]) == 0


def test_what_was_accepted_is_merged_and_the_next_build_keeps_it(
    released: Set, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = released.rows()
    question = "Which mountain of Austria is the highest?"
    row = {"prompt": user(question), "completion": assistant("The Grossglockner.")}
    number = released.pull(better(before), **{"contributed/rows.jsonl": json.dumps(row)})
    assert released.review(number, "--merge") == 0
    assert released.status(number) == "merged"
    assert released.rows() == better(before)
    assert released.rows("v0.1.0") == before
    given = released.hub.api().hf_hub_download(
        released.repo, "data/contributed/train-00000-of-00001.parquet", repo_type="dataset"
    )
    assert pq.read_schema(given).equals(CONTRIBUTED.arrow)
    assert [row["contributor"] for row in read_parquet(Path(given))] == ["ann", "ann", "ann"]

    work = str(released.folder / "work")
    again = ["release", "completions", "--work", work, "--to-hub", released.repo]
    next_words = replace(shipped_words("completions"), version="0.2.0")
    monkeypatch.setattr(words, "words_of", lambda _: next_words)
    assert main(again) == 1
    assert f"--contributed {released.repo}" in capsys.readouterr().err
    assert main([*released.build, "--contributed", released.repo]) == 0
    assert main(again) == 0
    kept = {row["id"]: row for row in released.rows("v0.2.0")}
    assert all(kept[row["id"]] == row for row in better(before)[:1] + better(before)[-1:])
    readme = released.hub.api().hf_hub_download(
        released.repo, "README.md", repo_type="dataset", revision="v0.2.0"
    )
    assert re.search(r"\bann\b", Path(readme).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_refused_pull_request_is_not_merged(released: Set) -> None:
    head = released.head()
    number = released.pull(better(released.rows()), **{"setup.py": "import os"})
    assert released.review(number, "--merge", "--comment") == REFUSED
    assert released.head() == head
    assert released.status(number) == "open"


@pytest.mark.slow
def test_a_push_after_the_review_is_not_merged(released: Set) -> None:
    number = released.pull(better(released.rows()))
    there = Connection(endpoint=released.hub.endpoint, token=released.hub.tokens[OWNER])
    pull = released.folder / "seen" / "pull"
    seen = fetch(there, released.repo, number, released.folder / "seen" / "main", pull)
    released.pull(None, number, **{"evil.py": "import os"})
    head = released.head()
    with pytest.raises(HubError, match="moved"):
        merge(there, seen, [("added", better(released.rows())[-1])], pull)
    assert released.head() == head


@pytest.mark.slow
def test_a_push_at_the_moment_of_the_merge_is_reported(
    released: Set, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import HfApi

    number = released.pull(better(released.rows()))
    really = HfApi.merge_pull_request

    def pushed_before(api: HfApi, *given: Any, **named: Any) -> Any:
        released.pull(None, number, **{"evil.py": "import os"})
        return really(api, *given, **named)

    monkeypatch.setattr(HfApi, "merge_pull_request", pushed_before)
    assert released.review(number, "--merge") == 1
    assert "moved while it was merged" in capsys.readouterr().err


@pytest.mark.slow
def test_the_review_of_a_pull_request_is_one_json_object_for_programs(
    released: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    number = released.pull(better(released.rows()))
    capsys.readouterr()
    assert released.review(number, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "accept"
    assert found["merged"] is None
    assert re.fullmatch("[0-9a-f]{40}", found["sha"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 99])
def test_a_number_without_a_pull_request_is_refused_in_one_line(
    released: Set, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    released.hub.api().create_discussion(released.repo, title="Talk", repo_type="dataset")
    capsys.readouterr()
    assert released.review(number) == 1
    assert capsys.readouterr().err.count("\n") == 1


# --- by a webhook, as a job


def event(scope: str, action: str = "create", **more: Any) -> dict[str, Any]:
    return {
        "event": {"action": action, "scope": scope},
        "repo": {"type": "dataset", "name": "org/set"},
        **more,
    }


OPEN = {"num": 7, "isPullRequest": True, "status": "open"}


@each(
    ("payload", "reviewed"),
    [
        (event("discussion", discussion=OPEN), [("org/set", 7)]),
        (event("discussion", discussion={**OPEN, "status": "merged"}), []),
        (event("discussion", discussion={**OPEN, "isPullRequest": False}), []),
        (event("discussion.comment", discussion=OPEN), []),
        (event("repo.content", "update", updatedRefs=[{"ref": "refs/pr/12"}]), [("org/set", 12)]),
        (event("repo.content", "update", updatedRefs=[{"ref": "refs/heads/main"}]), []),
        (event("discussion", "delete", discussion=OPEN), []),
        ({**event("discussion", discussion=OPEN), "repo": {"type": "model", "name": "a/b"}}, []),
    ],
)
def test_an_event_starts_a_review_when_a_pull_request_opens_or_moves(
    payload: dict[str, Any], reviewed: list[tuple[str, int]]
) -> None:
    assert pull_requests(payload) == reviewed


def test_a_payload_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="WEBHOOK_PAYLOAD"):
        pull_requests({"zen": "Keep it simple."})


@pytest.mark.slow
def test_the_job_reviews_the_pull_request_of_its_event(
    released: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = released.pull(better(released.rows()))
    payload = event("discussion", discussion={**OPEN, "num": number})
    payload["repo"]["name"] = released.repo
    monkeypatch.setenv("WEBHOOK_PAYLOAD", json.dumps(payload))
    assert review_job.main([]) == 0
    assert len(released.comments(number)) == 1


def test_a_job_without_an_event_fails_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WEBHOOK_PAYLOAD", raising=False)
    assert review_job.main([]) == 1
    assert capsys.readouterr().err.startswith("review_job: WEBHOOK_PAYLOAD is not JSON")


class Jobs(BaseHTTPRequestHandler):
    """In place of the Hub's paid jobs: accepts the requests and keeps their bodies."""

    bodies: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - one for all requests

    def do_GET(self) -> None:
        self.reply({"name": "ann", "type": "user"})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies[self.path] = given
        if self.path.startswith("/api/jobs"):
            owner = {"id": "1", "name": "ann", "type": "user"}
            image = given["dockerImage"]
            self.reply(
                {
                    "id": "job-1",
                    "owner": owner,
                    "dockerImage": image,
                    "status": {"stage": "RUNNING"},
                }
            )
        else:
            hook = {"id": "hook-1", "watched": given["watched"], "domains": given["domains"]}
            self.reply({"webhook": {**hook, "disabled": False}})

    def reply(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def test_the_watch_is_a_job_and_a_webhook_that_starts_it_for_one_set(hub: Hub) -> None:
    server = HTTPServer(("127.0.0.1", 0), Jobs)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        there = Connection(endpoint=f"http://127.0.0.1:{server.server_port}", token="hf_x")
        assert watch(there, "org/set", code="https://example.com/p.git", token="hf_y") == "hook-1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    job, hook = Jobs.bodies["/api/jobs/ann"], Jobs.bodies["/api/settings/webhooks"]
    assert "scripts.review_job" in " ".join(job["command"])
    assert "hf_y" not in json.dumps(job)
    assert hook["jobSourceId"] == "job-1"
    assert hook["watched"] == [{"type": "dataset", "name": "org/set"}]
    assert hook["secrets"] == {"HF_TOKEN": "hf_y"}
    assert os.environ.get("HF_TOKEN") != "hf_y"


def test_a_pull_request_onto_a_main_without_a_set_is_one_line(hub: Hub, tmp_path: Path) -> None:
    repository = f"{OWNER}/first-by-pull-request"
    api, at = hub.api(), Connection(endpoint=hub.endpoint, token=hub.tokens["potstill"])
    api.create_repo(repository, repo_type="dataset")
    made = api.upload_file(
        path_or_fileobj=b"x",
        path_in_repo="data/default/train-00000-of-00001.parquet",
        repo_id=repository,
        repo_type="dataset",
        create_pr=True,
    )
    with pytest.raises(HubError, match=r"main of .* holds no set that this pull request could"):
        fetch(at, repository, made.pr_num, tmp_path / "main", tmp_path / "pull")
