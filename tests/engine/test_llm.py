"""What a step asks becomes calls: sample and seed are part of their keys and never change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from builders.engine.calls import Answer, Call, Parse, Question, Unreadable
from builders.engine.greenlets import drive
from builders.engine.llm import EngineLLM
from builders.engine.teacher_kinds import RecordedTeacher
from builders.schema import user

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
