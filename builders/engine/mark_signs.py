"""Whether a text can have thinking or template marks at all: most have none, at little cost."""

from __future__ import annotations

import re
from collections.abc import Iterable

from builders.engine.foreign_turns import LAST_ROLES, ROLES

# Each is in lower case.
_SIGNS = (
    *("<|", "|>", "<｜", "｜>", "<s>", "</s>", "◁", "<<sys>", "<</sys>", "<start_of_", "<end_of_"),
    *("<begin_of_", "os>", "pad>", "unk>", "sep>", "eot>", "eod>", "eop>", "eom>", "eoa>", "eoh>"),
    *("_id>", "im_start>", "<extra_", "<0x", "<special_", "<reserved_"),
    *("<dummy", "<unused", "[e~[", "[eos]", "[end of text]", "[gmask]", "<sop>", "inst]"),
    *("/think>", "/thinking>", "思考>", "<tool_code>", "think]", "thinking]", "_prompt]"),
    *("_tools]", "_results]", "_calls]", "[unused_token_"),
    *("<think", "</think", "< think", "</ think", ":think", "_think"),
    *("<\n", "thought>", "thoughts>", "reasoning>", "thought >", "thoughts >", "reasoning >"),
    *("reflection>", "analysis", "assistantfinal", "▁", "<!--"),
    *("antthinking>", "<cot", "cot>", "monologue>", "_process>", "\\u003c", "＜", "```think"),
    *("```thought", "```reason", "thinking...", "[/think", "[/thought", "[/reason"),
    *("<details", "&lt;think", "&lt;/think", "commentary", "[|", "<invoke ", "my thought process:"),
    *("my reasoning steps:", "final response]", "</role>", "]~b]", "]~!b[", "eoc>"),
    *("[user]", "[bot]", "[pad]", "[sep]", "[eot]", "[end_of_text]", "</assistant>"),
    *("[thought", "[reason"),
    *("_user>", "[tool_", "<tools>", "<action>", "functools["),
    *("tool_call", "toolcall", "function_call", "functioncall", "<function=", "<tool_use>"),
    *("<fim_", "endoftext>", "<tokens_unused", "### end", "_end>", "bot>"),
    *("human:", "user:", "instruction:", "assistant:", "response:", "user**:", "human**:"),
    *("<human>:", "<user>:", "用户", "用戶", "ユーザー"),
    *(f"{role}\n" for role in ROLES),
)
_RARE = "<>[]◁▁:_#&`\n"


def _by_character(signs: Iterable[str]) -> dict[str, list[str]]:
    """The signs by their first character that few texts have; one without any by itself.

    Those that begin with `<` are not among them.
    """
    found: dict[str, list[str]] = {}
    for sign in (one for one in signs if not one.startswith("<")):
        found.setdefault(next((one for one in sign if one in _RARE), sign), []).append(sign)
    return found


_SIGNS_WITH = _by_character(_SIGNS)
_ASCII_SIGNS_WITH = _by_character(sign for sign in _SIGNS if sign.isascii())
# The most begin with one character: one search for it is faster than one for each.
_OPENED = re.compile("|".join(re.escape(sign) for sign in _SIGNS if sign.startswith("<")))


def may_have_marks(text: str) -> bool:
    """Whether a text has one of the signs without which it has neither thinking nor marks."""
    lower = text.lower()
    signs_with = _ASCII_SIGNS_WITH if text.isascii() else _SIGNS_WITH
    likely = [signs for rare, signs in signs_with.items() if rare in lower]
    # Of a channel or a header, the marks removed.
    if lower.startswith("final") or lower.endswith(LAST_ROLES):
        return True
    if "<" in lower and _OPENED.search(lower):
        return True
    return any(sign in lower for signs in likely for sign in signs)
