"""Which files go to LFS and which are ignored, by .gitattributes and .gitignore as git reads them.

Source: git's gitignore(5), gitattributes(5) and wildmatch.c. pathspec and libgit2 support
neither POSIX classes, which `git lfs track` writes for spaces, nor every negation.
"""

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
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
# Between brackets: a character, a range or a class. A closing bracket that comes first is literal.
_ONE = r"(?:\\.|[^\]\\])"
_FIRST = rf"\](?:-{_ONE})?"
_MEMBER = rf"\[:[^\]]*:\]|{_ONE}(?:-{_ONE})?"
_TOKEN = re.compile(
    r"(?P<folders>(?:\A|(?<=/))\*{2,}(?:/|\Z))|(?P<stars>\*+)|(?P<any>\?)"
    rf"|\[(?P<not>[!^]?+)(?P<members>(?:{_FIRST})?+(?:{_MEMBER})*+)\]"
    r"|(?P<literal>\\.|[^\\\[])",
    re.DOTALL,
)


def in_lfs(attributes: str, path: str) -> bool:
    """Whether these attributes send the file at `path` to LFS; the last line that applies wins."""
    found = False
    for line in attributes.removeprefix("\ufeff").split("\n"):
        pattern, *words = _words(line)
        if not pattern or pattern.startswith(("#", "!")):
            continue
        filters = [word for word in words if word.lstrip("-!").partition("=")[0] == "filter"]
        if filters and _matches(pattern, path):
            found = filters[-1] == "filter=lfs"
    return found


def ignored(patterns: str, path: str) -> bool:
    """Whether these lines of a .gitignore ignore the file at `path`.

    A file in an ignored folder is ignored, even if a later line negates its own pattern.
    """
    lines = [_trimmed(line) for line in patterns.removeprefix("\ufeff").split("\n")]
    parts = path.split("/")
    folders = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts))]
    for candidate in [*folders, path]:
        found = False
        for line in lines:
            if not line.startswith("#") and _matches(line.removeprefix("!"), candidate):
                found = not line.startswith("!")
        if found:
            return True
    return False


def with_lfs(attributes: str, paths: Iterable[str]) -> str:
    """The attributes, with a line added for each path that they do not send to LFS yet."""
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
    """A line's pattern and its attributes; a pattern with spaces is quoted as in C."""
    line = line.strip()
    if quoted := re.match(r'"((?:[^"\\]|\\.)*)"\s*', line):
        pattern = re.sub(r"\\(.)", r"\1", quoted[1])
        return [pattern, *line[quoted.end() :].split()]
    return line.split() or [""]


def _trimmed(line: str) -> str:
    """A line without its trailing spaces; a backslash before one keeps it."""
    line = line.removesuffix("\r")
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return line[: len(kept) + backslashes % 2]


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path; the path of a folder ends with a slash."""
    if pattern.endswith("/") and not path.endswith("/"):
        return False
    pattern, path = pattern.removesuffix("/"), path.removesuffix("/")
    if "/" not in pattern:
        path = path.rpartition("/")[2]
    regex = _compiled(pattern.removeprefix("/"))
    return regex is not None and regex.fullmatch(_bytes(path)) is not None


def _bytes(text: str) -> str:
    """The text with one character per byte of its UTF-8, since git's wildcards match bytes."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern as a regular expression; None if it is invalid to git and so matches nothing."""
    regex, at, pattern = "", 0, _bytes(pattern)
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            return None
        at = token.end()
        match token.lastgroup:
            case "folders":
                regex += "(?:.*/)?" if token[0].endswith("/") else ".*"
            case "stars":
                regex += "[^/]*"
            case "any":
                regex += "[^/]"
            case "members":
                members = _members(token["members"])
                if members is None:
                    return None
                regex += f"(?!/)[{'^' if token['not'] else ''}{members}]"
            case _:
                regex += re.escape(token[0][-1])
    return re.compile(regex, re.DOTALL)


def _members(text: str) -> str | None:
    """A bracket expression's members in the syntax of `re`; None if it has an unknown class."""
    members = ""
    for member in re.findall(rf"\A{_FIRST}|{_MEMBER}", text, re.DOTALL):
        if len(member) > 3 and member.startswith("[:"):
            if member[2:-2] not in _POSIX:
                return None
            members += _POSIX[member[2:-2]]
            continue
        low, high = member[member[0] == "\\"], member[-1]
        members += re.escape(low)  # of a reversed range such as z-a, git matches only the first
        if low < high:
            members += f"{re.escape(low)}-{re.escape(high)}"
    return members
