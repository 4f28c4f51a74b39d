"""What people changed on a Hub since a release, and whether the next one would undo it.

Their words may be anywhere on the next card, their rows in any file of its config. What a review
merged is no such change: contributions have a rule of their own.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.drafting.contributions import CONFIG, files_of
from builders.drafting.files import read_parquet
from builders.errors import InputError, named_in_errors, shortened
from builders.hub.baseline import is_written, listed, sha256_of
from builders.hub.connection import Hub, client_errors
from builders.hub.fetch import download, tree, unsafe_path
from builders.recipe import short_hash
from builders.release.card_changes import undone
from builders.release.snapshot import ADVISORIES, CARD, MANIFEST, OWN, read_manifest

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_SHOWN = 4  # ids of rows, added lines, and as many removed ones, that a refusal shows
_COMPUTED = "what potstill computes cannot be changed there"
_NOT_FOUND = (
    "no commit has the card as potstill wrote it, so computed lines may be among these; when the "
    "words are copied, delete README.md there"
)
_APART = (CARD, MANIFEST, ADVISORIES)  # each has a rule of its own
_BY_REVIEW = ("contributed/", f"data/{CONFIG}/")  # a review lists in the manifest what it merged
_ROWS = re.compile(r"data/([^/]+)/[^/]+\.parquet")


def check_changes(
    hub: Hub,
    repository: str,
    revision: str,
    head: str,
    tags: Mapping[str, str],
    new: Path,
    notify: Callable[[str], None],
) -> None:
    """Refuse a release that would undo what people changed since the one that a revision holds.

    Args:
        hub: The Hub.
        repository: The set.
        revision: Where the release goes: main, a branch or a pull request.
        head: Its commit.
        tags: The versions' tags with their commits.
        new: The folder of the release.
        notify: Receives each line of the card that it would undo.

    Raises:
        InputError: With the files and rows, or else the lines of the card, that it would undo.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    with (
        tempfile.TemporaryDirectory(prefix="potstill-") as made,
        named_in_errors(Path(made), repository),
        client_errors(hub, repository),
    ):
        held = _held(api, at, revision, head, tags, Path(made))
        is_set = MANIFEST in held.files
        found = held.written_card() if is_set else None
        written = _text(found / CARD) if found else ""
        lines = undone(written, _text(held.there / CARD), _text(new / CARD))
        data = list(held.undone_data(new)) if is_set else []
    where = f"of {repository} at {revision}{f' since {held.version}' if is_set else ''}"
    if data:
        raise InputError(
            f"people changed the data {where}, and this release would undo it: {', '.join(data)}; "
            "change the set's source in the same way, or revert it on the Hub and propose its rows "
            f"in a pull request for `potstill review {repository} NUMBER --merge`"
        )
    if lines and CARD in held.files:
        for line in lines:
            notify(line)
        raise InputError(
            f"people changed the card {where}, and this release would undo it: "
            f"{_shown(lines)}; copy the words to the set's file (to a section, such as '## "
            "Citation', or a key of its front matter), or take them back on the Hub; "
            + (_NOT_FOUND if is_set and not found else _COMPUTED)
        )


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The release that a commit holds; `there` are its card and manifest, `was` those of its tag.

    Nothing is in `was` where the version has no tag, or its tag is the commit itself.
    """

    api: Any
    at: Mapping[str, str]
    head: str
    tags: Mapping[str, str]
    files: Mapping[str, RepoFile]
    version: str
    there: Path
    was: Path

    def written_card(self) -> Path | None:
        """The folder that has the card as potstill wrote it; None if no commit has it.

        It is known by its sha256 in the manifest: titles and tags can be given to what people
        changed.
        """
        for folder in (self.was, self.there):
            if is_written(folder):
                return folder
        wanted = listed(self.there).get(CARD)
        blobs = set()
        for sha in self.commits():
            for card in self.api.get_paths_info(paths=[CARD], revision=sha, **self.at):
                if card.blob_id not in blobs:
                    blobs.add(card.blob_id)
                    download(self.api, self.at, CARD, sha, self.was)
                    if sha256_of(self.was / CARD) == wanted:
                        return self.was
        return None

    def commits(self) -> Iterator[str]:
        """The commits that may hold files of the version as potstill wrote them."""
        if self.version in self.tags:
            yield self.tags[self.version]
        refs = self.api.list_repo_refs(include_pull_requests=True, **self.at)
        tips = [one.target_commit for one in (*refs.branches, *(refs.pull_requests or ()))]
        # What is older has the files of other versions.
        seen = {sha for name, sha in self.tags.items() if name != self.version}
        for tip in (self.head, *tips):
            for one in self.api.list_repo_commits(revision=tip, **self.at):
                if one.commit_id in seen:
                    break
                seen.add(one.commit_id)
                yield one.commit_id

    def undone_data(self, new: Path) -> Iterator[str]:
        """The files of data, figures and contributions with changes of people that `new` lacks."""
        reviewed = listed(self.there)
        released = listed(self.was) or reviewed
        was = {
            path: sha256
            for by_review, files in ((False, released), (True, reviewed))
            for path, sha256 in files.items()
            if _is_theirs(path) and path.startswith(_BY_REVIEW) is by_review
        }
        there = {path: self._sha256(path) for path in self.files if _is_theirs(path)}
        by_config: dict[str, list[str]] = defaultdict(list)
        for path in sorted({*was, *there}):
            ours = sha256_of(new / path) if (new / path).is_file() else None
            if there.get(path) not in (was.get(path), ours):
                by_config[found[1] if (found := _ROWS.fullmatch(path)) else path].append(path)
        for config, paths in by_config.items():
            ids = self._undone_rows(config, {path: was.get(path) for path in paths}, new)
            if ids is None:
                how = {(True, False): "added", (True, True): "changed", (False, True): "removed"}
                yield from (f"{path} ({how[path in there, path in was]})" for path in paths)
            elif ids:
                more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
                rows = "row" if len(ids) == 1 else "rows"
                yield f"{', '.join(paths)} ({rows} {', '.join(ids[:_SHOWN])}{more})"

    def _sha256(self, path: str) -> str | None:
        if (large := self.files[path].lfs) is not None:
            return str(large.sha256)
        if unsafe_path(path):
            return None
        download(self.api, self.at, path, self.head, self.there)
        return sha256_of(self.there / path)

    def _undone_rows(
        self, config: str, was: Mapping[str, str | None], new: Path
    ) -> list[str] | None:
        """The ids of a config's rows that people changed, and that are otherwise in `new`.

        None where the files of these paths have no rows with ids.
        """
        if any(not _ROWS.fullmatch(path) or unsafe_path(path) for path in was):
            return None
        for path in was.keys() & self.files.keys():
            download(self.api, self.at, path, self.head, self.there)
        for path, sha256 in was.items():
            self._fetch_written(path, sha256)
        try:
            before, theirs, ours = (
                _rows(path for path in paths if path.is_file())
                for paths in (
                    [self.was / path for path in was],
                    [self.there / path for path in was],
                    (new / "data" / config).glob("*.parquet"),
                )
            )
            reviewed = self._reviewed_rows() if config == "default" else {}
        except (InputError, KeyError, TypeError, ValueError):
            return None
        return sorted(
            one
            for one in {*before, *theirs}
            if theirs.get(one) not in (before.get(one), ours.get(one))
            and not (one in reviewed and theirs.get(one) == reviewed[one])
        )

    def _fetch_written(self, path: str, sha256: str | None) -> None:
        """Fetch a file as potstill wrote it, where a commit has it."""
        for sha in self.commits() if sha256 else ():
            for one in self.api.get_paths_info(paths=[path], revision=sha, **self.at):
                if one.lfs and one.lfs.sha256 == sha256:
                    download(self.api, self.at, path, sha, self.was)
                    return

    def _reviewed_rows(self) -> dict[str, list[str] | None]:
        """The rows that a review merged, as `_rows` gives them; None for a removed row."""
        for path in self.files:
            if path.startswith(f"data/{CONFIG}/") and not unsafe_path(path):
                download(self.api, self.at, path, self.head, self.there)
        return {
            entry["row_id"]: None
            if entry["action"] == "removed"
            else [_digest(json.loads(entry["row"]))]
            for path in files_of(self.there)
            for entry in read_parquet(path)
        }


def _held(
    api: Any, at: Mapping[str, str], revision: str, head: str, tags: Mapping[str, str], made: Path
) -> _Held:
    there, was = made / "there", made / "was"
    files = tree(api, at, head)
    for path in {CARD, MANIFEST} & files.keys():
        download(api, at, path, head, there)
    version = f"v{read_manifest(there).get('version')}"
    # A branch or a pull request may hold another draft of a version that was then made on main.
    tagged = tags.get(version, head) if revision == "main" else head
    if tagged != head:
        for one in api.get_paths_info(paths=[CARD, MANIFEST], revision=tagged, **at):
            download(api, at, one.path, tagged, was)
    return _Held(
        api=api, at=at, head=head, tags=tags, files=files, version=version, there=there, was=was
    )


def _is_theirs(path: str) -> bool:
    return path.startswith(OWN) and not path.startswith(_APART)


def _rows(paths: Iterable[Path]) -> dict[str, list[str]]:
    """The digests of the rows of each id."""
    found = defaultdict(list)
    for path in sorted(paths):
        for row in read_parquet(path):
            found[str(row["id"])].append(_digest(row))
    return found


def _digest(row: object) -> str:
    return short_hash(json.dumps(row, sort_keys=True, default=str))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _shown(lines: Sequence[str]) -> str:
    """The first added and removed lines of a diff, and how many there are besides."""
    some = [line for sign in "+-" for line in [one for one in lines if one[0] == sign][:_SHOWN]]
    more = f" and {len(lines) - len(some)} more" if len(lines) > len(some) else ""
    return ", ".join(map(shortened, some)) + more
