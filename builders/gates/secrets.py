"""Finds keys and tokens in a text, by the form that each has and never by how random it looks.

A placeholder (an example key from a manual, one letter repeated) is not a key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

_PLUGINS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
_OWN = (
    ("Hugging Face token", re.compile(r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,40}(?![A-Za-z0-9])")),
    ("API key", re.compile(r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{32,200}")),
    ("GitHub Token", re.compile(r"(?<![A-Za-z0-9_])github_pat_[A-Za-z0-9_]{60,100}")),
    ("Google API key", re.compile(r"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")),
)
_TOKEN_CHARACTERS = re.compile(r"[^A-Za-z0-9_.+/-]+")
_MOST_TOKEN = 4000
_MOST_LINE = 2000
_PLACEHOLDER_LETTERS = 5  # a placeholder has at most so many different ones


def secret(text: str) -> str | None:
    """The kind of the first key or token in a text, or None; never the secret itself."""
    return next((kind for kind, found in _found(text) if not _placeholder(found)), None)


def _found(text: str) -> Iterator[tuple[str, str]]:
    for kind, pattern in _OWN:
        yield from ((kind, hit) for hit in pattern.findall(text))
    for line in text.splitlines():
        # The detectors' patterns span a few dozen characters; overlapping pieces bound their work
        # on a very long line.
        for start in range(0, max(1, len(line)), _MOST_LINE // 2):
            for detector in _detectors():
                for pattern in detector.denylist:
                    for hit in pattern.finditer(line[start : start + _MOST_LINE]):
                        yield detector.secret_type, hit[0]
    if "eyJ" in text:
        for token in _TOKEN_CHARACTERS.split(text):
            if token.startswith("eyJ") and token.count(".") == 2 and len(token) <= _MOST_TOKEN:
                yield from (("JSON Web Token", hit) for hit in _web_tokens().analyze_string(token))


@functools.cache
def _detectors() -> list[Any]:
    import importlib

    return [
        getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in _PLUGINS.items()
    ]


@functools.cache
def _web_tokens() -> Any:
    from detect_secrets.plugins.jwt import JwtTokenDetector

    return JwtTokenDetector()


def _placeholder(found: str) -> bool:
    if "PRIVATE KEY" in found:
        return False
    letters = set(found.lower().lstrip("sk-"))
    return "EXAMPLE" in found.upper() or len(letters) <= _PLACEHOLDER_LETTERS
