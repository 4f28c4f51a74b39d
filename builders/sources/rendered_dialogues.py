"""A text that is a whole dialogue, with the marks of a chat template, as its turns.

The marks are those of ChatML, Llama, Mistral, Gemma, Phi, DeepSeek, Cohere, Granite, gpt-oss,
OpenAssistant, Zephyr and ChatGLM; headings, as Alpaca has them; and speakers by name, as
Anthropic's HH-RLHF, Vicuna and Guanaco have them, in ten languages. A sentence before the first
mark that belongs to such a template is left out; other lines before marks or headings are a system
turn.
"""

from __future__ import annotations

import re

_USER = (
    *("user", "human", "prompter", "q", "instruction", "instruct", "input", "question"),
    *("context", "task", "problem", "query", "user_token", "[inst]", "<</sys>>"),
)
_ASSISTANT = (
    *("assistant", "a", "gpt", "ai", "bot", "model", "response", "output", "answer", "solution"),
    *("chatbot_token", "[/inst]"),
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
    **dict.fromkeys(("system", "developer", "system_token", "<<sys>>"), "system"),
}
_ROLE = r"[ \t]*(user|assistant|system|developer|model)[ \t]*"
_PARTS = "Instruction|Instruct|Input|Context|Question|Response|Output|Answer"
_ALL_ABROAD = sorted((*_USER_ABROAD, *_ASSISTANT_ABROAD), key=len, reverse=True)
_ABROAD = "|".join(one.capitalize() for one in _ALL_ABROAD)
# The speaker is the group. Nobody writes such a mark in a text of their own; all else they may.
_MARKS, _HEADINGS, _SPEAKERS, _LABELS = "marks", "headings", "speakers", "labels"
_FORMS = (
    (_MARKS, re.compile(rf"<\|im_start\|>{_ROLE}\n?")),
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
    (_MARKS, re.compile(rf"<start_of_turn>{_ROLE}\n?")),
    (_MARKS, re.compile(r"<[|｜](user|assistant|system|prompter|bot)[|｜]>:?", re.IGNORECASE)),
    (_MARKS, re.compile(r"(\[/?INST\]|<</?SYS>>)")),
    (_MARKS, re.compile(r"\[\|(Human|AI)\|\]")),
    (_MARKS, re.compile(r"<(human|bot)>:")),
    (_MARKS, re.compile(r"GPT4 Correct (User|Assistant):")),
    (_MARKS, re.compile(r"^(?:\[Round \d+\]\s*(?=问)|(?=答))(问|答)：", re.M)),
    (_HEADINGS, re.compile(r"### ?(User|Human|Assistant|System|GPT|AI|Bot)(?: ?:|$)", re.I | re.M)),
    (
        _HEADINGS,
        re.compile(rf"^#{{1,4}} ?({_PARTS}|Task|Problem|Query|Solution)(?: ?:|$)", re.M),
    ),
    (_SPEAKERS, re.compile(r"(?:^|\s|</s>)(USER|ASSISTANT|SYSTEM):")),
    (_SPEAKERS, re.compile(r"^(Human|User|Assistant|System|AI|GPT|Bot):", re.M)),
    (_LABELS, re.compile(rf"^({_PARTS}):", re.M)),
    (_LABELS, re.compile(r"^(Q|A):", re.M)),
    (_HEADINGS, re.compile(rf"^#{{1,4}} ?({_ABROAD})(?: ?[:：]|$)", re.M)),
    (_LABELS, re.compile(rf"^({_ABROAD}) ?[:：]", re.M)),
)
_BEGINS = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)?\s*")
_PREAMBLE = re.compile(
    r"(?:Below is an? (?:instruction|question)|A chat between|The conversation between).*?"
    r"(?=USER:|###|\[\||\n)\s*"
)
_MARK = (
    r"(?:<[|｜s]|<start_of_turn>|<human>|\[/?INST\]|\[\||\[Round |#|GPT4"
    r"|(?:Human|User|System|USER|SYSTEM|Instruct|Instruction|Input|Context|Question|Q) ?:)"
)
_MAY_BE = re.compile(_MARK)
_MAY_BE_ABROAD = re.compile(rf"\n(?:{_ABROAD}) ?[:：]")  # of the answer, after the question
_MAY_BEGIN = re.compile(rf"\s*(?:{_MARK}|<bos>|Below|A chat|The conv)")
_END = re.compile(
    r"(?:</s>|<s>|<\|(?:im_end|end_of_turn|eot_id|eot|end|return|endoftext|end_of_text|END_OF_TURN_TOKEN)\|>|<end_of_turn>|<eos>"
    r"|<｜end▁of▁sentence｜>|\[\|$)"
)
_GOES_ON = re.compile(r"[.!?\"'”»)*]*\s*(?:\n(?!\W*[Bb]\W)|<|\Z)")  # not with an option B
_IS_OPEN = re.compile(  # to be gone on with; or the first of some options
    r"step by step\W*\Z|[:：,({\[=`?？]\Z|\w\s\S*\w\Z|\n\W*B\W", re.IGNORECASE
)

