"""A text that is a whole dialogue, with the marks of a chat template, as its turns.

The marks are those of ChatML, Llama, Mistral, Gemma, Phi, DeepSeek, Cohere, Granite, gpt-oss,
OpenAssistant, Zephyr, ChatGLM, EXAONE, Kimi, Nemotron, Baichuan and Seed; headings, as Alpaca has
them; tags; and speakers by name, as Anthropic's HH-RLHF, Vicuna and Guanaco have them, in ten
languages and also in bold. A sentence before the first mark that belongs to such a template is left
out; other lines before marks or headings are a system turn. A text that only ends with an answer,
behind its label, is the text before that.
"""

from __future__ import annotations

import re

_USER = (
    *("user", "human", "prompter", "q", "instruction", "instruct", "input", "question"),
    *("context", "task", "problem", "query", "prompt", "you", "user_token", "[inst]", "<</sys>>"),
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
)
_IN_TAGS = (
    "question|user|human|instruction|prompt|query|problem|system"
    "|assistant|bot|answer|response|solution|completion"
)
# The speaker is the group. Nobody writes such a mark in a text of their own; all else they may.
_MARKS, _HEADINGS, _SPEAKERS, _LABELS = "marks", "headings", "speakers", "labels"
_TAGS = "tags"
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
    (_MARKS, re.compile(r"<[|｜](user|assistant|system|prompter|bot)[|｜]>:?", re.IGNORECASE)),
    (_MARKS, re.compile(r"(\[/?INST\]|<</?SYS>>|\[SYSTEM_PROMPT\])")),
    (_MARKS, re.compile(r"\[\|(Human|AI|user|assistant|system)\|\]")),
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
    (_SPEAKERS, re.compile(r"^(You|ChatGPT|Claude|Gemini|Copilot) said:", re.M)),
    (_SPEAKERS, re.compile(rf"^({_SPEAKERS_ABROAD}) ?[:：]", re.M)),
    (_LABELS, re.compile(rf"^({_PARTS}):", re.M)),
    (_LABELS, re.compile(r"^(Problem|Task|Prompt|Query|Solution|Completion):", re.M)),
    (_LABELS, re.compile(r"^(Q|A)\d*:", re.M)),
    (_LABELS, re.compile(rf"^\[({_IN_BOLD})\]:?", re.M)),
    (_LABELS, re.compile(rf"^(?:\*\*|__)({_IN_BOLD})(?: ?:(?:\*\*|__)|(?:\*\*|__) ?:)", re.M)),
    (_TAGS, re.compile(rf"(?:\A|</\w+>\s*)<({_IN_TAGS})>", re.I)),
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
    rf"|You said|<(?:extra_id|SPECIAL|BOS|reserved|{_IN_TAGS})|\[(?:{_IN_BOLD})\]"
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
    r"(?:</s>|<s>|<\|(?:im_end|end_of_turn|eot_id|eot|end|return|endoftext|end_of_text|END_OF_TURN_TOKEN)\|>|<end_of_turn>|<eos>"
    r"|<\|(?:eos|eom|bom|im_middle|START_RESPONSE|END_RESPONSE)\|>|<turn\|>|<seed:eos>|<eo[ha]>"
    r"|<｜end▁of▁sentence｜>|\[\|endofturn\|\]|\[/SYSTEM_PROMPT\]|\[\|$)"
)
_HAS_B = re.compile(r"\n\W*B\W")  # after an option A
_TAG_ENDS = re.compile(r"</\w+>\s*\Z")
_LAST_ANSWER = re.compile(  # after a blank line, a question or options
    r"(?:\n\s*\n|[?？]\s*\n|\n\(?[A-J][.):] [^\n]*\n)"
    r"(?P<label>(?:\*\*|#{1,4} ?)?(?:Answer|Solution|答案|回答|Antwort|Respuesta|Resposta|Réponse"
    r"|Risposta|Ответ) ?[:：](?:\*\*)?+)\s*(?=\S)"
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
        turns = [
            (_role(name), _END.sub("", text).strip())
            for name, text in zip(parts[::2], parts[1::2], strict=True)
        ]
        if answer is None:
            if turns and turns[-1][0] == "assistant" and turns[-1][1]:
                return not _IS_OPEN.search(turns[-1][1])
        elif any(role == "assistant" and begins_with(text, answer) for role, text in turns):
            return True
    if answer is None:
        return False
    ends = (found.end() for found in _BEFORE_ANSWER.finditer(after))
    return any(begins_with(after[end:], answer) for end in ends)


def _role(name: str) -> str:
    return _ROLES[name.lower().rstrip("0123456789")]  # also of Q1


def begins_with(text: str, answer: str) -> bool:
    """Whether a text is an answer, up to what a template has after it."""
    return text.startswith(answer) and _GOES_ON.match(text, len(answer)) is not None


def without_answer(text: str) -> str | None:
    """What comes before the answer that ends a text, behind its label; None where there is none."""
    found = [*_LAST_ANSWER.finditer(text)]
    if len(found) != 1 or _IS_OPEN.search(text[found[0].end() :].strip()):
        return None
    return text[: found[0].start("label")].strip()


def rendered_turns(
    text: str, *, whole: bool = True, alone: bool = False
) -> list[dict[str, str]] | None:
    """The turns of a text that is a rendered dialogue; None of any other.

    `whole` says that a dialogue with its answer is expected there. Else the user may have written
    it, unless its marks are a template's, its speakers wait for the assistant, or it is `alone` in
    its row, and ends with one line of the assistant.
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
        speakers = [_role(name) for name in parts[::2]]
        if "user" not in speakers or "assistant" not in speakers:
            continue
        if before.strip() and not (whole and kind in (_MARKS, _HEADINGS) and before.endswith("\n")):
            continue
        if kind == _TAGS:
            parts[-1] = _TAG_ENDS.sub("", parts[-1])
        contents = [_END.sub("", part).strip() for part in parts[1::2]]
        is_open = speakers[-1] == "assistant" and not contents[-1]
        if kind in (_LABELS, _TAGS) and (is_open or _HAS_B.search(contents[-1])):
            continue  # it waits for the next line, as in a prompt of its own, or has options
        is_last = is_open or (alone and speakers[-1] == "assistant" and "\n" not in contents[-1])
        if whole or kind == _MARKS or (kind == _SPEAKERS and is_last):
            spoken = zip(["system", *speakers], [before.strip(), *contents], strict=True)
            return [{"role": role, "content": content} for role, content in spoken]
    return None
