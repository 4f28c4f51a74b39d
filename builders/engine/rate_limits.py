"""How long an endpoint asks to be left alone, from the headers and the body of its response.

Source: RFC 9110, 10.2.3 (Retry-After); the rate-limit headers of OpenAI, Azure, Anthropic,
OpenRouter, Groq and of the IETF's draft-ietf-httpapi-ratelimit-headers; google.rpc.RetryInfo.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

LONGEST_PAUSE_S = 3600.0  # after which an endpoint is tried again, whatever pause it asked for
_LONGEST_SENSIBLE_S = 32 * 86400.0  # quotas renew once a month; a longer time is nonsense
_EPOCH_FROM_S = 1e9  # a number from here on is a time since 1970, in seconds or milliseconds
_UNKNOWN_RESET_S = 1.0  # where a limit is exhausted and no readable header shows until when
_RETRY_AFTER = {"retry-after-ms": "ms", "x-ms-retry-after-ms": "ms", "retry-after": ""}
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|us|ns))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|ns)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_RETRY_DELAY = re.compile(rb'"retryDelay"\s*:\s*"([^"]{1,40})"')
_REMAINING = re.compile(r"(?i).*rate-?limit.*remaining.*")


def asked_pause_s(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """The seconds for which a refusal asks for a pause, at most an hour; None if it does not.

    Read in this order: `retry-after-ms` and `x-ms-retry-after-ms`, `Retry-After`, the exhausted
    limits (see `exhausted_s`), `retryDelay` in the body. A value that is negative, over 32 days,
    no number, duration or date, or a time that has passed is ignored.
    """
    for name, unit in _RETRY_AFTER.items():
        if text := headers.get(name, "").strip():  # most responses, all good answers, have none
            wait_s = _wait_s(text + unit if _NUMBER.fullmatch(text) else text, headers)
            if wait_s is not None:
                return wait_s
    wait_s = exhausted_s(headers)
    if wait_s is None and (found := _RETRY_DELAY.search(body)):
        wait_s = _wait_s(found[1].decode("latin-1"), headers)
    return wait_s


def exhausted_s(headers: Mapping[str, str]) -> float | None:
    """The seconds until the last exhausted limit renews, at most an hour; None if none is.

    A limit is exhausted where a header such as `x-ratelimit-remaining-tokens` is 0; the header with
    `reset` in place of `remaining` shows when it renews: seconds, a duration (`6m0s`, `20ms`), or a
    moment (RFC 3339, or since 1970 in seconds or milliseconds).
    """
    longest = None
    for name, value in headers.items():
        if value.strip() in ("0", "0.0") and _REMAINING.fullmatch(name):
            reset = headers.get(name.lower().replace("remaining", "reset"), "").strip()
            wait_s = 0.0 if reset and not reset.strip("0.") else _wait_s(reset, headers)
            longest = max(longest or 0.0, _UNKNOWN_RESET_S if wait_s is None else wait_s)
    return longest


def _wait_s(text: str, headers: Mapping[str, str]) -> float | None:
    """The seconds from now on that a number, a duration or a moment gives; None for nonsense."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds >= _EPOCH_FROM_S:
            since_1970 = seconds / 1000 if seconds >= 1000 * _EPOCH_FROM_S else seconds
            seconds = since_1970 - time.time()
    elif _DURATION.fullmatch(text):
        seconds = math.fsum(float(part) * _UNITS_S[unit] for part, unit in _PART.findall(text))
    else:
        try:
            seconds = _moment(text) - (
                _moment(headers["date"]) if "date" in headers else time.time()
            )
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_PAUSE_S) if 0 < seconds <= _LONGEST_SENSIBLE_S else None


def _moment(date: str) -> float:
    """Seconds since 1970 of an HTTP date, or of one of RFC 3339."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        moment = email.utils.parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
