"""Withdraw a released version, and find out whether a version was withdrawn.

The version stays readable at its tag. On main, the card's list of versions and advisories.json name
the reason and the version to use instead; nothing else of main changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from builders.drafting.files import canonical_json
from builders.errors import HubError, InputError, named_in_errors
from builders.hub.baseline import is_written
from builders.hub.connection import Hub, MovedError, client_errors, file_to_add, moved
from builders.hub.fetch import commit, download, no_version, tree, versions
from builders.release.snapshot import (
    ADVISORIES,
    CARD,
    MANIFEST,
    VERSION,
    read_advisories,
    read_manifest,
)
from builders.release.versions import version_key, versions_section, with_versions

NOTHING = "none of its versions"  # where every other version is withdrawn too
_TRIES = 2


def yank(hub: Hub, repository: str, version: str, why: str, use: str | None = None) -> str | None:
    """Withdraw a version by one commit on main; return it, or None if nothing had to change.

    Args:
        hub: The Hub of the set.
        repository: The set.
        version: The version's tag.
        why: What is wrong with the version, in one line.
        use: The tag to use instead; None takes the newest version that is not withdrawn.

    Raises:
        InputError: There is no such version, no reason, or `use` is not a good version.
        HubError: The Hub refused, or main moved twice.
    """
    why = " ".join(why.split())
    if not why:
        raise InputError("--why is empty; give one line on what is wrong with the version")
    for _ in range(_TRIES):
        with (
            tempfile.TemporaryDirectory(prefix="potstill-") as made,
            named_in_errors(Path(made), repository),
            contextlib.suppress(MovedError),
        ):
            return _yank(hub, repository, version, why, use, Path(made) / "main")
    raise HubError(
        f"main of {repository} moved twice while {version} was withdrawn; nothing was changed; "
        "run the command again"
    )


def _yank(
    hub: Hub, repository: str, version: str, why: str, use: str | None, folder: Path
) -> str | None:
    tags = [name for name, _ in versions(hub, repository)]
    head = commit(hub, repository, "main")
    _fetch(hub, repository, head, (CARD, MANIFEST, ADVISORIES), folder)
    if not (folder / MANIFEST).is_file() or not (folder / CARD).is_file():
        raise InputError(f"{repository} holds no set that potstill released; give another")
    plain = _known(repository, version, tags)
    advisories = read_advisories(folder)
    use = _to_use(repository, plain, use, tags, advisories)
    withdrawn = {**advisories, plain: {"why": why, "use": use}}
    files = _rendered(folder, dict(sorted(withdrawn.items(), key=lambda one: version_key(one[0]))))
    changed = {name: text for name, text in files.items() if _text(folder / name) != text}
    if not changed:
        return None
    with client_errors(hub, repository), moved():
        info = hub.api().create_commit(
            repo_id=repository,
            repo_type="dataset",
            operations=[file_to_add(name, text.encode()) for name, text in changed.items()],
            commit_message=f"Withdraw v{plain}",
            commit_description=f"{why}\n\nUse {use}.",
            parent_commit=head,
        )
    return str(info.oid)


def advisory(
    hub: Hub, repository: str, revision: str | None
) -> tuple[str, Mapping[str, str] | None]:
    """A version and, if main lists it as withdrawn now, `why` and which version to `use`.

    Main, or no revision, means the newest version; a commit or branch without a version is named
    by itself.

    Raises:
        InputError: There is no such version.
        HubError: There is no such repository or revision, or the Hub does not answer.
    """
    tagged = versions(hub, repository)
    names = [name for name, _ in tagged]
    if not tagged and revision in (None, "main"):
        raise InputError(f"{repository} has no released version; give another set")
    if revision is None or revision == "main":
        version = names[0]
    elif VERSION.fullmatch(revision.removeprefix("v")):
        version = f"v{_known(repository, revision, names)}"
    else:
        sha = commit(hub, repository, revision)
        version = next((name for name, tag in tagged if tag == sha), revision)
    with (
        tempfile.TemporaryDirectory(prefix="potstill-") as made,
        named_in_errors(Path(made), repository),
    ):
        main = Path(made) / "main"
        _fetch(hub, repository, commit(hub, repository, "main"), (ADVISORIES,), main)
        return version, read_advisories(main).get(version.removeprefix("v"))


def advisory_in(folder: Path) -> tuple[str, Mapping[str, str] | None]:
    """The same for the version in a folder, according to the folder's own files.

    Raises:
        InputError: The folder holds no release.
    """
    version = read_manifest(folder).get("version")
    if version is None:
        raise InputError(
            f"{folder} holds no release with a version; give the folder of one, or org/set@v1.0.0"
        )
    return f"v{version}", read_advisories(folder).get(version)


def withdrawal(hub: Hub, repository: str, revision: str | None, folder: Path) -> str | None:
    """That a set at a revision was withdrawn, why, and what to use, in a line; None if it was not.

    Args:
        hub: The Hub of the set.
        repository: The set.
        revision: The revision; None is main.
        folder: The files that were fetched at it.

    Raises:
        InputError: What main lists as withdrawn cannot be read.
        HubError: The Hub refused, or does not answer.
    """
    found: Mapping[str, str] | None
    if revision is None or revision == "main":
        version = f"v{read_manifest(folder).get('version')}"
        found = read_advisories(folder).get(version[1:])
    else:
        version, found = advisory(hub, repository, revision)
    return withdrawn_line(version, found) if found else None


def withdrawn_line(version: str, found: Mapping[str, str]) -> str:
    """A line on a version that an advisory withdraws."""
    return f"{version} was withdrawn: {found['why']}; use {found['use']}"


def _known(repository: str, version: str, tags: Sequence[str]) -> str:
    plain = version.removeprefix("v")
    if f"v{plain}" not in tags:
        raise InputError(no_version(repository, f"v{plain}", tags))
    return plain


def _to_use(
    repository: str,
    withdrawn: str,
    use: str | None,
    tags: Sequence[str],
    advisories: Mapping[str, Mapping[str, str]],
) -> str:
    bad = {f"v{version}" for version in (withdrawn, *advisories)}
    if use is None:
        return next((name for name in tags if name not in bad), NOTHING)
    named = f"v{_known(repository, use, tags)}"
    if named in bad:
        raise InputError(f"{named} is withdrawn itself; give a good version with --use")
    return named


def _rendered(folder: Path, advisories: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The three files as a release with these advisories writes them."""
    manifest = read_manifest(folder)
    section = versions_section(manifest["history"], advisories, manifest["repository"])
    texts = {
        CARD: with_versions(_text(folder / CARD), section),
        ADVISORIES: canonical_json(advisories),
    }
    files: dict[str, Any] = dict(manifest["files"])
    for name, text in texts.items():
        if name == CARD and not is_written(folder):
            continue  # people changed it: the manifest keeps what potstill wrote
        content = text.encode()
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    ordered = dict(sorted(files.items(), key=lambda file: PurePosixPath(file[0])))
    return {**texts, MANIFEST: canonical_json({**manifest, "files": ordered})}


def _fetch(hub: Hub, repository: str, sha: str, names: Sequence[str], to: Path) -> None:
    """Download the files of these names into a folder, where the commit has them."""
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    to.mkdir(parents=True)
    with client_errors(hub, repository):
        there = tree(api, at, sha)
        for name in names:
            if name in there:
                download(api, at, name, sha, to)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
