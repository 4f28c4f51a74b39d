"""The words that the Hub knows in a card's metadata, such as licence ids: hub_vocabulary.json.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from builders.errors import InputError, did_you_mean


@functools.cache
def vocabulary() -> dict[str, list[str]]:
    """The words by key of the metadata."""
    text = Path(__file__).with_name("hub_vocabulary.json").read_text(encoding="utf-8")
    words: dict[str, list[str]] = json.loads(text)
    return words


def known_licence(licence: str) -> str:
    """The licence as given, once its id is known to the Hub.

    Raises:
        InputError: It is not known; most likely it is misspelt. The nearest id is offered.
    """
    known = vocabulary()["license"]
    if licence.lower() not in known:
        near = did_you_mean(licence.lower(), known)
        raise InputError(
            f"the licence {licence!r} is not known to the Hub{near}; give one of its ids, such as "
            "'cc-by-4.0', 'other' or 'unknown'"
        )
    return licence
