"""What a run may spend and how fast it may ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from builders.engine.budget import BudgetLimits


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """Limits on how an engine may ask: budget, prices, pace.

    `price` is `IN/OUT` in USD for a million tokens, of every model that the file `prices` does not
    name; `hedge_s` sends a late call again. Requests and tokens a minute hold for each endpoint.
    """

    budget: BudgetLimits = field(default_factory=BudgetLimits)
    price: str | None = None
    prices: Path | None = None
    hedge_s: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
