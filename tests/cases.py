"""A table of cases is one test: `@each(("text", "number"), CASES)`."""

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

Test = Callable[..., None]


def each(
    names: str | tuple[str, ...], cases: Iterable[Any] | Mapping[str, Any]
) -> Callable[[Test], Test]:
    """Run a test with every case of a table; a failure names the cases that fail.

    It is `pytest.mark.parametrize` for cases that cost little and share the test's fixtures: one
    test, one set-up. All cases run; the first failure is raised. The keys of a mapping name its
    cases.
    """
    arguments = (names,) if isinstance(names, str) else names
    named = cases.items() if isinstance(cases, Mapping) else ((reprlib.repr(c), c) for c in cases)
    table = list(named)
    assert table, "a table without a case tests nothing"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def every_case(**fixtures: Any) -> None:
            failures: list[tuple[str, BaseException]] = []
            for name, case in table:
                values = (case,) if isinstance(names, str) else case
                try:
                    test(**fixtures, **dict(zip(arguments, values, strict=True)))
                except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 - raised below
                    failures.append((name, failure))
            if failures:
                failed = "\n".join(f"- {name}" for name, _ in failures)
                failures[0][1].add_note(f"{len(failures)} of {len(table)} cases fail:\n{failed}")
                raise failures[0][1]

        signature = inspect.signature(test)
        rest = [one for name, one in signature.parameters.items() if name not in arguments]
        every_case.__signature__ = signature.replace(parameters=rest)  # pytest's fixtures
        return every_case

    return decorate
