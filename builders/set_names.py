"""A set on a Hub or a place on this machine: which of the two a word names.

Both `org/set` and `out/mine` are two words and a slash. What looks like a path is a path, so that a
slip in one is reported as a missing folder and its name is sent to no Hub; a revision, as in
`org/set@main`, makes it a set in any case.
"""

from __future__ import annotations

import re
from pathlib import Path

from builders.errors import InputError, shortened

_PART = r"[A-Za-z0-9_](?:[\w.-]*\w)?"
_MOST_REPOSITORY = 96  # characters of a repository's name, its namespace included: the Hub's limit
_SET = re.compile(rf"({_PART}/{_PART})(?:@(\S+))?", re.ASCII)
_FILE = re.compile(r"\.(?!v\d)[A-Za-z]\w{0,7}")  # the suffix of a file, not a version's number
_FOLDER = re.compile(  # where people keep data, and the two first words of the Hub's own paths
    "build|cards|data|dist|drafts?|experiments?|exports?|hub|outputs?|out|parquet|pipelines|prompts|"
    "releases?|results?|runs?|scratch|seeds|sets|shards?|src|tests?|te?mp|var|work|workspace|"
    "datasets?|models?",
    re.IGNORECASE,
)


def set_name(text: str, revision: str | None = None) -> tuple[str, str | None] | None:
    """The repository and the revision of `org/set` or `org/set@v1.0.0`; None for a path.

    Args:
        text: The word.
        revision: The revision where it is given apart.
    """
    found = _SET.fullmatch(text)
    if found is None:
        return None
    if not (revision or found[2]):
        folder, name = Path(found[1]).parts
        usual = _FOLDER.fullmatch(folder) or _FILE.fullmatch(Path(name).suffix)
        if usual or Path(folder).exists():
            return None
    return found[1], revision or found[2]


def parse_set(
    text: str, *, expected: str = "a set on a Hub such as org/set@v1.0.0"
) -> tuple[str, str | None]:
    """As `set_name`, where only a set will do or the path was looked for.

    Raises:
        InputError: It is a path, or neither.
    """
    named = set_name(text)
    if named:
        return named
    what = f"there is no folder {shortened(text)}"
    if "://" in text or "@" in text:
        what = f"{shortened(text)} is not the name of a set"
    elif Path(text).exists():
        what = f"{shortened(text)} is on this machine"
    if _SET.fullmatch(text):
        expected += f"; for a set of this name add its revision, as in {text}@main"
    raise InputError(f"{what}; expected {expected}")


def name_problem(repository: str) -> str | None:
    """Why the Hub would not accept a repository of that name, or None."""
    parts = repository.split("/")
    if len(parts) != 2:
        return "expected an organisation or a user, a slash, and a name"
    if len(repository) > _MOST_REPOSITORY:
        return f"it has {len(repository)} characters of at most {_MOST_REPOSITORY}"
    if repository.endswith(".git"):
        return "it ends with .git"
    if "--" in repository or ".." in repository:
        return "it holds -- or .."
    if not all(re.fullmatch(_PART, part, re.ASCII) for part in parts):
        return "a name has letters, digits and '_', and '-' and '.' only inside"
    return None
