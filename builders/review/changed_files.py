"""The files that a pull request changes, and the checks on their names, places and types."""

from __future__ import annotations

import filecmp
import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builders.review.findings import Finding, passed, refused
from builders.review.review_limits import ReviewLimits

README = "README.md"
_ROWS = re.compile(r"data/default/\w+(?:\.\w+)*-\d{5}-of-\d{5}\.parquet")
_GIVEN = re.compile(r"contributed/[^/]+\.(?:jsonl|parquet)")
_MOST_PART_BYTES = 255
_MOST_PATH = 500
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")  # devices on Windows
_GIT = re.compile(r"(?i)\.git.*|git~\d+")

# File name endings by what the file is, in the words of the reason.
_EXECUTABLE = {
    "a script": ".py .pyi .pyx .sh .bash .zsh .fish .js .mjs .ts .pl .rb .lua .php .r .ps1 .bat"
    " .cmd .vbs .jl .awk .tcl .jinja .j2 .mk .cmake",
    "a pickle": ".pkl .pickle .pt .pth .joblib .npy .npz .ckpt .dill .cloudpickle",
    "a notebook": ".ipynb .qmd .rmd",
    "a program": ".exe .dll .so .dylib .com .msi .scr .jar .class .wasm .elf .app .deb .rpm .apk"
    " .pyc .pyd .whl .egg",
    "an archive": ".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar",
    "a page": ".html .htm .svg .xhtml .xml .mht",
}
_KIND = {ending: what for what, endings in _EXECUTABLE.items() for ending in endings.split()}
_NAMED = {"makefile": "a script", "dockerfile": "a script", "conftest": "a script"}
_MAGIC = (
    (b"#!", "a script"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xfe\xed\xfa", "a program"),
    (b"\0asm", "a program"),
    (b"PK\x03\x04", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"\x93NUMPY", "a pickle"),
)
_PICKLE = re.compile(rb"\A\x80[\x02-\x05]")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One file that differs between main and the pull request.

    Attributes:
        path: Its path in the repository, as the contributor wrote it.
        action: What the pull request does to it.
        kind: `card`, `rows` of `default`, `given` (new rows in contributed/), or `other`, which no
            pull request may change.
    """

    path: str
    action: Literal["added", "changed", "removed"]
    kind: Literal["card", "rows", "given", "other"]


def changes(main: Path, pull: Path) -> list[Change]:
    """All files that differ in content, mode or type, sorted by path."""
    old, new = dict(_entries(main)), dict(_entries(pull))
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            found.append(Change(path=path, action="removed", kind=_kind(path)))
        elif path not in old:
            found.append(Change(path=path, action="added", kind=_kind(path)))
        elif not _same(main / path, old[path], pull / path, new[path]):
            found.append(Change(path=path, action="changed", kind=_kind(path)))
    return found


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All files and empty folders in a folder; no link is followed."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as listed:
            entries = list(listed)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                name = Path(entry.path).relative_to(folder).as_posix()
                yield name, entry.stat(follow_symlinks=False)
        if not entries and here != folder:  # git stores no empty folder, so it is a submodule
            yield here.relative_to(folder).as_posix(), here.lstat()


def _same(old: Path, was: os.stat_result, new: Path, now: os.stat_result) -> bool:
    if stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode):
        return False
    if (was.st_mode ^ now.st_mode) & 0o111 or was.st_size != now.st_size:
        return False
    if stat.S_ISLNK(was.st_mode):
        return old.readlink() == new.readlink()
    return not stat.S_ISREG(was.st_mode) or filecmp.cmp(old, new, shallow=False)


def _kind(path: str) -> Literal["card", "rows", "given", "other"]:
    if path == README:
        return "card"
    if _ROWS.fullmatch(path):
        return "rows"
    return "given" if _GIVEN.fullmatch(path) else "other"


def file_findings(
    pull: Path, changed: Sequence[Change], main: Path, limits: ReviewLimits
) -> list[Finding]:
    """The checks on the names, the types and the places of the changed files."""
    every = {path for path, _ in [*_entries(main), *_entries(pull)]}
    tricks = _path_faults([change.path for change in changed], every)
    present = [change.path for change in changed if change.action != "removed"]
    runs = {path: what for path in present if (what := _nature(pull, path))}
    rest = [change for change in changed if change.path not in tricks.keys() | runs.keys()]
    return [_finding("paths", tricks), _finding("executables", runs), _place_finding(rest, limits)]


def _path_faults(paths: Sequence[str], every: Iterable[str]) -> dict[str, str]:
    twins = _twins(every)
    faults = {
        path: f"differs from {twins[path]!a} in case or form" for path in paths if path in twins
    }
    return faults | {path: fault for path in paths if (fault := path_problem(path))}


def path_problem(path: str) -> str | None:
    """Why a path in a repository is not accepted, or None; it must work on every file system."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not path or path.startswith("/") or len(path) > _MOST_PATH:
        return "is absolute, empty or too long"
    if any(unicodedata.category(character)[0] == "C" for character in path):
        return "holds a control or invisible character"
    if unicodedata.normalize("NFKC", path) != path:
        return "is not in the plain Unicode form (NFKC)"
    if re.search(r'[\\:*?"<>|]', path):
        return "holds a character that file names may not have"
    for part in path.split("/"):
        if part in ("", ".", "..") or part != part.strip() or part.endswith("."):
            return "has a part that is empty, is '.' or '..', or ends in a dot or a space"
        if _GIT.fullmatch(part) and path not in (".gitattributes", ".gitignore"):
            return "has a part that is reserved by git"
        if _RESERVED.fullmatch(part) or len(part.encode()) > _MOST_PART_BYTES:
            return "has a part that is the name of a device or too long"
    return None


def _twins(paths: Iterable[str]) -> dict[str, str]:
    """Paths that some file systems cannot tell from another path or folder, each with the other."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            part = "/".join(parts[:end])
            spellings[unicodedata.normalize("NFKC", part).casefold()].add(part)
    unlike = [names for names in spellings.values() if len(names) > 1]
    found = {}
    for path in paths:
        parts = path.split("/")
        above = {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
        for names in unlike:
            if mine := names & above:
                found[path] = min(names - mine, default=path)
    return found


def _nature(pull: Path, path: str) -> str | None:
    """Why a file is executable or not a regular file; None for data."""
    found = (pull / path).lstat()
    if stat.S_ISLNK(found.st_mode):
        return "is a symlink"
    if stat.S_ISDIR(found.st_mode):
        return "is an empty folder or a submodule"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    name = path.rpartition("/")[2].lower()
    if what := _KIND.get(Path(name).suffix) or _NAMED.get(name.partition(".")[0]):
        return f"is {what}"
    if name == ".gitmodules":
        return "declares submodules"
    with (pull / path).open("rb") as file:
        head = file.read(16)
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return f"is {what}"
    if _PICKLE.match(head):
        return "is a pickle"
    return "is marked as executable" if found.st_mode & 0o111 else None


def _place_finding(changed: Sequence[Change], limits: ReviewLimits) -> Finding:
    if len(changed) > limits.most_files:
        return refused(
            "files", f"{len(changed):,} files change; at most {limits.most_files} are allowed"
        )
    faults = {}
    for change in changed:
        if change.kind == "other":
            faults[change.path] = f"may not be {change.action} by a pull request"
        elif change.kind == "card" and change.action != "changed":
            faults[change.path] = f"may not be {change.action}"
        elif change.kind == "rows" and change.action == "added":
            faults[change.path] = "is a new file of rows; put new rows into contributed/"
        elif change.kind == "given" and change.action != "added":
            faults[change.path] = f"may not be {change.action}; put new rows into a new file"
    return _finding("files", faults)


def _finding(check: str, faults: Mapping[str, str]) -> Finding:
    if not faults:
        return passed(check)
    first = [f"{path!a} {fault}" for path, fault in list(faults.items())[:3]]
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return refused(check, "; ".join(first) + more, list(faults))
