"""What all requests of a set have used so far, by its ledger: for its budget, and for its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builders.engine.budget import BudgetLimits
from builders.engine.in_flight_file import UNITS, InFlightFile
from builders.engine.ledger import Ledger
from builders.engine.prices import Price, price_of
from builders.engine.run_limits import RunLimits
from builders.errors import InputError


def used_so_far(
    ledger: Ledger, price: Callable[[Mapping[str, str]], Price | None] = lambda _: None
) -> tuple[dict[str, float], list[str]]:
    """The calls, tokens and usd of all requests, with and without answers; models of unknown price.

    The most that it can be, where an answer is missing or not counted. Answers that were recorded
    without a price count by that of their teacher, all their tokens at the dearer one. Requests in
    flight when a build was killed are among them.
    """
    used, unknown = dict(InFlightFile(ledger.path).left), list[str]()
    for who, most, unpriced_tokens in ledger.used():
        now = price(who)
        if unpriced_tokens and now is None:
            unknown.append(who["model"])
        dearer = max(now.input, now.output) if now else 0.0
        used["calls"] += who["requests"]
        used["tokens"] += most.tokens
        used["usd"] += (most.usd or 0.0) + unpriced_tokens * dearer / 1e6
    return used, unknown


def used_before(
    run_limits: RunLimits, ledger: Ledger, prices: Mapping[tuple[str, str], Price | None]
) -> dict[str, float]:
    """The calls, tokens and usd that a budget counts from the start: all that were used so far.

    Raises:
        InputError: There is a budget in USD, and the price of a model is unknown.
    """

    def price(who: Mapping[str, str]) -> Price | None:
        return prices.get((who["endpoint"], who["model"])) or price_of(
            who["model"], usual=run_limits.price, table=run_limits.prices
        )

    if run_limits.budget == BudgetLimits():
        return dict.fromkeys(UNITS, 0.0)
    used, unknown = used_so_far(ledger, price)
    unpriced = [model for (_, model), now in prices.items() if now is None] + unknown
    if run_limits.budget.usd is not None and unpriced:
        raise InputError(
            f"the price of {unpriced[0]!r} is unknown, so --budget-usd cannot be kept; give "
            "--price IN/OUT in USD per million tokens, or --prices FILE"
        )
    return used
