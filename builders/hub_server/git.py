"""The bare git repository of each Hub repository: trees, commits, references and merges.

Blobs, trees and the commit are written first, the reference last, so that a reader sees either the
old head or the new one, even if the server is killed in between.
"""

from __future__ import annotations

import itertools
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pygit2
from pygit2.enums import FileMode, ObjectType, SortMode

from builders.hub_server.responses import revision_not_found

MAIN = "refs/heads/main"
MOST_OPEN = 8
MOST_BLOB_INFOS = 20_000
MOST_DIFF = 1_000_000
OPEN_REFS = ("refs/heads/", "refs/tags/", "refs/pr/", "refs/convert/")

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)


class Lock:
    """A lock that lets one writer of a repository run at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Git:
    """The folder of bare repositories, each under its Hub repository's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._per_thread = threading.local()
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._guard = threading.Lock()
        # By default libgit2 caches up to 256 MB of objects; the server must stay small.
        pygit2.settings.cache_max_size(8 * 1024 * 1024)
        pygit2.settings.owner_validation = False

    def path(self, id_: str) -> Path:
        """The folder of a repository."""
        return self._folder / f"{id_}.git"

    def lock(self, id_: str) -> Lock:
        """The lock of a repository's writers."""
        with self._guard:
            return self._locks.setdefault(id_, Lock())

    def open(self, id_: str) -> Any:
        """The repository as this thread has it open."""
        repositories: OrderedDict[str, Any] | None = getattr(self._per_thread, "held", None)
        if repositories is None:
            repositories = self._per_thread.held = OrderedDict()
        if id_ in repositories:
            repositories.move_to_end(id_)
            return repositories[id_]
        repositories[id_] = pygit2.Repository(str(self.path(id_)))
        if len(repositories) > MOST_OPEN:
            repositories.popitem(last=False)[1].free()
        return repositories[id_]

    def create(self, id_: str, files: dict[str, bytes], author: str) -> None:
        """Create a repository whose main branch holds these files, in one commit."""
        repo = pygit2.init_repository(str(self.path(id_)), bare=True, initial_head="main")
        repo.config["http.receivepack"] = False
        repo.config["uploadpack.allowFilter"] = True
        repo.config["gc.auto"] = 0
        tree = Tree(repo)
        for path, content in files.items():
            tree.put(path, repo.create_blob(content))
        oid = commit(repo, tree.write(), [], author, "initial commit")
        repo.references.create(MAIN, oid)

    def copy(self, from_: str, to: str) -> None:
        """Copy a repository with its whole history."""
        shutil.copytree(self.path(from_), self.path(to))

    def remove(self, id_: str) -> None:
        """Delete a repository."""
        shutil.rmtree(self.path(id_), ignore_errors=True)

    def ids(self) -> list[str]:
        """The ids of all repositories in the folder."""
        return [path.name.removesuffix(".git") for path in self._folder.glob("*.git")]

    def unlock(self, id_: str) -> None:
        """Remove the lock files that a killed server left; nothing may be writing meanwhile."""
        folder = self.path(id_)
        for lock in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
            lock.unlink()


