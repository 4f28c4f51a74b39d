"""What a step asks becomes calls: sample and seed are part of their keys and never change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from builders.engine.calls import Answer, Call, Parse, Question, Reply, Unreadable, Unusable
from builders.engine.greenlets import drive
from builders.engine.llm import EngineLLM, role_llm
from builders.engine.teacher_kinds import RecordedTeacher
from builders.schema import user
from tests.cases import each

NEW = "\U0001fae8 \U0001f6dc and \U0001fadf"  # emoji of Unicode 15 and 16
RIVER = [{"role": "user", "content": "Name a river."}]
WRITER = RecordedTeacher({"name": "http://x/v1", "model": "m", "revision": None, "identity": {}})


class Recorder:
    """An engine that notes each call and answers it with the number of its sample."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = asyncio.get_running_loop()
        self.calls: list[Call] = []

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(text=str(call.sample))


def calls(asks: Callable[[EngineLLM], Any], build_seed: int = 5, **sampling: Any) -> list[Call]:
    """The calls that an LLM with a role's sampling makes."""

    async def made() -> list[Call]:
        engine = Recorder(build_seed)
        llm = EngineLLM(role="writer", sampling=sampling).bound(engine, {"writer": WRITER})
        await drive(asks, llm)
        return engine.calls

    return asyncio.run(made())


def only(text: str) -> Parse:
    """A parser that can read one answer."""

    def parse(_: Question, answer: Answer) -> None:
        if answer.text != text:
            raise Unreadable("another answer")

    return parse


def asked(*questions: Question, build_seed: int = 5, **sampling: Any) -> list[Call]:
    return calls(lambda llm: llm.replies(questions, lambda *_: None, 1), build_seed, **sampling)


def seeds(*questions: Question, build_seed: int = 5) -> list[int]:
    return [call.sampling["seed"] for call in asked(*questions, build_seed=build_seed)]


def test_every_try_of_every_sample_of_a_question_is_a_sample_of_its_own() -> None:
    questions = [Question(prompt=RIVER, sample=sample) for sample in range(3)]
    made = calls(lambda llm: llm.replies(questions, only("none"), 4))
    assert sorted(call.sample for call in made) == list(range(12))
    # The second sample is parsed at its third try: 1 * 4 + 2.
    made = calls(lambda llm: llm.replies(questions[1:2], only("6"), 4))
    assert [call.sample for call in made] == [4, 5, 6]
    made = calls(lambda llm: llm.generate([RIVER], num_generations=3))
    assert [call.sample for call in made] == [0, 1, 2]


def test_the_seed_of_a_call_never_changes() -> None:
    found = {
        "messages": seeds(Question(prompt=RIVER)),
        "a text to continue": seeds(Question(prompt="Name a river.")),
        "a lone surrogate": seeds(Question(prompt="half \ud83d")),
        "the second and third sample": seeds(*(Question(prompt=RIVER, sample=n) for n in (1, 2))),
        "another seed of the build": seeds(Question(prompt=RIVER), build_seed=6),
        "emoji that some Pythons do not know": seeds(Question(prompt=user(NEW))),
        "a message in another order": seeds(Question(prompt=[dict(reversed(RIVER[0].items()))])),
    }
    assert found == {
        "messages": [153753632],
        "a text to continue": [1531791604],
        "a lone surrogate": [1949405481],
        "the second and third sample": [1583071434, 850911161],
        "another seed of the build": [141962301],
        "emoji that some Pythons do not know": [1691119698],
        "a message in another order": [153753632],
    }


def test_the_seed_comes_last_and_overrides_every_other() -> None:
    [seed] = seeds(Question(prompt=RIVER))
    cases: list[tuple[Question, dict[str, Any]]] = [
        (Question(prompt=RIVER, sampling={"stop": ["\n"], "top_p": 0.5}), {"top_p": 1.0, "n": 1}),
        (Question(prompt=RIVER, sampling={"seed": 2}), {"top_p": 0.5, "n": 1, "stop": ["\n"]}),
        (Question(prompt=RIVER), {"top_p": 0.5, "n": 1, "stop": ["\n"], "seed": 3}),
    ]
    for question, ours in cases:
        [call] = asked(question, **ours)
        # Names are released in this order.
        expected = [("top_p", 0.5), ("n", 1), ("stop", ["\n"]), ("seed", seed)]
        assert list(call.sampling.items()) == expected


class Answering(Recorder):
    """An engine that gives one answer after the other."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(5)
        self.answers = iter(answers)

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return next(self.answers)


def replies(*answers: Answer, tries: int = 4, **parameters: Any) -> tuple[Reply, int]:
    """The reply to one question, and how many answers it took."""

    async def made() -> tuple[Reply, int]:
        engine = Answering(*answers)
        llm = role_llm("writer", **parameters).bound(engine, {"writer": WRITER})
        [reply] = await drive(llm.replies, [Question(prompt=RIVER)], lambda *_: "read", tries)
        return reply, len(engine.calls)

    return asyncio.run(made())


GOOD = Answer(text="The Nile.")
CUT = Answer(text="The N", ended="length", finish_reason="max_tokens")


@each(
    ("first", "asked"),
    [
        (CUT, 2),
        (Answer(ended="aborted", text="The"), 2),
        (Answer(text=" "), 2),
        (Answer(text="The Nile.<|im_end|>And?", leaked_mark="<|im_end|>"), 2),
        (Answer(ended="filtered"), 1),
        (Answer(ended="refused", text="No."), 1),
        (Answer(ended="tool_calls"), 1),
        (Answer(ended="unknown", text="The Nile."), 1),
    ],
)
def test_an_answer_that_cannot_be_used_is_never_parsed_and_asked_again_where_that_may_help(
    first: Answer, asked: int
) -> None:
    reply, calls = replies(first, GOOD)
    assert calls == asked
    if asked == 2:
        assert (reply["text"], reply["parsed"], reply["fault"]) == ("The Nile.", "read", None)
    else:
        assert (reply["text"], reply["parsed"]) == (None, None)
        assert (reply["fault"], reply["partial"]) == (first.fault(), first.text)


def test_what_is_kept_of_an_answer_that_was_cut_off_is_its_text_and_the_word_for_its_end() -> None:
    reply, _ = replies(CUT, tries=1)
    found = [reply[name] for name in ("text", "partial", "fault", "ended", "finish_reason")]
    assert found == [None, "The N", "cut off", "length", "max_tokens"]
    kept, _ = replies(CUT, tries=1, cut_off="keep")
    assert (kept["text"], kept["fault"], kept["ended"]) == ("The N", None, "length")


def test_a_recipe_that_declares_tools_gets_their_calls() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    reply, _ = replies(Answer(ended="tool_calls", tool_calls=calls), tools=[{"type": "function"}])
    assert (reply["fault"], reply["tool_calls"]) == (None, calls)


def test_of_several_samples_one_that_cannot_be_used_is_none_and_alone_it_is_a_failure() -> None:
    async def made(*answers: Answer) -> Any:
        llm = role_llm("writer").bound(Answering(*answers), {"writer": WRITER})
        [row] = await drive(llm.generate, [RIVER], len(answers))
        return row

    row = asyncio.run(made(GOOD, CUT))
    assert row["generations"] == ["The Nile.", None]
    assert [lost and lost["reason"] for lost in row["lost"]] == [None, "cut off"]
    with pytest.raises(Unusable, match=r"cut off \('max_tokens'\)") as found:
        asyncio.run(made(CUT))
    assert found.value.evidence == {"answer": "The N", "finish_reason": "max_tokens"}
