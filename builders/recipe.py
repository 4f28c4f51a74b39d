"""A recipe: everything that makes one set what it is, and nothing about where it runs."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Protocol

from builders.errors import InputError, did_you_mean, nearest_name, shortened
from builders.schema import CALLS, DROPPED, Row, Schema

SEED = 42
MOST = 10**12  # larger than anything that is counted here
SEEDS = 2**63  # what a random seed is below, on both sides of 0

Raw = dict[str, Any]
Json = str | int | float | bool | None | list[Any] | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Why a candidate is not kept: the reason, one or two lower-case words, and its evidence.

    `evidence` holds JSON values only; it is shown to people and released as data.
    """

    reason: str
    evidence: Mapping[str, Json] = field(default_factory=dict)


RowOrDrop = Row | Drop
RowGate = Callable[[Row], Drop | None]
Candidates = Iterable[tuple[Raw, Row | None]]  # every raw row with the kept row it became
DraftGate = Callable[[Iterable[tuple[Raw, Row]]], Mapping[int, Drop]]


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


# No option (samples, rounds, tokens) is larger, and a slip must not fill memory.
_MOST_OF_OPTION = 1_000_000


@dataclass(frozen=True)
class Option:
    """A choice that the recipe leaves to the user; its type is its default's type.

    A `file` other than the default is a path; what is released names the file and its sha256.
    `helps` are the values that help where most of a judge's answers cannot be parsed, by the fault
    of these answers, such as `cut off`; the empty text is for those that no option names.
    """

    name: str
    default: int | float | str
    meaning: str
    _: KW_ONLY
    choices: tuple[str, ...] = ()
    least: float | None = None
    file: bool = False
    helps: Mapping[str, int | float | str] = field(default_factory=dict)

    def value(self, given: object) -> int | float | str:
        """A given value in the option's type.

        Raises:
            InputError: It has another type, is below `least`, is none of the choices, or names a
                file that does not exist. The caller adds the option's name.
        """
        if not isinstance(self.default, str):
            return number(given, type(self.default), least=self.least, most=_MOST_OF_OPTION)
        if not isinstance(given, str | Path):
            raise InputError(f"{shortened(given)} is not a text")
        text = fit_text(str(given))
        if self.choices and text not in self.choices:
            raise InputError(
                f"there is no {shortened(text)}; there are {nearest_name(text, self.choices)}"
            )
        if self.file and text != self.default and not Path(text).is_file():
            raise InputError(f"there is no file {shortened(text)}")
        return text


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one build: how many rows, which random seed, which options.

    `keep` ends the build when so many rows are kept; `rows` is then the most that are asked for.
    """

    rows: int
    keep: int | None = None
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """Runs one distilabel pipeline over rows and returns its raw rows in the order of the rows."""

    def __call__(
        self, pipeline: Callable[..., Any], rows: Iterable[Raw], **wiring: Any
    ) -> list[Raw]:
        """The raw rows; one that failed has the key `failed`."""
        ...

    def made(self, rows: int) -> None:
        """Report how many of the requested rows there are by now, for the progress."""


@dataclass(frozen=True, kw_only=True)
class ExtraConfig:
    """A further config of a set: the same candidates in another shape.

    `rows` takes every raw row with the kept row that it became, or None, and returns rows with an
    `id` that is unique in the config.
    """

    schema: Schema
    rows: Callable[[Candidates, Settings], Iterable[Row]]


Configs = Callable[[str], Iterable[Row]]  # the rows of a config, by its name


def no_measures(_: Configs) -> dict[str, Json]:
    """The measures of a recipe that has none of its own."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What makes one set.

    Attributes:
        name: The name of its module, and of the set.
        makes: What it makes, in one line for `potstill list`.
        schema: The schema of the config `default`.
        seeds: What it starts from where no other source is given.
        roles: What each teacher is for, by role.
        pools: The roles that several teachers may share.
        rows: How many rows a build makes where no number is given.
        rows_of: What `rows` counts, in words.
        pipeline: Wires the distilabel steps: `pipeline(teach, **options) -> Pipeline`.
        row: A pure function from a raw row to a kept row or a drop.
        candidates: Every raw row, each once, of a recipe that runs its pipeline more than once, as
            with a pool that grows. None runs the pipeline once over the source.
        gates: Reasons to drop one row, tried in order after `row`.
        draft_gates: Reasons that need all rows: each gets every raw row with the kept row that it
            became, once and in order, and returns drops by position. The rows are read from disk;
            a gate for large drafts keeps only what it compares.
        options: What the user may choose for a build.
        caution: What to know of the settings before anything is paid, in one line, if anything.
        extra_configs: Further configs by name, made from the same candidates.
        measures: What the set reports beside the figures of every set, by name in words: computed
            from the rows of its configs alone, so that a reader can compute it again.
        source: The paper or specification that it follows.
        follows: The part of `source` that a build with these settings follows; None is all of it.
        file: The file of its module; None where `load_recipe` did not load it.
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
    caution: Callable[[Settings], str | None] = lambda _: None
    extra_configs: Mapping[str, ExtraConfig] = field(default_factory=dict)
    measures: Callable[[Configs], Mapping[str, Json]] = no_measures
    source: str = ""
    follows: Callable[[Settings], str | None] = lambda _: None
    file: Path | None = None

    @property
    def schemas(self) -> dict[str, Schema]:
        """The schemas of its drafts and releases by config, `default` first."""
        extra = {name: one.schema for name, one in self.extra_configs.items()}
        return {"default": self.schema, **extra, "calls": CALLS, "dropped": DROPPED}

    def settings(
        self,
        *,
        rows: int | None = None,
        keep: int | None = None,
        seed: int = SEED,
        options: Mapping[str, object] | None = None,
        beside: Iterable[str] = (),
    ) -> Settings:
        """The settings of a build, checked, with the default of every option that is not given.

        `beside` are further names that the caller takes; they are offered for a misspelt one.

        Raises:
            InputError: There is no such option, or a value is wrong.
        """
        given, known = dict(options or {}), {option.name: option for option in self.options}
        if strange := next((name for name in given if name not in known), None):
            raise InputError(
                f"{self.name} has no option {strange!r}; there are {', '.join(sorted(known))}"
                f"{did_you_mean(strange, [*known, *beside])}"
            )
        values: dict[str, Any] = {}
        for name, option in known.items():
            with named(name):
                values[name] = option.value(given[name]) if name in given else option.default
        with named("rows"):
            rows = self.rows if rows is None else int(number(rows, int, least=1, most=MOST))
        with named("keep"):
            keep = None if keep is None else int(number(keep, int, least=1, most=MOST))
        with named("seed"):
            seed = int(number(seed, int, least=-SEEDS, most=SEEDS - 1))
        return Settings(rows=rows, keep=keep, seed=seed, options=values)


