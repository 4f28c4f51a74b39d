"""Prices and budgets: unknown is not free, and a build stops before its limit, never after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from builders.engine.budget import (
    Budget,
    BudgetLimits,
    OverBudget,
    Price,
    identity_price,
    price_of,
)
from builders.engine.calls import Answer, Call
from builders.errors import InputError
from tests.cases import each


def _call(text: str = "x" * 100, max_tokens: int | None = 50) -> Call:
    sampling = {} if max_tokens is None else {"max_tokens": max_tokens}
    return Call(
        role="writer", endpoint="e", model="m", revision=None, prompt=text, sampling=sampling
    )


async def _spend(budget: Budget, answer: Answer, limit: str) -> list[float]:
    """The costs of calls with that answer until the budget stops them, naming the limit."""
    costs: list[float] = []

    async def spend_on() -> None:
        while True:
            cost = budget.settle(await budget.reserve(_call()), _call(), answer)
            assert cost is not None
            costs.append(cost)

    with pytest.raises(OverBudget, match=limit):
        await spend_on()
    return costs


def test_an_unknown_price_is_unknown_and_our_own_machine_is_free() -> None:
    assert price_of("a-model-nobody-listed") is None
    assert identity_price({"kind": "endpoint", "model": "nobody"}, None, None) is None
    free = identity_price({"kind": "embedded", "model": "small"}, None, None)
    assert free is not None and free.cost(10**6, 10**6) == 0


def test_a_given_price_wins_over_the_table_and_a_file_replaces_it(tmp_path: Path) -> None:
    listed = price_of("gpt-4o-mini")
    assert listed is not None and listed.cost(10**6, 0) == listed.input
    assert price_of("gpt-4o-mini", given="1/2") == Price(input=1.0, output=2.0)
    file = tmp_path / "prices.toml"
    file.write_text('[models]\n"mine" = { input = 3, output = 4 }\n')
    assert price_of("mine", file=file) == Price(input=3, output=4)
    assert price_of("gpt-4o-mini", file=file) is None


@each("given", ["1", "a/b", "1/2/3", ""])
def test_a_price_in_another_form_is_refused(given: str) -> None:
    if given:
        with pytest.raises(InputError, match="IN/OUT"):
            price_of("m", given=given)


@pytest.mark.parametrize("text", ["models = 3", "[models]\nm = { input = 1 }", "no toml ["])
def test_a_file_in_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(InputError, match="not a table of prices"):
        price_of("m", file=file)


def test_calls_in_flight_count_so_that_no_limit_is_passed() -> None:
    async def drive() -> None:
        budget = Budget(BudgetLimits(calls=5), None)
        reserved = [await budget.reserve(_call()) for _ in range(5)]
        sixth = asyncio.ensure_future(budget.reserve(_call()))
        await asyncio.sleep(0.01)
        assert not sixth.done()
        for one in reserved:
            budget.settle(one, _call(), Answer(text=""))
        with pytest.raises(OverBudget, match="5 calls"):
            await sixth

    asyncio.run(drive())


def test_a_call_that_turns_out_cheap_makes_room_for_the_next() -> None:
    async def drive() -> None:
        # A call reserves 16 + 100/2.5 + 50 = 106 tokens and uses 60.
        budget = Budget(BudgetLimits(tokens=1000), Price(input=1.0, output=1.0))
        costs = await _spend(budget, Answer(text="", input_tokens=40, output_tokens=20), "tokens")
        assert len(costs) == 15  # 15 * 60 = 900 are used; the next could use 106
        assert budget.spent["tokens"] == 900

    asyncio.run(drive())


def test_money_is_kept_under_its_limit() -> None:
    async def drive() -> None:
        budget = Budget(BudgetLimits(usd=0.01), Price(input=0.0, output=100.0))
        costs = await _spend(budget, Answer(text="", output_tokens=50), "usd")
        assert sum(costs) == pytest.approx(0.01)

    asyncio.run(drive())


def test_a_call_without_a_bound_reserves_much_until_answers_show_less() -> None:
    async def drive() -> None:
        budget = Budget(BudgetLimits(tokens=10_000), None)
        free = _call(max_tokens=None)
        first = await budget.reserve(free)
        assert first["tokens"] > 4000
        budget.settle(first, free, Answer(text="", input_tokens=40, output_tokens=100))
        assert (await budget.reserve(free))["tokens"] < 400

    asyncio.run(drive())
