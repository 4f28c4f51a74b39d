r"""White space around a text, and how the first line's indentation differs from it.

Two spaces or more, or a tab, indent a first line, as of code; one is left by a tokenizer.
"""

from __future__ import annotations

import re

_SPACE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]*")
_BEFORE = re.compile(r"\A(?:\s*\n)?(?=(?:  |\t)[ \t]*\S)|\A\s+")


def after_space(text: str, at: int) -> int:
    """Where a text goes on after white space at a place, and after signs that have no width."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def after_lines(text: str, at: int) -> int:
    """The same, but before the indentation of a line that begins there."""
    end = after_space(text, at)
    line = text.rfind("\n", at, end) + 1
    return line if line and text.startswith(("  ", "\t"), line) else end


def trimmed(text: str) -> str:
    """The text without the white space around it; its first line's indentation stays."""
    return _BEFORE.sub("", text, count=1).rstrip()
