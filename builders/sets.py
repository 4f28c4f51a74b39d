"""A set: what a person makes with a recipe, declared in one Markdown file.

A set is found by its name in the working folder, then among those that ship. A recipe that is named
in its place makes an ad-hoc set, which has no file: its card has computed words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import InputError, file_errors_in_one_line, nearest_name, shortened
from builders.front_matter import FrontMatter
from builders.recipe import Recipe, at_home
from builders.recipe_loading import load_recipe, recipe_names
from builders.set_file import (
    Declaration,
    SetFile,
    SourceDeclaration,
    Words,
    is_set_file,
    read_set_file,
)

if TYPE_CHECKING:
    import builders

CARDS = Path(__file__).resolve().parents[1] / "cards"  # the sets that ship
WORK = Path("work")  # the folder of drafts and ledgers
_NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)  # as the Hub takes it
_TAKEN = ("hub", "judge")  # folders in work that are no set's


@dataclass(frozen=True, kw_only=True)
class Released:
    """The release that a set was declared by: its name, and what its rows were made from.

    `source` is the revision of its prompts or seeds, `code` the digest of its recipe, `teachers`
    are their revisions by name, `files` the digests of the options that name one, `given` the names
    and digests of the files that were given for its build, by flag.
    """

    shown: str
    source: str
    code: str | None
    teachers: Mapping[str, str | None]
    files: Mapping[str, str]
    given: Mapping[str, str]
    overridden: tuple[str, ...]
    ad_hoc: bool


@dataclass(frozen=True, kw_only=True)
class Set:
    """A set as it is declared.

    Attributes:
        name: The stem of its file; the recipe's name where it has none.
        recipe: The recipe.
        declaration: The front matter; its paths are as they are written.
        words: What a person wrote; None for an ad-hoc set, whose words are computed.
        file: Its file; None for an ad-hoc set.
        front: The values of its file, or of its release, with their lines; of no other set.
        released: The release that declares it, where it has no file here.
        work: The folder with its drafts and ledger, unless another one is named.
        found_from: The working folder from which the paths of these two lead to them.
    """

    name: str
    recipe: Recipe
    declaration: Declaration
    words: Words | None = None
    file: Path | None = None
    front: FrontMatter = field(default=FrontMatter(values={}, shown=""), repr=False, compare=False)
    released: Released | None = None
    work: Path = WORK
    found_from: Path = field(default_factory=Path.cwd, repr=False, compare=False)

    def here(self) -> Set:
        """The same set, with the paths that lead to its file and its drafts from here."""
        if self.file is None or self.ships or self.found_from == Path.cwd():
            return self
        file, work = (
            path if path.is_absolute() else Path(os.path.relpath(self.found_from / path))
            for path in (self.file, self.work)
        )
        return replace(self, file=file, work=work, found_from=Path.cwd())

    @property
    def ad_hoc(self) -> bool:
        """Whether nothing but a recipe declares it."""
        return self.file is None and (self.released is None or self.released.ad_hoc)

    @property
    def ships(self) -> bool:
        """Whether it came with potstill."""
        return self.file is not None and self.file.resolve().parent == CARDS

    @property
    def folder(self) -> Path:
        """Where the paths in its file start."""
        return self.file.parent if self.file else Path()

    @property
    def source(self) -> SourceDeclaration:
        """Its prompts or seed tasks, as declared.

        Raises:
            InputError: The recipe starts from the other of the two.
        """
        for flag in ("prompts", "seeds"):
            if (given := getattr(self.declaration, flag)) is not None:
                if flag != self.recipe.seeds.flag:
                    raise self.front.error(
                        (flag,),
                        f"{self.recipe.name} starts from {self.recipe.seeds.flag}, not from "
                        f"{flag}; rename the key",
                    )
                found: SourceDeclaration = given
                return found
        return SourceDeclaration()

    def build(self, **choices: Any) -> builders.Draft:
        """Build a draft, as `builders.build(self, ...)`; `help(builders.build)` explains more.

        Args:
            choices: They go before what the file declares. What to make it of: `prompts` or
                `seeds`, `license`; how much: `rows`, `keep`, `seed`; who answers: `teacher`,
                `model`, `key_env`, `params`, `without`, `teacher_license`, `trust_missing_end`; how
                fast: `concurrency`, `timeout_s`, `hedge_s`, `requests_per_minute`,
                `tokens_per_minute`; for how much: `budget_usd`, `budget_tokens`, `budget_calls`,
                `price`, `prices`; with what: `judge_report`, `contributed`; how it runs: `retry`,
                `accept_unreadable`, `from_ledger`, `work`, `progress`; and the recipe's options.

        Raises:
            InputError: A value is wrong; nothing was asked yet.
            PotstillError: With what to do; no draft was written, and every answer is kept.
        """
        import builders

        return builders.build(self, **choices)

    def __repr__(self) -> str:
        where = self.file or (self.released.shown if self.released else "ad hoc")
        return f"Set({self.name}: {self.recipe.name}, {where})"


@file_errors_in_one_line()
def load_set(name: str | Path) -> Set:
    """The set of a name or a file, as on the command line.

    `mathprefs` is mathprefs.md in the working folder, else a set that ships, else the ad-hoc set of
    a recipe; `sets/mathprefs` and `sets/mathprefs.md` are a file; `./my_recipe.py` a recipe.

    Raises:
        InputError: There is no such set or recipe, or its file is wrong.
        RecipeError: As `load_recipe`.
    """
    given = by_path(str(name))
    path = at_home(given)
    if path.suffix == ".md":
        if not path.is_file():
            raise InputError(
                f"there is no file {given!r}; `potstill new {path.stem} --recipe RECIPE` writes it"
            )
        return _set_in_file(path)
    if "/" not in given:
        here, shipped = Path(f"{given}.md"), CARDS / f"{given}.md"
        ships = is_set_file(shipped)
        if is_set_file(here) or (here.is_file() and not ships):
            return _set_in_file(here)
        if ships:
            return _set_in_file(shipped)
    return ad_hoc(_recipe_of(given))


def by_path(name: str) -> str:
    """A name; where it is the path of a set's file but for `.md`, that path."""
    return f"{name}.md" if "/" in name and is_set_file(Path(f"{name}.md")) else name