# Characters of Unicode 15 to 18 that a newer Python orders, composes or lowers, and 3.11 does not.
_LATER = re.compile(
    "(["
    "\u0558\u058b-\u058c\u05c8-\u05c9\u0897\u0b53-\u0b54\u0ece\u1acf-\u1af0\u1c89-\u1c8a"
    "\u208f\u209d-\u209f\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7f1\uab6c-\uab6d"
    "\U000105c9-\U000105e4\U000107bb-\U000107bf\U00010d4e-\U00010d85\U00010ec5-\U00010eff"
    "\U00011241\U00011382-\U000113e2\U00011b60-\U00011b66\U00011dd9-\U00011df0"
    "\U00011f00-\U00011f5a\U00013439-\U00013455\U0001611e-\U0001612f\U00016d40-\U00016d6c"
    "\U00016ea0-\U00016ed3\U00016ff2-\U00016ff3\U0001d127-\U0001d128\U0001d250-\U0001d281"
    "\U0001d6a6\U0001df1f-\U0001dfff\U0001e030-\U0001e08f\U0001e4eb-\U0001e6ff"
    "]+)"
)


def normalised(text: str) -> str:
    """The form in which equal prompts are compared: NFC, lower case, white space collapsed.

    By the tables of Unicode 14, as ids are made of it: the same on every Python from 3.11 on.
    """
    parts = _LATER.split(text)
    parts[::2] = (unicodedata.normalize("NFC", part).lower() for part in parts[::2])
    return " ".join("".join(parts).split())


