"""A table of cases fails if one case fails, and names all that do."""

import pytest

from tests.cases import each


def test_every_case_runs_and_those_that_fail_are_named(tmp_path) -> None:
    seen = []

    @each(("number", "even"), [(1, True), (2, True), (3, True)])
    def table(tmp_path, number: int, even: bool) -> None:
        seen.append(number)
        assert (number % 2 == 0) is even

    with pytest.raises(AssertionError) as raised:
        table(tmp_path=tmp_path)
    assert seen == [1, 2, 3]
    assert raised.value.__notes__ == ["2 of 3 cases fail:\n- (1, True)\n- (3, True)"]
