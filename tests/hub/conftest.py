"""What the tests of the Hub's room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import builders.hub.publish as publishing
import builders.release.folder as foldering
from builders.drafting.draft import Draft
from builders.hub.publish import ReleasePlan
from tests.hub.plans import drafted, planned


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    """A real draft that every test's versions are made from."""
    return drafted(tmp_path_factory.mktemp("drafted"))


@pytest.fixture
def make(
    draft: Draft, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ReleasePlan]:
    """Plan a version of the test's own set; only tests with `reading_back` read back."""
    monkeypatch.setattr(publishing, "read_back", lambda *_: None)
    monkeypatch.setattr(foldering, "read_back", lambda *_: None)

    def made(version: str, **how: Any) -> ReleasePlan:
        return planned(draft, tmp_path / "home", version, how.pop("repository", repo), **how)

    return made
