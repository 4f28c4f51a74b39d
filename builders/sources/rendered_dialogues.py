"""A text that is a whole dialogue, with the marks of a chat template, as its turns.

The marks are those of ChatML, Llama, Mistral, Gemma, Phi, DeepSeek, Cohere, Granite, gpt-oss,
OpenAssistant, Zephyr, ChatGLM, EXAONE, Kimi, Nemotron, Baichuan and Seed; headings, as Alpaca has
them; tags; and speakers by name, as Anthropic's HH-RLHF, Vicuna and Guanaco have them, in ten
languages and also in bold. A sentence before the first mark that belongs to such a template is left
out; other lines before headings are a system turn. A last answer that may have a request after it,
or that may be the form of one, is no answer: such a text is asked as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_USER = (
    *("user", "human", "prompter", "q", "instruction", "instruct", "input", "question"),
    *("context", "document", "task", "problem", "query", "prompt", "you", "user_token"),
    *("[inst]", "<</sys>>"),
    "<reserved_106>",
)
_ASSISTANT = (
    *("assistant", "a", "gpt", "ai", "bot", "model", "response", "output", "answer", "solution"),
    *("completion", "chatgpt", "claude", "gemini", "copilot", "chatbot_token", "[/inst]"),
    "<reserved_107>",
)
# The same in Chinese, Japanese, Korean, Russian, Spanish, Portuguese, French, German and Italian.
_USER_ABROAD = (
    *(
        "用户",
        "用戶",
        "人类",
        "问题",
        "问",
        "問題",
        "問",
        "指令",
        "输入",
        "ユーザー",
        "質問",
        "指示",
        "入力",
    ),
    *("사용자", "질문", "명령어", "입력", "пользователь", "человек", "вопрос", "инструкция"),
    *(
        "question",
        "instruction",
        "usuario",
        "pregunta",
        "instrucción",
        "usuário",
        "pergunta",
        "instrução",
        "utilisateur",
    ),
    *("benutzer", "nutzer", "frage", "anweisung", "utente", "domanda", "istruzione"),
)
_ASSISTANT_ABROAD = (
    *("助手", "助理", "机器人", "答案", "答", "回答", "输出", "アシスタント", "応答", "出力"),
    *(
        "어시스턴트",
        "도우미",
        "답변",
        "응답",
        "출력",
        "ассистент",
        "помощник",
        "ответ",
        "asistente",
    ),
    *("respuesta", "assistente", "resposta", "réponse", "assistent", "antwort", "risposta"),
)
_ROLES = {
    **dict.fromkeys((*_USER, *_USER_ABROAD), "user"),
    **dict.fromkeys((*_ASSISTANT, *_ASSISTANT_ABROAD), "assistant"),
    **dict.fromkeys(
        ("system", "developer", "system_token", "<<sys>>", "[system_prompt]"), "system"
    ),
}
_ROLE = r"[ \t]*(user|assistant|system|developer|model)[ \t]*"
_PARTS = "Instruction|Instruct|Input|Context|Question|Response|Output|Answer"
_ALL_ABROAD = sorted((*_USER_ABROAD, *_ASSISTANT_ABROAD), key=len, reverse=True)
_ABROAD = "|".join(one.capitalize() for one in _ALL_ABROAD)
_SPEAKERS_ABROAD = (
    "用户|用戶|人类|助手|助理|机器人|ユーザー|アシスタント|사용자|어시스턴트|도우미|Пользователь|Человек"
    "|Ассистент|Помощник|Usuario|Usuário|Asistente|Assistente|Utilisateur|Benutzer|Nutzer|Utente"
    "|Assistent|Assistant|AI"
)
_IN_BOLD = (
    f"{_PARTS}|Problem|Solution|Prompt|Completion|User|Human|Assistant|AI|Bot|System|[QA]\\d*"
    "|You|ChatGPT|Claude|Gemini|Copilot"
)
_IN_HEADINGS = "Task|Problem|Query|Solution|Prompt|Completion|User|Human|Assistant|System"
_IN_TAGS = (
    "question|user|human|instruction|prompt|query|problem|system|context|document|input"
    "|assistant|bot|answer|response|solution|completion|output"
)
_TAGGED = re.compile(r"\s*<(\w+)>(.*?)</\1>\s*", re.DOTALL | re.IGNORECASE)
_THINKING = {"think", "thinking", "thought", "thoughts", "reasoning", "scratchpad"}  # in tags
# The speaker is the group. Nobody writes such a mark in a text of their own; all else they may.
_MARKS, _TAGS, _HEADINGS, _SPEAKERS, _LABELS = "marks", "tags", "headings", "speakers", "labels"
_FORMS = (
    (_MARKS, re.compile(rf"<\|im_start\|>{_ROLE}(?:<\|im_sep\|>)?\n?")),
    (
        _MARKS,
        re.compile(
            rf"<\|(?:start_header_id|header_start)\|>{_ROLE}<\|(?:end_header_id|header_end)\|>"
        ),
    ),
    (_MARKS, re.compile(rf"<\|start_of_role\|>{_ROLE}<\|end_of_role\|>")),
    (_MARKS, re.compile(rf"<\|start\|>{_ROLE}(?:<\|channel\|>\w+)?<\|message\|>")),
    (
        _MARKS,
        re.compile(r"(?:<\|START_OF_TURN_TOKEN\|>)?<\|(USER_TOKEN|CHATBOT_TOKEN|SYSTEM_TOKEN)\|>"),
    ),
    (_MARKS, re.compile(rf"(?:<start_of_turn>|<\|turn>|<seed:bos>){_ROLE}\n?")),
    (_MARKS, re.compile(r"<\|im_(user|assistant|system)\|>\w*<\|im_middle\|>")),
    (_MARKS, re.compile(r"(?:<extra_id_\d>|<SPECIAL_\d+>)(User|Assistant|System)\n")),
    (_MARKS, re.compile(r"(<reserved_10[67]>)")),
    (
        _MARKS,
        re.compile(r"<[|｜](user|human|assistant|system|prompter|bot)[|｜]>:?", re.IGNORECASE),
    ),
    (_MARKS, re.compile(r"(\[/?INST\]|<</?SYS>>|\[SYSTEM_PROMPT\])")),
    (_MARKS, re.compile(r"\[\|(Human|AI|user|assistant|system)\|\]")),
    (_MARKS, re.compile(r"<(human|bot)>:")),
    (_MARKS, re.compile(r"GPT4 Correct (User|Assistant):")),
    (_MARKS, re.compile(r"(?:\A|<\|end_of_turn\|>)(Human|User|Assistant):")),
    (_MARKS, re.compile(r"^(?:\[Round \d+\]\s*(?=问)|(?=答))(问|答)：", re.M)),
    (
        _HEADINGS,
        re.compile(r"(?<!#)### ?(User|Human|Assistant|System|GPT|AI|Bot)(?: ?:|$)", re.I | re.M),
    ),
    (
        _HEADINGS,
        re.compile(rf"^#{{1,4}} ?({_PARTS}|{_IN_HEADINGS})(?: ?:|$)", re.M),
    ),
    (_SPEAKERS, re.compile(r"(?:^|\s|</s>)(USER|ASSISTANT|SYSTEM):")),
    (_SPEAKERS, re.compile(r"^(Human|User|Assistant|System|AI|GPT|Bot):", re.M)),
    (_SPEAKERS, re.compile(r"^(You|ChatGPT|Claude|Gemini|Copilot) said:", re.M)),
    (_SPEAKERS, re.compile(rf"^({_SPEAKERS_ABROAD}) ?[:：]", re.M)),
    (_LABELS, re.compile(rf"^({_PARTS}):", re.M)),
    (_LABELS, re.compile(r"^(Problem|Task|Prompt|Query|Solution|Completion):", re.M)),
    (_LABELS, re.compile(r"^(Q|A)\d*:", re.M)),
    (_LABELS, re.compile(rf"^\[({_IN_BOLD})\]:?", re.M)),
    (
        _LABELS,
        re.compile(rf"^(?:\*\*|__)({_IN_BOLD})(?: ?:(?:\*\*|__)|(?:\*\*|__)(?: ?:|$))", re.M),
    ),
    (_HEADINGS, re.compile(rf"^#{{1,4}} ?({_ABROAD})(?: ?[:：]|$)", re.M)),
    (_LABELS, re.compile(rf"^({_ABROAD}) ?[:：]", re.M)),
)
_BEGINS = re.compile(
    r"\s*(?:<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|\[gMASK\]<sop>|<\|bom\|>"
    r"|<\|(?:startoftext|endoftext|begin_of_sentence)\|>)?\s*"
)
_PREAMBLE = re.compile(
    r"(?:Below is an? (?:instruction|question)|A chat between|The conversation between).*?"
    r"(?=USER:|###|\[\||\n)\s*"
)
_MARK = (
    r"(?:<[|｜s]|<start_of_turn>|<human>|\[/?INST\]|\[SYS|\[gM|\[\||\[Round |#|GPT4"
    rf"|(?:\*\*|__)(?:{_IN_BOLD})(?: ?:|\*\*|__)"
    rf"|You said|<(?:extra_id|SPECIAL|BOS|reserved|(?i:{_IN_TAGS}))|\[(?:{_IN_BOLD})\]"
    r"|(?:Human|User|System|USER|SYSTEM|Instruct|Instruction|Input|Context|Question|Q\d*) ?:"
    r"|(?:Problem|Task|Prompt|Query):)"
)
_MAY_BE = re.compile(_MARK)
_MAY_BE_ABROAD = re.compile(
    rf"\n(?:{_ABROAD}|{_SPEAKERS_ABROAD}) ?[:：]"
)  # of the answer, after the question
_MAY_BEGIN = re.compile(
    rf"\s*(?:{_MARK}|<bos>|Below|A chat|The conv|(?:{_SPEAKERS_ABROAD}) ?[:：])"
)
_END = re.compile(
    r"(?:</s>|<s>|<\|(?:im_end|end_of_turn|eot_id|eot|end|return|endoftext|end_of_text|end_of_sentence|separator|END_OF_TURN_TOKEN)\|>|<end_of_turn>|<eos>"
    r"|<\|(?:eos|eom|bom|im_middle|START_RESPONSE|END_RESPONSE)\|>|<turn\|>|<seed:eos>|<eo[ha]>"
    r"|<｜end▁of▁sentence｜>|\[\|endofturn\|\]|\[/SYSTEM_PROMPT\]|\[\|$|### End\s*$)"
)
_HAS_B = re.compile(r"\n\W*B\W")  # after an option A
_IS_FORM = re.compile(  # of an answer, or its first words
    r"[<\[{(].*[>\]})][.\s]*|.*(?:\.\.\.|…|step by step)\W*|\W*\w+,? or \w+\W*"
    r"|[^\W\d]+(?:/[^\W\d]+)+|in\s(?:one|two|a|\d+|at most)\s.*|as\san?\s.*|.*[:：,=]"
    r"|(?:.*\s)?(?:the|an?|is|are|was|of|to|let['’]?s|because)",
    re.IGNORECASE,
)
_OF_ALPACA = re.compile(r"### ?(?:Instruction|Human|User|指令|指示|명령어|Инструкция)", re.I)
_ASKED_FOR = re.compile(r"^##? ?(?:Output|Solution|Response)\b", re.M)  # in a page of Markdown
_ASKS = re.compile(r"[?？:：]\s*\Z")
_JOINS = re.compile(r"\W+|(?:.*\s)?(?:and|or|vs\.?|versus|but|und|oder|et)[\s,]*", re.I)


def _role(name: str) -> str:
    return _ROLES[name.lower().rstrip("0123456789")]  # also of Q1


def ends_with_answer(text: str, answers: Sequence[str] = ()) -> bool:
    """Whether a text is a rendered dialogue with an answer at its end: one of these, if given."""
    turns = rendered_turns(text, answers=answers)
    if turns is None or turns[-1]["role"] != "assistant" or not turns[-1]["content"]:
        return False
    last = turns[-1]["content"]
    return last in answers if answers else _IS_FORM.fullmatch(last) is None


def rendered_turns(
    text: str, *, whole: bool = True, alone: bool = False, answers: Sequence[str] = ()
) -> list[dict[str, str]] | None:
    """The turns of a text that is a rendered dialogue; None of any other.

    `whole` says that a dialogue with its answer is expected there. Else the user may have written
    it, unless its marks are a template's, its speakers wait for the assistant, it ends with one of
    the `answers` of its row, or it is `alone` in its row and ends with one line of the assistant.
    """
    expected = whole or bool(answers)
    if not _MAY_BEGIN.match(text) and not (
        expected and (_MAY_BE.search(text) or _MAY_BE_ABROAD.search(text))
    ):
        return None
    start = _BEGINS.match(text).end()  # type: ignore[union-attr]
    begins = bool(text[:start].strip())  # with a mark, so that a system turn may follow
    if preamble := _PREAMBLE.match(text, start):
        start = preamble.end()
    for kind, before, turns in _readings(text[start:]):
        speakers, contents = zip(*turns, strict=True)
        if "user" not in speakers or "assistant" not in speakers:
            continue
        is_alpaca = kind == _HEADINGS and _OF_ALPACA.search(text) is not None
        is_system = begins if kind == _MARKS else whole and is_alpaca and _is_preamble(before)
        if before.strip() and not is_system:
            continue
        last = contents[-1] if speakers[-1] == "assistant" else None
        if kind == _MARKS:
            if not _is_about_marks(text, contents):
                return _spoken(before, turns)
            continue
        if kind == _LABELS and last is not None and (not last or _HAS_B.search(last)):
            continue  # it waits for the next line, as in a prompt of its own, or has options
        is_own, is_line = last in answers, last is not None and "\n" not in last
        is_sure = is_line or kind == _TAGS or is_alpaca or text.startswith("\n\nHuman:")
        is_form = last is not None and (_IS_FORM.fullmatch(last) or _ASKED_FOR.search(text))
        if last and not is_own and (not is_sure or is_form):
            continue  # a request may follow the answer, or it is the form of one
        is_last = is_line and (alone or not last)
        if whole or is_own or (kind == _SPEAKERS and is_last):
            return _spoken(before, turns)
    return None


def _readings(text: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """The kinds of marks that a text has, with what is before them and its turns by them."""
    if tagged := _tagged(_END.sub("", text)):
        yield _TAGS, "", tagged
    for kind, mark in _FORMS:
        before, *parts = mark.split(text)
        if not parts or sum(map(bool, map(str.strip, _END.split(parts[-1])))) > 1:
            continue  # no marks, or a text after the end of the last turn
        contents = [_END.sub("", part).strip() for part in parts[1::2]]
        yield kind, before, [*zip(map(_role, parts[::2]), contents, strict=True)]


def _tagged(text: str) -> list[tuple[str, str]]:
    """The turns of a text that is all in tags of speakers, without their thinking."""
    turns, end = [], 0
    while found := _TAGGED.match(text, end):
        tag, end = found[1].lower(), found.end()
        if re.fullmatch(_IN_TAGS, tag):
            turns.append((_role(tag), found[2].strip()))
        elif tag not in _THINKING:
            return []
    return turns if end == len(text) else []


def _spoken(before: str, turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    spoken = [("system", before.strip()), *turns]
    return [{"role": role, "content": content} for role, content in spoken]


def _is_preamble(before: str) -> bool:
    return before.endswith("\n") and _ASKS.search(before) is None


def _is_about_marks(text: str, contents: Sequence[str]) -> bool:
    """Whether marks are named in a sentence, as in `[INST] and [/INST] are marks`."""
    if _END.search(text):
        return False
    return any(_JOINS.fullmatch(one) for one in contents[:-1]) or (
        "\n" not in text and _ASKS.search(text) is not None
    )
