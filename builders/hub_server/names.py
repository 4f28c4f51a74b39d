"""Names that come from outside: what a repository, a path and a reference may be called."""

from __future__ import annotations

import re

from builders.hub_server.responses import HttpError

TYPES = ("models", "datasets", "spaces")
PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
# Roots of the server's own routes, which a model repository's address would collide with.
RESERVED = {*TYPES, "api", "lfs", "xet", "settings", "login", "organizations"}
MOST_NAME = 96
MOST_PATH = 1024
MOST_PART = 255

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")


def is_name(text: str) -> bool:
    """Whether an account or a repository may be called so."""
    return (
        len(text) <= MOST_NAME
        and _NAME.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.lower().endswith((".git", ".ipynb"))
    )


def repo_id(namespace: str, name: str) -> str:
    """`namespace/name`, checked.

    Raises:
        Refused: One of both is no name.
    """
    for text in (namespace, name):
        if not is_name(text):
            raise HttpError(
                400,
                f"Invalid repository name {text[:120]!r}: letters, digits, '-', '_' and '.' of at "
                f"most {MOST_NAME} characters, neither '--' nor '..', no '-' or '.' at its ends",
            )
    if namespace.lower() in RESERVED:
        raise HttpError(400, f"The namespace {namespace!r} is the server's own; choose another")
    return f"{namespace}/{name}"


def checked_repo_id(text: str) -> str:
    """`namespace/name` given in one, checked."""
    namespace, _, name = text.partition("/")
    return repo_id(namespace, name)


def path_problem(path: str) -> str | None:
    """Why a file may not lie at this path, or None."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts):
        return "it must be relative, without empty parts, '.' and '..'"
    if any(part.lower().rstrip(". ") == ".git" or part.lower() == "git~1" for part in parts):
        return "no part may be .git"
    if any(ord(character) < 32 or character in "\\\x7f" for character in path):
        return "it must hold no backslash and no control character"
    try:
        encoded = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "it must be valid Unicode"
    if max(encoded) > MOST_PART or sum(encoded) + len(parts) - 1 > MOST_PATH:
        return f"a part may have {MOST_PART} bytes and the whole {MOST_PATH}"
    return None


def is_ref(text: str) -> bool:
    """Whether a branch or a tag may be called so; git's own rules, and no full reference."""
    return (
        0 < len(text.encode("utf-8", "replace")) <= MOST_PART
        and not _BAD_IN_REF.search(text)
        and not text.startswith(("-", "/", ".", "refs/"))
        and not text.endswith(("/", "."))
        and text not in ("@", "HEAD")
        and text.isprintable()
        and not re.fullmatch(r"[0-9a-f]{40}", text)
    )
