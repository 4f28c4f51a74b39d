"""When to stop: the most that calls can use, and one budget per build."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from builders.engine.calls import Answer, Call, Used
from builders.engine.in_flight_file import InFlightFile
from builders.engine.prices import Price
from builders.errors import number_of

_BYTES_PER_TOKEN = 2.5  # below the mean of texts in any script: never counts too few tokens
_MOST_BYTES_PER_TOKEN = 8  # above the mean of texts in any script: what has more is longer
_UNBOUNDED_OUTPUT = 4096  # tokens reserved where no max_tokens bounds an answer
_SURPLUS = 200_000  # tokens that a server's own prompt, or thinking beyond max_tokens, may add


@dataclass(frozen=True, kw_only=True)
class BudgetLimits:
    """What a build may use, over all runs that share its ledger; None means no limit."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


class OverBudget(Exception):
    """The next call could exceed the budget, and no call in flight can still change that."""


class Budget:
    """Keeps calls, tokens and money within their limits, calls in flight included.

    Each call reserves the most it can use. While that does not fit next to the reservations of
    calls in flight, it waits for them to turn out cheaper. A build therefore stops before its
    limit, by less than the most one call can use, and never after it. `in_flight` keeps on the disk
    what is sent, until the ledger has it. `prices` are by endpoint and model; `price` applies to
    every other model. `before` is what earlier runs used: calls, tokens and usd.
    """

    def __init__(
        self,
        limits: BudgetLimits,
        price: Price | None = None,
        *,
        prices: Mapping[tuple[str, str], Price | None] | None = None,
        before: Mapping[str, float] | None = None,
        in_flight: InFlightFile | None = None,
    ) -> None:
        self._limits = {"usd": limits.usd, "tokens": limits.tokens, "calls": limits.calls}
        self._bounded = any(limit is not None for limit in self._limits.values())
        self._price = price
        self._prices = {} if prices is None else prices
        self._before = dict(before or dict.fromkeys(self._limits, 0.0))
        self.spent = dict(self._before)
        self._reserved = dict.fromkeys(self._limits, 0.0)
        self._in_flight = dict.fromkeys(self._limits, 0.0)
        self._unrecorded = dict.fromkeys(self._limits, 0.0)  # of what is spent
        self._file = in_flight
        self._most_output: dict[str, float] = {}
        self._using = 0  # requests that used tokens
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

    def sent(self, reserved: dict[str, float]) -> None:
        """Note that the request of a reservation is sent now, so that a kill does not lose it.

        Raises:
            OverBudget: Requests that were sent `again` have used what was reserved.
            FolderError: The disk is full or not writable.
        """
        self._check_one_more()
        for name, amount in reserved.items():
            self._in_flight[name] += amount
        self._hold()

    def again(self) -> None:
        """Note that a request in flight was refused, which used only a call, and is sent again.

        Raises:
            OverBudget: One more request does not fit beside those in flight.
            FolderError: The disk is full or not writable.
        """
        self._check_one_more()
        self.spent["calls"] += 1
        self._unrecorded["calls"] += 1
        self._hold()

    def recorded(self, requests: int, most: Used | None) -> None:
        """Note that the ledger has requests that were settled, with the most that they used."""
        used = {"calls": requests, "tokens": most and most.tokens, "usd": most and most.usd}
        for name, amount in used.items():
            self._unrecorded[name] -= amount or 0.0

    def _check_one_more(self) -> None:
        limit = self._limits["calls"]
        if limit is not None and self.spent["calls"] + self._in_flight["calls"] >= limit:
            raise OverBudget(self._message("calls", {"calls": 1.0}))

    def _hold(self) -> None:
        if self._file:
            in_flight = self._in_flight.items()
            self._file.hold({name: sent + self._unrecorded[name] for name, sent in in_flight})

    def end(self) -> None:
        """Note that all requests are recorded."""
        if self._file:
            self._file.end()

    def release(self, reserved: dict[str, float]) -> None:
        """Cancel the reservation of a call that was not sent."""
        for name, amount in reserved.items():
            self._reserved[name] -= amount
        self._changed.set()

    def settle(
        self, reserved: dict[str, float], call: Call, answer: Answer | None, *, lost: bool = False
    ) -> Used:
        """Replace a reservation by what was used, and return this.

        Tokens that the endpoint did not count settle at the most that they can be (`most_tokens`),
        and so does the whole call if it was `lost`: no answer came, and nobody knows what was used.
        """
        tokens = (0.0, 0.0)
        if answer or lost:
            tokens = most_tokens(call, answer)
        price = self._price_of(call)
        cached = (answer.cached_tokens or 0) if answer else 0
        used = Used(sum(tokens), price.cost(*tokens, cached) if price else None)
        for name, amount in (("calls", 1), ("tokens", used.tokens), ("usd", used.usd or 0.0)):
            self.spent[name] += amount
            self._unrecorded[name] += amount
        self._using += used.tokens > 0
        self.release(reserved)
        for name, amount in reserved.items():
            self._in_flight[name] -= amount
        if answer and tokens[1] and not _max_tokens(call):
            likely = tokens[1] if answer.output_tokens is None else 2 * tokens[1]
            self._most_output[call.role] = max(self._most_output.get(call.role, 0), likely)
        return used

    def tokens_per_call(self, call: Call) -> float:
        """The tokens that a call is expected to use: the mean so far, at first the most it can."""
        if self._using:
            return (self.spent["tokens"] - self._before["tokens"]) / self._using
        return sum(most_tokens(call, None))

    def _most(self, call: Call) -> dict[str, float]:
        input_tokens, output_tokens = most_tokens(call, None)
        if not _max_tokens(call):
            output_tokens = self._most_output.get(call.role, output_tokens)
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
        before = self._before[name]
        used = {unit: spent + self._in_flight[unit] for unit, spent in self.spent.items()}
        earlier = f" ({_amount(before, name)} before this run)" if before else ""
        return (
            f"the budget of {_amount(self._limits[name] or 0, name)} is reached: "
            f"{used_in_all(used)}{earlier}, and the next call may use {_amount(most[name], name)}"
        )


