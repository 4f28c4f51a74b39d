"""What calls cost and when to stop: prices by model, one budget per build."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.engine.calls import Answer, Call
from builders.errors import InputError
from builders.recipe import number

_TABLE = Path(__file__).with_name("prices.toml")
_BYTES_PER_TOKEN = 2.5  # below the mean of texts in any script: never counts too few tokens
_UNBOUNDED_OUTPUT = 4096  # tokens reserved where no max_tokens bounds an answer


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """The cost of that many tokens, in USD."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


FREE = Price(input=0.0, output=0.0)


def price_of(
    model: str, *, usual: Price | None = None, table: Mapping[str, Price] | None = None
) -> Price | None:
    """The price of a model, by its endpoint's name for it; None if it is unknown.

    `usual` is for a model that `table` does not list; without both, prices.toml counts.
    """
    if table is None:
        table = {} if usual else read_prices(_TABLE)
    return table.get(model, usual)


def read_price(given: str) -> Price:
    """The price that a text of the form `IN/OUT` gives, in USD per million tokens.

    Raises:
        InputError: It has another form, or a number is not finite or below 0.
    """
    try:
        inward, outward = map(float, given.split("/"))
    except ValueError:
        raise InputError(
            f"{given!r} is not IN/OUT; expected USD per million tokens, such as 0.15/0.60"
        ) from None
    return _price(inward, outward)


def read_prices(path: Path) -> dict[str, Price]:
    """The prices in a file of the form of prices.toml, by model.

    Raises:
        InputError: It cannot be read, has another form, or a number is not finite or below 0.
    """
    try:
        models = tomllib.loads(path.read_text(encoding="utf-8"))["models"]
        return {name: _price(**price) for name, price in models.items()}
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


def _price(input: float, output: float) -> Price:  # noqa: A002 - the key in a table
    return Price(input=number(input, float, least=0), output=number(output, float, least=0))


@dataclass(frozen=True, kw_only=True)
class BudgetLimits:
    """What a build may use in this run; None means no limit."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


class OverBudget(Exception):
    """The next call could exceed the budget, and no call in flight can still change that."""


class Budget:
    """Keeps calls, tokens and money within their limits, calls in flight included.

    Each call reserves the most it can use. While that does not fit next to the reservations of
    calls in flight, it waits for them to turn out cheaper. A build therefore stops before its
    limit, by less than the most one call can use, and never after it. `prices` are by endpoint and
    model; `price` applies to every other model.
    """

    def __init__(
        self,
        limits: BudgetLimits,
        price: Price | None = None,
        *,
        prices: Mapping[tuple[str, str], Price | None] | None = None,
    ) -> None:
        self._limits = {"usd": limits.usd, "tokens": limits.tokens, "calls": limits.calls}
        self._bounded = any(limit is not None for limit in self._limits.values())
        self._price = price
        self._prices = {} if prices is None else prices
        self.spent: dict[str, float] = {"usd": 0.0, "tokens": 0.0, "calls": 0.0}
        self._reserved = dict(self.spent)
        self._most_output: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def reserve(self, call: Call) -> dict[str, float]:
        """Wait until the call fits; return the reservation, for `settle` or `release`.

        Raises:
            OverBudget: It cannot fit any more; the message names the limit and how much is used.
        """
        if not self._bounded:
            return {}
        most = self._most(call)
        while over := self._over(most):
            if not self._reserved["calls"]:
                raise OverBudget(self._message(over, most))
            self._changed.clear()
            await self._changed.wait()
        for name, amount in most.items():
            self._reserved[name] += amount
        return most

    def release(self, reserved: dict[str, float]) -> None:
        """Cancel the reservation of a call that was not sent."""
        for name, amount in reserved.items():
            self._reserved[name] -= amount
        self._changed.set()

    def settle(
        self, reserved: dict[str, float], call: Call, answer: Answer | None, *, lost: bool = False
    ) -> float | None:
        """Replace a reservation by what was used; return the cost in USD, None if unknown.

        `lost` means that the answer did not arrive and nobody knows what was used: then the whole
        reservation counts as used.
        """
        tokens = (answer.input_tokens or 0, answer.output_tokens or 0) if answer else (0, 0)
        price = self._price_of(call)
        cost = price.cost(*tokens) if price else None
        used = {"calls": 1.0, "tokens": sum(tokens), "usd": cost or 0.0}
        for name, amount in (reserved if lost and reserved else used).items():
            self.spent[name] += amount
        self.release(reserved)
        if answer and answer.output_tokens and "max_tokens" not in call.sampling:
            known = self._most_output.get(call.role, 0)
            self._most_output[call.role] = max(known, 2 * answer.output_tokens)
        return cost

    def _most(self, call: Call) -> dict[str, float]:
        prompt = str(call.prompt).encode("utf-8", "replace")
        input_tokens = 16 + len(prompt) / _BYTES_PER_TOKEN
        output_tokens = call.sampling.get("max_tokens") or self._most_output.get(
            call.role, _UNBOUNDED_OUTPUT
        )
        price = self._price_of(call)
        usd = price.cost(input_tokens, output_tokens) if price else 0.0
        return {"usd": usd, "tokens": input_tokens + output_tokens, "calls": 1.0}

    def _price_of(self, call: Call) -> Price | None:
        return self._prices.get((call.endpoint, call.model), self._price)

    def _over(self, most: dict[str, float]) -> str | None:
        for name, limit in self._limits.items():
            used = self.spent[name] + self._reserved[name] + most[name]
            if limit is not None and used > limit:
                return name
        return None

    def _message(self, name: str, most: dict[str, float]) -> str:
        return (
            f"the budget of {self._limits[name]:g} {name} is reached: {self.spent[name]:.6g} are "
            f"used and the next call may use {most[name]:.3g}"
        )


def identity_price(
    identity: Mapping[str, Any], usual: Price | None, table: Mapping[str, Price] | None
) -> Price | None:
    """The price of a teacher's model; zero if it runs on this machine, None if unknown."""
    if not usual and identity["kind"] in ("embedded", "scripted"):
        return FREE
    return price_of(str(identity["model"]), usual=usual, table=table)
