"""The address of an endpoint: its parts, what of it may be shown, and how a request gets there.

Source: https://datatracker.ietf.org/doc/html/rfc3986
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import (
    parse_qsl,
    quote,
    quote_plus,
    unquote,
    urlencode,
    urljoin,
    urlsplit,
    urlunsplit,
)

from builders.errors import InputError
from builders.secret_names import SECRET_NAME

_SCHEMES = ("http", "https")
_LIKE_A_HOST = re.compile(
    r"(localhost|\[[0-9a-f:.]+\]|\d+(\.\d+){3}|[\w-]+(\.[\w-]+)*\.[a-z]{2,}|[\w-]+(?=:\d))"
    r"(:\d+)?(/.*)?",
    re.IGNORECASE,
)
_ROUTES = re.compile(r"/+((chat/)?completions|models|responses)?/*$")
_VARIABLE = r"[A-Z][A-Z0-9]{0,14}(_[A-Z0-9]{1,15})*"  # as most are called, and no key is
_BEFORE_A_KEY = re.compile(  # the rest of a header, or of a line of a shell or an .env file
    r"(?i:(authorization|(x-)?(goog-)?api-?key)\s*:|(bearer:?|basic|token)(\s|$)|export\s)|"
    rf"{_VARIABLE}=(?!=*$)"
)
# What goes before the host, however many slashes: a single one may also follow a user's name.
_START = re.compile(r"(?:https?:|[a-z][a-z0-9+.-]*:(?=//|/[^@]*$))?/*", re.IGNORECASE)
# How the path of an endpoint begins, which is taken for its host where that is missing.
_PATH = re.compile(r"(v\d\w*|api|openai|chat|completions|models)(/|$)", re.IGNORECASE)
_LEAST_HIDDEN = 4  # characters of a value that is replaced in texts: shorter ones are common words


@dataclass(frozen=True)
class Address:
    """An endpoint's address.

    Attributes:
        base: It without user, password and query; without the route of a request or a final slash.
        query: Sent with each request.
        user: For basic authentication; empty without.
        password: As it is sent; empty without.
    """

    base: str
    query: tuple[tuple[str, str], ...] = ()
    user: str = ""
    password: str = ""

    @property
    def name(self) -> str:
        """What identifies the endpoint: the query selects who answers, so it is part of it.

        No value of the query can be read from it; those that are secrets have no part in it.
        """
        shown = [
            (name, hashlib.sha256(value.encode()).hexdigest()[:8])
            for name, value in self.query
            if not SECRET_NAME.search(name)
        ]
        shown.sort(key=lambda pair: pair[0])
        return self.base + (f"?{urlencode(shown)}" if shown else "")

    @property
    def login(self) -> str:
        """User and password as basic authentication sends them."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def secrets(self, *, query: bool) -> list[str]:
        """What no text may hold, in each form in which it could be echoed; the longest first.

        With `query`, every value of it counts, else those of secrets only: the others, such as
        `alpha`, may be words of an answer.
        """
        values = [value for name, value in self.query if query or SECRET_NAME.search(name)]
        forms = set[str]()
        for value in (self.password, *values):
            forms |= forms_of(value)
        if self.user:
            forms.add(self.login)
        found = [one for one in forms if len(one) >= _LEAST_HIDDEN]
        return sorted(found, key=lambda one: (-len(one), one))


def is_address(place: str) -> bool:
    """Whether a teacher's place is meant as an address, right or wrong."""
    if place.startswith(("embedded:", "scripted:")):  # the path of a file follows
        return False
    return bool(re.match(r"[a-z][a-z0-9+.-]*:/", place.strip(), re.IGNORECASE)) or (
        place.strip().lower().startswith(("http:", "https:")) or bool(_LIKE_A_HOST.fullmatch(place))
    )


