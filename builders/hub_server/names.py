"""The rules for names that clients give: of accounts, repositories, files and references."""

from __future__ import annotations

import re

from builders.hub_server.responses import HttpError

TYPES = ("models", "datasets", "spaces")
PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
# First segments of the server's own routes, which model repositories must not collide with.
RESERVED = {*TYPES, "api", "lfs", "xet", "settings", "login", "organizations"}
MOST_NAME = 96
MOST_PATH = 1024
MOST_PART = 255

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")


def is_name(text: str) -> bool:
    """Whether this is a valid name of an account or of a repository without its namespace."""
    return (
        len(text) <= MOST_NAME
        and _NAME.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.lower().endswith((".git", ".ipynb"))
    )


def repo_id(namespace: str, name: str) -> str:
    """`namespace/name`.

    Raises:
        HttpError: 400, one of the two is not a valid name.
    """
    for text in (namespace, name):
        if not is_name(text):
            raise HttpError(
                400,
                f"Invalid repository name {text[:120]!r}: letters, digits, '-', '_' and '.', at "
                f"most {MOST_NAME} characters, no '--' or '..', no '-' or '.' at the ends",
            )
    if namespace.lower() in RESERVED:
        raise HttpError(400, f"The namespace {namespace!r} is reserved; choose another")
    return f"{namespace}/{name}"


def checked_repo_id(text: str) -> str:
    """The same `namespace/name`, checked by `repo_id`."""
    namespace, _, name = text.partition("/")
    return repo_id(namespace, name)


def path_problem(path: str) -> str | None:
    """Why a file may not have this path; None if it may."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts):
        return "it must be relative, without empty parts, '.' or '..'"
    if any(part.lower().rstrip(". ") == ".git" or part.lower() == "git~1" for part in parts):
        return "no part may be .git"
    if any(ord(character) < 32 or character in "\\\x7f" for character in path):
        return "it must not contain a backslash or a control character"
    try:
        encoded = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "it must be valid Unicode"
    if max(encoded) > MOST_PART or sum(encoded) + len(parts) - 1 > MOST_PATH:
        return f"it may have at most {MOST_PATH} bytes, and {MOST_PART} between two slashes"
    return None


def is_ref(text: str) -> bool:
    """Whether this is a valid name of a branch or a tag: git's rules, and not a full reference.

    A name of 40 hex digits is refused too, since it would be read as a commit's id.
    """
    return (
        0 < len(text.encode("utf-8", "replace")) <= MOST_PART
        and not _BAD_IN_REF.search(text)
        and not text.startswith(("-", "/", ".", "refs/"))
        and not text.endswith(("/", "."))
        and text not in ("@", "HEAD")
        and text.isprintable()
        and not re.fullmatch(r"[0-9a-f]{40}", text)
    )
