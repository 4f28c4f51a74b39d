"""Secrets by their place: a parameter of such a name, an address with a password."""

from __future__ import annotations

import re

# Names of parameters that hold a secret: they authorise a request and do not select who answers.
SECRET_NAME = re.compile(
    r"key$|key[-_]|api[-_]?keys|token(?!s|iz)|secret|passw|passphrase|(?:^|[-_])pass$|pwd|sig$"
    r"|signature|auth(?!or(?!i[sz]))|bearer|cookie|credential|jwt",
    re.IGNORECASE,
)
_OF_REQUESTS = re.compile(  # names of parameters for a model that hold none, though so called
    r"token[-_]?(?:ids?|budget|bans?|bias|count|healing|limits?|types?|details|usage|level)$"
    r"|(?:bos|eos|pad|unk|sep|cls|mask|stop|end|start|special|thinking|image)[-_](?:\w+_)?token$"
    r"|cache_key$",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"://(?!\[)[^\s/@]*:(?!\d{1,5}[?#])[^\s/@]*@")
_QUERY = re.compile(r"[?&]([\w.%-]+)=[^&\s#]")


def is_secret_parameter(name: str, value: object) -> bool:
    """Whether a parameter for a model holds a secret, by its name; a mapping has names itself."""
    if value is None or isinstance(value, bool | dict):
        return False
    return bool(SECRET_NAME.search(name)) and not _OF_REQUESTS.search(name)


def secret_of_address(text: str) -> str | None:
    """What secret the addresses in a text hold, if one does: a password, or a key in a query."""
    if _LOGIN.search(text):
        return "password"
    return next(("key" for name in _QUERY.findall(text) if SECRET_NAME.search(name)), None)
