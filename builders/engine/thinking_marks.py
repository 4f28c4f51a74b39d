r"""The marks of thinking: how it begins and ends, in templates and as programs show it.

A new model's tag is a name more in `SURE`, or a pair more in `BLOCKS`; all its forms are read then.

Source: the reasoning parsers of vLLM and SGLang, and the chat templates of the models they are for.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, cited, inside

_PREFIX = r"(?:[\w-]{1,20}[:_])?"
SURE = (
    rf"(?:{_PREFIX}(?:think|thinking)|antthinking|think_fast(?:er)?|cot|(?:inner|internal)_monologue|思考"
    r"|(?:thought|thinking|reasoning)_process)"
)
TAG = rf"(?:{SURE}|{_PREFIX}(?:thought|thoughts|reasoning))"
_SOLAR = r"<\|(?:/{tag}|end_of_{tag})\|>|<\|end\|>\s*<\|begin\|>\s*assistant\s*<\|content\|>"
ASKED_FOR = r"(?:reflection|scratchpad|analysis)"
FOLLOWED = frozenset(("analysis", "reflection"))  # in an answer, often before its other elements
_IN_BRACKETS = r"(?:think|thinking|thought|thoughts|reasoning)"
SOFT = rf"{_PREFIX}(?:thought|thoughts|reasoning)|{ASKED_FOR}"  # names that prompts ask for too
BLOCKS = tuple(  # how thinking begins and ends; the group `tag` in the first is part of the second
    (re.compile(begin, re.IGNORECASE), end)
    for begin, end in (
        (rf"<\s?(?P<tag>{TAG}|{ASKED_FOR})\s?>", r"<\s?\\?/\s?{tag}\s?>"),
        (r"<details\b[^<>\n]{0,200}\btype=[\"']reasoning[\"'][^<>\n]{0,200}>", r"</details\s?>"),
        (r"◁(?P<tag>think|thinking)▷", r"◁/{tag}▷"),
        (r"(?-i:\[(?P<tag>THINK)\])(?=\S)", r"\[/{tag}\]"),
        (rf"\[(?P<tag>{_IN_BRACKETS})\](?s:(?=.*?\[/(?P=tag)\]))", r"\[/{tag}\]"),
        (r"<\|(?P<tag>think|thinking)\|>", _SOLAR),
        (r"<\|begin_of_(?P<tag>thought|thinking)\|>", r"<\|end_of_{tag}\|>"),
        (r"<\|START_(?P<tag>THINKING)\|>", r"<\|END_{tag}\|>"),
        (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
        (r"<\|channel>\s*(?:thought|thinking|analysis)\b", r"<channel\|>"),
    )
)
MARK = re.compile(  # where thinking begins, or, with a group `close`, ends
    rf"<(?P<close>\s?\\?/)?\s?(?P<tag>{TAG})\s?>|(?P<close2>◁/think(?:ing)?▷"
    rf"|\[/{_IN_BRACKETS}\])|◁think(?:ing)?▷|(?-i:\[THINK\](?=\S))"
    r"|<\|begin_of_(?:thought|thinking)\|>"
    r"|<details\b[^<>\n]{0,200}\btype=[\"']reasoning|\A\s*&lt;think(?:ing)?&gt;"
    r"|(?P<close3><\|end_of_(?:thought|thinking)\|>|<\|END_THINKING\|>|<\|/think(?:ing)?\|>)",
    re.IGNORECASE,
)
WRAPS_ANSWER = ("answer", "response", "output", "solution", "final", "final_answer", "conclusion")
ELEMENT = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w.:-]{0,40})(?:\s[^<>\n]{0,200})?>")
# Elements that are the markup of an answer, or the end of one that a template marks too.
MARKUP = frozenset(
    (
        *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "hr"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "i", "img", "ins", "kbd", "li", "mark", "ol", "p"),
        *("pre", "q", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th"),
        *("thead", "tr", "u", "ul", "html", "svg", "math", *WRAPS_ANSWER),
    )
)
RENDERED = tuple(  # thinking at the begin of a text, as programs show it
    re.compile(rf"\s*(?:{begin})(?P<thought>.*?)(?:{end})\s*(?=\S)", re.IGNORECASE | re.DOTALL)
    for begin, end in (
        (rf"```{_IN_BRACKETS}[ \t]*\n", r"\n```[ \t]*(?:\n|\Z)"),
        (r"thinking\.\.\.\n", r"\n\.\.\.done thinking\.?"),
        (r"\*thinking\.\.\.\*\s*\n(?=>)", r"\n(?!>)"),
        (rf"<!--\s*{_IN_BRACKETS}:", r"-->"),
        (
            r"<details(?: open)?>\s*<summary>[^\w<]{0,5}(?:thinking|thoughts?|reasoning)"
            r"(?: process| for [^<\n]{1,20})?(?:\.{3}|…)?\s*</summary>",
            r"</details>",
        ),
    )
)
EMPTY = re.compile(rf"\s*<{SURE}\s?/>\s*", re.IGNORECASE)
ESCAPED = re.compile(  # marks as Markdown, JSON or an East Asian keyboard write them
    rf"(?:\\u003c|\\<|＜)\\?(?P<close>/?)(?P<name>{TAG})\\?(?:\\u003e|>|＞)", re.IGNORECASE
)
GRANITE = re.compile(r"\s*here(?:'s| is) my thought process:", re.IGNORECASE)
GRANITE_ENDS = re.compile(r"here(?:'s| is) my response:", re.IGNORECASE)
WRAPPED = re.compile(  # the answer after thinking, where a template marks it too
    rf"\s*(?:<(?P<tag>{'|'.join(WRAPS_ANSWER)})>(?P<a>.*)</(?P=tag)>"
    r"|<\|begin_of_solution\|>(?P<b>.*?)(?:<\|end_of_solution\|>)?"
    r"|<\|START_RESPONSE\|>(?P<c>.*?)(?:<\|END_RESPONSE\|>)?)\s*",
    re.IGNORECASE | re.DOTALL,
)
ASKED_FOR_ENDS = re.compile(rf"^[ \t]*</(?P<tag>{ASKED_FOR})>[ \t]*$", re.MULTILINE | re.IGNORECASE)


def is_xml(text: str) -> bool:
    """Whether a text begins with an element and has one that is neither thinking nor markup."""
    if not text.lstrip().startswith("<"):
        return False
    spans = cited(text)
    opened: set[str] = set()
    for found in ELEMENT.finditer(text):
        name = found["name"].lower()
        known = name in MARKUP or re.fullmatch(rf"{TAG}|{ASKED_FOR}", name)
        if known or inside(found.start(), spans):
            continue
        if found["close"] and name in opened:
            return True
        opened.add(name)
    return False


def elements_in(text: str) -> Spans:
    """Where a text is inside an element of XML or HTML that is no thinking."""
    opened: dict[str, list[int]] = {}
    spans: list[tuple[int, int]] = []
    for found in ELEMENT.finditer(text):
        name = found["name"].lower()
        if re.fullmatch(TAG, name):
            continue
        if not found["close"]:
            opened.setdefault(name, []).append(found.end())
        elif starts := opened.get(name):
            start = starts.pop()
            while spans and spans[-1][0] >= start:
                spans.pop()
            spans.append((start, found.start()))
    return sorted(spans)
