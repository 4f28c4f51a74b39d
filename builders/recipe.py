"""A recipe: everything that makes one set what it is, and nothing about where it runs."""

from __future__ import annotations

import hashlib
import importlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from builders.errors import RecipeError
from builders.schema import CALLS, DROPPED, Row, Schema

Raw = dict[str, Any]
Json = str | int | float | bool | None | list[Any] | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A candidate that is not kept: the reason (one or two lower-case words) and what it rests on.

    `evidence` holds JSON values only; it is shown to people and released as data.
    """

    reason: str
    evidence: Mapping[str, Json] = field(default_factory=dict)


RowOrDrop = Row | Drop
RowGate = Callable[[Row], Drop | None]
DraftGate = Callable[[Sequence[Raw], Sequence[Row]], Mapping[int, Drop]]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What a set starts from: a source, its form, its licence, and who wrote it.

    `form` is `tasks` (instruction, instances, is_classification) or `prompts` (a text or
    messages column). `keeps` are the text columns that a prompt keeps where its source has them.
    """

    form: Literal["tasks", "prompts"]
    source: str
    licence: str = "unknown"
    written_by: str = "unknown"
    keeps: tuple[str, ...] = ()

    @classmethod
    def shipped(
        cls, recipe: str, name: str, *, form: Literal["tasks", "prompts"], keeps: Sequence[str] = ()
    ) -> Seeds:
        """The seeds in `seeds/` beside the module `recipe` (its `__file__`): ours, so under CC0."""
        return cls(
            form=form,
            source=str(Path(recipe).parent / "seeds" / name),
            licence="cc0-1.0",
            written_by="a language model, reviewed line by line",
            keeps=tuple(keeps),
        )

    @property
    def flag(self) -> Literal["seeds", "prompts"]:
        """The command line's flag for another source."""
        return "seeds" if self.form == "tasks" else "prompts"


@dataclass(frozen=True)
class Option:
    """A choice that the recipe leaves to the user; its type is its default's type.

    A `file` other than the default is a path; what is released names the file and its sha256.
    """

    name: str
    default: int | float | str
    meaning: str
    _: KW_ONLY
    choices: tuple[str, ...] = ()
    least: float | None = None
    file: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked of one build: how many, from which random seed, with which options."""

    rows: int
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """Runs one distilabel pipeline over rows and gives its raw rows, in the rows' order."""

    def __call__(
        self, pipeline: Callable[..., Any], rows: Sequence[Raw], **wiring: Any
    ) -> list[Raw]:
        """Give the rows that came through; a row that failed comes with its key `failed`."""
        ...

    def made(self, rows: int) -> None:
        """Say how many of the wanted rows there are by now, for whoever watches."""


@dataclass(frozen=True, kw_only=True)
class ExtraConfig:
    """A further config of a set: the same candidates in another shape.

    `rows` gets every raw row with the kept row it became, or None, and gives rows with an `id`
    that is unique in the config.
    """

    schema: Schema
    rows: Callable[[Iterable[tuple[Raw, Row | None]], Settings], Iterable[Row]]


Configs = Callable[[str], Iterable[Row]]  # the rows of a config, by its name


def no_measures(_: Configs) -> dict[str, Json]:
    """Of a recipe that reports nothing beside what every set does."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes one set.

    Attributes:
        name: The module's name in pipelines/ and the set's name.
        makes: One line for `potstill list`.
        schema: The shape of the `default` config.
        seeds: What it starts from unless another source is given.
        roles: What each teacher is for, by role.
        pools: The roles that several teachers may share.
        rows: How many rows a build makes unless told otherwise, and of what.
        rows_of: What `rows` counts, in words.
        pipeline: Wires the distilabel steps: `pipeline(teach, **wiring) -> Pipeline`.
        row: The pure function from a raw row to a kept row or a reason.
        candidates: For a recipe that runs its pipeline more than once (a pool that grows); gives
            every raw row once. None: the pipeline runs once over all seeds.
        gates: Reasons to keep one row out, after `row`, in order.
        draft_gates: Reasons that need all rows: from the raw rows and the rows that they became to
            drops by position.
        options: What may be chosen for a build.
        views: Further configs, by name, made from the same candidates.
        measures: What the set reports of itself beside what every set does, by name in words: from
            the rows of its configs alone, so that a reader can compute it again.
        source: The paper or specification it follows.
    """

    name: str
    makes: str
    schema: Schema
    seeds: Seeds
    roles: Mapping[str, str]
    rows: int
    rows_of: str
    pipeline: Callable[..., Any]
    row: Callable[[Raw], RowOrDrop]
    candidates: Callable[[Run, Sequence[Raw], Settings], Iterable[Raw]] | None = None
    gates: tuple[RowGate, ...] = ()
    draft_gates: Callable[[Settings], tuple[DraftGate, ...]] = lambda _: ()
    pools: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    views: Mapping[str, ExtraConfig] = field(default_factory=dict)
    measures: Callable[[Configs], Mapping[str, Json]] = no_measures
    source: str = ""

    @property
    def schemas(self) -> dict[str, Schema]:
        """The configs of its drafts and releases and their shapes; `default` first."""
        views = {name: view.schema for name, view in self.views.items()}
        return {"default": self.schema, **views, "calls": CALLS, "dropped": DROPPED}

    def all_candidates(self, run: Run, seeds: Sequence[Raw], settings: Settings) -> Iterator[Raw]:
        """Every raw row of a build, each once."""
        if self.candidates:
            yield from self.candidates(run, seeds, settings)
        else:
            yield from run(self.pipeline, seeds[: settings.rows], **settings.options)


def normalised(text: str) -> str:
    """The form in which two prompts are the same: NFC, lower case, white space collapsed."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def short_hash(*parts: str) -> str:
    """The first 16 hex digits of the sha256 of the parts, which cannot run into one another."""
    apart = (part.replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for part in parts)
    return hashlib.sha256("\x1f".join(apart).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def row_id(prompt: str | Sequence[Mapping[str, str]]) -> str:
    """A row's id: from its normalised prompt, so that it survives a better answer."""
    if isinstance(prompt, str):
        return short_hash(normalised(prompt))
    if len(prompt) == 1:
        return short_hash(normalised(prompt[0]["content"]))
    return short_hash(*(f"{turn['role']}: {normalised(turn['content'])}" for turn in prompt))


def recipe_names(package: ModuleType) -> list[str]:
    """The recipes in a package: its modules by file name, in alphabetical order."""
    folder = Path(str(package.__file__)).parent
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def load_recipe(package: ModuleType, name: str) -> Recipe:
    """The recipe of a module.

    Raises:
        RecipeError: The module holds no RECIPE of its own name.
    """
    module = importlib.import_module(f"{package.__name__}.{name}")
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe) or recipe.name != name:
        raise RecipeError(
            f"pipelines/{name}.py has no RECIPE = Recipe(name={name!r}, ...); add one, "
            "or move the module elsewhere"
        )
    return recipe
