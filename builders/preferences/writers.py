"""Several writers per prompt, drawn from a pool, each under a principle drawn for the answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from builders.engine.calls import Question
from builders.recipe import Raw, short_hash
from builders.schema import with_system

TEMPERATURES = (1.0, 0.7, 1.3, 0.4)  # of the rounds in which a small pool writes


def writing_questions(
    raw: Raw,
    pool: Sequence[str],
    writers: int,
    *,
    principles: Mapping[str, Sequence[str]],
    odds: Mapping[str, int],
    seed: int,
) -> list[Question]:
    """Who answers a prompt, under which principle, how warm: the same for the same id and seed.

    No writer comes twice before each has come once; then each is warmer or cooler than before.

    Args:
        raw: The prompt and its id.
        pool: The names of the teachers that may write.
        writers: How many answers are asked for.
        principles: The wordings of each principle; each answer gets a random one.
        odds: The weights with which a principle is drawn.
        seed: The build's.
    """
    chance = random.Random(short_hash("writers", str(seed), raw["id"]))
    drawn = chance.sample(pool, len(pool))
    questions = []
    for place in range(writers):
        (principle,) = chance.choices([*odds], weights=[*odds.values()])
        asked = with_system(raw["prompt"], chance.choice(principles[principle]))
        temperature = TEMPERATURES[place // len(pool) % len(TEMPERATURES)]
        system = asked[0]["content"]
        questions.append(
            Question(
                prompt=asked,
                teacher=drawn[place % len(drawn)],
                sampling={"temperature": temperature},
                about={"principle": principle, "system": system, "temperature": temperature},
            )
        )
    return questions
