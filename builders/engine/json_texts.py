"""JSON of calls, written by orjson where it can, else by Python's `json`, which takes more.

orjson refuses lone surrogates, integers over 64 bits and keys that are not strings.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_WHOLE_FLOAT = re.compile(rb"\.0[,\]}]|\.0\Z")


def key_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """The one JSON text of a value from which keys, seeds and chance are made.

    The same on every Python and for all that JSON cannot tell apart: the order of keys, tuples
    and lists, 1.0 and 1 (below 1e16). `default` gives JSON for what has none.
    """
    try:
        text = orjson.dumps(value, default, _SORTED)
        if b".0" not in text or not _WHOLE_FLOAT.search(text):
            return text.decode()
    except TypeError:
        pass
    plain, apart = _plain(value), (",", ":")
    with contextlib.suppress(TypeError):
        return orjson.dumps(plain, default, _SORTED).decode()
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=apart, default=default)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {
            name if isinstance(name, str) else json.dumps(name): _plain(one)
            for name, one in value.items()
        }
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def body_json(value: Any) -> str:
    """The body of a request: strict JSON, with lone surrogates as escapes."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))
