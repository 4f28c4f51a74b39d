"""The JSON of a response body, its choice and its message, in the forms that servers give them.

Source: https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming; the
streams of servers that send events although nobody asked for them.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_DECODER = json.JSONDecoder(strict=False)  # control characters are left in by some servers
_DEEPEST = 200  # levels of a body that Python's `json` may not read
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)  # texts hide brackets
_GAP = re.compile(r"(?:\r\n|\n|\r){2,}")
_DONE = re.compile(rb"(?:data:)?\s*\[DONE\]")
_EVENTS = re.compile(rb"[\s\xef\xbb\xbf]*(?:data|event|id|retry)?:")  # how a stream begins


def parsed_json(text: bytes | str) -> Any:
    """What `json.loads` gives, whatever the number of digits of a number.

    Where it is nested too deeply for that, None is in the place of what is over `_DEEPEST` levels
    deep: an answer beside it is an answer.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        pass  # most bodies are UTF-8 and shallow
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        assert isinstance(text, bytes)
        return parsed_json(text.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError):  # of more digits than Python converts, or too deep
        return json.loads(_shallow(text), strict=False, parse_int=_integer)


def _shallow(text: bytes | str) -> bytes:
    """JSON with null in the place of what is nested too deeply."""
    text = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    parts, kept, depth = list[bytes](), 0, 0
    for mark in _MARK.finditer(text):
        if mark[0] in b"[{":
            depth += 1
            if depth == _DEEPEST:
                parts.append(text[kept : mark.start()])
        elif mark[0] in b"]}":
            depth -= 1
            if depth == _DEEPEST - 1:
                parts.append(b"null")
                kept = mark.end()
    return b"".join([*parts, text[kept:] if depth < _DEEPEST else b""])


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 100 else math.inf


def parsed_body(body: bytes) -> Any:
    """The JSON of a body; of a stream that nobody asked for, one response as if there was none.

    Raises:
        ValueError: It is no JSON, or a stream without an object.
    """
    if _EVENTS.match(body):
        return _joined(_events(body))
    try:
        return parsed_json(body)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        lines = (line.strip() for line in body.splitlines())
        chunks = [parsed_json(line) for line in lines if line and not _DONE.fullmatch(line)]
        if len(chunks) == 1:
            return chunks[0]
        if not all(isinstance(one, dict) and ("done" in one or "error" in one) for one in chunks):
            raise
        return _joined(chunks)  # of lines with a JSON object each, as Ollama streams


def in_utf8(body: bytes, charset: str | None) -> bytes:
    """A body in UTF-8, also where it is in the character set that its header names."""
    if charset in (None, "utf-8", "utf8"):
        return body
    try:
        body.decode()  # a header that is wrong is as common as one that is right
    except UnicodeDecodeError:
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            return body.decode(charset).encode()
    return body


def _events(body: bytes) -> list[Any]:
    """The JSON values of server-sent events; of an event `error`, an object that holds it."""
    text = body.decode("utf-8-sig", "surrogateescape")
    lines = [re.split(r"\r\n?|\n", event) for event in _GAP.split(text)]
    chunks = []
    for event in lines:
        data = "\n".join(line[5:] for line in event if line.startswith("data:")).strip()
        if not data or data == "[DONE]":
            continue
        failed = any(re.fullmatch(r"event: ?error\s*", line) for line in event)
        chunk = data if failed and data[0] not in "{[" else parsed_json(data)
        if failed and not (isinstance(chunk, dict) and "error" in chunk):
            chunk = {"error": chunk}
        chunks.append(chunk)
    if chunks:
        return chunks
    # comments before an answer that is no stream
    return [parsed_json(line) for event in lines for line in event if line.startswith(("{", "["))]


