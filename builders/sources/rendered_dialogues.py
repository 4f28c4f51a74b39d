"""A text that is a whole dialogue, with the marks of a chat template, as its turns.

The marks are those of ChatML, Llama, Mistral, Gemma, Phi, DeepSeek and Zephyr; Alpaca's headings;
and speakers by name, as Anthropic's HH-RLHF, Vicuna and Guanaco have them. A sentence before the
first mark that belongs to such a template is left out; other lines before it are a system turn.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ROLES = {
    **dict.fromkeys(("user", "human", "instruction", "input", "question", "prompter"), "user"),
    **dict.fromkeys(("[inst]", "<</sys>>", "<｜user｜>"), "user"),
    **dict.fromkeys(("assistant", "response", "output", "gpt", "ai", "bot", "model"), "assistant"),
    **dict.fromkeys(("answer", "[/inst]", "<｜assistant｜>"), "assistant"),
    **dict.fromkeys(("system", "<<sys>>"), "system"),
}
_NAMES = "user|human|assistant|system|gpt|ai|bot"


class _Form(NamedTuple):
    """How turns begin.

    Attributes:
        mark: Its group is the speaker, a key of `_ROLES` in any case.
        sure: Whether nobody writes such a mark in a text of their own.
        after_text: Whether another text may be before the first mark.
    """

    mark: re.Pattern[str]
    sure: bool = True
    after_text: bool = True


_FORMS = (
    _Form(re.compile(r"<\|im_start\|>[ \t]*(user|assistant|system)[ \t]*\n?")),
    _Form(
        re.compile(r"<\|start_header_id\|>[ \t]*(user|assistant|system)[ \t]*<\|end_header_id\|>")
    ),
    _Form(re.compile(r"<start_of_turn>[ \t]*(user|model|system)[ \t]*\n?")),
    _Form(re.compile(r"<\|(user|assistant|system)\|>")),
    _Form(re.compile(r"(<｜User｜>|<｜Assistant｜>)")),
    _Form(re.compile(r"(\[/?INST\]|<</?SYS>>)")),
    _Form(re.compile(r"\[\|(Human|AI)\|\]")),
    _Form(re.compile(rf"### ?({_NAMES}) ?:", re.IGNORECASE), sure=False),
    _Form(re.compile(r"^### ?(Instruction|Input|Response|Output|Answer) ?:", re.M), sure=False),
    _Form(re.compile(r"(?:^|\s)(USER|ASSISTANT|SYSTEM):"), False, False),
    _Form(re.compile(r"^(Human|User|Assistant|System|AI|GPT|Bot):", re.M), False, False),
)
_BEGINS = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)?\s*")
_PREAMBLE = re.compile(
    r"(?:Below is an? (?:instruction|question)|A chat between|The conversation between).*?"
    r"(?=USER:|###|\[\||\n)\s*"
)
_MARK = r"(?:<[|｜s]|<start_of_turn>|\[/?INST\]|\[\||###|(?:Human|User|System|USER|SYSTEM) ?:)"
_MAY_BE = re.compile(_MARK)
_MAY_BEGIN = re.compile(rf"\s*(?:{_MARK}|<bos>|Below|A chat|The conv)")
_END = re.compile(
    r"(?:</s>|<s>|<\|(?:im_end|eot_id|end|endoftext|end_of_text)\|>|<end_of_turn>|<eos>"
    r"|<｜end▁of▁sentence｜>|\[\|$)"
)


def rendered_turns(text: str, *, whole: bool = True) -> list[dict[str, str]] | None:
    """The turns of a text that is a rendered dialogue; None of any other.

    `whole` says that a dialogue with its answer is expected there. Else the user may have written
    it, unless its marks are a template's or the turn at its end is still to be spoken.
    """
    if not (_MAY_BE.search(text) if whole else _MAY_BEGIN.match(text)):
        return None
    start = _BEGINS.match(text).end()  # type: ignore[union-attr]
    if preamble := _PREAMBLE.match(text, start):
        start = preamble.end()
    for mark, sure, after_text in _FORMS:
        before, *parts = mark.split(text[start:])
        speakers = [_ROLES[name.lower()] for name in parts[::2]]
        if "user" not in speakers or "assistant" not in speakers:
            continue
        if before.strip() and not (whole and after_text and before.endswith("\n")):
            continue
        contents = [_END.sub("", part).strip() for part in parts[1::2]]
        if sure or whole or (speakers[-1] == "assistant" and not contents[-1]):
            spoken = zip(["system", *speakers], [before.strip(), *contents], strict=True)
            return [{"role": role, "content": content} for role, content in spoken]
    return None
