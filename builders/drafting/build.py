"""A build in one call of Python: plain values to a draft, with the checks of the command line."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from builders.drafting.build_spec import Choices
from builders.drafting.choices import build_spec
from builders.drafting.contributions import read_contributions
from builders.drafting.draft import Draft
from builders.drafting.run import build_draft
from builders.drafting.set_record import file_with_digest
from builders.engine.budget import BudgetLimits
from builders.engine.parameters import Choice, read_without
from builders.engine.pool import check_role, read_teacher_license
from builders.engine.prices import read_price, read_prices
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import MOST_IN_FLIGHT, TeacherSpec
from builders.engine.ticker import Ticker
from builders.errors import InputError, file_errors_in_one_line, nearest_name, shortened
from builders.hub_vocabulary import known_licence
from builders.judging.reports import read_reports
from builders.recipe import MOST, Recipe, named, number, path, text
from builders.sets import Set, as_set
from builders.sources.source import Source

Value = TypeVar("Value")
Place = str | Path | Source | Mapping[str, Any]
Teachers = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def build(
    recipe: Set | Recipe | str | Path,
    *,
    prompts: Place | None = None,
    seeds: Place | None = None,
    license: str | None = None,  # noqa: A002 - the Hub's word, and the flag's
    rows: int | None = None,
    keep: int | None = None,
    seed: int | None = None,
    teacher: Teachers | None = None,
    model: str | None = None,
    key_env: str = TeacherSpec.key_env,
    concurrency: int | None = None,
    timeout_s: float = TeacherSpec.timeout_s,
    params: Mapping[str, object] | None = None,
    without: str | Sequence[str] = (),
    trust_missing_end: str | Sequence[str] = (),
    teacher_license: str | Sequence[str] | Mapping[str, str] = (),
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
    retry: bool = False,
    accept_unreadable: bool = False,
    from_ledger: bool = False,
    work: str | Path | None = None,
    progress: bool = True,
    **options: object,
) -> Draft:
    """Build a draft. Done again with the same values, it asks only what has no answer yet.

    What is left out is as the set's file declares it, or the recipe's default.

    Args:
        recipe: A set, or its name or file for `load_set`; or a recipe, for its ad-hoc set.
        prompts: Another source of a recipe that starts from prompts: a file, a folder, a Hub
            dataset such as `org/name`, another set's draft, or a Source with a column, config or
            split; a mapping has its parts by name.
        seeds: The same for a recipe that starts from seed tasks.
        license: The license of the source, by its id on the Hub; None takes that on the card of a
            folder or a Hub dataset.
        rows: How many rows to ask for at most, in the recipe's unit, its `rows_of`, such as prompts
            or candidates; None takes the recipe's own number, and of prompts from elsewhere all.
        keep: Go on until so many rows are kept in the draft, after all gates and with the rows of
            `contributed`: in the order of the source, each time for as many as are missing. `rows`
            is then the most to ask for; None is all of the source, or ten candidates per row to
            keep where the recipe makes them itself. `Draft.missing` explains what is missing.
        seed: The random seed; 42 where none is given.
        teacher: Who answers: `embedded` (the default), `embedded:FILE.gguf`, `scripted:FILE`, or
            the address of an OpenAI-compatible endpoint, `https://host/v1#model`; several
            share the roles that the recipe shares out. A mapping gives the teachers of single
            roles.
        model: The model of each endpoint that is given without one.
        key_env: The environment variable with the key of the first endpoint.
        concurrency: The most requests in flight per endpoint; None leaves it to the teacher.
        timeout_s: The deadline of one request. An endpoint that gives no response at all for three
            times as long, and 30 s at least, is given up.
        params: Further parameters of each request, by the endpoint's name for them; JSON values.
            `judge:top_k` is that of the teacher of one role, `writer_2:top_k` of one of several.
        without: Parameters to leave out, named in the same way.
        trust_missing_end: The addresses of teachers whose answers are complete although they report
            no end.
        teacher_license: The license of the teachers' models, by its id on the Hub; `WHO=ID`, or a
            mapping, gives that of one teacher, by its address or its role. Without
            it, that in a model's file or in a table of well-known models counts.
        hedge_s: The time after which a request without an answer is sent a second time.
        requests_per_minute: The most per endpoint.
        tokens_per_minute: The most per endpoint.
        budget_usd: The build stops before more USD are spent. Each budget counts all that the set's
            ledger in `work` holds, with the most that requests may have used whose answers were
            lost; one that an error answers, such as HTTP 500, is a call without tokens.
        budget_tokens: The build stops before more tokens are used.
        budget_calls: The build stops before more requests are sent.
        price: `IN/OUT` or `IN/OUT/CACHED` in USD per million tokens, of each model that `prices`
            does not list.
        prices: A table of prices, in the form of builders/engine/prices.toml.
        judge_report: The output of `potstill judge --json` about the judge.
        contributed: The folder of a released set, or its Parquet file of `contributed`, with the
            rows that people gave to it.
        retry: Ask again where an earlier build got nothing to use: the calls that an endpoint
            refused, and the judgements that could not be parsed. Replaced answers stay in the
            history of the ledger, and budgets count them.
        accept_unreadable: Go on where (nearly) none of the answers of a step, such as a judge's,
            can be parsed.
        from_ledger: Ask no teacher: every answer is in the ledger already.
        work: The folder of all drafts and ledgers; None is `work` beside the set's file, and in
            the working folder for a set that ships and one without a file.
        progress: Whether to show the progress on stderr.
        options: The options of the recipe by name; the others take their defaults.

    Raises:
        InputError: A value is wrong; nothing was asked yet.
        PotstillError: With what to do; no draft was written, and every answer is kept.
    """
    with file_errors_in_one_line():
        a_set = as_set(recipe)
        loaded = a_set.recipe
        chosen = Choices(
            rows=rows,
            keep=keep,
            seed=seed,
            options=options,
            source=_source(loaded, {"prompts": prompts, "seeds": seeds}, options),
            licence=_given("license", license, lambda given: known_licence(text(given))),
            teachers=_words(teacher, loaded),
            usual=TeacherSpec(
                model=_given("model", model, text),
                key_env=_checked("key_env", key_env, text),
                key_named=key_env != TeacherSpec.key_env,
                concurrency=_count("concurrency", concurrency, MOST_IN_FLIGHT),
                timeout_s=_checked("timeout_s", timeout_s, _above_0),
            ),
            parameters=_choices(params or {}, without),
            trusted=_texts("trust_missing_end", trust_missing_end),
            licences=_licences(teacher_license),
            run_limits=RunLimits(
                budget=BudgetLimits(
                    usd=_given("budget_usd", budget_usd, _above_0),
                    tokens=_count("budget_tokens", budget_tokens),
                    calls=_count("budget_calls", budget_calls),
                ),
                price=_given("price", price, lambda given: read_price(text(given))),
                prices=_given("prices", prices, lambda given: read_prices(path(given))),
                hedge_s=_given("hedge_s", hedge_s, _above_0),
                requests_per_minute=_given("requests_per_minute", requests_per_minute, _above_0),
                tokens_per_minute=_given("tokens_per_minute", tokens_per_minute, _above_0),
                retry=_checked("retry", retry, _truth),
                accept_unreadable=_checked("accept_unreadable", accept_unreadable, _truth),
            ),
            work=_given("work", work, path),
            from_ledger=_checked("from_ledger", from_ledger, _truth),
            judge_reports=_given("judge_report", judge_report, lambda at: read_reports(path(at)))
            or (),
            contributed=_given(
                "contributed", contributed, lambda at: read_contributions(path(at), loaded.schema)
            )
            or (),
        )
        files = {
            "judge-report": (judge_report, ()),
            "contributed": (contributed, chosen.contributed),
        }
        digests = {
            flag: file_with_digest(place, rows)
            for flag, (place, rows) in files.items()
            if place is not None
        }
        spec = build_spec(a_set, replace(chosen, files=digests), beside=_PARAMETERS)
        shown = Progress()
        visible = _checked("progress", progress, _truth)
        with Ticker(shown, sys.stderr) if visible else nullcontext():
            return build_draft(spec, shown)


_PARAMETERS = [
    name
    for name, parameter in inspect.signature(build).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
]


def _words(teacher: Teachers | None, recipe: Recipe) -> list[str]:
    """The teachers, named as on the command line."""
    if teacher is None:
        return []
    roles: Mapping[str, Any] = teacher if isinstance(teacher, Mapping) else {"": teacher}
    words = []
    for role, given in roles.items():
        if isinstance(teacher, Mapping):
            check_role(role, recipe)
        words += [f"{role}={word}" if role else word for word in _texts("teacher", given)]
    if not words:
        raise InputError("teacher: none is given; give one, or leave it out")
    return words


def _licences(given: str | Sequence[str] | Mapping[str, str]) -> list[tuple[str, str]]:
    """The licences of teachers, each with the teacher that it is for."""
    if isinstance(given, Mapping):
        given = [f"{who}={licence}" for who, licence in given.items()]
    words = _texts("teacher_license", given)
    return [_checked("teacher_license", one, read_teacher_license) for one in words]


def _texts(name: str, given: Any) -> list[str]:
    """One text, or several, as a list."""
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    return [_checked(name, one, text) for one in (given if several else [given])]


def _choices(params: Mapping[str, object], without: str | Sequence[str]) -> list[Choice]:
    """The parameters that were chosen, each value as JSON would carry it."""
    left_out = [_checked("without", one, read_without) for one in _texts("without", without)]
    with named("params"):
        try:
            values = json.loads(json.dumps(dict(params), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(f"{shortened(params)} is not JSON ({error})") from None
        chosen = [replace(read_without(name), value=value) for name, value in values.items()]
    return [*chosen, *left_out]


def _source(
    recipe: Recipe, given: Mapping[str, Place | None], options: Mapping[str, object]
) -> dict[str, str | None]:
    """The parts of the source that was given, if any, under the name that the recipe has for it."""
    flag = recipe.seeds.flag
    for name, place in given.items():
        if place is not None and name != flag:
            raise InputError(f"{recipe.name} has no {name}; it starts from {flag}: give {flag}=...")
    own = {option.name for option in recipe.options}
    if part := next((name for name in _OF_A_SOURCE if name in options and name not in own), None):
        raise InputError(f"{part} is part of a source: give {flag}=Source(place=..., {part}=...)")
    place = given[flag]
    if place is None:
        return {}
    if isinstance(place, Mapping):
        parts = ("place", *_OF_A_SOURCE)
        if strange := next((name for name in place if name not in parts), None):
            there_are = nearest_name(strange, parts)
            raise InputError(f"{flag}: a source has no {strange!r}; there are {there_are}")
        place = Source(**{"place": "", **place})
    elif not isinstance(place, Source):
        place = Source(place=place)  # type: ignore[arg-type] # a Path is made a text below
    if isinstance(place.place, Path):
        place = replace(place, place=str(place.place))
    _checked(flag, place.place, text)
    for name in _OF_A_SOURCE:
        _given(name, getattr(place, name), text)
    return vars(place)


_OF_A_SOURCE = ("config", "split", "column", "revision")


def _checked(name: str, given: Any, check: Callable[[Any], Value]) -> Value:
    """A value that has been checked; an error names the parameter."""
    with named(name):
        return check(given)


def _given(name: str, given: Any, check: Callable[[Any], Value]) -> Value | None:
    """The same of a value that may be None."""
    return None if given is None else _checked(name, given, check)


def _count(name: str, given: Any, most: int = MOST) -> int | None:
    return _given(name, given, lambda value: int(number(value, int, least=1, most=most)))


def _above_0(given: Any) -> float:
    return float(number(given, float, above=0))


def _truth(given: Any) -> bool:
    if not isinstance(given, bool):
        raise InputError(f"{shortened(given)} is not True or False")
    return given