def _joined(chunks: Sequence[Any]) -> dict[str, Any]:
    """One response from the chunks of a stream, of the choice with index 0 or else the first.

    Raises:
        ValueError: No chunk is an object.
    """
    chunks = [chunk for chunk in chunks if isinstance(chunk, dict)]
    if not chunks:
        raise ValueError("no event has an object")
    indices = [str(part.get("index") or 0) for chunk in chunks if (part := choice_of(chunk))]
    index = "0" if "0" in indices else next(iter(indices), "0")
    whole: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    message: dict[str, Any] = {}
    by_deltas = False
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value is not None}
        part = choice_of(chunk) or {}
        if str(part.get("index") or 0) != index:
            continue
        _add(choice, {name: value for name, value in part.items() if name == "logprobs"})
        choice |= {
            name: value
            for name, value in part.items()
            if value is not None and name not in ("delta", "message", "text", "logprobs")
        }
        if not (piece := message_of(part)):
            continue
        if message and by_deltas and isinstance(part.get("message"), dict):  # all of it once more
            message |= {name: value for name, value in piece.items() if value}
        else:
            _add(message, piece)
        by_deltas = by_deltas or bool(part.get("delta"))
    if choice or message:
        whole["choices"] = [choice | {"index": 0} | ({"message": message} if message else {})]
    return whole


def _add(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a delta to what has come: texts and lists grow, objects grow by their parts."""
    for name, value in piece.items():
        there = whole.get(name)
        if name in ("role", "id", "type", "index") or there is None:
            whole[name] = _indexed(value) if name == "tool_calls" else value
        elif isinstance(there, str) and isinstance(value, str):
            whole[name] = there + value
        elif isinstance(there, list) and isinstance(value, list):
            if name == "tool_calls":
                _add_calls(there, value)
            else:
                there.extend(value)
        elif isinstance(there, dict) and isinstance(value, dict):
            _add(there, value)
        elif isinstance(there, str | list) and isinstance(value, str | list) and value:
            listed = [[one] if isinstance(one, str) else one for one in (there, value)]
            whole[name] = [*listed[0], *listed[1]]


def _indexed(calls: Any) -> Any:
    there: list[Any] = []
    if isinstance(calls, list):
        _add_calls(there, calls)
    return there


def _add_calls(there: list[Any], pieces: Iterable[Any]) -> None:
    for piece in pieces:
        if isinstance(piece, dict):
            at = piece.get("index")
            known = next((one for one in there if at is not None and one.get("index") == at), None)
            if known is None:
                there.append(dict(piece))
            else:
                _add(known, piece)


def choice_of(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The choice with index 0, or else the first; a response that has no list is one itself."""
    listed = given["choices"] if "choices" in given else given.get("candidates")
    if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict):
        return listed[0]
    if isinstance(listed, Mapping):
        listed = [*listed.values()]
    if listed is None and (other := _choice_in_output(given)):
        return other
    if listed is None and any(name in given for name in ("message", "content", "delta", "text")):
        listed = [given]
    if listed is None and isinstance(text := given.get("result"), str):  # ERNIE
        return {**given, "content": text}
    choices = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    zeroth = (one for one in choices if one.get("index") in (0, "0"))
    return next(zeroth, next(iter(choices), None))


_OUTPUTS = ("message", "reasoning", "function_call", "custom_tool_call")


def _choice_in_output(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The choice in the `output` of DashScope, Bedrock and OpenAI's Responses."""
    output = given.get("output")
    if isinstance(output, dict):
        return choice_of(output)
    if not isinstance(output, list) or not all(isinstance(one, dict) for one in output):
        return None
    if not any(one.get("type") in _OUTPUTS for one in output):
        return None
    details = given.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return {"finish_reason": reason or given.get("status"), "message": {"content": output}}


def message_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a choice, or its text under the name that a message has for it."""
    for name in ("message", "delta"):
        if isinstance(message := choice.get(name), dict):
            return message if message or "text" not in choice else {"content": choice["text"]}
        if isinstance(message, str | list):
            return {"content": message}
    if "content" in choice:
        return {**choice}
    return {"content": choice["text"]} if "text" in choice else {}
