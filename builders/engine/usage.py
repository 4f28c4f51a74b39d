"""How many tokens of an answer an endpoint counted, under each server's names for them.

Source: https://platform.openai.com/docs/api-reference/chat/object, and the `usage` of Anthropic,
Gemini, DeepSeek, Bedrock and Ollama.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MOST_TOKENS = 10**9  # of one answer; more is no count
_COUNTED_AT = {
    "input_tokens": "prompt_tokens input_tokens promptTokenCount prompt_eval_count inputTokens",
    "output_tokens": "completion_tokens output_tokens candidatesTokenCount eval_count outputTokens",
    "reasoning_tokens": "completion_tokens_details.reasoning_tokens "
    "output_tokens_details.reasoning_tokens reasoning_tokens thoughtsTokenCount",
    "cached_tokens": "prompt_tokens_details.cached_tokens input_tokens_details.cached_tokens "
    "prompt_cache_hit_tokens cache_read_input_tokens cachedContentTokenCount",
}
_COUNTS = {
    name: [place.partition(".")[::2] for place in places.split()]
    for name, places in _COUNTED_AT.items()
}


def token_counts(given: Mapping[str, Any], has_text: bool) -> dict[str, Any]:
    """The tokens that are known; 0 of a prompt, or of a text, is a count that nobody made."""
    usage = given.get("usage") or given.get("usageMetadata")
    usage = usage if isinstance(usage, dict) else given
    counts: dict[str, Any] = {}
    for name, places in _COUNTS.items():
        counts[name] = None
        for outer, inner in places:
            value = usage.get(outer)
            if inner:
                value = value.get(inner) if isinstance(value, dict) else None
            if value is not None and (found := _count(value)) is not None:
                counts[name] = found
                break
    if "prompt_tokens" not in usage:  # Anthropic counts what its cache holds beside the input
        beside = [_count(usage.get(f"cache_{what}_input_tokens")) for what in ("creation", "read")]
        if any(beside):
            counts["input_tokens"] = (counts["input_tokens"] or 0) + sum(one or 0 for one in beside)
    counts["input_tokens"] = counts["input_tokens"] or None
    if has_text:
        counts["output_tokens"] = counts["output_tokens"] or None
    _complete(counts, _count(usage.get("total_tokens") or usage.get("totalTokenCount")))
    return counts


def _complete(counts: dict[str, Any], total: int | None) -> None:
    """Add thinking that a server counts beside the answer, and the part that only a total shows."""
    prompt, answer, thinking = (
        counts[f"{name}_tokens"] for name in ("input", "output", "reasoning")
    )
    beside = (prompt or 0) + (answer or 0) + (thinking or 0) == total
    if answer is not None and thinking and (beside or thinking > answer):
        counts["output_tokens"] = answer + thinking
    elif None not in (prompt, answer, total) and total > prompt + answer:
        counts["output_tokens"] = total - prompt  # thinking, as Gemini counts it
    elif answer is None and None not in (prompt, total) and total > prompt:
        counts["output_tokens"] = total - prompt
    elif prompt is None and None not in (answer, total) and total > answer:
        counts["input_tokens"] = total - answer
    elif prompt is None and answer is None:
        counts["total_tokens"] = total or None


def _count(value: Any) -> int | None:
    """A number of tokens, also as a whole float or as digits; None for what cannot be one."""
    if value is None:
        return None
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(?:\.0+)?", value.strip(), re.ASCII):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = 0 <= value <= _MOST_TOKENS and value == int(value)
    return int(value) if whole else None
