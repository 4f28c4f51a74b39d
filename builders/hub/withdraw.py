"""A released version withdrawn, and whoever asks told so.

The version stays readable at its tag. On main the card's list of versions and advisories.json say
what is wrong with it and what to use; nothing else of main changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from builders.drafting.files import canonical_json
from builders.errors import HubError, InputError, nearest_name
from builders.hub.connection import Hub, MovedError, file_to_add, moved, spoken
from builders.hub.fetch import commit, download, tree, versions
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
    """Withdraw a version in one commit on main; give it, or None if main says all that already.

    Args:
        hub: Where the set lies.
        repository: The set.
        version: Its tag.
        why: What is wrong with it, in a line.
        use: The tag to use; None takes the newest that is not withdrawn.

    Raises:
        InputError: No such version, no reason, or `use` names none that is good.
        HubError: The Hub or the token says no, or main moved twice.
    """
    why = " ".join(why.split())
    if not why:
        raise InputError("--why is empty; say in a line what is wrong with the version")
    for _ in range(_TRIES):
        with (
            tempfile.TemporaryDirectory(prefix="potstill-") as made,
            contextlib.suppress(MovedError),
        ):
            return _yank(hub, repository, version, why, use, Path(made) / "main")
    raise HubError(
        f"main of {repository} moved twice while {version} was being withdrawn; nothing of it was "
        "changed; do the same again"
    )


def _yank(
    hub: Hub, repository: str, version: str, why: str, use: str | None, folder: Path
) -> str | None:
    tags = [name for name, _ in versions(hub, repository)]
    head = commit(hub, repository, "main")
    _fetch(hub, repository, head, (CARD, MANIFEST, ADVISORIES), folder)
    if not (folder / MANIFEST).is_file() or not (folder / CARD).is_file():
        raise InputError(f"{repository} holds no set that potstill released; name another")
    plain = _known(repository, version, tags)
    advisories = read_advisories(folder)
    use = _to_use(repository, plain, use, tags, advisories)
    said = {**advisories, plain: {"why": why, "use": use}}
    files = _rendered(folder, dict(sorted(said.items(), key=lambda one: version_key(one[0]))))
    changed = {name: text for name, text in files.items() if _text(folder / name) != text}
    if not changed:
        return None
    with spoken(hub, repository), moved():
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
    """A version, and what main says against it today: `why`, and which to `use`; None is nothing.

    Main, or no revision, is the newest version.

    Raises:
        InputError: There is no such version.
        HubError: No such repository or revision, or the Hub does not answer.
    """
    tagged = versions(hub, repository)
    names = [name for name, _ in tagged]
    if not tagged:
        raise InputError(f"{repository} has no released version; name another set")
    if revision is None or revision == "main":
        version = names[0]
    elif VERSION.fullmatch(revision.removeprefix("v")):
        version = f"v{_known(repository, revision, names)}"
    else:
        sha = commit(hub, repository, revision)
        version = next((name for name, tag in tagged if tag == sha), "")
        if not version:
            raise InputError(
                f"{repository} has no version at {revision!r}; there are {', '.join(names)}"
            )
    with tempfile.TemporaryDirectory(prefix="potstill-") as made:
        main = Path(made) / "main"
        _fetch(hub, repository, commit(hub, repository, "main"), (ADVISORIES,), main)
        return version, read_advisories(main).get(version.removeprefix("v"))


def advisory_in(folder: Path) -> tuple[str, Mapping[str, str] | None]:
    """The same of the version that lies in a folder, by what the folder itself says.

    Raises:
        InputError: It holds no release.
    """
    version = read_manifest(folder).get("version")
    if version is None:
        raise InputError(
            f"{folder} holds no release with a version; name the folder of one, or org/set@v1.0.0"
        )
    return f"v{version}", read_advisories(folder).get(version)


def _known(repository: str, version: str, tags: Sequence[str]) -> str:
    plain = version.removeprefix("v")
    if f"v{plain}" not in tags:
        raise InputError(
            f"{repository} has no version {version!r}; there are {nearest_name(version, tags)}"
        )
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
        raise InputError(f"{named} is withdrawn itself; name a good version with --use")
    return named


def _rendered(folder: Path, advisories: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The three files as a release with these advisories makes them."""
    manifest = read_manifest(folder)
    section = versions_section(manifest["history"], advisories, manifest["repository"])
    texts = {
        CARD: with_versions(_text(folder / CARD), section),
        ADVISORIES: canonical_json(advisories),
    }
    files: dict[str, Any] = dict(manifest["files"])
    for name, text in texts.items():
        content = text.encode()
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    ordered = dict(sorted(files.items(), key=lambda file: PurePosixPath(file[0])))
    return {**texts, MANIFEST: canonical_json({**manifest, "files": ordered})}


def _fetch(hub: Hub, repository: str, sha: str, names: Sequence[str], to: Path) -> None:
    """Those files of a commit that are there, in a folder."""
    api, at = hub.api(), {"repo_id": repository, "repo_type": "dataset"}
    to.mkdir(parents=True)
    with spoken(hub, repository):
        there = tree(api, at, sha)
        for name in names:
            if name in there:
                download(api, at, name, sha, to)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
