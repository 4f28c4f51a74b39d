"""What the tests of the Hub's room share."""

from __future__ import annotations

import pytest

from builders.drafting.draft import Draft
from tests.hub.plans import drafted


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A real draft that every test's versions are made from."""
    return drafted(tmp_path_factory.mktemp("drafted"))
