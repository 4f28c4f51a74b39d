"""The address of the Hub that HF_ENDPOINT names, checked before a library uses it."""

from __future__ import annotations

import os
import re

from builders.errors import InputError, shortened

HUGGINGFACE = "https://huggingface.co"
_ADDRESS = re.compile(r"https?://(?:[\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?(?:/[\w.~/-]*)?", re.I)


def hub_address() -> str:
    """HF_ENDPOINT without a slash at the end; huggingface.co where it is not set, or empty.

    An empty one is removed, since the libraries of the Hub take it for an address.

    Raises:
        InputError: It is no address.
    """
    address = os.environ.get("HF_ENDPOINT", "").strip()
    if not address:
        os.environ.pop("HF_ENDPOINT", None)
        return HUGGINGFACE
    found = _ADDRESS.fullmatch(address)
    if found is None or (found[1] and not 0 < int(found[1]) < 65536):
        raise InputError(
            f"HF_ENDPOINT is {shortened(address)}, which is no address of a Hub; expected one such "
            f"as {HUGGINGFACE} or http://127.0.0.1:8000; correct it, or unset it"
        )
    return address.rstrip("/")
