"""Prices and budgets: unknown is not free, and a build stops before its limit, never after."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from builders.engine.budget import Budget, BudgetLimits, OverBudget
from builders.engine.calls import Answer, Call
from builders.engine.prices import (
    Price,
    identity_price,
    price_of,
    read_price,
    read_prices,
)
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
            used = budget.settle(await budget.reserve(_call()), _call(), answer)
            assert used.usd is not None
            costs.append(used.usd)

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
    assert price_of("gpt-4o-mini", usual=read_price("1/2")) == Price(input=1.0, output=2.0)
    file = tmp_path / "prices.toml"
    file.write_text('[models]\n"mine" = { input = 3, output = 4 }\n')
    assert price_of("mine", table=read_prices(file)) == Price(input=3, output=4)
    assert price_of("gpt-4o-mini", table=read_prices(file)) is None


def test_a_price_in_another_form_or_that_no_budget_can_count_is_refused() -> None:
    for given in ("", "1", "a/b", "1/2/3/4", "nan/1", "1/nan", "-5/-5", "inf/1", "1/-0.01"):
        with pytest.raises(InputError, match=r"IN/OUT|is not a number from 0 on"):
            read_price(given)
    assert read_price("0/0.6") == Price(input=0, output=0.6)


def test_a_file_that_is_no_table_of_prices_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    texts = ["models = 3", "[models]\nm = { input = 1 }", "no toml [", "", "[models]\nm = 3"]
    texts += [
        f"[models]\nm = {{ input = {one}, output = 1 }}" for one in ("nan", "-1", "inf", '"1"')
    ]
    for text in texts:
        file.write_text(text)
        with pytest.raises(InputError, match="not a table of prices"):
            read_prices(file)
    for place in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError, match="not a table of prices"):
            read_prices(place)


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


@each(
    ("limits", "before", "words"),
    {
        "a call": (
            {"calls": 1},
            1,
            ("of 1 call is", "1 request, 1 token,", "(1 call before", "1 call"),
        ),
        "calls": (
            {"calls": 4},
            4,
            ("of 4 calls is", "4 requests", "(4 calls before", "use 1 call"),
        ),
        "a token": ({"tokens": 1}, 1, ("of 1 token is", "(1 token before", "use 106 tokens")),
        "many": ({"tokens": 4100}, 4000, ("of 4,100 tokens", "(4,000 tokens", "use 106 tokens")),
        "money": ({"usd": 1.0}, 1, ("of 1 USD is", "(1 USD before", "use 0.000106 USD")),
        "more": ({"usd": 1234.5}, 1234.5, ("of 1234.5 USD", "(1234.5 USD", "use 0.000106 USD")),
    }.values(),
)
def test_a_budget_that_is_reached_names_one_of_a_thing_in_the_singular(
    limits: dict[str, float], before: float, words: tuple[str, ...]
) -> None:
    budget = Budget(
        BudgetLimits(**limits),
        Price(input=1.0, output=1.0),
        before=dict.fromkeys(("calls", "tokens", "usd"), before),
    )
    with pytest.raises(OverBudget) as over:
        asyncio.run(budget.reserve(_call()))
    for one in words:
        assert one in f"{over.value}."
    assert not re.search(r"\b1 (calls|requests|tokens)", str(over.value))


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
        costs = await _spend(budget, Answer(text="", output_tokens=50), "USD")
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
