"""The place of a row in the output, as bytes that sort: a short form, as a build holds one per row.

A row's key is the number of its seed, then one for each step that made several rows of one.
"""

from __future__ import annotations

from collections.abc import Sequence


def order(key: Sequence[int], place: int) -> bytes:
    """Bytes that sort as (key, place) does."""
    numbers = b"".join(b"\1" + number.to_bytes(7, "big") for number in key)
    return numbers + b"\0" + place.to_bytes(4, "big")


def one_of_several(order: bytes) -> bool:
    """Whether a step may have made other rows of the same seed."""
    return order[8:9] == b"\1"
