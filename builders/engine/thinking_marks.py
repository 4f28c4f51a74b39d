r"""The marks of thinking: how it begins and ends, in templates and as programs show it.

A new model's tag is a name more in `SURE`, or a pair more in `BLOCKS`; all its forms are read then.

Source: the reasoning parsers of vLLM and SGLang, and the chat templates of the models they are for.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, cited, inside
from builders.engine.outer_space import after_space

_PREFIX = r"(?:[\w-]{1,20}[:_])?"
SURE = (
    rf"(?:{_PREFIX}(?:think|thinking)|antthinking|think_fast(?:er)?|cot|(?:inner|internal)_monologue|思考"
    r"|(?:thought|thinking|reasoning)_process)"
)
TAG = rf"(?:{SURE}|{_PREFIX}(?:thought|thoughts|reasoning))"
ASKED_FOR = r"(?:reflection|scratchpad|analysis)"
FIELDS = frozenset(  # elements that prompts ask for after the reasons for them
    (
        *("verdict", "label", "score", "rating", "confidence", "decision", "grade", "category"),
        *("class", "classification", "sentiment", "judgement", "judgment", "choice", "winner"),
    )
)
FOLLOWED = frozenset(("analysis", "reflection"))  # in an answer, often before its other elements
_ATTRIBUTES = r"(?:\s[\w-]{1,30}=[^<>\n]{0,80})?"
_THOUGHT = rf"(?:think(?:ing)?|thoughts?|reason(?:ing)?|cot|{ASKED_FOR})"  # between bars
_BEGINS = rf"<[|｜](?:(?:begin|start)[_▁ ](?:of[_▁ ])?)?{_THOUGHT}(?:[_▁ ](?:begin|start))?[|｜]>"
_ENDS = (
    rf"<[|｜](?:(?:/|end[_▁ ](?:of[_▁ ])?){_THOUGHT}|{_THOUGHT}[_▁ ](?:end|stop))[|｜]>"
    r"|<\|inner_suffix\|>|<channel\|>|<unused95>|\[BEGIN FINAL RESPONSE\]"
)
_IN_BRACKETS = r"(?:think|thinking|thought|thoughts|reasoning)"
SOFT = rf"{_PREFIX}(?:thought|thoughts|reasoning)|{ASKED_FOR}"  # names that prompts ask for too
BLOCKS = tuple(  # how thinking begins and ends; the group `tag` in the first is part of the second
    (re.compile(begin, re.IGNORECASE), end)
    for begin, end in (
        (
            rf"<\s?(?P<tag>{SURE}(?={_ATTRIBUTES}\s?>)|(?:{TAG}|{ASKED_FOR})(?=\s?>)){_ATTRIBUTES}\s?>",
            r"<\s?\\?/\s?{tag}\s?>",
        ),
        (r"<details\b[^<>\n]{0,200}\btype=[\"']reasoning[\"'][^<>\n]{0,200}>", r"</details\s?>"),
        (r"◁(?P<tag>think|thinking)▷", r"◁/{tag}▷"),
        # A line by itself begins it where no other line has a word in brackets, as parts of a task.
        (r"(?-i:\[(?P<tag>THINK(?:ING)?)\](?=\S|\n(?!(?s:.*)\n\[[A-Z])))", r"\[/{tag}\]"),
        (r"<\|im_start\|>think\b", r"<\|im_start\|>answer\b"),
        (rf"\[(?P<tag>{_IN_BRACKETS})\](?s:(?=.*?\[/(?P=tag)\]))", r"\[/{tag}\]"),
        (
            rf"{_BEGINS}|<\|inner_prefix\|>|(?:<\|channel>|<unused94>)\s*{_THOUGHT}\b",
            rf"{_ENDS}|(?:<\|end\|>\s*<\|begin\|>\s*assistant\s*)?<\|content\|>",
        ),
    )
)
MARK = re.compile(  # where thinking begins, or, with a group `close`, ends
    rf"<(?P<close>\s?\\?/)?\s?(?P<tag>{SURE}(?={_ATTRIBUTES}\s?>)|{TAG}(?=\s?>)){_ATTRIBUTES}\s?>"
    rf"|(?P<close2>◁/think(?:ing)?▷|\[/{_IN_BRACKETS}\])|◁think(?:ing)?▷"
    rf"|(?-i:\[THINK(?:ING)?\](?=\S)|\A\[(?:THOUGHTS?|REASONING)\](?=[^\s(:,.]))|{_BEGINS}"
    r"|<details\b[^<>\n]{0,200}\btype=[\"']reasoning|\A\s*&lt;think(?:ing)?&gt;"
    r"|(?m:^)&lt;/think(?:ing)?&gt;[ \t]*(?=\n|\Z)"
    rf"|(?P<close3>{_ENDS})",
    re.IGNORECASE,
)
WRAPS_ANSWER = ("answer", "response", "output", "solution", "final", "final_answer", "conclusion")
ELEMENT = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w.:-]{0,40})(?:\s[^<>\n]{0,200})?>")
# Elements that are the markup of an answer, or the end of one that a template marks too.
MARKUP = frozenset(
    (
        *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em"),
        *("hr", "h1", "h2", "h3", "h4", "h5", "h6", "i", "img", "ins", "kbd", "li", "mark"),
        *("ol", "p", "pre", "q", "s", "section", "small", "span", "strong", "sub", "sup"),
        *("table", "tbody", "td", "th", "thead", "tr", "u", "ul", "html", "svg", "math"),
        *WRAPS_ANSWER,
    )
)
RENDERED = tuple(  # thinking at the begin of a text, as programs show it
    re.compile(rf"\s*(?:{begin})(?P<thought>.*?)(?:{end})(?=\s*\S)", re.IGNORECASE | re.DOTALL)
    for begin, end in (
        (rf"```{_IN_BRACKETS}[ \t]*\n", r"\n```[ \t]*(?:\n|\Z)"),
        (r"thinking\.\.\.\n", r"\n\.\.\.done thinking\.?"),
        (r"\*thinking\.\.\.\*\s*\n(?=>)", r"\n(?!>)"),
        (rf"<!--\s*{_IN_BRACKETS}:(?![^\n]{{0,100}}-->\s*<)", r"-->"),  # a comment of HTML
        (
            r"<details(?: open)?>\s*<summary>[^\w<]{0,5}(?:thinking(?: process)?"
            r"|(?:thinking|thought|reasoned) for [^<\n]{1,20})(?:\.{3}|…)?\s*</summary>",
            r"</details>",
        ),
    )
)
EMPTY = re.compile(  # that thinking was left out or chosen; `thought` is what chose it
    rf"\s*(?:<{SURE}\s?/>|<no_think(?:ing)?>"
    r"|(?:<judge>(?P<thought>(?s:.{0,4000}?))</judge>\s*)?<think_o(?:n|ff)>)"
    r"(?! (?-i:[a-z]))",
    re.IGNORECASE,
)
ESCAPED = re.compile(  # marks as Markdown, JSON or an East Asian keyboard write them
    rf"(?:\\u003c|\\<|＜)\\?(?P<close>/?)(?P<name>{TAG})\\?(?:\\u003e|>|＞)", re.IGNORECASE
)
PHRASED = tuple(  # the words with which thinking begins, and those that end it
    (re.compile(rf"\s*{begin}", re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (
        (r"here(?:['’]s| is) my thought process:", r"here(?:['’]s| is) my response:"),
        (r"here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]"),
    )
)
OF_A_TASK = re.compile(  # what is thought about, after such words
    r"\s*\n[^\n]{0,200}\b(?:(?:the|this) (?:user|question|prompt|query|request|task)"
    r"|(?:is|are) asking|asks|asked)\b",
    re.IGNORECASE,
)
PROSE_LINE = re.compile(r"[ \t]*\n[^\W\d_]")  # after such words, but after those of a list
WRAPPED = re.compile(  # the answer after thinking, where a template marks it too; or up to its end
    rf"\s*<(?P<tag>{'|'.join(WRAPS_ANSWER)})>"
    r"(?:(?P<whole>.*)</(?P=tag)>|(?!.*</(?P=tag)>)(?P<begun>.*))\s*",
    re.IGNORECASE | re.DOTALL,
)
ASKED_FOR_ENDS = re.compile(rf"^[ \t]*</(?P<tag>{ASKED_FOR})>[ \t]*$", re.MULTILINE | re.IGNORECASE)


def is_xml(text: str) -> bool:
    """Whether a text begins with an element and has one that is neither thinking nor markup.

    Where the first is thinking by a common name, it may begin with such an element too.
    """
    if not text.lstrip().startswith("<"):
        return False
    begin = ELEMENT.match(text, after_space(text, 0))
    if begin and re.fullmatch(SOFT, begin["name"].lower()) and has_child(text, begin.end()):
        return True
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


def has_siblings(text: str) -> bool:
    """Whether an element that a text begins with is followed by another, or is a field by name."""
    first = ELEMENT.match(text, after_space(text, 0))
    if first and first["name"].lower() in FIELDS:
        return True
    end = text.find(f"</{first['name']}>", first.end()) if first else -1
    if first is None or end < 0:
        return False
    follows = ELEMENT.match(text, after_space(text, end + len(first["name"]) + 3))
    return follows is not None and not follows["close"]


def has_child(text: str, at: int) -> bool:
    """Whether what is inside an element, from a place on, begins with one that is no markup."""
    child = ELEMENT.match(text, after_space(text, at))
    if not child or child["close"]:
        return False
    name = child["name"].lower()
    return name not in MARKUP and not re.fullmatch(SURE, name)


def half_wrapped(text: str) -> str | None:
    """The mark of an answer after thinking that has no other: of one that may be cut off."""
    lower = text.lower()
    for name in WRAPS_ANSWER:
        begin, end = f"<{name}>", f"</{name}>"
        if lower.lstrip().startswith(begin) and end not in lower:
            return begin
        if lower.rstrip().endswith(end) and begin not in lower:
            return end
    return None


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
