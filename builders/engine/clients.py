"""The clients of a build's teachers, with what they share: limiters, budget, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from builders.engine.budget import Budget, BudgetLimits
from builders.engine.in_flight_file import InFlightFile
from builders.engine.judgements import Judgements
from builders.engine.ledger import Ledger
from builders.engine.prices import identity_price
from builders.engine.progress import Progress
from builders.engine.rate_limiter import RateLimiter
from builders.engine.requests import TeacherClient
from builders.engine.run_limits import RunLimits
from builders.engine.spent_before import used_before
from builders.engine.teacher import Address, Teacher, address
from builders.errors import number_of


def teacher_clients(
    teachers: Iterable[Teacher],
    run_limits: RunLimits,
    ledger: Ledger,
    progress: Progress,
    judgements: Judgements,
    *,
    stopping: Callable[[], bool],
) -> dict[Address, TeacherClient]:
    """One client per teacher; those at one endpoint share its limiter, all share the budget.

    Raises:
        InputError: There is a budget in USD, and the price of a model is unknown.
    """
    teachers = list(teachers)
    prices = {
        (one.name, one.model): identity_price(one.identity(), run_limits.price, run_limits.prices)
        for one in teachers
    }
    before, in_flight = used_before(run_limits, ledger, prices), None
    if run_limits.budget != BudgetLimits():
        in_flight = InFlightFile(ledger.path)
        if calls := in_flight.left["calls"]:
            progress.announce(
                f"a build was killed here with up to {number_of(int(calls), 'requests')} not "
                "recorded; the budget counts the most that they may have used"
            )
    budget = Budget(run_limits.budget, prices=prices, before=before, in_flight=in_flight)
    limiters: dict[str, RateLimiter] = {}
    most = sum({one.name: one.concurrency for one in teachers}.values())

    def holding() -> bool:
        # A kill or a full disk loses what is not recorded yet: so no more of it than is in flight.
        return judgements.holding or ledger.unrecorded > most

    found: dict[Address, TeacherClient] = {}
    for one in teachers:
        limiter = RateLimiter(
            one.concurrency, run_limits.requests_per_minute, run_limits.tokens_per_minute
        )
        limiter = limiters.setdefault(one.name, limiter)
        found[address(one)] = TeacherClient(
            one,
            limiter,
            budget,
            progress,
            hedge_s=run_limits.hedge_s,
            stopping=lambda: stopping() or ledger.failing,
            holding=holding,
            answered_before=partial(ledger.has_answers_of, one.name),
        )
    return found
