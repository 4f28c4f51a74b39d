"""Which columns of a row make its prompt, by name alone: the tables of what sets call them.

What a row asks is in the first of `PROMPT_COLUMNS`; the last ones count only in a row that has none
of the others. The texts about which it asks are in `CONTEXT_COLUMNS`, its options in `OPTIONS` or
in a column each. A column is joined where it is surely part of the prompt: some are so only beside
others, and one that may hold the answer only beside a column that does. What has these names and
yet is something else in single sets is decided by `_BESIDE` and `_SHAPES`, not by more rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

CLEAR = (
    *("prompt", "messages", "chat_messages", "conversations", "conversation", "dialogue"),
    *("dialog", "contents"),
    *("instruction", "question", "query", "problem", "request", "inputs", "input"),
)
_VAGUE = (
    *("text", "prompts", "instructions", "questions", "body", "selftext", "params", "modelinput"),
    *("full_text", "question_stem", "stem", "question_text", "question text", "questiontext"),
)
_SOURCE = ("source", "target")  # a text and its translation
NAMES = ("user", "human", "task", "data")  # where a name or a setting is no column that asks
_LAST = ("message", *NAMES, "goal", "mapping")
PROMPT_COLUMNS = (*CLEAR, *_VAGUE, *_LAST)
DOCUMENTS = (
    *("context", "contexts", "ctxs", "passage", "passages", "article", "articles", "document"),
    *("documents", "docs", "paragraph", "paragraphs", "background", "evidence", "knowledge"),
)
OPTIONS = ("choices", "options", "endings", "answer_choices")
_LISTS = ("choice", "answers")  # options in a few of `_SHAPES`
CONTEXT_COLUMNS = (
    *("input", "inputs", *DOCUMENTS, "facts", "premise", "hypothesis", "sentence", "email"),
    *("source_text", "input_text", "user_input", "table", "schema", "starter_code", "text"),
    *("story", "excerpt", "snippet", "code", "code_snippet", "content"),
    *("source", *OPTIONS),
)
# These are contexts only beside one of those: else a tagger's note or the answer.
_BESIDE = {
    "knowledge": {"question", "query"},
    "hypothesis": {"premise"},
    "code": {*CLEAR[:9], "request", "inputs", "input", *_VAGUE},
}
# These are of the answer beside one of those: the facts and steps of StrategyQA's solutions.
_OF_SOLUTIONS = {"facts", "evidence", "knowledge"}
_SOLUTIONS = {"decomposition", "question_decomposition", "proof", "proofs", "term"}
_SHAPES = (  # of sets: the columns that show it, with those of them that are contexts or options
    (("question", "background", "situation"), ("situation",)),
    (("question", "plot"), ("plot",)),
    (("question", "story_section"), ("story_section",)),
    (("question", "flores_passage"), ("flores_passage",)),
    (("question", "choices", "hint", "lecture"), ("hint",)),
    (("question", "body", "equation"), ("body",)),
    (("question", "dialogue", "choice"), ("choice",)),
    (("question", "context", "answers", "label", "id_string"), ("answers",)),
)
_MAYBE_ANSWERS = {
    *("text", "story", "code", "code_snippet", "content", "article", "articles", "email"),
    *("excerpt", "snippet"),
}
SYSTEM_COLUMNS = (
    *("system", "system_prompt", "system_message", "system_instruction", "systeminstruction"),
)
HISTORY_COLUMNS = ("history", "chat_history", "conversation_history", "context_messages")
TURN_COLUMNS = {*SYSTEM_COLUMNS, *HISTORY_COLUMNS}
# What a row asks, where that is not in the first of the usual columns but before or beside it.
_RATHER = {
    **dict.fromkeys(("input", "inputs"), ("definition", "instructions")),
    **dict.fromkeys(("body", "selftext"), ("title",)),
    **dict.fromkeys(("dialogue", "dialog"), ("question", "query", "instruction")),
}
_FOLLOWING = {  # after what is asked, before the texts that it is about
    "instruction": ("question", "query", "problem"),
    "title": ("body", "selftext"),
}
_ASKED_ABOUT = {  # of those that may be the answer, what is none to such a column
    "instruction": ("text",),
    **dict.fromkeys(
        ("question", "query"), ("story", "article", "articles", "email", "code_snippet", "excerpt")
    ),
}
_ANSWERS = {
    *("output", "outputs", "response", "responses", "answer", "answers", "completion", "target"),
    *("targets", "solution", "solutions", "summary", "chosen", "rejected"),
}
_ANSWER_WORDS = {
    *_ANSWERS,
    *("gold", "golden", "expected", "correct", "corrected", "fixed", "reference", "references"),
    *("generated", "generation", "generations", "prediction", "translation", "translated"),
    *("rewritten", "groundtruth", "truth"),
}
_ABOUT_ANSWERS = {
    *("explanation", "explanations", "rationale", "rationales", "reason", "reasoning", "thought"),
    *("thoughts", "thinking", "cot", "critique", "feedback", "judgement", "judgment", "score"),
    *("rating", "label", "labels", "proof", "trace", "reward", "grade", "sql"),
}
_SETTINGS = {  # at the end of a name that is of no answer
    *("format", "type", "length", "language", "style", "schema", "options", "choices"),
    *("count", "limit"),
}
_ABOUT_ROWS = {
    *("id", "ids", "idx", "index", "uuid", "guid", "hash", "md5", "sha256", "url", "urls", "uri"),
    *("link", "date", "time", "timestamp", "created", "updated", "split", "lang", "language"),
    *("locale", "version", "license", "licence", "source", "dataset", "author", "annotator"),
    *("model", "username", "meta", "metadata", "tag", "tags", "difficulty", "level", "category"),
    *("type", "name", "count", "length", "generator", "provider", "llm", "checkpoint", "subset"),
    *("worker", "rater", "judge", "evaluator", "reviewer", "run"),
}
_VARIED = {  # those which are the same beside one prompt, unless they are part of it
    *("language", "lang", "locale", "name", "category", "level", "difficulty", "author", "style"),
    *("format", "length"),
}
# At the end of the name of an answer where no other column is one, and of what may be about one.
_REPLIES = {"assistant", "bot", "gpt", "chatgpt", "claude", "gemini", "ai"}
_MAYBE_REPLIES = {"reply", "replies"}
_MAYBE_OF_SAMPLES = {
    *("status", "state", "country", "region", "gender", "age", "comment", "comments", "note"),
    *("notes", "result", "message", "human", "verdict"),
}
_CLASSES = {"label", "labels"}  # the answer where there are options, else a class of texts
_MAYBE_CONTEXTS = {  # at the end of a name: they may be part of a prompt
    *("docs", "documents", "snippets", "passages", "paragraphs", "contexts", "detail", "details"),
    *("constraint", "constraints", "requirement", "requirements", "hint", "hints"),
}
_PREFERENCES = {"preference", "preferred", "winner", "chosen", "rejected"}
_OPTION = re.compile(
    r"((?:option|choice|ending|sol|op|mc_answer|answer)s?[_ ]?)?([a-h]|\d)", re.ASCII
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", re.ASCII)
REQUESTS = ("body", "params", "request", "modelinput")  # in files for OpenAI, Anthropic, ...
_RIGHT = {"correct", "right"}  # in the name of a column that marks the right option, with these
_OF_RIGHT = {"answer", "answers", "option", "choice", "index", "letter", "number", "key"}
KEYS = {"answer", "key", "answer_key"}  # each may be the letter of the right one
_NOTE = re.compile(  # for who fills in a form, as in Kahoot's and Blooket's
    r"\s+[-–]\s+(?:max|choose|\d).*|\s*\n.*|\s*\(optional\).*", re.DOTALL | re.IGNORECASE
)
_IN_OBJECT = re.compile(rf"(?:(?:{'|'.join(PROMPT_COLUMNS)})\.)+")
MEDIA = {
    *("image", "images", "img", "picture", "pictures", "photo", "image_path", "image_file"),
    *("image_url", "image_urls", "audio", "audios", "speech", "video", "videos"),
}
DIALOGUES = {*CLEAR[1:8]}
AS_IT_IS = {"input", "inputs"}  # whatever is in them; the other columns may hold an id or a URL


class Plan(NamedTuple):
    """Where in a row its prompt is.

    Attributes:
        options: By column the letter of the option that it holds.
        marks: Columns that show which option is right, where their names are those of answers.
        lists: The columns with a list of options each.
        also: The other columns that may ask.
        doubtful: Not used as they may hold the answer, or only their names show a context.
    """

    asked: str
    about: Sequence[str] = ()
    options: Mapping[str, str] = {}
    marks: Sequence[str] = ()
    lists: Sequence[str] = ()
    system: str | None = None
    history: str | None = None
    also: Sequence[str] = ()
    answers: Sequence[str] = ()
    doubtful: Sequence[str] = ()
    media: Sequence[str] = ()
    tools: Sequence[str] = ()


@lru_cache(maxsize=4096)
def plain(name: Any) -> str:
    """The name of a column without what sets do not agree on, also of one in an object."""
    return _IN_OBJECT.sub("", _NOTE.sub("", str(name).strip().lower()), count=1)


@lru_cache(maxsize=4096)
def _words(name: Any) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(str(name)))


def is_answer(name: Any) -> bool:
    """Whether a column of such a name holds an answer: `output`, `final_answer`, `fixedCode`."""
    words = _words(name)
    return bool(_ANSWER_WORDS & {*words}) and words[-1] not in _SETTINGS


def is_of_answer(name: Any) -> bool:
    """Whether it holds an answer, its reasons or what it is worth."""
    return is_answer(name) or bool(_ABOUT_ANSWERS & {*_words(name)})


def is_about_row(name: Any) -> bool:
    """Whether it holds an id, a source, a setting of a row."""
    return bool((_ABOUT_ROWS | _SETTINGS) & _last_word(name))


def is_of_sample(name: Any) -> bool:
    """Whether it may differ in answers to one prompt, as the model that wrote them does."""
    return bool(((_ABOUT_ROWS | _SETTINGS) - _VARIED) & _last_word(name))


def may_be_of_sample(name: Any, *, answered: bool) -> bool:
    """Whether it may differ so, or be the answer where no other column is `answered`."""
    maybe = set() if answered else _MAYBE_ANSWERS | _MAYBE_REPLIES
    return bool((maybe | _MAYBE_OF_SAMPLES) & _last_word(name))


def is_reply(name: Any) -> bool:
    """Whether it holds an answer where no other column does: `assistant`, `gpt4`."""
    return bool(_REPLIES & _last_word(name))


@lru_cache(maxsize=4096)
def _last_word(name: Any) -> frozenset[str]:
    """That of a column's name, also of `model_a`."""
    words = [word for word in _words(name) if len(word) > 1]
    return frozenset(words[-1:])