class Tree:
    """A git tree that is edited in memory and then written once."""

    def __init__(self, repo: Any, oid: Any = None) -> None:
        self._repo = repo
        self._oid = oid
        self._entries: dict[str, Tree | tuple[Any, int]] | None = {} if oid is None else None

    def _loaded(self) -> dict[str, Tree | tuple[Any, int]]:
        if self._entries is None:
            self._entries = {
                entry.name: Tree(self._repo, entry.id)
                if entry.type == ObjectType.TREE
                else (entry.id, entry.filemode)
                for entry in self._repo[self._oid]
            }
        return self._entries

    def put(self, path: str, blob: Any) -> bool:
        """Set a file; False if its path is a folder, or runs through a file."""
        name, _, rest = path.partition("/")
        entries = self._loaded()
        existing = entries.get(name)
        if not rest:
            if isinstance(existing, Tree):
                return False
            mode = (
                existing[1]
                if existing and existing[1] == FileMode.BLOB_EXECUTABLE
                else FileMode.BLOB
            )
            entries[name] = (blob, mode)
        elif existing is not None and not isinstance(existing, Tree):
            return False
        else:
            subtree = existing or Tree(self._repo)
            if not subtree.put(rest, blob):
                return False
            entries[name] = subtree
        self._oid = None
        return True

    def remove(self, path: str) -> bool:
        """Remove a file or a folder, and folders that become empty; False if nothing is there."""
        name, _, rest = path.partition("/")
        entries = self._loaded()
        existing = entries.get(name)
        if existing is None or (rest and not isinstance(existing, Tree)):
            return False
        if rest and isinstance(existing, Tree):
            if not existing.remove(rest):
                return False
            if not existing._loaded():
                del entries[name]
        else:
            del entries[name]
        self._oid = None
        return True

    def blob(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""
        name, _, rest = path.partition("/")
        existing = self._loaded().get(name)
        if isinstance(existing, Tree):
            return existing.blob(rest) if rest else None
        return self._repo[existing[0]].data if existing and not rest else None

    def write(self) -> Any:
        """Write the tree if it changed, and return its id."""
        if self._oid is None:
            builder = self._repo.TreeBuilder()
            for name, entry in self._loaded().items():
                if isinstance(entry, Tree):
                    builder.insert(name, entry.write(), FileMode.TREE)
                else:
                    builder.insert(name, *entry)
            self._oid = builder.write()
        return self._oid


def commit(repo: Any, tree: Any, parents: Sequence[Any], author: str, message: str) -> Any:
    """Write a commit and return its id; no reference points to it yet."""
    signature = pygit2.Signature(author, f"{author}@users.noreply.invalid")
    return repo.create_commit(None, signature, signature, message, tree, list(parents))


def head(repo: Any, ref: str) -> Any | None:
    """The commit that a full reference points to, annotated tags peeled; None if it is missing."""
    if "\0" in ref:  # libgit2 would ignore the rest and find another reference
        return None
    try:
        return repo.references[ref].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def find(repo: Any, revision: str) -> Any:
    """The commit of a revision: a branch, a tag, a full reference, or an id of 7 to 40 digits.

    Raises:
        HttpError: RevisionNotFound.
    """
    if revision.startswith(OPEN_REFS):
        found = head(repo, revision)
    elif revision == "HEAD":
        found = head(repo, MAIN)
    else:
        found = head(repo, f"refs/heads/{revision}") or head(repo, f"refs/tags/{revision}")
    if found is None and re.fullmatch(r"[0-9a-f]{7,40}", revision):
        try:
            found = repo[revision]
        except (KeyError, ValueError):
            found = None
    if not isinstance(found, pygit2.Commit):
        raise revision_not_found(revision[:200])
    return found


def entry(commit_: Any, path: str) -> Any | None:
    """The blob or tree at a path in a commit, None if there is none; the root for an empty path."""
    if not path:
        return commit_.tree
    try:
        return commit_.tree[path]
    except (KeyError, ValueError):
        return None


def pointer(sha: str, size: int) -> bytes:
    """The LFS pointer that git stores in place of an object."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n".encode()


def parse_pointer(content: bytes) -> tuple[str, int] | None:
    """The sha256 and the size in bytes in an LFS pointer; None for anything else."""
    found = _POINTER.fullmatch(content) if len(content) < 200 else None
    return (found[1].decode(), int(found[2])) if found else None


_blob_infos: OrderedDict[bytes, tuple[int, tuple[str, int] | None]] = OrderedDict()
_blob_infos_lock = threading.Lock()


def blob_info(repo: Any, oid: Any) -> tuple[int, tuple[str, int] | None]:
    """A blob's size in bytes, and the sha256 and size it points to if it is an LFS pointer."""
    key = oid.raw
    with _blob_infos_lock:
        if key in _blob_infos:
            return _blob_infos[key]
    size = repo.odb.read_header(oid)[1]
    found = (size, parse_pointer(repo[oid].data) if 120 < size < 200 else None)
    with _blob_infos_lock:
        _blob_infos[key] = found
        if len(_blob_infos) > MOST_BLOB_INFOS:
            _blob_infos.popitem(last=False)
    return found


def ancestry(repo: Any, from_: Any) -> Iterator[Any]:
    """A commit and all its ancestors, newest first."""
    yield from repo.walk(from_, SortMode.TOPOLOGICAL | SortMode.TIME)


def merged_tree(repo: Any, ours: Any, theirs: Any) -> tuple[Any | None, list[str]]:
    """The id of the merged tree and no paths, or None and the sorted paths in conflict."""
    index = repo.merge_commits(ours, theirs)
    if index.conflicts is None:
        return index.write_tree(repo), []
    sides = [side for conflict in index.conflicts for side in conflict if side is not None]
    return None, sorted({side.path for side in sides})


def own_commits(repo: Any, base: Any, tip: Any) -> Iterator[Any]:
    """The commits of `tip` since it left `base`, newest first."""
    fork = repo.merge_base(base, tip)
    return itertools.takewhile(lambda one: one.id != fork, ancestry(repo, tip))


def changes(repo: Any, base: Any, tip: Any) -> Any:
    """The differences in files from where `tip` left `base` to `tip`."""
    fork = repo.merge_base(base, tip)
    before = repo[fork].tree if fork else repo[Tree(repo).write()]
    return repo.diff(before, repo[tip].tree)


def diff(repo: Any, base: Any, tip: Any) -> str:
    """The patch of these changes; a long one is truncated, with a note."""
    patch = changes(repo, base, tip)
    text: str = (patch.patch or "") if patch.stats.files_changed else ""
    if len(text) > MOST_DIFF:
        return text[:MOST_DIFF] + "\n... the rest of this diff is left out\n"
    return text