def _amount(number: float, name: str) -> str:
    return f"{number:.6g} USD" if name == "usd" else number_of(round(number), name)


def used_in_all(used: Mapping[str, float]) -> str:
    """The calls, tokens and usd of all requests of a set, as text."""
    parts = [number_of(round(used["calls"]), "requests"), _amount(used["tokens"], "tokens")]
    usd = round(used["usd"], 12)  # a sum of reservations that were taken back is not exactly 0
    parts += [_amount(usd, "usd")] if usd else []
    return f"used in all, at most: {', '.join(parts)}"


def most_tokens(call: Call, answer: Answer | None) -> tuple[float, float]:
    """The input and output tokens of a call: as counted, else the most that they can be.

    A prompt has at most 16 tokens and one per 2.5 bytes. An answer has at most `max_tokens`, where
    its text and reasoning have 8 bytes per token of these at most; without such a bound 4096. What
    is longer has one per 2.5 bytes.
    A total that is not divided is taken for the answer's, which is the dearer part.
    """
    if answer and answer.total_tokens:
        return 0.0, float(answer.total_tokens)
    input_tokens = answer.input_tokens if answer else None
    output_tokens = answer.output_tokens if answer else None
    most_input, most_output = float(input_tokens or 0), float(output_tokens or 0)
    if input_tokens is None:
        most_input = math.ceil(16 + (_bytes(call.prompt) + _bytes(call.schema)) / _BYTES_PER_TOKEN)
    if output_tokens is None:
        written = _written(answer) if answer else 0
        bound, most = _max_tokens(call), math.ceil(written / _BYTES_PER_TOKEN)
        if bound and written <= _MOST_BYTES_PER_TOKEN * bound:
            most = bound  # which it kept to
        most_output = float(max(most, bound or _UNBOUNDED_OUTPUT))
    return most_input, most_output


def plausible(call: Call, answer: Answer) -> Answer:
    """The answer, without a count of tokens that cannot be.

    That is a negative one, and one that exceeds the bytes of the prompt, or `max_tokens` and the
    bytes of the answer, by over 200,000: no token has less than a byte, and no model thinks longer.
    So is a part that exceeds its whole, or whose whole is unknown.
    """
    answer = _plausible_wholes(call, answer)
    parts = {
        "cached_tokens": (answer.cached_tokens, answer.input_tokens),
        "reasoning_tokens": (answer.reasoning_tokens, answer.output_tokens),
    }
    absurd: dict[str, Any] = {
        name: None for name, (part, whole) in parts.items() if part and part > (whole or 0)
    }
    return replace(answer, **absurd) if absurd else answer


def _plausible_wholes(call: Call, answer: Answer) -> Answer:
    input_tokens, output_tokens = answer.input_tokens, answer.output_tokens
    most = _SURPLUS + (_max_tokens(call) or 0) + _written(answer)
    if answer.total_tokens and answer.total_tokens > most + _bytes(call.prompt):
        answer = replace(answer, total_tokens=None)
    if 0 <= (input_tokens or 0) <= _SURPLUS and 0 <= (output_tokens or 0) <= _SURPLUS:
        return answer
    if not 0 <= (input_tokens or 0) <= _SURPLUS + _bytes(call.prompt):
        input_tokens = None
    if not 0 <= (output_tokens or 0) <= most:
        output_tokens = None
    return replace(answer, input_tokens=input_tokens, output_tokens=output_tokens)


def _max_tokens(call: Call) -> int | None:
    sampling = call.sampling
    return sampling.get("max_tokens") or sampling.get("max_completion_tokens")


def _written(answer: Answer) -> int:
    return _bytes(answer.text) + _bytes(answer.reasoning)


def _bytes(value: object) -> int:
    return 0 if value is None else len(str(value).encode("utf-8", "replace"))
