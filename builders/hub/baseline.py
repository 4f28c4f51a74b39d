"""What a release follows: the newest version on a Hub, and what people did to main since then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builders.drafting.contributions import CONFIG, files_of
from builders.drafting.draft import Draft
from builders.drafting.files import read_parquet
from builders.errors import InputError
from builders.hub.connection import Hub, spoken
from builders.hub.fetch import commit, download, fetch_snapshot, tree, versions
from builders.release.card import words_on
from builders.release.snapshot import (
    ADVISORIES,
    CARD,
    MANIFEST,
    Snapshot,
    read_advisories,
    read_manifest,
    snapshot,
)
from builders.release.versions import version_key

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_ABOUT = (CARD, MANIFEST, ADVISORIES)
# What a release owns in its repository; it keeps off all else, such as .gitattributes or LICENSE.
OWN = (*_ABOUT, "data/", "figures/", "contributed/")


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A repository as a release finds it.

    Attributes:
        head: Main's commit; empty if there is no such repository.
        files: Main's files by path.
        tags: The versions' tags with their commits, newest first.
        base: The newest version, with the advisories of main; None before the first.
        version: What main's manifest calls itself, tagged or not.
        words: What people wrote on main's card.
        given: The ids of the rows that people gave to main.
    """

    head: str = ""
    files: Mapping[str, RepoFile] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    base: Snapshot | None = None
    version: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()


def before(hub: Hub, repository: str, draft: Draft, to: Path) -> Baseline:
    """Look at a repository, and fetch into the folder `to` what a release is compared with.

    Data that the draft has as well is not fetched.

    Raises:
        InputError: It holds something else than a set of ours.
        HubError: The Hub or the token says no.
    """
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    with spoken(hub, repository):
        if not api.repo_exists(**at):
            return Baseline()
    tags = dict(versions(hub, repository))
    head = commit(hub, repository, "main")
    newest = next(iter(tags.values()), None)
    if newest is not None:
        fetch_snapshot(hub, repository, newest, to / "base", here=_by_sha256(draft.folder))
    main = to / ("base" if head == newest else "main")
    main.mkdir(parents=True, exist_ok=True)
    with spoken(hub, repository):
        files = tree(api, at, head)
        if MANIFEST not in files and (strange := _strange(files)):
            raise InputError(
                f"{repository} holds {strange!r} and no {MANIFEST}: it is no set of potstill's; "
                "name a new repository"
            )
        if head != newest:
            for path in files:
                if path in _ABOUT or path.startswith(f"data/{CONFIG}/"):
                    download(api, at, path, head, main)
    base = None
    if newest is not None:
        base = replace(snapshot(to / "base"), advisories=read_advisories(main))
    card = main / CARD
    return Baseline(
        head=head,
        files=files,
        tags=tags,
        base=base,
        version=read_manifest(main).get("version"),
        words=words_on(card.read_text(encoding="utf-8", errors="replace"))
        if card.is_file()
        else {},
        given=_ids(main),
    )


def _strange(files: Mapping[str, RepoFile]) -> str | None:
    """A file that neither a new repository has nor a release."""
    new = (".gitattributes", ".gitignore", CARD)
    return next((path for path in files if path not in new and "LICENSE" not in path), None)


def check_people(there: Baseline, new: Path, repository: str, recipe: str) -> None:
    """Refuse a release folder that would write over what people gave by pull requests.

    Raises:
        InputError: Naming rows or words that the folder lacks.
    """
    if lost := there.given - _ids(new):
        raise InputError(
            f"{len(lost)} contributed rows of {repository} are not in this draft; build again "
            f"with --contributed {repository}, then release"
        )
    if there.base is None or there.version != there.base.version:
        return
    was, ours = there.base.words, words_on((new / CARD).read_text(encoding="utf-8"))
    lost_words = sorted(
        name
        for name in {*there.words, *was}
        if there.words.get(name) not in (was.get(name), ours.get(name))
    )
    if lost_words:
        raise InputError(
            f"people changed {', '.join(map(repr, lost_words))} on the card of {repository} since "
            f"v{there.version}; take their words over into cards/{recipe}.md, then release"
        )


def check_unfinished(there: Baseline, version: str, repository: str) -> None:
    """Refuse a version that main has already, or is beyond, with other content and no tag.

    Raises:
        InputError: Another release of that version is under way, or was stopped.
    """
    if (
        there.version is not None
        and f"v{there.version}" not in there.tags
        and version_key(there.version) >= version_key(version)
    ):
        raise InputError(
            f"main of {repository} holds another v{there.version} that has no tag yet: a release "
            "of another draft is under way, or was stopped; let that one end, or name a higher "
            "version in the card's Changes"
        )


def _by_sha256(folder: Path) -> dict[str, Path]:
    found = {}
    for path in folder.glob("*.parquet"):
        with path.open("rb") as file:
            found[hashlib.file_digest(file, "sha256").hexdigest()] = path
    return found


def _ids(folder: Path) -> frozenset[str]:
    return frozenset(row["id"] for path in files_of(folder) for row in read_parquet(path))
