r"""Another speaker's turn after an answer, where nothing but a role's word begins it.

A model that is not stopped writes the next question too, and answers it. A dialogue that the prompt
asked for looks alike: it begins with its first speaker or a system prompt, the line before it
presents it ("Here is a dialogue"), it has a title and a greeting, or speakers that are no
template's roles. Where it is none of these, the answer cannot be used: a short answer looks like a
title, and a word such as "example" is in any answer.

Source: the prompt formats of Alpaca, Vicuna, Guanaco, OpenChat and Falcon, and the chat templates
whose role headers stay in a text when special tokens are removed.
"""

from __future__ import annotations

import re

from builders.engine.cited_text import Spans, inside

ROLES = ("assistant", "user", "system", "developer", "model", "human", "tool", "ai", "bot")
ROLE = f"(?:{'|'.join(ROLES)})"
LAST_ROLES = ("assistant", "user", "system", "model")
_HEADERS = f"(?:{'|'.join(LAST_ROLES)})"  # roles that a header names, marks removed
_IN_NAMES = r"/_@#&=~$\<,|([{«•-"  # before a role that is part of a path, or begins a phrase
_SENTENCE_ENDS = ".!?…。！？"
_AFTER_SENTENCE = r"(?<=[.!?)\"'”’…。！？])"
_GLUED_HEADER = re.compile(
    rf"{_AFTER_SENTENCE}(?P<role>{_HEADERS})\n(?:\n+|(?=[^\sa-z]))(?=\S)(?P<next>[^\n]*)"
)
# Where no sentence ends: the answer's role after all but the parts of a path or a name.
_GLUED_TO_WORD = re.compile(
    rf"(?:(?<=[^\s{re.escape(_IN_NAMES)}])|(?<= \|)|(?<=\S\$))"
    r"(?:assistant\n\n|(?<![A-Za-z])user\n\n+(?=[^\n]+[?？]\s*(?:\n|\Z)))"
)
_HEADER_LINE = re.compile(  # before a line that is no single word, as those of a list are
    rf"{_AFTER_SENTENCE}[ \t]*\n\n?(?:{_HEADERS}\n+)*(?:assistant\n\n?|{_HEADERS}\n)"
    r"(?=[^\n├└│|]*(?:[^\s][ \t][^\s]|[.!?。！？]))(?=(?P<next>[^\n]*))"
)
_USER_LINE = re.compile(r"(?<=[^\s:：])[ \t]*\n\n?user\n+(?=[^\sa-z][^\n]*(?:[ \t]\S|[?？。]))")
_ANSWER_LINE = re.compile(r"(?<=[^\s:：])[ \t]*\n\n?assistant\n+(?=[^\sa-z][^\n]*[ \t]\S)")
# A role at the very end, of a header that no turn follows.
_LAST_HEADER = re.compile(
    rf"(?P<line>\n\s*)?(?:assistant\s*)*(?:assistant|(?P<other>{_HEADERS}))(?P<after>\s*)\Z"
)
_OWNER = re.compile(r"(?:\b(?:self|this|cls)|[\w)\]][._]\w+)\.\Z")  # of an attribute
_CODE = re.compile(r"[=(){}\[\];_<>]")
_NEXT_HEADER = re.compile(r"(?:^|[.!?)…。！？])(?:assistant|model)\n", re.MULTILINE)
# A word on a line that a list explains on the next, as it does those that may be roles.
_TERM = re.compile(rf"^(?!{ROLE}\n)[a-z][\w-]{{0,30}}\n(?=[^\n]*[^\s][ \t][^\s])", re.MULTILINE)
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
    r"|(?P<weak>\*\*(?:User|Human|USER|HUMAN)(?::\*\*|\*\*:)|(?:user|human):(?=\s)|(?:用户|用戶|ユーザー)[:：]))",
    re.MULTILINE,
)
_TURN_IN_LINE = re.compile(  # with the label of its answer after it
    r"GPT4 Correct User:"
    r"|(?:USER|HUMAN|User|Human):(?= ?(?P<line>[^\n]{0,500}?)\s{1,2}(?:ASSISTANT|Assistant|AI):)"
)
_LABEL_LINE = re.compile(
    r"^[ \t]*[*_]{0,2}(?P<name>\w{1,30}(?: \w{1,30})?)[*_]{0,2}[:：]", re.MULTILINE
)
_SYSTEM = re.compile(r"^[*_]{0,2}(?:System|SYSTEM)(?: [Pp]rompt)?[*_]{0,2}[:：]", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[ \t]*\{{1,2} ?\w{1,30} ?\}{1,2}[ \t]*(?:\n|\Z)")  # of a template
_ASKS = frozenset(("human", "user"))
_ASSISTANT = frozenset(("assistant", "助手", "アシスタント"))
_LABELS = frozenset(("answer", "response", "a"))  # that an answer itself may begin with
_ANSWERS = _ASSISTANT.union(  # who answers in a template, by a role or by the model's own name
    ("ai", "bot", "model", "response", "answer", "a", "gpt", "chatgpt", "claude"),
    ("falcon", "llama", "vicuna", "alpaca", "koala", "dolly", "gemini", "gemma", "qwen"),
    ("mistral", "deepseek", "openassistant"),
)
_INTRODUCTION = 250  # characters before the first turn, at most; a longer text is an answer
_DIALOGUE = r"(?:dialog(?:ue)?|conversation|transcript|interview|skit|scene|role-?play|chat log)s?"
_KIND = rf"(?:{_DIALOGUE}|(?:chat|script|exchange|flow|example|sample|draft)s?)"
_SUCH = (  # words before one that may be a verb too, as `chat`
    r"(?:(?:short|brief|little|long|simple|typical|sample|possible|first|second|main|happy|basic|cleaned|edited"
    r"|normal|full|new|friendly|formal|funny|support|customer|user|sales|phone|test|chat|bot"
    r"|group) ){0,3}"
)
_VERB = (
    r"(?:is|are|was|were|has|have|had|can|could|will|would|does|do|did|must|may|ist|sind|war|waren"
    r"|lasts?|takes?|ends?|dauert|endet|es|son|fue|est|sont|era|è|sono|foi|jest|был[аио]?)\b"
)
_NO_VERB = rf"(?!.*\b{_VERB})"
_WORDS = rf"(?:(?!{_VERB})[\w-]+ ){{0,3}}"
_SENTENCE = r"(?:\A|[.!?…]\s+)"
_OTHER_LANGUAGES = (
    r"(?:gespräch|unterhaltung|dialog|beispiel|conversación|diálogo|charla|ejemplo|conversa"
    r"|conversazione|dialogo|esempio|un(?: \w+)? dialogue|exemple|exemplo|gesprek"
    r"|voorbeeld|rozmowa|диалог|разговор|беседа|пример)s?\b"
)
_OF_IT = (  # what a dialogue in one of these languages is between, or about
    r"(?:am|im|in|bei|mit|zwischen|über|entre|sobre|de|del|con|en|sur|avec|à|au|tra|fra|di|su|com"
    r"|em|między|o|z|w|между|о|с|в|van|over|tussen|met|op)"
)
_RULES = re.compile(r"(?:[ \t]*[-*_=]{3,}[ \t]*(?:\n\s*|\Z))+")  # lines across a page, reversed
_PRESENTS = re.compile(  # a last line before a dialogue that names what follows
    rf"\bhere(?:['’]s| is| are) (?:one|it|(?:\w+ ){{1,4}}{_KIND})\b(?!.*: *\S)"
    rf"|\b(?:{_KIND}|log)\b.*\b(?:below|follows|like this)\W*\Z|\b(?:goes|reads) like this\W*\Z"
    rf"|\b(?:I(?:['’]ve| have)? (?:wrote|written|made|prepared|corrected|edited)"
    rf"|let me \w+|let['’]s \w+|this is|below is) (?:\w+ ){{1,3}}(?:{_DIALOGUE}|chat|script)\b"
    rf"|{_SENTENCE}(?:imagine|picture|consider) (?:\w+ ){{1,3}}{_KIND}\b(?!.*: *\S)"
    rf"|{_SENTENCE}(?:an?|one|another) (?:{_WORDS}{_DIALOGUE}(?=\s(?:of|on|in|at|from|that|who)\b)"
    rf"|(?:{_WORDS}{_DIALOGUE}|{_SUCH}{_KIND})(?=\W*\Z|,|\s(?:about|between|with|for|where)\b))"
    rf"{_NO_VERB}"
    rf"|{_SENTENCE}(?:(?:the|my|your|our|this) {_WORDS}{_DIALOGUE}"
    rf"|(?:(?:the|my|your|our|this) )?{_SUCH}{_KIND})"
    rf"(?: \d+)?(?=\W*\Z|\s(?:between|about)\b){_NO_VERB}"
    rf"|{_SENTENCE}{_DIALOGUE} (?:of|with|on|in|at|from)\b{_NO_VERB}"
    rf"|{_SENTENCE}(?:(?:hier|das|dies(?:es)?|unten|voici|voilà|aquí|est[eo]|ecco|questo|aqui|eis"
    rf"|hieronder|dit|oto|вот|это|ниже) (?:(?:ist|est|está|es|è|é|is|jest) )?)?"
    rf"{_WORDS}{_OTHER_LANGUAGES}(?=(?: \w+)?\W*\Z| {_OF_IT}\b){_NO_VERB}"
    r"|(?:(?:下面|以下|如下|这是|這是|これは|次の|다음|아래).{0,20}|\A.{0,8})"
    r"(?:对话|對話|会話|対話|대화|示例|例子)(?:示例|例)?(?:です|입니다)?[。：.]?\Z"
    r"|\A(?:INT|EXT|I/E)[./ ]",
    re.IGNORECASE,
)
_MAY_INTRODUCE = re.compile(rf"\b{_KIND}\b|\b{_OTHER_LANGUAGES}", re.IGNORECASE)
_ENTITLES = re.compile(rf"{_MAY_INTRODUCE.pattern}|\bprompts?(?: templates?)?\Z", re.IGNORECASE)
_HAS_VERB = re.compile(rf"\b{_VERB}", re.IGNORECASE)
_STAGE = re.compile(rf"\*?\[(?![\[\]]){_NO_VERB}[^\[\]]* [^\[\]]*[.…]\]\*?", re.IGNORECASE)
_DECORATED = re.compile(
    r"(?!\W*[Aa]nswer\b)(?:#{1,6} .*|\*\*.+\*\*|\*[^*]+\*|_[^_]+_|\[.+ .+\]|\(.+ .+\))"
)
_LONG_TITLE = re.compile(r"\*\*[^*\n]+ [^*\n]+ [^*\n]+\*\*")  # no answer of a word or two
_SMALL = r"(?:an?|the|of|at|in|on|for|and|to|with|by|vs)"
_TITLE = re.compile(rf"[^a-z]*[A-Z]{{3}}[^a-z]*|[A-Z]\S*(?: (?:[A-Z]\S*|{_SMALL})){{2,9}}")
_GREETS = re.compile(
    r"\W*(?:hi|hello|hey|good (?:morning|day|afternoon|evening)|greetings|hallo|guten|bonjour|salut"
    r"|bonsoir|hola|buen[oa]s|ciao|salve|buongiorno|olá|oi|bo[am]|dzień|cześć|привет|здравствуй\w*"
    r"|добр\w+)\b|\W*(?:你好|您好|こんにちは|안녕)",
    re.IGNORECASE,
)
_DEFINES = re.compile(  # a value that explains a word, as in a list of terms
    r"[*_]{0,2}[ \t]*(?:an?|the|any(?:one|body)?|some(?:one|body)?|one|who|those|all|each|every)"
    r" [^\n]*[^\s?？](?=[ \t]*(?:\n|\Z))"
)
_GOES_ON = re.compile(  # with the answer before it, as a first turn of a dialogue does not
    r"\W*(?:thanks?|ok(?:ay)?|great|perfect|and|but|also|now|why|tell me more|go on|next)\b",
    re.IGNORECASE,
)
_OF_BOTS = re.compile(r"\b(?:chat|ro)?bots?\b", re.IGNORECASE)


def foreign_turn(text: str, spans: Spans) -> str | None:
    """The word with which another turn begins outside the spans; None without one."""
    if header := _glued_header(text, spans):
        return header
    if header := _header_line(text, spans):
        return header
    if heading := _next_heading(text, spans):
        return heading
    if turn := _turn_in_line(text, spans):
        return turn
    for found in _TURN.finditer(text):
        if not inside(found.start(), spans):
            return None if _is_dialogue(text, found) else found[0].strip()
    return None


def without_last_header(text: str, spans: Spans) -> tuple[str, str | None]:
    """The text without a header at its end; as it is, and the role, where that is not sure.

    On its own line a role may be the last of a list or of a signature, and after a dot the
    attribute of an object, as in `request.user`.
    """
    ended = text.rstrip()
    if not ended.endswith(LAST_ROLES):
        return text, None
    found = _LAST_HEADER.search(text, max(0, len(ended) - 200))
    if not found or inside(len(ended) - 1, spans):
        return text, None
    answer, role = text[: found.start()].rstrip(), found["other"] or "assistant"
    line = answer.rpartition("\n")[2]
    last = answer.rstrip("*_\"'”’)`")[-1:]
    if not answer or last == ":" or line.strip() in ROLES:
        return text, None
    if found["line"]:
        if last in _SENTENCE_ENDS:
            sure = role == "assistant" or "\n" in found["after"]
            return (answer, None) if sure else (text, role)
        listed = role != "assistant" or ("\n" in answer and "\n\n" not in found["after"])
        return text, None if listed else role
    if text[found.start() - 1].isspace() or text[found.start() - 1] in _IN_NAMES:
        return text, None
    if answer[-1] == ".":
        if _OWNER.search(answer):
            return text, None
        words = len(line.split())
        if role != "assistant":
            return text, role if words > 3 and not _CODE.search(line) else None
        return (text, role) if words == 1 and line.islower() else (answer, None)
    if answer[-1] in "!?…。！？" or (role == "assistant" and not _is_letter(answer[-1])):
        return answer, None
    return text, role if role == "assistant" else None


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
    for found in _GLUED_TO_WORD.finditer(text) if "r\n\n" in text or "t\n\n" in text else ():
        fenced = text.endswith(("```", "~~~"), 0, found.start())
        opens_code = fenced and not inside(found.start() - 1, spans)
        if not inside(found.start(), spans) and not opens_code:
            return found[0].strip()
    return None


def _header_line(text: str, spans: Spans) -> str | None:
    """The role on a line of its own with which a turn begins, and no word that a list explains."""
    last_term = last_answer = -2
    for found in _HEADER_LINE.finditer(text):
        if inside(found.end() - 1, spans) or _LIST.match(text, found.start()):
            continue
        if last_term == -2:
            last_term, last_answer = _last(_TERM, text), _last(_NEXT_HEADER, text)
        asks = found["next"].rstrip().endswith(("?", "？"))
        explained = "assistant" not in found[0] and not asks and last_term >= found.end()
        if not explained or last_answer >= found.end():
            return found[0].strip()
    answers = text.rfind("\nassistant\n")
    if answers > 0 and text[:answers].rpartition("\n")[0].rstrip().endswith(","):
        return None  # of one who signs a letter
    for line in _USER_LINE.finditer(text) if answers > 0 else ():
        if line.end() < answers and not inside(line.end() - 1, spans):
            return line[0].strip()
    last = _ANSWER_LINE.search(text) if answers > 0 else None
    listed = last and (inside(last.end() - 1, spans) or _TERM.search(text))
    return last[0].strip() if last and not listed else None


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last place begins that a pattern matches; -1 without one."""
    return max((found.start() for found in pattern.finditer(text)), default=-1)


def _next_heading(text: str, spans: Spans) -> str | None:
    """The heading with which a template begins the next turn; None where headings are its own."""
    found = [one for one in _HEADING.finditer(text) if not inside(one.start(), spans)]
    begins = len(text) - len(text.lstrip())
    first = next((one for one in found if one.start() > begins), None)
    if first is None:
        return None
    before, names = text[: first.start()].rstrip(), [one["name"] for one in found]
    if before.endswith(":") or _is_presented(before):
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


def _turn_in_line(text: str, spans: Spans) -> str | None:
    """The label of a turn that follows a sentence on its line; after a space it is a question."""
    for found in _TURN_IN_LINE.finditer(text):
        start, line = found.start(), (found["line"] or "").strip()
        spaced = text[start - 1 : start] == " "
        asks = not line or line.endswith(("?", "？")) or found[0].isupper()
        after_sentence = text.endswith((*_SENTENCE_ENDS, ")"), 0, start - spaced)
        if not after_sentence or (spaced and not asks) or line[:1] == "{" or inside(start, spans):
            continue
        is_first = _label(text.lstrip()) in (*_ASKS, "system")
        return None if is_first or _opens(text, found, _before(text, found)) else found[0]
    return None


def _before(text: str, turn: re.Match[str]) -> str:
    """The text before a first turn without a system prompt and lines across the page."""
    before = text[: turn.start()].strip()
    paragraph = before.rfind("\n\n") + 1
    if prompt := _SYSTEM.search(before, paragraph):  # of the dialogue, too
        before = before[: prompt.start()].rstrip()
    if ruled := _RULES.match(before[::-1]):
        before = before[: len(before) - ruled.end()]
    return before


def _opens(text: str, turn: re.Match[str], before: str) -> bool:
    """Whether a first turn opens a dialogue, by the text before it."""
    if not before.rstrip("*_") or before.rstrip("*_").endswith(":"):
        return True
    if _PLACEHOLDER.match(text, turn.end()) or _is_first_of_several(before, text):
        return True
    return _is_presented(before) or _is_titled(before, text, turn)


def _is_dialogue(text: str, turn: re.Match[str]) -> bool:
    """Whether the first turn of a template's role is of a dialogue or a list that is the answer."""
    before = _before(text, turn)
    if _opens(text, turn, before):
        return True
    if turn["sure"]:
        return False
    last = before.rpartition("\n")[2]
    line, _, after = text[turn.end() : turn.end() + 2000].partition("\n")
    asks = bool(line.rstrip().endswith(("?", "？")) or _GOES_ON.match(line))
    value, next_label = line.strip(), _label(after.lstrip())
    is_listed = not value[:1].isupper() or not text.endswith("\n\n", 0, turn.start())
    is_entry = _label(last) not in ("", "assistant") and bool(value) and not asks
    is_entry = is_entry and (is_listed or bool(next_label))
    labels = list(_LABEL_LINE.finditer(text, turn.end()))
    follow = {found["name"].lower() for found in labels}
    if turn["weak"]:
        entitled = not asks or last.startswith("#") or _LONG_TITLE.fullmatch(last)
        begins = is_entry or (before[-1] not in _SENTENCE_ENDS and entitled)
        is_turn = follow & (_ANSWERS if asks else _ASSISTANT) or (asks and not next_label)
        return not is_turn or bool(begins)
    opening = {found["name"].lower() for found in _LABEL_LINE.finditer(before)}
    if opening & follow - _LABELS and not follow & _ASSISTANT:
        return True
    if follow & _ANSWERS:
        reply = text[labels[0].end() : labels[0].end() + 2000].partition("\n")[0].strip()
        if _DEFINES.match(value) and reply[:1].islower():
            return True
        if follow & _ANSWERS != {"bot"} or asks:
            return False
        return bool(_OF_BOTS.search(before)) or reply.endswith(("?", "？"))
    is_value = not asks and bool(value[:1].isdigit() or _DEFINES.match(value))
    return is_entry or is_value or next_label not in ("", *_ASKS)


def _is_first_of_several(before: str, text: str) -> bool:
    """Whether a line with the number 1 is before a first turn, and one with 2 before another."""
    first = re.match(r"(\D{0,20})1\b", before.rpartition("\n")[2])
    if not first:
        return False
    second = rf"^{re.escape(first[1])}2\b[^\n]*\n+\W{{0,3}}(?:user|human)\b"
    return bool(re.search(second, text, re.MULTILINE | re.IGNORECASE))


def _is_presented(before: str) -> bool:
    """Whether the last line before a first turn presents what follows it."""
    last = before.rpartition("\n")[2]
    bare = last.strip("#*_[]() ")
    if len(before) > _INTRODUCTION:
        return False
    named = bare != last and _ENTITLES.search(bare) and not _HAS_VERB.search(bare)
    return bool(named or _PRESENTS.search(bare))


def _is_titled(before: str, text: str, turn: re.Match[str]) -> bool:
    """Whether a title or a stage direction is before a first turn, and not a short answer.

    They look alike, so a title needs a first turn that begins a dialogue, with a greeting.
    """
    if len(before) > _INTRODUCTION:
        return False
    last = before.rpartition("\n")[2]
    if _STAGE.fullmatch(last):
        return True
    titled = _DECORATED.fullmatch(last) or (last is before and _TITLE.fullmatch(last))
    greeting = _GREETS.match(text, turn.end())
    if not greeting or (titled and "[[" not in last):
        return bool(greeting)
    rest = text[greeting.end() :].partition("\n")[0]
    return bool(_MAY_INTRODUCE.search(last) and len(rest) < 20 and "?" not in rest)


def _is_letter(sign: str) -> bool:
    """Whether a sign is a letter of the alphabet that names and words with a role's are in."""
    return sign.isascii() and sign.isalpha()


def _label(text: str) -> str:
    found = _LABEL_LINE.match(text)
    return found["name"].lower() if found else ""