def as_set(given: Set | Recipe | str | Path) -> Set:
    """A set, as `load_set` where it is given by name; of a recipe the ad-hoc set."""
    if isinstance(given, Set):
        return given.here()
    return ad_hoc(given) if isinstance(given, Recipe) else load_set(given)


def ad_hoc(recipe: Recipe) -> Set:
    """The set of a recipe that has no file."""
    declared = recipe.name
    if recipe.file is not None and recipe.name not in recipe_names():
        declared = os.path.relpath(recipe.file)
        declared = declared if "/" in declared else f"./{declared}"
    return Set(name=recipe.name, recipe=recipe, declaration=Declaration(recipe=declared))


def check_repository(a_set: Set | None, repository: str) -> None:
    """Raise InputError where another set beside the file of this one declares its repository."""
    if a_set is None or a_set.file is None or a_set.ships:
        return
    for path in sets_here(a_set.file.parent):
        other = None if path.samefile(a_set.file) else _readable(path)
        if other and str(other.declared.repository).lower() == repository.lower():
            raise other.front.error(
                ("repository",),
                f"the set {path.stem} declares {repository} too, and a release of {a_set.name} "
                "would replace its rows; give one of the two another repository",
            )


def _readable(path: Path) -> SetFile | None:
    try:
        return read_set_file(path, os.path.relpath(path))
    except InputError:  # it cannot be released either
        return None


def sets_here(folder: Path | None = None) -> list[Path]:
    """The files of sets in a folder, by name; the working folder where none is named."""
    return sorted(path for path in (folder or Path()).glob("*.md") if is_set_file(path))


def _recipe_of(name: str) -> Recipe:
    try:
        return load_recipe(name)
    except InputError as error:
        if not _NAME.fullmatch(name) or not str(error).startswith("there is no recipe"):
            raise
        known = [*recipe_names(), *(path.stem for path in sets_here())]
        hint = f"; for the file here give ./{name}.py" if Path(f"{name}.py").is_file() else ""
        raise InputError(
            f"there is no set and no recipe {name!r}; there are {nearest_name(name, known)}{hint}"
        ) from None


def _set_in_file(path: Path) -> Set:
    ships = path.resolve().parent == CARDS
    path = path if ships else _file_of(path)
    check_name(path.stem)
    shown = f"cards/{path.name}" if ships else os.path.relpath(path)
    declared, words, front = read_set_file(path, shown)
    with front.at("recipe"):
        recipe = load_recipe(recipe_place(declared.recipe, path.parent))
    return Set(
        name=path.stem,
        recipe=recipe,
        declaration=declared,
        words=words,
        file=path,
        front=front,
        work=WORK if ships else path.parent / WORK,
    )


def _file_of(path: Path) -> Path:
    """The file that a path leads to: a link to the file of a set is that set, not another one."""
    return Path(os.path.relpath(path.resolve())) if path.is_symlink() else path


def recipe_place(recipe: str, folder: Path) -> str:
    """A recipe as `load_recipe` takes it: its file by a path that starts in a folder."""
    if recipe.endswith(".py") or "/" in recipe:
        return str(folder / at_home(recipe))
    return recipe


def check_name(name: str) -> None:
    """Raise InputError where a text cannot name a set, its folder and its repository."""
    if not _NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith((".git", ".md")):
        raise InputError(
            f"{shortened(name)} cannot name a set; give letters, digits, '-', '_' and '.', such as "
            "my-set"
        )
    if name in _TAKEN:
        raise InputError(f"{name!r} is a folder of potstill in work; name the set differently")


def names_set(word: str) -> bool:
    """Whether a word could be the name of a set in work, and is no file's."""
    return _NAME.fullmatch(word) is not None and not Path(word).suffix


def set_home(name: str, work: Path | None) -> Path | None:
    """The folder of a set's drafts and ledger, if it is there; its recipe need not be.

    Args:
        name: The name of a set or a recipe, or the file of a set.
        work: The folder of all sets; None takes that of the set.
    """
    name = by_path(name)
    file = _file_of(Path(name if name.endswith(".md") or "/" in name else f"{name}.md"))
    if file.suffix != ".md" or not _NAME.fullmatch(file.stem) or file.stem in _TAKEN:
        return None
    home = (work or file.parent / WORK) / file.stem
    return home if home.is_dir() else None
