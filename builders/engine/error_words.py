"""What an error's body reports, whatever its form: its words, its codes, and where they are.

Source: the bodies of OpenAI, Anthropic, Gemini, Azure, FastAPI, MiniMax, OpenRouter and their
proxies.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from builders.engine.response_bodies import choice_of, parsed_json

_TEXTS = (
    *("message", "msg", "detail", "error", "error_msg", "error_message", "errmsg", "status_msg"),
    *("faultstring", "title"),
)
_LEVELS = (*("error", "errors", "message", "detail", "metadata", "raw", "base_resp", "fault"),)
_CODES = ("code", "type", "status", "error_code")


class Words(NamedTuple):
    """An error as an endpoint worded it: one line, its codes, and the parameter it is about."""

    text: str
    codes: str = ""
    param: str = ""
    page: bool = False  # a page for people, as a proxy or a firewall sends it

    @property
    def searched(self) -> str:
        """All of it in lower case, to look for words in."""
        return f"{self.text} {self.codes}".lower()


def error_words(body: bytes) -> Words:
    """What an error's body reports, whatever its form."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return words_of(parsed_json(text))
    except ValueError:
        pass
    if text.startswith("<"):
        return Words("an HTML page" + _title(text), page=True)
    return Words(_line(text) or "no message")


def words_of(given: Any) -> Words:
    """The words of an error's JSON value."""
    texts: list[str] = []
    codes: list[str] = []
    param = ""
    for one in levels(given):
        for name in _TEXTS:
            if isinstance(value := one.get(name), str) and value.strip():
                place = ".".join(map(str, one["loc"])) if _is_list(one.get("loc")) else ""
                texts.append(f"{place}: {value}" if place else value)
                break
        codes += [str(one[name]) for name in _CODES if _is_word(one.get(name))]
        if not param and isinstance(one.get("param"), str):
            param = one["param"]
        elif not param and _is_list(one.get("loc")):
            param = str(one["loc"][-1])
        if _is_list(one.get("reasons")):
            texts.append(", ".join(map(str, one["reasons"])))
        if isinstance(raw := one.get("raw"), str) and not _is_json(raw):  # else it is a level
            texts.append(raw)
    if not texts:
        texts = [given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)]
    return Words(_line("; ".join(dict.fromkeys(texts))) or "no message", " ".join(codes), param)


def levels(given: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects of an error, from the outermost to those nested where servers nest them."""
    if isinstance(given, str) and _is_json(given):  # as proxies pass on an error
        try:
            given = parsed_json(given)
        except ValueError:
            return
    if depth > 5:
        return
    if isinstance(given, list):
        for one in given[:5]:
            yield from levels(one, depth + 1)
    elif isinstance(given, dict):
        yield given
        for name in _LEVELS:
            if isinstance(given.get(name), dict | list | str):
                yield from levels(given[name], depth + 1)
        if isinstance(inner := given.get("innererror"), dict):  # Azure's content filter
            yield inner


def _title(page: str) -> str:
    found = re.search(r"<(title|h1)[^>]*>(.*?)</\1", page[:20_000], re.DOTALL | re.IGNORECASE)
    return f" ({_line(html.unescape(re.sub('<[^>]*>', ' ', found[2])))})" if found else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_word(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def error_of(given: Any) -> dict[str, Any] | None:
    """The outermost object that holds an error; None without one."""
    if isinstance(given, list):  # as Gemini's gateway sends its errors
        given = given[0] if given else None
    if not isinstance(given, dict):
        return None
    if _is_error(given.get("error")) or given.get("object") == "error":
        return given
    if "choices" in given and (choice := choice_of(given)) is not None:
        return choice if _is_error(choice.get("error")) else None
    base = given.get("base_resp")
    alone = given.get("success") is False or any(
        isinstance(one, list | str | int) and _is_error(one) for one in map(given.get, _ALONE)
    )
    return given if alone or (isinstance(base, dict) and base.get("status_code")) else None


# The fields that show an error without `error`.
_ALONE = (
    *("detail", "errors", "message", "msg", "error_msg", "error_message", "errmsg", "error_code"),
)


def _is_error(value: object) -> bool:
    """Whether a field `error` holds one: some servers send it empty with each answer."""
    if value is None:
        return False
    parts = value.values() if isinstance(value, dict) else (value,)
    return any(str(one).strip().lower() not in _NO_ERROR for one in parts)


_NO_ERROR = ("", "none", "null", "false", "0", "200", "ok", "success", "[]", "{}")