def read_address(place: str) -> Address:
    """The parts of an address.

    Raises:
        InputError: It is none; the message holds no user, password or query.
    """
    text = place.strip()
    scheme, colon, rest = text.partition(":")
    if not re.match(r"[a-z][a-z0-9+.-]*:/", text, re.IGNORECASE) and not (
        colon and scheme.lower() in _SCHEMES
    ):
        bare = text.lstrip(":/")
        usual = "http" if _is_near(bare) else "https"
        raise _wrong(text, "has no scheme", f"give {usual}://{shown_address(bare)}")
    offered = shown_address(rest.replace("\\", "/").lstrip("/"))
    if not offered or _PATH.match(offered):
        offered = f"HOST/{offered or 'v1'}"
    if scheme.lower() not in _SCHEMES:
        usual = "https" if len(scheme) > 4 else "http"
        raise _wrong(text, f"has the unknown scheme {scheme!r}", f"is it {usual}://{offered}?")
    if not re.match(r"//[^/]", rest):
        if offered.startswith("HOST/"):
            raise _wrong(text, "has no host", f"give {scheme}://{offered}")
        what = "has more than // before its host"
        if not rest.startswith("//"):
            what = "has no // after its scheme"
        raise _wrong(text, what, f"is it {scheme}://{offered}?")
    if found := re.search(r"[\s\x00-\x1f\x7f\\<>\"{}|^`]", text):
        raise _wrong(text, f"contains {found[0]!r}", "remove it, or write it as %XX")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        bare = parts.netloc.rpartition("@")[2]
        if "[" in bare:
            ipaddress.IPv6Address(host.partition("%")[0])
        else:
            ascii_host = host.encode("idna").decode("ascii")  # what every look-up of a host does
            host = host if host.isascii() else ascii_host
    except ValueError:
        example = "expected a name, or an IPv6 address as in http://[::1]:8000/v1"
        raise _wrong(text, "has no valid host", example) from None
    if not host:
        raise _wrong(text, "has no host", "expected one such as https://host:8000/v1")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or bare.endswith(":"):
        raise _wrong(text, "has a port that is no number from 1 to 65535", "correct it")
    if "@" in parts.netloc and "@" in parts.path:
        raise _wrong(text, "has more than one @", "write / and @ in a password as %2F and %40")
    host = f"[{host}]" if ":" in host else host
    netloc = host if port is None else f"{host}:{port}"
    path = _ROUTES.sub("", parts.path)
    return Address(
        base=urlunsplit((parts.scheme, netloc, path, "", "")),
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def moved_to(base: str, location: str) -> str:
    """Where a redirect leads, from a base address: another one, `itself`, or empty for nowhere."""
    if not location.strip():
        return ""
    try:
        url = urljoin(f"{base}/chat/completions", location.strip())
        other = read_address(url).base
    except (InputError, ValueError):
        return "no address"
    if other != base:
        return other
    path = urlsplit(url).path
    return "itself" if path == path.rstrip("/") else f"itself, with a slash at the end ({path})"


def _wrong(text: str, what: str, todo: str) -> InputError:
    return InputError(f"a teacher's address, {shown_address(text)!r}, {what}; {todo}")


def shown_address(text: str) -> str:
    """As much of an address as may be shown: no user, password, query; nothing after a space."""
    head = re.split(r"[?#\s]", text, maxsplit=1)[0]
    start = found[0] if (found := _START.match(head)) else ""
    host, slash, path = head.removeprefix(start).rpartition("@")[2].partition("/")
    host = re.sub(r":(?!\d{1,5}$)[^\]]*$", "", host)  # half a password, cut off at a #
    return start + host + slash + path


def _is_near(text: str) -> bool:
    """Whether a host without a scheme is one that seldom speaks https: local, or with a port."""
    host = text.partition("/")[0]
    return bool(re.search(r":\d+$", host)) or host.startswith(("localhost", "127.", "10.", "192."))


def forms_of(secret: str) -> set[str]:
    """The forms in which a secret could be echoed; none of an empty one."""
    if not secret:
        return set()
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), quote_plus(secret), encoded}


def read_key(variable: str, *, named: bool = False) -> str:
    """The key in an environment variable as it is sent: without the white space around it.

    Empty where the variable is not set, unless it was `named` by the user.

    Raises:
        InputError: It contains what no header may, or more than a key.
    """
    key = os.environ.get(variable, "").strip()
    if not key and named:
        # What is no usual name of a variable may be the key itself.
        shown = f" {variable}" if re.fullmatch(_VARIABLE, variable) else ""
        raise InputError(
            f"the environment variable{shown} that --key-env names is not set, or empty; export "
            "the key in it, correct the name, or leave --key-env out for an endpoint without a key"
        )
    if before := _BEFORE_A_KEY.match(key):
        raise InputError(
            f"the key in {variable} begins with {before[0].strip()!r}; set it to the key alone"
        )
    for place, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            kind = "a space" if character.isspace() else "a character that no key has"
            raise InputError(f"the key in {variable} has {kind} at position {place}; set it again")
    if key[:1] in ("'", '"'):
        raise InputError(f"the key in {variable} begins with a quotation mark; set it without")
    return key


def proxy_of(address: Address) -> str | None:
    """The proxy for an endpoint, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY; never for this machine.

    Raises:
        InputError: It is no http proxy.
    """
    parts = urlsplit(address.base)
    host = parts.hostname or ""
    if host == "localhost" or _is_loopback(host) or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    name, todo = f"{parts.scheme.upper()}_PROXY", "correct it, or list the endpoint in NO_PROXY"
    scheme = proxy.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise InputError(
            f"{name} names a proxy of the kind {scheme!r}; expected http://host:port; {todo}"
        )
    try:
        read_address(f"{scheme}://{urlsplit(proxy).netloc.rpartition('@')[2]}")
    except (InputError, ValueError):
        raise InputError(
            f"{name} is no address of a proxy, {shown_address(proxy)!r}; expected "
            f"http://host:port; {todo}"
        ) from None
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.endswith(".localhost")


def without_secrets(text: str, secrets: Sequence[str]) -> str:
    """The text with each secret replaced: an endpoint may echo what it was sent."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "[key]")
    return text


def tls_problem(base: str, error: Exception) -> str:
    """What is wrong with the encryption of a connection, and what to do."""
    certificate = getattr(error, "certificate_error", None)
    if certificate is not None:
        why = getattr(certificate, "verify_message", "") or str(certificate)
        advice = "trust it with SSL_CERT_FILE=FILE, or correct the host in --teacher"
        return f"TLS: the certificate of {base} is refused ({why}); {advice}"
    why = str(getattr(error, "os_error", error))
    if re.search("WRONG_VERSION|record layer|UNKNOWN_PROTOCOL|HTTP_REQUEST", why):
        http = "http" + base.removeprefix("https")
        return f"TLS: {base} does not speak TLS ({why}); is its address {http}?"
    return f"TLS: no encrypted connection to {base} ({why}); correct --teacher"
