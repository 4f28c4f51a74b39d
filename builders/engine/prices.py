"""What a million tokens of a model cost, as given or from the table in prices.toml."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.errors import InputError
from builders.recipe import number

_TABLE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD per million tokens; `cached` is for input that the endpoint has cached, None: `input`."""

    input: float
    output: float
    cached: float | None = None

    @property
    def words(self) -> str:
        """The same as `read_price` takes it."""
        given = (self.input, self.output, *(() if self.cached is None else (self.cached,)))
        return "/".join(f"{one:.0f}" if one.is_integer() else repr(one) for one in given)

    def cost(self, input_tokens: float, output_tokens: float, cached_tokens: float = 0) -> float:
        """The cost of that many tokens, in USD; `cached_tokens` are part of the input."""
        cached_tokens = min(cached_tokens, input_tokens) if self.cached is not None else 0
        whole = (input_tokens - cached_tokens) * self.input + output_tokens * self.output
        return (whole + cached_tokens * (self.cached or 0.0)) / 1e6


FREE_KINDS = ("embedded", "scripted")  # of teachers, which run on this machine
FREE = Price(input=0.0, output=0.0)


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """Prices by model.

    `name` is what a card calls it, `file` its file with the sha256 of that. `prefixes` are names of
    providers that may come before that of a model, as in `openai/gpt-4o-mini`.
    """

    name: str
    file: str
    models: Mapping[str, Price]
    prefixes: frozenset[str] = frozenset()

    def price(self, model: str) -> Price | None:
        """The price of a model by an endpoint's name for it; None if it is not listed."""
        while model not in self.models:
            prefix, slash, rest = model.partition("/")
            if not slash or prefix.lower() not in self.prefixes:
                return None
            model = rest
        return self.models[model]


def price_of(
    model: str, *, usual: Price | None = None, table: PriceTable | None = None
) -> Price | None:
    """The price of a model, by its endpoint's name for it; None if it is unknown.

    `usual` is for a model that `table` does not list; without both, prices.toml counts.
    """
    if table is None and usual is None:
        table = read_prices(_TABLE)
    return (table and table.price(model)) or usual


def identity_price(
    identity: Mapping[str, Any], usual: Price | None, table: PriceTable | None
) -> Price | None:
    """The price of a teacher's model; zero if it runs on this machine, None if unknown."""
    if not usual and identity["kind"] in FREE_KINDS:
        return FREE
    return price_of(str(identity["model"]), usual=usual, table=table)


def prices_used(usual: Price | None, table: PriceTable | None) -> str:
    """Which prices a build counts with, for its card."""
    parts = [] if table is None and usual else [(table or read_prices(_TABLE)).name]
    if usual:
        cached = "" if usual.cached is None else f", {usual.cached:g} cached"
        parts.append(f"the given {usual.input:g}/{usual.output:g}{cached} per million tokens")
    return " and ".join(parts)


def read_price(given: str) -> Price:
    """The price that a text of the form `IN/OUT` or `IN/OUT/CACHED` gives, per million tokens.

    Raises:
        InputError: It has another form, or a number is not finite or below 0.
    """
    try:
        inward, outward, *cached = map(float, given.split("/"))
        if len(cached) > 1:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{given!r} is not IN/OUT; expected USD per million tokens, such as 0.15/0.60, or with "
            "cached input 0.15/0.60/0.075"
        ) from None
    return _price(inward, outward, *cached)


def read_prices(path: Path) -> PriceTable:
    """The prices in a file of the form of prices.toml.

    Raises:
        InputError: It cannot be read, has another form, or a number is not finite or below 0.
    """
    try:
        content = path.read_bytes()
        given = tomllib.loads(content.decode())
        version = f" of {given['version']}" if "version" in given else ""
        return PriceTable(
            name=f"the price table {path.name}{version}",
            file=f"{path.name}, sha256:{hashlib.sha256(content).hexdigest()}",
            models={name: _price(**price) for name, price in given["models"].items()},
            prefixes=frozenset(given.get("prefixes", ())),
        )
    except OSError as error:
        reason = error.strerror or str(error)
    except KeyError as error:
        reason = f"it has no {error}"
    except (ValueError, TypeError, AttributeError, InputError) as error:
        reason = str(error)
    raise InputError(
        f"{str(path)!r} is not a table of prices ({reason}); expected the form of "
        "builders/engine/prices.toml"
    )


def _price(input: float, output: float, cached: float | None = None) -> Price:  # noqa: A002 - a key
    return Price(
        input=number(input, float, least=0),
        output=number(output, float, least=0),
        cached=None if cached is None else number(cached, float, least=0),
    )