def short_hash(*parts: str) -> str:
    """The first 16 hex digits of the sha256 of the parts and of the bounds between them."""
    apart = (part.replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for part in parts)
    return hashlib.sha256("\x1f".join(apart).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fingerprint(text: str) -> int:
    """64 bits that two texts share only if they are equal: a short form of a million texts."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def row_id(prompt: str | Sequence[Mapping[str, str]]) -> str:
    """A row's id: from its normalised prompt, so that a better answer does not change it."""
    if isinstance(prompt, str):
        return short_hash(normalised(prompt))
    if len(prompt) == 1:
        return short_hash(normalised(prompt[0]["content"]))
    return short_hash(*(f"{turn['role']}: {normalised(turn['content'])}" for turn in prompt))


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of what is checked before the message of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def number(
    given: Any,
    kind: type[int | float],
    *,
    least: float | None = None,
    above: float | None = None,
    most: float = math.inf,
) -> int | float:
    """A given number as `kind`, int or float.

    Raises:
        InputError: It is not a finite number of that kind, or out of bounds.
    """
    fits = isinstance(given, Integral if kind is int else Real)
    if fits and not isinstance(given, bool):
        with contextlib.suppress(OverflowError):
            value = kind(given)
            low = (least is not None and value < least) or (above is not None and value <= above)
            if not low and (kind is int or math.isfinite(value)):
                if value > most:
                    raise InputError(f"{shortened(given)} is too large; the largest is {most:,}")
                return value
    expected = "whole number" if kind is int else "number"
    expected += "" if least is None or least < 0 else f" from {least:g} on"
    expected += "" if above is None else f" above {above:g}"
    raise InputError(f"{shortened(given)} is not a {expected}")


_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def text(given: Any) -> str:
    """A given text.

    Raises:
        InputError: It is not a text, is empty, or cannot be printed on a line.
    """
    if not isinstance(given, str):
        raise InputError(f"{shortened(given)} is not a text")
    if not given.strip():
        raise InputError("the value is empty; give one, or leave it out")
    return fit_text(given)


def path(given: Any) -> Path:
    """A given path on this machine; `~` at its start is a home.

    Raises:
        InputError: It is neither a text nor a Path, an address, or no text that `text` takes.
    """
    word = text(str(given) if isinstance(given, Path) else given)
    if "://" in word:
        raise InputError(
            f"{shortened(word)} is not a path; name a file or a folder on this machine"
        )
    if word.startswith("~"):
        return at_home(word)
    # In a relative path pyarrow takes a:b for an address, and ~ for a home.
    return Path(word).absolute() if {":", "~"} & {*word} else Path(word)


def at_home(word: object) -> Path:
    """A path, whose `~` is a home.

    Raises:
        InputError: There is no such user.
    """
    try:
        return Path(str(word)).expanduser()
    except RuntimeError:
        raise InputError(f"{shortened(word)}: there is no such user; name another") from None


def fit_text(given: str) -> str:
    """A given text that can be printed on a line; it may be empty.

    Raises:
        InputError: It cannot.
    """
    if _UNFIT.search(given):
        raise InputError(
            f"{shortened(given)} holds control characters or bytes that are not UTF-8; "
            "type it without them"
        )
    return given
