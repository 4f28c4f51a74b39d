"""Which parameters a request carries: those that were chosen, without what its endpoint refuses.

Besides, it carries `stream: false`, as some servers send events otherwise; true for one that sends
nothing else.

A refusal that names a parameter is learned once per endpoint and model, where the request is
answered, or refused for another reason, without it. A limit is learned only while no request above
it was answered: else it is that of one request. The request as it was intended stays the call's
key: what was learned changes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from builders.engine.error_words import Words
from builders.errors import InputError, shortened

LEFT_OUT, MERGED, TURNED_ON = "left out", "merged into the user's turn", "true instead of false"
_SENT_AS, _AT_MOST = "sent as ", "at most "
SYSTEM = "the system turn"
_LIMITS = ("max_tokens", "max_completion_tokens")
_NEUTRAL = {  # values that change nothing, so that the parameter can be left out
    "temperature": 1,
    "top_p": 1,
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "repetition_penalty": 1,
    "top_k": -1,
    "min_p": 0,
}
_NO_REFUSAL = frozenset({401, 402, 408, 409, 413, 425, 429, 502, 504})  # of a parameter
_OTHER_NAMES = {  # words in which a parameter is refused, besides its own name
    "response_format": r"json_?schema|structured|grammar|\bschema|guided|json mode",
    "logprobs": r"log_?prob",
    "top_logprobs": r"log_?prob",
    SYSTEM: r"\bsystem\b|developer instruction",
}
_UNKNOWN = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|incompatible|disabled|removed|"
    r"\b(not|n[o']t|cannot)( be)?( \w+)? ?(support|allow|permit|recogni|accept|available|enabled|"
    r"implement|known|valid|used|request|work|compatible|a valid)|extra (input|field|param|arg)|"
    r"extra_forbidden|no longer|additional propert|invalid (param|arg|field|request arg)|failed to|"
    r"only (the )?default|\bonly\b.{0,30}\b(allowed|supported|accepted|permitted|valid)|"
    r"(may|must|can) only be|\bunset\b|(must|should) (be omitted|not be)|fixed|strictly positive|"
    r"\bremove\b|\bomit\b|not one of"
)
_ONLY_STREAM = re.compile(
    r"only( \w+){0,2} stream|non-?stream\w*( \w+){0,3} (not|n[o']t)\b|"
    r"(enable|set)( the)? ['\"`]?stream\b|stream\w*( mode)?['\"`]? (only|is required|must be)"
)
_BOTH = re.compile(r"\bboth\b|only one|one of|together|same time|mutually|simultaneous|either")
_VALUE = re.compile(  # about the value of one request: another would be accepted
    r"too (large|big|high|small|low|long|many)|out of range|between|at (most|least)|exceed|<=|>=|"
    r"(greater|less|larger|more) than|in the range|maximum|minimum"
)
_DEFAULT = re.compile(r"\bonly\b|default|unset|omit|strictly positive")  # whatever the value
_MOST = re.compile(
    r"(?:at most|less than or equal to|<=|up to|maximum(?: \w+){0,4}|exceed(?:s|ed)?(?: \w+){0,4}|"
    r"(?:range|between)[^\d]{0,40}\d+\s*(?:,|and|to|-|\.\.)|\b\d+ >|limit(?: \w+){0,3})"
    r"[\s:=`'(]*(\d+)"
)
_OF_THE_ROW = re.compile(  # a limit that another request does not have
    r"(?<!less than the `)context|"
    r"\b(for|with|by|after|of) (this|your|the) (prompt|request|input)|"
    r"\byour (prompt|request|input|messages?)\b|prompt (tokens|length)|\binput tokens"
)
_NO_SYSTEM = re.compile(
    r"(system|developer)[\s'\"`_-]*(role|message|prompt|instruction|turn)s?.{0,40}"
    r"(not|n't|un|only|invalid)|"
    r"(role|roles)\b.{0,60}\bsystem\b|system.{0,20}\bnot (support|allow)|unexpected role"
)
_ALTERNATE = re.compile(
    r"roles? must alternate|must (start|begin) with.{0,20}user|first (message|turn)|"
    r"messages\W{1,3}0\W{1,3}(\w+\W{1,3})?role"
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A parameter that the user chose by name, for all teachers or for one.

    Attributes:
        name: The parameter, as the endpoint names it.
        value: A JSON value; None leaves the parameter out.
        teacher: A role, or one of several teachers of it (`writer_2`); empty for all.
    """

    name: str
    value: Any = None
    teacher: str = ""

    def __post_init__(self) -> None:
        """Check the value.

        Raises:
            InputError: No request can hold it.
        """
        limits = self.name in _LIMITS and self.value is not None
        if limits and (type(self.value) is not int or self.value < 1):
            raise InputError(f"{self.name} is {shortened(self.value)}, expected a number from 1 on")
        try:
            json.dumps(self.value, allow_nan=False, ensure_ascii=False).encode()
            fits = _fits(self.value, _DEEPEST)
        except (ValueError, RecursionError):
            fits = False
        if not fits:
            raise InputError(
                f"the value of {self.name} is infinite, nested too deeply or not UTF-8; expected "
                "JSON that a request can hold"
            )


