"""A build in one call of Python: plain values to a draft, with the checks of the command line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from builders.drafting.contributions import read_contributions
from builders.drafting.draft import Draft
from builders.drafting.run import BuildSpec, build_draft
from builders.engine.budget import BudgetLimits, read_price, read_prices
from builders.engine.pool import TeacherPoolSpec, check_role, pool_spec
from builders.engine.progress import Progress, Ticker
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import EMBEDDED, TeacherSpec
from builders.errors import InputError
from builders.judging.reports import read_reports
from builders.recipe import SEED, Recipe, named, number
from builders.recipe_loading import load_recipe
from builders.sources.source import Source

Place = str | Path | Source
Teachers = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def build(
    recipe: Recipe | str | Path,
    *,
    prompts: Place | None = None,
    seeds: Place | None = None,
    license: str = "unknown",  # noqa: A002 - the Hub's word, and the flag's
    rows: int | None = None,
    seed: int = SEED,
    teacher: Teachers = EMBEDDED,
    model: str | None = None,
    key_env: str = TeacherSpec.key_env,
    concurrency: int | None = None,
    timeout_s: float = TeacherSpec.timeout_s,
    hedge_s: float | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    budget_calls: int | None = None,
    price: str | None = None,
    prices: str | Path | None = None,
    judge_report: str | Path | None = None,
    contributed: str | Path | None = None,
    from_ledger: bool = False,
    work: str | Path = "work",
    progress: bool = True,
    **options: object,
) -> Draft:
    """Build a draft. Done again with the same values, it asks only what has no answer yet.

    Args:
        recipe: A recipe, or its name for `load_recipe`.
        prompts: Another source of a recipe that starts from prompts: a file, a folder, a Hub
            dataset such as `org/name`, another recipe's set, or a Source with a column or split.
        seeds: The same for a recipe that starts from seed tasks.
        license: The license of that source, by its id on the Hub.
        rows: How many rows to make, in the recipe's unit; None takes the recipe's own number.
        seed: The random seed.
        teacher: Who answers: `embedded`, `scripted:FILE`, or the address of an OpenAI-compatible
            endpoint such as `https://host/v1#model`; several share the roles that the recipe
            shares out. A mapping gives the teachers of single roles.
        model: The model of each endpoint that is given without one.
        key_env: The environment variable with the key of the first endpoint.
        concurrency: The most requests in flight per endpoint; None leaves it to the teacher.
        timeout_s: The deadline of one request.
        hedge_s: The time after which a request without an answer is sent a second time.
        requests_per_minute: The most per endpoint.
        tokens_per_minute: The most per endpoint.
        budget_usd: The build stops before more USD are spent.
        budget_tokens: The build stops before more tokens are used.
        budget_calls: The build stops before more requests are sent.
        price: `IN/OUT` in USD per million tokens, of each model that `prices` does not list.
        prices: A table of prices, in the form of builders/engine/prices.toml.
        judge_report: The output of `potstill judge --json` about the judge.
        contributed: The folder of a released set, or a file, with the rows that people gave to it.
        from_ledger: Ask no teacher: every answer is in the ledger already.
        work: The folder of all drafts and ledgers.
        progress: Whether to print a line of progress on stderr.
        options: The options of the recipe by name; the others take their defaults.

    Raises:
        InputError: A value is wrong; nothing was asked yet.
        PotstillError: With what to do; no draft was written, and every answer is kept.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    _check_types(str, license=license, model=model, key_env=key_env, price=price)
    _check_types(
        str | Path, work=work, prices=prices, judge_report=judge_report, contributed=contributed
    )
    with named("price"):
        usual_price = None if price is None else read_price(price)
    with named("prices"):
        table = None if prices is None else read_prices(Path(prices))
    usual = TeacherSpec(
        model=model,
        key_env=key_env,
        concurrency=_count("concurrency", concurrency),
        timeout_s=_above_0("timeout_s", timeout_s) or TeacherSpec.timeout_s,
    )
    spec = BuildSpec(
        recipe=loaded,
        settings=loaded.settings(rows=rows, seed=seed, options=options, beside=_PARAMETERS),
        work=Path(work),
        teachers=_teachers(teacher, usual, loaded),
        source=_source(loaded, {"prompts": prompts, "seeds": seeds}),
        licence=license,
        run_limits=RunLimits(
            budget=BudgetLimits(
                usd=_above_0("budget_usd", budget_usd),
                tokens=_count("budget_tokens", budget_tokens),
                calls=_count("budget_calls", budget_calls),
            ),
            price=usual_price,
            prices=table,
            hedge_s=_above_0("hedge_s", hedge_s),
            requests_per_minute=_above_0("requests_per_minute", requests_per_minute),
            tokens_per_minute=_above_0("tokens_per_minute", tokens_per_minute),
        ),
        from_ledger=from_ledger,
        judge_reports=read_reports(Path(judge_report)) if judge_report else (),
        contributed=read_contributions(Path(contributed), loaded.schema) if contributed else (),
    )
    shown = Progress()
    with Ticker(shown, sys.stderr) if progress else nullcontext():
        return build_draft(spec, shown)


_PARAMETERS = [
    name
    for name, parameter in inspect.signature(build).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
]


def _check_types(kind: Any, **given: object) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, kind):
            raise InputError(f"{name}: {value!r} is not a text")


def _teachers(teacher: Teachers, usual: TeacherSpec, recipe: Recipe) -> TeacherPoolSpec:
    """The teachers, named as on the command line."""
    roles: Mapping[str, Any] = teacher if isinstance(teacher, Mapping) else {"": teacher}
    words = []
    for role, who in roles.items():
        if isinstance(teacher, Mapping):
            check_role(role, recipe)
        for one in who if isinstance(who, Sequence) and not isinstance(who, str) else [who]:
            _check_types(str, teacher=one)
            words.append(f"{role}={one}" if role else one)
    return pool_spec(words, usual)


def _source(recipe: Recipe, given: Mapping[str, Place | None]) -> Source | None:
    """The source that was given, if any, under the name that the recipe has for it."""
    flag = recipe.seeds.flag
    for name, place in given.items():
        if place is not None and name != flag:
            raise InputError(f"{recipe.name} has no {name}; it starts from {flag}: give {flag}=...")
    place = given[flag]
    if place is None or isinstance(place, Source):
        return place
    _check_types(str | Path, **{flag: place})
    return Source(place=str(place))


def _count(name: str, given: int | None) -> int | None:
    with named(name):
        return None if given is None else int(number(given, int, least=1))


def _above_0(name: str, given: float | None) -> float | None:
    with named(name):
        return None if given is None else float(number(given, float, above=0))
