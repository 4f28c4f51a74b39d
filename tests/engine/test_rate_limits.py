"""The pause that an endpoint asks for is read in every form in use, and nonsense is ignored."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from multidict import CIMultiDict

from builders.engine.rate_limits import asked_pause_s, exhausted_s
from tests.cases import each

NOW = float(int(time.time()))
IN_30_S = f"{datetime.fromtimestamp(NOW + 30, UTC):%FT%TZ}"


@each(
    ("headers", "seconds"),
    {
        "seconds": ({"Retry-After": "7"}, 7),
        "a fraction": ({"Retry-After": "0.25"}, 0.25),
        "a duration": ({"Retry-After": "2m30s"}, 150),
        "milliseconds": ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        "azure": ({"x-ms-retry-after-ms": "400"}, 0.4),
        "an unreadable finer one": ({"retry-after-ms": "soon", "Retry-After": "2"}, 2),
        "a date": (
            {"Date": formatdate(NOW - 9000, usegmt=True), "Retry-After": formatdate(NOW - 8980)},
            20,
        ),
        "since 1970": ({"Retry-After": f"{NOW + 40:.0f}"}, 40),
        "capped": ({"Retry-After": "86400"}, 3600),
        "anthropic": (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": IN_30_S,
            },
            30,
        ),
        "openrouter": (
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{(NOW + 50) * 1000:.0f}"},
            50,
        ),
        "groq": (
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m7.66s"},
            67.66,
        ),
        "draft of the ietf": ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12),
        "by day": (
            {"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "500.5"},
            500.5,
        ),
        "the longest of two": (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "3s",
            },
            3,
        ),
        "no reset": ({"x-ratelimit-remaining-requests": "0"}, 1),
    },
)
def test_a_pause_is_read(
    headers: dict[str, str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builders.engine.rate_limits.time.time", lambda: NOW)
    assert asked_pause_s(CIMultiDict(headers)) == pytest.approx(seconds, abs=0.01)


def test_the_delay_that_google_puts_in_the_body_is_read() -> None:
    body = b'[{"error": {"code": 429, "details": [{"@type": "x", "retryDelay": "41s"}]}}]'
    assert asked_pause_s(CIMultiDict(), body) == 41


@each(
    "value",
    [
        *("inf", "-inf", "nan", "-3", "1e9", "1e3", "soon", "", "0", "0x10", "99999999999", "٣"),
        *("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "5 minutes", "1" * 400),
    ],
)
def test_a_pause_that_makes_no_sense_is_none(value: str) -> None:
    for name in ("Retry-After", "retry-after-ms"):
        assert asked_pause_s(CIMultiDict({name: value})) is None


def test_a_limit_with_room_asks_for_no_pause() -> None:
    headers = {"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "6m0s"}
    headers |= {"x-ratelimit-remaining-tokens": "10", "x-ratelimit-reset-tokens": "6m0s"}
    assert exhausted_s(CIMultiDict(headers)) is None
