"""What earlier runs of a build used, by its ledger."""

from __future__ import annotations

from builders.engine.budget import BudgetLimits
from builders.engine.in_flight_file import UNITS
from builders.engine.ledger import Ledger
from builders.engine.prices import Price, price_of
from builders.engine.run_limits import RunLimits
from builders.errors import InputError


def used_before(
    run_limits: RunLimits, ledger: Ledger, prices: dict[tuple[str, str], Price | None]
) -> dict[str, float]:
    """The calls, tokens and usd that a budget counts from the start: all that the ledger holds.

    Answers that were recorded without a price count by today's, all their tokens at the dearer one.

    Raises:
        InputError: There is a budget in USD, and the price of a model is unknown.
    """
    limits, before = run_limits.budget, dict.fromkeys(UNITS, 0.0)
    if limits == BudgetLimits():
        return before
    unknown = [model for (_, model), price in prices.items() if price is None]
    for who, used, unpriced_tokens in ledger.used():
        price = prices.get((who["endpoint"], who["model"])) or price_of(
            who["model"], usual=run_limits.price, table=run_limits.prices
        )
        if unpriced_tokens and price is None:
            unknown.append(who["model"])
        dearer = max(price.input, price.output) if price else 0.0
        before["calls"] += who["requests"]
        before["tokens"] += used.tokens
        before["usd"] += (used.usd or 0.0) + unpriced_tokens * dearer / 1e6
    if limits.usd is not None and unknown:
        raise InputError(
            f"the price of {unknown[0]!r} is unknown, so --budget-usd cannot be kept; give --price "
            "IN/OUT in USD per million tokens, or --prices FILE"
        )
    return before