def plan_of(
    names: Iterable[str], filled: Iterable[str], is_text: Callable[[str], bool], answered: bool
) -> Plan | None:
    """Where the prompt is in a row with such columns; None where there is no column that asks.

    Args:
        names: Of the columns, in their order.
        filled: Those of them that hold something.
        is_text: Whether a column has a text, or texts, rather than a dialogue.
        answered: Whether the answers are elsewhere, so that no column may hold them.
    """
    of = {plain(name): name for name in names}
    have = {plain(name): name for name in filled}
    asks = _asks(of, have, is_text)
    if asks is None:
        return None
    if asks not in have:
        return Plan(of[asks])
    here = {asks, *have}
    extra = [one for shape, more in _SHAPES if here >= {*shape} for one in more]
    lists = [one for one in (*OPTIONS, *_LISTS) if one in have and (one in OPTIONS or one in extra)]
    texts = [*_FOLLOWING.get(asks, ()), *(one for one in CONTEXT_COLUMNS if one not in OPTIONS)]
    texts += [one for one in extra if one not in lists]
    dialogues = ("dialogue", "dialog") if asks in ("question", "query", "instruction") else ()
    about = [one for one in (*texts, *OPTIONS, *dialogues, *lists) if one in have]
    options, marks = _options(of, have) if not lists else ({}, [])
    answers = _ANSWERS | (_CLASSES if lists or options else set())
    strange = {one for one, beside in _BESIDE.items() if not beside & here}
    strange |= _OF_SOLUTIONS if _SOLUTIONS & here else set()
    maybe: set[str] = strange & _MAYBE_ANSWERS
    if not answered and not answers & {*of}:  # then one of these may be it
        maybe |= _MAYBE_ANSWERS - {asks, *_ASKED_ABOUT.get(asks, ())}
    if about != ["source"] or asks != "instruction" or "target" not in of:
        strange.add("source")
    in_object = have[asks].strip().lower() != asks
    of_request = have[asks].lower().startswith(tuple(f"{one}." for one in REQUESTS))
    system = (*SYSTEM_COLUMNS, *(("instructions",) if of_request else ()))
    contexts = [one for one in have if _MAYBE_CONTEXTS & _last_word(one) or _is_subject(one, asks)]
    contexts = [one for one in contexts if one not in {asks, *about} and not is_answer(one)]
    return Plan(
        asked=have[asks],
        about=[have[one] for one in dict.fromkeys(about) if one not in {asks, *strange, *maybe}],
        options=options,
        marks=marks,
        lists=[have[one] for one in lists],
        system=next((have[one] for one in system if one in have and one != asks), None),
        history=next((have[one] for one in HISTORY_COLUMNS if one in have), None),
        also=[have[one] for one in CLEAR if one in have and one not in (asks, *AS_IT_IS)],
        answers=[have[one] for one in have if one in answers],
        doubtful=[have[one] for one in have if one in maybe or one in contexts],
        media=[have[one] for one in have if one in MEDIA],
        tools=[have[one] for one in ("tools", "functions") if in_object and one in have],
    )