def _fits(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested no deeper."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_fits(one, levels - 1) for one in inner)


_DEEPEST = 50  # lists or objects in one another
RESERVED = ("model", "messages", "prompt", "stream", "n")
_WORD = re.compile(r"(?:([a-z_]+(?:_\d+)?):)?([A-Za-z_][\w.-]*)")


def read_param(word: str) -> Choice:
    """The choice in `[TEACHER:]NAME=VALUE`; a value that is no JSON is a text.

    Raises:
        InputError: It has another form, or names what a request always or never carries.
    """
    left, equals, value = word.partition("=")
    choice = read_without(left)
    if not equals:
        raise InputError(f"{shortened(word)} is not NAME=VALUE, such as top_k=40")
    try:
        given = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        given = value
    return replace(choice, value=given)


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def read_without(word: str) -> Choice:
    """The choice in `[TEACHER:]NAME` to leave a parameter out.

    Raises:
        InputError: As for `read_param`.
    """
    found = _WORD.fullmatch(word)
    if not found:
        raise InputError(
            f"{shortened(word)} does not name a parameter; expected a name such as top_k, or "
            "judge:top_k for the teacher of one role"
        )
    if found[2] in RESERVED:
        raise InputError(f"{found[2]!r} is no parameter to choose; each request has one prompt")
    return Choice(name=found[2], teacher=found[1] or "")


def chosen_names(choices: Sequence[Choice]) -> frozenset[str]:
    """The parameters that the user chose to send.

    Raises:
        InputError: One is both sent and left out, for the same teacher.
    """
    sent, left_out = (
        {(one.teacher, one.name) for one in choices if (one.value is None) is without}
        for without in (False, True)
    )
    if both := sorted(sent & left_out):
        name = ":".join(filter(None, both[0]))
        raise InputError(
            f"{name!r} is both sent and left out; give either --param {name}=... or "
            f"--without {name}"
        )
    return frozenset(name for _, name in sent)


def with_choices(sampling: Mapping[str, Any], choices: Iterable[Choice]) -> dict[str, Any]:
    """The sampling of a request with what the user chose; a later choice replaces an earlier."""
    made = dict(sampling)
    for choice in choices:
        made.pop(choice.name, None)
        if choice.value is not None:
            made[choice.name] = choice.value
    return made


def request_facts(
    role: str, name: str, learned: Mapping[str, str], choices: Iterable[Choice]
) -> dict[str, Any]:
    """For the lineage: how a teacher's requests differ from those of its recipe.

    `parameters` are what the user chose (None: left out), `sent` what its endpoint refused.
    """
    own = {one.name: one.value for one in choices if one.teacher in ("", role, name)}
    facts = {"parameters": own, "sent": dict(sorted(learned.items()))}
    return {what: found for what, found in facts.items() if found}


def no_schema(choices: Iterable[Choice]) -> bool:
    """Whether the user chose to send no JSON schema for the answer."""
    return any(one.name == "response_format" for one in choices)


class Change(NamedTuple):
    """What an endpoint may take instead: a parameter, or the system turn, and what becomes of it.

    `sure` means that the endpoint named it; anything else is learned from an answer alone.
    """

    name: str
    becomes: str
    sure: bool = True


class Learned:
    """What one endpoint's model takes instead of what it refuses, by parameter.

    Args:
        chosen: Parameters that the user chose by name; they stay, and their refusal is shown.
    """

    def __init__(self, chosen: Iterable[str] = ()) -> None:
        self.changes: dict[str, str] = {}
        self.chosen = frozenset(chosen)
        self.schema_faults = 0  # requests in a row that were answered only without their schema
        self.answered = False
        self.held: dict[str, int] = {}  # the highest limits of requests that were answered

    def trial(self, payload: Mapping[str, Any]) -> Trial:
        """The first sending of a request."""
        return Trial(self, payload)


class Trial:
    """A request that is sent until nothing more that could be changed is refused.

    Attributes:
        sent: The body to send next.
    """

    def __init__(self, learned: Learned, payload: Mapping[str, Any]) -> None:
        self._learned, self._payload = learned, payload
        self._tried: dict[str, Change] = {}
        self.sent = as_sent(payload, learned.changes)

    def catch_up(self) -> None:
        """Send next what other requests have learned meanwhile, too."""
        tried = {one.name: one.becomes for one in self._tried.values()}
        self.sent = as_sent(self._payload, self._learned.changes | tried)

    def goes_on(self, status: int, words: Words) -> bool:
        """Whether `sent` has been changed and is to be sent again, after this response."""
        if status < 400:
            self._learn(words, answered=True)
            return False
        found = change(status, words, self.sent, self._learned.chosen)
        if found and found.name not in self._tried and not self._own_limit(found):
            self._tried[found.name] = found
            before = self.sent
            self.catch_up()
            if self.sent != before:
                return True
        self._learn(words, answered=False)
        return False

    def _learn(self, words: Words, *, answered: bool) -> None:
        learned = self._learned
        if answered:
            self._note_answered()
        for one in self._tried.values():
            if self._own_limit(one):
                continue
            helped = answered or (one.sure and not names(words, one.name))
            if helped and not one.sure and one.name == "response_format":
                learned.schema_faults += 1  # one fault of the server may be by chance
                helped = learned.schema_faults > 1
            if helped:
                learned.changes[one.name] = one.becomes

    def _note_answered(self) -> None:
        learned = self._learned
        learned.answered = True
        if "response_format" in self.sent:
            learned.schema_faults = 0
        for name in _LIMITS:
            if isinstance(value := self.sent.get(name), int) and value > learned.held.get(name, 0):
                learned.held[name] = value
                if self._own_limit(Change(name, learned.changes.get(name, ""))):
                    del learned.changes[name]

    def _own_limit(self, one: Change) -> bool:
        """Whether a limit is that of one request: others were answered above it."""
        most, held = one.becomes.removeprefix(_AT_MOST), self._learned.held.get(one.name, 0)
        return one.name in _LIMITS and most.isdigit() and int(most) < held


def as_sent(payload: Mapping[str, Any], learned: Mapping[str, str]) -> dict[str, Any]:
    """A request's body as an endpoint takes it, which has refused what was `learned`."""
    sent = dict(payload)
    for name, becomes in learned.items():
        if name == SYSTEM and "messages" in sent:
            sent["messages"] = _merged(sent["messages"], becomes)
        elif name not in sent:
            continue
        elif becomes == TURNED_ON:
            sent[name] = True
        elif becomes == LEFT_OUT:
            del sent[name]
            if name == "logprobs":
                sent.pop("top_logprobs", None)
        elif becomes.startswith(_SENT_AS):
            sent[becomes.removeprefix(_SENT_AS)] = sent.pop(name)
        elif becomes.startswith(_AT_MOST) and isinstance(sent[name], int):
            most = int(becomes.removeprefix(_AT_MOST))
            # Seeds stay different, as the samples of one prompt must.
            sent[name] = sent[name] % (most + 1) if name == "seed" else min(sent[name], most)
    return sent


def _merged(messages: Any, becomes: str) -> Any:
    """The messages with the system turn in another role, or as the beginning of the user's."""
    if not (isinstance(messages, list) and messages and messages[0]["role"] == "system"):
        return messages
    first, *rest = messages
    if becomes != MERGED:
        return [{**first, "role": becomes.removeprefix(_SENT_AS)}, *rest]
    if rest and rest[0]["role"] == "user":
        content = f"{first['content']}\n\n{rest[0]['content']}"
        return [{**rest[0], "content": content}, *rest[1:]]
    return [{**first, "role": "user"}, *rest]


def change(
    status: int, words: Words, sent: Mapping[str, Any], chosen: frozenset[str] = frozenset()
) -> Change | None:
    """What to do without after a refusal of `sent`; None where it names nothing of it.

    Parameters that the user has `chosen` by name stay: the refusal is for the user to read.
    """
    if status < 400 or status in _NO_REFUSAL:
        return None
    return next(_changes(status, words, sent, chosen), None)


def names(words: Words, name: str) -> bool:
    """Whether an error is about a parameter, by its field `param` or by its words."""
    about = re.split(r"[.\[]", words.param.removeprefix("body.").lower())[0]
    pattern = rf"(?<![\w-]){re.escape(name)}(?![\w-])|{_OTHER_NAMES.get(name, '$^')}"
    return about == name or bool(re.search(pattern, words.searched))


def _changes(
    status: int, words: Words, sent: Mapping[str, Any], chosen: frozenset[str]
) -> Iterator[Change]:
    text = words.searched
    unknown = bool(_UNKNOWN.search(text))
    named = [name for name in sent if name not in chosen and names(words, name)]
    if "messages" in sent and _has_system(sent["messages"]):
        if unknown and _NO_SYSTEM.search(text):
            other = "developer" if re.search(r"(use|supported).{0,30}developer", text) else ""
            yield Change(SYSTEM, f"{_SENT_AS}{other}" if other else MERGED)
        elif _ALTERNATE.search(text):
            yield Change(SYSTEM, MERGED, sure=False)
    if sent.get("stream") is False and _ONLY_STREAM.search(text):
        yield Change("stream", TURNED_ON)
    both = [name for name in ("top_p", "temperature") if name in sent and names(words, name)]
    if len(both) == 2 and _BOTH.search(text):
        yield from (Change(name, LEFT_OUT) for name in both if name not in chosen)
    most = _MOST.search(text)
    for name in (*_LIMITS, "top_logprobs", "seed"):
        value = sent.get(name)
        if most is None or name not in named or name not in text or _OF_THE_ROW.search(text):
            continue
        if isinstance(value, int) and 0 < int(most[1]) < value:
            yield Change(name, f"{_AT_MOST}{int(most[1])}")
    for name, other in (_LIMITS, _LIMITS[::-1]):
        if unknown and name in named and other not in sent and "context" not in text:
            yield Change(name, f"{_SENT_AS}{other}")
    for name in named:
        if name in ("model", "messages", "prompt", *_LIMITS):
            continue
        free = name == "seed" or name in _OTHER_NAMES or sent[name] == _NEUTRAL.get(name, "")
        if free or (unknown and (_DEFAULT.search(text) or not _VALUE.search(text))):
            yield Change(name, LEFT_OUT)
    if status == 500 and "response_format" in sent:
        yield Change("response_format", LEFT_OUT, sure=False)


def _has_system(messages: Any) -> bool:
    return isinstance(messages, list) and bool(messages) and messages[0].get("role") == "system"
