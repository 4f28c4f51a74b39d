"""What a run may spend, how fast it may send requests, and which ones again."""

from __future__ import annotations

from dataclasses import dataclass, field

from builders.engine.budget import BudgetLimits
from builders.engine.prices import Price, PriceTable


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """Limits of one run: budget, prices, pace.

    `price` is that of every model that the table `prices` does not list. A call without an answer
    after `hedge_s` seconds is sent a second time. Requests and tokens per minute are limits for
    each endpoint. None means no limit, or not known. `retry` sends the calls again that an earlier
    build recorded as refused, and those whose answers it could not parse. `accept_unreadable` goes
    on where (nearly) none of a step's answers can be parsed (builders/engine/judgements.py).
    """

    budget: BudgetLimits = field(default_factory=BudgetLimits)
    price: Price | None = None
    prices: PriceTable | None = None
    hedge_s: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    retry: bool = False
    accept_unreadable: bool = False
