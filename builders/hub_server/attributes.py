"""Which files go to LFS and which are ignored: .gitattributes and .gitignore, read as git does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_SUFFIXES = (
    *("7z", "arrow", "avro", "bin", "bz2", "ckpt", "duckdb", "ftz", "gz", "h5", "joblib", "lz4"),
    *("mds", "mlmodel", "model", "msgpack", "npy", "npz", "onnx", "ot", "parquet", "pb", "pickle"),
    *("pkl", "pt", "pth", "rar", "safetensors", "tar", "tflite", "tgz", "wasm", "xz", "zip"),
    *("zst", "pcm", "sam", "raw", "aac", "flac", "mp3", "ogg", "wav", "bmp", "gif", "png"),
    *("tiff", "jpg", "jpeg", "webp", "mp4", "webm"),
)
LFS = "filter=lfs diff=lfs merge=lfs -text"
DEFAULT = "".join(
    f"{pattern} {LFS}\n"
    for pattern in [*(f"*.{suffix}" for suffix in _SUFFIXES), "saved_model/**/*", "*tfevents*"]
)


def in_lfs(attributes: str, path: str) -> bool:
    """Whether these attributes send the file at `path` to LFS; the last line that speaks counts."""
    found = False
    for line in attributes.splitlines():
        pattern, *words = _words(line)
        if not pattern or pattern.startswith(("#", "!")):
            continue
        said = [word for word in words if word.lstrip("-!").startswith("filter")]
        if said and _matches(pattern, path):
            found = said[-1] == "filter=lfs"
    return found


def ignored(patterns: str, path: str) -> bool:
    """Whether these .gitignore lines leave the file at `path` out."""
    parts = path.split("/")
    found = False
    for line in patterns.splitlines():
        pattern = line.rstrip()
        if not pattern or pattern.startswith("#"):
            continue
        negated = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        only_folders = pattern.endswith("/")
        pattern = pattern.rstrip("/")
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        if pattern and any(
            _matches(pattern, candidate)
            for candidate in ([*above] if only_folders else [*above, path])
        ):
            found = not negated
    return found


def with_lfs(attributes: str, paths: Iterable[str]) -> str:
    """The attributes and a line for each path that they do not send to LFS yet."""
    for path in paths:
        if not in_lfs(attributes, path):
            literal = re.sub(r"([*?\[\]\\])", r"\\\1", path)
            pattern = f'"/{_quoted(literal)}"' if re.search(r'[\s"]', path) else f"/{literal}"
            attributes = attributes.rstrip("\n") + "\n" if attributes.strip() else ""
            attributes += f"{pattern} {LFS}\n"
    return attributes


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _words(line: str) -> list[str]:
    """A line's pattern and its attributes; a pattern with spaces stands in C quotes."""
    line = line.strip()
    if quoted := re.match(r'"((?:[^"\\]|\\.)*)"\s*', line):
        pattern = re.sub(r"\\(.)", r"\1", quoted[1])
        return [pattern, *line[quoted.end() :].split()]
    return line.split() or [""]


def _matches(pattern: str, path: str) -> bool:
    if "/" not in pattern:
        return _compiled(pattern).fullmatch(path.rpartition("/")[2]) is not None
    return _compiled(pattern.removeprefix("/")).fullmatch(path) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A git pattern as a regular expression; every wildcard is bounded by its path part."""
    out, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif rest == "**":
            out, at = out + ".*", at + 2
        elif rest[0] == "*":
            out, at = out + "[^/]*", at + 1
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif kind := re.match(r"\[([!^]?)((?:\\.|[^\]\\/])+)\]", rest):
            members = re.sub(r"([\[\]^&~|])", r"\\\1", kind[2])
            out, at = out + f"[{'^/' if kind[1] else ''}{members}]", at + kind.end()
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + re.escape(rest[0]), at + 1
    try:
        return re.compile(out, re.DOTALL)
    except re.error:  # a class such as [z-a]: git matches nothing with it
        return re.compile(r"(?!)")
