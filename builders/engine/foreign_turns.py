r"""Another speaker's turn after an answer, where nothing but a role's word begins it.

A model that is not stopped writes the next question too, and answers it. A dialogue that the prompt
asked for looks alike: it begins with its first speaker, a system prompt or a title, is introduced
("Here is a dialogue:"), or has speakers that are no template's roles. Where it is none of these,
the answer cannot be used.

Source: the prompt formats of Alpaca, Vicuna, Guanaco, OpenChat and Falcon, and the chat templates
whose role headers stay in a text when special tokens are removed.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside

ROLES = ("assistant", "user", "system", "developer", "model", "human", "tool", "ai", "bot")
ROLE = f"(?:{'|'.join(ROLES)})"
_HEADERS = "(?:user|assistant|system|model)"  # roles that a header names, marks removed
_AFTER_SENTENCE = r"(?<=[.!?)\"'”’…。！？])"
_GLUED_HEADER = re.compile(
    rf"{_AFTER_SENTENCE}(?P<role>{_HEADERS})\n(?:\n|(?=[^\sa-z]))(?=\S)(?P<next>[^\n]*)"
)
_HEADER_LINE = re.compile(  # before a line that is no single word, as those of a list are
    rf"{_AFTER_SENTENCE}[ \t]*\n\n?(?:{_HEADERS}\n+)*(?:assistant\n\n?|{_HEADERS}\n)"
    r"(?=[^\n]*(?:[^\s][ \t][^\s]|[.!?。！？]))"
)
_NEXT_HEADER = re.compile(r"(?:^|[.!?)…。！？])(?:assistant|model)\n", re.MULTILINE)
_LIST = re.compile(rf"\s*{ROLE}\n{ROLE}\n{ROLE}(?:\n{ROLE})*\s*(?:\n\n|\Z)")
_HEADING = re.compile(
    r"^### ?(?P<name>Instruction|Human|User|Assistant|Response):[ \t]*(?P<value>[^\n]*)",
    re.MULTILINE,
)
_OF_AN_API = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE|HTTP|API|[Rr]equest|[Ee]ndpoint)\b")
_ANY_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_TURN = re.compile(
    r"(?P<sure>^GPT4 Correct User:|^<(?:human|user)>:|<sep> ?(?:human|user):)"
    r"|^(?:(?P<name>Human|User|HUMAN|USER):(?=\s|\Z)"
    r"|(?P<weak>\*\*(?:User|Human)(?::\*\*|\*\*:)|(?:user|human):(?=\s)|(?:用户|用戶|ユーザー)[:：]))",
    re.MULTILINE,
)
_LABEL_LINE = re.compile(
    r"^[ \t]*[*_]{0,2}(?P<name>\w{1,30}(?: \w{1,30})?)[*_]{0,2}[:：]", re.MULTILINE
)
_SYSTEM = re.compile(r"^[*_]{0,2}(?:System|SYSTEM)(?: [Pp]rompt)?[*_]{0,2}[:：]", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[ \t]*\{{1,2} ?\w{1,30} ?\}{1,2}[ \t]*(?:\n|\Z)")  # of a template
_ASKS = frozenset(("human", "user"))
_ASSISTANT = frozenset(("assistant", "助手", "アシスタント"))
_ANSWERS = _ASSISTANT.union(  # who answers in a template, by a role or by the model's own name
    ("ai", "bot", "model", "response", "answer", "a", "gpt", "chatgpt", "claude"),
    ("falcon", "llama", "vicuna", "alpaca", "koala", "dolly", "gemini", "gemma", "qwen"),
    ("mistral", "deepseek", "openassistant"),
)
_INTRODUCES = re.compile(
    r":\s*\Z|\b(?:dialog|dialogue|conversation|transcript|chat|interview|skit|scene|script|exchange"
    r"|role-?play|flow|example|gespräch|unterhaltung|beispiel|conversación|diálogo|ejemplo|conversa"
    r"|conversazione|dialogo|esempio|exemple|exemplo|gesprek|rozmowa|диалог|разговор|беседа|пример"
    r")s?\b|对话|對話|会話|対話|대화"
    r"|\bhere(?:['’]s| is) (?:one|it|an? (?:\w+ )?(?:example|sample|draft))\b",
    re.IGNORECASE,
)
_INTRODUCTION = 250  # characters before the first turn, at most; a longer text is an answer
_DECORATED = re.compile(r"#{1,6} .*|\*\*.+\*\*|\*[^*]+\*|_[^_]+_|\[.+\]|\(.+\)")
_SMALL = r"(?:an?|the|of|at|in|on|for|and|to|with|by|vs)"
_TITLE = re.compile(
    rf"[^a-z]*[A-Z]{{3}}[^a-z]*|1[.)] .{{1,60}}|[A-Z]\S*(?: (?:[A-Z]\S*|{_SMALL})){{2,9}}"
)


def foreign_turn(text: str, spans: Spans) -> str | None:
    """The word with which another turn begins outside the spans; None without one."""
    if header := _glued_header(text, spans):
        return header
    for found in _HEADER_LINE.finditer(text):
        if not inside(found.end() - 1, spans) and not _LIST.match(text, found.start()):
            return found[0].strip()
    if heading := _next_heading(text, spans):
        return heading
    for found in _TURN.finditer(text):
        if not inside(found.start(), spans):
            return None if _is_dialogue(text, found) else found[0].strip()
    return None


def _glued_header(text: str, spans: Spans) -> str | None:
    """The role of a header after a sentence; after a dot it may be of a name, as `request.user`."""
    answered: bool | None = None
    for found in _GLUED_HEADER.finditer(text):
        if inside(found.end("role"), spans):
            continue
        asks = found["next"].rstrip().endswith(("?", "？"))
        if text[found.start() - 1] == "." and found["role"] != "assistant" and not asks:
            if answered is None:
                answered = bool(_NEXT_HEADER.search(text, found.start("next")))
            if not answered:
                continue
        return found["role"]
    return None


def _next_heading(text: str, spans: Spans) -> str | None:
    """The heading with which a template begins the next turn; None where headings are its own."""
    found = [one for one in _HEADING.finditer(text) if not inside(one.start(), spans)]
    begins = len(text) - len(text.lstrip())
    first = next((one for one in found if one.start() > begins), None)
    if first is None:
        return None
    before, names = text[: first.start()].rstrip(), [one["name"] for one in found]
    if before.endswith(":") or (len(before) <= _INTRODUCTION and _INTRODUCES.search(before)):
        return None
    asks = [at for at, one in enumerate(names) if one in ("Instruction", "Human", "User")]
    if asks and set(names[asks[0] :]) & {"Assistant", "Response"}:
        return first[0].strip()
    own = len(_ANY_HEADING.findall(text)) > len(names)
    value = first["value"].rstrip()
    asked = value.endswith(("?", "？")) or first["name"] in ("Human", "Assistant")
    named = value and not asked
    documents = first["name"] == "Response" and _OF_AN_API.search(before)
    return None if own or named or documents else first[0].strip()


def _is_dialogue(text: str, turn: re.Match[str]) -> bool:
    """Whether the first turn of a template's role is of a dialogue or a list that is the answer."""
    before = text[: turn.start()].strip()
    paragraph = before.rfind("\n\n") + 1
    if prompt := _SYSTEM.search(before, paragraph):  # of the dialogue, too
        before = before[: prompt.start()].rstrip()
    if not before or before.endswith(":") or _PLACEHOLDER.match(text, turn.end()):
        return True
    last = before.rpartition("\n")[2]
    titled = _DECORATED.fullmatch(last) or (last is before and _TITLE.fullmatch(last))
    if len(before) <= _INTRODUCTION and (titled or _INTRODUCES.search(before)):
        return True
    if turn["sure"]:
        return False
    follow = {found["name"].lower() for found in _LABEL_LINE.finditer(text, turn.end())}
    if turn["weak"]:
        return not follow & _ASSISTANT or before[-1] not in ".!?…。！？"
    opening = {found["name"].lower() for found in _LABEL_LINE.finditer(before)}
    if opening & follow - _ASSISTANT:
        return True
    if follow & _ANSWERS:
        return False
    line, _, after = text[turn.end() : turn.end() + 2000].partition("\n")
    listed = _label(last) not in ("", "assistant") and not line.rstrip().endswith("?")
    is_story = after[:1] == "\n" and bool(after.strip())
    return listed or is_story or _label(after.lstrip()) not in ("", *_ASKS)


def _label(text: str) -> str:
    found = _LABEL_LINE.match(text)
    return found["name"].lower() if found else ""