def _is_subject(name: str, asks: str) -> bool:
    return name == "subject" and asks in ("body", "selftext")  # of a mail


def _asks(
    of: Mapping[str, str], have: Mapping[str, str], is_text: Callable[[str], bool]
) -> str | None:
    """The column that asks; one that holds nothing where all of the usual ones do."""
    source = _SOURCE[:1] if {*_SOURCE} <= {*of} else ()
    tiers = (CLEAR, _VAGUE, source, _LAST)
    usual = next(filter(None, ([one for one in tier if one in of] for tier in tiers)), [])
    asks = next((one for one in usual if one in have), None)
    rather = [one for first in ([asks] if asks else usual) for one in _RATHER.get(first, ())]
    if asks and have[asks].lower().startswith(tuple(f"{one}." for one in REQUESTS)):
        return asks
    if (other := next((one for one in rather if one in have), None)) and (
        asks is None or is_text(have[asks])
    ):
        return other
    return asks or next(iter(usual), None)


def _options(
    of: Mapping[str, str], have: Mapping[str, str]
) -> tuple[dict[str, str], Sequence[str]]:
    """The columns that hold an option each, with its letter: A to D, option_a, choice1.

    Those that are called answers are options beside a column that marks the right one.
    """
    groups: dict[str, dict[str, str]] = {}
    for name, column in have.items():
        if (found := _OPTION.fullmatch(name)) and (found[1] or found[2].isalpha()):
            groups.setdefault(found[1] or "", {})[column] = found[2].upper()
    for start, group in groups.items():
        marks: Sequence[str] = ()
        if start.startswith("answer") and not {"question", "context", "label"} <= {*of}:
            marks = [have[one] for one in have if _is_mark(one)]
            if len(group) > 2 and all(letter.isalpha() for letter in group.values()):
                marks = marks or [have[one] for one in have if one in KEYS]
            if not marks:
                continue
        if len(group) >= (2 if start else 3) and not _PREFERENCES & {*of}:
            return group, marks
    return {}, ()


def _is_mark(name: str) -> bool:
    words = {*_words(name)}
    return bool(_RIGHT & words and _OF_RIGHT & words) and not _SETTINGS & words


def is_of_form(name: str) -> bool:
    """Whether a column's name has a note for who fills in a form."""
    return _NOTE.search(name.strip()) is not None


def is_request(value: Any) -> bool:
    """Whether a value is a row of its own, such as what is sent to an endpoint, not one turn."""
    if not isinstance(value, Mapping):
        return False
    names = {str(name).strip().lower() for name in value}
    return (
        bool({*PROMPT_COLUMNS} & names)
        and not {"role", "from", "speaker", "sender", "author"} & names
    )