_BEFORE_ANSWER = re.compile(  # in any template, where the answer is known
    r"\b(?:answer|ans|response|output|solution|completion|reply|result|summary|translation|label|sql)"
    r"(?:\s+is\b:?|(?<=ans)\.|[^\w\n]{0,4}(?:[:：=\]]|>\s*))[^\w(\[\n]{0,4}",
    re.IGNORECASE,
)


def is_answered(after: str, answer: str | None = None) -> bool:
    """Whether what follows a question in a template has this answer, behind a mark of it.

    Without an answer it is any that ends the text and does not wait to be continued.
    """
    for _, mark in _FORMS:
        _, *parts = mark.split(after)
        said = [
            (_ROLES[name.lower()], _END.sub("", text).strip())
            for name, text in zip(parts[::2], parts[1::2], strict=True)
        ]
        if answer is None:
            if said and said[-1][0] == "assistant" and said[-1][1]:
                return not _IS_OPEN.search(said[-1][1])
        elif any(role == "assistant" and begins_with(text, answer) for role, text in said):
            return True
    if answer is None:
        return False
    ends = (found.end() for found in _BEFORE_ANSWER.finditer(after))
    return any(begins_with(after[end:], answer) for end in ends)


def begins_with(text: str, answer: str) -> bool:
    """Whether a text is an answer, up to what a template has after it."""
    return text.startswith(answer) and _GOES_ON.match(text, len(answer)) is not None


def rendered_turns(text: str, *, whole: bool = True) -> list[dict[str, str]] | None:
    """The turns of a text that is a rendered dialogue; None of any other.

    `whole` says that a dialogue with its answer is expected there. Else the user may have written
    it, unless its marks are a template's, or its speakers wait for the assistant.
    """
    if not _MAY_BEGIN.match(text) and not (
        whole and (_MAY_BE.search(text) or _MAY_BE_ABROAD.search(text))
    ):
        return None
    start = _BEGINS.match(text).end()  # type: ignore[union-attr]
    if preamble := _PREAMBLE.match(text, start):
        start = preamble.end()
    for kind, mark in _FORMS:
        before, *parts = mark.split(text[start:])
        speakers = [_ROLES[name.lower()] for name in parts[::2]]
        if "user" not in speakers or "assistant" not in speakers:
            continue
        if before.strip() and not (whole and kind in (_MARKS, _HEADINGS) and before.endswith("\n")):
            continue
        contents = [_END.sub("", part).strip() for part in parts[1::2]]
        is_open = speakers[-1] == "assistant" and not contents[-1]
        if kind == _LABELS and is_open:  # for the next line, as in a prompt of its own
            continue
        if whole or kind == _MARKS or (kind == _SPEAKERS and is_open):
            spoken = zip(["system", *speakers], [before.strip(), *contents], strict=True)
            return [{"role": role, "content": content} for role, content in spoken]
    return None
